//! Blocks on their way to segments, and back when a store is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::block::{Block, Blocks, Facts, Place, SegmentPlace};
use super::cache::Spot;
use super::point::Marks;
use super::record::{self, Salt};
use super::summary::Summary;
use crate::store::segment::BlockHead;
use crate::store::state::{IndexBlock, SegmentIndex};

/// A block that is to be written to a segment.
#[derive(Clone, Debug)]
pub(in crate::store) struct Leaving {
    pub(in crate::store) head: BlockHead,
    pub(in crate::store) place: SegmentPlace,
    pub(in crate::store) records: Arc<Vec<u8>>,
}

impl Blocks {
    /// Bytes of closed blocks that have no place yet.
    pub(in crate::store) fn unplaced_bytes(&self) -> usize {
        let in_memory = self.closed.iter().rev().map_while(|block| match &block.place {
            Place::Memory(bytes) => Some(bytes.len()),
            Place::Writing(..) | Place::Segment(_) => None,
        });
        in_memory.sum()
    }

    /// Bytes of blocks that are in no segment, or not yet.
    pub(in crate::store) fn carried_bytes(&self) -> u64 {
        let in_memory = self.closed.iter().rev().map_while(|block| match &block.place {
            Place::Memory(bytes) | Place::Writing(bytes, _) => Some(bytes.len()),
            Place::Segment(_) => None,
        });
        (in_memory.sum::<usize>() + self.tail.bytes.len()) as u64
    }

    /// Gives each closed block that has no place one, by its length; returns what is to be
    /// written there.
    pub(in crate::store) fn place_all(
        &mut self,
        mut choose: impl FnMut(u32) -> SegmentPlace,
    ) -> Vec<Leaving> {
        let stream = self.stream;
        let added = self.source.added();
        // After a failed write those that came back stand before others that have arrived.
        let has_none = |block: &Block| matches!(block.place, Place::Memory(_));
        let from = self.closed.iter().position(has_none).unwrap_or(self.closed.len());
        let mut leaving = Vec::new();
        for block in self.closed.range_mut(from..) {
            let Place::Memory(records) = &block.place else { continue };
            let records = Arc::clone(records);
            let len = u32::try_from(records.len() + added).unwrap_or(u32::MAX);
            let place = choose(len);
            let Facts { base, base_time, span, .. } = block.facts;
            let head = BlockHead { stream, base, base_time, span, len };
            block.place = Place::Writing(Arc::clone(&records), place);
            leaving.push(Leaving { head, place, records });
        }
        leaving
    }

    /// A block is durable in its segment: its memory is freed.
    pub(in crate::store) fn arrive(&mut self, base: u64, place: SegmentPlace) {
        let at = self.closed.partition_point(|block| block.facts.base < base);
        if let Some(block) = self.closed.get_mut(at).filter(|block| block.facts.base == base) {
            if matches!(&block.place, Place::Writing(_, chosen) if *chosen == place) {
                block.place = Place::Segment(place);
                // The cache would keep the memory.
                self.cache.borrow_mut().forget(self.stream, base);
            }
        }
    }

    /// Blocks on their way did not arrive: they are in memory only.
    pub(in crate::store) fn return_all(&mut self) {
        for block in &mut self.closed {
            if let Place::Writing(records, _) = &block.place {
                block.place = Place::Memory(Arc::clone(records));
            }
        }
    }

    /// Segments that blocks have places in, with how many messages of each are gone.
    pub(in crate::store) fn segments(&self) -> BTreeMap<u32, bool> {
        let mut segments = BTreeMap::new();
        for block in &self.closed {
            if let Some(place) = block.place.segment() {
                *segments.entry(place.segment).or_default() |= !block.facts.gone.is_empty();
            }
        }
        segments
    }

    /// Segments that lost messages since this was asked last.
    pub(in crate::store) fn take_changed(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.changed)
    }

    /// What is in the blocks of a segment.
    pub(in crate::store) fn index_of(&self, segment: u32, version: u32) -> SegmentIndex {
        let blocks = || {
            let of_segment = |block: &&Block| {
                block.place.segment().is_some_and(|place| place.segment == segment)
            };
            self.closed.iter().filter(of_segment)
        };
        let mut subjects: Vec<u32> =
            blocks().flat_map(|block| block.summary.iter().map(|(subject, _)| subject)).collect();
        subjects.sort_unstable();
        subjects.dedup();
        let local = |subject: u32| {
            let at = subjects.binary_search(&subject).unwrap_or(0);
            u32::try_from(at).unwrap_or(u32::MAX)
        };
        let blocks = blocks().filter_map(|block| {
            let counts =
                block.summary.iter().map(|(subject, count)| (local(subject), count)).collect();
            Some(IndexBlock { facts: block.facts.clone(), place: block.place.segment()?, counts })
        });
        SegmentIndex {
            stream: self.stream,
            segment,
            version,
            blocks: blocks.collect(),
            subjects: subjects.iter().map(|subject| self.subjects.name(*subject).into()).collect(),
        }
    }

    /// The messages that are in no closed block.
    pub(in crate::store) fn tail(&self) -> Option<(&Facts, &[u8])> {
        (self.tail.facts.live > 0).then_some((&self.tail.facts, self.tail.bytes.as_slice()))
    }

    /// Takes in the blocks of an index that start at `first_seq` or after it, or span it.
    pub(in crate::store) fn restore_index(&mut self, index: &SegmentIndex, first_seq: u64) {
        let mut numbers: Vec<Option<u32>> = vec![None; index.subjects.len()];
        let mut counts: Vec<(u32, u32)> = Vec::new();
        for block in &index.blocks {
            let facts = &block.facts;
            if facts.end() <= first_seq || facts.live == 0 {
                continue;
            }
            let (first, last) = (facts.base.max(first_seq), facts.end() - 1);
            counts.clear();
            for (local, count) in &block.counts {
                let known = numbers.get_mut(*local as usize);
                let Some(number) = known else { continue };
                let subject = match *number {
                    Some(subject) => {
                        self.subjects.count_more(subject, (first, last), u64::from(*count));
                        subject
                    }
                    None => {
                        let name = index.subjects.get(*local as usize);
                        let name = name.map(|name| &**name).unwrap_or_default();
                        self.subjects.add_many(name, first, last, u64::from(*count))
                    }
                };
                *number = Some(subject);
                counts.push((subject, *count));
            }
            if !counts.is_sorted() {
                counts.sort_unstable();
            }
            self.add_counts(facts);
            self.closed.push_back(Block {
                facts: facts.clone(),
                summary: Summary::of_counts(&counts),
                place: Place::Segment(block.place),
                marks: Marks::default(),
            });
        }
    }

    /// Takes in a block as it stands in a segment, without what is below `first_seq`. Returns the
    /// parts of its records that are damaged.
    pub(in crate::store) fn restore_found(
        &mut self,
        head: &BlockHead,
        records: &[u8],
        place: SegmentPlace,
        first_seq: u64,
    ) -> Vec<Range<usize>> {
        let mut facts = Facts {
            base: head.base,
            base_time: head.base_time,
            span: head.span,
            ..Facts::default()
        };
        let mut damaged = Vec::new();
        let mut found = Vec::new();
        record::scan(
            records,
            0,
            head.salt(),
            |_, header| found.push(header),
            |range| damaged.push(range),
        );
        let len = (place.len as usize).saturating_sub(self.source.added());
        if records.len() < len {
            damaged.push(records.len()..len);
        }
        let mut subjects = Vec::new();
        let mut next = 0;
        for header in &found {
            let seq = head.base.saturating_add(u64::from(header.at));
            if header.at >= head.span || seq < first_seq || header.is_erased(records) {
                continue;
            }
            (next..header.at).for_each(|at| {
                facts.gone.insert(at);
            });
            next = header.at + 1;
            let name = records.get(header.subject.clone()).unwrap_or_default();
            facts.live += 1;
            facts.bytes += self.counted(name.len(), header.headers.len(), header.payload.len());
            // Blocks need not come in order here.
            subjects.push(self.subjects.add_many(name, seq, seq, 1));
        }
        (next..head.span).for_each(|at| {
            facts.gone.insert(at);
        });
        if facts.live > 0 {
            self.add_counts(&facts);
            let summary = Summary::of(&mut subjects);
            let (place, marks) = (Place::Segment(place), Marks::default());
            self.closed.push_back(Block { facts, summary, place, marks });
        }
        damaged
    }

    /// Takes in the messages that were in no closed block.
    pub(in crate::store) fn restore_tail(&mut self, facts: Facts, records: Vec<u8>) {
        let salt = Salt::new(self.stream, facts.base, facts.base_time);
        let mut found = Vec::new();
        record::scan(&records, 0, salt, |start, header| found.push((start, header)), |_| {});
        for (start, header) in found {
            let start = u32::try_from(start).unwrap_or(u32::MAX);
            self.tail.spots.push(Spot { at: header.at, start });
            let seq = facts.base.saturating_add(u64::from(header.at));
            // The subject of a message that is gone is never looked at.
            let subject = if facts.gone.contains(header.at) {
                u32::MAX
            } else {
                self.subjects.add(records.get(header.subject).unwrap_or_default(), seq)
            };
            self.tail.subjects.push(subject);
        }
        self.add_counts(&facts);
        self.tail.facts = facts;
        self.tail.bytes = records;
    }

    /// Puts blocks in order that came in the order of their segments.
    pub(in crate::store) fn sort(&mut self) {
        let blocks = self.closed.make_contiguous();
        if !blocks.is_sorted_by_key(|block| block.facts.base) {
            blocks.sort_unstable_by_key(|block| block.facts.base);
        }
    }

    /// Ends that messages alone do not tell.
    pub(in crate::store) fn set_ends(&mut self, first_seq: u64, last_seq: u64, last_time: u64) {
        self.first_seq = first_seq;
        self.last_seq = last_seq;
        self.last_time = last_time;
    }

    /// Moves the first sequence up to the first message there is, if `first_seq`, which is what
    /// the state says, has none: it was damaged.
    pub(in crate::store) fn settle_first_above(&mut self, first_seq: u64) {
        if self.messages > 0 {
            self.first_seq = self.next_seq(first_seq).unwrap_or(self.last_seq + 1);
        } else if self.last_seq > 0 && first_seq <= self.last_seq {
            self.first_seq = self.last_seq + 1;
        }
    }

    /// The first sequence after the closed blocks; 0 if there are none.
    pub(in crate::store) fn closed_end(&self) -> u64 {
        self.closed.back().map_or(0, |block| block.facts.end())
    }

    /// When the last closed block was started.
    pub(in crate::store) fn closed_time(&self) -> u64 {
        self.closed.back().map_or(0, |block| block.facts.base_time)
    }

    /// Moves the first sequence to the first message there is.
    pub(in crate::store) fn settle_first(&mut self) {
        self.first_seq = self.next_seq(0).unwrap_or(self.last_seq + 1);
    }

    fn add_counts(&mut self, facts: &Facts) {
        self.messages += u64::from(facts.live);
        self.bytes += facts.bytes;
    }
}

impl Place {
    /// Where the block is, or will be.
    pub(in crate::store) fn segment(&self) -> Option<SegmentPlace> {
        match self {
            Self::Memory(_) => None,
            Self::Writing(_, place) | Self::Segment(place) => Some(*place),
        }
    }
}
