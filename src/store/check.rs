//! Verifying a store without changing it.
//!
//! The same readers as at a start go over the same files, and then over what a
//! start leaves alone because it trusts an index: every block of every segment,
//! every record of every block, every message. Nothing is written, and a mark of
//! a clean stop is not believed.

use std::io;
use std::sync::Arc;

use super::disk::{read_whole, Disk};
use super::index::damaged_records;
use super::load::{read_index, read_states};
use super::segment::{find_blocks, index_path, segment_path};
use super::store::{Store, StoreOptions};
use super::vault::Area;
use super::{Damage, Message, ReadError, Record, Replay, StoreError, StreamId, StreamStore};

/// What a store has, and what of it is damaged.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In order of their numbers.
    pub streams: Vec<StreamReport>,
    /// Damage that belongs to no stream: the journal's, and what is left of streams that are gone.
    pub damage: Vec<Damage>,
    /// Commits that no state covers: what a start has to replay.
    pub commits: usize,
}

/// A stream as it would be after a start.
#[derive(Clone, Debug, Default)]
pub struct StreamReport {
    /// Its number, which names its directory.
    pub id: u64,
    /// What its owner wrote about it when it was made.
    pub head: Box<[u8]>,
    /// Messages it has, damaged ones included.
    pub messages: u64,
    /// First and last sequence.
    pub ends: (u64, u64),
    /// Segments it has.
    pub segments: usize,
    /// What is damaged, each thing once.
    pub damage: Vec<Damage>,
}

impl Report {
    /// Whether everything is as it was written.
    pub fn is_intact(&self) -> bool {
        self.damage.is_empty() && self.streams.iter().all(|stream| stream.damage.is_empty())
    }

    /// Everything that is damaged.
    pub fn all_damage(&self) -> impl Iterator<Item = &Damage> + '_ {
        self.damage.iter().chain(self.streams.iter().flat_map(|stream| &stream.damage))
    }

    fn add(&mut self, damage: Damage) {
        let owner = damage.stream();
        let stream = self.streams.iter_mut().find(|stream| Some(stream.id) == owner);
        let list = stream.map_or(&mut self.damage, |stream| &mut stream.damage);
        if !list.contains(&damage) {
            list.push(damage);
        }
    }
}

/// Verifies the store on `disk`, reading all of it. Blocks.
///
/// # Errors
/// The device failed.
pub fn check(disk: Arc<dyn Disk>, options: StoreOptions) -> Result<Report, StoreError> {
    let mut owner = Owner::default();
    let store = Store::open_to_read(disk, options, &mut owner)?;
    let mut report = Report { commits: store.replayed, ..Report::default() };
    for (id, stream) in &mut owner.streams {
        let extent = stream.store.extent();
        let segments = store.streams.get(&id.0).map_or(0, |stream| stream.files.segments.len());
        report.streams.push(StreamReport {
            id: id.0,
            head: std::mem::take(&mut stream.head),
            messages: extent.messages,
            ends: (extent.first_seq, extent.last_seq),
            segments,
            damage: Vec::new(),
        });
    }
    for damage in std::mem::take(&mut owner.damage) {
        report.add(damage);
    }
    for (id, stream) in &mut owner.streams {
        check_files(&store, id.0, &mut report)
            .map_err(|error| StoreError::Device(error.to_string()))?;
        check_messages(id.0, &mut *stream.store, &mut report)?;
    }
    Ok(report)
}

/// The files that the states of a stream count on.
fn check_files(store: &Store, id: u64, report: &mut Report) -> io::Result<()> {
    let source = store.files();
    for state in read_states(source, id, &mut Vec::new())? {
        for entry in &state.segments {
            if read_index(source, id, entry)?.is_none() {
                let file = index_path(id, entry.segment, entry.version);
                report.add(Damage::Index { file });
            }
        }
    }
    let Some(stream) = store.streams.get(&id) else { return Ok(()) };
    for (segment, known) in &stream.files.segments {
        let file = segment_path(id, *segment);
        let mut bytes = read_whole(source.disk, &file)?.unwrap_or_default();
        // What is behind the end that the states name was never counted on.
        bytes.truncate(known.end as usize);
        if bytes.len() < known.end as usize {
            report.add(Damage::FileShort { file: file.clone() });
        }
        let mut name = |from: usize, to: usize| {
            report.add(Damage::Segment { file: file.clone(), from: from as u64, to: to as u64 });
        };
        let (blocks, lost) = find_blocks(&bytes, id);
        lost.iter().for_each(|range| name(range.start, range.end));
        for block in blocks {
            let records = bytes.get(block.records.clone()).unwrap_or_default();
            let Some(records) = source.unsealed(Area::Segment(id, *segment), records) else {
                name(block.records.start, block.records.end);
                continue;
            };
            for range in damaged_records(&records, block.head.salt()) {
                name(block.records.start + range.start, block.records.start + range.end);
            }
        }
    }
    Ok(())
}

/// The messages, as readers get them.
fn check_messages(
    id: u64,
    store: &mut dyn StreamStore,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut message = Message::default();
    let mut lost: Option<(u64, u64)> = None;
    let mut next = store.next_seq(0);
    while let Some(seq) = next {
        match store.read(seq, &mut message) {
            Ok(_) => {}
            Err(ReadError::Damaged(_)) => match &mut lost {
                Some((_, last)) if *last + 1 == seq => *last = seq,
                run => {
                    if let Some((first, last)) = run.replace((seq, seq)) {
                        report.add(Damage::Messages { stream: id, first, last });
                    }
                }
            },
            Err(error) => return Err(StoreError::Device(error.to_string())),
        }
        next = store.next_seq(seq.saturating_add(1));
    }
    if let Some((first, last)) = lost {
        report.add(Damage::Messages { stream: id, first, last });
    }
    Ok(())
}

/// Takes in what there is, and does nothing with it.
#[derive(Debug, Default)]
struct Owner {
    streams: std::collections::BTreeMap<StreamId, Owned>,
    damage: Vec<Damage>,
}

#[derive(Debug)]
struct Owned {
    head: Box<[u8]>,
    store: Box<dyn StreamStore>,
}

impl Replay for Owner {
    fn stream(&mut self, id: StreamId, head: &[u8], _: Option<&[u8]>, store: Box<dyn StreamStore>) {
        self.streams.insert(id, Owned { head: head.into(), store });
    }

    fn appended(&mut self, _: StreamId, _: u64, _: &Record<'_>) {}

    fn removed(&mut self, _: StreamId, _: u64) {}

    fn removed_below(&mut self, _: StreamId, _: u64) {}

    fn skipped(&mut self, _: StreamId, _: u64) {}

    fn note(&mut self, _: StreamId, _: &[u8]) {}

    fn deleted(&mut self, id: StreamId) {
        self.streams.remove(&id);
    }

    fn damaged(&mut self, damage: &Damage) {
        self.damage.push(damage.clone());
    }
}
