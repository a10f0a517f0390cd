//! Who asks, as `$SYS.REQ.USER.INFO` answers it.

use std::sync::Arc;

use serde::Serialize;

/// A client that asks for something of its own account.
#[derive(Clone, Debug, Default)]
pub struct UserFacts {
    /// Its connection number.
    pub cid: u64,
    /// Who it is; secrets are not shown.
    pub user: String,
    /// Its account.
    pub account: Arc<str>,
    /// The names that tokens give account and user; the account's own name without a token.
    pub account_name: String,
    /// See above.
    pub user_name: String,
    /// Nanoseconds until its token is void.
    pub expires: Option<u64>,
    /// What it may do, if not everything.
    pub permissions: Option<PermissionFacts>,
}

/// Allowed and denied subjects of both directions.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are named after the keys of the answer")]
pub struct PermissionFacts {
    pub publish_allow: Vec<String>,
    pub publish_deny: Vec<String>,
    pub subscribe_allow: Vec<String>,
    pub subscribe_deny: Vec<String>,
    /// Messages and nanoseconds of `allow_responses`; -1 is no limit.
    pub responses: Option<(i64, i64)>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct UserInfo<'a> {
    user: &'a str,
    account: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    account_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Permissions<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Permissions<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    publish: Option<Subjects<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscribe: Option<Subjects<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    responses: Option<Responses>,
}

#[derive(Debug, Serialize)]
struct Subjects<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    allow: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    deny: &'a [String],
}

#[derive(Debug, Serialize)]
struct Responses {
    max: i64,
    ttl: i64,
}

impl<'a> UserInfo<'a> {
    pub(super) fn of(facts: &'a UserFacts) -> Self {
        let subjects = |allow: &'a [String], deny: &'a [String]| {
            (!allow.is_empty() || !deny.is_empty()).then_some(Subjects { allow, deny })
        };
        Self {
            user: &facts.user,
            account: &facts.account,
            account_name: &facts.account_name,
            user_name: &facts.user_name,
            expires: facts.expires,
            permissions: facts.permissions.as_ref().map(|given| Permissions {
                publish: subjects(&given.publish_allow, &given.publish_deny),
                subscribe: subjects(&given.subscribe_allow, &given.subscribe_deny),
                responses: given.responses.map(|(max, ttl)| Responses { max, ttl }),
            }),
        }
    }
}
