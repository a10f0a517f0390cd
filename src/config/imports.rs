//! `imports: [ { stream | service } ]` of an account.

use super::accounts::in_order;
use super::entry::Entry;
use super::findings::{Findings, Problem};
use super::grammar::{Node, Value};
use crate::account::Wanted;

/// What an account wants of others.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) streams: Vec<Wanted>,
    pub(super) services: Vec<Wanted>,
}

/// Reads the imports of an account; what is wrong with them is noted.
pub(super) fn read(node: &Node, findings: &mut Findings) -> Wishes {
    let mut wishes = Wishes::default();
    let Value::Array(items) = &node.value else {
        findings.error(node, Problem::ImportsType(node.value.go_type()));
        return wishes;
    };
    for item in items {
        let Some((is_stream, wanted)) = import(item, findings) else { continue };
        if is_stream {
            wishes.streams.push(wanted);
            continue;
        }
        let is_same =
            |known: &&Wanted| known.exporter == wanted.exporter && known.local() == wanted.local();
        match wishes.services.iter().find(is_same) {
            Some(known) => findings.error(
                item,
                Problem::ServiceImportTwice {
                    to: wanted.local().to_owned(),
                    account: known.exporter.clone(),
                    subject: known.subject.clone(),
                },
            ),
            None => wishes.services.push(wanted),
        }
    }
    wishes
}

/// One import, and whether it is one of a stream.
fn import(item: &Node, findings: &mut Findings) -> Option<(bool, Wanted)> {
    let Value::Map(map) = &item.value else {
        findings.error(item, Problem::ImportItem(item.value.go_type()));
        return None;
    };
    let mut wanted = Wanted::default();
    let mut is_stream = None;
    for (key, node) in in_order(map) {
        let entry = Entry { name: key, node };
        let read = match key.to_lowercase().as_str() {
            "stream" if is_stream == Some(false) => Err(Problem::StreamImportBehindService),
            "service" if is_stream == Some(true) => Err(Problem::ServiceImportBehindStream),
            kind @ ("stream" | "service") => {
                let names = if kind == "stream" { "Stream" } else { "Service" };
                source(names, node, &mut wanted, findings)
                    .map(|()| is_stream = Some(kind == "stream"))
            }
            "prefix" => entry.text().map(|text| wanted.prefix = text.unwrap_or_default()),
            "to" => match entry.text() {
                Ok(_) if is_stream == Some(true) && !wanted.prefix.is_empty() => {
                    Err(Problem::PrefixAndTo)
                }
                text => text.map(|text| wanted.to = text.unwrap_or_default()),
            },
            "share" => entry.switch().map(|on| wanted.share = on),
            "allow_trace" => match entry.switch() {
                Ok(_) if is_stream == Some(false) => Err(Problem::TraceOfServiceImport),
                on => on.map(|on| wanted.allow_trace = on),
            },
            _ if node.used_as_variable => Ok(()),
            _ => Err(Problem::Unknown(key.clone())),
        };
        if let Err(problem) = read {
            findings.error(node, problem);
        }
    }
    is_stream.map(|is_stream| (is_stream, wanted))
}

/// `{account: NAME, subject: "..."}`.
fn source(
    what: &'static str,
    node: &Node,
    wanted: &mut Wanted,
    findings: &mut Findings,
) -> Result<(), Problem> {
    let Value::Map(map) = &node.value else {
        return Err(Problem::ImportSource { what, found: node.value.go_type() });
    };
    for (key, node) in in_order(map) {
        let entry = Entry { name: key, node };
        let read = match key.to_lowercase().as_str() {
            "account" => entry.text().map(|text| wanted.exporter = text.unwrap_or_default()),
            "subject" => entry.text().map(|text| wanted.subject = text.unwrap_or_default()),
            _ if node.used_as_variable => Ok(()),
            _ => Err(Problem::Unknown(key.clone())),
        };
        if let Err(problem) = read {
            findings.error(node, problem);
        }
    }
    if wanted.exporter.is_empty() || wanted.subject.is_empty() {
        return Err(Problem::ImportSourceMissing);
    }
    Ok(())
}
