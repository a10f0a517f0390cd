//! Pull requests that wait for messages.
//!
//! Requests are served in turn: who got a message goes to the end of the queue,
//! of its priority if the consumer has priorities. Bounds: `max_waiting`
//! requests, checked by the caller.

use std::collections::VecDeque;

use super::pull::PullRequest;

/// A pull request with what is left of it.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// Where messages and statuses go.
    pub(super) reply: Vec<u8>,
    /// Messages it may still get. A request for no message gets one.
    pub(super) batch_left: u64,
    /// Messages it got.
    pub(super) delivered: u64,
    /// Bytes it may still get, if they are limited.
    pub(super) bytes_left: Option<u64>,
    /// When it ends, if it does.
    pub(super) expires_at: Option<u64>,
    /// It ends when nothing is left for it.
    pub(super) no_wait: bool,
    /// Heartbeat interval; 0 for none.
    pub(super) heartbeat: u64,
    /// When the next heartbeat is due.
    pub(super) heartbeat_at: u64,
    /// 0 is served first.
    pub(super) priority: u8,
    /// It is served only if that much is pending, or ...
    pub(super) min_pending: u64,
    /// ... that much is not acknowledged.
    pub(super) min_unacked: u64,
    /// The pin it was told; empty if none.
    pub(super) pin: Box<[u8]>,
    /// The pass in which somebody was seen listening on `reply`.
    pub(super) heard_in: u64,
}

impl Waiting {
    /// A request that came in at `now`.
    pub(super) fn new(request: &PullRequest, reply: Vec<u8>, now: u64) -> Self {
        let at = |interval: i64| now.saturating_add(interval.unsigned_abs());
        let expires_at = match request.expires {
            0 => None,
            past if past < 0 => Some(now),
            interval => Some(at(interval)),
        };
        Self {
            reply,
            batch_left: request.batch.max(0).unsigned_abs(),
            delivered: 0,
            bytes_left: (request.max_bytes > 0).then(|| request.max_bytes.unsigned_abs()),
            expires_at,
            no_wait: request.no_wait,
            heartbeat: request.idle_heartbeat.max(0).unsigned_abs(),
            heartbeat_at: at(request.idle_heartbeat.max(0)),
            priority: u8::try_from(request.priority.clamp(0, 9)).unwrap_or_default(),
            min_pending: request.min_pending.max(0).unsigned_abs(),
            min_unacked: request.min_ack_pending.max(0).unsigned_abs(),
            pin: request.id.clone(),
            heard_in: 0,
        }
    }

    /// When something is to be done about it, if nothing else happens.
    fn deadline(&self) -> u64 {
        let heartbeat = if self.heartbeat > 0 { self.heartbeat_at } else { u64::MAX };
        heartbeat.min(self.expires_at.unwrap_or(u64::MAX))
    }
}

/// The queue of waiting requests.
#[derive(Clone, Debug)]
pub(super) struct WaitingQueue {
    queue: VecDeque<Waiting>,
    /// No request needs anything before this.
    earliest: u64,
    /// Memory of replies that were answered.
    spare: Vec<Vec<u8>>,
}

impl Default for WaitingQueue {
    fn default() -> Self {
        Self { queue: VecDeque::new(), earliest: u64::MAX, spare: Vec::new() }
    }
}

impl WaitingQueue {
    /// Memory for a reply subject.
    pub(super) fn reply_buffer(&mut self, reply: &[u8]) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(reply);
        buffer
    }

    /// Puts a request behind all of its priority.
    pub(super) fn push(&mut self, request: Waiting) {
        self.earliest = self.earliest.min(request.deadline());
        let behind = self.queue.back().is_none_or(|last| last.priority <= request.priority);
        if behind {
            self.queue.push_back(request);
        } else {
            let at = self.queue.partition_point(|other| other.priority <= request.priority);
            self.queue.insert(at, request);
        }
    }

    /// The request at a place of the queue.
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Waiting> {
        self.queue.get_mut(at)
    }

    /// Takes a request out.
    pub(super) fn remove(&mut self, at: usize) -> Option<Waiting> {
        let request = self.queue.remove(at);
        if self.queue.is_empty() {
            self.earliest = u64::MAX;
        }
        request
    }

    /// The request's turn is over: behind all others of its priority.
    pub(super) fn rotate(&mut self, at: usize) {
        if self.queue.len() == 1 {
            return;
        }
        if let Some(request) = self.queue.remove(at) {
            self.push(request);
        }
    }

    /// Keeps the memory of a request that is done.
    pub(super) fn recycle(&mut self, request: Waiting) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(request.reply);
        }
    }

    /// A request's deadline may have come nearer.
    pub(super) fn touch(&mut self, deadline: u64) {
        self.earliest = self.earliest.min(deadline);
    }

    /// Requests that wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// All requests in the order they are served.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.queue.iter()
    }

    /// When [`next_due`](Self::next_due) is to be asked.
    pub(super) fn deadline(&self) -> Option<u64> {
        (self.earliest < u64::MAX).then_some(self.earliest)
    }

    /// The place of a request whose deadline has passed; `None` also sets when to ask next.
    pub(super) fn next_due(&mut self, now: u64) -> Option<usize> {
        if now < self.earliest {
            return None;
        }
        let mut earliest = u64::MAX;
        for (at, request) in self.queue.iter().enumerate() {
            let deadline = request.deadline();
            if deadline <= now {
                return Some(at);
            }
            earliest = earliest.min(deadline);
        }
        self.earliest = earliest;
        None
    }
}

/// Reply subjects whose memory is kept.
const SPARE_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(reply: &str, priority: i64, expires: i64) -> Waiting {
        let request = PullRequest { batch: 2, priority, expires, ..PullRequest::default() };
        Waiting::new(&request, reply.as_bytes().to_vec(), 100)
    }

    fn order(queue: &WaitingQueue) -> Vec<&str> {
        queue.iter().map(|waiting| std::str::from_utf8(&waiting.reply).unwrap()).collect()
    }

    #[test]
    fn requests_take_turns_within_their_priority() {
        let mut queue = WaitingQueue::default();
        for (reply, priority) in [("c", 1), ("a", 0), ("d", 1), ("b", 0)] {
            queue.push(request(reply, priority, 0));
        }
        assert_eq!(order(&queue), ["a", "b", "c", "d"]);
        queue.rotate(0);
        assert_eq!(order(&queue), ["b", "a", "c", "d"]);
        queue.rotate(2);
        assert_eq!(order(&queue), ["b", "a", "d", "c"]);
    }

    #[test]
    fn a_deadline_is_told_once() {
        let mut queue = WaitingQueue::default();
        queue.push(request("a", 0, 50));
        queue.push(request("b", 0, 10));
        assert_eq!(queue.deadline(), Some(110));
        assert_eq!(queue.next_due(109), None);
        assert_eq!(queue.next_due(110), Some(1));
        queue.remove(1);
        assert_eq!(queue.next_due(110), None);
        assert_eq!(queue.deadline(), Some(150));
        queue.remove(0);
        assert_eq!(queue.deadline(), None);
    }

    #[test]
    fn a_negative_expiry_is_over_at_once() {
        assert_eq!(request("a", 0, -5).expires_at, Some(100));
        assert_eq!(request("a", 0, 0).expires_at, None);
    }
}
