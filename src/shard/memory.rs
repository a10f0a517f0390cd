//! How the bytes that a shard may hold are shared out.

use crate::net::RingConfig;
use crate::outbound::CHUNK_BYTES;

/// What a budget buys. Twenty mebibytes, the default, are 64 receive buffers and 256 chunks.
///
/// Not in it: the rings and the executor, some 3 MiB a shard whatever the budget; what waits for
/// slow receivers, which `max_pending` bounds for each connection; interest and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// Receive buffers lent to the kernel: a power of two, at least 4.
    pub(super) receive_buffers: u16,
    /// Chunks of output kept when nobody uses them.
    pub(super) spare_chunks: usize,
}

impl Memory {
    /// A fifth goes to receiving, rounded down to what the kernel takes, the rest to sending: the
    /// kernel's buffers come back within a turn, chunks wait for the slowest receiver.
    pub(super) fn of(bytes: usize) -> Self {
        let buffer_bytes = RECEIVE_BUFFER_BYTES;
        let wanted = (bytes / 5 / buffer_bytes).clamp(RECEIVE_BUFFERS_MIN, RECEIVE_BUFFERS_MAX);
        let rounded = 1_usize << wanted.ilog2();
        let left = bytes.saturating_sub(rounded * buffer_bytes);
        Self {
            receive_buffers: u16::try_from(rounded).unwrap_or(u16::MAX),
            spare_chunks: left / CHUNK_BYTES,
        }
    }

    /// A ring with that many receive buffers.
    pub(super) fn ring(self) -> RingConfig {
        RingConfig { receive_buffers: self.receive_buffers, ..RingConfig::default() }
    }
}

/// The size of a buffer in [`RingConfig::default`].
const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;

const RECEIVE_BUFFERS_MIN: usize = 4;

/// More than this the kernel does not take in one group.
const RECEIVE_BUFFERS_MAX: usize = 32_768;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_default_budget_is_the_default_ring() {
        let memory = Memory::of(20 << 20);
        assert_eq!(memory, Memory { receive_buffers: 64, spare_chunks: 256 });
        assert_eq!(memory.ring(), RingConfig::default());
        assert_eq!(memory.ring().receive_buffer_bytes as usize, RECEIVE_BUFFER_BYTES);
    }

    #[test]
    fn the_ends_of_the_range_can_be_served() {
        assert_eq!(Memory::of(1 << 20), Memory { receive_buffers: 4, spare_chunks: 12 });
        assert_eq!(Memory::of(16 << 30).receive_buffers, 32_768);
        assert_eq!(Memory::of(0), Memory { receive_buffers: 4, spare_chunks: 0 });
    }

    proptest! {
        #[test]
        fn a_budget_is_kept(bytes in 1_usize << 20..=16 << 30) {
            let memory = Memory::of(bytes);
            prop_assert!(memory.receive_buffers.is_power_of_two());
            let receive = usize::from(memory.receive_buffers) * RECEIVE_BUFFER_BYTES;
            let used = receive + memory.spare_chunks * CHUNK_BYTES;
            prop_assert!(used <= bytes && bytes - used < CHUNK_BYTES);
        }
    }
}
