//! How the streams' own files catch up with the journal.
//!
//! A checkpoint asks the owner of each stream that changed for a snapshot, and
//! captures with it what the index knows at that moment: blocks that are in no
//! segment yet, indexes of segments that changed, the open block, and the place
//! in the journal up to which all of this holds. It is written once that place
//! is durable: segments first, then indexes, then the state, over the older of
//! the two there are. Journal files that even the older state covers are used
//! again; a stream that changed is therefore written once more at the checkpoint
//! after. The open block travels in the state instead of being logged again: a
//! changed stream costs one write of its state in any case.

use std::collections::BTreeSet;

use super::files::FileName;
use super::index::Leaving;
use super::job::{Job, Part, Step};
use super::journal::Position;
use super::reclaim::{overwrites, Erasure, REWRITES};
use super::segment::stream_dir;
use super::state::{state_path, SegmentEntry, State, TailEntry};
use super::store::{Store, Stream, CAPTURED_MAX};
use super::vault::Area;
use super::StreamId;

/// A state that waits to be written, or is being written.
#[derive(Debug)]
pub(super) struct Captured {
    covered: Position,
    /// The commit that must be durable before the state may be.
    after: u64,
    named: BTreeSet<FileName>,
    leaving: Vec<Leaving>,
    /// Segments whose indexes are new.
    pub(super) indexed: Vec<u32>,
    pub(super) steps: Vec<Step>,
    /// What its steps overwrite.
    erasures: Vec<Erasure>,
    /// It is one of the states that are to be written anew.
    is_rewrite: bool,
    /// Where the open block begins that it carries.
    tail: u64,
}

impl Store {
    /// A stream whose owner is to call [`put_snapshot`](Self::put_snapshot) now, if there is one.
    pub fn snapshot_wanted(&self) -> Option<StreamId> {
        if self.journal.is_failing() || self.captured.len() >= CAPTURED_MAX {
            return None;
        }
        // One state at a time: the next one goes over the one before.
        let can_be_asked = |id: &&u64| {
            self.streams.get(id).is_some_and(|stream| {
                stream.captured.is_none() && !stream.is_busy && stream.forced.is_empty()
            })
        };
        self.wanted.iter().find(can_be_asked).map(|id| StreamId(*id))
    }

    /// What the owner of a stream knows now: after a restart it gets this, and what happened to
    /// the stream since.
    pub fn put_snapshot(&mut self, id: StreamId, snapshot: &[u8]) {
        let (position, after) = {
            let staging = self.staging.borrow();
            (staging.position(), staging.last_commit())
        };
        self.collect_erasures();
        let erased = self.erased_steps();
        let journal = self.journal.identity();
        let bytes_max = self.options.segment_bytes_max;
        let Some(stream) = self.streams.get_mut(&id.0) else { return };
        if stream.captured.is_some() || stream.is_busy || self.journal.is_failing() {
            return;
        }
        stream.is_wanted = false;
        // It is among the first.
        if let Some(at) = self.wanted.iter().position(|wanted| *wanted == id.0) {
            self.wanted.remove(at);
        }
        let erasures = stream.take_erasures();
        let mut captured = stream.capture(position, journal, bytes_max, snapshot);
        if !erasures.is_empty() {
            let steps = erased.into_iter().chain(overwrites(id.0, &erasures));
            captured.steps.splice(..0, steps);
            captured.erasures = erasures;
        }
        captured.after = after;
        stream.captured = Some(captured);
        self.captured.push_back(id.0);
    }

    pub(super) fn want_snapshot(&mut self, id: u64) {
        if let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_wanted) {
            stream.is_wanted = true;
            self.wanted.push_back(id);
        }
    }

    /// Starts one, unless there is too little for it, or the one before is not done: a stream whose
    /// files cannot be written holds up the others, rather than the journal growing without end.
    pub(super) fn start_checkpoint_if_due(&mut self) {
        let is_due = self.journal.bytes() >= self.options.checkpoint_bytes;
        if is_due && self.failed.is_empty() && !self.is_checkpointing() {
            self.start_checkpoint();
        }
    }

    pub(super) fn start_checkpoint(&mut self) {
        self.journal.start_count();
        let is_uncovered = |stream: &Stream| stream.shared.changed.get() >= stream.files.covered[0];
        let changed: Vec<u64> = self
            .streams
            .iter()
            .filter(|(_, stream)| is_uncovered(stream))
            .map(|(id, _)| *id)
            .collect();
        for id in changed {
            self.want_snapshot(id);
        }
        self.release_journal();
    }

    /// The next state that may be written.
    pub(super) fn next_checkpoint(&mut self) -> Option<Job> {
        let durable = self.staging.borrow().durable();
        let can_go = |id: &u64| {
            self.streams.get(id).is_some_and(|stream| {
                !stream.is_busy
                    && stream.captured.as_ref().is_some_and(|captured| captured.after <= durable)
            })
        };
        let at = self.captured.iter().position(can_go)?;
        let id = self.captured.remove(at)?;
        let captured = self.streams.get_mut(&id)?.captured.take()?;
        Some(self.checkpoint_job(id, captured))
    }

    pub(super) fn handle_checkpointed(&mut self, id: u64, captured: Captured, is_done: bool) {
        self.set_busy(id, false);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !is_done {
            if !captured.erasures.is_empty() {
                stream.erasing.extend(captured.erasures);
                self.erasing.insert(id);
            }
            if captured.is_rewrite {
                stream.rewrites = REWRITES;
                self.rewriting.insert(id);
            }
            // The older state may be destroyed: the next attempt overwrites it again.
            stream.files.forget_indexes(&captured.indexed);
            self.abandon_writes(id);
            self.retry_later(id);
            return;
        }
        let files = &mut stream.files;
        files.has_dir = true;
        files.generation += 1;
        files.is_trusted |= files.generation == 1;
        files.covered = [files.covered[1], captured.covered];
        files.named[0] = std::mem::replace(&mut files.named[1], captured.named);
        files.tails = [files.tails[1], captured.tail];
        let unneeded = files.take_unneeded();
        // From now on both states are known.
        files.is_trusted = true;
        {
            let mut blocks = stream.shared.blocks.borrow_mut();
            for block in &captured.leaving {
                blocks.arrive(block.head.base, block.place);
            }
        }
        if stream.erasing.is_empty() {
            self.erasing.remove(&id);
        }
        if stream.rewrites > 0 {
            self.rewriting.insert(id);
        }
        for file in unneeded {
            self.remove_later(Step::Remove(file.path(id)));
        }
        self.note_sparse(id);
        // Every stream is looked at for that: once, and not for each that is done.
        if !self.is_checkpointing() {
            self.release_journal();
        }
        if self.is_behind() {
            // Commits have waited for this, and none comes that would look for the next one.
            self.start_checkpoint_if_due();
        }
    }
}

impl Stream {
    fn capture(
        &mut self,
        position: Position,
        journal: u64,
        segment_bytes_max: u32,
        snapshot: &[u8],
    ) -> Captured {
        let id = self.shared.id.0;
        let head = &self.shared.file_head;
        let files = &mut self.files;
        let mut blocks = self.shared.blocks.borrow_mut();
        let leaving = blocks.place_all(|len| files.choose(len, head.len(), segment_bytes_max));
        let mut steps = files.writes(id, head, &leaving);
        let lost = blocks.take_changed();
        let live = blocks.segments();
        files.keep_segments(|segment| live.contains_key(&segment));
        let mut indexed = Vec::new();
        let mut entries = Vec::new();
        let mut named = BTreeSet::new();
        for (segment, has_gone) in live {
            let file = files.segments.get(&segment).copied().unwrap_or_default();
            let mut version = file.version;
            if file.is_changed || version == 0 || lost.contains(&segment) {
                version = files.new_version();
                files.set_version(segment, version);
                files.on_disk.insert(FileName::Index(segment, version));
                indexed.push(segment);
                let index = blocks.index_of(segment, version).encode();
                let path = FileName::Index(segment, version).path(id);
                let part = Part::Wrapped(Area::Index(id), index);
                steps.push(Step::Write { path, parts: vec![(0, part)] });
            }
            named.extend([FileName::Segment(segment), FileName::Index(segment, version)]);
            entries.push(SegmentEntry { segment, end: file.end, version, has_gone });
        }
        let (first_seq, last_seq) = blocks.ends();
        let tail = blocks.tail();
        let tail_base = tail.map_or_else(|| last_seq.saturating_add(1), |(facts, _)| facts.base);
        let is_rewrite = self.rewrites > 0;
        self.rewrites = self.rewrites.saturating_sub(1);
        let state = State {
            stream: id,
            generation: files.generation + 1,
            journal,
            covered: position,
            changed: self.shared.changed.get(),
            head: self.shared.head.clone(),
            first_seq,
            last_seq,
            last_time: blocks.last_time(),
            messages: blocks.messages(),
            segments: entries,
            tail: tail.map(|(facts, records)| TailEntry {
                facts: facts.clone(),
                records: records.to_vec(),
            }),
            snapshot: snapshot.into(),
        };
        steps.push(Step::SyncDir(stream_dir(id)));
        let path = state_path(id, state.generation);
        let part = Part::Wrapped(Area::State(id), state.encode());
        steps.push(Step::Replace { path, part });
        steps.push(Step::SyncDir(stream_dir(id)));
        Captured {
            covered: position,
            after: position.commit,
            named,
            leaving,
            indexed,
            steps,
            erasures: Vec::new(),
            is_rewrite,
            tail: tail_base,
        }
    }
}
