//! The blocks of one stream, and what changes them.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::cache::{spot_from, Cache, Key, Spot};
use super::gone::Gone;
use super::point::Marks;
use super::record::{self, Header, Salt};
use super::subjects::Subjects;
use super::summary::Summary;
use super::verdicts::Verdicts;
use crate::store::{record_bytes, Extent, Message, ReadError, Record, StorageKind};

/// All messages of one stream. See the module's documentation.
#[derive(Debug)]
pub(in crate::store) struct Blocks {
    pub(super) stream: u64,
    kind: StorageKind,
    pub(super) subjects: Subjects,
    /// Closed blocks in order of their sequences; each has a message.
    pub(super) closed: VecDeque<Block>,
    pub(super) tail: Tail,
    pub(super) cache: Rc<RefCell<Cache>>,
    pub(super) source: Rc<dyn BlockSource>,
    pub(super) verdicts: Verdicts,
    /// A part of a block, while it is looked at.
    pub(super) part: Vec<u8>,
    /// Segments with blocks that lost messages.
    pub(super) changed: BTreeSet<u32>,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) last_time: u64,
    /// A sequence and its time: the first message's, once somebody asked.
    first_time: Option<(u64, u64)>,
}

/// Where blocks are read from that are not in memory.
pub(in crate::store) trait BlockSource: std::fmt::Debug {
    /// Puts the bytes at `place` into `into`, over what it has.
    ///
    /// # Errors
    /// What the system says.
    fn read(&self, stream: u64, place: SegmentPlace, into: &mut Vec<u8>) -> Result<(), String>;

    /// Bytes that a block has there beside its records: it can be read as a whole only, if there
    /// are any.
    fn added(&self) -> usize {
        0
    }
}

/// Where a block's bytes stand among the segments of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct SegmentPlace {
    pub(in crate::store) segment: u32,
    /// First byte of its records.
    pub(in crate::store) offset: u32,
    pub(in crate::store) len: u32,
}

/// Where a block's bytes are.
#[derive(Clone, Debug)]
pub(in crate::store) enum Place {
    /// In memory only.
    Memory(Arc<Vec<u8>>),
    /// In memory, and on the way to its place.
    Writing(Arc<Vec<u8>>, SegmentPlace),
    /// In a segment only.
    Segment(SegmentPlace),
}

/// What is known of a block.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Facts {
    /// Its first sequence.
    pub(in crate::store) base: u64,
    /// When the message of that sequence was stored.
    pub(in crate::store) base_time: u64,
    /// Sequences it spans, `1 <= span <= SPAN_MAX` unless it is the tail and empty.
    pub(in crate::store) span: u32,
    /// Messages it has.
    pub(in crate::store) live: u32,
    /// What these count for.
    pub(in crate::store) bytes: u64,
    /// Sequences without a message.
    pub(in crate::store) gone: Gone,
}

/// A block that takes no more messages.
#[derive(Clone, Debug)]
pub(in crate::store) struct Block {
    pub(in crate::store) facts: Facts,
    pub(in crate::store) summary: Summary,
    pub(in crate::store) place: Place,
    pub(in crate::store) marks: Marks,
}

/// The block that takes messages.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) facts: Facts,
    pub(super) bytes: Vec<u8>,
    pub(super) spots: Vec<Spot>,
    /// The subject of each spot.
    pub(super) subjects: Vec<u32>,
}

/// A block closes when it has this many bytes: what one read brings.
pub(in crate::store) const BLOCK_BYTES: usize = 64 << 10;

/// A block closes when it spans this many sequences: what bounds its set of gone ones.
pub(in crate::store) const SPAN_MAX: u32 = 1 << 15;

/// The highest sequence that can be skipped to: none that follows overflows.
pub(in crate::store) const SEQ_MAX: u64 = u64::MAX >> 1;

impl Blocks {
    /// An empty stream; `seed` keys the hash of its subjects.
    pub(in crate::store) fn new(
        stream: u64,
        kind: StorageKind,
        seed: u64,
        cache: Rc<RefCell<Cache>>,
        source: Rc<dyn BlockSource>,
    ) -> Self {
        Self {
            stream,
            kind,
            subjects: Subjects::new(seed),
            closed: VecDeque::new(),
            tail: Tail::default(),
            cache,
            source,
            verdicts: Verdicts::default(),
            part: Vec::new(),
            changed: BTreeSet::new(),
            first_seq: 0,
            last_seq: 0,
            messages: 0,
            bytes: 0,
            last_time: 0,
            first_time: None,
        }
    }

    /// Stores a message whose body has the checksum `body_crc`; returns its sequence.
    pub(in crate::store) fn append(&mut self, record: &Record<'_>, body_crc: u32) -> u64 {
        let seq = self.last_seq + 1;
        let is_full = self.tail.bytes.len() >= BLOCK_BYTES
            || seq - self.tail.facts.base >= u64::from(SPAN_MAX);
        if !self.tail.spots.is_empty() && is_full {
            self.close_tail();
        }
        let facts = &mut self.tail.facts;
        if self.tail.spots.is_empty() {
            facts.base = seq;
            facts.base_time = record.time;
            facts.span = 0;
        }
        let at = u32::try_from(seq - facts.base).unwrap_or(u32::MAX);
        for skipped in facts.span..at {
            facts.gone.insert(skipped);
        }
        facts.span = at + 1;
        facts.live += 1;
        let counted =
            self.counted(record.subject.len(), record.headers.len(), record.payload.len());
        let tail = &mut self.tail;
        tail.facts.bytes += counted;
        let salt = Salt::new(self.stream, tail.facts.base, tail.facts.base_time);
        let start = u32::try_from(tail.bytes.len()).unwrap_or(u32::MAX);
        let time = record.time.saturating_sub(tail.facts.base_time);
        record::put(&mut tail.bytes, salt, at, time, record, body_crc);
        tail.spots.push(Spot { at, start });
        tail.subjects.push(self.subjects.add(record.subject, seq));
        self.last_seq = seq;
        self.last_time = record.time;
        self.bytes += counted;
        self.messages += 1;
        if self.messages == 1 {
            self.first_seq = seq;
            self.first_time = Some((seq, record.time));
        }
        seq
    }

    /// See [`StreamStore::skip_to`](crate::store::StreamStore::skip_to).
    pub(in crate::store) fn skip_to(&mut self, seq: u64) {
        let seq = seq.min(SEQ_MAX);
        if seq <= self.last_seq {
            return;
        }
        self.last_seq = seq - 1;
        if self.messages == 0 {
            self.first_seq = seq;
        }
    }

    /// Removes one message.
    pub(in crate::store) fn remove(&mut self, seq: u64) -> bool {
        if !self.contains(seq) {
            return false;
        }
        let block = self.block_from(seq);
        self.remove_in(block, seq);
        self.drop_if_dead(block);
        if seq == self.first_seq {
            self.first_seq = self.next_seq(seq).unwrap_or(self.last_seq + 1);
        }
        true
    }

    /// Removes what is below `seq`; returns how many messages it was.
    pub(in crate::store) fn remove_below(&mut self, seq: u64) -> u64 {
        let seq = seq.min(SEQ_MAX);
        if seq <= self.first_seq {
            return 0;
        }
        let before = self.messages;
        if seq > self.last_seq {
            self.clear();
            self.last_seq = seq - 1;
            self.first_seq = seq;
            return before;
        }
        while self.closed.front().is_some_and(|block| block.facts.end() <= seq) {
            self.drop_front(seq);
        }
        let Some(facts) = self.facts(0).filter(|facts| facts.base < seq) else {
            self.first_seq = self.next_seq(seq).unwrap_or(self.last_seq + 1);
            return before - self.messages;
        };
        let mut at = self.first_seq.max(facts.base);
        while let Some(next) = self.next_seq(at).filter(|next| *next < seq) {
            self.remove_in(0, next);
            at = next + 1;
        }
        self.drop_if_dead(0);
        self.first_seq = self.next_seq(seq).unwrap_or(self.last_seq + 1);
        before - self.messages
    }

    /// Reads one message.
    pub(in crate::store) fn read(
        &mut self,
        seq: u64,
        into: &mut Message,
    ) -> Result<bool, ReadError> {
        if !self.contains(seq) {
            return Ok(false);
        }
        let block = self.block_from(seq);
        if self.read_point(block, seq, into) {
            return Ok(true);
        }
        let cache = Rc::clone(&self.cache);
        let mut cache = cache.borrow_mut();
        let opened =
            self.open(block, &mut cache).map_err(|reason| ReadError::Device { seq, reason })?;
        let header = opened.header(seq).ok_or(ReadError::Damaged(seq))?;
        let record =
            header.record(opened.bytes, opened.base_time).ok_or(ReadError::Damaged(seq))?;
        into.set(seq, &record);
        Ok(true)
    }

    pub(in crate::store) fn contains(&self, seq: u64) -> bool {
        if seq < self.first_seq || seq > self.last_seq {
            return false;
        }
        self.facts(self.block_from(seq)).is_some_and(|facts| facts.has(seq))
    }

    /// The first message at or after `from`.
    pub(in crate::store) fn next_seq(&self, from: u64) -> Option<u64> {
        let mut block = self.block_from(from);
        while let Some(facts) = self.facts(block) {
            if let Some(seq) = facts.next(from) {
                return Some(seq);
            }
            block += 1;
        }
        None
    }

    /// The last message at or before `up_to`.
    pub(super) fn previous_seq(&self, up_to: u64) -> Option<u64> {
        let mut block = self.block_from(up_to);
        loop {
            if let Some(seq) = self.facts(block).and_then(|facts| facts.previous(up_to)) {
                return Some(seq);
            }
            block = block.checked_sub(1)?;
        }
    }

    pub(in crate::store) fn extent(&mut self) -> Extent {
        Extent {
            first_seq: self.first_seq,
            last_seq: self.last_seq,
            messages: self.messages,
            bytes: self.bytes,
            first_time: self.first_time(),
            last_time: self.last_time,
        }
    }

    pub(in crate::store) fn stream(&self) -> u64 {
        self.stream
    }

    /// The sequence that the next message gets.
    pub(super) fn end(&self) -> u64 {
        self.last_seq + 1
    }

    pub(in crate::store) fn kind(&self) -> StorageKind {
        self.kind
    }

    /// Closed blocks there are.
    pub(in crate::store) fn closed_count(&self) -> usize {
        self.closed.len()
    }

    /// First and last sequence.
    pub(in crate::store) fn ends(&self) -> (u64, u64) {
        (self.first_seq, self.last_seq)
    }

    pub(in crate::store) fn last_time(&self) -> u64 {
        self.last_time
    }

    pub(in crate::store) fn messages(&self) -> u64 {
        self.messages
    }

    pub(in crate::store) fn subject_count(&self) -> u64 {
        self.subjects.len() as u64
    }

    /// What is known of block `at`; the tail comes after the closed ones.
    pub(super) fn facts(&self, at: usize) -> Option<&Facts> {
        match self.closed.get(at) {
            Some(block) => Some(&block.facts),
            None if at == self.closed.len() && self.tail.facts.live > 0 => Some(&self.tail.facts),
            None => None,
        }
    }

    /// The first block that ends above `seq`.
    pub(super) fn block_from(&self, seq: u64) -> usize {
        if self.tail.facts.live > 0 && seq >= self.tail.facts.base {
            return self.closed.len();
        }
        self.closed.partition_point(|block| block.facts.end() <= seq)
    }

    /// The bytes of block `at`.
    pub(super) fn open<'c>(
        &'c self,
        at: usize,
        cache: &'c mut Cache,
    ) -> Result<Opened<'c>, String> {
        let Some(block) = self.closed.get(at) else {
            let tail = &self.tail;
            return Ok(Opened::new(self.stream, &tail.facts, &tail.bytes, &tail.spots));
        };
        let key = Key { stream: self.stream, base: block.facts.base };
        let slot = match (cache.find(key), &block.place) {
            (Some(slot), _) => slot,
            (None, Place::Memory(bytes) | Place::Writing(bytes, _)) => {
                cache.share(key, block.salt(self.stream), bytes)
            }
            (None, Place::Segment(place)) => {
                let read = |into: &mut Vec<u8>| self.source.read(self.stream, *place, into);
                cache.load(key, block.salt(self.stream), read)?
            }
        };
        let (bytes, spots) = cache.get(slot);
        block.marks.set(spots);
        Ok(Opened::new(self.stream, &block.facts, bytes, spots))
    }

    /// Closes the tail, so that it can be moved to a segment.
    pub(in crate::store) fn close_tail(&mut self) {
        let capacity = self.tail.bytes.len();
        let tail = std::mem::take(&mut self.tail);
        if tail.facts.live == 0 {
            return;
        }
        let mut subjects = tail.subjects;
        if !tail.facts.gone.is_empty() {
            let mut spots = tail.spots.iter();
            subjects
                .retain(|_| spots.next().is_some_and(|spot| !tail.facts.gone.contains(spot.at)));
        }
        let mut bytes = tail.bytes;
        bytes.shrink_to_fit();
        self.closed.push_back(Block {
            facts: tail.facts,
            summary: Summary::of(&mut subjects),
            place: Place::Memory(Arc::new(bytes)),
            marks: Marks::of(&tail.spots),
        });
        subjects.clear();
        self.tail.subjects = subjects;
        self.tail.spots = tail.spots;
        self.tail.spots.clear();
        self.tail.bytes = Vec::with_capacity(capacity.min(BLOCK_BYTES + BLOCK_BYTES / 8));
    }

    fn first_time(&mut self) -> u64 {
        if self.messages == 0 {
            return 0;
        }
        if let Some((seq, time)) = self.first_time.filter(|(seq, _)| *seq == self.first_seq) {
            debug_assert_eq!(seq, self.first_seq);
            return time;
        }
        let seq = self.first_seq;
        let time = self.time_of(seq);
        self.first_time = Some((seq, time));
        time
    }

    /// When a message was stored; if it cannot be read, when its block was started.
    fn time_of(&self, seq: u64) -> u64 {
        let block = self.block_from(seq);
        let cache = Rc::clone(&self.cache);
        let mut cache = cache.borrow_mut();
        let read = self.open(block, &mut cache).ok();
        let time = read.and_then(|opened| {
            opened.header(seq).map(|header| opened.base_time.saturating_add(header.time))
        });
        time.unwrap_or_else(|| self.facts(block).map_or(0, |facts| facts.base_time))
    }

    /// Removes a message that block `block` has; leaves the block there even if it is dead.
    fn remove_in(&mut self, block: usize, seq: u64) {
        let (subject, counted) = self.identify(block, seq);
        let facts = match self.closed.get_mut(block) {
            Some(closed) => {
                if let Some(subject) = subject {
                    closed.summary.decrement(subject);
                }
                self.changed.extend(closed.place.segment().map(|place| place.segment));
                &mut closed.facts
            }
            None => &mut self.tail.facts,
        };
        facts.live -= 1;
        // A damaged message counts for what the others leave.
        let counted = if facts.live == 0 { facts.bytes } else { counted.min(facts.bytes) };
        facts.bytes -= counted;
        let at = u32::try_from(seq - facts.base).unwrap_or(u32::MAX);
        facts.gone.insert(at);
        self.messages -= 1;
        self.bytes -= counted;
        if let Some(subject) = subject {
            if self.subjects.remove(subject, seq, 1) {
                self.verdicts.forget(subject);
            }
        }
    }

    /// The subject of a message that is there, and what it counts for. If its header is
    /// damaged, it is one of those that the block's summary has and its records do not.
    fn identify(&self, block: usize, seq: u64) -> (Option<u32>, u64) {
        let cache = Rc::clone(&self.cache);
        let mut cache = cache.borrow_mut();
        let Ok(opened) = self.open(block, &mut cache) else {
            return (
                self.closed
                    .get(block)
                    .and_then(|block| block.summary.iter().next())
                    .map(|(subject, _)| subject),
                0,
            );
        };
        if let Some(header) = opened.header(seq) {
            let name = opened.bytes.get(header.subject.clone()).unwrap_or_default();
            let counted = self.counted(name.len(), header.headers.len(), header.payload.len());
            return (self.subjects.find(name), counted);
        }
        let Some(closed) = self.closed.get(block) else { return (None, 0) };
        let mut missing: Vec<(u32, u32)> = closed.summary.iter().collect();
        for (_, header) in opened.headers_from(0) {
            let name = opened.bytes.get(header.subject.clone()).unwrap_or_default();
            if closed.facts.gone.contains(header.at) {
                continue;
            }
            let subject = self.subjects.find(name);
            if let Some(entry) = missing.iter_mut().find(|(number, _)| Some(*number) == subject) {
                entry.1 = entry.1.saturating_sub(1);
            }
        }
        (missing.iter().find(|(_, count)| *count > 0).map(|(subject, _)| *subject), 0)
    }

    fn drop_if_dead(&mut self, block: usize) {
        match self.closed.get(block) {
            Some(closed) if closed.facts.live == 0 => {
                self.cache.borrow_mut().forget(self.stream, closed.facts.base);
                self.closed.remove(block);
            }
            None if self.tail.facts.live == 0 => self.reset_tail(),
            _ => {}
        }
    }

    /// Drops the first closed block, all of which is below `seq`.
    fn drop_front(&mut self, seq: u64) {
        let Some(block) = self.closed.pop_front() else { return };
        self.cache.borrow_mut().forget(self.stream, block.facts.base);
        self.messages -= u64::from(block.facts.live);
        self.bytes -= block.facts.bytes;
        for (subject, count) in block.summary.iter() {
            self.subjects.raise(subject, seq);
            if self.subjects.remove(subject, 0, u64::from(count)) {
                self.verdicts.forget(subject);
            }
        }
    }

    fn clear(&mut self) {
        self.cache.borrow_mut().forget_stream(self.stream);
        self.closed.clear();
        self.reset_tail();
        self.subjects.clear();
        self.verdicts.forget_all();
        self.messages = 0;
        self.bytes = 0;
    }

    fn reset_tail(&mut self) {
        self.tail.facts = Facts::default();
        self.tail.bytes.clear();
        self.tail.spots.clear();
        self.tail.subjects.clear();
    }

    pub(super) fn counted(&self, subject: usize, headers: usize, payload: usize) -> u64 {
        record_bytes(self.kind, subject, headers, payload)
    }
}

impl Facts {
    /// The first sequence after it.
    pub(in crate::store) fn end(&self) -> u64 {
        self.base.saturating_add(u64::from(self.span))
    }

    pub(super) fn has(&self, seq: u64) -> bool {
        self.place(seq).is_some_and(|at| !self.gone.contains(at))
    }

    /// Its first message at or after `from`.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        let from = u32::try_from(from.saturating_sub(self.base)).ok()?;
        let at = self.gone.next_absent(from);
        (at < self.span).then(|| self.base + u64::from(at))
    }

    /// Its last message at or before `up_to`.
    pub(super) fn previous(&self, up_to: u64) -> Option<u64> {
        let last = up_to.min(self.end().checked_sub(1)?);
        let at = u32::try_from(last.checked_sub(self.base)?).ok()?;
        self.gone.last_absent(at).map(|at| self.base + u64::from(at))
    }

    /// The first sequence after `seq`, which has a message, that has none, or the block's end.
    pub(super) fn run_end(&self, seq: u64) -> u64 {
        if self.gone.is_empty() {
            return self.end();
        }
        (seq..self.end()).find(|seq| !self.has(*seq)).unwrap_or_else(|| self.end())
    }

    /// Messages at or after `from`.
    pub(super) fn live_from(&self, from: u64) -> u64 {
        let from = u32::try_from(from.saturating_sub(self.base)).unwrap_or(u32::MAX);
        let below = from.min(self.span);
        u64::from(self.live) - u64::from(below - self.gone.count_below(below))
    }

    fn place(&self, seq: u64) -> Option<u32> {
        let at = u32::try_from(seq.checked_sub(self.base)?).ok()?;
        (at < self.span).then_some(at)
    }
}

impl Block {
    pub(in crate::store) fn salt(&self, stream: u64) -> Salt {
        Salt::new(stream, self.facts.base, self.facts.base_time)
    }
}

impl Tail {
    /// The index of the first record at or after `seq`.
    pub(super) fn position(&self, seq: u64) -> usize {
        let at = u32::try_from(seq.saturating_sub(self.facts.base)).unwrap_or(u32::MAX);
        spot_from(&self.spots, at)
    }

    /// Sequence and subject of the record at `position`, unless it is gone.
    pub(super) fn live(&self, position: usize) -> Option<(u64, u32)> {
        let at = self.spots.get(position)?.at;
        let subject = self.subjects.get(position)?;
        (!self.facts.gone.contains(at)).then(|| (self.facts.base + u64::from(at), *subject))
    }
}

/// A block's bytes and where its records are.
#[derive(Clone, Copy)]
pub(super) struct Opened<'c> {
    pub(super) bytes: &'c [u8],
    pub(super) base_time: u64,
    spots: &'c [Spot],
    base: u64,
    salt: Salt,
}

impl<'c> Opened<'c> {
    fn new(stream: u64, facts: &Facts, bytes: &'c [u8], spots: &'c [Spot]) -> Self {
        let salt = Salt::new(stream, facts.base, facts.base_time);
        Self { bytes, spots, base: facts.base, base_time: facts.base_time, salt }
    }

    pub(super) fn salt(&self) -> Salt {
        self.salt
    }

    pub(super) fn header(&self, seq: u64) -> Option<Header> {
        self.headers_from(seq).next().filter(|(found, _)| *found == seq).map(|(_, header)| header)
    }

    /// Records at or after `from`, gone ones too.
    pub(super) fn headers_from(&self, from: u64) -> impl Iterator<Item = (u64, Header)> + use<'c> {
        let Self { bytes, spots, base, salt, .. } = *self;
        let at = u32::try_from(from.saturating_sub(base)).unwrap_or(u32::MAX);
        let rest = spots.get(spot_from(spots, at)..).unwrap_or_default();
        rest.iter().filter_map(move |spot| {
            let header = Header::parse(bytes, spot.start as usize, salt)?;
            Some((base + u64::from(header.at), header))
        })
    }

    /// Records at or before `up_to`, last first, gone ones too.
    pub(super) fn headers_back(&self, up_to: u64) -> impl Iterator<Item = (u64, Header)> + use<'c> {
        let Self { bytes, spots, base, salt, .. } = *self;
        let end = up_to.checked_sub(base).map_or(0, |at| {
            spot_from(spots, u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1))
        });
        spots[..end].iter().rev().filter_map(move |spot| {
            let header = Header::parse(bytes, spot.start as usize, salt)?;
            Some((base + u64::from(header.at), header))
        })
    }
}
