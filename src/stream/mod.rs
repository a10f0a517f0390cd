//! JetStream: streams and their consumers as state machines, and the API that
//! clients drive them with (*pure*).
//!
//! Messages, requests and acks of clients reach the engine as [`Incoming`],
//! through internal subscriptions that it asks for; what it has to say goes to
//! the [`Outbox`], which the shell carries out. The engine does no I/O and knows
//! no clock: `now` comes in, as nanoseconds since 1970 that never go back.

mod context;
mod outbox;

pub use context::{Context, Incoming, Interest};
pub use outbox::{Outbox, Outgoing, Output, Token};
