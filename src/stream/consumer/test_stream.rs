//! A stream in memory with consumers, driven by tests in virtual time.

use std::collections::BTreeSet;

use super::{Answer, Consumers};
use crate::store::{
    Commit, Extent, MemoryStore, Message, ReadError, Record, StorageKind, StoreError, Stores,
    StreamId, StreamStore, SubjectState,
};
use crate::stream::{
    ApiCall, Context, Incoming, Interest, JetStreamLimits, Nuid, Outbox, Output, Purpose,
    ServerIdentity, ServerLimits, StreamConfig, StreamIndex, StreamView,
};
use crate::subject::AccountId;

/// What somebody got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Got {
    pub(super) to: String,
    pub(super) subject: String,
    pub(super) reply: String,
    pub(super) headers: String,
    pub(super) payload: String,
}

/// Everybody is listened to, but who is named.
#[derive(Debug, Default)]
pub(super) struct Deaf(pub(super) BTreeSet<String>);

impl Interest for Deaf {
    fn has_interest(&mut self, _: AccountId, subject: &[u8]) -> bool {
        !self.0.contains(std::str::from_utf8(subject).unwrap())
    }

    fn has_listener(&mut self, account: AccountId, subject: &[u8], _: &[u8]) -> bool {
        self.has_interest(account, subject)
    }
}

#[derive(Debug)]
struct NoStores;

impl Stores for NoStores {
    fn create(
        &mut self,
        _: StorageKind,
        _: &[u8],
    ) -> Result<(StreamId, Box<dyn StreamStore>), StoreError> {
        Err(StoreError::Device(String::from("none")))
    }

    fn delete(&mut self, _: StreamId, _: Box<dyn StreamStore>) -> Commit {
        Commit::NONE
    }
}

/// A store in memory that keeps notes.
#[derive(Debug)]
pub(super) struct NotingStore {
    inner: MemoryStore,
    pub(super) notes: Vec<Vec<u8>>,
}

impl StreamStore for NotingStore {
    fn note(&mut self, bytes: &[u8]) {
        self.notes.push(bytes.to_vec());
    }

    fn kind(&self) -> StorageKind {
        self.inner.kind()
    }

    fn extent(&self) -> Extent {
        self.inner.extent()
    }

    fn subject_count(&self) -> u64 {
        self.inner.subject_count()
    }

    fn staged(&self) -> Commit {
        self.inner.staged()
    }

    fn append(&mut self, record: &Record<'_>) -> u64 {
        self.inner.append(record)
    }

    fn skip_to(&mut self, seq: u64) {
        self.inner.skip_to(seq);
    }

    fn remove(&mut self, seq: u64, erase: bool) -> bool {
        self.inner.remove(seq, erase)
    }

    fn remove_below(&mut self, seq: u64) -> u64 {
        self.inner.remove_below(seq)
    }

    fn begin_group(&mut self) {
        self.inner.begin_group();
    }

    fn end_group(&mut self) {
        self.inner.end_group();
    }

    fn read(&mut self, seq: u64, into: &mut Message) -> Result<bool, ReadError> {
        self.inner.read(seq, into)
    }

    fn contains(&self, seq: u64) -> bool {
        self.inner.contains(seq)
    }

    fn next_seq(&self, from: u64) -> Option<u64> {
        self.inner.next_seq(from)
    }

    fn seq_at_time(&mut self, time: u64) -> u64 {
        self.inner.seq_at_time(time)
    }

    fn subject(&self, subject: &[u8]) -> Option<SubjectState> {
        self.inner.subject(subject)
    }

    fn for_each_subject(
        &self,
        filters: &[Box<[u8]>],
        visit: &mut dyn FnMut(&[u8], SubjectState) -> bool,
    ) {
        self.inner.for_each_subject(filters, visit);
    }

    fn first_matching(&mut self, filters: &[Box<[u8]>], from: u64) -> Option<u64> {
        self.inner.first_matching(filters, from)
    }

    fn last_matching(&mut self, filters: &[Box<[u8]>], up_to: u64) -> Option<u64> {
        self.inner.last_matching(filters, up_to)
    }

    fn count_matching(&mut self, filters: &[Box<[u8]>], from: u64) -> u64 {
        self.inner.count_matching(filters, from)
    }

    fn for_each_gap(&self, visit: &mut dyn FnMut(u64, u64) -> bool) {
        self.inner.for_each_gap(visit);
    }
}

/// A stream, its consumers and all they touch.
#[derive(Debug)]
pub(super) struct TestStream {
    pub(super) config: StreamConfig,
    pub(super) store: NotingStore,
    pub(super) consumers: Consumers,
    pub(super) out: Outbox,
    pub(super) deaf: Deaf,
    pub(super) now: u64,
    server: ServerIdentity,
    limits: JetStreamLimits,
    server_limits: ServerLimits,
    nuid: Nuid,
}

macro_rules! parts {
    ($stream:ident, $view:ident, $ctx:ident) => {
        let mut stores = NoStores;
        let mut $view = StreamView {
            index: StreamIndex { slot: 0, lap: 0 },
            account: AccountId(0),
            account_name: "$G",
            limits: &$stream.limits,
            config: &$stream.config,
            created: 1,
            identity: "aaaaaaaa",
            store: &mut $stream.store,
            server: &$stream.server,
            server_limits: &$stream.server_limits,
            nuid: &mut $stream.nuid,
        };
        let mut $ctx = Context {
            now: $stream.now,
            interest: &mut $stream.deaf,
            stores: &mut stores,
            out: &mut $stream.out,
        };
    };
}

impl TestStream {
    pub(super) fn new(config: &str) -> Self {
        let mut config = StreamConfig::decode(config.as_bytes()).unwrap();
        config.name = String::from("S");
        config.num_replicas = 1;
        config.max_consumers = config.max_consumers.max(-1);
        Self {
            config,
            store: NotingStore {
                inner: MemoryStore::counting_as(StorageKind::File, 7),
                notes: Vec::new(),
            },
            consumers: Consumers::default(),
            out: Outbox::default(),
            deaf: Deaf::default(),
            now: 1_700_000_000_000_000_000,
            server: ServerIdentity {
                name: String::from("s1"),
                id: String::from("ID"),
                version: String::from("2.15.1"),
                domain: String::new(),
                max_payload: 1 << 20,
                has_long_acks: false,
            },
            limits: JetStreamLimits::default(),
            server_limits: ServerLimits::default(),
            nuid: Nuid::new(5),
        }
    }

    /// Sends a request and returns the answer without its type.
    pub(super) fn api(&mut self, verb: &str, rest: &str, payload: &str) -> String {
        parts!(self, view, ctx);
        let call = ApiCall {
            verb,
            stream: "S",
            rest,
            reply: b"answer",
            headers: b"",
            payload: payload.as_bytes(),
            strict: true,
        };
        let mut answer = Answer::default();
        self.consumers.handle_api(&call, &mut view, &mut ctx, &mut answer);
        let body = String::from_utf8(answer.body).unwrap();
        self.deliver();
        match body.split_once("_response\"") {
            Some((_, rest)) => format!("{{{}", rest.trim_start_matches(',')),
            None => body,
        }
    }

    /// Creates a consumer by the older request; returns the answer.
    pub(super) fn create(&mut self, name: &str, config: &str) -> String {
        let config = config.trim_start_matches('{');
        let comma = if config == "}" { "" } else { "," };
        let body =
            format!("{{\"stream_name\":\"S\",\"config\":{{\"name\":\"{name}\"{comma}{config}}}");
        self.api("CONSUMER.CREATE", name, &body)
    }

    pub(super) fn info(&mut self, name: &str) -> String {
        self.api("CONSUMER.INFO", name, "")
    }

    /// A number of a consumer's description.
    pub(super) fn number(&mut self, name: &str, key: &str) -> u64 {
        let info = self.info(name);
        let value: serde_json::Value = serde_json::from_str(&info).unwrap();
        key.split('.').fold(&value, |value, key| &value[key]).as_u64().unwrap()
    }

    pub(super) fn publish(&mut self, subject: &str, payload: &str) -> u64 {
        self.now += 1;
        let record = Record {
            time: self.now,
            subject: subject.as_bytes(),
            headers: b"",
            payload: payload.as_bytes(),
        };
        let seq = self.store.append(&record);
        self.consumers.stored(seq, subject.as_bytes());
        self.deliver();
        seq
    }

    pub(super) fn remove(&mut self, seq: u64) -> bool {
        let mut message = Message::default();
        let is_there = self.store.read(seq, &mut message).unwrap() && self.store.remove(seq, false);
        if is_there {
            self.consumers.removed(seq, Some(message.subject()));
            self.deliver();
        }
        is_there
    }

    pub(super) fn store_has(&self, seq: u64) -> bool {
        self.store.contains(seq)
    }

    pub(super) fn purge_below(&mut self, seq: u64) {
        self.store.remove_below(seq);
        parts!(self, view, ctx);
        self.consumers.purged(&mut view);
        self.consumers.deliver(&mut view, &mut ctx);
    }

    pub(super) fn next(&mut self, name: &str, body: &str, reply: &str) {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.S.{name}");
        self.incoming(name, &subject, body, reply, Kind::Next);
    }

    pub(super) fn ack(&mut self, name: &str, subject: &str, body: &str, reply: &str) {
        self.incoming(name, subject, body, reply, Kind::Ack);
    }

    pub(super) fn flow(&mut self, name: &str, subject: &str) {
        self.flow_with(name, subject, "");
    }

    /// The answer of a client that says how far it has come.
    pub(super) fn flow_with(&mut self, name: &str, subject: &str, headers: &str) {
        let Some(index) = self.consumers.by_name.get(name).copied() else { return };
        parts!(self, view, ctx);
        let message = Incoming {
            token: Purpose::Api.token(),
            account: AccountId(0),
            subject: subject.as_bytes(),
            reply: b"",
            headers: headers.as_bytes(),
            payload: b"",
        };
        self.consumers.handle_flow_reply(index, &message, &mut ctx);
        while self.consumers.deliver(&mut view, &mut ctx) {}
    }

    fn incoming(&mut self, name: &str, subject: &str, body: &str, reply: &str, kind: Kind) {
        let Some(index) = self.consumers.by_name.get(name).copied() else { return };
        parts!(self, view, ctx);
        let message = Incoming {
            token: Purpose::Api.token(),
            account: AccountId(0),
            subject: subject.as_bytes(),
            reply: reply.as_bytes(),
            headers: b"",
            payload: body.as_bytes(),
        };
        match kind {
            Kind::Next => self.consumers.handle_next(index, &message, &mut view, &mut ctx),
            Kind::Ack => self.consumers.handle_ack(index, &message, &mut view, &mut ctx),
        }
        self.deliver();
    }

    pub(super) fn deliver(&mut self) {
        parts!(self, view, ctx);
        while self.consumers.deliver(&mut view, &mut ctx) {}
    }

    pub(super) fn interest(&mut self, pattern: &str) {
        parts!(self, view, ctx);
        self.consumers.handle_interest(pattern.as_bytes(), &mut view, &mut ctx);
        while self.consumers.deliver(&mut view, &mut ctx) {}
    }

    /// Lets time pass, and everything happen that is due meanwhile.
    pub(super) fn pass(&mut self, nanoseconds: u64) {
        let end = self.now + nanoseconds;
        let mut rounds = 0;
        while let Some(at) = self.consumers.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            parts!(self, view, ctx);
            self.consumers.handle_timers(&mut view, &mut ctx);
            while self.consumers.deliver(&mut view, &mut ctx) {}
            rounds += 1;
            assert!(rounds < 100_000, "time stands still");
        }
        self.now = end;
    }

    /// A new start from snapshot and notes.
    pub(super) fn restart(&mut self, snapshot: &[u8], notes: &[Vec<u8>]) {
        self.consumers = Consumers::default();
        parts!(self, view, ctx);
        assert!(self.consumers.restore(snapshot, &mut view));
        for note in notes {
            assert!(self.consumers.replay_note(note, &mut view), "{note:?}");
        }
        self.consumers.finish_recovery(&mut view, &mut ctx);
        while self.consumers.deliver(&mut view, &mut ctx) {}
    }

    /// Adds a consumer as an archive has it; whether it is one.
    pub(super) fn add_archived(&mut self, text: &str) -> bool {
        parts!(self, view, ctx);
        self.consumers.add_archived(text.as_bytes(), &mut view, &mut ctx).is_ok()
    }

    /// Replays bytes after the two that say that they are changes of a consumer.
    pub(super) fn replay_anything(&mut self, bytes: &[u8]) {
        parts!(self, view, ctx);
        let kinds = [0, 1, 2];
        for kind in kinds {
            let note = [&[1, kind], bytes].concat();
            let _ = self.consumers.replay_note(&note, &mut view);
        }
        let _ = self.consumers.replay_note(&[&[1, 1, 0][..], bytes].concat(), &mut view);
        let _ = &mut ctx;
    }

    /// Everything that was said since the last call, without subscriptions.
    pub(super) fn said(&mut self) -> Vec<Got> {
        let mut said = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        while self.out.pop(Commit(u64::MAX), |output| {
            if let Output::Publish(message) = output {
                said.push(Got {
                    to: text(message.to),
                    subject: text(message.subject),
                    reply: text(message.reply),
                    headers: text(message.headers),
                    payload: text(message.payload),
                });
            }
        }) {}
        said
    }

    /// The same without advisories, as short lines.
    pub(super) fn heard(&mut self) -> Vec<String> {
        let said = self.said();
        let said = said.into_iter().filter(|got| !got.to.starts_with("$JS.EVENT."));
        said.map(|got| match got.headers.strip_prefix("NATS/1.0 ") {
            Some(status) => format!("{} {}", got.to, status.trim_end().replace("\r\n", " | ")),
            None if got.reply.is_empty() => format!("{} <{}>", got.to, got.payload),
            None => {
                let numbers: Vec<&str> = got.reply.split('.').skip(4).collect();
                let [deliveries, seq, consumer_seq, _, pending] = numbers[..] else {
                    return format!("{got:?}");
                };
                format!("{} {} {deliveries}/{seq}/{consumer_seq}/{pending}", got.to, got.payload)
            }
        })
        .collect()
    }

    /// The ack subjects of what was said.
    pub(super) fn acks(&mut self) -> Vec<String> {
        let said = self.said().into_iter();
        said.filter(|got| got.reply.starts_with("$JS.ACK.")).map(|got| got.reply).collect()
    }
}

enum Kind {
    Next,
    Ack,
}
