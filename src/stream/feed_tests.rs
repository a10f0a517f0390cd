//! Goal: mirrors and sources between streams of an account. Method: streams in memory; expected
//! headers as nats-server 2.15.1 wrote them.

use super::engine_tests::World;

impl World {
    fn bodies(&mut self, stream: &str) -> Vec<(u64, String)> {
        self.messages(stream).into_iter().map(|(seq, subject, _)| (seq, subject)).collect()
    }
}

fn listed(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|(seq, subject)| (*seq, (*subject).to_owned())).collect()
}

#[test]
fn a_mirror_keeps_sequences() {
    let mut world = World::new();
    world.create("O", r#""subjects":["o.>"]"#);
    for subject in ["o.1", "o.2", "o.3"] {
        world.put(subject, &[], "x");
    }
    world.api("STREAM.MSG.DELETE.O", r#"{"seq":2}"#);
    world.create("M", r#""mirror":{"name":"O"}"#);
    world.advance(0);
    assert_eq!(world.bodies("M"), listed(&[(1, "o.1"), (3, "o.3")]));
    world.put("o.4", &[], "x");
    world.advance(0);
    assert_eq!(world.bodies("M"), listed(&[(1, "o.1"), (3, "o.3"), (4, "o.4")]));
    let info = world.api("STREAM.INFO.M", "");
    assert!(info.contains(r#""mirror":{"name":"O","lag":0,"active":0}"#), "{info}");
    world.create(
        "F",
        r#""mirror":{"name":"O","subject_transforms":[{"src":"o.3","dest":"f.3"},{"src":"o.4","dest":""}]}"#,
    );
    world.advance(0);
    assert_eq!(world.bodies("F"), listed(&[(3, "f.3"), (4, "o.4")]));
}

#[test]
fn sources_say_where_messages_came_from() {
    let mut world = World::new();
    world.create("O", r#""subjects":["o.>"]"#);
    world.create("P", r#""subjects":["p.>"]"#);
    world.create(
        "S",
        r#""sources":[{"name":"O","subject_transforms":[{"src":"o.>","dest":"s.o.>"}]},{"name":"P","filter_subject":"p.1"}]"#,
    );
    world.put("o.1", &[("Nats-Msg-Id", "a"), ("Nats-Expected-Stream", "O")], "x");
    world.put("p.1", &[], "x");
    world.put("p.2", &[], "x");
    world.put("p.1", &[("Nats-Msg-Id", "a")], "x");
    world.advance(0);
    assert_eq!(world.bodies("S"), listed(&[(1, "s.o.1"), (2, "p.1"), (3, "p.1")]));
    let identity = crate::stream::short_hash(b"2026-11-21T09:45:53Z");
    let get = world.ask("$JS.API.STREAM.MSG.GET.S", &[], r#"{"seq":1}"#);
    assert!(get.contains("hdrs"), "{get}");
    world.create("D", r#""sources":[{"name":"P"}],"allow_direct":true"#);
    world.advance(0);
    let got = world.ask("$JS.API.DIRECT.GET.D", &[], r#"{"seq":1}"#);
    let header =
        format!("NATS/1.0\r\nNats-Stream-Source: P 1 > > p.1 {identity}\r\nNats-Stream: D");
    assert!(got.starts_with(&header), "{got}");
    let info = world.api("STREAM.INFO.D", "");
    assert!(info.contains(r#""sources":[{"name":"P","lag":0,"seq":3,"active":0}]"#), "{info}");
}

#[test]
fn a_work_queue_that_is_sourced_is_emptied() {
    let mut world = World::new();
    world.create("W", r#""subjects":["w.>"],"retention":"workqueue""#);
    world.create("I", r#""subjects":["i.>"],"retention":"interest""#);
    world.create("S", r#""sources":[{"name":"W"},{"name":"I"}]"#);
    for _ in 0..600 {
        world.put("w.1", &[], "x");
    }
    world.put("i.1", &[], "x");
    world.advance(0);
    assert!(world.state("W").starts_with(r#"{"messages":0,"#));
    assert!(world.state("I").starts_with(r#"{"messages":0,"#));
    assert!(world.state("S").starts_with(r#"{"messages":601,"#));
}

#[test]
fn a_source_goes_on_where_it_was() {
    let mut world = World::new();
    world.create("O", r#""subjects":["o.>"]"#);
    world.create("S", r#""sources":[{"name":"O"}],"subjects":["s"]"#);
    world.put("o.1", &[], "x");
    world.advance(0);
    let update = r#"{"name":"S","storage":"memory","sources":[{"name":"O"}],"subjects":["t"]}"#;
    world.api("STREAM.UPDATE.S", update);
    world.put("o.2", &[], "x");
    world.advance(0);
    assert_eq!(world.bodies("S"), listed(&[(1, "o.1"), (2, "o.2")]));
    world.api("STREAM.DELETE.O", "");
    world.now += 5;
    world.create("O", r#""subjects":["o.>"]"#);
    world.put("o.3", &[], "x");
    world.advance(0);
    assert_eq!(world.bodies("S"), listed(&[(1, "o.1"), (2, "o.2"), (3, "o.3")]));
}

#[test]
fn the_transform_of_a_stream_holds_for_what_it_is_fed() {
    let mut world = World::new();
    world.create("O", r#""subjects":["o.>"]"#);
    world.create("S", r#""sources":[{"name":"O"}],"subject_transform":{"src":"o.>","dest":"t.>"}"#);
    world.put("o.1", &[], "x");
    world.advance(0);
    assert_eq!(world.bodies("S"), listed(&[(1, "t.1")]));
}

#[test]
fn what_nobody_wants_is_not_kept_by_interest() {
    let mut world = World::new();
    world.create("O", r#""subjects":["o.>"]"#);
    world.create("S", r#""sources":[{"name":"O"}],"retention":"interest""#);
    world.put("o.1", &[], "x");
    world.advance(0);
    let info = world.api("STREAM.INFO.S", "");
    assert!(info.contains(r#""messages":0,"bytes":0,"first_seq":2,"#), "{info}");
}

#[test]
fn what_has_no_room_waits_for_it() {
    let mut world = World::new();
    world.create("O", r#""subjects":["o.>"]"#);
    world.create("S", r#""sources":[{"name":"O"}],"max_msgs":2,"discard":"new""#);
    world.create("M", r#""mirror":{"name":"O"},"max_msgs":2,"discard":"new""#);
    for number in 1..=3 {
        world.put(&format!("o.{number}"), &[], "x");
    }
    world.advance(0);
    let kept = listed(&[(1, "o.1"), (2, "o.2")]);
    assert_eq!((world.bodies("S"), world.bodies("M")), (kept.clone(), kept));
    let info = world.api("STREAM.INFO.S", "");
    assert!(info.contains(r#""sources":[{"name":"O","lag":1,"seq":2,"#), "{info}");
    world.api("STREAM.MSG.DELETE.S", r#"{"seq":1}"#);
    world.advance(2_000_000_000);
    assert_eq!(world.bodies("S"), listed(&[(2, "o.2"), (3, "o.3")]));
}

#[test]
fn an_origin_that_is_not_there_is_told() {
    let mut world = World::new();
    world.create("S", r#""sources":[{"name":"O"}]"#);
    let error = r#""error":{"code":404,"err_code":10059,"description":"stream not found"}"#;
    world.advance(1);
    let info = world.api("STREAM.INFO.S", "");
    assert!(info.contains(error), "{info}");
    world.create("O", r#""subjects":["o.>"]"#);
    let info = world.api("STREAM.INFO.S", "");
    assert!(!info.contains("error"), "{info}");
}
