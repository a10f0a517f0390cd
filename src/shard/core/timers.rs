//! The deadlines of one shard, in one heap.
//!
//! A timer is never cancelled: when it fires, its owner looks whether it still
//! means anything. A connection has a few timers of each kind at most, and those
//! of connections that are gone are swept out once they may be half of all, so the
//! heap is bounded by the connections there are.

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

impl Timer {
    /// Whether it means nothing once its connection is gone.
    fn is_of_connection(self) -> bool {
        !matches!(self, Self::LameDuck | Self::Responses)
    }
}

/// The deadlines of one shard.
#[derive(Debug)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(u64, Timer, ConnKey)>>,
    /// Timers from which on there may be as many of connections that are gone.
    sweep_from: usize,
}

/// So many timers are no reason to look at any of them.
const SWEEP_MIN: usize = 4096;

impl Default for Timers {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), sweep_from: SWEEP_MIN }
    }
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

    /// Forgets the timers of connections that do not live, if they may be many: what this costs is
    /// shared by as many timers set before.
    pub(super) fn sweep(&mut self, lives: impl Fn(ConnKey) -> bool) {
        if self.heap.len() >= self.sweep_from {
            self.heap.retain(|Reverse((_, timer, key))| !timer.is_of_connection() || lives(*key));
            self.sweep_from = SWEEP_MIN.max(2 * self.heap.len());
        }
    }

    /// Timers in the heap.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}
