//! JetStream: streams and their consumers as state machines, and the API that
//! clients drive them with (*pure*).
//!
//! Messages, requests and acks of clients reach the engine as [`Incoming`],
//! through internal subscriptions that it asks for; what it has to say goes to
//! the [`Outbox`], which the shell carries out. The engine does no I/O and knows
//! no clock: `now` comes in, as nanoseconds since 1970 that never go back.

mod api;
mod archive;
mod batch;
#[cfg(test)]
mod batch_tests;
mod check;
mod config;
pub mod consumer;
mod context;
mod counter;
mod cron;
mod dedup;
mod direct;
mod engine;
#[cfg(test)]
mod engine_tests;
mod error;
mod expiry;
mod fast_batch;
mod feed;
#[cfg(test)]
mod feed_tests;
pub mod json;
#[cfg(test)]
mod limits_tests;
mod nuid;
mod outbox;
mod patterns;
mod publish;
mod publish_headers;
mod recovery;
mod remote_feed;
mod restore;
#[cfg(test)]
mod rollback_tests;
mod schedule;
mod shared;
mod snapshot;
#[expect(clippy::module_inception, reason = "one stream among all that is about streams")]
mod stream;
pub mod time;
mod timers;
mod token;
mod view;

pub use config::{
    storage_word, write_mappings, write_metadata, Compression, ConsumerLimits, Discard, External,
    PersistMode, Placement, Republish, Retention, SourceConsumer, StreamConfig,
    StreamConfigRequest, StreamSource, SubjectMapping,
};
pub use context::{Context, Incoming, Interest};
pub use engine::{AccountFigures, DetailRequest, Engine, EngineConfig, StreamFigures};
pub use error::ApiError;
pub use nuid::{short_hash, Nuid};
pub use outbox::{Outbox, Outgoing, Output, Token};
pub use token::{Purpose, StreamIndex, SLOTS_MAX};
pub use view::{
    ApiCall, BatchLimits, JetStreamLimits, ServerIdentity, ServerLimits, StreamView, API_LEVEL,
    REQUEST_INFO,
};
