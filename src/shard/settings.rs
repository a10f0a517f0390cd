//! What the options mean for shards: their cores, JetStream, TLS and the WebSocket port. Reads the
//! certificates that they name; a reload asks here as a start does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::accounts::Accounts;
use super::core::{CoreConfig, TraceOptions, WebSocketSettings};
use super::jetstream::{self, JetStreamStart};
use super::listen::Addresses;
use super::start::Identity;
use super::transport::TlsListener;
use super::websocket::WebSocketListener;
use crate::account::{Directory, DirectoryError, Secret, Single};
use crate::client::{KeepaliveLimits, Limits};
use crate::config::{Options, COMPATIBLE_VERSION, MIDGE_VERSION};
use crate::proto::{InfoTemplate, ParserLimits, ServerInfo};
use crate::router::ShardId;
use crate::stream::{BatchLimits, ServerIdentity, ServerLimits};
use crate::tls::{HandshakeFirst, TlsContext, TlsError};
use crate::websocket::{AllowedOrigin, CookieNames, UpgradeRules};

/// Interest changes that may be unacknowledged before a connection is paused.
const UNACKNOWLEDGED_MAX: u64 = 64 * 1024;

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

/// What JetStream is started with, on the shard that has it.
pub(super) fn jetstream_start(
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
            has_long_acks: jetstream.feature_flags.js_ack_fc_v2,
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
        cluster: identity.cluster.clone(),
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

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}
