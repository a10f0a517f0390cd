//! The deadlines of one shard, in one heap.
//!
//! A timer is never cancelled: when it fires, its owner looks whether it still
//! means anything. A connection has at most one timer of a kind in the heap,
//! so the heap is bounded by the connections.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::connection::ConnKey;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The next keep-alive check.
    Ping,
    /// CONNECT must have come by now.
    Authentication,
    /// A stalled publisher goes on.
    Stall,
    /// The send under way should be done.
    Write,
    /// A service should have answered who the client is.
    Callout,
    /// The connection's credentials become void.
    Expiry,
    /// The header of a proxy must have come by now.
    ProxyHeader,
    /// The next connection to close in lame duck mode.
    LameDuck,
    /// The time of requests to other accounts may be up.
    Responses,
}

/// The deadlines of one shard.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(u64, Timer, ConnKey)>>,
}

impl Timers {
    /// Lets `timer` of `connection` fire at `deadline` (nanoseconds).
    pub(super) fn set(&mut self, deadline: u64, timer: Timer, connection: ConnKey) {
        self.heap.push(Reverse((deadline, timer, connection)));
    }

    /// A timer whose deadline has passed at `now`.
    pub(super) fn expired(&mut self, now: u64) -> Option<(Timer, ConnKey)> {
        let &Reverse((deadline, timer, connection)) = self.heap.peek()?;
        if deadline > now {
            return None;
        }
        self.heap.pop();
        Some((timer, connection))
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|&Reverse((deadline, _, _))| deadline)
    }
}
