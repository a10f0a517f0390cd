//! Goal: what streams do over the wire, beyond what the clients' own suites ask for. Method: the real
//! binary as a process, spoken to by hand and by an unmodified client; every fact here was first
//! seen on nats-server 2.15.1. Where one is installed (`NATS_SERVER`, or `nats-server` on the path),
//! archives are exchanged with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may panic, block and read the clock"
)]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the harness serves several test binaries")]
mod common;

mod advisories;
mod api;
mod archives;
mod consumers;
mod feeds;
mod streams;
