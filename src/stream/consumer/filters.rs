//! Which messages a consumer wants.

use crate::stream::patterns::overlap;
use crate::subject::matches;

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
        self.patterns.iter().any(|one| other.patterns.iter().any(|other| overlap(one, other)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
