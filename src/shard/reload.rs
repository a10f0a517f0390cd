//! Reload: the configuration file is read on the signal thread, shard 0 makes
//! what it says the version of all shards.

use std::net::SocketAddr;
use std::sync::mpsc::{channel, sync_channel, Receiver, Sender, SyncSender};
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::SIGHUP;
use signal_hook::low_level::raise;

use super::core::{CoreConfig, Settings};
use super::monitoring;
use super::start::{core_config, directory, server_info, tls_listener, write_pid_file, Identity};
use super::transport::TlsListener;
use crate::account::Directory;
use crate::config::{self, Options};
use crate::log::Log;
use crate::monitor::{Reload, ServerFacts};
use crate::proto::InfoTemplate;

/// A version of the settings on its way to shard 0.
#[derive(Debug)]
pub(super) struct Reloaded {
    pub(super) settings: Arc<Settings>,
    pub(super) connections_max: usize,
    pub(super) trace: bool,
    /// What to say when it has taken effect.
    pub(super) changes: Vec<String>,
    pub(super) digest: String,
    log_time: bool,
    log_time_utc: bool,
    /// TLS of the client port, its files read anew.
    pub(super) tls: Option<TlsListener>,
}

/// The signal thread's part: knows the options that hold now.
pub(super) struct Reloader {
    options: Options,
    identity: Identity,
    address: SocketAddr,
    directory: Arc<Directory>,
    log: Log,
    versions: Sender<Reloaded>,
    /// What monitoring shows, and where it takes what is new of it.
    shown: Option<(ServerFacts, Sender<ServerFacts>)>,
    /// Who has asked for a reload and waits for how it went.
    asked: Receiver<SyncSender<Result<(), String>>>,
}

/// How long who asks for a reload waits for it.
const RELOAD_WAIT: Duration = Duration::from_secs(5);

impl Reloader {
    /// A reloader of `options`, and where shard 0 finds what it has read.
    pub(super) fn new(
        options: &Options,
        identity: Identity,
        address: SocketAddr,
        directory: Arc<Directory>,
        log: &Log,
    ) -> (Self, Receiver<Reloaded>, Reload) {
        let (versions, received) = channel();
        let (asks, asked) = channel();
        let log = log.clone();
        let options = options.clone();
        let reloader =
            Self { options, identity, address, directory, log, versions, shown: None, asked };
        (reloader, received, Box::new(move || ask(&asks)))
    }

    /// From now on monitoring hears of what a reload changes.
    pub(super) fn show(&mut self, facts: ServerFacts, updates: Sender<ServerFacts>) {
        self.shown = Some((facts, updates));
    }

    /// Reads the file, because of a signal or because somebody asks. Returns whether there is a
    /// version for shard 0.
    pub(super) fn reload(&mut self) -> bool {
        let asker = self.asked.try_recv().ok();
        if asker.is_none() {
            self.log.info(format_args!("Trapped \"hangup\" signal"));
        }
        let outcome = match self.read() {
            // Nobody receives once shard 0 has stopped; then nothing matters.
            Ok(version) => self.versions.send(version).map_err(|_| "server stops".to_owned()),
            Err(text) => {
                self.log.error(format_args!("Failed to reload server configuration: {text}"));
                Err(text.to_string())
            }
        };
        let has_version = outcome.is_ok();
        if let Some(asker) = asker {
            // It may have stopped waiting.
            drop(asker.try_send(outcome));
        }
        has_version
    }

    fn read(&mut self) -> Result<Reloaded, Box<dyn std::error::Error>> {
        let read = config::reload(&self.options)?;
        let options = *read.options;
        let directory = Arc::new(directory(&options, Some(&self.directory))?);
        let info = server_info(&options, &self.identity, self.address);
        let info = Arc::new(InfoTemplate::new(&info));
        let core = core_config(&options, 0, 1, &info, &directory, 0);
        let tls = tls_listener(&options)?;
        if options.pid_file != self.options.pid_file {
            write_pid_file(&options, &self.log);
        }
        self.directory = directory;
        self.options = options;
        let options = &self.options;
        if let Some((facts, updates)) = &mut self.shown {
            *facts = monitoring::facts_of_reload(options, &self.identity, self.address, facts);
            // The monitor lives as long as the process.
            drop(updates.send(facts.clone()));
        }
        Ok(Reloaded {
            trace: core.trace.is_some(),
            settings: Arc::new(settings(core)),
            tls,
            connections_max: options.max_connections,
            changes: read.changes,
            digest: options.config_digest.clone().unwrap_or_default(),
            log_time: options.log_time,
            log_time_utc: options.log_time_utc,
        })
    }
}

/// Has the signal thread read the file, and waits for how that went.
fn ask(asks: &Sender<SyncSender<Result<(), String>>>) -> Result<(), String> {
    let (answer, answered) = sync_channel(1);
    let gone = |_| "server stops".to_owned();
    asks.send(answer).map_err(gone)?;
    raise(SIGHUP).map_err(|error| error.to_string())?;
    answered.recv_timeout(RELOAD_WAIT).unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

impl Reloaded {
    /// Lets the log be as the new options say.
    pub(super) fn apply_to(&self, log: &Log) {
        log.set_levels(self.settings.debug, self.trace);
        for line in &self.changes {
            log.info(format_args!("{line}"));
        }
        log.set_look(self.log_time, self.log_time_utc);
    }
}

fn settings(core: CoreConfig) -> Settings {
    Settings {
        directory: core.directory,
        info: core.info,
        parser: core.parser,
        keepalive: core.keepalive,
        write_deadline: core.write_deadline,
        auth_timeout: core.auth_timeout,
        drop_when_high: core.drop_when_high,
        debug: core.debug,
        trace: core.trace,
    }
}
