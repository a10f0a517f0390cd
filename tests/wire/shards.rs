//! Goal: it is impossible to tell on how many cores the broker runs. Whatever a
//! flush, a drain or a reply promises between two connections holds wherever
//! they live. Method: connections are opened in turn, so that they land on
//! different shards, and each promise is tried for many rounds over all of
//! them; waits are for messages and PONGs only, so a loss fails at once.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::{Broker, Random, Raw};

/// How often a promise is tried where a round is short.
const ROUNDS: usize = 2000;

fn open_many(broker: &Broker, count: usize) -> Vec<Raw> {
    (0..count).map(|_| Raw::open_headers(broker)).collect()
}

/// Two different indices below `count` that run through all pairs.
fn pair(round: usize, count: usize) -> (usize, usize) {
    let first = round % count;
    (first, (first + 1 + (round / count) % (count - 1)) % count)
}

fn number(payload: &[u8]) -> usize {
    std::str::from_utf8(payload).unwrap().parse().unwrap()
}

#[test]
fn what_was_published_and_flushed_precedes_the_subscribers_next_pong() {
    let broker = Broker::start(&[]);
    let mut raws = open_many(&broker, 8);
    for (index, raw) in raws.iter_mut().enumerate() {
        raw.send(format!("SUB t.{index} 1\r\n"));
        raw.fence();
    }
    for round in 0..ROUNDS {
        let (from, to) = pair(round, raws.len());
        let count = 1 + round % 16;
        for index in 0..count {
            raws[from].publish(&format!("t.{to}"), (round * 100 + index).to_string());
        }
        raws[from].fence();
        let got: Vec<usize> =
            raws[to].drain().iter().map(|message| number(&message.payload)).collect();
        let sent: Vec<usize> = (0..count).map(|index| round * 100 + index).collect();
        assert_eq!(got, sent, "round {round}: {from} to {to}");
    }
}

#[test]
fn a_flushed_burst_reaches_every_subscriber_before_its_next_pong() {
    let broker = Broker::start(&[]);
    let mut raws = open_many(&broker, 6);
    for raw in &mut raws {
        raw.send("SUB all 1\r\n");
        raw.fence();
    }
    for round in 0..60 {
        let from = round % raws.len();
        let burst: String = (0..500).map(|n| format!("PUB all 3\r\n{n:03}\r\n")).collect();
        raws[from].send(burst);
        for step in 0..raws.len() {
            // The publisher itself comes first: its PONG is the flush.
            let index = (from + step) % raws.len();
            let got = raws[index].drain();
            assert_eq!(got.len(), 500, "round {round}: {from} to {index}");
            assert!(got.iter().enumerate().all(|(n, message)| number(&message.payload) == n));
        }
    }
}

#[test]
fn a_flushed_sub_is_seen_by_every_publisher() {
    let broker = Broker::start(&[]);
    let mut raws = open_many(&broker, 8);
    for round in 0..ROUNDS {
        let (from, to) = pair(round, raws.len());
        raws[to].send(format!("SUB s.{round} {round}\r\n"));
        raws[to].fence();
        raws[from].publish(&format!("s.{round}"), "x");
        let got = raws[to].message();
        assert_eq!(got.sid, round.to_string());
        if round % 2 == 0 {
            raws[to].send(format!("UNSUB {round}\r\n"));
        }
    }
}

#[test]
fn a_flushed_unsub_ends_delivery_and_loses_nothing_before_it() {
    let broker = Broker::start(&[]);
    let mut raws = open_many(&broker, 8);
    for round in 0..ROUNDS {
        let (from, to) = pair(round, raws.len());
        let count = round % 12;
        raws[to].send(format!("SUB u {round}\r\n"));
        raws[to].fence();
        for index in 0..count {
            raws[from].publish("u", index.to_string());
        }
        // On even rounds all were flushed and all must come; on odd rounds the
        // first few, without a gap.
        if round % 2 == 0 {
            raws[from].fence();
        }
        raws[to].send(format!("UNSUB {round}\r\n"));
        let got: Vec<usize> =
            raws[to].drain().iter().map(|message| number(&message.payload)).collect();
        assert_eq!(got, (0..got.len()).collect::<Vec<_>>(), "round {round}: {from} to {to}");
        assert!(round % 2 == 1 || got.len() == count, "round {round}: {from} to {to}: {got:?}");
        raws[from].publish("u", "late");
        raws[from].fence();
        raws[to].fence();
    }
}

#[test]
fn a_subscriber_drains_without_a_gap_under_a_steady_load() {
    let broker = Broker::start(&[]);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for publisher in 0..2 {
            let (broker, done) = (&broker, &done);
            scope.spawn(move || {
                let mut raw = Raw::open(broker);
                let mut count = 0;
                while !done.load(Ordering::Relaxed) {
                    for _ in 0..50 {
                        raw.publish(&format!("load.{publisher}"), count.to_string());
                        count += 1;
                    }
                    raw.fence();
                }
            });
        }
        let mut raws = open_many(&broker, 4);
        for round in 0..300 {
            let raw = &mut raws[round % 4];
            raw.send(format!("SUB load.* {round}\r\n"));
            let mut got: Vec<_> = (0..100).map(|_| raw.message()).collect();
            raw.send(format!("UNSUB {round}\r\n"));
            got.extend(raw.drain());
            raw.fence();
            let mut next: HashMap<String, usize> = HashMap::new();
            for message in got {
                let got = number(&message.payload);
                let expected = next.entry(message.subject).or_insert(got);
                assert_eq!(got, *expected, "round {round}");
                *expected += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_maximum_holds_against_publishers_everywhere() {
    let broker = Broker::start(&[]);
    let mut subscribers = open_many(&broker, 4);
    let mut publishers = open_many(&broker, 4);
    for round in 0..200 {
        for raw in &mut subscribers {
            raw.send(format!("SUB m {round}\r\nUNSUB {round} 50\r\n"));
            raw.fence();
        }
        for raw in &mut publishers {
            raw.send("PUB m 1\r\nx\r\n".repeat(25));
        }
        for raw in &mut publishers {
            raw.fence();
        }
        for raw in &mut subscribers {
            assert_eq!(raw.drain().len(), 50, "round {round}");
        }
    }
}

#[test]
fn a_request_finds_its_responder_and_the_reply_its_requester() {
    let broker = Broker::start(&[]);
    let mut raws = open_many(&broker, 9);
    for (index, raw) in raws.iter_mut().enumerate() {
        raw.send(format!("SUB in.{index}.* 1\r\n"));
        raw.fence();
    }
    for round in 0..ROUNDS {
        let (asks, answers) = pair(round, raws.len());
        let request = format!("PUB svc in.{asks}.{round} 1\r\n?\r\n");
        // The responder subscribes and is known once its PING is answered.
        raws[answers].send("SUB svc 2\r\n");
        raws[answers].fence();
        raws[asks].send(&request);
        let got = raws[answers].message();
        raws[answers].publish(got.reply.as_deref().unwrap(), "!");
        let reply = raws[asks].message();
        assert_eq!((reply.headers, reply.payload), (None, b"!".to_vec()), "round {round}");
        // Once its UNSUB is flushed, nobody is left.
        raws[answers].send("UNSUB 2\r\n");
        raws[answers].fence();
        raws[asks].send(&request);
        let status = raws[asks].message();
        assert!(status.headers.is_some_and(|block| block.starts_with(b"NATS/1.0 503\r\n")));
        raws[asks].fence();
    }
}

/// Serves `svc` in queue group `q` until `done`; replies with the request.
fn serve(broker: &Broker, done: &AtomicBool, churns: bool) -> usize {
    let mut raw = Raw::open(broker);
    let mut served = 0;
    loop {
        raw.send("SUB svc q 1\r\n");
        let last = loop {
            let ending = done.load(Ordering::Relaxed);
            if churns || ending {
                raw.send("UNSUB 1\r\n");
            }
            for message in raw.drain() {
                raw.publish(message.reply.as_deref().unwrap(), &message.payload);
                served += 1;
            }
            if churns || ending {
                break ending;
            }
        };
        raw.fence();
        if last {
            return served;
        }
    }
}

#[test]
fn no_request_is_refused_or_lost_while_one_responder_stays() {
    let broker = Broker::start(&[]);
    let done = AtomicBool::new(false);
    let mut ready = Raw::open_headers(&broker);
    ready.send("SUB in 1\r\n");
    let total = thread::scope(|scope| {
        let serving: Vec<_> = [false, true, true, true]
            .into_iter()
            .map(|churns| {
                scope.spawn({
                    let (broker, done) = (&broker, &done);
                    move || serve(broker, done, churns)
                })
            })
            .collect();
        // The one that stays may not be there yet: its SUB is known when many
        // requests in a row were served, whatever the others do.
        let mut row = 0;
        let mut warm = 0;
        while row < 300 {
            ready.send("PUB svc in 1\r\nw\r\n");
            let served = ready.message().headers.is_none();
            warm += usize::from(served);
            row = if served { row + 1 } else { 0 };
        }
        let asking: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| {
                let mut raw = Raw::open_headers(&broker);
                for round in 0..ROUNDS / 4 {
                    // The inbox is new with each request, as in old clients.
                    let text = round.to_string();
                    let inbox = format!("in.{}.{round}", raw.info()["client_id"]);
                    let size = text.len();
                    raw.send(format!(
                        "SUB {inbox} {round}\r\nUNSUB {round} 1\r\nPUB svc {inbox} {size}\r\n{text}\r\n"
                    ));
                    let reply = raw.message();
                    assert_eq!((reply.headers, number(&reply.payload)), (None, round));
                }
                ROUNDS / 4
            }))
            .collect();
        let asked: usize = asking.into_iter().map(|thread| thread.join().unwrap()).sum();
        done.store(true, Ordering::Relaxed);
        let served: usize = serving.into_iter().map(|thread| thread.join().unwrap()).sum();
        (asked + warm, served)
    });
    assert_eq!(total.0, total.1);
}

/// Passes each message on: its payload is the subject to publish to next, and
/// what follows a blank in it is the next payload.
fn relay(mut raw: Raw, count: usize) {
    for _ in 0..count {
        let message = raw.message();
        let text = String::from_utf8(message.payload).unwrap();
        let (subject, rest) = text.split_once(' ').unwrap();
        raw.publish(subject, rest);
    }
}

#[test]
fn a_message_through_others_never_overtakes_the_sub_sent_before_it() {
    let broker = Broker::start(&[]);
    let relays = open_many(&broker, 3);
    let mut raws = open_many(&broker, 8);
    thread::scope(|scope| {
        for (index, mut raw) in relays.into_iter().enumerate() {
            raw.send(format!("SUB relay.{index} 1\r\n"));
            raw.fence();
            scope.spawn(move || relay(raw, ROUNDS));
        }
        for round in 0..ROUNDS {
            let raw = &mut raws[round % 8];
            // One write: the SUB and what sets the relays going, no flush.
            let first = format!("relay.1 relay.2 home.{round} hello");
            raw.send(format!(
                "SUB home.{round} {round}\r\nUNSUB {round} 1\r\nPUB relay.0 {}\r\n{first}\r\n",
                first.len()
            ));
            let message = raw.message();
            assert_eq!(
                (message.subject, message.payload),
                (format!("home.{round}"), b"hello".into())
            );
        }
    });
}

/// Publishes `count` numbers to `work`, flushing now and then.
fn produce(broker: &Broker, base: usize, count: usize) {
    let mut raw = Raw::open(broker);
    for index in 0..count {
        raw.publish("work", (base + index).to_string());
        if index % 100 == 99 {
            raw.fence();
        }
    }
    raw.fence();
}

#[test]
fn a_queue_group_loses_and_repeats_nothing_while_members_come_and_go() {
    const EACH: usize = 4000;
    let broker = Broker::start(&[]);
    let done = AtomicBool::new(false);
    let taken = Mutex::new(Vec::new());
    let mut stays = Raw::open(&broker);
    stays.send("SUB work q 1\r\n");
    stays.fence();
    thread::scope(|scope| {
        for member in 0..5 {
            let (broker, done, taken) = (&broker, &done, &taken);
            scope.spawn(move || {
                let mut mine = Vec::new();
                let mut raw = Raw::open(broker);
                for round in 0.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    raw.send(format!("SUB work q {round}\r\n"));
                    mine.extend(raw.drain());
                    mine.extend(raw.drain());
                    raw.send(format!("UNSUB {round}\r\n"));
                    mine.extend(raw.drain());
                    // Some leave by closing, once drained.
                    if (round + member) % 8 == 0 {
                        raw = Raw::open(broker);
                    }
                }
                taken.lock().unwrap().extend(mine);
            });
        }
        let producers: Vec<_> = (0..3)
            .map(|index| {
                scope.spawn({
                    let broker = &broker;
                    move || produce(broker, index * EACH, EACH)
                })
            })
            .collect();
        let mut mine = Vec::new();
        while producers.iter().any(|producer| !producer.is_finished()) {
            mine.extend(stays.drain());
        }
        for producer in producers {
            producer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        mine.extend(stays.drain());
        taken.lock().unwrap().extend(mine);
    });
    let mut numbers: Vec<usize> =
        taken.into_inner().unwrap().iter().map(|message| number(&message.payload)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers.len(), 3 * EACH);
    assert!(numbers.into_iter().eq(0..3 * EACH));
}

#[test]
fn a_queue_group_repeats_nothing_when_members_close_undrained() {
    let broker = Broker::start(&[]);
    let mut stays = open_many(&broker, 2);
    for raw in &mut stays {
        raw.send("SUB work q 1\r\n");
        raw.fence();
    }
    let mut publisher = Raw::open_headers(&broker);
    publisher.send("SUB in 1\r\n");
    let mut seen = HashSet::new();
    let mut next = 0;
    for round in 0..50 {
        let mut leaves = open_many(&broker, 3);
        for (index, raw) in leaves.iter_mut().enumerate() {
            raw.send(format!("SUB work q 1\r\nSUB alive.{index} 2\r\n"));
            raw.fence();
        }
        let mut burst = |publisher: &mut Raw, count: usize| {
            for _ in 0..count {
                publisher.publish("work", next.to_string());
                next += 1;
            }
        };
        burst(&mut publisher, 50);
        drop(leaves);
        burst(&mut publisher, 50);
        // Once none of them can be reached, nothing is lost.
        for index in 0..3 {
            loop {
                publisher.send(format!("PUB alive.{index} in 0\r\n\r\nPING\r\n"));
                if !publisher.until_pong().is_empty() {
                    break;
                }
            }
        }
        let lossless = 100;
        burst(&mut publisher, lossless);
        publisher.fence();
        let mut late = 0;
        for message in stays.iter_mut().flat_map(Raw::drain) {
            let got = number(&message.payload);
            late += usize::from(got >= next - lossless);
            assert!(seen.insert(got), "{got} came twice");
        }
        assert_eq!(late, lossless, "round {round}");
    }
}

#[test]
fn each_subscriber_sees_each_publishers_order() {
    const EACH: usize = 4000;
    let broker = Broker::start(&[]);
    let mut subscribers = open_many(&broker, 4);
    for raw in &mut subscribers {
        raw.send("SUB order.> 1\r\n");
        raw.fence();
    }
    thread::scope(|scope| {
        for publisher in 0..4 {
            let broker = &broker;
            scope.spawn(move || {
                let mut raw = Raw::open(broker);
                for index in 0..EACH {
                    // Alternating subjects and sizes take different ways.
                    let pad = if index % 50 == 0 { 6000 } else { 6 };
                    raw.publish(
                        &format!("order.{publisher}.{}", index % 5),
                        format!("{index:0pad$}"),
                    );
                }
                raw.fence();
            });
        }
        for mut raw in subscribers {
            scope.spawn(move || {
                let mut next: HashMap<String, usize> = HashMap::new();
                for _ in 0..4 * EACH {
                    let message = raw.message();
                    let publisher = message.subject.split('.').nth(1).unwrap().to_owned();
                    let expected = next.entry(publisher).or_default();
                    assert_eq!(number(&message.payload), *expected);
                    *expected += 1;
                }
                raw.fence();
            });
        }
    });
}

#[test]
fn large_messages_arrive_whole_everywhere() {
    let broker = Broker::start(&[]);
    let sizes =
        [1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 100_000, 262_144, 1_000_000, 1_048_576, 0, 3];
    let mut subscribers = open_many(&broker, 4);
    for raw in &mut subscribers {
        raw.send("SUB large.* 1\r\n");
        raw.fence();
    }
    thread::scope(|scope| {
        for publisher in 0..3_u64 {
            let broker = &broker;
            scope.spawn(move || {
                let mut raw = Raw::open(broker);
                for (index, &size) in sizes.iter().enumerate() {
                    let bytes = Random::new(publisher * 100 + index as u64).bytes(size);
                    raw.publish(&format!("large.{publisher}"), bytes);
                }
                raw.fence();
            });
        }
        for mut raw in subscribers {
            scope.spawn(move || {
                let mut next: HashMap<String, usize> = HashMap::new();
                for _ in 0..3 * sizes.len() {
                    let message = raw.message();
                    let publisher: u64 = message.subject[6..].parse().unwrap();
                    let index = next.entry(message.subject).or_default();
                    let bytes = Random::new(publisher * 100 + *index as u64).bytes(sizes[*index]);
                    assert!(message.payload == bytes, "{} bytes of {publisher}", sizes[*index]);
                    *index += 1;
                }
                raw.fence();
            });
        }
    });
}

#[test]
fn hundreds_of_connections_come_and_go() {
    let broker = Broker::start(&[]);
    let mut publisher = Raw::open_headers(&broker);
    publisher.send("SUB in 1\r\n");
    let mut raws: Vec<Option<Raw>> = (0..200).map(|_| None).collect();
    for round in 0..6 {
        for (index, slot) in raws.iter_mut().enumerate() {
            if slot.is_none() {
                let mut raw = Raw::open(&broker);
                raw.send(format!("SUB own.{index} 1\r\nSUB all 2\r\nSUB all q{} 3\r\n", index % 5));
                *slot = Some(raw);
            }
        }
        for raw in raws.iter_mut().flatten() {
            raw.fence();
        }
        for index in 0..200 {
            publisher.publish(&format!("own.{index}"), index.to_string());
        }
        publisher.publish("all", "x");
        publisher.fence();
        let mut copies = 0;
        for (index, raw) in raws.iter_mut().flatten().enumerate() {
            let got = raw.drain();
            let count = |sid: &str| got.iter().filter(|message| message.sid == sid).count();
            assert_eq!((count("1"), count("2")), (1, 1), "round {round}, connection {index}");
            assert_eq!(number(&got[0].payload), index);
            copies += count("3");
        }
        assert_eq!(copies, 5, "round {round}");
        for (index, slot) in raws.iter_mut().enumerate() {
            if (index + round) % 3 == 0 {
                *slot = None;
            }
        }
    }
    drop(raws);
    // All of them are forgotten in the end.
    for index in 0..200 {
        loop {
            publisher.send(format!("PUB own.{index} in 0\r\n\r\nPING\r\n"));
            if !publisher.until_pong().is_empty() {
                break;
            }
        }
    }
}

#[test]
fn a_storm_of_subscriptions_is_known_everywhere_once_flushed() {
    let broker = Broker::start(&[]);
    let mut raws = open_many(&broker, 6);
    for (index, raw) in raws.iter_mut().enumerate() {
        let subs: String = (0..2000)
            .map(|n| format!("SUB st.{index}.{n} {n}\r\nSUB st.{index}.{n}.* q x{n}\r\n"))
            .collect();
        raw.send(subs);
    }
    for raw in &mut raws {
        raw.fence();
    }
    for round in 0..600 {
        let (from, to) = pair(round, raws.len());
        let n = (round * 37) % 2000;
        raws[from].send(format!("PUB st.{to}.{n} 0\r\n\r\nPUB st.{to}.{n}.y 0\r\n\r\n"));
        raws[from].fence();
        let sids: Vec<String> = raws[to].drain().into_iter().map(|message| message.sid).collect();
        assert_eq!(sids, [n.to_string(), format!("x{n}")]);
    }
    for raw in &mut raws {
        let unsubs: String = (0..2000).map(|n| format!("UNSUB {n}\r\nUNSUB x{n}\r\n")).collect();
        raw.send(unsubs);
    }
    for raw in &mut raws {
        raw.fence();
    }
    for round in 0..600 {
        let (from, to) = pair(round, raws.len());
        let n = (round * 37) % 2000;
        raws[from].send(format!("PUB st.{to}.{n} 0\r\n\r\nPUB st.{to}.{n}.y 0\r\n\r\n"));
        raws[from].fence();
        raws[to].fence();
    }
}

#[test]
fn flushes_of_many_connections_at_once_all_end() {
    const CONNECTIONS: usize = 12;
    const EACH: usize = 500;
    let broker = Broker::start(&[]);
    let together = Barrier::new(CONNECTIONS);
    let received = AtomicUsize::new(0);
    thread::scope(|scope| {
        for index in 0..CONNECTIONS {
            let (broker, together, received) = (&broker, &together, &received);
            scope.spawn(move || {
                let mut raw = Raw::open(broker);
                raw.send(format!("SUB f.{index} 1\r\n"));
                raw.fence();
                together.wait();
                let mut count = 0;
                for round in 0..EACH {
                    let to = (index + round) % CONNECTIONS;
                    raw.publish(&format!("f.{to}"), "x");
                    raw.send(format!("SUB g.{round} g{round}\r\nUNSUB g{round}\r\n"));
                    count += raw.drain().len();
                }
                together.wait();
                received.fetch_add(count + raw.drain().len(), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(received.into_inner(), CONNECTIONS * EACH);
}

#[test]
fn a_second_connect_takes_its_subscriptions_back_everywhere() {
    let broker = Broker::start(&[]);
    let mut raws = open_many(&broker, 6);
    for (index, raw) in raws.iter_mut().enumerate() {
        raw.send(format!("SUB in.{index} 1\r\n"));
        raw.fence();
    }
    let options = r#"{"verbose":false,"headers":true,"no_responders":true}"#;
    for round in 0..300 {
        let (asks, answers) = pair(round, raws.len());
        raws[answers].send("SUB svc 2\r\nSUB svc q 3\r\nPING\r\n");
        raws[answers].until_pong();
        let request = format!("PUB svc in.{asks} 0\r\n\r\n");
        raws[asks].send(&request);
        raws[asks].fence();
        assert_eq!(raws[answers].drain().len(), 2, "round {round}");
        raws[answers].send(format!("CONNECT {options}\r\nSUB in.{answers} 1\r\n"));
        raws[answers].fence();
        raws[asks].send(&request);
        assert!(raws[asks].message().headers.is_some(), "round {round}");
        raws[answers].fence();
    }
}

#[test]
fn a_shard_that_went_idle_wakes_up_for_each_event() {
    // Pauses around the time a shard polls before it parks: each event must
    // end the sleep, be it a connection, bytes, or a message of another shard.
    let broker = Broker::start(&[]);
    let mut raws = open_many(&broker, 4);
    for (index, raw) in raws.iter_mut().enumerate() {
        raw.send(format!("SUB idle.{index} 1\r\n"));
        raw.fence();
    }
    let mut random = Random::new(11);
    for round in 0..3000 {
        thread::sleep(Duration::from_micros(random.below(800) as u64));
        let (from, to) = pair(round, raws.len());
        match random.below(4) {
            0 => {
                // Closed by the client, or by the broker first.
                let mut raw = Raw::connect(&broker);
                if random.below(2) == 0 {
                    raw.finish();
                    raw.expect_eof();
                }
            }
            1 => raws[from].fence(),
            _ => {
                raws[from].publish(&format!("idle.{to}"), "wake");
                assert_eq!(raws[to].message().payload, b"wake");
            }
        }
    }
}
