//! Goal: a changed configuration file takes effect on a running broker, on the
//! connections that are there, and what takes a restart changes nothing.
//! Method: rewrite the file, SIGHUP, wait for the log. Asked of nats-server.

use crate::common::{config, Broker, Raw};

const USERS: &str = "authorization { users [ { user: ann, password: pw },\
    { user: bob, password: pw, permissions { publish: p, subscribe: [s, \"t.*\"] } } ] }";

fn user(broker: &Broker, name: &str) -> Raw {
    let options = format!("{{\"verbose\":false,\"user\":\"{name}\",\"pass\":\"pw\"}}");
    Raw::open_with(broker, &options)
}

fn reload(broker: &Broker, text: &str) {
    broker.rewrite_config(text);
    broker.signal("HUP");
    broker.wait_log("Reloaded server configuration (sha256:");
}

#[test]
fn a_subscription_that_is_not_permitted_any_more_is_removed() {
    let broker = config(USERS);
    let (mut ann, mut bob) = (user(&broker, "ann"), user(&broker, "bob"));
    bob.send("SUB s 1\r\nSUB t.* 2\r\nSUB t.* q 3\r\n");
    bob.fence();
    reload(
        &broker,
        &USERS.replace("publish: p, subscribe: [s, \"t.*\"]", "publish: x, subscribe: s"),
    );
    bob.expect_exact(
        "-ERR 'Permissions Violation for Subscription to \"t.*\" (sid \"2\")'\r\n\
         -ERR 'Permissions Violation for Subscription to \"t.*\" using queue \"q\" (sid \"3\")'\r\n",
    );
    bob.send("PUB p 0\r\n\r\nPUB x 0\r\n\r\nPING\r\n");
    bob.expect_exact("-ERR 'Permissions Violation for Publish to \"p\"'\r\nPONG\r\n");
    ann.publish("t.a", "x");
    ann.publish("s", "x");
    ann.fence();
    bob.expect_exact("MSG s 1 1\r\nx\r\n");
    bob.fence();
}

#[test]
fn who_is_no_user_any_more_is_closed_and_who_has_a_new_password_hears_so() {
    let broker = config(USERS);
    let (mut ann, mut bob) = (user(&broker, "ann"), user(&broker, "bob"));
    reload(&broker, "authorization { users [ { user: ann, password: new } ] }");
    bob.expect_eof();
    ann.expect_fatal("Authorization Violation");
}

#[test]
fn what_takes_a_restart_is_refused_and_nothing_changes() {
    let broker = config(USERS);
    let mut bob = user(&broker, "bob");
    broker.rewrite_config("max_subs: 2\nauthorization { users [] }");
    broker.signal("HUP");
    broker.wait_log(
        "Failed to reload server configuration: config reload not supported for MaxSubs: old=0, \
         new=2",
    );
    bob.fence();
    user(&broker, "ann").fence();
}

#[test]
fn limits_of_a_file_take_effect_at_once() {
    let broker = config("max_payload: 100");
    let mut raw = Raw::open(&broker);
    reload(&broker, "max_payload: 10");
    broker.wait_log("Reloaded: max_payload = 10");
    raw.fence();
    raw.send_doomed("PUB a 11\r\n");
    raw.expect_fatal("Maximum Payload Violation");
}

#[test]
fn a_lower_limit_closes_the_connections_beyond_it() {
    let broker = config("max_connections: 10");
    let mut all: Vec<Raw> = (0..8).map(|_| Raw::open(&broker)).collect();
    reload(&broker, "max_connections: 3");
    broker.wait_log("Closed 5 connections to fall within max_connections");
    broker.wait_log("Reloaded: max_connections = 3");
    // Which ones it is is the broker's choice: those that are left answer.
    let mut left = 0;
    for raw in &mut all {
        raw.send_doomed("PING\r\n");
        match raw.next_line().as_deref() {
            Some("PONG") => left += 1,
            Some("-ERR 'maximum connections exceeded'") => raw.expect_eof(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(left, 3);
    let mut more = Raw::connect(&broker);
    more.expect_fatal("maximum connections exceeded");
}

#[test]
fn the_log_moves_to_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one.log"), folder.path().join("two.log"));
    let text = |file: &std::path::Path| format!("log_file: '{}'", file.display());
    let broker = config("");
    reload_to(&broker, &text(&one), &one, "Reloaded server configuration (sha256:");
    broker.wait_log(&format!("Reloaded: log_file = {}", one.display()));
    reload_to(&broker, &text(&two), &two, "Reloaded server configuration (sha256:");
    let old = std::fs::read_to_string(&one).unwrap();
    assert!(old.contains(&format!("Reloaded: log_file = {}", two.display())), "{old}");
    assert_eq!(old.matches("Reloaded server configuration").count(), 1, "{old}");
}

/// Reloads a broker whose log goes to `file` then, and waits until `line` stands there.
fn reload_to(broker: &Broker, text: &str, file: &std::path::Path, line: &str) {
    broker.rewrite_config(text);
    broker.signal("HUP");
    let limit = std::time::Instant::now() + crate::common::PATIENCE;
    while !std::fs::read_to_string(file).unwrap_or_default().contains(line) {
        assert!(std::time::Instant::now() < limit, "no {line:?} in {}", file.display());
        std::thread::yield_now();
    }
}

#[test]
fn the_ports_file_moves_to_another_directory() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = |folder: &tempfile::TempDir| std::fs::read_dir(folder.path()).unwrap().count();
    let text =
        |folder: &tempfile::TempDir| format!("ports_file_dir: '{}'", folder.path().display());
    let mut broker = config(&text(&one));
    reload(&broker, &text(&two));
    broker.wait_log("Reloaded: ports_file_dir = ");
    assert_eq!((files(&one), files(&two)), (0, 1));
    broker.signal("TERM");
    assert!(broker.wait_exit(crate::common::PATIENCE).success());
    assert_eq!((files(&one), files(&two)), (0, 0));
}
