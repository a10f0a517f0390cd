//! Fast-ingest batches: messages that are stored as they come and acknowledged many at a time. All
//! that a message says of its batch stands in its reply subject:
//! `<inbox>.<batch id>.<flow>.<gap>.<seq>.<op>.$FI`.
//!
//! Bounds: [`OPEN_MAX`] batches of a stream; one that nothing is added to for [`IDLE`] is forgotten.

use std::collections::BTreeMap;

use super::json::Object;
use super::publish::{self, Outcome, Published};
use super::publish_headers::parse_uint;
use super::shared::Shared;
use super::stream::Stream;
use super::time::SECOND;
use super::{ApiError, Context};

/// The open fast-ingest batches of one stream.
#[derive(Debug, Default)]
pub(super) struct FastBatches {
    open: BTreeMap<Box<[u8]>, FastBatch>,
}

#[derive(Debug)]
struct FastBatch {
    /// Sequence of the batch that comes next.
    expected: u64,
    /// The last one acknowledged.
    acked: u64,
    /// Messages between two acknowledgements.
    interval: u64,
    flow: u64,
    /// Sequence of the stream that was stored last.
    stored: u64,
    deadline: u64,
}

/// What a reply subject says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step<'a> {
    id: &'a [u8],
    flow: u64,
    ends_at_gap: bool,
    seq: u64,
    op: Op,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Start,
    Append,
    Commit,
    End,
    Ping,
}

impl FastBatches {
    /// When the first of them is forgotten.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.open.values().map(|batch| batch.deadline).min()
    }

    /// Forgets what nothing was added to for too long.
    pub(super) fn expire(&mut self, now: u64) {
        if !self.open.is_empty() {
            self.open.retain(|_, batch| batch.deadline > now);
        }
    }
}

/// Whether a message is one of a batch.
pub(super) fn is_one(reply: &[u8]) -> bool {
    reply.ends_with(b".$FI")
}

/// Takes a message of a batch.
pub(super) fn handle(
    stream: &mut Stream,
    shared: &mut Shared,
    message: &Published<'_>,
    ctx: &mut Context<'_>,
) {
    if let Err(error) = take(stream, shared, message, ctx) {
        publish::answer(stream, shared, message.reply, &Err(error), ctx);
    }
}

fn take(
    stream: &mut Stream,
    shared: &mut Shared,
    message: &Published<'_>,
    ctx: &mut Context<'_>,
) -> Result<(), ApiError> {
    if !stream.config.allow_batched {
        return Err(ApiError::BATCH_PUBLISH_DISABLED);
    }
    let step = Step::read(message.reply).ok_or(ApiError::BATCH_PUBLISH_INVALID_PATTERN)?;
    if step.id.len() > ID_MAX {
        return Err(ApiError::BATCH_PUBLISH_INVALID_BATCH_ID);
    }
    let is_known = stream.fast_batches.open.contains_key(step.id);
    let begins = step.op == Op::Start || (step.op == Op::Commit && step.seq == 1);
    if !is_known {
        if !begins {
            return Err(ApiError::BATCH_PUBLISH_UNKNOWN_BATCH_ID);
        }
        let others = stream.fast_batches.open.len();
        if others >= OPEN_MAX {
            return Err(ApiError::BATCH_PUBLISH_TOO_MANY_INFLIGHT);
        }
        let target = step.flow.min(FLOW_TOTAL);
        let batch = FastBatch {
            expected: 1,
            acked: 0,
            interval: if others > 0 { 1 } else { target },
            flow: step.flow,
            stored: 0,
            deadline: 0,
        };
        stream.fast_batches.open.insert(step.id.into(), batch);
    }
    let Some(mut batch) = stream.fast_batches.open.remove(step.id) else { return Ok(()) };
    batch.deadline = ctx.now.saturating_add(IDLE);
    let is_open = advance(stream, shared, &mut batch, &step, message, ctx)?;
    if is_open {
        stream.fast_batches.open.insert(step.id.into(), batch);
    }
    Ok(())
}

/// Returns whether the batch goes on.
fn advance(
    stream: &mut Stream,
    shared: &mut Shared,
    batch: &mut FastBatch,
    step: &Step<'_>,
    message: &Published<'_>,
    ctx: &mut Context<'_>,
) -> Result<bool, ApiError> {
    // A ping says what was sent last; the others say what they are.
    let seq = if step.op == Op::Ping { step.seq + 1 } else { step.seq };
    if step.op == Op::Start && batch.stored == 0 {
        say_ack(stream, shared, batch, message.reply, ctx);
    }
    if seq != batch.expected {
        say_gap(stream, shared, batch.expected, seq, message.reply, ctx);
        if step.ends_at_gap {
            finish(stream, shared, batch, step, message.reply, ctx);
            return Ok(false);
        }
        batch.expected = batch.expected.max(seq);
        if step.op != Op::Ping && batch.expected > batch.acked + batch.interval {
            batch.acked = batch.expected - 1;
            say_ack(stream, shared, batch, message.reply, ctx);
        }
    }
    match step.op {
        Op::Ping => {
            say_ack(stream, shared, batch, message.reply, ctx);
            return Ok(true);
        }
        Op::End => {
            finish(stream, shared, batch, step, message.reply, ctx);
            return Ok(false);
        }
        Op::Start | Op::Append | Op::Commit => {}
    }
    match publish::publish(stream, shared, message, ctx) {
        Ok(outcome) => batch.stored = outcome.seq(),
        Err(error) if step.ends_at_gap && step.seq == 1 => return Err(error),
        Err(error) => {
            say_error(stream, shared, step.seq, &error, message.reply, ctx);
            if step.ends_at_gap {
                finish(stream, shared, batch, step, message.reply, ctx);
                return Ok(false);
            }
        }
    }
    batch.expected = batch.expected.max(step.seq + 1);
    if step.op == Op::Commit {
        finish(stream, shared, batch, step, message.reply, ctx);
        return Ok(false);
    }
    if batch.expected > batch.acked + batch.interval {
        batch.acked = batch.expected - 1;
        let open = stream.fast_batches.open.len() as u64 + 1;
        let target = batch.flow.min(FLOW_TOTAL / open).max(1);
        batch.interval = if batch.interval < target {
            (batch.interval * 2).min(target)
        } else {
            (batch.interval / 2).max(target)
        };
        say_ack(stream, shared, batch, message.reply, ctx);
    }
    Ok(true)
}

fn finish(
    stream: &Stream,
    shared: &mut Shared,
    batch: &FastBatch,
    step: &Step<'_>,
    reply: &[u8],
    ctx: &mut Context<'_>,
) {
    let outcome =
        Outcome::Committed { seq: batch.stored, batch: step.id.into(), count: batch.expected - 1 };
    publish::answer(stream, shared, reply, &Ok(outcome), ctx);
}

fn say_ack(
    stream: &Stream,
    shared: &mut Shared,
    batch: &FastBatch,
    reply: &[u8],
    ctx: &mut Context<'_>,
) {
    say(stream, shared, "ack", reply, ctx, |object| {
        object.uint("seq", batch.acked);
        object.uint("msgs", batch.interval);
    });
}

fn say_gap(
    stream: &Stream,
    shared: &mut Shared,
    expected: u64,
    seq: u64,
    reply: &[u8],
    ctx: &mut Context<'_>,
) {
    say(stream, shared, "gap", reply, ctx, |object| {
        object.uint("last_seq", expected);
        object.uint("seq", seq);
    });
}

fn say_error(
    stream: &Stream,
    shared: &mut Shared,
    seq: u64,
    error: &ApiError,
    reply: &[u8],
    ctx: &mut Context<'_>,
) {
    say(stream, shared, "err", reply, ctx, |object| {
        object.uint("seq", seq);
        error.write(object.key("error"));
    });
}

fn say(
    stream: &Stream,
    shared: &mut Shared,
    kind: &str,
    reply: &[u8],
    ctx: &mut Context<'_>,
    fill: impl FnOnce(&mut Object<'_>),
) {
    let text = &mut shared.text;
    text.clear();
    let mut object = Object::open(text);
    object.string("type", kind);
    fill(&mut object);
    object.close();
    publish::say(stream, reply, text, ctx);
}

impl<'a> Step<'a> {
    fn read(reply: &'a [u8]) -> Option<Self> {
        let mut parts = reply.rsplitn(7, |byte| *byte == b'.');
        let _mark = parts.next()?;
        let op = match parts.next()? {
            b"0" => Op::Start,
            b"1" => Op::Append,
            b"2" => Op::Commit,
            b"3" => Op::End,
            b"4" => Op::Ping,
            _ => return None,
        };
        let seq = parse_uint(parts.next()?)?;
        let ends_at_gap = match parts.next()? {
            b"fail" => true,
            b"ok" => false,
            _ => return None,
        };
        let flow = parse_uint(parts.next()?).filter(|flow| *flow > 0).unwrap_or(FLOW_DEFAULT);
        let id = parts.next()?;
        let is_well_formed = match op {
            Op::Start => seq == 1,
            Op::Commit => seq >= 1,
            Op::Append | Op::End => seq > 1,
            Op::Ping => seq >= 1,
        };
        if id.is_empty() || parts.next().is_none_or(<[u8]>::is_empty) || !is_well_formed {
            return None;
        }
        Some(Self { id, flow: flow.min(FLOW_MAX), ends_at_gap, seq, op })
    }
}

const ID_MAX: usize = 64;
/// Batches of a stream that may be open.
const OPEN_MAX: usize = 1000;
const FLOW_DEFAULT: u64 = 10;
const FLOW_MAX: u64 = 65_535;
/// Messages between two acknowledgements, of all batches together.
const FLOW_TOTAL: u64 = 500;
/// How long a batch is kept without another message.
const IDLE: u64 = 10 * SECOND;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_from_the_end() {
        let step = Step::read(b"_I.a.b.id.3.ok.2.1.$FI").unwrap();
        assert_eq!(step, Step { id: b"id", flow: 3, ends_at_gap: false, seq: 2, op: Op::Append });
        assert_eq!(Step::read(b"_I.id.x.fail.1.0.$FI").unwrap().flow, 10);
        for bad in [
            "_I.id.3.zz.1.0.$FI",
            "_I.id.3.ok.1.9.$FI",
            "_I.id.3.ok.2.0.$FI",
            "_I.id.3.ok.1.3.$FI",
            "id.3.ok.1.0.$FI",
            "ok.1.0.$FI",
        ] {
            assert_eq!(Step::read(bad.as_bytes()), None, "{bad}");
        }
    }
}
