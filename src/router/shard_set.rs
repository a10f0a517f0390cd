//! Shards and sets of shards.

/// A shard of this process. Range: `0..64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u8);

/// A set of shards, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ShardSet(pub u64);

impl ShardSet {
    /// No shard.
    pub const EMPTY: Self = Self(0);

    /// How many shards there can be.
    pub const SHARDS_MAX: u8 = 64;

    /// The set of just this shard.
    pub fn only(shard: ShardId) -> Self {
        Self(bit(shard))
    }

    /// Adds a shard; `false` if it was in the set already.
    pub fn insert(&mut self, shard: ShardId) -> bool {
        let added = !self.contains(shard);
        self.0 |= bit(shard);
        added
    }

    /// Takes a shard out; `false` if it was not in the set.
    pub fn remove(&mut self, shard: ShardId) -> bool {
        let removed = self.contains(shard);
        self.0 &= !bit(shard);
        removed
    }

    /// Adds all shards of another set.
    pub fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether the shard is in the set.
    pub fn contains(self, shard: ShardId) -> bool {
        self.0 & bit(shard) != 0
    }

    /// The shards of this set that are not in the other one.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is no shard in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many shards are in the set.
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The shards, lowest number first.
    pub fn iter(self) -> ShardIds {
        ShardIds(self.0)
    }
}

impl IntoIterator for ShardSet {
    type Item = ShardId;
    type IntoIter = ShardIds;

    fn into_iter(self) -> ShardIds {
        self.iter()
    }
}

impl FromIterator<ShardId> for ShardSet {
    fn from_iter<I: IntoIterator<Item = ShardId>>(shards: I) -> Self {
        let mut set = Self::EMPTY;
        for shard in shards {
            set.insert(shard);
        }
        set
    }
}

/// Iterator over a [`ShardSet`].
#[derive(Clone, Debug)]
pub struct ShardIds(u64);

impl Iterator for ShardIds {
    type Item = ShardId;

    fn next(&mut self) -> Option<ShardId> {
        if self.0 == 0 {
            return None;
        }
        // Below 64, since a bit is set.
        let lowest = (self.0.trailing_zeros() & 63) as u8;
        self.0 &= self.0 - 1;
        Some(ShardId(lowest))
    }
}

/// The shard's bit. A shard number out of range would alias another shard's
/// interest and lose messages.
fn bit(shard: ShardId) -> u64 {
    assert!(shard.0 < ShardSet::SHARDS_MAX, "shard number out of range");
    1 << shard.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_holds_what_was_inserted() {
        let mut set = ShardSet::EMPTY;
        assert!(set.is_empty());
        assert!(set.insert(ShardId(63)));
        assert!(set.insert(ShardId(0)));
        assert!(!set.insert(ShardId(0)));
        assert!(set.contains(ShardId(63)) && !set.contains(ShardId(1)));
        assert_eq!(set.len(), 2);
        assert_eq!(set.iter().collect::<Vec<_>>(), [ShardId(0), ShardId(63)]);
        assert!(set.remove(ShardId(0)));
        assert!(!set.remove(ShardId(0)));
        assert_eq!(set, ShardSet::only(ShardId(63)));
    }

    #[test]
    fn without_is_the_difference() {
        let set: ShardSet = [1, 2, 3].map(ShardId).into_iter().collect();
        assert_eq!(set.without(ShardSet::only(ShardId(2))).len(), 2);
        assert!(set.without(set).is_empty());
    }
}
