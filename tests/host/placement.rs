//! Goal: the `shards` block reaches the shards, and every example in `tuning/configs` is one.
//! Method: the real binary on configuration files.

use std::process::{Command, Output};

use super::server::{Server, BINARY};

fn configured(text: &str) -> (tempfile::NamedTempFile, Command) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["-a", "127.0.0.1", "-p", "-1", "-c"]).arg(file.path());
    (file, command)
}

/// The first processor this process may use.
fn processor() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    list.trim().split([',', '-']).next().unwrap().to_owned()
}

#[test]
fn a_shard_runs_on_its_processor_with_its_memory_and_polls_as_told() {
    let processor = processor();
    for rest in ["busy_poll: 0, memory: 1MB", "busy_poll: \"2ms\", memory: 64MB"] {
        let text = format!("shards {{ cpus: \"{processor}\", {rest} }}\n");
        let (_file, mut command) = configured(&text);
        let mut server = Server::spawn(&mut command);
        let line = server.wait_log("Shards:");
        assert!(line.contains(&format!("1 (processors {processor})")), "{line}");
        server.serves();
        server.signal("TERM");
        assert!(server.wait_exit().0.success());
    }
}

#[test]
fn a_processor_that_is_not_there_stops_the_start() {
    let (_file, mut command) = configured("shards { cpus: 8000 }\n");
    let Output { status, stderr, .. } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("shards: processor 8000 is not among those"), "{said}");
}

#[test]
fn every_example_is_a_valid_configuration() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tuning/configs");
    let mut examples = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let output = Command::new(BINARY).arg("-t").arg("-c").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.contains("is valid"), "{}: {said}", path.display());
        examples += 1;
    }
    assert!(examples >= 5);
}
