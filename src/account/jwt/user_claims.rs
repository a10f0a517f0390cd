//! What a user's token says.

use serde::Deserialize;

use super::claims::nullable;
use super::permission::PermissionClaims;
use super::reach::TimeRange;
use super::token::{read_body, Body, KeyKind, Token};

/// The token of a user.
pub type UserToken = Token<UserBody>;

/// A user: its rules, and whose it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserBody {
    /// What it may do. Empty for users of a scoped signing key.
    pub rules: UserRules,
    /// The account, if a signing key of it has issued the token; else empty.
    pub issuer_account: String,
}

/// What a user may do; also what a scoped signing key says of its users.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct UserRules {
    /// Subjects.
    #[serde(flatten)]
    pub permissions: PermissionClaims,
    /// Networks it may come from (`192.0.2.0/24`); none is everywhere.
    #[serde(deserialize_with = "nullable")]
    pub src: Vec<String>,
    /// Times of the day at which it may be connected; none is always.
    #[serde(deserialize_with = "nullable")]
    pub times: Vec<TimeRange>,
    /// The time zone of `times` by its IANA name; empty is the server's own.
    #[serde(rename = "times_location", deserialize_with = "nullable")]
    pub locale: String,
    /// Subscriptions of one connection; below 0 is any number.
    pub subs: i64,
    /// Bytes, enforced by nobody.
    pub data: i64,
    /// Bytes of one message; below 0 is any number.
    pub payload: i64,
    /// Whoever has the token may use it, without signing the nonce.
    pub bearer_token: bool,
    /// It must come through a trusted proxy.
    pub proxy_required: bool,
    /// Ways to connect; none is all.
    #[serde(deserialize_with = "nullable")]
    pub allowed_connection_types: Vec<String>,
}

impl UserRules {
    /// Whether nothing is said, as users of a scoped signing key must.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Deserialize)]
struct Rest {
    #[serde(default, deserialize_with = "nullable")]
    issuer_account: String,
}

impl Body for UserBody {
    const KIND: &'static str = "user";
    const ISSUERS: &'static [KeyKind] = &[KeyKind::Account];
    const SUBJECT: KeyKind = KeyKind::User;

    fn read(nats: &str) -> Result<Self, serde_json::Error> {
        let rest: Rest = read_body(nats)?;
        Ok(Self { rules: read_body(nats)?, issuer_account: rest.issuer_account })
    }
}
