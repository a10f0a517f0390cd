//! Streams on their way out, as archives, in chunks that the receiver asks for by acknowledging.
//!
//! What an archive holds is what the stream had when it was asked for, less what has been removed
//! since. It is read and compressed as the receiver takes it, some [`BUDGET`] bytes of messages at a
//! time; nothing waits for it.
//!
//! Bounds: [`OPEN_MAX`] of one stream at a time, a window of 32 MiB each that is not kept, only
//! counted; a receiver that is not there for two seconds, or says nothing for five, ends it.

use super::archive::{write_end, write_entry, write_start, Entry, FrameWriter};
use super::json::Object;
use super::outbox::Outgoing;
use super::shared::Shared;
use super::stream::Stream;
use super::time::SECOND;
use super::token::Purpose;
use super::view::{advise, ClientInfo};
use super::{api, Context};
use crate::subject::AccountId;

/// How a stream is wanted.
#[derive(Clone, Debug)]
pub(super) struct SnapshotOrder {
    /// Where the chunks go.
    pub(super) to: String,
    /// Bytes of a chunk.
    pub(super) chunk: usize,
    /// Chunks that may be on their way.
    pub(super) window: u64,
    /// Its consumers are left out.
    pub(super) no_consumers: bool,
    /// Who wants it.
    pub(super) client: ClientInfo,
}

/// The archives of a stream that are being sent.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    open: Vec<Snapshot>,
    next_number: u32,
}

#[derive(Debug)]
struct Snapshot {
    number: u32,
    order: SnapshotOrder,
    /// `$JS.SNAPSHOT.ACK.<stream>.<nuid>.`
    acks: String,
    writer: FrameWriter,
    /// Compressed bytes that are not sent, from `ready_at` on.
    ready: Vec<u8>,
    ready_at: usize,
    /// Messages that are not written.
    next: u64,
    last: u64,
    is_written: bool,
    sent: u64,
    acked: u64,
    /// Somebody has listened.
    is_heard: bool,
    /// It ends if nothing happens until then.
    patience: u64,
    /// It has something to do at once.
    is_due: bool,
    started: u64,
}

/// What comes of a step.
enum Step {
    Goes,
    Done,
    Failed(String),
}

impl Snapshots {
    /// Whether another one may be begun.
    pub(super) fn has_room(&self) -> bool {
        self.open.len() < OPEN_MAX
    }

    /// Whether one waits to be listened to, or would end if nobody did.
    pub(super) fn awaits_interest(&self) -> bool {
        !self.open.is_empty()
    }

    /// A receiver may have come or gone.
    pub(super) fn handle_interest(&mut self) {
        self.open.iter_mut().for_each(|snapshot| snapshot.is_due = true);
    }

    /// A chunk was acknowledged.
    pub(super) fn handle_ack(&mut self, number: u32, subject: &[u8], now: u64) {
        let found = self.open.iter_mut().find(|snapshot| snapshot.number == number);
        let Some(snapshot) = found else { return };
        let index = subject.rsplit(|byte| *byte == b'.').next();
        let index = index.and_then(super::publish_headers::parse_uint).unwrap_or(0);
        if index > snapshot.acked && index <= snapshot.sent {
            snapshot.acked = index;
            snapshot.patience = now.saturating_add(ACK_WAIT);
            snapshot.is_due = true;
        }
    }

    /// When [`run`] is to be called.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.open.iter().map(|open| if open.is_due { 0 } else { open.patience }).min()
    }

    /// Ends all: the stream is gone.
    pub(super) fn clear(&mut self, stream: (super::StreamIndex, AccountId), ctx: &mut Context<'_>) {
        for snapshot in self.open.drain(..) {
            snapshot.unsubscribe(stream, ctx);
        }
    }
}

/// Begins to send a stream; the answer to the request is said before this.
pub(super) fn begin(
    stream: &mut Stream,
    shared: &mut Shared,
    order: SnapshotOrder,
    ctx: &mut Context<'_>,
) {
    let number = stream.snapshots.next_number;
    stream.snapshots.next_number = number.wrapping_add(1);
    let acks = ["$JS.SNAPSHOT.ACK.", stream.name(), ".", &shared.nuid.generate(), "."].concat();
    let extent = stream.store.extent();
    let mut writer = FrameWriter::new();
    write_start(writer.plain());
    let mut state = Vec::new();
    api::write_archived_state(stream, &mut state);
    write_entry(writer.plain(), &head(STATE_NAME, &state, ctx.now));
    if !order.no_consumers {
        for (name, text) in stream.consumers.archive() {
            let name = [CONSUMER_PREFIX, name.as_bytes()].concat();
            write_entry(writer.plain(), &head(&name, &text, ctx.now));
        }
    }
    advise_create(stream, shared, &order, ctx);
    let purpose = Purpose::SnapshotAck(stream.index, number);
    let pattern = [acks.as_str(), "*.*"].concat();
    ctx.out.subscribe(purpose.token(), stream.account, pattern.as_bytes(), None);
    stream.snapshots.open.push(Snapshot {
        number,
        order,
        acks,
        writer,
        ready: Vec::new(),
        ready_at: 0,
        next: extent.first_seq,
        last: extent.last_seq,
        is_written: false,
        sent: 0,
        acked: 0,
        is_heard: false,
        patience: ctx.now.saturating_add(INTEREST_WAIT),
        is_due: true,
        started: ctx.now,
    });
}

/// Sends what may be sent.
pub(super) fn run(stream: &mut Stream, shared: &mut Shared, ctx: &mut Context<'_>) {
    let mut at = 0;
    while at < stream.snapshots.open.len() {
        let is_due = stream
            .snapshots
            .open
            .get(at)
            .is_some_and(|open| open.is_due || open.patience <= ctx.now);
        if !is_due {
            at += 1;
            continue;
        }
        let mut snapshot = stream.snapshots.open.swap_remove(at);
        let error = match snapshot.step(stream, shared, ctx) {
            Step::Goes => {
                stream.snapshots.open.push(snapshot);
                let last = stream.snapshots.open.len() - 1;
                stream.snapshots.open.swap(at, last);
                at += 1;
                continue;
            }
            Step::Done => String::new(),
            Step::Failed(error) => error,
        };
        snapshot.unsubscribe((stream.index, stream.account), ctx);
        snapshot.advise_complete(stream, shared, &error, ctx);
    }
}

/// An entry that is no message.
fn head<'a>(name: &'a [u8], payload: &'a [u8], time: u64) -> Entry<'a> {
    Entry { name, payload, time, ..Entry::default() }
}

impl Snapshot {
    fn step(&mut self, stream: &mut Stream, shared: &mut Shared, ctx: &mut Context<'_>) -> Step {
        self.is_due = false;
        let is_late = self.patience <= ctx.now;
        if !ctx.interest.has_interest(stream.account, self.order.to.as_bytes()) {
            if self.is_heard || is_late {
                return self.fail("408 No Interest", stream, ctx);
            }
            return Step::Goes;
        }
        if !self.is_heard {
            self.is_heard = true;
            self.patience = ctx.now.saturating_add(ACK_WAIT);
        } else if is_late {
            return self.fail("408 No Flow Response", stream, ctx);
        }
        let mut written = 0;
        while self.sent - self.acked < self.order.window {
            if self.ready.len() - self.ready_at >= self.order.chunk {
                self.send_chunk(stream, ctx);
                written += self.order.chunk;
                continue;
            }
            if self.is_written {
                self.send_rest(stream, ctx);
                return Step::Done;
            }
            if written >= BUDGET {
                self.is_due = true;
                break;
            }
            match self.write_messages(stream, shared) {
                Ok(bytes) => written += bytes,
                Err(text) => return self.fail(&["500 ", &text].concat(), stream, ctx),
            }
        }
        Step::Goes
    }

    /// Compresses some more messages, and the end after the last one; returns how many bytes.
    fn write_messages(
        &mut self,
        stream: &mut Stream,
        shared: &mut Shared,
    ) -> Result<usize, String> {
        self.ready.drain(..self.ready_at);
        self.ready_at = 0;
        let plain = self.writer.plain();
        let before = plain.len();
        let mut next = stream.store.next_seq(self.next).filter(|seq| *seq <= self.last);
        while let Some(seq) = next.filter(|_| plain.len() - before < STEP) {
            let message = &mut shared.message;
            if stream.store.read(seq, message).map_err(|error| error.to_string())? {
                let entry = Entry {
                    name: message.subject(),
                    time: message.time,
                    seq,
                    headers: message.headers(),
                    payload: message.payload(),
                };
                write_entry(plain, &entry);
            }
            self.next = seq + 1;
            next = stream.store.next_seq(self.next).filter(|seq| *seq <= self.last);
        }
        let bytes = plain.len() - before;
        if next.is_none() {
            write_end(plain);
            self.is_written = true;
        }
        self.writer.write(self.is_written, &mut self.ready);
        Ok(bytes)
    }

    fn send_chunk(&mut self, stream: &Stream, ctx: &mut Context<'_>) {
        self.sent += 1;
        let (size, sent) = (self.order.chunk.to_string(), self.sent.to_string());
        let reply = [&self.acks, &size, ".", &sent].concat();
        let end = self.ready_at + self.order.chunk;
        let chunk = self.ready.get(self.ready_at..end).unwrap_or_default();
        self.send(chunk, b"", reply.as_bytes(), stream, ctx);
        self.ready_at = end;
    }

    /// What is left is no whole chunk and needs no acknowledgement; then the end.
    fn send_rest(&mut self, stream: &Stream, ctx: &mut Context<'_>) {
        let rest = self.ready.get(self.ready_at..).unwrap_or_default();
        if !rest.is_empty() {
            self.send(rest, b"", b"", stream, ctx);
        }
        let end: &[u8] = if self.sent > 0 { b"NATS/1.0 204\r\n\r\n" } else { b"" };
        self.send(b"", end, b"", stream, ctx);
    }

    fn fail(&self, status: &str, stream: &Stream, ctx: &mut Context<'_>) -> Step {
        let headers = ["NATS/1.0 ", status, "\r\n\r\n"].concat();
        self.send(b"", headers.as_bytes(), b"", stream, ctx);
        let (_, text) = status.split_once(' ').unwrap_or_default();
        Step::Failed(text.to_owned())
    }

    fn send(
        &self,
        payload: &[u8],
        headers: &[u8],
        reply: &[u8],
        stream: &Stream,
        ctx: &mut Context<'_>,
    ) {
        let to = self.order.to.as_bytes();
        ctx.out.publish(
            stream.store.staged(),
            &Outgoing {
                account: stream.account,
                to,
                subject: b"",
                reply,
                headers,
                payload,
                failure: None,
            },
        );
    }

    fn unsubscribe(
        &self,
        (index, account): (super::StreamIndex, AccountId),
        ctx: &mut Context<'_>,
    ) {
        let token = Purpose::SnapshotAck(index, self.number).token();
        let pattern = [self.acks.as_str(), "*.*"].concat();
        ctx.out.unsubscribe(token, account, pattern.as_bytes());
    }

    fn advise_complete(
        &self,
        stream: &Stream,
        shared: &mut Shared,
        error: &str,
        ctx: &mut Context<'_>,
    ) {
        let now = ctx.now;
        self.order.advise(
            stream,
            shared,
            "SNAPSHOT_COMPLETE",
            "snapshot_complete",
            ctx,
            |object| {
                object.time("start", self.started);
                object.time("end", now);
                self.order.client.write(object.key("client"));
                object.string_some("error", error);
            },
        );
    }
}

impl SnapshotOrder {
    fn advise(
        &self,
        stream: &Stream,
        shared: &mut Shared,
        subject: &str,
        kind: &str,
        ctx: &mut Context<'_>,
        fill: impl FnOnce(&mut Object<'_>),
    ) {
        let subject = ["ADVISORY.STREAM.", subject, ".", stream.name()].concat();
        let kind = ["advisory.v1.", kind].concat();
        let (server, nuid, gate) = (&shared.server, &mut shared.nuid, stream.store.staged());
        advise(ctx, server, nuid, stream.account, gate, &subject, &kind, |object| {
            object.string("stream", stream.name());
            fill(object);
        });
    }
}

fn advise_create(
    stream: &Stream,
    shared: &mut Shared,
    order: &SnapshotOrder,
    ctx: &mut Context<'_>,
) {
    order.advise(stream, shared, "SNAPSHOT_CREATE", "snapshot_create", ctx, |object| {
        api::write_plain_state(object, stream);
        order.client.write(object.key("client"));
    });
}

/// The name of the first entry.
pub(super) const STATE_NAME: &[u8] = b"state.json";
/// What names of consumers begin with.
pub(super) const CONSUMER_PREFIX: &[u8] = b"consumers/";
/// Archives of one stream at a time.
const OPEN_MAX: usize = 16;
/// Nanoseconds a receiver has to appear.
const INTEREST_WAIT: u64 = 2 * SECOND;
/// Nanoseconds a receiver has to acknowledge.
const ACK_WAIT: u64 = 5 * SECOND;
/// Bytes of messages that are read before the stream does something else.
const BUDGET: usize = 512 << 10;
/// Bytes of messages that are compressed at a time.
const STEP: usize = 64 << 10;
