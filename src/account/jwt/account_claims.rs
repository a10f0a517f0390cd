//! What an account's token says.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::claims::{nullable, Claims};
use super::permission::PermissionClaims;
use super::token::{read_body, Body, KeyKind, Token};
use super::user_claims::UserRules;
use crate::account::{AccountLimits, JetStreamLimits, Mapping, MappingTarget, Mappings, Sampling};

/// The token of an account.
pub type AccountToken = Token<AccountBody>;

/// What an account is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AccountBody {
    /// What it takes from others.
    #[serde(deserialize_with = "nullable")]
    pub imports: Vec<ImportClaim>,
    /// What it offers to others.
    #[serde(deserialize_with = "nullable")]
    pub exports: Vec<ExportClaim>,
    /// What its clients may use.
    #[serde(deserialize_with = "nullable")]
    pub limits: LimitClaims,
    /// Keys that may sign users besides its own.
    #[serde(deserialize_with = "nullable")]
    pub signing_keys: Vec<SigningKey>,
    /// Users, or `*` for all, whose tokens of before a time are void.
    #[serde(deserialize_with = "nullable")]
    pub revocations: BTreeMap<String, i64>,
    /// Permissions of users that have none.
    #[serde(deserialize_with = "nullable")]
    pub default_permissions: PermissionClaims,
    /// Subjects that become others.
    #[serde(deserialize_with = "nullable")]
    pub mappings: BTreeMap<String, Vec<MappingClaim>>,
    /// Who decides on its users.
    #[serde(deserialize_with = "nullable")]
    pub authorization: CalloutClaims,
    /// Where traces of messages go.
    pub trace: Option<TraceClaim>,
    /// `system` or `owner`: on whose connections a cluster talks of it.
    #[serde(deserialize_with = "nullable")]
    pub cluster_traffic: String,
    /// For people.
    #[serde(deserialize_with = "nullable")]
    pub description: String,
}

/// What accounts give one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TradeKind {
    /// Messages.
    Stream,
    /// Answers to requests.
    Service,
}

/// What an account takes from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ImportClaim {
    /// For people.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// The exporter's subject.
    pub subject: String,
    /// The exporter.
    pub account: String,
    /// An activation token, if the export needs one.
    #[serde(deserialize_with = "nullable")]
    pub token: String,
    /// The local subject, as versions before `local_subject` wrote it.
    #[serde(deserialize_with = "nullable")]
    pub to: String,
    /// The local subject; `$1` is the first wildcard.
    #[serde(deserialize_with = "nullable")]
    pub local_subject: String,
    /// Whether it is a stream or a service.
    #[serde(rename = "type")]
    pub kind: Option<TradeKind>,
    /// The exporter is told who asks.
    pub share: bool,
    /// Traces go on in the exporter.
    pub allow_trace: bool,
}

/// What an account offers to others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ExportClaim {
    /// For people.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// What is offered.
    pub subject: String,
    /// Whether it is a stream or a service.
    #[serde(rename = "type")]
    pub kind: Option<TradeKind>,
    /// Importers need an activation token.
    pub token_req: bool,
    /// Importers, or `*` for all, whose activations of before a time are void.
    #[serde(deserialize_with = "nullable")]
    pub revocations: BTreeMap<String, i64>,
    /// `Singleton`, `Stream` or `Chunked`; empty is the first.
    #[serde(deserialize_with = "nullable")]
    pub response_type: String,
    /// Nanoseconds that an answer may take; 0 is the default.
    pub response_threshold: i64,
    /// Where latency is told.
    pub service_latency: Option<LatencyClaim>,
    /// The token of the subject that must be the importer's own key; 0 is none.
    pub account_token_position: u32,
    /// Traces go on here.
    pub allow_trace: bool,
}

/// How latency of a service is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LatencyClaim {
    /// Percent of requests, or `"headers"`.
    pub sampling: serde_json::Value,
    /// The subject.
    pub results: String,
}

/// What an account's clients may use; below 0 is no limit, 0 is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LimitClaims {
    /// Subscriptions of one connection.
    pub subs: i64,
    /// Bytes, enforced by nobody.
    pub data: i64,
    /// Bytes of one message.
    pub payload: i64,
    /// Imports.
    pub imports: i64,
    /// Exports.
    pub exports: i64,
    /// Exports may have wildcards.
    pub wildcards: bool,
    /// Client connections.
    pub conn: i64,
    /// Leaf nodes.
    pub leaf: i64,
    /// No user may go without signing the nonce.
    pub disallow_bearer: bool,
    /// What it may use of JetStream, unless by tier.
    #[serde(flatten)]
    pub jetstream: JetStreamTier,
    /// What it may use of JetStream by number of replicas: `R1`, `R3`.
    #[serde(deserialize_with = "nullable")]
    pub tiered_limits: BTreeMap<String, JetStreamTier>,
}

/// What an account may use of JetStream; below 0 is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct JetStreamTier {
    /// Bytes in memory.
    pub mem_storage: i64,
    /// Bytes in files.
    pub disk_storage: i64,
    /// Streams; 0 is no limit.
    pub streams: i64,
    /// Consumers; 0 is no limit.
    pub consumer: i64,
    /// Unacknowledged messages of one consumer; 0 is no limit.
    pub max_ack_pending: i64,
    /// Bytes of one stream in memory; 0 is no limit.
    pub mem_max_stream_bytes: i64,
    /// Bytes of one stream in files; 0 is no limit.
    pub disk_max_stream_bytes: i64,
    /// A stream must say how many bytes it may hold.
    pub max_bytes_required: bool,
}

/// A key that may sign users.
#[derive(Clone, Debug, PartialEq)]
pub struct SigningKey {
    /// The public key.
    pub key: String,
    /// What its users may do; `None`: what their tokens say.
    pub scope: Option<Box<Scope>>,
}

/// What users of a signing key may do.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// For people.
    #[serde(deserialize_with = "nullable")]
    pub role: String,
    /// The rules, with variables in their subjects.
    #[serde(deserialize_with = "nullable")]
    pub template: UserRules,
}

/// A destination of a mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MappingClaim {
    /// Where to.
    pub subject: String,
    /// Of a hundred; 0 is all.
    pub weight: u8,
    /// Only for servers of this cluster.
    #[serde(deserialize_with = "nullable")]
    pub cluster: String,
}

/// Who decides on an account's users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CalloutClaims {
    /// Users that nobody is asked about: those that decide.
    #[serde(deserialize_with = "nullable")]
    pub auth_users: Vec<String>,
    /// Accounts that users may be bound to; none is only this one, `*` is all.
    #[serde(deserialize_with = "nullable")]
    pub allowed_accounts: Vec<String>,
    /// Public curve key that requests are sealed for; empty is none.
    #[serde(deserialize_with = "nullable")]
    pub xkey: String,
}

/// Where traces of messages go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TraceClaim {
    /// The subject.
    pub dest: String,
    /// Percent of the messages.
    pub sampling: i64,
}

impl Body for AccountBody {
    const KIND: &'static str = "account";
    const ISSUERS: &'static [KeyKind] = &[KeyKind::Operator, KeyKind::Account];
    const SUBJECT: KeyKind = KeyKind::Account;

    fn read(nats: &str) -> Result<Self, serde_json::Error> {
        read_body(nats)
    }
}

impl AccountBody {
    /// The signing key of this text.
    pub fn signing_key(&self, key: &str) -> Option<&SigningKey> {
        self.signing_keys.iter().find(|signing| signing.key == key)
    }

    /// Whether a token of a user that was made at a time is void.
    pub fn is_revoked(&self, user: &str, issued_at: i64) -> bool {
        let is_void = |name: &str| self.revocations.get(name).is_some_and(|&at| issued_at <= at);
        is_void(user) || is_void("*")
    }

    /// The mappings; those that are malformed are left out, as no text can be shown to anybody.
    pub fn mappings(&self) -> Mappings {
        let mut mappings = Mappings::default();
        for (source, targets) in &self.mappings {
            let targets: Vec<MappingTarget> = targets.iter().map(MappingClaim::target).collect();
            if let Ok(mapping) = Mapping::new(source, &targets, None) {
                mappings.push(mapping);
            }
        }
        mappings
    }
}

impl TradeKind {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Service => "service",
        }
    }
}

impl ImportClaim {
    /// The exporter's subject. Of services `to` named it once.
    pub fn remote(&self) -> &str {
        match self.kind {
            Some(TradeKind::Service) if self.local_subject.is_empty() && !self.to.is_empty() => {
                &self.to
            }
            _ => &self.subject,
        }
    }

    /// The own subject.
    pub fn local(&self) -> &str {
        match &*self.local_subject {
            "" => &self.subject,
            local => local,
        }
    }

    /// The token is elsewhere, and this is its address.
    pub fn names_token(&self) -> bool {
        self.token.starts_with("http://") || self.token.starts_with("https://")
    }
}

impl LatencyClaim {
    /// Which requests are measured; `None` if that means nothing.
    pub fn sampling(&self) -> Option<Sampling> {
        let percent = match &self.sampling {
            serde_json::Value::Null => 0,
            serde_json::Value::String(text) if text.eq_ignore_ascii_case("headers") => 0,
            other => other.as_u64()?,
        };
        match u8::try_from(percent) {
            Ok(0) => Some(Sampling::Headers),
            Ok(percent @ 1..=100) => Some(Sampling::Percent(percent)),
            _ => None,
        }
    }
}

impl MappingClaim {
    fn target(&self) -> MappingTarget {
        MappingTarget {
            destination: self.subject.clone(),
            weight: if self.weight == 0 { 100 } else { self.weight },
            cluster: (!self.cluster.is_empty()).then(|| self.cluster.clone()),
        }
    }
}

impl LimitClaims {
    /// Limits of the account's clients.
    pub fn account(&self) -> AccountLimits {
        let limit = |claim: i64| u32::try_from(claim).ok();
        AccountLimits {
            connections: limit(self.conn),
            subscriptions: limit(self.subs),
            payload: limit(self.payload),
            leaf_nodes: limit(self.leaf),
        }
    }

    /// What the account may use of JetStream. One server keeps one replica of everything, so of
    /// several tiers that of one replica holds.
    pub fn jetstream(&self) -> Option<JetStreamLimits> {
        let tier = match self.tiered_limits.get("R1") {
            Some(tier) => tier,
            None if self.tiered_limits.is_empty() => &self.jetstream,
            None => return None,
        };
        (tier.mem_storage != 0 || tier.disk_storage != 0).then(|| tier.limits())
    }
}

impl JetStreamTier {
    fn limits(&self) -> JetStreamLimits {
        let limit = |claim: i64| u64::try_from(claim).ok();
        let unless_zero = |claim: i64| limit(claim).filter(|&limit| limit > 0);
        JetStreamLimits {
            memory_bytes: limit(self.mem_storage),
            store_bytes: limit(self.disk_storage),
            streams: unless_zero(self.streams),
            consumers: unless_zero(self.consumer),
            max_bytes_required: self.max_bytes_required,
            memory_stream_bytes: unless_zero(self.mem_max_stream_bytes),
            store_stream_bytes: unless_zero(self.disk_max_stream_bytes),
            ack_pending: unless_zero(self.max_ack_pending),
        }
    }
}

impl Claims<AccountBody> {
    /// The name for people: the one given, else the public key.
    pub fn shown_name(&self) -> &str {
        if self.name.is_empty() {
            &self.subject
        } else {
            &self.name
        }
    }
}

/// A public key, or an object with what its users may do.
impl<'de> Deserialize<'de> for SigningKey {
    fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Key(String),
            Scoped {
                key: String,
                #[serde(flatten)]
                scope: Box<Scope>,
            },
        }
        Ok(match Written::deserialize(decoder)? {
            Written::Key(key) => Self { key, scope: None },
            Written::Scoped { key, scope } => Self { key, scope: Some(scope) },
        })
    }
}
