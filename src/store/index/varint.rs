//! Numbers of one to ten bytes, seven bits in each, low ones first.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// Appends `value`.
pub(in crate::store) fn put(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    into.push(low_byte(value));
}

/// Takes a number off the front of `bytes`.
#[inline]
pub(in crate::store) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (&byte, rest) = bytes.split_first()?;
    if byte < 0x80 {
        *bytes = rest;
        return Some(u64::from(byte));
    }
    take_long(bytes)
}

fn take_long(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    let mut shift = 0_u32;
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7F);
        if shift == 63 && part > 1 {
            return None;
        }
        value |= part.checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
        shift = shift.checked_add(7).filter(|shift| *shift < 64)?;
    }
}

/// Takes a number off the front of `bytes` without a look at it.
#[inline]
pub(in crate::store) fn skip(bytes: &mut &[u8]) -> Option<()> {
    let length = bytes.iter().take(10).position(|byte| *byte < 0x80)?.checked_add(1)?;
    *bytes = bytes.get(length..)?;
    Some(())
}

fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7F
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, 1 << 40, u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            let mut rest = bytes.as_slice();
            assert_eq!(take(&mut rest), Some(value));
            assert!(rest.is_empty());
            for cut in 0..bytes.len() {
                assert_eq!(take(&mut &bytes[..cut]), None);
            }
        }
    }

    #[test]
    fn too_long_a_number_is_refused() {
        assert_eq!(take(&mut [0x80_u8; 11].as_slice()), None);
        assert_eq!(
            take(&mut [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2].as_slice()),
            None
        );
    }
}
