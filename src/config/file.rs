//! The configuration file: what its values mean.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::entry::{is_off, Entry};
use super::findings::{Findings, Problem};
use super::grammar::{self, parse_file, DurationError, GrammarError, Node, Source, Value};
use super::jetstream::{feature_flags, jetstream};
use super::keys::{self, Key};
use super::monitoring;
use super::options::PORT_DEFAULT;
use super::peers::{cluster, leafnodes};
use super::shards::shards;
use super::tls::tls;
use super::websocket::websocket;
use super::{accounts, authorization, mappings, operator, Options};

/// Reads `path` and what it includes into `options`.
pub(super) fn load(
    path: &str,
    source: &dyn Source,
    options: &mut Options,
) -> Result<Findings, GrammarError> {
    let values = parse_file(path, source)?;
    options.config_file = Some(PathBuf::from(path));
    options.config_digest = Some(grammar::digest(&values));
    let mut findings = Findings::default();
    if values.is_empty() {
        findings.warn_of_file(path, Problem::Empty);
    }
    let mut entries: Vec<(&String, &Node)> = values.iter().collect();
    entries.sort_by(|left, right| left.1.place.cmp(&right.1.place));
    // Accounts are checked against the users of `authorization`.
    // What the resolver's TLS is for must be known.
    entries.sort_by_key(|(name, _)| {
        matches!(keys::find(name), Some(Key::Accounts | Key::ResolverTls))
    });
    for (name, node) in entries {
        apply(name, node, options, &mut findings);
    }
    operator::complete(options);
    Ok(findings)
}

/// The files and the environment of this process.
#[derive(Debug)]
pub(super) struct System;

impl Source for System {
    #[expect(clippy::disallowed_methods, reason = "read once, before the first shard starts")]
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn environment(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

fn apply(name: &str, node: &Node, options: &mut Options, findings: &mut Findings) {
    let problem = match keys::find(name) {
        None if node.used_as_variable => return,
        None => Problem::Unknown(name.to_owned()),
        Some(Key::NotBuilt(_)) if is_off(&node.value) => return,
        Some(Key::NotBuilt(feature)) => Problem::NotBuilt { name: name.to_owned(), feature },
        Some(Key::Authorization) => return authorization::read(node, options, findings),
        Some(Key::Accounts) => return accounts::read(node, options, findings),
        Some(Key::Mappings) => {
            options.access.mappings = mappings::read(node, findings);
            return;
        }
        Some(
            key @ (Key::Operator
            | Key::TrustedKeys
            | Key::Resolver
            | Key::ResolverTls
            | Key::ResolverPreload
            | Key::ResolverPinned
            | Key::DefaultSentinel),
        ) => return operator::read(key, Entry { name, node }, options, findings),
        Some(Key::JetStream) => return jetstream(node, options, findings),
        Some(Key::FeatureFlags) => return feature_flags(node, options, findings),
        Some(Key::Shards) => return shards(node, options, findings),
        Some(Key::WebSocket) => return websocket(node, options, findings),
        Some(Key::Cluster) => return cluster(node, options, findings),
        Some(Key::Leafnodes) => return leafnodes(node, options, findings),
        Some(Key::Tls) => {
            options.tls = tls(node, findings);
            return;
        }
        Some(key) => match set(key, Entry { name, node }, options, findings) {
            Ok(()) => return,
            Err(problem) => problem,
        },
    };
    findings.error(node, problem);
}

fn set(
    key: Key,
    entry: Entry<'_>,
    options: &mut Options,
    findings: &mut Findings,
) -> Result<(), Problem> {
    let defaults = Options::default();
    match key {
        Key::Listen => listen(entry.node, options)?,
        Key::Host => options.host = entry.text()?.unwrap_or(defaults.host),
        Key::Port => options.port = port(entry.integer()?),
        Key::ServerName => options.server_name = server_name(entry)?,
        Key::ClientAdvertise => options.client_advertise = entry.text()?,
        Key::NoAuthUser => options.no_auth_user = entry.text()?,
        Key::SystemAccount => options.access.system_account = entry.text()?,
        Key::NoSystemAccount => options.access.no_system_account = entry.switch()?,
        // As in nats-server: none at all, not any number.
        Key::MaxConnections => {
            options.max_connections = usize::try_from(entry.integer()?).unwrap_or(0);
        }
        Key::MaxSubscriptions => {
            options.max_subscriptions = usize::try_from(entry.integer()?).unwrap_or(0);
        }
        Key::MaxSubTokens => options.max_sub_tokens = Some(entry.sub_tokens()?),
        Key::MaxPayload => options.max_payload = entry.size(I32_MAX, defaults.max_payload)?,
        Key::MaxPending => options.max_pending = entry.size(i64::MAX, defaults.max_pending)?,
        Key::MaxControlLine => {
            options.max_control_line = entry.size(I32_MAX, defaults.max_control_line)?;
        }
        Key::PingInterval => {
            options.ping_interval = entry.duration(findings, defaults.ping_interval)?;
        }
        Key::PingMax => options.ping_max = entry.count(defaults.ping_max)?,
        Key::WriteDeadline => {
            options.write_deadline = entry.duration(findings, defaults.write_deadline)?;
        }
        Key::LameDuckDuration => options.lame_duck_duration = lame_duck_duration(entry)?,
        Key::LameDuckGracePeriod => {
            options.lame_duck_grace_period = grace_period(entry, defaults.lame_duck_grace_period)?;
        }
        Key::MaxTracedMsgLen => {
            options.max_traced_msg_len = usize::try_from(entry.integer()?).unwrap_or(0);
        }
        Key::LogFile => options.log_file = entry.text()?.map(PathBuf::from),
        Key::LogFormat => options.log_json = log_format(entry)?,
        Key::RemoteSyslog => options.remote_syslog = entry.text()?,
        Key::LogSizeLimit => {
            options.log_size_limit = u64::try_from(entry.integer()?).unwrap_or(0);
        }
        Key::LogMaxNum => options.log_max_files = usize::try_from(entry.integer()?).unwrap_or(0),
        Key::PidFile => options.pid_file = entry.text()?.map(PathBuf::from),
        Key::Http
        | Key::Https
        | Key::HttpsPort
        | Key::HttpPort
        | Key::HttpBasePath
        | Key::MaxClosedClients
        | Key::ServerTags
        | Key::ServerMetadata
        | Key::PortsFileDir => monitoring::set(key, entry, options)?,
        Key::StoreDir => options.store_dir = entry.text()?.map(PathBuf::from),
        Key::ErrorReports => drop(entry.integer()?),
        Key::TraceVerbose | Key::TraceHeaders => implied_trace(key, entry.switch()?, options),
        // The caller has handled these; what is left are plain switches.
        Key::Authorization
        | Key::Accounts
        | Key::JetStream
        | Key::FeatureFlags
        | Key::Mappings
        | Key::Shards
        | Key::Tls
        | Key::WebSocket
        | Key::Cluster
        | Key::Leafnodes
        | Key::NotBuilt(_) => {}
        _ => *switch(key, options) = entry.switch()?,
    }
    Ok(())
}

/// The option behind a key that is a mere switch.
fn switch(key: Key, options: &mut Options) -> &mut bool {
    match key {
        Key::NoFastProducerStall => &mut options.no_fast_producer_stall,
        Key::NoHeaderSupport => &mut options.no_header_support,
        Key::DisableSublistCache => &mut options.disable_sublist_cache,
        Key::Debug => &mut options.debug,
        Key::AllowNonTls => &mut options.allow_non_tls,
        Key::Syslog => &mut options.syslog,
        Key::ProxyProtocol => &mut options.proxy_protocol,
        Key::LogTime => &mut options.log_time,
        Key::LogTimeUtc => &mut options.log_time_utc,
        _ => &mut options.trace,
    }
}

fn implied_trace(key: Key, on: bool, options: &mut Options) {
    options.trace = on;
    if key == Key::TraceVerbose {
        options.trace_verbose = on;
    } else {
        options.trace_headers = on;
    }
}

/// As in a Go program that leaves a field at zero: the default. Values that are no port are left
/// to the validation, which knows the command line too.
fn port(number: i64) -> i32 {
    match i32::try_from(number) {
        Ok(0) => PORT_DEFAULT,
        Ok(port) => port,
        Err(_) => i32::MAX,
    }
}

fn listen(node: &Node, options: &mut Options) -> Result<(), Problem> {
    let text = match &node.value {
        Value::Integer(number) => {
            options.port = port(*number);
            return Ok(());
        }
        Value::String(text) => text,
        other => return Err(Problem::Listen(other.go_type())),
    };
    let (host, digits) = split_host_port(text).ok_or_else(|| Problem::Address(text.clone()))?;
    let number = digits.parse::<i64>().map_err(|_| Problem::Port(digits.to_owned()))?;
    options.port = port(number);
    options.host = if host.is_empty() { Options::default().host } else { host.to_owned() };
    Ok(())
}

/// `host:port`, an IPv6 host in brackets.
pub(super) fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:")?,
        None => text.rsplit_once(':')?,
    };
    let is_bracketed = text.starts_with('[');
    let is_clear = is_bracketed || !host.contains(':');
    (is_clear && !host.contains(['[', ']']) && !port.contains([':', '[', ']']))
        .then_some((host, port))
}

fn server_name(entry: Entry<'_>) -> Result<Option<String>, Problem> {
    let name = entry.text()?;
    match name {
        Some(name) if name.contains(' ') => Err(Problem::ServerName),
        name => Ok(name),
    }
}

/// Whether lines are to be JSON.
fn log_format(entry: Entry<'_>) -> Result<bool, Problem> {
    match entry.text()?.unwrap_or_default().to_lowercase().as_str() {
        "json" => Ok(true),
        "" | "text" => Ok(false),
        other => Err(Problem::LogFormat(other.to_owned())),
    }
}

fn lame_duck_duration(entry: Entry<'_>) -> Result<Duration, Problem> {
    let duration = entry.written_duration()?;
    if duration < LAME_DUCK_DURATION_MIN {
        return Err(Problem::LameDuckTooShort(duration));
    }
    Ok(duration)
}

fn grace_period(entry: Entry<'_>, default: Duration) -> Result<Duration, Problem> {
    match entry.written_duration() {
        Ok(grace) if grace.is_zero() => Ok(default),
        Err(Problem::Duration { error: DurationError::Negative(_), .. }) => {
            Err(Problem::GraceNegative)
        }
        other => other,
    }
}

const I32_MAX: i64 = i32::MAX as i64;

const LAME_DUCK_DURATION_MIN: Duration = Duration::from_secs(30);

#[cfg(test)]
#[path = "access_tests.rs"]
mod access_tests;

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod exchange_tests;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    struct One(&'static str);

    impl Source for One {
        fn read(&self, _path: &str) -> io::Result<Vec<u8>> {
            Ok(self.0.as_bytes().to_vec())
        }

        fn environment(&self, _name: &str) -> Option<String> {
            None
        }
    }

    pub(in super::super) fn read(text: &'static str) -> (Options, Findings) {
        let mut options = Options::default();
        let findings = load("f", &One(text), &mut options).unwrap();
        (options, findings)
    }

    #[track_caller]
    pub(in super::super) fn options(text: &'static str) -> Options {
        let (options, findings) = read(text);
        assert!(findings.is_empty(), "{text:?}: {findings}");
        options
    }

    #[track_caller]
    pub(in super::super) fn complains(text: &'static str, complaint: &str) {
        assert_eq!(read(text).1.to_string(), complaint, "{text:?}");
    }

    #[test]
    fn values_reach_their_options() {
        let options = options(
            "listen: \"[::1]:5\"\nserver_name: n\nmax_payload: 2MB\nmax_pending: 8MB\nmax_conn: 7\n\
             max_subs: 8\nmax_subscription_tokens: 9\nmax_control_line: 1k\nping_interval: \"5s\"\n\
             ping_max: 3\nwrite_deadline: 300ms\nlame_duck_duration: \"1m\"\n\
             lame_duck_grace_period: \"2s\"\nno_header_support: true\n\
             no_fast_producer_stall: yes\nclient_advertise: \"h:1\"\ndebug: on\nlogfile: l\n\
             pidfile: p\nmax_traced_msg_len: 10\ndisable_sublist_cache: true\nlogtime: false\n\
             logtime_utc: true\nlog_size_limit: 1MB\nlog_max_num: 4\nshards { count: 3 }\n\
             authorization { user: u, password: p, timeout: 0.5 }\nstore_dir: d\n",
        );
        assert_eq!((options.host.as_str(), options.port), ("::1", 5));
        assert_eq!(options.server_name.as_deref(), Some("n"));
        assert_eq!((options.max_payload, options.max_pending), (2 << 20, 8 << 20));
        assert_eq!((options.max_connections, options.max_subscriptions), (7, 8));
        assert_eq!((options.max_sub_tokens, options.max_control_line), (Some(9), 1000));
        assert_eq!(options.ping_interval, Duration::from_secs(5));
        assert_eq!(options.ping_max, 3);
        assert_eq!(options.write_deadline, Duration::from_millis(300));
        assert_eq!(options.lame_duck_duration, Duration::from_secs(60));
        assert_eq!(options.lame_duck_grace_period, Duration::from_secs(2));
        assert!(options.no_header_support && options.no_fast_producer_stall && options.debug);
        assert!(options.disable_sublist_cache && options.log_time_utc && !options.log_time);
        assert_eq!(options.client_advertise.as_deref(), Some("h:1"));
        assert_eq!(options.log_file, Some(PathBuf::from("l")));
        assert_eq!((options.log_size_limit, options.log_max_files), (1 << 20, 4));
        assert_eq!(options.pid_file, Some(PathBuf::from("p")));
        assert_eq!(options.max_traced_msg_len, 10);
        assert_eq!(options.shards, Some(3));
        assert_eq!(options.user.as_deref(), Some("u"));
        assert_eq!(options.password.as_deref(), Some("p"));
        assert_eq!(options.auth_timeout, Duration::from_millis(500));
        assert_eq!(options.store_dir, Some(PathBuf::from("d")));
        assert_eq!(options.config_file, Some(PathBuf::from("f")));
        assert!(options.config_digest.is_some_and(|digest| digest.starts_with("sha256:")));
    }

    #[test]
    fn logs_have_two_formats() {
        assert!(options("log_format: JSON").log_json);
        assert!(!options("log_format: text").log_json);
        complains("log_format: xml", "f:1:0: invalid log_format \"xml\": it is text or json\n");
        let both = options("syslog: true\nremote_syslog: \"udp://h:514\"");
        assert!(both.syslog && both.remote_syslog.as_deref() == Some("udp://h:514"));
    }

    #[test]
    fn zero_means_the_default_where_go_cannot_tell() {
        let zeros = options(
            "port: 0\nmax_payload: 0\nmax_pending: 0\nmax_control_line: 0\nping_max: 0\n\
             ping_interval: \"0s\"\nwrite_deadline: \"0\"\nhost: ''\nauthorization { timeout: 0 }",
        );
        let without_file = Options { config_file: None, config_digest: None, ..zeros };
        assert_eq!(without_file, Options::default());
        assert_eq!(options("max_connections: 0").max_connections, 0);
        assert_eq!(options("max_connections: -1").max_connections, 0);
    }

    #[test]
    fn addresses_are_a_port_or_host_and_port() {
        for (text, host, port) in [
            ("listen: 4222", "0.0.0.0", 4222),
            ("listen: \":5\"", "0.0.0.0", 5),
            ("listen: 127.0.0.1:-1", "127.0.0.1", -1),
            ("listen: \"localhost:5\"", "localhost", 5),
            ("host: 10.0.0.1\nport: 7", "10.0.0.1", 7),
        ] {
            let options = options(text);
            assert_eq!((options.host.as_str(), options.port), (host, port), "{text}");
        }
        complains("listen: \"foo\"", "f:1:0: could not parse address string \"foo\"\n");
        complains("listen: ::1:5", "f:1:0: could not parse address string \"::1:5\"\n");
        complains("listen: \"a:b\"", "f:1:0: could not parse port \"b\"\n");
        complains("listen: true", "f:1:0: expected port or host:port, got bool\n");
    }

    #[test]
    fn wrong_types_are_told_in_gos_words() {
        for (text, found, wanted) in [
            ("port: abc", "string", "int64"),
            ("port: true", "bool", "int64"),
            ("max_payload: 1.5", "float64", "int64"),
            ("port: { a: 1}", "map[string]interface {}", "int64"),
            ("port: [1]", "[]interface {}", "int64"),
            ("port: 2026-01-02T00:00:00Z", "time.Time", "int64"),
            ("debug: 1", "int64", "bool"),
            ("pid_file: 5", "int64", "string"),
            ("lame_duck_duration: 60", "int64", "string"),
            ("authorization: 5", "int64", "map[string]interface {}"),
        ] {
            let text_of =
                format!("f:1:0: interface conversion: interface {{}} is {found}, not {wanted}\n");
            complains(text, &text_of);
        }
    }

    #[test]
    fn values_out_of_range_are_told() {
        for (text, complaint) in [
            ("max_payload: 3GB", "f:1:0: max_payload value is too big\n"),
            ("max_control_line: 5GB", "f:1:0: max_control_line value is too big\n"),
            ("max_sub_tokens: 300", "f:1:0: max_sub_tokens value is too big\n"),
            ("max_sub_tokens: 0", "f:1:0: max_sub_tokens value can not be negative\n"),
            ("max_payload: -1", "f:1:0: max_payload value can not be negative\n"),
            (
                "ping_interval: \"x\"",
                "f:1:0: error parsing ping_interval: time: invalid duration \"x\"\n",
            ),
            (
                "ping_interval: 5d",
                "f:1:0: error parsing ping_interval: time: unknown unit \"d\" in duration \"5d\"\n",
            ),
            (
                "lame_duck_duration: \"10s\"",
                "f:1:0: invalid lame_duck_duration of 10s, minimum is 30 seconds\n",
            ),
            (
                "lame_duck_grace_period: \"-1s\"",
                "f:1:0: invalid lame_duck_grace_period, needs to be positive\n",
            ),
            ("server_name: \"a b\"", "f:1:0: server name cannot contain spaces\n"),
            ("shards: -1", "f:1:0: shards value can not be negative\n"),
            ("shards { n: 1 }", "f:1:9: unknown field \"n\"\n"),
        ] {
            complains(text, complaint);
        }
    }

    #[test]
    fn authorization_is_one_user_or_a_token() {
        assert_eq!(options("authorization { token: \"5\" }").token.as_deref(), Some("5"));
        for (text, complaint) in [
            ("authorization { user: a, password: b, token: c }", "f:1:0: Cannot have a user/pass and token\n"),
            ("authorization { foo: 1 }", "f:1:16: unknown field \"foo\"\n"),
            ("authorization { user: 5 }", "f:1:16: interface conversion: interface {} is int64, not string\n"),
            ("authorization { timeout: true }", "f:1:16: error parsing authorization config, 'timeout' wrong type\n"),
            ("authorization { timeout: \"x\" }", "f:1:16: error parsing authorization config, 'timeout' time: invalid duration \"x\"\n"),
        ] {
            complains(text, complaint);
            assert!(!read(text).1.allow_start());
        }
    }

    #[test]
    fn warnings_alone_do_not_stop_a_start() {
        for (text, complaint) in [
            ("", "f: config has no values or is empty\n"),
            ("# only\n", "f: config has no values or is empty\n"),
            ("ping_interval: 5", "f:1:0: invalid use of field \"ping_interval\": ping_interval should be converted to a duration\n"),
            ("authorization { timeout: 100 }", "f:1:16: invalid use of field \"timeout\": timeout of 100 (100.000000 seconds) is high, consider keeping it under 60 seconds. possibly caused by unquoted duration; use '1m' instead of 1m, for example\n"),
            ("authorization { timeout: \"2m\" }", "f:1:16: invalid use of field \"timeout\": timeout of 2m (120.000000 seconds) is high, consider keeping it under 60 seconds. possibly caused by unquoted duration; use '1m' instead of 1m, for example\n"),
        ] {
            complains(text, complaint);
            assert!(read(text).1.allow_start());
        }
        assert_eq!(read("ping_interval: 5").0.ping_interval, Duration::from_secs(5));
    }

    #[test]
    fn all_errors_are_told_in_the_order_of_the_file() {
        complains(
            "foo: 1\nbar: 2\nping_interval: 5\n",
            "f:3:1: invalid use of field \"ping_interval\": ping_interval should be converted to a duration\n\
             f:1:0: unknown field \"foo\"\nf:2:1: unknown field \"bar\"\n",
        );
    }

    #[test]
    fn a_variable_is_no_unknown_field() {
        assert_eq!(options("X: 5\nport: $X\n").port, 5);
        assert_eq!(options("max_payload: 2000\nmax_pending: $max_payload\n").max_payload, 2000);
    }

    #[test]
    fn what_is_not_built_stops_the_start_unless_it_is_off() {
        for (text, complaint) in [
            ("mqtt: true", "f:1:0: option \"mqtt\" is not supported yet: it needs MQTT\n"),
            ("mqtt {}", "f:1:0: option \"mqtt\" is not supported yet: it needs MQTT\n"),
        ] {
            complains(text, complaint);
            assert!(!read(text).1.allow_start());
        }
        options("jetstream: false\nmqtt: false\nhttps_port: 0\nwebsocket: disabled\n");
    }
}
