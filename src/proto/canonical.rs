//! The fast path of the parser: a complete publish in the form every client library writes.
//!
//! Canonical is `PUB <subject> [reply] <size>` or `HPUB <subject> [reply] <hdr> <size>` in upper
//! case, with single spaces, CR LF, no control characters and the payload complete. Anything else,
//! errors included, is `None` here and the business of the general path, which gives the same result
//! for canonical input.
//!
//! ```text
//! op     = first four bytes, as one integer
//! mask   = one bit for each of the next 32 bytes that is <= 0x20       (two vector compares)
//! marks  = positions of the lowest bits: they must be ' ' (' ')* '\r', and no argument empty
//! size   = the digits between the last ' ' and '\r'
//! the frame must be complete and end in "\r\n"
//! ```
//!
//! 1. One scan finds separators and line end; no byte of the line is looked at twice, and positions
//!    come from the mask by trailing-zero counts, without a loop.
//! 2. A longer line costs further scans: blocks without separators are skipped, then 64 bytes from
//!    that block on, or else from the end of the subject on, have to hold the rest of the line.
//! 3. The next frame starts where this one ends, so time goes by the chain of data from the load of
//!    the line to `consumed`. All checks are branches beside that chain, and so is the number of
//!    digits in the size.
//!
//! Measured (AMD EPYC, 16-byte payload, `PUB bench.sub 16`, result matched by reference): 10.0 ns a
//! message. The one `unsafe` was decided on a slightly shorter form of this code, which took 9.1 ns;
//! the best mask in safe code (compare vectorised by the compiler, bits gathered by a multiplication)
//! made that 16.6 ns. It hands a block of bytes by value to a function that needs SSE2; no pointer is
//! involved.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::decimal::parse_decimal;
use super::{Command, Parsed, ParserLimits, Publish};

/// The publish at the start of `bytes`, if it is canonical and complete and within `limits`.
#[inline(always)]
pub(super) fn parse_canonical<'a>(bytes: &'a [u8], limits: &ParserLimits) -> Option<Parsed<'a>> {
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
    let mask = separators(args, 0)?;
    let layout = match Layout::of::<HEADERS>(args, 0, u64::from(mask)) {
        Some(layout) => layout,
        None => long_layout::<HEADERS>(args, mask)?,
    };
    if layout.args_end > limits.control_line_bytes_max {
        return None;
    }
    let size_text = args.get(layout.size_start..layout.args_end)?;
    let size = usize::try_from(parse_decimal(size_text)?).ok()?;
    if size > limits.payload_bytes_max {
        return None;
    }
    let header_size_text = args.get(layout.header_size_start..layout.header_size_end)?;
    let header_len = if HEADERS {
        let header_len = parse_decimal(header_size_text)?;
        if header_len == 0 || usize::try_from(header_len).ok()? > size {
            return None;
        }
        Some(header_len)
    } else {
        None
    };
    // A size has at most nine digits and positions lie within a few hundred bytes: nothing wraps.
    let payload_start = layout.args_end.wrapping_add(2);
    let payload_end = payload_start.wrapping_add(size);
    let end = payload_end.wrapping_add(2);
    let tail = args.get(layout.subject_end.wrapping_add(1)..end)?;
    if !tail.ends_with(b"\r\n") {
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
    let consumed = end.wrapping_add(ARGS_AT);
    Some(Parsed::Command { command: Command::Publish(publish), consumed })
}

/// The layout of a line that does not end in the first block, whose separators are `mask`.
#[inline(never)]
fn long_layout<const HEADERS: bool>(args: &[u8], mask: u32) -> Option<Layout> {
    let mut low = mask;
    let mut at = 0_usize;
    while low == 0 {
        at = at.wrapping_add(BLOCK_LEN);
        if at > SUBJECT_SCAN_LEN_MAX {
            return None;
        }
        low = separators(args, at)?;
    }
    if let Some(layout) = Layout::of::<HEADERS>(args, at, separators64(args, at, low)?) {
        return Some(layout);
    }
    let (subject_end, _) = next_mark(at, u64::from(low));
    let low = separators(args, subject_end)?;
    Layout::of::<HEADERS>(args, subject_end, separators64(args, subject_end, low)?)
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
    /// Reads the layout off the separators from `at` on; there are none before `at`.
    ///
    /// A mask of 32 bits may end before the line does. The marks it lacks then come out as 64, so far
    /// from any it has that the size is longer than a number may be, and that is refused.
    #[inline(always)]
    fn of<const HEADERS: bool>(args: &[u8], at: usize, mask: u64) -> Option<Self> {
        let (first, rest) = next_mark(at, mask);
        let (second, rest) = next_mark(at, rest);
        if first == 0 || args.get(first) != Some(&b' ') {
            return None;
        }
        let after_first = first.wrapping_add(1);
        let after_second = second.wrapping_add(1);
        let second_is_space = args.get(second) == Some(&b' ') && second != after_first;
        let layout = if HEADERS {
            let (third, rest) = next_mark(at, rest);
            let after_third = third.wrapping_add(1);
            if !second_is_space {
                return None;
            }
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
                let (fourth, _) = next_mark(at, rest);
                if args.get(third) != Some(&b' ') || args.get(fourth) != Some(&b'\r') {
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
            let (third, _) = next_mark(at, rest);
            if !second_is_space || args.get(third) != Some(&b'\r') {
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
        let line_feed = layout.args_end.wrapping_add(1);
        let size_len = layout.args_end.wrapping_sub(layout.size_start);
        (args.get(line_feed) == Some(&b'\n') && size_len <= SIZE_LEN_MAX).then_some(layout)
    }
}

/// The position of the lowest bit (that of bit 64 if there is none), and the mask without it.
#[inline(always)]
fn next_mark(at: usize, mask: u64) -> (usize, u64) {
    (at.wrapping_add(mask.trailing_zeros() as usize), mask & mask.wrapping_sub(1))
}

/// One bit for each of the 32 bytes from `at` on that is a blank or a control character.
#[inline(always)]
fn separators(args: &[u8], at: usize) -> Option<u32> {
    let block = args.get(at..)?.first_chunk::<BLOCK_LEN>()?;
    let (low, high) = (block.first_chunk()?, block.last_chunk()?);
    Some(separators16(low) | (separators16(high) << 16))
}

/// The separators of 64 bytes, of which those of the first 32 are known.
#[inline(always)]
fn separators64(args: &[u8], at: usize, low: u32) -> Option<u64> {
    let high = separators(args, at.wrapping_add(BLOCK_LEN))?;
    Some(u64::from(low) | (u64::from(high) << 32))
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn separators16(block: &[u8; 16]) -> u32 {
    // SAFETY: the function's only precondition is SSE2, which every x86-64 processor has and this
    // target enables. Measurement: see the module's documentation.
    unsafe { separators16_sse2(*block) }
}

/// The block is read as integers, since a vector load takes a pointer; it compiles to that load.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn separators16_sse2(block: [u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_set1_epi8, _mm_set_epi64x,
    };
    let [high, low] = u128_halves(u128::from_le_bytes(block));
    let vector = _mm_set_epi64x(high, low);
    let clamped = _mm_min_epu8(vector, _mm_set1_epi8(0x20));
    _mm_movemask_epi8(_mm_cmpeq_epi8(clamped, vector)).cast_unsigned()
}

/// The halves of a number, high one first, bit for bit.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the halves are what is asked for")]
fn u128_halves(number: u128) -> [i64; 2] {
    [((number >> 64) as u64).cast_signed(), (number as u64).cast_signed()]
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn separators16(block: &[u8; 16]) -> u32 {
    block.iter().rev().fold(0, |mask, byte| (mask << 1) | u32::from(*byte <= 0x20))
}

/// Bytes scanned at once.
const BLOCK_LEN: usize = 32;
/// Most digits of a size.
const SIZE_LEN_MAX: usize = 9;
/// A subject longer than this takes the general path.
const SUBJECT_SCAN_LEN_MAX: usize = 256;
// A mark that is missing from a short mask must not pass for the end of a size.
const _: () = assert!(BLOCK_LEN + SIZE_LEN_MAX < 64);

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;

    /// Goal: the vector scan marks exactly the bytes up to 0x20. Method: every byte in every lane.
    #[test]
    fn every_byte_is_marked_in_every_lane() {
        for byte in 0..=u8::MAX {
            for lane in 0..BLOCK_LEN {
                let mut block = [b'a'; BLOCK_LEN];
                block[lane] = byte;
                let expected = if byte <= 0x20 { 1 << lane } else { 0 };
                assert_eq!(separators(&block, 0), Some(expected), "byte {byte} in lane {lane}");
            }
        }
        assert_eq!(separators(&[0; BLOCK_LEN - 1], 0), None);
        assert_eq!(separators(&[0; BLOCK_LEN], 1), None);
    }

    #[test]
    fn only_complete_canonical_frames_are_taken() {
        let limits = ParserLimits { headers: true, ..ParserLimits::default() };
        let room = "P".repeat(80);
        let takes =
            |frame: &str| parse_canonical(format!("{frame}{room}").as_bytes(), &limits).is_some();
        for frame in ["PUB a 2\r\nhi\r\n", "PUB a b 2\r\nhi\r\n", "HPUB a 1 2\r\nhi\r\n"] {
            assert!(takes(frame), "{frame}");
        }
        for frame in [
            "pub a 2\r\nhi\r\n",
            "PUB  a 2\r\nhi\r\n",
            "PUB a  2\r\nhi\r\n",
            "PUB a 2 \r\nhi\r\n",
            "PUB a\t2\r\nhi\r\n",
            "PUB a 2\nhi\r\n",
            "PUB a 2\r\nhi\n\r",
            "PUB a b c 2\r\nhi\r\n",
            "PUB a 1048577\r\nhi\r\n",
            "HPUB a 0 2\r\nhi\r\n",
            "HPUB a 3 2\r\nhi\r\n",
            "HPUB a  1 2\r\nhi\r\n",
        ] {
            assert!(!takes(frame), "{frame}");
        }
    }
}
