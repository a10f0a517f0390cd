//! Times and durations as Go spells them.
//!
//! A time is nanoseconds since 1970; 0 stands for Go's zero time, the year 1.

use crate::proto::write_decimal;

/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000_000_000;

/// Appends a time as RFC 3339, with as many digits behind the second as it needs.
pub fn write_time(out: &mut Vec<u8>, time: u64) {
    if time == 0 {
        out.extend_from_slice(b"0001-01-01T00:00:00Z");
        return;
    }
    let seconds = time / SECOND;
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let of_day = seconds % 86_400;
    write_padded(out, year, 4);
    out.push(b'-');
    write_padded(out, month, 2);
    out.push(b'-');
    write_padded(out, day, 2);
    out.push(b'T');
    write_padded(out, of_day / 3600, 2);
    out.push(b':');
    write_padded(out, of_day / 60 % 60, 2);
    out.push(b':');
    write_padded(out, of_day % 60, 2);
    let fraction = time % SECOND;
    if fraction != 0 {
        out.push(b'.');
        write_padded(out, fraction, 9);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.push(b'Z');
}

/// A time as a string; see [`write_time`].
pub fn format_time(time: u64) -> String {
    let mut out = Vec::with_capacity(32);
    write_time(&mut out, time);
    String::from_utf8(out).unwrap_or_default()
}

/// Reads a time of RFC 3339. What lies before 1970 is 1, Go's zero time is 0.
///
/// # Errors
/// Go's complaint.
pub fn parse_time(text: &str) -> Result<u64, String> {
    parse_parts(text).ok_or_else(|| {
        let layout = "2006-01-02T15:04:05Z07:00";
        format!("parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\"")
    })
}

fn parse_parts(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    for (at, byte) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        if bytes.get(at) != Some(&byte) {
            return None;
        }
    }
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > days_of_month || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut at = 19;
    let mut fraction = 0;
    if matches!(bytes.get(at), Some(b'.' | b',')) {
        at += 1;
        let digits = bytes.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let mut scale = SECOND;
        for byte in bytes.get(at..at + digits)?.iter().take(9) {
            scale /= 10;
            fraction += u64::from(byte - b'0') * scale;
        }
        at += digits;
    }
    let offset = match bytes.get(at)? {
        b'Z' if at + 1 == bytes.len() => 0,
        sign @ (b'+' | b'-') if at + 6 == bytes.len() && bytes.get(at + 3) == Some(&b':') => {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if hours > 24 || minutes > 59 {
                return None;
            }
            let seconds = i64::try_from(hours * 3600 + minutes * 60).ok()?;
            if *sign == b'+' {
                seconds
            } else {
                -seconds
            }
        }
        _ => return None,
    };
    let seconds = i128::from(days_from_civil(year, month, day)) * 86_400
        + i128::from(hour * 3600 + minute * 60 + second)
        - i128::from(offset);
    let nanos = seconds * i128::from(SECOND) + i128::from(fraction);
    if seconds == ZERO_TIME_SECONDS && fraction == 0 {
        return Some(0);
    }
    Some(u64::try_from(nanos.max(1)).unwrap_or(u64::MAX))
}

/// The first instant of the year 1.
const ZERO_TIME_SECONDS: i128 = -62_135_596_800;

/// Days since 1970 to year, month and day of the Gregorian calendar.
pub fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// The reverse of [`civil_from_days`], from the year 0 on.
pub fn days_from_civil(year: u64, month: u64, day: u64) -> i64 {
    let as_signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX / 1_000_000);
    let year = as_signed(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = as_signed(if month > 2 { month - 3 } else { month + 9 });
    let of_year = (153 * shifted + 2) / 5 + as_signed(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A duration as Go prints it: `1m0s`, `1.5s`, `250ms`.
pub fn format_duration(nanos: i64) -> String {
    if nanos == 0 {
        return String::from("0s");
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    let fraction = |unit: u64| -> String {
        let rest = total % unit;
        if rest == 0 {
            return String::new();
        }
        let width = unit.ilog10() as usize;
        format!(".{rest:0width$}").trim_end_matches('0').to_owned()
    };
    if total < 1_000 {
        return format!("{sign}{total}ns");
    }
    if total < 1_000_000 {
        return format!("{sign}{}{}µs", total / 1_000, fraction(1_000));
    }
    if total < SECOND {
        return format!("{sign}{}{}ms", total / 1_000_000, fraction(1_000_000));
    }
    let seconds = total / SECOND;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = format!("{}{}s", seconds % 60, fraction(SECOND));
    match (hours, minutes) {
        (0, 0) => format!("{sign}{rest}"),
        (0, _) => format!("{sign}{minutes}m{rest}"),
        _ => format!("{sign}{hours}h{minutes}m{rest}"),
    }
}

/// Reads a duration as Go's `time.ParseDuration` does; `None` if it is none.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let whole = digits(rest);
        let (number, after) = rest.split_at_checked(whole)?;
        rest = after;
        let mut decimals = "";
        if let Some(after) = rest.strip_prefix('.') {
            let (number, after) = after.split_at_checked(digits(after))?;
            decimals = number;
            rest = after;
        }
        if number.is_empty() && decimals.is_empty() {
            return None;
        }
        let unit_len = rest.bytes().take_while(|byte| *byte != b'.' && !byte.is_ascii_digit());
        let (unit, after) = rest.split_at_checked(unit_len.count())?;
        rest = after;
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        if number.len() > 19 {
            return None;
        }
        total += number.parse::<i128>().unwrap_or(0) * unit;
        let mut scale = unit;
        for digit in decimals.bytes().take(18) {
            // What is below a nanosecond is cut off.
            total += i128::from(digit - b'0') * scale / 10;
            scale /= 10;
        }
        if total > i128::from(i64::MAX) {
            return None;
        }
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

fn write_padded(out: &mut Vec<u8>, number: u64, width: u32) {
    for place in (1..width).rev() {
        if number < 10_u64.pow(place) {
            out.push(b'0');
        }
    }
    write_decimal(out, number);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_does() {
        for (time, text) in [
            (0, "0001-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (1_795_254_353_360_683_686, "2026-11-21T09:45:53.360683686Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
            (951_782_400_120_000_000, "2000-02-29T00:00:00.12Z"),
        ] {
            assert_eq!(format_time(time), text);
            assert_eq!(parse_time(text), Ok(time), "{text}");
        }
    }

    #[test]
    fn times_with_an_offset_are_read() {
        assert_eq!(parse_time("1970-01-01T02:00:01+02:00"), Ok(SECOND));
        assert_eq!(parse_time("1969-01-01T00:00:00Z"), Ok(1));
        for bad in ["", "x", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-01-01", "é"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
        assert_eq!(
            parse_time("x"),
            Err(String::from(
                "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\""
            ))
        );
    }

    #[test]
    fn durations_are_written_as_go_does() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (1_500_000_000, "1.5s"),
            (60_000_000_000, "1m0s"),
            (7_200_000_000_000, "2h0m0s"),
            (-1_000_000_000, "-1s"),
        ] {
            assert_eq!(format_duration(nanos), text);
            assert_eq!(parse_duration(text), Some(nanos), "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_go_does() {
        assert_eq!(parse_duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(parse_duration(".5s"), Some(500_000_000));
        assert_eq!(parse_duration("1.s"), Some(SECOND.try_into().unwrap()));
        for bad in ["", "1", "s", "1x", ".s", "-", "abc", "1h 2m", "99999999999h", "é"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn days_go_round(days in 0_u64..1_000_000) {
            let (year, month, day) = civil_from_days(days);
            proptest::prop_assert_eq!(days_from_civil(year, month, day), days.cast_signed());
        }

        #[test]
        fn every_duration_goes_round(nanos: i64) {
            proptest::prop_assume!(nanos > i64::MIN);
            proptest::prop_assert_eq!(parse_duration(&format_duration(nanos)), Some(nanos));
        }

        #[test]
        fn every_time_goes_round(time in 1_u64..) {
            proptest::prop_assert_eq!(parse_time(&format_time(time)), Ok(time));
        }
    }
}
