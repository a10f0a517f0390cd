//! Plans of subjects that are used again and again.

use super::hashing::SubjectHasher;
use super::ids::{index32, NONE};
use super::plan::Plan;
use super::scopes::{Scope, Scopes};
use super::RouterLimits;
use crate::subject::AccountId;

/// A set-associative cache of plans.
///
/// - A subject is admitted at its second use: a table of fingerprints remembers
///   the first ones, so that reply inboxes, used once, take no place here.
/// - Its set has four ways. If all are taken, one that was not hit since the
///   last round goes; if all were hit, none goes and a new round begins. There
///   are two ways for each plan allowed, so that this is rare.
/// - If there are too many plans or bytes, a hand goes round all sets and takes
///   out what was not hit since its last visit.
/// - The table starts small and doubles as it fills; entries keep the storage
///   of their plans for the next subject, so that steady traffic allocates
///   nothing.
#[derive(Debug)]
pub(super) struct PlanCache {
    sets: Vec<[Way; WAYS]>,
    entries: Vec<Entry>,
    /// Entries that are not in a set.
    vacant: Vec<u32>,
    /// Fingerprints of subjects used once, by hash, the newest of a set first.
    /// Made at the first use.
    first_uses: Vec<[u16; WAYS]>,
    pub(super) scopes: Scopes,
    /// The entry that was found last: a publisher tends to stay with a subject.
    latest: u32,
    /// Where the search for room goes on.
    hand: usize,
    /// Bytes allocated for plans, those of vacant entries included.
    plans_bytes: usize,
    sets_max: usize,
    plans_max: usize,
    plans_bytes_max: usize,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) voids: u64,
    pub(super) evictions: u64,
    pub(super) oversized: u64,
}

/// Entries that [`PlanCache::fanout`] looks at.
const FANOUT_SAMPLE: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Way {
    /// Upper half of the hash.
    tag: u32,
    /// The entry, or `NONE`.
    entry: u32,
}

#[derive(Debug)]
struct Entry {
    plan: Plan,
    hash: u64,
    /// Number of the latest change when the plan was made.
    made: u64,
    account: AccountId,
    scope: Scope,
    /// Hit since the last round.
    used: bool,
    /// In a set.
    live: bool,
}

/// What the cache knows of a subject.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lookup {
    /// The entry has its plan.
    Fresh(u32),
    /// The entry has a plan that must be made anew.
    Stale(u32),
    /// Nothing.
    Absent,
}

impl PlanCache {
    pub(super) fn new(limits: &RouterLimits) -> Self {
        let sets_max = (2 * limits.plans_max).div_ceil(WAYS).next_power_of_two();
        assert!(sets_max <= SETS_LIMIT, "more plans than the cache can place");
        Self {
            sets: vec![[Way::VACANT; WAYS]; SETS_MIN.min(sets_max)],
            entries: Vec::new(),
            vacant: Vec::new(),
            first_uses: Vec::new(),
            scopes: Scopes::new(),
            latest: NONE,
            hand: 0,
            plans_bytes: 0,
            sets_max,
            plans_max: limits.plans_max,
            plans_bytes_max: limits.plans_bytes_max,
            hits: 0,
            misses: 0,
            voids: 0,
            evictions: 0,
            oversized: 0,
        }
    }

    /// Most deliveries of a plan, the sum of all and of how many plans, among
    /// the first entries.
    pub(super) fn fanout(&self) -> (u64, u64, u64) {
        let live = self.entries.iter().take(FANOUT_SAMPLE).filter(|entry| entry.live);
        live.fold((0, 0, 0), |(max, sum, plans), entry| {
            let deliveries = (entry.plan.deliveries().len() + entry.plan.queues().count()) as u64;
            (max.max(deliveries), sum + deliveries, plans + 1)
        })
    }

    /// The entry that was found last, if it is the one for this subject.
    #[inline]
    pub(super) fn latest(&mut self, account: AccountId, subject: &[u8]) -> Option<u32> {
        let entry = self.entries.get_mut(self.latest as usize)?;
        let found = entry.live
            && entry.is_for(account, subject)
            && self.scopes.is_fresh(entry.made, entry.scope);
        if !found {
            return None;
        }
        entry.used = true;
        self.hits += 1;
        Some(self.latest)
    }

    /// Looks a subject up and counts it.
    #[inline]
    pub(super) fn find(&mut self, hash: u64, account: AccountId, subject: &[u8]) -> Lookup {
        let Some((_, _, index)) = self.place(hash, account, subject) else {
            self.misses += 1;
            return Lookup::Absent;
        };
        let entry = &mut self.entries[index as usize];
        entry.used = true;
        if self.scopes.is_fresh(entry.made, entry.scope) {
            entry.made = self.scopes.latest();
            self.latest = index;
            self.hits += 1;
            Lookup::Fresh(index)
        } else {
            self.misses += 1;
            self.voids += 1;
            Lookup::Stale(index)
        }
    }

    #[inline]
    pub(super) fn plan(&self, index: u32) -> &Plan {
        &self.entries[index as usize].plan
    }

    /// Notes the use of a subject that has no entry; `true` if it was used
    /// before, as far as is remembered.
    pub(super) fn note_use(&mut self, hash: u64) -> bool {
        if self.first_uses.is_empty() {
            self.first_uses = vec![[0; WAYS]; self.sets_max];
        }
        let place = lower(hash) as usize & (self.first_uses.len() - 1);
        let fingerprint = (hash >> 48) as u16;
        let set = &mut self.first_uses[place];
        let known = set.contains(&fingerprint);
        if !known {
            set.rotate_right(1);
            set[0] = fingerprint;
        }
        known
    }

    /// Keeps a new plan for a subject whose entry is stale. Returns the entry,
    /// or `NONE` if the plan is not kept.
    pub(super) fn renew(&mut self, index: u32, plan: &Plan) -> u32 {
        if !self.has_room(plan, index) {
            let entry = &self.entries[index as usize];
            let (set, tag) = (self.set(entry.hash), tag(entry.hash));
            for way in 0..WAYS {
                let candidate = self.sets[set][way];
                if candidate.tag == tag && candidate.entry == index {
                    self.vacate(set, way, true);
                }
            }
            return NONE;
        }
        self.fill(index, plan)
    }

    /// Keeps the plan of a subject that has no entry. Returns its entry, or
    /// `NONE` if the plan is not kept.
    pub(super) fn insert(
        &mut self,
        hasher: &SubjectHasher,
        hash: u64,
        account: AccountId,
        plan: &Plan,
    ) -> u32 {
        if !self.has_room(plan, NONE) {
            return NONE;
        }
        let Some((set, way)) = self.vacant_way(hash) else { return NONE };
        let index = match self.vacant.pop() {
            Some(index) => index,
            None => {
                self.entries.push(Entry::new());
                index32(self.entries.len() - 1)
            }
        };
        self.sets[set][way] = Way { tag: tag(hash), entry: index };
        let entry = &mut self.entries[index as usize];
        entry.hash = hash;
        entry.account = account;
        entry.scope = self.scopes.scope(hasher, account, plan.subject());
        entry.used = false;
        entry.live = true;
        self.fill(index, plan)
    }

    /// Forgets the plan of one subject.
    pub(super) fn void(&mut self, hash: u64, account: AccountId, subject: &[u8]) {
        if let Some((set, way, _)) = self.place(hash, account, subject) {
            self.vacate(set, way, false);
            self.voids += 1;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.vacant.len()
    }

    pub(super) fn plans_bytes(&self) -> usize {
        self.plans_bytes
    }

    pub(super) fn bytes(&self) -> usize {
        self.plans_bytes
            + self.sets.capacity() * size_of::<[Way; WAYS]>()
            + self.entries.capacity() * size_of::<Entry>()
            + self.vacant.capacity() * size_of::<u32>()
            + self.first_uses.capacity() * size_of::<[u16; WAYS]>()
            + self.scopes.bytes()
    }

    /// Set, way and entry of a subject.
    #[inline]
    fn place(&self, hash: u64, account: AccountId, subject: &[u8]) -> Option<(usize, usize, u32)> {
        let (set, tag) = (self.set(hash), tag(hash));
        self.sets[set].iter().enumerate().find_map(|(number, way)| {
            let found = way.tag == tag
                && way.entry != NONE
                && self.entries[way.entry as usize].is_for(account, subject);
            found.then_some((set, number, way.entry))
        })
    }

    fn set(&self, hash: u64) -> usize {
        lower(hash) as usize & (self.sets.len() - 1)
    }

    /// A way of the subject's set that is free, or has been made so.
    fn vacant_way(&mut self, hash: u64) -> Option<(usize, usize)> {
        let is_vacant = |way: &Way| way.entry == NONE;
        let mut set = self.set(hash);
        let mut free = self.sets[set].iter().position(is_vacant);
        if free.is_none() && self.sets.len() < self.sets_max && self.len() >= self.sets.len() {
            self.grow();
            set = self.set(hash);
            free = self.sets[set].iter().position(is_vacant);
        }
        if let Some(way) = free {
            return Some((set, way));
        }
        let ways = self.sets[set];
        let idle = ways.iter().position(|way| !self.entries[way.entry as usize].used);
        if let Some(way) = idle {
            self.vacate(set, way, false);
            self.evictions += 1;
            return Some((set, way));
        }
        for way in ways {
            self.entries[way.entry as usize].used = false;
        }
        None
    }

    /// Doubles the number of sets: the entries of set `i` go to `i` or to
    /// `i + sets`, so none is lost.
    fn grow(&mut self) {
        let old = self.sets.len();
        self.sets.resize(2 * old, [Way::VACANT; WAYS]);
        for set in 0..old {
            for way in 0..WAYS {
                let moved = self.sets[set][way];
                if moved.entry == NONE {
                    continue;
                }
                let target = self.set(self.entries[moved.entry as usize].hash);
                if target != set {
                    self.sets[set][way] = Way::VACANT;
                    self.sets[target][way] = moved;
                }
            }
        }
    }

    /// Whether a plan may be kept, in the entry `spared` or, if that is `NONE`,
    /// in another one. If there are too many plans or bytes, entries go that
    /// were not hit since the hand's last visit, within a budget.
    fn has_room(&mut self, plan: &Plan, spared: u32) -> bool {
        let needed = plan.content_bytes();
        if needed > self.plans_bytes_max / OVERSIZED_FRACTION {
            self.oversized += 1;
            return false;
        }
        let entries_max = self.plans_max.saturating_sub(usize::from(spared == NONE));
        let fits = |cache: &Self| {
            cache.plans_bytes + needed <= cache.plans_bytes_max && cache.len() <= entries_max
        };
        for _ in 0..SEARCH_BUDGET {
            if fits(self) {
                return true;
            }
            self.hand = (self.hand + 1) & (self.sets.len() - 1);
            for way in 0..WAYS {
                let entry = self.sets[self.hand][way].entry;
                if entry == NONE || entry == spared {
                    continue;
                }
                if std::mem::take(&mut self.entries[entry as usize].used) {
                    continue;
                }
                let bytes_are_short = self.plans_bytes + needed > self.plans_bytes_max;
                self.vacate(self.hand, way, bytes_are_short);
                self.evictions += 1;
            }
        }
        fits(self)
    }

    /// Copies a plan into an entry that is in its set.
    fn fill(&mut self, index: u32, plan: &Plan) -> u32 {
        let entry = &mut self.entries[index as usize];
        self.plans_bytes -= entry.plan.allocated_bytes();
        entry.plan.copy_from(plan);
        self.plans_bytes += entry.plan.allocated_bytes();
        entry.made = self.scopes.latest();
        self.latest = index;
        index
    }

    /// Takes an entry out of its set. Its storage is kept for the next one, but
    /// not if it is large or bytes are short.
    fn vacate(&mut self, set: usize, way: usize, give_back: bool) {
        let index = std::mem::replace(&mut self.sets[set][way], Way::VACANT).entry;
        let entry = &mut self.entries[index as usize];
        entry.live = false;
        let allocated = entry.plan.allocated_bytes();
        if give_back || allocated > RETAINED_MAX {
            entry.plan = Plan::default();
            self.plans_bytes -= allocated;
        }
        self.vacant.push(index);
    }
}

impl Way {
    const VACANT: Self = Self { tag: 0, entry: NONE };
}

impl Entry {
    fn new() -> Self {
        Self {
            plan: Plan::default(),
            hash: 0,
            made: 0,
            account: AccountId(0),
            scope: Scope::default(),
            used: false,
            live: false,
        }
    }

    #[inline]
    fn is_for(&self, account: AccountId, subject: &[u8]) -> bool {
        self.account == account && self.plan.subject() == subject
    }
}

#[inline]
fn lower(hash: u64) -> u32 {
    (hash & 0xFFFF_FFFF) as u32
}

#[inline]
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Places for a subject: 32 bytes a set.
const WAYS: usize = 4;
/// Sets of an idle cache.
const SETS_MIN: usize = 16;
/// The set number is taken from the lower half of the hash, with bits to spare.
const SETS_LIMIT: usize = 1 << 24;
/// No plan may take more than this part of the bytes.
const OVERSIZED_FRACTION: usize = 16;
/// Sets looked at for room for one plan.
const SEARCH_BUDGET: usize = 64;
/// Storage that a vacant entry may keep.
const RETAINED_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{ConnId, Router, ShardId, SubId};

    const A: AccountId = AccountId(0);

    fn router(plans_max: usize, plans_bytes_max: usize) -> Router {
        let limits = RouterLimits { plans_max, plans_bytes_max, hash_seed: 7 };
        Router::new(ShardId(0), limits)
    }

    fn subscribe(router: &mut Router, pattern: &str) -> SubId {
        router.subscribe(ConnId(0), A, pattern.as_bytes(), None, b"1", &mut Vec::new())
    }

    /// Matches each subject once and says how many were cached.
    fn hits<S: AsRef<str>>(router: &mut Router, subjects: &[S]) -> u64 {
        let before = router.counts().hits;
        for subject in subjects {
            router.matched(A, subject.as_ref().as_bytes());
        }
        router.counts().hits - before
    }

    fn subjects(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("some.subject.{number}")).collect()
    }

    #[test]
    fn subject_is_cached_from_its_second_use_on() {
        let mut router = router(64, 1 << 20);
        assert_eq!(hits(&mut router, &["a", "b"]), 0);
        assert_eq!(router.counts().plans, 0);
        assert_eq!(hits(&mut router, &["a", "b"]), 0);
        assert_eq!(router.counts().plans, 2);
        assert_eq!(hits(&mut router, &["a", "b", "b", "a"]), 4);
    }

    #[test]
    fn growing_table_loses_no_plan() {
        // Far below the bound, so that sets rarely overflow.
        let mut router = router(64 * 1024, 1 << 30);
        let subjects = subjects(4096);
        for round in 0..8 {
            let hits = hits(&mut router, &subjects);
            assert!(round < 4 || hits > 4000, "{hits}");
        }
        let counts = router.counts();
        assert!(counts.plans > 4000, "{counts:?}");

        let cache = router.cache();
        assert!(cache.sets.len() > 16 * SETS_MIN, "it has grown several times");
        let mut placed = 0;
        for (set, ways) in cache.sets.iter().enumerate() {
            for way in ways.iter().filter(|way| way.entry != NONE) {
                let entry = &cache.entries[way.entry as usize];
                assert!(entry.live, "a way leads to a vacant entry");
                assert_eq!((cache.set(entry.hash), tag(entry.hash)), (set, way.tag));
                placed += 1;
            }
        }
        assert_eq!(placed, cache.len(), "an entry is in two sets or in none");
    }

    #[test]
    fn number_of_plans_is_bounded() {
        let mut router = router(256, 1 << 30);
        let subjects = subjects(2000);
        for _ in 0..10 {
            // Each twice in a row: it is admitted.
            for subject in &subjects {
                hits(&mut router, &[subject, subject]);
            }
        }
        let counts = router.counts();
        assert!(counts.plans > 200 && counts.plans <= 256, "{counts:?}");
        assert!(counts.evictions > 0);
    }

    #[test]
    fn bytes_of_plans_are_bounded() {
        let bound = 64 * 1024;
        let mut router = router(16 * 1024, bound);
        for _ in 0..10 {
            subscribe(&mut router, ">");
        }
        for subject in subjects(5000) {
            hits(&mut router, &[&subject, &subject, &subject]);
            // The last plan may have taken more than it needs.
            assert!(router.counts().plans_bytes <= (bound + bound / 16) as u64);
        }
        let counts = router.counts();
        assert!(counts.evictions > 0 && counts.plans > 10, "{counts:?}");
    }

    #[test]
    fn oversized_plan_is_never_cached() {
        let mut router = router(64, 16 * 1024);
        for _ in 0..80 {
            subscribe(&mut router, "wide");
        }
        assert_eq!(hits(&mut router, &["wide"; 10]), 0);
        assert_eq!(router.matched(A, b"wide").plan.deliveries().len(), 80);
        let counts = router.counts();
        assert_eq!((counts.plans, counts.plans_bytes), (0, 0));
        assert!(counts.oversized >= 9);
    }

    #[test]
    fn plan_that_grows_oversized_leaves_the_cache() {
        let mut router = router(64, 16 * 1024);
        hits(&mut router, &["a.b"; 3]);
        for _ in 0..80 {
            subscribe(&mut router, "a.*");
        }
        assert_eq!(router.matched(A, b"a.b").plan.deliveries().len(), 80);
        assert_eq!(router.counts().plans, 0);
    }

    #[test]
    fn plans_in_use_survive_a_scan_of_other_subjects() {
        // Goal: subjects used once or twice do not push out those in use.
        let mut router = router(256, 1 << 30);
        let kept: Vec<String> = (0..64).map(|number| format!("kept.{number}")).collect();
        for _ in 0..3 {
            hits(&mut router, &kept);
        }
        let mut hit = 0;
        for subjects in subjects(20_000).chunks(100) {
            for subject in subjects {
                hits(&mut router, &[subject, subject]);
            }
            hit += hits(&mut router, &kept);
        }
        assert!(hit > 64 * 200 * 8 / 10, "{hit} of {}", 64 * 200);
    }

    #[test]
    fn literal_change_voids_its_own_plan_only() {
        let mut router = router(64, 1 << 20);
        let subjects = ["a.b", "a.c", "a"];
        for _ in 0..2 {
            hits(&mut router, &subjects);
        }
        let sub = subscribe(&mut router, "a.b");
        assert_eq!(hits(&mut router, &["a.c", "a"]), 2);
        assert_eq!(router.matched(A, b"a.b").plan.deliveries().len(), 1);
        router.remove(sub, &mut Vec::new());
        assert_eq!(hits(&mut router, &["a.c", "a"]), 2);
        assert!(router.matched(A, b"a.b").plan.is_empty());
    }

    #[test]
    fn storm_of_inbox_subscriptions_leaves_other_plans_alone() {
        let mut router = router(1024, 1 << 20);
        let subjects = subjects(100);
        for _ in 0..8 {
            hits(&mut router, &subjects);
        }
        let before = hits(&mut router, &subjects);
        let mut subs = Vec::new();
        for number in 0..5000 {
            subs.push(subscribe(&mut router, &format!("_INBOX.{number}.*")));
            subs.push(subscribe(&mut router, &format!("_INBOX.{number}.reply")));
        }
        assert_eq!(hits(&mut router, &subjects), before);
        for sub in subs {
            router.remove(sub, &mut Vec::new());
        }
        assert_eq!(hits(&mut router, &subjects), before);
    }

    #[test]
    fn wildcard_below_two_tokens_leaves_their_siblings_alone() {
        let mut router = router(1024, 1 << 20);
        let subjects: Vec<String> = (0..70).map(|number| format!("kv.{number}.key")).collect();
        for _ in 0..8 {
            hits(&mut router, &subjects);
        }
        let before = hits(&mut router, &subjects);
        subscribe(&mut router, "kv.0.>");
        let after = hits(&mut router, &subjects);
        // Second tokens share seven slots.
        assert!(after < before && after > before / 2, "{after} of {before}");
        assert_eq!(hits(&mut router, &subjects), before, "stale plans are made again");
    }
}
