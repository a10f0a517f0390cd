//! Goal: a stream whose changes were taken back goes on with all its consumers, and leaves nothing
//! of its former self behind. Method: a stream is put in the place of itself, as after a write
//! that failed.

use super::engine_tests::World;
use super::recovery::write_head;
use crate::store::{MemoryStore, Record, StorageKind, StreamStore};

fn patterns(world: &World) -> Vec<String> {
    let text = |pattern: &Vec<u8>| String::from_utf8_lossy(pattern).into_owned();
    let mut patterns: Vec<String> =
        world.subscriptions.iter().map(|(_, pattern)| text(pattern)).collect();
    patterns.sort();
    patterns
}

#[test]
fn a_stream_that_is_read_again_keeps_its_consumers_and_leaks_no_subscription() {
    let mut world = World::new();
    world.api("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"]}"#);
    for (name, more) in [
        ("D", r#""durable_name":"D""#),
        ("M", r#""durable_name":"M","mem_storage":true"#),
        ("E", r#""name":"E","mem_storage":true,"inactive_threshold":60000000000"#),
    ] {
        let payload =
            format!(r#"{{"stream_name":"S","config":{{{more},"ack_policy":"explicit"}}}}"#);
        let answer = world.api(&format!("CONSUMER.CREATE.S.{name}"), &payload);
        assert!(answer.contains("\"config\""), "{answer}");
    }
    let id = world.engine.streams.find_by_name("S").unwrap().id;
    let mut snapshot = Vec::new();
    world.engine.snapshot(id, &mut snapshot);
    for number in 1..=3 {
        world.put(&format!("s.{number}"), &[], "x");
    }
    world.listeners.0.insert(b"_INBOX.x".to_vec());
    for name in ["M", "E"] {
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.S.{name}");
        assert_eq!(world.request(&next, &[], "1").len(), 1);
    }
    for number in 0..3 {
        // What D has is delivered, and then one request waits.
        world.listeners.0.insert(format!("wait.{number}").into_bytes());
        world.publish("$JS.API.CONSUMER.MSG.NEXT.S.D", &format!("wait.{number}"), "", "1");
    }
    world.listeners.0.insert(b"wait.last".to_vec());
    world.publish("$JS.API.CONSUMER.MSG.NEXT.S.D", "wait.last", "", "1");

    let before = patterns(&world);
    let stream = world.engine.streams.find_by_name("S").unwrap();
    let head = write_head("A", &stream.config, stream.created);
    let mut store = MemoryStore::counting_as(StorageKind::File, 5);
    for number in 1..=2 {
        let subject = format!("s.{number}").into_bytes();
        let time = world.now;
        store.append(&Record { time, subject: &subject, headers: b"", payload: b"x" });
    }
    world.said.clear();
    assert!(world.engine.restore(id, &head, &snapshot, Box::new(store)));
    world.call(|engine, ctx| {
        engine.forget(id, ctx);
        engine.finish_recovery(ctx);
    });
    let told: Vec<&str> = world
        .said
        .iter()
        .filter(|(_, headers, _)| headers.contains("409 Leadership Change"))
        .map(|(to, ..)| to.as_str())
        .collect();
    assert_eq!(told, ["wait.last"]);
    assert_eq!(patterns(&world), before);

    let names = world.api("CONSUMER.NAMES.S", "");
    assert!(names.contains(r#""consumers":["D","E","M"]"#), "{names}");
    // What no store has is as it was; the rest is as it is stored.
    for (name, delivered) in [("D", 0), ("M", 1), ("E", 1)] {
        let info = world.api(&format!("CONSUMER.INFO.S.{name}"), "");
        let expected = format!(r#""delivered":{{"consumer_seq":{delivered},"#);
        assert!(info.contains(&expected), "{info}");
    }
    let answer = world.put("s.3", &[], "again");
    assert_eq!(answer, r#"{"stream":"S","seq":3}"#);
    for (name, seq) in [("D", 1), ("M", 2), ("E", 2)] {
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.S.{name}");
        world.said.clear();
        world.publish(&next, "_INBOX.x", "", "1");
        let (to, _, payload) = world.said.iter().find(|(_, _, p)| !p.contains("advisory")).unwrap();
        assert!(to.starts_with("_INBOX.x"), "{to}");
        assert_eq!(payload, "x", "{name} {seq}");
    }
}

#[test]
fn a_stream_whose_account_goes_keeps_no_subscription() {
    let mut world = World::new();
    world.create("S", "");
    let config = r#"{"stream_name":"S","config":{"durable_name":"D","ack_policy":"explicit"}}"#;
    world.api("CONSUMER.CREATE.S.D", config);
    let account = crate::subject::AccountId(1);
    world.call(|engine, ctx| engine.remove_account(account, ctx));
    assert_eq!(patterns(&world), Vec::<String>::new());
}

#[test]
fn what_makes_no_sense_to_this_server_is_kept_as_it_is() {
    let mut world = World::new();
    let id = crate::store::StreamId(9);
    let store = || Box::new(MemoryStore::counting_as(StorageKind::File, 5));
    assert!(!world.engine.restore(id, b"?", b"of another version", store()));
    let mut snapshot = Vec::new();
    world.engine.snapshot(id, &mut snapshot);
    assert_eq!(snapshot, b"of another version");
}
