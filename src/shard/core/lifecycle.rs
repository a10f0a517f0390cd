//! A connection's way in and out, its timers, and the small things it is sent.

use std::sync::Arc;

use super::connection::{ConnKey, Phase, TlsFacts};
use super::control::Control;
use super::label::label;
use super::timers::Timer;
use super::{Core, Event};
use crate::account::{ConnectionType, Login};
use crate::client::{CarriedCredentials, Client, Tick};
use crate::proto::{CloseReason, PerClient, WireError};
use crate::router::{ConnId, SubId};

/// Bytes that an INFO takes at most.
const INFO_BYTES_MAX: usize = 8 * 1024;

/// Random bytes of a nonce, as in nats-server.
const NONCE_BYTES: usize = 11;

/// Who a client over WebSocket is, as its request says.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// Whose request it was, if a proxy says so.
    pub forwarded_for: Option<Box<str>>,
    /// Credentials that came with the request.
    pub carried: Option<Box<CarriedCredentials>>,
}

impl Core {
    /// A connection was accepted: number `cid`, remote address `host`. INFO is
    /// the first thing it gets.
    pub fn open(&mut self, cid: u64, host: Box<str>) -> ConnKey {
        let key = self.reserve(cid, host);
        self.begin(key);
        key
    }

    /// A connection was accepted that is no client yet: nothing counts or shows it until
    /// [`Self::arrive`].
    pub fn reserve(&mut self, cid: u64, host: Box<str>) -> ConnKey {
        let client = Client::new(cid, host, true, self.config.seed);
        self.deliverer.connections.insert(client)
    }

    /// A reserved connection has become a client over WebSocket: it is greeted.
    pub fn arrive(&mut self, key: ConnKey, arrival: Arrival) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if connection.phase != Phase::Arriving {
            return;
        }
        let client = &mut connection.client;
        client.over = ConnectionType::WebSocket;
        client.forwarded_for = arrival.forwarded_for;
        client.carried = arrival.carried;
        self.begin(key);
    }

    fn begin(&mut self, key: ConnKey) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        connection.phase = Phase::Open;
        let (cid, over) = (connection.client.cid, connection.client.over);
        let nonce = self.config.directory.has_nkeys().then(|| self.nonce(cid));
        let must_authenticate = self.config.directory.is_required(over);
        let login = self.config.directory.everybody(over);
        let seed = self.config.seed;
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let client = &mut connection.client;
        client.nonce = nonce.unwrap_or_default();
        client.authenticated = !must_authenticate;
        if let Some(login) = login {
            client.log_in(login, seed);
        }
        let authenticated = client.authenticated;
        self.counters.opened += 1;
        if self.config.debug {
            self.say(key.slot(), false, "Client connection created".to_owned());
        }
        if !authenticated {
            self.timers.set(self.now + self.config.auth_timeout(over), Timer::Authentication, key);
        }
        // A client that never says CONNECT is asked too, only later.
        let due = self.now + self.config.keepalive(over).interval;
        if let Some(connection) = self.deliverer.connections.get(key) {
            connection.ping_due = due;
            connection.opened_at = self.now;
            connection.awaits_proxy = self.proxy_headers && over == ConnectionType::Standard;
        }
        self.timers.set(due, Timer::Ping, key);
        self.send_info(key, false);
    }

    /// A connection beyond a limit: INFO, the error, and out again.
    pub fn open_refused(&mut self, cid: u64, host: Box<str>, error: WireError<'_>) -> ConnKey {
        let key = self.open(cid, host);
        self.turn_away(key, error);
        key
    }

    /// A client that is beyond a limit: the error, and out again.
    pub fn turn_away(&mut self, key: ConnKey, error: WireError<'_>) {
        let reason = error.close_reason().unwrap_or(CloseReason::MaximumConnectionsExceeded);
        self.fail(key, error, reason);
    }

    /// Something to sign that nobody can foresee: a hash over the server's secret.
    pub(super) fn nonce(&mut self, cid: u64) -> Box<str> {
        use sha2::Digest;
        let mut hash = sha2::Sha256::new();
        for part in [self.config.seed, cid, self.now, self.random.next()] {
            hash.update(part.to_le_bytes());
        }
        let digest = hash.finalize();
        data_encoding::BASE64URL_NOPAD.encode(&digest[..NONCE_BYTES]).into()
    }

    /// The peer closed its end, or the socket failed. What a peer sent before
    /// it closed is still obeyed when a pause has kept it.
    pub fn handle_end(&mut self, key: ConnKey, reason: CloseReason) {
        if reason != CloseReason::ClientClosed {
            return self.close(key, reason, false);
        }
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if connection.is_waiting() {
            connection.ended = true;
        } else {
            self.close(key, reason, true);
        }
    }

    /// The remote address of a connection, a NUL before the port.
    pub fn host_of(&mut self, key: ConnKey) -> &str {
        self.deliverer.connections.get(key).map_or("", |connection| &connection.client.host)
    }

    /// Whether a client is there and obeyed.
    pub fn is_open(&mut self, key: ConnKey) -> bool {
        let connection = self.deliverer.connections.get(key);
        connection.is_some_and(|connection| connection.phase == Phase::Open)
    }

    /// Whether a client has shown who it is, or need not.
    pub fn is_authenticated(&mut self, key: ConnKey) -> bool {
        let connection = self.deliverer.connections.get(key);
        connection.is_some_and(|connection| connection.client.authenticated)
    }

    /// Why a connection was closed that was a client.
    pub fn closed_for(&mut self, key: ConnKey) -> Option<CloseReason> {
        self.deliverer.connections.get(key)?.closed_for
    }

    /// An empty buffer for what is sent; it comes back with [`Self::recycle`].
    pub fn take_chunk(&mut self) -> Vec<u8> {
        self.deliverer.pool.take(0)
    }

    /// TLS with a client is agreed on.
    pub fn handle_tls(&mut self, key: ConnKey, facts: TlsFacts) {
        if let Some(connection) = self.deliverer.connections.get(key) {
            connection.tls = Some(Box::new(facts));
        }
    }

    /// What a client sent cannot be read: a line for the log.
    pub fn report_read_error(&mut self, key: ConnKey, error: &str) {
        self.say_error(key, &format!("read error: {error}"));
    }

    /// TLS with a client has failed: a line for the log.
    pub fn report_tls_error(&mut self, key: ConnKey, error: &str) {
        self.say(key.slot(), false, format!("TLS handshake error: {error}"));
    }

    /// The socket of a connection has taken a part of its flight.
    pub fn handle_sent_part(&mut self, key: ConnKey) {
        if let Some(connection) = self.deliverer.connections.get(key) {
            connection.moved_at = self.now;
        }
    }

    /// The flight of a connection is over.
    pub fn handle_sent(&mut self, key: ConnKey, delivered: bool) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        connection.out.flight_landed();
        if !delivered {
            connection.out.discard_queued(&mut self.deliverer.pool);
            match connection.phase {
                Phase::Open => return self.close(key, CloseReason::WriteError, false),
                Phase::Flushing => {
                    connection.phase = Phase::Closing;
                    self.closing.push(key);
                }
                Phase::Arriving | Phase::Closing | Phase::Gone => {}
            }
            return;
        }
        if connection.out.has_queued() {
            self.deliverer.mark_dirty(key.slot());
        } else if connection.phase == Phase::Flushing {
            connection.phase = Phase::Closing;
            self.closing.push(key);
        }
    }

    /// The shell has closed the socket and nothing of it is under way.
    pub fn release(&mut self, key: ConnKey) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        connection.phase = Phase::Gone;
        if connection.draining == 0 {
            self.deliverer.connections.remove(key.slot());
        }
        let connections = &self.deliverer.connections;
        self.timers.sweep(|key| connections.peek(key.slot()).is_some_and(|it| it.key == key));
    }

    /// Lets every deadline that has passed take effect.
    pub fn run_timers(&mut self) {
        while let Some((timer, key)) = self.timers.expired(self.now) {
            match timer {
                Timer::Ping => self.handle_ping_timer(key),
                Timer::Authentication => {
                    let connection = self.deliverer.connections.get(key);
                    let is_late = |client: &Client| {
                        // Who is being asked about has the time that the answer may take.
                        !client.authenticated && client.question.is_none()
                    };
                    if connection.is_some_and(|connection| is_late(&connection.client)) {
                        self.fail(
                            key,
                            WireError::AuthenticationTimeout,
                            CloseReason::AuthenticationTimeout,
                        );
                    }
                }
                Timer::Stall => {
                    if let Some(connection) = self.deliverer.connections.get(key) {
                        connection.pause.stall = false;
                        self.resume_if_free(key);
                    }
                }
                Timer::Callout => self.handle_callout_timer(key),
                Timer::Expiry => self.handle_expiry(key),
                Timer::ProxyHeader => self.handle_header_timer(key),
                Timer::Write => self.handle_write_timer(key),
                Timer::LameDuck => self.close_next_for_lame_duck(),
                Timer::Responses => self.handle_responses_timer(),
            }
        }
    }

    fn handle_ping_timer(&mut self, key: ConnKey) {
        let now = self.now;
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let limits = self.config.keepalive(connection.client.over);
        if connection.phase != Phase::Open || connection.ping_due > now {
            return;
        }
        if connection.inbox.is_empty() && connection.inbox.capacity() > 0 {
            connection.inbox = Vec::new();
        }
        match connection.client.keepalive.handle_tick(now, &limits) {
            Tick::Ping => self.send(key, b"PING\r\n"),
            Tick::Skip => {}
            Tick::Stale => {
                self.counters.stale_connections += 1;
                return self.fail(key, WireError::StaleConnection, CloseReason::StaleConnection);
            }
        }
        if let Some(connection) = self.deliverer.connections.get(key) {
            connection.ping_due = now + limits.interval;
        }
        self.timers.set(now + limits.interval, Timer::Ping, key);
    }

    /// What is to be sent from now on must be sent by the write deadline.
    pub(super) fn arm_write_timer(&mut self, key: ConnKey) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if !connection.write_timer {
            connection.write_timer = true;
            let deadline = self.now + self.config.write_deadline;
            self.timers.set(deadline, Timer::Write, key);
        }
    }

    fn handle_write_timer(&mut self, key: ConnKey) {
        let (now, deadline) = (self.now, self.config.write_deadline);
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if connection.out.in_flight() == 0 && connection.phase != Phase::Flushing {
            connection.write_timer = false;
        } else if now - connection.send_started < deadline {
            self.timers.set(connection.send_started + deadline, Timer::Write, key);
        } else {
            connection.write_timer = false;
            self.counters.slow_consumers += 1;
            self.close(key, CloseReason::SlowConsumerWriteDeadline, false);
        }
    }

    /// Closes a connection that reads too slowly; what waits for it is dropped.
    pub(super) fn close_slow(&mut self, key: ConnKey) {
        let connection = self.deliverer.connections.get(key);
        if connection.is_some_and(|connection| connection.phase == Phase::Open) {
            self.counters.slow_consumers += 1;
            self.close(key, CloseReason::SlowConsumerPendingBytes, false);
        }
    }

    /// Sends an error and closes the connection once it is out.
    pub(super) fn fail(&mut self, key: ConnKey, error: WireError<'_>, reason: CloseReason) {
        self.send_error(key, &error);
        self.close(key, reason, true);
    }

    /// Ends a connection: its interest goes now, its socket as soon as what
    /// waits is sent (`flush`) or at once.
    pub(super) fn close(&mut self, key: ConnKey, reason: CloseReason, flush: bool) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        self.interrupted |= self.parsing == Some(key);
        match connection.phase {
            Phase::Open => {}
            Phase::Arriving => {
                connection.phase = Phase::Closing;
                return self.closing.push(key);
            }
            Phase::Flushing if !flush => {
                connection.out.discard_queued(&mut self.deliverer.pool);
                connection.phase = Phase::Closing;
                self.closing.push(key);
                return;
            }
            Phase::Flushing | Phase::Closing | Phase::Gone => return,
        }
        self.note_closed(key, reason);
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        connection.phase = Phase::Flushing;
        connection.closed_for = Some(reason);
        connection.inbox = Vec::new();
        if !flush {
            connection.out.discard_queued(&mut self.deliverer.pool);
        }
        if !flush || connection.out.pending() == 0 {
            connection.phase = Phase::Closing;
            self.closing.push(key);
        } else if connection.out.in_flight() == 0 {
            // It may wait for a send of the shell's own that nobody reads.
            connection.send_started = self.now;
            self.arm_write_timer(key);
        }
        self.barrier.forget(key);
        self.forget_question(key);
        self.forget_measured(key);
        self.drop_subscriptions(key);
        self.leave_account(key);
    }

    /// Tells the log and monitoring of a connection that ends.
    fn note_closed(&mut self, key: ConnKey, reason: CloseReason) {
        self.remember(key, reason);
        let is_slow = matches!(
            reason,
            CloseReason::SlowConsumerPendingBytes | CloseReason::SlowConsumerWriteDeadline
        );
        let slow = if is_slow { self.slow_consumer(key) } else { None };
        self.note_gone(key, reason, slow.as_ref().map(|slow| &*slow.subject));
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        self.events.push(Event::Closed {
            cid: connection.client.cid,
            host: connection.client.shown_host(),
            over: connection.client.over,
            reason,
            pending: connection.out.pending(),
            chunks: connection.out.flight_segments(),
            label: if is_slow || self.config.debug {
                label(&connection.client)
            } else {
                String::new()
            },
            slow,
        });
    }

    /// Removes every live subscription of a connection.
    pub(super) fn drop_subscriptions(&mut self, key: ConnKey) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let subs = connection.client.sids.take_all();
        let mut changes = std::mem::take(&mut self.changes);
        for sub in subs {
            self.remove_shadows(sub, &mut changes);
            self.router.remove(sub, &mut changes);
            self.announce(&mut changes);
        }
        self.changes = changes;
    }

    /// UNSUB: gone at once on a single shard; else interest is withdrawn and
    /// the subscription delivers what is still on its way.
    pub(super) fn withdraw(&mut self, key: ConnKey, sub: SubId) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        connection.client.sids.remove(self.router.subscriptions()[sub].sid(), sub);
        self.withdraw_shadows(key, sub);
        self.withdraw_interest(key, sub);
    }

    /// Withdraws what others know of a subscription, or of a shadow.
    pub(super) fn withdraw_interest(&mut self, key: ConnKey, sub: SubId) {
        let mut changes = std::mem::take(&mut self.changes);
        if self.config.shards == 1 {
            self.router.remove(sub, &mut changes);
            changes.clear();
            self.changes = changes;
            return;
        }
        self.router.drain(sub, &mut changes);
        let seq = match self.announce(&mut changes) {
            Some(seq) => seq,
            None => {
                let seq = self.barrier.next_seq();
                self.broadcast(&Control::Fence { seq });
                seq
            }
        };
        self.changes = changes;
        self.barrier.drain(seq, sub, key);
        if let Some(connection) = self.deliverer.connections.get(key) {
            connection.withdrawn = seq;
            connection.draining += 1;
        }
    }

    /// A withdrawn subscription has had everything that was on its way.
    pub(super) fn end_draining(&mut self, sub: SubId, key: ConnKey) {
        let mut changes = std::mem::take(&mut self.changes);
        self.router.remove(sub, &mut changes);
        self.announce(&mut changes);
        self.changes = changes;
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        connection.draining -= 1;
        if connection.draining == 0 && connection.phase == Phase::Gone {
            self.deliverer.connections.remove(key.slot());
        }
    }

    /// A subscription has had the last message it asked for.
    pub(super) fn expire(&mut self, sub: SubId) {
        let subscription = &mut self.router.subscriptions_mut()[sub];
        if subscription.draining {
            // The barrier removes it; until then its limit stops deliveries.
            return;
        }
        let slot = subscription.conn;
        if let Some(connection) = self.deliverer.connections.at(slot) {
            connection.client.sids.remove(self.router.subscriptions()[sub].sid(), sub);
        }
        let mut changes = std::mem::take(&mut self.changes);
        self.remove_shadows(sub, &mut changes);
        self.router.remove(sub, &mut changes);
        self.announce(&mut changes);
        self.changes = changes;
    }

    /// A line for the log about one connection.
    pub(super) fn say(&mut self, slot: ConnId, trace: bool, text: String) {
        if let Some(connection) = self.deliverer.connections.at(slot) {
            let client = &connection.client;
            let (cid, host, over) = (client.cid, client.shown_host(), client.over);
            let text = format!("{}{text}", label(client));
            self.events.push(Event::Line { cid, host, over, trace, text });
        }
    }

    #[cold]
    fn trace_sent(&mut self, key: ConnKey, bytes: &[u8]) {
        let line = String::from_utf8_lossy(bytes.trim_ascii_end());
        self.say(key.slot(), true, format!("->> [{}]", line.replace('\'', "")));
    }

    /// Appends bytes for one connection.
    pub(super) fn send(&mut self, key: ConnKey, bytes: &[u8]) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if connection.phase == Phase::Open {
            connection.out.append(&mut self.deliverer.pool, bytes, b"");
            self.deliverer.mark_dirty(key.slot());
            if self.config.trace.is_some() {
                self.trace_sent(key, bytes);
            }
        }
    }

    /// Appends an error; whether the connection closes is the caller's matter.
    #[cold]
    pub(super) fn send_error(&mut self, key: ConnKey, error: &WireError<'_>) {
        let mut text = Vec::new();
        error.write(&mut text);
        self.send(key, &text);
    }

    /// Sends PONG, and INFO after the first one that follows CONNECT.
    pub(super) fn send_pong(&mut self, key: ConnKey) {
        self.send(key, b"PONG\r\n");
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let client = &mut connection.client;
        if client.connected && !client.greeted {
            client.greeted = true;
            if client.protocol >= 1 {
                self.send_info(key, true);
            }
        }
    }

    pub(super) fn send_info(&mut self, key: ConnKey, connect_info: bool) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let client = &connection.client;
        let info = Arc::clone(self.config.info(client.over));
        let directory = &self.config.directory;
        let account = client.bound_to();
        let required = directory.is_required(client.over);
        let payload_max = client.login.as_ref().and_then(Login::payload_max);
        let per_client = PerClient {
            client_id: client.cid,
            nonce: &client.nonce,
            client_ip: if connection.awaits_proxy {
                // Whose it is will be known with its first bytes.
                ""
            } else {
                client.host.split_once('\0').map_or(&*client.host, |(ip, _)| ip)
            },
            connect_info,
            remote_account: account.filter(|_| connect_info).map_or("", |account| &account.name),
            account_is_system: connect_info && account.is_some_and(|account| account.is_system),
            auth_required: Some(
                required
                    && (connect_info
                        || client.over != ConnectionType::Standard
                        || !directory.has_no_auth_user()),
            ),
            max_payload: payload_max
                .map(i64::from)
                .filter(|_| connect_info)
                .map(|max| max.min(info.max_payload())),
            lame_duck: self.lame_duck,
        };
        connection.out.append_with(&mut self.deliverer.pool, INFO_BYTES_MAX, |out| {
            info.write(out, &per_client);
        });
        self.deliverer.mark_dirty(key.slot());
    }

    /// Puts a connection whose pause may have ended on the list to be parsed.
    pub(super) fn resume_if_free(&mut self, key: ConnKey) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if connection.pause.is_none() && !connection.resuming && connection.phase == Phase::Open {
            connection.resuming = true;
            self.resume.push(key);
        }
    }

    /// Pressure from another shard: stall the publisher unless it is parsing.
    pub(super) fn stall_now(&mut self, key: ConnKey) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let owed = std::mem::take(&mut connection.stall_owed);
        if owed > 0 && connection.phase == Phase::Open && !connection.pause.stall {
            connection.pause.stall = true;
            connection.stalls += 1;
            self.counters.stalls += 1;
            self.timers.set(self.now + owed, Timer::Stall, key);
        }
    }

    /// Lame duck mode: every client that can be told is told.
    pub fn enter_lame_duck(&mut self) {
        self.lame_duck = true;
        let keys: Vec<ConnKey> = self
            .deliverer
            .connections
            .iter()
            .filter(|connection| {
                connection.phase == Phase::Open
                    && connection.client.connected
                    && connection.client.protocol >= 1
            })
            .map(|connection| connection.key)
            .collect();
        for key in keys {
            self.send_info(key, false);
        }
    }

    /// Lame duck mode, after the grace period: closes one connection now and
    /// the others one by one, so that the last one goes after `duration`
    /// nanoseconds.
    pub fn close_over(&mut self, duration: u64) {
        self.lame_duck_gap = duration / (self.deliverer.connections.len() as u64).max(1);
        self.lame_duck_gap = self.lame_duck_gap.min(1_000_000_000);
        self.close_next_for_lame_duck();
    }

    fn close_next_for_lame_duck(&mut self) {
        // Slots below the cursor are closed: nobody is accepted any more.
        let connections = self.deliverer.connections.iter();
        let next = connections
            .skip_while(|connection| connection.key.slot() < self.lame_duck_cursor)
            .find(|connection| matches!(connection.phase, Phase::Arriving | Phase::Open))
            .map(|connection| connection.key);
        let Some(key) = next else { return };
        self.lame_duck_cursor = key.slot();
        self.close(key, CloseReason::ServerShutdown, true);
        let half = self.lame_duck_gap / 2;
        let gap = half + self.random.next() % half.max(1);
        self.timers.set(self.now + gap, Timer::LameDuck, key);
    }

    /// Closes every connection at once: the server ends.
    pub fn close_all(&mut self) {
        let keys: Vec<ConnKey> =
            self.deliverer.connections.iter().map(|connection| connection.key).collect();
        for key in keys {
            self.close(key, CloseReason::ServerShutdown, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::internal::tests::single_core;
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn let_go(core: &mut Core) -> usize {
        let mut gone = 0;
        while let Some(key) = core.take_closing() {
            core.release(key);
            gone += 1;
        }
        gone
    }

    // Goal: connections that have gone leave nothing, whatever their deadlines were. Method: each
    // has its keep-alive to come, in hours.
    #[test]
    fn timers_of_connections_that_are_gone_do_not_pile_up() {
        let mut core = single_core();
        let stays = core.open(1, "127.0.0.1\x004000".into());
        for cid in 2..50_000 {
            let key = core.open(cid, "127.0.0.1\x004000".into());
            core.handle_end(key, CloseReason::ReadError);
            assert_eq!(let_go(&mut core), 1);
        }
        assert!(core.timers.len() < 5000, "{}", core.timers.len());
        assert!(core.is_open(stays) && core.timers.next().is_some());
    }

    // Goal: what is queued for a connection that ends is not kept for ever when it cannot be sent.
    // Method: a shell that never takes it, as one whose own bytes the peer does not read.
    #[test]
    fn a_connection_that_ends_has_the_write_deadline_for_what_is_queued() {
        let mut core = single_core();
        core.config.write_deadline = SECOND;
        core.begin_turn(SECOND);
        let key = core.open(1, "127.0.0.1\x004000".into());
        core.handle_received(key, b"NONSENSE\r\n");
        core.run_timers();
        assert_eq!(let_go(&mut core), 0, "it is told why first");
        core.begin_turn(2 * SECOND);
        core.run_timers();
        assert_eq!(let_go(&mut core), 1);
    }

    // Goal: nobody stays behind in lame duck mode who was no client yet when its turn came.
    #[test]
    fn lame_duck_mode_ends_connections_that_are_still_arriving() {
        let mut core = single_core();
        let arriving = core.reserve(1, "127.0.0.1\x004000".into());
        core.open(2, "127.0.0.1\x004001".into());
        core.begin_turn(SECOND);
        core.enter_lame_duck();
        core.close_over(SECOND);
        core.arrive(arriving, Arrival::default());
        core.begin_turn(3 * SECOND);
        core.run_timers();
        for slot in 0..2 {
            core.take_flight(ConnId(slot), drop);
            core.handle_sent(ConnKey::new(ConnId(slot), 0), true);
        }
        assert_eq!(let_go(&mut core), 2);
    }
}
