//! Goal: monitoring is what tools of nats-server expect: pages, keys, their
//! order and types, options, errors; and nobody can take it down from outside.
//! Method: the real binary as a process, clients by hand, HTTP by hand. Every
//! key and text here was checked against nats-server 2.15.1 itself, which stays
//! the way to settle a doubt:
//! `BROKER=$(which nats-server) cargo test --test monitor`. What only Midge has
//! is skipped there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may panic, block and read the clock"
)]
#![allow(dead_code, unused_imports, reason = "the harness of all tests has more than these need")]

#[path = "../common/mod.rs"]
mod common;

mod advisories;
mod connections;
mod hostile;
mod http;
mod metrics;
mod pages;
mod prometheus;
mod proxied;
mod secrets;
mod secure;
mod startup;
mod top;
