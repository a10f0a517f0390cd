//! The shell: one glommio executor a core, one task on it that owns the core's
//! state, its ring and its end of every lane.
//!
//! [`core`] is the pure part; everything else here does I/O. [`start`] builds
//! the shards and waits for them; [`task`] is the turn loop; [`sockets`] knows
//! which operations of which descriptor are under way; [`accept`] lives on
//! shard 0 and places connections; [`watchdog`] is one thread that wakes a
//! shard whose executor has lost a wake-up.
//!
//! Invariants:
//! - all state of a shard is touched by its one task, synchronously; nothing
//!   is borrowed across an await;
//! - a descriptor is closed only when the ring holds no operation of it;
//! - a turn pushes control to all peers before any data, and data before it
//!   submits a send.
//!
//! Bounds of a turn: 256 completions, 256 KiB parsed, 4 batches from each lane.
//! The task gives way to the executor after 16 turns or 2 ms.
//!
//! Cost: one system call a turn, whatever it carries; a parked shard costs one
//! wake-up through its eventfd.

pub mod core;

mod accept;
mod message;
mod park;
mod sockets;
mod start;
mod task;
mod watchdog;

pub use start::{run, StartError};
