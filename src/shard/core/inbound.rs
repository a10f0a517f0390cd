//! What came from other shards: control is applied, then batches are routed.

use super::control::Control;
use super::entry::{self, Batch, Entry, Head, Kind, QueuePick};
use super::lane_out::LaneOut;
use super::members::{queue_hash, Manner, Members};
use super::Core;
use crate::outbound::Pressure;
use crate::router::{ConnId, Matched, ShardId, ShardSet};

impl Core {
    /// A batch was taken from the lane of `from`; it is routed by [`Self::route`],
    /// after the control that was taken after it.
    pub fn take_batch(&mut self, from: ShardId, batch: Batch) {
        self.inbound.push((from, batch));
    }

    /// An item of the control lane of `from`.
    pub fn handle_control(&mut self, from: ShardId, item: Control) {
        match item {
            Control::Interest { seq, change } => {
                self.router.apply_remote(from, &change);
                if self.internal.watches {
                    if let Some((account, pattern)) = change.appeared() {
                        self.internal.note_interest(account, pattern);
                    }
                }
                self.barrier.applied(from, seq);
            }
            Control::Fence { seq } => self.barrier.applied(from, seq),
            Control::InterestAck { seq, position } => {
                self.barrier.handle_ack(from, seq, position);
            }
            Control::JoinAccount { account, connection } => {
                self.handle_join(from, account, connection);
            }
            Control::JoinedAccount { account, connection, granted } => {
                self.handle_joined(account, connection, granted);
            }
            Control::CountedByAccount { account } => {
                self.count_in(account, u32::MAX);
            }
            Control::LeaveAccount { account } => self.handle_leave(account),
            Control::Traced { trace, events, returned } => {
                self.handle_traced(trace, events, returned);
            }
            Control::Responder { account, reply, info } => {
                self.handle_responder(account, &reply, *info);
            }
            Control::Pressure { origin, full } => {
                self.owe_stall(origin, full);
                self.pressed.push(origin);
            }
        }
    }

    /// Peer `to` has routed our lane up to `position`. To be told before the
    /// batches of the turn are taken: what the peer returned stands before the
    /// position in its lane to us.
    pub fn handle_routed(&mut self, to: ShardId, position: u64) {
        self.barrier.handle_routed_out(to, position);
    }

    /// What was heard last of how far `to` has routed our lane.
    pub fn routed_known(&self, to: ShardId) -> u64 {
        self.barrier.routed_out(to)
    }

    /// All control of the turn is applied: acknowledge it and route the batches.
    pub fn route(&mut self) {
        for shard in self.peers() {
            let index = usize::from(shard.0);
            if let Some(seq) = self.barrier.take_ack(shard) {
                let position = self.lanes[index].appended();
                self.control[index].push(Control::InterestAck { seq, position });
            }
        }
        let mut inbound = std::mem::take(&mut self.inbound);
        for (from, batch) in inbound.drain(..) {
            self.route_batch(from, &batch);
            self.barrier.handle_routed_in(from, u64::from(batch.entries));
            self.routed.push((from, batch));
        }
        self.inbound = inbound;
        let mut pressed = std::mem::take(&mut self.pressed);
        for key in pressed.drain(..) {
            self.stall_now(key);
        }
        self.pressed = pressed;
    }

    fn route_batch(&mut self, from: ShardId, batch: &Batch) {
        let mut bytes = &batch.bytes[..];
        let mut entries = 0;
        while !bytes.is_empty() {
            let (entry, length) = entry::decode(bytes);
            match entry.head.kind {
                Kind::Message => self.route_entry(from, &entry),
                Kind::ReturnedPick => {
                    for pick in entry.picks() {
                        self.pick_again(&entry.head, pick, entry.to, &entry.message);
                    }
                }
                Kind::ReturnedBranch => self.lose_branch(&entry.head, &entry.message),
            }
            bytes = &bytes[length..];
            entries += 1;
        }
        assert_eq!(entries, batch.entries, "a batch holds what its sender counted");
    }

    fn route_entry(&mut self, from: ShardId, entry: &Entry<'_>) {
        let Entry { head, message, .. } = entry;
        self.counters.lane_messages += 1;
        if head.trace != 0 {
            return self.route_traced_entry(from, entry);
        }
        self.deliverer.pressure = Pressure::Low;
        let Matched { plan, subscriptions, groups, shadows } =
            self.router.matched(head.account, entry.route());
        let elsewhere = !entry.to.is_empty();
        let nobody = ConnId(u32::MAX);
        let manner = Manner { elsewhere, imported: head.imported, skipped: nobody };
        let mut taken = false;
        let wide = head.plain && entry.to.is_empty() && plan.is_wide();
        if wide {
            taken = self.deliverer.deliver_wide(plan, subscriptions, |_| true, message) > 0;
        } else if head.plain {
            for delivery in plan.deliveries() {
                let subscription = &mut subscriptions[delivery.sub];
                taken |= if entry.to.is_empty() {
                    let prefix = plan.prefix(delivery);
                    self.deliverer.deliver(delivery.sub, subscription, prefix, None, message)
                } else {
                    self.deliverer.deliver_to_member(delivery.sub, subscription, None, message)
                };
            }
        }
        if head.plain && !head.imported {
            for delivery in plan.shadows() {
                let subject =
                    if elsewhere { message.subject } else { plan.shadow_subject(delivery) };
                taken |= self.deliverer.deliver_to_shadow(
                    delivery.primary,
                    subscriptions,
                    subject,
                    None,
                    message,
                );
            }
        }
        let lane = &mut self.lanes[usize::from(from.0)];
        for pick in entry.picks() {
            let queue =
                plan.queues().find(|queue| queue_hash(groups, queue, self.config.seed) == pick);
            let delivered = queue.is_some_and(|queue| {
                let (deliverer, random) = (&mut self.deliverer, &mut self.random);
                let mut members = Members { groups, shadows, subscriptions, deliverer, random };
                members.deliver_here(queue, self.config.own, manner, message)
            });
            if !delivered {
                return_pick(lane, self.config.own, entry, pick);
                self.counters.returned += 1;
            }
        }
        if head.plain && !taken && head.request != 0 {
            return_branch(lane, entry);
        }
        if self.deliverer.pressure != Pressure::Low {
            let full = self.deliverer.pressure == Pressure::Over;
            let item = Control::Pressure { origin: head.origin, full };
            let control = &mut self.control[usize::from(from.0)];
            // One record a turn and publisher is enough to slow it down.
            if control.last() != Some(&item) {
                control.push(item);
            }
        }
        if !self.deliverer.forwards.is_empty() {
            self.pass_on_answers(entry);
        }
        self.settle_deliveries();
    }
}

/// Gives a pick back to its origin: its queue has no member left on shard `own`.
pub(super) fn return_pick(lane: &mut LaneOut, own: ShardId, entry: &Entry<'_>, pick: QueuePick) {
    let mut tried = entry.head.tried;
    tried.insert(own);
    let back = Head { kind: Kind::ReturnedPick, plain: false, tried, ..entry.head };
    lane.append(&back, &[pick], entry.to, &entry.message);
}

/// Gives the plain branch of a request that nobody here took back to its origin.
pub(super) fn return_branch(lane: &mut LaneOut, entry: &Entry<'_>) {
    let back =
        Head { kind: Kind::ReturnedBranch, plain: false, tried: ShardSet::default(), ..entry.head };
    // The requester needs the subjects for its 503, not the payload.
    let empty = crate::proto::Publish {
        header_len: None,
        header_size_text: b"",
        size_text: b"0",
        payload: b"",
        tail: None,
        ..entry.message
    };
    lane.append(&back, &[], entry.to, &empty);
}
