//! What an account is and what it shares with others, as `/accountz` shows it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::json::is_false;

/// The accounts of a moment, and one of them.
#[derive(Debug, Default)]
pub struct AccountsCard {
    /// Names of all.
    pub names: Vec<String>,
    /// The one that was asked for, if it is there.
    pub account: Option<Box<AccountCard>>,
}

/// One account.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AccountCard {
    /// Its token is void by now.
    #[serde(skip)]
    pub expired: bool,
    /// It may use JetStream.
    #[serde(skip)]
    pub jetstream: bool,
    /// Subjects that become others, and what they become.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mappings: BTreeMap<String, Vec<MappedTo>>,
    /// What it offers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<ExportCard>,
    /// What it takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<ImportCard>,
    /// Its token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jwt: String,
    /// The key that has signed its token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer_key: String,
    /// Its name for people; its name, if it has no other.
    pub name_tag: String,
    /// Its tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What its token claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoded_jwt: Option<Box<RawValue>>,
    /// Users whose tokens of before a time are void.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub revoked_user: BTreeMap<String, String>,
}

/// What a subject becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MappedTo {
    /// The other subject.
    pub subject: String,
    /// It does for numbers of a hundred below this, and not below that of the one before.
    pub weight: u64,
}

/// One export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExportCard {
    /// What is offered.
    pub subject: String,
    /// `stream` or `service`.
    pub r#type: &'static str,
    /// Importers need a token.
    #[serde(skip_serializing_if = "is_false")]
    pub token_req: bool,
    /// Of a service: how many messages are an answer.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub response_type: &'static str,
    /// Of a service: where the time it takes is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_latency: Option<LatencyCard>,
    /// Importers whose tokens of before a time are void.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub revoked_activations: BTreeMap<String, String>,
    /// To whom it is offered, if not to all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approved_accounts: Vec<String>,
}

/// One import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportCard {
    /// The exporter's subject.
    pub subject: String,
    /// The exporter.
    pub account: String,
    /// Of a service: the own subject.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// The own subject.
    pub local_subject: String,
    /// `stream` or `service`.
    pub r#type: &'static str,
    /// It does not work.
    pub invalid: bool,
    /// The exporter hears more of who asks.
    pub share: bool,
    /// The importer hears of the time it takes.
    pub tracking: bool,
    /// Of a service: where the time it takes is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyCard>,
}

/// Where the time that a service takes is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LatencyCard {
    /// Of which requests.
    pub sampling: SamplingCard,
    /// The subject.
    pub results: String,
}

/// Of which requests it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SamplingCard {
    /// So many of a hundred.
    Percent(u8),
    /// `headers`: of those that ask for it with them.
    Word(&'static str),
}

impl AccountCard {
    /// Adds what every account offers and takes without saying so.
    pub(super) fn with_builtin(mut self, account: &str, system: &str, jetstream: bool) -> Self {
        let of_system = |subject: String, local: &str, share: bool| ImportCard {
            subject,
            account: system.to_owned(),
            to: local.to_owned(),
            local_subject: local.to_owned(),
            r#type: "service",
            share,
            ..ImportCard::default()
        };
        if system.is_empty() {
            return self;
        }
        let user_info = format!("$SYS.REQ.USER.{account}.INFO");
        if account == system {
            let offers = [
                ("$JS.API.>", "Singleton"),
                ("$SYS.REQ.ACCOUNT.*.CONNZ", "Streamed"),
                ("$SYS.REQ.ACCOUNT.*.STATZ", "Streamed"),
                ("$SYS.DEBUG.SUBSCRIBERS", "Singleton"),
                ("$SYS.REQ.USER.*.INFO", "Singleton"),
            ];
            let offers = offers.into_iter().skip(usize::from(!jetstream));
            self.exports.extend(offers.map(|(subject, response_type)| ExportCard {
                subject: subject.to_owned(),
                r#type: "service",
                response_type,
                ..ExportCard::default()
            }));
        } else {
            let connz = format!("$SYS.REQ.ACCOUNT.{account}.CONNZ");
            let statz = format!("$SYS.REQ.ACCOUNT.{account}.STATZ");
            self.imports.extend([
                of_system(connz.clone(), "$SYS.REQ.ACCOUNT.PING.CONNZ", false),
                of_system(connz, "$SYS.REQ.SERVER.PING.CONNZ", false),
                of_system(statz, "$SYS.REQ.ACCOUNT.PING.STATZ", false),
            ]);
            if jetstream {
                self.imports.push(of_system("$JS.API.>".to_owned(), "$JS.API.>", true));
            }
        }
        self.imports.push(of_system(user_info, "$SYS.REQ.USER.INFO", true));
        self
    }
}
