//! The `jetstream` block: what it may hold and what that means.

use std::path::PathBuf;
use std::time::Duration;

use super::entry::Entry;
use super::findings::{Findings, Problem};
use super::grammar::{Node, Value};
use super::Options;

/// What JetStream runs with, whether it is on or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JetStreamOptions {
    /// Whether there is JetStream at all.
    pub enabled: bool,
    /// Bytes that all memory streams may take. `None`: three quarters of the memory.
    pub max_memory: Option<u64>,
    /// Bytes that all file streams may take. `None`: what the disk has free.
    pub max_file: Option<u64>,
    /// The domain, if it has a name.
    pub domain: Option<String>,
    /// When a stored message is on disk. Our default is before it is acknowledged.
    pub sync: SyncInterval,
    /// Requests with unknown fields are refused. Default `true`.
    pub strict: bool,
    /// Most acks that a consumer may have pending; `None` is no limit.
    pub max_ack_pending: Option<u64>,
    /// Most messages that one pull request may ask for; `None` is no limit.
    pub max_request_batch: Option<u64>,
    /// The longest window in which duplicates are found; `None` is no limit.
    pub duplicate_window: Option<Duration>,
    /// Limits of atomic batches.
    pub batch: BatchLimits,
    /// Messages that may wait to be stored, for one stream.
    pub max_buffered_msgs: u64,
    /// Bytes that may wait to be stored, for one stream.
    pub max_buffered_size: u64,
    /// Requests that may wait.
    pub request_queue_limit: u64,
    /// What is not the default yet, or no longer.
    pub feature_flags: FeatureFlags,
    /// What the store is encrypted with, if it is.
    pub key: Option<String>,
    /// What it was encrypted with before.
    pub previous_key: Option<String>,
    /// How a store is encrypted that is made now.
    pub cipher: CipherName,
}

/// The flags of `feature_flags`, as monitoring tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FeatureFlags {
    /// Subjects of acknowledgements name the domain and the account. Default `false`.
    pub js_ack_fc_v2: bool,
    /// Told, without effect on one server. Default `false`.
    pub js_api_reply_v2: bool,
    /// Told, without effect on one server. Default `true`.
    pub js_raft_delete_range: bool,
    /// Told; what it asks for is always so. Default `false`.
    pub js_snapshot_sources: bool,
}

impl Default for FeatureFlags {
    fn default() -> Self {
        Self {
            js_ack_fc_v2: false,
            js_api_reply_v2: false,
            js_raft_delete_range: true,
            js_snapshot_sources: false,
        }
    }
}

/// A cipher for what lies on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CipherName {
    /// ChaCha20-Poly1305.
    #[default]
    ChaCha,
    /// AES-GCM.
    Aes,
}

/// When what was acknowledged is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncInterval {
    /// Before it is acknowledged.
    #[default]
    Always,
    /// At most this long afterwards.
    Within(Duration),
}

/// Limits of atomic batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Batches of one stream that may be open.
    pub per_stream: u64,
    /// Batches that may be open.
    pub total: u64,
    /// Messages of one batch.
    pub messages: u64,
    /// How long a batch may be silent.
    pub timeout: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { per_stream: 50, total: 1000, messages: 1000, timeout: Duration::from_secs(10) }
    }
}

impl Default for JetStreamOptions {
    fn default() -> Self {
        Self {
            enabled: false,
            max_memory: None,
            max_file: None,
            domain: None,
            sync: SyncInterval::default(),
            strict: true,
            max_ack_pending: None,
            max_request_batch: None,
            duplicate_window: None,
            batch: BatchLimits::default(),
            max_buffered_msgs: 100_000,
            max_buffered_size: 128 << 20,
            request_queue_limit: 10_000,
            feature_flags: FeatureFlags::default(),
            key: None,
            previous_key: None,
            cipher: CipherName::default(),
        }
    }
}

/// Reads the block, or the word that stands for it.
pub(super) fn jetstream(node: &Node, options: &mut Options, findings: &mut Findings) {
    let problem = match &node.value {
        Value::Bool(on) => {
            options.jetstream.enabled = *on;
            return;
        }
        Value::String(text) => match text.to_lowercase().as_str() {
            "enabled" | "enable" => {
                options.jetstream.enabled = true;
                return;
            }
            "disabled" | "disable" => {
                options.jetstream.enabled = false;
                return;
            }
            _ => Problem::JetStreamWord(text.clone()),
        },
        Value::Map(map) => {
            let mut enabled = true;
            for (name, node) in map {
                let entry = Entry { name, node };
                if let Err(problem) = set(entry, options, &mut enabled, findings) {
                    findings.error(node, problem);
                }
            }
            options.jetstream.enabled = enabled;
            return;
        }
        other => Problem::JetStreamType(other.go_type()),
    };
    findings.error(node, problem);
}

/// Reads the flags of what is not the default yet, or no longer.
pub(super) fn feature_flags(node: &Node, options: &mut Options, findings: &mut Findings) {
    let Value::Map(map) = &node.value else {
        findings.error(node, Problem::FeatureFlags(node.value.go_type()));
        return;
    };
    for (name, node) in map {
        let Value::Bool(on) = node.value else {
            let kind = node.value.go_type();
            findings.error(node, Problem::FeatureFlag { name: name.clone(), kind });
            continue;
        };
        let flags = &mut options.jetstream.feature_flags;
        // The others concern clusters, or ask for what is always so here: they are told, no more.
        match name.as_str() {
            "js_ack_fc_v2" => flags.js_ack_fc_v2 = on,
            "js_api_reply_v2" => flags.js_api_reply_v2 = on,
            "js_raft_delete_range" => flags.js_raft_delete_range = on,
            "js_snapshot_sources" => flags.js_snapshot_sources = on,
            _ => {}
        }
    }
}

fn set(
    entry: Entry<'_>,
    options: &mut Options,
    enabled: &mut bool,
    findings: &mut Findings,
) -> Result<(), Problem> {
    let jetstream = &mut options.jetstream;
    let (name, node) = (entry.name, entry.node);
    match name.to_lowercase().as_str() {
        "enabled" | "enable" => *enabled = entry.switch()?,
        "strict" => match node.value {
            Value::Bool(on) => jetstream.strict = on,
            _ => return Err(Problem::JetStreamBool(go_verb(&node.value))),
        },
        "store_dir" | "storedir" => {
            if options.store_dir.is_some() {
                return Err(Problem::DuplicateStoreDir);
            }
            options.store_dir = entry.text()?.map(PathBuf::from);
        }
        "max_memory_store" | "max_mem_store" | "max_mem" => {
            jetstream.max_memory = storage_size("max_mem_store", entry)?;
        }
        "max_file_store" | "max_file" => {
            jetstream.max_file = storage_size("max_file_store", entry)?;
        }
        "domain" => jetstream.domain = entry.text()?,
        "sync" | "sync_interval" => jetstream.sync = sync_interval(entry, findings)?,
        "limits" => return limits(entry, jetstream, findings),
        "max_buffered_msgs" => {
            jetstream.max_buffered_msgs = count(entry)?.unwrap_or(100_000);
        }
        "max_buffered_size" => {
            let size = storage_size(name, entry)?;
            jetstream.max_buffered_size = size.filter(|&size| size > 0).unwrap_or(128 << 20);
        }
        "request_queue_limit" => {
            jetstream.request_queue_limit = count(entry)?.unwrap_or(10_000);
        }
        "key" | "ek" | "encryption_key" => jetstream.key = given(entry.text()?),
        "prev_key" | "prev_ek" | "prev_encryption_key" => {
            jetstream.previous_key = given(entry.text()?);
        }
        "cipher" => {
            let text = entry.text()?.unwrap_or_default();
            jetstream.cipher = match text.to_lowercase().as_str() {
                "aes" => CipherName::Aes,
                "chacha" | "chachapoly" => CipherName::ChaCha,
                _ => return Err(Problem::Cipher(text)),
            };
        }
        "tpm" => return entry.not_built("keys sealed by a TPM"),
        // These concern clusters alone, or another way to schedule work: no effect is the
        // effect they have on one server.
        "info_queue_limit"
        | "extension_hint"
        | "unique_tag"
        | "max_outstanding_catchup"
        | "max_concurrent_io"
        | "meta_compact"
        | "meta_compact_size"
        | "meta_compact_sync" => {}
        _ if node.used_as_variable => {}
        _ => return Err(Problem::Unknown(name.to_owned())),
    }
    Ok(())
}

/// An empty key is none.
fn given(key: Option<String>) -> Option<String> {
    key.filter(|key| !key.is_empty())
}

fn limits(
    entry: Entry<'_>,
    jetstream: &mut JetStreamOptions,
    findings: &mut Findings,
) -> Result<(), Problem> {
    let Value::Map(map) = &entry.node.value else {
        return Err(Problem::JetStreamLimits(entry.node.value.go_type()));
    };
    for (name, node) in map {
        let entry = Entry { name, node };
        let result = match name.to_lowercase().as_str() {
            "max_ack_pending" => count(entry).map(|value| jetstream.max_ack_pending = value),
            "max_request_batch" => count(entry).map(|value| jetstream.max_request_batch = value),
            "duplicate_window" => entry
                .duration(findings, Duration::ZERO)
                .map(|window| jetstream.duplicate_window = (!window.is_zero()).then_some(window)),
            // For replicated assets only.
            "max_ha_assets" => Ok(()),
            "batch" => batch(entry, &mut jetstream.batch, findings),
            _ if node.used_as_variable => Ok(()),
            _ => Err(Problem::Unknown(name.to_owned())),
        };
        if let Err(problem) = result {
            findings.error(node, problem);
        }
    }
    Ok(())
}

fn batch(
    entry: Entry<'_>,
    limits: &mut BatchLimits,
    findings: &mut Findings,
) -> Result<(), Problem> {
    let Value::Map(map) = &entry.node.value else {
        return Err(Problem::JetStreamLimits(entry.node.value.go_type()));
    };
    let defaults = BatchLimits::default();
    for (name, node) in map {
        let entry = Entry { name, node };
        let result = match name.to_lowercase().as_str() {
            "max_inflight_per_stream" => {
                count(entry).map(|value| limits.per_stream = value.unwrap_or(defaults.per_stream))
            }
            "max_inflight_total" => {
                count(entry).map(|value| limits.total = value.unwrap_or(defaults.total))
            }
            "max_msgs" => {
                count(entry).map(|value| limits.messages = value.unwrap_or(defaults.messages))
            }
            "timeout" => {
                entry.duration(findings, defaults.timeout).map(|value| limits.timeout = value)
            }
            _ if node.used_as_variable => Ok(()),
            _ => Err(Problem::Unknown(name.to_owned())),
        };
        if let Err(problem) = result {
            findings.error(node, problem);
        }
    }
    Ok(())
}

/// A number above zero; anything below is no limit.
fn count(entry: Entry<'_>) -> Result<Option<u64>, Problem> {
    match &entry.node.value {
        Value::String(text) => {
            Err(Problem::Size { name: entry.name.to_owned(), text: text.clone() })
        }
        _ => Ok(u64::try_from(entry.integer()?).ok().filter(|&number| number > 0)),
    }
}

/// Bytes, as a number or a text that ends in K, M, G or T. Below zero is no limit.
fn storage_size(name: &str, entry: Entry<'_>) -> Result<Option<u64>, Problem> {
    let text = match &entry.node.value {
        Value::Integer(number) => return Ok(u64::try_from(*number).ok()),
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => text,
        other => {
            return Err(Problem::Size { name: name.to_owned(), text: go_verb(other) });
        }
    };
    let suffix = || Problem::SizeSuffix(name.to_owned());
    let shift = match text.chars().last() {
        Some('K') => 10,
        Some('M') => 20,
        Some('G') => 30,
        Some('T') => 40,
        _ => return Err(suffix()),
    };
    let number = text[..text.len() - 1].parse::<i64>().map_err(|_| suffix())?;
    Ok(u64::try_from(number).ok().and_then(|number| number.checked_shl(shift)))
}

fn sync_interval(entry: Entry<'_>, findings: &mut Findings) -> Result<SyncInterval, Problem> {
    if let Value::String(text) = &entry.node.value {
        if text.eq_ignore_ascii_case("always") {
            return Ok(SyncInterval::Always);
        }
    }
    let interval = entry.duration(findings, Duration::ZERO)?;
    Ok(if interval.is_zero() { SyncInterval::Always } else { SyncInterval::Within(interval) })
}

/// A value as Go's `%s` shows it.
fn go_verb(value: &Value) -> String {
    match value {
        Value::Integer(number) => format!("%!s(int64={number})"),
        Value::Float(number) => format!("%!s(float64={number})"),
        Value::Bool(on) => format!("%!s(bool={on})"),
        Value::String(text) => text.clone(),
        other => other.go_type().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::{complains, options};
    use super::*;

    #[test]
    fn the_block_turns_jetstream_on_unless_it_says_otherwise() {
        for (text, enabled) in [
            ("jetstream: true", true),
            ("jetstream: enabled", true),
            ("jetstream: disabled", false),
            ("jetstream {}", true),
            ("jetstream { max_mem: 1G }", true),
            ("jetstream { enabled: false }", false),
        ] {
            assert_eq!(options(text).jetstream.enabled, enabled, "{text}");
        }
    }

    #[test]
    fn feature_flags_are_true_or_false() {
        assert!(
            options("feature_flags { js_ack_fc_v2: true, foo: false }")
                .jetstream
                .feature_flags
                .js_ack_fc_v2
        );
        assert!(
            !options("feature_flags { js_raft_delete_range: true }")
                .jetstream
                .feature_flags
                .js_ack_fc_v2
        );
        complains(
            "feature_flags: 1",
            "f:1:0: error parsing feature flags: unsupported type int64\n",
        );
        complains(
            "feature_flags { js_ack_fc_v2: \"x\" }",
            "f:1:16: error parsing feature flag \"js_ack_fc_v2\": expected bool, got string\n",
        );
    }

    #[test]
    fn values_reach_their_options() {
        let options = options(
            "jetstream { store_dir: d, max_mem: \"2G\", max_file_store: 10MiB, domain: hub\n\
             sync_interval: \"1s\", strict: false, max_buffered_msgs: 5, max_buffered_size: 1M\n\
             limits { max_ack_pending: 7, max_request_batch: 8, duplicate_window: \"1m\"\n\
             batch { max_msgs: 9, timeout: \"3s\" } } }",
        );
        let jetstream = &options.jetstream;
        assert_eq!(options.store_dir, Some(PathBuf::from("d")));
        assert_eq!(jetstream.max_memory, Some(2 << 30));
        assert_eq!(jetstream.max_file, Some(10 << 20));
        assert_eq!(jetstream.domain.as_deref(), Some("hub"));
        assert_eq!(jetstream.sync, SyncInterval::Within(Duration::from_secs(1)));
        assert!(!jetstream.strict);
        assert_eq!(jetstream.max_buffered_msgs, 5);
        assert_eq!(jetstream.max_ack_pending, Some(7));
        assert_eq!(jetstream.max_request_batch, Some(8));
        assert_eq!(jetstream.duplicate_window, Some(Duration::from_secs(60)));
        assert_eq!(jetstream.batch.messages, 9);
        assert_eq!(jetstream.batch.timeout, Duration::from_secs(3));
    }

    #[test]
    fn keys_and_ciphers_have_several_names() {
        let jetstream = options("jetstream { ek: a, prev_ek: b, cipher: AES }").jetstream;
        assert_eq!(jetstream.key.as_deref(), Some("a"));
        assert_eq!(jetstream.previous_key.as_deref(), Some("b"));
        assert_eq!(jetstream.cipher, CipherName::Aes);
        let jetstream = options("jetstream { key: \"\", cipher: chachapoly }").jetstream;
        assert_eq!((jetstream.key, jetstream.cipher), (None, CipherName::ChaCha));
    }

    #[test]
    fn what_is_wrong_is_told_in_nats_servers_words() {
        for (text, complaint) in [
            (
                "jetstream: 5",
                "f:1:0: Expected map, bool or string to define JetStream, got int64\n",
            ),
            (
                "jetstream: foo",
                "f:1:0: Expected 'enabled' or 'disabled' for string value, got 'foo'\n",
            ),
            (
                "jetstream { max_mem: \"12X\" }",
                "f:1:12: max_mem_store sizes defined as strings must end in K, M, G, T\n",
            ),
            (
                "jetstream { strict: 1 }",
                "f:1:12: Expected 'true' or 'false' for bool value, got '%!s(int64=1)'\n",
            ),
            ("jetstream { limits { foo: 1 } }", "f:1:21: unknown field \"foo\"\n"),
            (
                "jetstream { limits: 5 }",
                "f:1:12: Expected a map to define JetStreamLimits, got int64\n",
            ),
            ("jetstream { cipher: foo }", "f:1:12: Unknown cipher type: \"foo\"\n"),
            (
                "jetstream { max_buffered_msgs: x }",
                "f:1:12: Expected a parseable size for \"max_buffered_msgs\", got x\n",
            ),
        ] {
            complains(text, complaint);
        }
    }
}
