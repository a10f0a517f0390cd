//! `STREAM.MSG.GET`, `STREAM.MSG.DELETE` and `STREAM.PURGE`.

use super::dispatch::{bad_json, is_empty_request, optional_body, Answer, Request};
use crate::store::StorageKind;
use crate::stream::engine::Engine;
use crate::stream::json::{Decoder, Field};
use crate::stream::shared::Shared;
use crate::stream::stream::Stream;
use crate::stream::time::write_time;
use crate::stream::ApiError;
use crate::subject::is_valid_pattern;

#[derive(Debug, Default)]
struct GetRequest {
    seq: u64,
    last_by_subj: String,
    next_by_subj: String,
    start_time: Option<u64>,
    batch: i64,
    max_bytes: i64,
    multi_last: Vec<String>,
    up_to_seq: u64,
    up_to_time: Option<u64>,
    no_hdr: bool,
}

#[derive(Debug, Default)]
struct DeleteRequest {
    seq: u64,
    no_erase: bool,
}

#[derive(Debug, Default)]
struct PurgeRequest {
    seq: u64,
    filter: String,
    keep: u64,
}

impl Engine {
    pub(super) fn msg_get(&mut self, request: &Request<'_>) -> Result<Answer, ApiError> {
        let mut asked = GetRequest::default();
        let strict = self.shared.strict;
        if is_empty_request(request.payload) {
            return Err(ApiError::BAD_REQUEST);
        }
        Decoder::request(
            request.payload,
            "JSApiMsgGetRequest",
            strict,
            |d, key, value| match key {
                "seq" => d.uint(value, &mut asked.seq),
                "last_by_subj" => d.string(value, &mut asked.last_by_subj),
                "next_by_subj" => d.string(value, &mut asked.next_by_subj),
                "start_time" => d.time(value, &mut asked.start_time),
                "batch" => d.int(value, "int", &mut asked.batch),
                "max_bytes" => d.int(value, "int", &mut asked.max_bytes),
                "multi_last" => d.strings(value, &mut asked.multi_last),
                "up_to_seq" => d.uint(value, &mut asked.up_to_seq),
                "up_to_time" => d.time(value, &mut asked.up_to_time),
                "no_hdr" => d.bool(value, &mut asked.no_hdr),
                _ => Ok(Field::Unknown),
            },
        )
        .map_err(bad_json)?;
        let (seq, time) = (asked.seq > 0, asked.start_time.is_some());
        let (last, next) = (!asked.last_by_subj.is_empty(), !asked.next_by_subj.is_empty());
        let is_direct_only = asked.batch > 0
            || asked.max_bytes > 0
            || !asked.multi_last.is_empty()
            || asked.up_to_seq > 0
            || asked.up_to_time.is_some();
        let conflicts = (seq && (last || time)) || (last && (next || time));
        if is_direct_only || conflicts || !(seq || last || next || time) {
            return Err(ApiError::BAD_REQUEST);
        }
        let (stream, shared) = self.stream_of(request)?;
        let found = find(stream, &asked).ok_or(ApiError::NO_MESSAGE_FOUND)?;
        match stream.store.read(found, &mut shared.message) {
            Ok(true) => {}
            Ok(false) => return Err(ApiError::NO_MESSAGE_FOUND),
            Err(error) => return Err(ApiError::STREAM_GENERAL.with(error.to_string())),
        }
        let message = &shared.message;
        Ok(Answer::of(request.verb, stream.store.staged(), |object| {
            let mut inner = object.object("message");
            inner.string("subject", &String::from_utf8_lossy(message.subject()));
            inner.uint("seq", message.seq);
            if !message.headers().is_empty() && !asked.no_hdr {
                write_base64(inner.key("hdrs"), message.headers());
            }
            if !message.payload().is_empty() {
                write_base64(inner.key("data"), message.payload());
            }
            let out = inner.key("time");
            out.push(b'"');
            write_time(out, message.time);
            out.push(b'"');
            inner.close();
        }))
    }

    pub(super) fn msg_delete(&mut self, request: &Request<'_>) -> Result<Answer, ApiError> {
        let mut asked = DeleteRequest::default();
        let strict = self.shared.strict;
        if is_empty_request(request.payload) {
            return Err(ApiError::BAD_REQUEST);
        }
        Decoder::request(
            request.payload,
            "JSApiMsgDeleteRequest",
            strict,
            |d, key, value| match key {
                "seq" => d.uint(value, &mut asked.seq),
                "no_erase" => d.bool(value, &mut asked.no_erase),
                _ => Ok(Field::Unknown),
            },
        )
        .map_err(bad_json)?;
        let (stream, shared) = self.stream_of(request)?;
        if stream.config.sealed {
            return Err(ApiError::STREAM_SEALED);
        }
        if stream.config.deny_delete {
            return Err(ApiError::STREAM_MSG_DELETE_FAILED.with("message delete not permitted"));
        }
        let mut message = std::mem::take(&mut shared.message);
        let is_read = matches!(stream.store.read(asked.seq, &mut message), Ok(true));
        let subject = is_read.then(|| message.subject());
        let is_removed = stream.remove(asked.seq, subject, !asked.no_erase, shared);
        shared.message = message;
        if !is_removed {
            let extent = stream.store.extent();
            // Files of nats-server tell what lies outside from what is missing inside.
            return Err(match stream.store.kind() {
                StorageKind::File if asked.seq > extent.last_seq => {
                    ApiError::STREAM_MSG_DELETE_FAILED.with("stream store EOF")
                }
                StorageKind::File if asked.seq < extent.first_seq => {
                    ApiError::STREAM_MSG_DELETE_FAILED.with("no message found")
                }
                _ => ApiError::SEQUENCE_NOT_FOUND.with(asked.seq.to_string()),
            });
        }
        stream.settle(shared);
        Ok(Answer::of(request.verb, stream.store.staged(), |object| {
            object.bool("success", true);
        }))
    }

    pub(super) fn stream_purge(&mut self, request: &Request<'_>) -> Result<Answer, ApiError> {
        let mut asked = PurgeRequest::default();
        let body = optional_body(request.payload);
        let strict = self.shared.strict;
        Decoder::request(body, "JSApiStreamPurgeRequest", strict, |d, key, value| match key {
            "seq" => d.uint(value, &mut asked.seq),
            "filter" => d.string(value, &mut asked.filter),
            "keep" => d.uint(value, &mut asked.keep),
            _ => Ok(Field::Unknown),
        })
        .map_err(bad_json)?;
        if asked.seq > 0 && asked.keep > 0 {
            return Err(ApiError::BAD_REQUEST);
        }
        let (stream, shared) = self.stream_of(request)?;
        if stream.config.sealed {
            return Err(ApiError::STREAM_SEALED);
        }
        if stream.config.deny_purge {
            return Err(ApiError::STREAM_PURGE_FAILED.with("stream purge not permitted"));
        }
        let purged = purge(stream, shared, &asked);
        stream.settle(shared);
        Ok(Answer::of(request.verb, stream.store.staged(), |object| {
            object.bool("success", true);
            object.uint("purged", purged);
        }))
    }

    fn stream_of(&mut self, request: &Request<'_>) -> Result<(&mut Stream, &mut Shared), ApiError> {
        let index =
            self.find_stream(request.account, request.stream).ok_or(ApiError::STREAM_NOT_FOUND)?;
        let stream = self.streams.get_mut(index).ok_or(ApiError::STREAM_NOT_FOUND)?;
        Ok((stream, &mut self.shared))
    }
}

fn find(stream: &mut Stream, asked: &GetRequest) -> Option<u64> {
    let is_valid = |subject: &str| subject.is_empty() || is_valid_pattern(subject.as_bytes());
    if !is_valid(&asked.last_by_subj) || !is_valid(&asked.next_by_subj) {
        return None;
    }
    let store = &mut stream.store;
    let from = match asked.start_time {
        Some(time) => store.seq_at_time(time),
        None => asked.seq,
    };
    if !asked.last_by_subj.is_empty() {
        return store.last_matching(&[Box::from(asked.last_by_subj.as_bytes())], u64::MAX);
    }
    if !asked.next_by_subj.is_empty() {
        return store.first_matching(&[Box::from(asked.next_by_subj.as_bytes())], from);
    }
    if asked.start_time.is_some() {
        return store.next_seq(from);
    }
    Some(asked.seq)
}

fn purge(stream: &mut Stream, shared: &mut Shared, asked: &PurgeRequest) -> u64 {
    let extent = stream.store.extent();
    if asked.filter.is_empty() || asked.filter == ">" {
        let end = match (asked.seq, asked.keep) {
            (0, 0) => extent.last_seq + 1,
            (0, keep) => match first_of_last(stream, keep) {
                Some(seq) => seq,
                None => return 0,
            },
            (seq, _) => seq,
        };
        if end <= extent.first_seq {
            return 0;
        }
        return stream.remove_below(end, shared);
    }
    if !is_valid_pattern(asked.filter.as_bytes()) {
        return 0;
    }
    let filters = [Box::from(asked.filter.as_bytes())];
    let mut left = stream.store.count_matching(&filters, 0).saturating_sub(asked.keep);
    let end = if asked.seq > 0 { asked.seq } else { u64::MAX };
    let mut purged = 0;
    let mut next = 0;
    let mut message = std::mem::take(&mut shared.message);
    stream.store.begin_group();
    while left > 0 {
        let found = stream.store.first_matching(&filters, next).filter(|seq| *seq < end);
        let Some(seq) = found else { break };
        let is_read = matches!(stream.store.read(seq, &mut message), Ok(true));
        let subject = is_read.then(|| message.subject());
        if stream.remove(seq, subject, false, shared) {
            purged += 1;
        }
        left -= 1;
        next = seq + 1;
    }
    if purged > 0 {
        let (consumers, mut view) = stream.split(shared);
        consumers.purged(&mut view);
    }
    stream.store.end_group();
    shared.message = message;
    purged
}

/// The first of the last `keep` messages; `None` if there are no more than that.
fn first_of_last(stream: &mut Stream, keep: u64) -> Option<u64> {
    let extent = stream.store.extent();
    if keep >= extent.messages {
        return None;
    }
    // Halves the range: how many are at or after a sequence falls as it grows.
    let (mut low, mut high) = (extent.first_seq, extent.last_seq);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if stream.store.count_matching(&[], middle) >= keep {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Some(low)
}

/// Appends bytes as standard base64 in quotes.
fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.push(b'"');
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) as usize & 63;
            let is_there = place <= chunk.len();
            out.push(if is_there { DIGITS.get(digit).copied().unwrap_or(b'=') } else { b'=' });
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        for (bytes, expected) in [
            ("", "\"\""),
            ("v0", "\"djA=\""),
            ("f", "\"Zg==\""),
            ("foobar", "\"Zm9vYmFy\""),
            ("NATS/1.0\r\nNats-Incr: 1\r\n\r\n", "\"TkFUUy8xLjANCk5hdHMtSW5jcjogMQ0KDQo=\""),
        ] {
            let mut out = Vec::new();
            write_base64(&mut out, bytes.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
