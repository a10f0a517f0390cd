//! What the generator asks of the kernel: readiness, clocks, processors, processes, sockets.
//!
//! The `unsafe` of the crate is in this folder, and in [`crate::server`] for the hook that runs
//! between fork and exec; every block is one system call on memory the caller owns.

pub mod affinity;
pub mod clock;
pub mod epoll;
pub mod process;
pub mod signal;
pub mod socket;
