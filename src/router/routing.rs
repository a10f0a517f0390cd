//! The router: subscriptions in, plans out.

use super::group::{group_hash, Groups, RemoteMembers};
use super::hashing::SubjectHasher;
use super::ids::NONE;
use super::pattern::Patterns;
use super::plan::Plan;
use super::plan_cache::{Lookup, PlanCache};
use super::shadow::{Shadow, Shadows};
use super::subscription::{Role, Sid, Subscription, Subscriptions};
use super::trie::Walk;
use super::{ConnId, GroupId, InterestChange, RouterCounts, RouterLimits, ShardId, SubId};
use crate::subject::{is_valid_pattern, AccountId};

/// All interest that one shard knows: its own subscriptions and what the other
/// shards have told of theirs.
///
/// [`subscribe`](Self::subscribe), [`drain`](Self::drain) and
/// [`remove`](Self::remove) append what the other shards must hear to
/// `changes`; those apply it in this order with
/// [`apply_remote`](Self::apply_remote). A subscription ends with `remove`,
/// drained or not.
#[derive(Debug)]
pub struct Router {
    own: ShardId,
    hasher: SubjectHasher,
    subscriptions: Subscriptions,
    shadows: Shadows,
    groups: Groups,
    patterns: Patterns,
    cache: PlanCache,
    /// The plan of a message whose subject is not cached.
    scratch: Plan,
    walk: Walk,
    /// Patterns that a walk has found.
    found: Vec<u32>,
    /// Bytes of sids too long to lie in their subscription.
    sids_bytes: usize,
    /// Subscriptions ever made.
    subscribed: u64,
}

/// Where a message goes, and what the caller needs to carry that out.
#[derive(Debug)]
pub struct Matched<'r> {
    /// Where the message goes.
    pub plan: &'r Plan,
    /// The subscriptions the plan names, for their counters.
    pub subscriptions: &'r mut Subscriptions,
    /// The groups the plan names.
    pub groups: &'r Groups,
    /// For whom shadows stand that the plan or its groups name.
    pub shadows: &'r Shadows,
}

/// A subscription with everything that is said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionView<'r> {
    /// Who subscribed.
    pub conn: ConnId,
    /// The subscription's name on its connection.
    pub sid: &'r [u8],
    /// The account the pattern is matched in.
    pub account: AccountId,
    /// What is subscribed to.
    pub pattern: &'r [u8],
    /// The queue's name, if it is a member of one.
    pub queue: Option<&'r [u8]>,
    /// Whether its interest is withdrawn.
    pub draining: bool,
    /// Whether it stands for another one.
    pub is_shadow: bool,
    /// Messages delivered so far.
    pub delivered: u64,
    /// The limit of deliveries; 0 is none.
    pub max: u64,
}

impl Router {
    /// A router without any interest, for shard `own`.
    pub fn new(own: ShardId, limits: RouterLimits) -> Self {
        Self {
            own,
            hasher: SubjectHasher::new(limits.hash_seed),
            subscriptions: Subscriptions::new(),
            shadows: Shadows::default(),
            groups: Groups::new(own),
            patterns: Patterns::new(),
            cache: PlanCache::new(&limits),
            scratch: Plan::default(),
            walk: Walk::default(),
            found: Vec::new(),
            sids_bytes: 0,
            subscribed: 0,
        }
    }

    /// Adds a subscription. The pattern is valid, as
    /// [`is_valid_pattern`] has it.
    pub fn subscribe(
        &mut self,
        conn: ConnId,
        account: AccountId,
        pattern: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
        changes: &mut Vec<InterestChange>,
    ) -> SubId {
        self.add(Role::Own, conn, account, pattern, queue, sid, changes)
    }

    /// Adds a plain subscription of which no other shard hears, because each has
    /// its own: what comes over a lane has been taken by the sender's.
    pub fn subscribe_unannounced(
        &mut self,
        conn: ConnId,
        account: AccountId,
        pattern: &[u8],
        sid: &[u8],
    ) -> SubId {
        let mut nothing = Vec::new();
        self.add(Role::Unannounced, conn, account, pattern, None, sid, &mut nothing)
    }

    /// Adds the shadow of a subscription in another account, where it is in the
    /// same queue. It is to be removed before the subscription is.
    pub fn subscribe_shadow(
        &mut self,
        shadow: Shadow,
        account: AccountId,
        pattern: &[u8],
        changes: &mut Vec<InterestChange>,
    ) -> SubId {
        let primary = &self.subscriptions[shadow.primary];
        let (conn, sid) = (primary.conn, primary.sid.as_bytes().to_vec());
        let queue =
            (primary.group != NONE).then(|| self.groups.slot(primary.group).queue().to_vec());
        let id = self.add(Role::Shadow, conn, account, pattern, queue.as_deref(), &sid, changes);
        self.shadows.insert(id, shadow);
        id
    }

    #[expect(clippy::too_many_arguments, reason = "a subscription has as many parts")]
    fn add(
        &mut self,
        role: Role,
        conn: ConnId,
        account: AccountId,
        pattern: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
        changes: &mut Vec<InterestChange>,
    ) -> SubId {
        debug_assert!(is_valid_pattern(pattern), "the caller checks the pattern");
        let sid = Sid::new(sid);
        self.sids_bytes += sid.heap_bytes();
        self.subscribed += 1;
        let hash = self.hasher.subject(account, pattern);
        let index = self.patterns.intern(&self.hasher, hash, account, pattern);
        let id = SubId(self.subscriptions.0.insert(Subscription {
            delivered: 0,
            max: 0,
            conn,
            draining: false,
            role,
            account,
            pattern: index,
            group: NONE,
            position: 0,
            sid,
        }));
        match queue {
            None => {
                let entry = self.patterns.get_mut(index);
                self.subscriptions[id].position = entry.plain.push(id);
                if role != Role::Unannounced {
                    entry.live += 1;
                    if entry.live == 1 {
                        changes.push(plain_change(account, pattern, true));
                    }
                }
                self.void(hash, index);
            }
            Some(queue) => {
                let group = self.intern_group(hash, index, queue);
                let subscription = &mut self.subscriptions[id];
                subscription.group = group;
                subscription.position = self.groups.slot_mut(group).members.push(id);
                changes.push(self.queue_change(group));
            }
        }
        id
    }

    /// Withdraws a subscription's interest: what is published on this shard
    /// passes it by, what is under way in a lane still reaches it.
    pub fn drain(&mut self, sub: SubId, changes: &mut Vec<InterestChange>) {
        let subscription = &mut self.subscriptions[sub];
        if subscription.draining {
            return;
        }
        subscription.draining = true;
        let (pattern, group, position) =
            (subscription.pattern, subscription.group, subscription.position);
        if group == NONE {
            self.lose_plain(pattern, changes);
            return;
        }
        let members = self.groups.slot_mut(group);
        let moved = members.members.swap_remove(position);
        self.subscriptions[sub].position = members.draining.push(sub);
        if let Some(moved) = moved {
            self.subscriptions[moved].position = position;
        }
        changes.push(self.queue_change(group));
    }

    /// Removes a subscription at once. Its id means nothing after this.
    pub fn remove(&mut self, sub: SubId, changes: &mut Vec<InterestChange>) {
        let gone = self.subscriptions.0.remove(sub.0);
        if gone.role == Role::Shadow {
            self.shadows.remove(sub);
        }
        self.sids_bytes -= gone.sid.heap_bytes();
        let entry = self.patterns.get_mut(gone.pattern);
        let hash = self.hasher.subject(entry.account, entry.text.as_bytes());
        let moved = if gone.group == NONE {
            let moved = entry.plain.swap_remove(gone.position);
            if !gone.draining && gone.role != Role::Unannounced {
                self.lose_plain(gone.pattern, changes);
            }
            self.void(hash, gone.pattern);
            moved
        } else {
            let group = self.groups.slot_mut(gone.group);
            let list = if gone.draining { &mut group.draining } else { &mut group.members };
            let moved = list.swap_remove(gone.position);
            if !gone.draining {
                changes.push(self.queue_change(gone.group));
            }
            self.release_group(hash, gone.group);
            moved
        };
        if let Some(moved) = moved {
            self.subscriptions[moved].position = gone.position;
        }
        self.patterns.release(&self.hasher, hash, gone.pattern);
    }

    /// Applies a change of another shard's interest.
    pub fn apply_remote(&mut self, from: ShardId, change: &InterestChange) {
        debug_assert!(from != self.own, "a shard does not hear of its own interest");
        match change {
            InterestChange::Plain { account, pattern, present } => {
                self.apply_remote_plain(from, *account, pattern, *present);
            }
            InterestChange::Queue { account, pattern, queue, group, members } => {
                let there = RemoteMembers { shard: from, members: *members, group: *group };
                self.apply_remote_queue(*account, pattern, queue, there);
            }
        }
    }

    /// Finds where a message to `subject` goes. A malformed subject goes
    /// nowhere.
    #[inline]
    pub fn matched(&mut self, account: AccountId, subject: &[u8]) -> Matched<'_> {
        let entry = match self.cache.latest(account, subject) {
            Some(entry) => entry,
            None => self.find_or_make(account, subject),
        };
        let plan = if entry == NONE { &self.scratch } else { self.cache.plan(entry) };
        Matched {
            plan,
            subscriptions: &mut self.subscriptions,
            groups: &self.groups,
            shadows: &self.shadows,
        }
    }

    /// The subscriptions, for their counters and limits.
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// The subscriptions, for their counters and limits.
    pub fn subscriptions_mut(&mut self) -> &mut Subscriptions {
        &mut self.subscriptions
    }

    /// The queue groups.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// All that is said about a subscription, if the slot is in use.
    pub fn view(&self, sub: SubId) -> Option<SubscriptionView<'_>> {
        let subscription = self.subscriptions.get(sub)?;
        let queue =
            (subscription.group != NONE).then(|| self.groups.slot(subscription.group).queue());
        Some(SubscriptionView {
            conn: subscription.conn,
            sid: subscription.sid(),
            account: subscription.account,
            pattern: self.patterns.get(subscription.pattern).text.as_bytes(),
            queue,
            draining: subscription.draining,
            is_shadow: subscription.is_shadow(),
            delivered: subscription.delivered,
            max: subscription.max,
        })
    }

    /// The queue group that a subscription is a member of.
    pub fn group_of(&self, sub: SubId) -> Option<GroupId> {
        let group = self.subscriptions.get(sub)?.group;
        (group != NONE).then(|| self.groups.id(group))
    }

    /// Slots of subscriptions, used or not: every [`SubId`] is below it.
    pub fn subscription_slots(&self) -> u32 {
        self.subscriptions.0.slots()
    }

    /// Subscriptions ever made.
    pub fn subscribed(&self) -> u64 {
        self.subscribed
    }

    /// Most deliveries of a cached plan, the sum of all, and of how many
    /// plans: of the first thousand, so that it costs no turn.
    pub fn fanout(&self) -> (u64, u64, u64) {
        self.cache.fanout()
    }

    /// What the router holds.
    pub fn counts(&self) -> RouterCounts {
        let bytes = self.subscriptions.0.bytes()
            + self.sids_bytes
            + self.patterns.bytes()
            + self.groups.bytes()
            + self.cache.bytes()
            + self.scratch.allocated_bytes()
            + self.shadows.bytes()
            + self.walk.bytes();
        RouterCounts {
            subscriptions: u64::from(self.subscriptions.0.len()),
            patterns: u64::from(self.patterns.len()),
            remote_patterns: self.patterns.remote_count,
            groups: u64::from(self.groups.len()),
            plans: self.cache.len() as u64,
            plans_bytes: self.cache.plans_bytes() as u64,
            hits: self.cache.hits,
            misses: self.cache.misses,
            voids: self.cache.voids,
            evictions: self.cache.evictions,
            oversized: self.cache.oversized,
            bytes: bytes as u64,
        }
    }

    #[cfg(test)]
    pub(super) fn cache(&self) -> &PlanCache {
        &self.cache
    }

    #[cfg(test)]
    pub(super) fn trie_nodes(&self) -> u32 {
        self.patterns.trie.len()
    }

    /// The cache entry with the plan of a subject, or `NONE` if the plan is in
    /// `scratch`.
    #[inline]
    fn find_or_make(&mut self, account: AccountId, subject: &[u8]) -> u32 {
        let hash = self.hasher.subject(account, subject);
        match self.cache.find(hash, account, subject) {
            Lookup::Fresh(entry) => entry,
            Lookup::Stale(entry) => {
                self.make_plan(hash, account, subject);
                self.cache.renew(entry, &self.scratch)
            }
            Lookup::Absent => {
                self.make_plan(hash, account, subject);
                if self.cache.note_use(hash) {
                    self.cache.insert(&self.hasher, hash, account, &self.scratch)
                } else {
                    NONE
                }
            }
        }
    }

    /// Puts the plan of a subject together in `scratch`.
    fn make_plan(&mut self, hash: u64, account: AccountId, subject: &[u8]) {
        self.scratch.begin(subject);
        self.found.clear();
        let well_formed = self.patterns.trie.collect(
            &self.hasher,
            account,
            subject,
            &mut self.walk,
            &mut self.found,
        );
        if !well_formed {
            return;
        }
        if let Some(index) = self.patterns.find(hash, account, subject) {
            // The subject `a.*` finds the pattern `a.*` here and in the trie.
            if self.patterns.get(index).is_literal() {
                self.found.push(index);
            }
        }
        for &index in &self.found {
            let pattern = self.patterns.get(index);
            for &sub in pattern.plain.as_slice() {
                let subscription = &self.subscriptions[sub];
                if let Some(shadow) = self.shadows.of(sub, subscription) {
                    self.scratch.push_shadow(sub, shadow.primary, |out| {
                        shadow.transform.apply_matched(subject, 0, out);
                    });
                    continue;
                }
                self.scratch.push_delivery(subscription.conn, sub, subscription.sid(), subject);
            }
            let mut group = pattern.groups;
            while group != NONE {
                self.scratch.push_group(self.groups.id(group));
                group = self.groups.slot(group).next;
            }
            self.scratch.add_remote(pattern.remote);
        }
        self.scratch.join_queues(&self.groups);
    }

    /// Drops the cached plans that a pattern may be part of.
    fn void(&mut self, hash: u64, index: u32) {
        let pattern = self.patterns.get(index);
        let (account, text) = (pattern.account, pattern.text.as_bytes());
        if pattern.is_literal() {
            self.cache.void(hash, account, text);
        } else {
            self.cache.scopes.change(&self.hasher, account, text);
        }
    }

    /// A plain subscription is no longer live.
    fn lose_plain(&mut self, index: u32, changes: &mut Vec<InterestChange>) {
        let pattern = self.patterns.get_mut(index);
        pattern.live -= 1;
        if pattern.live == 0 {
            changes.push(plain_change(pattern.account, pattern.text.as_bytes(), false));
        }
    }

    /// Slot of a pattern's group, which is added if need be.
    fn intern_group(&mut self, hash: u64, index: u32, queue: &[u8]) -> u32 {
        let group_hash = group_hash(&self.hasher, index, queue);
        if let Some(group) = self.groups.find(group_hash, index, queue) {
            return group;
        }
        let pattern = self.patterns.get_mut(index);
        let group = self.groups.insert(
            group_hash,
            pattern.account,
            (index, pattern.text.as_bytes()),
            queue,
            &mut pattern.groups,
        );
        self.void(hash, index);
        group
    }

    /// Forgets a group that has no member left.
    fn release_group(&mut self, hash: u64, group: u32) {
        let index = self.groups.slot(group).pattern_index;
        let pattern = self.patterns.get_mut(index);
        if self.groups.release(&self.hasher, group, &mut pattern.groups) {
            self.void(hash, index);
        }
    }

    fn apply_remote_plain(
        &mut self,
        from: ShardId,
        account: AccountId,
        text: &[u8],
        present: bool,
    ) {
        let hash = self.hasher.subject(account, text);
        let index = if present {
            self.patterns.intern(&self.hasher, hash, account, text)
        } else {
            let Some(index) = self.patterns.find(hash, account, text) else { return };
            index
        };
        let remote = &mut self.patterns.get_mut(index).remote;
        let before = u64::from(!remote.is_empty());
        let changed = if present { remote.insert(from) } else { remote.remove(from) };
        let after = u64::from(!remote.is_empty());
        self.patterns.remote_count = self.patterns.remote_count + after - before;
        if changed {
            self.void(hash, index);
        }
        self.patterns.release(&self.hasher, hash, index);
    }

    fn apply_remote_queue(
        &mut self,
        account: AccountId,
        text: &[u8],
        queue: &[u8],
        there: RemoteMembers,
    ) {
        let hash = self.hasher.subject(account, text);
        if there.members > 0 {
            let index = self.patterns.intern(&self.hasher, hash, account, text);
            let group = self.intern_group(hash, index, queue);
            self.groups.slot_mut(group).set_remote(there);
            return;
        }
        let Some(index) = self.patterns.find(hash, account, text) else { return };
        let group_hash = group_hash(&self.hasher, index, queue);
        let Some(group) = self.groups.find(group_hash, index, queue) else { return };
        self.groups.slot_mut(group).set_remote(there);
        self.release_group(hash, group);
        self.patterns.release(&self.hasher, hash, index);
    }

    fn queue_change(&self, index: u32) -> InterestChange {
        let group = self.groups.slot(index);
        InterestChange::Queue {
            account: group.account(),
            pattern: group.pattern().into(),
            queue: group.queue().into(),
            group: self.groups.id(index),
            members: group.members.len(),
        }
    }
}

fn plain_change(account: AccountId, pattern: &[u8], present: bool) -> InterestChange {
    InterestChange::Plain { account, pattern: pattern.into(), present }
}

#[cfg(test)]
#[path = "routing_tests.rs"]
mod tests;
