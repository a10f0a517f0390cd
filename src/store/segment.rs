//! Files of one stream: segments, which hold its blocks, and indexes, which say
//! what is in a segment's blocks.
//!
//! ```text
//! segment: magic 8 | version 4 | head length 4 | stream 8 | number 4 | checksum 4 | head
//!          block | block | ...
//! block:   magic 4 | checksum 4 | stream 8 | base sequence 8 | base time 8 | span 4 | length 4
//!          records
//! ```
//! A block's records are as in memory. An index is written at a checkpoint if its
//! segment has new blocks, or lost messages in between; its name has a number
//! that is never used twice, and the stream's state says which index holds. An
//! index that is missing or damaged is made anew from the segment.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::disk::{Disk, DiskFile, Open};
use super::index::{BlockSource, Salt, SegmentPlace};
use super::journal::VERSION;
use super::vault::{Area, Vault, SEALED_MORE};

/// The directory of all streams.
pub(super) const STREAMS_DIR: &str = "streams";

/// Bytes before a segment's head.
const SEGMENT_HEAD: usize = 32;
/// Bytes before a block's records.
pub(super) const BLOCK_HEAD: usize = 40;

const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"MIDGESEG");
const BLOCK_MAGIC: u32 = u32::from_le_bytes(*b"MBLK");

/// The directory of a stream.
pub(super) fn stream_dir(stream: u64) -> String {
    format!("{STREAMS_DIR}/{stream:016x}")
}

/// The path of a segment.
pub(super) fn segment_path(stream: u64, segment: u32) -> String {
    format!("{}/{segment:08x}.segment", stream_dir(stream))
}

/// The path of a segment's index.
pub(super) fn index_path(stream: u64, segment: u32, version: u32) -> String {
    format!("{}/{segment:08x}-{version:08x}.index", stream_dir(stream))
}

/// The stream of a directory's name.
pub(super) fn parse_stream_dir(name: &str) -> Option<u64> {
    u64::from_str_radix(name, 16).ok().filter(|id| format!("{id:016x}") == name)
}

/// The stream that a path below the store's directory belongs to.
pub(super) fn stream_of(path: &str) -> Option<u64> {
    parse_stream_dir(path.strip_prefix(STREAMS_DIR)?.strip_prefix('/')?.split('/').next()?)
}

/// The number of a segment file's name.
pub(super) fn parse_segment(name: &str) -> Option<u32> {
    u32::from_str_radix(name.strip_suffix(".segment")?, 16).ok()
}

/// Segment and version of an index file's name.
pub(super) fn parse_index(name: &str) -> Option<(u32, u32)> {
    let (segment, version) = name.strip_suffix(".index")?.split_once('-')?;
    Some((u32::from_str_radix(segment, 16).ok()?, u32::from_str_radix(version, 16).ok()?))
}

/// What a segment starts with.
pub(super) fn segment_head(stream: u64, segment: u32, head: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SEGMENT_HEAD + head.len());
    bytes.extend_from_slice(&SEGMENT_MAGIC.to_le_bytes());
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&stream.to_le_bytes());
    bytes.extend_from_slice(&segment.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), head);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(head);
    bytes
}

/// The head that every segment of a stream repeats, if this is one of its segments.
pub(super) fn parse_segment_head(bytes: &[u8], stream: u64, segment: u32) -> Option<Box<[u8]>> {
    let len = u32::from_le_bytes(*bytes.get(12..16)?.first_chunk()?) as usize;
    let head = bytes.get(SEGMENT_HEAD..SEGMENT_HEAD.checked_add(len)?)?;
    (bytes.get(..SEGMENT_HEAD + len)? == segment_head(stream, segment, head)).then(|| head.into())
}

/// What a block of a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockHead {
    pub(super) stream: u64,
    pub(super) base: u64,
    pub(super) base_time: u64,
    pub(super) span: u32,
    pub(super) len: u32,
}

impl BlockHead {
    pub(super) fn bytes(&self) -> [u8; BLOCK_HEAD] {
        let mut bytes = [0; BLOCK_HEAD];
        bytes[..4].copy_from_slice(&BLOCK_MAGIC.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.stream.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.base.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.base_time.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.span.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.len.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let number = |range: Range<usize>| {
            let part = bytes.get(range)?.first_chunk::<8>()?;
            Some(u64::from_le_bytes(*part))
        };
        let half = |range: Range<usize>| {
            let part = bytes.get(range)?.first_chunk::<4>()?;
            Some(u32::from_le_bytes(*part))
        };
        let head = Self {
            stream: number(8..16)?,
            base: number(16..24)?,
            base_time: number(24..32)?,
            span: half(32..36)?,
            len: half(36..40)?,
        };
        (bytes.get(..BLOCK_HEAD)? == head.bytes()).then_some(head)
    }

    pub(super) fn salt(&self) -> Salt {
        Salt::new(self.stream, self.base, self.base_time)
    }
}

/// A block that was found in a segment.
#[derive(Clone, Debug)]
pub(super) struct FoundBlock {
    pub(super) head: BlockHead,
    pub(super) records: Range<usize>,
}

/// The blocks of `stream` in a segment's bytes, and the parts that are none.
pub(super) fn find_blocks(bytes: &[u8], stream: u64) -> (Vec<FoundBlock>, Vec<Range<usize>>) {
    let len = bytes.get(12..16).and_then(<[u8]>::first_chunk).map_or(0, |l| u32::from_le_bytes(*l));
    let mut at = SEGMENT_HEAD.saturating_add(len as usize);
    if at > bytes.len() || parse_any_head(bytes).is_none() {
        at = 0;
    }
    let mut blocks: Vec<FoundBlock> = Vec::new();
    let mut damaged = Vec::new();
    let mut lost = None;
    let magic = BLOCK_MAGIC.to_le_bytes();
    while at < bytes.len() {
        let end = blocks.last().map_or(0, |block| block.head.base + u64::from(block.head.span));
        let head = bytes[at..]
            .starts_with(&magic)
            .then(|| BlockHead::parse(&bytes[at..]))
            .flatten()
            .filter(|head| head.stream == stream && head.base >= end);
        let Some(head) = head else {
            lost.get_or_insert(at);
            at += 1;
            continue;
        };
        if let Some(from) = lost.take() {
            damaged.push(from..at);
        }
        let start = at + BLOCK_HEAD;
        let end = (start + head.len as usize).min(bytes.len());
        blocks.push(FoundBlock { head, records: start..end });
        at = end;
    }
    damaged.extend(lost.map(|from| from..bytes.len()));
    (blocks, damaged)
}

fn parse_any_head(bytes: &[u8]) -> Option<Box<[u8]>> {
    let stream = u64::from_le_bytes(*bytes.get(16..24)?.first_chunk()?);
    let segment = u32::from_le_bytes(*bytes.get(24..28)?.first_chunk()?);
    parse_segment_head(bytes, stream, segment)
}

/// Reads blocks of segments; keeps the files open that were read lately.
#[derive(Debug)]
pub(super) struct SegmentReader {
    disk: Arc<dyn Disk>,
    vault: Option<Arc<Vault>>,
    files: RefCell<Vec<OpenSegment>>,
}

#[derive(Debug)]
struct OpenSegment {
    stream: u64,
    segment: u32,
    file: Arc<dyn DiskFile>,
}

/// Segments that are kept open.
const OPEN_MAX: usize = 64;

impl SegmentReader {
    pub(super) fn new(disk: Arc<dyn Disk>, vault: Option<Arc<Vault>>) -> Self {
        Self { disk, vault, files: RefCell::new(Vec::new()) }
    }

    /// Closes the files of a stream.
    pub(super) fn forget(&self, stream: u64) {
        self.files.borrow_mut().retain(|open| open.stream != stream);
    }

    fn file(&self, stream: u64, segment: u32) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = self.files.borrow_mut();
        let found = files.iter().position(|open| open.stream == stream && open.segment == segment);
        if let Some(at) = found {
            // The one used last comes first.
            files[..=at].rotate_right(1);
            return Ok(Arc::clone(&files[0].file));
        }
        let file = self.disk.open(&segment_path(stream, segment), Open::Read)?;
        files.truncate(OPEN_MAX - 1);
        files.insert(0, OpenSegment { stream, segment, file: Arc::clone(&file) });
        Ok(file)
    }
}

impl BlockSource for SegmentReader {
    /// What a file lacks is missing from the bytes too, and its messages are damaged.
    fn read(&self, stream: u64, place: SegmentPlace, into: &mut Vec<u8>) -> Result<(), String> {
        let file = match self.file(stream, place.segment) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                into.clear();
                return Ok(());
            }
            Err(error) => return Err(error.to_string()),
        };
        into.resize(place.len as usize, 0);
        let read =
            file.read_at(u64::from(place.offset), into).map_err(|error| error.to_string())?;
        into.truncate(read);
        if let Some(vault) = &self.vault {
            if !vault.unseal(Area::Segment(stream, place.segment), into) {
                into.clear();
            }
        }
        Ok(())
    }

    fn added(&self) -> usize {
        if self.vault.is_some() {
            SEALED_MORE
        } else {
            0
        }
    }
}
