//! Names of things inside one shard.

/// A connection of this shard, by its slot. The router only hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u32);

/// A subscription of this shard, by its slot in [`Subscriptions`].
///
/// Slots are used again: the owner of a subscription removes it exactly once
/// and forgets its id then.
///
/// [`Subscriptions`]: super::Subscriptions
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubId(pub u32);

/// A queue group of one shard.
///
/// It may travel to other shards and come back late: the generation tells a
/// group from an earlier one in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId {
    /// Slot in the group table of the shard that made the id.
    pub(super) index: u32,
    /// Counts the groups ever made by that shard.
    pub(super) generation: u32,
}

impl GroupId {
    /// The id as a number, for a lane.
    pub fn to_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The id whose number is `encoded`. Any number is an id; one that was
    /// never handed out names no group.
    pub fn from_u64(encoded: u64) -> Self {
        Self { index: (encoded & 0xFFFF_FFFF) as u32, generation: (encoded >> 32) as u32 }
    }
}

/// A slot number, length or offset, of which none reaches [`NONE`].
#[inline]
pub(super) fn index32(value: usize) -> u32 {
    assert!(value < NONE as usize, "more than 32 bits can number");
    (value as u64 & 0xFFFF_FFFF) as u32
}

/// The index that stands for "nothing" in links between tables.
pub(super) const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_id_survives_the_lane() {
        for id in [
            GroupId { index: 0, generation: 0 },
            GroupId { index: 7, generation: u32::MAX },
            GroupId { index: u32::MAX - 1, generation: 9 },
        ] {
            assert_eq!(GroupId::from_u64(id.to_u64()), id);
        }
    }
}
