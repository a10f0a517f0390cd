//! A new configuration takes effect on the connections that are there.
//!
//! Everybody is judged again by the new directory, as nats-server does it: whom
//! it does not know any more, or binds to another account, is closed without a
//! word; whose secret is wrong now hears so; who stays loses the subscriptions
//! that are not permitted any more.

use std::sync::Arc;

use super::connection::{ConnKey, Phase};
use super::login::is_delegated;
use super::state::WebSocketSettings;
use super::trace::TraceOptions;
use super::{Core, Event};
use crate::account::{Directory, Login, SubscribeVerdict};
use crate::client::{KeepaliveLimits, Refusal};
use crate::proto::{CloseReason, InfoTemplate, ParserLimits, WireError};

/// What may change while a server runs: one version of it, for all shards.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Users and accounts.
    pub directory: Arc<Directory>,
    /// INFO as clients get it.
    pub info: Arc<InfoTemplate>,
    /// Limits of the parser.
    pub parser: ParserLimits,
    /// Keep-alive.
    pub keepalive: KeepaliveLimits,
    /// What is different for clients over WebSocket.
    pub websocket: Option<Arc<WebSocketSettings>>,
    /// Nanoseconds that one send may take.
    pub write_deadline: u64,
    /// Nanoseconds that a client has for CONNECT.
    pub auth_timeout: u64,
    /// Drop for receivers that are behind instead of slowing their publishers.
    pub drop_when_high: bool,
    /// Lines of the debug level become events.
    pub debug: bool,
    /// Protocol lines become events, if set.
    pub trace: Option<TraceOptions>,
}

impl Core {
    /// Takes new settings, and lets every connection feel them.
    pub fn reload(&mut self, settings: &Settings) {
        let config = &mut self.config;
        let old = std::mem::replace(&mut config.directory, Arc::clone(&settings.directory));
        config.info = Arc::clone(&settings.info);
        config.parser = settings.parser;
        config.keepalive = settings.keepalive;
        config.websocket = settings.websocket.clone();
        config.write_deadline = settings.write_deadline;
        config.auth_timeout = settings.auth_timeout;
        config.drop_when_high = settings.drop_when_high;
        config.debug = settings.debug;
        config.trace = settings.trace;
        self.deliverer.reload(settings.drop_when_high, settings.trace);
        self.follow_system_account();
        let connections = self.deliverer.connections.iter();
        let open = connections.filter(|connection| connection.phase == Phase::Open);
        let keys: Vec<ConnKey> = open.map(|connection| connection.key).collect();
        for key in keys {
            self.judge_again(key, &old);
        }
        self.follow_imports(&old);
    }

    /// What accounts take from one another may have changed.
    pub(super) fn follow_imports(&mut self, old: &Directory) {
        let directory = Arc::clone(&self.config.directory);
        if !directory.has_same_imports(old) {
            self.import_services(&directory);
            self.cast_all_shadows();
        }
    }

    /// Closes so many of the connections that came last: a limit is lower now.
    pub fn close_surplus(&mut self, count: usize) {
        let connections = self.deliverer.connections.iter();
        let open = connections.filter(|connection| connection.phase == Phase::Open);
        let mut keys: Vec<(u64, ConnKey)> =
            open.map(|connection| (connection.client.cid, connection.key)).collect();
        keys.sort_unstable_by_key(|(cid, _)| std::cmp::Reverse(*cid));
        for (_, key) in keys.into_iter().take(count) {
            let error = WireError::MaximumConnectionsExceeded;
            self.fail(key, error, CloseReason::MaximumConnectionsExceeded);
        }
    }

    fn judge_again(&mut self, key: ConnKey, old: &Directory) {
        let directory = Arc::clone(&self.config.directory);
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if connection.pause.login {
            // It is being judged, and will be by the new directory. What it waits for may be
            // there now.
            return self.judge_if_resolved(key);
        }
        let client = &mut connection.client;
        let over = client.over;
        let Some(login) = &client.login else {
            // It has said nothing yet.
            if let Some(login) = directory.everybody(client.over) {
                client.log_in(login, self.config.seed);
            }
            return;
        };
        let is_known = match &login.user {
            Some(_) if is_delegated(login) => true,
            Some(user) if user.token.is_some() => directory.trust().is_some(),
            Some(user) => directory.account_of(&user.name) == Some(user.account),
            None => !old.is_required(over) || directory.has_same_secret(old, over),
        };
        if !is_known {
            return self.close(key, CloseReason::ClientClosed, true);
        }
        let account = login.account.id;
        if client.connected {
            self.count_if_limited(key);
            return self.judge(key);
        }
        match directory.everybody(over).or_else(|| directory.anonymous(over)) {
            Some(login) if login.account.id == account => {
                client.log_in(login, self.config.seed);
                self.count_if_limited(key);
                self.permit_again(key);
            }
            _ => self.refuse(key, &Refusal::credentials()),
        }
    }

    /// The account may have a limit now that it did not have.
    fn count_if_limited(&mut self, key: ConnKey) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let account = connection.client.account;
        let limits = self.config.directory.account(account).map(|account| account.limits);
        let is_limited = limits.is_some_and(|limits| limits.connections.is_some());
        if is_limited && connection.client.counted_by != Some(account) {
            self.count_unasked(key, account);
        }
    }

    /// Removes the subscriptions that are not permitted any more.
    pub(super) fn permit_again(&mut self, key: ConnKey) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let client = &connection.client;
        let guard = client.guard.as_ref().map(|guard| guard.permissions());
        let notes_requests = client.guard.as_ref().is_some_and(|guard| guard.notes_requests());
        let mut subs = Vec::with_capacity(client.sids.len());
        for sub in client.sids.iter() {
            let Some(view) = self.router.view(sub) else { continue };
            let verdict = guard.map_or(SubscribeVerdict::Allowed, |permissions| {
                permissions.check_subscribe(view.pattern, view.queue)
            });
            subs.push((view.sid.to_vec(), sub, verdict));
        }
        subs.sort_unstable_by(|(one, ..), (other, ..)| one.cmp(other));
        let limit = client.login.as_ref().and_then(Login::subscriptions_max);
        for (_, sub, verdict) in subs {
            if verdict == SubscribeVerdict::Refused {
                self.revoke(key, sub);
            } else {
                self.inspect(sub, verdict == SubscribeVerdict::Filtered || notes_requests);
            }
        }
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if limit.is_some_and(|max| connection.client.sids.len() > max as usize) {
            self.say_error(key, "maximum subscriptions exceeded");
            let reason = CloseReason::MaximumSubscriptionsExceeded;
            self.fail(key, WireError::MaximumSubscriptionsExceeded, reason);
        }
    }

    fn revoke(&mut self, key: ConnKey, sub: crate::router::SubId) {
        let Some(view) = self.router.view(sub) else { return };
        let (pattern, sid) = (view.pattern.to_vec(), view.sid.to_vec());
        let queue = view.queue.map(<[u8]>::to_vec);
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let user = connection.client.login.as_ref().and_then(|login| login.user.as_ref());
        let user = user.map_or_else(String::new, |user| user.name.to_string());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let of_queue =
            queue.as_ref().map_or_else(String::new, |q| format!(" using queue \"{}\"", text(q)));
        self.events.push(Event::Info {
            text: format!(
                "Removed sub \"{}\"{of_queue} (sid \"{}\") for User \"{user}\" - not authorized",
                text(&pattern),
                text(&sid)
            ),
        });
        self.withdraw(key, sub);
        // Nothing that is under way reaches it either.
        self.silence(key, Some(&sid));
        let error = WireError::SubscriptionRemoved {
            subject: &pattern,
            queue: queue.as_deref(),
            sid: &sid,
        };
        self.send_error(key, &error);
    }
}
