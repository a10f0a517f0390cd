//! What follows from acknowledgements: notes of what happened, and the removal of messages that
//! nobody needs any more, together.

use super::notes::{kind, NOTE};
use super::table::{slot, Consumers};
use crate::store::Message;
use crate::stream::{Context, Retention, StreamView};

/// Why its deliveries end, in nats-server's words, whatever removed it.
const REMOVED: &[u8] = b"Unacknowledged message was deleted";

/// Time after which changes are noted, if nothing asks for it before.
const FLUSH_AFTER: u64 = 1_000_000;

/// Acknowledged messages after which changes are noted.
const RELEASED_MAX: usize = 1024;

impl Consumers {
    /// Removes messages that nobody needs, after the stream took to interest retention, or
    /// consumers changed.
    pub fn release_unneeded(&mut self, view: &mut StreamView<'_>) {
        if view.config.retention != Retention::Interest {
            return;
        }
        let extent = view.store.extent();
        let keeps_from = self.iter().filter(|consumer| consumer.holds_messages()).map(|consumer| {
            let unacked = consumer.unacked.first().map_or(u64::MAX, |first| first.stream_seq);
            consumer.cursor.next().min(unacked)
        });
        let keeps_from = keeps_from.min().unwrap_or(u64::MAX).min(extent.last_seq + 1);
        let mut next = view.store.next_seq(extent.first_seq);
        let mut message = Message::default();
        while let Some(seq) = next {
            next = view.store.next_seq(seq + 1);
            if (seq < keeps_from || !self.is_needed(seq, view, &mut message))
                && view.store.remove(seq, false)
            {
                self.removed_by_us(seq, None);
            }
        }
        for consumer in self.slots.iter_mut().flatten() {
            consumer.reconcile(view.store);
        }
    }

    /// Writes notes at once if messages are to be removed with them; plain acknowledgements and
    /// deliveries are gathered for a while, so that a note is worth its bytes.
    pub(super) fn flush_if_due(&mut self, view: &mut StreamView<'_>, ctx: &mut Context<'_>) {
        if self.changed.is_empty() {
            self.flush_at = u64::MAX;
        } else if self.flush_at == u64::MAX {
            self.flush_at = ctx.now.saturating_add(FLUSH_AFTER);
        }
        let is_due = ctx.now >= self.flush_at
            || !self.terminated.is_empty()
            || !self.scratch.released.is_empty() && view.config.retention != Retention::Limits
            || self.scratch.released.len() >= RELEASED_MAX;
        if is_due {
            self.flush(view, ctx);
            self.flush_at = u64::MAX;
        }
    }

    /// Writes notes of what changed, and removes what nobody needs any more, together.
    pub(super) fn flush(&mut self, view: &mut StreamView<'_>, ctx: &mut Context<'_>) {
        for (index, delivery) in std::mem::take(&mut self.terminated) {
            if let Some(consumer) = slot(&mut self.slots, index) {
                consumer.ack_floor.at = ctx.now;
                consumer.advise_terminated(view, ctx, &delivery, REMOVED);
                self.mark_ready(index);
            }
        }
        if self.changed.is_empty() && self.scratch.released.is_empty() {
            return;
        }
        view.store.begin_group();
        while let Some(index) = self.changed.pop() {
            let Some(consumer) = slot(&mut self.slots, index) else { continue };
            consumer.is_listed = false;
            if consumer.take_changes(ctx.now, &mut self.note) {
                view.store.note(&self.note);
            }
        }
        let mut released = std::mem::take(&mut self.scratch.released);
        if view.config.retention != Retention::Limits {
            let mut message = std::mem::take(&mut self.scratch.message);
            for seq in released.iter().copied() {
                let is_kept = view.config.retention == Retention::Interest
                    && self.is_needed(seq, view, &mut message);
                if !is_kept && view.store.remove(seq, false) {
                    self.removed_by_us(seq, None);
                }
            }
            self.scratch.message = message;
        }
        released.clear();
        self.scratch.released = released;
        view.store.end_group();
    }

    pub(super) fn removed_by_us(&mut self, seq: u64, subject: Option<&[u8]>) {
        for consumer in self.slots.iter_mut().flatten() {
            consumer.cursor.removed(seq, subject, &consumer.filters);
        }
    }

    /// Whether some consumer has yet to acknowledge the message.
    fn is_needed(&self, seq: u64, view: &mut StreamView<'_>, message: &mut Message) -> bool {
        let mut is_read = false;
        self.iter().any(|consumer| {
            consumer.holds_messages()
                && consumer.needs(seq, || {
                    if !is_read {
                        is_read = matches!(view.store.read(seq, message), Ok(true));
                    }
                    is_read.then(|| consumer.filters.wants(message.subject()))
                })
        })
    }

    /// Notes the whole state of a consumer.
    pub(super) fn keep_state(&mut self, index: u32, view: &mut StreamView<'_>) {
        let Some(consumer) = slot(&mut self.slots, index) else { return };
        if !consumer.is_known_later {
            return;
        }
        consumer.drop_changes();
        self.note.clear();
        self.note.extend_from_slice(&[NOTE, kind::STATE]);
        consumer.write_state(&mut self.note);
        view.store.note(&self.note);
    }
}
