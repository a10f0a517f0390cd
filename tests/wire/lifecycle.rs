//! Goal: the process starts, listens, and ends as test suites and supervisors
//! of nats-server expect. Method: flags, signals, exit codes and log lines.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Broker, Raw, PATIENCE};

#[test]
fn port_minus_one_is_any_free_port_and_is_told() {
    let one = Broker::start(&[]);
    let two = Broker::start(&[]);
    assert_ne!(one.port(), two.port());
    for broker in [&one, &two] {
        assert_eq!(Raw::connect(broker).info()["port"], broker.port());
    }
}

#[test]
fn a_flag_takes_its_value_after_a_blank_or_an_equals_sign() {
    for args in [
        ["--addr=127.0.0.1", "--port=-1", "--debug"],
        ["-a=127.0.0.1", "-p=-1", "-D"],
        ["-addr=127.0.0.1", "-port=-1", "-debug"],
        ["--net=127.0.0.1", "-p=-1", "-V=false"],
    ] {
        let broker = Broker::start_with(&args);
        assert_eq!(broker.host(), "127.0.0.1");
        Raw::open(&broker).fence();
    }
}

#[test]
fn it_listens_on_ipv6() {
    let broker = Broker::start_with(&["-a", "::1", "-p", "-1"]);
    let listening = broker.wait_log("Listening for client connections");
    assert!(listening.contains(&format!("on [::1]:{}", broker.port())), "{listening}");
    let raw = Raw::connect(&broker);
    assert_eq!(raw.info()["host"], "::1");
    assert_eq!(raw.info()["client_ip"], "::1");
}

#[test]
fn log_lines_carry_their_level() {
    let broker = Broker::start(&[]);
    for text in ["Listening for client connections on", "Server is ready"] {
        let line = broker.wait_log(text);
        assert!(line.contains(&format!("[INF] {text}")), "{line}");
        assert!(line.starts_with(&format!("[{}] ", broker.pid())), "{line}");
    }
    let log = broker.log();
    let place = |text: &str| log.find(text).unwrap();
    assert!(place("Listening for client connections") < place("Server is ready"));
}

#[test]
fn a_taken_port_ends_the_process_at_once() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let mut broker = Broker::spawn(&["-a", "127.0.0.1", "-p", &port]);
    let status = broker.wait_exit(Duration::from_secs(2));
    assert_eq!(status.code(), Some(1));
    let log = broker.log();
    let text = format!("[FTL] Error listening on port: 127.0.0.1:{port}, \"");
    assert!(log.contains(&text) && log.contains("address already in use\""), "{log}");
    assert!(!log.contains("Server is ready"), "{log}");
}

#[test]
fn an_address_of_another_machine_ends_the_process_at_once() {
    let mut broker = Broker::spawn(&["-a", "192.0.2.1", "-p", "-1"]);
    let status = broker.wait_exit(Duration::from_secs(2));
    assert_eq!(status.code(), Some(1));
    assert!(broker.log().contains("[FTL] Error listening on port: "), "{}", broker.log());
}

#[test]
fn a_port_is_free_again_at_once() {
    let mut broker = Broker::start(&[]);
    let port = broker.port().to_string();
    for signal in ["KILL", "TERM", "INT"] {
        let mut clients: Vec<Raw> = (0..5).map(|_| Raw::open(&broker)).collect();
        broker.signal(signal);
        for client in &mut clients {
            client.expect_eof();
        }
        broker.wait_exit(Duration::from_secs(5));
        broker = Broker::start_with(&["-a", "127.0.0.1", "-p", &port]);
        assert_eq!(broker.port().to_string(), port);
    }
}

#[test]
fn term_and_int_end_it_with_0_and_clients_see_the_plain_end() {
    for signal in ["TERM", "INT"] {
        let mut broker = Broker::start(&[]);
        let mut clients: Vec<Raw> = (0..20).map(|_| Raw::open(&broker)).collect();
        let mut fresh = Raw::connect(&broker);
        broker.signal(signal);
        for client in &mut clients {
            client.expect_eof();
        }
        fresh.expect_eof();
        let status = broker.wait_exit(Duration::from_secs(5));
        assert_eq!((status.code(), status.signal()), (Some(0), None), "{signal}");
    }
}

#[test]
fn lame_duck_without_clients_ends_at_once_with_0() {
    let mut broker = Broker::start(&[]);
    broker.signal("USR2");
    let status = broker.wait_exit(Duration::from_secs(5));
    assert_eq!(status.code(), Some(0));
    assert!(broker.log().contains("Entering lame duck mode, stop accepting new clients"));
}

#[test]
fn lame_duck_tells_clients_and_refuses_new_ones() {
    let mut broker = Broker::start(&[]);
    let mut old = Raw::open(&broker);
    let mut new = Raw::connect(&broker);
    new.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    new.expect_exact("PONG\r\n");
    new.expect_info();
    old.send("SUB a 1\r\n");
    old.fence();

    broker.signal("USR2");
    let info = new.expect_info();
    assert_eq!(info["ldm"], true);
    assert!(TcpStream::connect(broker.address()).is_err());
    // Who is in goes on working, and an old client hears nothing.
    new.publish("a", "still here");
    new.fence();
    old.expect_exact("MSG a 1 10\r\nstill here\r\n");
    old.fence();

    // TERM does not hurry it, INT does.
    broker.signal("TERM");
    new.fence();
    old.fence();
    broker.signal("INT");
    new.expect_eof();
    old.expect_eof();
    assert_eq!(broker.wait_exit(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn lame_duck_closes_who_stays_after_the_grace_period() {
    let mut broker = Broker::start(&[]);
    let mut clients: Vec<Raw> = (0..3).map(|_| Raw::open(&broker)).collect();
    let started = Instant::now();
    broker.signal("USR2");
    for client in &mut clients {
        client.expect_eof();
    }
    let waited = started.elapsed();
    assert!(waited > Duration::from_secs(9), "{waited:?}");
    assert!(waited < PATIENCE, "{waited:?}");
    assert_eq!(broker.wait_exit(Duration::from_secs(5)).code(), Some(0));
    assert!(broker.log().contains("Closing existing clients"), "{}", broker.log());
}

/// Runs the binary to its end: standard output, standard error, exit code.
fn run(args: &[&str]) -> (String, String, Option<i32>) {
    let mut command = Command::new(Broker::binary());
    let child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id().to_string();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output().unwrap()).unwrap());
    let Ok(out) = receiver.recv_timeout(PATIENCE) else {
        Command::new("kill").args(["-s", "KILL", &pid]).status().unwrap();
        panic!("{args:?} does not end");
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(out.stdout), text(out.stderr), out.status.code())
}

#[test]
fn version_is_that_of_the_server_it_is_compatible_with() {
    for flag in ["-v", "--version", "-version"] {
        let (out, _, code) = run(&[flag]);
        assert_eq!(code, Some(0));
        // Lines of the broker's own may follow.
        let version = out.lines().next().unwrap().strip_prefix("nats-server: v").unwrap();
        assert!(version.starts_with("2.15."), "{out}");
    }
}

#[test]
fn the_version_in_info_is_that_of_the_command_line() {
    let broker = Broker::start(&[]);
    let version = Raw::connect(&broker).info()["version"].as_str().unwrap().to_owned();
    let first = format!("nats-server: v{version}\n");
    assert!(run(&["--version"]).0.starts_with(&first));
}

#[test]
fn a_missing_configuration_file_is_named() {
    let (_, err, code) = run(&["-c", "/nonexistent/broker.conf"]);
    assert_eq!(code, Some(1));
    let text = "nats-server: open /nonexistent/broker.conf: no such file or directory";
    assert!(err.contains(text), "{err}");
}

#[test]
fn a_store_directory_is_taken_and_not_created_without_jetstream() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let broker = Broker::start(&["-sd", store.to_str().unwrap()]);
    Raw::open(&broker).fence();
    assert!(!store.exists());
}

#[test]
fn hang_up_is_survived() {
    let mut broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    broker.signal("HUP");
    raw.fence();
    assert!(broker.is_running());
}

#[test]
fn a_pid_file_holds_the_process_id() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pid");
    let broker = Broker::start(&["-P", path.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), broker.pid().to_string());
}

#[test]
fn it_ends_promptly_with_hundreds_of_connections() {
    let mut broker = Broker::start(&[]);
    let mut clients: Vec<Raw> = (0..400).map(|_| Raw::connect(&broker)).collect();
    for client in &mut clients {
        client.send("CONNECT {\"verbose\":false}\r\nSUB a 1\r\n");
    }
    for client in &mut clients {
        client.fence();
    }
    broker.signal("TERM");
    assert_eq!(broker.wait_exit(Duration::from_secs(5)).code(), Some(0));
    for client in &mut clients {
        client.expect_eof();
    }
}
