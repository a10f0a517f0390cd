//! A stretch of mapped memory that is unmapped when dropped.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

/// Readable, writable, page-aligned, zeroed at first if anonymous.
pub(super) struct Mapping {
    address: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a mapping is plain memory owned by this value; it is tied to no thread.
unsafe impl Send for Mapping {}

// SAFETY: a shared reference only hands out the address; who dereferences it answers for that.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Private memory of at least `bytes`. `1 <= bytes`.
    pub(super) fn anonymous(bytes: usize) -> io::Result<Self> {
        Self::map(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, libc::PROT_WRITE)
    }

    /// The first `bytes` of a file, read-only and shared with whoever else maps it.
    pub(super) fn shared(file: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        Self::map(bytes, libc::MAP_SHARED | libc::MAP_POPULATE, file.as_raw_fd(), 0)
    }

    fn map(bytes: usize, flags: i32, file: i32, protection: i32) -> io::Result<Self> {
        let protection = protection | libc::PROT_READ;
        // SAFETY: a null hint without MAP_FIXED replaces no existing mapping; the kernel checks
        // the remaining arguments.
        let address = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, file, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let address = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { address, bytes })
    }

    pub(super) fn address(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// Never unmaps it.
    pub(super) fn leak(&mut self) {
        self.bytes = 0;
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        // SAFETY: address and length are those of a successful `mmap` that nobody else unmaps.
        let result = unsafe { libc::munmap(self.address.as_ptr().cast(), self.bytes) };
        debug_assert_eq!(result, 0, "a whole mapping can always be unmapped");
    }
}
