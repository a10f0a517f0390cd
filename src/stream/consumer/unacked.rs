//! Messages that were delivered and not yet acknowledged.
//!
//! Deliveries ascend, so entries lie in a deque in the order of their stream
//! sequences and a new one is appended. Acks mostly come in that order too: the
//! place of a sequence is guessed from its distance to the first entry, which is
//! right for consumers that see every message, and found by bisection otherwise.
//! What is acknowledged out of order leaves a hole, which goes with the front or
//! when holes outnumber entries.
//!
//! Bounds: `max_ack_pending` entries, checked by the caller; 40 bytes each.

use std::collections::VecDeque;

/// One message that was delivered and not yet acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unacked {
    /// Its sequence in the stream.
    pub(super) stream_seq: u64,
    /// The consumer sequence of its first delivery; 0 marks a hole.
    pub(super) consumer_seq: u64,
    /// When it was delivered last.
    pub(super) sent_at: u64,
    /// When it is delivered again, unless `is_queued`.
    pub(super) due: u64,
    /// How often it was delivered, from 1.
    pub(super) deliveries: u32,
    /// It waits in the queue of redeliveries.
    pub(super) is_queued: bool,
}

/// The messages that wait for their acknowledgement, by stream sequence.
#[derive(Clone, Debug, Default)]
pub(super) struct UnackedMessages {
    slots: VecDeque<Unacked>,
    len: usize,
    redelivered: usize,
    /// No entry is due before this; `u64::MAX` if none ever is.
    earliest: u64,
}

impl UnackedMessages {
    /// Nothing waits.
    pub(super) fn new() -> Self {
        Self { earliest: u64::MAX, ..Self::default() }
    }

    /// Adds an entry, or replaces that of the same message.
    pub(super) fn insert(&mut self, entry: Unacked) {
        debug_assert!(entry.consumer_seq > 0);
        if !entry.is_queued {
            self.earliest = self.earliest.min(entry.due);
        }
        if self.slots.back().is_none_or(|last| last.stream_seq < entry.stream_seq) {
            self.count_in(&entry);
            self.slots.push_back(entry);
            return;
        }
        match self.place(entry.stream_seq) {
            Ok(at) => {
                if let Some(old) = self.slots.get(at).copied() {
                    self.count_out(&old);
                }
                self.count_in(&entry);
                if let Some(slot) = self.slots.get_mut(at) {
                    *slot = entry;
                }
            }
            Err(at) => {
                self.count_in(&entry);
                self.slots.insert(at, entry);
            }
        }
    }

    /// The entry of that message.
    pub(super) fn get(&self, stream_seq: u64) -> Option<&Unacked> {
        let at = self.place(stream_seq).ok()?;
        self.slots.get(at).filter(|slot| slot.consumer_seq > 0)
    }

    /// The message is delivered once more.
    pub(super) fn redelivered(&mut self, stream_seq: u64, now: u64, due: u64) {
        let Ok(at) = self.place(stream_seq) else { return };
        let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.consumer_seq > 0) else {
            return;
        };
        if slot.deliveries == 1 {
            self.redelivered += 1;
        }
        slot.deliveries = slot.deliveries.saturating_add(1);
        slot.sent_at = now;
        slot.due = due;
        slot.is_queued = false;
        self.earliest = self.earliest.min(due);
    }

    /// The message is due at another time.
    pub(super) fn postpone(&mut self, stream_seq: u64, due: u64) {
        let Ok(at) = self.place(stream_seq) else { return };
        if let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.consumer_seq > 0) {
            slot.due = due;
            slot.is_queued = false;
            self.earliest = self.earliest.min(due);
        }
    }

    /// The message was put into the queue of redeliveries.
    pub(super) fn queued(&mut self, stream_seq: u64) {
        let Ok(at) = self.place(stream_seq) else { return };
        if let Some(slot) = self.slots.get_mut(at) {
            slot.is_queued = true;
        }
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, stream_seq: u64) -> Option<Unacked> {
        let at = self.place(stream_seq).ok()?;
        let slot = self.slots.get_mut(at).filter(|slot| slot.consumer_seq > 0)?;
        let entry = *slot;
        slot.consumer_seq = 0;
        self.count_out(&entry);
        self.drop_holes();
        Some(entry)
    }

    /// Takes the first entry out if it is not beyond `stream_seq`.
    pub(super) fn pop_up_to(&mut self, stream_seq: u64) -> Option<Unacked> {
        let first = *self.first()?;
        if first.stream_seq > stream_seq {
            return None;
        }
        self.remove(first.stream_seq)
    }

    /// The entry of the lowest stream sequence.
    pub(super) fn first(&self) -> Option<&Unacked> {
        // The front is never a hole.
        self.slots.front()
    }

    /// All entries, by stream sequence.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Unacked> {
        self.slots.iter().filter(|slot| slot.consumer_seq > 0)
    }

    /// Entries there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Entries delivered more than once.
    pub(super) fn redelivered_len(&self) -> usize {
        self.redelivered
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.len = 0;
        self.redelivered = 0;
        self.earliest = u64::MAX;
    }

    /// When [`take_due`](Self::take_due) is to be asked next; `None` if nothing is ever due.
    pub(super) fn next_due(&self) -> Option<u64> {
        (self.len > 0 && self.earliest < u64::MAX).then_some(self.earliest)
    }

    /// Calls `take` with every entry that is due, in order, which marks it as
    /// queued. Looks at all entries, so it lets pass at least as much time
    /// between two looks as ten of them cost.
    pub(super) fn take_due(&mut self, now: u64, mut take: impl FnMut(&Unacked)) {
        if now < self.earliest {
            return;
        }
        let mut earliest = u64::MAX;
        for slot in &mut self.slots {
            if slot.consumer_seq == 0 || slot.is_queued {
                continue;
            }
            if slot.due <= now {
                slot.is_queued = true;
                take(slot);
            } else {
                earliest = earliest.min(slot.due);
            }
        }
        let pause = (self.slots.len() as u64).saturating_mul(LOOK_NS * 10);
        self.earliest = earliest.max(now.saturating_add(pause));
        if earliest == u64::MAX {
            self.earliest = u64::MAX;
        }
    }

    /// Where the message is, or where it would be.
    fn place(&self, stream_seq: u64) -> Result<usize, usize> {
        let Some(first) = self.slots.front() else { return Err(0) };
        let Some(distance) = stream_seq.checked_sub(first.stream_seq) else { return Err(0) };
        if let Ok(guess) = usize::try_from(distance) {
            if self.slots.get(guess).is_some_and(|slot| slot.stream_seq == stream_seq) {
                return Ok(guess);
            }
        }
        self.slots.binary_search_by_key(&stream_seq, |slot| slot.stream_seq)
    }

    fn count_in(&mut self, entry: &Unacked) {
        self.len += 1;
        self.redelivered += usize::from(entry.deliveries > 1);
    }

    fn count_out(&mut self, entry: &Unacked) {
        if entry.consumer_seq > 0 {
            self.len -= 1;
            self.redelivered -= usize::from(entry.deliveries > 1);
        }
    }

    fn drop_holes(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.consumer_seq == 0) {
            self.slots.pop_front();
        }
        if self.slots.len() > HOLES_KEPT && self.len * 2 < self.slots.len() {
            self.slots.retain(|slot| slot.consumer_seq > 0);
        }
        if self.len == 0 {
            self.earliest = u64::MAX;
        }
    }
}

/// Slots below which holes are left alone.
const HOLES_KEPT: usize = 64;

/// About what looking at one entry takes.
const LOOK_NS: u64 = 5;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn entry(stream_seq: u64, due: u64) -> Unacked {
        Unacked {
            stream_seq,
            consumer_seq: stream_seq,
            sent_at: 0,
            due,
            deliveries: 1,
            is_queued: false,
        }
    }

    #[test]
    fn an_entry_is_found_wherever_it_lies() {
        let mut unacked = UnackedMessages::new();
        for seq in [3, 4, 5, 100, 1_000_000] {
            unacked.insert(entry(seq, 10));
        }
        assert_eq!(unacked.remove(4).map(|entry| entry.stream_seq), Some(4));
        assert_eq!(unacked.remove(4), None);
        assert!(unacked.get(4).is_none() && unacked.get(5).is_some() && unacked.get(2).is_none());
        assert_eq!(unacked.first().map(|entry| entry.stream_seq), Some(3));
        assert!(unacked.remove(3).is_some());
        assert_eq!(unacked.first().map(|entry| entry.stream_seq), Some(5));
        assert_eq!(unacked.len(), 3);
    }

    #[test]
    fn what_is_due_is_taken_once_and_in_order() {
        let mut unacked = UnackedMessages::new();
        for (seq, due) in [(1, 50), (2, 20), (3, 20), (4, 90)] {
            unacked.insert(entry(seq, due));
        }
        let mut taken = Vec::new();
        unacked.take_due(19, |entry| taken.push(entry.stream_seq));
        assert!(taken.is_empty());
        unacked.take_due(60, |entry| taken.push(entry.stream_seq));
        assert_eq!(taken, [1, 2, 3]);
        unacked.take_due(80, |entry| taken.push(entry.stream_seq));
        assert_eq!(taken.len(), 3);
        assert!(unacked.next_due() >= Some(90));
        unacked.redelivered(2, 100, 130);
        assert_eq!(unacked.redelivered_len(), 1);
        assert_eq!(unacked.get(2).map(|entry| entry.deliveries), Some(2));
    }

    proptest! {
        /// The deque answers as a map would.
        #[test]
        fn behaves_as_a_map(ops in prop::collection::vec((0u8..4, 1u64..200), 1..400)) {
            let mut unacked = UnackedMessages::new();
            let mut model = BTreeMap::new();
            for (op, seq) in ops {
                match op {
                    0 | 1 => {
                        unacked.insert(entry(seq, seq));
                        model.insert(seq, ());
                    }
                    2 => {
                        prop_assert_eq!(unacked.remove(seq).is_some(), model.remove(&seq).is_some());
                    }
                    _ => {
                        let first = model.keys().next().copied().filter(|first| *first <= seq);
                        if let Some(first) = first {
                            model.remove(&first);
                        }
                        prop_assert_eq!(unacked.pop_up_to(seq).map(|e| e.stream_seq), first);
                    }
                }
                prop_assert_eq!(unacked.len(), model.len());
                let kept: Vec<u64> = unacked.iter().map(|e| e.stream_seq).collect();
                let wanted: Vec<u64> = model.keys().copied().collect();
                prop_assert_eq!(kept, wanted);
                prop_assert_eq!(
                    unacked.first().map(|e| e.stream_seq),
                    model.keys().next().copied()
                );
            }
        }
    }
}
