//! Which files a stream has, and what its state files count on.

use std::collections::{BTreeMap, BTreeSet};

use super::index::{Leaving, SegmentPlace};
use super::job::{Part, Step};
use super::journal::Position;
use super::segment::STREAMS_DIR;
use super::segment::{index_path, segment_head, segment_path, stream_dir, BLOCK_HEAD};
use super::vault::Area;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct StreamFiles {
    pub(super) segments: BTreeMap<u32, SegmentFile>,
    /// The segment that takes blocks.
    current: Option<u32>,
    /// The highest number a segment ever had: a file may be about to be removed.
    last_segment: u32,
    pub(super) next_version: u32,
    /// The directory is made and durable.
    pub(super) has_dir: bool,
    /// Every file there may be.
    pub(super) on_disk: BTreeSet<FileName>,
    /// Of the newest state.
    pub(super) generation: u64,
    /// What the older and the newer state cover.
    pub(super) covered: [Position; 2],
    /// Files that the older and the newer state count on.
    pub(super) named: [BTreeSet<FileName>; 2],
    /// Both states are known, so what neither names may be removed.
    pub(super) is_trusted: bool,
    /// Where the open blocks begin that the older and the newer state carry.
    pub(super) tails: [u64; 2],
}

/// A segment of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SegmentFile {
    /// Bytes that are given away.
    pub(super) end: u32,
    /// Its index; 0 if there is none.
    pub(super) version: u32,
    /// It has blocks that its index lacks.
    pub(super) is_changed: bool,
}

/// A file of a stream, but its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FileName {
    Segment(u32),
    /// Of a segment, with its version.
    Index(u32, u32),
}

impl FileName {
    pub(super) fn path(self, stream: u64) -> String {
        match self {
            Self::Segment(segment) => segment_path(stream, segment),
            Self::Index(segment, version) => index_path(stream, segment, version),
        }
    }
}

impl StreamFiles {
    /// Those of a stream that has none, or whose files are not looked at.
    pub(super) fn fresh() -> Self {
        Self { is_trusted: true, ..Self::default() }
    }

    /// Those of a stream that has a directory.
    pub(super) fn existing() -> Self {
        Self { has_dir: true, ..Self::default() }
    }

    /// The place of the next block, whose records have `len` bytes.
    pub(super) fn choose(&mut self, len: u32, head_len: usize, bytes_max: u32) -> SegmentPlace {
        let block_head = u32::try_from(BLOCK_HEAD).unwrap_or(u32::MAX);
        let has_room = |file: &SegmentFile| {
            file.end.checked_add(block_head + len).is_some_and(|end| end <= bytes_max)
        };
        let current =
            self.current.filter(|current| self.segments.get(current).is_some_and(has_room));
        let segment = current.unwrap_or_else(|| {
            let next = self.last_segment + 1;
            // The head's length does not depend on what is in it.
            let head = segment_head(0, 0, &vec![0; head_len]).len();
            self.add_segment(next, u32::try_from(head).unwrap_or(u32::MAX));
            self.on_disk.insert(FileName::Segment(next));
            next
        });
        let file = self.segments.entry(segment).or_default();
        let offset = file.end + block_head;
        file.end = offset.saturating_add(len);
        file.is_changed = true;
        SegmentPlace { segment, offset, len }
    }

    /// Bytes of the segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| u64::from(segment.end)).sum()
    }

    /// The number of a segment that takes what others leave.
    pub(super) fn new_segment(&mut self) -> u32 {
        self.last_segment += 1;
        self.on_disk.insert(FileName::Segment(self.last_segment));
        self.last_segment
    }

    /// A segment is written that takes no more blocks.
    pub(super) fn add_closed(&mut self, segment: u32, end: u32) {
        self.segments.insert(segment, SegmentFile { end, version: 0, is_changed: true });
    }

    /// Whether it takes no more blocks.
    pub(super) fn is_closed(&self, segment: u32) -> bool {
        self.current != Some(segment)
    }

    pub(super) fn add_segment(&mut self, segment: u32, end: u32) {
        self.segments.insert(segment, SegmentFile { end, version: 0, is_changed: false });
        self.current = Some(segment);
        self.last_segment = self.last_segment.max(segment);
    }

    /// Every file there may be.
    pub(super) fn set_on_disk(&mut self, files: BTreeSet<FileName>) {
        for file in &files {
            let (FileName::Segment(segment) | FileName::Index(segment, _)) = *file;
            self.last_segment = self.last_segment.max(segment);
            if let FileName::Index(_, version) = *file {
                self.next_version = self.next_version.max(version + 1);
            }
        }
        self.on_disk = files;
    }

    pub(super) fn set_version(&mut self, segment: u32, version: u32) {
        if let Some(file) = self.segments.get_mut(&segment) {
            file.version = version;
            file.is_changed = false;
        }
    }

    /// Forgets segments without blocks; the one that takes blocks stays.
    pub(super) fn keep_segments(&mut self, has_blocks: impl Fn(u32) -> bool) {
        let current = self.current;
        self.segments.retain(|segment, _| has_blocks(*segment) || current == Some(*segment));
    }

    /// The indexes of these segments may not have been written.
    pub(super) fn forget_indexes(&mut self, segments: &[u32]) {
        for segment in segments {
            if let Some(file) = self.segments.get_mut(segment) {
                file.is_changed = true;
            }
        }
    }

    /// The current segment takes no more blocks.
    pub(super) fn seal(&mut self) {
        self.current = None;
    }

    /// A number that no index of the stream has.
    pub(super) fn new_version(&mut self) -> u32 {
        self.next_version = self.next_version.max(1) + 1;
        self.next_version - 1
    }

    /// The steps that put blocks where they belong.
    pub(super) fn writes(&self, stream: u64, head: &[u8], leaving: &[Leaving]) -> Vec<Step> {
        // A stream without a directory has none of its files.
        let mut steps = self.dir_steps(stream);
        let mut is_new = false;
        for blocks in leaving.chunk_by(|a, b| a.place.segment == b.place.segment) {
            let Some(segment) = blocks.first().map(|block| block.place.segment) else { continue };
            let mut parts = Vec::new();
            let file_head = segment_head(stream, segment, head);
            let at = |block: &Leaving| u64::from(block.place.offset) - BLOCK_HEAD as u64;
            if blocks.first().is_some_and(|block| at(block) == file_head.len() as u64) {
                parts.push((0, Part::Own(file_head)));
                is_new = true;
            }
            for block in blocks {
                parts.push((at(block), Part::Own(block.head.bytes().to_vec())));
                let offset = u64::from(block.place.offset);
                let area = Area::Segment(stream, segment);
                parts.push((offset, Part::Sealed(area, std::sync::Arc::clone(&block.records))));
            }
            steps.push(Step::Write { path: segment_path(stream, segment), parts });
        }
        if is_new {
            steps.push(Step::SyncDir(stream_dir(stream)));
        }
        steps
    }

    /// The steps that make the stream's directory, if it may not be there.
    pub(super) fn dir_steps(&self, stream: u64) -> Vec<Step> {
        if self.has_dir {
            return Vec::new();
        }
        vec![
            Step::CreateDir(stream_dir(stream)),
            Step::SyncDir(String::from(STREAMS_DIR)),
            Step::SyncDir(String::new()),
        ]
    }

    /// Files that nothing counts on; they are forgotten.
    pub(super) fn take_unneeded(&mut self) -> Vec<FileName> {
        if !self.is_trusted {
            return Vec::new();
        }
        let current = self.segments.iter().flat_map(|(segment, file)| {
            [FileName::Segment(*segment), FileName::Index(*segment, file.version)]
        });
        let needed: BTreeSet<FileName> =
            current.chain(self.named.iter().flatten().copied()).collect();
        let unneeded: Vec<FileName> = self.on_disk.difference(&needed).copied().collect();
        for file in &unneeded {
            self.on_disk.remove(file);
        }
        unneeded
    }
}
