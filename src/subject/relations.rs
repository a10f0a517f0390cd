//! How two patterns relate.

use super::tokens;

/// Whether every subject that `pattern` matches is matched by `wider`.
pub fn covers(wider: &[u8], pattern: &[u8]) -> bool {
    let mut outer = tokens(wider);
    let mut inner = tokens(pattern);
    loop {
        match (outer.next(), inner.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) => return true,
            (Some(_), Some(b">")) => return false,
            (Some(b"*"), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

/// Whether some subject is matched by both.
pub fn overlaps(one: &[u8], other: &[u8]) -> bool {
    let mut left = tokens(one);
    let mut right = tokens(other);
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) | (Some(_), Some(b">")) => return true,
            (Some(b"*"), Some(_)) | (Some(_), Some(b"*")) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::subject::{is_valid_pattern, matches};

    #[test]
    fn a_pattern_covers_what_is_part_of_it() {
        for (wider, pattern) in [("a", "a"), ("a.*", "a.b"), ("a.>", "a.*"), (">", "a.>")] {
            assert!(covers(wider.as_bytes(), pattern.as_bytes()), "{wider} {pattern}");
        }
        for (wider, pattern) in [("a.b", "a.*"), ("a.*", "a.>"), ("a.>", ">"), ("a.>", "a")] {
            assert!(!covers(wider.as_bytes(), pattern.as_bytes()), "{wider} {pattern}");
        }
    }

    proptest! {
        #[test]
        fn relations_hold_for_every_subject(
            one in "[ab*](\\.[ab*]){0,2}(\\.>)?",
            other in "[ab*](\\.[ab*]){0,2}(\\.>)?",
            subject in "[ab](\\.[ab]){0,4}",
        ) {
            prop_assume!(is_valid_pattern(one.as_bytes()) && is_valid_pattern(other.as_bytes()));
            let (one, other, subject) = (one.as_bytes(), other.as_bytes(), subject.as_bytes());
            let (left, right) = (matches(one, subject), matches(other, subject));
            prop_assert!(!(left && right) || overlaps(one, other));
            prop_assert!(!(covers(one, other) && right) || left);
        }
    }
}
