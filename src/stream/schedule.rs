//! Message schedules: a stored message that says when, and to which subject of the stream, another
//! one is to be published.
//!
//! Bounded by the subjects of the stream: each has one schedule at most.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;

use super::cron::{self, Cron};
use super::dedup::take;
use super::expiry::Ttl;
use super::publish::{self, last_of, remove_of_subject, Accepted, Rollup};
use super::publish_headers::{write_header, PublishHeaders};
use super::shared::Shared;
use super::stream::Stream;
use super::time::{format_time, parse_duration, parse_time, SECOND};
use super::{ApiError, Context};
use crate::proto::HeaderBlock;
use crate::subject::{is_literal, matches};

/// When a message is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    /// Once.
    At(u64),
    /// Again and again after so many nanoseconds.
    Every(u64),
    /// Again and again, by the clocks of a place, or UTC.
    Cron(Box<Cron>, Option<TimeZone>),
}

/// The schedules of one stream.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    by_subject: BTreeMap<Box<[u8]>, Entry>,
    due: BTreeSet<(u64, Box<[u8]>)>,
}

#[derive(Debug)]
struct Entry {
    seq: u64,
    due: u64,
    /// When the schedule was stored.
    since: u64,
    schedule: Schedule,
}

impl Schedule {
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if let Some(time) = text.strip_prefix("@at ") {
            return parse_time(time).ok().map(Self::At);
        }
        if let Some(duration) = text.strip_prefix("@every ") {
            let nanos = u64::try_from(parse_duration(duration)?).ok()?;
            return (nanos >= SECOND).then_some(Self::Every(nanos));
        }
        Cron::parse(text).map(|cron| Self::Cron(Box::new(cron), None))
    }

    /// The schedule that headers ask for, if they ask for one.
    fn of(headers: &PublishHeaders<'_>) -> Result<Option<Self>, ApiError> {
        let Some(pattern) = headers.schedule.filter(|pattern| !pattern.is_empty()) else {
            return Ok(None);
        };
        let mut schedule =
            Self::parse(pattern).ok_or(ApiError::MESSAGE_SCHEDULES_PATTERN_INVALID)?;
        if let Some(name) = headers.schedule_zone {
            let Self::Cron(_, zone) = &mut schedule else {
                return Err(ApiError::MESSAGE_SCHEDULES_PATTERN_INVALID);
            };
            *zone = Some(cron::zone(name).ok_or(ApiError::MESSAGE_SCHEDULES_TIME_ZONE_INVALID)?);
        }
        Ok(Some(schedule))
    }

    /// The first time after `now`; a single time is that one, even if it has passed.
    fn next(&self, since: u64, now: u64) -> Option<u64> {
        match self {
            Self::At(time) => Some(*time),
            Self::Every(interval) => {
                let start = since / SECOND * SECOND;
                let passed = now.saturating_sub(start) / interval;
                start.checked_add(interval.checked_mul(passed + 1)?)
            }
            Self::Cron(cron, zone) => cron.next_after(now, zone.as_ref()),
        }
    }
}

impl Schedules {
    /// A schedule was stored.
    pub(super) fn insert(&mut self, subject: &[u8], seq: u64, schedule: Schedule, now: u64) {
        self.remove(subject);
        let Some(due) = schedule.next(now, now) else { return };
        self.due.insert((due, subject.into()));
        self.by_subject.insert(subject.into(), Entry { seq, due, since: now, schedule });
    }

    /// A message that is replayed was stored.
    pub(super) fn replayed(&mut self, subject: &[u8], seq: u64, headers: &[u8], time: u64) {
        let headers = PublishHeaders::read(headers);
        if let Ok(Some(schedule)) = Schedule::of(&headers) {
            self.insert(subject, seq, schedule, time);
        }
    }

    /// When the next one is due.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| *due)
    }

    fn remove(&mut self, subject: &[u8]) -> Option<Entry> {
        let entry = self.by_subject.remove(subject)?;
        self.due.remove(&(entry.due, Box::from(subject)));
        Some(entry)
    }

    fn contains(&self, subject: &[u8]) -> bool {
        self.by_subject.contains_key(subject)
    }

    /// Appends everything, for [`restore`](Self::restore).
    pub(super) fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.by_subject.len() as u64).to_le_bytes());
        for (subject, entry) in &self.by_subject {
            out.extend_from_slice(&(subject.len() as u64).to_le_bytes());
            out.extend_from_slice(subject);
            for number in [entry.seq, entry.due, entry.since] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
    }

    /// Takes back what [`snapshot`](Self::snapshot) wrote, from the front of `bytes`; `read` finds
    /// the headers of a sequence.
    pub(super) fn restore(
        &mut self,
        bytes: &mut &[u8],
        mut read: impl FnMut(u64) -> Option<Vec<u8>>,
    ) -> Option<()> {
        let count = u64::from_le_bytes(take(bytes)?);
        for _ in 0..count {
            let len = usize::try_from(u64::from_le_bytes(take(bytes)?)).ok()?;
            let (subject, rest) = bytes.split_at_checked(len)?;
            *bytes = rest;
            let seq = u64::from_le_bytes(take(bytes)?);
            let due = u64::from_le_bytes(take(bytes)?);
            let since = u64::from_le_bytes(take(bytes)?);
            let Some(headers) = read(seq) else { continue };
            let Ok(Some(schedule)) = Schedule::of(&PublishHeaders::read(&headers)) else {
                continue;
            };
            self.due.insert((due, subject.into()));
            self.by_subject.insert(subject.into(), Entry { seq, due, since, schedule });
        }
        Some(())
    }
}

/// Checks the headers of schedules; the schedule that a message is, if it is one.
pub(super) fn check(
    headers: &PublishHeaders<'_>,
    stream: &Stream,
    subject: &[u8],
) -> Result<Option<Schedule>, ApiError> {
    let is_nowhere = headers.schedule_zone.is_some_and(|zone| cron::zone(zone).is_none());
    if headers.schedule.is_none_or(<[u8]>::is_empty) && !is_nowhere {
        check_scheduler(headers, stream, subject)?;
        return Ok(None);
    }
    if !stream.config.allow_msg_schedules {
        return Err(ApiError::MESSAGE_SCHEDULES_DISABLED);
    }
    if is_nowhere {
        return Err(ApiError::MESSAGE_SCHEDULES_TIME_ZONE_INVALID);
    }
    let schedule = Schedule::of(headers)?;
    if let Some(ttl) = headers.schedule_ttl.filter(|ttl| !ttl.is_empty()) {
        if !stream.config.allow_msg_ttl {
            return Err(ApiError::MESSAGE_TTL_DISABLED);
        }
        if Ttl::parse(ttl).is_none() {
            return Err(ApiError::MESSAGE_SCHEDULES_TTL_INVALID);
        }
    }
    let rolls_up_more = |rollup: Option<&[u8]>| {
        rollup.is_some_and(|r| !r.is_empty() && !r.eq_ignore_ascii_case(b"sub"))
    };
    if rolls_up_more(headers.schedule_rollup) {
        return Err(ApiError::MESSAGE_SCHEDULES_ROLLUP_INVALID);
    }
    let is_inside = |other: &[u8]| {
        let mut subjects = stream.config.subjects.iter();
        is_literal(other) && subjects.any(|pattern| matches(pattern.as_bytes(), other))
    };
    let target = headers.schedule_target.unwrap_or_default();
    if !is_inside(target) || target == subject {
        return Err(ApiError::MESSAGE_SCHEDULES_TARGET_INVALID);
    }
    if let Some(source) = headers.schedule_source.filter(|source| !source.is_empty()) {
        if !is_inside(source) || source == target || source == subject {
            return Err(ApiError::MESSAGE_SCHEDULES_SOURCE_INVALID);
        }
    }
    if rolls_up_more(headers.rollup) {
        return Err(ApiError::MESSAGE_SCHEDULES_ROLLUP_INVALID);
    }
    check_scheduler(headers, stream, subject)?;
    Ok(schedule)
}

/// A message that says it came from a schedule ends that one, and may say nothing else.
fn check_scheduler(
    headers: &PublishHeaders<'_>,
    stream: &Stream,
    subject: &[u8],
) -> Result<(), ApiError> {
    if headers.scheduler.is_none() && headers.schedule_next.is_none() {
        return Ok(());
    }
    let scheduler = headers.scheduler.unwrap_or_default();
    let is_stored = stream.store.subject(scheduler).is_some();
    let is_right = headers.schedule_next == Some(b"purge")
        && is_literal(scheduler)
        && scheduler != subject
        && (!is_stored || stream.schedules.contains(scheduler));
    if !is_right {
        Err(ApiError::MESSAGE_SCHEDULES_SCHEDULER_INVALID)
    } else if !stream.config.allow_msg_schedules {
        Err(ApiError::MESSAGE_SCHEDULES_DISABLED)
    } else {
        Ok(())
    }
}

/// Ends the schedule that a stored message says is over.
pub(super) fn cancel(headers: &PublishHeaders<'_>, stream: &mut Stream, shared: &mut Shared) {
    let Some(scheduler) = headers.scheduler else { return };
    if headers.schedule_next == Some(b"purge") {
        end(stream, shared, scheduler);
    }
}

/// Publishes what is due.
pub(super) fn run(stream: &mut Stream, shared: &mut Shared, ctx: &mut Context<'_>) {
    while stream.schedules.next_deadline().is_some_and(|due| due <= ctx.now) {
        let Some((_, subject)) = stream.schedules.due.pop_first() else { return };
        let Some(entry) = stream.schedules.by_subject.remove(&subject) else { continue };
        if stream.store.subject(&subject).is_some_and(|state| state.last == entry.seq) {
            fire(stream, shared, &subject, entry, ctx);
        }
    }
}

fn fire(
    stream: &mut Stream,
    shared: &mut Shared,
    subject: &[u8],
    entry: Entry,
    ctx: &mut Context<'_>,
) {
    let mut message = std::mem::take(&mut shared.message);
    if !matches!(stream.store.read(entry.seq, &mut message), Ok(true)) {
        shared.message = message;
        return;
    }
    let own = message.headers().to_vec();
    let asked = PublishHeaders::read(&own);
    let mut has_body = true;
    if let Some(source) = asked.schedule_source.filter(|source| !source.is_empty()) {
        let last = last_of(stream, source);
        has_body = matches!(stream.store.read(last, &mut message), Ok(true));
    }
    let next = match entry.schedule {
        Schedule::At(_) => None,
        _ => entry.schedule.next(entry.since, ctx.now),
    };
    let target = asked.schedule_target.unwrap_or_default();
    if has_body {
        let ttl = asked.schedule_ttl.filter(|ttl| !ttl.is_empty());
        let rolls_up = asked.schedule_rollup.is_some_and(|rollup| !rollup.is_empty());
        let block = produced_headers(message.headers(), subject, next, ttl, rolls_up);
        let accepted = Accepted {
            subject: target,
            headers: &block,
            payload: message.payload(),
            msg_id: None,
            ttl: ttl.and_then(Ttl::parse),
            rollup: rolls_up.then_some(Rollup::Subject),
        };
        // A stream with schedules never refuses new messages for its limits.
        let _seq = publish::store(stream, shared, &accepted, ctx);
    }
    match next {
        None => end(stream, shared, subject),
        Some(due) => {
            stream.schedules.due.insert((due, subject.into()));
            stream.schedules.by_subject.insert(subject.into(), Entry { due, ..entry });
        }
    }
    shared.message = message;
}

fn produced_headers(
    block: &[u8],
    scheduler: &[u8],
    next: Option<u64>,
    ttl: Option<&[u8]>,
    rolls_up: bool,
) -> Vec<u8> {
    let mut out = b"NATS/1.0\r\n".to_vec();
    for (name, value) in HeaderBlock::new(block).iter() {
        let is_dropped = name.starts_with(b"Nats-Schedule")
            || name.starts_with(b"Nats-Expected-")
            || [&b"Nats-Msg-Id"[..], b"Nats-TTL", b"Nats-Rollup"].contains(&name);
        if !is_dropped {
            write_header(&mut out, name, value);
        }
    }
    write_header(&mut out, b"Nats-Scheduler", scheduler);
    let next = next.map_or_else(|| String::from("purge"), format_time);
    write_header(&mut out, b"Nats-Schedule-Next", next.as_bytes());
    if let Some(ttl) = ttl {
        write_header(&mut out, b"Nats-TTL", ttl);
    }
    if rolls_up {
        write_header(&mut out, b"Nats-Rollup", b"sub");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Ends a schedule and removes its message.
fn end(stream: &mut Stream, shared: &mut Shared, subject: &[u8]) {
    stream.schedules.remove(subject);
    remove_of_subject(stream, shared, subject, u64::MAX);
}
