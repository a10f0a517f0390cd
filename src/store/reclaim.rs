//! What removed messages leave behind: bytes that somebody wants gone, and
//! segments that are mostly dead.
//!
//! Erasing. The removal is durable first. Then the record's body is overwritten in
//! its segment, before any state that covers the removal is written, so that a
//! start repeats both or neither is missing. What states and indexes have of it is
//! gone once both states were written anew, which is asked for at once. A journal
//! file that may have a copy is overwritten with zeros when nothing needs it, before
//! it is used again or removed; `erased` says up to which file that concerns.
//!
//! Compaction. A segment of which less than half is alive is written anew without
//! what is gone, several into one, at checkpoints, one job at a time for a stream;
//! the old ones go once no state names them.
//!
//! Bounds: a job writes one segment; erasures that wait take what the messages took.

use std::io;

use super::disk::{read_whole, Disk, Open};
use super::index::{varint, Overwrite, SegmentPlace, Sparse};
use super::job::{Done, Job, Part, Step};
use super::segment::{segment_head, segment_path, stream_dir, BlockHead, BLOCK_HEAD};
use super::state::{body, finish, start};
use super::store::{Running, Store, Stream};
use super::vault::{Area, Vault};

/// A message that is gone for good.
#[derive(Clone, Debug)]
pub(super) struct Erasure {
    pub(super) stream: u64,
    pub(super) seq: u64,
    /// The removal is part of it.
    pub(super) commit: u64,
    /// What is to be overwritten in a segment.
    pub(super) overwrite: Option<Overwrite>,
}

/// Segments that become one.
#[derive(Debug)]
pub(super) struct Compaction {
    stream: u64,
    segment: u32,
    head: Box<[u8]>,
    blocks: Vec<Sparse>,
}

/// What became of a [`Compaction`].
#[derive(Debug)]
pub(super) struct Compacted {
    segment: u32,
    end: u32,
    /// Where blocks went.
    places: Vec<SegmentPlace>,
}

/// Which journal files may hold what was erased.
pub(super) const ERASED_PATH: &str = "erased";
const MAGIC: [u8; 8] = *b"MIDGEERS";

/// Journal files that may be made until a commit is written that is staged now.
const FILES_AHEAD: u64 = 8;

/// States that are written anew, so that neither holds what is gone.
pub(super) const REWRITES: u8 = 2;

/// The highest journal file that may hold what was erased; 0 if there is none.
///
/// # Errors
/// What the system says.
pub(super) fn read_erased(disk: &dyn Disk) -> io::Result<u64> {
    let bytes = read_whole(disk, ERASED_PATH)?;
    let number = bytes.and_then(|bytes| varint::take(&mut body(&bytes, MAGIC)?));
    Ok(number.unwrap_or(0))
}

impl Store {
    /// Takes over what streams have erased since.
    pub(super) fn collect_erasures(&mut self) {
        let erasures = std::mem::take(&mut *self.erased.borrow_mut());
        if erasures.is_empty() {
            return;
        }
        // The commit may go to a file that is not there yet.
        self.erased_files = self.erased_files.max(self.journal.next_file() + FILES_AHEAD);
        self.journal.taint(self.erased_files);
        for erasure in erasures {
            let id = erasure.stream;
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            if erasure.seq >= stream.files.tails.into_iter().min().unwrap_or(0) {
                stream.rewrites = REWRITES;
                self.rewriting.insert(id);
            }
            match &erasure.overwrite {
                // A sealed block is written anew as a whole, elsewhere.
                Some(place) if self.options.vault.is_some() => {
                    if !stream.files.is_closed(place.segment) {
                        stream.files.seal();
                    }
                    let commit = stream.forced.entry(place.segment).or_default();
                    *commit = erasure.commit.max(*commit);
                    stream.rewrites = REWRITES;
                    self.compacting.insert(id);
                }
                _ => {
                    stream.erasing.push(erasure);
                    self.erasing.insert(id);
                }
            }
        }
    }

    /// The next erasures that are durable and not done.
    pub(super) fn next_erasure(&mut self) -> Option<Job> {
        let durable = self.staging.borrow().durable();
        for id in &self.erasing {
            let Some(stream) = self.streams.get_mut(id).filter(|stream| !stream.is_busy) else {
                continue;
            };
            let is_durable = |erasure: &Erasure| erasure.commit <= durable;
            if !stream.erasing.iter().any(is_durable) {
                continue;
            }
            let (now, later) = stream.erasing.drain(..).partition(is_durable);
            stream.erasing = later;
            let (id, erasures): (u64, Vec<Erasure>) = (*id, now);
            let mut steps = self.erased_steps();
            steps.extend(overwrites(id, &erasures));
            self.set_busy(id, true);
            let marked = self.erased_files;
            return Some(self.job(Running::Erase { stream: id, erasures, marked }, steps));
        }
        None
    }

    pub(super) fn handle_erased(
        &mut self,
        id: u64,
        erasures: Vec<Erasure>,
        marked: u64,
        is_done: bool,
    ) {
        self.set_busy(id, false);
        if is_done {
            self.erased_marked = self.erased_marked.max(marked);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !is_done {
            stream.erasing.extend(erasures);
        }
        if stream.erasing.is_empty() {
            self.erasing.remove(&id);
        }
    }

    /// The steps that make it durable which journal files may hold what was erased.
    pub(super) fn erased_steps(&self) -> Vec<Step> {
        if self.erased_marked >= self.erased_files {
            return Vec::new();
        }
        let mut bytes = start(MAGIC);
        varint::put(&mut bytes, self.erased_files);
        let path = String::from(ERASED_PATH);
        let write = Step::Write { path, parts: vec![(0, Part::Own(finish(bytes)))] };
        vec![write, Step::SyncDir(String::new())]
    }

    /// States to be written anew wait for nothing else.
    pub(super) fn want_rewrites(&mut self) {
        let durable = self.staging.borrow().durable();
        for id in std::mem::take(&mut self.rewriting) {
            let Some(stream) = self.streams.get(&id).filter(|stream| stream.rewrites > 0) else {
                continue;
            };
            if stream.shared.changed.get().commit <= durable {
                self.want_snapshot(id);
            } else {
                self.rewriting.insert(id);
            }
        }
    }

    /// A journal file that nothing needs and that may hold what was erased.
    pub(super) fn next_zeroing(&mut self) -> Option<Job> {
        let file = self.journal.take_tainted()?;
        let steps = vec![Step::Zero { path: super::journal::file_path(file.number) }];
        Some(self.job(Running::Zero { file }, steps))
    }

    /// Segments of a stream whose states were just written, and that are mostly dead.
    pub(super) fn note_sparse(&mut self, id: u64) {
        let bytes_max = u64::from(self.options.segment_bytes_max);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let live = stream.shared.blocks.borrow().live_bytes();
        let mut sum = 0;
        let mut sparse = Vec::new();
        for (segment, live) in live {
            let file = stream.files.segments.get(&segment).copied().unwrap_or_default();
            let is_closed = stream.files.is_closed(segment) && !stream.packed.contains(&segment);
            // Heads of blocks are a small part of it.
            if is_closed && live * 2 < u64::from(file.end) && sum + live < bytes_max / 2 {
                sum += live;
                sparse.push(segment);
            }
        }
        if !sparse.is_empty() {
            stream.sparse = sparse;
            self.compacting.insert(id);
        }
    }

    /// The next compaction.
    pub(super) fn next_compaction(&mut self) -> Option<Job> {
        let durable = self.staging.borrow().durable();
        let can_go = |id: &&u64| {
            self.streams.get(id).is_none_or(|stream| {
                let is_forced = !stream.forced.is_empty();
                let is_idle = !stream.is_busy && stream.erasing.is_empty();
                // What is to be written anew must have arrived.
                let has_arrived = stream.captured.is_none()
                    && stream.forced.values().all(|commit| *commit <= durable);
                is_idle && (!is_forced || has_arrived)
            })
        };
        let id = *self.compacting.iter().find(can_go)?;
        self.compacting.remove(&id);
        let stream = self.streams.get_mut(&id)?;
        let mut from = std::mem::take(&mut stream.sparse);
        from.extend(std::mem::take(&mut stream.forced).into_keys());
        from.sort_unstable();
        from.dedup();
        let blocks = stream.shared.blocks.borrow().sparse(&from);
        if blocks.is_empty() {
            return None;
        }
        let segment = stream.files.new_segment();
        let head = stream.shared.file_head.clone();
        let places = blocks.iter().map(|block| (block.base, block.place)).collect();
        stream.is_busy = true;
        let compaction = Compaction { stream: id, segment, head, blocks };
        let steps = vec![Step::Compact(Box::new(compaction)), Step::SyncDir(stream_dir(id))];
        Some(self.job(Running::Compact { stream: id, from, places }, steps))
    }

    pub(super) fn handle_compacted(
        &mut self,
        id: u64,
        from: &[u32],
        places: &[(u64, SegmentPlace)],
        outcome: io::Result<Done>,
    ) {
        self.set_busy(id, false);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match outcome {
            // What was erased since is in the new segment as well: that one is left alone.
            Ok(Done::Compacted(done)) if stream.erasing.is_empty() && stream.forced.is_empty() => {
                stream.files.add_closed(done.segment, done.end);
                let mut blocks = stream.shared.blocks.borrow_mut();
                for ((base, from), to) in places.iter().zip(&done.places) {
                    blocks.relocate(*base, *from, *to);
                }
                drop(blocks);
                stream.rewrites = REWRITES;
                self.rewriting.insert(id);
            }
            Ok(_) if self.options.vault.is_some() => {
                // Once more, with what was erased in the meantime.
                stream.forced.extend(from.iter().map(|segment| (*segment, 0)));
                self.compacting.insert(id);
            }
            // It has damaged records, which are kept as they are.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                stream.packed.extend(from.iter().copied());
            }
            // What was erased is nowhere else noted.
            Err(_) if self.options.vault.is_some() => {
                stream.forced.extend(from.iter().map(|segment| (*segment, 0)));
                self.compacting.insert(id);
            }
            _ => {}
        }
    }
}

impl Stream {
    /// The steps that overwrite what is erased, for a state that is to cover it.
    pub(super) fn take_erasures(&mut self) -> Vec<Erasure> {
        std::mem::take(&mut self.erasing)
    }
}

/// The steps that overwrite bodies in segments.
pub(super) fn overwrites(stream: u64, erasures: &[Erasure]) -> Vec<Step> {
    let places = erasures.iter().filter_map(|erasure| erasure.overwrite.as_ref());
    places
        .map(|place| Step::Overwrite {
            path: segment_path(stream, place.segment),
            offset: place.offset,
            bytes: std::sync::Arc::clone(&place.bytes),
        })
        .collect()
}

impl Compaction {
    /// Writes the new segment.
    ///
    /// # Errors
    /// What the system says; `InvalidData` if records are damaged.
    pub(super) fn run(self, disk: &dyn Disk, vault: Option<&Vault>) -> io::Result<Compacted> {
        let path = segment_path(self.stream, self.segment);
        let file = disk.open(&path, Open::Write)?;
        let head = segment_head(self.stream, self.segment, &self.head);
        file.write_at(0, &head)?;
        let mut end = head.len();
        let mut places = Vec::new();
        let mut source: Option<(u32, std::sync::Arc<dyn super::DiskFile>)> = None;
        for block in &self.blocks {
            let from = match source.take() {
                Some((segment, file)) if segment == block.place.segment => file,
                _ => disk.open(&segment_path(self.stream, block.place.segment), Open::Read)?,
            };
            let mut bytes = vec![0; block.place.len as usize];
            let read = from.read_at(u64::from(block.place.offset), &mut bytes)?;
            bytes.truncate(read);
            source = Some((block.place.segment, from));
            if let Some(vault) = vault {
                if !vault.unseal(Area::Segment(self.stream, block.place.segment), &mut bytes) {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
            let mut records = block
                .live_records(self.stream, &bytes)
                .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
            if let Some(vault) = vault {
                vault.seal(Area::Segment(self.stream, self.segment), &mut records)?;
            }
            let len = u32::try_from(records.len()).unwrap_or(u32::MAX);
            let head = BlockHead {
                stream: self.stream,
                base: block.base,
                base_time: block.base_time,
                span: block.span,
                len,
            };
            file.write_at(end as u64, &head.bytes())?;
            let offset = end + BLOCK_HEAD;
            file.write_at(offset as u64, &records)?;
            end = offset + records.len();
            let offset = u32::try_from(offset).unwrap_or(u32::MAX);
            places.push(SegmentPlace { segment: self.segment, offset, len });
        }
        file.sync()?;
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        Ok(Compacted { segment: self.segment, end, places })
    }
}
