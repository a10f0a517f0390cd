//! Streams taken out as archives, and put back.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{json, Value};

use crate::api::Api;
use crate::common::{Broker, Random};

/// An archive that nats-server 2.15.1 wrote: ten messages less two, four consumers.
const FOREIGN: &[u8] = include_bytes!("nats-server-2.15.1.archive");

fn start(store: &tempfile::TempDir) -> Broker {
    Broker::start(&["-js", "-sd", store.path().to_str().unwrap()])
}

/// A stream with headers, gaps and consumers, of which one has come half way.
fn fill(api: &mut Api) {
    api.done("STREAM.CREATE.S", &json!({"name": "S", "subjects": ["s.>"], "allow_direct": true}));
    let mut random = Random::new(3);
    for number in 0..60u64 {
        let headers =
            if number % 2 == 0 { String::new() } else { format!("Nats-Msg-Id: {number}") };
        let payload = match number % 3 {
            0 => random.bytes(random_len(number)),
            1 => vec![b'x'; random_len(number)],
            _ => Vec::new(),
        };
        let ack = api.put(&format!("s.{}", number % 7), &headers, &payload);
        assert_eq!(ack["seq"], number + 1, "{ack}");
    }
    for seq in [1, 5, 6, 60] {
        api.done("STREAM.MSG.DELETE.S", &json!({"seq": seq}));
    }
    let durable = json!({"durable_name": "d", "ack_policy": "explicit", "max_deliver": 5});
    api.done("CONSUMER.CREATE.S.d", &json!({"stream_name": "S", "config": durable}));
    let filtered = json!({"durable_name": "f", "ack_policy": "none", "filter_subject": "s.3"});
    api.done("CONSUMER.CREATE.S.f.s.3", &json!({"stream_name": "S", "config": filtered}));
    api.raw.send("SUB got 2\r\nPUB $JS.API.CONSUMER.MSG.NEXT.S.d got 4\r\n1000\r\n");
    let acks: Vec<String> = (0..56).map(|_| api.raw.message().reply.unwrap()).collect();
    for ack in &acks[..3] {
        assert!(api.request(ack, "", b"+ACK").payload.is_empty());
    }
    assert!(api.request(&acks[7], "", b"+ACK").payload.is_empty());
    api.raw.send("UNSUB 2\r\n");
    api.raw.fence();
}

fn random_len(number: u64) -> usize {
    (number as usize * 37) % 3000
}

/// Takes a stream out: the answer to the request, and the archive.
fn take_out(api: &mut Api, stream: &str, chunk: u64) -> (Value, Vec<u8>) {
    api.raw.send("SUB chunks 3\r\n");
    let body = json!({"deliver_subject": "chunks", "chunk_size": chunk, "window_size": 4 * chunk});
    let answer = api.done(&format!("STREAM.SNAPSHOT.{stream}"), &body);
    let mut archive = Vec::new();
    let mut whole = 0u64;
    loop {
        let message = api.raw.message();
        assert_eq!(message.subject, "chunks");
        if message.payload.is_empty() {
            let end = message.headers.unwrap_or_default();
            let expected: &[u8] = if whole > 0 { b"NATS/1.0 204\r\n\r\n" } else { b"" };
            assert_eq!(end, expected, "{}", String::from_utf8_lossy(&end));
            break;
        }
        archive.extend_from_slice(&message.payload);
        if let Some(reply) = message.reply {
            whole += 1;
            assert_eq!(message.payload.len() as u64, chunk);
            let end = format!(".{chunk}.{whole}");
            assert!(reply.starts_with("$JS.SNAPSHOT.ACK.S.") && reply.ends_with(&end), "{reply}");
            api.raw.send(format!("PUB {reply} 0\r\n\r\n"));
        }
    }
    api.raw.send("UNSUB 3\r\n");
    api.raw.fence();
    (answer, archive)
}

/// Puts a stream back; the answer to the last chunk.
fn put_back(api: &mut Api, taken: &Value, archive: &[u8], chunk: usize) -> Value {
    let name = taken["config"]["name"].as_str().unwrap();
    let body = json!({"config": taken["config"], "state": taken["state"]});
    let answer = api.done(&format!("STREAM.RESTORE.{name}"), &body);
    let to = answer["deliver_subject"].as_str().unwrap().to_owned();
    assert!(to.starts_with(&format!("$JS.SNAPSHOT.RESTORE.{name}.")), "{to}");
    for chunk in archive.chunks(chunk) {
        let answer = api.request(&to, "", chunk);
        assert!(answer.payload.is_empty() && answer.headers.is_none(), "{answer:?}");
    }
    serde_json::from_slice(&api.request(&to, "", b"").payload).unwrap()
}

/// What a stream is, without times that differ from one to the next.
fn picture(api: &mut Api, stream: &str) -> Value {
    let mut consumers = api.done(&format!("CONSUMER.LIST.{stream}"), &Value::Null);
    let consumers = consumers["consumers"].as_array_mut().unwrap();
    for consumer in consumers.iter_mut() {
        let consumer = consumer.as_object_mut().unwrap();
        // Requests that wait do not come back with their consumer.
        for key in ["created", "ts", "cluster", "num_waiting"] {
            consumer.remove(key);
        }
        for key in ["delivered", "ack_floor"] {
            consumer[key].as_object_mut().unwrap().remove("last_active");
        }
    }
    let consumers = std::mem::take(consumers);
    let mut state = api.state(stream);
    // nats-server forgets when the last message was stored if that one is gone.
    state.as_object_mut().unwrap().remove("last_ts");
    json!({"state": state, "consumers": consumers, "messages": api.messages(stream)})
}

#[test]
fn a_stream_comes_back_as_it_was_taken_out() {
    let store = tempfile::tempdir().unwrap();
    let mut broker = start(&store);
    let mut api = Api::open(&broker);
    fill(&mut api);
    let before = picture(&mut api, "S");
    for (chunk, put) in [(1024, 333), (100_000, 1 << 20)] {
        let (taken, archive) = take_out(&mut api, "S", chunk);
        assert_eq!(taken["config"]["metadata"], json!({"_nats.req.level": "0"}));
        assert_eq!(taken["state"]["num_deleted"], 3);
        api.done("STREAM.DELETE.S", &Value::Null);
        let made = put_back(&mut api, &taken, &archive, put);
        assert_eq!(made["type"], "io.nats.jetstream.api.v1.stream_create_response");
        assert_eq!(made["config"]["name"], "S");
        assert!(made.get("did_create").is_none(), "{made}");
        assert_eq!(picture(&mut api, "S"), before);
    }
    let again = api.put("s.0", "Nats-Msg-Id: 57", b"");
    assert_eq!(again, json!({"stream": "S", "seq": 58, "duplicate": true}), "ids come back too");
    drop(api);
    broker.signal("KILL");
    broker.wait_exit(crate::common::PATIENCE);
    let broker = start(&store);
    assert_eq!(picture(&mut Api::open(&broker), "S"), before, "after a kill");
}

#[test]
fn an_archive_of_nats_server_is_put_back() {
    let store = tempfile::tempdir().unwrap();
    let broker = start(&store);
    let mut api = Api::open(&broker);
    let taken = json!({"config": {"name": "S", "subjects": ["s.>"]}, "state": {"messages": 8}});
    let made = put_back(&mut api, &taken, FOREIGN, 100);
    assert_eq!(made["state"]["last_seq"], 10, "{made}");
    let state = api.state("S");
    assert_eq!((&state["messages"], &state["bytes"]), (&json!(8), &json!(376)));
    assert_eq!((&state["first_seq"], &state["consumer_count"]), (&json!(1), &json!(4)));
    let info = api.done("CONSUMER.INFO.S.d", &Value::Null);
    assert_eq!(info["delivered"]["stream_seq"], 5);
    let counts = ["num_ack_pending", "num_redelivered", "num_pending"].map(|key| &info[key]);
    assert_eq!(counts, [3, 1, 4].map(Value::from).each_ref(), "{info}");
    let message = api.done("STREAM.MSG.GET.S", &json!({"seq": 2}))["message"].take();
    assert_eq!(message["time"], "2026-11-21T18:45:19.3741933Z");
}

#[test]
fn what_is_no_archive_is_refused_and_leaves_nothing() {
    let store = tempfile::tempdir().unwrap();
    let broker = start(&store);
    let mut api = Api::open(&broker);
    let taken = json!({"config": {"name": "S", "subjects": ["s.>"]}, "state": {}});
    let mut flipped = FOREIGN.to_vec();
    flipped[500] ^= 1;
    let cut = &FOREIGN[..300];
    for (archive, text) in [
        (&b""[..], "EOF"),
        (b"garbage, and more of it", "s2: corrupt input"),
        (cut, "s2: corrupt input"),
        (&flipped, "s2: corrupt input, crc mismatch"),
        (b"\xff\x06\x00\x00S2sTwO", "EOF"),
    ] {
        let answer = put_back(&mut api, &taken, archive, 64);
        let error = &answer["error"];
        let told = error["description"].as_str().unwrap_or_default();
        assert_eq!(error["err_code"], 10062, "{answer}");
        assert!(told.starts_with("restore failed: s2: corrupt") || told.ends_with(text), "{told}");
        let names = api.done("STREAM.NAMES", &Value::Null);
        assert_eq!(names["streams"], Value::Null);
    }
    assert_eq!(put_back(&mut api, &taken, FOREIGN, 1 << 20)["state"]["messages"], 8);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let store = tempfile::tempdir().unwrap();
    let broker = start(&store);
    let mut api = Api::open(&broker);
    let code = |api: &mut Api, verb: &str, body: Value| api.refused(verb, &body).0;
    assert_eq!(code(&mut api, "STREAM.SNAPSHOT.S", Value::Null), 10003);
    assert_eq!(code(&mut api, "STREAM.SNAPSHOT.S", json!({"zzz": 1})), 10059);
    let config = json!({"name": "S", "subjects": ["s.>"]});
    api.done("STREAM.CREATE.S", &config);
    assert_eq!(code(&mut api, "STREAM.SNAPSHOT.S", json!({"zzz": 1})), 10025);
    for subject in ["", "a.*", "a b"] {
        let body = json!({"deliver_subject": subject});
        assert_eq!(code(&mut api, "STREAM.SNAPSHOT.S", body), 10015);
    }
    for (stream, body, expected) in [
        ("S", Value::Null, 10003),
        ("S", json!({"zzz": 1}), 10025),
        ("S", json!({"config": config, "state": {"zzz": 1}}), 10025),
        ("S", json!({"config": config, "state": {}}), 10130),
        ("T", json!({"config": config}), 10056),
        ("a/b", json!({"config": {"name": "a/b"}}), 10128),
        ("T", json!({"config": {"name": "T", "max_age": -1}}), 10052),
    ] {
        assert_eq!(code(&mut api, &format!("STREAM.RESTORE.{stream}"), body), expected);
    }
}

#[test]
fn a_restore_that_a_kill_cut_short_leaves_nothing() {
    let store = tempfile::tempdir().unwrap();
    let mut broker = start(&store);
    let mut api = Api::open(&broker);
    let body = json!({"config": {"name": "S", "subjects": ["s.>"]}, "state": {}});
    let answer = api.done("STREAM.RESTORE.S", &body);
    let to = answer["deliver_subject"].as_str().unwrap().to_owned();
    assert!(api.request(&to, "", FOREIGN).payload.is_empty());
    drop(api);
    broker.signal("KILL");
    broker.wait_exit(crate::common::PATIENCE);
    let broker = start(&store);
    let mut api = Api::open(&broker);
    assert_eq!(api.done("STREAM.NAMES", &Value::Null)["streams"], Value::Null);
    assert_eq!(put_back(&mut api, &body, FOREIGN, 1 << 20)["state"]["messages"], 8);
}

/// nats-server, if there is one.
fn other_server() -> Option<PathBuf> {
    let named = std::env::var_os("NATS_SERVER").map(PathBuf::from);
    let path = named.unwrap_or_else(|| PathBuf::from("nats-server"));
    let version = Command::new(&path).arg("--version").output().ok()?;
    version.status.success().then_some(path)
}

#[test]
fn archives_go_to_nats_server_and_come_back() {
    let Some(path) = other_server() else {
        eprintln!("skipped: there is no nats-server to exchange archives with");
        return;
    };
    let (store, other_store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let broker = start(&store);
    let mut api = Api::open(&broker);
    fill(&mut api);
    let before = picture(&mut api, "S");
    let (taken, archive) = take_out(&mut api, "S", 1024);
    let args = ["-a", "127.0.0.1", "-p", "-1", "-js", "-sd", other_store.path().to_str().unwrap()];
    let other = Broker::start_other(&path, &args);
    let mut other_api = Api::open(&other);
    let made = put_back(&mut other_api, &taken, &archive, 4096);
    assert!(made.get("error").is_none(), "{made}");
    assert_eq!(picture(&mut other_api, "S"), before);
    let (taken, archive) = take_out(&mut other_api, "S", 1024);
    api.done("STREAM.DELETE.S", &Value::Null);
    put_back(&mut api, &taken, &archive, 4096);
    assert_eq!(picture(&mut api, "S"), before);
}
