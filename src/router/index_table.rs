//! A hash table of slot numbers.

use hashbrown::HashTable;

/// Finds slots of a slab by what the slots hold.
///
/// An entry keeps 32 bits of the hash beside the slot number: a lookup touches
/// the slab only for the right slot, but for one chance in 2^32, and a growing
/// table need not read all slots again. Growing still costs about 5 ns an
/// entry in one piece: 5 ms at a million.
#[derive(Debug, Default)]
pub(super) struct IndexTable {
    entries: HashTable<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    index: u32,
}

impl IndexTable {
    /// The slot with this hash for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let hash = kept(hash);
        self.entries
            .find(spread(hash), |entry| entry.hash == hash && is_it(entry.index))
            .map(|entry| entry.index)
    }

    /// Adds a slot that is not in the table.
    pub(super) fn insert(&mut self, hash: u64, index: u32) {
        let hash = kept(hash);
        self.entries.insert_unique(spread(hash), Entry { hash, index }, |entry| spread(entry.hash));
    }

    /// Takes out a slot that is in the table.
    pub(super) fn remove(&mut self, hash: u64, index: u32) {
        let found = self.entries.find_entry(spread(kept(hash)), |entry| entry.index == index);
        let Ok(found) = found else { unreachable!("slot {index} is not in its table") };
        found.remove();
    }

    /// Bytes allocated for the table.
    pub(super) fn bytes(&self) -> usize {
        self.entries.allocation_size()
    }
}

/// The part of a hash that an entry keeps.
#[inline]
fn kept(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// A hash for the table, which takes its place from the low bits and its tag
/// from the highest seven: with up to 2^25 entries these are different bits of
/// the part that was kept.
#[inline]
fn spread(kept: u32) -> u64 {
    u64::from(kept) << 32 | u64::from(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_with_equal_hashes_are_told_apart() {
        let mut table = IndexTable::default();
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
