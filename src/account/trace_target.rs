//! `msg_trace`: where an account wants to hear of messages that somebody samples.

use super::jwt::TraceClaim;
use crate::subject;

/// The destination of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceTarget {
    /// A literal subject.
    pub destination: String,
    /// Messages of a hundred that are told of: 1..=100.
    pub sampling: u8,
}

impl TraceTarget {
    /// What an account's token asks for; none if it is no destination. A sampling of 0 is all.
    pub fn of_claim(claim: &TraceClaim) -> Option<Self> {
        let sampling =
            u8::try_from(claim.sampling).ok().filter(|percent| (1..=100).contains(percent));
        Self::may_be(&claim.dest)
            .then(|| Self { destination: claim.dest.clone(), sampling: sampling.unwrap_or(100) })
    }

    /// Whether traces may be told to `destination`.
    pub fn may_be(destination: &str) -> bool {
        subject::is_literal(destination.as_bytes()) && !destination.contains(char::is_whitespace)
    }
}
