//! A client's message: to local subscribers, to picked queue members, and into
//! the lanes of the shards that want it.

use super::connection::ConnKey;
use super::entry::{Head, Kind, QueuePick};
use super::ingest::Publisher;
use super::members::{queue_hash, Manner, Members, Picked};
use super::responses::RESPONSE_PREFIX;
use super::Core;
use crate::outbound::Pressure;
use crate::proto::{self, Publish};
use crate::router::{ConnId, Matched, ShardId, ShardSet, Subscription, Tried};

/// What a publisher owes for a message that met a queue above three quarters,
/// and for one that met a full queue; at most [`STALL_MAX`] a read. These are
/// nats-server's figures, in nanoseconds.
const STALL_HIGH: u64 = 2_000_000;
const STALL_OVER: u64 = 5_000_000;
const STALL_MAX: u64 = 10_000_000;

/// What became of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Deliveries on this shard.
    pub(super) delivered: u32,
    /// Ways it goes on other shards.
    pub(super) branches: u32,
    /// The number under which its requester waits for a 503; 0 if nobody does.
    pub(super) request: u64,
}

impl Taken {
    /// Nobody took it, and nobody will.
    #[inline]
    pub(super) fn is_nothing(self) -> bool {
        self.delivered == 0 && self.branches == 0
    }
}

/// The picks of one message, by shard; reused from message to message.
#[derive(Debug, Default)]
pub(super) struct Picks {
    by_shard: Vec<Vec<QueuePick>>,
    pub(super) shards: ShardSet,
}

impl Picks {
    pub(super) fn new(shards: usize) -> Self {
        Self { by_shard: vec![Vec::new(); shards], shards: ShardSet::default() }
    }

    pub(super) fn add(&mut self, shard: ShardId, pick: QueuePick) {
        self.by_shard[usize::from(shard.0)].push(pick);
        self.shards.insert(shard);
    }

    pub(super) fn clear(&mut self) {
        for shard in self.shards.iter() {
            self.by_shard[usize::from(shard.0)].clear();
        }
        self.shards = ShardSet::default();
    }
}

impl Core {
    /// Routes a message of a local client.
    #[inline]
    pub(super) fn publish(&mut self, publisher: &Publisher, message: &Publish<'_>) {
        self.publish_to::<false>(publisher, b"", message);
    }

    /// Routes a message by its subject or, with `ELSEWHERE`, by `to`.
    #[inline]
    pub(super) fn publish_to<const ELSEWHERE: bool>(
        &mut self,
        publisher: &Publisher,
        to: &[u8],
        message: &Publish<'_>,
    ) {
        let taken = self.route_message::<ELSEWHERE>(publisher, to, message);
        if taken.is_nothing() && publisher.no_responders && !message.reply.is_empty() {
            self.send_no_responders(publisher.key, message.subject, message.reply);
        }
        self.settle_deliveries();
    }

    /// Does it, and says what became of it.
    #[inline]
    pub(super) fn route_message<const ELSEWHERE: bool>(
        &mut self,
        publisher: &Publisher,
        to: &[u8],
        message: &Publish<'_>,
    ) -> Taken {
        let route = if ELSEWHERE { to } else { message.subject };
        let Matched { plan, subscriptions, groups, shadows } =
            self.router.matched(publisher.account, route);
        let mut delivered = 0_u32;
        self.deliverer.pressure = Pressure::Low;
        let skipped = if publisher.echo { ConnId(u32::MAX) } else { publisher.slot };
        let wide = !ELSEWHERE && plan.is_wide();
        if wide {
            let wants = |to: &Subscription| !to.draining && to.conn != skipped;
            delivered = self.deliverer.deliver_wide(plan, subscriptions, wants, message);
        }
        for delivery in if wide { &[] } else { plan.deliveries() } {
            let subscription = &mut subscriptions[delivery.sub];
            if subscription.draining || delivery.conn == skipped {
                continue;
            }
            let taken = if ELSEWHERE {
                self.deliverer.deliver_to_member(delivery.sub, subscription, None, message)
            } else {
                let prefix = plan.prefix(delivery);
                self.deliverer.deliver(delivery.sub, subscription, prefix, None, message)
            };
            delivered += u32::from(taken);
        }
        let (mut branches, mut request) = (0, 0);
        if plan.goes_further() {
            let imported = publisher.imported;
            for delivery in if imported { &[] } else { plan.shadows() } {
                let shadow = &subscriptions[delivery.shadow];
                if shadow.draining || shadow.conn == skipped {
                    continue;
                }
                let subject =
                    if ELSEWHERE { message.subject } else { plan.shadow_subject(delivery) };
                delivered += u32::from(self.deliverer.deliver_to_shadow(
                    delivery.primary,
                    subscriptions,
                    subject,
                    None,
                    message,
                ));
            }
            let manner = Manner { elsewhere: ELSEWHERE, imported, skipped };
            let (deliverer, random) = (&mut self.deliverer, &mut self.random);
            let mut members = Members { groups, shadows, subscriptions, deliverer, random };
            for queue in plan.queues() {
                match members.pick(queue, Tried::default(), manner, message) {
                    Picked::Local => delivered += 1,
                    Picked::Remote(shard) => {
                        self.picks.add(shard, queue_hash(groups, queue, self.config.seed));
                        branches += 1;
                    }
                    Picked::Nobody => {}
                }
            }
            let remote = plan.remote();
            if !remote.is_empty() || branches > 0 {
                branches += remote.len();
                request = self.send_to_shards(publisher, to, message, remote, branches, delivered);
            }
        }
        if self.deliverer.pressure != Pressure::Low {
            let pressure = self.deliverer.pressure;
            self.owe_stall(publisher.key, pressure == Pressure::Over);
        }
        let taken = Taken { delivered, branches, request };
        if self.deliverer.forwards.is_empty() {
            return taken;
        }
        self.pass_on(publisher, to, message, taken)
    }

    /// Appends a message to the lanes of the shards that want it. Returns the
    /// number of the request, if it is one that waits for its 503.
    pub(super) fn send_to_shards(
        &mut self,
        publisher: &Publisher,
        to: &[u8],
        message: &Publish<'_>,
        plain: ShardSet,
        branches: u32,
        delivered: u32,
    ) -> u64 {
        let waits = publisher.no_responders && !message.reply.is_empty() && delivered == 0;
        let request = if waits { self.requests.open(publisher.key, branches) } else { 0 };
        let targets = ShardSet(plain.0 | self.picks.shards.0);
        if self.services.measures {
            self.tell_responder(publisher, message.subject, plain);
        }
        for shard in targets.iter() {
            let head = Head {
                kind: Kind::Message,
                account: publisher.account,
                origin: publisher.key,
                no_echo: !publisher.echo,
                plain: plain.contains(shard),
                imported: publisher.imported,
                request,
                tried: ShardSet::default(),
                trace: self.traces.current,
            };
            let lane = &mut self.lanes[usize::from(shard.0)];
            lane.append(&head, &self.picks.by_shard[usize::from(shard.0)], to, message);
            if lane.is_full() {
                self.pause_for_lane(publisher.key, shard);
            }
        }
        self.picks.clear();
        if let Some(connection) = self.deliverer.connections.get(publisher.key) {
            connection.touched = ShardSet(connection.touched.0 | targets.0);
        }
        request
    }

    #[cold]
    fn pause_for_lane(&mut self, key: ConnKey, shard: ShardId) {
        self.interrupted = true;
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if !connection.pause.lanes.contains(shard) {
            connection.pause.lanes.insert(shard);
            self.lanes[usize::from(shard.0)].wait(key);
            self.counters.lane_pauses += 1;
        }
    }

    /// A pick came back: its queue has no member left on the shards tried.
    pub(super) fn pick_again(
        &mut self,
        head: &Head,
        pick: QueuePick,
        to: &[u8],
        message: &Publish<'_>,
    ) {
        if head.trace != 0 {
            return self.pick_again_traced(head, pick, to, message);
        }
        let slot = head.origin.slot();
        let lives = self.deliverer.connections.get(head.origin).is_some();
        let skipped = if head.no_echo && lives { slot } else { ConnId(u32::MAX) };
        let Matched { plan, subscriptions, groups, shadows } =
            self.router.matched(head.account, if to.is_empty() { message.subject } else { to });
        let queue = plan.queues().find(|queue| queue_hash(groups, queue, self.config.seed) == pick);
        let picked = match queue {
            None => Picked::Nobody,
            Some(queue) => {
                let (deliverer, random) = (&mut self.deliverer, &mut self.random);
                let mut members = Members { groups, shadows, subscriptions, deliverer, random };
                let (elsewhere, imported) = (!to.is_empty(), head.imported);
                let manner = Manner { elsewhere, imported, skipped };
                members.pick(queue, Tried::from(head.tried), manner, message)
            }
        };
        match picked {
            Picked::Local => self.requests.taken(head.request),
            Picked::Remote(shard) => self.send_pick(head, shard, pick, to, message),
            Picked::Nobody => self.lose_branch(head, message),
        }
        self.settle_deliveries();
    }

    /// A pick that came back goes on to another shard.
    pub(super) fn send_pick(
        &mut self,
        head: &Head,
        shard: ShardId,
        pick: QueuePick,
        to: &[u8],
        message: &Publish<'_>,
    ) {
        let request = if head.request == 0 { 0 } else { self.requests.moved(head.request) };
        let head = Head { kind: Kind::Message, plain: false, request, ..*head };
        let lane = &mut self.lanes[usize::from(shard.0)];
        lane.append(&head, &[pick], to, message);
        let position = lane.appended();
        self.barrier.extend(head.origin, shard, position);
        if let Some(connection) = self.deliverer.connections.get(head.origin) {
            connection.touched.insert(shard);
        }
    }

    /// A branch of a request found nobody.
    pub(super) fn lose_branch(&mut self, head: &Head, message: &Publish<'_>) {
        if head.request == 0 {
            return;
        }
        if let Some(requester) = self.requests.branch_lost(head.request) {
            self.send_no_responders(requester, message.subject, message.reply);
        }
    }

    /// The publisher met a slow receiver, here or on another shard.
    pub(super) fn owe_stall(&mut self, key: ConnKey, over: bool) {
        if let Some(connection) = self.deliverer.connections.get(key) {
            let stall = if over { STALL_OVER } else { STALL_HIGH };
            connection.stall_owed = (connection.stall_owed + stall).min(STALL_MAX);
        }
    }

    /// Sends the 503, if the requester has a plain subscription for the reply.
    pub(super) fn send_no_responders(&mut self, key: ConnKey, subject: &[u8], reply: &[u8]) {
        if reply.starts_with(RESPONSE_PREFIX) {
            return self.send_no_responders_back(key, reply);
        }
        let Some(account) =
            self.deliverer.connections.get(key).map(|connection| connection.client.account)
        else {
            return;
        };
        let Matched { plan, subscriptions, .. } = self.router.matched(account, reply);
        let own = plan
            .deliveries()
            .iter()
            .find(|delivery| delivery.conn == key.slot() && !subscriptions[delivery.sub].draining);
        let Some(own) = own else { return };
        let subscription = &subscriptions[own.sub];
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let bytes_max = subject.len() + reply.len() + subscription.sid().len() + 96;
        connection.out.append_with(&mut self.deliverer.pool, bytes_max, |out| {
            proto::write_no_responders(out, reply, subscription.sid(), subject);
        });
        self.deliverer.mark_dirty(key.slot());
    }

    /// What deliveries of one message left to do: remove subscriptions that
    /// had their last message, close connections beyond `max_pending`.
    #[inline]
    pub(super) fn settle_deliveries(&mut self) {
        if !self.deliverer.expired.is_empty()
            || !self.deliverer.over.is_empty()
            || !self.deliverer.traced.is_empty()
        {
            self.settle_deliveries_slowly();
        }
    }

    #[cold]
    fn settle_deliveries_slowly(&mut self) {
        for (slot, text) in std::mem::take(&mut self.deliverer.traced) {
            self.say(slot, true, text);
        }
        while let Some(sub) = self.deliverer.expired.pop() {
            self.expire(sub);
        }
        while let Some(key) = self.deliverer.over.pop() {
            self.close_slow(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::internal::tests::single_core;
    use super::*;

    /// A publisher and a reader of `a` whose flight is under way, its queue three quarters full.
    fn behind() -> (Core, ConnKey, ConnKey) {
        let mut core = single_core();
        core.begin_turn(1);
        let [reader, publisher] = [1, 2].map(|number| {
            let key = core.open(number, "127.0.0.1\x004000".into());
            core.handle_received(key, b"CONNECT {\"verbose\":false}\r\n");
            key
        });
        core.handle_received(reader, b"SUB a 1\r\n");
        assert!(core.take_flight(reader.slot(), drop).is_some());
        for _ in 0..14 {
            publish(&mut core, publisher);
        }
        assert_eq!(core.counters().stalls, 0);
        (core, reader, publisher)
    }

    fn publish(core: &mut Core, publisher: ConnKey) {
        let message = format!("PUB a 60000\r\n{:60000}\r\n", "");
        core.handle_received(publisher, message.as_bytes());
    }

    #[test]
    fn a_publisher_waits_for_a_reader_that_is_behind() {
        let (mut core, reader, publisher) = behind();
        core.begin_turn(1 + 2 * STALL_MAX);
        publish(&mut core, publisher);
        assert_eq!(core.counters().stalls, 1);
        core.begin_turn(1_000_000_000);
        core.handle_sent_part(reader);
        core.run_timers();
        core.resume_parsing();
        publish(&mut core, publisher);
        assert_eq!(core.counters().stalls, 2);
    }

    #[test]
    fn nobody_waits_for_a_reader_that_has_stopped() {
        let (mut core, _, publisher) = behind();
        core.begin_turn(1_000_000_000);
        publish(&mut core, publisher);
        publish(&mut core, publisher);
        assert_eq!(core.counters().stalls, 0);
    }
}
