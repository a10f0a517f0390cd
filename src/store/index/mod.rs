//! What a shard knows in memory of a stream's messages (*pure*).
//!
//! Messages lie in **blocks** of about 64 KiB. For a block the index holds where
//! it starts (sequence, time), which sequences are gone, and how many messages
//! of each subject it has; nothing is held per message, so that ten million
//! small messages cost some twenty megabytes. A block's bytes are in memory or
//! in a segment file; the format is the same. Facts of a subject (first, last,
//! count) stand in one table; first and last become estimates when a message is
//! removed, and are made exact by whoever asks.
//!
//! Bounds: a block closes at 64 KiB or 32,768 sequences; decoded
//! blocks are kept in a cache of [`CACHE_SLOTS`].
//!
//! Cost of an append: one copy, two checksums, one look-up of the subject.

mod block;
mod cache;
mod erase;
mod filter_set;
mod gone;
#[cfg(test)]
pub(super) mod model_tests;
mod moving;
mod order;
mod point;
mod queries;
mod record;
mod subjects;
mod summary;
pub(super) mod varint;
mod verdicts;

pub(super) use block::{BlockSource, Blocks, Facts, SegmentPlace};
pub(super) use cache::{Cache, CACHE_SLOTS};
pub(super) use erase::{Overwrite, Sparse};
pub(super) use gone::Gone;
pub(super) use moving::Leaving;
pub(super) use record::{body_crc, damaged_records, Salt};
