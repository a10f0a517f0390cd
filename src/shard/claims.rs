//! What is asked of the accounts' tokens in the system account: looking one up, updating one, all
//! of them, deleting some. Subjects and texts are nats-server's.

use serde::Deserialize;
use serde_json::json;

use super::accounts::Accounts;
use super::resolver::ResolverError;
use crate::account::jwt::{AccountToken, Body, JwtError, KeyKind, Token};
use crate::account::AccountRefusal;
use crate::monitor::ClaimsReply;

/// What a request has led to.
#[derive(Debug, Default)]
pub(super) struct Served {
    pub(super) replies: Vec<ClaimsReply>,
    /// Accounts whose token has changed.
    pub(super) changed: Vec<Box<str>>,
}

/// Accounts that an operator wants to be deleted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Deletion {
    accounts: Vec<String>,
}

impl Body for Deletion {
    const KIND: &'static str = "generic";
    const ISSUERS: &'static [KeyKind] = &[KeyKind::Operator];
    const SUBJECT: KeyKind = KeyKind::Operator;

    fn read(nats: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(nats)
    }
}

/// Why a token is not taken.
#[derive(Debug, thiserror::Error)]
enum UpdateError {
    #[error(transparent)]
    Token(#[from] JwtError),
    #[error("subject does not match jwt content")]
    Other,
    #[error(transparent)]
    Account(#[from] AccountRefusal),
    #[error("validation errors: [{0}]")]
    Invalid(String),
    #[error(transparent)]
    Resolver(#[from] ResolverError),
}

/// Why nothing is deleted.
#[derive(Debug, thiserror::Error)]
enum DeleteError {
    #[error(transparent)]
    Token(#[from] JwtError),
    #[error("not self signed")]
    Stranger,
    #[error("not allowed to delete system account")]
    SystemAccount,
    #[error(transparent)]
    Resolver(#[from] ResolverError),
}

/// Serves one request. `system` is the system account.
pub(super) fn serve(
    accounts: &mut Accounts,
    subject: &str,
    payload: &[u8],
    system: Option<&str>,
) -> Served {
    let tokens: Vec<&str> = subject.split('.').collect();
    match tokens[..] {
        ["$SYS", "REQ", "ACCOUNT", account, "CLAIMS", "LOOKUP"] => {
            let token = accounts.resolver().fetch(account).unwrap_or_default();
            Served { replies: vec![ClaimsReply::Bare(token.into_bytes())], ..Served::default() }
        }
        ["$SYS", "REQ", "ACCOUNT", account, "CLAIMS", "UPDATE"]
        | ["$SYS", "ACCOUNT", account, "CLAIMS", "UPDATE"] => {
            update(accounts, Some(account), payload)
        }
        ["$SYS", "REQ", "CLAIMS", "UPDATE"] => update(accounts, None, payload),
        ["$SYS", "REQ", "CLAIMS", "LIST"] => {
            let names: Vec<String> = accounts.resolver().all().into_keys().collect();
            Served { replies: vec![ClaimsReply::Data(json!(names))], ..Served::default() }
        }
        ["$SYS", "REQ", "CLAIMS", "PACK"] => {
            let all = accounts.resolver().all().into_iter();
            let lines = all.map(|(account, token)| format!("{account}|{token}").into_bytes());
            // An empty message says that these were all.
            let replies = lines.chain([Vec::new()]).map(ClaimsReply::Bare).collect();
            Served { replies, ..Served::default() }
        }
        ["$SYS", "REQ", "CLAIMS", "DELETE"] => delete(accounts, payload, system),
        _ => Served::default(),
    }
}

fn update(accounts: &mut Accounts, account: Option<&str>, payload: &[u8]) -> Served {
    let text = String::from_utf8_lossy(payload);
    let mut shown = account.unwrap_or("n/a").to_owned();
    let mut take = || -> Result<Box<str>, UpdateError> {
        let token = AccountToken::decode(text.trim()).inspect_err(|_| shown = "n/a".to_owned())?;
        let name = token.unverified().subject.clone();
        if account.is_some_and(|account| account != name) {
            return Err(UpdateError::Other);
        }
        shown.clone_from(&name);
        let judged = accounts.judge(&name, text.trim()).map_err(|refusal| match refusal {
            AccountRefusal::Invalid(issues) => UpdateError::Invalid(issues.join(" ")),
            refusal => refusal.into(),
        })?;
        accounts.resolver().store(&name, text.trim())?;
        accounts.take(judged);
        Ok(name.into())
    };
    match take() {
        Ok(name) => {
            let data = json!({ "account": &*name, "code": 200, "message": "jwt updated" });
            Served { replies: vec![ClaimsReply::Data(data)], changed: vec![name] }
        }
        Err(error) => {
            let what = match error {
                UpdateError::Invalid(_) => "jwt validation failed",
                _ => "jwt update resulted in error",
            };
            let description = format!("{what} - {error}");
            let error = json!({ "account": shown, "code": 500, "description": description });
            Served { replies: vec![ClaimsReply::Error(error)], ..Served::default() }
        }
    }
}

fn delete(accounts: &mut Accounts, payload: &[u8], system: Option<&str>) -> Served {
    let text = String::from_utf8_lossy(payload);
    let mut by = String::new();
    let mut gone = Vec::new();
    let mut take = || -> Result<(), DeleteError> {
        let deletion = Token::<Deletion>::decode(text.trim())?;
        by.clone_from(&deletion.unverified().issuer);
        let deletion = deletion.verify()?;
        if deletion.issuer != deletion.subject || !accounts.signs_accounts(&deletion.issuer) {
            return Err(DeleteError::Stranger);
        }
        let names = deletion.body.accounts;
        if names.iter().any(|name| Some(name.as_str()) == system) {
            return Err(DeleteError::SystemAccount);
        }
        for name in names {
            accounts.resolver().delete(&name)?;
            accounts.forget(&name);
            gone.push(name.into());
        }
        Ok(())
    };
    match take() {
        Ok(()) => {
            let message = format!("deleted {} accounts", gone.len());
            let data = json!({ "code": 200, "message": message });
            Served { replies: vec![ClaimsReply::Data(data)], changed: gone }
        }
        Err(error) => {
            let description = format!("delete accounts request by {by} failed - {error}");
            let error = json!({ "code": 500, "description": description });
            // Those before the one that could not be deleted are gone all the same.
            Served { replies: vec![ClaimsReply::Error(error)], changed: gone }
        }
    }
}
