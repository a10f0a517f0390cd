//! Lanes between shards: the only memory two cores share.
//!
//! For every ordered pair of shards there is one control lane, one data lane and one lane that
//! brings emptied data buffers back to the shard that filled them. A shard holds one [`Endpoint`],
//! which is the writing end of every lane that leaves it and the reading end of every lane that
//! arrives; [`Watch`] lets a thread that is no shard wake one. The module
//! moves items it knows nothing about: what a control item or a batch means, and in which order of
//! a turn they are pushed and taken, is the caller's business.
//!
//! # Invariants
//! - Each lane has one writer and one reader, and items arrive in the order they were pushed.
//! - Whoever takes an item sees everything its writer did before pushing it, over any number of
//!   shards. So a receiver that takes data first and then drains control has applied every control
//!   item that was pushed, by anyone, before any of that data: a reply cannot overtake its SUB.
//! - A wake-up is never lost: either the parking shard sees the item in [`Endpoint::begin_park`],
//!   or the pushing shard sees it parked in [`Endpoint::wake_parked`]. The same holds for a routed
//!   counter and a shard that parked awaiting one.
//! - An item still in a lane when both ends are gone is dropped once.
//!
//! # Bounds
//! | queue | limit | metric | when full |
//! |---|---|---|---|
//! | data lane | `data_lane_batches` | [`Endpoint::data_depth`] | the batch is handed back |
//! | recycled buffers | `data_lane_batches` | none | the buffer is freed |
//! | control lane | none: what is in flight is bounded by the sender's own rules | [`Endpoint::control_depth`] | grows by a block |
//!
//! # Cost
//! A hop (push and take) is two stores and two loads on lines no third core touches, no system
//! call and no allocation; a control lane allocates one block per [`BLOCK_ITEMS`] items only when
//! it runs more than a block ahead. Polling an empty peer reads one line, which that peer writes
//! only when it has something to say. A turn that pushed anything costs one fence, and one
//! `write` to an eventfd per peer found parked.

mod bell;
mod bounded;
mod cursors;
mod endpoint;
mod linked;
#[cfg(all(test, loom))]
mod loom_tests;
mod parking;
mod sync;
mod watch;

pub use endpoint::{mesh, Endpoint};
pub use linked::BLOCK_ITEMS;
pub use watch::Watch;
