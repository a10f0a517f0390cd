//! What every token claims, and what an operator's does.

use serde::{Deserialize, Deserializer};

use super::token::{read_body, Body, KeyKind, Token};

/// What a token says. Times are seconds since 1970, UTC.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims<B> {
    /// `jti`: names the token; nobody checks it.
    pub id: String,
    /// `iat`: when it was made.
    pub issued_at: i64,
    /// `iss`: the public key that has signed it.
    pub issuer: String,
    /// `sub`: the public key it is about.
    pub subject: String,
    /// `aud`: for whom it is; empty for all.
    pub audience: String,
    /// `name`: for people.
    pub name: String,
    /// `exp`: from then on it is void. `None`: never.
    pub expires: Option<i64>,
    /// `nbf`: until then it is void. `None`: it never was.
    pub not_before: Option<i64>,
    /// `tags` of the `nats` object, in lower case as tools write them: `key:value`, or a word.
    pub tags: Vec<String>,
    /// What tokens of its kind say.
    pub body: B,
}

impl<B> Claims<B> {
    /// Whether the token holds at a time.
    pub fn is_valid_at(&self, now: i64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
            && self.not_before.is_none_or(|not_before| not_before <= now)
    }
}

/// The token of an operator.
pub type OperatorToken = Token<OperatorBody>;

/// What an operator says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OperatorBody {
    /// Keys that may sign accounts besides its own.
    #[serde(deserialize_with = "nullable")]
    pub signing_keys: Vec<String>,
    /// Where accounts can be fetched.
    #[serde(deserialize_with = "nullable")]
    pub account_server_url: String,
    /// Where servers can be reached.
    #[serde(deserialize_with = "nullable")]
    pub operator_service_urls: Vec<String>,
    /// Public key of the system account.
    #[serde(deserialize_with = "nullable")]
    pub system_account: String,
    /// The oldest server that may be run, `major.minor.patch`.
    #[serde(deserialize_with = "nullable")]
    pub assert_server_version: String,
    /// Accounts are signed with signing keys only, never with the operator's own.
    pub strict_signing_key_usage: bool,
}

impl Body for OperatorBody {
    const KIND: &'static str = "operator";
    const ISSUERS: &'static [KeyKind] = &[KeyKind::Operator];
    const SUBJECT: KeyKind = KeyKind::Operator;

    fn read(nats: &str) -> Result<Self, serde_json::Error> {
        read_body(nats)
    }
}

/// A value that may be `null`, as Go writes what is empty.
pub(super) fn nullable<'de, D, T>(decoder: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(decoder).map(Option::unwrap_or_default)
}
