//! What the pages say, as far as it is shown.

use std::time::Duration;

use serde::Deserialize;

use super::exposition::ShardFigures;

/// All pages at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// On the clock of whoever asked.
    pub(super) at: Duration,
    pub(super) server: Server,
    pub(super) connections: Connections,
    /// `None`: a server that has none.
    pub(super) shards: Option<Vec<ShardFigures>>,
}

/// Of `/varz`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Server {
    pub(super) server_id: String,
    pub(super) server_name: String,
    pub(super) version: String,
    pub(super) uptime: String,
    pub(super) cpu: f64,
    pub(super) mem: f64,
    pub(super) connections: u64,
    pub(super) total_connections: u64,
    pub(super) subscriptions: u64,
    pub(super) slow_consumers: u64,
    pub(super) in_msgs: f64,
    pub(super) out_msgs: f64,
    pub(super) in_bytes: f64,
    pub(super) out_bytes: f64,
}

/// Of `/connz`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Connections {
    pub(super) num_connections: u64,
    pub(super) total: u64,
    /// Null for an account that does not exist.
    pub(super) connections: Option<Vec<Connection>>,
}

/// One of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Connection {
    pub(super) cid: u64,
    pub(super) ip: String,
    pub(super) port: u64,
    pub(super) name: String,
    pub(super) account: String,
    pub(super) authorized_user: String,
    pub(super) subscriptions: u64,
    pub(super) pending_bytes: f64,
    pub(super) in_msgs: f64,
    pub(super) out_msgs: f64,
    pub(super) in_bytes: f64,
    pub(super) out_bytes: f64,
    pub(super) stalls: u64,
    pub(super) lang: String,
    pub(super) version: String,
    pub(super) uptime: String,
    pub(super) idle: String,
    pub(super) rtt: String,
    pub(super) last_activity: String,
    pub(super) subscriptions_list: Vec<String>,
}

impl Connections {
    pub(super) fn list(&self) -> &[Connection] {
        self.connections.as_deref().unwrap_or_default()
    }
}
