//! The clocks: one that only goes forward, one for people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::system_calls;

/// Nanoseconds of the kernel's monotonic clock: the same on every core, unaffected by anybody
/// who sets the time. A shard reads it once a turn.
pub fn monotonic_ns() -> u64 {
    let (seconds, nanos) = system_calls::monotonic();
    // The clock starts at boot and is never negative; u64 nanoseconds last 584 years.
    seconds.unsigned_abs() * 1_000_000_000 + nanos.unsigned_abs()
}

/// Wall-clock time since 1970, UTC; zero on a machine that believes it is before that.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn wall_clock_since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Seconds east of UTC that the local time zone (`TZ`, else the machine's) has at `unix_s`.
pub fn local_utc_offset_s(unix_s: i64) -> i64 {
    system_calls::utc_offset_s(unix_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let first = monotonic_ns();
        assert!(first > 0);
        assert!(monotonic_ns() >= first);
    }

    #[test]
    fn the_wall_clock_is_past_2020() {
        assert!(wall_clock_since_epoch().as_secs() > 1_577_836_800);
    }

    #[test]
    fn a_time_zone_is_less_than_a_day_from_utc() {
        assert!(local_utc_offset_s(1_700_000_000).abs() < 86_400);
    }
}
