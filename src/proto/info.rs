//! INFO: what the server tells a client about itself.
//!
//! [`ServerInfo`] is the whole object with the key order and presence rules of nats-server 2.15.1,
//! plus our own `midge_version` last. [`InfoTemplate`] is it rendered once, with gaps for what
//! differs between connections, so that accepting a connection serialises nothing.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::decimal::write_decimal;
use super::ProtoError;

/// The INFO object. An empty string, `false`, 0 or an empty list leaves a key out, except for the
/// keys documented as always present. Fields that differ between connections are in [`PerClient`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// Public nkey of this run, 56 characters starting with `N`. Always present.
    pub server_id: String,
    /// Configured name, else `server_id`. Always present.
    pub server_name: String,
    /// The nats-server version client suites parse to enable features. Always present.
    pub version: String,
    /// Short commit hash.
    pub git_commit: String,
    /// Toolchain text; some clients require the key. Always present.
    pub go: String,
    /// Bind or advertised host of the listener the client came to. Always present.
    pub host: String,
    /// Bind or advertised port of that listener. Always present.
    pub port: u16,
    /// Whether headers are supported. Always present.
    pub headers: bool,
    /// Whether a client has to authenticate; [`PerClient::auth_required`] overrides it.
    pub auth_required: bool,
    /// Whether a client has to start TLS.
    pub tls_required: bool,
    /// Whether client certificates are verified.
    pub tls_verify: bool,
    /// Whether TLS is offered but not required.
    pub tls_available: bool,
    /// Largest payload in bytes, -1 for none; [`PerClient::max_payload`] overrides it. Always present.
    pub max_payload: i64,
    /// Whether JetStream is enabled.
    pub jetstream: bool,
    /// Cluster name.
    pub cluster: String,
    /// Whether the cluster name was made up.
    pub cluster_dynamic: bool,
    /// JetStream domain.
    pub domain: String,
    /// `host:port` a client may reconnect to, own address first.
    pub connect_urls: Vec<String>,
    /// Whether the whole server is in lame duck mode.
    pub lame_duck: bool,
    /// JetStream API level.
    pub api_level: u32,
    /// Curve public key, `X...`.
    pub xkey: String,
    /// Version of this server. Always present, always last.
    pub midge_version: String,
}

/// What differs between the connections that get the same [`InfoTemplate`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerClient<'a> {
    /// Connection id; 0 leaves the key out.
    pub client_id: u64,
    /// Remote address as seen by the server; empty leaves the key out.
    pub client_ip: &'a str,
    /// What the client has to sign; empty leaves the key out.
    pub nonce: &'a str,
    /// Overrides [`ServerInfo::auth_required`]. With `no_auth_user` it is false in the first INFO and
    /// true in the one after CONNECT.
    pub auth_required: Option<bool>,
    /// Overrides [`ServerInfo::max_payload`]: the least of user, account and server limit, in bytes.
    pub max_payload: Option<i64>,
    /// This client was asked to leave; also set for all by [`ServerInfo::lame_duck`].
    pub lame_duck: bool,
    /// Set in the INFO that answers CONNECT and PING.
    pub connect_info: bool,
    /// Account the client is bound to, sent with `connect_info`; empty leaves the key out.
    pub remote_account: &'a str,
    /// Whether that is the system account.
    pub account_is_system: bool,
}

/// A [`ServerInfo`] rendered but for the gaps that [`PerClient`] fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfoTemplate {
    server_id: Box<str>,
    /// `INFO {"server_id":` up to `"headers":true`.
    head: Box<[u8]>,
    server_name: Box<str>,
    auth_required: bool,
    /// Keys from `tls_required` to `tls_available`, each with a comma before it.
    tls: Box<[u8]>,
    max_payload: i64,
    /// `jetstream`.
    features: Box<[u8]>,
    /// Keys from `cluster` to `connect_urls`.
    cluster: Box<[u8]>,
    lame_duck: bool,
    /// `api_lvl` up to the end of the line.
    end: Box<[u8]>,
}

impl InfoTemplate {
    /// The server's public key.
    #[must_use]
    pub fn server_id(&self) -> &str {
        &self.server_id
    }

    /// Renders what all clients have in common. Cost: some allocations; done when `info` changes.
    #[must_use]
    pub fn new(info: &ServerInfo) -> Self {
        let mut head = Vec::from(b"INFO {");
        write_key_string(&mut head, "server_id", &info.server_id);
        for (key, value) in [("server_name", &info.server_name), ("version", &info.version)] {
            head.push(b',');
            write_key_string(&mut head, key, value);
        }
        head.extend_from_slice(b",\"proto\":1");
        write_string_if_any(&mut head, "git_commit", &info.git_commit);
        for (key, value) in [("go", &info.go), ("host", &info.host)] {
            head.push(b',');
            write_key_string(&mut head, key, value);
        }
        head.extend_from_slice(b",\"port\":");
        write_decimal(&mut head, u64::from(info.port));
        head.extend_from_slice(b",\"headers\":");
        head.extend_from_slice(if info.headers { b"true" } else { b"false" });

        let mut tls = Vec::new();
        write_if_true(&mut tls, "tls_required", info.tls_required);
        write_if_true(&mut tls, "tls_verify", info.tls_verify);
        write_if_true(&mut tls, "tls_available", info.tls_available);

        let mut features = Vec::new();
        write_if_true(&mut features, "jetstream", info.jetstream);

        let mut cluster = Vec::new();
        write_string_if_any(&mut cluster, "cluster", &info.cluster);
        write_if_true(&mut cluster, "cluster_dynamic", info.cluster_dynamic);
        write_string_if_any(&mut cluster, "domain", &info.domain);
        if !info.connect_urls.is_empty() {
            cluster.push(b',');
            write_key(&mut cluster, "connect_urls");
            write_json(&mut cluster, &info.connect_urls);
        }

        let mut end = Vec::new();
        if info.api_level > 0 {
            end.push(b',');
            write_key(&mut end, "api_lvl");
            write_decimal(&mut end, u64::from(info.api_level));
        }
        write_string_if_any(&mut end, "xkey", &info.xkey);
        end.push(b',');
        write_key_string(&mut end, "midge_version", &info.midge_version);
        end.extend_from_slice(b"} \r\n");

        Self {
            server_id: info.server_id.as_str().into(),
            head: head.into(),
            server_name: info.server_name.as_str().into(),
            auth_required: info.auth_required,
            tls: tls.into(),
            max_payload: info.max_payload,
            features: features.into(),
            cluster: cluster.into(),
            lame_duck: info.lame_duck,
            end: end.into(),
        }
    }

    /// The server's name.
    #[must_use]
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// The server's own limit, -1 for none.
    #[must_use]
    pub fn max_payload(&self) -> i64 {
        self.max_payload
    }

    /// Appends `INFO {json} \r\n` for one client. Cost: copies, and no allocation but the growth of
    /// `out`.
    pub fn write(&self, out: &mut Vec<u8>, client: &PerClient<'_>) {
        out.extend_from_slice(&self.head);
        write_if_true(out, "auth_required", client.auth_required.unwrap_or(self.auth_required));
        out.extend_from_slice(&self.tls);
        out.extend_from_slice(b",\"max_payload\":");
        let max_payload = client.max_payload.unwrap_or(self.max_payload);
        if max_payload < 0 {
            out.push(b'-');
        }
        write_decimal(out, max_payload.unsigned_abs());
        out.extend_from_slice(&self.features);
        if client.client_id > 0 {
            out.push(b',');
            write_key(out, "client_id");
            write_decimal(out, client.client_id);
        }
        write_string_if_any(out, "client_ip", client.client_ip);
        write_string_if_any(out, "nonce", client.nonce);
        out.extend_from_slice(&self.cluster);
        write_if_true(out, "ldm", self.lame_duck || client.lame_duck);
        write_if_true(out, "connect_info", client.connect_info);
        write_string_if_any(out, "remote_account", client.remote_account);
        write_if_true(out, "acc_is_sys", client.account_is_system);
        out.extend_from_slice(&self.end);
    }
}

/// Checks the argument of an INFO that a client sent, which is otherwise ignored: like nats-server,
/// anything but a JSON object (or `null`), and a known key of another type, closes the connection.
///
/// # Errors
/// [`ProtoError::BadInfoJson`].
pub fn validate_client_info(json: &[u8]) -> Result<(), ProtoError> {
    let object_or_null = json.trim_ascii_start().first().is_some_and(|b| matches!(b, b'{' | b'n'));
    match serde_json::from_slice::<Option<ClientInfo>>(json) {
        Ok(_) if object_or_null => Ok(()),
        Ok(_) => Err(ProtoError::BadInfoJson { column: 1 }),
        Err(error) => Err(ProtoError::BadInfoJson { column: error.column() }),
    }
}

/// The keys of INFO whose type is checked, though nothing is done with them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ClientInfo {
    server_id: Option<IgnoredText>,
    server_name: Option<IgnoredText>,
    version: Option<IgnoredText>,
    proto: Option<i64>,
    go: Option<IgnoredText>,
    host: Option<IgnoredText>,
    port: Option<i64>,
    headers: Option<bool>,
    auth_required: Option<bool>,
    tls_required: Option<bool>,
    max_payload: Option<i64>,
    client_id: Option<u64>,
    nonce: Option<IgnoredText>,
    connect_urls: Option<Vec<IgnoredText>>,
}

/// A string of any bytes, as Go takes it.
struct IgnoredText;

impl<'de> Deserialize<'de> for IgnoredText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(IgnoredTextVisitor)
    }
}

struct IgnoredTextVisitor;

impl Visitor<'_> for IgnoredTextVisitor {
    type Value = IgnoredText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<IgnoredText, E> {
        Ok(IgnoredText)
    }
}

fn write_key(out: &mut Vec<u8>, key: &str) {
    out.push(b'"');
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn write_key_string(out: &mut Vec<u8>, key: &str, value: &str) {
    write_key(out, key);
    write_json(out, value);
}

fn write_string_if_any(out: &mut Vec<u8>, key: &str, value: &str) {
    if !value.is_empty() {
        out.push(b',');
        write_key_string(out, key, value);
    }
}

fn write_if_true(out: &mut Vec<u8>, key: &str, value: bool) {
    if value {
        out.push(b',');
        write_key(out, key);
        out.extend_from_slice(b"true");
    }
}

fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Strings and lists of strings always serialise, and a Vec takes any bytes.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn info() -> ServerInfo {
        ServerInfo {
            server_id: "NCYN3".into(),
            server_name: "n1".into(),
            version: "2.15.1".into(),
            git_commit: "b2fd3ef".into(),
            go: "go1.27.2".into(),
            host: "127.0.0.1".into(),
            port: 14222,
            headers: true,
            max_payload: 1_048_576,
            api_level: 5,
            xkey: "XBFQ".into(),
            midge_version: "0.1.0".into(),
            ..ServerInfo::default()
        }
    }

    fn line(info: &ServerInfo, client: &PerClient<'_>) -> String {
        let mut out = Vec::new();
        InfoTemplate::new(info).write(&mut out, client);
        String::from_utf8(out).unwrap()
    }

    /// Goal: the INFO of nats-server 2.15.1 after CONNECT and PING, byte for byte but for our key.
    /// Method: a line recorded from it, keys shortened.
    #[test]
    fn line_is_byte_exact() {
        let client = PerClient {
            client_id: 87,
            client_ip: "127.0.0.1",
            connect_info: true,
            remote_account: "$G",
            ..PerClient::default()
        };
        assert_eq!(
            line(&info(), &client),
            "INFO {\"server_id\":\"NCYN3\",\"server_name\":\"n1\",\"version\":\"2.15.1\",\
             \"proto\":1,\"git_commit\":\"b2fd3ef\",\"go\":\"go1.27.2\",\"host\":\"127.0.0.1\",\
             \"port\":14222,\"headers\":true,\"max_payload\":1048576,\"client_id\":87,\
             \"client_ip\":\"127.0.0.1\",\"connect_info\":true,\"remote_account\":\"$G\",\
             \"api_lvl\":5,\"xkey\":\"XBFQ\",\"midge_version\":\"0.1.0\"} \r\n"
        );
    }

    #[test]
    fn all_keys_keep_their_order() {
        let info = ServerInfo {
            auth_required: true,
            tls_required: true,
            tls_verify: true,
            tls_available: true,
            jetstream: true,
            cluster: "c".into(),
            cluster_dynamic: true,
            domain: "d".into(),
            connect_urls: vec!["a:1".into(), "b:2".into()],
            lame_duck: true,
            ..info()
        };
        let client = PerClient {
            client_id: 1,
            client_ip: "::1",
            nonce: "n",
            connect_info: true,
            remote_account: "A",
            account_is_system: true,
            ..PerClient::default()
        };
        let line = line(&info, &client);
        let order = [
            "server_id",
            "server_name",
            "version",
            "proto",
            "git_commit",
            "go",
            "host",
            "port",
            "headers",
            "auth_required",
            "tls_required",
            "tls_verify",
            "tls_available",
            "max_payload",
            "jetstream",
            "client_id",
            "client_ip",
            "nonce",
            "cluster",
            "cluster_dynamic",
            "domain",
            "connect_urls",
            "ldm",
            "connect_info",
            "remote_account",
            "acc_is_sys",
            "api_lvl",
            "xkey",
            "midge_version",
        ];
        let positions: Vec<_> =
            order.iter().map(|key| line.find(&format!("\"{key}\":")).unwrap()).collect();
        assert!(positions.is_sorted());
        let json: serde_json::Value = serde_json::from_str(&line[5..]).unwrap();
        assert_eq!(json.as_object().unwrap().len(), order.len());
        assert_eq!(json["connect_urls"][1], "b:2");
    }

    #[test]
    fn client_overrides_limit_and_auth() {
        let client =
            PerClient { auth_required: Some(true), max_payload: Some(-1), ..PerClient::default() };
        let text = line(&info(), &client);
        assert!(text.contains("\"headers\":true,\"auth_required\":true,\"max_payload\":-1,"));
        let info = ServerInfo { auth_required: true, ..info() };
        assert!(line(&info, &PerClient::default()).contains("auth_required"));
        let client = PerClient { auth_required: Some(false), ..PerClient::default() };
        assert!(!line(&info, &client).contains("auth_required"));
        assert!(line(&info, &PerClient { lame_duck: true, ..client }).contains("\"ldm\":true"));
    }

    #[test]
    fn strings_are_escaped() {
        let info = ServerInfo { server_name: "a\"b\\c\n".into(), ..info() };
        let text = line(&info, &PerClient::default());
        let json: serde_json::Value = serde_json::from_str(&text[5..]).unwrap();
        assert_eq!(json["server_name"], "a\"b\\c\n");
    }

    #[test]
    fn info_from_a_client_must_be_an_object() {
        for good in [&b"{}"[..], b" {\"a\":1} ", b"null", b"{\"a\":\"\xff\"}"] {
            assert_eq!(validate_client_info(good), Ok(()));
        }
        for bad in [&b""[..], b"{bad", b"[]", b"\"x\"", b"1", b"{} x", b"nul"] {
            assert!(matches!(validate_client_info(bad), Err(ProtoError::BadInfoJson { .. })));
        }
    }
}
