//! Bytes on their way to one socket.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::RawFd;
use std::ptr;
use std::rc::Rc;

use io_uring::{opcode, squeue, types};

/// A piece of what is sent.
#[derive(Debug)]
pub enum Segment {
    /// A buffer of this connection.
    Owned(Vec<u8>),
    /// A stretch of a buffer that several connections send from. Nobody writes to a buffer that is
    /// shared.
    Shared(Rc<Vec<u8>>, Range<usize>),
    /// A few bytes, and how many.
    Inline([u8; INLINE_BYTES_MAX], u8),
}

/// Bytes that [`Segment::inline`] takes at most.
pub const INLINE_BYTES_MAX: usize = 14;

impl Segment {
    /// A piece of at most [`INLINE_BYTES_MAX`] bytes, which needs no buffer.
    pub fn inline(bytes: &[u8]) -> Self {
        assert!(bytes.len() <= INLINE_BYTES_MAX, "inline bytes are few");
        let mut inline = [0; INLINE_BYTES_MAX];
        let (used, _) = inline.split_at_mut(bytes.len());
        used.copy_from_slice(bytes);
        Self::Inline(inline, u8::try_from(bytes.len()).unwrap_or(0))
    }

    /// The bytes of the piece.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Owned(buffer) => buffer,
            Self::Shared(buffer, stretch) => &buffer[stretch.clone()],
            Self::Inline(bytes, length) => &bytes[..usize::from(*length)],
        }
    }
}

/// What one send carries: segments in order, and how much of them is already sent.
///
/// Fill it, hand it to [`Ring::send`](super::Ring::send), get it back with the completion,
/// [`advance`](Self::advance) by what was sent, and send it again until
/// [`is_done`](Self::is_done). Then drain its buffers and fill it anew: a flight that is reused
/// allocates nothing.
pub struct Flight {
    /// Not empty and not yet sent as a whole.
    segments: VecDeque<Segment>,
    /// Segments that are sent and wait to be drained.
    spent: Vec<Segment>,
    /// Bytes of the first segment that are sent. `sent < segments[0].len()`, or 0 if there is none.
    sent: usize,
    /// Bytes not yet sent, over all segments.
    remaining: usize,
    /// What the kernel reads while a `sendmsg` is in flight.
    vectors: Vec<libc::iovec>,
    header: libc::msghdr,
}

/// The kernel refuses more vectors in one call.
const VECTORS_MAX: usize = 1024;

/// The kernel sends no more than about 2 GiB in one call.
const SEND_BYTES_MAX: u32 = 1 << 30;

impl Flight {
    /// An empty flight.
    pub fn new() -> Self {
        Self {
            segments: VecDeque::new(),
            spent: Vec::new(),
            sent: 0,
            remaining: 0,
            vectors: Vec::new(),
            // SAFETY: `msghdr` is plain old data of integers and pointers; all zero is an empty
            // message without address and control data.
            header: unsafe { std::mem::zeroed() },
        }
    }

    /// Appends a segment.
    pub fn push(&mut self, segment: Segment) {
        let bytes = segment.as_slice().len();
        if bytes == 0 {
            self.spent.push(segment);
            return;
        }
        self.remaining += bytes;
        self.segments.push_back(segment);
    }

    /// Notes that `sent` further bytes have been sent, at most [`bytes`](Self::bytes).
    pub fn advance(&mut self, sent: usize) {
        assert!(sent <= self.remaining, "no more is sent than was to be sent");
        self.remaining -= sent;
        self.sent += sent;
        while let Some(segment) = self.segments.pop_front() {
            let bytes = segment.as_slice().len();
            if self.sent < bytes {
                self.segments.push_front(segment);
                break;
            }
            self.sent -= bytes;
            self.spent.push(segment);
        }
    }

    /// Empties the flight, sent or not, and hands its segments to `reuse`, in no order.
    pub fn drain(&mut self, reuse: impl FnMut(Segment)) {
        self.spent.drain(..).chain(self.segments.drain(..)).for_each(reuse);
        self.sent = 0;
        self.remaining = 0;
    }

    /// Bytes not yet sent.
    pub fn bytes(&self) -> usize {
        self.remaining
    }

    /// Segments not yet sent as a whole.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Whether everything is sent.
    pub fn is_done(&self) -> bool {
        self.remaining == 0
    }

    /// The operation that sends what remains. It points into the flight, which must neither move
    /// nor change until the operation completes. Not for a flight that is done.
    pub(super) fn entry(&mut self, fd: RawFd) -> squeue::Entry {
        assert!(!self.is_done(), "an empty send would look like a closed connection");
        if let [only] = self.segments.make_contiguous() {
            let rest = &only.as_slice()[self.sent..];
            let bytes = u32::try_from(rest.len()).map_or(SEND_BYTES_MAX, |b| b.min(SEND_BYTES_MAX));
            return opcode::Send::new(types::Fd(fd), rest.as_ptr(), bytes)
                .flags(libc::MSG_NOSIGNAL)
                .build();
        }
        self.vectors.clear();
        let mut skip = self.sent;
        for segment in self.segments.iter().take(VECTORS_MAX) {
            let rest = &segment.as_slice()[skip..];
            skip = 0;
            // The kernel only reads through it.
            let base = rest.as_ptr().cast_mut().cast();
            self.vectors.push(libc::iovec { iov_base: base, iov_len: rest.len() });
        }
        self.header.msg_iov = self.vectors.as_mut_ptr();
        self.header.msg_iovlen = self.vectors.len();
        opcode::SendMsg::new(types::Fd(fd), ptr::from_ref(&self.header))
            .flags(libc::MSG_NOSIGNAL.cast_unsigned())
            .build()
    }
}

impl Default for Flight {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Flight {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Flight")
            .field("segments", &self.segments.len())
            .field("bytes", &self.remaining)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight() -> Flight {
        let mut flight = Flight::new();
        flight.push(Segment::Owned(b"abc".to_vec()));
        flight.push(Segment::Owned(Vec::with_capacity(7)));
        flight.push(Segment::Shared(Rc::new(b"abcdefghi".to_vec()), 3..8));
        flight.push(Segment::inline(b"i"));
        flight.push(Segment::inline(b""));
        flight
    }

    // Goal: any split of the bytes into partial sends ends at the same place.
    #[test]
    fn partial_sends_add_up_wherever_they_stop() {
        for step in 1..=9 {
            let mut flight = flight();
            let mut left = 9;
            while left > 0 {
                assert_eq!((flight.bytes(), flight.is_done()), (left, false));
                let sent = left.min(step);
                flight.advance(sent);
                left -= sent;
            }
            assert!(flight.is_done());
            assert_eq!(flight.segments(), 0);
        }
    }

    // Goal: every buffer comes back, sent or not.
    #[test]
    fn drained_flight_returns_its_segments_and_is_empty() {
        let mut flight = flight();
        flight.advance(4);
        let mut owned = 0;
        flight.drain(|segment| owned += usize::from(matches!(segment, Segment::Owned(_))));
        assert_eq!(owned, 2);
        assert!(flight.is_done());
        flight.push(Segment::Owned(b"again".to_vec()));
        assert_eq!(flight.bytes(), 5);
    }
}
