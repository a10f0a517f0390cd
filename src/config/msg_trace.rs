//! `msg_trace: "subject"`, or `msg_trace { dest, sampling }`.

use super::entry::Entry;
use super::findings::{Findings, Problem};
use super::grammar::Value;
use crate::account::TraceTarget;

/// Reads the option; what is wrong with it is noted.
pub(super) fn read(entry: Entry<'_>, findings: &mut Findings) -> Option<TraceTarget> {
    let target = match &entry.node.value {
        Value::String(text) => destination(text).map(|destination| (Some(destination), None)),
        Value::Map(map) => {
            let (mut given, mut sampling) = (None, None);
            for (key, node) in map {
                let read = match (key.to_lowercase().as_str(), &node.value) {
                    ("dest", Value::String(text)) => {
                        destination(text).map(|text| given = Some(text))
                    }
                    ("dest", other) => {
                        Err(format!("Field {key:?} should be a string, got {}", other.go_type()))
                    }
                    ("sampling", value) => sampled(key, value).map(|found| sampling = Some(found)),
                    _ if node.used_as_variable => Ok(()),
                    _ => Err(format!(
                        "Unknown field {key:?} parsing account message trace map/struct {:?}",
                        entry.name
                    )),
                };
                if let Err(text) = read {
                    findings.error(node, Problem::Trace(text));
                    return None;
                }
            }
            Ok((given, sampling))
        }
        other => Err(format!(
            "Expected account message trace {:?} to be a string or a map/struct, got {}",
            entry.name,
            other.go_type()
        )),
    };
    let text = match target {
        Ok((Some(destination), sampling)) => {
            return Some(TraceTarget { destination, sampling: sampling.unwrap_or(100) })
        }
        Ok((None, Some(_))) => {
            "Trace destination sampling ignored since no destination was set".to_owned()
        }
        Ok((None, None)) => return None,
        Err(text) => text,
    };
    findings.error(entry.node, Problem::Trace(text));
    None
}

fn destination(text: &str) -> Result<String, String> {
    if TraceTarget::may_be(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("Trace destination {text:?} is not valid"))
    }
}

/// A number, or a percentage.
fn sampled(key: &str, value: &Value) -> Result<u8, String> {
    let number = match value {
        Value::Integer(number) => *number,
        Value::String(text) => {
            let digits = text.trim().trim_end_matches('%');
            let invalid = || format!("Invalid trace destination sampling value {text:?}");
            digits.parse().map_err(|_| invalid())?
        }
        other => {
            return Err(format!(
                "Trace destination sampling field {key:?} should be an integer or a percentage, \
                 got {}",
                other.go_type()
            ))
        }
    };
    let percent = u8::try_from(number).ok().filter(|percent| (1..=100).contains(percent));
    percent.ok_or_else(|| {
        // The word is nats-server's.
        format!("Ttrace destination sampling value {number} is invalid, needs to be [1..100]")
    })
}
