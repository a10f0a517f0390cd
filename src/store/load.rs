//! A stream as its files have it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::disk::{read_whole, Disk, Open};
use super::files::{FileName, StreamFiles};
use super::index::{Blocks, SegmentPlace};
use super::journal::Position;
use super::segment::{
    find_blocks, index_path, parse_index, parse_segment, parse_segment_head, segment_path,
    stream_dir,
};
use super::state::{state_path, SegmentEntry, SegmentIndex, State};
use super::vault::{Area, Vault};
use super::Damage;

/// Where streams are read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) disk: &'a dyn Disk,
    /// What opens what is sealed.
    pub(super) vault: Option<&'a Vault>,
}

impl Source<'_> {
    /// The contents of a file that is sealed as a whole; empty if it cannot be opened.
    fn unwrap(&self, area: Area, bytes: Vec<u8>) -> Vec<u8> {
        match self.vault {
            Some(vault) => vault.unwrap(area, &bytes).unwrap_or_default(),
            None => bytes,
        }
    }

    /// A part of a file as it was before it was sealed; `None` if it is damaged.
    pub(super) fn unsealed(&self, area: Area, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = bytes.to_vec();
        self.vault.is_none_or(|vault| vault.unseal(area, &mut bytes)).then_some(bytes)
    }
}

/// A stream that was read.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) head: Box<[u8]>,
    pub(super) snapshot: Option<Box<[u8]>>,
    pub(super) covered: Position,
    pub(super) changed: Position,
    pub(super) blocks: Blocks,
    pub(super) files: StreamFiles,
    /// Nothing that its state counts on is missing or damaged.
    pub(super) is_whole: bool,
}

/// The state files of a stream, newest first, those that are whole.
pub(super) fn read_states(
    source: Source<'_>,
    stream: u64,
    damage: &mut Vec<Damage>,
) -> io::Result<Vec<State>> {
    let mut states = Vec::new();
    for slot in 0..2 {
        let file = state_path(stream, slot);
        let Some(bytes) = read_whole(source.disk, &file)? else { continue };
        match State::parse(&source.unwrap(Area::State(stream), bytes)) {
            Some(state) if state.stream == stream => {
                if state.generation % 2 != slot {
                    damage.push(Damage::State { file, problem: "has the other one's place" });
                }
                states.push(state);
            }
            Some(_) => damage.push(Damage::State { file, problem: "belongs elsewhere" }),
            None => damage.push(Damage::State { file, problem: "damaged" }),
        }
    }
    states.sort_by_key(|state| std::cmp::Reverse(state.generation));
    Ok(states)
}

/// Loads a stream from one of `states`: the newest whose segments and indexes are whole, or the
/// newest with what is left of them. `empty` makes an empty stream.
pub(super) fn load(
    source: Source<'_>,
    states: &[State],
    empty: &dyn Fn() -> Blocks,
    damage: &mut Vec<Damage>,
) -> io::Result<Option<Loaded>> {
    let mut problems = Vec::new();
    for state in states {
        let mut found = Vec::new();
        if let Some(blocks) = assemble(source, state, empty(), &mut found)? {
            damage.append(&mut problems);
            return Ok(Some(loaded(source, state, states, blocks, true)?));
        }
        problems.append(&mut found);
    }
    damage.append(&mut problems);
    let Some(state) = states.first() else { return Ok(None) };
    let blocks = patch(source, state, empty(), damage)?;
    Ok(Some(loaded(source, state, states, blocks, false)?))
}

/// Puts a stream without a usable state together from its segments. `None` if it has none.
pub(super) fn rebuild(
    source: Source<'_>,
    stream: u64,
    mut blocks: Blocks,
    damage: &mut Vec<Damage>,
) -> io::Result<Option<Loaded>> {
    let names = source.disk.list(&stream_dir(stream))?;
    let segments: BTreeSet<u32> = names.iter().filter_map(|name| parse_segment(name)).collect();
    let mut head = None;
    let mut files = StreamFiles::existing();
    let mut known = Known::default();
    // A block that was written twice is whole where it was written last.
    for segment in segments.into_iter().rev() {
        let path = segment_path(stream, segment);
        let Some(bytes) = read_whole(source.disk, &path)? else { continue };
        head = head.or_else(|| {
            let head = parse_segment_head(&bytes, stream, segment)?;
            source.unsealed(Area::Head(stream), &head)
        });
        let end = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let range = (1, u64::MAX);
        restore_segment(source, &bytes, segment, &mut blocks, &mut known, range, damage);
        files.add_segment(segment, end);
        files.seal();
    }
    blocks.sort();
    let last_seq = blocks.closed_end().saturating_sub(1);
    if last_seq == 0 && head.is_none() {
        return Ok(None);
    }
    damage.push(Damage::Rebuilt { stream });
    let last_time = blocks.closed_time();
    blocks.set_ends(0, last_seq, last_time);
    blocks.settle_first();
    files.set_on_disk(files_on_disk(&names));
    Ok(Some(Loaded {
        head: head.unwrap_or_default().into(),
        snapshot: None,
        covered: Position::default(),
        changed: Position::default(),
        blocks,
        files,
        is_whole: false,
    }))
}

/// The stream that `state` describes; `None` if some of it is missing or damaged.
fn assemble(
    source: Source<'_>,
    state: &State,
    mut blocks: Blocks,
    damage: &mut Vec<Damage>,
) -> io::Result<Option<Blocks>> {
    let stream = state.stream;
    let mut is_whole = true;
    for entry in &state.segments {
        if size(source, &segment_path(stream, entry.segment))? < u64::from(entry.end) {
            damage.push(Damage::FileShort { file: segment_path(stream, entry.segment) });
            is_whole = false;
        }
        match read_index(source, stream, entry)? {
            Some(index) if is_whole => blocks.restore_index(&index, state.first_seq),
            Some(_) => {}
            None => {
                let file = index_path(stream, entry.segment, entry.version);
                damage.push(Damage::Index { file });
                is_whole = false;
            }
        }
    }
    finish(state, &mut blocks);
    if is_whole && blocks.messages() != state.messages {
        let file = state_path(stream, state.generation);
        damage.push(Damage::State { file, problem: "counts other messages than its segments" });
        is_whole = false;
    }
    Ok(is_whole.then_some(blocks))
}

/// The stream that `state` describes, with what is left of its segments.
fn patch(
    source: Source<'_>,
    state: &State,
    mut blocks: Blocks,
    damage: &mut Vec<Damage>,
) -> io::Result<Blocks> {
    let stream = state.stream;
    let mut known = Known::default();
    let mut without_index = Vec::new();
    for entry in &state.segments {
        match read_index(source, stream, entry)? {
            Some(index) => {
                // What the segment lacks is found damaged when it is read.
                blocks.restore_index(&index, state.first_seq);
                let facts = index.blocks.iter().map(|block| &block.facts);
                facts.for_each(|facts| known.insert(facts.base, facts.end()));
            }
            None => without_index.push(entry),
        }
    }
    for entry in without_index {
        let path = segment_path(stream, entry.segment);
        let mut bytes = read_whole(source.disk, &path)?.unwrap_or_default();
        bytes.truncate(entry.end as usize);
        let range = (state.first_seq, state.last_seq);
        restore_segment(source, &bytes, entry.segment, &mut blocks, &mut known, range, damage);
        if entry.has_gone {
            damage.push(Damage::Rebuilt { stream });
        }
    }
    finish(state, &mut blocks);
    Ok(blocks)
}

fn finish(state: &State, blocks: &mut Blocks) {
    blocks.sort();
    if let Some(tail) = &state.tail {
        blocks.restore_tail(tail.facts.clone(), tail.records.clone());
    }
    blocks.set_ends(state.first_seq, state.last_seq, state.last_time);
    blocks.settle_first_above(state.first_seq);
}

fn restore_segment(
    source: Source<'_>,
    bytes: &[u8],
    segment: u32,
    blocks: &mut Blocks,
    known: &mut Known,
    (first_seq, last_seq): (u64, u64),
    damage: &mut Vec<Damage>,
) {
    let stream = blocks.stream();
    let file = segment_path(stream, segment);
    let (found, lost) = find_blocks(bytes, stream);
    let mut name = |from: usize, to: usize| {
        let (from, to) = (from as u64, to as u64);
        damage.push(Damage::Segment { file: file.clone(), from, to });
    };
    lost.iter().for_each(|range| name(range.start, range.end));
    for block in found {
        let end = block.head.base.saturating_add(u64::from(block.head.span));
        let is_wanted = end > first_seq && block.head.base <= last_seq;
        if !is_wanted || !known.take(block.head.base, end) {
            continue;
        }
        let offset = u32::try_from(block.records.start).unwrap_or(u32::MAX);
        let place = SegmentPlace { segment, offset, len: block.head.len };
        let records = bytes.get(block.records.clone()).unwrap_or_default();
        let Some(records) = source.unsealed(Area::Segment(stream, segment), records) else {
            name(block.records.start, block.records.end);
            continue;
        };
        for range in blocks.restore_found(&block.head, &records, place, first_seq) {
            name(block.records.start + range.start, block.records.start + range.end);
        }
    }
}

/// Which sequences blocks were found for.
#[derive(Debug, Default)]
struct Known {
    /// Ends of the blocks by their first sequence.
    ends: BTreeMap<u64, u64>,
}

impl Known {
    /// Whether no other block has any of these sequences; it has them now.
    fn take(&mut self, base: u64, end: u64) -> bool {
        let before = self.ends.range(..end).next_back();
        let is_free = before.is_none_or(|(_, before)| *before <= base);
        if is_free {
            self.insert(base, end);
        }
        is_free
    }

    fn insert(&mut self, base: u64, end: u64) {
        self.ends.insert(base, end);
    }
}

pub(super) fn read_index(
    source: Source<'_>,
    stream: u64,
    entry: &SegmentEntry,
) -> io::Result<Option<SegmentIndex>> {
    let bytes = read_whole(source.disk, &index_path(stream, entry.segment, entry.version))?;
    let area = Area::Index(stream);
    let index = bytes.and_then(|bytes| SegmentIndex::parse(&source.unwrap(area, bytes)));
    Ok(index.filter(|index| {
        (index.stream, index.segment, index.version) == (stream, entry.segment, entry.version)
    }))
}

fn size(source: Source<'_>, path: &str) -> io::Result<u64> {
    match source.disk.open(path, Open::Read) {
        Ok(file) => file.size(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn loaded(
    source: Source<'_>,
    state: &State,
    states: &[State],
    blocks: Blocks,
    is_whole: bool,
) -> io::Result<Loaded> {
    let stream = state.stream;
    let mut files = StreamFiles::existing();
    for entry in &state.segments {
        files.add_segment(entry.segment, entry.end);
        files.set_version(entry.segment, entry.version);
    }
    files.generation = state.generation;
    // A state that is not the one before this one protects nothing.
    let older = states.iter().find(|older| older.generation + 1 == state.generation);
    files.covered = [older.map_or_else(Position::default, |older| older.covered), state.covered];
    files.named = [older.map(named).unwrap_or_default(), named(state)];
    let tail = |state: &State| {
        state.tail.as_ref().map_or_else(|| state.last_seq.saturating_add(1), |tail| tail.facts.base)
    };
    files.tails = [older.map_or(0, tail), tail(state)];
    files.is_trusted = older.is_some() || state.generation == 1;
    files.set_on_disk(files_on_disk(&source.disk.list(&stream_dir(stream))?));
    Ok(Loaded {
        head: state.head.clone(),
        snapshot: Some(state.snapshot.clone()),
        covered: state.covered,
        changed: state.changed,
        blocks,
        files,
        is_whole,
    })
}

fn named(state: &State) -> BTreeSet<FileName> {
    let names = state.segments.iter().flat_map(|entry| {
        [FileName::Segment(entry.segment), FileName::Index(entry.segment, entry.version)]
    });
    names.collect()
}

fn files_on_disk(names: &[String]) -> BTreeSet<FileName> {
    let segments = names.iter().filter_map(|name| parse_segment(name)).map(FileName::Segment);
    let indexes = names
        .iter()
        .filter_map(|name| parse_index(name))
        .map(|(segment, version)| FileName::Index(segment, version));
    segments.chain(indexes).collect()
}
