//! The state of one client between CONNECT and its end.

use std::sync::Arc;

use super::guard::Guard;
use super::keepalive::Keepalive;
use super::sids::Sids;
use crate::account::{Account, ConnectionType, Credentials, Login, SubscribeVerdict};
use crate::proto::{CloseReason, ConnectOptions, WireError};
use crate::subject::{self, AccountId};

/// Limits of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Subscriptions of one connection; 0 is unlimited.
    pub subscriptions_max: usize,
    /// Tokens in the subject of a SUB; 0 is unlimited.
    pub sub_tokens_max: usize,
}

/// Why a connection is ended by its own doing: the text it gets, if any, and
/// the reason that monitoring shows.
#[derive(Debug)]
pub struct Refusal {
    /// The `-ERR` that is sent first.
    pub error: Option<WireError<'static>>,
    /// What monitoring shows.
    pub reason: CloseReason,
}

impl Refusal {
    /// The credentials are wrong.
    pub fn credentials() -> Self {
        Self {
            error: Some(WireError::AuthorizationViolation),
            reason: CloseReason::AuthenticationFailure,
        }
    }
}

/// Why a SUB is not taken; the connection stays open.
#[derive(Debug, PartialEq, Eq)]
pub enum SubscribeRefusal {
    /// More tokens than `max_sub_tokens`.
    TooManyTokens,
    /// The permissions do not cover it.
    NotPermitted,
    /// A queue name that is reserved.
    ReservedQueue,
    /// `max_subscriptions` are in place.
    TooManySubscriptions,
    /// The subject is malformed.
    InvalidSubject,
}

/// Credentials that came with the connection itself, such as cookies; what CONNECT says counts
/// more. Empty is none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CarriedCredentials {
    /// A user's JWT.
    pub jwt: String,
    /// A user's name.
    pub user: String,
    /// A password.
    pub password: String,
    /// A token.
    pub token: String,
}

/// Never what they are.
impl std::fmt::Debug for CarriedCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CarriedCredentials").finish_non_exhaustive()
    }
}

impl CarriedCredentials {
    /// Fills in what CONNECT has left empty.
    fn fill(&self, options: &mut ConnectOptions) {
        for (option, carried) in [
            (&mut options.jwt, &self.jwt),
            (&mut options.user, &self.user),
            (&mut options.pass, &self.password),
            (&mut options.auth_token, &self.token),
        ] {
            if option.is_empty() {
                option.clone_from(carried);
            }
        }
    }
}

/// One client connection.
#[derive(Debug)]
pub struct Client {
    /// Connection number, unique in the server's life.
    pub cid: u64,
    /// Textual remote address, as INFO and monitoring show it.
    pub host: Box<str>,
    /// What kind of connection it came over.
    pub over: ConnectionType,
    /// Whose connection it is in truth, if a proxy says so: shown in the log only.
    pub forwarded_for: Option<Box<str>>,
    /// Credentials that came with the connection itself.
    pub carried: Option<Box<CarriedCredentials>>,
    /// The account that the client is bound to.
    pub account: AccountId,
    /// `+OK` after every operation.
    pub verbose: bool,
    /// Publish subjects are checked.
    pub pedantic: bool,
    /// The client's own publishes come back to it.
    pub echo: bool,
    /// The client wants a 503 when nobody takes its request.
    pub no_responders: bool,
    /// The client protocol, 0 or 1.
    pub protocol: u8,
    /// CONNECT was seen and accepted.
    pub connected: bool,
    /// Nothing but CONNECT is taken until this is set.
    pub authenticated: bool,
    /// The first PONG after CONNECT was sent, and INFO with it.
    pub greeted: bool,
    /// Live subscriptions by sid.
    pub sids: Sids,
    /// Keep-alive state.
    pub keepalive: Keepalive,
    /// Whom the client has become, once it has.
    pub login: Option<Login>,
    /// What it may do, if not everything.
    pub guard: Option<Box<Guard>>,
    /// The bcrypt hash that its password was found to fit.
    pub verified: Option<Arc<str>>,
    /// Its credentials were found right before: signatures need not be checked again.
    pub is_known: bool,
    /// Where the answer to who it is will come.
    pub question: Option<Box<str>>,
    /// When it must not be connected any more, in nanoseconds, and whether for its account's
    /// sake.
    pub expires: Option<(u64, bool)>,
    /// When the timer for that fires that is set.
    pub expiry_timer: Option<u64>,
    /// The account that counts this connection against its limit.
    pub counted_by: Option<AccountId>,
    /// CONNECT was read and is being judged elsewhere.
    pub connecting: bool,
    /// What INFO gave it to sign; empty if nobody signs here.
    pub nonce: Box<str>,
    /// What CONNECT said of the client itself: name, language, version.
    pub described: Option<Box<ConnectOptions>>,
}

impl Client {
    /// A client that was just accepted; `seed` is the server's secret.
    pub fn new(cid: u64, host: Box<str>, must_authenticate: bool, seed: u64) -> Self {
        Self {
            cid,
            host,
            over: ConnectionType::Standard,
            forwarded_for: None,
            carried: None,
            account: AccountId(0),
            verbose: true,
            pedantic: true,
            echo: true,
            no_responders: false,
            protocol: 0,
            connected: false,
            authenticated: !must_authenticate,
            greeted: false,
            sids: Sids::new(seed),
            keepalive: Keepalive::default(),
            login: None,
            guard: None,
            verified: None,
            is_known: false,
            question: None,
            expires: None,
            expiry_timer: None,
            counted_by: None,
            connecting: false,
            nonce: Box::default(),
            described: None,
        }
    }

    /// Reads a CONNECT; the caller has dropped the subscriptions of an earlier
    /// one. Its [`credentials`](Self::credentials) are to be judged, then it is
    /// taken with [`accept_connect`](Self::accept_connect).
    ///
    /// # Errors
    /// The connection is to be closed, with the text given if there is one.
    pub fn read_connect(&mut self, json: &[u8]) -> Result<(), Refusal> {
        // A further CONNECT keeps what it leaves out.
        let mut options = self.described.take().unwrap_or_default();
        if let Err(error) = options.apply(json) {
            return Err(Refusal { error: None, reason: error.close_reason() });
        }
        if let Some(carried) = &self.carried {
            carried.fill(&mut options);
        }
        let is_legacy = !options.account.is_empty() || options.new_account;
        self.described = Some(options);
        self.connecting = true;
        self.verified = None;
        self.is_known = false;
        if is_legacy {
            return Err(Refusal::credentials());
        }
        Ok(())
    }

    /// The remote address for the log, a NUL before the port.
    pub fn shown_host(&self) -> Box<str> {
        match &self.forwarded_for {
            Some(forwarded) => format!("{forwarded}/{}", self.host).into_boxed_str(),
            None => self.host.clone(),
        }
    }

    /// What the client has shown of itself.
    pub fn credentials(&self) -> Credentials<'_> {
        let verified = self.verified.as_deref();
        match &self.described {
            None => Credentials { verified, ..Credentials::default() },
            Some(shown) => Credentials {
                user: &shown.user,
                password: &shown.pass,
                token: &shown.auth_token,
                nkey: &shown.nkey,
                signature: &shown.sig,
                nonce: &self.nonce,
                jwt: &shown.jwt,
                host: self.host.split_once('\0').map_or(&*self.host, |(address, _)| address),
                is_known: self.is_known,
                verified,
                ..Credentials::default()
            },
        }
    }

    /// Makes the client whom its credentials say; `seed` is the server's secret.
    pub fn log_in(&mut self, login: Login, seed: u64) {
        let permissions = login.user.as_ref().and_then(|user| user.permissions.clone());
        let same = match (&permissions, &self.guard) {
            (Some(new), Some(guard)) => **new == *guard.permissions(),
            (None, None) => true,
            _ => false,
        };
        // What is owed and remembered stays, if the rules do.
        if !same {
            self.guard = permissions.map(|permissions| Box::new(Guard::new(permissions, seed)));
        }
        self.account = login.account.id;
        self.login = Some(login);
        self.authenticated = true;
        self.is_known = true;
    }

    /// The account that the client is bound to, once it is.
    pub fn bound_to(&self) -> Option<&Account> {
        self.login.as_ref().map(|login| &*login.account)
    }

    /// Takes the CONNECT that was read and judged. Returns whether the client
    /// understands headers.
    ///
    /// # Errors
    /// The connection is to be closed, with the text given.
    pub fn accept_connect(&mut self, server_headers: bool) -> Result<bool, Refusal> {
        self.connecting = false;
        let options = self.described.take().unwrap_or_default();
        let Ok(protocol @ 0..=1) = u8::try_from(options.protocol) else {
            return Err(Refusal {
                error: Some(WireError::InvalidClientProtocol),
                reason: CloseReason::BadClientProtocolVersion,
            });
        };
        let headers = options.headers && server_headers;
        if options.no_responders && !headers {
            return Err(Refusal {
                error: Some(WireError::NoRespondersRequiresHeaders),
                reason: CloseReason::NoRespondersRequiresHeaders,
            });
        }
        self.protocol = protocol;
        self.verbose = options.verbose;
        self.pedantic = options.pedantic;
        self.echo = options.echo;
        self.no_responders = options.no_responders;
        self.connected = true;
        self.described = Some(options);
        Ok(headers)
    }

    /// Checks a SUB that is not known by its sid yet.
    ///
    /// # Errors
    /// The first thing that is wrong with it, in nats-server's order.
    pub fn check_subscribe(
        &self,
        subject: &[u8],
        queue: Option<&[u8]>,
        limits: &Limits,
    ) -> Result<SubscribeVerdict, SubscribeRefusal> {
        let tokens = memchr::memchr_iter(b'.', subject).count() + 1;
        if limits.sub_tokens_max > 0 && tokens > limits.sub_tokens_max {
            return Err(SubscribeRefusal::TooManyTokens);
        }
        if queue == Some(b"_sys_") {
            return Err(SubscribeRefusal::ReservedQueue);
        }
        let verdict = match &self.guard {
            Some(guard) => guard.permissions().check_subscribe(subject, queue),
            None => SubscribeVerdict::Allowed,
        };
        if verdict == SubscribeVerdict::Refused {
            return Err(SubscribeRefusal::NotPermitted);
        }
        let own = self.login.as_ref().and_then(Login::subscriptions_max);
        let server = Some(limits.subscriptions_max).filter(|&max| max > 0);
        let own = own.map(|max| max as usize);
        if own.into_iter().chain(server).any(|max| self.sids.len() >= max) {
            return Err(SubscribeRefusal::TooManySubscriptions);
        }
        if !subject::is_valid_pattern(subject) {
            return Err(SubscribeRefusal::InvalidSubject);
        }
        Ok(verdict)
    }

    /// What is wrong with publishing to `subject` with `reply`, if anything:
    /// the server keeps some prefixes to itself.
    #[inline]
    pub fn check_publish<'a>(subject: &'a [u8], reply: &'a [u8]) -> Option<WireError<'a>> {
        if subject.first() == Some(&b'_') && subject.starts_with(b"_GR_.")
            || subject.first() == Some(&b'$') && subject.starts_with(b"$NRG.")
        {
            return Some(WireError::PublishViolation { subject });
        }
        let reserved = !reply.is_empty()
            && (reply.starts_with(b"_R_.")
                || reply.starts_with(b"$JS.ACK.")
                || reply.len() > b"_GR_.".len() && reply.starts_with(b"_GR_."));
        reserved.then_some(WireError::PublishReplyViolation { reply })
    }
}
