//! The harness of the tests that need a running broker: starting and stopping
//! the process ([`Broker`]) and speaking the protocol by hand ([`Raw`]).
//!
//! The broker under test is `BROKER` (a path) or the binary that cargo built;
//! `BROKER_ARGS` is appended to its command line, so that one suite runs
//! against any number of shards. Nothing here sleeps: every wait is for an
//! event, with a limit that only a failing test reaches.

mod broker;
mod raw;

use std::time::Duration;

pub(crate) use broker::{config, Broker};
pub(crate) use raw::{Message, Raw};

/// How long any single expected event may take, on a machine with other work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A small generator for test data: the same seed gives the same bytes.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number in `0..bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 33) as usize) % bound
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}
