//! The listeners of a server, and where they are.

use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::announce::host_and_port;
use super::start::RunError;
use crate::config::Options;
use crate::host;
use crate::net::socket;

/// Connections that may wait in the listener's backlog.
const BACKLOG: u32 = 4096;

/// Nanoseconds that the start waits for a port to become free.
const PORT_WAIT: u64 = 1_000_000_000;

/// Where a server's ports are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    /// For clients.
    pub(super) clients: SocketAddr,
    /// For clients over WebSocket.
    pub(super) websocket: Option<SocketAddr>,
    /// For routes.
    pub(super) routes: Option<SocketAddr>,
    /// For leaf nodes.
    pub(super) leaves: Option<SocketAddr>,
}

pub(super) fn listen(options: &Options) -> Result<(OwnedFd, SocketAddr), RunError> {
    let host = options.host.trim_matches(|c| c == '[' || c == ']');
    listen_on(host, options.bind_port())
        .map_err(|(address, reason)| RunError::Listen { address, reason })
}

pub(super) fn listen_for_websockets(
    options: &Options,
) -> Result<Option<(OwnedFd, SocketAddr)>, RunError> {
    let Some((host, port)) = options.websocket.listen() else { return Ok(None) };
    listen_on(host, port).map(Some).map_err(|(_, reason)| RunError::ListenForWebSockets(reason))
}

/// A listener and where it is; else where it should be, and why it is not.
pub(super) fn listen_on(host: &str, port: u16) -> Result<(OwnedFd, SocketAddr), (String, String)> {
    let shown = host_and_port(host, port);
    let refuse = |error: std::io::Error| {
        let reason = format!("listen tcp {shown}: bind: {}", host::go_error_text(&error));
        (shown.clone(), reason)
    };
    let address = (host, port)
        .to_socket_addrs()
        .map_err(refuse)?
        .next()
        .ok_or_else(|| refuse(std::io::Error::from(std::io::ErrorKind::AddrNotAvailable)))?;
    let listener = listen_patiently(address).map_err(refuse)?;
    let bound = socket::local_addr(listener.as_fd()).map_err(refuse)?;
    Ok((listener, bound))
}

/// The port of a broker that was killed a moment ago stays taken until the
/// kernel has torn its ring down, which it does after the process is gone.
#[expect(clippy::disallowed_methods, reason = "at the start, on the main thread")]
fn listen_patiently(address: SocketAddr) -> std::io::Result<OwnedFd> {
    let limit = host::monotonic_ns() + PORT_WAIT;
    loop {
        match socket::listen(address, BACKLOG) {
            Err(error)
                if error.kind() == std::io::ErrorKind::AddrInUse
                    && host::monotonic_ns() < limit =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}
