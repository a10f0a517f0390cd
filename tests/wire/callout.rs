//! Goal: a service decides who a client is, and only what it answers in good order counts.
//! Method: a service on the official client, told by the client's name what to answer; each case
//! was asked of nats-server 2.15.1.

use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions};
use data_encoding::BASE64URL_NOPAD;
use futures::StreamExt;
use midge::account::jwt::sign;
use nkeys::{KeyPair, XKey};
use serde_json::{json, Value};

use crate::common::{config, Broker, Raw};
use crate::operator::{connect, log_in, unix_now, Operator, Tenant};

const VIOLATION: &str = "Authorization Violation";

/// The service: its keys, and whether it and the server seal what they say.
struct Service {
    issuer: KeyPair,
    xkey: Option<XKey>,
    /// Account of the users that it lets in.
    account: String,
}

fn claims_of(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("claims");
    let json = BASE64URL_NOPAD.decode(part.as_bytes()).expect("base64");
    serde_json::from_slice(&json).expect("JSON")
}

impl Service {
    fn new(account: &str, sealed: bool) -> Self {
        let xkey = sealed.then(XKey::new);
        Self { issuer: KeyPair::new_account(), xkey, account: account.to_owned() }
    }

    fn config(&self, more: &str) -> String {
        let xkey =
            self.xkey.as_ref().map_or(String::new(), |xkey| format!("xkey: {}", xkey.public_key()));
        format!(
            "server_name: srv\n\
             accounts {{ AUTH {{ users [ {{ user: auth, password: pw }} ] }}, \
             APP {{ users [ {{ user: app, password: pw }} ] }} }}\n\
             authorization {{ timeout: 1, auth_callout {{ issuer: {}, account: AUTH, \
             auth_users: [auth], {xkey} }} }}\n{more}",
            self.issuer.public_key()
        )
    }

    /// Answers until the client ends.
    async fn serve(self, client: Client) {
        let mut questions = client.subscribe("$SYS.REQ.USER.AUTH").await.unwrap();
        client.flush().await.unwrap();
        // A request that nobody answers comes back after the subscription is known.
        client.request("nobody", "".into()).await.unwrap_err();
        tokio::spawn(async move {
            while let Some(question) = questions.next().await {
                let server = question.headers.as_ref().and_then(|it| it.get("Nats-Server-Xkey"));
                let server = server.map(|key| XKey::from_public_key(key.as_str()).unwrap());
                let opened = match (&self.xkey, &server) {
                    (Some(own), Some(server)) => own.open(&question.payload, server).unwrap(),
                    _ => question.payload.to_vec(),
                };
                let asked = claims_of(std::str::from_utf8(&opened).unwrap());
                let Some(answer) = self.answer(&asked) else { continue };
                let payload = match (&self.xkey, &server) {
                    (Some(own), Some(server)) => own.seal(answer.as_bytes(), server).unwrap(),
                    _ => answer.into_bytes(),
                };
                let reply = question.reply.clone().unwrap();
                client.publish(reply, payload.into()).await.unwrap();
                client.flush().await.unwrap();
            }
        });
    }

    fn answer(&self, asked: &Value) -> Option<String> {
        let nats = &asked["nats"];
        assert_eq!(asked["aud"], "nats-authorization-request");
        assert_eq!(nats["type"], "authorization_request");
        assert_eq!(nats["client_info"]["kind"], "Client");
        let user_key = &nats["user_nkey"];
        let server = &nats["server_id"]["id"];
        let case = nats["connect_opts"]["user"].as_str().unwrap_or_default();
        let mut user = json!({ "sub": user_key, "aud": self.account, "name": "bob", "nats": {
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 } });
        let mut response = json!({ "sub": user_key, "aud": server, "nats": {
            "type": "authorization_response", "version": 2 } });
        let stranger = KeyPair::new_account();
        let mut signer = &self.issuer;
        match case {
            "rules" => user["nats"]["pub"] = json!({ "allow": ["a"] }),
            "short" => user["exp"] = (unix_now() + 2).into(),
            "void" => user["exp"] = 1000.into(),
            "no account" => user["aud"] = "NOPE".into(),
            "other user" => user["sub"] = KeyPair::new_user().public_key().into(),
            "other question" => response["sub"] = KeyPair::new_user().public_key().into(),
            "other server" => response["aud"] = KeyPair::new_server().public_key().into(),
            "stranger" => signer = &stranger,
            "silence" => return None,
            "nothing" => return Some(String::new()),
            "garbage" => return Some("abc".to_owned()),
            _ => {}
        }
        if case == "error" {
            response["nats"]["error"] = "no such user".into();
        } else if case != "neither" {
            response["nats"]["jwt"] = sign(&user, &self.issuer).unwrap().into();
        }
        Some(sign(&response, signer).unwrap())
    }
}

async fn serve(service: Service, broker: &Broker) -> Client {
    let options = ConnectOptions::with_user_and_password("auth".into(), "pw".into());
    let client = options.connect(broker.url()).await.unwrap();
    service.serve(client.clone()).await;
    client
}

fn say_connect(broker: &Broker, user: &str) -> Raw {
    let mut raw = Raw::connect(broker);
    let options =
        json!({ "verbose": false, "pedantic": false, "protocol": 1, "user": user, "pass": "x" });
    raw.send(format!("CONNECT {options}\r\nPING\r\n"));
    raw
}

fn let_in(broker: &Broker, user: &str) -> (Raw, Value) {
    let mut raw = say_connect(broker, user);
    raw.expect_line("PONG");
    let info = raw.expect_info();
    (raw, info)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_decides_who_gets_in_and_as_whom() {
    for sealed in [false, true] {
        let service = Service::new("APP", sealed);
        let broker = config(&service.config(""));
        let client = serve(service, &broker).await;
        let (mut raw, info) = let_in(&broker, "ann");
        assert_eq!(info["remote_account"], "APP");
        raw.send("SUB a 1\r\nPUB a 0\r\n\r\n");
        raw.expect_exact("MSG a 1 0\r\n\r\n");
        let (mut raw, _) = let_in(&broker, "rules");
        raw.send("PUB b 0\r\n\r\n");
        raw.expect_line("-ERR 'Permissions Violation for Publish to \"b\"'");
        broker.wait_log("\"APP/user:bob\" - Publish Violation");
        // Also on one who is a user of the server, whatever it shows.
        assert_eq!(let_in(&broker, "app").1["remote_account"], "APP");
        drop(client);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_good_answer_lets_nobody_in() {
    let service = Service::new("APP", false);
    let broker = config(&service.config(""));
    let _client = serve(service, &broker).await;
    for (case, warning) in [
        ("error", "Auth callout service returned an error: no such user"),
        ("nothing", "Auth callout violation: \"no reason supplied\" on account \"AUTH\""),
        (
            "no account",
            "No valid account \"NOPE\" for auth callout response on account \"AUTH\": account \
             missing",
        ),
        ("stranger", "Auth callout signing key is unknown"),
        (
            "other question",
            "Auth callout violation: auth callout response is not for expected user",
        ),
        ("other user", "auth callout response is not for expected user"),
        ("other server", "auth callout response is not for this server"),
        ("garbage", "Error decoding auth callout response on account \"AUTH\""),
        ("neither", "Error decoding auth callout response on account \"AUTH\""),
        ("void", "User JWT no longer valid"),
        ("silence", "authentication error - User \"silence\""),
    ] {
        say_connect(&broker, case).expect_fatal(VIOLATION);
        broker.wait_log(warning);
    }
    // Those whom nobody is asked about show their password.
    say_connect(&broker, "auth").expect_fatal(VIOLATION);
    let mut raw = Raw::connect(&broker);
    raw.send_doomed("PING\r\n");
    raw.expect_fatal(VIOLATION);
    let (mut raw, _) = let_in(&broker, "short");
    raw.expect_fatal("User Authentication Expired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_account_of_the_service_hears_whom_it_did_not_let_in() {
    let service = Service::new("APP", false);
    let broker = config(&service.config(""));
    let _client = serve(service, &broker).await;
    let mut raw = Raw::open_with(&broker, r#"{"verbose":false,"user":"auth","pass":"pw"}"#);
    raw.send("SUB $SYS.ACCOUNT.CLIENT.AUTH.ERR 1\r\n");
    raw.fence();
    for (case, reason) in [
        ("error", "Auth callout service returned an error: no such user"),
        ("nothing", "Auth callout violation: \"no reason supplied\" on account \"AUTH\""),
        ("silence", ""),
    ] {
        say_connect(&broker, case).expect_fatal(VIOLATION);
        let event: Value = serde_json::from_slice(&raw.message().payload).unwrap();
        assert_eq!(event["type"], "io.nats.server.advisory.v1.client_disconnect");
        assert_eq!(
            (&event["client"]["acc"], &event["client"]["user"]),
            (&json!("AUTH"), &json!(case))
        );
        assert_eq!(event["reason"], reason);
    }
}

#[test]
fn without_a_service_the_time_is_over_at_some_point() {
    let broker = config(&Service::new("APP", false).config(""));
    say_connect(&broker, "ann").expect_fatal(VIOLATION);
    // The service asks nobody itself.
    let mut raw = Raw::open_with(&broker, r#"{"verbose":false,"user":"auth","pass":"pw"}"#);
    raw.send("PUB $SYS.REQ.USER.AUTH 0\r\n\r\n");
    raw.expect_line("-ERR 'Permissions Violation for Publish to \"$SYS.REQ.USER.AUTH\"'");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_keeps_those_whom_a_service_has_let_in() {
    let service = Service::new("APP", false);
    let text = service.config("");
    let broker = config(&text);
    let _client = serve(service, &broker).await;
    let (mut raw, _) = let_in(&broker, "ann");
    broker.rewrite_config(&(text + "max_payload: 100000\n"));
    broker.signal("HUP");
    broker.wait_log("Reloaded server configuration (sha256:");
    raw.fence();
    let_in(&broker, "ann");
}

#[test]
fn an_account_of_an_operator_may_ask_as_well() {
    let (operator, user) = (Operator::new(), KeyPair::new_user());
    let (service_user, app, other) = (KeyPair::new_user(), Tenant::new("app"), Tenant::new("no"));
    let callout = json!({ "authorization": {
        "auth_users": [service_user.public_key()], "allowed_accounts": [app.id()] } });
    let auth = Tenant::new("auth").with(&callout);
    let text = operator.config(&[&auth, &app, &other]) + "authorization { timeout: 1 }\n";
    let broker = config(&text);
    let (mut service, _) = log_in(&broker, &auth.user(&service_user, &json!({})), &service_user);
    service.send("SUB $SYS.REQ.USER.AUTH 1\r\n");
    service.fence();
    // What a client shows is a token of the account itself, which says nothing of who it is.
    let sentinel = auth.user(&user, &json!({ "bearer_token": true }));
    for (tenant, is_allowed) in [(&app, true), (&other, false), (&auth, true)] {
        let mut raw = connect(&broker, &sentinel, None);
        raw.send("PING\r\n");
        let question = service.message();
        let asked = claims_of(std::str::from_utf8(&question.payload).expect("a token"));
        assert_eq!(asked["nats"]["connect_opts"]["jwt"], sentinel);
        let user_key = asked["nats"]["user_nkey"].as_str().expect("a key");
        let claims = json!({ "sub": user_key, "name": "bob", "nats": { "type": "user",
            "version": 2, "subs": -1, "data": -1, "payload": -1 } });
        let response = json!({ "sub": user_key, "aud": asked["nats"]["server_id"]["id"],
            "nats": { "type": "authorization_response", "version": 2,
                "jwt": sign(&claims, &tenant.key).expect("a token") } });
        let answer = sign(&response, &auth.key).expect("a token");
        service.publish(&question.reply.expect("a reply"), answer);
        if is_allowed {
            raw.expect_line("PONG");
            assert_eq!(raw.expect_info()["remote_account"], tenant.id());
        } else {
            raw.expect_fatal(VIOLATION);
        }
    }
    connect(&broker, "", None).expect_fatal(VIOLATION);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_question_has_a_time_of_its_own() {
    let service = Service::new("APP", false);
    let broker = config(&service.config(""));
    let client = serve(service, &broker).await;
    let (mut raw, _) = let_in(&broker, "ann");
    // The first question's second is over in the middle of the next one's.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let asked = Instant::now();
    raw.send("CONNECT {\"verbose\":false,\"user\":\"silence\",\"pass\":\"x\"}\r\n");
    raw.expect_fatal(VIOLATION);
    let waited = asked.elapsed();
    assert!(waited > Duration::from_millis(900), "{waited:?}");
    drop(client);
}
