//! Consumers as `CONSUMER.INFO` and the answers to their creation show them.

use std::time::Instant;

use serde_json::{json, Value};

use crate::api::Api;
use crate::common::{Broker, Raw, PATIENCE};

fn orders(count: u64) -> (tempfile::TempDir, Broker, Api) {
    let store = tempfile::tempdir().unwrap();
    let broker = Broker::start(&["-js", "-sd", store.path().to_str().unwrap()]);
    let mut api = Api::open(&broker);
    api.done("STREAM.CREATE.O", &json!({"name": "O", "subjects": ["o.>"]}));
    for number in 0..count {
        api.put(&format!("o.{number}"), "", b"m");
    }
    (store, broker, api)
}

fn create(api: &mut Api, name: &str, rest: Value) -> Value {
    let mut config = json!({"durable_name": name, "ack_policy": "explicit"});
    config.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let request = json!({"stream_name": "O", "config": config});
    api.done(&format!("CONSUMER.DURABLE.CREATE.O.{name}"), &request)
}

/// Waits until a consumer's description has that value under `key`.
fn await_info(api: &mut Api, name: &str, key: &str, value: &Value) {
    let limit = Instant::now() + PATIENCE;
    loop {
        let info = api.done(&format!("CONSUMER.INFO.O.{name}"), &Value::Null);
        if info[key] == *value {
            return;
        }
        assert!(Instant::now() < limit, "{key}: {info}, not {value}");
    }
}

#[test]
fn a_push_consumer_is_bound_from_the_start_if_somebody_listens() {
    let (_store, broker, mut api) = orders(0);
    let mut raw = Raw::open(&broker);
    raw.send("SUB d.1 1\r\nSUB d.2 g 2\r\n");
    raw.fence();
    let bound = |answer: Value| answer["push_bound"] == true;
    assert!(bound(create(&mut api, "a", json!({"deliver_subject": "d.1"}))));
    assert!(bound(create(&mut api, "a", json!({"deliver_subject": "d.1"}))));
    assert!(bound(create(&mut api, "b", json!({"deliver_subject": "d.2", "deliver_group": "g"}))));
    assert!(!bound(create(&mut api, "c", json!({"deliver_subject": "d.3"}))));
}

#[test]
fn only_members_of_its_group_make_a_push_consumer_deliver() {
    let (_store, broker, mut api) = orders(2);
    let mut raw = Raw::open(&broker);
    raw.send("SUB d.1 1\r\nSUB d.1 h 2\r\nSUB d.2 g 3\r\n");
    raw.fence();
    let grouped = create(&mut api, "a", json!({"deliver_subject": "d.1", "deliver_group": "g"}));
    let plain = create(&mut api, "b", json!({"deliver_subject": "d.2"}));
    for info in [grouped, plain] {
        assert_eq!(info.get("push_bound"), None, "{info}");
    }
    raw.send("PING\r\n");
    assert!(raw.until_pong().is_empty());
    // The first member starts it, and whoever else listens hears it, too.
    raw.send("SUB d.1 g 4\r\n");
    await_info(&mut api, "a", "num_ack_pending", &json!(2));
    raw.send("PING\r\n");
    let mut sids: Vec<String> = raw.until_pong().into_iter().map(|message| message.sid).collect();
    sids.sort();
    assert_eq!(sids, ["1", "1", "2", "2", "4", "4"]);
    raw.send("UNSUB 4\r\n");
    await_info(&mut api, "a", "push_bound", &Value::Null);
}

#[test]
fn requests_nobody_waits_for_are_not_counted() {
    let (_store, broker, mut api) = orders(0);
    create(&mut api, "p", json!({}));
    let mut raw = Raw::open(&broker);
    raw.send("SUB box.1 1\r\nSUB box.2 2\r\n");
    for reply in ["box.1", "box.2"] {
        raw.send(format!(
            "PUB $JS.API.CONSUMER.MSG.NEXT.O.p {reply} 23\r\n{{\"expires\":60000000000}}\r\n"
        ));
    }
    await_info(&mut api, "p", "num_waiting", &json!(2));
    raw.send("UNSUB 1\r\n");
    await_info(&mut api, "p", "num_waiting", &json!(1));
    drop(raw);
    await_info(&mut api, "p", "num_waiting", &json!(0));
}

#[test]
fn a_message_given_up_after_redeliveries_stays_counted() {
    let (_store, broker, mut api) = orders(1);
    create(&mut api, "m", json!({"ack_wait": 1_000_000, "max_deliver": 2}));
    let mut raw = Raw::open(&broker);
    raw.send("SUB in 1\r\nPUB $JS.API.CONSUMER.MSG.NEXT.O.m in 1\r\n9\r\n");
    for _ in 0..2 {
        raw.message();
    }
    await_info(&mut api, "m", "num_ack_pending", &json!(0));
    await_info(&mut api, "m", "num_redelivered", &json!(1));
}

#[test]
fn null_is_none_of_the_words() {
    let (_store, _broker, mut api) = orders(0);
    for (key, complaint) in [
        ("ack_policy", "can not unmarshal \"null\""),
        ("deliver_policy", "can not unmarshal \"null\""),
        ("replay_policy", "can not unmarshal \"null\""),
        ("priority_policy", "unknown priority policy: null"),
    ] {
        let request = json!({"stream_name": "O", "config": {"name": "c", key: null}});
        let refused = api.refused("CONSUMER.CREATE.O.c", &request);
        assert_eq!(refused, (10025, format!("invalid JSON: {complaint}")));
    }
    for key in ["retention", "storage", "discard", "persist_mode"] {
        let refused = api.refused("STREAM.CREATE.N", &json!({"name": "N", key: null}));
        assert_eq!(refused, (10025, "invalid JSON: can not unmarshal \"null\"".to_owned()));
    }
}
