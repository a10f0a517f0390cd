//! Goal: what is secret is told nowhere: not in the log at its most talkative, not on any page, not
//! in a figure, an event or an answer. Method: secrets that cannot be mistaken are configured, used
//! rightly and wrongly; then everything that the broker has said is searched for them.

use nkeys::KeyPair;
use serde_json::json;

use crate::common::Raw;
use crate::http::Monitored;

const PAGES: [&str; 15] = [
    "/",
    "/varz",
    "/connz?auth=1&subs=detail&state=any",
    "/connz?auth=1&subs=1&state=closed",
    "/subsz?subs=1",
    "/healthz",
    "/accountz",
    "/accountz?acc=A",
    "/accstatz?unused=1",
    "/routez",
    "/gatewayz",
    "/leafz",
    "/jsz?accounts=1&config=1",
    "/metrics",
    "/debug/vars",
];

/// A connection that is refused for what it shows.
fn refused(monitored: &Monitored, options: &str) {
    let mut raw = Raw::connect(&monitored.broker);
    raw.send(format!("CONNECT {options}\r\n"));
    raw.expect_fatal("Authorization Violation");
}

/// All pages, one behind the other.
fn pages(monitored: &Monitored) -> String {
    PAGES.iter().map(|page| monitored.get(page).body).collect()
}

/// What the system account answers and has told until then.
fn answers(admin: &mut Raw, id: &str) -> String {
    let mut subjects: Vec<String> =
        ["VARZ", "CONNZ", "SUBSZ", "ACCOUNTZ", "JSZ", "STATSZ", "EXPVARZ"]
            .iter()
            .map(|name| format!("$SYS.REQ.SERVER.{id}.{name}"))
            .collect();
    subjects.push("$SYS.REQ.ACCOUNT.A.INFO".to_owned());
    subjects.push("$SYS.REQ.USER.INFO".to_owned());
    let options = r#"{"auth":true,"subscriptions_detail":true,"subscriptions":true,"state":2}"#;
    let mut said = String::new();
    for subject in subjects {
        let size = options.len();
        admin.send(format!("PUB {subject} _INBOX.answer {size}\r\n{options}\r\n"));
        loop {
            let message = admin.message();
            let is_answer = message.subject == "_INBOX.answer";
            if !message.subject.starts_with("$SYS.REQ.") {
                said.push_str(&String::from_utf8_lossy(&message.payload));
            }
            if is_answer {
                break;
            }
        }
    }
    said
}

#[track_caller]
fn says_none(secrets: &[&str], said: &str, where_: &str) {
    for secret in secrets {
        let at = said.find(secret);
        let around = at.map(|at| {
            let start = (at.saturating_sub(100)..=at).find(|start| said.is_char_boundary(*start));
            &said[start.unwrap_or(at)..at + secret.len()]
        });
        assert!(around.is_none(), "{where_}: {around:?}");
    }
}

#[test]
fn passwords_tokens_and_signatures_are_told_nowhere() {
    let key = KeyPair::new_user();
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "accounts {{
           $SYS {{ users: [{{user: admin, password: pLanted_admin}}] }}
           A {{ users: [{{user: ada, password: pLanted_ada}}, {{nkey: {}}}] }}
         }}",
        key.public_key()
    );
    std::fs::write(file.path(), text).unwrap();
    let monitored = Monitored::start(&["-DV", "-c", file.path().to_str().unwrap()]);
    let log_in = |user: &str| {
        let options = format!(
            "{{\"verbose\":false,\"pedantic\":false,\"user\":\"{user}\",\"pass\":\"pLanted_{user}\"}}"
        );
        Raw::open_with(&monitored.broker, &options)
    };
    let mut admin = log_in("admin");
    admin.send("SUB $SYS.> 1\r\nSUB _INBOX.answer 2\r\n");
    admin.fence();
    let mut ada = log_in("ada");
    ada.send("SUB foo 1\r\n");
    ada.fence();
    refused(&monitored, r#"{"user":"ada","pass":"pLanted_guess"}"#);
    refused(&monitored, r#"{"auth_token":"pLanted_token"}"#);
    refused(&monitored, r#"{"jwt":"pLanted_jwt","sig":"pLanted_sig"}"#);
    refused(&monitored, &format!("{{\"nkey\":\"{}\",\"sig\":\"pLanted_sig\"}}", key.public_key()));
    let mut signed = Raw::connect(&monitored.broker);
    let nonce = signed.info()["nonce"].as_str().unwrap().to_owned();
    let signature = data_encoding::BASE64URL_NOPAD.encode(&key.sign(nonce.as_bytes()).unwrap());
    let shown = json!({"verbose": false, "nkey": key.public_key(), "sig": signature});
    signed.send(format!("CONNECT {shown}\r\nPING\r\n"));
    signed.expect_line("PONG");
    // A password in a line that is no CONNECT, and one that is none of JSON.
    Raw::connect(&monitored.broker).send("CONNECT {\"user\":\"ada\",\"pass\":\"pLanted_torn\"\r\n");
    let id = admin.info()["server_id"].as_str().unwrap().to_owned();
    let secrets = ["pLanted_", &signature];
    says_none(&secrets, &answers(&mut admin, &id), "the system account");
    says_none(&secrets, &pages(&monitored), "a page");
    drop((ada, signed));
    says_none(&secrets, &answers(&mut admin, &id), "the system account");
    let log = monitored.broker.log();
    assert!(log.contains("CONNECT") && log.contains("authentication error"), "it says something");
    says_none(&secrets, &log, "the log");
}

#[test]
fn secrets_of_the_command_line_are_told_nowhere() {
    for flags in [&["--user", "u", "--pass", "pLanted_flag"][..], &["--auth", "pLanted_flag"]] {
        let mut args = vec!["-DV"];
        args.extend_from_slice(flags);
        let monitored = Monitored::start(&args);
        refused(&monitored, r#"{"user":"u","pass":"pLanted_guess"}"#);
        refused(&monitored, r#"{"auth_token":"pLanted_token"}"#);
        let options =
            r#"{"verbose":false,"user":"u","pass":"pLanted_flag","auth_token":"pLanted_flag"}"#;
        let _client = Raw::open_with(&monitored.broker, options);
        says_none(&["pLanted_"], &pages(&monitored), "a page");
        says_none(&["pLanted_"], &monitored.broker.log(), "the log");
    }
}
