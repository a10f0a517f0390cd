//! The accounts of operator mode: what the control plane knows of their tokens.

use std::collections::{BTreeMap, BTreeSet};

use super::resolver::{Resolver, ResolverError};
use crate::account::{AccessOptions, AccountOptions, AccountRefusal, Trust, Wish};
use crate::config::Options;
use crate::host;
use crate::log::Log;

/// Accounts by public key. Outside operator mode there is none.
#[derive(Debug)]
pub(super) struct Accounts {
    trust: Trust,
    resolver: Resolver,
    known: BTreeMap<String, AccountOptions>,
    /// Seconds since 1970.
    opened_at: i64,
    log: Log,
}

impl Accounts {
    /// Reads every token that is at hand; those that are not accepted are told of.
    pub(super) fn open(options: &Options, log: &Log) -> Result<Self, ResolverError> {
        let operator = &options.access.operator;
        let mut accounts = Self {
            trust: Trust::new(operator),
            resolver: Resolver::Memory,
            known: BTreeMap::new(),
            opened_at: unix_now(),
            log: log.clone(),
        };
        if !operator.is_on() {
            return Ok(accounts);
        }
        let (resolver, tokens) = Resolver::open(operator)?;
        accounts.resolver = resolver;
        for (name, token) in &tokens {
            if let Err(refusal) = accounts.learn(name, token) {
                log.error(format_args!("Account [{name}] not valid: {refusal}"));
            }
        }
        if let Some(system) = options.access.system_account_name() {
            if !accounts.known.contains_key(system) {
                if let Some(token) = accounts.resolver.fetch(system) {
                    if let Err(refusal) = accounts.learn(system, &token) {
                        log.error(format_args!("Account [{system}] not valid: {refusal}"));
                    }
                }
            }
        }
        Ok(accounts)
    }

    /// When they were first read, in seconds since 1970.
    pub(super) fn opened_at(&self) -> i64 {
        self.opened_at
    }

    /// Puts all that are known into `access`, with what they may take from one another now.
    pub(super) fn put_into(&self, access: &mut AccessOptions) {
        access.accounts = self.known.values().cloned().collect();
        for text in access.settle_wishes(unix_now()) {
            self.log.debug(format_args!("{text}"));
        }
    }

    /// When an account may first take something more or less from another one, after `since`;
    /// seconds since 1970.
    pub(super) fn next_activation(&self, since: i64) -> Option<i64> {
        self.known.values().filter_map(|account| account.next_activation(since)).min()
    }

    /// Accounts that one takes something from and that are not known.
    pub(super) fn unknown_exporters(&self, importer: &str) -> Vec<Box<str>> {
        let wishes = self.known.get(importer).into_iter().flat_map(|account| &account.wishes);
        let exporters: BTreeSet<&str> = wishes.map(Wish::exporter).collect();
        let unknown = exporters.into_iter().filter(|name| !self.known.contains_key(*name));
        unknown.map(Box::from).collect()
    }

    /// Names of all that are known.
    pub(super) fn names(&self) -> Vec<Box<str>> {
        self.known.keys().map(|name| name.as_str().into()).collect()
    }

    /// Where tokens are found.
    pub(super) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Whether a key may sign accounts.
    pub(super) fn signs_accounts(&self, key: &str) -> bool {
        self.trust.signs_accounts(key)
    }

    /// An account is gone.
    pub(super) fn forget(&mut self, name: &str) {
        self.known.remove(name);
    }

    /// Takes the token of an account.
    pub(super) fn learn(&mut self, name: &str, token: &str) -> Result<(), AccountRefusal> {
        let account = self.judge(name, token)?;
        self.take(account);
        Ok(())
    }

    /// What the token of an account says, if it is accepted.
    pub(super) fn judge(&self, name: &str, token: &str) -> Result<AccountOptions, AccountRefusal> {
        self.trust.account(name, token).inspect_err(|refusal| {
            if let AccountRefusal::Invalid(issues) = refusal {
                self.log.warning(format_args!("Account [{name}] has validation issues:"));
                for issue in issues {
                    self.log.warning(format_args!("  - {issue}"));
                }
            }
        })
    }

    /// Takes an account that was accepted.
    pub(super) fn take(&mut self, account: AccountOptions) {
        self.known.insert(account.name.clone(), account);
    }
}

/// Seconds since 1970.
pub(super) fn unix_now() -> i64 {
    i64::try_from(host::wall_clock_since_epoch().as_secs()).unwrap_or(i64::MAX)
}
