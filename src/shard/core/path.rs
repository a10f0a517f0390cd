//! The way of one message, told to who asked for it: who would get it, who gets it, and why others
//! do not.
//!
//! A traced message is routed like any other, only slowly: every subscription it meets is noted. What
//! happens on other shards comes back by their control lanes; when all has come, the report goes to
//! the monitor, which publishes it. A message that asks to be traced only meets the same
//! subscriptions and is delivered to none.
//!
//! Bound: [`TRACES_MAX`] reports, of [`REPORTS_BYTES_MAX`] together, wait for other shards; a trace
//! beyond tells of its own shard.

use std::collections::BTreeMap;

use super::connection::{ConnKey, Phase};
use super::control::Control;
use super::deliver::Deliverer;
use super::entry::{Entry, Head, QueuePick};
use super::inbound::{return_branch, return_pick};
use super::ingest::Publisher;
use super::internal::{INTERNAL, SYSTEM};
use super::label::account_name;
use super::members::{queue_hash, Members, Picked};
use super::publish::Taken;
use super::senders::may_be_told;
use super::services::Forward;
use super::Core;
use crate::account::{Mapped, GLOBAL_ACCOUNT};
use crate::client::Client;
use crate::monitor::{Notice, TraceEvent, TraceReport, REPORTS_BYTES_MAX};
use crate::outbound::Pressure;
use crate::proto::{self, Publish, TraceWish, WireError};
use crate::router::{ConnId, GroupId, Matched, ShardId, ShardSet, SubId, Subscription, Tried};
use crate::stream::{Interest, Token};
use crate::subject::{self, AccountId};

/// Reports that wait for other shards.
const TRACES_MAX: usize = 256;

/// An import has it: whether somebody takes it is found out there.
const PASSED_ON: &str = "passed on";

/// Why somebody does not get a message, in nats-server's words.
const NO_ECHO: &str = "Not delivered because of no echo";
const DENIED: &str = "Not delivered because subscription denies this subject";
const CLIENT_CLOSED: &str = "Not delivered because client is closed";
const EXCEEDED: &str = "Not delivered because auto-unsubscribe exceeded";
const SLOW: &str = "Not delivered because fast producer not stalled and consumer is slow";

/// Kind of a client in events.
const CLIENT: u8 = 0;

/// The traces of one shard.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// What entries say of the message being routed; 0 if it is not traced.
    pub(super) current: u64,
    /// Traces begun.
    begun: u64,
    open: BTreeMap<u64, Open>,
    /// Bytes of the reports among them, about.
    open_bytes: usize,
    /// Somewhere is an event of which only JetStream knows what it means.
    unresolved: bool,
}

/// A report that waits.
#[derive(Debug)]
struct Open {
    report: TraceReport,
    /// Answers to come.
    left: u32,
}

/// How a traced message is offered.
#[derive(Clone, Copy, Debug)]
struct Terms {
    /// It is not delivered.
    only: bool,
    /// The publisher, if it does not want its own messages.
    skipped: ConnId,
}

/// A subscription that was met, and why it got nothing if it did not.
type Met = (SubId, &'static str);

impl Core {
    /// A client's message that may ask for its way to be told.
    #[cold]
    #[inline(never)]
    pub(super) fn publish_traced(&mut self, publisher: &Publisher, message: &Publish<'_>) {
        let headers = headers_of(message);
        let (destination, only) = match proto::trace_wish(headers, publisher.sampled) {
            TraceWish::To { destination, only } if subject::is_literal(destination) => {
                let asked = Publish { subject: destination, reply: b"", ..*message };
                if let Some(error) = self.publish_violation(publisher.key, &asked) {
                    return self.refuse_publish(publisher.key, &error);
                }
                (destination.to_vec(), only)
            }
            TraceWish::Sampled => match self.sampled_destination(publisher.account) {
                Some(destination) => (destination, false),
                None => return self.publish_untraced(publisher, message),
            },
            TraceWish::To { .. } | TraceWish::None => {
                return self.publish_untraced(publisher, message)
            }
        };
        let mut report = TraceReport {
            account: publisher.account,
            destination,
            headers: headers.to_vec(),
            size: message.payload.len(),
            events: Vec::new(),
        };
        let mut buffer = std::mem::take(&mut self.mapped);
        let mapped = self.map(publisher.account, message.subject, &mut buffer);
        let subject = if mapped == Mapped::Changed { &buffer } else { message.subject };
        let routed = Publish { subject, ..*message };
        let violation = self.publish_violation(publisher.key, &routed);
        let error = violation.as_ref().map_or_else(String::new, text_of);
        report.events.push(self.ingress(publisher.key, message.subject, error));
        if mapped != Mapped::Unchanged {
            let to = text(subject);
            report.events.push(TraceEvent::SubjectMapping { ts: self.wall(), to });
        }
        if let Some(error) = violation {
            self.refuse_publish(publisher.key, &error);
            self.tell_trace(report);
        } else {
            if publisher.verbose {
                self.send(publisher.key, b"+OK\r\n");
            }
            if mapped == Mapped::Dropped {
                self.tell_trace(report);
            } else if self.names_senders && may_be_told(subject) {
                self.with_sender(publisher, &routed, |core, message| {
                    core.trace(publisher, message, only, report);
                });
            } else {
                self.trace(publisher, &routed, only, report);
            }
        }
        self.mapped = buffer;
    }

    /// Routes a message of a local client and notes whom it meets.
    fn trace(
        &mut self,
        publisher: &Publisher,
        message: &Publish<'_>,
        only: bool,
        mut report: TraceReport,
    ) {
        let mut served = false;
        if message.subject.starts_with(b"$SYS.REQ.") {
            // What a client may ask for, it is asked only once it is delivered.
            served = !only && self.take_request(publisher, message);
            if served {
                report.events.push(self.request_event(publisher.key, message.subject));
            }
        }
        let terms =
            Terms { only, skipped: if publisher.echo { ConnId(u32::MAX) } else { publisher.slot } };
        let Matched { plan, subscriptions, groups, shadows } =
            self.router.matched(publisher.account, message.subject);
        self.deliverer.pressure = Pressure::Low;
        let mut met = Vec::new();
        for delivery in plan.deliveries() {
            let subscription = &mut subscriptions[delivery.sub];
            if !subscription.draining {
                let error = self.deliverer.offer(delivery.sub, subscription, None, message, terms);
                met.push((delivery.sub, error));
            }
        }
        for delivery in plan.shadows() {
            if !subscriptions[delivery.shadow].draining {
                let message = Publish { subject: plan.shadow_subject(delivery), ..*message };
                let (id, to) = (delivery.primary, &mut subscriptions[delivery.primary]);
                met.push((id, self.deliverer.offer(id, to, None, &message, terms)));
            }
        }
        let (mut branches, mut request) = (0, 0);
        let (deliverer, random) = (&mut self.deliverer, &mut self.random);
        let mut members = Members { groups, shadows, subscriptions, deliverer, random };
        for queue in plan.queues() {
            let picked = members.pick_noting(queue, Tried::default(), message, terms, &mut met);
            if let Picked::Remote(shard) = picked {
                self.picks.add(shard, queue_hash(groups, queue, self.config.seed));
                branches += 1;
            }
        }
        let plain = plan.remote();
        branches += plain.len();
        let delivered = met.iter().filter(|(_, error)| error.is_empty()).count();
        let delivered = u32::try_from(delivered).unwrap_or(u32::MAX) + u32::from(served);
        report.events.extend(self.events_of(publisher.account, &met, message));
        let targets = ShardSet(plain.0 | self.picks.shards.0).len();
        if targets > 0 {
            let has_room = self.traces.open.len() < TRACES_MAX
                && self.traces.open_bytes.saturating_add(report.bytes()) <= REPORTS_BYTES_MAX;
            self.traces.begun += 1;
            let number = self.traces.begun;
            if has_room {
                self.traces.current = number << 1 | u64::from(only);
            }
            if has_room || !only {
                request = self.send_to_shards(publisher, b"", message, plain, branches, delivered);
            }
            self.traces.current = 0;
            if has_room {
                self.traces.open_bytes += report.bytes();
                self.traces.open.insert(number, Open { report, left: targets });
            } else {
                self.tell_trace(report);
            }
        } else {
            self.tell_trace(report);
        }
        self.picks.clear();
        if self.deliverer.pressure != Pressure::Low {
            self.owe_stall(publisher.key, self.deliverer.pressure == Pressure::Over);
        }
        let mut taken = Taken { delivered, branches, request };
        if !self.deliverer.forwards.is_empty() {
            // Other accounts are not told of.
            taken = self.pass_on(publisher, b"", message, taken);
        }
        if taken.is_nothing() && publisher.no_responders && !message.reply.is_empty() {
            self.send_no_responders(publisher.key, message.subject, message.reply);
        }
        self.settle_deliveries();
    }

    /// A traced message of another shard: what becomes of it here goes back by the control lane.
    #[cold]
    pub(super) fn route_traced_entry(&mut self, from: ShardId, entry: &Entry<'_>) {
        let Entry { head, message, .. } = entry;
        let terms = Terms { only: head.trace & 1 == 1, skipped: ConnId(u32::MAX) };
        let Matched { plan, subscriptions, groups, shadows } =
            self.router.matched(head.account, entry.route());
        let mut met = Vec::new();
        for delivery in if head.plain { plan.deliveries() } else { &[] } {
            let subscription = &mut subscriptions[delivery.sub];
            let error = self.deliverer.offer(delivery.sub, subscription, None, message, terms);
            met.push((delivery.sub, error));
        }
        for delivery in if head.plain { plan.shadows() } else { &[] } {
            let message = Publish { subject: plan.shadow_subject(delivery), ..*message };
            let (id, to) = (delivery.primary, &mut subscriptions[delivery.primary]);
            met.push((id, self.deliverer.offer(id, to, None, &message, terms)));
        }
        let taken = met.iter().any(|(_, error)| error.is_empty());
        let elsewhere = Tried::from(ShardSet(!ShardSet::only(self.config.own).0));
        let lane = &mut self.lanes[usize::from(from.0)];
        let (deliverer, random) = (&mut self.deliverer, &mut self.random);
        let mut members = Members { groups, shadows, subscriptions, deliverer, random };
        let mut returned = 0;
        for hash in entry.picks() {
            let queue =
                plan.queues().find(|queue| queue_hash(groups, queue, self.config.seed) == hash);
            let picked =
                queue.map(|queue| members.pick_noting(queue, elsewhere, message, terms, &mut met));
            if !matches!(picked, Some(Picked::Local)) {
                return_pick(lane, self.config.own, entry, hash);
                self.counters.returned += 1;
                returned += 1;
            }
        }
        if head.plain && !taken && head.request != 0 {
            return_branch(lane, entry);
        }
        let events = self.events_of(head.account, &met, message);
        let answer = Control::Traced { trace: head.trace, events, returned };
        self.control[usize::from(from.0)].push(answer);
        if !self.deliverer.forwards.is_empty() {
            self.pass_on_answers(entry);
        }
        self.settle_deliveries();
    }

    /// Another shard has said what became of a traced message there.
    pub(super) fn handle_traced(&mut self, trace: u64, events: Vec<TraceEvent>, returned: u32) {
        self.settle_trace(trace, events, returned);
    }

    /// A pick of a traced message came back.
    #[cold]
    pub(super) fn pick_again_traced(
        &mut self,
        head: &Head,
        hash: QueuePick,
        to: &[u8],
        message: &Publish<'_>,
    ) {
        let lives = self.deliverer.connections.get(head.origin).is_some();
        let no_echo = head.no_echo && lives;
        let skipped = if no_echo { head.origin.slot() } else { ConnId(u32::MAX) };
        let terms = Terms { only: head.trace & 1 == 1, skipped };
        let route = if to.is_empty() { message.subject } else { to };
        let Matched { plan, subscriptions, groups, shadows } =
            self.router.matched(head.account, route);
        let queue = plan.queues().find(|queue| queue_hash(groups, queue, self.config.seed) == hash);
        let mut met = Vec::new();
        let (deliverer, random) = (&mut self.deliverer, &mut self.random);
        let mut members = Members { groups, shadows, subscriptions, deliverer, random };
        let picked = queue.map_or(Picked::Nobody, |queue| {
            members.pick_noting(queue, Tried::from(head.tried), message, terms, &mut met)
        });
        let events = self.events_of(head.account, &met, message);
        let mut more = 0;
        match picked {
            Picked::Local => self.requests.taken(head.request),
            Picked::Remote(shard) => {
                self.send_pick(head, shard, hash, to, message);
                more = 1;
            }
            Picked::Nobody => self.lose_branch(head, message),
        }
        self.settle_trace(head.trace, events, more);
        self.settle_deliveries();
    }

    /// One answer of those that a report waits for has come, and `more` are to come.
    fn settle_trace(&mut self, trace: u64, events: Vec<TraceEvent>, more: u32) {
        let number = trace >> 1;
        let Some(open) = self.traces.open.get_mut(&number) else { return };
        self.traces.open_bytes += events.iter().map(TraceEvent::bytes).sum::<usize>();
        open.report.events.extend(events);
        open.left = (open.left + more).saturating_sub(1);
        if open.left == 0 {
            if let Some(open) = self.traces.open.remove(&number) {
                let bytes = open.report.bytes();
                self.traces.open_bytes = match self.traces.open.is_empty() {
                    // Texts may have changed meanwhile.
                    true => 0,
                    false => self.traces.open_bytes.saturating_sub(bytes),
                };
                self.tell_trace(open.report);
            }
        }
    }

    /// Has a report published, if anybody hears it.
    fn tell_trace(&mut self, report: TraceReport) {
        if self.has_interest(report.account, &report.destination) {
            self.system.note(Notice::Traced(Box::new(report)));
        }
    }

    /// Whether some event has to be told by JetStream what it means.
    #[inline]
    pub fn has_unresolved_traces(&self) -> bool {
        self.traces.unresolved
    }

    /// Says what the messages are that JetStream got: `stored` knows a stream's name and the
    /// subject under which it stores.
    #[cold]
    pub fn resolve_traces(&mut self, stored: impl Fn(Token, &[u8]) -> Option<(String, String)>) {
        self.traces.unresolved = false;
        let system = self.system_name();
        let resolve = |events: &mut Vec<TraceEvent>| {
            let told = std::mem::take(events).into_iter().filter_map(|event| {
                let TraceEvent::Captured { token, ts, subject } = event else { return Some(event) };
                if let Some((stream, subject)) = stored(Token(token), subject.as_bytes()) {
                    return Some(TraceEvent::JetStream { ts, stream, subject });
                }
                let acc = system.clone();
                subject.starts_with("$JS.API.").then(|| TraceEvent::ServiceImport {
                    ts,
                    acc,
                    from: subject.clone(),
                    to: subject.clone(),
                })
            });
            *events = told.collect();
        };
        for item in self.control.iter_mut().flatten() {
            if let Control::Traced { events, .. } = item {
                resolve(events);
            }
        }
        for open in self.traces.open.values_mut() {
            resolve(&mut open.report.events);
        }
        for notice in self.system.notices_mut() {
            if let Notice::Traced(report) = notice {
                resolve(&mut report.events);
            }
        }
    }

    fn events_of(
        &mut self,
        account: AccountId,
        met: &[Met],
        message: &Publish<'_>,
    ) -> Vec<TraceEvent> {
        let ts = self.wall();
        let mut events = Vec::with_capacity(met.len());
        for &(sub, error) in met {
            let Some(view) = self.router.view(sub) else { continue };
            // What an import brings to another account is not the publisher's to know.
            if view.account != account {
                continue;
            }
            if view.conn == INTERNAL {
                let mut token = [0; 8];
                let length = view.sid.len().min(8);
                token[..length].copy_from_slice(&view.sid[..length]);
                let (token, subject) = (u64::from_le_bytes(token), text(message.subject));
                events.push(TraceEvent::Captured { token, ts, subject });
                self.traces.unresolved = true;
                continue;
            }
            let Some(connection) = self.deliverer.connections.peek(view.conn) else { continue };
            events.push(TraceEvent::Egress {
                ts,
                kind: CLIENT,
                cid: connection.client.cid,
                name: name_of(&connection.client),
                sub: text(view.pattern),
                queue: view.queue.map(text).unwrap_or_default(),
                error,
            });
        }
        events
    }

    fn ingress(&self, key: ConnKey, subject: &[u8], error: String) -> TraceEvent {
        let connection = self.deliverer.connections.peek(key.slot());
        let client = connection.map(|connection| &*connection.client);
        TraceEvent::Ingress {
            ts: self.wall(),
            kind: CLIENT,
            cid: client.map_or(0, |client| client.cid),
            name: client.map(name_of).unwrap_or_default(),
            acc: client.map_or(GLOBAL_ACCOUNT, account_name).to_owned(),
            subj: text(subject),
            error,
        }
    }

    /// What is asked of the server by clients of every account is asked in the system account.
    fn request_event(&self, key: ConnKey, subject: &[u8]) -> TraceEvent {
        let connection = self.deliverer.connections.peek(key.slot());
        let account = connection.map_or("", |connection| account_name(&connection.client));
        let from = text(subject);
        let to = match from.rsplit('.').next() {
            Some("INFO") => format!("$SYS.REQ.USER.{account}.INFO"),
            last => format!("$SYS.REQ.ACCOUNT.{account}.{}", last.unwrap_or_default()),
        };
        TraceEvent::ServiceImport { ts: self.wall(), acc: self.system_name(), from, to }
    }

    fn system_name(&self) -> String {
        let account = self.system.account.and_then(|id| self.config.directory.account(id));
        account.map(|account| account.name.to_string()).unwrap_or_default()
    }

    /// Where the account wants to hear of a sampled message, if of this one.
    fn sampled_destination(&mut self, account: AccountId) -> Option<Vec<u8>> {
        let target = self.config.directory.account(account)?.trace.as_ref()?;
        let is_chosen = self.random.next() % 100 < u64::from(target.sampling);
        is_chosen.then(|| target.destination.clone().into_bytes())
    }

    fn wall(&self) -> u64 {
        self.system.epoch.saturating_add(self.now)
    }
}

impl Deliverer {
    /// Delivers a traced message, unless it is traced only; says why not, if not.
    fn offer(
        &mut self,
        id: SubId,
        subscription: &mut Subscription,
        queue: Option<&[u8]>,
        message: &Publish<'_>,
        terms: Terms,
    ) -> &'static str {
        let slot = subscription.conn;
        if slot == INTERNAL || slot == SYSTEM {
            if !terms.only {
                self.capture_untraced(slot, subscription, message);
            }
            return "";
        }
        if Forward::of(slot, subscription.sid()).is_some() {
            let is_taken = terms.only || self.capture(slot, subscription, message);
            return if is_taken { "" } else { PASSED_ON };
        }
        let Some(connection) = self.connections.at(slot) else { return CLIENT_CLOSED };
        if slot == terms.skipped {
            return NO_ECHO;
        }
        if connection.phase != Phase::Open {
            return CLIENT_CLOSED;
        }
        let guard = connection.client.guard.as_ref().filter(|_| subscription.max != 0);
        if guard.is_some_and(|guard| guard.permissions().denies_delivery(message.subject, queue)) {
            return DENIED;
        }
        if subscription.max != 0 && subscription.delivered >= subscription.max {
            return EXCEEDED;
        }
        if terms.only || self.deliver_to_member(id, subscription, queue, message) {
            ""
        } else {
            SLOW
        }
    }

    /// What the server keeps is not traced again when it is delivered later.
    fn capture_untraced(
        &mut self,
        slot: ConnId,
        subscription: &mut Subscription,
        message: &Publish<'_>,
    ) {
        let headers = headers_of(message);
        let body = message.payload.get(headers.len()..).unwrap_or_default();
        let mut payload = proto::without_trace_wish(headers);
        let header_len = u32::try_from(payload.len()).ok();
        payload.extend_from_slice(body);
        let stored = Publish { header_len, payload: &payload, tail: None, ..*message };
        self.capture(slot, subscription, &stored);
    }
}

impl Members<'_> {
    /// Picks as for any message, but notes every member that is asked.
    fn pick_noting(
        &mut self,
        queue: &[GroupId],
        tried: Tried,
        message: &Publish<'_>,
        terms: Terms,
        met: &mut Vec<Met>,
    ) -> Picked {
        self.pick_by(queue, tried, |members, member, name| {
            let mut subject = Vec::new();
            let shadow = members.shadows.of(member, &members.subscriptions[member]);
            let (member, message) = match shadow {
                Some(shadow) => {
                    shadow.transform.apply_matched(message.subject, 0, &mut subject);
                    (shadow.primary, Publish { subject: &subject, ..*message })
                }
                None => (member, *message),
            };
            let subscription = &mut members.subscriptions[member];
            let error = members.deliverer.offer(member, subscription, name, &message, terms);
            met.push((member, error));
            error.is_empty()
        })
    }
}

fn headers_of<'m>(message: &Publish<'m>) -> &'m [u8] {
    let length = message.header_len.unwrap_or(0) as usize;
    message.payload.get(..length).unwrap_or_default()
}

fn name_of(client: &Client) -> String {
    client.described.as_ref().map(|options| options.name.clone()).unwrap_or_default()
}

fn text_of(error: &WireError<'_>) -> String {
    let mut bytes = Vec::new();
    error.write_text(&mut bytes);
    text(&bytes)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
