//! Goal: UNSUB with and without a maximum ends a subscription where it should.
//! Method: exact bytes; the maximum counts deliveries since the SUB.

use crate::common::{Broker, Raw};

#[test]
fn unsub_ends_a_subscription_at_once() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a 1\r\nPUB a 0\r\n\r\nUNSUB 1\r\nPUB a 0\r\n\r\n");
    raw.expect_exact("MSG a 1 0\r\n\r\n");
    raw.fence();
}

#[test]
fn a_maximum_counts_from_the_sub() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a 1\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nUNSUB 1 3\r\n");
    raw.send("PUB a 1\r\n3\r\nPUB a 1\r\n4\r\nPUB a 1\r\n5\r\n");
    raw.expect_exact("MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nMSG a 1 1\r\n3\r\n");
    raw.fence();
}

#[test]
fn a_maximum_already_reached_ends_it_at_once() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    for max in ["1", "2", "0", "-5"] {
        raw.send("SUB a 1\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\n");
        raw.expect_exact("MSG a 1 0\r\n\r\nMSG a 1 0\r\n\r\n");
        raw.send(format!("UNSUB 1 {max}\r\nPUB a 0\r\n\r\n"));
        raw.fence();
    }
}

#[test]
fn a_later_unsub_overrides_the_maximum() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a 1\r\nUNSUB 1 10\r\nPUB a 0\r\n\r\nUNSUB 1\r\nPUB a 0\r\n\r\n");
    raw.expect_exact("MSG a 1 0\r\n\r\n");
    raw.fence();
    raw.send("SUB a 2\r\nUNSUB 2 10\r\nUNSUB 2 2\r\n");
    raw.send("PUB a 0\r\n\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\n");
    raw.expect_exact("MSG a 2 0\r\n\r\nMSG a 2 0\r\n\r\n");
    raw.fence();
    raw.send("SUB a 3\r\nUNSUB 3 1\r\nUNSUB 3 2\r\n");
    raw.send("PUB a 0\r\n\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\n");
    raw.expect_exact("MSG a 3 0\r\n\r\nMSG a 3 0\r\n\r\n");
    raw.fence();
}

#[test]
fn a_sid_is_free_after_its_maximum() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a 1\r\nUNSUB 1 1\r\nPUB a 0\r\n\r\nSUB b 1\r\nPUB a 0\r\n\r\nPUB b 0\r\n\r\n");
    raw.expect_exact("MSG a 1 0\r\n\r\nMSG b 1 0\r\n\r\n");
    raw.fence();
}

#[test]
fn a_maximum_that_is_no_number_unsubscribes_at_once() {
    let broker = Broker::start(&[]);
    for max in ["x", "1x", "99999999999999999999"] {
        let mut raw = Raw::open(&broker);
        raw.send(format!("SUB a 1\r\nUNSUB 1 {max}\r\nPUB a 0\r\n\r\n"));
        raw.fence();
    }
}

#[test]
fn a_queue_member_leaves_at_its_maximum_and_the_others_go_on() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a q 1\r\nSUB a q 2\r\nUNSUB 1 3\r\n");
    for _ in 0..200 {
        raw.send("PUB a 0\r\n\r\n");
    }
    let got = raw.drain();
    assert_eq!(got.len(), 200);
    assert_eq!(got.iter().filter(|message| message.sid == "1").count(), 3);
}

#[test]
fn a_maximum_holds_against_another_connections_burst() {
    let broker = Broker::start(&[]);
    let mut subscriber = Raw::open(&broker);
    let mut publisher = Raw::open(&broker);
    for round in 0..100 {
        subscriber.send(format!("SUB a {round}\r\nUNSUB {round} 5\r\n"));
        subscriber.fence();
        publisher.send("PUB a 1\r\nx\r\n".repeat(20));
        publisher.fence();
        assert_eq!(subscriber.drain().len(), 5);
    }
}
