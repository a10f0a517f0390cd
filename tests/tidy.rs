//! Goal: the rules of the code that no lint can say. Method: reads every source file and document
//! of the repository and looks for what breaks a rule; each test names its rule, and each failure
//! the file and line.
//!
//! The lists below are the rules themselves: to add a file with `unsafe`, or an import, is to
//! change a list here on purpose.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reads files and may fail loudly"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Files that may say `unsafe`, each with what it needs it for.
const UNSAFE_FILES: &[(&str, &str)] = &[
    ("loadgen/src/server.rs", "a hook between fork and exec"),
    ("loadgen/src/sys/affinity.rs", "scheduler calls"),
    ("loadgen/src/sys/clock.rs", "clock calls"),
    ("loadgen/src/sys/epoll.rs", "readiness calls"),
    ("loadgen/src/sys/process.rs", "process calls"),
    ("loadgen/src/sys/signal.rs", "signal calls"),
    ("loadgen/src/sys/socket.rs", "socket options"),
    ("src/host/system_calls.rs", "C library calls"),
    ("src/mesh/bounded.rs", "slots of a lane"),
    ("src/mesh/linked.rs", "blocks of a lane"),
    ("src/mesh/sync.rs", "cells that loom can watch"),
    ("src/net/buffers.rs", "the ring of provided buffers"),
    ("src/net/flight.rs", "buffers the kernel holds"),
    ("src/net/forbidden.rs", "a filter of system calls, for tests"),
    ("src/net/mapping.rs", "memory shared with the kernel"),
    ("src/net/ring.rs", "submissions"),
    ("src/net/socket.rs", "socket calls"),
    ("src/net/watch.rs", "words the kernel writes"),
    ("src/proto/canonical.rs", "vector instructions"),
];

/// Which modules each module may import: always further down this list.
const FLOORS: &[(&str, &[&str])] = &[
    (
        "shard",
        &[
            "account",
            "client",
            "config",
            "host",
            "log",
            "mesh",
            "monitor",
            "net",
            "outbound",
            "proto",
            "router",
            "store",
            "stream",
            "subject",
            "tls",
            "websocket",
        ],
    ),
    ("tune", &["config", "host", "net"]),
    ("inspect", &["config", "host", "store"]),
    ("top", &["config", "host"]),
    ("client", &["account", "router", "proto", "subject"]),
    ("outbound", &["proto", "subject", "net"]),
    ("websocket", &["proto", "net"]),
    ("stream", &["store", "proto", "subject"]),
    ("store", &["host", "subject"]),
    ("router", &["subject"]),
    ("monitor", &["config", "log", "subject", "host", "tls"]),
    ("config", &["account", "host", "tls"]),
    ("account", &["subject"]),
    ("proto", &[]),
    ("log", &["host"]),
    ("net", &["host"]),
    ("mesh", &["host"]),
    ("subject", &[]),
    ("tls", &[]),
    ("host", &[]),
];

/// Modules that do no I/O, know no clock and no runtime.
const PURE: &[&str] =
    &["account", "client", "outbound", "proto", "router", "stream", "subject", "websocket"];

/// What a pure module never says.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
    "glommio",
    "io_uring",
    "libc::",
    "tracing::",
    "async fn",
    "async move",
    ".await",
    "thread_local!",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["common", "helpers", "manager", "misc", "types", "util", "utils"];

const FILE_LINES_MAX: usize = 1000;

/// Fields of `Options` that nothing outside `config` reads, each with the reason.
const OPTIONS_NOT_READ: &[(&str, &str)] =
    &[("http_host", "read through `http_listen`"), ("port", "read through `bind_port`")];

#[test]
fn unsafe_stands_in_listed_files_only() {
    let mut with_unsafe = BTreeSet::new();
    let mut complaints = Vec::new();
    for file in rust_files(&["src", "loadgen/src"]) {
        for (number, line) in file.code_lines() {
            if has_word(&line, "unsafe") {
                with_unsafe.insert(file.name.clone());
                if !UNSAFE_FILES.iter().any(|(listed, _)| *listed == file.name) {
                    complaints.push(format!("{}:{number}: unsafe in a file not listed", file.name));
                }
            }
        }
    }
    for (listed, _) in UNSAFE_FILES {
        if !with_unsafe.contains(*listed) {
            complaints.push(format!("{listed}: listed for unsafe and has none"));
        }
    }
    report(&complaints);
}

#[test]
fn pure_modules_do_no_io_and_know_no_clock() {
    let mut complaints = Vec::new();
    for module in PURE {
        for file in rust_files(&[&format!("src/{module}")]) {
            for (number, line) in file.code_lines_without_tests() {
                for impure in IMPURE.iter().filter(|impure| says(&line, impure)) {
                    complaints.push(format!("{}:{number}: {impure} in a pure module", file.name));
                }
            }
        }
    }
    report(&complaints);
}

/// Whether a line has `words`, and not as the start of a longer name.
fn says(line: &str, words: &str) -> bool {
    line.match_indices(words).any(|(at, _)| {
        let next = line[at + words.len()..].chars().next();
        !words.ends_with(char::is_alphanumeric)
            || !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn imports_point_down() {
    let mut complaints = Vec::new();
    for file in rust_files(&["src"]) {
        let module = file.name.split('/').nth(1).unwrap_or_default();
        let Some((_, allowed)) = FLOORS.iter().find(|(name, _)| *name == module) else {
            if !["main.rs", "lib.rs", "fuzz_corpus.rs"].contains(&module) {
                complaints.push(format!("{}: a module without a floor", file.name));
            }
            continue;
        };
        for (number, line) in file.code_lines_without_tests() {
            for import in modules_named(&line) {
                let is_known = FLOORS.iter().any(|(name, _)| *name == import);
                if is_known && import != module && !allowed.contains(&import) {
                    complaints.push(format!("{}:{number}: {module} imports {import}", file.name));
                }
            }
        }
    }
    report(&complaints);
}

/// The list itself must not allow a circle.
#[test]
fn floors_have_no_way_up() {
    for (at, (name, allowed)) in FLOORS.iter().enumerate() {
        for below in *allowed {
            let floor = FLOORS.iter().position(|(name, _)| name == below);
            assert!(floor.is_some_and(|floor| floor > at), "{name} imports {below}");
        }
    }
}

#[test]
fn the_map_lists_every_module() {
    let lib = read("src/lib.rs");
    let mut complaints = Vec::new();
    for line in lib.lines() {
        let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';'))
        else {
            continue;
        };
        if !lib.contains(&format!("//! - [`{name}`]: ")) {
            complaints.push(format!("src/lib.rs: module {name} is not on the map"));
        }
    }
    report(&complaints);
}

#[test]
fn folders_are_introduced_by_a_file_of_words() {
    let starts = ["fn ", "struct ", "enum ", "trait ", "impl ", "impl<", "static ", "macro_rules!"];
    let mut complaints = Vec::new();
    for file in rust_files(&["src"]).into_iter().filter(|file| file.name.ends_with("/mod.rs")) {
        let items = file.code_lines().into_iter().filter(|(_, line)| {
            let item = line.trim_start().trim_start_matches("pub").trim_start();
            let item = item.trim_start_matches("(crate) ").trim_start_matches("(super) ");
            starts.iter().any(|start| item.starts_with(start))
        });
        let lines: Vec<String> = items.map(|(number, _)| number.to_string()).collect();
        if !lines.is_empty() {
            complaints.push(format!("{}: code on lines {}", file.name, lines.join(", ")));
        }
    }
    report(&complaints);
}

#[test]
fn names_say_what_is_inside() {
    let mut complaints = Vec::new();
    for file in rust_files(&["src"]) {
        let parts = Path::new(&file.name).with_extension("");
        for part in parts.iter().filter_map(|part| part.to_str()) {
            if EMPTY_NAMES.contains(&part) {
                complaints.push(format!("{}: `{part}` says nothing", file.name));
            }
        }
    }
    report(&complaints);
}

#[test]
fn files_have_one_concern() {
    let mut complaints = Vec::new();
    for file in rust_files(&["src", "loadgen/src", "tests", "benches"]) {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            complaints.push(format!("{}: {lines} lines", file.name));
        }
    }
    report(&complaints);
}

#[test]
fn every_dependency_is_explained() {
    let explained = read("docs/dependencies.md");
    let mut complaints = Vec::new();
    for manifest in ["Cargo.toml", "loadgen/Cargo.toml", "tests/loom/Cargo.toml"] {
        for name in dependencies(&read(manifest)) {
            if !explained.contains(&format!("`{name}`")) {
                complaints.push(format!("{manifest}: {name} has no line in docs/dependencies.md"));
            }
        }
    }
    report(&complaints);
}

/// An option that is taken and then ignored would be a lie to whoever set it.
#[test]
fn every_option_is_acted_on() {
    let options = read("src/config/options.rs");
    let readers: Vec<String> = rust_files(&["src"])
        .into_iter()
        .filter(|file| !file.name.starts_with("src/config/"))
        .map(|file| without_comments_and_strings(&file.text))
        .collect();
    let mut complaints = Vec::new();
    for line in options.lines() {
        let Some((name, _)) = line.strip_prefix("    pub ").and_then(|rest| rest.split_once(": "))
        else {
            continue;
        };
        let is_read = readers.iter().any(|text| has_word(text, &format!("options.{name}")));
        let is_listed = OPTIONS_NOT_READ.iter().any(|(listed, _)| *listed == name);
        if is_read == is_listed {
            let problem = if is_read { "is read, yet listed as unread" } else { "is never read" };
            complaints.push(format!("src/config/options.rs: {name} {problem}"));
        }
    }
    report(&complaints);
}

#[test]
fn every_document_is_linked() {
    let mut documents: Vec<String> = files_below("docs");
    documents.retain(|name| name.ends_with(".md"));
    let mut sources = documents.clone();
    sources.push(String::from("README.md"));
    let mut complaints = Vec::new();
    for document in &documents {
        let name = document.rsplit('/').next().unwrap_or_default();
        let links = [format!("({name}"), format!("/{name}")];
        let is_linked = sources.iter().filter(|source| *source != document).any(|source| {
            let text = read(source);
            links.iter().any(|link| {
                text.contains(&format!("{link})")) || text.contains(&format!("{link}#"))
            })
        });
        if !is_linked {
            complaints.push(format!("{document}: no other document links it"));
        }
    }
    report(&complaints);
}

#[test]
fn no_file_carries_a_path_of_one_machine() {
    // Written in pieces, so that this file is not its own first complaint.
    let roots = ["work", "root", "home", "farm"].map(|root| format!("/{root}/"));
    let mut complaints = Vec::new();
    let mut names = files_below("");
    names.retain(|name| !name.ends_with("package-lock.json"));
    for name in names {
        let Ok(text) = fs::read_to_string(top().join(&name)) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            for root in &roots {
                let starts = line.match_indices(root.as_str()).map(|(at, _)| at);
                // `x/home/` is a part of another path.
                let mut alone = starts.filter(|at| {
                    !line[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '.' || c == '}')
                });
                if alone.next().is_some() {
                    complaints.push(format!("{name}:{number}: a path below {root}"));
                }
            }
        }
    }
    report(&complaints);
}

/// A source file of the repository.
struct Source {
    /// Relative to the repository, with slashes.
    name: String,
    text: String,
}

impl Source {
    /// Numbered lines without comments and without the contents of strings.
    fn code_lines(&self) -> Vec<(usize, String)> {
        (1..).zip(without_comments_and_strings(&self.text).lines().map(str::to_owned)).collect()
    }

    /// The same up to the tests at the end; nothing of a file that is a test as a whole.
    fn code_lines_without_tests(&self) -> Vec<(usize, String)> {
        let file = self.name.rsplit('/').next().unwrap_or_default();
        if file == "tests.rs" || file.ends_with("_tests.rs") {
            return Vec::new();
        }
        let lines = self.code_lines();
        let is_tests =
            |line: &String| line.trim_start().starts_with("#[cfg(") && line.contains("test)");
        let end = lines.iter().position(|(number, line)| {
            let next = lines.get(*number).map(|(_, next)| next.as_str()).unwrap_or_default();
            is_tests(line) && (next.contains("mod tests") || next.trim_start().starts_with("#["))
        });
        lines.into_iter().take(end.unwrap_or(usize::MAX)).collect()
    }
}

/// Blanks out comments, strings and characters, and keeps every line end.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if rest.starts_with("r\"") || rest.starts_with("r#") && !code.ends_with(is_word_char)
        {
            raw_string_len(rest)
        } else if first == '"' {
            string_len(rest)
        } else if first == '\'' {
            character_len(rest)
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
        rest = &rest[skipped..];
        if skipped == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    code
}

fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// 0 for `r#name`, which is no string.
fn raw_string_len(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let from = hashes + 2;
    text[from..].find(&end).map_or(text.len(), |at| from + at + end.len())
}

/// 0 for a lifetime.
fn character_len(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => {
            text[2..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 3)
        }
        Some((at, c)) if text[at + c.len_utf8()..].starts_with('\'') => at + c.len_utf8() + 1,
        _ => 0,
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_word_char) && !line[at + word.len()..].starts_with(is_word_char)
    })
}

/// The modules that `crate::x` and `use crate::{x::..., y::...}` on this line name.
fn modules_named(line: &str) -> Vec<&str> {
    let mut modules = Vec::new();
    for (at, matched) in line.match_indices("crate::") {
        let rest = &line[at + matched.len()..];
        match rest.strip_prefix('{') {
            Some(group) => modules.extend(group.split(',').map(first_word)),
            None => modules.push(first_word(rest)),
        }
    }
    modules
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    text.split(|c: char| !is_word_char(c)).next().unwrap_or_default()
}

/// Names in all dependency tables of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut in_table = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            in_table = header.ends_with("dependencies");
            if let Some((_, name)) = header.split_once("dependencies.") {
                names.push(name.to_owned());
            }
        } else if let (true, Some((name, _))) = (in_table, line.split_once('=')) {
            names.push(name.trim().trim_end_matches(".workspace").to_owned());
        }
    }
    names.retain(|name| !name.starts_with('#'));
    names
}

fn rust_files(folders: &[&str]) -> Vec<Source> {
    let names = folders.iter().flat_map(|folder| files_below(folder));
    let names = names.filter(|name| name.ends_with(".rs"));
    names.map(|name| Source { text: read(&name), name }).collect()
}

/// All files below a folder, sorted, relative to the repository; nothing that a build or a
/// download left there.
fn files_below(folder: &str) -> Vec<String> {
    let mut pending: Vec<PathBuf> = vec![top().join(folder)];
    let mut names = Vec::new();
    while let Some(path) = pending.pop() {
        let Ok(entries) = fs::read_dir(&path) else { continue };
        for entry in entries.map(Result::unwrap) {
            let name = entry.file_name();
            // A file in a linked work tree.
            if name == ".git" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                if !["target", ".git", "node_modules"].iter().any(|skipped| name == *skipped) {
                    pending.push(entry.path());
                }
            } else {
                let relative = entry.path().strip_prefix(top()).unwrap().to_owned();
                names.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    names
}

fn read(name: &str) -> String {
    fs::read_to_string(top().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn report(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_reader_of_code_sees_code_only() {
    let text = "a // unsafe\n\"unsafe \\\" x\" b '\"' c 'd r#\"unsafe\"# e /* x\ny */ f '\\'' g";
    let code = without_comments_and_strings(text);
    assert_eq!(code, "a \n b  c 'd  e \n f  g");
    assert!(has_word("x unsafe {", "unsafe") && !has_word("unsafe_op", "unsafe"));
    assert_eq!(modules_named("use crate::{net::X, proto};"), ["net", "proto"]);
    assert_eq!(
        dependencies("[dependencies]\na = \"1\"\n[dev-dependencies.b]\nx = 1\n[lints]\nc = 1"),
        ["b", "a"].iter().rev().map(|name| (*name).to_owned()).collect::<Vec<_>>()
    );
}
