//! Mirrors and sources: streams that take their messages from other streams.
//!
//! From a stream of the same account nothing goes over the wire: when it has grown, those fed by it
//! are due at once, and take at most [`MESSAGES_MAX`] messages each time. Other origins are reached
//! as `remote_feed` says. A mirror keeps sequences and times and goes on after its last message; a
//! source gives new ones, and goes on after what the last `Nats-Stream-Source` header of it says.

use super::config::{Discard, Retention, StreamConfig, StreamSource};
use super::counter;
use super::dedup::take;
use super::engine::Engine;
use super::expiry::Ttl;
use super::nuid::short_hash;
use super::publish::{check_rollup, check_room, enforce_limits, roll_up, store_record, Accepted};
use super::publish_headers::{parse_uint, write_header, PublishHeaders};
use super::remote_feed::Remote;
use super::shared::Shared;
use super::stream::Stream;
use super::token::StreamIndex;
use super::view::ServerIdentity;
use super::Context;
use crate::proto::HeaderBlock;
use crate::store::{Message, Record};
use crate::subject::{matches, AccountId, Transform};

/// One stream that another is fed by.
#[derive(Debug)]
pub(super) struct Feed {
    /// Its name.
    pub(super) origin: String,
    /// The name that headers give it, which tells ways to it apart.
    pub(super) label: String,
    pub(super) is_mirror: bool,
    /// How it is reached, if it is not a stream of the account.
    pub(super) remote: Option<Remote>,
    /// The next sequence of the origin; 0: not begun.
    pub(super) next: u64,
    /// Which stream of that name it was.
    pub(super) identity: String,
    /// When a message came last; 0 for never.
    pub(super) active: u64,
    /// Messages yet to be taken.
    pub(super) lag: u64,
    /// When it was found that the account has no stream of that name; 0: it has.
    pub(super) missing_since: u64,
    /// When a message that there was no room for is tried again; 0: there is none.
    pub(super) retry_at: u64,
    patterns: Vec<Box<[u8]>>,
    mappings: Vec<Option<Transform>>,
    /// How filters and destinations are spelt in headers.
    pub(super) filter: String,
    destination: String,
    pub(super) start_seq: u64,
    pub(super) start_time: Option<u64>,
}

/// What is said of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FeedState {
    /// Messages yet to be taken.
    pub(super) lag: u64,
    /// The last one taken; 0 for none.
    pub(super) seq: u64,
    /// Nanoseconds since a message came; -1 for never.
    pub(super) active: i64,
}

impl Feed {
    fn new(source: &StreamSource, is_mirror: bool, server: &ServerIdentity) -> Self {
        let mappings = &source.subject_transforms;
        let join = |parts: Vec<&str>| {
            let parts: Vec<&str> =
                parts.into_iter().map(|part| if part.is_empty() { ">" } else { part }).collect();
            if parts.is_empty() {
                String::from(">")
            } else {
                parts.join("\x0c")
            }
        };
        let (filter, destination) = if mappings.is_empty() {
            (join(vec![&source.filter_subject]), String::from(">"))
        } else {
            (
                join(mappings.iter().map(|mapping| mapping.src.as_str()).collect()),
                join(mappings.iter().map(|mapping| mapping.dest.as_str()).collect()),
            )
        };
        let patterns = filter.split('\x0c').map(|part| Box::from(part.as_bytes())).collect();
        let transforms = mappings.iter().map(|mapping| {
            let has_destination = !mapping.dest.is_empty();
            has_destination.then(|| Transform::new(&mapping.src, &mapping.dest).ok()).flatten()
        });
        let mut label = source.name.clone();
        if let Some(external) = &source.external {
            label.push_str(&[":", &short_hash(external.api.as_bytes())].concat());
        }
        if let Some(consumer) = &source.consumer {
            label.push_str(&[":C=", &short_hash(consumer.name.as_bytes())].concat());
        }
        Self {
            origin: source.name.clone(),
            label,
            is_mirror,
            remote: Remote::of(source, server),
            next: 0,
            identity: String::new(),
            active: 0,
            lag: 0,
            missing_since: 0,
            retry_at: 0,
            mappings: transforms.collect(),
            patterns,
            filter,
            destination,
            start_seq: source.opt_start_seq,
            start_time: source.opt_start_time,
        }
    }

    /// What is said of it.
    pub(super) fn state(&self, now: u64) -> FeedState {
        let since = now.saturating_sub(self.active);
        FeedState {
            lag: self.lag,
            seq: self.next.saturating_sub(1),
            active: if self.active == 0 { -1 } else { i64::try_from(since).unwrap_or(i64::MAX) },
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.is_mirror == other.is_mirror
            && self.label == other.label
            && self.filter == other.filter
            && self.destination == other.destination
    }

    /// Patterns of what is wanted; none for everything.
    pub(super) fn filters(&self) -> &[Box<[u8]>] {
        // One pattern for everything is no filter.
        match self.patterns.as_slice() {
            [all] if **all == *b">" => &[],
            patterns => patterns,
        }
    }

    /// Appends what a subject becomes.
    fn map(&self, subject: &[u8], random: u64, out: &mut Vec<u8>) {
        let found = self.patterns.iter().position(|pattern| matches(pattern, subject));
        let mapping = found.and_then(|index| self.mappings.get(index)).and_then(Option::as_ref);
        if !mapping.is_some_and(|mapping| mapping.apply(subject, random, out)) {
            out.clear();
            out.extend_from_slice(subject);
        }
    }
}

/// The feeds of a configuration; those that were among `before` go on where they were.
pub(super) fn feeds_of(
    config: &StreamConfig,
    before: Vec<Feed>,
    server: &ServerIdentity,
) -> Vec<Feed> {
    let mirror = config.mirror.iter().map(|source| Feed::new(source, true, server));
    let sources = config.sources.iter().map(|source| Feed::new(source, false, server));
    let mut feeds: Vec<Feed> = mirror.chain(sources).collect();
    for old in before {
        if let Some(feed) = feeds.iter_mut().find(|feed| feed.is_same(&old)) {
            feed.next = old.next;
            feed.identity = old.identity;
            feed.active = old.active;
        }
    }
    feeds
}

/// A message that is replayed came from one of the feeds.
pub(super) fn replayed(feeds: &mut [Feed], headers: &[u8]) {
    let Some(source) = PublishHeaders::read(headers).source else { return };
    let mut fields = source.split(|byte| *byte == b' ');
    let (Some(origin), Some(seq), Some(filter), Some(destination), _) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return;
    };
    let Some(seq) = parse_uint(seq) else { return };
    let is_it = |feed: &&mut Feed| {
        feed.label.as_bytes() == origin
            && feed.filter.as_bytes() == filter
            && feed.destination.as_bytes() == destination
    };
    if let Some(feed) = feeds.iter_mut().find(is_it) {
        feed.next = seq + 1;
        feed.identity = String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned();
    }
}

/// Appends how far feeds are, for [`restore`].
pub(super) fn snapshot(feeds: &[Feed], out: &mut Vec<u8>) {
    out.extend_from_slice(&(feeds.len() as u64).to_le_bytes());
    for feed in feeds {
        out.extend_from_slice(&feed.next.to_le_bytes());
        out.extend_from_slice(&(feed.identity.len() as u64).to_le_bytes());
        out.extend_from_slice(feed.identity.as_bytes());
    }
}

/// Takes back what [`snapshot`] wrote of the same feeds, from the front of `bytes`.
pub(super) fn restore(feeds: &mut [Feed], bytes: &mut &[u8]) -> Option<()> {
    let count = u64::from_le_bytes(take(bytes)?);
    for index in 0..count {
        let next = u64::from_le_bytes(take(bytes)?);
        let len = usize::try_from(u64::from_le_bytes(take(bytes)?)).ok()?;
        let (identity, rest) = bytes.split_at_checked(len)?;
        *bytes = rest;
        let feed = usize::try_from(index).ok().and_then(|index| feeds.get_mut(index));
        if let Some(feed) = feed {
            feed.next = next;
            feed.identity = String::from_utf8_lossy(identity).into_owned();
        }
    }
    Some(())
}

impl Engine {
    /// Says of every stream of an account which others it feeds, and makes those due.
    pub(super) fn refresh_feeds(&mut self, account: AccountId, ctx: &mut Context<'_>) {
        let Some(entry) = self.shared.accounts.get(&account) else { return };
        let indices: Vec<StreamIndex> = entry.streams.values().copied().collect();
        let mut edges = Vec::new();
        for index in &indices {
            let Some(stream) = self.streams.get_mut(*index) else { continue };
            stream.followers.clear();
            for feed in stream.feeds.iter_mut().filter(|feed| feed.remote.is_none()) {
                feed.missing_since = ctx.now;
                edges.push((feed.origin.clone(), *index));
            }
            if stream.feeds.iter().any(|feed| feed.remote.is_some()) {
                self.arm(*index, ctx.now);
            }
        }
        for (name, follower) in edges {
            let entry = self.shared.accounts.get(&account);
            let Some(origin) = entry.and_then(|entry| entry.streams.get(name.as_str())) else {
                continue;
            };
            if let Some(stream) = self.streams.get_mut(follower) {
                let feeds = stream.feeds.iter_mut().filter(|feed| feed.origin == name);
                feeds.for_each(|feed| feed.missing_since = 0);
            }
            if let Some(stream) = self.streams.get_mut(*origin) {
                if !stream.followers.contains(&follower) {
                    stream.followers.push(follower);
                }
            }
            self.make_due(follower, ctx);
        }
    }

    /// A stream has grown: those it feeds are due.
    pub(super) fn wake_followers(&mut self, index: StreamIndex, ctx: &mut Context<'_>) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        if !std::mem::take(&mut stream.grew) || stream.followers.is_empty() {
            return;
        }
        for follower in stream.followers.clone() {
            self.make_due(follower, ctx);
        }
    }

    fn make_due(&mut self, index: StreamIndex, ctx: &mut Context<'_>) {
        if let Some(stream) = self.streams.get_mut(index) {
            stream.is_hungry = true;
            self.arm(index, ctx.now);
        }
    }

    /// Lets a stream take what those it is fed by have.
    pub(super) fn feed(&mut self, index: StreamIndex, ctx: &mut Context<'_>) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let tries_again = stream.feeds.iter().any(|feed| (1..=ctx.now).contains(&feed.retry_at));
        if !std::mem::take(&mut stream.is_hungry) && !tries_again {
            return;
        }
        let account = stream.account;
        let mut feeds = std::mem::take(&mut stream.feeds);
        let mut is_hungry = false;
        for feed in feeds.iter_mut().filter(|feed| feed.remote.is_none()) {
            let entry = self.shared.accounts.get(&account);
            let origin = entry.and_then(|entry| entry.streams.get(feed.origin.as_str())).copied();
            if let Some(origin) = origin {
                is_hungry |= self.take_from(index, origin, feed, ctx);
            }
        }
        if let Some(stream) = self.streams.get_mut(index) {
            stream.feeds = feeds;
            stream.is_hungry |= is_hungry;
        }
    }

    /// Takes messages of one origin; returns whether there are more.
    fn take_from(
        &mut self,
        index: StreamIndex,
        origin: StreamIndex,
        feed: &mut Feed,
        ctx: &mut Context<'_>,
    ) -> bool {
        if !self.begin(index, origin, feed) {
            return false;
        }
        let mut message = std::mem::take(&mut self.shared.message);
        let mut bytes = 0;
        let mut has_more = false;
        feed.retry_at = 0;
        for taken in 0..=MESSAGES_MAX {
            let Some(stream) = self.streams.get_mut(origin) else { break };
            let Some(seq) = stream.store.first_matching(feed.filters(), feed.next) else { break };
            if taken == MESSAGES_MAX || bytes > BYTES_MAX {
                has_more = true;
                break;
            }
            if !matches!(stream.store.read(seq, &mut message), Ok(true)) {
                // Damaged for good, as far as anybody can tell: the rest is not held up.
                feed.next = seq + 1;
                continue;
            }
            bytes += message.headers().len() + message.payload().len();
            let Some(stream) = self.streams.get_mut(index) else { break };
            if !take_over(stream, &mut self.shared, feed, &message, ctx) {
                feed.retry_at = ctx.now.saturating_add(RETRY);
                break;
            }
            feed.next = seq + 1;
            feed.active = ctx.now;
            self.release(origin, seq, message.subject());
        }
        self.shared.message = message;
        let stream = self.streams.get_mut(origin);
        feed.lag = match stream.filter(|_| has_more || feed.retry_at > 0) {
            Some(stream) => stream.store.count_matching(feed.filters(), feed.next),
            None => 0,
        };
        has_more
    }

    /// Finds where to begin; returns whether there is anything to do.
    fn begin(&mut self, index: StreamIndex, origin: StreamIndex, feed: &mut Feed) -> bool {
        let last_own = self.streams.get(index).map_or(0, |stream| stream.store.extent().last_seq);
        let Some(stream) = self.streams.get_mut(origin) else { return false };
        let is_other = feed.identity != stream.derived.identity;
        if feed.is_mirror {
            if last_own > 0 {
                feed.next = last_own.max(feed.next.saturating_sub(1)) + 1;
            } else if feed.next == 0 {
                feed.next = first_wanted(stream, feed);
                let start = feed.next;
                if start > 1 && index != origin {
                    if let Some(own) = self.streams.get_mut(index) {
                        own.store.skip_to(start);
                    }
                }
            }
        } else if feed.next == 0 || (is_other && !feed.identity.is_empty()) {
            feed.next = first_wanted(stream, feed);
        }
        if is_other {
            if let Some(stream) = self.streams.get(origin) {
                feed.identity.clone_from(&stream.derived.identity);
            }
        }
        true
    }

    /// An origin that keeps messages for consumers lets go of one that was taken.
    fn release(&mut self, origin: StreamIndex, seq: u64, subject: &[u8]) {
        let Some(stream) = self.streams.get_mut(origin) else { return };
        let is_done = match stream.config.retention {
            Retention::Limits => false,
            Retention::WorkQueue => true,
            Retention::Interest => !stream.consumers.wants(subject),
        };
        if is_done {
            stream.remove(seq, Some(subject), false, &mut self.shared);
            stream.settle(&mut self.shared);
        }
    }
}

fn first_wanted(origin: &mut Stream, feed: &Feed) -> u64 {
    match feed.start_time {
        Some(time) => origin.store.seq_at_time(time),
        None => feed.start_seq,
    }
    .max(1)
}

/// Stores a message of an origin; `false` if there is no room for it.
pub(super) fn take_over(
    stream: &mut Stream,
    shared: &mut Shared,
    feed: &Feed,
    message: &Message,
    ctx: &mut Context<'_>,
) -> bool {
    if feed.is_mirror {
        mirror(stream, shared, feed, message, ctx)
    } else {
        source(stream, shared, feed, message, ctx)
    }
}

/// Stores a message with its sequence and time.
fn mirror(
    stream: &mut Stream,
    shared: &mut Shared,
    feed: &Feed,
    message: &Message,
    ctx: &mut Context<'_>,
) -> bool {
    let mut subject = std::mem::take(&mut shared.subject);
    subject.clear();
    feed.map(message.subject(), shared.nuid.number(), &mut subject);
    let mut block = std::mem::take(&mut shared.headers);
    block.clear();
    copy_foreign(message.headers(), &mut block, None);
    if message.seq > stream.store.extent().last_seq + 1 {
        stream.store.skip_to(message.seq);
    }
    let record = Record {
        time: message.time,
        subject: &subject,
        headers: &block,
        payload: message.payload(),
    };
    let stored = store(stream, shared, &record, ctx);
    shared.subject = subject;
    shared.headers = block;
    stored.is_some()
}

/// Stores a message as a new one that says where it came from.
fn source(
    stream: &mut Stream,
    shared: &mut Shared,
    feed: &Feed,
    message: &Message,
    ctx: &mut Context<'_>,
) -> bool {
    let id = PublishHeaders::read(message.headers()).msg_id.filter(|id| !id.is_empty());
    if id.is_some_and(|id| stream.dedup.find(id, ctx.now).is_some()) {
        return true;
    }
    let mut subject = std::mem::take(&mut shared.subject);
    subject.clear();
    feed.map(message.subject(), shared.nuid.number(), &mut subject);
    if let Some(transform) = &stream.derived.transform {
        let mut mapped = Vec::new();
        if transform.apply(&subject, shared.nuid.number(), &mut mapped) {
            subject = mapped;
        }
    }
    let mut block = std::mem::take(&mut shared.headers);
    block.clear();
    let mut from = [feed.label.as_str(), &message.seq.to_string()].join(" ").into_bytes();
    for part in [feed.filter.as_bytes(), feed.destination.as_bytes(), message.subject()] {
        from.push(b' ');
        from.extend_from_slice(part);
    }
    from.push(b' ');
    from.extend_from_slice(feed.identity.as_bytes());
    copy_foreign(message.headers(), &mut block, Some(&from));
    let counted = stream
        .config
        .allow_msg_counter
        .then(|| counter::take_over(stream, shared, (&feed.origin, message), &subject, &mut block));
    let mut has_room = true;
    // A counter takes nothing that counts nothing.
    if !matches!(counted, Some(None)) {
        let body = counted.flatten();
        let payload = body.as_deref().unwrap_or_else(|| message.payload());
        let time = ctx.now.max(stream.store.extent().last_time);
        let record = Record { time, subject: &subject, headers: &block, payload };
        let stored = store(stream, shared, &record, ctx);
        if let (Some(id), Some(seq)) = (id, stored) {
            stream.dedup.insert(id, seq, time);
        }
        has_room = stored.is_some();
    }
    shared.subject = subject;
    shared.headers = block;
    has_room
}

/// Stores a message as the next one: its sequence, or `None` if there is no room for it. One that
/// nobody wants takes a sequence and is gone.
fn store(
    stream: &mut Stream,
    shared: &mut Shared,
    record: &Record<'_>,
    ctx: &mut Context<'_>,
) -> Option<u64> {
    let subject = record.subject;
    if !stream.keeps(subject) {
        let seq = stream.store.extent().last_seq + 1;
        stream.store.skip_to(seq + 1);
        return Some(seq);
    }
    let asked = PublishHeaders::read(record.headers);
    // A roll-up that was allowed where it was published rolls up here too, if that is allowed here.
    let rollup = check_rollup(&asked, stream).unwrap_or_default();
    let ttl = asked.ttl.and_then(Ttl::parse).filter(|_| stream.config.allow_msg_ttl);
    if stream.config.discard == Discard::New {
        let (headers, payload) = (record.headers, record.payload);
        let accepted = Accepted { subject, headers, payload, msg_id: None, ttl: None, rollup };
        check_room(stream, shared, &accepted).ok()?;
    }
    stream.store.begin_group();
    let seq = store_record(stream, shared, record, ttl, ctx);
    roll_up(stream, shared, rollup, subject, seq);
    enforce_limits(stream, shared, subject);
    stream.store.end_group();
    Some(seq)
}

/// Appends the headers of a message that is taken over, with where it came from, if that is said.
fn copy_foreign(block: &[u8], out: &mut Vec<u8>, from: Option<&[u8]>) {
    if block.is_empty() && from.is_none() {
        return;
    }
    let start = out.len();
    out.extend_from_slice(VERSION_LINE);
    for (name, value) in HeaderBlock::new(block).iter() {
        let is_dropped = name.starts_with(b"Nats-Expected-")
            || name.starts_with(b"Nats-Batch-")
            || (from.is_some() && name == b"Nats-Stream-Source");
        if !is_dropped {
            write_header(out, name, value);
        }
    }
    if let Some(from) = from {
        write_header(out, b"Nats-Stream-Source", from);
    }
    if out.len() == start + VERSION_LINE.len() {
        out.truncate(start);
    } else {
        out.extend_from_slice(b"\r\n");
    }
}

const VERSION_LINE: &[u8] = b"NATS/1.0\r\n";

/// Messages that are taken from an origin at a time.
const MESSAGES_MAX: usize = 256;
/// Nanoseconds after which a message is tried again that there was no room for.
const RETRY: u64 = 1_000_000_000;
/// Bytes that are taken from an origin at a time, about.
const BYTES_MAX: usize = 1 << 20;
