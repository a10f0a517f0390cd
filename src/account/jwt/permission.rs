//! Permissions as tokens write them.

use std::time::Duration;

use serde::Deserialize;

use super::claims::nullable;
use crate::account::{PermissionRules, ResponseRule, SubjectRules};

/// What may be published and subscribed to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PermissionClaims {
    /// Subjects of PUB.
    #[serde(rename = "pub", deserialize_with = "nullable")]
    pub publish: SubjectClaims,
    /// Subjects of SUB: `subject`, or `subject queue`.
    #[serde(rename = "sub", deserialize_with = "nullable")]
    pub subscribe: SubjectClaims,
    /// Replies that are allowed on top.
    pub resp: Option<ResponseClaim>,
}

/// Allowed and denied subjects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SubjectClaims {
    /// Allowed; all, if there is none.
    #[serde(deserialize_with = "nullable")]
    pub allow: Vec<String>,
    /// Denied, whatever is allowed.
    #[serde(deserialize_with = "nullable")]
    pub deny: Vec<String>,
}

/// How often and how long a request may be answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ResponseClaim {
    /// Messages for one request; 0 is one, below 0 is any number.
    pub max: i64,
    /// Nanoseconds from the request on; 0 is two minutes, below 0 is for ever.
    pub ttl: i64,
}

impl PermissionClaims {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The rules they are; `None` if a subject is none.
    pub fn rules(&self) -> Option<PermissionRules> {
        let subjects = |claims: &SubjectClaims| SubjectRules {
            allow: claims.allow.clone(),
            deny: claims.deny.clone(),
        };
        let all = |claims: &SubjectClaims, check: fn(&str) -> bool| {
            claims.allow.iter().chain(&claims.deny).all(|rule| check(rule))
        };
        let is_sound = all(&self.publish, |rule| PermissionRules::check_publish(rule).is_ok())
            && all(&self.subscribe, |rule| PermissionRules::check_subscribe(rule).is_ok());
        is_sound.then(|| PermissionRules {
            publish: subjects(&self.publish),
            subscribe: subjects(&self.subscribe),
            responses: self.resp.as_ref().map(ResponseClaim::rule),
        })
    }
}

impl ResponseClaim {
    fn rule(&self) -> ResponseRule {
        let default = ResponseRule::default();
        ResponseRule {
            messages_max: match self.max {
                0 => default.messages_max,
                max => u32::try_from(max).ok(),
            },
            expires: match self.ttl {
                0 => default.expires,
                ttl => u64::try_from(ttl).ok().map(Duration::from_nanos),
            },
        }
    }
}
