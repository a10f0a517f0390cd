//! What the ring does with the sockets of a shard: it adopts them, receives, sends, and closes them
//! when nothing of theirs is under way.

use super::accept::Port;
use super::core::ConnKey;
use super::ending::Stage;
use super::message::{Adopted, Message};
use super::task::ShardTask;
use crate::net::Flight;
use crate::proto::CloseReason;
use crate::router::ConnId;

/// Flights kept for reuse.
const FLIGHTS_MAX: usize = 1024;

impl ShardTask {
    pub(super) fn adopt(&mut self, adopted: Adopted) {
        if self.core.directory().uses_tokens() {
            // Tokens are judged by the time of day, which may have been set meanwhile.
            self.set_wall_clock();
        }
        if adopted.port == Port::WebSocket {
            return self.adopt_websocket(adopted);
        }
        let Adopted { socket, cid, host, refused, .. } = adopted;
        let key = match refused {
            Some(error) => self.core.open_refused(cid, host, error),
            None => self.core.open(cid, host),
        };
        self.sockets.insert(key, socket);
        self.begin_transport(key);
        if matches!(self.stage, Stage::Stopping { .. }) {
            self.core.handle_end(key, CloseReason::ServerShutdown);
        }
        self.arm_receive(key);
    }

    pub(super) fn arm_receive(&mut self, key: ConnKey) {
        if let Some(socket) = self.sockets.get(key) {
            if !socket.receiving && socket.may_receive() {
                socket.receiving = true;
                socket.cancelling = false;
                self.ring.receive(socket.fd(), key.to_u64());
            }
        }
    }

    /// A multishot receive is over; it is armed again in the order of ending.
    pub(super) fn receive_ended(&mut self, key: ConnKey) {
        if let Some(socket) = self.sockets.get(key) {
            socket.receiving = false;
            self.starved.push(key);
        }
    }

    pub(super) fn change_receives(&mut self) {
        while let Some((key, wanted)) = self.core.take_receive_change() {
            let Some(socket) = self.sockets.get(key) else { continue };
            socket.wanted = wanted;
            if !wanted && socket.receiving && !socket.cancelling {
                socket.cancelling = true;
                self.ring.cancel_receive(key.to_u64());
            }
            self.starved.push(key);
            if self.seals && wanted {
                self.read_kept(key);
            }
        }
        self.choke();
        let mut starved = std::mem::take(&mut self.starved);
        for key in starved.drain(..) {
            self.arm_receive(key);
            self.release_if_idle(key);
        }
        self.starved = starved;
    }

    pub(super) fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        self.core.take_dirty(&mut dirty);
        for slot in dirty.drain(..) {
            if self.seals && self.defer_sealed(slot) {
                continue;
            }
            self.send_in_clear(slot);
        }
        self.dirty = dirty;
        if !self.sealed.is_empty() {
            self.flush_sealed();
        }
    }

    pub(super) fn send_in_clear(&mut self, slot: ConnId) {
        let mut flight = self.flights.pop().unwrap_or_default();
        let key = self.core.take_flight(slot, |segment| flight.push(segment));
        match key.and_then(|key| self.sockets.get(key)) {
            Some(socket) => {
                socket.sending = true;
                if let Some(transport) = &mut socket.transport {
                    transport.carries_flight = true;
                }
                self.ring.send(socket.fd(), socket.key.to_u64(), flight);
            }
            None => self.flights.push(flight),
        }
    }

    pub(super) fn handle_sent(
        &mut self,
        key: ConnKey,
        mut flight: Box<Flight>,
        result: Result<usize, i32>,
    ) {
        let delivered = match result {
            Ok(sent) => {
                flight.advance(sent);
                if !flight.is_done() {
                    if let Some(socket) = self.sockets.get(key).filter(|socket| !socket.closing) {
                        self.core.handle_sent_part(key);
                        self.ring.send(socket.fd(), key.to_u64(), flight);
                        return;
                    }
                }
                flight.is_done()
            }
            Err(libc::EINTR | libc::EAGAIN) => {
                if let Some(socket) = self.sockets.get(key).filter(|socket| !socket.closing) {
                    self.ring.send(socket.fd(), key.to_u64(), flight);
                    return;
                }
                false
            }
            Err(_) => false,
        };
        flight.drain(|segment| self.core.recycle(segment));
        if self.flights.len() < FLIGHTS_MAX {
            self.flights.push(flight);
        }
        if let Some(socket) = self.sockets.get(key) {
            socket.sending = false;
            if socket.websocket.is_some() {
                return self.handle_framed_sent(key, delivered);
            }
            if socket.transport.is_some() {
                return self.handle_sealed_sent(key, delivered);
            }
        }
        self.core.handle_sent(key, delivered);
        self.release_if_idle(key);
    }

    pub(super) fn close_sockets(&mut self) {
        while let Some(key) = self.core.take_closing() {
            if !self.seals || !self.leaves_later(key) {
                self.shut_socket(key);
            }
        }
    }

    /// Ends a connection towards its peer.
    pub(super) fn shut_socket(&mut self, key: ConnKey) {
        let Some(socket) = self.sockets.get(key) else { return };
        socket.shut_down();
        if socket.receiving && !socket.cancelling {
            socket.cancelling = true;
            self.ring.cancel_receive(key.to_u64());
        }
        self.release_if_idle(key);
    }

    pub(super) fn release_if_idle(&mut self, key: ConnKey) {
        let over = self.sockets.get(key).is_some_and(|socket| socket.closing && socket.is_idle());
        if !over {
            return;
        }
        self.sockets.remove(key);
        self.core.release(key);
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.released(self.endpoint.own());
        } else {
            self.endpoint.push_control(0, Message::Released);
        }
    }
}
