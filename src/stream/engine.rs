//! The engine: all streams that one shard owns, and the API that clients drive them with.
//!
//! Called in any order: [`handle_message`](Engine::handle_message) with what its subscriptions got,
//! [`handle_timers`](Engine::handle_timers) when [`next_deadline`](Engine::next_deadline) has come,
//! [`handle_interest`](Engine::handle_interest) when somebody subscribes. After each call the
//! context's [`Outbox`](super::Outbox) holds what it has to say.
//!
//! Bounds: [`SLOTS_MAX`] streams; one entry per stream in the heap of deadlines, give or take those
//! that were moved forward.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::api::{write_config, write_state, StateDetail};
use super::json::Object;
use super::publish::{self, Published};
use super::recovery::Restored;
use super::restore::Restores;
use super::shared::{Account, Bytes, Shared};
use super::stream::Stream;
use super::token::{Purpose, StreamIndex, SLOTS_MAX};
use super::view::{JetStreamLimits, ServerIdentity, ServerLimits};
use super::{direct, snapshot, timers, Context, Incoming, Token};
use crate::store::{Extent, StreamId};
use crate::subject::AccountId;

/// What an engine is made with.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Who the server is.
    pub server: ServerIdentity,
    /// Its limits.
    pub limits: ServerLimits,
    /// Unknown keys in requests are refused.
    pub strict: bool,
    /// For names and random numbers.
    pub seed: u64,
}

/// All streams of a shard. See the module's documentation.
#[derive(Debug)]
pub struct Engine {
    pub(super) shared: Shared,
    pub(super) streams: Table,
    pub(super) restored: Restored,
    pub(super) restores: Restores,
    deadlines: BinaryHeap<Reverse<(u64, StreamIndex)>>,
}

/// Streams by index.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_id: BTreeMap<StreamId, StreamIndex>,
}

#[derive(Debug, Default)]
struct Slot {
    lap: u8,
    stream: Option<Box<Stream>>,
}

/// How much monitoring wants to know of streams.
#[derive(Clone, Copy, Debug, Default)]
pub struct DetailRequest {
    /// Their configurations.
    pub config: bool,
    /// Their consumers.
    pub consumers: bool,
}

/// What an account has, for monitoring.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named after what they count")]
pub struct AccountFigures {
    pub name: String,
    pub memory: u64,
    pub storage: u64,
    pub reserved_memory: u64,
    pub reserved_storage: u64,
    pub streams: usize,
    pub consumers: usize,
    pub messages: u64,
    pub api_total: u64,
    pub api_errors: u64,
}

/// Figures of a stream.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct StreamFigures<'a> {
    pub account: &'a str,
    pub name: &'a str,
    pub extent: Extent,
    pub subjects: u64,
    pub consumers: u64,
}

impl Engine {
    /// An engine without accounts and streams.
    pub fn new(config: EngineConfig) -> Self {
        Self {
            shared: Shared::new(config.server, config.limits, config.strict, config.seed),
            streams: Table::default(),
            restored: Restored::default(),
            restores: Restores::default(),
            deadlines: BinaryHeap::new(),
        }
    }

    /// Adds an account, which may use JetStream within `limits`, or may not, and is told so.
    pub fn add_account(
        &mut self,
        id: AccountId,
        name: &str,
        limits: Option<JetStreamLimits>,
        ctx: &mut Context<'_>,
    ) {
        let account = Account {
            name: name.to_owned(),
            limits,
            streams: BTreeMap::new(),
            used: Bytes::default(),
            reserved: Bytes::default(),
            api_total: 0,
            api_errors: 0,
        };
        if self.shared.accounts.insert(id, account).is_some() {
            return;
        }
        ctx.out.subscribe(Purpose::Api.token(), id, b"$JS.API.>", None);
        if !self.shared.server.domain.is_empty() {
            let pattern = self.domain_pattern();
            ctx.out.subscribe(Purpose::DomainApi.token(), id, &pattern, None);
        }
        self.adopt(id, ctx);
    }

    /// Changes an account's limits.
    pub fn update_account(&mut self, id: AccountId, limits: Option<JetStreamLimits>) {
        let Some(account) = self.shared.accounts.get_mut(&id) else { return };
        account.limits = limits;
        for index in account.streams.values() {
            if let Some(stream) = self.streams.get_mut(*index) {
                stream.limits = limits.unwrap_or_default();
            }
        }
    }

    /// Forgets an account; its streams stay stored, and come back when it does after a restart.
    pub fn remove_account(&mut self, id: AccountId, ctx: &mut Context<'_>) {
        let Some(account) = self.shared.accounts.remove(&id) else { return };
        self.drop_restores(|stream| stream.account == id, ctx);
        for index in account.streams.values() {
            let Some(mut stream) = self.streams.remove(*index) else { continue };
            let kind = stream.store.kind();
            stream.unsubscribe(ctx);
            stream.snapshots.clear((*index, id), ctx);
            let (consumers, view) = stream.split(&mut self.shared);
            consumers.stand_down(&view, ctx);
            self.shared.change_used(id, kind, stream.bytes_counted, 0);
            self.shared.change_reserved(id, kind, stream.config.max_bytes, 0);
            stream.bytes_counted = 0;
            stream.armed = u64::MAX;
            self.set_aside(stream);
        }
        ctx.out.unsubscribe(Purpose::Api.token(), id, b"$JS.API.>");
        if !self.shared.server.domain.is_empty() {
            let pattern = self.domain_pattern();
            ctx.out.unsubscribe(Purpose::DomainApi.token(), id, &pattern);
        }
    }

    /// A turn begins: API requests are counted from here.
    pub fn begin_turn(&mut self) {
        self.shared.requests_left = self.shared.limits.requests;
    }

    /// Whether messages are refused, with 429, because the store has too much to write.
    pub fn set_overloaded(&mut self, is_overloaded: bool) {
        self.shared.is_overloaded = is_overloaded;
    }

    /// Takes what one of the engine's subscriptions got.
    pub fn handle_message(&mut self, incoming: &Incoming<'_>, ctx: &mut Context<'_>) {
        match Purpose::of(incoming.token) {
            Some(Purpose::Publish(index)) => self.handle_publish(index, incoming, ctx),
            Some(Purpose::Ack(index, consumer) | Purpose::AckLong(index, consumer)) => {
                let Some(stream) = self.streams.get_mut(index) else { return };
                let (consumers, mut view) = stream.split(&mut self.shared);
                consumers.handle_ack(consumer, incoming, &mut view, ctx);
                self.go_on(index, ctx);
            }
            Some(Purpose::Next(index, consumer)) => {
                let Some(stream) = self.streams.get_mut(index) else { return };
                let (consumers, mut view) = stream.split(&mut self.shared);
                consumers.handle_next(consumer, incoming, &mut view, ctx);
                self.go_on(index, ctx);
            }
            Some(Purpose::Flow(index, consumer)) => {
                let Some(stream) = self.streams.get_mut(index) else { return };
                let (consumers, _) = stream.split(&mut self.shared);
                consumers.handle_flow_reply(consumer, incoming, ctx);
                self.go_on(index, ctx);
            }
            Some(Purpose::DirectGet(index)) => {
                if let Some(stream) = self.streams.get_mut(index) {
                    direct::handle(stream, &mut self.shared, incoming, ctx);
                }
            }
            Some(Purpose::DirectGetLast(index)) => {
                if let Some(stream) = self.streams.get_mut(index) {
                    direct::handle_last(stream, &mut self.shared, incoming, ctx);
                }
            }
            Some(Purpose::Api) => self.handle_api(incoming, ctx),
            Some(Purpose::DomainApi) => self.handle_domain_api(incoming, ctx),
            Some(Purpose::SnapshotAck(index, number)) => {
                if let Some(stream) = self.streams.get_mut(index) {
                    stream.snapshots.handle_ack(number, incoming.subject, ctx.now);
                    snapshot::run(stream, &mut self.shared, ctx);
                    self.go_on(index, ctx);
                }
            }
            Some(Purpose::FeedData(index, number)) => {
                self.handle_feed_message(index, number, incoming, false, ctx);
            }
            Some(Purpose::FeedReply(index, number)) => {
                self.handle_feed_message(index, number, incoming, true, ctx);
            }
            Some(Purpose::Restore(number)) => self.handle_chunk(number, incoming, ctx),
            None => {}
        }
    }

    /// Does what is due.
    pub fn handle_timers(&mut self, ctx: &mut Context<'_>) {
        let mut due = Vec::new();
        while let Some(Reverse((deadline, index))) = self.deadlines.peek().copied() {
            if deadline > ctx.now {
                break;
            }
            self.deadlines.pop();
            let Some(stream) = self.streams.get_mut(index) else { continue };
            if stream.armed == deadline {
                stream.armed = u64::MAX;
                due.push(index);
            }
        }
        for index in due {
            let Some(stream) = self.streams.get_mut(index) else { continue };
            timers::run(stream, &mut self.shared, ctx);
            let (consumers, mut view) = stream.split(&mut self.shared);
            consumers.handle_timers(&mut view, ctx);
            self.feed(index, ctx);
            self.run_remotes(index, ctx);
            self.go_on(index, ctx);
        }
        self.run_restores(ctx);
    }

    /// When [`handle_timers`](Self::handle_timers) is to be called, in nanoseconds since 1970.
    pub fn next_deadline(&self) -> Option<u64> {
        let streams = self.deadlines.peek().map(|Reverse((deadline, _))| *deadline);
        [streams, self.restores.next_deadline()].into_iter().flatten().min()
    }

    /// Somebody subscribed to `pattern`.
    pub fn handle_interest(&mut self, account: AccountId, pattern: &[u8], ctx: &mut Context<'_>) {
        let Some(account) = self.shared.accounts.get(&account) else { return };
        let indices: Vec<StreamIndex> = account.streams.values().copied().collect();
        for index in indices {
            let Some(stream) = self.streams.get_mut(index) else { continue };
            if stream.snapshots.awaits_interest() {
                stream.snapshots.handle_interest();
                self.arm(index, ctx.now);
            }
            let Some(stream) = self.streams.get_mut(index) else { continue };
            if !stream.consumers.awaits_interest() {
                continue;
            }
            let (consumers, mut view) = stream.split(&mut self.shared);
            consumers.handle_interest(pattern, &mut view, ctx);
            self.go_on(index, ctx);
        }
    }

    /// What each account has.
    pub fn figures(&self) -> Vec<AccountFigures> {
        let accounts = self.shared.accounts.values().filter(|account| account.limits.is_some());
        let figures = accounts.map(|account| {
            let streams = account.streams.values().filter_map(|index| self.streams.get(*index));
            let (mut consumers, mut messages) = (0, 0);
            for stream in streams {
                consumers += stream.consumers.count();
                messages += stream.store.extent().messages;
            }
            AccountFigures {
                name: account.name.clone(),
                memory: account.used.memory,
                storage: account.used.file,
                reserved_memory: account.reserved.memory,
                reserved_storage: account.reserved.file,
                streams: account.streams.len(),
                consumers,
                messages,
                api_total: account.api_total,
                api_errors: account.api_errors,
            }
        });
        figures.collect()
    }

    /// Figures of the streams, account by account.
    pub fn stream_figures(&self) -> impl Iterator<Item = StreamFigures<'_>> {
        let accounts = self.shared.accounts.values();
        accounts.flat_map(|account| {
            let streams = account.streams.values().filter_map(|index| self.streams.get(*index));
            streams.map(|stream| StreamFigures {
                account: &account.name,
                name: stream.name(),
                extent: stream.store.extent(),
                subjects: stream.store.subject_count(),
                consumers: stream.consumers.count() as u64,
            })
        })
    }

    /// The stream that a subscription is of, and the subject under which it stores a message to
    /// `subject`.
    pub fn stored_as(&self, token: Token, subject: &[u8]) -> Option<(String, String)> {
        let Some(Purpose::Publish(index)) = Purpose::of(token) else { return None };
        let stream = self.streams.get(index)?;
        let mut mapped = Vec::new();
        let transform = stream.derived.transform.as_ref();
        let is_mapped = transform.is_some_and(|rule| rule.apply(subject, 0, &mut mapped));
        let stored = String::from_utf8_lossy(if is_mapped { &mapped } else { subject });
        Some((stream.name().to_owned(), stored.into_owned()))
    }

    /// The streams of an account as monitoring shows them, as a JSON array.
    pub fn stream_details(&mut self, account: &str, wanted: DetailRequest, now: u64) -> String {
        let accounts = self.shared.accounts.values();
        let named = accounts.filter(|known| known.name == account);
        let indices: Vec<StreamIndex> =
            named.flat_map(|known| known.streams.values().copied()).collect();
        let mut text = vec![b'['];
        for index in indices {
            let Some(stream) = self.streams.get_mut(index) else { continue };
            if text.len() > 1 {
                text.push(b',');
            }
            let mut object = Object::open(&mut text);
            object.string("name", stream.name());
            object.time("created", stream.created);
            let mut cluster = object.object("cluster");
            cluster.string("leader", &self.shared.server.name);
            cluster.close();
            if wanted.config {
                write_config(&mut object, stream, None);
            }
            write_state(&mut object, stream, &StateDetail::default());
            if wanted.consumers {
                let (consumers, mut view) = stream.split(&mut self.shared);
                consumers.write_details(&mut object, &mut view, now);
            }
            object.close();
        }
        text.push(b']');
        String::from_utf8(text).unwrap_or_else(|_| "[]".to_owned())
    }

    /// Lets a stream's consumers deliver, and asks when it wants to be called again.
    pub(super) fn go_on(&mut self, index: StreamIndex, ctx: &mut Context<'_>) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let (consumers, mut view) = stream.split(&mut self.shared);
        let has_more = consumers.deliver(&mut view, ctx);
        stream.settle(&mut self.shared);
        let deadline =
            if has_more || stream.is_hungry { Some(ctx.now) } else { stream.next_deadline() };
        if let Some(deadline) = deadline {
            self.arm(index, deadline);
        }
        self.wake_followers(index, ctx);
    }

    /// A stream wants to be called at `deadline`.
    pub(super) fn arm(&mut self, index: StreamIndex, deadline: u64) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        if deadline < stream.armed {
            stream.armed = deadline;
            self.deadlines.push(Reverse((deadline, index)));
        }
    }

    fn handle_publish(
        &mut self,
        index: StreamIndex,
        incoming: &Incoming<'_>,
        ctx: &mut Context<'_>,
    ) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let message = Published {
            subject: incoming.subject,
            reply: incoming.reply,
            headers: incoming.headers,
            payload: incoming.payload,
        };
        publish::handle(stream, &mut self.shared, &message, ctx);
        self.go_on(index, ctx);
    }

    fn domain_pattern(&self) -> Vec<u8> {
        [b"$JS.", self.shared.server.domain.as_bytes(), b".API.>"].concat()
    }
}

impl Table {
    /// The stream of that index, if it still is that one.
    pub(super) fn get(&self, index: StreamIndex) -> Option<&Stream> {
        let slot = self.slots.get(index.slot as usize)?;
        slot.stream.as_deref().filter(|_| slot.lap == index.lap)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, index: StreamIndex) -> Option<&mut Stream> {
        let slot = self.slots.get_mut(index.slot as usize)?;
        slot.stream.as_deref_mut().filter(|_| slot.lap == index.lap)
    }

    /// The stream of that identity.
    pub(super) fn find(&self, id: StreamId) -> Option<&Stream> {
        self.get(*self.by_id.get(&id)?)
    }

    /// A stream of that name.
    #[cfg(test)]
    pub(super) fn find_by_name(&self, name: &str) -> Option<&Stream> {
        let mut streams = self.slots.iter().filter_map(|slot| slot.stream.as_deref());
        streams.find(|stream| stream.name() == name)
    }

    /// The index that the next stream will have; `None` if there are too many.
    pub(super) fn next_index(&mut self) -> Option<StreamIndex> {
        let slot = match self.free.last() {
            Some(slot) => *slot,
            None => {
                let slot = u32::try_from(self.slots.len()).ok().filter(|slot| *slot < SLOTS_MAX)?;
                self.slots.push(Slot::default());
                self.free.push(slot);
                slot
            }
        };
        let lap = self.slots.get(slot as usize)?.lap;
        Some(StreamIndex { slot, lap })
    }

    /// Puts a stream where [`next_index`](Self::next_index) said.
    pub(super) fn insert(&mut self, stream: Box<Stream>) {
        let index = stream.index;
        debug_assert_eq!(self.free.last(), Some(&index.slot));
        self.free.pop();
        self.by_id.insert(stream.id, index);
        if let Some(slot) = self.slots.get_mut(index.slot as usize) {
            slot.stream = Some(stream);
        }
    }

    /// Takes a stream out; its index means nothing from now on.
    pub(super) fn remove(&mut self, index: StreamIndex) -> Option<Box<Stream>> {
        let slot = self.slots.get_mut(index.slot as usize)?;
        if slot.lap != index.lap {
            return None;
        }
        let stream = slot.stream.take()?;
        slot.lap = slot.lap.wrapping_add(1);
        self.by_id.remove(&stream.id);
        self.free.push(index.slot);
        Some(stream)
    }
}
