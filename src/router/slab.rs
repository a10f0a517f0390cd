//! A table of slots that are used again.

use std::ops::{Index, IndexMut};

use super::ids::{index32, NONE};

/// Values by slot number. A freed slot is the next one to be used.
///
/// Slots lie in chunks that never move: growing costs one small allocation, not
/// a copy of the whole table in the middle of a turn, and wastes at most one
/// chunk. Memory is never given back.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Box<[Slot<T>; CHUNK]>>,
    /// First free slot, or `NONE`.
    free: u32,
    /// Slots in use.
    live: u32,
}

#[derive(Debug)]
enum Slot<T> {
    Used(T),
    /// The next free slot, or `NONE`.
    Free(u32),
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), free: NONE, live: 0 }
    }

    /// Stores a value and returns its slot number, which is never `NONE`.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if self.free == NONE {
            self.grow();
        }
        let index = self.free;
        let slot = self.slot_mut(index);
        let Slot::Free(next) = *slot else { unreachable!("a used slot is in the free list") };
        *slot = Slot::Used(value);
        self.free = next;
        self.live += 1;
        index
    }

    /// Takes a value out; its slot becomes free.
    pub(super) fn remove(&mut self, index: u32) -> T {
        let free = self.free;
        let slot = self.slot_mut(index);
        let Slot::Used(value) = std::mem::replace(slot, Slot::Free(free)) else {
            unreachable!("a slot is freed twice")
        };
        self.free = index;
        self.live -= 1;
        value
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&T> {
        let index = index as usize;
        match self.chunks.get(index / CHUNK)?[index % CHUNK] {
            Slot::Used(ref value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let index = index as usize;
        match self.chunks.get_mut(index / CHUNK)?[index % CHUNK] {
            Slot::Used(ref mut value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.live
    }

    /// Slots there are, used or not: all numbers are below it.
    pub(super) fn slots(&self) -> u32 {
        index32(self.chunks.len() * CHUNK)
    }

    /// Bytes allocated for the slots.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Slot<T>>()
    }

    fn slot_mut(&mut self, index: u32) -> &mut Slot<T> {
        let index = index as usize;
        &mut self.chunks[index / CHUNK][index % CHUNK]
    }

    /// Adds a chunk whose slots are free, lowest first.
    fn grow(&mut self) {
        let first = self.chunks.len() * CHUNK;
        let chunk: Box<[Slot<T>]> = (1..=CHUNK)
            .map(|next| Slot::Free(if next < CHUNK { index32(first + next) } else { self.free }))
            .collect();
        let Ok(chunk) = chunk.try_into() else { unreachable!("a chunk has CHUNK slots") };
        self.chunks.push(chunk);
        self.free = index32(first);
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        let Some(value) = self.get(index) else { unreachable!("slot {index} is not in use") };
        value
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        let Some(value) = self.get_mut(index) else { unreachable!("slot {index} is not in use") };
        value
    }
}

/// Slots that are allocated together.
const CHUNK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_slots_are_used_first() {
        let mut slab = Slab::new();
        let slots: Vec<u32> = (0..200).map(|value| slab.insert(value)).collect();
        assert_eq!(slots, (0..200).collect::<Vec<u32>>());
        assert_eq!(slab.remove(7), 7);
        assert_eq!(slab.remove(150), 150);
        assert!(slab.get(7).is_none());
        assert_eq!(slab.len(), 198);
        assert_eq!(slab.insert(1000), 150);
        assert_eq!(slab.insert(1001), 7);
        assert_eq!(slab[7], 1001);
        assert_eq!(slab.len(), 200);
        assert!(slab.get(100_000).is_none());
    }
}
