//! What the server shows of itself over HTTP: nats-server's pages and `/metrics`.
//!
//! One thread does all of it, and the system account too ([`SystemLine`]). It owns the monitoring listener and its
//! connections ([`Monitor`]), reads requests, and asks the shards for what a
//! page needs ([`Inquirer`]); a shard answers between two turns with a snapshot
//! it owns no more ([`Mailbox`]). Everything from snapshots to JSON is pure:
//! facts and snapshots in, text out.
//!
//! What this is not: it holds no state of a shard, and no shard waits for it.
//!
//! Invariants:
//! - keys, their order and their types are nats-server's; where it and the
//!   documents disagree, the server counts;
//! - a shard never does more than one bounded slice of an inquiry in a turn;
//!   long lists are gathered slice by slice, so they are no instant's picture.
//!
//! Bounds:
//! - connections: [`CONNECTIONS_MAX`]; beyond, the one that has been silent for
//!   longest makes room, so that half-open ones keep nobody out;
//! - a request's head: [`HEAD_BYTES_MAX`] (431), its body is skipped up to
//!   [`BODY_BYTES_MAX`] (413); a head must come within [`HEAD_TIME_MAX`];
//! - one slice: [`SLICE_CONNECTIONS`] connections or [`SLICE_SUBSCRIPTIONS`]
//!   subscriptions;
//! - a shard that does not answer within [`ANSWER_TIME_MAX`] costs the page its
//!   figures, not the monitor its life;
//! - closed connections: `max_closed_clients` for each shard, with at most
//!   [`CLOSED_SUBSCRIPTIONS_MAX`] subscriptions between them.

mod account_card;
mod accounts;
mod connz;
mod debug_vars;
mod empty;
mod facts;
mod healthz;
mod http;
mod index;
mod inquiry;
mod jetstream;
mod json;
mod metrics;
mod pages;
mod process;
mod query;
mod server;
mod snapshot;
mod subsz;
mod system;
mod times;
mod varz;
mod wire;

pub use account_card::{
    AccountCard, AccountsCard, ExportCard, ImportCard, LatencyCard, MappedTo, SamplingCard,
};
pub use facts::{PeerFacts, ServerFacts, WebSocketFacts};
pub use http::{BODY_BYTES_MAX, HEAD_BYTES_MAX};
pub use inquiry::{lines, Answer, Ask, Inquirer, Inquiry, Mailbox, ANSWER_TIME_MAX};
pub use jetstream::{
    AccountDetail, ApiFigures, JetStreamAsk, JetStreamConfig, JetStreamSnapshot, StreamFigures,
    STREAMS_MAX,
};
pub use pages::{Claims, ClaimsReply, ControlPlane, Reload};
pub use server::{Monitor, Update, CONNECTIONS_MAX, HEAD_TIME_MAX};
pub use snapshot::{
    AccountTotals, CertificateShown, ClosedRing, ConnectionSnapshot, Histogram, LaneDepth,
    ShardTotals, Slice, SlowConsumers, SubscriptionSnapshot, TlsShown, CLOSED_SUBSCRIPTIONS_MAX,
    SLICE_CONNECTIONS, SLICE_SUBSCRIPTIONS,
};
pub use system::{
    is_open_to_all, subscriptions as system_subscriptions, Notice, PermissionFacts, ServerCard,
    SystemLine, SystemMessage, SystemRequest, TraceEvent, TraceReport, UserFacts, NOTICES_MAX,
    REPORTS_BYTES_MAX, REQUESTS_MAX, REQUEST_BYTES_MAX,
};
