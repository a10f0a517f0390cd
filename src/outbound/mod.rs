//! What waits to be sent to one connection.
//!
//! Frames are appended to the tail chunk; the shell takes everything that is
//! queued as one flight, at most one flight is under way per connection, and
//! the next one gathers meanwhile. Chunks come from a pool of the shard, so a
//! connection with nothing to send holds no memory but its struct.
//!
//! Invariants:
//! - frames leave in the order in which they were appended;
//! - `pending` is the bytes queued plus the bytes in flight, nothing else.
//!
//! Bounds: `max_pending` bytes per connection ([`Outbound::pressure`] says
//! where a connection stands; the owner closes it when it is over), and the
//! chunks that the pool keeps ([`ChunkPool`]; a surplus chunk is freed).
//!
//! A frame that many connections get is written once, into a run that they share
//! (`runs`).
//!
//! Cost of one delivery: two copies (the prefix kept with the subscription and
//! the tail of the publisher's frame), no allocation once the pool is warm, no
//! system call: that comes once per connection and turn.

mod pool;
mod queue;
mod runs;

pub use pool::{ChunkPool, CHUNK_BYTES};
pub use queue::{Outbound, Pressure};
pub use runs::SharedFrame;
