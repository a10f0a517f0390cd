//! Which message a consumer sends next, to whom, and what it then remembers.
//!
//! A call sends at most [`MESSAGES_MAX`] messages or [`BYTES_MAX`] bytes and says
//! whether there is more, so that no consumer holds up its shard. A message costs one
//! read from the store into memory that is used again, and one copy into the outbox.

use super::ack::Delivery;
use super::config::PriorityPolicy;
use super::state::{Consumer, Scratch};
use super::status::{self, Pending};
use super::unacked::Unacked;
use crate::proto::write_decimal;
use crate::store::Commit;
use crate::stream::{Context, Outgoing, Retention, StreamView};

/// What a call may still send.
struct Budget {
    messages: u32,
    bytes: u64,
}

/// What could be sent next.
enum Next {
    /// A message, which was read.
    Message {
        seq: u64,
        /// How often it was delivered before.
        deliveries: u32,
    },
    /// Nothing is left.
    Nothing,
    /// Something is left that may not be sent now.
    Held,
}

impl Consumer {
    /// Sends what can be sent. Returns whether there is more.
    pub(super) fn deliver(
        &mut self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        scratch: &mut Scratch,
        gate: Commit,
    ) -> bool {
        if self.paused_until(ctx.now).is_some() || self.resume_at > ctx.now {
            return false;
        }
        if self.config.is_push() {
            self.deliver_push(view, ctx, scratch, gate)
        } else {
            self.deliver_pull(view, ctx, scratch, gate)
        }
    }

    fn deliver_pull(
        &mut self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        scratch: &mut Scratch,
        gate: Commit,
    ) -> bool {
        let mut budget = Budget::default();
        while let Some(at) = self.next_request(view, ctx, scratch.pass, gate) {
            if budget.is_spent() {
                return true;
            }
            let (seq, deliveries) = match self.next_message(view, ctx, scratch) {
                Next::Message { seq, deliveries } => (seq, deliveries),
                Next::Nothing => {
                    self.end_drained(view, ctx, gate);
                    break;
                }
                Next::Held => break,
            };
            let size = self.prepare(view, scratch, seq, deliveries);
            let Some(request) = self.waiting.get_mut(at) else { break };
            if request.bytes_left.is_some_and(|left| left < size) {
                let pending = Pending::of(request);
                self.end_request(view, ctx, gate, at, status::SIZE_EXCEEDED, Some(pending));
                continue;
            }
            self.send(view, ctx, scratch, gate, at);
            self.count_delivery(view, ctx, scratch, seq, deliveries);
            self.count_request(view, ctx, gate, at, size);
            budget.spend(size);
        }
        false
    }

    fn deliver_push(
        &mut self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        scratch: &mut Scratch,
        gate: Commit,
    ) -> bool {
        if !self.is_bound {
            return false;
        }
        if !self.is_heard(view, ctx) {
            self.unbind(ctx.now);
            return false;
        }
        let mut budget = Budget::default();
        while !(self.config.flow_control && self.flow.is_stalled()) {
            if budget.is_spent() {
                return true;
            }
            let Next::Message { seq, deliveries } = self.next_message(view, ctx, scratch) else {
                break;
            };
            let size = self.prepare(view, scratch, seq, deliveries);
            if let Some(rate) = &mut self.rate {
                let at = rate.at(ctx.now, size);
                if at > ctx.now {
                    self.resume_at = at;
                    break;
                }
                rate.take(ctx.now, size);
            }
            self.publish(view, ctx, scratch, gate, self.config.deliver_subject.as_bytes());
            self.count_delivery(view, ctx, scratch, seq, deliveries);
            self.heartbeat_at = self.next_heartbeat(ctx.now);
            if self.config.flow_control && self.flow.sent(size) {
                let reply = self.flow.ask(&self.flow_prefix, view.nuid);
                let to = self.config.deliver_subject.as_bytes();
                status::publish_with_reply(
                    ctx,
                    gate,
                    view.account,
                    to,
                    reply,
                    status::FLOW_CONTROL,
                );
            }
            budget.spend(size);
        }
        false
    }

    /// Finds the next message and reads it.
    fn next_message(
        &mut self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Next {
        while let Some(seq) = self.redelivery.front().copied() {
            let entry = self.unacked.get(seq).filter(|entry| entry.is_queued).copied();
            let Some(entry) = entry else {
                self.redelivery.pop_front();
                continue;
            };
            if self.is_exhausted(&entry) {
                self.redelivery.pop_front();
                self.exhaust(view, ctx, &entry);
            } else if matches!(view.store.read(seq, &mut scratch.message), Ok(true)) {
                return Next::Message { seq, deliveries: entry.deliveries };
            } else {
                self.redelivery.pop_front();
                self.forget(seq);
            }
        }
        if self.is_full() {
            return Next::Held;
        }
        loop {
            let Some(seq) = self.cursor.peek(view.store, &self.filters) else {
                return Next::Nothing;
            };
            if !matches!(view.store.read(seq, &mut scratch.message), Ok(true)) {
                self.cursor.advance(seq);
                continue;
            }
            if let Some((stored, sent)) = self.replayed.filter(|_| seq <= self.replay_until) {
                let at = sent.saturating_add(scratch.message.time.saturating_sub(stored));
                if at > ctx.now {
                    self.resume_at = at;
                    return Next::Held;
                }
            }
            return Next::Message { seq, deliveries: 0 };
        }
    }

    /// Writes the ack subject and the headers that are changed; returns the size of the delivery.
    fn prepare(
        &mut self,
        view: &mut StreamView<'_>,
        scratch: &mut Scratch,
        seq: u64,
        deliveries: u32,
    ) -> u64 {
        let left = self.cursor.left(view.store, &self.filters);
        let message = &scratch.message;
        let delivery = Delivery {
            deliveries: u64::from(deliveries) + 1,
            stream_seq: seq,
            consumer_seq: self.delivered.consumer_seq + 1,
            time: message.time,
            pending: if deliveries == 0 { left.saturating_sub(1) } else { left },
        };
        delivery.write(&self.ack_prefix, &mut scratch.ack_subject);
        let headers = &mut scratch.headers;
        headers.clear();
        if self.config.headers_only {
            start_headers(headers, message.headers());
            headers.extend_from_slice(b"Nats-Msg-Size: ");
            write_decimal(headers, message.payload().len() as u64);
            headers.extend_from_slice(b"\r\n\r\n");
        }
        if self.has_pins() {
            let block =
                if headers.is_empty() { message.headers().to_vec() } else { headers.clone() };
            start_headers(headers, &block);
            headers.extend_from_slice(b"Nats-Pin-Id: ");
            headers.extend_from_slice(self.pin.id.as_bytes());
            headers.extend_from_slice(b"\r\n\r\n");
        }
        let headers = if headers.is_empty() { message.headers() } else { headers };
        let payload = if self.config.headers_only { 0 } else { message.payload().len() };
        (message.subject().len() + scratch.ack_subject.len() + headers.len() + payload) as u64
    }

    /// Sends the message to the request at a place of the queue.
    fn send(
        &mut self,
        view: &StreamView<'_>,
        ctx: &mut Context<'_>,
        scratch: &Scratch,
        gate: Commit,
        at: usize,
    ) {
        if let Some(request) = self.waiting.get_mut(at) {
            let reply = std::mem::take(&mut request.reply);
            self.publish(view, ctx, scratch, gate, &reply);
            if let Some(request) = self.waiting.get_mut(at) {
                request.reply = reply;
            }
        }
    }

    fn publish(
        &self,
        view: &StreamView<'_>,
        ctx: &mut Context<'_>,
        scratch: &Scratch,
        gate: Commit,
        to: &[u8],
    ) {
        let message = &scratch.message;
        let headers = if scratch.headers.is_empty() { message.headers() } else { &scratch.headers };
        let outgoing = Outgoing {
            account: view.account,
            to,
            subject: message.subject(),
            reply: &scratch.ack_subject,
            headers,
            payload: if self.config.headers_only { b"" } else { message.payload() },
            failure: None,
        };
        ctx.out.publish(gate, &outgoing);
    }

    /// Remembers that the message was sent.
    fn count_delivery(
        &mut self,
        view: &StreamView<'_>,
        ctx: &Context<'_>,
        scratch: &mut Scratch,
        seq: u64,
        deliveries: u32,
    ) {
        let now = ctx.now;
        self.active_at = now;
        self.delivered.consumer_seq += 1;
        self.delivered.at = now;
        let consumer_seq = self.delivered.consumer_seq;
        if deliveries > 0 {
            self.redelivery.pop_front();
            let due = self.due(now, deliveries + 1);
            self.unacked.redelivered(seq, now, due);
            self.note_redelivered(seq, deliveries + 1);
            return;
        }
        if seq <= self.replay_until {
            self.replayed = Some((scratch.message.time, now));
        }
        self.cursor.advance(seq);
        self.delivered.stream_seq = self.delivered.stream_seq.max(seq);
        self.note_delivered(seq, consumer_seq);
        if self.needs_acks() {
            let due = self.due(now, 1);
            self.unacked.insert(Unacked {
                stream_seq: seq,
                consumer_seq,
                sent_at: now,
                due,
                deliveries: 1,
                is_queued: false,
            });
        } else {
            self.ack_floor.consumer_seq = consumer_seq;
            self.ack_floor.stream_seq = self.delivered.stream_seq;
            if view.config.retention != Retention::Limits && self.holds_messages() {
                scratch.released.push(seq);
            }
        }
    }

    /// Counts what the request got, and ends it if that was all, or its turn.
    fn count_request(
        &mut self,
        view: &StreamView<'_>,
        ctx: &mut Context<'_>,
        gate: Commit,
        at: usize,
        size: u64,
    ) {
        let Some(request) = self.waiting.get_mut(at) else { return };
        request.delivered += 1;
        request.batch_left = request.batch_left.saturating_sub(1);
        if let Some(left) = &mut request.bytes_left {
            *left = left.saturating_sub(size);
        }
        if request.heartbeat > 0 {
            request.heartbeat_at = ctx.now.saturating_add(request.heartbeat);
        }
        if request.batch_left == 0 {
            let pending = Pending { messages: 0, bytes: request.bytes_left.unwrap_or_default() };
            if pending.bytes > 0 {
                self.end_request(view, ctx, gate, at, status::BATCH_COMPLETED, Some(pending));
            } else {
                self.drop_request(at);
            }
        } else if request.bytes_left == Some(0) {
            self.drop_request(at);
        } else {
            self.waiting.rotate(at);
        }
    }

    /// The place of the request that is to be served next.
    fn next_request(
        &mut self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        pass: u64,
        gate: Commit,
    ) -> Option<usize> {
        let mut at = 0;
        loop {
            let request = self.waiting.get_mut(at)?;
            if request.heard_in != pass {
                if !ctx.interest.has_interest(view.account, &request.reply) {
                    self.drop_request(at);
                    continue;
                }
                request.heard_in = pass;
            }
            match self.config.priority_policy {
                PriorityPolicy::None | PriorityPolicy::Prioritized => return Some(at),
                PriorityPolicy::Overflow => {
                    let (min_pending, min_unacked) = (request.min_pending, request.min_unacked);
                    let left = self.cursor.left(view.store, &self.filters);
                    if min_pending == 0 && min_unacked == 0
                        || min_pending > 0 && left >= min_pending
                        || min_unacked > 0 && self.unacked.len() as u64 >= min_unacked
                    {
                        return Some(at);
                    }
                    at += 1;
                }
                PriorityPolicy::PinnedClient => {
                    // Without a message nobody is pinned or turned away.
                    if self.redelivery.is_empty()
                        && self.cursor.left(view.store, &self.filters) == 0
                    {
                        return Some(at);
                    }
                    if request.pin.is_empty() && self.pin.id.is_empty() {
                        self.pin_to(view, ctx, at);
                        return Some(at);
                    }
                    if request.pin.is_empty() {
                        at += 1;
                    } else if *request.pin == *self.pin.id.as_bytes() {
                        return Some(at);
                    } else {
                        let pending = Pending::of(request);
                        self.end_request(view, ctx, gate, at, status::WRONG_PIN, Some(pending));
                    }
                }
            }
        }
    }

    /// Whether the message was delivered as often as it may be.
    pub(super) fn is_exhausted(&self, entry: &Unacked) -> bool {
        let max = self.config.max_deliver;
        max > 0 && i64::from(entry.deliveries) >= max
    }

    /// The message will not be delivered again. It stays in the stream.
    pub(super) fn exhaust(
        &mut self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        entry: &Unacked,
    ) {
        self.unacked.remove(entry.stream_seq);
        self.given_up += u64::from(entry.deliveries > 1);
        self.note_done(entry.stream_seq);
        self.advise_max_deliveries(view, ctx, entry);
    }

    /// The message is no longer in the stream.
    pub(super) fn forget(&mut self, seq: u64) {
        self.unacked.remove(seq);
        self.note_done(seq);
        self.settle_floor();
    }

    /// Nobody listens on the deliver subject any more.
    pub(super) fn unbind(&mut self, now: u64) {
        self.is_bound = false;
        self.active_at = now;
        self.heartbeat_at = u64::MAX;
        self.flow.start_over();
    }

    /// When a push consumer is to be heard of again.
    pub(super) fn next_heartbeat(&self, now: u64) -> u64 {
        match self.config.idle_heartbeat {
            0 => u64::MAX,
            interval => now.saturating_add(interval.max(0).unsigned_abs()),
        }
    }
}

/// Starts a header block with what is in `block`, so that more lines may follow.
fn start_headers(headers: &mut Vec<u8>, block: &[u8]) {
    headers.clear();
    match block.strip_suffix(b"\r\n") {
        Some(lines) => headers.extend_from_slice(lines),
        None => headers.extend_from_slice(b"NATS/1.0\r\n"),
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { messages: MESSAGES_MAX, bytes: BYTES_MAX }
    }
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.messages == 0 || self.bytes == 0
    }

    fn spend(&mut self, size: u64) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
    }
}

/// Messages a consumer sends in one call.
const MESSAGES_MAX: u32 = 256;
/// Bytes after which a consumer sends no further message in a call.
const BYTES_MAX: u64 = 256 << 10;
