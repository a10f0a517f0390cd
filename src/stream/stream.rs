//! One stream: its configuration, messages and consumers, and what is derived from them.

use super::batch::Batches;
use super::config::{Retention, StreamConfig};
use super::consumer::Consumers;
use super::dedup::Dedup;
use super::expiry::Expiry;
use super::fast_batch::FastBatches;
use super::feed::{feeds_of, Feed};
use super::json::{write_string, Object};
use super::nuid::short_hash;
use super::schedule::Schedules;
use super::shared::Shared;
use super::snapshot::Snapshots;
use super::time::format_time;
use super::token::{Purpose, StreamIndex};
use super::view::{JetStreamLimits, ServerIdentity, StreamView};
use super::{ApiError, Context, Token};
use crate::store::{StreamId, StreamStore};
use crate::subject::{AccountId, Transform};

/// A stream. Its parts are borrowed apart: consumers see the rest as a [`StreamView`].
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) index: StreamIndex,
    pub(super) id: StreamId,
    pub(super) account: AccountId,
    pub(super) account_name: String,
    pub(super) limits: JetStreamLimits,
    pub(super) config: StreamConfig,
    /// When it was made.
    pub(super) created: u64,
    pub(super) store: Box<dyn StreamStore>,
    pub(super) consumers: Consumers,
    pub(super) dedup: Dedup,
    pub(super) expiry: Expiry,
    pub(super) derived: Derived,
    /// Bytes that the account was told of.
    pub(super) bytes_counted: u64,
    /// The earliest deadline that the engine was told of.
    pub(super) armed: u64,
    /// The next run of the limit of age, not before.
    pub(super) age_not_before: u64,
    /// Where its messages come from, if not from publishers.
    pub(super) feeds: Vec<Feed>,
    /// Streams that it feeds.
    pub(super) followers: Vec<StreamIndex>,
    /// It has messages that those it feeds were not told of.
    pub(super) grew: bool,
    /// Those it is fed by may have messages for it.
    pub(super) is_hungry: bool,
    /// Archives of it that are being sent.
    pub(super) snapshots: Snapshots,
    /// It is not there for anybody yet.
    pub(super) is_restoring: bool,
    pub(super) schedules: Schedules,
    pub(super) batches: Batches,
    pub(super) fast_batches: FastBatches,
}

/// What follows from the configuration, made once.
#[derive(Debug, Default)]
pub(super) struct Derived {
    /// A PubAck up to the sequence.
    pub(super) ack_prefix: Vec<u8>,
    /// What a publisher is told if its message could not be made durable.
    pub(super) failure: Vec<u8>,
    /// `8` characters that stand for the stream's time of creation.
    pub(super) identity: String,
    pub(super) transform: Option<Transform>,
    pub(super) republish: Option<Transform>,
    /// Nanoseconds; 0 for none.
    pub(super) max_age: u64,
    /// Nanoseconds; 0 for none.
    pub(super) marker_ttl: u64,
    /// Messages are kept for consumers only.
    pub(super) for_interest: bool,
}

impl Derived {
    pub(super) fn new(config: &StreamConfig, created: u64, server: &ServerIdentity) -> Self {
        let mut ack_prefix = b"{\"stream\":".to_vec();
        write_string(&mut ack_prefix, config.name.as_bytes());
        if !server.domain.is_empty() {
            ack_prefix.extend_from_slice(b",\"domain\":");
            write_string(&mut ack_prefix, server.domain.as_bytes());
        }
        ack_prefix.extend_from_slice(b",\"seq\":");
        let mut failure = Vec::new();
        let lost = ApiError::STREAM_STORE_FAILED.with("message could not be made durable");
        write_publish_error(&mut failure, &config.name, &lost);
        let transform = config.subject_transform.as_ref();
        let republish = config.republish.as_ref().filter(|republish| !republish.dest.is_empty());
        Self {
            ack_prefix,
            failure,
            identity: short_hash(format_time(created).as_bytes()),
            transform: transform
                .filter(|mapping| !mapping.dest.is_empty())
                .and_then(|mapping| Transform::new(&mapping.src, &mapping.dest).ok()),
            republish: republish
                .and_then(|republish| Transform::new(&republish.src, &republish.dest).ok()),
            max_age: u64::try_from(config.max_age).unwrap_or(0),
            marker_ttl: u64::try_from(config.subject_delete_marker_ttl).unwrap_or(0),
            for_interest: config.retention == Retention::Interest,
        }
    }
}

impl Stream {
    /// A new stream over its store.
    #[expect(clippy::too_many_arguments, reason = "everything a stream is made of, once")]
    pub(super) fn new(
        index: StreamIndex,
        id: StreamId,
        account: AccountId,
        account_name: String,
        limits: JetStreamLimits,
        config: StreamConfig,
        created: u64,
        store: Box<dyn StreamStore>,
        server: &ServerIdentity,
    ) -> Self {
        let window = u64::try_from(config.duplicate_window).unwrap_or(0);
        Self {
            index,
            id,
            account,
            account_name,
            limits,
            derived: Derived::new(&config, created, server),
            feeds: feeds_of(&config, Vec::new(), server),
            config,
            created,
            store,
            consumers: Consumers::default(),
            dedup: Dedup::new(window, created),
            expiry: Expiry::default(),
            snapshots: Snapshots::default(),
            is_restoring: false,
            schedules: Schedules::default(),
            batches: Batches::default(),
            fast_batches: FastBatches::default(),
            bytes_counted: 0,
            armed: u64::MAX,
            age_not_before: 0,
            followers: Vec::new(),
            grew: false,
            is_hungry: false,
        }
    }

    /// Subscribes to what the stream takes and answers.
    pub(super) fn subscribe(&self, ctx: &mut Context<'_>) {
        self.for_each_subscription(|token, pattern, queue| {
            ctx.out.subscribe(token, self.account, pattern, queue);
        });
    }

    /// Ends what [`subscribe`](Self::subscribe) began.
    pub(super) fn unsubscribe(&self, ctx: &mut Context<'_>) {
        self.for_each_subscription(|token, pattern, _| {
            ctx.out.unsubscribe(token, self.account, pattern);
        });
        for remote in self.feeds.iter().filter_map(|feed| feed.remote.as_ref()) {
            remote.for_each_subscription(self.index, |purpose, pattern| {
                ctx.out.unsubscribe(purpose.token(), self.account, pattern);
            });
        }
    }

    fn for_each_subscription(&self, mut each: impl FnMut(Token, &[u8], Option<&[u8]>)) {
        let token = Purpose::Publish(self.index).token();
        for subject in &self.config.subjects {
            each(token, subject.as_bytes(), None);
        }
        let mut direct = |name: &str| {
            let mut pattern = ["$JS.API.DIRECT.GET.", name].concat();
            let queue = Some(DIRECT_QUEUE);
            each(Purpose::DirectGet(self.index).token(), pattern.as_bytes(), queue);
            pattern.push_str(".>");
            each(Purpose::DirectGetLast(self.index).token(), pattern.as_bytes(), queue);
        };
        if self.config.allow_direct {
            direct(&self.config.name);
        }
        if let Some(mirror) = self.config.mirror.as_ref().filter(|_| self.config.mirror_direct) {
            direct(&mirror.name);
        }
    }

    /// The stream's name.
    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// The consumers, and the stream as they see it.
    pub(super) fn split<'a>(
        &'a mut self,
        shared: &'a mut Shared,
    ) -> (&'a mut Consumers, StreamView<'a>) {
        let view = StreamView {
            index: self.index,
            account: self.account,
            account_name: &self.account_name,
            limits: &self.limits,
            config: &self.config,
            created: self.created,
            identity: &self.derived.identity,
            store: &mut *self.store,
            server: &shared.server,
            server_limits: &shared.limits,
            nuid: &mut shared.nuid,
        };
        (&mut self.consumers, view)
    }

    /// Removes a message whose subject is known, and tells the consumers.
    pub(super) fn remove(
        &mut self,
        seq: u64,
        subject: Option<&[u8]>,
        erase: bool,
        shared: &mut Shared,
    ) -> bool {
        if !self.store.remove(seq, erase) {
            return false;
        }
        self.expiry.removed(seq);
        let (consumers, _) = self.split(shared);
        consumers.removed(seq, subject);
        true
    }

    /// Removes everything below `seq`, and tells the consumers. Returns how many messages went.
    pub(super) fn remove_below(&mut self, seq: u64, shared: &mut Shared) -> u64 {
        let removed = self.store.remove_below(seq);
        self.expiry.removed_below(seq);
        let (consumers, mut view) = self.split(shared);
        consumers.purged(&mut view);
        removed
    }

    /// Whether anybody wants messages of that subject, if that is what keeps them.
    pub(super) fn keeps(&self, subject: &[u8]) -> bool {
        !self.derived.for_interest || self.consumers.wants(subject) || !self.followers.is_empty()
    }

    /// Tells the account of bytes that came or went.
    pub(super) fn settle(&mut self, shared: &mut Shared) {
        let bytes = self.store.extent().bytes;
        if bytes == self.bytes_counted {
            return;
        }
        shared.change_used(self.account, self.store.kind(), self.bytes_counted, bytes);
        self.bytes_counted = bytes;
    }

    /// When the limit of age is to be looked at.
    pub(super) fn next_aged(&self) -> Option<u64> {
        if self.derived.max_age == 0 {
            return None;
        }
        let extent = self.store.extent();
        if extent.messages <= self.expiry.kept_count() {
            return None;
        }
        let due = self.expiry.first_aged(extent.first_time).saturating_add(self.derived.max_age);
        Some(due.max(self.age_not_before))
    }

    /// When the stream wants to be called, whatever happens.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        let mut deadline = self.consumers.next_deadline();
        let mut also = |other: Option<u64>| {
            if let Some(other) = other {
                deadline = Some(deadline.map_or(other, |one| one.min(other)));
            }
        };
        also(self.dedup.next_deadline());
        also(self.expiry.next_deadline());
        also(self.schedules.next_deadline());
        also(self.batches.next_deadline());
        also(self.fast_batches.next_deadline());
        also(self.next_aged());
        also(self.snapshots.next_deadline());
        also(self.feeds.iter().filter_map(|feed| Some(feed.remote.as_ref()?.deadline())).min());
        also(self.feeds.iter().map(|feed| feed.retry_at).filter(|at| *at > 0).min());
        deadline
    }
}

/// Appends what a publisher is told of an error.
pub(super) fn write_publish_error(out: &mut Vec<u8>, stream: &str, error: &ApiError) {
    let mut object = Object::open(out);
    error.write(object.key("error"));
    object.string("stream", stream);
    object.uint("seq", 0);
    object.close();
}

/// The queue group of all that answer direct gets of a stream.
const DIRECT_QUEUE: &[u8] = b"_sys_";
