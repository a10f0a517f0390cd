//! Decimal numbers as the protocol spells them.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// The number if `text` is 1 to 9 decimal digits and nothing else; leading zeros are legal.
///
/// Up to four digits are added up as they stand: how many there are is then a predicted branch, and
/// no link in the chain of data that leads from one frame to the next.
#[inline(always)]
pub(super) fn parse_decimal(text: &[u8]) -> Option<u32> {
    let digit = |byte: &u8| u32::from(byte.wrapping_sub(b'0'));
    let join = |high: u32, low: u32| high.wrapping_mul(10).wrapping_add(low);
    match text {
        [a] => {
            let a = digit(a);
            (a <= 9).then_some(a)
        }
        [a, b] => {
            let (a, b) = (digit(a), digit(b));
            (a <= 9 && b <= 9).then(|| join(a, b))
        }
        [a, b, c] => {
            let (a, b, c) = (digit(a), digit(b), digit(c));
            (a <= 9 && b <= 9 && c <= 9).then(|| join(join(a, b), c))
        }
        [a, b, c, d] => {
            let (a, b, c, d) = (digit(a), digit(b), digit(c), digit(d));
            (a <= 9 && b <= 9 && c <= 9 && d <= 9)
                .then(|| join(a, b).wrapping_mul(100).wrapping_add(join(c, d)))
        }
        _ => parse_long_decimal(text),
    }
}

fn parse_long_decimal(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter().try_fold(0_u32, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| number.wrapping_mul(10).wrapping_add(u32::from(digit)))
    })
}

/// Appends a number in decimal. Cost: one copy of at most 20 bytes, no allocation of its own.
#[inline]
pub fn write_decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0_u8; DECIMAL_LEN_MAX];
    let mut rest = number;
    let mut start = DECIMAL_LEN_MAX;
    for slot in digits.iter_mut().rev() {
        // A remainder of 10 fits a byte: the default is never taken.
        *slot = b'0'.wrapping_add(u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
        start = start.wrapping_sub(1);
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// Bytes [`write_decimal`] appends for `number`.
pub(super) fn decimal_len(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| (log as usize).saturating_add(1))
}

/// Digits of `u64::MAX`.
pub(super) const DECIMAL_LEN_MAX: usize = 20;

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        write_decimal(&mut out, number);
        out
    }

    #[test]
    fn bounds_are_exact() {
        assert_eq!(written(0), b"0");
        assert_eq!(written(u64::MAX), u64::MAX.to_string().as_bytes());
        assert_eq!(decimal_len(0), 1);
        assert_eq!(decimal_len(usize::MAX), usize::MAX.to_string().len());
        assert_eq!(parse_decimal(b"999999999"), Some(999_999_999));
        assert_eq!(parse_decimal(b"000000002"), Some(2));
        for bad in
            ["", "0000000002", "1234567890", "-1", "+1", "1x", "x1", "1 1", "12\r", "123456:"]
        {
            assert_eq!(parse_decimal(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn writing_agrees_with_the_standard_library(number: u64) {
            let text = number.to_string();
            prop_assert_eq!(written(number), text.as_bytes());
        }

        #[test]
        fn length_is_the_length(number: usize) {
            prop_assert_eq!(decimal_len(number), number.to_string().len());
        }

        #[test]
        fn reading_agrees_with_the_standard_library(text in "[0-9]{1,9}") {
            prop_assert_eq!(parse_decimal(text.as_bytes()), text.parse().ok());
        }

        #[test]
        fn one_wrong_byte_spoils_a_number(text in "[0-9]{1,9}", at in 0_usize..9, byte: u8) {
            let mut text = text.into_bytes();
            let at = at.min(text.len().saturating_sub(1));
            text[at] = byte;
            prop_assert_eq!(parse_decimal(&text).is_some(), byte.is_ascii_digit());
        }
    }
}
