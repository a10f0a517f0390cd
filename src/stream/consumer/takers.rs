//! Which consumers of a stream a message concerns, by its subject.
//!
//! Cost: a look into a table for all consumers whose filters have no wildcard, however many there
//! are, and a comparison for each that has one, or no filter.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::filters::Filters;

/// Consumers, by what they want.
#[derive(Debug, Default)]
pub(super) struct Takers {
    literal: HashMap<Box<[u8]>, Vec<u32>, FixedState>,
    others: Vec<(u32, Filters)>,
}

impl Takers {
    /// One more, which wants what `filters` say.
    pub(super) fn insert(&mut self, index: u32, filters: &Filters) {
        match filters.literals() {
            Some(subjects) => {
                for subject in subjects {
                    self.literal.entry(subject.clone()).or_default().push(index);
                }
            }
            None => self.others.push((index, filters.clone())),
        }
    }

    /// One less; `filters` are those it came with.
    pub(super) fn remove(&mut self, index: u32, filters: &Filters) {
        for subject in filters.literals().unwrap_or_default() {
            let Some(takers) = self.literal.get_mut(&**subject) else { continue };
            takers.retain(|&taker| taker != index);
            if takers.is_empty() {
                self.literal.remove(&**subject);
            }
        }
        if filters.literals().is_none() {
            self.others.retain(|(taker, _)| *taker != index);
        }
    }

    /// Those that want messages of `subject`, each once.
    pub(super) fn of<'t>(&'t self, subject: &'t [u8]) -> impl Iterator<Item = u32> + 't {
        let literal = self.literal.get(subject).into_iter().flatten().copied();
        let others = self.others.iter().filter(move |(_, filters)| filters.wants(subject));
        literal.chain(others.map(|(taker, _)| *taker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(patterns: &[&str]) -> Filters {
        Filters::new(patterns.iter().copied())
    }

    #[test]
    fn a_subject_finds_who_wants_it() {
        let all: [&[&str]; 6] = [&[], &["a"], &["a", "b.c"], &["b.*"], &["b.c", "x.>"], &[">"]];
        let mut takers = Takers::default();
        for (index, patterns) in (0..).zip(all) {
            takers.insert(index, &filters(patterns));
        }
        let of = |takers: &Takers, subject: &str| {
            let mut found: Vec<u32> = takers.of(subject.as_bytes()).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(of(&takers, "a"), [0, 1, 2, 5]);
        assert_eq!(of(&takers, "b.c"), [0, 2, 3, 4, 5]);
        assert_eq!(of(&takers, "x.y"), [0, 4, 5]);
        assert_eq!(of(&takers, "z"), [0, 5]);
        for index in [0, 2, 4] {
            takers.remove(index, &filters(all[index as usize]));
        }
        assert_eq!(of(&takers, "a"), [1, 5]);
        assert_eq!(of(&takers, "b.c"), [3, 5]);
        takers.remove(1, &filters(all[1]));
        assert!(takers.literal.is_empty());
    }
}
