//! Whether the kernel has something for a ring, without entering it.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use super::mapping::Mapping;

/// Reads a ring's flags and completion positions from its own mapping of the ring's shared page.
pub(super) struct RingWatch {
    page: Mapping,
    offsets: Offsets,
}

#[derive(Clone, Copy)]
struct Offsets {
    submission_flags: usize,
    completion_head: usize,
    completion_tail: usize,
}

/// `struct io_uring_params` of the kernel's interface, which the `io-uring` crate keeps to itself.
#[repr(C)]
struct RawParameters {
    setup: [u32; 10],
    submission: QueueOffsets,
    completion: QueueOffsets,
}

/// `struct io_sqring_offsets` and `struct io_cqring_offsets` agree in what is used here.
#[repr(C)]
struct QueueOffsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    /// Of the submission queue; of the completion queue it is the overflow counter.
    flags: u32,
    rest: [u32; 3],
    user_address: u64,
}

const _: () = assert!(size_of::<RawParameters>() == size_of::<io_uring::Parameters>());
const _: () = assert!(align_of::<RawParameters>() == align_of::<io_uring::Parameters>());

/// The positions and flags lie in the first few hundred bytes.
const PAGE_BYTES: usize = 4096;
const IORING_SQ_CQ_OVERFLOW: u32 = 1 << 1;
const IORING_SQ_TASKRUN: u32 = 1 << 2;

impl RingWatch {
    pub(super) fn new(ring: BorrowedFd<'_>, parameters: &io_uring::Parameters) -> io::Result<Self> {
        let raw = std::ptr::from_ref(parameters).cast::<RawParameters>();
        // SAFETY: the crate declares `Parameters` a transparent wrapper of the kernel's structure,
        // whose layout is a stable interface that `RawParameters` repeats; sizes are compared
        // above, and the reference is valid for reads.
        let raw = unsafe { raw.read() };
        let offset = |offset: u32| {
            let offset = offset as usize;
            let fits = offset + size_of::<u32>() <= PAGE_BYTES && offset.is_multiple_of(4);
            fits.then_some(offset).ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
        };
        let offsets = Offsets {
            submission_flags: offset(raw.submission.flags)?,
            completion_head: offset(raw.completion.head)?,
            completion_tail: offset(raw.completion.tail)?,
        };
        // Offset zero of the descriptor is IORING_OFF_SQ_RING, which holds both queues' positions.
        Ok(Self { page: Mapping::shared(ring, PAGE_BYTES)?, offsets })
    }

    /// The kernel has completions that only an `enter` of the ring's thread can deliver.
    #[inline]
    pub(super) fn needs_enter(&self) -> bool {
        let flags = self.word(self.offsets.submission_flags).load(Ordering::Acquire);
        flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW) != 0
    }

    /// Completions that were delivered and not reaped.
    #[inline]
    pub(super) fn completions(&self) -> u32 {
        let head = self.word(self.offsets.completion_head).load(Ordering::Acquire);
        self.word(self.offsets.completion_tail).load(Ordering::Acquire).wrapping_sub(head)
    }

    /// Whether the ring's shard has something to do here.
    #[inline]
    pub(super) fn has_work(&self) -> bool {
        self.needs_enter() || self.completions() != 0
    }

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU32 {
        let word = self.page.address().wrapping_add(offset).cast::<u32>();
        // SAFETY: the constructor checked that the offset is aligned and lies within the page; the
        // page is mapped as long as `self` lives, and all writers, kernel and the ring's thread,
        // write these words atomically. The mapping is read-only, and so are all uses here.
        unsafe { AtomicU32::from_ptr(word) }
    }
}
