//! Goal: under every way to authenticate, nothing but CONNECT is obeyed before it, and nothing of
//! what is refused has any effect. Method: each verb as the first bytes of a connection, alone and
//! with more behind it, while an administrator of the account looks on.

use nkeys::KeyPair;
use serde_json::json;

use crate::common::{config, Broker, Raw};
use crate::operator::{log_in, Operator, Tenant};

const VERBS: [&str; 24] = [
    "PING\r\n",
    "PONG\r\n",
    "+OK\r\n",
    "-ERR 'x'\r\n",
    "INFO {}\r\n",
    "PUB secret 2\r\nhi\r\n",
    "PUB secret in 2\r\nhi\r\n",
    "HPUB secret 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
    "SUB secret 1\r\n",
    "SUB > g 1\r\n",
    "UNSUB 1\r\n",
    "UNSUB 1 5\r\n",
    "MSG secret 1 2\r\nhi\r\n",
    "HMSG secret 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
    "RMSG $G secret 2\r\nhi\r\n",
    "RS+ $G secret\r\n",
    "RS- $G secret\r\n",
    "LMSG secret 2\r\nhi\r\n",
    "LS+ secret\r\n",
    "A+ $G\r\n",
    "A- $G\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "\r\n",
    "\u{1}\u{2}\r\n",
];

const BCRYPT: &str = "$2a$04$ZrEcFbNyP5bNgn1J4Zy5OuQPKmhRUPYUyj5PVW1R8/yQIsVUSqdQm";

fn refuses_everything(broker: &Broker, mut observer: Option<Raw>, setup: &str) {
    if let Some(observer) = &mut observer {
        observer.send("SUB secret 1\r\n");
        observer.fence();
    }
    for verb in VERBS {
        for more in ["", "SUB secret 1\r\nPUB secret 2\r\nhi\r\n"] {
            let mut raw = Raw::connect(broker);
            raw.send_doomed(format!("{verb}{more}"));
            raw.expect_exact("-ERR 'Authorization Violation'\r\n");
            // Nothing that came behind it is answered.
            raw.expect_eof();
            if let Some(observer) = &mut observer {
                assert_eq!(observer.drain(), [], "{setup}: {verb:?}");
                observer.send("PUB secret 0\r\n\r\n");
                assert_eq!(observer.drain().len(), 1);
            }
        }
    }
}

#[test]
fn nothing_but_connect_comes_first() {
    let nkey = KeyPair::new_user().public_key();
    let log = |options: &str| format!("{{\"verbose\":false,\"pedantic\":false,{options}}}");
    let user = log("\"user\":\"u\",\"pass\":\"p\"");
    let setups = [
        ("a token", "authorization { token: t }".to_owned(), Some(log("\"auth_token\":\"t\""))),
        ("one user", "authorization { user: u, password: p }".to_owned(), Some(user.clone())),
        (
            "users",
            "authorization { users: [{user: u, password: p}] }".to_owned(),
            Some(user.clone()),
        ),
        (
            "accounts",
            "accounts { A { users: [{user: u, password: p}] } }".to_owned(),
            Some(user.clone()),
        ),
        (
            "bcrypt",
            format!("authorization {{ users: [{{user: b, password: \"{BCRYPT}\"}}, {{user: u, password: p}}] }}"),
            Some(user.clone()),
        ),
        (
            "nkeys",
            format!("authorization {{ users: [{{nkey: {nkey}}}, {{user: u, password: p}}] }}"),
            Some(user),
        ),
    ];
    for (setup, text, options) in setups {
        let broker = config(&text);
        let observer = options.map(|options| Raw::open_with(&broker, &options));
        refuses_everything(&broker, observer, setup);
    }
}

#[test]
fn nothing_but_connect_comes_first_in_operator_mode() {
    let (operator, tenant) = (Operator::new(), Tenant::new("A"));
    let broker = config(&operator.config(&[&tenant]));
    let key = KeyPair::new_user();
    let (observer, _) = log_in(&broker, &tenant.user(&key, &json!({})), &key);
    refuses_everything(&broker, Some(observer), "tokens");
}

#[test]
fn who_needs_no_credentials_is_who_the_configuration_says() {
    let broker = config(
        "accounts { A { users: [{user: u, password: p}] }, B { users: [{user: v, password: p,
         permissions: {publish: \"x.>\", subscribe: \"x.>\"}}] } }\nno_auth_user: v",
    );
    let mut observer =
        Raw::open_with(&broker, r#"{"verbose":false,"pedantic":false,"user":"u","pass":"p"}"#);
    observer.send("SUB > 1\r\n");
    observer.fence();
    let mut raw = Raw::connect(&broker);
    raw.send("SUB a 1\r\n");
    raw.expect_exact("-ERR 'Permissions Violation for Subscription to \"a\"'\r\n");
    raw.send("PUB a 0\r\n\r\n");
    raw.expect_exact("-ERR 'Permissions Violation for Publish to \"a\"'\r\n");
    assert_eq!(observer.drain(), []);
}
