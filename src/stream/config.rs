//! A stream's configuration: its fields, and how they are read from and written to JSON.

use std::collections::BTreeMap;

use super::json::{Array, Decoder, Field, JsonError, Object, Value};
use crate::store::StorageKind;

/// What keeps a message in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// The limits.
    #[default]
    Limits,
    /// Consumers that have not acknowledged it.
    Interest,
    /// The one consumer that has not acknowledged it.
    WorkQueue,
}

/// What happens to a message that would exceed a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discard {
    /// The oldest go.
    #[default]
    Old,
    /// It is refused.
    New,
}

/// How blocks are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// Compressed with S2.
    S2,
}

/// When a publish is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PersistMode {
    /// Once it is stored.
    #[default]
    Default,
    /// Possibly before.
    Async,
}

/// `src` to `dest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectMapping {
    /// Pattern of the subjects it applies to.
    pub src: String,
    /// What they become.
    pub dest: String,
}

/// Where stored messages are published again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Republish {
    /// Pattern of the subjects it applies to.
    pub src: String,
    /// What they become.
    pub dest: String,
    /// Without their bodies.
    pub headers_only: bool,
}

/// Where a stream should live in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Cluster.
    pub cluster: String,
    /// Tags its servers have.
    pub tags: Vec<String>,
    /// Server that should lead.
    pub preferred: String,
}

/// How a stream of another account or domain is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External {
    /// What replaces `$JS.API`.
    pub api: String,
    /// Prefix of delivery subjects.
    pub deliver: String,
}

/// A durable consumer that was made for a mirror or source beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceConsumer {
    /// Its name.
    pub name: String,
    /// Where it delivers.
    pub deliver_subject: String,
}

/// A stream that another takes messages from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamSource {
    /// Its name.
    pub name: String,
    /// First sequence taken, if not 0.
    pub opt_start_seq: u64,
    /// Time of the first message taken.
    pub opt_start_time: Option<u64>,
    /// Only subjects that match.
    pub filter_subject: String,
    /// Filters, each with what subjects become.
    pub subject_transforms: Vec<SubjectMapping>,
    /// In another account or domain.
    pub external: Option<External>,
    /// Through a durable consumer made beforehand.
    pub consumer: Option<SourceConsumer>,
}

/// Limits that a stream sets for its consumers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerLimits {
    /// Nanoseconds; 0 for none.
    pub inactive_threshold: i64,
    /// Pending acknowledgements; 0 for none.
    pub max_ack_pending: i64,
}

/// A stream's configuration. Durations are nanoseconds; numeric limits are -1 for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named and described by the protocol")]
pub struct StreamConfig {
    pub name: String,
    pub description: String,
    pub subjects: Vec<String>,
    pub retention: Retention,
    pub max_consumers: i64,
    pub max_msgs: i64,
    pub max_bytes: i64,
    pub max_age: i64,
    pub max_msgs_per_subject: i64,
    pub max_msg_size: i32,
    pub discard: Discard,
    pub storage: StorageKind,
    pub num_replicas: i64,
    pub no_ack: bool,
    pub duplicate_window: i64,
    pub placement: Option<Placement>,
    pub mirror: Option<StreamSource>,
    pub sources: Vec<StreamSource>,
    pub compression: Compression,
    pub first_seq: u64,
    pub subject_transform: Option<SubjectMapping>,
    pub republish: Option<Republish>,
    pub allow_direct: bool,
    pub mirror_direct: bool,
    pub discard_new_per_subject: bool,
    pub sealed: bool,
    pub deny_delete: bool,
    pub deny_purge: bool,
    pub allow_rollup_hdrs: bool,
    pub consumer_limits: ConsumerLimits,
    pub allow_msg_ttl: bool,
    pub subject_delete_marker_ttl: i64,
    pub allow_msg_counter: bool,
    pub allow_atomic: bool,
    pub allow_msg_schedules: bool,
    pub persist_mode: PersistMode,
    pub allow_batched: bool,
    pub metadata: BTreeMap<String, String>,
}

/// The body of a create or update request.
#[derive(Clone, Debug, Default)]
pub struct StreamConfigRequest {
    /// The configuration.
    pub config: StreamConfig,
    /// Values are refused rather than put right.
    pub pedantic: bool,
}

impl StreamConfigRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// The complaint of nats-server.
    pub fn decode(text: &[u8], strict: bool) -> Result<Self, JsonError> {
        let mut request = Self::default();
        Decoder::request(text, "StreamConfigRequest", strict, |decoder, key, value| match key {
            "pedantic" => decoder.bool(value, &mut request.pedantic),
            _ => request.config.decode_field(decoder, key, value),
        })?;
        Ok(request)
    }
}

impl StreamConfig {
    /// Reads a configuration as [`write`](Self::write) wrote it.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(text: &[u8]) -> Result<Self, JsonError> {
        let mut config = Self::default();
        Decoder::request(text, "StreamConfig", false, |decoder, key, value| {
            config.decode_field(decoder, key, value)
        })?;
        Ok(config)
    }

    /// Reads the field called `key`.
    ///
    /// # Errors
    /// Its value is of the wrong type.
    pub fn decode_field(
        &mut self,
        decoder: &mut Decoder,
        key: &str,
        value: &Value<'_>,
    ) -> Result<Field, JsonError> {
        match key {
            "name" => decoder.string(value, &mut self.name),
            "description" => decoder.string(value, &mut self.description),
            "subjects" => decoder.strings(value, &mut self.subjects),
            "retention" => decoder.word(value, Retention::from_word, &mut self.retention),
            "max_consumers" => decoder.int(value, "int", &mut self.max_consumers),
            "max_msgs" => decoder.int(value, "int64", &mut self.max_msgs),
            "max_bytes" => decoder.int(value, "int64", &mut self.max_bytes),
            "max_age" => decoder.duration(value, &mut self.max_age),
            "max_msgs_per_subject" => decoder.int(value, "int64", &mut self.max_msgs_per_subject),
            "max_msg_size" => decoder.int32(value, &mut self.max_msg_size),
            "discard" => decoder.word(value, Discard::from_word, &mut self.discard),
            "storage" => decoder.word(value, storage_from_word, &mut self.storage),
            "num_replicas" => decoder.int(value, "int", &mut self.num_replicas),
            "no_ack" => decoder.bool(value, &mut self.no_ack),
            "duplicate_window" => decoder.duration(value, &mut self.duplicate_window),
            "placement" => decode_placement(decoder, value, &mut self.placement),
            "mirror" => {
                if *value == Value::Null {
                    return Ok(Field::Known);
                }
                let mut mirror = StreamSource::default();
                mirror.decode(decoder, value)?;
                self.mirror = Some(mirror);
                Ok(Field::Known)
            }
            "sources" => {
                self.sources.clear();
                decoder.array(value, "*server.StreamSource", |decoder, value| {
                    let mut source = StreamSource::default();
                    source.decode(decoder, value)?;
                    self.sources.push(source);
                    Ok(())
                })?;
                Ok(Field::Known)
            }
            "compression" => decode_compression(value, &mut self.compression),
            "first_seq" => decoder.uint(value, &mut self.first_seq),
            "subject_transform" => {
                if *value != Value::Null {
                    let mut mapping = SubjectMapping::default();
                    mapping.decode(decoder, value)?;
                    self.subject_transform = Some(mapping);
                }
                Ok(Field::Known)
            }
            "republish" => decode_republish(decoder, value, &mut self.republish),
            "allow_direct" => decoder.bool(value, &mut self.allow_direct),
            "mirror_direct" => decoder.bool(value, &mut self.mirror_direct),
            "discard_new_per_subject" => decoder.bool(value, &mut self.discard_new_per_subject),
            "sealed" => decoder.bool(value, &mut self.sealed),
            "deny_delete" => decoder.bool(value, &mut self.deny_delete),
            "deny_purge" => decoder.bool(value, &mut self.deny_purge),
            "allow_rollup_hdrs" => decoder.bool(value, &mut self.allow_rollup_hdrs),
            "consumer_limits" => {
                let limits = &mut self.consumer_limits;
                decoder.object(value, "StreamConsumerLimits", |decoder, key, value| match key {
                    "inactive_threshold" => decoder.duration(value, &mut limits.inactive_threshold),
                    "max_ack_pending" => decoder.int(value, "int", &mut limits.max_ack_pending),
                    _ => Ok(Field::Unknown),
                })?;
                Ok(Field::Known)
            }
            "allow_msg_ttl" => decoder.bool(value, &mut self.allow_msg_ttl),
            "subject_delete_marker_ttl" => {
                decoder.duration(value, &mut self.subject_delete_marker_ttl)
            }
            "allow_msg_counter" => decoder.bool(value, &mut self.allow_msg_counter),
            "allow_atomic" => decoder.bool(value, &mut self.allow_atomic),
            "allow_msg_schedules" => decoder.bool(value, &mut self.allow_msg_schedules),
            "persist_mode" => decoder.word(value, PersistMode::from_word, &mut self.persist_mode),
            "allow_batched" => decoder.bool(value, &mut self.allow_batched),
            "metadata" => decoder.string_map(value, &mut self.metadata),
            _ => Ok(Field::Unknown),
        }
    }

    /// Appends the configuration as JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_with(out, &[]);
    }

    /// Appends the configuration as JSON, `extra` among its metadata, which is in order of keys.
    pub fn write_with(&self, out: &mut Vec<u8>, extra: &[(&str, &str)]) {
        let mut object = Object::open(out);
        object.string("name", &self.name);
        object.string_some("description", &self.description);
        object.strings_some("subjects", &self.subjects);
        object.string("retention", self.retention.word());
        object.int("max_consumers", self.max_consumers);
        object.int("max_msgs", self.max_msgs);
        object.int("max_bytes", self.max_bytes);
        object.int("max_age", self.max_age);
        object.int("max_msgs_per_subject", self.max_msgs_per_subject);
        object.int_some("max_msg_size", i64::from(self.max_msg_size));
        object.string("discard", self.discard.word());
        object.string("storage", storage_word(self.storage));
        object.int("num_replicas", self.num_replicas);
        object.bool_some("no_ack", self.no_ack);
        object.int_some("duplicate_window", self.duplicate_window);
        if let Some(placement) = &self.placement {
            let mut inner = object.object("placement");
            inner.string_some("cluster", &placement.cluster);
            inner.strings_some("tags", &placement.tags);
            inner.string_some("preferred", &placement.preferred);
            inner.close();
        }
        if let Some(mirror) = &self.mirror {
            mirror.write(object.key("mirror"));
        }
        if !self.sources.is_empty() {
            let mut array = object.array("sources");
            for source in &self.sources {
                source.write(array.element());
            }
            array.close();
        }
        object.string("compression", self.compression.word());
        object.uint_some("first_seq", self.first_seq);
        if let Some(mapping) = &self.subject_transform {
            mapping.write(object.key("subject_transform"));
        }
        if let Some(republish) = &self.republish {
            let mut inner = object.object("republish");
            inner.string_some("src", &republish.src);
            inner.string("dest", &republish.dest);
            inner.bool_some("headers_only", republish.headers_only);
            inner.close();
        }
        object.bool("allow_direct", self.allow_direct);
        object.bool("mirror_direct", self.mirror_direct);
        object.bool_some("discard_new_per_subject", self.discard_new_per_subject);
        object.bool("sealed", self.sealed);
        object.bool("deny_delete", self.deny_delete);
        object.bool("deny_purge", self.deny_purge);
        object.bool("allow_rollup_hdrs", self.allow_rollup_hdrs);
        let mut limits = object.object("consumer_limits");
        limits.int_some("inactive_threshold", self.consumer_limits.inactive_threshold);
        limits.int_some("max_ack_pending", self.consumer_limits.max_ack_pending);
        limits.close();
        object.bool("allow_msg_ttl", self.allow_msg_ttl);
        object.int_some("subject_delete_marker_ttl", self.subject_delete_marker_ttl);
        object.bool_some("allow_msg_counter", self.allow_msg_counter);
        object.bool_some("allow_atomic", self.allow_atomic);
        object.bool_some("allow_msg_schedules", self.allow_msg_schedules);
        if self.persist_mode == PersistMode::Async {
            object.string("persist_mode", "async");
        }
        object.bool_some("allow_batched", self.allow_batched);
        write_metadata(&mut object, &self.metadata, extra);
        object.close();
    }

    /// Whether messages come from other streams.
    pub fn is_fed(&self) -> bool {
        self.mirror.is_some() || !self.sources.is_empty()
    }
}

impl StreamSource {
    fn decode(&mut self, decoder: &mut Decoder, value: &Value<'_>) -> Result<(), JsonError> {
        decoder.object(value, "StreamSource", |decoder, key, value| match key {
            "name" => decoder.string(value, &mut self.name),
            "opt_start_seq" => decoder.uint(value, &mut self.opt_start_seq),
            "opt_start_time" => decoder.time(value, &mut self.opt_start_time),
            "filter_subject" => decoder.string(value, &mut self.filter_subject),
            "subject_transforms" => {
                self.subject_transforms.clear();
                decoder.array(value, "server.SubjectTransformConfig", |decoder, value| {
                    let mut mapping = SubjectMapping::default();
                    mapping.decode(decoder, value)?;
                    self.subject_transforms.push(mapping);
                    Ok(())
                })?;
                Ok(Field::Known)
            }
            "external" => {
                let mut external = self.external.take().unwrap_or_default();
                let is_null = *value == Value::Null;
                decoder.object(value, "ExternalStream", |decoder, key, value| match key {
                    "api" => decoder.string(value, &mut external.api),
                    "deliver" => decoder.string(value, &mut external.deliver),
                    _ => Ok(Field::Unknown),
                })?;
                self.external = (!is_null).then_some(external);
                Ok(Field::Known)
            }
            "consumer" => {
                let mut consumer = self.consumer.take().unwrap_or_default();
                let is_null = *value == Value::Null;
                decoder.object(value, "StreamConsumerSource", |decoder, key, value| match key {
                    "name" => decoder.string(value, &mut consumer.name),
                    "deliver_subject" => decoder.string(value, &mut consumer.deliver_subject),
                    _ => Ok(Field::Unknown),
                })?;
                self.consumer = (!is_null).then_some(consumer);
                Ok(Field::Known)
            }
            _ => Ok(Field::Unknown),
        })
    }

    /// Appends it as JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        object.string("name", &self.name);
        object.uint_some("opt_start_seq", self.opt_start_seq);
        if let Some(time) = self.opt_start_time {
            object.time("opt_start_time", time);
        }
        object.string_some("filter_subject", &self.filter_subject);
        if !self.subject_transforms.is_empty() {
            write_mappings(object.array("subject_transforms"), &self.subject_transforms);
        }
        if let Some(external) = &self.external {
            let mut inner = object.object("external");
            inner.string("api", &external.api);
            inner.string("deliver", &external.deliver);
            inner.close();
        }
        if let Some(consumer) = &self.consumer {
            let mut inner = object.object("consumer");
            inner.string_some("name", &consumer.name);
            inner.string_some("deliver_subject", &consumer.deliver_subject);
            inner.close();
        }
        object.close();
    }
}

impl SubjectMapping {
    fn decode(&mut self, decoder: &mut Decoder, value: &Value<'_>) -> Result<(), JsonError> {
        decoder.object(value, "SubjectTransformConfig", |decoder, key, value| match key {
            "src" => decoder.string(value, &mut self.src),
            "dest" => decoder.string(value, &mut self.dest),
            _ => Ok(Field::Unknown),
        })
    }

    /// Appends it as JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        object.string("src", &self.src);
        object.string("dest", &self.dest);
        object.close();
    }
}

impl Retention {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Interest => "interest",
            Self::WorkQueue => "workqueue",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Limits, Self::Interest, Self::WorkQueue].into_iter().find(|r| r.word() == word)
    }
}

impl Discard {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Old, Self::New].into_iter().find(|d| d.word().eq_ignore_ascii_case(word))
    }
}

impl Compression {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::S2 => "s2",
        }
    }
}

impl PersistMode {
    fn from_word(word: &str) -> Option<Self> {
        match word {
            "" | "default" => Some(Self::Default),
            "async" => Some(Self::Async),
            _ => None,
        }
    }
}

/// The word for a kind of storage.
pub fn storage_word(storage: StorageKind) -> &'static str {
    match storage {
        StorageKind::File => "file",
        StorageKind::Memory => "memory",
    }
}

fn storage_from_word(word: &str) -> Option<StorageKind> {
    [StorageKind::File, StorageKind::Memory].into_iter().find(|s| storage_word(*s) == word)
}

fn decode_compression(value: &Value<'_>, into: &mut Compression) -> Result<Field, JsonError> {
    let word = match value {
        Value::Null => "",
        Value::String(word) => word,
        Value::Number(_) => return Err(go_value_mismatch("number")),
        Value::Bool(_) => return Err(go_value_mismatch("bool")),
        Value::Array(_) => return Err(go_value_mismatch("array")),
        Value::Object(_) => return Err(go_value_mismatch("object")),
    };
    *into = match word {
        "none" => Compression::None,
        "s2" => Compression::S2,
        _ => return Err(JsonError(String::from("unknown compression algorithm"))),
    };
    Ok(Field::Known)
}

fn go_value_mismatch(given: &str) -> JsonError {
    JsonError(format!("json: cannot unmarshal {given} into Go value of type string"))
}

fn decode_placement(
    decoder: &mut Decoder,
    value: &Value<'_>,
    into: &mut Option<Placement>,
) -> Result<Field, JsonError> {
    if *value == Value::Null {
        return Ok(Field::Known);
    }
    let mut placement = Placement::default();
    decoder.object(value, "Placement", |decoder, key, value| match key {
        "cluster" => decoder.string(value, &mut placement.cluster),
        "tags" => decoder.strings(value, &mut placement.tags),
        "preferred" => decoder.string(value, &mut placement.preferred),
        _ => Ok(Field::Unknown),
    })?;
    *into = Some(placement);
    Ok(Field::Known)
}

fn decode_republish(
    decoder: &mut Decoder,
    value: &Value<'_>,
    into: &mut Option<Republish>,
) -> Result<Field, JsonError> {
    if *value == Value::Null {
        return Ok(Field::Known);
    }
    let mut republish = Republish::default();
    decoder.object(value, "RePublish", |decoder, key, value| match key {
        "src" => decoder.string(value, &mut republish.src),
        "dest" => decoder.string(value, &mut republish.dest),
        "headers_only" => decoder.bool(value, &mut republish.headers_only),
        _ => Ok(Field::Unknown),
    })?;
    *into = Some(republish);
    Ok(Field::Known)
}

/// Writes mappings and ends the array.
pub fn write_mappings(mut array: Array<'_>, mappings: &[SubjectMapping]) {
    for mapping in mappings {
        mapping.write(array.element());
    }
    array.close();
}

/// Writes `metadata` with `extra` among it, in order of keys; nothing if there is none.
pub fn write_metadata(
    object: &mut Object<'_>,
    metadata: &BTreeMap<String, String>,
    extra: &[(&str, &str)],
) {
    if metadata.is_empty() && extra.is_empty() {
        return;
    }
    let mut all: BTreeMap<&str, &str> = extra.iter().copied().collect();
    all.extend(metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let mut inner = Object::open(object.key("metadata"));
    for (key, value) in all {
        let out = inner.key_escaped(key);
        super::json::write_string(out, value.as_bytes());
    }
    inner.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        StreamConfigRequest::decode(text.as_bytes(), true).unwrap_err().0
    }

    /// Goal: the words of nats-server 2.15.1. Method: recorded from it.
    #[test]
    fn complaints_are_those_of_the_server() {
        let field = "into Go struct field StreamConfigRequest";
        for (text, expected) in [
            (
                r#"{"max_age":"1s"}"#,
                format!("json: cannot unmarshal string {field}.max_age of type time.Duration"),
            ),
            (
                r#"{"max_age":1.5}"#,
                format!("json: cannot unmarshal number 1.5 {field}.max_age of type time.Duration"),
            ),
            (
                r#"{"max_msg_size":99999999999}"#,
                format!("json: cannot unmarshal number 99999999999 {field}.max_msg_size of type int32"),
            ),
            (
                r#"{"subjects":"x"}"#,
                format!("json: cannot unmarshal string {field}.subjects of type []string"),
            ),
            (
                r#"{"subjects":[1]}"#,
                String::from("json: cannot unmarshal number into StreamConfigRequest.subjects.0 of type string"),
            ),
            (
                r#"{"mirror":{"name":1}}"#,
                format!("json: cannot unmarshal number {field}.mirror.name of type string"),
            ),
            (
                r#"{"mirror":"x"}"#,
                format!("json: cannot unmarshal string {field}.mirror of type server.StreamSource"),
            ),
            (r#"{"mirror":{"foo":1}}"#, String::from("json: unknown field \"foo\"")),
            (
                r#"{"sources":[{"opt_start_time":1}]}"#,
                format!("json: cannot unmarshal number {field}.sources.0.opt_start_time of type time.Time"),
            ),
            (r#"{"retention":"foo"}"#, String::from("can not unmarshal \"\\\"foo\\\"\"")),
            (r#"{"compression":"foo"}"#, String::from("unknown compression algorithm")),
            (
                r#"{"compression":1}"#,
                String::from("json: cannot unmarshal number into Go value of type string"),
            ),
            (
                r#"{"metadata":{"a":1}}"#,
                format!("json: cannot unmarshal number {field}.metadata.a of type string"),
            ),
            (
                "[]",
                String::from("json: cannot unmarshal array into Go value of type server.StreamConfigRequest"),
            ),
            (r#"{"name":1,"zzz":1}"#, format!("json: cannot unmarshal number {field}.name of type string")),
        ] {
            assert_eq!(complaint(text), expected, "{text}");
        }
    }

    #[test]
    fn keys_are_taken_in_any_case_and_the_last_one_wins() {
        let text = br#"{"NAME":"A","Subjects":["a"],"name":null} {"name":"B","discard":"NEW"}"#;
        let request = StreamConfigRequest::decode(text, true).unwrap();
        assert_eq!(request.config.name, "B");
        assert_eq!(request.config.subjects, ["a"]);
        assert_eq!(request.config.discard, Discard::New);
        assert!(StreamConfigRequest::decode(b"", true).unwrap().config.name.is_empty());
        assert!(StreamConfigRequest::decode(br#"{"zzz":1}"#, false).is_ok());
    }

    #[test]
    fn a_configuration_is_read_back_as_it_was_written() {
        let text = r#"{"name":"A","description":"<d>","subjects":["a.>"],"retention":"workqueue","max_consumers":1,"max_msgs":2,"max_bytes":3,"max_age":4,"max_msgs_per_subject":5,"max_msg_size":6,"discard":"new","storage":"memory","num_replicas":1,"no_ack":true,"duplicate_window":7,"placement":{"cluster":"c","tags":["t"],"preferred":"p"},"mirror":{"name":"M","opt_start_seq":1,"opt_start_time":"2026-01-01T00:00:00Z","filter_subject":"f","subject_transforms":[{"src":"s","dest":"d"}],"external":{"api":"x","deliver":"y"},"consumer":{"name":"n","deliver_subject":"q"}},"sources":[{"name":"S"}],"compression":"s2","first_seq":8,"subject_transform":{"src":"a","dest":"b"},"republish":{"src":"a","dest":"c","headers_only":true},"allow_direct":true,"mirror_direct":true,"discard_new_per_subject":true,"sealed":true,"deny_delete":true,"deny_purge":true,"allow_rollup_hdrs":true,"consumer_limits":{"inactive_threshold":1,"max_ack_pending":2},"allow_msg_ttl":true,"subject_delete_marker_ttl":9,"allow_msg_counter":true,"allow_atomic":true,"allow_msg_schedules":true,"persist_mode":"async","allow_batched":true,"metadata":{"a":"b"}}"#;
        let config = StreamConfig::decode(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        config.write(&mut out);
        let expected = text.replace('<', "\\u003c").replace('>', "\\u003e");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
