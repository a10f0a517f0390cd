//! Chunks of outbound memory, reused within one shard.

use super::runs::{Runs, SharedFrame};
use crate::net::Segment;

/// Bytes of a pooled chunk; a frame that is larger gets a chunk of its own size.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks kept when nobody uses them, unless told otherwise: 16 MiB a shard at most.
const SPARE_MAX_DEFAULT: usize = 256;

/// The spare chunks of one shard, and the frames that its connections share.
#[derive(Debug)]
pub struct ChunkPool {
    spare: Vec<Vec<u8>>,
    /// `spare.len() <= spare_max`.
    spare_max: usize,
    pub(super) runs: Runs,
}

impl ChunkPool {
    /// An empty pool; chunks are allocated on demand and kept when they return.
    pub fn new() -> Self {
        Self { spare: Vec::new(), spare_max: SPARE_MAX_DEFAULT, runs: Runs::default() }
    }

    /// Keeps at most `chunks` that nobody uses, from now on.
    pub fn keep(&mut self, chunks: usize) {
        self.spare_max = chunks;
        self.spare.truncate(chunks);
    }

    /// An empty chunk with room for at least `bytes`.
    pub fn take(&mut self, bytes: usize) -> Vec<u8> {
        if bytes <= CHUNK_BYTES {
            if let Some(chunk) = self.spare.pop() {
                return chunk;
            }
        }
        Vec::with_capacity(bytes.max(CHUNK_BYTES))
    }

    /// Takes a chunk back; one of unusual size, or one too many, is freed.
    pub fn give(&mut self, mut chunk: Vec<u8>) {
        if chunk.capacity() == CHUNK_BYTES && self.spare.len() < self.spare_max {
            chunk.clear();
            self.spare.push(chunk);
        }
    }

    /// Takes back what a flight carried.
    pub fn take_back(&mut self, segment: Segment) {
        match segment {
            Segment::Owned(chunk) => self.give(chunk),
            Segment::Shared(run, _) => self.runs.take_back(run),
            Segment::Inline(..) => {}
        }
    }

    /// Writes a frame, given in two parts, that several connections get: each
    /// takes it with [`Outbound::append_shared`](super::Outbound::append_shared)
    /// before its flight is loaded.
    #[inline]
    pub fn write_shared(&mut self, prefix: &[u8], rest: &[u8]) -> SharedFrame {
        self.runs.write(prefix, rest)
    }

    /// To be called when every connection that was appended to has loaded its
    /// flight since, or has been asked to: nobody names a shared frame any more.
    pub fn end_sharing(&mut self) {
        self.runs.end();
    }

    /// Bytes that the pool holds for nobody.
    pub fn spare_bytes(&self) -> usize {
        self.spare.len() * CHUNK_BYTES + self.runs.spare_bytes()
    }
}

impl Default for ChunkPool {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surplus_chunk_is_freed() {
        let mut pool = ChunkPool::new();
        pool.keep(2);
        for _ in 0..3 {
            pool.give(Vec::with_capacity(CHUNK_BYTES));
        }
        assert_eq!(pool.spare_bytes(), 2 * CHUNK_BYTES);
        pool.keep(1);
        assert_eq!(pool.spare_bytes(), CHUNK_BYTES);
    }
}
