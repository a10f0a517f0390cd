//! The words behind `midge tune`, and one run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::change::{self, Outcome, RecordError};
use super::checks::{survey, Plan};
use super::report::{Intent, Report};
use super::system::System;
use crate::config::{parse_command_line, Exit, Invocation, Options};
use crate::host;

/// What `midge tune --help` prints.
const HELP: &str = "
Usage: midge tune [--apply | --revert] [--json] [--record <file>] [server options]

Says what this machine should be like for the server: what is, what should be,
why, what that costs, how to undo it. Changes nothing unless told to.

    --apply                          Write what can be written at run time, and record it
    --revert                         Put back exactly what was recorded
    --json                           Findings and changes as JSON
    --record <file>                  Where changes are recorded (default: /run/midge/tune.json)
    -h, --help                       Show this message

Server options, such as -c <file>, --shards and -js -sd <dir>, say how the server is to run: which
processors it has, how many connections, where it stores. Run it as the service runs: by its user,
in its container, as far as limits are concerned.

Exit status: 0 if nothing required is missing, 1 if something is, or was refused.

";

/// Where changes are recorded: gone after a restart of the machine, as the changes are.
const RECORD_DEFAULT: &str = "/run/midge/tune.json";

/// What one run is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Command {
    intent: Intent,
    json: bool,
    record: String,
    /// For the server's own command line.
    rest: Vec<OsString>,
}

/// Why the words behind `tune` mean nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum CommandError {
    #[error("--apply and --revert exclude each other")]
    Both,
    #[error("--record needs a file")]
    NoRecord,
}

/// Runs `midge tune`; `words` are those behind it.
pub fn run(words: Vec<OsString>, system: &mut dyn System) -> Exit {
    if words.iter().any(|word| ["-h", "-help", "--help"].iter().any(|help| word == help)) {
        return Exit::success(HELP);
    }
    let command = match Command::parse(words) {
        Ok(command) => command,
        Err(error) => return failure(error),
    };
    let options = std::iter::once(OsString::from("midge")).chain(command.rest.clone());
    match parse_command_line(options) {
        Invocation::Run { options, warnings } => {
            let mut exit = command.run(&plan(&options), system).unwrap_or_else(failure);
            exit.stderr.insert_str(0, &warnings);
            exit
        }
        // A flag that is none leaves the server with 0, but here a script waits for an answer.
        Invocation::Exit(exit) => Exit { status: 1, ..exit },
    }
}

fn failure(error: impl std::fmt::Display) -> Exit {
    Exit { stdout: String::new(), stderr: format!("midge tune: {error}\n"), status: 1 }
}

impl Command {
    fn parse(words: Vec<OsString>) -> Result<Self, CommandError> {
        let mut command = Self {
            intent: Intent::Look,
            json: false,
            record: RECORD_DEFAULT.to_owned(),
            rest: Vec::new(),
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let intent = match word.to_str().map(|word| word.trim_start_matches('-')) {
                _ if !word.to_string_lossy().starts_with('-') => None,
                Some("apply") => Some(Intent::Apply),
                Some("revert") => Some(Intent::Revert),
                Some("json") => {
                    command.json = true;
                    continue;
                }
                Some("record") => {
                    let file = words.next().and_then(|file| file.into_string().ok());
                    command.record = file.ok_or(CommandError::NoRecord)?;
                    continue;
                }
                _ => None,
            };
            match intent {
                Some(intent) if command.intent == Intent::Look || command.intent == intent => {
                    command.intent = intent;
                }
                Some(_) => return Err(CommandError::Both),
                None => command.rest.push(word),
            }
        }
        Ok(command)
    }

    fn run(&self, plan: &Plan, system: &mut dyn System) -> Result<Exit, RecordError> {
        let intent = self.intent;
        let report = match intent {
            Intent::Revert => {
                let outcomes = change::revert(&self.record, system)?;
                Report { findings: Vec::new(), outcomes, intent }
            }
            Intent::Look | Intent::Apply => {
                let findings = survey(plan, system);
                let mut outcomes: Vec<Outcome> = Vec::new();
                if intent == Intent::Apply {
                    outcomes = change::apply(&findings, &self.record, system)?;
                }
                Report { findings, outcomes, intent }
            }
        };
        let text = if self.json { report.json() } else { report.text() };
        let status = u8::from(!report.is_success());
        Ok(Exit { stdout: text, stderr: String::new(), status })
    }
}

/// How the server would run with these options.
fn plan(options: &Options) -> Plan {
    let available = host::available_cpus();
    let mut cpus = options.shard_cpus.clone().unwrap_or(available);
    let shards = match &options.shard_cpus {
        Some(listed) => options.shards.unwrap_or(listed.len()),
        None => options.shards.unwrap_or_else(host::default_shards),
    };
    cpus.truncate(shards.max(1));
    cpus.sort_unstable();
    let stores = options.jetstream.enabled;
    Plan {
        cpus,
        shards,
        connections_max: options.max_connections,
        store_dir: stores.then(|| existing(options.store_dir.as_deref())),
    }
}

/// The directory as the mount table would name it: of one that is still to be made, what exists
/// above it.
fn existing(directory: Option<&Path>) -> String {
    let wanted = directory.map_or_else(std::env::temp_dir, Path::to_path_buf);
    let wanted = std::path::absolute(&wanted).unwrap_or(wanted);
    let found = wanted.ancestors().find_map(real_path);
    found.unwrap_or_else(|| PathBuf::from("/")).to_string_lossy().into_owned()
}

#[expect(clippy::disallowed_methods, reason = "a command of its own, no shard is near")]
fn real_path(path: &Path) -> Option<PathBuf> {
    std::fs::canonicalize(path).ok()
}

#[cfg(test)]
mod tests {
    use super::super::checks::tests::FakeHost;
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn tune(line: &[&str], system: &mut FakeHost) -> Exit {
        run(words(line), system)
    }

    fn host() -> FakeHost {
        FakeHost::of(&[("/proc/sys/net/core/somaxconn", "128\n")])
    }

    #[test]
    fn a_look_changes_nothing_and_says_what_it_would_do() {
        let mut system = host();
        let exit = tune(&[], &mut system);
        assert_eq!(exit.status, 0);
        assert!(exit.stdout.contains("advised  accept-backlog: 128\n"), "{}", exit.stdout);
        for label in ["should:", "why:", "cost:", "undo:", "apply:  write 4096 to /proc/sys"] {
            assert!(exit.stdout.contains(label), "{label}");
        }
        assert!(exit.stdout.contains("Nothing was changed"));
        assert_eq!(system, host());
    }

    #[test]
    fn applying_and_reverting_say_what_they_wrote() {
        let mut system = host();
        let exit = tune(&["--apply", "--record", "/r"], &mut system);
        assert!(exit.stdout.contains("changed  /proc/sys/net/core/somaxconn: 128 -> 4096\n"));
        assert_eq!(system.value("/proc/sys/net/core/somaxconn").as_deref(), Some("4096"));
        let exit = tune(&["--revert", "--record", "/r"], &mut system);
        assert!(exit.stdout.contains("changed  /proc/sys/net/core/somaxconn: 4096 -> 128\n"));
        assert_eq!(system, host());
        let exit = tune(&["-revert", "--record", "/r"], &mut system);
        assert_eq!(
            (exit.status, exit.stderr.as_str()),
            (1, "midge tune: there is no record of changes at /r: nothing to revert\n")
        );
    }

    #[test]
    fn what_is_refused_fails_the_command() {
        let mut system = host();
        system.refuse("/proc/sys/net/core/somaxconn");
        let exit = tune(&["--apply"], &mut system);
        assert_eq!(exit.status, 1);
        assert!(exit.stdout.contains("refused  /proc/sys/net/core/somaxconn: "));
    }

    #[test]
    fn json_is_for_programs() {
        let exit = tune(&["--json", "--apply"], &mut host());
        let report: serde_json::Value = serde_json::from_str(&exit.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap();
        let backlog = findings.iter().find(|found| found["name"] == "accept-backlog").unwrap();
        assert_eq!(backlog["state"], "advised");
        assert_eq!(backlog["changes"][0]["before"], "128");
        assert_eq!(report["outcomes"][0]["outcome"], "written");
        assert_eq!(report["outcomes"][0]["to"], "4096");
    }

    #[test]
    fn the_servers_own_options_say_how_it_runs() {
        let command = Command::parse(words(&["-c", "f", "--apply", "--shards=2", "json"])).unwrap();
        assert_eq!(command.rest, words(&["-c", "f", "--shards=2", "json"]));
        assert_eq!(command.intent, Intent::Apply);
        let exit = tune(&["-c", "/nonexistent"], &mut host());
        assert_eq!(exit.status, 1);
        assert!(exit.stderr.contains("/nonexistent"));
        assert_eq!(tune(&["--no-such-flag"], &mut host()).status, 1);
        let options =
            Options { shard_cpus: Some(vec![5, 3, 4]), shards: Some(2), ..Options::default() };
        assert_eq!((plan(&options).cpus, plan(&options).shards), (vec![3, 5], 2));
        assert_eq!(plan(&Options::default()).store_dir, None);
    }

    #[test]
    fn words_that_contradict_each_other_are_refused() {
        for (line, complaint) in [
            (&["--apply", "--revert"][..], "--apply and --revert exclude each other"),
            (&["--record"], "--record needs a file"),
        ] {
            let exit = tune(line, &mut host());
            assert_eq!((exit.status, exit.stderr), (1, format!("midge tune: {complaint}\n")));
        }
        assert!(tune(&["--apply", "--help"], &mut host())
            .stdout
            .starts_with("\nUsage: midge tune"));
    }

    #[test]
    fn a_store_that_is_still_to_be_made_lies_where_its_parents_do() {
        assert_eq!(existing(Some(Path::new("/nonexistent/a/b"))), "/");
        assert_eq!(
            existing(Some(Path::new("/proc/self/fd/../nonexistent"))).find("/proc/"),
            Some(0)
        );
    }
}
