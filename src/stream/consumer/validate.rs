//! What a consumer's configuration must be: values that are filled in, then the checks, in the
//! order in which nats-server makes them.

use super::config::{AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy};
use crate::stream::patterns::overlap;
use crate::stream::time::format_duration;
use crate::stream::{ApiError, JetStreamLimits, Retention, ServerLimits, StreamConfig};
use crate::subject::{has_wildcard, is_valid_pattern, is_valid_subject};

/// What a configuration is checked against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    /// The stream.
    pub(super) stream: &'a StreamConfig,
    /// Its account's limits.
    pub(super) account: &'a JetStreamLimits,
    /// The server's limits.
    pub(super) server: &'a ServerLimits,
    /// Values are refused rather than put right.
    pub(super) pedantic: bool,
}

/// Fills in what was left out, and puts right what cannot be meant.
pub(super) fn fill_in(
    config: &mut ConsumerConfig,
    around: &Surroundings<'_>,
) -> Result<(), ApiError> {
    for key in ["_nats.req.level", "_nats.ver", "_nats.level"] {
        config.metadata.remove(key);
    }
    let pedantic = |complaint: &str| -> Result<(), ApiError> {
        if around.pedantic {
            return Err(ApiError::PEDANTIC.with(complaint));
        }
        Ok(())
    };
    if config.max_deliver == 0 || config.max_deliver < -1 {
        if config.max_deliver < -1 {
            pedantic("max_deliver must be set to -1")?;
        }
        config.max_deliver = -1;
    }
    if config.max_waiting < 0 {
        pedantic("max_waiting must not be negative")?;
        config.max_waiting = 0;
    }
    if !config.is_push() && config.max_waiting == 0 {
        config.max_waiting = MAX_WAITING;
    }
    if config.max_ack_pending < -1 {
        pedantic("max_ack_pending must be set to -1")?;
        config.max_ack_pending = -1;
    }
    for (value, complaint) in [
        (&mut config.max_batch, "max_batch must not be negative"),
        (&mut config.max_expires, "max_expires must not be negative"),
        (&mut config.max_bytes, "max_bytes must not be negative"),
        (&mut config.idle_heartbeat, "idle_heartbeat must not be negative"),
        (&mut config.inactive_threshold, "inactive_threshold must not be negative"),
        (&mut config.priority_timeout, "priority_timeout must not be negative"),
    ] {
        if *value < 0 {
            pedantic(complaint)?;
            *value = 0;
        }
    }
    if let Some(first) = config.backoff.first() {
        if *first != config.ack_wait {
            pedantic("first backoff value has to equal batch AckWait")?;
        }
        config.ack_wait = *first;
    } else if config.ack_wait == 0
        && matches!(config.ack_policy, AckPolicy::Explicit | AckPolicy::All)
    {
        config.ack_wait = ACK_WAIT;
    }
    if config.ack_policy == AckPolicy::FlowControl && config.is_push() && !around.pedantic {
        config.flow_control = true;
        config.idle_heartbeat = FLOW_CONTROL_HEARTBEAT;
    }
    fill_in_limits(config, around)?;
    if config.priority_policy == PriorityPolicy::PinnedClient && config.priority_timeout == 0 {
        config.priority_timeout = PIN_TIMEOUT;
    }
    config.metadata.insert(String::from("_nats.req.level"), config.required_level().to_string());
    Ok(())
}

fn fill_in_limits(config: &mut ConsumerConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    let limits = &around.stream.consumer_limits;
    if config.max_ack_pending == 0 && limits.max_ack_pending > 0 {
        if around.pedantic {
            let text = "max_ack_pending must be set if it's configured in stream limits";
            return Err(ApiError::PEDANTIC.with(text));
        }
        config.max_ack_pending = limits.max_ack_pending;
    }
    if config.inactive_threshold == 0 && limits.inactive_threshold > 0 {
        if around.pedantic {
            let text = "inactive_threshold must be set if it's configured in stream limits";
            return Err(ApiError::PEDANTIC.with(text));
        }
        config.inactive_threshold = limits.inactive_threshold;
    }
    if config.max_ack_pending == 0 && config.ack_policy != AckPolicy::None {
        let bounds = [around.server.max_ack_pending, around.account.max_ack_pending];
        let lowest = bounds.into_iter().filter(|bound| *bound > 0).min();
        config.max_ack_pending = lowest.map_or(MAX_ACK_PENDING, |bound| bound.min(MAX_ACK_PENDING));
    }
    if config.max_batch == 0 && around.server.max_request_batch > 0 && !config.is_push() {
        if around.pedantic {
            let text = "max_request_batch must be set if it's JetStream limits are set";
            return Err(ApiError::PEDANTIC.with(text));
        }
        config.max_batch = around.server.max_request_batch;
    }
    Ok(())
}

/// Checks a configuration that [`fill_in`] has been at.
pub(super) fn check(config: &ConsumerConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    if !config.name.is_empty() && !is_valid_name(&config.name) {
        let text = "consumer name can not contain '.', '*', '>', '\\', '/'";
        return Err(ApiError::STREAM_INVALID_CONFIG.with(text));
    }
    if config.num_replicas > around.stream.num_replicas.max(1) {
        return Err(ApiError::CONSUMER_REPLICAS_EXCEEDS_STREAM);
    }
    if config.num_replicas < 0 {
        return Err(ApiError::REPLICAS_COUNT_CANNOT_BE_NEGATIVE);
    }
    check_acks(config)?;
    if config.description.len() > DESCRIPTION_MAX {
        return Err(ApiError::CONSUMER_DESCRIPTION_TOO_LONG.with(DESCRIPTION_MAX.to_string()));
    }
    if config.is_push() {
        check_push(config, around.stream)?;
    } else {
        check_pull(config, around)?;
    }
    check_limits(config, around)?;
    if config.direct {
        if !config.is_push() {
            return Err(ApiError::CONSUMER_DIRECT_REQUIRES_PUSH);
        }
        if !config.durable_name.is_empty() {
            return Err(ApiError::CONSUMER_DIRECT_REQUIRES_EPHEMERAL);
        }
    }
    check_filters(config)?;
    check_start(config)?;
    sampling(config)?;
    if config.flow_control && config.idle_heartbeat == 0 {
        return Err(ApiError::CONSUMER_WITH_FLOW_CONTROL_NEEDS_HEARTBEATS);
    }
    if !config.durable_name.is_empty() && config.durable_name != config.name {
        return Err(ApiError::CONSUMER_CREATE_DURABLE_AND_NAME_MISMATCH);
    }
    let metadata: usize = config.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if metadata > METADATA_MAX {
        return Err(ApiError::CONSUMER_METADATA_LENGTH.with("128KB"));
    }
    check_priority(config)
}

fn check_acks(config: &ConsumerConfig) -> Result<(), ApiError> {
    if config.backoff.iter().any(|wait| *wait < 0) {
        return Err(ApiError::CONSUMER_BACK_OFF_NEGATIVE);
    }
    if config.ack_wait < 0 {
        return Err(ApiError::CONSUMER_ACK_WAIT_NEGATIVE);
    }
    if config.ack_policy == AckPolicy::FlowControl {
        if !config.is_push() {
            return Err(ApiError::CONSUMER_ACK_FC_REQUIRES_PUSH);
        }
        if !config.flow_control {
            return Err(ApiError::CONSUMER_ACK_FC_REQUIRES_FC);
        }
        if config.idle_heartbeat != FLOW_CONTROL_HEARTBEAT {
            let text = "flow control ack policy heartbeat needs to be 1s";
            return Err(ApiError::STREAM_INVALID_CONFIG.with(text));
        }
        if config.max_ack_pending <= 0 {
            return Err(ApiError::CONSUMER_ACK_FC_REQUIRES_MAX_ACK_PENDING);
        }
        if config.ack_wait != 0 || !config.backoff.is_empty() {
            return Err(ApiError::CONSUMER_ACK_FC_REQUIRES_NO_ACK_WAIT);
        }
        if config.max_deliver > 0 {
            return Err(ApiError::CONSUMER_ACK_FC_REQUIRES_NO_MAX_DELIVER);
        }
    }
    let waits = i64::try_from(config.backoff.len()).unwrap_or(i64::MAX);
    if waits > 0 && config.max_deliver != -1 && waits > config.max_deliver {
        return Err(ApiError::CONSUMER_MAX_DELIVER_BACKOFF);
    }
    Ok(())
}

fn check_push(config: &ConsumerConfig, stream: &StreamConfig) -> Result<(), ApiError> {
    let subject = config.deliver_subject.as_bytes();
    if has_wildcard(subject) {
        return Err(ApiError::CONSUMER_DELIVER_TO_WILDCARDS);
    }
    if !is_valid_subject(subject) {
        return Err(ApiError::CONSUMER_INVALID_DELIVER_SUBJECT);
    }
    if stream.subjects.iter().any(|own| overlap(own.as_bytes(), subject)) {
        return Err(ApiError::CONSUMER_DELIVER_CYCLE);
    }
    if config.max_waiting != 0 {
        return Err(ApiError::CONSUMER_PUSH_MAX_WAITING);
    }
    if config.max_ack_pending > 0
        && config.ack_policy == AckPolicy::None
        && stream.consumer_limits.max_ack_pending == 0
    {
        return Err(ApiError::CONSUMER_MAX_PENDING_ACK_POLICY_REQUIRED);
    }
    if config.idle_heartbeat > 0 && config.idle_heartbeat < HEARTBEAT_MIN {
        return Err(ApiError::CONSUMER_SMALL_HEARTBEAT);
    }
    Ok(())
}

fn check_pull(config: &ConsumerConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    if config.ack_policy == AckPolicy::None && around.stream.retention == Retention::WorkQueue {
        return Err(ApiError::CONSUMER_PULL_REQUIRES_ACK);
    }
    if config.rate_limit_bps > 0 {
        return Err(ApiError::CONSUMER_PULL_WITH_RATE_LIMIT);
    }
    if config.idle_heartbeat > 0 {
        return Err(ApiError::CONSUMER_HB_REQUIRES_PUSH);
    }
    if config.flow_control {
        return Err(ApiError::CONSUMER_FC_REQUIRES_PUSH);
    }
    if config.max_expires > 0 && config.max_expires < EXPIRES_MIN {
        return Err(ApiError::CONSUMER_MAX_REQUEST_EXPIRES_TOO_SMALL);
    }
    let batch_max = around.server.max_request_batch;
    if batch_max > 0 && config.max_batch > batch_max {
        return Err(ApiError::CONSUMER_MAX_REQUEST_BATCH_EXCEEDED.with(batch_max.to_string()));
    }
    Ok(())
}

fn check_limits(config: &ConsumerConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    let limits = &around.stream.consumer_limits;
    let bounds =
        [around.server.max_ack_pending, around.account.max_ack_pending, limits.max_ack_pending];
    for bound in bounds {
        if bound > 0 && config.max_ack_pending > bound {
            return Err(ApiError::CONSUMER_MAX_PENDING_ACK_EXCESS.with(bound.to_string()));
        }
    }
    if limits.inactive_threshold > 0 && config.inactive_threshold > limits.inactive_threshold {
        let limit = format_duration(limits.inactive_threshold);
        return Err(ApiError::CONSUMER_INACTIVE_THRESHOLD_EXCESS.with(limit));
    }
    Ok(())
}

fn check_filters(config: &ConsumerConfig) -> Result<(), ApiError> {
    if !config.filter_subject.is_empty() && !config.filter_subjects.is_empty() {
        return Err(ApiError::CONSUMER_DUPLICATE_FILTER_SUBJECTS);
    }
    if config.filter_subjects.iter().any(String::is_empty) {
        return Err(ApiError::CONSUMER_EMPTY_FILTER);
    }
    if config.filters().any(|filter| !is_valid_pattern(filter.as_bytes())) {
        return Err(ApiError::STREAM_INVALID_CONFIG.with("invalid subject"));
    }
    for (at, filter) in config.filter_subjects.iter().enumerate() {
        let mut others = config.filter_subjects.iter().skip(at + 1);
        if others.any(|other| overlap(filter.as_bytes(), other.as_bytes())) {
            return Err(ApiError::CONSUMER_OVERLAPPING_SUBJECT_FILTERS);
        }
    }
    Ok(())
}

fn check_start(config: &ConsumerConfig) -> Result<(), ApiError> {
    let has_seq = config.opt_start_seq > 0;
    let has_time = config.opt_start_time.is_some();
    let policy = match config.deliver_policy {
        DeliverPolicy::All => "all",
        DeliverPolicy::Last => "last",
        DeliverPolicy::LastPerSubject => "last per subject",
        DeliverPolicy::New => "new",
        DeliverPolicy::ByStartSequence => "by start sequence",
        DeliverPolicy::ByStartTime => "by start time",
    };
    let complain = |rest: &str| {
        let text = format!("consumer delivery policy is deliver {policy}, but optional {rest}");
        Err(ApiError::CONSUMER_INVALID_POLICY.with(text))
    };
    match config.deliver_policy {
        DeliverPolicy::ByStartSequence if !has_seq => complain("start sequence is not set"),
        DeliverPolicy::ByStartSequence if has_time => complain("start time is also set"),
        DeliverPolicy::ByStartTime if !has_time => complain("start time is not set"),
        // The word is said twice there.
        DeliverPolicy::ByStartTime if has_seq => complain("start start sequence is also set"),
        DeliverPolicy::ByStartSequence | DeliverPolicy::ByStartTime => Ok(()),
        _ if has_seq => complain("start sequence is also set"),
        _ if has_time => complain("start time is also set"),
        DeliverPolicy::LastPerSubject if config.filters().next().is_none() => {
            complain("filter subject is not set")
        }
        _ => Ok(()),
    }
}

/// Of a hundred acks, how many are reported.
pub(super) fn sampling(config: &ConsumerConfig) -> Result<u64, ApiError> {
    let text = config.sample_freq.as_str();
    if text.is_empty() {
        return Ok(0);
    }
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.parse::<i64>() {
        Ok(percent) if percent >= 0 => Ok(percent.unsigned_abs()),
        Ok(_) => Err(ApiError::CONSUMER_INVALID_SAMPLING.with("<nil>")),
        Err(_) => {
            let complaint = format!("strconv.Atoi: parsing {number:?}: invalid syntax");
            Err(ApiError::CONSUMER_INVALID_SAMPLING.with(complaint))
        }
    }
}

fn check_priority(config: &ConsumerConfig) -> Result<(), ApiError> {
    if config.priority_policy == PriorityPolicy::None {
        if !config.priority_groups.is_empty() {
            return Err(ApiError::CONSUMER_PRIORITY_GROUP_WITH_POLICY_NONE);
        }
        if config.priority_timeout > 0 {
            return Err(ApiError::CONSUMER_PINNED_TTL_WITHOUT_PRIORITY_POLICY_NONE);
        }
        return Ok(());
    }
    if config.is_push() {
        return Err(ApiError::CONSUMER_PUSH_WITH_PRIORITY_GROUP);
    }
    if config.priority_groups.is_empty() {
        return Err(ApiError::CONSUMER_PRIORITY_POLICY_WITHOUT_GROUP);
    }
    for group in &config.priority_groups {
        if group.is_empty() {
            return Err(ApiError::CONSUMER_EMPTY_GROUP_NAME);
        }
        if !is_valid_group(group) {
            return Err(ApiError::CONSUMER_INVALID_GROUP_NAME);
        }
    }
    Ok(())
}

/// Whether `next` may take the place of `current`.
pub(super) fn check_update(
    current: &ConsumerConfig,
    next: &ConsumerConfig,
) -> Result<(), ApiError> {
    let refusals = [
        (current.deliver_policy != next.deliver_policy, "deliver policy can not be updated"),
        (current.mem_storage != next.mem_storage, "storage type can not be updated"),
        (current.direct != next.direct, "direct can not be updated"),
        (current.sourcing != next.sourcing, "sourcing can not be updated"),
        (current.opt_start_seq != next.opt_start_seq, "start sequence can not be updated"),
        (current.opt_start_time != next.opt_start_time, "start time can not be updated"),
        (current.ack_policy != next.ack_policy, "ack policy can not be updated"),
        (current.replay_policy != next.replay_policy, "replay policy can not be updated"),
        (current.idle_heartbeat != next.idle_heartbeat, "heart beats can not be updated"),
        (current.flow_control != next.flow_control, "flow control can not be updated"),
        (!current.is_push() && next.is_push(), "can not update pull consumer to push based"),
        (current.is_push() && !next.is_push(), "can not update push consumer to pull based"),
        (current.max_waiting != next.max_waiting, "max waiting can not be updated"),
    ];
    match refusals.into_iter().find(|(refused, _)| *refused) {
        Some((_, text)) => Err(ApiError::CONSUMER_CREATE.with(text)),
        None => Ok(()),
    }
}

/// Whether it may be a consumer's name.
pub(super) fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
        && !name.bytes().any(|byte| {
            matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0c | b'.' | b'*' | b'>' | b'/' | b'\\')
        })
}

/// Whether it may be the name of a priority group.
pub(super) fn is_valid_group(group: &str) -> bool {
    (1..=GROUP_MAX).contains(&group.len())
        && group.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_=-".contains(&byte))
}

/// Time an ephemeral consumer is kept without use, if nothing else is said.
pub(super) const INACTIVE_THRESHOLD: i64 = 5_000_000_000;

/// Bytes a durable name may have.
pub(super) const NAME_MAX: usize = 255;

const MAX_WAITING: i64 = 512;
const MAX_ACK_PENDING: i64 = 1000;
const ACK_WAIT: i64 = 30_000_000_000;
const FLOW_CONTROL_HEARTBEAT: i64 = 1_000_000_000;
const HEARTBEAT_MIN: i64 = 100_000_000;
const EXPIRES_MIN: i64 = 1_000_000;
const PIN_TIMEOUT: i64 = 120_000_000_000;
const DESCRIPTION_MAX: usize = 4096;
const METADATA_MAX: usize = 128 << 10;
const GROUP_MAX: usize = 16;
