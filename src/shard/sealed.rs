//! Connections with TLS: what comes from their sockets is opened before the
//! core sees it, and what the core has for them is sealed before it is sent.

use super::core::{ConnKey, TlsFacts};
use super::task::ShardTask;
use super::transport::{Received, TlsListener, Transport};
use crate::net::{BufferId, Segment};
use crate::proto::CloseReason;
use crate::router::ConnId;
use crate::tls::HandshakeFirst;

/// Bytes of the plaintext buffer that are kept.
const PLAIN_KEPT: usize = 256 * 1024;

impl ShardTask {
    /// Connections begin with `tls` from now on.
    pub(super) fn set_tls(&mut self, tls: Option<TlsListener>) {
        self.seals |= tls.is_some();
        self.tls = tls;
    }

    /// Puts TLS between a new connection and its socket, if the port has it.
    pub(super) fn begin_transport(&mut self, key: ConnKey) {
        let Some(tls) = &self.tls else { return };
        let Some(socket) = self.sockets.get(key) else { return };
        socket.transport = Some(Box::new(Transport::new(tls, self.now)));
        self.handshakes.push_back((self.now.saturating_add(tls.timeout), key));
        if let HandshakeFirst::Within(wait) = tls.first {
            let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX / 4);
            self.greetings.push_back((self.now.saturating_add(wait), key));
        }
    }

    /// Bytes of a connection with TLS.
    #[cold]
    pub(super) fn receive_sealed(&mut self, key: ConnKey, buffer: BufferId) {
        let Some(socket) = self.sockets.get(key) else { return };
        let Some(transport) = &mut socket.transport else { return };
        if transport.failed.is_some() {
            return;
        }
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        let bytes = self.ring.buffer(buffer);
        match transport.handle_received(bytes, &mut plain) {
            Ok(Received::Clear) => {
                self.sealed.push(key);
                self.core.handle_received(key, bytes);
            }
            Ok(Received::Sealed { established, ended }) => {
                if established {
                    if let Some(session) = transport.session() {
                        let facts = TlsFacts {
                            version: session.version(),
                            cipher_suite: session.cipher_suite(),
                            peer: session.peer(),
                            chain: session.peer_chain(),
                            first: transport.is_first(),
                        };
                        self.core.handle_tls(key, facts);
                    }
                }
                if established || transport.has_outgoing() {
                    self.sealed.push(key);
                }
                let is_framed = socket.websocket.is_some();
                if is_framed {
                    self.receive_unsealed(key, &mut plain);
                } else if !plain.is_empty() {
                    self.core.handle_received(key, &plain);
                }
                if ended && !self.keep_end(key) {
                    self.core.handle_end(key, CloseReason::ClientClosed);
                }
            }
            Err(error) => {
                transport.failed = Some(error.to_string());
                self.sealed.push(key);
            }
        }
        plain.clear();
        plain.shrink_to(PLAIN_KEPT);
        self.plain = plain;
    }

    /// Whether the connection in `slot` is one that [`Self::flush_sealed`] sends for.
    pub(super) fn defer_sealed(&mut self, slot: ConnId) -> bool {
        let Some(socket) = self.sockets.at(slot) else { return false };
        if socket.websocket.is_some() {
            self.sealed.push(socket.key);
            return true;
        }
        match &socket.transport {
            Some(transport) if transport.seals() || !transport.may_send() => {
                self.sealed.push(socket.key);
                true
            }
            _ => false,
        }
    }

    /// Sends for connections with TLS: what waits sealed, and what their core has.
    pub(super) fn flush_sealed(&mut self) {
        let mut waiting = std::mem::take(&mut self.sealed);
        for key in waiting.drain(..) {
            let Some(socket) = self.sockets.get(key) else { continue };
            if socket.websocket.is_some() {
                self.flush_frames(key);
                continue;
            }
            let Some(transport) = &mut socket.transport else { continue };
            if socket.sending || socket.closing {
                // Its completion comes back here.
                continue;
            }
            if transport.may_send() && transport.failed.is_none() {
                if !transport.seals() {
                    // Greeted in clear, or the client went without.
                    self.send_in_clear(key.slot());
                    continue;
                }
                let mut chunks = std::mem::take(&mut self.chunks);
                let taken = self.core.take_flight(key.slot(), |segment| {
                    transport.seal(segment.as_slice());
                    chunks.push(segment);
                });
                transport.carries_flight |= taken.is_some();
                for chunk in chunks.drain(..) {
                    self.core.recycle(chunk);
                }
                self.chunks = chunks;
            }
            let Some(socket) = self.sockets.get(key) else { continue };
            let Some(transport) = &mut socket.transport else { continue };
            if transport.has_outgoing() {
                let mut flight = self.flights.pop().unwrap_or_default();
                flight.push(Segment::Owned(transport.take_outgoing()));
                socket.sending = true;
                self.ring.send(socket.fd(), key.to_u64(), flight);
            } else if let Some(error) = transport.failed.take() {
                self.end_handshake(key, &error);
            }
        }
        waiting.append(&mut self.sealed);
        self.sealed = waiting;
    }

    /// A send of a connection with TLS is over.
    pub(super) fn handle_sealed_sent(&mut self, key: ConnKey, delivered: bool) {
        let Some(socket) = self.sockets.get(key) else { return };
        let Some(transport) = &mut socket.transport else { return };
        if std::mem::take(&mut transport.carries_flight) {
            self.core.handle_sent(key, delivered);
        } else if !delivered {
            self.core.handle_end(key, CloseReason::WriteError);
        }
        self.sealed.push(key);
        self.release_if_idle(key);
    }

    pub(super) fn end_handshake(&mut self, key: ConnKey, error: &str) {
        self.core.report_tls_error(key, error);
        self.core.handle_end(key, CloseReason::TlsHandshakeFailure);
    }

    pub(super) fn run_transport_timers(&mut self) {
        while let Some(&(at, key)) = self.greetings.front() {
            if at > self.now {
                break;
            }
            self.greetings.pop_front();
            let Some(socket) = self.sockets.get(key) else { continue };
            let Some(transport) = &mut socket.transport else { continue };
            if transport.handle_wait_over(self.now) {
                self.sealed.push(key);
            }
        }
        while let Some(&(at, key)) = self.handshakes.front() {
            if at > self.now {
                break;
            }
            self.handshakes.pop_front();
            let Some(socket) = self.sockets.get(key) else { continue };
            let Some(transport) = &mut socket.transport else { continue };
            if transport.handle_deadline() {
                self.end_handshake(key, "tls handshake timeout");
            } else {
                self.sealed.push(key);
            }
        }
    }
}
