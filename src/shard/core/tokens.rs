//! Clients with tokens: accounts that must be fetched first, tokens that become void, accounts
//! that change while their users are connected.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::connection::{ConnKey, Phase};
use super::timers::Timer;
use super::{Core, Event};
use crate::account::{Directory, Moment, UserRefusal};
use crate::client::Refusal;
use crate::proto::{CloseReason, WireError};
use crate::subject::AccountId;

/// What a core knows of the time of day.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WallClock {
    /// Nanoseconds since 1970 when the monotonic clock was at zero.
    offset: u64,
    local_offset_s: i32,
}

impl WallClock {
    pub(super) fn moment(&self, now: u64) -> Moment {
        let unix_s = i64::try_from(self.offset.saturating_add(now) / NANOS).unwrap_or(i64::MAX);
        Moment { unix_s, local_offset_s: self.local_offset_s }
    }

    /// When the monotonic clock will be at a second since 1970.
    fn nanoseconds_at(&self, unix_s: i64) -> u64 {
        let unix_s = u64::try_from(unix_s).unwrap_or(0);
        unix_s.saturating_mul(NANOS).saturating_sub(self.offset)
    }
}

const NANOS: u64 = 1_000_000_000;

/// Who waits for which account: at most one entry a connection.
#[derive(Debug, Default)]
pub(super) struct Resolutions {
    waiting: BTreeMap<Box<str>, Vec<ConnKey>>,
    wanted: VecDeque<Box<str>>,
}

impl Resolutions {
    /// A connection waits for an account; it is asked for once. Returns whether there is room
    /// for that.
    pub(super) fn wait(&mut self, key: ConnKey, account: &str) -> bool {
        if self.waiting.len() >= WANTED_MAX && !self.waiting.contains_key(account) {
            return false;
        }
        let waiting = self.waiting.entry(account.into()).or_default();
        if waiting.is_empty() {
            self.wanted.push_back(account.into());
        }
        waiting.push(key);
        true
    }
}

/// Accounts of one shard that are being fetched at one time.
const WANTED_MAX: usize = 1024;

/// Accounts have changed: a version of the directory that differs in them only.
#[derive(Debug)]
pub struct AccountsChange {
    /// The new version.
    pub directory: Arc<Directory>,
    /// Accounts that are new or say something else now.
    pub changed: Vec<AccountId>,
    /// Accounts that nobody knows.
    pub missing: Vec<Box<str>>,
}

impl Core {
    /// It is `since_epoch` nanoseconds after 1970 now, and `local_offset_s` seconds more in the
    /// server's time zone.
    pub fn set_wall_clock(&mut self, since_epoch: u64, local_offset_s: i32) {
        self.clock = WallClock { offset: since_epoch.saturating_sub(self.now), local_offset_s };
    }

    /// Users and accounts as they are known now.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.config.directory
    }

    /// An account that somebody waits for, to be fetched.
    pub fn take_resolution(&mut self) -> Option<Box<str>> {
        self.resolutions.wanted.pop_front()
    }

    /// Accounts have changed, or were found not to be.
    pub fn change_accounts(&mut self, change: &AccountsChange) {
        let old = std::mem::replace(&mut self.config.directory, Arc::clone(&change.directory));
        let connections = self.deliverer.connections.iter();
        let open = connections.filter(|connection| connection.phase == Phase::Open);
        let of_changed = open.filter(|connection| {
            let login = connection.client.login.as_ref();
            login.is_some_and(|login| change.changed.contains(&login.account.id))
        });
        let keys: Vec<ConnKey> = of_changed.map(|connection| connection.key).collect();
        for &key in &keys {
            self.judge_after_change(key, &old);
        }
        self.count_all_again(&keys, &old);
        self.follow_imports(&old);
        let names = change.changed.iter().filter_map(|&id| change.directory.account(id));
        let names: Vec<Box<str>> = names.map(|account| account.name.clone()).collect();
        for name in &names {
            self.end_waiting(name, true);
        }
        for name in &change.missing {
            self.end_waiting(name, false);
        }
    }

    /// Whoever waits for an account is judged again, or refused.
    fn end_waiting(&mut self, account: &str, is_known: bool) {
        let Some(waiting) = self.resolutions.waiting.remove(account) else { return };
        for key in waiting {
            let Some(connection) = self.deliverer.connections.get(key) else { continue };
            if connection.phase != Phase::Open || !connection.pause.login {
                continue;
            }
            connection.pause.login = false;
            if is_known {
                self.judge(key);
            } else {
                self.refuse_token(key, Some(UserRefusal::NoAccount));
            }
            self.resume_if_free(key);
        }
    }

    /// After a reload: what a connection has waited for may be in the new directory.
    pub(super) fn judge_if_resolved(&mut self, key: ConnKey) {
        let directory = &self.config.directory;
        let waiting = &mut self.resolutions.waiting;
        let found = waiting
            .iter()
            .find(|(name, keys)| keys.contains(&key) && directory.account_named(name).is_some());
        let Some(name) = found.map(|(name, _)| name.clone()) else { return };
        self.end_waiting(&name, true);
    }

    /// The account of a connection says something else now.
    fn judge_after_change(&mut self, key: ConnKey, old: &Directory) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let Some(login) = &connection.client.login else { return };
        if connection.pause.login {
            return;
        }
        let issuer = login.user.as_ref().and_then(|user| user.token.as_ref());
        let issuer = issuer.map_or("", |token| &token.issuer);
        let id = login.account.id;
        let signs = |directory: &Directory| {
            let claims = directory.account(id).and_then(|account| account.claims.clone());
            claims.and_then(|claims| claims.body.signing_key(issuer).cloned())
        };
        if signs(old) != signs(&self.config.directory) {
            // Whoever was let in by a key is not judged by another, or by none.
            return self.close(key, CloseReason::AuthenticationFailure, true);
        }
        self.judge(key);
    }

    /// The limits of accounts may have changed, and with them who has a place.
    fn count_all_again(&mut self, keys: &[ConnKey], old: &Directory) {
        let directory = Arc::clone(&self.config.directory);
        let max = |directory: &Directory, id: AccountId| {
            directory.account(id).and_then(|account| account.limits.connections)
        };
        let mut changed = Vec::new();
        for &key in keys {
            let Some(connection) = self.deliverer.connections.get(key) else { continue };
            let id = connection.client.account;
            if connection.phase == Phase::Open && max(old, id) != max(&directory, id) {
                self.leave_account(key);
                changed.push((key, id));
            }
        }
        for (key, id) in changed {
            if let Some(max) = max(&directory, id) {
                self.count_again(key, id, max);
            }
        }
    }

    /// A token was refused: with a word of its own if it had been accepted before.
    #[cold]
    pub(super) fn refuse_token(&mut self, key: ConnKey, why: Option<UserRefusal>) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let client = &connection.client;
        let was_in = client.connected && !client.connecting;
        if let (true, Some(why)) = (self.config.debug, &why) {
            let (cid, host, over) = (client.cid, client.shown_host(), client.over);
            self.events.push(Event::Line { cid, host, over, trace: false, text: why.to_string() });
        }
        let (error, reason) = match why {
            Some(UserRefusal::Revoked) if was_in => {
                (WireError::UserAuthenticationRevoked, CloseReason::CredentialsRevoked)
            }
            Some(UserRefusal::AccountExpired) if was_in => {
                (WireError::AccountAuthenticationExpired, CloseReason::AuthenticationExpired)
            }
            Some(UserRefusal::Expired | UserRefusal::Time) if was_in => {
                (WireError::UserAuthenticationExpired, CloseReason::AuthenticationExpired)
            }
            Some(UserRefusal::ProxyRequired) => {
                let reason = CloseReason::ProxyRequired;
                return self.refuse(key, &Refusal { reason, ..Refusal::credentials() });
            }
            _ => return self.refuse(key, &Refusal::credentials()),
        };
        self.fail(key, error, reason);
    }

    /// Until when a connection may last is known.
    pub(super) fn note_expiry(&mut self, key: ConnKey, expires: Option<(i64, bool)>) {
        let (clock, now) = (self.clock, self.now);
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let at = expires.map(|(at, of_account)| (clock.nanoseconds_at(at), of_account));
        connection.client.expires = at;
        let Some((at, _)) = at else { return };
        let timer = &mut connection.client.expiry_timer;
        // A timer that fires too early sets the next one.
        if timer.is_none_or(|set| at < set) {
            *timer = Some(at);
            self.timers.set(at.max(now), Timer::Expiry, key);
        }
    }

    /// A connection may have lasted long enough.
    pub(super) fn handle_expiry(&mut self, key: ConnKey) {
        let now = self.now;
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let client = &mut connection.client;
        if client.expiry_timer.is_some_and(|set| set > now) {
            return;
        }
        client.expiry_timer = None;
        if connection.phase != Phase::Open {
            return;
        }
        let Some((at, of_account)) = client.expires else { return };
        if at > now {
            client.expiry_timer = Some(at);
            return self.timers.set(at, Timer::Expiry, key);
        }
        let error = if of_account {
            WireError::AccountAuthenticationExpired
        } else {
            WireError::UserAuthenticationExpired
        };
        self.fail(key, error, CloseReason::AuthenticationExpired);
    }
}
