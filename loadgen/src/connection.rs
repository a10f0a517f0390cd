//! One client connection: the handshake, then non-blocking reads into a shared buffer.
//!
//! A connection keeps only the unfinished end of its last read (less than one frame); the 256 KiB
//! that a read may take live in one [`ReadBuffer`] per thread, which stays in the cache.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use crate::carrier::{Carrier, Link};
use crate::error::Error;
use crate::sys::{clock, socket};
use crate::wire::scan::{self, Msg, Op, Trouble};

/// How a server is reached: over what, and who we say we are if it asks.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Over what.
    pub carrier: Carrier,
    /// User name.
    pub user: Option<String>,
    /// Password of the user.
    pub password: Option<String>,
    /// Token, where the server wants one instead of a user.
    pub token: Option<String>,
    /// Ask for header blocks, and for an answer when nobody listens; JetStream needs both.
    pub headers: bool,
}

impl Access {
    /// The CONNECT line.
    pub fn connect_line(&self) -> String {
        let mut fields = serde_json::json!({
            "verbose": false, "pedantic": false, "echo": true, "protocol": 1,
            "lang": "rust", "version": env!("CARGO_PKG_VERSION"), "name": "midge-load",
            "headers": self.headers, "no_responders": self.headers,
        });
        for (key, value) in
            [("user", &self.user), ("pass", &self.password), ("auth_token", &self.token)]
        {
            if let Some(value) = value {
                fields[key] = serde_json::Value::from(value.as_str());
            }
        }
        format!("CONNECT {fields}\r\n")
    }
}

/// The buffer all connections of a thread read into.
pub struct ReadBuffer {
    bytes: Vec<u8>,
}

impl ReadBuffer {
    /// Room for one read of 256 KiB after an unfinished frame of up to `frame_bytes_max`.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { bytes: vec![0; READ_BYTES + frame_bytes_max.max(64 * 1024)] }
    }
}

/// What one read gave.
pub enum Pulled<'a> {
    /// Nothing for now: wait for readiness.
    Empty,
    /// Bytes, beginning with a frame. Give the unfinished end back with [`Connection::keep`].
    Data(&'a [u8]),
}

/// A connection on which the handshake is done.
pub struct Connection {
    link: Link,
    address: String,
    tail: Vec<u8>,
    /// Reading may give bytes.
    pub readable: bool,
    /// Writing may take bytes.
    pub writable: bool,
    /// PINGs of the server not yet answered.
    pub pongs_owed: u32,
    /// PONGs received since the last [`Connection::expect_pong`].
    pub pongs: u32,
}

impl Connection {
    /// Connects, says CONNECT, sends `setup` (SUB lines), and waits for the PONG after it.
    pub fn open(address: SocketAddr, access: &Access, setup: &[u8]) -> Result<Self, Error> {
        let fail = |reason: String| Error::Connection { address: address.to_string(), reason };
        let link = Link::open(address, &access.carrier, HANDSHAKE_TIMEOUT)
            .map_err(|error| fail(error.to_string()))?;
        let mut connection = Self::new(link, address);
        connection.shake_hands(access, setup).map_err(|error| match error {
            Error::Os { source, .. } => fail(source.to_string()),
            other => other,
        })?;
        Ok(connection)
    }

    /// Leaves the kernel little room for what is not read, so that the server notices soon.
    pub fn narrow(&self) -> Result<(), Error> {
        socket::limit_receive_buffer(self.link.socket().as_raw_fd(), NARROW_BYTES)
            .map_err(|source| Error::Os { call: "setsockopt", source })
    }

    /// Connects and sends CONNECT, `setup` and PING at once, without waiting for any answer; the
    /// connection is ready when [`Connection::pongs`] is no longer zero.
    pub fn begin(address: SocketAddr, access: &Access, setup: &[u8]) -> Result<Self, Error> {
        let fail = |error: std::io::Error| Error::Connection {
            address: address.to_string(),
            reason: error.to_string(),
        };
        let link = Link::open(address, &access.carrier, HANDSHAKE_TIMEOUT).map_err(fail)?;
        let mut connection = Self::new(link, address);
        if let Carrier::Tls(_) = access.carrier {
            connection.read_greeting()?;
            connection.link.secure(&access.carrier).map_err(fail)?;
            connection.tail.clear();
        }
        let greeting = [access.connect_line().as_bytes(), setup, PING].concat();
        connection.link.write_all(&greeting).map_err(fail)?;
        connection.link.socket().set_nonblocking(true).map_err(fail)?;
        Ok(connection)
    }

    fn new(link: Link, address: SocketAddr) -> Self {
        Self {
            link,
            address: address.to_string(),
            tail: Vec::new(),
            readable: true,
            writable: true,
            pongs_owed: 0,
            pongs: 0,
        }
    }

    fn shake_hands(&mut self, access: &Access, setup: &[u8]) -> Result<(), Error> {
        let os = |call| move |source| Error::Os { call, source };
        self.link.socket().set_nodelay(true).map_err(os("setsockopt"))?;
        self.read_greeting()?;
        if let Carrier::Tls(_) = access.carrier {
            // What came before TLS is not believed, and nothing else did.
            self.tail.clear();
        }
        self.link.secure(&access.carrier).map_err(os("TLS"))?;
        self.link
            .write_all(access.connect_line().as_bytes())
            .and_then(|()| self.link.write_all(setup))
            .and_then(|()| self.link.write_all(PING))
            .map_err(os("write"))?;
        self.await_pong(HANDSHAKE_TIMEOUT)?;
        self.link.socket().set_nonblocking(true).map_err(os("fcntl"))
    }

    fn read_greeting(&mut self) -> Result<(), Error> {
        let mut chunk = [0u8; 4096];
        while !self.tail.contains(&b'\n') {
            let count = self.read_blocking(&mut chunk)?;
            self.tail.extend_from_slice(&chunk[..count]);
        }
        match self.tail.strip_prefix(b"INFO ") {
            Some(_) => Ok(()),
            None => Err(Error::Protocol("the server's first line is not INFO".into())),
        }
    }

    fn read_blocking(&mut self, chunk: &mut [u8]) -> Result<usize, Error> {
        match self.link.read(chunk) {
            Ok(0) => Err(self.closed("closed by the server during the handshake")),
            Ok(count) => Ok(count),
            Err(source) => Err(Error::Os { call: "read", source }),
        }
    }

    /// Blocks until a PONG came; messages before it are dropped. For handshakes only.
    fn await_pong(&mut self, timeout: Duration) -> Result<(), Error> {
        let started = Instant::now();
        let mut chunk = [0u8; 16 * 1024];
        let mut tail = std::mem::take(&mut self.tail);
        loop {
            let mut at = 0;
            loop {
                match scan::next_op(&tail[at..]) {
                    Ok((op, taken)) => {
                        at += taken;
                        match op {
                            Op::Pong => {
                                self.tail = tail.split_off(at);
                                return Ok(());
                            }
                            Op::Err(text) => return Err(server_error(text)),
                            Op::Ping => self.pongs_owed += 1,
                            Op::Msg(_) | Op::Ignored => {}
                        }
                    }
                    Err(Trouble::Incomplete) => break,
                    Err(Trouble::Malformed) => return Err(malformed(&tail[at..])),
                }
            }
            tail.drain(..at);
            if started.elapsed() > timeout {
                return Err(self.closed("no PONG in time"));
            }
            let count = self.read_blocking(&mut chunk)?;
            tail.extend_from_slice(&chunk[..count]);
        }
    }

    /// Reads once. The slice begins where the last frame ended.
    pub fn pull<'a>(&mut self, buffer: &'a mut ReadBuffer) -> Result<Pulled<'a>, Error> {
        let kept = self.tail.len();
        let room = buffer.bytes.len().saturating_sub(kept).min(READ_BYTES);
        if room == 0 {
            return Err(Error::Protocol(format!("a frame of more than {kept} bytes")));
        }
        let count = match self.link.read(&mut buffer.bytes[kept..kept + room]) {
            Ok(0) => return Err(self.closed("closed by the server")),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // What is left of the output goes with the next read.
                self.readable = self.link.holds_output();
                return Ok(Pulled::Empty);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(Pulled::Empty),
            Err(error) => return Err(self.closed(&error.to_string())),
        };
        // A read that did not fill the room emptied the socket; the next bytes raise a new edge.
        self.readable = count == room || !self.link.ends_short();
        buffer.bytes[..kept].copy_from_slice(&self.tail);
        self.tail.clear();
        Ok(Pulled::Data(&buffer.bytes[..kept + count]))
    }

    /// Keeps the unfinished end of what [`Connection::pull`] gave.
    pub fn keep(&mut self, rest: &[u8]) {
        self.tail.extend_from_slice(rest);
    }

    /// Reads once and gives each message, with the time of the read, to `take`; returns their
    /// number. PONGs that become due are owed, not sent.
    pub fn pull_messages(
        &mut self,
        buffer: &mut ReadBuffer,
        mut take: impl FnMut(&Msg<'_>, u64),
    ) -> Result<u64, Error> {
        let Pulled::Data(data) = self.pull(buffer)? else {
            return Ok(0);
        };
        let now_ns = clock::now();
        let mut at = 0;
        let mut messages = 0;
        while at < data.len() {
            match scan::next_op(&data[at..]) {
                Ok((Op::Msg(msg), taken)) => {
                    take(&msg, now_ns);
                    messages += 1;
                    at += taken;
                }
                Ok((op, taken)) => {
                    self.handle_control(&op)?;
                    at += taken;
                }
                Err(Trouble::Incomplete) => break,
                Err(Trouble::Malformed) => return Err(malformed(&data[at..])),
            }
        }
        self.keep(&data[at..]);
        Ok(messages)
    }

    /// Handles what is not a message; messages are errors of the caller's making.
    pub fn handle_control(&mut self, op: &Op<'_>) -> Result<(), Error> {
        match op {
            Op::Ping => self.pongs_owed += 1,
            Op::Pong => self.pongs += 1,
            Op::Err(text) => return Err(server_error(text)),
            Op::Ignored | Op::Msg(_) => {}
        }
        Ok(())
    }

    /// Writes once; returns how many bytes the socket took, zero if it is full.
    pub fn push(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        match self.link.write(bytes) {
            Ok(count) => {
                self.writable = count == bytes.len() || !self.link.ends_short();
                self.readable |= self.link.holds_output();
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.writable = false;
                Ok(0)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(self.closed(&error.to_string())),
        }
    }

    /// Sends the PONGs owed, between frames only. A full socket keeps them owed.
    pub fn answer_pings(&mut self) -> Result<(), Error> {
        while self.pongs_owed > 0 && self.push_small(PONG)? {
            self.pongs_owed -= 1;
        }
        Ok(())
    }

    /// Sends a PING, between frames only; [`Connection::pongs`] counts the answers from zero.
    pub fn send_ping(&mut self) -> Result<bool, Error> {
        self.pongs = 0;
        self.push_small(PING)
    }

    /// The descriptor, to watch it.
    pub fn descriptor(&self) -> RawFd {
        self.link.socket().as_raw_fd()
    }

    /// Writes a few bytes whole or not at all.
    fn push_small(&mut self, bytes: &[u8]) -> Result<bool, Error> {
        let taken = self.push(bytes)?;
        if taken == 0 {
            return Ok(false);
        }
        if taken < bytes.len() {
            return Err(self.closed("the socket took part of six bytes"));
        }
        Ok(true)
    }

    #[cold]
    fn closed(&self, reason: &str) -> Error {
        Error::Connection { address: self.address.clone(), reason: reason.to_owned() }
    }
}

/// The error for bytes that are not the protocol, with the first of them.
#[cold]
pub fn malformed(data: &[u8]) -> Error {
    let shown = &data[..data.len().min(60)];
    Error::Protocol(format!("\"{}\"", shown.escape_ascii()))
}

fn server_error(text: &[u8]) -> Error {
    Error::Server(String::from_utf8_lossy(text).into_owned())
}

const READ_BYTES: usize = 256 * 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
const PING: &[u8] = b"PING\r\n";
/// Room for a connection that does not read.
const NARROW_BYTES: i32 = 4096;
const PONG: &[u8] = b"PONG\r\n";
