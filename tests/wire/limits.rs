//! Goal: each limit closes who breaks it, and nobody else. Method: the limit
//! itself and one more; a stalled reader for what is queued.

use std::time::{Duration, Instant};

use crate::common::{Broker, Random, Raw};

const MAX_PAYLOAD: usize = 1_048_576;

#[test]
fn a_payload_of_the_maximum_passes() {
    let broker = Broker::start(&[]);
    let mut subscriber = Raw::open(&broker);
    subscriber.send("SUB a 1\r\n");
    subscriber.fence();
    let payload = Random::new(1).bytes(MAX_PAYLOAD);
    let mut publisher = Raw::open(&broker);
    publisher.publish("a", &payload);
    publisher.fence();
    assert!(subscriber.message().payload == payload);
    subscriber.fence();
}

#[test]
fn a_payload_above_the_maximum_is_refused_at_its_control_line() {
    let broker = Broker::start(&[]);
    for line in [
        "PUB a 1048577\r\n",
        "PUB a r 1048577\r\n",
        "PUB a 999999999\r\n",
        "HPUB a 0 1048577\r\n",
        "HPUB a r 1048577 1048577\r\n",
    ] {
        let mut raw = Raw::open_headers(&broker);
        // Nothing of the payload is sent: the answer cannot wait for it.
        raw.send(line);
        raw.expect_fatal("Maximum Payload Violation");
    }
}

#[test]
fn a_refused_payload_that_is_sent_anyway_is_not_parsed() {
    let broker = Broker::start(&[]);
    let mut other = Raw::open(&broker);
    other.send("SUB a 1\r\n");
    other.fence();
    let mut raw = Raw::open(&broker);
    raw.send_doomed("PUB a 1048577\r\nPUB a 2\r\nhi\r\nPUB a 2\r\nhi\r\n");
    raw.expect_fatal("Maximum Payload Violation");
    other.fence();
}

/// Publishes to `subject` without end, until `stop` says so.
fn flood(publisher: &mut Raw, subject: &str, size: usize, mut stop: impl FnMut(usize) -> bool) {
    let payload = vec![b'x'; size];
    let mut sent = 0;
    while !stop(sent) {
        publisher.publish(subject, &payload);
        sent += size;
        publisher.fence();
    }
}

#[test]
fn a_subscriber_that_does_not_read_is_closed_at_max_pending() {
    let broker = Broker::start(&[]);
    let mut stalled = Raw::open(&broker);
    stalled.send("SUB a 1\r\n");
    stalled.fence();
    let mut brisk = Raw::open(&broker);
    brisk.send("SUB b 1\r\n");
    brisk.fence();
    // 64 MiB may wait in the broker, and a few more in the sockets. A
    // requester sees when the last subscriber is gone.
    let mut publisher = Raw::open_headers(&broker);
    publisher.send("SUB in 1\r\n");
    flood(&mut publisher, "a", 512 * 1024, |sent| sent >= 64 << 20);
    let started = Instant::now();
    flood(&mut publisher, "b", 10, |sent| sent >= 100);
    assert!(started.elapsed() < Duration::from_secs(10), "a stalled subscriber stalls others");
    assert!(brisk.drain().len() >= 10);
    flood(&mut publisher, "a", 512 * 1024, |sent| sent >= 32 << 20);
    // Its connection is closed without a word: what was in the sockets can be
    // read, then there is the end.
    let received = stalled.rest();
    assert!(received.len() < 64 << 20, "{} bytes", received.len());
    assert!(!String::from_utf8_lossy(&received[received.len() - 100..]).contains("-ERR"));
    loop {
        publisher.send("PUB a in 0\r\n\r\nPING\r\n");
        if !publisher.until_pong().is_empty() {
            break;
        }
    }
}

#[test]
fn a_publisher_that_outruns_a_reader_loses_nothing_below_max_pending() {
    let broker = Broker::start(&[]);
    let mut reader = Raw::open(&broker);
    reader.send("SUB a 1\r\n");
    reader.fence();
    let mut publisher = Raw::open(&broker);
    // 24 MiB, unread until all of it was taken.
    let payload = Random::new(7).bytes(256 * 1024);
    for _ in 0..96 {
        publisher.publish("a", &payload);
    }
    publisher.fence();
    for _ in 0..96 {
        assert!(reader.message().payload == payload);
    }
    reader.fence();
}

#[test]
fn a_subscription_limit_is_absent_by_default() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    let subs: String = (0..20_000).map(|sid| format!("SUB a.{sid} {sid}\r\n")).collect();
    raw.send(subs);
    raw.fence();
    raw.send("PUB a.0 0\r\n\r\nPUB a.19999 0\r\n\r\n");
    raw.expect_exact("MSG a.0 0 0\r\n\r\nMSG a.19999 19999 0\r\n\r\n");
    let unsubs: String = (0..20_000).map(|sid| format!("UNSUB {sid}\r\n")).collect();
    raw.send(unsubs);
    raw.send("PUB a.0 0\r\n\r\n");
    raw.fence();
}
