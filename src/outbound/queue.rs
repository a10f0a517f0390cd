//! The queue of one connection: append, take a flight, account for it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::pool::{ChunkPool, CHUNK_BYTES};
use crate::net::Segment;

/// Segments in one flight at most; the kernel takes up to 1024 in a call.
const FLIGHT_SEGMENTS_MAX: usize = 64;

/// How full a connection's outbound queue is, against its `max_pending`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// At most three quarters of `max_pending`.
    Low,
    /// Above three quarters: publishers into it are slowed down.
    High,
    /// Above `max_pending`: the connection is a slow consumer and is closed.
    Over,
}

/// Frames that wait to be sent to one connection.
#[derive(Debug, Default)]
pub struct Outbound {
    tail: Vec<u8>,
    full: VecDeque<Segment>,
    pending: usize,
    in_flight: usize,
    flight_segments: usize,
}

impl Outbound {
    /// Appends a frame given in two parts.
    #[inline]
    pub fn append(&mut self, pool: &mut ChunkPool, prefix: &[u8], rest: &[u8]) {
        let bytes = prefix.len() + rest.len();
        if self.tail.capacity() - self.tail.len() < bytes {
            self.make_room(pool, bytes);
        }
        self.tail.extend_from_slice(prefix);
        self.tail.extend_from_slice(rest);
        self.pending += bytes;
    }

    /// Lets `write` append a frame of at most `bytes_max` bytes.
    pub fn append_with(
        &mut self,
        pool: &mut ChunkPool,
        bytes_max: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.tail.capacity() - self.tail.len() < bytes_max {
            self.make_room(pool, bytes_max);
        }
        let before = self.tail.len();
        write(&mut self.tail);
        self.pending += self.tail.len() - before;
    }

    /// Appends a payload that several connections share without a copy.
    pub fn append_shared(&mut self, pool: &mut ChunkPool, prefix: &[u8], rest: Bytes) {
        self.append(pool, prefix, &[]);
        self.seal(pool);
        self.pending += rest.len();
        self.full.push_back(Segment::Shared(rest));
    }

    /// Hands what is queued to `load`, in order, and counts it as in
    /// flight. Returns whether anything was moved.
    pub fn take_flight(&mut self, mut load: impl FnMut(Segment)) -> bool {
        debug_assert_eq!(self.in_flight, 0, "one flight at a time");
        let (mut bytes, mut segments) = (0, 0);
        while segments < FLIGHT_SEGMENTS_MAX {
            let Some(segment) = self.full.pop_front() else { break };
            bytes += segment.as_slice().len();
            segments += 1;
            load(segment);
        }
        if segments < FLIGHT_SEGMENTS_MAX && !self.tail.is_empty() {
            bytes += self.tail.len();
            segments += 1;
            load(Segment::Owned(std::mem::take(&mut self.tail)));
        }
        self.in_flight = bytes;
        self.flight_segments = segments;
        bytes > 0
    }

    /// The flight under way was sent, whole.
    pub fn flight_landed(&mut self) {
        self.pending -= self.in_flight;
        self.in_flight = 0;
    }

    /// Bytes of the flight under way, 0 if there is none.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Segments of the flight that was taken last.
    pub fn flight_segments(&self) -> usize {
        self.flight_segments
    }

    /// Whether anything waits that is not in flight.
    pub fn has_queued(&self) -> bool {
        self.pending > self.in_flight
    }

    /// Bytes queued and in flight.
    #[inline]
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Where the connection stands against `pending_max` bytes.
    #[inline]
    pub fn pressure(&self, pending_max: usize) -> Pressure {
        if self.pending <= pending_max / 4 * 3 {
            Pressure::Low
        } else if self.pending <= pending_max {
            Pressure::High
        } else {
            Pressure::Over
        }
    }

    /// Forgets what is queued and not in flight.
    pub fn discard_queued(&mut self, pool: &mut ChunkPool) {
        self.pending = self.in_flight;
        let tail = std::mem::take(&mut self.tail);
        if tail.capacity() > 0 {
            pool.give(tail);
        }
        for segment in std::mem::take(&mut self.full) {
            if let Segment::Owned(chunk) = segment {
                pool.give(chunk);
            }
        }
    }

    #[cold]
    fn make_room(&mut self, pool: &mut ChunkPool, bytes: usize) {
        self.seal(pool);
        if self.tail.capacity() < bytes {
            let small = std::mem::replace(&mut self.tail, pool.take(bytes.max(CHUNK_BYTES)));
            if small.capacity() > 0 {
                pool.give(small);
            }
        }
    }

    fn seal(&mut self, pool: &mut ChunkPool) {
        if self.tail.is_empty() {
            return;
        }
        let full = std::mem::replace(&mut self.tail, pool.take(0));
        self.full.push_back(Segment::Owned(full));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_leave_in_the_order_they_came() {
        let (mut pool, mut out) = (ChunkPool::new(), Outbound::default());
        let mut expected = Vec::new();
        for i in 0..20_000_u32 {
            let (a, b) = (format!("MSG {i} "), format!("{i:>9}\r\n"));
            expected.extend_from_slice(a.as_bytes());
            expected.extend_from_slice(b.as_bytes());
            if i % 1000 == 7 {
                out.append_shared(&mut pool, a.as_bytes(), Bytes::from(b));
            } else {
                out.append(&mut pool, a.as_bytes(), b.as_bytes());
            }
        }
        assert_eq!(out.pending(), expected.len());
        let mut sent = Vec::new();
        while out.take_flight(|segment| sent.extend_from_slice(segment.as_slice())) {
            out.flight_landed();
        }
        assert_eq!(sent, expected);
        assert_eq!(out.pending(), 0);
    }

    #[test]
    fn a_frame_larger_than_a_chunk_is_kept_whole() {
        let (mut pool, mut out) = (ChunkPool::new(), Outbound::default());
        let large = vec![b'x'; 3 * CHUNK_BYTES];
        out.append(&mut pool, b"small", b"");
        out.append(&mut pool, b"MSG a 1 196608\r\n", &large);
        let mut sent = Vec::new();
        assert!(out.take_flight(|segment| sent.extend_from_slice(segment.as_slice())));
        assert_eq!(sent.len(), 5 + 16 + large.len());
        assert_eq!(out.in_flight(), out.pending());
        assert!(!out.has_queued());
    }

    #[test]
    fn pressure_follows_the_share_of_max_pending() {
        let (mut pool, mut out) = (ChunkPool::new(), Outbound::default());
        out.append(&mut pool, &[0; 75], b"");
        assert_eq!(out.pressure(100), Pressure::Low);
        out.append(&mut pool, &[0; 1], b"");
        assert_eq!(out.pressure(100), Pressure::High);
        out.append(&mut pool, &[0; 25], b"");
        assert_eq!(out.pressure(100), Pressure::Over);
        out.discard_queued(&mut pool);
        assert_eq!(out.pending(), 0);
    }

    #[test]
    fn an_empty_queue_holds_no_chunk() {
        let (mut pool, mut out) = (ChunkPool::new(), Outbound::default());
        out.append(&mut pool, b"PONG\r\n", b"");
        assert!(out.take_flight(drop));
        assert_eq!(out.tail.capacity(), 0);
        out.flight_landed();
        assert!(!out.take_flight(drop));
    }
}
