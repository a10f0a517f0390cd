//! Pages of what this server has none of: routes, gateways, leaf nodes,
//! streams. Valid, and empty.

use std::collections::BTreeMap;

use serde::Serialize;

use super::facts::ServerFacts;
use super::query::{BadRequest, Query};
use super::times::rfc3339;

#[derive(Debug, Serialize)]
pub(super) struct Routez<'a> {
    server_id: &'a str,
    server_name: &'a str,
    now: String,
    num_routes: usize,
    routes: [(); 0],
}

/// `/routez`
pub(super) fn routez<'a>(
    facts: &'a ServerFacts,
    query: &Query,
    now: u64,
) -> Result<Routez<'a>, BadRequest> {
    query.subscriptions()?;
    let (server_id, server_name) = (&*facts.server_id, &*facts.server_name);
    Ok(Routez { server_id, server_name, now: rfc3339(now), num_routes: 0, routes: [] })
}

#[derive(Debug, Serialize)]
pub(super) struct Gatewayz<'a> {
    server_id: &'a str,
    now: String,
    outbound_gateways: BTreeMap<String, ()>,
    inbound_gateways: BTreeMap<String, ()>,
}

/// `/gatewayz`
pub(super) fn gatewayz<'a>(
    facts: &'a ServerFacts,
    query: &Query,
    now: u64,
) -> Result<Gatewayz<'a>, BadRequest> {
    query.subscriptions()?;
    query.boolean("accs")?;
    Ok(Gatewayz {
        server_id: &facts.server_id,
        now: rfc3339(now),
        outbound_gateways: BTreeMap::new(),
        inbound_gateways: BTreeMap::new(),
    })
}

#[derive(Debug, Serialize)]
pub(super) struct Leafz<'a> {
    server_id: &'a str,
    now: String,
    leafnodes: usize,
    leafs: [(); 0],
}

/// `/leafz`
pub(super) fn leafz<'a>(
    facts: &'a ServerFacts,
    query: &Query,
    now: u64,
) -> Result<Leafz<'a>, BadRequest> {
    query.boolean("subs")?;
    Ok(Leafz { server_id: &facts.server_id, now: rfc3339(now), leafnodes: 0, leafs: [] })
}

/// JetStream when it is off. Whoever builds JetStream replaces this one page.
#[derive(Debug, Serialize)]
pub(super) struct Jsz<'a> {
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    accounts: u64,
    ha_assets: u64,
    api: JszApi,
    server_id: &'a str,
    now: String,
    disabled: bool,
    config: JszConfig,
    streams: u64,
    consumers: u64,
    messages: u64,
    bytes: u64,
    total: u64,
}

#[derive(Debug, Default, Serialize)]
struct JszApi {
    level: u64,
    total: u64,
    errors: u64,
}

#[derive(Debug, Default, Serialize)]
struct JszConfig {
    max_memory: u64,
    max_storage: u64,
}

/// `/jsz`
pub(super) fn jsz<'a>(
    facts: &'a ServerFacts,
    query: &Query,
    now: u64,
) -> Result<Jsz<'a>, BadRequest> {
    for switch in [
        "accounts",
        "streams",
        "consumers",
        "direct-consumers",
        "config",
        "leader-only",
        "stream-leader-only",
        "raft",
    ] {
        query.boolean(switch)?;
    }
    query.page()?;
    Ok(Jsz {
        memory: 0,
        storage: 0,
        reserved_memory: 0,
        reserved_storage: 0,
        accounts: 0,
        ha_assets: 0,
        api: JszApi::default(),
        server_id: &facts.server_id,
        now: rfc3339(now),
        disabled: true,
        config: JszConfig::default(),
        streams: 0,
        consumers: 0,
        messages: 0,
        bytes: 0,
        total: 0,
    })
}
