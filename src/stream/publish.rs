//! A message that is published to a stream: what is checked, in which order, and what is said.
//!
//! Cost of a message without headers, of a stream without transform and republish: one append, one
//! PubAck written into a buffer that is used again; nothing is allocated.

use super::batch;
use super::config::Discard;
use super::counter;
use super::expiry::Ttl;
use super::fast_batch;
use super::json::write_string;
use super::outbox::Outgoing;
use super::publish_headers::{copy_without, open_block, parse_uint, write_header, PublishHeaders};
use super::schedule;
use super::shared::{fits, Shared};
use super::stream::{write_publish_error, Stream};
use super::time::{format_time, SECOND};
use super::{ApiError, Context};
use crate::proto::write_decimal;
use crate::store::{record_bytes, Commit, Record};

/// A message as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Published<'a> {
    pub(super) subject: &'a [u8],
    pub(super) reply: &'a [u8],
    pub(super) headers: &'a [u8],
    pub(super) payload: &'a [u8],
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has this sequence.
    Stored(u64),
    /// It was stored before, with this sequence.
    Duplicate(u64),
    /// It changed a counter to this value.
    Counted(u64, String),
    /// It waits for the rest of its batch.
    Staged,
    /// It ended a batch.
    Committed {
        /// Sequence of the last message.
        seq: u64,
        /// The batch's id.
        batch: Box<[u8]>,
        /// Messages of the batch.
        count: u64,
    },
}

impl Outcome {
    /// The sequence that was stored last.
    pub(super) fn seq(&self) -> u64 {
        match self {
            Self::Stored(seq)
            | Self::Duplicate(seq)
            | Self::Counted(seq, _)
            | Self::Committed { seq, .. } => *seq,
            Self::Staged => 0,
        }
    }
}

/// What a message replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rollup {
    /// Earlier messages of its subject.
    Subject,
    /// All earlier messages.
    All,
}

/// A message that passed all checks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted<'a> {
    pub(super) subject: &'a [u8],
    pub(super) headers: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) msg_id: Option<&'a [u8]>,
    pub(super) ttl: Option<Ttl>,
    pub(super) rollup: Option<Rollup>,
}

/// Stores a message and answers its publisher.
pub(super) fn handle(
    stream: &mut Stream,
    shared: &mut Shared,
    message: &Published<'_>,
    ctx: &mut Context<'_>,
) {
    if shared.is_overloaded {
        return turn_away(stream, shared, message.reply, ctx);
    }
    if fast_batch::is_one(message.reply) {
        fast_batch::handle(stream, shared, message, ctx);
        stream.settle(shared);
        return;
    }
    let result = publish(stream, shared, message, ctx);
    if !message.reply.is_empty() && !stream.config.no_ack {
        answer(stream, shared, message.reply, &result, ctx);
    }
    stream.settle(shared);
}

/// Refuses a message because the store has too much to write.
#[cold]
fn turn_away(stream: &Stream, shared: &mut Shared, reply: &[u8], ctx: &mut Context<'_>) {
    if reply.is_empty() || stream.config.no_ack {
        return;
    }
    let text = &mut shared.text;
    text.clear();
    write_publish_error(text, stream.name(), &ApiError::STREAM_TOO_MANY_REQUESTS);
    ctx.out.publish(
        Commit::NONE,
        &Outgoing {
            account: stream.account,
            to: reply,
            subject: b"",
            reply: b"",
            headers: b"NATS/1.0 429 Too Many Requests\r\n\r\n",
            payload: text,
            failure: None,
        },
    );
}

/// Says what became of a message.
pub(super) fn answer(
    stream: &Stream,
    shared: &mut Shared,
    reply: &[u8],
    result: &Result<Outcome, ApiError>,
    ctx: &mut Context<'_>,
) {
    let text = &mut shared.text;
    text.clear();
    match result {
        Ok(Outcome::Staged) => {}
        Ok(outcome) => {
            text.extend_from_slice(&stream.derived.ack_prefix);
            write_decimal(text, outcome.seq());
            match outcome {
                Outcome::Stored(_) | Outcome::Staged => {}
                Outcome::Duplicate(_) => text.extend_from_slice(b",\"duplicate\": true"),
                Outcome::Committed { batch, count, .. } => {
                    text.extend_from_slice(b",\"batch\":");
                    write_string(text, batch);
                    text.extend_from_slice(b",\"count\":");
                    write_decimal(text, *count);
                }
                Outcome::Counted(_, value) => {
                    text.extend_from_slice(b",\"val\":\"");
                    text.extend_from_slice(value.as_bytes());
                    text.push(b'"');
                }
            }
            text.push(b'}');
        }
        Err(error) => write_publish_error(text, stream.name(), error),
    }
    say(stream, reply, text, ctx);
}

/// Publishes an answer to a publisher, once everything staged is durable.
pub(super) fn say(stream: &Stream, reply: &[u8], payload: &[u8], ctx: &mut Context<'_>) {
    ctx.out.publish(
        stream.store.staged(),
        &Outgoing {
            account: stream.account,
            to: reply,
            subject: b"",
            reply: b"",
            headers: b"",
            payload,
            failure: Some(&stream.derived.failure),
        },
    );
}

/// Stores a message, or stages it for its batch.
pub(super) fn publish(
    stream: &mut Stream,
    shared: &mut Shared,
    message: &Published<'_>,
    ctx: &mut Context<'_>,
) -> Result<Outcome, ApiError> {
    let mut mapped = std::mem::take(&mut shared.subject);
    mapped.clear();
    let mut subject = message.subject;
    if let Some(transform) = &stream.derived.transform {
        if transform.apply(subject, shared.nuid.number(), &mut mapped) {
            subject = &mapped;
        }
    }
    let message = Published { subject, ..*message };
    let result = if message.headers.is_empty() {
        publish_plain(stream, shared, &message, ctx)
    } else {
        publish_with_headers(stream, shared, &message, ctx)
    };
    shared.subject = mapped;
    result
}

fn publish_plain(
    stream: &mut Stream,
    shared: &mut Shared,
    message: &Published<'_>,
    ctx: &mut Context<'_>,
) -> Result<Outcome, ApiError> {
    check_open(stream, message)?;
    if stream.config.allow_msg_counter {
        return Err(ApiError::MESSAGE_INCR_MISSING);
    }
    check_size(stream, shared, message)?;
    let accepted = Accepted {
        subject: message.subject,
        headers: b"",
        payload: message.payload,
        msg_id: None,
        ttl: None,
        rollup: None,
    };
    store(stream, shared, &accepted, ctx).map(Outcome::Stored)
}

fn publish_with_headers(
    stream: &mut Stream,
    shared: &mut Shared,
    message: &Published<'_>,
    ctx: &mut Context<'_>,
) -> Result<Outcome, ApiError> {
    let headers = PublishHeaders::read(message.headers);
    if let Some(id) = headers.batch_id.filter(|id| !id.is_empty()) {
        let outcome = batch::handle(stream, shared, message, &headers, id, ctx)?;
        return Ok(outcome.unwrap_or(Outcome::Staged));
    }
    check_open(stream, message)?;
    let increment = counter::check(&headers, stream, message.payload)?;
    check_expected(&headers, stream, message.subject)?;
    let schedule = schedule::check(&headers, stream, message.subject)?;
    if headers.source.is_some() {
        return Err(ApiError::MESSAGE_SOURCE_HDR_NOT_ALLOWED);
    }
    if let Some(id) = headers.msg_id.filter(|id| !id.is_empty()) {
        if let Some(seq) = stream.dedup.find(id, ctx.now) {
            return Ok(Outcome::Duplicate(seq));
        }
    }
    check_expected_id(&headers, stream, shared)?;
    let rollup = check_rollup(&headers, stream)?;
    if stream.config.allow_msg_counter && increment.is_none() {
        return Err(ApiError::MESSAGE_INCR_MISSING);
    }
    let (mut counted, mut sources) = (None, None);
    if let Some(increment) = increment {
        let (total, said) = counter::total(&increment, stream, shared, message.subject)?;
        (counted, sources) = (Some(total), said);
    }
    let body = counted.as_ref().map(|value| counter::body(value));
    let payload = body.as_deref().unwrap_or(message.payload);
    check_size(stream, shared, &Published { payload, ..*message })?;
    let ttl = match headers.ttl.filter(|ttl| !ttl.is_empty()) {
        Some(text) => Some(Ttl::parse(text).ok_or(ApiError::MESSAGE_TTL_INVALID)?),
        None => None,
    };
    let mut block = std::mem::take(&mut shared.headers);
    block.clear();
    let (ttl, raised) = raise_ttl(ttl, stream);
    let is_rewritten =
        headers.to_be_cleaned || raised.is_some() || schedule.is_some() || sources.is_some();
    if is_rewritten {
        rewrite(message.headers, &headers, raised, schedule.is_some(), &mut block);
    }
    if let Some(sources) = sources {
        counter::keep_sources(&mut block, &sources);
    }
    let accepted = Accepted {
        subject: message.subject,
        headers: if is_rewritten { &block } else { message.headers },
        payload,
        msg_id: headers.msg_id.filter(|id| !id.is_empty()),
        ttl: if stream.config.allow_msg_ttl { ttl } else { None },
        rollup: if schedule.is_some() { Some(Rollup::Subject) } else { rollup },
    };
    let result = store(stream, shared, &accepted, ctx);
    shared.headers = block;
    let seq = result?;
    if let Some(schedule) = schedule {
        stream.schedules.insert(message.subject, seq, schedule, ctx.now);
    }
    schedule::cancel(&headers, stream, shared);
    Ok(match counted {
        Some(value) => Outcome::Counted(seq, value),
        None => Outcome::Stored(seq),
    })
}

fn check_open(stream: &Stream, message: &Published<'_>) -> Result<(), ApiError> {
    if message.headers.len() + message.payload.len() > RECORD_MAX {
        return Err(ApiError::STREAM_STORE_FAILED.with("message too large"));
    }
    if stream.config.sealed {
        return Err(ApiError::STREAM_SEALED);
    }
    check_limit(stream, message)
}

/// The size that the stream allows, without what the message may become.
fn check_limit(stream: &Stream, message: &Published<'_>) -> Result<(), ApiError> {
    let size = message.headers.len() + message.payload.len();
    let limit = stream.config.max_msg_size;
    if usize::try_from(limit).is_ok_and(|limit| limit > 0 && size > limit) {
        return Err(ApiError::STREAM_MESSAGE_EXCEEDS_MAXIMUM);
    }
    Ok(())
}

/// The conditions but that on the last message id.
fn check_expected(
    headers: &PublishHeaders<'_>,
    stream: &mut Stream,
    subject: &[u8],
) -> Result<(), ApiError> {
    if headers.expected_stream.is_some_and(|name| name != stream.name().as_bytes()) {
        return Err(ApiError::STREAM_NOT_MATCH);
    }
    // One that makes no sense is told of later.
    if headers.ttl.and_then(Ttl::parse).is_some() && !stream.config.allow_msg_ttl {
        return Err(ApiError::MESSAGE_TTL_DISABLED);
    }
    if let Some(expected) = headers.expected_last_subject_seq {
        let subject = headers.expected_last_subject.unwrap_or(subject);
        let last = last_of(stream, subject);
        if parse_uint(expected) != Some(last) {
            return Err(ApiError::STREAM_WRONG_LAST_SEQUENCE.with(last.to_string()));
        }
    } else if headers.expected_last_subject.is_some() {
        return Err(ApiError::STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_INVALID);
    }
    if let Some(expected) = headers.expected_last_seq {
        let last = stream.store.extent().last_seq;
        if parse_uint(expected) != Some(last) {
            return Err(ApiError::STREAM_WRONG_LAST_SEQUENCE.with(last.to_string()));
        }
    }
    Ok(())
}

/// The last sequence of a subject or pattern, 0 if there is none.
pub(super) fn last_of(stream: &mut Stream, subject: &[u8]) -> u64 {
    if crate::subject::has_wildcard(subject) {
        if !crate::subject::is_valid_pattern(subject) {
            return 0;
        }
        let filters = [Box::from(subject)];
        return stream.store.last_matching(&filters, u64::MAX).unwrap_or(0);
    }
    stream.store.subject(subject).map_or(0, |state| state.last)
}

fn check_expected_id(
    headers: &PublishHeaders<'_>,
    stream: &mut Stream,
    shared: &mut Shared,
) -> Result<(), ApiError> {
    let Some(expected) = headers.expected_last_msg_id else { return Ok(()) };
    let last = stream.store.extent().last_seq;
    let is_there = matches!(stream.store.read(last, &mut shared.message), Ok(true));
    let stored = if is_there { shared.message.headers() } else { b"" };
    let id = PublishHeaders::read(stored).msg_id.unwrap_or_default();
    if id == expected {
        return Ok(());
    }
    Err(ApiError::STREAM_WRONG_LAST_MSG_ID.with(String::from_utf8_lossy(id)))
}

/// Whether a message may replace others, and which.
pub(super) fn check_rollup(
    headers: &PublishHeaders<'_>,
    stream: &Stream,
) -> Result<Option<Rollup>, ApiError> {
    let Some(value) = headers.rollup.filter(|value| !value.is_empty()) else { return Ok(None) };
    if !stream.config.allow_rollup_hdrs || stream.config.deny_purge {
        return Err(ApiError::STREAM_ROLLUP_FAILED.with("rollup not permitted"));
    }
    if value.eq_ignore_ascii_case(b"sub") {
        return Ok(Some(Rollup::Subject));
    }
    if value.eq_ignore_ascii_case(b"all") {
        return Ok(Some(Rollup::All));
    }
    let value = String::from_utf8_lossy(value).to_lowercase();
    Err(ApiError::STREAM_ROLLUP_FAILED.with(format!("rollup value invalid: {value:?}")))
}

/// Sizes, and what the server and the account have left.
pub(super) fn check_size(
    stream: &Stream,
    shared: &Shared,
    message: &Published<'_>,
) -> Result<(), ApiError> {
    check_limit(stream, message)?;
    if message.headers.len() > HEADERS_MAX {
        return Err(ApiError::STREAM_HEADER_EXCEEDS_MAXIMUM);
    }
    let kind = stream.store.kind();
    let bytes =
        record_bytes(kind, message.subject.len(), message.headers.len(), message.payload.len());
    let (server, account) = match kind {
        crate::store::StorageKind::File => (shared.limits.max_storage, stream.limits.max_storage),
        crate::store::StorageKind::Memory => (shared.limits.max_memory, stream.limits.max_memory),
    };
    if !fits(shared.used.get(kind), bytes, server) {
        return Err(ApiError::INSUFFICIENT_RESOURCES);
    }
    if account >= 0 {
        let used = shared.accounts.get(&stream.account).map_or(0, |a| a.used.get(kind));
        if !fits(used, bytes, account) {
            return Err(ApiError::ACCOUNT_RESOURCES_EXCEEDED);
        }
    }
    Ok(())
}

/// A TTL below that of delete markers is raised to it, unless a subject keeps one message only.
pub(super) fn raise_ttl(ttl: Option<Ttl>, stream: &Stream) -> (Option<Ttl>, Option<u64>) {
    let marker = stream.derived.marker_ttl / SECOND;
    match ttl {
        Some(Ttl::Seconds(seconds))
            if seconds < marker && stream.config.max_msgs_per_subject != 1 =>
        {
            (Some(Ttl::Seconds(marker)), Some(marker))
        }
        other => (other, None),
    }
}

/// Appends a block as it is stored: without what is not, with a raised TTL, with a roll-up.
pub(super) fn rewrite(
    block: &[u8],
    headers: &PublishHeaders<'_>,
    ttl: Option<u64>,
    roll_up: bool,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    copy_without(block, out, |name| {
        name == b"Nats-Request-Info"
            || (ttl.is_some() && name == b"Nats-TTL")
            || (headers.batch_id.is_some() && name == b"Nats-Required-Api-Level")
    });
    if ttl.is_none() && !(roll_up && headers.rollup.is_none()) {
        if out[start..] == *b"NATS/1.0\r\n\r\n" {
            // Nothing is left to be stored.
            out.truncate(start);
        }
        return;
    }
    out.truncate(out.len() - 2);
    if let Some(seconds) = ttl {
        write_header(out, b"Nats-TTL", seconds.to_string().as_bytes());
    }
    if roll_up && headers.rollup.is_none() {
        write_header(out, b"Nats-Rollup", b"sub");
    }
    out.extend_from_slice(b"\r\n");
}

/// Stores a message that passed the checks, and does what follows from it: limits, roll-up,
/// republish. Fails if a limit says that new messages are refused.
pub(super) fn store(
    stream: &mut Stream,
    shared: &mut Shared,
    message: &Accepted<'_>,
    ctx: &mut Context<'_>,
) -> Result<u64, ApiError> {
    let is_stored = stream.keeps(message.subject);
    if stream.config.discard == Discard::New && is_stored {
        check_room(stream, shared, message)?;
    }
    if message.rollup.is_none() {
        return Ok(store_grouped(stream, shared, message, ctx));
    }
    stream.store.begin_group();
    let seq = store_grouped(stream, shared, message, ctx);
    stream.store.end_group();
    Ok(seq)
}

/// The same in a group that is begun and ended elsewhere, where there is room.
pub(super) fn store_grouped(
    stream: &mut Stream,
    shared: &mut Shared,
    message: &Accepted<'_>,
    ctx: &mut Context<'_>,
) -> u64 {
    let extent = stream.store.extent();
    let time = ctx.now.max(extent.last_time);
    if !stream.keeps(message.subject) {
        let seq = extent.last_seq + 1;
        stream.store.skip_to(seq + 1);
        if let Some(id) = message.msg_id {
            stream.dedup.insert(id, seq, time);
        }
        return seq;
    }
    let seq = append(stream, shared, time, message, ctx);
    roll_up(stream, shared, message.rollup, message.subject, seq);
    enforce_limits(stream, shared, message.subject);
    seq
}

fn append(
    stream: &mut Stream,
    shared: &mut Shared,
    time: u64,
    message: &Accepted<'_>,
    ctx: &mut Context<'_>,
) -> u64 {
    let record = Record {
        time,
        subject: message.subject,
        headers: message.headers,
        payload: message.payload,
    };
    let seq = store_record(stream, shared, &record, message.ttl, ctx);
    if let Some(id) = message.msg_id {
        stream.dedup.insert(id, seq, time);
    }
    seq
}

/// Stores a message as it is, republishes it, and tells the consumers.
pub(super) fn store_record(
    stream: &mut Stream,
    shared: &mut Shared,
    record: &Record<'_>,
    ttl: Option<Ttl>,
    ctx: &mut Context<'_>,
) -> u64 {
    let previous = match &stream.derived.republish {
        Some(_) => last_of(stream, record.subject),
        None => 0,
    };
    let seq = stream.store.append(record);
    if let Some(ttl) = ttl {
        stream.expiry.stored(seq, record.time, ttl);
    }
    stream.consumers.stored(seq, record.subject);
    stream.grew = true;
    if stream.derived.republish.is_some() {
        republish(stream, shared, record, seq, previous, ctx);
    }
    seq
}

/// Whether a stream that refuses what exceeds its limits has room.
pub(super) fn check_room(
    stream: &mut Stream,
    shared: &mut Shared,
    message: &Accepted<'_>,
) -> Result<(), ApiError> {
    let config = &stream.config;
    let full = |text: &str| Err(ApiError::STREAM_STORE_FAILED.with(text));
    let at_least = |count: u64, limit: i64| {
        u64::try_from(limit).is_ok_and(|limit| limit > 0 && count >= limit)
    };
    let mut replaced = None;
    if config.max_msgs_per_subject > 0 {
        let state = stream.store.subject(message.subject);
        replaced = state.filter(|state| at_least(state.count, config.max_msgs_per_subject));
        if replaced.is_some() && config.discard_new_per_subject && message.rollup.is_none() {
            return full("maximum messages per subject exceeded");
        }
    }
    let extent = stream.store.extent();
    if replaced.is_none() && at_least(extent.messages, config.max_msgs) {
        return full("maximum messages exceeded");
    }
    if config.max_bytes > 0 {
        let kind = stream.store.kind();
        let (subject, headers) = (message.subject.len(), message.headers.len());
        let mut bytes = extent.bytes + record_bytes(kind, subject, headers, message.payload.len());
        if let Some(state) = replaced {
            if matches!(stream.store.read(state.first, &mut shared.message), Ok(true)) {
                let old = &shared.message;
                let old = record_bytes(kind, subject, old.headers().len(), old.payload().len());
                bytes = bytes.saturating_sub(old);
            }
        }
        if !fits(bytes, 0, config.max_bytes) {
            return full("maximum bytes exceeded");
        }
    }
    Ok(())
}

/// Removes what a message that was stored as `seq` takes the place of.
pub(super) fn roll_up(
    stream: &mut Stream,
    shared: &mut Shared,
    rollup: Option<Rollup>,
    subject: &[u8],
    seq: u64,
) {
    match rollup {
        None => {}
        Some(Rollup::All) => {
            stream.remove_below(seq, shared);
        }
        Some(Rollup::Subject) => remove_of_subject(stream, shared, subject, seq),
    }
}

/// Removes messages of `subject` below `seq`.
pub(super) fn remove_of_subject(
    stream: &mut Stream,
    shared: &mut Shared,
    subject: &[u8],
    seq: u64,
) {
    while let Some(state) = stream.store.subject(subject) {
        if state.first >= seq || !stream.remove(state.first, Some(subject), false, shared) {
            return;
        }
    }
}

/// Removes what is beyond the limits: the oldest of `subject`, then the oldest of all.
pub(super) fn enforce_limits(stream: &mut Stream, shared: &mut Shared, subject: &[u8]) {
    if let Some(limit) = above_zero(stream.config.max_msgs_per_subject) {
        while let Some(state) = stream.store.subject(subject).filter(|state| state.count > limit) {
            if !stream.remove(state.first, Some(subject), false, shared) {
                break;
            }
        }
    }
    enforce_size(stream, shared);
}

/// Removes the oldest messages until the stream has its size.
pub(super) fn enforce_size(stream: &mut Stream, shared: &mut Shared) {
    let messages = above_zero(stream.config.max_msgs);
    let bytes = above_zero(stream.config.max_bytes);
    if messages.is_none() && bytes.is_none() {
        return;
    }
    loop {
        let extent = stream.store.extent();
        let is_within = messages.is_none_or(|limit| extent.messages <= limit)
            && bytes.is_none_or(|limit| extent.bytes <= limit);
        if is_within || extent.messages == 0 {
            return;
        }
        if !stream.remove(extent.first_seq, None, false, shared) {
            return;
        }
    }
}

/// A limit as a number, `None` if there is none.
pub(super) fn above_zero(limit: i64) -> Option<u64> {
    u64::try_from(limit).ok().filter(|limit| *limit > 0)
}

fn republish(
    stream: &Stream,
    shared: &mut Shared,
    message: &Record<'_>,
    seq: u64,
    previous: u64,
    ctx: &mut Context<'_>,
) {
    let (Some(transform), Some(config)) = (&stream.derived.republish, &stream.config.republish)
    else {
        return;
    };
    let mut to = Vec::new();
    if !transform.apply(message.subject, shared.nuid.number(), &mut to) {
        return;
    }
    let mut block = Vec::with_capacity(message.headers.len() + 160);
    open_block(message.headers, &mut block);
    write_header(&mut block, b"Nats-Stream", stream.name().as_bytes());
    write_header(&mut block, b"Nats-Subject", message.subject);
    write_header(&mut block, b"Nats-Sequence", seq.to_string().as_bytes());
    write_header(&mut block, b"Nats-Time-Stamp", format_time(message.time).as_bytes());
    write_header(&mut block, b"Nats-Last-Sequence", previous.to_string().as_bytes());
    if config.headers_only {
        write_header(&mut block, b"Nats-Msg-Size", message.payload.len().to_string().as_bytes());
    }
    block.extend_from_slice(b"\r\n");
    ctx.out.publish(
        stream.store.staged(),
        &Outgoing {
            account: stream.account,
            to: &to,
            subject: b"",
            reply: b"",
            headers: &block,
            payload: if config.headers_only { b"" } else { message.payload },
            failure: None,
        },
    );
}

/// Bytes of headers and body that a store takes.
const RECORD_MAX: usize = 32 << 20;
/// Bytes of headers that a stream takes.
const HEADERS_MAX: usize = 65_535;
