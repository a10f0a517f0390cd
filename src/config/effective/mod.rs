//! `midge config`: what the server would run with, and the table of all options.
//!
//! One table names every option: its aliases, type, flag, whether a reload takes it, and how its
//! value is read back from [`Options`](super::Options). The effective configuration, its JSON and
//! `docs/options.md` are three ways to print it. What is structured (users, accounts, mappings) is
//! shown as the file has it, with includes and variables resolved.
//!
//! Invariants, each held by a test:
//! - what is printed reads back as the same options, secrets apart;
//! - every key that is built and every field of `Options` has a row;
//! - a row says `reload` exactly if a running server takes the change.

mod command;
mod redact;
mod rows;
mod shown;
mod table;

#[cfg(any(test, fuzzing))]
pub(super) use command::printed;
pub use command::run;
