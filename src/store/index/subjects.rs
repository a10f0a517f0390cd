//! The subjects of a stream: numbers, names, and what the stream has of each.

use std::hash::Hasher;

use foldhash::fast::FoldHasher;
use foldhash::SharedSeed;
use hashbrown::HashTable;

use super::order::Order;
use crate::store::SubjectState;

/// A table of subjects that have messages. A number is used again when its
/// subject has none left.
#[derive(Debug)]
pub(super) struct Subjects {
    seed: SharedSeed,
    numbers: HashTable<u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// Names back to back; `unused` bytes of them belong to nobody.
    names: Vec<u8>,
    unused: usize,
    order: Order,
}

/// What is known of one subject.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// At or before its first message; exact unless `first_is_estimate`.
    pub(super) first: u64,
    /// At or after its last message; exact unless `last_is_estimate`.
    pub(super) last: u64,
    /// Messages there are.
    pub(super) count: u64,
    name_at: usize,
    name_len: u32,
    pub(super) first_is_estimate: bool,
    pub(super) last_is_estimate: bool,
}

const _: () = assert!(size_of::<Entry>() == 40);

/// Names are packed when this much, and half of all, is unused.
const UNUSED_MAX: usize = 64 << 10;

impl Subjects {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed: SharedSeed::from_u64(seed),
            numbers: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            names: Vec::new(),
            unused: 0,
            order: Order::default(),
        }
    }

    /// Counts a message of `name`; returns the subject's number.
    pub(super) fn add(&mut self, name: &[u8], seq: u64) -> u32 {
        let hash = self.hash(name);
        if let Some(subject) = self.find_hashed(name, hash) {
            let entry = &mut self.entries[subject as usize];
            entry.count += 1;
            entry.last = seq;
            entry.last_is_estimate = false;
            return subject;
        }
        self.insert(name, hash, Facts { first: seq, last: seq, count: 1, exact: true })
    }

    /// Counts `count` messages of `name` somewhere in `first..=last`.
    pub(super) fn add_many(&mut self, name: &[u8], first: u64, last: u64, count: u64) -> u32 {
        let hash = self.hash(name);
        if let Some(subject) = self.find_hashed(name, hash) {
            self.count_more(subject, (first, last), count);
            return subject;
        }
        self.insert(name, hash, Facts { first, last, count, exact: false })
    }

    /// The same for a subject that is known.
    pub(super) fn count_more(&mut self, subject: u32, (first, last): (u64, u64), count: u64) {
        let entry = &mut self.entries[subject as usize];
        entry.count += count;
        if first < entry.first {
            entry.first = first;
            entry.first_is_estimate = true;
        }
        if last > entry.last {
            entry.last = last;
            entry.last_is_estimate = true;
        }
    }

    /// One message less. Returns whether it was the last one, and the number is free now.
    pub(super) fn remove(&mut self, subject: u32, seq: u64, count: u64) -> bool {
        let entry = &mut self.entries[subject as usize];
        entry.count = entry.count.saturating_sub(count);
        if entry.count == 0 {
            self.forget(subject);
            return true;
        }
        if seq >= entry.first {
            if !entry.first_is_estimate && entry.first == seq {
                entry.first += 1;
                entry.first_is_estimate = true;
            }
            if !entry.last_is_estimate && entry.last == seq {
                entry.last -= 1;
                entry.last_is_estimate = true;
            }
        }
        if entry.count == 1 {
            // An exact end is the only message.
            if !entry.last_is_estimate {
                entry.first = entry.last;
                entry.first_is_estimate = false;
            } else if !entry.first_is_estimate {
                entry.last = entry.first;
                entry.last_is_estimate = false;
            }
        }
        false
    }

    /// Everything below `seq` is gone, and counted as such: ends below it are estimates now.
    pub(super) fn raise(&mut self, subject: u32, seq: u64) {
        let entry = &mut self.entries[subject as usize];
        if entry.first < seq {
            entry.first = seq;
            entry.first_is_estimate = true;
        }
        if entry.count == 1 && !entry.last_is_estimate {
            entry.first = entry.last;
            entry.first_is_estimate = false;
        }
    }

    /// Forgets every subject.
    pub(super) fn clear(&mut self) {
        self.numbers = HashTable::new();
        self.entries = Vec::new();
        self.free = Vec::new();
        self.names = Vec::new();
        self.unused = 0;
        self.order = Order::default();
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<u32> {
        self.find_hashed(name, self.hash(name))
    }

    pub(super) fn entry(&self, subject: u32) -> &Entry {
        &self.entries[subject as usize]
    }

    pub(super) fn entry_mut(&mut self, subject: u32) -> &mut Entry {
        &mut self.entries[subject as usize]
    }

    pub(super) fn name(&self, subject: u32) -> &[u8] {
        name(&self.entries, &self.names, subject)
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Numbers that were ever given; all are below it.
    pub(super) fn numbers_end(&self) -> usize {
        self.entries.len()
    }

    /// Subjects at or after `from` in byte order.
    pub(super) fn starting_at<'s>(&'s self, from: &[u8]) -> impl Iterator<Item = u32> + 's {
        self.order.starting_at(from, |subject| self.name(subject))
    }

    /// Subjects at or after `from` and before `to` in byte order.
    pub(super) fn between<'s>(
        &'s self,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> impl Iterator<Item = u32> + 's {
        self.order.between(from, to, |subject| self.name(subject))
    }

    /// Numbers that no subject has.
    pub(super) fn free(&self) -> &[u32] {
        &self.free
    }

    /// Messages of the subjects whose numbers `is_wanted`.
    pub(super) fn count_where(&self, mut is_wanted: impl FnMut(u32) -> bool) -> u64 {
        let numbered = (0_u32..).zip(&self.entries);
        numbered.filter(|(subject, _)| is_wanted(*subject)).map(|(_, entry)| entry.count).sum()
    }

    fn insert(&mut self, text: &[u8], hash: u64, facts: Facts) -> u32 {
        let entry = Entry {
            first: facts.first,
            last: facts.last,
            count: facts.count,
            name_at: self.names.len(),
            name_len: u32::try_from(text.len()).unwrap_or(u32::MAX),
            first_is_estimate: !facts.exact,
            last_is_estimate: !facts.exact,
        };
        self.names.extend_from_slice(text);
        let subject = match self.free.pop() {
            Some(subject) => {
                self.entries[subject as usize] = entry;
                subject
            }
            None => {
                self.entries.push(entry);
                // Four billion subjects do not fit in memory.
                u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let Self { seed, numbers, entries, names, order, .. } = self;
        numbers.insert_unique(hash, subject, |other| hash_with(seed, name(entries, names, *other)));
        order.insert(subject, |other| name(entries, names, other));
        subject
    }

    fn forget(&mut self, subject: u32) {
        let hash = self.hash(self.name(subject));
        let Self { numbers, entries, names, order, .. } = self;
        order.remove(subject, |other| name(entries, names, other));
        if let Ok(found) = numbers.find_entry(hash, |other| *other == subject) {
            found.remove();
        }
        self.unused += self.entries[subject as usize].name_len as usize;
        self.entries[subject as usize].name_len = 0;
        self.free.push(subject);
        if self.unused >= UNUSED_MAX && self.unused * 2 >= self.names.len() {
            self.pack();
        }
    }

    fn pack(&mut self) {
        let mut names = Vec::with_capacity(self.names.len() - self.unused);
        for entry in &mut self.entries {
            let at = names.len();
            names.extend_from_slice(
                &self.names[entry.name_at..entry.name_at + entry.name_len as usize],
            );
            entry.name_at = at;
        }
        self.names = names;
        self.unused = 0;
    }

    fn find_hashed(&self, wanted: &[u8], hash: u64) -> Option<u32> {
        self.numbers.find(hash, |subject| self.name(*subject) == wanted).copied()
    }

    fn hash(&self, name: &[u8]) -> u64 {
        hash_with(&self.seed, name)
    }
}

impl Entry {
    pub(super) fn state(&self) -> SubjectState {
        SubjectState { first: self.first, last: self.last, count: self.count }
    }
}

struct Facts {
    first: u64,
    last: u64,
    count: u64,
    exact: bool,
}

fn name<'n>(entries: &[Entry], names: &'n [u8], subject: u32) -> &'n [u8] {
    let entry = &entries[subject as usize];
    &names[entry.name_at..entry.name_at + entry.name_len as usize]
}

fn hash_with(seed: &SharedSeed, name: &[u8]) -> u64 {
    let mut hasher = FoldHasher::with_seed(0, seed);
    hasher.write(name);
    hasher.finish()
}
