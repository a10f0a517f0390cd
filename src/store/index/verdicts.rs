//! Which subjects match a list of filters, remembered by subject number.

use std::rc::Rc;

use super::filter_set::{successor, FilterSet};
use super::subjects::Subjects;

/// The filter lists asked for lately, each with what is known of every subject.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    lists: Vec<List>,
    uses: u64,
}

#[derive(Debug)]
struct List {
    filters: Vec<Box<[u8]>>,
    set: Rc<FilterSet>,
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
        let at = self.find(filters);
        Known { list: &mut self.lists[at] }
    }

    /// `filters`, sorted out.
    pub(super) fn set(&mut self, filters: &[Box<[u8]>]) -> Rc<FilterSet> {
        let at = self.find(filters);
        Rc::clone(&self.lists[at].set)
    }

    fn find(&mut self, filters: &[Box<[u8]>]) -> usize {
        self.uses += 1;
        let at = match self.lists.iter().position(|list| list.filters == filters) {
            Some(at) => at,
            None => self.start(filters),
        };
        self.lists[at].used = self.uses;
        at
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
        let set = Rc::new(FilterSet::new(filters));
        let list = List { filters: filters.to_vec(), set, verdicts: Vec::new(), used: 0 };
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
            self.list.grow(subjects, at + 1);
        }
        if self.list.verdicts[at] == Verdict::Unknown {
            let is_match = self.list.set.matches(subjects.name(subject));
            self.list.verdicts[at] = if is_match { Verdict::Matches } else { Verdict::Differs };
        }
        self.list.verdicts[at] == Verdict::Matches
    }
}

impl List {
    /// Makes room for all subjects there are. Where literals and prefixes say it all, the order of
    /// subjects tells which match, and no name is looked at.
    fn grow(&mut self, subjects: &Subjects, least: usize) {
        let end = subjects.numbers_end().max(least);
        if !self.set.is_simple() || !self.verdicts.is_empty() {
            self.verdicts.resize(end, Verdict::Unknown);
            return;
        }
        self.verdicts = vec![Verdict::Differs; end];
        for prefix in self.set.prefixes() {
            let within = subjects.between(prefix, successor(prefix).as_deref());
            within.for_each(|subject| self.verdicts[subject as usize] = Verdict::Matches);
        }
        for subject in self.set.literals().iter().filter_map(|literal| subjects.find(literal)) {
            self.verdicts[subject as usize] = Verdict::Matches;
        }
        for free in subjects.free() {
            self.verdicts[*free as usize] = Verdict::Unknown;
        }
    }
}
