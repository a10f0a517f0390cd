//! `websocket { ... }`: the port for clients over WebSocket.

use std::collections::BTreeMap;
use std::time::Duration;

use super::authorization;
use super::entry::{is_off, Entry, GO_MAP};
use super::file::split_host_port;
use super::findings::{Findings, Problem};
use super::grammar::{parse_duration, Node, Value};
use super::options::PORT_ANY;
use super::tls::tls;
use super::Options;
use crate::tls::TlsOptions;

/// What a `websocket` block says. Without a port there is no listener.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebSocketOptions {
    /// Address to listen on. Empty, the default, is `0.0.0.0`.
    pub host: String,
    /// `1..=65535`, [`PORT_ANY`], or 0, the default: there is no listener.
    pub port: i32,
    /// `host:port` that INFO shows instead of the listener's.
    pub advertise: Option<String>,
    /// The listener may be without TLS. Default `false`.
    pub no_tls: bool,
    /// TLS; used whatever `no_tls` says.
    pub tls: Option<TlsOptions>,
    /// Pages must come from where they connect to. Default `false`.
    pub same_origin: bool,
    /// URLs of where pages may come from; empty, the default, is from anywhere.
    pub allowed_origins: Vec<String>,
    /// Messages may be compressed. Default `false`.
    pub compression: bool,
    /// How long the request for an upgrade may take. `None`, the default, is 10 s.
    pub handshake_timeout: Option<Duration>,
    /// The one user of this port, instead of the server's.
    pub user: Option<String>,
    /// Password of [`WebSocketOptions::user`].
    pub password: Option<String>,
    /// Token of this port, instead of the server's.
    pub token: Option<String>,
    /// How long a client may take to show its credentials. `None`: as on the client port.
    pub auth_timeout: Option<Duration>,
    /// Name of the user that a client becomes which shows no credentials.
    pub no_auth_user: Option<String>,
    /// Cookie with a user's JWT.
    pub jwt_cookie: Option<String>,
    /// Cookie with a user's name.
    pub user_cookie: Option<String>,
    /// Cookie with a password.
    pub password_cookie: Option<String>,
    /// Cookie with a token.
    pub token_cookie: Option<String>,
    /// Further headers of the answer that grants an upgrade.
    pub headers: BTreeMap<String, String>,
    /// Time between two PINGs. `None`: as on the client port.
    pub ping_interval: Option<Duration>,
}

impl WebSocketOptions {
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

    /// Whether clients show other credentials here than on the client port.
    pub fn overrides_auth(&self) -> bool {
        self.user.is_some() || self.token.is_some() || self.no_auth_user.is_some()
    }

    /// The first header that is not the listener's to add.
    pub(super) fn forbidden_header(&self) -> Option<&str> {
        let is_forbidden = |name: &&String| {
            let name = name.to_lowercase();
            let own = ["host", "content-length", "connection", "upgrade", "nats-no-masking"];
            own.contains(&name.as_str()) || name.starts_with("sec-websocket-")
        };
        self.headers.keys().find(is_forbidden).map(String::as_str)
    }
}

/// Reads the block into `options`; what is wrong with it is noted.
pub(super) fn websocket(node: &Node, options: &mut Options, findings: &mut Findings) {
    let Value::Map(map) = &node.value else {
        if !is_off(&node.value) {
            let problem = Problem::WebSocket(format!(
                "Expected websocket to be a map, got {}",
                node.value.go_type()
            ));
            findings.error(node, problem);
        }
        return;
    };
    let mut read = WebSocketOptions::default();
    let mut entries: Vec<(&String, &Node)> = map.iter().collect();
    entries.sort_by(|left, right| left.1.place.cmp(&right.1.place));
    for (name, node) in entries {
        let result = match name.to_lowercase().as_str() {
            "tls" => {
                read.tls = tls(node, findings);
                Ok(())
            }
            "authorization" | "authentication" => {
                authorize(node, &mut read, findings);
                Ok(())
            }
            _ => set(Entry { name, node }, &mut read, findings),
        };
        if let Err(problem) = result {
            findings.error(node, problem);
        }
    }
    options.websocket = read;
}

fn set(
    entry: Entry<'_>,
    options: &mut WebSocketOptions,
    findings: &mut Findings,
) -> Result<(), Problem> {
    match entry.name.to_lowercase().as_str() {
        "listen" => listen(entry, options)?,
        "port" => options.port = i32::try_from(entry.integer()?).unwrap_or(i32::MAX),
        "host" | "net" => options.host = entry.text()?.unwrap_or_default(),
        "advertise" => options.advertise = entry.text()?,
        "no_tls" => options.no_tls = entry.switch()?,
        "same_origin" => options.same_origin = entry.switch()?,
        "allowed_origins" | "allowed_origin" | "allow_origins" | "allow_origin" | "origins"
        | "origin" => options.allowed_origins = texts(entry)?,
        "handshake_timeout" => options.handshake_timeout = handshake_timeout(entry)?,
        "compress" | "compression" => options.compression = entry.switch()?,
        "no_auth_user" => options.no_auth_user = entry.text()?,
        "jwt_cookie" => options.jwt_cookie = entry.text()?,
        "user_cookie" => options.user_cookie = entry.text()?,
        "pass_cookie" => options.password_cookie = entry.text()?,
        "token_cookie" => options.token_cookie = entry.text()?,
        "headers" => options.headers = headers(entry)?,
        "ping_interval" => {
            let interval = entry.duration(findings, Duration::ZERO)?;
            options.ping_interval = Some(interval).filter(|interval| !interval.is_zero());
        }
        _ if entry.node.used_as_variable => {}
        _ => return Err(Problem::Unknown(entry.name.to_owned())),
    }
    Ok(())
}

fn listen(entry: Entry<'_>, options: &mut WebSocketOptions) -> Result<(), Problem> {
    let text = match &entry.node.value {
        Value::Integer(number) => {
            options.port = i32::try_from(*number).unwrap_or(i32::MAX);
            return Ok(());
        }
        Value::String(text) => text,
        other => return Err(Problem::Listen(other.go_type())),
    };
    let (host, digits) = split_host_port(text).ok_or_else(|| Problem::Address(text.clone()))?;
    let number = digits.parse::<i64>().map_err(|_| Problem::Port(digits.to_owned()))?;
    options.port = i32::try_from(number).unwrap_or(i32::MAX);
    host.clone_into(&mut options.host);
    Ok(())
}

/// The credentials of this port.
fn authorize(node: &Node, options: &mut WebSocketOptions, findings: &mut Findings) {
    let Value::Map(map) = &node.value else {
        let problem = Problem::Type { found: node.value.go_type(), wanted: GO_MAP };
        return findings.error(node, problem);
    };
    for (name, node) in map {
        let entry = Entry { name, node };
        let read = match name.to_lowercase().as_str() {
            "user" | "username" => entry.text().map(|text| options.user = text),
            "pass" | "password" => entry.text().map(|text| options.password = text),
            "token" => entry.text().map(|text| options.token = text),
            "timeout" => authorization::timeout(entry, findings)
                .map(|timeout| options.auth_timeout = Some(timeout).filter(|t| !t.is_zero())),
            _ if node.used_as_variable => Ok(()),
            _ => Err(Problem::Unknown(name.clone())),
        };
        if let Err(problem) = read {
            findings.error(node, problem);
        }
    }
}

/// One text or a list of them.
fn texts(entry: Entry<'_>) -> Result<Vec<String>, Problem> {
    let of = |node| Entry { name: entry.name, node }.text().map(Option::unwrap_or_default);
    match &entry.node.value {
        Value::Array(items) => items.iter().map(of).collect(),
        Value::String(text) => Ok(vec![text.clone()]),
        other => Err(Problem::WebSocket(format!(
            "error parsing allowed origins: unsupported type {}",
            other.go_type()
        ))),
    }
}

/// Seconds or a duration.
fn handshake_timeout(entry: Entry<'_>) -> Result<Option<Duration>, Problem> {
    let timeout = match &entry.node.value {
        Value::Integer(seconds) => Duration::from_secs(u64::try_from(*seconds).unwrap_or(0)),
        Value::String(text) => {
            parse_duration(text).map_err(|error| Problem::WebSocket(error.to_string()))?
        }
        other => {
            return Err(Problem::WebSocket(format!(
                "error parsing handshake timeout: unsupported type {}",
                other.go_type()
            )));
        }
    };
    Ok(Some(timeout).filter(|timeout| !timeout.is_zero()))
}

fn headers(entry: Entry<'_>) -> Result<BTreeMap<String, String>, Problem> {
    let Value::Map(map) = &entry.node.value else {
        return Err(Problem::WebSocket(format!(
            "error parsing headers: unsupported type {}",
            entry.node.value.go_type()
        )));
    };
    let mut headers = BTreeMap::new();
    for (name, node) in map {
        let Value::String(value) = &node.value else {
            return Err(Problem::WebSocket(format!(
                "error parsing header key {name}: unsupported type {}",
                node.value.go_type()
            )));
        };
        headers.insert(name.clone(), value.clone());
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::{complains, options};
    use super::*;

    #[test]
    fn every_key_is_read() {
        let read = options(
            "websocket { listen: \"127.0.0.1:-1\", advertise: \"a:1\", no_tls: true, same_origin: \
             true, allowed_origins: [\"http://a\"], compression: true, handshake_timeout: \"3s\", \
             jwt_cookie: j, user_cookie: u, pass_cookie: p, token_cookie: t, ping_interval: \"5s\", \
             headers { X-A: b }, authorization { user: ann, pass: pw, timeout: 1 } }",
        )
        .websocket;
        assert_eq!(read.listen(), Some(("127.0.0.1", 0)));
        assert!(read.no_tls && read.same_origin && read.compression && read.overrides_auth());
        assert_eq!(read.allowed_origins, ["http://a"]);
        assert_eq!(read.handshake_timeout, Some(Duration::from_secs(3)));
        assert_eq!((read.user.as_deref(), read.password.as_deref()), (Some("ann"), Some("pw")));
        assert_eq!(read.auth_timeout, Some(Duration::from_secs(1)));
        assert_eq!(read.headers["X-A"], "b");
        assert_eq!(read.ping_interval, Some(Duration::from_secs(5)));
        assert_eq!(read.jwt_cookie.as_deref(), Some("j"));
        let cookies = [read.user_cookie, read.password_cookie, read.token_cookie];
        assert_eq!(cookies, ["u", "p", "t"].map(|name| Some(name.to_owned())));
        let short = options("ws { port: 9222, origin: \"http://b\" }").websocket;
        assert_eq!(short.listen(), Some(("0.0.0.0", 9222)));
        assert_eq!(short.allowed_origins, ["http://b"]);
        assert_eq!(options("websocket {}").websocket.listen(), None);
        assert_eq!(options("websocket: false").websocket, WebSocketOptions::default());
    }

    #[test]
    fn headers_of_the_listener_itself_are_not_to_be_set() {
        for (name, fine) in [("X-A", true), ("UPGRADE", false), ("Sec-WebSocket-X", false)] {
            let headers = BTreeMap::from([(name.to_owned(), String::new())]);
            let options = WebSocketOptions { headers, ..WebSocketOptions::default() };
            assert_eq!(options.forbidden_header().is_none(), fine, "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, complaint) in [
            ("websocket { foo: 1 }", "f:1:12: unknown field \"foo\"\n"),
            ("websocket { listen: true }", "f:1:12: expected port or host:port, got bool\n"),
            (
                "websocket { handshake_timeout: [] }",
                "f:1:12: error parsing handshake timeout: unsupported type []interface {}\n",
            ),
            ("websocket { headers: 5 }", "f:1:12: error parsing headers: unsupported type int64\n"),
            (
                "websocket { tls { cert_file: \"x\" } }",
                "f:1:12: missing 'key_file' in TLS configuration\n",
            ),
        ] {
            complains(text, complaint);
        }
    }
}
