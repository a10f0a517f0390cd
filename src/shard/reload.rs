//! The control plane: one thread that reads the configuration anew and finds
//! the accounts of operator mode. What it finds, shard 0 makes the version of
//! all shards. Nobody else makes versions, so each follows from the one before.
//!
//! Bound: a request for each signal, and for each account that a shard asks for
//! (`WANTED_MAX` a shard). Accounts are fetched over HTTP by [`FETCHERS`] threads,
//! so that a server of tokens that does not answer holds up no reload.

use std::sync::mpsc::{channel, sync_channel, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::accounts::{unix_now, Accounts};
use super::claims;
use super::core::{AccountsChange, CoreConfig, Settings};
use super::listen::Addresses;
use super::monitoring;
use super::ports_file::{Ports, PortsFile};
use super::resolver::Resolver;
use super::settings::{core_config, directory, tls_listener, websocket_listener};
use super::start::{write_pid_file, Identity};
use super::transport::TlsListener;
use super::websocket::WebSocketListener;
use crate::account::Directory;
use crate::config::{self, Options};
use crate::log::{Log, LogTarget, OpenTarget};
use crate::monitor::{ClaimsReply, ServerFacts, Update};

/// Threads that fetch accounts over HTTP.
const FETCHERS: usize = 4;

/// Bytes of such a thread's stack, and of the control plane's.
const STACK_BYTES: usize = 1 << 20;

/// Who has asked for a reload and waits for how it went.
type Asker = SyncSender<Result<(), String>>;

/// What the control plane is asked for.
#[derive(Debug)]
pub(super) enum Request {
    /// The configuration is to be read anew; who asks may wait for how that went.
    Reload(Option<Asker>),
    /// Something is asked of accounts in the system account.
    Claims {
        subject: String,
        payload: Vec<u8>,
        /// Who waits for what is said to that.
        asker: SyncSender<Vec<ClaimsReply>>,
    },
    /// A shard wants to know an account.
    Resolve(Box<str>),
    /// The server ends; who asks waits until nothing is left to be done here.
    End(SyncSender<()>),
    /// A thread has asked for an account.
    Fetched {
        account: Box<str>,
        /// `None`: nobody knows it.
        token: Option<String>,
    },
}

/// A version on its way to shard 0.
#[derive(Debug)]
pub(super) enum Version {
    /// All settings are new.
    Settings(Box<Reloaded>),
    /// Only accounts are.
    Accounts(Arc<AccountsChange>),
}

/// A version of the settings on its way to shard 0.
#[derive(Debug)]
pub(super) struct Reloaded {
    pub(super) settings: Arc<Settings>,
    pub(super) connections_max: usize,
    /// Connections that may come in one second.
    pub(super) rate_max: Option<u32>,
    pub(super) trace: bool,
    /// What to say when it has taken effect.
    pub(super) changes: Vec<String>,
    pub(super) digest: String,
    log_time: bool,
    log_time_utc: bool,
    /// TLS of the client port, its files read anew.
    pub(super) tls: Option<TlsListener>,
    /// The WebSocket port.
    pub(super) websocket: Option<Arc<WebSocketListener>>,
    /// Where the log goes from now on, if that changes.
    target: Option<OpenTarget>,
}

/// Knows the options and accounts that hold now.
pub(super) struct Reloader {
    options: Options,
    identity: Identity,
    addresses: Addresses,
    directory: Arc<Directory>,
    accounts: Accounts,
    fetchers: Vec<Sender<Box<str>>>,
    fetched: usize,
    /// When it was last decided what accounts may take from one another; seconds since 1970.
    settled_at: i64,
    log: Log,
    versions: Sender<Version>,
    /// What monitoring shows, and where it takes what is new of it.
    shown: Option<(ServerFacts, Sender<Update>)>,
    /// The listeners, and the file that tells of them.
    ports: Option<(Ports, Option<PortsFile>)>,
}

/// How long nothing need be asked at most until the control plane looks at the time.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// How long who asks for a reload waits for it.
const RELOAD_WAIT: Duration = Duration::from_secs(5);

impl Reloader {
    /// A reloader of `options`, and where shard 0 finds what it has read.
    pub(super) fn new(
        options: &Options,
        identity: Identity,
        addresses: Addresses,
        directory: Arc<Directory>,
        accounts: Accounts,
        log: &Log,
    ) -> (Self, Receiver<Version>) {
        let (versions, received) = channel();
        let reloader = Self {
            settled_at: accounts.opened_at(),
            options: options.clone(),
            identity,
            addresses,
            directory,
            accounts,
            fetchers: Vec::new(),
            fetched: 0,
            log: log.clone(),
            versions,
            shown: None,
            ports: None,
        };
        (reloader, received)
    }

    /// The ports file goes where reloads say.
    pub(super) fn moves(&mut self, ports: Ports, file: Option<PortsFile>) {
        self.ports = Some((ports, file));
    }

    /// The server ends: its ports mean nothing any more.
    fn remove_ports_file(&mut self) {
        if let Some((_, Some(file))) = self.ports.take() {
            file.remove(&self.log);
        }
    }

    /// From now on monitoring hears of what a reload changes.
    pub(super) fn show(&mut self, facts: ServerFacts, updates: Sender<Update>) {
        self.shown = Some((facts, updates));
    }

    /// Starts the thread; `wake` tells shard 0 that there is a version. It ends when nobody is
    /// left who could ask.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start(
        mut self,
        asked: Receiver<Request>,
        requests: &Sender<Request>,
        wake: impl Fn() + Send + 'static,
    ) -> std::io::Result<()> {
        if let Resolver::Url(_) = self.accounts.resolver() {
            for number in 0..FETCHERS {
                self.fetchers.push(start_fetcher(
                    number,
                    self.accounts.resolver().clone(),
                    requests.clone(),
                )?);
            }
        }
        self.learn_all_exporters();
        let serve = move || {
            loop {
                // When an account may take something more or less from another one.
                let due = self.accounts.next_activation(self.settled_at);
                let wait = due.map_or(WAIT_MAX, seconds_until).min(WAIT_MAX);
                let has_version = match asked.recv_timeout(wait) {
                    Ok(request) => self.handle(request),
                    Err(RecvTimeoutError::Timeout) => {
                        due.is_some_and(|due| due <= unix_now()) && self.renew(Vec::new())
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                if has_version {
                    wake();
                }
            }
        };
        thread::Builder::new().name("control".to_owned()).stack_size(STACK_BYTES).spawn(serve)?;
        Ok(())
    }

    /// Does what is asked for. Returns whether there is a version for shard 0.
    fn handle(&mut self, request: Request) -> bool {
        match request {
            Request::Reload(asker) => self.reload(asker),
            Request::Claims { subject, payload, asker } => {
                let system = self.options.access.system_account_name();
                let served = claims::serve(&mut self.accounts, &subject, &payload, system);
                for account in &served.changed {
                    self.learn_exporters(account);
                }
                let has_version = !served.changed.is_empty() && self.renew(served.changed);
                // It may have stopped waiting.
                drop(asker.try_send(served.replies));
                has_version
            }
            Request::Resolve(account) => self.resolve(account),
            Request::Fetched { account, token } => self.take_account(account, token),
            Request::End(asker) => {
                self.remove_ports_file();
                let _it_may_have_stopped_waiting = asker.try_send(());
                false
            }
        }
    }

    /// Reads the file, because of a signal or because somebody asks.
    fn reload(&mut self, asker: Option<Asker>) -> bool {
        let outcome = match self.read() {
            // Nobody receives once shard 0 has stopped; then nothing matters.
            Ok(version) => {
                let sent = self.versions.send(Version::Settings(Box::new(version)));
                sent.map_err(|_| "server stops".to_owned())
            }
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

    /// Looks for an account that nobody knew when it was asked for.
    fn resolve(&mut self, account: Box<str>) -> bool {
        let known = self.directory.account_named(&account);
        if known.is_some_and(|account| account.claims.is_some()) {
            // Another shard has asked before.
            return self.publish(vec![account], Vec::new());
        }
        if self.fetchers.is_empty() {
            let token = self.accounts.resolver().fetch(&account);
            return self.take_account(account, token);
        }
        match self.send_to_fetcher(account) {
            Ok(()) => false,
            // The thread cannot have ended before this one.
            Err(account) => self.publish(Vec::new(), vec![account]),
        }
    }

    fn send_to_fetcher(&mut self, account: Box<str>) -> Result<(), Box<str>> {
        self.fetched = (self.fetched + 1) % self.fetchers.len();
        self.fetchers[self.fetched].send(account).map_err(|refused| refused.0)
    }

    /// Those that are at hand are known. The others that they take something from have to be asked
    /// for.
    fn learn_all_exporters(&mut self) {
        if self.fetchers.is_empty() {
            return;
        }
        for account in self.accounts.names() {
            self.learn_exporters(&account);
        }
    }

    /// An account is known now: those that it takes something from are looked for.
    fn learn_exporters(&mut self, importer: &str) {
        let mut wanted = self.accounts.unknown_exporters(importer);
        while let Some(name) = wanted.pop() {
            if !self.fetchers.is_empty() {
                // What becomes of it is told when it is there.
                drop(self.send_to_fetcher(name));
                continue;
            }
            let Some(token) = self.accounts.resolver().fetch(&name) else { continue };
            match self.accounts.learn(&name, &token) {
                Ok(()) => wanted.extend(self.accounts.unknown_exporters(&name)),
                Err(refusal) => {
                    self.log.error(format_args!("Account [{name}] fetch failed: {refusal}"));
                }
            }
        }
    }

    fn take_account(&mut self, account: Box<str>, token: Option<String>) -> bool {
        let learned = token.map(|token| self.accounts.learn(&account, &token));
        match learned {
            Some(Ok(())) => {}
            Some(Err(refusal)) => {
                self.log.error(format_args!("Account [{account}] fetch failed: {refusal}"));
                return self.publish(Vec::new(), vec![account]);
            }
            None => return self.publish(Vec::new(), vec![account]),
        }
        self.learn_exporters(&account);
        self.renew(vec![account])
    }

    /// Makes a version in which accounts are as they are known now.
    fn renew(&mut self, changed: Vec<Box<str>>) -> bool {
        self.settled_at = unix_now();
        match directory(&self.options, &self.accounts, Some(&self.directory)) {
            Ok(directory) => {
                self.directory = Arc::new(directory);
                self.publish(changed, Vec::new())
            }
            Err(error) => {
                self.log.error(format_args!("Accounts cannot be taken: {error}"));
                self.publish(Vec::new(), changed)
            }
        }
    }

    /// Sends a version in which accounts have changed, or are known not to be.
    fn publish(&mut self, changed: Vec<Box<str>>, missing: Vec<Box<str>>) -> bool {
        let directory = Arc::clone(&self.directory);
        let ids = changed.iter().filter_map(|name| directory.account_named(name));
        let changed = ids.map(|account| account.id).collect();
        let change = AccountsChange { directory, changed, missing };
        self.versions.send(Version::Accounts(Arc::new(change))).is_ok()
    }

    fn read(&mut self) -> Result<Reloaded, Box<dyn std::error::Error>> {
        let read = config::reload(&self.options)?;
        let options = *read.options;
        let accounts = Accounts::open(&options, &self.log)?;
        let settled_at = accounts.opened_at();
        let directory = Arc::new(directory(&options, &accounts, Some(&self.directory))?);
        let core = core_config(&options, 0, 1, &self.identity, self.addresses, &directory, 0);
        let tls = tls_listener(&options)?;
        let websocket = websocket_listener(&options)?;
        let shown = self.shown.as_ref().map(|(facts, _)| {
            monitoring::of_reload(&options, &self.identity, self.addresses, facts)
        });
        let shown = shown.transpose()?;
        let (old, new) = (log_target(&self.options), log_target(&options));
        let target = if old == new { None } else { Some(OpenTarget::open(&new)?) };
        // Nothing is refused any more from here on.
        if options.pid_file != self.options.pid_file {
            write_pid_file(&options, &self.log);
        }
        if options.ports_file_dir != self.options.ports_file_dir {
            self.move_ports_file(&options);
        }
        if let (Some((facts, updates)), Some(update)) = (&mut self.shown, shown) {
            *facts = update.facts.clone();
            // The monitor lives as long as the process.
            drop(updates.send(update));
        }
        self.directory = directory;
        self.accounts = accounts;
        self.settled_at = settled_at;
        self.learn_all_exporters();
        self.options = options;
        let options = &self.options;
        Ok(Reloaded {
            trace: core.trace.is_some(),
            settings: Arc::new(settings(core)),
            tls,
            websocket,
            target,
            connections_max: options.max_connections,
            rate_max: options.tls.as_ref().and_then(|tls| tls.connection_rate_limit),
            changes: read.changes,
            digest: options.config_digest.clone().unwrap_or_default(),
            log_time: options.log_time,
            log_time_utc: options.log_time_utc,
        })
    }

    fn move_ports_file(&mut self, options: &Options) {
        let Some((ports, file)) = &mut self.ports else { return };
        if let Some(old) = file.take() {
            old.remove(&self.log);
        }
        *file = PortsFile::write(options, ports, &self.log);
    }
}

/// How long it takes until a moment, in seconds since 1970.
fn seconds_until(moment: i64) -> Duration {
    Duration::from_secs(u64::try_from(moment.saturating_sub(unix_now())).unwrap_or(0))
}

/// Has the control plane serve a request, and waits for what is to be said to it.
pub(super) fn ask_claims(
    requests: &Sender<Request>,
    subject: &str,
    payload: &[u8],
) -> Vec<ClaimsReply> {
    let (asker, answered) = sync_channel(1);
    let (subject, payload) = (subject.to_owned(), payload.to_vec());
    match requests.send(Request::Claims { subject, payload, asker }) {
        Ok(()) => answered.recv_timeout(RELOAD_WAIT).unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

/// Has the control plane read the file, and waits for how that went.
pub(super) fn ask(requests: &Sender<Request>) -> Result<(), String> {
    let (answer, answered) = sync_channel(1);
    requests.send(Request::Reload(Some(answer))).map_err(|_| "server stops".to_owned())?;
    answered.recv_timeout(RELOAD_WAIT).unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

/// Lets the control plane end what it has begun, and waits for it.
pub(super) fn end(requests: &Sender<Request>) {
    let (answer, answered) = sync_channel(1);
    if requests.send(Request::End(answer)).is_ok() {
        let _one_that_hangs_is_left_alone = answered.recv_timeout(RELOAD_WAIT);
    }
}

impl Reloaded {
    /// Lets the log be as the new options say.
    pub(super) fn apply_to(&mut self, log: &Log) {
        log.set_levels(self.settings.debug, self.trace);
        for line in &self.changes {
            log.info(format_args!("{line}"));
        }
        log.set_look(self.log_time, self.log_time_utc);
        if let Some(target) = self.target.take() {
            log.set_target(target);
        }
    }
}

/// A thread that asks for accounts and tells the control plane what it was answered.
fn start_fetcher(
    number: usize,
    resolver: Resolver,
    requests: Sender<Request>,
) -> std::io::Result<Sender<Box<str>>> {
    let (wanted, names) = channel::<Box<str>>();
    let fetch = move || {
        for account in names {
            let token = resolver.fetch(&account);
            if requests.send(Request::Fetched { account, token }).is_err() {
                return;
            }
        }
    };
    let name = format!("accounts-{number}");
    thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(fetch)?;
    Ok(wanted)
}

fn settings(core: CoreConfig) -> Settings {
    Settings {
        directory: core.directory,
        info: core.info,
        parser: core.parser,
        keepalive: core.keepalive,
        websocket: core.websocket,
        write_deadline: core.write_deadline,
        auth_timeout: core.auth_timeout,
        drop_when_high: core.drop_when_high,
        debug: core.debug,
        trace: core.trace,
    }
}

/// Where the log goes. A file counts more than a daemon elsewhere, and that more than the one here.
pub fn log_target(options: &Options) -> LogTarget {
    if let Some(path) = &options.log_file {
        let (bytes_max, files_max) = (options.log_size_limit, options.log_max_files);
        return LogTarget::File { path: path.clone(), bytes_max, files_max };
    }
    match &options.remote_syslog {
        Some(remote) => LogTarget::Syslog { remote: Some(remote.clone()) },
        None if options.syslog => LogTarget::Syslog { remote: None },
        None => LogTarget::Stderr,
    }
}
