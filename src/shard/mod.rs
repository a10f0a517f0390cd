//! The shell: one glommio executor a core, one task on it that owns the core's
//! state, its ring and its end of every lane.
//!
//! [`core`] is the pure part; everything else here does I/O. [`start`] builds
//! the shards and waits for them, of what [`settings`] make of the options; [`task`] is the turn loop; [`traffic`] is what
//! it does with sockets, of which [`sockets`] knows which operations of which
//! descriptor are under way; [`accept`] lives on shard 0 and places connections;
//! [`ending`] is how all of it stops.
//!
//! Invariants:
//! - all state of a shard is touched by its one task, synchronously; nothing
//!   is borrowed across an await;
//! - a descriptor is closed only when the ring holds no operation of it;
//! - a turn pushes control to all peers before any data, and data before it
//!   submits a send.
//!
//! Bounds of a turn: 256 completions, and all batches that a lane can hold.
//!
//! Cost: one system call a turn, whatever it carries, and sleeping is part of
//! it; a sleeping shard is woken by one write of its eventfd.

pub mod core;

mod accept;
mod accounts;
mod announce;
mod answers;
mod claims;
mod ending;
mod events;
mod jetstream;
mod listen;
mod memory;
mod message;
mod monitoring;
mod passwords;
mod peers;
mod placement;
mod ports_file;
mod reload;
mod resolver;
mod sealed;
mod service;
mod settings;
mod sockets;
mod start;
mod system;
mod task;
mod traffic;
mod transport;
mod versions;
mod websocket;

pub use placement::PlacementError;
pub use reload::log_target;
pub use start::{run, RunError};
