//! Pages of what this server has none of: routes, gateways, leaf nodes.
//! Valid, and empty.

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
