//! What is answered to an upgrade request.

use data_encoding::BASE64;

use super::request::Upgrade;

/// Why a request is not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// What the log says.
    pub text: String,
    /// The request was none that HTTP knows; the log says nothing.
    pub malformed: bool,
}

impl Refusal {
    /// A request for something else than what is served here.
    pub(super) fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), malformed: false }
    }

    /// Bytes that are no request.
    pub(super) fn malformed(status: u16, text: &str) -> Self {
        Self { status, text: text.to_owned(), malformed: true }
    }

    /// Appends the answer, after which the connection is closed.
    pub fn write(&self, out: &mut Vec<u8>) {
        let name = match self.status {
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            431 => "Request Header Fields Too Large",
            505 => "HTTP Version Not Supported",
            _ => "Bad Request",
        };
        let status = self.status;
        if self.malformed {
            let text =
                if self.text.is_empty() { String::new() } else { format!(": {}", self.text) };
            let rest = format!(
                "HTTP/1.1 {status} {name}{text}\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Connection: close\r\n\r\n{status} {name}{text}"
            );
            out.extend_from_slice(rest.as_bytes());
            return;
        }
        let rest = format!(
            "HTTP/1.1 {status} {name}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Sec-Websocket-Version: 13\r\nX-Content-Type-Options: nosniff\r\nContent-Length: {}\r\nConnection: close\r\n\r\n\
             {name}\n",
            name.len() + 1
        );
        out.extend_from_slice(rest.as_bytes());
    }
}

/// Appends the answer that grants an upgrade; `headers` are further lines, each with its end.
pub(super) fn write_switch(out: &mut Vec<u8>, upgrade: &Upgrade, key: &[u8], headers: &[u8]) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    out.extend_from_slice(accept_key(key).as_bytes());
    out.extend_from_slice(b"\r\n");
    if upgrade.compression {
        out.extend_from_slice(
            b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
              client_no_context_takeover\r\n",
        );
    }
    if !upgrade.masked {
        out.extend_from_slice(b"Nats-No-Masking: true\r\n");
    }
    out.extend_from_slice(headers);
    out.extend_from_slice(b"\r\n");
}

/// What proves that the key was read (RFC 6455, 4.2.2).
fn accept_key(key: &[u8]) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64.encode(context.finish().as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_holds() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_refusal_says_its_status_only() {
        let mut out = Vec::new();
        Refusal::new(403, "origin not allowed: not same origin").write(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{text}");
        assert!(text.contains("Content-Length: 10\r\n") && text.ends_with("\r\n\r\nForbidden\n"));
    }
}
