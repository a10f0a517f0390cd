//! Chunks of outbound memory, reused within one shard.

/// Bytes of a pooled chunk; a frame that is larger gets a chunk of its own size.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks kept when nobody uses them: 16 MiB a shard at most.
const CHUNKS_KEPT_MAX: usize = 256;

/// The spare chunks of one shard.
#[derive(Debug, Default)]
pub struct ChunkPool {
    spare: Vec<Vec<u8>>,
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

    /// Bytes that the pool holds for nobody.
    pub fn spare_bytes(&self) -> usize {
        self.spare.len() * CHUNK_BYTES
    }
}
