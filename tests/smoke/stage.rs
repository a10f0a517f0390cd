//! Brokers on behalf of a script: it says what should happen to them, a line of JSON each on its
//! standard output, and reads a line when it has.
//!
//! `{"do": "start", "name": ..., "config": ...}`, then `restart` (killed and started on its port),
//! `stop`, `reload` with another `config`, `ldm` and `gone` (wait for the end) with the name. Lines
//! that are no JSON are for whoever reads the test's output.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde_json::{json, Value};

use crate::common::{Broker, PATIENCE};

/// A broker and its file.
struct Actor {
    /// None while it is stopped.
    broker: Option<Broker>,
    config: tempfile::NamedTempFile,
    port: u16,
}

/// All brokers of a script.
#[derive(Default)]
pub(crate) struct Stage {
    actors: BTreeMap<String, Actor>,
}

impl Stage {
    /// Runs a script to its end and answers with what it said.
    pub(crate) fn play(command: &mut Command) -> Result<String, String> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let errors = child.stderr.take().map(read_all);
        let said = Self::default().direct(&mut child);
        let status = child.wait().map_err(|error| error.to_string())?;
        let errors = errors.map(|thread| thread.join().unwrap_or_default()).unwrap_or_default();
        match status.success() {
            true => Ok(said),
            false => Err(format!("{command:?}: {status}\n{said}\n{errors}")),
        }
    }

    fn direct(mut self, child: &mut Child) -> String {
        let mut said = String::new();
        let (Some(output), Some(mut input)) = (child.stdout.take(), child.stdin.take()) else {
            return said;
        };
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str::<Value>(&line) {
                Ok(ask) if ask.is_object() => {
                    let answer = self.obey(&ask);
                    // A script that is gone has its status looked at.
                    let _gone = writeln!(input, "{answer}").and_then(|()| input.flush());
                }
                _ => {
                    said.push_str(&line);
                    said.push('\n');
                }
            }
        }
        said
    }

    fn obey(&mut self, ask: &Value) -> Value {
        let text = |key: &str| ask[key].as_str().unwrap_or_default().to_owned();
        let name = text("name");
        match ask["do"].as_str() {
            Some("start") => {
                let actor = Actor::start(&text("config"));
                let url = actor.url();
                self.actors.insert(name, actor);
                return json!({ "url": url });
            }
            Some(what) => {
                let actor = self.actors.get_mut(&name).expect("a broker that was started");
                match what {
                    "restart" => {
                        actor.broker = None;
                        actor.launch();
                    }
                    "stop" => {
                        if let Some(mut broker) = actor.broker.take() {
                            broker.signal("TERM");
                            assert!(broker.wait_exit(PATIENCE).success());
                        }
                    }
                    "back" => actor.launch(),
                    "reload" => actor.reload(&text("config")),
                    "ldm" => actor.running().signal("USR2"),
                    "gone" => assert!(actor.running().wait_exit(PATIENCE).success()),
                    other => panic!("nobody knows how to {other}"),
                }
            }
            None => panic!("nothing to do: {ask}"),
        }
        json!({})
    }
}

impl Actor {
    fn start(config: &str) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), config).expect("the configuration is written");
        let mut actor = Self { broker: None, config: file, port: 0 };
        actor.launch();
        actor
    }

    /// On the port it had, if it had one.
    fn launch(&mut self) {
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let path = self.config.path().to_str().expect("a UTF-8 path");
        let broker = Broker::start_with(&["-a", "127.0.0.1", "-p", &port, "-c", path]);
        self.port = broker.port();
        self.broker = Some(broker);
    }

    fn reload(&mut self, config: &str) {
        std::fs::write(self.config.path(), config).expect("the configuration is written");
        let broker = self.running();
        let reloads = |log: &str| log.matches("Reloaded server configuration (sha256:").count();
        let before = reloads(&broker.log());
        broker.signal("HUP");
        let limit = std::time::Instant::now() + PATIENCE;
        while reloads(&broker.log()) == before {
            assert!(std::time::Instant::now() < limit, "no reload:\n{}", broker.log());
            std::thread::yield_now();
        }
    }

    fn running(&mut self) -> &mut Broker {
        self.broker.as_mut().expect("a broker that runs")
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

fn read_all(stream: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        let mut stream = stream;
        let _what_came = std::io::Read::read_to_string(&mut stream, &mut text);
        text
    })
}
