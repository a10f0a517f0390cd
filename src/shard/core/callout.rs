//! Asking a service who a client is.
//!
//! The question is a message in the service's account, the answer one to a subject that only this
//! shard listens to. Until it comes nothing more of the connection is parsed. One question a
//! connection; it is forgotten with the connection, or when the time for its answer is over.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{json, Map, Value};

use super::connection::{ConnKey, Connection, Phase};
use super::internal::{Captured, CALLOUT};
use super::timers::Timer;
use super::{Core, Event};
use crate::account::{jwt, Asked, Callout, ConnectionType, Credentials, Login, CALLOUT_SUBJECT};
use crate::client::Refusal;
use crate::stream::Outgoing;
use crate::subject::AccountId;

/// Who the server is to those who decide on its clients.
pub struct ServerKeys {
    /// Its key, with which it signs.
    pub key: nkeys::KeyPair,
    /// Its curve key, with which it seals.
    pub xkey: nkeys::XKey,
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub host: String,
    /// The version of nats-server that it is compatible with.
    pub version: String,
}

/// Never the keys.
impl std::fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerKeys").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Questions that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Callouts {
    keys: Option<Arc<ServerKeys>>,
    /// Accounts in which this shard listens for answers.
    listening: Vec<AccountId>,
    /// By the subject of the answer.
    asked: BTreeMap<Box<str>, Question>,
}

#[derive(Debug)]
struct Question {
    connection: ConnKey,
    user_key: String,
    callout: Arc<Callout>,
    /// When it is too late for an answer.
    due: u64,
}

impl Core {
    /// The keys with which this server asks.
    pub fn set_server_keys(&mut self, keys: Arc<ServerKeys>) {
        self.callouts.keys = Some(keys);
    }

    /// Asks who a connection is. It waits until that is known.
    #[cold]
    pub(super) fn ask_callout(&mut self, key: ConnKey, callout: &Arc<Callout>) {
        let seed = self.nonce(key.to_u64());
        let Some(keys) = self.callouts.keys.clone() else {
            return self.refuse(key, &Refusal::credentials());
        };
        let user_key = user_key(&seed);
        let at = self.clock.moment(self.now).unix_s;
        let timeout = self.config.auth_timeout;
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let nats = question(&keys, &user_key, callout, connection);
        let expires =
            at.saturating_add(i64::try_from(timeout.div_ceil(1_000_000_000)).unwrap_or(2));
        let Ok(token) = jwt::sign(&callout.question(&nats, at, expires), &keys.key) else {
            return self.refuse(key, &Refusal::credentials());
        };
        let mut payload = token.into_bytes();
        let mut headers = Vec::new();
        if let Some(xkey) = &callout.xkey {
            let sealed = nkeys::XKey::from_public_key(xkey)
                .and_then(|theirs| keys.xkey.seal(&payload, &theirs));
            let Ok(sealed) = sealed else { return self.refuse(key, &Refusal::credentials()) };
            payload = sealed;
            let own = keys.xkey.public_key();
            headers = format!("NATS/1.0\r\nNats-Server-Xkey: {own}\r\n\r\n").into_bytes();
        }
        self.listen_for_answers(callout.account);
        let reply = format!("{}.{seed}", self.answers_prefix());
        if let Some(connection) = self.deliverer.connections.get(key) {
            connection.client.question = Some(reply.as_str().into());
        }
        let callout = Arc::clone(callout);
        let account = callout.account;
        let due = self.now + timeout;
        let question = Question { connection: key, user_key, callout, due };
        self.callouts.asked.insert(reply.as_str().into(), question);
        self.timers.set(due, Timer::Callout, key);
        self.wait_for_login(key);
        self.publish_internal(&Outgoing {
            account,
            to: CALLOUT_SUBJECT.as_bytes(),
            subject: b"",
            reply: reply.as_bytes(),
            headers: &headers,
            payload: &payload,
            failure: None,
        });
    }

    /// Whether answers have come.
    pub(super) fn has_answers(&self) -> bool {
        !self.deliverer.captured_answers.is_empty()
    }

    /// Lets in whom services let in.
    #[cold]
    pub(super) fn take_answers(&mut self) {
        let mut captured = Captured::default();
        std::mem::swap(&mut captured, &mut self.deliverer.captured_answers);
        let mut answers = Vec::new();
        captured.drain(|incoming| {
            let subject = String::from_utf8_lossy(incoming.subject).into_owned();
            answers.push((subject, incoming.account, incoming.payload.to_vec()));
        });
        self.deliverer.captured_answers = captured;
        for (subject, account, payload) in answers {
            let asked = self.callouts.asked.get(subject.as_str());
            if asked.is_none_or(|question| question.callout.account != account) {
                continue;
            }
            if let Some(question) = self.callouts.asked.remove(subject.as_str()) {
                self.take_answer(&question, &payload);
            }
        }
    }

    fn take_answer(&mut self, question: &Question, payload: &[u8]) {
        let key = question.connection;
        let at = self.clock.moment(self.now);
        let Some(keys) = self.callouts.keys.clone() else { return };
        let directory = Arc::clone(&self.config.directory);
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if connection.phase != Phase::Open || !connection.pause.login {
            return;
        }
        connection.pause.login = false;
        connection.client.question = None;
        let text = opened(payload, question, &keys);
        let shown = Credentials { at, ..connection.client.credentials() };
        let server_id = self.config.info.server_id();
        let asked = Asked { user_key: &question.user_key, server_id };
        let over = connection.client.over;
        match directory.take_answer(&question.callout, asked, &text, &shown, over) {
            Ok(login) => self.admit(key, login),
            Err(refusal) => {
                self.events.push(Event::Warning { text: refusal.to_string() });
                self.note_undelegated(key, &question.callout, refusal.to_string());
                self.refuse(key, &Refusal::credentials());
            }
        }
        self.resume_if_free(key);
    }

    /// No answer came in time.
    pub(super) fn handle_callout_timer(&mut self, key: ConnKey) {
        let now = self.now;
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let Some(reply) = &connection.client.question else { return };
        // The timer may be that of an earlier question, which was answered.
        if self.callouts.asked.get(reply).is_some_and(|question| question.due > now) {
            return;
        }
        let Some(reply) = connection.client.question.take() else { return };
        connection.pause.login = false;
        let Some(question) = self.callouts.asked.remove(&reply) else { return };
        let account = &question.callout.account_name;
        let text =
            format!("Authorization callout response not received in time on account {account:?}");
        if self.config.debug {
            self.say(key.slot(), false, text);
        }
        self.note_undelegated(key, &question.callout, String::new());
        self.refuse(key, &Refusal::credentials());
    }

    /// The connection goes, and its question with it.
    pub(super) fn forget_question(&mut self, key: ConnKey) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        if let Some(reply) = connection.client.question.take() {
            self.callouts.asked.remove(&reply);
        }
    }

    /// A client whom a service has let in stays who it is; its account may say something else.
    pub(super) fn keep_delegated(&mut self, key: ConnKey) {
        let directory = Arc::clone(&self.config.directory);
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let Some(login) = connection.client.login.clone() else { return };
        match directory.account(login.account.id).filter(|account| directory.is_live(account)) {
            Some(account) => {
                let account = Arc::clone(account);
                self.finish_login(key, Login { account, user: login.user });
            }
            None => self.refuse(key, &Refusal::credentials()),
        }
    }

    fn listen_for_answers(&mut self, account: AccountId) {
        if self.callouts.listening.contains(&account) {
            return;
        }
        self.callouts.listening.push(account);
        let pattern = format!("{}.*", self.answers_prefix());
        let mut changes = std::mem::take(&mut self.changes);
        self.router.subscribe(CALLOUT, account, pattern.as_bytes(), None, b"", &mut changes);
        self.announce(&mut changes);
        self.changes = changes;
    }

    /// `$SYS._INBOX.` and eight characters, which name this server and shard.
    fn answers_prefix(&self) -> String {
        let server = self.config.info.server_id().get(1..6).unwrap_or_default();
        format!("$SYS._INBOX.{server}{:03}", self.config.own.0)
    }
}

/// A public key that stands for a user nobody knows yet. Its private half is nobody's.
fn user_key(seed: &str) -> String {
    use sha2::Digest;
    let bytes: [u8; 32] = sha2::Sha256::digest(seed.as_bytes()).into();
    let key = nkeys::KeyPair::new_from_raw(nkeys::KeyPairType::User, bytes);
    key.map_or_else(|_| String::new(), |key| key.public_key())
}

/// An answer as text; one that cannot be opened is no token.
fn opened(payload: &[u8], question: &Question, keys: &ServerKeys) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match &question.callout.xkey {
        Some(xkey) if payload.starts_with(b"xkv1") => nkeys::XKey::from_public_key(xkey)
            .and_then(|theirs| keys.xkey.open(payload, &theirs))
            .map_or_else(|_| "?".to_owned(), |bytes| text(&bytes)),
        _ => text(payload),
    }
}

/// What a service is told of server and client; what is empty is left out.
fn question(
    keys: &ServerKeys,
    user_key: &str,
    callout: &Callout,
    connection: &Connection,
) -> Value {
    let client = &connection.client;
    let shown = client.described.as_deref().cloned().unwrap_or_default();
    let host = client.host.split_once('\0').map_or(&*client.host, |(ip, _)| ip);
    // What came with the connection counts where CONNECT says nothing.
    let credentials = client.credentials();
    let user = if shown.nkey.is_empty() { credentials.user } else { &shown.nkey };
    let kind = if client.over == ConnectionType::WebSocket { "websocket" } else { "nats" };
    let mut server = filled(&[("name", &keys.name), ("host", &keys.host)]);
    server.insert("id".to_owned(), keys.key.public_key().into());
    server.insert("version".to_owned(), keys.version.as_str().into());
    if callout.xkey.is_some() {
        server.insert("xkey".to_owned(), keys.xkey.public_key().into());
    }
    let mut info = filled(&[
        ("host", host),
        ("user", user),
        ("name", &shown.name),
        ("kind", "Client"),
        ("type", kind),
        ("nonce", &client.nonce),
    ]);
    info.insert("id".to_owned(), client.cid.into());
    let mut options = filled(&[
        ("jwt", credentials.jwt),
        ("nkey", &shown.nkey),
        ("sig", &shown.sig),
        ("auth_token", credentials.token),
        ("user", credentials.user),
        ("pass", credentials.password),
        ("name", &shown.name),
        ("lang", &shown.lang),
        ("version", &shown.version),
    ]);
    options.insert("protocol".to_owned(), shown.protocol.into());
    let mut nats = json!({ "server_id": server, "user_nkey": user_key, "client_info": info,
        "connect_opts": options });
    if let Some(tls) = &connection.tls {
        let mut facts = filled(&[("version", tls.version), ("cipher", &tls.cipher_suite)]);
        let certificate = tls.peer.as_ref().map(|peer| peer.pem());
        if let Some(certificate) = certificate {
            let chains = json!([[certificate]]);
            facts.insert("verified_chains".to_owned(), chains);
        }
        nats["client_tls"] = facts.into();
    }
    nats
}

fn filled(fields: &[(&str, &str)]) -> Map<String, Value> {
    let given = fields.iter().filter(|(_, value)| !value.is_empty());
    given.map(|&(name, value)| (name.to_owned(), Value::from(value))).collect()
}
