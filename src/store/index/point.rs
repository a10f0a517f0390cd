//! One message found in a block without decoding the block: where the records
//! before it end is read from their lengths alone, and only the one that is asked
//! for is checked. Whatever does not fit is left to the whole block's reader.
//!
//! Cost: fewer than [`STRIDE`] headers stepped over, one checksum, and for a
//! block in a segment one read of the part between two marks.

use std::cell::OnceCell;

use super::block::{Block, BlockSource, Blocks, Place, SegmentPlace};
use super::cache::{Key, Spot};
use super::record::{self, Header};
use crate::store::Message;

/// Where every [`STRIDE`]th record of a block stands; unknown until the block was decoded once.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Marks(OnceCell<Box<[Spot]>>);

/// Records from one mark to the next: a byte of memory for each record.
const STRIDE: usize = 8;

impl Marks {
    pub(super) fn of(spots: &[Spot]) -> Self {
        let marks = Self::default();
        marks.set(spots);
        marks
    }

    /// Takes them from the places of all records of the block, if they are not known yet.
    pub(super) fn set(&self, spots: &[Spot]) {
        self.0.get_or_init(|| spots.iter().step_by(STRIDE).copied().collect());
    }

    /// The first byte of the last mark at or before `at`, and of the one after it.
    fn around(&self, at: u32) -> Option<(u32, Option<u32>)> {
        let marks = self.0.get()?;
        let after = marks.partition_point(|mark| mark.at <= at);
        let mark = marks.get(after.checked_sub(1)?)?;
        Some((mark.start, marks.get(after).map(|mark| mark.start)))
    }
}

impl Blocks {
    /// Reads a message of a block that is closed and not decoded; returns whether that was done.
    /// A block in a segment that is asked for again soon is better read whole.
    pub(super) fn read_point(&mut self, block: usize, seq: u64, into: &mut Message) -> bool {
        let Some(closed) = self.closed.get(block) else { return false };
        let key = Key { stream: self.stream, base: closed.facts.base };
        let is_far = matches!(closed.place, Place::Segment(_));
        if !self.cache.borrow_mut().is_rare(key, is_far) {
            return false;
        }
        let mut part = std::mem::take(&mut self.part);
        let is_read = closed.read_point(self.stream, &*self.source, seq, &mut part, into);
        self.part = part;
        is_read.is_some()
    }
}

impl Block {
    fn read_point(
        &self,
        stream: u64,
        source: &dyn BlockSource,
        seq: u64,
        part: &mut Vec<u8>,
        into: &mut Message,
    ) -> Option<()> {
        let at = u32::try_from(seq.checked_sub(self.facts.base)?).ok()?;
        let (start, end) = self.marks.around(at)?;
        let (bytes, start) = match &self.place {
            Place::Memory(bytes) | Place::Writing(bytes, _) => (bytes.as_slice(), start as usize),
            Place::Segment(_) if source.added() > 0 => return None,
            Place::Segment(place) => {
                let len = end.unwrap_or(place.len).checked_sub(start)?;
                let offset = place.offset.checked_add(start)?;
                source.read(stream, SegmentPlace { offset, len, ..*place }, part).ok()?;
                (part.as_slice(), 0)
            }
        };
        let start = find(bytes, start, at)?;
        let header = Header::parse(bytes, start, self.salt(stream)).filter(|h| h.at == at)?;
        into.set(seq, &header.record(bytes, self.facts.base_time)?);
        Some(())
    }
}

/// The first byte of record `at`, by the lengths of those before it.
fn find(bytes: &[u8], mut start: usize, at: u32) -> Option<usize> {
    for _ in 0..STRIDE {
        let (found, end) = record::skim(bytes, start)?;
        if found >= at {
            return (found == at).then_some(start);
        }
        start = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_before_and_one_after() {
        let spots: Vec<Spot> = (0..40).map(|at| Spot { at: at * 2, start: at * 100 }).collect();
        let marks = Marks::default();
        assert_eq!(marks.around(5), None);
        marks.set(&spots);
        assert_eq!(marks.around(0), Some((0, Some(800))));
        assert_eq!(marks.around(15), Some((0, Some(800))));
        assert_eq!(marks.around(16), Some((800, Some(1600))));
        assert_eq!(marks.around(1000), Some((3200, None)));
    }
}
