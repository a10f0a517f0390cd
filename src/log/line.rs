//! One line, from what was said to the bytes of the sink.

use std::fmt::Write as _;
use std::time::Duration;

use super::Level;
use crate::host::civil_from_days;

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
    /// An object of JSON instead of a line of text.
    pub(super) json: bool,
}

impl Look {
    /// Appends the line with its end. `offset_s` is asked for the zone's distance from UTC.
    pub(super) fn render(self, line: &Line, offset_s: fn(i64) -> i64, out: &mut String) {
        if self.json {
            return self.render_json(line, out);
        }
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

    fn render_json(self, line: &Line, out: &mut String) {
        out.push('{');
        if self.time {
            out.push_str("\"time\":\"");
            CivilTime::new(line.at, |_| 0).write_rfc3339_micros(out);
            out.push_str("\",");
        }
        let (level, pid) = (line.level.word(), self.pid);
        let text = serde_json::Value::from(line.text.trim_end_matches('\n'));
        let _infallible = writeln!(out, "\"level\":\"{level}\",\"pid\":{pid},\"text\":{text}}}");
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

    /// `2026-11-21T12:00:00.123456Z`, if this is UTC.
    fn write_rfc3339_micros(self, out: &mut String) {
        let micros = self.nanos / 1000;
        self.write_rfc3339_clock(out);
        let _infallible = write!(out, ".{micros:06}Z");
    }

    /// `2026-11-21T12:00:00+01:00`, in the zone that is `offset_s` east of UTC.
    pub(super) fn write_rfc3339(self, out: &mut String, offset_s: i64) {
        self.write_rfc3339_clock(out);
        let (hours, minutes) = (offset_s.abs() / 3600, offset_s.abs() / 60 % 60);
        let _infallible = match offset_s.signum() {
            0 => write!(out, "Z"),
            1 => write!(out, "+{hours:02}:{minutes:02}"),
            _ => write!(out, "-{hours:02}:{minutes:02}"),
        };
    }

    fn write_rfc3339_clock(self, out: &mut String) {
        let Self { year, month, day, .. } = self;
        let (hour, minute, second) = self.clock();
        let _infallible =
            write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    }

    /// `Nov 21 12:00:00`, the day padded with a blank.
    pub(super) fn write_stamp(self, out: &mut String) {
        let month = usize::try_from(self.month - 1).ok().and_then(|at| MONTHS.get(at));
        let (hour, minute, second) = self.clock();
        let (month, day) = (month.unwrap_or(&"Jan"), self.day);
        let _infallible = write!(out, "{month} {day:>2} {hour:02}:{minute:02}:{second:02}");
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

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look { pid: 7, time: true, utc: true, colour: false, json: false };

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
    fn lines_of_json_hold_the_same() {
        let json = Look { json: true, ..PLAIN };
        assert_eq!(
            rendered(json, Level::Warning, "a \"b\"\n", |_| 3600),
            "{\"time\":\"2026-11-21T12:00:00.123456Z\",\"level\":\"warn\",\"pid\":7,\
             \"text\":\"a \\\"b\\\"\"}\n"
        );
        let without = Look { time: false, ..json };
        let line = rendered(without, Level::Fatal, "x", |_| 0);
        assert_eq!(line, "{\"level\":\"fatal\",\"pid\":7,\"text\":\"x\"}\n");
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
    fn backup_names_sort_by_time() {
        let at = Duration::new(1_795_262_400, 9);
        assert_eq!(CivilTime::new(at, |_| 0).backup_suffix(), "2026.11.21.12.00.00.000000009");
    }
}
