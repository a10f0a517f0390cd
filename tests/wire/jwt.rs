//! Goal: in operator mode who has a token of an account of the operator gets in, for as long as
//! and as far as the tokens say, and nobody else. Method: tokens made here, in turn; most was
//! asked of nats-server 2.15.1 first (where ours differs on purpose, the test says so).

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use nkeys::KeyPair;
use serde_json::{json, Value};

use crate::common::{config, Broker, Raw};
use crate::operator::{connect, log_in, unix_now, Operator, Tenant};

const VIOLATION: &str = "Authorization Violation";

fn reload(broker: &Broker, text: &str) {
    broker.rewrite_config(text);
    broker.signal("HUP");
    broker.wait_log("Reloaded server configuration (sha256:");
}

#[test]
fn a_token_of_an_account_lets_in() {
    let (operator, tenant, user) = (Operator::new(), Tenant::new("acme"), KeyPair::new_user());
    let broker = config(&operator.config(&[&tenant]));
    let (mut raw, info) = log_in(&broker, &tenant.user(&user, &json!({ "payload": 100 })), &user);
    assert_eq!(info["remote_account"], tenant.id());
    assert_eq!(info["max_payload"], 100);
    assert_eq!(info["auth_required"], true);
    raw.send("SUB a 1\r\nPUB a 0\r\n\r\n");
    raw.expect_exact("MSG a 1 0\r\n\r\n");
    broker.wait_log("Trusted Operators");
    broker.wait_log("Trusted Operators should utilize a System Account");
}

#[test]
fn who_has_no_such_token_stays_out() {
    let (operator, tenant) = (Operator::new(), Tenant::new("acme"));
    let bearerless = Tenant::new("strict").with(&json!({ "limits": {
        "subs": -1, "payload": -1, "conn": -1, "disallow_bearer": true } }));
    let revoking = Tenant::new("rev").with(&json!({ "revocations": { "*": unix_now() + 100 } }));
    let mut expired = Tenant::new("old");
    expired.claims["exp"] = 1000.into();
    let (stranger, user) = (Tenant::new("stranger"), KeyPair::new_user());
    let mut text = operator.config(&[&tenant, &bearerless, &revoking, &expired]);
    // An account that another operator has signed.
    let foreign = Tenant::new("foreign");
    let of_foreign = format!("  {}: {}\n}}\n", foreign.id(), Operator::new().account(&foreign));
    text = text.trim_end().trim_end_matches('}').to_owned() + &of_foreign;
    let broker = config(&text);
    let none = json!({});
    let good = tenant.user(&user, &none);
    let mut forged = good.clone();
    forged.truncate(good.len() - 4);
    for (what, token, key) in [
        ("nothing", "", Some(&user)),
        ("no token", "abc", Some(&user)),
        ("no signature", good.as_str(), None),
        ("another's signature", &good, Some(&KeyPair::new_user())),
        ("a cut token", &forged, Some(&user)),
        ("an unknown account", &stranger.user(&user, &none), Some(&user)),
        ("another operator", &foreign.user(&user, &none), Some(&user)),
        ("an old account", &expired.user(&user, &none), Some(&user)),
        ("a revoked user", &revoking.user(&user, &none), Some(&user)),
        ("an old token", &tenant.user_until(&user, &none, Some(1000)), Some(&user)),
        ("a bearer", &bearerless.user(&user, &json!({ "bearer_token": true })), Some(&user)),
        ("the address", &tenant.user(&user, &json!({ "src": ["192.0.2.0/24"] })), Some(&user)),
        (
            "the way",
            &tenant.user(&user, &json!({ "allowed_connection_types": ["WEBSOCKET"] })),
            Some(&user),
        ),
        (
            "the hour",
            &tenant.user(&user, &json!({ "times": [{ "start": "x", "end": "y" }] })),
            Some(&user),
        ),
        ("a proxy", &tenant.user(&user, &json!({ "proxy_required": true })), Some(&user)),
        (
            "a scoped user with rules",
            &tenant.scoped_user(&user, &KeyPair::new_account(), &json!({ "subs": -1 })),
            Some(&user),
        ),
    ] {
        eprintln!("{what}");
        connect(&broker, token, key).expect_fatal(VIOLATION);
    }
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"user\":\"a\",\"pass\":\"b\"}\r\n");
    raw.expect_fatal(VIOLATION);
    log_in(&broker, &tenant.user(&user, &json!({ "src": ["127.0.0.0/8"] })), &user);
}

#[test]
fn any_first_op_but_connect_is_refused() {
    let (operator, tenant) = (Operator::new(), Tenant::new("acme"));
    let broker = config(&operator.config(&[&tenant]));
    for bytes in [
        "PING\r\n",
        "PONG\r\n",
        "SUB a 1\r\n",
        "PUB a 0\r\n\r\n",
        "HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n",
        "INFO {}\r\n",
        "+OK\r\n",
        "-ERR 'x'\r\n",
        "UNSUB 1\r\n",
        "MSG a 1 0\r\n\r\n",
    ] {
        let mut raw = Raw::connect(&broker);
        raw.send_doomed(bytes);
        raw.expect_fatal(VIOLATION);
    }
}

#[test]
fn a_bearer_signs_nothing() {
    let (operator, tenant, user) = (Operator::new(), Tenant::new("acme"), KeyPair::new_user());
    let broker = config(&operator.config(&[&tenant]));
    let token = tenant.user(&user, &json!({ "bearer_token": true }));
    connect(&broker, &token, None).fence();
}

#[test]
fn a_sentinel_stands_in_for_those_who_show_nothing() {
    let (operator, tenant, user) = (Operator::new(), Tenant::new("acme"), KeyPair::new_user());
    let rules = json!({ "bearer_token": true, "pub": { "allow": ["s"] } });
    let sentinel = tenant.user(&user, &rules);
    let text = operator.config(&[&tenant]) + &format!("default_sentinel: {sentinel}\n");
    let broker = config(&text);
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"verbose\":false}\r\nPUB s 0\r\n\r\nPUB t 0\r\n\r\nPING\r\n");
    raw.expect_exact("-ERR 'Permissions Violation for Publish to \"t\"'\r\nPONG\r\n");
}

#[test]
fn accounts_do_not_see_each_other() {
    let (operator, one, other) = (Operator::new(), Tenant::new("one"), Tenant::new("other"));
    let broker = config(&operator.config(&[&one, &other]));
    let user = KeyPair::new_user();
    let (mut a, _) = log_in(&broker, &one.user(&user, &json!({})), &user);
    let (mut b, _) = log_in(&broker, &other.user(&user, &json!({})), &user);
    a.send("SUB x 1\r\n");
    a.fence();
    b.send("PUB x 0\r\n\r\n");
    b.fence();
    a.fence();
    let (mut c, _) = log_in(&broker, &one.user(&user, &json!({})), &user);
    c.send("PUB x 0\r\n\r\n");
    a.expect_exact("MSG x 1 0\r\n\r\n");
}

#[test]
fn a_scope_says_what_its_users_may_do() {
    let (operator, key, user) = (Operator::new(), KeyPair::new_account(), KeyPair::new_user());
    let scope = json!({ "kind": "user_scope", "key": key.public_key(), "role": "r", "template": {
        "pub": { "allow": ["x.{{name()}}", "{{account-name()}}.{{tag(team)}}"] },
        "sub": { "deny": ["secret"] }, "subs": 1, "payload": 5 } });
    let tenant = Tenant::new("acme").with(&json!({ "signing_keys": [scope] }));
    let broker = config(&operator.config(&[&tenant]));
    let token = tenant.scoped_user(&user, &key, &json!({ "tags": ["team:a"] }));
    let (mut raw, info) = log_in(&broker, &token, &user);
    assert_eq!(info["max_payload"], 5);
    raw.send("PUB x.usr 0\r\n\r\nPUB acme.a 0\r\n\r\nPUB x.b 0\r\n\r\nSUB secret 1\r\nSUB a 2\r\n");
    raw.send("SUB b 3\r\nPING\r\n");
    raw.expect_exact(
        "-ERR 'Permissions Violation for Publish to \"x.b\"'\r\n\
         -ERR 'Permissions Violation for Subscription to \"secret\"'\r\n\
         -ERR 'maximum subscriptions exceeded'\r\nPONG\r\n",
    );
    // nats-server would let this user publish to `acme.>`.
    let token = tenant.scoped_user(&user, &key, &json!({ "tags": ["team:>"] }));
    let (mut raw, _) = log_in(&broker, &token, &user);
    raw.send("PUB acme.a 0\r\n\r\nPING\r\n");
    raw.expect_exact("-ERR 'Permissions Violation for Publish to \"acme.a\"'\r\nPONG\r\n");
    raw.send_doomed("PUB x.usr 6\r\n123456\r\n");
    raw.expect_fatal("Maximum Payload Violation");
}

#[test]
fn limits_and_mappings_of_an_account_hold() {
    let (operator, user) = (Operator::new(), KeyPair::new_user());
    let tenant = Tenant::new("acme").with(&json!({
        "limits": { "subs": 1, "payload": 10, "conn": 1 },
        "mappings": { "a.*": [{ "subject": "b.$1" }] } }));
    let broker = config(&operator.config(&[&tenant]));
    let token = tenant.user(&user, &json!({}));
    let (mut raw, info) = log_in(&broker, &token, &user);
    assert_eq!(info["max_payload"], 10);
    connect(&broker, &token, Some(&user))
        .expect_fatal("maximum account active connections exceeded");
    raw.send("SUB b.* 1\r\nSUB c 2\r\nPUB a.x 0\r\n\r\n");
    raw.expect_exact("-ERR 'maximum subscriptions exceeded'\r\nMSG b.x 1 0\r\n\r\n");
}

#[test]
fn a_token_that_runs_out_ends_the_connection() {
    let (operator, user) = (Operator::new(), KeyPair::new_user());
    let tenant = Tenant::new("acme");
    let mut short = Tenant::new("short");
    short.claims["exp"] = (unix_now() + 5).into();
    let broker = config(&operator.config(&[&tenant, &short]));
    let (mut of_account, _) = log_in(&broker, &short.user(&user, &json!({})), &user);
    let soon = tenant.user_until(&user, &json!({}), Some(unix_now() + 2));
    let (mut raw, _) = log_in(&broker, &soon, &user);
    raw.expect_fatal("User Authentication Expired");
    of_account.expect_fatal("Account Authentication Expired");
}

#[test]
fn what_a_reload_says_of_an_account_holds_for_those_who_are_there() {
    let (operator, user) = (Operator::new(), KeyPair::new_user());
    let mut tenant = Tenant::new("acme");
    let broker = config(&operator.config(&[&tenant]));
    let token = tenant.user(&user, &json!({}));
    let (mut early, _) = log_in(&broker, &token, &user);
    early.send("SUB x 1\r\nSUB y 2\r\n");
    early.fence();
    let rules = json!({ "sub": { "allow": ["y"] } });
    tenant = tenant.with(&json!({ "default_permissions": rules }));
    reload(&broker, &operator.config(&[&tenant]));
    // nats-server looks at the new token when the next user of the account logs in.
    early.expect_line("-ERR 'Permissions Violation for Subscription to \"x\" (sid \"1\")'");
    early.fence();
    tenant = tenant.with(&json!({ "revocations": { user.public_key(): unix_now() + 100 } }));
    reload(&broker, &operator.config(&[&tenant]));
    early.expect_fatal("User Authentication Revoked");
    reload(&broker, &operator.config(&[]));
    connect(&broker, &token, Some(&user)).expect_fatal(VIOLATION);
}

#[test]
fn accounts_are_found_in_a_directory() {
    let (operator, user) = (Operator::new(), KeyPair::new_user());
    let (system, tenant, late) = (Tenant::new("SYS"), Tenant::new("acme"), Tenant::new("late"));
    let dir = tempfile::tempdir().expect("a directory");
    let write = |tenant: &Tenant| {
        let path = dir.path().join(format!("{}.jwt", tenant.id()));
        std::fs::write(path, operator.account(tenant)).expect("a file");
    };
    write(&tenant);
    let text = operator.config(&[&system]).replace(
        "resolver: MEMORY",
        &format!(
            "system_account: {}\nresolver {{ type: full, dir: \"{}\" }}",
            system.id(),
            dir.path().display()
        ),
    );
    let broker = config(&text);
    log_in(&broker, &tenant.user(&user, &json!({})), &user);
    let (_, info) = log_in(&broker, &system.user(&user, &json!({})), &user);
    assert_eq!(info["acc_is_sys"], true);
    // What was preloaded is kept there.
    assert!(dir.path().join(format!("{}.jwt", system.id())).exists());
    let token = late.user(&user, &json!({}));
    connect(&broker, &token, Some(&user)).expect_fatal(VIOLATION);
    write(&late);
    log_in(&broker, &token, &user);
}

// Goal: a token that is not kept is not obeyed either, now or later. Method: a directory that is full,
// and an update of the account that is there, after which all accounts are looked at anew.
#[test]
fn a_token_that_finds_no_room_lets_nobody_in() {
    let (operator, user) = (Operator::new(), KeyPair::new_user());
    let (system, tenant) = (Tenant::new("SYS"), Tenant::new("acme"));
    let dir = tempfile::tempdir().expect("a directory");
    let text = operator.config(&[&system]).replace(
        "resolver: MEMORY",
        &format!(
            "system_account: {}\nresolver {{ type: full, dir: \"{}\", limit: 1 }}",
            system.id(),
            dir.path().display()
        ),
    );
    let broker = config(&text);
    let (mut admin, _) = log_in(&broker, &system.user(&user, &json!({})), &user);
    admin.send("SUB r 1\r\n");
    for (account, answer) in [(&tenant, "limit of 1 accounts reached"), (&system, "jwt updated")] {
        let token = operator.account(account);
        let (id, length) = (account.id(), token.len());
        admin.send(format!("PUB $SYS.REQ.ACCOUNT.{id}.CLAIMS.UPDATE r {length}\r\n{token}\r\n"));
        let payload = String::from_utf8(admin.message().payload).expect("text");
        assert!(payload.contains(answer), "{payload}");
    }
    let token = tenant.user(&user, &json!({}));
    connect(&broker, &token, Some(&user)).expect_fatal(VIOLATION);
}

/// What `nsc push` and its kin do.
#[test]
fn tokens_are_updated_looked_up_and_deleted_by_request() {
    let (operator, user) = (Operator::new(), KeyPair::new_user());
    let (system, tenant) = (Tenant::new("SYS"), Tenant::new("acme"));
    let dir = tempfile::tempdir().expect("a directory");
    let text = operator.config(&[&system]).replace(
        "resolver: MEMORY",
        &format!(
            "system_account: {}\nresolver {{ type: full, dir: \"{}\", allow_delete: true }}",
            system.id(),
            dir.path().display()
        ),
    );
    let broker = config(&text);
    let (mut admin, _) = log_in(&broker, &system.user(&user, &json!({})), &user);
    admin.send("SUB r.* 1\r\n");
    let mut number = 0;
    let mut ask = |subject: &str, body: &str| -> String {
        number += 1;
        admin.send(format!("PUB {subject} r.{number} {}\r\n{body}\r\n", body.len()));
        String::from_utf8(admin.message().payload).expect("text")
    };
    let (id, token) = (tenant.id(), operator.account(&tenant));
    assert_eq!(ask(&format!("$SYS.REQ.ACCOUNT.{id}.CLAIMS.LOOKUP"), ""), "");
    let update = format!("$SYS.REQ.ACCOUNT.{id}.CLAIMS.UPDATE");
    let answer: Value = serde_json::from_str(&ask(&update, &token)).expect("JSON");
    assert_eq!(answer["data"], json!({ "account": id, "code": 200, "message": "jwt updated" }));
    assert_eq!(ask(&format!("$SYS.REQ.ACCOUNT.{id}.CLAIMS.LOOKUP"), ""), token);
    let list: Value = serde_json::from_str(&ask("$SYS.REQ.CLAIMS.LIST", "")).expect("JSON");
    assert_eq!(list["data"].as_array().map(Vec::len), Some(2));
    let (mut client, _) = log_in(&broker, &tenant.user(&user, &json!({})), &user);
    for (body, complaint) in [
        ("abc", "jwt update resulted in error - expected 3 chunks"),
        (
            &operator.account(&Tenant::new("other")),
            "jwt update resulted in error - subject does not match jwt content",
        ),
        // nats-server says that this was updated, and lets nobody in by it.
        (
            &Operator::new().account(&tenant),
            "jwt update resulted in error - account jwt is not signed by a trusted operator",
        ),
    ] {
        let answer: Value = serde_json::from_str(&ask(&update, body)).expect("JSON");
        assert_eq!(answer["error"]["description"], complaint);
    }
    client.fence();
    // Users that are there feel what is new.
    let revoking = json!({ "revocations": { user.public_key(): unix_now() + 100 } });
    let tenant = tenant.with(&revoking);
    ask(&update, &operator.account(&tenant));
    client.expect_fatal("User Authentication Revoked");
    let deletion = |accounts: &[String], key: &KeyPair| {
        let claims = json!({ "sub": key.public_key(),
            "nats": { "type": "generic", "version": 2, "accounts": accounts } });
        midge::account::jwt::sign(&claims, key).expect("a token")
    };
    for (accounts, key, complaint) in [
        ([system.id()], &operator.key, "not allowed to delete system account"),
        ([id.clone()], &KeyPair::new_operator(), "not self signed"),
    ] {
        let answer = ask("$SYS.REQ.CLAIMS.DELETE", &deletion(&accounts, key));
        assert!(answer.contains(complaint), "{answer}");
    }
    let answer = ask("$SYS.REQ.CLAIMS.DELETE", &deletion(std::slice::from_ref(&id), &operator.key));
    assert!(answer.contains("deleted 1 accounts"), "{answer}");
    assert!(dir.path().join(format!("{id}.jwt.deleted")).exists());
    let token = tenant.user(&KeyPair::new_user(), &json!({ "bearer_token": true }));
    connect(&broker, &token, None).expect_fatal(VIOLATION);
}

#[test]
fn accounts_are_asked_for_over_http() {
    let (operator, user) = (Operator::new(), KeyPair::new_user());
    let (tenant, stranger) = (Tenant::new("acme"), Tenant::new("stranger"));
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/jwt/v1/accounts/", server.local_addr().expect("an address"));
    let (id, token) = (tenant.id(), operator.account(&tenant));
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                request.push(byte[0]);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (status, body) = match path.strip_prefix("/jwt/v1/accounts/") {
                Some("") => ("200 OK", ""),
                Some(name) if name == id => ("200 OK", token.as_str()),
                _ => ("404 Not Found", "no"),
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).expect("an answer");
        }
    });
    let text = format!("operator: {}\nresolver: URL({url})\n", operator.token(&json!({})));
    let broker = config(&text);
    let token = tenant.user(&user, &json!({}));
    let mut all: Vec<Raw> = (0..4).map(|_| connect(&broker, &token, Some(&user))).collect();
    all.iter_mut().for_each(Raw::fence);
    let stranger = stranger.user(&user, &json!({}));
    connect(&broker, &stranger, Some(&user)).expect_fatal(VIOLATION);
}

#[test]
fn what_operator_mode_does_not_go_with_is_refused_at_the_start() {
    let (operator, tenant) = (Operator::new(), Tenant::new("acme"));
    let good = operator.config(&[&tenant]);
    let token = operator.token(&json!({}));
    let with = |more: &str| format!("{good}{more}\n");
    for (text, complaint) in [
        (with("accounts { A {} }"), "operators do not allow Accounts to be configured directly"),
        (
            with("authorization { users [ { user: a, password: b } ] }"),
            "operators do not allow users to be configured directly",
        ),
        (with("no_auth_user: x"), "no_auth_user not compatible with Trusted Operator"),
        (
            with(&format!("system_account: {}", Tenant::new("SYS").id())),
            "error resolving system account: account missing",
        ),
        (
            with("system_account: FOO"),
            "error resolving system account: will only fetch valid account keys",
        ),
        (with("default_sentinel: x"), "default sentinel JWT not valid"),
        (
            with("resolver_pinned_accounts: [ABC]"),
            "pinned account key \"ABC\" is not a valid public account nkey",
        ),
        (
            with(&format!("trusted_keys: {}", operator.key.public_key())),
            "conflicting options for 'TrustedKeys' and 'TrustedOperators'",
        ),
        (good.replace("MEMORY", "FOO"), "error parsing account resolver, should be MEM or"),
        (
            good.replace("MEMORY", "URL(http://127.0.0.1:1/)"),
            "resolver preloads only available for writeable resolver types MEM/DIR/CACHE_DIR",
        ),
        (
            good.replace("MEMORY", "{ type: full, dir: x }"),
            "using nats based account resolver - the system account needs to be specified in \
             configuration or the operator jwt",
        ),
        ("operator: xyz\nresolver: MEMORY\n".to_owned(), "error parsing operator JWT: open xyz"),
        (
            format!("operator: {}\nresolver: MEMORY\n", operator.account(&tenant)),
            "error parsing operator JWT: not operator claim",
        ),
        (
            format!("operator: {}AAAA\nresolver: MEMORY\n", &token[..token.len() - 4]),
            "error parsing operator JWT: claim failed V2 signature verification",
        ),
        (
            format!(
                "operator: {}\nresolver: MEMORY\n",
                operator.token(&json!({ "assert_server_version": "3.0.0" }))
            ),
            "expected major version 3 > server major version 2",
        ),
    ] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &text).expect("the configuration is written");
        let path = file.path().to_str().expect("a UTF-8 path");
        let mut broker = Broker::spawn(&["-a", "127.0.0.1", "-p", "-1", "-c", path]);
        broker.wait_log(complaint);
        assert!(!broker.wait_exit(Duration::from_secs(10)).success(), "{complaint}");
    }
}

/// The account's name stands beside its key.
#[test]
fn the_log_names_who_it_is() {
    let (operator, tenant, user) = (Operator::new(), Tenant::new("acme"), KeyPair::new_user());
    let broker = config(&operator.config(&[&tenant]));
    let deny: Value = json!({ "pub": { "deny": ["x"] } });
    let (mut raw, _) = log_in(&broker, &tenant.user(&user, &deny), &user);
    raw.send("PUB x 0\r\n\r\n");
    broker.wait_log(&format!(
        "\"{}/acme/jwt:{}\" - Publish Violation - Subject \"x\"",
        tenant.id(),
        user.public_key()
    ));
}
