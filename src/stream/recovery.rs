//! What the store keeps of a stream besides its messages, and how it comes back.
//!
//! Recovery, in this order: [`restore`](Engine::restore) with each stream's head, the newest
//! snapshot and its store; then what happened after that snapshot, in the order it did; then
//! [`finish_recovery`](Engine::finish_recovery). Streams of accounts that are not there yet wait for
//! them.

use std::collections::BTreeMap;

use super::config::StreamConfig;
use super::dedup::take;
use super::engine::Engine;
use super::json::{Decoder, Field, Object};
use super::publish_headers::PublishHeaders;
use super::stream::{Derived, Stream};
use super::token::StreamIndex;
use super::view::JetStreamLimits;
use super::{feed, Context};
use crate::store::{Record, StreamId, StreamStore};
use crate::subject::AccountId;

/// Streams that came back and are not in the table.
#[derive(Debug, Default)]
pub(super) struct Restored {
    streams: BTreeMap<StreamId, Box<Stream>>,
    /// What is known of those that make no sense to this server, and may to another: it is kept
    /// as it is.
    unreadable: BTreeMap<StreamId, Box<[u8]>>,
}

impl Engine {
    /// Takes back a stream as it was when `snapshot` was taken; an empty one is that of a new
    /// stream. Returns whether that was possible.
    pub fn restore(
        &mut self,
        id: StreamId,
        head: &[u8],
        snapshot: &[u8],
        store: Box<dyn StreamStore>,
    ) -> bool {
        let is_read = self.try_restore(id, head, snapshot, store);
        if is_read {
            self.restored.unreadable.remove(&id);
        } else {
            self.restored.unreadable.insert(id, snapshot.into());
        }
        is_read
    }

    fn try_restore(
        &mut self,
        id: StreamId,
        head: &[u8],
        snapshot: &[u8],
        store: Box<dyn StreamStore>,
    ) -> bool {
        let Some(head) = Head::read(head) else { return false };
        let stream = Stream::new(
            StreamIndex { slot: 0, lap: 0 },
            id,
            AccountId(0),
            head.account,
            JetStreamLimits::default(),
            head.config,
            head.created,
            store,
            &self.shared.server,
        );
        let mut stream = Box::new(stream);
        if !snapshot.is_empty() && stream.restore(snapshot, &mut self.shared).is_none() {
            return false;
        }
        self.restored.streams.insert(id, stream);
        true
    }

    /// Lets go of a stream whose changes were taken back; [`restore`](Self::restore) has brought it
    /// as it is now, if it is still there, and [`finish_recovery`](Self::finish_recovery) puts it
    /// in its place.
    pub fn forget(&mut self, id: StreamId, ctx: &mut Context<'_>) {
        self.drop_restores(|stream| stream.id == id, ctx);
        let Some(index) = self.streams.find(id).map(|stream| stream.index) else { return };
        let Some(mut stream) = self.streams.remove(index) else { return };
        let kind = stream.store.kind();
        stream.unsubscribe(ctx);
        stream.snapshots.clear((index, stream.account), ctx);
        let (consumers, view) = stream.split(&mut self.shared);
        consumers.stand_down(&view, ctx);
        if let Some(restored) = self.restored.streams.get_mut(&id) {
            restored.consumers.take_over(std::mem::take(&mut stream.consumers));
        }
        self.shared.change_used(stream.account, kind, stream.bytes_counted, 0);
        self.shared.change_reserved(stream.account, kind, stream.config.max_bytes, 0);
        if let Some(account) = self.shared.accounts.get_mut(&stream.account) {
            account.streams.retain(|_, known| *known != index);
        }
    }

    /// A message was stored after the snapshot.
    pub fn replay_appended(&mut self, id: StreamId, seq: u64, record: &Record<'_>) {
        if let Some(stream) = self.restored.streams.get_mut(&id) {
            stream.replay_appended(seq, record);
        }
    }

    /// A message was removed after the snapshot.
    pub fn replay_removed(&mut self, id: StreamId, seq: u64) {
        if let Some(stream) = self.restored.streams.get_mut(&id) {
            stream.expiry.removed(seq);
        }
    }

    /// All messages below `seq` were removed after the snapshot.
    pub fn replay_removed_below(&mut self, id: StreamId, seq: u64) {
        if let Some(stream) = self.restored.streams.get_mut(&id) {
            stream.expiry.removed_below(seq);
        }
    }

    /// A note was written after the snapshot.
    pub fn replay_note(&mut self, id: StreamId, bytes: &[u8]) {
        let Some(stream) = self.restored.streams.get_mut(&id) else { return };
        match bytes {
            [OWN_NOTE, CONFIG_NOTE, config @ ..] => {
                if let Ok(config) = StreamConfig::decode(config) {
                    stream.replace_config(config, &self.shared.server);
                }
            }
            [OWN_NOTE, RESTORING, ..] => stream.is_restoring = true,
            [OWN_NOTE, RESTORED, ..] => stream.is_restoring = false,
            [OWN_NOTE, ..] | [] => {}
            _ => {
                let (consumers, mut view) = stream.split(&mut self.shared);
                consumers.replay_note(bytes, &mut view);
            }
        }
    }

    /// The stream was deleted after the snapshot, or never came to be.
    pub fn replay_deleted(&mut self, id: StreamId) {
        self.restored.streams.remove(&id);
        self.restored.unreadable.remove(&id);
    }

    /// Everything is replayed: streams whose account is there begin to work.
    pub fn finish_recovery(&mut self, ctx: &mut Context<'_>) {
        // What a restore has left unfinished is nobody's.
        let streams = &mut self.restored.streams;
        let unfinished: Vec<StreamId> =
            streams.iter().filter(|(_, s)| s.is_restoring).map(|(id, _)| *id).collect();
        for stream in unfinished.into_iter().filter_map(|id| streams.remove(&id)) {
            ctx.stores.delete(stream.id, stream.store);
        }
        let accounts: Vec<AccountId> = self.shared.accounts.keys().copied().collect();
        for account in accounts {
            self.adopt(account, ctx);
        }
    }

    /// Appends the state of a stream that [`restore`](Self::restore) takes; nothing if there is no
    /// such stream.
    pub fn snapshot(&self, id: StreamId, out: &mut Vec<u8>) {
        let stream = self.streams.find(id);
        let stream = stream.or_else(|| self.restored.streams.get(&id).map(|stream| &**stream));
        let stream = stream.or_else(|| self.restores.find(id));
        match stream {
            Some(stream) => stream.snapshot(out),
            None => {
                out.extend(self.restored.unreadable.get(&id).into_iter().flatten());
            }
        }
    }

    /// Puts restored streams of an account into the table.
    pub(super) fn adopt(&mut self, account: AccountId, ctx: &mut Context<'_>) {
        let Some(entry) = self.shared.accounts.get(&account) else { return };
        let limits = entry.limits.unwrap_or_default();
        let mine = |stream: &Stream| stream.account_name == entry.name;
        let ids: Vec<StreamId> = self
            .restored
            .streams
            .iter()
            .filter(|(_, stream)| mine(stream))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let Some(mut stream) = self.restored.streams.remove(&id) else { continue };
            let Some(index) = self.streams.next_index() else { continue };
            stream.index = index;
            stream.account = account;
            stream.limits = limits;
            stream.subscribe(ctx);
            let (consumers, mut view) = stream.split(&mut self.shared);
            consumers.finish_recovery(&mut view, ctx);
            self.insert_stream(stream);
            self.go_on(index, ctx);
        }
        self.refresh_feeds(account, ctx);
    }

    /// A stream whose account is gone waits for it.
    pub(super) fn set_aside(&mut self, stream: Box<Stream>) {
        self.restored.streams.insert(stream.id, stream);
    }
}

impl Stream {
    /// Takes another configuration, without what follows from it outside.
    pub(super) fn replace_config(
        &mut self,
        config: StreamConfig,
        server: &super::view::ServerIdentity,
    ) {
        self.feeds = feed::feeds_of(&config, std::mem::take(&mut self.feeds), server);
        self.config = config;
        self.derived = Derived::new(&self.config, self.created, server);
        self.dedup.set_window(u64::try_from(self.config.duplicate_window).unwrap_or(0));
        self.age_not_before = 0;
    }

    /// A message was stored that no publisher sent just now.
    pub(super) fn replay_appended(&mut self, seq: u64, record: &Record<'_>) {
        if record.headers.is_empty() {
            return;
        }
        feed::replayed(&mut self.feeds, record.headers);
        let headers = PublishHeaders::read(record.headers);
        if let Some(msg_id) = headers.msg_id.filter(|id| !id.is_empty()) {
            self.dedup.insert(msg_id, seq, record.time);
        }
        if self.config.allow_msg_ttl {
            self.expiry.replayed(seq, record.time, record.headers);
        }
        if self.config.allow_msg_schedules {
            self.schedules.replayed(record.subject, seq, record.headers, record.time);
        }
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.push(if self.is_restoring { UNFINISHED_VERSION } else { SNAPSHOT_VERSION });
        let mut config = Vec::new();
        self.config.write(&mut config);
        out.extend_from_slice(&(config.len() as u64).to_le_bytes());
        out.extend_from_slice(&config);
        self.dedup.snapshot(out);
        self.expiry.snapshot(out);
        self.schedules.snapshot(out);
        feed::snapshot(&self.feeds, out);
        self.consumers.snapshot(out);
    }

    fn restore(&mut self, mut bytes: &[u8], shared: &mut super::shared::Shared) -> Option<()> {
        let bytes = &mut bytes;
        match take::<1>(bytes)? {
            [SNAPSHOT_VERSION] => self.is_restoring = false,
            [UNFINISHED_VERSION] => self.is_restoring = true,
            _ => return None,
        }
        let len = usize::try_from(u64::from_le_bytes(take(bytes)?)).ok()?;
        let (config, rest) = bytes.split_at_checked(len)?;
        *bytes = rest;
        self.replace_config(StreamConfig::decode(config).ok()?, &shared.server);
        self.dedup.restore(bytes)?;
        self.expiry.restore(bytes)?;
        let store = &mut self.store;
        self.schedules.restore(bytes, |seq| {
            let is_read = matches!(store.read(seq, &mut shared.message), Ok(true));
            is_read.then(|| shared.message.headers().to_vec())
        })?;
        feed::restore(&mut self.feeds, bytes)?;
        let rest: &[u8] = bytes;
        let (consumers, mut view) = self.split(shared);
        consumers.restore(rest, &mut view);
        Some(())
    }
}

/// Who a stream is.
#[derive(Debug, Default)]
struct Head {
    account: String,
    created: u64,
    config: StreamConfig,
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut head = Self::default();
        Decoder::request(bytes, "Head", false, |decoder, key, value| match key {
            "account" => decoder.string(value, &mut head.account),
            "created" => decoder.uint(value, &mut head.created),
            "config" => {
                decoder.object(value, "StreamConfig", |decoder, key, value| {
                    head.config.decode_field(decoder, key, value)
                })?;
                Ok(Field::Known)
            }
            _ => Ok(Field::Unknown),
        })
        .ok()?;
        (!head.config.name.is_empty()).then_some(head)
    }
}

/// The head of a stream: who it is.
pub(super) fn write_head(account: &str, config: &StreamConfig, created: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    object.string("account", account);
    object.uint("created", created);
    config.write(object.key("config"));
    object.close();
    out
}

/// The note that a stream has a new configuration.
pub(super) fn write_config_note(config: &StreamConfig) -> Vec<u8> {
    let mut out = vec![OWN_NOTE, CONFIG_NOTE];
    config.write(&mut out);
    out
}

/// First byte of a note of the stream itself.
const OWN_NOTE: u8 = 0;
/// Second byte: a configuration follows.
const CONFIG_NOTE: u8 = 1;
/// Second byte: the stream is being restored, and nobody's. Without this note it is not: one whose
/// files are damaged must not be taken for unfinished.
const RESTORING: u8 = 2;
/// The note that a restore begins.
pub(super) const RESTORING_NOTE: [u8; 2] = [OWN_NOTE, RESTORING];
/// Second byte: the stream is restored.
const RESTORED: u8 = 3;
/// The note that a stream is restored.
pub(super) const RESTORED_NOTE: [u8; 2] = [OWN_NOTE, RESTORED];
const SNAPSHOT_VERSION: u8 = 1;
/// The same of a stream that is still being restored.
const UNFINISHED_VERSION: u8 = 2;
