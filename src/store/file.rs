//! A stream on disk, as its state machine sees it: the index, and the journal's
//! staging that every change goes into.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::index::{body_crc, Blocks};
use super::journal::{Event, EventKind, Position, Staging};
use super::memory::{each_gap, each_subject};
use super::reclaim::Erasure;
use super::{
    Commit, Extent, Message, ReadError, Record, StorageKind, StreamId, StreamStore, SubjectState,
};

/// What the store and the stream's owner share of a stream.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: StreamId,
    /// Who the stream is, for its owner.
    pub(super) head: Box<[u8]>,
    /// The same as segments have it.
    pub(super) file_head: Box<[u8]>,
    pub(super) blocks: RefCell<Blocks>,
    /// Where its last event stands.
    pub(super) changed: Cell<Position>,
    /// It was reloaded or removed: the owner has an old handle.
    pub(super) is_detached: Cell<bool>,
}

/// A stream on disk. Made by [`Store`](super::Store).
#[derive(Debug)]
pub(super) struct FileStream {
    pub(super) shared: Rc<Shared>,
    pub(super) staging: Rc<RefCell<Staging>>,
    /// Streams with blocks that closed.
    pub(super) closed: Rc<RefCell<Vec<u64>>>,
    /// What was erased.
    pub(super) erased: Rc<RefCell<Vec<Erasure>>>,
}

impl FileStream {
    fn stage(&mut self, kind: EventKind, seq: u64, flag: u8, body: &[u8]) {
        if self.shared.is_detached.get() {
            return;
        }
        let stream = self.shared.id.0;
        let event = Event { kind, flag, stream, seq, body, body_crc: 0 };
        self.shared.changed.set(self.staging.borrow_mut().event(&event));
    }
}

impl StreamStore for FileStream {
    fn kind(&self) -> StorageKind {
        StorageKind::File
    }

    fn extent(&self) -> Extent {
        self.shared.blocks.borrow_mut().extent()
    }

    fn subject_count(&self) -> u64 {
        self.shared.blocks.borrow().subject_count()
    }

    fn staged(&self) -> Commit {
        let commit = self.shared.changed.get().commit;
        if commit <= self.staging.borrow().durable() {
            Commit::NONE
        } else {
            Commit(commit)
        }
    }

    fn append(&mut self, record: &Record<'_>) -> u64 {
        let crc = body_crc(record);
        let shared = &*self.shared;
        let mut blocks = shared.blocks.borrow_mut();
        let closed = blocks.closed_count();
        let seq = blocks.append(record, crc);
        if blocks.closed_count() > closed {
            self.closed.borrow_mut().push(shared.id.0);
        }
        if !shared.is_detached.get() {
            let position = self.staging.borrow_mut().message(shared.id.0, seq, record, crc);
            shared.changed.set(position);
        }
        seq
    }

    fn skip_to(&mut self, seq: u64) {
        self.shared.blocks.borrow_mut().skip_to(seq);
        self.stage(EventKind::SkipTo, seq, 0, b"");
    }

    fn remove(&mut self, seq: u64, erase: bool) -> bool {
        let (overwrite, was_there) = {
            let mut blocks = self.shared.blocks.borrow_mut();
            let overwrite = if erase { blocks.erase(seq) } else { None };
            (overwrite, blocks.remove(seq))
        };
        if was_there {
            self.stage(EventKind::Remove, seq, u8::from(erase), b"");
            if erase && !self.shared.is_detached.get() {
                let (stream, commit) = (self.shared.id.0, self.shared.changed.get().commit);
                self.erased.borrow_mut().push(Erasure { stream, seq, commit, overwrite });
            }
        }
        was_there
    }

    fn remove_below(&mut self, seq: u64) -> u64 {
        let (removed, has_moved) = {
            let mut blocks = self.shared.blocks.borrow_mut();
            let before = blocks.ends();
            (blocks.remove_below(seq), blocks.ends() != before)
        };
        if has_moved {
            self.stage(EventKind::RemoveBelow, seq, 0, b"");
        }
        removed
    }

    fn begin_group(&mut self) {
        self.staging.borrow_mut().begin_group();
    }

    fn end_group(&mut self) {
        self.staging.borrow_mut().end_group();
    }

    fn note(&mut self, bytes: &[u8]) {
        self.stage(EventKind::Note, 0, 0, bytes);
    }

    fn read(&mut self, seq: u64, into: &mut Message) -> Result<bool, ReadError> {
        self.shared.blocks.borrow_mut().read(seq, into)
    }

    fn contains(&self, seq: u64) -> bool {
        self.shared.blocks.borrow().contains(seq)
    }

    fn next_seq(&self, from: u64) -> Option<u64> {
        self.shared.blocks.borrow().next_seq(from)
    }

    fn seq_at_time(&mut self, time: u64) -> u64 {
        self.shared.blocks.borrow().seq_at_time(time)
    }

    fn subject(&self, subject: &[u8]) -> Option<SubjectState> {
        self.shared.blocks.borrow_mut().subject(subject)
    }

    fn for_each_subject(
        &self,
        filters: &[Box<[u8]>],
        visit: &mut dyn FnMut(&[u8], SubjectState) -> bool,
    ) {
        each_subject(&self.shared.blocks, filters, visit);
    }

    fn first_matching(&mut self, filters: &[Box<[u8]>], from: u64) -> Option<u64> {
        self.shared.blocks.borrow_mut().first_matching(filters, from)
    }

    fn last_matching(&mut self, filters: &[Box<[u8]>], up_to: u64) -> Option<u64> {
        self.shared.blocks.borrow_mut().last_matching(filters, up_to)
    }

    fn count_matching(&mut self, filters: &[Box<[u8]>], from: u64) -> u64 {
        self.shared.blocks.borrow_mut().count_matching(filters, from)
    }

    fn for_each_gap(&self, visit: &mut dyn FnMut(u64, u64) -> bool) {
        each_gap(&self.shared.blocks, visit);
    }
}
