//! What does not change while the server runs, or changes with a reload only.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::FeatureFlags;

use super::json::{float, is_false, is_zero};

/// The server's identity and limits as monitoring shows them. Times are
/// nanoseconds of the wall clock since 1970 unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct ServerFacts {
    /// `N...`, the server's public key.
    pub server_id: String,
    /// Configured, or the id.
    pub server_name: String,
    /// The release of nats-server whose behaviour this is.
    pub version: String,
    /// Midge's own release.
    pub midge_version: String,
    /// Host of INFO.
    pub host: String,
    /// Host that clients are listened to on.
    pub bind_host: String,
    /// JetStream's domain; empty if it has none.
    pub domain: String,
    /// Port of INFO.
    pub port: u16,
    /// Whether JetStream is on.
    pub jetstream: bool,
    /// The WebSocket port, if there is one.
    pub websocket: Option<WebSocketFacts>,
    /// Name of the cluster; empty without one.
    pub cluster: String,
    /// The port for routes, if there is one.
    pub routes: Option<PeerFacts>,
    /// The port for leaf nodes, if there is one.
    pub leaves: Option<PeerFacts>,
    /// Whether clients must show credentials.
    pub auth_required: bool,
    /// Addresses that INFO offers.
    pub connect_urls: Vec<String>,
    /// Connections at one time.
    pub max_connections: u64,
    /// Subscriptions of one connection; 0 is no limit.
    pub max_subscriptions: u64,
    /// Nanoseconds.
    pub ping_interval: u64,
    /// Unanswered PINGs.
    pub ping_max: u32,
    /// Host of the monitoring listener.
    pub http_host: String,
    /// Its port as configured: -1 stays -1.
    pub http_port: i32,
    /// Port of the monitoring listener over TLS, as configured.
    pub https_port: i32,
    /// As configured.
    pub http_base_path: String,
    /// Whether clients must use TLS.
    pub tls_required: bool,
    /// Whether clients must show a certificate.
    pub tls_verify: bool,
    /// Seconds; 0 without TLS.
    pub tls_timeout: f64,
    /// Seconds.
    pub auth_timeout: f64,
    /// Bytes.
    pub max_control_line: u64,
    /// Bytes.
    pub max_payload: u64,
    /// Bytes.
    pub max_pending: u64,
    /// Nanoseconds.
    pub write_deadline: u64,
    /// Closed connections that pages show.
    pub max_closed_clients: usize,
    /// Cores of the machine.
    pub cores: usize,
    /// Shards.
    pub shards: usize,
    /// When the server started.
    pub start: u64,
    /// The same moment on the monotonic clock.
    pub start_monotonic: u64,
    /// When the configuration was read.
    pub config_load_time: u64,
    /// `sha256:<hex>`, or empty.
    pub config_digest: String,
    /// What is not the default yet, or no longer, in the order of names.
    pub feature_flags: FeatureFlags,
    /// Tags.
    pub tags: Vec<String>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// The system account's name.
    pub system_account: String,
    /// When the certificate of clients ends, in seconds since 1970; 0 without TLS.
    pub tls_not_after: u64,
    /// Names of the accounts that may use JetStream.
    pub jetstream_accounts: Vec<String>,
    /// The command line.
    pub command_line: Vec<String>,
}

/// What the WebSocket port was configured with, as `/varz` shows it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WebSocketFacts {
    /// Host of the listener.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// As configured.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advertise: String,
    /// As configured.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub no_auth_user: String,
    /// As configured.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jwt_cookie: String,
    /// Nanoseconds; 0 is the default.
    #[serde(skip_serializing_if = "is_zero")]
    pub handshake_timeout: u64,
    /// Seconds; 0 is that of the client port.
    #[serde(skip_serializing_if = "is_nothing", serialize_with = "float")]
    pub auth_timeout: f64,
    /// As configured.
    #[serde(skip_serializing_if = "is_false")]
    pub no_tls: bool,
    /// As configured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tls_pinned_certs: Vec<String>,
    /// As configured.
    #[serde(skip_serializing_if = "is_false")]
    pub same_origin: bool,
    /// As configured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
    /// As configured.
    #[serde(skip_serializing_if = "is_false")]
    pub compression: bool,
}

/// A port for other servers.
#[derive(Clone, Debug, Default)]
pub struct PeerFacts {
    /// Host of the listener.
    pub host: String,
    /// Its port.
    pub port: u16,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_nothing(number: &f64) -> bool {
    *number == 0.0
}

impl ServerFacts {
    /// The wall-clock time of a moment of the monotonic clock.
    pub(super) fn wall(&self, monotonic: u64) -> u64 {
        if monotonic >= self.start_monotonic {
            self.start.saturating_add(monotonic - self.start_monotonic)
        } else {
            self.start.saturating_sub(self.start_monotonic - monotonic)
        }
    }
}
