//! The queue of one connection: append, take a flight, account for it.

use std::collections::VecDeque;

use super::pool::{ChunkPool, CHUNK_BYTES};
use super::runs::{SharedFrame, STRETCH_KEPT_MIN};
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
    full: VecDeque<Segment>,
    /// Behind `full`.
    tail: Vec<u8>,
    /// Behind `tail`: shared frames of this turn, if not empty.
    shared: SharedFrame,
    pending: usize,
    in_flight: usize,
    flight_segments: usize,
}

impl Outbound {
    /// Appends a frame given in two parts.
    #[inline]
    pub fn append(&mut self, pool: &mut ChunkPool, prefix: &[u8], rest: &[u8]) {
        let bytes = prefix.len() + rest.len();
        if self.tail.capacity() - self.tail.len() < bytes || self.shared.bytes() > 0 {
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
        if self.tail.capacity() - self.tail.len() < bytes_max || self.shared.bytes() > 0 {
            self.make_room(pool, bytes_max);
        }
        let before = self.tail.len();
        write(&mut self.tail);
        self.pending += self.tail.len() - before;
    }

    /// Appends a frame that other connections get as well. It was written to
    /// `pool` this turn, and this connection's flight is loaded, or asked for,
    /// before the turn ends.
    #[inline]
    pub fn append_shared(&mut self, pool: &mut ChunkPool, frame: SharedFrame) {
        if self.shared.run == frame.run && self.shared.end == frame.start {
            self.shared.end = frame.end;
        } else {
            self.settle_shared(pool);
            self.shared = frame;
        }
        self.pending += frame.bytes();
    }

    /// Hands what is queued to `load`, in order, and counts it as in flight.
    /// Returns whether anything was moved.
    pub fn take_flight(&mut self, pool: &mut ChunkPool, mut load: impl FnMut(Segment)) -> bool {
        debug_assert_eq!(self.in_flight, 0, "one flight at a time");
        let (mut bytes, mut segments) = (0, 0);
        let mut load = |segment: Segment| {
            bytes += segment.as_slice().len();
            segments += 1;
            load(segment);
        };
        let queued = self.full.len().min(FLIGHT_SEGMENTS_MAX);
        self.full.drain(..queued).for_each(&mut load);
        // A tail and what is shared, behind it.
        if self.full.is_empty() && queued < FLIGHT_SEGMENTS_MAX - 1 {
            if !self.tail.is_empty() {
                load(Segment::Owned(std::mem::take(&mut self.tail)));
            }
            if self.shared.bytes() > 0 {
                load(pool.runs.segment(std::mem::take(&mut self.shared)));
            }
        } else {
            self.keep_shared(pool);
        }
        self.in_flight = bytes;
        self.flight_segments = segments;
        bytes > 0
    }

    /// To be called instead of [`take_flight`](Self::take_flight) while a flight
    /// is under way: makes this connection's own what it has of shared frames.
    #[inline]
    pub fn keep_shared(&mut self, pool: &mut ChunkPool) {
        if self.shared.bytes() > 0 {
            if self.shared.bytes() >= STRETCH_KEPT_MIN {
                self.seal(pool);
                self.full.push_back(pool.runs.segment(std::mem::take(&mut self.shared)));
            } else {
                self.settle_shared(pool);
            }
        }
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
        self.shared = SharedFrame::default();
        let tail = std::mem::take(&mut self.tail);
        if tail.capacity() > 0 {
            pool.give(tail);
        }
        for segment in std::mem::take(&mut self.full) {
            pool.take_back(segment);
        }
    }

    /// Puts the shared stretch in front of what comes next: a closed run is
    /// kept if the stretch is most of it, an open one changes, so it is copied.
    #[cold]
    fn settle_shared(&mut self, pool: &mut ChunkPool) {
        let stretch = std::mem::take(&mut self.shared);
        if stretch.bytes() == 0 {
            return;
        }
        if stretch.bytes() >= STRETCH_KEPT_MIN && !pool.runs.is_open(stretch) {
            self.seal(pool);
            self.full.push_back(pool.runs.segment(stretch));
            return;
        }
        if self.tail.capacity() - self.tail.len() < stretch.bytes() {
            self.make_room(pool, stretch.bytes());
        }
        self.tail.extend_from_slice(pool.runs.bytes(stretch));
    }

    #[cold]
    fn make_room(&mut self, pool: &mut ChunkPool, bytes: usize) {
        if self.shared.bytes() > 0 {
            self.settle_shared(pool);
            if self.tail.capacity() - self.tail.len() >= bytes {
                return;
            }
        }
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
    use std::rc::Rc;

    use super::super::runs::RUN_BYTES;
    use super::*;

    /// Takes flights until nothing is left; gives their segments back.
    fn send(out: &mut Outbound, pool: &mut ChunkPool) -> Vec<u8> {
        let mut sent = Vec::new();
        loop {
            let mut flight = Vec::new();
            if !out.take_flight(pool, |segment| flight.push(segment)) {
                assert_eq!((out.pending(), out.in_flight()), (0, 0));
                return sent;
            }
            for segment in flight {
                sent.extend_from_slice(segment.as_slice());
                pool.take_back(segment);
            }
            out.flight_landed();
        }
    }

    #[test]
    fn frames_leave_in_the_order_they_came() {
        let (mut pool, mut out) = (ChunkPool::new(), Outbound::default());
        let mut expected = Vec::new();
        for i in 0..20_000_u32 {
            let (a, b) = (format!("MSG {i} "), format!("{i:>9}\r\n"));
            expected.extend_from_slice(a.as_bytes());
            expected.extend_from_slice(b.as_bytes());
            out.append(&mut pool, a.as_bytes(), b.as_bytes());
        }
        assert_eq!(out.pending(), expected.len());
        assert_eq!(send(&mut out, &mut pool), expected);
    }

    // Goal: whatever is shared and with whom, in whatever order with a connection's own frames,
    // over any number of turns and flights, each connection gets its bytes in order and is charged
    // for exactly them. Method: a random history of six connections against plain vectors.
    #[test]
    fn shared_frames_keep_their_place_among_own_ones() {
        let rounds = if cfg!(miri) { 300 } else { 30_000 };
        for seed in 0..8_u64 {
            let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            let mut draw = |below: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                usize::try_from(random % below).unwrap()
            };
            let mut pool = ChunkPool::new();
            let mut queues: [Outbound; 6] = Default::default();
            let mut flights: [Vec<Segment>; 6] = Default::default();
            let mut expected: [Vec<u8>; 6] = Default::default();
            let mut got: [Vec<u8>; 6] = Default::default();
            for round in 0..rounds {
                let length = match draw(400) {
                    0 => RUN_BYTES + draw(1000),
                    1..10 => 1 + draw(30_000),
                    _ => 1 + draw(300),
                };
                let frame: Vec<u8> = (0..length).map(|i| (i + round).to_le_bytes()[0]).collect();
                let (prefix, rest) = frame.split_at(length / 3);
                if draw(4) > 0 {
                    let shared = pool.write_shared(prefix, rest);
                    for to in 0..6 {
                        if draw(8) > 0 {
                            queues[to].append_shared(&mut pool, shared);
                            expected[to].extend_from_slice(&frame);
                        }
                    }
                } else {
                    let to = draw(6);
                    queues[to].append(&mut pool, prefix, rest);
                    expected[to].extend_from_slice(&frame);
                }
                if draw(20) > 0 {
                    continue;
                }
                // The turn ends. Some flights are under way since long.
                for to in 0..6 {
                    if queues[to].in_flight() > 0 {
                        queues[to].keep_shared(&mut pool);
                    } else {
                        queues[to].take_flight(&mut pool, |segment| flights[to].push(segment));
                    }
                    assert_eq!(queues[to].pending(), expected[to].len() - got[to].len());
                }
                pool.end_sharing();
                for to in 0..6 {
                    if draw(1 + to as u64) == 0 && queues[to].in_flight() > 0 {
                        for segment in flights[to].drain(..) {
                            got[to].extend_from_slice(segment.as_slice());
                            pool.take_back(segment);
                        }
                        queues[to].flight_landed();
                    }
                }
            }
            for to in 0..6 {
                for segment in flights[to].drain(..) {
                    got[to].extend_from_slice(segment.as_slice());
                }
                queues[to].flight_landed();
                got[to].extend_from_slice(&send(&mut queues[to], &mut pool));
                assert!(got[to] == expected[to], "seed {seed}, connection {to}");
            }
        }
    }

    // Goal: a connection that does not read pins no more than twice what it is charged for beyond
    // its flight. Method: small shared frames, one a turn, and a flight that never lands.
    #[test]
    fn stalled_connection_keeps_no_run_for_a_small_frame() {
        let (mut pool, mut out) = (ChunkPool::new(), Outbound::default());
        for _ in 0..2_000 {
            let frame = pool.write_shared(b"MSG a 1 ", &[b'x'; 100]);
            out.append_shared(&mut pool, frame);
            if out.in_flight() > 0 {
                out.keep_shared(&mut pool);
            } else {
                assert!(out.take_flight(&mut pool, drop));
            }
            pool.end_sharing();
        }
        let kept: usize = out
            .full
            .iter()
            .map(|segment| match segment {
                Segment::Owned(chunk) => chunk.capacity(),
                Segment::Shared(run, _) => run.capacity(),
                Segment::Inline(..) => 0,
            })
            .sum();
        assert!(kept + out.tail.capacity() <= 2 * out.pending() + CHUNK_BYTES, "{kept} bytes");
        // A stretch that is most of its run stays there.
        let large = vec![b'x'; STRETCH_KEPT_MIN];
        let frame = pool.write_shared(&large, b"");
        out.append_shared(&mut pool, frame);
        out.keep_shared(&mut pool);
        assert!(matches!(out.full.back(), Some(Segment::Shared(..))));
    }

    #[test]
    fn runs_are_used_again_and_large_ones_freed() {
        let (mut pool, mut out) = (ChunkPool::new(), Outbound::default());
        let mut seen = Vec::new();
        for bytes in [100, RUN_BYTES + 1, 100, 100] {
            let frame = pool.write_shared(&vec![b'x'; bytes], b"");
            out.append_shared(&mut pool, frame);
            assert!(out.take_flight(&mut pool, |segment| {
                if let Segment::Shared(run, _) = &segment {
                    seen.push(Rc::as_ptr(run));
                }
                drop(segment);
            }));
            out.flight_landed();
            pool.end_sharing();
        }
        assert_eq!(pool.spare_bytes(), RUN_BYTES);
        assert_eq!(seen[2], seen[3]);
    }

    #[test]
    fn a_frame_larger_than_a_chunk_is_kept_whole() {
        let (mut pool, mut out) = (ChunkPool::new(), Outbound::default());
        let large = vec![b'x'; 3 * CHUNK_BYTES];
        out.append(&mut pool, b"small", b"");
        out.append(&mut pool, b"MSG a 1 196608\r\n", &large);
        let mut sent = Vec::new();
        let load = |segment: Segment| sent.extend_from_slice(segment.as_slice());
        assert!(out.take_flight(&mut pool, load));
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
        let frame = pool.write_shared(&[0; 25], b"");
        out.append_shared(&mut pool, frame);
        assert_eq!(out.pressure(100), Pressure::Over);
        out.discard_queued(&mut pool);
        assert_eq!(out.pending(), 0);
        assert!(!out.take_flight(&mut pool, drop));
    }

    #[test]
    fn an_empty_queue_holds_no_chunk() {
        let (mut pool, mut out) = (ChunkPool::new(), Outbound::default());
        out.append(&mut pool, b"PONG\r\n", b"");
        assert!(out.take_flight(&mut pool, drop));
        assert_eq!(out.tail.capacity(), 0);
        out.flight_landed();
        assert!(!out.take_flight(&mut pool, drop));
    }
}
