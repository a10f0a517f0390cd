//! [`Options`]: one field per option the broker acts on today.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::jetstream::JetStreamOptions;
use super::peers::PeerPort;
use super::websocket::WebSocketOptions;
use crate::account::{AccessOptions, Secret};
use crate::tls::TlsOptions;

/// The client port of nats-server and of Midge.
pub const PORT_DEFAULT: i32 = 4222;

/// Stands for "any free port"; the log and INFO `port` tell which one it became.
pub const PORT_ANY: i32 = -1;

/// The most tokens `max_subscription_tokens` may allow: the limit is one byte in nats-server.
pub const MAX_SUB_TOKENS_CEILING: u8 = u8::MAX;

/// What the broker runs with. Plain values: a shard copies what it needs, nobody shares this.
///
/// The default is nats-server's default of every option. A value read from a file or the command
/// line has passed [`Options::validate`], so a reader may rely on the ranges below.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Address to listen on, as given: a name, IPv4 or IPv6 without brackets. Default `0.0.0.0`;
    /// INFO `host` repeats it as it stands here.
    pub host: String,
    /// Client port, `1..=65535`, or [`PORT_ANY`]. Default 4222.
    pub port: i32,
    /// Number of shards, `1..`. `None`: one for each usable core (`host::default_shards`), or for
    /// each of [`Options::shard_cpus`].
    pub shards: Option<usize>,
    /// The processors that shards are pinned to, in the order of the shards, each once; at least
    /// as many as there are shards. `None`: those of the affinity mask.
    pub shard_cpus: Option<Vec<usize>>,
    /// How long a shard without work looks for some before it sleeps, if the last gap was no
    /// longer. Default 20 µs, at most 1 s; zero: never.
    pub shard_busy_poll: Duration,
    /// Bytes that one shard may hold for receive buffers and for spare chunks of output. Default
    /// 20 MiB, `1 MiB..=16 GiB`.
    pub shard_memory: usize,
    /// Name in INFO `server_name`, without blanks. `None`: the server's id.
    pub server_name: Option<String>,
    /// `host:port` that INFO `connect_urls` shows other clients instead of the listener's.
    pub client_advertise: Option<String>,

    /// The one user that may connect. `None`: no user name is asked for.
    pub user: Option<String>,
    /// Password of [`Options::user`], in clear or its bcrypt hash.
    pub password: Option<String>,
    /// Token that a client must show, in clear or its bcrypt hash. Given with a user, the token
    /// counts.
    pub token: Option<String>,
    /// Name of the user that a client becomes which shows no credentials.
    pub no_auth_user: Option<String>,
    /// Users and accounts. Users make [`Options::user`] and [`Options::token`] count for nothing.
    pub access: AccessOptions,
    /// How long a client may take to show its credentials. Default 2 s. Armed only if some are
    /// asked for.
    pub auth_timeout: Duration,

    /// Client connections at one time. Default 65,536; 0 lets nobody in.
    pub max_connections: usize,
    /// Subscriptions of one connection. 0, the default: no limit.
    pub max_subscriptions: usize,
    /// Tokens in the subject of a subscription, `1..=255`. `None`: no limit.
    pub max_sub_tokens: Option<u8>,
    /// Bytes of one message, headers and body. Default 1 MiB, at most `i32::MAX` and at most
    /// [`Options::max_pending`].
    pub max_payload: usize,
    /// Bytes that may wait for one connection before it is closed as a slow consumer. Default
    /// 64 MiB.
    pub max_pending: usize,
    /// Bytes of one protocol line without its payload. Default 4,096.
    pub max_control_line: usize,

    /// Time between two PINGs to a quiet client. Default 2 min.
    pub ping_interval: Duration,
    /// PINGs that may go unanswered before the connection is stale. Default 2.
    pub ping_max: u32,
    /// How long one write to a client may take before it is a slow consumer. Default 10 s.
    pub write_deadline: Duration,
    /// `true` drops a message for a receiver that is behind instead of slowing its publisher.
    pub no_fast_producer_stall: bool,
    /// `true` refuses message headers: INFO says `headers: false`.
    pub no_header_support: bool,
    /// `true` turns the cache of routing plans off.
    pub disable_sublist_cache: bool,

    /// Over how long lame duck mode closes its clients, grace period included. Default 2 min, at
    /// least 30 s in a configuration file.
    pub lame_duck_duration: Duration,
    /// How long lame duck mode waits before it closes the first client. Default 10 s, less than
    /// [`Options::lame_duck_duration`].
    pub lame_duck_grace_period: Duration,

    /// Log `[DBG]` lines.
    pub debug: bool,
    /// Log every protocol line, as `[TRC]`.
    pub trace: bool,
    /// Trace the system account too. Implies [`Options::trace`].
    pub trace_verbose: bool,
    /// Trace only the headers of payloads. Implies [`Options::trace`].
    pub trace_headers: bool,
    /// Bytes of a payload that a trace line shows. 0, the default: all of them.
    pub max_traced_msg_len: usize,
    /// Start log lines with the time. Default `true`.
    pub log_time: bool,
    /// That time in UTC instead of the local time zone. Default `false`.
    pub log_time_utc: bool,
    /// Log lines as objects of JSON. Default `false`.
    pub log_json: bool,
    /// Send log lines to this machine's syslog daemon. A log file counts more.
    pub syslog: bool,
    /// Send log lines to this syslog daemon: `udp://host:port`, `tcp://host:port`, `unix:///path`.
    pub remote_syslog: Option<String>,
    /// File that takes the log instead of standard error.
    pub log_file: Option<PathBuf>,
    /// Bytes after which the log file is put aside and a new one begun. 0, the default: never.
    pub log_size_limit: u64,
    /// Log files kept, the current one included. 0, the default: all of them.
    pub log_max_files: usize,

    /// `true`: client connections may begin with the header of a proxy.
    pub proxy_protocol: bool,
    /// Address of the monitoring port if it is not [`Options::host`].
    pub http_host: Option<String>,
    /// Monitoring port: 0, the default, is none; [`PORT_ANY`] is any free one.
    pub http_port: i32,
    /// Monitoring port over TLS, with the certificates of [`Options::tls`]: 0, the default, is
    /// none; [`PORT_ANY`] is any free one. One of both ports, not both.
    pub https_port: i32,
    /// What all monitoring paths begin with; empty by default, else with a slash at its start.
    pub http_base_path: String,
    /// Closed connections that monitoring remembers. Default 10,000.
    pub max_closed_clients: usize,
    /// Words that monitoring shows as the server's tags.
    pub server_tags: Vec<String>,
    /// Pairs that monitoring shows as the server's metadata.
    pub server_metadata: BTreeMap<String, String>,
    /// Directory that takes the ports file while the server runs.
    pub ports_file_dir: Option<PathBuf>,

    /// File that takes the process id, in decimal without a line end.
    pub pid_file: Option<PathBuf>,
    /// Directory of `--store_dir`. Remembered, because test harnesses always pass it and
    /// nats-server takes it with JetStream off; nothing is created there.
    pub store_dir: Option<PathBuf>,

    /// TLS for clients; `None` is none.
    pub tls: Option<TlsOptions>,
    /// Clients may go without TLS although it is there. Default `false`.
    pub allow_non_tls: bool,

    /// The port for clients over WebSocket.
    pub websocket: WebSocketOptions,

    /// Name of the cluster that INFO tells. `None`: made up at the start if there is a port for
    /// routes.
    pub cluster_name: Option<String>,
    /// The port for other servers of the cluster, who are refused as yet.
    pub cluster: PeerPort,
    /// The port for leaf nodes, which are refused as yet.
    pub leafnodes: PeerPort,

    /// JetStream.
    pub jetstream: JetStreamOptions,

    /// Configuration file these options came from, as named on the command line.
    pub config_file: Option<PathBuf>,
    /// `sha256:<hex>` of that file's values, as the startup log shows it.
    pub config_digest: Option<String>,
}

impl Options {
    /// The port to hand to `bind`: 0 asks the kernel for any free one.
    pub fn bind_port(&self) -> u16 {
        u16::try_from(self.port).unwrap_or(0)
    }

    /// Where monitoring listens, in clear or over TLS: host and the port to hand to `bind`.
    /// `None`: nowhere.
    pub fn monitoring_listen(&self) -> Option<(&str, u16)> {
        let port = if self.http_port == 0 { self.https_port } else { self.http_port };
        (port != 0).then(|| (self.monitoring_host(), u16::try_from(port).unwrap_or(0)))
    }

    /// The address of monitoring, whether it listens or not.
    pub fn monitoring_host(&self) -> &str {
        let host = self.http_host.as_deref().unwrap_or(&self.host);
        host.trim_matches(['[', ']'])
    }

    /// What an operator should reconsider, for the log when the server starts.
    pub fn startup_warnings(&self) -> Vec<&'static str> {
        let plain = |secret: &Option<String>| {
            secret.as_deref().is_some_and(|text| !text.is_empty() && Secret::new(text).is_plain())
        };
        let mut warnings = Vec::new();
        let in_lists = self.access.all_users().any(|(_, user)| user.password.is_plain());
        if plain(&self.password) || plain(&self.websocket.password) || in_lists {
            warnings.push("Plaintext passwords detected, use nkeys or bcrypt");
        }
        if self.max_payload > MAX_PAYLOAD_ADVISED {
            warnings.push(
                "Maximum payloads over 8.00 MB are generally discouraged and could lead to poor \
                 performance",
            );
        }
        warnings
    }
}

impl Options {
    /// Whether a client must show credentials before anything else.
    pub fn auth_required(&self) -> bool {
        let has_users = self.access.all_users().next().is_some();
        has_users || self.user.is_some() || self.token.is_some()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: String::from("0.0.0.0"),
            port: PORT_DEFAULT,
            shards: None,
            shard_cpus: None,
            shard_busy_poll: Duration::from_micros(20),
            shard_memory: 20 * 1024 * 1024,
            server_name: None,
            client_advertise: None,
            user: None,
            password: None,
            token: None,
            no_auth_user: None,
            access: AccessOptions::default(),
            auth_timeout: Duration::from_secs(2),
            max_connections: 64 * 1024,
            max_subscriptions: 0,
            max_sub_tokens: None,
            max_payload: 1024 * 1024,
            max_pending: 64 * 1024 * 1024,
            max_control_line: 4096,
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            write_deadline: Duration::from_secs(10),
            no_fast_producer_stall: false,
            no_header_support: false,
            disable_sublist_cache: false,
            lame_duck_duration: Duration::from_secs(120),
            lame_duck_grace_period: Duration::from_secs(10),
            debug: false,
            trace: false,
            trace_verbose: false,
            trace_headers: false,
            max_traced_msg_len: 0,
            log_time: true,
            log_time_utc: false,
            log_json: false,
            syslog: false,
            remote_syslog: None,
            log_file: None,
            log_size_limit: 0,
            log_max_files: 0,
            proxy_protocol: false,
            http_host: None,
            http_port: 0,
            https_port: 0,
            http_base_path: String::new(),
            max_closed_clients: 10_000,
            server_tags: Vec::new(),
            server_metadata: BTreeMap::new(),
            ports_file_dir: None,
            pid_file: None,
            store_dir: None,
            tls: None,
            allow_non_tls: false,
            websocket: WebSocketOptions::default(),
            cluster_name: None,
            cluster: PeerPort::default(),
            leafnodes: PeerPort::default(),
            jetstream: JetStreamOptions::default(),
            config_file: None,
            config_digest: None,
        }
    }
}

/// Bytes of payload above which the startup log warns.
const MAX_PAYLOAD_ADVISED: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_nats_server() {
        let options = Options::default();
        assert_eq!(options.host, "0.0.0.0");
        assert_eq!(options.port, 4222);
        assert_eq!(options.max_payload, 1_048_576);
        assert_eq!(options.max_pending, 67_108_864);
        assert_eq!(options.max_connections, 65_536);
        assert_eq!(options.ping_interval, Duration::from_secs(120));
        assert!(options.log_time);
    }

    #[test]
    fn plain_secrets_and_huge_payloads_are_worth_a_warning() {
        assert!(Options::default().startup_warnings().is_empty());
        let hashed = Options { password: Some("$2a$11$x".into()), ..Options::default() };
        assert!(hashed.startup_warnings().is_empty());
        let plain = Options {
            password: Some("x".into()),
            max_payload: MAX_PAYLOAD_ADVISED + 1,
            ..Options::default()
        };
        assert_eq!(plain.startup_warnings().len(), 2);
    }

    #[test]
    fn any_port_binds_to_zero() {
        let options = Options { port: PORT_ANY, ..Options::default() };
        assert_eq!(options.bind_port(), 0);
        assert_eq!(Options::default().bind_port(), 4222);
    }
}
