//! Storage of streams: what a stream's state machine sees of it, and what lies
//! on the disk.
//!
//! One journal per shard takes every durable event of its streams; one write
//! commits all of them. A stream's messages move from the journal to its own
//! segments in the background. State machines see a [`StreamStore`]: the
//! staged state, at once; what must not be told before it is durable carries
//! the [`Commit`] it depends on.

#[allow(dead_code, reason = "file storage, which follows, uses all of it")]
mod index;
mod memory;
mod messages;

pub use memory::{MemoryStore, MemoryStores};
pub use messages::{
    record_bytes, Commit, Extent, Message, ReadError, Record, StorageKind, StoreError, Stores,
    StreamId, StreamStore, SubjectState,
};
