//! All consumers of one stream.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::ack::Delivery;
use super::acks::Acknowledged;
use super::config::ConsumerConfig;
use super::notes::{self, kind, NOTE};
use super::recovery::set_kept;
use super::state::{Consumer, Scratch};
use super::status;
use super::takers::Takers;
use super::unacked::Unacked;
use crate::proto::HeaderBlock;
use crate::store::Commit;
use crate::stream::{ConsumerLimits, Context, Incoming, Outgoing, Purpose, StreamView};
use crate::subject::matches;

/// The consumers of one stream. The stream calls
///
/// - [`handle_api`](Self::handle_api), [`handle_next`](Self::handle_next),
///   [`handle_ack`](Self::handle_ack), [`handle_flow_reply`](Self::handle_flow_reply) with what
///   clients send;
/// - [`stored`](Self::stored), [`removed`](Self::removed), [`purged`](Self::purged) after what
///   happened to its messages;
/// - [`handle_interest`](Self::handle_interest), [`handle_timers`](Self::handle_timers);
/// - then [`deliver`](Self::deliver), until it says that nothing is left to do. Notes of what
///   happened, and the removals that acknowledgements lead to, are written there too.
///
/// Bounds: `max_consumers` of the stream and the account; each consumer has those of its
/// configuration.
#[derive(Debug)]
pub struct Consumers {
    pub(super) slots: Vec<Option<Box<Consumer>>>,
    pub(super) free: VecDeque<u32>,
    pub(super) by_name: BTreeMap<String, u32>,
    pub(super) ready: VecDeque<u32>,
    pub(super) changed: Vec<u32>,
    pub(super) deadlines: BinaryHeap<Reverse<(u64, u32)>>,
    pub(super) scratch: Scratch,
    /// The commit of the last message: what deliveries wait for.
    pub(super) gate: Commit,
    pub(super) note: Vec<u8>,
    /// When changes are noted at the latest; `u64::MAX` if there are none.
    pub(super) flush_at: u64,
    /// Messages were stored since the gate was set.
    pub(super) has_new: bool,
    /// Consumers that deliver without being asked.
    pub(super) pushes: usize,
    pub(super) takers: Takers,
    /// Consumers that may hold messages of subjects that their filters do not want (any more).
    pub(super) strangers: Vec<u32>,
    /// Kept for the next removal.
    losers: Vec<u32>,
    /// Messages that were removed before they were acknowledged, to be told.
    pub(super) terminated: Vec<(u32, Delivery)>,
}

impl Default for Consumers {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: VecDeque::new(),
            by_name: BTreeMap::new(),
            ready: VecDeque::new(),
            changed: Vec::new(),
            deadlines: BinaryHeap::new(),
            scratch: Scratch::default(),
            gate: Commit::NONE,
            note: Vec::new(),
            flush_at: u64::MAX,
            has_new: false,
            pushes: 0,
            takers: Takers::default(),
            strangers: Vec::new(),
            losers: Vec::new(),
            terminated: Vec::new(),
        }
    }
}

impl Consumers {
    /// How many there are, as streams say it.
    pub fn count(&self) -> usize {
        self.iter().filter(|consumer| consumer.holds_messages()).count()
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.iter().filter_map(|(name, index)| {
            self.get(*index).filter(|consumer| consumer.holds_messages()).map(|_| name.as_str())
        })
    }

    /// Whether somebody wants messages of that subject to be kept, under interest retention.
    pub fn wants(&self, subject: &[u8]) -> bool {
        self.iter().any(|consumer| consumer.holds_messages() && consumer.filters.wants(subject))
    }

    /// The names of those whose configuration is beyond limits that a stream is to have.
    pub fn beyond_limits(&self, limits: &ConsumerLimits) -> Vec<String> {
        let is_beyond = |consumer: &&Consumer| {
            limits.max_ack_pending > 0 && consumer.config.max_ack_pending > limits.max_ack_pending
                || limits.inactive_threshold > 0
                    && consumer.config.inactive_threshold > limits.inactive_threshold
        };
        let mut names: Vec<String> =
            self.iter().filter(is_beyond).map(|consumer| consumer.name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Whether there is one of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Whether one would start to deliver if somebody listened.
    pub fn awaits_interest(&self) -> bool {
        self.pushes > 0
    }

    /// A pull request.
    pub fn handle_next(
        &mut self,
        index: u32,
        message: &Incoming<'_>,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
    ) {
        let gate = self.gate;
        let Some(consumer) = slot(&mut self.slots, index) else { return };
        let name = message.subject.rsplit(|byte| *byte == b'.').next();
        if name != Some(consumer.name.as_bytes()) {
            return;
        }
        if !has_known_level(message.headers) {
            status::publish(ctx, gate, view.account, message.reply, status::API_LEVEL, None);
            return;
        }
        consumer.take_request(view, ctx, gate, message.payload, message.reply);
        self.mark_ready(index);
        self.rearm(index, ctx.now);
    }

    /// An acknowledgement.
    pub fn handle_ack(
        &mut self,
        index: u32,
        message: &Incoming<'_>,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
    ) {
        let gate = self.gate;
        let Some(consumer) = slot(&mut self.slots, index) else { return };
        let Some(delivery) = Delivery::parse(&consumer.ack_prefix, message.subject) else {
            return;
        };
        let scratch = &mut self.scratch;
        match consumer.acknowledge(view, ctx, scratch, &delivery, message.payload) {
            Acknowledged::Ignored => {}
            Acknowledged::Next(request) => {
                consumer.take_request(view, ctx, gate, request, message.reply);
                self.touch(index, ctx.now);
            }
            Acknowledged::Done => {
                self.touch(index, ctx.now);
                if !message.reply.is_empty() {
                    self.flush(view, ctx);
                    let outgoing = Outgoing {
                        account: view.account,
                        to: message.reply,
                        subject: b"",
                        reply: b"",
                        headers: b"",
                        payload: b"",
                        failure: None,
                    };
                    ctx.out.publish(view.store.staged(), &outgoing);
                }
            }
        }
    }

    /// An answer to a flow control request.
    pub fn handle_flow_reply(&mut self, index: u32, message: &Incoming<'_>, ctx: &mut Context<'_>) {
        let Some(consumer) = slot(&mut self.slots, index) else { return };
        if consumer.config.ack_policy == super::AckPolicy::FlowControl {
            let header = |name: &[u8]| HeaderBlock::new(message.headers).get(name);
            let number = |text: Option<&[u8]>| text.and_then(super::ack::parse_number);
            let consumer_seq = number(header(b"Nats-Last-Consumer"));
            let stream_seq = number(header(b"Nats-Last-Stream"));
            if let (Some(consumer_seq), Some(stream_seq)) = (consumer_seq, stream_seq) {
                consumer.done_up_to(ctx.now, &mut self.scratch, stream_seq, consumer_seq);
            }
        }
        consumer.flow.answered(message.subject);
        self.touch(index, ctx.now);
    }

    /// A message was stored.
    pub fn stored(&mut self, seq: u64, subject: &[u8]) {
        self.has_new = true;
        for index in self.takers.of(subject) {
            let Some(consumer) = slot(&mut self.slots, index) else { continue };
            let is_ahead = consumer.cursor.stored(seq);
            let has_taker = consumer.is_bound || !consumer.waiting.is_empty();
            if is_ahead && has_taker && !consumer.is_ready {
                consumer.is_ready = true;
                self.ready.push_back(consumer.index);
            }
        }
    }

    /// A message was removed, not by a consumer; its subject, if that is known.
    pub fn removed(&mut self, seq: u64, subject: Option<&[u8]>) {
        let Some(subject) = subject else {
            for at in 0..self.slots.len() {
                self.lose(u32::try_from(at).unwrap_or(u32::MAX), seq, None);
            }
            return;
        };
        let mut losers = std::mem::take(&mut self.losers);
        losers.extend(self.takers.of(subject));
        losers.extend(self.strangers.iter().filter(|&&index| {
            self.get(index).is_some_and(|consumer| !consumer.filters.wants(subject))
        }));
        for index in losers.drain(..) {
            self.lose(index, seq, Some(subject));
        }
        self.losers = losers;
    }

    /// A message was removed that a consumer may hold, or have before it.
    fn lose(&mut self, index: u32, seq: u64, subject: Option<&[u8]>) {
        let Some(consumer) = slot(&mut self.slots, index) else { return };
        consumer.cursor.removed(seq, subject, &consumer.filters);
        let Some(entry) = consumer.unacked.get(seq).copied() else { return };
        consumer.forget(seq);
        self.terminated.push((index, delivery_of(&entry)));
        if !consumer.is_listed {
            consumer.is_listed = true;
            self.changed.push(index);
        }
    }

    /// All messages below `seq` are about to go for their age: it is told which of them nobody has
    /// acknowledged.
    pub fn expiring(&mut self, seq: u64) {
        for consumer in self.slots.iter().flatten() {
            let late = consumer.unacked.iter().take_while(|entry| entry.stream_seq < seq);
            self.terminated.extend(late.map(|entry| (consumer.index, delivery_of(entry))));
        }
    }

    /// Many messages were removed at once.
    pub fn purged(&mut self, view: &mut StreamView<'_>) {
        for at in 0..self.slots.len() {
            let Some(Some(consumer)) = self.slots.get_mut(at) else { continue };
            consumer.reconcile(view.store);
            let index = consumer.index;
            self.keep_state(index, view);
            self.mark_ready(index);
        }
    }

    /// The stream's configuration changed.
    pub fn stream_updated(&mut self, view: &mut StreamView<'_>, ctx: &mut Context<'_>) {
        view.store.begin_group();
        self.release_unneeded(view);
        view.store.end_group();
        self.flush(view, ctx);
    }

    /// Somebody began or ceased to listen to `pattern`.
    pub fn handle_interest(
        &mut self,
        pattern: &[u8],
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
    ) {
        for at in 0..self.slots.len() {
            let Some(Some(consumer)) = self.slots.get_mut(at) else { continue };
            if consumer.config.is_push()
                && matches(pattern, consumer.config.deliver_subject.as_bytes())
            {
                let index = consumer.index;
                self.look_for_listener(index, view, ctx);
            }
        }
    }

    /// Sends what can be sent, and writes notes of what happened. Returns whether it wants to be
    /// called again.
    pub fn deliver(&mut self, view: &mut StreamView<'_>, ctx: &mut Context<'_>) -> bool {
        if std::mem::take(&mut self.has_new) {
            self.gate = view.store.staged().max(self.gate);
        }
        self.flush_if_due(view, ctx);
        self.scratch.pass += 1;
        for _ in 0..self.ready.len().min(CONSUMERS_MAX) {
            let Some(index) = self.ready.pop_front() else { break };
            let gate = self.gate;
            let Some(consumer) = slot(&mut self.slots, index) else { continue };
            consumer.is_ready = false;
            consumer.expire_requests(view, ctx, gate);
            let has_more = consumer.deliver(view, ctx, &mut self.scratch, gate);
            if has_more {
                self.mark_ready(index);
            }
            self.list_changes(index);
            self.rearm(index, ctx.now);
        }
        self.flush_if_due(view, ctx);
        !self.ready.is_empty()
    }

    /// Does what is due.
    pub fn handle_timers(&mut self, view: &mut StreamView<'_>, ctx: &mut Context<'_>) {
        while let Some(Reverse((at, index))) = self.deadlines.peek().copied() {
            if at > ctx.now {
                break;
            }
            self.deadlines.pop();
            let gate = self.gate;
            let Some(consumer) = slot(&mut self.slots, index) else { continue };
            if consumer.armed != at {
                continue;
            }
            consumer.armed = u64::MAX;
            consumer.expire_acks(view, ctx);
            consumer.expire_requests(view, ctx, gate);
            if consumer.is_paused && consumer.paused_until(ctx.now).is_none() {
                consumer.is_paused = false;
                consumer.advise_pause(view, ctx, false);
            }
            if !consumer.pin.id.is_empty() && consumer.pin.until <= ctx.now {
                consumer.unpin(view, ctx, "timeout");
            }
            self.handle_push_timers(index, view, ctx);
            if self.is_unused(index, view, ctx) {
                self.delete(index, view, ctx);
                continue;
            }
            self.mark_ready(index);
            self.list_changes(index);
            self.rearm_after(index, ctx.now);
        }
    }

    /// When [`handle_timers`](Self::handle_timers) is to be called.
    pub fn next_deadline(&self) -> Option<u64> {
        let first = self.deadlines.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
        let at = if self.changed.is_empty() { first } else { first.min(self.flush_at) };
        (at < u64::MAX).then_some(at)
    }

    /// Whether [`deliver`](Self::deliver) has something to do.
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty() || !self.changed.is_empty() || !self.terminated.is_empty()
    }

    /// The stream is deleted, and so are its consumers.
    pub fn delete_all(&mut self, view: &mut StreamView<'_>, ctx: &mut Context<'_>) {
        let all: Vec<u32> = self.by_name.values().copied().collect();
        for index in all {
            self.remove(index, view, ctx);
        }
    }

    /// Puts a new consumer into the table, and tells who wants to know.
    pub(super) fn add(
        &mut self,
        consumer: Consumer,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
    ) {
        let index = consumer.index;
        self.add_quietly(consumer, view, ctx);
        if let Some(consumer) = self.get(index) {
            consumer.advise_action(view, ctx, "CREATED", "create");
            if consumer.is_paused {
                consumer.advise_pause(view, ctx, true);
            }
        }
    }

    /// Puts a new consumer into the table.
    pub(super) fn add_quietly(
        &mut self,
        mut consumer: Consumer,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
    ) {
        consumer.set_prefixes(view);
        set_kept(&mut consumer, view);
        consumer.is_paused = consumer.paused_until(ctx.now).is_some();
        let index = consumer.index;
        self.put(consumer);
        self.keep_state(index, view);
        self.subscribe(index, view, ctx);
        self.look_for_listener(index, view, ctx);
        self.touch(index, ctx.now);
    }

    /// Deletes a consumer, and what was kept for it alone.
    pub(super) fn delete(&mut self, index: u32, view: &mut StreamView<'_>, ctx: &mut Context<'_>) {
        view.store.begin_group();
        self.remove(index, view, ctx);
        self.release_unneeded(view);
        view.store.end_group();
    }

    fn remove(&mut self, index: u32, view: &mut StreamView<'_>, ctx: &mut Context<'_>) {
        let gate = self.gate;
        let Some(mut consumer) = self.take(index) else { return };
        consumer.end_all(view, ctx, gate, status::DELETED);
        self.for_each_subscription(
            &consumer,
            view,
            |ctx, purpose, account, pattern| {
                ctx.out.unsubscribe(purpose.token(), account, pattern.as_bytes());
            },
            ctx,
        );
        if consumer.is_known_later {
            self.note.clear();
            self.note.extend_from_slice(&[NOTE, kind::DELETED]);
            notes::write_number(&mut self.note, u64::from(index));
            view.store.note(&self.note);
        }
        consumer.advise_action(view, ctx, "DELETED", "delete");
    }

    pub(super) fn subscribe(&mut self, index: u32, view: &StreamView<'_>, ctx: &mut Context<'_>) {
        let Some(consumer) = self.get(index) else { return };
        self.for_each_subscription(
            consumer,
            view,
            |ctx, purpose, account, pattern| {
                ctx.out.subscribe(purpose.token(), account, pattern.as_bytes(), None);
            },
            ctx,
        );
    }

    pub(super) fn for_each_subscription(
        &self,
        consumer: &Consumer,
        view: &StreamView<'_>,
        mut each: impl FnMut(&mut Context<'_>, Purpose, crate::subject::AccountId, &str),
        ctx: &mut Context<'_>,
    ) {
        use super::AckPolicy;
        let (stream, name) = (view.name(), &consumer.name);
        let next = ["$JS.API.CONSUMER.MSG.NEXT.", stream, ".", name].concat();
        each(ctx, Purpose::Next(view.index, consumer.index), view.account, &next);
        if matches!(consumer.config.ack_policy, AckPolicy::Explicit | AckPolicy::All) {
            let short = ["$JS.ACK.", stream, ".", name, ".*.*.*.*.*"].concat();
            each(ctx, Purpose::Ack(view.index, consumer.index), view.account, &short);
            let tokens = view.server.long_tokens(view.account_name);
            let long = ["$JS.ACK.", &tokens, stream, ".", name, ".>"].concat();
            each(ctx, Purpose::AckLong(view.index, consumer.index), view.account, &long);
        }
        if consumer.config.flow_control {
            let mut flow = consumer.flow_prefix.clone();
            flow.push(b'*');
            let flow = String::from_utf8_lossy(&flow);
            each(ctx, Purpose::Flow(view.index, consumer.index), view.account, &flow);
        }
    }

    /// Binds a push consumer whose deliver subject somebody listens to, and the other way round.
    pub(super) fn look_for_listener(
        &mut self,
        index: u32,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
    ) {
        let Some(consumer) = slot(&mut self.slots, index) else { return };
        if !consumer.config.is_push() {
            return;
        }
        let is_heard = consumer.is_heard(view, ctx);
        if is_heard && !consumer.is_bound {
            consumer.is_bound = true;
            consumer.active_at = ctx.now;
            consumer.heartbeat_at = consumer.next_heartbeat(ctx.now);
            self.mark_ready(index);
        } else if !is_heard && consumer.is_bound {
            consumer.unbind(ctx.now);
        }
        self.rearm(index, ctx.now);
    }

    fn handle_push_timers(&mut self, index: u32, view: &mut StreamView<'_>, ctx: &mut Context<'_>) {
        let gate = self.gate;
        let Some(consumer) = slot(&mut self.slots, index) else { return };
        if !consumer.config.is_push() || !consumer.is_bound {
            return;
        }
        let beats = consumer.heartbeat_at <= ctx.now;
        let looks = consumer.inactive_at().is_some_and(|at| at <= ctx.now);
        if !beats && !looks {
            return;
        }
        if !consumer.is_heard(view, ctx) {
            consumer.unbind(ctx.now);
            return;
        }
        if looks {
            consumer.active_at = ctx.now;
        }
        if beats {
            let to = consumer.config.deliver_subject.as_bytes();
            let last = (consumer.delivered.consumer_seq, consumer.delivered.stream_seq);
            status::heartbeat(ctx, gate, view.account, to, last, consumer.flow.asked());
            consumer.heartbeat_at = consumer.next_heartbeat(ctx.now);
            // Answers are the acknowledgements here, so one is asked for while some are missing.
            let wants_answer = consumer.config.ack_policy == super::AckPolicy::FlowControl
                && consumer.unacked.first().is_some()
                && consumer.flow.asked().is_empty();
            if wants_answer {
                let reply = consumer.flow.ask(&consumer.flow_prefix, view.nuid);
                let to = consumer.config.deliver_subject.as_bytes();
                let status = status::FLOW_CONTROL;
                status::publish_with_reply(ctx, gate, view.account, to, reply, status);
            }
        }
    }

    /// Nobody has used the consumer for as long as it may be unused.
    fn is_unused(&mut self, index: u32, view: &mut StreamView<'_>, ctx: &mut Context<'_>) -> bool {
        let Some(consumer) = slot(&mut self.slots, index) else { return false };
        if consumer.inactive_at().is_none_or(|at| at > ctx.now) {
            return false;
        }
        let is_used = if consumer.config.is_push() {
            consumer.is_heard(view, ctx)
        } else {
            !consumer.waiting.is_empty()
                || consumer.unacked.next_due().is_some_and(|due| due > ctx.now)
        };
        if is_used {
            consumer.active_at = ctx.now;
        }
        !is_used
    }

    /// Something happened to a consumer: it may have to deliver, to note, and to wake up.
    pub(super) fn touch(&mut self, index: u32, now: u64) {
        self.mark_ready(index);
        self.list_changes(index);
        self.rearm(index, now);
    }

    pub(super) fn mark_ready(&mut self, index: u32) {
        if let Some(consumer) = slot(&mut self.slots, index) {
            let has_taker = consumer.is_bound || !consumer.waiting.is_empty();
            if has_taker && !consumer.is_ready {
                consumer.is_ready = true;
                self.ready.push_back(index);
            }
        }
    }

    fn list_changes(&mut self, index: u32) {
        if let Some(consumer) = slot(&mut self.slots, index) {
            if consumer.is_changed && !consumer.is_listed {
                consumer.is_listed = true;
                self.changed.push(index);
            }
        }
    }

    /// Sets the deadline of a consumer, if it is earlier than the one it has.
    fn rearm(&mut self, index: u32, now: u64) {
        if let Some(consumer) = slot(&mut self.slots, index) {
            let at = consumer.deadline(now);
            if at < consumer.armed {
                consumer.armed = at;
                self.deadlines.push(Reverse((at, index)));
            }
        }
    }

    /// The same after its timers were handled: what could not be done is not tried at once again.
    fn rearm_after(&mut self, index: u32, now: u64) {
        if let Some(consumer) = slot(&mut self.slots, index) {
            let at = consumer.deadline(now);
            if at < u64::MAX {
                let at = at.max(now.saturating_add(1));
                consumer.armed = at;
                self.deadlines.push(Reverse((at, index)));
            }
        }
    }

    pub(super) fn get(&self, index: u32) -> Option<&Consumer> {
        let at = usize::try_from(index).ok()?;
        self.slots.get(at)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Consumer> {
        slot(&mut self.slots, index)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Consumer> {
        self.slots.iter().flatten().map(|consumer| &**consumer)
    }

    /// A place that no consumer has.
    pub(super) fn free_index(&mut self) -> u32 {
        let next = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        // Places are used again late, so that messages on their way find nobody there.
        if self.free.len() > FREE_KEPT {
            return self.free.pop_front().unwrap_or(next);
        }
        next
    }

    pub(super) fn put(&mut self, consumer: Consumer) {
        let Ok(at) = usize::try_from(consumer.index) else { return };
        // Below a bound that no stream reaches: indices come from notes as well.
        if at >= CONSUMERS_OF_A_STREAM_MAX {
            return;
        }
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        if self.take(consumer.index).is_some() {
            self.free.pop_back();
        }
        self.pushes += usize::from(consumer.config.is_push());
        self.by_name.insert(consumer.name.clone(), consumer.index);
        self.takers.insert(consumer.index, &consumer.filters);
        if consumer.unacked.first().is_some() {
            self.strangers.push(consumer.index);
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(Box::new(consumer));
        }
    }

    /// Gives a consumer another configuration.
    pub(super) fn configure(&mut self, index: u32, config: ConsumerConfig) {
        let Some(consumer) = slot(&mut self.slots, index) else { return };
        self.takers.remove(index, &consumer.filters);
        consumer.configure(config);
        self.takers.insert(index, &consumer.filters);
        if !self.strangers.contains(&index) {
            self.strangers.push(index);
        }
    }

    pub(super) fn take(&mut self, index: u32) -> Option<Box<Consumer>> {
        let consumer = self.slots.get_mut(usize::try_from(index).ok()?)?.take()?;
        self.by_name.remove(&consumer.name);
        self.takers.remove(index, &consumer.filters);
        self.strangers.retain(|&stranger| stranger != index);
        self.pushes -= usize::from(consumer.config.is_push());
        self.free.push_back(index);
        Some(consumer)
    }
}

/// The consumer at a place, apart from the rest of the table.
pub(super) fn slot(slots: &mut [Option<Box<Consumer>>], index: u32) -> Option<&mut Consumer> {
    slots.get_mut(usize::try_from(index).ok()?)?.as_deref_mut()
}

/// What is told of a message that went before it was acknowledged.
fn delivery_of(entry: &Unacked) -> Delivery {
    Delivery {
        deliveries: u64::from(entry.deliveries),
        stream_seq: entry.stream_seq,
        consumer_seq: entry.consumer_seq,
        time: 0,
        pending: 0,
    }
}

/// Whether a request asks for no higher level of the API than there is.
fn has_known_level(headers: &[u8]) -> bool {
    if headers.is_empty() {
        return true;
    }
    match HeaderBlock::new(headers).get(b"Nats-Required-Api-Level") {
        Some(level) => {
            super::ack::parse_number(level).is_some_and(|level| level <= crate::stream::API_LEVEL)
        }
        None => true,
    }
}

/// Consumers that deliver in one call.
const CONSUMERS_MAX: usize = 16;

/// Places that are not used again at once.
const FREE_KEPT: usize = 64;

/// Consumers a stream may have.
pub(super) const CONSUMERS_OF_A_STREAM_MAX: usize = 1 << 20;
