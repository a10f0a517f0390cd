//! Who gets a message to one subject, ready to be carried out.

use super::ids::index32;
use super::{ConnId, GroupId, ShardSet, SubId};

/// Everything that is to be done with a message to one subject, whoever
/// published it. Plain subscriptions come first, then queue groups, then the
/// other shards.
#[derive(Debug, Default)]
pub struct Plan {
    /// The subject, and behind it the prefixes.
    bytes: Vec<u8>,
    deliveries: Vec<Delivery>,
    groups: Vec<GroupId>,
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

    /// Queue groups of which one member each gets the message.
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
        self.remote = other.remote;
        self.subject_length = other.subject_length;
    }

    /// Bytes that a copy of this plan needs.
    pub(super) fn content_bytes(&self) -> usize {
        self.bytes.len() + size_of_val(&self.deliveries[..]) + size_of_val(&self.groups[..])
    }

    /// Bytes allocated.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.deliveries.capacity() * size_of::<Delivery>()
            + self.groups.capacity() * size_of::<GroupId>()
    }
}
