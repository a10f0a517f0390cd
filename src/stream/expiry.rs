//! When messages go of their own accord: per-message TTLs, and those that age does not touch.
//!
//! Bounded by the messages that have a TTL; what consumers remove leaves its entry until it is due.

use std::collections::{BTreeMap, BTreeSet};

use super::dedup::take;
use super::publish_headers::PublishHeaders;
use super::time::{parse_duration, SECOND};

/// What `Nats-TTL` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ttl {
    /// Whole seconds, at least one.
    Seconds(u64),
    /// Not even the limit of age counts.
    Never,
}

impl Ttl {
    /// Reads a value; `None` if it is none.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        if text.eq_ignore_ascii_case(b"never") {
            return Some(Self::Never);
        }
        let text = std::str::from_utf8(text).ok()?;
        if let Ok(seconds) = text.parse::<i64>() {
            let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds >= 1)?;
            return Some(Self::Seconds(seconds));
        }
        let seconds = u64::try_from(parse_duration(text)?).ok()? / SECOND;
        (seconds >= 1).then_some(Self::Seconds(seconds))
    }
}

/// The expiries of one stream.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    /// When, and which sequence.
    due: BTreeSet<(u64, u64)>,
    /// When each sequence is due; `u64::MAX` for never.
    of: BTreeMap<u64, u64>,
    never: BTreeSet<u64>,
    /// Time of the first message that age concerns, if the stream's first one is kept for ever.
    aged_after_kept: Option<u64>,
}

impl Expiry {
    /// A message was stored.
    pub(super) fn stored(&mut self, seq: u64, time: u64, ttl: Ttl) {
        match ttl {
            Ttl::Seconds(seconds) => {
                let due = time.saturating_add(seconds.saturating_mul(SECOND));
                self.of.insert(seq, due);
                self.due.insert((due, seq));
            }
            Ttl::Never => {
                self.never.insert(seq);
            }
        }
    }

    /// A message that is replayed was stored.
    pub(super) fn replayed(&mut self, seq: u64, time: u64, headers: &[u8]) {
        let headers = PublishHeaders::read(headers);
        if let Some(ttl) = headers.ttl.and_then(Ttl::parse) {
            self.stored(seq, time, ttl);
        }
    }

    /// A message is gone.
    pub(super) fn removed(&mut self, seq: u64) {
        if let Some(due) = self.of.remove(&seq) {
            self.due.remove(&(due, seq));
        }
        if self.never.remove(&seq) {
            self.aged_after_kept = None;
        }
    }

    /// All messages below `seq` are gone.
    pub(super) fn removed_below(&mut self, seq: u64) {
        let kept = self.of.split_off(&seq);
        for (seq, due) in std::mem::replace(&mut self.of, kept) {
            self.due.remove(&(due, seq));
        }
        self.never = self.never.split_off(&seq);
        self.aged_after_kept = None;
    }

    /// A message that is due.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<u64> {
        let (due, seq) = *self.due.first()?;
        if due > now {
            return None;
        }
        self.due.pop_first();
        self.of.remove(&seq);
        Some(seq)
    }

    /// When the next one is due.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Whether age does not touch `seq`.
    pub(super) fn is_kept(&self, seq: u64) -> bool {
        !self.never.is_empty() && self.never.contains(&seq)
    }

    /// Messages that age does not touch.
    pub(super) fn kept_count(&self) -> u64 {
        self.never.len() as u64
    }

    /// Time of the first message that age concerns, given that of the stream's first one.
    pub(super) fn first_aged(&self, first_time: u64) -> u64 {
        self.aged_after_kept.unwrap_or(first_time)
    }

    /// The first message that age concerns is of that time; the stream's first is kept for ever.
    pub(super) fn set_first_aged(&mut self, time: Option<u64>) {
        self.aged_after_kept = time;
    }

    /// Appends everything, for [`restore`](Self::restore).
    pub(super) fn snapshot(&self, out: &mut Vec<u8>) {
        for count in [self.of.len(), self.never.len()] {
            out.extend_from_slice(&(count as u64).to_le_bytes());
        }
        for (seq, due) in &self.of {
            out.extend_from_slice(&seq.to_le_bytes());
            out.extend_from_slice(&due.to_le_bytes());
        }
        for seq in &self.never {
            out.extend_from_slice(&seq.to_le_bytes());
        }
    }

    /// Takes back what [`snapshot`](Self::snapshot) wrote, from the front of `bytes`.
    pub(super) fn restore(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let timed = u64::from_le_bytes(take(bytes)?);
        let never = u64::from_le_bytes(take(bytes)?);
        for _ in 0..timed {
            let seq = u64::from_le_bytes(take(bytes)?);
            let due = u64::from_le_bytes(take(bytes)?);
            self.of.insert(seq, due);
            self.due.insert((due, seq));
        }
        for _ in 0..never {
            self.never.insert(u64::from_le_bytes(take(bytes)?));
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttls_are_read_as_the_server_does() {
        for (text, expected) in [
            ("1", Some(Ttl::Seconds(1))),
            ("90s", Some(Ttl::Seconds(90))),
            ("1h30m", Some(Ttl::Seconds(5400))),
            ("1500ms", Some(Ttl::Seconds(1))),
            ("never", Some(Ttl::Never)),
            ("NEVER", Some(Ttl::Never)),
            ("500ms", None),
            ("0", None),
            ("-1", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(Ttl::parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_removed_is_not_due() {
        let mut expiry = Expiry::default();
        expiry.stored(1, 0, Ttl::Seconds(1));
        expiry.stored(2, 0, Ttl::Seconds(2));
        expiry.stored(3, 0, Ttl::Seconds(3));
        expiry.stored(4, 0, Ttl::Never);
        expiry.removed(1);
        assert_eq!(expiry.next_deadline(), Some(2 * SECOND));
        expiry.removed_below(3);
        assert_eq!(expiry.pop_due(2 * SECOND), None);
        let mut bytes = Vec::new();
        expiry.snapshot(&mut bytes);
        let mut other = Expiry::default();
        assert_eq!(other.restore(&mut &bytes[..]), Some(()));
        assert_eq!(other.pop_due(3 * SECOND), Some(3));
        assert_eq!(other.pop_due(u64::MAX), None);
        assert!(other.is_kept(4) && !other.is_kept(3));
    }
}
