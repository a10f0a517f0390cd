//! Frames from the server to a client, appended to a buffer.
//!
//! This is the slow path of a delivery: the fast one copies `Publish::tail` behind a prefix kept with
//! the subscription. Cost: no allocation beyond the growth of `out`; the payload is copied once.
//! Names are written as they are: the parser keeps blanks, CR and LF out of them.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::decimal::{write_decimal, DECIMAL_LEN_MAX};
use super::Publish;

/// The server's PING, and what a client sends.
pub const PING: &[u8] = b"PING\r\n";
/// The answer to PING.
pub const PONG: &[u8] = b"PONG\r\n";
/// What a verbose client gets for each accepted operation.
pub const OK: &[u8] = b"+OK\r\n";

/// A message to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Delivery subject: the (mapped) publish subject, not that of the subscription.
    pub subject: &'a [u8],
    /// Reply subject; empty means none.
    pub reply: &'a [u8],
    /// Bytes of the header block at the start of `payload`, `<= payload.len()`. `None` and `Some(0)`
    /// are delivered as MSG.
    pub header_len: Option<u32>,
    /// Header block and body.
    pub payload: &'a [u8],
}

/// Appends `MSG <subject> <sid> [reply] <size>` or `HMSG <subject> <sid> [reply] <hdr> <size>` and
/// the payload.
pub fn write_message(out: &mut Vec<u8>, sid: &[u8], message: &Message<'_>) {
    let header_len = message.header_len.filter(|len| *len > 0);
    reserve_frame(out, sid, message.subject, message.reply, message.payload);
    write_names(out, header_len.is_some(), message.subject, sid, message.reply);
    if let Some(header_len) = header_len {
        write_decimal(out, u64::from(header_len));
        out.push(b' ');
    }
    write_decimal(out, message.payload.len() as u64);
    write_payload(out, message.payload);
}

/// Appends the message as MSG without its header block, for a client that did not negotiate headers.
pub fn write_message_without_headers(out: &mut Vec<u8>, sid: &[u8], message: &Message<'_>) {
    let header_len = message.header_len.and_then(|len| usize::try_from(len).ok()).unwrap_or(0);
    let body = message.payload.get(header_len..).unwrap_or_default();
    write_message(out, sid, &Message { header_len: None, payload: body, ..*message });
}

/// Appends a publish that has no `tail` to copy, with its sizes spelled as the publisher spelled
/// them. `subject` is the delivery subject, which a mapping may have changed.
pub fn write_publish(out: &mut Vec<u8>, subject: &[u8], sid: &[u8], publish: &Publish<'_>) {
    let headers = publish.header_len.is_some_and(|len| len > 0);
    reserve_frame(out, sid, subject, publish.reply, publish.payload);
    write_names(out, headers, subject, sid, publish.reply);
    if headers {
        out.extend_from_slice(publish.header_size_text);
        out.push(b' ');
    }
    out.extend_from_slice(publish.size_text);
    write_payload(out, publish.payload);
}

fn reserve_frame(out: &mut Vec<u8>, sid: &[u8], subject: &[u8], reply: &[u8], payload: &[u8]) {
    let names = subject.len().saturating_add(sid.len()).saturating_add(reply.len());
    out.reserve(names.saturating_add(payload.len()).saturating_add(FRAME_FIXED_LEN_MAX));
}

/// Everything up to the sizes.
fn write_names(out: &mut Vec<u8>, headers: bool, subject: &[u8], sid: &[u8], reply: &[u8]) {
    out.extend_from_slice(if headers { b"HMSG " } else { b"MSG " });
    out.extend_from_slice(subject);
    out.push(b' ');
    out.extend_from_slice(sid);
    out.push(b' ');
    if !reply.is_empty() {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
}

fn write_payload(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// `HMSG`, four blanks, two line ends and two sizes.
const FRAME_FIXED_LEN_MAX: usize = 4 + 4 + 4 + 2 * DECIMAL_LEN_MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{parse, Command, Parsed, ParserLimits};

    fn message(reply: &'static [u8], header_len: Option<u32>) -> Message<'static> {
        Message { subject: b"a.b", reply, header_len, payload: b"NATS/1.0\r\n\r\nhi" }
    }

    fn written(write: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn frames_are_byte_exact() {
        let frame = |reply, header_len| {
            written(|out| {
                write_message(out, b"7", &message(reply, header_len));
            })
        };
        assert_eq!(frame(b"", None), b"MSG a.b 7 14\r\nNATS/1.0\r\n\r\nhi\r\n");
        assert_eq!(frame(b"r", None), b"MSG a.b 7 r 14\r\nNATS/1.0\r\n\r\nhi\r\n");
        assert_eq!(frame(b"", Some(0)), b"MSG a.b 7 14\r\nNATS/1.0\r\n\r\nhi\r\n");
        assert_eq!(frame(b"", Some(12)), b"HMSG a.b 7 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
        assert_eq!(frame(b"r", Some(12)), b"HMSG a.b 7 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    }

    #[test]
    fn stripping_headers_reduces_the_size() {
        let frame = |header_len| {
            written(|out| {
                write_message_without_headers(out, b"7", &message(b"", header_len));
            })
        };
        assert_eq!(frame(Some(12)), b"MSG a.b 7 2\r\nhi\r\n");
        assert_eq!(frame(Some(14)), b"MSG a.b 7 0\r\n\r\n");
        assert_eq!(frame(Some(99)), b"MSG a.b 7 0\r\n\r\n");
        assert_eq!(frame(None), b"MSG a.b 7 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    }

    /// Goal: sizes are echoed verbatim. Method: frames recorded from nats-server 2.15.1.
    #[test]
    fn sizes_are_echoed_as_they_were_spelled() {
        let limits = ParserLimits { headers: true, ..ParserLimits::default() };
        let echo = |frame: &[u8]| {
            let Ok(Parsed::Command { command: Command::Publish(publish), .. }) =
                parse(frame, &limits)
            else {
                panic!("not a publish");
            };
            written(|out| write_publish(out, publish.subject, b"1", &publish))
        };
        assert_eq!(echo(b"PUB a  0002  \r\nhi\r\n"), b"MSG a 1 0002\r\nhi\r\n");
        assert_eq!(echo(b"HPUB a 02 002\r\nhi\r\n"), b"HMSG a 1 02 002\r\nhi\r\n");
        assert_eq!(echo(b"HPUB a r 0 2\r\nhi\r\n"), b"MSG a 1 r 2\r\nhi\r\n");
    }
}
