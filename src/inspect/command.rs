//! The words behind `midge store`, and one run.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::config::{parse_command_line, Exit, Invocation, Options};
use crate::host;
use crate::store::{
    check, Cipher, Damage, RealDisk, Report, StoreKey, StoreOptions, StreamReport, Vault,
};

/// What `midge store --help` prints.
const HELP: &str = "
Usage: midge store check [<dir>] [server options]

Verifies a store that no server has open, and names what is damaged: every commit of the journal
that still counts, every state, index and segment, every message. Changes nothing.

<dir> is a store directory as the server has it (-sd, store_dir), or what lies below it. Without
it the server options say where the store is, such as -c <file>. The key of an encrypted store is
taken from there in any case.

Exit status: 0 if everything is as it was written, 1 if something is damaged, 2 if the store
cannot be verified.

";

/// Lines of damage that one stream gets before the rest is counted.
const LINES_MAX: usize = 100;

/// Why a store cannot be verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("no such command; there is `midge store check`")]
    Command,
    #[error("{0}: no store of this server lies here")]
    NoStore(String),
    #[error("{0}: a server has it open")]
    Taken(String),
    #[error("{path}: {reason}")]
    System { path: String, reason: String },
}

/// Runs `midge store`; `words` are those behind it.
pub fn run(words: Vec<OsString>) -> Exit {
    if words.iter().any(|word| ["-h", "-help", "--help"].iter().any(|help| word == help)) {
        return Exit::success(HELP);
    }
    let mut words = words.into_iter().peekable();
    if words.next().is_none_or(|word| word != "check") {
        return failure(&Problem::Command);
    }
    let is_dir = |word: &OsString| !word.as_encoded_bytes().starts_with(b"-");
    let dir = words.next_if(is_dir).map(PathBuf::from);
    let options = std::iter::once(OsString::from("midge")).chain(words);
    match parse_command_line(options) {
        Invocation::Run { options, warnings } => {
            let mut exit = verify(dir, &options).unwrap_or_else(|problem| failure(&problem));
            exit.stderr.insert_str(0, &warnings);
            exit
        }
        Invocation::Exit(exit) => Exit { status: 2, ..exit },
    }
}

fn failure(problem: &Problem) -> Exit {
    Exit { stdout: String::new(), stderr: format!("midge store: {problem}\n"), status: 2 }
}

fn verify(dir: Option<PathBuf>, options: &Options) -> Result<Exit, Problem> {
    let asked = dir
        .or_else(|| options.store_dir.clone())
        .unwrap_or_else(|| std::env::temp_dir().join("nats"));
    let path = find_store(&asked)?;
    let shown = path.display().to_string();
    let disk = RealDisk::read_only(path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Problem::Taken(shown.clone()),
        _ => Problem::System { path: shown.clone(), reason: host::go_error_text(&error) },
    })?;
    let vault = Vault::open_to_read(&disk, key(options).as_ref())
        .map_err(|error| Problem::System { path: shown.clone(), reason: error.to_string() })?;
    let store = StoreOptions { vault, ..StoreOptions::default() };
    let report = check(Arc::new(disk), store)
        .map_err(|error| Problem::System { path: shown.clone(), reason: error.to_string() })?;
    let status = u8::from(!report.is_intact());
    Ok(Exit { stdout: text(&shown, &report), stderr: String::new(), status })
}

/// What the store is encrypted with, as the server options say.
fn key(options: &Options) -> Option<StoreKey> {
    let jetstream = &options.jetstream;
    let cipher = Cipher::default();
    let previous = jetstream.previous_key.clone();
    jetstream.key.clone().map(|key| StoreKey { cipher, key, previous })
}

/// The store at or below `asked`.
fn find_store(asked: &Path) -> Result<PathBuf, Problem> {
    let places = [asked.join("jetstream").join("midge"), asked.join("midge"), asked.to_owned()];
    let is_store =
        |place: &PathBuf| place.join("journal").is_dir() && place.join("streams").is_dir();
    places.into_iter().find(is_store).ok_or_else(|| Problem::NoStore(asked.display().to_string()))
}

/// What a report says, a line for each thing.
fn text(path: &str, report: &Report) -> String {
    let mut out = String::new();
    let messages: u64 = report.streams.iter().map(|stream| stream.messages).sum();
    let _infallible = writeln!(
        out,
        "{path}: {} streams, {messages} messages, {} commits in the journal",
        report.streams.len(),
        report.commits
    );
    lines(&mut out, &report.damage);
    for stream in &report.streams {
        let (first, last) = stream.ends;
        let _infallible = writeln!(
            out,
            "{}: {} messages, {first} to {last}, {} segments: {}",
            name(stream),
            stream.messages,
            stream.segments,
            if stream.damage.is_empty() { "ok" } else { "damaged" }
        );
        lines(&mut out, &stream.damage);
    }
    out.push_str(if report.is_intact() { "ok\n" } else { "damaged\n" });
    out
}

fn lines(out: &mut String, damage: &[Damage]) {
    for damage in damage.iter().take(LINES_MAX) {
        let _infallible = writeln!(out, "  {damage}");
    }
    if let Some(more) = damage.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
        let _infallible = writeln!(out, "  and {more} more");
    }
}

/// What a stream's owner calls it; its number counts if that cannot be read.
fn name(stream: &StreamReport) -> String {
    #[derive(Deserialize)]
    struct Head {
        account: String,
        config: Config,
    }
    #[derive(Deserialize)]
    struct Config {
        name: String,
    }
    match serde_json::from_slice::<Head>(&stream.head) {
        Ok(head) => {
            format!("stream {} ({} in {})", stream.id, head.config.name, head.account)
        }
        Err(_) => format!("stream {} (without a name)", stream.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_a_store_cannot_be_verified() {
        let dir = tempfile::tempdir().unwrap();
        let exit = run(vec!["check".into(), dir.path().into()]);
        assert_eq!(exit.status, 2);
        assert!(exit.stderr.contains("no store of this server"), "{exit:?}");
        assert_eq!(run(vec!["chek".into()]).status, 2);
        assert_eq!(run(vec!["--help".into()]).status, 0);
    }

    #[test]
    fn damage_is_told_below_its_stream() {
        let head = br#"{"account":"$G","created":1,"config":{"name":"ORDERS"}}"#;
        let damage = Damage::Messages { stream: 3, first: 7, last: 9 };
        let stream = StreamReport {
            id: 3,
            head: head.as_slice().into(),
            messages: 10,
            ends: (1, 10),
            segments: 1,
            damage: vec![damage; 102],
        };
        let report = Report { streams: vec![stream], ..Report::default() };
        let text = text("dir", &report);
        let start = "dir: 1 streams, 10 messages, 0 commits in the journal\n\
                     stream 3 (ORDERS in $G): 10 messages, 1 to 10, 1 segments: damaged\n  \
                     stream 3: messages 7 to 9 are lost\n";
        assert!(text.starts_with(start), "{text}");
        assert!(text.ends_with("  and 2 more\ndamaged\n"), "{text}");
    }
}
