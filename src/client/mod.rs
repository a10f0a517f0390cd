//! One client connection: what CONNECT agreed on, whom it has become and what
//! that one may do, its subscriptions by sid, its limits and its keep-alive. Bytes and sockets are not its business.
//!
//! Invariants:
//! - a sid names at most one live subscription of the connection;
//! - nothing but CONNECT is taken before authentication when it is required.
//!
//! Bounds: `max_subscriptions` per connection ([`Limits`]); a client with no
//! subscription holds no memory but its struct and its CONNECT strings.

mod guard;
mod keepalive;
mod session;
mod sids;

pub use guard::{Guard, Permit};
pub use keepalive::{Keepalive, KeepaliveLimits, Tick};
pub use session::{CarriedCredentials, Client, Limits, Refusal, SubscribeRefusal};
pub use sids::Sids;
