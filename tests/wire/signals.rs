//! Goal: `--signal` does what it says, to the process it is told. Method: the same binary as a
//! command, by a process id and by a pid file; asked of nats-server.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use crate::common::{config, Broker, Raw, PATIENCE};

/// What the command says, and its status.
fn signal(expression: &str) -> (String, Option<i32>) {
    let run = Command::new(Broker::binary()).args(["--signal", expression]).output().unwrap();
    (String::from_utf8_lossy(&run.stderr).into_owned(), run.status.code())
}

fn sent(command: &str, broker: &Broker) {
    let (said, status) = signal(&format!("{command}={}", broker.pid()));
    assert_eq!((said.as_str(), status), ("", Some(0)), "{command}");
}

#[test]
fn reload_takes_the_file_anew() {
    let broker = config("max_payload: 100");
    broker.rewrite_config("max_payload: 50");
    sent("reload", &broker);
    broker.wait_log("Trapped \"hangup\" signal");
    broker.wait_log("Reloaded: max_payload = 50");
    let mut raw = Raw::connect(&broker);
    assert_eq!(raw.info()["max_payload"], 50);
    raw.send("CONNECT {\"verbose\":false}\r\n");
    raw.fence();
}

#[test]
fn reopen_opens_the_log_file_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, aside) = (folder.path().join("log"), folder.path().join("log.1"));
    let pid = folder.path().join("pid");
    let args =
        ["-a", "127.0.0.1", "-p", "-1", "-l", path.to_str().unwrap(), "-P", pid.to_str().unwrap()];
    let mut broker = Broker::spawn(&args);
    let wait = |what: &str| {
        let limit = std::time::Instant::now() + PATIENCE;
        while !std::fs::read_to_string(&path).unwrap_or_default().contains(what) {
            assert!(std::time::Instant::now() < limit, "no {what:?}");
            std::thread::yield_now();
        }
    };
    wait("Server is ready");
    std::fs::rename(&path, &aside).unwrap();
    // By the pid file this time.
    let (said, status) = signal(&format!("reopen={}", pid.display()));
    assert_eq!((said.as_str(), status), ("", Some(0)));
    wait("File log re-opened");
    sent("quit", &broker);
    assert_eq!(broker.wait_exit(PATIENCE).code(), Some(0));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("Trapped \"interrupt\" signal") && text.contains("Server Exiting.."),
        "{text}"
    );
}

#[test]
fn quit_and_term_end_in_good_order_and_stop_at_once() {
    for (command, code, number) in
        [("quit", Some(0), None), ("term", Some(0), None), ("stop", None, Some(9))]
    {
        let mut broker = Broker::start(&[]);
        let mut raw = Raw::open(&broker);
        sent(command, &broker);
        let status = broker.wait_exit(PATIENCE);
        assert_eq!((status.code(), status.signal()), (code, number), "{command}");
        raw.expect_eof();
    }
}

#[test]
fn ldm_tells_clients_and_ends_when_they_are_gone() {
    let mut broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    while raw.line() != "PONG" {}
    sent("ldm", &broker);
    while raw.expect_info()["ldm"] != true {}
    broker.wait_log("Entering lame duck mode, stop accepting new clients");
    // Everything but the way out is shut.
    assert!(std::net::TcpStream::connect(broker.address()).is_err());
    drop(raw);
    assert_eq!(broker.wait_exit(PATIENCE).code(), Some(0));
}

#[test]
fn what_cannot_be_signalled_is_told() {
    let broker = Broker::start(&[]);
    for (expression, said) in [
        (format!("nonsense={}", broker.pid()), "nats-server: unknown signal \"nonsense\"\n"),
        ("reload=abc".to_owned(), "nats-server: invalid pid: abc\n"),
        ("reload=1=2".to_owned(), "nats-server: invalid signal parameters: [2]\n"),
    ] {
        assert_eq!(signal(&expression), (said.to_owned(), Some(1)), "{expression}");
    }
    Raw::open(&broker).fence();
}
