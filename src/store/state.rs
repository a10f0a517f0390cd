//! The state of a stream, and the index of a segment, as bytes.
//!
//! Both are one run of numbers of variable length and of byte strings, between a
//! head (magic, version, length) and a checksum over everything. A state is true:
//! what it says is not questioned, and what a segment has beyond the end it names
//! is not looked at.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::index::{varint, Facts, Gone, SegmentPlace};
use super::journal::{Position, VERSION};

/// What a state file says.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) stream: u64,
    /// States of one stream count up; two files take turns.
    pub(super) generation: u64,
    /// The journal that `covered` is a position of.
    pub(super) journal: u64,
    /// Every event before it is part of this state.
    pub(super) covered: Position,
    /// Where the last event of the stream stood.
    pub(super) changed: Position,
    /// Who the stream is, for its owner.
    pub(super) head: Box<[u8]>,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) last_time: u64,
    pub(super) messages: u64,
    pub(super) segments: Vec<SegmentEntry>,
    pub(super) tail: Option<TailEntry>,
    /// What the owner knows.
    pub(super) snapshot: Box<[u8]>,
}

/// A segment that the state counts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentEntry {
    pub(super) segment: u32,
    /// Bytes of it that were durable.
    pub(super) end: u32,
    /// Its index.
    pub(super) version: u32,
    /// Messages of it that are gone, which only the index knows.
    pub(super) has_gone: bool,
}

/// The messages that are in no segment yet.
#[derive(Clone, Debug)]
pub(super) struct TailEntry {
    pub(super) facts: Facts,
    pub(super) records: Vec<u8>,
}

/// What an index says of its segment.
#[derive(Clone, Debug, Default)]
pub(super) struct SegmentIndex {
    pub(super) stream: u64,
    pub(super) segment: u32,
    pub(super) version: u32,
    pub(super) subjects: Vec<Box<[u8]>>,
    pub(super) blocks: Vec<IndexBlock>,
}

/// A block of an index.
#[derive(Clone, Debug)]
pub(super) struct IndexBlock {
    pub(super) facts: Facts,
    pub(super) place: SegmentPlace,
    /// Messages by subject: a place in the index's list, ascending, and how many.
    pub(super) counts: Vec<(u32, u32)>,
}

/// Path of a stream's state file with that generation.
pub(super) fn state_path(stream: u64, generation: u64) -> String {
    format!("{}/state-{}", super::segment::stream_dir(stream), generation % 2)
}

const STATE_MAGIC: [u8; 8] = *b"MIDGESTA";
const INDEX_MAGIC: [u8; 8] = *b"MIDGEIDX";
const HEAD: usize = 24;

impl State {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = start(STATE_MAGIC);
        let Position { commit, offset } = self.covered;
        let changed = self.changed;
        let numbers = [self.stream, self.generation, self.journal, commit, offset];
        for number in numbers.into_iter().chain([changed.commit, changed.offset]) {
            varint::put(&mut out, number);
        }
        put_bytes(&mut out, &self.head);
        for number in [self.first_seq, self.last_seq, self.last_time, self.messages] {
            varint::put(&mut out, number);
        }
        varint::put(&mut out, self.segments.len() as u64);
        for entry in &self.segments {
            let numbers = [entry.segment, entry.end, entry.version, u32::from(entry.has_gone)];
            for number in numbers {
                varint::put(&mut out, u64::from(number));
            }
        }
        varint::put(&mut out, u64::from(self.tail.is_some()));
        if let Some(tail) = &self.tail {
            put_facts(&mut out, &tail.facts);
            put_bytes(&mut out, &tail.records);
        }
        put_bytes(&mut out, &self.snapshot);
        finish(out)
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = body(bytes, STATE_MAGIC)?;
        let rest = &mut rest;
        let mut state = Self {
            stream: varint::take(rest)?,
            generation: varint::take(rest)?,
            journal: varint::take(rest)?,
            covered: take_position(rest)?,
            changed: take_position(rest)?,
            head: take_bytes(rest)?.into(),
            first_seq: varint::take(rest)?,
            last_seq: varint::take(rest)?,
            last_time: varint::take(rest)?,
            messages: varint::take(rest)?,
            ..Self::default()
        };
        for _ in 0..varint::take(rest)? {
            state.segments.push(SegmentEntry {
                segment: take_u32(rest)?,
                end: take_u32(rest)?,
                version: take_u32(rest)?,
                has_gone: take_u32(rest)? != 0,
            });
        }
        if varint::take(rest)? != 0 {
            let facts = take_facts(rest)?;
            state.tail = Some(TailEntry { facts, records: take_bytes(rest)?.to_vec() });
        }
        state.snapshot = take_bytes(rest)?.into();
        Some(state)
    }
}

impl SegmentIndex {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = start(INDEX_MAGIC);
        varint::put(&mut out, self.stream);
        varint::put(&mut out, u64::from(self.segment));
        varint::put(&mut out, u64::from(self.version));
        varint::put(&mut out, self.subjects.len() as u64);
        for subject in &self.subjects {
            put_bytes(&mut out, subject);
        }
        varint::put(&mut out, self.blocks.len() as u64);
        for block in &self.blocks {
            put_facts(&mut out, &block.facts);
            varint::put(&mut out, u64::from(block.place.offset));
            varint::put(&mut out, u64::from(block.place.len));
            varint::put(&mut out, block.counts.len() as u64);
            let mut before = 0;
            for (subject, count) in &block.counts {
                // The lowest bit says whether a count follows that is not one.
                let difference = u64::from(subject.saturating_sub(before)) << 1;
                before = *subject;
                if *count == 1 {
                    varint::put(&mut out, difference);
                } else {
                    varint::put(&mut out, difference | 1);
                    varint::put(&mut out, u64::from(*count));
                }
            }
        }
        finish(out)
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = body(bytes, INDEX_MAGIC)?;
        let rest = &mut rest;
        let mut index = Self {
            stream: varint::take(rest)?,
            segment: take_u32(rest)?,
            version: take_u32(rest)?,
            ..Self::default()
        };
        for _ in 0..varint::take(rest)? {
            index.subjects.push(take_bytes(rest)?.into());
        }
        for _ in 0..varint::take(rest)? {
            let facts = take_facts(rest)?;
            let (offset, len) = (take_u32(rest)?, take_u32(rest)?);
            let mut counts = Vec::new();
            let mut subject = 0_u32;
            for _ in 0..varint::take(rest)? {
                let head = varint::take(rest)?;
                subject = subject.checked_add(u32::try_from(head >> 1).ok()?)?;
                let count = if head & 1 == 0 { 1 } else { take_u32(rest)? };
                if subject as usize >= index.subjects.len() {
                    return None;
                }
                counts.push((subject, count));
            }
            let place = SegmentPlace { segment: index.segment, offset, len };
            index.blocks.push(IndexBlock { facts, place, counts });
        }
        Some(index)
    }
}

pub(super) fn start(magic: [u8; 8]) -> Vec<u8> {
    let mut out = magic.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; HEAD - 12]);
    out
}

/// Puts length and checksum in their places.
pub(super) fn finish(mut out: Vec<u8>) -> Vec<u8> {
    let len = (out.len() as u64).to_le_bytes();
    if let Some(place) = out.get_mut(12..20) {
        place.copy_from_slice(&len);
    }
    let crc = crc32c::crc32c(&out).to_le_bytes();
    out.extend_from_slice(&crc);
    out
}

/// What is between head and checksum, if all is as it was written. Bytes behind it are left from
/// a longer one.
pub(super) fn body(bytes: &[u8], magic: [u8; 8]) -> Option<&[u8]> {
    if !bytes.starts_with(&magic) || bytes.get(8..12)? != VERSION.to_le_bytes() {
        return None;
    }
    let len = usize::try_from(u64::from_le_bytes(*bytes.get(12..20)?.first_chunk()?)).ok()?;
    let (covered, rest) = bytes.split_at_checked(len)?;
    let crc = u32::from_le_bytes(*rest.first_chunk()?);
    (crc32c::crc32c(covered) == crc).then(|| covered.get(HEAD..)).flatten()
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take_bytes<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let len = usize::try_from(varint::take(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(bytes)
}

fn take_position(rest: &mut &[u8]) -> Option<Position> {
    Some(Position { commit: varint::take(rest)?, offset: varint::take(rest)? })
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    u32::try_from(varint::take(rest)?).ok()
}

fn put_facts(out: &mut Vec<u8>, facts: &Facts) {
    for number in [
        facts.base,
        facts.base_time,
        u64::from(facts.span),
        u64::from(facts.live),
        facts.bytes,
        facts.gone.words().len() as u64,
    ] {
        varint::put(out, number);
    }
    for word in facts.gone.words() {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

fn take_facts(rest: &mut &[u8]) -> Option<Facts> {
    let base = varint::take(rest)?;
    let base_time = varint::take(rest)?;
    let span = take_u32(rest)?;
    let live = take_u32(rest)?;
    let bytes = varint::take(rest)?;
    let mut words = Vec::new();
    for _ in 0..varint::take(rest)? {
        let (word, after) = rest.split_first_chunk()?;
        words.push(u64::from_le_bytes(*word));
        *rest = after;
    }
    Some(Facts { base, base_time, span, live, bytes, gone: Gone::from_words(words) })
}
