//! What the parts of the engine know of each other: the server, an account's limits, a request,
//! and a stream as its consumers see it.

use super::config::StreamConfig;
use super::json::{self, Object};
use super::nuid::{short_hash, Nuid};
use super::outbox::Outgoing;
use super::token::StreamIndex;
use super::Context;
use crate::proto::HeaderBlock;
use crate::store::{Commit, StreamStore};
use crate::subject::AccountId;

/// The level of the API that is spoken.
pub const API_LEVEL: u64 = 5;

/// Who the server is, as replies and advisories say it.
#[derive(Clone, Debug)]
pub struct ServerIdentity {
    /// Name of the server.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Its JetStream domain; empty if it has none.
    pub domain: String,
    /// Bytes a message may have.
    pub max_payload: usize,
    /// Subjects of acknowledgements and flow control name the domain and the account.
    pub has_long_acks: bool,
}

impl ServerIdentity {
    /// The two tokens that long subjects name a domain and an account with.
    pub(super) fn long_tokens(&self, account: &str) -> String {
        let domain = if self.domain.is_empty() { "_" } else { &self.domain };
        [domain, ".", &short_hash(account.as_bytes()), "."].concat()
    }

    /// Metadata that configurations in replies carry and stored ones do not.
    pub fn response_metadata(&self) -> [(&str, &str); 2] {
        [("_nats.level", API_LEVEL_TEXT), ("_nats.ver", &self.version)]
    }
}

/// Limits of the server as a whole; -1 is none, and so is 0 for the last ones.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Bytes of messages in memory.
    pub max_memory: i64,
    /// Bytes of messages in files.
    pub max_storage: i64,
    /// Largest `max_ack_pending` of a consumer.
    pub max_ack_pending: i64,
    /// Largest `max_batch` of a consumer.
    pub max_request_batch: i64,
    /// Largest duplicate window, in nanoseconds.
    pub duplicate_window: i64,
    /// What batches may be.
    pub batch: BatchLimits,
    /// API requests that are answered in one turn; those beyond it are refused with 429/10167.
    pub requests: u64,
}

/// Limits of atomic batches.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Batches of one stream that may be open.
    pub per_stream: usize,
    /// Batches that may be open.
    pub total: usize,
    /// Messages of one batch.
    pub messages: u64,
    /// Nanoseconds that a batch may be silent, before it is abandoned.
    pub idle: u64,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { per_stream: 50, total: 1000, messages: 1000, idle: 10_000_000_000 }
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_memory: -1,
            max_storage: -1,
            max_ack_pending: 0,
            max_request_batch: 0,
            duplicate_window: 0,
            batch: BatchLimits::default(),
            requests: 10_000,
        }
    }
}

/// Limits of an account; -1 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JetStreamLimits {
    /// Bytes of messages in memory.
    pub max_memory: i64,
    /// Bytes of messages in files.
    pub max_storage: i64,
    /// Streams.
    pub max_streams: i64,
    /// Consumers of a stream.
    pub max_consumers: i64,
    /// Largest `max_ack_pending` of a consumer.
    pub max_ack_pending: i64,
    /// Largest `max_bytes` of a stream in memory.
    pub memory_max_stream_bytes: i64,
    /// Largest `max_bytes` of a stream in files.
    pub storage_max_stream_bytes: i64,
    /// Streams must have `max_bytes`.
    pub max_bytes_required: bool,
}

impl Default for JetStreamLimits {
    fn default() -> Self {
        Self {
            max_memory: -1,
            max_storage: -1,
            max_streams: -1,
            max_consumers: -1,
            max_ack_pending: -1,
            memory_max_stream_bytes: -1,
            storage_max_stream_bytes: -1,
            max_bytes_required: false,
        }
    }
}

/// A request to `$JS.API.<verb>.<stream>...`, checked for API level, account and stream.
#[derive(Clone, Copy, Debug)]
pub struct ApiCall<'a> {
    /// What is asked for, such as `CONSUMER.CREATE`.
    pub verb: &'a str,
    /// The stream it is about.
    pub stream: &'a str,
    /// What follows the stream in the subject: for most the consumer's name, then for
    /// `CONSUMER.CREATE` perhaps a filter. Empty if nothing does.
    pub rest: &'a str,
    /// Where an answer is expected; empty if nowhere.
    pub reply: &'a [u8],
    /// The header block.
    pub headers: &'a [u8],
    /// The body.
    pub payload: &'a [u8],
    /// Unknown keys are refused.
    pub strict: bool,
}

/// Who asked, as advisories say it.
#[derive(Clone, Debug)]
pub(super) struct ClientInfo(Vec<u8>);

impl ClientInfo {
    /// Somebody of an account.
    fn of(account: &str, server: &str) -> Self {
        let mut text = Vec::new();
        let mut object = Object::open(&mut text);
        object.string("acc", account);
        object.string("server", server);
        object.close();
        Self(text)
    }

    /// Who sent a message with those headers: as its shard wrote it there, or somebody of an account.
    pub(super) fn sender(headers: &[u8], account: &str, server: &str) -> Self {
        let told = HeaderBlock::new(headers).get(REQUEST_INFO);
        match told.filter(|told| json::parse(told).is_ok()) {
            Some(told) => Self(told.to_vec()),
            None => Self::of(account, server),
        }
    }

    /// Appends it as a JSON object.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// A stream as its consumers see it.
#[derive(Debug)]
pub struct StreamView<'a> {
    /// The stream in tokens.
    pub index: StreamIndex,
    /// Account it is in.
    pub account: AccountId,
    /// That account's name.
    pub account_name: &'a str,
    /// The account's limits.
    pub limits: &'a JetStreamLimits,
    /// The stream's configuration, its name included.
    pub config: &'a StreamConfig,
    /// When it was made.
    pub created: u64,
    /// Eight characters that stand for that time.
    pub identity: &'a str,
    /// Its messages.
    pub store: &'a mut dyn StreamStore,
    /// Who the server is.
    pub server: &'a ServerIdentity,
    /// The server's limits.
    pub server_limits: &'a ServerLimits,
    /// Names and random numbers.
    pub nuid: &'a mut Nuid,
}

impl StreamView<'_> {
    /// The stream's name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Publishes an advisory if somebody listens: to `$JS.EVENT.<subject>`, of type
    /// `io.nats.jetstream.<kind>`, with the keys that `fill` adds. Waits for what is staged.
    pub fn advise(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &str,
        kind: &str,
        fill: impl FnOnce(&mut Object<'_>),
    ) {
        let gate = self.store.staged();
        advise(ctx, self.server, self.nuid, self.account, gate, subject, kind, fill);
    }
}

/// Publishes an advisory; see [`StreamView::advise`].
#[expect(clippy::too_many_arguments, reason = "what a stream or an account says, in one place")]
pub(super) fn advise(
    ctx: &mut Context<'_>,
    server: &ServerIdentity,
    nuid: &mut Nuid,
    account: AccountId,
    gate: Commit,
    subject: &str,
    kind: &str,
    fill: impl FnOnce(&mut Object<'_>),
) {
    let subject = ["$JS.EVENT.", subject].concat();
    if !ctx.interest.has_interest(account, subject.as_bytes()) {
        return;
    }
    let mut payload = Vec::with_capacity(256);
    let mut object = Object::open(&mut payload);
    object.string("type", &["io.nats.jetstream.", kind].concat());
    object.string("id", &nuid.generate());
    object.time("timestamp", ctx.now);
    fill(&mut object);
    object.string_some("domain", &server.domain);
    object.close();
    ctx.out.publish(
        gate,
        &Outgoing {
            account,
            to: subject.as_bytes(),
            subject: b"",
            reply: b"",
            headers: b"",
            payload: &payload,
            failure: None,
        },
    );
}

/// The header that says who sent a request, written by the shard that knows.
pub const REQUEST_INFO: &[u8] = b"Nats-Request-Info";
/// [`API_LEVEL`] in metadata.
const API_LEVEL_TEXT: &str = "5";
