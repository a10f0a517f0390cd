//! Goal: header blocks pass as they are to who wants them, and are cut off for
//! who does not. Method: exact HMSG and MSG bytes.

use crate::common::{Broker, Raw};

const BLOCK: &str = "NATS/1.0\r\nA: b\r\nA: c\r\n\r\n";

#[test]
fn a_header_message_reaches_a_header_client_whole() {
    let broker = Broker::start(&[]);
    let mut subscriber = Raw::open_headers(&broker);
    subscriber.send("SUB a 1\r\n");
    subscriber.fence();
    let mut publisher = Raw::open_headers(&broker);
    let (head, total) = (BLOCK.len(), BLOCK.len() + 2);
    publisher.send(format!("HPUB a {head} {total}\r\n{BLOCK}hi\r\n"));
    publisher.send(format!("HPUB a in.1 {head} {total}\r\n{BLOCK}hi\r\n"));
    publisher.send(format!("HPUB a {head} {head}\r\n{BLOCK}\r\n"));
    publisher.fence();
    subscriber.expect_exact(format!(
        "HMSG a 1 {head} {total}\r\n{BLOCK}hi\r\nHMSG a 1 in.1 {head} {total}\r\n{BLOCK}hi\r\n\
         HMSG a 1 {head} {head}\r\n{BLOCK}\r\n"
    ));
    subscriber.fence();
}

#[test]
fn a_client_without_headers_gets_the_payload_alone() {
    let broker = Broker::start(&[]);
    let mut subscriber = Raw::open(&broker);
    subscriber.send("SUB a 1\r\n");
    subscriber.fence();
    let mut publisher = Raw::open_headers(&broker);
    let (head, total) = (BLOCK.len(), BLOCK.len() + 2);
    publisher.send(format!("HPUB a {head} {total}\r\n{BLOCK}hi\r\n"));
    publisher.send(format!("HPUB a in.1 {head} {total}\r\n{BLOCK}hi\r\n"));
    publisher.send(format!("HPUB a {head} {head}\r\n{BLOCK}\r\n"));
    publisher.fence();
    subscriber.expect_exact("MSG a 1 2\r\nhi\r\nMSG a 1 in.1 2\r\nhi\r\nMSG a 1 0\r\n\r\n");
    subscriber.fence();
}

#[test]
fn a_plain_message_reaches_a_header_client_as_msg() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB a 1\r\nPUB a r 2\r\nhi\r\n");
    raw.expect_exact("MSG a 1 r 2\r\nhi\r\n");
}

#[test]
fn both_kinds_of_client_are_served_from_one_publish() {
    let broker = Broker::start(&[]);
    let mut with = Raw::open_headers(&broker);
    let mut without = Raw::open(&broker);
    with.send("SUB a 1\r\n");
    with.fence();
    without.send("SUB a 2\r\n");
    without.fence();
    let mut publisher = Raw::open_headers(&broker);
    publisher.send("HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPUB a 2\r\nho\r\n");
    publisher.fence();
    with.expect_exact("HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nMSG a 1 2\r\nho\r\n");
    without.expect_exact("MSG a 2 2\r\nhi\r\nMSG a 2 2\r\nho\r\n");
}

#[test]
fn an_empty_header_block_makes_a_plain_message() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB a 1\r\nHPUB a 0 2\r\nhi\r\nHPUB a r 0 0\r\n\r\n");
    raw.expect_exact("MSG a 1 2\r\nhi\r\nMSG a 1 r 0\r\n\r\n");
    raw.fence();
}

#[test]
fn a_header_longer_than_the_total_closes_in_silence() {
    let broker = Broker::start(&[]);
    for line in ["HPUB a 14 12\r\n", "HPUB a r 1 0\r\n"] {
        let mut raw = Raw::open_headers(&broker);
        raw.send(line);
        raw.expect_eof();
    }
}

#[test]
fn hpub_without_negotiated_headers_closes_in_silence() {
    let broker = Broker::start(&[]);
    for options in ["{\"verbose\":false}", "{\"verbose\":false,\"headers\":false}"] {
        let mut raw = Raw::open_with(&broker, options);
        raw.send("HPUB a 12 12\r\n");
        raw.expect_eof();
    }
}

#[test]
fn a_header_block_is_not_looked_into() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB a 1\r\n");
    for block in ["garbage", "x", "NATS/1.0\r\n", "\r\n\r\n\r\n", "NATS/9 \0\r\n\r\n", "\n"] {
        let (head, total) = (block.len(), block.len() + 3);
        raw.send(format!("HPUB a {head} {total}\r\n{block}abc\r\n"));
        raw.expect_exact(format!("HMSG a 1 {head} {total}\r\n{block}abc\r\n"));
    }
    raw.fence();
}

#[test]
fn a_header_block_counts_towards_the_payload_limit() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB a 1\r\n");
    let block = format!("NATS/1.0\r\nA: {}\r\n\r\n", "x".repeat(1_048_576 - 17));
    assert_eq!(block.len(), 1_048_576);
    let control = "1048576 1048576\r\n";
    raw.send(format!("HPUB a {control}{block}\r\n"));
    raw.expect_exact(format!("HMSG a 1 {control}{block}\r\n"));
    raw.send("HPUB a 12 1048577\r\n");
    raw.expect_fatal("Maximum Payload Violation");
}
