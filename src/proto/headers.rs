//! Header blocks: reading them robustly and writing the status blocks the server originates.
//!
//! A block is a version line (`NATS/1.0`, perhaps with a status), then `Name: value` lines, then an
//! empty line, all ended by CR LF. The server never validates a client's block, so everything here
//! accepts any bytes: lines without a colon are skipped, a missing end ends the block.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::decimal::{decimal_len, write_decimal};

/// A header block as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderBlock<'a> {
    bytes: &'a [u8],
}

impl<'a> HeaderBlock<'a> {
    /// Wraps the first `header_len` bytes of a payload. Any bytes are accepted.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The value of the first header called exactly `name`, without leading spaces. The case counts,
    /// as it does in nats-server. Cost: one pass over the block.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.lines().find_map(|line| {
            line.strip_prefix(name)?.strip_prefix(b":").map(without_leading_spaces)
        })
    }

    /// Every `Name: value` in order, repeated names included.
    #[must_use]
    pub fn iter(&self) -> Headers<'a> {
        Headers { lines: self.lines() }
    }

    /// The status code in the version line, e.g. 503; `None` for an ordinary message.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        let digits = self.bytes.strip_prefix(VERSION)?.strip_prefix(b" ")?.first_chunk::<3>()?;
        digits.iter().try_fold(0_u16, |code, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit <= 9).then(|| code.wrapping_mul(10).wrapping_add(u16::from(digit)))
        })
    }

    /// Lines behind the version line.
    fn lines(&self) -> Lines<'a> {
        let mut lines = Lines { rest: self.bytes };
        lines.next();
        lines
    }
}

impl<'a> IntoIterator for HeaderBlock<'a> {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = Headers<'a>;

    fn into_iter(self) -> Headers<'a> {
        self.iter()
    }
}

/// Iterator over `(name, value)`; see [`HeaderBlock::iter`].
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    lines: Lines<'a>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.lines.find_map(|line| {
            let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
            Some((name, without_leading_spaces(value.strip_prefix(b":")?)))
        })
    }
}

/// Pieces between CR LFs; a lone CR or LF does not end a line.
#[derive(Debug, Clone)]
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        for at in memchr::memchr_iter(b'\r', self.rest) {
            let Some((line, behind)) = self.rest.split_at_checked(at) else {
                continue;
            };
            if let Some(rest) = behind.strip_prefix(b"\r\n") {
                self.rest = rest;
                return Some(line);
            }
        }
        Some(std::mem::take(&mut self.rest))
    }
}

/// Appends `block` with the header `name` set to `value`, in the place of all that are called so;
/// an empty block becomes one with this header only.
pub fn write_with_header(out: &mut Vec<u8>, block: &[u8], name: &[u8], value: &[u8]) {
    let mut lines = Lines { rest: block };
    let version = lines.next().unwrap_or(VERSION);
    let is_it =
        |line: &&[u8]| line.strip_prefix(name).is_some_and(|behind| behind.starts_with(b":"));
    let kept = lines.filter(|line| !line.is_empty() && !is_it(line));
    for line in std::iter::once(version).chain(kept) {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    for part in [name, b": ", value, b"\r\n\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Appends the complete HMSG frame that tells a requester nobody listens on `subject`:
/// status 503, the requested subject as a header, an empty body.
pub fn write_no_responders(out: &mut Vec<u8>, reply: &[u8], sid: &[u8], subject: &[u8]) {
    const BEFORE: &[u8] = b"NATS/1.0 503\r\nNats-Subject: ";
    const AFTER: &[u8] = b"\r\n\r\n";
    const FIXED: usize = BEFORE.len() + AFTER.len();
    let block_len = subject.len().saturating_add(FIXED);
    let names = reply.len().saturating_add(sid.len()).saturating_add(block_len);
    out.reserve(names.saturating_add(decimal_len(block_len).saturating_mul(2)).saturating_add(16));
    out.extend_from_slice(b"HMSG ");
    out.extend_from_slice(reply);
    out.push(b' ');
    out.extend_from_slice(sid);
    for _ in 0..2 {
        out.push(b' ');
        write_decimal(out, block_len as u64);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(BEFORE);
    out.extend_from_slice(subject);
    out.extend_from_slice(AFTER);
    out.extend_from_slice(b"\r\n");
}

/// Appends a status header block: `NATS/1.0 <code>[ <description>]`, the headers, an empty line.
/// `100 <= code <= 999`; the names and values must not contain CR or LF.
pub fn write_status_block(
    out: &mut Vec<u8>,
    code: u16,
    description: &[u8],
    headers: &[(&[u8], &[u8])],
) {
    debug_assert!((100..=999).contains(&code));
    out.extend_from_slice(VERSION);
    out.push(b' ');
    write_decimal(out, u64::from(code));
    if !description.is_empty() {
        out.push(b' ');
        out.extend_from_slice(description);
    }
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn without_leading_spaces(value: &[u8]) -> &[u8] {
    let spaces = value.iter().take_while(|byte| **byte == b' ').count();
    value.get(spaces..).unwrap_or_default()
}

const VERSION: &[u8] = b"NATS/1.0";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_is_set_in_the_place_of_those_called_so() {
        for (block, expected) in [
            (&b""[..], &b"NATS/1.0\r\nA: 1\r\n\r\n"[..]),
            (b"NATS/1.0\r\n\r\n", b"NATS/1.0\r\nA: 1\r\n\r\n"),
            (
                b"NATS/1.0 100\r\nA: x\r\nAb: y\r\nA:z\r\n\r\n",
                b"NATS/1.0 100\r\nAb: y\r\nA: 1\r\n\r\n",
            ),
        ] {
            let mut out = Vec::new();
            write_with_header(&mut out, block, b"A", b"1");
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn names_match_exactly_and_first_one_wins() {
        let block = HeaderBlock::new(
            b"NATS/1.0\r\nNats-Msg-Id:  7 \r\nnats-msg-id: 8\r\nNats-Msg-Id: 9\r\nE:\r\n\r\n",
        );
        assert_eq!(block.get(b"Nats-Msg-Id"), Some(&b"7 "[..]));
        assert_eq!(block.get(b"nats-msg-id"), Some(&b"8"[..]));
        assert_eq!(block.get(b"E"), Some(&b""[..]));
        assert_eq!(block.get(b"Nats-Msg"), None);
        assert_eq!(block.get(b"NATS/1.0"), None);
        assert_eq!(block.iter().count(), 4);
        assert_eq!(block.status(), None);
    }

    #[test]
    fn garbage_yields_what_can_be_read() {
        let block = HeaderBlock::new(b"whatever: x\r\nno colon\r\nA: 1\rstill\nsame\r\nB: 2");
        let all: Vec<_> = block.iter().collect();
        assert_eq!(all, [(&b"A"[..], &b"1\rstill\nsame"[..]), (&b"B"[..], &b"2"[..])]);
        assert_eq!(block.get(b"whatever"), None);
        assert_eq!(HeaderBlock::new(b"").iter().count(), 0);
        assert_eq!(HeaderBlock::new(b"\r\n\r\n").iter().count(), 0);
    }

    /// Goal: the frame nats-server 2.15.1 sends. Method: bytes recorded from it.
    #[test]
    fn no_responders_frame_is_byte_exact() {
        let mut out = Vec::new();
        write_no_responders(&mut out, b"in.1", b"1", b"foo");
        let expected = b"HMSG in.1 1 35 35\r\nNATS/1.0 503\r\nNats-Subject: foo\r\n\r\n\r\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn status_block_reads_back() {
        let mut out = Vec::new();
        write_status_block(&mut out, 409, b"Consumer Deleted", &[(b"Nats-Pending", b"3")]);
        assert_eq!(out, b"NATS/1.0 409 Consumer Deleted\r\nNats-Pending: 3\r\n\r\n");
        let block = HeaderBlock::new(&out);
        assert_eq!(block.status(), Some(409));
        assert_eq!(block.get(b"Nats-Pending"), Some(&b"3"[..]));
        let mut out = Vec::new();
        write_status_block(&mut out, 100, b"", &[]);
        assert_eq!(out, b"NATS/1.0 100\r\n\r\n");
    }

    proptest! {
        /// Goal: `get` agrees with the iterator. Method: random bytes rich in separators; a name
        /// from the iterator contains no colon, so both must find the same first value.
        #[test]
        fn lookup_agrees_with_iteration(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), b'A'..=b'C'], 0..80)
        ) {
            let block = HeaderBlock::new(&bytes);
            for (name, _) in block {
                let first = block.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
                prop_assert_eq!(block.get(name), first);
            }
        }
    }
}
