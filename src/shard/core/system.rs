//! The system account on a shard: what is worth telling there, if anybody listens, and what is
//! asked there.
//!
//! Nothing is told from the middle of a turn: a subscriber of events that is closed for being slow
//! is an event itself. Notices are kept until the shell takes them.

use std::sync::Arc;

use super::connection::{ConnKey, Phase};
use super::ingest::Publisher;
use super::internal::{Captured, SYSTEM};
use super::label::{account_name, user_of};
use super::snapshot::snapshot;
use super::Core;
use crate::account::Callout;
use crate::monitor::{
    is_open_to_all, system_subscriptions, AccountTotals, ConnectionSnapshot, Notice,
    PermissionFacts, Slice, SystemMessage, SystemRequest, UserFacts, NOTICES_MAX,
    REPORTS_BYTES_MAX, REQUESTS_MAX, REQUEST_BYTES_MAX,
};
use crate::proto::{CloseReason, Publish};
use crate::router::{ConnId, SubId};
use crate::stream::{Interest, Outgoing};
use crate::subject::AccountId;

/// Slots of connections that one slice of account figures looks at.
const SLOTS_CONNECTIONS: u32 = 4096;

/// What one account did with connections that are gone.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    in_messages: u64,
    in_bytes: u64,
    out_messages: u64,
    out_bytes: u64,
    slow_consumers: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.in_messages += other.in_messages;
        self.in_bytes += other.in_bytes;
        self.out_messages += other.out_messages;
        self.out_bytes += other.out_bytes;
        self.slow_consumers += other.slow_consumers;
    }
}

/// What the core keeps for the system account.
#[derive(Debug, Default)]
pub(super) struct System {
    /// Which account it is, if there is one.
    pub(super) account: Option<AccountId>,
    /// What is subscribed to there, on the shard that answers.
    patterns: Vec<String>,
    subs: Vec<SubId>,
    notices: Vec<Notice>,
    /// Bytes of reports among them.
    reports_bytes: usize,
    asked: Vec<SystemRequest>,
    /// What found no room.
    dropped: u64,
    /// The wall clock when the monotonic one stood at 0, in nanoseconds.
    pub(super) epoch: u64,
    /// The last message's number that the monitor has given out.
    pub(super) seq: u64,
    tallies: Vec<Tally>,
}

impl System {
    pub(super) fn new(account: Option<AccountId>) -> Self {
        Self { account, ..Self::default() }
    }

    /// What waits to be told.
    pub(super) fn notices_mut(&mut self) -> &mut [Notice] {
        &mut self.notices
    }

    /// Subscriptions of its own.
    pub(super) fn subscriptions(&self) -> u64 {
        self.subs.len() as u64
    }

    pub(super) fn note(&mut self, notice: Notice) {
        let reports_bytes = self.reports_bytes.saturating_add(notice.report_bytes());
        if self.notices.len() < NOTICES_MAX && reports_bytes <= REPORTS_BYTES_MAX {
            self.reports_bytes = reports_bytes;
            self.notices.push(notice);
        } else {
            self.dropped += 1;
        }
    }

    fn tally(&mut self, account: AccountId) -> Option<&mut Tally> {
        let index = account.0 as usize;
        if self.tallies.len() <= index {
            self.tallies.resize(index + 1, Tally::default());
        }
        self.tallies.get_mut(index)
    }
}

impl Core {
    /// From now on this shard answers what is asked in the system account; also about tokens of
    /// accounts, if the server keeps them.
    pub fn serve_system(&mut self, keeps_claims: bool) {
        self.system.patterns = system_subscriptions(self.config.info.server_id(), keeps_claims);
        self.subscribe_system();
    }

    /// The wall clock showed `epoch` nanoseconds when the monotonic one stood at 0.
    pub fn know_epoch(&mut self, epoch: u64) {
        self.system.epoch = epoch;
    }

    /// The system account of the directory of today.
    pub(super) fn follow_system_account(&mut self) {
        let account = self.config.directory.system_account();
        if account != self.system.account {
            self.system.account = account;
            self.subscribe_system();
        }
    }

    fn subscribe_system(&mut self) {
        let mut changes = std::mem::take(&mut self.changes);
        for sub in std::mem::take(&mut self.system.subs) {
            self.router.remove(sub, &mut changes);
        }
        if let Some(account) = self.system.account {
            for pattern in &self.system.patterns {
                let pattern = pattern.as_bytes();
                let sub = self.router.subscribe(SYSTEM, account, pattern, None, b"", &mut changes);
                self.system.subs.push(sub);
            }
        }
        self.announce(&mut changes);
        self.changes = changes;
    }

    /// Whether there is something for the shell to pass on.
    #[inline]
    pub fn has_system_news(&self) -> bool {
        !self.system.notices.is_empty()
            || !self.system.asked.is_empty()
            || !self.deliverer.captured_by_system.is_empty()
    }

    /// What is to be told, in order.
    pub fn take_notices(&mut self) -> std::vec::Drain<'_, Notice> {
        self.system.reports_bytes = 0;
        self.system.notices.drain(..)
    }

    /// What is asked.
    pub fn take_requests(&mut self) -> Vec<SystemRequest> {
        let shard = usize::from(self.config.own.0);
        let mut requests = std::mem::take(&mut self.system.asked);
        let mut captured = Captured::default();
        std::mem::swap(&mut captured, &mut self.deliverer.captured_by_system);
        captured.drain(|incoming| {
            if incoming.headers.len() + incoming.payload.len() > REQUEST_BYTES_MAX {
                self.system.dropped += 1;
                return;
            }
            requests.push(SystemRequest {
                shard,
                account: incoming.account,
                subject: String::from_utf8_lossy(incoming.subject).into_owned(),
                reply: incoming.reply.to_vec(),
                headers: incoming.headers.to_vec(),
                payload: incoming.payload.to_vec(),
                asker: None,
            });
        });
        self.deliverer.captured_by_system = captured;
        requests
    }

    /// Notices and requests that found no room in this core.
    pub fn notices_dropped(&self) -> u64 {
        self.system.dropped
    }

    /// The last number that the monitor has given a message of the system account.
    pub fn system_seq(&self) -> u64 {
        self.system.seq
    }

    /// Whether somebody would get a message to `subject` in the system account.
    pub fn is_heard(&mut self, subject: &[u8]) -> bool {
        let Some(account) = self.system.account else { return false };
        self.has_interest(account, subject)
    }

    /// Publishes what the monitor has to say.
    pub fn publish_system(&mut self, messages: &[SystemMessage], seq: u64) {
        self.system.seq = self.system.seq.max(seq);
        for message in messages {
            let Some(account) = message.account.or(self.system.account) else { continue };
            self.publish_internal(&Outgoing {
                account,
                to: &message.subject,
                subject: b"",
                reply: b"",
                headers: &message.headers,
                payload: &message.payload,
                failure: None,
            });
        }
    }

    /// Closes the connection of a number; whether it is there.
    pub fn kick(&mut self, cid: u64) -> bool {
        let key = self.connection_of(cid);
        if let Some(key) = key {
            self.close(key, CloseReason::Kicked, true);
        }
        key.is_some()
    }

    /// Tells the connection of a number to go elsewhere; whether it is there.
    pub fn send_away(&mut self, cid: u64) -> bool {
        let key = self.connection_of(cid);
        if let Some(key) = key {
            let before = std::mem::replace(&mut self.lame_duck, true);
            self.send_info(key, false);
            self.lame_duck = before;
        }
        key.is_some()
    }

    fn connection_of(&self, cid: u64) -> Option<ConnKey> {
        let mut connections = self.deliverer.connections.iter();
        let found = connections.find(|entry| entry.client.cid == cid && entry.phase == Phase::Open);
        found.map(|connection| connection.key)
    }

    /// The figures of the accounts with the connections from slot `from` on, and with the first
    /// ones of what is gone.
    pub fn accounts_from(&self, from: u32) -> Slice<AccountTotals> {
        let mut sums = std::collections::BTreeMap::<AccountId, AccountTotals>::new();
        let directory = &self.config.directory;
        let named = |id: AccountId| AccountTotals {
            account: directory.account(id).map_or_else(Arc::default, |found| (*found.name).into()),
            ..AccountTotals::default()
        };
        if from == 0 {
            for account in directory.accounts() {
                let tally = self.system.tallies.get(account.id.0 as usize).copied();
                let tally = tally.unwrap_or_default();
                sums.insert(
                    account.id,
                    AccountTotals {
                        in_messages: tally.in_messages,
                        in_bytes: tally.in_bytes,
                        out_messages: tally.out_messages,
                        out_bytes: tally.out_bytes,
                        slow_consumers: tally.slow_consumers,
                        ..named(account.id)
                    },
                );
            }
        }
        let slots = self.deliverer.connections.slots();
        let end = slots.min(from.saturating_add(SLOTS_CONNECTIONS));
        for slot in from..end {
            let Some(connection) = self.deliverer.connections.peek(ConnId(slot)) else { continue };
            let client = &connection.client;
            if connection.phase != Phase::Open || client.bound_to().is_none() {
                continue;
            }
            let sum = sums.entry(client.account).or_insert_with(|| named(client.account));
            sum.connections += 1;
            sum.subscriptions += client.sids.len() as u64;
            sum.in_messages += connection.in_messages;
            sum.in_bytes += connection.in_bytes;
            sum.out_messages += connection.out_messages;
            sum.out_bytes += connection.out_bytes;
        }
        Slice { items: sums.into_values().collect(), next: (end < slots).then_some(end) }
    }

    /// A client has logged in.
    #[cold]
    pub(super) fn note_login(&mut self, key: ConnKey) {
        let Some(connection) = self.deliverer.connections.peek(key.slot()) else { return };
        let account: Arc<str> = Arc::from(account_name(&connection.client));
        if self.is_heard(format!("$SYS.ACCOUNT.{account}.CONNECT").as_bytes()) {
            if let Some(connection) = self.deliverer.connections.peek(key.slot()) {
                let client = Box::new(snapshot(connection));
                self.system.note(Notice::Connected(client));
            }
        }
        self.note_account(account);
    }

    /// A client goes: its account changes, or it was never let in. `slow` is what it was sent most,
    /// if it read too slowly.
    #[cold]
    pub(super) fn note_gone(&mut self, key: ConnKey, reason: CloseReason, slow: Option<&str>) {
        let Some(connection) = self.deliverer.connections.peek(key.slot()) else { return };
        let client = &connection.client;
        let (was_in, id) = (client.bound_to().is_some(), client.account);
        let account: Arc<str> = Arc::from(account_name(client));
        let gone = Tally {
            in_messages: connection.in_messages,
            in_bytes: connection.in_bytes,
            out_messages: connection.out_messages,
            out_bytes: connection.out_bytes,
            slow_consumers: u64::from(slow.is_some()),
        };
        if let Some(tally) = self.system.tally(id).filter(|_| was_in) {
            tally.add(&gone);
        }
        if reason == CloseReason::AuthenticationFailure {
            let subject = format!("$SYS.SERVER.{}.CLIENT.AUTH.ERR", self.config.info.server_id());
            self.tell_of(key, reason, &subject, Notice::Refused);
        }
        if let Some(busiest) = slow {
            let busiest = busiest.to_owned();
            let notice = |client| Notice::Slow { client, subject: busiest };
            self.tell_of(key, reason, &format!("$SYS.ACCOUNT.{account}.SLOW_CONSUMER"), notice);
        }
        let subject = format!("$SYS.ACCOUNT.{account}.DISCONNECT");
        self.tell_of(key, reason, &subject, Notice::Disconnected);
        if was_in {
            self.note_account(account);
        }
    }

    /// Tells of a connection that ends, if `subject` is heard.
    fn tell_of(
        &mut self,
        key: ConnKey,
        reason: CloseReason,
        subject: &str,
        notice: impl FnOnce(Box<ConnectionSnapshot>) -> Notice,
    ) {
        if !self.is_heard(subject.as_bytes()) {
            return;
        }
        let Some(connection) = self.deliverer.connections.peek(key.slot()) else { return };
        let closed = Some((self.now, reason.as_str()));
        let event = ConnectionSnapshot { closed, ..snapshot(connection) };
        self.system.note(notice(Box::new(event)));
    }

    /// A service has not let a client in: its account hears of that.
    #[cold]
    pub(super) fn note_undelegated(&mut self, key: ConnKey, callout: &Callout, reason: String) {
        if !self.has_interest(callout.account, b"$SYS.ACCOUNT.CLIENT.AUTH.ERR") {
            return;
        }
        let Some(connection) = self.deliverer.connections.peek(key.slot()) else { return };
        let client = Box::new(ConnectionSnapshot {
            closed: Some((self.now, CloseReason::AuthenticationFailure.as_str())),
            ..snapshot(connection)
        });
        let (account, name) = (callout.account, callout.account_name.clone());
        self.system.note(Notice::Undelegated { client, account, name, reason });
    }

    /// An account has a connection more or less.
    fn note_account(&mut self, account: Arc<str>) {
        if self.is_heard(format!("$SYS.ACCOUNT.{account}.SERVER.CONNS").as_bytes())
            || self.is_heard(format!("$SYS.SERVER.ACCOUNT.{account}.CONNS").as_bytes())
        {
            self.system.note(Notice::AccountChanged(account));
        }
    }

    /// Somebody has subscribed in an account.
    #[inline]
    pub(super) fn note_watched(&mut self, account: AccountId) {
        if self.system.account == Some(account) {
            self.system.note(Notice::Watched);
        }
    }

    /// Lame duck mode has begun.
    pub fn note_lame_duck(&mut self) {
        self.system.note(Notice::LameDuck);
    }

    /// A client's message below `$SYS.REQ.`: of what clients of every account may ask for, the
    /// server they are connected to is the responder.
    #[cold]
    #[inline(never)]
    pub(super) fn publish_request(&mut self, publisher: &Publisher, message: &Publish<'_>) {
        let is_taken = self.take_request(publisher, message);
        // Whoever else listens gets it as well.
        let no_responders = publisher.no_responders && !is_taken;
        self.publish(&Publisher { no_responders, ..*publisher }, message);
    }

    /// Keeps what clients of every account may ask for; whether this is such a message.
    pub(super) fn take_request(&mut self, publisher: &Publisher, message: &Publish<'_>) -> bool {
        let Some(system) = self.system.account else { return false };
        let is_user_info = message.subject == b"$SYS.REQ.USER.INFO";
        let is_taken = is_open_to_all(message.subject)
            && !message.reply.is_empty()
            && (is_user_info || publisher.account != system);
        if !is_taken {
            return false;
        }
        let fits =
            message.payload.len() <= REQUEST_BYTES_MAX && self.system.asked.len() < REQUESTS_MAX;
        match self.asker(publisher.key).filter(|_| fits) {
            Some(asker) => {
                let headers = message.header_len.unwrap_or(0) as usize;
                let (headers, payload) =
                    message.payload.split_at_checked(headers).unwrap_or((b"", message.payload));
                self.system.asked.push(SystemRequest {
                    shard: usize::from(self.config.own.0),
                    account: publisher.account,
                    subject: String::from_utf8_lossy(message.subject).into_owned(),
                    reply: message.reply.to_vec(),
                    headers: headers.to_vec(),
                    payload: payload.to_vec(),
                    asker: Some(Box::new(asker)),
                });
            }
            None => self.system.dropped += 1,
        }
        true
    }

    fn asker(&self, key: ConnKey) -> Option<UserFacts> {
        let client = &self.deliverer.connections.peek(key.slot())?.client;
        let permissions = client.guard.as_ref().map(|guard| {
            let rules = guard.permissions().rules();
            let number = |value: u128| i64::try_from(value).unwrap_or(i64::MAX);
            PermissionFacts {
                publish_allow: rules.publish.allow.clone(),
                publish_deny: rules.publish.deny.clone(),
                subscribe_allow: rules.subscribe.allow.clone(),
                subscribe_deny: rules.subscribe.deny.clone(),
                responses: rules.responses.map(|rule| {
                    (
                        rule.messages_max.map_or(-1, i64::from),
                        rule.expires.map_or(-1, |expires| number(expires.as_nanos())),
                    )
                }),
            }
        });
        let user = client.login.as_ref().and_then(|login| login.user.as_ref());
        let token = user.and_then(|user| user.token.as_deref());
        let claims = client.bound_to().and_then(|account| account.claims.as_deref());
        let named = claims.map_or_else(|| account_name(client), |claims| &claims.name);
        Some(UserFacts {
            account_name: named.to_owned(),
            user_name: token.map_or_else(String::new, |token| token.name.clone()),
            expires: client.expires.map(|(at, _)| at.saturating_sub(self.now)),
            cid: client.cid,
            user: user.map_or_else(|| user_of(client).to_owned(), |user| user.name.to_string()),
            account: Arc::from(account_name(client)),
            permissions,
        })
    }
}
