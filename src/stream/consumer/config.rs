//! A consumer's configuration: its keys, their order and what is left out.

use std::collections::BTreeMap;

use crate::stream::json::{Decoder, Field, JsonError, Object, Value};
use crate::stream::write_metadata;

/// Where a consumer starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliverPolicy {
    /// At the first message.
    #[default]
    All,
    /// At the last message.
    Last,
    /// After the last message.
    New,
    /// At a sequence.
    ByStartSequence,
    /// At a time.
    ByStartTime,
    /// With the last message of each subject.
    LastPerSubject,
}

/// How deliveries are acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckPolicy {
    /// Not at all.
    #[default]
    None,
    /// One for it and all before it.
    All,
    /// Each one.
    Explicit,
    /// With answers to flow control requests.
    FlowControl,
}

/// How fast stored messages are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplayPolicy {
    /// As fast as possible.
    #[default]
    Instant,
    /// As they were published.
    Original,
}

/// Which of several clients is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PriorityPolicy {
    /// All in turn.
    #[default]
    None,
    /// Some only when much is pending.
    Overflow,
    /// One at a time.
    PinnedClient,
    /// Those of the lowest number first.
    Prioritized,
}

/// A consumer's configuration. Durations are nanoseconds; fields are described in
/// the reference of the API, under the names they have here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the keys of the API, by their names there")]
pub struct ConsumerConfig {
    pub durable_name: String,
    pub name: String,
    pub description: String,
    pub deliver_policy: DeliverPolicy,
    pub opt_start_seq: u64,
    pub opt_start_time: Option<u64>,
    pub ack_policy: AckPolicy,
    pub ack_wait: i64,
    pub max_deliver: i64,
    pub backoff: Vec<i64>,
    pub filter_subject: String,
    pub filter_subjects: Vec<String>,
    pub replay_policy: ReplayPolicy,
    pub rate_limit_bps: u64,
    pub sample_freq: String,
    pub max_waiting: i64,
    pub max_ack_pending: i64,
    pub flow_control: bool,
    pub headers_only: bool,
    pub max_batch: i64,
    pub max_expires: i64,
    pub max_bytes: i64,
    pub deliver_subject: String,
    pub deliver_group: String,
    pub idle_heartbeat: i64,
    pub inactive_threshold: i64,
    pub num_replicas: i64,
    pub mem_storage: bool,
    pub direct: bool,
    pub sourcing: bool,
    pub metadata: BTreeMap<String, String>,
    pub pause_until: Option<u64>,
    pub priority_groups: Vec<String>,
    pub priority_policy: PriorityPolicy,
    pub priority_timeout: i64,
}

/// What a create request wants to happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsumerAction {
    /// Create it, or update the one there is.
    #[default]
    CreateOrUpdate,
    /// Create it; one that is there must be the same.
    Create,
    /// Update the one there is.
    Update,
}

/// The body of a create request.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// The stream, which the subject names too.
    pub stream_name: String,
    /// The consumer.
    pub config: ConsumerConfig,
    /// What is to happen.
    pub action: ConsumerAction,
    /// Values are refused rather than put right.
    pub pedantic: bool,
}

impl CreateRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// The complaint of nats-server.
    pub fn decode(text: &[u8], strict: bool) -> Result<Self, JsonError> {
        let mut request = Self::default();
        Decoder::request(text, "CreateConsumerRequest", strict, |decoder, key, value| match key {
            "stream_name" => decoder.string(value, &mut request.stream_name),
            "config" => {
                let config = &mut request.config;
                decoder.object(value, "ConsumerConfig", |decoder, key, value| {
                    config.decode_field(decoder, key, value)
                })?;
                Ok(Field::Known)
            }
            "action" => decode_action(value, &mut request.action),
            "pedantic" => decoder.bool(value, &mut request.pedantic),
            _ => Ok(Field::Unknown),
        })?;
        Ok(request)
    }
}

impl ConsumerConfig {
    /// Reads a configuration as [`write`](Self::write) wrote it.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(text: &[u8]) -> Result<Self, JsonError> {
        let mut config = Self::default();
        Decoder::request(text, "ConsumerConfig", false, |decoder, key, value| {
            config.decode_field(decoder, key, value)
        })?;
        Ok(config)
    }

    pub(super) fn decode_field(
        &mut self,
        decoder: &mut Decoder,
        key: &str,
        value: &Value<'_>,
    ) -> Result<Field, JsonError> {
        match key {
            "durable_name" => decoder.string(value, &mut self.durable_name),
            "name" => decoder.string(value, &mut self.name),
            "description" => decoder.string(value, &mut self.description),
            "deliver_policy" => {
                decoder.word(value, DeliverPolicy::from_word, &mut self.deliver_policy)
            }
            "opt_start_seq" => decoder.uint(value, &mut self.opt_start_seq),
            "opt_start_time" => decoder.time(value, &mut self.opt_start_time),
            "ack_policy" => decoder.word(value, AckPolicy::from_word, &mut self.ack_policy),
            "ack_wait" => decoder.duration(value, &mut self.ack_wait),
            "max_deliver" => decoder.int(value, "int", &mut self.max_deliver),
            "backoff" => {
                self.backoff.clear();
                decoder.array(value, "time.Duration", |decoder, value| {
                    let mut wait = 0;
                    decoder.duration(value, &mut wait)?;
                    self.backoff.push(wait);
                    Ok(())
                })?;
                Ok(Field::Known)
            }
            "filter_subject" => decoder.string(value, &mut self.filter_subject),
            "filter_subjects" => decoder.strings(value, &mut self.filter_subjects),
            "replay_policy" => {
                decoder.word(value, ReplayPolicy::from_word, &mut self.replay_policy)
            }
            "rate_limit_bps" => decoder.uint(value, &mut self.rate_limit_bps),
            "sample_freq" => decoder.string(value, &mut self.sample_freq),
            "max_waiting" => decoder.int(value, "int", &mut self.max_waiting),
            "max_ack_pending" => decoder.int(value, "int", &mut self.max_ack_pending),
            "flow_control" => decoder.bool(value, &mut self.flow_control),
            "headers_only" => decoder.bool(value, &mut self.headers_only),
            "max_batch" => decoder.int(value, "int", &mut self.max_batch),
            "max_expires" => decoder.duration(value, &mut self.max_expires),
            "max_bytes" => decoder.int(value, "int", &mut self.max_bytes),
            "deliver_subject" => decoder.string(value, &mut self.deliver_subject),
            "deliver_group" => decoder.string(value, &mut self.deliver_group),
            "idle_heartbeat" => decoder.duration(value, &mut self.idle_heartbeat),
            "inactive_threshold" => decoder.duration(value, &mut self.inactive_threshold),
            "num_replicas" => decoder.int(value, "int", &mut self.num_replicas),
            "mem_storage" => decoder.bool(value, &mut self.mem_storage),
            "direct" => decoder.bool(value, &mut self.direct),
            "sourcing" => decoder.bool(value, &mut self.sourcing),
            "metadata" => decoder.string_map(value, &mut self.metadata),
            "pause_until" => decoder.time(value, &mut self.pause_until),
            "priority_groups" => decoder.strings(value, &mut self.priority_groups),
            "priority_policy" => decode_priority(value, &mut self.priority_policy),
            "priority_timeout" => decoder.duration(value, &mut self.priority_timeout),
            _ => Ok(Field::Unknown),
        }
    }

    /// Appends the configuration as JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_with(out, &[]);
    }

    /// Appends the configuration as JSON, `extra` among its metadata.
    pub fn write_with(&self, out: &mut Vec<u8>, extra: &[(&str, &str)]) {
        let mut object = Object::open(out);
        object.string_some("durable_name", &self.durable_name);
        object.string_some("name", &self.name);
        object.string_some("description", &self.description);
        object.string("deliver_policy", self.deliver_policy.word());
        object.uint_some("opt_start_seq", self.opt_start_seq);
        if let Some(time) = self.opt_start_time {
            object.time("opt_start_time", time);
        }
        object.string("ack_policy", self.ack_policy.word());
        object.int_some("ack_wait", self.ack_wait);
        object.int_some("max_deliver", self.max_deliver);
        if !self.backoff.is_empty() {
            let mut array = object.array("backoff");
            for wait in &self.backoff {
                array.uint(wait.unsigned_abs());
            }
            array.close();
        }
        object.string_some("filter_subject", &self.filter_subject);
        object.strings_some("filter_subjects", &self.filter_subjects);
        object.string("replay_policy", self.replay_policy.word());
        object.uint_some("rate_limit_bps", self.rate_limit_bps);
        object.string_some("sample_freq", &self.sample_freq);
        object.int_some("max_waiting", self.max_waiting);
        object.int_some("max_ack_pending", self.max_ack_pending);
        object.bool_some("flow_control", self.flow_control);
        object.bool_some("headers_only", self.headers_only);
        object.int_some("max_batch", self.max_batch);
        object.int_some("max_expires", self.max_expires);
        object.int_some("max_bytes", self.max_bytes);
        object.string_some("deliver_subject", &self.deliver_subject);
        object.string_some("deliver_group", &self.deliver_group);
        object.int_some("idle_heartbeat", self.idle_heartbeat);
        object.int_some("inactive_threshold", self.inactive_threshold);
        object.int("num_replicas", self.num_replicas);
        object.bool_some("mem_storage", self.mem_storage);
        object.bool_some("direct", self.direct);
        object.bool_some("sourcing", self.sourcing);
        write_metadata(&mut object, &self.metadata, extra);
        if let Some(time) = self.pause_until {
            object.time("pause_until", time);
        }
        object.strings_some("priority_groups", &self.priority_groups);
        if self.priority_policy != PriorityPolicy::None {
            object.string("priority_policy", self.priority_policy.word());
        }
        object.int_some("priority_timeout", self.priority_timeout);
        object.close();
    }

    /// The subjects it wants, as patterns; empty for all.
    pub fn filters(&self) -> impl Iterator<Item = &str> + Clone {
        let one = (!self.filter_subject.is_empty()).then_some(self.filter_subject.as_str());
        one.into_iter().chain(self.filter_subjects.iter().map(String::as_str))
    }

    /// Messages go to its deliver subject; nobody asks for them.
    pub fn is_push(&self) -> bool {
        !self.deliver_subject.is_empty()
    }

    /// Level of the API that its features need.
    pub fn required_level(&self) -> u64 {
        if self.ack_policy == AckPolicy::FlowControl {
            4
        } else if self.pause_until.is_some_and(|until| until > 0)
            || self.priority_policy != PriorityPolicy::None
            || !self.priority_groups.is_empty()
            || self.priority_timeout != 0
        {
            1
        } else {
            0
        }
    }
}

impl DeliverPolicy {
    const ALL: [Self; 6] = [
        Self::All,
        Self::Last,
        Self::New,
        Self::ByStartSequence,
        Self::ByStartTime,
        Self::LastPerSubject,
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Last => "last",
            Self::New => "new",
            Self::ByStartSequence => "by_start_sequence",
            Self::ByStartTime => "by_start_time",
            Self::LastPerSubject => "last_per_subject",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        if word == "undefined" {
            return Some(Self::All);
        }
        Self::ALL.into_iter().find(|policy| policy.word() == word)
    }
}

impl AckPolicy {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::All => "all",
            Self::Explicit => "explicit",
            Self::FlowControl => "flow_control",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        let all = [Self::None, Self::All, Self::Explicit, Self::FlowControl];
        all.into_iter().find(|policy| policy.word() == word)
    }
}

impl ReplayPolicy {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Instant => "instant",
            Self::Original => "original",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Instant, Self::Original].into_iter().find(|policy| policy.word() == word)
    }
}

impl PriorityPolicy {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Overflow => "overflow",
            Self::PinnedClient => "pinned_client",
            Self::Prioritized => "prioritized",
        }
    }
}

fn decode_priority(value: &Value<'_>, into: &mut PriorityPolicy) -> Result<Field, JsonError> {
    let all = [
        PriorityPolicy::None,
        PriorityPolicy::Overflow,
        PriorityPolicy::PinnedClient,
        PriorityPolicy::Prioritized,
    ];
    let read = match value {
        Value::String(word) => all.into_iter().find(|policy| policy.word() == word),
        _ => None,
    };
    *into = read.ok_or_else(|| complaint("unknown priority policy", value))?;
    Ok(Field::Known)
}

fn decode_action(value: &Value<'_>, into: &mut ConsumerAction) -> Result<Field, JsonError> {
    let word = match value {
        Value::String(word) => Some(&**word),
        _ => None,
    };
    *into = match word {
        Some("") => ConsumerAction::CreateOrUpdate,
        Some("create") => ConsumerAction::Create,
        Some("update") => ConsumerAction::Update,
        _ => return Err(complaint("unknown consumer action", value)),
    };
    Ok(Field::Known)
}

fn complaint(what: &str, value: &Value<'_>) -> JsonError {
    let mut text = Vec::new();
    value.write(&mut text);
    JsonError(format!("{what}: {}", String::from_utf8_lossy(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint_of(text: &str) -> String {
        CreateRequest::decode(text.as_bytes(), true).unwrap_err().0
    }

    /// Goal: the words of nats-server 2.15.1. Method: recorded from it.
    #[test]
    fn complaints_are_those_of_the_server() {
        let field = "into Go struct field CreateConsumerRequest.config";
        for (text, expected) in [
            (r#"{"config":{"zzz":1}}"#, String::from("json: unknown field \"zzz\"")),
            (
                r#"{"config":{"ack_policy":"foo"}}"#,
                String::from("can not unmarshal \"\\\"foo\\\"\""),
            ),
            (r#"{"config":{"deliver_policy":3}}"#, String::from("can not unmarshal \"3\"")),
            (
                r#"{"config":{"priority_policy":""}}"#,
                String::from("unknown priority policy: \"\""),
            ),
            (r#"{"action":"zap"}"#, String::from("unknown consumer action: \"zap\"")),
            (r#"{"action":7}"#, String::from("unknown consumer action: 7")),
            (
                r#"{"config":{"ack_wait":"x"}}"#,
                format!("json: cannot unmarshal string {field}.ack_wait of type time.Duration"),
            ),
            (
                r#"{"config":{"backoff":["x"]}}"#,
                String::from("json: cannot unmarshal string into CreateConsumerRequest.config.backoff.0 of type time.Duration"),
            ),
            (
                r#"{"config":{"opt_start_seq":-3}}"#,
                format!("json: cannot unmarshal number -3 {field}.opt_start_seq of type uint64"),
            ),
            (
                r#"{"config":[]}"#,
                format!("json: cannot unmarshal array {field} of type server.ConsumerConfig"),
            ),
            (
                "3",
                String::from("json: cannot unmarshal number into Go value of type server.CreateConsumerRequest"),
            ),
        ] {
            assert_eq!(complaint_of(text), expected, "{text}");
        }
    }

    #[test]
    fn a_configuration_is_read_back_as_it_was_written() {
        let text = r#"{"durable_name":"d","name":"d","description":"x","deliver_policy":"by_start_time","opt_start_seq":3,"opt_start_time":"2026-01-01T00:00:00Z","ack_policy":"explicit","ack_wait":5,"max_deliver":7,"backoff":[5,6],"filter_subject":"a","filter_subjects":["b","c"],"replay_policy":"original","rate_limit_bps":8,"sample_freq":"9%","max_waiting":10,"max_ack_pending":-1,"flow_control":true,"headers_only":true,"max_batch":11,"max_expires":12,"max_bytes":13,"deliver_subject":"e","deliver_group":"f","idle_heartbeat":14,"inactive_threshold":15,"num_replicas":1,"mem_storage":true,"direct":true,"sourcing":true,"metadata":{"k":"v"},"pause_until":"2030-01-01T00:00:00Z","priority_groups":["g"],"priority_policy":"pinned_client","priority_timeout":16}"#;
        let config = ConsumerConfig::decode(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        config.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
        assert_eq!(config.filters().collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
