//! Goal: a server that opens ports for other servers serves its clients, and nobody takes it for
//! one that could do more. Method: configurations and flags as test harnesses write them.

use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{config, Broker, Raw};

/// What a server says to a connection of another one, which it then closes.
fn told(broker: &Broker, before: &str) -> String {
    let line = broker.wait_log(before);
    let (_, address) = line.split_once(before).unwrap();
    let mut socket = TcpStream::connect(address.trim()).unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_port_for_leaf_nodes_is_opened_and_refuses() {
    let broker = config("leafnodes { listen: \"127.0.0.1:-1\" }");
    broker.wait_log("Connections of leaf nodes are not supported yet: they are refused");
    let text = told(&broker, "Listening for leafnode connections on ");
    assert_eq!(text, "-ERR 'leaf nodes are not supported yet'\r\n");
    broker.wait_log("leafnode refused: leaf nodes are not supported yet");
    let mut raw = Raw::open(&broker);
    assert_eq!(raw.info().get("cluster"), None);
    raw.fence();
}

#[test]
fn a_cluster_of_one_is_told_by_its_name() {
    for args in [
        &["--cluster", "nats://127.0.0.1:-1", "--cluster_name", "c1"][..],
        &["-cluster_listen=nats-route://u:p@127.0.0.1:-1", "-cluster_name=c1", "-no_advertise"],
    ] {
        let broker = Broker::start(args);
        broker.wait_log("Connections of routes are not supported yet");
        broker.wait_log("Cluster name is c1");
        let text = told(&broker, "Listening for route connections on ");
        assert_eq!(text, "-ERR 'routes are not supported yet'\r\n");
        assert_eq!(Raw::open(&broker).info()["cluster"], "c1");
    }
}

#[test]
fn a_cluster_without_a_name_gets_one() {
    let broker = config("cluster { port: -1, host: 127.0.0.1, pool_size: 3, no_advertise: true }");
    broker.wait_log("Cluster name was dynamically generated, consider setting one");
    let name = Raw::open(&broker).info()["cluster"].clone();
    assert_eq!(name.as_str().map(str::len), Some(22), "{name}");
}

#[test]
fn blocks_that_open_no_port_change_nothing() {
    for text in ["cluster {}", "leafnodes {}", "leafnodes { remotes: [] }\ncluster { routes = [] }"]
    {
        let broker = config(text);
        assert!(!broker.log().contains("not supported yet"));
        assert_eq!(Raw::open(&broker).info().get("cluster"), None);
    }
}

#[test]
fn what_needs_other_servers_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.conf");
    for (text, error) in [
        (
            "cluster { port: -1, routes: [\"nats://127.0.0.1:1\"] }",
            "option \"routes\" is not supported yet: it needs clustering",
        ),
        (
            "leafnodes { remotes: [ { url: \"nats://127.0.0.1:1\" } ] }",
            "option \"remotes\" is not supported yet: it needs leaf nodes",
        ),
        ("leafnodes { foo: 1 }", "unknown field \"foo\""),
        ("leafnodes: 7422", "Expected map to define a leafnode, got int64"),
        ("cluster { listen: x }", "could not parse address string \"x\""),
        ("cluster { name: \"a b\" }", "cluster name cannot contain spaces"),
    ] {
        std::fs::write(&path, text).unwrap();
        let (status, said) = ends(&path);
        assert!(!status && said.contains(error), "{text}: {said}");
    }
}

/// Whether a server with a configuration ends well, and what it says.
fn ends(path: &Path) -> (bool, String) {
    let output = std::process::Command::new(Broker::binary()).arg("-c").arg(path).output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

/// The ports file, which comes once all ports are open.
fn wait_for_file(folder: &Path) -> PathBuf {
    let limit = Instant::now() + Duration::from_secs(10);
    while Instant::now() < limit {
        let mut paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        if let Some(path) = paths.find(|path| path.extension().is_some_and(|end| end == "ports")) {
            return path;
        }
        std::thread::yield_now();
    }
    panic!("no ports file in {}", folder.display());
}

#[test]
fn monitoring_and_the_ports_file_tell_of_the_ports() {
    let folder = tempfile::tempdir().unwrap();
    let _broker = config(&format!(
        "ports_file_dir: {:?}\ncluster {{ listen: \"127.0.0.1:-1\", name: c }}\n\
         leafnodes {{ listen: \"127.0.0.1:-1\" }}\nhttp: \"127.0.0.1:-1\"",
        folder.path()
    ));
    let file = wait_for_file(folder.path());
    let ports: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let route = ports["cluster"][0].as_str().unwrap();
    let monitoring = ports["monitoring"][0].as_str().unwrap();
    let page = ureq::get(format!("{monitoring}/varz")).call().unwrap();
    let page: Value = serde_json::from_str(&page.into_body().read_to_string().unwrap()).unwrap();
    assert_eq!(page["cluster"]["name"], "c");
    assert_eq!(route, format!("nats://127.0.0.1:{}", page["cluster"]["cluster_port"]));
    assert_eq!(page["leaf"]["host"], "127.0.0.1");
    assert_eq!(page["leaf"]["auth_timeout"], 2);
}
