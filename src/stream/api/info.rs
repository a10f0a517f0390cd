//! What answers say of a stream.

use super::dispatch::{bad_json, optional_body, Answer, Request};
use crate::store::Commit;
use crate::stream::engine::Engine;
use crate::stream::json::{Decoder, Field, Object};
use crate::stream::patterns::overlap;
use crate::stream::stream::Stream;
use crate::stream::view::ServerIdentity;
use crate::stream::{ApiError, Context};
use crate::subject::is_valid_pattern;

/// How much of a stream's state is said.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::stream) struct StateDetail<'a> {
    /// Sequences that are missing between the first and the last.
    pub(in crate::stream) deleted: bool,
    /// Subjects that match, those from the second on, and how many of them.
    pub(in crate::stream) subjects: Option<(&'a str, usize, usize)>,
}

#[derive(Debug, Default)]
struct InfoRequest {
    offset: i64,
    subjects_filter: String,
    deleted_details: bool,
}

#[derive(Debug, Default)]
struct PageRequest {
    offset: i64,
    subject: String,
}

impl Engine {
    pub(super) fn stream_info(
        &mut self,
        request: &Request<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<Answer, ApiError> {
        let mut asked = InfoRequest::default();
        let strict = self.shared.strict;
        let body = optional_body(request.payload);
        Decoder::request(body, "JSApiStreamInfoRequest", strict, |d, key, value| match key {
            "offset" => d.int(value, "int", &mut asked.offset),
            "subjects_filter" => d.string(value, &mut asked.subjects_filter),
            "deleted_details" => d.bool(value, &mut asked.deleted_details),
            _ => Ok(Field::Unknown),
        })
        .map_err(bad_json)?;
        let index =
            self.find_stream(request.account, request.stream).ok_or(ApiError::STREAM_NOT_FOUND)?;
        let stream = self.streams.get(index).ok_or(ApiError::STREAM_NOT_FOUND)?;
        let offset = usize::try_from(asked.offset).unwrap_or(0);
        let mut page = (0, 0, 0);
        let mut detail = StateDetail { deleted: asked.deleted_details, subjects: None };
        if is_valid_pattern(asked.subjects_filter.as_bytes()) {
            let filters = [Box::from(asked.subjects_filter.as_bytes())];
            let mut total = 0;
            stream.store.for_each_subject(&filters, &mut |_, _| {
                total += 1;
                true
            });
            if total > 0 {
                page = (total, offset, SUBJECTS_MAX);
                if offset < total {
                    detail.subjects = Some((&asked.subjects_filter, offset, SUBJECTS_MAX));
                }
            }
        }
        let server = &self.shared.server;
        Ok(Answer::of(request.verb, stream.store.staged(), |object| {
            object.uint("total", page.0 as u64);
            object.uint("offset", page.1 as u64);
            object.uint("limit", page.2 as u64);
            let cluster = Some(server.name.as_str());
            write_info(object, stream, server, &detail, cluster, ctx.now);
        }))
    }

    pub(super) fn stream_names(&mut self, request: &Request<'_>) -> Result<Answer, ApiError> {
        let asked = self.page_request(request, "JSApiStreamNamesRequest")?;
        let names = self.names(request, &asked.subject);
        let (total, offset) = (names.len(), clamp(asked.offset, names.len()));
        Ok(Answer::of(request.verb, Commit::NONE, |object| {
            write_page(object, total, offset, NAMES_MAX);
            if offset >= total {
                object.key("streams").extend_from_slice(b"null");
                return;
            }
            let mut array = object.array("streams");
            for name in names.iter().skip(offset).take(NAMES_MAX) {
                array.string(name);
            }
            array.close();
        }))
    }

    pub(super) fn stream_list(
        &mut self,
        request: &Request<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<Answer, ApiError> {
        let asked = self.page_request(request, "JSApiStreamListRequest")?;
        let names = self.names(request, &asked.subject);
        let (total, offset) = (names.len(), clamp(asked.offset, names.len()));
        let server = &self.shared.server;
        let page = names.iter().skip(offset).take(LIST_MAX);
        let mut gate = Commit::NONE;
        let mut answer = Answer::of(request.verb, gate, |object| {
            write_page(object, total, offset, LIST_MAX);
            let mut array = object.array("streams");
            for name in page {
                let index = self.find_stream(request.account, name);
                let Some(stream) = index.and_then(|index| self.streams.get(index)) else {
                    continue;
                };
                gate = gate.max(stream.store.staged());
                let mut inner = array.object();
                write_listed(&mut inner, stream, server, ctx.now);
                inner.close();
            }
            array.close();
        });
        answer.gate = gate;
        Ok(answer)
    }

    fn page_request(
        &self,
        request: &Request<'_>,
        name: &'static str,
    ) -> Result<PageRequest, ApiError> {
        let mut asked = PageRequest::default();
        let body = optional_body(request.payload);
        Decoder::request(body, name, self.shared.strict, |d, key, value| match key {
            "offset" => d.int(value, "int", &mut asked.offset),
            "subject" => d.string(value, &mut asked.subject),
            _ => Ok(Field::Unknown),
        })
        .map_err(bad_json)?;
        Ok(asked)
    }

    /// Names of streams that have a subject in common with `filter`; of all if that is empty.
    fn names(&self, request: &Request<'_>, filter: &str) -> Vec<&str> {
        let Some(account) = self.shared.accounts.get(&request.account) else { return Vec::new() };
        let streams = account.streams.iter().filter(|(_, index)| {
            filter.is_empty()
                || self.streams.get(**index).is_some_and(|stream| {
                    let mut subjects = stream.config.subjects.iter();
                    subjects.any(|subject| overlap(subject.as_bytes(), filter.as_bytes()))
                })
        });
        streams.map(|(name, _)| &**name).collect()
    }
}

/// The keys of a stream in an answer, without the answer's own.
pub(in crate::stream) fn write_info(
    object: &mut Object<'_>,
    stream: &Stream,
    server: &ServerIdentity,
    detail: &StateDetail<'_>,
    cluster: Option<&str>,
    now: u64,
) {
    write_config(object, stream, Some(server));
    object.time("created", stream.created);
    write_state(object, stream, detail);
    // The answer to a create says nothing of the domain.
    if cluster.is_some() {
        object.string_some("domain", &server.domain);
    }
    if let Some(leader) = cluster.filter(|leader| !leader.is_empty()) {
        let mut inner = object.object("cluster");
        inner.string("leader", leader);
        inner.close();
    }
    write_feeds(object, stream, now);
    object.time("ts", now);
}

fn write_listed(object: &mut Object<'_>, stream: &Stream, server: &ServerIdentity, now: u64) {
    write_config(object, stream, None);
    object.time("created", stream.created);
    write_state(object, stream, &StateDetail::default());
    object.string_some("domain", &server.domain);
    write_feeds(object, stream, now);
    object.time("ts", now);
}

/// The configuration; with what only answers say if there is a `server` to say it.
pub(in crate::stream) fn write_config(
    object: &mut Object<'_>,
    stream: &Stream,
    server: Option<&ServerIdentity>,
) {
    let out = object.key("config");
    match server {
        Some(server) => stream.config.write_with(out, &server.response_metadata()),
        None => stream.config.write(out),
    }
}

/// Mirror and sources: where the messages come from.
fn write_feeds(object: &mut Object<'_>, stream: &Stream, now: u64) {
    let mut feeds = stream.feeds.iter();
    let mut write = |inner: &mut Object<'_>, source: &crate::stream::StreamSource| {
        inner.string("name", &source.name);
        if let Some(external) = &source.external {
            let mut nested = inner.object("external");
            nested.string("api", &external.api);
            nested.string("deliver", &external.deliver);
            nested.close();
        }
        let feed = feeds.next();
        let state = feed.map(|feed| feed.state(now));
        inner.uint("lag", state.map_or(0, |state| state.lag));
        if stream.config.mirror.is_none() {
            inner.uint_some("seq", state.map_or(0, |state| state.seq));
        }
        inner.int("active", state.map_or(-1, |state| state.active));
        let remote = feed.and_then(|feed| feed.remote.as_ref());
        if let Some(error) = remote.and_then(|remote| remote.error()) {
            error.write(inner.key("error"));
        } else if feed.is_some_and(|feed| (1..now).contains(&feed.missing_since)) {
            ApiError::STREAM_NOT_FOUND.write(inner.key("error"));
        }
        inner.string_some("filter_subject", &source.filter_subject);
        if !source.subject_transforms.is_empty() {
            let array = inner.array("subject_transforms");
            crate::stream::write_mappings(array, &source.subject_transforms);
        }
    };
    if let Some(mirror) = &stream.config.mirror {
        let mut inner = object.object("mirror");
        write(&mut inner, mirror);
        inner.close();
    }
    if !stream.config.sources.is_empty() {
        let mut array = object.array("sources");
        for source in &stream.config.sources {
            let mut inner = array.object();
            write(&mut inner, source);
            inner.close();
        }
        array.close();
    }
}

/// The state of a stream's messages.
pub(in crate::stream) fn write_state(
    object: &mut Object<'_>,
    stream: &Stream,
    detail: &StateDetail<'_>,
) {
    let mut state = object.object("state");
    write_state_keys(&mut state, stream, detail);
    state.close();
}

/// The keys of that state.
pub(super) fn write_state_keys(state: &mut Object<'_>, stream: &Stream, detail: &StateDetail<'_>) {
    let store = &stream.store;
    let extent = store.extent();
    state.uint("messages", extent.messages);
    state.uint("bytes", extent.bytes);
    state.uint("first_seq", extent.first_seq);
    state.time("first_ts", if extent.messages == 0 { 0 } else { extent.first_time });
    state.uint("last_seq", extent.last_seq);
    state.time("last_ts", extent.last_time);
    state.uint_some("num_subjects", store.subject_count());
    if let Some((filter, offset, count)) = detail.subjects {
        let filters = [Box::from(filter.as_bytes())];
        let mut inner = state.object("subjects");
        let mut at = 0;
        store.for_each_subject(&filters, &mut |subject, found| {
            if at >= offset {
                let subject = String::from_utf8_lossy(subject);
                crate::proto::write_decimal(inner.key_escaped(&subject), found.count);
            }
            at += 1;
            at < offset.saturating_add(count)
        });
        inner.close();
    }
    let mut deleted = 0;
    if extent.messages > 0 {
        let span = extent.last_seq - extent.first_seq + 1;
        deleted = span.saturating_sub(extent.messages);
    }
    state.uint_some("num_deleted", deleted);
    if detail.deleted && deleted > 0 {
        let mut array = state.array("deleted");
        let mut left = deleted.min(DELETED_MAX);
        let mut list = |first: u64, last: u64| {
            let last = last.min(first.saturating_add(left.saturating_sub(1)));
            (first..=last).for_each(|seq| array.uint(seq));
            left = left.saturating_sub(last - first + 1);
            left > 0
        };
        let (mut inside, mut has_room) = (0, true);
        store.for_each_gap(&mut |first, last| {
            inside += last - first + 1;
            has_room = list(first, last);
            has_room
        });
        // What is missing at the end lies between no two messages.
        if has_room && inside < deleted {
            list(extent.last_seq - (deleted - inside) + 1, extent.last_seq);
        }
        array.close();
    }
    state.uint("consumer_count", stream.consumers.count() as u64);
}

fn write_page(object: &mut Object<'_>, total: usize, offset: usize, limit: usize) {
    object.uint("total", total as u64);
    object.uint("offset", offset as u64);
    object.uint("limit", limit as u64);
}

fn clamp(offset: i64, total: usize) -> usize {
    usize::try_from(offset).unwrap_or(0).min(total)
}

/// Sequences that are listed as missing: the rest of a longer list is left out.
const DELETED_MAX: u64 = 1 << 20;
const NAMES_MAX: usize = 1024;
const LIST_MAX: usize = 256;
const SUBJECTS_MAX: usize = 100_000;
