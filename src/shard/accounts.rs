//! The accounts of operator mode: what the control plane knows of their tokens.

use std::collections::BTreeMap;

use super::resolver::{Resolver, ResolverError};
use crate::account::{AccountOptions, Trust};
use crate::config::Options;
use crate::log::Log;

/// Accounts by public key. Outside operator mode there is none.
#[derive(Debug)]
pub(super) struct Accounts {
    trust: Trust,
    resolver: Resolver,
    known: BTreeMap<String, AccountOptions>,
}

impl Accounts {
    /// Reads every token that is at hand; those that are not accepted are told of.
    pub(super) fn open(options: &Options, log: &Log) -> Result<Self, ResolverError> {
        let operator = &options.access.operator;
        let mut accounts = Self {
            trust: Trust::new(operator),
            resolver: Resolver::Memory,
            known: BTreeMap::new(),
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

    /// All that are known.
    pub(super) fn list(&self) -> impl Iterator<Item = &AccountOptions> {
        self.known.values()
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
    pub(super) fn learn(
        &mut self,
        name: &str,
        token: &str,
    ) -> Result<(), crate::account::AccountRefusal> {
        let account = self.trust.account(name, token)?;
        self.known.insert(name.to_owned(), account);
        Ok(())
    }
}
