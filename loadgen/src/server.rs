//! Servers we start ourselves: a free port, pinned if wanted, and always stopped again.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::connection::{Access, Connection};
use crate::error::Error;
use crate::sys::affinity::CpuMask;
use crate::sys::process::{self, Process};
use crate::sys::signal;

/// A running server; dropping it stops it and all processes of its group.
///
/// If we die without dropping, the kernel kills the process we started.
pub struct Server {
    child: Child,
    log: PathBuf,
    /// The directory made in place of `{dir}`, removed when the server has stopped.
    pub directory: Option<PathBuf>,
    /// Where it listens.
    pub address: SocketAddr,
    /// The process that listens, which a wrapper script may have started in turn.
    pub process: Process,
    /// From starting it to its first PONG.
    pub start_seconds: f64,
}

impl Server {
    /// Starts `command`, with `{port}` replaced by a free port and `{dir}` by a new directory, on
    /// the processors of `mask`, and waits until it answers a PING.
    pub fn start(command: &str, mask: CpuMask, access: &Access) -> Result<Self, Error> {
        let fail = |reason: String| Error::Start { command: command.to_owned(), reason };
        let port = free_port().map_err(|error| fail(error.to_string()))?;
        let own = |kind: &str| {
            std::env::temp_dir().join(format!("midge-load-{}-{port}.{kind}", std::process::id()))
        };
        let directory = command.contains("{dir}").then(|| own("store"));
        let mut command_line = command.replace("{port}", &port.to_string());
        if let Some(directory) = &directory {
            std::fs::create_dir_all(directory).map_err(|error| fail(error.to_string()))?;
            command_line = command_line.replace("{dir}", &directory.display().to_string());
        }
        let words = split_words(&command_line);
        let (program, arguments) =
            words.split_first().ok_or_else(|| Error::Usage("the command is empty".into()))?;
        let log = own("log");
        let output = File::create(&log).map_err(|error| fail(error.to_string()))?;
        let errors = output.try_clone().map_err(|error| fail(error.to_string()))?;

        let mut prepared = Command::new(program);
        prepared.args(arguments).stdin(Stdio::null()).stdout(output).stderr(errors);
        prepared.process_group(0);
        // SAFETY: the hook makes two system calls and allocates nothing, as is needed between
        // fork and exec.
        unsafe {
            prepared.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                mask.apply()
            });
        }
        let started = Instant::now();
        let child = prepared.spawn().map_err(|error| fail(error.to_string()))?;
        let process = Process { pid: child.id() };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut server = Self { child, log, directory, address, process, start_seconds: 0.0 };
        server.await_first_pong(started, access).map_err(|error| match error {
            Error::Interrupted => error,
            other => fail(format!("{other}{}", server.last_words())),
        })?;
        server.process = process::listening_on(port).unwrap_or(process);
        Ok(server)
    }

    fn await_first_pong(&mut self, started: Instant, access: &Access) -> Result<(), Error> {
        loop {
            let error = match Connection::open(self.address, access, b"") {
                Ok(connection) => {
                    self.start_seconds = started.elapsed().as_secs_f64();
                    drop(connection);
                    // The server notes its end before it places the run's connections.
                    std::thread::sleep(PROBE_GONE);
                    return Ok(());
                }
                Err(error) => error,
            };
            let ended = self.child.try_wait().ok().flatten();
            if let Some(status) = ended {
                return Err(Error::Server(format!("it ended with {status}")));
            }
            if started.elapsed() > START_TIMEOUT || matches!(error, Error::Server(_)) {
                return Err(error);
            }
            if signal::stop_requested() {
                return Err(Error::Interrupted);
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(5)..];
        last.iter().map(|line| format!("\n  | {line}")).collect()
    }

    fn signal_group(&self, signal: libc::c_int) {
        // SAFETY: kill touches no memory; the group is the one made for our child, which we have
        // not yet waited for, so its number cannot belong to anyone else.
        unsafe { libc::kill(-(self.child.id() as libc::pid_t), signal) };
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal_group(libc::SIGTERM);
        let asked = Instant::now();
        while asked.elapsed() < STOP_TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal_group(libc::SIGKILL);
        }
        // Nothing can be done about a failure to wait or to remove, and nothing depends on it.
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.log);
        if let Some(directory) = &self.directory {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Splits at blanks; quotes of either kind keep blanks inside a word.
fn split_words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut begun = false;
    for character in command.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                begun = true;
            }
            (None, _) if character.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            _ => {
                word.push(character);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

const PROBE_GONE: Duration = Duration::from_millis(20);
const START_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_split_at_blanks_outside_quotes() {
        assert_eq!(split_words(" a  -p 1 "), ["a", "-p", "1"]);
        assert_eq!(split_words("a 'b c' \"d e\"f ''"), ["a", "b c", "d ef", ""]);
        assert!(split_words("  ").is_empty());
    }

    #[test]
    fn a_command_that_ends_at_once_is_reported_with_its_output() {
        let result = Server::start(
            "sh -c 'echo no such luck; exit 3'",
            CpuMask::current(),
            &Access::default(),
        );
        let text = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains("no such luck"), "{text}");
    }
}
