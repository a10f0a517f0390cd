//! Consumers over a restart, and over a rollback of their stream: what is kept of them, and how
//! they take up their work again.

use super::notes::{self, kind, NOTE};
use super::state::Consumer;
use super::status;
use super::table::{slot, Consumers};
use crate::store::{Commit, StorageKind};
use crate::stream::{Context, StreamView};

impl Consumers {
    /// Appends everything there is, for [`restore`](Self::restore).
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        let kept: Vec<&Consumer> = self.iter().filter(|c| c.is_known_later).collect();
        notes::write_number(out, kept.len() as u64);
        for consumer in kept {
            consumer.write_state(out);
        }
    }

    /// Brings back a snapshot, before notes are replayed. False if it makes no sense.
    pub fn restore(&mut self, mut snapshot: &[u8], view: &mut StreamView<'_>) -> bool {
        let stream = view.name();
        let Some(count) = notes::read_number(&mut snapshot) else { return snapshot.is_empty() };
        for _ in 0..count {
            let Some(consumer) = Consumer::read_state(&mut snapshot, stream) else { return false };
            self.put(consumer);
        }
        true
    }

    /// Does what a note says, which begins with byte 1. False if it makes no sense.
    pub fn replay_note(&mut self, note: &[u8], view: &mut StreamView<'_>) -> bool {
        let stream = view.name();
        let Some((&NOTE, rest)) = note.split_first() else { return false };
        let Some((note_kind, mut rest)) = rest.split_first() else { return false };
        match *note_kind {
            kind::STATE => match Consumer::read_state(&mut rest, stream) {
                Some(consumer) => {
                    self.put(consumer);
                    true
                }
                None => false,
            },
            kind::CHANGES => {
                let index = notes::read_number(&mut rest).and_then(|n| u32::try_from(n).ok());
                let Some(index) = index else { return false };
                // Of one that was deleted since.
                let Some(consumer) = slot(&mut self.slots, index) else { return true };
                consumer.replay(rest).is_some()
            }
            kind::DELETED => {
                let index = notes::read_number(&mut rest).and_then(|n| u32::try_from(n).ok());
                let Some(index) = index else { return false };
                self.take(index);
                true
            }
            _ => false,
        }
    }

    /// Everything was replayed: consumers take up their work.
    pub fn finish_recovery(&mut self, view: &mut StreamView<'_>, ctx: &mut Context<'_>) {
        self.free = (0..).zip(&self.slots).filter(|(_, s)| s.is_none()).map(|(i, _)| i).collect();
        // Filters may have been others when they were delivered.
        self.strangers = self.iter().filter(|c| c.holds_any()).map(|c| c.index).collect();
        for at in 0..self.slots.len() {
            let Some(Some(consumer)) = self.slots.get_mut(at) else { continue };
            consumer.reconcile(view.store);
            consumer.is_paused = consumer.paused_until(ctx.now).is_some();
            consumer.active_at = ctx.now;
            consumer.set_prefixes(view);
            set_kept(consumer, view);
            let index = consumer.index;
            self.subscribe(index, view, ctx);
            self.look_for_listener(index, view, ctx);
            self.touch(index, ctx.now);
        }
    }

    /// Ceases to serve: the stream is read again, or set aside. Clients that wait are told to ask
    /// again, as by a server that is no longer the one to ask.
    pub fn stand_down(&mut self, view: &StreamView<'_>, ctx: &mut Context<'_>) {
        for at in 0..self.slots.len() {
            let Some(Some(consumer)) = self.slots.get_mut(at) else { continue };
            consumer.end_all(view, ctx, Commit::NONE, status::LEADERSHIP_CHANGE);
            consumer.is_ready = false;
            consumer.is_listed = false;
            consumer.armed = u64::MAX;
        }
        for consumer in self.iter() {
            self.for_each_subscription(
                consumer,
                view,
                |ctx, purpose, account, pattern| {
                    ctx.out.unsubscribe(purpose.token(), account, pattern.as_bytes());
                },
                ctx,
            );
        }
        self.ready.clear();
        self.changed.clear();
        self.deadlines.clear();
    }

    /// Takes over what no store has, from the table that was read again: consumers in memory.
    pub fn take_over(&mut self, before: Self) {
        for mut consumer in before.slots.into_iter().flatten().filter(|c| !c.is_kept) {
            let known = self.by_name.get(&consumer.name).copied();
            let at = usize::try_from(consumer.index).unwrap_or(usize::MAX);
            let is_free = self.slots.get(at).is_none_or(Option::is_none);
            match known {
                // Read again as it was made.
                Some(index) if index == consumer.index => {}
                // Another one of that name; or one that is known later, and is not: it never was.
                Some(_) => continue,
                None if consumer.is_known_later => continue,
                None if is_free => {}
                None => consumer.index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX),
            }
            self.put(*consumer);
        }
    }
}

/// Decides what is noted of a consumer: nothing of one that its client makes anew after a restart,
/// and only that it is there if its state is to be in memory.
pub(super) fn set_kept(consumer: &mut Consumer, view: &StreamView<'_>) {
    let config = &consumer.config;
    consumer.is_kept =
        view.store.kind() == StorageKind::File && !config.mem_storage && !config.direct;
    consumer.is_known_later = view.store.kind() == StorageKind::File
        && !config.direct
        && (consumer.is_durable() || !config.mem_storage);
}
