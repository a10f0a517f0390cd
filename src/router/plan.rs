//! Who gets a message to one subject, ready to be carried out.

use super::ids::index32;
use super::{ConnId, GroupId, Groups, ShardSet, SubId};

/// Everything that is to be done with a message to one subject, whoever
/// published it. Plain subscriptions come first, then those of other accounts
/// that import the subject, then queues, then the other shards.
#[derive(Debug, Default)]
pub struct Plan {
    /// The subject, and behind it the prefixes and the subjects of shadows.
    bytes: Vec<u8>,
    deliveries: Vec<Delivery>,
    shadows: Vec<ShadowDelivery>,
    /// Those of one queue stand together.
    groups: Vec<GroupId>,
    /// How many groups the first queues have; further queues have one each.
    /// Empty, then, unless two groups share a queue.
    queue_lengths: Vec<u32>,
    remote: ShardSet,
    /// The prefix that most deliveries have, as far as is known, and how many
    /// do; and how many have that of the last one pushed.
    common: u32,
    common_count: u32,
    latest_count: u32,
    /// `0 <= subject_length <= bytes.len()`
    subject_length: usize,
}

/// A local plain subscription that gets the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whose it is.
    pub conn: ConnId,
    /// Which one. It may be draining: then only messages from a lane reach it.
    pub sub: SubId,
    /// Where its prefix stands in the plan.
    start: u32,
    length: u32,
}

/// A local plain subscription of another account that gets the message, under
/// another subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShadowDelivery {
    /// The subscription here. It may be draining, as a [`Delivery`]'s.
    pub shadow: SubId,
    /// The one it stands for.
    pub primary: SubId,
    /// Where its subject stands in the plan.
    start: u32,
    length: u32,
}

impl Plan {
    /// Local plain subscriptions, draining ones included.
    #[inline]
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// `HMSG <subject> <sid> ` for one of [`deliveries`](Self::deliveries);
    /// without its first byte it is the prefix of a MSG.
    #[inline]
    pub fn prefix(&self, delivery: &Delivery) -> &[u8] {
        let start = delivery.start as usize;
        &self.bytes[start..start + delivery.length as usize]
    }

    /// Local plain subscriptions that import the subject, draining ones
    /// included.
    #[inline]
    pub fn shadows(&self) -> &[ShadowDelivery] {
        &self.shadows
    }

    /// The subject under which one of [`shadows`](Self::shadows) gets the
    /// message.
    #[inline]
    pub fn shadow_subject(&self, delivery: &ShadowDelivery) -> &[u8] {
        let start = delivery.start as usize;
        &self.bytes[start..start + delivery.length as usize]
    }

    /// Whether more is to be done than [`deliveries`](Self::deliveries) say.
    #[inline]
    pub fn goes_further(&self) -> bool {
        !self.groups.is_empty() || !self.remote.is_empty() || !self.shadows.is_empty()
    }

    /// Whether many deliveries have one prefix: then all get the same frame.
    #[inline]
    pub fn is_wide(&self) -> bool {
        self.common_count >= WIDE_MIN
    }

    /// Whether a delivery has the prefix that most have.
    #[inline]
    pub fn has_common_prefix(&self, delivery: &Delivery) -> bool {
        delivery.start == self.common
    }

    /// The queues of which one member each gets the message: for every queue
    /// name the groups, on one pattern each, that have it.
    #[inline]
    pub fn queues(&self) -> impl Iterator<Item = &[GroupId]> {
        let mut rest = &self.groups[..];
        let mut lengths = self.queue_lengths.iter();
        std::iter::from_fn(move || {
            let length = lengths.next().map_or(1, |&length| length as usize);
            let (queue, behind) = rest.split_at_checked(length)?;
            rest = behind;
            Some(queue)
        })
    }

    /// The queue that a group is part of; `None` if the group has died or is
    /// not for this subject.
    pub fn queue_of(&self, group: GroupId) -> Option<&[GroupId]> {
        self.queues().find(|queue| queue.contains(&group))
    }

    /// The groups of all [`queues`](Self::queues), one queue after the other.
    #[inline]
    pub fn groups(&self) -> &[GroupId] {
        &self.groups
    }

    /// Other shards with plain interest in the subject.
    #[inline]
    pub fn remote(&self) -> ShardSet {
        self.remote
    }

    /// The subject.
    #[inline]
    pub fn subject(&self) -> &[u8] {
        &self.bytes[..self.subject_length]
    }

    /// Whether nobody anywhere wants the message.
    pub fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && !self.goes_further()
    }

    /// Starts anew, for another subject.
    pub(super) fn begin(&mut self, subject: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(subject);
        self.deliveries.clear();
        self.shadows.clear();
        self.groups.clear();
        self.queue_lengths.clear();
        self.remote = ShardSet::EMPTY;
        (self.common, self.common_count, self.latest_count) = (0, 0, 0);
        self.subject_length = subject.len();
    }

    pub(super) fn push_delivery(&mut self, conn: ConnId, sub: SubId, sid: &[u8], subject: &[u8]) {
        let (start, length) = self.intern_prefix(sid, subject);
        self.deliveries.push(Delivery { conn, sub, start, length });
    }

    /// Writes a prefix, unless it is that of most deliveries or of the last
    /// one: the subscribers of a fan-out tend to have one sid.
    fn intern_prefix(&mut self, sid: &[u8], subject: &[u8]) -> (u32, u32) {
        let sid_at = b"HMSG ".len() + subject.len() + 1;
        let length = sid_at + sid.len() + 1;
        let common = (self.common_count > 0).then_some(self.common);
        let latest = self.deliveries.last().map(|delivery| delivery.start);
        let same = |start: &u32| {
            let place = *start as usize;
            self.bytes.get(place + sid_at..place + length - 1) == Some(sid)
                && self.bytes.get(place + length - 1) == Some(&b' ')
        };
        if let Some(start) = common.filter(same) {
            self.common_count += 1;
            return (start, index32(length));
        }
        let start = match latest.filter(same) {
            Some(start) => {
                self.latest_count += 1;
                start
            }
            None => {
                let start = index32(self.bytes.len());
                self.bytes.extend_from_slice(b"HMSG ");
                self.bytes.extend_from_slice(subject);
                self.bytes.push(b' ');
                self.bytes.extend_from_slice(sid);
                self.bytes.push(b' ');
                self.latest_count = 1;
                start
            }
        };
        if self.latest_count > self.common_count {
            (self.common, self.common_count) = (start, self.latest_count);
        }
        (start, index32(length))
    }

    /// Adds a shadow that gets the message under the subject that `write`
    /// appends.
    pub(super) fn push_shadow(
        &mut self,
        shadow: SubId,
        primary: SubId,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let (start, length) = (index32(start), index32(self.bytes.len() - start));
        self.shadows.push(ShadowDelivery { shadow, primary, start, length });
    }

    pub(super) fn push_group(&mut self, group: GroupId) {
        self.groups.push(group);
    }

    /// Puts groups with the same queue name together, once all are known: those
    /// of one pattern were pushed in a row.
    pub(super) fn join_queues(&mut self, groups: &Groups) {
        let [first, .., last] = self.groups[..] else { return };
        if groups.slot(first.index).pattern_index == groups.slot(last.index).pattern_index {
            // Names on one pattern differ.
            return;
        }
        let name = |id: &GroupId| groups.slot(id.index).queue();
        // In place, and not quadratic however many queues there are.
        self.groups.sort_unstable_by(|one, other| name(one).cmp(name(other)));
        let queues = self.groups.chunk_by(|one, other| name(one) == name(other));
        self.queue_lengths.extend(queues.map(|queue| index32(queue.len())));
        while self.queue_lengths.last() == Some(&1) {
            self.queue_lengths.pop();
        }
    }

    pub(super) fn add_remote(&mut self, shards: ShardSet) {
        self.remote.extend(shards);
    }

    /// Becomes a copy of another plan, in the storage it has.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&other.bytes);
        self.deliveries.clear();
        self.deliveries.extend_from_slice(&other.deliveries);
        self.shadows.clear();
        self.shadows.extend_from_slice(&other.shadows);
        self.groups.clear();
        self.groups.extend_from_slice(&other.groups);
        self.queue_lengths.clear();
        self.queue_lengths.extend_from_slice(&other.queue_lengths);
        self.remote = other.remote;
        (self.common, self.common_count) = (other.common, other.common_count);
        self.latest_count = other.latest_count;
        self.subject_length = other.subject_length;
    }

    /// Bytes that a copy of this plan needs.
    pub(super) fn content_bytes(&self) -> usize {
        self.bytes.len()
            + size_of_val(&self.deliveries[..])
            + size_of_val(&self.shadows[..])
            + size_of_val(&self.groups[..])
            + size_of_val(&self.queue_lengths[..])
    }

    /// Bytes allocated.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.deliveries.capacity() * size_of::<Delivery>()
            + self.shadows.capacity() * size_of::<ShadowDelivery>()
            + self.groups.capacity() * size_of::<GroupId>()
            + self.queue_lengths.capacity() * size_of::<u32>()
    }
}

/// Deliveries with one prefix from which on a frame is worth sharing.
const WIDE_MIN: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    // Goal: a plan is wide exactly if enough deliveries have one prefix, wherever they stand, and
    // every delivery has its own prefix.
    #[test]
    fn deliveries_with_one_sid_share_their_prefix() {
        for (sids, wide) in [
            (&["1", "1", "1", "1"][..], true),
            (&["1", "1", "1"], false),
            (&["2", "1", "1", "1", "1"], true),
            (&["11", "1", "1", "1", "1"], true),
            (&["1", "11", "1", "11", "1", "11", "1"], true),
            (&["1", "2", "3", "4", "5"], false),
        ] {
            let mut plan = Plan::default();
            plan.begin(b"a.b");
            for (number, sid) in (0..).zip(sids) {
                plan.push_delivery(ConnId(number), SubId(number), sid.as_bytes(), b"a.b");
            }
            assert_eq!(plan.is_wide(), wide, "{sids:?}");
            for (delivery, sid) in plan.deliveries().iter().zip(sids) {
                let prefix = format!("HMSG a.b {sid} ");
                assert_eq!(plan.prefix(delivery), prefix.as_bytes());
                let common = plan.has_common_prefix(delivery);
                assert!(!wide || common == (*sid == "1"), "{sids:?}");
            }
        }
    }
}
