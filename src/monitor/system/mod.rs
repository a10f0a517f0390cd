//! The system account: what the server tells there of itself, and the requests it answers there.
//!
//! Shards tell what has happened ([`Notice`]) and pass on what is asked ([`SystemRequest`]) through
//! a [`SystemLine`]; the monitor's thread makes JSON of it and has a shard publish that. Pages over
//! HTTP and answers to `$SYS.REQ` are the same code.
//!
//! What nobody listens to is not told: a shard looks whether there is interest in an event before it
//! says a word, and periodic events are made while somebody is subscribed in the system account only.
//!
//! Bounds: [`NOTICES_MAX`] notices and [`REQUESTS_MAX`] requests wait for the thread, requests with
//! at most [`REQUEST_BYTES_MAX`] bytes each, reports of traces with [`REPORTS_BYTES_MAX`] together.
//! What finds no room is dropped and counted, so a storm of
//! connections costs its shards no more than that.

mod asker;
mod body;
mod desk;
mod encoding;
mod events;
mod line;
mod server_card;
mod service;
mod statsz;
mod trace;

pub use asker::{PermissionFacts, UserFacts};
pub(super) use desk::Desk;
pub(super) use line::{line, Ends};
pub use line::{
    Notice, SystemLine, SystemMessage, SystemRequest, NOTICES_MAX, REPORTS_BYTES_MAX, REQUESTS_MAX,
    REQUEST_BYTES_MAX,
};
pub use server_card::ServerCard;
pub use service::{is_open_to_all, subscriptions};
pub use trace::{TraceEvent, TraceReport};
