//! A lane that never fills: a chain of blocks with one writer and one reader.
//!
//! ```text
//! push: block full? link the spare block, or a new one
//!       slot = item; tail += 1; store produced
//! take: head == produced? nothing
//!       block spent? follow the link, leave the spent block as spare
//!       item = slot; head += 1; store consumed
//! ```
//! The link and the slot are written before `produced` is stored, so one load of `produced` tells
//! the reader everything. One spent block travels back to the writer: a lane that stays within a
//! block never allocates.

use std::ptr;

use super::cursors::Cursors;
use super::sync::{Arc, AtomicPtr, Ordering, Slot};

/// Items a block of a control lane holds.
pub const BLOCK_ITEMS: usize = if cfg!(loom) { 2 } else { 32 };

const _: () = assert!(BLOCK_ITEMS.is_power_of_two(), "positions wrap at a block's edge");

/// The writing end of lane number `LANE` of its cursors.
pub(super) struct Producer<T, const LANE: usize> {
    cursors: Arc<Cursors>,
    chain: Arc<Chain<T, LANE>>,
    /// The block of the last push; never null, freed only after `chain` is.
    block: *mut Block<T>,
    tail: usize,
}

/// The reading end.
pub(super) struct Consumer<T, const LANE: usize> {
    cursors: Arc<Cursors>,
    chain: Arc<Chain<T, LANE>>,
    /// The block of the last take; never null, owned by the reader.
    block: *mut Block<T>,
    head: usize,
    tail_seen: usize,
}

struct Chain<T, const LANE: usize> {
    cursors: Arc<Cursors>,
    /// The reader's block, known here once the reader is gone.
    first: AtomicPtr<Block<T>>,
    /// One spent block on its way back to the writer, or null.
    spare: AtomicPtr<Block<T>>,
}

struct Block<T> {
    slots: [Slot<T>; BLOCK_ITEMS],
    next: AtomicPtr<Self>,
}

// SAFETY: the raw pointer is one of the chain's blocks, which live until both ends are gone; a
// writer touches only vacant slots and the link of its last block. Items cross threads.
unsafe impl<T: Send, const LANE: usize> Send for Producer<T, LANE> {}

// SAFETY: as above; a reader touches only full slots and the blocks before the writer's.
unsafe impl<T: Send, const LANE: usize> Send for Consumer<T, LANE> {}

/// Makes the two ends of lane `LANE`, which must be unused on `cursors`.
pub(super) fn linked<T, const LANE: usize>(
    cursors: &Arc<Cursors>,
) -> (Producer<T, LANE>, Consumer<T, LANE>) {
    let block = Block::allocate();
    let chain = Arc::new(Chain {
        cursors: Arc::clone(cursors),
        first: AtomicPtr::new(block),
        spare: AtomicPtr::new(ptr::null_mut()),
    });
    let producer =
        Producer { cursors: Arc::clone(cursors), chain: Arc::clone(&chain), block, tail: 0 };
    (producer, Consumer { cursors: Arc::clone(cursors), chain, block, head: 0, tail_seen: 0 })
}

impl<T, const LANE: usize> Producer<T, LANE> {
    /// Appends an item.
    #[inline]
    pub(super) fn push(&mut self, item: T) {
        let index = self.tail % BLOCK_ITEMS;
        if index == 0 && self.tail != 0 {
            self.link_block();
        }
        // SAFETY: the block is alive: the reader gives up only blocks before the one that holds
        // the newest item, and this block will hold it.
        let block = unsafe { &*self.block };
        // SAFETY: the slot lies at or above every published position, so it is vacant and the
        // reader does not look at it; we are the only writer.
        unsafe { block.slots[index].put(item) };
        self.tail = self.tail.wrapping_add(1);
        self.cursors.publish_produced(LANE, self.tail);
    }

    /// Items pushed and not yet taken.
    pub(super) fn depth(&self) -> usize {
        self.tail.wrapping_sub(self.cursors.consumed(LANE))
    }

    #[cold]
    fn link_block(&mut self) {
        let spare = self.chain.spare.swap(ptr::null_mut(), Ordering::Acquire);
        let next = if spare.is_null() { Block::allocate() } else { spare };
        // SAFETY: the reader leaves a block only after it has seen an item beyond it, and none is
        // published yet: the full block is still alive.
        let full = unsafe { &*self.block };
        // Ordered by the store of `produced` that follows.
        full.next.store(next, Ordering::Relaxed);
        self.block = next;
    }
}

impl<T, const LANE: usize> Consumer<T, LANE> {
    /// Takes the oldest item.
    #[inline]
    pub(super) fn take(&mut self) -> Option<T> {
        if self.head == self.tail_seen {
            self.tail_seen = self.cursors.produced(LANE);
            if self.head == self.tail_seen {
                return None;
            }
        }
        let index = self.head % BLOCK_ITEMS;
        if index == 0 && self.head != 0 {
            self.follow_link();
        }
        // SAFETY: the reader's block is freed by nobody but the reader.
        let block = unsafe { &*self.block };
        // SAFETY: `head` is below a position the writer published, so the slot is full and the
        // writer is done with it; we are the only reader.
        let item = unsafe { block.slots[index].take() };
        self.head = self.head.wrapping_add(1);
        self.cursors.publish_consumed(LANE, self.head);
        Some(item)
    }

    /// Whether an item waits: one load.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.head != self.cursors.produced(LANE)
    }

    #[cold]
    fn follow_link(&mut self) {
        let spent = self.block;
        // SAFETY: the reader's block is freed by nobody but the reader.
        let block = unsafe { &*spent };
        let next = block.next.swap(ptr::null_mut(), Ordering::Relaxed);
        assert!(!next.is_null(), "an item is published after the block that holds it is linked");
        self.block = next;
        // Release: whoever takes the spare sees our takes; acquire: we may free what we find.
        let unused = self.chain.spare.swap(spent, Ordering::AcqRel);
        if !unused.is_null() {
            Block::free(unused);
        }
    }
}

impl<T, const LANE: usize> Drop for Consumer<T, LANE> {
    fn drop(&mut self) {
        // Ordered by the count of the `Arc`, whose last owner reads it.
        self.chain.first.store(self.block, Ordering::Relaxed);
    }
}

impl<T, const LANE: usize> Drop for Chain<T, LANE> {
    fn drop(&mut self) {
        let tail = self.cursors.produced(LANE);
        let mut head = self.cursors.consumed(LANE);
        let mut block = self.first.load(Ordering::Relaxed);
        while head != tail {
            let index = head % BLOCK_ITEMS;
            if index == 0 && head != 0 {
                block = Block::free(block);
            }
            // SAFETY: both ends are gone; an item at `head` exists, so its block is linked.
            let alive = unsafe { &*block };
            // SAFETY: the slots from `head` to `tail` are full and each is visited once.
            drop(unsafe { alive.slots[index].take() });
            head = head.wrapping_add(1);
        }
        while !block.is_null() {
            block = Block::free(block);
        }
        let spare = self.spare.load(Ordering::Relaxed);
        if !spare.is_null() {
            Block::free(spare);
        }
    }
}

impl<T> Block<T> {
    fn allocate() -> *mut Self {
        Box::into_raw(Box::new(Self {
            slots: std::array::from_fn(|_| Slot::vacant()),
            next: AtomicPtr::new(ptr::null_mut()),
        }))
    }

    /// Frees a block whose slots are vacant and returns the next one, or null. `block` came from
    /// `allocate` and the caller is the last to know it.
    fn free(block: *mut Self) -> *mut Self {
        // SAFETY: every block of a chain comes from `Box::into_raw`, and the callers give up their
        // only pointer to it.
        let block = unsafe { Box::from_raw(block) };
        block.next.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::cursors::CONTROL;
    use super::*;

    // Goal: order over block edges at every phase. Method: runs of all lengths around a block.
    #[test]
    fn items_keep_their_order_over_block_edges() {
        let (mut producer, mut consumer) = linked::<usize, CONTROL>(&Arc::new(Cursors::new()));
        let (mut pushed, mut taken) = (0, 0);
        for run in 1..3 * BLOCK_ITEMS {
            for _ in 0..run {
                producer.push(pushed);
                pushed += 1;
            }
            assert_eq!(producer.depth(), run);
            while let Some(item) = consumer.take() {
                assert_eq!(item, taken);
                taken += 1;
            }
            assert!(!consumer.is_waiting());
            assert_eq!(producer.depth(), 0);
        }
        assert_eq!(pushed, taken);
    }

    // Goal: nothing leaks and nothing is dropped twice, wherever the ends stand in their blocks.
    #[test]
    fn items_left_in_the_lane_are_dropped_once() {
        for (push, take) in [(0, 0), (1, 0), (BLOCK_ITEMS, BLOCK_ITEMS), (200, 3), (200, 96)] {
            let witness = Arc::new(());
            let (mut producer, mut consumer) = linked::<_, CONTROL>(&Arc::new(Cursors::new()));
            for _ in 0..push {
                producer.push(Arc::clone(&witness));
            }
            for _ in 0..take {
                drop(consumer.take());
            }
            drop(consumer);
            producer.push(Arc::clone(&witness));
            drop(producer);
            assert_eq!(Arc::strong_count(&witness), 1);
        }
    }

    // Goal: blocks travel back and forth while both ends run.
    #[test]
    fn two_threads_pass_every_item_in_order() {
        const ITEMS: u64 = if cfg!(miri) { 500 } else { 200_000 };
        let (mut producer, mut consumer) = linked::<Box<u64>, CONTROL>(&Arc::new(Cursors::new()));
        let writer = std::thread::spawn(move || {
            for number in 0..ITEMS {
                producer.push(Box::new(number));
                if number % 97 == 0 {
                    std::thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        while expected < ITEMS {
            match consumer.take() {
                Some(item) => {
                    assert_eq!(*item, expected);
                    expected += 1;
                }
                None => std::thread::yield_now(),
            }
        }
        writer.join().unwrap();
    }
}
