//! Goal: CONNECT takes each key with its default, refuses what it must, and can
//! be repeated. Method: one connection for each case.

use crate::common::{Broker, Raw};

#[test]
fn connect_is_optional_and_its_defaults_then_apply() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    // Verbose, pedantic and echoing, without headers.
    raw.send("SUB a 1\r\n");
    raw.expect_exact("+OK\r\n");
    raw.send("PUB a 2\r\nhi\r\n");
    raw.expect_exact("+OK\r\nMSG a 1 2\r\nhi\r\n");
    raw.send("PUB a.* 0\r\n\r\nPING\r\n");
    raw.expect_exact("-ERR 'Invalid Publish Subject'\r\n+OK\r\nPONG\r\n");
    raw.send("HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n");
    raw.expect_eof();
}

#[test]
fn missing_keys_keep_their_defaults() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {}\r\nSUB a 1\r\nPUB a 0\r\n\r\nPUB a.* 0\r\n\r\nPING\r\n");
    raw.expect_exact(
        "+OK\r\n+OK\r\n+OK\r\nMSG a 1 0\r\n\r\n-ERR 'Invalid Publish Subject'\r\n+OK\r\nPONG\r\n",
    );
    raw.fence();
}

#[test]
fn unknown_keys_are_ignored() {
    let broker = Broker::start(&[]);
    let options = r#"{"verbose":false,"no_echo":true,"tls_verify":1,"stamp":{"a":[1,null]},
        "lang":"x","version":"1","name":"n\u00e9\"","tls_required":true,"user":"u","pass":"p",
        "auth_token":"t","nkey":"","sig":"","jwt":""}"#
        .replace('\n', "");
    let mut raw = Raw::open_with(&broker, &options);
    raw.send("SUB a 1\r\nPUB a 0\r\n\r\n");
    raw.expect_exact("MSG a 1 0\r\n\r\n");
}

#[test]
fn keys_are_matched_without_regard_to_case() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"Verbose\":false,\"ECHO\":false}\r\nSUB a 1\r\nPUB a 0\r\n\r\n");
    raw.fence();
}

#[test]
fn null_keeps_a_default() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"verbose\":null,\"echo\":null,\"name\":null}\r\nSUB a 1\r\n");
    raw.expect_exact("+OK\r\n+OK\r\n");
}

#[test]
fn bad_json_closes_in_silence() {
    let broker = Broker::start(&[]);
    for options in [
        "{",
        "",
        "x",
        "{\"verbose\":}",
        "{\"verbose\":false",
        "{\"verbose\":false}}",
        "{verbose:false}",
        "{'verbose':false}",
        "[]",
        "1",
        "\"x\"",
        "{\"verbose\":\"yes\"}",
        "{\"verbose\":1}",
        "{\"protocol\":\"1\"}",
        "{\"protocol\":1.5}",
        "{\"name\":1}",
        "{} {}",
    ] {
        let mut raw = Raw::connect(&broker);
        raw.send(format!("CONNECT {options}\r\n"));
        raw.expect_eof();
    }
}

#[test]
fn json_null_is_an_empty_connect() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT null\r\n");
    raw.expect_exact("+OK\r\n");
}

#[test]
fn a_protocol_above_1_is_refused() {
    let broker = Broker::start(&[]);
    for protocol in ["2", "-1", "100"] {
        let mut raw = Raw::connect(&broker);
        raw.send(format!("CONNECT {{\"verbose\":false,\"protocol\":{protocol}}}\r\n"));
        raw.expect_fatal("invalid client protocol");
    }
}

#[test]
fn no_responders_needs_headers() {
    let broker = Broker::start(&[]);
    for options in [
        "{\"verbose\":false,\"no_responders\":true}",
        "{\"verbose\":false,\"no_responders\":true,\"headers\":false}",
    ] {
        let mut raw = Raw::connect(&broker);
        raw.send(format!("CONNECT {options}\r\n"));
        raw.expect_fatal("no responders requires headers support");
    }
}

#[test]
fn legacy_account_keys_are_refused() {
    let broker = Broker::start(&[]);
    for options in [
        "{\"verbose\":false,\"account\":\"A\"}",
        "{\"verbose\":false,\"account\":\"A\",\"new_account\":true}",
    ] {
        let mut raw = Raw::connect(&broker);
        raw.send(format!("CONNECT {options}\r\n"));
        raw.expect_fatal("Authorization Violation");
    }
}

#[test]
fn a_second_connect_drops_all_subscriptions() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a 1\r\nSUB a q 2\r\nSUB > 3\r\nPUB a 0\r\n\r\n");
    assert_eq!(raw.drain().len(), 3);
    raw.send("CONNECT {\"verbose\":false}\r\nPUB a 0\r\n\r\n");
    raw.fence();
    raw.send("SUB a 1\r\nPUB a 0\r\n\r\n");
    raw.expect_exact("MSG a 1 0\r\n\r\n");
    raw.fence();
}

#[test]
fn a_second_connect_changes_the_options() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("CONNECT {\"verbose\":true,\"echo\":false,\"headers\":true}\r\n");
    raw.expect_exact("+OK\r\n");
    raw.send("SUB a 1\r\nPUB a 0\r\n\r\nHPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\nPING\r\n");
    raw.expect_exact("+OK\r\n+OK\r\n+OK\r\nPONG\r\n");
    // What the last CONNECT does not name stays as it was.
    raw.send("CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPUB a 0\r\n\r\n");
    raw.fence();
}

#[test]
fn subscriptions_of_other_connections_outlive_a_second_connect() {
    let broker = Broker::start(&[]);
    let mut one = Raw::open(&broker);
    let mut two = Raw::open(&broker);
    one.send("SUB a 1\r\n");
    two.send("SUB a 1\r\n");
    one.fence();
    two.send("CONNECT {\"verbose\":false}\r\nPUB a 0\r\n\r\n");
    two.fence();
    one.expect_exact("MSG a 1 0\r\n\r\n");
}
