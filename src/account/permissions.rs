//! What one user may publish and subscribe to.

use std::time::Duration;

use super::PatternSet;
use crate::subject::{covers, is_valid_pattern, matches, overlaps};

/// Permissions as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PermissionRules {
    /// Subjects of PUB.
    pub publish: SubjectRules,
    /// Subjects of SUB: `subject`, or `subject queue`.
    pub subscribe: SubjectRules,
    /// Replies that are allowed on top.
    pub responses: Option<ResponseRule>,
}

/// Allowed and denied subjects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectRules {
    /// Allowed; all, if there is none.
    pub allow: Vec<String>,
    /// Denied, whatever is allowed.
    pub deny: Vec<String>,
}

/// `allow_responses`: how often and how long a request may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseRule {
    /// Messages for one request. `None`: any number.
    pub messages_max: Option<u32>,
    /// Time from the request on. `None`: for ever.
    pub expires: Option<Duration>,
}

impl Default for ResponseRule {
    fn default() -> Self {
        Self { messages_max: Some(1), expires: Some(Duration::from_secs(120)) }
    }
}

/// Why a rule cannot be; nats-server's texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Not a subject.
    #[error("subject {0:?} is not a valid subject")]
    Subject(String),
    /// Not a queue.
    #[error("queue {0:?} is not a valid queue")]
    Queue(String),
}

impl PermissionRules {
    /// Checks a rule for PUB.
    ///
    /// # Errors
    /// A text to show.
    pub fn check_publish(rule: &str) -> Result<(), RuleError> {
        is_valid_pattern(rule.as_bytes())
            .then_some(())
            .ok_or_else(|| RuleError::Subject(rule.to_owned()))
    }

    /// Checks a rule for SUB.
    ///
    /// # Errors
    /// A text to show.
    pub fn check_subscribe(rule: &str) -> Result<(), RuleError> {
        let words: Vec<&str> = rule.split_ascii_whitespace().collect();
        let (subject, queue) = match words[..] {
            [subject] => (subject, None),
            [subject, queue] => (subject, Some(queue)),
            _ => (rule, None),
        };
        if !is_valid_pattern(subject.as_bytes()) {
            return Err(RuleError::Subject(subject.to_owned()));
        }
        match queue {
            Some(queue) if !is_valid_pattern(queue.as_bytes()) => {
                Err(RuleError::Queue(queue.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// Permissions, ready to be asked. Shared by all connections of a user.
#[derive(Debug)]
pub struct Permissions {
    /// `None`: everything.
    publish_allow: Option<PatternSet>,
    publish_deny: PatternSet,
    /// `None`: everything.
    subscribe_allow: Option<Box<[SubscribeRule]>>,
    subscribe_deny: Box<[SubscribeRule]>,
    responses: Option<ResponseRule>,
    rules: PermissionRules,
}

/// What is said to a SUB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeVerdict {
    /// It is refused.
    Refused,
    /// It is taken.
    Allowed,
    /// It is taken, but some of its messages are denied: each has to be asked
    /// for with [`Permissions::denies_delivery`].
    Filtered,
}

/// `subject` or `subject queue`.
#[derive(Debug)]
struct SubscribeRule {
    subject: Box<[u8]>,
    queue: Option<Box<[u8]>>,
}

impl Permissions {
    /// Compiles rules that were checked.
    pub fn new(rules: PermissionRules) -> Self {
        let texts = |list: &[String]| PatternSet::new(list.iter().map(String::as_str));
        let PermissionRules { publish, subscribe, responses } = &rules;
        // Whoever may answer may not publish anything else.
        let closed = responses.is_some() && publish.allow.is_empty();
        Self {
            publish_allow: (closed || !publish.allow.is_empty()).then(|| texts(&publish.allow)),
            publish_deny: texts(&publish.deny),
            subscribe_allow: (!subscribe.allow.is_empty())
                .then(|| subscribe.allow.iter().map(|rule| SubscribeRule::new(rule)).collect()),
            subscribe_deny: subscribe.deny.iter().map(|rule| SubscribeRule::new(rule)).collect(),
            responses: *responses,
            rules,
        }
    }

    /// What they were made of.
    pub fn rules(&self) -> &PermissionRules {
        &self.rules
    }

    /// Whether every publish is allowed.
    pub fn allow_all_publishes(&self) -> bool {
        self.publish_allow.is_none() && self.publish_deny.is_empty()
    }

    /// Whether a message to `subject` may be published.
    pub fn allows_publish(&self, subject: &[u8]) -> bool {
        self.publish_allow.as_ref().is_none_or(|allow| allow.matches(subject))
            && !self.publish_deny.matches(subject)
    }

    /// What a request opens, if replies are allowed.
    pub fn responses(&self) -> Option<ResponseRule> {
        self.responses
    }

    /// Whether `pattern` may be subscribed to, as a member of `queue` or alone.
    ///
    /// A rule with a queue speaks of members of that queue only; if any such
    /// allow rule covers the pattern, a member needs one that names its queue.
    pub fn check_subscribe(&self, pattern: &[u8], queue: Option<&[u8]>) -> SubscribeVerdict {
        if !self.allows_subscribe(pattern, queue) || self.denies_delivery(pattern, queue) {
            return SubscribeVerdict::Refused;
        }
        let overlaps =
            |rule: &SubscribeRule| rule.speaks_of(queue) && overlaps(&rule.subject, pattern);
        if self.subscribe_deny.iter().any(overlaps) {
            SubscribeVerdict::Filtered
        } else {
            SubscribeVerdict::Allowed
        }
    }

    /// Whether a message to `subject` is kept from a subscription of `queue`.
    pub fn denies_delivery(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        let denies =
            |rule: &SubscribeRule| rule.speaks_of(queue) && matches(&rule.subject, subject);
        self.subscribe_deny.iter().any(denies)
    }

    fn allows_subscribe(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        let Some(rules) = &self.subscribe_allow else { return true };
        let mut plain = false;
        let mut for_queues = false;
        for rule in rules.iter().filter(|rule| covers(&rule.subject, pattern)) {
            match (&rule.queue, queue) {
                (None, None) => return true,
                (None, Some(_)) => plain = true,
                (Some(_), None) => {}
                (Some(names), Some(queue)) if matches(names, queue) => return true,
                (Some(_), Some(_)) => for_queues = true,
            }
        }
        plain && !for_queues
    }
}

impl PartialEq for Permissions {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl SubscribeRule {
    fn new(rule: &str) -> Self {
        let mut words = rule.split_ascii_whitespace().map(str::as_bytes);
        let subject = words.next().unwrap_or_default().into();
        Self { subject, queue: words.next().map(Into::into) }
    }

    /// Whether the rule, as one that denies, is about members of `queue`.
    fn speaks_of(&self, queue: Option<&[u8]>) -> bool {
        match (&self.queue, queue) {
            (None, _) => true,
            (Some(names), Some(queue)) => matches(names, queue),
            (Some(_), None) => false,
        }
    }
}

#[cfg(test)]
#[path = "permissions_tests.rs"]
mod tests;
