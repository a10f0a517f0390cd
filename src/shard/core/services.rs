//! Services of other accounts: requests go over, answers come back.
//!
//! An import is a subscription of its account that no other shard hears of: the
//! shard of whoever publishes passes the message on, as if its client had
//! published it in the exporting account, under the subject there and with a
//! reply subject that leads back ([`responses`](super::responses)). What that
//! finds over there counts as if it had been found here, so a request that
//! nobody takes gets its 503. Imports may follow one another; none is passed
//! twice by one message.
//!
//! Accounts without imports pay one branch a message.

use std::sync::Arc;

use hashbrown::HashMap;

use super::client_info::ClientInfo;
use super::connection::ConnKey;
use super::entry::Entry;
use super::frame::Frame;
use super::ingest::Publisher;
use super::internal::INTERNAL;
use super::latency::{Failure, Measured, Outcome};
use super::publish::Taken;
use super::responses::{Asked, Responses, RESPONSE_PREFIX};
use super::timers::Timer;
use super::Core;
use crate::account::{Directory, Mapped, ResponseType, ServiceRoute};
use crate::proto::{self, Publish};
use crate::router::{ConnId, SubId};
use crate::stream::{Nuid, REQUEST_INFO};
use crate::subject::AccountId;

/// The slot that subscriptions of imports name; no connection has it.
pub(super) const IMPORTS: ConnId = ConnId(u32::MAX - 3);

/// The slot that subscriptions for answers name; no connection has it.
pub(super) const RESPONSES: ConnId = ConnId(u32::MAX - 4);

/// Imports that one message may pass, one after the other.
const CHAIN_MAX: usize = 16;

/// Something that one of these subscriptions got, to be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forward {
    /// A request, by the number of its import.
    Request(u32),
    /// A message of an answer.
    Response,
}

impl Forward {
    /// What a subscription in `slot` with this sid passes on.
    pub(super) fn of(slot: ConnId, sid: &[u8]) -> Option<Self> {
        match slot {
            IMPORTS => Some(Self::Request(u32::from_le_bytes(sid.try_into().ok()?))),
            RESPONSES => Some(Self::Response),
            _ => None,
        }
    }
}

/// The services that a shard passes requests on to.
#[derive(Debug)]
pub(super) struct Services {
    routes: Vec<Arc<ServiceRoute>>,
    /// Their subscriptions.
    subscriptions: Vec<SubId>,
    /// Those for answers, one for each account that is part of an import.
    answers: HashMap<AccountId, SubId, foldhash::fast::FixedState>,
    pub(super) responses: Responses,
    /// Some requests are measured.
    pub(super) measures: bool,
    /// What has become of measured requests in this turn.
    pub(super) outcomes: Vec<Outcome>,
    /// Who answers the message at hand, if it has been passed on already.
    responder: Option<ClientInfo>,
    pub(super) nuid: Nuid,
    /// A timer for the responses is in the heap.
    is_armed: bool,
    /// The imports that the message at hand has passed.
    chain: Vec<Arc<ServiceRoute>>,
    buffers: Vec<Buffers>,
    /// The list of forwards that is not in use.
    pub(super) spare: Vec<Forward>,
}

/// A message on its way into another account.
#[derive(Debug, Default)]
struct Buffers {
    subject: Vec<u8>,
    mapped: Vec<u8>,
    reply: Vec<u8>,
    block: Vec<u8>,
    info: Vec<u8>,
    frame: Frame,
}

impl Services {
    /// None; `seed` is the shard's own, `server` the server's name.
    pub(super) fn new(seed: u64, server: &str) -> Self {
        Self {
            routes: Vec::new(),
            subscriptions: Vec::new(),
            answers: HashMap::default(),
            responses: Responses::new(seed, server),
            measures: false,
            outcomes: Vec::new(),
            responder: None,
            nuid: Nuid::new(seed ^ 0x1a_7e_4c),
            is_armed: false,
            chain: Vec::new(),
            buffers: Vec::new(),
            spare: Vec::new(),
        }
    }
}

impl Core {
    /// Subscribes to what the imports of `directory` want, and to nothing that
    /// earlier ones wanted.
    pub(super) fn import_services(&mut self, directory: &Directory) {
        let mut changes = std::mem::take(&mut self.changes);
        for sub in std::mem::take(&mut self.services.subscriptions) {
            self.router.remove(sub, &mut changes);
        }
        self.services.routes.clear();
        let accounts = directory.accounts().iter();
        for route in accounts.flat_map(|account| &account.imports.services) {
            let number = u32::try_from(self.services.routes.len()).unwrap_or(u32::MAX);
            let sid = number.to_le_bytes();
            let sub = self.router.subscribe_unannounced(IMPORTS, route.importer, &route.to, &sid);
            self.services.subscriptions.push(sub);
            self.services.routes.push(Arc::clone(route));
        }
        let routes = &self.services.routes;
        self.services.measures = routes.iter().any(|route| route.terms.latency.is_some());
        let is_wanted = |account: AccountId| {
            routes.iter().any(|route| route.exporter == account || route.importer == account)
        };
        let gone = self.services.answers.extract_if(|account, _| !is_wanted(*account));
        for (_, sub) in gone {
            self.router.remove(sub, &mut changes);
        }
        let pattern = self.services.responses.pattern();
        for account in routes.iter().flat_map(|route| [route.exporter, route.importer]) {
            self.services.answers.entry(account).or_insert_with(|| {
                self.router.subscribe(RESPONSES, account, &pattern, None, b"", &mut changes)
            });
        }
        self.announce(&mut changes);
        self.changes = changes;
    }

    /// Passes on what imports and answers got of a message that was published
    /// here. `taken` is what else became of it.
    #[cold]
    pub(super) fn pass_on(
        &mut self,
        publisher: &Publisher,
        to: &[u8],
        message: &Publish<'_>,
        taken: Taken,
    ) -> Taken {
        let route = if to.is_empty() { message.subject } else { to };
        let spare = std::mem::take(&mut self.services.spare);
        let mut forwards = std::mem::replace(&mut self.deliverer.forwards, spare);
        self.settle_deliveries();
        let mut taken = taken;
        for forward in forwards.drain(..) {
            let further = match forward {
                Forward::Request(number) => self.pass_request(publisher, number, route, message),
                Forward::Response => self.pass_response(publisher, route, message),
            };
            taken = self.requests.join(taken, further);
        }
        self.services.spare = forwards;
        taken
    }

    /// The same for a message that came over a lane: its requests have been
    /// passed on where it was published.
    #[cold]
    pub(super) fn pass_on_answers(&mut self, entry: &Entry<'_>) {
        let mut forwards = std::mem::take(&mut self.deliverer.forwards);
        let is_answer = forwards.contains(&Forward::Response);
        forwards.clear();
        self.deliverer.forwards = forwards;
        if is_answer {
            let engine = ConnKey::new(INTERNAL, 0);
            let publisher = Publisher::internal(engine, entry.head.account);
            self.pass_response(&publisher, entry.route(), &entry.message);
        }
    }

    fn pass_request(
        &mut self,
        publisher: &Publisher,
        number: u32,
        route: &[u8],
        message: &Publish<'_>,
    ) -> Taken {
        let Some(way) = self.services.routes.get(number as usize).map(Arc::clone) else {
            return Taken::default();
        };
        let chain = &self.services.chain;
        let is_same = |known: &Arc<ServiceRoute>| {
            known.exporter == way.exporter && known.export == way.export
        };
        if chain.iter().any(is_same) || chain.len() >= CHAIN_MAX {
            return Taken::default();
        }
        let mut buffers = self.services.buffers.pop().unwrap_or_default();
        buffers.clear();
        let taken = self.pass_request_in(&mut buffers, &way, publisher, route, message);
        self.services.buffers.push(buffers);
        taken
    }

    fn pass_request_in(
        &mut self,
        buffers: &mut Buffers,
        way: &Arc<ServiceRoute>,
        publisher: &Publisher,
        route: &[u8],
        message: &Publish<'_>,
    ) -> Taken {
        let Buffers { subject, mapped, reply, block, info, frame } = buffers;
        way.transform.apply_matched(route, self.random.next(), subject);
        let subject = match self.map(way.exporter, subject, mapped) {
            Mapped::Unchanged => &**subject,
            Mapped::Changed => &**mapped,
            Mapped::Dropped => return Taken::default(),
        };
        let asked = Asked {
            answered_in: way.exporter,
            account: way.importer,
            route: way,
            subject: route,
            reply: message.reply,
        };
        let headers = message.header_len.map_or(0, |length| length as usize);
        let (given, body) = message.payload.split_at(headers.min(message.payload.len()));
        // Nobody over there is to be traced by what they pass on.
        let untraced =
            proto::may_wish_trace(given, false).then(|| proto::without_trace_wish(given));
        let given = untraced.as_deref().unwrap_or(given);
        let measured = match way.terms.latency {
            Some(_) => self.measure(publisher, way, given),
            None => None,
        };
        let opened = if message.reply.is_empty() {
            self.note_failure(measured, Failure::NoReply);
            None
        } else {
            self.open_response(asked, measured, reply)
        };
        if self.write_request_info(publisher.key, way, info) {
            proto::write_with_header(block, given, REQUEST_INFO, info);
            frame.compose(reply, block, body);
        } else {
            frame.compose(reply, given, body);
        }
        let inner = Publisher { account: way.exporter, imported: true, ..*publisher };
        self.services.chain.push(Arc::clone(way));
        let taken = if route == message.subject {
            self.route_message::<false>(&inner, b"", &frame.publish(subject))
        } else {
            self.route_message::<true>(&inner, subject, &frame.publish(message.subject))
        };
        self.services.chain.pop();
        self.settle_deliveries();
        if taken.is_nothing() {
            self.give_up_response(opened, Failure::NoResponders);
        }
        taken
    }

    fn pass_response(
        &mut self,
        publisher: &Publisher,
        route: &[u8],
        message: &Publish<'_>,
    ) -> Taken {
        let responses = &mut self.services.responses;
        let found = responses.find(publisher.account, route);
        let Some((slot, response)) = found.and_then(|slot| Some((slot, responses.get(slot)?)))
        else {
            return Taken::default();
        };
        let mut buffers = self.services.buffers.pop().unwrap_or_default();
        buffers.clear();
        buffers.subject.extend_from_slice(response.reply());
        let (account, way) = (response.account, Arc::clone(&response.route));
        let is_single = way.terms.response == ResponseType::Singleton;
        let mut measured = None;
        if is_single || message.payload.is_empty() {
            let mut gone = responses.remove(slot);
            measured = gone.as_mut().and_then(|gone| gone.measured.take());
            if let Some(gone) = gone {
                responses.recycle(gone);
            }
        } else {
            responses.touch(slot, self.now);
        }
        let before = self.services.responder.clone();
        if let Some(measured) = measured {
            let own = self.client_info(publisher.key, true);
            let by = own.or_else(|| measured.responder.clone()).or_else(|| before.clone());
            self.services.responder.clone_from(&by);
            self.note_answered(measured, by);
        }
        let taken = self.pass_response_in(&mut buffers, account, &way, publisher, route, message);
        self.services.responder = before;
        self.services.buffers.push(buffers);
        taken
    }

    /// What is to be answered in its turn goes back the way it came.
    fn pass_response_in(
        &mut self,
        buffers: &mut Buffers,
        account: AccountId,
        way: &Arc<ServiceRoute>,
        publisher: &Publisher,
        route: &[u8],
        message: &Publish<'_>,
    ) -> Taken {
        let Buffers { subject, reply, frame, .. } = buffers;
        let inner =
            Publisher { account, imported: true, no_responders: false, echo: true, ..*publisher };
        let mut message = *message;
        let shown = if route == message.subject { &**subject } else { message.subject };
        let asked = Asked {
            answered_in: account,
            account: publisher.account,
            route: way,
            subject: route,
            reply: message.reply,
        };
        if self.open_response(asked, None, reply).is_some() {
            let headers = message.header_len.map_or(0, |length| length as usize);
            let (block, body) = message.payload.split_at(headers.min(message.payload.len()));
            frame.compose(reply, block, body);
            message = frame.publish(shown);
        }
        message.subject = shown;
        let taken = if shown == &**subject {
            self.route_message::<false>(&inner, b"", &message)
        } else {
            self.route_message::<true>(&inner, subject, &message)
        };
        self.settle_deliveries();
        taken
    }

    /// Notes a request that is to be answered, and writes where. Acks of
    /// JetStream are known by their subject: those stay what they are.
    fn open_response(
        &mut self,
        asked: Asked<'_>,
        measured: Option<Box<Measured>>,
        out: &mut Vec<u8>,
    ) -> Option<u32> {
        if asked.reply.is_empty() || asked.reply.starts_with(ACK_PREFIX) {
            out.extend_from_slice(asked.reply);
            return None;
        }
        let (random, now) = (&mut self.random, self.now);
        let answered_in = asked.answered_in;
        let responses = &mut self.services.responses;
        let evicted = responses.open(|| random.next(), now, asked, measured, out);
        if let Some(evicted) = evicted {
            responses.recycle(evicted);
        }
        let opened = responses.find(answered_in, out);
        self.arm_responses();
        opened
    }

    fn give_up_response(&mut self, slot: Option<u32>, failure: Failure) {
        let responses = &mut self.services.responses;
        if let Some(gone) = slot.and_then(|slot| responses.remove(slot)) {
            self.fail_response(gone, failure);
        }
    }

    /// What a published subject becomes in an account.
    pub(super) fn map(&mut self, account: AccountId, subject: &[u8], out: &mut Vec<u8>) -> Mapped {
        let account = self.config.directory.account(account);
        match account.filter(|account| !account.mappings.is_empty()) {
            Some(account) => account.mappings.apply(subject, self.random.next(), out),
            None => Mapped::Unchanged,
        }
    }

    /// Nobody took a request that an import had passed on: the requester hears it
    /// of the subject that it has asked.
    #[cold]
    pub(super) fn send_no_responders_back(&mut self, key: ConnKey, reply: &[u8]) {
        debug_assert!(reply.starts_with(RESPONSE_PREFIX));
        let responses = &mut self.services.responses;
        let found = responses.named(reply).and_then(|slot| responses.remove(slot));
        let Some(response) = found else { return };
        self.send_no_responders(key, response.subject(), response.reply());
        self.fail_response(response, Failure::NoResponders);
    }

    /// Whether an answer to `subject` would find somebody: where it would go.
    pub(super) fn answered(
        &self,
        account: AccountId,
        subject: &[u8],
    ) -> Option<(AccountId, Vec<u8>)> {
        let responses = &self.services.responses;
        let response = responses.get(responses.find(account, subject)?)?;
        Some((response.account, response.reply().to_vec()))
    }

    fn arm_responses(&mut self) {
        if self.services.is_armed {
            return;
        }
        if let Some(deadline) = self.services.responses.next_deadline() {
            self.services.is_armed = true;
            self.timers.set(deadline, Timer::Responses, ConnKey::new(INTERNAL, 0));
        }
    }

    /// The time of some requests may be up.
    pub(super) fn handle_responses_timer(&mut self) {
        self.services.is_armed = false;
        while let Some(response) = self.services.responses.expired(self.now) {
            self.fail_response(response, Failure::TimedOut);
        }
        self.arm_responses();
    }

    /// Writes who asks, as its service sees it. Nobody does if the message is no
    /// client's.
    fn write_request_info(&mut self, key: ConnKey, way: &ServiceRoute, out: &mut Vec<u8>) -> bool {
        let Some(mut info) = self.client_info(key, way.share) else { return false };
        if !self.services.chain.is_empty() {
            let through = self.config.directory.account(way.importer);
            info.svc = through.map(|account| account.name.to_string()).unwrap_or_default();
        }
        serde_json::to_writer(&mut *out, &info).is_ok()
    }
}

/// What begins the subjects of JetStream's acks.
const ACK_PREFIX: &[u8] = b"$JS.ACK.";

impl Buffers {
    fn clear(&mut self) {
        for buffer in
            [&mut self.subject, &mut self.mapped, &mut self.reply, &mut self.block, &mut self.info]
        {
            buffer.clear();
        }
    }
}
