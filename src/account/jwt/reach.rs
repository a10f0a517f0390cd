//! From where and when a user may be connected.

use core::net::IpAddr;

use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};
use serde::Deserialize;

/// A time of the day, every day: `start` and `end` as `HH:MM:SS`. One that ends before it starts
/// ends on the next day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TimeRange {
    /// From then on.
    pub start: String,
    /// Until then.
    pub end: String,
}

/// Whether an address lies in one of the networks (`192.0.2.0/24`); none means that any does.
/// A network that is none makes all further ones count for nothing, as in nats-server.
pub fn reaches_from(networks: &[String], address: &str) -> bool {
    if networks.is_empty() {
        return true;
    }
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    for network in networks {
        match contains(network, address) {
            Some(true) => return true,
            Some(false) => {}
            None => return false,
        }
    }
    false
}

/// Whether a moment (seconds since 1970) lies in one of the ranges, and until when it goes on
/// doing so; no range means always. `locale` is an IANA name; if it is empty the server's own
/// zone counts, `local_offset_s` seconds east of UTC.
///
/// `None`: it does not. `Some(None)`: for ever.
pub fn is_open_at(
    ranges: &[TimeRange],
    locale: &str,
    local_offset_s: i32,
    now: i64,
) -> Option<Option<i64>> {
    if ranges.is_empty() {
        return Some(None);
    }
    let zone = match locale {
        "" => TimeZone::fixed(Offset::from_seconds(local_offset_s).ok()?),
        name => TimeZone::get(name).ok()?,
    };
    let today = Timestamp::from_second(now).ok()?.to_zoned(zone.clone()).date();
    for range in ranges {
        let (start, end) = (time_of_day(&range.start)?, time_of_day(&range.end)?);
        // What began yesterday may go on today.
        for day in [Some(today), today.checked_sub(1.day()).ok()].into_iter().flatten() {
            let last = if end < start { day.checked_add(1.day()).ok()? } else { day };
            let (from, until) = (moment(day, start, &zone)?, moment(last, end, &zone)?);
            if from < now && now < until {
                return Some(Some(until));
            }
        }
    }
    None
}

fn moment(day: Date, time: Time, zone: &TimeZone) -> Option<i64> {
    let zoned = day.to_datetime(time).to_zoned(zone.clone()).ok()?;
    Some(zoned.timestamp().as_second())
}

/// `HH:MM:SS`
fn time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then(|| Time::new(hour, minute, second, 0).ok())?
}

/// Whether an address lies in a network; `None` if it is none.
fn contains(network: &str, address: IpAddr) -> Option<bool> {
    let (base, length) = network.split_once('/')?;
    let (base, length) = (base.parse::<IpAddr>().ok()?, length.parse::<u32>().ok()?);
    let bits = match base {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    if length > bits {
        return None;
    }
    let (one, other) = match (base, address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (u32::from(one).into(), u32::from(other).into()),
        (IpAddr::V6(one), IpAddr::V6(other)) => (u128::from(one), u128::from(other)),
        _ => return Some(false),
    };
    Some(length == 0 || (one ^ other) >> (bits - length) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn networks_hold_their_addresses_only() {
        let both = texts(&["192.0.2.0/24", "2001:db8::/32"]);
        for inside in ["192.0.2.1", "192.0.2.255", "2001:db8::1"] {
            assert!(reaches_from(&both, inside), "{inside}");
        }
        for outside in ["192.0.3.1", "2001:db9::1", "", "x", "::ffff:192.0.2.1"] {
            assert!(!reaches_from(&both, outside), "{outside}");
        }
        assert!(reaches_from(&[], "x") && reaches_from(&texts(&["0.0.0.0/0"]), "1.2.3.4"));
        assert!(reaches_from(&texts(&["192.0.2.7/32"]), "192.0.2.7"));
        assert!(!reaches_from(&texts(&["192.0.2.7"]), "192.0.2.7"));
        assert!(!reaches_from(&texts(&["192.0.2.0/33"]), "192.0.2.7"));
    }

    fn range(start: &str, end: &str) -> TimeRange {
        TimeRange { start: start.to_owned(), end: end.to_owned() }
    }

    /// 2026-01-15 12:00:00 UTC; winter in both hemispheres' sense of the zones below.
    const NOON: i64 = 1_768_478_400;

    #[test]
    fn times_are_those_of_the_place() {
        let day = [range("09:00:00", "17:00:00")];
        assert_eq!(is_open_at(&day, "UTC", 0, NOON), Some(Some(NOON + 5 * 3600)));
        assert_eq!(is_open_at(&day, "Europe/Berlin", 0, NOON), Some(Some(NOON + 4 * 3600)));
        assert_eq!(is_open_at(&day, "America/New_York", 0, NOON), None);
        assert_eq!(is_open_at(&day, "", 5 * 3600, NOON), None);
        assert_eq!(is_open_at(&day, "", 4 * 3600, NOON), Some(Some(NOON + 3600)));
        assert_eq!(is_open_at(&day, "No/Where", 0, NOON), None);
        assert_eq!(is_open_at(&[], "No/Where", 0, NOON), Some(None));
    }

    #[test]
    fn a_night_goes_on_after_midnight() {
        let night = [range("22:00:00", "02:00:00")];
        let midnight = NOON + 12 * 3600;
        assert_eq!(is_open_at(&night, "UTC", 0, NOON), None);
        assert_eq!(is_open_at(&night, "UTC", 0, midnight - 1), Some(Some(midnight + 7200)));
        assert_eq!(is_open_at(&night, "UTC", 0, midnight + 7199), Some(Some(midnight + 7200)));
        assert_eq!(is_open_at(&night, "UTC", 0, midnight + 7200), None);
    }

    #[test]
    fn what_is_no_time_is_never() {
        for (start, end) in [("9", "17:00:00"), ("09:00:00", "25:00:00"), ("09:00:00:00", "x")] {
            assert_eq!(is_open_at(&[range(start, end)], "UTC", 0, NOON), None, "{start} {end}");
        }
    }
}
