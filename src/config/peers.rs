//! `cluster { ... }` and `leafnodes { ... }`, as far as a server that is alone needs them: the
//! ports that other servers would connect to.
//!
//! Test harnesses and shared configuration files often open these ports although nobody comes.
//! Such a server starts; whoever does connect is refused, and the log says so at the start. What
//! needs the other servers (`routes`, `remotes`) stops the start.

use super::entry::{is_off, Entry};
use super::file::split_host_port;
use super::findings::{Findings, Problem};
use super::grammar::{Node, Value};
use super::options::PORT_ANY;
use super::Options;

/// A port for other servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerPort {
    /// Address to listen on. Empty, the default, is `0.0.0.0`.
    pub host: String,
    /// `1..=65535`, [`PORT_ANY`], or 0, the default: there is no listener.
    pub port: i32,
}

impl PeerPort {
    /// Where to listen: host and the port to hand to `bind`. `None`: nowhere.
    pub fn listen(&self) -> Option<(&str, u16)> {
        match self.port {
            0 => None,
            PORT_ANY => Some((self.host(), 0)),
            port => Some((self.host(), u16::try_from(port).unwrap_or(0))),
        }
    }

    /// The host to listen on.
    pub fn host(&self) -> &str {
        match self.host.trim_matches(['[', ']']) {
            "" => "0.0.0.0",
            host => host,
        }
    }

    /// The port as a URL of the command line names it: `nats://user:pass@host:port`. The host is
    /// empty, the port 0 if the text is.
    ///
    /// # Errors
    /// It is no such URL, in Go's words.
    pub(super) fn of_url(url: &str) -> Result<Self, String> {
        if url.is_empty() {
            return Ok(Self::default());
        }
        let Some((_, rest)) = url.split_once("://") else {
            return Err(match url.contains(':') {
                true => {
                    format!("parse {url:?}: first path segment in URL cannot contain colon")
                }
                false => "missing port in address".to_owned(),
            });
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let (host, digits) = split_host_port(place)
            .ok_or_else(|| format!("address {place}: missing port in address"))?;
        let port = digits.parse().map_err(|_| format!("could not parse port {digits:?}"))?;
        Ok(Self { host: host.to_owned(), port })
    }
}

/// Reads `cluster { ... }` into `options`; what is wrong with it is noted.
pub(super) fn cluster(node: &Node, options: &mut Options, findings: &mut Findings) {
    let Value::Map(map) = &node.value else {
        return not_a_map(node, "Expected map to define cluster", findings);
    };
    for (name, node) in map {
        let entry = Entry { name, node };
        let read = match name.to_lowercase().as_str() {
            "name" => cluster_name(entry).map(|name| options.cluster_name = name),
            "routes" => entry.not_built("clustering"),
            key => listener(key, entry, &mut options.cluster, OF_ROUTES),
        };
        if let Err(problem) = read {
            findings.error(node, problem);
        }
    }
}

/// Reads `leafnodes { ... }` into `options`; what is wrong with it is noted.
pub(super) fn leafnodes(node: &Node, options: &mut Options, findings: &mut Findings) {
    let Value::Map(map) = &node.value else {
        return not_a_map(node, "Expected map to define a leafnode", findings);
    };
    for (name, node) in map {
        let entry = Entry { name, node };
        let read = match name.to_lowercase().as_str() {
            "remotes" => entry.not_built("leaf nodes"),
            key => listener(key, entry, &mut options.leafnodes, OF_LEAF_NODES),
        };
        if let Err(problem) = read {
            findings.error(node, problem);
        }
    }
}

fn not_a_map(node: &Node, what: &str, findings: &mut Findings) {
    if !is_off(&node.value) {
        let text = format!("{what}, got {}", node.value.go_type());
        findings.error(node, Problem::Peers(text));
    }
}

fn cluster_name(entry: Entry<'_>) -> Result<Option<String>, Problem> {
    match entry.text()? {
        Some(name) if name.contains(' ') => {
            Err(Problem::Peers("cluster name cannot contain spaces".to_owned()))
        }
        name => Ok(name),
    }
}

/// What both blocks have, and what says how to talk to who connects: nothing, as nobody may.
fn listener(
    key: &str,
    entry: Entry<'_>,
    port: &mut PeerPort,
    talk: &[&str],
) -> Result<(), Problem> {
    match key {
        "listen" => *port = listen(entry)?,
        "port" => port.port = number(entry.integer()?),
        "host" | "net" => port.host = entry.text()?.unwrap_or_default(),
        _ if entry.node.used_as_variable || talk.contains(&key) => {}
        _ => return Err(Problem::Unknown(entry.name.to_owned())),
    }
    Ok(())
}

fn listen(entry: Entry<'_>) -> Result<PeerPort, Problem> {
    let text = match &entry.node.value {
        Value::Integer(port) => return Ok(PeerPort { host: String::new(), port: number(*port) }),
        Value::String(text) => text,
        other => return Err(Problem::Listen(other.go_type())),
    };
    let (host, digits) = split_host_port(text).ok_or_else(|| Problem::Address(text.clone()))?;
    let port = digits.parse().map_err(|_| Problem::Port(digits.to_owned()))?;
    Ok(PeerPort { host: host.to_owned(), port: number(port) })
}

/// Values that are no port are left to the validation.
fn number(port: i64) -> i32 {
    i32::try_from(port).unwrap_or(i32::MAX)
}

/// Keys of `cluster` that say how servers talk to each other.
const OF_ROUTES: &[&str] = &[
    "authorization",
    "authentication",
    "tls",
    "cluster_advertise",
    "advertise",
    "no_advertise",
    "connect_retries",
    "connect_backoff",
    "permissions",
    "pool_size",
    "accounts",
    "compression",
    "ping_interval",
    "ping_max",
    "write_deadline",
    "write_timeout",
];

/// Keys of `leafnodes` that say how they are talked to.
const OF_LEAF_NODES: &[&str] = &[
    "authorization",
    "authentication",
    "tls",
    "advertise",
    "no_advertise",
    "min_version",
    "compression",
    "isolate_leafnode_interest",
    "isolate",
    "reconnect",
    "reconnect_delay",
    "reconnect_interval",
    "write_deadline",
    "write_timeout",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_ports() {
        let port = |host: &str, port| Ok(PeerPort { host: host.to_owned(), port });
        assert_eq!(PeerPort::of_url(""), port("", 0));
        assert_eq!(PeerPort::of_url("nats://127.0.0.1:-1"), port("127.0.0.1", -1));
        assert_eq!(PeerPort::of_url("nats-route://u:p@[::1]:6222/"), port("::1", 6222));
        for (url, text) in [
            (
                "127.0.0.1:6222",
                "parse \"127.0.0.1:6222\": first path segment in URL cannot contain colon",
            ),
            ("nats://127.0.0.1", "address 127.0.0.1: missing port in address"),
            ("6222", "missing port in address"),
        ] {
            assert_eq!(PeerPort::of_url(url), Err(text.to_owned()));
        }
    }

    #[test]
    fn a_port_without_a_number_is_none() {
        assert_eq!(PeerPort::default().listen(), None);
        let any = PeerPort { host: "[::]".to_owned(), port: PORT_ANY };
        assert_eq!(any.listen(), Some(("::", 0)));
    }
}
