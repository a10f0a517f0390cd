//! From options to running shards, and back to the end of the process.

use std::hash::BuildHasher;
use std::sync::atomic::AtomicU32;
use std::sync::Arc;

use glommio::LocalExecutorBuilder;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use thiserror::Error;

use super::accept::{Acceptor, Port};
use super::accounts::Accounts;
use super::announce::{
    announce_jetstream, announce_peers, announce_ready, announce_start, announce_websocket,
    shown_address,
};
use super::core::{Batch, Core, ServerKeys};
use super::jetstream::JetStream;
use super::listen::{listen, listen_for_websockets, Addresses};
use super::memory::Memory;
use super::message::Message;
use super::monitoring;
use super::passwords::Helpers;
use super::peers::PeerPorts;
use super::placement::{Placement, PlacementError};
use super::ports_file::{Ports, PortsFile};
use super::reload::{self, Reloader, Request};
use super::service::Service;
use super::settings::{
    core_config, directory, jetstream_start, nanoseconds, tls_listener, websocket_listener,
};
use super::task::{Control, ShardTask};
use crate::account::{DirectoryError, ResolverOptions};
use crate::config::{go_duration, Options, COMPATIBLE_VERSION};
use crate::host;
use crate::log::Log;
use crate::mesh::{self, Endpoint};
use crate::monitor::{self, ControlPlane, ServerCard};
use crate::net::{Ring, RingConfig, RingError};
use crate::stream::Nuid;
use crate::tls::TlsError;

/// Batches in one data lane: 1 MiB between two shards.
pub(super) const DATA_LANE_BATCHES: usize = 16;

/// Shards there can be.
const SHARDS_MAX: usize = 64;

/// Memory and depth of glommio's own rings; sockets do not run on them.
const EXECUTOR_IO_MEMORY: usize = 2 << 20;
const EXECUTOR_RING_DEPTH: usize = 256;

/// Streams of a cluster without other servers: nats-server refuses them, too.
const CLUSTER_OF_ONE: &str =
    "JetStream cluster requires configured routes or solicited leafnode for the system account";

/// Why the server did not start, or ended unasked, in the words it says.
#[derive(Debug, Error)]
pub enum RunError {
    /// TLS cannot be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The client port could not be opened.
    #[error("Error listening on port: {address}, {reason:?}")]
    Listen {
        /// `host:port` as asked for.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The WebSocket port could not be opened.
    #[error("Unable to listen for websocket connections: {0}")]
    ListenForWebSockets(String),
    /// A port for other servers could not be opened.
    #[error("Error listening on {what} port: {port} - {reason}")]
    ListenForPeers {
        /// `leafnode` or `router`.
        what: &'static str,
        /// As configured.
        port: i32,
        /// What the system said.
        reason: String,
    },
    /// The monitoring port could not be opened.
    #[error("Can't start monitoring: can't listen to the monitor port: {0}")]
    Monitor(String),
    /// Two monitoring ports, of which there is but one.
    #[error("Can't start monitoring: can't specify both HTTP ({http}) and HTTPs ({https}) ports")]
    MonitorTwice {
        /// As configured.
        http: i32,
        /// As configured.
        https: i32,
    },
    /// There is no certificate.
    #[error("Can't start monitoring: TLS cert and key required for HTTPS")]
    MonitorWithoutTls,
    /// The ring could not be made.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The ring of a running shard failed, and the server ended with it.
    #[error("shard {shard}: io_uring failed: {error}")]
    RingFailed {
        /// Which shard.
        shard: usize,
        /// What the system said.
        error: std::io::Error,
    },
    /// An executor could not be started.
    #[error("cannot start a shard: {0}")]
    Executor(String),
    /// Users and accounts do not fit together.
    #[error(transparent)]
    Access(#[from] DirectoryError),
    /// Accounts cannot be found.
    #[error("{0}")]
    Resolver(String),
    /// More shards than there can be.
    #[error("shards: {0} asked for, at most {SHARDS_MAX}")]
    Shards(usize),
    /// A processor that shards were to run on is not there.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// JetStream could not be started.
    #[error("Can't start JetStream: {0}")]
    JetStream(String),
    /// A thread or a signal handler could not be set up.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// Runs the broker until a signal ends it.
///
/// # Errors
/// It did not start, or a shard failed.
pub fn run(options: &Options, log: &Log) -> Result<(), RunError> {
    if let Some(shards) = options.shards.filter(|shards| *shards > SHARDS_MAX) {
        return Err(RunError::Shards(shards));
    }
    let placement = Placement::of(options)?;
    let shards = placement.shards();
    if shards == 0 || shards > SHARDS_MAX {
        return Err(RunError::Shards(shards));
    }
    let files = host::raise_file_limit();
    // Asked before the port is taken: a broker that cannot run must not listen.
    drop(Ring::new(&RingConfig { receive_buffers: 2, ..RingConfig::default() })?);
    let accounts = Accounts::open(options, log);
    let accounts = accounts.map_err(|error| RunError::Resolver(error.to_string()))?;
    let directory = Arc::new(directory(options, &accounts, None)?);
    let (listener, address) = listen(options)?;
    let identity = Identity::new(options);
    announce_start(options, log, &identity, &placement, files);
    let monitor = monitoring::bind(options, log)?;
    let websocket = listen_for_websockets(options)?;
    let peers = PeerPorts::bind(options)?;
    let addresses = Addresses {
        clients: address,
        websocket: websocket.as_ref().map(|(_, address)| *address),
        routes: peers.routes,
        leaves: peers.leaves,
    };

    if options.jetstream.enabled && peers.routes.is_some() {
        return Err(RunError::JetStream(CLUSTER_OF_ONE.to_owned()));
    }
    let control = Arc::new(control(options, log)?);
    let endpoints: Vec<Endpoint<Message, Batch>> = mesh::mesh(shards, DATA_LANE_BATCHES);
    let watch = endpoints[0].watch();
    let bells = watch.clone();
    let (monitor, monitoring_address) = monitor;
    let first = monitoring::first(options, &identity, addresses, shards)?;
    let facts = first.facts.clone();
    let (inquirer, mailboxes) = monitor::lines(shards, move |shard| {
        bells.wake(shard);
    });
    let helpers = Helpers::start(shards, &watch)?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP])?;
    let handle = signals.handle();

    let seed = std::hash::RandomState::new().hash_one(host::monotonic_ns());
    let mut acceptor = Acceptor::new(listener, shards, options.max_connections);
    if let Some((listener, _)) = websocket {
        acceptor = acceptor.listening(Port::WebSocket, listener);
    }
    acceptor.set_rate_max(options.tls.as_ref().and_then(|tls| tls.connection_rate_limit));
    let mut acceptor = Some(acceptor);
    let (mut reloader, versions) =
        Reloader::new(options, identity.clone(), addresses, Arc::clone(&directory), accounts, log);
    let mut versions = Some(versions);
    let (requests, asked) = std::sync::mpsc::channel();
    let mut executors = Vec::new();
    let epoch = facts.start.saturating_sub(facts.start_monotonic);
    for (shard, (endpoint, mailbox)) in endpoints.into_iter().zip(mailboxes).enumerate() {
        let config = core_config(options, shard, shards, &identity, addresses, &directory, seed);
        let control = Arc::clone(&control);
        let acceptor = acceptor.take();
        let passwords = helpers.of_shard(shard);
        let versions = versions.take();
        let requests = requests.clone();
        let keys = Arc::clone(&identity.keys);
        let resolver = &options.access.operator.resolver;
        let keeps_claims =
            options.access.operator.is_on() && matches!(resolver, ResolverOptions::Directory(_));
        let closed_max = options.max_closed_clients;
        let line = monitor.line();
        let card = (shard == 0).then(|| ServerCard::of(&facts));
        let storing = (shard == 0 && options.jetstream.enabled)
            .then(|| jetstream_start(options, &identity, &directory, seed));
        let has_jetstream = options.jetstream.enabled;
        let (ready, opened) = std::sync::mpsc::channel();
        let waits = storing.is_some();
        let (bell, shard_log) = (watch.clone(), log.clone());
        let proxy_protocol = options.proxy_protocol;
        let builder = LocalExecutorBuilder::new(glommio::Placement::Fixed(placement.cpu(shard)))
            .name(&format!("shard-{shard}"))
            .io_memory(EXECUTOR_IO_MEMORY)
            .ring_depth(EXECUTOR_RING_DEPTH);
        let executor = builder.spawn(move || async move {
            let mut core = Core::new(config);
            core.remember_closed(closed_max);
            core.know_epoch(epoch);
            core.set_server_keys(keys);
            if has_jetstream {
                core.name_senders();
            }
            if shard == 0 {
                core.serve_system(keeps_claims);
            }
            let jetstream = match storing {
                None => None,
                Some(start) => {
                    let wake = Arc::new(move || {
                        bell.wake(0);
                    });
                    match JetStream::start(start, &mut core, wake, &shard_log) {
                        Ok(jetstream) => Some(jetstream),
                        Err(reason) => {
                            // Whoever starts shards waits for it.
                            drop(ready.send(Err(reason)));
                            return Ok(());
                        }
                    }
                }
            };
            drop(ready.send(Ok(())));
            if proxy_protocol {
                core.expect_proxy_headers();
            }
            let task = ShardTask::new(core, endpoint, acceptor, control, passwords)?;
            let task = task.answering(mailbox, line).announcing(card);
            let task = task.reloading(versions).storing(jetstream).resolving(requests);
            task.run().map_err(|error| RunError::RingFailed { shard, error })
        });
        executors.push(executor.map_err(|error| RunError::Executor(error.to_string()))?);
        if waits {
            announce_jetstream(options, log);
            if let Ok(Err(reason)) = opened.recv() {
                return Err(RunError::JetStream(reason));
            }
        }
    }
    let is_tls = options.websocket.tls.is_some();
    let ports = Ports {
        client: address,
        monitoring: monitoring_address,
        is_monitoring_secure: options.https_port != 0,
        websocket: addresses.websocket.map(|at| (at, is_tls)),
        cluster: addresses.routes,
    };
    let plane = ControlPlane {
        reload: Box::new({
            let requests = requests.clone();
            move || reload::ask(&requests)
        }),
        claims: Box::new({
            let requests = requests.clone();
            move |subject, payload| reload::ask_claims(&requests, subject, payload)
        }),
    };
    let updates = monitor.start(first, inquirer, plane, (seed, log))?;
    reloader.show(facts, updates);
    drop(helpers);
    write_pid_file(options, log);
    announce_websocket(options, log, addresses.websocket);
    announce_peers(options, log, &identity, addresses);
    announce_ready(options, log, address);
    peers.refuse_all(log)?;
    reloader.moves(ports, PortsFile::write(options, &ports, log));
    let service = Service::of_environment(log);
    service.ready(&shown_address(options, address));
    let watchdog = service.watch(watch.clone())?;

    reloader.start(asked, &requests, {
        let (control, watch) = (Arc::clone(&control), watch.clone());
        move || {
            control.raise(SIGHUP);
            watch.wake(0);
        }
    })?;
    let ending = requests.clone();
    let signal_thread =
        std::thread::Builder::new().name("signals".to_owned()).stack_size(1 << 20).spawn({
            let control = Arc::clone(&control);
            let log = log.clone();
            move || {
                for signal in signals.forever() {
                    if signal == SIGHUP {
                        log.info(format_args!("Trapped \"hangup\" signal"));
                        // Nobody listens once the server ends.
                        drop(requests.send(Request::Reload(None)));
                        continue;
                    }
                    control.raise(signal);
                    watch.wake(0);
                    if [SIGINT, SIGTERM, SIGUSR2].contains(&signal) {
                        service.stopping();
                    }
                }
            }
        })?;
    let mut outcome = Ok(());
    for executor in executors {
        // A shard that panicked has aborted the process.
        let ended = executor.join().map_err(|error| RunError::Executor(error.to_string()));
        if let Err(error) = ended.and_then(|ended| ended) {
            if outcome.is_err() {
                log.error(format_args!("{error}"));
            } else {
                outcome = Err(error);
            }
        }
    }
    drop(watchdog);
    reload::end(&ending);
    handle.close();
    // The thread cannot fail.
    drop(signal_thread.join());
    outcome
}

/// # Errors
/// TLS cannot be served as asked.
fn control(options: &Options, log: &Log) -> Result<Control, RunError> {
    let tls = tls_listener(options)?;
    let websocket = websocket_listener(options)?;
    Ok(Control {
        tls,
        websocket,
        signals: AtomicU32::new(0),
        max_pending: options.max_pending,
        write_deadline: go_duration(options.write_deadline),
        lame_duck_grace: nanoseconds(options.lame_duck_grace_period),
        lame_duck_duration: nanoseconds(options.lame_duck_duration),
        busy_poll: nanoseconds(options.shard_busy_poll),
        memory: Memory::of(options.shard_memory),
        log: log.clone(),
    })
}

/// Who this run of the server is.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) server_id: String,
    pub(super) keys: Arc<ServerKeys>,
    /// Name of the cluster; empty without one.
    pub(super) cluster: String,
}

impl Identity {
    fn new(options: &Options) -> Self {
        let key = nkeys::KeyPair::new_server();
        let server_id = key.public_key();
        let keys = ServerKeys {
            key,
            xkey: nkeys::XKey::new(),
            name: options.server_name.clone().unwrap_or_else(|| server_id.clone()),
            host: options.host.clone(),
            version: COMPATIBLE_VERSION.trim_start_matches('v').to_owned(),
        };
        let seed = std::hash::RandomState::new().hash_one(&server_id);
        let made_up = options.cluster.listen().map(|_| Nuid::new(seed).generate());
        let cluster = options.cluster_name.clone().or(made_up).unwrap_or_default();
        Self { server_id, keys: Arc::new(keys), cluster }
    }
}

/// Writes the process id where asked to. A broker without that file serves all
/// the same, as nats-server does.
pub(super) fn write_pid_file(options: &Options, log: &Log) {
    let Some(path) = &options.pid_file else { return };
    if let Err(error) = host::write_pid_file(path) {
        let reason = host::go_error_text(&error);
        log.error(format_args!("Could not write pidfile: open {}: {reason}", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::net::forbidden;

    // Goal: a server whose ring fails ends, and not as if it had been asked to, with one shard and
    // with two. Method: a process of its own forbids itself the call by which a shard enters its
    // ring; the executor's own calls carry the size of a signal mask and pass.
    #[test]
    fn failing_ring_ends_the_server_with_an_error() {
        if let Some(shards) = std::env::var_os("MIDGE_WITHOUT_ENTER") {
            forbidden::refuse(libc::SYS_io_uring_enter, Some((5, 0)), libc::EBADF);
            let options = Options {
                host: "127.0.0.1".to_owned(),
                port: -1,
                shards: shards.to_str().unwrap().parse().ok(),
                ..Options::default()
            };
            let error = run(&options, &Log::discard()).err().unwrap();
            assert!(matches!(error, RunError::RingFailed { .. }), "{error}");
            assert_eq!(
                error.to_string(),
                "shard 0: io_uring failed: Bad file descriptor (os error 9)"
            );
            return;
        }
        for shards in ["1", "2"] {
            let status = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "shard::start::tests::failing_ring_ends_the_server_with_an_error",
                ])
                .env("MIDGE_WITHOUT_ENTER", shards)
                .status();
            assert!(status.unwrap().success());
        }
    }

    // Goal: the shards that have not failed are told to stop, and end in good order. Method: two
    // shards on two threads, one of which may not enter its ring.
    #[test]
    fn shard_that_fails_stops_the_others() {
        let options = Options { host: "127.0.0.1".to_owned(), port: -1, ..Options::default() };
        let (listener, address) = listen(&options).unwrap();
        let addresses = Addresses { clients: address, websocket: None, routes: None, leaves: None };
        let identity = Identity::new(&options);
        let control = Arc::new(control(&options, &Log::discard()).unwrap());
        let mut ends = mesh::mesh(2, DATA_LANE_BATCHES);
        let accounts = Accounts::open(&options, &Log::discard()).unwrap();
        let users = directory(&options, &accounts, None).unwrap();
        let users = Arc::new(users);
        let config = |shard| core_config(&options, shard, 2, &identity, addresses, &users, 0);
        let helpers = Helpers::start(2, &ends[0].watch()).unwrap();
        let [first, second] = [helpers.of_shard(0), helpers.of_shard(1)];
        let (failing, end, shared) = (config(1), ends.pop().unwrap(), Arc::clone(&control));
        let failing = std::thread::spawn(move || {
            forbidden::refuse(libc::SYS_io_uring_enter, Some((5, 0)), libc::EBADF);
            ShardTask::new(Core::new(failing), end, None, shared, second).unwrap().run()
        });
        let acceptor = Some(Acceptor::new(listener, 2, options.max_connections));
        let core = Core::new(config(0));
        let living = ShardTask::new(core, ends.pop().unwrap(), acceptor, control, first).unwrap();
        assert!(living.run().is_ok());
        assert_eq!(failing.join().unwrap().unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
