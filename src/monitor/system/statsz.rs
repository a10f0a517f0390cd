//! The figures of the server, as it tells them every ten seconds and to whoever asks.

use serde::Serialize;

use super::super::facts::ServerFacts;
use super::super::jetstream::VarzJetStream;
use super::super::json::{float, is_zero};
use super::super::process::Usage;
use super::super::snapshot::{AccountTotals, ShardTotals};
use super::super::times::rfc3339;
use super::super::varz::ByKind;
use super::events::Amount;
use super::server_card::ServerCard;

/// The message.
#[derive(Debug, Serialize)]
pub(super) struct ServerStats {
    server: ServerCard,
    statsz: Statsz,
}

#[derive(Debug, Serialize)]
struct Statsz {
    start: String,
    mem: u64,
    cores: usize,
    #[serde(serialize_with = "float")]
    cpu: f64,
    connections: u64,
    total_connections: u64,
    active_accounts: usize,
    subscriptions: u64,
    sent: Amount,
    sent_to_clients: Amount,
    received: Amount,
    received_from_clients: Amount,
    slow_consumers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow_consumer_stats: Option<ByKind>,
    #[serde(skip_serializing_if = "is_zero")]
    stale_connections: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_connection_stats: Option<ByKind>,
    #[serde(skip_serializing_if = "is_zero")]
    stalled_clients: u64,
    active_servers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    jetstream: Option<VarzJetStream>,
    gomaxprocs: usize,
}

pub(super) fn server_stats(
    facts: &ServerFacts,
    server: ServerCard,
    shards: &[ShardTotals],
    accounts: &[AccountTotals],
    jetstream: Option<VarzJetStream>,
    usage: Usage,
) -> ServerStats {
    let sum = |of: fn(&ShardTotals) -> u64| shards.iter().map(of).sum::<u64>();
    let sent = Amount { msgs: sum(|s| s.out_messages), bytes: sum(|s| s.out_bytes) };
    let received = Amount { msgs: sum(|s| s.in_messages), bytes: sum(|s| s.in_bytes) };
    let (slow, stale) = (sum(|s| s.slow_consumers), sum(|s| s.stale_connections));
    let statsz = Statsz {
        start: rfc3339(facts.start),
        mem: usage.memory_bytes,
        cores: facts.cores,
        cpu: usage.cpu_percent,
        connections: sum(|s| s.connections),
        total_connections: sum(|s| s.opened),
        active_accounts: accounts.iter().filter(|account| account.connections > 0).count(),
        subscriptions: sum(|s| s.subscriptions),
        sent,
        sent_to_clients: sent,
        received,
        received_from_clients: received,
        slow_consumers: slow,
        slow_consumer_stats: (slow > 0).then(|| ByKind::of_clients(slow)),
        stale_connections: stale,
        stale_connection_stats: (stale > 0).then(|| ByKind::of_clients(stale)),
        stalled_clients: sum(|s| s.stalls),
        active_servers: 1,
        jetstream,
        gomaxprocs: facts.shards,
    };
    ServerStats { server, statsz }
}
