//! When each message of an open loop is due, whatever happened to the ones before it.
//!
//! The schedule is a pure function of the message's number, so a late message moves none of the
//! later ones, and its latency is counted from the time it should have gone out.
//!
//! Waiting sleeps in the kernel until [`Margin`] before the next message and spins the rest, since
//! a sleep ends some microseconds late. The margin is measured at the start of a run.

use crate::error::Error;
use crate::sys::clock;
use crate::sys::epoll::Epoll;

/// A schedule of equally spaced messages.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    start_ns: u64,
    /// Messages per 1,000 seconds, so that rates below one a second can be told.
    per_kilosecond: u128,
    issued: u64,
}

impl Pacer {
    /// A schedule of `rate` messages a second from `start_ns`; rates below 0.001 count as that.
    pub fn new(rate: f64, start_ns: u64) -> Self {
        Self { start_ns, per_kilosecond: (rate * 1000.0).max(1.0) as u128, issued: 0 }
    }

    /// Messages due at `now_ns` and not yet issued.
    pub fn due(&self, now_ns: u64) -> u64 {
        let Some(elapsed) = now_ns.checked_sub(self.start_ns) else {
            return 0;
        };
        let total = u128::from(elapsed) * self.per_kilosecond / NS_PER_KILOSECOND + 1;
        (total as u64).saturating_sub(self.issued)
    }

    /// Takes the next message off the schedule and returns when it is due.
    pub fn issue(&mut self) -> u64 {
        let due = self.next_ns();
        self.issued += 1;
        due
    }

    /// When the next message is due.
    pub fn next_ns(&self) -> u64 {
        // Rounded up, so that the message counts as due at exactly this time.
        let offset = u128::from(self.issued) * NS_PER_KILOSECOND;
        self.start_ns + offset.div_ceil(self.per_kilosecond) as u64
    }
}

/// How long before a message the sleep must end, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Margin(pub u64);

impl Margin {
    /// Measures how late short sleeps end here: the 90th percentile of 64, at most 50 us.
    ///
    /// A higher percentile would spin more for little: when a sleep overshoots, messages up to
    /// one tick late leave together, each still timed from its own due time.
    pub fn measure(epoll: &mut Epoll) -> Result<Self, Error> {
        let mut late = Vec::with_capacity(64);
        for _ in 0..64 {
            let due = clock::now() + 30_000;
            let _ = epoll.wait(30_000)?.count();
            late.push(clock::now().saturating_sub(due));
        }
        late.sort_unstable();
        Ok(Self(late[late.len() * 9 / 10].clamp(2_000, 50_000)))
    }

    /// How long to sleep at `now_ns` for a message due at `due_ns`; zero means spin.
    pub fn sleep_ns(self, now_ns: u64, due_ns: u64) -> u64 {
        due_ns.saturating_sub(now_ns).saturating_sub(self.0)
    }
}

const NS_PER_KILOSECOND: u128 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_is_due_at_the_start_and_the_rest_are_equally_spaced() {
        let mut pacer = Pacer::new(50_000.0, 1000);
        assert_eq!(pacer.due(999), 0);
        assert_eq!(pacer.due(1000), 1);
        for number in 0..100_000 {
            assert_eq!(pacer.issue(), 1000 + number * 20_000);
        }
    }

    #[test]
    fn a_stall_moves_no_later_message() {
        let mut pacer = Pacer::new(3.0, 0);
        for _ in 0..3 {
            pacer.issue();
        }
        assert_eq!(pacer.due(10_000_000_000), 28);
        assert_eq!(pacer.next_ns(), 1_000_000_000);
    }

    #[test]
    fn due_and_next_agree_for_odd_rates() {
        for rate in [0.5, 3.0, 7.7, 333.0, 19_999.9, 1_234_567.0] {
            let mut pacer = Pacer::new(rate, 17);
            for _ in 0..10_000 {
                let next = pacer.next_ns();
                assert_eq!(pacer.due(next), 1, "rate {rate}");
                assert_eq!(pacer.due(next - 1), 0, "rate {rate}");
                pacer.issue();
            }
        }
    }

    #[test]
    fn the_margin_is_spun_and_the_rest_slept() {
        assert_eq!(Margin(5_000).sleep_ns(100, 20_100), 15_000);
        assert_eq!(Margin(5_000).sleep_ns(100, 4_000), 0);
        assert_eq!(Margin(5_000).sleep_ns(9_000, 100), 0);
    }
}
