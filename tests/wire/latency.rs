//! Goal: who exports a service hears how long it takes, of the requests it wants to hear of. Method:
//! users of accounts that may be on different shards; what is compared was asked of nats-server
//! 2.15.1.

use serde_json::{json, Value};

use crate::common::{config, Broker, Raw};

/// Account A exports `q.*`, which B imports as `l.*`.
fn broker(latency: &str, share: bool) -> Broker {
    config(&format!(
        "accounts {{\n\
         A {{ users: [{{user: a, password: pw}}, {{user: a2, password: pw}}]\n\
           exports: [{{service: \"q.*\", latency: {latency}, threshold: \"300ms\"}}] }}\n\
         B {{ users: [{{user: b, password: pw}}, {{user: b2, password: pw}}]\n\
           imports: [{{service: {{account: A, subject: \"q.*\"}}, to: \"l.*\", share: {share}}}] }}\n\
         SYS {{ users: [{{user: s, password: pw}}] }} }}\nsystem_account: SYS\n"
    ))
}

fn user(broker: &Broker, name: &str) -> Raw {
    let options = format!(
        "{{\"verbose\":false,\"user\":\"{name}\",\"pass\":\"pw\",\"headers\":true,\
         \"no_responders\":true,\"name\":\"n-{name}\",\"lang\":\"x\",\"version\":\"1\"}}"
    );
    Raw::open_with(broker, &options)
}

fn listener(broker: &Broker) -> Raw {
    let mut raw = user(broker, "a2");
    raw.send("SUB lat 7\r\n");
    raw.fence();
    raw
}

fn metric(raw: &mut Raw) -> Value {
    let message = raw.message();
    assert_eq!((&*message.subject, &message.reply), ("lat", &None));
    serde_json::from_slice(&message.payload).expect("JSON")
}

/// What differs from run to run becomes its type.
fn shape(value: &Value, keep: &[&str]) -> Value {
    let Value::Object(fields) = value else { return value.clone() };
    let shown = fields.iter().map(|(name, value)| {
        let shown = match value {
            _ if keep.contains(&&**name) => value.clone(),
            Value::Object(_) => shape(value, keep),
            Value::String(_) => "s".into(),
            _ => "n".into(),
        };
        (name.clone(), shown)
    });
    Value::Object(shown.collect())
}

const FIXED: &[&str] = &[
    "type",
    "status",
    "description",
    "acc",
    "user",
    "name",
    "lang",
    "ver",
    "kind",
    "client_type",
    "host",
    "header",
];

/// A client as it is told of in full.
fn client(account: &str, user: &str) -> Value {
    json!({ "start": "s", "host": "127.0.0.1", "id": "n", "acc": account, "user": user,
        "name": format!("n-{user}"), "lang": "x", "ver": "1", "rtt": "n", "server": "s",
        "kind": "Client", "client_type": "nats" })
}

fn failed(status: u16, description: &str) -> Value {
    json!({ "type": "io.nats.server.metric.v1.service_latency", "id": "s", "timestamp": "s",
        "status": status, "description": description, "requestor": { "acc": "B", "rtt": "n" },
        "start": "s", "service": "n", "system": "n", "total": "n" })
}

#[test]
fn an_answered_request_is_told_of_with_who_answers() {
    for share in [false, true] {
        let broker = broker("lat", share);
        let mut lat = listener(&broker);
        // On whatever shards they are.
        for _ in 0..2 {
            let (mut a, mut b) = (user(&broker, "a"), user(&broker, "b"));
            a.send("SUB q.* 1\r\n");
            a.fence();
            b.send("SUB in 1\r\n");
            b.publish("l.x", "hi");
            let keys = "type id timestamp status description requestor start service system total";
            let first = lat.message();
            let text = String::from_utf8(first.payload).expect("text");
            let places: Vec<Option<usize>> =
                keys.split(' ').map(|key| text.find(&format!("\"{key}\":"))).collect();
            assert!(places.is_sorted() && places[0] == Some(1), "{text}");
            a.drain();
            b.send("PUB l.x in 2\r\nhi\r\n");
            let request = a.message();
            let reply = request.reply.unwrap_or_default();
            assert!(reply.starts_with("_R_.") && reply.ends_with(".T"), "{reply}");
            assert_eq!(reply.split('.').count(), 5, "{reply}");
            a.publish(&reply, "ok");
            b.expect_exact("MSG in 1 2\r\nok\r\n");
            let told = metric(&mut lat);
            let requestor = match share {
                false => json!({ "acc": "B", "rtt": "n" }),
                true => client("B", "b"),
            };
            assert_eq!(
                shape(&told, FIXED),
                json!({ "type": "io.nats.server.metric.v1.service_latency", "id": "s",
                    "timestamp": "s", "status": 200, "requestor": requestor,
                    "responder": client("A", "a"), "start": "s", "service": "n", "system": "n",
                    "total": "n" })
            );
            let number = |name: &str| told[name].as_u64().expect("a number");
            assert!(number("total") > 0 && number("total") >= number("service"), "{told}");
            a.send("UNSUB 1\r\n");
            a.fence();
        }
    }
}

#[test]
fn a_request_without_an_answer_is_told_of_with_the_reason() {
    let broker = broker("lat", false);
    let (mut a, mut b, mut lat) = (user(&broker, "a"), user(&broker, "b"), listener(&broker));
    b.send("SUB in 1\r\nPUB l.x in 2\r\nhi\r\n");
    assert_eq!(shape(&metric(&mut lat), FIXED), failed(503, "Service Unavailable"));
    a.send("SUB q.* 1\r\n");
    a.fence();
    b.send("PUB l.x 2\r\nhi\r\n");
    assert_eq!(shape(&metric(&mut lat), FIXED), failed(400, "Bad Request"));
    a.drain();
    b.send("PUB l.x in 2\r\nhi\r\n");
    let late = a.message().reply.unwrap_or_default();
    assert_eq!(shape(&metric(&mut lat), FIXED), failed(504, "Service Timeout"));
    a.publish(&late, "ok");
    a.fence();
    let mut gone = user(&broker, "b2");
    gone.send("SUB in 1\r\nPUB l.x in 2\r\nhi\r\n");
    let reply = a.message().reply.unwrap_or_default();
    gone.finish();
    assert_eq!(shape(&metric(&mut lat), FIXED), failed(408, "Request Timeout"));
    a.publish(&reply, "ok");
    a.fence();
    lat.fence();
}

#[test]
fn only_what_asks_for_it_with_its_headers_is_measured() {
    let broker = broker("{ sampling: headers, subject: lat }", false);
    let (mut a, mut b, mut lat) = (user(&broker, "a"), user(&broker, "b"), listener(&broker));
    a.send("SUB q.* 1\r\n");
    a.fence();
    b.send("SUB in 1\r\n");
    for (lines, expected) in [
        ("A: 1", None),
        ("Traceparent: 00-4-0-00", None),
        ("traceparent: 00-4-0-01", Some(json!({ "Traceparent": ["00-4-0-01"] }))),
    ] {
        let block = format!("NATS/1.0\r\n{lines}\r\n\r\n");
        b.send(format!("HPUB l.x in {0} {0}\r\n{block}\r\n", block.len()));
        let reply = a.message().reply.unwrap_or_default();
        assert_eq!(reply.ends_with(".T"), expected.is_some(), "{reply}");
        a.publish(&reply, "ok");
        b.expect_exact("MSG in 1 2\r\nok\r\n");
        if let Some(header) = expected {
            assert_eq!(metric(&mut lat)["header"], header);
        }
    }
    lat.fence();
}

#[test]
fn each_service_on_the_way_is_told_of() {
    let broker = config(
        "accounts {\n\
         A { users: [{user: a, password: pw}, {user: a2, password: pw}]\n\
           exports: [{service: q, latency: lat}] }\n\
         B { users: [{user: b, password: pw}], exports: [{service: l, latency: lat}]\n\
           imports: [{service: {account: A, subject: q}, to: l}] }\n\
         D { users: [{user: d, password: pw}]\n\
           imports: [{service: {account: B, subject: l}, to: m, share: true}] }\n\
         SYS { users: [{user: s, password: pw}] } }\nsystem_account: SYS\n",
    );
    let (mut a, mut d, mut of_a) = (user(&broker, "a"), user(&broker, "d"), listener(&broker));
    let mut of_b = user(&broker, "b");
    of_b.send("SUB lat 7\r\n");
    of_b.fence();
    a.send("SUB q 1\r\n");
    a.fence();
    d.send("SUB in 1\r\nPUB m in 2\r\nhi\r\n");
    let reply = a.message().reply.unwrap_or_default();
    a.publish(&reply, "ok");
    d.expect_exact("MSG in 1 2\r\nok\r\n");
    let (first, second) = (metric(&mut of_a), metric(&mut of_b));
    assert_eq!(shape(&first["requestor"], FIXED), json!({ "acc": "D", "rtt": "n" }));
    assert_eq!(shape(&second["requestor"], FIXED), client("D", "d"));
    for metric in [&first, &second] {
        assert_eq!(shape(&metric["responder"], FIXED), client("A", "a"));
    }
}
