//! Sockets: the io_uring of a shard, and the few socket calls that are not ring operations.
//!
//! A shard owns one [`Ring`]. It queues operations during its turn, pays one system call in
//! [`Ring::enter`], and takes what happened with [`Ring::reap`]. The module knows no protocol and no
//! connection: a caller's *token* (56 bits, its slot and generation) names the operation, and every
//! completion carries it back.
//!
//! # Invariants
//! - What the kernel may still read or write stays where it is: receive buffers are the ring's own
//!   mapping, and a [`Flight`] or a read buffer belongs to the ring until its completion is reaped.
//!   Dropping a ring cancels everything and waits; what the kernel will not give up is leaked.
//! - A receive buffer belongs either to the kernel or to the caller; using one that was released
//!   stops the process instead of reading what the kernel writes.
//! - Operations reach the kernel in the order they were queued, also across the backlog.
//! - A ring is used by the thread that made it.
//!
//! # Bounds
//! | queue | limit | metric | when full |
//! |---|---|---|---|
//! | submission queue | `entries` | - | goes to the backlog |
//! | backlog | operations in flight: one receive, one send and one cancel a connection | [`Ring::backlog`] | grows |
//! | completion queue | `completions` | - | the kernel keeps the rest; the next `enter` brings it |
//! | receive buffers | `receive_buffers` | [`Ring::buffers_free`] | receives end with [`End::NoBuffers`] |
//!
//! # Cost
//! One system call a turn, none if nothing is queued and nothing completed. A completed receive is
//! one kernel copy and no allocation; a send allocates nothing if the caller reuses its flights.

mod backoff;
mod buffers;
mod completion;
mod error;
mod flight;
#[cfg(test)]
pub(crate) mod forbidden;
mod held;
mod mapping;
mod ring;
#[cfg(test)]
mod ring_tests;
mod setup;
pub mod socket;
mod timer;
mod user_data;
mod watch;

pub use backoff::AcceptBackoff;
pub use buffers::BufferId;
pub use completion::{Completion, End};
pub use error::{RingError, RingStep};
pub use flight::{Flight, Segment, INLINE_BYTES_MAX};
pub use ring::Ring;
pub use setup::RingConfig;
pub use user_data::TOKEN_MAX;
