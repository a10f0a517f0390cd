//! Operator mode: whom a server believes, and what it makes of the tokens of those.
//!
//! An operator signs accounts, an account or one of its signing keys signs users, and a user
//! signs the nonce. Nobody of them is configured: only the operator is.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::directory::is_signed;
use super::jwt::{
    expand, is_open_at, public_key_kind, reaches_from, AccountBody, AccountToken, Claims, JwtError,
    KeyKind, OperatorBody, TemplateError, TemplateNames, UserBody, UserRules, UserToken,
};
use super::{
    Account, AccountOptions, ConnectionType, Credentials, OperatorOptions, PermissionRules,
    Permissions, ResolverOptions, CALLOUT_SUBJECT,
};

/// Whom a server in operator mode believes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Public keys that may sign accounts.
    keys: BTreeSet<String>,
    /// Accounts that users may log in to; none is all.
    pinned: BTreeSet<String>,
    /// The token of those that show none.
    default_sentinel: Option<String>,
    /// Accounts that are not known can be asked for.
    pub fetches: bool,
}

/// When it is, where the server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970, UTC.
    pub unix_s: i64,
    /// Seconds that the server's zone is east of UTC.
    pub local_offset_s: i32,
}

/// What a server knows of a user by its token only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenUser {
    /// Its name for people.
    pub name: String,
    /// The key that has signed the token: the account's, or a signing key of it.
    pub issuer: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Subscriptions of one connection. `None`: as many as the account's.
    pub subscriptions: Option<u32>,
    /// Bytes of one message. `None`: as many as the account's.
    pub payload: Option<u32>,
    /// From then on it must not be connected: its token is void, or its time of the day over.
    pub expires: Option<i64>,
    /// A service has decided on it, and its token was shown to nobody else.
    pub is_delegated: bool,
}

/// Why an account's token is not accepted; nats-server's texts where it says any.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountRefusal {
    /// It is no token.
    #[error(transparent)]
    Token(#[from] JwtError),
    /// It is the token of another account.
    #[error("account subject not equal to account {0:?}")]
    Other(String),
    /// No trusted key has signed it.
    #[error("account jwt is not signed by a trusted operator")]
    Untrusted,
    /// It says what cannot be.
    #[error("account validation failed")]
    Invalid(Vec<String>),
}

/// Why a user is not let in: for the log, as the client hears the same of all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserRefusal {
    /// Nothing was shown.
    #[error("Authentication requires a user JWT")]
    Nothing,
    /// It is no token.
    #[error("User JWT not valid: {0}")]
    Token(#[from] JwtError),
    /// It is void by now, or not valid yet.
    #[error("User JWT no longer valid")]
    Expired,
    /// Its account must not be used here.
    #[error("Account {0} not listed as operator pinned account")]
    NotPinned(String),
    /// Nobody knows the account.
    #[error("Account JWT can not be found")]
    NoAccount,
    /// The account's token is void by now.
    #[error("Account JWT has expired")]
    AccountExpired,
    /// The issuer is no signing key of the account.
    #[error("User JWT issuer is not known")]
    Issuer,
    /// Its key's scope says what it may do, and so does the token.
    #[error("User JWT is not valid: scoped users require no permissions or limits set")]
    NotEmpty,
    /// It cannot have the rules of its scope.
    #[error("User permissions template failed: {0}")]
    Template(#[from] TemplateError),
    /// A subject of its permissions is none.
    #[error("User JWT has invalid permissions")]
    Permissions,
    /// The account lets nobody go without a signature.
    #[error("Account does not allow bearer tokens")]
    Bearer,
    /// It must not connect this way.
    #[error("Connection type not allowed")]
    ConnectionType,
    /// It must come through a proxy.
    #[error("proxy connection required")]
    ProxyRequired,
    /// The nonce is not signed by it.
    #[error("Signature not verified")]
    Signature,
    /// The account has revoked it.
    #[error("User authentication revoked")]
    Revoked,
    /// It must not connect from there.
    #[error("Bad src Ip {0}")]
    Source(String),
    /// It must not be connected now.
    #[error("Outside connect times")]
    Time,
}

/// A user that its token lets in.
#[derive(Clone, Debug)]
pub(super) struct Believed {
    /// Its public key.
    pub(super) key: String,
    /// What it may do. `None`: everything.
    pub(super) permissions: Option<Arc<Permissions>>,
    pub(super) user: TokenUser,
}

impl Trust {
    /// Whom these options say to believe.
    pub fn new(options: &OperatorOptions) -> Self {
        let mut keys: BTreeSet<String> = options.trusted_keys.iter().cloned().collect();
        for operator in &options.operators {
            let OperatorBody { signing_keys, strict_signing_key_usage, .. } = &operator.body;
            keys.extend(signing_keys.iter().cloned());
            if !strict_signing_key_usage {
                keys.insert(operator.subject.clone());
            }
        }
        let mut pinned: BTreeSet<String> = options.pinned_accounts.iter().cloned().collect();
        if !pinned.is_empty() {
            pinned.extend(options.system_account().map(str::to_owned));
        }
        Self {
            keys,
            pinned,
            default_sentinel: options.default_sentinel.clone(),
            fetches: !matches!(options.resolver, ResolverOptions::None | ResolverOptions::Memory),
        }
    }

    /// Whether a key may sign accounts.
    pub fn signs_accounts(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Reads the token of the account `name`.
    ///
    /// # Errors
    /// It is none, or nobody who is believed has signed it.
    pub fn account(&self, name: &str, token: &str) -> Result<AccountOptions, AccountRefusal> {
        let claims = AccountToken::decode(token)?;
        if claims.unverified().subject != name {
            return Err(AccountRefusal::Other(name.to_owned()));
        }
        if !self.signs_accounts(&claims.unverified().issuer) {
            return Err(AccountRefusal::Untrusted);
        }
        let claims = claims.verify()?;
        let issues = claims.issues();
        if !issues.is_empty() {
            return Err(AccountRefusal::Invalid(issues));
        }
        Ok(AccountOptions::of_claims(claims, token))
    }

    /// The account that a user's token names, and the token. Nothing of it is true yet.
    pub(super) fn read_user(
        &self,
        shown: &Credentials<'_>,
    ) -> Result<(UserToken, String), UserRefusal> {
        let text = match (shown.jwt, &self.default_sentinel) {
            ("", None) => return Err(UserRefusal::Nothing),
            ("", Some(sentinel)) => sentinel,
            (jwt, _) => jwt,
        };
        let token = UserToken::decode(text)?;
        let claims = token.unverified();
        if !claims.is_valid_at(shown.at.unix_s) {
            return Err(UserRefusal::Expired);
        }
        let account = match claims.body.issuer_account.as_str() {
            "" => &claims.issuer,
            account if public_key_kind(account) == Some(KeyKind::Account) => account,
            _ => return Err(UserRefusal::NoAccount),
        };
        if !self.pinned.is_empty() && !self.pinned.contains(account) {
            return Err(UserRefusal::NotPinned(account.to_owned()));
        }
        let account = account.to_owned();
        Ok((token, account))
    }
}

/// Whether `account` lets a user in, and as whom.
///
/// What takes long, the two signatures, comes after what does not.
pub(super) fn believe(
    token: UserToken,
    account: &Account,
    shown: &Credentials<'_>,
    over: ConnectionType,
) -> Result<Believed, UserRefusal> {
    let claims = token.unverified();
    let issuer = account.claims.as_deref().ok_or(UserRefusal::NoAccount)?;
    if !issuer.is_valid_at(shown.at.unix_s) {
        return Err(UserRefusal::AccountExpired);
    }
    let rules = rules_of(claims, issuer)?;
    if rules.bearer_token && issuer.body.limits.disallow_bearer {
        return Err(UserRefusal::Bearer);
    }
    if issuer.body.is_revoked(&claims.subject, claims.issued_at) {
        return Err(UserRefusal::Revoked);
    }
    let (permissions, user) = admit(claims, &rules, account, shown, over)?;
    let key = claims.subject.clone();
    if !shown.is_known {
        token.verify()?;
        if !rules.bearer_token && !is_signed(&key, shown) {
            return Err(UserRefusal::Signature);
        }
    }
    Ok(Believed { key, permissions, user })
}

/// Whether the rules of a user let it in from where it comes, and what they make of it.
pub(super) fn admit(
    claims: &Claims<UserBody>,
    rules: &UserRules,
    account: &Account,
    shown: &Credentials<'_>,
    over: ConnectionType,
) -> Result<(Option<Arc<Permissions>>, TokenUser), UserRefusal> {
    let types = &rules.allowed_connection_types;
    if !types.is_empty() && !types.iter().any(|name| ConnectionType::find(name) == Some(over)) {
        return Err(UserRefusal::ConnectionType);
    }
    if rules.proxy_required {
        return Err(UserRefusal::ProxyRequired);
    }
    if !reaches_from(&rules.src, shown.host) {
        return Err(UserRefusal::Source(shown.host.to_owned()));
    }
    let Moment { unix_s, local_offset_s } = shown.at;
    let until =
        is_open_at(&rules.times, &rules.locale, local_offset_s, unix_s).ok_or(UserRefusal::Time)?;
    let mut permissions = match (rules.permissions.is_empty(), &account.default_permissions) {
        (true, None) => None,
        (true, Some(default)) => Some(default.rules().clone()),
        (false, _) => Some(rules.permissions.rules().ok_or(UserRefusal::Permissions)?),
    };
    if account.asks_callout {
        permissions = Some(without_callout(permissions));
    }
    let limit = |claim: i64| u32::try_from(claim).ok();
    let user = TokenUser {
        name: claims.name.clone(),
        issuer: claims.issuer.clone(),
        tags: claims.tags.clone(),
        subscriptions: limit(rules.subs),
        payload: limit(rules.payload),
        expires: [claims.expires, until].into_iter().flatten().min(),
        is_delegated: false,
    };
    Ok((permissions.map(|rules| Arc::new(Permissions::new(rules))), user))
}

/// Nobody in the account of a service that decides on clients may ask it: only servers do.
pub(super) fn without_callout(permissions: Option<PermissionRules>) -> PermissionRules {
    let mut rules = permissions.unwrap_or_default();
    rules.publish.deny.push(CALLOUT_SUBJECT.to_owned());
    rules
}

/// What a user may do: what its token says, or the scope of the key that has signed it.
pub(super) fn rules_of(
    user: &Claims<UserBody>,
    account: &Claims<AccountBody>,
) -> Result<UserRules, UserRefusal> {
    if user.issuer == account.subject {
        return Ok(user.body.rules.clone());
    }
    let key = account.body.signing_key(&user.issuer).ok_or(UserRefusal::Issuer)?;
    let Some(scope) = &key.scope else { return Ok(user.body.rules.clone()) };
    if !user.body.rules.is_empty() {
        return Err(UserRefusal::NotEmpty);
    }
    let names = TemplateNames {
        name: &user.name,
        subject: &user.subject,
        tags: &user.tags,
        account_name: account.shown_name(),
        account_subject: &account.subject,
        account_tags: &account.tags,
    };
    let mut rules = scope.template.clone();
    // Of a scope 0 is no limit.
    for limit in [&mut rules.subs, &mut rules.payload] {
        *limit = if *limit == 0 { -1 } else { *limit };
    }
    rules.permissions = expand(&rules.permissions, &names)?;
    Ok(rules)
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
