//! What must hold in operator mode, where nothing but the operator is configured.

use super::{Options, COMPATIBLE_VERSION};
use crate::account::jwt::{public_key_kind, Claims, KeyKind, OperatorBody, UserToken};
use crate::account::ResolverOptions;

/// Why there is no operator mode; nats-server's texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// Both ways to name operators.
    #[error("conflicting options for 'TrustedKeys' and 'TrustedOperators'")]
    KeysAndOperators,
    /// The operator wants a newer server.
    #[error(
        "operator {operator} expected {part} version {expected} > server {part} version {own}"
    )]
    Version {
        /// Its public key.
        operator: String,
        /// Major, minor or update.
        part: &'static str,
        /// What it wants.
        expected: u32,
        /// What this server is compatible with.
        own: u32,
    },
    /// Nobody knows where accounts are found.
    #[error(
        "could not fetch <\"/accounts/\">: Get \"/accounts/\": unsupported protocol scheme \"\""
    )]
    NoResolver,
    /// A server of tokens has its own.
    #[error("resolver preloads only available for writeable resolver types MEM/DIR/CACHE_DIR")]
    PreloadForUrl,
    /// Accounts are known by their tokens only.
    #[error("operators do not allow Accounts to be configured directly")]
    Accounts,
    /// And so are users.
    #[error("operators do not allow users to be configured directly")]
    Users,
    /// Nobody is let in without a token.
    #[error("no_auth_user not compatible with Trusted Operator")]
    NoAuthUser,
    /// Servers talk about accounts in the system account.
    #[error(
        "using nats based account resolver - the system account needs to be specified in \
         configuration or the operator jwt"
    )]
    NoSystemAccount,
    /// No public key.
    #[error("error resolving system account: will only fetch valid account keys")]
    SystemAccount,
    /// Nobody has given its token.
    #[error("error resolving system account: account missing")]
    SystemAccountMissing,
    /// No public key.
    #[error("pinned account key {0:?} is not a valid public account nkey")]
    Pinned(String),
    /// No token.
    #[error("default sentinel JWT not valid")]
    Sentinel,
    /// Nobody could sign with it.
    #[error("default sentinel must be a bearer token")]
    SentinelSigns,
}

/// Checks what no single option can know.
pub(super) fn validate(options: &Options) -> Result<(), OperatorError> {
    use OperatorError as Wrong;
    let operator = &options.access.operator;
    if !operator.trusted_keys.is_empty() && !operator.operators.is_empty() {
        return Err(Wrong::KeysAndOperators);
    }
    for operator in &operator.operators {
        check_version(operator)?;
    }
    match &operator.resolver {
        ResolverOptions::None => return Err(Wrong::NoResolver),
        ResolverOptions::Url { .. } if !operator.preload.is_empty() => {
            return Err(Wrong::PreloadForUrl);
        }
        _ => {}
    }
    if !options.access.accounts.is_empty() {
        return Err(Wrong::Accounts);
    }
    if !options.access.users.is_empty() {
        return Err(Wrong::Users);
    }
    if options.no_auth_user.is_some() {
        return Err(Wrong::NoAuthUser);
    }
    let is_account = |name: &str| public_key_kind(name) == Some(KeyKind::Account);
    let named = options.access.system_account.as_deref().or_else(|| operator.system_account());
    match named {
        None if matches!(operator.resolver, ResolverOptions::Directory(_)) => {
            return Err(Wrong::NoSystemAccount);
        }
        Some(name) if !is_account(name) => return Err(Wrong::SystemAccount),
        Some(name)
            if operator.resolver == ResolverOptions::Memory
                && !operator.preload.contains_key(name) =>
        {
            return Err(Wrong::SystemAccountMissing);
        }
        _ => {}
    }
    if let Some(wrong) = operator.pinned_accounts.iter().find(|name| !is_account(name)) {
        return Err(Wrong::Pinned(wrong.clone()));
    }
    if let Some(sentinel) = &operator.default_sentinel {
        let claims = UserToken::decode(sentinel).and_then(UserToken::verify);
        let claims = claims.map_err(|_| Wrong::Sentinel)?;
        if !claims.body.rules.bearer_token {
            return Err(Wrong::SentinelSigns);
        }
    }
    Ok(())
}

/// Whether this server, as the nats-server that it is compatible with, is new enough.
fn check_version(operator: &Claims<OperatorBody>) -> Result<(), OperatorError> {
    let numbers = |version: &str| -> Vec<u32> {
        let version = version.trim_start_matches('v');
        version.split('.').map(|number| number.parse().unwrap_or(0)).collect()
    };
    let (expected, own) =
        (numbers(&operator.body.assert_server_version), numbers(COMPATIBLE_VERSION));
    for ((part, &expected), &own) in ["major", "minor", "update"].iter().zip(&expected).zip(&own) {
        if expected > own {
            let operator = operator.subject.clone();
            return Err(OperatorError::Version { operator, part, expected, own });
        }
        if expected < own {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_may_ask_for_a_server_that_is_new_enough() {
        let check = |version: &str| {
            let assert_server_version = version.to_owned();
            let body = OperatorBody { assert_server_version, ..OperatorBody::default() };
            let operator = Claims { subject: "O".to_owned(), body, ..Claims::default() };
            check_version(&operator).map_err(|error| error.to_string())
        };
        for fine in ["", "1.99.99", "2.0.0", "2.15.0", "2.15.1"] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        for (version, part) in [("3.0.0", "major"), ("2.99.0", "minor"), ("2.15.99", "update")] {
            let refused = check(version).unwrap_err();
            assert!(
                refused.starts_with(&format!("operator O expected {part} version")),
                "{refused}"
            );
        }
    }
}
