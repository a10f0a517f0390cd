//! Accepting and placing connections: shard 0's work.
//!
//! There is one listener, without `SO_REUSEPORT`: with it a second broker on
//! the port would start without an error and take half of the connections.
//! Each connection is numbered, counted against `max_connections` and given to
//! the shard with the fewest. It stays there for its life.
//!
//! Bounds: `max_connections`; one more gets INFO, the error and its end. When
//! descriptors run out (`EMFILE`), accepting goes on after a pause of 10 ms
//! that doubles up to 1 s.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use super::message::Adopted;
use crate::net::{socket, AcceptBackoff};

/// The listener and where its connections live.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: Option<OwnedFd>,
    next_cid: u64,
    placed: Vec<usize>,
    connections_max: usize,
    backoff: AcceptBackoff,
    /// When accepting goes on, in nanoseconds.
    pub(super) retry_at: Option<u64>,
    /// Connections accepted in the server's life.
    pub(super) accepted: u64,
}

impl Acceptor {
    /// Places the connections of `listener` over `shards`.
    pub(super) fn new(listener: OwnedFd, shards: usize, connections_max: usize) -> Self {
        Self {
            listener: Some(listener),
            next_cid: 1,
            placed: vec![0; shards],
            connections_max,
            backoff: AcceptBackoff::default(),
            retry_at: None,
            accepted: 0,
        }
    }

    /// Changes how many connections there may be; those that are there stay.
    pub(super) fn set_connections_max(&mut self, connections_max: usize) {
        self.connections_max = connections_max;
    }

    /// The descriptor to accept from, until lame duck mode.
    pub(super) fn listener(&self) -> Option<RawFd> {
        self.listener.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Stops listening: new connections are refused by the kernel.
    pub(super) fn close(&mut self) {
        self.listener = None;
        self.retry_at = None;
    }

    /// Places an accepted socket: the shard that gets it, and what it needs.
    pub(super) fn place(&mut self, accepted: OwnedFd) -> Option<(usize, Adopted)> {
        self.backoff.succeeded();
        // A peer that is gone already has no address; nothing is lost with it.
        let peer = socket::peer_addr(accepted.as_fd()).ok()?;
        socket::set_nodelay(accepted.as_fd()).ok()?;
        let refused = self.connections() >= self.connections_max;
        let lowest = self.placed.iter().enumerate().min_by_key(|&(_, &count)| count);
        let shard = lowest.map_or(0, |(shard, _)| shard);
        self.placed[shard] += 1;
        self.accepted += 1;
        let cid = self.next_cid;
        self.next_cid += 1;
        Some((shard, Adopted { socket: accepted, cid, host: text_of(peer), refused }))
    }

    /// A connection of `shard` is gone.
    pub(super) fn released(&mut self, shard: usize) {
        self.placed[shard] = self.placed[shard].saturating_sub(1);
    }

    /// Accepting failed at `now`: when to go on.
    pub(super) fn failed(&mut self, now: u64) {
        let pause = u64::try_from(self.backoff.failed().as_nanos()).unwrap_or(0);
        self.retry_at = Some(now + pause);
    }

    /// Connections that live on any shard.
    pub(super) fn connections(&self) -> usize {
        self.placed.iter().sum()
    }
}

/// The address as INFO shows it, then a NUL, then the port: one allocation
/// serves both INFO and monitoring.
fn text_of(peer: SocketAddr) -> Box<str> {
    let ip = peer.ip().to_canonical();
    format!("{ip}\0{}", peer.port()).into_boxed_str()
}
