//! [`Directory`]: one snapshot of who may connect and of all accounts.

use std::sync::Arc;

use data_encoding::{BASE64URL_NOPAD, BASE64_NOPAD};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::certificate::CertificateNames;
use super::members::default_permissions;
use super::secret::same;
use super::trust::{believe, Believed};
use super::{
    AccessOptions, Account, AccountId, Callout, CalloutOptions, ConnectionType, Imports, Login,
    Moment, Secret, Trade, Trust, User, UserRefusal, GLOBAL_ACCOUNT, SYSTEM_ACCOUNT,
};

/// All users and accounts. Immutable: a reload makes another.
#[derive(Debug)]
pub struct Directory {
    /// Accounts by id. Those that are gone keep their place, without users.
    accounts: Vec<Arc<Account>>,
    by_name: HashMap<Box<str>, AccountId, FixedState>,
    users: HashMap<Box<str>, Arc<User>, FixedState>,
    rules: Rules,
    /// Rules of their own for clients over WebSocket.
    websocket: Option<Rules>,
    /// Set in operator mode.
    trust: Option<Trust>,
    /// Set if a service decides on clients, outside operator mode.
    callout: Option<Arc<Callout>>,
    /// Users are named by the certificates of clients.
    maps_certificates: bool,
}

/// Who may connect besides the users of the list.
#[derive(Debug, Default)]
struct Rules {
    single: Single,
    no_auth_user: Option<Arc<User>>,
}

/// The one secret of a server without a list of users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Single {
    /// Everybody may connect.
    #[default]
    Open,
    /// CONNECT must carry this `auth_token`.
    Token(Secret),
    /// CONNECT must carry this `user` and `pass`.
    User {
        /// Name of the user.
        name: String,
        /// Password.
        password: Secret,
    },
}

/// What a client shows of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'c> {
    /// `user` of CONNECT.
    pub user: &'c str,
    /// `pass` of CONNECT.
    pub password: &'c str,
    /// `auth_token` of CONNECT.
    pub token: &'c str,
    /// `nkey` of CONNECT.
    pub nkey: &'c str,
    /// `sig` of CONNECT: the nonce signed, base64.
    pub signature: &'c str,
    /// The nonce that INFO gave; empty if it gave none.
    pub nonce: &'c str,
    /// `jwt` of CONNECT.
    pub jwt: &'c str,
    /// The names in the client's certificate, if users are named by them.
    pub certificate: Option<&'c CertificateNames>,
    /// The client's address.
    pub host: &'c str,
    /// When it is judged.
    pub at: Moment,
    /// It was let in with these very credentials before: signatures still fit.
    pub is_known: bool,
    /// The hash that these credentials were found to fit, if they were compared
    /// with one already.
    pub verified: Option<&'c str>,
}

/// What is said to credentials.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// They are wrong.
    Refused,
    /// They are right.
    Admitted(Login),
    /// A secret has to be compared with this hash first, elsewhere.
    Hashed {
        /// A bcrypt hash.
        hash: Arc<str>,
    },
    /// A service has to be asked.
    Delegated(Arc<Callout>),
    /// Their account is not known and must be fetched first.
    Unresolved {
        /// Its public key.
        account: String,
    },
}

/// Why there is no directory of some options; nats-server's texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// `no_auth_user` names nobody, and there is nobody.
    #[error("no_auth_user: \"{0}\" present, but users/nkeys are not defined")]
    NoUsers(String),
    /// `no_auth_user` names nobody.
    #[error(
        "no_auth_user: \"{0}\" not present as user or nkey in authorization block or account \
         configuration"
    )]
    NoSuchUser(String),
    /// A service would decide on users of no account.
    #[error("auth_callout allowed account {0:?} not found in configured accounts")]
    CalloutAccountMissing(String),
    /// `system_account` names no account.
    #[error("error resolving system account: account missing")]
    SystemAccountMissing,
}

impl Directory {
    /// Checks and compiles. Accounts of `previous` keep their ids.
    ///
    /// # Errors
    /// A text to show.
    pub fn new(
        options: &AccessOptions,
        single: Single,
        no_auth_user: Option<&str>,
        previous: Option<&Self>,
    ) -> Result<Self, DirectoryError> {
        let mut directory = Self {
            accounts: previous.map_or_else(Vec::new, Self::emptied_accounts),
            by_name: HashMap::with_hasher(FixedState::default()),
            users: HashMap::with_hasher(FixedState::default()),
            rules: Rules { single, no_auth_user: None },
            websocket: None,
            trust: options.operator.is_on().then(|| Trust::new(&options.operator)),
            callout: None,
            maps_certificates: false,
        };
        for account in &directory.accounts {
            directory.by_name.insert(account.name.clone(), account.id);
        }
        let system = options.system_account_name();
        let mut global = Account::named(GLOBAL_ACCOUNT);
        global.mappings = options.mappings.clone();
        directory.put(global, system);
        directory.put(Account::named(SYSTEM_ACCOUNT), system);
        for account in &options.accounts {
            directory.put(
                Account {
                    limits: account.limits,
                    mappings: account.mappings.clone(),
                    jetstream: account.jetstream,
                    claims: account.claims.clone(),
                    default_permissions: account.claims.as_deref().and_then(default_permissions),
                    trace: account.trace.clone(),
                    trade: Arc::new(Trade {
                        exports: account.exports.clone(),
                        stream_imports: account.stream_imports.clone(),
                        service_imports: account.service_imports.clone(),
                        token: account.token.clone(),
                    }),
                    asks_callout: (account.claims.as_ref())
                        .is_some_and(|claims| !claims.body.authorization.auth_users.is_empty()),
                    ..Account::named(&account.name)
                },
                system,
            );
        }
        directory.route(options);
        if let Some(callout) = &options.callout {
            directory.ask(callout)?;
        }
        for (account, user) in options.all_users() {
            let account = directory.account_named(account).map_or(AccountId(0), |found| found.id);
            let asks_callout = directory.account(account).is_some_and(|found| found.asks_callout);
            let user = Arc::new(User::new(user, account, asks_callout));
            directory.users.insert(user.name.clone(), user);
        }
        if system.is_some_and(|name| directory.account_named(name).is_none()) {
            return Err(DirectoryError::SystemAccountMissing);
        }
        if let Some(name) = no_auth_user {
            directory.rules.no_auth_user = Some(directory.nobody(name)?);
        }
        Ok(directory)
    }

    /// The same, but clients over WebSocket show this secret, or become this user if they show
    /// nothing.
    ///
    /// # Errors
    /// There is no such user.
    pub fn with_websocket(
        mut self,
        single: Single,
        no_auth_user: Option<&str>,
    ) -> Result<Self, DirectoryError> {
        let no_auth_user = no_auth_user.map(|name| self.nobody(name)).transpose()?;
        self.websocket = Some(Rules { single, no_auth_user });
        Ok(self)
    }

    /// The user that `no_auth_user` names.
    fn nobody(&self, name: &str) -> Result<Arc<User>, DirectoryError> {
        self.users.get(name).cloned().ok_or_else(|| match self.users.len() {
            0 => DirectoryError::NoUsers(name.to_owned()),
            _ => DirectoryError::NoSuchUser(name.to_owned()),
        })
    }

    fn rules(&self, over: ConnectionType) -> &Rules {
        match &self.websocket {
            Some(rules) if over == ConnectionType::WebSocket => rules,
            _ => &self.rules,
        }
    }

    /// From now on a service decides on clients. If there is no such account, nobody will answer.
    fn ask(&mut self, callout: &CalloutOptions) -> Result<(), DirectoryError> {
        let unknown =
            callout.allowed_accounts.iter().find(|name| self.account_named(name).is_none());
        if let Some(name) = unknown {
            return Err(DirectoryError::CalloutAccountMissing(name.clone()));
        }
        let account = self.account_named(&callout.account).cloned();
        let id = account.as_ref().map_or(AccountId(u32::MAX), |account| account.id);
        self.callout = Some(Arc::new(Callout::of_options(callout, id)));
        if let (Some(account), Some(place)) = (account, self.accounts.get_mut(id.0 as usize)) {
            *place = Arc::new(Account { asks_callout: true, ..Account::clone(&account) });
        }
        Ok(())
    }

    /// A directory in which everybody may connect, for tests and benchmarks.
    pub fn open() -> Self {
        let options = AccessOptions::default();
        match Self::new(&options, Single::Open, None, None) {
            Ok(directory) => directory,
            // No default option can be refused.
            Err(_) => Self {
                accounts: vec![Arc::new(Account::named(GLOBAL_ACCOUNT))],
                by_name: HashMap::with_hasher(FixedState::default()),
                users: HashMap::with_hasher(FixedState::default()),
                rules: Rules::default(),
                websocket: None,
                trust: None,
                callout: None,
                maps_certificates: false,
            },
        }
    }

    /// The same directory, but certificates name the users.
    #[must_use]
    pub fn mapping_certificates(mut self, maps: bool) -> Self {
        self.maps_certificates = maps;
        self
    }

    /// Whether certificates name the users.
    pub fn maps_certificates(&self) -> bool {
        self.maps_certificates
    }

    /// The user that a certificate names: by an e-mail address, a DNS name, a URI, its subject in
    /// whatever order, its subject as Go writes it.
    fn user_of(&self, names: &CertificateNames) -> Option<&Arc<User>> {
        let listed = |name: &String| self.users.get(name.as_str()).filter(|user| !user.is_nkey);
        names.alternatives.iter().find_map(listed).or_else(|| {
            let mut named = self.users.values();
            let by_parts = named.find(|user| !user.is_nkey && names.has_subject(&user.name));
            by_parts.or_else(|| listed(&names.subject))
        })
    }

    /// Whether a client has to authenticate at all that came over a connection of a type.
    pub fn is_required(&self, over: ConnectionType) -> bool {
        !self.users.is_empty()
            || self.rules(over).single != Single::Open
            || self.trust.is_some()
            || self.callout.is_some()
    }

    /// Whether INFO must give clients something to sign.
    pub fn has_nkeys(&self) -> bool {
        self.trust.is_some() || self.users.values().any(|user| user.is_nkey)
    }

    /// Whether clients are judged by tokens, their own or those that a service answers with.
    pub fn uses_tokens(&self) -> bool {
        self.trust.is_some() || self.callout.is_some()
    }

    /// Whom the server believes, in operator mode.
    pub fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }

    /// Whether a client may do without credentials though others need them.
    pub fn has_no_auth_user(&self) -> bool {
        self.rules.no_auth_user.is_some()
    }

    /// Whom everybody is, if nobody has to authenticate.
    pub fn everybody(&self, over: ConnectionType) -> Option<Login> {
        (!self.is_required(over)).then(|| Login { account: self.global(), user: None })
    }

    /// Whom a client becomes that never says CONNECT.
    pub fn anonymous(&self, over: ConnectionType) -> Option<Login> {
        let user = self.rules(over).no_auth_user.as_ref()?;
        if self.callout.as_ref().is_some_and(|callout| !callout.trusts(&user.name)) {
            // A service has to be asked, and can only be about a CONNECT.
            return None;
        }
        user.may_use(over).then(|| self.login(user))
    }

    /// Judges credentials that came over a connection of a type.
    pub fn authenticate(&self, shown: &Credentials<'_>, over: ConnectionType) -> Verdict {
        let rules = self.rules(over);
        if !self.is_required(over) {
            return Verdict::Admitted(Login { account: self.global(), user: None });
        }
        if let Some(trust) = &self.trust {
            // Why a token is refused is the log's matter: see `Self::why_refused`.
            return self.judge_token(trust, shown, over).unwrap_or(Verdict::Refused);
        }
        if let Some(callout) = &self.callout {
            let user = if shown.nkey.is_empty() { shown.user } else { shown.nkey };
            let account = self.users.get(user).and_then(|user| self.account(user.account));
            let is_covered = account
                .is_none_or(|account| account.id == AccountId(0) || callout.covers(&account.name));
            if !callout.trusts(user) && is_covered {
                return Verdict::Delegated(Arc::clone(callout));
            }
        }
        if !self.users.is_empty() {
            let nothing = [shown.user, shown.password, shown.token, shown.nkey];
            if self.maps_certificates {
                let user = shown.certificate.and_then(|names| self.user_of(names));
                let user = user.filter(|user| user.may_use(over));
                return user.map_or(Verdict::Refused, |user| Verdict::Admitted(self.login(user)));
            }
            let user = match &rules.no_auth_user {
                Some(user) if nothing == [""; 4] => {
                    return if user.may_use(over) {
                        Verdict::Admitted(self.login(user))
                    } else {
                        Verdict::Refused
                    };
                }
                _ if !shown.nkey.is_empty() => self.users.get(shown.nkey),
                _ => self.users.get(shown.user).filter(|user| !user.is_nkey),
            };
            let user = user.filter(|user| user.may_use(over));
            let Some(user) = user else { return Verdict::Refused };
            if user.is_nkey {
                return if is_signed(shown.nkey, shown) {
                    Verdict::Admitted(self.login(user))
                } else {
                    Verdict::Refused
                };
            }
            if !shown.nkey.is_empty() {
                return Verdict::Refused;
            }
            return judge(&user.password, shown.password, shown, || self.login(user));
        }
        let login = || Login { account: self.global(), user: None };
        match &rules.single {
            Single::Open => Verdict::Refused,
            Single::Token(token) => judge(token, shown.token, shown, login),
            // Both are compared, so that the time taken says nothing.
            Single::User { name, password } => {
                let known = same(name, shown.user);
                match judge(password, shown.password, shown, login) {
                    _ if !known => Verdict::Refused,
                    verdict => verdict,
                }
            }
        }
    }

    /// Why credentials were refused, if more can be said of it than that they were.
    pub fn why_refused(
        &self,
        shown: &Credentials<'_>,
        over: ConnectionType,
    ) -> Option<UserRefusal> {
        self.judge_token(self.trust.as_ref()?, shown, over).err()
    }

    fn judge_token(
        &self,
        trust: &Trust,
        shown: &Credentials<'_>,
        over: ConnectionType,
    ) -> Result<Verdict, UserRefusal> {
        let (token, name) = trust.read_user(shown)?;
        let Some(account) = self.account_named(&name).filter(|found| found.claims.is_some()) else {
            return match trust.fetches {
                true => Ok(Verdict::Unresolved { account: name }),
                false => Err(UserRefusal::NoAccount),
            };
        };
        let Believed { key, permissions, user } = believe(token, account, shown, over)?;
        let callout = account.claims.as_ref().and_then(|it| Callout::of_claims(account.id, it));
        if let Some(callout) = callout.filter(|callout| !callout.trusts(&key)) {
            return Ok(Verdict::Delegated(Arc::new(callout)));
        }
        let user = Arc::new(User::of_token(&key, account.id, permissions, user));
        Ok(Verdict::Admitted(Login { account: Arc::clone(account), user: Some(user) }))
    }

    /// Whether an account is there, not only its place.
    pub fn is_live(&self, account: &Account) -> bool {
        match &self.trust {
            Some(_) => account.claims.is_some(),
            None => account.is_configured,
        }
    }

    /// The account that a user is bound to.
    pub fn account_of(&self, user: &str) -> Option<AccountId> {
        self.users.get(user).map(|user| user.account)
    }

    /// Whether who showed the one secret of `other` may be judged anew.
    pub fn has_same_secret(&self, other: &Self, over: ConnectionType) -> bool {
        self.rules(over).single == other.rules(over).single
    }

    /// The account of an id.
    pub fn account(&self, id: AccountId) -> Option<&Arc<Account>> {
        self.accounts.get(id.0 as usize)
    }

    /// The account of a name.
    pub fn account_named(&self, name: &str) -> Option<&Arc<Account>> {
        self.by_name.get(name).and_then(|&id| self.account(id))
    }

    /// The system account, if there is one.
    pub fn system_account(&self) -> Option<AccountId> {
        self.accounts.iter().find(|account| account.is_system).map(|account| account.id)
    }

    /// All accounts, those that a reload has taken away too.
    pub fn accounts(&self) -> &[Arc<Account>] {
        &self.accounts
    }

    /// Whether the imports of all accounts are those of `other`.
    pub fn has_same_imports(&self, other: &Self) -> bool {
        let one = self.accounts.iter().map(|account| &account.imports);
        one.eq(other.accounts.iter().map(|account| &account.imports))
    }

    /// Makes the ways between accounts, once all have their ids.
    fn route(&mut self, options: &AccessOptions) {
        for account in &options.accounts {
            if account.stream_imports.is_empty() && account.service_imports.is_empty() {
                continue;
            }
            let Some(known) = self.account_named(&account.name) else { continue };
            let (streams, services) = (&account.stream_imports, &account.service_imports);
            let id_of = |name: &str| self.account_named(name).map(|account| account.id);
            let imports = Imports::new(known.id, streams, services, id_of);
            let index = known.id.0 as usize;
            if let Some(known) = self.accounts.get_mut(index) {
                *known = Arc::new(Account { imports, ..Account::clone(known) });
            }
        }
    }

    fn global(&self) -> Arc<Account> {
        Arc::clone(&self.accounts[0])
    }

    fn login(&self, user: &Arc<User>) -> Login {
        let account = self.account(user.account).cloned();
        Login { account: account.unwrap_or_else(|| self.global()), user: Some(Arc::clone(user)) }
    }

    /// Puts an account where one of its name was, or at the end.
    fn put(&mut self, account: Account, system: Option<&str>) {
        let is_system = system == Some(&*account.name);
        let place = self.by_name.get(&account.name).map(|id| id.0 as usize);
        let index = place.unwrap_or(self.accounts.len());
        let id = AccountId(u32::try_from(index).unwrap_or(u32::MAX));
        self.by_name.insert(account.name.clone(), id);
        let account = Arc::new(Account { id, is_system, ..account });
        match self.accounts.get_mut(index) {
            Some(known) => *known = account,
            None => self.accounts.push(account),
        }
    }

    /// The places of the accounts, with nothing in them.
    fn emptied_accounts(&self) -> Vec<Arc<Account>> {
        let emptied = |account: &Arc<Account>| {
            let gone = Account { is_configured: false, ..Account::named(&account.name) };
            Arc::new(Account { id: account.id, ..gone })
        };
        self.accounts.iter().map(emptied).collect()
    }
}

/// Whether `key` has signed the nonce. The signature is base64 for URLs; old clients send the
/// other alphabet.
pub(super) fn is_signed(key: &str, shown: &Credentials<'_>) -> bool {
    if shown.nonce.is_empty() {
        return false;
    }
    let text = shown.signature.trim_end_matches('=').as_bytes();
    let decoded =
        BASE64URL_NOPAD.decode(text).or_else(|_| BASE64_NOPAD.decode(text)).unwrap_or_default();
    nkeys::KeyPair::from_public_key(key)
        .is_ok_and(|key| key.verify(shown.nonce.as_bytes(), &decoded).is_ok())
}

fn judge(
    secret: &Secret,
    given: &str,
    shown: &Credentials<'_>,
    login: impl FnOnce() -> Login,
) -> Verdict {
    match secret {
        Secret::Plain(expected) if same(expected, given) => Verdict::Admitted(login()),
        Secret::Plain(_) => Verdict::Refused,
        Secret::Bcrypt(hash) if shown.verified == Some(hash) => Verdict::Admitted(login()),
        Secret::Bcrypt(hash) => Verdict::Hashed { hash: Arc::clone(hash) },
    }
}
