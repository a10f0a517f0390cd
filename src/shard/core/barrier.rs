//! The barrier: which of a shard's interest changes its peers know, which
//! withdrawals have settled, and which PONGs wait for that.
//!
//! A PONG promises its client two things: every shard knows my subscriptions,
//! and everything I published has reached its subscribers' buffers. The first
//! is counted in interest sequences that peers acknowledge; the second in
//! positions of data lanes that their receivers have routed. A withdrawal has
//! *settled* with a peer when what that peer had appended to its lane at the
//! moment it applied the change has been routed here.

use std::collections::VecDeque;

use super::connection::ConnKey;
use crate::router::{ShardId, ShardSet, SubId};

/// What one peer has acknowledged.
#[derive(Debug, Default)]
struct Peer {
    /// Highest own interest sequence that the peer has applied.
    acked: u64,
    /// Highest own sequence whose withdrawal has settled with the peer.
    settled: u64,
    /// Acknowledgements whose position is not routed yet.
    unsettled: VecDeque<(u64, u64)>,
    /// Entries of the peer's lane routed here.
    routed_in: u64,
    /// Entries of our lane that the peer has routed.
    routed_out: u64,
    /// Highest sequence of the peer applied here, and whether it still has to
    /// be acknowledged.
    applied: u64,
    ack_due: bool,
}

/// A PONG that waits.
#[derive(Debug)]
struct Waiter {
    connection: ConnKey,
    announced: u64,
    withdrawn: u64,
    /// Positions that the lanes towards these shards must have reached.
    lanes: ShardSet,
    positions: Vec<u64>,
}

/// The barrier of one shard.
#[derive(Debug)]
pub(super) struct Barrier {
    own: ShardId,
    peers: Vec<Peer>,
    seq: u64,
    waiters: Vec<Waiter>,
    /// Subscriptions that keep delivering until their withdrawal has settled.
    draining: VecDeque<(u64, SubId, ConnKey)>,
    moved: bool,
}

impl Barrier {
    /// The barrier of shard `own` among `shards`.
    pub(super) fn new(own: ShardId, shards: usize) -> Self {
        let mut peers = Vec::new();
        peers.resize_with(shards, Peer::default);
        Self { own, peers, seq: 0, waiters: Vec::new(), draining: VecDeque::new(), moved: false }
    }

    /// The sequence of the next interest change.
    pub(super) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Interest changes that some peer has not acknowledged.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.seq - self.acked_by_all()
    }

    /// Sequence that every peer has acknowledged.
    pub(super) fn acked_by_all(&self) -> u64 {
        self.lowest(|peer| peer.acked)
    }

    /// Sequence up to which every withdrawal has settled.
    pub(super) fn settled_by_all(&self) -> u64 {
        self.lowest(|peer| peer.settled)
    }

    /// Peer `from` has applied our changes up to `seq`, at `position` of its lane.
    pub(super) fn handle_ack(&mut self, from: ShardId, seq: u64, position: u64) {
        let peer = &mut self.peers[usize::from(from.0)];
        assert!(seq >= peer.acked && seq <= self.seq, "acknowledgements move forward");
        peer.acked = seq;
        peer.unsettled.push_back((seq, position));
        peer.settle();
        self.moved = true;
    }

    /// `entries` more entries of the lane from `from` were routed here.
    pub(super) fn handle_routed_in(&mut self, from: ShardId, entries: u64) {
        let peer = &mut self.peers[usize::from(from.0)];
        peer.routed_in += entries;
        peer.settle();
        self.moved = true;
    }

    /// Entries of the lane from `from` that were routed here.
    pub(super) fn routed_in(&self, from: ShardId) -> u64 {
        self.peers[usize::from(from.0)].routed_in
    }

    /// Peer `to` has routed our lane up to `position`.
    pub(super) fn handle_routed_out(&mut self, to: ShardId, position: u64) {
        let peer = &mut self.peers[usize::from(to.0)];
        if peer.routed_out < position {
            peer.routed_out = position;
            self.moved = true;
        }
    }

    /// Entries of the lane to `to` that it has routed.
    pub(super) fn routed_out(&self, to: ShardId) -> u64 {
        self.peers[usize::from(to.0)].routed_out
    }

    /// A change of peer `from` was applied here.
    pub(super) fn applied(&mut self, from: ShardId, seq: u64) {
        let peer = &mut self.peers[usize::from(from.0)];
        assert!(seq > peer.applied, "interest changes arrive in order");
        peer.applied = seq;
        peer.ack_due = true;
    }

    /// The acknowledgement that is due to `to`, once.
    pub(super) fn take_ack(&mut self, to: ShardId) -> Option<u64> {
        let peer = &mut self.peers[usize::from(to.0)];
        std::mem::take(&mut peer.ack_due).then_some(peer.applied)
    }

    /// Lets a PONG wait for the connection's interest changes and for
    /// `appended` of the lanes to `lanes`. Returns whether it may go at once.
    pub(super) fn wait(
        &mut self,
        connection: ConnKey,
        announced: u64,
        withdrawn: u64,
        lanes: ShardSet,
        appended: impl Fn(ShardId) -> u64,
    ) -> bool {
        let positions = lanes.iter().map(appended).collect();
        let waiter = Waiter { connection, announced, withdrawn, lanes, positions };
        if self.has_passed(&waiter) {
            return true;
        }
        self.waiters.push(waiter);
        false
    }

    /// A message of `connection` was appended anew: its PONG waits for it too.
    pub(super) fn extend(&mut self, connection: ConnKey, lane: ShardId, position: u64) {
        for waiter in self.waiters.iter_mut().filter(|waiter| waiter.connection == connection) {
            let mut merged = Vec::new();
            let mut old = waiter.positions.iter().copied();
            let mut lanes = waiter.lanes;
            lanes.insert(lane);
            for shard in lanes.iter() {
                let before = if waiter.lanes.contains(shard) { old.next() } else { None };
                let now = if shard == lane { position } else { 0 };
                merged.push(before.unwrap_or(0).max(now));
            }
            waiter.lanes = lanes;
            waiter.positions = merged;
        }
    }

    /// Forgets what waits for a connection that is gone.
    pub(super) fn forget(&mut self, connection: ConnKey) {
        self.waiters.retain(|waiter| waiter.connection != connection);
    }

    /// Connections whose PONG may go now.
    pub(super) fn passed(&mut self, ready: &mut Vec<ConnKey>) {
        if !self.moved || self.waiters.is_empty() {
            return;
        }
        let mut waiters = std::mem::take(&mut self.waiters);
        waiters.retain(|waiter| {
            let passed = self.has_passed(waiter);
            if passed {
                ready.push(waiter.connection);
            }
            !passed
        });
        self.waiters = waiters;
    }

    /// Whether somebody waits for peers to route what was sent to them.
    pub(super) fn awaits_routed(&self) -> bool {
        self.waiters.iter().any(|waiter| !waiter.lanes.is_empty())
    }

    /// Lets `subscription` deliver until its withdrawal `seq` has settled.
    pub(super) fn drain(&mut self, seq: u64, subscription: SubId, connection: ConnKey) {
        self.draining.push_back((seq, subscription, connection));
    }

    /// The subscriptions of a connection that still drain.
    pub(super) fn draining_of(&self, connection: ConnKey) -> impl Iterator<Item = SubId> + '_ {
        let own = self.draining.iter().filter(move |&&(_, _, owner)| owner == connection);
        own.map(|&(_, subscription, _)| subscription)
    }

    /// The next subscription that has drained.
    pub(super) fn drained(&mut self) -> Option<(SubId, ConnKey)> {
        let &(seq, subscription, connection) = self.draining.front()?;
        if seq > self.settled_by_all() {
            return None;
        }
        self.draining.pop_front();
        Some((subscription, connection))
    }

    /// PONGs that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// Subscriptions that have not drained.
    pub(super) fn draining(&self) -> usize {
        self.draining.len()
    }

    /// To be called at the end of a turn.
    pub(super) fn end_turn(&mut self) {
        self.moved = false;
    }

    fn has_passed(&self, waiter: &Waiter) -> bool {
        waiter.announced <= self.acked_by_all()
            && waiter.withdrawn <= self.settled_by_all()
            && waiter
                .lanes
                .iter()
                .zip(&waiter.positions)
                .all(|(lane, &position)| position <= self.routed_out(lane))
    }

    fn lowest(&self, of: impl Fn(&Peer) -> u64) -> u64 {
        let own = usize::from(self.own.0);
        let peers = self.peers.iter().enumerate().filter(|&(shard, _)| shard != own);
        peers.map(|(_, peer)| of(peer)).min().unwrap_or(self.seq)
    }
}

impl Peer {
    fn settle(&mut self) {
        while let Some(&(seq, position)) = self.unsettled.front() {
            if position > self.routed_in {
                break;
            }
            self.settled = seq;
            self.unsettled.pop_front();
        }
    }
}
