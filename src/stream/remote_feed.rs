//! Feeds that go over subjects: from streams behind an API of another prefix, as in another account
//! or domain, and through consumers that were made beforehand.
//!
//! The stream asks for a push consumer of its own, without acknowledgements, or for the one that
//! there is to start over, and takes what that delivers. A number that is missing, or silence for
//! longer than [`SILENCE_MAX`], ends the attempt; the next one begins after the last message
//! stored. Each attempt has subjects of its own, so that nothing of an earlier one is mistaken for
//! it. A consumer made beforehand is told how far it is done with each answer to its flow control,
//! once that is durable.
//!
//! Bounds: one attempt at a time, none sooner than [`RETRY_MIN`] after the last; what is on its way is
//! bounded by the consumer's flow control.

use super::config::{SourceConsumer, StreamSource};
use super::consumer::place_of_ack;
use super::engine::Engine;
use super::feed::{self, Feed};
use super::json::{Decoder, Field, Object};
use super::nuid::{short_hash, Nuid};
use super::outbox::Outgoing;
use super::publish_headers::parse_uint;
use super::shared::Shared;
use super::stream::Stream;
use super::time::SECOND;
use super::token::{Purpose, StreamIndex};
use super::view::ServerIdentity;
use super::{ApiError, Context, Incoming};
use crate::proto::HeaderBlock;
use crate::store::Record;
use crate::subject::AccountId;

/// The way to an origin that is not reached directly.
#[derive(Debug)]
pub(super) struct Remote {
    /// What requests begin with.
    api: String,
    /// What subjects of deliveries begin with, if that was asked for.
    deliver_prefix: String,
    consumer: Option<SourceConsumer>,
    phase: Phase,
    /// The attempt, in the names of its subscriptions.
    number: u32,
    deliver: String,
    replies: String,
    /// Number of the last delivery.
    delivered: u64,
    failures: u32,
    /// What the origin said last.
    error: Option<ApiError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The next attempt begins then.
    Waiting(u64),
    /// An answer is expected until then.
    Asked(u64),
    /// Something is expected until then.
    Running(u64),
}

/// What a message of a feed leads to.
enum Step {
    Goes,
    /// The attempt is over; the next one may begin at once.
    StartOver,
    /// The attempt is over, for something that may last.
    Failed(Option<ApiError>),
}

impl Remote {
    /// The way to the origin of `source`; `None` if the server has that itself.
    pub(super) fn of(source: &StreamSource, server: &ServerIdentity) -> Option<Self> {
        let is_own = |api: &str| {
            let inner = api.strip_prefix("$JS.").and_then(|rest| rest.strip_suffix(".API"));
            inner.is_some_and(|domain| domain == server.domain)
        };
        let external = source.external.as_ref().filter(|external| !is_own(&external.api));
        if external.is_none() && source.consumer.is_none() {
            return None;
        }
        Some(Self {
            api: external.map_or_else(|| String::from("$JS.API"), |external| external.api.clone()),
            deliver_prefix: external.map_or_else(String::new, |external| external.deliver.clone()),
            consumer: source.consumer.clone(),
            phase: Phase::Waiting(0),
            number: 0,
            deliver: String::new(),
            replies: String::new(),
            delivered: 0,
            failures: 0,
            error: None,
        })
    }

    /// When something is to be done.
    pub(super) fn deadline(&self) -> u64 {
        match self.phase {
            Phase::Waiting(at) | Phase::Asked(at) | Phase::Running(at) => at,
        }
    }

    /// What the origin complained of.
    pub(super) fn error(&self) -> Option<&ApiError> {
        self.error.as_ref()
    }

    /// Calls `each` with the name and pattern of each subscription that there is.
    pub(super) fn for_each_subscription(
        &self,
        index: StreamIndex,
        mut each: impl FnMut(Purpose, &[u8]),
    ) {
        if matches!(self.phase, Phase::Waiting(_)) {
            return;
        }
        each(Purpose::FeedData(index, self.number), self.deliver.as_bytes());
        each(Purpose::FeedReply(index, self.number), self.replies.as_bytes());
    }

    /// Ends the attempt there is; the next one begins later.
    fn stop(
        &mut self,
        (index, account): (StreamIndex, AccountId),
        step: Step,
        ctx: &mut Context<'_>,
    ) {
        self.for_each_subscription(index, |purpose, pattern| {
            ctx.out.unsubscribe(purpose.token(), account, pattern);
        });
        let wait = match step {
            Step::Goes | Step::StartOver => RETRY_MIN,
            Step::Failed(error) => {
                self.error = error;
                self.failures = self.failures.saturating_add(1);
                u64::from(self.failures).saturating_mul(RETRY_STEP).min(RETRY_MAX)
            }
        };
        self.phase = Phase::Waiting(ctx.now.saturating_add(wait));
    }

    fn begin_attempt(&mut self, is_mirror: bool, nuid: &mut Nuid) {
        let kind = if is_mirror { "M." } else { "S." };
        let name = nuid.name(8);
        self.deliver = match (&self.consumer, self.deliver_prefix.as_str()) {
            (Some(consumer), _) => consumer.deliver_subject.clone(),
            (None, "") => ["$JS.", kind, &name].concat(),
            (None, prefix) => [prefix, ".", kind, &name].concat(),
        };
        self.replies = ["$JSC.R.", &nuid.name(8)].concat();
        self.number = u32::try_from(nuid.number() >> 32).unwrap_or(0);
        self.delivered = 0;
    }
}

impl Engine {
    /// Lets the feeds of a stream that go over subjects do what is due.
    pub(super) fn run_remotes(&mut self, index: StreamIndex, ctx: &mut Context<'_>) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let mut feeds = std::mem::take(&mut stream.feeds);
        for feed in &mut feeds {
            let Some(remote) = feed.remote.as_mut().filter(|r| r.deadline() <= ctx.now) else {
                continue;
            };
            match remote.phase {
                Phase::Waiting(_) => ask(stream, feed, &mut self.shared, ctx),
                Phase::Asked(_) => {
                    remote.stop((index, stream.account), Step::Failed(None), ctx);
                }
                Phase::Running(_) => remote.stop((index, stream.account), Step::StartOver, ctx),
            }
        }
        stream.feeds = feeds;
    }

    /// Takes what a feed gets.
    pub(super) fn handle_feed_message(
        &mut self,
        index: StreamIndex,
        number: u32,
        incoming: &Incoming<'_>,
        is_answer: bool,
        ctx: &mut Context<'_>,
    ) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let mut feeds = std::mem::take(&mut stream.feeds);
        let is_it = |feed: &&mut Feed| {
            let remote = feed.remote.as_ref().filter(|remote| remote.number == number);
            remote.is_some_and(|remote| !matches!(remote.phase, Phase::Waiting(_)))
        };
        if let Some(feed) = feeds.iter_mut().find(is_it) {
            let step = if is_answer {
                take_answer(feed, incoming, ctx.now)
            } else {
                take_delivery(stream, feed, &mut self.shared, incoming, ctx)
            };
            if !matches!(step, Step::Goes) {
                if let Some(remote) = &mut feed.remote {
                    remote.stop((index, stream.account), step, ctx);
                }
            }
        }
        stream.feeds = feeds;
        stream.settle(&mut self.shared);
        self.go_on(index, ctx);
    }
}

/// Asks the origin for a consumer that begins after what there is.
fn ask(stream: &mut Stream, feed: &mut Feed, shared: &mut Shared, ctx: &mut Context<'_>) {
    let last = stream.store.extent().last_seq;
    if feed.is_mirror && last > 0 {
        feed.next = feed.next.max(last + 1);
    }
    let is_mirror = feed.is_mirror;
    let Some(mut remote) = feed.remote.take() else { return };
    remote.begin_attempt(is_mirror, &mut shared.nuid);
    remote.phase = Phase::Asked(ctx.now.saturating_add(ANSWER_WAIT));
    let level = if is_mirror { 4 } else { 5 };
    let mut headers = format!("NATS/1.0\r\nNats-Required-Api-Level: {level}\r\n");
    if !is_mirror {
        headers.push_str(&["Nats-Stream-Identity: ", &feed.identity, "\r\n"].concat());
    }
    headers.push_str("\r\n");
    let (subject, body) = match &remote.consumer {
        Some(consumer) => {
            let parts = [&remote.api, ".CONSUMER.RESET.", &feed.origin, ".", &consumer.name];
            (parts.concat(), Vec::new())
        }
        None => create_request(stream, feed, &remote, shared),
    };
    remote.for_each_subscription(stream.index, |purpose, pattern| {
        ctx.out.subscribe(purpose.token(), stream.account, pattern, None);
    });
    ctx.out.publish(
        stream.store.staged(),
        &Outgoing {
            account: stream.account,
            to: subject.as_bytes(),
            subject: b"",
            reply: remote.replies.as_bytes(),
            headers: headers.as_bytes(),
            payload: &body,
            failure: None,
        },
    );
    feed.remote = Some(remote);
}

/// Subject and body of the request for a consumer of the feed's own.
fn create_request(
    stream: &Stream,
    feed: &Feed,
    remote: &Remote,
    shared: &Shared,
) -> (String, Vec<u8>) {
    let own = stream.name();
    let hash = short_hash([own, "\n", &feed.label, "\n", &feed.filter].concat().as_bytes());
    let (name, role) = if feed.is_mirror {
        (["JS_MIRROR_", &hash].concat(), "mirror")
    } else {
        (["JS_SRC_", &hash].concat(), "src")
    };
    let mut subject = [&remote.api, ".CONSUMER.CREATE.", &feed.origin].concat();
    let mut body = Vec::new();
    let mut object = Object::open(&mut body);
    object.string("stream_name", &feed.origin);
    let mut config = object.object("config");
    config.string("name", &name);
    match (feed.next, feed.start_time) {
        (0, Some(time)) => {
            config.string("deliver_policy", "by_start_time");
            config.time("opt_start_time", time);
        }
        (next, _) if next.max(feed.start_seq) > 1 => {
            config.string("deliver_policy", "by_start_sequence");
            let start = if next > 0 { next } else { feed.start_seq };
            config.uint("opt_start_seq", start);
        }
        _ => config.string("deliver_policy", "all"),
    }
    config.string("ack_policy", "none");
    config.uint("ack_wait", ACK_WAIT);
    config.uint("max_deliver", 1);
    let filters = feed.filters().iter().map(|filter| String::from_utf8_lossy(filter));
    let filters: Vec<_> = filters.collect();
    match filters.as_slice() {
        [] => {}
        [filter] => {
            config.string("filter_subject", filter);
            subject = [&subject, ".", &name, ".", filter].concat();
        }
        filters => config.strings_some("filter_subjects", filters),
    }
    config.string("replay_policy", "instant");
    config.bool("flow_control", true);
    config.string("deliver_subject", &remote.deliver);
    config.uint("idle_heartbeat", SECOND);
    config.uint("inactive_threshold", SILENCE_MAX);
    config.uint("num_replicas", 0);
    config.bool("direct", true);
    config.bool("sourcing", true);
    let mut metadata = config.object("metadata");
    let key = |what: &str| ["_nats.", role, ".", what].concat();
    metadata.string(&key("acc"), &stream.account_name);
    if !shared.server.domain.is_empty() {
        metadata.string(&key("domain"), &shared.server.domain);
    }
    metadata.string(&key("stream"), own);
    metadata.close();
    config.close();
    object.string("action", "");
    object.close();
    (subject, body)
}

/// The origin answers.
fn take_answer(feed: &mut Feed, incoming: &Incoming<'_>, now: u64) -> Step {
    let Some(remote) = &mut feed.remote else { return Step::Goes };
    if !matches!(remote.phase, Phase::Asked(_)) {
        return Step::Goes;
    }
    // Nobody there, or nothing that could be understood.
    let Some(answer) = RemoteAnswer::read(incoming.payload) else { return Step::Failed(None) };
    if let Some(error) = answer.error {
        if error.err_code == ApiError::CONSUMER_STREAM_IDENTITY_MISMATCH.err_code {
            // Another stream of that name: from its beginning.
            feed.next = 0;
            feed.identity.clear();
        }
        return Step::Failed(Some(error));
    }
    if remote.consumer.is_some() && answer.ack_policy != "flow_control" {
        return Step::Failed(Some(if feed.is_mirror {
            ApiError::MIRROR_CONSUMER_REQUIRES_ACK_FC
        } else {
            ApiError::SOURCE_CONSUMER_REQUIRES_ACK_FC
        }));
    }
    if let Some(identity) = HeaderBlock::new(incoming.headers).get(IDENTITY) {
        feed.identity = String::from_utf8_lossy(identity).into_owned();
    }
    remote.phase = Phase::Running(now.saturating_add(SILENCE_MAX));
    remote.failures = 0;
    remote.error = None;
    Step::Goes
}

/// A message of the origin, or what its consumer says of itself.
fn take_delivery(
    stream: &mut Stream,
    feed: &mut Feed,
    shared: &mut Shared,
    incoming: &Incoming<'_>,
    ctx: &mut Context<'_>,
) -> Step {
    let Some(remote) = &mut feed.remote else { return Step::Goes };
    if matches!(remote.phase, Phase::Running(_)) {
        remote.phase = Phase::Running(ctx.now.saturating_add(SILENCE_MAX));
    }
    if incoming.headers.starts_with(STATUS) {
        feed.active = ctx.now;
        return take_status(stream, feed, incoming, ctx);
    }
    let Some(place) = place_of_ack(incoming.reply) else { return Step::Goes };
    if place.consumer_seq != remote.delivered + 1 {
        return Step::StartOver;
    }
    remote.delivered = place.consumer_seq;
    feed.lag = place.pending;
    feed.active = ctx.now;
    if place.stream_seq < feed.next {
        // Stored before the attempt began, and not acknowledged then.
        return Step::Goes;
    }
    let mut message = std::mem::take(&mut shared.message);
    message.set(
        place.stream_seq,
        &Record {
            time: place.time,
            subject: incoming.subject,
            headers: incoming.headers,
            payload: incoming.payload,
        },
    );
    let has_room = feed::take_over(stream, shared, feed, &message, ctx);
    shared.message = message;
    if !has_room {
        return Step::StartOver;
    }
    feed.next = place.stream_seq.saturating_add(1);
    Step::Goes
}

/// A heartbeat, or a question that lets the consumer go on.
fn take_status(
    stream: &Stream,
    feed: &Feed,
    incoming: &Incoming<'_>,
    ctx: &mut Context<'_>,
) -> Step {
    let Some(remote) = &feed.remote else { return Step::Goes };
    if !incoming.headers.starts_with(b"NATS/1.0 100") {
        // The consumer is gone.
        return Step::StartOver;
    }
    let block = HeaderBlock::new(incoming.headers);
    let last = block.get(b"Nats-Last-Consumer").and_then(parse_uint);
    if last.is_some_and(|last| last > remote.delivered) {
        return Step::StartOver;
    }
    let stalled = block.get(b"Nats-Consumer-Stalled").unwrap_or_default();
    let asked = if incoming.reply.is_empty() { stalled } else { incoming.reply };
    if !asked.is_empty() {
        let headers = format!(
            "NATS/1.0\r\nNats-Last-Consumer: {}\r\nNats-Last-Stream: {}\r\n\r\n",
            remote.delivered,
            feed.next.saturating_sub(1)
        );
        ctx.out.publish(
            stream.store.staged(),
            &Outgoing {
                account: stream.account,
                to: asked,
                subject: b"",
                reply: b"",
                headers: headers.as_bytes(),
                payload: b"",
                failure: None,
            },
        );
    }
    Step::Goes
}

/// What an origin says to a request.
#[derive(Debug, Default)]
struct RemoteAnswer {
    error: Option<ApiError>,
    ack_policy: String,
}

impl RemoteAnswer {
    fn read(body: &[u8]) -> Option<Self> {
        if body.is_empty() {
            return None;
        }
        let mut answer = Self::default();
        Decoder::request(body, "Response", false, |decoder, key, value| match key {
            "error" => {
                let (mut code, mut err_code, mut text) = (0, 0, String::new());
                decoder.object(value, "ApiError", |decoder, key, value| match key {
                    "code" => decoder.uint(value, &mut code),
                    "err_code" => decoder.uint(value, &mut err_code),
                    "description" => decoder.string(value, &mut text),
                    _ => Ok(Field::Unknown),
                })?;
                let short = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
                answer.error = Some(ApiError {
                    code: short(code),
                    err_code: short(err_code),
                    description: text.into(),
                });
                Ok(Field::Known)
            }
            "config" => {
                decoder.object(value, "ConsumerConfig", |decoder, key, value| match key {
                    "ack_policy" => decoder.string(value, &mut answer.ack_policy),
                    _ => Ok(Field::Unknown),
                })?;
                Ok(Field::Known)
            }
            _ => Ok(Field::Unknown),
        })
        .ok()?;
        Some(answer)
    }
}

const IDENTITY: &[u8] = b"Nats-Stream-Identity";
/// What the headers of a message begin with that is none.
const STATUS: &[u8] = b"NATS/1.0 ";
/// What is said of acknowledgements that nobody waits for.
const ACK_WAIT: u64 = 22 * 3600 * SECOND;
/// How long an origin may say nothing; it says something every second.
const SILENCE_MAX: u64 = 10 * SECOND;
/// How long an answer may take.
const ANSWER_WAIT: u64 = 5 * SECOND;
/// Least time between two attempts.
const RETRY_MIN: u64 = SECOND / 5;
/// What each failure adds to the time before the next attempt, and how long that is at most.
const RETRY_STEP: u64 = 2 * SECOND;
const RETRY_MAX: u64 = 120 * SECOND;
