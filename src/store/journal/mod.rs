//! The journal of a shard (*pure*): what lies in its files, how a commit is
//! staged and written, and how the files are read back.
//!
//! Invariants: one write is in flight at a time, so a commit that is followed
//! by another was durable; commit numbers ascend over all files and are never
//! used twice; a file says in each of its commits which commits of older files
//! count (`valid_before`).
//!
//! Cost of a small event: one copy and one short checksum when it is staged, one
//! checksum over the whole commit when it is written.

mod aligned;
mod format;
mod scan;
mod staging;
mod writer;

pub(super) use format::{Event, EventKind, Position, VERSION};
pub(super) use scan::{events, file_numbers, salvage, scan, OpenFile, Scan, Span};
pub(super) use staging::Staging;
pub use writer::JournalWrite;
pub(super) use writer::{file_path, Found, Journal, Prepared, Request, Sealed, DIR};
