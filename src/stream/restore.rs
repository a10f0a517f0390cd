//! Streams on their way in, from archives that come in chunks.
//!
//! A stream is stored as its messages come, under its identity in the store, but is nobody's until
//! the last chunk is there: nothing finds it by its name, and one that a stop has cut short is
//! removed at the next start. Each chunk is answered once it is decoded and what it brought is
//! durable, which keeps senders at the pace of the disk.
//!
//! Bounds: [`OPEN_MAX`] at a time; [`WAITING_MAX`] bytes of chunks that are not decoded; some
//! [`BUDGET`] bytes decoded at a time; [`CONSUMERS_MAX`] bytes of consumers; a sender that says nothing for [`IDLE_MAX`] is forgotten.

use std::collections::BTreeMap;

use super::api::Answer;
use super::archive::{ArchiveError, Entry, EntryReader, FrameReader};
use super::engine::Engine;
use super::outbox::Outgoing;
use super::snapshot::{CONSUMER_PREFIX, STATE_NAME};
use super::stream::Stream;
use super::time::SECOND;
use super::token::Purpose;
use super::view::{advise, ClientInfo};
use super::{api, ApiError, Context, Incoming};
use crate::store::{Commit, Record, StreamId};
use crate::subject::AccountId;

/// All that are under way.
#[derive(Debug, Default)]
pub(super) struct Restores {
    open: BTreeMap<u32, Box<Restore>>,
    next_number: u32,
}

/// One that is under way.
#[derive(Debug)]
struct Restore {
    account: AccountId,
    /// Where the chunks come.
    subject: String,
    stream: Box<Stream>,
    /// Bytes of messages that it may have.
    room: u64,
    client: ClientInfo,
    frames: FrameReader,
    entries: EntryReader,
    /// Where the chunks that are not decoded are to be answered.
    replies: Vec<Box<[u8]>>,
    /// Where the last one is; `None` until it came.
    end: Option<Box<[u8]>>,
    /// The last sequence, as the archive says once its state was read.
    last_seq: u64,
    has_state: bool,
    consumers: Vec<Vec<u8>>,
    consumer_bytes: usize,
    error: Option<String>,
    bytes: u64,
    started: u64,
    idle_at: u64,
    is_due: bool,
}

impl Restores {
    /// Whether another one may be begun.
    pub(super) fn has_room(&self) -> bool {
        self.open.len() < OPEN_MAX
    }

    /// When [`Engine::run_restores`] is to be called.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.open.values().map(|open| if open.is_due { 0 } else { open.idle_at }).min()
    }

    /// The stream of that identity, if it is being restored.
    pub(super) fn find(&self, id: StreamId) -> Option<&Stream> {
        self.open.values().map(|open| &*open.stream).find(|stream| stream.id == id)
    }
}

impl Engine {
    /// Begins to take in a stream, which is made and empty; returns where its chunks are expected.
    pub(super) fn begin_restore(
        &mut self,
        stream: Box<Stream>,
        room: u64,
        client: ClientInfo,
        ctx: &mut Context<'_>,
    ) -> String {
        let restores = &mut self.restores;
        while restores.open.contains_key(&restores.next_number) {
            restores.next_number = restores.next_number.wrapping_add(1);
        }
        let number = restores.next_number;
        restores.next_number = number.wrapping_add(1);
        let nuid = self.shared.nuid.generate();
        let subject = ["$JS.SNAPSHOT.RESTORE.", stream.name(), ".", &nuid].concat();
        let account = stream.account;
        ctx.out.subscribe(Purpose::Restore(number).token(), account, subject.as_bytes(), None);
        let restore = Restore {
            account,
            subject: subject.clone(),
            stream,
            room,
            client,
            frames: FrameReader::default(),
            entries: EntryReader::default(),
            replies: Vec::new(),
            end: None,
            last_seq: 0,
            has_state: false,
            consumers: Vec::new(),
            consumer_bytes: 0,
            error: None,
            bytes: 0,
            started: ctx.now,
            idle_at: ctx.now.saturating_add(IDLE_MAX),
            is_due: false,
        };
        self.advise_restore(&restore, ctx);
        self.restores.open.insert(number, Box::new(restore));
        subject
    }

    /// Takes a chunk.
    pub(super) fn handle_chunk(
        &mut self,
        number: u32,
        incoming: &Incoming<'_>,
        ctx: &mut Context<'_>,
    ) {
        let Some(restore) = self.restores.open.get_mut(&number) else { return };
        restore.idle_at = ctx.now.saturating_add(IDLE_MAX);
        restore.is_due = true;
        if restore.end.is_some() {
            return;
        }
        restore.bytes += incoming.payload.len() as u64;
        if incoming.payload.is_empty() {
            restore.end = Some(incoming.reply.into());
        } else {
            restore.replies.push(incoming.reply.into());
            if restore.frames.len() + incoming.payload.len() > WAITING_MAX {
                restore.fail("too many chunks at a time");
            } else if restore.error.is_none() {
                restore.frames.push(incoming.payload);
            }
        }
        self.run_restore(number, ctx);
    }

    /// Goes on with what is due.
    pub(super) fn run_restores(&mut self, ctx: &mut Context<'_>) {
        let is_due = |open: &Restore| open.is_due || open.idle_at <= ctx.now;
        let due: Vec<u32> = self
            .restores
            .open
            .iter()
            .filter(|(_, open)| is_due(open))
            .map(|(number, _)| *number)
            .collect();
        for number in due {
            self.run_restore(number, ctx);
        }
    }

    /// Lets go of what is being restored by that identity, or in that account.
    pub(super) fn drop_restores(
        &mut self,
        is_gone: impl Fn(&Stream) -> bool,
        ctx: &mut Context<'_>,
    ) {
        let gone: Vec<u32> = self
            .restores
            .open
            .iter()
            .filter(|(_, open)| is_gone(&open.stream))
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            if let Some(restore) = self.restores.open.remove(&number) {
                restore.unsubscribe(number, ctx);
            }
        }
    }

    fn run_restore(&mut self, number: u32, ctx: &mut Context<'_>) {
        let Some(mut restore) = self.restores.open.remove(&number) else { return };
        if !restore.is_due {
            // Nothing came for too long.
            self.end_restore(number, restore, ctx);
            return;
        }
        restore.is_due = false;
        if restore.error.is_none() {
            match restore.decode(ctx.now) {
                _ if restore.stream.store.extent().bytes > restore.room => {
                    restore.fail("insufficient storage resources available");
                }
                Ok(true) => {}
                Ok(false) => {
                    restore.is_due = true;
                    self.restores.open.insert(number, restore);
                    return;
                }
                Err(error) => restore.fail(&error.to_string()),
            }
        }
        restore.answer_chunks(ctx);
        if restore.end.is_some() {
            self.end_restore(number, restore, ctx);
        } else {
            self.restores.open.insert(number, restore);
        }
    }

    /// The last chunk is there, or nobody sends any more.
    fn end_restore(&mut self, number: u32, mut restore: Box<Restore>, ctx: &mut Context<'_>) {
        restore.unsubscribe(number, ctx);
        let reply = restore.end.take();
        if let Some(error) = restore.missing().filter(|_| restore.error.is_none()) {
            restore.fail(&error.to_string());
        }
        let Restore { account, stream, client, started, bytes, consumers, error, last_seq, .. } =
            *restore;
        let name = stream.name().to_owned();
        let is_abandoned = reply.is_none();
        let made = match error {
            None if !is_abandoned => self.finish_restore(stream, &consumers, last_seq, ctx),
            error => {
                ctx.stores.delete(stream.id, stream.store);
                Err(ApiError::STREAM_RESTORE.with(error.unwrap_or_default()))
            }
        };
        let answer = match &made {
            Ok(index) => self.restored_answer(*index, ctx),
            Err(error) => api::refused_create(error),
        };
        self.advise_restored(account, &name, &client, (started, bytes), ctx);
        if let Some(reply) = reply.filter(|reply| !reply.is_empty()) {
            ctx.out.publish(
                answer.gate,
                &Outgoing {
                    account,
                    to: &reply,
                    subject: b"",
                    reply: b"",
                    headers: b"",
                    payload: &answer.body,
                    failure: None,
                },
            );
        }
        if let Ok(index) = made {
            self.go_on(index, ctx);
        }
    }

    /// Everything is there: the stream takes its place.
    fn finish_restore(
        &mut self,
        mut stream: Box<Stream>,
        consumers: &[Vec<u8>],
        last_seq: u64,
        ctx: &mut Context<'_>,
    ) -> Result<super::StreamIndex, ApiError> {
        let account = stream.account;
        let checked = self.check_restored(&stream);
        let index = self.streams.next_index();
        let (Ok(()), Some(index)) = (&checked, index) else {
            ctx.stores.delete(stream.id, stream.store);
            let full = || ApiError::STREAM_RESTORE.with("too many streams");
            return Err(checked.err().unwrap_or_else(full));
        };
        stream.index = index;
        stream.is_restoring = false;
        stream.store.begin_group();
        if last_seq > stream.store.extent().last_seq {
            stream.store.skip_to(last_seq.saturating_add(1));
        }
        stream.store.note(&super::recovery::RESTORED_NOTE);
        stream.subscribe(ctx);
        for text in consumers {
            let (all, mut view) = stream.split(&mut self.shared);
            // One that cannot be read is left out: the messages matter more.
            let _read = all.add_archived(text, &mut view, ctx);
        }
        stream.store.end_group();
        self.insert_stream(stream);
        self.refresh_feeds(account, ctx);
        self.stream_action(index, "create", "CREATED", ctx);
        Ok(index)
    }

    fn advise_restore(&mut self, restore: &Restore, ctx: &mut Context<'_>) {
        let name = restore.stream.name();
        let subject = ["ADVISORY.STREAM.RESTORE_CREATE.", name].concat();
        let shared = &mut self.shared;
        let (server, nuid) = (&shared.server, &mut shared.nuid);
        let kind = "advisory.v1.restore_create";
        advise(ctx, server, nuid, restore.account, Commit::NONE, &subject, kind, |object| {
            object.string("stream", name);
            restore.client.write(object.key("client"));
        });
    }

    fn advise_restored(
        &mut self,
        account: AccountId,
        name: &str,
        client: &ClientInfo,
        (started, bytes): (u64, u64),
        ctx: &mut Context<'_>,
    ) {
        let subject = ["ADVISORY.STREAM.RESTORE_COMPLETE.", name].concat();
        let shared = &mut self.shared;
        let (server, nuid, now) = (&shared.server, &mut shared.nuid, ctx.now);
        let kind = "advisory.v1.restore_complete";
        advise(ctx, server, nuid, account, Commit::NONE, &subject, kind, |object| {
            object.string("stream", name);
            object.time("start", started);
            object.time("end", now);
            object.uint("bytes", bytes);
            client.write(object.key("client"));
        });
    }
}

impl Restore {
    /// Decodes some of what came; returns whether that was all.
    fn decode(&mut self, now: u64) -> Result<bool, ArchiveError> {
        let mut decoded = 0;
        while decoded < BUDGET {
            let bytes = self.entries.bytes();
            let before = bytes.len();
            if !self.frames.read(bytes)? {
                return Ok(true);
            }
            decoded += bytes.len() - before;
            while let Some(entry) = self.entries.read()? {
                if entry.name == STATE_NAME && !self.has_state {
                    self.last_seq =
                        api::last_seq_of(entry.payload).ok_or(ArchiveError::NoArchive)?;
                    self.has_state = true;
                } else if !self.has_state {
                    return Err(ArchiveError::NoState);
                } else if entry.seq > 0 {
                    store(&mut self.stream, &entry, now)?;
                } else if entry.name.starts_with(CONSUMER_PREFIX) {
                    self.consumer_bytes += size_of::<Vec<u8>>() + entry.payload.len();
                    if self.consumer_bytes > CONSUMERS_MAX {
                        return Err(ArchiveError::Corrupt);
                    }
                    self.consumers.push(entry.payload.to_vec());
                }
            }
        }
        Ok(false)
    }

    /// Says that the chunks were taken, once what they brought is durable.
    fn answer_chunks(&mut self, ctx: &mut Context<'_>) {
        for reply in self.replies.drain(..).filter(|reply| !reply.is_empty()) {
            ctx.out.publish(
                self.stream.store.staged(),
                &Outgoing {
                    account: self.account,
                    to: &reply,
                    subject: b"",
                    reply: b"",
                    headers: b"",
                    payload: b"",
                    failure: None,
                },
            );
        }
    }

    /// Nothing more is decoded; the last chunk is answered with this.
    fn fail(&mut self, error: &str) {
        self.error.get_or_insert_with(|| error.to_owned());
        self.frames = FrameReader::default();
        self.entries = EntryReader::default();
    }

    /// What keeps it from being whole.
    fn missing(&self) -> Option<ArchiveError> {
        if self.frames.len() > 0 {
            Some(ArchiveError::Corrupt)
        } else if self.entries.has_rest() {
            Some(ArchiveError::NoArchive)
        } else if !self.entries.has_ended() {
            Some(ArchiveError::Cut)
        } else {
            (!self.has_state).then_some(ArchiveError::NoState)
        }
    }

    fn unsubscribe(&self, number: u32, ctx: &mut Context<'_>) {
        let token = Purpose::Restore(number).token();
        ctx.out.unsubscribe(token, self.account, self.subject.as_bytes());
    }
}

/// Stores a message of an archive under its own sequence.
fn store(stream: &mut Stream, entry: &Entry<'_>, now: u64) -> Result<(), ArchiveError> {
    let extent = stream.store.extent();
    let is_next = (extent.last_seq + 1..SEQ_END).contains(&entry.seq);
    if !is_next || !crate::subject::is_valid_subject(entry.name) {
        return Err(ArchiveError::NoArchive);
    }
    if entry.seq > extent.last_seq + 1 {
        stream.store.skip_to(entry.seq);
    }
    let record = Record {
        time: entry.time.clamp(extent.last_time, now.max(extent.last_time)),
        subject: entry.name,
        headers: entry.headers,
        payload: entry.payload,
    };
    let seq = stream.store.append(&record);
    stream.replay_appended(seq, &record);
    Ok(())
}

impl Engine {
    fn restored_answer(&self, index: super::StreamIndex, ctx: &Context<'_>) -> Answer {
        match self.streams.get(index) {
            Some(stream) => api::restored_answer(stream, &self.shared.server, ctx.now),
            None => api::refused_create(&ApiError::STREAM_NOT_FOUND),
        }
    }
}

/// Streams that are restored at a time.
const OPEN_MAX: usize = 16;
/// Bytes that are decoded before the engine does something else.
const BUDGET: usize = 1 << 20;
/// Bytes of chunks that may wait; one chunk may have `max_payload`, which is 64 MiB at most.
const WAITING_MAX: usize = 80 << 20;
/// Bytes of consumers that are kept until the end.
const CONSUMERS_MAX: usize = 64 << 20;
/// Sequences are below this: none that follows overflows.
const SEQ_END: u64 = u64::MAX >> 1;
/// Nanoseconds between two chunks.
const IDLE_MAX: u64 = 5 * SECOND;
