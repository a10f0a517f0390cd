//! What carries the protocol between us and a server: TCP as it is, TLS, or WebSocket frames.
//!
//! All of them behave as a non-blocking socket: a read or write that can do nothing says
//! `WouldBlock`. TLS and WebSocket keep one piece of output that the socket did not take yet; no
//! more is accepted before that is gone.

mod tls;
mod websocket;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

pub use tls::trusting;
use tls::Tls;
use websocket::WebSocket;

/// Over what a server is reached.
#[derive(Clone, Debug, Default)]
pub enum Carrier {
    /// TCP as it is.
    #[default]
    Plain,
    /// TLS, begun after the server's INFO.
    Tls(Arc<ClientConfig>),
    /// WebSocket without TLS, on a port of its own.
    WebSocket(u16),
}

/// An open connection.
pub enum Link {
    /// TCP as it is.
    Plain(TcpStream),
    /// TLS over it.
    Tls(Box<Tls>),
    /// WebSocket frames over it.
    WebSocket(Box<WebSocket>),
}

impl Link {
    /// Connects; for WebSocket, asks for it too.
    pub fn open(address: SocketAddr, carrier: &Carrier, timeout: Duration) -> io::Result<Self> {
        let port = match carrier {
            Carrier::WebSocket(port) => *port,
            Carrier::Plain | Carrier::Tls(_) => address.port(),
        };
        let socket = TcpStream::connect_timeout(&(address.ip(), port).into(), timeout)?;
        socket.set_read_timeout(Some(timeout))?;
        socket.set_write_timeout(Some(timeout))?;
        Ok(match carrier {
            Carrier::WebSocket(_) => {
                socket.set_nodelay(true)?;
                Self::WebSocket(Box::new(WebSocket::open(socket)?))
            }
            Carrier::Plain | Carrier::Tls(_) => Self::Plain(socket),
        })
    }

    /// After INFO was read: begins TLS, if that is wanted. Blocks until it is agreed on.
    pub fn secure(&mut self, carrier: &Carrier) -> io::Result<()> {
        if let (Self::Plain(socket), Carrier::Tls(config)) = (&mut *self, carrier) {
            *self = Self::Tls(Box::new(Tls::open(socket.try_clone()?, config)?));
        }
        Ok(())
    }

    /// The socket beneath.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.socket(),
            Self::WebSocket(websocket) => websocket.socket(),
        }
    }

    /// Whether a read or write that was cut short says that the socket has no more. If not, only
    /// `WouldBlock` says so.
    pub fn ends_short(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Whether the socket has not taken all that was accepted; each read and write tries again.
    pub fn holds_output(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.holds_output(),
            Self::WebSocket(websocket) => websocket.holds_output(),
        }
    }

    /// As [`Read::read`].
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(tls) => tls.read(into),
            Self::WebSocket(websocket) => websocket.read(into),
        }
    }

    /// As [`Write::write`].
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
            Self::WebSocket(websocket) => websocket.write(bytes),
        }
    }

    /// As [`Write::write_all`], for a socket that blocks.
    pub fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self.write(bytes)?;
            bytes = &bytes[count..];
        }
        Ok(())
    }
}

/// A flush that has to wait is none that failed.
fn unless_blocked(flushed: io::Result<()>) -> io::Result<()> {
    match flushed {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}

/// Bytes read from a socket at once, beneath TLS or WebSocket.
const READ_BYTES: usize = 128 * 1024;

/// Bytes taken into one piece of output.
const PIECE_BYTES: usize = 64 * 1024;
