//! Headers by which a message asks for its way to be told.
//!
//! `Nats-Trace-Dest: subject` asks for it, `Nats-Trace-Only: true` for nothing else. Where an
//! account says so, W3C's `traceparent` with its sampled bit asks as well.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::headers::HeaderBlock;

const VERSION_LINE: &[u8] = b"NATS/1.0\r\n";
const DESTINATION: &[u8] = b"Nats-Trace-Dest";
const ONLY: &[u8] = b"Nats-Trace-Only";
const PARENT: &[u8] = b"traceparent";

/// The destination of a message whose tracing was switched off.
const DISABLED: &[u8] = b"trace disabled";

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceWish<'h> {
    /// Nothing.
    None,
    /// Its way is to be told to a subject.
    To {
        /// The subject, as the header has it.
        destination: &'h [u8],
        /// It is not to be delivered.
        only: bool,
    },
    /// Somebody samples it: its way is to be told to where its account says.
    Sampled,
}

/// Whether a block may hold a wish: whoever says no need not be asked what for. Cost: one look at
/// the beginning of each line. `sampled` if the account wants to know of `traceparent`.
#[inline]
pub fn may_wish_trace(headers: &[u8], sampled: bool) -> bool {
    let mut rest = headers;
    while let Some(at) = memchr::memchr(b'\n', rest) {
        let Some((_, line)) = rest.split_at_checked(at.saturating_add(1)) else { return false };
        rest = line;
        if line.starts_with(DESTINATION) {
            return true;
        }
        let Some(start) = line.get(..PARENT.len()) else { continue };
        if sampled && start.eq_ignore_ascii_case(PARENT) {
            return true;
        }
    }
    false
}

/// What a block of headers asks for.
pub fn trace_wish(headers: &[u8], sampled: bool) -> TraceWish<'_> {
    if !headers.starts_with(VERSION_LINE) {
        return TraceWish::None;
    }
    let block = HeaderBlock::new(headers);
    if let Some(destination) = block.get(DESTINATION).filter(|value| !value.is_empty()) {
        if destination == DISABLED {
            return TraceWish::None;
        }
        let only = block.get(ONLY).is_some_and(|value| {
            [&b"1"[..], b"true", b"on"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
        });
        return TraceWish::To { destination, only };
    }
    let parent = block.iter().find(|(name, _)| name.eq_ignore_ascii_case(PARENT));
    match parent {
        Some((_, value)) if sampled && is_sampled(value) => TraceWish::Sampled,
        _ => TraceWish::None,
    }
}

/// `version-trace-parent-flags` whose flags have their lowest bit.
fn is_sampled(value: &[u8]) -> bool {
    let parts: Vec<&[u8]> = value.split(|byte| *byte == b'-').collect();
    let [_, _, _, flags] = parts.as_slice() else { return false };
    let flags = std::str::from_utf8(flags).ok().filter(|flags| flags.len() == 2);
    flags.and_then(|flags| u8::from_str_radix(flags, 16).ok()).is_some_and(|bits| bits & 1 == 1)
}

/// The block of a message that is stored: delivered later, it is not traced again.
pub fn without_trace_wish(headers: &[u8]) -> Vec<u8> {
    let mut block = Vec::with_capacity(headers.len().saturating_add(DISABLED.len()));
    for line in headers.split_inclusive(|byte| *byte == b'\n') {
        if line.strip_prefix(DESTINATION).is_some_and(|rest| rest.starts_with(b":")) {
            for part in [DESTINATION, b": ", DISABLED, b"\r\n"] {
                block.extend_from_slice(part);
            }
        } else {
            block.extend_from_slice(line);
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(lines: &str) -> Vec<u8> {
        format!("NATS/1.0\r\n{lines}\r\n").into_bytes()
    }

    /// All asked of nats-server 2.15.1.
    #[test]
    fn wishes_are_read_as_nats_server_reads_them() {
        let to = |destination, only| TraceWish::To { destination, only };
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        for (lines, wish) in [
            ("Nats-Trace-Dest: tr\r\n", to(&b"tr"[..], false)),
            ("A: 1\r\nNats-Trace-Dest:tr\r\nNats-Trace-Dest: two\r\n", to(b"tr", false)),
            ("Nats-Trace-Dest: tr\r\nNats-Trace-Only: true\r\n", to(b"tr", true)),
            ("Nats-Trace-Only: 1\r\nNats-Trace-Dest: tr\r\n", to(b"tr", true)),
            ("Nats-Trace-Dest: tr\r\nNats-Trace-Only: yes\r\n", to(b"tr", false)),
            ("nats-trace-dest: tr\r\n", TraceWish::None),
            ("Nats-Trace-Dest: \r\n", TraceWish::None),
            ("Nats-Trace-Dest: trace disabled\r\n", TraceWish::None),
            ("Nats-Trace-Only: true\r\n", TraceWish::None),
            (&format!("TraceParent: {parent}-01\r\n"), TraceWish::Sampled),
            (&format!("traceparent: {parent}-00\r\n"), TraceWish::None),
            ("traceparent: zz\r\n", TraceWish::None),
            (&format!("traceparent: {parent}-01\r\nNats-Trace-Dest: tr\r\n"), to(b"tr", false)),
            (
                &format!("traceparent: {parent}-01\r\nNats-Trace-Dest: trace disabled\r\n"),
                TraceWish::None,
            ),
        ] {
            let block = block(lines);
            assert_eq!(trace_wish(&block, true), wish, "{lines:?}");
            if wish != TraceWish::None {
                assert!(may_wish_trace(&block, true), "{lines:?}");
            }
            let unsampled = if wish == TraceWish::Sampled { TraceWish::None } else { wish };
            assert_eq!(trace_wish(&block, false), unsampled, "{lines:?}");
        }
        assert!(!may_wish_trace(&block("A: b\r\ntraceparent: x\r\n"), false));
        assert!(!may_wish_trace(b"", true) && !may_wish_trace(b"NATS/1.0\r\n", true));
        assert_eq!(
            trace_wish(b"NATS/1.0 200\r\nNats-Trace-Dest: tr\r\n\r\n", true),
            TraceWish::None
        );
    }

    #[test]
    fn what_is_stored_is_not_traced_again() {
        let stored = without_trace_wish(&block("A: 1\r\nNats-Trace-Dest: tr\r\nB: 2\r\n"));
        assert_eq!(stored, block("A: 1\r\nNats-Trace-Dest: trace disabled\r\nB: 2\r\n"));
        assert_eq!(trace_wish(&stored, true), TraceWish::None);
        assert_eq!(without_trace_wish(b""), b"");
    }
}
