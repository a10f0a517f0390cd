//! What the log says of a start.

use std::net::SocketAddr;

use super::jetstream;
use super::listen::Addresses;
use super::placement::Placement;
use super::start::Identity;
use crate::config::{CipherName, Options, COMPATIBLE_VERSION, MIDGE_VERSION};
use crate::host;
use crate::log::Log;
use crate::websocket::AllowedOrigin;

pub(super) fn announce_start(
    options: &Options,
    log: &Log,
    identity: &Identity,
    placement: &Placement,
    files: std::io::Result<host::FileLimit>,
) {
    log.info(format_args!("Starting midge"));
    log.info(format_args!("  Version:  {MIDGE_VERSION} (nats-server {COMPATIBLE_VERSION})"));
    if !identity.cluster.is_empty() {
        log.info(format_args!("  Cluster:  {}", identity.cluster));
    }
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

pub(super) fn announce_jetstream(options: &Options, log: &Log) {
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

pub(super) fn announce_peers(
    options: &Options,
    log: &Log,
    identity: &Identity,
    addresses: Addresses,
) {
    if let Some(address) = addresses.leaves {
        let at = host_and_port(options.leafnodes.host(), address.port());
        log.info(format_args!("Listening for leafnode connections on {at}"));
    }
    if let Some(address) = addresses.routes {
        log.info(format_args!("Cluster name is {}", identity.cluster));
        if options.cluster_name.is_none() {
            log.warning(format_args!(
                "Cluster name was dynamically generated, consider setting one"
            ));
        }
        let at = host_and_port(options.cluster.host(), address.port());
        log.info(format_args!("Listening for route connections on {at}"));
    }
}

pub(super) fn announce_websocket(options: &Options, log: &Log, address: Option<SocketAddr>) {
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

pub(super) fn announce_ready(options: &Options, log: &Log, address: SocketAddr) {
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
pub(super) fn shown_address(options: &Options, address: SocketAddr) -> String {
    host_and_port(options.host.trim_matches(|c| c == '[' || c == ']'), address.port())
}

pub(super) fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
