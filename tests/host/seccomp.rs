//! Goal: with the profile in `tuning/` the server runs, and with a profile like those of container
//! engines it names io_uring as the reason and where to read on. Method: the profile is turned
//! into a real filter of the kernel, and the server is started under it.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Command;

use seccompiler::BpfMap;
use serde_json::{json, Value};

use super::server::{Server, BINARY};

const IO_URING: [&str; 3] = ["io_uring_setup", "io_uring_enter", "io_uring_register"];

/// Under which filter this process is to become the server.
const STAGE: &str = "MIDGE_UNDER_FILTER";

fn profile() -> Value {
    serde_json::from_str(include_str!("../../tuning/seccomp.json")).unwrap()
}

/// The names that a profile allows on this architecture.
fn allowed(profile: &Value) -> Vec<String> {
    let arch = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let groups = profile["syscalls"].as_array().unwrap().iter().filter(|group| {
        let arches = group["includes"]["arches"].as_array();
        arches.is_none_or(|arches| arches.iter().any(|name| name == arch))
    });
    let names = groups.flat_map(|group| group["names"].as_array().unwrap());
    names.map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Installs a filter that allows these calls and answers all others as the profile says.
fn install(names: &[String]) {
    let rules: Vec<Value> = names.iter().map(|name| json!({ "syscall": name })).collect();
    let errno = &profile()["defaultErrnoRet"];
    let filter = json!({
        "server": {
            "mismatch_action": { "errno": errno },
            "match_action": "allow",
            "filter": rules,
        }
    });
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filters: BpfMap =
        seccompiler::compile_from_json(filter.to_string().as_bytes(), arch).unwrap();
    seccompiler::apply_filter(&filters["server"]).unwrap();
}

/// This test binary once more, which becomes the server under a filter.
fn server_under(filter: &str, test: &str) -> Server {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(STAGE, filter);
    Server::spawn(&mut command)
}

/// Becomes the server if this process was started for that.
fn become_server() {
    let Some(filter) = std::env::var_os(STAGE) else { return };
    let mut names = allowed(&profile());
    if filter == "without io_uring" {
        names.retain(|name| !IO_URING.contains(&name.as_str()));
    }
    install(&names);
    let error = Command::new(BINARY).args(["-a", "127.0.0.1", "-p", "-1", "--shards", "2"]).exec();
    panic!("the server cannot be started: {error}");
}

#[test]
fn the_profile_lets_the_server_run() {
    become_server();
    let mut server = server_under("as it is", "seccomp::the_profile_lets_the_server_run");
    server.serves();
    server.signal("TERM");
    let (status, said) = server.wait_exit();
    assert!(status.success(), "{said}");
    assert!(said.contains("Server Exiting"), "{said}");
}

#[test]
fn a_profile_without_io_uring_is_named_as_the_reason() {
    become_server();
    let test = "seccomp::a_profile_without_io_uring_is_named_as_the_reason";
    let (status, said) = server_under("without io_uring", test).wait_exit();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("io_uring is forbidden for this process (EPERM)"), "{said}");
    assert!(said.contains("seccomp profile") && said.contains("docs/tuning.md"), "{said}");
    assert!(!said.contains("Listening for client connections"), "{said}");
}

#[test]
fn the_profile_is_one_that_container_engines_read() {
    let profile = profile();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let mut seen = BTreeMap::new();
    for (at, group) in profile["syscalls"].as_array().unwrap().iter().enumerate() {
        assert_eq!(group["action"], "SCMP_ACT_ALLOW");
        assert!(!group["comment"].as_str().unwrap().is_empty());
        for name in group["names"].as_array().unwrap() {
            let first = seen.insert(name.as_str().unwrap(), at);
            assert_eq!(first, None, "{name} stands twice");
        }
    }
    for name in IO_URING {
        assert!(seen.contains_key(name));
    }
    for name in ["ptrace", "mount", "bpf", "init_module", "kexec_load", "unshare", "setns"] {
        assert!(!seen.contains_key(name), "{name} is nothing the server needs");
    }
}
