//! The way of one message, as it is told to who asked for it.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::super::times::rfc3339;
use super::server_card::ServerCard;
use crate::subject::AccountId;

/// What is told.
#[derive(Clone, Debug)]
pub struct TraceReport {
    /// The publisher's account.
    pub account: AccountId,
    /// Where it is told.
    pub destination: Vec<u8>,
    /// The message's headers.
    pub headers: Vec<u8>,
    /// Bytes of headers and body.
    pub size: usize,
    /// What happened, in order.
    pub events: Vec<TraceEvent>,
}

/// One thing that happened to the message. Times are nanoseconds of the wall clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
#[expect(missing_docs, reason = "the fields are named after the keys of the event")]
pub enum TraceEvent {
    /// It came from a client.
    #[serde(rename = "in")]
    Ingress {
        #[serde(serialize_with = "time")]
        ts: u64,
        kind: u8,
        cid: u64,
        #[serde(skip_serializing_if = "String::is_empty")]
        name: String,
        acc: String,
        subj: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        error: String,
    },
    /// Its subject was mapped.
    #[serde(rename = "sm")]
    SubjectMapping {
        #[serde(serialize_with = "time")]
        ts: u64,
        to: String,
    },
    /// It went to another account as a request.
    #[serde(rename = "si")]
    ServiceImport {
        #[serde(serialize_with = "time")]
        ts: u64,
        acc: String,
        from: String,
        to: String,
    },
    /// It was for a stream.
    #[serde(rename = "js")]
    JetStream {
        #[serde(serialize_with = "time")]
        ts: u64,
        stream: String,
        subject: String,
    },
    /// It was for a subscription.
    #[serde(rename = "eg")]
    Egress {
        #[serde(serialize_with = "time")]
        ts: u64,
        kind: u8,
        cid: u64,
        #[serde(skip_serializing_if = "String::is_empty")]
        name: String,
        sub: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        queue: String,
        #[serde(skip_serializing_if = "str::is_empty")]
        error: &'static str,
    },
    /// A subscription of the server's own got it; what that is for is not known yet. Never told.
    #[serde(skip)]
    Captured { token: u64, ts: u64, subject: String },
}

impl TraceReport {
    /// Bytes it takes, about.
    pub fn bytes(&self) -> usize {
        let events: usize = self.events.iter().map(TraceEvent::bytes).sum();
        size_of::<Self>() + self.destination.len() + self.headers.len() + events
    }
}

impl TraceEvent {
    /// Bytes it takes, about.
    pub fn bytes(&self) -> usize {
        let texts: &[&String] = match self {
            Self::Ingress { name, acc, subj, error, .. } => &[name, acc, subj, error],
            Self::SubjectMapping { to, .. } => &[to],
            Self::ServiceImport { acc, from, to, .. } => &[acc, from, to],
            Self::JetStream { stream, subject, .. } => &[stream, subject],
            Self::Egress { name, sub, queue, .. } => &[name, sub, queue],
            Self::Captured { subject, .. } => &[subject],
        };
        size_of::<Self>() + texts.iter().map(|text| text.len()).sum::<usize>()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn time<S: Serializer>(nanos: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*nanos))
}

#[derive(Debug, Serialize)]
pub(super) struct Trace<'a> {
    server: ServerCard,
    request: Request,
    events: &'a [TraceEvent],
}

#[derive(Debug, Serialize)]
struct Request {
    header: BTreeMap<String, Vec<String>>,
    msgsize: usize,
}

impl<'a> Trace<'a> {
    pub(super) fn of(report: &'a TraceReport, server: ServerCard) -> Self {
        let mut header = BTreeMap::<String, Vec<String>>::new();
        let text = String::from_utf8_lossy(&report.headers);
        for (name, value) in text.split("\r\n").skip(1).filter_map(|line| line.split_once(':')) {
            let values = header.entry(name.to_owned()).or_default();
            values.push(value.trim_matches(' ').to_owned());
        }
        let request = Request { header, msgsize: report.size };
        Self { server, request, events: &report.events }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::json;
    use super::*;
    use crate::monitor::ServerFacts;

    #[test]
    fn a_trace_is_that_of_nats_server() {
        let report = TraceReport {
            account: AccountId(0),
            destination: b"tr".to_vec(),
            headers: b"NATS/1.0\r\nX: y\r\nNats-Trace-Dest: tr\r\nX:z\r\n\r\n".to_vec(),
            size: 41,
            events: vec![
                TraceEvent::SubjectMapping { ts: 0, to: "a".to_owned() },
                TraceEvent::Egress {
                    ts: 0,
                    kind: 0,
                    cid: 9,
                    name: "pub".to_owned(),
                    sub: ">".to_owned(),
                    queue: String::new(),
                    error: "",
                },
            ],
        };
        let card = ServerCard::of(&ServerFacts::default());
        let text = String::from_utf8(json::compact(&Trace::of(&report, card))).unwrap();
        assert!(
            text.ends_with(
                "\"request\":{\"header\":{\"Nats-Trace-Dest\":[\"tr\"],\"X\":[\"y\",\"z\"]},\
                 \"msgsize\":41},\"events\":[{\"type\":\"sm\",\"ts\":\"1970-01-01T00:00:00Z\",\"to\":\"a\"},\
                 {\"type\":\"eg\",\"ts\":\"1970-01-01T00:00:00Z\",\"kind\":0,\"cid\":9,\"name\":\"pub\",\
                 \"sub\":\"\\u003e\"}]}"
            ),
            "{text}"
        );
    }
}
