//! The positions of the lanes from one shard to another, apart from the items so that a thread that
//! knows no item type can watch them.
//!
//! All that the sending shard writes stands on one line and all that the receiving shard writes on
//! another. A receiver polls control, data, recycled buffers and the routed counter of a peer with
//! one line; the senders read the receiver's line only when a lane looks full.

use super::sync::{AtomicU64, AtomicUsize, Ordering};

/// Lane of control items.
pub(super) const CONTROL: usize = 0;
/// Lane of data batches.
pub(super) const DATA: usize = 1;
/// Lane of emptied batches on their way back to the shard that filled them.
pub(super) const RECYCLED: usize = 2;
const LANES: usize = 3;

/// Keeps its content on lines of its own. 128 bytes: the prefetcher of x86 fetches pairs of lines.
#[repr(align(128))]
pub(super) struct Padded<T>(pub(super) T);

/// Positions of the three lanes of one ordered pair of shards. A position counts items since the
/// start and wraps; `consumed <= produced` in wrapping order.
pub(super) struct Cursors {
    produced: Padded<Produced>,
    consumed: Padded<Consumed>,
}

struct Produced {
    items: [AtomicUsize; LANES],
    /// How many entries of the opposite data lane the sending shard has routed.
    routed: AtomicU64,
}

struct Consumed {
    items: [AtomicUsize; LANES],
}

impl Cursors {
    pub(super) fn new() -> Self {
        Self {
            produced: Padded(Produced {
                items: std::array::from_fn(|_| AtomicUsize::new(0)),
                routed: AtomicU64::new(0),
            }),
            consumed: Padded(Consumed { items: std::array::from_fn(|_| AtomicUsize::new(0)) }),
        }
    }

    /// Written by the sending shard only; publishes the items below `position`.
    #[inline]
    pub(super) fn publish_produced(&self, lane: usize, position: usize) {
        self.produced.0.items[lane].store(position, Ordering::Release);
    }

    #[inline]
    pub(super) fn produced(&self, lane: usize) -> usize {
        self.produced.0.items[lane].load(Ordering::Acquire)
    }

    /// Written by the receiving shard only; gives the slots below `position` back to the sender.
    #[inline]
    pub(super) fn publish_consumed(&self, lane: usize, position: usize) {
        self.consumed.0.items[lane].store(position, Ordering::Release);
    }

    #[inline]
    pub(super) fn consumed(&self, lane: usize) -> usize {
        self.consumed.0.items[lane].load(Ordering::Acquire)
    }

    /// Written by the sending shard only, about the data lane that comes the other way.
    #[inline]
    pub(super) fn publish_routed(&self, upto: u64) {
        self.produced.0.routed.store(upto, Ordering::Release);
    }

    #[inline]
    pub(super) fn routed(&self) -> u64 {
        self.produced.0.routed.load(Ordering::Acquire)
    }
}
