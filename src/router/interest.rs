//! What one shard tells the others about its subscriptions.

use super::GroupId;
use crate::subject::AccountId;

/// A change of this shard's interest, for every other shard, in this order.
///
/// Each states what holds now, not a difference: of several changes of the same
/// pattern or group only the last one need be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterestChange {
    /// The pattern got its first live plain subscription here, or lost its last.
    Plain {
        /// The pattern's account.
        account: AccountId,
        /// What is subscribed to.
        pattern: Box<[u8]>,
        /// Whether there is one now.
        present: bool,
    },
    /// The number of a queue group's live members here has changed.
    Queue {
        /// The pattern's account.
        account: AccountId,
        /// What is subscribed to.
        pattern: Box<[u8]>,
        /// The queue's name.
        queue: Box<[u8]>,
        /// The group as the sender names it.
        group: GroupId,
        /// Live members at the sender; 0 is none left.
        members: u32,
    },
}

impl InterestChange {
    /// The pattern that has listeners now, if that is what changed.
    pub fn appeared(&self) -> Option<(AccountId, &[u8])> {
        match self {
            Self::Plain { account, pattern, present: true } => Some((*account, pattern)),
            Self::Queue { account, pattern, members: 1.., .. } => Some((*account, pattern)),
            Self::Plain { .. } | Self::Queue { .. } => None,
        }
    }
}
