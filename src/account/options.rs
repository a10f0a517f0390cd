//! What was configured, plain and comparable.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::jwt::{AccountBody, Claims, OperatorBody};
use super::{
    AccountLimits, Export, JetStreamLimits, Mappings, PermissionRules, Secret, ServiceImport,
    StreamImport, TraceTarget, Wish,
};

/// The account of everybody who has no other.
pub const GLOBAL_ACCOUNT: &str = "$G";

/// The system account, unless another is named.
pub const SYSTEM_ACCOUNT: &str = "$SYS";

/// Who may connect, and the accounts there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccessOptions {
    /// Users of the global account.
    pub users: Vec<UserOptions>,
    /// Mappings of the global account.
    pub mappings: Mappings,
    /// The other accounts, each name once.
    pub accounts: Vec<AccountOptions>,
    /// Name of the system account. `None`: [`SYSTEM_ACCOUNT`].
    pub system_account: Option<String>,
    /// There is no system account unless one is named.
    pub no_system_account: bool,
    /// Operator mode, if [`OperatorOptions::is_on`]: accounts and users are known by their tokens
    /// only.
    pub operator: OperatorOptions,
    /// A service decides on clients.
    pub callout: Option<CalloutOptions>,
}

impl AccessOptions {
    /// Name of the system account, if there is one.
    pub fn system_account_name(&self) -> Option<&str> {
        match self.system_account.as_deref().or_else(|| self.operator.system_account()) {
            Some(name) => Some(name),
            None if self.no_system_account => None,
            None => Some(SYSTEM_ACCOUNT),
        }
    }

    /// Names of the accounts that may use JetStream where it is on: the global one if there is no
    /// other.
    pub fn jetstream_account_names(&self) -> Vec<String> {
        let system = self.system_account_name();
        let is_alone = self.accounts.iter().all(|account| Some(account.name.as_str()) == system);
        let own = self.accounts.iter().filter(|account| account.jetstream.is_some());
        let own = own.map(|account| account.name.clone());
        own.chain(is_alone.then(|| GLOBAL_ACCOUNT.to_owned())).collect()
    }

    /// Every user with the name of its account.
    pub fn all_users(&self) -> impl Iterator<Item = (&str, &UserOptions)> {
        let global = self.users.iter().map(|user| (GLOBAL_ACCOUNT, user));
        global.chain(
            self.accounts
                .iter()
                .flat_map(|account| account.users.iter().map(|user| (account.name.as_str(), user))),
        )
    }
}

/// One account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountOptions {
    /// Unique among accounts.
    pub name: String,
    /// Its users; permissions it gives them by default are theirs already.
    pub users: Vec<UserOptions>,
    /// Limits of its clients.
    pub limits: AccountLimits,
    /// Subjects that become others.
    pub mappings: Mappings,
    /// What it may use of JetStream. `None`: it may not use it.
    pub jetstream: Option<JetStreamLimits>,
    /// Where it hears of messages that somebody samples.
    pub trace: Option<TraceTarget>,
    /// What it offers to others.
    pub exports: Vec<Export>,
    /// Streams that it takes from others.
    pub stream_imports: Vec<StreamImport>,
    /// Services that it takes from others.
    pub service_imports: Vec<ServiceImport>,
    /// What its token would take from others.
    pub wishes: Vec<Wish>,
    /// Its token, in operator mode.
    pub token: Option<Arc<str>>,
    /// What its token says, in operator mode.
    pub claims: Option<Arc<Claims<AccountBody>>>,
}

impl AccountOptions {
    /// The account of a token that was verified.
    pub fn of_claims(claims: Claims<AccountBody>, token: &str) -> Self {
        Self {
            name: claims.subject.clone(),
            users: Vec::new(),
            limits: claims.body.limits.account(),
            mappings: claims.body.mappings(),
            jetstream: claims.body.limits.jetstream(),
            trace: claims.body.trace.as_ref().and_then(TraceTarget::of_claim),
            exports: claims.exports(),
            stream_imports: Vec::new(),
            service_imports: Vec::new(),
            wishes: claims.wishes(),
            token: Some(token.into()),
            claims: Some(Arc::new(claims)),
        }
    }
}

/// A service that decides on clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalloutOptions {
    /// The public key of an account, with which answers are signed.
    pub issuer: String,
    /// The account that the service lives in.
    pub account: String,
    /// Users that nobody is asked about: those of the service.
    pub auth_users: Vec<String>,
    /// The public curve key that questions are sealed for.
    pub xkey: Option<String>,
    /// Accounts on whose configured users the service decides; none is all.
    pub allowed_accounts: Vec<String>,
}

/// Operator mode: who signs accounts, and where their tokens are found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperatorOptions {
    /// Operators, their tokens verified.
    pub operators: Vec<Claims<OperatorBody>>,
    /// Their tokens, for monitoring.
    pub tokens: Vec<String>,
    /// Public keys of operators without a token.
    pub trusted_keys: Vec<String>,
    /// Where accounts are found.
    pub resolver: ResolverOptions,
    /// How a server of tokens is spoken to over TLS.
    pub resolver_tls: ResolverTls,
    /// Tokens of accounts by public key, to begin with.
    pub preload: BTreeMap<String, String>,
    /// Accounts that users may log in to; none is all.
    pub pinned_accounts: Vec<String>,
    /// The token of clients that show none: that of a user who need not sign.
    pub default_sentinel: Option<String>,
}

impl OperatorOptions {
    /// Whether somebody is believed, which makes it operator mode.
    pub fn is_on(&self) -> bool {
        !self.operators.is_empty() || !self.trusted_keys.is_empty()
    }

    /// The system account that an operator names.
    pub fn system_account(&self) -> Option<&str> {
        let named = self.operators.iter().map(|operator| operator.body.system_account.as_str());
        named.into_iter().find(|name| !name.is_empty())
    }
}

/// Where the tokens of accounts are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ResolverOptions {
    /// Nowhere: nobody has said.
    #[default]
    None,
    /// In the configuration, and nowhere else.
    Memory,
    /// At a server of tokens.
    Url {
        /// What the public key is appended to.
        url: String,
    },
    /// In files of a directory.
    Directory(DirectoryResolverOptions),
}

/// TLS towards a server of tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolverTls {
    /// Authorities that the server's certificate is checked against. `None`: the machine's.
    pub ca_file: Option<PathBuf>,
    /// What is shown to the server: a chain of certificates, and the key of the first.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The server's certificate is not checked.
    pub insecure: bool,
}

/// A directory with the tokens of accounts: `<public key>.jwt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryResolverOptions {
    /// The directory.
    pub dir: PathBuf,
    /// Tokens may be deleted by request.
    pub allow_delete: bool,
    /// What is deleted is gone, not renamed.
    pub hard_delete: bool,
    /// Tokens kept at most. `None`: any number.
    pub limit: Option<usize>,
    /// How often servers compare what they have. Default 2 min.
    pub interval: Duration,
    /// How long a lookup may take. Default 1.9 s.
    pub timeout: Duration,
}

/// One user.
#[derive(Clone, Debug, PartialEq)]
pub struct UserOptions {
    /// Unique among the users of all accounts.
    pub name: String,
    /// Its name is its public nkey: it signs the nonce of INFO and has no password.
    pub is_nkey: bool,
    /// Password; empty if none was given, and then none may be shown.
    pub password: Secret,
    /// What the user may do. `None`: everything.
    pub permissions: Option<PermissionRules>,
    /// Where the user may come from. `None`: from everywhere.
    pub connection_types: Option<Vec<ConnectionType>>,
}

/// A way to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionType {
    /// A client over TCP or TLS.
    Standard,
    /// A client over WebSocket.
    WebSocket,
    /// A leaf node.
    LeafNode,
    /// A leaf node over WebSocket.
    LeafNodeWebSocket,
    /// An MQTT client.
    Mqtt,
    /// An MQTT client over WebSocket.
    MqttWebSocket,
    /// A client in the same process.
    InProcess,
}

impl ConnectionType {
    /// The type of this name; case does not matter.
    pub fn find(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "STANDARD" => Self::Standard,
            "WEBSOCKET" => Self::WebSocket,
            "LEAFNODE" => Self::LeafNode,
            "LEAFNODE_WS" => Self::LeafNodeWebSocket,
            "MQTT" => Self::Mqtt,
            "MQTT_WS" => Self::MqttWebSocket,
            "IN_PROCESS" => Self::InProcess,
            _ => return None,
        })
    }
}
