//! A subscription and the table of them.

use std::ops::{Index, IndexMut};

use super::short_bytes::ShortBytes;
use super::slab::Slab;
use super::{ConnId, SubId};
use crate::subject::AccountId;

/// The subscription's name on its connection, as the client wrote it.
#[derive(Clone, Debug)]
pub struct Sid(ShortBytes);

impl Sid {
    /// Copies a sid; up to 22 bytes need no allocation.
    pub fn new(sid: &[u8]) -> Self {
        Self(ShortBytes::new(sid))
    }

    /// The sid as the client wrote it.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

/// A limit that no subscription reaches: its messages take the slow way of a
/// limited one, where the connection's permissions are asked.
pub const INSPECTED: u64 = u64::MAX;

/// What a subscription is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is what its owner asked for.
    Own,
    /// It stands in another account for one that imports from there.
    Shadow,
    /// The other shards do not know of it: each has its own.
    Unannounced,
}

/// One subscription of a local connection: one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub struct Subscription {
    /// Messages delivered so far. The caller counts.
    pub delivered: u64,
    /// Deliver no more than this many in all; 0 is no limit, and neither is
    /// [`INSPECTED`].
    pub max: u64,
    /// Who subscribed.
    pub conn: ConnId,
    /// Interest is withdrawn: messages published here pass it by, those that
    /// were under way in a lane still reach it.
    pub draining: bool,
    /// What it is for.
    pub(super) role: Role,
    /// Where the message is looked up.
    pub(super) account: AccountId,
    /// Slot of the pattern.
    pub(super) pattern: u32,
    /// Slot of the queue group; `NONE` for a plain subscription.
    pub(super) group: u32,
    /// Place in the list that holds it: the pattern's, or one of the group's.
    pub(super) position: u32,
    /// Named on the wire with every message.
    pub(super) sid: Sid,
}

impl Subscription {
    /// The subscription's name on its connection.
    #[inline]
    pub fn sid(&self) -> &[u8] {
        self.sid.as_bytes()
    }

    /// Whether it stands for another one; see [`Shadows`](super::Shadows).
    #[inline]
    pub fn is_shadow(&self) -> bool {
        self.role == Role::Shadow
    }

    /// The account its pattern is matched in.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Whether the limit of deliveries is reached.
    #[inline]
    pub fn is_spent(&self) -> bool {
        self.max > 0 && self.delivered >= self.max
    }
}

const _: () = assert!(size_of::<Option<Subscription>>() == 64);

/// All local subscriptions, by [`SubId`].
#[derive(Debug)]
pub struct Subscriptions(pub(super) Slab<Subscription>);

impl Subscriptions {
    pub(super) const fn new() -> Self {
        Self(Slab::new())
    }

    /// The subscription, if the slot is in use.
    #[inline]
    pub fn get(&self, sub: SubId) -> Option<&Subscription> {
        self.0.get(sub.0)
    }

    /// The subscription, if the slot is in use.
    #[inline]
    pub fn get_mut(&mut self, sub: SubId) -> Option<&mut Subscription> {
        self.0.get_mut(sub.0)
    }
}

impl Index<SubId> for Subscriptions {
    type Output = Subscription;

    #[inline]
    fn index(&self, sub: SubId) -> &Subscription {
        &self.0[sub.0]
    }
}

impl IndexMut<SubId> for Subscriptions {
    #[inline]
    fn index_mut(&mut self, sub: SubId) -> &mut Subscription {
        &mut self.0[sub.0]
    }
}
