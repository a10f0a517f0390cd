//! Numbers with units: sizes (`64MB`) and durations (`1m30s`).

use std::time::Duration;

/// Reads an integer token: an optional sign, digits, an optional size suffix. `k` to `e` are
/// powers of 1,000; with `b`, `i` or `ib` behind them powers of 1,024. `None`: no such number,
/// or not one of 64 bits.
pub(super) fn parse_integer(text: &str) -> Option<i64> {
    let suffix_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(suffix_at);
    let number: i64 = digits.parse().ok()?;
    let suffix = suffix.to_ascii_lowercase();
    let mut letters = suffix.chars();
    let Some(letter) = letters.next() else { return Some(number) };
    let power = "kmgtpe".chars().position(|known| known == letter)? + 1;
    let base: i64 = match letters.as_str() {
        "" => 1000,
        "b" | "i" | "ib" => 1024,
        _ => return None,
    };
    number.checked_mul(base.checked_pow(u32::try_from(power).ok()?)?)
}

/// Why a text is no duration; Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::config) enum DurationError {
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    #[error("time: missing unit in duration {0:?}")]
    NoUnit(String),
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit { unit: String, text: String },
    /// Ours: nats-server takes a negative duration and misbehaves.
    #[error("duration {0:?} can not be negative")]
    Negative(String),
}

/// Reads a duration as Go writes them: numbers, each with a unit from `ns` to `h`, like `1h30m`
/// or `1.5s`.
pub(in crate::config) fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if unsigned == "0" {
        return Ok(Duration::ZERO);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let mut nanos: u128 = 0;
    let mut rest = unsigned;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(number_end);
        let unit_end =
            behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, next) = behind.split_at(unit_end);
        if !number.bytes().any(|byte| byte.is_ascii_digit()) || number.matches('.').count() > 1 {
            return Err(invalid());
        }
        if unit.is_empty() {
            return Err(DurationError::NoUnit(text.to_owned()));
        }
        let unit_nanos = nanos_of(unit).ok_or_else(|| DurationError::UnknownUnit {
            unit: unit.to_owned(),
            text: text.to_owned(),
        })?;
        nanos = nanos.saturating_add(scaled(number, unit_nanos).ok_or_else(invalid)?);
        rest = next;
    }
    // Go keeps nanoseconds in 63 bits.
    let nanos = i64::try_from(nanos).map_err(|_| invalid())?;
    if is_negative && nanos != 0 {
        return Err(DurationError::Negative(text.to_owned()));
    }
    Ok(Duration::from_nanos(nanos.unsigned_abs()))
}

fn nanos_of(unit: &str) -> Option<u128> {
    match unit {
        "ns" => Some(1),
        "us" | "µs" | "μs" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60_000_000_000),
        "h" => Some(3_600_000_000_000),
        _ => None,
    }
}

/// `number` is digits with at most one dot. Of a fraction the first 15 digits count: less than a
/// nanosecond of an hour.
fn scaled(number: &str, unit_nanos: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = &fraction[..fraction.len().min(15)];
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let ten_to = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    whole.checked_mul(unit_nanos)?.checked_add(part * unit_nanos / ten_to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_decimal_and_binary_suffixes() {
        for (text, value) in [
            ("5", 5),
            ("-5", -5),
            ("1k", 1000),
            ("1KB", 1024),
            ("1ki", 1024),
            ("1KiB", 1024),
            ("2m", 2_000_000),
            ("64MB", 67_108_864),
            ("10GiB", 10_737_418_240),
            ("1t", 1_000_000_000_000),
            ("1pb", 1 << 50),
            ("1e", 1_000_000_000_000_000_000),
            ("7eb", 7 << 60),
        ] {
            assert_eq!(parse_integer(text), Some(value), "{text}");
        }
        for text in ["99999999999999999999", "99999999999t", "8eb", "1kbb", "1ib", ""] {
            assert_eq!(parse_integer(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_those_of_go() {
        for (text, millis) in [
            ("0", 0),
            ("2s", 2_000),
            ("250ms", 250),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            (".5s", 500),
            ("+1m", 60_000),
            ("-0s", 0),
            ("2m0.5s", 120_500),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_duration("100us"), Ok(Duration::from_micros(100)));
        assert_eq!(parse_duration("7µs"), Ok(Duration::from_micros(7)));
    }

    #[test]
    fn what_is_no_duration_says_why() {
        for (text, why) in [
            ("x", "time: invalid duration \"x\""),
            ("", "time: invalid duration \"\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5d", "time: unknown unit \"d\" in duration \"5d\""),
            ("1..5s", "time: invalid duration \"1..5s\""),
            ("9999999999h", "time: invalid duration \"9999999999h\""),
            ("-5s", "duration \"-5s\" can not be negative"),
        ] {
            assert_eq!(
                parse_duration(text).map_err(|error| error.to_string()),
                Err(why.to_owned())
            );
        }
    }
}
