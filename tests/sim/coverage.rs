//! What all runs together have met: a simulator that never fills a lane proves
//! nothing about full lanes.

use std::sync::atomic::{AtomicU64, Ordering};

use super::world::World;

/// Counts over all runs.
#[derive(Debug, Default)]
pub struct Coverage {
    deliveries: AtomicU64,
    lane_messages: AtomicU64,
    returned: AtomicU64,
    statuses: AtomicU64,
    lane_pauses: AtomicU64,
    stalls: AtomicU64,
    slow_consumers: AtomicU64,
    turns: AtomicU64,
}

impl Coverage {
    /// Adds what one run has met.
    pub fn add(&self, world: &World) {
        let add = |to: &AtomicU64, count: u64| to.fetch_add(count, Ordering::Relaxed);
        let received = world.history.subscriptions.iter().map(|s| s.received.len() as u64);
        add(&self.deliveries, received.sum());
        add(&self.statuses, world.history.statuses.len() as u64);
        for shard in &world.shards {
            let counters = shard.core.counters();
            add(&self.lane_messages, counters.lane_messages);
            add(&self.returned, counters.returned);
            add(&self.lane_pauses, counters.lane_pauses);
            add(&self.stalls, counters.stalls);
            add(&self.slow_consumers, counters.slow_consumers);
            add(&self.turns, shard.turns);
        }
    }

    /// Whether the runs have met everything there is.
    pub fn is_whole(&self) -> bool {
        let counts = [
            &self.deliveries,
            &self.lane_messages,
            &self.returned,
            &self.statuses,
            &self.lane_pauses,
            &self.stalls,
            &self.slow_consumers,
        ];
        counts.iter().all(|count| count.load(Ordering::Relaxed) >= 100)
    }
}
