//! What is told of requests and messages to whoever listens.

use serde_json::{json, Value};

use crate::api::Api;
use crate::common::{Broker, Raw};

fn start(store: &tempfile::TempDir, args: &[&str]) -> Broker {
    let mut line = vec!["-js", "-sd", store.path().to_str().unwrap()];
    line.extend_from_slice(args);
    Broker::start(&line)
}

/// An ear for advisories.
fn listen(broker: &Broker, subject: &str) -> Raw {
    let mut ear = Raw::open_headers(broker);
    ear.send(format!("SUB {subject} 1\r\n"));
    ear.fence();
    ear
}

fn heard(ear: &mut Raw) -> Value {
    serde_json::from_slice(&ear.message().payload).expect("an advisory in JSON")
}

#[test]
fn auditors_are_told_who_asked() {
    for shards in ["1", "2"] {
        let store = tempfile::tempdir().unwrap();
        let broker = start(&store, &["--shards", shards]);
        let mut ear = listen(&broker, "$JS.EVENT.ADVISORY.API");
        // Clients are spread over the shards: some of these are on another one than the streams.
        for name in ["one", "two", "three"] {
            let mut client = Raw::connect(&broker);
            client.send(format!(
                "CONNECT {{\"verbose\":false,\"headers\":true,\"name\":{name:?},\"lang\":\"raw\",\
                 \"version\":\"7\"}}\r\nSUB in 1\r\n"
            ));
            client.fence();
            // Nobody says who he is by himself, traced or not.
            let traced = if name == "two" { "Nats-Trace-Dest: tr\r\n" } else { "" };
            let forged = "Nats-Request-Info: {\"name\":\"forged\"}";
            let head = format!("NATS/1.0\r\n{forged}\r\n{traced}A: b\r\n\r\n");
            client.send(format!(
                "HPUB $JS.API.STREAM.INFO.S in {} {}\r\n{head}\r\n",
                head.len(),
                head.len()
            ));
            let audit = heard(&mut ear);
            let sender = &audit["client"];
            assert_eq!(audit["subject"], "$JS.API.STREAM.INFO.S", "{audit}");
            assert!(audit.get("request").is_none(), "{audit}");
            assert_eq!((&sender["name"], &sender["acc"]), (&json!(name), &json!("$G")));
            assert_eq!((&sender["lang"], &sender["ver"]), (&json!("raw"), &json!("7")));
            assert_eq!((&sender["kind"], &sender["host"]), (&json!("Client"), &json!("127.0.0.1")));
            assert_eq!(sender["server"], audit["server"]);
            assert!(sender["start"].as_str().unwrap().starts_with("20"), "{audit}");
            assert!(sender["id"].as_u64().unwrap() > 0, "{audit}");
        }
    }
}

#[test]
fn a_snapshot_and_a_restore_are_told_with_their_client() {
    let store = tempfile::tempdir().unwrap();
    let broker = start(&store, &[]);
    let mut ear = listen(&broker, "$JS.EVENT.ADVISORY.STREAM.*.S");
    let mut api = Api::open(&broker);
    api.done("STREAM.CREATE.S", &json!({"name": "S"}));
    assert_eq!(heard(&mut ear)["action"], "create");
    api.raw.send("SUB chunks 2\r\n");
    let taken = api.done("STREAM.SNAPSHOT.S", &json!({"deliver_subject": "chunks"}));
    let archive = api.raw.message().payload;
    assert!(api.raw.message().payload.is_empty());
    let made = heard(&mut ear);
    assert_eq!(made["type"], "io.nats.jetstream.advisory.v1.snapshot_create");
    assert_eq!((&made["stream"], &made["state"]["messages"]), (&json!("S"), &json!(0)));
    let done = heard(&mut ear);
    assert_eq!(done["type"], "io.nats.jetstream.advisory.v1.snapshot_complete");
    assert!(done["start"].as_str() <= done["end"].as_str() && done.get("error").is_none());
    api.done("STREAM.DELETE.S", &Value::Null);
    assert_eq!(heard(&mut ear)["action"], "delete");
    let body = json!({"config": taken["config"], "state": taken["state"]});
    let answer = api.done("STREAM.RESTORE.S", &body);
    let to = answer["deliver_subject"].as_str().unwrap();
    api.request(to, "", &archive);
    api.request(to, "", b"");
    let begun = heard(&mut ear);
    assert_eq!(begun["type"], "io.nats.jetstream.advisory.v1.restore_create");
    assert_eq!(heard(&mut ear)["action"], "create");
    let done = heard(&mut ear);
    assert_eq!(done["type"], "io.nats.jetstream.advisory.v1.restore_complete");
    assert_eq!(done["bytes"], archive.len());
    for told in [&made, &begun, &done] {
        assert_eq!(told["client"]["kind"], "Client", "{told}");
        assert_eq!(told["client"]["acc"], "$G", "{told}");
    }
}

#[test]
fn what_goes_before_it_is_acknowledged_is_told() {
    let store = tempfile::tempdir().unwrap();
    let broker = start(&store, &[]);
    let mut ear = listen(&broker, "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>");
    let mut api = Api::open(&broker);
    api.done("STREAM.CREATE.S", &json!({"name": "S", "subjects": ["s.>"], "max_msgs": 4}));
    for number in 0..4 {
        api.put(&format!("s.{number}"), "", b"x");
    }
    let config = json!({"durable_name": "d", "ack_policy": "explicit"});
    api.done("CONSUMER.CREATE.S.d", &json!({"stream_name": "S", "config": config}));
    api.raw.send("SUB got 2\r\nPUB $JS.API.CONSUMER.MSG.NEXT.S.d got 1\r\n4\r\n");
    for _ in 0..4 {
        api.raw.message();
    }
    api.put("s.4", "", b"x"); // the limit takes the first
    api.done("STREAM.MSG.DELETE.S", &json!({"seq": 3}));
    api.done("STREAM.PURGE.S", &json!({"filter": "s.1"}));
    for seq in [1, 3, 2] {
        let told = heard(&mut ear);
        assert_eq!(told["stream_seq"], seq, "{told}");
        assert_eq!(told["reason"], "Unacknowledged message was deleted", "{told}");
    }
    // And the rest for its age.
    let body = json!({"name": "S", "subjects": ["s.>"], "max_msgs": 4, "max_age": 100_000_000,
        "duplicate_window": 100_000_000});
    api.done("STREAM.UPDATE.S", &body);
    let told = heard(&mut ear);
    assert_eq!((&told["stream_seq"], &told["consumer_seq"]), (&json!(4), &json!(4)), "{told}");
}
