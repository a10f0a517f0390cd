//! Goal: a router answers what a naive one would, at any time, whatever is
//! cached. Method: random sequences of operations on two routers that hear of
//! each other's interest late but in order, and of a third shard that says
//! anything; after each operation a few subjects are matched and compared with
//! a model that keeps plain lists and uses `subject::matches`. Few tokens and a
//! tiny cache make collisions, evictions and stale plans frequent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::subject::{matches, AccountId};

type Key = (AccountId, Vec<u8>);
type QueueKey = (AccountId, Vec<u8>, Vec<u8>);

#[derive(Clone, Debug)]
enum Op {
    Subscribe {
        side: usize,
        account: u32,
        pattern: String,
        queue: Option<&'static str>,
    },
    Drain {
        side: usize,
        which: usize,
    },
    Remove {
        side: usize,
        which: usize,
    },
    /// One router hears the oldest changes of the other.
    Hear {
        side: usize,
        count: usize,
    },
    /// The third shard says something of its plain interest.
    ThirdPlain {
        side: usize,
        account: u32,
        pattern: String,
        present: bool,
    },
    /// The third shard says something of a queue.
    ThirdQueue {
        side: usize,
        account: u32,
        pattern: String,
        queue: &'static str,
        members: u32,
    },
    Match {
        side: usize,
        account: u32,
        subject: String,
        times: usize,
    },
}

/// A subscription as the model sees it.
#[derive(Clone, Debug)]
struct Known {
    id: SubId,
    conn: ConnId,
    sid: String,
    account: AccountId,
    pattern: Vec<u8>,
    queue: Option<Vec<u8>>,
    draining: bool,
}

/// One router, and what a naive one would know.
struct Side {
    own: ShardId,
    router: Router,
    subs: Vec<Known>,
    plain_remote: BTreeMap<Key, BTreeSet<ShardId>>,
    queue_remote: BTreeMap<QueueKey, BTreeMap<ShardId, (GroupId, u32)>>,
    /// Every group id ever seen, with what it named then.
    ids: BTreeMap<GroupId, QueueKey>,
    next_sid: u32,
}

const THIRD: ShardId = ShardId(63);

impl Side {
    fn new(own: u8, limits: RouterLimits) -> Self {
        Self {
            own: ShardId(own),
            router: Router::new(ShardId(own), limits),
            subs: Vec::new(),
            plain_remote: BTreeMap::new(),
            queue_remote: BTreeMap::new(),
            ids: BTreeMap::new(),
            next_sid: 0,
        }
    }

    fn live_plain(&self, key: &Key) -> usize {
        let same = |sub: &&Known| sub.account == key.0 && sub.pattern == key.1;
        self.subs.iter().filter(same).filter(|sub| sub.queue.is_none() && !sub.draining).count()
    }

    fn live_queue(&self, key: &QueueKey) -> u32 {
        let same = |sub: &&Known| {
            sub.account == key.0 && sub.pattern == key.1 && sub.queue.as_ref() == Some(&key.2)
        };
        self.subs.iter().filter(same).filter(|sub| !sub.draining).map(|_| 1).sum()
    }

    fn subscribe(
        &mut self,
        account: AccountId,
        pattern: &[u8],
        queue: Option<&str>,
    ) -> Vec<InterestChange> {
        let queue = queue.map(|queue| queue.as_bytes().to_vec());
        let before = self.live_plain(&(account, pattern.to_vec()));
        let conn = ConnId(self.next_sid % 3);
        // Some sids are too long to lie in place.
        let width = if self.next_sid.is_multiple_of(4) { 30 } else { 1 };
        let sid = format!("{:0width$}", self.next_sid);
        self.next_sid += 1;
        let mut changes = Vec::new();
        let id = self.router.subscribe(
            conn,
            account,
            pattern,
            queue.as_deref(),
            sid.as_bytes(),
            &mut changes,
        );
        assert!(self.subs.iter().all(|sub| sub.id != id), "a slot in use was handed out");
        let known = Known {
            id,
            conn,
            sid,
            account,
            pattern: pattern.to_vec(),
            queue: queue.clone(),
            draining: false,
        };
        self.subs.push(known);
        match queue {
            None => self.expect_plain(&changes, account, pattern, (before == 0).then_some(true)),
            Some(queue) => self.expect_queue(&changes, (account, pattern.to_vec(), queue)),
        }
        changes
    }

    fn drain(&mut self, which: usize) -> Vec<InterestChange> {
        let mut changes = Vec::new();
        if self.subs.is_empty() {
            return changes;
        }
        let index = which % self.subs.len();
        let sub = self.subs[index].clone();
        self.router.drain(sub.id, &mut changes);
        if sub.draining {
            assert_eq!(changes, [], "draining twice says nothing");
            return changes;
        }
        self.note_group(&sub);
        self.subs[index].draining = true;
        self.expect_loss(&changes, sub);
        changes
    }

    fn remove(&mut self, which: usize) -> Vec<InterestChange> {
        let mut changes = Vec::new();
        if self.subs.is_empty() {
            return changes;
        }
        let sub = self.subs.swap_remove(which % self.subs.len());
        self.note_group(&sub);
        self.router.remove(sub.id, &mut changes);
        if sub.draining {
            assert_eq!(changes, [], "its interest was withdrawn before");
        } else {
            self.expect_loss(&changes, sub);
        }
        changes
    }

    /// Remembers the group id of a queue subscription.
    fn note_group(&mut self, sub: &Known) {
        if let Some(queue) = &sub.queue {
            let id = self.router.group_of(sub.id).unwrap();
            self.ids.insert(id, (sub.account, sub.pattern.clone(), queue.clone()));
        }
    }

    /// `changes` say that a live subscription, already gone from the model, is
    /// live no more.
    fn expect_loss(&self, changes: &[InterestChange], sub: Known) {
        match sub.queue {
            None => {
                let left = self.live_plain(&(sub.account, sub.pattern.clone()));
                let expected = (left == 0).then_some(false);
                self.expect_plain(changes, sub.account, &sub.pattern, expected);
            }
            Some(queue) => self.expect_queue(changes, (sub.account, sub.pattern, queue)),
        }
    }

    fn expect_plain(
        &self,
        changes: &[InterestChange],
        account: AccountId,
        pattern: &[u8],
        present: Option<bool>,
    ) {
        let change = |present| InterestChange::Plain { account, pattern: pattern.into(), present };
        assert_eq!(changes, present.map(change).as_slice());
    }

    fn expect_queue(&self, changes: &[InterestChange], key: QueueKey) {
        let [InterestChange::Queue { account, pattern, queue, members, .. }] = changes else {
            panic!("one change of a queue, not {changes:?}");
        };
        assert_eq!(*members, self.live_queue(&key));
        assert_eq!((*account, pattern.to_vec(), queue.to_vec()), key);
    }

    fn hear(&mut self, from: ShardId, change: &InterestChange) {
        self.router.apply_remote(from, change);
        match change.clone() {
            InterestChange::Plain { account, pattern, present } => {
                let key = (account, pattern.to_vec());
                let shards = self.plain_remote.entry(key).or_default();
                if present {
                    shards.insert(from);
                } else {
                    shards.remove(&from);
                }
            }
            InterestChange::Queue { account, pattern, queue, group, members } => {
                let key = (account, pattern.to_vec(), queue.to_vec());
                let shards = self.queue_remote.entry(key).or_default();
                if members > 0 {
                    shards.insert(from, (group, members));
                } else {
                    shards.remove(&from);
                }
            }
        }
        self.plain_remote.retain(|_, shards| !shards.is_empty());
        self.queue_remote.retain(|_, shards| !shards.is_empty());
    }

    /// Matches a subject and compares the plan with the model's.
    fn check(&mut self, account: AccountId, subject: &[u8]) {
        let wanted = |of: AccountId, pattern: &[u8]| of == account && matches(pattern, subject);
        let Matched { plan, subscriptions, groups, .. } = self.router.matched(account, subject);
        assert_eq!(plan.subject(), subject);

        let mut planned: Vec<(SubId, ConnId, String, bool)> = Vec::new();
        for delivery in plan.deliveries() {
            let prefix = String::from_utf8(plan.prefix(delivery).to_vec()).unwrap();
            let draining = subscriptions[delivery.sub].draining;
            planned.push((delivery.sub, delivery.conn, prefix, draining));
        }
        planned.sort();
        let text = String::from_utf8_lossy(subject);
        let plain = self.subs.iter().filter(|sub| sub.queue.is_none());
        let mut expected: Vec<(SubId, ConnId, String, bool)> = plain
            .filter(|sub| wanted(sub.account, &sub.pattern))
            .map(|sub| (sub.id, sub.conn, format!("HMSG {text} {} ", sub.sid), sub.draining))
            .collect();
        expected.sort();
        assert_eq!(planned, expected);

        let remote = self.plain_remote.iter().filter(|((of, pattern), _)| wanted(*of, pattern));
        let expected: ShardSet = remote.flat_map(|(_, shards)| shards.iter().copied()).collect();
        assert_eq!(plan.remote(), expected);

        let locally = self
            .subs
            .iter()
            .filter_map(|sub| Some((sub.account, sub.pattern.clone(), sub.queue.clone()?)));
        let mut expected: BTreeSet<QueueKey> =
            locally.chain(self.queue_remote.keys().cloned()).collect();
        expected.retain(|(of, pattern, _)| wanted(*of, pattern));
        let mut planned = BTreeSet::new();
        for &id in plan.groups() {
            let group = groups.get(id).unwrap();
            let key = (group.account(), group.pattern().to_vec(), group.queue().to_vec());
            let list = |draining: bool| -> BTreeSet<SubId> {
                let same = |sub: &&Known| {
                    (sub.account, &sub.pattern) == (key.0, &key.1)
                        && sub.queue.as_ref() == Some(&key.2)
                };
                let subs = self.subs.iter().filter(same);
                subs.filter(|sub| sub.draining == draining).map(|sub| sub.id).collect()
            };
            assert_eq!(group.members().iter().copied().collect::<BTreeSet<_>>(), list(false));
            assert_eq!(group.draining().iter().copied().collect::<BTreeSet<_>>(), list(true));
            let remote = group.remote().iter();
            let remote: BTreeMap<ShardId, (GroupId, u32)> =
                remote.map(|there| (there.shard, (there.group, there.members))).collect();
            assert_eq!(remote, self.queue_remote.get(&key).cloned().unwrap_or_default());
            self.ids.insert(id, key.clone());
            assert!(planned.insert(key), "a group twice in one plan");
        }
        assert_eq!(planned, expected);
        self.check_queues(account, subject, &expected);
    }

    /// Checks that the groups of a subject form one queue per name, and who is
    /// picked from each.
    fn check_queues(&mut self, account: AccountId, subject: &[u8], expected: &BTreeSet<QueueKey>) {
        let Matched { plan, groups, .. } = self.router.matched(account, subject);
        let names = expected.iter().map(|(_, _, queue)| &queue[..]);
        let mut names: BTreeSet<&[u8]> = names.collect();
        let mut in_a_row = Vec::new();
        for queue in plan.queues() {
            let name = groups.get(queue[0]).unwrap().queue();
            assert!(names.remove(name), "a queue twice in one plan");
            let mut takers: Vec<Taker> = Vec::new();
            for &id in queue {
                let group = groups.get(id).unwrap();
                assert_eq!(group.queue(), name);
                assert_eq!(plan.queue_of(id), Some(queue));
                let members = group.members().iter();
                takers.extend(members.map(|&sub| (id, self.own, Err(sub))));
                for (&shard, &(theirs, members)) in
                    self.queue_remote.get(&self.ids[&id]).into_iter().flatten()
                {
                    takers.extend((0..members).map(|_| (id, shard, Ok(theirs))));
                }
            }
            check_picks(self.own, groups, queue, &takers);
            in_a_row.extend_from_slice(queue);
        }
        assert!(names.is_empty(), "queues are missing");
        assert_eq!(in_a_row, plan.groups());
        for &id in self.ids.keys().filter(|&&id| groups.get(id).is_none()) {
            assert_eq!(plan.queue_of(id), None, "a dead group in a plan");
        }
    }

    /// Checks what must hold between operations.
    fn check_counts(&self) {
        let counts = self.router.counts();
        assert_eq!(counts.subscriptions, self.subs.len() as u64);
        assert_eq!(counts.remote_patterns, self.plain_remote.len() as u64);
        let mut patterns: BTreeSet<Key> = self.plain_remote.keys().cloned().collect();
        let mut groups: BTreeSet<QueueKey> = self.queue_remote.keys().cloned().collect();
        for sub in &self.subs {
            let view = self.router.view(sub.id).unwrap();
            assert_eq!((view.pattern, view.queue), (&sub.pattern[..], sub.queue.as_deref()));
            assert_eq!((view.sid, view.draining), (sub.sid.as_bytes(), sub.draining));
            patterns.insert((sub.account, sub.pattern.clone()));
            groups.extend(
                sub.queue.iter().map(|queue| (sub.account, sub.pattern.clone(), queue.clone())),
            );
        }
        patterns.extend(groups.iter().map(|(account, pattern, _)| (*account, pattern.clone())));
        assert_eq!(counts.patterns, patterns.len() as u64);
        assert_eq!(counts.groups, groups.len() as u64);
        for (&id, key) in &self.ids {
            let Some(group) = self.router.groups().get(id) else { continue };
            let named = (group.account(), group.pattern().to_vec(), group.queue().to_vec());
            assert_eq!(named, *key, "an id names another group than it did");
        }
    }
}

/// A member that may be picked: the group here, its shard, and what it is there.
type Taker = (GroupId, ShardId, Result<GroupId, SubId>);

/// Checks that each of the takers is picked by an equal share of all random
/// numbers, and of those that are left if some were tried.
fn check_picks(own: ShardId, groups: &Groups, queue: &[GroupId], takers: &[Taker]) {
    let taker = |(id, pick): (GroupId, Pick)| match pick {
        Pick::Local { start } => (id, own, Err(groups.get(id).unwrap().members()[start])),
        Pick::Remote { shard, group } => (id, shard, Ok(group)),
    };
    let check = |tried: Tried, left: &[Taker]| {
        let mut left = left.to_vec();
        left.sort();
        let shares = left.len() as u128;
        if shares == 0 {
            assert_eq!(groups.pick(queue, u64::MAX / 3, tried), None);
        }
        let picked = |random: u128| {
            let random = u64::try_from(random).unwrap();
            taker(groups.pick(queue, random, tried).unwrap())
        };
        // The lowest and the highest number of each share.
        for end in [0, 1] {
            let random = |share: u128| (((share + end) << 64).div_ceil(shares)) - end;
            let mut all: Vec<Taker> = (0..shares).map(|share| picked(random(share))).collect();
            all.sort();
            assert_eq!(all, left);
        }
    };
    check(Tried::default(), takers);
    for shard in [ShardId(0), ShardId(1), THIRD] {
        let mut left = takers.to_vec();
        left.retain(|&(_, there, _)| there != shard);
        check(ShardSet::only(shard).into(), &left);
    }
    // All groups refuse, one after the other, while a shard is left out.
    let mut tried = Tried::from(ShardSet::only(THIRD));
    let mut left = takers.to_vec();
    left.retain(|&(_, there, _)| there != THIRD);
    for &id in queue.iter().rev() {
        tried.refuse(queue, id);
        left.retain(|&(of, there, _)| (of, there) != (id, own));
        check(tried, &left);
    }
}

/// What the other router must have heard once everything has arrived.
fn assert_agreed(speaker: &Side, listener: &Side) {
    let plain = speaker.subs.iter().filter(|sub| sub.queue.is_none() && !sub.draining);
    let expected: BTreeSet<Key> = plain.map(|sub| (sub.account, sub.pattern.clone())).collect();
    let heard = listener.plain_remote.iter().filter(|(_, from)| from.contains(&speaker.own));
    assert_eq!(heard.map(|(key, _)| key.clone()).collect::<BTreeSet<_>>(), expected);

    let mut expected: BTreeMap<QueueKey, u32> = BTreeMap::new();
    for sub in speaker.subs.iter().filter(|sub| !sub.draining) {
        if let Some(queue) = &sub.queue {
            *expected.entry((sub.account, sub.pattern.clone(), queue.clone())).or_default() += 1;
        }
    }
    let mut heard = BTreeMap::new();
    for (key, from) in &listener.queue_remote {
        if let Some(&(id, members)) = from.get(&speaker.own) {
            let group = speaker.router.groups().get(id).unwrap();
            assert_eq!((group.pattern(), group.queue()), (&key.1[..], &key.2[..]));
            heard.insert(key.clone(), members);
        }
    }
    assert_eq!(heard, expected);
}

fn run(limits: &RouterLimits, ops: &[Op]) {
    let mut sides = [Side::new(0, limits.clone()), Side::new(1, limits.clone())];
    let mut lanes: [VecDeque<InterestChange>; 2] = Default::default();
    for op in ops {
        match op.clone() {
            Op::Subscribe { side, account, pattern, queue } => {
                let changes = sides[side].subscribe(AccountId(account), pattern.as_bytes(), queue);
                lanes[side].extend(changes);
            }
            Op::Drain { side, which } => lanes[side].extend(sides[side].drain(which)),
            Op::Remove { side, which } => lanes[side].extend(sides[side].remove(which)),
            Op::Hear { side, count } => {
                let from = ShardId(if side == 0 { 1 } else { 0 });
                for change in drain_front(&mut lanes[1 - side], count) {
                    sides[side].hear(from, &change);
                }
            }
            Op::ThirdPlain { side, account, pattern, present } => {
                let pattern = pattern.into_bytes().into();
                let account = AccountId(account);
                sides[side].hear(THIRD, &InterestChange::Plain { account, pattern, present });
            }
            Op::ThirdQueue { side, account, pattern, queue, members } => {
                let change = InterestChange::Queue {
                    account: AccountId(account),
                    pattern: pattern.into_bytes().into(),
                    queue: queue.as_bytes().into(),
                    group: GroupId::from_u64(u64::from(members)),
                    members,
                };
                sides[side].hear(THIRD, &change);
            }
            Op::Match { side, account, subject, times } => {
                for _ in 0..times {
                    sides[side].check(AccountId(account), subject.as_bytes());
                }
            }
        }
        for side in &mut sides {
            for subject in WATCHED {
                side.check(AccountId(0), subject);
            }
            side.check_counts();
        }
    }
    for side in 0..2 {
        let from = sides[1 - side].own;
        for change in std::mem::take(&mut lanes[1 - side]) {
            sides[side].hear(from, &change);
        }
        assert_agreed(&sides[1 - side], &sides[side]);
        for subject in WATCHED {
            sides[side].check(AccountId(0), subject);
        }
    }
    tear_down(sides);
}

/// Removes everything: nothing may be left behind.
fn tear_down(mut sides: [Side; 2]) {
    for (number, side) in sides.iter_mut().enumerate() {
        while !side.subs.is_empty() {
            side.remove(number);
        }
        for ((account, pattern), shards) in side.plain_remote.clone() {
            for shard in shards {
                let pattern = pattern.clone().into();
                side.hear(shard, &InterestChange::Plain { account, pattern, present: false });
            }
        }
        for ((account, pattern, queue), shards) in side.queue_remote.clone() {
            for (shard, (group, _)) in shards {
                let (pattern, queue) = (pattern.clone().into(), queue.clone().into());
                let gone = InterestChange::Queue { account, pattern, queue, group, members: 0 };
                side.hear(shard, &gone);
            }
        }
        let counts = side.router.counts();
        assert_eq!((counts.patterns, counts.groups, counts.subscriptions), (0, 0, 0));
        assert_eq!(side.router.trie_nodes(), 0, "nodes are left in the trie");
        for subject in WATCHED {
            side.check(AccountId(0), subject);
        }
    }
}

fn drain_front(lane: &mut VecDeque<InterestChange>, count: usize) -> Vec<InterestChange> {
    let count = count.min(lane.len());
    lane.drain(..count).collect()
}

/// Matched after every operation, so that their plans are cached when the next
/// one changes something.
const WATCHED: [&[u8]; 6] = [b"a", b"a.b", b"b.a", b"a.b.a", b"c*.a", b"a.*"];

fn pattern() -> impl Strategy<Value = String> {
    let token = select(vec!["a", "b", "c*", "*", "*", "a-token-that-is-too-long-to-lie-in-place"]);
    (vec(token, 0..4), any::<bool>()).prop_map(|(mut tokens, tail)| {
        if tail || tokens.is_empty() {
            tokens.push(">");
        }
        tokens.join(".")
    })
}

/// Patterns that have subjects in common, for groups of one queue.
fn overlapping() -> impl Strategy<Value = String> {
    select(vec!["a.b", "a.*", "*.b", "*.*", "a.>", "*.>", ">", "a"]).prop_map(str::to_owned)
}

fn subject() -> impl Strategy<Value = String> {
    let long = "a-token-that-is-too-long-to-lie-in-place";
    let token = select(vec!["a", "a", "b", "b", "c*", "*", ">", "", long]);
    vec(token, 1..5).prop_map(|tokens| tokens.join("."))
}

fn queue() -> impl Strategy<Value = &'static str> {
    select(vec!["q", "a-queue-with-a-name-beyond-22-bytes"])
}

fn op() -> impl Strategy<Value = Op> {
    let side = || 0..2_usize;
    let account = || prop_oneof![4 => Just(0_u32), 1 => Just(1), 1 => Just(64)];
    let which = any::<usize>;
    prop_oneof![
        6 => (side(), account(), pattern(), proptest::option::of(queue())).prop_map(
            |(side, account, pattern, queue)| Op::Subscribe { side, account, pattern, queue }),
        3 => (side(), account(), overlapping(), queue()).prop_map(
            |(side, account, pattern, queue)| {
                Op::Subscribe { side, account, pattern, queue: Some(queue) }
            }),
        2 => (side(), which()).prop_map(|(side, which)| Op::Drain { side, which }),
        4 => (side(), which()).prop_map(|(side, which)| Op::Remove { side, which }),
        2 => (side(), 1..6_usize).prop_map(|(side, count)| Op::Hear { side, count }),
        1 => (side(), account(), pattern(), any::<bool>()).prop_map(
            |(side, account, pattern, present)| Op::ThirdPlain { side, account, pattern, present }),
        1 => (side(), account(), prop_oneof![pattern(), overlapping()], queue(), 0..3_u32).prop_map(
            |(side, account, pattern, queue, members)| {
                Op::ThirdQueue { side, account, pattern, queue, members }
            }),
        5 => (side(), account(), subject(), 1..4_usize).prop_map(
            |(side, account, subject, times)| Op::Match { side, account, subject, times }),
    ]
}

fn limits() -> impl Strategy<Value = RouterLimits> {
    let plans_bytes_max = select(vec![0, 2048, 16 * 1024, 32 * 1024 * 1024]);
    (select(vec![1_usize, 4, 8, 1024]), plans_bytes_max, any::<u64>()).prop_map(
        |(plans_max, plans_bytes_max, hash_seed)| RouterLimits {
            plans_max,
            plans_bytes_max,
            hash_seed,
        },
    )
}

proptest! {
    #[test]
    fn router_answers_what_a_naive_one_would(limits in limits(), ops in vec(op(), 1..80)) {
        run(&limits, &ops);
    }
}
