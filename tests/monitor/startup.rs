//! Goal: harnesses that start the broker find its monitoring port.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;

use crate::common::{Broker, Raw, PATIENCE};
use crate::http::Monitored;

#[test]
fn the_ports_file_names_the_listeners_while_the_server_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let mut monitored = Monitored::start(&["--ports_file_dir", path]);
    let limit = std::time::Instant::now() + PATIENCE;
    let file = loop {
        let mut entries = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        if let Some(file) = entries.find(|path| path.extension().is_some_and(|e| e == "ports")) {
            break file;
        }
        assert!(std::time::Instant::now() < limit, "no ports file");
        std::thread::yield_now();
    };
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.ends_with(&format!("_{}.ports", monitored.broker.pid())), "{name}");
    let content = std::fs::read_to_string(&file).unwrap();
    let expected = format!(
        r#"{{"nats":["{}"],"monitoring":["http://{}"]}}"#,
        monitored.broker.url(),
        monitored.address
    );
    assert_eq!(content, expected);
    monitored.broker.signal("TERM");
    assert!(monitored.broker.wait_exit(PATIENCE).success());
    assert!(!file.exists());
}

#[test]
fn a_directory_that_is_not_there_is_told_and_no_more() {
    let monitored = Monitored::start(&["--ports_file_dir", "no-such-directory"]);
    let line = monitored.broker.wait_log("Error writing ports file");
    assert!(line.contains("no such file or directory"), "{line}");
    assert_eq!(monitored.get("/healthz").status, 200);
}

#[test]
fn a_port_that_is_taken_stops_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut broker = Broker::spawn(&["-a", "127.0.0.1", "-p", "-1", "-m", &port]);
    let status = broker.wait_exit(Duration::from_secs(10));
    assert_eq!(status.code(), Some(1));
    let expected = format!(
        "[FTL] Can't start monitoring: can't listen to the monitor port: listen tcp \
         127.0.0.1:{port}: bind: address already in use"
    );
    assert!(broker.log().contains(&expected), "{}", broker.log());
}

#[test]
fn a_configuration_says_where_and_under_which_path() {
    let config = tempfile::NamedTempFile::new().unwrap();
    let text = "http: \"127.0.0.1:-1\"\nhttp_base_path: \"/nats\"\nserver_tags: [A, \"b:c\"]\n\
        server_metadata { k: v }\nmax_subscriptions: 10\nclient_advertise: \"example.com:5555\"\n\
        server_name: named\n";
    std::fs::write(config.path(), text).unwrap();
    let broker = Broker::start(&["-c", config.path().to_str().unwrap()]);
    let line = broker.wait_log("Starting http monitor on ");
    let address = line.rsplit_once(" on ").unwrap().1.trim().parse().unwrap();
    let monitored = Monitored { broker, address };
    let varz = monitored.json("/nats/varz");
    assert_eq!(varz["http_base_path"], "/nats");
    assert_eq!((&varz["host"], &varz["port"]), (&"example.com".into(), &5555.into()));
    assert_eq!(varz["tags"], serde_json::json!(["a", "b:c"]));
    assert_eq!(varz["metadata"], serde_json::json!({"k": "v"}));
    assert_eq!(varz["max_subscriptions"], 10);
    assert_eq!(varz["server_name"], "named");
    assert!(varz["config_digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(varz["http_req_stats"], serde_json::json!({"/varz": 1}));
    assert_eq!(monitored.get("/varz").status, 404);
    assert_eq!(monitored.get("/nats").status, 200);
    assert_eq!(monitored.get("/nats/").status, 404);
}

/// Lines of the protocol say whose they are.
#[test]
fn trace_lines_name_the_client() {
    let monitored = Monitored::start(&["-DV"]);
    let connect =
        r#"{"verbose":false,"name":"c1","lang":"go","version":"1.2","user":"u","pass":"p"}"#;
    let mut client = Raw::open_with(&monitored.broker, connect);
    client.send("SUB foo 1\r\n");
    client.fence();
    let line = monitored.broker.wait_log("<<- [SUB foo 1]");
    assert!(line.contains(r#" - "v1.2:go:c1" - "$G/user:u" - <<- [SUB foo 1]"#), "{line}");
    let line = monitored.broker.wait_log("<<- [CONNECT");
    let connect = line.split("cid:").nth(1).unwrap().split_once(" - ").unwrap().1;
    assert!(connect.starts_with("<<- [CONNECT "), "{line}");
}

#[test]
fn the_page_of_variables_shows_no_secret() {
    let monitored = Monitored::start(&["--user", "ada", "--pass", "hush-hush"]);
    let page: Value = serde_json::from_str(&monitored.get("/debug/vars").body).unwrap();
    assert!(page["cmdline"].is_array() && page["memstats"].is_object());
    if monitored.is_midge() {
        assert!(!page.to_string().contains("hush-hush"));
    }
}
