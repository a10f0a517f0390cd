//! The token with which an account lets another one import something.

use serde::Deserialize;

use super::account_claims::TradeKind;
use super::claims::nullable;
use super::token::{read_body, Body, KeyKind, Token};

/// Lets the account that it is about import something of the one that has signed it.
pub type ActivationToken = Token<ActivationBody>;

/// What may be imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ActivationBody {
    /// The exporter's subject, or a pattern that covers it.
    #[serde(deserialize_with = "nullable")]
    pub subject: String,
    /// Whether it is a stream or a service.
    pub kind: Option<TradeKind>,
    /// The exporter, if one of its signing keys has signed.
    #[serde(deserialize_with = "nullable")]
    pub issuer_account: String,
}

impl Body for ActivationBody {
    const KIND: &'static str = "activation";
    const ISSUERS: &'static [KeyKind] = &[KeyKind::Account];
    const SUBJECT: KeyKind = KeyKind::Account;

    fn read(nats: &str) -> Result<Self, serde_json::Error> {
        read_body(nats)
    }
}
