//! What a stream's configuration must be: the checks of nats-server in its order, with its words,
//! and the values it puts right in silence.

use super::config::{
    Discard, PersistMode, Placement, Retention, StreamConfig, StreamSource, SubjectMapping,
};
use super::patterns::{is_subset, overlap};
use super::time::format_duration;
use super::view::{JetStreamLimits, ServerLimits};
use super::ApiError;
use crate::store::StorageKind;
use crate::subject::{has_wildcard, is_valid_pattern, is_valid_subject, Transform};

/// What a configuration is checked against.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    /// The server's limits.
    pub(super) server: &'a ServerLimits,
    /// The account's limits.
    pub(super) account: &'a JetStreamLimits,
    /// Values are refused rather than put right.
    pub(super) pedantic: bool,
    /// The other streams of the account by name.
    pub(super) origin: &'a dyn Fn(&str) -> Option<&'a StreamConfig>,
}

/// Checks a configuration and completes it.
pub(super) fn check(config: &mut StreamConfig, rules: &Rules<'_>) -> Result<(), ApiError> {
    check_texts(config)?;
    check_numbers(config, rules)?;
    check_duplicate_window(config, rules)?;
    check_flags(config, rules)?;
    if let Some(mirror) = config.mirror.clone() {
        check_mirror(config, &mirror, rules)?;
    }
    check_sources(config, rules)?;
    check_cycle(config, rules)?;
    check_subjects(config)?;
    check_account(config, rules)?;
    check_transforms(config, rules)?;
    check_placement(config)
}

/// Whether a stream or consumer may have this name.
pub(super) fn is_valid_name(name: &str) -> bool {
    !name.is_empty() && !name.bytes().any(|byte| b" \t\r\n\x0c.*>/\\".contains(&byte))
}

/// The level of the API that the configuration's features need.
pub(super) fn required_level(config: &StreamConfig) -> u64 {
    if config.allow_batched {
        4
    } else if config.allow_msg_counter
        || config.allow_atomic
        || config.allow_msg_schedules
        || config.persist_mode == PersistMode::Async
    {
        2
    } else {
        u64::from(config.allow_msg_ttl || config.subject_delete_marker_ttl > 0)
    }
}

/// Sets the metadata that is stored, and removes what only replies carry.
pub(super) fn set_metadata(config: &mut StreamConfig) {
    config.metadata.retain(|key, _| !is_reserved_key(key));
    let level = required_level(config).to_string();
    config.metadata.insert(String::from("_nats.req.level"), level);
}

/// Whether two configurations are the same but for what the server adds.
pub(super) fn is_same(a: &StreamConfig, b: &StreamConfig) -> bool {
    let strip = |config: &StreamConfig| {
        let mut config = config.clone();
        config.metadata.retain(|key, _| !is_reserved_key(key));
        config
    };
    strip(a) == strip(b)
}

fn is_reserved_key(key: &str) -> bool {
    ["_nats.level", "_nats.ver", "_nats.req.level"].contains(&key)
}

pub(super) fn invalid(text: impl AsRef<str>) -> ApiError {
    ApiError::STREAM_INVALID_CONFIG.with(text)
}

fn pedantic(text: &str) -> ApiError {
    ApiError::PEDANTIC.with(text)
}

fn check_texts(config: &StreamConfig) -> Result<(), ApiError> {
    if !is_valid_name(&config.name) {
        return Err(invalid(
            "stream name is required and can not contain '.', '*', '>', '\\', '/'",
        ));
    }
    if config.name.len() > NAME_LEN_MAX {
        return Err(invalid("stream name is too long, maximum allowed is 255"));
    }
    if config.description.len() > DESCRIPTION_LEN_MAX {
        return Err(invalid("stream description is too long, maximum allowed is 4096"));
    }
    let bytes: usize = config.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > METADATA_BYTES_MAX {
        return Err(invalid("stream metadata exceeds maximum size of 131072 bytes"));
    }
    Ok(())
}

fn check_numbers(config: &mut StreamConfig, rules: &Rules<'_>) -> Result<(), ApiError> {
    if config.num_replicas > REPLICAS_MAX {
        return Err(invalid("maximum replicas is 5"));
    }
    if config.num_replicas < 0 {
        return Err(ApiError::REPLICAS_COUNT_CANNOT_BE_NEGATIVE);
    }
    if config.num_replicas == 0 {
        config.num_replicas = 1;
    }
    let mut size = i64::from(config.max_msg_size);
    for (limit, name) in [
        (&mut config.max_msgs, "max_msgs"),
        (&mut config.max_msgs_per_subject, "max_msgs_per_subject"),
        (&mut config.max_bytes, "max_bytes"),
        (&mut size, "max_msg_size"),
        (&mut config.max_consumers, "max_consumers"),
    ] {
        if *limit < -1 && rules.pedantic {
            return Err(pedantic(&format!("{name} must be set to -1")));
        }
        if *limit <= 0 {
            *limit = -1;
        }
    }
    config.max_msg_size = i32::try_from(size).unwrap_or(-1);
    if config.max_age < 0 {
        return Err(invalid("max age can not be negative"));
    }
    if config.max_age != 0 && config.max_age < MILLIS_100 {
        return Err(invalid("max age needs to be >= 100ms"));
    }
    Ok(())
}

fn check_duplicate_window(config: &mut StreamConfig, rules: &Rules<'_>) -> Result<(), ApiError> {
    let limit = rules.server.duplicate_window;
    if config.duplicate_window == 0 && !config.is_fed() {
        let mut window = WINDOW_DEFAULT;
        if limit > 0 && window > limit {
            if rules.pedantic {
                return Err(pedantic("duplicate window limits are higher than current limits"));
            }
            window = limit;
        }
        if config.max_age != 0 && config.max_age < window {
            if rules.pedantic {
                return Err(pedantic("duplicate window cannot be bigger than max age"));
            }
            window = config.max_age;
        }
        config.duplicate_window = window;
    }
    let window = config.duplicate_window;
    if window < 0 {
        return Err(invalid("duplicates window can not be negative"));
    }
    if config.max_age != 0 && window > config.max_age {
        return Err(invalid("duplicates window can not be larger then max age"));
    }
    if limit > 0 && window > limit {
        let limit = format_duration(limit);
        return Err(invalid(format!(
            "duplicates window can not be larger then server limit of {limit}"
        )));
    }
    if window != 0 && window < MILLIS_100 {
        return Err(invalid("duplicates window needs to be >= 100ms"));
    }
    Ok(())
}

fn check_flags(config: &mut StreamConfig, rules: &Rules<'_>) -> Result<(), ApiError> {
    if config.deny_purge && config.allow_rollup_hdrs {
        return Err(invalid("roll-ups require the purge permission"));
    }
    if config.allow_msg_counter {
        if config.discard == Discard::New {
            return Err(invalid("counter stream cannot use discard new"));
        }
        if config.allow_msg_ttl {
            return Err(invalid("counter stream cannot use message TTLs"));
        }
        if config.allow_msg_schedules {
            return Err(invalid("counter stream cannot use message schedules"));
        }
        if config.retention != Retention::Limits {
            return Err(invalid("counter stream can only use limits retention"));
        }
    }
    if config.discard_new_per_subject {
        if config.discard != Discard::New {
            return Err(invalid("discard new per subject requires discard new policy to be set"));
        }
        if config.max_msgs_per_subject <= 0 {
            return Err(invalid("discard new per subject requires max msgs per subject > 0"));
        }
    }
    check_markers(config, rules)?;
    if config.allow_msg_schedules {
        if config.discard == Discard::New {
            return Err(invalid("message scheduling cannot use discard new"));
        }
        if !config.allow_rollup_hdrs {
            if rules.pedantic {
                return Err(invalid("message scheduling cannot be set if roll-ups are disabled"));
            }
            config.allow_rollup_hdrs = true;
        }
        config.deny_purge = false;
    }
    if config.persist_mode == PersistMode::Async {
        if config.storage != StorageKind::File {
            return Err(invalid("async persist mode is only supported on file storage"));
        }
        if config.num_replicas > 1 {
            return Err(invalid("async persist mode is not supported on replicated streams"));
        }
        if config.allow_atomic {
            return Err(invalid("async persist mode is not supported with atomic batch publish"));
        }
    }
    Ok(())
}

fn check_markers(config: &mut StreamConfig, rules: &Rules<'_>) -> Result<(), ApiError> {
    let ttl = config.subject_delete_marker_ttl;
    if ttl < 0 {
        return Err(invalid("subject delete marker TTL must not be negative"));
    }
    if ttl == 0 {
        return Ok(());
    }
    if ttl < SECOND {
        return Err(invalid("subject delete marker TTL must be at least 1 second"));
    }
    if config.mirror.is_some() {
        // Refused among the checks of mirrors.
        return Ok(());
    }
    if rules.pedantic && !config.allow_msg_ttl {
        return Err(invalid("subject delete marker cannot be set if message TTLs are disabled"));
    }
    if rules.pedantic && !config.allow_rollup_hdrs {
        return Err(invalid("subject delete marker cannot be set if roll-ups are disabled"));
    }
    config.allow_msg_ttl = true;
    config.allow_rollup_hdrs = true;
    config.deny_purge = false;
    Ok(())
}

fn check_mirror(
    config: &mut StreamConfig,
    mirror: &StreamSource,
    rules: &Rules<'_>,
) -> Result<(), ApiError> {
    if config.first_seq > 0 {
        return Err(ApiError::MIRROR_WITH_FIRST_SEQ);
    }
    if !config.subjects.is_empty() {
        return Err(ApiError::MIRROR_WITH_SUBJECTS);
    }
    if !config.sources.is_empty() {
        return Err(ApiError::MIRROR_WITH_SOURCES);
    }
    if config.allow_msg_counter {
        return Err(ApiError::MIRROR_WITH_COUNTERS);
    }
    if config.allow_atomic {
        return Err(ApiError::MIRROR_WITH_ATOMIC_PUBLISH);
    }
    if config.allow_batched {
        return Err(ApiError::MIRROR_WITH_BATCH_PUBLISH);
    }
    if config.allow_msg_schedules {
        return Err(ApiError::MIRROR_WITH_MSG_SCHEDULES);
    }
    if !is_valid_source_consumer(mirror) {
        return Err(ApiError::MIRROR_DURABLE_CONSUMER_CFG_INVALID);
    }
    if !mirror.filter_subject.is_empty() && !mirror.subject_transforms.is_empty() {
        return Err(ApiError::MIRROR_MULTIPLE_FILTERS_NOT_ALLOWED);
    }
    if config.subject_delete_marker_ttl > 0 {
        return Err(invalid("subject delete markers forbidden on mirrors"));
    }
    for mapping in &mirror.subject_transforms {
        check_mapping(
            mapping,
            &ApiError::MIRROR_INVALID_SUBJECT_FILTER,
            &ApiError::MIRROR_INVALID_TRANSFORM_DESTINATION,
        )?;
    }
    if sources_overlap(&mirror.subject_transforms) {
        return Err(ApiError::MIRROR_OVERLAPPING_SUBJECT_FILTERS);
    }
    if !is_valid_name(&mirror.name) {
        return Err(ApiError::MIRROR_INVALID_STREAM_NAME);
    }
    if mirror.external.is_some() {
        return check_external(config, mirror);
    }
    let Some(origin) = (rules.origin)(&mirror.name) else { return Ok(()) };
    if config.max_msg_size > 0
        && origin.max_msg_size > 0
        && config.max_msg_size < origin.max_msg_size
    {
        return Err(ApiError::MIRROR_MAX_MESSAGE_SIZE_TOO_BIG);
    }
    if !config.mirror_direct && origin.allow_direct && rules.pedantic {
        return Err(pedantic("origin stream has direct get set, mirror has it disabled"));
    }
    // Whatever was asked for.
    config.mirror_direct = origin.allow_direct;
    Ok(())
}

fn check_sources(config: &StreamConfig, rules: &Rules<'_>) -> Result<(), ApiError> {
    if !config.sources.is_empty() && config.allow_msg_schedules {
        return Err(ApiError::SOURCE_WITH_MSG_SCHEDULES);
    }
    for (index, source) in config.sources.iter().enumerate() {
        if !is_valid_name(&source.name) {
            return Err(ApiError::SOURCE_INVALID_STREAM_NAME);
        }
        if config.sources.iter().take(index).any(|other| is_same_source(other, source)) {
            return Err(ApiError::SOURCE_DUPLICATE_DETECTED);
        }
        if !source.filter_subject.is_empty() && !source.subject_transforms.is_empty() {
            return Err(ApiError::SOURCE_MULTIPLE_FILTERS_NOT_ALLOWED);
        }
        for mapping in &source.subject_transforms {
            check_mapping(
                mapping,
                &ApiError::SOURCE_INVALID_SUBJECT_FILTER,
                &ApiError::SOURCE_INVALID_TRANSFORM_DESTINATION,
            )?;
        }
        if sources_overlap(&source.subject_transforms) {
            return Err(ApiError::SOURCE_OVERLAPPING_SUBJECT_FILTERS);
        }
        if !is_valid_source_consumer(source) {
            return Err(ApiError::SOURCE_DURABLE_CONSUMER_CFG_INVALID);
        }
        let is_taken = |other: &&StreamSource| {
            other.name == source.name
                && source.consumer.is_some()
                && other.consumer == source.consumer
        };
        if config.sources.iter().take(index).any(|other| is_taken(&other)) {
            return Err(ApiError::SOURCE_DURABLE_CONSUMER_DUPLICATE_DETECTED);
        }
        if source.external.is_some() {
            check_external(config, source)?;
        } else if let Some(origin) = (rules.origin)(&source.name) {
            if config.max_msg_size > 0
                && origin.max_msg_size > 0
                && config.max_msg_size < origin.max_msg_size
            {
                return Err(ApiError::SOURCE_MAX_MESSAGE_SIZE_TOO_BIG);
            }
        }
    }
    Ok(())
}

fn is_same_source(a: &StreamSource, b: &StreamSource) -> bool {
    let api = |source: &StreamSource| source.external.as_ref().map(|e| e.api.clone());
    a.name == b.name
        && api(a) == api(b)
        && a.consumer == b.consumer
        && a.filter_subject == b.filter_subject
        && a.subject_transforms == b.subject_transforms
}

fn is_valid_source_consumer(source: &StreamSource) -> bool {
    let Some(consumer) = &source.consumer else { return true };
    is_valid_name(&consumer.name)
        && is_valid_pattern(consumer.deliver_subject.as_bytes())
        && !has_wildcard(consumer.deliver_subject.as_bytes())
        && source.opt_start_seq == 0
        && source.opt_start_time.is_none()
        && source.filter_subject.is_empty()
}

fn check_mapping(
    mapping: &SubjectMapping,
    bad_source: &ApiError,
    bad_destination: &ApiError,
) -> Result<(), ApiError> {
    if !mapping.src.is_empty() && !is_valid_pattern(mapping.src.as_bytes()) {
        return Err(bad_source.with(format!("invalid subject {}", mapping.src)));
    }
    if mapping.dest.is_empty() {
        return Ok(());
    }
    match Transform::new(&mapping.src, &mapping.dest) {
        Ok(_) => Ok(()),
        Err(error) => Err(bad_destination.with(error.to_string())),
    }
}

fn sources_overlap(mappings: &[SubjectMapping]) -> bool {
    mappings.iter().enumerate().any(|(index, mapping)| {
        let others = mappings.iter().skip(index + 1);
        others.into_iter().any(|other| overlap(mapping.src.as_bytes(), other.src.as_bytes()))
    })
}

fn check_external(config: &StreamConfig, source: &StreamSource) -> Result<(), ApiError> {
    let Some(external) = &source.external else { return Ok(()) };
    let deliver = external.deliver.as_bytes();
    if !deliver.is_empty() {
        if has_wildcard(deliver) {
            return Err(ApiError::STREAM_INVALID_EXTERNAL_DELIVERY_SUBJ.with(&external.deliver));
        }
        for subject in &config.subjects {
            let prefix = [deliver, b".>"].concat();
            if overlap(subject.as_bytes(), &prefix) || overlap(subject.as_bytes(), deliver) {
                return Err(ApiError::STREAM_EXTERNAL_DEL_PREFIX_OVERLAPS
                    .with(&external.deliver)
                    .with(subject));
            }
        }
    }
    let api = external.api.as_bytes();
    if !api.is_empty() {
        if !is_valid_pattern(api) || has_wildcard(api) {
            let api = &external.api;
            return Err(invalid(format!(
                "stream external api prefix {api:?} must be a valid subject without wildcards"
            )));
        }
        if api == b"$JS.API" {
            return Err(ApiError::STREAM_EXTERNAL_API_OVERLAP.with(&external.api).with("$JS.API"));
        }
    }
    Ok(())
}

/// Follows mirrors and sources from stream to stream, each at most once.
fn check_cycle(config: &StreamConfig, rules: &Rules<'_>) -> Result<(), ApiError> {
    let mut seen: Vec<&str> = Vec::new();
    let mut pending: Vec<&StreamSource> = config.mirror.iter().chain(&config.sources).collect();
    let is_own = |source: &StreamSource| {
        let filters: Vec<&str> = if source.subject_transforms.is_empty() {
            vec![&source.filter_subject]
        } else {
            source.subject_transforms.iter().map(|mapping| mapping.src.as_str()).collect()
        };
        filters.iter().any(|filter| {
            filter.is_empty()
                || config
                    .subjects
                    .iter()
                    .any(|subject| overlap(subject.as_bytes(), filter.as_bytes()))
        })
    };
    while let Some(source) = pending.pop() {
        if source.external.is_some() {
            continue;
        }
        if source.name == config.name {
            let is_direct = config.sources.iter().any(|own| own == source);
            if !is_direct || is_own(source) {
                return Err(invalid("detected cycle"));
            }
            continue;
        }
        if seen.contains(&source.name.as_str()) {
            continue;
        }
        seen.push(&source.name);
        if let Some(origin) = (rules.origin)(&source.name) {
            pending.extend(origin.mirror.iter().chain(&origin.sources));
        }
    }
    Ok(())
}

fn check_subjects(config: &mut StreamConfig) -> Result<(), ApiError> {
    if config.subjects.is_empty() && !config.is_fed() {
        config.subjects.push(config.name.clone());
    }
    for (index, subject) in config.subjects.iter().enumerate() {
        let bytes = subject.as_bytes();
        if !is_valid_pattern(bytes) {
            return Err(invalid("invalid subject"));
        }
        for other in config.subjects.iter().take(index) {
            if overlap(other.as_bytes(), bytes) {
                return Err(invalid(format!("subject {other:?} overlaps with {subject:?}")));
            }
        }
        if subject == ">" {
            if !config.no_ack {
                return Err(invalid("capturing all subjects requires no-ack to be true"));
            }
            if config.num_replicas > 1 {
                return Err(invalid("capturing all subjects requires replicas of 1"));
            }
        }
        if config.no_ack {
            continue;
        }
        let is_api = [&b"$JS.>"[..], b"$JSC.>", b"$NRG.>"].iter().any(|api| overlap(bytes, api));
        if is_api && !is_subset(bytes, b"$JS.EVENT.>") {
            return Err(invalid(
                "subjects that overlap with jetstream api require no-ack to be true",
            ));
        }
        if overlap(bytes, b"$SYS.>") && !is_subset(bytes, b"$SYS.ACCOUNT.>") {
            return Err(invalid("subjects that overlap with system api require no-ack to be true"));
        }
    }
    if config.subjects.is_empty() && !config.is_fed() {
        return Err(invalid("stream needs at least one configured subject or be a source/mirror"));
    }
    Ok(())
}

fn check_account(config: &StreamConfig, rules: &Rules<'_>) -> Result<(), ApiError> {
    if rules.account.max_bytes_required && config.max_bytes <= 0 {
        return Err(ApiError::STREAM_MAX_BYTES_REQUIRED);
    }
    let limit = match config.storage {
        StorageKind::File => rules.account.storage_max_stream_bytes,
        StorageKind::Memory => rules.account.memory_max_stream_bytes,
    };
    if limit > 0 && config.max_bytes > limit {
        return Err(ApiError::STREAM_MAX_STREAM_BYTES_EXCEEDED);
    }
    Ok(())
}

fn check_transforms(config: &mut StreamConfig, rules: &Rules<'_>) -> Result<(), ApiError> {
    if let Some(mapping) = &config.subject_transform {
        check_mapping(
            mapping,
            &ApiError::STREAM_TRANSFORM_INVALID_SOURCE,
            &ApiError::STREAM_TRANSFORM_INVALID_DESTINATION,
        )?;
    }
    let Some(republish) = &mut config.republish else { return Ok(()) };
    if republish.src.is_empty() {
        if rules.pedantic {
            return Err(pedantic("republish source can not be empty"));
        }
        republish.src = String::from(">");
    }
    if republish.dest.is_empty() {
        return Ok(());
    }
    let invalid_mapping = || {
        let (src, dest) = (&republish.src, &republish.dest);
        invalid(format!(
            "stream configuration for republish with transform from '{src}' to '{dest}' not valid"
        ))
    };
    let is_plain = is_valid_subject(republish.dest.as_bytes());
    let cycles = config
        .subjects
        .iter()
        .any(|subject| is_plain && overlap(subject.as_bytes(), republish.dest.as_bytes()));
    let is_special = republish.src == ">"
        && republish.dest == ">"
        && config
            .subject_transform
            .as_ref()
            .is_some_and(|mapping| config.subjects == [mapping.src.clone()]);
    if is_special {
        if let Some(mapping) = &config.subject_transform {
            republish.src.clone_from(&mapping.dest);
            republish.dest.clone_from(&mapping.dest);
        }
        return Ok(());
    }
    if cycles {
        return Err(invalid("stream configuration for republish destination forms a cycle"));
    }
    Transform::new(&republish.src, &republish.dest).map(|_| ()).map_err(|_| invalid_mapping())
}

fn check_placement(config: &mut StreamConfig) -> Result<(), ApiError> {
    let Some(placement) = &config.placement else { return Ok(()) };
    if !placement.preferred.is_empty() {
        return Err(invalid("preferred server not permitted in placement"));
    }
    if *placement == Placement::default() {
        config.placement = None;
    }
    Ok(())
}

/// Checks that `new`, which passed [`check`], may follow `old`; completes it.
pub(super) fn check_update(old: &StreamConfig, new: &mut StreamConfig) -> Result<(), ApiError> {
    if old.storage != new.storage {
        return Err(invalid("stream configuration update can not change storage type"));
    }
    let is_queue = |config: &StreamConfig| config.retention == Retention::WorkQueue;
    if is_queue(old) != is_queue(new) {
        return Err(invalid(
            "stream configuration update can not change retention policy to/from workqueue",
        ));
    }
    if old.sealed && !new.sealed {
        return Err(invalid("stream configuration update can not unseal a sealed stream"));
    }
    if old.deny_delete && !new.deny_delete {
        return Err(invalid("stream configuration update can not cancel deny message deletes"));
    }
    if old.deny_purge && !new.deny_purge {
        return Err(invalid("stream configuration update can not cancel deny purge"));
    }
    if new.mirror.is_some() && old.mirror != new.mirror {
        return Err(ApiError::STREAM_MIRROR_NOT_UPDATABLE);
    }
    if old.allow_msg_ttl && !new.allow_msg_ttl {
        return Err(invalid("message TTL status can not be disabled"));
    }
    if old.allow_msg_counter != new.allow_msg_counter {
        return Err(invalid("stream configuration update can not change message counter setting"));
    }
    if old.allow_msg_schedules && !new.allow_msg_schedules {
        return Err(invalid("message schedules can not be disabled"));
    }
    if old.persist_mode != new.persist_mode {
        return Err(invalid("stream configuration update can not change persist mode"));
    }
    if new.sealed {
        new.max_age = 0;
        new.discard = Discard::New;
        new.deny_delete = true;
        new.deny_purge = true;
        new.allow_rollup_hdrs = false;
    }
    Ok(())
}

const NAME_LEN_MAX: usize = 255;
const DESCRIPTION_LEN_MAX: usize = 4096;
const METADATA_BYTES_MAX: usize = 131_072;
const REPLICAS_MAX: i64 = 5;
const MILLIS_100: i64 = 100_000_000;
const SECOND: i64 = 1_000_000_000;
const WINDOW_DEFAULT: i64 = 120 * SECOND;
