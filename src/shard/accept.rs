//! Accepting and placing connections: shard 0's work.
//!
//! There is one listener a port, without `SO_REUSEPORT`: with it a second broker on
//! the port would start without an error and take half of the connections.
//! Each connection is numbered, counted against `max_connections` and given to
//! the shard with the fewest. It stays there for its life.
//!
//! Bounds: `max_connections`; one more gets INFO, the error and its end. When
//! descriptors run out (`EMFILE`), accepting goes on after a pause of 10 ms
//! that doubles up to 1 s.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use super::message::{Adopted, Message};
use super::task::ShardTask;
use crate::host;
use crate::net::{socket, AcceptBackoff};
use crate::proto::WireError;

/// What clients connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// The port of clients.
    Clients,
    /// The port of clients over WebSocket.
    WebSocket,
}

/// The token of the first listener; connections have generation bits above the slot.
const LISTENER: u64 = 1 << 55;

impl Port {
    pub(super) const ALL: [Self; 2] = [Self::Clients, Self::WebSocket];

    /// The token of its listener.
    pub(super) fn token(self) -> u64 {
        match self {
            Self::Clients => LISTENER,
            Self::WebSocket => LISTENER + 1,
        }
    }

    /// The port whose listener has a token.
    pub(super) fn of_token(token: u64) -> Self {
        if token == Self::WebSocket.token() {
            Self::WebSocket
        } else {
            Self::Clients
        }
    }
}

/// One listener.
#[derive(Debug)]
struct Listener {
    port: Port,
    descriptor: OwnedFd,
    /// The ring accepts from it.
    armed: bool,
}

/// The listeners and where their connections live.
#[derive(Debug)]
pub(super) struct Acceptor {
    listeners: Vec<Listener>,
    next_cid: u64,
    placed: Vec<usize>,
    connections_max: usize,
    backoff: AcceptBackoff,
    /// When accepting goes on, in nanoseconds.
    pub(super) retry_at: Option<u64>,
    /// Connections accepted in the server's life.
    pub(super) accepted: u64,
    rate: Rate,
}

/// How many connections come in one second.
#[derive(Debug, Default)]
struct Rate {
    /// At most. `None`: any number.
    max: Option<u32>,
    /// When the second began, and how many came since.
    since: u64,
    came: u32,
}

impl Rate {
    /// Counts a connection that comes at `now`; whether it may.
    fn admits(&mut self, now: u64) -> bool {
        let Some(max) = self.max else { return true };
        if now.saturating_sub(self.since) >= 1_000_000_000 {
            (self.since, self.came) = (now, 0);
        }
        self.came = self.came.saturating_add(1);
        self.came <= max
    }
}

impl Acceptor {
    /// Places the connections of `listener` over `shards`.
    pub(super) fn new(listener: OwnedFd, shards: usize, connections_max: usize) -> Self {
        Self {
            listeners: vec![Listener { port: Port::Clients, descriptor: listener, armed: false }],
            next_cid: 1,
            placed: vec![0; shards],
            connections_max,
            backoff: AcceptBackoff::default(),
            retry_at: None,
            accepted: 0,
            rate: Rate::default(),
        }
    }

    /// Changes how many connections there may be. Answers with how many are too many, by shard:
    /// those with the most have to give first.
    pub(super) fn set_connections_max(&mut self, connections_max: usize) -> Vec<usize> {
        self.connections_max = connections_max;
        let mut left = self.placed.clone();
        let mut surplus = vec![0; left.len()];
        // Nobody at all is let in then, yet whoever is there stays: nats-server's way.
        let allowed = if connections_max == 0 { usize::MAX } else { connections_max };
        for _ in allowed..self.connections() {
            let fullest = left.iter().enumerate().max_by_key(|&(_, &count)| count);
            let Some((shard, _)) = fullest else { break };
            left[shard] -= 1;
            surplus[shard] += 1;
        }
        surplus
    }

    /// Accepts from a further listener.
    pub(super) fn listening(mut self, port: Port, listener: OwnedFd) -> Self {
        self.listeners.push(Listener { port, descriptor: listener, armed: false });
        self
    }

    /// The descriptor to accept from, until lame duck mode.
    pub(super) fn listener(&self, port: Port) -> Option<RawFd> {
        let mut listeners = self.listeners.iter();
        listeners.find(|listener| listener.port == port).map(|found| found.descriptor.as_raw_fd())
    }

    /// The descriptor to be given to the ring, unless it has it.
    pub(super) fn arm(&mut self, port: Port) -> Option<RawFd> {
        let mut listeners = self.listeners.iter_mut();
        let listener = listeners.find(|listener| listener.port == port && !listener.armed)?;
        listener.armed = true;
        Some(listener.descriptor.as_raw_fd())
    }

    /// The ring does not accept from a listener any more.
    pub(super) fn disarmed(&mut self, port: Port) {
        for listener in self.listeners.iter_mut().filter(|listener| listener.port == port) {
            listener.armed = false;
        }
    }

    /// Stops listening: new connections are refused by the kernel, at once, although the ring may
    /// hold a socket for a moment yet.
    pub(super) fn close(&mut self) {
        for listener in self.listeners.drain(..) {
            // One that does not listen any more is what is asked for.
            drop(socket::shutdown(listener.descriptor.as_fd()));
        }
        self.retry_at = None;
    }

    /// Changes how many connections may come in one second.
    pub(super) fn set_rate_max(&mut self, rate_max: Option<u32>) {
        self.rate.max = rate_max;
    }

    /// Places a socket that was accepted at `now`: the shard that gets it, and what it needs.
    pub(super) fn place(
        &mut self,
        port: Port,
        accepted: OwnedFd,
        now: u64,
    ) -> Option<(usize, Adopted)> {
        self.backoff.succeeded();
        // A peer that is gone already has no address; nothing is lost with it.
        let peer = socket::peer_addr(accepted.as_fd()).ok()?;
        socket::set_nodelay(accepted.as_fd()).ok()?;
        let refused = if self.connections() >= self.connections_max {
            Some(WireError::MaximumConnectionsExceeded)
        } else {
            (port == Port::Clients && !self.rate.admits(now))
                .then_some(WireError::ConnectionThrottling)
        };
        let lowest = self.placed.iter().enumerate().min_by_key(|&(_, &count)| count);
        let shard = lowest.map_or(0, |(shard, _)| shard);
        self.placed[shard] += 1;
        self.accepted += 1;
        let cid = self.next_cid;
        self.next_cid += 1;
        Some((shard, Adopted { port, socket: accepted, cid, host: text_of(peer), refused }))
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

impl ShardTask {
    pub(super) fn handle_accepted(&mut self, port: Port, result: Result<OwnedFd, i32>, more: bool) {
        let Some(acceptor) = &mut self.acceptor else { return };
        if !more {
            acceptor.disarmed(port);
        }
        match result {
            Ok(socket) => {
                if let Some((shard, adopted)) = acceptor.place(port, socket, self.now) {
                    if shard == self.endpoint.own() {
                        self.adopt(adopted);
                    } else {
                        self.endpoint.push_control(shard, Message::Adopt(adopted));
                    }
                }
                if !more {
                    self.arm_listener(port);
                }
            }
            Err(errno) => {
                if acceptor.listener(port).is_some() {
                    acceptor.failed(self.now);
                    let error = std::io::Error::from_raw_os_error(errno);
                    let words = host::go_error_text(&error);
                    self.control.log.error(format_args!("Temporary Client Accept Error ({words})"));
                }
                if more {
                    self.ring.cancel_accept(port.token());
                }
            }
        }
    }

    pub(super) fn arm_listeners(&mut self) {
        for port in Port::ALL {
            self.arm_listener(port);
        }
    }

    fn arm_listener(&mut self, port: Port) {
        let Some(acceptor) = &mut self.acceptor else { return };
        if let Some(listener) = acceptor.arm(port) {
            self.ring.accept(listener, port.token());
        }
    }

    /// Nobody is accepted any more.
    pub(super) fn close_listeners(&mut self) {
        let Some(acceptor) = &mut self.acceptor else { return };
        for port in Port::ALL {
            if acceptor.listener(port).is_some() {
                self.ring.cancel_accept(port.token());
            }
        }
        acceptor.close();
    }
}
