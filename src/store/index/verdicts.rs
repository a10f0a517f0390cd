//! Which subjects match a list of filters, remembered by subject number.

use super::subjects::Subjects;
use crate::subject::matches;

/// The filter lists asked for lately, each with what is known of every subject.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    lists: Vec<List>,
    uses: u64,
}

#[derive(Debug)]
struct List {
    filters: Vec<Box<[u8]>>,
    /// By subject number.
    verdicts: Vec<Verdict>,
    used: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Unknown,
    Matches,
    Differs,
}

/// Filter lists that are remembered: one byte for each subject and list.
const LISTS_MAX: usize = 4;

impl Verdicts {
    /// What is known of `filters`.
    pub(super) fn of(&mut self, filters: &[Box<[u8]>]) -> Known<'_> {
        self.uses += 1;
        let at = match self.lists.iter().position(|list| list.filters == filters) {
            Some(at) => at,
            None => self.start(filters),
        };
        self.lists[at].used = self.uses;
        Known { list: &mut self.lists[at] }
    }

    /// `subject` is the number of another subject from now on.
    pub(super) fn forget(&mut self, subject: u32) {
        for list in &mut self.lists {
            if let Some(verdict) = list.verdicts.get_mut(subject as usize) {
                *verdict = Verdict::Unknown;
            }
        }
    }

    pub(super) fn forget_all(&mut self) {
        self.lists.clear();
    }

    fn start(&mut self, filters: &[Box<[u8]>]) -> usize {
        let list = List { filters: filters.to_vec(), verdicts: Vec::new(), used: 0 };
        if self.lists.len() < LISTS_MAX {
            self.lists.push(list);
            return self.lists.len() - 1;
        }
        let oldest = self.lists.iter().enumerate().min_by_key(|(_, list)| list.used);
        let at = oldest.map_or(0, |(at, _)| at);
        self.lists[at] = list;
        at
    }
}

/// What is known of one list of filters.
pub(super) struct Known<'v> {
    list: &'v mut List,
}

impl Known<'_> {
    pub(super) fn matches(&mut self, subjects: &Subjects, subject: u32) -> bool {
        let at = subject as usize;
        if at >= self.list.verdicts.len() {
            self.list.verdicts.resize(subjects.numbers_end().max(at + 1), Verdict::Unknown);
        }
        if self.list.verdicts[at] == Verdict::Unknown {
            let is_match = matches_any(&self.list.filters, subjects.name(subject));
            self.list.verdicts[at] = if is_match { Verdict::Matches } else { Verdict::Differs };
        }
        self.list.verdicts[at] == Verdict::Matches
    }
}

/// Whether one of `filters` matches; without any, everything does.
pub(super) fn matches_any(filters: &[Box<[u8]>], subject: &[u8]) -> bool {
    filters.is_empty()
        || filters.iter().any(|filter| **filter == *subject || matches(filter, subject))
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
}
