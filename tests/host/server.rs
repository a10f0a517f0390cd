//! A server process of a test, and a client that sends one message to itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_midge");

/// How long anything may take on a machine with other work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    log: BufReader<ChildStderr>,
    said: String,
}

impl Server {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log, said: String::new() }
    }

    /// Reads the log up to a line that contains `text`.
    pub(crate) fn wait_log(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let bytes = self.log.read_line(&mut line).unwrap();
            assert!(bytes > 0, "no {text:?} in the log:\n{}", self.said);
            self.said.push_str(&line);
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits until it listens and sends one message through it.
    pub(crate) fn serves(&mut self) {
        let line = self.wait_log("Listening for client connections on ");
        let address = line.trim().rsplit(' ').next().unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
            .write_all(b"CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n")
            .unwrap();
        let mut heard = String::new();
        let mut bytes = [0; 4096];
        while !heard.ends_with("PONG\r\n") {
            let count = client.read(&mut bytes).unwrap();
            assert!(count > 0, "closed after {heard:?}");
            heard.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        assert!(heard.ends_with("MSG a 1 2\r\nhi\r\nPONG\r\n"), "{heard:?}");
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end; returns how it ended and all it said.
    pub(crate) fn wait_exit(&mut self) -> (ExitStatus, String) {
        let started = Instant::now();
        self.log.read_to_string(&mut self.said).unwrap();
        let status = self.child.wait().unwrap();
        assert!(started.elapsed() < PATIENCE);
        (status, self.said.clone())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which is all that is asked for here.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
