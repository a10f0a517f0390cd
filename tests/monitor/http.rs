//! HTTP by hand: what is sent and what comes back, byte for byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::common::{Broker, PATIENCE};

/// A broker with a monitoring port.
pub(crate) struct Monitored {
    pub(crate) broker: Broker,
    pub(crate) address: SocketAddr,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Monitored {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut line = vec!["-m", "-1"];
        line.extend_from_slice(args);
        let broker = Broker::start(&line);
        let text = broker.wait_log("Starting http monitor on ");
        let (_, address) = text.rsplit_once(" on ").expect("an address in the log");
        let address = address.trim().parse().expect("host and port in the log");
        Self { broker, address }
    }

    /// Whether this is Midge and not what it is compared with.
    pub(crate) fn is_midge(&self) -> bool {
        self.json("/varz")["go"] == "rust"
    }

    pub(crate) fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        stream
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask("GET", target)
    }

    pub(crate) fn ask(&self, method: &str, target: &str) -> Answer {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        Answer::parse(&self.raw(request.as_bytes()))
    }

    /// Sends bytes and reads until the end of the connection.
    pub(crate) fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.dial();
        // Whoever is refused may be cut off while it still sends.
        let _sent = stream.write_all(bytes);
        let mut text = Vec::new();
        let _reset_is_an_end = stream.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// A page that has to be there.
    pub(crate) fn json(&self, target: &str) -> Value {
        let answer = self.get(target);
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        serde_json::from_str(&answer.body).expect("a page of JSON")
    }
}

impl Answer {
    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = if head.contains("Transfer-Encoding: chunked") {
            unchunked(body)
        } else {
            body.to_owned()
        };
        Self { status: status.expect("a status"), head: head.to_owned(), body }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }
}

fn unchunked(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        body.push_str(&rest[..size]);
        text = &rest[size + 2..];
        if size == 0 {
            break;
        }
    }
    body
}
