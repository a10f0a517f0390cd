//! Who the server is, as every event and answer says it first.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::facts::ServerFacts;
use super::super::json;
use super::super::times::rfc3339;

/// The server's card; the order of the fields is that of the keys.
#[derive(Clone, Debug, Serialize)]
pub struct ServerCard {
    name: String,
    host: String,
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    cluster: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    domain: String,
    ver: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    jetstream: bool,
    flags: u64,
    seq: u64,
    time: String,
}

/// The server has JetStream; its snapshots are binary; accounts place their Raft groups.
const FLAGS_OF_JETSTREAM: u64 = 0b111;

impl ServerCard {
    /// The card of the server with these facts.
    pub fn of(facts: &ServerFacts) -> Self {
        Self {
            name: facts.server_name.clone(),
            host: facts.bind_host.clone(),
            id: facts.server_id.clone(),
            cluster: facts.cluster.clone(),
            domain: facts.domain.clone(),
            ver: facts.version.trim_start_matches('v').to_owned(),
            tags: facts.tags.clone(),
            metadata: facts.metadata.clone(),
            jetstream: facts.jetstream,
            flags: if facts.jetstream { FLAGS_OF_JETSTREAM } else { 0 },
            seq: 0,
            time: String::new(),
        }
    }

    /// The card for message number `seq` at `now`, nanoseconds of the wall clock.
    pub(super) fn stamped(&self, seq: u64, now: u64) -> Self {
        Self { seq, time: rfc3339(now), ..self.clone() }
    }

    /// What is said of the server as a whole: that it ends, or becomes a lame duck.
    pub fn announcement(&self, seq: u64, now: u64) -> Vec<u8> {
        json::compact(&self.stamped(seq, now))
    }

    /// The server's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The server's public key.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    pub(super) fn tags(&self) -> &[String] {
        &self.tags
    }
}
