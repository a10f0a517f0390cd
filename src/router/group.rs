//! Queue groups: members here, member counts elsewhere, and picking one of all
//! groups with the same queue name.

use super::hashing::SubjectHasher;
use super::ids::NONE;
use super::index_table::IndexTable;
use super::short_bytes::ShortBytes;
use super::slab::Slab;
use super::sub_list::SubList;
use super::{GroupId, ShardId, ShardSet, SubId};
use crate::subject::AccountId;

/// The members of one queue on one pattern of one account. A message that
/// matches several patterns is for one member of all their groups with the same
/// queue name.
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

/// Who gets a message of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// A local member.
    Local {
        /// Where to start in [`Group::members`]; if that one refuses, the next
        /// ones are tried, round to the start, and then the rest of the queue,
        /// with [`Tried::refuse`].
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

/// Who is left out when a member of a queue is picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    shards: ShardSet,
    /// Groups of which no local member takes the message, by their place in the
    /// queue; those from [`LAST_PLACE`] on share a bit.
    refused: u64,
}

impl Tried {
    /// Notes that no local member of a group takes the message.
    ///
    /// Exact for the first 63 groups of a queue. All further ones count as one:
    /// if one refuses, none of them is asked here again.
    pub fn refuse(&mut self, queue: &[GroupId], group: GroupId) {
        if let Some(place) = queue.iter().position(|&id| id == group) {
            self.refused |= 1 << place.min(LAST_PLACE);
        }
    }

    #[inline]
    fn has_refused(self, place: usize) -> bool {
        self.refused >> place.min(LAST_PLACE) & 1 != 0
    }
}

impl From<ShardSet> for Tried {
    /// Leaves out whole shards.
    fn from(shards: ShardSet) -> Self {
        Self { shards, refused: 0 }
    }
}

/// Bit of all groups for which there is no bit of their own.
const LAST_PLACE: usize = 63;

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

    #[inline]
    fn pick_taker(&self, random: u64, local: bool, excluded: ShardSet) -> Option<Pick> {
        let mut chosen = below(random, self.takers(local, excluded))?;
        self.taker(&mut chosen, local, excluded)
    }

    /// How many members may be picked: local ones if `local` says so, and those
    /// of other shards that are not excluded.
    #[inline]
    fn takers(&self, local: bool, excluded: ShardSet) -> u64 {
        let here = if local { u64::from(self.members.len()) } else { 0 };
        here + self.elsewhere(excluded).map(|there| u64::from(there.members)).sum::<u64>()
    }

    /// The taker with the number `chosen`. If there are not so many, `chosen`
    /// is less by their number afterwards.
    #[inline]
    fn taker(&self, chosen: &mut u64, local: bool, excluded: ShardSet) -> Option<Pick> {
        let here = if local { u64::from(self.members.len()) } else { 0 };
        if *chosen < here {
            // Below the length of a slice.
            return Some(Pick::Local { start: (*chosen & 0xFFFF_FFFF) as u32 as usize });
        }
        *chosen -= here;
        for there in self.elsewhere(excluded) {
            let members = u64::from(there.members);
            if *chosen < members {
                return Some(Pick::Remote { shard: there.shard, group: there.group });
            }
            *chosen -= members;
        }
        None
    }

    fn elsewhere(&self, excluded: ShardSet) -> impl Iterator<Item = &RemoteMembers> {
        self.remote.iter().filter(move |there| !excluded.contains(there.shard))
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

    /// Picks a member of a queue, which is one of
    /// [`Plan::queues`](super::Plan::queues): each member of each of its groups,
    /// wherever it is, is as likely as any other. Says of which group it is.
    ///
    /// Shards that were tried are left out, the own one included, and so are the
    /// local members of groups that refused, and groups that have died. `random`
    /// is uniform over all 64-bit numbers. `None` if nobody is left.
    ///
    /// Cost: two passes over the groups and the shards that have members.
    pub fn pick(&self, queue: &[GroupId], random: u64, tried: Tried) -> Option<(GroupId, Pick)> {
        let own = !tried.shards.contains(self.own);
        if let [only] = *queue {
            // The usual case, with one look at the group.
            let local = own && !tried.has_refused(0);
            let pick = self.get(only)?.pick_taker(random, local, tried.shards)?;
            return Some((only, pick));
        }
        let candidates = || {
            queue.iter().enumerate().filter_map(|(place, &id)| {
                let group = self.get(id)?;
                Some((id, group, own && !tried.has_refused(place)))
            })
        };
        let total = candidates().map(|(_, group, local)| group.takers(local, tried.shards)).sum();
        let mut chosen = below(random, total)?;
        candidates().find_map(|(id, group, local)| {
            group.taker(&mut chosen, local, tried.shards).map(|pick| (id, pick))
        })
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

/// A number below `total`, if there is one. Multiply and take the upper half:
/// uniform but for total / 2^64.
#[inline]
fn below(random: u64, total: u64) -> Option<u64> {
    (total > 0).then(|| ((u128::from(random) * u128::from(total)) >> 64) as u64)
}

/// Hash of a group's key.
pub(super) fn group_hash(hasher: &SubjectHasher, pattern_index: u32, queue: &[u8]) -> u64 {
    hasher.edge(pattern_index, hasher.token(queue))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of shard 0, each on its own pattern, and their ids. Each has so
    /// many members here, and on shards 1, 2, ...
    fn queue(members: &[(u32, &[u32])]) -> (Groups, Vec<GroupId>) {
        let mut groups = Groups::new(ShardId(0));
        let mut ids = Vec::new();
        for (pattern, &(local, remote)) in (0..).zip(members) {
            let hash = u64::from(pattern);
            let index = groups.insert(hash, AccountId(0), (pattern, b"a"), b"q", &mut { NONE });
            let group = groups.slot_mut(index);
            for member in 0..local {
                group.members.push(SubId(member));
            }
            for (shard, &members) in (1..).zip(remote) {
                let theirs = theirs(pattern, shard);
                group.set_remote(RemoteMembers { shard: ShardId(shard), members, group: theirs });
            }
            ids.push(groups.id(index));
        }
        (groups, ids)
    }

    /// How a shard names its group on a pattern.
    fn theirs(pattern: u32, shard: u8) -> GroupId {
        GroupId::from_u64(u64::from(pattern) * 1000 + u64::from(shard))
    }

    /// Numbers of a 64-bit linear congruential generator, upper bits first.
    fn randoms() -> impl Iterator<Item = u64> {
        let step = |state: &u64| {
            Some(state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F))
        };
        std::iter::successors(Some(1), step).map(|state: u64| state ^ state.rotate_left(32))
    }

    /// How often each local member and each shard of each group is picked in
    /// 60,000 rounds.
    fn tally(groups: &Groups, queue: &[GroupId], tried: Tried) -> Vec<(Vec<u32>, [u32; 4])> {
        let locals =
            queue.iter().map(|&id| groups.get(id).map_or(0, |group| group.members().len()));
        let mut tally: Vec<_> = locals.map(|members| (vec![0; members], [0; 4])).collect();
        for random in randoms().take(60_000) {
            let (id, pick) = groups.pick(queue, random, tried).unwrap();
            let place = queue.iter().position(|&known| known == id).unwrap();
            match pick {
                Pick::Local { start } => tally[place].0[start] += 1,
                Pick::Remote { shard, group } => {
                    assert_eq!(group, theirs(groups.get(id).unwrap().pattern_index, shard.0));
                    tally[place].1[usize::from(shard.0)] += 1;
                }
            }
        }
        tally
    }

    fn assert_near(count: u32, expected: u32) {
        assert!(count.abs_diff(expected) <= expected / 20, "{count} instead of {expected}");
    }

    #[test]
    fn every_member_is_as_likely_as_any_other() {
        let (groups, queue) = queue(&[(3, &[1, 2])]);
        let [(local, remote)] = &tally(&groups, &queue, Tried::default())[..] else { panic!() };
        for &count in local {
            assert_near(count, 10_000);
        }
        assert_near(remote[1], 10_000);
        assert_near(remote[2], 20_000);
    }

    #[test]
    fn members_of_all_patterns_are_as_likely() {
        // Twelve members on three patterns and four shards.
        let (groups, queue) = queue(&[(3, &[1, 2]), (0, &[1]), (1, &[0, 3, 1])]);
        let tally = tally(&groups, &queue, Tried::default());
        for &count in tally.iter().flat_map(|(local, _)| local) {
            assert_near(count, 5_000);
        }
        let expected = [[0, 1, 2, 0], [0, 1, 0, 0], [0, 0, 3, 1]];
        for ((_, remote), expected) in tally.iter().zip(expected) {
            for (&count, members) in remote.iter().zip(expected) {
                assert_near(count, members * 5_000);
            }
        }
    }

    #[test]
    fn excluded_shards_are_never_picked() {
        let (groups, queue) = queue(&[(3, &[1, 2]), (2, &[2])]);
        let without_own = tally(&groups, &queue, ShardSet::only(ShardId(0)).into());
        assert_eq!((&without_own[0].0[..], &without_own[1].0[..]), (&[0; 3][..], &[0; 2][..]));
        assert_near(without_own[0].1[1], 12_000);
        assert_near(without_own[0].1[2], 24_000);
        assert_near(without_own[1].1[1], 24_000);

        let without_first = tally(&groups, &queue, ShardSet::only(ShardId(1)).into());
        assert_eq!((without_first[0].1[1], without_first[1].1[1]), (0, 0));
        assert_near(without_first[1].0[1], 60_000 / 7);

        let all: ShardSet = [0, 1, 2].map(ShardId).into_iter().collect();
        assert_eq!(groups.pick(&queue, 5, all.into()), None);
    }

    #[test]
    fn refusal_of_a_group_leaves_the_others_of_its_queue() {
        let (groups, queue) = queue(&[(3, &[1]), (2, &[]), (1, &[])]);
        let mut tried = Tried::default();
        tried.refuse(&queue, queue[0]);
        let tally = tally(&groups, &queue, tried);
        assert_eq!(tally[0].0, [0; 3]);
        assert_near(tally[0].1[1], 15_000);
        assert_near(tally[1].0[0], 15_000);
        assert_near(tally[2].0[0], 15_000);

        tried.refuse(&queue, queue[2]);
        tried.refuse(&queue, queue[1]);
        let left = Pick::Remote { shard: ShardId(1), group: theirs(0, 1) };
        assert_eq!(groups.pick(&queue, 5, tried), Some((queue[0], left)));
        tried.shards.insert(ShardId(1));
        assert_eq!(groups.pick(&queue, 5, tried), None);
    }

    #[test]
    fn queue_of_many_groups_is_tried_to_an_end() {
        let (groups, queue) = queue(&[(1, &[][..]); 100]);
        let mut tried = Tried::default();
        let mut refusals = 0;
        let mut randoms = randoms();
        while let Some((id, pick)) = groups.pick(&queue, randoms.next().unwrap(), tried) {
            assert_eq!(pick, Pick::Local { start: 0 });
            let before = tried;
            tried.refuse(&queue, id);
            assert_ne!(tried, before, "a group that had refused was picked");
            refusals += 1;
        }
        assert_eq!(refusals, 64);
    }

    #[test]
    fn dead_groups_are_passed_over() {
        let (mut groups, queue) = queue(&[(1, &[]), (1, &[]), (1, &[])]);
        groups.slab.remove(queue[1].index);
        let tally = tally(&groups, &queue, Tried::default());
        assert_near(tally[0].0[0], 30_000);
        assert_near(tally[2].0[0], 30_000);
        assert_eq!(groups.pick(&queue[1..2], 5, Tried::default()), None);
        assert_eq!(groups.pick(&[], 5, Tried::default()), None);
    }

    #[test]
    fn shard_without_members_left_is_forgotten() {
        let (mut groups, queue) = queue(&[(0, &[4])]);
        let gone = RemoteMembers { shard: ShardId(1), members: 0, group: theirs(0, 1) };
        groups.slot_mut(queue[0].index).set_remote(gone);
        assert!(groups.get(queue[0]).unwrap().remote().is_empty());
        assert_eq!(groups.pick(&queue, 5, Tried::default()), None);
    }
}
