//! The primitives of the lanes: the standard ones, or those of loom when it explores interleavings.

#[cfg(not(loom))]
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

#[cfg(loom)]
use loom::cell::UnsafeCell;

#[cfg(loom)]
pub(super) use loom::sync::{
    atomic::{fence, AtomicPtr, AtomicU64, AtomicU8, AtomicUsize, Ordering},
    Arc,
};
#[cfg(not(loom))]
pub(super) use std::sync::{
    atomic::{fence, AtomicPtr, AtomicU64, AtomicU8, AtomicUsize, Ordering},
    Arc,
};

/// A place for one item, handed from the writer of a lane to its reader and back.
///
/// The slot does not know whether it is full: the cursors of the lane do.
pub(super) struct Slot<T>(UnsafeCell<MaybeUninit<T>>);

impl<T> Slot<T> {
    pub(super) fn vacant() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Puts an item into the slot.
    ///
    /// # Safety
    /// The slot is vacant and nobody else touches it until the caller publishes it.
    #[cfg(not(loom))]
    #[inline]
    pub(super) unsafe fn put(&self, item: T) {
        // SAFETY: the pointer is that of our own cell, so it is valid and aligned for `T`; the
        // caller promises that nobody else touches the slot.
        unsafe { self.0.get().cast::<T>().write(item) }
    }

    /// Takes the item out and leaves the slot vacant.
    ///
    /// # Safety
    /// The slot is full, its item was published to the caller, and nobody else touches it.
    #[cfg(not(loom))]
    #[inline]
    pub(super) unsafe fn take(&self) -> T {
        // SAFETY: the pointer is that of our own cell; the caller promises that it holds an item
        // which nobody else will read, so the item is moved out exactly once.
        unsafe { self.0.get().cast::<T>().read() }
    }

    /// As above, with loom checking that no other thread touches the slot meanwhile.
    ///
    /// # Safety
    /// As above.
    #[cfg(loom)]
    pub(super) unsafe fn put(&self, item: T) {
        self.0.with_mut(|cell| {
            // SAFETY: as above.
            unsafe { cell.cast::<T>().write(item) }
        });
    }

    /// As above, with loom checking that no other thread writes the slot meanwhile.
    ///
    /// # Safety
    /// As above.
    #[cfg(loom)]
    pub(super) unsafe fn take(&self) -> T {
        self.0.with(|cell| {
            // SAFETY: as above.
            unsafe { cell.cast::<T>().read() }
        })
    }
}
