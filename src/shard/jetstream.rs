//! JetStream on its shard: what the engine's subscriptions got goes in, what it
//! says is carried out, and its journal is written by the shard's own ring.
//!
//! One shard owns all streams: shard 0. (The journal, the store and the engine
//! are made for one on every shard; what is missing is the front that sends a
//! request to the owner of its stream.)
//!
//! A turn: messages, new interest and due timers go to the engine; what it says
//! is published at once or waits for its commit; then everything staged is
//! written in one write. A completed write is acknowledged in the same turn.
//!
//! Bounds: [`ROUNDS_MAX`] rounds of the engine answering itself a turn; one
//! journal write in flight; `max_buffered_msgs` and `max_buffered_size` that wait for it, all
//! streams together, above which messages are refused with 429; [`WAITING_MAX`] jobs.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;

use super::core::{Captured, Core};
use crate::account::{Account, Directory, GLOBAL_ACCOUNT};
use serde_json::value::RawValue;

use crate::config::{CipherName, JetStreamOptions, Options, SyncInterval};
use crate::host::{self, Workers};
use crate::log::Log;
use crate::monitor::{
    AccountDetail, ApiFigures, Histogram, JetStreamAsk, JetStreamConfig, JetStreamSnapshot,
    StreamFigures, STREAMS_MAX,
};
use crate::net::Ring;
use crate::store::{
    Cipher, Commit, Damage, Disk, Job, JobResult, JournalWrite, RealDisk, Record, Replay, Store,
    StoreKey, StoreOptions, StreamId, StreamStore, Vault,
};
use crate::stream::{
    Context, DetailRequest, Engine, EngineConfig, JetStreamLimits, Outbox, Output, ServerIdentity,
    ServerLimits, Token,
};
use crate::subject::AccountId;

/// Rounds of the engine answering itself in one turn; the next turn goes on.
const ROUNDS_MAX: usize = 8;

/// Jobs that may wait for the worker threads.
const WAITING_MAX: usize = 256;
const WORKER_THREADS: usize = 2;

/// Things said in one turn, after which the shard turns to its sockets.
const OUTPUTS_MAX: usize = 4096;

/// Nanoseconds that a start waits for a store that is taken.
const TAKEN_WAIT: u64 = 2_000_000_000;

/// Nanoseconds after which files that could not be read or written are tried again.
const RETRY: u64 = 100_000_000;

/// What JetStream is started with.
#[derive(Clone, Debug)]
pub(super) struct JetStreamStart {
    /// Directory of the store.
    pub(super) folder: PathBuf,
    pub(super) options: JetStreamOptions,
    pub(super) server: ServerIdentity,
    pub(super) limits: ServerLimits,
    /// Accounts there are.
    pub(super) directory: Arc<Directory>,
    pub(super) seed: u64,
}

/// See the module's documentation.
pub(super) struct JetStream {
    engine: Engine,
    store: Store,
    disk: Arc<dyn Disk>,
    outbox: Outbox,
    captured: Captured,
    /// Nanoseconds since 1970 when the monotonic clock stood at 0.
    epoch: u64,
    write: Option<Rc<Held>>,
    /// When that was handed to the ring, by the monotonic clock.
    write_since: u64,
    commit_ns: Histogram,
    commit_bytes: Histogram,
    recovery_ns: u64,
    workers: Workers,
    done: (Sender<JobResult>, Receiver<JobResult>),
    running: usize,
    wake: Arc<dyn Fn() + Send + Sync>,
    snapshot: Vec<u8>,
    log: Log,
    /// Accounts that the engine knows.
    accounts: Vec<AccountId>,
    /// Staged messages and bytes above which messages are refused.
    staged_max: (u64, u64),
    /// The configuration as monitoring shows it.
    shown: JetStreamConfig,
    /// When a rollback that failed is tried again, by the monotonic clock.
    retry_at: Option<u64>,
    /// When work of the store is tried again that failed.
    resume_at: Option<u64>,
}

/// A journal write whose bytes the ring holds as well.
#[derive(Debug)]
struct Held(JournalWrite);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// The store's directory: below the one that is asked for, as nats-server has it.
pub(super) fn directory(options: &Options) -> PathBuf {
    let root = options.store_dir.clone().unwrap_or_else(|| std::env::temp_dir().join("nats"));
    root.join("jetstream")
}

impl JetStream {
    /// Opens the store and brings all streams back. Blocks; `wake` wakes this shard.
    ///
    /// # Errors
    /// What keeps JetStream from starting, in nats-server's words where it has any.
    pub(super) fn start(
        start: JetStreamStart,
        core: &mut Core,
        wake: Arc<dyn Fn() + Send + Sync>,
        log: &Log,
    ) -> Result<Self, String> {
        check_directory(&start.folder)?;
        let now = host::monotonic_ns();
        let epoch = unix_now().saturating_sub(now);
        let disk: Arc<dyn Disk> = Arc::new(open_disk(&start.folder.join("midge"))?);
        let shown = shown(&start);
        let mut engine = Engine::new(EngineConfig {
            server: start.server,
            limits: start.limits,
            strict: start.options.strict,
            seed: start.seed,
        });
        let mut replay = Replayed { engine: &mut engine, log, taken_back: Vec::new() };
        let key = store_key(&start.options);
        let vault = Vault::open(&*disk, key.as_ref()).map_err(|error| error.to_string())?;
        let options = StoreOptions { seed: start.seed, vault, ..StoreOptions::default() };
        let store = Store::open(Arc::clone(&disk), options, &mut replay)
            .map_err(|error| error.to_string())?;
        let workers =
            Workers::start(WORKER_THREADS, WAITING_MAX).map_err(|error| error.to_string())?;
        let mut jetstream = Self {
            engine,
            store,
            disk,
            outbox: Outbox::default(),
            captured: Captured::default(),
            epoch,
            write: None,
            write_since: 0,
            commit_ns: Histogram::default(),
            commit_bytes: Histogram::default(),
            recovery_ns: host::monotonic_ns().saturating_sub(now),
            workers,
            done: channel(),
            running: 0,
            wake,
            snapshot: Vec::new(),
            log: log.clone(),
            accounts: Vec::new(),
            staged_max: (start.options.max_buffered_msgs, start.options.max_buffered_size),
            shown,
            retry_at: None,
            resume_at: None,
        };
        jetstream.with_engine(core, now, |engine, ctx| {
            engine.finish_recovery(ctx);
        });
        jetstream.set_accounts(&start.directory, core, now);
        jetstream.carry_out(core);
        core.watch_interest(true);
        Ok(jetstream)
    }

    /// Lets the accounts of `directory` use JetStream as they may, and no others.
    pub(super) fn set_accounts(&mut self, directory: &Directory, core: &mut Core, now: u64) {
        let accounts = accounts(directory);
        let gone: Vec<AccountId> = self
            .accounts
            .iter()
            .copied()
            .filter(|id| !accounts.iter().any(|a| a.0 == *id))
            .collect();
        let known = std::mem::take(&mut self.accounts);
        self.with_engine(core, now, |engine, ctx| {
            for id in gone {
                engine.remove_account(id, ctx);
            }
            for (id, name, limits) in &accounts {
                if known.contains(id) {
                    engine.update_account(*id, *limits);
                } else {
                    engine.add_account(*id, name, *limits, ctx);
                }
            }
        });
        self.accounts = accounts.iter().map(|account| account.0).collect();
    }

    /// Lets the engine work on what has come; returns whether anything happened.
    pub(super) fn turn(&mut self, core: &mut Core, ring: &mut Ring, now: u64) -> bool {
        self.engine.begin_turn();
        let mut progress = self.take_results();
        progress |= self.carry_out(core);
        for _ in 0..ROUNDS_MAX {
            let mut busy = false;
            if core.has_captured() {
                core.take_captured(&mut self.captured);
                let mut captured = std::mem::take(&mut self.captured);
                let (messages_max, bytes_max) = self.staged_max;
                let is_refusing = self.store.is_refusing();
                self.with_engine(core, now, |engine, ctx| {
                    captured.drain(|incoming| {
                        let (messages, bytes) = ctx.stores.backlog();
                        let is_full = messages >= messages_max || bytes > bytes_max;
                        engine.set_overloaded(is_full || is_refusing);
                        engine.handle_message(incoming, ctx);
                    });
                });
                self.captured = captured;
                busy = true;
            }
            if core.has_new_interest() {
                let interest = core.take_interest();
                self.with_engine(core, now, |engine, ctx| {
                    for (account, pattern) in &interest {
                        engine.handle_interest(*account, pattern, ctx);
                    }
                });
                busy = true;
            }
            if self.engine.next_deadline().is_some_and(|at| at <= self.epoch + now) {
                self.with_engine(core, now, |engine, ctx| engine.handle_timers(ctx));
                busy = true;
            }
            busy |= self.carry_out(core);
            if !busy {
                break;
            }
            progress = true;
        }
        progress | self.drive_store(core, ring, now)
    }

    /// The journal's write is over.
    pub(super) fn handle_written(&mut self, result: Result<usize, i32>) {
        let Some(write) = self.write.take().and_then(Rc::into_inner) else { return };
        let Held(write) = write;
        let outcome = match result {
            Ok(written) if written == write.bytes().len() => Ok(()),
            Ok(_) => Err(io::Error::from(io::ErrorKind::WriteZero)),
            Err(errno) => Err(io::Error::from_raw_os_error(errno)),
        };
        self.commit_ns.record(host::monotonic_ns().saturating_sub(self.write_since));
        self.commit_bytes.record(write.bytes().len() as u64);
        if let Err(error) = &outcome {
            self.log.error(format_args!("JetStream journal could not be written: {error}"));
        }
        self.store.handle_written(write, &outcome);
    }

    /// When this wants to run, by the monotonic clock; at once if something waits.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        let engine = self.engine.next_deadline().map(|at| at.saturating_sub(self.epoch));
        [engine, self.retry_at, self.resume_at].into_iter().flatten().min()
    }

    /// Whether another turn has work without any completion.
    pub(super) fn has_work(&self, core: &Core) -> bool {
        core.has_captured()
            || core.has_new_interest()
            || self.outbox.has_ready(self.store.durable())
    }

    /// Prepares for the end: all that is known goes to the streams' own files. Returns whether
    /// it is there.
    pub(super) fn stop(&mut self) -> bool {
        let is_there = self.store.stop();
        while let Some(job) = self.store.take_job() {
            self.hand_out(job);
        }
        is_there && self.write.is_none()
    }

    /// The stream that a subscription is of, and the subject under which it stores a message.
    pub(super) fn stored_as(&self, token: Token, subject: &[u8]) -> Option<(String, String)> {
        self.engine.stored_as(token, subject)
    }

    /// What monitoring asks for.
    pub(super) fn figures(&mut self, ask: &JetStreamAsk, now: u64) -> JetStreamSnapshot {
        let accounts = self.engine.figures();
        let mut snapshot = JetStreamSnapshot {
            config: self.shown.clone(),
            accounts: accounts.len() as u64,
            staged_bytes: self.store.staged_bytes() as u64,
            commits: self.store.durable().0,
            commit_ns: self.commit_ns,
            commit_bytes: self.commit_bytes,
            recovery_ns: self.recovery_ns,
            per_stream: self.per_stream(),
            ..JetStreamSnapshot::default()
        };
        let disk_use = self.store.disk_use();
        snapshot.journal_bytes = disk_use.journal;
        snapshot.segment_bytes = disk_use.segments;
        snapshot.carried_bytes = disk_use.carried;
        for account in accounts {
            snapshot.memory += account.memory;
            snapshot.storage += account.storage;
            snapshot.reserved_memory += account.reserved_memory;
            snapshot.reserved_storage += account.reserved_storage;
            snapshot.api_total += account.api_total;
            snapshot.api_errors += account.api_errors;
            snapshot.streams += account.streams as u64;
            snapshot.consumers += account.consumers as u64;
            snapshot.messages += account.messages;
            snapshot.bytes += account.memory + account.storage;
            if ask.accounts && (ask.account.is_empty() || ask.account == account.name) {
                let detail = DetailRequest { config: ask.config, consumers: ask.consumers };
                let streams = ask.streams.then(|| {
                    let text = self.engine.stream_details(&account.name, detail, self.epoch + now);
                    RawValue::from_string(text).ok()
                });
                snapshot.details.push(AccountDetail {
                    name: account.name.clone(),
                    id: account.name,
                    memory: account.memory,
                    storage: account.storage,
                    reserved_memory: account.reserved_memory,
                    reserved_storage: account.reserved_storage,
                    accounts: 0,
                    ha_assets: 0,
                    api: ApiFigures {
                        level: 0,
                        total: account.api_total,
                        errors: account.api_errors,
                    },
                    stream_detail: streams.flatten(),
                });
            }
        }
        snapshot
    }

    /// Figures of the first streams, and of the others together.
    fn per_stream(&self) -> Vec<StreamFigures> {
        let mut figures: Vec<StreamFigures> = Vec::new();
        for stream in self.engine.stream_figures() {
            if figures.len() < STREAMS_MAX {
                figures.push(StreamFigures {
                    account: stream.account.to_owned(),
                    name: stream.name.to_owned(),
                    ..StreamFigures::default()
                });
            } else if figures.len() == STREAMS_MAX {
                let name = "(others)".to_owned();
                figures.push(StreamFigures { name, ..StreamFigures::default() });
            }
            if let Some(into) = figures.last_mut() {
                into.messages += stream.extent.messages;
                into.bytes += stream.extent.bytes;
                into.last_seq = into.last_seq.max(stream.extent.last_seq);
                into.subjects += stream.subjects;
                into.consumers += stream.consumers;
            }
        }
        figures
    }

    fn with_engine(
        &mut self,
        core: &mut Core,
        now: u64,
        call: impl FnOnce(&mut Engine, &mut Context<'_>),
    ) {
        let mut context = Context {
            now: self.epoch + now,
            interest: core,
            stores: &mut self.store,
            out: &mut self.outbox,
        };
        call(&mut self.engine, &mut context);
    }

    /// Tells what may be told.
    fn carry_out(&mut self, core: &mut Core) -> bool {
        let durable = self.store.durable();
        let mut told = 0;
        while told < OUTPUTS_MAX && self.outbox.pop(durable, |output| carry_out(output, core)) {
            told += 1;
        }
        told > 0
    }

    fn drive_store(&mut self, core: &mut Core, ring: &mut Ring, now: u64) -> bool {
        let mut progress = false;
        if let Some(durable) = self.store.failure() {
            if self.retry_at.is_none_or(|at| at <= now) {
                self.roll_back(core, durable, now);
                progress = true;
            }
        }
        self.hold_back(now);
        while let Some(id) = self.store.snapshot_wanted() {
            self.snapshot.clear();
            self.engine.snapshot(id, &mut self.snapshot);
            self.store.put_snapshot(id, &self.snapshot);
        }
        while self.running < WAITING_MAX {
            let Some(job) = self.store.take_job() else { break };
            self.hand_out(job);
            progress = true;
        }
        if self.write.is_none() {
            if let Some(write) = self.store.take_write() {
                progress = true;
                match write.raw_fd() {
                    Some(fd) => {
                        let offset = write.offset();
                        let held = Rc::new(Held(write));
                        ring.write(fd, 0, offset, Rc::clone(&held) as Rc<dyn AsRef<[u8]>>);
                        self.write = Some(held);
                        self.write_since = host::monotonic_ns();
                    }
                    None => {
                        let outcome = write.write();
                        self.store.handle_written(write, &outcome);
                    }
                }
            }
        }
        progress
    }

    /// Work of the store that has failed is tried again after a while.
    fn hold_back(&mut self, now: u64) {
        if !self.store.is_held() {
            self.resume_at = None;
        } else if *self.resume_at.get_or_insert(now + RETRY) <= now {
            self.resume_at = None;
            self.store.resume();
        }
    }

    /// Commits have failed: who waited for them is told so, and streams go back to what is on disk.
    #[cold]
    fn roll_back(&mut self, core: &mut Core, durable: Commit, now: u64) {
        self.outbox.fail(durable);
        let mut replay =
            Replayed { engine: &mut self.engine, log: &self.log, taken_back: Vec::new() };
        let result = self.store.rollback(&mut replay);
        let taken_back = replay.taken_back;
        match result {
            Ok(()) => {
                self.retry_at = None;
                self.with_engine(core, now, |engine, ctx| {
                    for id in taken_back {
                        engine.forget(id, ctx);
                    }
                    engine.finish_recovery(ctx);
                });
            }
            Err(error) => {
                self.log.error(format_args!("JetStream store cannot be read: {error}"));
                self.retry_at = Some(now + RETRY);
            }
        }
    }

    fn hand_out(&mut self, job: Job) {
        let (disk, done, wake) =
            (Arc::clone(&self.disk), self.done.0.clone(), Arc::clone(&self.wake));
        self.running += 1;
        let work = Box::new(move || {
            let result = job.run(&*disk);
            // The receiver is gone only when the server is.
            drop(done.send(result));
            wake();
        });
        if let Err(work) = self.workers.run(work) {
            // There is room for every job that may run; if not, blocking beats losing it.
            work();
        }
    }

    fn take_results(&mut self) -> bool {
        let mut any = false;
        while let Ok(result) = self.done.1.try_recv() {
            self.running -= 1;
            any = true;
            if let Some(error) = result.error() {
                self.log.error(format_args!("JetStream store: {error}"));
            }
            self.store.handle_job_done(result);
        }
        any
    }
}

/// What the store is encrypted with, as the options say.
fn store_key(options: &JetStreamOptions) -> Option<StoreKey> {
    let cipher = match options.cipher {
        CipherName::ChaCha => Cipher::ChaCha20Poly1305,
        CipherName::Aes => Cipher::Aes256Gcm,
    };
    let previous = options.previous_key.clone();
    options.key.clone().map(|key| StoreKey { cipher, key, previous })
}

fn carry_out(output: &Output<'_>, core: &mut Core) {
    match *output {
        Output::Publish(message) => core.publish_internal(&message),
        Output::Subscribe { token, account, pattern, queue } => {
            core.subscribe_internal(token, account, pattern, queue);
        }
        Output::Unsubscribe { token, account, pattern } => {
            core.unsubscribe_internal(token, account, pattern);
        }
    }
}

/// Takes the store's directory. That of a broker that was killed a moment ago stays taken until
/// the kernel has torn the process down.
#[expect(clippy::disallowed_methods, reason = "at the start, before the shard serves")]
fn open_disk(folder: &Path) -> Result<RealDisk, String> {
    let limit = host::monotonic_ns() + TAKEN_WAIT;
    loop {
        match RealDisk::new(folder.to_owned()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if host::monotonic_ns() >= limit {
                    return Err("storage directory is used by another server".to_owned());
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            result => {
                return result.map_err(|error| {
                    let words = host::go_error_text(&error);
                    format!("could not create storage directory - {words}")
                })
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "at the start")]
fn check_directory(path: &Path) -> Result<(), String> {
    if path.exists() && !path.is_dir() {
        return Err("storage directory is not a directory".to_owned());
    }
    std::fs::create_dir_all(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotADirectory {
            return "storage directory is not a directory".to_owned();
        }
        format!("could not create storage directory - {}", host::go_error_text(&error))
    })
}

/// Every account with what it may use: the global account uses JetStream unless others are
/// configured, which then say for themselves.
fn accounts(directory: &Directory) -> Vec<(AccountId, Box<str>, Option<JetStreamLimits>)> {
    let is_alone = directory
        .accounts()
        .iter()
        .all(|account| account.is_system || &*account.name == GLOBAL_ACCOUNT);
    let of = |account: &Account| {
        let limits = match &account.jetstream {
            Some(limits) => Some(engine_limits(limits)),
            None if is_alone && !account.is_system => Some(JetStreamLimits::default()),
            None => None,
        };
        (account.id, account.name.clone(), limits)
    };
    directory.accounts().iter().map(|account| of(account)).collect()
}

fn engine_limits(limits: &crate::account::JetStreamLimits) -> JetStreamLimits {
    let limit =
        |value: Option<u64>| value.map_or(-1, |value| i64::try_from(value).unwrap_or(i64::MAX));
    JetStreamLimits {
        max_memory: limit(limits.memory_bytes),
        max_storage: limit(limits.store_bytes),
        max_streams: limit(limits.streams),
        max_consumers: limit(limits.consumers),
        max_ack_pending: limit(limits.ack_pending),
        memory_max_stream_bytes: limit(limits.memory_stream_bytes),
        storage_max_stream_bytes: limit(limits.store_stream_bytes),
        max_bytes_required: limits.max_bytes_required,
    }
}

fn shown(start: &JetStreamStart) -> JetStreamConfig {
    let (sync_interval, sync_always) = match start.options.sync {
        SyncInterval::Always => (0, true),
        SyncInterval::Within(interval) => {
            (i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX), false)
        }
    };
    JetStreamConfig {
        max_memory: start.limits.max_memory,
        max_storage: start.limits.max_storage,
        store_dir: start.folder.display().to_string(),
        sync_interval,
        sync_always,
        domain: start.server.domain.clone(),
        strict: start.options.strict,
    }
}

fn unix_now() -> u64 {
    u64::try_from(host::wall_clock_since_epoch().as_nanos()).unwrap_or(0)
}

/// What the store tells when it is opened or rolled back, on its way to the engine.
struct Replayed<'a> {
    engine: &'a mut Engine,
    log: &'a Log,
    /// Streams that are other than the engine knows them.
    taken_back: Vec<StreamId>,
}

impl Replay for Replayed<'_> {
    fn stream(
        &mut self,
        id: StreamId,
        head: &[u8],
        snapshot: Option<&[u8]>,
        store: Box<dyn StreamStore>,
    ) {
        self.taken_back.push(id);
        if !self.engine.restore(id, head, snapshot.unwrap_or_default(), store) {
            self.log.error(format_args!("JetStream stream {} cannot be restored", id.0));
        }
    }

    fn appended(&mut self, id: StreamId, seq: u64, record: &Record<'_>) {
        self.engine.replay_appended(id, seq, record);
    }

    fn removed(&mut self, id: StreamId, seq: u64) {
        self.engine.replay_removed(id, seq);
    }

    fn removed_below(&mut self, id: StreamId, seq: u64) {
        self.engine.replay_removed_below(id, seq);
    }

    fn skipped(&mut self, _: StreamId, _: u64) {}

    fn note(&mut self, id: StreamId, bytes: &[u8]) {
        self.engine.replay_note(id, bytes);
    }

    fn deleted(&mut self, id: StreamId) {
        self.engine.replay_deleted(id);
        self.taken_back.push(id);
    }

    fn damaged(&mut self, damage: &Damage) {
        self.log.warning(format_args!("JetStream store: {damage}"));
    }
}
