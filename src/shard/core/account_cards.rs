//! Accounts as monitoring shows them, from the directory.

use std::collections::BTreeMap;

use super::Core;
use crate::account::jwt::claims_of;
use crate::account::{
    Account, Export, Latency, Mappings, Offer, Sampling, ServiceImport, StreamImport, Trade,
    SYSTEM_ACCOUNT,
};
use crate::monitor::{
    AccountCard, AccountsCard, ExportCard, ImportCard, LatencyCard, MappedTo, SamplingCard,
};
use crate::stream::time::format_time;

impl Core {
    /// The accounts there are, and one of them.
    pub fn accounts_card(&self, name: &str) -> AccountsCard {
        let directory = &self.config.directory;
        let in_operator_mode = directory.trust().is_some();
        let is_there = |account: &Account| {
            let is_placeholder = &*account.name == SYSTEM_ACCOUNT && !account.is_system;
            let is_global = in_operator_mode && &*account.name == crate::account::GLOBAL_ACCOUNT;
            is_global || directory.is_live(account) && !is_placeholder
        };
        let accounts = directory.accounts().iter().filter(|account| is_there(account));
        let found = accounts.clone().find(|account| *account.name == *name);
        AccountsCard {
            names: accounts.map(|account| account.name.to_string()).collect(),
            account: found.map(|account| {
                let now = self.clock.moment(self.now).unix_s;
                let claims = account.claims.as_deref();
                let expired = claims.is_some_and(|claims| !claims.is_valid_at(now));
                Box::new(AccountCard { expired, ..card(account) })
            }),
        }
    }
}

fn card(account: &Account) -> AccountCard {
    let Trade { exports, stream_imports, service_imports, token } = &*account.trade;
    let claims = account.claims.as_deref();
    let streams = stream_imports.iter().map(of_stream);
    let imports = streams.chain(service_imports.iter().map(of_service)).collect();
    let (services, streams): (Vec<_>, Vec<_>) =
        exports.iter().map(export).partition(|export| export.r#type == "service");
    AccountCard {
        expired: false,
        jetstream: account.jetstream.is_some(),
        mappings: mappings(&account.mappings),
        exports: [services, streams].concat(),
        imports,
        jwt: token.as_deref().unwrap_or_default().to_owned(),
        issuer_key: claims.map(|claims| claims.issuer.clone()).unwrap_or_default(),
        name_tag: claims.map_or(&*account.name, |claims| claims.shown_name()).to_owned(),
        tags: claims.map(|claims| claims.tags.clone()).unwrap_or_default(),
        decoded_jwt: token.as_deref().and_then(claims_of),
        revoked_user: claims.map(|claims| times(&claims.body.revocations)).unwrap_or_default(),
    }
}

fn mappings(mappings: &Mappings) -> BTreeMap<String, Vec<MappedTo>> {
    let shown = mappings.shown().map(|(source, targets)| {
        let target = |(subject, weight)| MappedTo { subject, weight };
        (source, targets.into_iter().map(target).collect())
    });
    shown.collect()
}

fn export(export: &Export) -> ExportCard {
    let revocations = export.activations.as_ref().map(|asked| times(&asked.revocations));
    let card = ExportCard {
        subject: export.subject.clone(),
        r#type: "stream",
        token_req: export.activations.is_some(),
        revoked_activations: revocations.unwrap_or_default(),
        approved_accounts: export.accounts().to_vec(),
        ..ExportCard::default()
    };
    match &export.offer {
        Offer::Stream => card,
        Offer::Service(terms) => ExportCard {
            r#type: "service",
            response_type: terms.response.as_str(),
            service_latency: terms.latency.as_ref().map(latency),
            ..card
        },
    }
}

fn of_stream(import: &StreamImport) -> ImportCard {
    ImportCard {
        subject: import.from.clone(),
        account: import.exporter.clone(),
        local_subject: import.to.clone(),
        r#type: "stream",
        ..ImportCard::default()
    }
}

fn of_service(import: &ServiceImport) -> ImportCard {
    ImportCard {
        subject: import.subject.clone(),
        account: import.exporter.clone(),
        to: import.to.clone(),
        local_subject: import.to.clone(),
        r#type: "service",
        share: import.share,
        latency: import.terms.latency.as_ref().map(latency),
        ..ImportCard::default()
    }
}

fn latency(latency: &Latency) -> LatencyCard {
    LatencyCard {
        sampling: match latency.sampling {
            Sampling::Percent(percent) => SamplingCard::Percent(percent),
            Sampling::Headers => SamplingCard::Word("headers"),
        },
        results: latency.subject.clone(),
    }
}

/// Seconds since 1970 as RFC 3339.
fn times(revocations: &BTreeMap<String, i64>) -> BTreeMap<String, String> {
    let time = |&at: &i64| format_time(u64::try_from(at).unwrap_or(0).saturating_mul(NANOS));
    revocations.iter().map(|(name, at)| (name.clone(), time(at))).collect()
}

const NANOS: u64 = 1_000_000_000;
