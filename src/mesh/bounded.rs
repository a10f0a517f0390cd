//! A bounded lane: a ring of slots with one writer and one reader.
//!
//! ```text
//! push: if tail - head_seen == capacity { head_seen = load consumed; still full? hand it back }
//!       slot[tail & mask] = item; tail += 1; store produced
//! take: if head == tail_seen { tail_seen = load produced; still empty? nothing }
//!       item = slot[head & mask]; head += 1; store consumed
//! ```
//! Each side keeps its own position in a plain field and remembers the last position it saw of the
//! other side, so it reads the other side's line only when the ring looks full or empty.

use super::cursors::Cursors;
use super::sync::{Arc, Slot};

/// The writing end of lane number `LANE` of its cursors.
pub(super) struct Producer<T, const LANE: usize> {
    cursors: Arc<Cursors>,
    ring: Arc<Ring<T, LANE>>,
    tail: usize,
    head_seen: usize,
}

/// The reading end.
pub(super) struct Consumer<T, const LANE: usize> {
    cursors: Arc<Cursors>,
    ring: Arc<Ring<T, LANE>>,
    head: usize,
    tail_seen: usize,
}

struct Ring<T, const LANE: usize> {
    cursors: Arc<Cursors>,
    slots: Box<[Slot<T>]>,
    capacity: usize,
    mask: usize,
}

// SAFETY: a slot is touched by the writer while it is vacant and by the reader while it is full,
// and the cursors hand it over with release and acquire. Items cross threads, hence `T: Send`.
unsafe impl<T: Send, const LANE: usize> Sync for Ring<T, LANE> {}

/// Makes the two ends of lane `LANE`, which must be unused on `cursors`. `1 <= capacity`.
pub(super) fn bounded<T, const LANE: usize>(
    cursors: &Arc<Cursors>,
    capacity: usize,
) -> (Producer<T, LANE>, Consumer<T, LANE>) {
    assert!(1 <= capacity, "a lane holds at least one item");
    let slots = capacity.next_power_of_two();
    let ring = Arc::new(Ring {
        cursors: Arc::clone(cursors),
        slots: (0..slots).map(|_| Slot::vacant()).collect(),
        capacity,
        mask: slots - 1,
    });
    let producer =
        Producer { cursors: Arc::clone(cursors), ring: Arc::clone(&ring), tail: 0, head_seen: 0 };
    (producer, Consumer { cursors: Arc::clone(cursors), ring, head: 0, tail_seen: 0 })
}

impl<T, const LANE: usize> Producer<T, LANE> {
    /// Appends an item, or hands it back if the lane is full.
    #[inline]
    pub(super) fn push(&mut self, item: T) -> Result<(), T> {
        if self.tail.wrapping_sub(self.head_seen) == self.ring.capacity {
            self.head_seen = self.cursors.consumed(LANE);
            if self.tail.wrapping_sub(self.head_seen) == self.ring.capacity {
                return Err(item);
            }
        }
        let slot = &self.ring.slots[self.tail & self.ring.mask];
        // SAFETY: fewer than `capacity` items lie between the reader's published position and
        // `tail`, so the reader has left this slot, and we are the only writer.
        unsafe { slot.put(item) };
        self.tail = self.tail.wrapping_add(1);
        self.cursors.publish_produced(LANE, self.tail);
        Ok(())
    }

    /// Items pushed and not yet taken.
    pub(super) fn depth(&self) -> usize {
        self.tail.wrapping_sub(self.cursors.consumed(LANE))
    }

    /// Items that fit now.
    pub(super) fn free(&self) -> usize {
        self.ring.capacity - self.depth()
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
        let slot = &self.ring.slots[self.head & self.ring.mask];
        // SAFETY: `head` is below a position the writer published, so the slot is full and the
        // writer leaves it alone until we publish a higher position; we are the only reader.
        let item = unsafe { slot.take() };
        self.head = self.head.wrapping_add(1);
        self.cursors.publish_consumed(LANE, self.head);
        Some(item)
    }

    /// Whether an item waits: one load.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.head != self.cursors.produced(LANE)
    }
}

impl<T, const LANE: usize> Drop for Ring<T, LANE> {
    fn drop(&mut self) {
        let tail = self.cursors.produced(LANE);
        let mut head = self.cursors.consumed(LANE);
        while head != tail {
            // SAFETY: both ends are gone and the slots from `head` to `tail` are full; each is
            // visited once.
            drop(unsafe { self.slots[head & self.mask].take() });
            head = head.wrapping_add(1);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::cursors::DATA;
    use super::*;

    // Goal: order and the exact bound survive many laps. Method: fill, drain partly, refill.
    #[test]
    fn full_lane_hands_the_item_back_and_keeps_order_over_laps() {
        let (mut producer, mut consumer) = bounded::<u32, DATA>(&Arc::new(Cursors::new()), 3);
        let (mut pushed, mut taken) = (0, 0);
        for _ in 0..100 {
            while producer.push(pushed).is_ok() {
                pushed += 1;
            }
            assert_eq!(producer.push(7), Err(7));
            assert_eq!((producer.depth(), producer.free()), (3, 0));
            for _ in 0..2 {
                assert!(consumer.is_waiting());
                assert_eq!(consumer.take(), Some(taken));
                taken += 1;
            }
            assert_eq!((producer.depth(), producer.free()), (1, 2));
        }
        while consumer.take().is_some() {
            taken += 1;
        }
        assert_eq!(pushed, taken);
        assert!(!consumer.is_waiting());
    }

    // Goal: nothing leaks and nothing is dropped twice. Method: count references.
    #[test]
    fn items_left_in_the_lane_are_dropped_once() {
        let witness = Arc::new(());
        let (mut producer, mut consumer) = bounded::<_, DATA>(&Arc::new(Cursors::new()), 4);
        for _ in 0..4 {
            producer.push(Arc::clone(&witness)).unwrap();
        }
        drop(consumer.take());
        producer.push(Arc::clone(&witness)).unwrap();
        assert_eq!(Arc::strong_count(&witness), 5);
        drop(producer);
        drop(consumer);
        assert_eq!(Arc::strong_count(&witness), 1);
    }

    // Goal: positions may wrap. Method: two threads, many items through a small ring.
    #[test]
    fn two_threads_pass_every_item_in_order() {
        const ITEMS: u64 = if cfg!(miri) { 500 } else { 200_000 };
        let (mut producer, mut consumer) = bounded::<Box<u64>, DATA>(&Arc::new(Cursors::new()), 5);
        let writer = std::thread::spawn(move || {
            for number in 0..ITEMS {
                let mut item = Box::new(number);
                while let Err(back) = producer.push(item) {
                    item = back;
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
