//! `exports: [ { stream | service } ]` of an account.

use super::accounts::in_order;
use super::entry::Entry;
use super::findings::{Findings, Problem};
use super::grammar::{parse_duration, Node, Value};
use crate::account::{Access, Export, Latency, Offer, ResponseType, Sampling, Terms};

/// Reads the exports of an account; what is wrong with them is noted.
pub(super) fn read(node: &Node, findings: &mut Findings) -> Vec<Export> {
    let Value::Array(items) = &node.value else {
        findings.error(node, Problem::ExportsType(node.value.go_type()));
        return Vec::new();
    };
    items.iter().filter_map(|item| export(item, findings)).collect()
}

/// What is said of one export so far.
#[derive(Default)]
struct Draft {
    stream: Option<String>,
    service: Option<String>,
    terms: Terms,
    has_response: bool,
    has_threshold: bool,
    /// A key that only a service has, and what it is called.
    service_only: Option<(Node, Problem)>,
    accounts: Vec<String>,
    position: usize,
    allow_trace: bool,
}

fn export(item: &Node, findings: &mut Findings) -> Option<Export> {
    let Value::Map(map) = &item.value else {
        findings.error(item, Problem::ExportItem(item.value.go_type()));
        return None;
    };
    let mut draft = Draft::default();
    for (key, node) in in_order(map) {
        if let Err(problem) = draft.set(key, node, findings) {
            findings.error(node, problem);
        }
    }
    let access = if draft.position > 0 {
        Access::OwnToken(draft.position)
    } else if draft.accounts.is_empty() {
        Access::Public
    } else {
        Access::Private(draft.accounts)
    };
    if let (Some((node, problem)), Some(_)) = (draft.service_only, &draft.stream) {
        findings.error(&node, problem);
    }
    let (subject, offer) = match (draft.stream, draft.service) {
        (Some(subject), _) => (subject, Offer::Stream),
        (None, Some(subject)) => (subject, Offer::Service(draft.terms)),
        (None, None) => return None,
    };
    Some(Export { subject, offer, access, allow_trace: draft.allow_trace, activations: None })
}

impl Draft {
    fn set(&mut self, key: &str, node: &Node, findings: &mut Findings) -> Result<(), Problem> {
        let entry = Entry { name: key, node };
        match key.to_lowercase().as_str() {
            "stream" => {
                let subject = name_of("stream", &node.value)?;
                if self.service.is_some() {
                    return Err(Problem::StreamBehindService(subject));
                }
                self.stream = Some(subject);
            }
            "service" => {
                let subject = name_of("service", &node.value)?;
                if self.stream.is_some() {
                    return Err(Problem::ServiceBehindStream(subject));
                }
                self.service = Some(subject);
            }
            "response" | "response_type" => {
                if std::mem::replace(&mut self.has_response, true) {
                    return Err(Problem::ResponseTypeTwice);
                }
                self.terms.response = response_type(&node.value)?;
                self.of_service(node, Problem::ResponseOfStream);
            }
            "threshold" | "response_threshold" | "response_max_time" | "response_time" => {
                if std::mem::replace(&mut self.has_threshold, true) {
                    return Err(Problem::ThresholdTwice);
                }
                let Value::String(text) = &node.value else {
                    return Err(Problem::ThresholdType(node.value.go_type().to_owned()));
                };
                let positive = text.strip_prefix('-').unwrap_or(text);
                let threshold = parse_duration(positive)
                    .map_err(|_| Problem::ThresholdType(format!("{text:?}")))?;
                if !threshold.is_zero() && positive == text {
                    self.terms.threshold = threshold;
                }
                self.of_service(node, Problem::ResponseOfStream);
            }
            "accounts" => self.accounts = accounts(entry, findings)?,
            "latency" => {
                self.terms.latency = latency(&node.value, findings)?;
                self.of_service(node, Problem::LatencyOfStream);
            }
            "account_token_position" => {
                // No subject has a token there.
                self.position = usize::try_from(entry.integer()?).unwrap_or(usize::MAX);
            }
            "allow_trace" => {
                self.allow_trace = entry.switch()?;
                self.of_service(node, Problem::TraceOfStream);
            }
            _ if node.used_as_variable => {}
            _ => return Err(Problem::Unknown(key.to_owned())),
        }
        Ok(())
    }

    fn of_service(&mut self, node: &Node, problem: Problem) {
        if self.service_only.is_none() {
            self.service_only = Some((node.clone(), problem));
        }
    }
}

fn name_of(what: &'static str, value: &Value) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(Problem::ExportName { what, found: other.go_type() }),
    }
}

fn response_type(value: &Value) -> Result<ResponseType, Problem> {
    let Value::String(text) = value else {
        return Err(Problem::ResponseTypeType(value.go_type()));
    };
    match text.to_lowercase().as_str() {
        "single" | "singleton" => Ok(ResponseType::Singleton),
        "stream" => Ok(ResponseType::Stream),
        "chunk" | "chunked" => Ok(ResponseType::Chunked),
        _ => Err(Problem::ResponseTypeWord(text.clone())),
    }
}

fn accounts(entry: Entry<'_>, findings: &mut Findings) -> Result<Vec<String>, Problem> {
    let Value::Array(items) = &entry.node.value else {
        return Err(entry.wrong("[]interface {}"));
    };
    let mut name = |item: &Node| match &item.value {
        Value::String(name) => Some(name.clone()),
        _ => {
            findings.error(item, Entry { name: entry.name, node: item }.wrong("string"));
            None
        }
    };
    Ok(items.iter().filter_map(&mut name).collect())
}

/// A subject, or a map with one.
fn latency(value: &Value, findings: &mut Findings) -> Result<Option<Latency>, Problem> {
    let mut sampling = Sampling::Percent(100);
    let map = match value {
        Value::String(subject) => return Ok(Some(Latency { sampling, subject: subject.clone() })),
        Value::Map(map) => map,
        other => return Err(Problem::LatencyType(other.go_type())),
    };
    if let Some(node) = map.get("sampling") {
        match sampled(&node.value) {
            Ok(found) => sampling = found,
            Err(problem) => {
                findings.error(node, problem);
                return Ok(None);
            }
        }
    }
    let Some(node) = map.get("subject") else { return Err(Problem::LatencySubjectMissing) };
    let Value::String(subject) = &node.value else {
        findings.error(node, Problem::LatencySubjectType);
        return Ok(None);
    };
    Ok(Some(Latency { sampling, subject: subject.clone() }))
}

fn sampled(value: &Value) -> Result<Sampling, Problem> {
    let number = match value {
        Value::Integer(number) => *number,
        Value::String(text) if text.eq_ignore_ascii_case("headers") => {
            return Ok(Sampling::Headers);
        }
        Value::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or(text);
            digits.parse().map_err(|_| Problem::SampleText(digits.to_owned()))?
        }
        other => return Err(Problem::SampleType(other.go_type())),
    };
    match u8::try_from(number) {
        Ok(percent @ 1..=100) => Ok(Sampling::Percent(percent)),
        _ => Err(Problem::SampleRange),
    }
}
