//! The descriptors of one shard and what the ring does with each.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use super::core::ConnKey;
use super::transport::Transport;
use super::websocket::Frames;
use crate::net::socket;
use crate::router::ConnId;

/// One connection's socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) key: ConnKey,
    descriptor: OwnedFd,
    /// A multishot receive is armed.
    pub(super) receiving: bool,
    /// Its cancellation was asked for.
    pub(super) cancelling: bool,
    /// Receiving is wanted.
    pub(super) wanted: bool,
    /// A send is under way.
    pub(super) sending: bool,
    /// What lies between; nothing for most.
    pub(super) transport: Option<Box<Transport>>,
    /// Its frames, if it is a WebSocket.
    pub(super) websocket: Option<Box<Frames>>,
    /// The connection is over; the descriptor is closed when nothing is under way.
    pub(super) closing: bool,
}

impl Socket {
    /// The descriptor.
    pub(super) fn fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Ends the connection towards the peer; operations under way complete.
    pub(super) fn shut_down(&mut self) {
        if !self.closing {
            self.closing = true;
            // A peer that is gone already is what is wanted.
            drop(socket::shutdown(self.descriptor.as_fd()));
        }
    }

    /// Whether more may be received.
    pub(super) fn may_receive(&self) -> bool {
        self.wanted
            && !self.closing
            && self.websocket.as_ref().is_none_or(|frames| frames.may_receive())
    }

    /// Whether the descriptor may be closed.
    pub(super) fn is_idle(&self) -> bool {
        !self.receiving && !self.sending
    }
}

/// The sockets of one shard, by the slot of their connection.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    slots: Vec<Option<Socket>>,
}

impl Sockets {
    /// Adds the socket of a new connection.
    pub(super) fn insert(&mut self, key: ConnKey, descriptor: OwnedFd) -> RawFd {
        let index = key.slot().0 as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        let fd = descriptor.as_raw_fd();
        self.slots[index] = Some(Socket {
            key,
            descriptor,
            receiving: false,
            cancelling: false,
            wanted: true,
            sending: false,
            transport: None,
            websocket: None,
            closing: false,
        });
        fd
    }

    /// The socket of a connection.
    #[inline]
    pub(super) fn get(&mut self, key: ConnKey) -> Option<&mut Socket> {
        let slot = self.slots.get_mut(key.slot().0 as usize)?;
        slot.as_mut().filter(|socket| socket.key == key)
    }

    /// The socket in a slot.
    pub(super) fn at(&mut self, slot: ConnId) -> Option<&mut Socket> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }

    /// Closes a socket.
    pub(super) fn remove(&mut self, key: ConnKey) {
        if self.get(key).is_some() {
            self.slots[key.slot().0 as usize] = None;
        }
    }
}
