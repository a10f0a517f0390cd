//! `authorization { ... }` and lists of users.

use super::entry::{is_off, Entry, GO_MAP};
use super::findings::{Findings, Problem};
use super::grammar::{parse_duration, Node, Value};
use super::{callout, permissions, Options};
use crate::account::{ConnectionType, PermissionRules, Secret, UserOptions};

use std::time::Duration;

/// Reads the block into `options`; what is wrong with it is noted.
pub(super) fn read(node: &Node, options: &mut Options, findings: &mut Findings) {
    let Value::Map(map) = &node.value else {
        let problem = Problem::Type { found: node.value.go_type(), wanted: GO_MAP };
        return findings.error(node, problem);
    };
    let defaults = Options::default();
    (options.user, options.password, options.token) = (None, None, None);
    options.auth_timeout = defaults.auth_timeout;
    options.access.callout = None;
    let mut list = None;
    let mut common = None;
    for (name, node) in map {
        let read = match name.to_lowercase().as_str() {
            "users" => {
                list = Some(node);
                Ok(())
            }
            "default_permissions" | "default_permission" | "permissions" => {
                common = Some(permissions::read(node, findings));
                Ok(())
            }
            "auth_callout" | "auth_hook" => {
                options.access.callout = callout::read(node, findings);
                Ok(())
            }
            _ => credential(name, node, options, findings),
        };
        if let Err(problem) = read {
            findings.error(node, problem);
        }
    }
    let has_user = options.user.is_some() || options.password.is_some();
    if has_user && options.token.is_some() {
        findings.error(node, Problem::UserAndToken);
    }
    let Some(list) = list else { return };
    if has_user {
        findings.error(node, Problem::UserAndUsers);
    }
    if options.token.is_some() {
        findings.error(node, Problem::TokenAndUsers);
    }
    options.access.users = users(list, common.as_ref(), findings);
    let mut names: Vec<&str> = options.access.users.iter().map(|user| user.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        findings.error(node, Problem::DuplicateUser(pair[0].to_owned()));
    }
}

/// Reads a list of users; those without permissions get the `common` ones.
pub(super) fn users(
    node: &Node,
    common: Option<&PermissionRules>,
    findings: &mut Findings,
) -> Vec<UserOptions> {
    let Value::Array(items) = &node.value else {
        findings.error(node, Problem::NotAnArray(node.value.shown()));
        return Vec::new();
    };
    items.iter().filter_map(|item| user(item, common, findings)).collect()
}

fn user(
    item: &Node,
    common: Option<&PermissionRules>,
    findings: &mut Findings,
) -> Option<UserOptions> {
    let Value::Map(map) = &item.value else {
        findings.error(item, Problem::NotAMap { what: "user entry", found: item.value.shown() });
        return None;
    };
    let (mut name, mut password, mut nkey) = (None, None, None);
    let mut own = None;
    let mut connection_types = None;
    for (key, node) in map {
        let entry = Entry { name: key, node };
        let read = match key.to_lowercase().as_str() {
            "user" | "username" => entry.text().map(|text| name = text),
            "pass" | "password" => entry.text().map(|text| password = text),
            "nkey" => entry.text().map(|text| nkey = text),
            "permission" | "permissions" | "authorization" => {
                own = Some(permissions::read(node, findings));
                Ok(())
            }
            "allowed_connection_types" | "connection_types" | "clients" => {
                types(node).map(|types| connection_types = types)
            }
            "proxy_required" if !is_off(&node.value) => {
                Err(Problem::NotBuilt { name: key.clone(), feature: "trusted proxies" })
            }
            "proxy_required" => Ok(()),
            _ if node.used_as_variable => Ok(()),
            _ => Err(Problem::Unknown(key.clone())),
        };
        if let Err(problem) = read {
            findings.error(node, problem);
            return None;
        }
    }
    let last = map.values().max_by(|left, right| left.place.cmp(&right.place)).unwrap_or(item);
    if let Some(nkey) = nkey {
        if let Some(problem) = nkey_problem(&nkey, name.is_some() || password.is_some()) {
            findings.error(last, problem);
            return None;
        }
        return Some(UserOptions {
            name: nkey,
            is_nkey: true,
            password: Secret::new(""),
            permissions: own.or_else(|| common.cloned()),
            connection_types,
        });
    }
    let Some(name) = name else {
        findings.error(last, Problem::UserWithoutName);
        return None;
    };
    Some(UserOptions {
        name,
        is_nkey: false,
        password: Secret::new(&password.unwrap_or_default()),
        permissions: own.or_else(|| common.cloned()),
        connection_types,
    })
}

fn nkey_problem(nkey: &str, has_name: bool) -> Option<Problem> {
    let looks_right = nkey.starts_with('U') && nkeys::KeyPair::from_public_key(nkey).is_ok();
    match (looks_right, has_name) {
        (false, _) => Some(Problem::UserNkey),
        (true, true) => Some(Problem::NkeyWithName),
        (true, false) => None,
    }
}

fn types(node: &Node) -> Result<Option<Vec<ConnectionType>>, Problem> {
    let mut names = Vec::new();
    match &node.value {
        Value::String(name) => names.push(name.as_str()),
        Value::Array(items) => {
            for item in items {
                let Value::String(name) = &item.value else {
                    return Err(Problem::ConnectionTypesType(item.value.go_type()));
                };
                names.push(name);
            }
        }
        other => return Err(Problem::ConnectionTypesType(other.go_type())),
    }
    let unknown: Vec<String> = names
        .iter()
        .filter(|name| ConnectionType::find(name).is_none())
        .map(|name| format!("{:?}", name.to_uppercase()))
        .collect();
    if !unknown.is_empty() {
        return Err(Problem::ConnectionTypes(unknown.join(" ")));
    }
    let found: Vec<_> = names.into_iter().filter_map(ConnectionType::find).collect();
    Ok((!found.is_empty()).then_some(found))
}

fn credential(
    name: &str,
    node: &Node,
    options: &mut Options,
    findings: &mut Findings,
) -> Result<(), Problem> {
    let entry = Entry { name, node };
    match name.to_lowercase().as_str() {
        "user" | "username" => options.user = entry.text()?,
        "pass" | "password" => options.password = entry.text()?,
        "token" => options.token = entry.text()?,
        "timeout" => {
            let timeout = timeout(entry, findings)?;
            if !timeout.is_zero() {
                options.auth_timeout = timeout;
            }
        }
        "proxy_required" => return entry.not_built("trusted proxies"),
        _ if node.used_as_variable => {}
        _ => return Err(Problem::Unknown(name.to_owned())),
    }
    Ok(())
}

/// Seconds, whole or not, or a duration.
pub(super) fn timeout(entry: Entry<'_>, findings: &mut Findings) -> Result<Duration, Problem> {
    let (timeout, written) = match &entry.node.value {
        Value::Integer(seconds) => (seconds_of(*seconds as f64), seconds.to_string()),
        Value::Float(seconds) => (seconds_of(*seconds), seconds.to_string()),
        Value::String(text) => (parse_duration(text).map_err(Problem::Timeout)?, text.clone()),
        _ => return Err(Problem::TimeoutType),
    };
    if timeout > TIMEOUT_HIGH {
        let seconds = timeout.as_secs_f64();
        findings.warn(entry.node, Problem::TimeoutHigh { written, seconds });
    }
    Ok(timeout)
}

/// A number out of range means the default, as zero does.
fn seconds_of(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Above this an authorization timeout is suspected to be a duration without quotes.
const TIMEOUT_HIGH: Duration = Duration::from_secs(60);
