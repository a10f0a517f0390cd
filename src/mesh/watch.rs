//! What a thread that is no shard may do: see who sleeps, and wake them.

use super::endpoint::Shared;
use super::sync::Arc;

/// A view of all shards, for threads that are none of them. Every answer is a snapshot that may be
/// old by the time it is used; none costs the shards more than a shared read of a line.
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

    /// Rings the shard's eventfd whatever its state. Returns whether it could: not before the
    /// shard has attached one.
    pub fn wake(&self, shard: usize) -> bool {
        self.shared.parking[shard].bell.ring()
    }
}
