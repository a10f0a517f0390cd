//! Auth callout: a service of the operator's own decides who a client is.
//!
//! The server asks with a token of its own (`authorization_request`) that says what the client
//! has shown, and is answered with one (`authorization_response`) that holds either the token of
//! a user or a reason. What is asked and answered stands here; how it gets there does not.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{json, Value};

use super::jwt::{AccountBody, Body, Claims, JwtError, KeyKind, Token, UserBody, UserToken};
use super::members::User;
use super::trust::{admit, rules_of};
use super::{
    AccountId, CalloutOptions, ConnectionType, Credentials, Directory, Login, TokenUser,
    UserRefusal,
};

/// Where a server asks.
pub const CALLOUT_SUBJECT: &str = "$SYS.REQ.USER.AUTH";

/// Who decides on clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Callout {
    /// The account that the service lives in.
    pub account: AccountId,
    /// Its name.
    pub account_name: Box<str>,
    /// The public curve key that questions are sealed for.
    pub xkey: Option<String>,
    /// Users that nobody is asked about.
    auth_users: Vec<String>,
    issuer: Issuer,
    /// Accounts that users may be bound to; none is all, or in operator mode none but its own.
    allowed: Vec<String>,
}

/// Whose word counts.
#[derive(Clone, Debug, PartialEq)]
enum Issuer {
    /// Of a public key in the configuration.
    Key(String),
    /// Of an account and its signing keys.
    Account(Arc<Claims<AccountBody>>),
}

/// What an answer must be about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The public key that stands for the user.
    pub user_key: &'a str,
    /// The server's public key.
    pub server_id: &'a str,
}

/// Why an answer lets nobody in; nats-server's texts where it has any.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalloutRefusal {
    /// Nothing was answered.
    #[error("Auth callout violation: \"no reason supplied\" on account \"{0}\"")]
    Nothing(Box<str>),
    /// No token, or one that is void.
    #[error("Error decoding auth callout response on account {0:?}: {1}")]
    Token(Box<str>, JwtError),
    /// Somebody else has answered.
    #[error("Auth callout signing key is unknown")]
    Issuer,
    /// The answer to something else.
    #[error("Auth callout violation: auth callout response is not for expected user")]
    OtherUser,
    /// The answer to another server.
    #[error("Auth callout violation: auth callout response is not for this server")]
    OtherServer,
    /// The service says no.
    #[error("Auth callout service returned an error: {0}")]
    Refused(String),
    /// The user would be in an account that does not exist or must not be used.
    #[error(
        "No valid account {account:?} for auth callout response on account {callout:?}: account \
         missing"
    )]
    Account {
        /// The account of the user.
        account: String,
        /// The account of the service.
        callout: Box<str>,
    },
    /// The user's token does not let it in.
    #[error("Auth callout violation: {0}")]
    User(#[from] UserRefusal),
}

/// What a service answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ResponseBody {
    jwt: String,
    error: String,
    issuer_account: String,
}

impl Body for ResponseBody {
    const KIND: &'static str = "authorization_response";
    const ISSUERS: &'static [KeyKind] = &[KeyKind::Account];
    const SUBJECT: KeyKind = KeyKind::User;

    fn read(nats: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(nats)
    }
}

impl Callout {
    /// The callout of a configuration, whose account is known.
    pub(super) fn of_options(options: &CalloutOptions, account: AccountId) -> Self {
        Self {
            account,
            account_name: options.account.as_str().into(),
            xkey: options.xkey.clone(),
            auth_users: options.auth_users.clone(),
            issuer: Issuer::Key(options.issuer.clone()),
            allowed: options.allowed_accounts.clone(),
        }
    }

    /// The callout that an account's token asks for.
    pub(super) fn of_claims(account: AccountId, claims: &Arc<Claims<AccountBody>>) -> Option<Self> {
        let wanted = &claims.body.authorization;
        (!wanted.auth_users.is_empty()).then(|| Self {
            account,
            account_name: claims.subject.as_str().into(),
            xkey: (!wanted.xkey.is_empty()).then(|| wanted.xkey.clone()),
            auth_users: wanted.auth_users.clone(),
            issuer: Issuer::Account(Arc::clone(claims)),
            allowed: wanted.allowed_accounts.clone(),
        })
    }

    /// Whether nobody is asked about a user of this name or key.
    pub(super) fn trusts(&self, user: &str) -> bool {
        self.auth_users.iter().any(|known| known == user)
    }

    /// Whether the service decides on users of an account that are configured.
    pub(super) fn covers(&self, account: &str) -> bool {
        self.allowed.is_empty() || self.allowed.iter().any(|name| name == account)
    }

    /// Whose word counts, for the question.
    fn issuer(&self) -> &str {
        match &self.issuer {
            Issuer::Key(key) => key,
            Issuer::Account(claims) => &claims.subject,
        }
    }

    fn is_issuer(&self, key: &str) -> bool {
        match &self.issuer {
            Issuer::Key(issuer) => issuer == key,
            Issuer::Account(claims) => {
                claims.subject == key || claims.body.signing_key(key).is_some()
            }
        }
    }

    /// The claims of a question; times are seconds since 1970. `nats` is what is told of server
    /// and client.
    pub fn question(&self, nats: &Value, now: i64, expires: i64) -> Value {
        let mut nats = nats.clone();
        nats["type"] = "authorization_request".into();
        nats["version"] = 2.into();
        json!({ "aud": "nats-authorization-request", "iat": now, "exp": expires,
            "sub": self.issuer(), "nats": nats })
    }
}

impl Directory {
    /// Whom an answer lets in.
    ///
    /// # Errors
    /// Nobody.
    pub fn take_answer(
        &self,
        callout: &Callout,
        asked: Asked<'_>,
        answer: &str,
        shown: &Credentials<'_>,
        over: ConnectionType,
    ) -> Result<Login, CalloutRefusal> {
        let callout_name = || callout.account_name.clone();
        if answer.is_empty() {
            return Err(CalloutRefusal::Nothing(callout_name()));
        }
        let token = |error| CalloutRefusal::Token(callout_name(), error);
        let response = Token::<ResponseBody>::decode(answer).map_err(token)?;
        let response = response.verify().map_err(token)?;
        let named = match response.body.issuer_account.as_str() {
            "" => &response.issuer,
            account => account,
        };
        if !callout.is_issuer(&response.issuer) || !callout.is_issuer(named) {
            return Err(CalloutRefusal::Issuer);
        }
        if response.subject != asked.user_key {
            return Err(CalloutRefusal::OtherUser);
        }
        if response.audience != asked.server_id {
            return Err(CalloutRefusal::OtherServer);
        }
        if !response.is_valid_at(shown.at.unix_s) {
            return Err(UserRefusal::Expired.into());
        }
        if !response.body.error.is_empty() {
            return Err(CalloutRefusal::Refused(response.body.error));
        }
        let user = UserToken::decode(&response.body.jwt).map_err(token)?;
        let user = user.verify().map_err(token)?;
        if user.subject != asked.user_key {
            return Err(CalloutRefusal::OtherUser);
        }
        if !user.is_valid_at(shown.at.unix_s) {
            return Err(UserRefusal::Expired.into());
        }
        self.bind(callout, &user, shown, over)
    }

    /// Binds a user of the service to the account that its token names.
    fn bind(
        &self,
        callout: &Callout,
        user: &Claims<UserBody>,
        shown: &Credentials<'_>,
        over: ConnectionType,
    ) -> Result<Login, CalloutRefusal> {
        let name = match &callout.issuer {
            Issuer::Key(issuer) if user.issuer != *issuer => return Err(CalloutRefusal::Issuer),
            Issuer::Key(_) => user.audience.as_str(),
            Issuer::Account(_) if user.body.issuer_account.is_empty() => user.issuer.as_str(),
            Issuer::Account(_) => user.body.issuer_account.as_str(),
        };
        let is_allowed = match &callout.issuer {
            Issuer::Key(_) => true,
            Issuer::Account(claims) => {
                name == claims.subject
                    || callout.allowed.iter().any(|allowed| allowed == "*" || allowed == name)
            }
        };
        let account = self.account_named(name).filter(|_| is_allowed);
        let account = account.filter(|account| self.is_live(account));
        let account = account.ok_or_else(|| CalloutRefusal::Account {
            account: name.to_owned(),
            callout: callout.account_name.clone(),
        })?;
        let rules = match (&callout.issuer, &account.claims) {
            (Issuer::Account(_), Some(claims)) => {
                if !claims.is_valid_at(shown.at.unix_s) {
                    return Err(UserRefusal::AccountExpired.into());
                }
                if claims.body.is_revoked(&user.subject, user.issued_at) {
                    return Err(UserRefusal::Revoked.into());
                }
                rules_of(user, claims)?
            }
            _ => user.body.rules.clone(),
        };
        let (permissions, token) = admit(user, &rules, account, shown, over)?;
        let token = TokenUser { is_delegated: true, ..token };
        let name = if user.name.is_empty() { &user.subject } else { &user.name };
        let user = User::of_token(name, account.id, permissions, token);
        Ok(Login { account: Arc::clone(account), user: Some(Arc::new(user)) })
    }
}
