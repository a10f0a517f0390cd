//! A list of filters, sorted out so that a subject is not compared with each.
//!
//! Literals and `prefix.>`, which most long lists consist of, cost two binary searches together;
//! the others are tried one by one.

use crate::subject::matches;

/// See the module's documentation. Without filters it matches everything.
#[derive(Debug, Default)]
pub(super) struct FilterSet {
    is_empty: bool,
    /// In byte order.
    literals: Vec<Box<[u8]>>,
    /// What stands before the `>` of filters without other wildcards; in byte order, none
    /// starting with another.
    prefixes: Vec<Box<[u8]>>,
    others: Vec<Box<[u8]>>,
}

impl FilterSet {
    pub(super) fn new(filters: &[Box<[u8]>]) -> Self {
        let mut set = Self { is_empty: filters.is_empty(), ..Self::default() };
        for filter in filters {
            let (prefix, is_literal) = literal_prefix(filter);
            if is_literal {
                set.literals.push(filter.clone());
            } else if filter.get(prefix.len()..).is_some_and(|rest| rest == b">") {
                set.prefixes.push(prefix.into());
            } else {
                set.others.push(filter.clone());
            }
        }
        set.literals.sort_unstable();
        set.prefixes.sort_unstable();
        set.prefixes.dedup_by(|later, kept| later.starts_with(kept));
        set
    }

    /// Whether a filter matches `subject`, which is valid.
    pub(super) fn matches(&self, subject: &[u8]) -> bool {
        if self.is_empty || self.literals.binary_search_by(|l| (**l).cmp(subject)).is_ok() {
            return true;
        }
        // The only one that can be its beginning comes right before it.
        let after = self.prefixes.partition_point(|prefix| **prefix <= *subject);
        let before = after.checked_sub(1).and_then(|at| self.prefixes.get(at));
        if before.is_some_and(|prefix| subject.len() > prefix.len() && subject.starts_with(prefix))
        {
            return true;
        }
        self.others.iter().any(|filter| matches(filter, subject))
    }

    /// Whether there are literals and prefixes only.
    pub(super) fn is_simple(&self) -> bool {
        self.others.is_empty() && !self.is_empty
    }

    pub(super) fn literals(&self) -> &[Box<[u8]>] {
        &self.literals
    }

    pub(super) fn prefixes(&self) -> &[Box<[u8]>] {
        &self.prefixes
    }
}

/// The first name after all that start with `prefix`; `None` if there is none such.
pub(super) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// The bytes that every subject matching `filter` starts with, and whether nothing else matches.
pub(super) fn literal_prefix(filter: &[u8]) -> (&[u8], bool) {
    let mut length = 0;
    for token in filter.split(|byte| *byte == b'.') {
        let end = length + token.len();
        if token == b"*" || token == b">" && end == filter.len() {
            return (&filter[..length], false);
        }
        length = (end + 1).min(filter.len());
    }
    (filter, true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prefixes_end_before_the_first_wildcard() {
        for (filter, prefix, is_literal) in [
            ("a.b", "a.b", true),
            ("a.*", "a.", false),
            ("*", "", false),
            (">", "", false),
            ("a.>", "a.", false),
            ("a.b*.c", "a.b*.c", true),
            ("a.*.c", "a.", false),
        ] {
            let expected = (prefix.as_bytes(), is_literal);
            assert_eq!(literal_prefix(filter.as_bytes()), expected, "{filter}");
        }
    }

    #[test]
    fn successors_come_after_all_that_start_so() {
        assert_eq!(successor(b"a.7."), Some(b"a.7/".to_vec()));
        assert_eq!(successor(b"a\xFF"), Some(b"b".to_vec()));
        assert_eq!(successor(b"\xFF"), None);
        assert_eq!(successor(b""), None);
    }

    proptest! {
        // Goal: the set says what the filters say one by one.
        #[test]
        fn a_set_matches_what_one_of_its_filters_matches(
            filters in prop::collection::vec("([a-c]|\\*)(\\.([a-c]|\\*)){0,2}(\\.>)?", 0..6),
            subject in "[a-c](\\.[a-c]){0,3}",
        ) {
            let filters: Vec<Box<[u8]>> =
                filters.iter().map(|filter| Box::from(filter.as_bytes())).collect();
            let expected = filters.is_empty()
                || filters.iter().any(|filter| matches(filter, subject.as_bytes()));
            prop_assert_eq!(FilterSet::new(&filters).matches(subject.as_bytes()), expected);
        }
    }
}
