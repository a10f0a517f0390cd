//! Streams as `STREAM.INFO`, `STREAM.NAMES` and the account's figures show them.

use std::time::Instant;

use serde_json::{json, Value};

use crate::api::Api;
use crate::common::{config, Broker, PATIENCE};

#[test]
fn a_page_behind_the_last_entry_is_told_as_asked_for() {
    let store = tempfile::tempdir().unwrap();
    let broker = Broker::start(&["-js", "-sd", store.path().to_str().unwrap()]);
    let mut api = Api::open(&broker);
    api.done("STREAM.CREATE.S", &json!({"name": "S", "subjects": ["s.>"]}));
    api.put("s.1", "", b"x");
    let names = api.done("STREAM.NAMES", &json!({"offset": 1}));
    assert_eq!((&names["streams"], &names["offset"]), (&Value::Null, &json!(1)));
    assert!(names.as_object().unwrap().contains_key("streams"));
    let info = api.done("STREAM.INFO.S", &json!({"subjects_filter": ">", "offset": 7}));
    assert_eq!((&info["total"], &info["offset"]), (&json!(1), &json!(7)));
    assert_eq!(info["state"].get("subjects"), None);
}

#[test]
fn an_update_without_a_name_is_refused_for_that() {
    let store = tempfile::tempdir().unwrap();
    let broker = Broker::start(&["-js", "-sd", store.path().to_str().unwrap()]);
    let mut api = Api::open(&broker);
    api.done("STREAM.CREATE.S", &json!({"name": "S"}));
    let text = "stream name is required and can not contain '.', '*', '>', '\\', '/'";
    assert_eq!(api.refused("STREAM.UPDATE.S", &json!({})), (10052, text.to_owned()));
    assert_eq!(api.refused("STREAM.UPDATE.S", &json!({"name": "T"})).0, 10056);
    assert_eq!(api.refused("STREAM.CREATE.S", &json!({})).0, 10056);
}

#[test]
fn messages_that_are_read_are_no_calls_of_the_api() {
    let store = tempfile::tempdir().unwrap();
    let broker = Broker::start(&["-js", "-sd", store.path().to_str().unwrap()]);
    let mut api = Api::open(&broker);
    api.done("STREAM.CREATE.S", &json!({"name": "S"}));
    api.put("S", "", b"x");
    let before = api.done("INFO", &Value::Null)["api"]["total"].as_u64().unwrap();
    api.done("STREAM.MSG.GET.S", &json!({"seq": 1}));
    api.refused("STREAM.MSG.GET.S", &json!({"seq": 2}));
    let after = api.done("INFO", &Value::Null)["api"].clone();
    assert_eq!(after["total"], before + 2);
    assert_eq!(after["errors"], 1);
}

#[test]
fn a_stream_without_a_size_needs_a_byte_that_nobody_has_reserved() {
    let store = tempfile::tempdir().unwrap();
    let broker = config(&format!(
        "jetstream {{ store_dir: {:?} }}\nno_auth_user: u\n\
         accounts {{ A {{ jetstream {{ max_mem: 2000, max_file: 2000 }}, users [ {{ user: u, password: p }} ] }} }}",
        store.path()
    ));
    let mut api = Api::open(&broker);
    for (storage, code) in [("file", 10047), ("memory", 10028)] {
        let full = json!({"name": "A", "subjects": ["a"], "storage": storage, "max_bytes": 2000});
        let none = json!({"name": "B", "subjects": ["b"], "storage": storage});
        api.done("STREAM.CREATE.B", &none);
        api.done("STREAM.CREATE.A", &full);
        api.done("STREAM.UPDATE.B", &json!({"name": "B", "subjects": ["c"], "storage": storage}));
        api.done("STREAM.DELETE.B", &Value::Null);
        assert_eq!(api.refused("STREAM.CREATE.B", &none).0, code);
        api.done("STREAM.DELETE.A", &Value::Null);
    }
}

#[test]
fn a_counter_goes_on_from_what_its_sources_said_last() {
    let store = tempfile::tempdir().unwrap();
    let broker = Broker::start(&["-js", "-sd", store.path().to_str().unwrap()]);
    let mut api = Api::open(&broker);
    let origin = json!({"name": "C", "subjects": ["c.>"], "allow_msg_counter": true});
    api.done("STREAM.CREATE.C", &origin);
    let source = json!({"name": "C", "subject_transforms": [{"src": "c.>", "dest": "s.>"}]});
    api.done(
        "STREAM.CREATE.S",
        &json!({"name": "S", "subjects": ["s.>"], "sources": [source],
            "allow_msg_counter": true, "allow_atomic": true}),
    );
    for (subject, headers, value) in [
        ("c.a", "Nats-Incr: 5", "5"),
        ("s.a", "Nats-Incr: 7", "12"),
        ("c.a", "Nats-Incr: 3", "15"),
        (
            "s.a",
            "Nats-Incr: 1\r\nNats-Batch-Id: b\r\nNats-Batch-Sequence: 1\r\nNats-Batch-Commit: 1",
            "16",
        ),
        ("c.a", "Nats-Incr: -4", "12"),
    ] {
        api.put(subject, headers, b"");
        let body = format!("{{\"val\":\"{value}\"}}");
        let limit = Instant::now() + PATIENCE;
        loop {
            let got = api.ask("STREAM.MSG.GET.S", &json!({"last_by_subj": "s.a"}));
            let data = got["message"]["data"].as_str().unwrap_or_default().as_bytes();
            if data_encoding::BASE64.decode(data).unwrap() == body.as_bytes() {
                break;
            }
            assert!(Instant::now() < limit, "{subject} {headers}: {got}, not {body}");
        }
    }
}
