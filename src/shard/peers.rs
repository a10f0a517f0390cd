//! The ports of other servers, who are refused: Midge works alone as yet.
//!
//! A thread for each port, as it has nothing to do with shards. Each connection is told why it is
//! refused and closed at once; nothing is read, nothing is kept.

use std::fmt::{self, Display, Formatter};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use super::listen::listen_on;
use super::start::RunError;
use crate::config::{Options, PeerPort};
use crate::log::Log;

/// Which servers a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peers {
    /// Leaf nodes.
    Leaves,
    /// Other servers of the cluster.
    Routes,
}

impl Peers {
    /// As the log calls a connection.
    fn connection(self) -> &'static str {
        match self {
            Self::Leaves => "leafnode",
            Self::Routes => "route",
        }
    }
}

impl Display for Peers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leaves => "leaf nodes",
            Self::Routes => "routes",
        })
    }
}

/// The ports, bound.
#[derive(Debug, Default)]
pub(super) struct PeerPorts {
    listeners: Vec<(Peers, OwnedFd)>,
    /// For leaf nodes.
    pub(super) leaves: Option<SocketAddr>,
    /// For routes.
    pub(super) routes: Option<SocketAddr>,
}

impl PeerPorts {
    /// Binds what the options ask for.
    ///
    /// # Errors
    /// A port is taken, or the address none of this machine.
    pub(super) fn bind(options: &Options) -> Result<Self, RunError> {
        let mut ports = Self::default();
        ports.leaves = ports.bind_one(Peers::Leaves, &options.leafnodes)?;
        ports.routes = ports.bind_one(Peers::Routes, &options.cluster)?;
        Ok(ports)
    }

    fn bind_one(&mut self, peers: Peers, at: &PeerPort) -> Result<Option<SocketAddr>, RunError> {
        let Some((host, port)) = at.listen() else { return Ok(None) };
        let (listener, address) = listen_on(host, port).map_err(|(_, reason)| {
            let what = if peers == Peers::Leaves { "leafnode" } else { "router" };
            RunError::ListenForPeers { what, port: at.port, reason }
        })?;
        self.listeners.push((peers, listener));
        Ok(Some(address))
    }

    /// Refuses whoever connects, until the process ends.
    ///
    /// # Errors
    /// A thread could not be started.
    pub(super) fn refuse_all(self, log: &Log) -> std::io::Result<()> {
        for (peers, listener) in self.listeners {
            log.warning(format_args!(
                "Connections of {peers} are not supported yet: they are refused"
            ));
            let log = log.clone();
            let name = peers.connection().to_owned();
            let refuse = move || refuse(peers, &TcpListener::from(listener), &log);
            thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(refuse)?;
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, which may sleep")]
fn refuse(peers: Peers, listener: &TcpListener, log: &Log) {
    loop {
        let Ok((mut socket, peer)) = listener.accept() else {
            thread::sleep(PAUSE);
            continue;
        };
        // The first bytes of a connection fit in its buffer: this never waits. A peer that is gone
        // needs no answer.
        let told = write!(socket, "-ERR '{peers} are not supported yet'\r\n");
        drop(told);
        let connection = peers.connection();
        log.error(format_args!("{peer} - {connection} refused: {peers} are not supported yet"));
    }
}

const STACK_BYTES: usize = 128 * 1024;

/// After a connection that could not be accepted, as when descriptors run out.
const PAUSE: Duration = Duration::from_millis(100);
