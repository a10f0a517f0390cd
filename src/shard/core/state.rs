//! The state of a core, and what the shell takes out of it at the end of a turn.

use std::collections::VecDeque;
use std::sync::Arc;

use super::barrier::Barrier;
use super::callout::Callouts;
use super::connection::ConnKey;
use super::connection::Phase;
use super::control::Control;
use super::deliver::Deliverer;
use super::entry::Batch;
use super::internal::Internal;
use super::lane_out::LaneOut;
use super::login::Verification;
use super::no_responders::OpenRequests;
use super::path::Traces;
use super::publish::Picks;
use super::random::Random;
use super::services::Services;
use super::shadows::Shadowed;
use super::snapshot::SlowConsumer;
use super::system::System;
use super::timers::Timers;
use super::tokens::{Resolutions, WallClock};
use super::trace::TraceOptions;
use crate::account::{ConnectionType, Directory};
use crate::client::{KeepaliveLimits, Limits};
use crate::monitor::ClosedRing;
use crate::net::Segment;
use crate::proto::{InfoTemplate, ParserLimits};
use crate::router::{ConnId, InterestChange, Router, RouterLimits, ShardId};

/// What a frame adds to its payload, about.
const FRAME_BYTES: u64 = 32;

/// What a core is made with.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// This shard.
    pub own: ShardId,
    /// Shards there are.
    pub shards: usize,
    /// The server's secret, the same on all shards: it seeds hashes and picks.
    pub seed: u64,
    /// Outbound bytes per connection before it is a slow consumer.
    pub max_pending: usize,
    /// Drop for receivers above three quarters of `max_pending` instead of
    /// slowing their publishers down.
    pub drop_when_high: bool,
    /// Nanoseconds that one send may take.
    pub write_deadline: u64,
    /// Nanoseconds that a client has for CONNECT.
    pub auth_timeout: u64,
    /// Limits of the parser.
    pub parser: ParserLimits,
    /// The server supports headers.
    pub headers: bool,
    /// Limits of one connection.
    pub limits: Limits,
    /// Keep-alive.
    pub keepalive: KeepaliveLimits,
    /// What is different for clients over WebSocket.
    pub websocket: Option<Arc<WebSocketSettings>>,
    /// Users and accounts.
    pub directory: Arc<Directory>,
    /// Lines of the debug level become events.
    pub debug: bool,
    /// Protocol lines become events, if set.
    pub trace: Option<TraceOptions>,
    /// Plans are cached.
    pub plan_cache: bool,
    /// INFO as clients get it.
    pub info: Arc<InfoTemplate>,
    /// Interest changes that may be unacknowledged before their connections
    /// are paused.
    pub unacknowledged_max: u64,
}

/// What is different for clients over WebSocket.
#[derive(Clone, Debug)]
pub struct WebSocketSettings {
    /// INFO as they get it.
    pub info: Arc<InfoTemplate>,
    /// Keep-alive.
    pub keepalive: KeepaliveLimits,
    /// Nanoseconds that one has for CONNECT.
    pub auth_timeout: u64,
}

impl CoreConfig {
    fn websocket(&self, over: ConnectionType) -> Option<&WebSocketSettings> {
        self.websocket.as_deref().filter(|_| over == ConnectionType::WebSocket)
    }

    /// INFO as clients get it that came over a connection of a type.
    pub(super) fn info(&self, over: ConnectionType) -> &Arc<InfoTemplate> {
        self.websocket(over).map_or(&self.info, |websocket| &websocket.info)
    }

    pub(super) fn keepalive(&self, over: ConnectionType) -> KeepaliveLimits {
        self.websocket(over).map_or(self.keepalive, |websocket| websocket.keepalive)
    }

    pub(super) fn auth_timeout(&self, over: ConnectionType) -> u64 {
        self.websocket(over).map_or(self.auth_timeout, |websocket| websocket.auth_timeout)
    }
}

/// What a shard has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages from clients.
    pub in_messages: u64,
    /// Payload bytes from clients.
    pub in_bytes: u64,
    /// Messages that came over lanes.
    pub lane_messages: u64,
    /// Queue picks that were returned to their origin.
    pub returned: u64,
    /// Times that a publisher was slowed down for a slow receiver.
    pub stalls: u64,
    /// Times that a connection was paused because a lane was full.
    pub lane_pauses: u64,
    /// Connections closed because they read too slowly.
    pub slow_consumers: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections that have ended.
    pub closed: u64,
    /// Connections closed because they answered no PING.
    pub stale_connections: u64,
}

/// What a shard has under way with the others; nothing of it is left when all
/// are at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// PONGs that wait for the barrier.
    pub waiting_pongs: usize,
    /// Interest changes that some peer has not acknowledged.
    pub unacknowledged: u64,
    /// Subscriptions whose withdrawal has not settled.
    pub draining: usize,
    /// Requests that may still get their 503.
    pub requests: usize,
    /// Connections that wait for interest changes to be acknowledged.
    pub interest_waiters: usize,
    /// Connections that wait for room in a lane, once for each lane.
    pub lane_waiters: usize,
}

/// The pure part of one shard.
#[derive(Debug)]
pub struct Core {
    pub(super) config: CoreConfig,
    pub(super) now: u64,
    pub(super) router: Router,
    pub(super) deliverer: Deliverer,
    pub(super) lanes: Vec<LaneOut>,
    pub(super) control: Vec<Vec<Control>>,
    pub(super) barrier: Barrier,
    pub(super) requests: OpenRequests,
    pub(super) timers: Timers,
    pub(super) random: Random,
    pub(super) picks: Picks,
    pub(super) counters: Counters,
    /// Connections that accounts with a limit count, by account. Shard 0 only.
    pub(super) joined: Vec<u32>,
    /// Nanoseconds since 1970 when the monotonic clock was at zero, and the server's time zone.
    pub(super) clock: WallClock,
    /// What services are asked that decide on clients.
    pub(super) callouts: Callouts,
    /// Accounts to be fetched, each once, and who waits for them.
    pub(super) resolutions: Resolutions,
    /// Passwords to be compared elsewhere: at most one a connection.
    pub(super) verifications: VecDeque<Verification>,
    /// What a subject has been mapped to.
    pub(super) mapped: Vec<u8>,
    /// Batches taken this turn.
    pub(super) inbound: Vec<(ShardId, Batch)>,
    /// Batches routed, whose buffers go back to their origin.
    pub(super) routed: Vec<(ShardId, Batch)>,
    /// What each peer may know of its lane as routed.
    pub(super) published: Vec<u64>,
    /// The connection being parsed, and whether it must not go on.
    pub(super) parsing: Option<ConnKey>,
    pub(super) interrupted: bool,
    /// Scratch for interest changes.
    pub(super) changes: Vec<InterestChange>,
    pub(super) resume: Vec<ConnKey>,
    pub(super) closing: Vec<ConnKey>,
    pub(super) receive_changes: Vec<ConnKey>,
    pub(super) interest_waiters: Vec<ConnKey>,
    pub(super) pressed: Vec<ConnKey>,
    pub(super) ready: Vec<ConnKey>,
    pub(super) events: Vec<Event>,
    pub(super) closed: ClosedRing,
    /// Connections may begin with the header of a proxy.
    pub(super) proxy_headers: bool,
    pub(super) internal: Internal,
    pub(super) system: System,
    pub(super) traces: Traces,
    pub(super) shadowed: Shadowed,
    pub(super) services: Services,
    /// Requests to the API say who sent them: there is JetStream.
    pub(super) names_senders: bool,
    pub(super) lame_duck: bool,
    /// Nanoseconds between two closed connections in lame duck mode.
    pub(super) lame_duck_gap: u64,
    /// The slot that was closed last in lame duck mode.
    pub(super) lame_duck_cursor: ConnId,
}

/// Something worth a log line, and a count with the shard that accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection was closed.
    Closed {
        /// Connection number.
        cid: u64,
        /// Remote address.
        host: Box<str>,
        /// What kind of connection it came over.
        over: ConnectionType,
        /// Why.
        reason: crate::proto::CloseReason,
        /// Bytes that were waiting for it, and the chunks they were in.
        pending: usize,
        /// Chunks of the send under way.
        chunks: usize,
        /// Who it is, for a log line.
        label: String,
        /// Who it is in detail, if it was too slow.
        slow: Option<Box<SlowConsumer>>,
    },
    /// A warning for the log.
    Warning {
        /// What to say.
        text: String,
    },
    /// What an operator wants to know.
    Info {
        /// What to say.
        text: String,
    },
    /// A client did what it must not.
    Error {
        /// Connection number.
        cid: u64,
        /// Remote address.
        host: Box<str>,
        /// What kind of connection it came over.
        over: ConnectionType,
        /// What to say.
        text: String,
    },
    /// A line for the log: of the debug level, or of the trace level.
    Line {
        /// Connection number.
        cid: u64,
        /// Remote address.
        host: Box<str>,
        /// What kind of connection it came over.
        over: ConnectionType,
        /// Whether it is a protocol line.
        trace: bool,
        /// What to say.
        text: String,
    },
}

impl Core {
    /// Keeps at most `chunks` of output that nobody uses, from now on.
    pub fn keep_spare_chunks(&mut self, chunks: usize) {
        self.deliverer.pool.keep(chunks);
    }

    /// A core without connections.
    pub fn new(config: CoreConfig) -> Self {
        let shards = config.shards;
        let mut lanes = Vec::new();
        lanes.resize_with(shards, LaneOut::default);
        let directory = Arc::clone(&config.directory);
        let mut core = Self {
            now: 0,
            router: Router::new(
                config.own,
                RouterLimits {
                    hash_seed: config.seed,
                    plans_max: if config.plan_cache {
                        RouterLimits::default().plans_max
                    } else {
                        0
                    },
                    ..RouterLimits::default()
                },
            ),
            deliverer: Deliverer::new(config.max_pending, config.drop_when_high, config.trace),
            lanes,
            control: vec![Vec::new(); shards],
            barrier: Barrier::new(config.own, shards),
            requests: OpenRequests::new(),
            timers: Timers::default(),
            random: Random::new(config.seed ^ (u64::from(config.own.0) << 56)),
            picks: Picks::new(shards),
            counters: Counters::default(),
            joined: Vec::new(),
            clock: WallClock::default(),
            callouts: Callouts::default(),
            resolutions: Resolutions::default(),
            verifications: VecDeque::new(),
            mapped: Vec::new(),
            inbound: Vec::new(),
            routed: Vec::new(),
            published: vec![0; shards],
            parsing: None,
            interrupted: false,
            changes: Vec::new(),
            resume: Vec::new(),
            closing: Vec::new(),
            receive_changes: Vec::new(),
            interest_waiters: Vec::new(),
            pressed: Vec::new(),
            ready: Vec::new(),
            events: Vec::new(),
            closed: ClosedRing::default(),
            proxy_headers: false,
            internal: Internal::default(),
            traces: Traces::default(),
            system: System::new(config.directory.system_account()),
            shadowed: Shadowed::default(),
            services: Services::new(
                config.seed ^ 0x5e_55_1c_e5 ^ (u64::from(config.own.0) << 40),
                config.info.server_name(),
            ),
            names_senders: false,
            lame_duck: false,
            lame_duck_gap: 0,
            lame_duck_cursor: ConnId(0),
            config,
        };
        core.import_services(&directory);
        core
    }

    /// Starts a turn at `now` nanoseconds.
    #[inline]
    pub fn begin_turn(&mut self, now: u64) {
        self.now = now;
        if self.deliverer.dirty.is_empty() {
            self.deliverer.pool.end_sharing();
        }
        self.deliverer.now = now;
    }

    /// Ends the parsing part of a turn: PONGs whose barrier has passed,
    /// subscriptions that have drained, requests that are settled.
    pub fn finish(&mut self) {
        if self.config.shards == 1 {
            return;
        }
        let mut ready = std::mem::take(&mut self.ready);
        self.barrier.passed(&mut ready);
        for key in ready.drain(..) {
            if let Some(connection) = self.deliverer.connections.get(key) {
                connection.pause.barrier = false;
                self.send_pong(key);
                self.resume_if_free(key);
            }
        }
        self.ready = ready;
        self.barrier.end_turn();
        while let Some((sub, key)) = self.barrier.drained() {
            self.end_draining(sub, key);
        }
        if !self.interest_waiters.is_empty()
            && self.barrier.unacknowledged() < self.config.unacknowledged_max / 2
        {
            for key in std::mem::take(&mut self.interest_waiters) {
                if let Some(connection) = self.deliverer.connections.get(key) {
                    connection.pause.interest = false;
                    self.resume_if_free(key);
                }
            }
        }
        if self.requests.len() > 0 {
            self.requests.forget(|lane| {
                self.barrier.routed_out(ShardId(u8::try_from(lane).unwrap_or(u8::MAX)))
            });
            self.requests.mark(self.lanes.iter().map(LaneOut::appended));
        }
    }

    /// Takes the control items for `to`; they are pushed before any data.
    pub fn take_control_for(&mut self, to: ShardId) -> std::vec::Drain<'_, Control> {
        self.control[usize::from(to.0)].drain(..)
    }

    /// The next batch for `to`, once all control of the turn is pushed.
    pub fn next_batch(&mut self, to: ShardId) -> Option<Batch> {
        self.lanes[usize::from(to.0)].next_batch()
    }

    /// The lane to `to` had no room for `batch`.
    pub fn put_back(&mut self, to: ShardId, batch: Batch) {
        self.lanes[usize::from(to.0)].put_back(batch);
    }

    /// Pushing to `to` is done for this turn.
    pub fn after_push(&mut self, to: ShardId) {
        for key in self.lanes[usize::from(to.0)].after_push() {
            if let Some(connection) = self.deliverer.connections.get(key) {
                connection.pause.lanes.remove(to);
                self.resume_if_free(key);
            }
        }
    }

    /// What `from` may be told of its lane as routed, once the data of the
    /// turn is pushed.
    ///
    /// `None` if it knows already.
    pub fn routed_to_publish(&mut self, from: ShardId) -> Option<u64> {
        let index = usize::from(from.0);
        let routed = self.barrier.routed_in(from);
        if self.lanes[index].returns_unpushed() || self.published[index] == routed {
            return None;
        }
        self.published[index] = routed;
        Some(routed)
    }

    /// A routed batch, to be recycled to the shard that filled it.
    pub fn take_routed(&mut self) -> Option<(ShardId, Batch)> {
        self.routed.pop()
    }

    /// An empty batch came back from the shard that routed it.
    pub fn handle_recycled(&mut self, from: ShardId, batch: Batch) {
        self.lanes[usize::from(from.0)].recycle(batch);
    }

    /// Swaps the list of connections with something to send into `list`.
    pub fn take_dirty(&mut self, list: &mut Vec<ConnId>) {
        list.clear();
        std::mem::swap(list, &mut self.deliverer.dirty);
    }

    /// Hands what waits for a dirty connection to `load`, unless a flight is
    /// under way. Returns the connection's key if there is anything.
    pub fn take_flight(&mut self, slot: ConnId, load: impl FnMut(Segment)) -> Option<ConnKey> {
        let connection = self.deliverer.connections.at(slot)?;
        connection.dirty = false;
        let key = connection.key;
        if connection.out.in_flight() > 0 {
            connection.out.keep_shared(&mut self.deliverer.pool);
            return None;
        }
        let pending = connection.out.pending();
        if connection.phase == Phase::Open && self.deliverer.is_over(pending) {
            self.close_slow(key);
            return None;
        }
        let connection = self.deliverer.connections.at(slot)?;
        if !connection.out.take_flight(&mut self.deliverer.pool, load) {
            return None;
        }
        connection.send_started = self.now;
        connection.moved_at = self.now;
        if connection.sent_messages != connection.out_messages {
            connection.sent_messages = connection.out_messages;
            connection.sent_at = self.now;
        }
        if !connection.write_timer {
            self.arm_write_timer(key);
        }
        Some(key)
    }

    /// Takes back what a landed flight carried.
    pub fn recycle(&mut self, segment: Segment) {
        self.deliverer.pool.take_back(segment);
    }

    /// Connections whose receiving is to stop or to start again, with what is
    /// wanted now, however often that has changed.
    pub fn take_receive_change(&mut self) -> Option<(ConnKey, bool)> {
        let key = self.receive_changes.pop()?;
        let connection = self.deliverer.connections.get(key);
        Some((key, connection.is_some_and(|connection| !connection.receive_stopped)))
    }

    /// Connections whose socket is to be closed now.
    pub fn take_closing(&mut self) -> Option<ConnKey> {
        self.closing.pop()
    }

    /// What happened, for the log, in order.
    pub fn take_events(&mut self) -> std::vec::Drain<'_, Event> {
        self.events.drain(..)
    }

    /// Whether another turn has work without any completion or lane item.
    pub fn has_work(&self) -> bool {
        !self.resume.is_empty()
            || self.has_answers()
            || !self.deliverer.dirty.is_empty()
            || !self.closing.is_empty()
            || !self.receive_changes.is_empty()
            || self.control.iter().any(|items| !items.is_empty())
    }

    /// Whether data waits because a lane is full.
    pub fn has_unpushed(&self) -> bool {
        self.lanes.iter().any(LaneOut::has_batch)
            || self.control.iter().any(|items| !items.is_empty())
    }

    /// Whether something waits for peers to route what was sent to them: a PONG,
    /// or data that found its lane full.
    pub fn awaits_routed(&self) -> bool {
        self.barrier.awaits_routed() || self.has_unpushed()
    }

    /// Whether peers have routed all that was appended to their lanes.
    pub fn is_all_routed(&self) -> bool {
        self.peers()
            .all(|peer| self.barrier.routed_out(peer) >= self.lanes[usize::from(peer.0)].appended())
    }

    /// The earliest deadline, in nanoseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.next()
    }

    /// Connections of this shard.
    pub fn connections(&self) -> usize {
        self.deliverer.connections.len()
    }

    /// What is under way.
    pub fn counts(&self) -> Counts {
        Counts {
            waiting_pongs: self.barrier.waiting(),
            unacknowledged: self.barrier.unacknowledged(),
            draining: self.barrier.draining(),
            requests: self.requests.len(),
            interest_waiters: self.interest_waiters.len(),
            lane_waiters: self.lanes.iter().map(LaneOut::waiting).sum(),
        }
    }

    /// About how many bytes were written for subscribers, ever.
    pub fn output_bytes(&self) -> u64 {
        let deliverer = &self.deliverer;
        deliverer.delivered_bytes - deliverer.shared_bytes
            + FRAME_BYTES * (deliverer.delivered - deliverer.shared)
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The interest of this shard.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The other shards.
    pub fn peers(&self) -> impl Iterator<Item = ShardId> {
        let own = self.config.own;
        let shards = u8::try_from(self.config.shards).unwrap_or(u8::MAX);
        (0..shards).map(ShardId).filter(move |&shard| shard != own)
    }
}
