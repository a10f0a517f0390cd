//! The server and the machine it runs on: filters of system calls, the service manager, the
//! processors of its shards, and `midge tune`. Goal: what `tuning/` and `docs/tuning.md` promise
//! holds for the real binary. Method: each test starts it in the surroundings it is about.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reads clocks and files and may fail loudly"
)]

mod placement;
mod seccomp;
mod server;
mod service;
mod tune;
