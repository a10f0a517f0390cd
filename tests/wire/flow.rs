//! Goal: PING and PONG in both directions, and when the broker asks by itself.
//! Method: exact bytes; the clock only where time is the promise.

use std::time::{Duration, Instant};

use crate::common::{Broker, Raw};

#[test]
fn every_ping_is_answered_in_its_place() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a 1\r\nPING\r\nPUB a 1\r\n1\r\nPING\r\nPING\r\nPUB a 1\r\n2\r\nPING\r\n");
    raw.expect_exact("PONG\r\nMSG a 1 1\r\n1\r\nPONG\r\nPONG\r\nMSG a 1 1\r\n2\r\nPONG\r\n");
    raw.send("PING\r\n".repeat(1000));
    raw.expect_exact("PONG\r\n".repeat(1000));
}

#[test]
fn ping_is_answered_before_connect() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.fence();
    raw.fence();
}

#[test]
fn the_broker_pings_a_new_client_after_two_seconds() {
    let broker = Broker::start(&[]);
    let started = Instant::now();
    let mut raw = Raw::open(&broker);
    raw.show_pings();
    raw.expect_line("PING");
    let waited = started.elapsed();
    assert!(waited > Duration::from_millis(1900), "{waited:?}");
    assert!(waited < Duration::from_secs(6), "{waited:?}");
    // Answered or not, the next one is minutes away.
    raw.send("PONG\r\n");
    assert!(raw.silent_for(Duration::from_secs(1)));
    raw.fence();
}

#[test]
fn a_client_that_closes_its_side_is_closed() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.finish();
    raw.expect_eof();
    let mut raw = Raw::connect(&broker);
    raw.finish();
    raw.expect_eof();
}

#[test]
fn what_was_sent_before_the_end_is_still_routed() {
    let broker = Broker::start(&[]);
    let mut subscriber = Raw::open(&broker);
    subscriber.send("SUB a 1\r\n");
    subscriber.fence();
    for _ in 0..100 {
        let mut publisher = Raw::open(&broker);
        publisher.publish("a", "last words");
        publisher.finish();
        publisher.expect_eof();
        subscriber.expect_exact("MSG a 1 10\r\nlast words\r\n");
    }
    subscriber.fence();
}
