//! Streams in memory: the same index and the same blocks, without a journal.
//! Nothing of them is left after a restart.

use std::cell::RefCell;
use std::rc::Rc;

use super::index::{body_crc, BlockSource, Blocks, Cache, SegmentPlace};
use super::{
    Commit, Extent, Message, ReadError, Record, StorageKind, StoreError, Stores, StreamId,
    StreamStore, SubjectState,
};

/// A stream in memory. Every change is final at once.
#[derive(Debug)]
pub struct MemoryStore {
    blocks: RefCell<Blocks>,
}

impl MemoryStore {
    /// An empty stream; `seed` is a secret that keys the hash of its subjects.
    pub fn new(seed: u64) -> Self {
        Self::counting_as(StorageKind::Memory, seed)
    }

    /// The same, but messages count for what they would as files: for tests of file streams.
    pub fn counting_as(kind: StorageKind, seed: u64) -> Self {
        let cache = Rc::new(RefCell::new(Cache::new(MEMORY_CACHE_SLOTS)));
        Self { blocks: RefCell::new(Blocks::new(1, kind, seed, cache, Rc::new(Nowhere))) }
    }
}

/// Blocks whose records are remembered; their bytes are in memory anyway.
const MEMORY_CACHE_SLOTS: usize = 4;

/// Blocks in memory are never read from anywhere.
#[derive(Debug)]
struct Nowhere;

impl BlockSource for Nowhere {
    fn read(&self, _: u64, _: SegmentPlace, _: &mut Vec<u8>) -> Result<(), String> {
        Err(String::from("a block in memory has no file"))
    }
}

impl StreamStore for MemoryStore {
    fn kind(&self) -> StorageKind {
        self.blocks.borrow().kind()
    }

    fn extent(&self) -> Extent {
        self.blocks.borrow_mut().extent()
    }

    fn subject_count(&self) -> u64 {
        self.blocks.borrow().subject_count()
    }

    fn staged(&self) -> Commit {
        Commit::NONE
    }

    fn append(&mut self, record: &Record<'_>) -> u64 {
        self.blocks.get_mut().append(record, body_crc(record))
    }

    fn skip_to(&mut self, seq: u64) {
        self.blocks.get_mut().skip_to(seq);
    }

    fn remove(&mut self, seq: u64, _erase: bool) -> bool {
        self.blocks.get_mut().remove(seq)
    }

    fn remove_below(&mut self, seq: u64) -> u64 {
        self.blocks.get_mut().remove_below(seq)
    }

    fn begin_group(&mut self) {}

    fn end_group(&mut self) {}

    fn note(&mut self, _bytes: &[u8]) {}

    fn read(&mut self, seq: u64, into: &mut Message) -> Result<bool, ReadError> {
        self.blocks.get_mut().read(seq, into)
    }

    fn contains(&self, seq: u64) -> bool {
        self.blocks.borrow().contains(seq)
    }

    fn next_seq(&self, from: u64) -> Option<u64> {
        self.blocks.borrow().next_seq(from)
    }

    fn seq_at_time(&mut self, time: u64) -> u64 {
        self.blocks.get_mut().seq_at_time(time)
    }

    fn subject(&self, subject: &[u8]) -> Option<SubjectState> {
        self.blocks.borrow_mut().subject(subject)
    }

    fn for_each_subject(
        &self,
        filters: &[Box<[u8]>],
        visit: &mut dyn FnMut(&[u8], SubjectState) -> bool,
    ) {
        each_subject(&self.blocks, filters, visit);
    }

    fn first_matching(&mut self, filters: &[Box<[u8]>], from: u64) -> Option<u64> {
        self.blocks.get_mut().first_matching(filters, from)
    }

    fn last_matching(&mut self, filters: &[Box<[u8]>], up_to: u64) -> Option<u64> {
        self.blocks.get_mut().last_matching(filters, up_to)
    }

    fn count_matching(&mut self, filters: &[Box<[u8]>], from: u64) -> u64 {
        self.blocks.get_mut().count_matching(filters, from)
    }

    fn for_each_gap(&self, visit: &mut dyn FnMut(u64, u64) -> bool) {
        each_gap(&self.blocks, visit);
    }
}

/// Answers are fetched in parts, so that no borrow is held while `visit` runs.
const PART: usize = 256;

/// Visits subjects in parts. See [`StreamStore::for_each_subject`].
pub(super) fn each_subject(
    blocks: &RefCell<Blocks>,
    filters: &[Box<[u8]>],
    visit: &mut dyn FnMut(&[u8], SubjectState) -> bool,
) {
    let mut from: Vec<u8> = Vec::new();
    loop {
        let part = blocks.borrow_mut().subjects_from(filters, &from, PART);
        let is_last = part.len() < PART;
        for (name, state) in &part {
            if !visit(name, *state) {
                return;
            }
        }
        let Some((name, _)) = part.last().filter(|_| !is_last) else { return };
        from.clear();
        from.extend_from_slice(name);
        // The first name after it.
        from.push(0);
    }
}

/// Visits gaps in parts. See [`StreamStore::for_each_gap`].
pub(super) fn each_gap(blocks: &RefCell<Blocks>, visit: &mut dyn FnMut(u64, u64) -> bool) {
    let mut from = 0;
    loop {
        let part = blocks.borrow().gaps_from(from, PART);
        let is_last = part.len() < PART;
        for (first, last) in &part {
            if !visit(*first, *last) {
                return;
            }
        }
        let Some((_, last)) = part.last().filter(|_| !is_last) else { return };
        from = last + 1;
    }
}

/// Streams in memory only, each with its own [`MemoryStore`].
#[derive(Debug)]
pub struct MemoryStores {
    seed: u64,
    streams: u64,
}

impl MemoryStores {
    /// No streams; `seed` is a secret that keys hashes.
    pub fn new(seed: u64) -> Self {
        Self { seed, streams: 0 }
    }
}

impl Stores for MemoryStores {
    /// A stream of either kind is kept in memory, and counts its messages as its kind does.
    fn create(
        &mut self,
        kind: StorageKind,
        _head: &[u8],
    ) -> Result<(StreamId, Box<dyn StreamStore>), StoreError> {
        self.streams += 1;
        let store = MemoryStore::counting_as(kind, self.seed.wrapping_add(self.streams));
        Ok((StreamId(self.streams), Box::new(store)))
    }

    fn delete(&mut self, _id: StreamId, store: Box<dyn StreamStore>) -> Commit {
        drop(store);
        Commit::NONE
    }
}
