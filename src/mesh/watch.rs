//! The watchdog's view: who lives, who sleeps, and who sleeps on work.

use super::endpoint::Shared;
use super::parking::NEVER;
use super::sync::Arc;

/// A read-only view of all shards, for one thread that is none of them. Every answer is a snapshot
/// that may be old by the time it is used; none costs the shards more than a shared read of a line.
#[derive(Clone)]
pub struct Watch {
    shared: Arc<Shared>,
}

impl Watch {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shared.parking.len()
    }

    /// How many turns the shard has counted with [`Endpoint::turn`](super::Endpoint::turn).
    pub fn turns(&self, shard: usize) -> u64 {
        self.shared.parking[shard].turns()
    }

    /// Whether the shard is between `begin_park` and `end_park`.
    pub fn is_parked(&self, shard: usize) -> bool {
        self.shared.parking[shard].is_parked()
    }

    /// The deadline it published last, in the caller's clock.
    pub fn deadline(&self, shard: usize) -> Option<u64> {
        let deadline = self.shared.parking[shard].deadline();
        (deadline != NEVER).then_some(deadline)
    }

    /// Whether control or data waits for the shard. `shards` lines are read.
    pub fn inbound_waiting(&self, shard: usize) -> bool {
        (0..self.shards()).any(|from| self.shared.cursors(from, shard).is_waiting())
    }

    /// Rings the shard's eventfd whatever its state. Returns whether it could: not before the
    /// shard has attached one.
    pub fn wake(&self, shard: usize) -> bool {
        self.shared.parking[shard].bell.ring()
    }
}
