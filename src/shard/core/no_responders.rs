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
