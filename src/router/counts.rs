//! Bounds of a router and what it shows of itself.

/// Bounds that a router keeps.
#[derive(Clone, Debug)]
pub struct RouterLimits {
    /// Most plans that are cached.
    pub plans_max: usize,
    /// Most bytes that cached plans may hold. A plan above a sixteenth of this
    /// is not cached.
    pub plans_bytes_max: usize,
    /// Seed of all hashes: drawn at random by the shell, so that nobody can
    /// choose subjects that collide.
    pub hash_seed: u64,
}

impl Default for RouterLimits {
    fn default() -> Self {
        Self { plans_max: 16 * 1024, plans_bytes_max: 32 * 1024 * 1024, hash_seed: 0 }
    }
}

/// What a router holds, for monitoring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouterCounts {
    /// Local subscriptions, draining ones included.
    pub subscriptions: u64,
    /// Patterns known, of local and of remote interest.
    pub patterns: u64,
    /// Patterns in which at least one other shard has plain interest.
    pub remote_patterns: u64,
    /// Queue groups with members here or elsewhere.
    pub groups: u64,
    /// Plans in the cache.
    pub plans: u64,
    /// Bytes held by cached plans.
    pub plans_bytes: u64,
    /// Messages whose plan was cached.
    pub hits: u64,
    /// Messages whose plan had to be put together.
    pub misses: u64,
    /// Cached plans that were dropped or put together again because interest
    /// had changed.
    pub voids: u64,
    /// Cached plans that made room for others.
    pub evictions: u64,
    /// Plans not cached because they were too large.
    pub oversized: u64,
    /// About how many bytes all tables of the router take, cached plans
    /// included.
    pub bytes: u64,
}
