//! One keyed hash for subjects, tokens and edges.

use std::hash::Hasher;

use foldhash::fast::FoldHasher;
use foldhash::SharedSeed;

use crate::subject::AccountId;

/// Hashes with a secret seed, so that nobody can choose subjects that collide.
#[derive(Debug)]
pub(super) struct SubjectHasher {
    shared: SharedSeed,
}

impl SubjectHasher {
    pub(super) fn new(seed: u64) -> Self {
        Self { shared: SharedSeed::from_u64(seed) }
    }

    /// Hash of a subject or pattern in its account.
    #[inline]
    pub(super) fn subject(&self, account: AccountId, subject: &[u8]) -> u64 {
        // The account is the hasher's own seed: this saves a round.
        let own_seed = u64::from(account.0).wrapping_add(1).wrapping_mul(ODD);
        let mut hasher = FoldHasher::with_seed(own_seed, &self.shared);
        hasher.write(subject);
        hasher.finish()
    }

    /// Hash of a token or a queue name.
    #[inline]
    pub(super) fn token(&self, token: &[u8]) -> u64 {
        self.subject(AccountId(u32::MAX), token)
    }

    /// Hash of a token, whose own hash is given, below a node.
    #[inline]
    pub(super) fn edge(&self, parent: u32, token_hash: u64) -> u64 {
        let mut hasher = FoldHasher::with_seed(token_hash, &self.shared);
        hasher.write_u32(parent);
        hasher.finish()
    }
}

/// Spreads small account numbers over 64 bits (2^64 divided by the golden ratio).
const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
