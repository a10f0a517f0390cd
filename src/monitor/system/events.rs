//! Events in the system account, as JSON.

use serde::Serialize;

use super::super::accounts::AccountStat;
use super::super::facts::ServerFacts;
use super::super::snapshot::{AccountTotals, ConnectionSnapshot};
use super::super::times::rfc3339;
use super::server_card::ServerCard;

/// Messages and bytes, without what goes between servers.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Amount {
    pub(super) msgs: u64,
    pub(super) bytes: u64,
}

/// What every event begins with.
#[derive(Debug, Serialize)]
pub(super) struct Typed {
    pub(super) r#type: &'static str,
    pub(super) id: String,
    pub(super) timestamp: String,
}

/// A client, as events show it.
#[derive(Debug, Serialize)]
struct Client<'a> {
    start: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    host: &'a str,
    id: u64,
    acc: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    lang: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    ver: &'a str,
    #[serde(skip_serializing_if = "super::super::json::is_zero")]
    rtt: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    name_tag: &'a str,
    kind: &'static str,
    client_type: &'static str,
}

impl<'a> Client<'a> {
    fn of(facts: &ServerFacts, client: &'a ConnectionSnapshot) -> Self {
        Self {
            start: rfc3339(facts.wall(client.opened_at)),
            host: &client.ip,
            id: client.cid,
            acc: &client.account,
            user: &client.user,
            name: &client.name,
            lang: &client.lang,
            ver: &client.version,
            // In whole microseconds, as nats-server tells it.
            rtt: client.round_trip / 1000 * 1000,
            stop: client.closed.map(|(at, _)| rfc3339(facts.wall(at))),
            name_tag: &client.account,
            kind: "Client",
            client_type: if client.is_websocket { "websocket" } else { "nats" },
        }
    }
}

/// A client came.
#[derive(Debug, Serialize)]
pub(super) struct Connect<'a> {
    #[serde(flatten)]
    typed: Typed,
    server: ServerCard,
    client: Client<'a>,
}

/// A client has gone, or was not let in.
#[derive(Debug, Serialize)]
pub(super) struct Disconnect<'a> {
    #[serde(flatten)]
    typed: Typed,
    server: ServerCard,
    client: Client<'a>,
    sent: Amount,
    received: Amount,
    reason: &'a str,
}

impl<'a> Disconnect<'a> {
    /// The same, as the account of a service hears it that did not let the client in.
    pub(super) fn of_callout(self, account: &'a str, reason: &'a str) -> Self {
        Self { reason, client: Client { acc: account, ..self.client }, ..self }
    }
}

/// A client read too slowly.
#[derive(Debug, Serialize)]
pub(super) struct SlowConsumer<'a> {
    #[serde(flatten)]
    typed: Typed,
    server: ServerCard,
    client: Client<'a>,
    reason: &'static str,
    pending_bytes: u64,
    subject: &'a str,
}

/// An account has more or fewer connections.
#[derive(Debug, Serialize)]
pub(super) struct AccountConnections<'a> {
    #[serde(flatten)]
    typed: Typed,
    server: ServerCard,
    #[serde(flatten)]
    stat: AccountStat<'a>,
}

pub(super) fn connect<'a>(
    facts: &ServerFacts,
    typed: Typed,
    server: ServerCard,
    client: &'a ConnectionSnapshot,
) -> Connect<'a> {
    Connect { typed, server, client: Client::of(facts, client) }
}

/// What the client sent and received: from its own side.
pub(super) fn disconnect<'a>(
    facts: &ServerFacts,
    typed: Typed,
    server: ServerCard,
    client: &'a ConnectionSnapshot,
) -> Disconnect<'a> {
    Disconnect {
        typed,
        server,
        sent: Amount { msgs: client.in_messages, bytes: client.in_bytes },
        received: Amount { msgs: client.out_messages, bytes: client.out_bytes },
        reason: client.closed.map_or("", |(_, reason)| reason),
        client: Client::of(facts, client),
    }
}

pub(super) fn slow_consumer<'a>(
    facts: &ServerFacts,
    typed: Typed,
    server: ServerCard,
    client: &'a ConnectionSnapshot,
    subject: &'a str,
) -> SlowConsumer<'a> {
    SlowConsumer {
        typed,
        server,
        reason: client.closed.map_or("", |(_, reason)| reason),
        pending_bytes: client.pending,
        subject,
        client: Client::of(facts, client),
    }
}

pub(super) fn account_connections(
    typed: Typed,
    server: ServerCard,
    totals: &AccountTotals,
) -> AccountConnections<'_> {
    AccountConnections { typed, server, stat: AccountStat::of(totals) }
}
