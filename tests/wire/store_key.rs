//! A store that is encrypted, through a real broker.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::{config as start, Broker, Raw};
use crate::store_check::files;

fn config(dir: &Path, keys: &str) -> String {
    format!("jetstream {{\n store_dir: \"{}\"\n {keys}\n}}\n", dir.display())
}

/// Whether any file below has these words.
fn has_words(dir: &Path, words: &str) -> bool {
    files(dir).iter().any(|path| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(words.len()).any(|window| window == words.as_bytes())
    })
}

fn stop(mut broker: Broker) {
    broker.signal("TERM");
    broker.wait_exit(Duration::from_secs(10));
}

/// A start that fails says why.
fn refused(text: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let mut broker =
        Broker::spawn(&["-a", "127.0.0.1", "-p", "-1", "-c", file.path().to_str().unwrap()]);
    assert!(!broker.wait_exit(Duration::from_secs(10)).success());
    broker.log()
}

#[test]
fn a_store_with_a_key_has_no_plain_text_and_opens_with_that_key_only() {
    let dir = tempfile::tempdir().unwrap();
    let first = config(dir.path(), "key: one, cipher: aes");
    let broker = start(&first);
    broker.wait_log("Encryption:      AES-GCM");
    let mut client = Raw::open(&broker);
    client.send("SUB in 1\r\n");
    let stream = r#"{"name":"HIDDEN","subjects":["quiet.>"]}"#;
    client.send(format!("PUB $JS.API.STREAM.CREATE.HIDDEN in {}\r\n{stream}\r\n", stream.len()));
    assert!(client.message().payload.starts_with(b"{\"type\":\"io.nats.jetstream.api.v1.stream"));
    for number in 0..10 {
        client.send(format!("PUB quiet.{number} in 14\r\nnobody-sees-it\r\n"));
        assert!(client.message().payload.starts_with(b"{\"stream\":\"HIDDEN\""));
    }
    stop(broker);
    for words in ["nobody-sees-it", "quiet.", "HIDDEN"] {
        assert!(!has_words(dir.path(), words), "{words}");
    }

    let wrong = refused(&config(dir.path(), "key: two"));
    assert!(wrong.contains("unable to recover keys"), "{wrong}");
    let none = refused(&config(dir.path(), ""));
    assert!(none.contains("encryption not enabled"), "{none}");

    let second = config(dir.path(), "key: two, prev_key: one");
    let broker = start(&second);
    let mut client = Raw::open(&broker);
    client.send("SUB in 1\r\nPUB $JS.API.STREAM.MSG.GET.HIDDEN in 9\r\n{\"seq\":3}\r\n");
    let answer = String::from_utf8(client.message().payload).unwrap();
    assert!(answer.contains("\"subject\":\"quiet.2\""), "{answer}");
    stop(broker);
    assert!(refused(&first).contains("unable to recover keys"));
    stop(start(&config(dir.path(), "key: two")));

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config(dir.path(), "key: two")).unwrap();
    let check = |args: &[&str]| {
        Command::new(Broker::binary()).args(["store", "check"]).args(args).output().unwrap()
    };
    let checked = check(&["-c", file.path().to_str().unwrap()]);
    let text = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(0), "{text}");
    assert!(text.contains("(HIDDEN in $G): 10 messages"), "{text}");
    let closed = check(&[dir.path().to_str().unwrap()]);
    assert_eq!(closed.status.code(), Some(2));
}
