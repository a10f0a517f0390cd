//! A connection driven byte by byte: what is sent is what the test says, and
//! what comes back is compared with what the test says.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::{Broker, PATIENCE};

/// A blocking protocol connection.
pub(crate) struct Raw {
    stream: TcpStream,
    /// Received and not yet consumed: `buffer[start..]`.
    buffer: Vec<u8>,
    start: usize,
    info_line: String,
    /// Whether the broker's own PINGs are left for the test to see.
    shows_pings: bool,
}

/// A MSG or HMSG as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) subject: String,
    pub(crate) sid: String,
    pub(crate) reply: Option<String>,
    pub(crate) headers: Option<Vec<u8>>,
    pub(crate) payload: Vec<u8>,
}

impl Raw {
    /// Connects and reads the first INFO; sends nothing.
    pub(crate) fn connect(broker: &Broker) -> Self {
        let mut raw = Self {
            stream: broker.dial(),
            buffer: Vec::new(),
            start: 0,
            info_line: String::new(),
            shows_pings: false,
        };
        raw.info_line = raw.line();
        assert!(raw.info_line.starts_with("INFO {"), "first line: {:?}", raw.info_line);
        raw
    }

    /// Connects, sends `CONNECT {options}` and awaits the answer to a PING.
    /// The options must turn off `verbose` and leave `protocol` at 0.
    pub(crate) fn open_with(broker: &Broker, options: &str) -> Self {
        let mut raw = Self::connect(broker);
        raw.send(format!("CONNECT {options}\r\n"));
        raw.fence();
        raw
    }

    /// A quiet client without headers.
    pub(crate) fn open(broker: &Broker) -> Self {
        Self::open_with(broker, r#"{"verbose":false,"pedantic":false}"#)
    }

    /// A quiet client that understands headers and 503.
    pub(crate) fn open_headers(broker: &Broker) -> Self {
        let options = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;
        Self::open_with(broker, options)
    }

    /// The first INFO line, without its CRLF.
    pub(crate) fn info_line(&self) -> &str {
        &self.info_line
    }

    /// The first INFO.
    pub(crate) fn info(&self) -> Value {
        parse_info(&self.info_line)
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the broker takes the bytes");
    }

    /// Sends to a broker that may close the connection meanwhile.
    pub(crate) fn send_doomed(&mut self, bytes: impl AsRef<[u8]>) {
        if let Err(error) = self.stream.write_all(bytes.as_ref()) {
            let kind = error.kind();
            assert!(
                matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
                "sending to a closing connection: {error}"
            );
        }
    }

    /// `PUB subject size`, payload.
    pub(crate) fn publish(&mut self, subject: &str, payload: impl AsRef<[u8]>) {
        let payload = payload.as_ref();
        let mut frame = format!("PUB {subject} {}\r\n", payload.len()).into_bytes();
        frame.extend_from_slice(payload);
        frame.extend_from_slice(b"\r\n");
        self.send(frame);
    }

    /// The end of what this side sends; the broker may have ended it before.
    pub(crate) fn finish(&self) {
        if let Err(error) = self.stream.shutdown(Shutdown::Write) {
            assert_eq!(error.kind(), ErrorKind::NotConnected, "{error}");
        }
    }

    /// From here on the broker's PINGs are shown to the test; before, they are
    /// answered and left out, since they may come at any time.
    pub(crate) fn show_pings(&mut self) {
        self.shows_pings = true;
    }

    /// The next line without its CRLF.
    pub(crate) fn line(&mut self) -> String {
        loop {
            let line = self.any_line();
            if line != "PING" || self.shows_pings {
                return line;
            }
            self.send_doomed("PONG\r\n");
        }
    }

    fn any_line(&mut self) -> String {
        let end = loop {
            let unread = &self.buffer[self.start..];
            if let Some(end) = unread.windows(2).position(|pair| pair == b"\r\n") {
                break end;
            }
            assert!(self.fill(), "closed in the middle of a line: {:?}", self.unread());
        };
        let line = String::from_utf8(self.take(end)).expect("a line of UTF-8");
        self.take(2);
        line
    }

    /// The next line, or nothing if the connection has ended before it.
    pub(crate) fn next_line(&mut self) -> Option<String> {
        if self.start == self.buffer.len() && !self.fill() {
            return None;
        }
        Some(self.line())
    }

    pub(crate) fn expect_line(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// The next bytes are exactly these.
    pub(crate) fn expect_exact(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let mut matched = 0;
        while matched < bytes.len() {
            if self.start == self.buffer.len() && !self.fill() {
                break;
            }
            if self.buffer[self.start] != bytes[matched] {
                let Some(taken_back) = self.skip_ping(&bytes[..matched]) else { break };
                matched -= taken_back;
                continue;
            }
            let unread = &self.buffer[self.start..];
            let same = unread.iter().zip(&bytes[matched..]).take_while(|(a, b)| a == b).count();
            matched += same;
            self.start += same;
        }
        assert!(
            matched == bytes.len(),
            "expected {:?}\n got {matched} bytes of it, then {:?}",
            text(bytes),
            self.unread()
        );
    }

    /// Answers and removes a PING that the broker put where the bytes differ
    /// from the expected ones, of which `matched` came before. Returns how many
    /// of these were in truth of the PING: one, if PONG is expected.
    fn skip_ping(&mut self, matched: &[u8]) -> Option<usize> {
        const PING: &[u8] = b"PING\r\n";
        let inside = matched == b"P" || matched.ends_with(b"\nP");
        let between_lines = matched.is_empty() || matched.ends_with(b"\n");
        if self.shows_pings || !(between_lines || inside) {
            return None;
        }
        let taken_back = usize::from(inside);
        let at = self.start.checked_sub(taken_back)?;
        while self.buffer.len() - at < PING.len() {
            if !self.fill() {
                return None;
            }
        }
        if !self.buffer[at..].starts_with(PING) {
            return None;
        }
        self.buffer.drain(at..at + PING.len());
        self.start = at;
        self.send_doomed("PONG\r\n");
        Some(taken_back)
    }

    /// The connection ends here, without another byte.
    pub(crate) fn expect_eof(&mut self) {
        let rest = self.rest();
        assert!(
            rest.is_empty() || (rest == b"PING\r\n" && !self.shows_pings),
            "expected the end of the connection, got {:?}",
            text(&rest)
        );
    }

    /// `-ERR 'text'` and the end of the connection.
    pub(crate) fn expect_fatal(&mut self, error: &str) {
        self.expect_exact(format!("-ERR '{error}'\r\n"));
        self.expect_eof();
    }

    /// PING is answered by PONG, with nothing before it: whatever was sent up
    /// to here has had no effect on this connection but what was expected.
    pub(crate) fn fence(&mut self) {
        self.send("PING\r\n");
        self.expect_exact("PONG\r\n");
    }

    /// Sends PING and returns all messages that come before its PONG.
    pub(crate) fn drain(&mut self) -> Vec<Message> {
        self.send("PING\r\n");
        self.until_pong()
    }

    /// All messages before the next PONG.
    pub(crate) fn until_pong(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let line = self.line();
            if line == "PONG" {
                return messages;
            }
            messages.push(self.message_of(&line));
        }
    }

    /// The next message.
    pub(crate) fn message(&mut self) -> Message {
        let line = self.line();
        self.message_of(&line)
    }

    /// The message whose control line was just read.
    pub(crate) fn message_of(&mut self, line: &str) -> Message {
        let mut words = line.split_ascii_whitespace();
        let op = words.next().unwrap_or_default();
        let args: Vec<&str> = words.collect();
        let size = |word: &str| word.parse::<usize>().expect("a size");
        let (subject, sid, reply, header_size, total) = match (op, args.as_slice()) {
            ("MSG", [subject, sid, total]) => (subject, sid, None, None, size(total)),
            ("MSG", [subject, sid, reply, total]) => (subject, sid, Some(reply), None, size(total)),
            ("HMSG", [subject, sid, header, total]) => {
                (subject, sid, None, Some(size(header)), size(total))
            }
            ("HMSG", [subject, sid, reply, header, total]) => {
                (subject, sid, Some(reply), Some(size(header)), size(total))
            }
            _ => panic!("expected a message, got {line:?}"),
        };
        let mut body = self.exact(total + 2);
        assert!(body.ends_with(b"\r\n"), "the payload of {line:?} ends with CRLF");
        body.truncate(total);
        let payload = body.split_off(header_size.unwrap_or(0));
        Message {
            subject: (*subject).to_owned(),
            sid: (*sid).to_owned(),
            reply: reply.map(|reply| (*reply).to_owned()),
            headers: header_size.map(|_| body),
            payload,
        }
    }

    /// Reads an INFO line.
    pub(crate) fn expect_info(&mut self) -> Value {
        let line = self.line();
        assert!(line.starts_with("INFO {"), "expected INFO, got {line:?}");
        parse_info(&line)
    }

    /// The next `count` bytes.
    pub(crate) fn exact(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() - self.start < count {
            assert!(self.fill(), "closed, {count} bytes expected, got {:?}", self.unread());
        }
        self.take(count)
    }

    /// All that comes until the connection ends.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        self.take(self.buffer.len() - self.start)
    }

    /// Whether nothing arrives for this long. Only for the few tests of time
    /// itself; everything else uses [`Raw::fence`].
    pub(crate) fn silent_for(&mut self, limit: Duration) -> bool {
        assert!(self.start == self.buffer.len(), "unread: {:?}", self.unread());
        self.stream.set_read_timeout(Some(limit)).expect("a read timeout");
        let mut byte = [0; 1];
        let silent = match self.stream.peek(&mut byte) {
            Ok(_) => false,
            Err(error) if error.kind() == ErrorKind::WouldBlock => true,
            Err(error) => panic!("waiting for silence: {error}"),
        };
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        silent
    }

    /// Reads more; false at the end of the connection. A reset is an end too:
    /// the kernel sends one when the broker closes with bytes still unread.
    fn fill(&mut self) -> bool {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
        let old = self.buffer.len();
        self.buffer.resize(old + 64 * 1024, 0);
        let count = match self.stream.read(&mut self.buffer[old..]) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            // A process that is stopped and goes on is interrupted, if its reads have a limit.
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.buffer.truncate(old);
                return self.fill();
            }
            Err(error) => {
                self.buffer.truncate(old);
                panic!("no answer: {error}; unread: {:?}", self.unread());
            }
        };
        self.buffer.truncate(old + count);
        count > 0
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let end = self.start + count;
        let bytes = self.buffer[self.start..end].to_vec();
        self.start = end;
        bytes
    }

    fn unread(&self) -> String {
        text(&self.buffer[self.start..])
    }
}

fn parse_info(line: &str) -> Value {
    let json = line.strip_prefix("INFO ").expect("an INFO line");
    serde_json::from_str(json).expect("INFO is JSON")
}

/// Bytes for a panic message, cut to a readable length.
fn text(bytes: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
    if bytes.len() > 400 {
        format!("{shown}... ({} bytes)", bytes.len())
    } else {
        shown
    }
}
