//! Goal: `midge tune` looks at this very machine without changing it. Method: its JSON, and its
//! exit status. What the checks say of other machines is tested beside them.

use std::process::{Command, Output};

use super::server::BINARY;

fn tune(words: &[&str]) -> Output {
    Command::new(BINARY).arg("tune").args(words).output().unwrap()
}

#[test]
fn this_machine_is_looked_at_and_not_changed() {
    let backlog = || std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let before = backlog();
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().to_str().unwrap();
    let output = tune(&["--json", "-js", "-sd", store, "--shards", "1"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let named = |name: &str| findings.iter().find(|finding| finding["name"] == name);
    // The tests could not run without.
    assert_eq!(named("io-uring").unwrap()["state"], "fine");
    assert!(named("clock-source").is_some() && named("store-mount").is_some());
    assert!(report["outcomes"].as_array().unwrap().is_empty());
    assert_eq!(backlog(), before);
    let required = findings.iter().any(|finding| finding["state"] == "required");
    assert_eq!(output.status.code(), Some(i32::from(required)));
}

#[test]
fn people_get_text_and_help() {
    let text = String::from_utf8(tune(&["--shards", "1"]).stdout).unwrap();
    assert!(text.starts_with("ok       io-uring: a ring can be made\n"), "{text}");
    assert!(text.contains("Nothing was changed"), "{text}");
    let help = String::from_utf8(tune(&["--help"]).stdout).unwrap();
    assert!(help.starts_with("\nUsage: midge tune [--apply | --revert]"), "{help}");
}

#[test]
fn nothing_recorded_is_nothing_to_revert() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let output = tune(&["--revert", "--record", record.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing to revert"));
}
