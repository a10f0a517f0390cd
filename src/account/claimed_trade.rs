//! What accounts offer to one another and take from each other by their tokens.
//!
//! An account's exports are its own matter. Whether it may have its imports is decided by the
//! exporters' tokens and by the time, so it is decided anew whenever one of them changes.

use super::exports::THRESHOLD;
use super::jwt::{
    AccountBody, ActivationToken, Claims, ExportClaim, ImportClaim, LatencyClaim, TradeKind,
};
use super::{
    Access, AccessOptions, AccountOptions, Activation, Activations, Export, Latency, Offer,
    ResponseType, Terms, Wanted,
};
use std::time::Duration;

/// An import that an account's token speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    is_stream: bool,
    wanted: Wanted,
    /// When the activation begins and ends to hold, in seconds since 1970.
    not_before: Option<i64>,
    expires: Option<i64>,
}

impl Wish {
    fn new(claim: &ImportClaim) -> Option<Self> {
        let is_stream = claim.kind? == TradeKind::Stream;
        // Of streams `to` was a prefix once.
        let prefix = if is_stream { claim.to.clone() } else { String::new() };
        let mut wish = Self {
            is_stream,
            wanted: Wanted {
                exporter: claim.account.clone(),
                subject: claim.remote().to_owned(),
                to: claim.local().to_owned(),
                prefix,
                share: claim.share,
                allow_trace: claim.allow_trace,
                activation: None,
            },
            not_before: None,
            expires: None,
        };
        if claim.token.is_empty() || claim.names_token() {
            return Some(wish);
        }
        // It was verified with the account's token.
        let token = ActivationToken::decode(&claim.token).ok()?.into_unverified();
        (wish.not_before, wish.expires) = (token.not_before, token.expires);
        wish.wanted.activation =
            Some(Activation { issuer: token.issuer, issued_at: token.issued_at });
        Some(wish)
    }

    /// The account it comes from.
    pub fn exporter(&self) -> &str {
        &self.wanted.exporter
    }

    /// What is wanted at a time: without an activation that does not hold.
    fn at(&self, now: i64) -> Wanted {
        let holds = self.not_before.is_none_or(|begin| begin <= now)
            && self.expires.is_none_or(|end| now < end);
        let activation = self.wanted.activation.clone().filter(|_| holds);
        Wanted { activation, ..self.wanted.clone() }
    }
}

impl Claims<AccountBody> {
    pub(super) fn exports(&self) -> Vec<Export> {
        self.body.exports.iter().filter_map(|claim| self.export(claim)).collect()
    }

    pub(super) fn wishes(&self) -> Vec<Wish> {
        self.body.imports.iter().filter_map(Wish::new).collect()
    }

    fn export(&self, claim: &ExportClaim) -> Option<Export> {
        let position = usize::try_from(claim.account_token_position).unwrap_or(usize::MAX);
        let keys = self.body.signing_keys.iter().map(|signing| signing.key.clone());
        Some(Export {
            subject: claim.subject.clone(),
            offer: match claim.kind? {
                TradeKind::Stream => Offer::Stream,
                TradeKind::Service => Offer::Service(claim.terms()),
            },
            access: if position == 0 { Access::Public } else { Access::OwnToken(position) },
            allow_trace: claim.allow_trace,
            activations: claim.token_req.then(|| Activations {
                signers: keys.chain([self.subject.clone()]).collect(),
                revocations: claim.revocations.clone(),
            }),
        })
    }
}

impl ExportClaim {
    fn terms(&self) -> Terms {
        let response = match &*self.response_type {
            "Stream" => ResponseType::Stream,
            "Chunked" => ResponseType::Chunked,
            _ => ResponseType::Singleton,
        };
        let threshold = u64::try_from(self.response_threshold).unwrap_or(0);
        Terms {
            response,
            threshold: if threshold == 0 { THRESHOLD } else { Duration::from_nanos(threshold) },
            // Only answers of one message are measured.
            latency: match response {
                ResponseType::Singleton => {
                    self.service_latency.as_ref().and_then(LatencyClaim::latency)
                }
                ResponseType::Stream | ResponseType::Chunked => None,
            },
        }
    }
}

impl LatencyClaim {
    fn latency(&self) -> Option<Latency> {
        Some(Latency { sampling: self.sampling()?, subject: self.results.clone() })
    }
}

impl AccessOptions {
    /// Lets accounts import what their tokens speak of, as far as they may at `now` (seconds since
    /// 1970). Returns what they may not, in sentences for a log.
    pub fn settle_wishes(&mut self, now: i64) -> Vec<String> {
        let mut refused = Vec::new();
        let wishes: Vec<(String, Vec<Wish>)> = self
            .accounts
            .iter()
            .filter(|account| !account.wishes.is_empty())
            .map(|account| (account.name.clone(), account.wishes.clone()))
            .collect();
        for (importer, wishes) in wishes {
            for wish in wishes {
                let wanted = wish.at(now);
                let imported = match wish.is_stream {
                    true => self.import_stream(&importer, &wanted),
                    false => self.import_service(&importer, &wanted),
                };
                if let Err(error) = imported {
                    let Wanted { exporter, subject, .. } = wanted;
                    refused.push(format!(
                        "Account [{importer}] cannot import {subject:?} of account [{exporter}]: \
                         {error}"
                    ));
                }
            }
        }
        refused
    }
}

impl AccountOptions {
    /// When one of its activations begins or ends to hold next, after `now`.
    pub fn next_activation(&self, now: i64) -> Option<i64> {
        let moments = self.wishes.iter().flat_map(|wish| [wish.not_before, wish.expires]);
        moments.flatten().filter(|&moment| moment > now).min()
    }
}

#[cfg(test)]
#[path = "claimed_trade_tests.rs"]
mod tests;
