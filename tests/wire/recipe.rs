//! Goal: a new user who follows `docs/security.md` to the letter ends with what it promises.
//! Method: its commands and its configuration are taken out of the document and run in an empty
//! directory; then its table is tried with an unmodified client.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use async_nats::{Client, ConnectOptions};
use futures::StreamExt;

use crate::common::{Broker, PATIENCE};

/// The blocks of the document in a language.
fn blocks(language: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md");
    let text = std::fs::read_to_string(path).unwrap();
    let start = format!("```{language}\n");
    let pieces = text.split(&start).skip(1);
    pieces.map(|piece| piece.split("```").next().unwrap().to_owned()).collect()
}

/// Runs commands in a directory; `midge` is the broker under test.
fn shell(folder: &Path, commands: &str) {
    let path = format!("{}/bin:{}", folder.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-e", "-c", commands])
        .current_dir(folder)
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{commands}\n{}", String::from_utf8_lossy(&output.stderr));
}

struct Running {
    child: Child,
    port: u16,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Starts what the recipe has made, on a free port.
fn start(folder: &Path) -> Running {
    let command = "set -a; . ./secrets.env; exec bin/midge -c midge.conf -a 127.0.0.1 -p -1";
    let mut child = Command::new("sh")
        .args(["-e", "-c", command])
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut port = None;
    let mut log = Vec::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        if let Some((_, address)) = line.split_once("Listening for client connections on ") {
            port = address.rsplit(':').next().and_then(|port| port.parse().ok());
        }
        if line.contains("Server is ready") {
            break;
        }
        log.push(line);
    }
    // The rest is read on, so that the broker can write it.
    std::thread::spawn(move || lines.for_each(drop));
    let port = port.unwrap_or_else(|| panic!("it does not start:\n{}", log.join("\n")));
    Running { child, port }
}

fn options(folder: &Path, user: &str, password: &str) -> ConnectOptions {
    let of = |name: String| folder.join("pki").join(name);
    ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
        .add_root_certificates(of("ca.pem".to_owned()))
        .add_client_certificate(of(format!("{user}.pem")), of(format!("{user}.key")))
        .require_tls(true)
}

fn password(folder: &Path, user: &str) -> String {
    let secrets = std::fs::read_to_string(folder.join("secrets.env")).unwrap();
    let key = format!("{}_PASSWORD=", user.to_uppercase());
    secrets.lines().find_map(|line| line.strip_prefix(&key)).unwrap().to_owned()
}

async fn log_in(folder: &Path, port: u16, user: &str) -> Client {
    let url = format!("tls://localhost:{port}");
    options(folder, user, &password(folder, user)).connect(url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recipe_ends_where_it_promises() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("bin")).unwrap();
    std::os::unix::fs::symlink(Broker::binary(), folder.join("bin/midge")).unwrap();
    let configuration = blocks("conf");
    assert_eq!(configuration.len(), 1);
    std::fs::write(folder.join("midge.conf"), &configuration[0]).unwrap();
    let commands = blocks("sh");
    assert_eq!(commands.len(), 3);
    for commands in &commands {
        shell(folder, commands);
    }
    for secret in ["secrets.env", "pki/server.key", "pki/ca.key"] {
        let mode = std::fs::metadata(folder.join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{secret} is for its owner only");
    }
    let running = start(folder);
    let url = format!("tls://localhost:{}", running.port);

    let admin = log_in(folder, running.port, "admin").await;
    let mut logins = admin.subscribe("$SYS.ACCOUNT.*.CONNECT").await.unwrap();
    admin.flush().await.unwrap();

    let bare = ConnectOptions::with_user_and_password("orders".into(), password(folder, "orders"))
        .add_root_certificates(folder.join("pki/ca.pem"))
        .require_tls(true);
    assert!(bare.connect(&url).await.is_err(), "without a certificate");
    let wrong = options(folder, "orders", "guessed").connect(&url).await;
    assert!(wrong.unwrap_err().to_string().contains("authorization"), "with a wrong password");

    let billing = log_in(folder, running.port, "billing").await;
    let mut everything = billing.subscribe(">").await.unwrap();
    billing.flush().await.unwrap();
    let (errors, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let orders = options(folder, "orders", &password(folder, "orders"))
        .event_callback(move |event| {
            let _nobody_listens = errors.send(event.to_string());
            async {}
        })
        .connect(&url)
        .await
        .unwrap();
    let mut own = orders.subscribe("orders.*").await.unwrap();
    orders.publish("orders.new", "one".into()).await.unwrap();
    orders.publish("billing.new", "two".into()).await.unwrap();
    orders.flush().await.unwrap();
    let message = tokio::time::timeout(PATIENCE, own.next()).await.unwrap().unwrap();
    assert_eq!(message.payload, "one");
    loop {
        let event = tokio::time::timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
        if event.to_lowercase().contains("permissions violation for publish to \"billing.new\"") {
            break;
        }
    }
    // What another account published came before this, or never.
    billing.publish("own", "three".into()).await.unwrap();
    let message = tokio::time::timeout(PATIENCE, everything.next()).await.unwrap().unwrap();
    assert_eq!((message.subject.as_str(), &message.payload[..]), ("own", &b"three"[..]));

    for _ in ["billing", "orders"] {
        let event = tokio::time::timeout(PATIENCE, logins.next()).await.unwrap().unwrap();
        let event: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
        assert_eq!(event["client"]["host"], "127.0.0.1");
        let account = event["client"]["user"].as_str().unwrap().to_uppercase();
        assert_eq!(event["client"]["acc"], account);
    }
}
