//! The durable streams of a shard. See the module's documentation for the loop that drives it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use super::checkpoint::Captured;
use super::disk::Disk;
use super::file::{FileStream, Shared};
use super::files::StreamFiles;
use super::index::{Blocks, Cache, SegmentPlace, CACHE_SLOTS};
use super::job::{Done, Job, JobResult, Part, Step};
use super::journal::{
    file_path, Event, EventKind, Journal, JournalWrite, Position, Sealed, Staging, DIR,
};
use super::mark::{CleanMark, CLEAN_PATH};
use super::reclaim::Erasure;
use super::segment::{stream_dir, SegmentReader, STREAMS_DIR};
use super::vault::{Area, Vault};
use super::{Commit, MemoryStore, StorageKind, StoreError, Stores, StreamId, StreamStore};

/// Sizes and secrets of a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Random, and secret: keys hashes, and names a new journal.
    pub seed: u64,
    /// The largest journal file.
    pub journal_bytes_max: u64,
    /// Journal bytes after which streams are checkpointed: what a restart after a kill replays.
    pub checkpoint_bytes: u64,
    /// The largest segment.
    pub segment_bytes_max: u32,
    /// Bytes of a stream's closed blocks that are moved to a segment at once.
    pub batch_bytes: usize,
    /// The keys, if everything is to be encrypted.
    pub vault: Option<Arc<Vault>>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            journal_bytes_max: 64 << 20,
            checkpoint_bytes: 64 << 20,
            segment_bytes_max: 16 << 20,
            batch_bytes: 4 << 20,
            vault: None,
        }
    }
}

/// Bytes on the disk, and those that are not yet where they stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// Size of the journal's files.
    pub journal: u64,
    /// Size of the segments.
    pub segments: u64,
    /// Bytes of blocks that are in memory and in the journal only.
    pub carried: u64,
}

/// The store of a shard. See the module's documentation.
#[derive(Debug)]
pub struct Store {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: StoreOptions,
    pub(super) journal: Journal,
    pub(super) staging: Rc<RefCell<Staging>>,
    /// Streams with blocks that closed since somebody looked.
    closed: Rc<RefCell<Vec<u64>>>,
    /// What streams have erased since somebody looked.
    pub(super) erased: Rc<RefCell<Vec<Erasure>>>,
    /// Journal files up to this one may hold what was erased, and the disk knows that for files
    /// up to the other.
    pub(super) erased_files: u64,
    pub(super) erased_marked: u64,
    /// Streams with bodies to be overwritten.
    pub(super) erasing: BTreeSet<u64>,
    /// Streams whose states are to be written anew.
    pub(super) rewriting: BTreeSet<u64>,
    /// Streams with segments that are mostly dead.
    pub(super) compacting: BTreeSet<u64>,
    pub(super) cache: Rc<RefCell<Cache>>,
    pub(super) source: Rc<SegmentReader>,
    pub(super) streams: BTreeMap<u64, Stream>,
    pub(super) deleted: Vec<Deleted>,
    pub(super) next_stream: u64,
    next_job: u64,
    running: BTreeMap<u64, Running>,
    /// Streams with blocks to be moved.
    moving: BTreeSet<u64>,
    /// Streams whose owner is to be asked for a snapshot.
    pub(super) wanted: VecDeque<u64>,
    /// Streams with a state that waits to be written.
    pub(super) captured: VecDeque<u64>,
    /// Streams whose state could not be written; asked again by [`resume`](Self::resume).
    pub(super) failed: Vec<u64>,
    removable: Vec<Step>,
    has_job_failed: bool,
    /// No work but the journal's is handed out: some has failed.
    is_held: bool,
    /// Streams that a rollback has let go of and not brought back yet.
    pub(super) unread: BTreeSet<u64>,
    rest: Rest,
    /// Commits that were read when it was opened.
    pub(super) replayed: usize,
}

/// How far a store is on its way to a clean stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Working,
    /// All changes are to go to the streams' files.
    Asked,
    /// Nothing is committed any more, and the mark is to be written.
    Closed,
    /// It is being written.
    Marking,
    /// It is there, or cannot be written.
    Reached,
}

/// A stream as the store keeps it.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) shared: Rc<Shared>,
    pub(super) files: StreamFiles,
    /// A job is at its files.
    pub(super) is_busy: bool,
    pub(super) captured: Option<Captured>,
    pub(super) is_wanted: bool,
    /// The commit it was made in: before that is durable it has no files.
    pub(super) made: u64,
    /// Bodies that are to be overwritten.
    pub(super) erasing: Vec<Erasure>,
    /// States that are to be written anew though nothing changes.
    pub(super) rewrites: u8,
    /// Segments that are mostly dead.
    pub(super) sparse: Vec<u32>,
    /// Segments that are written anew for the sake of what was erased in a commit.
    pub(super) forced: BTreeMap<u32, u64>,
    /// Segments that stay as they are.
    pub(super) packed: BTreeSet<u32>,
}

/// A stream that is removed, and whose files are not yet.
#[derive(Debug)]
pub(super) struct Deleted {
    pub(super) stream: u64,
    pub(super) position: Position,
    pub(super) is_busy: bool,
}

/// What a job is for.
#[derive(Debug)]
pub(super) enum Running {
    Prepare,
    Move { stream: u64, places: Vec<(u64, SegmentPlace)> },
    Checkpoint { stream: u64, captured: Box<Captured> },
    Delete { stream: u64 },
    Remove,
    Mark,
    Erase { stream: u64, erasures: Vec<Erasure>, marked: u64 },
    Zero { file: Sealed },
    Compact { stream: u64, from: Vec<u32>, places: Vec<(u64, SegmentPlace)> },
}

/// States that wait in memory to be written.
pub(super) const CAPTURED_MAX: usize = 4;

impl Store {
    pub(super) fn with_journal(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        journal: Journal,
        next_stream: u64,
    ) -> Self {
        let source = Rc::new(SegmentReader::new(Arc::clone(&disk), options.vault.clone()));
        Self {
            disk,
            staging: Rc::clone(journal.staging()),
            journal,
            closed: Rc::new(RefCell::new(Vec::new())),
            erased: Rc::new(RefCell::new(Vec::new())),
            erased_files: 0,
            erased_marked: 0,
            erasing: BTreeSet::new(),
            rewriting: BTreeSet::new(),
            compacting: BTreeSet::new(),
            cache: Rc::new(RefCell::new(Cache::new(CACHE_SLOTS))),
            source,
            streams: BTreeMap::new(),
            deleted: Vec::new(),
            next_stream,
            next_job: 1,
            running: BTreeMap::new(),
            moving: BTreeSet::new(),
            wanted: VecDeque::new(),
            captured: VecDeque::new(),
            failed: Vec::new(),
            removable: Vec::new(),
            has_job_failed: false,
            is_held: false,
            unread: BTreeSet::new(),
            rest: Rest::Working,
            replayed: 0,
            options,
        }
    }

    /// The last commit that is durable: what depends on it, or on one before it, may be told.
    /// While there is a failure it stands still.
    pub fn durable(&self) -> Commit {
        Commit(self.staging.borrow().durable())
    }

    /// Bytes that are staged and not yet being written. Whoever takes in messages bounds them.
    pub fn staged_bytes(&self) -> usize {
        self.staging.borrow().bytes()
    }

    /// What is to be written to the journal now, if anything: everything staged, in one write. It
    /// comes back with [`handle_written`](Self::handle_written); until then there is no other.
    pub fn take_write(&mut self) -> Option<JournalWrite> {
        if self.is_behind() {
            if self.has_job_failed && self.running.is_empty() {
                // Nothing can be moved out of the journal: rather refuse than wait for ever.
                self.journal.refuse();
            }
            if !self.journal.is_failing() {
                return None;
            }
        }
        self.journal.take_write(self.next_stream)
    }

    /// The write is durable, or has failed in any way, a short one included.
    pub fn handle_written(&mut self, write: JournalWrite, outcome: &io::Result<()>) {
        self.journal.handle_written(write, outcome.is_ok());
        if outcome.is_ok() {
            self.take_removable();
            self.start_checkpoint_if_due();
        }
    }

    /// Work for the helper pool, if there is any. It comes back with
    /// [`handle_job_done`](Self::handle_job_done), in any order. After some of it has failed there
    /// is none but the journal's own until [`resume`](Self::resume): a full disk would be
    /// written to without end.
    pub fn take_job(&mut self) -> Option<Job> {
        if self.rest == Rest::Closed {
            return Some(self.mark());
        }
        if self.rest == Rest::Marking || self.rest == Rest::Reached {
            return None;
        }
        if let Some(request) = self.journal.take_request() {
            return Some(self.job(Running::Prepare, vec![Step::Prepare(request)]));
        }
        if self.journal.is_failing() || self.is_held {
            return None;
        }
        self.collect_erasures();
        self.want_rewrites();
        self.next_checkpoint()
            .or_else(|| self.next_move())
            .or_else(|| self.next_erasure())
            .or_else(|| self.next_removal())
            .or_else(|| self.next_zeroing())
            .or_else(|| self.next_compaction())
    }

    /// A job is done.
    pub fn handle_job_done(&mut self, result: JobResult) {
        let Some(running) = self.running.remove(&result.id) else { return };
        if !matches!(running, Running::Prepare) {
            self.has_job_failed = result.outcome.is_err();
            self.is_held |= result.outcome.as_ref().is_err_and(is_of_the_device);
        }
        match running {
            Running::Prepare => {
                let prepared = match result.outcome {
                    Ok(Done::Prepared(prepared)) => Some(prepared),
                    _ => None,
                };
                self.journal.handle_prepared(prepared);
            }
            Running::Erase { stream, erasures, marked } => {
                self.handle_erased(stream, erasures, marked, result.outcome.is_ok());
            }
            Running::Zero { file } => {
                self.journal.handle_zeroed(file, result.outcome.is_ok());
                self.take_removable();
            }
            Running::Compact { stream, from, places } => {
                self.collect_erasures();
                self.handle_compacted(stream, &from, &places, result.outcome);
            }
            Running::Move { stream, places } => {
                self.handle_moved(stream, &places, result.outcome.is_ok());
            }
            Running::Checkpoint { stream, captured } => {
                self.handle_checkpointed(stream, *captured, result.outcome.is_ok());
            }
            Running::Delete { stream } => {
                if result.outcome.is_ok() {
                    self.deleted.retain(|deleted| deleted.stream != stream);
                    if self.deleted.is_empty() {
                        self.release_journal();
                    }
                } else {
                    self.set_busy(stream, false);
                }
            }
            // What could not be removed is removed after the next start.
            Running::Remove => {}
            // Without it the next start takes longer, and that is all.
            Running::Mark => self.rest = Rest::Reached,
        }
    }

    /// The last commit that counts, once all later ones have failed: whatever waits for them
    /// fails, and then [`rollback`](Self::rollback) is called.
    pub fn failure(&self) -> Option<Commit> {
        let is_settled = self.running.values().all(|running| matches!(running, Running::Prepare));
        self.journal.failure().filter(|_| is_settled).map(Commit)
    }

    /// Asks for a checkpoint of everything that changed, as before a stop.
    pub fn checkpoint(&mut self) {
        self.start_checkpoint();
    }

    /// Whether every change is durable in the streams' own files, so that a start has nothing to
    /// replay.
    pub fn is_checkpointed(&self) -> bool {
        let is_covered = |stream: &Stream| stream.shared.changed.get() < stream.files.covered[1];
        self.streams.values().all(is_covered) && self.deleted.is_empty()
    }

    /// Brings the store to rest: everything goes to the streams' own files, then nothing is
    /// committed any more, and a mark is written that lets the next start leave the journal
    /// alone. To be called until it returns true, with jobs and writes done in between.
    pub fn stop(&mut self) -> bool {
        if self.rest == Rest::Working {
            self.rest = Rest::Asked;
            self.start_checkpoint();
        }
        let is_quiet = self.is_idle() && !self.journal.is_failing();
        let has_nothing = self.staging.borrow().bytes() == 0
            && self.erasing.is_empty()
            && self.rewriting.is_empty()
            && self.compacting.is_empty()
            && self.removable.is_empty()
            && !self.journal.has_tainted();
        if self.rest == Rest::Asked && is_quiet && has_nothing && self.is_checkpointed() {
            self.journal.close();
            self.rest = Rest::Closed;
        }
        self.rest == Rest::Reached
    }

    /// Whether work has failed and waits for [`resume`](Self::resume).
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// What has failed may be tried again: to be called a moment after that.
    pub fn resume(&mut self) {
        self.is_held = false;
        for stream in std::mem::take(&mut self.failed) {
            self.want_snapshot(stream);
        }
    }

    /// Whether commits are refused because the streams' own files are far behind and cannot be
    /// written. Whoever takes in messages refuses them rather than have them fail.
    pub fn is_refusing(&self) -> bool {
        self.has_job_failed && self.is_behind()
    }

    /// Whether nothing is being written, by the journal or by jobs.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.journal.is_idle()
    }

    /// What is where on the disk.
    pub fn disk_use(&self) -> DiskUse {
        let mut disk_use = DiskUse { journal: self.journal.size(), ..DiskUse::default() };
        for stream in self.streams.values() {
            disk_use.segments += stream.files.bytes();
            disk_use.carried += stream.shared.blocks.borrow().carried_bytes();
        }
        disk_use
    }

    /// Streams on disk, with how many messages they have.
    pub fn streams(&self) -> impl Iterator<Item = (StreamId, u64)> + '_ {
        self.streams
            .values()
            .map(|stream| (stream.shared.id, stream.shared.blocks.borrow().messages()))
    }

    /// A handle for the owner of a stream.
    pub(super) fn handle(&self, shared: &Rc<Shared>) -> Box<dyn StreamStore> {
        Box::new(FileStream {
            shared: Rc::clone(shared),
            staging: Rc::clone(&self.staging),
            closed: Rc::clone(&self.closed),
            erased: Rc::clone(&self.erased),
        })
    }

    pub(super) fn empty_blocks(&self, stream: u64) -> Blocks {
        let source: Rc<SegmentReader> = Rc::clone(&self.source);
        let seed = self.options.seed.wrapping_add(stream);
        Blocks::new(stream, StorageKind::File, seed, Rc::clone(&self.cache), source)
    }

    /// What segments repeat of the head.
    fn file_head(&self, stream: u64, head: &[u8]) -> Box<[u8]> {
        let mut head = head.to_vec();
        if let Some(vault) = &self.options.vault {
            if vault.seal(Area::Head(stream), &mut head).is_err() {
                // Whoever puts the stream together from its segments has no name for it.
                head.clear();
            }
        }
        head.into()
    }

    /// Takes a stream in; returns its shared part.
    pub(super) fn adopt(
        &mut self,
        id: u64,
        head: &[u8],
        blocks: Blocks,
        changed: Position,
        files: StreamFiles,
    ) -> Rc<Shared> {
        let shared = Rc::new(Shared {
            id: StreamId(id),
            head: head.into(),
            file_head: self.file_head(id, head),
            blocks: RefCell::new(blocks),
            changed: Cell::new(changed),
            is_detached: Cell::new(false),
        });
        let stream = Stream {
            shared: Rc::clone(&shared),
            files,
            is_busy: false,
            captured: None,
            is_wanted: false,
            made: 0,
            erasing: Vec::new(),
            rewrites: 0,
            sparse: Vec::new(),
            forced: BTreeMap::new(),
            packed: BTreeSet::new(),
        };
        self.streams.insert(id, stream);
        shared
    }

    /// A block of the stream has closed.
    pub(super) fn note_closed(&self, stream: u64) {
        self.closed.borrow_mut().push(stream);
    }

    pub(super) fn set_busy(&mut self, stream: u64, is_busy: bool) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.is_busy = is_busy;
        }
        for deleted in self.deleted.iter_mut().filter(|deleted| deleted.stream == stream) {
            deleted.is_busy = is_busy;
        }
    }

    /// Journal files up to `number` may hold what was erased, as the disk says.
    pub(super) fn set_erased(&mut self, number: u64) {
        self.erased_files = number;
        self.erased_marked = number;
    }

    fn take_removable(&mut self) {
        let removable = self.journal.take_removable();
        self.removable.extend(removable.into_iter().map(|file| Step::Remove(file_path(file))));
    }

    pub(super) fn remove_later(&mut self, step: Step) {
        self.removable.push(step);
    }

    pub(super) fn retry_later(&mut self, stream: u64) {
        self.failed.push(stream);
    }

    /// The journal's files that no state needs are used again, or removed.
    pub(super) fn release_journal(&mut self) {
        let mut needed = u64::MAX;
        for stream in self.streams.values() {
            let older = stream.files.covered[0];
            if stream.shared.changed.get() >= older {
                needed = needed.min(older.commit);
            }
        }
        for deleted in &self.deleted {
            needed = needed.min(deleted.position.commit);
        }
        let covered = needed.saturating_sub(1).min(self.journal.written());
        self.journal.release(covered);
    }

    pub(super) fn checkpoint_job(&mut self, stream: u64, captured: Captured) -> Job {
        let mut captured = Box::new(captured);
        let steps = std::mem::take(&mut captured.steps);
        self.set_busy(stream, true);
        self.job(Running::Checkpoint { stream, captured }, steps)
    }

    /// Forgets what waits to be done for a stream.
    pub(super) fn forget_work(&mut self, stream: u64) {
        self.moving.remove(&stream);
        self.wanted.retain(|wanted| *wanted != stream);
        self.captured.retain(|captured| *captured != stream);
        self.failed.retain(|failed| *failed != stream);
        self.erasing.remove(&stream);
        self.rewriting.remove(&stream);
        self.compacting.remove(&stream);
        self.erased.borrow_mut().retain(|erasure| erasure.stream != stream);
        let dir = stream_dir(stream);
        self.removable.retain(|step| !matches!(step, Step::Remove(path) if path.starts_with(&dir)));
    }

    fn mark(&mut self) -> Job {
        self.rest = Rest::Marking;
        let found = self.journal.found();
        let mark = CleanMark {
            identity: found.identity,
            boot: found.boot,
            last_commit: found.last_commit,
            next_commit: found.next_commit,
            next_file: found.next_file,
            next_stream: self.next_stream,
            files: found.files,
            streams: self
                .streams
                .iter()
                .map(|(id, stream)| (*id, stream.files.generation))
                .collect(),
        };
        let path = String::from(CLEAN_PATH);
        let steps = vec![
            Step::Write { path, parts: vec![(0, Part::Own(mark.encode()))] },
            Step::SyncDir(String::new()),
        ];
        self.job(Running::Mark, steps)
    }

    pub(super) fn job(&mut self, running: Running, steps: Vec<Step>) -> Job {
        let id = self.next_job;
        self.next_job += 1;
        self.running.insert(id, running);
        Job { id, steps, vault: self.options.vault.clone() }
    }

    /// Whether states are to be written, or being written.
    pub(super) fn is_checkpointing(&self) -> bool {
        let is_writing = |running: &Running| matches!(running, Running::Checkpoint { .. });
        !self.wanted.is_empty()
            || !self.captured.is_empty()
            || self.running.values().any(is_writing)
    }

    /// Whether the journal is far ahead of the streams' own files.
    pub(super) fn is_behind(&self) -> bool {
        self.journal.bytes() > self.options.checkpoint_bytes.saturating_mul(BEHIND_MAX)
    }

    fn next_move(&mut self) -> Option<Job> {
        for stream in std::mem::take(&mut *self.closed.borrow_mut()) {
            self.moving.insert(stream);
        }
        let durable = self.staging.borrow().durable();
        let moving = std::mem::take(&mut self.moving);
        let mut found = None;
        for id in moving {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            if found.is_some() || stream.is_busy || stream.made > durable {
                self.moving.insert(id);
                continue;
            }
            let mut blocks = stream.shared.blocks.borrow_mut();
            if blocks.unplaced_bytes() < self.options.batch_bytes {
                continue;
            }
            let head = &stream.shared.file_head;
            let max = self.options.segment_bytes_max;
            let leaving = blocks.place_all(|len| stream.files.choose(len, head.len(), max));
            let steps = stream.files.writes(id, head, &leaving);
            let places = leaving.iter().map(|block| (block.head.base, block.place)).collect();
            stream.is_busy = true;
            found = Some((Running::Move { stream: id, places }, steps));
        }
        found.map(|(running, steps)| self.job(running, steps))
    }

    fn next_removal(&mut self) -> Option<Job> {
        let durable = self.staging.borrow().durable();
        let can_go =
            |deleted: &&mut Deleted| !deleted.is_busy && deleted.position.commit <= durable;
        if let Some(deleted) = self.deleted.iter_mut().find(can_go) {
            deleted.is_busy = true;
            let stream = deleted.stream;
            let steps = vec![
                Step::RemoveDir(stream_dir(stream)),
                Step::CreateDir(String::from(STREAMS_DIR)),
                Step::SyncDir(String::from(STREAMS_DIR)),
            ];
            return Some(self.job(Running::Delete { stream }, steps));
        }
        if self.removable.is_empty() {
            return None;
        }
        let mut steps = std::mem::take(&mut self.removable);
        let removes_journal =
            |step: &Step| matches!(step, Step::Remove(path) if path.starts_with(DIR));
        if steps.iter().any(removes_journal) {
            steps.push(Step::SyncDir(String::from(DIR)));
        }
        Some(self.job(Running::Remove, steps))
    }

    fn handle_moved(&mut self, id: u64, places: &[(u64, SegmentPlace)], is_done: bool) {
        self.set_busy(id, false);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if is_done {
            stream.files.has_dir = true;
            let mut blocks = stream.shared.blocks.borrow_mut();
            for (base, place) in places {
                blocks.arrive(*base, *place);
            }
        } else {
            self.abandon_writes(id);
        }
    }

    /// Blocks on their way go back to memory and the segment takes no more: what is in it cannot
    /// be trusted.
    pub(super) fn abandon_writes(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.shared.blocks.borrow_mut().return_all();
        stream.files.seal();
        if let Some(captured) = stream.captured.take() {
            stream.files.forget_indexes(&captured.indexed);
            self.captured.retain(|captured| *captured != id);
            self.failed.push(id);
        }
        self.moving.insert(id);
    }
}

/// Whether what went wrong is the device's, and not that of what was to be written.
fn is_of_the_device(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::InvalidData
}

/// Journal bytes, in checkpoints, above which commits wait for the streams' files.
const BEHIND_MAX: u64 = 4;

impl Stores for Store {
    fn create(
        &mut self,
        kind: StorageKind,
        head: &[u8],
    ) -> Result<(StreamId, Box<dyn StreamStore>), StoreError> {
        let id = self.next_stream;
        self.next_stream += 1;
        if kind == StorageKind::Memory {
            let store = MemoryStore::new(self.options.seed.wrapping_add(id));
            return Ok((StreamId(id), Box::new(store)));
        }
        let event =
            Event { kind: EventKind::Create, flag: 0, stream: id, seq: 0, body: head, body_crc: 0 };
        let position = self.staging.borrow_mut().event(&event);
        let blocks = self.empty_blocks(id);
        let files = StreamFiles::fresh();
        let shared = self.adopt(id, head, blocks, position, files);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.made = position.commit;
        }
        Ok((StreamId(id), self.handle(&shared)))
    }

    fn backlog(&self) -> (u64, u64) {
        let staging = self.staging.borrow();
        (u64::from(staging.events()), staging.bytes() as u64)
    }

    fn delete(&mut self, id: StreamId, store: Box<dyn StreamStore>) -> Commit {
        drop(store);
        let Some(stream) = self.streams.remove(&id.0) else { return Commit::NONE };
        stream.shared.is_detached.set(true);
        self.source.forget(id.0);
        self.cache.borrow_mut().forget_stream(id.0);
        self.forget_work(id.0);
        let event = Event {
            kind: EventKind::Delete,
            flag: 0,
            stream: id.0,
            seq: 0,
            body: b"",
            body_crc: 0,
        };
        let position = self.staging.borrow_mut().event(&event);
        self.deleted.push(Deleted { stream: id.0, position, is_busy: stream.is_busy });
        Commit(position.commit)
    }
}
