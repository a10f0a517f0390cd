//! Goal: in operator mode accounts have of one another what their tokens say, as long as they say
//! it. Method: tokens made here; what follows was asked of nats-server 2.15.1.

use std::time::{Duration, Instant};

use midge::account::jwt::sign;
use nkeys::KeyPair;
use serde_json::{json, Value};

use crate::common::{config, Broker, Message, Raw};
use crate::operator::{log_in, merge, unix_now, Operator, Tenant};

/// An account that offers, one that takes, and the users `a` and `b` of them.
struct Scene {
    operator: String,
    preload: Operator,
    a: Tenant,
    b: Tenant,
    user: KeyPair,
}

impl Scene {
    fn new() -> Self {
        let preload = Operator::new();
        let (a, b) = (Tenant::new("acc-a"), Tenant::new("acc-b"));
        Self { operator: preload.token(&json!({})), preload, a, b, user: KeyPair::new_user() }
    }

    /// A configuration in which `a` has these exports and `b` these imports of `a`.
    fn config(&mut self, exports: &Value, imports: &Value) -> String {
        self.a.claims["nats"]["exports"] = exports.clone();
        let mut imports = imports.clone();
        for import in imports.as_array_mut().expect("a list") {
            import["account"] = self.a.id().into();
        }
        self.b.claims["nats"]["imports"] = imports;
        let mut text =
            format!("operator: {}\nresolver: MEMORY\nresolver_preload {{\n", self.operator);
        for tenant in [&self.a, &self.b] {
            text += &format!("  {}: {}\n", tenant.id(), self.preload.account(tenant));
        }
        text + "}\n"
    }

    fn users(&self, broker: &Broker) -> (Raw, Raw) {
        let user =
            |tenant: &Tenant| log_in(broker, &tenant.user(&self.user, &json!({})), &self.user).0;
        (user(&self.a), user(&self.b))
    }

    /// The token with which `a` lets `b` have something.
    fn activation(&self, change: &Value, expires: Option<i64>) -> String {
        let mut claims = json!({ "sub": self.b.id(), "iat": unix_now(), "nats": {
            "type": "activation", "version": 2, "subject": "q", "kind": "service" } });
        merge(&mut claims["nats"], change);
        if let Some(expires) = expires {
            claims["exp"] = expires.into();
        }
        sign(&claims, &self.a.key).expect("a token")
    }
}

/// `b` asks and `a` answers, if the request comes; returns the subject that `a` saw.
fn ask(a: &mut Raw, b: &mut Raw, subject: &str) -> Option<String> {
    b.send(format!("SUB in 9\r\nPUB {subject} in 2\r\nhi\r\n"));
    b.fence();
    let mut seen = a.drain();
    assert!(seen.len() <= 1, "{seen:?}");
    let seen = seen.pop();
    if let Some(request) = &seen {
        let reply = request.reply.as_deref().unwrap_or_default();
        assert!(reply.starts_with("_R_."), "{request:?}");
        a.publish(reply, "ok");
        a.drain();
        b.expect_exact("MSG in 9 2\r\nok\r\n");
    }
    b.send("UNSUB 9\r\n");
    b.fence();
    seen.map(|request| request.subject)
}

/// Publishes until `a` sees it, or does not.
fn ask_until(a: &mut Raw, b: &mut Raw, is_there: bool) {
    let begin = Instant::now();
    loop {
        b.publish("q", "hi");
        b.fence();
        if a.drain().is_empty() != is_there {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "still {}", !is_there);
    }
}

#[test]
fn services_are_asked_as_tokens_say() {
    let mut scene = Scene::new();
    let own = scene.b.id();
    let exports = json!([
        { "subject": "q.*.*", "type": "service" },
        { "subject": "old", "type": "service" },
        { "subject": "to.*.x", "type": "service", "account_token_position": 2 },
        { "subject": "private", "type": "service", "token_req": true } ]);
    let imports = json!([
        { "subject": "q.*.*", "type": "service", "local_subject": "l.$2.$1" },
        { "subject": "was", "to": "old", "type": "service" },
        { "subject": format!("to.{own}.x"), "type": "service", "local_subject": "mine" },
        { "subject": "to.other.x", "type": "service", "local_subject": "yours" },
        { "subject": "private", "type": "service" },
        { "subject": "nothing", "type": "service" } ]);
    let broker = config(&scene.config(&exports, &imports));
    let (mut a, mut b) = scene.users(&broker);
    a.send("SUB > 1\r\n");
    a.fence();
    assert_eq!(ask(&mut a, &mut b, "l.x.y").as_deref(), Some("q.y.x"));
    assert_eq!(ask(&mut a, &mut b, "was").as_deref(), Some("old"));
    assert_eq!(ask(&mut a, &mut b, "mine"), Some(format!("to.{own}.x")));
    for subject in ["yours", "private", "nothing", "old"] {
        assert_eq!(ask(&mut a, &mut b, subject), None, "{subject}");
    }
}

#[test]
fn streams_are_seen_as_tokens_say() {
    let mut scene = Scene::new();
    let exports = json!([{ "subject": "s.>", "type": "stream" }, { "subject": "t.*", "type": "stream" },
        { "subject": "u.>", "type": "stream", "token_req": true }]);
    let activation = scene.activation(&json!({ "subject": "u.>", "kind": "stream" }), None);
    let imports = json!([{ "subject": "s.>", "type": "stream", "to": "p" },
        { "subject": "t.*", "type": "stream", "local_subject": "l.$1" },
        { "subject": "u.x", "type": "stream", "token": activation }]);
    let broker = config(&scene.config(&exports, &imports));
    let (mut a, mut b) = scene.users(&broker);
    b.send("SUB > 1\r\n");
    b.fence();
    a.send(
        "PUB s.x 1\r\n1\r\nPUB t.y 1\r\n2\r\nPUB u.x 1\r\n3\r\nPUB u.y 1\r\n4\r\nPUB v 1\r\n5\r\n",
    );
    a.fence();
    b.expect_exact("MSG p.s.x 1 1\r\n1\r\nMSG l.y 1 1\r\n2\r\nMSG u.x 1 1\r\n3\r\n");
    b.fence();
}

#[test]
fn what_the_exporter_takes_back_is_gone_for_those_who_are_there() {
    let mut scene = Scene::new();
    let service = json!([{ "subject": "q", "type": "service" }]);
    let none = json!([]);
    let broker = config(&scene.config(&none, &service));
    let (mut a, mut b) = scene.users(&broker);
    a.send("SUB q 1\r\n");
    a.fence();
    let private = json!([{ "subject": "q", "type": "service", "token_req": true }]);
    let token = scene.activation(&json!({}), None);
    let with_token = json!([{ "subject": "q", "type": "service", "token": token }]);
    let revoked = json!([{ "subject": "q", "type": "service", "token_req": true,
        "revocations": { "*": unix_now() + 10 } }]);
    for (exports, imports, is_there) in [
        (&none, &service, false),
        (&service, &service, true),
        (&private, &service, false),
        (&private, &with_token, true),
        (&revoked, &with_token, false),
        (&service, &with_token, true),
        (&service, &none, false),
    ] {
        eprintln!("{exports} {imports}");
        broker.rewrite_config(&scene.config(exports, imports));
        broker.signal("HUP");
        ask_until(&mut a, &mut b, is_there);
        assert_eq!(ask(&mut a, &mut b, "q").is_some(), is_there);
    }
}

#[test]
fn an_activation_that_runs_out_ends_the_import() {
    let mut scene = Scene::new();
    let exports = json!([{ "subject": "q", "type": "service", "token_req": true }]);
    let token = scene.activation(&json!({}), Some(unix_now() + 2));
    let imports = json!([{ "subject": "q", "type": "service", "token": token }]);
    let broker = config(&scene.config(&exports, &imports));
    let (mut a, mut b) = scene.users(&broker);
    a.send("SUB q 1\r\n");
    a.fence();
    assert!(ask(&mut a, &mut b, "q").is_some());
    ask_until(&mut a, &mut b, false);
}

#[test]
fn an_account_is_shown_with_its_token() {
    let mut scene = Scene::new();
    scene.a.claims["nats"]["tags"] = json!(["x:y"]);
    scene.a.claims["nats"]["revocations"] = json!({ "*": 5 });
    let exports = json!([{ "subject": "q", "type": "service", "token_req": true,
        "revocations": { scene.b.id(): 5 } }]);
    let system = Tenant::new("SYS");
    let mut text = scene.config(&exports, &json!([]));
    text = text.trim_end().trim_end_matches('}').to_owned()
        + &format!(
            "  {}: {}\n}}\nsystem_account: {}\n",
            system.id(),
            scene.preload.account(&system),
            system.id()
        );
    let broker = config(&text);
    let (mut admin, _) = log_in(&broker, &system.user(&scene.user, &json!({})), &scene.user);
    let subject = format!("$SYS.REQ.ACCOUNT.{}.INFO", scene.a.id());
    admin.send(format!("SUB in 1\r\nPUB {subject} in 0\r\n\r\n"));
    let told: Value = serde_json::from_slice(&admin.message().payload).expect("JSON");
    let data = &told["data"];
    assert_eq!(data["jwt"], scene.preload.account(&scene.a));
    assert_eq!(data["issuer_key"], scene.preload.key.public_key());
    assert_eq!((&data["name_tag"], &data["tags"]), (&json!("acc-a"), &json!(["x:y"])));
    assert_eq!(data["decoded_jwt"]["sub"], scene.a.id());
    assert_eq!(data["revoked_user"], json!({ "*": "1970-01-01T00:00:05Z" }));
    assert_eq!(
        data["exports"],
        json!([{ "subject": "q", "type": "service", "token_req": true, "response_type": "Singleton",
            "revoked_activations": { scene.b.id(): "1970-01-01T00:00:05Z" } }])
    );
}

#[test]
fn an_account_that_says_what_cannot_be_is_not_there() {
    let mut scene = Scene::new();
    let text = scene.config(&json!([{ "subject": "q..", "type": "service" }]), &json!([]));
    let broker = config(&text);
    let token = scene.a.user(&scene.user, &json!({}));
    crate::operator::connect(&broker, &token, Some(&scene.user))
        .expect_fatal("Authorization Violation");
    broker.wait_log("has validation issues:");
    broker.wait_log("  - subject \"q..\" cannot start or end with a `.`");
    log_in(&broker, &scene.b.user(&scene.user, &json!({})), &scene.user);
}

fn headers(message: &Message) -> String {
    String::from_utf8_lossy(message.headers.as_deref().unwrap_or_default()).into_owned()
}

#[test]
fn who_shares_tells_its_token_unless_that_is_all_it_needs() {
    let mut scene = Scene::new();
    let exports = json!([{ "subject": "q", "type": "service" }]);
    let imports = json!([{ "subject": "q", "type": "service", "share": true }]);
    let broker = config(&scene.config(&exports, &imports));
    let (mut a, _) = scene.users(&broker);
    a.send("SUB q 1\r\n");
    a.fence();
    let rules = json!({ "tags": ["x:y", "z"] });
    let token = scene.b.user(&scene.user, &rules);
    let (mut b, _) = log_in(&broker, &token, &scene.user);
    b.publish("q", "hi");
    b.fence();
    let text = headers(&a.message());
    let info = text.split_once(": ").expect("a header").1;
    let info: Value = serde_json::from_str(info).expect("JSON");
    assert_eq!(info["jwt"], token);
    assert_eq!(info["issuer_key"], scene.b.id());
    assert_eq!((&info["name_tag"], &info["tags"]), (&json!("usr"), &json!(["x:y", "z"])));
    assert!(info["rtt"].as_u64().is_some_and(|rtt| rtt > 0), "{info}");
    let bearer = scene.b.user(&scene.user, &json!({ "bearer_token": true }));
    let mut b = crate::operator::connect(&broker, &bearer, None);
    b.publish("q", "hi");
    b.fence();
    let text = headers(&a.message());
    assert!(!text.contains("\"jwt\""), "{text}");
}
