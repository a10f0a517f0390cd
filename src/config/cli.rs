//! The command line, by the rules of Go's `flag` package.
//!
//! One dash or two, a value after `=` or as the next argument, booleans without a value or with
//! `=true`; the first word that is not a flag, or `--`, ends the flags. Of the words after them
//! only `help` and `version` mean anything.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::completions::Shell;
use super::flags::{self, Flag, Kind, Setting};
use super::go_number::{self, NumberError};
use super::manual::manual_page;
use super::options::PORT_DEFAULT;
use super::peers::PeerPort;
use super::usage::{help_text, help_tls_text, version_text};
use super::{file, signal};
use super::{Exit, Invocation, Options};
use crate::tls::{CertificatePair, TlsContext};

/// Reads the command line (`args[0]` is the program) and the configuration file it names.
///
/// Everything that keeps the process from serving comes back as [`Invocation::Exit`], with the
/// text and the exit status that nats-server has for it.
pub fn parse_command_line(args: impl IntoIterator<Item = OsString>) -> Invocation {
    let mut args = args.into_iter();
    let program = program_name(args.next().as_ref());
    let words = args.map(|word| word.to_string_lossy().into_owned()).collect();
    match CommandLine::parse(words) {
        // nats-server leaves with 0 here and prints its usage, so scripts may rely on it.
        Err(error) => {
            Invocation::Exit(Exit { stdout: help_text(), stderr: format!("{error}\n"), status: 0 })
        }
        Ok(line) => line.run(&program).unwrap_or_else(Invocation::Exit),
    }
}

/// Why the words are no command line; the texts are those of Go's `flag` package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum FlagError {
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    #[error("invalid value {value:?} for flag -{name}: {error}")]
    Number { name: String, value: String, error: NumberError },
    #[error("invalid boolean value {value:?} for -{name}: parse error")]
    Bool { name: String, value: String },
}

/// A value as the table says it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Bool(bool),
    Int(i64),
    Text(String),
}

/// The flags in their order, and the words behind them.
#[derive(Debug, Default)]
struct CommandLine {
    /// Name as written, setting, value.
    given: Vec<(String, Setting, Value)>,
    words: Vec<String>,
}

impl CommandLine {
    fn parse(arguments: Vec<String>) -> Result<Self, FlagError> {
        let mut line = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                break;
            }
            if argument.len() < 2 || !argument.starts_with('-') {
                line.words.push(argument);
                break;
            }
            let (flag, name, attached) = split_flag(&argument)?;
            let value = match (flag.kind, attached) {
                (Kind::Bool, None) => Value::Bool(true),
                (_, Some(text)) => typed(flag, &name, text)?,
                (_, None) => {
                    let text = arguments.next().ok_or_else(|| FlagError::NoValue(name.clone()))?;
                    typed(flag, &name, text)?
                }
            };
            line.given.push((name, flag.setting, value));
        }
        line.words.extend(arguments);
        Ok(line)
    }

    fn run(&self, program: &str) -> Result<Invocation, Exit> {
        if self.is_set(Setting::Version) {
            return Err(Exit::success(version_text(program)));
        }
        if self.is_set(Setting::Help) {
            return Err(Exit::success(help_text()));
        }
        if self.is_set(Setting::HelpTls) {
            return Err(Exit::success(help_tls_text()));
        }
        if let Some(word) = self.words.first() {
            return Err(match word.to_lowercase().as_str() {
                "version" => Exit::success(version_text(program)),
                "help" => Exit::success(help_text()),
                "man" => Exit::success(manual_page()),
                "completions" => self.completions(),
                _ => Exit::failure(format_args!("unrecognized command: {word:?}")),
            });
        }
        if let Some(Value::Text(expression)) = self.last(Setting::Signal) {
            return Err(match signal::send(expression, program) {
                Ok(()) => Exit::default(),
                Err(error) => Exit::failure(error),
            });
        }
        self.refuse_what_is_not_built()?;
        let mut options = Options::default();
        let warnings = self.read_config_file(&mut options)?;
        self.override_options(&mut options)?;
        self.override_cluster(&mut options)?;
        self.override_tls(&mut options)?;
        options.validate().map_err(Exit::failure)?;
        Ok(Invocation::Run { options: Box::new(options), warnings })
    }

    /// The script for the shell named behind the command.
    fn completions(&self) -> Exit {
        let shell = self.words.get(1).map_or("", String::as_str);
        match Shell::find(shell) {
            Some(shell) => Exit::success(shell.script()),
            None => Exit::failure(format_args!(
                "completions: {shell:?} is no shell that is known: bash, zsh, fish"
            )),
        }
    }

    /// Reads the file named, if one is, and answers with its warnings. A test run ends here.
    fn read_config_file(&self, options: &mut Options) -> Result<String, Exit> {
        let is_test = self.is_set(Setting::TestConfig);
        let path = match self.last(Setting::ConfigFile) {
            Some(Value::Text(path)) if !path.is_empty() => path,
            _ if is_test => {
                return Err(Exit::failure(
                    "must specify [-c, --config] option to check configuration file syntax",
                ))
            }
            _ => return Ok(String::new()),
        };
        let findings = file::load(path, &file::System, options).map_err(Exit::failure)?;
        if !findings.allow_start() || (is_test && !findings.is_empty()) {
            return Err(Exit::failure(findings));
        }
        if is_test {
            let digest = options.config_digest.as_deref().unwrap_or_default();
            let verdict =
                Exit::failure(format_args!("configuration file {path} is valid ({digest})"));
            return Err(Exit { status: 0, ..verdict });
        }
        Ok(findings.to_string())
    }

    fn is_set(&self, setting: Setting) -> bool {
        self.last(setting) == Some(&Value::Bool(true))
    }

    fn last(&self, setting: Setting) -> Option<&Value> {
        self.given.iter().rev().find(|(_, given, _)| *given == setting).map(|(_, _, value)| value)
    }

    /// A flag of an unbuilt feature stops the start, unless its value is the one that means "off".
    fn refuse_what_is_not_built(&self) -> Result<(), Exit> {
        for (name, setting, value) in &self.given {
            let is_off = match value {
                Value::Bool(on) => !on,
                Value::Int(number) => *number == 0,
                Value::Text(text) => text.is_empty(),
            };
            if let (Setting::NotBuilt(feature), false) = (setting, is_off) {
                return Err(Exit::failure(format_args!(
                    "flag -{name} is not supported yet: it needs {feature}"
                )));
            }
        }
        Ok(())
    }

    /// A URL says where to listen for routes.
    fn override_cluster(&self, options: &mut Options) -> Result<(), Exit> {
        if let Some(Value::Text(url)) = self.last(Setting::Cluster) {
            options.cluster = PeerPort::of_url(url).map_err(Exit::failure)?;
        }
        Ok(())
    }

    /// Any flag of TLS turns it on, over what the file says.
    fn override_tls(&self, options: &mut Options) -> Result<(), Exit> {
        let text = |setting| match self.last(setting) {
            Some(Value::Text(text)) if !text.is_empty() => Some(PathBuf::from(text)),
            _ => None,
        };
        let verify = self.is_set(Setting::TlsVerify);
        let (cert, key) = (text(Setting::TlsCert), text(Setting::TlsKey));
        let authority = text(Setting::TlsCaCert);
        let asked = verify || cert.is_some() || key.is_some() || authority.is_some();
        if !asked && !self.is_set(Setting::Tls) {
            return Ok(());
        }
        let Some(cert_file) = cert else {
            return Err(Exit::failure("TLS Server certificate must be present and valid"));
        };
        let Some(key_file) = key else {
            return Err(Exit::failure("TLS Server private key must be present and valid"));
        };
        let mut tls = options.tls.take().unwrap_or_default();
        tls.certificates = vec![CertificatePair { cert_file, key_file }];
        tls.verify |= verify;
        tls.ca_file = authority.or(tls.ca_file);
        TlsContext::load(&tls).map_err(Exit::failure)?;
        options.tls = Some(tls);
        Ok(())
    }

    /// Puts the flags over what the options already say, in the order given.
    fn override_options(&self, options: &mut Options) -> Result<(), Exit> {
        for (name, setting, value) in &self.given {
            apply(*setting, value, options).map_err(|reason| {
                Exit::failure(format_args!("invalid value for flag -{name}: {reason}"))
            })?;
        }
        Ok(())
    }
}

/// Takes the dashes off and parts the name from a value behind `=`.
fn split_flag(argument: &str) -> Result<(&'static Flag, String, Option<String>), FlagError> {
    let stripped = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'));
    let body = stripped.unwrap_or(argument);
    if body.is_empty() || body.starts_with('-') || body.starts_with('=') {
        return Err(FlagError::Syntax(argument.to_owned()));
    }
    let (name, value) = match body.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (body, None),
    };
    let flag = flags::find(name).ok_or_else(|| FlagError::Unknown(name.to_owned()))?;
    Ok((flag, name.to_owned(), value))
}

fn typed(flag: &Flag, name: &str, value: String) -> Result<Value, FlagError> {
    let name = || name.to_owned();
    match flag.kind {
        Kind::Text => Ok(Value::Text(value)),
        Kind::Bool => match go_number::parse_bool(&value) {
            Some(on) => Ok(Value::Bool(on)),
            None => Err(FlagError::Bool { name: name(), value }),
        },
        Kind::Int => match go_number::parse_int(&value) {
            Ok(number) => Ok(Value::Int(number)),
            Err(error) => Err(FlagError::Number { name: name(), value, error }),
        },
    }
}

fn apply(setting: Setting, value: &Value, options: &mut Options) -> Result<(), &'static str> {
    match value {
        Value::Bool(on) => apply_switch(setting, *on, options),
        Value::Int(number) => return apply_number(setting, *number, options),
        Value::Text(text) => apply_text(setting, text, options),
    }
    Ok(())
}

fn apply_switch(setting: Setting, on: bool, options: &mut Options) {
    match setting {
        Setting::LogTime => options.log_time = on,
        Setting::LogTimeUtc => options.log_time_utc = on,
        Setting::Syslog => options.syslog = on,
        Setting::Debug => options.debug = on,
        Setting::JetStream => options.jetstream.enabled = on,
        Setting::Trace => options.trace = on,
        Setting::TraceVerbose => {
            options.trace_verbose = on;
            options.trace = on;
        }
        Setting::DebugAndTrace => {
            options.debug = on;
            options.trace = on;
        }
        Setting::DebugAndTraceVerbose => {
            options.debug = on;
            options.trace = on;
            options.trace_verbose = on;
        }
        _ => {}
    }
}

fn apply_number(setting: Setting, number: i64, options: &mut Options) -> Result<(), &'static str> {
    let not_negative = || u64::try_from(number).map_err(|_| "it must not be negative");
    match setting {
        // As in a Go program that leaves a field at zero: the default.
        Setting::Port if number == 0 => options.port = PORT_DEFAULT,
        Setting::Port => options.port = i32::try_from(number).map_err(|_| "it is no port")?,
        Setting::HttpPort => {
            options.http_port = i32::try_from(number).map_err(|_| "it is no port")?;
        }
        Setting::HttpsPort => {
            options.https_port = i32::try_from(number).map_err(|_| "it is no port")?;
        }
        Setting::Shards => {
            options.shards = Some(usize::try_from(not_negative()?).map_err(|_| "it is too large")?);
        }
        Setting::LogSizeLimit => options.log_size_limit = not_negative()?,
        Setting::MaxTracedMsgLen => {
            options.max_traced_msg_len = usize::try_from(number).unwrap_or(0);
        }
        _ => {}
    }
    Ok(())
}

fn apply_text(setting: Setting, text: &str, options: &mut Options) {
    let some = (!text.is_empty()).then(|| text.to_owned());
    match setting {
        Setting::Host => options.host = some.unwrap_or_else(|| Options::default().host),
        Setting::ServerName => options.server_name = some,
        Setting::ClusterName => options.cluster_name = some,
        Setting::ClientAdvertise => options.client_advertise = some,
        Setting::User => options.user = some,
        Setting::Password => options.password = some,
        Setting::Token => options.token = some,
        Setting::PidFile => options.pid_file = some.map(PathBuf::from),
        Setting::PortsFileDir => options.ports_file_dir = some.map(PathBuf::from),
        Setting::RemoteSyslog => options.remote_syslog = some,
        Setting::LogFile => options.log_file = some.map(PathBuf::from),
        Setting::StoreDir => options.store_dir = some.map(PathBuf::from),
        _ => {}
    }
}

fn program_name(argument: Option<&OsString>) -> String {
    let path = argument.map(Path::new);
    let name = path.and_then(Path::file_name).unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invoke(words: &[&str]) -> Invocation {
        let program = std::iter::once("midge");
        parse_command_line(program.chain(words.iter().copied()).map(OsString::from))
    }

    fn options(words: &[&str]) -> Options {
        match invoke(words) {
            Invocation::Run { options, .. } => *options,
            Invocation::Exit(exit) => panic!("{words:?}: {exit:?}"),
        }
    }

    fn exit(words: &[&str]) -> Exit {
        match invoke(words) {
            Invocation::Run { .. } => panic!("{words:?} runs"),
            Invocation::Exit(exit) => exit,
        }
    }

    #[test]
    fn no_words_mean_the_defaults() {
        assert_eq!(options(&[]), Options::default());
    }

    #[test]
    fn one_dash_or_two_and_equals_or_blank_are_the_same() {
        for words in [&["-p", "5"][..], &["--p=5"], &["-port=5"], &["--port", "5"], &["-p", "0x5"]]
        {
            assert_eq!(options(words).port, 5, "{words:?}");
        }
    }

    #[test]
    fn later_flags_win() {
        assert_eq!(options(&["-a", "::1", "--net", "127.0.0.1"]).host, "127.0.0.1");
        assert!(!options(&["-DV", "-D=false"]).debug);
    }

    #[test]
    fn switches_combine() {
        let all = options(&["-DVV"]);
        assert!(all.debug && all.trace && all.trace_verbose);
        let verbose = options(&["-VV"]);
        assert!(!verbose.debug && verbose.trace && verbose.trace_verbose);
        assert!(!options(&["-T=false"]).log_time);
    }

    #[test]
    fn zero_port_is_the_default_and_minus_one_any() {
        assert_eq!(options(&["-p", "0"]).port, 4222);
        assert_eq!(options(&["-p", "-1"]).bind_port(), 0);
    }

    #[test]
    fn flag_errors_print_usage_and_leave_with_zero() {
        for (words, text) in [
            (&["-x"][..], "flag provided but not defined: -x\n"),
            (&["--nope=1"], "flag provided but not defined: -nope\n"),
            (&["-p"], "flag needs an argument: -p\n"),
            (&["--port"], "flag needs an argument: -port\n"),
            (&["-p", "abc"], "invalid value \"abc\" for flag -p: parse error\n"),
            (
                &["-p", "99999999999999999999"],
                "invalid value \"99999999999999999999\" for flag -p: value out of range\n",
            ),
            (&["-D=maybe"], "invalid boolean value \"maybe\" for -D: parse error\n"),
            (&["---x"], "bad flag syntax: ---x\n"),
            (&["-=x"], "bad flag syntax: -=x\n"),
        ] {
            let exit = exit(words);
            assert_eq!(exit.stderr, text);
            assert_eq!(exit.status, 0);
            assert!(exit.stdout.starts_with("\nUsage: "));
        }
    }

    #[test]
    fn words_behind_the_flags_are_commands() {
        for words in [&["foo"][..], &["-D", "foo"], &["--", "foo"], &["foo", "version"]] {
            let exit = exit(words);
            assert_eq!(exit.stderr, "nats-server: unrecognized command: \"foo\"\n");
            assert_eq!(exit.status, 1);
        }
        assert_eq!(exit(&["-"]).stderr, "nats-server: unrecognized command: \"-\"\n");
        for words in [&["version"][..], &["-p", "3", "version"], &["VERSION"], &["-v", "foo"]] {
            assert!(exit(words).stdout.starts_with("nats-server: v2.15.1\n"), "{words:?}");
        }
        assert!(exit(&["help"]).stdout.starts_with("\nUsage: "));
        assert!(exit(&["completions", "fish"]).stdout.starts_with("complete -c midge"));
        assert_eq!(exit(&["completions", "csh"]).status, 1);
        assert!(exit(&["man"]).stdout.starts_with(".TH MIDGE 1"));
    }

    #[test]
    fn a_flag_of_an_unbuilt_feature_stops_the_start() {
        for words in [&["--profile", "1"][..], &["--routes", "nats://x:1"]] {
            let exit = exit(words);
            assert_eq!(exit.status, 1, "{words:?}");
            assert!(exit.stderr.starts_with("nats-server: flag -"), "{words:?}");
            assert!(exit.stderr.contains("is not supported yet"), "{words:?}");
        }
    }

    #[test]
    fn switching_an_unbuilt_feature_off_is_fine() {
        assert_eq!(
            options(&["-js=false", "-ms", "0", "--tls=false", "--no_advertise=false"]).port,
            4222
        );
    }

    #[test]
    fn store_dir_is_taken_and_remembered() {
        for words in [&["-sd", "d"][..], &["--store_dir", "d"], &["-sd=d"]] {
            assert_eq!(options(words).store_dir, Some(PathBuf::from("d")));
        }
    }

    #[test]
    fn texts_and_numbers_reach_their_options() {
        let options = options(&[
            "-a",
            "::1",
            "-n",
            "one",
            "--user",
            "u",
            "--pass",
            "p",
            "-P",
            "pid",
            "-l",
            "log",
            "--client_advertise",
            "h:1",
            "--shards",
            "3",
            "--max_traced_msg_len",
            "8",
        ]);
        assert_eq!(options.host, "::1");
        assert_eq!(options.server_name.as_deref(), Some("one"));
        assert_eq!(options.user.as_deref(), Some("u"));
        assert_eq!(options.password.as_deref(), Some("p"));
        assert_eq!(options.pid_file, Some(PathBuf::from("pid")));
        assert_eq!(options.log_file, Some(PathBuf::from("log")));
        assert_eq!(options.client_advertise.as_deref(), Some("h:1"));
        assert_eq!(options.shards, Some(3));
        assert_eq!(options.max_traced_msg_len, 8);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests read the files they made")]
    fn flags_override_the_file() {
        let path = std::env::temp_dir().join(format!("midge-cli-{}.conf", std::process::id()));
        let name = path.to_str().unwrap();
        std::fs::write(&path, "port: 5\nserver_name: one\ndebug: true\n").unwrap();
        for words in [["-p", "6", "-c", name], ["-c", name, "-p", "6"]] {
            let options = options(&words);
            assert_eq!((options.port, options.server_name.as_deref()), (6, Some("one")));
        }
        assert!(!options(&["-c", name, "-D=false"]).debug);
        let verdict = exit(&["-t", "-c", name]);
        assert!(verdict
            .stderr
            .starts_with(&format!("nats-server: configuration file {name} is valid (sha256:")));
        assert_eq!(verdict.status, 0);

        std::fs::write(&path, "ping_interval: 5\n").unwrap();
        assert_eq!(options(&["-c", name]).ping_interval.as_secs(), 5);
        let verdict = exit(&["-t", "-c", name]);
        assert!(verdict.stderr.ends_with("should be converted to a duration\n\n"));
        assert_eq!(verdict.status, 1);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_read_stops_the_start() {
        let exit = exit(&["-c", "/nonexistent"]);
        assert_eq!(exit.stderr, "nats-server: open /nonexistent: no such file or directory\n");
        assert_eq!(exit.status, 1);
    }

    #[test]
    fn a_test_run_needs_a_file() {
        let exit = exit(&["-t"]);
        assert_eq!(
            exit.stderr,
            "nats-server: must specify [-c, --config] option to check configuration file syntax\n"
        );
    }

    #[test]
    fn validation_speaks_with_status_one() {
        let exit = exit(&["-n", "a b"]);
        assert_eq!(exit.stderr, "nats-server: server name cannot contain spaces\n");
        assert_eq!(exit.status, 1);
    }
}
