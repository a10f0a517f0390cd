//! The words behind `midge top`, and one run.

use std::ffi::OsString;
use std::time::Duration;

use super::fetch::{Client, FetchError, Place};
use super::model::Model;
use super::settings::{Settings, Sort};
use super::{print, terminal};
use crate::config::Exit;

/// What `midge top --help` prints.
const HELP: &str = "
Usage: midge top [options] [<url>]

Shows a running server's shards and connections, once a second, from its
monitoring port: http://127.0.0.1:8222 unless <url> says otherwise. A nats-server
is shown without shards.

    -s <host>, -m <port>             Where the server is, in place of <url>
    -ms <port>                       The same over HTTPS
    -d, --delay <seconds>            Time between two looks (default: 1)
    -n, --limit <number>             Connections shown (default: 1024)
    --sort <order>                   Order of connections: cid, start, subs, pending, msgs_to,
                                     msgs_from, bytes_to, bytes_from, last, idle, uptime
    -u, --subs                       Show subscriptions
    -b, --raw                        Show numbers in full
    --rates                          Show messages and bytes of connections per second
    --once                           Look twice, the delay apart, print and leave
    --json                           Print as JSON (with --once)
    --cacert <file>                  Authorities that the server's certificate is checked against
    -k, --insecure                   Take any certificate
    -h, --help                       Show this message

";

/// What one run is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Command {
    place: Place,
    settings: Settings,
    once: bool,
    json: bool,
}

/// Why the words behind `top` mean nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum CommandError {
    #[error("unknown flag: {0}")]
    Unknown(String),
    #[error("{0} needs a value")]
    NoValue(String),
    #[error("{value:?} is no value for {flag}")]
    Value { flag: String, value: String },
    #[error("{0:?}: a URL begins with http:// or https://")]
    Url(String),
    #[error("no such order: {0:?}; there are {all}", all = Sort::all())]
    Sort(String),
    #[error("--json goes with --once")]
    JsonAlone,
}

/// Runs `midge top`; `words` are those behind it.
pub fn run(words: Vec<OsString>) -> Exit {
    let words: Vec<String> =
        words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    if words.iter().any(|word| ["-h", "-help", "--help"].contains(&word.as_str())) {
        return Exit::success(HELP);
    }
    let command = match Command::parse(words) {
        Ok(command) => command,
        Err(error) => return failure(error),
    };
    let client = match Client::new(&command.place) {
        Ok(client) => client,
        Err(error) => return failure(error),
    };
    if command.once {
        return command.once(&client).unwrap_or_else(failure);
    }
    match terminal::run(client, command.settings) {
        Ok(()) => Exit::default(),
        Err(error) => failure(error),
    }
}

fn failure(error: impl std::fmt::Display) -> Exit {
    Exit { stdout: String::new(), stderr: format!("midge top: {error}\n"), status: 1 }
}

impl Command {
    fn parse(words: Vec<String>) -> Result<Self, CommandError> {
        let mut settings = Settings::default();
        let (mut once, mut json, mut insecure, mut authorities) = (false, false, false, None);
        let (mut url, mut host, mut port, mut scheme) = (None, None, None, "http");
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if !word.starts_with('-') {
                url = Some(word);
                continue;
            }
            let (flag, attached) = match word.split_once('=') {
                Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            let mut value = || {
                attached
                    .clone()
                    .or_else(|| words.next())
                    .ok_or_else(|| CommandError::NoValue(flag.clone()))
            };
            match flag.trim_start_matches('-') {
                "once" => once = true,
                "json" => json = true,
                "u" | "subs" => settings.subscriptions = true,
                "b" | "raw" => settings.raw = true,
                "rates" => settings.rates = true,
                "k" | "insecure" => insecure = true,
                "cacert" => authorities = Some(value()?.into()),
                "s" => host = Some(value()?),
                "m" => port = Some(number::<u16>(&flag, value()?)?),
                "ms" => {
                    port = Some(number::<u16>(&flag, value()?)?);
                    scheme = "https";
                }
                "d" | "delay" => {
                    let seconds = number::<f64>(&flag, value()?)?;
                    settings.delay = Duration::from_secs_f64(seconds.clamp(0.05, 3600.0));
                }
                "n" | "limit" => settings.limit = number::<usize>(&flag, value()?)?.max(1),
                "sort" => {
                    let name = value()?;
                    settings.sort = Sort::find(&name).ok_or(CommandError::Sort(name))?;
                }
                _ => return Err(CommandError::Unknown(flag)),
            }
        }
        if json && !once {
            return Err(CommandError::JsonAlone);
        }
        let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
        let url = url.unwrap_or_else(|| format!("{scheme}://{host}:{}", port.unwrap_or(8222)));
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(CommandError::Url(url));
        }
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { place: Place { url, insecure, authorities }, settings, once, json })
    }

    /// Two looks, so that there are rates.
    #[expect(clippy::disallowed_methods, reason = "a command of its own, no shard is near")]
    fn once(&self, client: &Client) -> Result<Exit, FetchError> {
        let mut model = Model::default();
        model.handle_sample(client.sample(&self.settings)?);
        std::thread::sleep(self.settings.delay);
        model.handle_sample(client.sample(&self.settings)?);
        let view = model.view(&self.settings);
        Ok(Exit::success(if self.json { print::json(&view) } else { print::text(&view) }))
    }
}

fn number<T: std::str::FromStr>(flag: &str, value: String) -> Result<T, CommandError> {
    value.parse().map_err(|_| CommandError::Value { flag: flag.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, CommandError> {
        Command::parse(line.split_ascii_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn words_say_where_and_what() {
        assert_eq!(parse("").unwrap().place.url, "http://127.0.0.1:8222");
        assert_eq!(parse("-s h -ms 9").unwrap().place.url, "https://h:9");
        let command =
            parse("https://h:1/base/ --once --json -d 0.5 -n=3 --sort idle -u -b -k --rates")
                .unwrap();
        assert_eq!(command.place.url, "https://h:1/base");
        assert!(command.once && command.json && command.place.insecure);
        let settings = command.settings;
        assert_eq!(settings.delay, Duration::from_millis(500));
        assert_eq!((settings.limit, settings.sort.name()), (3, "idle"));
        assert!(settings.subscriptions && settings.raw && settings.rates);
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        for (line, complaint) in [
            ("--nope", "unknown flag: --nope"),
            ("-n", "-n needs a value"),
            ("-n x", "\"x\" is no value for -n"),
            ("-m 70000", "\"70000\" is no value for -m"),
            ("h:1", "\"h:1\": a URL begins with http:// or https://"),
            ("--json", "--json goes with --once"),
        ] {
            assert_eq!(parse(line).unwrap_err().to_string(), complaint);
        }
        assert!(parse("--sort stop")
            .unwrap_err()
            .to_string()
            .starts_with("no such order: \"stop\""));
        assert!(run(vec!["--help".into()]).stdout.starts_with("\nUsage: midge top"));
    }
}
