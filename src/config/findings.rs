//! What is wrong with a configuration file, and where; nats-server's texts.
//!
//! Errors and warnings are collected, so that one run shows all of them, each with its place. A
//! warning alone does not stop a start, but it fails a test run (`-t`): nats-server's rule.

use std::time::Duration;

use super::grammar::{DurationError, Node};
use super::shards::CpuListError;
use super::validate::go_duration;
use crate::account::{ExportError, ImportError, MappingError, RuleError};

/// What reading a file left to say.
#[derive(Debug, Default)]
pub(super) struct Findings {
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
}

/// One line about one place of a file.
#[derive(Debug)]
struct Finding {
    /// `file`, or `file:line:column`.
    place: String,
    problem: Problem,
}

impl Findings {
    /// Whether nothing stops the start.
    pub(super) fn allow_start(&self) -> bool {
        self.errors.is_empty()
    }

    /// Whether there is nothing to say.
    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty() && self.warnings.is_empty()
    }

    pub(super) fn error(&mut self, node: &Node, problem: Problem) {
        self.errors.push(Finding { place: node.place.to_string(), problem });
    }

    /// nats-server does not say where some things are wrong.
    pub(super) fn error_without_place(&mut self, problem: Problem) {
        self.errors.push(Finding { place: String::new(), problem });
    }

    /// A warning about a whole file.
    pub(super) fn warn_of_file(&mut self, path: &str, problem: Problem) {
        self.warnings.push(Finding { place: path.to_owned(), problem });
    }

    pub(super) fn warn(&mut self, node: &Node, problem: Problem) {
        self.warnings.push(Finding { place: node.place.to_string(), problem });
    }
}

impl std::fmt::Display for Findings {
    /// Each on its line, warnings first.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.warnings.iter().chain(&self.errors).try_for_each(|Finding { place, problem }| {
            match place.as_str() {
                "" => writeln!(f, "{problem}"),
                place => writeln!(f, "{place}: {problem}"),
            }
        })
    }
}

/// What may be wrong with an entry; nats-server's texts, but for what is not built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Problem {
    #[error("config has no values or is empty")]
    Empty,
    #[error("{0}")]
    Trace(String),
    #[error("unknown field {0:?}")]
    Unknown(String),
    #[error("option {name:?} is not supported yet: it needs {feature}")]
    NotBuilt { name: String, feature: &'static str },
    #[error("interface conversion: interface {{}} is {found}, not {wanted}")]
    Type { found: &'static str, wanted: &'static str },
    #[error("{0} value is too big")]
    TooBig(String),
    #[error("{0} value can not be negative")]
    Negative(String),
    #[error("error parsing {name}: {error}")]
    Duration { name: String, error: DurationError },
    #[error("invalid use of field {0:?}: {0} should be converted to a duration")]
    NotADuration(String),
    #[error("invalid lame_duck_duration of {}, minimum is 30 seconds", go_duration(*.0))]
    LameDuckTooShort(Duration),
    #[error("invalid lame_duck_grace_period, needs to be positive")]
    GraceNegative,
    #[error("could not parse address string {0:?}")]
    Address(String),
    #[error("could not parse port {0:?}")]
    Port(String),
    #[error("expected port or host:port, got {0}")]
    Listen(&'static str),
    #[error("server name cannot contain spaces")]
    ServerName,
    #[error("error parsing authorization config, 'timeout' wrong type")]
    TimeoutType,
    #[error("error parsing authorization config, 'timeout' {0}")]
    Timeout(DurationError),
    #[error(
        "invalid use of field \"timeout\": timeout of {written} ({seconds:.6} seconds) is high, \
         consider keeping it under 60 seconds. possibly caused by unquoted duration; use '1m' \
         instead of 1m, for example"
    )]
    TimeoutHigh { written: String, seconds: f64 },
    #[error("invalid log_format {0:?}: it is text or json")]
    LogFormat(String),
    #[error("Cannot have a user/pass and token")]
    UserAndToken,
    #[error("{0}")]
    Tls(String),
    #[error("{0}")]
    Operator(String),
    #[error("{0}")]
    WebSocket(String),
    #[error("{0}")]
    Peers(String),
    #[error("{0}")]
    Callout(String),
    #[error("Can not have a single user/pass and a users array")]
    UserAndUsers,
    #[error("Can not have a token and a users array")]
    TokenAndUsers,
    #[error("Can not have a single user/pass and accounts")]
    UserAndAccounts,
    #[error("Can not have a token and accounts")]
    TokenAndAccounts,
    #[error("Duplicate user {0:?} detected")]
    DuplicateUser(String),
    #[error("User entry requires a user")]
    UserWithoutName,
    #[error("Not a valid public nkey for a user")]
    UserNkey,
    #[error("Nkey users do not take usernames or passwords")]
    NkeyWithName,
    #[error("Expected users field to be an array, got {0}")]
    NotAnArray(String),
    #[error("Expected {what} to be a map/struct, got {found}")]
    NotAMap { what: &'static str, found: String },
    #[error("invalid connection types [{0}]")]
    ConnectionTypes(String),
    #[error("error parsing allowed connection types: unsupported type {0}")]
    ConnectionTypesType(&'static str),
    #[error(transparent)]
    Rule(RuleError),
    #[error("Expected subject permissions to be a subject, or array of subjects, got {0}")]
    SubjectPermissionType(&'static str),
    #[error(
        "Unknown field name {0:?} parsing subject permissions, only 'allow' or 'deny' are permitted"
    )]
    UnknownSubjectPermission(String),
    #[error("Unknown field {0:?} parsing permissions")]
    UnknownPermission(String),
    #[error("error parsing response permissions, expected a boolean or a map")]
    ResponseType,
    #[error("error parsing {0}, not a duration string")]
    NotADurationString(String),
    #[error(transparent)]
    Mapping(MappingError),
    #[error("Expected an entry for the mapping destination")]
    MappingEntry,
    #[error("Unknown field {0:?} for mapping destination")]
    UnknownMappingField(String),
    #[error("Missing weight for mapping destination {0:?}")]
    WeightMissing(String),
    #[error("Invalid weight {0} for mapping destination")]
    Weight(String),
    #[error("Unknown entry type for weight of {0}\n")]
    WeightType(String),
    #[error("Expected map entries for accounts")]
    AccountEntry,
    #[error("{0:?} is a Reserved Account")]
    ReservedAccount(String),
    #[error("Duplicate Account Entry: {0}")]
    DuplicateAccount(String),
    #[error("Not a valid public nkey for an account: {0:?}")]
    AccountNkey(String),
    #[error("Exports should be an array, got {0}")]
    ExportsType(&'static str),
    #[error("Export Items should be a map with type entry, got {0}")]
    ExportItem(&'static str),
    #[error("Expected {what} name to be string, got {found}")]
    ExportName { what: &'static str, found: &'static str },
    #[error("Detected stream {0:?} but already saw a service")]
    StreamBehindService(String),
    #[error("Detected service {0:?} but already saw a stream")]
    ServiceBehindStream(String),
    #[error("Duplicate response type definition")]
    ResponseTypeTwice,
    #[error("Expected response type to be string, got {0}")]
    ResponseTypeType(&'static str),
    #[error("Unknown response type: {0:?}")]
    ResponseTypeWord(String),
    #[error("Detected response directive on non-service")]
    ResponseOfStream,
    #[error("Duplicate response threshold detected")]
    ThresholdTwice,
    #[error("Expected response threshold to be a parseable time duration, got {0}")]
    ThresholdType(String),
    #[error("Expected latency entry to be a map/struct or string, got {0}")]
    LatencyType(&'static str),
    #[error("Latency subject required, but missing")]
    LatencySubjectMissing,
    // nats-server does not name the type that it has found.
    #[error("Expected latency subject to be a string, got string")]
    LatencySubjectType,
    #[error("Failed to parse latency sample: strconv.Atoi: parsing {0:?}: invalid syntax")]
    SampleText(String),
    #[error("Expected latency sample to be a string or map/struct, got {0}")]
    SampleType(&'static str),
    #[error("bad sampling percentage, should be 1-100")]
    SampleRange,
    #[error("Detected latency directive on non-service")]
    LatencyOfStream,
    #[error("Detected allow_trace directive on non-service")]
    TraceOfStream,
    #[error("{account:?} account not defined for {what}")]
    NoSuchAccount { account: String, what: &'static str },
    #[error("Error adding {what} export {subject:?}: {error}")]
    Export { what: &'static str, subject: String, error: ExportError },
    #[error(
        "Error adding service latency sampling for {service:?} on subject {subject:?}: {error}"
    )]
    Latency { service: String, subject: String, error: ExportError },
    #[error("Error adding service latency sampling for {0:?}: system account not setup")]
    LatencyWithoutSystem(String),
    #[error("Imports should be an array, got {0}")]
    ImportsType(&'static str),
    #[error("Import Items should be a map with type entry, got {0}")]
    ImportItem(&'static str),
    #[error("{what} entry should be an account map, got {found}")]
    ImportSource { what: &'static str, found: &'static str },
    #[error("Expect an account name and a subject")]
    ImportSourceMissing,
    #[error("Detected stream but already saw a service")]
    StreamImportBehindService,
    #[error("Detected service but already saw a stream")]
    ServiceImportBehindStream,
    #[error("Stream import can not have a 'prefix' and a 'to' property")]
    PrefixAndTo,
    #[error("Detected allow_trace directive on a non-stream")]
    TraceOfServiceImport,
    #[error(
        "Duplicate service import subject {to:?}, previously used in import for account \
         {account:?}, subject {subject:?}"
    )]
    ServiceImportTwice { to: String, account: String, subject: String },
    #[error("Error adding {what} import {subject:?}: {error}")]
    Import { what: &'static str, subject: String, error: Box<ImportError> },
    #[error("Unknown field {0:?} parsing account limits")]
    UnknownLimit(String),
    #[error("Expected map, bool or string to define JetStream, got {0}")]
    JetStreamType(&'static str),
    #[error("Expected 'enabled' or 'disabled' for string value, got '{0}'")]
    JetStreamWord(String),
    #[error("Expected 'true' or 'false' for bool value, got '{0}'")]
    JetStreamBool(String),
    #[error("error parsing feature flags: unsupported type {0}")]
    FeatureFlags(&'static str),
    #[error("error parsing feature flag {name:?}: expected bool, got {kind}")]
    FeatureFlag { name: String, kind: &'static str },
    #[error("Expected a map to define JetStreamLimits, got {0}")]
    JetStreamLimits(&'static str),
    #[error("Duplicate 'store_dir' configuration")]
    DuplicateStoreDir,
    #[error("Unknown cipher type: {0:?}")]
    Cipher(String),
    #[error("{0} sizes defined as strings must end in K, M, G, T")]
    SizeSuffix(String),
    #[error("error parsing cpus: {0}")]
    Cpus(CpuListError),
    #[error("invalid busy_poll of {0}, maximum is {1}")]
    BusyPollLong(String, String),
    #[error("invalid memory of {0} bytes for a shard, minimum is {1}")]
    ShardMemorySmall(usize, usize),
    #[error("Expected a parseable size for {name:?}, got {text}")]
    Size { name: String, text: String },
}
