//! `midge store check` on what a real broker left behind.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::common::{Broker, Raw};

fn check(dir: &Path) -> Output {
    Command::new(Broker::binary()).args(["store", "check"]).arg(dir).output().unwrap()
}

/// All files below a folder.
pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn a_store_is_verified_offline_and_damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().to_str().unwrap();
    let mut broker = Broker::start(&["-js", "-sd", store]);
    let mut client = Raw::open(&broker);
    client.send("SUB in 1\r\n");
    let config = r#"{"name":"ORDERS","subjects":["orders.>"]}"#;
    client.send(format!("PUB $JS.API.STREAM.CREATE.ORDERS in {}\r\n{config}\r\n", config.len()));
    assert!(client.message().payload.starts_with(b"{\"type\":\"io.nats.jetstream.api.v1.stream"));
    for number in 0..10 {
        client.send(format!("PUB orders.{number} in 5\r\nhello\r\n"));
        assert!(client.message().payload.starts_with(b"{\"stream\":\"ORDERS\""));
    }
    let taken = check(dir.path());
    assert_eq!(taken.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&taken.stderr).contains("a server has it open"));
    broker.signal("TERM");
    broker.wait_exit(Duration::from_secs(10));

    let clean = check(dir.path());
    let text = String::from_utf8(clean.stdout).unwrap();
    assert_eq!(clean.status.code(), Some(0), "{text}");
    assert!(text.contains("(ORDERS in $G): 10 messages, 1 to 10, "), "{text}");

    let all = files(dir.path());
    let state = all.iter().find(|path| path.ends_with("state-1")).unwrap();
    let mut bytes = std::fs::read(state).unwrap();
    bytes[40] ^= 4;
    std::fs::write(state, bytes).unwrap();
    let damaged = check(dir.path());
    let text = String::from_utf8(damaged.stdout).unwrap();
    assert_eq!(damaged.status.code(), Some(1), "{text}");
    assert!(text.contains("state-1: damaged"), "{text}");
    assert_eq!(check(&dir.path().join("jetstream")).status.code(), Some(1));
    assert_eq!(check(&dir.path().join("no")).status.code(), Some(2));
}
