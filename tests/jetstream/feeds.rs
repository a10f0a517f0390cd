//! Mirrors and sources beyond streams of the same account: another API, consumers made beforehand,
//! counters.

use std::time::Instant;

use serde_json::{json, Value};

use crate::api::Api;
use crate::common::{config, Broker, Raw, PATIENCE};

/// Waits until a stream has that many messages.
fn await_messages(api: &mut Api, stream: &str, count: u64) {
    let limit = Instant::now() + PATIENCE;
    loop {
        let state = api.state(stream);
        if state["messages"] == count {
            return;
        }
        assert!(Instant::now() < limit, "{stream}: {state}, not {count} messages");
    }
}

fn origin(api: &mut Api, count: u64) {
    api.done("STREAM.CREATE.O", &json!({"name": "O", "subjects": ["o.>"]}));
    for number in 0..count {
        api.put(&format!("o.{number}"), "", format!("m{number}").as_bytes());
    }
}

fn source_header(api: &mut Api, stream: &str, seq: u64) -> String {
    let verb = format!("STREAM.MSG.GET.{stream}");
    let answer = api.done(&verb, &json!({"seq": seq}));
    let block = answer["message"]["hdrs"].as_str().expect("headers");
    let block = String::from_utf8(data_encoding::BASE64.decode(block.as_bytes()).unwrap()).unwrap();
    let line = block.lines().find_map(|line| line.strip_prefix("Nats-Stream-Source: "));
    line.unwrap_or_else(|| panic!("no source in {block}")).to_owned()
}

fn flow_consumer() -> Value {
    json!({"stream_name": "O", "config": {
        "durable_name": "pre", "ack_policy": "flow_control", "deliver_subject": "pre.d",
        "flow_control": true, "idle_heartbeat": 1_000_000_000,
    }})
}

#[test]
fn a_source_takes_what_a_consumer_made_beforehand_delivers() {
    let store = tempfile::tempdir().unwrap();
    let path = store.path().to_str().unwrap().to_owned();
    let mut broker = Broker::start(&["-js", "-sd", &path]);
    let mut api = Api::open(&broker);
    origin(&mut api, 5);
    api.done("CONSUMER.CREATE.O.pre", &flow_consumer());
    let source = json!({"name": "O", "consumer": {"name": "pre", "deliver_subject": "pre.d"}});
    api.done("STREAM.CREATE.P", &json!({"name": "P", "sources": [source]}));
    await_messages(&mut api, "P", 5);
    let header = source_header(&mut api, "P", 1);
    assert!(header.starts_with("O:C=hKKyczxZ 1 > > o.0 "), "{header}");
    // Acknowledged with an answer to flow control, which comes with a heartbeat at the latest.
    let limit = Instant::now() + PATIENCE;
    while api.done("CONSUMER.INFO.O.pre", &Value::Null)["ack_floor"]["stream_seq"] != 5 {
        assert!(Instant::now() < limit, "never acknowledged");
    }
    drop(api);
    broker.signal("KILL");
    broker.wait_exit(PATIENCE);
    let broker = Broker::start(&["-js", "-sd", &path]);
    let mut api = Api::open(&broker);
    api.put("o.5", "", b"m5");
    await_messages(&mut api, "P", 6);
    let info = api.done("STREAM.INFO.P", &Value::Null);
    assert_eq!(info["sources"][0]["seq"], 6, "{info}");
    assert_eq!(info["sources"][0]["lag"], 0, "{info}");
}

#[test]
fn a_consumer_of_another_kind_is_refused() {
    let store = tempfile::tempdir().unwrap();
    let broker = Broker::start(&["-js", "-sd", store.path().to_str().unwrap()]);
    let mut api = Api::open(&broker);
    origin(&mut api, 1);
    let wrong =
        json!({"durable_name": "pre", "ack_policy": "explicit", "deliver_subject": "pre.d"});
    api.done("CONSUMER.CREATE.O.pre", &json!({"stream_name": "O", "config": wrong}));
    let source = json!({"name": "O", "consumer": {"name": "pre", "deliver_subject": "pre.d"}});
    api.done("STREAM.CREATE.W", &json!({"name": "W", "sources": [source]}));
    let mirror = json!({"name": "W2", "mirror": source});
    api.done("STREAM.CREATE.W2", &mirror);
    for (stream, key, code) in [("W", "/sources/0/error", 10217), ("W2", "/mirror/error", 10214)] {
        let limit = Instant::now() + PATIENCE;
        loop {
            let info = api.done(&format!("STREAM.INFO.{stream}"), &Value::Null);
            if let Some(error) = info.pointer(key) {
                assert_eq!(error["err_code"], code, "{info}");
                break;
            }
            assert!(Instant::now() < limit, "no error in {info}");
        }
    }
}

/// Goal: what is asked of another API, and what comes of it. Method: the test stands between the two
/// and hands on requests under the other name.
#[test]
fn a_stream_behind_another_api_is_mirrored_and_sourced() {
    let store = tempfile::tempdir().unwrap();
    let broker = Broker::start(&["-js", "-sd", store.path().to_str().unwrap()]);
    let mut api = Api::open(&broker);
    origin(&mut api, 3);
    let mut relay = Raw::open_headers(&broker);
    relay.send("SUB far.API.> 9\r\n");
    relay.fence();
    let external = json!({"api": "far.API", "deliver": "far.d"});
    let source = json!({"name": "O", "external": external, "filter_subject": "o.*"});
    api.done("STREAM.CREATE.S", &json!({"name": "S", "sources": [source]}));
    let mut hand_on = || {
        let request = relay.message();
        let subject = request.subject.replacen("far", "$JS", 1);
        let reply = request.reply.unwrap();
        let head = request.headers.unwrap();
        let (size, total) = (head.len(), head.len() + request.payload.len());
        relay.send(format!("HPUB {subject} {reply} {size} {total}\r\n"));
        relay.send([&head[..], &request.payload, b"\r\n"].concat());
        (subject, head, serde_json::from_slice::<Value>(&request.payload).unwrap())
    };
    let (subject, head, body) = hand_on();
    assert!(subject.starts_with("$JS.API.CONSUMER.CREATE.O.JS_SRC_"), "{subject}");
    assert!(subject.ends_with(".o.*"), "{subject}");
    let expected = "NATS/1.0\r\nNats-Required-Api-Level: 5\r\nNats-Stream-Identity: \r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&head), expected);
    let deliver = body["config"]["deliver_subject"].as_str().unwrap();
    assert!(deliver.starts_with("far.d.S."), "{deliver}");
    await_messages(&mut api, "S", 3);
    let header = source_header(&mut api, "S", 2);
    assert!(header.starts_with("O:") && header.contains(" 2 o.* > o.1 "), "{header}");

    api.done("STREAM.MSG.DELETE.O", &json!({"seq": 1}));
    let mirror = json!({"name": "O", "external": {"api": "far.API"}});
    api.done("STREAM.CREATE.M", &json!({"name": "M", "mirror": mirror}));
    let (subject, _, body) = hand_on();
    assert_eq!(subject, "$JS.API.CONSUMER.CREATE.O");
    assert!(body["config"]["deliver_subject"].as_str().unwrap().starts_with("$JS.M."), "{body}");
    await_messages(&mut api, "M", 2);
    api.put("o.9", "", b"m9");
    await_messages(&mut api, "M", 3);
    await_messages(&mut api, "S", 4);
    let state = api.state("M");
    assert_eq!((&state["first_seq"], &state["last_seq"]), (&json!(2), &json!(4)), "{state}");
    let (ours, theirs) = (api.messages("M"), api.messages("O"));
    assert_eq!(ours, theirs, "sequences and times stay");
    // Nobody counts what a stream reads for another one.
    assert_eq!(api.state("O")["consumer_count"], 0);
}

#[test]
fn the_domain_of_the_server_is_no_other_api() {
    let store = tempfile::tempdir().unwrap();
    let broker = config(&format!(
        "listen: \"127.0.0.1:-1\"\njetstream {{ store_dir: {:?}, domain: hub }}",
        store.path()
    ));
    let mut api = Api::open(&broker);
    origin(&mut api, 4);
    let external = json!({"api": "$JS.hub.API", "deliver": ""});
    let source = json!({"name": "O", "external": external});
    api.done("STREAM.CREATE.L", &json!({"name": "L", "sources": [source]}));
    api.done("STREAM.CREATE.M", &json!({"name": "M", "mirror": source}));
    await_messages(&mut api, "L", 4);
    await_messages(&mut api, "M", 4);
    let header = source_header(&mut api, "L", 4);
    assert!(header.starts_with("O:") && header.contains(" 4 > > o.3 "), "{header}");
}

#[test]
fn counters_add_up_over_sources() {
    let store = tempfile::tempdir().unwrap();
    let broker = Broker::start(&["-js", "-sd", store.path().to_str().unwrap()]);
    let mut api = Api::open(&broker);
    for name in ["A", "B"] {
        let subjects = [format!("{name}.>")];
        let body = json!({"name": name, "subjects": subjects, "allow_msg_counter": true});
        api.done(&format!("STREAM.CREATE.{name}"), &body);
    }
    let source = |name: &str| {
        let src = format!("{name}.>");
        json!({"name": name, "subject_transforms": [{"src": src, "dest": "t.>"}]})
    };
    let sources = [source("A"), source("B")];
    let body = json!({"name": "T", "allow_msg_counter": true, "sources": sources});
    api.done("STREAM.CREATE.T", &body);
    let steps = [
        ("A.x", "+5", r#"Nats-Incr: 5|{"A":{"A.x":"5"}}|{"val":"5"}"#),
        ("B.x", "3", r#"Nats-Incr: 3|{"A":{"A.x":"5"},"B":{"B.x":"3"}}|{"val":"8"}"#),
        ("A.x", "-2", r#"Nats-Incr: -2|{"A":{"A.x":"3"},"B":{"B.x":"3"}}|{"val":"6"}"#),
        ("A.y", "1", r#"Nats-Incr: 1|{"A":{"A.y":"1"}}|{"val":"1"}"#),
    ];
    for (seq, (subject, step, expected)) in (1u64..).zip(steps) {
        api.put(subject, &format!("Nats-Incr: {step}"), b"");
        await_messages(&mut api, "T", seq);
        let answer = api.done("STREAM.MSG.GET.T", &json!({"seq": seq}));
        let decode = |key: &str| {
            let text = answer["message"][key].as_str().unwrap().as_bytes();
            String::from_utf8(data_encoding::BASE64.decode(text).unwrap()).unwrap()
        };
        let block = decode("hdrs");
        let lines: Vec<&str> = block.lines().collect();
        let sources = lines[3].strip_prefix("Nats-Counter-Sources: ").unwrap();
        assert_eq!(format!("{}|{sources}|{}", lines[1], decode("data")), expected);
        assert!(lines[2].starts_with("Nats-Stream-Source: "), "{block}");
    }
}

#[test]
fn rollups_are_followed_where_they_are_allowed() {
    let store = tempfile::tempdir().unwrap();
    let broker = Broker::start(&["-js", "-sd", store.path().to_str().unwrap()]);
    let mut api = Api::open(&broker);
    let origin = json!({"name": "O", "subjects": ["o.>"], "allow_rollup_hdrs": true});
    api.done("STREAM.CREATE.O", &origin);
    let source = json!({"name": "O"});
    for (name, key, allows) in [("M1", "mirror", true), ("M2", "mirror", false)] {
        let body = json!({"name": name, key: source, "allow_rollup_hdrs": allows});
        let made = api.done(&format!("STREAM.CREATE.{name}"), &body);
        assert_eq!(made["config"]["mirror_direct"], false);
    }
    let body = json!({"name": "S", "sources": [source], "allow_rollup_hdrs": true});
    api.done("STREAM.CREATE.S", &body);
    for subject in ["o.a", "o.b", "o.a", "o.b"] {
        api.put(subject, "", b"x");
    }
    api.put("o.a", "Nats-Rollup: sub", b"");
    await_messages(&mut api, "M2", 5);
    for stream in ["O", "M1", "S"] {
        await_messages(&mut api, stream, 3);
    }
    api.put("o.c", "Nats-Rollup: all", b"");
    await_messages(&mut api, "M2", 6);
    for stream in ["O", "M1", "S"] {
        await_messages(&mut api, stream, 1);
        assert_eq!(api.state(stream)["first_seq"], 6, "{stream}");
    }
}

/// Goal: what another stream has read from a work queue is gone there, and nothing comes twice.
/// Method: the test stands between the two.
#[test]
fn what_was_read_from_a_work_queue_is_gone_there() {
    let store = tempfile::tempdir().unwrap();
    let broker = Broker::start(&["-js", "-sd", store.path().to_str().unwrap()]);
    let mut api = Api::open(&broker);
    let queue = json!({"name": "O", "subjects": ["o.>"], "retention": "workqueue"});
    api.done("STREAM.CREATE.O", &queue);
    for number in 0..5 {
        api.put(&format!("o.{number}"), "", b"x");
    }
    let mut relay = Raw::open_headers(&broker);
    relay.send("SUB far.API.> 9\r\n");
    relay.fence();
    let source = json!({"name": "O", "external": {"api": "far.API"}});
    api.done("STREAM.CREATE.S", &json!({"name": "S", "sources": [source]}));
    let request = relay.message();
    let (head, reply) = (request.headers.unwrap(), request.reply.unwrap());
    let subject = request.subject.replacen("far", "$JS", 1);
    let (size, total) = (head.len(), head.len() + request.payload.len());
    relay.send(format!("HPUB {subject} {reply} {size} {total}\r\n"));
    relay.send([&head[..], &request.payload, b"\r\n"].concat());
    await_messages(&mut api, "S", 5);
    await_messages(&mut api, "O", 0);
    let names = api.done("CONSUMER.NAMES.O", &Value::Null);
    let name = names["consumers"][0].as_str().unwrap();
    assert!(name.starts_with("JS_SRC_") && !name.contains('-'), "{names}");
    let info = api.done(&format!("CONSUMER.INFO.O.{name}"), &Value::Null);
    assert_eq!(info["config"]["ack_policy"], "flow_control", "{info}");
    assert_eq!(info["config"]["durable_name"], name, "{info}");
    assert_eq!(info["ack_floor"]["stream_seq"], 5, "{info}");
}

#[test]
fn a_stream_of_another_account_is_a_source() {
    let store = tempfile::tempdir().unwrap();
    let broker = config(&format!(
        "listen: \"127.0.0.1:-1\"\njetstream {{ store_dir: {:?} }}\nno_auth_user: a\naccounts {{
          A {{ jetstream: enabled, users: [{{user: a, password: a}}]
            exports: [{{service: \"$JS.API.>\", response: stream}}, {{stream: \"d.>\"}},
              {{service: \"$JS.FC.>\"}}] }}
          B {{ jetstream: enabled, users: [{{user: b, password: b}}]
            imports: [{{service: {{account: A, subject: \"$JS.API.>\"}}, to: \"JA.API.>\"}},
              {{stream: {{account: A, subject: \"d.>\"}}}},
              {{service: {{account: A, subject: \"$JS.FC.>\"}}}}] }} }}",
        store.path()
    ));
    let mut api = Api::open(&broker);
    origin(&mut api, 5);
    let options = r#"{"verbose":false,"headers":true,"user":"b","pass":"b"}"#;
    let mut other = Api::open_with(&broker, options);
    let external = json!({"api": "JA.API", "deliver": "d.b"});
    let source = json!({"name": "O", "external": external});
    other.done("STREAM.CREATE.S", &json!({"name": "S", "sources": [source]}));
    await_messages(&mut other, "S", 5);
    api.put("o.9", "", b"m9");
    await_messages(&mut other, "S", 6);
    let header = source_header(&mut other, "S", 6);
    assert!(header.starts_with("O:g50cAuKj 6 > > o.9 "), "{header}");
}
