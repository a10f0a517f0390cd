//! Numbers and booleans as Go's `strconv` reads them, which is what the flags promise.

/// Why a text is not the number asked for. The texts are those of Go's `flag` package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NumberError {
    /// Not a number at all.
    #[error("parse error")]
    Syntax,
    /// A number, but not one of 64 bits.
    #[error("value out of range")]
    Range,
}

/// Reads an integer: optional sign, optional base prefix (`0x`, `0o`, `0b`, or a bare leading
/// zero for octal), digits, and single underscores between digits or after the prefix.
pub(super) fn parse_int(text: &str) -> Result<i64, NumberError> {
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits, prefixed) = split_base(unsigned);
    if !underscores_are_well_placed(digits, prefixed) {
        return Err(NumberError::Syntax);
    }
    let mut value: i128 = 0;
    let mut any = false;
    for digit in digits.chars().filter(|c| *c != '_') {
        let digit = digit.to_digit(radix).ok_or(NumberError::Syntax)?;
        any = true;
        // Saturation keeps reading, so that a bad digit behind the 64th bit is still a syntax error.
        value = value.saturating_mul(i128::from(radix)).saturating_add(i128::from(digit));
    }
    if !any {
        return Err(NumberError::Syntax);
    }
    i64::try_from(if negative { -value } else { value }).map_err(|_| NumberError::Range)
}

/// Reads a boolean: the twelve spellings of Go's `strconv.ParseBool`.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn split_base(text: &str) -> (u32, &str, bool) {
    let lower = text.as_bytes().get(1).map(u8::to_ascii_lowercase);
    match (text.as_bytes().first(), lower) {
        (Some(b'0'), Some(b'x')) => (16, &text[2..], true),
        (Some(b'0'), Some(b'o')) => (8, &text[2..], true),
        (Some(b'0'), Some(b'b')) => (2, &text[2..], true),
        (Some(b'0'), Some(_)) => (8, &text[1..], true),
        _ => (10, text, false),
    }
}

fn underscores_are_well_placed(digits: &str, prefixed: bool) -> bool {
    let first_is_fine = prefixed || !digits.starts_with('_');
    first_is_fine && !digits.ends_with('_') && !digits.contains("__")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_follow_go_literals() {
        for (text, value) in [
            ("4222", 4222),
            ("-1", -1),
            ("+7", 7),
            ("0x10", 16),
            ("0X1f", 31),
            ("010", 8),
            ("0o17", 15),
            ("0b11", 3),
            ("1_000", 1000),
            ("0x_f", 15),
            ("0", 0),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(parse_int(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in ["", "-", "abc", "1__0", "_1", "1_", "0x", "08", "1.5", "12k", " 1"] {
            assert_eq!(parse_int(text), Err(NumberError::Syntax), "{text}");
        }
        assert_eq!(parse_int("99999999999999999999"), Err(NumberError::Range));
        assert_eq!(parse_int("9223372036854775808"), Err(NumberError::Range));
    }

    #[test]
    fn booleans_have_twelve_spellings() {
        assert_eq!(parse_bool("T"), Some(true));
        assert_eq!(parse_bool("False"), Some(false));
        assert_eq!(parse_bool("yes"), None);
        assert_eq!(parse_bool(""), None);
    }
}
