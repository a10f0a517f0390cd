//! Connections over WebSocket: the upgrade of their HTTP request, what comes in
//! frames, and what goes out in them. Below may be TLS, from the first byte on.
//!
//! A connection is reserved in the core when it is accepted, and becomes a client
//! when its request is granted: until then it costs its request and is counted by
//! nobody but the listener.
//!
//! Bounds: a request ([`REQUEST_BYTES_MAX`](crate::websocket::REQUEST_BYTES_MAX))
//! and the time for it; a compressed message, packed and inflated
//! ([`WebSocketListener::inflated_bytes_max`]); what one turn inflates for one
//! connection ([`INFLATED_TURN`]), after which the rest of its input waits;
//! answers to pings ([`ANSWERS_BYTES_MAX`]), beyond which only the last is kept;
//! the time that a close frame may take ([`CLOSE_WAIT`]).

use std::collections::VecDeque;
use std::sync::Arc;

use super::core::{Arrival, ConnKey, Core};
use super::ending::Stage;
use super::message::Adopted;
use super::task::ShardTask;
use super::transport::{TlsListener, Transport};
use crate::client::CarriedCredentials;
use crate::log::Log;
use crate::net::{BufferId, Segment};
use crate::proto::{CloseReason, WireError};
use crate::websocket::{
    close_status, write_close, write_close_answer, write_pong, Deflater, FrameEvent, FrameReader,
    FrameWriter, InflateError, Inflater, Refusal, RequestPath, Upgrade, UpgradeRules,
    PROTOCOL_ERROR,
};

/// How connections of the WebSocket port begin, and what they may do.
#[derive(Debug)]
pub(super) struct WebSocketListener {
    /// TLS, if there is any.
    pub(super) tls: Option<TlsListener>,
    /// What a request must be.
    pub(super) rules: UpgradeRules,
    /// Nanoseconds that it may take.
    pub(super) upgrade_timeout: u64,
    /// Bytes of a compressed message, packed or not.
    pub(super) inflated_bytes_max: usize,
}

/// What the connections of one shard have in common.
#[derive(Debug, Default)]
pub(super) struct WebSockets {
    listener: Option<Arc<WebSocketListener>>,
    inflater: Option<Box<Inflater>>,
    deflater: Option<Box<Deflater>>,
    /// Connections with input that waits for another turn.
    behind: Vec<ConnKey>,
    /// Connections whose input that waits is much: they receive no more.
    choked: Vec<ConnKey>,
    /// Requests that must be whole, in the order they fall due.
    upgrades: VecDeque<(u64, ConnKey)>,
    /// Sockets that are shut down at the latest, in that order.
    endings: VecDeque<(u64, ConnKey)>,
}

/// What lies between one connection and its socket, or its TLS.
#[derive(Debug)]
pub(super) struct Frames {
    stage: FrameStage,
    listener: Arc<WebSocketListener>,
    /// `max_connections` is reached: it is told so once it is a client.
    refused: bool,
    /// To be sent before anything of the core: the answer to the request, to pings.
    outgoing: Vec<u8>,
    /// The answer to the last ping that found no room there.
    answer: Vec<u8>,
    /// To be sent when the core has nothing more: a close frame.
    farewell: Vec<u8>,
    /// Input that waits for another turn.
    kept: Vec<u8>,
    /// A compressed message so far.
    packed: Vec<u8>,
    /// Receiving has stopped because of what is kept.
    choked: bool,
    /// The peer's end of the stream lies behind what is kept.
    ended: bool,
    /// Nothing more is read.
    deaf: bool,
    /// The send under way has something of the core's.
    carries_flight: bool,
    /// The socket is shut down when everything is sent.
    leaving: bool,
}

#[derive(Debug)]
enum FrameStage {
    /// The request so far, if it came in pieces.
    Request(Vec<u8>),
    /// Frames, both ways.
    Open(FrameReader, FrameWriter),
}

/// Bytes that one turn inflates for one connection before the rest of its input waits.
const INFLATED_TURN: usize = 1 << 20;

/// Input kept before receiving is stopped.
const KEPT_MAX: usize = 64 * 1024;

/// Bytes of a compressed message before its sender has shown who it is.
const STRANGER_BYTES_MAX: usize = 8 * 1024;

/// Bytes of answers to pings that wait.
const ANSWERS_BYTES_MAX: usize = 4096;

/// Nanoseconds that a close frame, or an answer that refuses a request, may take to be sent.
const CLOSE_WAIT: u64 = 2_000_000_000;

impl ShardTask {
    /// Connections of the WebSocket port begin like this from now on.
    pub(super) fn set_websocket(&mut self, listener: Option<Arc<WebSocketListener>>) {
        self.seals |= listener.is_some();
        self.websockets.listener = listener;
    }

    /// Takes a connection of the WebSocket port.
    pub(super) fn adopt_websocket(&mut self, adopted: Adopted) {
        let Adopted { socket, cid, host, refused, .. } = adopted;
        let key = self.core.reserve(cid, host);
        self.sockets.insert(key, socket);
        let Some(listener) = self.websockets.listener.clone() else {
            return self.core.handle_end(key, CloseReason::ServerShutdown);
        };
        let Some(socket) = self.sockets.get(key) else { return };
        if let Some(tls) = &listener.tls {
            socket.transport = Some(Box::new(Transport::new(tls, self.now)));
            self.handshakes.push_back((self.now.saturating_add(tls.timeout), key));
        }
        let due = self.now.saturating_add(listener.upgrade_timeout);
        self.websockets.upgrades.push_back((due, key));
        socket.websocket = Some(Box::new(Frames::new(listener, refused.is_some())));
        if matches!(self.stage, Stage::Stopping { .. }) {
            self.core.handle_end(key, CloseReason::ServerShutdown);
        }
        self.arm_receive(key);
    }

    /// Bytes of a connection without TLS.
    pub(super) fn receive_framed(&mut self, key: ConnKey, buffer: BufferId) {
        let Some(socket) = self.sockets.get(key) else { return };
        let Some(frames) = &mut socket.websocket else { return };
        let bytes = self.ring.buffer_mut(buffer);
        let (core, shared, log) = (&mut self.core, &mut self.websockets, &self.control.log);
        Reading { key, core, shared, log }.take(frames, bytes);
        self.sealed.push(key);
    }

    /// Plaintext of a connection with TLS.
    pub(super) fn receive_unsealed(&mut self, key: ConnKey, bytes: &mut [u8]) {
        let Some(socket) = self.sockets.get(key) else { return };
        let Some(frames) = &mut socket.websocket else { return };
        let (core, shared, log) = (&mut self.core, &mut self.websockets, &self.control.log);
        Reading { key, core, shared, log }.take(frames, bytes);
        self.sealed.push(key);
    }

    /// The peer sends nothing more. Returns whether that waits for its turn; the core wants input
    /// until then.
    pub(super) fn keep_end(&mut self, key: ConnKey) -> bool {
        let Some(socket) = self.sockets.get(key) else { return false };
        let Some(frames) = &mut socket.websocket else { return false };
        frames.ended = !frames.kept.is_empty() && !frames.deaf;
        frames.ended
    }

    /// Whether input waits that can be read now.
    pub(super) fn is_behind(&self) -> bool {
        !self.websockets.behind.is_empty()
    }

    /// Reads on where the last turn has stopped.
    #[cold]
    pub(super) fn read_behind(&mut self) {
        for key in std::mem::take(&mut self.websockets.behind) {
            let Some(socket) = self.sockets.get(key) else { continue };
            if !socket.wanted && !socket.closing {
                // `change_receives` comes back to it.
                continue;
            }
            let Some(frames) = &mut socket.websocket else { continue };
            let mut kept = std::mem::take(&mut frames.kept);
            let (core, shared, log) = (&mut self.core, &mut self.websockets, &self.control.log);
            Reading { key, core, shared, log }.take(frames, &mut kept);
            self.sealed.push(key);
            if frames.kept.is_empty() {
                if std::mem::take(&mut frames.choked) {
                    self.starved.push(key);
                }
                if frames.ended {
                    self.core.handle_end(key, CloseReason::ClientClosed);
                }
            }
        }
    }

    /// Stops receiving for those whose input is not read fast enough; input of others that waited
    /// for the core is read again.
    pub(super) fn choke(&mut self) {
        for key in std::mem::take(&mut self.websockets.choked) {
            let Some(socket) = self.sockets.get(key) else { continue };
            if socket.receiving && !socket.cancelling {
                socket.cancelling = true;
                self.ring.cancel_receive(key.to_u64());
            }
        }
    }

    /// The core wants input of a connection again.
    pub(super) fn read_kept(&mut self, key: ConnKey) {
        let Some(socket) = self.sockets.get(key) else { return };
        if socket.websocket.as_ref().is_some_and(|frames| !frames.kept.is_empty()) {
            self.websockets.behind.push(key);
        }
    }

    /// Sends what waits for a connection, as one send.
    pub(super) fn flush_frames(&mut self, key: ConnKey) {
        let Some(socket) = self.sockets.get(key) else { return };
        if socket.sending || socket.closing {
            // Its completion comes back here.
            return;
        }
        let Some(frames) = &mut socket.websocket else { return };
        let mut flight = self.flights.pop().unwrap_or_default();
        let is_secure = {
            let tls = socket.transport.as_ref();
            tls.is_none_or(|tls| tls.may_send() && tls.failed.is_none())
        };
        if is_secure {
            let outgoing = frames.take_outgoing();
            if !outgoing.is_empty() {
                flight.push(Segment::Owned(outgoing));
            }
            if let FrameStage::Open(_, writer) = &frames.stage {
                let mut batch = std::mem::take(&mut self.chunks);
                let taken = self.core.take_flight(key.slot(), |segment| batch.push(segment));
                frames.carries_flight |= taken.is_some();
                let slot = &mut self.websockets.deflater;
                let chunk = || self.core.take_chunk();
                let load = |segment| flight.push(segment);
                writer.write(&mut batch, || slot.get_or_insert_default(), chunk, load);
                for segment in batch.drain(..) {
                    self.core.recycle(segment);
                }
                self.chunks = batch;
            }
            if frames.leaving && !frames.farewell.is_empty() {
                flight.push(Segment::Owned(std::mem::take(&mut frames.farewell)));
            }
        }
        let leaving = frames.leaving;
        let mut failed = None;
        if let Some(tls) = &mut socket.transport {
            flight.drain(|segment| {
                tls.seal(segment.as_slice());
                self.core.recycle(segment);
            });
            if tls.has_outgoing() {
                flight.push(Segment::Owned(tls.take_outgoing()));
            } else {
                failed = tls.failed.take();
            }
        }
        if !flight.is_done() {
            socket.sending = true;
            return self.ring.send(socket.fd(), key.to_u64(), flight);
        }
        flight.drain(drop);
        self.flights.push(flight);
        if let Some(error) = failed {
            self.end_handshake(key, &error);
        } else if leaving {
            self.shut_socket(key);
        }
    }

    /// A send of a connection is over.
    pub(super) fn handle_framed_sent(&mut self, key: ConnKey, delivered: bool) {
        let Some(socket) = self.sockets.get(key) else { return };
        let Some(frames) = &mut socket.websocket else { return };
        if !delivered {
            frames.give_up();
        }
        if std::mem::take(&mut frames.carries_flight) {
            self.core.handle_sent(key, delivered);
        } else if !delivered {
            self.core.handle_end(key, CloseReason::WriteError);
        }
        self.sealed.push(key);
        self.release_if_idle(key);
    }

    /// The core has closed a connection. Returns whether its socket is shut down later, when the
    /// peer has been told why.
    pub(super) fn leaves_later(&mut self, key: ConnKey) -> bool {
        let reason = self.core.closed_for(key);
        let Some(socket) = self.sockets.get(key) else { return false };
        let Some(frames) = &mut socket.websocket else { return false };
        if !frames.prepare_to_leave(reason, socket.sending) {
            return false;
        }
        self.websockets.endings.push_back((self.now.saturating_add(CLOSE_WAIT), key));
        self.flush_frames(key);
        true
    }

    /// The earliest moment at which something here is due.
    pub(super) fn next_websocket_deadline(&self) -> Option<u64> {
        let upgrade = self.websockets.upgrades.front().map(|&(at, _)| at);
        let ending = self.websockets.endings.front().map(|&(at, _)| at);
        [upgrade, ending].into_iter().flatten().min()
    }

    pub(super) fn run_websocket_timers(&mut self) {
        while let Some(&(at, key)) = self.websockets.upgrades.front() {
            if at > self.now {
                break;
            }
            self.websockets.upgrades.pop_front();
            let Some(socket) = self.sockets.get(key) else { continue };
            let Some(frames) = &mut socket.websocket else { continue };
            if matches!(frames.stage, FrameStage::Request(_)) && !frames.deaf {
                frames.deaf = true;
                self.core.handle_end(key, CloseReason::ReadError);
            }
        }
        while let Some(&(at, key)) = self.websockets.endings.front() {
            if at > self.now {
                break;
            }
            self.websockets.endings.pop_front();
            self.shut_socket(key);
        }
    }
}

impl Frames {
    fn new(listener: Arc<WebSocketListener>, refused: bool) -> Self {
        Self {
            stage: FrameStage::Request(Vec::new()),
            listener,
            refused,
            outgoing: Vec::new(),
            answer: Vec::new(),
            farewell: Vec::new(),
            kept: Vec::new(),
            packed: Vec::new(),
            choked: false,
            ended: false,
            deaf: false,
            carries_flight: false,
            leaving: false,
        }
    }

    /// Whether more may be received.
    pub(super) fn may_receive(&self) -> bool {
        !self.choked && !self.ended
    }

    fn take_outgoing(&mut self) -> Vec<u8> {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        outgoing.append(&mut self.answer);
        outgoing
    }

    fn answer_ping(&mut self, payload: &[u8]) {
        if self.outgoing.len() < ANSWERS_BYTES_MAX {
            write_pong(&mut self.outgoing, payload);
        } else {
            self.answer.clear();
            write_pong(&mut self.answer, payload);
        }
    }

    /// The core is done with the connection. Returns whether the socket has to wait for a send.
    fn prepare_to_leave(&mut self, reason: Option<CloseReason>, sending: bool) -> bool {
        self.deaf = true;
        self.kept = Vec::new();
        self.packed = Vec::new();
        let gives_up = match reason {
            Some(
                CloseReason::SlowConsumerPendingBytes
                | CloseReason::SlowConsumerWriteDeadline
                | CloseReason::WriteError
                | CloseReason::TlsHandshakeFailure,
            ) => true,
            Some(CloseReason::ReadError) => self.farewell.is_empty(),
            _ => false,
        };
        if gives_up {
            self.give_up();
            return false;
        }
        if let (FrameStage::Open(..), Some(reason), true) =
            (&self.stage, reason, self.farewell.is_empty())
        {
            write_close(&mut self.farewell, close_status(reason), reason.as_str());
        }
        self.leaving = true;
        sending || !self.outgoing.is_empty() || !self.farewell.is_empty()
    }

    /// Nothing can be sent any more.
    fn give_up(&mut self) {
        self.outgoing = Vec::new();
        self.answer = Vec::new();
        self.farewell = Vec::new();
    }
}

/// What reading the input of one connection needs.
struct Reading<'t> {
    key: ConnKey,
    core: &'t mut Core,
    shared: &'t mut WebSockets,
    log: &'t Log,
}

impl Reading<'_> {
    /// Takes what a connection sent.
    fn take(&mut self, frames: &mut Frames, bytes: &mut [u8]) {
        if frames.deaf {
            return;
        }
        if !frames.kept.is_empty() {
            return self.keep(frames, bytes);
        }
        match &mut frames.stage {
            FrameStage::Open(..) => self.read(frames, bytes),
            FrameStage::Request(request) => {
                let rules = &frames.listener.rules;
                let read = if request.is_empty() {
                    rules.read(bytes, &mut frames.outgoing)
                } else {
                    keep_tightly(request, bytes);
                    rules.read(request, &mut frames.outgoing)
                };
                match read {
                    Ok(Some(upgrade)) => self.upgrade(frames, upgrade),
                    Ok(None) if request.is_empty() => keep_tightly(request, bytes),
                    Ok(None) => {}
                    Err(refusal) => self.refuse(frames, &refusal),
                }
            }
        }
    }

    fn refuse(&mut self, frames: &mut Frames, refusal: &Refusal) {
        if !refusal.malformed {
            let from = self.core.host_of(self.key).replace('\0', ":");
            let text = &refusal.text;
            self.log.error(format_args!("{from} - websocket handshake error: {text}"));
        }
        refusal.write(&mut frames.outgoing);
        frames.deaf = true;
        self.core.handle_end(self.key, CloseReason::ProtocolViolation);
    }

    fn upgrade(&mut self, frames: &mut Frames, upgrade: Upgrade) {
        if upgrade.path == RequestPath::LeafNode {
            self.log.error(format_args!("Not configured to accept leaf node connections"));
            frames.deaf = true;
            return self.core.handle_end(self.key, CloseReason::ClientClosed);
        }
        let reader = FrameReader::new(upgrade.masked, upgrade.compression);
        let writer = FrameWriter {
            compression: upgrade.compression,
            small_frames: upgrade.is_browser,
            whole_if_compressed: upgrade.is_safari,
        };
        frames.stage = FrameStage::Open(reader, writer);
        let cookies = upgrade.cookies;
        let carried = (!cookies.is_empty()).then(|| {
            Box::new(CarriedCredentials {
                jwt: cookies.jwt,
                user: cookies.user,
                password: cookies.password,
                token: cookies.token,
            })
        });
        let forwarded_for = upgrade.forwarded_for.map(|ip| ip.to_string().into_boxed_str());
        self.core.arrive(self.key, Arrival { forwarded_for, carried });
        if frames.refused {
            self.core.turn_away(self.key, WireError::MaximumConnectionsExceeded);
        }
    }

    fn read(&mut self, frames: &mut Frames, bytes: &mut [u8]) {
        let mut rest = bytes;
        let mut inflated = 0;
        while !rest.is_empty() {
            let FrameStage::Open(reader, _) = &mut frames.stage else { return };
            let (event, more) = match reader.read(rest) {
                Ok(read) => read,
                Err(error) => return self.fail(frames, PROTOCOL_ERROR, &error.to_string()),
            };
            rest = more;
            match event {
                FrameEvent::Payload([]) | FrameEvent::Pong => {}
                FrameEvent::Payload(payload) => self.core.handle_received(self.key, payload),
                FrameEvent::Compressed { bytes, last } => {
                    match self.inflate(frames, bytes, last) {
                        Ok(bytes) => inflated += bytes,
                        Err(InflateError::TooLarge) => {
                            let text = InflateError::TooLarge.to_string();
                            return self.fail(frames, TOO_LARGE, &text);
                        }
                        Err(error) => return self.fail(frames, PROTOCOL_ERROR, &error.to_string()),
                    }
                    if inflated > INFLATED_TURN && !rest.is_empty() {
                        self.shared.behind.push(self.key);
                        return self.keep(frames, rest);
                    }
                }
                FrameEvent::Ping(payload) => frames.answer_ping(&payload),
                FrameEvent::Close(payload) => {
                    if let Err(error) = write_close_answer(&mut frames.farewell, &payload) {
                        return self.fail(frames, PROTOCOL_ERROR, &error.to_string());
                    }
                    frames.deaf = true;
                    return self.core.handle_end(self.key, CloseReason::ClientClosed);
                }
            }
        }
    }

    /// Takes a piece of a compressed message; returns the bytes inflated if it was the last.
    fn inflate(
        &mut self,
        frames: &mut Frames,
        bytes: &[u8],
        last: bool,
    ) -> Result<usize, InflateError> {
        let mut max = frames.listener.inflated_bytes_max;
        if !self.core.is_authenticated(self.key) {
            max = max.min(STRANGER_BYTES_MAX);
        }
        if frames.packed.len() + bytes.len() > max {
            return Err(InflateError::TooLarge);
        }
        if !last {
            frames.packed.extend_from_slice(bytes);
            return Ok(0);
        }
        let packed = std::mem::take(&mut frames.packed);
        let whole = if packed.is_empty() { bytes } else { &[&packed, bytes].concat() };
        let inflater = self.shared.inflater.get_or_insert_default();
        let (core, key) = (&mut *self.core, self.key);
        inflater.inflate(whole, frames.listener.inflated_bytes_max, |piece| {
            core.handle_received(key, piece);
            core.is_open(key)
        })
    }

    /// Keeps input for another turn.
    fn keep(&mut self, frames: &mut Frames, bytes: &[u8]) {
        frames.kept.extend_from_slice(bytes);
        if frames.kept.len() > KEPT_MAX && !frames.choked {
            frames.choked = true;
            self.shared.choked.push(self.key);
        }
    }

    /// The peer does not keep to the rules of frames.
    fn fail(&mut self, frames: &mut Frames, status: u16, text: &str) {
        frames.deaf = true;
        write_close(&mut frames.farewell, status, text);
        self.core.report_read_error(self.key, text);
        self.core.handle_end(self.key, CloseReason::ReadError);
    }
}

/// Appends without room to spare: whose these bytes are is not known yet.
fn keep_tightly(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.reserve_exact(bytes.len());
    kept.extend_from_slice(bytes);
}

/// The status of a message that is larger than allowed.
const TOO_LARGE: u16 = 1009;
