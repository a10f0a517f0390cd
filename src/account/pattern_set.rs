//! Many patterns, asked one question: does any match this subject?

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use crate::subject::{has_wildcard, matches};

/// A set of patterns. Literals are found by one look into a table; patterns
/// with wildcards are tried one after the other, those with another beginning
/// at the cost of comparing it. Asking allocates nothing.
#[derive(Debug)]
pub struct PatternSet {
    literals: HashSet<Box<[u8]>, FixedState>,
    wildcards: Box<[Wildcard]>,
}

#[derive(Debug)]
struct Wildcard {
    pattern: Box<[u8]>,
    /// Bytes before its first wildcard.
    literal_len: usize,
}

impl PatternSet {
    /// A set of valid patterns.
    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Self {
        let mut literals = HashSet::with_hasher(FixedState::default());
        let mut wildcards = Vec::new();
        for pattern in patterns {
            let pattern = pattern.as_bytes();
            if has_wildcard(pattern) {
                let literal_len = literal_len(pattern);
                wildcards.push(Wildcard { pattern: pattern.into(), literal_len });
            } else {
                literals.insert(pattern.into());
            }
        }
        Self { literals, wildcards: wildcards.into() }
    }

    /// Whether any pattern matches `subject`, whose own wildcards are plain
    /// tokens.
    pub fn matches(&self, subject: &[u8]) -> bool {
        self.literals.contains(subject)
            || self.wildcards.iter().any(|wildcard| {
                subject.starts_with(&wildcard.pattern[..wildcard.literal_len])
                    && matches(&wildcard.pattern, subject)
            })
    }

    /// Whether there is no pattern in it.
    pub fn is_empty(&self) -> bool {
        self.literals.is_empty() && self.wildcards.is_empty()
    }
}

fn literal_len(pattern: &[u8]) -> usize {
    let mut end = 0;
    for token in pattern.split_inclusive(|&byte| byte == b'.') {
        if matches!(token, b"*" | b"*." | b">") {
            break;
        }
        end += token.len();
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_set_matches_nothing() {
        assert!(!PatternSet::new([]).matches(b"a"));
        assert!(PatternSet::new([]).is_empty());
    }

    proptest! {
        #[test]
        fn a_set_matches_what_one_of_its_patterns_does(
            patterns in prop::collection::vec("(a|b|\\*|a\\*|aa)(\\.(a|b|\\*|b>)){0,3}(\\.>)?", 0..6),
            subject in "[ab*>.]{0,8}",
        ) {
            let set = PatternSet::new(patterns.iter().map(String::as_str));
            let expected =
                patterns.iter().any(|pattern| matches(pattern.as_bytes(), subject.as_bytes()));
            prop_assert_eq!(set.matches(subject.as_bytes()), expected);
        }
    }
}
