//! The turn loop: the one task that owns a shard.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::Arc;

use super::accept::{Acceptor, Port};
use super::core::{Batch, ConnKey, Core};
use super::ending::Stage;
use super::events;
use super::jetstream::JetStream;
use super::memory::Memory;
use super::message::Message;
use super::passwords::Passwords;
use super::reload::{Request, Version};
use super::sockets::Sockets;
use super::start::DATA_LANE_BATCHES;
use super::transport::TlsListener;
use super::websocket::{WebSocketListener, WebSockets};
use crate::host;
use crate::log::Log;
use crate::mesh::Endpoint;
use crate::monitor::{Histogram, Mailbox, ServerCard, SlowConsumers, SystemLine};
use crate::net::{Completion, End, Flight, Ring, RingError, Segment};
use crate::proto::CloseReason;
use crate::router::{ConnId, ShardId};

/// Completions that one turn takes.
const COMPLETIONS_MAX: usize = 256;

/// Bytes written for subscribers after which a turn goes on to its sends: half
/// of what a core's second-level cache holds. Measured with one publisher and
/// 16 subscribers: 49 instead of 56 ns a delivery.
const OUTPUT_MAX: u64 = 256 * 1024;

/// Batches that one turn takes from one lane: all that a lane can hold, as the
/// routed counter that was read before may stand behind any of them.
const BATCHES_MAX: usize = DATA_LANE_BATCHES;

/// Looks of an idle shard for work between two glances at the clock.
const SPIN_LOOKS: u32 = 16;
/// Moments up to this are short: one part in [`SPIN_SHARE`] of the time at most.
const SPIN_SHORT: u64 = 20_000;
const SPIN_SHARE: u64 = 5;
/// What may be saved up of that.
const SPIN_CREDIT_MAX: u64 = 10 * SPIN_SHORT;

/// What all shards and the signal thread share.
pub(super) struct Control {
    /// A bit for each signal that came and is not handled yet.
    pub(super) signals: AtomicU32,
    /// `max_pending` and `write_deadline` as log lines show them.
    pub(super) max_pending: usize,
    pub(super) write_deadline: String,
    pub(super) lame_duck_grace: u64,
    pub(super) lame_duck_duration: u64,
    /// Nanoseconds that an idle shard looks for work before it sleeps, if the last gap was no
    /// longer than this. 0: never.
    pub(super) busy_poll: u64,
    /// What each shard may hold.
    pub(super) memory: Memory,
    /// TLS of the client port, if there is any.
    pub(super) tls: Option<TlsListener>,
    /// The WebSocket port, if there is one.
    pub(super) websocket: Option<Arc<WebSocketListener>>,
    pub(super) log: Log,
}

impl Control {
    /// Notes a signal for shard 0.
    pub(super) fn raise(&self, signal: i32) {
        self.signals.fetch_or(1 << signal.clamp(0, 31), Ordering::Release);
    }
}

/// One shard: its core, its ring, its end of the lanes.
pub(super) struct ShardTask {
    pub(super) core: Core,
    pub(super) ring: Ring,
    pub(super) endpoint: Endpoint<Message, Batch>,
    pub(super) sockets: Sockets,
    pub(super) acceptor: Option<Acceptor>,
    pub(super) control: Arc<Control>,
    pub(super) passwords: Passwords,
    /// Versions of the settings and of accounts. Shard 0 only.
    pub(super) versions: Option<Receiver<Version>>,
    /// Who finds accounts.
    pub(super) requests: Option<Sender<Request>>,
    pub(super) stage: Stage,
    /// Shards that have stopped, counted by shard 0.
    pub(super) stopped: usize,
    /// Reaped and not handled yet, in order.
    pub(super) completions: VecDeque<Completion>,
    pub(super) reaped: Vec<Completion>,
    pub(super) dirty: Vec<ConnId>,
    #[expect(clippy::vec_box, reason = "a flight keeps its address from pool to kernel and back")]
    pub(super) flights: Vec<Box<Flight>>,
    /// TLS of the client port, if there is any.
    pub(super) tls: Option<TlsListener>,
    /// There is or was TLS: some connections may have a transport.
    pub(super) seals: bool,
    /// Plaintext of the receive at hand.
    pub(super) plain: Vec<u8>,
    /// Pieces of the flight that is being sealed.
    pub(super) chunks: Vec<Segment>,
    /// Connections with ciphertext to be sent, or with something that waits for their handshake.
    pub(super) sealed: Vec<ConnKey>,
    /// Handshakes that must be done, and greetings that wait, in the order they fall due.
    pub(super) handshakes: VecDeque<(u64, ConnKey)>,
    pub(super) greetings: VecDeque<(u64, ConnKey)>,
    /// What connections over WebSocket have in common.
    pub(super) websockets: WebSockets,
    /// Connections whose receive ended for want of buffers, to be re-armed in turn.
    pub(super) starved: Vec<ConnKey>,
    pub(super) now: u64,
    /// Nanoseconds of the last idle moment.
    pub(super) last_gap: u64,
    /// Nanoseconds that it may be awake without work, and when they were counted.
    spin_credit: u64,
    spin_counted: u64,
    /// Why the ring can no longer be used.
    pub(super) failure: Option<std::io::Error>,
    pub(super) mailbox: Mailbox,
    /// What happens is told and asked through this.
    pub(super) line: Option<SystemLine>,
    /// Who the server is, for the shard that says that it ends.
    pub(super) card: Option<ServerCard>,
    /// JetStream, on the shard that has it.
    pub(super) jetstream: Option<Box<JetStream>>,
    /// How long turns took, in nanoseconds: those that followed another without sleep, by the
    /// clock that a turn reads anyway.
    pub(super) turn_times: Histogram,
    /// Whether the last turn was followed by this one without a pause.
    pub(super) is_busy: bool,
    /// Who was too slow.
    pub(super) slow: SlowConsumers,
}

impl ShardTask {
    /// Makes the ring and arms what shard 0 listens to.
    pub(super) fn new(
        core: Core,
        endpoint: Endpoint<Message, Batch>,
        acceptor: Option<Acceptor>,
        control: Arc<Control>,
        passwords: Passwords,
    ) -> Result<Self, RingError> {
        let (mut core, mut endpoint) = (core, endpoint);
        let mut ring = Ring::new(&control.memory.ring()).inspect_err(|_| {
            stop_peers(&core, &mut endpoint);
        })?;
        core.keep_spare_chunks(control.memory.spare_chunks);
        ring.arm_wake();
        if let Err(error) = endpoint.set_wake_fd(ring.event_fd()) {
            control.log.error(format_args!("a shard cannot be woken by its peers: {error}"));
        }
        let tls = control.tls.clone();
        let mut task = Self {
            core,
            ring,
            endpoint,
            sockets: Sockets::default(),
            acceptor,
            control,
            passwords,
            versions: None,
            requests: None,
            stage: Stage::Serving,
            stopped: 0,
            completions: VecDeque::with_capacity(COMPLETIONS_MAX),
            reaped: Vec::with_capacity(COMPLETIONS_MAX),
            dirty: Vec::new(),
            flights: Vec::new(),
            seals: tls.is_some(),
            tls,
            plain: Vec::new(),
            chunks: Vec::new(),
            sealed: Vec::new(),
            handshakes: VecDeque::new(),
            greetings: VecDeque::new(),
            websockets: WebSockets::default(),
            starved: Vec::new(),
            now: host::monotonic_ns(),
            last_gap: u64::MAX,
            spin_credit: 0,
            spin_counted: 0,
            failure: None,
            mailbox: Mailbox::silent(),
            line: None,
            card: None,
            jetstream: None,
            turn_times: Histogram::default(),
            is_busy: false,
            slow: SlowConsumers::default(),
        };
        task.set_websocket(task.control.websocket.clone());
        task.arm_listeners();
        Ok(task)
    }

    /// Shard 0 takes versions of the settings from here.
    pub(super) fn reloading(mut self, versions: Option<Receiver<Version>>) -> Self {
        self.versions = versions;
        self
    }

    /// The shard asks here for accounts that it does not know.
    pub(super) fn resolving(mut self, requests: Sender<Request>) -> Self {
        self.requests = Some(requests);
        self
    }

    /// The shard answers what is asked through `mailbox`, and tells through `line` what happens.
    pub(super) fn answering(mut self, mailbox: Mailbox, line: SystemLine) -> Self {
        self.mailbox = mailbox;
        self.line = Some(line);
        self
    }

    /// The shard says in the system account that the server with this card ends.
    pub(super) fn announcing(mut self, card: Option<ServerCard>) -> Self {
        self.card = card;
        self
    }

    /// The same shard with JetStream.
    pub(super) fn storing(mut self, jetstream: Option<JetStream>) -> Self {
        self.jetstream = jetstream.map(Box::new);
        self
    }

    /// Turns until the server ends. The shard never gives way: it is the only
    /// task of its executor and sleeps in its own ring.
    ///
    /// # Errors
    /// The ring failed: the other shards were told to stop.
    pub(super) fn run(mut self) -> std::io::Result<()> {
        if self.acceptor.is_some() && self.endpoint.shards() > 1 {
            // The peers learn what this shard listens to before they get their first connection:
            // one that is accepted in the first turn is sent to them before that turn's control.
            self.core.finish();
            self.push_lanes();
        }
        loop {
            let progress = self.turn();
            if self.stage == Stage::Stopped {
                return self.failure.map_or(Ok(()), Err);
            }
            self.is_busy = progress || self.has_work();
            if self.is_busy {
                continue;
            }
            let idle_since = self.now;
            if !self.spin() {
                self.sleep();
            }
            self.last_gap = host::monotonic_ns().saturating_sub(idle_since);
        }
    }

    /// Looks at ring and lanes for a moment before sleeping, if the last idle
    /// moment was no longer than that. By default the moment is what going to
    /// sleep and waking costs; moments no longer than that are kept to a fifth of
    /// the time, so that a steady trickle does not take twice the processor time
    /// it needs, and the processor from whoever else has work. Returns whether
    /// something came.
    fn spin(&mut self) -> bool {
        let busy_poll = self.control.busy_poll;
        if self.last_gap > busy_poll || busy_poll == 0 {
            return false;
        }
        let begun = host::monotonic_ns();
        let is_short = busy_poll <= SPIN_SHORT;
        if is_short {
            let earned = begun.saturating_sub(self.spin_counted) / SPIN_SHARE;
            self.spin_credit = (self.spin_credit + earned).min(SPIN_CREDIT_MAX);
            self.spin_counted = begun;
            if self.spin_credit < busy_poll {
                return false;
            }
        }
        // A long moment must not run past a deadline, which `sleep` then finds due.
        let deadline = self.next_deadline().unwrap_or(u64::MAX);
        let until = deadline.min(self.now + busy_poll);
        let awaits_routed = self.core.awaits_routed();
        loop {
            let found = (0..SPIN_LOOKS).any(|_| {
                std::hint::spin_loop();
                self.ring.has_work()
                    || self.endpoint.inbound_waiting()
                    || awaits_routed && self.routed_moved()
            });
            let now = host::monotonic_ns();
            if found || now >= until {
                self.spin_credit = self.spin_credit.saturating_sub(now.saturating_sub(begun));
                return found;
            }
        }
    }

    fn has_work(&self) -> bool {
        !self.completions.is_empty()
            || self.core.has_work()
            || self.is_behind()
            || self.ring.has_work()
            || self.jetstream.as_ref().is_some_and(|jetstream| jetstream.has_work(&self.core))
    }

    fn routed_moved(&self) -> bool {
        let mut peers = self.core.peers();
        peers.any(|peer| self.endpoint.routed(usize::from(peer.0)) != self.core.routed_known(peer))
    }

    /// Sleeps until a completion, a lane or the next deadline.
    fn sleep(&mut self) {
        self.ring.timeout(self.next_deadline());
        let is_leaving = matches!(self.stage, Stage::Leaving { .. });
        if !self.endpoint.begin_park(self.core.awaits_routed() || is_leaving) {
            return;
        }
        if let Err(error) = self.ring.wait() {
            self.fail(error);
        }
        self.endpoint.end_park();
    }

    /// One turn; returns whether anything happened.
    fn turn(&mut self) -> bool {
        if self.failure.is_some() {
            return false;
        }
        if let Err(error) = self.ring.enter() {
            self.fail(error);
            return false;
        }
        let mut completions = std::mem::take(&mut self.completions);
        let mut progress = !completions.is_empty();
        if !progress {
            let mut reaped = std::mem::take(&mut self.reaped);
            progress = self.ring.reap(&mut reaped, COMPLETIONS_MAX) > 0;
            completions.extend(reaped.drain(..));
            self.reaped = reaped;
        }
        let last = std::mem::replace(&mut self.now, host::monotonic_ns());
        if self.is_busy {
            self.turn_times.record(self.now - last);
        }
        self.endpoint.turn();
        self.core.begin_turn(self.now);
        if self.endpoint.shards() > 1 {
            progress |= self.take_lanes();
        }
        self.core.route();
        let output = self.core.output_bytes();
        while let Some(completion) = completions.pop_front() {
            self.handle_completion(completion);
            // The rest waits for the next turn: what was written for a wide
            // fan-out is sent while it still is in the core's cache.
            if self.core.output_bytes() - output > OUTPUT_MAX {
                break;
            }
        }
        self.completions = completions;
        if self.is_behind() {
            self.read_behind();
        }
        self.passwords.take_answers(&mut self.core);
        self.core.resume_parsing();
        self.passwords.take_jobs(&mut self.core);
        while let Some(account) = self.core.take_resolution() {
            self.resolve(account);
        }
        self.core.run_timers();
        self.run_own_timers();
        while let Some(inquiry) = self.mailbox.take() {
            self.answer(&inquiry);
        }
        if let Some(jetstream) = &mut self.jetstream {
            progress |= jetstream.turn(&mut self.core, &mut self.ring, self.now);
        }
        self.core.tell_latency();
        if self.core.has_unresolved_traces() {
            let jetstream = self.jetstream.as_ref();
            self.core.resolve_traces(|token, subject| jetstream?.stored_as(token, subject));
        }
        if self.core.has_system_news() {
            self.pass_on_system_news();
        }
        self.core.finish();
        if self.endpoint.shards() > 1 {
            progress |= self.push_lanes();
        }
        self.change_receives();
        self.flush();
        self.close_sockets();
        self.say_events();
        progress
    }

    fn take_lanes(&mut self) -> bool {
        let mut progress = false;
        for peer in self.core.peers() {
            let from = usize::from(peer.0);
            self.core.handle_routed(peer, self.endpoint.routed(from));
            while let Some(batch) = self.endpoint.take_recycled(from) {
                self.core.handle_recycled(peer, batch);
            }
        }
        for peer in self.core.peers() {
            for _ in 0..BATCHES_MAX {
                let Some(batch) = self.endpoint.take_data(usize::from(peer.0)) else { break };
                self.core.take_batch(peer, batch);
                progress = true;
            }
        }
        for peer in self.core.peers() {
            while let Some(message) = self.endpoint.take_control(usize::from(peer.0)) {
                progress = true;
                self.handle_message(peer, message);
            }
        }
        progress
    }

    fn push_lanes(&mut self) -> bool {
        let mut progress = false;
        for peer in self.core.peers() {
            for item in self.core.take_control_for(peer) {
                self.endpoint.push_control(usize::from(peer.0), Message::Core(item));
                progress = true;
            }
        }
        for peer in self.core.peers() {
            let to = usize::from(peer.0);
            while let Some(batch) = self.core.next_batch(peer) {
                if let Err(batch) = self.endpoint.push_data(to, batch) {
                    self.core.put_back(peer, batch);
                    break;
                }
                progress = true;
            }
            self.core.after_push(peer);
        }
        while let Some((from, batch)) = self.core.take_routed() {
            self.endpoint.recycle(usize::from(from.0), batch);
        }
        for peer in self.core.peers() {
            if let Some(position) = self.core.routed_to_publish(peer) {
                self.endpoint.publish_routed(usize::from(peer.0), position);
            }
        }
        self.endpoint.wake_parked();
        progress
    }

    fn handle_message(&mut self, from: ShardId, message: Message) {
        match message {
            Message::Core(item) => self.core.handle_control(from, item),
            Message::Adopt(adopted) => self.adopt(adopted),
            Message::Released => {
                if let Some(acceptor) = &mut self.acceptor {
                    acceptor.released(usize::from(from.0));
                }
            }
            Message::Reload(settings) => self.core.reload(&settings),
            Message::Accounts(change) => self.core.change_accounts(&change),
            Message::CloseSurplus(count) => self.core.close_surplus(count),
            Message::Tls(tls) => self.set_tls(tls),
            Message::WebSocket(listener) => self.set_websocket(listener),
            Message::LameDuck => self.core.enter_lame_duck(),
            Message::CloseOver(duration) => self.core.close_over(duration),
            Message::Stop => self.stop(),
            Message::Stopped => self.stopped += 1,
        }
    }

    fn handle_completion(&mut self, completion: Completion) {
        match completion {
            Completion::Received { token, buffer, len, more } => {
                let key = ConnKey::from_u64(token);
                debug_assert!(len > 0);
                match self.sockets.get(key).filter(|_| self.seals) {
                    Some(socket) if socket.transport.is_some() => self.receive_sealed(key, buffer),
                    Some(socket) if socket.websocket.is_some() => self.receive_framed(key, buffer),
                    _ => self.core.handle_received(key, self.ring.buffer(buffer)),
                }
                self.ring.release(buffer);
                if !more {
                    self.receive_ended(key);
                }
            }
            Completion::Sent { token, flight, result } => {
                self.handle_sent(ConnKey::from_u64(token), flight, result);
            }
            Completion::Ended { token, reason } => {
                let key = ConnKey::from_u64(token);
                let over = match reason {
                    End::Closed if self.keep_end(key) => false,
                    End::Closed => {
                        self.core.handle_end(key, CloseReason::ClientClosed);
                        true
                    }
                    End::Failed(_) => {
                        self.core.handle_end(key, CloseReason::ReadError);
                        true
                    }
                    End::NoBuffers | End::Cancelled | End::Interrupted => false,
                };
                if let Some(socket) = self.sockets.get(key) {
                    socket.wanted &= !over;
                }
                self.receive_ended(key);
            }
            Completion::Accepted { token, result, more } => {
                self.handle_accepted(Port::of_token(token), result, more);
            }
            Completion::Written { result, .. } => {
                if let Some(jetstream) = &mut self.jetstream {
                    jetstream.handle_written(result);
                }
            }
            Completion::Cancelled { .. } | Completion::Read { .. } | Completion::Timeout => {}
        }
    }

    pub(super) fn say_events(&mut self) {
        for event in self.core.take_events() {
            if let Some(slow) = events::say(event, &self.control) {
                self.slow.record(&slow.name, &slow.account);
            }
        }
    }

    fn next_deadline(&self) -> Option<u64> {
        let stage = self.stage_deadline();
        let retry = self.acceptor.as_ref().and_then(|acceptor| acceptor.retry_at);
        let jetstream = self.jetstream.as_ref().and_then(|jetstream| jetstream.next_deadline());
        let handshake = self.handshakes.front().map(|&(at, _)| at);
        let greeting = self.greetings.front().map(|&(at, _)| at);
        let websocket = self.next_websocket_deadline();
        [self.core.next_deadline(), stage, retry, handshake, greeting, websocket, jetstream]
            .into_iter()
            .flatten()
            .min()
    }

    /// What only shells do by time: signals, lame duck mode, the end.
    fn run_own_timers(&mut self) {
        if self.seals {
            self.run_transport_timers();
            self.run_websocket_timers();
        }
        if self.acceptor.is_some() {
            let signals = self.control.signals.swap(0, Ordering::AcqRel);
            if signals != 0 {
                self.handle_signals(signals);
            }
            let retry = self
                .acceptor
                .as_mut()
                .and_then(|acceptor| acceptor.retry_at.take_if(|at| *at <= self.now));
            if retry.is_some() {
                self.arm_listeners();
            }
        }
        self.advance_stage();
    }

    pub(super) fn tell_all(&mut self, message: impl Fn() -> Message) {
        for peer in self.core.peers() {
            self.endpoint.push_control(usize::from(peer.0), message());
        }
        self.endpoint.wake_parked();
    }

    /// The ring is unusable: nothing of this shard can go on.
    #[cold]
    fn fail(&mut self, error: std::io::Error) {
        self.failure = Some(error);
        self.stage = Stage::Stopped;
        stop_peers(&self.core, &mut self.endpoint);
    }
}

/// A server does not go on with a shard less: this one has stopped, and the
/// others have to.
#[cold]
fn stop_peers(core: &Core, endpoint: &mut Endpoint<Message, Batch>) {
    for peer in core.peers() {
        endpoint.push_control(usize::from(peer.0), Message::Stop);
    }
    if endpoint.own() != 0 {
        endpoint.push_control(0, Message::Stopped);
    }
    endpoint.wake_parked();
}
