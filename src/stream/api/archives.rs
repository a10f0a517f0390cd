//! `STREAM.SNAPSHOT` and `STREAM.RESTORE`: how a stream is taken out, and put back.

use super::dispatch::{bad_json, find_verb, is_empty_request, refuse, Answer, Request};
use super::info::{write_config, write_info, write_state, write_state_keys, StateDetail};
use crate::store::StorageKind;
use crate::stream::check::set_metadata;
use crate::stream::config::StreamConfig;
use crate::stream::engine::Engine;
use crate::stream::json::{Decoder, Field, Object};
use crate::stream::snapshot::{self, SnapshotOrder};
use crate::stream::stream::Stream;
use crate::stream::view::{ClientInfo, JetStreamLimits, ServerIdentity};
use crate::stream::{ApiError, Context};
use crate::subject::{is_literal, AccountId};

#[derive(Debug, Default)]
struct SnapshotRequest {
    deliver_subject: String,
    no_consumers: bool,
    chunk_size: i64,
    window_size: i64,
    jsck: bool,
}

#[derive(Debug, Default)]
struct RestoreRequest {
    config: StreamConfig,
    bytes: u64,
}

impl Engine {
    pub(super) fn stream_snapshot(
        &mut self,
        request: &Request<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<Answer, ApiError> {
        let client = self.client_of(request);
        if is_empty_request(request.payload) {
            return Err(ApiError::BAD_REQUEST);
        }
        let index =
            self.find_stream(request.account, request.stream).ok_or(ApiError::STREAM_NOT_FOUND)?;
        let mut asked = SnapshotRequest::default();
        let (name, strict) = ("JSApiStreamSnapshotRequest", self.shared.strict);
        Decoder::request(request.payload, name, strict, |d, key, value| match key {
            "deliver_subject" => d.string(value, &mut asked.deliver_subject),
            "no_consumers" => d.bool(value, &mut asked.no_consumers),
            "chunk_size" => d.int(value, "int", &mut asked.chunk_size),
            "window_size" => d.int(value, "int", &mut asked.window_size),
            "jsck" => d.bool(value, &mut asked.jsck),
            _ => Ok(Field::Unknown),
        })
        .map_err(bad_json)?;
        let stream = self.streams.get_mut(index).ok_or(ApiError::STREAM_NOT_FOUND)?;
        if !is_literal(asked.deliver_subject.as_bytes()) {
            return Err(ApiError::SNAPSHOT_DELIVER_SUBJECT_INVALID);
        }
        if !stream.snapshots.has_room() {
            return Err(ApiError::STREAM_SNAPSHOT.with("too many snapshots at a time"));
        }
        let chunk = size(asked.chunk_size, CHUNK, CHUNK_MAX);
        let window = size(asked.window_size, WINDOW, WINDOW_MAX);
        let order = SnapshotOrder {
            to: asked.deliver_subject,
            chunk: usize::try_from(chunk).unwrap_or(usize::MAX),
            window: (window / chunk).max(1),
            no_consumers: asked.no_consumers,
            client,
        };
        snapshot::begin(stream, &mut self.shared, order, ctx);
        Ok(Answer::of(request.verb, stream.store.staged(), |object| {
            write_config(object, stream, None);
            write_plain_state(object, stream);
        }))
    }

    pub(super) fn stream_restore(
        &mut self,
        request: &Request<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<Answer, ApiError> {
        let client = self.client_of(request);
        if is_empty_request(request.payload) {
            return Err(ApiError::BAD_REQUEST);
        }
        let RestoreRequest { mut config, bytes } =
            RestoreRequest::decode(request.payload, self.shared.strict)?;
        if config.name != request.stream {
            return Err(ApiError::STREAM_MISMATCH);
        }
        if config.name.contains(['/', '\\']) {
            return Err(ApiError::STREAM_NAME_CONTAINS_PATH_SEPARATORS);
        }
        let limits = self.account_limits(request.account)?;
        self.check_config(request.account, &limits, &mut config, false)?;
        if self.find_stream(request.account, &config.name).is_some() {
            return Err(ApiError::STREAM_NAME_EXIST_RESTORE_FAILED);
        }
        if config.num_replicas > 1 {
            return Err(ApiError::STREAM_REPLICAS_NOT_SUPPORTED);
        }
        self.check_reservation(request.account, &limits, &config, Some(0))?;
        let room = self.room(request.account, &limits, config.storage);
        if bytes > room {
            return Err(no_room(config.storage));
        }
        self.check_overlap(request.account, &config)?;
        if !self.restores.has_room() {
            return Err(ApiError::STREAM_RESTORE.with("too many restores at a time"));
        }
        set_metadata(&mut config);
        let stream = self.make_stream(request.account, config, true, ctx)?;
        let gate = stream.store.staged();
        let subject = self.begin_restore(stream, room, client, ctx);
        Ok(Answer::of(request.verb, gate, |object| object.string("deliver_subject", &subject)))
    }

    /// What may have changed while the chunks came.
    pub(in crate::stream) fn check_restored(&self, stream: &Stream) -> Result<(), ApiError> {
        let (account, config) = (stream.account, &stream.config);
        let limits = self.account_limits(account)?;
        if self.find_stream(account, &config.name).is_some() {
            return Err(ApiError::STREAM_NAME_EXIST_RESTORE_FAILED);
        }
        self.check_reservation(account, &limits, config, Some(0))?;
        self.check_overlap(account, config)
    }

    /// Bytes of messages that an account may still store.
    fn room(&self, account: AccountId, limits: &JetStreamLimits, kind: StorageKind) -> u64 {
        let used = self.shared.accounts.get(&account).map_or(0, |account| account.used.get(kind));
        let server = &self.shared.limits;
        let (own, all) = match kind {
            StorageKind::File => (limits.max_storage, server.max_storage),
            StorageKind::Memory => (limits.max_memory, server.max_memory),
        };
        let left = |limit: i64, used: u64| {
            u64::try_from(limit).map_or(u64::MAX, |limit| limit.saturating_sub(used))
        };
        left(own, used).min(left(all, self.shared.used.get(kind)))
    }

    fn client_of(&self, request: &Request<'_>) -> ClientInfo {
        let account = self.shared.accounts.get(&request.account);
        let name = account.map_or("", |account| account.name.as_str());
        ClientInfo::sender(request.headers, name, &self.shared.server.name)
    }
}

impl RestoreRequest {
    fn decode(text: &[u8], strict: bool) -> Result<Self, ApiError> {
        let mut asked = Self::default();
        Decoder::request(text, "JSApiStreamRestoreRequest", strict, |d, key, value| match key {
            "config" => {
                let config = &mut asked.config;
                d.object(value, "StreamConfig", |d, key, value| {
                    config.decode_field(d, key, value)
                })?;
                Ok(Field::Known)
            }
            "state" => {
                d.object(value, "StreamState", |d, key, value| match key {
                    "bytes" => d.uint(value, &mut asked.bytes),
                    key if STATE_KEYS.contains(&key) => Ok(Field::Known),
                    _ => Ok(Field::Unknown),
                })?;
                Ok(Field::Known)
            }
            _ => Ok(Field::Unknown),
        })
        .map_err(bad_json)?;
        Ok(asked)
    }
}

/// The complaint that there is no room for a stream.
pub(in crate::stream) fn no_room(kind: StorageKind) -> ApiError {
    match kind {
        StorageKind::File => ApiError::STORAGE_RESOURCES_EXCEEDED,
        StorageKind::Memory => ApiError::MEMORY_RESOURCES_EXCEEDED,
    }
}

/// The last sequence that the state of an archive tells.
pub(in crate::stream) fn last_seq_of(state: &[u8]) -> Option<u64> {
    let mut last = 0;
    Decoder::request(state, "StreamState", false, |decoder, key, value| match key {
        "last_seq" => decoder.uint(value, &mut last),
        _ => Ok(Field::Unknown),
    })
    .ok()?;
    // Beyond, sequences would overflow.
    (last < u64::MAX >> 1).then_some(last)
}

/// Appends the state of a stream, the first entry of its archive.
pub(in crate::stream) fn write_archived_state(stream: &Stream, out: &mut Vec<u8>) {
    let mut state = Object::open(out);
    write_state_keys(&mut state, stream, &StateDetail::default());
    state.close();
}

/// The state of a stream without details.
pub(in crate::stream) fn write_plain_state(object: &mut Object<'_>, stream: &Stream) {
    write_state(object, stream, &StateDetail::default());
}

/// What the last chunk is answered with: the stream.
pub(in crate::stream) fn restored_answer(
    stream: &Stream,
    server: &ServerIdentity,
    now: u64,
) -> Answer {
    let Some((verb, ..)) = find_verb(CREATE) else { return Answer::default() };
    Answer::of(verb, stream.store.staged(), |object| {
        write_info(object, stream, server, &StateDetail::default(), None, now);
    })
}

/// What it is answered with if there is none.
pub(in crate::stream) fn refused_create(error: &ApiError) -> Answer {
    find_verb(CREATE).map_or_else(Answer::default, |(verb, ..)| refuse(verb, error))
}

/// A size that is asked for: the default if it is none, and within its bounds.
fn size(asked: i64, default: u64, max: u64) -> u64 {
    match u64::try_from(asked) {
        Ok(0) | Err(_) => default,
        Ok(asked) => asked.clamp(SIZE_MIN, max),
    }
}

/// The verb whose answer a restore ends with.
const CREATE: &str = "STREAM.CREATE.S";
const STATE_KEYS: [&str; 11] = [
    "messages",
    "first_seq",
    "first_ts",
    "last_seq",
    "last_ts",
    "num_subjects",
    "subjects",
    "num_deleted",
    "deleted",
    "lost",
    "consumer_count",
];
const CHUNK: u64 = 128 << 10;
const CHUNK_MAX: u64 = 1 << 20;
const WINDOW: u64 = 8 << 20;
const WINDOW_MAX: u64 = 32 << 20;
const SIZE_MIN: u64 = 1 << 10;
