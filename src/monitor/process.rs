//! What the process costs: memory, and processor time since the last look.

use crate::host;

/// As `/varz` shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Resident bytes.
    pub(super) memory_bytes: u64,
    /// Processor time used since the start.
    pub(super) cpu_seconds: f64,
    /// Percent of one core.
    pub(super) cpu_percent: f64,
}

/// Remembers the last look, so that there is no timer.
#[derive(Debug, Default)]
pub(super) struct UsageMeter {
    /// When, and processor time used until then.
    looked: (u64, u64),
    percent: f64,
}

impl UsageMeter {
    /// A meter whose first look covers the time since `start`.
    pub(super) fn new(start: u64) -> Self {
        Self { looked: (start, 0), percent: 0.0 }
    }

    /// Looks at `now`, nanoseconds of the monotonic clock. Processor time is
    /// that since the last look a second or longer ago.
    pub(super) fn look(&mut self, now: u64) -> Usage {
        let used = host::cpu_time_ns();
        self.note(now, used);
        Usage {
            memory_bytes: host::resident_bytes().unwrap_or(0),
            cpu_seconds: used as f64 / 1e9,
            cpu_percent: self.percent,
        }
    }

    fn note(&mut self, now: u64, used: u64) {
        let (then, before) = self.looked;
        let passed = now.saturating_sub(then);
        if passed >= LOOK_APART {
            let share = used.saturating_sub(before) as f64 / passed as f64;
            self.percent = (share * 1000.0).round() / 10.0;
            self.looked = (now, used);
        }
    }
}

/// Looks that are closer together would measure noise.
const LOOK_APART: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_since_the_last_look() {
        let mut meter = UsageMeter::new(0);
        meter.note(2_000_000_000, 1_000_000_000);
        assert_eq!(meter.percent, 50.0);
        meter.note(2_500_000_000, 1_500_000_000);
        assert_eq!(meter.percent, 50.0, "too close to the last look");
        meter.note(4_000_000_000, 1_010_000_000);
        assert_eq!(meter.percent, 0.5);
    }
}
