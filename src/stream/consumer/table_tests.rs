//! Consumers as their clients see them. What is expected was recorded from nats-server 2.15.1.

use super::test_stream::TestStream;

const MS: u64 = 1_000_000;

fn stream(messages: u64) -> TestStream {
    let mut stream = TestStream::new(r#"{"subjects":["p.>"]}"#);
    for at in 0..messages {
        stream.publish(&format!("p.{}", at % 3), &format!("m{at}"));
    }
    stream
}

fn explicit(messages: u64, rest: &str) -> TestStream {
    let mut stream = stream(messages);
    let config = format!("{{\"durable_name\":\"c\",\"ack_policy\":\"explicit\"{rest}}}");
    let created = stream.create("c", &config);
    assert!(!created.contains("error"), "{created}");
    stream.said();
    stream
}

#[test]
fn a_batch_that_does_not_wait_ends_when_nothing_is_left() {
    let mut stream = explicit(3, "");
    stream.next("c", r#"{"batch":10,"no_wait":true}"#, "r");
    assert_eq!(
        stream.heard(),
        ["r m0 1/1/1/2", "r m1 1/2/2/1", "r m2 1/3/3/0", "r 404 No Messages"]
    );
    stream.next("c", r#"{"batch":10,"no_wait":true}"#, "r");
    assert_eq!(stream.heard(), ["r 404 No Messages"]);
}

#[test]
fn a_batch_that_waits_ends_with_what_it_missed() {
    let mut stream = explicit(0, "");
    stream.next("c", r#"{"batch":3,"expires":300000000,"idle_heartbeat":100000000}"#, "r");
    stream.pass(150 * MS);
    stream.publish("p.1", "a");
    stream.pass(400 * MS);
    assert_eq!(
        stream.heard(),
        [
            "r 100 Idle Heartbeat | Nats-Last-Consumer: 0 | Nats-Last-Stream: 0",
            "r a 1/1/1/0",
            "r 100 Idle Heartbeat | Nats-Last-Consumer: 1 | Nats-Last-Stream: 1",
            "r 408 Request Timeout | Nats-Pending-Messages: 2 | Nats-Pending-Bytes: 0",
        ]
    );
}

#[test]
fn bytes_of_a_request_are_counted() {
    let mut stream = explicit(3, "");
    stream.next("c", r#"{"batch":10,"max_bytes":10,"expires":500000000}"#, "r");
    assert_eq!(
        stream.heard(),
        ["r 409 Message Size Exceeds MaxBytes | Nats-Pending-Messages: 10 | Nats-Pending-Bytes: 10"]
    );
    stream.next("c", r#"{"batch":10,"max_bytes":100,"expires":500000000}"#, "r");
    assert_eq!(
        stream.heard(),
        [
            "r m0 1/1/1/2",
            "r m1 1/2/2/1",
            "r 409 Message Size Exceeds MaxBytes | Nats-Pending-Messages: 8 | Nats-Pending-Bytes: 12",
        ]
    );
    stream.next("c", r#"{"batch":1,"max_bytes":1000}"#, "r");
    assert_eq!(
        stream.heard(),
        [
            "r m2 1/3/3/0",
            "r 409 Batch Completed | Nats-Pending-Messages: 0 | Nats-Pending-Bytes: 956"
        ]
    );
}

#[test]
fn limits_of_requests_are_told() {
    let mut stream =
        explicit(1, r#","max_batch":2,"max_expires":1000000000,"max_bytes":50,"max_waiting":1"#);
    for (body, status) in [
        (r#"{"batch":3}"#, "409 Exceeded MaxRequestBatch of 2"),
        (r#"{"batch":1,"expires":2000000000}"#, "409 Exceeded MaxRequestExpires of 1s"),
        (r#"{"batch":1,"max_bytes":51}"#, "409 Exceeded MaxRequestMaxBytes of 50"),
        (
            r#"{"batch":1,"expires":5,"idle_heartbeat":3}"#,
            "400 Bad Request - heartbeat value too large",
        ),
        (r#"{"batch":1,"idle_heartbeat":3}"#, "400 Bad Request - heartbeat value too large"),
        (r#"{"min_pending":3}"#, "400 Bad Request - Not a Overflow Priority consumer"),
        (r#"{"id":"x"}"#, "400 Bad Request - Not a Pinned Client Priority consumer"),
        (
            "{bad",
            "400 Bad Request - invalid character 'b' looking for beginning of object key string",
        ),
    ] {
        stream.next("c", body, "r");
        assert_eq!(stream.heard(), [format!("r {status}")], "{body}");
    }
    stream.next("c", "2", "a");
    stream.next("c", "1", "b");
    stream.next("c", r#"{"batch":1,"expires":500000000,"idle_heartbeat":1}"#, "d");
    assert_eq!(stream.heard(), ["a m0 1/1/1/0", "b 409 Exceeded MaxWaiting"]);
    assert_eq!(stream.number("c", "num_waiting"), 1);
}

#[test]
fn a_request_that_does_not_wait_is_refused_while_others_wait_for_the_same() {
    let mut stream = explicit(3, r#","max_ack_pending":1"#);
    stream.next("c", r#"{"batch":10,"expires":600000000}"#, "a");
    stream.next("c", r#"{"batch":10,"no_wait":true}"#, "b");
    assert_eq!(stream.heard(), ["a m0 1/1/1/2", "b 408 Requests Pending"]);
}

#[test]
fn requests_are_served_in_turn() {
    let mut stream = explicit(0, "");
    stream.next("c", r#"{"batch":2}"#, "a");
    stream.next("c", r#"{"batch":2}"#, "b");
    for at in 0..4 {
        stream.publish("p.1", &at.to_string());
    }
    assert_eq!(stream.heard(), ["a 0 1/1/1/0", "b 1 1/2/2/0", "a 2 1/3/3/0", "b 3 1/4/4/0"]);
}

#[test]
fn a_request_nobody_listens_for_gets_nothing() {
    let mut stream = explicit(0, "");
    stream.next("c", r#"{"batch":2}"#, "gone");
    stream.deaf.0.insert(String::from("gone"));
    stream.next("c", r#"{"batch":2}"#, "b");
    stream.publish("p.1", "x");
    assert_eq!(stream.heard(), ["b x 1/1/1/0"]);
    assert_eq!(stream.number("c", "num_waiting"), 1);
}

#[test]
fn acks_move_the_floor_to_the_first_message_without_one() {
    let mut stream = explicit(6, "");
    stream.next("c", "6", "r");
    let acks = stream.acks();
    for (at, floor, left) in [(2, 0, 5), (0, 1, 4), (1, 3, 3), (5, 3, 2), (3, 4, 1)] {
        let body = if at == 3 { "+TERM why" } else { "+ACK" };
        stream.ack("c", &acks[at], body, "done");
        assert!(stream.heard().contains(&String::from("done <>")));
        assert_eq!(stream.number("c", "ack_floor.stream_seq"), floor);
        assert_eq!(stream.number("c", "ack_floor.consumer_seq"), floor);
        assert_eq!(stream.number("c", "num_ack_pending"), left);
    }
    stream.ack("c", &acks[4], "-NAK", "");
    stream.next("c", "1", "r");
    let again = stream.acks();
    assert!(again[0].starts_with("$JS.ACK.S.c.2.5.7."), "{again:?}");
    stream.ack("c", &again[0], "", "");
    assert_eq!(stream.number("c", "ack_floor.consumer_seq"), 7);
    assert_eq!(stream.number("c", "ack_floor.stream_seq"), 6);
}

// What filters have passed over is below the floor only once a delivery is.
#[test]
fn acks_out_of_order_leave_the_floor_where_it_is() {
    let mut stream = explicit(6, r#","filter_subject":"p.a""#);
    stream.publish("p.a", "1");
    stream.publish("p.a", "2");
    stream.next("c", "2", "r");
    let acks = stream.acks();
    stream.ack("c", &acks[1], "+ACK", "");
    assert_eq!(stream.number("c", "ack_floor.stream_seq"), 0);
    stream.ack("c", &acks[0], "+ACK", "");
    assert_eq!(stream.number("c", "ack_floor.stream_seq"), 8);
}

#[test]
fn an_ack_of_what_never_was_is_not_answered() {
    let mut stream = explicit(1, "");
    stream.ack("c", "$JS.ACK.S.c.1.9.1.5.0", "", "a");
    stream.ack("c", "$JS.ACK.S.c.1.0.1.5.0", "", "b");
    stream.ack("c", "$JS.ACK.S.c.1.1.1.5.0", "+WHAT", "d");
    assert_eq!(stream.heard(), ["b <>", "d <>"]);
}

#[test]
fn an_ack_of_all_takes_those_before_it() {
    let mut stream = stream(4);
    stream.create("c", r#"{"durable_name":"c","ack_policy":"all"}"#);
    stream.next("c", "4", "r");
    let acks = stream.acks();
    stream.ack("c", &acks[1], "-NAK", "");
    stream.next("c", "1", "r");
    let again = stream.acks();
    stream.ack("c", &again[0], "", "");
    assert_eq!(stream.number("c", "ack_floor.consumer_seq"), 5);
    assert_eq!(stream.number("c", "ack_floor.stream_seq"), 2);
    assert_eq!(stream.number("c", "num_ack_pending"), 2);
}

#[test]
fn what_is_not_acknowledged_in_time_comes_again() {
    let mut stream = explicit(5, r#","ack_wait":300000000"#);
    stream.next("c", "5", "r");
    let acks = stream.acks();
    stream.pass(20 * MS);
    stream.ack("c", &acks[3], "-NAK", "");
    stream.ack("c", &acks[1], "-NAK", "");
    stream.next("c", "1", "r");
    assert_eq!(stream.heard(), ["r m3 2/4/6/0"]);
    stream.next("c", r#"{"batch":1,"expires":1000}"#, "r");
    assert_eq!(stream.heard(), ["r m1 2/2/7/0"]);
    stream.pass(270 * MS);
    stream.next("c", "9", "r");
    assert_eq!(stream.heard(), Vec::<String>::new());
    stream.pass(20 * MS);
    assert_eq!(stream.heard(), ["r m0 2/1/8/0", "r m2 2/3/9/0", "r m4 2/5/10/0"]);
    stream.pass(20 * MS);
    assert_eq!(stream.heard(), ["r m1 3/2/11/0", "r m3 3/4/12/0"]);
}

#[test]
fn work_in_progress_and_delays_put_a_redelivery_off() {
    let mut stream = explicit(2, r#","ack_wait":300000000"#);
    stream.next("c", "9", "r");
    let acks = stream.acks();
    stream.ack("c", &acks[1], "-NAK {\"delay\": 480000000}", "");
    stream.pass(200 * MS);
    stream.ack("c", &acks[0], "+WPI", "");
    stream.pass(250 * MS);
    assert_eq!(stream.heard(), Vec::<String>::new());
    stream.pass(60 * MS);
    assert_eq!(stream.heard(), ["r m1 2/2/3/0", "r m0 2/1/4/0"]);
}

#[test]
fn deliveries_wait_longer_each_time_and_end() {
    let mut stream = explicit(1, r#","backoff":[200000000,400000000],"max_deliver":4"#);
    stream.next("c", "9", "r");
    let start = stream.now;
    let mut times = Vec::new();
    for _ in 0..400 {
        stream.pass(5 * MS);
        let said = stream.said();
        for got in said {
            if got.to == "r" {
                times.push((stream.now - start) / MS);
            } else if got.to.contains("MAX_DELIVERIES") {
                assert!(got.payload.contains("\"stream_seq\":1,\"deliveries\":4}"), "{got:?}");
                times.push(0);
            }
        }
    }
    let expected = [5, 200, 600, 1000, 0];
    assert!(times.len() == 5, "{times:?}");
    for (time, expected) in times.iter().zip(expected) {
        assert!(time.abs_diff(expected) <= 10, "{times:?}");
    }
    assert_eq!(stream.number("c", "num_ack_pending"), 0);
}

#[test]
fn an_ack_may_ask_for_more() {
    let mut stream = explicit(3, "");
    stream.next("c", "1", "r");
    let acks = stream.acks();
    stream.ack("c", &acks[0], "+NXT {\"batch\":2}", "more");
    assert_eq!(stream.heard(), ["more m1 1/2/2/1", "more m2 1/3/3/0"]);
    assert_eq!(stream.number("c", "ack_floor.stream_seq"), 1);
}

#[test]
fn every_deliver_policy_starts_where_it_should() {
    for (policy, seqs, before) in [
        (r#""deliver_policy":"all""#, "1234567", 0),
        (r#""deliver_policy":"last","filter_subject":"p.1""#, "5", 4),
        (r#""deliver_policy":"last","filter_subject":"p.9""#, "", 0),
        (r#""deliver_policy":"new""#, "", 7),
        (r#""deliver_policy":"by_start_sequence","opt_start_seq":4"#, "4567", 3),
        (r#""deliver_policy":"by_start_sequence","opt_start_seq":40"#, "", 39),
        (r#""deliver_policy":"by_start_time","opt_start_time":"2999-01-01T00:00:00Z""#, "", 7),
        (r#""deliver_policy":"last_per_subject","filter_subject":"p.>""#, "567", 4),
        (r#""filter_subject":"p.1""#, "25", 0),
        (r#""filter_subjects":["p.1","p.2"]"#, "2356", 0),
    ] {
        let mut stream = stream(7);
        let created = stream.create("c", &format!("{{{policy}}}"));
        assert!(created.contains(&format!("\"num_pending\":{}", seqs.len())), "{created}");
        assert_eq!(stream.number("c", "delivered.stream_seq"), before, "{policy}");
        stream.next("c", "9", "r");
        let acks = stream.acks();
        let got: String = acks.iter().map(|ack| ack.split('.').nth(5).unwrap()).collect();
        assert_eq!(got, seqs, "{policy}");
        for (left, ack) in (0..seqs.len()).rev().zip(&acks) {
            assert!(ack.ends_with(&format!(".{left}")), "{ack}");
        }
    }
}

#[test]
fn what_follows_the_last_messages_of_subjects_comes_too() {
    let mut stream = stream(7);
    stream.create("c", r#"{"deliver_policy":"last_per_subject","filter_subject":"p.>"}"#);
    stream.publish("p.0", "new");
    assert_eq!(stream.number("c", "num_pending"), 4);
    assert!(stream.remove(6));
    assert_eq!(stream.number("c", "num_pending"), 3);
    stream.next("c", "9", "r");
    assert_eq!(stream.heard(), ["r m4 1/5/1/2", "r m6 1/7/2/1", "r new 1/8/3/0"]);
}

#[test]
fn messages_that_go_are_no_longer_waited_for() {
    let mut stream = explicit(3, "");
    stream.next("c", "2", "r");
    stream.said();
    stream.remove(1);
    let said = stream.said();
    assert!(said[0].payload.contains("\"consumer_seq\":1,\"stream_seq\":1,\"deliveries\":1,\"reason\":\"Unacknowledged message was deleted\"}"), "{said:?}");
    assert_eq!(stream.number("c", "ack_floor.stream_seq"), 1);
    stream.purge_below(4);
    assert_eq!(stream.number("c", "num_ack_pending"), 0);
    assert_eq!(stream.number("c", "num_pending"), 0);
    assert_eq!(stream.number("c", "delivered.stream_seq"), 3);
    assert_eq!(stream.number("c", "ack_floor.consumer_seq"), 2);
    assert_eq!(stream.number("c", "ack_floor.stream_seq"), 3);
}

#[test]
fn only_headers_are_delivered_if_that_is_asked() {
    let mut stream = explicit(1, r#","headers_only":true"#);
    stream.next("c", "1", "r");
    let said = stream.said();
    assert_eq!(said[0].headers, "NATS/1.0\r\nNats-Msg-Size: 2\r\n\r\n");
    assert_eq!(said[0].payload, "");
    assert_eq!(said[0].subject, "p.0");
}

#[test]
fn a_push_consumer_delivers_while_somebody_listens() {
    let mut stream = stream(3);
    stream.deaf.0.insert(String::from("dd"));
    stream.create("c", r#"{"durable_name":"c","ack_policy":"explicit","deliver_subject":"dd","idle_heartbeat":200000000,"max_ack_pending":2}"#);
    stream.pass(1000 * MS);
    assert_eq!(stream.heard(), Vec::<String>::new());
    stream.deaf.0.clear();
    stream.interest("dd");
    assert_eq!(stream.heard(), ["dd m0 1/1/1/2", "dd m1 1/2/2/1"]);
    assert!(stream.info("c").contains("\"push_bound\":true"));
    stream.pass(250 * MS);
    assert_eq!(
        stream.heard(),
        ["dd 100 Idle Heartbeat | Nats-Last-Consumer: 2 | Nats-Last-Stream: 2"]
    );
    stream.deaf.0.insert(String::from("dd"));
    stream.pass(250 * MS);
    assert_eq!(stream.heard(), Vec::<String>::new());
    assert!(!stream.info("c").contains("push_bound"));
}

#[test]
fn flow_control_holds_deliveries_until_it_is_answered() {
    let mut stream = TestStream::new(r#"{"subjects":["p.>"]}"#);
    let big = "x".repeat(500_000);
    for _ in 0..8 {
        stream.publish("p.1", &big);
    }
    stream
        .create("c", r#"{"deliver_subject":"dd","idle_heartbeat":300000000,"flow_control":true}"#);
    let said = stream.said();
    let said: Vec<_> = said.iter().filter(|got| got.to == "dd").collect();
    assert_eq!(said.len(), 6);
    assert_eq!(said[3].headers, "NATS/1.0 100 FlowControl Request\r\n\r\n");
    let reply = said[3].reply.clone();
    assert!(reply.starts_with("$JS.FC.S.c.") && reply.len() == 15);
    stream.pass(350 * MS);
    assert_eq!(
        stream.heard(),
        [format!("dd 100 Idle Heartbeat | Nats-Last-Consumer: 5 | Nats-Last-Stream: 5 | Nats-Consumer-Stalled: {reply}")]
    );
    stream.flow("c", &reply);
    let said = stream.said();
    assert_eq!(said.len(), 4);
    assert!(said[3].reply.starts_with("$JS.FC.S.c."));
}

#[test]
fn answers_to_flow_control_may_be_the_acknowledgements() {
    let mut stream = stream(3);
    stream
        .create("c", r#"{"durable_name":"c","ack_policy":"flow_control","deliver_subject":"dd"}"#);
    stream.said();
    stream.pass(1010 * MS);
    let said = stream.said();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].headers.starts_with("NATS/1.0 100 Idle Heartbeat\r\n"), "{said:?}");
    assert_eq!(said[1].headers, "NATS/1.0 100 FlowControl Request\r\n\r\n");
    let headers = "NATS/1.0\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 2\r\n\r\n";
    stream.flow_with("c", &said[1].reply, headers);
    assert_eq!(stream.number("c", "ack_floor.stream_seq"), 2);
    assert_eq!(stream.number("c", "num_ack_pending"), 1);
}

#[test]
fn an_unused_consumer_goes() {
    let mut stream = stream(0);
    stream.create("e", r#"{"inactive_threshold":300000000}"#);
    stream.create("d", r#"{"durable_name":"d"}"#);
    stream.create("p", r#"{"deliver_subject":"dd","inactive_threshold":300000000}"#);
    stream.next("e", r#"{"expires":400000000}"#, "r");
    stream.pass(350 * MS);
    assert_eq!(stream.consumers.count(), 3);
    stream.deaf.0.insert(String::from("dd"));
    stream.pass(1200 * MS);
    assert_eq!(stream.consumers.names().collect::<Vec<_>>(), ["d"]);
}

#[test]
fn interest_keeps_what_somebody_has_yet_to_acknowledge() {
    let mut stream = TestStream::new(r#"{"subjects":["p.>"],"retention":"interest"}"#);
    assert!(!stream.consumers.wants(b"p.1"));
    stream.create("a", r#"{"durable_name":"a","ack_policy":"explicit"}"#);
    stream.create("b", r#"{"durable_name":"b","ack_policy":"none","filter_subject":"p.1"}"#);
    stream.publish("p.1", "x");
    stream.publish("p.2", "y");
    stream.next("a", "2", "r");
    let acks = stream.acks();
    stream.ack("a", &acks[1], "", "");
    assert!(!stream.store_has(2), "nobody else wants it");
    stream.ack("a", &acks[0], "", "");
    assert!(stream.store_has(1));
    stream.next("b", "1", "r");
    assert!(!stream.store_has(1), "delivered counts where nothing is acknowledged");
    stream.publish("p.1", "z");
    stream.next("a", "1", "r");
    let acks = stream.acks();
    stream.ack("a", &acks[1], "", "");
    assert!(stream.store_has(3));
    stream.api("CONSUMER.DELETE", "b", "");
    assert!(!stream.store_has(3), "who held it is gone");
}

#[test]
fn a_work_queue_keeps_what_is_not_acknowledged() {
    let mut stream = TestStream::new(r#"{"subjects":["p.>"],"retention":"workqueue"}"#);
    stream.publish("p.1", "x");
    stream.create("a", r#"{"durable_name":"a","ack_policy":"explicit"}"#);
    stream.next("a", "1", "r");
    let acks = stream.acks();
    assert!(stream.store_has(1));
    stream.ack("a", &acks[0], "", "ok");
    assert!(!stream.store_has(1));
    assert_eq!(stream.heard(), ["ok <>"]);
}

#[test]
fn a_paused_consumer_is_silent_but_for_heartbeats() {
    let mut stream = stream(1);
    stream.create("c", r#"{"durable_name":"c","deliver_subject":"dd","idle_heartbeat":400000000,"pause_until":"2023-11-14T22:13:21Z"}"#);
    assert!(stream.info("c").contains("\"paused\":true,\"pause_remaining\":999999999"));
    stream.pass(500 * MS);
    assert_eq!(
        stream.heard(),
        ["dd 100 Idle Heartbeat | Nats-Last-Consumer: 0 | Nats-Last-Stream: 0"]
    );
    stream.pass(600 * MS);
    let said = stream.said();
    assert!(said
        .iter()
        .any(|got| got.to.contains("PAUSE") && got.payload.contains("\"paused\":false")));
    assert!(said.iter().any(|got| got.payload == "m0"));
}

#[test]
fn pause_answers_what_it_did() {
    let mut stream = explicit(0, "");
    let body = r#"{"pause_until":"2023-11-14T22:13:21Z"}"#;
    assert_eq!(
        stream.api("CONSUMER.PAUSE", "c", body),
        r#"{"paused":true,"pause_until":"2023-11-14T22:13:21Z","pause_remaining":1000000000}"#
    );
    assert_eq!(
        stream.api("CONSUMER.PAUSE", "c", ""),
        r#"{"paused":false,"pause_until":"0001-01-01T00:00:00Z"}"#
    );
}

#[test]
fn replay_keeps_the_distances_in_time() {
    let mut stream = TestStream::new(r#"{"subjects":["p.>"]}"#);
    for _ in 0..3 {
        stream.publish("p.1", "x");
        stream.now += 100 * MS;
    }
    stream.create("c", r#"{"deliver_subject":"dd","replay_policy":"original"}"#);
    assert_eq!(stream.heard().len(), 1);
    stream.pass(90 * MS);
    assert_eq!(stream.heard().len(), 0);
    stream.pass(20 * MS);
    assert_eq!(stream.heard().len(), 1);
    stream.publish("p.1", "y");
    stream.pass(100 * MS);
    assert_eq!(stream.heard().len(), 2, "what came later comes at once");
}

#[test]
fn one_client_is_pinned_until_it_is_silent() {
    let mut stream = explicit(
        3,
        r#","priority_groups":["A"],"priority_policy":"pinned_client","priority_timeout":1000000000"#,
    );
    stream.next("c", r#"{"batch":1}"#, "x");
    assert_eq!(stream.heard(), ["x 400 Bad Request - Priority Group missing"]);
    stream.next("c", r#"{"batch":1,"group":"B"}"#, "x");
    assert_eq!(stream.heard(), ["x 400 Bad Request - Invalid Priority Group"]);
    stream.next("c", r#"{"batch":1,"group":"A"}"#, "a");
    let said = stream.said();
    let message = said.iter().find(|got| got.to == "a").unwrap();
    let pin = message.headers.split("Nats-Pin-Id: ").nth(1).unwrap().trim_end().to_owned();
    assert_eq!(pin.len(), 22);
    stream.next("c", r#"{"batch":1,"group":"A","expires":3000000000}"#, "b");
    stream.next("c", r#"{"batch":1,"group":"A","id":"zzz"}"#, "z");
    assert_eq!(stream.heard(), ["z 423 Nats-Pin-Id mismatch"]);
    stream.next("c", &format!("{{\"batch\":1,\"group\":\"A\",\"id\":\"{pin}\"}}"), "a");
    assert_eq!(stream.said().iter().filter(|got| got.to == "a").count(), 1);
    stream.pass(1100 * MS);
    let said = stream.said();
    assert!(said.iter().any(|got| got.payload.contains("\"reason\":\"timeout\"")), "{said:?}");
    assert!(said.iter().any(|got| got.to == "b" && got.payload == "m2"), "{said:?}");
    stream.next("c", &format!("{{\"batch\":1,\"group\":\"A\",\"id\":\"{pin}\"}}"), "a");
    assert_eq!(stream.heard(), ["a 423 Nats-Pin-Id mismatch"]);
    assert_eq!(stream.api("CONSUMER.UNPIN", "c", r#"{"group":"A"}"#), "{}");
}

#[test]
fn overflow_requests_wait_until_enough_is_left() {
    let mut stream = explicit(0, r#","priority_groups":["A"],"priority_policy":"overflow""#);
    stream.next("c", r#"{"batch":9,"group":"A","min_pending":3}"#, "r");
    stream.publish("p.1", "a");
    stream.publish("p.1", "b");
    assert_eq!(stream.heard().len(), 0);
    stream.publish("p.1", "d");
    assert_eq!(stream.heard(), ["r a 1/1/1/2"]);
    stream.next("c", r#"{"batch":1,"group":"A"}"#, "q");
    assert_eq!(stream.heard(), ["q b 1/2/2/1"]);
}

#[test]
fn prioritized_requests_are_served_by_their_number() {
    let mut stream = explicit(0, r#","priority_groups":["A"],"priority_policy":"prioritized""#);
    stream.next("c", r#"{"batch":2,"group":"A","priority":1}"#, "low");
    stream.next("c", r#"{"batch":2,"group":"A"}"#, "high");
    stream.next("c", r#"{"batch":2,"group":"A","priority":10}"#, "bad");
    for _ in 0..3 {
        stream.publish("p.1", "x");
    }
    let heard = stream.heard();
    assert_eq!(heard[0], "bad 400 Bad Request - Priority must be between 0 and 9");
    let to: Vec<&str> = heard[1..].iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(to, ["high", "high", "low"]);
}

#[test]
fn a_reset_starts_over() {
    let mut stream = explicit(5, "");
    stream.next("c", "4", "r");
    let acks = stream.acks();
    stream.ack("c", &acks[0], "", "");
    let info = stream.api("CONSUMER.RESET", "c", "");
    assert!(info.ends_with(",\"reset_seq\":2}"), "{info}");
    assert!(info.contains(r#""delivered":{"consumer_seq":0,"stream_seq":1}"#), "{info}");
    assert!(info.contains("\"num_pending\":4"), "{info}");
    let info = stream.api("CONSUMER.RESET", "c", r#"{"seq":9}"#);
    assert!(info.contains(r#""ack_floor":{"consumer_seq":0,"stream_seq":8}"#), "{info}");
    stream.create("n", r#"{"deliver_policy":"new"}"#);
    assert_eq!(
        stream.api("CONSUMER.RESET", "n", r#"{"seq":1}"#),
        r#"{"error":{"code":400,"err_code":10204,"description":"invalid reset: not allowed"},"reset_seq":0}"#
    );
    assert_eq!(stream.api("CONSUMER.RESET", "nobody", ""), "");
}

#[test]
fn deleting_ends_requests() {
    let mut stream = explicit(0, "");
    stream.next("c", "3", "r");
    assert_eq!(stream.api("CONSUMER.DELETE", "c", ""), r#"{"success":true}"#);
    assert_eq!(stream.heard(), ["r 409 Consumer Deleted"]);
    assert!(stream.info("c").contains("10014"));
}

#[test]
fn a_restart_delivers_again_what_was_not_acknowledged() {
    let mut stream = explicit(4, r#","ack_wait":300000000"#);
    let mut snapshot = Vec::new();
    stream.next("c", "3", "r");
    let acks = stream.acks();
    stream.ack("c", &acks[1], "", "");
    stream.consumers.snapshot(&mut snapshot);
    stream.restart(&snapshot, &[]);
    stream.said();
    assert_eq!(stream.number("c", "num_ack_pending"), 2);
    assert_eq!(stream.number("c", "num_pending"), 1);
    stream.pass(400 * MS);
    stream.next("c", "9", "r");
    assert_eq!(stream.heard(), ["r m0 2/1/4/1", "r m2 2/3/5/1", "r m3 1/4/6/0"]);
}

#[test]
fn names_and_descriptions_come_in_pages() {
    let mut stream = stream(0);
    for name in ["b", "a", "d"] {
        stream.create(name, "{}");
    }
    assert_eq!(
        stream.api("CONSUMER.NAMES", "", ""),
        r#"{"total":3,"offset":0,"limit":1024,"consumers":["a","b","d"]}"#
    );
    assert_eq!(
        stream.api("CONSUMER.NAMES", "", r#"{"offset":300}"#),
        r#"{"total":3,"offset":3,"limit":1024,"consumers":[]}"#
    );
    assert_eq!(
        stream.api("CONSUMER.NAMES", "", r#"{"zz":-1}"#),
        r#"{"error":{"code":400,"err_code":10025,"description":"invalid JSON: json: unknown field \"zz\""},"total":0,"offset":0,"limit":0,"consumers":[]}"#
    );
    let list = stream.api("CONSUMER.LIST", "", r#"{"offset":2}"#);
    assert!(
        list.starts_with(
            r#"{"total":3,"offset":2,"limit":256,"consumers":[{"stream_name":"S","name":"d","#
        ),
        "{list}"
    );
    assert!(!list.contains("_nats.ver"), "{list}");
}

#[test]
fn an_archive_has_consumers_that_could_be_made_and_no_others() {
    let mut stream = stream(3);
    let archived = |name: &str, more: &str| {
        format!(
            r#"{{"config":{{"name":"{name}","durable_name":"{name}","ack_policy":"explicit"{more}}},"state":{{}}}}"#
        )
    };
    assert!(stream.add_archived(&archived("a", "")));
    assert!(!stream.add_archived(&archived("a", "")), "there is one of that name");
    assert!(stream.add_archived(&archived("b", r#","filter_subject":"p.1""#)));
    for (name, more) in [
        ("c", r#","deliver_subject":"p.*""#),
        ("d", r#","filter_subject":"p..1""#),
        ("e.f", ""),
        ("g", r#","filter_subject":"p.1","filter_subjects":["p.2"]"#),
    ] {
        assert!(!stream.add_archived(&archived(name, more)), "{name} {more}");
    }
}
