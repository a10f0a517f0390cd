//! A connection to a broker that may die at any moment: every call tells whether it did.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use serde_json::Value;

use crate::common::{Broker, PATIENCE};

/// The broker is gone, as it should be now and then.
#[derive(Debug)]
pub(crate) struct Gone;

/// A blocking connection that understands headers.
pub(crate) struct Link {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    inbox: String,
    asked: u64,
    /// The broker was asked to stop: it may have stopped a part of itself.
    is_stopping: Arc<AtomicBool>,
}

/// A message as received.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) subject: String,
    pub(crate) reply: String,
    pub(crate) header: String,
    pub(crate) payload: Vec<u8>,
}

impl Link {
    /// Connects; answers come to subjects below `inbox`.
    pub(crate) fn open(
        broker: &Broker,
        inbox: &str,
        is_stopping: &Arc<AtomicBool>,
    ) -> Result<Self, Gone> {
        let stream = TcpStream::connect(broker.address()).map_err(|_| Gone)?;
        stream.set_nodelay(true).map_err(|_| Gone)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|_| Gone)?;
        let mut link = Self {
            stream,
            buffer: Vec::new(),
            start: 0,
            inbox: inbox.to_owned(),
            asked: 0,
            is_stopping: Arc::clone(is_stopping),
        };
        let options = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;
        link.send(format!("CONNECT {options}\r\nSUB {inbox}.> 1\r\n").as_bytes())?;
        Ok(link)
    }

    /// A subject that answers to this connection come to.
    pub(crate) fn reply_to(&self, name: u64) -> String {
        format!("{}.{name}", self.inbox)
    }

    /// The number at the end of a subject made by [`Link::reply_to`].
    pub(crate) fn name_of(&self, subject: &str) -> Option<u64> {
        subject.strip_prefix(&self.inbox)?.strip_prefix('.')?.parse().ok()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.stream.write_all(bytes).map_err(|_| Gone)
    }

    /// The next message. A broker that lives and says nothing fails the test.
    pub(crate) fn next(&mut self) -> Result<Message, Gone> {
        loop {
            let line = self.line()?;
            let words: Vec<&str> = line.split(' ').collect();
            let size = |word: &str| word.parse::<usize>().expect("a size");
            let (subject, reply, header, total) = match words[..] {
                ["MSG", subject, _, total] => (subject, "", 0, size(total)),
                ["MSG", subject, _, reply, total] => (subject, reply, 0, size(total)),
                ["HMSG", subject, _, header, total] => (subject, "", size(header), size(total)),
                ["HMSG", subject, _, reply, header, total] => {
                    (subject, reply, size(header), size(total))
                }
                ["PING"] => {
                    self.send(b"PONG\r\n")?;
                    continue;
                }
                ["-ERR", ..] => panic!("the broker says {line}"),
                _ => continue,
            };
            let mut body = self.take(total + 2)?;
            body.truncate(total);
            let payload = body.split_off(header);
            let header = String::from_utf8(body).expect("headers are text");
            if header.starts_with("NATS/1.0 503") && self.is_stopping.load(Ordering::Relaxed) {
                return Err(Gone);
            }
            let (subject, reply) = (subject.to_owned(), reply.to_owned());
            return Ok(Message { subject, reply, header, payload });
        }
    }

    /// Asks `$JS.API.<verb>`; whatever else comes meanwhile fails the test.
    pub(crate) fn call(&mut self, verb: &str, body: &Value) -> Result<Value, Gone> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.asked += 1;
        let reply = self.reply_to(API_NAMES + self.asked);
        let length = body.len();
        self.send(format!("PUB $JS.API.{verb} {reply} {length}\r\n{body}\r\n").as_bytes())?;
        let message = self.next()?;
        assert_eq!(message.subject, reply, "an answer to something else: {message:?}");
        assert_eq!(message.header, "", "{verb}");
        Ok(serde_json::from_slice(&message.payload).expect("an answer in JSON"))
    }

    fn line(&mut self) -> Result<String, Gone> {
        let mut seen = self.start;
        loop {
            let unread = &self.buffer[seen..];
            if let Some(end) = unread.windows(2).position(|pair| pair == b"\r\n") {
                let end = seen + end;
                let line = String::from_utf8_lossy(&self.buffer[self.start..end]).into_owned();
                self.start = end + 2;
                return Ok(line);
            }
            let known = (self.buffer.len() - self.start).saturating_sub(1);
            self.fill()?;
            seen = self.start + known;
        }
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, Gone> {
        while self.buffer.len() - self.start < count {
            self.fill()?;
        }
        let bytes = self.buffer[self.start..self.start + count].to_vec();
        self.start += count;
        Ok(bytes)
    }

    fn fill(&mut self) -> Result<(), Gone> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let old = self.buffer.len();
        self.buffer.resize(old + 64 * 1024, 0);
        let count = match self.stream.read(&mut self.buffer[old..]) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!("a broker that runs says nothing for {PATIENCE:?}")
            }
            Err(_) => 0,
        };
        self.buffer.truncate(old + count);
        if count == 0 {
            return Err(Gone);
        }
        Ok(())
    }
}

/// Publishes are named by numbers below this, requests by numbers above.
const API_NAMES: u64 = 1 << 60;
