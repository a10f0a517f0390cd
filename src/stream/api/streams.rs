//! `STREAM.CREATE` and `STREAM.UPDATE`.

use super::archives::no_room;
use super::dispatch::{bad_json, Answer, Request};
use super::info::{write_info, StateDetail};
use crate::store::StorageKind;
use crate::stream::check::{check, check_update, invalid, is_same, set_metadata, Rules};
use crate::stream::config::{StreamConfig, StreamConfigRequest};
use crate::stream::engine::Engine;
use crate::stream::patterns::overlap;
use crate::stream::publish::{above_zero, enforce_size, remove_of_subject};
use crate::stream::shared::fits;
use crate::stream::stream::Stream;
use crate::stream::token::StreamIndex;
use crate::stream::view::JetStreamLimits;
use crate::stream::{ApiError, Context};
use crate::subject::AccountId;

impl Engine {
    pub(super) fn stream_create(
        &mut self,
        request: &Request<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<Answer, ApiError> {
        let asked = StreamConfigRequest::decode(request.payload, self.shared.strict);
        let asked = asked.map_err(bad_json)?;
        is_named(&asked.config.name, request)?;
        let mut config = asked.config;
        if config.name.contains(['/', '\\']) {
            return Err(ApiError::STREAM_NAME_CONTAINS_PATH_SEPARATORS);
        }
        if config.sealed {
            return Err(invalid("stream configuration for create can not be sealed"));
        }
        if config.mirror_direct && config.mirror.is_none() {
            return Err(invalid("stream has no mirror but does have mirror direct"));
        }
        let existing = self.find_stream(request.account, &config.name);
        let limits = self.account_limits(request.account)?;
        let count = self.shared.accounts.get(&request.account).map_or(0, |a| a.streams.len());
        if existing.is_none() && !fits(count as u64, 1, limits.max_streams) {
            return Err(ApiError::MAXIMUM_STREAMS_LIMIT);
        }
        self.check_config(request.account, &limits, &mut config, asked.pedantic)?;
        if config.num_replicas > 1 {
            return Err(ApiError::STREAM_REPLICAS_NOT_SUPPORTED);
        }
        set_metadata(&mut config);
        if let Some(stream) = existing.and_then(|index| self.streams.get(index)) {
            if !is_same(&stream.config, &config) {
                return Err(ApiError::STREAM_NAME_EXIST);
            }
            return Ok(self.info_answer(request, stream, "", true, ctx));
        }
        self.check_reservation(request.account, &limits, &config, None)?;
        self.check_overlap(request.account, &config)?;
        check_filters(&config)?;
        let index = self.add_stream(request.account, config, ctx)?;
        self.refresh_feeds(request.account, ctx);
        self.stream_action(index, "create", "CREATED", ctx);
        let stream = self.streams.get(index).ok_or(ApiError::STREAM_NOT_FOUND)?;
        Ok(self.info_answer(request, stream, "", true, ctx))
    }

    pub(super) fn stream_update(
        &mut self,
        request: &Request<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<Answer, ApiError> {
        let asked = StreamConfigRequest::decode(request.payload, self.shared.strict);
        let asked = asked.map_err(bad_json)?;
        let mut config = asked.config;
        let limits = self.account_limits(request.account)?;
        self.check_config(request.account, &limits, &mut config, asked.pedantic)?;
        is_named(&config.name, request)?;
        let index =
            self.find_stream(request.account, request.stream).ok_or(ApiError::STREAM_NOT_FOUND)?;
        let stream = self.streams.get(index).ok_or(ApiError::STREAM_NOT_FOUND)?;
        check_update(&stream.config, &mut config)?;
        if config.num_replicas > 1 {
            return Err(ApiError::STREAM_REPLICAS_NOT_SUPPORTED);
        }
        set_metadata(&mut config);
        let reserved = stream.config.max_bytes;
        let beyond = stream.consumers.beyond_limits(&config.consumer_limits);
        if !beyond.is_empty() {
            let names = beyond.join(", ");
            return Err(ApiError::STREAM_UPDATE
                .with(format!("change to limits violates consumers: {names}")));
        }
        self.check_reservation(request.account, &limits, &config, Some(reserved))?;
        self.check_overlap(request.account, &config)?;
        self.apply_update(index, config, ctx);
        self.refresh_feeds(request.account, ctx);
        self.stream_action(index, "modify", "UPDATED", ctx);
        let stream = self.streams.get(index).ok_or(ApiError::STREAM_NOT_FOUND)?;
        let domain = if self.shared.server.domain.is_empty() { "" } else { "domain" };
        Ok(self.info_answer(request, stream, domain, false, ctx))
    }

    /// Publishes the advisory of a stream that was made, changed or deleted.
    pub(in crate::stream) fn stream_action(
        &mut self,
        index: StreamIndex,
        action: &str,
        subject: &str,
        ctx: &mut Context<'_>,
    ) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let (_, mut view) = stream.split(&mut self.shared);
        let name = view.config.name.clone();
        let subject = ["ADVISORY.STREAM.", subject, ".", &name].concat();
        view.advise(ctx, &subject, "advisory.v1.stream_action", |object| {
            object.string("stream", &name);
            object.string("action", action);
        });
    }

    fn info_answer(
        &self,
        request: &Request<'_>,
        stream: &Stream,
        with_domain: &str,
        did_create: bool,
        ctx: &Context<'_>,
    ) -> Answer {
        let server = &self.shared.server;
        Answer::of(request.verb, stream.store.staged(), |object| {
            let cluster = (!with_domain.is_empty()).then_some("");
            write_info(object, stream, server, &StateDetail::default(), cluster, ctx.now);
            object.bool_some("did_create", did_create);
        })
    }

    pub(super) fn account_limits(&self, account: AccountId) -> Result<JetStreamLimits, ApiError> {
        let account = self.shared.accounts.get(&account);
        account.and_then(|account| account.limits).ok_or(ApiError::NOT_ENABLED_FOR_ACCOUNT)
    }

    pub(super) fn check_config(
        &self,
        account: AccountId,
        limits: &JetStreamLimits,
        config: &mut StreamConfig,
        pedantic: bool,
    ) -> Result<(), ApiError> {
        let origin = |name: &str| {
            let index = self.find_stream(account, name)?;
            Some(&self.streams.get(index)?.config)
        };
        let rules =
            Rules { server: &self.shared.limits, account: limits, pedantic, origin: &origin };
        check(config, &rules)
    }

    /// Whether the bytes a stream reserves are there; `before` is what it has reserved, if it is
    /// not new. A new one that reserves none needs one byte of its account.
    pub(super) fn check_reservation(
        &self,
        account: AccountId,
        limits: &JetStreamLimits,
        config: &StreamConfig,
        before: Option<i64>,
    ) -> Result<(), ApiError> {
        let wanted = above_zero(config.max_bytes).unwrap_or(0);
        let more = wanted.saturating_sub(before.and_then(above_zero).unwrap_or(0));
        let of_account = if before.is_none() { more.max(1) } else { more };
        if of_account == 0 {
            return Ok(());
        }
        let kind = config.storage;
        let reserved = self.shared.accounts.get(&account).map_or(0, |a| a.reserved.get(kind));
        let (server, account) = match kind {
            StorageKind::File => (self.shared.limits.max_storage, limits.max_storage),
            StorageKind::Memory => (self.shared.limits.max_memory, limits.max_memory),
        };
        if fits(self.shared.reserved.get(kind), more, server) && fits(reserved, of_account, account)
        {
            return Ok(());
        }
        Err(no_room(kind))
    }

    pub(super) fn check_overlap(
        &self,
        account: AccountId,
        config: &StreamConfig,
    ) -> Result<(), ApiError> {
        let Some(account) = self.shared.accounts.get(&account) else { return Ok(()) };
        let others = account.streams.iter().filter(|(name, _)| ***name != *config.name);
        for stream in others.filter_map(|(_, index)| self.streams.get(*index)) {
            let overlaps = stream.config.subjects.iter().any(|other| {
                let mut own = config.subjects.iter();
                own.any(|subject| overlap(subject.as_bytes(), other.as_bytes()))
            });
            if overlaps {
                return Err(ApiError::STREAM_SUBJECT_OVERLAP);
            }
        }
        Ok(())
    }

    fn add_stream(
        &mut self,
        account: AccountId,
        config: StreamConfig,
        ctx: &mut Context<'_>,
    ) -> Result<StreamIndex, ApiError> {
        let full = || ApiError::STREAM_CREATE.with("error creating store for stream");
        let index = self.streams.next_index().ok_or_else(full)?;
        let mut stream = self.make_stream(account, config, false, ctx)?;
        stream.index = index;
        if stream.config.first_seq > 0 {
            stream.store.skip_to(stream.config.first_seq);
        }
        stream.subscribe(ctx);
        self.insert_stream(stream);
        Ok(index)
    }

    /// Makes a stream that is in no table yet.
    pub(super) fn make_stream(
        &mut self,
        account: AccountId,
        config: StreamConfig,
        is_restoring: bool,
        ctx: &mut Context<'_>,
    ) -> Result<Box<Stream>, ApiError> {
        let limits = self.account_limits(account)?;
        let entry = self.shared.accounts.get(&account);
        let account_name = entry.map(|entry| entry.name.clone()).unwrap_or_default();
        let head = super::super::recovery::write_head(&account_name, &config, ctx.now);
        let (id, store) = ctx
            .stores
            .create(config.storage, &head)
            .map_err(|_| ApiError::STREAM_CREATE.with("error creating store for stream"))?;
        let mut stream = Stream::new(
            StreamIndex { slot: 0, lap: 0 },
            id,
            account,
            account_name,
            limits,
            config,
            ctx.now,
            store,
            &self.shared.server,
        );
        if is_restoring {
            stream.is_restoring = true;
            stream.store.note(&super::super::recovery::RESTORING_NOTE);
        }
        Ok(Box::new(stream))
    }

    /// Puts a stream into the table and its account.
    pub(in crate::stream) fn insert_stream(&mut self, mut stream: Box<Stream>) {
        let (account, kind) = (stream.account, stream.store.kind());
        self.shared.change_reserved(account, kind, 0, stream.config.max_bytes);
        stream.settle(&mut self.shared);
        if let Some(entry) = self.shared.accounts.get_mut(&account) {
            entry.streams.insert(stream.config.name.as_str().into(), stream.index);
        }
        self.streams.insert(stream);
    }

    fn apply_update(&mut self, index: StreamIndex, config: StreamConfig, ctx: &mut Context<'_>) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let shared = &mut self.shared;
        if stream.config == config {
            return;
        }
        stream.unsubscribe(ctx);
        let old = stream.config.clone();
        stream.replace_config(config, &shared.server);
        shared.change_reserved(
            stream.account,
            stream.store.kind(),
            old.max_bytes,
            stream.config.max_bytes,
        );
        stream.subscribe(ctx);
        let note = super::super::recovery::write_config_note(&stream.config);
        stream.store.note(&note);
        enforce_per_subject(stream, shared, &old);
        enforce_size(stream, shared);
        let (consumers, mut view) = stream.split(shared);
        consumers.stream_updated(&mut view, ctx);
        stream.settle(shared);
    }
}

/// The stream is named as the subject of the request names it.
fn is_named(name: &str, request: &Request<'_>) -> Result<(), ApiError> {
    if name == request.stream {
        Ok(())
    } else {
        Err(ApiError::STREAM_MISMATCH)
    }
}

/// Removes what a lowered limit per subject does not allow.
fn enforce_per_subject(
    stream: &mut Stream,
    shared: &mut crate::stream::shared::Shared,
    old: &StreamConfig,
) {
    let Some(limit) = above_zero(stream.config.max_msgs_per_subject) else { return };
    if above_zero(old.max_msgs_per_subject).is_some_and(|old| old <= limit) {
        return;
    }
    let mut beyond: Vec<(Box<[u8]>, u64)> = Vec::new();
    stream.store.for_each_subject(&[], &mut |subject, state| {
        if state.count > limit {
            beyond.push((subject.into(), state.count - limit));
        }
        true
    });
    for (subject, mut count) in beyond {
        if limit == 1 {
            let last = stream.store.subject(&subject).map_or(0, |state| state.last);
            remove_of_subject(stream, shared, &subject, last);
            continue;
        }
        while let Some(state) = stream.store.subject(&subject).filter(|_| count > 0) {
            stream.remove(state.first, Some(&subject), false, shared);
            count -= 1;
        }
    }
}

/// Filters of mirror and sources, which nats-server looks at when it makes the stream.
fn check_filters(config: &StreamConfig) -> Result<(), ApiError> {
    let is_bad =
        |filter: &str| !filter.is_empty() && !crate::subject::is_valid_pattern(filter.as_bytes());
    if let Some(mirror) = config.mirror.as_ref().filter(|m| is_bad(&m.filter_subject)) {
        let filter = &mirror.filter_subject;
        return Err(ApiError::STREAM_CREATE
            .with(format!("subject filter '{filter}' for the mirror invalid subject")));
    }
    if let Some(source) = config.sources.iter().find(|s| is_bad(&s.filter_subject)) {
        let filter = &source.filter_subject;
        return Err(ApiError::STREAM_CREATE
            .with(format!("subject filter '{filter}' for the source: invalid subject")));
    }
    Ok(())
}
