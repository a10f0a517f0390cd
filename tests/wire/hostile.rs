//! Goal: no bytes, and no silence, of one connection harm another. Method: a
//! bystander pair exchanges messages, to the byte, after each attack.

use crate::common::{Broker, Random, Raw};

/// Two well-behaved connections, to be checked after each attack.
struct Bystanders {
    publisher: Raw,
    subscriber: Raw,
    count: usize,
}

impl Bystanders {
    fn new(broker: &Broker) -> Self {
        let mut subscriber = Raw::open(broker);
        subscriber.send("SUB calm 1\r\n");
        subscriber.fence();
        Self { publisher: Raw::open(broker), subscriber, count: 0 }
    }

    fn check(&mut self) {
        self.count += 1;
        let text = format!("{:06}", self.count);
        self.publisher.publish("calm", &text);
        self.publisher.fence();
        self.subscriber.expect_exact(format!("MSG calm 1 6\r\n{text}\r\n"));
        self.subscriber.fence();
    }
}

#[test]
fn random_bytes_close_only_their_sender() {
    let broker = Broker::start(&[]);
    let mut calm = Bystanders::new(&broker);
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut raw = Raw::connect(&broker);
        let len = 1 + random.below(5000);
        raw.send_doomed(random.bytes(len));
        raw.finish();
        raw.rest();
        calm.check();
    }
}

#[test]
fn mutated_ops_close_only_their_sender() {
    let script = "CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB a.* q 7\r\nPUB a.b r 5\r\n\
        hello\r\nHPUB a.c 12 14\r\nNATS/1.0\r\n\r\nhi\r\nUNSUB 7 9\r\nPING\r\nPONG\r\n";
    let broker = Broker::start(&[]);
    let mut calm = Bystanders::new(&broker);
    for seed in 0..600 {
        let mut random = Random::new(seed);
        let mut bytes = script.as_bytes().to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.next().to_le_bytes()[3],
                1 => bytes.insert(at, b" \r\n\t9-*>.\0"[random.below(10)]),
                2 if at > 0 => bytes.truncate(at),
                _ if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => {}
            }
        }
        let mut raw = Raw::connect(&broker);
        raw.send_doomed(&bytes);
        raw.finish();
        raw.rest();
        if seed % 10 == 0 {
            calm.check();
        }
    }
    calm.check();
}

#[test]
fn a_connection_cut_anywhere_leaves_nothing_behind() {
    let script = "CONNECT {\"verbose\":false,\"headers\":true}\r\nPUB calm 9\r\nnot whole\
        HPUB calm 12 24\r\nNATS/1.0\r\n\r\nstill not it";
    let broker = Broker::start(&[]);
    let mut calm = Bystanders::new(&broker);
    for end in 1..script.len() {
        let mut raw = Raw::connect(&broker);
        raw.send_doomed(&script[..end]);
        drop(raw);
    }
    calm.check();
}

#[test]
fn silent_and_half_open_connections_are_left_alone() {
    let broker = Broker::start(&[]);
    let mut calm = Bystanders::new(&broker);
    let mut silent: Vec<Raw> = (0..100).map(|_| Raw::connect(&broker)).collect();
    let mut partial: Vec<Raw> = (0..100).map(|_| Raw::open(&broker)).collect();
    for raw in &mut partial {
        raw.send("PUB calm 100\r\nhalf a payload");
    }
    calm.check();
    for raw in &mut silent {
        raw.fence();
    }
    for raw in &mut partial {
        raw.send([b'x'; 86]);
        raw.send("\r\n");
        raw.fence();
    }
    for _ in 0..100 {
        assert_eq!(calm.subscriber.message().payload.len(), 100);
    }
    calm.check();
}

#[test]
fn a_mebibyte_of_subscriptions_is_taken_and_forgotten() {
    let broker = Broker::start(&[]);
    let mut calm = Bystanders::new(&broker);
    let mut spam = String::new();
    let mut count = 0;
    while spam.len() < 1 << 20 {
        spam.push_str(&format!("SUB spam.{} {count}\r\n", count % 1000));
        count += 1;
    }
    let mut raw = Raw::open(&broker);
    raw.send(&spam);
    calm.check();
    raw.fence();
    calm.publisher.publish("spam.7", "x");
    calm.publisher.fence();
    assert_eq!(raw.drain().len(), (count - 7usize).div_ceil(1000));
    calm.check();
    drop(raw);
    calm.check();
}

#[test]
fn repeated_subs_of_one_sid_stay_one_subscription() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB same 1\r\n".repeat(80_000));
    raw.fence();
    raw.send("PUB same 0\r\n\r\n");
    raw.expect_exact("MSG same 1 0\r\n\r\n");
    raw.fence();
}

#[test]
fn a_line_without_end_is_cut_off() {
    let broker = Broker::start(&[]);
    let mut calm = Bystanders::new(&broker);
    for op in ["SUB ", "PUB ", "CONNECT {", "UNSUB ", "INFO "] {
        let mut raw = Raw::open(&broker);
        raw.send_doomed(op);
        raw.send_doomed("x".repeat(1 << 20));
        raw.expect_fatal("maximum control line exceeded");
        calm.check();
    }
}

#[test]
fn a_ping_without_end_costs_nothing() {
    let broker = Broker::start(&[]);
    let mut calm = Bystanders::new(&broker);
    let mut raw = Raw::open(&broker);
    raw.send("PING");
    for _ in 0..64 {
        raw.send("x".repeat(1 << 16));
    }
    raw.send("\r\n");
    raw.expect_exact("PONG\r\n");
    calm.check();
}

#[test]
fn a_flood_of_pings_is_answered_in_full() {
    let broker = Broker::start(&[]);
    let mut calm = Bystanders::new(&broker);
    let mut raw = Raw::open(&broker);
    for _ in 0..20 {
        raw.send("PING\r\n".repeat(10_000));
        raw.expect_exact("PONG\r\n".repeat(10_000));
        calm.check();
    }
}

#[test]
fn one_publish_to_thousands_of_own_subscriptions_keeps_others_going() {
    let broker = Broker::start(&[]);
    let mut calm = Bystanders::new(&broker);
    let mut raw = Raw::open(&broker);
    let subs: String = (0..5000).map(|sid| format!("SUB fan {sid}\r\n")).collect();
    raw.send(subs);
    raw.fence();
    raw.send("PUB fan 64\r\n".to_owned() + &"x".repeat(64) + "\r\n");
    calm.check();
    assert_eq!(raw.drain().len(), 5000);
    calm.check();
}

#[test]
fn deep_subjects_full_of_wildcards_keep_others_going() {
    // Patterns that all match one subject in exponentially many ways to look.
    let broker = Broker::start(&[]);
    let mut calm = Bystanders::new(&broker);
    let mut raw = Raw::open(&broker);
    let mut random = Random::new(5);
    for sid in 0..2000 {
        let tokens: Vec<&str> = (0..20).map(|_| ["a", "*"][random.below(2)]).collect();
        raw.send(format!("SUB {} {sid}\r\n", tokens.join(".")));
    }
    raw.fence();
    let subject = ["a"; 20].join(".");
    raw.publish(&subject, "x");
    assert_eq!(raw.drain().len(), 2000);
    raw.publish(&(subject + ".a"), "x");
    raw.fence();
    calm.check();
}

#[test]
fn connections_opened_and_dropped_in_a_hurry_are_forgotten() {
    let broker = Broker::start(&[]);
    let mut calm = Bystanders::new(&broker);
    for _ in 0..20 {
        let dropped: Vec<_> = (0..50).map(|_| broker.dial()).collect();
        drop(dropped);
        calm.check();
    }
}
