//! What the monitor's thread does for the system account: answers what is asked, tells what has
//! happened, and tells figures now and then while somebody listens.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::super::json;
use super::super::pages::{ClaimsReply, Pages};
use super::asker::UserInfo;
use super::body::Body;
use super::encoding::{encode, header};
use super::events::{self, Typed};
use super::line::{Ends, Notice, SystemMessage, SystemRequest};
use super::server_card::ServerCard;
use super::service::{AccountService, Service};
use super::statsz::{server_stats, ServerStats};
use super::trace::Trace;

const SECOND: u64 = 1_000_000_000;

/// Nanoseconds between two messages with the server's figures, and before the first one.
const STATSZ_APART: u64 = 10 * SECOND;
const STATSZ_FIRST: u64 = SECOND / 4;

/// Nanoseconds between two messages with the figures of an account that does not change.
const ACCOUNTS_APART: u64 = 30 * SECOND;

/// Nanoseconds that changes of an account are gathered before they are told.
const CHANGE_WAIT: u64 = SECOND / 10;

/// Accounts whose changes wait to be told; of others the next change tells.
const CHANGED_MAX: usize = 4096;

/// Messages that one call publishes on a shard, and bytes of them after which it is made.
const MESSAGES_A_CALL: usize = 64;
const BYTES_A_CALL: usize = 256 * 1024;

/// Notices and requests handled before the thread looks at its sockets again.
const HANDLED_A_ROUND: usize = 512;

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::monitor) struct Desk {
    ends: Ends,
    /// Messages told, ever.
    seq: u64,
    ids: Ids,
    /// When the server's figures are due, and how long after the last ones; while somebody listens.
    statsz: Option<(u64, u64)>,
    /// When the figures of all accounts are due.
    accounts_at: Option<u64>,
    /// Accounts that have changed, and when that is told.
    changed: BTreeMap<Arc<str>, u64>,
    /// Messages for shard 0.
    outbox: Vec<SystemMessage>,
    outbox_bytes: usize,
}

impl Desk {
    pub(in crate::monitor) fn new(ends: Ends, seed: u64) -> Self {
        Self {
            ends,
            seq: 0,
            ids: Ids { random: seed },
            statsz: None,
            accounts_at: None,
            changed: BTreeMap::new(),
            outbox: Vec::new(),
            outbox_bytes: 0,
        }
    }

    /// Does what there is to do at `now`; returns whether there is more at once.
    pub(in crate::monitor) fn advance(&mut self, pages: &mut Pages, now: u64) -> bool {
        pages.update();
        let mut handled = 0;
        while handled < HANDLED_A_ROUND {
            let mut idle = true;
            if let Some(request) = self.ends.request() {
                self.answer(pages, &request, now);
                (handled, idle) = (handled + 1, false);
            }
            if let Some(notice) = self.ends.notice() {
                self.tell(pages, notice, now);
                (handled, idle) = (handled + 1, false);
            }
            if idle {
                break;
            }
        }
        self.run_timers(pages, now);
        self.flush(pages);
        handled >= HANDLED_A_ROUND
    }

    /// When there is something to do by the clock.
    pub(in crate::monitor) fn deadline(&self) -> Option<u64> {
        let statsz = self.statsz.map(|(at, _)| at);
        let changed = self.changed.values().min().copied();
        [statsz, self.accounts_at, changed].into_iter().flatten().min()
    }

    fn run_timers(&mut self, pages: &mut Pages, now: u64) {
        if let Some((_, apart)) = self.statsz.filter(|(at, _)| *at <= now) {
            let subject = format!("$SYS.SERVER.{}.STATSZ", pages.facts().server_id);
            self.statsz = None;
            if pages.inquirer().is_heard(vec![subject.clone().into_bytes()]) {
                let apart = apart.saturating_mul(2).min(STATSZ_APART);
                self.statsz = Some((now + apart, apart));
                let stats = self.stats(pages, now);
                self.put(pages, subject, &stats);
            }
        }
        let all = self.accounts_at.is_some_and(|at| at <= now);
        let due: Vec<Arc<str>> = if all {
            self.changed.clear();
            Vec::new()
        } else {
            let due = self.changed.iter().filter(|(_, at)| **at <= now);
            due.map(|(account, _)| Arc::clone(account)).collect()
        };
        if !all && due.is_empty() {
            return;
        }
        for account in &due {
            self.changed.remove(account);
        }
        let accounts = pages.inquirer().accounts();
        let mut told = false;
        for totals in accounts {
            let wanted = if all { totals.connections > 0 } else { due.contains(&totals.account) };
            let subjects = connections_subjects(&totals.account);
            let heard = || pages.inquirer().is_heard(subjects.map(String::into_bytes).to_vec());
            if wanted && heard() {
                told = true;
                let event = self.account_connections(pages, &totals, now);
                for subject in connections_subjects(&totals.account) {
                    self.put_bytes(pages, subject, event.clone());
                }
            }
        }
        if all {
            self.accounts_at = told.then_some(now + ACCOUNTS_APART);
        }
    }

    fn tell(&mut self, pages: &mut Pages, notice: Notice, now: u64) {
        let typed = |desk: &mut Self, kind| desk.typed(pages, kind, now);
        match notice {
            Notice::Connected(client) => {
                let typed = typed(self, CONNECT);
                let card = self.card(pages, now);
                let event = events::connect(pages.facts(), typed, card, &client);
                self.put(pages, format!("$SYS.ACCOUNT.{}.CONNECT", client.account), &event);
            }
            Notice::Disconnected(client) => {
                let typed = typed(self, DISCONNECT);
                let card = self.card(pages, now);
                let event = events::disconnect(pages.facts(), typed, card, &client);
                self.put(pages, format!("$SYS.ACCOUNT.{}.DISCONNECT", client.account), &event);
            }
            Notice::Refused(client) => {
                let typed = typed(self, DISCONNECT);
                let card = self.card(pages, now);
                let event = events::disconnect(pages.facts(), typed, card, &client);
                let id = &pages.facts().server_id;
                self.put(pages, format!("$SYS.SERVER.{id}.CLIENT.AUTH.ERR"), &event);
            }
            Notice::Undelegated { client, account, name, reason } => {
                let typed = typed(self, DISCONNECT);
                let card = self.card(pages, now);
                let event = events::disconnect(pages.facts(), typed, card, &client);
                let payload = json::compact(&event.of_callout(&name, &reason));
                let subject = b"$SYS.ACCOUNT.CLIENT.AUTH.ERR".to_vec();
                let (account, headers) = (Some(account), Vec::new());
                self.post(pages, SystemMessage { account, subject, headers, payload });
            }
            Notice::Slow { client, subject } => {
                let typed = typed(self, SLOW);
                let card = self.card(pages, now);
                let event = events::slow_consumer(pages.facts(), typed, card, &client, &subject);
                self.put(pages, format!("$SYS.ACCOUNT.{}.SLOW_CONSUMER", client.account), &event);
            }
            Notice::AccountChanged(account) => {
                if self.changed.len() < CHANGED_MAX {
                    self.changed.entry(account).or_insert(now + CHANGE_WAIT);
                }
            }
            Notice::Watched => {
                self.statsz.get_or_insert((now + STATSZ_FIRST, STATSZ_FIRST));
                self.accounts_at.get_or_insert(now + ACCOUNTS_APART);
            }
            Notice::Traced(report) => {
                let mut payload = json::compact(&Trace::of(&report, self.card(pages, now)));
                let accepted = header(&report.headers, "Accept-Encoding").unwrap_or_default();
                let headers = encode(accepted, &mut payload);
                let (account, subject) = (Some(report.account), report.destination);
                self.post(pages, SystemMessage { account, subject, headers, payload });
            }
            Notice::LameDuck => {
                let card = self.card(pages, now);
                let id = pages.facts().server_id.clone();
                self.put(pages, format!("$SYS.SERVER.{id}.LAMEDUCK"), &card);
            }
        }
    }

    fn answer(&mut self, pages: &mut Pages, request: &SystemRequest, now: u64) {
        let id = pages.facts().server_id.clone();
        let own = request.asker.is_some();
        let Some(service) = Service::find(&request.subject, &id, own) else { return };
        if service == Service::Subscribers {
            let count = count_subscribers(pages, request);
            return self.reply(pages, request, count.to_string().into_bytes());
        }
        if service == Service::Claims {
            return self.answer_claims(pages, request, now);
        }
        let body = match Body::read(&request.payload) {
            Ok(body) => body,
            Err(description) => {
                let refusal = Refusal { code: 400, description };
                return self.reply_error(pages, request, refusal, now);
            }
        };
        if !body.means(&self.card(pages, now)) {
            return;
        }
        match service {
            Service::Statsz => {
                let stats = self.stats(pages, now);
                self.reply(pages, request, json::compact(&stats));
            }
            Service::Idz => {
                let facts = pages.facts();
                let answer =
                    Idz { name: &facts.server_name, host: &facts.bind_host, id: &facts.server_id };
                let answer = json::compact(&answer);
                self.reply(pages, request, answer);
            }
            Service::Account(AccountService::Conns, account) => {
                let accounts = pages.inquirer().accounts();
                if let Some(totals) = accounts.iter().find(|totals| *totals.account == *account) {
                    let event = self.account_connections(pages, totals, now);
                    self.reply(pages, request, event);
                }
            }
            Service::Kick | Service::LameDuck if request.payload.is_empty() => {}
            _ => match data(pages, service, request, &body) {
                Ok(Some(data)) => self.reply_data(pages, request, &data, now),
                Ok(None) => {}
                Err(description) => {
                    let refusal = Refusal { code: 500, description };
                    self.reply_error(pages, request, refusal, now);
                }
            },
        }
    }

    /// What is said about tokens of accounts: one message, or several.
    fn answer_claims(&mut self, pages: &mut Pages, request: &SystemRequest, now: u64) {
        for reply in pages.claims(&request.subject, &request.payload) {
            let (name, value) = match reply {
                ClaimsReply::Bare(payload) => {
                    self.reply(pages, request, payload);
                    continue;
                }
                ClaimsReply::Data(value) => ("data", value),
                ClaimsReply::Error(value) => ("error", value),
            };
            let mut text = self.envelope(pages, now);
            text.extend_from_slice(format!(",\"{name}\":{value}}}").as_bytes());
            self.reply(pages, request, text);
        }
    }

    fn stats(&mut self, pages: &mut Pages, now: u64) -> ServerStats {
        let card = self.card(pages, now);
        let (shards, accounts) = (pages.inquirer().totals(), pages.inquirer().accounts());
        let usage = pages.usage(now);
        let jetstream = pages.jetstream_part();
        server_stats(pages.facts(), card, &shards, &accounts, jetstream, usage)
    }

    fn account_connections(
        &mut self,
        pages: &Pages,
        totals: &super::super::snapshot::AccountTotals,
        now: u64,
    ) -> Vec<u8> {
        let (typed, card) = (self.typed(pages, CONNECTIONS, now), self.card(pages, now));
        json::compact(&events::account_connections(typed, card, totals))
    }

    fn typed(&mut self, pages: &Pages, kind: &'static str, now: u64) -> Typed {
        let timestamp = super::super::times::rfc3339(pages.facts().wall(now));
        Typed { r#type: kind, id: self.ids.next(), timestamp }
    }

    /// The card for the next message.
    fn card(&mut self, pages: &Pages, now: u64) -> ServerCard {
        self.seq += 1;
        pages.card().stamped(self.seq, pages.facts().wall(now))
    }

    fn reply_data(&mut self, pages: &mut Pages, request: &SystemRequest, data: &[u8], now: u64) {
        let mut text = self.envelope(pages, now);
        if !data.is_empty() {
            text.extend_from_slice(b",\"data\":");
            text.extend_from_slice(data);
        }
        text.push(b'}');
        self.reply(pages, request, text);
    }

    fn reply_error(
        &mut self,
        pages: &mut Pages,
        request: &SystemRequest,
        refusal: Refusal,
        now: u64,
    ) {
        let mut text = self.envelope(pages, now);
        let is_action = ["KICK", "LDM"].iter().any(|name| request.subject.ends_with(name));
        if refusal.code == 500 && !is_action {
            text.extend_from_slice(b",\"data\":null");
        }
        text.extend_from_slice(b",\"error\":");
        text.extend_from_slice(&json::compact(&refusal));
        text.push(b'}');
        self.reply(pages, request, text);
    }

    /// `{"server":{...}`.
    fn envelope(&mut self, pages: &Pages, now: u64) -> Vec<u8> {
        let mut text = b"{\"server\":".to_vec();
        text.extend_from_slice(&json::compact(&self.card(pages, now)));
        text
    }

    fn reply(&mut self, pages: &Pages, request: &SystemRequest, payload: Vec<u8>) {
        if request.reply.is_empty() {
            return;
        }
        let mut payload = payload;
        let accepted = header(&request.headers, "Accept-Encoding").unwrap_or_default();
        let is_short = request.subject.ends_with(".IDZ");
        let headers = encode(if is_short { "" } else { accepted }, &mut payload);
        let subject = request.reply.clone();
        let message = SystemMessage { account: Some(request.account), subject, headers, payload };
        pages.inquirer().publish(request.shard, self.seq, vec![message]);
    }

    fn put(&mut self, pages: &Pages, subject: String, event: &impl Serialize) {
        self.put_bytes(pages, subject, json::compact(event));
    }

    fn put_bytes(&mut self, pages: &Pages, subject: String, payload: Vec<u8>) {
        let subject = subject.into_bytes();
        self.post(pages, SystemMessage { subject, payload, ..SystemMessage::default() });
    }

    fn post(&mut self, pages: &Pages, message: SystemMessage) {
        self.outbox_bytes += message.payload.len();
        self.outbox.push(message);
        if self.outbox.len() >= MESSAGES_A_CALL || self.outbox_bytes >= BYTES_A_CALL {
            self.flush(pages);
        }
    }

    fn flush(&mut self, pages: &Pages) {
        self.outbox_bytes = 0;
        if !self.outbox.is_empty() {
            pages.inquirer().publish(0, self.seq, std::mem::take(&mut self.outbox));
        }
    }
}

#[derive(Debug, Serialize)]
struct Refusal {
    code: u32,
    description: String,
}

#[derive(Debug, Serialize)]
struct Profile {
    profile: Option<String>,
    error: String,
}

#[derive(Debug, Serialize)]
struct Idz<'a> {
    name: &'a str,
    host: &'a str,
    id: &'a str,
}

const CONNECT: &str = "io.nats.server.advisory.v1.client_connect";
const DISCONNECT: &str = "io.nats.server.advisory.v1.client_disconnect";
const CONNECTIONS: &str = "io.nats.server.advisory.v1.account_connections";
const SLOW: &str = "io.midge.server.advisory.v1.slow_consumer";

/// Where the figures of an account are told, today and in old times.
fn connections_subjects(account: &str) -> [String; 2] {
    [format!("$SYS.ACCOUNT.{account}.SERVER.CONNS"), format!("$SYS.SERVER.ACCOUNT.{account}.CONNS")]
}

/// What stands in the envelope of an answer, as JSON; empty for nothing, and `None` if nobody is
/// answered.
fn data(
    pages: &mut Pages,
    service: Service<'_>,
    request: &SystemRequest,
    body: &Body,
) -> Result<Option<Vec<u8>>, String> {
    let done = |found: bool, what: &str| found.then(Vec::new).ok_or_else(|| what.to_owned());
    let data = match service {
        Service::Page("/profilez") => {
            let error = format!("Profile {:?} not found", body.text("name"));
            json::compact(&Profile { profile: None, error })
        }
        Service::Page("/raftz") => b"{}".to_vec(),
        Service::Page(path) => {
            pages.data(path, &body.query(path)).map_err(|error| error.to_string())?
        }
        Service::Account(kind, account) => {
            return account_data(pages, kind, account, body);
        }
        Service::OwnAccount(kind) => {
            let account = request.asker.as_ref().map(|asker| Arc::clone(&asker.account));
            return account_data(pages, kind, &account.unwrap_or_default(), body);
        }
        Service::UserInfo => match &request.asker {
            Some(asker) => json::compact(&UserInfo::of(asker)),
            None => return Ok(None),
        },
        Service::Kick => {
            done(pages.inquirer().kick(body.number("cid")), "no such client or leafnode id")?
        }
        Service::LameDuck => {
            done(pages.inquirer().send_away(body.number("cid")), "no such client id")?
        }
        Service::Reload => pages.reload().map(|()| Vec::new())?,
        Service::Statsz | Service::Idz | Service::Subscribers | Service::Claims => return Ok(None),
    };
    Ok(Some(data))
}

/// What is told of one account, or of all if it is called `PING`.
fn account_data(
    pages: &mut Pages,
    kind: AccountService,
    account: &str,
    body: &Body,
) -> Result<Option<Vec<u8>>, String> {
    let mut of_path = |path: &'static str| {
        let mut query = body.query(path);
        query.set("acc", account);
        pages.data(path, &query).map_err(|error| error.to_string())
    };
    let data = match kind {
        AccountService::Connz => of_path("/connz")?,
        AccountService::Subsz => of_path("/subsz")?,
        AccountService::Leafz => of_path("/leafz")?,
        AccountService::Jsz => {
            let found = pages.account_jetstream(account, &body.query("/jsz"));
            found.ok_or_else(|| format!("account {account:?} not found"))?
        }
        AccountService::Info => pages.account_detail(account).map_err(|error| error.to_string())?,
        AccountService::Statz if account == "PING" => {
            let unused = body.query("/accstatz").text("unused") == "1";
            pages.account_stats(&body.list("accounts"), unused)
        }
        AccountService::Statz => {
            if !pages.inquirer().accounts().iter().any(|known| *known.account == *account) {
                return Ok(None);
            }
            pages.account_stats(&[account], true)
        }
        AccountService::Conns => return Ok(None),
    };
    Ok(Some(data))
}

/// `subject`, or `subject queue`: how many subscriptions of the account would get a message.
fn count_subscribers(pages: &Pages, request: &SystemRequest) -> usize {
    let text = String::from_utf8_lossy(&request.payload);
    let mut words = text.split_ascii_whitespace();
    let (subject, queue) = (words.next().unwrap_or_default(), words.next());
    let subscriptions = pages.inquirer().subscriptions(None);
    let account = &pages.facts().system_account;
    let counted = subscriptions.iter().filter(|subscription| {
        *subscription.account == **account
            && queue.is_none_or(|queue| subscription.queue == queue)
            && crate::subject::matches(subscription.subject.as_bytes(), subject.as_bytes())
    });
    counted.count()
}

/// Names of events: 22 characters of base 62, as nats-server's.
#[derive(Debug)]
struct Ids {
    random: u64,
}

impl Ids {
    fn next(&mut self) -> String {
        let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let of = |number: u64| digits.get(usize::try_from(number % 62).unwrap_or(0));
        (0..22).map(|_| of(self.number()).copied().map_or('0', char::from)).collect()
    }

    fn number(&mut self) -> u64 {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
