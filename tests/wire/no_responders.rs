//! Goal: a request that nobody takes is answered by 503, under exactly the
//! conditions of nats-server. Method: one connection asks; the answer or its
//! absence is fenced by PONG.

use crate::common::{Broker, Raw};

fn status(reply: &str, sid: &str, subject: &str) -> String {
    let size = 32 + subject.len();
    format!(
        "HMSG {reply} {sid} {size} {size}\r\nNATS/1.0 503\r\nNats-Subject: {subject}\r\n\r\n\r\n"
    )
}

#[test]
fn a_request_that_nobody_takes_is_answered() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB in.* 1\r\nPUB foo in.1 0\r\n\r\n");
    raw.expect_exact("HMSG in.1 1 35 35\r\nNATS/1.0 503\r\nNats-Subject: foo\r\n\r\n\r\n");
    raw.send("PUB a.long.er.subject in.2 5\r\nhello\r\n");
    raw.expect_exact(status("in.2", "1", "a.long.er.subject"));
    raw.send("HPUB foo in.3 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    raw.expect_exact(status("in.3", "1", "foo"));
    raw.fence();
}

#[test]
fn the_status_comes_after_the_ok_of_its_publish() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"verbose\":true,\"headers\":true,\"no_responders\":true}\r\n");
    raw.send("SUB in 1\r\nPUB foo in 0\r\n\r\n");
    raw.expect_exact("+OK\r\n+OK\r\n+OK\r\n");
    raw.expect_exact(status("in", "1", "foo"));
}

#[test]
fn a_client_that_did_not_ask_for_it_gets_no_status() {
    let broker = Broker::start(&[]);
    for options in [
        "{\"verbose\":false,\"headers\":true}",
        "{\"verbose\":false,\"headers\":true,\"no_responders\":false}",
    ] {
        let mut raw = Raw::open_with(&broker, options);
        raw.send("SUB in 1\r\nPUB foo in 0\r\n\r\n");
        raw.fence();
    }
}

#[test]
fn a_publish_without_reply_gets_no_status() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB > 1\r\nUNSUB 1\r\nPUB foo 0\r\n\r\n");
    raw.fence();
}

#[test]
fn the_reply_needs_a_subscription_on_the_same_connection() {
    let broker = Broker::start(&[]);
    let mut other = Raw::open_headers(&broker);
    other.send("SUB in 1\r\n");
    other.fence();
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB elsewhere 1\r\nPUB foo in 0\r\n\r\n");
    raw.fence();
    other.fence();
}

#[test]
fn a_queue_subscription_on_the_reply_gets_no_status() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB in q 1\r\nPUB foo in 0\r\n\r\n");
    raw.fence();
    raw.send("SUB in.> 2\r\nPUB foo in.x 0\r\n\r\n");
    raw.expect_exact(status("in.x", "2", "foo"));
    raw.fence();
}

#[test]
fn one_status_is_sent_however_many_subscriptions_match_the_reply() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB in.1 1\r\nSUB in.* 2\r\nPUB foo in.1 0\r\n\r\n");
    assert_eq!(raw.drain().len(), 1);
}

#[test]
fn any_kind_of_delivery_suppresses_the_status() {
    let broker = Broker::start(&[]);
    let mut responder = Raw::open(&broker);
    for sub in ["svc", "svc q", "*", ">", "* q"] {
        let mut raw = Raw::open_headers(&broker);
        raw.send("SUB in.1 1\r\n");
        responder.send(format!("SUB {sub} 1\r\n"));
        responder.fence();
        raw.send("PUB svc in.1 0\r\n\r\n");
        raw.fence();
        responder.expect_exact("MSG svc 1 in.1 0\r\n\r\n");
        responder.send("UNSUB 1\r\n");
        responder.fence();
        raw.send("PUB svc in.1 0\r\n\r\n");
        raw.expect_exact(status("in.1", "1", "svc"));
    }
}

#[test]
fn the_requesters_own_subscription_is_a_responder() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB in 1\r\nSUB svc 2\r\nPUB svc in 0\r\n\r\n");
    raw.expect_exact("MSG svc 2 in 0\r\n\r\n");
    raw.fence();
}

#[test]
fn interest_that_echo_off_hides_is_no_responder() {
    let broker = Broker::start(&[]);
    let options = r#"{"verbose":false,"headers":true,"no_responders":true,"echo":false}"#;
    for sub in ["SUB svc 2\r\n", "SUB svc q 2\r\n"] {
        let mut raw = Raw::open_with(&broker, options);
        raw.send("SUB in 1\r\n");
        raw.send(sub);
        raw.send("PUB svc in 0\r\n\r\n");
        raw.expect_exact(status("in", "1", "svc"));
        raw.fence();
    }
}

#[test]
fn a_malformed_request_subject_has_no_responder() {
    let broker = Broker::start(&[]);
    let mut other = Raw::open(&broker);
    other.send("SUB > 1\r\n");
    other.fence();
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB in 1\r\nPUB a..b in 0\r\n\r\n");
    raw.expect_exact(status("in", "1", "a..b"));
    raw.fence();
    other.fence();
}

#[test]
fn a_refused_publish_gets_its_error_and_no_status() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB > 1\r\nUNSUB 1\r\nSUB in 1\r\nPUB _GR_.x in 0\r\n\r\n");
    raw.expect_exact("-ERR 'Permissions Violation for Publish to \"_GR_.x\"'\r\n");
    raw.fence();
}

#[test]
fn a_status_does_not_count_towards_a_maximum() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB in 1\r\nUNSUB 1 1\r\nPUB foo in 0\r\n\r\nPUB foo in 0\r\n\r\n");
    raw.expect_exact(status("in", "1", "foo"));
    raw.expect_exact(status("in", "1", "foo"));
    raw.send("PUB in 0\r\n\r\nPUB in 0\r\n\r\n");
    raw.expect_exact("MSG in 1 0\r\n\r\n");
    raw.fence();
}

#[test]
fn a_responder_at_its_maximum_is_none() {
    let broker = Broker::start(&[]);
    let mut responder = Raw::open(&broker);
    responder.send("SUB svc 1\r\nUNSUB 1 1\r\n");
    responder.fence();
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB in 1\r\nPUB svc in 0\r\n\r\n");
    raw.fence();
    raw.send("PUB svc in 0\r\n\r\n");
    raw.expect_exact(status("in", "1", "svc"));
    assert_eq!(responder.drain().len(), 1);
}
