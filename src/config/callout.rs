//! `auth_callout { ... }`: a service that decides on clients.

use super::entry::Entry;
use super::findings::{Findings, Problem};
use super::grammar::{Node, Value};
use crate::account::jwt::{public_key_kind, KeyKind};
use crate::account::{CalloutOptions, GLOBAL_ACCOUNT};

/// Reads the block; `None` if something is wrong with it, which is noted.
pub(super) fn read(node: &Node, findings: &mut Findings) -> Option<CalloutOptions> {
    let Value::Map(map) = &node.value else {
        let problem = Problem::NotAMap { what: "authorization callout", found: node.value.shown() };
        findings.error(node, problem);
        return None;
    };
    let mut options =
        CalloutOptions { account: GLOBAL_ACCOUNT.to_owned(), ..CalloutOptions::default() };
    let mut is_fine = true;
    let mut last = node;
    for (name, node) in map {
        let entry = Entry { name, node };
        let read = match name.to_lowercase().as_str() {
            "issuer" => key(entry, "user", KeyKind::Account)
                .map(|issuer| options.issuer = issuer.unwrap_or_default()),
            "account" | "acc" => {
                entry.text().map(|name| options.account = name.unwrap_or_default())
            }
            "auth_users" | "users" => {
                list(entry, "auth_users").map(|users| options.auth_users = users)
            }
            "xkey" | "key" => key(entry, "xkey", KeyKind::Curve).map(|xkey| options.xkey = xkey),
            "allowed_accounts" => {
                list(entry, "allowed accounts").map(|names| options.allowed_accounts = names)
            }
            _ if node.used_as_variable => Ok(()),
            _ => Err(Problem::Callout(format!(
                "Unknown field {name:?} parsing authorization callout"
            ))),
        };
        if let Err(problem) = read {
            findings.error(node, problem);
            is_fine = false;
        }
        if node.place > last.place {
            last = node;
        }
    }
    let missing = match (options.issuer.as_str(), options.auth_users.as_slice()) {
        ("", _) => "Authorization callouts require an issuer to be specified",
        (_, []) => "Authorization callouts require authorized users to be specified",
        _ => return is_fine.then_some(options),
    };
    if is_fine {
        findings.error(last, Problem::Callout(missing.to_owned()));
    }
    None
}

/// A public key of a kind.
fn key(entry: Entry<'_>, what: &str, kind: KeyKind) -> Result<Option<String>, Problem> {
    let Some(key) = entry.text()? else { return Ok(None) };
    if public_key_kind(&key) == Some(kind) {
        return Ok(Some(key));
    }
    let kind = if kind == KeyKind::Curve { "xkey" } else { "account nkey" };
    Err(Problem::Callout(format!(
        "Expected callout {what} to be a valid public {kind}, got {key:?}"
    )))
}

fn list(entry: Entry<'_>, what: &str) -> Result<Vec<String>, Problem> {
    let Value::Array(items) = &entry.node.value else {
        let text = format!("Expected {what} field to be an array, got *conf.token");
        return Err(Problem::Callout(text));
    };
    items
        .iter()
        .map(|item| Entry { name: entry.name, node: item }.text())
        .map(|text| Ok(text?.unwrap_or_default()))
        .collect()
}
