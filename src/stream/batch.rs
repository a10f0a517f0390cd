//! Atomic batches: messages that are kept until the last one comes, and then stored all or not at
//! all.
//!
//! Bounds: [`BatchLimits`](super::BatchLimits) of a stream, of the server, and of a batch, which has
//! [`BYTES_MAX`] bytes at most; one that nothing is added to for a while is abandoned.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::api::is_level_met;
use super::config::Discard;
use super::counter::{self, Decimal};
use super::expiry::Ttl;
use super::publish::{
    above_zero, check_rollup, check_size, last_of, raise_ttl, rewrite, store_grouped, Accepted,
    Outcome, Published, Rollup,
};
use super::publish_headers::{parse_uint, write_header, PublishHeaders};
use super::schedule::{self, Schedule};
use super::shared::Shared;
use super::stream::Stream;
use super::{ApiError, Context};
use crate::store::record_bytes;

/// The open batches of one stream.
#[derive(Debug, Default)]
pub(super) struct Batches {
    open: BTreeMap<Box<[u8]>, Batch>,
}

#[derive(Debug, Default)]
struct Batch {
    messages: Vec<Staged>,
    bytes: usize,
    deadline: u64,
}

/// A message that waits for its batch's commit.
#[derive(Debug)]
struct Staged {
    subject: Box<[u8]>,
    headers: Vec<u8>,
    payload: Box<[u8]>,
}

/// A message that passed all checks of its batch.
struct Ready {
    ttl: Option<Ttl>,
    rollup: Option<Rollup>,
    headers: Option<Vec<u8>>,
    body: Option<Vec<u8>>,
    schedule: Option<Schedule>,
}

/// What a message of a batch comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// More follow.
    No,
    /// It is the last one.
    WithMessage,
    /// The one before was the last.
    WithoutMessage,
}

impl Batches {
    /// When the first of them is abandoned.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.open.values().map(|batch| batch.deadline).min()
    }

    /// Batches that are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Forgets them all.
    pub(super) fn clear(&mut self, shared: &mut Shared) {
        shared.batches_open = shared.batches_open.saturating_sub(self.open.len());
        self.open.clear();
    }
}

/// Takes a message with a batch id. `Ok(None)`: it waits for more.
pub(super) fn handle(
    stream: &mut Stream,
    shared: &mut Shared,
    message: &Published<'_>,
    headers: &PublishHeaders<'_>,
    id: &[u8],
    ctx: &mut Context<'_>,
) -> Result<Option<Outcome>, ApiError> {
    if stream.config.sealed {
        return Err(ApiError::STREAM_SEALED);
    }
    check_size(stream, shared, message)?;
    if !stream.config.allow_atomic {
        return Err(ApiError::ATOMIC_PUBLISH_DISABLED);
    }
    if id.len() > ID_MAX {
        return Err(ApiError::ATOMIC_PUBLISH_INVALID_BATCH_ID);
    }
    let seq = headers.batch_seq.and_then(parse_uint);
    let seq = seq.ok_or(ApiError::ATOMIC_PUBLISH_MISSING_SEQ)?;
    let end = add(stream, shared, message, headers, id, seq, ctx)?;
    if end == End::No {
        return Ok(None);
    }
    let Some(batch) = close(stream, shared, id) else { return Ok(None) };
    commit(stream, shared, batch, id, end, ctx).map(Some)
}

/// Abandons what nothing was added to for too long.
pub(super) fn expire(stream: &mut Stream, shared: &mut Shared, ctx: &mut Context<'_>) {
    let due = stream.batches.open.iter().filter(|(_, batch)| batch.deadline <= ctx.now);
    let due: Vec<Box<[u8]>> = due.map(|(id, _)| id.clone()).collect();
    for id in due {
        abandon(stream, shared, &id, "timeout", ctx);
    }
}

fn add(
    stream: &mut Stream,
    shared: &mut Shared,
    message: &Published<'_>,
    headers: &PublishHeaders<'_>,
    id: &[u8],
    seq: u64,
    ctx: &mut Context<'_>,
) -> Result<End, ApiError> {
    let limits = shared.limits.batch;
    let too_large = || ApiError::ATOMIC_PUBLISH_TOO_LARGE_BATCH.with(limits.messages.to_string());
    let is_known = stream.batches.open.contains_key(id);
    if !is_known {
        if seq != 1 {
            let is_beyond = seq > limits.messages;
            return Err(if is_beyond {
                too_large()
            } else {
                ApiError::ATOMIC_PUBLISH_INCOMPLETE_BATCH
            });
        }
        if stream.batches.len() >= limits.per_stream || shared.batches_open >= limits.total {
            return Err(ApiError::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT);
        }
        stream.batches.open.insert(id.into(), Batch::default());
        shared.batches_open += 1;
    }
    let mut fail = |error: ApiError, reason: &str, stream: &mut Stream| {
        abandon(stream, shared, id, reason, ctx);
        Err(error)
    };
    let end = match headers.batch_commit {
        None | Some(b"") => End::No,
        Some(b"1") => End::WithMessage,
        Some(b"eob") => End::WithoutMessage,
        Some(_) => {
            return fail(ApiError::ATOMIC_PUBLISH_INVALID_BATCH_COMMIT, "incomplete", stream);
        }
    };
    if !is_level_met(message.headers) {
        return fail(ApiError::REQUIRED_API_LEVEL, "unsupported", stream);
    }
    let Some(batch) = stream.batches.open.get(id) else { return Ok(End::No) };
    let is_gap = seq != batch.messages.len() as u64 + 1;
    if is_gap || (seq == 1 && end == End::WithoutMessage) {
        return fail(ApiError::ATOMIC_PUBLISH_INCOMPLETE_BATCH, "incomplete", stream);
    }
    let bytes = message.subject.len() + message.headers.len() + message.payload.len();
    let is_stored = end != End::WithoutMessage;
    if is_stored && (seq > limits.messages || batch.bytes + bytes > BYTES_MAX) {
        return fail(too_large(), "large", stream);
    }
    let Some(batch) = stream.batches.open.get_mut(id) else { return Ok(End::No) };
    batch.deadline = ctx.now.saturating_add(limits.idle);
    if is_stored {
        batch.bytes += bytes;
        batch.messages.push(Staged {
            subject: message.subject.into(),
            headers: message.headers.to_vec(),
            payload: message.payload.into(),
        });
    }
    Ok(end)
}

fn close(stream: &mut Stream, shared: &mut Shared, id: &[u8]) -> Option<Batch> {
    let batch = stream.batches.open.remove(id)?;
    shared.batches_open = shared.batches_open.saturating_sub(1);
    Some(batch)
}

fn abandon(
    stream: &mut Stream,
    shared: &mut Shared,
    id: &[u8],
    reason: &str,
    ctx: &mut Context<'_>,
) {
    if close(stream, shared, id).is_none() {
        return;
    }
    let (_, mut view) = stream.split(shared);
    let name = view.config.name.clone();
    let subject = ["ADVISORY.STREAM.BATCH_ABANDONED.", &name].concat();
    view.advise(ctx, &subject, "advisory.v1.stream_batch_abandoned", |object| {
        object.string("stream", &name);
        object.string("batch", &String::from_utf8_lossy(id));
        object.string("reason", reason);
    });
}

fn commit(
    stream: &mut Stream,
    shared: &mut Shared,
    mut batch: Batch,
    id: &[u8],
    end: End,
    ctx: &mut Context<'_>,
) -> Result<Outcome, ApiError> {
    if end == End::WithoutMessage {
        if let Some(last) = batch.messages.last_mut() {
            last.headers.truncate(last.headers.len().saturating_sub(2));
            write_header(&mut last.headers, b"Nats-Batch-Commit", b"1");
            last.headers.extend_from_slice(b"\r\n");
        }
    }
    let ready = check(stream, shared, &batch, ctx.now)?;
    let mut seq = 0;
    stream.store.begin_group();
    for (staged, ready) in batch.messages.iter().zip(ready) {
        let block = PublishHeaders::read(&staged.headers);
        let accepted = Accepted {
            subject: &staged.subject,
            headers: ready.headers.as_deref().unwrap_or(&staged.headers),
            payload: ready.body.as_deref().unwrap_or(&staged.payload),
            msg_id: block.msg_id.filter(|id| !id.is_empty()),
            ttl: ready.ttl,
            rollup: ready.rollup,
        };
        seq = store_grouped(stream, shared, &accepted, ctx);
        if let Some(schedule) = ready.schedule {
            stream.schedules.insert(&staged.subject, seq, schedule, ctx.now);
        }
    }
    stream.store.end_group();
    Ok(Outcome::Committed { seq, batch: id.into(), count: batch.messages.len() as u64 })
}

/// What a counter has become.
#[derive(Clone)]
struct Counted {
    value: Decimal,
    /// The header that says what the counters of other streams said last.
    sources: Option<Vec<u8>>,
}

/// What a batch has stored so far, in the eyes of the messages that follow.
#[derive(Default)]
struct Overlay<'a> {
    ids: Vec<&'a [u8]>,
    /// Messages of each subject.
    subjects: HashMap<&'a [u8], u64, foldhash::fast::FixedState>,
    counters: HashMap<&'a [u8], Counted, foldhash::fast::FixedState>,
    messages: u64,
    bytes: u64,
}

fn check(
    stream: &mut Stream,
    shared: &mut Shared,
    batch: &Batch,
    now: u64,
) -> Result<Vec<Ready>, ApiError> {
    let mut overlay = Overlay::default();
    let mut ready = Vec::with_capacity(batch.messages.len());
    for staged in &batch.messages {
        ready.push(check_one(stream, shared, staged, &mut overlay, now)?);
    }
    Ok(ready)
}

fn check_one<'a>(
    stream: &mut Stream,
    shared: &mut Shared,
    staged: &'a Staged,
    overlay: &mut Overlay<'a>,
    now: u64,
) -> Result<Ready, ApiError> {
    let headers = PublishHeaders::read(&staged.headers);
    if headers.expected_last_msg_id.is_some() {
        return Err(
            ApiError::ATOMIC_PUBLISH_UNSUPPORTED_HEADER_BATCH.with("Nats-Expected-Last-Msg-Id")
        );
    }
    let increment = counter::check(&headers, stream, &staged.payload)?;
    check_expected(stream, &headers, &staged.subject, overlay)?;
    let schedule = schedule::check(&headers, stream, &staged.subject)?;
    if headers.source.is_some() {
        return Err(ApiError::MESSAGE_SOURCE_HDR_NOT_ALLOWED);
    }
    if let Some(id) = headers.msg_id.filter(|id| !id.is_empty()) {
        if overlay.ids.contains(&id) || stream.dedup.find(id, now).is_some() {
            return Err(ApiError::ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE);
        }
        overlay.ids.push(id);
    }
    let rollup = check_rollup(&headers, stream)?;
    let written = overlay.subjects.get(&*staged.subject).copied().unwrap_or(0);
    match rollup {
        Some(Rollup::Subject) if written > 0 => {
            return Err(ApiError::STREAM_ROLLUP_FAILED.with("batch rollup sub invalid"));
        }
        Some(Rollup::All) if overlay.messages > 0 => {
            return Err(ApiError::STREAM_ROLLUP_FAILED.with("batch rollup all invalid"));
        }
        _ => {}
    }
    let counted = count(stream, shared, increment, &staged.subject, overlay)?;
    let body = counted.as_ref().map(|counted| counter::body(&counted.value.to_string()));
    let sources = counted.and_then(|counted| counted.sources);
    let ttl = match headers.ttl.filter(|ttl| !ttl.is_empty()) {
        Some(text) => Some(Ttl::parse(text).ok_or(ApiError::MESSAGE_TTL_INVALID)?),
        None => None,
    };
    let (ttl, raised) = raise_ttl(ttl, stream);
    let mut block = Vec::new();
    let is_scheduled = schedule.is_some();
    let is_rewritten = headers.to_be_cleaned
        || raised.is_some()
        || is_scheduled
        || headers.required_level.is_some()
        || sources.is_some();
    if is_rewritten {
        rewrite(&staged.headers, &headers, raised, is_scheduled, &mut block);
    }
    if let Some(sources) = sources {
        counter::keep_sources(&mut block, &sources);
    }
    let size = body.as_ref().map_or(staged.payload.len(), Vec::len);
    let kind = stream.store.kind();
    overlay.bytes += record_bytes(kind, staged.subject.len(), staged.headers.len(), size);
    overlay.messages += 1;
    overlay.subjects.insert(&staged.subject, written + 1);
    check_room(stream, &staged.subject, overlay)?;
    Ok(Ready {
        ttl: if stream.config.allow_msg_ttl { ttl } else { None },
        rollup: if is_scheduled { Some(Rollup::Subject) } else { rollup },
        headers: is_rewritten.then_some(block),
        body,
        schedule,
    })
}

fn check_expected(
    stream: &mut Stream,
    headers: &PublishHeaders<'_>,
    subject: &[u8],
    overlay: &Overlay<'_>,
) -> Result<(), ApiError> {
    if headers.expected_stream.is_some_and(|name| name != stream.name().as_bytes()) {
        return Err(ApiError::STREAM_NOT_MATCH);
    }
    if headers.ttl.and_then(Ttl::parse).is_some() && !stream.config.allow_msg_ttl {
        return Err(ApiError::MESSAGE_TTL_DISABLED);
    }
    if let Some(expected) = headers.expected_last_subject_seq {
        let subject = headers.expected_last_subject.unwrap_or(subject);
        let mut written = overlay.subjects.keys();
        if written.any(|written| crate::subject::matches(subject, written)) {
            return Err(ApiError::STREAM_WRONG_LAST_SEQUENCE_CONSTANT);
        }
        let last = last_of(stream, subject);
        if parse_uint(expected) != Some(last) {
            return Err(ApiError::STREAM_WRONG_LAST_SEQUENCE.with(last.to_string()));
        }
    } else if headers.expected_last_subject.is_some() {
        return Err(ApiError::STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_INVALID);
    }
    if let Some(expected) = headers.expected_last_seq {
        let last = stream.store.extent().last_seq + overlay.messages;
        if parse_uint(expected) != Some(last) {
            return Err(ApiError::STREAM_WRONG_LAST_SEQUENCE.with(last.to_string()));
        }
    }
    Ok(())
}

/// What a message makes of its counter.
fn count<'a>(
    stream: &mut Stream,
    shared: &mut Shared,
    increment: Option<Decimal>,
    subject: &'a [u8],
    overlay: &mut Overlay<'a>,
) -> Result<Option<Counted>, ApiError> {
    if !stream.config.allow_msg_counter {
        return Ok(None);
    }
    let increment = increment.ok_or(ApiError::MESSAGE_INCR_MISSING)?;
    let counted = match overlay.counters.remove(subject) {
        Some(before) => Counted { value: before.value.add(&increment), ..before },
        None => {
            let (total, sources) = counter::total(&increment, stream, shared, subject)?;
            let value = Decimal::parse(total.as_bytes());
            Counted { value: value.ok_or(ApiError::MESSAGE_COUNTER_BROKEN)?, sources }
        }
    };
    overlay.counters.insert(subject, counted.clone());
    Ok(Some(counted))
}

/// Whether a stream that refuses what exceeds its limits has room for the batch so far.
fn check_room(stream: &Stream, subject: &[u8], overlay: &Overlay<'_>) -> Result<(), ApiError> {
    let config = &stream.config;
    if config.discard != Discard::New {
        return Ok(());
    }
    let full = |text: &str| Err(ApiError::STREAM_STORE_FAILED.with(text));
    if let Some(limit) = above_zero(config.max_msgs_per_subject) {
        let stored = stream.store.subject(subject).map_or(0, |state| state.count);
        let written = overlay.subjects.get(subject).copied().unwrap_or(0);
        if config.discard_new_per_subject && stored + written > limit {
            return full("maximum messages per subject exceeded");
        }
    }
    let extent = stream.store.extent();
    if above_zero(config.max_msgs).is_some_and(|max| extent.messages + overlay.messages > max) {
        return full("maximum messages exceeded");
    }
    if above_zero(config.max_bytes).is_some_and(|max| extent.bytes + overlay.bytes > max) {
        return full("maximum bytes exceeded");
    }
    Ok(())
}

const ID_MAX: usize = 64;
/// Bytes of a batch.
const BYTES_MAX: usize = 64 << 20;
