//! What travels in a control lane: items of the cores, and those of the shells.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::accept::Port;
use super::core::{AccountsChange, Control, Settings};
use super::transport::TlsListener;
use super::websocket::WebSocketListener;
use crate::proto::WireError;

/// One item of a control lane.
#[derive(Debug)]
pub(super) enum Message {
    /// For the receiver's core.
    Core(Control),
    /// Shard 0 hands a connection over.
    Adopt(Adopted),
    /// A connection that shard 0 had placed is gone (to shard 0).
    Released,
    /// A new version of the settings.
    Reload(Arc<Settings>),
    /// Accounts have changed.
    Accounts(Arc<AccountsChange>),
    /// Close so many connections: there may be fewer from now on.
    CloseSurplus(usize),
    /// TLS of connections from now on.
    Tls(Option<TlsListener>),
    /// The WebSocket port from now on.
    WebSocket(Option<Arc<WebSocketListener>>),
    /// Lame duck mode begins: tell the clients.
    LameDuck,
    /// Close the clients one by one over these nanoseconds.
    CloseOver(u64),
    /// The server ends: close everything and report.
    Stop,
    /// This shard has closed everything (to shard 0).
    Stopped,
}

/// A connection on its way to the shard that will own it.
#[derive(Debug)]
pub(super) struct Adopted {
    /// Where it came to.
    pub(super) port: Port,
    /// The socket.
    pub(super) socket: OwnedFd,
    /// Connection number.
    pub(super) cid: u64,
    /// Remote address, as INFO shows it.
    pub(super) host: Box<str>,
    /// There is no room for it: tell it so and close it.
    pub(super) refused: Option<WireError<'static>>,
}
