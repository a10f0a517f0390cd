//! One message into one subscriber's buffer.

use super::connection::{ConnKey, Connections, Phase};
use super::internal::{Captured, CALLOUT, INTERNAL, SYSTEM};
use super::services::Forward;
use super::trace::{self, TraceOptions};
use crate::outbound::{ChunkPool, Pressure};
use crate::proto::{self, Publish};
use crate::router::{ConnId, Plan, SubId, Subscription, Subscriptions};

/// Everything a delivery touches but the subscription itself.
#[derive(Debug)]
pub(super) struct Deliverer {
    pub(super) connections: Connections,
    pub(super) pool: ChunkPool,
    /// Connections with something to send, each once.
    pub(super) dirty: Vec<ConnId>,
    /// Subscriptions that have had their last message.
    pub(super) expired: Vec<SubId>,
    /// Connections found beyond `max_pending`.
    pub(super) over: Vec<ConnKey>,
    /// The worst queue that the current message met.
    pub(super) pressure: Pressure,
    /// Messages delivered, ever.
    pub(super) delivered: u64,
    /// Bytes of payload delivered, ever.
    pub(super) delivered_bytes: u64,
    /// Those of them that were not written, ever: frames shared with others.
    pub(super) shared_bytes: u64,
    /// Deliveries that were not written, ever.
    pub(super) shared: u64,
    /// The time of the turn, in nanoseconds.
    pub(super) now: u64,
    max_pending: usize,
    /// Above this the slow path looks closer.
    high_water: usize,
    drop_when_high: bool,
    prefix: Vec<u8>,
    /// The subject that a shadow's subscription sees.
    pub(super) mapped: Vec<u8>,
    trace: Option<TraceOptions>,
    /// What the engine's subscriptions got.
    pub(super) captured: Captured,
    /// What the services of the system account got.
    pub(super) captured_by_system: Captured,
    /// What imports of other accounts' services got, and answers to them.
    pub(super) forwards: Vec<Forward>,
    /// What services answered that decide on clients.
    pub(super) captured_answers: Captured,
    /// Protocol lines of messages that went out, by connection.
    pub(super) traced: Vec<(ConnId, String)>,
}

impl Deliverer {
    /// A deliverer with the server's `max_pending` in bytes. With
    /// `drop_when_high` a message to a queue above three quarters is dropped
    /// instead of slowing its publisher down.
    pub(super) fn new(
        max_pending: usize,
        drop_when_high: bool,
        trace: Option<TraceOptions>,
    ) -> Self {
        Self {
            connections: Connections::default(),
            pool: ChunkPool::new(),
            dirty: Vec::new(),
            expired: Vec::new(),
            over: Vec::new(),
            pressure: Pressure::Low,
            delivered: 0,
            delivered_bytes: 0,
            shared_bytes: 0,
            shared: 0,
            now: 0,
            max_pending,
            high_water: max_pending / 4 * 3,
            drop_when_high,
            prefix: Vec::new(),
            mapped: Vec::new(),
            trace,
            captured: Captured::default(),
            captured_by_system: Captured::default(),
            forwards: Vec::new(),
            captured_answers: Captured::default(),
            traced: Vec::new(),
        }
    }

    /// Takes what a reload may have changed.
    pub(super) fn reload(&mut self, drop_when_high: bool, trace: Option<TraceOptions>) {
        self.drop_when_high = drop_when_high;
        self.trace = trace;
    }

    /// Appends `message` to the buffer of a subscriber; `prefix` is
    /// `HMSG subject sid `. Returns whether it was taken.
    #[inline]
    pub(super) fn deliver(
        &mut self,
        id: SubId,
        subscription: &mut Subscription,
        prefix: &[u8],
        queue: Option<&[u8]>,
        message: &Publish<'_>,
    ) -> bool {
        let slot = subscription.conn;
        let Some(connection) = self.connections.at(slot) else {
            return self.capture(slot, subscription, message);
        };
        if let Some(options) = &self.trace {
            let lines = trace::outgoing(subscription.sid(), message, options);
            self.traced.extend(lines.into_iter().map(|line| (slot, line)));
        }
        if connection.out.pending() > self.high_water || subscription.max != 0 {
            if !self.admit(id, subscription, queue, message) {
                return false;
            }
            return self.write(slot, subscription, prefix, message);
        }
        self.write(slot, subscription, prefix, message)
    }

    /// Delivers to the plain subscriptions of a wide plan that `wants` names.
    /// Those with its common prefix share one frame; what has anything special
    /// about it gets its own. Returns how many took the message.
    pub(super) fn deliver_wide(
        &mut self,
        plan: &Plan,
        subscriptions: &mut Subscriptions,
        wants: impl Fn(&Subscription) -> bool,
        message: &Publish<'_>,
    ) -> u32 {
        let (tail, headers, skipped) = match (message.header_len, message.tail) {
            (None, Some(tail)) => (tail, false, 1),
            (Some(1..), Some(tail)) => (tail, true, 0),
            _ => (&[][..], false, usize::MAX),
        };
        let sharing = skipped <= 1 && self.trace.is_none();
        let mut frame = None;
        let (mut sharers, mut others) = (0_u32, 0);
        for delivery in plan.deliveries() {
            let subscription = &mut subscriptions[delivery.sub];
            if !wants(subscription) {
                continue;
            }
            let prefix = plan.prefix(delivery);
            let slot = subscription.conn;
            let shares = sharing && subscription.max == 0 && plan.has_common_prefix(delivery);
            let connection = self.connections.at(slot).filter(|connection| {
                shares
                    && connection.phase == Phase::Open
                    && connection.out.pending() <= self.high_water
                    && (connection.headers || !headers)
            });
            let Some(connection) = connection else {
                others +=
                    u32::from(self.deliver(delivery.sub, subscription, prefix, None, message));
                continue;
            };
            let pool = &mut self.pool;
            let frame = *frame.get_or_insert_with(|| pool.write_shared(&prefix[skipped..], tail));
            connection.out.append_shared(pool, frame);
            subscription.delivered += 1;
            connection.out_messages += 1;
            connection.out_bytes += message.payload.len() as u64;
            if !connection.dirty {
                connection.dirty = true;
                self.dirty.push(slot);
            }
            sharers += 1;
        }
        let payload = message.payload.len() as u64;
        self.delivered += u64::from(sharers);
        self.delivered_bytes += u64::from(sharers) * payload;
        self.shared += u64::from(sharers.saturating_sub(1));
        self.shared_bytes += u64::from(sharers.saturating_sub(1)) * payload;
        sharers + others
    }

    /// Delivers to a member of a queue group, whose prefix is not kept.
    pub(super) fn deliver_to_member(
        &mut self,
        id: SubId,
        subscription: &mut Subscription,
        queue: Option<&[u8]>,
        message: &Publish<'_>,
    ) -> bool {
        let mut prefix = std::mem::take(&mut self.prefix);
        prefix.clear();
        prefix.extend_from_slice(b"HMSG ");
        prefix.extend_from_slice(message.subject);
        prefix.push(b' ');
        prefix.extend_from_slice(subscription.sid());
        prefix.push(b' ');
        let taken = self.deliver(id, subscription, &prefix, queue, message);
        self.prefix = prefix;
        taken
    }

    /// Delivers to the subscription that a shadow stands for, under `subject`.
    #[inline(never)]
    pub(super) fn deliver_to_shadow(
        &mut self,
        primary: SubId,
        subscriptions: &mut Subscriptions,
        subject: &[u8],
        queue: Option<&[u8]>,
        message: &Publish<'_>,
    ) -> bool {
        let Some(subscription) = subscriptions.get_mut(primary) else { return false };
        let message = Publish { subject, ..*message };
        self.deliver_to_member(primary, subscription, queue, &message)
    }

    /// A subscription of the engine: its messages are kept until the shell
    /// takes them. Or one of an import: whether somebody takes the message is
    /// found out when it is passed on.
    #[cold]
    pub(super) fn capture(
        &mut self,
        slot: ConnId,
        subscription: &mut Subscription,
        message: &Publish<'_>,
    ) -> bool {
        let captured = match slot {
            INTERNAL => &mut self.captured,
            SYSTEM => &mut self.captured_by_system,
            CALLOUT => &mut self.captured_answers,
            _ => {
                let Some(forward) = Forward::of(slot, subscription.sid()) else { return false };
                subscription.delivered += 1;
                self.forwards.push(forward);
                return forward == Forward::Response;
            }
        };
        subscription.delivered += 1;
        captured.push(subscription.sid(), subscription.account(), message);
        true
    }

    /// Puts a connection on the list of those with something to send.
    #[inline]
    pub(super) fn mark_dirty(&mut self, slot: ConnId) {
        if let Some(connection) = self.connections.at(slot) {
            if !connection.dirty {
                connection.dirty = true;
                self.dirty.push(slot);
            }
        }
    }

    /// Whether a connection's queue is beyond `max_pending`.
    pub(super) fn is_over(&self, pending: usize) -> bool {
        pending > self.max_pending
    }

    #[inline]
    fn write(
        &mut self,
        slot: ConnId,
        subscription: &mut Subscription,
        prefix: &[u8],
        message: &Publish<'_>,
    ) -> bool {
        let Some(connection) = self.connections.at(slot) else { return false };
        if connection.phase != Phase::Open {
            return false;
        }
        subscription.delivered += 1;
        self.delivered += 1;
        self.delivered_bytes += message.payload.len() as u64;
        connection.out_messages += 1;
        connection.out_bytes += message.payload.len() as u64;
        match (message.header_len, message.tail) {
            (None, Some(tail)) => connection.out.append(&mut self.pool, &prefix[1..], tail),
            (Some(1..), Some(tail)) if connection.headers => {
                connection.out.append(&mut self.pool, prefix, tail);
            }
            _ => {
                let strip = !connection.headers;
                let bytes_max = prefix.len() + message.reply.len() + message.payload.len() + 64;
                let sid = subscription.sid();
                connection.out.append_with(&mut self.pool, bytes_max, |out| {
                    write_slowly(out, sid, message, strip);
                });
            }
        }
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(slot);
        }
        true
    }

    /// The slow path before a delivery: limits of the subscription and of the
    /// connection's queue.
    #[cold]
    fn admit(
        &mut self,
        id: SubId,
        subscription: &Subscription,
        queue: Option<&[u8]>,
        message: &Publish<'_>,
    ) -> bool {
        let Some(connection) = self.connections.at(subscription.conn) else { return false };
        let guard = connection.client.guard.as_mut().filter(|_| subscription.max != 0);
        if guard.is_some_and(|guard| guard.permissions().denies_delivery(message.subject, queue)) {
            return false;
        }
        if subscription.max != 0 {
            if subscription.delivered >= subscription.max {
                return false;
            }
            if subscription.delivered + 1 == subscription.max {
                self.expired.push(id);
            }
        }
        let taken = match connection.out.pressure(self.max_pending) {
            Pressure::Low => true,
            Pressure::High if self.drop_when_high => false,
            Pressure::High => {
                if !connection.stands_still(self.now) {
                    self.pressure = self.pressure.max(Pressure::High);
                }
                true
            }
            Pressure::Over => {
                if !connection.stands_still(self.now) {
                    self.pressure = Pressure::Over;
                }
                let key = connection.key;
                if self.over.last() != Some(&key) {
                    self.over.push(key);
                }
                false
            }
        };
        if let (true, Some(guard)) = (taken, &mut connection.client.guard) {
            guard.note_request(message.reply, self.now);
        }
        taken
    }
}

/// Writes a frame part by part: the publisher's was not canonical, or has
/// headers that this client does not understand.
fn write_slowly(out: &mut Vec<u8>, sid: &[u8], message: &Publish<'_>, strip: bool) {
    match message.header_len {
        Some(1..) if strip => proto::write_message_without_headers(
            out,
            sid,
            &proto::Message {
                subject: message.subject,
                reply: message.reply,
                header_len: message.header_len,
                payload: message.payload,
            },
        ),
        _ => proto::write_publish(out, message.subject, sid, message),
    }
}
