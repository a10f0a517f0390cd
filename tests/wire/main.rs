//! Goal: the broker is, byte for byte, what clients of nats-server 2.15 expect.
//! Method: the real binary as a process, spoken to over TCP by hand (`Raw`) and
//! by an unmodified client. Every fact here was first checked against
//! nats-server 2.15.1 itself (`BROKER=$(which nats-server) cargo test --test
//! wire`), which stays the way to settle a doubt. `BROKER_ARGS="--shards 3"`
//! runs the same suite on another number of shards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may panic, block and read the clock"
)]
#![allow(clippy::needless_collect, reason = "all threads start before the first is joined")]

#[path = "../common/mod.rs"]
mod common;

mod advisories;
mod async_client;
mod auth;
mod callout;
mod connect;
mod first_verb;
mod flow;
mod headers;
mod hostile;
mod imports;
mod info;
mod jwt;
mod latency;
mod lexing;
mod lifecycle;
mod limits;
mod needs_config;
mod no_responders;
mod operator;
mod ops;
mod peers;
mod prefixes;
mod queues;
mod recipe;
mod reload;
mod shards;
mod signals;
mod store_check;
mod store_key;
mod subjects;
mod system;
mod tls;
mod token_imports;
mod tracing;
mod unsubscribe;
mod websocket;
