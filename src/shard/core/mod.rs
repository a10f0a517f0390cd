//! The pure part of a shard: connections, interest, deliveries, and what goes
//! to and comes from other shards. No socket, no clock, no lane: the shell (or
//! a simulator) carries bytes, time and batches in, and takes actions out.
//!
//! A turn calls, in this order:
//! [`Core::begin_turn`]; [`Core::handle_routed`] for every peer;
//! [`Core::take_batch`] for what is in the data lanes; [`Core::handle_control`]
//! for *all* that is in the control lanes; [`Core::route`]; then what the
//! sockets brought ([`Core::open`], [`Core::handle_received`],
//! [`Core::handle_sent`], [`Core::handle_end`], [`Core::release`]) and
//! [`Core::resume_parsing`]; [`Core::run_timers`]; [`Core::finish`]. Then it
//! pushes [`Core::take_control_for`] to every peer, after that the data
//! ([`Core::next_batch`], [`Core::put_back`], [`Core::after_push`]), publishes
//! [`Core::routed_to_publish`], and only then submits what
//! [`Core::take_dirty`] names.
//!
//! Why the order matters: control is pushed to all peers before any data of
//! the same turn, and a receiver takes data first, then control, then routes.
//! So whoever sees a message has seen every subscription that was made before
//! it, over any number of shards and through any client.
//!
//! Invariants:
//! - a PONG goes out only when every shard knows the connection's interest and
//!   everything it published has been routed ([`barrier`](self));
//! - a queue message is delivered once, or returned to its origin;
//! - the routed counter that is published never passes an entry that has to be
//!   returned and is not pushed yet.
//!
//! Cost of one message to one local subscriber: parse, one look into the plan
//! cache, two copies; no allocation, no system call, no lock.

mod account_cards;
mod barrier;
mod callout;
mod client_info;
mod connection;
mod control;
mod deliver;
mod entry;
mod frame;
mod inbound;
mod ingest;
mod internal;
mod label;
mod lane_out;
mod latency;
mod lifecycle;
mod login;
mod members;
mod no_responders;
mod path;
mod permitted;
mod proxied;
mod publish;
mod random;
mod reload;
mod responses;
mod senders;
mod services;
mod shadows;
mod snapshot;
mod state;
mod system;
mod timers;
mod tokens;
mod trace;

pub use self::callout::ServerKeys;
pub use self::client_info::ClientInfo;
pub use self::connection::{ConnKey, TlsFacts};
pub use self::control::Control;
pub use self::entry::Batch;
pub use self::internal::Captured;
pub use self::lifecycle::Arrival;
pub use self::login::Verification;
pub use self::reload::Settings;
pub use self::snapshot::SlowConsumer;
pub use self::state::{Core, CoreConfig, Counters, Counts, Event, WebSocketSettings};
pub use self::tokens::AccountsChange;
pub use self::trace::TraceOptions;
