//! Which path is which page, and what has to be asked for it.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;

use serde::Serialize;

use super::accounts::{accountz, accstatz};
use super::connz::{choose, connz, connz_of_nobody, ConnzOptions, State};
use super::debug_vars::debug_vars;
use super::empty::{gatewayz, leafz, routez};
use super::facts::ServerFacts;
use super::healthz::{healthz, HealthzOptions, JetStreamState};
use super::http::{clean_path, Request, Response, HTML, NOT_FOUND, TEXT};
use super::index::index;
use super::inquiry::Inquirer;
use super::jetstream::{
    jsz, jsz_ask, statsz_jetstream, JetStreamAsk, JetStreamSnapshot, VarzJetStream,
};
use super::json;
use super::metrics;
use super::process::{Usage, UsageMeter};
use super::query::{BadRequest, Query, Subscriptions};
use super::server::Update;
use super::snapshot::{AccountTotals, ShardTotals};
use super::subsz::{subsz, SublistStats, SubszOptions};
use super::system::ServerCard;
use super::varz::varz;
use crate::host;
use crate::tls::TlsContext;

/// Reads the configuration anew, and says why that cannot be.
pub type Reload = Box<dyn Fn() -> Result<(), String> + Send>;

/// Serves a request about tokens of accounts: its subject and its payload.
pub type Claims = Box<dyn Fn(&str, &[u8]) -> Vec<ClaimsReply> + Send>;

/// One message of an answer about tokens of accounts.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimsReply {
    /// As it stands.
    Bare(Vec<u8>),
    /// In the envelope, as its data.
    Data(serde_json::Value),
    /// In the envelope, as its error.
    Error(serde_json::Value),
}

/// What the monitor has others do.
pub struct ControlPlane {
    /// Reads the configuration anew.
    pub reload: Reload,
    /// Serves requests about tokens of accounts.
    pub claims: Claims,
}

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// For people: indented.
    Page,
    /// For the system account: on one line.
    Data,
}

/// Everything a page is made of.
pub(super) struct Pages {
    facts: ServerFacts,
    /// TLS of the port, if it has any.
    tls: Option<TlsContext>,
    /// Facts and certificates after a reload.
    updates: Receiver<Update>,
    card: ServerCard,
    inquirer: Inquirer,
    control: ControlPlane,
    /// Requests by path, of those that are pages.
    requests: BTreeMap<&'static str, u64>,
    meter: UsageMeter,
}

impl Pages {
    pub(super) fn new(
        first: Update,
        updates: Receiver<Update>,
        inquirer: Inquirer,
        control: ControlPlane,
    ) -> Self {
        let Update { facts, tls } = first;
        let meter = UsageMeter::new(facts.start_monotonic);
        let card = ServerCard::of(&facts);
        Self { facts, tls, updates, card, inquirer, control, requests: BTreeMap::new(), meter }
    }

    /// Takes the facts and certificates of the last reload.
    pub(super) fn update(&mut self) {
        while let Ok(Update { facts, tls }) = self.updates.try_recv() {
            self.card = ServerCard::of(&facts);
            self.facts = facts;
            self.tls = tls;
        }
    }

    /// TLS of connections that begin now.
    pub(super) fn tls(&self) -> Option<&TlsContext> {
        self.tls.as_ref()
    }

    pub(super) fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    pub(super) fn card(&self) -> &ServerCard {
        &self.card
    }

    pub(super) fn inquirer(&self) -> &Inquirer {
        &self.inquirer
    }

    pub(super) fn usage(&mut self, now: u64) -> Usage {
        self.meter.look(now)
    }

    /// What is to be said to a request about tokens of accounts.
    pub(super) fn claims(&self, subject: &str, payload: &[u8]) -> Vec<ClaimsReply> {
        (self.control.claims)(subject, payload)
    }

    /// Reads the configuration anew.
    pub(super) fn reload(&mut self) -> Result<(), String> {
        (self.control.reload)()?;
        self.update();
        Ok(())
    }

    /// What the page of `path` says, on one line.
    pub(super) fn data(&mut self, path: &str, query: &Query) -> Result<Vec<u8>, BadRequest> {
        self.page(path, query, Style::Data).map(|response| response.body)
    }

    /// One account, as `/accountz` shows it.
    pub(super) fn account_detail(&mut self, account: &str) -> Result<Vec<u8>, BadRequest> {
        let wall = self.facts.wall(host::monotonic_ns());
        let (accounts, shards) = (self.inquirer.accounts(), self.inquirer.totals());
        let query = Query::of(vec![("acc".to_owned(), account.to_owned())]);
        let known = self.inquirer.account(account);
        let shown = accountz(&self.facts, &query, &shards, &accounts, known, wall)?;
        Ok(json::compact(&shown.account_detail))
    }

    /// JetStream of one account; `None` if it has none.
    pub(super) fn account_jetstream(&self, account: &str, query: &Query) -> Option<Vec<u8>> {
        let (mut ask, ..) = jsz_ask(query).ok()?;
        (ask.accounts, ask.account) = (true, account.to_owned());
        let details = self.jetstream(&ask)?.details;
        details.iter().find(|detail| detail.name == account).map(json::compact)
    }

    /// What figures of the server say of JetStream, if it is on.
    pub(super) fn jetstream_part(&self) -> Option<VarzJetStream> {
        let snapshot = self.jetstream(&JetStreamAsk::default())?;
        Some(statsz_jetstream(&snapshot))
    }

    /// The figures of the accounts of these names, or of all if there is none; of those without
    /// connections only if they are named, or with `unused`.
    pub(super) fn account_stats(&mut self, names: &[&str], unused: bool) -> Vec<u8> {
        let accounts = self.inquirer.accounts();
        let shown = accounts.into_iter().filter(|totals| match names {
            [] => unused || totals.connections > 0,
            names => names.contains(&&*totals.account),
        });
        let shown: Vec<AccountTotals> = shown.collect();
        let wall = self.facts.wall(host::monotonic_ns());
        json::compact(&accstatz(&self.facts, true, &shown, wall))
    }

    /// The page a request asks for.
    pub(super) fn answer(&mut self, request: &Request) -> Response {
        self.update();
        let clean = clean_path(&request.path);
        if clean != request.path {
            return redirect(&clean, &request.query);
        }
        let base = self.facts.http_base_path.trim_matches('/');
        let below = match request.path.strip_prefix('/').and_then(|path| path.strip_prefix(base)) {
            Some("") if !base.is_empty() => "/",
            Some(rest) if base.is_empty() => &request.path[request.path.len() - rest.len() - 1..],
            Some(rest) if rest.starts_with('/') && rest != "/" => rest,
            _ => return Response::plain(404, TEXT, NOT_FOUND),
        };
        let Some(path) = PATHS.iter().find(|path| **path == below) else {
            return Response::plain(404, TEXT, NOT_FOUND);
        };
        let path = if *path == "/subscriptionsz" { "/subsz" } else { path };
        if !UNCOUNTED.contains(&path) {
            *self.requests.entry(path).or_default() += 1;
        }
        let query = Query::parse(&request.query);
        self.page(path, &query, Style::Page)
            .unwrap_or_else(|refusal| Response::plain(400, TEXT, refusal.to_string()))
    }

    fn page(&mut self, path: &str, query: &Query, style: Style) -> Result<Response, BadRequest> {
        let now = host::monotonic_ns();
        let wall = self.facts.wall(now);
        let facts = &self.facts;
        Ok(match path {
            "/" => {
                let body = index(&facts.version, &facts.midge_version, &facts.http_base_path);
                Response::plain(200, HTML, body)
            }
            "/varz" => {
                let shards = self.inquirer.totals();
                let usage = self.meter.look(now);
                let jetstream = self.jetstream(&JetStreamAsk::default());
                style.page(&varz(facts, &shards, &self.requests, usage, jetstream.as_ref(), wall))
            }
            "/connz" => self.connz(&ConnzOptions::parse(query)?, style),
            "/subsz" => self.subsz(&SubszOptions::parse(query)?, wall, style),
            "/healthz" => {
                let options = HealthzOptions::parse(query)?;
                let asked = options.ask().filter(|_| facts.jetstream);
                let snapshot = asked.as_ref().map(|ask| self.jetstream(ask));
                let state = match &snapshot {
                    None => JetStreamState::Unasked,
                    Some(None) => JetStreamState::Silent,
                    Some(Some(snapshot)) => JetStreamState::On(snapshot),
                };
                let accepting = is_accepting(&self.inquirer.totals());
                let mut verdict = healthz(&options, accepting, state);
                verdict.status_code = (style == Style::Data).then_some(verdict.http_status);
                Response::json(verdict.http_status, json::compact(&verdict))
            }
            "/accountz" => {
                let wants_one = !query.text("acc").is_empty();
                let accounts = if wants_one { self.inquirer.accounts() } else { Vec::new() };
                let shards = if wants_one { self.inquirer.totals() } else { Vec::new() };
                let known = self.inquirer.account(query.text("acc"));
                style.page(&accountz(facts, query, &shards, &accounts, known, wall)?)
            }
            "/accstatz" => {
                let unused = query.boolean("unused")?;
                style.page(&accstatz(facts, unused, &self.inquirer.accounts(), wall))
            }
            "/routez" => style.page(&routez(facts, query, wall)?),
            "/gatewayz" => style.page(&gatewayz(facts, query, wall)?),
            "/leafz" => style.page(&leafz(facts, query, wall)?),
            "/jsz" => {
                let (ask, offset, limit) = jsz_ask(query)?;
                let snapshot = self.jetstream(&ask);
                style.page(&jsz(facts, snapshot, offset, limit, wall))
            }
            "/raftz" => Response::plain(404, TEXT, "No Raft nodes registered"),
            "/ipqueuesz" => {
                query.boolean("all")?;
                Response::json(200, b"{}".to_vec())
            }
            "/metrics" => {
                let shards = self.inquirer.totals();
                let jetstream = self.jetstream(&JetStreamAsk::default());
                let usage = self.meter.look(now);
                Response::plain(
                    200,
                    metrics::CONTENT_TYPE,
                    metrics::metrics(facts, &shards, usage, jetstream.as_ref()),
                )
            }
            "/debug/vars" => {
                let usage = self.meter.look(now);
                let shown = style.page(&debug_vars(&facts.command_line, usage));
                Response::plain(200, "application/json; charset=utf-8", shown.body)
            }
            _ => Response::plain(404, TEXT, NOT_FOUND),
        })
    }

    fn is_account(&self, name: &str) -> bool {
        self.inquirer.account(name).account.is_some()
    }

    fn jetstream(&self, ask: &JetStreamAsk) -> Option<JetStreamSnapshot> {
        self.facts.jetstream.then(|| self.inquirer.jetstream(ask)).flatten()
    }

    fn connz(&self, options: &ConnzOptions, style: Style) -> Response {
        let facts = &self.facts;
        if !options.account.is_empty() && !self.is_account(&options.account) {
            return style.page(&connz_of_nobody(options, facts.wall(host::monotonic_ns())));
        }
        let mut connections = Vec::new();
        if options.state != State::Closed {
            connections.extend(self.inquirer.connections());
        }
        if options.state != State::Open {
            let mut closed = self.inquirer.closed(options.subscriptions != Subscriptions::No);
            // Each shard remembers that many; the oldest of all are left out.
            closed.sort_by_key(|entry| std::cmp::Reverse(entry.closed.map_or(0, |(at, _)| at)));
            closed.truncate(facts.max_closed_clients);
            connections.extend(closed);
        }
        let now = host::monotonic_ns();
        let chosen = choose(options, connections, now);
        let subscriptions = if options.subscriptions == Subscriptions::No {
            Vec::new()
        } else {
            let open = chosen.connections.iter().filter(|entry| entry.closed.is_none());
            let mut cids: Vec<u64> = open.map(|entry| entry.cid).collect();
            cids.sort_unstable();
            self.inquirer.subscriptions(Some(cids.into()))
        };
        style.page(&connz(facts, options, chosen, subscriptions, now))
    }

    fn subsz(&self, options: &SubszOptions, wall: u64, style: Style) -> Response {
        let facts = &self.facts;
        let is_known = options.account.is_empty() || self.is_account(&options.account);
        let shards = if is_known { self.inquirer.totals() } else { Vec::new() };
        let list = if options.list { self.inquirer.subscriptions(None) } else { Vec::new() };
        style.page(&subsz(facts, options, SublistStats::of(&shards), list, wall))
    }
}

/// Whether shard 0 has answered, and takes connections.
fn is_accepting(shards: &[ShardTotals]) -> bool {
    shards.iter().any(|totals| totals.accepting)
}

impl Style {
    fn page(self, value: &impl Serialize) -> Response {
        Response::json(
            200,
            match self {
                Self::Page => json::pretty(value),
                Self::Data => json::compact(value),
            },
        )
    }
}

fn redirect(to: &str, query: &str) -> Response {
    let location = if query.is_empty() { to.to_owned() } else { format!("{to}?{query}") };
    let shown = location.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&#34;");
    let body = format!("<a href=\"{shown}\">Temporary Redirect</a>.\n\n");
    // Nothing of a request may become a header line of its own.
    let location = location.replace(|c: char| c.is_control(), "");
    Response { location: Some(location), ..Response::plain(307, HTML, body) }
}

/// Every page, below the base path.
const PATHS: [&str; 16] = [
    "/",
    "/varz",
    "/connz",
    "/subsz",
    "/subscriptionsz",
    "/healthz",
    "/accountz",
    "/accstatz",
    "/routez",
    "/gatewayz",
    "/leafz",
    "/jsz",
    "/raftz",
    "/ipqueuesz",
    "/metrics",
    "/debug/vars",
];

/// Those that `http_req_stats` leaves out.
const UNCOUNTED: [&str; 2] = ["/metrics", "/debug/vars"];

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::monitor::inquiry::lines;

    fn pages(base: &str) -> Pages {
        let facts = ServerFacts { http_base_path: base.to_owned(), ..ServerFacts::default() };
        let (inquirer, _gone) = lines(1, |_| {});
        let control =
            ControlPlane { reload: Box::new(|| Ok(())), claims: Box::new(|_, _| Vec::new()) };
        Pages::new(Update { facts, tls: None }, channel().1, inquirer, control)
    }

    fn status(pages: &mut Pages, target: &str) -> u16 {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request {
            path: path.to_owned(),
            query: query.to_owned(),
            head_only: false,
            keep_alive: true,
            is_http_1_0: false,
            body_bytes: 0,
        };
        pages.answer(&request).status
    }

    #[test]
    fn every_page_answers_even_if_no_shard_does() {
        let mut pages = pages("");
        for path in PATHS {
            let expected = match path {
                "/raftz" => 404,
                "/healthz" => 500,
                _ => 200,
            };
            assert_eq!(status(&mut pages, path), expected, "{path}");
        }
        assert_eq!(pages.requests["/subsz"], 2);
        assert!(!pages.requests.contains_key("/metrics"));
        for (target, expected) in [
            ("/nope", 404),
            ("/varz/", 404),
            ("//varz", 307),
            ("/VARZ", 404),
            ("/connz?limit=x", 400),
            ("/jsz?raft=x", 400),
            ("/ipqueuesz?all=x", 400),
        ] {
            assert_eq!(status(&mut pages, target), expected, "{target}");
        }
    }

    #[test]
    fn a_base_path_comes_before_every_page() {
        for base in ["/nats", "nats", "/nats/"] {
            let mut pages = pages(base);
            for (target, expected) in
                [("/nats", 200), ("/nats/varz", 200), ("/varz", 404), ("/", 404), ("/nats/", 404)]
            {
                assert_eq!(status(&mut pages, target), expected, "{base}: {target}");
            }
            assert_eq!(status(&mut pages, "/natsvarz"), 404);
        }
    }

    #[test]
    fn a_redirect_carries_no_line_of_the_request() {
        let answer = redirect("/varz", "a=\r\nX: y");
        assert!(!answer.location.unwrap().contains(['\r', '\n']));
    }
}
