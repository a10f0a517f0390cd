//! Chunks of outbound memory, reused within one shard.

use super::runs::{Runs, SharedFrame};
use crate::net::Segment;

/// Bytes of a pooled chunk; a frame that is larger gets a chunk of its own size.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks kept when nobody uses them: 16 MiB a shard at most.
const CHUNKS_KEPT_MAX: usize = 256;

/// The spare chunks of one shard, and the frames that its connections share.
#[derive(Debug, Default)]
pub struct ChunkPool {
    spare: Vec<Vec<u8>>,
    pub(super) runs: Runs,
}

impl ChunkPool {
    /// An empty pool; chunks are allocated on demand and kept when they return.
    pub fn new() -> Self {
        Self::default()
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
        if chunk.capacity() == CHUNK_BYTES && self.spare.len() < CHUNKS_KEPT_MAX {
            chunk.clear();
            self.spare.push(chunk);
        }
    }

    /// Takes back what a flight carried.
    pub fn take_back(&mut self, segment: Segment) {
        match segment {
            Segment::Owned(chunk) => self.give(chunk),
            Segment::Shared(run, _) => self.runs.take_back(run),
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
