//! Every top-level key of a configuration file, once: what it sets, or that it is not built.

/// What a key sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Listen,
    Host,
    Port,
    ServerName,
    ClientAdvertise,
    Shards,
    Authorization,
    NoAuthUser,
    Accounts,
    Mappings,
    SystemAccount,
    NoSystemAccount,
    Operator,
    TrustedKeys,
    Resolver,
    ResolverTls,
    ResolverPreload,
    ResolverPinned,
    DefaultSentinel,
    MaxConnections,
    MaxSubscriptions,
    MaxSubTokens,
    MaxPayload,
    MaxPending,
    MaxControlLine,
    PingInterval,
    PingMax,
    WriteDeadline,
    NoFastProducerStall,
    NoHeaderSupport,
    DisableSublistCache,
    LameDuckDuration,
    LameDuckGracePeriod,
    Debug,
    Trace,
    TraceVerbose,
    TraceHeaders,
    MaxTracedMsgLen,
    LogTime,
    LogTimeUtc,
    LogFile,
    LogFormat,
    Syslog,
    RemoteSyslog,
    LogSizeLimit,
    LogMaxNum,
    PidFile,
    PortsFileDir,
    Http,
    HttpPort,
    Https,
    HttpsPort,
    HttpBasePath,
    MaxClosedClients,
    ProxyProtocol,
    ServerTags,
    ServerMetadata,
    StoreDir,
    JetStream,
    FeatureFlags,
    Tls,
    AllowNonTls,
    WebSocket,
    Cluster,
    Leafnodes,
    /// Says how often connecting to other servers may fail before the log tells: nothing to a
    /// server that connects to none.
    ErrorReports,
    /// A key of nats-server for a feature that is not built; the text names the feature.
    NotBuilt(&'static str),
}

/// Finds a key; case does not matter.
pub(super) fn find(name: &str) -> Option<Key> {
    let name = name.to_lowercase();
    let found = KEYS.iter().find(|(names, _)| names.contains(&name.as_str()));
    found.map(|(_, key)| *key)
}

/// All keys with their names.
pub(super) fn all() -> impl Iterator<Item = (&'static [&'static str], Key)> {
    KEYS.iter().copied()
}

const PROFILING: Key = Key::NotBuilt("profiling over HTTP");
const TLS: Key = Key::NotBuilt("TLS");

/// The table: nats-server's keys and their aliases, and `shards` and `log_format`, which are ours.
#[rustfmt::skip]
const KEYS: &[(&[&str], Key)] = &[
    (&["listen"], Key::Listen),
    (&["host", "net"], Key::Host),
    (&["port"], Key::Port),
    (&["server_name"], Key::ServerName),
    (&["client_advertise"], Key::ClientAdvertise),
    (&["shards"], Key::Shards),
    (&["authorization"], Key::Authorization),
    (&["no_auth_user"], Key::NoAuthUser),
    (&["max_connections", "max_conn"], Key::MaxConnections),
    (&["max_subscriptions", "max_subs"], Key::MaxSubscriptions),
    (&["max_sub_tokens", "max_subscription_tokens"], Key::MaxSubTokens),
    (&["max_payload"], Key::MaxPayload),
    (&["max_pending"], Key::MaxPending),
    (&["max_control_line"], Key::MaxControlLine),
    (&["ping_interval"], Key::PingInterval),
    (&["ping_max"], Key::PingMax),
    (&["write_deadline"], Key::WriteDeadline),
    (&["no_fast_producer_stall"], Key::NoFastProducerStall),
    (&["no_header_support"], Key::NoHeaderSupport),
    (&["disable_sublist_cache", "no_sublist_cache"], Key::DisableSublistCache),
    (&["lame_duck_duration"], Key::LameDuckDuration),
    (&["lame_duck_grace_period"], Key::LameDuckGracePeriod),
    (&["debug"], Key::Debug),
    (&["trace"], Key::Trace),
    (&["trace_verbose"], Key::TraceVerbose),
    (&["trace_headers"], Key::TraceHeaders),
    (&["max_traced_msg_len"], Key::MaxTracedMsgLen),
    (&["logtime"], Key::LogTime),
    (&["logtime_utc"], Key::LogTimeUtc),
    (&["log_file", "logfile"], Key::LogFile),
    (&["log_format"], Key::LogFormat),
    (&["syslog"], Key::Syslog),
    (&["remote_syslog"], Key::RemoteSyslog),
    (&["log_size_limit", "logfile_size_limit"], Key::LogSizeLimit),
    (&["log_max_num", "logfile_max_num"], Key::LogMaxNum),
    (&["pid_file", "pidfile"], Key::PidFile),
    (&["proxy_protocol"], Key::ProxyProtocol),
    (&["ports_file_dir"], Key::PortsFileDir),
    (&["http"], Key::Http),
    (&["http_port", "monitor_port"], Key::HttpPort),
    (&["https"], Key::Https),
    (&["https_port"], Key::HttpsPort),
    (&["http_base_path"], Key::HttpBasePath),
    (&["max_closed_clients"], Key::MaxClosedClients),
    (&["server_tags"], Key::ServerTags),
    (&["server_metadata"], Key::ServerMetadata),
    (&["store_dir", "storedir"], Key::StoreDir),

    (&["accounts"], Key::Accounts),
    (&["system_account", "system"], Key::SystemAccount),
    (&["no_system_account", "no_system", "no_sys_acc"], Key::NoSystemAccount),
    (&["mappings", "maps"], Key::Mappings),
    (&["operator", "operators", "root", "roots", "root_operator", "root_operators"], Key::Operator),
    (&["trusted", "trusted_keys"], Key::TrustedKeys),
    (&["resolver", "account_resolver", "accounts_resolver"], Key::Resolver),
    (&["resolver_tls"], Key::ResolverTls),
    (&["resolver_preload"], Key::ResolverPreload),
    (&["resolver_pinned_accounts"], Key::ResolverPinned),
    (&["default_sentinel"], Key::DefaultSentinel),
    (&["tls"], Key::Tls),
    (&["allow_non_tls"], Key::AllowNonTls),
    (&["ocsp"], TLS),
    (&["ocsp_cache"], TLS),
    (&["proxies"], Key::NotBuilt("trusted proxies")),
    (&["prof_port"], PROFILING),
    (&["prof_block_rate"], PROFILING),
    (&["write_timeout"], Key::NotBuilt("the write timeout policy")),
    (&["feature_flags"], Key::FeatureFlags),
    (&["cluster"], Key::Cluster),
    (&["gateway"], Key::NotBuilt("gateways")),
    (&["leafnodes", "leaf"], Key::Leafnodes),
    (&["connect_error_reports"], Key::ErrorReports),
    (&["reconnect_error_reports"], Key::ErrorReports),
    (&["jetstream"], Key::JetStream),
    (&["default_js_domain"], Key::NotBuilt("leaf nodes")),
    (&["websocket", "ws"], Key::WebSocket),
    (&["mqtt"], Key::NotBuilt("MQTT")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_stands_twice() {
        let mut names: Vec<&str> = KEYS.iter().flat_map(|(names, _)| *names).copied().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn case_does_not_matter() {
        assert_eq!(find("MAX_Conn"), Some(Key::MaxConnections));
        assert_eq!(find("max-conn"), None);
    }
}
