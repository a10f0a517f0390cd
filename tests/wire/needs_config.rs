//! Goal: limits and timers that only a configuration file can set. Method: a
//! file for each, with values small enough to be reached.

use std::time::{Duration, Instant};

use crate::common::{config, Broker, Raw};

#[test]
fn connections_above_max_connections_hear_why() {
    let broker = config("max_connections: 3");
    let mut kept: Vec<Raw> = (0..3).map(|_| Raw::open(&broker)).collect();
    for _ in 0..3 {
        // INFO comes first.
        Raw::connect(&broker).expect_fatal("maximum connections exceeded");
    }
    for raw in &mut kept {
        raw.fence();
    }
    // A place that becomes free is given away again.
    kept.pop();
    loop {
        let mut raw = Raw::connect(&broker);
        raw.send_doomed("CONNECT {\"verbose\":false}\r\nPING\r\n");
        if raw.line() == "PONG" {
            break;
        }
    }
}

#[test]
fn subscriptions_above_max_subscriptions_are_refused() {
    let broker = config("max_subscriptions: 2");
    for verbose in [false, true] {
        let mut raw = Raw::connect(&broker);
        raw.send(format!("CONNECT {{\"verbose\":{verbose}}}\r\nSUB a 1\r\nSUB b 2\r\n"));
        let ok = if verbose { "+OK\r\n" } else { "" };
        raw.expect_exact(ok.repeat(3));
        raw.send("SUB c 3\r\nPING\r\n");
        raw.expect_exact("-ERR 'maximum subscriptions exceeded'\r\nPONG\r\n");
        // The limit is a connection's own, and a place can be freed.
        Raw::open(&broker).send("SUB a 1\r\n");
        raw.send("UNSUB 1\r\nSUB c 3\r\nPUB c 0\r\n\r\n");
        raw.expect_exact(ok.repeat(3));
        raw.expect_exact("MSG c 3 0\r\n\r\n");
    }
}

#[test]
fn a_subscription_of_too_many_tokens_is_refused() {
    let broker = config("max_sub_tokens: 3");
    let mut raw = Raw::open(&broker);
    raw.send("SUB a.b.c.d 1\r\nPING\r\n");
    raw.expect_exact(
        "-ERR 'Permissions Violation for Subscription to \"a.b.c.d\", too many tokens'\r\nPONG\r\n",
    );
    raw.send("SUB a.b.c 1\r\nSUB a.> 2\r\nPUB a.b.c.d 0\r\n\r\n");
    raw.expect_exact("MSG a.b.c.d 2 0\r\n\r\n");
}

#[test]
fn max_payload_is_told_and_enforced() {
    let broker = config("max_payload: 100");
    let mut raw = Raw::open(&broker);
    assert_eq!(raw.info()["max_payload"], 100);
    raw.send("SUB a 1\r\n");
    raw.publish("a", "x".repeat(100));
    assert_eq!(raw.message().payload.len(), 100);
    raw.send("PUB a 101\r\n");
    raw.expect_fatal("Maximum Payload Violation");
}

#[test]
fn max_control_line_is_enforced() {
    let broker = config("max_control_line: 256");
    let mut raw = Raw::open(&broker);
    raw.send(format!("SUB {} 1\r\n", "x".repeat(254)));
    raw.fence();
    raw.send_doomed(format!("SUB {} 2\r\n", "x".repeat(255)));
    raw.expect_fatal("maximum control line exceeded");
}

#[test]
fn who_does_not_answer_pings_is_stale() {
    let broker = config("ping_interval: \"300ms\"\nping_max: 2");
    let mut raw = Raw::open(&broker);
    raw.show_pings();
    raw.expect_exact("PING\r\nPING\r\n");
    raw.expect_fatal("Stale Connection");
}

#[test]
fn one_pong_makes_up_for_all_pings() {
    let broker = config("ping_interval: \"300ms\"\nping_max: 2");
    let mut raw = Raw::open(&broker);
    raw.show_pings();
    for _ in 0..3 {
        raw.expect_exact("PING\r\nPING\r\n");
        raw.send("PONG\r\n");
    }
    raw.expect_exact("PING\r\nPING\r\n");
    raw.expect_fatal("Stale Connection");
}

#[test]
fn pings_come_at_their_interval() {
    let broker = config("ping_interval: \"500ms\"\nping_max: 100");
    let mut raw = Raw::open(&broker);
    raw.show_pings();
    raw.expect_line("PING");
    let started = Instant::now();
    for _ in 0..4 {
        raw.send("PONG\r\n");
        raw.expect_line("PING");
    }
    let waited = started.elapsed();
    assert!(waited > Duration::from_millis(1600), "{waited:?}");
    assert!(waited < Duration::from_millis(4000), "{waited:?}");
}

#[test]
fn a_client_that_is_active_is_not_asked() {
    let broker = config("ping_interval: \"500ms\"");
    let mut raw = Raw::open(&broker);
    raw.show_pings();
    // The first PING measures the round trip and comes in any case.
    raw.expect_line("PING");
    raw.send("PONG\r\n");
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1800) {
        raw.publish("a", "x");
        raw.fence();
        assert!(raw.silent_for(Duration::from_millis(20)), "asked in spite of its messages");
    }
    raw.expect_line("PING");
}

#[test]
fn a_subscriber_is_closed_at_a_small_max_pending() {
    let broker = config("max_pending: 2mb\nmax_payload: 1mb");
    let mut stalled = Raw::open(&broker);
    stalled.send("SUB a 1\r\n");
    stalled.fence();
    let mut publisher = Raw::open(&broker);
    for _ in 0..40 {
        publisher.publish("a", vec![b'x'; 1 << 20]);
        publisher.fence();
    }
    broker.wait_log("Slow Consumer Detected: MaxPending of 2097152 Exceeded");
    assert!(stalled.rest().len() < 40 << 20);
}

#[test]
fn a_subscriber_is_closed_at_its_write_deadline() {
    let broker = config("write_deadline: \"1s\"");
    let mut stalled = Raw::open(&broker);
    stalled.send("SUB a 1\r\n");
    stalled.fence();
    let mut publisher = Raw::open(&broker);
    for _ in 0..40 {
        publisher.publish("a", vec![b'x'; 1 << 20]);
        publisher.fence();
    }
    let line = broker.wait_log("Slow Consumer Detected: WriteDeadline of 1s exceeded with ");
    assert!(line.contains(" chunks of ") && line.ends_with(" total bytes."), "{line}");
    assert!(stalled.rest().len() < 40 << 20);
}

#[test]
fn the_authentication_timeout_can_be_set() {
    let text = "authorization { user: ann, password: pw, timeout: 0.5 }";
    let broker = config(text);
    let started = Instant::now();
    Raw::connect(&broker).expect_fatal("Authentication Timeout");
    assert!(started.elapsed() < Duration::from_millis(1900), "{:?}", started.elapsed());
}

#[test]
fn no_header_support_is_told_and_enforced() {
    let broker = config("no_header_support: true");
    let mut raw = Raw::open_with(&broker, "{\"verbose\":false,\"headers\":true}");
    assert_eq!(raw.info()["headers"], false);
    raw.send("HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n");
    raw.expect_eof();
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"headers\":true,\"no_responders\":true}\r\n");
    raw.expect_fatal("no responders requires headers support");
}

const USERS: &str = r#"
authorization {
  users = [
    { user: ann, password: pw }
    { user: bob, password: pw, permissions {
        publish { allow: ["pub.>", "q.*"], deny: "pub.secret" }
        subscribe { allow: ["sub.>", "g q1"], deny: ["sub.secret"] } } }
  ]
}
"#;

fn user(broker: &Broker, name: &str) -> Raw {
    let options = format!("{{\"verbose\":false,\"user\":\"{name}\",\"pass\":\"pw\"}}");
    Raw::open_with(broker, &options)
}

#[test]
fn permissions_refuse_publishes_in_words() {
    let broker = config(USERS);
    let mut ann = user(&broker, "ann");
    ann.send("SUB > 1\r\n");
    ann.fence();
    let mut bob = user(&broker, "bob");
    for subject in ["other", "pub", "pub.secret", "q.a.b"] {
        bob.send(format!("PUB {subject} 0\r\n\r\nPING\r\n"));
        bob.expect_exact(format!(
            "-ERR 'Permissions Violation for Publish to \"{subject}\"'\r\nPONG\r\n"
        ));
    }
    for subject in ["pub.a", "pub.a.b", "q.x"] {
        bob.publish(subject, "x");
        bob.fence();
        ann.expect_exact(format!("MSG {subject} 1 1\r\nx\r\n"));
    }
    ann.fence();
}

#[test]
fn permissions_refuse_subscriptions_in_words() {
    let broker = config(USERS);
    let mut bob = user(&broker, "bob");
    for (line, error) in [
        ("SUB other 1", "Permissions Violation for Subscription to \"other\""),
        ("SUB sub.secret 1", "Permissions Violation for Subscription to \"sub.secret\""),
        ("SUB > 1", "Permissions Violation for Subscription to \">\""),
        ("SUB other q 1", "Permissions Violation for Subscription to \"other\" using queue \"q\""),
        ("SUB g q2 1", "Permissions Violation for Subscription to \"g\" using queue \"q2\""),
    ] {
        bob.send(format!("{line}\r\nPING\r\n"));
        bob.expect_exact(format!("-ERR '{error}'\r\nPONG\r\n"));
    }
    let mut ann = user(&broker, "ann");
    bob.send("SUB sub.> 1\r\nSUB g q1 2\r\n");
    bob.fence();
    for subject in ["sub.a", "sub.secret", "g"] {
        ann.publish(subject, "x");
    }
    ann.fence();
    // A wildcard that covers a denied subject is taken, its messages are not.
    bob.expect_exact("MSG sub.a 1 1\r\nx\r\nMSG g 2 1\r\nx\r\n");
    bob.fence();
}

#[test]
fn accounts_do_not_see_each_other() {
    let text = "accounts { A { users [ { user: ann, password: pw } ] },\
        B { users [ { user: bob, password: pw } ] } }";
    let broker = config(text);
    let (mut ann, mut bob) = (user(&broker, "ann"), user(&broker, "bob"));
    ann.send("SUB a 1\r\nSUB a q 2\r\n");
    ann.fence();
    bob.send("SUB a 1\r\nPUB a 1\r\nb\r\n");
    bob.expect_exact("MSG a 1 1\r\nb\r\n");
    bob.fence();
    ann.fence();
    // CONNECT can move a connection, without its subscriptions.
    ann.send("CONNECT {\"verbose\":false,\"user\":\"bob\",\"pass\":\"pw\"}\r\nSUB a 3\r\n");
    ann.fence();
    bob.publish("a", "c");
    bob.expect_exact("MSG a 1 1\r\nc\r\n");
    bob.fence();
    ann.expect_exact("MSG a 3 1\r\nc\r\n");
    ann.fence();
}

#[test]
fn no_auth_user_lets_a_client_in_without_credentials() {
    let text = "accounts { A { users [ { user: ann, password: pw } ] } }\nno_auth_user: ann";
    let broker = config(text);
    let mut raw = Raw::connect(&broker);
    assert!(raw.info().get("auth_required").is_none());
    raw.send("SUB a 1\r\nPUB a 0\r\n\r\nPING\r\n");
    raw.expect_exact("+OK\r\n+OK\r\nMSG a 1 0\r\n\r\nPONG\r\n");
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    raw.expect_exact("PONG\r\n");
    let info = raw.expect_info();
    assert_eq!((&info["auth_required"], &info["remote_account"]), (&true.into(), &"A".into()));
}

#[test]
fn lame_duck_times_can_be_set() {
    let text = "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"1s\"";
    let mut broker = config(text);
    let mut raw = Raw::open(&broker);
    let started = Instant::now();
    broker.signal("USR2");
    raw.expect_eof();
    assert!(started.elapsed() > Duration::from_millis(900), "{:?}", started.elapsed());
    assert_eq!(broker.wait_exit(Duration::from_secs(5)).code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}
