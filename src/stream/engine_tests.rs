//! Goal: the engine says what nats-server 2.15.1 says. Method: requests and publishes against
//! streams in memory, with a clock that the test moves; expected texts were recorded.

use std::collections::BTreeSet;

use super::*;
use crate::store::{Commit, MemoryStores};
use crate::subject::{matches, AccountId};

const ACCOUNT: AccountId = AccountId(1);

pub(super) struct Listeners(pub(super) BTreeSet<Vec<u8>>);

impl Interest for Listeners {
    fn has_interest(&mut self, _: AccountId, subject: &[u8]) -> bool {
        self.0.iter().any(|pattern| matches(pattern, subject))
    }

    fn has_listener(&mut self, account: AccountId, subject: &[u8], _: &[u8]) -> bool {
        self.has_interest(account, subject)
    }
}

/// An engine, and everything around it.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) out: Outbox,
    pub(super) stores: MemoryStores,
    pub(super) listeners: Listeners,
    pub(super) now: u64,
    pub(super) subscriptions: Vec<(Token, Vec<u8>)>,
    pub(super) said: Vec<(String, String, String)>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(JetStreamLimits::default(), ServerLimits::default())
    }

    pub(super) fn with(limits: JetStreamLimits, server: ServerLimits) -> Self {
        let identity = ServerIdentity {
            name: String::from("s1"),
            id: String::from("ID"),
            version: String::from("2.15.1"),
            domain: String::new(),
            max_payload: 1 << 20,
            has_long_acks: false,
        };
        let config = EngineConfig { server: identity, limits: server, strict: true, seed: 1 };
        let mut world = Self {
            engine: Engine::new(config),
            out: Outbox::default(),
            stores: MemoryStores::new(1),
            listeners: Listeners(BTreeSet::new()),
            now: 1_795_254_353_000_000_000,
            subscriptions: Vec::new(),
            said: Vec::new(),
        };
        world.call(|engine, ctx| engine.add_account(ACCOUNT, "A", Some(limits), ctx));
        world
    }

    pub(super) fn call(&mut self, action: impl FnOnce(&mut Engine, &mut Context<'_>)) {
        let mut ctx = Context {
            now: self.now,
            interest: &mut self.listeners,
            stores: &mut self.stores,
            out: &mut self.out,
        };
        action(&mut self.engine, &mut ctx);
        while self.out.has_ready(Commit(u64::MAX)) {
            self.out.pop(Commit(u64::MAX), |output| match output {
                Output::Publish(message) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let said = (text(message.to), text(message.headers), text(message.payload));
                    self.said.push(said);
                }
                Output::Subscribe { token, pattern, .. } => {
                    self.subscriptions.push((*token, pattern.to_vec()));
                }
                Output::Unsubscribe { token, pattern, .. } => {
                    let at = self
                        .subscriptions
                        .iter()
                        .position(|(known, other)| known == token && other == pattern);
                    self.subscriptions.remove(at.expect("a subscription that there is"));
                }
            });
        }
    }

    pub(super) fn publish(&mut self, subject: &str, reply: &str, headers: &str, payload: &str) {
        let tokens: Vec<Token> = self
            .subscriptions
            .iter()
            .filter(|(_, pattern)| matches(pattern, subject.as_bytes()))
            .map(|(token, _)| *token)
            .collect();
        for token in tokens {
            self.call(|engine, ctx| {
                let incoming = Incoming {
                    token,
                    account: ACCOUNT,
                    subject: subject.as_bytes(),
                    reply: reply.as_bytes(),
                    headers: headers.as_bytes(),
                    payload: payload.as_bytes(),
                };
                engine.handle_message(&incoming, ctx);
            });
        }
    }

    /// The answers to a message: headers and bodies.
    pub(super) fn request(
        &mut self,
        subject: &str,
        headers: &[(&str, &str)],
        payload: &str,
    ) -> Vec<String> {
        let mut block = String::new();
        if !headers.is_empty() {
            block.push_str("NATS/1.0\r\n");
            for (name, value) in headers {
                block.push_str(&format!("{name}: {value}\r\n"));
            }
            block.push_str("\r\n");
        }
        self.said.clear();
        self.publish(subject, "_INBOX.x", &block, payload);
        let answers = self.said.iter().filter(|(to, ..)| to == "_INBOX.x");
        answers.map(|(_, headers, payload)| [&headers[..], payload].concat()).collect()
    }

    pub(super) fn ask(&mut self, subject: &str, headers: &[(&str, &str)], payload: &str) -> String {
        let mut answers = self.request(subject, headers, payload);
        assert_eq!(answers.len(), 1, "{subject}: {answers:?}");
        answers.pop().unwrap()
    }

    pub(super) fn api(&mut self, verb: &str, payload: &str) -> String {
        self.ask(&format!("$JS.API.{verb}"), &[], payload)
    }

    /// Makes a stream; `more` are further keys.
    pub(super) fn create(&mut self, name: &str, more: &str) -> String {
        let more = if more.is_empty() { String::new() } else { format!(",{more}") };
        let payload = format!(r#"{{"name":"{name}","storage":"memory"{more}}}"#);
        let answer = self.api(&format!("STREAM.CREATE.{name}"), &payload);
        assert!(answer.contains("did_create"), "{answer}");
        answer
    }

    pub(super) fn put(&mut self, subject: &str, headers: &[(&str, &str)], payload: &str) -> String {
        self.ask(subject, headers, payload)
    }

    pub(super) fn advance(&mut self, nanos: u64) {
        self.now += nanos;
        for _ in 0..1000 {
            if self.engine.next_deadline().is_none_or(|deadline| deadline > self.now) {
                return;
            }
            self.call(|engine, ctx| engine.handle_timers(ctx));
        }
        panic!("timers do not come to rest");
    }

    pub(super) fn state(&mut self, name: &str) -> String {
        let info = self.api(&format!("STREAM.INFO.{name}"), r#"{"deleted_details":true}"#);
        let at = info.find("\"state\":").unwrap();
        let end = info[at..].find("},").unwrap();
        info[at + 8..at + end + 1].to_owned()
    }

    pub(super) fn messages(&mut self, name: &str) -> Vec<(u64, String, String)> {
        let mut found = Vec::new();
        for seq in 1..200 {
            let answer = self.api(&format!("STREAM.MSG.GET.{name}"), &format!("{{\"seq\":{seq}}}"));
            if let Some(at) = answer.find("\"subject\":\"") {
                let rest = &answer[at + 11..];
                let subject = rest[..rest.find('"').unwrap()].to_owned();
                found.push((seq, subject, answer));
            }
        }
        found
    }

    pub(super) fn seqs(&mut self, name: &str) -> Vec<u64> {
        self.messages(name).into_iter().map(|(seq, ..)| seq).collect()
    }
}

/// An error as answers say it.
pub(super) fn error(code: u16, err_code: u16, text: &str) -> String {
    format!(r#"{{"code":{code},"err_code":{err_code},"description":"{text}"}}"#)
}

#[test]
fn a_stream_is_made_as_the_server_makes_it() {
    let mut world = World::new();
    let answer = world.api("STREAM.CREATE.X", r#"{"name":"X"}"#);
    let expected = r#"{"type":"io.nats.jetstream.api.v1.stream_create_response","config":{"name":"X","subjects":["X"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"max_msg_size":-1,"discard":"old","storage":"file","num_replicas":1,"duplicate_window":120000000000,"compression":"none","allow_direct":false,"mirror_direct":false,"sealed":false,"deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":false,"consumer_limits":{},"allow_msg_ttl":false,"metadata":{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"}},"created":"2026-11-21T09:45:53Z","state":{"messages":0,"bytes":0,"first_seq":0,"first_ts":"0001-01-01T00:00:00Z","last_seq":0,"last_ts":"0001-01-01T00:00:00Z","consumer_count":0},"ts":"2026-11-21T09:45:53Z","did_create":true}"#;
    assert_eq!(answer, expected);
    assert_eq!(world.api("STREAM.CREATE.X", r#"{"name":"X"}"#), expected);
    let answer = world.api("STREAM.CREATE.X", r#"{"name":"X","max_msgs":1}"#);
    assert!(answer.contains(&error(
        400,
        10058,
        "stream name already in use with a different configuration"
    )));
    let answer = world.api("STREAM.CREATE.Y", r#"{"name":"Y","subjects":["*"]}"#);
    assert!(answer.contains("10065"), "{answer}");
}

#[test]
fn errors_have_the_keys_of_their_answers() {
    let mut world = World::new();
    let kind = |name: &str| format!(r#"{{"type":"io.nats.jetstream.api.v1.{name}_response","#);
    let missing = error(404, 10059, "stream not found");
    for (verb, payload, expected) in [
        (
            "STREAM.INFO.S",
            "",
            format!(r#"{}"error":{missing},"total":0,"offset":0,"limit":0}}"#, kind("stream_info")),
        ),
        (
            "STREAM.PURGE.S",
            "",
            format!(r#"{}"error":{missing},"purged":0}}"#, kind("stream_purge")),
        ),
        ("STREAM.DELETE.S", "{}", format!(r#"{}"error":{missing}}}"#, kind("stream_delete"))),
        (
            "STREAM.DELETE.S",
            "x",
            format!(
                r#"{}"error":{}}}"#,
                kind("stream_delete"),
                error(400, 10038, "expected an empty request payload")
            ),
        ),
        (
            "STREAM.MSG.GET.S",
            "{}",
            format!(r#"{}"error":{}}}"#, kind("stream_msg_get"), error(400, 10003, "bad request")),
        ),
        (
            "STREAM.NAMES",
            "",
            format!(
                r#"{}"total":0,"offset":0,"limit":1024,"streams":null}}"#,
                kind("stream_names")
            ),
        ),
        (
            "STREAM.LIST",
            "",
            format!(r#"{}"total":0,"offset":0,"limit":256,"streams":[]}}"#, kind("stream_list")),
        ),
        (
            "STREAM.PEER.REMOVE.S",
            "",
            format!(
                r#"{}"error":{}}}"#,
                kind("stream_remove_peer"),
                error(503, 10010, "JetStream clustering support required")
            ),
        ),
        (
            "STREAM.CREATE.S",
            "",
            format!(
                r#"{}"error":{}}}"#,
                kind("stream_create"),
                error(400, 10056, "stream name in subject does not match request")
            ),
        ),
    ] {
        assert_eq!(world.api(verb, payload), expected, "{verb} {payload}");
    }
    assert!(world.request("$JS.API.FOO", &[], "").is_empty());
    assert!(world.request("$JS.API.STREAM.INFO.S.T", &[], "").is_empty());
    assert_eq!(
        world.ask("$JS.API.DIRECT.GET.S", &[], "x"),
        "NATS/1.0 503\r\nNats-Subject: $JS.API.DIRECT.GET.S\r\n\r\n"
    );
}

#[test]
fn publishes_are_acknowledged_to_the_byte() {
    let mut world = World::new();
    world.create("P", r#""subjects":["p.>"]"#);
    assert_eq!(world.put("p.1", &[], "x"), r#"{"stream":"P","seq":1}"#);
    let id = [("Nats-Msg-Id", "a")];
    assert_eq!(world.put("p.1", &id, "x"), r#"{"stream":"P","seq":2}"#);
    assert_eq!(world.put("p.2", &id, "x"), r#"{"stream":"P","seq":2,"duplicate": true}"#);
    let refused = |code: u16, err_code: u16, text: &str| {
        format!(r#"{{"error":{},"stream":"P","seq":0}}"#, error(code, err_code, text))
    };
    for (headers, expected) in [
        (
            vec![("Nats-Expected-Stream", "Q")],
            refused(400, 10060, "expected stream does not match"),
        ),
        (vec![("Nats-Expected-Last-Sequence", "7")], refused(400, 10071, "wrong last sequence: 2")),
        (
            vec![("Nats-Expected-Last-Subject-Sequence", "1")],
            refused(400, 10071, "wrong last sequence: 2"),
        ),
        (
            vec![
                ("Nats-Expected-Last-Subject-Sequence", "1"),
                ("Nats-Expected-Last-Subject-Sequence-Subject", "p.9"),
            ],
            refused(400, 10071, "wrong last sequence: 0"),
        ),
        (
            vec![("Nats-Expected-Last-Subject-Sequence-Subject", "p.9")],
            refused(400, 10193, "missing sequence for expected last sequence per subject"),
        ),
        (vec![("Nats-Expected-Last-Msg-Id", "z")], refused(400, 10070, "wrong last msg ID: a")),
        (vec![("Nats-Rollup", "sub")], refused(500, 10111, "rollup not permitted")),
        (vec![("Nats-TTL", "1s")], refused(400, 10166, "per-message TTL is disabled")),
        (vec![("Nats-Incr", "1")], refused(400, 10168, "message counters is disabled")),
        (
            vec![("Nats-Stream-Source", "x")],
            refused(400, 10227, "message stream source header is not allowed"),
        ),
        (
            vec![("Nats-Msg-Id", "a"), ("Nats-Expected-Last-Sequence", "7")],
            refused(400, 10071, "wrong last sequence: 2"),
        ),
    ] {
        assert_eq!(world.put("p.1", &headers, ""), expected, "{headers:?}");
    }
    world.advance(120 * 1_000_000_000);
    assert_eq!(world.put("p.2", &id, "x"), r#"{"stream":"P","seq":3}"#);
}

#[test]
fn limits_are_kept() {
    let mut world = World::new();
    world.create("L", r#""subjects":["l.>"],"max_msgs":3,"max_msgs_per_subject":2"#);
    for subject in ["l.a", "l.a", "l.a", "l.b", "l.c"] {
        world.put(subject, &[], "");
    }
    assert_eq!(world.seqs("L"), [3, 4, 5]);
    world.create("N", r#""subjects":["n.>"],"max_msgs":2,"discard":"new""#);
    world.put("n.1", &[], "");
    world.put("n.2", &[], "");
    let full = error(503, 10077, "maximum messages exceeded");
    assert_eq!(world.put("n.3", &[], ""), format!(r#"{{"error":{full},"stream":"N","seq":0}}"#));
    world.create(
        "K",
        r#""subjects":["k.>"],"max_msgs_per_subject":1,"discard":"new","discard_new_per_subject":true"#,
    );
    world.put("k.1", &[], "");
    assert!(world.put("k.1", &[], "").contains("maximum messages per subject exceeded"));
    world.create("B", r#""subjects":["b.>"],"max_bytes":50"#);
    for _ in 0..3 {
        world.put("b.1", &[], "0123456789");
    }
    assert_eq!(world.seqs("B"), [3]);
    assert!(world.state("B").contains(r#""bytes":29,"#), "{}", world.state("B"));
    world.create("A", r#""subjects":["a.>"],"max_age":1000000000"#);
    world.put("a.1", &[], "");
    world.advance(600_000_000);
    world.put("a.2", &[], "");
    world.advance(500_000_000);
    assert_eq!(world.seqs("A"), [2]);
    world.advance(1_000_000_000);
    assert_eq!(
        world.state("A"),
        r#"{"messages":0,"bytes":0,"first_seq":3,"first_ts":"0001-01-01T00:00:00Z","last_seq":2,"last_ts":"2026-11-21T09:45:53.6Z","consumer_count":0}"#
    );
}

#[test]
fn rollups_replace_what_was_there() {
    let mut world = World::new();
    world.create("R", r#""subjects":["r.>"],"allow_rollup_hdrs":true"#);
    for subject in ["r.a", "r.b", "r.a"] {
        world.put(subject, &[], "");
    }
    world.put("r.a", &[("Nats-Rollup", "SUB")], "");
    assert_eq!(world.seqs("R"), [2, 4]);
    world.put("r.c", &[("Nats-Rollup", "all")], "");
    assert_eq!(world.seqs("R"), [5]);
    let answer = world.put("r.c", &[("Nats-Rollup", "foo")], "");
    assert!(answer.contains(r#"10111,"description":"rollup value invalid: \"foo\""}"#), "{answer}");
}

#[test]
fn ttls_end_messages_and_leave_markers() {
    let mut world = World::new();
    world.create("T", r#""subjects":["t.>"],"allow_msg_ttl":true,"max_age":5000000000"#);
    world.put("t.1", &[("Nats-TTL", "1s")], "");
    world.put("t.2", &[("Nats-TTL", "never")], "");
    world.put("t.3", &[], "");
    let answer = world.put("t.4", &[("Nats-TTL", "500ms")], "");
    assert!(answer.contains("10165"), "{answer}");
    world.advance(1_000_000_000);
    assert_eq!(world.seqs("T"), [2, 3]);
    world.advance(10_000_000_000);
    assert_eq!(world.seqs("T"), [2]);
    world.put("t.5", &[], "");
    world.advance(4_999_999_999);
    assert_eq!(world.seqs("T"), [2, 4]);
    world.advance(1);
    assert_eq!(world.seqs("T"), [2]);

    world.create(
        "M",
        r#""subjects":["m.>"],"max_age":1000000000,"subject_delete_marker_ttl":5000000000"#,
    );
    world.put("m.1", &[], "");
    world.advance(1_100_000_000);
    let found = world.messages("M");
    assert_eq!(found.len(), 1);
    // NATS/1.0, Nats-Marker-Reason: MaxAge, Nats-TTL: 5s, Nats-Rollup: sub
    assert!(found[0].2.contains("TkFUUy8xLjANCk5hdHMtTWFya2VyLVJlYXNvbjogTWF4QWdlDQpOYXRzLVRUTDogNXMNCk5hdHMtUm9sbHVwOiBzdWINCg0K"), "{found:?}");
    world.advance(10_000_000_000);
    assert!(world.seqs("M").is_empty());
    // A purge of a key-value store is a marker itself.
    world.put("m.1", &[("KV-Operation", "PURGE")], "");
    world.put("m.2", &[("KV-Operation", "DEL")], "");
    world.advance(1_100_000_000);
    assert_eq!(world.seqs("M").len(), 1);
}

#[test]
fn messages_are_deleted_and_purged() {
    let mut world = World::new();
    world.create("D", r#""subjects":["d.>"]"#);
    for subject in ["d.a", "d.b", "d.a", "d.b", "d.a"] {
        world.put(subject, &[], "x");
    }
    assert!(world.api("STREAM.MSG.DELETE.D", r#"{"seq":2}"#).contains(r#""success":true"#));
    assert!(world.api("STREAM.MSG.DELETE.D", r#"{"seq":2}"#).contains(&error(
        400,
        10043,
        "sequence 2 not found"
    )));
    assert!(world.state("D").contains(r#""num_subjects":2,"num_deleted":1,"deleted":[2],"#));
    let purged = |count: u64| {
        format!(
            r#"{{"type":"io.nats.jetstream.api.v1.stream_purge_response","success":true,"purged":{count}}}"#
        )
    };
    assert_eq!(world.api("STREAM.PURGE.D", r#"{"filter":"d.a","keep":1}"#), purged(2));
    assert_eq!(world.seqs("D"), [4, 5]);
    assert_eq!(world.api("STREAM.PURGE.D", r#"{"seq":1}"#), purged(0));
    assert_eq!(world.api("STREAM.PURGE.D", r#"{"keep":1}"#), purged(1));
    assert_eq!(world.seqs("D"), [5]);
    assert_eq!(world.api("STREAM.PURGE.D", ""), purged(1));
    assert!(world
        .state("D")
        .contains(r#""first_seq":6,"first_ts":"0001-01-01T00:00:00Z","last_seq":5"#));
    assert!(world.api("STREAM.PURGE.D", r#"{"seq":1,"keep":1}"#).contains("10003"));
    assert!(world.api("STREAM.DELETE.D", "").contains(r#""success":true"#));
    assert!(world.request("d.a", &[], "").is_empty());
}

#[test]
fn direct_gets_are_answered() {
    let mut world = World::new();
    world.create("G", r#""subjects":["g.>"],"allow_direct":true"#);
    for (subject, body) in [("g.a", "1"), ("g.b", "2"), ("g.a", "3")] {
        world.put(subject, &[], body);
    }
    let get = "$JS.API.DIRECT.GET.G";
    let time = "2026-11-21T09:45:53Z";
    assert_eq!(
        world.ask(get, &[], r#"{"seq":2}"#),
        format!("NATS/1.0\r\nNats-Stream: G\r\nNats-Subject: g.b\r\nNats-Sequence: 2\r\nNats-Time-Stamp: {time}\r\n\r\n2")
    );
    assert!(world.ask("$JS.API.DIRECT.GET.G.g.a", &[], "").ends_with("\r\n\r\n3"));
    assert_eq!(world.ask("$JS.API.DIRECT.GET.G.g.a", &[], r#"{"no_hdr":true}"#), "3");
    for (payload, status) in [
        ("", "408 Empty Request"),
        ("{}", "408 Empty Request"),
        ("x", "408 Malformed Request"),
        (r#"{"seq":1,"last_by_subj":"g.a"}"#, "408 Bad Request"),
        (r#"{"seq":9}"#, "404 Message Not Found"),
        (r#"{"multi_last":["x"]}"#, "404 No Results"),
    ] {
        assert_eq!(world.ask(get, &[], payload), format!("NATS/1.0 {status}\r\n\r\n"), "{payload}");
    }
    let batch = world.request(get, &[], r#"{"seq":1,"batch":2}"#);
    assert_eq!(batch.len(), 3);
    assert!(
        batch[0].contains("Nats-Num-Pending: 2\r\nNats-Last-Sequence: 0\r\n\r\n1"),
        "{batch:?}"
    );
    assert!(
        batch[1].contains("Nats-Num-Pending: 1\r\nNats-Last-Sequence: 1\r\n\r\n2"),
        "{batch:?}"
    );
    assert_eq!(
        batch[2],
        "NATS/1.0 204 EOB\r\nNats-Num-Pending: 1\r\nNats-Last-Sequence: 2\r\n\r\n"
    );
    let multi = world.request(get, &[], r#"{"multi_last":["g.>"]}"#);
    assert_eq!(
        multi.last().unwrap(),
        "NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 3\r\nNats-UpTo-Sequence: 3\r\n\r\n"
    );
    let earlier = world.request(get, &[], r#"{"multi_last":["g.>"],"up_to_seq":2}"#);
    assert!(earlier[0].ends_with("\r\n\r\n1") && earlier[1].ends_with("\r\n\r\n2"), "{earlier:?}");
}

#[test]
fn counters_add_up() {
    let mut world = World::new();
    world.create("C", r#""subjects":["c.>"],"allow_msg_counter":true,"allow_direct":true"#);
    assert_eq!(world.put("c.a", &[("Nats-Incr", "1")], ""), r#"{"stream":"C","seq":1,"val":"1"}"#);
    let answer = world.put("c.a", &[("Nats-Incr", "+99999999999999999999")], "");
    assert_eq!(answer, r#"{"stream":"C","seq":2,"val":"100000000000000000000"}"#);
    assert!(world
        .ask("$JS.API.DIRECT.GET.C.c.a", &[], "")
        .ends_with("{\"val\":\"100000000000000000000\"}"));
    assert!(world.put("c.a", &[], "").contains("10169"));
    assert!(world.put("c.a", &[("Nats-Incr", "x")], "").contains("10171"));
    assert!(world.put("c.a", &[("Nats-Incr", "1")], "x").contains("10170"));
}

#[test]
fn transforms_and_republish_change_subjects() {
    let mut world = World::new();
    world.create(
        "F",
        r#""subjects":["f.*"],"subject_transform":{"src":"f.*","dest":"g.$1"},"republish":{"src":"g.*","dest":"r.$1","headers_only":true}"#,
    );
    world.put("f.1", &[("A", "b")], "xyz");
    assert_eq!(world.messages("F")[0].1, "g.1");
    world.said.clear();
    world.publish("f.1", "", "", "xyz");
    assert_eq!(
        world.said,
        [(
            String::from("r.1"),
            String::from("NATS/1.0\r\nNats-Stream: F\r\nNats-Subject: g.1\r\nNats-Sequence: 2\r\nNats-Time-Stamp: 2026-11-21T09:45:53Z\r\nNats-Last-Sequence: 1\r\nNats-Msg-Size: 3\r\n\r\n"),
            String::new()
        )]
    );
}

#[test]
fn updates_take_effect_at_once() {
    let mut world = World::new();
    world.create("U", r#""subjects":["u.>"]"#);
    for subject in ["u.a", "u.a", "u.b"] {
        world.put(subject, &[], "");
    }
    let update = |more: &str| format!(r#"{{"name":"U","storage":"memory"{more}}}"#);
    let answer =
        world.api("STREAM.UPDATE.U", &update(r#","subjects":["v.>"],"max_msgs_per_subject":1"#));
    assert!(answer.contains("stream_update_response"), "{answer}");
    assert_eq!(world.seqs("U"), [2, 3]);
    assert!(world.request("u.a", &[], "").is_empty());
    assert_eq!(world.put("v.a", &[], ""), r#"{"stream":"U","seq":4}"#);
    let answer = world.api("STREAM.UPDATE.U", r#"{"name":"U","storage":"file"}"#);
    assert!(answer.contains("can not change storage type"), "{answer}");
    let sealed = r#","subjects":["v.>"],"sealed":true"#;
    assert!(world
        .api("STREAM.UPDATE.U", &update(sealed))
        .contains(r#""sealed":true,"deny_delete":true"#));
    assert!(world.put("v.a", &[], "").contains("10109"));
    assert!(world.api("STREAM.UPDATE.N", r#"{"name":"N"}"#).contains("10059"));
}

#[test]
fn advisories_are_said_to_those_who_listen() {
    let mut world = World::new();
    world.listeners.0.insert(b"$JS.EVENT.>".to_vec());
    world.create("V", "");
    let kinds: Vec<&str> = world.said.iter().map(|(to, ..)| to.as_str()).collect();
    assert_eq!(
        kinds,
        ["$JS.EVENT.ADVISORY.STREAM.CREATED.V", "_INBOX.x", "$JS.EVENT.ADVISORY.API"]
    );
    assert!(world.said[0].2.contains(r#""stream":"V","action":"create"}"#), "{:?}", world.said[0]);
}

#[test]
fn accounts_are_limited() {
    let limits = JetStreamLimits { max_streams: 1, max_memory: 100, ..JetStreamLimits::default() };
    let mut world = World::with(limits, ServerLimits::default());
    let payload = r#"{"name":"S","storage":"memory","max_bytes":101}"#;
    assert!(world.api("STREAM.CREATE.S", payload).contains("10028"));
    world.create("S", "");
    assert!(world.api("STREAM.CREATE.T", r#"{"name":"T"}"#).contains("10027"));
    world.put("S", &[], &"x".repeat(60));
    let answer = world.put("S", &[], &"x".repeat(60));
    assert!(answer.contains("10002"), "{answer}");
    let info = world.api("INFO", "");
    assert!(info.contains(r#""memory":77,"storage":0,"reserved_memory":0"#), "{info}");
    assert!(info.contains(r#""api":{"level":5,"total":3,"errors":2}"#), "{info}");
    world.api("STREAM.DELETE.S", "");
    assert!(world.api("INFO", "").contains(r#""memory":0,"#));
}

#[test]
fn a_stream_comes_back_as_it_was() {
    let mut world = World::new();
    world.create("Z", r#""subjects":["z.>"],"allow_msg_ttl":true"#);
    world.put("z.1", &[("Nats-Msg-Id", "a"), ("Nats-TTL", "9s")], "");
    let id = world.engine.streams.find_by_name("Z").expect("the stream").id;
    let mut snapshot = Vec::new();
    world.engine.snapshot(id, &mut snapshot);
    world.call(|engine, ctx| engine.remove_account(ACCOUNT, ctx));
    assert!(world.subscriptions.is_empty());
    world.call(|engine, ctx| {
        engine.add_account(ACCOUNT, "A", Some(JetStreamLimits::default()), ctx)
    });
    let again = world.put("z.1", &[("Nats-Msg-Id", "a")], "");
    assert_eq!(again, r#"{"stream":"Z","seq":1,"duplicate": true}"#);
    let mut twice = Vec::new();
    world.engine.snapshot(id, &mut twice);
    assert_eq!(snapshot, twice);
    world.advance(9_000_000_000);
    assert!(world.seqs("Z").is_empty());
}

#[test]
fn an_overloaded_store_turns_messages_away_and_takes_them_again() {
    let mut world = World::new();
    world.create("S", "");
    world.engine.set_overloaded(true);
    assert_eq!(
        world.put("S", &[], "x"),
        "NATS/1.0 429 Too Many Requests\r\n\r\n\
         {\"error\":{\"code\":429,\"err_code\":10167,\"description\":\"too many requests\"},\
         \"stream\":\"S\",\"seq\":0}"
    );
    world.engine.set_overloaded(false);
    assert_eq!(world.put("S", &[], "x"), "{\"stream\":\"S\",\"seq\":1}");
}

#[test]
fn more_requests_than_a_turn_answers_are_refused() {
    let limits = ServerLimits { requests: 2, ..ServerLimits::default() };
    let mut world = World::with(JetStreamLimits::default(), limits);
    world.create("S", "");
    assert!(world.api("INFO", "").contains("\"limits\""));
    let refused = world.api("INFO", "");
    assert!(refused.contains(&error(429, 10167, "too many requests")), "{refused}");
    world.engine.begin_turn();
    assert!(world.api("INFO", "").contains("\"limits\""));
}

#[test]
fn batches_are_as_many_and_as_long_as_the_server_is_told() {
    let batch = BatchLimits { per_stream: 1, total: 5, messages: 2, idle: 1_000_000_000 };
    let limits = ServerLimits { batch, ..ServerLimits::default() };
    let mut world = World::with(JetStreamLimits::default(), limits);
    world.create("S", r#""allow_atomic":true"#);
    let put = |world: &mut World, id: &str, seq: &str| -> String {
        let headers = [("Nats-Batch-Id", id), ("Nats-Batch-Sequence", seq)];
        world.request("S", &headers, "x").concat()
    };
    put(&mut world, "a", "1");
    let refused = put(&mut world, "b", "1");
    assert!(refused.contains("10210"), "{refused}");
    put(&mut world, "a", "2");
    let refused = put(&mut world, "a", "3");
    assert!(refused.contains("batch size 2") || refused.contains("10199"), "{refused}");
    put(&mut world, "c", "1");
    world.advance(1_000_000_001);
    let taken = put(&mut world, "d", "1");
    assert!(!taken.contains("10210"), "{taken}");
}
