//! [`Account`], [`User`] and [`Login`]: what a directory holds, and what shards hold of it.

use std::sync::Arc;

use super::jwt::{AccountBody, Claims};
use super::trust::without_callout;
use super::{
    AccountId, AccountLimits, ConnectionType, Export, Imports, JetStreamLimits, Mappings,
    PermissionRules, Permissions, Secret, ServiceImport, StreamImport, SubjectRules, TokenUser,
    TraceTarget, UserOptions,
};

/// One account, as shards see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Its name.
    pub name: Box<str>,
    /// Limits of its clients.
    pub limits: AccountLimits,
    /// Subjects that become others.
    pub mappings: Mappings,
    /// What it may use of JetStream.
    pub jetstream: Option<JetStreamLimits>,
    /// Where it hears of messages that somebody samples.
    pub trace: Option<TraceTarget>,
    /// What it takes from other accounts.
    pub imports: Imports,
    /// What it gives and takes as configured, for monitoring.
    pub trade: Arc<Trade>,
    /// Whether it is the system account.
    pub is_system: bool,
    /// What its token says, in operator mode.
    pub claims: Option<Arc<Claims<AccountBody>>>,
    /// What users may do whose tokens say nothing of it. `None`: everything.
    pub default_permissions: Option<Arc<Permissions>>,
    /// A service that lives here decides on clients.
    pub asks_callout: bool,
    /// It is there, and not only its place.
    pub(super) is_configured: bool,
}

/// What an account gives to others and takes from them, in words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trade {
    /// What it offers.
    pub exports: Vec<Export>,
    /// Streams that it takes.
    pub stream_imports: Vec<StreamImport>,
    /// Services that it takes.
    pub service_imports: Vec<ServiceImport>,
    /// The token that says so, in operator mode.
    pub token: Option<Arc<str>>,
}

/// One user, as shards see it.
#[derive(Debug)]
pub struct User {
    /// Its name; of a user with a token, its public key.
    pub name: Box<str>,
    /// Its account.
    pub account: AccountId,
    /// What it may do. `None`: everything.
    pub permissions: Option<Arc<Permissions>>,
    /// What only its token says.
    pub token: Option<Box<TokenUser>>,
    pub(super) is_nkey: bool,
    pub(super) password: Secret,
    pub(super) connection_types: Option<Vec<ConnectionType>>,
}

/// Whom a client has become.
#[derive(Clone, Debug)]
pub struct Login {
    /// The account it is bound to.
    pub account: Arc<Account>,
    /// The user, if there is a list of them.
    pub user: Option<Arc<User>>,
}

impl Account {
    pub(super) fn named(name: &str) -> Self {
        Self {
            id: AccountId(0),
            name: name.into(),
            limits: AccountLimits::default(),
            mappings: Mappings::default(),
            jetstream: None,
            trace: None,
            imports: Imports::default(),
            trade: Arc::default(),
            is_system: false,
            claims: None,
            default_permissions: None,
            asks_callout: false,
            is_configured: true,
        }
    }
}

impl Login {
    /// Subscriptions that one connection may have. `None`: any number.
    pub fn subscriptions_max(&self) -> Option<u32> {
        self.limit(self.account.limits.subscriptions, |user| user.subscriptions)
    }

    /// Bytes that one message may have. `None`: any number.
    pub fn payload_max(&self) -> Option<u32> {
        self.limit(self.account.limits.payload, |user| user.payload)
    }

    /// The lower one of the account's limit and the user's.
    fn limit(&self, account: Option<u32>, user: impl Fn(&TokenUser) -> Option<u32>) -> Option<u32> {
        let token = self.user.as_ref().and_then(|user| user.token.as_deref());
        account.into_iter().chain(token.and_then(user)).min()
    }

    /// When the connection must end, in seconds since 1970, and whether it is the account that
    /// is void then. `None`: never.
    pub fn expires(&self) -> Option<(i64, bool)> {
        let token = self.user.as_ref().and_then(|user| user.token.as_deref());
        let account = self.account.claims.as_ref().and_then(|claims| claims.expires);
        let user = token.and_then(|user| user.expires).map(|at| (at, false));
        user.into_iter().chain(account.map(|at| (at, true))).min()
    }
}

impl User {
    pub(super) fn new(options: &UserOptions, account: AccountId, asks_callout: bool) -> Self {
        let mut rules = options.permissions.clone();
        if asks_callout {
            rules = Some(without_callout(rules));
        }
        Self {
            name: options.name.as_str().into(),
            account,
            permissions: rules.map(|rules| Arc::new(Permissions::new(rules))),
            token: None,
            is_nkey: options.is_nkey,
            password: options.password.clone(),
            connection_types: options.connection_types.clone(),
        }
    }

    /// A user that is known by its token only.
    pub(super) fn of_token(
        name: &str,
        account: AccountId,
        permissions: Option<Arc<Permissions>>,
        token: TokenUser,
    ) -> Self {
        Self {
            name: name.into(),
            account,
            permissions,
            token: Some(Box::new(token)),
            is_nkey: true,
            password: Secret::new(""),
            connection_types: None,
        }
    }

    pub(super) fn may_use(&self, over: ConnectionType) -> bool {
        self.connection_types.as_ref().is_none_or(|allowed| allowed.contains(&over))
    }
}

/// What the users of an account may do whose tokens say nothing of it. Rules that are malformed
/// allow nothing.
pub(super) fn default_permissions(claims: &Claims<AccountBody>) -> Option<Arc<Permissions>> {
    let permissions = &claims.body.default_permissions;
    if permissions.is_empty() {
        return None;
    }
    let nothing = || {
        let all = || SubjectRules { allow: Vec::new(), deny: vec![">".to_owned()] };
        PermissionRules { publish: all(), subscribe: all(), responses: None }
    };
    Some(Arc::new(Permissions::new(permissions.rules().unwrap_or_else(nothing))))
}
