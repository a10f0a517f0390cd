//! Requests to the stream API, one after the other, on a connection of their own.

use serde_json::Value;

use crate::connection::{Access, Connection, ReadBuffer};
use crate::error::Error;
use crate::sys::{clock, epoll::Epoll, signal};
use crate::workload::Target;

/// A connection for requests.
pub struct Api {
    connection: Connection,
    epoll: Epoll,
    buffer: ReadBuffer,
    inbox: String,
    asked: u64,
    patience_ns: u64,
}

impl Api {
    /// Connects; an answer may take `patience_ns`.
    pub fn open(target: &Target, tag: u16, patience_ns: u64) -> Result<Self, Error> {
        let inbox = format!("_INBOX.{tag:04x}.api.");
        let setup = format!("SUB {inbox}* 1\r\n");
        let connection = open(target, setup.as_bytes())?;
        let epoll = Epoll::new()?;
        epoll.add(connection.descriptor(), 0)?;
        let buffer = ReadBuffer::new(REPLY_BYTES_MAX);
        Ok(Self { connection, epoll, buffer, inbox, asked: 0, patience_ns })
    }

    /// Asks `$JS.API.<verb>` and returns the answer, an error if it is one.
    pub fn call(&mut self, verb: &str, body: &Value) -> Result<Value, Error> {
        let subject = format!("$JS.API.{verb}");
        let fail = |reason: String| Error::Api { subject: subject.clone(), reason };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let text = self.ask(&subject, body.as_bytes())?;
        let reply: Value =
            serde_json::from_slice(&text).map_err(|error| fail(format!("not JSON: {error}")))?;
        match reply.get("error") {
            Some(error) => Err(fail(error.to_string())),
            None => Ok(reply),
        }
    }

    fn ask(&mut self, subject: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        let fail = |reason: &str| Error::Api { subject: subject.into(), reason: reason.into() };
        self.asked += 1;
        let reply = format!("{}{}", self.inbox, self.asked);
        let mut frame = format!("PUB {subject} {reply} {}\r\n", body.len()).into_bytes();
        frame.extend_from_slice(body);
        frame.extend_from_slice(b"\r\n");
        let mut written = 0;
        let mut answer = None;
        let started = clock::now();
        while answer.is_none() {
            if written < frame.len() && self.connection.writable {
                written += self.connection.push(&frame[written..])?;
            }
            if self.connection.readable {
                self.connection.pull_messages(&mut self.buffer, |msg, _| {
                    if msg.subject == reply.as_bytes() {
                        answer = Some((msg.has_header, msg.payload.to_vec()));
                    }
                })?;
            }
            if written == frame.len() {
                self.connection.answer_pings()?;
            }
            if signal::stop_requested() {
                return Err(Error::Interrupted);
            }
            if answer.is_none() && clock::now() - started > self.patience_ns.max(PATIENCE_NS) {
                return Err(fail("no answer in time"));
            }
            for ready in self.epoll.wait(if answer.is_some() { 0 } else { POLL_NS })? {
                self.connection.readable |= ready.readable;
                self.connection.writable |= ready.writable;
            }
        }
        match answer {
            Some((false, payload)) => Ok(payload),
            _ => Err(fail("nobody answers: does this server have JetStream?")),
        }
    }
}

/// Opens a connection that understands header blocks.
pub fn open(target: &Target, setup: &[u8]) -> Result<Connection, Error> {
    let access = Access { headers: true, ..target.access.clone() };
    Connection::open(target.address, &access, setup)
}

const REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Creating or deleting a large stream may take longer than a lost message is waited for.
const PATIENCE_NS: u64 = 20_000_000_000;
const POLL_NS: u64 = 10_000_000;
