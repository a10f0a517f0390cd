//! Who a client is, for services of other accounts and what is told of them.

use super::connection::{ConnKey, Connection};
use super::label::{account_name, user_of};
use super::Core;
use crate::account::ConnectionType;
use crate::stream::time::format_time;

/// A client as nats-server's JSON shows it; keys without a value are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ClientInfo {
    /// When it came, RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub start: String,
    /// Its address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Its number.
    #[serde(skip_serializing_if = "is_zero")]
    pub id: u64,
    /// Its account.
    pub acc: String,
    /// The account through which its request came, if through another one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub svc: String,
    /// Its user.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its language.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lang: String,
    /// The version of its library.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ver: String,
    /// Its round trip, in nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub rtt: u64,
    /// The server's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// Its token, unless that is all it needs to show.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jwt: String,
    /// The key that has signed its token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer_key: String,
    /// The name that its token gives it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name_tag: String,
    /// The tags of its token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What kind of connection it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// What it speaks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_type: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Core {
    /// What a client is to others: little, unless it is `shared`.
    pub(super) fn client_info(&mut self, key: ConnKey, shared: bool) -> Option<ClientInfo> {
        let info = std::sync::Arc::clone(&self.config.info);
        let (epoch, server) = (self.system.epoch, info.server_name());
        let connection = self.deliverer.connections.get(key)?;
        let client = &connection.client;
        let brief = ClientInfo {
            acc: account_name(client).to_owned(),
            rtt: client.keepalive.round_trip_or_estimate(),
            ..ClientInfo::default()
        };
        Some(if shared { in_full(connection, brief, epoch, server) } else { brief })
    }
}

fn in_full(connection: &Connection, brief: ClientInfo, epoch: u64, server: &str) -> ClientInfo {
    let client = &connection.client;
    let described = client.described.as_deref();
    let of = |field: fn(&crate::proto::ConnectOptions) -> &String| {
        described.map(field).cloned().unwrap_or_default()
    };
    let host = client.host.split_once('\0').map_or(&*client.host, |(ip, _)| ip);
    let user = client.login.as_ref().and_then(|login| login.user.as_deref());
    let token = user.and_then(|user| user.token.as_deref()).cloned().unwrap_or_default();
    // Who signs nothing is whoever shows the token: nobody else may have it.
    let signs = described.is_some_and(|options| !options.sig.is_empty());
    ClientInfo {
        start: format_time(epoch.saturating_add(connection.opened_at)),
        host: host.to_owned(),
        id: client.cid,
        user: user_of(client).to_owned(),
        name: of(|options| &options.name),
        lang: of(|options| &options.lang),
        ver: of(|options| &options.version),
        server: server.to_owned(),
        kind: "Client".to_owned(),
        client_type: match client.over {
            ConnectionType::WebSocket | ConnectionType::LeafNodeWebSocket => "websocket",
            _ => "nats",
        }
        .to_owned(),
        jwt: if signs { of(|options| &options.jwt) } else { String::new() },
        issuer_key: token.issuer,
        name_tag: token.name,
        tags: token.tags,
        ..brief
    }
}
