//! From options to running shards, and back to the end of the process.

use std::hash::BuildHasher;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicU32;
use std::sync::Arc;
use std::time::Duration;

use glommio::LocalExecutorBuilder;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use thiserror::Error;

use super::accept::{Acceptor, Port};
use super::accounts::Accounts;
use super::core::{Batch, Core, CoreConfig, ServerKeys, TraceOptions, WebSocketSettings};
use super::jetstream::{self, JetStream, JetStreamStart};
use super::memory::Memory;
use super::message::Message;
use super::monitoring;
use super::passwords::Helpers;
use super::placement::{Placement, PlacementError};
use super::ports_file::{Ports, PortsFile};
use super::reload::{self, Reloader, Request};
use super::service::Service;
use super::task::{Control, ShardTask};
use super::transport::TlsListener;
use super::websocket::WebSocketListener;
use crate::account::{Directory, DirectoryError, ResolverOptions, Secret, Single};
use crate::client::{KeepaliveLimits, Limits};
use crate::config::{go_duration, CipherName, Options, COMPATIBLE_VERSION, MIDGE_VERSION};
use crate::host;
use crate::log::Log;
use crate::mesh::{self, Endpoint};
use crate::monitor::{self, ControlPlane, ServerCard};
use crate::net::{socket, Ring, RingConfig, RingError};
use crate::proto::{InfoTemplate, ParserLimits, ServerInfo};
use crate::router::ShardId;
use crate::stream::{BatchLimits, ServerIdentity, ServerLimits};
use crate::tls::{HandshakeFirst, TlsContext, TlsError};
use crate::websocket::{AllowedOrigin, CookieNames, UpgradeRules};

/// Batches in one data lane: 1 MiB between two shards.
pub(super) const DATA_LANE_BATCHES: usize = 16;

/// Interest changes that may be unacknowledged before a connection is paused.
const UNACKNOWLEDGED_MAX: u64 = 64 * 1024;

/// Shards there can be.
const SHARDS_MAX: usize = 64;

/// Connections that may wait in the listener's backlog.
const BACKLOG: u32 = 4096;

/// Nanoseconds that the start waits for a port to become free.
const PORT_WAIT: u64 = 1_000_000_000;

/// Memory and depth of glommio's own rings; sockets do not run on them.
const EXECUTOR_IO_MEMORY: usize = 2 << 20;
const EXECUTOR_RING_DEPTH: usize = 256;

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
    let addresses =
        Addresses { clients: address, websocket: websocket.as_ref().map(|(_, address)| *address) };

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
    announce_ready(options, log, address);
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

/// How connections of the client port begin, if with TLS. Reads the certificates.
///
/// # Errors
/// TLS cannot be served as asked.
pub(super) fn tls_listener(options: &Options) -> Result<Option<TlsListener>, TlsError> {
    let Some(tls) = &options.tls else { return Ok(None) };
    Ok(Some(TlsListener {
        context: TlsContext::load(tls)?,
        optional: options.allow_non_tls,
        first: tls.handshake_first,
        timeout: nanoseconds(tls.timeout),
    }))
}

/// How connections of the WebSocket port begin, if there is one. Reads the certificates.
///
/// # Errors
/// TLS cannot be served as asked.
pub(super) fn websocket_listener(
    options: &Options,
) -> Result<Option<Arc<WebSocketListener>>, TlsError> {
    let websocket = &options.websocket;
    if websocket.listen().is_none() {
        return Ok(None);
    }
    let tls = websocket.tls.as_ref().map(|tls| {
        Ok(TlsListener {
            context: TlsContext::load(tls)?,
            optional: false,
            first: HandshakeFirst::Yes,
            timeout: nanoseconds(tls.timeout),
        })
    });
    let name = |cookie: &Option<String>| cookie.clone().unwrap_or_default();
    let mut headers = String::new();
    for (name, value) in &websocket.headers {
        headers.push_str(&format!("{name}: {value}\r\n"));
    }
    let origins = websocket.allowed_origins.iter();
    Ok(Some(Arc::new(WebSocketListener {
        rules: UpgradeRules {
            compression: websocket.compression,
            same_origin: websocket.same_origin,
            allowed_origins: origins.filter_map(|url| AllowedOrigin::parse(url).ok()).collect(),
            cookies: CookieNames {
                jwt: name(&websocket.jwt_cookie),
                user: name(&websocket.user_cookie),
                password: name(&websocket.password_cookie),
                token: name(&websocket.token_cookie),
            },
            headers: headers.into_bytes().into_boxed_slice(),
            is_tls: tls.is_some(),
        },
        tls: tls.transpose()?,
        upgrade_timeout: nanoseconds(websocket.handshake_timeout.unwrap_or(UPGRADE_TIMEOUT)),
        inflated_bytes_max: options.max_payload.saturating_mul(8).min(INFLATED_BYTES_CEILING),
    })))
}

/// How long a request for an upgrade may take if nobody says otherwise.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of an inflated message at most, whatever `max_payload` is.
const INFLATED_BYTES_CEILING: usize = 64 << 20;

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
        Self { server_id, keys: Arc::new(keys) }
    }
}

/// Where a server's ports are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    /// For clients.
    pub(super) clients: SocketAddr,
    /// For clients over WebSocket.
    pub(super) websocket: Option<SocketAddr>,
}

fn listen(options: &Options) -> Result<(OwnedFd, SocketAddr), RunError> {
    let host = options.host.trim_matches(|c| c == '[' || c == ']');
    listen_on(host, options.bind_port())
        .map_err(|(address, reason)| RunError::Listen { address, reason })
}

fn listen_for_websockets(options: &Options) -> Result<Option<(OwnedFd, SocketAddr)>, RunError> {
    let Some((host, port)) = options.websocket.listen() else { return Ok(None) };
    listen_on(host, port).map(Some).map_err(|(_, reason)| RunError::ListenForWebSockets(reason))
}

/// A listener and where it is; else where it should be, and why it is not.
fn listen_on(host: &str, port: u16) -> Result<(OwnedFd, SocketAddr), (String, String)> {
    let shown =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let refuse = |error: std::io::Error| {
        let reason = format!("listen tcp {shown}: bind: {}", host::go_error_text(&error));
        (shown.clone(), reason)
    };
    let address = (host, port)
        .to_socket_addrs()
        .map_err(refuse)?
        .next()
        .ok_or_else(|| refuse(std::io::Error::from(std::io::ErrorKind::AddrNotAvailable)))?;
    let listener = listen_patiently(address).map_err(refuse)?;
    let bound = socket::local_addr(listener.as_fd()).map_err(refuse)?;
    Ok((listener, bound))
}

/// The port of a broker that was killed a moment ago stays taken until the
/// kernel has torn its ring down, which it does after the process is gone.
#[expect(clippy::disallowed_methods, reason = "at the start, on the main thread")]
fn listen_patiently(address: SocketAddr) -> std::io::Result<OwnedFd> {
    let limit = host::monotonic_ns() + PORT_WAIT;
    loop {
        match socket::listen(address, BACKLOG) {
            Err(error)
                if error.kind() == std::io::ErrorKind::AddrInUse
                    && host::monotonic_ns() < limit =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

/// What JetStream is started with, on the shard that has it.
fn jetstream_start(
    options: &Options,
    identity: &Identity,
    directory: &Arc<Directory>,
    seed: u64,
) -> JetStreamStart {
    let jetstream = &options.jetstream;
    let limit = |value: Option<u64>, none: i64| {
        value.map_or(none, |value| i64::try_from(value).unwrap_or(i64::MAX))
    };
    let window = jetstream.duplicate_window.map_or(0, nanoseconds);
    let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    JetStreamStart {
        folder: jetstream::directory(options),
        options: jetstream.clone(),
        server: ServerIdentity {
            name: options.server_name.clone().unwrap_or_else(|| identity.server_id.clone()),
            id: identity.server_id.clone(),
            version: COMPATIBLE_VERSION.trim_start_matches('v').to_owned(),
            domain: jetstream.domain.clone().unwrap_or_default(),
            max_payload: options.max_payload,
            has_long_acks: jetstream.long_acks,
        },
        limits: ServerLimits {
            max_memory: limit(jetstream.max_memory, -1),
            max_storage: limit(jetstream.max_file, -1),
            max_ack_pending: limit(jetstream.max_ack_pending, 0),
            max_request_batch: limit(jetstream.max_request_batch, 0),
            duplicate_window: i64::try_from(window).unwrap_or(0),
            batch: BatchLimits {
                per_stream: size(jetstream.batch.per_stream),
                total: size(jetstream.batch.total),
                messages: jetstream.batch.messages,
                idle: nanoseconds(jetstream.batch.timeout),
            },
            requests: jetstream.request_queue_limit,
        },
        directory: Arc::clone(directory),
        seed,
    }
}

fn announce_jetstream(options: &Options, log: &Log) {
    log.info(format_args!("Starting JetStream"));
    if options.store_dir.is_none() {
        log.warning(format_args!(
            "Temporary storage directory used, data could be lost on system reboot"
        ));
    }
    log.info(format_args!("---------------- JETSTREAM ----------------"));
    log.info(format_args!("  Strict:          {}", options.jetstream.strict));
    log.info(format_args!("  Store Directory: \"{}\"", jetstream::directory(options).display()));
    if options.jetstream.key.is_some() {
        let cipher = match options.jetstream.cipher {
            CipherName::ChaCha => "ChaCha20-Poly1305",
            CipherName::Aes => "AES-GCM",
        };
        log.info(format_args!("  Encryption:      {cipher}"));
    }
    log.info(format_args!("  API Level:       5"));
    log.info(format_args!("-------------------------------------------"));
}

pub(super) fn server_info(
    options: &Options,
    identity: &Identity,
    address: SocketAddr,
) -> ServerInfo {
    let (mut advertised_host, mut advertised_port) = (options.host.clone(), address.port());
    if let Some((host, port)) =
        options.client_advertise.as_ref().and_then(|advertise| advertise.rsplit_once(':'))
    {
        advertised_host = host.trim_matches(|c| c == '[' || c == ']').to_owned();
        advertised_port = port.parse().unwrap_or(advertised_port);
    }
    ServerInfo {
        server_id: identity.server_id.clone(),
        server_name: options.server_name.clone().unwrap_or_else(|| identity.server_id.clone()),
        version: COMPATIBLE_VERSION.trim_start_matches('v').to_owned(),
        go: "rust".to_owned(),
        host: advertised_host,
        port: advertised_port,
        headers: !options.no_header_support,
        auth_required: options.auth_required(),
        tls_required: options.tls.is_some() && !options.allow_non_tls,
        tls_verify: options.tls.as_ref().is_some_and(|tls| tls.verify),
        tls_available: options.tls.is_some() && options.allow_non_tls,
        max_payload: i64::try_from(options.max_payload).unwrap_or(i64::MAX),
        jetstream: options.jetstream.enabled,
        domain: options.jetstream.domain.clone().unwrap_or_default(),
        api_level: 5,
        xkey: identity.keys.xkey.public_key(),
        midge_version: MIDGE_VERSION.trim_start_matches('v').to_owned(),
        ..ServerInfo::default()
    }
}

/// INFO as clients over WebSocket get it. As in nats-server it shows the listener, whatever is
/// advertised.
fn websocket_info(options: &Options, identity: &Identity, addresses: Addresses) -> ServerInfo {
    let websocket = &options.websocket;
    let mut info = server_info(options, identity, addresses.clients);
    info.host = websocket.host().to_owned();
    info.port = addresses.websocket.map_or(0, |address| address.port());
    let is_tls = websocket.tls.is_some();
    (info.tls_required, info.tls_available) = (is_tls, is_tls);
    info.tls_verify = websocket.tls.as_ref().is_some_and(|tls| tls.verify);
    info
}

/// Users and accounts; those of `previous` keep their ids.
pub(super) fn directory(
    options: &Options,
    accounts: &Accounts,
    previous: Option<&Directory>,
) -> Result<Directory, DirectoryError> {
    let single = match (&options.token, &options.user) {
        (Some(token), _) => Single::Token(Secret::new(token)),
        (None, Some(user)) => Single::User {
            name: user.clone(),
            password: Secret::new(options.password.as_deref().unwrap_or_default()),
        },
        (None, None) => Single::Open,
    };
    let name = options.no_auth_user.as_deref();
    let directory = if options.access.operator.is_on() {
        let mut access = options.access.clone();
        accounts.put_into(&mut access);
        Directory::new(&access, single, name, previous)?
    } else {
        let maps = options.tls.as_ref().is_some_and(|tls| tls.map);
        let directory = Directory::new(&options.access, single, name, previous)?;
        directory.mapping_certificates(maps)
    };
    let websocket = &options.websocket;
    if websocket.listen().is_none() || !websocket.overrides_auth() {
        return Ok(directory);
    }
    let single = match (&websocket.token, &websocket.user) {
        (Some(token), _) => Single::Token(Secret::new(token)),
        (None, Some(user)) => Single::User {
            name: user.clone(),
            password: Secret::new(websocket.password.as_deref().unwrap_or_default()),
        },
        (None, None) => Single::Open,
    };
    directory.with_websocket(single, websocket.no_auth_user.as_deref())
}

pub(super) fn core_config(
    options: &Options,
    shard: usize,
    shards: usize,
    identity: &Identity,
    addresses: Addresses,
    directory: &Arc<Directory>,
    seed: u64,
) -> CoreConfig {
    let info = InfoTemplate::new(&server_info(options, identity, addresses.clients));
    let has_websocket = addresses.websocket.is_some();
    CoreConfig {
        own: ShardId(u8::try_from(shard).unwrap_or(u8::MAX)),
        shards,
        seed,
        max_pending: options.max_pending,
        drop_when_high: options.no_fast_producer_stall,
        write_deadline: nanoseconds(options.write_deadline),
        // A handshake has to fit in as well.
        auth_timeout: nanoseconds(match &options.tls {
            Some(tls) => options.auth_timeout.max(tls.timeout + Duration::from_secs(1)),
            None => options.auth_timeout,
        }),
        parser: ParserLimits {
            control_line_bytes_max: options.max_control_line,
            payload_bytes_max: options.max_payload,
            headers: false,
        },
        headers: !options.no_header_support,
        limits: Limits {
            subscriptions_max: options.max_subscriptions,
            sub_tokens_max: options.max_sub_tokens.map_or(0, usize::from),
        },
        keepalive: KeepaliveLimits {
            interval: nanoseconds(options.ping_interval),
            outstanding_max: options.ping_max,
        },
        websocket: has_websocket.then(|| {
            Arc::new(websocket_settings(options, &websocket_info(options, identity, addresses)))
        }),
        directory: Arc::clone(directory),
        info: Arc::new(info),
        debug: options.debug,
        trace: (options.trace || options.trace_verbose || options.trace_headers).then_some(
            TraceOptions {
                headers_only: options.trace_headers,
                payload_bytes_max: options.max_traced_msg_len,
            },
        ),
        plan_cache: !options.disable_sublist_cache,
        unacknowledged_max: UNACKNOWLEDGED_MAX,
    }
}

fn websocket_settings(options: &Options, info: &ServerInfo) -> WebSocketSettings {
    let websocket = &options.websocket;
    let interval = websocket.ping_interval.unwrap_or(options.ping_interval);
    WebSocketSettings {
        info: Arc::new(InfoTemplate::new(info)),
        keepalive: KeepaliveLimits {
            interval: nanoseconds(interval),
            outstanding_max: options.ping_max,
        },
        auth_timeout: nanoseconds(websocket.auth_timeout.unwrap_or(options.auth_timeout)),
    }
}

fn announce_websocket(options: &Options, log: &Log, address: Option<SocketAddr>) {
    let Some(address) = address else { return };
    let (host, port) = (options.websocket.host(), address.port());
    let scheme = if options.websocket.tls.is_some() { "wss" } else { "ws" };
    log.info(format_args!("Listening for websocket clients on {scheme}://{host}:{port}"));
    if scheme == "ws" {
        log.warning(format_args!("Websocket not configured with TLS. DO NOT USE IN PRODUCTION!"));
    }
    for url in &options.websocket.allowed_origins {
        if let Err(error) = AllowedOrigin::parse(url) {
            log.error(format_args!("error parsing allowed origin: {error}"));
        }
    }
}

fn announce_start(
    options: &Options,
    log: &Log,
    identity: &Identity,
    placement: &Placement,
    files: std::io::Result<host::FileLimit>,
) {
    log.info(format_args!("Starting midge"));
    log.info(format_args!("  Version:  {MIDGE_VERSION} (nats-server {COMPATIBLE_VERSION})"));
    let name = options.server_name.as_ref().unwrap_or(&identity.server_id);
    log.info(format_args!("  Name:     {name}"));
    log.info(format_args!("  ID:       {}", identity.server_id));
    log.info(format_args!("  Shards:   {placement}"));
    if let Some(file) = &options.config_file {
        let digest = options.config_digest.as_deref().unwrap_or_default();
        log.info(format_args!("Using configuration file: {} ({digest})", file.display()));
    }
    announce_operators(options, log);
    for warning in options.startup_warnings() {
        log.warning(format_args!("{warning}"));
    }
    if let Err(error) = files {
        log.warning(format_args!("open files: the limit could not be raised: {error}"));
    }
}

fn announce_operators(options: &Options, log: &Log) {
    let operators = &options.access.operator.operators;
    if operators.is_empty() {
        return;
    }
    log.info(format_args!("Trusted Operators"));
    for operator in operators {
        log.info(format_args!("  System  : {:?}", operator.body.system_account));
        log.info(format_args!("  Operator: {:?}", operator.name));
        log.info(format_args!("  Issued  : {}", go_time(operator.issued_at)));
        let expires = operator.expires.map_or_else(|| "Never".to_owned(), go_time);
        log.info(format_args!("  Expires : {expires}"));
    }
    if options.access.system_account.is_none() && options.access.operator.system_account().is_none()
    {
        log.warning(format_args!("Trusted Operators should utilize a System Account"));
    }
}

/// Seconds since 1970 as Go prints a time: `2006-01-02 15:04:05 +0000 UTC`.
fn go_time(unix_s: i64) -> String {
    let (year, month, day) = host::civil_from_days(unix_s.div_euclid(86_400));
    let of_day = unix_s.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000 UTC")
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

fn announce_ready(options: &Options, log: &Log, address: SocketAddr) {
    let shown = shown_address(options, address);
    log.info(format_args!("Listening for client connections on {shown}"));
    if options.proxy_protocol {
        log.info(format_args!("PROXY protocol enabled for client connections"));
    }
    if options.tls.is_some() {
        let how = if options.allow_non_tls { "available" } else { "required" };
        log.info(format_args!("TLS {how} for client connections"));
    }
    log.info(format_args!("Server is ready"));
}

/// The host as asked for, the port as it became.
fn shown_address(options: &Options, address: SocketAddr) -> String {
    let host = options.host.trim_matches(|c| c == '[' || c == ']');
    let port = address.port();
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
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
        let addresses = Addresses { clients: address, websocket: None };
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
