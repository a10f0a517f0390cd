//! Blocks that were read lately, with the places of their records.

use std::sync::Arc;

use super::record::{self, Salt};

/// Where a record stands: its sequence and its first byte, relative to the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Spot {
    pub(in crate::store) at: u32,
    pub(in crate::store) start: u32,
}

/// A block whose records are known.
#[derive(Debug)]
pub(super) struct Loaded {
    key: Key,
    bytes: Bytes,
    spots: Vec<Spot>,
    used: u64,
}

#[derive(Debug)]
enum Bytes {
    Own(Vec<u8>),
    Shared(Arc<Vec<u8>>),
}

/// The stream and the first sequence of a block, and where it lies: blocks with the same key
/// have the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) stream: u64,
    pub(super) base: u64,
}

/// See the module's documentation. The block used longest ago makes room, and its memory is
/// used again.
#[derive(Debug)]
pub(in crate::store) struct Cache {
    slots: Vec<Loaded>,
    slots_max: usize,
    uses: u64,
    last: usize,
    /// Blocks that were not here when they were asked for, in turn.
    missed: [Key; MISSED_MAX],
    misses: usize,
}

/// Decoded blocks that a cache keeps.
pub(in crate::store) const CACHE_SLOTS: usize = 32;

/// Blocks missed lately that are remembered: one asked for again among as many is read whole.
const MISSED_MAX: usize = 8;

/// Memory of a slot that is kept when a larger block was in it.
const KEPT_MAX: usize = 256 << 10;

impl Cache {
    pub(in crate::store) fn new(slots_max: usize) -> Self {
        Self {
            slots: Vec::new(),
            slots_max,
            uses: 0,
            last: 0,
            missed: [NOBODY; MISSED_MAX],
            misses: 0,
        }
    }

    /// The block `key`, if it is here.
    pub(super) fn find(&mut self, key: Key) -> Option<usize> {
        let at = match self.slots.get(self.last) {
            Some(slot) if slot.key == key => self.last,
            _ => self.slots.iter().position(|slot| slot.key == key)?,
        };
        self.uses += 1;
        self.slots[at].used = self.uses;
        self.last = at;
        Some(at)
    }

    /// Whether the block is neither here nor, if it `is_far` away, among those that were asked
    /// for just now.
    pub(super) fn is_rare(&mut self, key: Key, is_far: bool) -> bool {
        if self.find(key).is_some() {
            return false;
        }
        if is_far {
            if self.missed.contains(&key) {
                return false;
            }
            self.missed[self.misses % MISSED_MAX] = key;
            self.misses = self.misses.wrapping_add(1);
        }
        true
    }

    /// Takes in a block that is in memory.
    pub(super) fn share(&mut self, key: Key, salt: Salt, bytes: &Arc<Vec<u8>>) -> usize {
        let at = self.make_room(key);
        let slot = &mut self.slots[at];
        slot.bytes = Bytes::Shared(Arc::clone(bytes));
        slot.find_records(salt);
        at
    }

    /// Takes in a block that `read` brings.
    pub(super) fn load<E>(
        &mut self,
        key: Key,
        salt: Salt,
        read: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let at = self.make_room(key);
        let slot = &mut self.slots[at];
        let mut bytes = match std::mem::replace(&mut slot.bytes, Bytes::Own(Vec::new())) {
            Bytes::Own(bytes) => bytes,
            Bytes::Shared(_) => Vec::new(),
        };
        bytes.truncate(KEPT_MAX);
        bytes.shrink_to(KEPT_MAX);
        let outcome = read(&mut bytes);
        slot.bytes = Bytes::Own(bytes);
        if let Err(error) = outcome {
            slot.key = NOBODY;
            return Err(error);
        }
        slot.find_records(salt);
        Ok(at)
    }

    /// Forgets a block.
    pub(in crate::store) fn forget(&mut self, stream: u64, base: u64) {
        for slot in self.slots.iter_mut().filter(|slot| slot.key == Key { stream, base }) {
            slot.key = NOBODY;
            slot.used = 0;
            slot.bytes = Bytes::Own(Vec::new());
        }
    }

    /// Forgets all blocks of a stream.
    pub(in crate::store) fn forget_stream(&mut self, stream: u64) {
        for slot in self.slots.iter_mut().filter(|slot| slot.key.stream == stream) {
            slot.key = NOBODY;
            slot.used = 0;
            slot.bytes = Bytes::Own(Vec::new());
        }
    }

    pub(super) fn get(&self, at: usize) -> (&[u8], &[Spot]) {
        let slot = &self.slots[at];
        (slot.bytes.as_slice(), &slot.spots)
    }

    fn make_room(&mut self, key: Key) -> usize {
        self.uses += 1;
        let at = if self.slots.len() < self.slots_max {
            self.slots.push(Loaded {
                key,
                bytes: Bytes::Own(Vec::new()),
                spots: Vec::new(),
                used: 0,
            });
            self.slots.len() - 1
        } else {
            let oldest = self.slots.iter().enumerate().min_by_key(|(_, slot)| slot.used);
            oldest.map_or(0, |(at, _)| at)
        };
        self.slots[at].key = key;
        self.slots[at].used = self.uses;
        self.last = at;
        at
    }
}

/// A key that no block has: streams count from 1.
const NOBODY: Key = Key { stream: 0, base: 0 };

impl Loaded {
    fn find_records(&mut self, salt: Salt) {
        self.spots.clear();
        let spots = &mut self.spots;
        let found = |start: usize, header: record::Header| {
            let start = u32::try_from(start).unwrap_or(u32::MAX);
            spots.push(Spot { at: header.at, start });
        };
        // Whoever misses a record knows that it should be there.
        record::scan(self.bytes.as_slice(), 0, salt, found, |_| {});
    }
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// The index of the record with relative sequence `at`, or of the first one after it.
pub(super) fn spot_from(spots: &[Spot], at: u32) -> usize {
    // Without gaps, which is the rule, a record stands where its sequence says.
    match spots.get(at as usize) {
        Some(spot) if spot.at == at => at as usize,
        _ => spots.partition_point(|spot| spot.at < at),
    }
}
