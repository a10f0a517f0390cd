//! The outgoing half of one data lane: the batch being filled and those that
//! wait for room.
//!
//! Bounds: [`SEALED_MAX`] batches wait before the lane counts as full; then
//! every connection that publishes into it is paused after the message at
//! hand, so the overshoot is one message per connection, plus the entries that
//! were returned here.

use std::collections::VecDeque;

use super::connection::ConnKey;
use super::entry::{self, Batch, Head, QueuePick, BATCH_BYTES};
use crate::proto::Publish;

/// Sealed batches that may wait before publishers are paused.
const SEALED_MAX: usize = 4;

/// Empty buffers kept for reuse.
const SPARE_MAX: usize = 16;

/// What one shard sends to one other.
#[derive(Debug, Default)]
pub(super) struct LaneOut {
    current: Batch,
    sealed: VecDeque<Batch>,
    spare: Vec<Vec<u8>>,
    appended: u64,
    /// Position of the last entry that was returned to its origin.
    last_return: u64,
    /// Entries pushed so far.
    pushed: u64,
    /// Connections that wait for room.
    waiting: Vec<ConnKey>,
}

impl LaneOut {
    /// Appends an entry, routed by `to` or, if that is empty, by its subject.
    pub(super) fn append(
        &mut self,
        head: &Head,
        picks: &[QueuePick],
        to: &[u8],
        message: &Publish<'_>,
    ) {
        let bytes = entry::encoded_bytes_max(to, message, picks.len());
        if self.current.bytes.len() + bytes > BATCH_BYTES {
            self.seal();
        }
        if self.current.bytes.capacity() == 0 {
            self.current.bytes =
                self.spare.pop().unwrap_or_else(|| Vec::with_capacity(BATCH_BYTES));
        }
        entry::encode(&mut self.current.bytes, head, picks, to, message);
        self.current.entries += 1;
        self.appended += 1;
        if head.kind != entry::Kind::Message {
            self.last_return = self.appended;
        }
    }

    /// Entries appended so far, pushed or not.
    pub(super) fn appended(&self) -> u64 {
        self.appended
    }

    /// Whether publishers into this lane have to wait.
    pub(super) fn is_full(&self) -> bool {
        self.sealed.len() >= SEALED_MAX
    }

    /// Remembers that `connection` waits for room.
    pub(super) fn wait(&mut self, connection: ConnKey) {
        self.waiting.push(connection);
    }

    /// Connections that wait for room.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether an entry that was returned to its origin is not pushed yet.
    pub(super) fn returns_unpushed(&self) -> bool {
        self.last_return > self.pushed
    }

    /// Whether something waits to be pushed.
    pub(super) fn has_batch(&self) -> bool {
        !self.sealed.is_empty() || self.current.entries > 0
    }

    /// The next batch to push.
    pub(super) fn next_batch(&mut self) -> Option<Batch> {
        let batch = match self.sealed.pop_front() {
            Some(batch) => batch,
            None if self.current.entries == 0 => return None,
            None => std::mem::take(&mut self.current),
        };
        self.pushed += u64::from(batch.entries);
        Some(batch)
    }

    /// Puts a batch that found no room back to the front.
    pub(super) fn put_back(&mut self, batch: Batch) {
        self.pushed -= u64::from(batch.entries);
        self.sealed.push_front(batch);
    }

    /// To be called after pushing: who may go on, if there is room again.
    pub(super) fn after_push(&mut self) -> Vec<ConnKey> {
        if self.is_full() || self.waiting.is_empty() {
            return Vec::new();
        }
        std::mem::take(&mut self.waiting)
    }

    /// Takes back the buffer of a batch that its receiver has routed.
    pub(super) fn recycle(&mut self, mut batch: Batch) {
        if batch.bytes.capacity() == BATCH_BYTES && self.spare.len() < SPARE_MAX {
            batch.bytes.clear();
            self.spare.push(batch.bytes);
        }
    }

    fn seal(&mut self) {
        if self.current.entries > 0 {
            self.sealed.push_back(std::mem::take(&mut self.current));
        }
    }
}
