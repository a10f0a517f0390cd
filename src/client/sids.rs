//! The live subscriptions of one client, by sid.
//!
//! The table holds nothing but subscription numbers; the sid itself stands in
//! the subscription, so the caller says how to look it up.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::router::SubId;

/// The hash of a sid. The seed is the server's secret: a client that could make
/// its sids collide would slow the whole shard.
fn hash_of(seed: u64, sid: &[u8]) -> u64 {
    FixedState::with_seed(seed).hash_one(sid)
}

/// Subscription numbers by sid.
#[derive(Debug, Default)]
pub struct Sids {
    table: HashTable<SubId>,
    seed: u64,
}

impl Sids {
    /// An empty table whose hashes depend on `seed`.
    pub fn new(seed: u64) -> Self {
        Self { table: HashTable::new(), seed }
    }

    /// The subscription of `sid`.
    pub fn get<'a>(&self, sid: &[u8], sid_of: impl Fn(SubId) -> &'a [u8]) -> Option<SubId> {
        self.table.find(hash_of(self.seed, sid), |&sub| sid_of(sub) == sid).copied()
    }

    /// Adds the subscription of a sid that is not in the table.
    pub fn insert<'a>(&mut self, sid: &[u8], sub: SubId, sid_of: impl Fn(SubId) -> &'a [u8]) {
        let seed = self.seed;
        self.table.insert_unique(hash_of(seed, sid), sub, |&sub| hash_of(seed, sid_of(sub)));
    }

    /// Removes a subscription whose sid is `sid`.
    pub fn remove(&mut self, sid: &[u8], sub: SubId) {
        if let Ok(entry) = self.table.find_entry(hash_of(self.seed, sid), |&other| other == sub) {
            entry.remove();
        }
        if self.table.is_empty() {
            self.table = HashTable::new();
        }
    }

    /// Takes everything out.
    pub fn take_all(&mut self) -> impl Iterator<Item = SubId> {
        std::mem::take(&mut self.table).into_iter()
    }

    /// The subscriptions, in no order.
    pub fn iter(&self) -> impl Iterator<Item = SubId> + '_ {
        self.table.iter().copied()
    }

    /// Live subscriptions.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_finds_its_subscription_until_it_is_removed() {
        let sids: Vec<String> = (0..1000).map(|i| format!("s{i}")).collect();
        let sid_of = |sub: SubId| sids[sub.0 as usize].as_bytes();
        let mut table = Sids::new(7);
        for (i, sid) in sids.iter().enumerate() {
            assert_eq!(table.get(sid.as_bytes(), sid_of), None);
            table.insert(sid.as_bytes(), SubId(u32::try_from(i).unwrap()), sid_of);
        }
        assert_eq!(table.get(b"s512", sid_of), Some(SubId(512)));
        table.remove(b"s512", SubId(512));
        assert_eq!(table.get(b"s512", sid_of), None);
        assert_eq!(table.take_all().count(), 999);
        assert!(table.is_empty());
    }
}
