//! How a store comes back: from the streams' own files, then from the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::disk::Disk;
use super::files::StreamFiles;
use super::journal::{
    events, file_numbers, file_path, salvage, scan, Event, EventKind, Found, Journal, OpenFile,
    Position, Scan, Span, DIR,
};
use super::load::{load, read_states, rebuild, Loaded, Source};
use super::mark::CleanMark;
use super::reclaim::{read_erased, Erasure};
use super::segment::{parse_stream_dir, STREAMS_DIR};
use super::state::State;
use super::store::{Deleted, Store, StoreOptions};
use super::{Damage, Replay, StoreError, StreamId};

impl Store {
    /// Opens the store on `disk`, which may be empty, and tells `replay` what there is. Blocks.
    ///
    /// # Errors
    /// The device failed. What is merely damaged is told, and stepped over.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        replay: &mut dyn Replay,
    ) -> Result<Self, StoreError> {
        Self::try_open(disk, options, replay).map_err(|error| StoreError::Device(error.to_string()))
    }

    /// The same without changing anything: to look at what is there.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(super) fn open_to_read(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        replay: &mut dyn Replay,
    ) -> Result<Self, StoreError> {
        Self::read_disk(disk, options, false, replay)
            .map_err(|error| StoreError::Device(error.to_string()))
    }

    fn try_open(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        replay: &mut dyn Replay,
    ) -> io::Result<Self> {
        disk.create_dir(DIR)?;
        disk.create_dir(STREAMS_DIR)?;
        disk.sync_dir("")?;
        Self::read_disk(disk, options, true, replay)
    }

    fn read_disk(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        is_mark_believed: bool,
        replay: &mut dyn Replay,
    ) -> io::Result<Self> {
        let mut damage = Vec::new();
        let ids: BTreeSet<u64> =
            disk.list(STREAMS_DIR)?.iter().filter_map(|name| parse_stream_dir(name)).collect();
        let mut states = BTreeMap::new();
        for id in ids {
            let source = Source { disk: &*disk, vault: options.vault.as_deref() };
            states.insert(id, read_states(source, id, &mut damage)?);
        }
        if is_mark_believed {
            if let Some(mark) = CleanMark::read(&*disk, &file_numbers(&*disk)?, &states)? {
                let mut store =
                    Self::with_scan(&disk, &options, &mark.scan(), &states, &mut damage);
                if let Some(streams) = store.load_whole(&states)? {
                    store.set_erased(read_erased(&*store.disk)?);
                    let mut reader = Reader::default();
                    for (id, loaded) in streams {
                        store.take_in(id, loaded, &mut reader, replay);
                    }
                    store.finish_open(&damage, replay);
                    return Ok(store);
                }
            }
        }
        let mut scan = scan(&*disk, journal_of(&states))?;
        let mut store = Self::with_scan(&disk, &options, &scan, &states, &mut damage);
        store.set_erased(read_erased(&*store.disk)?);
        damage.extend(scan.damage.iter().cloned());
        store.read(&mut scan, states, u64::MAX, &mut damage, replay)?;
        store.replayed = scan.spans.len();
        store.finish_open(&damage, replay);
        Ok(store)
    }

    /// A store without streams, whose journal goes on behind what was found.
    fn with_scan(
        disk: &Arc<dyn Disk>,
        options: &StoreOptions,
        scan: &Scan,
        states: &BTreeMap<u64, Vec<State>>,
        damage: &mut Vec<Damage>,
    ) -> Self {
        let identity = match (scan.identity, journal_of(states)) {
            (0, None) => new_identity(options.seed),
            (0, Some(known)) | (_, Some(known)) => known,
            (found, None) => found,
        };
        let known = states.values().flatten().map(|state| state.covered);
        let known = known.max().unwrap_or_default();
        // A state covers up to a commit that was not started, or one that was durable.
        let needed = known.commit - u64::from(known.offset == 0 && known.commit > 0);
        let changed = states.values().flatten().map(|state| state.changed.commit).max();
        if changed.is_some_and(|changed| changed > scan.last_commit) {
            let known = changed.unwrap_or(0);
            damage.push(Damage::JournalEnds { last: scan.last_commit, known });
        }
        let found = Found {
            identity,
            boot: scan.boot + 1,
            last_commit: scan.last_commit.max(needed),
            // One more than the next: whatever the last write was, its number is not used again.
            next_commit: scan.highest.max(known.commit) + 2,
            next_file: scan.next_file,
            files: scan.files.clone(),
        };
        let last_stream = states.keys().next_back().copied().unwrap_or(0);
        let journal = Journal::new(found, options.journal_bytes_max, options.vault.is_some());
        let next_stream = scan.next_stream.max(last_stream + 1);
        Self::with_journal(Arc::clone(disk), options.clone(), journal, next_stream)
    }

    fn finish_open(&mut self, damage: &[Damage], replay: &mut dyn Replay) {
        for damage in damage {
            replay.damaged(damage);
        }
        self.journal.taint(self.erased_files);
        self.release_journal();
    }

    /// All streams as their newest states have them; `None` if one of these cannot be used.
    fn load_whole(
        &self,
        states: &BTreeMap<u64, Vec<State>>,
    ) -> io::Result<Option<Vec<(u64, Loaded)>>> {
        let mut streams = Vec::new();
        for (id, states) in states {
            let empty = || self.empty_blocks(*id);
            let newest = states.first().map(|state| state.covered);
            // What is damaged is told by those who read the journal as well.
            match load(self.files(), states, &empty, &mut Vec::new())? {
                Some(loaded) if loaded.is_whole && Some(loaded.covered) == newest => {
                    streams.push((*id, loaded));
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(streams))
    }

    /// Takes streams back to what is durable, after a [`failure`](Self::failure): `replay` gets
    /// those that had changes which failed, as when the store is opened. Their old handles are
    /// dead. Blocks.
    ///
    /// # Errors
    /// The device failed: call it again later.
    pub fn rollback(&mut self, replay: &mut dyn Replay) -> Result<(), StoreError> {
        let Some(durable) = self.failure() else { return Ok(()) };
        self.try_rollback(durable.0, replay).map_err(|error| StoreError::Device(error.to_string()))
    }

    fn try_rollback(&mut self, durable: u64, replay: &mut dyn Replay) -> io::Result<()> {
        let mut scan = scan(&*self.disk, Some(self.journal.identity()))?;
        let mut damage = Vec::new();
        let changed = self.streams.iter().filter(|(_, s)| s.shared.changed.get().commit > durable);
        let deleted = self.deleted.iter().filter(|deleted| deleted.position.commit > durable);
        // Those as well that an attempt before this one could not read.
        let affected: BTreeSet<u64> = changed
            .map(|(id, _)| *id)
            .chain(deleted.map(|deleted| deleted.stream))
            .chain(self.unread.iter().copied())
            .collect();
        let mut states = BTreeMap::new();
        for id in &affected {
            states.insert(*id, read_states(self.files(), *id, &mut damage)?);
        }
        self.unread.clone_from(&affected);
        for id in &affected {
            if let Some(stream) = self.streams.remove(id) {
                stream.shared.is_detached.set(true);
            }
            self.deleted.retain(|deleted| deleted.stream != *id);
            self.source.forget(*id);
            self.cache.borrow_mut().forget_stream(*id);
            self.forget_work(*id);
        }
        self.read(&mut scan, states, durable, &mut damage, replay)?;
        self.unread.clear();
        self.journal.recover();
        for id in affected.iter().filter(|id| !self.streams.contains_key(id)) {
            replay.deleted(StreamId(*id));
        }
        for damage in &damage {
            replay.damaged(damage);
        }
        Ok(())
    }

    /// Loads streams and applies commits up to `limit` to them.
    fn read(
        &mut self,
        scan: &mut Scan,
        states: BTreeMap<u64, Vec<State>>,
        limit: u64,
        damage: &mut Vec<Damage>,
        replay: &mut dyn Replay,
    ) -> io::Result<()> {
        let mut reader = Reader::default();
        let mut file = std::mem::take(&mut scan.open);
        let mut stateless = BTreeSet::new();
        for (id, states) in &states {
            let empty = || self.empty_blocks(*id);
            match load(self.files(), states, &empty, reader.damage.entry(*id).or_default())? {
                Some(loaded) => self.take_in(*id, loaded, &mut reader, replay),
                None => {
                    stateless.insert(*id);
                }
            }
        }
        let mut wanted = stateless.clone();
        if !stateless.is_empty() {
            // A stream that the journal has from its beginning, or to its end, needs no state.
            self.each_event(scan, &mut file, limit, &mut |_, event, _| {
                if matches!(event.kind, EventKind::Create | EventKind::Delete) {
                    wanted.remove(&event.stream);
                }
            })?;
        }
        for id in wanted {
            let damage = reader.damage.entry(id).or_default();
            if let Some(loaded) = rebuild(self.files(), id, self.empty_blocks(id), damage)? {
                self.take_in(id, loaded, &mut reader, replay);
            }
        }
        let only: Option<BTreeSet<u64>> =
            (limit < u64::MAX).then(|| states.keys().copied().collect());
        self.replay_journal((scan, &mut file), limit, only.as_ref(), &mut reader, replay)?;
        // A stream that was being removed is in parts, and nobody misses the rest.
        reader.damage.retain(|id, _| self.deleted.iter().all(|deleted| deleted.stream != *id));
        damage.extend(reader.damage.into_values().flatten());
        for id in reader.unknown {
            let file = super::segment::stream_dir(id);
            damage.push(Damage::State { file, problem: "missing" });
        }
        Ok(())
    }

    fn take_in(&mut self, id: u64, loaded: Loaded, reader: &mut Reader, replay: &mut dyn Replay) {
        reader.covered.insert(id, loaded.covered);
        let Loaded { head, snapshot, changed, blocks, files, .. } = loaded;
        let shared = self.adopt(id, &head, blocks, changed, files);
        replay.stream(StreamId(id), &head, snapshot.as_deref(), self.handle(&shared));
    }

    fn replay_journal(
        &mut self,
        (scan, file): (&Scan, &mut OpenFile),
        limit: u64,
        only: Option<&BTreeSet<u64>>,
        reader: &mut Reader,
        replay: &mut dyn Replay,
    ) -> io::Result<()> {
        let vault = self.options.vault.clone();
        let mut unread = Vec::new();
        for span in &scan.spans {
            let bytes = file.get(&*self.disk, span.file())?;
            let is_wanted =
                |event: &Event<'_>| only.is_none_or(|only| only.contains(&event.stream));
            let mut apply = |store: &mut Self, commit: u64, offset: u64, event: &Event<'_>| {
                if is_wanted(event) {
                    let position = Position { commit, offset };
                    store.apply(position, event, reader, replay);
                }
            };
            match *span {
                Span::Commit { commit, .. } if commit > limit => {}
                Span::Commit { offset, commit, file } => {
                    let is_read = events(bytes, offset, vault.as_deref(), |at, event| {
                        apply(self, commit, at, event);
                    });
                    if !is_read {
                        let (first, last) = (commit, commit);
                        unread.push(Damage::CommitsLost { file: file_path(file), first, last });
                    }
                }
                Span::Lost { from, to, first, last, .. } => {
                    let lost = bytes.get(from..to).unwrap_or_default();
                    salvage(lost, scan.identity, (first, last), |commit, at, event| {
                        apply(self, commit, at, event);
                    });
                }
            }
        }
        reader.damage.entry(0).or_default().append(&mut unread);
        Ok(())
    }

    /// Where streams are read from.
    pub(super) fn files(&self) -> Source<'_> {
        Source { disk: &*self.disk, vault: self.options.vault.as_deref() }
    }

    fn each_event(
        &self,
        scan: &Scan,
        file: &mut OpenFile,
        limit: u64,
        visit: &mut dyn FnMut(u64, &Event<'_>, u64),
    ) -> io::Result<()> {
        for span in &scan.spans {
            let bytes = file.get(&*self.disk, span.file())?;
            match *span {
                Span::Commit { offset, commit, .. } if commit <= limit => {
                    let vault = self.options.vault.as_deref();
                    events(bytes, offset, vault, |at, event| visit(commit, event, at));
                }
                Span::Commit { .. } => {}
                Span::Lost { from, to, first, last, .. } => {
                    let lost = bytes.get(from..to).unwrap_or_default();
                    salvage(lost, scan.identity, (first, last), |commit, at, event| {
                        visit(commit, event, at);
                    });
                }
            }
        }
        Ok(())
    }

    /// Repeats one event, unless the stream's state has it.
    fn apply(
        &mut self,
        position: Position,
        event: &Event<'_>,
        reader: &mut Reader,
        replay: &mut dyn Replay,
    ) {
        let id = StreamId(event.stream);
        self.next_stream = self.next_stream.max(event.stream.saturating_add(1));
        if reader.covered.get(&id.0).is_some_and(|covered| position < *covered) {
            return;
        }
        match event.kind {
            EventKind::Create => {
                if !self.streams.contains_key(&id.0) && event.is_intact() {
                    self.create_again(id, event.body, position, reader, replay);
                }
                return;
            }
            EventKind::Delete => {
                reader.unknown.remove(&id.0);
                if let Some(stream) = self.streams.remove(&id.0) {
                    stream.shared.is_detached.set(true);
                    self.source.forget(id.0);
                    replay.deleted(id);
                }
                // Whether its files were removed is not known.
                self.deleted.push(Deleted { stream: id.0, position, is_busy: false });
                return;
            }
            _ => {}
        }
        let Some(stream) = self.streams.get(&id.0) else {
            reader.unknown.insert(id.0);
            return;
        };
        stream.shared.changed.set(position);
        let mut blocks = stream.shared.blocks.borrow_mut();
        let last_seq = blocks.ends().1;
        let damage = reader.damage.entry(id.0).or_default();
        match event.kind {
            EventKind::Append => {
                if event.seq <= last_seq {
                    return;
                }
                if event.seq > last_seq + 1 {
                    let (first, last) = (last_seq + 1, event.seq - 1);
                    damage.push(Damage::Messages { stream: id.0, first, last });
                    blocks.skip_to(event.seq);
                }
                let record = event.record().filter(|_| event.is_intact());
                let Some(record) = record else {
                    let (first, last) = (event.seq, event.seq);
                    damage.push(Damage::Messages { stream: id.0, first, last });
                    blocks.skip_to(event.seq.saturating_add(1));
                    return;
                };
                let closed = blocks.closed_count();
                blocks.append(&record, event.body_crc);
                let has_closed = blocks.closed_count() > closed;
                drop(blocks);
                if has_closed {
                    self.note_closed(id.0);
                }
                replay.appended(id, event.seq, &record);
            }
            EventKind::Remove => {
                if event.flag != 0 && blocks.contains(event.seq) {
                    let overwrite = blocks.erase(event.seq);
                    let (stream, seq, commit) = (id.0, event.seq, position.commit);
                    self.erased.borrow_mut().push(Erasure { stream, seq, commit, overwrite });
                }
                if blocks.remove(event.seq) {
                    drop(blocks);
                    replay.removed(id, event.seq);
                }
            }
            EventKind::RemoveBelow => {
                blocks.remove_below(event.seq);
                drop(blocks);
                replay.removed_below(id, event.seq);
            }
            EventKind::SkipTo => {
                blocks.skip_to(event.seq);
                drop(blocks);
                replay.skipped(id, event.seq);
            }
            EventKind::Note => {
                drop(blocks);
                if event.is_intact() {
                    replay.note(id, event.body);
                }
            }
            EventKind::Create | EventKind::Delete => {}
        }
    }

    fn create_again(
        &mut self,
        id: StreamId,
        head: &[u8],
        position: Position,
        reader: &mut Reader,
        replay: &mut dyn Replay,
    ) {
        reader.covered.insert(id.0, Position::default());
        // Its directory may have files of an unfinished checkpoint; they are written over, or
        // removed once a state is whole.
        let files = StreamFiles::fresh();
        let shared = self.adopt(id.0, head, self.empty_blocks(id.0), position, files);
        replay.stream(id, head, None, self.handle(&shared));
    }
}

/// What is known while a store is read.
#[derive(Default)]
struct Reader {
    /// Events of a stream before this place are part of its state.
    covered: BTreeMap<u64, Position>,
    /// Streams with events and without anything else.
    unknown: BTreeSet<u64>,
    /// By stream.
    damage: BTreeMap<u64, Vec<Damage>>,
}

/// The journal that most states name.
fn journal_of(states: &BTreeMap<u64, Vec<State>>) -> Option<u64> {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for state in states.values().flatten() {
        *counts.entry(state.journal).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(journal, _)| journal)
}

/// A journal's name is random and never 0.
fn new_identity(seed: u64) -> u64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) | 1
}
