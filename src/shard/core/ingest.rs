//! Bytes of one connection: parse, obey.

use super::connection::{ConnKey, Phase};
use super::control::Control;
use super::senders::may_be_told;
use super::timers::Timer;
use super::trace;
use super::Core;
use crate::account::{Login, SubscribeVerdict};
use crate::client::{Client, Keepalive, Refusal, SubscribeRefusal};
use crate::proto::{self, CloseReason, Command, Parsed, ParserLimits, Publish, WireError};
use crate::router::ConnId;
use crate::subject::{self, AccountId};

/// What publishing needs to know of its connection, read once a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publisher {
    pub(super) key: ConnKey,
    pub(super) slot: ConnId,
    pub(super) account: AccountId,
    pub(super) echo: bool,
    pub(super) no_responders: bool,
    /// Its messages came through the import of a service: imports of streams
    /// pass them by.
    pub(super) imported: bool,
    /// Permissions or mappings stand in the way.
    pub(super) watched: bool,
    /// Mappings do.
    pub(super) mapped: bool,
    /// The account wants to hear of messages that somebody samples.
    pub(super) sampled: bool,
    pub(super) verbose: bool,
    pub(super) pedantic: bool,
    pub(super) authenticated: bool,
}

impl Publisher {
    /// The engine, for an account.
    pub(super) fn internal(key: ConnKey, account: AccountId) -> Self {
        Self {
            key,
            slot: key.slot(),
            account,
            echo: true,
            no_responders: false,
            imported: false,
            watched: false,
            mapped: false,
            sampled: false,
            verbose: false,
            pedantic: false,
            authenticated: true,
        }
    }
}

/// An operation whose line is ignored to its end, however long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    Ping,
    Pong,
    Ok,
}

/// Bytes of such a line that are kept before it is skipped instead.
const SKIPPED_KEPT_MAX: usize = 64;

/// Whether the incomplete line in `bytes` need not be kept.
fn skippable(bytes: &[u8]) -> Option<Skipped> {
    let name = bytes.get(..4).filter(|_| bytes.len() > SKIPPED_KEPT_MAX)?;
    if name.eq_ignore_ascii_case(b"PING") {
        Some(Skipped::Ping)
    } else if name.eq_ignore_ascii_case(b"PONG") {
        Some(Skipped::Pong)
    } else if name[..3].eq_ignore_ascii_case(b"+OK") {
        Some(Skipped::Ok)
    } else {
        None
    }
}

/// Input kept while a connection is paused before receiving is stopped.
const PAUSED_INPUT_MAX: usize = 64 * 1024;

/// Kept input of one connection that one turn parses.
const RESUME_BYTES_MAX: usize = 64 * 1024;

/// An incomplete operation above this gets a buffer of its declared size.
const INBOX_BYTES: usize = 64 * 1024;

impl Core {
    /// Bytes came from a connection's socket.
    pub fn handle_received(&mut self, key: ConnKey, bytes: &[u8]) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if connection.phase != Phase::Open {
            return;
        }
        if connection.awaits_proxy {
            return self.handle_first_bytes(key, bytes);
        }
        if connection.is_waiting() {
            connection.inbox.extend_from_slice(bytes);
            let waiting = connection.inbox.len() - connection.inbox_parsed;
            if waiting > PAUSED_INPUT_MAX && !connection.receive_stopped {
                connection.receive_stopped = true;
                self.receive_changes.push(key);
            }
            return;
        }
        let mut bytes = bytes;
        if !connection.inbox.is_empty() {
            bytes = self.complete_inbox(key, bytes);
        }
        if !bytes.is_empty() {
            let consumed = self.ingest(key, bytes);
            self.keep(key, &bytes[consumed..]);
        }
        self.settle_stall(key);
    }

    /// Connections whose pause has ended: parse what they sent meanwhile, at
    /// most [`RESUME_BYTES_MAX`] of each.
    pub fn resume_parsing(&mut self) {
        if self.has_answers() {
            self.take_answers();
        }
        let mut keys = std::mem::take(&mut self.resume);
        for key in keys.drain(..) {
            self.resume_one(key);
        }
        // Whoever has more to parse was added meanwhile.
        keys.append(&mut self.resume);
        self.resume = keys;
    }

    fn resume_one(&mut self, key: ConnKey) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        connection.resuming = false;
        if connection.phase != Phase::Open || !connection.pause.is_none() {
            return;
        }
        let kept = std::mem::take(&mut connection.inbox);
        let start = std::mem::take(&mut connection.inbox_parsed);
        let slice = RESUME_BYTES_MAX.max(connection.inbox_needs);
        let end = kept.len().min(start.saturating_add(slice));
        let parsed = start + self.ingest(key, &kept[start..end]);
        let more = end < kept.len() || self.interrupted && parsed < kept.len();
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if connection.phase != Phase::Open {
            return;
        }
        connection.inbox = kept;
        connection.inbox_parsed = parsed;
        self.settle_stall(key);
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if !connection.pause.is_none() || more {
            // The parsed part goes once it is the larger one, so that many
            // pauses over one inbox do not move it many times.
            if connection.inbox_parsed >= connection.inbox.len() / 2 {
                connection.drop_parsed_input();
            }
            if connection.pause.is_none() {
                connection.resuming = true;
                self.resume.push(key);
            }
            return;
        }
        // Nothing is left but an incomplete operation.
        connection.drop_parsed_input();
        if connection.ended {
            self.close(key, CloseReason::ClientClosed, true);
        } else if connection.receive_stopped {
            connection.receive_stopped = false;
            self.receive_changes.push(key);
        }
    }

    /// Feeds `bytes` to the incomplete operation that is kept, no further than
    /// its end; returns what is left of them.
    fn complete_inbox<'a>(&mut self, key: ConnKey, bytes: &'a [u8]) -> &'a [u8] {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let Some(connection) = self.deliverer.connections.get(key) else { return &[] };
            if connection.phase != Phase::Open {
                return &[];
            }
            if connection.inbox.is_empty() && connection.pause.is_none() {
                return bytes;
            }
            if !connection.pause.is_none() {
                connection.inbox.extend_from_slice(bytes);
                return &[];
            }
            let missing = connection.inbox_needs.saturating_sub(connection.inbox.len());
            let take = if missing > 1 {
                missing.min(bytes.len())
            } else {
                // The control line is not complete: go on to its end.
                memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1)
            };
            connection.inbox.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if connection.inbox.len() < connection.inbox_needs {
                continue;
            }
            let kept = std::mem::take(&mut connection.inbox);
            let consumed = self.ingest(key, &kept);
            self.keep_rest(key, kept, consumed);
        }
        bytes
    }

    /// Gives an input buffer back to its connection, less what was consumed.
    fn keep_rest(&mut self, key: ConnKey, mut kept: Vec<u8>, consumed: usize) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if connection.phase != Phase::Open {
            return;
        }
        if consumed >= kept.len() {
            // A small buffer stays for the next incomplete operation of a busy
            // connection; an idle connection gets rid of it in its keep-alive.
            if kept.capacity() <= INBOX_BYTES {
                kept.clear();
                connection.inbox = kept;
            }
            return;
        }
        kept.drain(..consumed);
        let missing = connection.inbox_needs.saturating_sub(kept.len());
        kept.reserve(missing);
        connection.inbox = kept;
    }

    /// Keeps bytes that could not be parsed yet.
    fn keep(&mut self, key: ConnKey, rest: &[u8]) {
        if rest.is_empty() {
            return;
        }
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if connection.phase != Phase::Open {
            return;
        }
        let room = connection.inbox_needs.max(rest.len());
        connection.inbox.reserve(room);
        connection.inbox.extend_from_slice(rest);
    }

    /// Lets a publisher that met slow receivers wait.
    fn settle_stall(&mut self, key: ConnKey) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let owed = std::mem::take(&mut connection.stall_owed);
        if owed > 0 && connection.phase == Phase::Open && !connection.pause.stall {
            connection.pause.stall = true;
            self.timers.set(self.now + owed, Timer::Stall, key);
            self.counters.stalls += 1;
        }
    }

    /// Parses and obeys as much of `bytes` as it may; returns the bytes
    /// consumed. `bytes` starts at an operation.
    fn ingest(&mut self, key: ConnKey, bytes: &[u8]) -> usize {
        let Some(mut publisher) = self.publisher(key) else { return bytes.len() };
        let mut limits = self.config.parser;
        self.limit_input(key, &mut limits);
        let mut consumed = self.skip(&publisher, bytes);
        let (mut messages, mut message_bytes) = (0_u64, 0_u64);
        let mut permitted = None;
        self.interrupted = false;
        self.parsing = Some(key);
        while consumed < bytes.len() {
            let rest = &bytes[consumed..];
            if !publisher.authenticated && !matches!(rest.first(), Some(b'c' | b'C')) {
                if !self.log_in_anonymously(key) {
                    self.refuse(key, &Refusal::credentials());
                }
                if self.interrupted {
                    break;
                }
                let Some(anew) = self.publisher(key) else { break };
                publisher = anew;
                self.limit_input(key, &mut limits);
            }
            // By reference: a publish moved out of the result is a hundred
            // bytes copied, twice the cost of parsing it.
            match &proto::parse(rest, &limits) {
                Ok(Parsed::Command { command: Command::Publish(message), consumed: length }) => {
                    consumed += length;
                    messages += 1;
                    message_bytes += message.payload.len() as u64;
                    if self.config.trace.is_some() {
                        self.trace_command(&publisher, &Command::Publish(*message));
                    }
                    self.handle_publish(&publisher, message, &mut permitted);
                }
                Ok(Parsed::Command { command, consumed: length }) => {
                    consumed += length;
                    permitted = None;
                    let reread = matches!(command, Command::Connect { .. });
                    self.obey(&publisher, *command);
                    if reread {
                        let Some(anew) = self.publisher(key) else { break };
                        publisher = anew;
                        self.limit_input(key, &mut limits);
                    }
                }
                Ok(Parsed::Incomplete { needed }) => {
                    if let Some(connection) = self.deliverer.connections.get(key) {
                        connection.inbox_needs = *needed;
                        connection.skipping = skippable(rest);
                        if connection.skipping.is_some() {
                            consumed = bytes.len();
                        }
                    }
                    break;
                }
                Err(error) => {
                    if let Some(skipped) = skippable(rest) {
                        if let Some(connection) = self.deliverer.connections.get(key) {
                            connection.skipping = Some(skipped);
                        }
                        consumed += self.skip(&publisher, rest);
                        continue;
                    }
                    let reason = error.close_reason();
                    match error.wire_error() {
                        Some(text) => self.fail(key, text, reason),
                        None => self.close(key, reason, true),
                    }
                    break;
                }
            }
            if self.interrupted {
                break;
            }
        }
        self.parsing = None;
        self.counters.in_messages += messages;
        self.counters.in_bytes += message_bytes;
        if let Some(connection) = self.deliverer.connections.get(key) {
            connection.in_messages += messages;
            connection.in_bytes += message_bytes;
            if messages > 0 {
                connection.client.keepalive.active_at = self.now;
            }
            if self.interrupted {
                connection.inbox_needs = 1;
            }
        }
        consumed
    }

    /// What CONNECT and the account have agreed on.
    fn limit_input(&mut self, key: ConnKey, limits: &mut ParserLimits) {
        let config = &self.config;
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        limits.headers = config.headers && connection.headers;
        let payload_max = connection.client.login.as_ref().and_then(Login::payload_max);
        let payload_max = payload_max.map_or(usize::MAX, |max| max as usize);
        limits.payload_bytes_max = config.parser.payload_bytes_max.min(payload_max);
    }

    /// Goes on skipping a line whose rest means nothing; returns its bytes.
    fn skip(&mut self, publisher: &Publisher, bytes: &[u8]) -> usize {
        let Some(connection) = self.deliverer.connections.get(publisher.key) else { return 0 };
        let Some(skipped) = connection.skipping else { return 0 };
        let Some(end) = memchr::memchr(b'\n', bytes) else { return bytes.len() };
        connection.skipping = None;
        self.obey(
            publisher,
            match skipped {
                Skipped::Ping => Command::Ping,
                Skipped::Pong => Command::Pong,
                Skipped::Ok => Command::Ok,
            },
        );
        end + 1
    }

    fn publisher(&mut self, key: ConnKey) -> Option<Publisher> {
        let connection = self.deliverer.connections.get(key)?;
        let client = &connection.client;
        let mapped = client.bound_to().is_some_and(|account| !account.mappings.is_empty());
        (connection.phase == Phase::Open).then_some(Publisher {
            key,
            slot: key.slot(),
            account: client.account,
            echo: client.echo,
            no_responders: client.no_responders,
            imported: false,
            watched: client.guard.is_some() || mapped,
            mapped,
            sampled: client.bound_to().is_some_and(|account| account.trace.is_some()),
            verbose: client.verbose,
            pedantic: client.pedantic,
            authenticated: client.authenticated,
        })
    }

    /// A client's message. `permitted` is the subject that its client may publish to without
    /// being asked again, until anything but messages comes from it.
    #[inline]
    fn handle_publish<'b>(
        &mut self,
        publisher: &Publisher,
        message: &Publish<'b>,
        permitted: &mut Option<&'b [u8]>,
    ) {
        if publisher.pedantic && !subject::is_literal(message.subject) {
            self.send_error(publisher.key, &WireError::InvalidPublishSubject);
        }
        if let Some(length) = message.header_len {
            let headers = message.payload.get(..length as usize).unwrap_or_default();
            if proto::may_wish_trace(headers, publisher.sampled) {
                return self.publish_traced(publisher, message);
            }
        }
        if publisher.watched && *permitted != Some(message.subject) {
            let always = self.publish_watched(publisher, message);
            *permitted = always.then_some(message.subject);
        } else {
            self.publish_permitted(publisher, message);
        }
    }

    pub(super) fn publish_untraced(&mut self, publisher: &Publisher, message: &Publish<'_>) {
        if publisher.watched {
            self.publish_watched(publisher, message);
        } else {
            self.publish_permitted(publisher, message);
        }
    }

    /// A message to a subject that its client may publish to.
    #[inline]
    pub(super) fn publish_permitted(&mut self, publisher: &Publisher, message: &Publish<'_>) {
        if let Some(error) = Client::check_publish(message.subject, message.reply) {
            return self.refuse_publish(publisher.key, &error);
        }
        if publisher.verbose {
            self.send(publisher.key, b"+OK\r\n");
        }
        self.publish_from_client(publisher, message);
    }

    /// Routes a message that its client may publish.
    #[inline]
    pub(super) fn publish_from_client(&mut self, publisher: &Publisher, message: &Publish<'_>) {
        if message.subject.first() == Some(&b'$') {
            if message.subject.starts_with(b"$SYS.REQ.") {
                return self.publish_request(publisher, message);
            }
            if self.names_senders && may_be_told(message.subject) {
                return self.publish_api_request(publisher, message);
            }
        }
        self.publish(publisher, message);
    }

    #[cold]
    fn trace_command(&mut self, publisher: &Publisher, command: &Command<'_>) {
        if let Some(options) = self.config.trace {
            for line in trace::incoming(command, &options) {
                self.say(publisher.slot, true, line);
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn obey(&mut self, publisher: &Publisher, command: Command<'_>) {
        let key = publisher.key;
        self.trace_command(publisher, &command);
        match command {
            Command::Subscribe { subject, queue, sid } => {
                self.handle_subscribe(publisher, subject, queue, sid);
            }
            Command::Unsubscribe { sid, max } => self.handle_unsubscribe(publisher, sid, max),
            Command::Connect { json } => self.handle_connect(key, json),
            Command::Ping => self.handle_ping(key),
            Command::Pong => {
                let now = self.now;
                if let Some(connection) = self.deliverer.connections.get(key) {
                    connection.client.keepalive.handle_pong(now);
                }
            }
            Command::Info { json } => {
                if let Err(error) = proto::validate_client_info(json) {
                    self.close(key, error.close_reason(), true);
                }
            }
            Command::Ok | Command::Publish(_) => {}
        }
    }

    pub(super) fn arm_first_ping(&mut self, key: ConnKey) {
        let random = self.random.next();
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let limits = self.config.keepalive(connection.client.over);
        if connection.client.keepalive.round_trip == 0 {
            let delay = Keepalive::first_delay(&limits, random);
            connection.ping_due = self.now + delay;
            self.timers.set(connection.ping_due, Timer::Ping, key);
        }
    }

    fn handle_subscribe(
        &mut self,
        publisher: &Publisher,
        pattern: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
    ) {
        let key = publisher.key;
        let now = self.now;
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        connection.client.keepalive.active_at = now;
        let known =
            connection.client.sids.get(sid, |sub| self.router.subscriptions()[sub].sid()).is_some();
        if !known {
            let limits = &self.config.limits;
            let verdict = match connection.client.check_subscribe(pattern, queue, limits) {
                Ok(verdict) => verdict,
                Err(refusal) => {
                    return self.refuse_subscription(key, pattern, queue, sid, &refusal);
                }
            };
            let guard = &connection.client.guard;
            let inspected = verdict == SubscribeVerdict::Filtered
                || guard.as_ref().is_some_and(|guard| guard.notes_requests());
            if connection.draining > 0 {
                self.silence(key, Some(sid));
            }
            let mut changes = std::mem::take(&mut self.changes);
            let sub = self.router.subscribe(
                key.slot(),
                publisher.account,
                pattern,
                queue,
                sid,
                &mut changes,
            );
            let Some(connection) = self.deliverer.connections.get(key) else { return };
            connection.client.sids.insert(sid, sub, |sub| self.router.subscriptions()[sub].sid());
            if inspected {
                self.inspect(sub, true);
            }
            self.note_watched(publisher.account);
            if self.internal.watches {
                self.internal.note_interest(publisher.account, pattern);
            }
            self.cast_shadows(sub, publisher.account, pattern, &mut changes);
            if let Some(seq) = self.announce(&mut changes) {
                if let Some(connection) = self.deliverer.connections.get(key) {
                    connection.announced = seq;
                }
                self.pause_if_unacknowledged(key);
            }
            self.changes = changes;
        }
        if publisher.verbose {
            self.send(key, b"+OK\r\n");
        }
    }

    /// A sid is used anew while its last subscription still drains: that one
    /// has had its last message, or the client would see some twice. A further
    /// CONNECT ends all (`None`).
    #[cold]
    pub(super) fn silence(&mut self, key: ConnKey, sid: Option<&[u8]>) {
        for sub in self.barrier.draining_of(key) {
            let subscription = &mut self.router.subscriptions_mut()[sub];
            if sid.is_none_or(|sid| subscription.sid() == sid) {
                subscription.max = subscription.delivered.max(1);
                subscription.delivered = subscription.max;
            }
        }
    }

    #[cold]
    fn refuse_subscription(
        &mut self,
        key: ConnKey,
        pattern: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
        refusal: &SubscribeRefusal,
    ) {
        let error = match refusal {
            SubscribeRefusal::TooManyTokens => {
                WireError::SubscriptionTooManyTokens { subject: pattern }
            }
            SubscribeRefusal::ReservedQueue | SubscribeRefusal::NotPermitted => {
                return self.refuse_pattern(key, pattern, queue, sid);
            }
            SubscribeRefusal::TooManySubscriptions => {
                self.say_error(key, "maximum subscriptions exceeded");
                WireError::MaximumSubscriptionsExceeded
            }
            SubscribeRefusal::InvalidSubject => WireError::InvalidSubject,
        };
        self.send_error(key, &error);
    }

    fn handle_unsubscribe(&mut self, publisher: &Publisher, sid: &[u8], max: Option<u64>) {
        let key = publisher.key;
        let now = self.now;
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        connection.client.keepalive.active_at = now;
        if let Some(sub) =
            connection.client.sids.get(sid, |sub| self.router.subscriptions()[sub].sid())
        {
            let subscription = &mut self.router.subscriptions_mut()[sub];
            match max {
                Some(max) if max > subscription.delivered => subscription.max = max,
                // A limit that was set stays: it holds for what is under way too.
                _ => self.withdraw(key, sub),
            }
        }
        if publisher.verbose {
            self.send(key, b"+OK\r\n");
        }
    }

    fn handle_ping(&mut self, key: ConnKey) {
        let now = self.now;
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        connection.client.keepalive.active_at = now;
        let lanes = std::mem::take(&mut connection.touched);
        let (announced, withdrawn) = (connection.announced, connection.withdrawn);
        let appended = |shard: crate::router::ShardId| self.lanes[usize::from(shard.0)].appended();
        if self.barrier.wait(key, announced, withdrawn, lanes, appended) {
            self.send_pong(key);
        } else {
            connection.pause.barrier = true;
            self.interrupted = true;
        }
    }

    /// Too many changes are on their way: this connection waits.
    fn pause_if_unacknowledged(&mut self, key: ConnKey) {
        if self.barrier.unacknowledged() < self.config.unacknowledged_max {
            return;
        }
        if let Some(connection) = self.deliverer.connections.get(key) {
            connection.pause.interest = true;
            self.interest_waiters.push(key);
            self.interrupted = true;
        }
    }

    /// Tells every peer of interest changes; returns the last one's sequence.
    pub(super) fn announce(
        &mut self,
        changes: &mut Vec<crate::router::InterestChange>,
    ) -> Option<u64> {
        if self.config.shards == 1 {
            changes.clear();
            return None;
        }
        let mut last = None;
        for change in changes.drain(..) {
            let seq = self.barrier.next_seq();
            last = Some(seq);
            self.broadcast(&Control::Interest { seq, change });
        }
        last
    }

    pub(super) fn broadcast(&mut self, item: &Control) {
        let own = usize::from(self.config.own.0);
        for (shard, lane) in self.control.iter_mut().enumerate() {
            if shard != own {
                lane.push(item.clone());
            }
        }
    }
}
