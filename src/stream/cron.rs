//! Times that come again: six fields, `second minute hour day month weekday`, as cron has them.
//!
//! In a zone, they are looked for in each stretch of time with one offset from UTC: what the clocks
//! skip does not come, and what they show twice comes twice.

use jiff::tz::TimeZone;
use jiff::Timestamp;

use super::time::{civil_from_days, SECOND};

/// When something recurs, by the clocks of some place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// A day that only one of the two allows counts if both are restricted.
    days_are_any: bool,
    weekdays_are_any: bool,
}

impl Cron {
    /// Reads six fields, or a name such as `@daily`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = match text {
            "@yearly" | "@annually" => "0 0 0 1 1 *",
            "@monthly" => "0 0 0 1 * *",
            "@weekly" => "0 0 0 * * 0",
            "@daily" | "@midnight" => "0 0 0 * * *",
            "@hourly" => "0 0 * * * *",
            _ => text,
        };
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [seconds, minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return None;
        };
        let is_any = |field: &str| field == "*" || field == "?";
        Some(Self {
            seconds: parse_field(seconds, 0, 59, &[])?,
            minutes: parse_field(minutes, 0, 59, &[])?,
            hours: parse_field(hours, 0, 23, &[])?,
            days: parse_field(days, 1, 31, &[])?,
            months: parse_field(months, 1, 12, MONTHS)?,
            weekdays: parse_field(weekdays, 0, 6, WEEKDAYS)?,
            days_are_any: is_any(days),
            weekdays_are_any: is_any(weekdays),
        })
    }

    /// The first time after `time`, in nanoseconds since 1970, by the clocks of `zone`, UTC if there
    /// is none; `None` if there is none for years.
    pub(super) fn next_after(&self, time: u64, zone: Option<&TimeZone>) -> Option<u64> {
        let mut from = i64::try_from(time / SECOND).ok()?.checked_add(1)?;
        let Some(zone) = zone else {
            return seconds(self.first_at(from)?);
        };
        for _ in 0..OFFSETS_SEARCHED {
            let start = Timestamp::from_second(from).ok()?;
            let offset = i64::from(zone.to_offset(start).seconds());
            let change = zone.following(start).next().map(|change| change.timestamp().as_second());
            let found = self.first_at(from.checked_add(offset)?).map(|local| local - offset);
            match (found, change) {
                (Some(found), None) => return seconds(found),
                (Some(found), Some(change)) if found < change => return seconds(found),
                (_, Some(change)) => from = change,
                (None, None) => return None,
            }
        }
        None
    }

    /// The first second at or after `start`, by clocks that are never changed.
    fn first_at(&self, start: i64) -> Option<i64> {
        let start = u64::try_from(start).ok()?;
        let first_day = start / DAY;
        for day in first_day..first_day + DAYS_SEARCHED {
            if !self.has_day(day) {
                continue;
            }
            let from = if day == first_day { start % DAY } else { 0 };
            if let Some(of_day) = self.next_of_day(from) {
                return i64::try_from(day * DAY + of_day).ok();
            }
        }
        None
    }

    fn has_day(&self, day: u64) -> bool {
        let (_, month, day_of_month) = civil_from_days(day);
        // 1970 began on a Thursday.
        let weekday = (day + 4) % 7;
        let has_day = self.days >> day_of_month & 1 == 1;
        let has_weekday = self.weekdays >> weekday & 1 == 1;
        let is_right = match (self.days_are_any, self.weekdays_are_any) {
            (false, false) => has_day || has_weekday,
            _ => has_day && has_weekday,
        };
        self.months >> month & 1 == 1 && is_right
    }

    /// The first second of a day from `from` on.
    fn next_of_day(&self, from: u64) -> Option<u64> {
        let (mut hour, mut minute, mut second) = (from / 3600, from / 60 % 60, from % 60);
        while hour < 24 {
            if self.hours >> hour & 1 == 1 {
                while minute < 60 {
                    if self.minutes >> minute & 1 == 1 {
                        if let Some(second) = (second..60).find(|s| self.seconds >> s & 1 == 1) {
                            return Some(hour * 3600 + minute * 60 + second);
                        }
                    }
                    (minute, second) = (minute + 1, 0);
                }
            }
            (hour, minute, second) = (hour + 1, 0, 0);
        }
        None
    }
}

fn seconds(time: i64) -> Option<u64> {
    u64::try_from(time).ok()?.checked_mul(SECOND)
}

/// The zone of that name in the IANA database; `None` if there is none.
pub(super) fn zone(name: &[u8]) -> Option<TimeZone> {
    let name = std::str::from_utf8(name).ok()?;
    let zone = TimeZone::get(name).ok()?;
    // Names are not found in another case than their own.
    (zone.iana_name() == Some(name)).then_some(zone)
}

/// The bits of `low..=high` that a field names.
fn parse_field(field: &str, low: u64, high: u64, names: &[&str]) -> Option<u64> {
    let mut bits = 0;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u64>().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (first, last) = match range {
            "*" | "?" => (low, high),
            _ => match range.split_once('-') {
                Some((first, last)) => {
                    (parse_one(first, low, names)?, parse_one(last, low, names)?)
                }
                None => {
                    let one = parse_one(range, low, names)?;
                    (one, if part.contains('/') { high } else { one })
                }
            },
        };
        if first < low || last > high || first > last {
            return None;
        }
        let mut at = first;
        while at <= last {
            bits |= 1 << at;
            at = at.saturating_add(step);
        }
    }
    Some(bits)
}

fn parse_one(text: &str, low: u64, names: &[&str]) -> Option<u64> {
    if let Some(index) = names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
        return Some(index as u64 + low);
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

const MONTHS: &[&str] =
    &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const DAY: u64 = 86_400;
/// Eight years have a 29th of February, whatever the century.
const DAYS_SEARCHED: u64 = 8 * 366 + 1;
/// Stretches of time with one offset: most zones have two a year.
const OFFSETS_SEARCHED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::time::{format_time, parse_time};

    #[test]
    fn times_come_again() {
        for (pattern, after, next) in [
            ("0 30 9 * * *", "2026-11-21T09:45:53Z", "2026-11-22T09:30:00Z"),
            ("*/15 * * * * *", "2026-11-21T09:45:53.5Z", "2026-11-21T09:46:00Z"),
            ("0 0 12 ? * MON-FRI", "2026-11-21T09:45:53Z", "2026-11-23T12:00:00Z"),
            ("0 0 0 29 feb *", "2026-11-21T09:45:53Z", "2028-02-29T00:00:00Z"),
            ("0 0 0 1 * 0", "2026-11-21T09:45:53Z", "2026-11-22T00:00:00Z"),
            ("@hourly", "2026-11-21T09:45:53Z", "2026-11-21T10:00:00Z"),
            ("5/20 0 0 * * 0", "2026-11-22T00:00:05Z", "2026-11-22T00:00:25Z"),
            ("@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ] {
            let cron = Cron::parse(pattern).unwrap();
            let found = cron.next_after(parse_time(after).unwrap(), None).unwrap();
            assert_eq!(format_time(found), next, "{pattern}");
        }
        assert_eq!(Cron::parse("0 0 0 31 2 *").unwrap().next_after(0, None), None);
    }

    #[test]
    fn clocks_of_a_place_are_followed() {
        let berlin = zone(b"Europe/Berlin").unwrap();
        for (pattern, after, next) in [
            // Winter and summer time.
            ("0 0 9 * * *", "2026-01-10T08:00:00Z", "2026-01-11T08:00:00Z"),
            ("0 0 9 * * *", "2026-07-10T06:59:59Z", "2026-07-10T07:00:00Z"),
            // Half past two does not come on the 29th of March.
            ("0 30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"),
            // And comes twice on the 25th of October.
            ("0 30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("0 30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
            ("0 30 2 * * *", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"),
            // The weekday is that of the place.
            ("0 0 0 * * MON", "2026-11-21T00:00:00Z", "2026-11-22T23:00:00Z"),
            ("0 0 0 29 2 *", "2026-11-21T00:00:00Z", "2028-02-28T23:00:00Z"),
        ] {
            let cron = Cron::parse(pattern).unwrap();
            let found = cron.next_after(parse_time(after).unwrap(), Some(&berlin)).unwrap();
            assert_eq!(format_time(found), next, "{pattern} after {after}");
        }
        let never = Cron::parse("0 0 0 31 2 *").unwrap();
        assert_eq!(never.next_after(0, Some(&berlin)), None);
        assert!(zone(b"America/New_York").is_some() && zone(b"UTC").is_some());
        for none in [&b"Foo/Bar"[..], b"", b"europe/berlin", b"\xff"] {
            assert!(zone(none).is_none(), "{none:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in [
            "",
            "* * * * *",
            "60 * * * * *",
            "a * * * * *",
            "*/0 * * * * *",
            "5-1 * * * * *",
            "@foo",
            "* * * 0 * *",
            "* * * * 13 *",
            "* * * * * 7",
        ] {
            assert_eq!(Cron::parse(bad), None, "{bad}");
        }
    }
}
