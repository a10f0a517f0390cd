//! `/varz`: the server as a whole.

use std::collections::BTreeMap;

use serde::Serialize;

use super::facts::{ServerFacts, WebSocketFacts};
use super::jetstream::{varz_jetstream, JetStreamSnapshot, VarzJetStream};
use super::json::{float, is_false, is_zero};
use super::process::Usage;
use super::snapshot::ShardTotals;
use super::times::{rfc3339, uptime};
use crate::config::FeatureFlags;

/// The page; the order of the fields is that of the keys.
#[derive(Debug, Serialize)]
pub(super) struct Varz<'a> {
    server_id: &'a str,
    server_name: &'a str,
    version: &'a str,
    proto: u8,
    go: &'static str,
    host: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "is_false")]
    auth_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    tls_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    tls_verify: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    connect_urls: &'a [String],
    max_connections: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max_subscriptions: u64,
    ping_interval: u64,
    ping_max: u32,
    http_host: &'a str,
    http_port: i32,
    http_base_path: &'a str,
    https_port: i32,
    #[serde(serialize_with = "float")]
    auth_timeout: f64,
    max_control_line: u64,
    max_payload: u64,
    max_pending: u64,
    cluster: VarzCluster<'a>,
    gateway: Nothing,
    leaf: VarzLeaf<'a>,
    mqtt: Nothing,
    websocket: VarzWebSocket<'a>,
    jetstream: VarzJetStream,
    #[serde(serialize_with = "float")]
    tls_timeout: f64,
    write_deadline: u64,
    start: String,
    now: String,
    uptime: String,
    mem: u64,
    cores: usize,
    gomaxprocs: usize,
    #[serde(serialize_with = "float")]
    cpu: f64,
    connections: u64,
    total_connections: u64,
    routes: u64,
    remotes: u64,
    leafnodes: u64,
    in_msgs: u64,
    in_bytes: u64,
    in_client_msgs: u64,
    in_client_bytes: u64,
    out_msgs: u64,
    out_bytes: u64,
    out_client_msgs: u64,
    out_client_bytes: u64,
    slow_consumers: u64,
    stale_connections: u64,
    stalled_clients: u64,
    subscriptions: u64,
    http_req_stats: &'a BTreeMap<&'static str, u64>,
    config_load_time: String,
    config_digest: &'a str,
    feature_flags: &'a FeatureFlags,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    system_account: &'a str,
    slow_consumer_stats: ByKind,
    stale_connection_stats: ByKind,
    disk_io_wait_stats: DiskWait,
    #[serde(skip_serializing_if = "String::is_empty")]
    tls_cert_not_after: String,
}

/// A part of the server that is not in use: `{}`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Nothing {}

/// The port for routes; empty without one.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct VarzCluster<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    addr: &'a str,
    #[serde(skip_serializing_if = "is_no_port")]
    cluster_port: u16,
    #[serde(skip_serializing_if = "is_zero")]
    auth_timeout: u64,
    #[serde(skip_serializing_if = "is_zero")]
    tls_timeout: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pool_size: u64,
}

/// The port for leaf nodes; empty without one.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct VarzLeaf<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    host: &'a str,
    #[serde(skip_serializing_if = "is_no_port")]
    port: u16,
    #[serde(skip_serializing_if = "is_zero")]
    auth_timeout: u64,
    #[serde(skip_serializing_if = "is_zero")]
    tls_timeout: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_no_port(port: &u16) -> bool {
    *port == 0
}

/// Seconds that other servers would have for a handshake and their credentials, by default.
const PEERS_TIMEOUT: u64 = 2;

/// Connections that two servers of a cluster would have, by default.
const ROUTES_POOL: u64 = 3;

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
enum VarzWebSocket<'a> {
    Port(&'a WebSocketFacts),
    Nothing(Nothing),
}

/// A count by the kind of connection, of which there is one.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct ByKind {
    clients: u64,
    routes: u64,
    gateways: u64,
    leafs: u64,
}

impl ByKind {
    pub(super) fn of_clients(clients: u64) -> Self {
        Self { clients, ..Self::default() }
    }
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct DiskWait {
    waiters: u64,
    waits: u64,
    wait_time: u64,
    max_wait_time: u64,
}

/// The page at `now`, nanoseconds of the wall clock.
pub(super) fn varz<'a>(
    facts: &'a ServerFacts,
    shards: &[ShardTotals],
    requests: &'a BTreeMap<&'static str, u64>,
    usage: Usage,
    jetstream: Option<&JetStreamSnapshot>,
    now: u64,
) -> Varz<'a> {
    let sum = |of: fn(&ShardTotals) -> u64| shards.iter().map(of).sum::<u64>();
    let (in_msgs, in_bytes) = (sum(|s| s.in_messages), sum(|s| s.in_bytes));
    let (out_msgs, out_bytes) = (sum(|s| s.out_messages), sum(|s| s.out_bytes));
    let slow_consumers = sum(|s| s.slow_consumers);
    let stale_connections = sum(|s| s.stale_connections);
    Varz {
        server_id: &facts.server_id,
        server_name: &facts.server_name,
        version: &facts.version,
        proto: 1,
        go: "rust",
        host: &facts.host,
        port: facts.port,
        auth_required: facts.auth_required,
        tls_required: facts.tls_required,
        tls_verify: facts.tls_verify,
        connect_urls: &facts.connect_urls,
        max_connections: facts.max_connections,
        max_subscriptions: facts.max_subscriptions,
        ping_interval: facts.ping_interval,
        ping_max: facts.ping_max,
        http_host: &facts.http_host,
        http_port: facts.http_port,
        http_base_path: &facts.http_base_path,
        https_port: facts.https_port,
        auth_timeout: facts.auth_timeout,
        max_control_line: facts.max_control_line,
        max_payload: facts.max_payload,
        max_pending: facts.max_pending,
        cluster: facts.routes.as_ref().map_or_else(VarzCluster::default, |at| VarzCluster {
            name: &facts.cluster,
            addr: &at.host,
            cluster_port: at.port,
            auth_timeout: PEERS_TIMEOUT,
            tls_timeout: PEERS_TIMEOUT,
            pool_size: ROUTES_POOL,
        }),
        gateway: Nothing {},
        leaf: facts.leaves.as_ref().map_or_else(VarzLeaf::default, |at| VarzLeaf {
            host: &at.host,
            port: at.port,
            auth_timeout: PEERS_TIMEOUT,
            tls_timeout: PEERS_TIMEOUT,
        }),
        mqtt: Nothing {},
        websocket: match &facts.websocket {
            Some(websocket) => VarzWebSocket::Port(websocket),
            None => VarzWebSocket::Nothing(Nothing {}),
        },
        jetstream: varz_jetstream(jetstream),
        tls_timeout: if facts.tls_timeout > 0.0 { facts.tls_timeout } else { TLS_TIMEOUT_DEFAULT },
        write_deadline: facts.write_deadline,
        start: rfc3339(facts.start),
        now: rfc3339(now),
        uptime: uptime(now.saturating_sub(facts.start)),
        mem: usage.memory_bytes,
        cores: facts.cores,
        gomaxprocs: facts.shards,
        cpu: usage.cpu_percent,
        connections: sum(|s| s.connections),
        total_connections: sum(|s| s.opened),
        routes: 0,
        remotes: 0,
        leafnodes: 0,
        in_msgs,
        in_bytes,
        in_client_msgs: in_msgs,
        in_client_bytes: in_bytes,
        out_msgs,
        out_bytes,
        out_client_msgs: out_msgs,
        out_client_bytes: out_bytes,
        slow_consumers,
        stale_connections,
        stalled_clients: sum(|s| s.stalls),
        subscriptions: sum(|s| s.subscriptions),
        http_req_stats: requests,
        config_load_time: rfc3339(facts.config_load_time),
        config_digest: &facts.config_digest,
        feature_flags: &facts.feature_flags,
        tags: &facts.tags,
        metadata: &facts.metadata,
        system_account: &facts.system_account,
        slow_consumer_stats: ByKind::of_clients(slow_consumers),
        stale_connection_stats: ByKind::of_clients(stale_connections),
        disk_io_wait_stats: DiskWait::default(),
        tls_cert_not_after: match facts.tls_not_after {
            0 => String::new(),
            seconds => rfc3339(seconds.saturating_mul(1_000_000_000)),
        },
    }
}

/// Seconds; what nats-server shows when there is no TLS.
const TLS_TIMEOUT_DEFAULT: f64 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::json;

    #[test]
    fn figures_of_all_shards_are_summed() {
        let facts = ServerFacts { server_id: "NX".to_owned(), ..ServerFacts::default() };
        let shard = ShardTotals {
            connections: 2,
            in_messages: 3,
            out_bytes: 5,
            slow_consumers: 1,
            ..ShardTotals::default()
        };
        let shards = [shard.clone(), shard];
        let requests = BTreeMap::from([("/varz", 1)]);
        let page = varz(&facts, &shards, &requests, Usage::default(), None, 3_000_000_000);
        let page: serde_json::Value = serde_json::from_slice(&json::pretty(&page)).unwrap();
        assert_eq!(page["connections"], 4);
        assert_eq!(page["in_client_msgs"], 6);
        assert_eq!(page["out_bytes"], 10);
        assert_eq!(page["slow_consumer_stats"]["clients"], 2);
        assert_eq!(page["uptime"], "3s");
        assert_eq!(page["cluster"], serde_json::json!({}));
        assert_eq!(page["cpu"].to_string(), "0");
        assert!(page.get("tags").is_none() && page.get("max_subscriptions").is_none());
    }
}
