//! `/jsz`, and what other pages say of JetStream.

use serde::Serialize;
use serde_json::value::RawValue;

use super::facts::ServerFacts;
use super::query::{BadRequest, Query};
use super::snapshot::Histogram;
use super::times::rfc3339;

/// What is asked of the shard that has JetStream.
#[derive(Clone, Debug, Default)]
pub struct JetStreamAsk {
    /// Accounts one by one.
    pub accounts: bool,
    /// Only this account; all if empty.
    pub account: String,
    /// Their streams too.
    pub streams: bool,
    /// The streams' consumers too.
    pub consumers: bool,
    /// Configurations too.
    pub config: bool,
}

/// JetStream as its shard tells it.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are named after the keys of the page")]
pub struct JetStreamSnapshot {
    pub config: JetStreamConfig,
    pub memory: u64,
    pub storage: u64,
    pub reserved_memory: u64,
    pub reserved_storage: u64,
    pub accounts: u64,
    pub api_total: u64,
    pub api_errors: u64,
    pub streams: u64,
    pub consumers: u64,
    pub messages: u64,
    pub bytes: u64,
    pub details: Vec<AccountDetail>,
    /// Bytes staged for the journal and not yet being written.
    pub staged_bytes: u64,
    /// Commits that are durable.
    pub commits: u64,
    /// How long journal writes took, in nanoseconds.
    pub commit_ns: Histogram,
    /// Bytes of journal writes.
    pub commit_bytes: Histogram,
    /// How long the start took to bring the streams back, in nanoseconds.
    pub recovery_ns: u64,
    pub journal_bytes: u64,
    pub segment_bytes: u64,
    /// Bytes of blocks that are in no segment.
    pub carried_bytes: u64,
    /// The first [`STREAMS_MAX`] streams, and the others together under the name `(others)`.
    pub per_stream: Vec<StreamFigures>,
}

/// Streams that have figures of their own on `/metrics`.
pub const STREAMS_MAX: usize = 256;

/// Figures of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named after the keys of the page")]
pub struct StreamFigures {
    pub account: String,
    pub name: String,
    pub messages: u64,
    pub bytes: u64,
    pub last_seq: u64,
    pub subjects: u64,
    pub consumers: u64,
}

/// The server's own configuration of JetStream.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the fields are named after the keys of the page")]
pub struct JetStreamConfig {
    pub max_memory: i64,
    pub max_storage: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub store_dir: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub sync_interval: i64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sync_always: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// One account.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are named after the keys of the page")]
pub struct AccountDetail {
    pub name: String,
    pub id: String,
    pub memory: u64,
    pub storage: u64,
    pub reserved_memory: u64,
    pub reserved_storage: u64,
    pub accounts: u64,
    pub ha_assets: u64,
    pub api: ApiFigures,
    /// Streams, if they were asked for, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_detail: Option<Box<RawValue>>,
}

/// Requests to the API.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the fields are named after the keys of the page")]
pub struct ApiFigures {
    pub level: u64,
    pub total: u64,
    pub errors: u64,
}

#[derive(Debug, Serialize)]
struct Limits {
    default_max_consumers: u64,
}

const LIMITS: Limits = Limits { default_max_consumers: 1000 };

#[derive(Debug, Serialize)]
struct Stats {
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    accounts: u64,
    ha_assets: u64,
    api: ApiFigures,
}

impl Stats {
    fn of(snapshot: Option<&JetStreamSnapshot>) -> Self {
        let nothing = JetStreamSnapshot::default();
        let given = snapshot.unwrap_or(&nothing);
        Self {
            memory: given.memory,
            storage: given.storage,
            reserved_memory: given.reserved_memory,
            reserved_storage: given.reserved_storage,
            accounts: given.accounts,
            ha_assets: 0,
            api: ApiFigures {
                level: if snapshot.is_some() { API_LEVEL } else { 0 },
                total: given.api_total,
                errors: given.api_errors,
            },
        }
    }
}

/// The level of the API that INFO announces.
const API_LEVEL: u64 = 5;

#[derive(Debug, Serialize)]
pub(super) struct Jsz<'a> {
    #[serde(flatten)]
    stats: Stats,
    server_id: &'a str,
    now: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disabled: bool,
    config: JetStreamConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    streams: u64,
    consumers: u64,
    messages: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    account_details: Vec<AccountDetail>,
    total: usize,
}

/// What `/jsz` asks of the shard, and its page.
pub(super) fn jsz_ask(query: &Query) -> Result<(JetStreamAsk, usize, usize), BadRequest> {
    for switch in ["direct-consumers", "leader-only", "stream-leader-only", "raft"] {
        query.boolean(switch)?;
    }
    let (streams, consumers) = (query.boolean("streams")?, query.boolean("consumers")?);
    let account = query.text("acc").to_owned();
    let accounts = query.boolean("accounts")? || streams || consumers || !account.is_empty();
    let config = query.boolean("config")?;
    let page = query.page()?;
    let streams = streams || consumers;
    Ok((JetStreamAsk { accounts, account, streams, consumers, config }, page.offset, page.limit))
}

/// `/jsz`; without a snapshot JetStream is off.
pub(super) fn jsz(
    facts: &ServerFacts,
    snapshot: Option<JetStreamSnapshot>,
    offset: usize,
    limit: usize,
    now: u64,
) -> Jsz<'_> {
    let stats = Stats::of(snapshot.as_ref());
    let disabled = snapshot.is_none();
    let mut given = snapshot.unwrap_or_default();
    let total = if disabled { 0 } else { usize::try_from(given.accounts).unwrap_or(0) };
    let limit = if limit == 0 { LIMIT_DEFAULT } else { limit };
    let details: Vec<AccountDetail> =
        std::mem::take(&mut given.details).into_iter().skip(offset).take(limit).collect();
    Jsz {
        stats,
        server_id: &facts.server_id,
        now: rfc3339(now),
        disabled,
        config: given.config,
        limits: (!disabled).then_some(LIMITS),
        streams: given.streams,
        consumers: given.consumers,
        messages: given.messages,
        bytes: given.bytes,
        account_details: details,
        total,
    }
}

/// Accounts of a page when nobody says how many.
const LIMIT_DEFAULT: usize = 1024;

/// What `/varz` says.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum VarzJetStream {
    Off(NoLimitsShown),
    On { config: JetStreamConfig, stats: StatsShown, limits: LimitsShown },
}

/// `{}`.
#[derive(Debug, Default, Serialize)]
pub(super) struct NoLimitsShown {}

#[derive(Debug, Serialize)]
pub(super) struct StatsShown(Stats);

#[derive(Debug, Serialize)]
pub(super) struct LimitsShown(Limits);

/// The part of the figures in the system account: where the store lies is not told there.
pub(super) fn statsz_jetstream(snapshot: &JetStreamSnapshot) -> VarzJetStream {
    let config = JetStreamConfig { store_dir: String::new(), ..snapshot.config.clone() };
    VarzJetStream::On {
        config,
        stats: StatsShown(Stats::of(Some(snapshot))),
        limits: LimitsShown(LIMITS),
    }
}

/// The part of `/varz`.
pub(super) fn varz_jetstream(snapshot: Option<&JetStreamSnapshot>) -> VarzJetStream {
    match snapshot {
        None => VarzJetStream::Off(NoLimitsShown {}),
        Some(given) => VarzJetStream::On {
            config: given.config.clone(),
            stats: StatsShown(Stats::of(Some(given))),
            limits: LimitsShown(LIMITS),
        },
    }
}
