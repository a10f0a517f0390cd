//! Direct gets: messages read without the API, by sequence, subject or time.

use super::api::is_level_met;
use super::json::{parse, Value};
use super::outbox::Outgoing;
use super::publish_headers::{open_block, parse_uint, write_header};
use super::shared::Shared;
use super::stream::Stream;
use super::time::{parse_time, write_time};
use super::{Context, Incoming};
use crate::proto::{write_decimal, write_status_block};
use crate::subject::is_valid_pattern;

/// What is asked for.
#[derive(Debug, Default)]
struct Request {
    seq: u64,
    last_by_subj: Option<String>,
    next_by_subj: Option<String>,
    start_time: Option<u64>,
    batch: u64,
    max_bytes: u64,
    multi_last: Vec<Box<[u8]>>,
    up_to_seq: u64,
    up_to_time: Option<u64>,
    no_hdr: bool,
}

/// A get with a body.
pub(super) fn handle(
    stream: &mut Stream,
    shared: &mut Shared,
    incoming: &Incoming<'_>,
    ctx: &mut Context<'_>,
) {
    if incoming.reply.is_empty() {
        return;
    }
    if !is_level_met(incoming.headers) {
        return status(stream, incoming, 412, b"Required Api Level", ctx);
    }
    if incoming.payload.is_empty() {
        return status(stream, incoming, 408, b"Empty Request", ctx);
    }
    let Some(request) = Request::read(incoming.payload) else {
        return status(stream, incoming, 408, b"Malformed Request", ctx);
    };
    if request.is_empty() {
        return status(stream, incoming, 408, b"Empty Request", ctx);
    }
    if request.conflicts() {
        return status(stream, incoming, 408, b"Bad Request", ctx);
    }
    serve(stream, shared, &request, incoming, ctx);
}

/// A get of the last message of the subject that ends the request's subject.
pub(super) fn handle_last(
    stream: &mut Stream,
    shared: &mut Shared,
    incoming: &Incoming<'_>,
    ctx: &mut Context<'_>,
) {
    if incoming.reply.is_empty() {
        return;
    }
    if !is_level_met(incoming.headers) {
        return status(stream, incoming, 412, b"Required Api Level", ctx);
    }
    let mut request = Request::default();
    if !incoming.payload.is_empty() {
        let Some(read) = Request::read(incoming.payload) else {
            return status(stream, incoming, 408, b"Malformed Request", ctx);
        };
        if !read.is_empty() {
            return status(stream, incoming, 408, b"Bad Request", ctx);
        }
        request = read;
    }
    let name = match (&stream.config.mirror, stream.config.mirror_direct) {
        // The mirror answers for its origin as well.
        (Some(mirror), true) if !is_named(incoming.subject, stream.name()) => &mirror.name,
        _ => &stream.config.name,
    };
    let subject = incoming.subject.get(PREFIX.len() + name.len() + 1..).unwrap_or_default();
    request.last_by_subj = Some(String::from_utf8_lossy(subject).into_owned());
    serve(stream, shared, &request, incoming, ctx);
}

fn is_named(subject: &[u8], stream: &str) -> bool {
    let rest = subject.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(stream.as_bytes()));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
}

fn serve(
    stream: &mut Stream,
    shared: &mut Shared,
    request: &Request,
    incoming: &Incoming<'_>,
    ctx: &mut Context<'_>,
) {
    if request.batch > 0 && !request.is_valid() {
        return status(stream, incoming, 404, b"Message Not Found", ctx);
    }
    if !request.multi_last.is_empty() {
        return serve_multi(stream, shared, request, incoming, ctx);
    }
    if request.batch > 0 {
        return serve_batch(stream, shared, request, incoming, ctx);
    }
    let found = find(stream, request);
    let is_read =
        found.is_some_and(|seq| matches!(stream.store.read(seq, &mut shared.message), Ok(true)));
    if !is_read {
        return status(stream, incoming, 404, b"Message Not Found", ctx);
    }
    send(stream, shared, request, None, incoming, ctx);
}

fn find(stream: &mut Stream, request: &Request) -> Option<u64> {
    if !request.is_valid() {
        return None;
    }
    let store = &mut stream.store;
    let from = match request.start_time {
        Some(time) => store.seq_at_time(time),
        None => request.seq,
    };
    if let Some(subject) = &request.last_by_subj {
        let subject = subject.as_bytes();
        if !crate::subject::has_wildcard(subject) {
            return store.subject(subject).map(|state| state.last);
        }
        return store.last_matching(&[Box::from(subject)], u64::MAX);
    }
    if let Some(subject) = &request.next_by_subj {
        return store.first_matching(&[Box::from(subject.as_bytes())], from);
    }
    if request.start_time.is_some() {
        return store.next_seq(from);
    }
    Some(request.seq)
}

/// Up to `batch` messages from a sequence on.
fn serve_batch(
    stream: &mut Stream,
    shared: &mut Shared,
    request: &Request,
    incoming: &Incoming<'_>,
    ctx: &mut Context<'_>,
) {
    let filters: Vec<Box<[u8]>> =
        request.next_by_subj.iter().map(|subject| Box::from(subject.as_bytes())).collect();
    let from = match request.start_time {
        Some(time) => stream.store.seq_at_time(time),
        None => request.seq.max(1),
    };
    let mut left = stream.store.count_matching(&filters, from);
    let mut next = from;
    let mut last = 0;
    let mut bytes = 0;
    let limit = request.bytes_max();
    for sent in 0..request.batch.min(BATCH_MAX) {
        if sent > 0 && bytes >= limit {
            break;
        }
        let Some(seq) = stream.store.first_matching(&filters, next) else { break };
        next = seq + 1;
        if !matches!(stream.store.read(seq, &mut shared.message), Ok(true)) {
            continue;
        }
        // Without headers nothing is counted down, and the end says so: as nats-server does.
        left = left.saturating_sub(u64::from(!request.no_hdr));
        bytes += size(&shared.message);
        send(stream, shared, request, Some((left, last)), incoming, ctx);
        last = seq;
    }
    if last == 0 {
        return status(stream, incoming, 404, b"Message Not Found", ctx);
    }
    end(stream, shared, left, last, None, incoming, ctx);
}

/// The last message of every subject that matches.
fn serve_multi(
    stream: &mut Stream,
    shared: &mut Shared,
    request: &Request,
    incoming: &Incoming<'_>,
    ctx: &mut Context<'_>,
) {
    let extent = stream.store.extent();
    let up_to = match request.up_to_time {
        Some(time) => stream.store.seq_at_time(time.saturating_add(1)).saturating_sub(1),
        None if request.up_to_seq > 0 => request.up_to_seq,
        None => extent.last_seq,
    };
    if extent.messages == 0 || up_to < extent.first_seq {
        return status(stream, incoming, 404, b"No Results", ctx);
    }
    let mut found = Vec::new();
    let mut is_too_many = false;
    let mut behind: Vec<Box<[u8]>> = Vec::new();
    // Patterns may overlap each other; each subject counts once.
    for filter in request.multi_last.iter().filter(|filter| is_valid_pattern(filter)) {
        stream.store.for_each_subject(std::slice::from_ref(filter), &mut |subject, state| {
            if state.last <= up_to {
                found.push(state.last);
            } else if state.first <= up_to {
                behind.push(subject.into());
            }
            is_too_many = found.len() + behind.len() > 2 * RESULTS_MAX;
            !is_too_many
        });
    }
    for subject in behind {
        found.extend(stream.store.last_matching(&[subject], up_to));
    }
    found.sort_unstable();
    found.dedup();
    if is_too_many || found.len() > RESULTS_MAX {
        return status(stream, incoming, 413, b"Too Many Results", ctx);
    }
    if found.is_empty() {
        return status(stream, incoming, 404, b"No Results", ctx);
    }
    found.retain(|seq| *seq >= request.seq);
    let mut left = found.len() as u64;
    let (mut last, mut bytes, mut sent) = (0, 0, 0);
    let limit = request.bytes_max();
    for seq in found {
        if sent > 0 && (bytes >= limit || (request.batch > 0 && sent >= request.batch)) {
            break;
        }
        match stream.store.read(seq, &mut shared.message) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) => {
                return status(stream, incoming, 500, error.to_string().as_bytes(), ctx);
            }
        }
        left -= 1;
        sent += 1;
        bytes += size(&shared.message);
        send(stream, shared, request, Some((left, last)), incoming, ctx);
        last = seq;
    }
    end(stream, shared, left, last, Some(up_to), incoming, ctx);
}

fn size(message: &crate::store::Message) -> u64 {
    (message.subject().len() + message.headers().len() + message.payload().len()) as u64
}

/// Sends the message that was read; of a batch with what is left and which was sent before.
fn send(
    stream: &Stream,
    shared: &mut Shared,
    request: &Request,
    batch: Option<(u64, u64)>,
    incoming: &Incoming<'_>,
    ctx: &mut Context<'_>,
) {
    let message = &shared.message;
    let block = &mut shared.headers;
    block.clear();
    if !request.no_hdr {
        open_block(message.headers(), block);
        write_header(block, b"Nats-Stream", stream.name().as_bytes());
        write_header(block, b"Nats-Subject", message.subject());
        write_number(block, b"Nats-Sequence: ", message.seq);
        block.extend_from_slice(b"Nats-Time-Stamp: ");
        write_time(block, message.time);
        block.extend_from_slice(b"\r\n");
        if let Some((left, last)) = batch {
            write_number(block, b"Nats-Num-Pending: ", left);
            write_number(block, b"Nats-Last-Sequence: ", last);
        }
        block.extend_from_slice(b"\r\n");
    }
    ctx.out.publish(
        stream.store.staged(),
        &Outgoing {
            account: stream.account,
            to: incoming.reply,
            subject: b"",
            reply: b"",
            headers: block,
            payload: message.payload(),
            failure: None,
        },
    );
}

fn end(
    stream: &Stream,
    shared: &mut Shared,
    left: u64,
    last: u64,
    up_to: Option<u64>,
    incoming: &Incoming<'_>,
    ctx: &mut Context<'_>,
) {
    let block = &mut shared.headers;
    block.clear();
    block.extend_from_slice(b"NATS/1.0 204 EOB\r\n");
    write_number(block, b"Nats-Num-Pending: ", left);
    write_number(block, b"Nats-Last-Sequence: ", last);
    if let Some(up_to) = up_to {
        write_number(block, b"Nats-UpTo-Sequence: ", up_to);
    }
    block.extend_from_slice(b"\r\n");
    say(stream, incoming, block, ctx);
}

fn status(stream: &Stream, incoming: &Incoming<'_>, code: u16, text: &[u8], ctx: &mut Context<'_>) {
    let mut block = Vec::new();
    write_status_block(&mut block, code, text, &[]);
    say(stream, incoming, &block, ctx);
}

fn say(stream: &Stream, incoming: &Incoming<'_>, headers: &[u8], ctx: &mut Context<'_>) {
    ctx.out.publish(
        stream.store.staged(),
        &Outgoing {
            account: stream.account,
            to: incoming.reply,
            subject: b"",
            reply: b"",
            headers,
            payload: b"",
            failure: None,
        },
    );
}

fn write_number(block: &mut Vec<u8>, name: &[u8], number: u64) {
    block.extend_from_slice(name);
    write_decimal(block, number);
    block.extend_from_slice(b"\r\n");
}

impl Request {
    fn read(body: &[u8]) -> Option<Self> {
        if let Some(seq) = seq_alone(body) {
            return Some(Self { seq, ..Self::default() });
        }
        let Value::Object(entries) = parse(body).ok()? else { return None };
        let mut request = Self::default();
        let uint = |value: &Value<'_>| match value {
            Value::Number(text) => text.parse().ok(),
            Value::Null => Some(0),
            _ => None,
        };
        let text = |value: &Value<'_>| match value {
            Value::String(text) => Some(Some(text.to_string()).filter(|text| !text.is_empty())),
            Value::Null => Some(None),
            _ => None,
        };
        let time = |value: &Value<'_>| match value {
            Value::String(text) => parse_time(text).ok().map(Some),
            Value::Null => Some(None),
            _ => None,
        };
        for (key, value) in &entries {
            match key.to_ascii_lowercase().as_str() {
                "seq" => request.seq = uint(value)?,
                "last_by_subj" => request.last_by_subj = text(value)?,
                "next_by_subj" => request.next_by_subj = text(value)?,
                "start_time" => request.start_time = time(value)?,
                "batch" => request.batch = uint(value)?,
                "max_bytes" => request.max_bytes = uint(value)?,
                "up_to_seq" => request.up_to_seq = uint(value)?,
                "up_to_time" => request.up_to_time = time(value)?,
                "no_hdr" => match value {
                    Value::Bool(value) => request.no_hdr = *value,
                    Value::Null => {}
                    _ => return None,
                },
                "multi_last" => {
                    let Value::Array(values) = value else { return None };
                    for value in values {
                        let Value::String(subject) = value else { return None };
                        request.multi_last.push(Box::from(subject.as_bytes()));
                    }
                }
                _ => {}
            }
        }
        Some(request)
    }

    /// Whether all its subjects are patterns.
    fn is_valid(&self) -> bool {
        let single = self.last_by_subj.iter().chain(&self.next_by_subj).map(String::as_bytes);
        let mut all = single.chain(self.multi_last.iter().map(|subject| &**subject));
        all.all(is_valid_pattern)
    }

    fn is_empty(&self) -> bool {
        self.seq == 0
            && self.last_by_subj.is_none()
            && self.next_by_subj.is_none()
            && self.start_time.is_none()
            && self.multi_last.is_empty()
    }

    fn conflicts(&self) -> bool {
        let last = self.last_by_subj.is_some();
        let (next, time) = (self.next_by_subj.is_some(), self.start_time.is_some());
        let multi = !self.multi_last.is_empty();
        (self.seq > 0 && (last || time))
            || (time && last)
            || (last && (next || self.batch > 0 || multi))
            || (next && multi)
            || (self.up_to_seq > 0 && self.up_to_time.is_some())
    }

    fn bytes_max(&self) -> u64 {
        if self.max_bytes == 0 {
            BYTES_MAX
        } else {
            self.max_bytes.min(BYTES_MAX)
        }
    }
}

/// The sequence of a request that says nothing else, as clients write it: most do.
fn seq_alone(body: &[u8]) -> Option<u64> {
    let digits = body.strip_prefix(b"{\"seq\":")?.strip_suffix(b"}")?;
    // A number in JSON does not begin with a zero.
    parse_uint(digits).filter(|_| !digits.starts_with(b"0"))
}

/// What stands before the stream's name.
const PREFIX: &[u8] = b"$JS.API.DIRECT.GET.";
/// Subjects that one request may be about.
const RESULTS_MAX: usize = 1024;
/// Bytes that one request is answered with, about.
const BYTES_MAX: u64 = 64 << 20;
/// Messages that one request is answered with.
const BATCH_MAX: u64 = 1 << 20;
