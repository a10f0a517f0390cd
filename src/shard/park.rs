//! Sleeping and giving way: the only two awaits of a shard.
//!
//! The ring's eventfd is read through the executor's own ring, so that the
//! executor parks in its reactor and its other tasks run meanwhile.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, RawFd};
use std::sync::Arc;

use glommio::io::BufferedFile;
use glommio::task::JoinHandle;

use super::watchdog::Pulse;

/// A shard's bed.
pub(super) struct Parking {
    eventfd: BufferedFile,
    /// Completed by the watchdog; keeps the executor's notifier reachable.
    _rescue: JoinHandle<()>,
}

impl Parking {
    /// Sleeps on a copy of `eventfd`; `pulse` is the watchdog's way in.
    pub(super) fn new(eventfd: RawFd, pulse: &Arc<Pulse>) -> Option<Self> {
        // SAFETY: the descriptor is the ring's own and open: the ring lives as
        // long as the task that calls this.
        let borrowed = unsafe { BorrowedFd::borrow_raw(eventfd) };
        let copy = borrowed.try_clone_to_owned().ok()?.into_raw_fd();
        // SAFETY: the copy was just made and nobody else owns it.
        let eventfd = unsafe { BufferedFile::from_raw_fd(copy) };
        let rescue = glommio::spawn_local({
            let pulse = Arc::clone(pulse);
            async move {
                loop {
                    pulse.rescued().await;
                }
            }
        })
        .detach();
        Some(Self { eventfd, _rescue: rescue })
    }

    /// Sleeps until the eventfd is written. A failed read is no reason to
    /// sleep on: the caller looks for work and comes back.
    pub(super) async fn sleep(&self) {
        drop(self.eventfd.read_at(0, 8).await);
    }

    /// Lets the executor look at its reactor and run its other tasks once.
    pub(super) async fn give_way(&self) {
        let one = 1_u64;
        // SAFETY: eight readable bytes are written to an open descriptor.
        unsafe { libc::write(self.eventfd.as_raw_fd(), (&raw const one).cast(), 8) };
        self.sleep().await;
    }
}
