//! Requests that nobody has taken yet: who gets a 503, and when.
//!
//! Whether a request has a responder is decided by deliveries, not by the
//! interest table. A request that no local subscriber took is open with its
//! number of branches: shards with plain interest, and queue groups picked on
//! other shards. A branch that nobody took comes back as an entry; when all of
//! them are back, the requester gets its 503. A branch that was taken never
//! comes back, so a request is forgotten once the lanes it went into have been
//! routed past it.
//!
//! Bounds: the table holds what is in the data lanes, which are bounded.

use std::collections::VecDeque;

use super::connection::ConnKey;
use super::publish::Taken;

/// A request on its way.
#[derive(Debug)]
enum Request {
    /// Branches still out.
    Open { requester: ConnKey, branches: u32 },
    /// It was picked again and goes on under a later number.
    Moved(u64),
    /// Somebody took it, or its 503 was sent.
    Done,
}

/// All requests numbered below `upto` are settled once every lane is routed
/// up to its position.
#[derive(Debug)]
struct Mark {
    upto: u64,
    positions: Vec<u64>,
}

/// The open requests of one shard.
#[derive(Debug)]
pub(super) struct OpenRequests {
    /// Number of the first request in the queue; numbers start at 1.
    first: u64,
    requests: VecDeque<Request>,
    marks: VecDeque<Mark>,
    marked: u64,
}

impl OpenRequests {
    /// No request is open.
    pub(super) fn new() -> Self {
        Self { first: 1, requests: VecDeque::new(), marks: VecDeque::new(), marked: 1 }
    }

    /// The number that [`Self::open`] will give next.
    pub(super) fn next_number(&self) -> u64 {
        self.first + self.requests.len() as u64
    }

    /// Notes a request with `branches` on other shards.
    pub(super) fn open(&mut self, requester: ConnKey, branches: u32) -> u64 {
        let number = self.next_number();
        self.requests.push_back(Request::Open { requester, branches });
        number
    }

    /// A branch of request `number` came back and nobody else can take it.
    /// Returns the requester when that was the last one.
    pub(super) fn branch_lost(&mut self, number: u64) -> Option<ConnKey> {
        let slot = self.resolve(number)?;
        let Request::Open { requester, branches } = slot else { return None };
        let requester = *requester;
        *branches = branches.saturating_sub(1);
        if *branches > 0 {
            return None;
        }
        *slot = Request::Done;
        Some(requester)
    }

    /// Somebody on this shard took request `number`.
    pub(super) fn taken(&mut self, number: u64) {
        if let Some(slot) = self.resolve(number) {
            *slot = Request::Done;
        }
    }

    /// A branch of request `number` goes out again. Returns its new number, so
    /// that it is not forgotten before the lane has passed the new entry; 0 if
    /// nobody waits for an answer any more.
    pub(super) fn moved(&mut self, number: u64) -> u64 {
        let next = self.next_number();
        let Some(slot) = self.resolve(number) else { return 0 };
        let Request::Open { requester, branches } = *slot else { return 0 };
        *slot = Request::Moved(next);
        self.open(requester, branches)
    }

    /// Puts together what became of one message in two ways: while one of them is
    /// open, nobody hears that the other found nobody.
    pub(super) fn join(&mut self, one: Taken, other: Taken) -> Taken {
        let delivered = one.delivered + other.delivered;
        let branches = one.branches + other.branches;
        let request = match (one.request, other.request) {
            (0, number) | (number, 0) => number,
            (old, new) => self.merge(old, new),
        };
        if delivered > 0 {
            self.taken(request);
        }
        Taken { delivered, branches, request }
    }

    /// Makes the branches of request `old` those of `new`, a later one of the
    /// same requester.
    fn merge(&mut self, old: u64, new: u64) -> u64 {
        let left = match self.resolve(old) {
            Some(slot) => match std::mem::replace(slot, Request::Moved(new)) {
                Request::Open { branches, .. } => Some(branches),
                Request::Moved(_) | Request::Done => None,
            },
            None => None,
        };
        match (left, self.resolve(new)) {
            (Some(left), Some(Request::Open { branches, .. })) => *branches += left,
            (None, Some(slot)) => *slot = Request::Done,
            _ => {}
        }
        new
    }

    /// Notes where the lanes stand at the end of a turn with new requests.
    pub(super) fn mark(&mut self, positions: impl Iterator<Item = u64>) {
        let upto = self.next_number();
        if upto > self.marked {
            self.marked = upto;
            self.marks.push_back(Mark { upto, positions: positions.collect() });
        }
    }

    /// Forgets the requests that every lane has been routed past.
    pub(super) fn forget(&mut self, routed: impl Fn(usize) -> u64) {
        while let Some(mark) = self.marks.front() {
            let mut positions = mark.positions.iter().enumerate();
            if !positions.all(|(lane, &position)| position <= routed(lane)) {
                return;
            }
            while self.first < mark.upto {
                self.requests.pop_front();
                self.first += 1;
            }
            self.marks.pop_front();
        }
    }

    /// Requests in the table.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    fn resolve(&mut self, number: u64) -> Option<&mut Request> {
        let mut number = number;
        loop {
            let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
            match self.requests.get(index)? {
                Request::Moved(next) => number = *next,
                _ => return self.requests.get_mut(index),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::ConnId;

    fn requester() -> ConnKey {
        ConnKey::new(ConnId(1), 1)
    }

    #[test]
    fn the_503_goes_out_when_the_last_branch_is_back() {
        let mut open = OpenRequests::new();
        let number = open.open(requester(), 2);
        assert_eq!(open.branch_lost(number), None);
        assert_eq!(open.branch_lost(number), Some(requester()));
        assert_eq!(open.branch_lost(number), None);
    }

    #[test]
    fn a_request_that_was_taken_gets_no_503() {
        let mut open = OpenRequests::new();
        let number = open.open(requester(), 1);
        open.taken(number);
        assert_eq!(open.branch_lost(number), None);
    }

    #[test]
    fn a_branch_of_a_moved_request_counts_against_its_new_number() {
        let mut open = OpenRequests::new();
        let old = open.open(requester(), 2);
        let new = open.moved(old);
        assert_eq!(open.branch_lost(old), None);
        assert_eq!(open.branch_lost(new), Some(requester()));
    }

    #[test]
    fn a_request_that_goes_two_ways_is_lost_when_both_are() {
        let mut open = OpenRequests::new();
        let taken = |request, delivered| Taken { delivered, branches: 1, request };
        let (one, other) = (open.open(requester(), 1), open.open(requester(), 2));
        let both = open.join(taken(one, 0), taken(other, 0));
        assert_eq!((both.branches, both.request), (2, other));
        assert_eq!(open.branch_lost(one), None);
        assert_eq!(open.branch_lost(other), None);
        assert_eq!(open.branch_lost(other), Some(requester()));

        let (one, other) = (open.open(requester(), 1), open.open(requester(), 1));
        open.taken(one);
        open.join(taken(one, 0), taken(other, 0));
        assert_eq!(open.branch_lost(other), None);

        let one = open.open(requester(), 1);
        open.join(taken(one, 0), Taken { delivered: 1, branches: 0, request: 0 });
        assert_eq!(open.branch_lost(one), None);
    }

    #[test]
    fn requests_are_forgotten_when_the_lanes_have_passed_them() {
        let mut open = OpenRequests::new();
        let first = open.open(requester(), 1);
        open.mark([0, 5].into_iter());
        let second = open.open(requester(), 1);
        open.mark([0, 6].into_iter());
        open.forget(|lane| [0, 4][lane]);
        assert_eq!(open.len(), 2);
        open.forget(|lane| [0, 5][lane]);
        assert_eq!(open.len(), 1);
        assert_eq!(open.branch_lost(first), None);
        assert_eq!(open.branch_lost(second), Some(requester()));
        open.forget(|_| 9);
        assert_eq!(open.len(), 0);
    }
}
