//! A publisher's ring of ready-made PUB frames, of which only the heads change.
//!
//! All frames of a ring have the same subject and size, hence the same length. Slot
//! `sequence % slots` holds the frame of a sequence, so a message costs the sender 16 bytes of
//! stores and three multiplications, and a whole stretch of the ring goes out in one write.
//!
//! Invariants: `written <= stamped`, both are positions in bytes within one lap of the ring; the
//! bytes in between are whole frames except at the front, and are never stamped again before they
//! are written. The ring is the bound of what a publisher buffers.

use super::payload::{self, Head, Layout};

/// Frames of one publisher on one subject.
pub struct FrameRing {
    bytes: Vec<u8>,
    fillers: Vec<u64>,
    frame_bytes: usize,
    payload_at: usize,
    payload_bytes: usize,
    layout: Layout,
    seed: u64,
    publisher: u16,
    sequence: u64,
    written: usize,
    stamped: usize,
}

impl FrameRing {
    /// Lays out frames for payloads of `size` bytes in about `ring_bytes`, at least two frames.
    pub fn new(subject: &str, publisher: u16, size: usize, ring_bytes: usize, seed: u64) -> Self {
        let prefix = format!("PUB {subject} {size}\r\n");
        let frame_bytes = prefix.len() + size + 2;
        let slots = (ring_bytes / frame_bytes).max(2);
        let layout = Layout::of(size);
        let head_bytes = match layout {
            Layout::Full => payload::HEAD_BYTES,
            Layout::Short => payload::SHORT_HEAD_BYTES,
            Layout::Bare => 0,
        };
        let mut bytes = Vec::with_capacity(slots * frame_bytes);
        let mut fillers = Vec::with_capacity(slots);
        for slot in 0..slots {
            bytes.extend_from_slice(prefix.as_bytes());
            let at = bytes.len();
            bytes.resize(at + size, 0);
            let filler = &mut bytes[at + head_bytes..];
            payload::fill(filler, seed ^ (u64::from(publisher) << 32) ^ slot as u64);
            fillers.push(payload::filler_hash(filler));
            bytes.extend_from_slice(b"\r\n");
        }
        Self {
            bytes,
            fillers,
            frame_bytes,
            payload_at: prefix.len(),
            payload_bytes: size,
            layout,
            seed,
            publisher,
            sequence: 0,
            written: 0,
            stamped: 0,
        }
    }

    /// Stamps up to `count` frames with one time and returns how many there was room for.
    pub fn stamp(&mut self, count: u64, now_ns: u64) -> u64 {
        if self.written == self.bytes.len() {
            self.written = 0;
            self.stamped = 0;
        }
        let room = (self.bytes.len() - self.stamped) / self.frame_bytes;
        let count = (room as u64).min(count) as usize;
        let first = self.stamped / self.frame_bytes;
        let time = payload::wire_time(now_ns);
        let end = self.stamped + count * self.frame_bytes;
        let frames = self.bytes[self.stamped..end].chunks_exact_mut(self.frame_bytes);
        let mut head = Head { publisher: self.publisher, sequence: self.sequence, time };
        for (frame, &filler) in frames.zip(&self.fillers[first..]) {
            let payload = &mut frame[self.payload_at..][..self.payload_bytes];
            match self.layout {
                Layout::Full => payload::write_full(payload, head, filler, self.seed),
                Layout::Short => payload::write_short(payload, head, filler, self.seed),
                Layout::Bare => {}
            }
            head.sequence += 1;
        }
        self.stamped = end;
        self.sequence = head.sequence;
        count as u64
    }

    /// Stamped bytes not yet written.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.written..self.stamped]
    }

    /// Tells that the first `count` bytes of [`FrameRing::pending`] were written.
    pub fn wrote(&mut self, count: usize) {
        self.written += count;
        assert!(self.written <= self.stamped);
    }

    /// Messages stamped so far.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Length of one frame.
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that takes a fixed number of bytes at a time.
    struct Narrow(Vec<u8>, usize);

    impl Narrow {
        fn take(&mut self, ring: &mut FrameRing) {
            let taken = ring.pending().len().min(self.1);
            self.0.extend_from_slice(&ring.pending()[..taken]);
            ring.wrote(taken);
        }
    }

    #[test]
    fn frames_are_whole_sound_and_in_sequence_over_partial_writes() {
        for (size, step) in [(16, 7), (16, 1000), (100, 33), (300, 5000)] {
            let mut ring = FrameRing::new("a.b", 9, size, 1024, 1);
            let mut socket = Narrow(Vec::new(), step);
            while ring.sequence() < 100 {
                let left = 100 - ring.sequence();
                ring.stamp(left.min(3), 160);
                socket.take(&mut ring);
            }
            while !ring.pending().is_empty() {
                socket.take(&mut ring);
            }
            let prefix = format!("PUB a.b {size}\r\n");
            assert_eq!(socket.0.len(), 100 * (prefix.len() + size + 2));
            for (sequence, frame) in socket.0.chunks(prefix.len() + size + 2).enumerate() {
                let payload = frame.strip_prefix(prefix.as_bytes()).unwrap();
                let payload = payload.strip_suffix(b"\r\n").unwrap();
                assert!(payload::full_is_sound(payload, 1));
                let expected = Head { publisher: 9, sequence: sequence as u64, time: 10 };
                assert_eq!(payload::read_full(payload), expected);
            }
        }
    }

    #[test]
    fn a_full_ring_takes_no_more_until_it_is_written() {
        let mut ring = FrameRing::new("a", 0, 16, 280, 0);
        assert_eq!(ring.stamp(1000, 0), 10);
        assert_eq!(ring.stamp(1000, 0), 0);
        Narrow(Vec::new(), 10_000).take(&mut ring);
        assert_eq!(ring.stamp(1000, 0), 10);
    }
}
