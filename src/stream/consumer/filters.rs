//! Which messages a consumer wants.

use crate::subject::{matches, tokens};

/// The subjects of a consumer: patterns that do not overlap; none for every subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filters {
    patterns: Vec<Box<[u8]>>,
}

impl Filters {
    /// Filters for these patterns. One that is `>` is the same as none.
    pub(super) fn new<'a>(patterns: impl Iterator<Item = &'a str>) -> Self {
        let patterns: Vec<Box<[u8]>> = patterns.map(|pattern| pattern.as_bytes().into()).collect();
        if patterns.iter().any(|pattern| **pattern == *b">") {
            return Self::default();
        }
        Self { patterns }
    }

    /// The patterns, as stores take them.
    pub(super) fn patterns(&self) -> &[Box<[u8]>] {
        &self.patterns
    }

    /// Every subject is wanted.
    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether messages of that subject are wanted.
    pub(super) fn wants(&self, subject: &[u8]) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| matches(pattern, subject))
    }

    /// Whether both may want the same message.
    pub(super) fn overlap(&self, other: &Self) -> bool {
        if self.patterns.is_empty() || other.patterns.is_empty() {
            return true;
        }
        self.patterns
            .iter()
            .any(|one| other.patterns.iter().any(|other| patterns_overlap(one, other)))
    }
}

/// Whether some subject matches both patterns.
pub(super) fn patterns_overlap(one: &[u8], other: &[u8]) -> bool {
    let mut left = tokens(one);
    let mut right = tokens(other);
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) | (Some(_), Some(b">")) => return true,
            (Some(b"*"), Some(_)) | (Some(_), Some(b"*")) => {}
            (Some(left), Some(right)) if left == right => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_overlap_if_a_subject_matches_both() {
        for (one, other, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a.*", "a.b", true),
            ("a.*", "*.b", true),
            ("a.>", "a", false),
            ("a.>", "a.b.c", true),
            ("a.>", "*.*", true),
            (">", "a", true),
            ("a.b", "a.b.c", false),
            ("*.x.>", "a.*.y", true),
        ] {
            assert_eq!(
                patterns_overlap(one.as_bytes(), other.as_bytes()),
                expected,
                "{one} {other}"
            );
            assert_eq!(
                patterns_overlap(other.as_bytes(), one.as_bytes()),
                expected,
                "{other} {one}"
            );
        }
    }

    #[test]
    fn no_filter_wants_everything() {
        assert!(Filters::default().wants(b"a.b"));
        assert!(Filters::new([">"].into_iter()).is_empty());
        let filters = Filters::new(["a.*", "b"].into_iter());
        assert!(filters.wants(b"a.x") && filters.wants(b"b") && !filters.wants(b"a"));
        assert!(filters.overlap(&Filters::new(["*"].into_iter())));
        assert!(!filters.overlap(&Filters::new(["c"].into_iter())));
    }
}
