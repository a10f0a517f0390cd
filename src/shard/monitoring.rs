//! Setting monitoring and the system account up: their thread, its listener, and what it knows.

use std::net::SocketAddr;

use super::listen::Addresses;
use super::settings::{nanoseconds, server_info};
use super::start::{Identity, RunError};
use crate::config::{Options, PeerPort, COMPATIBLE_VERSION, MIDGE_VERSION};
use crate::host;
use crate::log::Log;
use crate::monitor::{Monitor, PeerFacts, ServerFacts, Update, WebSocketFacts};
use crate::tls::{TlsContext, TlsError, TlsOptions};

/// Makes what the thread waits for, and binds the monitoring port if there is to be one.
///
/// # Errors
/// The port is taken, or the address none of this machine; or what is asked for cannot be.
pub(super) fn bind(
    options: &Options,
    log: &Log,
) -> Result<(Monitor, Option<SocketAddr>), RunError> {
    let mut monitor = Monitor::new()?;
    let Some((host, port)) = options.monitoring_listen() else { return Ok((monitor, None)) };
    let secure = options.https_port != 0;
    if secure && options.http_port != 0 {
        let (http, https) = (options.http_port, options.https_port);
        return Err(RunError::MonitorTwice { http, https });
    }
    if secure && options.tls.is_none() {
        return Err(RunError::MonitorWithoutTls);
    }
    let refuse = |error: std::io::Error| {
        let shown = shown(host, port);
        RunError::Monitor(format!("listen tcp {shown}: bind: {}", host::go_error_text(&error)))
    };
    let address = monitor.bind(host, port).map_err(refuse)?;
    let scheme = if secure { "https" } else { "http" };
    log.info(format_args!("Starting {scheme} monitor on {}", shown(host, address.port())));
    Ok((monitor, Some(address)))
}

/// TLS as the monitoring port has it: that of clients, but nobody is asked for a certificate.
/// Reads the files.
fn tls(options: &Options) -> Result<Option<TlsContext>, TlsError> {
    let Some(tls) = &options.tls else { return Ok(None) };
    let alone = TlsOptions { verify: false, pinned_certs: Vec::new(), ..tls.clone() };
    TlsContext::load(&alone).map(Some)
}

/// What monitoring shows without asking a shard, and what it serves with.
///
/// # Errors
/// TLS cannot be served as asked.
pub(super) fn first(
    options: &Options,
    identity: &Identity,
    addresses: Addresses,
    shards: usize,
) -> Result<Update, TlsError> {
    let context = tls(options)?;
    let facts = facts(options, identity, (addresses, shards), context.as_ref());
    Ok(Update { facts, tls: context.filter(|_| options.https_port != 0) })
}

fn facts(
    options: &Options,
    identity: &Identity,
    (addresses, shards): (Addresses, usize),
    context: Option<&TlsContext>,
) -> ServerFacts {
    let info = server_info(options, identity, addresses.clients);
    let now = u64::try_from(host::wall_clock_since_epoch().as_nanos()).unwrap_or(0);
    ServerFacts {
        server_id: info.server_id,
        server_name: info.server_name,
        version: COMPATIBLE_VERSION.to_owned(),
        midge_version: MIDGE_VERSION.to_owned(),
        host: info.host,
        bind_host: options.host.trim_matches(['[', ']']).to_owned(),
        domain: options.jetstream.domain.clone().unwrap_or_default(),
        port: info.port,
        jetstream: info.jetstream,
        websocket: websocket_facts(options, addresses.websocket),
        cluster: info.cluster,
        routes: peer_facts(&options.cluster, addresses.routes),
        leaves: peer_facts(&options.leafnodes, addresses.leaves),
        auth_required: info.auth_required,
        connect_urls: Vec::new(),
        max_connections: options.max_connections as u64,
        max_subscriptions: options.max_subscriptions as u64,
        ping_interval: nanoseconds(options.ping_interval),
        ping_max: options.ping_max,
        http_host: options.monitoring_listen().map_or("", |(host, _)| host).to_owned(),
        http_port: options.http_port,
        https_port: options.https_port,
        tls_required: info.tls_required,
        tls_verify: info.tls_verify,
        tls_timeout: options.tls.as_ref().map_or(0.0, |tls| tls.timeout.as_secs_f64()),
        tls_not_after: context.map_or(0, TlsContext::not_after),
        http_base_path: options.http_base_path.clone(),
        auth_timeout: options.auth_timeout.as_secs_f64(),
        max_control_line: options.max_control_line as u64,
        max_payload: options.max_payload as u64,
        max_pending: options.max_pending as u64,
        write_deadline: nanoseconds(options.write_deadline),
        max_closed_clients: options.max_closed_clients,
        cores: host::available_cpus().len(),
        shards,
        start: now,
        start_monotonic: host::monotonic_ns(),
        config_load_time: now,
        config_digest: options.config_digest.clone().unwrap_or_default(),
        feature_flags: options.jetstream.feature_flags,
        tags: options.server_tags.clone(),
        metadata: options.server_metadata.clone(),
        system_account: options.access.system_account_name().unwrap_or_default().to_owned(),
        jetstream_accounts: match options.jetstream.enabled {
            true => options.access.jetstream_account_names(),
            false => Vec::new(),
        },
        command_line: shown_command_line(std::env::args()),
    }
}

/// The same after a reload: what is not of the configuration stays.
///
/// # Errors
/// TLS cannot be served as asked.
pub(super) fn of_reload(
    options: &Options,
    identity: &Identity,
    addresses: Addresses,
    before: &ServerFacts,
) -> Result<Update, TlsError> {
    let mut update = first(options, identity, addresses, before.shards)?;
    update.facts.start = before.start;
    update.facts.start_monotonic = before.start_monotonic;
    Ok(update)
}

fn peer_facts(at: &PeerPort, address: Option<SocketAddr>) -> Option<PeerFacts> {
    Some(PeerFacts { host: at.host().to_owned(), port: address?.port() })
}

fn websocket_facts(options: &Options, address: Option<SocketAddr>) -> Option<WebSocketFacts> {
    let port = address?.port();
    let websocket = &options.websocket;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let pins = websocket.tls.as_ref().map(|tls| tls.pinned_certs.clone());
    Some(WebSocketFacts {
        host: websocket.host().to_owned(),
        port,
        advertise: text(&websocket.advertise),
        no_auth_user: text(&websocket.no_auth_user),
        jwt_cookie: text(&websocket.jwt_cookie),
        handshake_timeout: websocket.handshake_timeout.map_or(0, nanoseconds),
        auth_timeout: websocket.auth_timeout.map_or(0.0, |timeout| timeout.as_secs_f64()),
        no_tls: websocket.no_tls,
        tls_pinned_certs: pins.unwrap_or_default(),
        same_origin: websocket.same_origin,
        allowed_origins: websocket.allowed_origins.clone(),
        compression: websocket.compression,
    })
}

/// The command line without what is secret in it.
fn shown_command_line(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut hide_next = false;
    let shown = words.map(|word| {
        if std::mem::take(&mut hide_next) {
            return HIDDEN.to_owned();
        }
        let flag = word.trim_start_matches('-');
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        if !word.starts_with('-') || !SECRET_FLAGS.contains(&name) {
            return word;
        }
        hide_next = value.is_empty() && !word.contains('=');
        if hide_next {
            word
        } else {
            format!("{}={HIDDEN}", &word[..word.len() - value.len() - 1])
        }
    });
    shown.collect()
}

const SECRET_FLAGS: [&str; 2] = ["pass", "auth"];
const HIDDEN: &str = "[REDACTED]";

/// `host:port`, an IPv6 host in brackets.
fn shown(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_command_line_are_not_shown() {
        let words = ["midge", "--user", "u", "--pass", "s3cret", "-auth=s3cret", "-D"];
        let shown = shown_command_line(words.map(str::to_owned).into_iter());
        assert_eq!(
            shown,
            ["midge", "--user", "u", "--pass", "[REDACTED]", "-auth=[REDACTED]", "-D"]
        );
    }
}
