//! Who gets a message: interest, queue groups, delivery plans and their cache.
//!
//! A shard has one [`Router`]. It holds every local subscription and what the
//! other shards have told of theirs, and answers one question: for this account
//! and subject, which subscriptions, which queue groups, which shards?
//!
//! It is not a delivery engine: it writes nothing, counts no messages, knows no
//! connection but by number. Queue members are picked by the caller with a
//! random number the caller brings.
//!
//! # How it works
//! - All patterns stand in one hash table keyed by account and text. A literal
//!   pattern is only there: to match it is one lookup of the subject.
//! - Patterns with wildcards are also leaves of a token trie per account, whose
//!   edges are one hash table keyed by parent and token.
//! - What matches a subject is put together as a [`Plan`]: deliveries with their
//!   ready-made `HMSG subject sid ` prefixes, queue groups, shards. Plans are
//!   cached from the second use of a subject on.
//! - A queue group is what has one queue name on one pattern: so it is counted
//!   and told to other shards. A message is for one member of all groups that
//!   match it and share a name, as nats-server has it: a plan lists them side
//!   by side, as one queue.
//! - A subscription that imports a stream has a *shadow* in the account the
//!   stream comes from: a subscription there like any other, in plans and queues
//!   and towards other shards, but what it gets is for the one it stands for.
//! - A change voids plans by pattern: a literal its one entry, a wildcard those
//!   below its first one or two literal tokens, so that reply inboxes and
//!   storms of SUB do not empty the cache.
//!
//! # Invariants
//! - A plan lists what [`crate::subject::matches`] would find, at any time.
//! - An interest change is emitted exactly when the number of live plain
//!   subscriptions of a pattern leaves or reaches zero, and at every change of
//!   the number of live local members of a queue group.
//! - A pattern lives while it has a subscription, a group or a remote shard; a
//!   group lives while it has a member, draining or not, here or elsewhere.
//!   The [`GroupId`] of a dead group is never valid again.
//! - Removing is exact: what a removed subscription took is given back.
//!
//! # Bounds
//! - Subscriptions and patterns: by the limits of the connections, at most
//!   2^32 - 2; about 150 bytes each for a literal of up to 22 bytes, 60 more
//!   for each token that only this pattern has in the trie. So a pattern with
//!   wildcards and thousands of tokens costs thirty times its length: the
//!   number of tokens is for the caller to limit.
//! - Cached plans: [`RouterLimits::plans_max`] in number and
//!   [`RouterLimits::plans_bytes_max`] in bytes, exceeded by less than one plan.
//!   One that is larger than a sixteenth of that (2 MiB by default: some 40,000
//!   deliveries) is never cached, but put together for each message. When full,
//!   plans that were not used lately make room.
//! - Scratch space: the largest plan ever put together.
//! - Shards: 64. All figures stand in [`RouterCounts`].
//!
//! # Cost
//! A message to a cached subject: one hash, no allocation, no system call, no
//! copy. To another subject: one lookup, a walk over the trie nodes that match,
//! and one copy of each prefix, without an allocation once the scratch space
//! has grown to the largest plan seen. Only if several of its patterns have queue
//! groups are those sorted by name.

mod counts;
mod group;
mod hashing;
mod ids;
mod index_table;
mod interest;
#[cfg(test)]
mod model_tests;
mod pattern;
mod plan;
mod plan_cache;
mod routing;
mod scopes;
mod shadow;
mod shard_set;
mod short_bytes;
mod slab;
mod sub_list;
mod subscription;
mod trie;

pub use counts::{RouterCounts, RouterLimits};
pub use group::{Group, Groups, Pick, RemoteMembers, Tried};
pub use ids::{ConnId, GroupId, SubId};
pub use interest::InterestChange;
pub use plan::{Delivery, Plan, ShadowDelivery};
pub use routing::{Matched, Router, SubscriptionView};
pub use shadow::{Shadow, Shadows};
pub use shard_set::{ShardId, ShardIds, ShardSet};
pub use subscription::{Sid, Subscription, Subscriptions, INSPECTED};
