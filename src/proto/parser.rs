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

use super::ProtoError;

/// What one connection may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParserLimits {
    /// Most bytes of arguments in a control line, without operation name, separator and line end.
    /// The `max_control_line` option, 4096 by default.
    pub control_line_bytes_max: usize,
    /// Most bytes of headers and body in one publish. `usize::MAX` means no limit.
    /// The `max_payload` option, 1 MiB by default.
    pub payload_bytes_max: usize,
    /// Whether headers were negotiated, so that HPUB is legal.
    pub headers: bool,
}

impl Default for ParserLimits {
    /// The defaults of nats-server, for a client that has not negotiated headers.
    fn default() -> Self {
        Self { control_line_bytes_max: 4096, payload_bytes_max: 1 << 20, headers: false }
    }
}

/// One operation of a client. All slices borrow the parsed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// PUB or HPUB with its payload.
    Publish(Publish<'a>),
    /// `SUB <subject> [queue] <sid>`
    Subscribe {
        /// Subscription subject, not validated.
        subject: &'a [u8],
        /// Queue group.
        queue: Option<&'a [u8]>,
        /// The client's name for the subscription: any bytes without blanks.
        sid: &'a [u8],
    },
    /// `UNSUB <sid> [max]`
    Unsubscribe {
        /// Subscription to end.
        sid: &'a [u8],
        /// Total deliveries after which it ends, `1..=999_999_999`. `None` means now: no number was
        /// given, or 0, or none of 1 to 9 digits (nats-server takes all of these as now).
        max: Option<u64>,
    },
    /// `CONNECT {json}`
    Connect {
        /// The argument, undecoded; see `ConnectOptions`.
        json: &'a [u8],
    },
    /// `INFO {json}`, which a client may send and the server ignores, if it is JSON.
    Info {
        /// The argument, undecoded; see `validate_client_info`.
        json: &'a [u8],
    },
    /// PING, to be answered with PONG.
    Ping,
    /// PONG, the answer to the server's PING.
    Pong,
    /// +OK, ignored.
    Ok,
}

/// A message a client publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Publish subject: not empty, without blank, tab, CR or LF, otherwise not validated.
    pub subject: &'a [u8],
    /// Reply subject; empty means none.
    pub reply: &'a [u8],
    /// Bytes of the header block at the start of `payload`. `None` for PUB. `Some(0)` is legal and
    /// delivered as a plain MSG.
    pub header_len: Option<u32>,
    /// The digits of the header size as sent; empty for PUB.
    pub header_size_text: &'a [u8],
    /// The digits of the total size as sent; leading zeros are echoed to subscribers.
    pub size_text: &'a [u8],
    /// Header block and body, without the final CR LF.
    pub payload: &'a [u8],
    /// The bytes after `<subject> ` up to and including the final CR LF, if they may be copied as
    /// they are behind `MSG <subject> <sid> ` (or `HMSG ...` when `header_len` is `Some`).
    /// `None` if the frame was not canonical: runs of blanks, tabs, a bare LF, a header size of 0.
    pub tail: Option<&'a [u8]>,
}

/// What [`parse`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A complete operation.
    Command {
        /// The operation.
        command: Command<'a>,
        /// Bytes it took from the start of the input; the next operation starts there.
        consumed: usize,
    },
    /// More bytes are needed.
    Incomplete {
        /// Total bytes, counted from the start of this operation, without which another call cannot
        /// tell more. Once the control line of a publish is complete it is the exact frame size.
        needed: usize,
    },
}

/// Parses the operation at the start of `bytes`.
///
/// A canonical publish of up to 64 argument bytes takes the fast path, anything else the general
/// one; both give the same result.
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

/// The fast path. Pseudo-code:
///
/// ```text
/// op    = first four bytes, as one integer
/// mask  = one bit for each of the next 32 bytes that is <= 0x20      (two vector compares)
/// marks = positions of the first bits: they must be ' ' (' ')* '\r', with no two adjacent
/// size  = the digits between the last ' ' and '\r', as one 8-byte word
/// the frame must be complete and end in "\r\n"
/// ```
///
/// 1. One scan finds both separators and line end, so no byte of the line is looked at twice.
/// 2. Positions come from the mask by trailing-zero counts, without a loop.
/// 3. A longer line costs a second scan over 64 bytes; longer still, the general path.
/// 4. `None` means "not canonical or not complete", never an error: the general path decides.
#[inline(always)]
fn parse_canonical<'a>(bytes: &'a [u8], limits: &ParserLimits) -> Option<Parsed<'a>> {
    const PUB: u32 = u32::from_le_bytes(*b"PUB ");
    const HPUB: u32 = u32::from_le_bytes(*b"HPUB");
    let op = u32::from_le_bytes(*bytes.first_chunk()?);
    if op == PUB {
        canonical_publish::<4, false>(bytes, limits)
    } else if op == HPUB && limits.headers && bytes.get(4) == Some(&b' ') {
        canonical_publish::<5, true>(bytes, limits)
    } else {
        None
    }
}

#[inline(always)]
fn canonical_publish<'a, const ARGS_AT: usize, const HEADERS: bool>(
    bytes: &'a [u8],
    limits: &ParserLimits,
) -> Option<Parsed<'a>> {
    let args = bytes.get(ARGS_AT..)?;
    let low = separators(args.first_chunk()?);
    let layout = match Layout::of::<HEADERS>(args, u64::from(low)) {
        Some(layout) => layout,
        None => {
            let (_, high) = args.first_chunk::<64>()?.split_last_chunk()?;
            Layout::of::<HEADERS>(args, u64::from(low) | (u64::from(separators(high)) << 32))?
        }
    };
    if layout.args_end > limits.control_line_bytes_max {
        return None;
    }
    let size_text = args.get(layout.size_start..layout.args_end)?;
    let size = parse_short_number(args, layout.size_start, layout.args_end)?;
    if size > limits.payload_bytes_max {
        return None;
    }
    let header_size_text = args.get(layout.header_size_start..layout.header_size_end)?;
    let header_len = if HEADERS {
        let len = parse_short_number(args, layout.header_size_start, layout.header_size_end)?;
        if len == 0 || len > size {
            return None;
        }
        Some(u32::try_from(len).ok()?)
    } else {
        None
    };
    // Sizes have at most eight digits here and positions are below 64: nothing can wrap.
    let payload_start = layout.args_end.wrapping_add(2);
    let payload_end = payload_start.wrapping_add(size);
    let end = payload_end.wrapping_add(2);
    let tail_start = layout.subject_end.wrapping_add(1);
    let tail = args.get(tail_start..end)?;
    let (_, terminator) = tail.split_last_chunk::<2>()?;
    if terminator != b"\r\n" {
        return None;
    }
    let publish = Publish {
        subject: args.get(..layout.subject_end)?,
        reply: args.get(layout.reply_start..layout.reply_end)?,
        header_len,
        header_size_text,
        size_text,
        payload: args.get(payload_start..payload_end)?,
        tail: Some(tail),
    };
    Some(Parsed::Command {
        command: Command::Publish(publish),
        consumed: end.wrapping_add(ARGS_AT),
    })
}

/// Where the arguments of a canonical publish lie, counted from the first argument byte.
/// `0 < subject_end < size_start < args_end`; an absent argument is an empty range.
struct Layout {
    subject_end: usize,
    reply_start: usize,
    reply_end: usize,
    header_size_start: usize,
    header_size_end: usize,
    size_start: usize,
    /// Position of the CR.
    args_end: usize,
}

impl Layout {
    /// Reads the layout off a mask of separators. A mask of 32 bits may stop short of the line end:
    /// then a position comes out as 64, and the size would be longer than any number.
    #[inline(always)]
    fn of<const HEADERS: bool>(args: &[u8], mask: u64) -> Option<Self> {
        let (first, rest) = next_mark(mask);
        let (second, rest) = next_mark(rest);
        if first == 0 || args.get(first) != Some(&b' ') {
            return None;
        }
        let after_first = first.wrapping_add(1);
        let after_second = second.wrapping_add(1);
        let layout = if HEADERS {
            let (third, rest) = next_mark(rest);
            if args.get(second) != Some(&b' ') {
                return None;
            }
            let after_third = third.wrapping_add(1);
            if args.get(third) == Some(&b'\r') {
                Self {
                    subject_end: first,
                    reply_start: first,
                    reply_end: first,
                    header_size_start: after_first,
                    header_size_end: second,
                    size_start: after_second,
                    args_end: third,
                }
            } else {
                let (fourth, _) = next_mark(rest);
                if args.get(third) != Some(&b' ')
                    || args.get(fourth) != Some(&b'\r')
                    || second == after_first
                {
                    return None;
                }
                Self {
                    subject_end: first,
                    reply_start: after_first,
                    reply_end: second,
                    header_size_start: after_second,
                    header_size_end: third,
                    size_start: after_third,
                    args_end: fourth,
                }
            }
        } else if args.get(second) == Some(&b'\r') {
            Self {
                subject_end: first,
                reply_start: first,
                reply_end: first,
                header_size_start: first,
                header_size_end: first,
                size_start: after_first,
                args_end: second,
            }
        } else {
            let (third, _) = next_mark(rest);
            if args.get(second) != Some(&b' ')
                || args.get(third) != Some(&b'\r')
                || second == after_first
            {
                return None;
            }
            Self {
                subject_end: first,
                reply_start: after_first,
                reply_end: second,
                header_size_start: first,
                header_size_end: first,
                size_start: after_second,
                args_end: third,
            }
        };
        let after_args = layout.args_end.wrapping_add(1);
        (args.get(after_args) == Some(&b'\n')).then_some(layout)
    }
}

/// The position of the lowest bit (64 if there is none), and the mask without it.
#[inline(always)]
fn next_mark(mask: u64) -> (usize, u64) {
    (mask.trailing_zeros() as usize, mask & mask.wrapping_sub(1))
}

/// The number in `args[start..end]` if it is 1 to 8 decimal digits. Reads eight bytes at `start`,
/// shifts out what lies behind the digits, and adds neighbours pairwise: no loop, so sizes of varying
/// length cost no branch miss.
#[inline(always)]
fn parse_short_number(args: &[u8], start: usize, end: usize) -> Option<usize> {
    let len = end.wrapping_sub(start);
    if len == 0 || len > 8 {
        return None;
    }
    let word = u64::from_le_bytes(*args.get(start..)?.first_chunk()?);
    let unused_bits = 64_usize.wrapping_sub(len.wrapping_mul(8));
    let digits = (word ^ 0x3030_3030_3030_3030) << unused_bits;
    if (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    let eight = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;
    usize::try_from(eight).ok()
}

/// One bit for each byte that is a blank or a control character.
#[inline(always)]
fn separators(block: &[u8; 32]) -> u32 {
    let (low, high) = block.split_at(16);
    match (low.first_chunk(), high.first_chunk()) {
        (Some(low), Some(high)) => separators16(low) | (separators16(high) << 16),
        _ => 0,
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn separators16(block: &[u8; 16]) -> u32 {
    // SAFETY: the only precondition is SSE2, which is part of the x86-64 baseline.
    unsafe { separators16_sse2(block) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn separators16_sse2(block: &[u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_set1_epi8, _mm_set_epi64x,
    };
    let (low, high) = block.split_at(8);
    let (Some(low), Some(high)) = (low.first_chunk(), high.first_chunk()) else {
        return 0;
    };
    let vector = _mm_set_epi64x(i64::from_le_bytes(*high), i64::from_le_bytes(*low));
    let clamped = _mm_min_epu8(vector, _mm_set1_epi8(0x20));
    _mm_movemask_epi8(_mm_cmpeq_epi8(clamped, vector)).cast_unsigned()
}

/// Parses any operation, canonical or not.
#[cold]
#[inline(never)]
fn parse_general<'a>(bytes: &'a [u8], limits: &ParserLimits) -> Result<Parsed<'a>, ProtoError> {
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
            let max = parse_number(max).filter(|max| *max > 0).map(u64::from);
            Ok(Command::Unsubscribe { sid, max })
        }
        _ => Err(ProtoError::ArgumentCount { op: "UNSUB" }),
    }
}

/// 1 to 9 decimal digits, nothing else.
fn parse_number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter().try_fold(0_u32, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| number.wrapping_mul(10).wrapping_add(u32::from(digit)))
    })
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
            true => Some(parse_number(header_size_text).ok_or(ProtoError::BadHeaderSize)?),
            false => None,
        };
        let size = parse_number(size_text)
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
