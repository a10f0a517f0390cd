//! From CONNECT to a client that is somebody.
//!
//! Two things cannot be decided at once: whether a password fits a bcrypt hash,
//! which takes a tenth of a second and is found out by a thread of its own
//! ([`Core::take_verification`], [`Core::handle_verified`]), and whether an
//! account has a connection left, which only shard 0 knows. Until then nothing
//! more of the connection is parsed, so answers keep their order.

use std::sync::Arc;

use super::connection::{ConnKey, Phase};
use super::control::Control;
use super::label::label;
use super::{Core, Event};
use crate::account::{CertificateNames, Credentials, Login, UserRefusal, Verdict};
use crate::client::Refusal;
use crate::proto::{CloseReason, WireError};
use crate::router::ShardId;
use crate::subject::AccountId;
use crate::tls::PeerIdentity;

/// A password to be compared with a hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Verification {
    /// Who has shown it.
    pub connection: ConnKey,
    /// What was shown.
    pub secret: String,
    /// What it must fit.
    pub hash: Arc<str>,
}

impl std::fmt::Debug for Verification {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verification").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Core {
    pub(super) fn handle_connect(&mut self, key: ConnKey, json: &[u8]) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if connection.client.connected {
            self.drop_subscriptions(key);
            self.silence(key, None);
        }
        let now = self.now;
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let keepalive = &mut connection.client.keepalive;
        if keepalive.estimate == 0 {
            keepalive.estimate = now.saturating_sub(connection.opened_at).max(1);
        }
        match connection.client.read_connect(json) {
            Ok(()) => self.judge(key),
            Err(refusal) => self.refuse(key, &refusal),
        }
    }

    /// A client that shows nothing begins to speak. Returns whether it may.
    pub(super) fn log_in_anonymously(&mut self, key: ConnKey) -> bool {
        let Some(connection) = self.deliverer.connections.get(key) else { return false };
        let over = connection.client.over;
        let Some(login) = self.config.directory.anonymous(over) else { return false };
        self.admit(key, login);
        true
    }

    /// A password that was to be compared does fit its hash, or does not.
    pub fn handle_verified(&mut self, verification: &Verification, fits: bool) {
        let key = verification.connection;
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if connection.phase != Phase::Open || !connection.pause.login {
            return;
        }
        connection.pause.login = false;
        if fits {
            connection.client.verified = Some(Arc::clone(&verification.hash));
            self.judge(key);
        } else {
            self.refuse(key, &Refusal::credentials());
        }
        self.resume_if_free(key);
    }

    /// The next password to compare.
    pub fn take_verification(&mut self) -> Option<Verification> {
        self.verifications.pop_front()
    }

    /// Whether somebody still waits for the answer to a verification.
    pub fn awaits_verification(&mut self, verification: &Verification) -> bool {
        let connection = self.deliverer.connections.get(verification.connection);
        connection
            .is_some_and(|connection| connection.phase == Phase::Open && connection.pause.login)
    }

    /// Judges the credentials of a connection by the directory of today.
    pub(super) fn judge(&mut self, key: ConnKey) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let over = connection.client.over;
        let at = self.clock.moment(self.now);
        let peer = connection.tls.as_ref().and_then(|tls| tls.peer.as_ref());
        let names = peer.filter(|_| self.config.directory.maps_certificates()).map(names_of);
        let certificate = names.as_ref();
        let shown = Credentials { at, certificate, ..connection.client.credentials() };
        match self.config.directory.authenticate(&shown, over) {
            Verdict::Refused if self.config.directory.trust().is_some() => {
                let why = self.config.directory.why_refused(&shown, over);
                self.refuse_token(key, why);
            }
            Verdict::Refused => self.refuse(key, &Refusal::credentials()),
            Verdict::Delegated(callout) if connection.client.connecting => {
                self.ask_callout(key, &callout);
            }
            Verdict::Delegated(_) => self.keep_delegated(key),
            Verdict::Unresolved { account } => {
                if self.resolutions.wait(key, &account) {
                    self.wait_for_login(key);
                } else {
                    self.refuse_token(key, Some(UserRefusal::NoAccount));
                }
            }
            Verdict::Admitted(login) => self.admit(key, login),
            Verdict::Hashed { hash } => {
                // Of a user's two secrets the one that is asked for is shown.
                let secret = if shown.user.is_empty() { shown.token } else { shown.password };
                let secret = secret.to_owned();
                self.verifications.push_back(Verification { connection: key, secret, hash });
                self.wait_for_login(key);
            }
        }
    }

    /// The credentials are right: is there room in the account?
    pub(super) fn admit(&mut self, key: ConnKey, login: Login) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let account = login.account.id;
        if connection.client.counted_by == Some(account) {
            return self.finish_login(key, login);
        }
        self.leave_account(key);
        let Some(max) = login.account.limits.connections else {
            return self.finish_login(key, login);
        };
        if self.config.own != ShardId(0) {
            self.control[0].push(Control::JoinAccount { account, connection: key });
            let Some(connection) = self.deliverer.connections.get(key) else { return };
            connection.client.login = Some(login);
            self.wait_for_login(key);
        } else if self.count_in(account, max) {
            if let Some(connection) = self.deliverer.connections.get(key) {
                connection.client.counted_by = Some(account);
            }
            self.finish_login(key, login);
        } else {
            self.refuse_for_want_of_room(key);
        }
    }

    /// Shard 0: a connection of `from` wants to be counted by an account.
    pub(super) fn handle_join(&mut self, from: ShardId, account: AccountId, connection: ConnKey) {
        let limits = self.config.directory.account(account).map(|account| account.limits);
        let max = limits.and_then(|limits| limits.connections).unwrap_or(u32::MAX);
        let granted = self.count_in(account, max);
        let answer = Control::JoinedAccount { account, connection, granted };
        self.control[usize::from(from.0)].push(answer);
    }

    /// Shard 0 has answered.
    pub(super) fn handle_joined(&mut self, account: AccountId, key: ConnKey, granted: bool) {
        let connection = self.deliverer.connections.get(key);
        let waiting = connection
            .filter(|connection| connection.phase == Phase::Open && connection.pause.login);
        let Some(connection) = waiting else {
            return self.take_place(account, key, granted);
        };
        connection.pause.login = false;
        if !granted {
            return self.refuse_for_want_of_room(key);
        }
        connection.client.counted_by = Some(account);
        match connection.client.login.take() {
            Some(login) if login.account.id == account && is_delegated(&login) => {
                self.finish_login(key, login);
            }
            // A reload may have changed everything meanwhile.
            Some(login) if login.account.id == account => self.judge(key),
            _ => self.refuse(key, &Refusal::credentials()),
        }
        self.resume_if_free(key);
    }

    /// Shard 0: one connection less.
    pub(super) fn handle_leave(&mut self, account: AccountId) {
        if let Some(count) = self.joined.get_mut(account.0 as usize) {
            *count = count.saturating_sub(1);
        }
    }

    /// The connection's account no longer counts it.
    pub(super) fn leave_account(&mut self, key: ConnKey) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let Some(account) = connection.client.counted_by.take() else { return };
        if self.config.own == ShardId(0) {
            self.handle_leave(account);
        } else {
            self.control[0].push(Control::LeaveAccount { account });
        }
    }

    /// Counts a connection that is there already: its account has a limit now.
    pub(super) fn count_unasked(&mut self, key: ConnKey, account: AccountId) {
        self.leave_account(key);
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        connection.client.counted_by = Some(account);
        if self.config.own == ShardId(0) {
            self.count_in(account, u32::MAX);
        } else {
            self.control[0].push(Control::CountedByAccount { account });
        }
    }

    /// The limit of the connection's account has changed: it asks for a place anew, and has to go
    /// if there is none.
    pub(super) fn count_again(&mut self, key: ConnKey, account: AccountId, max: u32) {
        if self.config.own != ShardId(0) {
            self.control[0].push(Control::JoinAccount { account, connection: key });
        } else {
            let granted = self.count_in(account, max);
            self.take_place(account, key, granted);
        }
    }

    /// A connection that is there has got a place in its account, or none.
    fn take_place(&mut self, account: AccountId, key: ConnKey, granted: bool) {
        let connection = self.deliverer.connections.get(key);
        let connection = connection.filter(|connection| connection.phase == Phase::Open);
        match connection {
            Some(_) if !granted => self.refuse_for_want_of_room(key),
            Some(connection)
                if connection.client.counted_by.is_none()
                    && connection.client.account == account =>
            {
                connection.client.counted_by = Some(account);
            }
            _ if !granted => {}
            _ if self.config.own == ShardId(0) => self.handle_leave(account),
            _ => self.control[0].push(Control::LeaveAccount { account }),
        }
    }

    /// Shard 0: counts a connection if the account has room.
    pub(super) fn count_in(&mut self, account: AccountId, max: u32) -> bool {
        let index = account.0 as usize;
        if self.joined.len() <= index {
            self.joined.resize(index + 1, 0);
        }
        let has_room = self.joined[index] < max;
        self.joined[index] += u32::from(has_room);
        has_room
    }

    pub(super) fn wait_for_login(&mut self, key: ConnKey) {
        if let Some(connection) = self.deliverer.connections.get(key) {
            connection.pause.login = true;
            self.interrupted |= self.parsing == Some(key);
        }
    }

    pub(super) fn finish_login(&mut self, key: ConnKey, login: Login) {
        let (seed, headers) = (self.config.seed, self.config.headers);
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let bound_elsewhere = connection.client.bound_to().map(|account| account.id);
        if !connection.client.connecting && bound_elsewhere.is_some_and(|id| id != login.account.id)
        {
            // A reload has moved the user; its subscriptions cannot follow.
            return self.close(key, CloseReason::ClientClosed, true);
        }
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let expires = login.expires();
        connection.client.log_in(login, seed);
        self.note_expiry(key, expires);
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if !connection.client.connecting {
            return self.permit_again(key);
        }
        match connection.client.accept_connect(headers) {
            Ok(headers) => {
                connection.headers = headers;
                let verbose = connection.client.verbose;
                if verbose {
                    self.send(key, b"+OK\r\n");
                }
                self.arm_first_ping(key);
                self.note_login(key);
            }
            Err(refusal) => {
                if let Some(error) = &refusal.error {
                    let mut text = Vec::new();
                    error.write_text(&mut text);
                    self.say_error(key, &String::from_utf8_lossy(&text));
                }
                self.refuse(key, &refusal);
            }
        }
    }

    fn refuse_for_want_of_room(&mut self, key: ConnKey) {
        let error = WireError::MaximumAccountConnectionsExceeded;
        self.say_error(key, "maximum account active connections exceeded");
        self.fail(key, error, CloseReason::MaximumAccountConnectionsExceeded);
    }

    pub(super) fn refuse(&mut self, key: ConnKey, refusal: &Refusal) {
        if matches!(refusal.error, Some(WireError::AuthorizationViolation)) {
            self.say_authentication_error(key);
        }
        match refusal.error {
            Some(error) => self.fail(key, error, refusal.reason),
            None => self.close(key, refusal.reason, true),
        }
    }

    fn say_authentication_error(&mut self, key: ConnKey) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let shown = connection.client.credentials();
        let who = if !shown.nkey.is_empty() {
            format!(" - Nkey {:?}", shown.nkey)
        } else if !shown.user.is_empty() {
            format!(" - User {:?}", shown.user)
        } else if !shown.token.is_empty() {
            " - Token \"[REDACTED]\"".to_owned()
        } else {
            String::new()
        };
        let client = &connection.client;
        let (cid, host, over) = (client.cid, client.shown_host(), client.over);
        let text = format!("authentication error{who}");
        self.events.push(Event::Error { cid, host, over, text });
    }

    /// An error line about one connection, with whom it is.
    #[cold]
    pub(super) fn say_error(&mut self, key: ConnKey, text: &str) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let client = &connection.client;
        let text = format!("{}{text}", label(client));
        let (cid, host, over) = (client.cid, client.shown_host(), client.over);
        self.events.push(Event::Error { cid, host, over, text });
    }
}

/// What a certificate calls its owner, in the order in which a user is looked for.
fn names_of(peer: &PeerIdentity) -> CertificateNames {
    let alternatives = [&peer.emails, &peer.dns_names, &peer.uris];
    CertificateNames::new(alternatives.into_iter().flatten().cloned().collect(), &peer.attributes)
}

/// Whether a service has decided on who it is.
pub(super) fn is_delegated(login: &Login) -> bool {
    let token = login.user.as_ref().and_then(|user| user.token.as_deref());
    token.is_some_and(|token| token.is_delegated)
}
