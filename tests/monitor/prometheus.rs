//! Goal: every query of the dashboard has an answer. Method: a real Prometheus
//! scrapes a real broker that has had all that the dashboard shows: traffic
//! between two shards and a slow consumer. Without Prometheus on this machine
//! the test is skipped; `tests/run` installs it.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Raw, PATIENCE};
use crate::http::{Answer, Monitored};

const DASHBOARD: &str = include_str!("../../tuning/grafana-midge.json");

struct Prometheus {
    child: Child,
    port: u16,
    _data: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Prometheus {
    fn start(target: &str) -> Option<Self> {
        let data = tempfile::tempdir().unwrap();
        let config = data.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 250ms, scrape_timeout: 250ms }}\nscrape_configs:\n  \
             - job_name: midge\n    static_configs: [ {{ targets: [ '{target}' ] }} ]\n"
        );
        std::fs::write(&config, text).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Some(Self { child: child.ok()?, port, _data: data })
    }

    /// The series that a query finds now; none while there is no answer.
    fn series(&self, query: &str) -> usize {
        let mut escaped = String::new();
        for byte in query.bytes() {
            let _infallible = write!(escaped, "%{byte:02X}");
        }
        let request = format!(
            "GET /api/v1/query?query={escaped} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        let Some(text) = self.ask(&request) else { return 0 };
        let answer: Value = serde_json::from_str(&text.body).unwrap_or_default();
        assert_ne!(answer["status"], "error", "{query}: {answer}");
        answer["data"]["result"].as_array().map_or(0, Vec::len)
    }

    fn ask(&self, request: &str) -> Option<Answer> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.contains("\r\n\r\n").then(|| Answer::parse(&text))
    }
}

/// All queries, as Grafana would send them.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets
        .map(|target| {
            let query = target["expr"].as_str().unwrap();
            query.replace("$__rate_interval", "5s").replace("$instance", ".+")
        })
        .collect()
}

#[test]
fn every_query_of_the_dashboard_returns_series() {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), "max_pending: 1MB\nmax_payload: 500KB\nshards: 2\n").unwrap();
    if !Monitored::start(&[]).is_midge() {
        return;
    }
    let monitored = Monitored::start(&["-c", config.path().to_str().unwrap()]);
    let Some(prometheus) = Prometheus::start(&monitored.address.to_string()) else {
        eprintln!("skipped: there is no prometheus on this machine");
        return;
    };
    let mut slow = Raw::open_with(&monitored.broker, r#"{"verbose":false,"name":"sloth"}"#);
    slow.send("SUB flood 1\r\n");
    slow.fence();
    let mut reader = Raw::open(&monitored.broker);
    reader.send("SUB flow 1\r\n");
    reader.fence();
    let mut publisher = Raw::open(&monitored.broker);
    let payload = vec![b'x'; 400_000];
    let limit = Instant::now() + 2 * PATIENCE;
    let mut missing = queries();
    assert!(missing.len() > 30);
    while !missing.is_empty() {
        if monitored.json("/varz")["slow_consumers"] == 0 {
            publisher.publish("flood", &payload);
        }
        publisher.publish("flow", "x");
        publisher.fence();
        assert_eq!(reader.message().payload, b"x");
        missing.retain(|query| prometheus.series(query) == 0);
        assert!(Instant::now() < limit, "no series for {missing:#?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
