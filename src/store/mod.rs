//! Storage of streams: what a stream's state machine sees of it, and what lies
//! on the disk.
//!
//! One journal per shard takes every durable event of its streams; one write
//! commits all of them. A stream's messages move from the journal to its own
//! segments in the background. State machines see a [`StreamStore`]: the
//! staged state, at once; what must not be told before it is durable carries
//! the [`Commit`] it depends on.

//!
//! A [`Store`] keeps streams on a [`Disk`]. It does no I/O but reads of
//! segments; whoever owns it carries out what it hands out, once a turn:
//!
//! ```
//! use std::sync::Arc;
//! use midge::store::{Damage, Record, RealDisk, Replay, Store, StoreOptions, Stores, StorageKind};
//! use midge::store::{StreamId, StreamStore};
//!
//! struct Engine(Option<Box<dyn StreamStore>>);
//!
//! impl Replay for Engine {
//!     fn stream(&mut self, _: StreamId, _: &[u8], _: Option<&[u8]>, store: Box<dyn StreamStore>) {
//!         self.0 = Some(store);
//!     }
//!     fn appended(&mut self, _: StreamId, _: u64, _: &Record<'_>) {}
//!     fn removed(&mut self, _: StreamId, _: u64) {}
//!     fn removed_below(&mut self, _: StreamId, _: u64) {}
//!     fn skipped(&mut self, _: StreamId, _: u64) {}
//!     fn note(&mut self, _: StreamId, _: &[u8]) {}
//!     fn deleted(&mut self, _: StreamId) {}
//!     fn damaged(&mut self, damage: &Damage) {
//!         eprintln!("{damage}");
//!     }
//! }
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("shard-0");
//! let disk = Arc::new(RealDisk::new(path).unwrap());
//! let mut engine = Engine(None);
//! let options = StoreOptions { seed: 1, ..StoreOptions::default() };
//! let mut store = Store::open(disk.clone(), options, &mut engine).unwrap();
//! let (id, mut stream) = store.create(StorageKind::File, b"account, name").unwrap();
//! let record = Record { time: 1, subject: b"a", headers: b"", payload: b"hello" };
//! stream.append(&record);
//! let gate = stream.staged();
//! while store.durable() < gate {
//!     // Work for the helper pool; several jobs may run at once.
//!     while let Some(job) = store.take_job() {
//!         store.handle_job_done(job.run(&*disk));
//!     }
//!     // After a job has failed: a moment later, not at once.
//!     if store.is_held() {
//!         store.resume();
//!     }
//!     // One write for all that is staged; a shard writes it through its ring.
//!     if let Some(write) = store.take_write() {
//!         let outcome = write.write();
//!         store.handle_written(write, &outcome);
//!     }
//!     // What a restart is to give back to the engine.
//!     while let Some(id) = store.snapshot_wanted() {
//!         store.put_snapshot(id, b"what the engine knows of the stream");
//!     }
//!     // After a failed write: `Outbox::fail(durable)` for all that waits, then start again from
//!     // what is durable. The engine gets new handles for the streams that changed.
//!     if let Some(_durable) = store.failure() {
//!         store.rollback(&mut engine).unwrap();
//!     }
//! }
//! // Before the end: the same loop until `store.stop()`.
//! ```
//!
//! # How it deviates from the design, and why
//! - The open block of a stream travels in its state file instead of being
//!   logged again at the journal's head: a changed stream costs a write of its
//!   state at a checkpoint in any case, and nothing pins an old journal file.
//! - The index of a segment is a file of its own, written at checkpoints if it
//!   changed: a state file stays small however long the stream is.
//! - While a failed write is being told to the disk, changes go nowhere; streams
//!   that had some are then read again from disk. Simple, and as slow as a start.
//!
//! # Bounds
//! Staged bytes are bounded by the shell ([`Store::staged_bytes`]); blocks in
//! memory by two checkpoints; open segments by 64; decoded blocks by 32. When the
//! streams' own files are four checkpoints behind, commits wait, and if they cannot
//! be written at all, commits fail.

mod check;
mod checkpoint;
#[cfg(test)]
mod crash_tests;
mod damage;
#[cfg(test)]
mod damage_tests;
mod disk;
#[cfg(test)]
mod faulty_disk;
mod file;
mod files;
mod index;
mod job;
mod journal;
mod load;
mod mark;
mod memory;
mod messages;
mod open;
mod reclaim;
#[cfg(test)]
mod reclaim_tests;
mod replay;
#[cfg(test)]
mod rig;
mod segment;
mod state;
#[expect(clippy::module_inception, reason = "the type of the module's name")]
mod store;
mod vault;
#[cfg(test)]
mod vault_tests;

pub use check::{check, Report, StreamReport};
pub use damage::Damage;
pub use disk::{Disk, DiskFile, Open, RealDisk};
pub use job::{Job, JobResult};
pub use journal::JournalWrite;
pub use memory::{MemoryStore, MemoryStores};
pub use messages::{
    record_bytes, Commit, Extent, Message, ReadError, Record, StorageKind, StoreError, Stores,
    StreamId, StreamStore, SubjectState,
};
pub use replay::Replay;
pub use store::{DiskUse, Store, StoreOptions};
pub use vault::{Cipher, KeyError, StoreKey, Vault};
