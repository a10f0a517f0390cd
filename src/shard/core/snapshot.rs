//! What a core tells of itself to monitoring: owned, and in slices.

use std::sync::Arc;

use super::connection::{Connection, Phase, TlsFacts};
use super::label::{account_name, user_of};
use super::{ConnKey, Core};
use crate::account::ConnectionType;
use crate::monitor::{
    CertificateShown, ClosedRing, ConnectionSnapshot, ShardTotals, Slice, SubscriptionSnapshot,
    TlsShown, SLICE_CONNECTIONS, SLICE_SUBSCRIPTIONS,
};
use crate::proto::CloseReason;
use crate::router::{ConnId, SubId, SubscriptionView, INSPECTED};
use crate::tls::PeerIdentity;

/// Slots of connections that one slice looks at.
const SLOTS_CONNECTIONS: u32 = 1024;

/// Slots of subscriptions that one slice looks at.
const SLOTS_SUBSCRIPTIONS: u32 = 4096;

/// A connection that was closed because it read too slowly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowConsumer {
    /// Its name in CONNECT.
    pub name: String,
    /// The name of its account.
    pub account: String,
    /// The pattern of which it was sent the most messages.
    pub subject: String,
}

impl Core {
    /// Remembers the last `max` connections that end.
    pub fn remember_closed(&mut self, max: usize) {
        self.closed = ClosedRing::new(max);
    }

    /// The figures; what only the shell knows is left at zero.
    pub fn totals(&self) -> ShardTotals {
        let (counters, router) = (&self.counters, self.router.counts());
        let (fanout_max, fanout_sum, fanout_plans) = self.router.fanout();
        ShardTotals {
            shard: usize::from(self.config.own.0),
            connections: self.counters.opened - self.counters.closed,
            opened: counters.opened,
            in_messages: counters.in_messages,
            in_bytes: counters.in_bytes,
            out_messages: self.deliverer.delivered,
            out_bytes: self.deliverer.delivered_bytes,
            lane_messages: counters.lane_messages,
            returned: counters.returned,
            stalls: counters.stalls,
            lane_pauses: counters.lane_pauses,
            slow_consumers: counters.slow_consumers,
            stale_connections: counters.stale_connections,
            subscriptions: router.subscriptions.saturating_sub(self.system.subscriptions()),
            subscribed: self.router.subscribed().saturating_sub(self.system.subscriptions()),
            notices_dropped: self.notices_dropped(),
            plans: router.plans,
            plan_hits: router.hits,
            plan_misses: router.misses,
            fanout_max,
            fanout_sum,
            fanout_plans,
            remote_patterns: router.remote_patterns,
            router_bytes: router.bytes,
            ..ShardTotals::default()
        }
    }

    /// Open connections from slot `from` on.
    pub fn connections_from(&self, from: u32) -> Slice<ConnectionSnapshot> {
        let slots = self.deliverer.connections.slots();
        let end = slots.min(from.saturating_add(SLOTS_CONNECTIONS));
        let mut items = Vec::new();
        for slot in from..end {
            if items.len() == SLICE_CONNECTIONS {
                return Slice { items, next: Some(slot) };
            }
            let connection = self.deliverer.connections.peek(ConnId(slot));
            if let Some(connection) = connection.filter(|entry| entry.phase == Phase::Open) {
                items.push(snapshot(connection));
            }
        }
        Slice { items, next: (end < slots).then_some(end) }
    }

    /// Closed connections from entry `from` on, the oldest first.
    pub fn closed_from(&self, from: u32, subscriptions: bool) -> Slice<ConnectionSnapshot> {
        self.closed.slice(from, subscriptions)
    }

    /// Subscriptions from slot `from` on, those of the connections in `of` or
    /// of all.
    pub fn subscriptions_from(&self, from: u32, of: Option<&[u64]>) -> Slice<SubscriptionSnapshot> {
        let slots = self.router.subscription_slots();
        let end = slots.min(from.saturating_add(SLOTS_SUBSCRIPTIONS));
        let mut items = Vec::new();
        for slot in from..end {
            if items.len() == SLICE_SUBSCRIPTIONS {
                return Slice { items, next: Some(slot) };
            }
            let Some(view) =
                self.router.view(SubId(slot)).filter(|view| !view.draining && !view.is_shadow)
            else {
                continue;
            };
            let Some(connection) = self.deliverer.connections.peek(view.conn) else { continue };
            let cid = connection.client.cid;
            if of.is_none_or(|of| of.binary_search(&cid).is_ok()) {
                let account = account_name(&connection.client);
                items.push(subscription_snapshot(&view, cid, account));
            }
        }
        Slice { items, next: (end < slots).then_some(end) }
    }

    /// Remembers a connection that ends, while it still has its subscriptions.
    pub(super) fn remember(&mut self, key: ConnKey, reason: CloseReason) {
        let Some(connection) = self.deliverer.connections.peek(key.slot()) else { return };
        let (router, sids) = (&self.router, &connection.client.sids);
        let account = account_name(&connection.client);
        let mut entry = snapshot(connection);
        entry.closed = Some((self.now, reason.as_str()));
        entry.subscribed = sids
            .iter()
            .take(self.closed.subscriptions_wanted())
            .filter_map(|sub| Some(subscription_snapshot(&router.view(sub)?, entry.cid, account)))
            .collect();
        self.counters.closed += 1;
        self.closed.push(entry);
    }

    /// Says who was too slow, and with what.
    pub(super) fn slow_consumer(&self, key: ConnKey) -> Option<Box<SlowConsumer>> {
        let connection = self.deliverer.connections.peek(key.slot())?;
        let client = &connection.client;
        let views = client.sids.iter().filter_map(|sub| self.router.view(sub));
        let busiest = views.max_by_key(|view| view.delivered);
        let name = client.described.as_ref().map(|options| options.name.clone());
        Some(Box::new(SlowConsumer {
            name: name.unwrap_or_default(),
            account: account_name(client).to_owned(),
            subject: busiest.map(|view| text(view.pattern)).unwrap_or_default(),
        }))
    }
}

pub(super) fn snapshot(connection: &Connection) -> ConnectionSnapshot {
    let client = &connection.client;
    let (ip, port) = client.host.split_once('\0').unwrap_or((&client.host, ""));
    let described = client.described.as_deref();
    let of = |field: fn(&crate::proto::ConnectOptions) -> &String| {
        described.map(field).cloned().unwrap_or_default()
    };
    ConnectionSnapshot {
        cid: client.cid,
        ip: ip.to_owned(),
        port: port.parse().unwrap_or(0),
        is_websocket: client.over == ConnectionType::WebSocket,
        opened_at: connection.opened_at,
        active_at: client.keepalive.active_at.max(connection.sent_at),
        closed: None,
        round_trip: client.keepalive.round_trip_or_estimate(),
        pending: connection.out.pending() as u64,
        in_messages: connection.in_messages,
        out_messages: connection.out_messages,
        in_bytes: connection.in_bytes,
        out_bytes: connection.out_bytes,
        stalls: connection.stalls,
        subscriptions: client.sids.len() as u64,
        name: of(|options| &options.name),
        lang: of(|options| &options.lang),
        version: of(|options| &options.version),
        user: user_of(client).to_owned(),
        account: Arc::from(account_name(client)),
        tls: connection.tls.as_deref().map(tls_shown),
        subscribed: Vec::new(),
    }
}

fn tls_shown(tls: &TlsFacts) -> TlsShown {
    let certificate = |shown: &PeerIdentity| CertificateShown {
        subject: shown.subject.clone(),
        spki_sha256: shown.key_sha256.clone(),
        cert_sha256: shown.certificate_sha256.clone(),
    };
    TlsShown {
        version: tls.version,
        cipher_suite: tls.cipher_suite.clone(),
        chain: tls.chain.iter().map(certificate).collect(),
        first: tls.first,
    }
}

fn subscription_snapshot(
    view: &SubscriptionView<'_>,
    cid: u64,
    account: &str,
) -> SubscriptionSnapshot {
    SubscriptionSnapshot {
        cid,
        account: Arc::from(account),
        subject: text(view.pattern),
        queue: view.queue.map(text).unwrap_or_default(),
        sid: text(view.sid),
        delivered: view.delivered,
        max: if view.max == INSPECTED { 0 } else { view.max },
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
