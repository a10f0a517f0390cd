//! The receive buffers a ring lends to the kernel, and the small ring through which it does.

use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use io_uring::IoUring;

use super::error::{RingError, RingStep};
use super::mapping::Mapping;

/// A receive buffer that was handed to the caller, until it is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferId(u16);

/// The only group of buffers a ring has.
pub(super) const GROUP: u16 = 0;

/// The kernel has it.
const LENT: u32 = u32::MAX;

pub(super) struct Buffers {
    /// The descriptors the kernel reads; a power of two of them.
    entries: Mapping,
    memory: Mapping,
    buffer_bytes: usize,
    /// Filled bytes of each buffer that the caller holds, or `LENT`.
    filled: Box<[u32]>,
    held: u16,
    /// Buffers given to the kernel since the start, wrapping; published up to `published`.
    tail: u16,
    published: u16,
}

impl Buffers {
    /// Registers `count` buffers (a power of two) with the ring and lends them all.
    pub(super) fn new(ring: &IoUring, count: u16, buffer_bytes: u32) -> Result<Self, RingError> {
        let step = RingStep::Buffers;
        let memory_error = |error| RingError::from_io(step, &error);
        let bytes = buffer_bytes as usize;
        let entry_bytes = usize::from(count) * size_of::<BufRingEntry>();
        let mut buffers = Self {
            entries: Mapping::anonymous(entry_bytes).map_err(memory_error)?,
            memory: Mapping::anonymous(usize::from(count) * bytes).map_err(memory_error)?,
            buffer_bytes: bytes,
            filled: vec![0; usize::from(count)].into_boxed_slice(),
            held: count,
            tail: 0,
            published: 0,
        };
        let address = buffers.entries.address() as u64;
        // SAFETY: the mapping holds `count` entries, is page-aligned, and outlives the ring or is
        // leaked with what the ring still uses: `Ring` drops it last.
        let registered =
            unsafe { ring.submitter().register_buf_ring_with_flags(address, count, GROUP, 0) };
        registered.map_err(memory_error)?;
        for id in 0..count {
            buffers.release(BufferId(id));
        }
        buffers.publish();
        Ok(buffers)
    }

    /// The kernel filled buffer `id`; the caller holds it now.
    pub(super) fn receive(&mut self, id: u16, len: u32) -> BufferId {
        let filled = &mut self.filled[usize::from(id)];
        assert!(*filled == LENT, "the kernel fills only what it was lent");
        assert!(len as usize <= self.buffer_bytes, "a receive fits its buffer");
        *filled = len;
        self.held += 1;
        BufferId(id)
    }

    pub(super) fn filled(&self, id: BufferId) -> &[u8] {
        let filled = self.filled[usize::from(id.0)];
        assert!(filled != LENT, "a released buffer belongs to the kernel");
        let start = self.memory.address().wrapping_add(usize::from(id.0) * self.buffer_bytes);
        // SAFETY: the buffer lies within the mapping, its first `filled` bytes were written by the
        // kernel, and it does not write them again before `release`, which needs `&mut self`.
        unsafe { std::slice::from_raw_parts(start, filled as usize) }
    }

    /// The same, to be changed in place.
    pub(super) fn filled_mut(&mut self, id: BufferId) -> &mut [u8] {
        let filled = self.filled[usize::from(id.0)];
        assert!(filled != LENT, "a released buffer belongs to the kernel");
        let start = self.memory.address().wrapping_add(usize::from(id.0) * self.buffer_bytes);
        // SAFETY: as in `filled`; and `&mut self` says that nobody else looks at any buffer.
        unsafe { std::slice::from_raw_parts_mut(start, filled as usize) }
    }

    /// Gives a buffer back; the kernel sees it after `publish`.
    pub(super) fn release(&mut self, id: BufferId) {
        let filled = &mut self.filled[usize::from(id.0)];
        assert!(*filled != LENT, "a buffer is released once");
        *filled = LENT;
        self.held -= 1;
        let mask = self.filled.len() - 1;
        let slot = usize::from(self.tail) & mask;
        let offset = usize::from(id.0) * self.buffer_bytes;
        let entry = self.entries.address().cast::<BufRingEntry>().wrapping_add(slot);
        // SAFETY: the slot is one of the mapping's entries, properly aligned. The kernel reads
        // only entries below the published tail; this one is above it, because no more buffers
        // are lent than there are entries. The tail itself lies in a field not touched here.
        let entry = unsafe { &mut *entry };
        entry.set_addr(self.memory.address().wrapping_add(offset) as u64);
        // Bounded by the configuration's u32.
        entry.set_len(u32::try_from(self.buffer_bytes).unwrap_or(u32::MAX));
        entry.set_bid(id.0);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was released. One store, and only if something was.
    pub(super) fn publish(&mut self) {
        if self.published == self.tail {
            return;
        }
        let entries = self.entries.address().cast::<BufRingEntry>();
        // SAFETY: the pointer is that of the first entry, page-aligned and zeroed or written by us.
        let tail = unsafe { BufRingEntry::tail(entries) };
        // SAFETY: the field lies in our mapping, is aligned for a u16, and both sides access it
        // atomically only.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
        self.published = self.tail;
    }

    /// Gives the memory up for good, because the kernel may still write to it.
    pub(super) fn leak(&mut self) {
        self.entries.leak();
        self.memory.leak();
    }

    /// Buffers the caller does not hold.
    pub(super) fn free(&self) -> usize {
        self.filled.len() - usize::from(self.held)
    }
}
