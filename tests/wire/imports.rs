//! Goal: messages and requests cross from one account into another exactly as far as exports and
//! imports say. Method: users of two or three accounts on one broker, which are on different shards
//! if there are several. Every line was asked of nats-server; where it does otherwise, the test
//! says so.

use std::time::Duration;

use crate::common::{config, Broker, Raw};

/// Accounts with two users each, `a` and `a2` of account A and so on, and what else is said of them.
fn accounts(list: &[(&str, &str)]) -> String {
    let account = |(name, body): &(&str, &str)| {
        let user = name.to_lowercase();
        format!(
            "{name} {{ users: [{{user: {user}, password: pw}}, {{user: {user}2, password: pw}}]\n\
             {body} }}\n"
        )
    };
    format!("accounts {{ {} }}", list.iter().map(account).collect::<String>())
}

fn user(broker: &Broker, name: &str) -> Raw {
    let options = format!(
        "{{\"verbose\":false,\"user\":\"{name}\",\"pass\":\"pw\",\"headers\":true,\
         \"no_responders\":true,\"name\":\"n-{name}\",\"lang\":\"x\",\"version\":\"1\"}}"
    );
    Raw::open_with(broker, &options)
}

fn subscribe(raw: &mut Raw, patterns: &[&str]) {
    for (pattern, sid) in patterns.iter().zip(1..) {
        raw.send(format!("SUB {pattern} {sid}\r\n"));
    }
    raw.fence();
}

fn publish(raw: &mut Raw, subject: &str, payload: &str) {
    raw.publish(subject, payload);
    raw.fence();
}

/// A request as its service sees it: subject, sid, reply and body, and who asks.
#[derive(Debug)]
struct Request {
    line: String,
    reply: String,
    info: serde_json::Value,
    headers: String,
    body: String,
}

/// Reads one HMSG.
fn request(raw: &mut Raw) -> Request {
    let line = raw.line();
    let parts: Vec<&str> = line.split(' ').collect();
    let (sizes, reply) = match parts[..] {
        ["HMSG", _, _, headers, total] => ((headers, total), ""),
        ["HMSG", _, _, reply, headers, total] => ((headers, total), reply),
        _ => panic!("{line}"),
    };
    let (headers, total): (usize, usize) = (sizes.0.parse().unwrap(), sizes.1.parse().unwrap());
    let bytes = raw.exact(total + 2);
    let text = String::from_utf8(bytes).unwrap();
    let block = &text[..headers];
    let lines = block.split("\r\n").filter(|line| !line.is_empty());
    let (info, others): (Vec<&str>, Vec<&str>) =
        lines.partition(|line| line.starts_with("Nats-Request-Info: "));
    let info = info.first().map_or("null", |line| &line["Nats-Request-Info: ".len()..]);
    Request {
        line: parts[1..3].join(" "),
        reply: reply.to_owned(),
        info: serde_json::from_str(info).unwrap(),
        headers: others.join("|"),
        body: text[headers..total].to_owned(),
    }
}

fn answer(raw: &mut Raw, request: &Request, payload: &str) {
    publish(raw, &request.reply, payload);
}

const STREAMS: &[(&str, &str)] = &[
    (
        "B",
        "exports: [{stream: s}, {stream: \"w.*\"}, {stream: \"t.>\"}, {stream: \"v.*.*\"},\n\
         {stream: priv, accounts: [A]}]",
    ),
    (
        "A",
        "imports: [{stream: {account: B, subject: s}},\n\
         {stream: {account: B, subject: \"w.*\"}, prefix: p},\n\
         {stream: {account: B, subject: \"t.>\"}, to: \"lt.>\"},\n\
         {stream: {account: B, subject: \"v.*.*\"}, to: \"lv.$2.x.$1\"},\n\
         {stream: {account: B, subject: priv}}]",
    ),
    ("C", "imports: [{stream: {account: B, subject: s}}]"),
];

#[test]
fn streams_are_seen_under_the_importers_subjects() {
    let broker = config(&accounts(STREAMS));
    let (mut a, mut b) = (user(&broker, "a"), user(&broker, "b"));
    for (pattern, published, seen) in [
        ("s", "s", "s"),
        ("p.w.*", "w.x", "p.w.x"),
        ("p.w.x", "w.x", "p.w.x"),
        ("*.*.*", "w.x", "p.w.x"),
        ("lt.>", "t.a.b", "lt.a.b"),
        ("lt.a.*", "t.a.b", "lt.a.b"),
        ("lv.*.x.*", "v.a.b", "lv.b.x.a"),
        ("lv.b.>", "v.a.b", "lv.b.x.a"),
        ("priv", "priv", "priv"),
        (">", "t.a", "lt.a"),
    ] {
        a.send(format!("SUB {pattern} 1\r\n"));
        a.fence();
        b.send(format!("PUB {published} re.ply 1\r\nx\r\n"));
        b.fence();
        a.expect_exact(format!("MSG {seen} 1 re.ply 1\r\nx\r\n"));
        a.send("UNSUB 1\r\n");
        a.fence();
        publish(&mut b, published, "x");
        a.fence();
    }
    // What is not imported, or not under this subject, is not seen.
    subscribe(&mut a, &["w.*", "t.>", "v.>", "p.w.y", "zz", "lv.c.>", "lt"]);
    for subject in ["w.x", "t.a", "v.a.b", "zz"] {
        publish(&mut b, subject, "x");
    }
    a.fence();
}

#[test]
fn a_private_stream_is_for_its_accounts_and_an_import_is_not_exported() {
    let chain = &[
        ("B", "exports: [{stream: s}]"),
        ("A", "exports: [{stream: s}], imports: [{stream: {account: B, subject: s}}]"),
        ("C", "imports: [{stream: {account: A, subject: s}}]"),
    ];
    let broker = config(&accounts(chain));
    let (mut a, mut b, mut c) = (user(&broker, "a"), user(&broker, "b"), user(&broker, "c"));
    subscribe(&mut a, &["s"]);
    subscribe(&mut c, &["s"]);
    publish(&mut b, "s", "x");
    a.expect_exact("MSG s 1 1\r\nx\r\n");
    publish(&mut user(&broker, "a2"), "s", "y");
    c.expect_exact("MSG s 1 1\r\ny\r\n");
    a.expect_exact("MSG s 1 1\r\ny\r\n");
    c.fence();
}

#[test]
fn a_queue_is_one_over_all_accounts_that_import_a_stream() {
    let broker = config(&accounts(STREAMS));
    let mut members: Vec<Raw> = ["a", "a2", "c", "b2"].map(|name| user(&broker, name)).into();
    for member in &mut members {
        member.send("SUB s g 1\r\n");
        member.fence();
    }
    let mut b = user(&broker, "b");
    for number in 0..200 {
        b.publish("s", format!("{number:03}"));
    }
    b.fence();
    let mut all = Vec::new();
    for member in &mut members {
        member.send("PING\r\n");
        let mut own = 0;
        loop {
            match member.line().as_str() {
                "PONG" => break,
                "MSG s 1 3" => all.push(member.line()),
                other => panic!("{other}"),
            }
            own += 1;
        }
        assert!(own > 0, "every member gets some");
    }
    all.sort();
    assert_eq!(all, (0..200).map(|number| format!("{number:03}")).collect::<Vec<_>>());
}

#[test]
fn a_subscriber_that_imports_is_a_responder() {
    let broker = config(&accounts(STREAMS));
    let (mut a, mut b) = (user(&broker, "a"), user(&broker, "b"));
    b.send("SUB in 1\r\nPUB s in 1\r\nx\r\n");
    b.expect_exact("HMSG in 1 33 33\r\nNATS/1.0 503\r\nNats-Subject: s\r\n\r\n\r\n");
    subscribe(&mut a, &["s"]);
    b.send("PUB s in 1\r\nx\r\n");
    b.fence();
    a.expect_exact("MSG s 1 in 1\r\nx\r\n");
}

#[test]
fn a_limit_of_messages_holds_for_what_is_imported() {
    // nats-server forgets the limit there, and the subscription never ends.
    let broker = config(&accounts(STREAMS));
    let (mut a, mut b) = (user(&broker, "a"), user(&broker, "b"));
    a.send("SUB p.w.* 1\r\nUNSUB 1 3\r\nPUB p.w.own 0\r\n\r\n");
    a.expect_exact("MSG p.w.own 1 0\r\n\r\n");
    a.fence();
    for number in 0..4 {
        b.publish("w.x", number.to_string());
    }
    b.fence();
    a.expect_exact("MSG p.w.x 1 1\r\n0\r\nMSG p.w.x 1 1\r\n1\r\n");
    a.fence();
}

#[test]
fn deny_rules_hold_for_imported_subjects() {
    let broker = config(
        "accounts { B { users: [{user: b, password: pw}], exports: [{stream: \">\"}] }\n\
         A { users: [{user: a, password: pw, permissions: {subscribe: {allow: \"p.>\",\n\
         deny: [\"p.secret\", \"p.d.>\"]}}}],\n\
         imports: [{stream: {account: B, subject: \">\"}, prefix: p}] } }",
    );
    let (mut a, mut b) = (user(&broker, "a"), user(&broker, "b"));
    a.send("SUB p.secret 1\r\nSUB secret 1\r\n");
    a.expect_exact(
        "-ERR 'Permissions Violation for Subscription to \"p.secret\"'\r\n\
         -ERR 'Permissions Violation for Subscription to \"secret\"'\r\n",
    );
    a.send("SUB p.> 1\r\nSUB p.* q 2\r\n");
    a.fence();
    for subject in ["secret", "d.x", "secret.x", "d.secret"] {
        publish(&mut b, subject, "x");
    }
    a.expect_exact("MSG p.secret.x 1 1\r\nx\r\n");
    a.fence();
}

const SERVICES: &[(&str, &str)] = &[
    (
        "B",
        "exports: [{service: q}, {service: \"w.*\"}, {service: st, response_type: stream},\n\
         {service: ch, response_type: chunked, threshold: \"300ms\"},\n\
         {service: \"own.*\", account_token_position: 2}]",
    ),
    (
        "A",
        "imports: [{service: {account: B, subject: q}}, \n\
         {service: {account: B, subject: \"w.*\"}, to: \"lw.*\"},\n\
         {service: {account: B, subject: st}}, {service: {account: B, subject: ch}},\n\
         {service: {account: B, subject: own.A}, to: mine}]",
    ),
];

#[test]
fn a_request_crosses_and_its_answer_comes_back() {
    let broker = config(&accounts(SERVICES));
    let (mut a, mut b) = (user(&broker, "a"), user(&broker, "b"));
    subscribe(&mut b, &["q", "w.*", "own.A"]);
    subscribe(&mut a, &["in.*"]);
    for (subject, line) in [("q", "q 1"), ("lw.x", "w.x 2"), ("mine", "own.A 3")] {
        a.send(format!("PUB {subject} in.1 2\r\nhi\r\n"));
        let asked = request(&mut b);
        assert_eq!((&*asked.line, &*asked.body), (line, "hi"));
        assert_eq!(asked.headers, "NATS/1.0");
        assert_eq!(asked.info["acc"], "A");
        assert!(asked.info.get("user").is_none(), "only what is shared");
        assert!(asked.reply.starts_with("_R_."), "{}", asked.reply);
        answer(&mut b, &asked, "yes");
        a.expect_exact("MSG in.1 1 3\r\nyes\r\n");
        // One request, one answer.
        answer(&mut b, &asked, "yes");
        a.fence();
    }
    a.send("PUB q 2\r\nhi\r\n");
    assert_eq!(request(&mut b).reply, "");
    let block = "NATS/1.0\r\nA: b\r\nNats-Request-Info: x\r\nC: d\r\n\r\n";
    a.send(format!("HPUB q in.2 {} {}\r\n{block}hi\r\n", block.len(), block.len() + 2));
    let asked = request(&mut b);
    assert_eq!((&*asked.headers, &asked.info["acc"]), ("NATS/1.0|A: b|C: d", &"A".into()));
    let block = "NATS/1.0\r\nX: y\r\n\r\n";
    b.send(format!("HPUB {} {} {}\r\n{block}y\r\n", asked.reply, block.len(), block.len() + 1));
    a.expect_exact(format!("HMSG in.2 1 {} {}\r\n{block}y\r\n", block.len(), block.len() + 1));
}

#[test]
fn an_answer_may_be_answered() {
    let broker = config(&accounts(SERVICES));
    let (mut a, mut b) = (user(&broker, "a"), user(&broker, "b"));
    subscribe(&mut b, &["q", "more"]);
    subscribe(&mut a, &["in"]);
    a.send("PUB q in 0\r\n\r\n");
    let asked = request(&mut b);
    b.send(format!("PUB {} more 1\r\n1\r\n", asked.reply));
    let line = a.line();
    let reply = line.strip_prefix("MSG in 1 ").and_then(|rest| rest.strip_suffix(" 1")).unwrap();
    assert!(reply.starts_with("_R_."), "{reply}");
    a.line();
    publish(&mut a, reply, "2");
    b.expect_exact("MSG more 2 1\r\n2\r\n");
    publish(&mut a, reply, "3");
    b.fence();
}

#[test]
fn nobody_answers_from_another_account() {
    let broker = config(&accounts(&[SERVICES[0], SERVICES[1], ("C", "")]));
    let (mut a, mut b, mut c) = (user(&broker, "a"), user(&broker, "b"), user(&broker, "c"));
    subscribe(&mut b, &["q"]);
    subscribe(&mut a, &["in"]);
    a.send("PUB q in 0\r\n\r\n");
    let asked = request(&mut b);
    answer(&mut c, &asked, "no");
    answer(&mut a, &asked, "no");
    answer(&mut b, &asked, "yes");
    a.expect_exact("MSG in 1 3\r\nyes\r\n");
}

#[test]
fn a_request_that_nobody_takes_over_there_gets_its_503() {
    let chain = &[
        ("B", "exports: [{service: q}]"),
        ("C", "imports: [{service: {account: B, subject: q}, to: m}], exports: [{service: m}]"),
        ("A", "imports: [{service: {account: C, subject: m}, to: r}]"),
    ];
    let broker = config(&accounts(chain));
    let (mut a, mut b, mut c) = (user(&broker, "a"), user(&broker, "b"), user(&broker, "c"));
    subscribe(&mut a, &["in"]);
    let nobody = "HMSG in 1 33 33\r\nNATS/1.0 503\r\nNats-Subject: r\r\n\r\n\r\n";
    a.send("PUB r in 2\r\nhi\r\n");
    a.expect_exact(nobody);
    subscribe(&mut b, &["q"]);
    a.send("PUB r in 2\r\nhi\r\n");
    let asked = request(&mut b);
    assert_eq!((&asked.info["acc"], &asked.info["svc"]), (&"A".into(), &"C".into()));
    answer(&mut b, &asked, "yes");
    a.expect_exact("MSG in 1 3\r\nyes\r\n");
    c.send("SUB in 1\r\nPUB m in 0\r\n\r\n");
    let asked = request(&mut b);
    assert_eq!((&asked.info["acc"], asked.info.get("svc")), (&"C".into(), None));
    // The subscriber is there but gone when the request arrives, or it is gone at once: either way.
    b.send("UNSUB 1\r\n");
    b.fence();
    a.send("PUB r in 2\r\nhi\r\n");
    a.expect_exact(nobody);
    // A subscriber of its own account takes it as well.
    let mut a2 = user(&broker, "a2");
    subscribe(&mut a2, &["r"]);
    a.send("PUB r in 2\r\nhi\r\n");
    a.fence();
    a2.expect_exact("MSG r 1 in 2\r\nhi\r\n");
}

#[test]
fn answers_of_several_messages_end_with_an_empty_one() {
    let broker = config(&accounts(SERVICES));
    let (mut a, mut b) = (user(&broker, "a"), user(&broker, "b"));
    subscribe(&mut b, &["st", "ch"]);
    subscribe(&mut a, &["in"]);
    for service in ["st", "ch"] {
        a.send(format!("PUB {service} in 0\r\n\r\n"));
        let asked = request(&mut b);
        for part in ["1", "2"] {
            answer(&mut b, &asked, part);
            a.expect_exact(format!("MSG in 1 1\r\n{part}\r\n"));
        }
        answer(&mut b, &asked, "");
        a.expect_exact("MSG in 1 0\r\n\r\n");
        answer(&mut b, &asked, "late");
        a.fence();
    }
}

#[test]
fn an_answer_that_takes_longer_than_its_threshold_is_dropped() {
    let broker = config(&accounts(SERVICES));
    let (mut a, mut b) = (user(&broker, "a"), user(&broker, "b"));
    subscribe(&mut b, &["ch"]);
    subscribe(&mut a, &["in"]);
    a.send("PUB ch in 0\r\n\r\n");
    let asked = request(&mut b);
    // Whoever writes first is in time; then the threshold is what is waited for.
    answer(&mut b, &asked, "1");
    a.expect_exact("MSG in 1 1\r\n1\r\n");
    std::thread::sleep(Duration::from_millis(700));
    answer(&mut b, &asked, "2");
    a.fence();
}

#[test]
fn a_client_without_headers_gets_a_request_without_them() {
    let broker = config(&accounts(SERVICES));
    let mut a = user(&broker, "a");
    let options = "{\"verbose\":false,\"user\":\"b\",\"pass\":\"pw\"}";
    let mut b = Raw::open_with(&broker, options);
    subscribe(&mut b, &["q"]);
    publish(&mut a, "q", "hi");
    b.expect_exact("MSG q 1 2\r\nhi\r\n");
}

#[test]
fn members_of_a_queue_share_the_requests_of_an_import() {
    let broker = config(&accounts(SERVICES));
    let (mut a, mut b, mut b2) = (user(&broker, "a"), user(&broker, "b"), user(&broker, "b2"));
    for member in [&mut b, &mut b2] {
        member.send("SUB q g 1\r\n");
        member.fence();
    }
    for _ in 0..60 {
        a.publish("q", "x");
    }
    a.fence();
    let mut counts = [0, 0];
    for (member, count) in [&mut b, &mut b2].into_iter().zip(&mut counts) {
        member.send("PING\r\n");
        loop {
            match member.line().as_str() {
                "PONG" => break,
                line if line.starts_with("HMSG q 1") => *count += 1,
                _ => {}
            }
        }
    }
    assert_eq!(counts[0] + counts[1], 60);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

#[test]
fn what_comes_through_a_service_is_not_part_of_a_stream() {
    let both = &[
        ("B", "exports: [{service: q}, {stream: q}]"),
        ("A", "imports: [{service: {account: B, subject: q}}]"),
        ("C", "imports: [{stream: {account: B, subject: q}}]"),
    ];
    let broker = config(&accounts(both));
    let (mut a, mut b, mut c) = (user(&broker, "a"), user(&broker, "b"), user(&broker, "c"));
    c.send("SUB q 1\r\nSUB q g 2\r\n");
    c.fence();
    subscribe(&mut a, &["in"]);
    a.send("PUB q in 0\r\n\r\n");
    a.expect_exact("HMSG in 1 33 33\r\nNATS/1.0 503\r\nNats-Subject: q\r\n\r\n\r\n");
    c.fence();
    publish(&mut b, "q", "x");
    c.expect_exact("MSG q 1 1\r\nx\r\nMSG q 2 1\r\nx\r\n");
}

#[test]
fn an_account_may_import_from_itself_and_nothing_goes_in_circles() {
    let own = &[(
        "A",
        "exports: [{service: foo}, {stream: st}], imports: [\n\
         {service: {account: A, subject: foo}}, {service: {account: A, subject: foo}, to: bar},\n\
         {stream: {account: A, subject: st}}]",
    )];
    let broker = config(&accounts(own));
    let (mut a, mut a2) = (user(&broker, "a"), user(&broker, "a2"));
    subscribe(&mut a, &["foo", "st"]);
    publish(&mut a2, "bar", "x");
    assert_eq!(request(&mut a).line, "foo 1");
    a.fence();
    publish(&mut a2, "st", "x");
    a.expect_exact("MSG st 2 1\r\nx\r\nMSG st 2 1\r\nx\r\n");
    a.fence();
}

#[test]
fn mappings_of_both_accounts_are_applied() {
    let broker = config(
        "accounts { B { users: [{user: b, password: pw}], mappings: {q: qm, s: sm},\n\
         exports: [{service: q}, {stream: sm}, {stream: s}] }\n\
         A { users: [{user: a, password: pw}], mappings: {x: q},\n\
         imports: [{service: {account: B, subject: q}}, {stream: {account: B, subject: sm}},\n\
         {stream: {account: B, subject: s}}] } }",
    );
    let (mut a, mut b) = (user(&broker, "a"), user(&broker, "b"));
    subscribe(&mut b, &["q", "qm"]);
    subscribe(&mut a, &["s", "sm"]);
    publish(&mut a, "x", "1");
    assert_eq!(request(&mut b).line, "qm 2");
    publish(&mut b, "s", "1");
    a.expect_exact("MSG sm 2 1\r\n1\r\n");
    a.fence();
}

#[test]
fn permissions_are_those_of_the_importing_account_and_of_the_answering_client() {
    let broker = config(
        "accounts { B { users: [{user: b, password: pw, permissions: {subscribe: \"*\",\n\
         allow_responses: true}}], exports: [{service: q}, {service: n}] }\n\
         A { users: [{user: a, password: pw, permissions: {publish: q}}],\n\
         imports: [{service: {account: B, subject: q}}, {service: {account: B, subject: n}}] } }",
    );
    let (mut a, mut b) = (user(&broker, "a"), user(&broker, "b"));
    subscribe(&mut b, &["*"]);
    a.send("SUB in 1\r\nPUB n in 0\r\n\r\nPUB q in 0\r\n\r\n");
    a.expect_exact("-ERR 'Permissions Violation for Publish to \"n\"'\r\n");
    let asked = request(&mut b);
    b.send(format!("PUB {0} 1\r\n1\r\nPUB {0} 1\r\n2\r\n", asked.reply));
    b.expect_exact(format!("-ERR 'Permissions Violation for Publish to \"{}\"'\r\n", asked.reply));
    a.expect_exact("MSG in 1 1\r\n1\r\n");
}

#[test]
fn two_accounts_may_answer_one_subject() {
    let two = &[
        ("B", "exports: [{service: foo}]"),
        ("C", "exports: [{service: foo}]"),
        (
            "A",
            "imports: [{service: {account: B, subject: foo}, to: x},\n\
             {service: {account: C, subject: foo}, to: x}]",
        ),
    ];
    let broker = config(&accounts(two));
    let (mut a, mut b, mut c) = (user(&broker, "a"), user(&broker, "b"), user(&broker, "c"));
    subscribe(&mut a, &["in"]);
    a.send("PUB x in 0\r\n\r\n");
    a.expect_exact("HMSG in 1 33 33\r\nNATS/1.0 503\r\nNats-Subject: x\r\n\r\n\r\n");
    subscribe(&mut b, &["foo"]);
    a.send("PUB x in 0\r\n\r\n");
    request(&mut b);
    a.fence();
    subscribe(&mut c, &["foo"]);
    a.send("PUB x in 0\r\n\r\n");
    for service in [&mut b, &mut c] {
        let asked = request(service);
        answer(service, &asked, "1");
        a.expect_exact("MSG in 1 1\r\n1\r\n");
    }
}

#[test]
fn a_service_hears_more_of_who_asks_if_that_is_shared() {
    let shared = &[
        ("B", "exports: [{service: q}]"),
        ("A", "imports: [{service: {account: B, subject: q}, share: true}]"),
    ];
    let broker = config(&format!("server_name: srv\n{}", accounts(shared)));
    let (mut a, mut b) = (user(&broker, "a"), user(&broker, "b"));
    subscribe(&mut b, &["q"]);
    publish(&mut a, "q", "x");
    let info = request(&mut b).info;
    for (key, value) in [
        ("acc", "A"),
        ("user", "a"),
        ("name", "n-a"),
        ("lang", "x"),
        ("ver", "1"),
        ("host", "127.0.0.1"),
        ("server", "srv"),
        ("kind", "Client"),
        ("client_type", "nats"),
    ] {
        assert_eq!(info[key], value, "{key}");
    }
    assert!(info["id"].as_u64().unwrap() > 0);
    assert!(info["start"].as_str().unwrap().starts_with("20"));
}

/// Reads the message to the reply `in`: what its body says.
fn reply_of(raw: &mut Raw) -> serde_json::Value {
    let line = raw.line();
    let size: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(line.starts_with("MSG in "), "{line}");
    let body = raw.exact(size + 2);
    serde_json::from_slice(&body[..size]).unwrap_or_default()
}

fn ask(raw: &mut Raw, subject: &str, body: &str) -> serde_json::Value {
    raw.send(format!("PUB {subject} in {}\r\n{body}\r\n", body.len()));
    reply_of(raw)
}

#[test]
fn streams_and_consumers_of_another_account_are_used_through_imports() {
    let folder = tempfile::tempdir().unwrap();
    let broker = config(&format!(
        "jetstream {{ store_dir: \"{}\" }}\n{}",
        folder.path().display(),
        accounts(&[
            (
                "B",
                "jetstream: enabled, exports: [{service: \"$JS.API.>\", response_type: stream},\n\
                 {service: \"$JS.ACK.>\"}, {stream: \"deliver.>\"}, {service: \"orders.>\"},\n\
                 {stream: \"evt.>\"}]",
            ),
            (
                "A",
                "jetstream: enabled, imports: [\n\
                 {service: {account: B, subject: \"$JS.API.>\"}, to: \"b.API.>\"},\n\
                 {service: {account: B, subject: \"$JS.ACK.>\"}},\n\
                 {stream: {account: B, subject: \"deliver.>\"}, prefix: d},\n\
                 {service: {account: B, subject: \"orders.>\"}},\n\
                 {stream: {account: B, subject: \"evt.>\"}}]",
            ),
        ])
    ));
    let (mut a, mut b) = (user(&broker, "a"), user(&broker, "b"));
    subscribe(&mut a, &["in"]);
    let stream = "{\"name\":\"O\",\"subjects\":[\"orders.>\"]}";
    assert_eq!(ask(&mut a, "b.API.STREAM.CREATE.O", stream)["did_create"], true);
    assert_eq!(ask(&mut a, "orders.x", "hello")["seq"], 1);
    // What was added on the way is not stored.
    let message = ask(&mut a, "b.API.STREAM.MSG.GET.O", "{\"seq\":1}")["message"].clone();
    assert_eq!((&message["subject"], message.get("hdrs")), (&"orders.x".into(), None));

    let pull = "{\"stream_name\":\"O\",\"config\":{\"name\":\"P\",\"durable_name\":\"P\",\
                \"ack_policy\":\"explicit\"}}";
    assert_eq!(ask(&mut a, "b.API.CONSUMER.CREATE.O.P", pull)["name"], "P");
    a.send("PUB b.API.CONSUMER.MSG.NEXT.O.P in 0\r\n\r\n");
    let line = a.line();
    let parts: Vec<&str> = line.split(' ').collect();
    assert_eq!((parts[0], parts[1], parts[4]), ("MSG", "orders.x", "5"), "{line}");
    assert!(parts[3].starts_with("$JS.ACK.O.P.1.1.1."), "{line}");
    a.line();
    a.send(format!("PUB {} in 4\r\n+ACK\r\n", parts[3]));
    a.expect_exact("MSG in 1 0\r\n\r\n");
    let info = ask(&mut a, "b.API.CONSUMER.INFO.O.P", "");
    assert_eq!(
        (&info["num_ack_pending"], &info["ack_floor"]["stream_seq"]),
        (&0.into(), &1.into())
    );

    // A stream of the own account keeps what is imported.
    let own = "{\"name\":\"E\",\"subjects\":[\"evt.>\"]}";
    assert_eq!(ask(&mut a, "$JS.API.STREAM.CREATE.E", own)["did_create"], true);
    publish(&mut b, "evt.1", "x");
    let mut messages = 0;
    while messages == 0 {
        messages = ask(&mut a, "$JS.API.STREAM.INFO.E", "")["state"]["messages"].as_u64().unwrap();
    }
    assert_eq!(ask(&mut a, "$JS.API.STREAM.INFO.O", "")["error"]["err_code"], 10059);
}

fn reload(broker: &Broker, text: &str) {
    broker.rewrite_config(text);
    broker.signal("HUP");
    broker.wait_log("Reloaded server configuration (sha256:");
}

#[test]
fn imports_follow_a_reload() {
    let without = |body: &'static str| {
        accounts(&[("B", "exports: [{stream: s}, {stream: t}, {service: q}]"), ("A", body)])
    };
    let broker = config(&without("imports: [{stream: {account: B, subject: s}}]"));
    let (mut a, mut b) = (user(&broker, "a"), user(&broker, "b"));
    subscribe(&mut a, &["s", "t", "in"]);
    subscribe(&mut b, &["q"]);
    a.send("PUB q in 0\r\n\r\n");
    a.expect_exact("HMSG in 3 33 33\r\nNATS/1.0 503\r\nNats-Subject: q\r\n\r\n\r\n");
    publish(&mut b, "s", "1");
    a.expect_exact("MSG s 1 1\r\n1\r\n");
    reload(
        &broker,
        &without(
            "imports: [{stream: {account: B, subject: t}}, {service: {account: B, subject: q}}]",
        ),
    );
    // Every shard has to hear of it.
    let mut pending = true;
    while pending {
        b.send("PUB t 1\r\n2\r\nPUB s 1\r\n2\r\n");
        b.fence();
        a.send("PING\r\n");
        loop {
            match a.line().as_str() {
                "PONG" => break,
                "MSG t 2 1" => pending = false,
                _ => {}
            }
        }
    }
    publish(&mut b, "s", "3");
    a.fence();
    a.send("PUB q in 2\r\nhi\r\n");
    let asked = request(&mut b);
    answer(&mut b, &asked, "yes");
    a.expect_exact("MSG in 3 3\r\nyes\r\n");
    reload(&broker, &without(""));
    let mut pending = true;
    while pending {
        publish(&mut b, "t", "4");
        a.send("PING\r\n");
        pending = a.line() != "PONG";
        while pending && a.line() != "PONG" {}
    }
}
