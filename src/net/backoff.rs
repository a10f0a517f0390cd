//! How long to leave a listener alone after an accept failed for want of descriptors or memory.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

/// Delays that double from 10 ms to 1 s. The caller re-arms the accept after each.
#[derive(Debug, Default)]
pub struct AcceptBackoff {
    last: Option<Duration>,
}

impl AcceptBackoff {
    /// The accept failed: how long to wait before it is armed again.
    pub fn failed(&mut self) -> Duration {
        let delay = self.last.map_or(FIRST, |last| (last * 2).min(LONGEST));
        self.last = Some(delay);
        delay
    }

    /// A connection was accepted: the next failure starts over.
    pub fn succeeded(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_from_ten_milliseconds_to_a_second() {
        let mut backoff = AcceptBackoff::default();
        let delays: Vec<u128> = (0..9).map(|_| backoff.failed().as_millis()).collect();
        assert_eq!(delays, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        backoff.succeeded();
        assert_eq!(backoff.failed(), FIRST);
    }
}
