//! What an acknowledgement does.

use super::ack::{AckKind, Delivery};
use super::config::AckPolicy;
use super::state::{Consumer, Scratch};
use crate::stream::{Context, StreamView};

/// What is left to do after an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledged<'a> {
    /// It is of a message there never was: no answer.
    Ignored,
    /// It is to be answered, if an answer is wanted.
    Done,
    /// It was done, and its sender wants more messages.
    Next(&'a [u8]),
}

impl Consumer {
    /// Takes in an acknowledgement with this body.
    pub(super) fn acknowledge<'a>(
        &mut self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        scratch: &mut Scratch,
        delivery: &Delivery,
        body: &'a [u8],
    ) -> Acknowledged<'a> {
        if delivery.stream_seq > view.store.extent().last_seq {
            return Acknowledged::Ignored;
        }
        match AckKind::parse(body) {
            AckKind::Ack => self.ack(view, ctx, scratch, delivery),
            AckKind::Next { request } => {
                self.ack(view, ctx, scratch, delivery);
                return Acknowledged::Next(request);
            }
            AckKind::Nak { delay } => self.nak(view, ctx, delivery, delay),
            AckKind::InProgress => self.in_progress(ctx.now, delivery),
            AckKind::Terminate { reason } => {
                if self.done(ctx.now, scratch, delivery.stream_seq) {
                    self.advise_terminated(view, ctx, delivery, reason);
                }
            }
            AckKind::Unknown => {}
        }
        Acknowledged::Done
    }

    fn ack(
        &mut self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        scratch: &mut Scratch,
        delivery: &Delivery,
    ) {
        if self.sample_percent > 0 && self.unacked.get(delivery.stream_seq).is_some() {
            self.report_ack(view, ctx, delivery);
        }
        match self.config.ack_policy {
            AckPolicy::None => {}
            AckPolicy::Explicit => {
                self.done(ctx.now, scratch, delivery.stream_seq);
            }
            AckPolicy::All | AckPolicy::FlowControl => {
                self.done_up_to(ctx.now, scratch, delivery.stream_seq, delivery.consumer_seq);
            }
        }
    }

    /// The message need not be delivered again. Returns whether it waited for that.
    pub(super) fn done(&mut self, now: u64, scratch: &mut Scratch, seq: u64) -> bool {
        self.ack_floor.at = now;
        if self.unacked.remove(seq).is_none() {
            return false;
        }
        self.note_done(seq);
        self.settle_floor();
        scratch.released.push(seq);
        true
    }

    /// The same for all messages up to `seq`, whose delivery had that number.
    pub(super) fn done_up_to(
        &mut self,
        now: u64,
        scratch: &mut Scratch,
        seq: u64,
        consumer_seq: u64,
    ) {
        if seq <= self.ack_floor.stream_seq || seq > self.delivered.stream_seq {
            return;
        }
        self.ack_floor.at = now;
        while let Some(entry) = self.unacked.pop_up_to(seq) {
            scratch.released.push(entry.stream_seq);
        }
        self.note_done_up_to(seq, consumer_seq);
        self.ack_floor.stream_seq = seq;
        self.ack_floor.consumer_seq =
            self.ack_floor.consumer_seq.max(consumer_seq.min(self.delivered.consumer_seq));
    }

    fn nak(
        &mut self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        delivery: &Delivery,
        delay: u64,
    ) {
        let seq = delivery.stream_seq;
        if self.unacked.get(seq).is_none() {
            return;
        }
        self.advise_naked(view, ctx, delivery);
        if delay > 0 {
            self.unacked.postpone(seq, ctx.now.saturating_add(delay));
        } else if self.unacked.get(seq).is_some_and(|entry| !entry.is_queued) {
            self.unacked.queued(seq);
            self.redelivery.push_back(seq);
        }
    }

    fn in_progress(&mut self, now: u64, delivery: &Delivery) {
        let Some(entry) = self.unacked.get(delivery.stream_seq).copied() else { return };
        if !entry.is_queued {
            let due = self.due(now, entry.deliveries);
            self.unacked.postpone(delivery.stream_seq, due);
        }
    }

    /// Queues what was not acknowledged in time.
    pub(super) fn expire_acks(&mut self, view: &mut StreamView<'_>, ctx: &mut Context<'_>) {
        let from = self.redelivery.len();
        let redelivery = &mut self.redelivery;
        self.unacked.take_due(ctx.now, |entry| redelivery.push_back(entry.stream_seq));
        if self.config.max_deliver <= 0 {
            return;
        }
        for at in from..self.redelivery.len() {
            let entry = self.redelivery.get(at).and_then(|seq| self.unacked.get(*seq)).copied();
            if let Some(entry) = entry.filter(|entry| self.is_exhausted(entry)) {
                self.exhaust(view, ctx, &entry);
            }
        }
    }
}
