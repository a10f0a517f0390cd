//! Goal: `midge top` shows what the server says. Method: the real binary with traffic, then
//! `midge top --once` beside it. Run with `BROKER=$(which nats-server)` it looks at that one.

use std::process::Command;

use serde_json::Value;

use crate::common::Raw;
use crate::http::Monitored;

fn top(args: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_midge")).arg("top").args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn one_look_shows_server_shards_and_connections() {
    let monitored = Monitored::start(&["-n", "shown"]);
    let url = format!("http://{}", monitored.address);
    let options = r#"{"verbose":false,"name":"worker","lang":"rust","version":"9.9"}"#;
    let mut raw = Raw::open_with(&monitored.broker, options);
    raw.send("SUB a.> 1\r\nPUB a.b 5\r\nhello\r\n");
    assert_eq!(raw.drain().len(), 1);
    let (text, error, status) = top(&[&url, "--once", "--delay", "0.1", "--subs"]);
    assert_eq!((error.as_str(), status), ("", Some(0)));
    assert!(text.starts_with("NATS server version 2.15.1 (uptime: "), "{text}");
    assert!(text.contains("\nServer: shown  ID: N"), "{text}");
    assert!(text.contains("Connections Polled: 1 of 1"), "{text}");
    let heading = text.lines().find(|line| line.starts_with("HOST")).unwrap();
    assert!(heading.ends_with("SUBSCRIPTIONS"), "{heading}");
    let row = text.lines().find(|line| line.contains("worker")).unwrap();
    assert!(row.starts_with("127.0.0.1:") && row.ends_with("a.>"), "{row}");
    let is_midge = monitored.is_midge();
    assert_eq!(text.contains("\nSHARD  CONNS"), is_midge, "{text}");

    let (json, _, _) = top(&[&url, "--once", "--json", "--delay=0.1", "-b"]);
    let page: Value = serde_json::from_str(&json).unwrap();
    let connection = &page["connections"][0];
    assert_eq!(connection["name"], "worker");
    assert_eq!((&connection["msgs_to"], &connection["msgs_from"]), (&1.0.into(), &1.0.into()));
    assert_eq!((&connection["bytes_to"], &connection["subs"]), (&5.0.into(), &1.0.into()));
    if is_midge {
        let shards = page["shards"].as_array().unwrap();
        let sum: f64 = shards.iter().map(|shard| shard["conns"].as_f64().unwrap()).sum();
        assert_eq!(sum, 1.0);
    } else {
        assert_eq!(page["shards"], Value::Null);
    }
}

#[test]
fn what_cannot_be_asked_is_told() {
    let monitored = Monitored::start(&[]);
    let port = monitored.address.port().to_string();
    let (_, error, status) = top(&["-s", "127.0.0.1", "-m", &port, "--once", "-d", "0.05"]);
    assert_eq!((error.as_str(), status), ("", Some(0)));
    let client = format!("http://{}/nope", monitored.address);
    let (_, error, status) = top(&[&client, "--once"]);
    assert_eq!(status, Some(1));
    assert!(error.contains("/nope/varz: HTTP status 404"), "{error}");
    drop(monitored);
    let (_, error, status) = top(&["-m", &port, "--once"]);
    assert_eq!(status, Some(1));
    assert!(error.starts_with("midge top: http://127.0.0.1:"), "{error}");
}
