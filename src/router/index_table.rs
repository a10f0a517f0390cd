//! A hash table of slot numbers.

use hashbrown::HashTable;

/// Finds slots of a slab by what the slots hold.
///
/// An entry keeps 32 bits of the hash beside the slot number: a lookup touches
/// the slab only for the right slot, but for one chance in 2^32, and a growing
/// table need not read all slots again.
///
/// The table is cut into segments that grow each on their own: what a growing
/// hash table copies in one piece, in the middle of a turn, is a 64th. At a
/// million entries that is well below a millisecond instead of tens of them.
#[derive(Debug)]
pub(super) struct IndexTable {
    segments: Box<[HashTable<Entry>; SEGMENTS]>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    index: u32,
}

impl IndexTable {
    pub(super) fn new() -> Self {
        Self { segments: Box::new([const { HashTable::new() }; SEGMENTS]) }
    }

    /// The slot with this hash for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let hash = kept(hash);
        self.segments[segment(hash)]
            .find(spread(hash), |entry| entry.hash == hash && is_it(entry.index))
            .map(|entry| entry.index)
    }

    /// Adds a slot that is not in the table.
    pub(super) fn insert(&mut self, hash: u64, index: u32) {
        let hash = kept(hash);
        let entry = Entry { hash, index };
        self.segments[segment(hash)].insert_unique(spread(hash), entry, |entry| spread(entry.hash));
    }

    /// Takes out a slot that is in the table.
    pub(super) fn remove(&mut self, hash: u64, index: u32) {
        let hash = kept(hash);
        let found =
            self.segments[segment(hash)].find_entry(spread(hash), |entry| entry.index == index);
        let Ok(found) = found else { unreachable!("slot {index} is not in its table") };
        found.remove();
    }

    /// Bytes allocated for the table.
    pub(super) fn bytes(&self) -> usize {
        let segments = self.segments.iter().map(HashTable::allocation_size);
        size_of_val(&*self.segments) + segments.sum::<usize>()
    }
}

/// The part of a hash that an entry keeps.
#[inline]
fn kept(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The segment of an entry: the lowest bits of what was kept.
#[inline]
fn segment(kept: u32) -> usize {
    kept as usize % SEGMENTS
}

/// A hash for a segment, which takes an entry's place from the low bits and its
/// tag from the highest seven. With up to 2^25 entries in all, these and the
/// segment are different bits of what was kept.
#[inline]
fn spread(kept: u32) -> u64 {
    u64::from(kept) << 32 | u64::from(kept >> SEGMENTS.trailing_zeros())
}

const SEGMENTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_with_equal_hashes_are_told_apart() {
        let mut table = IndexTable::new();
        for index in 0..100 {
            table.insert(0xABCD_0000_0000, index);
        }
        assert_eq!(table.find(0xABCD_0000_0000, |index| index == 42), Some(42));
        table.remove(0xABCD_0000_0000, 42);
        assert_eq!(table.find(0xABCD_0000_0000, |index| index == 42), None);
        assert_eq!(table.find(0xABCD_0000_0000, |index| index == 43), Some(43));
        assert_eq!(table.find(0, |_| true), None);
    }
}
