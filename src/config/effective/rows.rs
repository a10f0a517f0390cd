//! Every option there is, once: what it is called, what it may be, how it is read back.

use super::super::flags::Setting;
use super::super::options::{Options, PORT_ANY};
use super::super::{BatchLimits, PeerPort, SyncInterval};
use super::shown::Shown;
use crate::tls::{HandshakeFirst, TlsOptions};

/// One option.
pub(super) struct Row {
    /// The block it stands in; empty at the top.
    pub(super) block: &'static str,
    /// Its name and its aliases, in lower case.
    pub(super) names: &'static [&'static str],
    /// What its value may be.
    pub(super) kind: &'static str,
    /// Whether a running server takes a change of it.
    pub(super) reload: bool,
    /// The flags that set it, too.
    pub(super) setting: Option<Setting>,
    /// A configuration that says something else than the default.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests prove rows by it"))]
    pub(super) example: &'static str,
    pub(super) source: Source,
    /// What it does.
    pub(super) help: &'static str,
}

/// Where the value is found.
pub(super) enum Source {
    /// In the options.
    Options(fn(&Options) -> Shown),
    /// In the configuration file, which knows its structure.
    File,
    /// It is short for others, which show it.
    Others,
}

impl Row {
    /// The name with its block.
    #[cfg(test)]
    fn path(&self) -> String {
        let name = self.names.first().copied().unwrap_or_default();
        match self.block {
            "" => name.to_owned(),
            block => format!("{block}.{name}"),
        }
    }

    /// The value as `options` have it.
    pub(super) fn value(&self, options: &Options) -> Shown {
        match self.source {
            O(read) => read(options),
            File | Others => Shown::Unset,
        }
    }
}

macro_rules! rows {
    ($($block:literal $names:expr, $kind:literal, $reload:ident, $setting:expr, $example:literal,
       $source:expr, $help:literal;)*) => {
        &[$(Row {
            block: $block,
            names: &$names,
            kind: $kind,
            reload: rows!(@ $reload),
            setting: $setting,
            example: $example,
            source: $source,
            help: $help,
        }),*]
    };
    (@ reload) => { true };
    (@ restart) => { false };
}

use Setting as S;
use Source::{File, Options as O, Others};

/// The table, in the order in which it is printed.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = rows![
    "" ["listen"], "host:port or port", restart, None, "listen: \"127.0.0.1:5000\"", Others, "Short for `host` and `port`";
    "" ["host", "net"], "text", restart, Some(S::Host), "host: \"127.0.0.1\"", O(|o| Shown::text(&o.host)), "Address that clients connect to";
    "" ["port"], "integer", restart, Some(S::Port), "port: 5000", O(|o| Shown::number(o.port)), "Port that clients connect to; -1 is any free one";
    "" ["server_name"], "text", restart, Some(S::ServerName), "server_name: one", O(|o| Shown::optional(o.server_name.as_ref())), "Name of the server; its id if unset";
    "" ["client_advertise"], "host:port", reload, Some(S::ClientAdvertise), "client_advertise: \"h:1\"", O(|o| Shown::optional(o.client_advertise.as_ref())), "Address that clients are told instead of the listener's";

    "shards" ["count"], "integer", restart, Some(S::Shards), "shards { count: 1 }", O(|o| o.shards.map_or(Shown::Unset, Shown::number)), "Shards, one core each; unset: one for each usable core";
    "shards" ["cpus"], "list or text", restart, None, "shards { cpus: \"0\" }", O(cpus), "Processors of the shards; unset: those of the affinity mask";
    "shards" ["busy_poll"], "duration", restart, None, "shards { busy_poll: \"1ms\" }", O(|o| Shown::duration(o.shard_busy_poll)), "How long an idle shard looks for work before it sleeps";
    "shards" ["memory"], "size", restart, None, "shards { memory: 64MB }", O(|o| Shown::number(o.shard_memory)), "Bytes of buffers that one shard may hold";

    "authorization" ["user", "username"], "text", reload, Some(S::User), "authorization { user: a, password: b }", O(|o| Shown::optional(o.user.as_ref())), "The one user";
    "authorization" ["password", "pass"], "text", reload, Some(S::Password), "authorization { user: a, password: b }", O(|o| Shown::secret(o.password.as_ref())), "Its password, in clear or hashed by bcrypt";
    "authorization" ["token"], "text", reload, Some(S::Token), "authorization { token: a }", O(|o| Shown::secret(o.token.as_ref())), "Token that everybody shows, in clear or hashed by bcrypt";
    "authorization" ["timeout"], "duration or seconds", reload, None, "authorization { timeout: 5 }", O(|o| Shown::duration(o.auth_timeout)), "How long a client may take to show who it is";
    "authorization" ["users"], "list of blocks", reload, None, "authorization { users: [ { user: a, password: b } ] }", File, "Users with their permissions";
    "authorization" ["default_permissions", "default_permission", "permissions"], "block", reload, None, "authorization { default_permissions { publish: a }, users: [ { user: a, password: b } ] }", File, "Permissions of users that have none of their own";
    "" ["no_auth_user"], "text", restart, None, "no_auth_user: a, authorization { users: [ { user: a } ] }", O(|o| Shown::optional(o.no_auth_user.as_ref())), "User that a client becomes which shows nothing; a reload can take it away";
    "" ["accounts"], "block", reload, None, "accounts { A { users: [ { user: a, password: b } ] } }", File, "Accounts with their users, limits, mappings";
    "" ["mappings", "maps"], "block", reload, None, "mappings { a: b }", File, "Subjects that become others";
    "" ["system_account", "system"], "text", restart, None, "accounts { A {} }, system_account: A", O(|o| Shown::optional(o.access.system_account.as_ref())), "Name of the system account; `$SYS` if unset";
    "" ["no_system_account", "no_system", "no_sys_acc"], "boolean", restart, None, "no_system_account: true", O(|o| Shown::Bool(o.access.no_system_account)), "There is no system account";

    "" ["operator", "operators", "root", "roots", "root_operator", "root_operators"], "token, file or list", restart, None, "", File, "Operators whose accounts are believed: operator mode";
    "" ["trusted", "trusted_keys"], "list of keys", restart, None, "", File, "Public keys of operators without a token";
    "" ["resolver", "account_resolver", "accounts_resolver"], "MEMORY, URL(...) or block", restart, None, "", File, "Where tokens of accounts are found";
    "" ["resolver_tls"], "block", restart, None, "", File, "TLS towards a resolver at a URL";
    "" ["resolver_preload"], "block", reload, None, "", File, "Tokens of accounts by their public key, to begin with";
    "" ["resolver_pinned_accounts"], "list of keys", reload, None, "", File, "Accounts that users may log in to; none is all";
    "" ["default_sentinel"], "token", reload, None, "", File, "Token of clients that show none";

    "" ["max_connections", "max_conn"], "integer", reload, None, "max_connections: 7", O(|o| Shown::number(o.max_connections)), "Client connections at one time";
    "" ["max_subscriptions", "max_subs"], "integer", restart, None, "max_subscriptions: 7", O(|o| Shown::number(o.max_subscriptions)), "Subscriptions of one connection; 0 is no limit";
    "" ["max_sub_tokens", "max_subscription_tokens"], "integer 1 to 255", restart, None, "max_sub_tokens: 7", O(|o| o.max_sub_tokens.map_or(Shown::Unset, Shown::number)), "Tokens in the subject of a subscription";
    "" ["max_payload"], "size", reload, None, "max_payload: 1000", O(|o| Shown::number(o.max_payload)), "Bytes of one message, headers and body";
    "" ["max_pending"], "size", restart, None, "max_pending: 128MB", O(|o| Shown::number(o.max_pending)), "Bytes that may wait for one connection";
    "" ["max_control_line"], "size", reload, None, "max_control_line: 2048", O(|o| Shown::number(o.max_control_line)), "Bytes of one protocol line";
    "" ["ping_interval"], "duration", reload, None, "ping_interval: \"5s\"", O(|o| Shown::duration(o.ping_interval)), "Time between two PINGs to a quiet client";
    "" ["ping_max"], "integer", reload, None, "ping_max: 5", O(|o| Shown::number(o.ping_max)), "PINGs that may go unanswered";
    "" ["write_deadline"], "duration", reload, None, "write_deadline: \"5s\"", O(|o| Shown::duration(o.write_deadline)), "How long one write to a client may take";
    "" ["no_fast_producer_stall"], "boolean", reload, None, "no_fast_producer_stall: true", O(|o| Shown::Bool(o.no_fast_producer_stall)), "Messages for a receiver that is behind are dropped; its publisher is not slowed down";
    "" ["no_header_support"], "boolean", restart, None, "no_header_support: true", O(|o| Shown::Bool(o.no_header_support)), "Messages have no headers";
    "" ["disable_sublist_cache", "no_sublist_cache"], "boolean", restart, None, "disable_sublist_cache: true", O(|o| Shown::Bool(o.disable_sublist_cache)), "Routing plans are not cached";
    "" ["proxy_protocol"], "boolean", restart, None, "proxy_protocol: true", O(|o| Shown::Bool(o.proxy_protocol)), "Connections may begin with the header of a proxy";
    "" ["lame_duck_duration"], "duration", restart, None, "lame_duck_duration: \"1m\"", O(|o| Shown::duration(o.lame_duck_duration)), "Over how long lame duck mode closes clients";
    "" ["lame_duck_grace_period"], "duration", restart, None, "lame_duck_grace_period: \"2s\"", O(|o| Shown::duration(o.lame_duck_grace_period)), "How long it waits before it closes the first";

    "tls" ["cert_file"], "file", reload, Some(S::TlsCert), "", O(|o| tls(o, |tls| tls.certificates.first().map_or(Shown::Unset, |pair| Shown::of_path(&pair.cert_file)))), "Certificate chain, the server's own first";
    "tls" ["key_file"], "file", reload, Some(S::TlsKey), "", O(|o| tls(o, |tls| tls.certificates.first().map_or(Shown::Unset, |pair| Shown::of_path(&pair.key_file)))), "Its private key";
    "tls" ["certs", "certificates"], "list of blocks", reload, None, "", O(|o| tls(o, further_certificates)), "More pairs of `cert_file` and `key_file`, chosen by the name a client asks for";
    "tls" ["ca_file"], "file", reload, Some(S::TlsCaCert), "", O(|o| tls(o, |tls| Shown::path(tls.ca_file.as_ref()))), "Authorities that client certificates are checked against";
    "tls" ["verify"], "boolean", reload, Some(S::TlsVerify), "", O(|o| tls(o, |tls| Shown::Bool(tls.verify))), "Clients must show a certificate";
    "tls" ["verify_and_map"], "boolean", reload, None, "", O(|o| tls(o, |tls| Shown::Bool(tls.map))), "They must, and it names their user";
    "tls" ["connection_rate_limit"], "integer", reload, None, "", O(|o| tls(o, |tls| tls.connection_rate_limit.map_or(Shown::Unset, Shown::number))), "Handshakes in a second";
    "tls" ["timeout"], "duration or seconds", reload, None, "", O(|o| tls(o, |tls| Shown::duration(tls.timeout))), "How long a handshake may take; 2s if unset";
    "tls" ["min_version"], "1.2 or 1.3", reload, None, "", O(|o| tls(o, |tls| Shown::text(if tls.only_tls13 { "1.3" } else { "1.2" }))), "The lowest version";
    "tls" ["cipher_suites"], "list of texts", reload, None, "", O(|o| tls(o, |tls| Shown::texts(&tls.cipher_suites))), "Suites by their IANA names; unset: the safe ones";
    "tls" ["curve_preferences"], "list of texts", reload, None, "", O(|o| tls(o, |tls| Shown::texts(&tls.curves))), "Key exchange groups by their Go names";
    "tls" ["pinned_certs"], "list of texts", reload, None, "", O(|o| tls(o, |tls| Shown::texts(&tls.pinned_certs))), "SHA-256 of the public keys that clients may have";
    "tls" ["handshake_first", "first", "immediate"], "boolean, duration, auto", reload, None, "", O(|o| tls(o, |tls| handshake_first(tls.handshake_first))), "The handshake comes before INFO, or does if it begins in time";
    "" ["allow_non_tls"], "boolean", restart, None, "allow_non_tls: true", O(|o| Shown::Bool(o.allow_non_tls)), "Clients may go without TLS";

    "" ["websocket", "ws"], "block", restart, None, "", File, "The WebSocket port: address, TLS, origins, compression; a reload reads its certificates anew";

    "cluster" ["name"], "text", restart, Some(S::ClusterName), "cluster { name: c }", O(|o| Shown::optional(o.cluster_name.as_ref())), "Name of the cluster that INFO tells";
    "cluster" ["listen"], "host:port or port", restart, Some(S::Cluster), "cluster { listen: \"127.0.0.1:6222\" }", O(|o| peers(&o.cluster)), "Port for routes, which are refused as yet; also as `host` and `port`";
    "leafnodes" ["listen"], "host:port or port", restart, None, "leafnodes { listen: \"127.0.0.1:7422\" }", O(|o| peers(&o.leafnodes)), "Port for leaf nodes, which are refused as yet; also as `host` and `port`";
    "" ["connect_error_reports"], "integer", restart, None, "", File, "Without effect: the server connects to no other";
    "" ["reconnect_error_reports"], "integer", restart, None, "", File, "Without effect: the server connects to no other";

    "" ["http"], "host:port or port", restart, None, "http: \"127.0.0.1:8222\"", O(|o| listener(o, o.http_port)), "Monitoring, and on which address";
    "" ["http_port", "monitor_port"], "integer", restart, Some(S::HttpPort), "http_port: 8222", O(|o| alone(o, o.http_port)), "Port of monitoring; 0 is none, -1 any free one";
    "" ["https"], "host:port or port", restart, None, "https: \"127.0.0.1:8222\"", O(|o| listener(o, o.https_port)), "Monitoring over TLS, and on which address";
    "" ["https_port"], "integer", restart, Some(S::HttpsPort), "https_port: 8222", O(|o| alone(o, o.https_port)), "Port of monitoring over TLS, with the certificates of `tls`; 0 is none, -1 any free one";
    "" ["http_base_path"], "text", restart, None, "http_base_path: \"/a\"", O(|o| Shown::text(&o.http_base_path)), "What all monitoring paths begin with";
    "" ["max_closed_clients"], "integer", restart, None, "max_closed_clients: 7", O(|o| Shown::number(o.max_closed_clients)), "Closed connections that monitoring remembers";
    "" ["server_tags"], "text or list", reload, None, "server_tags: [ a, b ]", O(|o| Shown::texts(&o.server_tags)), "Tags that monitoring shows";
    "" ["server_metadata"], "block of texts", reload, None, "server_metadata { a: b }", O(metadata), "Pairs that monitoring shows";

    "" ["trace_verbose"], "boolean", reload, Some(S::TraceVerbose), "trace_verbose: true", O(|o| Shown::Bool(o.trace_verbose)), "Trace the system account, too; implies `trace`";
    "" ["trace_headers"], "boolean", reload, None, "trace_headers: true", O(|o| Shown::Bool(o.trace_headers)), "Trace only the headers of messages; implies `trace`";
    "" ["trace"], "boolean", reload, Some(S::Trace), "trace: true", O(|o| Shown::Bool(o.trace)), "Log every protocol line";
    "" ["max_traced_msg_len"], "integer", reload, Some(S::MaxTracedMsgLen), "max_traced_msg_len: 7", O(|o| Shown::number(o.max_traced_msg_len)), "Bytes of a message that a trace line shows; 0 is all";
    "" ["debug"], "boolean", reload, Some(S::Debug), "debug: true", O(|o| Shown::Bool(o.debug)), "Log what a developer wants to know";
    "" ["logtime"], "boolean", reload, Some(S::LogTime), "logtime: false", O(|o| Shown::Bool(o.log_time)), "Log lines begin with the time";
    "" ["logtime_utc"], "boolean", reload, Some(S::LogTimeUtc), "logtime_utc: true", O(|o| Shown::Bool(o.log_time_utc)), "In UTC, not in the local time zone";
    "" ["log_format"], "text or json", restart, None, "log_format: json", O(|o| Shown::text(if o.log_json { "json" } else { "text" })), "How a log line is written";
    "" ["log_file", "logfile"], "file", reload, Some(S::LogFile), "log_file: \"l\"", O(|o| Shown::path(o.log_file.as_ref())), "File that takes the log; unset: standard error";
    "" ["log_size_limit", "logfile_size_limit"], "size", restart, Some(S::LogSizeLimit), "log_size_limit: 1MB", O(|o| Shown::number(o.log_size_limit)), "Bytes after which a new log file is begun; 0: never";
    "" ["log_max_num", "logfile_max_num"], "integer", restart, None, "log_max_num: 3", O(|o| Shown::number(o.log_max_files)), "Log files kept, the current one included; 0 is all";
    "" ["syslog"], "boolean", reload, Some(S::Syslog), "syslog: true", O(|o| Shown::Bool(o.syslog)), "Log to this machine's syslog daemon";
    "" ["remote_syslog"], "URL", reload, Some(S::RemoteSyslog), "remote_syslog: \"udp://localhost:514\"", O(|o| Shown::optional(o.remote_syslog.as_ref())), "Log to this syslog daemon";
    "" ["pid_file", "pidfile"], "file", reload, Some(S::PidFile), "pid_file: \"p\"", O(|o| Shown::path(o.pid_file.as_ref())), "File that takes the process id";
    "" ["ports_file_dir"], "directory", reload, Some(S::PortsFileDir), "ports_file_dir: \"d\"", O(|o| Shown::path(o.ports_file_dir.as_ref())), "Directory that takes the ports file while the server runs";

    "" ["jetstream"], "boolean or block", restart, Some(S::JetStream), "jetstream: true", Others, "Streams are kept, and how";
    "" ["store_dir", "storedir"], "directory", restart, Some(S::StoreDir), "store_dir: \"d\"", Others, "`store_dir` of the `jetstream` block, which is where it is shown";
    "" ["feature_flags"], "block of booleans", restart, None, "feature_flags { js_ack_fc_v2: true }", File, "What is not the default yet: `js_ack_fc_v2` is known";
    "jetstream" ["enabled", "enable"], "boolean", restart, None, "jetstream { enabled: true }", O(|o| Shown::Bool(o.jetstream.enabled)), "Streams are kept; a block that does not say so is";
    "jetstream" ["store_dir", "storedir"], "directory", restart, None, "jetstream { store_dir: \"d\" }", O(|o| Shown::path(o.store_dir.as_ref())), "Where streams are kept; unset: a directory for temporary files";
    "jetstream" ["max_memory_store", "max_mem_store", "max_mem"], "size", restart, None, "jetstream { max_mem: 1G }", O(|o| o.jetstream.max_memory.map_or(Shown::Unset, Shown::number)), "Bytes of all streams in memory; unset: three quarters of the memory";
    "jetstream" ["max_file_store", "max_file"], "size", restart, None, "jetstream { max_file: 1G }", O(|o| o.jetstream.max_file.map_or(Shown::Unset, Shown::number)), "Bytes of all streams in files; unset: what the disk has free";
    "jetstream" ["sync_interval", "sync"], "always or duration", restart, None, "jetstream { sync_interval: \"5s\" }", O(sync_interval), "When what is acknowledged is on disk";
    "jetstream" ["domain"], "text", restart, None, "jetstream { domain: a }", O(|o| Shown::optional(o.jetstream.domain.as_ref())), "Name of the domain";
    "jetstream" ["strict"], "boolean", restart, None, "jetstream { strict: false }", O(|o| Shown::Bool(o.jetstream.strict)), "Requests with unknown fields are refused";
    "jetstream" ["limits"], "block", restart, None, "jetstream { limits { max_ack_pending: 5 } }", O(jetstream_limits), "Limits of streams and consumers";
    "jetstream" ["max_buffered_msgs"], "integer", restart, None, "jetstream { max_buffered_msgs: 5 }", O(|o| Shown::number(o.jetstream.max_buffered_msgs)), "Messages that may wait to be stored, for one stream";
    "jetstream" ["max_buffered_size"], "size", restart, None, "jetstream { max_buffered_size: 1M }", O(|o| Shown::number(o.jetstream.max_buffered_size)), "Their bytes";
    "jetstream" ["request_queue_limit"], "integer", restart, None, "jetstream { request_queue_limit: 5 }", O(|o| Shown::number(o.jetstream.request_queue_limit)), "Requests to the API that may wait";
];

fn cpus(options: &Options) -> Shown {
    let cpus = options.shard_cpus.as_ref();
    cpus.map_or(Shown::Unset, |cpus| Shown::List(cpus.iter().copied().map(Shown::number).collect()))
}

fn tls(options: &Options, of: fn(&TlsOptions) -> Shown) -> Shown {
    options.tls.as_ref().map_or(Shown::Unset, of)
}

fn further_certificates(tls: &TlsOptions) -> Shown {
    let further = tls.certificates.iter().skip(1);
    let pairs: Vec<Shown> = further
        .map(|pair| {
            Shown::Block(vec![
                ("cert_file".to_owned(), Shown::of_path(&pair.cert_file)),
                ("key_file".to_owned(), Shown::of_path(&pair.key_file)),
            ])
        })
        .collect();
    if pairs.is_empty() {
        Shown::Unset
    } else {
        Shown::List(pairs)
    }
}

fn handshake_first(first: HandshakeFirst) -> Shown {
    match first {
        HandshakeFirst::No => Shown::Bool(false),
        HandshakeFirst::Yes => Shown::Bool(true),
        HandshakeFirst::Within(wait) => Shown::duration(wait),
    }
}

/// A monitoring listener with an address of its own.
fn listener(options: &Options, port: i32) -> Shown {
    match &options.http_host {
        Some(host) if port != 0 && host.contains(':') => Shown::Text(format!("[{host}]:{port}")),
        Some(host) if port != 0 => Shown::Text(format!("{host}:{port}")),
        _ => Shown::Unset,
    }
}

/// A port for other servers.
fn peers(port: &PeerPort) -> Shown {
    match port.listen() {
        None => Shown::Unset,
        Some((host, _)) if host.contains(':') => Shown::Text(format!("[{host}]:{}", port.port)),
        Some((host, _)) => Shown::Text(format!("{host}:{}", port.port)),
    }
}

/// A monitoring port on the address of clients.
fn alone(options: &Options, port: i32) -> Shown {
    debug_assert!(port >= PORT_ANY);
    if options.http_host.is_none() || port == 0 {
        Shown::number(port)
    } else {
        Shown::Unset
    }
}

fn metadata(options: &Options) -> Shown {
    if options.server_metadata.is_empty() {
        return Shown::Unset;
    }
    let pairs = options.server_metadata.iter();
    Shown::Block(pairs.map(|(key, value)| (key.clone(), Shown::Text(value.clone()))).collect())
}

fn sync_interval(options: &Options) -> Shown {
    match options.jetstream.sync {
        SyncInterval::Always => Shown::text("always"),
        SyncInterval::Within(interval) => Shown::duration(interval),
    }
}

/// Those that differ from no limit.
fn jetstream_limits(options: &Options) -> Shown {
    let jetstream = &options.jetstream;
    let mut entries = Vec::new();
    let mut add = |name: &str, value: Option<Shown>| {
        entries.extend(value.map(|value| (name.to_owned(), value)));
    };
    add("max_ack_pending", jetstream.max_ack_pending.map(Shown::number));
    add("max_request_batch", jetstream.max_request_batch.map(Shown::number));
    add("duplicate_window", jetstream.duplicate_window.map(Shown::duration));
    if jetstream.batch != BatchLimits::default() {
        let batch = &jetstream.batch;
        let entries = [
            ("max_inflight_per_stream", Shown::number(batch.per_stream)),
            ("max_inflight_total", Shown::number(batch.total)),
            ("max_msgs", Shown::number(batch.messages)),
            ("timeout", Shown::duration(batch.timeout)),
        ];
        let entries = entries.map(|(name, value)| (name.to_owned(), value)).into();
        add("batch", Some(Shown::Block(entries)));
    }
    if entries.is_empty() {
        Shown::Unset
    } else {
        Shown::Block(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::flags::FLAGS;
    use super::super::super::keys;
    use super::super::super::reload::changes;
    use super::*;

    fn parsed(text: &'static str) -> Options {
        let (options, findings) = super::super::super::file::tests::read(text);
        assert!(findings.allow_start(), "{text:?}: {findings}");
        options
    }

    // Goal: whoever adds a key adds a row. Method: both tables, compared.
    #[test]
    fn every_key_that_is_built_has_a_row() {
        for (names, key) in keys::all() {
            let found = ROWS.iter().any(|row| row.block.is_empty() && *row.names == *names);
            let as_block = ROWS.iter().any(|row| names.contains(&row.block));
            let is_built = !matches!(key, keys::Key::NotBuilt(_));
            assert_eq!(found || as_block, is_built, "{names:?} in src/config/effective/rows.rs");
        }
        let mut paths: Vec<String> = ROWS.iter().map(Row::path).collect();
        let all = paths.len();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), all);
    }

    // Goal: nothing the broker acts on is kept from whoever asks for the configuration. Method:
    // the fields of `Options`, looked for in the text of this file.
    #[test]
    fn every_field_of_the_options_is_shown() {
        let this = include_str!("rows.rs");
        // Shown as the file has it, or as the head of the page.
        let elsewhere = ["websocket", "config_file", "config_digest"];
        for line in include_str!("../options.rs").lines() {
            let field = line.strip_prefix("    pub ").and_then(|rest| rest.split_once(": "));
            let Some((name, _)) = field.filter(|(name, _)| !name.contains(' ')) else { continue };
            let is_shown =
                this.contains(&format!("o.{name}")) || this.contains(&format!("options.{name}"));
            assert!(is_shown || elsewhere.contains(&name), "{name}: no row shows it");
        }
    }

    #[test]
    fn every_flag_that_sets_an_option_is_named() {
        let no_option = [
            Setting::ConfigFile,
            Setting::TestConfig,
            Setting::Signal,
            Setting::DebugAndTrace,
            Setting::DebugAndTraceVerbose,
            Setting::Tls,
            Setting::ClusterTalk,
            Setting::Help,
            Setting::HelpTls,
            Setting::Version,
        ];
        for flag in FLAGS {
            let found = ROWS.iter().any(|row| row.setting == Some(flag.setting));
            let is_none =
                no_option.contains(&flag.setting) || matches!(flag.setting, Setting::NotBuilt(_));
            assert_eq!(found, !is_none, "{:?}", flag.names);
        }
    }

    // Goal: a row tells the truth about its value and about reload. Method: its example, read and
    // put beside the defaults.
    #[test]
    fn rows_are_proven_by_their_examples() {
        let default = Options::default();
        for row in ROWS.iter().filter(|row| !row.example.is_empty()) {
            let path = row.path();
            let mut new = parsed(row.example);
            if matches!(row.source, O(_)) {
                assert_ne!(
                    row.value(&default),
                    row.value(&new),
                    "{path}: the example changes nothing"
                );
            }
            new.config_file = None;
            new.config_digest = None;
            match changes(&default, &new) {
                Ok(lines) => {
                    assert!(row.reload, "{path} is taken by a reload: {lines:?}");
                    let same = changes(&default, &default).unwrap();
                    let tells = lines.len() > same.len() || matches!(row.source, File);
                    assert!(tells, "{path}: a reload does not tell that it changes");
                }
                Err(error) => assert!(!row.reload, "{path}: {error}"),
            }
        }
    }
}
