//! What a stream is asked about its messages.

use std::rc::Rc;

use super::block::{Blocks, Opened};
use super::filter_set::{literal_prefix, successor, FilterSet};
use super::subjects::Subjects;
use super::verdicts::{Known, Verdicts};
use crate::store::SubjectState;

/// Records of the first block that are looked at one by one before its summary is asked:
/// the next match is mostly near.
const NEAR: usize = 32;

/// Of all subjects, the part from which they are looked at in the order of their numbers.
const SCAN_PART: usize = 8;

impl Blocks {
    /// The first sequence stored at or after `time`.
    pub(in crate::store) fn seq_at_time(&self, time: u64) -> u64 {
        let end = self.end();
        let starts_before = |at: usize| self.facts(at).is_some_and(|facts| facts.base_time < time);
        // Times do not go backwards from block to block.
        let mut block = self.closed.partition_point(|block| block.facts.base_time < time);
        if block == self.closed.len() && starts_before(block) {
            block += 1;
        }
        if let Some(seq) = block.checked_sub(1).and_then(|before| self.time_in_block(before, time))
        {
            return seq;
        }
        self.facts(block).and_then(|facts| facts.next(0)).unwrap_or(end)
    }

    /// What there is of one subject.
    pub(in crate::store) fn subject(&mut self, name: &[u8]) -> Option<SubjectState> {
        let subject = self.subjects.find(name)?;
        Some(self.exact(subject))
    }

    /// Fills `into` with subjects that match, at most `count`, starting with `from`; names are
    /// put into `names`.
    pub(in crate::store) fn subjects_from(
        &mut self,
        filters: &[Box<[u8]>],
        from: &[u8],
        count: usize,
    ) -> Vec<(Box<[u8]>, SubjectState)> {
        let mut found: Vec<u32> = Vec::new();
        if let [filter] = filters {
            if let (literal, true) = literal_prefix(filter) {
                found.extend(self.subjects.find(literal).filter(|_| from <= literal));
                return self.described(&found);
            }
        }
        let set = FilterSet::new(filters);
        for range in ranges(filters) {
            let start = range.max(from);
            let within = |subject: &u32| self.subjects.name(*subject).starts_with(range);
            let subjects = self.subjects.starting_at(start).take_while(within);
            let matching = subjects
                .filter(|subject| set.matches(self.subjects.name(*subject)))
                .take(count - found.len());
            found.extend(matching);
        }
        self.described(&found)
    }

    /// The first message at or after `from` that matches.
    pub(in crate::store) fn first_matching(
        &mut self,
        filters: &[Box<[u8]>],
        from: u64,
    ) -> Option<u64> {
        let wanted = self.wanted(filters)?;
        let mut from = from;
        if let Wanted::One(subject) = wanted {
            let entry = self.subjects.entry(subject);
            if from <= entry.first {
                return Some(self.exact(subject).first);
            }
            if from > entry.last {
                return None;
            }
            from = from.max(entry.first);
        } else if matches!(wanted, Wanted::Every) {
            return self.next_seq(from);
        }
        let start = self.block_from(from);
        (start..=self.closed.len()).find_map(|block| {
            let look = if block == start { Look::Near } else { Look::Summary };
            self.first_in_block(&wanted, filters, block, from, look)
        })
    }

    /// The last message at or before `up_to` that matches.
    pub(in crate::store) fn last_matching(
        &mut self,
        filters: &[Box<[u8]>],
        up_to: u64,
    ) -> Option<u64> {
        let wanted = self.wanted(filters)?;
        let mut up_to = up_to;
        if let Wanted::One(subject) = wanted {
            let entry = self.subjects.entry(subject);
            if up_to >= entry.last {
                return Some(self.exact(subject).last);
            }
            if up_to < entry.first {
                return None;
            }
            up_to = up_to.min(entry.last);
        } else if matches!(wanted, Wanted::Every) {
            return self.previous_seq(up_to);
        }
        let start = self.block_from(up_to).min(self.closed.len());
        (0..=start).rev().find_map(|block| self.last_in_block(&wanted, filters, block, up_to))
    }

    /// How many messages at or after `from` match.
    pub(in crate::store) fn count_matching(&mut self, filters: &[Box<[u8]>], from: u64) -> u64 {
        let extent = self.extent();
        if extent.messages == 0 || from > extent.last_seq {
            return 0;
        }
        let Some(wanted) = self.wanted(filters) else { return 0 };
        if matches!(wanted, Wanted::Every) {
            if from <= extent.first_seq {
                return extent.messages;
            }
            let start = self.block_from(from);
            let counts = (start..=self.closed.len())
                .map(|block| self.facts(block).map_or(0, |facts| facts.live_from(from)));
            return counts.sum();
        }
        if from <= extent.first_seq {
            return self.total_matching(&wanted, filters);
        }
        let start = self.block_from(from);
        let blocks = self.closed.len() + 1;
        if start * 2 >= blocks {
            let after: u64 =
                (start + 1..blocks).map(|b| self.count_block(&wanted, filters, b)).sum();
            return after + self.count_in_block(&wanted, filters, start, from, u64::MAX);
        }
        let before: u64 = (0..start).map(|b| self.count_block(&wanted, filters, b)).sum();
        let before = before + self.count_in_block(&wanted, filters, start, 0, from);
        self.total_matching(&wanted, filters).saturating_sub(before)
    }

    /// Missing runs at or after `from`, at most `count`, and where to go on.
    pub(in crate::store) fn gaps_from(&self, from: u64, count: usize) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut block = self.block_from(from);
        // What comes before the first message is no gap.
        let mut expected = self.next_seq(from).filter(|_| from == 0).unwrap_or(from);
        while let Some(facts) = self.facts(block) {
            while let Some(seq) = facts.next(expected.max(facts.base)) {
                if seq > expected {
                    gaps.push((expected, seq - 1));
                    if gaps.len() == count {
                        return gaps;
                    }
                }
                expected = facts.run_end(seq);
            }
            block += 1;
        }
        gaps
    }

    /// First and last of a subject, exactly.
    fn exact(&mut self, subject: u32) -> SubjectState {
        if self.subjects.entry(subject).first_is_estimate {
            let from = self.subjects.entry(subject).first;
            let start = self.block_from(from);
            let wanted = Wanted::One(subject);
            let found = (start..=self.closed.len())
                .find_map(|block| self.first_in_block(&wanted, &[], block, from, Look::Summary));
            let entry = self.subjects.entry_mut(subject);
            // If it is damaged, the estimate has to do.
            entry.first = found.unwrap_or(entry.first);
            entry.first_is_estimate = false;
        }
        if self.subjects.entry(subject).last_is_estimate {
            let up_to = self.subjects.entry(subject).last;
            let start = self.block_from(up_to).min(self.closed.len());
            let wanted = Wanted::One(subject);
            let found =
                (0..=start).rev().find_map(|block| self.last_in_block(&wanted, &[], block, up_to));
            let entry = self.subjects.entry_mut(subject);
            entry.last = found.unwrap_or(entry.last);
            entry.last_is_estimate = false;
        }
        self.subjects.entry(subject).state()
    }

    fn described(&mut self, subjects: &[u32]) -> Vec<(Box<[u8]>, SubjectState)> {
        subjects
            .iter()
            .map(|subject| {
                let state = self.exact(*subject);
                (self.subjects.name(*subject).into(), state)
            })
            .collect()
    }

    /// `None` if nothing can match.
    fn wanted(&self, filters: &[Box<[u8]>]) -> Option<Wanted> {
        if filters.iter().any(|filter| **filter == *b">") || filters.is_empty() {
            return Some(Wanted::Every);
        }
        match filters {
            [filter] if literal_prefix(filter).1 => self.subjects.find(filter).map(Wanted::One),
            _ => Some(Wanted::Listed),
        }
    }

    fn total_matching(&mut self, wanted: &Wanted, filters: &[Box<[u8]>]) -> u64 {
        if let Wanted::One(subject) = wanted {
            return self.subjects.entry(*subject).count;
        }
        let Self { subjects, verdicts, .. } = self;
        let set = verdicts.set(filters);
        let counts = |found: &mut dyn Iterator<Item = u32>| -> u64 {
            found.map(|subject| subjects.entry(subject).count).sum()
        };
        if set.is_simple() {
            let (literals, prefixes) = (set.literals(), set.prefixes());
            let within = |prefix| subjects.between(prefix, successor(prefix).as_deref());
            let found: usize = prefixes.iter().map(|prefix| within(prefix).count()).sum();
            if found > subjects.numbers_end() / SCAN_PART {
                // In the order of their numbers they are next to each other in memory.
                let mut known = verdicts.of(filters);
                return subjects.count_where(|subject| known.matches(subjects, subject));
            }
            let mut single = literals.iter().filter_map(|literal| subjects.find(literal));
            return counts(&mut single) + counts(&mut prefixes.iter().flat_map(|p| within(p)));
        }
        let mut total = 0;
        for range in ranges(filters) {
            let within = subjects.between(range, successor(range).as_deref());
            total += counts(&mut within.filter(|subject| set.matches(subjects.name(*subject))));
        }
        total
    }

    /// Matching messages of a whole block.
    fn count_block(&mut self, wanted: &Wanted, filters: &[Box<[u8]>], block: usize) -> u64 {
        let Self { closed, subjects, verdicts, .. } = self;
        let Some(closed) = closed.get(block) else {
            return self.count_in_block(wanted, filters, block, 0, u64::MAX);
        };
        if let Wanted::One(subject) = wanted {
            return u64::from(closed.summary.count(*subject));
        }
        let mut known = verdicts.of(filters);
        let matching =
            closed.summary.iter().filter(|(subject, _)| known.matches(subjects, *subject));
        matching.map(|(_, count)| u64::from(count)).sum()
    }

    /// Matching messages of a block in `from..end`.
    fn count_in_block(
        &mut self,
        wanted: &Wanted,
        filters: &[Box<[u8]>],
        block: usize,
        from: u64,
        end: u64,
    ) -> u64 {
        let mut count = 0;
        self.walk(wanted, filters, block, from, &mut |seq| {
            count += u64::from(seq < end);
            seq < end
        });
        count
    }

    fn first_in_block(
        &mut self,
        wanted: &Wanted,
        filters: &[Box<[u8]>],
        block: usize,
        from: u64,
        look: Look,
    ) -> Option<u64> {
        let mut from = from;
        if matches!(look, Look::Near) && block < self.closed.len() {
            let mut found = None;
            let near = self.near_end(block, from);
            self.walk_while(wanted, filters, block, from, near, &mut |seq| {
                found = Some(seq);
                false
            });
            if found.is_some() {
                return found;
            }
            from = near;
        }
        if block < self.closed.len() && !self.has_any(wanted, filters, block) {
            return None;
        }
        let mut found = None;
        self.walk(wanted, filters, block, from, &mut |seq| {
            found = Some(seq);
            false
        });
        found
    }

    fn last_in_block(
        &mut self,
        wanted: &Wanted,
        filters: &[Box<[u8]>],
        block: usize,
        up_to: u64,
    ) -> Option<u64> {
        if self.facts(block)?.base > up_to {
            return None;
        }
        if block == self.closed.len() {
            let Self { tail, verdicts, subjects, .. } = self;
            let mut verdict = Verdict::new(wanted, filters, verdicts);
            let end = tail.position(up_to.saturating_add(1));
            return (0..end)
                .rev()
                .filter_map(|position| tail.live(position))
                .find(|(_, subject)| verdict.of(subjects, *subject))
                .map(|(seq, _)| seq);
        }
        if !self.has_any(wanted, filters, block) {
            return None;
        }
        let set = wanted.set(filters, &mut self.verdicts);
        let cache = Rc::clone(&self.cache);
        let mut cache = cache.borrow_mut();
        let opened = self.open(block, &mut cache).ok()?;
        let facts = self.facts(block)?;
        let found = opened.headers_back(up_to).find(|(seq, header)| {
            let name = opened.bytes.get(header.subject.clone()).unwrap_or_default();
            facts.has(*seq) && wanted.is(&self.subjects, set.as_deref(), name)
        });
        found.map(|(seq, _)| seq)
    }

    /// Whether a closed block's summary has a matching subject.
    fn has_any(&mut self, wanted: &Wanted, filters: &[Box<[u8]>], block: usize) -> bool {
        let Self { closed, subjects, verdicts, .. } = self;
        let Some(closed) = closed.get(block) else { return false };
        let mut verdict = Verdict::new(wanted, filters, verdicts);
        let found = closed.summary.iter().any(|(subject, _)| verdict.of(subjects, subject));
        found
    }

    /// Visits matching messages of a block at or after `from`, until `visit` returns false.
    fn walk(
        &mut self,
        wanted: &Wanted,
        filters: &[Box<[u8]>],
        block: usize,
        from: u64,
        visit: &mut dyn FnMut(u64) -> bool,
    ) {
        self.walk_while(wanted, filters, block, from, u64::MAX, visit);
    }

    fn walk_while(
        &mut self,
        wanted: &Wanted,
        filters: &[Box<[u8]>],
        block: usize,
        from: u64,
        end: u64,
        visit: &mut dyn FnMut(u64) -> bool,
    ) {
        if block == self.closed.len() {
            let Self { tail, verdicts, subjects, .. } = self;
            let mut verdict = Verdict::new(wanted, filters, verdicts);
            let matching = (tail.position(from)..tail.subjects.len())
                .filter_map(|position| tail.live(position))
                .filter(|(_, subject)| verdict.of(subjects, *subject));
            for (seq, _) in matching {
                if !visit(seq) {
                    return;
                }
            }
            return;
        }
        let set = wanted.set(filters, &mut self.verdicts);
        let cache = Rc::clone(&self.cache);
        let mut cache = cache.borrow_mut();
        // What cannot be read matches nothing.
        let Ok(opened) = self.open(block, &mut cache) else { return };
        let Some(facts) = self.facts(block) else { return };
        for (seq, header) in opened.headers_from(from).take_while(|(seq, _)| *seq < end) {
            let name = opened.bytes.get(header.subject.clone()).unwrap_or_default();
            if facts.has(seq) && wanted.is(&self.subjects, set.as_deref(), name) && !visit(seq) {
                return;
            }
        }
    }

    /// Where the near part of a block ends for one who starts at `from`.
    fn near_end(&self, block: usize, from: u64) -> u64 {
        let base = self.facts(block).map_or(0, |facts| facts.base);
        from.max(base).saturating_add(NEAR as u64)
    }

    fn time_in_block(&self, block: usize, time: u64) -> Option<u64> {
        let cache = Rc::clone(&self.cache);
        let mut cache = cache.borrow_mut();
        let opened: Opened<'_> = self.open(block, &mut cache).ok()?;
        let facts = self.facts(block)?;
        let found = opened.headers_from(0).find(|(seq, header)| {
            facts.has(*seq) && opened.base_time.saturating_add(header.time) >= time
        });
        found.map(|(seq, _)| seq)
    }
}

/// What a question is about.
enum Wanted {
    /// Every message.
    Every,
    /// One subject.
    One(u32),
    /// What the filters match.
    Listed,
}

impl Wanted {
    /// The filters, if they are what decides.
    fn set(&self, filters: &[Box<[u8]>], verdicts: &mut Verdicts) -> Option<Rc<FilterSet>> {
        matches!(self, Self::Listed).then(|| verdicts.set(filters))
    }

    fn is(&self, subjects: &Subjects, filters: Option<&FilterSet>, name: &[u8]) -> bool {
        match self {
            Self::Every => true,
            Self::One(subject) => subjects.name(*subject) == name,
            Self::Listed => filters.is_some_and(|filters| filters.matches(name)),
        }
    }
}

/// Where to look first.
#[derive(Clone, Copy)]
enum Look {
    Near,
    Summary,
}

/// Whether a subject, by its number, is wanted.
enum Verdict<'v> {
    One(u32),
    Listed(Known<'v>),
}

impl<'v> Verdict<'v> {
    fn new(wanted: &Wanted, filters: &[Box<[u8]>], verdicts: &'v mut Verdicts) -> Self {
        match wanted {
            Wanted::One(subject) => Self::One(*subject),
            Wanted::Every | Wanted::Listed => Self::Listed(verdicts.of(filters)),
        }
    }

    fn of(&mut self, subjects: &Subjects, subject: u32) -> bool {
        match self {
            Self::One(wanted) => *wanted == subject,
            Self::Listed(known) => known.matches(subjects, subject),
        }
    }
}

/// The prefixes that matching subjects start with, in order, none starting with another.
fn ranges(filters: &[Box<[u8]>]) -> Vec<&[u8]> {
    if filters.is_empty() {
        return vec![b""];
    }
    let mut prefixes: Vec<&[u8]> = filters.iter().map(|filter| literal_prefix(filter).0).collect();
    prefixes.sort_unstable();
    let mut kept: Vec<&[u8]> = Vec::with_capacity(prefixes.len());
    for prefix in prefixes {
        if !kept.last().is_some_and(|last| prefix.starts_with(last)) {
            kept.push(prefix);
        }
    }
    kept
}
