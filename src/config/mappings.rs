//! `mappings { source: destination }`.

use super::entry::{Entry, GO_MAP};
use super::findings::{Findings, Problem};
use super::grammar::{Node, Value};
use crate::account::{Mapping, MappingTarget, Mappings};

/// Reads a block of mappings; what is wrong with it is noted.
pub(super) fn read(node: &Node, findings: &mut Findings) -> Mappings {
    let mut mappings = Mappings::default();
    let Value::Map(map) = &node.value else {
        let problem = Problem::Type { found: node.value.go_type(), wanted: GO_MAP };
        findings.error(node, problem);
        return mappings;
    };
    let mut entries: Vec<(&String, &Node)> = map.iter().collect();
    entries.sort_by(|left, right| left.1.place.cmp(&right.1.place));
    for (source, node) in entries {
        let Some(targets) = targets(node, findings) else { continue };
        match Mapping::new(source, &targets, None) {
            Ok(mapping) => mappings.push(mapping),
            Err(error) => findings.error(node, Problem::Mapping(error)),
        }
    }
    mappings
}

/// One destination, or a list of them; `None` if one is wrong.
fn targets(node: &Node, findings: &mut Findings) -> Option<Vec<MappingTarget>> {
    match &node.value {
        Value::String(destination) => Some(vec![MappingTarget {
            destination: destination.clone(),
            weight: 100,
            cluster: None,
        }]),
        Value::Map(_) => Some(vec![target(node, node, findings)?]),
        Value::Array(items) => {
            let read: Vec<_> = items.iter().map(|item| target(item, item, findings)).collect();
            read.into_iter().collect()
        }
        _ => {
            findings.error(node, Problem::MappingEntry);
            None
        }
    }
}

fn target(item: &Node, place: &Node, findings: &mut Findings) -> Option<MappingTarget> {
    let Value::Map(map) = &item.value else {
        findings.error(place, Problem::MappingEntry);
        return None;
    };
    let mut destination = String::new();
    let mut cluster = None;
    let mut given = None;
    let mut is_fine = true;
    for (name, node) in map {
        let entry = Entry { name, node };
        let read = match name.to_lowercase().as_str() {
            "dest" | "destination" => {
                entry.text().map(|text| destination = text.unwrap_or_default())
            }
            "cluster" => entry.text().map(|text| cluster = text),
            "weight" => weight(&node.value).map(|weight| given = Some(weight)),
            _ if node.used_as_variable => Ok(()),
            _ => Err(Problem::UnknownMappingField(name.clone())),
        };
        if let Err(problem) = read {
            findings.error(node, problem);
            is_fine = false;
        }
    }
    if !is_fine {
        return None;
    }
    let Some(weight) = given else {
        findings.error(place, Problem::WeightMissing(destination));
        return None;
    };
    Some(MappingTarget { destination, weight, cluster })
}

/// A percentage, with its sign or without.
fn weight(value: &Value) -> Result<u8, Problem> {
    let in_range = |number: i64| u8::try_from(number).ok().filter(|weight| *weight <= 100);
    match value {
        Value::Integer(number) => {
            in_range(*number).ok_or_else(|| Problem::Weight(number.to_string()))
        }
        Value::String(text) => text
            .trim_end_matches('%')
            .parse()
            .ok()
            .and_then(in_range)
            .ok_or_else(|| Problem::Weight(format!("{text:?}"))),
        other => Err(Problem::WeightType(other.shown())),
    }
}
