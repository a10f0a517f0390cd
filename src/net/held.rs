//! What the kernel may still read or write: flights and buffers, until they complete.

use std::rc::Rc;

use super::flight::Flight;

/// Something the ring keeps for an operation in flight.
pub(super) enum Held {
    Send { token: u64, flight: Box<Flight> },
    Read { token: u64, buffer: Box<[u8]> },
    Write { token: u64, bytes: Rc<dyn AsRef<[u8]>> },
}

/// Slots that are reused, the last freed first.
#[derive(Default)]
pub(super) struct HeldSlots {
    slots: Vec<Option<Held>>,
    free: Vec<usize>,
}

impl HeldSlots {
    /// Keeps `held` and says under which slot, for the operation's user data.
    pub(super) fn insert(&mut self, held: Held) -> usize {
        if let Some(slot) = self.free.pop() {
            self.slots[slot] = Some(held);
            return slot;
        }
        self.slots.push(Some(held));
        self.slots.len() - 1
    }

    /// What lies in a slot, to take addresses from it: it does not move until it is removed.
    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Held> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// The operation has completed.
    pub(super) fn remove(&mut self, slot: usize) -> Option<Held> {
        let held = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        Some(held)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
