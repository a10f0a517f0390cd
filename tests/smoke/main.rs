//! Goal: clients in other languages work, unmodified. Method: their smoke
//! scripts, run against a broker of their own, with the client installed from
//! its registry at a pinned version into the target folder. Where the language
//! or the registry is missing, the test says that it was skipped and passes,
//! unless `SMOKE_REQUIRED=1`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may panic, block and touch files"
)]
#![allow(dead_code, unused_imports, reason = "the harness serves other tests too")]

#[path = "../common/mod.rs"]
mod common;

mod stage;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use common::Broker;
use stage::Stage;

/// Where the scripts lie.
const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smoke");

/// Where the clients are installed.
const TARGET: &str = env!("CARGO_TARGET_TMPDIR");

/// What a browser may take for all it does.
const BROWSER_TIME: Duration = Duration::from_secs(120);

/// Runs a command; what it said, if it cannot be run or fails.
fn run(command: &mut Command) -> Result<String, String> {
    let out = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if out.status.success() {
        Ok(text)
    } else {
        Err(format!("{command:?}: {}\n{text}", out.status))
    }
}

fn skip(what: &str, why: &str) {
    let required = std::env::var("SMOKE_REQUIRED").as_deref() == Ok("1");
    assert!(!required, "{what} cannot run, and SMOKE_REQUIRED=1: {why}");
    eprintln!("\n*** SKIPPED: {what} did not run: {why}\n");
}

/// A virtual environment that holds the client, made once.
fn python() -> Result<PathBuf, String> {
    let _alone = MAKING.lock();
    let venv = Path::new(TARGET).join("smoke-python");
    let python = venv.join("bin/python");
    let requirements = format!("{HERE}/requirements.txt");
    if run(Command::new(&python).args(["-c", "import nats"])).is_err() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    }
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r", &requirements]))?;
    Ok(python)
}

/// A folder with the script and, beside it, the client.
fn node() -> Result<PathBuf, String> {
    let _alone = MAKING.lock();
    let folder = Path::new(TARGET).join("smoke-node");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for file in ["package.json", "package-lock.json", "smoke.js", "scenarios.js"] {
        let source = format!("{HERE}/node/{file}");
        std::fs::copy(source, folder.join(file)).map_err(|error| error.to_string())?;
    }
    run(Command::new("node").arg("--version"))?;
    if run(Command::new("npm").arg("ls").current_dir(&folder)).is_err() {
        run(Command::new("npm").arg("ci").current_dir(&folder))?;
    }
    Ok(folder)
}

/// The tools of both tests of a language, made by one of them while the other waits.
static MAKING: Mutex<()> = Mutex::new(());

fn smoke(program: &Path, script: &Path) {
    let broker = Broker::start(&[]);
    judge(Command::new(program).arg(script).arg(broker.url()));
}

fn judge(command: &mut Command) {
    match run(command) {
        Ok(text) => eprintln!("{text}"),
        Err(text) => panic!("{text}"),
    }
}

#[test]
fn the_python_client_works() {
    match python() {
        Ok(python) => smoke(&python, &Path::new(HERE).join("nats_py.py")),
        Err(why) => skip("the smoke test of the Python client", &why),
    }
}

/// A broker for clients over WebSocket, and its URL for them.
fn over_websocket(more: &str) -> (Broker, String) {
    let text = format!("websocket {{ listen: \"127.0.0.1:-1\", no_tls: true, {more} }}");
    let broker = common::config(&text);
    let line = broker.wait_log("Listening for websocket clients on ");
    let url = line.rsplit_once(" on ").expect("a URL in the log").1.to_owned();
    (broker, url)
}

#[test]
fn the_javascript_client_works_over_websocket() {
    const FLAG: &str = "--experimental-websocket";
    let what = "the smoke test of the JavaScript client over WebSocket";
    if let Err(why) = run(Command::new("node").args([FLAG, "-e", "WebSocket"])) {
        return skip(what, &why);
    }
    match node() {
        Ok(folder) => {
            let script = folder.join("smoke.js");
            for more in ["", "compression: true"] {
                let (_broker, url) = over_websocket(more);
                judge(Command::new("node").arg(FLAG).arg(&script).arg(url));
            }
        }
        Err(why) => skip(what, &why),
    }
}

#[test]
fn a_browser_works() {
    let what = "the test with a headless browser";
    let found = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| run(Command::new(name).arg("--version")).is_ok());
    let Some(browser) = found else {
        return skip(what, "there is no chromium (Debian's package `chromium`)");
    };
    let (broker, url) = over_websocket("compression: true");
    let mut watcher = broker.dial();
    // A browser takes its time to start.
    watcher.set_read_timeout(Some(BROWSER_TIME)).expect("a read timeout");
    let subscribe = b"CONNECT {\"verbose\":false}\r\nSUB browser.says 1\r\nPING\r\n";
    watcher.write_all(subscribe).expect("the broker takes the bytes");
    let profile = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{HERE}/browser.html?{url}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the browser starts");
    let mut lines = BufReader::new(watcher).lines();
    let said = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with("MSG "));
    let said = said.and_then(|_| lines.next()).map(|line| line.expect("the message"));
    // It may have ended by itself.
    child.kill().ok();
    child.wait().expect("the browser can be waited for");
    assert_eq!(said.as_deref(), Some("ok"));
}

#[test]
fn the_javascript_client_works() {
    match node() {
        Ok(folder) => smoke(Path::new("node"), &folder.join("smoke.js")),
        Err(why) => skip("the smoke test of the JavaScript client", &why),
    }
}

/// Goal: the examples of the documentation do what they say. Method: each is a program that fails if
/// it does not; all of them run against one broker, one after the other.
#[test]
fn the_examples_work() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return skip("the examples", &why),
    };
    let store = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(&["-js", "-sd", store.path().to_str().expect("a UTF-8 path")]);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples");
    let files = std::fs::read_dir(folder).expect("the examples are there");
    let mut scripts: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "py"));
    scripts.sort();
    assert!(scripts.len() >= 5, "{scripts:?}");
    for script in scripts {
        match run(Command::new(&python).arg(&script).arg(broker.url())) {
            Ok(text) => eprintln!("{}\n{text}", script.display()),
            Err(text) => panic!("{text}"),
        }
    }
}

fn play(program: &Path, script: &Path) {
    match Stage::play(Command::new(program).arg(script)) {
        Ok(text) => eprintln!("{text}"),
        Err(text) => panic!("{text}"),
    }
}

#[test]
fn the_python_client_gets_through_a_brokers_life() {
    match python() {
        Ok(python) => play(&python, &Path::new(HERE).join("scenarios.py")),
        Err(why) => skip("the scenarios of the Python client", &why),
    }
}

#[test]
fn the_javascript_client_gets_through_a_brokers_life() {
    match node() {
        Ok(folder) => play(Path::new("node"), &folder.join("scenarios.js")),
        Err(why) => skip("the scenarios of the JavaScript client", &why),
    }
}
