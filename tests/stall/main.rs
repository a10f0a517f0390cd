//! Goal: nothing the system does to the process makes a shard sleep on work or
//! keep what it no longer needs. Method: the real binary under load is stopped,
//! throttled and churned; probes cross the shards all the while.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may panic, block and read the clock"
)]
#![allow(clippy::needless_collect, reason = "all threads start before the first is joined")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the harness serves several test binaries")]
mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};

mod churn;
mod probe;
mod release;

/// These tests measure time or memory: one at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}
