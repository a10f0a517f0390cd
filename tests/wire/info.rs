//! Goal: INFO has the keys, types and order that clients know, at the moments
//! they know. Method: the raw line for the order, its JSON for the rest.

use serde_json::Value;

use crate::common::{Broker, Raw};

/// All keys of nats-server that a client may see, in their order on the wire.
const ORDER: [&str; 26] = [
    "server_id",
    "server_name",
    "version",
    "proto",
    "git_commit",
    "go",
    "host",
    "port",
    "headers",
    "auth_required",
    "tls_required",
    "tls_verify",
    "tls_available",
    "max_payload",
    "jetstream",
    "client_id",
    "client_ip",
    "nonce",
    "cluster",
    "connect_urls",
    "ldm",
    "connect_info",
    "remote_account",
    "acc_is_sys",
    "api_lvl",
    "xkey",
];

fn assert_ordered(line: &str) {
    let json: Value = serde_json::from_str(line.strip_prefix("INFO ").unwrap()).unwrap();
    let place = |key: &str| line.find(&format!("\"{key}\":")).unwrap();
    let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_by_key(|key| place(key));
    // Keys of the broker's own may follow.
    let known: Vec<&str> = ORDER.into_iter().filter(|key| keys.contains(key)).collect();
    assert_eq!(keys[..known.len()], known);
}

fn assert_key(value: &Value, first: char) {
    let key = value.as_str().unwrap();
    assert_eq!(key.len(), 56, "{key}");
    assert!(key.starts_with(first), "{key}");
    assert!(key.chars().all(|c| c.is_ascii_uppercase() || ('2'..='7').contains(&c)), "{key}");
}

#[test]
fn info_is_one_line_of_json_with_a_blank_before_its_end() {
    let broker = Broker::start(&[]);
    let raw = Raw::connect(&broker);
    assert!(raw.info_line().starts_with("INFO {\"server_id\":\"N"));
    assert!(raw.info_line().ends_with("} "), "{:?}", raw.info_line());
    assert_ordered(raw.info_line());
}

#[test]
fn info_has_the_keys_that_clients_need() {
    let broker = Broker::start(&[]);
    let raw = Raw::connect(&broker);
    let info = raw.info();
    assert_key(&info["server_id"], 'N');
    assert_key(&info["xkey"], 'X');
    assert_eq!(info["server_name"], info["server_id"]);
    assert!(info["version"].as_str().unwrap().starts_with("2.15."), "{}", info["version"]);
    assert!(info["go"].is_string());
    assert_eq!(info["proto"], 1);
    assert_eq!(info["host"], "127.0.0.1");
    assert_eq!(info["port"], broker.port());
    assert_eq!(info["headers"], true);
    assert_eq!(info["max_payload"], 1_048_576);
    assert_eq!(info["client_ip"], "127.0.0.1");
    assert!(info["client_id"].as_u64().unwrap() > 0);
    assert!(info["api_lvl"].as_u64().is_some());
    for absent in [
        "auth_required",
        "tls_required",
        "tls_verify",
        "tls_available",
        "jetstream",
        "ip",
        "nonce",
        "cluster",
        "connect_urls",
        "ws_connect_urls",
        "ldm",
        "connect_info",
        "remote_account",
        "acc_is_sys",
        "domain",
        "compression",
    ] {
        assert!(info.get(absent).is_none(), "{absent} is in {info}");
    }
}

#[test]
fn client_ids_are_unique_and_server_ids_are_new_at_each_start() {
    let broker = Broker::start(&[]);
    let infos: Vec<Value> = (0..20).map(|_| Raw::connect(&broker).info()).collect();
    let mut ids: Vec<u64> = infos.iter().map(|info| info["client_id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    assert!(infos.iter().all(|info| info["server_id"] == infos[0]["server_id"]));
    let next = Broker::start(&[]);
    assert_ne!(Raw::connect(&next).info()["server_id"], infos[0]["server_id"]);
}

#[test]
fn the_server_name_can_be_set() {
    for flag in ["--server_name", "-n", "--name", "-server_name"] {
        let broker = Broker::start(&[flag, "some-name"]);
        assert_eq!(Raw::connect(&broker).info()["server_name"], "some-name");
    }
}

#[test]
fn the_host_is_given_as_it_was_configured() {
    let broker = Broker::start_with(&["-p", "-1"]);
    assert_eq!(broker.host(), "0.0.0.0");
    let info = Raw::connect(&broker).info();
    assert_eq!(info["host"], "0.0.0.0");
    assert_eq!(info["port"], broker.port());
}

#[test]
fn a_second_info_follows_the_first_pong_of_a_protocol_1_client() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    let first = raw.info();
    raw.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    raw.expect_exact("PONG\r\n");
    let line = raw.line();
    assert!(line.ends_with("} "), "{line:?}");
    assert_ordered(&line);
    let mut second: Value = serde_json::from_str(line.strip_prefix("INFO ").unwrap()).unwrap();
    assert_eq!(second["connect_info"], true);
    assert_eq!(second["remote_account"], "$G");
    assert!(second.get("acc_is_sys").is_none());
    // Apart from these keys it repeats the first.
    for key in ["connect_info", "remote_account"] {
        second.as_object_mut().unwrap().remove(key);
    }
    assert_eq!(first, second);
    // Once only.
    raw.fence();
    raw.fence();
}

#[test]
fn a_protocol_0_client_gets_no_second_info() {
    let broker = Broker::start(&[]);
    for options in ["{\"verbose\":false}", "{\"verbose\":false,\"protocol\":0}"] {
        let mut raw = Raw::connect(&broker);
        raw.send(format!("CONNECT {options}\r\n"));
        raw.fence();
        raw.fence();
    }
}

#[test]
fn a_ping_before_connect_does_not_use_up_the_second_info() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.fence();
    raw.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    raw.expect_exact("PONG\r\n");
    assert_eq!(raw.expect_info()["connect_info"], true);
}
