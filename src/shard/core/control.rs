//! What travels in a control lane.

use super::client_info::ClientInfo;
use super::connection::ConnKey;
use crate::monitor::TraceEvent;
use crate::router::InterestChange;
use crate::subject::AccountId;

/// One item of a control lane; its order against the sender's data batches is
/// part of the protocol (see the module doc of [`super`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// The sender's interest changed.
    Interest {
        /// Sequence of the change, the same towards every peer.
        seq: u64,
        /// What changed.
        change: InterestChange,
    },
    /// A subscription ended without changing what peers see; it is
    /// acknowledged like a change.
    Fence {
        /// Sequence, in the row of the changes.
        seq: u64,
    },
    /// The sender has applied everything up to `seq`.
    InterestAck {
        /// Highest sequence applied.
        seq: u64,
        /// Entries that the sender had appended to its data lane towards the
        /// receiver of this item when it applied the change, pushed or not.
        position: u64,
    },
    /// To shard 0: a connection has logged in to an account that has a limit.
    JoinAccount {
        /// The account.
        account: AccountId,
        /// The connection, on the sender's shard.
        connection: ConnKey,
    },
    /// From shard 0: whether the account has room.
    JoinedAccount {
        /// The account.
        account: AccountId,
        /// The connection that asked.
        connection: ConnKey,
        /// It is counted now.
        granted: bool,
    },
    /// To shard 0: a connection that is there is counted by an account from now
    /// on.
    CountedByAccount {
        /// The account.
        account: AccountId,
    },

    /// To shard 0: a connection that an account counted is gone.
    LeaveAccount {
        /// The account.
        account: AccountId,
    },
    /// What became of a traced message on the sender.
    Traced {
        /// The trace, on the receiver.
        trace: u64,
        /// What happened.
        events: Vec<TraceEvent>,
        /// Queue picks that come back by the data lane.
        returned: u32,
    },
    /// A client of the sender answers a request that the receiver measures. Comes before the
    /// answer.
    Responder {
        /// Where it answers.
        account: AccountId,
        /// The subject of the answer.
        reply: Box<[u8]>,
        /// Who it is.
        info: Box<ClientInfo>,
    },
    /// A subscriber of the sender is close to its `max_pending`.
    Pressure {
        /// The connection whose messages fill it.
        origin: ConnKey,
        /// The subscriber is beyond `max_pending` already.
        full: bool,
    },
}
