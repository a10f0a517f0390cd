//! What a ring reports.

use std::os::fd::OwnedFd;

use super::buffers::BufferId;
use super::flight::Flight;

/// Something happened to an operation. `more` says that a multishot operation goes on; without it
/// the caller queues the operation again if it still wants it.
#[derive(Debug)]
pub enum Completion {
    /// A connection, or the errno of failing to accept one. After `EMFILE`, `ENFILE`, `ENOMEM` or
    /// `ENOBUFS` the connection is still in the listener's backlog: retry with
    /// [`AcceptBackoff`](super::AcceptBackoff).
    Accepted {
        /// The listener's.
        token: u64,
        /// The socket, blocking and close-on-exec, or an errno.
        result: Result<OwnedFd, i32>,
        /// The accept goes on.
        more: bool,
    },
    /// Bytes arrived. The buffer is the caller's until [`Ring::release`](super::Ring::release).
    Received {
        /// The receive's.
        token: u64,
        /// Where the bytes are.
        buffer: BufferId,
        /// How many: at least one.
        len: usize,
        /// The receive goes on.
        more: bool,
    },
    /// A receive ended without bytes; it does not go on.
    Ended {
        /// The receive's.
        token: u64,
        /// Why.
        reason: End,
    },
    /// A send completed, perhaps partly. The flight is the caller's again.
    Sent {
        /// The send's.
        token: u64,
        /// As it was handed over: the caller advances it.
        flight: Box<Flight>,
        /// Bytes sent, or an errno.
        result: Result<usize, i32>,
    },
    /// A read completed.
    Read {
        /// The read's.
        token: u64,
        /// What was read, empty at the end of the file, or an errno.
        result: Result<Vec<u8>, i32>,
    },
    /// A write to a file completed.
    Written {
        /// The write's.
        token: u64,
        /// Bytes written, or an errno.
        result: Result<usize, i32>,
    },
    /// A cancellation was carried out; its operation's own last completion may come before or
    /// after.
    Cancelled {
        /// Of the operation that was to be cancelled.
        token: u64,
        /// Whether it was still there. If not, its last completion has been or will be reported.
        found: bool,
    },
    /// The deadline set with [`Ring::timeout`](super::Ring::timeout) has passed; it is withdrawn.
    Timeout,
}

/// Why a receive ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer closed its side.
    Closed,
    /// All receive buffers were in use. Nothing is lost: queue the receive again after buffers
    /// were released.
    NoBuffers,
    /// [`Ring::cancel_receive`](super::Ring::cancel_receive) ended it. Nothing is lost: what came
    /// before was reported, what comes later waits in the socket.
    Cancelled,
    /// The kernel gave up for a reason that is not the connection's (a signal, a short queue).
    /// Nothing is lost: queue the receive again.
    Interrupted,
    /// The connection failed with this errno.
    Failed(i32),
}

impl End {
    /// From the negated errno of a completion, 0 for the end of the stream.
    pub(super) fn from_result(result: i32) -> Self {
        match -result {
            0 => Self::Closed,
            libc::ENOBUFS => Self::NoBuffers,
            libc::ECANCELED => Self::Cancelled,
            libc::EINTR | libc::EAGAIN => Self::Interrupted,
            errno => Self::Failed(errno),
        }
    }
}
