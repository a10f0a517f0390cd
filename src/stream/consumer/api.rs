//! The requests of `$JS.API.CONSUMER.>` and their answers.

use super::config::{ConsumerAction, ConsumerConfig, CreateRequest, DeliverPolicy};
use super::filters::Filters;
use super::info;
use super::pull::without_offset;
use super::state::{Consumer, Mark};
use super::table::{Consumers, CONSUMERS_OF_A_STREAM_MAX};
use super::validate::{
    check, check_update, fill_in, is_valid_group, Surroundings, INACTIVE_THRESHOLD, NAME_MAX,
};
use super::AckPolicy;
use crate::proto::HeaderBlock;
use crate::store::Message;
use crate::stream::json::{self, Decoder, Field, JsonError, Object};
use crate::stream::{ApiCall, ApiError, Context, Retention, StreamView};

/// What a request is answered with. No body: nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Header block; empty for none.
    pub headers: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
    /// It tells what is wrong.
    pub is_error: bool,
}

/// What is wrong with a create request that shows before its stream is looked for.
///
/// # Errors
/// What is to be answered.
pub fn check_create(call: &ApiCall<'_>) -> Result<(), ApiError> {
    read_create(call).map(|_| ())
}

/// Answers a request about consumers of a stream that cannot be served because of `error`.
pub fn refuse(call: &ApiCall<'_>, error: &ApiError, body: &mut Vec<u8>) {
    let mut object = Object::open(body);
    start(&mut object, call.verb);
    error.write(object.key("error"));
    match call.verb {
        "CONSUMER.NAMES" | "CONSUMER.LIST" => {
            for key in ["total", "offset", "limit"] {
                object.uint(key, 0);
            }
            object.array("consumers").close();
        }
        "CONSUMER.PAUSE" => {
            object.bool("paused", false);
            object.time("pause_until", 0);
        }
        "CONSUMER.RESET" => object.uint("reset_seq", 0),
        _ => {}
    }
    object.close();
}

impl Consumers {
    /// Answers a request. What it changes is staged when this returns; the answer waits for it.
    pub fn handle_api(
        &mut self,
        call: &ApiCall<'_>,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        answer: &mut Answer,
    ) {
        answer.headers.clear();
        answer.body.clear();
        let done = match call.verb {
            "CONSUMER.CREATE" | "CONSUMER.DURABLE.CREATE" => self.create(call, view, ctx, answer),
            "CONSUMER.NAMES" => self.list_names(call, &mut answer.body),
            "CONSUMER.LIST" => self.list(call, view, ctx, &mut answer.body),
            "CONSUMER.INFO" => self.inform(call, view, ctx, &mut answer.body),
            "CONSUMER.DELETE" => self.delete_named(call, view, ctx, &mut answer.body),
            "CONSUMER.PAUSE" => self.pause(call, view, ctx, &mut answer.body),
            "CONSUMER.UNPIN" => self.unpin(call, view, ctx, &mut answer.body),
            "CONSUMER.RESET" => self.reset(call, view, ctx, answer),
            "CONSUMER.LEADER.STEPDOWN" => Err(ApiError::CLUSTER_REQUIRED),
            _ => Ok(()),
        };
        answer.is_error = done.is_err();
        if let Err(error) = done {
            answer.headers.clear();
            answer.body.clear();
            refuse(call, &error, &mut answer.body);
        }
    }

    fn create(
        &mut self,
        call: &ApiCall<'_>,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        answer: &mut Answer,
    ) -> Result<(), ApiError> {
        let request = read_create(call)?;
        let mut config = request.config;
        let identity = view.identity;
        if config.direct || config.sourcing {
            identify(call, identity, answer)?;
        }
        let is_sourcing = config.direct && config.sourcing;
        let is_kept = is_sourcing && view.config.retention != Retention::Limits;
        if is_kept {
            keep_sourcing(&mut config);
        } else if is_sourcing {
            config.name = [&config.name, "-", &view.nuid.name(8)].concat();
        }
        let around = Surroundings {
            stream: view.config,
            account: view.limits,
            server: view.server_limits,
            pedantic: request.pedantic,
        };
        fill_in(&mut config, &around)?;
        check(&config, &around)?;
        let existing = self.by_name.get(&config.name).copied();
        let index = match existing.filter(|_| !config.name.is_empty()) {
            Some(index) => {
                self.update(index, config, request.action, view, ctx)?;
                if is_kept {
                    let seq = self.get(index).map_or(0, |consumer| consumer.ack_floor.stream_seq);
                    self.start_over(index, seq + 1, view, ctx);
                }
                index
            }
            None if request.action == ConsumerAction::Update => {
                return Err(ApiError::CONSUMER_DOES_NOT_EXIST);
            }
            None => self.create_new(config, view, ctx)?,
        };
        self.write_info(index, call.verb, view, ctx, &mut answer.body, None);
        Ok(())
    }

    /// Lets a consumer start anew at `seq`.
    fn start_over(
        &mut self,
        index: u32,
        seq: u64,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
    ) {
        let Some(consumer) = self.get_mut(index) else { return };
        consumer.start_at(seq);
        self.keep_state(index, view);
        // Whoever asks has begun to listen, and the server is not told of its own subscriptions.
        self.look_for_listener(index, view, ctx);
        self.touch(index, ctx.now);
    }

    fn create_new(
        &mut self,
        mut config: ConsumerConfig,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<u32, ApiError> {
        let limits = [view.config.max_consumers, view.limits.max_consumers];
        let lowest = limits.into_iter().filter(|limit| *limit > 0).min();
        if !config.direct
            && lowest.is_some_and(|lowest| self.count() as u64 >= lowest.unsigned_abs())
        {
            return Err(ApiError::MAXIMUM_CONSUMERS_LIMIT);
        }
        if config.durable_name.len() > NAME_MAX {
            return Err(ApiError::CONSUMER_NAME_TOO_LONG.with(NAME_MAX.to_string()));
        }
        if config.name.len() > NAME_MAX {
            // What nats-server says when its file system refuses the name.
            return Err(ApiError::CONSUMER_CREATE.with("error creating store for consumer"));
        }
        self.check_work_queue(None, &config, view)?;
        let mut name = config.name.clone();
        while name.is_empty() || self.by_name.contains_key(&name) {
            name = view.nuid.name(8);
        }
        if config.durable_name.is_empty() && config.inactive_threshold == 0 {
            config.inactive_threshold = INACTIVE_THRESHOLD;
        }
        let index = self.free_index();
        if usize::try_from(index).is_ok_and(|index| index >= CONSUMERS_OF_A_STREAM_MAX) {
            return Err(ApiError::MAXIMUM_CONSUMERS_LIMIT);
        }
        let mut consumer = Consumer::new(index, name, config, view.name(), ctx.now);
        consumer.find_start(view.store);
        self.add(consumer, view, ctx);
        Ok(index)
    }

    fn update(
        &mut self,
        index: u32,
        mut config: ConsumerConfig,
        action: ConsumerAction,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<(), ApiError> {
        let Some(consumer) = self.get(index) else { return Err(ApiError::CONSUMER_NOT_FOUND) };
        let current = consumer.config.clone();
        config.pause_until = current.pause_until;
        set_level(&mut config);
        if config == current {
            return Ok(());
        }
        if action == ConsumerAction::Create {
            return Err(ApiError::CONSUMER_ALREADY_EXISTS);
        }
        check_update(&current, &config)?;
        if config.deliver_subject != current.deliver_subject && consumer.is_heard(view, ctx) {
            return Err(ApiError::CONSUMER_NAME_EXIST);
        }
        self.check_work_queue(Some(index), &config, view)?;
        if current.durable_name.is_empty() && config.inactive_threshold == 0 {
            config.inactive_threshold = INACTIVE_THRESHOLD;
        }
        let narrows = current.filters().chain(config.filters()).next().is_some();
        self.configure(index, config);
        if let Some(consumer) = self.get_mut(index) {
            consumer.active_at = ctx.now;
        }
        if narrows && view.config.retention == Retention::Interest {
            self.release_unneeded(view);
        }
        self.keep_state(index, view);
        self.look_for_listener(index, view, ctx);
        self.touch(index, ctx.now);
        Ok(())
    }

    /// The rules for streams whose messages have one consumer each.
    fn check_work_queue(
        &self,
        own: Option<u32>,
        config: &ConsumerConfig,
        view: &StreamView<'_>,
    ) -> Result<(), ApiError> {
        if view.config.retention != Retention::WorkQueue || config.direct {
            return Ok(());
        }
        if !matches!(config.ack_policy, AckPolicy::Explicit | AckPolicy::FlowControl) {
            return Err(ApiError::CONSUMER_WQ_REQUIRES_EXPLICIT_ACK);
        }
        let mut others =
            self.iter().filter(|other| Some(other.index) != own && other.holds_messages());
        let filters = Filters::new(config.filters());
        if config.filters().next().is_none() {
            if others.next().is_some() {
                return Err(ApiError::CONSUMER_WQ_MULTIPLE_UNFILTERED);
            }
        } else if others.any(|other| other.filters.overlap(&filters)) {
            return Err(ApiError::CONSUMER_WQ_CONSUMER_NOT_UNIQUE);
        }
        if config.deliver_policy != DeliverPolicy::All {
            return Err(ApiError::CONSUMER_WQ_CONSUMER_NOT_DELIVER_ALL);
        }
        Ok(())
    }

    fn list_names(&self, call: &ApiCall<'_>, body: &mut Vec<u8>) -> Result<(), ApiError> {
        let offset = read_offset(call)?;
        let names: Vec<&str> = self.names().collect();
        let mut object = Object::open(body);
        start(&mut object, call.verb);
        let offset = write_page(&mut object, names.len(), offset, NAMES_MAX);
        let mut array = object.array("consumers");
        for name in names.iter().skip(offset).take(NAMES_MAX) {
            array.string(name);
        }
        array.close();
        object.close();
        Ok(())
    }

    fn list(
        &mut self,
        call: &ApiCall<'_>,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        body: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        let offset = read_offset(call)?;
        let names: Vec<String> = self.names().map(str::to_owned).collect();
        let mut object = Object::open(body);
        start(&mut object, call.verb);
        let offset = write_page(&mut object, names.len(), offset, LIST_MAX);
        let mut array = object.array("consumers");
        for name in names.iter().skip(offset).take(LIST_MAX) {
            let index = self.by_name.get(name).copied().unwrap_or(u32::MAX);
            if let Some(consumer) = self.get_mut(index) {
                let mut inner = Object::open(array.element());
                consumer.drop_unheard(view, ctx);
                info::write(&mut inner, consumer, view, ctx.now, &[]);
                inner.close();
            }
        }
        array.close();
        object.close();
        Ok(())
    }

    /// Adds all consumers to what monitoring shows of their stream.
    pub fn write_details(&mut self, object: &mut Object<'_>, view: &mut StreamView<'_>, now: u64) {
        let indices: Vec<u32> = self.by_name.values().copied().collect();
        let mut array = object.array("consumer_detail");
        for index in indices {
            if let Some(consumer) = self.get_mut(index) {
                let mut inner = Object::open(array.element());
                info::write(&mut inner, consumer, view, now, &[]);
                inner.close();
            }
        }
        array.close();
    }

    fn inform(
        &mut self,
        call: &ApiCall<'_>,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        body: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        expect_empty(call.payload)?;
        let index = self.find(call.rest)?;
        self.look_for_listener(index, view, ctx);
        self.write_info(index, call.verb, view, ctx, body, None);
        Ok(())
    }

    fn delete_named(
        &mut self,
        call: &ApiCall<'_>,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        body: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        expect_empty(call.payload)?;
        let index = self.find(call.rest)?;
        self.delete(index, view, ctx);
        let mut object = Object::open(body);
        start(&mut object, call.verb);
        object.bool("success", true);
        object.close();
        Ok(())
    }

    fn pause(
        &mut self,
        call: &ApiCall<'_>,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        body: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        let mut until = None;
        if is_object(call.payload) {
            Decoder::request(
                call.payload,
                "JSApiConsumerPauseRequest",
                call.strict,
                |decoder, key, value| match key {
                    "pause_until" => decoder.time(value, &mut until),
                    _ => Ok(Field::Unknown),
                },
            )
            .map_err(invalid_json)?;
        }
        let until = until.filter(|until| *until > 0);
        let index = self.find(call.rest)?;
        let Some(consumer) = self.get_mut(index) else { return Err(ApiError::CONSUMER_NOT_FOUND) };
        let was = consumer.is_paused;
        consumer.config.pause_until = until;
        set_level(&mut consumer.config);
        consumer.is_paused = consumer.paused_until(ctx.now).is_some();
        let is_paused = consumer.is_paused;
        if is_paused || was {
            consumer.advise_pause(view, ctx, is_paused);
        }
        self.keep_state(index, view);
        self.touch(index, ctx.now);
        let mut object = Object::open(body);
        start(&mut object, call.verb);
        object.bool("paused", is_paused);
        object.time("pause_until", until.unwrap_or_default());
        if is_paused {
            object.uint("pause_remaining", until.unwrap_or_default().saturating_sub(ctx.now));
        }
        object.close();
        Ok(())
    }

    fn unpin(
        &mut self,
        call: &ApiCall<'_>,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        body: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        let mut group = String::new();
        json::parse(call.payload).map_err(|c| invalid_json(without_offset(c)))?;
        Decoder::request(
            call.payload,
            "JSApiConsumerUnpinRequest",
            false,
            |decoder, key, value| match key {
                "group" => decoder.string(value, &mut group),
                _ => Ok(Field::Unknown),
            },
        )
        .map_err(invalid_json)?;
        if group.is_empty() {
            return Err(ApiError::INVALID_JSON.with("consumer group not specified"));
        }
        if !is_valid_group(&group) {
            return Err(ApiError::CONSUMER_INVALID_GROUP_NAME);
        }
        let index = self.find(call.rest)?;
        let Some(consumer) = self.get_mut(index) else { return Err(ApiError::CONSUMER_NOT_FOUND) };
        if !consumer.config.priority_groups.contains(&group) {
            return Err(ApiError::CONSUMER_INVALID_PRIORITY_GROUP);
        }
        if consumer.has_pins() && !consumer.pin.id.is_empty() {
            consumer.unpin(view, ctx, "admin");
        }
        self.touch(index, ctx.now);
        let mut object = Object::open(body);
        start(&mut object, call.verb);
        object.close();
        Ok(())
    }

    fn reset(
        &mut self,
        call: &ApiCall<'_>,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        answer: &mut Answer,
    ) -> Result<(), ApiError> {
        // Nobody listens there without the consumer.
        let Ok(index) = self.find(call.rest) else { return Ok(()) };
        if HeaderBlock::new(call.headers).get(IDENTITY).is_some() {
            identify(call, view.identity, answer)?;
        }
        let body = &mut answer.body;
        let mut seq = 0;
        if !call.payload.is_empty() {
            json::parse(call.payload).map_err(|c| invalid_json(without_offset(c)))?;
            Decoder::request(
                call.payload,
                "JSApiConsumerResetRequest",
                false,
                |decoder, key, value| match key {
                    "seq" => decoder.uint(value, &mut seq),
                    _ => Ok(Field::Unknown),
                },
            )
            .map_err(invalid_json)?;
        }
        let Some(consumer) = self.get_mut(index) else { return Ok(()) };
        if seq == 0 {
            seq = consumer.ack_floor.stream_seq + 1;
        } else {
            let config = &consumer.config;
            let refusal = match config.deliver_policy {
                DeliverPolicy::All => None,
                DeliverPolicy::ByStartSequence => {
                    (seq < config.opt_start_seq).then_some("below start seq")
                }
                DeliverPolicy::ByStartTime => {
                    let start = config.opt_start_time.unwrap_or_default();
                    let mut message = Message::default();
                    let is_read = matches!(view.store.read(seq, &mut message), Ok(true));
                    (is_read && message.time < start).then_some("below start time")
                }
                _ => Some("not allowed"),
            };
            if let Some(refusal) = refusal {
                return Err(ApiError::CONSUMER_INVALID_RESET.with(refusal));
            }
        }
        self.start_over(index, seq, view, ctx);
        self.write_info(index, call.verb, view, ctx, body, Some(seq));
        Ok(())
    }

    fn find(&self, name: &str) -> Result<u32, ApiError> {
        self.by_name.get(name).copied().ok_or(ApiError::CONSUMER_NOT_FOUND)
    }

    fn write_info(
        &mut self,
        index: u32,
        verb: &str,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        body: &mut Vec<u8>,
        reset_seq: Option<u64>,
    ) {
        let extra = view.server.response_metadata();
        let Some(consumer) = self.get_mut(index) else { return };
        consumer.drop_unheard(view, ctx);
        let mut object = Object::open(body);
        start(&mut object, verb);
        info::write(&mut object, consumer, view, ctx.now, &extra);
        if let Some(seq) = reset_seq {
            object.uint("reset_seq", seq);
        }
        object.close();
    }
}

impl Consumer {
    /// Starts anew at `seq`.
    fn start_at(&mut self, seq: u64) {
        self.unacked.clear();
        self.given_up = 0;
        self.redelivery.clear();
        self.cursor = super::cursor::Cursor::new(seq);
        let before = Mark { stream_seq: seq.saturating_sub(1), ..Mark::default() };
        self.delivered = before;
        self.ack_floor = before;
        self.flow.start_over();
    }
}

/// Says which stream it is to one that asks on behalf of another stream, unless that expects
/// another one.
fn identify(call: &ApiCall<'_>, identity: &str, answer: &mut Answer) -> Result<(), ApiError> {
    let wanted = HeaderBlock::new(call.headers).get(IDENTITY).unwrap_or_default();
    if !wanted.is_empty() && wanted != identity.as_bytes() {
        return Err(ApiError::CONSUMER_STREAM_IDENTITY_MISMATCH.with(identity));
    }
    answer.headers = [b"NATS/1.0\r\n", IDENTITY, b": ", identity.as_bytes(), b"\r\n\r\n"].concat();
    Ok(())
}

/// What another stream reads from one that keeps messages for its consumers goes when it was read:
/// its consumer is a durable one that is told so, and goes on where that left off.
fn keep_sourcing(config: &mut ConsumerConfig) {
    config.durable_name.clone_from(&config.name);
    config.direct = false;
    config.ack_policy = AckPolicy::FlowControl;
    config.deliver_policy = DeliverPolicy::All;
    (config.opt_start_seq, config.opt_start_time) = (0, None);
    (config.ack_wait, config.max_deliver, config.inactive_threshold) = (0, 0, 0);
}

/// Reads a create request and takes the names from its subject.
fn read_create(call: &ApiCall<'_>) -> Result<CreateRequest, ApiError> {
    let mut request = CreateRequest::decode(call.payload, call.strict).map_err(invalid_json)?;
    if request.stream_name != call.stream {
        return Err(ApiError::STREAM_MISMATCH);
    }
    let config = &mut request.config;
    let (name, filter) = match call.rest.split_once('.') {
        Some((name, filter)) => (name, filter),
        None => (call.rest, ""),
    };
    let has_separator = |name: &str| name.contains(['/', '\\']);
    if has_separator(name) || has_separator(&config.name) || has_separator(&config.durable_name) {
        return Err(ApiError::CONSUMER_NAME_CONTAINS_PATH_SEPARATORS);
    }
    if call.verb == "CONSUMER.DURABLE.CREATE" {
        if name.is_empty() {
            return Err(ApiError::CONSUMER_DURABLE_NAME_NOT_IN_SUBJECT);
        }
        if config.durable_name.is_empty() {
            return Err(ApiError::CONSUMER_DURABLE_NAME_NOT_SET);
        }
        if config.durable_name != name {
            return Err(ApiError::CONSUMER_DURABLE_NAME_NOT_MATCH_SUBJECT);
        }
        config.name = name.to_owned();
    } else if name.is_empty() {
        if !config.durable_name.is_empty() {
            return Err(ApiError::CONSUMER_EPHEMERAL_WITH_DURABLE_NAME);
        }
    } else {
        if !config.durable_name.is_empty() && config.durable_name != name {
            return Err(ApiError::CONSUMER_DURABLE_NAME_NOT_MATCH_SUBJECT);
        }
        config.name = name.to_owned();
        if !filter.is_empty() {
            if !config.filter_subjects.is_empty() {
                return Err(ApiError::CONSUMER_MULTIPLE_FILTERS_NOT_ALLOWED);
            }
            if config.filter_subject != filter {
                return Err(ApiError::CONSUMER_CREATE_FILTER_SUBJECT_MISMATCH);
            }
        }
    }
    if config.num_replicas > 1 {
        return Err(ApiError::STREAM_REPLICAS_NOT_SUPPORTED);
    }
    Ok(request)
}

fn set_level(config: &mut ConsumerConfig) {
    let level = config.required_level().to_string();
    config.metadata.insert(String::from("_nats.req.level"), level);
}

fn start(object: &mut Object<'_>, verb: &str) {
    let name = match verb {
        "CONSUMER.CREATE" | "CONSUMER.DURABLE.CREATE" => "consumer_create",
        "CONSUMER.NAMES" => "consumer_names",
        "CONSUMER.LIST" => "consumer_list",
        "CONSUMER.INFO" => "consumer_info",
        "CONSUMER.DELETE" => "consumer_delete",
        "CONSUMER.PAUSE" => "consumer_pause",
        "CONSUMER.UNPIN" => "consumer_unpin",
        "CONSUMER.RESET" => "consumer_reset",
        _ => "consumer_leader_stepdown",
    };
    object.string("type", &["io.nats.jetstream.api.v1.", name, "_response"].concat());
}

fn write_page(object: &mut Object<'_>, total: usize, offset: i64, limit: usize) -> usize {
    let offset = usize::try_from(offset.max(0)).unwrap_or(usize::MAX).min(total);
    object.uint("total", total as u64);
    object.uint("offset", offset as u64);
    object.uint("limit", limit as u64);
    offset
}

fn read_offset(call: &ApiCall<'_>) -> Result<i64, ApiError> {
    let mut offset = 0;
    if is_object(call.payload) {
        Decoder::request(
            call.payload,
            "JSApiConsumersRequest",
            call.strict,
            |decoder, key, value| match key {
                "offset" => decoder.int(value, "int", &mut offset),
                _ => Ok(Field::Unknown),
            },
        )
        .map_err(invalid_json)?;
    }
    Ok(offset)
}

/// A body that is no object is as good as none, where one may be left out.
fn is_object(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Nothing, or an object without keys.
fn expect_empty(body: &[u8]) -> Result<(), ApiError> {
    match json::parse(body) {
        _ if body.is_empty() => Ok(()),
        Ok(json::Value::Object(entries)) if entries.is_empty() => Ok(()),
        _ => Err(ApiError::NOT_EMPTY_REQUEST),
    }
}

fn invalid_json(complaint: JsonError) -> ApiError {
    ApiError::INVALID_JSON.with(complaint.0)
}

/// The header that says which stream of its name it is.
const IDENTITY: &[u8] = b"Nats-Stream-Identity";
/// Names in one answer.
const NAMES_MAX: usize = 1024;
/// Consumers in one answer.
const LIST_MAX: usize = 256;
