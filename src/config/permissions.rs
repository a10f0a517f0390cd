//! `permissions { publish, subscribe, allow_responses }`.

use std::time::Duration;

use super::entry::Entry;
use super::findings::{Findings, Problem};
use super::grammar::{parse_duration, Node, Value};
use crate::account::{PermissionRules, ResponseRule, RuleError, SubjectRules};

/// Reads a block of permissions; what is wrong with it is noted.
pub(super) fn read(node: &Node, findings: &mut Findings) -> PermissionRules {
    let mut rules = PermissionRules::default();
    let Value::Map(map) = &node.value else {
        findings.error(node, Problem::NotAMap { what: "permissions", found: node.value.shown() });
        return rules;
    };
    for (name, node) in map {
        match name.to_lowercase().as_str() {
            "pub" | "publish" | "import" => {
                rules.publish = subject_rules(node, PermissionRules::check_publish, findings);
            }
            "sub" | "subscribe" | "export" => {
                rules.subscribe = subject_rules(node, PermissionRules::check_subscribe, findings);
            }
            "allow_responses" | "publish_allow_responses" => {
                rules.responses = responses(node, findings);
            }
            _ if node.used_as_variable => {}
            _ => findings.error(node, Problem::UnknownPermission(name.clone())),
        }
    }
    rules
}

type Check = fn(&str) -> Result<(), RuleError>;

fn subject_rules(node: &Node, check: Check, findings: &mut Findings) -> SubjectRules {
    let mut rules = SubjectRules::default();
    let Value::Map(map) = &node.value else {
        match subjects(&node.value, check) {
            Ok(allow) => rules.allow = allow,
            Err(problem) => findings.error_without_place(problem),
        }
        return rules;
    };
    for (name, node) in map {
        let list = match name.to_lowercase().as_str() {
            "allow" => &mut rules.allow,
            "deny" => &mut rules.deny,
            _ if node.used_as_variable => continue,
            _ => {
                findings.error(node, Problem::UnknownSubjectPermission(name.clone()));
                continue;
            }
        };
        match subjects(&node.value, check) {
            Ok(found) => *list = found,
            Err(problem) => findings.error(node, problem),
        }
    }
    rules
}

fn subjects(value: &Value, check: Check) -> Result<Vec<String>, Problem> {
    let one = |value: &Value| match value {
        Value::String(text) => {
            check(text).map_err(Problem::Rule)?;
            Ok(text.clone())
        }
        other => Err(Problem::SubjectPermissionType(other.go_type())),
    };
    match value {
        Value::Array(items) => items.iter().map(|item| one(&item.value)).collect(),
        value => Ok(vec![one(value)?]),
    }
}

fn responses(node: &Node, findings: &mut Findings) -> Option<ResponseRule> {
    let mut rule = ResponseRule::default();
    let map = match &node.value {
        Value::Bool(on) => return on.then_some(rule),
        Value::Map(map) => map,
        _ => {
            findings.error(node, Problem::ResponseType);
            return None;
        }
    };
    for (name, node) in map {
        let read = match name.to_lowercase().as_str() {
            "max" | "max_msgs" | "max_messages" | "max_responses" => {
                Entry { name, node }.integer().map(|max| {
                    rule.messages_max = match u32::try_from(max) {
                        Ok(0) => ResponseRule::default().messages_max,
                        Ok(max) => Some(max),
                        Err(_) => None,
                    };
                })
            }
            "expires" | "expiration" | "ttl" => expires(name, &node.value).map(|expires| {
                rule.expires = expires;
            }),
            _ if node.used_as_variable => Ok(()),
            _ => Err(Problem::UnknownPermission(name.clone())),
        };
        if let Err(problem) = read {
            findings.error(node, problem);
        }
    }
    Some(rule)
}

/// Zero is the default, and a negative time means for ever.
fn expires(name: &str, value: &Value) -> Result<Option<Duration>, Problem> {
    let name = || name.to_owned();
    let Value::String(text) = value else { return Err(Problem::NotADurationString(name())) };
    if let Some(positive) = text.strip_prefix('-') {
        return match parse_duration(positive) {
            Ok(_) => Ok(None),
            Err(error) => Err(Problem::Duration { name: name(), error }),
        };
    }
    match parse_duration(text) {
        Ok(duration) if duration.is_zero() => Ok(ResponseRule::default().expires),
        Ok(duration) => Ok(Some(duration)),
        Err(error) => Err(Problem::Duration { name: name(), error }),
    }
}
