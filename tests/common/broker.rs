//! One broker process: started, watched through its log, killed on drop.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// A running broker process.
pub(crate) struct Broker {
    child: Child,
    log: Arc<Log>,
    host: String,
    port: u16,
    /// Keeps the configuration file while the process may reread it.
    config: Option<tempfile::NamedTempFile>,
}

/// What the process wrote to standard error so far.
#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    lines: Vec<String>,
    ended: bool,
}

/// Starts a broker on a configuration file. The text must not name a port.
pub(crate) fn config(text: &str) -> Broker {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("the configuration is written");
    let path = file.path().to_str().expect("a UTF-8 path").to_owned();
    let mut broker = Broker::start(&["-c", &path]);
    broker.config = Some(file);
    broker
}

impl Broker {
    /// Starts a broker on a free port of 127.0.0.1 and waits until it is ready.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut line = vec!["-a", "127.0.0.1", "-p", "-1"];
        line.extend_from_slice(args);
        Self::start_with(&line)
    }

    /// Starts a broker with exactly these arguments (and `BROKER_ARGS`).
    pub(crate) fn start_with(args: &[&str]) -> Self {
        Self::spawn(args).ready()
    }

    /// Starts another program that says what a broker says, with exactly these arguments.
    #[allow(dead_code, reason = "few test binaries compare with another server")]
    pub(crate) fn start_other(program: &Path, args: &[&str]) -> Self {
        Self::spawn_program(program, args.iter().copied()).ready()
    }

    fn ready(mut self) -> Self {
        let broker = &mut self;
        broker.wait_log("Server is ready");
        let listening = broker.wait_log("Listening for client connections on ");
        let (_, address) = listening.rsplit_once(" on ").expect("an address in the log");
        let (host, port) = address.trim().rsplit_once(':').expect("host and port in the log");
        broker.host = host.trim_matches(['[', ']']).to_owned();
        broker.port = port.parse().expect("a port number in the log");
        self
    }

    /// Spawns the process without waiting for it to be ready.
    pub(crate) fn spawn(args: &[&str]) -> Self {
        let more = std::env::var("BROKER_ARGS").unwrap_or_default();
        let args = args.iter().copied().chain(more.split_whitespace());
        Self::spawn_program(&Self::binary(), args)
    }

    fn spawn_program<'a>(program: &Path, args: impl Iterator<Item = &'a str>) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the broker starts");
        let log = Arc::new(Log::default());
        let stderr = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || log.follow(stderr)
        });
        Self { child, log, host: String::new(), port: 0, config: None }
    }

    /// The binary under test.
    pub(crate) fn binary() -> PathBuf {
        let built = option_env!("CARGO_BIN_EXE_midge").map(PathBuf::from);
        let named = std::env::var_os("BROKER").map(PathBuf::from);
        named.or(built).expect("BROKER names the binary to test")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The host as the log gives it, without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Where to connect to; loopback for a broker that listens everywhere.
    pub(crate) fn address(&self) -> SocketAddr {
        let host = match self.host.as_str() {
            "0.0.0.0" => "127.0.0.1",
            "::" => "::1",
            host => host,
        };
        SocketAddr::new(host.parse().expect("an address"), self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Opens a bare connection.
    pub(crate) fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.address(), PATIENCE).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        stream
    }

    /// All of the log so far.
    pub(crate) fn log(&self) -> String {
        self.log.state.lock().expect("the log").lines.join("\n")
    }

    /// Waits for a log line that contains `text`, and returns it.
    pub(crate) fn wait_log(&self, text: &str) -> String {
        match self.log.wait(text, PATIENCE) {
            Some(line) => line,
            None => panic!("no {text:?} in the log of process {}:\n{}", self.pid(), self.log()),
        }
    }

    /// Writes another configuration into the broker's file.
    pub(crate) fn rewrite_config(&self, text: &str) {
        let file = self.config.as_ref().expect("a broker on a configuration file");
        std::fs::write(file.path(), text).expect("the configuration is written");
    }

    /// Sends a signal, named as kill(1) does: `TERM`, `USR2`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.pid().to_string()])
            .status()
            .expect("kill(1) runs");
        assert!(sent.success(), "signal {name}");
    }

    /// Waits until the process ended and its log is complete.
    pub(crate) fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        let started = Instant::now();
        assert!(self.log.wait_end(limit), "still running after {limit:?}:\n{}", self.log());
        // Standard error closes as the process ends: what is left is reaping.
        let status = self.child.wait().expect("the process can be waited for");
        assert!(started.elapsed() <= limit, "took {:?} to end", started.elapsed());
        status
    }

    /// Whether the process is still running.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the process can be asked").is_none()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already, which is all that is asked for here.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the broker, process {}:\n{}", self.pid(), self.log());
        }
    }
}

impl Log {
    fn follow(&self, lines: impl BufRead) {
        for line in lines.split(b'\n') {
            let Ok(line) = line else { break };
            let mut state = self.state.lock().expect("the log");
            state.lines.push(String::from_utf8_lossy(&line).into_owned());
            self.changed.notify_all();
        }
        self.state.lock().expect("the log").ended = true;
        self.changed.notify_all();
    }

    fn wait(&self, text: &str, limit: Duration) -> Option<String> {
        let found = |state: &LogState| state.lines.iter().find(|line| line.contains(text)).cloned();
        let state = self.state.lock().expect("the log");
        let (state, _) = self
            .changed
            .wait_timeout_while(state, limit, |state| found(state).is_none() && !state.ended)
            .expect("the log");
        found(&state)
    }

    fn wait_end(&self, limit: Duration) -> bool {
        let state = self.state.lock().expect("the log");
        let (state, _) =
            self.changed.wait_timeout_while(state, limit, |state| !state.ended).expect("the log");
        state.ended
    }
}
