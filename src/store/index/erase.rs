//! Overwriting messages that somebody wants gone for good, and leaving behind
//! what removed messages take.
//!
//! An erased record has the length, the subject and the place that it had; its
//! headers and payload are zeros, and its body checksum is the complement of the
//! one that zeros have. So records behind it are found as before, what it counted
//! for is still known, and whoever reads a segment without its index sees that
//! the message is gone.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::block::{Block, Blocks, Place, SegmentPlace};
use super::gone::Gone;
use super::point::Marks;
use super::record::{self, Salt};

/// Bytes of a segment that are to be overwritten.
#[derive(Clone, Debug)]
pub(in crate::store) struct Overwrite {
    pub(in crate::store) segment: u32,
    pub(in crate::store) offset: u64,
    pub(in crate::store) bytes: Arc<Vec<u8>>,
}

/// A block that is to be written anew without what is gone.
#[derive(Clone, Debug)]
pub(in crate::store) struct Sparse {
    pub(in crate::store) base: u64,
    pub(in crate::store) base_time: u64,
    pub(in crate::store) span: u32,
    pub(in crate::store) live: u32,
    pub(in crate::store) place: SegmentPlace,
    gone: Gone,
}

/// Least bytes that a record takes beside its subject, headers and payload; what a message counts
/// for includes thirty.
const COUNTED_MORE: u64 = 13;

impl Blocks {
    /// Overwrites a message in memory; returns what is to be overwritten in a segment, if it is in
    /// one. The message is removed next.
    pub(in crate::store) fn erase(&mut self, seq: u64) -> Option<Overwrite> {
        if !self.contains(seq) {
            return None;
        }
        let at = self.block_from(seq);
        let (start, bytes) = {
            let cache = Rc::clone(&self.cache);
            let mut cache = cache.borrow_mut();
            let opened = self.open(at, &mut cache).ok()?;
            let header = opened.header(seq)?;
            (header.start, record::erased(opened.bytes, &header, opened.salt())?)
        };
        let put = |block: &mut Vec<u8>| {
            if let Some(place) = block.get_mut(start..start + bytes.len()) {
                place.copy_from_slice(&bytes);
            }
        };
        let Some(block) = self.closed.get_mut(at) else {
            put(&mut self.tail.bytes);
            return None;
        };
        self.cache.borrow_mut().forget(self.stream, block.facts.base);
        if let Place::Memory(block) | Place::Writing(block, _) = &mut block.place {
            put(Arc::make_mut(block));
        }
        let place = block.place.segment()?;
        let offset = u64::from(place.offset) + start as u64;
        Some(Overwrite { segment: place.segment, offset, bytes: Arc::new(bytes) })
    }

    /// Bytes of live messages in each segment, about.
    pub(in crate::store) fn live_bytes(&self) -> BTreeMap<u32, u64> {
        let mut segments = BTreeMap::new();
        for block in &self.closed {
            if let Some(place) = block.place.segment() {
                let counted = block.facts.bytes - block.facts.bytes.min(least_overhead(block));
                *segments.entry(place.segment).or_default() += counted.min(u64::from(place.len));
            }
        }
        segments
    }

    /// The blocks that have arrived in `segments`, by sequence.
    pub(in crate::store) fn sparse(&self, segments: &[u32]) -> Vec<Sparse> {
        let blocks = self.closed.iter().filter_map(|block| match block.place {
            Place::Segment(place) if segments.contains(&place.segment) => Some(Sparse {
                base: block.facts.base,
                base_time: block.facts.base_time,
                span: block.facts.span,
                live: block.facts.live,
                place,
                gone: block.facts.gone.clone(),
            }),
            _ => None,
        });
        blocks.collect()
    }

    /// A block has another place now, if it still had the one before.
    pub(in crate::store) fn relocate(&mut self, base: u64, from: SegmentPlace, to: SegmentPlace) {
        let at = self.closed.partition_point(|block| block.facts.base < base);
        if let Some(block) = self.closed.get_mut(at).filter(|block| block.facts.base == base) {
            if matches!(block.place, Place::Segment(place) if place == from) {
                block.place = Place::Segment(to);
                block.marks = Marks::default();
                self.cache.borrow_mut().forget(self.stream, base);
            }
        }
    }
}

impl Sparse {
    /// The records that are left of `block`, which is as it stands in its segment; `None` if some
    /// of them cannot be told.
    pub(in crate::store) fn live_records(&self, stream: u64, block: &[u8]) -> Option<Vec<u8>> {
        let mut live = Vec::new();
        let mut count = 0;
        let salt = Salt::new(stream, self.base, self.base_time);
        let keep = |start: usize, header: record::Header| {
            if header.at < self.span && !self.gone.contains(header.at) {
                count += 1;
                live.extend_from_slice(block.get(start..header.end()).unwrap_or_default());
            }
        };
        record::scan(block, 0, salt, keep, |_| {});
        (count == self.live).then_some(live)
    }
}

fn least_overhead(block: &Block) -> u64 {
    u64::from(block.facts.live) * COUNTED_MORE
}
