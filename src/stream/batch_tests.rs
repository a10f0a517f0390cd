//! Goal: batches and schedules as nats-server 2.15.1 handles them. Method: what was recorded from
//! it, against streams in memory.

use super::engine_tests::{error, World};

fn refused(code: u16, err_code: u16, text: &str) -> String {
    format!(r#"{{"error":{},"stream":"B","seq":0}}"#, error(code, err_code, text))
}

impl World {
    fn batch(&mut self, subject: &str, id: &str, seq: &str, more: &[(&str, &str)]) -> String {
        let mut headers = vec![("Nats-Batch-Id", id), ("Nats-Batch-Sequence", seq)];
        headers.extend_from_slice(more);
        self.put(subject, &headers, "x")
    }

    fn fast(&mut self, step: &str) -> Vec<String> {
        let reply = format!("_INBOX.{step}.$FI");
        self.said.clear();
        self.publish("b.f", &reply, "", "x");
        self.said.iter().filter(|(to, ..)| *to == reply).map(|(.., body)| body.clone()).collect()
    }
}

const COMMIT: (&str, &str) = ("Nats-Batch-Commit", "1");

#[test]
fn a_batch_is_stored_whole() {
    let mut world = World::new();
    world.create("B", r#""subjects":["b.>"],"allow_atomic":true,"allow_rollup_hdrs":true"#);
    assert_eq!(world.batch("b.1", "i1", "1", &[]), "");
    assert_eq!(world.batch("b.2", "i1", "2", &[]), "");
    assert!(world.seqs("B").is_empty());
    let expected = r#"{"stream":"B","seq":3,"batch":"i1","count":3}"#;
    assert_eq!(world.batch("b.3", "i1", "3", &[COMMIT]), expected);
    assert_eq!(world.seqs("B"), [1, 2, 3]);
    world.batch("b.1", "i2", "1", &[]);
    let expected = r#"{"stream":"B","seq":4,"batch":"i2","count":1}"#;
    assert_eq!(world.batch("b.2", "i2", "2", &[("Nats-Batch-Commit", "eob")]), expected);
    let stored = &world.messages("B")[3].2;
    assert!(stored.contains("TkFUUy8xLjANCk5hdHMtQmF0Y2gtSWQ6IGkyDQpOYXRzLUJhdGNoLVNlcXVlbmNlOiAxDQpOYXRzLUJhdGNoLUNvbW1pdDogMQ0KDQo="), "{stored}");
    assert_eq!(world.batch("b.1", "", "1", &[]), r#"{"stream":"B","seq":5}"#);
}

#[test]
fn batches_are_refused_as_the_server_does() {
    let mut world = World::new();
    world.create("B", r#""subjects":["b.>"],"allow_atomic":true,"allow_rollup_hdrs":true"#);
    world.put("b.0", &[], "");
    let incomplete = refused(400, 10176, "atomic publish batch is incomplete");
    assert_eq!(world.batch("b.1", "i3", "1", &[("Nats-Batch-Commit", "eob")]), incomplete);
    assert_eq!(world.batch("b.1", "i4", "2", &[]), incomplete);
    let missing = refused(400, 10175, "atomic publish sequence is missing");
    assert_eq!(world.batch("b.1", "i4", "x", &[]), missing);
    let bad_id = refused(400, 10179, "atomic publish batch ID is invalid");
    assert_eq!(world.batch("b.1", &"x".repeat(65), "1", &[]), bad_id);
    assert_eq!(world.batch("b.1", "i5", "1", &[]), "");
    assert_eq!(world.batch("b.1", "i5", "3", &[]), incomplete);
    assert_eq!(world.batch("b.1", "i5", "2", &[]), incomplete);
    world.batch("b.1", "i6", "1", &[]);
    let bad_commit = refused(400, 10200, "atomic publish batch commit is invalid");
    assert_eq!(world.batch("b.1", "i6", "2", &[("Nats-Batch-Commit", "2")]), bad_commit);
    assert_eq!(world.batch("b.1", "i6", "2", &[COMMIT]), incomplete);
    let level = refused(412, 10185, "JetStream minimum api level required");
    assert_eq!(world.batch("b.1", "i7", "1", &[("Nats-Required-Api-Level", "9")]), level);
    for (first, second, expected) in [
        (
            vec![("Nats-Msg-Id", "a")],
            vec![("Nats-Msg-Id", "a"), COMMIT],
            refused(400, 10201, "atomic publish batch contains duplicate message id"),
        ),
        (
            vec![("Nats-Expected-Last-Msg-Id", "a")],
            vec![COMMIT],
            refused(
                400,
                10177,
                "atomic publish unsupported header used: Nats-Expected-Last-Msg-Id",
            ),
        ),
        (
            vec![("Nats-Expected-Last-Sequence", "77")],
            vec![COMMIT],
            refused(400, 10071, "wrong last sequence: 1"),
        ),
        (
            vec![],
            vec![("Nats-Expected-Last-Sequence", "5"), COMMIT],
            refused(400, 10071, "wrong last sequence: 2"),
        ),
        (
            vec![],
            vec![("Nats-Expected-Last-Subject-Sequence", "0"), COMMIT],
            refused(400, 10164, "wrong last sequence"),
        ),
        (
            vec![],
            vec![("Nats-Rollup", "sub"), COMMIT],
            refused(500, 10111, "batch rollup sub invalid"),
        ),
        (
            vec![],
            vec![("Nats-Rollup", "all"), COMMIT],
            refused(500, 10111, "batch rollup all invalid"),
        ),
    ] {
        assert_eq!(world.batch("b.9", "j", "1", &first), "", "{first:?}");
        assert_eq!(world.batch("b.9", "j", "2", &second), expected, "{second:?}");
    }
    assert_eq!(world.seqs("B"), [1]);
}

#[test]
fn a_batch_that_waits_too_long_is_abandoned() {
    let mut world = World::new();
    world.listeners.0.insert(b"$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.>".to_vec());
    world.create("B", r#""subjects":["b.>"],"allow_atomic":true"#);
    world.batch("b.1", "i", "1", &[]);
    world.said.clear();
    world.advance(10_000_000_000);
    assert_eq!(world.said.len(), 1);
    assert!(world.said[0].2.ends_with(r#""stream":"B","batch":"i","reason":"timeout"}"#));
    assert!(world.batch("b.1", "i", "2", &[COMMIT]).contains("10176"));
    for open in 0..50 {
        assert_eq!(world.batch("b.1", &open.to_string(), "1", &[]), "");
    }
    assert!(world.batch("b.1", "one more", "1", &[]).contains("10210"));
}

#[test]
fn fast_batches_are_acknowledged_as_they_go() {
    let mut world = World::new();
    world.create("B", r#""subjects":["b.>"],"allow_batched":true"#);
    let ack = |seq: u64, count: u64| format!(r#"{{"type":"ack","seq":{seq},"msgs":{count}}}"#);
    let gap = |last: u64, seq: u64| format!(r#"{{"type":"gap","last_seq":{last},"seq":{seq}}}"#);
    let done = |seq: u64, id: &str, count: u64| {
        format!(r#"{{"stream":"B","seq":{seq},"batch":"{id}","count":{count}}}"#)
    };
    assert_eq!(world.fast("a.3.fail.1.0"), [ack(0, 3)]);
    assert!(world.fast("a.3.fail.2.1").is_empty());
    assert_eq!(world.fast("a.3.fail.3.1"), [ack(3, 3)]);
    assert_eq!(world.fast("a.3.fail.4.2"), [done(4, "a", 4)]);
    let unknown = refused(400, 10208, "batch publish ID unknown");
    assert_eq!(world.fast("a.3.fail.5.1").concat(), unknown);
    assert_eq!(world.fast("b.3.ok.1.0"), [ack(0, 3)]);
    assert!(world.fast("b.3.ok.2.1").is_empty());
    assert_eq!(world.fast("b.3.ok.4.1"), [gap(3, 4), ack(3, 3)]);
    assert_eq!(world.fast("b.3.ok.5.4"), [gap(5, 6), ack(3, 3)]);
    assert_eq!(world.fast("b.3.ok.6.3"), [done(7, "b", 5)]);
    assert_eq!(world.fast("c.3.fail.1.0"), [ack(0, 3)]);
    assert_eq!(world.fast("c.3.fail.3.1"), [gap(2, 3), done(8, "c", 1)]);
    assert_eq!(world.fast("c.3.fail.4.1"), [unknown]);
    assert_eq!(world.fast("d.x.ok.1.0"), [ack(0, 10)]);
    assert_eq!(world.fast("h.0.ok.1.0"), [ack(0, 1), ack(1, 2)]);
    assert_eq!(world.fast("h.0.ok.2.4"), [gap(2, 3), ack(1, 2)]);
    assert_eq!(world.fast("h.0.ok.2.3"), [gap(3, 2), done(10, "h", 2)]);
    assert_eq!(world.fast("g.3.ok.1.2"), [done(11, "g", 1)]);
    assert_eq!(world.fast("d.3.zz.1.0"), [refused(400, 10206, "batch publish pattern is invalid")]);
}

#[test]
fn schedules_publish_when_they_are_due() {
    let mut world = World::new();
    world.create("B", r#""subjects":["b.>"],"allow_msg_schedules":true,"allow_msg_ttl":true"#);
    let once = [
        ("Nats-Schedule", "@at 2026-11-21T09:46:00Z"),
        ("Nats-Schedule-Target", "b.t"),
        ("Nats-Schedule-TTL", "5s"),
        ("A", "b"),
    ];
    assert_eq!(world.put("b.s", &once, "body"), r#"{"stream":"B","seq":1}"#);
    world.advance(6_999_999_999);
    assert_eq!(world.seqs("B"), [1]);
    world.advance(1);
    let found = world.messages("B");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].0, &found[0].1[..]), (2, "b.t"));
    // NATS/1.0, A: b, Nats-Scheduler: b.s, Nats-Schedule-Next: purge, Nats-TTL: 5s
    assert!(found[0].2.contains("TkFUUy8xLjANCkE6IGINCk5hdHMtU2NoZWR1bGVyOiBiLnMNCk5hdHMtU2NoZWR1bGUtTmV4dDogcHVyZ2UNCk5hdHMtVFRMOiA1cw0KDQo="), "{found:?}");
    let every = [("Nats-Schedule", "@every 2s"), ("Nats-Schedule-Target", "b.t")];
    world.put("b.s", &every, "");
    world.advance(4_000_000_000);
    assert_eq!(world.seqs("B"), [2, 3, 4]);
    world.advance(60_000_000_000);
    assert_eq!(world.seqs("B"), [3, 4, 5]);
    let cancel = [("Nats-Schedule-Next", "purge"), ("Nats-Scheduler", "b.s")];
    assert_eq!(world.put("b.x", &cancel, ""), r#"{"stream":"B","seq":6}"#);
    assert_eq!(world.seqs("B"), [4, 5, 6]);
    for (headers, expected) in [
        (vec![("Nats-Schedule", "x"), ("Nats-Schedule-Target", "b.t")], "10189"),
        (vec![("Nats-Schedule", "@hourly")], "10190"),
        (vec![("Nats-Schedule", "@hourly"), ("Nats-Schedule-Target", "c.t")], "10190"),
        (vec![("Nats-Scheduler", "b.s")], "10212"),
        (vec![("Nats-Schedule-Next", "purge")], "10212"),
        (vec![("Nats-Schedule", "@hourly "), ("Nats-Schedule-Target", "b.t")], "10189"),
        (
            vec![
                ("Nats-Schedule", "@hourly"),
                ("Nats-Schedule-Target", "b.t"),
                ("Nats-Schedule-Time-Zone", "Mars/Olympus"),
            ],
            "10223",
        ),
    ] {
        let answer = world.put("b.s", &headers, "");
        assert!(answer.contains(expected), "{headers:?}: {answer}");
    }
}
