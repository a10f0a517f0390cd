//! Reads what a server sends: one operation at a time, borrowing from the read buffer.
//!
//! This is the general parser. Subscribers that know their next header compare it as a whole and
//! come here only when that fails, so its speed matters for workloads with many subjects only.

use memchr::memchr;

/// One operation of the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// A message, with or without a header block.
    Msg(Msg<'a>),
    /// The server wants a PONG.
    Ping,
    /// The answer to our PING.
    Pong,
    /// INFO or +OK, which ask for nothing.
    Ignored,
    /// The text of an -ERR.
    Err(&'a [u8]),
}

/// A delivered message.
#[derive(Debug, PartialEq, Eq)]
pub struct Msg<'a> {
    /// The subject it was published to.
    pub subject: &'a [u8],
    /// The subscription it is for.
    pub sid: &'a [u8],
    /// Where the publisher wants an answer; empty if nowhere.
    pub reply: &'a [u8],
    /// The payload, after the header block if there is one.
    pub payload: &'a [u8],
    /// The header block with its first line; empty if there is none.
    pub header: &'a [u8],
    /// True if the server sent a header block, as it does to say that nobody answers.
    pub has_header: bool,
}

/// Why the bytes are not an operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The operation does not end in these bytes; read more.
    Incomplete,
    /// These bytes never become an operation.
    Malformed,
}

/// Longest control line taken; servers send up to 4096 bytes of arguments, INFO may be longer.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Splits the first operation off `data`; also returns its length in bytes.
pub fn next_op(data: &[u8]) -> Result<(Op<'_>, usize), Trouble> {
    let Some(end) = memchr(b'\n', data) else {
        let too_long = data.len() > LINE_BYTES_MAX;
        return Err(if too_long { Trouble::Malformed } else { Trouble::Incomplete });
    };
    let line = data[..end].strip_suffix(b"\r").unwrap_or(&data[..end]);
    let body = &data[end + 1..];
    let op = match line.first() {
        Some(b'M') => return message(line.strip_prefix(b"MSG "), body, end + 1, false),
        Some(b'H') => return message(line.strip_prefix(b"HMSG "), body, end + 1, true),
        Some(b'P') if line == b"PING" => Op::Ping,
        Some(b'P') if line == b"PONG" => Op::Pong,
        Some(b'+') if line == b"+OK" => Op::Ignored,
        Some(b'I') if line.starts_with(b"INFO ") => Op::Ignored,
        Some(b'-') if line.starts_with(b"-ERR") => Op::Err(line[4..].trim_ascii()),
        _ => return Err(Trouble::Malformed),
    };
    Ok((op, end + 1))
}

fn message<'a>(
    line: Option<&'a [u8]>,
    body: &'a [u8],
    body_at: usize,
    has_header: bool,
) -> Result<(Op<'a>, usize), Trouble> {
    let mut fields: [&[u8]; 6] = [b""; 6];
    let mut count = 0;
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    for field in line.ok_or(Trouble::Malformed)?.split(is_blank) {
        if !field.is_empty() && count < fields.len() {
            fields[count] = field;
            count += 1;
        }
    }
    let sizes = 1 + usize::from(has_header);
    let reply = match count.checked_sub(2 + sizes) {
        Some(0) => &b""[..],
        Some(1) => fields[2],
        _ => return Err(Trouble::Malformed),
    };
    let total = number(fields[count - 1]).ok_or(Trouble::Malformed)?;
    let header = if has_header { number(fields[count - 2]) } else { Some(0) };
    let header = header.filter(|&header| header <= total).ok_or(Trouble::Malformed)?;
    if body.len() < total + 2 {
        return Err(Trouble::Incomplete);
    }
    if &body[total..total + 2] != b"\r\n" {
        return Err(Trouble::Malformed);
    }
    let (header, payload) = body[..total].split_at(header);
    let msg = Msg { subject: fields[0], sid: fields[1], reply, payload, header, has_header };
    Ok((Op::Msg(msg), body_at + total + 2))
}

/// Reads a decimal number of at most nine digits, the most the protocol allows.
pub fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + usize::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn msg(data: &[u8]) -> Msg<'_> {
        match next_op(data) {
            Ok((Op::Msg(msg), taken)) if taken == data.len() => msg,
            other => panic!("not one message: {other:?}"),
        }
    }

    #[test]
    fn messages_with_and_without_reply_and_header_are_read() {
        let plain = msg(b"MSG a.b 7 5\r\nhello\r\n");
        assert_eq!((plain.subject, plain.sid), (&b"a.b"[..], &b"7"[..]));
        assert_eq!((plain.reply, plain.payload), (&b""[..], &b"hello"[..]));
        assert_eq!(msg(b"MSG a 7 _I.1  0\r\n\r\n").reply, b"_I.1");
        let header = msg(b"HMSG a 7 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
        assert_eq!((header.payload, header.has_header), (&b"hi"[..], true));
        assert_eq!(header.header, b"NATS/1.0\r\n\r\n");
    }

    #[test]
    fn every_cut_of_a_message_is_incomplete() {
        let whole = b"MSG a.b 7 5\r\nhello\r\n";
        for cut in 0..whole.len() {
            assert_eq!(next_op(&whole[..cut]), Err(Trouble::Incomplete), "cut at {cut}");
        }
    }

    #[test]
    fn the_other_operations_are_told_apart() {
        assert_eq!(next_op(b"PING\r\nx"), Ok((Op::Ping, 6)));
        assert_eq!(next_op(b"PONG\r\n"), Ok((Op::Pong, 6)));
        assert_eq!(next_op(b"+OK\r\n"), Ok((Op::Ignored, 5)));
        assert_eq!(next_op(b"INFO {} \r\n"), Ok((Op::Ignored, 10)));
        assert_eq!(next_op(b"-ERR 'no'\r\n"), Ok((Op::Err(b"'no'"), 11)));
    }

    #[test]
    fn nonsense_is_malformed() {
        for bad in [
            &b"\r\n"[..],
            b"MSG a 1\r\n",
            b"MSG a 1 r x 5\r\nhello\r\n",
            b"MSG a 1 -5\r\n",
            b"MSG a 1 5\r\nhelloXX",
            b"HMSG a 1 9 5\r\nhello\r\n",
            b"HELLO\r\n",
        ] {
            assert_eq!(next_op(bad), Err(Trouble::Malformed), "{:?}", bad.escape_ascii());
        }
        assert_eq!(next_op(&vec![b'x'; LINE_BYTES_MAX + 1]), Err(Trouble::Malformed));
    }
}
