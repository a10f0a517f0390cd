//! What the engine is given with every call.

use super::outbox::{Outbox, Token};
use crate::store::Stores;
use crate::subject::AccountId;

/// A message that one of the engine's subscriptions got.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The subscription.
    pub token: Token,
    /// Account it was published in.
    pub account: AccountId,
    /// Subject it was published to.
    pub subject: &'a [u8],
    /// Where an answer is expected; empty if nowhere.
    pub reply: &'a [u8],
    /// The header block, `NATS/1.0\r\n` to the empty line; empty if there is none.
    pub headers: &'a [u8],
    /// The body.
    pub payload: &'a [u8],
}

/// Who listens, on any shard.
pub trait Interest {
    /// Whether a message to `subject` would find a subscriber.
    fn has_interest(&mut self, account: AccountId, subject: &[u8]) -> bool;

    /// Whether it would find one in the queue of that name, or, if that is empty, one in none.
    fn has_listener(&mut self, account: AccountId, subject: &[u8], queue: &[u8]) -> bool;
}

/// The world around one call.
pub struct Context<'a> {
    /// Nanoseconds since 1970; never goes back.
    pub now: u64,
    /// Who listens.
    pub interest: &'a mut dyn Interest,
    /// Where new streams keep their messages.
    pub stores: &'a mut dyn Stores,
    /// Where everything goes that the engine says.
    pub out: &'a mut Outbox,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("now", &self.now).finish_non_exhaustive()
    }
}
