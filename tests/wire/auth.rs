//! Goal: with one user or one token on the command line, only who knows it gets
//! in, and everyone else hears why. Method: first ops and credentials in turn.

use std::time::{Duration, Instant};

use crate::common::{config, Broker, Raw};

const USER: [&str; 4] = ["--user", "ann", "--pass", "s3cret"];
const VIOLATION: &str = "Authorization Violation";

#[test]
fn info_says_that_credentials_are_needed() {
    for args in [&USER[..], &["--auth", "t0ken"]] {
        let broker = Broker::start(args);
        let info = Raw::connect(&broker).info();
        assert_eq!(info["auth_required"], true);
        assert!(info.get("nonce").is_none());
    }
}

#[test]
fn the_right_user_and_password_pass() {
    let broker = Broker::start(&USER);
    let mut raw = Raw::open_with(&broker, r#"{"verbose":false,"user":"ann","pass":"s3cret"}"#);
    raw.send("SUB a 1\r\nPUB a 0\r\n\r\n");
    raw.expect_exact("MSG a 1 0\r\n\r\n");
    let mut raw = Raw::connect(&broker);
    raw.send("connect {\"user\":\"ann\",\"pass\":\"s3cret\",\"protocol\":1}\r\nPING\r\n");
    raw.expect_exact("+OK\r\nPONG\r\n");
    assert_eq!(raw.expect_info()["auth_required"], true);
}

#[test]
fn the_right_token_passes() {
    let broker = Broker::start(&["--auth", "t0ken"]);
    let mut raw = Raw::open_with(&broker, r#"{"verbose":false,"auth_token":"t0ken"}"#);
    raw.send("SUB a 1\r\nPUB a 0\r\n\r\n");
    raw.expect_exact("MSG a 1 0\r\n\r\n");
}

#[test]
fn wrong_credentials_are_refused() {
    let user = Broker::start(&USER);
    let token = Broker::start(&["--auth", "t0ken"]);
    for (broker, options) in [
        (&user, r#"{"verbose":false}"#),
        (&user, r#"{"user":"ann"}"#),
        (&user, r#"{"pass":"s3cret"}"#),
        (&user, r#"{"user":"ann","pass":"S3cret"}"#),
        (&user, r#"{"user":"ann","pass":"s3cret "}"#),
        (&user, r#"{"user":"ann","pass":""}"#),
        (&user, r#"{"user":"Ann","pass":"s3cret"}"#),
        (&user, r#"{"auth_token":"s3cret"}"#),
        (&token, r#"{}"#),
        (&token, r#"{"auth_token":"token"}"#),
        (&token, r#"{"auth_token":""}"#),
        (&token, r#"{"user":"t0ken"}"#),
        (&token, r#"{"user":"t0ken","pass":"t0ken"}"#),
    ] {
        let mut raw = Raw::connect(broker);
        raw.send(format!("CONNECT {options}\r\n"));
        raw.expect_fatal(VIOLATION);
    }
}

#[test]
fn any_first_op_but_connect_is_refused() {
    let broker = Broker::start(&USER);
    for bytes in [
        "PING\r\n",
        "PONG\r\n",
        "SUB a 1\r\n",
        "PUB a 0\r\n\r\n",
        "INFO {}\r\n",
        "+OK\r\n",
        "\r\n",
        " CONNECT {}\r\n",
        "X",
        "-ERR 'x'\r\n",
        "UNSUB 1\r\n",
        "GET / HTTP/1.1\r\n",
    ] {
        let mut raw = Raw::connect(&broker);
        raw.send_doomed(bytes);
        raw.expect_fatal(VIOLATION);
    }
}

#[test]
fn a_first_op_that_begins_like_connect_is_judged_as_an_op() {
    let broker = Broker::start(&USER);
    for bytes in ["CX", "CONNX"] {
        let mut raw = Raw::connect(&broker);
        raw.send(bytes);
        raw.expect_fatal("Unknown Protocol Operation");
    }
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\r\n");
    raw.expect_eof();
}

#[test]
fn ops_in_the_same_write_as_a_refused_connect_have_no_effect() {
    let broker = Broker::start(&USER);
    let good = r#"{"verbose":false,"user":"ann","pass":"s3cret"}"#;
    let mut other = Raw::open_with(&broker, good);
    other.send("SUB a 1\r\n");
    other.fence();
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"user\":\"ann\",\"pass\":\"x\"}\r\nPUB a 2\r\nhi\r\nPING\r\n");
    raw.expect_fatal(VIOLATION);
    other.fence();
}

#[test]
fn a_second_connect_is_judged_anew() {
    let broker = Broker::start(&USER);
    let good = r#"{"verbose":false,"user":"ann","pass":"s3cret"}"#;
    let mut raw = Raw::open_with(&broker, good);
    raw.send(format!("SUB a 1\r\nCONNECT {good}\r\nPUB a 0\r\n\r\n"));
    raw.fence();
    raw.send("CONNECT {\"user\":\"ann\",\"pass\":\"x\"}\r\n");
    raw.expect_fatal(VIOLATION);
}

#[test]
fn who_stays_silent_is_closed_after_two_seconds() {
    let broker = Broker::start(&USER);
    let started = Instant::now();
    let mut raw = Raw::connect(&broker);
    let mut partial = Raw::connect(&broker);
    partial.send("CONNECT {\"user\":\"ann\"");
    raw.expect_fatal("Authentication Timeout");
    partial.expect_fatal("Authentication Timeout");
    let waited = started.elapsed();
    assert!(waited > Duration::from_millis(1800), "{waited:?}");
    assert!(waited < Duration::from_secs(6), "{waited:?}");
}

#[test]
fn who_is_in_is_not_closed_after_two_seconds() {
    let broker = Broker::start(&USER);
    let good = r#"{"verbose":false,"user":"ann","pass":"s3cret"}"#;
    let mut raw = Raw::open_with(&broker, good);
    let mut silent = Raw::connect(&broker);
    silent.expect_fatal("Authentication Timeout");
    raw.fence();
}

#[test]
fn without_credentials_configured_silence_is_no_offence() {
    let guarded = Broker::start(&USER);
    let open = Broker::start(&[]);
    let mut free = Raw::connect(&open);
    Raw::connect(&guarded).expect_fatal("Authentication Timeout");
    free.fence();
}

#[test]
fn each_message_of_one_write_is_judged_by_its_own_subject() {
    let broker = config(
        "authorization { users: [ { user: u, password: p, permissions: {
            publish: { allow: [\"a.>\", \"r\"], deny: \"a.no\" } } } ] }",
    );
    let login = r#"{"verbose":false,"user":"u","pass":"p"}"#;
    let mut listener = Raw::open_with(&broker, login);
    listener.send("SUB > 1\r\n");
    listener.fence();
    let mut raw = Raw::open_with(&broker, login);
    raw.send(
        "PUB a.b 0\r\n\r\nPUB a.b 0\r\n\r\nPUB a.no 0\r\n\r\nPUB a.no 0\r\n\r\nPUB a.b 0\r\n\r\n\
         PUB a.b _R_.x 0\r\n\r\nPUB a.b 0\r\n\r\nPUB a.c 0\r\n\r\nPUB a 0\r\n\r\nPING\r\n",
    );
    raw.expect_exact(
        "-ERR 'Permissions Violation for Publish to \"a.no\"'\r\n\
         -ERR 'Permissions Violation for Publish to \"a.no\"'\r\n\
         -ERR 'Permissions Violation for Publish with Reply of \"_R_.x\"'\r\n\
         -ERR 'Permissions Violation for Publish to \"a\"'\r\nPONG\r\n",
    );
    let delivered = "MSG a.b 1 0\r\n\r\n".repeat(4) + "MSG a.c 1 0\r\n\r\n";
    listener.expect_exact(delivered);
}

#[test]
fn a_reply_that_was_owed_once_is_given_once_in_one_write() {
    let broker = config(
        "authorization { users: [
            { user: ann, password: p }
            { user: bob, password: p, permissions: { subscribe: q, allow_responses: true } } ] }",
    );
    let mut bob = Raw::open_with(&broker, r#"{"verbose":false,"user":"bob","pass":"p"}"#);
    bob.send("SUB q 1\r\n");
    bob.fence();
    let mut ann = Raw::open_with(&broker, r#"{"verbose":false,"user":"ann","pass":"p"}"#);
    ann.send("SUB in 1\r\nPUB q in 0\r\n\r\n");
    bob.expect_exact("MSG q 1 in 0\r\n\r\n");
    bob.send("PUB in 0\r\n\r\nPUB in 0\r\n\r\nPING\r\n");
    bob.expect_exact("-ERR 'Permissions Violation for Publish to \"in\"'\r\nPONG\r\n");
    ann.expect_exact("MSG in 1 0\r\n\r\n");
    ann.fence();
}
