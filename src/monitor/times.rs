//! Times and durations as nats-server's JSON has them.

use std::fmt::Write as _;
use std::time::Duration;

use crate::config::go_duration;
use crate::host::civil_from_days;

const SECOND: u64 = 1_000_000_000;

/// RFC 3339 in UTC, fractions without their last zeros, as Go prints them.
pub(super) fn rfc3339(nanos: u64) -> String {
    let (seconds, fraction) = (nanos / SECOND, nanos % SECOND);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(i64::try_from(days).unwrap_or(0));
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if fraction > 0 {
        let digits = format!("{fraction:09}");
        let _infallible = write!(text, ".{}", digits.trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// The `Date` header: `Sat, 21 Nov 2026 15:06:20 GMT`.
pub(super) fn http_date(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(i64::try_from(days).unwrap_or(0));
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    // The first day of 1970 was a Thursday.
    let weekday = usize::try_from(days % 7).unwrap_or(0);
    let month = MONTHS.get(usize::try_from(month - 1).unwrap_or(0)).unwrap_or(&"Jan");
    format!(
        "{}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT",
        WEEKDAYS[weekday]
    )
}

/// How long something has lasted, in whole seconds: `1y2d3h4m5s`.
pub(super) fn uptime(nanos: u64) -> String {
    let seconds = nanos / SECOND;
    let parts = [
        (seconds / 86_400 / 365, 'y'),
        (seconds / 86_400 % 365, 'd'),
        (seconds / 3600 % 24, 'h'),
        (seconds / 60 % 60, 'm'),
        (seconds % 60, 's'),
    ];
    let mut text = String::new();
    for (value, unit) in parts {
        if value > 0 || !text.is_empty() || unit == 's' {
            let _infallible = write!(text, "{value}{unit}");
        }
    }
    text
}

/// A round trip: below a millisecond in whole microseconds.
pub(super) fn round_trip(nanos: u64) -> String {
    let shown = if nanos < 1_000_000 { nanos / 1000 * 1000 } else { nanos };
    go_duration(Duration::from_nanos(shown))
}

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        assert_eq!(rfc3339(1_795_262_400 * SECOND), "2026-11-21T12:00:00Z");
        assert_eq!(rfc3339(1_795_262_400 * SECOND + 144_112_760), "2026-11-21T12:00:00.14411276Z");
        assert_eq!(rfc3339(1), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(http_date(1_795_262_400), "Sat, 21 Nov 2026 12:00:00 GMT");
    }

    #[test]
    fn an_uptime_begins_with_its_largest_unit() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m0s"),
            (3661, "1h1m1s"),
            (86_400, "1d0h0m0s"),
            (365 * 86_400 + 5, "1y0d0h0m5s"),
        ] {
            assert_eq!(uptime(seconds * SECOND), text);
        }
    }

    #[test]
    fn a_short_round_trip_is_cut_to_microseconds() {
        assert_eq!(round_trip(0), "0s");
        assert_eq!(round_trip(806_999), "806µs");
        assert_eq!(round_trip(4_084_601), "4.084601ms");
    }
}
