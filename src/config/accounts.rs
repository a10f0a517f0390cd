//! `accounts { NAME { ... } }`.

use super::entry::Entry;
use super::findings::{Findings, Problem};
use super::grammar::{Map, Node, Value};
use super::imports::Wishes;
use super::{authorization, exports, imports, mappings, msg_trace, permissions, Options};
use crate::account::{
    AccessOptions, AccountLimits, AccountOptions, Export, JetStreamLimits, Offer, Wanted,
    GLOBAL_ACCOUNT,
};

/// Reads the block into `options`, whose `authorization` is read already; what
/// is wrong with it is noted.
pub(super) fn read(node: &Node, options: &mut Options, findings: &mut Findings) {
    options.access.accounts.clear();
    match &node.value {
        Value::Array(items) => {
            for item in items {
                named(item, options, findings);
            }
        }
        Value::Map(map) => {
            let mut trade = Trade::default();
            for (name, node) in in_order(map) {
                match &node.value {
                    _ if name == GLOBAL_ACCOUNT => {
                        findings.error(node, Problem::ReservedAccount(name.clone()));
                    }
                    Value::Map(_) => {
                        let account = account(name, node, options, &mut trade, findings);
                        options.access.accounts.push(account);
                    }
                    _ if node.used_as_variable => {}
                    _ => findings.error(node, Problem::AccountEntry),
                }
            }
            trade.settle(node, &mut options.access, findings);
        }
        _ => findings.error(node, Problem::AccountEntry),
    }
}

/// An account that is nothing but a name.
fn named(item: &Node, options: &mut Options, findings: &mut Findings) {
    let Value::String(name) = &item.value else {
        return findings.error(item, Problem::AccountEntry);
    };
    if name == GLOBAL_ACCOUNT {
        return findings.error(item, Problem::ReservedAccount(name.clone()));
    }
    if options.access.accounts.iter().any(|account| account.name == *name) {
        return findings.error(item, Problem::DuplicateAccount(name.clone()));
    }
    options.access.accounts.push(AccountOptions { name: name.clone(), ..Default::default() });
}

/// The entries of a map in the order of the file.
pub(super) fn in_order(map: &Map) -> Vec<(&String, &Node)> {
    let mut entries: Vec<(&String, &Node)> = map.iter().collect();
    entries.sort_by(|left, right| left.1.place.cmp(&right.1.place));
    entries
}

/// What accounts offer and want, until all accounts are known.
#[derive(Default)]
struct Trade {
    exports: Vec<(String, Export)>,
    streams: Vec<(String, Wanted)>,
    services: Vec<(String, Wanted)>,
}

impl Trade {
    fn offer(&mut self, account: &str, exports: Vec<Export>) {
        self.exports.extend(exports.into_iter().map(|export| (account.to_owned(), export)));
    }

    fn want(&mut self, account: &str, wishes: Wishes) {
        let of_account = |wanted| (account.to_owned(), wanted);
        self.streams.extend(wishes.streams.into_iter().map(of_account));
        self.services.extend(wishes.services.into_iter().map(of_account));
    }

    /// Offers first, then wishes, streams before services, as in nats-server.
    fn settle(self, node: &Node, access: &mut AccessOptions, findings: &mut Findings) {
        let mut refuse = |problem: Result<(), Problem>| {
            if let Err(problem) = problem {
                findings.error(node, problem);
            }
        };
        let (streams, services): (Vec<_>, Vec<_>) =
            self.exports.into_iter().partition(|(_, export)| export.offer == Offer::Stream);
        for (account, export) in streams {
            refuse(offer("stream", &account, export, access));
        }
        for (account, export) in services {
            refuse(offer("service", &account, export, access));
        }
        for (account, wanted) in &self.streams {
            let import = |access: &mut AccessOptions| access.import_stream(account, wanted);
            refuse(take("stream", wanted, access, import));
        }
        for (account, wanted) in &self.services {
            let import = |access: &mut AccessOptions| access.import_service(account, wanted);
            refuse(take("service", wanted, access, import));
        }
    }
}

fn offer(
    what: &'static str,
    account: &str,
    export: Export,
    access: &mut AccessOptions,
) -> Result<(), Problem> {
    for name in export.accounts() {
        if !access.accounts.iter().any(|known| known.name == *name) {
            let what = if what == "stream" { "stream export" } else { "service export" };
            return Err(Problem::NoSuchAccount { account: name.clone(), what });
        }
    }
    let subject = export.subject.clone();
    export.check().map_err(|error| Problem::Export { what, subject, error })?;
    if let Offer::Service(terms) = &export.offer {
        let latency = terms.latency.as_ref().map(|latency| latency.subject.clone());
        let (service, subject) = (export.subject.clone(), latency.unwrap_or_default());
        if terms.latency.is_some() && access.no_system_account {
            return Err(Problem::LatencyWithoutSystem(service));
        }
        terms.check().map_err(|error| Problem::Latency { service, subject, error })?;
    }
    access.export(account, export);
    Ok(())
}

fn take(
    what: &'static str,
    wanted: &Wanted,
    access: &mut AccessOptions,
    import: impl FnOnce(&mut AccessOptions) -> Result<(), crate::account::ImportError>,
) -> Result<(), Problem> {
    if !access.accounts.iter().any(|known| known.name == wanted.exporter) {
        let what = if what == "stream" { "stream import" } else { "service import" };
        return Err(Problem::NoSuchAccount { account: wanted.exporter.clone(), what });
    }
    let subject = wanted.subject.clone();
    import(access).map_err(|error| Problem::Import { what, subject, error: Box::new(error) })
}

fn account(
    name: &str,
    node: &Node,
    options: &Options,
    trade: &mut Trade,
    findings: &mut Findings,
) -> AccountOptions {
    let mut account = AccountOptions { name: name.to_owned(), ..AccountOptions::default() };
    let Value::Map(map) = &node.value else { return account };
    let mut users = None;
    let mut common = None;
    for (key, node) in map {
        let entry = Entry { name: key, node };
        let read = match key.to_lowercase().as_str() {
            "users" => {
                users = Some(node);
                Ok(())
            }
            "default_permissions" => {
                common = Some(permissions::read(node, findings));
                Ok(())
            }
            "mappings" | "maps" => {
                account.mappings = mappings::read(node, findings);
                Ok(())
            }
            "limits" => {
                account.limits = limits(node, findings);
                Ok(())
            }
            "jetstream" => {
                account.jetstream = jetstream(node, findings);
                Ok(())
            }
            "nkey" => match entry.text() {
                Ok(Some(nkey)) if is_account_nkey(&nkey) => entry.not_built("nkeys"),
                Ok(nkey) => Err(Problem::AccountNkey(nkey.unwrap_or_default())),
                Err(problem) => Err(problem),
            },
            "exports" => {
                trade.offer(name, exports::read(node, findings));
                Ok(())
            }
            "imports" => {
                trade.want(name, imports::read(node, findings));
                Ok(())
            }
            "msg_trace" | "trace_dest" => {
                account.trace = msg_trace::read(entry, findings);
                Ok(())
            }
            _ if node.used_as_variable => Ok(()),
            _ => Err(Problem::Unknown(key.clone())),
        };
        if let Err(problem) = read {
            findings.error(node, problem);
        }
    }
    if let Some(node) = users {
        if !matches!(node.value, Value::Array(_)) {
            findings.error_without_place(Problem::NotAnArray(node.value.shown()));
            return account;
        }
        account.users = authorization::users(node, common.as_ref(), findings);
        refuse_conflicts(&account, node, options, findings);
    }
    account
}

/// Users of all accounts share one space of names, and one secret for all does
/// not go with them.
fn refuse_conflicts(
    account: &AccountOptions,
    node: &Node,
    options: &Options,
    findings: &mut Findings,
) {
    let mut taken: Vec<&str> =
        options.access.all_users().map(|(_, user)| user.name.as_str()).collect();
    for user in &account.users {
        if taken.contains(&user.name.as_str()) {
            findings.error(node, Problem::DuplicateUser(user.name.clone()));
        }
        taken.push(&user.name);
    }
    if !account.users.is_empty() && options.user.is_some() {
        findings.error(node, Problem::UserAndAccounts);
    }
    if !account.users.is_empty() && options.token.is_some() {
        findings.error(node, Problem::TokenAndAccounts);
    }
}

fn limits(node: &Node, findings: &mut Findings) -> AccountLimits {
    let mut limits = AccountLimits::default();
    let Value::Map(map) = &node.value else {
        let problem = Problem::NotAMap { what: "account limits", found: node.value.shown() };
        findings.error(node, problem);
        return limits;
    };
    for (key, node) in map {
        let place = match key.to_lowercase().as_str() {
            "max_connections" | "max_conn" => &mut limits.connections,
            "max_subscriptions" | "max_subs" => &mut limits.subscriptions,
            "max_payload" | "max_pay" => &mut limits.payload,
            "max_leafnodes" | "max_leafs" => &mut limits.leaf_nodes,
            _ if node.used_as_variable => continue,
            _ => {
                findings.error(node, Problem::UnknownLimit(key.clone()));
                continue;
            }
        };
        match (Entry { name: key, node }).integer() {
            Ok(number) => *place = u32::try_from(number).ok(),
            Err(problem) => findings.error(node, problem),
        }
    }
    limits
}

fn jetstream(node: &Node, findings: &mut Findings) -> Option<JetStreamLimits> {
    let mut limits = JetStreamLimits::default();
    let map = match &node.value {
        Value::Bool(on) => return on.then_some(limits),
        Value::String(text) => match text.to_lowercase().as_str() {
            "enabled" | "enable" => return Some(limits),
            "disabled" | "disable" => return None,
            _ => {
                findings.error_without_place(Problem::JetStreamWord(text.clone()));
                return None;
            }
        },
        Value::Map(map) => map,
        other => {
            findings.error_without_place(Problem::JetStreamType(other.go_type()));
            return None;
        }
    };
    for (key, node) in map {
        let entry = Entry { name: key, node };
        let number = |place: &mut Option<u64>| {
            entry.integer().map(|number| *place = u64::try_from(number).ok())
        };
        let read = match key.to_lowercase().as_str() {
            "max_memory" | "max_mem" | "mem" | "memory" => number(&mut limits.memory_bytes),
            "max_store" | "max_file" | "max_disk" | "store" | "disk" => {
                number(&mut limits.store_bytes)
            }
            "max_streams" | "streams" => number(&mut limits.streams),
            "max_consumers" | "consumers" => number(&mut limits.consumers),
            "max_bytes_required" | "max_stream_bytes" | "max_bytes" => {
                entry.switch().map(|on| limits.max_bytes_required = on)
            }
            "mem_max_stream_bytes" | "memory_max_stream_bytes" => {
                number(&mut limits.memory_stream_bytes)
            }
            "disk_max_stream_bytes" | "store_max_stream_bytes" => {
                number(&mut limits.store_stream_bytes)
            }
            "max_ack_pending" => number(&mut limits.ack_pending),
            // Where Raft traffic of the account goes: it has none yet.
            "cluster_traffic" => entry.text().map(|_| ()),
            _ if node.used_as_variable => Ok(()),
            _ => Err(Problem::Unknown(key.clone())),
        };
        if let Err(problem) = read {
            findings.error(node, problem);
        }
    }
    Some(limits)
}

fn is_account_nkey(nkey: &str) -> bool {
    nkey.len() == 56
        && nkey.starts_with('A')
        && nkey.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
}
