//! Start-up validation: what must hold between options, whichever source they came from.

use std::time::Duration;

use super::operator_mode::{self, OperatorError};
use super::options::PORT_ANY;
use super::Options;
use crate::account::{Directory, DirectoryError, Single};

/// Why a set of options cannot be served. Texts are nats-server's where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// One message could not even wait for its receiver.
    #[error("max_payload ({max_payload}) cannot be higher than max_pending ({max_pending})")]
    PayloadAbovePending {
        /// As configured, bytes.
        max_payload: usize,
        /// As configured, bytes.
        max_pending: usize,
    },
    /// The grace period would not end before lame duck mode does.
    #[error(
        "lame duck grace period ({}) should be strictly lower than lame duck duration ({})",
        go_duration(*grace), go_duration(*duration)
    )]
    LameDuckGraceTooLong {
        /// As configured.
        grace: Duration,
        /// As configured.
        duration: Duration,
    },
    /// INFO and monitoring take the name as one word.
    #[error("server name cannot contain spaces")]
    ServerNameHasBlanks,
    /// Users and accounts do not fit together.
    #[error(transparent)]
    Access(#[from] DirectoryError),
    /// Operator mode does not go with what else is configured.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// The WebSocket port has no TLS, and nobody said that it may.
    #[error("websocket requires TLS configuration")]
    WebSocketWithoutTls,
    /// Users and a user of the port.
    #[error("websocket authentication username not compatible with presence of users/nkeys")]
    WebSocketUser,
    /// Users and a token of the port.
    #[error("websocket authentication token not compatible with presence of users/nkeys")]
    WebSocketToken,
    /// A cookie with a JWT, and nobody who could judge it.
    #[error(
        "trusted operators or trusted keys configuration is required for JWT authentication via \
         cookie {0:?}"
    )]
    JwtCookie(String),
    /// An origin that is no URL.
    #[error("unable to parse allowed origin: parse {0:?}: invalid character \" \" in host name")]
    AllowedOrigin(String),
    /// A header that is the listener's own.
    #[error("websocket: invalid header {0:?} not allowed")]
    WebSocketHeader(String),
    /// A header of the protocol's.
    #[error("websocket: invalid header {0:?}, \"Sec-WebSocket-\" prefix not allowed")]
    WebSocketHeaderPrefix(String),
    /// Streams of a cluster need servers with names.
    #[error("jetstream cluster requires `server_name` to be set")]
    ClusterWithoutServerName,
    /// And a cluster with one.
    #[error("jetstream cluster requires `cluster.name` to be set")]
    ClusterWithoutName,
    /// Not a TCP port.
    #[error("invalid port {0}")]
    Port(i32),
    /// There is no shard to serve with.
    #[error("shards must be at least 1")]
    NoShards,
    /// Two shards on one processor would each take the other's time.
    #[error("{shards} shards do not fit on the {cpus} processors that cpus lists")]
    ShardsAboveCpus {
        /// As configured.
        shards: usize,
        /// Processors listed.
        cpus: usize,
    },
}

impl Options {
    /// Checks what no single option can know. Asked once at start, after the last source.
    pub fn validate(&self) -> Result<(), OptionsError> {
        if self.max_payload > self.max_pending {
            return Err(OptionsError::PayloadAbovePending {
                max_payload: self.max_payload,
                max_pending: self.max_pending,
            });
        }
        if self.lame_duck_grace_period >= self.lame_duck_duration {
            return Err(OptionsError::LameDuckGraceTooLong {
                grace: self.lame_duck_grace_period,
                duration: self.lame_duck_duration,
            });
        }
        if self.server_name.as_ref().is_some_and(|name| name.contains(' ')) {
            return Err(OptionsError::ServerNameHasBlanks);
        }
        if self.access.operator.is_on() {
            operator_mode::validate(self)?;
        } else {
            Directory::new(&self.access, Single::Open, self.no_auth_user.as_deref(), None)?;
        }
        if self.port != PORT_ANY && u16::try_from(self.port).map_or(true, |port| port == 0) {
            return Err(OptionsError::Port(self.port));
        }
        for port in [self.http_port, self.https_port] {
            if port != PORT_ANY && u16::try_from(port).is_err() {
                return Err(OptionsError::Port(port));
            }
        }
        self.validate_websocket()?;
        self.validate_peers()?;
        if self.shards == Some(0) {
            return Err(OptionsError::NoShards);
        }
        if let (Some(shards), Some(cpus)) = (self.shards, &self.shard_cpus) {
            if shards > cpus.len() {
                return Err(OptionsError::ShardsAboveCpus { shards, cpus: cpus.len() });
            }
        }
        Ok(())
    }
}

impl Options {
    fn validate_peers(&self) -> Result<(), OptionsError> {
        for port in [self.cluster.port, self.leafnodes.port] {
            if port != PORT_ANY && u16::try_from(port).is_err() {
                return Err(OptionsError::Port(port));
            }
        }
        if self.jetstream.enabled && self.cluster.listen().is_some() {
            if self.server_name.is_none() {
                return Err(OptionsError::ClusterWithoutServerName);
            }
            if self.cluster_name.is_none() {
                return Err(OptionsError::ClusterWithoutName);
            }
        }
        Ok(())
    }

    fn validate_websocket(&self) -> Result<(), OptionsError> {
        let websocket = &self.websocket;
        if websocket.port == 0 {
            return Ok(());
        }
        if websocket.port != PORT_ANY && u16::try_from(websocket.port).is_err() {
            return Err(OptionsError::Port(websocket.port));
        }
        if websocket.tls.is_none() && !websocket.no_tls {
            return Err(OptionsError::WebSocketWithoutTls);
        }
        if let Some(url) = websocket.allowed_origins.iter().find(|url| url.contains(' ')) {
            return Err(OptionsError::AllowedOrigin(url.clone()));
        }
        if let Some(name) = websocket.no_auth_user.as_deref() {
            Directory::new(&self.access, Single::Open, Some(name), None)?;
        }
        if self.access.all_users().next().is_some() {
            if websocket.user.is_some() {
                return Err(OptionsError::WebSocketUser);
            }
            if websocket.token.is_some() {
                return Err(OptionsError::WebSocketToken);
            }
        }
        if let Some(cookie) =
            websocket.jwt_cookie.as_ref().filter(|_| !self.access.operator.is_on())
        {
            return Err(OptionsError::JwtCookie(cookie.clone()));
        }
        if let Some(header) = websocket.forbidden_header() {
            let header = header.to_owned();
            return Err(if header.to_lowercase().starts_with("sec-websocket-") {
                OptionsError::WebSocketHeaderPrefix(header)
            } else {
                OptionsError::WebSocketHeader(header)
            });
        }
        Ok(())
    }
}

/// A duration as Go prints it: `1m30s`, `250ms`, `0s`.
pub fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (unit, per_unit) = match nanos {
        0 => return String::from("0s"),
        1..=999 => ("ns", 1),
        1_000..=999_999 => ("µs", 1_000),
        1_000_000..=999_999_999 => ("ms", 1_000_000),
        _ => return go_long_duration(duration),
    };
    format!("{}{unit}", with_fraction(nanos, per_unit))
}

fn go_long_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let below_minute =
        u128::from(seconds % 60) * 1_000_000_000 + u128::from(duration.subsec_nanos());
    let last = format!("{}s", with_fraction(below_minute, 1_000_000_000));
    match (hours, minutes) {
        (0, 0) => last,
        (0, _) => format!("{minutes}m{last}"),
        _ => format!("{hours}h{minutes}m{last}"),
    }
}

fn with_fraction(value: u128, per_unit: u128) -> String {
    let fraction = value % per_unit;
    if fraction == 0 {
        return (value / per_unit).to_string();
    }
    let width = per_unit.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{}.{}", value / per_unit, digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::super::{PeerPort, WebSocketOptions};
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Options::default().validate(), Ok(()));
    }

    #[test]
    fn payload_must_fit_into_pending() {
        let options = Options { max_payload: 2, max_pending: 1, ..Options::default() };
        assert_eq!(
            options.validate().map_err(|error| error.to_string()),
            Err(String::from("max_payload (2) cannot be higher than max_pending (1)"))
        );
    }

    #[test]
    fn grace_period_must_end_first() {
        let options = Options {
            lame_duck_duration: Duration::from_secs(30),
            lame_duck_grace_period: Duration::from_secs(90),
            ..Options::default()
        };
        assert_eq!(
            options.validate().map_err(|error| error.to_string()),
            Err(String::from(
                "lame duck grace period (1m30s) should be strictly lower than lame duck duration (30s)"
            ))
        );
    }

    #[test]
    fn ports_are_tcp_ports_or_any() {
        for (port, fine) in
            [(-1, true), (1, true), (65_535, true), (0, false), (65_536, false), (-2, false)]
        {
            let options = Options { port, ..Options::default() };
            assert_eq!(options.validate().is_ok(), fine, "{port}");
        }
    }

    #[test]
    fn a_websocket_port_is_refused_in_nats_servers_words() {
        let with = |change: fn(&mut WebSocketOptions)| {
            let mut websocket =
                WebSocketOptions { port: 1, no_tls: true, ..WebSocketOptions::default() };
            change(&mut websocket);
            let options = Options { websocket, ..Options::default() };
            options.validate().map_err(|error| error.to_string())
        };
        assert_eq!(with(|_| {}), Ok(()));
        for (change, text) in [
            (
                (|ws| ws.no_tls = false) as fn(&mut WebSocketOptions),
                "websocket requires TLS configuration",
            ),
            (|ws| ws.port = 70_000, "invalid port 70000"),
            (
                |ws| ws.no_auth_user = Some("x".to_owned()),
                "no_auth_user: \"x\" present, but users/nkeys are not defined",
            ),
            (
                |ws| ws.allowed_origins = vec!["http://a b".to_owned()],
                "unable to parse allowed origin: parse \"http://a b\": invalid character \" \" \
                 in host name",
            ),
            (
                |ws| ws.headers = [("Host".to_owned(), String::new())].into(),
                "websocket: invalid header \"Host\" not allowed",
            ),
            (
                |ws| ws.headers = [("Sec-WebSocket-A".to_owned(), String::new())].into(),
                "websocket: invalid header \"Sec-WebSocket-A\", \"Sec-WebSocket-\" prefix not \
                 allowed",
            ),
            (
                |ws| ws.jwt_cookie = Some("j".to_owned()),
                "trusted operators or trusted keys configuration is required for JWT \
                 authentication via cookie \"j\"",
            ),
        ] {
            assert_eq!(with(change), Err(text.to_owned()));
        }
        // Without a port nothing of it matters.
        assert_eq!(with(|ws| (ws.port, ws.no_tls) = (0, false)), Ok(()));
    }

    #[test]
    fn streams_of_a_cluster_need_names() {
        let cluster = PeerPort { host: String::new(), port: PORT_ANY };
        let mut options = Options { cluster, ..Options::default() };
        assert_eq!(options.validate(), Ok(()));
        options.jetstream.enabled = true;
        assert_eq!(options.validate(), Err(OptionsError::ClusterWithoutServerName));
        options.server_name = Some("s".to_owned());
        assert_eq!(options.validate(), Err(OptionsError::ClusterWithoutName));
        options.cluster_name = Some("c".to_owned());
        assert_eq!(options.validate(), Ok(()));
    }

    #[test]
    fn each_shard_has_a_processor_of_its_own_among_those_listed() {
        let on = |shards, cpus: &[usize]| {
            let cpus = Some(cpus.to_vec());
            Options { shards, shard_cpus: cpus, ..Options::default() }.validate()
        };
        assert_eq!(on(None, &[0, 1]), Ok(()));
        assert_eq!(on(Some(1), &[0, 1]), Ok(()));
        assert_eq!(on(Some(2), &[0, 1]), Ok(()));
        assert_eq!(
            on(Some(3), &[0, 1]).map_err(|error| error.to_string()),
            Err(String::from("3 shards do not fit on the 2 processors that cpus lists"))
        );
    }

    #[test]
    fn durations_print_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (2_000_000_000, "2s"),
            (90_000_000_000, "1m30s"),
            (120_000_000_000, "2m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (1_500_000_000, "1.5s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), text);
        }
    }
}
