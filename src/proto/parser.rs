//! The client-to-server parser: bytes at an operation boundary in, one borrowed [`Command`] out.
//!
//! It keeps no state. When an operation is incomplete the caller keeps the bytes and calls again
//! with more of them; [`Parsed::Incomplete`] says how many make another call worthwhile. It does not
//! judge subjects, permissions or the order of operations.
//!
//! Invariants:
//! * The outcome of a stream does not depend on where it is cut: an error raised on partial input is
//!   the error the complete input gives.
//! * `1 <= consumed <= bytes.len()`, and `needed > bytes.len()`.
//! * All checks on a control line happen as soon as the line is there, before its payload.
//!
//! Bounds: arguments are limited by [`ParserLimits::control_line_bytes_max`], as are leading blanks
//! and what follows PING, PONG and +OK (nats-server ignores any amount there, this parser closes: it
//! would have to buffer them). A publish is limited by [`ParserLimits::payload_bytes_max`].
//!
//! Cost of one canonical publish: no allocation, no copy.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::canonical::parse_canonical;
use super::decimal::parse_decimal;
use super::{Command, Parsed, ParserLimits, ProtoError, Publish};

/// Parses the operation at the start of `bytes`.
///
/// A complete publish in its usual form takes the fast path, anything else the general one; both
/// give the same result. The fast path is inlined into the caller.
///
/// Match on a reference to the result (`match &parse(..)`): `Publish` is 13 words wide, and moving
/// it out of the nested enums costs as much as parsing it.
///
/// # Errors
/// The connection has to be closed; see [`ProtoError::wire_error`] for the text to send first.
#[inline]
pub fn parse<'a>(bytes: &'a [u8], limits: &ParserLimits) -> Result<Parsed<'a>, ProtoError> {
    match parse_canonical(bytes, limits) {
        Some(parsed) => Ok(parsed),
        None => parse_general(bytes, limits),
    }
}

/// Parses any operation, canonical or not.
#[cold]
#[inline(never)]
pub(super) fn parse_general<'a>(
    bytes: &'a [u8],
    limits: &ParserLimits,
) -> Result<Parsed<'a>, ProtoError> {
    let Some(op) = Op::lex(bytes)? else {
        return Ok(incomplete(bytes));
    };
    let after_name = bytes.get(op.name().len()..).unwrap_or_default();
    if op.needs_separator() {
        match after_name.first() {
            None => return Ok(incomplete(bytes)),
            Some(b' ' | b'\t') => {}
            Some(_) => return Err(ProtoError::UnknownOperation),
        }
    }
    let Some(line) = Line::find(op, after_name, limits.control_line_bytes_max)? else {
        return Ok(incomplete(bytes));
    };
    let after_line = line.rest;
    let command = match op {
        Op::Ping => Command::Ping,
        Op::Pong => Command::Pong,
        Op::Ok => Command::Ok,
        Op::Err => return Err(ProtoError::ErrorFromClient),
        Op::Connect => Command::Connect { json: line.args },
        Op::Info => Command::Info { json: line.args },
        Op::Sub => subscribe(line.args)?,
        Op::Unsub => unsubscribe(line.args)?,
        Op::Pub | Op::Hpub => {
            let head = PublishHead::parse(op, &line, limits)?;
            // A size has at most nine digits and the line lies in memory: nothing saturates.
            let line_len = bytes.len().saturating_sub(after_line.len());
            let frame_len = line_len.saturating_add(head.size).saturating_add(2);
            let Some(payload) = split_payload(after_line, head.size)? else {
                return Ok(Parsed::Incomplete { needed: frame_len });
            };
            let command = Command::Publish(head.into_publish(bytes, payload, frame_len));
            return Ok(Parsed::Command { command, consumed: frame_len });
        }
    };
    let consumed = bytes.len().saturating_sub(after_line.len());
    Ok(Parsed::Command { command, consumed })
}

fn incomplete(bytes: &[u8]) -> Parsed<'static> {
    Parsed::Incomplete { needed: bytes.len().saturating_add(1) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Pub,
    Hpub,
    Sub,
    Unsub,
    Connect,
    Info,
    Ping,
    Pong,
    Ok,
    Err,
}

impl Op {
    /// The operation `bytes` start with, `None` if they are too few to tell. Fails at the first byte
    /// that fits no operation, as nats-server does. Names match in any case.
    fn lex(bytes: &[u8]) -> Result<Option<Self>, ProtoError> {
        let candidates: &[Self] = match bytes.first() {
            None => return Ok(None),
            Some(b'P' | b'p') => &[Self::Pub, Self::Ping, Self::Pong],
            Some(b'S' | b's') => &[Self::Sub],
            Some(b'U' | b'u') => &[Self::Unsub],
            Some(b'H' | b'h') => &[Self::Hpub],
            Some(b'C' | b'c') => &[Self::Connect],
            Some(b'I' | b'i') => &[Self::Info],
            Some(b'+') => &[Self::Ok],
            Some(b'-') => &[Self::Err],
            Some(_) => return Err(ProtoError::UnknownOperation),
        };
        for &op in candidates {
            let name = op.name();
            if let Some(start) = bytes.get(..name.len()) {
                if start.eq_ignore_ascii_case(name) {
                    return Ok(Some(op));
                }
            } else if name.get(..bytes.len()).is_some_and(|start| start.eq_ignore_ascii_case(bytes))
            {
                return Ok(None);
            }
        }
        Err(ProtoError::UnknownOperation)
    }

    fn name(self) -> &'static [u8] {
        match self {
            Self::Pub => b"PUB",
            Self::Hpub => b"HPUB",
            Self::Sub => b"SUB",
            Self::Unsub => b"UNSUB",
            Self::Connect => b"CONNECT",
            Self::Info => b"INFO",
            Self::Ping => b"PING",
            Self::Pong => b"PONG",
            Self::Ok => b"+OK",
            Self::Err => b"-ERR",
        }
    }

    /// `CONNECT{}` and `INFO{}` are legal without a blank, the others are not.
    fn needs_separator(self) -> bool {
        matches!(self, Self::Pub | Self::Hpub | Self::Sub | Self::Unsub | Self::Err)
    }

    /// Whether everything up to the line end is ignored.
    fn ignores_arguments(self) -> bool {
        matches!(self, Self::Ping | Self::Pong | Self::Ok)
    }
}

/// A complete control line.
struct Line<'a> {
    /// From the first byte that is no blank up to the line end, trailing blanks included.
    args: &'a [u8],
    /// Whether there is exactly one space before `args` and CR LF behind.
    canonical: bool,
    /// What follows the LF.
    rest: &'a [u8],
}

impl<'a> Line<'a> {
    /// Splits off the control line; `None` if its LF has not arrived.
    fn find(op: Op, after_name: &'a [u8], args_len_max: usize) -> Result<Option<Self>, ProtoError> {
        let too_long = ProtoError::ControlLineTooLong { limit: args_len_max };
        let blanks = if op.ignores_arguments() {
            0
        } else {
            after_name.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
        };
        if blanks > args_len_max.saturating_add(1) {
            return Err(too_long);
        }
        let args_on = after_name.get(blanks..).unwrap_or_default();
        let window = args_on.get(..args_len_max.saturating_add(2)).unwrap_or(args_on);
        let Some(line_feed) = memchr::memchr(b'\n', window) else {
            let so_far = window.strip_suffix(b"\r").unwrap_or(window);
            return if so_far.len() > args_len_max { Err(too_long) } else { Ok(None) };
        };
        let (line, rest) = args_on.split_at(line_feed);
        let args = line.strip_suffix(b"\r").unwrap_or(line);
        if args.len() > args_len_max {
            return Err(too_long);
        }
        let canonical = args.len() < line.len();
        Ok(Some(Self { args, canonical, rest: rest.get(1..).unwrap_or_default() }))
    }
}

/// Up to `N` arguments between runs of separators; `None` if there are more.
fn split_arguments<const N: usize>(
    args: &[u8],
    is_separator: impl Fn(&u8) -> bool,
) -> Option<([&[u8]; N], usize)> {
    let mut found = [&[][..]; N];
    let mut count = 0_usize;
    for argument in args.split(is_separator).filter(|argument| !argument.is_empty()) {
        *found.get_mut(count)? = argument;
        count = count.saturating_add(1);
    }
    Some((found, count))
}

/// SUB and UNSUB take a stray CR for a separator, as nats-server does.
fn is_blank_or_return(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn subscribe(args: &[u8]) -> Result<Command<'_>, ProtoError> {
    match split_arguments(args, is_blank_or_return) {
        Some(([subject, sid, _], 2)) => Ok(Command::Subscribe { subject, queue: None, sid }),
        Some(([subject, queue, sid], 3)) => {
            Ok(Command::Subscribe { subject, queue: Some(queue), sid })
        }
        _ => Err(ProtoError::ArgumentCount { op: "SUB" }),
    }
}

fn unsubscribe(args: &[u8]) -> Result<Command<'_>, ProtoError> {
    match split_arguments(args, is_blank_or_return) {
        Some(([sid, _], 1)) => Ok(Command::Unsubscribe { sid, max: None }),
        Some(([sid, max], 2)) => {
            let max = parse_decimal(max).filter(|max| *max > 0).map(u64::from);
            Ok(Command::Unsubscribe { sid, max })
        }
        _ => Err(ProtoError::ArgumentCount { op: "UNSUB" }),
    }
}

/// The control line of a publish, checked.
struct PublishHead<'a> {
    subject: &'a [u8],
    reply: &'a [u8],
    header_len: Option<u32>,
    header_size_text: &'a [u8],
    size_text: &'a [u8],
    size: usize,
    /// Bytes of the control line behind `<subject> `, LF included, if it is canonical.
    tail_line_len: Option<usize>,
    /// Bytes of the control line that precede the payload: `bytes.len() - rest.len()`.
    rest_len: usize,
}

impl<'a> PublishHead<'a> {
    fn parse(op: Op, line: &Line<'a>, limits: &ParserLimits) -> Result<Self, ProtoError> {
        let headers = op == Op::Hpub;
        if headers && !limits.headers {
            return Err(ProtoError::HeadersNotNegotiated);
        }
        let arguments = split_arguments::<4>(line.args, is_blank);
        let (subject, reply, header_size_text, size_text) = match (headers, arguments) {
            (false, Some(([subject, size, ..], 2))) => (subject, &[][..], &[][..], size),
            (false, Some(([subject, reply, size, _], 3))) => (subject, reply, &[][..], size),
            (true, Some(([subject, header, size, _], 3))) => (subject, &[][..], header, size),
            (true, Some(([subject, reply, header, size], 4))) => (subject, reply, header, size),
            (false, _) => return Err(ProtoError::ArgumentCount { op: "PUB" }),
            (true, _) => return Err(ProtoError::ArgumentCount { op: "HPUB" }),
        };
        let header_len = match headers {
            true => Some(parse_decimal(header_size_text).ok_or(ProtoError::BadHeaderSize)?),
            false => None,
        };
        let size = parse_decimal(size_text)
            .and_then(|size| usize::try_from(size).ok())
            .ok_or(ProtoError::BadSize)?;
        if let Some(header) = header_len {
            if usize::try_from(header).map_or(true, |header| header > size) {
                return Err(ProtoError::HeaderLargerThanTotal { header, total: size });
            }
        }
        if size > limits.payload_bytes_max {
            return Err(ProtoError::PayloadTooLarge { size, limit: limits.payload_bytes_max });
        }
        if memchr::memchr(b'\r', subject).or_else(|| memchr::memchr(b'\r', reply)).is_some() {
            return Err(ProtoError::StrayCarriageReturn);
        }
        let tail_line_len = line
            .canonical
            .then(|| canonical_tail_len(line.args, subject, reply, header_size_text, size_text))
            .flatten()
            .filter(|_| header_len != Some(0));
        let rest_len = line.rest.len();
        Ok(Self {
            subject,
            reply,
            header_len,
            header_size_text,
            size_text,
            size,
            tail_line_len,
            rest_len,
        })
    }

    fn into_publish(self, bytes: &'a [u8], payload: &'a [u8], consumed: usize) -> Publish<'a> {
        let tail = self.tail_line_len.and_then(|tail_line_len| {
            let payload_start = bytes.len().checked_sub(self.rest_len)?;
            bytes.get(payload_start.checked_sub(tail_line_len)?..consumed)
        });
        Publish {
            subject: self.subject,
            reply: self.reply,
            header_len: self.header_len,
            header_size_text: self.header_size_text,
            size_text: self.size_text,
            payload,
            tail,
        }
    }
}

/// Bytes of `args` and CR LF behind `<subject> ` if single spaces separate the arguments.
fn canonical_tail_len(
    args: &[u8],
    subject: &[u8],
    reply: &[u8],
    header_size_text: &[u8],
    size_text: &[u8],
) -> Option<usize> {
    let mut unmatched = args.strip_prefix(subject)?;
    for argument in [reply, header_size_text, size_text] {
        if !argument.is_empty() {
            unmatched = unmatched.strip_prefix(b" ")?.strip_prefix(argument)?;
        }
    }
    if !unmatched.is_empty() {
        return None;
    }
    args.len().checked_sub(subject.len())?.checked_sub(1)?.checked_add(2)
}

/// The `size` bytes before CR LF; `None` if they have not all arrived. A wrong terminator is reported
/// at its first visible byte.
fn split_payload(bytes: &[u8], size: usize) -> Result<Option<&[u8]>, ProtoError> {
    let Some((payload, rest)) = bytes.split_at_checked(size) else {
        return Ok(None);
    };
    match rest {
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some(payload)),
        _ => Err(ProtoError::UnknownOperation),
    }
}

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic or an overflow fails the test"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: ParserLimits =
        ParserLimits { control_line_bytes_max: 4096, payload_bytes_max: 1 << 20, headers: true };

    fn command(bytes: &[u8]) -> Command<'_> {
        match parse(bytes, &LIMITS) {
            Ok(Parsed::Command { command, consumed }) => {
                assert_eq!(consumed, bytes.len());
                command
            }
            other => panic!("{:?} gave {other:?}", String::from_utf8_lossy(bytes)),
        }
    }

    fn publish(bytes: &[u8]) -> Publish<'_> {
        match command(bytes) {
            Command::Publish(publish) => publish,
            other => panic!("not a publish: {other:?}"),
        }
    }

    #[track_caller]
    fn fails(bytes: &[u8], error: ProtoError) {
        assert_eq!(parse(bytes, &LIMITS), Err(error), "{:?}", String::from_utf8_lossy(bytes));
    }

    fn needed(bytes: &[u8]) -> usize {
        match parse(bytes, &LIMITS) {
            Ok(Parsed::Incomplete { needed }) => needed,
            other => panic!("{:?} gave {other:?}", String::from_utf8_lossy(bytes)),
        }
    }

    #[test]
    fn names_match_in_any_case() {
        for ping in [&b"PING\r\n"[..], b"ping\r\n", b"pInG\r\n"] {
            assert_eq!(command(ping), Command::Ping);
        }
        assert_eq!(command(b"poNg\n"), Command::Pong);
        assert_eq!(command(b"+ok\r\n"), Command::Ok);
        assert_eq!(publish(b"Pub a 2\r\nhi\r\n").payload, b"hi");
        assert_eq!(publish(b"hPUB a 0 2\r\nhi\r\n").header_len, Some(0));
        assert!(matches!(command(b"sub a 1\r\n"), Command::Subscribe { .. }));
        assert!(matches!(command(b"UNsub 1\r\n"), Command::Unsubscribe { .. }));
        assert!(matches!(command(b"connect\t{}\r\n"), Command::Connect { .. }));
        assert!(matches!(command(b"iNFO {}\r\n"), Command::Info { .. }));
    }

    #[test]
    fn control_line_ends_at_line_feed_and_drops_one_return() {
        let subscribe = Command::Subscribe { subject: b"a", queue: None, sid: b"1" };
        assert_eq!(command(b"SUB a 1\n"), subscribe);
        assert_eq!(command(b"SUB a 1\r\n"), subscribe);
        assert_eq!(command(b"SUB a\r1\r\r\n"), subscribe);
        fails(b"PUB foo 2\r\r\nhi\r\n", ProtoError::BadSize);
        fails(b"PUB foo 2\r \r\nhi\r\n", ProtoError::BadSize);
        fails(b"PUB a\rb 2\r\nhi\r\n", ProtoError::StrayCarriageReturn);
        fails(b"PUB a b\r 2\r\nhi\r\n", ProtoError::StrayCarriageReturn);
        fails(b"PUB \nfoo 2\r\nhi\r\n", ProtoError::ArgumentCount { op: "PUB" });
    }

    #[test]
    fn payload_ends_in_return_and_line_feed() {
        fails(b"PUB a 2\r\nhi\n", ProtoError::UnknownOperation);
        fails(b"PUB a 2\r\nhix", ProtoError::UnknownOperation);
        fails(b"PUB a 2\r\nhi\rx", ProtoError::UnknownOperation);
        assert_eq!(needed(b"PUB a 2\r\nhi\r"), 13);
        assert_eq!(publish(b"PUB a 0\r\n\r\n").payload, b"");
    }

    #[test]
    fn runs_of_blanks_and_tabs_separate() {
        let subscribe = Command::Subscribe { subject: b"a", queue: Some(b"q"), sid: b"1" };
        assert_eq!(command(b"SUB \t a\t\tq  1 \t\r\n"), subscribe);
        let parsed = publish(b"PUB a  0002  \r\nhi\r\n");
        assert_eq!((parsed.size_text, parsed.tail), (&b"0002"[..], None));
        let parsed = publish(b"PUB\ta\tr\t2\r\nhi\r\n");
        assert_eq!((parsed.reply, parsed.tail), (&b"r"[..], None));
    }

    #[test]
    fn operations_start_in_column_zero() {
        for bytes in [&b" PING\r\n"[..], b"\r\n", b"\n", b"\t", b"\0", b"\xff"] {
            fails(bytes, ProtoError::UnknownOperation);
        }
    }

    #[test]
    fn arguments_of_ping_pong_and_ok_are_ignored_within_the_limit() {
        assert_eq!(command(b"PINGxyz\r\n"), Command::Ping);
        assert_eq!(command(b"PONG 1 2 3\n"), Command::Pong);
        assert_eq!(command(b"+OK\tsure\r\n"), Command::Ok);
        let too_long = ProtoError::ControlLineTooLong { limit: 4096 };
        fails(&[b"PING", &b"x".repeat(4097)[..]].concat(), too_long);
        assert_eq!(command(&[b"PING", &b"x".repeat(4096)[..], b"\r\n"].concat()), Command::Ping);
    }

    #[test]
    fn control_line_limit_counts_argument_bytes_only() {
        let line = |len: usize| {
            let subject = "a".repeat(len - 2);
            [format!("SUB {subject} 1\r\n"), format!("PUB {subject} 0\r\n\r\n")]
        };
        for fits in line(4096) {
            command(fits.as_bytes());
        }
        let too_long = ProtoError::ControlLineTooLong { limit: 4096 };
        for longer in line(4097) {
            fails(longer.as_bytes(), too_long);
        }
        for op in ["SUB ", "UNSUB ", "PUB ", "HPUB ", "CONNECT ", "INFO ", "-ERR "] {
            let partial = |len: usize, end: &str| format!("{op}{}{end}", "a".repeat(len));
            fails(partial(4097, "").as_bytes(), too_long);
            fails(partial(4097, "\r").as_bytes(), too_long);
            needed(partial(4096, "\r").as_bytes());
            needed(partial(4096, "").as_bytes());
        }
        // Trailing blanks count, and the line is judged before its arguments.
        let blanks = " ".repeat(4096);
        fails(format!("PUB a 1048577{blanks}\r\n").as_bytes(), too_long);
        fails(format!("SUB {blanks}{blanks}").as_bytes(), too_long);
        command(format!("SUB {blanks}a 1\r\n").as_bytes());
    }

    #[test]
    fn sizes_are_one_to_nine_digits() {
        assert_eq!(publish(b"PUB a 002\r\nhi\r\n").size_text, b"002");
        assert_eq!(publish(b"PUB a 000000002\r\nhi\r\n").size_text, b"000000002");
        for size in ["0000000002", "1234567890", "-1", "+1", "1x", "0x1", "x"] {
            fails(format!("PUB a {size}\r\n").as_bytes(), ProtoError::BadSize);
            fails(format!("HPUB a 0 {size}\r\n").as_bytes(), ProtoError::BadSize);
            fails(format!("HPUB a {size} 9\r\n").as_bytes(), ProtoError::BadHeaderSize);
        }
    }

    #[test]
    fn operations_of_servers_are_unknown() {
        for op in ["MSG a 1 2\r\nhi\r\n", "M", "HM", "HMSG", "R", "L", "A", "GET / HTTP/1.1\r\n"] {
            fails(op.as_bytes(), ProtoError::UnknownOperation);
        }
        for op in ["PX", "PUx", "PUBx", "SUBa 1\r\n", "SUB\r\n", "UNSUB\r\n", "+X", "-X", "-ERR\r"]
        {
            fails(op.as_bytes(), ProtoError::UnknownOperation);
        }
    }

    #[test]
    fn info_ok_and_err_from_a_client() {
        assert_eq!(command(b"INFO {\"a\":1}\r\n"), Command::Info { json: b"{\"a\":1}" });
        assert_eq!(command(b"INFO{}\r\n"), Command::Info { json: b"{}" });
        assert_eq!(command(b"INFO\r\n"), Command::Info { json: b"" });
        fails(b"-ERR 'x'\r\n", ProtoError::ErrorFromClient);
        fails(b"-err \r\n", ProtoError::ErrorFromClient);
    }

    #[test]
    fn connect_needs_no_blank() {
        assert_eq!(command(b"CONNECT {}\r\n"), Command::Connect { json: b"{}" });
        assert_eq!(command(b"CONNECT{} \r\n"), Command::Connect { json: b"{} " });
        assert_eq!(command(b"CONNECT\r\n"), Command::Connect { json: b"" });
    }

    #[test]
    fn publish_takes_two_or_three_arguments() {
        let parsed = publish(b"PUB a.b 2\r\nhi\r\n");
        assert_eq!(
            parsed,
            Publish {
                subject: b"a.b",
                reply: b"",
                header_len: None,
                header_size_text: b"",
                size_text: b"2",
                payload: b"hi",
                tail: Some(b"2\r\nhi\r\n"),
            }
        );
        let parsed = publish(b"PUB a.b r 2\r\nhi\r\n");
        assert_eq!((parsed.reply, parsed.tail), (&b"r"[..], Some(&b"r 2\r\nhi\r\n"[..])));
        for line in ["PUB a\r\n", "PUB \r\n", "PUB a b c d\r\n", "PUB a b c d e f\r\n"] {
            fails(line.as_bytes(), ProtoError::ArgumentCount { op: "PUB" });
        }
        assert_eq!(publish(b"PUB a\0\xff 2\r\nhi\r\n").subject, b"a\0\xff");
    }

    #[test]
    fn header_publish_takes_three_or_four_arguments() {
        let parsed = publish(b"HPUB a r 12 014\r\nNATS/1.0\r\n\r\nhi\r\n");
        assert_eq!(
            parsed,
            Publish {
                subject: b"a",
                reply: b"r",
                header_len: Some(12),
                header_size_text: b"12",
                size_text: b"014",
                payload: b"NATS/1.0\r\n\r\nhi",
                tail: Some(b"r 12 014\r\nNATS/1.0\r\n\r\nhi\r\n"),
            }
        );
        let parsed = publish(b"HPUB a 0 2\r\nhi\r\n");
        assert_eq!((parsed.header_len, parsed.tail), (Some(0), None));
        fails(b"HPUB a 12 10\r\n", ProtoError::HeaderLargerThanTotal { header: 12, total: 10 });
        for line in ["HPUB a 1\r\n", "HPUB a b 1 2 3\r\n", "HPUB \r\n"] {
            fails(line.as_bytes(), ProtoError::ArgumentCount { op: "HPUB" });
        }
        let limits = ParserLimits { headers: false, ..LIMITS };
        for line in [&b"HPUB a 1\r\n"[..], b"HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\nPING\r\nPING\r\n"]
        {
            assert_eq!(parse(line, &limits), Err(ProtoError::HeadersNotNegotiated));
        }
    }

    #[test]
    fn payload_limit_is_checked_on_the_control_line() {
        assert_eq!(needed(b"PUB a 1048576\r\n"), 15 + 1_048_576 + 2);
        needed(b"PUB a 1048577");
        let error = ProtoError::PayloadTooLarge { size: 1_048_577, limit: 1 << 20 };
        fails(b"PUB a 1048577\r\n", error);
        fails(b"HPUB a 5 1048577\r\n", error);
        let limits = ParserLimits { payload_bytes_max: usize::MAX, ..LIMITS };
        let parsed = parse(b"PUB a 999999999\r\n", &limits);
        assert_eq!(parsed, Ok(Parsed::Incomplete { needed: 17 + 999_999_999 + 2 }));
    }

    #[test]
    fn subscribe_takes_two_or_three_arguments() {
        let plain = Command::Subscribe { subject: b"a.*", queue: None, sid: b"x-1" };
        assert_eq!(command(b"SUB a.* x-1\r\n"), plain);
        for line in ["SUB a\r\n", "SUB \r\n", "SUB a b c d\r\n"] {
            fails(line.as_bytes(), ProtoError::ArgumentCount { op: "SUB" });
        }
    }

    #[test]
    fn unsubscribe_takes_one_or_two_arguments() {
        let max = |line: &[u8]| match command(line) {
            Command::Unsubscribe { sid: b"1", max } => max,
            other => panic!("{other:?}"),
        };
        assert_eq!(max(b"UNSUB 1\r\n"), None);
        assert_eq!(max(b"UNSUB 1 5\r\n"), Some(5));
        assert_eq!(max(b"UNSUB 1 999999999\r\n"), Some(999_999_999));
        for none in ["0", "-5", "abc", "12345678901"] {
            assert_eq!(max(format!("UNSUB 1 {none}\r\n").as_bytes()), None);
        }
        for line in ["UNSUB \r\n", "UNSUB 1 2 3\r\n"] {
            fails(line.as_bytes(), ProtoError::ArgumentCount { op: "UNSUB" });
        }
    }

    #[test]
    fn needed_is_exact_once_the_line_is_there() {
        assert_eq!(needed(b""), 1);
        assert_eq!(needed(b"P"), 2);
        assert_eq!(needed(b"PUB a 16\r"), 10);
        assert_eq!(needed(b"PUB a 16\r\n"), 28);
        assert_eq!(needed(b"PUB a 16\r\n0123456789abcdef"), 28);
    }

    /// What a connection does with a stream that arrives in `pieces`: the commands in order, then
    /// the error or the rest.
    fn outcomes<'b>(pieces: impl Iterator<Item = &'b [u8]>, limits: &ParserLimits) -> Vec<String> {
        let mut outcomes = Vec::new();
        let mut kept = Vec::new();
        let mut needed_before = 1;
        for piece in pieces {
            kept.extend_from_slice(piece);
            let mut at = 0;
            loop {
                match parse(&kept[at..], limits) {
                    Ok(Parsed::Command { command, consumed }) => {
                        assert!(consumed >= needed_before && consumed <= kept.len() - at);
                        outcomes.push(format!("{command:?}"));
                        at += consumed;
                        needed_before = 1;
                    }
                    Ok(Parsed::Incomplete { needed }) => {
                        assert!(needed > kept.len() - at && needed >= needed_before);
                        needed_before = needed;
                        break;
                    }
                    Err(error) => {
                        outcomes.push(format!("{error:?}"));
                        return outcomes;
                    }
                }
            }
            kept.drain(..at);
        }
        outcomes.push(format!("rest {kept:?} needs {needed_before}"));
        outcomes
    }

    /// Operations, most of them valid, and some noise.
    fn operation() -> impl Strategy<Value = Vec<u8>> {
        let frame = (
            "[pP][uU][bB]|H?PUB",
            "[ ]|[ \t]{1,3}",
            "[a-c.]{1,40}",
            "( [d-f]{1,40})?",
            "(0|00|12)?",
            proptest::collection::vec(any::<u8>(), 0..40),
            0..20,
            "\r\n|\n",
        )
            .prop_map(|(op, blank, subject, reply, header, payload, off, end)| {
                let size = payload.len() + usize::from(off == 0);
                let header = if op == "HPUB" { format!(" {header}") } else { String::new() };
                let mut frame =
                    format!("{op}{blank}{subject}{reply}{header} {size}{end}").into_bytes();
                frame.extend_from_slice(&payload);
                frame.extend_from_slice(b"\r\n");
                frame
            });
        let line = "(SUB|sub|UNSUB|CONNECT|INFO|PING|PONG|\\+OK|-ERR)( |\t){0,2}[a-c{}]{0,9}( [0-9]{1,3}){0,3}\r?\n";
        let bytes = proptest::collection::vec(
            prop_oneof![Just(b' '), Just(b'\r'), Just(b'\n'), Just(b'P'), Just(b'1'), any::<u8>()],
            0..6,
        );
        prop_oneof![
            6 => frame,
            3 => line.prop_map(String::into_bytes),
            1 => bytes,
            1 => Just(b"PING\r\n".to_vec()),
        ]
    }

    proptest! {
        /// Goal: the outcome does not depend on how the bytes arrive. Method: random streams, cut
        /// in two at every byte and dripped byte by byte, against the stream in one piece.
        #[test]
        fn cuts_do_not_change_the_outcome(
            stream in proptest::collection::vec(operation(), 1..6).prop_map(|ops| ops.concat()),
            headers: bool,
            control_line_bytes_max in 8_usize..100,
            payload_bytes_max in prop_oneof![Just(30_usize), Just(usize::MAX)],
        ) {
            let limits = ParserLimits { control_line_bytes_max, payload_bytes_max, headers };
            let whole = outcomes(std::iter::once(&stream[..]), &limits);
            prop_assert_eq!(&outcomes(stream.chunks(1), &limits), &whole);
            for at in 0..stream.len() {
                let (one, two) = stream.split_at(at);
                prop_assert_eq!(&outcomes([one, two].into_iter(), &limits), &whole, "cut at {}", at);
            }
        }

        /// Goal: the fast path never differs from the general one. Method: both on random
        /// operations, with room behind them so that the fast path is not put off by a short buffer.
        #[test]
        fn fast_path_equals_general_path(
            mut bytes in operation(),
            room in prop_oneof![Just(0_usize), Just(1), Just(80)],
            control_line_bytes_max in prop_oneof![0_usize..100, Just(4096)],
            payload_bytes_max in prop_oneof![0_usize..40, Just(usize::MAX)],
            headers: bool,
        ) {
            let limits = ParserLimits { control_line_bytes_max, payload_bytes_max, headers };
            bytes.resize(bytes.len() + room, b'P');
            prop_assert_eq!(parse(&bytes, &limits), parse_general(&bytes, &limits));
        }

        /// Goal: what is canonical does take the fast path. Method: frames written in the one form,
        /// of all lengths the scan covers.
        #[test]
        fn canonical_frames_take_the_fast_path(
            subject in "[a-z.\\x80-\\x{3ff}]{1,120}",
            reply in prop_oneof![Just(String::new()), "[a-z]{1,45}"],
            header in prop_oneof![Just(None), (1_usize..20).prop_map(Some)],
            size in 20_usize..20_000,
        ) {
            let op = if header.is_some() { "HPUB" } else { "PUB" };
            let reply = if reply.is_empty() { reply } else { format!("{reply} ") };
            let header = header.map_or(String::new(), |header| format!("{header} "));
            let payload = "x".repeat(size);
            let frame = format!("{op} {subject} {reply}{header}{size}\r\n{payload}\r\n{}", "P".repeat(80));
            let fast = parse_canonical(frame.as_bytes(), &LIMITS);
            prop_assert!(fast.is_some());
            prop_assert_eq!(fast, parse_general(frame.as_bytes(), &LIMITS).ok());
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            outcomes(std::iter::once(&bytes[..]), &LIMITS);
        }
    }
}
