//! Tests of [`Router`].

use super::*;
use crate::router::{Pick, ShardSet, Tried};

const A: AccountId = AccountId(0);

fn router() -> Router {
    Router::new(ShardId(0), RouterLimits::default())
}

/// Subscribes with the sid `sid` for connection 1.
fn sub(router: &mut Router, pattern: &str, sid: &str) -> SubId {
    router.subscribe(ConnId(1), A, pattern.as_bytes(), None, sid.as_bytes(), &mut Vec::new())
}

/// Prefixes of all deliveries, sorted.
fn prefixes(router: &mut Router, subject: &str) -> Vec<String> {
    let plan = router.matched(A, subject.as_bytes()).plan;
    let text = |delivery| String::from_utf8(plan.prefix(delivery).to_vec()).unwrap();
    let mut prefixes: Vec<String> = plan.deliveries().iter().map(text).collect();
    prefixes.sort();
    prefixes
}

#[test]
fn prefix_is_ready_for_the_wire() {
    let mut router = router();
    sub(&mut router, "foo.*", "7");
    sub(&mut router, "foo.bar", "a-rather-long-sid-of-more-than-22-bytes");
    for _ in 0..4 {
        let expected = ["HMSG foo.bar 7 ", "HMSG foo.bar a-rather-long-sid-of-more-than-22-bytes "];
        assert_eq!(prefixes(&mut router, "foo.bar"), expected);
    }
    assert_eq!(router.counts().hits, 2);
}

#[test]
fn wildcard_subjects_are_matched_as_plain_tokens() {
    let mut router = router();
    for (pattern, sid) in [("*", "1"), (">", "2"), ("a.*", "3"), ("a.>", "4"), ("a.b", "5")] {
        sub(&mut router, pattern, sid);
    }
    assert_eq!(prefixes(&mut router, "*"), ["HMSG * 1 ", "HMSG * 2 "]);
    assert_eq!(prefixes(&mut router, "a.*"), ["HMSG a.* 2 ", "HMSG a.* 3 ", "HMSG a.* 4 "]);
    assert_eq!(prefixes(&mut router, "a.>"), ["HMSG a.> 2 ", "HMSG a.> 3 ", "HMSG a.> 4 "]);
}

#[test]
fn malformed_subjects_go_nowhere() {
    let mut router = router();
    sub(&mut router, ">", "1");
    for subject in ["", ".", ".a", "a.", "a..b"] {
        for _ in 0..3 {
            assert!(router.matched(A, subject.as_bytes()).plan.is_empty(), "{subject:?}");
        }
    }
}

#[test]
fn draining_subscription_stays_in_plans_without_being_interest() {
    let mut router = router();
    let mut changes = Vec::new();
    let id = router.subscribe(ConnId(1), A, b"a", None, b"1", &mut changes);
    router.drain(id, &mut changes);
    router.drain(id, &mut changes);
    assert_eq!(changes, [plain_change(A, b"a", true), plain_change(A, b"a", false)]);
    let matched = router.matched(A, b"a");
    assert_eq!(matched.plan.deliveries().len(), 1);
    assert!(matched.subscriptions[id].draining);
    router.remove(id, &mut changes);
    assert_eq!(changes.len(), 2);
    assert!(router.matched(A, b"a").plan.is_empty());
}

#[test]
fn queue_group_is_fed_by_members_here_and_elsewhere() {
    let mut router = router();
    let mut changes = Vec::new();
    let id = router.subscribe(ConnId(1), A, b"a.*", Some(b"q"), b"1", &mut changes);
    let theirs = GroupId::from_u64(99);
    let there = |members| InterestChange::Queue {
        account: A,
        pattern: b"a.*"[..].into(),
        queue: b"q"[..].into(),
        group: theirs,
        members,
    };
    router.apply_remote(ShardId(3), &there(2));
    let Matched { plan, groups, .. } = router.matched(A, b"a.b");
    assert!(plan.deliveries().is_empty() && plan.remote().is_empty());
    let [ours] = *plan.groups() else { panic!("one group") };
    let group = groups.get(ours).unwrap();
    assert_eq!(
        (group.queue(), group.pattern(), group.members()),
        (&b"q"[..], &b"a.*"[..], &[id][..])
    );
    let nobody = Tried::default();
    assert_eq!(groups.pick(&[ours], 0, nobody), Some((ours, Pick::Local { start: 0 })));
    let elsewhere = Some((ours, Pick::Remote { shard: ShardId(3), group: theirs }));
    assert_eq!(groups.pick(&[ours], u64::MAX, nobody), elsewhere);
    let own = Tried::from(ShardSet::only(ShardId(0)));
    assert_eq!(groups.pick(&[ours], 0, own), elsewhere);

    router.drain(id, &mut changes);
    let group = router.groups().get(ours).unwrap();
    assert_eq!((group.members(), group.draining()), (&[][..], &[id][..]));
    router.remove(id, &mut changes);
    assert!(router.groups().get(ours).is_some(), "it has members elsewhere");
    router.apply_remote(ShardId(3), &there(0));
    assert!(router.groups().get(ours).is_none());
    assert!(router.matched(A, b"a.b").plan.is_empty());
    assert_eq!(router.counts().patterns, 0);
}

/// Queue names and patterns of a subject's queues, sorted.
fn queues(router: &mut Router, subject: &str) -> Vec<(String, Vec<String>)> {
    let Matched { plan, groups, .. } = router.matched(A, subject.as_bytes());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let named = |queue: &[GroupId]| {
        let groups = || queue.iter().map(|&id| groups.get(id).unwrap());
        let mut patterns: Vec<String> = groups().map(|group| text(group.pattern())).collect();
        patterns.sort();
        (text(groups().next().unwrap().queue()), patterns)
    };
    let mut queues: Vec<_> = plan.queues().map(named).collect();
    queues.sort();
    queues
}

#[test]
fn groups_with_one_name_are_one_queue_of_a_plan() {
    // Goal: a cached plan follows groups that come and go on any of the
    // patterns, here and elsewhere. Method: match often enough that each
    // plan is cached before the next change.
    let mut router = router();
    let mut changes = Vec::new();
    let mut expected: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut subs = Vec::new();
    let check = |router: &mut Router, expected: &[(&str, Vec<&str>)]| {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let expected: Vec<(String, Vec<String>)> =
            expected.iter().map(|(name, texts)| ((*name).to_owned(), owned(texts))).collect();
        for _ in 0..3 {
            assert_eq!(queues(router, "a.b"), expected);
        }
    };
    check(&mut router, &expected);
    let mut join = |router: &mut Router, pattern: &str, queue: &str| {
        let (pattern, queue) = (pattern.as_bytes(), Some(queue.as_bytes()));
        subs.push(router.subscribe(ConnId(1), A, pattern, queue, b"1", &mut changes));
    };
    join(&mut router, "a.b", "r");
    join(&mut router, "a.b", "q");
    expected.extend([("q", vec!["a.b"]), ("r", vec!["a.b"])]);
    check(&mut router, &expected);
    join(&mut router, ">", "s");
    expected.push(("s", vec![">"]));
    check(&mut router, &expected);
    join(&mut router, "a.*", "q");
    join(&mut router, ">", "q");
    expected[0].1 = vec![">", "a.*", "a.b"];
    check(&mut router, &expected);
    join(&mut router, "a.c", "q");
    check(&mut router, &expected);

    let there = |members| InterestChange::Queue {
        account: A,
        pattern: b"*.b"[..].into(),
        queue: b"q"[..].into(),
        group: GroupId::from_u64(5),
        members,
    };
    router.apply_remote(ShardId(1), &there(2));
    expected[0].1 = vec!["*.b", ">", "a.*", "a.b"];
    check(&mut router, &expected);
    let dead = router.group_of(subs[1]).unwrap();
    assert_eq!(router.matched(A, b"a.b").plan.queue_of(dead).map(<[_]>::len), Some(4));
    router.remove(subs[1], &mut changes);
    router.apply_remote(ShardId(1), &there(0));
    expected[0].1 = vec![">", "a.*"];
    check(&mut router, &expected);
    assert_eq!(router.matched(A, b"a.b").plan.queue_of(dead), None);
    for sub in [subs[3], subs[4]] {
        router.remove(sub, &mut changes);
    }
    check(&mut router, &expected[1..]);
}

#[test]
fn id_of_a_dead_group_is_never_valid_again() {
    let mut router = router();
    let mut changes = Vec::new();
    let id = router.subscribe(ConnId(1), A, b"a", Some(b"q"), b"1", &mut changes);
    let dead = router.group_of(id).unwrap();
    router.remove(id, &mut changes);
    let id = router.subscribe(ConnId(1), A, b"a", Some(b"q"), b"1", &mut changes);
    let reborn = router.group_of(id).unwrap();
    assert_eq!(reborn.index, dead.index);
    assert!(router.groups().get(dead).is_none());
    assert!(router.groups().get(reborn).is_some());
}
