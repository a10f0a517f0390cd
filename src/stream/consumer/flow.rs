//! Flow control of push consumers, and how many bytes they may send in a second.

use crate::stream::Nuid;

/// How much a client has been sent and not yet confirmed. Pseudo-code:
///
/// ```text
/// sent += size; if nothing is asked and sent > window / 2: ask, remember sent
/// deliver only while sent <= window
/// answer: sent -= remembered; window *= 2 up to its limit
/// ```
#[derive(Clone, Debug)]
pub(super) struct FlowControl {
    sent: u64,
    window: u64,
    /// The reply subject of the request that waits for its answer; empty if none does.
    asked: Vec<u8>,
    asked_for: u64,
}

impl Default for FlowControl {
    fn default() -> Self {
        Self { sent: 0, window: WINDOW_MIN, asked: Vec::new(), asked_for: 0 }
    }
}

impl FlowControl {
    /// Nothing may be sent before the answer comes.
    pub(super) fn is_stalled(&self) -> bool {
        self.sent > self.window
    }

    /// Counts a message; returns whether a request is to be sent after it.
    pub(super) fn sent(&mut self, size: u64) -> bool {
        self.sent = self.sent.saturating_add(size);
        self.asked.is_empty() && self.sent > self.window / 2
    }

    /// Asks with a new reply subject below `prefix`, which is returned.
    pub(super) fn ask(&mut self, prefix: &[u8], nuid: &mut Nuid) -> &[u8] {
        self.asked.extend_from_slice(prefix);
        self.asked.extend_from_slice(nuid.name(4).as_bytes());
        self.asked_for = self.sent;
        &self.asked
    }

    /// The reply subject that waits for its answer; empty if none does.
    pub(super) fn asked(&self) -> &[u8] {
        &self.asked
    }

    /// An answer came; returns whether it was waited for.
    pub(super) fn answered(&mut self, subject: &[u8]) -> bool {
        if self.asked.is_empty() || self.asked != subject {
            return false;
        }
        self.asked.clear();
        self.sent = self.sent.saturating_sub(self.asked_for);
        self.window = self.window.saturating_mul(2).min(WINDOW_MAX);
        true
    }

    /// The client is another one.
    pub(super) fn start_over(&mut self) {
        *self = Self::default();
    }
}

const WINDOW_MIN: u64 = 2 << 20;
const WINDOW_MAX: u64 = 32 << 20;

/// A token bucket of bytes.
#[derive(Clone, Debug)]
pub(super) struct RateLimit {
    bytes_per_s: u64,
    burst: u64,
    /// When the bucket is full again.
    full_at: u64,
}

impl RateLimit {
    /// A limit of so many bits a second; a message of `burst` bytes may always be sent at once.
    pub(super) fn new(bits_per_s: u64, burst: u64) -> Self {
        Self { bytes_per_s: (bits_per_s / 8).max(1), burst, full_at: 0 }
    }

    /// When `size` bytes may be sent; now if that is not later than `now`.
    pub(super) fn at(&self, now: u64, size: u64) -> u64 {
        let empty_before = self.nanoseconds(self.burst.max(size) - size);
        self.full_at.saturating_sub(empty_before).max(now)
    }

    /// So many bytes are sent.
    pub(super) fn take(&mut self, now: u64, size: u64) {
        self.full_at = self.full_at.max(now).saturating_add(self.nanoseconds(size));
    }

    fn nanoseconds(&self, bytes: u64) -> u64 {
        let exact = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_s);
        u64::try_from(exact).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_sent_at_half_the_window_and_an_answer_doubles_it() {
        let mut flow = FlowControl::default();
        let mut nuid = Nuid::new(1);
        assert!(!flow.sent(1 << 20));
        assert!(flow.sent(1));
        let asked = flow.ask(b"$JS.FC.S.c.", &mut nuid).to_vec();
        assert_eq!(asked.len(), 15);
        assert!(!flow.sent(1 << 20));
        assert!(flow.is_stalled());
        assert!(!flow.answered(b"$JS.FC.S.c.nope"));
        assert!(flow.answered(&asked));
        assert!(!flow.is_stalled() && !flow.answered(&asked));
        assert!(!flow.sent(1 << 20), "half of 4 MiB");
    }

    #[test]
    fn bytes_are_spread_over_time() {
        let mut rate = RateLimit::new(8_000, 100);
        assert_eq!(rate.at(50, 100), 50);
        rate.take(50, 100);
        assert_eq!(rate.at(50, 100), 50 + 100_000_000);
        assert_eq!(rate.at(50, 50), 50 + 50_000_000);
        assert_eq!(rate.at(50 + 100_000_000, 100), 50 + 100_000_000);
    }
}
