//! Goal: every op a client may send, in each of its forms, and every op that
//! comes back. Method: exact bytes on one or two connections.

use crate::common::{Broker, Raw};

#[test]
fn a_message_reaches_every_matching_subscription_of_a_connection() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a 1\r\nSUB a 2\r\nSUB * 3\r\nSUB > 4\r\nSUB b 5\r\nPUB a 2\r\nhi\r\n");
    let mut sids: Vec<String> = raw.drain().into_iter().map(|message| message.sid).collect();
    sids.sort();
    assert_eq!(sids, ["1", "2", "3", "4"]);
}

#[test]
fn a_message_reaches_other_connections() {
    let broker = Broker::start(&[]);
    let mut subscriber = Raw::open(&broker);
    subscriber.send("SUB a.b 90\r\n");
    subscriber.fence();
    let mut publisher = Raw::open(&broker);
    publisher.send("PUB a.b 5\r\nhello\r\nPUB a.b in.box 0\r\n\r\n");
    publisher.fence();
    subscriber.expect_exact("MSG a.b 90 5\r\nhello\r\nMSG a.b 90 in.box 0\r\n\r\n");
    subscriber.fence();
}

#[test]
fn a_publish_without_interest_says_nothing() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("PUB a 2\r\nhi\r\nPUB a r 2\r\nhi\r\n");
    raw.fence();
}

#[test]
fn payload_bytes_pass_unchanged() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a 1\r\n");
    let payload: Vec<u8> = (0..=255).chain(*b"\r\nPING\r\nMSG a 1 0\r\n\r\n").collect();
    raw.publish("a", &payload);
    let message = raw.message();
    assert_eq!(message.payload, payload);
    raw.fence();
}

#[test]
fn a_sid_is_any_token() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    for sid in ["0", "-1", "abc", "a.b", "*", "é", "99999999999999999999999", "007", "{}"] {
        raw.send(format!("SUB a {sid}\r\nPUB a 1\r\nx\r\n"));
        raw.expect_exact(format!("MSG a {sid} 1\r\nx\r\n"));
        raw.send(format!("UNSUB {sid}\r\nPUB a 1\r\nx\r\n"));
        raw.fence();
    }
}

#[test]
fn sids_differ_by_their_bytes() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a 7\r\nSUB b 07\r\nUNSUB 007\r\nUNSUB 7\r\nPUB a 0\r\n\r\nPUB b 0\r\n\r\n");
    raw.expect_exact("MSG b 07 0\r\n\r\n");
    raw.fence();
}

#[test]
fn a_sub_with_a_live_sid_is_ignored() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a 1\r\nSUB b 1\r\nSUB a 1\r\nPUB a 0\r\n\r\nPUB b 0\r\n\r\n");
    raw.expect_exact("MSG a 1 0\r\n\r\n");
    raw.fence();
    // Once the sid is free, it may name another subject.
    raw.send("UNSUB 1\r\nSUB b 1\r\nPUB a 0\r\n\r\nPUB b 0\r\n\r\n");
    raw.expect_exact("MSG b 1 0\r\n\r\n");
    raw.fence();
}

#[test]
fn an_ignored_sub_is_still_acknowledged() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"verbose\":true}\r\nSUB a 1\r\nSUB b 1\r\nPING\r\n");
    raw.expect_exact("+OK\r\n+OK\r\n+OK\r\nPONG\r\n");
}

#[test]
fn unsub_of_an_unknown_sid_is_no_error() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("UNSUB 1\r\nUNSUB 2 5\r\n");
    raw.fence();
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"verbose\":true}\r\nUNSUB 1\r\nUNSUB 2 5\r\nPING\r\n");
    raw.expect_exact("+OK\r\n+OK\r\n+OK\r\nPONG\r\n");
}

#[test]
fn sids_of_different_connections_are_independent() {
    let broker = Broker::start(&[]);
    let mut one = Raw::open(&broker);
    let mut two = Raw::open(&broker);
    one.send("SUB a 1\r\n");
    two.send("SUB a 1\r\n");
    one.fence();
    two.send("UNSUB 1\r\n");
    two.fence();
    two.send("PUB a 0\r\n\r\n");
    two.fence();
    one.expect_exact("MSG a 1 0\r\n\r\n");
    one.fence();
}

#[test]
fn verbose_acknowledges_connect_sub_unsub_and_pub_but_not_ping() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"verbose\":true,\"pedantic\":false,\"headers\":true}\r\n");
    raw.expect_exact("+OK\r\n");
    raw.send("SUB a 1\r\n");
    raw.expect_exact("+OK\r\n");
    raw.send("PING\r\nPONG\r\n+OK\r\nINFO {}\r\nPING\r\n");
    raw.expect_exact("PONG\r\nPONG\r\n");
    raw.send("UNSUB 1\r\n");
    raw.expect_exact("+OK\r\n");
    raw.send("PUB a 1\r\nx\r\nHPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\nPING\r\n");
    raw.expect_exact("+OK\r\n+OK\r\nPONG\r\n");
}

#[test]
fn the_ok_of_a_publish_precedes_its_own_message() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"verbose\":true}\r\nSUB a 1\r\nPUB a 2\r\nhi\r\nPUB a 2\r\nho\r\n");
    raw.expect_exact("+OK\r\n+OK\r\n+OK\r\nMSG a 1 2\r\nhi\r\n+OK\r\nMSG a 1 2\r\nho\r\n");
}

#[test]
fn an_op_that_errs_is_not_acknowledged() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"verbose\":true,\"pedantic\":false}\r\nSUB a..b 1\r\nPING\r\n");
    raw.expect_exact("+OK\r\n-ERR 'Invalid Subject'\r\nPONG\r\n");
    raw.send("PUB a _R_.x 0\r\n\r\nPING\r\n");
    raw.expect_exact(
        "-ERR 'Permissions Violation for Publish with Reply of \"_R_.x\"'\r\nPONG\r\n",
    );
}

#[test]
fn echo_off_hides_a_clients_own_messages_from_it() {
    let broker = Broker::start(&[]);
    let mut deaf = Raw::open_with(&broker, r#"{"verbose":false,"echo":false}"#);
    let mut other = Raw::open(&broker);
    deaf.send("SUB a 1\r\nSUB a q 2\r\n");
    deaf.fence();
    other.send("SUB a 1\r\n");
    other.fence();
    deaf.publish("a", "mine");
    deaf.fence();
    other.expect_exact("MSG a 1 4\r\nmine\r\n");
    other.publish("a", "yours");
    other.expect_exact("MSG a 1 5\r\nyours\r\n");
    other.fence();
    deaf.expect_exact("MSG a 1 5\r\nyours\r\nMSG a 2 5\r\nyours\r\n");
    deaf.fence();
}

#[test]
fn a_pedantic_publish_to_a_wildcard_errs_and_is_still_delivered() {
    let broker = Broker::start(&[]);
    let mut other = Raw::open(&broker);
    other.send("SUB a.> 1\r\n");
    other.fence();
    let mut raw = Raw::open_with(&broker, r#"{"verbose":false,"pedantic":true}"#);
    raw.send("PUB a.* 2\r\nhi\r\nPUB a.> 2\r\nho\r\nPING\r\n");
    raw.expect_exact(
        "-ERR 'Invalid Publish Subject'\r\n-ERR 'Invalid Publish Subject'\r\nPONG\r\n",
    );
    other.expect_exact("MSG a.* 1 2\r\nhi\r\nMSG a.> 1 2\r\nho\r\n");
}

#[test]
fn a_pedantic_error_precedes_the_ok_of_its_publish() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"verbose\":true,\"pedantic\":true}\r\nSUB a.> 1\r\nPUB a.* 0\r\n\r\n");
    raw.expect_exact("+OK\r\n+OK\r\n-ERR 'Invalid Publish Subject'\r\n+OK\r\n");
    raw.expect_exact("MSG a.* 1 0\r\n\r\n");
    raw.fence();
}

#[test]
fn a_pedantic_publish_to_a_malformed_subject_errs() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open_with(&broker, r#"{"verbose":false,"pedantic":true}"#);
    raw.send("SUB > 1\r\n");
    for subject in ["a..b", ".a", "a.", "."] {
        raw.publish(subject, "x");
        raw.expect_exact("-ERR 'Invalid Publish Subject'\r\n");
    }
    raw.send("PUB foo* 0\r\n\r\nPUB a>b 0\r\n\r\n");
    raw.expect_exact("MSG foo* 1 0\r\n\r\nMSG a>b 1 0\r\n\r\n");
    raw.fence();
}

#[test]
fn one_publishers_messages_stay_in_order() {
    let broker = Broker::start(&[]);
    let mut subscriber = Raw::open(&broker);
    subscriber.send("SUB a.* 1\r\n");
    subscriber.fence();
    let mut publisher = Raw::open(&broker);
    for number in 0..5000 {
        publisher.publish(&format!("a.{}", number % 7), number.to_string());
    }
    publisher.fence();
    for number in 0..5000 {
        assert_eq!(subscriber.message().payload, number.to_string().as_bytes());
    }
    subscriber.fence();
}

#[test]
fn a_closed_connection_takes_its_subscriptions_along() {
    let broker = Broker::start(&[]);
    let mut requester = Raw::open_headers(&broker);
    requester.send("SUB in.* 1\r\n");
    let mut responder = Raw::open(&broker);
    responder.send("SUB svc 1\r\n");
    responder.fence();
    responder.finish();
    responder.expect_eof();
    // The broker forgets it at or after the EOF: ask until there is nobody.
    loop {
        requester.send("PUB svc in.1 0\r\n\r\nPING\r\n");
        let answers = requester.until_pong();
        if !answers.is_empty() {
            assert_eq!(answers[0].headers.as_deref().unwrap()[..12], *b"NATS/1.0 503");
            break;
        }
    }
}
