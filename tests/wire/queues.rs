//! Goal: each queue group, which is a name within an account, takes
//! each message once, fairly, wherever its members are. Method: counts over many messages; the bounds of fairness are those of
//! a chi-square test that fails by chance once in about a million runs.

use std::collections::BTreeMap;

use crate::common::{Broker, Message, Raw};

fn by_sid(messages: &[Message]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for message in messages {
        *counts.entry(message.sid.as_str()).or_default() += 1;
    }
    counts
}

/// The chi-square statistic of these counts against an even split.
fn unevenness(counts: &[usize]) -> f64 {
    let mean = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    counts.iter().map(|&count| (count as f64 - mean).powi(2) / mean).sum()
}

#[test]
fn one_member_of_a_group_gets_each_message() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a q 1\r\nSUB a q 2\r\nSUB a q 3\r\n");
    raw.send("PUB a 0\r\n\r\n".repeat(300));
    let got = raw.drain();
    assert_eq!(got.len(), 300);
    assert_eq!(by_sid(&got).len(), 3);
}

#[test]
fn each_group_and_each_plain_subscription_gets_a_copy() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a q1 1\r\nSUB a q1 2\r\nSUB a q2 3\r\nSUB a q2 4\r\nSUB a 5\r\nSUB * 6\r\n");
    raw.send("PUB a 0\r\n\r\n".repeat(100));
    let got = raw.drain();
    let counts = by_sid(&got);
    let count = |sid: &str| counts.get(sid).copied().unwrap_or_default();
    assert_eq!(got.len(), 400);
    assert_eq!(count("1") + count("2"), 100);
    assert_eq!(count("3") + count("4"), 100);
    assert_eq!((count("5"), count("6")), (100, 100));
}

#[test]
fn a_group_is_its_name_whatever_subjects_its_members_subscribed() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a.b q 1\r\nSUB a.* q 2\r\nSUB > q 3\r\nSUB a.b Q 4\r\nSUB a.c q 5\r\n");
    raw.send("PUB a.b 0\r\n\r\n".repeat(3000));
    let got = raw.drain();
    let counts = by_sid(&got);
    assert_eq!(got.len(), 6000);
    assert_eq!(counts["4"], 3000);
    assert!(!counts.contains_key("5"));
    let members = [counts["1"], counts["2"], counts["3"]];
    assert!(unevenness(&members) < 28.0, "{members:?}");
}

#[test]
fn a_group_of_several_subjects_spans_connections() {
    let broker = Broker::start(&[]);
    let patterns = ["a.b", "a.*", "a.>", "*.b", ">", "*.*"];
    let mut members: Vec<Raw> = patterns.iter().map(|_| Raw::open(&broker)).collect();
    for (member, pattern) in members.iter_mut().zip(patterns) {
        member.send(format!("SUB {pattern} q 1\r\n"));
        member.fence();
    }
    let mut publisher = Raw::open(&broker);
    publisher.send("PUB a.b 0\r\n\r\n".repeat(3000));
    publisher.fence();
    let counts: Vec<usize> = members.iter_mut().map(|member| member.drain().len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 3000, "{counts:?}");
    assert!(unevenness(&counts) < 36.0, "{counts:?}");
}

#[test]
fn a_queue_name_is_any_token() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    for queue in ["q.r", "*", ">", "q..r", ".", "é", "a*"] {
        raw.send(format!("SUB a {queue} 1\r\nSUB a {queue} 2\r\nPUB a 0\r\n\r\n"));
        assert_eq!(raw.drain().len(), 1, "{queue}");
        raw.send("UNSUB 1\r\nUNSUB 2\r\n");
    }
}

#[test]
fn plain_subscriptions_are_served_before_groups() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a q 1\r\nSUB a 2\r\nSUB * r 3\r\nSUB > 4\r\n");
    for _ in 0..50 {
        raw.send("PUB a 0\r\n\r\n");
        let got = raw.drain();
        let plain = got.iter().take(2).all(|message| message.sid == "2" || message.sid == "4");
        assert!(got.len() == 4 && plain, "{:?}", by_sid(&got));
    }
}

#[test]
fn members_of_one_connection_share_evenly() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    for sid in 0..4 {
        raw.send(format!("SUB a q {sid}\r\n"));
    }
    raw.send("PUB a 0\r\n\r\n".repeat(4000));
    let got = raw.drain();
    let counts: Vec<usize> = by_sid(&got).into_values().collect();
    assert_eq!((got.len(), counts.len()), (4000, 4));
    assert!(unevenness(&counts) < 31.0, "{counts:?}");
}

#[test]
fn members_of_many_connections_share_evenly() {
    let broker = Broker::start(&[]);
    let mut members: Vec<Raw> = (0..6).map(|_| Raw::open(&broker)).collect();
    for member in &mut members {
        member.send("SUB a q 1\r\n");
        member.fence();
    }
    for _ in 0..3 {
        let mut publisher = Raw::open(&broker);
        publisher.send("PUB a 0\r\n\r\n".repeat(2000));
        publisher.fence();
    }
    let counts: Vec<usize> = members.iter_mut().map(|member| member.drain().len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 6000);
    assert!(unevenness(&counts) < 36.0, "{counts:?}");
}

#[test]
fn a_connection_with_more_members_gets_more() {
    let broker = Broker::start(&[]);
    let mut single = Raw::open(&broker);
    let mut triple = Raw::open(&broker);
    single.send("SUB a q 1\r\n");
    single.fence();
    triple.send("SUB a q 1\r\nSUB a q 2\r\nSUB a q 3\r\n");
    triple.fence();
    let mut publisher = Raw::open(&broker);
    publisher.send("PUB a 0\r\n\r\n".repeat(4000));
    publisher.fence();
    let (one, three) = (single.drain(), triple.drain());
    assert_eq!(one.len() + three.len(), 4000);
    let counts = by_sid(&three);
    let all = [one.len(), counts["1"], counts["2"], counts["3"]];
    assert!(unevenness(&all) < 31.0, "{all:?}");
}

#[test]
fn echo_off_picks_another_member() {
    let broker = Broker::start(&[]);
    let mut deaf = Raw::open_with(&broker, r#"{"verbose":false,"echo":false}"#);
    let mut other = Raw::open(&broker);
    deaf.send("SUB a q 1\r\nSUB a q 2\r\n");
    deaf.fence();
    other.send("SUB a q 1\r\n");
    other.fence();
    deaf.send("PUB a 0\r\n\r\n".repeat(200));
    deaf.fence();
    assert_eq!(other.drain().len(), 200);
    other.send("UNSUB 1\r\n");
    other.fence();
    deaf.send("PUB a 0\r\n\r\n".repeat(10));
    deaf.fence();
}

#[test]
fn a_member_that_left_gets_nothing() {
    let broker = Broker::start(&[]);
    let mut stays = Raw::open(&broker);
    let mut leaves = Raw::open(&broker);
    let mut publisher = Raw::open(&broker);
    stays.send("SUB a q 1\r\n");
    stays.fence();
    for round in 0..100 {
        leaves.send(format!("SUB a q {round}\r\n"));
        leaves.fence();
        leaves.send(format!("UNSUB {round}\r\n"));
        leaves.fence();
        publisher.send("PUB a 0\r\n\r\n".repeat(5));
        publisher.fence();
        assert_eq!(stays.drain().len(), 5);
        leaves.fence();
    }
}

#[test]
fn a_group_whose_last_member_left_is_gone() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    let mut plain = Raw::open(&broker);
    plain.send("SUB a 1\r\n");
    plain.fence();
    raw.send("SUB a q 1\r\nSUB a q 2\r\nUNSUB 1\r\nUNSUB 2\r\nPUB a 0\r\n\r\n");
    raw.fence();
    assert_eq!(plain.drain().len(), 1);
}
