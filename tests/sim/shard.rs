//! One simulated shard: a core, its sockets, and the turn of
//! `src/shard/task.rs` cut into the steps between which other shards may run.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use midge::account::Directory;
use midge::client::{KeepaliveLimits, Limits};
use midge::proto::{CloseReason, InfoTemplate, ParserLimits, ServerInfo};
use midge::router::{ConnId, ShardId};
use midge::shard::core::{ConnKey, Control, Core, CoreConfig, Event};

use super::client::{Client, State};
use super::history::History;
use super::lanes::Lanes;
use super::params::Params;
use super::random::Random;

/// Where a shard is in its turn. Peers are taken one by one.
#[derive(Clone, Debug)]
pub enum Phase {
    Idle,
    ReadRouted(usize),
    TakeData(usize),
    TakeControl(usize),
    Compute,
    PushControl(usize, Vec<Control>),
    PushData(usize),
    PublishRouted(usize),
    Flush,
}

/// A connection as the shell sees it.
#[derive(Debug)]
pub struct Socket {
    pub client: usize,
    pub key: ConnKey,
    /// Bytes given to the kernel, and how many of them the client has.
    pub flight: Option<(Vec<u8>, usize)>,
    /// The flight's completion waits to be reaped.
    pub sent: Option<bool>,
    wanted: bool,
    /// A receive that was cancelled may still bring bytes once.
    lingering: bool,
    ended: bool,
    closing: bool,
}

#[derive(Debug)]
enum Completion {
    Open(usize),
    Received(ConnKey, Vec<u8>),
    Ended(ConnKey, CloseReason),
    Sent(ConnKey, bool),
}

/// What a step may touch beside its shard.
pub struct Surroundings<'a> {
    pub params: &'a Params,
    pub random: &'a mut Random,
    pub lanes: &'a mut Lanes,
    pub clients: &'a mut [Client],
    pub history: &'a mut History,
    pub step: u64,
    pub now: u64,
    pub trace: bool,
}

#[derive(Debug)]
pub struct Shard {
    pub own: usize,
    pub core: Core,
    pub phase: Phase,
    pub sockets: Vec<Socket>,
    /// Clients accepted and not opened.
    pub accepted: Vec<usize>,
    /// Reaped and not handled yet, in order.
    completions: VecDeque<Completion>,
    peers: Vec<ShardId>,
    dirty: Vec<ConnId>,
    /// Batches taken from the lane at hand.
    taken: usize,
    pub turns: u64,
}

impl Shard {
    pub fn new(own: usize, params: &Params) -> Self {
        let core = Core::new(CoreConfig {
            own: shard_id(own),
            shards: params.shards,
            seed: params.seed,
            max_pending: params.max_pending,
            drop_when_high: false,
            write_deadline: 10_000_000_000,
            auth_timeout: 2_000_000_000,
            parser: ParserLimits::default(),
            headers: true,
            limits: Limits { subscriptions_max: 0, sub_tokens_max: 0 },
            keepalive: KeepaliveLimits { interval: 120_000_000_000, outstanding_max: 1_000_000 },
            websocket: None,
            directory: Arc::new(Directory::open()),
            debug: false,
            trace: None,
            plan_cache: true,
            info: info(),
            unacknowledged_max: params.unacknowledged_max,
        });
        Self {
            own,
            peers: core.peers().collect(),
            core,
            phase: Phase::Idle,
            sockets: Vec::new(),
            accepted: Vec::new(),
            completions: VecDeque::new(),
            dirty: Vec::new(),
            taken: 0,
            turns: 0,
        }
    }

    /// Whether the shell would run this shard, and not let it sleep.
    pub fn is_runnable(&self, lanes: &Lanes, clients: &[Client], now: u64) -> bool {
        !matches!(self.phase, Phase::Idle)
            || !self.accepted.is_empty()
            || !self.completions.is_empty()
            || self.core.has_work()
            || lanes.inbound_waits(self.own)
            || self.core.awaits_routed() && lanes.routed_advanced(self.own)
            || self.core.next_deadline().is_some_and(|deadline| deadline <= now)
            || self.sockets.iter().any(|socket| socket.has_completion(clients))
    }

    /// Runs the next step of the turn.
    pub fn step(&mut self, around: &mut Surroundings<'_>) -> Result<(), String> {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => {
                self.reap(around);
                self.turns += 1;
                self.core.begin_turn(around.now);
                if self.peers.is_empty() {
                    Phase::Compute
                } else {
                    Phase::ReadRouted(0)
                }
            }
            Phase::ReadRouted(at) => {
                self.read_routed(self.peers[at], around);
                self.after(at, Phase::ReadRouted, Phase::TakeData(0))
            }
            Phase::TakeData(at) => self.take_data(at, around),
            Phase::TakeControl(at) => {
                let from = self.peers[at];
                while let Some(item) = around.lanes.at(index(from), self.own).control.pop_front() {
                    self.core.handle_control(from, item);
                }
                self.after(at, Phase::TakeControl, Phase::Compute)
            }
            Phase::Compute => {
                self.compute(around);
                if self.peers.is_empty() {
                    Phase::Flush
                } else {
                    let items = self.core.take_control_for(self.peers[0]).collect();
                    Phase::PushControl(0, items)
                }
            }
            Phase::PushControl(at, items) => self.push_control(at, items, around),
            Phase::PushData(at) => self.push_data(at, around),
            Phase::PublishRouted(at) => {
                let from = self.peers[at];
                if let Some(position) = self.core.routed_to_publish(from) {
                    let routed = &mut around.lanes.at(index(from), self.own).routed;
                    if position < *routed {
                        return Err("the routed counter went back".to_owned());
                    }
                    *routed = position;
                }
                self.after(at, Phase::PublishRouted, Phase::Flush)
            }
            Phase::Flush => {
                self.flush(around);
                Phase::Idle
            }
        };
        Ok(())
    }

    fn after(&self, at: usize, again: fn(usize) -> Phase, next: Phase) -> Phase {
        if at + 1 < self.peers.len() {
            again(at + 1)
        } else {
            next
        }
    }

    /// What the ring has: bytes arrived before the lanes are looked at.
    fn reap(&mut self, around: &mut Surroundings<'_>) {
        if !self.completions.is_empty() {
            return;
        }
        let random = &mut *around.random;
        for client in std::mem::take(&mut self.accepted) {
            self.completions.push_back(Completion::Open(client));
        }
        for socket in &mut self.sockets {
            if socket.fails(around.clients) {
                socket.sent = Some(false);
            }
            if socket.sent.is_some() && random.chance(800) {
                let delivered = socket.sent.take().unwrap_or_default();
                socket.flight = None;
                self.completions.push_back(Completion::Sent(socket.key, delivered));
            }
            let client = &mut around.clients[socket.client];
            let receives = (socket.wanted || socket.lingering && random.chance(300))
                && !socket.ended
                && !socket.closing;
            if !receives || !random.chance(700) {
                continue;
            }
            socket.lingering = false;
            if client.has_bytes() {
                let most = random.within(1, around.params.receive_max);
                let bytes = client.feed(around.history, most, around.step);
                if around.trace {
                    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
                    println!("{:>6} client {} has sent {shown:?}", around.step, socket.client);
                }
                self.completions.push_back(Completion::Received(socket.key, bytes));
            } else if matches!(client.state, State::HalfClosed | State::Vanished) {
                client.feed_end(around.history, around.step);
                socket.ended = true;
                let failed = client.state == State::Vanished && random.chance(300);
                let reason =
                    if failed { CloseReason::ReadError } else { CloseReason::ClientClosed };
                if failed {
                    client.gone(around.history, true, around.step);
                }
                self.completions.push_back(Completion::Ended(socket.key, reason));
            }
        }
        random.shuffle(self.completions.make_contiguous());
    }

    fn read_routed(&mut self, to: ShardId, around: &mut Surroundings<'_>) {
        let lane = around.lanes.at(self.own, index(to));
        lane.routed_seen = lane.routed;
        let recycled = std::mem::take(&mut lane.recycled);
        self.core.handle_routed(to, lane.routed);
        for batch in recycled {
            self.core.handle_recycled(to, batch);
        }
    }

    /// One batch, up to as many as a lane holds: all that the routed counter
    /// may stand behind.
    fn take_data(&mut self, at: usize, around: &mut Surroundings<'_>) -> Phase {
        let from = self.peers[at];
        if self.taken < around.params.lane_batches {
            if let Some(batch) = around.lanes.at(index(from), self.own).data.pop_front() {
                self.core.take_batch(from, batch);
                self.taken += 1;
                return Phase::TakeData(at);
            }
        }
        self.taken = 0;
        self.after(at, Phase::TakeData, Phase::TakeControl(0))
    }

    /// What touches nothing but the core: no other shard can see its parts.
    fn compute(&mut self, around: &mut Surroundings<'_>) {
        self.core.route();
        while let Some(completion) = self.completions.pop_front() {
            match completion {
                Completion::Open(client) => {
                    let key = self.core.open(client as u64 + 1, "127.0.0.1\x001".into());
                    self.sockets.push(Socket::new(client, key));
                }
                Completion::Received(key, bytes) => self.core.handle_received(key, &bytes),
                Completion::Ended(key, reason) => self.core.handle_end(key, reason),
                Completion::Sent(key, delivered) => self.core.handle_sent(key, delivered),
            }
            if around.random.chance(around.params.defer_per_mille) {
                break;
            }
        }
        self.core.resume_parsing();
        self.core.run_timers();
        self.core.finish();
        self.note_events(around);
    }

    fn push_control(
        &mut self,
        at: usize,
        mut items: Vec<Control>,
        around: &mut Surroundings<'_>,
    ) -> Phase {
        let count = around.random.below(items.len() + 1);
        let lane = around.lanes.at(self.own, index(self.peers[at]));
        lane.control.extend(items.drain(..count));
        if !items.is_empty() {
            return Phase::PushControl(at, items);
        }
        match self.peers.get(at + 1) {
            Some(&next) => Phase::PushControl(at + 1, self.core.take_control_for(next).collect()),
            None => Phase::PushData(0),
        }
    }

    fn push_data(&mut self, at: usize, around: &mut Surroundings<'_>) -> Phase {
        let to = self.peers[at];
        if let Some(batch) = self.core.next_batch(to) {
            match around.lanes.push_data(self.own, index(to), batch) {
                Ok(()) => return Phase::PushData(at),
                Err(batch) => self.core.put_back(to, batch),
            }
        }
        self.core.after_push(to);
        if at + 1 < self.peers.len() {
            return Phase::PushData(at + 1);
        }
        while let Some((from, batch)) = self.core.take_routed() {
            around.lanes.at(index(from), self.own).recycled.push(batch);
        }
        Phase::PublishRouted(0)
    }

    fn flush(&mut self, around: &mut Surroundings<'_>) {
        while let Some((key, wanted)) = self.core.take_receive_change() {
            if let Some(socket) = self.sockets.iter_mut().find(|socket| socket.key == key) {
                socket.wanted = wanted;
                socket.lingering = !wanted;
            }
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        self.core.take_dirty(&mut dirty);
        for slot in dirty.drain(..) {
            let mut bytes = Vec::new();
            let mut segments = Vec::new();
            let key = self.core.take_flight(slot, |segment| {
                bytes.extend_from_slice(segment.as_slice());
                segments.push(segment);
            });
            for segment in segments {
                self.core.recycle(segment);
            }
            let socket = key.and_then(|key| self.sockets.iter_mut().find(|s| s.key == key));
            if let Some(socket) = socket {
                assert!(socket.flight.is_none(), "one flight at a time");
                socket.sent = socket.closing.then_some(false);
                socket.flight = Some((bytes, 0));
            }
        }
        self.dirty = dirty;
        while let Some(key) = self.core.take_closing() {
            if let Some(socket) = self.sockets.iter_mut().find(|socket| socket.key == key) {
                socket.closing = true;
                if socket.flight.is_some() && socket.sent.is_none() {
                    around.clients[socket.client].gone(around.history, true, around.step);
                    socket.sent = Some(false);
                }
            }
        }
        self.note_events(around);
        self.release_idle(around);
    }

    fn release_idle(&mut self, around: &mut Surroundings<'_>) {
        let core = &mut self.core;
        self.sockets.retain(|socket| {
            let over = socket.closing && socket.flight.is_none();
            if over {
                core.release(socket.key);
                around.clients[socket.client].closed(around.history, around.step);
            }
            !over
        });
    }

    fn note_events(&mut self, around: &mut Surroundings<'_>) {
        for event in self.core.take_events() {
            let Event::Closed { cid, reason, .. } = event else { continue };
            let lossy = matches!(
                reason,
                CloseReason::SlowConsumerPendingBytes
                    | CloseReason::SlowConsumerWriteDeadline
                    | CloseReason::WriteError
                    | CloseReason::ReadError
            );
            let client = &mut around.clients[usize::try_from(cid - 1).unwrap_or(usize::MAX)];
            client.gone(around.history, lossy, around.step);
        }
    }
}

impl Socket {
    fn new(client: usize, key: ConnKey) -> Self {
        Self {
            client,
            key,
            flight: None,
            sent: None,
            wanted: true,
            lingering: false,
            ended: false,
            closing: false,
        }
    }

    /// Whether a send to a client that is gone is about to fail.
    fn fails(&self, clients: &[Client]) -> bool {
        let vanished = clients[self.client].state == State::Vanished;
        vanished && self.flight.is_some() && self.sent.is_none()
    }

    fn has_completion(&self, clients: &[Client]) -> bool {
        let client = &clients[self.client];
        let ends = matches!(client.state, State::HalfClosed | State::Vanished);
        self.sent.is_some()
            || self.fails(clients)
            || self.closing && self.flight.is_none()
            || self.wanted && !self.ended && !self.closing && (client.has_bytes() || ends)
    }
}

fn index(shard: ShardId) -> usize {
    usize::from(shard.0)
}

fn shard_id(shard: usize) -> ShardId {
    ShardId(u8::try_from(shard).unwrap_or(u8::MAX))
}

fn info() -> Arc<InfoTemplate> {
    static INFO: OnceLock<Arc<InfoTemplate>> = OnceLock::new();
    INFO.get_or_init(|| Arc::new(InfoTemplate::new(&ServerInfo::default()))).clone()
}
