//! `/connz`: the connections, open and closed, sorted and in pages.

use std::cmp::Reverse;

use serde::Serialize;

use super::facts::ServerFacts;
use super::json::{is_false, is_zero};
use super::query::{BadRequest, Page, Query, Subscriptions};
use super::snapshot::{CertificateShown, ConnectionSnapshot, SubscriptionSnapshot};
use super::times::{rfc3339, round_trip, uptime};

/// What the page is asked to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConnzOptions {
    sort: Sort,
    auth: bool,
    pub(super) subscriptions: Subscriptions,
    page: Page,
    cid: u64,
    pub(super) state: State,
    user: String,
    pub(super) account: String,
    mqtt_client: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Closed,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Cid,
    Start,
    Subs,
    Pending,
    MessagesTo,
    MessagesFrom,
    BytesTo,
    BytesFrom,
    Last,
    Idle,
    Uptime,
    Stop,
    Reason,
    RoundTrip,
}

impl ConnzOptions {
    pub(super) fn parse(query: &Query) -> Result<Self, BadRequest> {
        let auth = query.boolean("auth")?;
        let subscriptions = query.subscriptions()?;
        let page = query.page()?;
        let cid = query.unsigned("cid")?;
        let state = match query.text("state").to_lowercase().as_str() {
            "" | "open" => State::Open,
            "closed" => State::Closed,
            "any" | "all" => State::Any,
            _ => return Err(BadRequest::State(query.text("state").to_owned())),
        };
        let sort = Sort::parse(query.text("sort"), state)?;
        Ok(Self {
            sort,
            auth,
            subscriptions,
            page: if cid > 0 { Page { offset: page.offset, limit: 1 } } else { page },
            cid,
            state,
            user: query.text("user").to_owned(),
            account: query.text("acc").to_owned(),
            mqtt_client: query.text("mqtt_client").to_owned(),
        })
    }

    fn wants(&self, connection: &ConnectionSnapshot) -> bool {
        (self.user.is_empty() || connection.user == self.user) && self.mqtt_client.is_empty()
    }
}

impl Sort {
    fn parse(text: &str, state: State) -> Result<Self, BadRequest> {
        let closed_only = |sort, name| match state {
            State::Closed => Ok(sort),
            State::Open | State::Any => Err(BadRequest::SortClosedOnly(name)),
        };
        Ok(match text {
            "" | "cid" => Self::Cid,
            "start" => Self::Start,
            "subs" => Self::Subs,
            "pending" => Self::Pending,
            "msgs_to" => Self::MessagesTo,
            "msgs_from" => Self::MessagesFrom,
            "bytes_to" => Self::BytesTo,
            "bytes_from" => Self::BytesFrom,
            "last" => Self::Last,
            "idle" => Self::Idle,
            "uptime" => Self::Uptime,
            "rtt" => Self::RoundTrip,
            "stop" => closed_only(Self::Stop, "stop")?,
            "reason" => closed_only(Self::Reason, "reason")?,
            other => return Err(BadRequest::Sort(other.to_owned())),
        })
    }

    /// Sorts as nats-server does: the largest first, but for numbers, times of
    /// start, uptimes and reasons. Equals stand by their number.
    fn apply(self, connections: &mut [ConnectionSnapshot], now: u64) {
        connections.sort_unstable_by_key(|connection| connection.cid);
        let largest_first = |list: &mut [ConnectionSnapshot],
                             of: fn(&ConnectionSnapshot) -> u64| {
            list.sort_by_key(|connection| Reverse(of(connection)));
        };
        match self {
            Self::Cid => {}
            Self::Start => connections.sort_by_key(|connection| connection.opened_at),
            Self::Subs => largest_first(connections, |c| c.subscriptions),
            Self::Pending => largest_first(connections, |c| c.pending),
            Self::MessagesTo => largest_first(connections, |c| c.out_messages),
            Self::MessagesFrom => largest_first(connections, |c| c.in_messages),
            Self::BytesTo => largest_first(connections, |c| c.out_bytes),
            Self::BytesFrom => largest_first(connections, |c| c.in_bytes),
            Self::Last => largest_first(connections, |c| c.active_at),
            Self::Idle => connections.sort_by_key(|connection| Reverse(idle(connection, now))),
            Self::Uptime => connections.sort_by_key(|connection| lasted(connection, now)),
            Self::RoundTrip => largest_first(connections, |c| c.round_trip),
            Self::Stop => largest_first(connections, |c| c.closed.map_or(0, |(at, _)| at)),
            Self::Reason => {
                connections.sort_by_key(|connection| connection.closed.map(|(_, reason)| reason));
            }
        }
    }
}

fn lasted(connection: &ConnectionSnapshot, now: u64) -> u64 {
    let until = connection.closed.map_or(now, |(at, _)| at);
    until.saturating_sub(connection.opened_at)
}

fn idle(connection: &ConnectionSnapshot, now: u64) -> u64 {
    let until = connection.closed.map_or(now, |(at, _)| at);
    until.saturating_sub(connection.active_at.max(connection.opened_at))
}

#[derive(Debug, Serialize)]
pub(super) struct Connz<'a> {
    server_id: &'a str,
    now: String,
    num_connections: usize,
    total: usize,
    offset: usize,
    limit: usize,
    connections: Option<Vec<Entry>>,
}

#[derive(Debug, Serialize)]
struct Entry {
    cid: u64,
    kind: &'static str,
    r#type: &'static str,
    ip: String,
    port: u16,
    start: String,
    last_activity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    rtt: String,
    uptime: String,
    idle: String,
    pending_bytes: u64,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    stalls: u64,
    subscriptions: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    lang: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    tls_version: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    tls_cipher_suite: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tls_peer_certs: Vec<CertificateShown>,
    #[serde(skip_serializing_if = "is_false")]
    tls_first: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    authorized_user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    account: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list_detail: Vec<SubscriptionDetail>,
    #[serde(skip_serializing_if = "String::is_empty")]
    name_tag: String,
}

/// A subscription as lists show it.
#[derive(Debug, Serialize)]
pub(super) struct SubscriptionDetail {
    #[serde(skip_serializing_if = "String::is_empty")]
    account: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    account_tag: String,
    subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    qgroup: String,
    sid: String,
    msgs: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    cid: u64,
}

impl SubscriptionDetail {
    /// With the account's name or without it.
    pub(super) fn new(subscription: SubscriptionSnapshot, with_account: bool) -> Self {
        let account =
            if with_account { subscription.account.as_ref().to_owned() } else { String::new() };
        Self {
            account_tag: account.clone(),
            account,
            subject: subscription.subject,
            qgroup: subscription.queue,
            sid: subscription.sid,
            msgs: subscription.delivered,
            max: subscription.max,
            cid: subscription.cid,
        }
    }
}

/// The connections of a page before their subscriptions are known.
#[derive(Debug)]
pub(super) struct Chosen {
    total: usize,
    pub(super) connections: Vec<ConnectionSnapshot>,
}

/// Chooses and sorts what the page shows. `now` is monotonic.
pub(super) fn choose(
    options: &ConnzOptions,
    mut connections: Vec<ConnectionSnapshot>,
    now: u64,
) -> Chosen {
    if !options.account.is_empty() {
        connections.retain(|connection| *connection.account == *options.account);
    }
    let total = connections.len();
    if options.cid > 0 {
        connections.retain(|connection| connection.cid == options.cid);
    }
    connections.retain(|connection| options.wants(connection));
    options.sort.apply(&mut connections, now);
    if options.cid == 0 {
        options.page.cut(&mut connections);
    }
    Chosen { total, connections }
}

/// The page. `subscriptions` are those of its open connections.
pub(super) fn connz<'a>(
    facts: &'a ServerFacts,
    options: &ConnzOptions,
    chosen: Chosen,
    subscriptions: Vec<SubscriptionSnapshot>,
    now_monotonic: u64,
) -> Connz<'a> {
    let mut lists = std::collections::BTreeMap::<u64, Vec<SubscriptionSnapshot>>::new();
    for subscription in subscriptions {
        lists.entry(subscription.cid).or_default().push(subscription);
    }
    let entries: Vec<Entry> = chosen
        .connections
        .into_iter()
        .map(|mut connection| {
            let list = if connection.closed.is_some() {
                std::mem::take(&mut connection.subscribed)
            } else {
                lists.remove(&connection.cid).unwrap_or_default()
            };
            entry(facts, options, connection, list, now_monotonic)
        })
        .collect();
    Connz {
        server_id: &facts.server_id,
        now: rfc3339(facts.wall(now_monotonic)),
        num_connections: entries.len(),
        total: chosen.total,
        offset: options.page.offset,
        limit: options.page.limit,
        connections: Some(entries),
    }
}

/// What nats-server answers for an account that does not exist.
pub(super) fn connz_of_nobody(options: &ConnzOptions, now: u64) -> Connz<'static> {
    Connz {
        server_id: "",
        now: rfc3339(now),
        num_connections: 0,
        total: 0,
        offset: options.page.offset,
        limit: options.page.limit,
        connections: None,
    }
}

fn entry(
    facts: &ServerFacts,
    options: &ConnzOptions,
    connection: ConnectionSnapshot,
    subscribed: Vec<SubscriptionSnapshot>,
    now: u64,
) -> Entry {
    let is_closed = connection.closed.is_some();
    let (lasted, idle) = (lasted(&connection, now), idle(&connection, now));
    let account = if options.auth { connection.account.as_ref().to_owned() } else { String::new() };
    let tls = connection.tls.unwrap_or_default();
    let (mut names, mut details) = (Vec::new(), Vec::new());
    match options.subscriptions {
        Subscriptions::No => {}
        Subscriptions::Names => {
            names = subscribed.into_iter().map(|subscription| subscription.subject).collect();
        }
        Subscriptions::Detail => {
            // Those of a closed connection name their account: nats-server's way.
            let detail = |subscription| SubscriptionDetail::new(subscription, is_closed);
            details = subscribed.into_iter().map(detail).collect();
        }
    }
    Entry {
        cid: connection.cid,
        kind: "Client",
        r#type: if connection.is_websocket { "websocket" } else { "nats" },
        ip: connection.ip,
        port: connection.port,
        start: rfc3339(facts.wall(connection.opened_at)),
        last_activity: rfc3339(facts.wall(connection.active_at.max(connection.opened_at))),
        stop: connection.closed.map(|(at, _)| rfc3339(facts.wall(at))),
        reason: connection.closed.map(|(_, reason)| reason),
        rtt: round_trip(connection.round_trip),
        uptime: uptime(lasted),
        idle: uptime(idle),
        pending_bytes: connection.pending,
        in_msgs: connection.in_messages,
        out_msgs: connection.out_messages,
        in_bytes: connection.in_bytes,
        out_bytes: connection.out_bytes,
        stalls: connection.stalls,
        subscriptions: connection.subscriptions,
        name: connection.name,
        lang: connection.lang,
        version: connection.version,
        tls_version: tls.version,
        tls_cipher_suite: tls.cipher_suite,
        // Who somebody is is shown to those who ask for it.
        tls_peer_certs: if options.auth { tls.chain } else { Vec::new() },
        tls_first: tls.first,
        authorized_user: if options.auth { connection.user } else { String::new() },
        // The account that everybody is in by default is not named here.
        account: if account == GLOBAL { String::new() } else { account.clone() },
        subscriptions_list: names,
        subscriptions_list_detail: details,
        name_tag: account,
    }
}

/// The account of clients that belong to no other.
const GLOBAL: &str = "$G";

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn options(query: &str) -> ConnzOptions {
        ConnzOptions::parse(&Query::parse(query)).unwrap()
    }

    fn connections() -> Vec<ConnectionSnapshot> {
        let connection = |cid, opened_at, active_at, round_trip, counts: [u64; 4]| {
            let [in_messages, out_messages, in_bytes, subscriptions] = counts;
            ConnectionSnapshot {
                cid,
                opened_at: opened_at * SECOND,
                active_at: active_at * SECOND,
                round_trip,
                in_messages,
                out_messages,
                in_bytes,
                subscriptions,
                account: "$G".into(),
                user: format!("u{cid}"),
                ..ConnectionSnapshot::default()
            }
        };
        vec![
            connection(7, 12, 13, 90, [6, 0, 8, 0]),
            connection(5, 10, 15, 50, [4, 1, 31, 1]),
            connection(6, 11, 16, 10, [2, 1, 502, 3]),
        ]
    }

    #[track_caller]
    fn sorted(query: &str, cids: &[u64]) {
        let chosen = choose(&options(query), connections(), 20 * SECOND);
        let shown: Vec<u64> = chosen.connections.iter().map(|entry| entry.cid).collect();
        assert_eq!(shown, cids, "{query}");
    }

    #[test]
    fn orders_are_those_of_nats_server() {
        sorted("", &[5, 6, 7]);
        sorted("sort=start", &[5, 6, 7]);
        sorted("sort=subs", &[6, 5, 7]);
        sorted("sort=msgs_to", &[5, 6, 7]);
        sorted("sort=msgs_from", &[7, 5, 6]);
        sorted("sort=bytes_from", &[6, 5, 7]);
        sorted("sort=last", &[6, 5, 7]);
        sorted("sort=idle", &[7, 5, 6]);
        sorted("sort=uptime", &[7, 6, 5]);
        sorted("sort=rtt", &[7, 5, 6]);
    }

    #[test]
    fn pages_and_filters_choose_and_the_total_counts_all() {
        sorted("limit=2", &[5, 6]);
        sorted("offset=1&limit=1", &[6]);
        sorted("offset=9", &[]);
        sorted("cid=7&offset=5", &[7]);
        sorted("user=u6", &[6]);
        sorted("acc=$G", &[5, 6, 7]);
        sorted("mqtt_client=x", &[]);
        assert_eq!(choose(&options("cid=7"), connections(), 0).total, 3);
        assert_eq!(choose(&options("acc=X"), connections(), 0).total, 0);
    }

    #[test]
    fn what_cannot_be_sorted_is_told() {
        for (query, text) in [
            ("sort=zzz", "invalid sorting option: zzz"),
            ("sort=stop", "sort by stop only valid on closed connections"),
            ("sort=reason&state=any", "sort by reason only valid on closed connections"),
            ("state=foo", "Error decoding state for foo"),
        ] {
            let refused = ConnzOptions::parse(&Query::parse(query)).unwrap_err();
            assert_eq!(refused.to_string(), text);
        }
        assert_eq!(options("state=CLOSED&sort=stop").state, State::Closed);
    }

    #[test]
    fn accounts_show_with_auth_only_and_the_global_one_as_a_tag() {
        let facts = ServerFacts::default();
        let page = |query| {
            let options = options(query);
            let chosen = choose(&options, connections(), 20 * SECOND);
            let subscription = SubscriptionSnapshot {
                cid: 5,
                account: "$G".into(),
                subject: "foo".to_owned(),
                sid: "1".to_owned(),
                ..SubscriptionSnapshot::default()
            };
            let page = connz(&facts, &options, chosen, vec![subscription], 20 * SECOND);
            serde_json::to_value(page).unwrap()
        };
        let plain = page("cid=5&subs=1");
        let entry = &plain["connections"][0];
        assert!(entry.get("authorized_user").is_none() && entry.get("name_tag").is_none());
        assert_eq!(entry["subscriptions_list"], serde_json::json!(["foo"]));
        assert_eq!((&entry["uptime"], &entry["idle"]), (&"10s".into(), &"5s".into()));
        assert_eq!(plain["limit"], 1);
        let auth = page("cid=5&auth=1&subs=detail");
        let entry = &auth["connections"][0];
        assert_eq!((&entry["authorized_user"], &entry["name_tag"]), (&"u5".into(), &"$G".into()));
        assert!(entry.get("account").is_none());
        let detail = serde_json::json!([{"subject": "foo", "sid": "1", "msgs": 0, "cid": 5}]);
        assert_eq!(entry["subscriptions_list_detail"], detail);
    }
}
