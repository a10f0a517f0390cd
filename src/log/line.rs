//! One line, from what was said to the bytes of the sink.

use std::fmt::Write as _;
use std::time::Duration;

use super::Level;

/// A line on its way to the writer.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) level: Level,
    /// Wall-clock time since 1970, UTC, when it was said.
    pub(super) at: Duration,
    pub(super) text: String,
}

/// How lines look; fixed when the log starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) pid: u32,
    pub(super) time: bool,
    pub(super) utc: bool,
    pub(super) colour: bool,
}

impl Look {
    /// Appends the line with its end. `offset_s` is asked for the zone's distance from UTC.
    pub(super) fn render(self, line: &Line, offset_s: fn(i64) -> i64, out: &mut String) {
        let _infallible = write!(out, "[{}] ", self.pid);
        if self.time {
            let offset_s = if self.utc { |_| 0 } else { offset_s };
            CivilTime::new(line.at, offset_s).write_log_stamp(out);
        }
        let letters = line.level.letters();
        let _infallible = if self.colour {
            write!(out, "[\x1b[{}m{letters}\x1b[0m] ", line.level.colour())
        } else {
            write!(out, "[{letters}] ")
        };
        out.push_str(&line.text);
        if !line.text.ends_with('\n') {
            out.push('\n');
        }
    }
}

/// A moment on a calendar and a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CivilTime {
    year: i64,
    month: i64,
    day: i64,
    second_of_day: i64,
    nanos: u32,
}

impl CivilTime {
    pub(super) fn new(at: Duration, offset_s: fn(i64) -> i64) -> Self {
        // Far beyond any real date, so that no arithmetic below can overflow.
        let unix_s = i64::try_from(at.as_secs()).unwrap_or(i64::MAX).min(1 << 40);
        let local_s = unix_s + offset_s(unix_s);
        let (year, month, day) = civil_from_days(local_s.div_euclid(86_400));
        let second_of_day = local_s.rem_euclid(86_400);
        Self { year, month, day, second_of_day, nanos: at.subsec_nanos() }
    }

    fn write_log_stamp(self, out: &mut String) {
        let Self { year, month, day, nanos, .. } = self;
        let (hour, minute, second) = self.clock();
        let micros = nanos / 1000;
        let _infallible = write!(
            out,
            "{year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06} "
        );
    }

    /// What a rotated log file gets behind its name: `2026.11.21.12.00.00.123456789`.
    pub(super) fn backup_suffix(self) -> String {
        let Self { year, month, day, nanos, .. } = self;
        let (hour, minute, second) = self.clock();
        format!("{year:04}.{month:02}.{day:02}.{hour:02}.{minute:02}.{second:02}.{nanos:09}")
    }

    fn clock(self) -> (i64, i64, i64) {
        let of_day = self.second_of_day;
        (of_day / 3600, of_day / 60 % 60, of_day % 60)
    }
}

/// Days since 1970-01-01 to year, month, day of the Gregorian calendar. A year is counted from
/// March, so that the leap day is its last; then months have a regular pattern of lengths, and
/// 400 years exactly 146,097 days. (Howard Hinnant, "chrono-compatible low-level date
/// algorithms".)
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let from_march_0000 = days + 719_468;
    let era = from_march_0000.div_euclid(146_097);
    let day_of_era = from_march_0000.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look { pid: 7, time: true, utc: true, colour: false };

    fn rendered(look: Look, level: Level, text: &str, offset_s: fn(i64) -> i64) -> String {
        let at = Duration::new(1_795_262_400, 123_456_789);
        let mut out = String::new();
        look.render(&Line { level, at, text: text.to_owned() }, offset_s, &mut out);
        out
    }

    #[test]
    fn lines_are_nats_servers() {
        assert_eq!(
            rendered(PLAIN, Level::Info, "Server is ready", |_| 0),
            "[7] 2026/11/21 12:00:00.123456 [INF] Server is ready\n"
        );
        let coloured = Look { colour: true, time: false, ..PLAIN };
        assert_eq!(
            rendered(coloured, Level::Warning, "x", |_| 0),
            "[7] [\x1b[0;93mWRN\x1b[0m] x\n"
        );
    }

    #[test]
    fn local_time_moves_the_date_too() {
        let local = Look { utc: false, ..PLAIN };
        assert_eq!(
            rendered(local, Level::Error, "x", |_| 13 * 3600),
            "[7] 2026/11/22 01:00:00.123456 [ERR] x\n"
        );
        assert_eq!(
            rendered(PLAIN, Level::Error, "x", |_| 13 * 3600),
            "[7] 2026/11/21 12:00:00.123456 [ERR] x\n"
        );
    }

    #[test]
    fn days_become_dates() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (19_782, (2024, 2, 29)),
            (20_778, (2026, 11, 21)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil_from_days(days), date, "{days}");
        }
    }

    #[test]
    fn backup_names_sort_by_time() {
        let at = Duration::new(1_795_262_400, 9);
        assert_eq!(CivilTime::new(at, |_| 0).backup_suffix(), "2026.11.21.12.00.00.000000009");
    }
}
