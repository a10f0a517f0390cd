//! Lanes as `midge::mesh` has them: per ordered pair of shards an unbounded
//! control lane, a bounded data lane and a routed counter. What is pushed is
//! seen from the next step on.

use std::collections::VecDeque;

use midge::shard::core::{Batch, Control};

#[derive(Debug, Default)]
pub struct Lane {
    pub control: VecDeque<Control>,
    pub data: VecDeque<Batch>,
    pub recycled: Vec<Batch>,
    /// Entries of this lane that its receiver says it has routed.
    pub routed: u64,
    /// The last value of `routed` that the sender has looked at.
    pub routed_seen: u64,
}

/// All lanes of a run.
#[derive(Debug)]
pub struct Lanes {
    shards: usize,
    capacity: usize,
    lanes: Vec<Lane>,
}

impl Lanes {
    pub fn new(shards: usize, capacity: usize) -> Self {
        let mut lanes = Vec::new();
        lanes.resize_with(shards * shards, Lane::default);
        Self { shards, capacity, lanes }
    }

    pub fn at(&mut self, from: usize, to: usize) -> &mut Lane {
        &mut self.lanes[from * self.shards + to]
    }

    /// Pushes a batch, or hands it back if the lane is full.
    pub fn push_data(&mut self, from: usize, to: usize, batch: Batch) -> Result<(), Batch> {
        let capacity = self.capacity;
        let lane = self.at(from, to);
        if lane.data.len() == capacity {
            return Err(batch);
        }
        lane.data.push_back(batch);
        Ok(())
    }

    /// Whether something waits for `to`.
    pub fn inbound_waits(&self, to: usize) -> bool {
        (0..self.shards).any(|from| {
            let lane = &self.lanes[from * self.shards + to];
            !lane.control.is_empty() || !lane.data.is_empty()
        })
    }

    /// Whether a routed counter of a lane from `from` has advanced unseen.
    pub fn routed_advanced(&self, from: usize) -> bool {
        let own = &self.lanes[from * self.shards..(from + 1) * self.shards];
        own.iter().any(|lane| lane.routed_seen < lane.routed)
    }

    pub fn are_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.control.is_empty() && lane.data.is_empty())
    }
}
