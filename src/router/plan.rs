//! Who gets a message to one subject, ready to be carried out.

use super::ids::index32;
use super::{ConnId, GroupId, Groups, ShardSet, SubId};

/// Everything that is to be done with a message to one subject, whoever
/// published it. Plain subscriptions come first, then queues, then the
/// other shards.
#[derive(Debug, Default)]
pub struct Plan {
    /// The subject, and behind it the prefixes.
    bytes: Vec<u8>,
    deliveries: Vec<Delivery>,
    /// Those of one queue stand together.
    groups: Vec<GroupId>,
    /// How many groups the first queues have; further queues have one each.
    /// Empty, then, unless two groups share a queue.
    queue_lengths: Vec<u32>,
    remote: ShardSet,
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
        self.deliveries.is_empty() && self.groups.is_empty() && self.remote.is_empty()
    }

    /// Starts anew, for another subject.
    pub(super) fn begin(&mut self, subject: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(subject);
        self.deliveries.clear();
        self.groups.clear();
        self.queue_lengths.clear();
        self.remote = ShardSet::EMPTY;
        self.subject_length = subject.len();
    }

    pub(super) fn push_delivery(&mut self, conn: ConnId, sub: SubId, sid: &[u8], subject: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(b"HMSG ");
        self.bytes.extend_from_slice(subject);
        self.bytes.push(b' ');
        self.bytes.extend_from_slice(sid);
        self.bytes.push(b' ');
        let length = index32(self.bytes.len() - start);
        self.deliveries.push(Delivery { conn, sub, start: index32(start), length });
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
        self.groups.clear();
        self.groups.extend_from_slice(&other.groups);
        self.queue_lengths.clear();
        self.queue_lengths.extend_from_slice(&other.queue_lengths);
        self.remote = other.remote;
        self.subject_length = other.subject_length;
    }

    /// Bytes that a copy of this plan needs.
    pub(super) fn content_bytes(&self) -> usize {
        self.bytes.len()
            + size_of_val(&self.deliveries[..])
            + size_of_val(&self.groups[..])
            + size_of_val(&self.queue_lengths[..])
    }

    /// Bytes allocated.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.deliveries.capacity() * size_of::<Delivery>()
            + self.groups.capacity() * size_of::<GroupId>()
            + self.queue_lengths.capacity() * size_of::<u32>()
    }
}
