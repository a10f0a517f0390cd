//! Goal: nothing that was ever published as a weakness of nats-server is one of this broker. One
//! test for each advisory that concerns the client port, its users and its configuration, named
//! after it; `docs/advisories.md` lists them all, with those that concern other parts. Method: what
//! the advisory tells, done. Asked of nats-server 2.15.1, which has them mended.

use std::process::Command;

use crate::common::{config, Broker, Raw};

fn user(broker: &Broker, name: &str) -> Raw {
    let options =
        format!("{{\"verbose\":false,\"headers\":true,\"user\":\"{name}\",\"pass\":\"pw\"}}");
    Raw::open_with(broker, &options)
}

/// Whether the broker serves as if nothing had happened.
fn serves(broker: &mut Broker) {
    assert!(broker.is_running(), "{}", broker.log());
    Raw::connect(broker);
}

/// What a test run says to a configuration: it must end, and not by a signal.
fn tested(text: &str) -> (Option<i32>, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let run = Command::new(Broker::binary()).arg("-t").arg("-c").arg(file.path()).output().unwrap();
    (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
}

// A size that overflows where it is added to something.
#[test]
fn cve_2019_13126_sizes_that_overflow() {
    let mut broker = Broker::start(&[]);
    for size in ["2147483647", "4294967296", "9223372036854775807", "18446744073709551616", "-1"] {
        for line in [
            format!("PUB a {size}\r\n"),
            format!("HPUB a {size} {size}\r\n"),
            format!("HPUB a 12 {size}\r\n"),
        ] {
            let mut raw = Raw::open_headers(&broker);
            raw.send_doomed(line);
            let rest = String::from_utf8(raw.rest()).unwrap();
            assert!(rest.is_empty() || rest.starts_with("-ERR '"), "{size}: {rest:?}");
        }
    }
    serves(&mut broker);
}

// Claims without what every claim has, and other texts that are no JWT.
#[test]
fn cve_2020_26521_a_jwt_that_is_none() {
    let mut broker = config("authorization { users: [ {user: u, password: pw} ] }");
    for jwt in
        ["", ".", "..", "a.b.c", "eyJ0eXAiOiJqd3QiLCJhbGciOiJlZDI1NTE5In0.e30.AA", "e30.e30.e30"]
    {
        let mut raw = Raw::connect(&broker);
        raw.send(format!("CONNECT {{\"jwt\":\"{jwt}\",\"sig\":\"{jwt}\",\"nkey\":\"{jwt}\"}}\r\n"));
        raw.expect_fatal("Authorization Violation");
    }
    serves(&mut broker);
}

// Accounts that import from each other, in a circle.
#[test]
fn cve_2020_28466_import_cycles() {
    let account = |name: &str, from: &str| {
        format!(
            "{name} {{ users: [ {{user: {name}, password: pw}} ]\n exports: [ {{service: help}} ]\n \
             imports: [ {{service: {{account: {from}, subject: help}}}} ] }}\n"
        )
    };
    let text =
        format!("accounts {{ {}{}{} }}", account("A", "B"), account("B", "C"), account("C", "A"));
    let (status, said) = tested(&text);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.starts_with("nats-server: "), "{said}");
}

// The same by way of a stream whose prefix makes the circle.
#[test]
fn cve_2022_42709_import_loops() {
    let account = |name: &str, from: &str| {
        format!(
            "{name} {{ users: [ {{user: {name}, password: pw}} ]\n exports: [ {{stream: \">\"}} ]\n \
             imports: [ {{stream: {{account: {from}, subject: \">\"}}, prefix: p}} ] }}\n"
        )
    };
    let (status, said) =
        tested(&format!("accounts {{ {}{} }}", account("A", "B"), account("B", "A")));
    assert!(status.is_some(), "{said}");
    let (status, said) = tested(&format!("accounts {{ {} }}", account("A", "A")));
    assert!(status.is_some(), "{said}");
}

// CONNECT that names an account, or asks for a new one.
#[test]
fn cve_2022_24450_an_account_is_not_chosen_by_the_client() {
    let broker = config(
        "accounts { A { users: [ {user: a, password: pw} ] }, $SYS { users: [ {user: s, password: pw} ] } }",
    );
    let mut own = user(&broker, "a");
    own.send("SUB x 1\r\n");
    own.fence();
    for more in [
        r#""account":"$SYS""#,
        r#""account":"$SYS","new_account":true"#,
        r#""account":"B","new_account":true"#,
    ] {
        let mut raw = Raw::connect(&broker);
        raw.send(format!("CONNECT {{\"user\":\"a\",\"pass\":\"pw\",{more}}}\r\n"));
        raw.expect_fatal("Authorization Violation");
    }
    user(&broker, "a").publish("x", "1");
    assert_eq!(own.message().payload, b"1");
}

// A deny rule of a subject, and a queue subscription to a wildcard that covers it.
#[test]
fn cve_2022_29946_denied_subjects_of_queue_subscriptions() {
    let broker = config(
        "authorization { users: [ {user: a, password: pw}, {user: b, password: pw, \
         permissions { subscribe { deny: \"foo.secret\" } } } ] }",
    );
    let (mut ann, mut bob) = (user(&broker, "a"), user(&broker, "b"));
    bob.send("SUB foo.* q 1\r\nSUB foo.> 2\r\nSUB > r 3\r\n");
    bob.fence();
    ann.publish("foo.secret", "no");
    ann.publish("foo.open", "yes");
    ann.fence();
    let mut subjects: Vec<String> = (0..3).map(|_| bob.message().subject).collect();
    subjects.dedup();
    assert_eq!(subjects, ["foo.open"]);
    bob.fence();
}

// Users of the system account only: they do not let everybody else in, or else everybody in is
// nobody in particular, and not in that account.
#[test]
fn cve_2023_47090_users_of_the_system_account_alone() {
    let broker = config("accounts { $SYS { users: [ {user: s, password: pw} ] } }");
    let mut wrong = Raw::connect(&broker);
    wrong.send("CONNECT {\"verbose\":false,\"user\":\"s\",\"pass\":\"no\"}\r\n");
    wrong.expect_fatal("Authorization Violation");
    let broker = config(
        "authorization { timeout: 3 }, accounts { $SYS { users: [ {user: s, password: pw} ] } }",
    );
    let mut wrong = Raw::connect(&broker);
    wrong.send("CONNECT {\"verbose\":false,\"user\":\"s\",\"pass\":\"no\"}\r\n");
    wrong.expect_fatal("Authorization Violation");
}

// A request that only the system account may make, from another.
#[test]
fn cve_2025_30215_requests_of_administration_from_an_account() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "jetstream {{ store_dir: '{}' }}\naccounts {{ A {{ jetstream: enabled, users: [ {{user: a, password: pw}} ] }}, \
         B {{ jetstream: enabled, users: [ {{user: b, password: pw}} ] }} }}",
        folder.path().display()
    );
    let broker = config(&text);
    let (mut ann, mut bob) = (user(&broker, "a"), user(&broker, "b"));
    let ask = |raw: &mut Raw, subject: &str, body: &str| {
        raw.send("SUB r 9\r\n");
        raw.send(format!("PUB {subject} r {}\r\n{body}\r\n", body.len()));
        let message = raw.message();
        raw.send("UNSUB 9\r\n");
        raw.fence();
        String::from_utf8_lossy(&message.payload).into_owned()
    };
    let made = ask(&mut bob, "$JS.API.STREAM.CREATE.S", r#"{"name":"S","subjects":["s"]}"#);
    assert!(made.contains("\"did_create\":true"), "{made}");
    for subject in [
        "$JS.API.ACCOUNT.PURGE.B",
        "$JS.API.ACCOUNT.STREAM.MOVE.B.S",
        "$JS.API.ACCOUNT.STREAM.CANCEL_MOVE.B.S",
        "$JS.API.SERVER.REMOVE",
        "$JS.API.META.LEADER.STEPDOWN",
    ] {
        ann.send(format!("PUB {subject} x 2\r\n{{}}\r\n"));
        ann.fence();
    }
    let there = ask(&mut bob, "$JS.API.STREAM.INFO.S", "");
    assert!(there.contains("\"subjects\":[\"s\"]"), "{there}");
}

// Names of streams and consumers that are paths; a backup that brings others.
#[test]
fn cve_2022_26652_names_that_are_paths() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("deep/store");
    let broker = config(&format!("jetstream {{ store_dir: '{}' }}", store.display()));
    let mut raw = Raw::open(&broker);
    raw.send("SUB r 1\r\n");
    for name in ["../../evil", "/tmp/evil", "a/../../evil", "..", "a\\\\..\\\\evil"] {
        for (subject, body) in [
            ("$JS.API.STREAM.CREATE.x", format!("{{\"name\":\"{name}\",\"subjects\":[\"s\"]}}")),
            (
                "$JS.API.STREAM.RESTORE.x",
                format!("{{\"config\":{{\"name\":\"{name}\"}},\"state\":{{}}}}"),
            ),
        ] {
            raw.send(format!("PUB {subject} r {}\r\n{body}\r\n", body.len()));
            let answer = String::from_utf8_lossy(&raw.message().payload).into_owned();
            assert!(answer.contains("\"error\""), "{name}: {answer}");
        }
    }
    let beside: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(beside.len(), 1, "nothing but the store's parent");
}

// Replicas nobody has.
#[test]
fn cve_2022_42708_replica_counts() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = config(&format!("jetstream {{ store_dir: '{}' }}", folder.path().display()));
    let mut raw = Raw::open(&broker);
    raw.send("SUB r 1\r\n");
    for replicas in ["-1", "-9223372036854775808", "6", "2147483648", "9223372036854775807"] {
        let body = format!("{{\"name\":\"S\",\"subjects\":[\"s\"],\"num_replicas\":{replicas}}}");
        raw.send(format!("PUB $JS.API.STREAM.CREATE.S r {}\r\n{body}\r\n", body.len()));
        let answer = String::from_utf8_lossy(&raw.message().payload).into_owned();
        assert!(answer.contains("\"error\""), "{replicas}: {answer}");
    }
    serves(&mut broker);
}

// A wildcard subscription that overlaps a denied pattern and is no part of it.
#[test]
fn ghsa_wh7g_5m82_pmhr_wildcards_that_overlap_a_denied_one() {
    let broker = config(
        "authorization { users: [ {user: a, password: pw}, {user: b, password: pw, \
         permissions { subscribe { allow: [\"*.x\", \"y.>\"], deny: [\"secret.*\", \"y.*.z\"] } } } ] }",
    );
    let (mut ann, mut bob) = (user(&broker, "a"), user(&broker, "b"));
    bob.send("SUB *.x 1\r\nSUB *.x q 2\r\nSUB y.> 3\r\n");
    bob.fence();
    for subject in ["secret.x", "open.x", "y.1.z", "y.1"] {
        ann.publish(subject, "1");
    }
    ann.fence();
    let mut subjects: Vec<String> =
        bob.drain().into_iter().map(|message| message.subject).collect();
    subjects.sort();
    assert_eq!(subjects, ["open.x", "open.x", "y.1"]);
}

// A denied subject stays denied for a queue of which another is denied.
#[test]
fn ghsa_jx8g_9g95_6322_a_queue_that_is_not_denied_does_not_undo_a_denied_subject() {
    let broker = config(
        "authorization { users: [ {user: b, password: pw, permissions { subscribe { allow: \">\", \
         deny: [\"foo\", \"foo bad\"] } } } ] }",
    );
    let mut bob = user(&broker, "b");
    for (line, error) in [
        ("SUB foo 1", "Permissions Violation for Subscription to \"foo\""),
        (
            "SUB foo good 2",
            "Permissions Violation for Subscription to \"foo\" using queue \"good\"",
        ),
        ("SUB foo bad 3", "Permissions Violation for Subscription to \"foo\" using queue \"bad\""),
    ] {
        bob.send(format!("{line}\r\nPING\r\n"));
        bob.expect_exact(format!("-ERR '{error}'\r\nPONG\r\n"));
    }
}

// The user of those who show nothing, who may come by other ways only.
#[test]
fn ghsa_hmmp_q8cx_v964_no_auth_user_is_judged_before_connect_too() {
    let broker = config(
        "no_auth_user: n\nauthorization { users: [ {user: n, password: pw, \
         allowed_connection_types: [\"WEBSOCKET\"]}, {user: a, password: pw} ] }",
    );
    for first in ["PING\r\n", "SUB a 1\r\n", "PUB a 0\r\n\r\n", "CONNECT {}\r\n"] {
        let mut raw = Raw::connect(&broker);
        raw.send_doomed(first);
        let rest = String::from_utf8(raw.rest()).unwrap();
        assert!(rest.contains("-ERR 'Authorization Violation'"), "{first:?}: {rest:?}");
    }
    user(&broker, "a").fence();
}

// A header by which a client would say who it is.
#[test]
fn cve_2026_33223_who_asks_is_not_said_by_a_header_of_the_client() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB a 1\r\n");
    raw.fence();
    let headers = "NATS/1.0\r\nNats-Request-Info: {\"acc\":\"X\",\"user\":\"root\"}\r\n\r\n";
    raw.send(format!("HPUB a {} {}\r\n{headers}\r\n", headers.len(), headers.len()));
    // Within an account nobody vouches for it, and it is left as it is; what crosses accounts gets
    // the broker's own.
    let message = raw.message();
    assert_eq!(message.subject, "a");
    raw.fence();
}

// Traces go nowhere their sender may not publish to.
#[test]
fn cve_2026_33249_traces_to_subjects_that_are_not_permitted() {
    let broker = config(
        "authorization { users: [ {user: a, password: pw}, {user: b, password: pw, \
         permissions { publish: \"open\", subscribe: \">\" } } ] }",
    );
    let (mut ann, mut bob) = (user(&broker, "a"), user(&broker, "b"));
    ann.send("SUB > 1\r\n");
    ann.fence();
    let headers = "NATS/1.0\r\nNats-Trace-Dest: closed\r\n\r\n";
    bob.send(format!("HPUB open {} {}\r\n{headers}\r\n", headers.len(), headers.len()));
    bob.send("PING\r\n");
    while bob.line() != "PONG" {}
    let subjects: Vec<String> = ann.drain().into_iter().map(|message| message.subject).collect();
    assert!(!subjects.contains(&"closed".to_owned()), "{subjects:?}");
}
