//! How two subject patterns relate.

use crate::subject::tokens;

/// Whether some subject matches both patterns.
pub(super) fn overlap(a: &[u8], b: &[u8]) -> bool {
    let (mut a, mut b) = (tokens(a), tokens(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) | (Some(_), Some(b">")) => return true,
            (Some(b"*"), Some(_)) | (Some(_), Some(b"*")) => {}
            (Some(x), Some(y)) if x == y => {}
            _ => return false,
        }
    }
}

/// Whether every subject that matches `inner` matches `outer`.
pub(super) fn is_subset(inner: &[u8], outer: &[u8]) -> bool {
    let (mut inner, mut outer) = (tokens(inner), tokens(outer));
    loop {
        match (inner.next(), outer.next()) {
            (None, None) => return true,
            (Some(_), Some(b">")) => return true,
            (Some(b">"), _) => return false,
            (Some(_), Some(b"*")) => {}
            (Some(x), Some(y)) if x == y => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_overlap_where_a_subject_matches_both() {
        for (a, b) in [("a", "a"), ("a.*", "a.b"), ("*.b", "a.*"), (">", "x"), ("a.>", "*.b.c")] {
            assert!(overlap(a.as_bytes(), b.as_bytes()), "{a} {b}");
            assert!(overlap(b.as_bytes(), a.as_bytes()), "{b} {a}");
        }
        for (a, b) in [("a", "b"), ("a.*", "a"), ("a.>", "a"), ("*.b", "a.c"), ("a.*", "a.b.c")] {
            assert!(!overlap(a.as_bytes(), b.as_bytes()), "{a} {b}");
            assert!(!overlap(b.as_bytes(), a.as_bytes()), "{b} {a}");
        }
    }

    #[test]
    fn a_subset_has_nothing_of_its_own() {
        for (inner, outer) in [("a", "a"), ("a.b", "a.*"), ("a.*", "a.>"), ("a.>", ">")] {
            assert!(is_subset(inner.as_bytes(), outer.as_bytes()), "{inner} {outer}");
        }
        for (inner, outer) in [("a.*", "a.b"), ("a.>", "a.*"), (">", "a.>"), ("a", "a.>")] {
            assert!(!is_subset(inner.as_bytes(), outer.as_bytes()), "{inner} {outer}");
        }
    }
}
