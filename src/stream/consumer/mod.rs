//! Consumers of a stream: who got which message, who acknowledged it, who asked for more
//! (*pure*).
//!
//! [`Consumers`] is what a stream sees. A consumer keeps a cursor in its stream, the messages
//! that were delivered and not acknowledged, the queue of those to be delivered again, and the
//! pull requests that wait. Invariants:
//!
//! - a message is unacknowledged, ahead of the cursor, or done with; never two of these;
//! - `num_pending` is what is ahead of the cursor and wanted, exactly;
//! - delivery numbers of a consumer ascend without gaps;
//! - what is delivered waits for the commit of the stream's last message, and so does every
//!   status, so that they arrive in this order.
//!
//! The cost of a delivery is one read from the store into memory that is used again and one copy
//! into the outbox; nothing is allocated. One deadline per consumer stands in one heap per stream.

mod ack;
mod acks;
mod advisories;
mod api;
mod archive;
mod config;
mod cursor;
mod delivery;
mod filters;
mod flow;
mod info;
#[cfg(test)]
mod model_tests;
mod notes;
mod pull;
mod recovery;
mod requests;
mod settling;
mod state;
mod status;
mod table;
#[cfg(test)]
mod table_tests;
mod takers;
#[cfg(test)]
mod test_stream;
mod unacked;
mod validate;
#[cfg(test)]
mod validate_tests;
mod waiting;

pub(in crate::stream) use ack::place_of_ack;
pub use api::{check_create, refuse, Answer};
pub use config::{
    AckPolicy, ConsumerAction, ConsumerConfig, CreateRequest, DeliverPolicy, PriorityPolicy,
    ReplayPolicy,
};
pub use table::Consumers;
