//! Goal: the system account tells and answers what nats-server does there. Method: an
//! administrator and clients of another account on one broker; keys, types and texts were taken
//! from nats-server itself.

use std::time::Duration;

use serde_json::{json, Value};

use crate::common::{config, Broker, Message, Raw};
use crate::operator::{self, unix_now, Operator, Tenant};

const ACCOUNTS: &str = "server_name: alpha
accounts {
  $SYS { users: [{user: admin, password: s3cret}] }
  A { users: [
    {user: ada, password: s3cret}
    {user: few, password: s3cret, permissions {
      publish: [\"x.>\", \"$SYS.REQ.USER.INFO\"], subscribe: {allow: \">\", deny: \"q.>\"}
      allow_responses: true
    }}
  ] }
  B { users: [{user: bob, password: s3cret}] }
}
";

fn log_in(broker: &Broker, user: &str) -> Raw {
    Raw::open_with(
        broker,
        &format!(
            r#"{{"verbose":false,"pedantic":false,"headers":true,"no_responders":true,
            "user":"{user}","pass":"s3cret","name":"{user}-1","lang":"rust","version":"1.0"}}"#
        )
        .replace('\n', ""),
    )
}

fn text_of(message: &Message) -> String {
    String::from_utf8(message.payload.clone()).expect("text")
}

fn json_of(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).expect("JSON")
}

/// Asks, and returns the message that answers.
fn ask(raw: &mut Raw, subject: &str, body: &str) -> Message {
    raw.send(format!(
        "SUB _INBOX.x inbox\r\nUNSUB inbox 1\r\nPUB {subject} _INBOX.x {}\r\n{body}\r\n",
        body.len()
    ));
    loop {
        let message = raw.message();
        if message.sid == "inbox" {
            // A status does not count as the one message that was asked for.
            raw.send("UNSUB inbox\r\n");
            return message;
        }
    }
}

fn ask_json(raw: &mut Raw, subject: &str, body: &str) -> Value {
    json_of(&ask(raw, subject, body))
}

/// Nobody has answered by the time that something else is answered.
fn is_silent(raw: &mut Raw, subject: &str, body: &str) -> bool {
    raw.send(format!(
        "SUB _INBOX.y silent\r\nPUB {subject} _INBOX.y {}\r\n{body}\r\n\
         SUB _INBOX.x inbox\r\nPUB $SYS.REQ.SERVER.PING.IDZ _INBOX.x 0\r\n\r\n",
        body.len()
    ));
    let mut is_silent = true;
    while raw.message().sid != "inbox" {
        is_silent = false;
    }
    raw.send("UNSUB silent\r\nUNSUB inbox\r\n");
    is_silent
}

#[test]
fn what_an_account_gives_and_takes_is_told() {
    let broker = config(
        "accounts {\n\
         A { mappings: { foo: bar, \"x.*\": [{destination: \"y.$1\", weight: 40}] }\n\
           exports: [{service: \"q.*\", latency: {sampling: headers, subject: lat}},\n\
             {service: p, response: stream, accounts: [B]}, {stream: \"s.>\", accounts: [B]}] }\n\
         B { imports: [{service: {account: A, subject: \"q.*\"}, to: \"l.*\", share: true},\n\
           {stream: {account: A, subject: \"s.>\"}, prefix: p}] }\n\
         SYS { users: [{user: admin, password: s3cret}] } }\nsystem_account: SYS\n",
    );
    let mut admin = log_in(&broker, "admin");
    let mut told = |account: &str| {
        let subject = format!("$SYS.REQ.ACCOUNT.{account}.INFO");
        ask_json(&mut admin, &subject, "")["data"].clone()
    };
    let of_a = told("A");
    let latency = json!({ "sampling": "headers", "results": "lat" });
    assert_eq!(
        of_a["exports"],
        json!([
            { "subject": "q.*", "type": "service", "response_type": "Singleton",
              "service_latency": latency },
            { "subject": "p", "type": "service", "response_type": "Streamed",
              "approved_accounts": ["B"] },
            { "subject": "s.>", "type": "stream", "approved_accounts": ["B"] },
        ])
    );
    assert_eq!(
        of_a["mappings"],
        json!({ "foo": [{ "subject": "bar", "weight": 100 }],
            "x.*": [{ "subject": "y.$1", "weight": 40 }, { "subject": "x.$1", "weight": 100 }] })
    );
    let of_b = told("B");
    let own = of_b["imports"].as_array().expect("a list").iter();
    let own: Vec<&Value> = own.filter(|import| import["account"] == "A").collect();
    assert_eq!(
        json!(own),
        json!([
            { "subject": "s.>", "account": "A", "local_subject": "p.s.>", "type": "stream",
              "invalid": false, "share": false, "tracking": false },
            { "subject": "q.*", "account": "A", "to": "l.*", "local_subject": "l.*",
              "type": "service", "invalid": false, "share": true, "tracking": false,
              "latency": latency },
        ])
    );
    assert!(of_b.get("exports").is_none() && of_b.get("mappings").is_none(), "{of_b}");
}

/// Keys of an object in their order, each with the first letter of its type. The keys of events
/// are told apart by order too, so the text is read, not the value.
fn keys(value: &Value) -> String {
    let object = value.as_object().expect("an object");
    let kind = |value: &Value| match value {
        Value::Null => '0',
        Value::Bool(_) => 'b',
        Value::Number(_) => 'n',
        Value::String(_) => 's',
        Value::Array(_) => 'a',
        Value::Object(_) => 'o',
    };
    let mut keys: Vec<String> =
        object.iter().map(|(key, value)| format!("{key}:{}", kind(value))).collect();
    // What only nats-server has: it depends on how it was built.
    keys.retain(|key| key != "feature_flags:o");
    keys.sort();
    keys.join(" ")
}

/// The next message on a subject; others are passed over.
fn on(raw: &mut Raw, subject: &str) -> Message {
    loop {
        let message = raw.message();
        if message.subject == subject {
            return message;
        }
    }
}

const SERVER: &str = "flags:n host:s id:s jetstream:b name:s seq:n time:s ver:s";

#[test]
fn clients_that_come_and_go_are_told() {
    let broker = config(ACCOUNTS);
    let mut admin = log_in(&broker, "admin");
    admin.send("SUB $SYS.ACCOUNT.A.> 1\r\n");
    admin.fence();
    let mut ada = log_in(&broker, "ada");
    let came = json_of(&on(&mut admin, "$SYS.ACCOUNT.A.CONNECT"));
    assert_eq!(keys(&came), "client:o id:s server:o timestamp:s type:s");
    assert_eq!(came["type"], "io.nats.server.advisory.v1.client_connect");
    assert_eq!(keys(&came["server"]), SERVER);
    assert_eq!(came["server"]["name"], "alpha");
    let client = &came["client"];
    for (key, value) in [
        ("host", "127.0.0.1"),
        ("acc", "A"),
        ("user", "ada"),
        ("name", "ada-1"),
        ("lang", "rust"),
        ("ver", "1.0"),
        ("name_tag", "A"),
        ("kind", "Client"),
        ("client_type", "nats"),
    ] {
        assert_eq!(client[key], value, "{key}");
    }
    assert!(client["id"].is_u64() && client["start"].is_string());
    ada.send("PUB a 5\r\nhello\r\n");
    ada.fence();
    ada.finish();
    let gone = json_of(&on(&mut admin, "$SYS.ACCOUNT.A.DISCONNECT"));
    assert_eq!(keys(&gone), "client:o id:s reason:s received:o sent:o server:o timestamp:s type:s");
    assert_eq!(gone["type"], "io.nats.server.advisory.v1.client_disconnect");
    assert_eq!(gone["sent"], serde_json::json!({"msgs": 1, "bytes": 5}));
    assert_eq!(gone["received"], serde_json::json!({"msgs": 0, "bytes": 0}));
    assert_eq!(gone["reason"], "Client Closed");
    assert_eq!(gone["client"]["id"], client["id"]);
    assert!(gone["client"]["stop"].is_string());
}

#[test]
fn clients_that_are_not_let_in_are_told_without_their_secrets() {
    let broker = config(ACCOUNTS);
    let mut admin = log_in(&broker, "admin");
    admin.send("SUB $SYS.SERVER.*.CLIENT.AUTH.ERR 1\r\nSUB $SYS.ACCOUNT.$G.DISCONNECT 2\r\n");
    admin.fence();
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"verbose\":false,\"user\":\"ada\",\"pass\":\"gue55ed\"}\r\n");
    raw.expect_fatal("Authorization Violation");
    for _ in 0..2 {
        let message = admin.message();
        let event = json_of(&message);
        assert_eq!(event["reason"], "Authentication Failure");
        assert_eq!(event["client"]["user"], "ada");
        assert!(!text_of(&message).contains("gue55ed"));
    }
    // A token is a secret, and a user's name at the same time.
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"verbose\":false,\"auth_token\":\"t0ken\"}\r\n");
    raw.expect_fatal("Authorization Violation");
    assert!(!text_of(&admin.message()).contains("t0ken"));
}

#[test]
fn figures_of_an_account_are_told_when_it_changes() {
    let broker = config(ACCOUNTS);
    let mut admin = log_in(&broker, "admin");
    admin.send("SUB $SYS.ACCOUNT.B.SERVER.CONNS 1\r\nSUB $SYS.SERVER.ACCOUNT.B.CONNS 2\r\n");
    admin.fence();
    let _bob = log_in(&broker, "bob");
    for _ in 0..2 {
        let event = json_of(&admin.message());
        assert_eq!(
            keys(&event),
            "acc:s conns:n id:s leafnodes:n name:s num_subscriptions:n received:o sent:o server:o \
             slow_consumers:n timestamp:s total_conns:n type:s"
        );
        assert_eq!(event["type"], "io.nats.server.advisory.v1.account_connections");
        assert_eq!((&event["acc"], &event["conns"]), (&"B".into(), &1.into()));
        assert_eq!(keys(&event["sent"]), "bytes:n gateways:o leafs:o msgs:n routes:o");
    }
}

#[test]
fn the_server_tells_its_figures_while_somebody_listens() {
    let broker = config(ACCOUNTS);
    let mut admin = log_in(&broker, "admin");
    let id = admin.info()["server_id"].as_str().unwrap().to_owned();
    admin.send("SUB $SYS.SERVER.*.STATSZ 1\r\n");
    let message = admin.message();
    assert_eq!(message.subject, format!("$SYS.SERVER.{id}.STATSZ"));
    let event = json_of(&message);
    assert_eq!(keys(&event), "server:o statsz:o");
    assert_eq!(
        keys(&event["statsz"]),
        "active_accounts:n active_servers:n connections:n cores:n cpu:n gomaxprocs:n mem:n \
         received:o received_from_clients:o sent:o sent_to_clients:o slow_consumers:n start:s \
         subscriptions:n total_connections:n"
    );
}

#[test]
fn the_server_answers_what_is_asked_of_all_or_of_it() {
    let broker = config(ACCOUNTS);
    let mut admin = log_in(&broker, "admin");
    let id = admin.info()["server_id"].as_str().unwrap().to_owned();
    let ping = ask_json(&mut admin, "$SYS.REQ.SERVER.PING", "");
    assert_eq!(keys(&ping), "server:o statsz:o");
    let idz = ask_json(&mut admin, "$SYS.REQ.SERVER.PING.IDZ", "");
    assert_eq!(idz, serde_json::json!({"name": "alpha", "host": "127.0.0.1", "id": id}));
    for name in [
        "VARZ",
        "SUBSZ",
        "CONNZ",
        "ROUTEZ",
        "GATEWAYZ",
        "LEAFZ",
        "ACCOUNTZ",
        "JSZ",
        "HEALTHZ",
        "EXPVARZ",
        "IPQUEUESZ",
        "RAFTZ",
    ] {
        for who in ["PING", &*id] {
            let answer = ask_json(&mut admin, &format!("$SYS.REQ.SERVER.{who}.{name}"), "");
            assert_eq!(keys(&answer), "data:o server:o", "{name}");
            assert_eq!(keys(&answer["server"]), SERVER);
        }
    }
    let health = ask_json(&mut admin, "$SYS.REQ.SERVER.PING.HEALTHZ", "");
    assert_eq!(health["data"], serde_json::json!({"status": "ok", "status_code": 200}));
    let ada = log_in(&broker, "ada");
    let body = r#"{"acc":"A","auth":true,"subscriptions":true}"#;
    let connz = ask_json(&mut admin, "$SYS.REQ.SERVER.PING.CONNZ", body);
    assert_eq!(connz["data"]["total"], 1);
    assert_eq!(connz["data"]["connections"][0]["authorized_user"], "ada");
    drop(ada);
}

#[test]
fn what_is_asked_in_a_wrong_way_is_told_so() {
    let broker = config(ACCOUNTS);
    let mut admin = log_in(&broker, "admin");
    let error =
        |answer: &Value| (answer["error"]["code"].clone(), answer["error"]["description"].clone());
    let answer = ask_json(&mut admin, "$SYS.REQ.SERVER.PING", "bad");
    let description = "invalid character 'b' looking for beginning of value";
    assert_eq!(error(&answer), (400.into(), description.into()));
    let answer = ask_json(&mut admin, "$SYS.REQ.SERVER.PING.CONNZ", r#"{"sort":"zzz"}"#);
    assert_eq!(keys(&answer), "data:0 error:o server:o");
    assert_eq!(error(&answer), (500.into(), "invalid sorting option: zzz".into()));
    let answer = ask_json(&mut admin, "$SYS.REQ.ACCOUNT.NOPE.INFO", "");
    assert_eq!(error(&answer), (500.into(), "Account NOPE does not exist".into()));
    // Other servers would be silent as well.
    assert!(is_silent(&mut admin, "$SYS.REQ.SERVER.PING", r#"{"server_name":"beta"}"#));
    assert!(is_silent(&mut admin, "$SYS.REQ.SERVER.PING.VARZ", r#"{"tags":["x"]}"#));
    let answer = ask_json(&mut admin, "$SYS.REQ.SERVER.PING", r#"{"server_name":"alp"}"#);
    assert_eq!(answer["server"]["name"], "alpha");
    for subject in ["$SYS.REQ.SERVER.PING.NOPE", "$SYS.REQ.SERVER.NOPE.VARZ"] {
        let headers = ask(&mut admin, subject, "").headers.expect("a status");
        assert!(headers.starts_with(b"NATS/1.0 503"));
    }
}

#[test]
fn accounts_are_told_of_to_the_system_account() {
    let broker = config(ACCOUNTS);
    let mut admin = log_in(&broker, "admin");
    let mut ada = log_in(&broker, "ada");
    ada.send("SUB foo 1\r\n");
    ada.fence();
    let of = |raw: &mut Raw, name: &str| ask_json(raw, &format!("$SYS.REQ.ACCOUNT.A.{name}"), "");
    let info = of(&mut admin, "INFO");
    assert_eq!(info["data"]["account_name"], "A");
    assert_eq!(info["data"]["client_connections"], 1);
    assert_eq!(of(&mut admin, "CONNZ")["data"]["total"], 1);
    assert_eq!(of(&mut admin, "LEAFZ")["data"]["leafnodes"], 0);
    assert!(of(&mut admin, "SUBSZ")["data"]["num_subscriptions"].is_u64());
    let stats = &of(&mut admin, "STATZ")["data"]["account_statz"];
    assert_eq!((&stats[0]["acc"], &stats[0]["conns"]), (&"A".into(), &1.into()));
    let conns = of(&mut admin, "CONNS");
    assert_eq!(conns["type"], "io.nats.server.advisory.v1.account_connections");
    let all = ask_json(&mut admin, "$SYS.REQ.ACCOUNT.PING.STATZ", "");
    assert_eq!(all["data"]["account_statz"].as_array().unwrap().len(), 2, "{all}");
    let some = r#"{"accounts":["A"]}"#;
    let one = ask_json(&mut admin, "$SYS.REQ.ACCOUNT.PING.STATZ", some);
    assert_eq!(one["data"]["account_statz"].as_array().unwrap().len(), 1);
    assert!(is_silent(&mut admin, "$SYS.REQ.ACCOUNT.NOPE.STATZ", ""));
    let count = |raw: &mut Raw, subject| text_of(&ask(raw, "$SYS.DEBUG.SUBSCRIBERS", subject));
    assert_eq!(count(&mut admin, "foo"), "0");
    admin.send("SUB foo 9\r\n");
    assert_eq!(count(&mut admin, "foo"), "1");
}

#[test]
fn every_client_may_ask_for_itself_and_its_account_only() {
    let broker = config(ACCOUNTS);
    let mut ada = log_in(&broker, "ada");
    let _bob = log_in(&broker, "bob");
    let info = ask_json(&mut ada, "$SYS.REQ.USER.INFO", "");
    assert_eq!(keys(&info), "data:o server:o");
    let expected = serde_json::json!({"user": "ada", "account": "A", "account_name": "A"});
    assert_eq!(info["data"], expected);
    let stats = ask_json(&mut ada, "$SYS.REQ.ACCOUNT.PING.STATZ", "");
    assert_eq!(stats["data"]["account_statz"].as_array().unwrap().len(), 1);
    assert_eq!(stats["data"]["account_statz"][0]["acc"], "A");
    for subject in ["$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.SERVER.PING.CONNZ"] {
        for body in ["", r#"{"acc":"B"}"#] {
            let connz = ask_json(&mut ada, subject, body);
            assert_eq!(connz["data"]["total"], 1, "{connz}");
            assert_eq!(connz["data"]["connections"][0]["name"], "ada-1");
        }
    }
    for subject in ["$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.A.INFO", "$SYS.REQ.SERVER.PING.VARZ"]
    {
        let headers = ask(&mut ada, subject, "").headers.expect("a status");
        assert!(headers.starts_with(b"NATS/1.0 503"), "{subject}");
    }
    let mut few = log_in(&broker, "few");
    let info = ask_json(&mut few, "$SYS.REQ.USER.INFO", "");
    let permissions = &info["data"]["permissions"];
    let mut allowed: Vec<&str> = permissions["publish"]["allow"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(Value::as_str)
        .collect();
    // In any order.
    allowed.sort_unstable();
    assert_eq!(allowed, ["$SYS.REQ.USER.INFO", "x.>"]);
    assert_eq!(permissions["subscribe"], serde_json::json!({"allow": [">"], "deny": ["q.>"]}));
    assert_eq!(permissions["responses"], serde_json::json!({"max": 1, "ttl": 120_000_000_000_u64}));
    few.send("PUB $SYS.REQ.ACCOUNT.PING.STATZ in 0\r\n\r\n");
    few.expect_exact(
        "-ERR 'Permissions Violation for Publish to \"$SYS.REQ.ACCOUNT.PING.STATZ\"'\r\n",
    );
    // A subscriber of the account's own gets the request as well.
    ada.send("SUB $SYS.REQ.USER.INFO own\r\nPUB $SYS.REQ.USER.INFO in 0\r\n\r\n");
    assert_eq!(ada.message().sid, "own");
}

#[test]
fn clients_are_kicked_and_sent_away_by_number() {
    let broker = config(ACCOUNTS);
    let mut admin = log_in(&broker, "admin");
    let mut ada = Raw::connect(&broker);
    ada.send(
        "CONNECT {\"verbose\":false,\"protocol\":1,\"user\":\"ada\",\"pass\":\"s3cret\"}\r\nPING\r\n",
    );
    ada.expect_line("PONG");
    ada.expect_info();
    let id = admin.info()["server_id"].as_str().unwrap().to_owned();
    let cid = ada.info()["client_id"].as_u64().unwrap();
    let subject = |name: &str| format!("$SYS.REQ.SERVER.{id}.{name}");
    let nobody = r#"{"cid":999999}"#;
    let answer = ask_json(&mut admin, &subject("KICK"), nobody);
    assert_eq!(answer["error"]["description"], "no such client or leafnode id");
    let answer = ask_json(&mut admin, &subject("LDM"), nobody);
    assert_eq!(answer["error"]["description"], "no such client id");
    let body = format!(r#"{{"cid":{cid}}}"#);
    let answer = ask_json(&mut admin, &subject("LDM"), &body);
    assert_eq!(keys(&answer), "server:o");
    assert_eq!(ada.expect_info()["ldm"], true);
    ada.fence();
    let answer = ask_json(&mut admin, &subject("KICK"), &body);
    assert_eq!(keys(&answer), "server:o");
    ada.expect_eof();
}

#[test]
fn the_configuration_is_read_anew_when_asked_for() {
    let broker = config(ACCOUNTS);
    let mut admin = log_in(&broker, "admin");
    let id = admin.info()["server_id"].as_str().unwrap().to_owned();
    let subject = format!("$SYS.REQ.SERVER.{id}.RELOAD");
    broker.rewrite_config(&format!("{ACCOUNTS}max_payload: 1000\n"));
    let answer = ask_json(&mut admin, &subject, "");
    assert_eq!(keys(&answer), "server:o");
    broker.wait_log("Reloaded server configuration");
    let varz = ask_json(&mut admin, "$SYS.REQ.SERVER.PING.VARZ", "");
    assert_eq!(varz["data"]["max_payload"], 1000);
    broker.rewrite_config("nonsense: {");
    let answer = ask_json(&mut admin, &subject, "");
    assert!(answer["error"]["description"].is_string(), "{answer}");
}

#[test]
fn the_end_of_the_server_is_told() {
    for (signal, event) in [("USR2", "LAMEDUCK"), ("INT", "SHUTDOWN")] {
        let mut broker = config(ACCOUNTS);
        let mut admins = [log_in(&broker, "admin"), log_in(&broker, "admin")];
        for admin in &mut admins {
            admin.send(format!("SUB $SYS.SERVER.*.{event} 1\r\n"));
            admin.fence();
        }
        broker.signal(signal);
        for admin in &mut admins {
            assert_eq!(keys(&json_of(&admin.message())), SERVER, "{event}");
        }
        if signal == "INT" {
            broker.wait_exit(Duration::from_secs(5));
        }
    }
}

#[test]
fn answers_are_compressed_if_asked_for() {
    let broker = config(ACCOUNTS);
    let mut admin = log_in(&broker, "admin");
    for (accepted, magic) in [("gzip", &b"\x1f\x8b"[..]), ("snappy", b"\xff\x06\x00\x00")] {
        let block = format!("NATS/1.0\r\nAccept-Encoding: {accepted}\r\n\r\n");
        let size = block.len();
        admin.send(format!(
            "SUB in 7\r\nUNSUB 7 1\r\nHPUB $SYS.REQ.SERVER.PING.VARZ in {size} {size}\r\n{block}\r\n"
        ));
        let answer = admin.message();
        let headers = answer.headers.expect("headers");
        let expected = format!("NATS/1.0\r\nContent-Encoding: {accepted}\r\n\r\n");
        assert_eq!(headers, expected.as_bytes());
        assert!(answer.payload.starts_with(magic));
    }
}

#[test]
fn many_clients_at_once_do_not_drown_the_events() {
    let broker = config(ACCOUNTS);
    let mut admin = log_in(&broker, "admin");
    admin.send("SUB $SYS.ACCOUNT.A.CONNECT 1\r\nSUB $SYS.ACCOUNT.A.DISCONNECT 2\r\n");
    admin.fence();
    let clients: Vec<Raw> = (0..300).map(|_| log_in(&broker, "ada")).collect();
    for _ in 0..300 {
        assert_eq!(admin.message().sid, "1");
    }
    drop(clients);
    for _ in 0..300 {
        assert_eq!(admin.message().sid, "2");
    }
}

#[test]
fn a_slow_consumer_is_named() {
    let broker = config(&format!("{ACCOUNTS}max_payload: 60000\nmax_pending: 100000\n"));
    if !broker.log().contains("Starting midge") {
        return;
    }
    let mut admin = log_in(&broker, "admin");
    admin.send("SUB $SYS.ACCOUNT.A.SLOW_CONSUMER 1\r\n");
    admin.fence();
    let mut slow = log_in(&broker, "ada");
    slow.send("SUB flood.> 1\r\n");
    slow.fence();
    let mut fast = log_in(&broker, "ada");
    let payload = vec![b'x'; 50_000];
    // More than the kernel's buffers of both ends take.
    for _ in 0..400 {
        fast.publish("flood.a", &payload);
    }
    let event = json_of(&admin.message());
    assert_eq!(event["type"], "io.midge.server.advisory.v1.slow_consumer");
    assert_eq!(event["subject"], "flood.>");
    assert_eq!(event["reason"], "Slow Consumer (Pending Bytes)");
    assert_eq!(event["client"]["name"], "ada-1");
    assert!(event["pending_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn without_a_system_account_nothing_is_answered() {
    let broker = config("no_system_account: true");
    let mut raw = Raw::open_headers(&broker);
    let headers = ask(&mut raw, "$SYS.REQ.USER.INFO", "").headers.expect("a status");
    assert!(headers.starts_with(b"NATS/1.0 503"));
}

#[test]
fn users_with_tokens_are_told_their_names() {
    let (operator, tenant) = (Operator::new(), Tenant::new("Acme"));
    let broker = config(&operator.config(&[&tenant]));
    let key = nkeys::KeyPair::new_user();
    let until = unix_now() + 1000;
    let token = tenant.user_until(&key, &serde_json::json!({}), Some(until));
    let (mut raw, _) = operator::log_in(&broker, &token, &key);
    let info = ask_json(&mut raw, "$SYS.REQ.USER.INFO", "");
    let data = &info["data"];
    assert_eq!(data["user"], key.public_key());
    assert_eq!(data["account"], tenant.id());
    assert_eq!((&data["account_name"], &data["user_name"]), (&"Acme".into(), &"usr".into()));
    let left = data["expires"].as_u64().unwrap();
    assert!((900_000_000_000..=1_000_000_000_000).contains(&left), "{left}");
    let stats = ask_json(&mut raw, "$SYS.REQ.ACCOUNT.PING.STATZ", "");
    assert_eq!(stats["data"]["account_statz"][0]["acc"], tenant.id());
}
