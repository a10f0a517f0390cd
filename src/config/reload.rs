//! Reading the configuration anew, and what of it may change in a running server.

use std::time::Duration;

use super::validate::go_duration;
use super::{parse_command_line, Invocation, Options, WebSocketOptions};

/// What a reload has found: options that may take the place of the old ones.
#[derive(Debug)]
pub struct Reload {
    /// The new options.
    pub options: Box<Options>,
    /// What has changed, as log lines.
    pub changes: Vec<String>,
}

/// Why nothing is reloaded; nats-server's texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The server runs without a file.
    #[error("can only reload config when a file is provided using -c or --config")]
    NoFile,
    /// The file is wrong.
    #[error("{0}")]
    Invalid(String),
    /// What has changed takes a restart.
    #[error("config reload not supported for {field}: old={old}, new={new}")]
    NotSupported {
        /// nats-server's name of the option.
        field: &'static str,
        /// Its value.
        old: String,
        /// What it should become.
        new: String,
    },
}

/// Reads the file of `current` again, with the command line of this process over it.
///
/// # Errors
/// Nothing may change then.
pub fn reload(current: &Options) -> Result<Reload, ReloadError> {
    if current.config_file.is_none() {
        return Err(ReloadError::NoFile);
    }
    match parse_command_line(std::env::args_os()) {
        Invocation::Run { options, .. } => {
            let changes = changes(current, &options)?;
            Ok(Reload { options, changes })
        }
        Invocation::Exit(exit) => {
            let text = exit.stderr.trim_end();
            let text = text.strip_prefix("nats-server: ").unwrap_or(text);
            Err(ReloadError::Invalid(text.to_owned()))
        }
    }
}

/// What differs, as nats-server says it, in its order.
pub(super) fn changes(old: &Options, new: &Options) -> Result<Vec<String>, ReloadError> {
    for compare in FIXED {
        let (field, old, new) = compare(old, new);
        if old != new {
            return Err(ReloadError::NotSupported { field, old, new });
        }
    }
    if let Some((old, new)) = websocket_change(&old.websocket, &new.websocket) {
        return Err(ReloadError::NotSupported { field: "Websocket", old, new });
    }
    let mut lines = Vec::new();
    let mut note = |changed: bool, line: String| {
        if changed {
            lines.push(line);
        }
    };
    note(old.debug != new.debug, format!("Reloaded: debug = {}", new.debug));
    note(old.trace != new.trace, format!("Reloaded: trace = {}", new.trace));
    note(old.log_time != new.log_time, format!("Reloaded: logtime = {}", new.log_time));
    note(
        old.log_time_utc != new.log_time_utc,
        format!("Reloaded: logtime_utc = {}", new.log_time_utc),
    );
    note(
        old.trace_verbose != new.trace_verbose,
        format!("Reloaded: trace_verbose = {}", new.trace_verbose),
    );
    note(
        old.trace_headers != new.trace_headers,
        format!("Reloaded: trace_headers = {}", new.trace_headers),
    );
    note(
        old.client_advertise != new.client_advertise,
        format!("Reload: client_advertise = {}", shown(&new.client_advertise)),
    );
    note(
        old.max_connections != new.max_connections,
        format!("Reloaded: max_connections = {}", new.max_connections),
    );
    if old.tls.is_some() || new.tls.is_some() {
        let state = if new.tls.is_some() { "enabled" } else { "disabled" };
        note(true, format!("Reloaded: tls = {state}"));
    }
    note(true, "Reloaded: authorization users".to_owned());
    note(true, "Reloaded: accounts".to_owned());
    note(old.user != new.user, "Reloaded: authorization username".to_owned());
    note(old.password != new.password, "Reloaded: authorization password".to_owned());
    note(old.token != new.token, "Reloaded: authorization token".to_owned());
    note(
        old.ping_interval != new.ping_interval,
        format!("Reloaded: ping_interval = {}", go_duration(new.ping_interval)),
    );
    note(old.ping_max != new.ping_max, format!("Reloaded: ping_max = {}", new.ping_max));
    note(
        old.auth_timeout != new.auth_timeout,
        format!("Reloaded: authorization timeout = {}", new.auth_timeout.as_secs_f64()),
    );
    note(
        old.max_control_line != new.max_control_line,
        format!("Reloaded: max_control_line = {}", new.max_control_line),
    );
    note(
        old.max_payload != new.max_payload,
        format!("Reloaded: max_payload = {}", new.max_payload),
    );
    note(
        old.max_traced_msg_len != new.max_traced_msg_len,
        format!("Reloaded: max_traced_msg_len = {}", new.max_traced_msg_len),
    );
    note(
        old.no_fast_producer_stall != new.no_fast_producer_stall,
        match new.no_fast_producer_stall {
            true => "Reloaded: fast producers will not be stalled".to_owned(),
            false => "Reloaded: fast producers will be stalled".to_owned(),
        },
    );
    let path = |path: &Option<std::path::PathBuf>| {
        path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    };
    note(old.pid_file != new.pid_file, format!("Reloaded: pid_file = {}", path(&new.pid_file)));
    note(
        old.ports_file_dir != new.ports_file_dir,
        format!("Reloaded: ports_file_dir = {}", path(&new.ports_file_dir)),
    );
    note(old.log_file != new.log_file, format!("Reloaded: log_file = {}", path(&new.log_file)));
    note(old.syslog != new.syslog, format!("Reloaded: syslog = {}", new.syslog));
    note(
        old.remote_syslog != new.remote_syslog,
        format!("Reloaded: remote_syslog = {}", shown(&new.remote_syslog)),
    );
    note(old.server_tags != new.server_tags, "Reloaded: tags".to_owned());
    note(old.server_metadata != new.server_metadata, "Reloaded: metadata".to_owned());
    note(
        old.write_deadline != new.write_deadline,
        format!("Reloaded: write_deadline = {}", go_duration(new.write_deadline)),
    );
    Ok(lines)
}

/// Old and new, without what is secret, if more than certificates has changed.
fn websocket_change(old: &WebSocketOptions, new: &WebSocketOptions) -> Option<(String, String)> {
    let fixed = |options: &WebSocketOptions| WebSocketOptions { tls: None, ..options.clone() };
    let shown = |options: &WebSocketOptions| {
        let tls = options.tls.is_some();
        let public = WebSocketOptions { password: None, token: None, ..fixed(options) };
        format!("{public:?} with TLS: {tls}")
    };
    let same = fixed(old) == fixed(new) && old.tls.is_some() == new.tls.is_some();
    (!same).then(|| (shown(old), shown(new)))
}

type Compare = fn(&Options, &Options) -> (&'static str, String, String);

macro_rules! fixed {
    ($($name:literal: $($field:ident).+, $show:expr;)*) => {
        &[$(|old, new| ($name, $show(&old.$($field).+), $show(&new.$($field).+)),)*]
    };
}

/// What a running server cannot change, with nats-server's name of it.
#[rustfmt::skip]
const FIXED: &[Compare] = fixed! {
    "Host": host, plain;
    "Port": port, plain;
    "ServerName": server_name, shown;
    "NoAuthUser": no_auth_user, shown;
    "SystemAccount": access.system_account, shown;
    "NoSystemAccount": access.no_system_account, plain;
    "TrustedOperators": access.operator.tokens, debugged;
    "TrustedKeys": access.operator.trusted_keys, debugged;
    "AccountResolver": access.operator.resolver, debugged;
    "MaxSubs": max_subscriptions, plain;
    "MaxSubTokens": max_sub_tokens, number;
    "MaxPending": max_pending, plain;
    "NoHeaderSupport": no_header_support, plain;
    "NoSublistCache": disable_sublist_cache, plain;
    "LameDuckDuration": lame_duck_duration, duration;
    "LameDuckGracePeriod": lame_duck_grace_period, duration;
    "LogSizeLimit": log_size_limit, plain;
    "LogMaxFiles": log_max_files, plain;
    "HTTPHost": http_host, shown;
    "HTTPPort": http_port, plain;
    "HTTPSPort": https_port, plain;
    "HTTPBasePath": http_base_path, plain;
    "ProxyProtocol": proxy_protocol, plain;
    "AllowNonTLS": allow_non_tls, plain;
    "LogFormat": log_json, plain;
    "MaxClosedClients": max_closed_clients, plain;
    "StoreDir": store_dir, debugged;
    "ClusterName": cluster_name, shown;
    "Cluster": cluster, debugged;
    "LeafNode": leafnodes, debugged;
    "JetStream": jetstream, debugged;
    "Shards": shards, debugged;
    "ShardCpus": shard_cpus, debugged;
    "ShardBusyPoll": shard_busy_poll, duration;
    "ShardMemory": shard_memory, plain;
};

fn plain<T: std::fmt::Display>(value: &T) -> String {
    value.to_string()
}

fn shown(value: &Option<String>) -> String {
    value.clone().unwrap_or_default()
}

fn number(value: &Option<u8>) -> String {
    value.unwrap_or_default().to_string()
}

fn duration(value: &Duration) -> String {
    go_duration(*value)
}

fn debugged<T: std::fmt::Debug>(value: &T) -> String {
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(new: Options) -> Vec<String> {
        changes(&Options::default(), &new).unwrap()
    }

    #[test]
    fn changes_are_told_as_by_nats_server() {
        assert_eq!(
            lines(Options { max_payload: 200, debug: true, ..Options::default() }),
            [
                "Reloaded: debug = true",
                "Reloaded: authorization users",
                "Reloaded: accounts",
                "Reloaded: max_payload = 200"
            ]
        );
        let new = Options {
            ping_interval: Duration::from_secs(20),
            ping_max: 5,
            client_advertise: Some("b:2".into()),
            no_fast_producer_stall: true,
            auth_timeout: Duration::from_secs(3),
            ..Options::default()
        };
        let told = lines(new);
        for line in [
            "Reload: client_advertise = b:2",
            "Reloaded: authorization timeout = 3",
            "Reloaded: fast producers will not be stalled",
            "Reloaded: ping_interval = 20s",
            "Reloaded: ping_max = 5",
        ] {
            assert!(told.iter().any(|told| told == line), "{line}: {told:?}");
        }
    }

    #[test]
    fn of_the_websocket_port_only_certificates_change() {
        let with = |websocket| Options { websocket, ..Options::default() };
        let port = WebSocketOptions { port: 1, no_tls: true, ..WebSocketOptions::default() };
        assert!(changes(&with(port.clone()), &with(port.clone())).is_ok());
        let other = WebSocketOptions { password: Some("hush".into()), ..port.clone() };
        let refused = changes(&with(port), &with(other)).unwrap_err().to_string();
        assert!(refused.starts_with("config reload not supported for Websocket: old=WebSocket"));
        assert!(!refused.contains("hush"), "{refused}");
    }

    #[test]
    fn what_takes_a_restart_is_refused_in_nats_servers_words() {
        let refused = |old: Options, new: Options| changes(&old, &new).unwrap_err().to_string();
        let default = Options::default;
        for (new, text) in [
            (Options { max_subscriptions: 2, ..default() }, "MaxSubs: old=0, new=2"),
            (Options { server_name: Some("b".into()), ..default() }, "ServerName: old=, new=b"),
            (Options { max_sub_tokens: Some(4), ..default() }, "MaxSubTokens: old=0, new=4"),
            (
                Options { no_header_support: true, ..default() },
                "NoHeaderSupport: old=false, new=true",
            ),
            (
                Options { lame_duck_duration: Duration::from_secs(50), ..default() },
                "LameDuckDuration: old=2m0s, new=50s",
            ),
            (Options { no_auth_user: Some("a".into()), ..default() }, "NoAuthUser: old=, new=a"),
        ] {
            let expected = format!("config reload not supported for {text}");
            assert_eq!(refused(default(), new), expected);
        }
    }
}
