//! Picking a member of a queue, and delivering to it.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::deliver::Deliverer;
use super::entry::QueuePick;
use super::random::Random;
use crate::proto::Publish;
use crate::router::{
    ConnId, Group, GroupId, Groups, Pick, Shadows, ShardId, ShardSet, SubId, Subscriptions, Tried,
};

/// The parts of a core that a message for a queue touches.
pub(super) struct Members<'c> {
    pub(super) groups: &'c Groups,
    pub(super) shadows: &'c Shadows,
    pub(super) subscriptions: &'c mut Subscriptions,
    pub(super) deliverer: &'c mut Deliverer,
    pub(super) random: &'c mut Random,
}

/// How a message came here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// It is routed by another subject than the one that is shown.
    pub(super) elsewhere: bool,
    /// It came through the import of a service.
    pub(super) imported: bool,
    /// Who does not want it.
    pub(super) skipped: ConnId,
}

/// Where a pick ended.
pub(super) enum Picked {
    Local,
    Remote(ShardId),
    Nobody,
}

impl Members<'_> {
    /// Picks a member of `queue` and delivers to it if it is local. Members that
    /// do not take the message are passed over, then others are asked.
    #[inline]
    pub(super) fn pick(
        &mut self,
        queue: &[GroupId],
        tried: Tried,
        manner: Manner,
        message: &Publish<'_>,
    ) -> Picked {
        self.pick_by(queue, tried, |members, member, name| {
            members.deliver(member, name, manner, message)
        })
    }

    /// Picks a member of `queue`, and has `offer` say whether it takes the message if it is local.
    #[inline]
    pub(super) fn pick_by(
        &mut self,
        queue: &[GroupId],
        tried: Tried,
        mut offer: impl FnMut(&mut Self, SubId, Option<&[u8]>) -> bool,
    ) -> Picked {
        let groups = self.groups;
        let mut tried = tried;
        loop {
            match groups.pick(queue, self.random.next(), tried) {
                None => return Picked::Nobody,
                Some((_, Pick::Remote { shard, .. })) => return Picked::Remote(shard),
                Some((id, Pick::Local { start })) => {
                    let group = groups.get(id);
                    let members = group.map(Group::members).unwrap_or_default();
                    let name = group.map(Group::queue);
                    let (before, after) = members.split_at(start);
                    for &member in after.iter().chain(before) {
                        if offer(self, member, name) {
                            return Picked::Local;
                        }
                    }
                    tried.refuse(queue, id);
                }
            }
        }
    }

    /// Delivers to any member of `queue` on shard `own`, draining ones last.
    pub(super) fn deliver_here(
        &mut self,
        queue: &[GroupId],
        own: ShardId,
        manner: Manner,
        message: &Publish<'_>,
    ) -> bool {
        let elsewhere = Tried::from(ShardSet(!ShardSet::only(own).0));
        if matches!(self.pick(queue, elsewhere, manner, message), Picked::Local) {
            return true;
        }
        let groups = self.groups;
        let name = queue.iter().find_map(|&id| groups.get(id)).map(Group::queue);
        let mut draining = queue.iter().filter_map(|&id| groups.get(id)).flat_map(Group::draining);
        draining.any(|&member| self.deliver(member, name, manner, message))
    }

    #[inline]
    fn deliver(
        &mut self,
        member: SubId,
        queue: Option<&[u8]>,
        manner: Manner,
        message: &Publish<'_>,
    ) -> bool {
        let subscription = &mut self.subscriptions[member];
        if subscription.conn == manner.skipped {
            return false;
        }
        if subscription.is_shadow() {
            return self.deliver_to_shadow(member, queue, manner, message);
        }
        self.deliverer.deliver_to_member(member, subscription, queue, message)
    }

    #[cold]
    fn deliver_to_shadow(
        &mut self,
        member: SubId,
        queue: Option<&[u8]>,
        manner: Manner,
        message: &Publish<'_>,
    ) -> bool {
        let Some(shadow) = self.shadows.get(member).filter(|_| !manner.imported) else {
            return false;
        };
        let mut subject = std::mem::take(&mut self.deliverer.mapped);
        subject.clear();
        if manner.elsewhere {
            subject.extend_from_slice(message.subject);
        } else {
            shadow.transform.apply_matched(message.subject, 0, &mut subject);
        }
        let (primary, subscriptions) = (shadow.primary, &mut *self.subscriptions);
        let taken =
            self.deliverer.deliver_to_shadow(primary, subscriptions, &subject, queue, message);
        self.deliverer.mapped = subject;
        taken
    }
}

/// The keyed hash of the name that the groups of `queue` share.
pub(super) fn queue_hash(groups: &Groups, queue: &[GroupId], seed: u64) -> QueuePick {
    let name = queue.iter().find_map(|&id| groups.get(id)).map(Group::queue);
    FixedState::with_seed(seed).hash_one(name.unwrap_or_default())
}
