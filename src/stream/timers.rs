//! What a stream does of its own accord: age, TTLs, schedules, and batches that never end.

use super::expiry::Ttl;
use super::publish::{self, Accepted, Rollup};
use super::publish_headers::PublishHeaders;
use super::shared::Shared;
use super::stream::Stream;
use super::time::{format_duration, SECOND};
use super::{batch, schedule, snapshot, Context};
use crate::proto::HeaderBlock;

/// Removes what is due, and forgets what is old.
pub(super) fn run(stream: &mut Stream, shared: &mut Shared, ctx: &mut Context<'_>) {
    stream.dedup.expire(ctx.now);
    while let Some(seq) = stream.expiry.pop_due(ctx.now) {
        expire(stream, shared, seq, ctx);
    }
    if stream.next_aged().is_some_and(|due| due <= ctx.now) {
        run_age(stream, shared, ctx);
    }
    batch::expire(stream, shared, ctx);
    stream.fast_batches.expire(ctx.now);
    schedule::run(stream, shared, ctx);
    snapshot::run(stream, shared, ctx);
    stream.settle(shared);
}

fn run_age(stream: &mut Stream, shared: &mut Shared, ctx: &mut Context<'_>) {
    let Some(before) = ctx.now.checked_sub(stream.derived.max_age) else { return };
    // Messages of `before` itself are due.
    let end = stream.store.seq_at_time(before.saturating_add(1));
    let before_run = stream.store.extent().messages;
    let is_plain = stream.expiry.kept_count() == 0 && stream.derived.marker_ttl == 0;
    if is_plain {
        if stream.store.extent().first_seq < end {
            stream.consumers.expiring(end);
            stream.remove_below(end, shared);
        }
    } else {
        let mut next = stream.store.next_seq(0);
        while let Some(seq) = next.filter(|seq| *seq < end) {
            if !stream.expiry.is_kept(seq) {
                expire(stream, shared, seq, ctx);
            }
            next = stream.store.next_seq(seq + 1);
        }
        find_first_aged(stream, shared);
    }
    if stream.store.extent().messages < before_run {
        stream.age_not_before = ctx.now.saturating_add(AGE_INTERVAL);
    }
}

/// Finds the first message that age concerns, if kept ones lie before it.
fn find_first_aged(stream: &mut Stream, shared: &mut Shared) {
    stream.expiry.set_first_aged(None);
    let mut next = stream.store.next_seq(0);
    if !next.is_some_and(|seq| stream.expiry.is_kept(seq)) {
        return;
    }
    while let Some(seq) = next.filter(|seq| stream.expiry.is_kept(*seq)) {
        next = stream.store.next_seq(seq + 1);
    }
    let Some(seq) = next else { return };
    if matches!(stream.store.read(seq, &mut shared.message), Ok(true)) {
        stream.expiry.set_first_aged(Some(shared.message.time));
    }
}

/// Removes one message that is due, and marks its subject if it was the last one there.
fn expire(stream: &mut Stream, shared: &mut Shared, seq: u64, ctx: &mut Context<'_>) {
    let mut message = std::mem::take(&mut shared.message);
    let is_read = matches!(stream.store.read(seq, &mut message), Ok(true));
    let subject = is_read.then(|| message.subject());
    stream.remove(seq, subject, false, shared);
    if is_read && stream.derived.marker_ttl != 0 {
        let block = message.headers();
        // A purge of a key-value store marks its subject itself.
        let is_marker = PublishHeaders::read(block).marker_reason.is_some()
            || HeaderBlock::new(block).get(b"KV-Operation") == Some(b"PURGE");
        if !is_marker && stream.store.subject(message.subject()).is_none() {
            mark(stream, shared, message.subject(), ctx);
        }
    }
    shared.message = message;
}

fn mark(stream: &mut Stream, shared: &mut Shared, subject: &[u8], ctx: &mut Context<'_>) {
    let ttl = format_duration(stream.config.subject_delete_marker_ttl);
    let headers = format!(
        "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: {ttl}\r\nNats-Rollup: sub\r\n\r\n"
    );
    let accepted = Accepted {
        subject,
        headers: headers.as_bytes(),
        payload: b"",
        msg_id: None,
        ttl: Some(Ttl::Seconds(stream.derived.marker_ttl / SECOND)),
        rollup: Some(Rollup::Subject),
    };
    // A stream that refuses new messages has room where one just went.
    let _seq = publish::store(stream, shared, &accepted, ctx);
}

/// Time between two runs of the limit of age, at least.
const AGE_INTERVAL: u64 = SECOND / 4;
