//! The tail of a frame that the broker writes itself.

use crate::proto::Publish;

/// What follows the subject in a frame: `[reply ][header size ]size\r\n`, headers, body, `\r\n`.
#[derive(Debug, Default)]
pub(super) struct Frame {
    tail: Vec<u8>,
    reply_len: usize,
    header_at: usize,
    header_len: Option<u32>,
    size_at: usize,
    payload_at: usize,
}

impl Frame {
    /// Writes a frame over the last one. A header block that is empty is none.
    pub(super) fn compose(&mut self, reply: &[u8], headers: &[u8], body: &[u8]) {
        let tail = &mut self.tail;
        tail.clear();
        self.reply_len = reply.len();
        if !reply.is_empty() {
            tail.extend_from_slice(reply);
            tail.push(b' ');
        }
        let mut digits = itoa::Buffer::new();
        self.header_at = tail.len();
        self.header_len = (!headers.is_empty()).then(|| length_of(headers));
        if !headers.is_empty() {
            tail.extend_from_slice(digits.format(headers.len()).as_bytes());
            tail.push(b' ');
        }
        self.size_at = tail.len();
        tail.extend_from_slice(digits.format(headers.len() + body.len()).as_bytes());
        tail.extend_from_slice(b"\r\n");
        self.payload_at = tail.len();
        tail.extend_from_slice(headers);
        tail.extend_from_slice(body);
        tail.extend_from_slice(b"\r\n");
    }

    /// The frame as a message to `subject`.
    pub(super) fn publish<'f>(&'f self, subject: &'f [u8]) -> Publish<'f> {
        let tail = &self.tail[..];
        let header_end = if self.header_len.is_some() { self.size_at - 1 } else { self.header_at };
        Publish {
            subject,
            reply: &tail[..self.reply_len],
            header_len: self.header_len,
            header_size_text: &tail[self.header_at..header_end],
            size_text: &tail[self.size_at..self.payload_at - 2],
            payload: &tail[self.payload_at..tail.len() - 2],
            tail: Some(tail),
        }
    }
}

/// Lengths are below 4 GiB: payloads have at most nine digits.
#[expect(clippy::cast_possible_truncation, reason = "checked by the assertion")]
pub(super) fn length_of(bytes: &[u8]) -> u32 {
    assert!(bytes.len() < u32::MAX as usize);
    bytes.len() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_what_a_publisher_would_have_sent() {
        let mut frame = Frame::default();
        for (reply, headers, body) in [
            (&b""[..], &b""[..], &b"hello"[..]),
            (b"in.box", b"", b""),
            (b"in.box", b"NATS/1.0\r\n\r\n", b"hi"),
        ] {
            frame.compose(reply, headers, body);
            let message = frame.publish(b"a");
            assert_eq!((message.subject, message.reply), (&b"a"[..], reply));
            assert_eq!(message.payload, [headers, body].concat());
            assert_eq!(message.size_text, message.payload.len().to_string().as_bytes());
            let has_headers = !headers.is_empty();
            assert_eq!(message.header_len.is_some(), has_headers);
            assert_eq!(message.header_size_text.is_empty(), !has_headers);
            let tail = message.tail.unwrap();
            assert!(tail.starts_with(reply) && tail.ends_with(b"\r\n"));
        }
    }
}
