//! JetStream: publishers into streams, readers of what is stored, and consumers.
//!
//! Every run makes streams of its own, with a name no other run has. Each acknowledgement is
//! entered in a [`ledger`], which then knows what every sequence of every stream must hold;
//! reading back and consuming compare with it.

pub mod api;
pub mod consume;
pub mod create;
pub mod disk;
pub mod drive;
pub mod fleet;
pub mod get;
pub mod ledger;
pub mod publisher;
pub mod reader;
pub mod stream;
pub mod streams;
pub mod template;
