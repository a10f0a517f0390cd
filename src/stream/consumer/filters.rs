//! Which messages a consumer wants.

use crate::stream::patterns::overlap;
use crate::subject::{has_wildcard, tokens};

/// The subjects of a consumer: patterns that do not overlap; none for every subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filters {
    patterns: Vec<Box<[u8]>>,
    /// No pattern has a wildcard.
    are_literal: bool,
}

impl Filters {
    /// Filters for these patterns. One that is `>` is the same as none.
    pub(super) fn new<'a>(patterns: impl Iterator<Item = &'a str>) -> Self {
        let patterns: Vec<Box<[u8]>> = patterns.map(|pattern| pattern.as_bytes().into()).collect();
        if patterns.iter().any(|pattern| **pattern == *b">") {
            return Self::default();
        }
        let are_literal = !patterns.iter().any(|pattern| has_wildcard(pattern));
        Self { patterns, are_literal }
    }

    /// The patterns, as stores take them.
    pub(super) fn patterns(&self) -> &[Box<[u8]>] {
        &self.patterns
    }

    /// The patterns, if there are some and none has a wildcard.
    pub(super) fn literals(&self) -> Option<&[Box<[u8]>]> {
        (self.are_literal && !self.patterns.is_empty()).then_some(&self.patterns)
    }

    /// Every subject is wanted.
    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether messages of that subject are wanted. Each message that is stored asks every consumer
    /// of its stream, so the subject is taken to be a valid one.
    pub(super) fn wants(&self, subject: &[u8]) -> bool {
        if self.patterns.is_empty() {
            return true;
        }
        if self.are_literal {
            return self.patterns.iter().any(|pattern| **pattern == *subject);
        }
        self.patterns.iter().any(|pattern| covers(pattern, subject))
    }

    /// Whether both may want the same message.
    pub(super) fn overlap(&self, other: &Self) -> bool {
        if self.patterns.is_empty() || other.patterns.is_empty() {
            return true;
        }
        self.patterns.iter().any(|one| other.patterns.iter().any(|other| overlap(one, other)))
    }
}

/// Whether a valid subject matches the pattern.
fn covers(pattern: &[u8], subject: &[u8]) -> bool {
    let mut wanted = tokens(pattern);
    let mut given = tokens(subject);
    loop {
        match (wanted.next(), given.next()) {
            (None, None) | (Some(b">"), Some(_)) => return true,
            (Some(b"*"), Some(_)) => {}
            (Some(want), Some(have)) if want == have => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_want_what_their_patterns_match() {
        for pattern in ["a", "a.b", "a.*", "*.b", "a.>", "*.*", "*", "a.*.c", "a.*.>"] {
            let filters = Filters::new([pattern].into_iter());
            for subject in ["a", "b", "a.b", "a.c", "x.b", "a.b.c", "a.b.c.d", "*", "a.*"] {
                let expected = crate::subject::matches(pattern.as_bytes(), subject.as_bytes());
                assert_eq!(filters.wants(subject.as_bytes()), expected, "{pattern} {subject}");
            }
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
