//! Whether a shard sleeps, and the pulse by which a watcher sees that it lives.
//!
//! ```text
//! parking shard                      pushing shard
//!   state = parked                     item into lane
//!   fence                              fence
//!   look at lanes: any? stay awake     state parked? state = notified, ring the bell
//! ```
//! Of the two fences one comes first, so at least one of the two looks sees the other's write: no
//! wake-up is lost. `notified` makes sure that one sleep costs one eventfd write, however many
//! peers push.

use super::bell::Bell;
use super::cursors::Padded;
use super::sync::{AtomicU64, AtomicU8, Ordering};

const AWAKE: u8 = 0;
const PARKED: u8 = 1;
const PARKED_AWAITING_ROUTED: u8 = 2;
const NOTIFIED: u8 = 3;

/// Why a peer may have to wake a shard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Touch {
    /// Nothing happened on its lanes.
    None,
    /// Only a routed counter advanced.
    Routed,
    /// An item was pushed.
    Item,
}

/// One shard's state as its peers see it.
pub(super) struct Parking {
    /// Written when the shard parks and wakes, read by every peer that pushes to it.
    state: Padded<AtomicU8>,
    /// Turns, written by the owner in each, read by a watcher only; hence not on the line above.
    turns: Padded<AtomicU64>,
    pub(super) bell: Bell,
}

impl Parking {
    pub(super) fn new() -> Self {
        Self {
            state: Padded(AtomicU8::new(AWAKE)),
            turns: Padded(AtomicU64::new(0)),
            bell: Bell::new(),
        }
    }

    /// First step of parking; the caller then fences and looks at its lanes.
    pub(super) fn park(&self, awaits_routed: bool) {
        let state = if awaits_routed { PARKED_AWAITING_ROUTED } else { PARKED };
        self.state.0.store(state, Ordering::Relaxed);
    }

    pub(super) fn unpark(&self) {
        self.state.0.store(AWAKE, Ordering::Relaxed);
    }

    pub(super) fn is_parked(&self) -> bool {
        self.state.0.load(Ordering::Relaxed) != AWAKE
    }

    /// Rings the bell if the shard is parked, has not been notified and cares for `touch`. The
    /// caller has fenced since it wrote what the shard should see.
    pub(super) fn wake_for(&self, touch: Touch) -> bool {
        let state = self.state.0.load(Ordering::Relaxed);
        let cares = match state {
            PARKED => touch == Touch::Item,
            PARKED_AWAITING_ROUTED => touch != Touch::None,
            _ => false,
        };
        // If the exchange fails, the shard woke since (and looks at its lanes before it parks
        // again) or somebody else rings.
        cares
            && self
                .state
                .0
                .compare_exchange(state, NOTIFIED, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            && self.bell.ring()
    }

    /// Written by the owner only.
    #[inline]
    pub(super) fn publish_turns(&self, turns: u64) {
        self.turns.0.store(turns, Ordering::Relaxed);
    }

    pub(super) fn turns(&self) -> u64 {
        self.turns.0.load(Ordering::Relaxed)
    }
}
