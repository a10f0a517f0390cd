//! Every flag there is, once: names, kind of value, what it sets, what help says about it.
//!
//! The parser, the help text and whatever else is generated later (completions, a manual page)
//! read this table; nothing else lists flags.

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing, or `=true`, `=false`.
    Bool,
    /// An integer as Go writes them.
    Int,
    /// Any text.
    Text,
}

/// Which option a flag sets. Several names may share one; the last on the command line wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    Host,
    Port,
    ServerName,
    PidFile,
    ConfigFile,
    TestConfig,
    Signal,
    ClientAdvertise,
    LogFile,
    LogTime,
    LogTimeUtc,
    Syslog,
    RemoteSyslog,
    LogSizeLimit,
    MaxTracedMsgLen,
    Debug,
    Trace,
    TraceVerbose,
    DebugAndTrace,
    DebugAndTraceVerbose,
    StoreDir,
    Tls,
    TlsCert,
    TlsKey,
    TlsVerify,
    TlsCaCert,
    JetStream,
    User,
    Password,
    Token,
    Shards,
    HttpPort,
    HttpsPort,
    PortsFileDir,
    Cluster,
    ClusterName,
    /// Says how servers of a cluster talk to each other: nothing to a server that is alone.
    ClusterTalk,
    Help,
    HelpTls,
    Version,
    /// A flag of nats-server for a feature that is not built; the text names the feature.
    NotBuilt(&'static str),
}

/// Under which heading help lists a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Server,
    Logging,
    JetStream,
    Authorization,
    Tls,
    Cluster,
    Profiling,
    Common,
}

impl Group {
    /// The headings, in the order help prints them.
    pub(super) const ALL: [Self; 8] = [
        Self::Server,
        Self::Logging,
        Self::JetStream,
        Self::Authorization,
        Self::Tls,
        Self::Cluster,
        Self::Profiling,
        Self::Common,
    ];

    /// The heading.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Server => "Server Options",
            Self::Logging => "Logging Options",
            Self::JetStream => "JetStream Options",
            Self::Authorization => "Authorization Options",
            Self::Tls => "TLS Options",
            Self::Cluster => "Cluster Options",
            Self::Profiling => "Profiling Options",
            Self::Common => "Common Options",
        }
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    /// All names, without dashes, the shortest first.
    pub(super) names: &'static [&'static str],
    pub(super) kind: Kind,
    /// What help calls the value; empty for a boolean.
    pub(super) value: &'static str,
    pub(super) group: Group,
    pub(super) help: &'static str,
    pub(super) setting: Setting,
}

/// Finds a flag by one of its names.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.names.contains(&name))
}

const fn flag(
    names: &'static [&'static str],
    kind: Kind,
    value: &'static str,
    group: Group,
    setting: Setting,
    help: &'static str,
) -> Flag {
    Flag { names, kind, value, group, help, setting }
}

/// The table. Names and kinds are nats-server's; `shards` is ours.
#[rustfmt::skip]
pub(super) const FLAGS: &[Flag] = &[
    flag(&["a", "addr", "net"], Kind::Text, "<host>", Group::Server, Setting::Host, "Bind to host address (default: 0.0.0.0)"),
    flag(&["p", "port"], Kind::Int, "<port>", Group::Server, Setting::Port, "Use port for clients, -1 for any (default: 4222)"),
    flag(&["n", "name", "server_name"], Kind::Text, "<name>", Group::Server, Setting::ServerName, "Server name (default: auto)"),
    flag(&["P", "pid"], Kind::Text, "<file>", Group::Server, Setting::PidFile, "File to store PID"),
    flag(&["m", "http_port"], Kind::Int, "<port>", Group::Server, Setting::HttpPort, "Use port for http monitoring, -1 for any (default: none)"),
    flag(&["ms", "https_port"], Kind::Int, "<port>", Group::Server, Setting::HttpsPort, "Use port for https monitoring, -1 for any (default: none)"),
    flag(&["c", "config"], Kind::Text, "<file>", Group::Server, Setting::ConfigFile, "Configuration file"),
    flag(&["t"], Kind::Bool, "", Group::Server, Setting::TestConfig, "Test configuration and exit"),
    flag(&["sl", "signal"], Kind::Text, "<signal>[=<pid>]", Group::Server, Setting::Signal, "Send signal to a running server (ldm, stop, quit, term, reopen, reload); <pid> is a PID or the path to a PID file"),
    flag(&["client_advertise"], Kind::Text, "<string>", Group::Server, Setting::ClientAdvertise, "Client URL to advertise to other servers"),
    flag(&["ports_file_dir"], Kind::Text, "<dir>", Group::Server, Setting::PortsFileDir, "Creates a ports file in the specified directory (<executable_name>_<pid>.ports)"),
    flag(&["shards"], Kind::Int, "<number>", Group::Server, Setting::Shards, "Number of shards, one core each (default: all usable cores)"),

    flag(&["l", "log"], Kind::Text, "<file>", Group::Logging, Setting::LogFile, "File to redirect log output"),
    flag(&["T", "logtime"], Kind::Bool, "", Group::Logging, Setting::LogTime, "Timestamp log entries (default: true)"),
    flag(&["logtime_utc"], Kind::Bool, "", Group::Logging, Setting::LogTimeUtc, "Timestamps in UTC instead of local timezone (default: false)"),
    flag(&["s", "syslog"], Kind::Bool, "", Group::Logging, Setting::Syslog, "Log to syslog"),
    flag(&["r", "remote_syslog"], Kind::Text, "<addr>", Group::Logging, Setting::RemoteSyslog, "Syslog server addr (udp://localhost:514)"),
    flag(&["D", "debug"], Kind::Bool, "", Group::Logging, Setting::Debug, "Enable debugging output"),
    flag(&["V", "trace"], Kind::Bool, "", Group::Logging, Setting::Trace, "Trace the raw protocol"),
    flag(&["VV"], Kind::Bool, "", Group::Logging, Setting::TraceVerbose, "Verbose trace (traces system account as well)"),
    flag(&["DV"], Kind::Bool, "", Group::Logging, Setting::DebugAndTrace, "Debug and trace"),
    flag(&["DVV"], Kind::Bool, "", Group::Logging, Setting::DebugAndTraceVerbose, "Debug and verbose trace (traces system account as well)"),
    flag(&["log_size_limit"], Kind::Int, "<limit>", Group::Logging, Setting::LogSizeLimit, "Logfile size limit (default: none)"),
    flag(&["max_traced_msg_len"], Kind::Int, "<len>", Group::Logging, Setting::MaxTracedMsgLen, "Maximum printable length for traced messages (default: unlimited)"),

    flag(&["js", "jetstream"], Kind::Bool, "", Group::JetStream, Setting::JetStream, "Enable JetStream functionality"),
    flag(&["sd", "store_dir"], Kind::Text, "<dir>", Group::JetStream, Setting::StoreDir, "Set the storage directory"),

    flag(&["user"], Kind::Text, "<user>", Group::Authorization, Setting::User, "User required for connections"),
    flag(&["pass"], Kind::Text, "<password>", Group::Authorization, Setting::Password, "Password required for connections"),
    flag(&["auth"], Kind::Text, "<token>", Group::Authorization, Setting::Token, "Authorization token required for connections"),

    flag(&["tls"], Kind::Bool, "", Group::Tls, Setting::Tls, "Enable TLS, do not verify clients (default: false)"),
    flag(&["tlscert"], Kind::Text, "<file>", Group::Tls, Setting::TlsCert, "Server certificate file"),
    flag(&["tlskey"], Kind::Text, "<file>", Group::Tls, Setting::TlsKey, "Private key for server certificate"),
    flag(&["tlsverify"], Kind::Bool, "", Group::Tls, Setting::TlsVerify, "Enable TLS, verify client certificates"),
    flag(&["tlscacert"], Kind::Text, "<file>", Group::Tls, Setting::TlsCaCert, "Client certificate CA for verification"),

    flag(&["routes"], Kind::Text, "<rurl-1, rurl-2>", Group::Cluster, Setting::NotBuilt("clustering"), "Routes to solicit and connect"),
    flag(&["cluster"], Kind::Text, "<cluster-url>", Group::Cluster, Setting::Cluster, "Cluster URL for solicited routes"),
    flag(&["cluster_name"], Kind::Text, "<string>", Group::Cluster, Setting::ClusterName, "Cluster Name, if not set one will be dynamically generated"),
    flag(&["no_advertise"], Kind::Bool, "", Group::Cluster, Setting::ClusterTalk, "Do not advertise known cluster information to clients"),
    flag(&["cluster_advertise"], Kind::Text, "<string>", Group::Cluster, Setting::ClusterTalk, "Cluster URL to advertise to other servers"),
    flag(&["connect_retries"], Kind::Int, "<number>", Group::Cluster, Setting::ClusterTalk, "For implicit routes, number of connect retries"),
    flag(&["cluster_listen"], Kind::Text, "<url>", Group::Cluster, Setting::Cluster, "Cluster url from which members can solicit routes"),

    flag(&["profile"], Kind::Int, "<port>", Group::Profiling, Setting::NotBuilt("profiling over HTTP"), "Profiling HTTP port"),

    flag(&["h", "help"], Kind::Bool, "", Group::Common, Setting::Help, "Show this message"),
    flag(&["v", "version"], Kind::Bool, "", Group::Common, Setting::Version, "Show version"),
    flag(&["help_tls"], Kind::Bool, "", Group::Common, Setting::HelpTls, "TLS help"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_twice() {
        let mut names: Vec<&str> = FLAGS.iter().flat_map(|flag| flag.names).copied().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn only_booleans_go_without_a_value_name() {
        for flag in FLAGS {
            assert_eq!(flag.kind == Kind::Bool, flag.value.is_empty(), "{:?}", flag.names);
        }
    }
}
