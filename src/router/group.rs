//! Queue groups: members here, member counts elsewhere, and picking one.

use super::hashing::SubjectHasher;
use super::ids::NONE;
use super::index_table::IndexTable;
use super::short_bytes::ShortBytes;
use super::slab::Slab;
use super::sub_list::SubList;
use super::{GroupId, ShardId, ShardSet, SubId};
use crate::subject::AccountId;

/// The members of one queue on one pattern of one account.
#[derive(Debug)]
pub struct Group {
    pattern: ShortBytes,
    queue: ShortBytes,
    pub(super) members: SubList,
    pub(super) draining: SubList,
    remote: Vec<RemoteMembers>,
    account: AccountId,
    /// Slot of the pattern.
    pub(super) pattern_index: u32,
    generation: u32,
    /// The neighbours in the pattern's list of groups, or `NONE`.
    previous: u32,
    pub(super) next: u32,
    own: ShardId,
}

/// Members of a queue group on another shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteMembers {
    /// Where they are.
    pub shard: ShardId,
    /// How many are live there: at least one.
    pub members: u32,
    /// How that shard names the group.
    pub group: GroupId,
}

/// Who gets a message of a queue group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// A local member.
    Local {
        /// Where to start in [`Group::members`]; if that one refuses, the next
        /// ones are tried, round to the start.
        start: usize,
    },
    /// A member of another shard, which picks among its own.
    Remote {
        /// The shard.
        shard: ShardId,
        /// How that shard names the group.
        group: GroupId,
    },
}

impl Group {
    /// The account of the group.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// What its members subscribe to.
    pub fn pattern(&self) -> &[u8] {
        self.pattern.as_bytes()
    }

    /// The queue's name.
    pub fn queue(&self) -> &[u8] {
        self.queue.as_bytes()
    }

    /// Local members that are not draining.
    #[inline]
    pub fn members(&self) -> &[SubId] {
        self.members.as_slice()
    }

    /// Local members that are draining: they take only what was under way in a
    /// lane, and only if no live one does.
    #[inline]
    pub fn draining(&self) -> &[SubId] {
        self.draining.as_slice()
    }

    /// Members of other shards, at most one entry per shard.
    #[inline]
    pub fn remote(&self) -> &[RemoteMembers] {
        &self.remote
    }

    /// Picks a member: each one, wherever it is, is as likely as any other.
    ///
    /// Shards in `excluded` are left out, the own one included. `random` is
    /// uniform over all 64-bit numbers. `None` if nobody is left.
    ///
    /// Cost: two passes over the shards that have members.
    pub fn pick(&self, random: u64, excluded: ShardSet) -> Option<Pick> {
        let local = if excluded.contains(self.own) { 0 } else { u64::from(self.members.len()) };
        let elsewhere = || self.remote.iter().filter(|there| !excluded.contains(there.shard));
        let total = local + elsewhere().map(|there| u64::from(there.members)).sum::<u64>();
        if total == 0 {
            return None;
        }
        // Multiply and take the upper half: uniform but for total / 2^64.
        let mut chosen = ((u128::from(random) * u128::from(total)) >> 64) as u64;
        if chosen < local {
            // Below the length of a slice.
            return Some(Pick::Local { start: (chosen & 0xFFFF_FFFF) as u32 as usize });
        }
        chosen -= local;
        for there in elsewhere() {
            let members = u64::from(there.members);
            if chosen < members {
                return Some(Pick::Remote { shard: there.shard, group: there.group });
            }
            chosen -= members;
        }
        unreachable!("the choice is below the sum of all members")
    }

    /// Notes how many live members another shard has.
    pub(super) fn set_remote(&mut self, there: RemoteMembers) {
        let known = self.remote.iter().position(|known| known.shard == there.shard);
        match (known, there.members) {
            (Some(place), 0) => {
                self.remote.swap_remove(place);
            }
            (Some(place), _) => self.remote[place] = there,
            (None, 0) => {}
            (None, _) => self.remote.push(there),
        }
    }

    fn is_wanted(&self) -> bool {
        !self.members.is_empty() || !self.draining.is_empty() || !self.remote.is_empty()
    }
}

/// All queue groups, by [`GroupId`].
#[derive(Debug)]
pub struct Groups {
    slab: Slab<Group>,
    /// Every group, by pattern and queue name.
    table: IndexTable,
    /// Groups ever made.
    generation: u32,
    own: ShardId,
    /// Bytes of names too long to lie in their group.
    heap_bytes: usize,
}

impl Groups {
    /// The group, if it is still the one that was meant.
    #[inline]
    pub fn get(&self, id: GroupId) -> Option<&Group> {
        self.slab.get(id.index).filter(|group| group.generation == id.generation)
    }

    pub(super) fn new(own: ShardId) -> Self {
        Self { slab: Slab::new(), table: IndexTable::new(), generation: 0, own, heap_bytes: 0 }
    }

    pub(super) fn find(&self, hash: u64, pattern_index: u32, queue: &[u8]) -> Option<u32> {
        self.table.find(hash, |index| {
            let group = &self.slab[index];
            group.pattern_index == pattern_index && group.queue.as_bytes() == queue
        })
    }

    /// Adds a group in front of the pattern's list, whose head is given.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        account: AccountId,
        pattern: (u32, &[u8]),
        queue: &[u8],
        head: &mut u32,
    ) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        let group = Group {
            pattern: ShortBytes::new(pattern.1),
            queue: ShortBytes::new(queue),
            members: SubList::new(),
            draining: SubList::new(),
            remote: Vec::new(),
            account,
            pattern_index: pattern.0,
            generation: self.generation,
            previous: NONE,
            next: *head,
            own: self.own,
        };
        self.heap_bytes += group.pattern.heap_bytes() + group.queue.heap_bytes();
        let index = self.slab.insert(group);
        if *head != NONE {
            self.slab[*head].previous = index;
        }
        *head = index;
        self.table.insert(hash, index);
        index
    }

    /// Forgets a group if it has no member left anywhere. Says whether it did.
    pub(super) fn release(&mut self, hasher: &SubjectHasher, index: u32, head: &mut u32) -> bool {
        if self.slab[index].is_wanted() {
            return false;
        }
        let group = self.slab.remove(index);
        self.heap_bytes -= group.pattern.heap_bytes() + group.queue.heap_bytes();
        self.table.remove(group_hash(hasher, group.pattern_index, group.queue.as_bytes()), index);
        if group.previous == NONE {
            *head = group.next;
        } else {
            self.slab[group.previous].next = group.next;
        }
        if group.next != NONE {
            self.slab[group.next].previous = group.previous;
        }
        true
    }

    pub(super) fn id(&self, index: u32) -> GroupId {
        GroupId { index, generation: self.slab[index].generation }
    }

    pub(super) fn slot(&self, index: u32) -> &Group {
        &self.slab[index]
    }

    pub(super) fn slot_mut(&mut self, index: u32) -> &mut Group {
        &mut self.slab[index]
    }

    pub(super) fn len(&self) -> u32 {
        self.slab.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.slab.bytes() + self.table.bytes() + self.heap_bytes
    }
}

/// Hash of a group's key.
pub(super) fn group_hash(hasher: &SubjectHasher, pattern_index: u32, queue: &[u8]) -> u64 {
    hasher.edge(pattern_index, hasher.token(queue))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group of shard 0 with so many members here, and on shards 1, 2, ...
    fn group(local: u32, remote: &[u32]) -> Group {
        let mut groups = Groups::new(ShardId(0));
        let mut head = NONE;
        let index = groups.insert(0, AccountId(0), (0, b"a"), b"q", &mut head);
        let mut group = groups.slab.remove(index);
        for member in 0..local {
            group.members.push(SubId(member));
        }
        for (shard, &members) in (1..).zip(remote) {
            let theirs = GroupId::from_u64(u64::from(shard) * 100);
            group.set_remote(RemoteMembers { shard: ShardId(shard), members, group: theirs });
        }
        group
    }

    /// Numbers of a 64-bit linear congruential generator, upper bits first.
    fn randoms() -> impl Iterator<Item = u64> {
        let step = |state: &u64| {
            Some(state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F))
        };
        std::iter::successors(Some(1), step).map(|state: u64| state ^ state.rotate_left(32))
    }

    /// How often each local member and each shard is picked in 60,000 rounds.
    fn tally(group: &Group, excluded: ShardSet) -> (Vec<u32>, [u32; 4]) {
        let mut local = vec![0; group.members().len()];
        let mut remote = [0; 4];
        for random in randoms().take(60_000) {
            match group.pick(random, excluded).unwrap() {
                Pick::Local { start } => local[start] += 1,
                Pick::Remote { shard, group } => {
                    assert_eq!(group.to_u64(), u64::from(shard.0) * 100);
                    remote[usize::from(shard.0)] += 1;
                }
            }
        }
        (local, remote)
    }

    fn assert_near(count: u32, expected: u32) {
        assert!(count.abs_diff(expected) < expected / 20, "{count} instead of {expected}");
    }

    #[test]
    fn every_member_is_as_likely_as_any_other() {
        let (local, remote) = tally(&group(3, &[1, 2]), ShardSet::EMPTY);
        for count in local {
            assert_near(count, 10_000);
        }
        assert_near(remote[1], 10_000);
        assert_near(remote[2], 20_000);
    }

    #[test]
    fn excluded_shards_are_never_picked() {
        let group = group(3, &[1, 2]);
        let (local, remote) = tally(&group, ShardSet::only(ShardId(0)));
        assert_eq!(local, [0; 3]);
        assert_near(remote[1], 20_000);
        assert_near(remote[2], 40_000);

        let (local, remote) = tally(&group, ShardSet::only(ShardId(2)));
        assert_near(local[0], 15_000);
        assert_eq!(remote[2], 0);

        let all: ShardSet = [0, 1, 2].map(ShardId).into_iter().collect();
        assert_eq!(group.pick(5, all), None);
    }

    #[test]
    fn shard_without_members_left_is_forgotten() {
        let mut group = group(0, &[4]);
        let theirs = RemoteMembers { shard: ShardId(1), members: 0, group: GroupId::from_u64(100) };
        group.set_remote(theirs);
        assert!(group.remote().is_empty());
        assert_eq!(group.pick(5, ShardSet::EMPTY), None);
    }
}
