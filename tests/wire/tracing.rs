//! Goal: a message that asks for it has its way told, as nats-server tells it, and nobody can use
//! that to get around what is forbidden. Method: publishers and subscribers of one account; every
//! fact was taken from nats-server itself.

use serde_json::{json, Value};

use crate::common::{config, Broker, Raw};

const ACCOUNT: &str = "accounts {
  T {
    msg_trace: \"sampled\", mappings: { \"m.*\": \"mm.$1\" }
    users: [
      {user: a, password: pw}
      {user: few, password: pw, permissions {
        publish: [\"x.>\"], subscribe: {allow: \">\", deny: \"q.>\"}
      }}
    ]
  }
  U { users: [{user: u, password: pw}] }
}
";

fn log_in(broker: &Broker, user: &str, name: &str) -> Raw {
    let options = format!(
        "{{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\
         \"echo\":false,\"user\":\"{user}\",\"pass\":\"pw\",\"name\":\"{name}\"}}"
    );
    Raw::open_with(broker, &options)
}

/// HPUB with these header lines.
fn frame(subject: &str, lines: &str) -> String {
    let block = format!("NATS/1.0\r\n{lines}\r\n");
    format!("HPUB {subject} {} {}\r\n{block}hi\r\n", block.len(), block.len() + 2)
}

/// The events of a trace without what differs from run to run, sorted: shards answer in any order.
fn events(trace: &Value) -> Vec<String> {
    let list = trace["events"].as_array().expect("events");
    let mut shown: Vec<String> = list
        .iter()
        .map(|event| {
            let mut event = event.as_object().expect("an event").clone();
            assert!(event.remove("ts").is_some_and(|ts| ts.is_string()));
            event.remove("cid");
            Value::Object(event).to_string()
        })
        .collect();
    shown[1..].sort();
    shown
}

fn expected(list: &[Value]) -> Vec<String> {
    let mut shown: Vec<String> = list.iter().map(Value::to_string).collect();
    shown[1..].sort();
    shown
}

fn ingress(subject: &str) -> Value {
    json!({"type": "in", "kind": 0, "name": "pub", "acc": "T", "subj": subject})
}

fn egress(name: &str, sub: &str) -> Value {
    json!({"type": "eg", "kind": 0, "name": name, "sub": sub})
}

#[track_caller]
fn traced(observer: &mut Raw, subject: &str) -> Value {
    let message = observer.message();
    assert_eq!(message.subject, subject);
    serde_json::from_slice(&message.payload).expect("JSON")
}

#[test]
fn the_way_of_a_message_is_told() {
    let broker = config(ACCOUNT);
    let mut observer = log_in(&broker, "a", "obs");
    observer.send("SUB tr 1\r\n");
    observer.fence();
    // More than one for each shard.
    let mut subscribers: Vec<Raw> =
        (0..4).map(|number| log_in(&broker, "a", &format!("sub{number}"))).collect();
    for raw in &mut subscribers {
        raw.send("SUB foo 1\r\nSUB mm.* 2\r\nSUB q.1 g 3\r\n");
        raw.fence();
    }
    let mut publisher = log_in(&broker, "a", "pub");
    publisher.send(format!("SUB foo 1\r\n{}", frame("foo", "Nats-Trace-Dest: tr\r\nX: y\r\n")));
    let trace = traced(&mut observer, "tr");
    assert_eq!(
        trace["request"],
        json!({"header": {"Nats-Trace-Dest": ["tr"], "X": ["y"]}, "msgsize": 41})
    );
    let mut own = egress("pub", "foo");
    own["error"] = "Not delivered because of no echo".into();
    let mut all = vec![ingress("foo")];
    all.extend((0..4).map(|number| egress(&format!("sub{number}"), "foo")));
    let mut with_own = all.clone();
    with_own.push(own);
    // Publishers are passed over without a word by other shards, where they cannot be.
    assert_eq!(events(&trace), expected(&with_own));
    for raw in &mut subscribers {
        assert_eq!(raw.message().payload, b"hi");
    }
    publisher.send("UNSUB 1\r\n");
    publisher.fence();
    publisher.send(frame("foo", "Nats-Trace-Dest: tr\r\nNats-Trace-Only: true\r\n"));
    assert_eq!(events(&traced(&mut observer, "tr")), expected(&all));
    for raw in &mut subscribers {
        raw.fence();
    }
    publisher.send(frame("m.x", "Nats-Trace-Dest: tr\r\n"));
    let mut all = vec![ingress("m.x"), json!({"type": "sm", "to": "mm.x"})];
    all.extend((0..4).map(|number| egress(&format!("sub{number}"), "mm.*")));
    assert_eq!(events(&traced(&mut observer, "tr")), expected(&all));
    for raw in &mut subscribers {
        assert_eq!(raw.message().subject, "mm.x");
    }
    // One member of the queue, and nobody more.
    for _ in 0..20 {
        publisher.send(frame("q.1", "Nats-Trace-Dest: tr\r\n"));
        let trace = traced(&mut observer, "tr");
        assert_eq!(trace["events"].as_array().unwrap().len(), 2, "{trace}");
        assert_eq!(trace["events"][1]["queue"], "g");
    }
    publisher.send(frame("nobody", "Nats-Trace-Dest: tr\r\n"));
    assert_eq!(events(&traced(&mut observer, "tr")), expected(&[ingress("nobody")]));
}

#[test]
fn what_does_not_ask_is_not_traced() {
    let broker = config(ACCOUNT);
    let mut observer = log_in(&broker, "a", "obs");
    observer.send("SUB tr 1\r\nSUB tr.* 2\r\nSUB sampled 3\r\nSUB two 4\r\n");
    observer.fence();
    let mut subscriber = log_in(&broker, "a", "sub");
    subscriber.send("SUB foo 1\r\n");
    subscriber.fence();
    let mut publisher = log_in(&broker, "a", "pub");
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
    for lines in [
        "nats-trace-dest: tr\r\n",
        "Nats-Trace-Dest: tr.*\r\n",
        "Nats-Trace-Dest: \r\n",
        "Nats-Trace-Only: true\r\n",
        "Nats-Trace-Dest: trace disabled\r\nNats-Trace-Only: true\r\n",
        &format!("traceparent: {parent}-00\r\n"),
        "traceparent: x\r\n",
    ] {
        publisher.send(frame("foo", lines));
        assert_eq!(subscriber.message().payload, b"hi", "{lines:?}");
    }
    publisher.fence();
    observer.fence();
    publisher.send(frame("foo", &format!("TraceParent: {parent}-01\r\n")));
    let trace = traced(&mut observer, "sampled");
    assert_eq!(events(&trace), expected(&[ingress("foo"), egress("sub", "foo")]));
}

#[test]
fn tracing_gets_nobody_around_permissions() {
    let broker = config(ACCOUNT);
    let mut observer = log_in(&broker, "a", "obs");
    observer.send("SUB > 1\r\n");
    observer.fence();
    let mut few = log_in(&broker, "few", "few");
    few.send("SUB q.* 1\r\n");
    few.expect_exact("-ERR 'Permissions Violation for Subscription to \"q.*\"'\r\n");
    few.send("SUB > 2\r\n");
    few.fence();
    // A destination that its sender must not publish to.
    few.send(frame("x.a", "Nats-Trace-Dest: tr\r\n"));
    few.expect_exact("-ERR 'Permissions Violation for Publish to \"tr\"'\r\n");
    for reserved in ["_GR_.a", "$NRG.a"] {
        let mut all = log_in(&broker, "a", "all");
        all.send(frame("x.a", &format!("Nats-Trace-Dest: {reserved}\r\n")));
        all.expect_exact(format!("-ERR 'Permissions Violation for Publish to \"{reserved}\"'\r\n"));
    }
    few.fence();
    observer.fence();
    // A subject that it must not publish to, told where it may.
    few.send(frame("foo", "Nats-Trace-Dest: x.tr\r\n"));
    few.expect_exact("-ERR 'Permissions Violation for Publish to \"foo\"'\r\n");
    let trace = traced(&mut observer, "x.tr");
    let mut refused = ingress("foo");
    refused["name"] = "few".into();
    refused["error"] = "Permissions Violation for Publish to \"foo\"".into();
    assert_eq!(events(&trace), expected(&[refused]));
    assert_eq!(few.message().subject, "x.tr");
    // What it must not get it does not get by being traced.
    let mut publisher = log_in(&broker, "a", "pub");
    publisher.send(frame("q.1", "Nats-Trace-Dest: tr\r\n"));
    let mut subjects = [observer.message(), observer.message()];
    subjects.sort_by(|one, other| one.subject.cmp(&other.subject));
    assert_eq!(subjects[0].subject, "q.1");
    let trace: Value = serde_json::from_slice(&subjects[1].payload).unwrap();
    let mut denied = egress("few", ">");
    denied["error"] = "Not delivered because subscription denies this subject".into();
    assert_eq!(events(&trace), expected(&[ingress("q.1"), egress("obs", ">"), denied]));
    assert_eq!(few.message().subject, "tr");
    few.fence();
    // Another account hears nothing.
    let mut other = log_in(&broker, "u", "u");
    other.send("SUB > 1\r\n");
    other.fence();
    publisher.send(frame("foo", "Nats-Trace-Dest: tr\r\n"));
    observer.message();
    observer.message();
    other.fence();
}

#[test]
fn a_request_without_responders_gets_its_status_when_traced() {
    let broker = config(ACCOUNT);
    let mut publisher = log_in(&broker, "a", "pub");
    let block = "NATS/1.0\r\nNats-Trace-Dest: tr\r\nNats-Trace-Only: true\r\n\r\n";
    let length = block.len();
    let request = format!("HPUB zzz in {length} {length}\r\n{block}\r\n");
    publisher.send(format!("SUB in 1\r\n{request}"));
    assert!(publisher.message().headers.unwrap().starts_with(b"NATS/1.0 503"));
    let mut responder = log_in(&broker, "a", "sub");
    responder.send("SUB zzz 1\r\n");
    responder.fence();
    // It would have got it.
    publisher.send(&request);
    publisher.fence();
    responder.fence();
}

#[test]
fn streams_are_told_of_and_keep_no_wish() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display();
    let broker = config(&format!("jetstream {{ store_dir: \"{folder}\" }}"));
    let options = r#"{"verbose":false,"pedantic":false,"headers":true,"name":"pub"}"#;
    let mut raw = Raw::open_with(&broker, options);
    let body =
        r#"{"name":"S","subjects":["st.>"],"subject_transform":{"src":"st.t.*","dest":"st.u.$1"}}"#;
    raw.send(format!(
        "SUB in 1\r\nSUB tr 2\r\nPUB $JS.API.STREAM.CREATE.S in {}\r\n{body}\r\n",
        body.len()
    ));
    assert_eq!(raw.message().sid, "1");
    for (lines, stored) in [("", true), ("Nats-Trace-Only: 1\r\n", false)] {
        raw.send(frame("st.t.a", &format!("Nats-Trace-Dest: tr\r\n{lines}")));
        let trace = traced(&mut raw, "tr");
        let event = &trace["events"][1];
        assert_eq!((&event["type"], &event["stream"]), (&"js".into(), &"S".into()));
        assert_eq!(event["subject"], "st.u.a");
        let ask = "{\"last_by_subj\":\"st.u.a\"}";
        raw.send(format!(
            "PUB $JS.API.DIRECT.GET.S in 0\r\n\r\nPUB $JS.API.STREAM.MSG.GET.S in {}\r\n{ask}\r\n",
            ask.len()
        ));
        let found: Value = loop {
            let message = raw.message();
            if message.payload.starts_with(b"{\"type\"") {
                break serde_json::from_slice(&message.payload).unwrap();
            }
        };
        assert_eq!(found["message"]["seq"], 1, "stored: {stored}");
        let headers = found["message"]["hdrs"].as_str().unwrap();
        let headers = data_encoding::BASE64.decode(headers.as_bytes()).unwrap();
        assert_eq!(headers, b"NATS/1.0\r\nNats-Trace-Dest: trace disabled\r\n\r\n");
    }
}

#[test]
fn who_imports_is_not_told_to_who_traces() {
    let broker = config(
        "accounts {
           T {
             users: [{user: a, password: pw}]
             exports: [{stream: \"out.>\"}, {service: \"ask\"}]
           }
           U {
             users: [{user: u, password: pw}]
             imports: [{stream: {account: T, subject: \"out.>\"}}]
           }
         }",
    );
    let mut other = log_in(&broker, "u", "secret-name");
    other.send("SUB out.> secret-sid\r\nSUB out.* g secret-queue\r\n");
    other.fence();
    let mut observer = log_in(&broker, "a", "obs");
    observer.send("SUB tr 1\r\n");
    observer.fence();
    let mut publisher = log_in(&broker, "a", "pub");
    for lines in ["", "Nats-Trace-Only: true\r\n"] {
        publisher.send(frame("out.a", &format!("Nats-Trace-Dest: tr\r\n{lines}")));
        let message = observer.message();
        let text = String::from_utf8(message.payload).unwrap();
        assert!(!text.contains("secret"), "{text}");
        assert!(text.contains("\"subj\":\"out.a\""), "{text}");
    }
    // The one that was not for tracing only.
    let mut got: Vec<String> = other.drain().into_iter().map(|message| message.sid).collect();
    got.sort();
    assert_eq!(got, ["secret-queue", "secret-sid"]);
}

#[test]
fn what_a_service_is_asked_traces_nobody_over_there() {
    let broker = config(
        "accounts {
           T { users: [{user: a, password: pw}], exports: [{service: ask}] }
           U {
             users: [{user: u, password: pw}]
             imports: [{service: {account: T, subject: ask}}]
           }
         }",
    );
    let (mut service, mut asker) = (log_in(&broker, "a", "svc"), log_in(&broker, "u", "asker"));
    service.send("SUB ask 1\r\n");
    service.fence();
    asker.send(frame("ask", "A: 1\r\nNats-Trace-Dest: tr\r\n"));
    let headers = service.message().headers.unwrap_or_default();
    let headers = String::from_utf8(headers).unwrap();
    assert!(headers.contains("A: 1\r\nNats-Trace-Dest: trace disabled\r\n"), "{headers}");
}
