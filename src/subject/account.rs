//! The name of an account inside the broker.

/// An account: subjects of different accounts never match each other.
///
/// Ids are handed out by the control plane and mean the same on every shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u32);
