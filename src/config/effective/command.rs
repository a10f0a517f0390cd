//! The words behind `midge config`, and what it prints.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

use super::super::file::System;
#[cfg(any(test, fuzzing))]
use super::super::grammar::Source;
use super::super::grammar::{parse_file, Map, Value};
use super::super::options::Options;
use super::super::usage::{COMPATIBLE_VERSION, MIDGE_VERSION};
use super::super::{keys, parse_command_line, Exit, Invocation};
use super::redact::redacted;
use super::rows::{Row, ROWS};
use super::shown::{write_key, Shown};
use super::table::table;

/// What `midge config --help` prints.
const HELP: &str = "
Usage: midge config [--json | --table] [server options]

Prints the configuration that the server would run with: the defaults, the
configuration file over them, the command line over that. Secrets are hidden.
What it prints is a configuration file.

    --json                           As JSON
    --table                          All options there are: type, default, reloadability, flag
    -h, --help                       Show this message

Server options are those of the server: -c <file>, --port and so on.

";

/// Runs `midge config`; `words` are those behind it.
pub fn run(words: Vec<OsString>) -> Exit {
    let has = |names: &[&str]| words.iter().any(|word| names.iter().any(|name| word == name));
    if has(&["-h", "-help", "--help"]) {
        return Exit::success(HELP);
    }
    if has(&["-table", "--table"]) {
        return Exit::success(table());
    }
    let json = has(&["-json", "--json"]);
    let rest = words.into_iter().filter(|word| word != "-json" && word != "--json");
    match parse_command_line(std::iter::once(OsString::from("midge")).chain(rest)) {
        Invocation::Run { options, warnings } => {
            let file = written(options.config_file.as_deref());
            let page = Page::new(&options, &file);
            let stdout = if json { page.json() } else { page.text(&options) };
            Exit { stdout, stderr: warnings, status: 0 }
        }
        // A flag that is none leaves the server with 0, but here a script waits for an answer.
        Invocation::Exit(exit) => Exit { status: 1, ..exit },
    }
}

/// The page of options that came from the file `path` of `source`.
#[cfg(any(test, fuzzing))]
pub(in super::super) fn printed(options: &Options, path: &str, source: &dyn Source) -> String {
    let file = parse_file(path, source).unwrap_or_default();
    Page::new(options, &file).text(options)
}

/// The values of the configuration file. It was read a moment ago; if it is gone meanwhile, there
/// is nothing to add to the options.
fn written(path: Option<&Path>) -> Map {
    let path = path.map(|path| path.to_string_lossy());
    path.and_then(|path| parse_file(&path, &System).ok()).unwrap_or_default()
}

/// What is shown: options, and blocks of them, in the order of the table.
struct Page {
    entries: Vec<(String, Entry)>,
}

enum Entry {
    Single { value: Shown, is_default: bool },
    Block(Vec<(String, Shown, bool)>),
}

impl Page {
    fn new(options: &Options, file: &Map) -> Self {
        let defaults = Options::default();
        let mut page = Self { entries: Vec::new() };
        for row in ROWS {
            let value = row.value(options);
            let is_default = value == row.value(&defaults);
            page.add(row.block, row.names.first().copied().unwrap_or_default(), value, is_default);
        }
        for (name, node) in file {
            let name = name.to_lowercase();
            let Some((names, key)) = keys::all().find(|(names, _)| names.contains(&name.as_str()))
            else {
                continue;
            };
            if matches!(key, keys::Key::NotBuilt(_)) {
                continue;
            }
            let name = names.first().copied().unwrap_or(&name);
            let value = redacted(name, Shown::of_node(node));
            let is_block = ROWS.iter().any(|row| names.contains(&row.block));
            match (&node.value, value) {
                (Value::Map(_), Shown::Block(entries)) if is_block => {
                    let entries = entries.into_iter().filter(|(key, _)| !is_read(name, key));
                    entries.for_each(|(key, value)| page.add(name, &key, value, false));
                }
                (_, value) if !is_read("", name) && !is_block => page.add("", name, value, false),
                _ => {}
            }
        }
        page
    }

    /// Adds a value, to its block if that has begun.
    fn add(&mut self, block: &str, name: &str, value: Shown, is_default: bool) {
        if value == Shown::Unset {
            return;
        }
        if block.is_empty() {
            self.entries.push((name.to_owned(), Entry::Single { value, is_default }));
            return;
        }
        let row = (name.to_owned(), value, is_default);
        for (known, entry) in &mut self.entries {
            if let (true, Entry::Block(entries)) = (known == block, entry) {
                return entries.push(row);
            }
        }
        self.entries.push((block.to_owned(), Entry::Block(vec![row])));
    }

    fn text(&self, options: &Options) -> String {
        let mut text = format!("# midge {MIDGE_VERSION} (nats-server {COMPATIBLE_VERSION})\n");
        if let Some(file) = &options.config_file {
            let digest = options.config_digest.as_deref().unwrap_or_default();
            let _infallible = writeln!(text, "# of {} ({digest})", file.display());
        }
        for (name, entry) in &self.entries {
            match entry {
                Entry::Single { value, is_default } => {
                    push_line(&mut text, "", name, value, *is_default);
                }
                Entry::Block(entries) => {
                    write_key(name, &mut text);
                    text.push_str(" {\n");
                    for (name, value, is_default) in entries {
                        push_line(&mut text, "    ", name, value, *is_default);
                    }
                    text.push_str("}\n");
                }
            }
        }
        text
    }

    fn json(&self) -> String {
        let mut object = serde_json::Map::new();
        for (name, entry) in &self.entries {
            let value = match entry {
                Entry::Single { value, .. } => value.json(),
                Entry::Block(entries) => {
                    entries.iter().map(|(name, value, _)| (name.clone(), value.json())).collect()
                }
            };
            object.insert(name.clone(), value);
        }
        let text = serde_json::to_string_pretty(&object).unwrap_or_default();
        format!("{text}\n")
    }
}

/// Whether a row reads the option back, so that the file need not be asked.
fn is_read(block: &str, name: &str) -> bool {
    let name = name.to_lowercase();
    let found = ROWS.iter().find(|row| row.block == block && row.names.contains(&name.as_str()));
    found.is_some_and(|row: &Row| !matches!(row.source, super::rows::Source::File))
}

fn push_line(text: &mut String, indent: &str, name: &str, value: &Shown, is_default: bool) {
    let start = text.len();
    text.push_str(indent);
    write_key(name, text);
    text.push_str(": ");
    match value {
        // One item a line: lists of users are long.
        Shown::List(items) if items.iter().any(|item| matches!(item, Shown::Block(_))) => {
            text.push_str("[\n");
            for item in items {
                let _infallible = writeln!(text, "{indent}    {}", item.inline());
            }
            let _infallible = writeln!(text, "{indent}]");
            return;
        }
        Shown::Block(entries) => {
            text.push_str("{\n");
            for (name, value) in entries {
                text.push_str(indent);
                text.push_str("    ");
                write_key(name, text);
                let _infallible = writeln!(text, ": {}", value.inline());
            }
            let _infallible = writeln!(text, "{indent}}}");
            return;
        }
        value => text.push_str(&value.inline()),
    }
    if is_default {
        let width = text[start..].chars().count();
        let _infallible =
            write!(text, "{} # default", " ".repeat(DEFAULT_COLUMN.saturating_sub(width)));
    }
    text.push('\n');
}

/// Where the remark stands that a value is the default.
const DEFAULT_COLUMN: usize = 40;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write the files they read")]
mod tests {
    use super::*;

    fn config(words: &[&str]) -> Exit {
        run(words.iter().map(OsString::from).collect())
    }

    fn file(name: &str, text: &str) -> String {
        let name = format!("midge-config-{}-{name}.conf", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn options(path: &str) -> Options {
        let line = ["midge", "-c", path].map(OsString::from);
        match parse_command_line(line) {
            Invocation::Run { options, .. } => {
                Options { config_file: None, config_digest: None, ..*options }
            }
            Invocation::Exit(exit) => panic!("{exit:?}"),
        }
    }

    // Goal: what is printed is the configuration. Method: print a full one, read that, compare.
    #[test]
    fn what_is_printed_reads_back_as_the_same_options() {
        let path = file(
            "full",
            "USER = b\nlisten: \"127.0.0.1:-1\"\nserver_name: \"n\\\"q\\\"\"\nmax_payload: 2MB\nmax_pending: 8MB\n\
             max_conn: 7\nmax_subs: 8\nmax_subscription_tokens: 9\nmax_control_line: 1k\n\
             ping_interval: \"5s\"\nwrite_deadline: 300ms\nlame_duck_duration: \"1m30.5s\"\n\
             lame_duck_grace_period: \"2s\"\nno_header_support: true\nclient_advertise: \"h:1\"\n\
             debug: on\nlogfile: l\npidfile: p\ntrace_verbose: true\nlogtime: false\n\
             log_size_limit: 1MB\nlog_max_num: 4\nshards { count: 1, cpus: [0, 1], busy_poll: 0 }\n\
             http: \"[::1]:-1\"\nserver_tags: [\"a:b\", c]\nserver_metadata { k: \"v w\" }\n\
             authorization { timeout: 0.5, users: [ { user: $USER, permissions { \
             publish { allow: [\"a.>\", b], deny: \"a.*.c\" }, subscribe: \"x q\", \
             allow_responses { max: 3, expires: \"1m\" } } } ] }\n\
             accounts { \"A B\" { users: [ {user: c} ], mappings { a: [ {dest: b, weight: 30%}, \
             {dest: c, weight: 70} ] }, limits { max_conn: 5 } }, S {} }\nsystem: S\n\
             no_auth_user: c\nmappings { \"m.*\": \"n.{{wildcard(1)}}\" }\n\
             jetstream { store_dir: d, max_mem: 1G, sync: 2s, limits { batch { max_msgs: 9 } } }\n",
        );
        let first = config(&["-c", &path]);
        assert_eq!((first.status, first.stderr.as_str()), (0, ""), "{}", first.stdout);
        let again = file("again", &first.stdout);
        assert_eq!(options(&again), options(&path), "{}", first.stdout);
        let second = config(&["-c", &again]).stdout;
        let body = |text: &str| {
            text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(body(&second), body(&first.stdout));
        std::fs::remove_file(path).unwrap();
        std::fs::remove_file(again).unwrap();
    }

    #[test]
    fn the_defaults_read_back_as_the_defaults() {
        let text = config(&[]).stdout;
        assert!(text.contains("port: 4222                               # default\n"), "{text}");
        let path = file("defaults", &text);
        let read = options(&path);
        let expected = Options {
            jetstream: crate::config::JetStreamOptions { enabled: false, ..Default::default() },
            ..Options::default()
        };
        assert_eq!(read, expected);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn flags_count_more_and_secrets_are_hidden() {
        let path = file(
            "secrets",
            "port: 5\nauthorization { users: [ {user: a, pass: hunter2}, {user: b, pass: \"$2a$11$hunter2\"} ] }\n\
             accounts { A { users: [ {user: c, password: hunter2} ] } }\n",
        );
        let exit = config(&["-c", &path, "-p", "6", "--auth", "hunter2", "--pass=hunter2"]);
        assert!(exit.stdout.contains("port: 6\n"), "{}", exit.stdout);
        assert!(!exit.stdout.contains("hunter2"), "{}", exit.stdout);
        assert!(exit.stdout.contains("    token: \"[REDACTED]\"\n"));
        let json = config(&["--json", "-c", &path, "--pass", "hunter2"]).stdout;
        assert!(!json.contains("hunter2"));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["port"], 5);
        assert_eq!(json["authorization"]["users"][0]["user"], "a");
        assert_eq!(json["accounts"]["A"]["users"][0]["password"], "[REDACTED]");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_would_not_start_is_told() {
        let exit = config(&["-c", "/nonexistent"]);
        assert_eq!(exit.status, 1);
        assert_eq!(exit.stderr, "nats-server: open /nonexistent: no such file or directory\n");
        assert_eq!(config(&["--no-such-flag"]).status, 1);
        assert!(config(&["--help"]).stdout.starts_with("\nUsage: midge config"));
        assert!(config(&["--table"]).stdout.starts_with("# Options\n"));
    }
}
