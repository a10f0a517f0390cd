//! What makes an account's token void though its operator has signed it: imports and exports that
//! mean nothing, or more of them than it may have. Rules and texts are nats-server's.

use super::account_claims::{AccountBody, ExportClaim, ImportClaim, LatencyClaim, TradeKind};
use super::activation::ActivationToken;
use super::claims::Claims;
use crate::subject::{covers, has_wildcard, is_valid_pattern, tokens};

impl Claims<AccountBody> {
    /// What is wrong with the account, one sentence each; nothing if it may be used.
    pub fn issues(&self) -> Vec<String> {
        let mut issues = Vec::new();
        let AccountBody { imports, exports, limits, .. } = &self.body;
        let is_over = |count: usize, limit: i64| {
            usize::try_from(limit).is_ok_and(|limit| count > limit) && count > 0
        };
        for (what, count, limit) in
            [("imports", imports.len(), limits.imports), ("exports", exports.len(), limits.exports)]
        {
            if is_over(count, limit) {
                let text = format!("the account contains more {what} than allowed by the operator");
                issues.push(text);
            }
        }
        for (index, export) in exports.iter().enumerate() {
            export.check(&mut issues);
            let known = exports.iter().take(index).filter(|known| known.kind == export.kind);
            issues.extend(known.filter_map(|known| overlap(known, export)));
        }
        for (index, import) in imports.iter().enumerate() {
            import.check(&self.subject, &mut issues);
            let known = imports.iter().take(index).filter(|known| {
                let is_service = |claim: &ImportClaim| claim.kind == Some(TradeKind::Service);
                is_service(known) && is_service(import) && known.account == import.account
            });
            issues.extend(known.filter_map(|known| clash(known, import)));
        }
        issues
    }
}

/// Two exports of which one is part of the other.
fn overlap(known: &ExportClaim, export: &ExportClaim) -> Option<String> {
    let (one, other) = (known.subject.as_bytes(), export.subject.as_bytes());
    let (wide, narrow) = match (covers(one, other), covers(other, one)) {
        (true, _) => (known, export),
        (false, true) => (export, known),
        (false, false) => return None,
    };
    let kind = export.kind.map_or("", TradeKind::as_str);
    Some(format!("{kind} export subject {:?} already exports {:?}", wide.subject, narrow.subject))
}

/// Two services of one account, asked under subjects of which one is part of the other.
fn clash(known: &ImportClaim, import: &ImportClaim) -> Option<String> {
    let (one, other) = (known.local(), import.local());
    let is_part =
        covers(one.as_bytes(), other.as_bytes()) || covers(other.as_bytes(), one.as_bytes());
    is_part.then(|| {
        let account = &import.account;
        format!(
            "overlapping subject namespace for {other:?} and {one:?} in same account {account:?}"
        )
    })
}

impl ExportClaim {
    fn check(&self, issues: &mut Vec<String>) {
        check_subject(&self.subject, issues);
        let mut refuse = |is_wrong: bool, text: &str| {
            if is_wrong {
                issues.push(text.to_owned());
            }
        };
        let response = &self.response_type;
        match self.kind {
            None => refuse(true, "invalid export type: \"unknown\""),
            Some(TradeKind::Service) => {
                let is_known = matches!(&**response, "" | "Singleton" | "Stream" | "Chunked");
                refuse(!is_known, &format!("invalid response type for service: {response:?}"));
                let is_negative = self.response_threshold < 0;
                refuse(is_negative, "negative response threshold is invalid");
            }
            Some(TradeKind::Stream) => {
                let text = format!("invalid response type for stream: {response:?}");
                refuse(!response.is_empty(), &text);
                let has_latency = self.service_latency.is_some();
                refuse(has_latency, "latency tracking only permitted for services");
                let has_threshold = self.response_threshold != 0;
                refuse(has_threshold, "response threshold only valid for services");
                refuse(self.allow_trace, "AllowTrace only valid for service export");
            }
        }
        if let Some(latency) = &self.service_latency {
            latency.check(issues);
        }
        self.check_position(issues);
    }

    /// The token of the importer must be there, and may be anything.
    fn check_position(&self, issues: &mut Vec<String>) {
        let (position, subject) = (self.account_token_position, &self.subject);
        let Some(place) = position.checked_sub(1) else { return };
        let token = tokens(subject.as_bytes()).nth(usize::try_from(place).unwrap_or(usize::MAX));
        let what = "Account Token Position";
        if !has_wildcard(subject.as_bytes()) {
            issues.push(format!("{what} can only be used with wildcard subjects: {subject}"));
            return;
        }
        match token {
            Some(b"*") => {}
            Some(token) => issues.push(format!(
                "{what} {position} matches '{}' but must match a * in: {subject}",
                String::from_utf8_lossy(token)
            )),
            None => issues.push(format!("{what} {position} exceeds length of subject '{subject}'")),
        }
    }
}

impl LatencyClaim {
    fn check(&self, issues: &mut Vec<String>) {
        if self.sampling().is_none() {
            issues.push("sampling percentage needs to be between 1-100".to_owned());
        }
        check_subject(&self.results, issues);
        if has_wildcard(self.results.as_bytes()) {
            issues.push("results subject can not contain wildcards".to_owned());
        }
    }
}

impl ImportClaim {
    fn check(&self, importer: &str, issues: &mut Vec<String>) {
        if self.account.is_empty() {
            issues.push("account to import from is not specified".to_owned());
        }
        check_subject(&self.subject, issues);
        if !self.local_subject.is_empty() {
            check_subject(&self.local_subject, issues);
            self.check_wildcards(issues);
            if !self.to.is_empty() {
                issues.push("Local Subject replaces To".to_owned());
            }
        }
        let subject = &self.subject;
        match self.kind {
            None => issues.push("invalid import type: \"unknown\"".to_owned()),
            Some(TradeKind::Stream) if self.share => issues.push(format!(
                "sharing information (for latency tracking) is only valid for services: {subject:?}"
            )),
            Some(TradeKind::Service) if self.allow_trace => {
                issues.push("AllowTrace only valid for stream import".to_owned());
            }
            _ => {}
        }
        if !self.token.is_empty() && !self.names_token() {
            issues.extend(self.check_token(importer));
        }
    }

    /// The local subject has a place for every wildcard.
    fn check_wildcards(&self, issues: &mut Vec<String>) {
        let stars = |text: &str| text.split('.').filter(|token| *token == "*").count();
        let wanted = stars(&self.subject);
        let mut given = stars(&self.local_subject);
        for token in self.local_subject.split('.') {
            let Some(number) = token.strip_prefix('$').and_then(|it| it.parse::<usize>().ok())
            else {
                continue;
            };
            if (1..=wanted).contains(&number) {
                given += 1;
                continue;
            }
            let (local, subject) = (&self.local_subject, &self.subject);
            issues.push(format!(
                "Reference {token} in {local:?} reference * in {subject:?} that do not exist"
            ));
        }
        if given != wanted {
            let text = "subject does not contain enough * or reference wildcards $[0-9]";
            issues.push(text.to_owned());
        }
    }

    /// What is wrong with the activation token, whoever the exporter's keys are and whatever time
    /// it is.
    fn check_token(&self, importer: &str) -> Option<String> {
        let Self { subject, account, .. } = self;
        let Ok(token) = ActivationToken::decode(&self.token).and_then(ActivationToken::verify)
        else {
            return Some(format!("import {subject:?} contains an invalid activation token"));
        };
        if token.issuer != *account && token.body.issuer_account != *account {
            return Some(format!("activation token doesn't match account for import {subject:?}"));
        }
        if token.subject != importer {
            let text = "activation token doesn't match account it is being included in";
            return Some(format!("{text}, {subject:?}"));
        }
        if token.body.kind != self.kind {
            let name = |kind: Option<TradeKind>| kind.map_or("unknown", TradeKind::as_str);
            let (of_token, own) = (name(token.body.kind), name(self.kind));
            return Some(format!(
                "mismatch between token import type {of_token} and type of import {own}"
            ));
        }
        let (granted, wanted) = (&token.body.subject, self.remote());
        (!covers(granted.as_bytes(), wanted.as_bytes())).then(|| {
            format!("activation token import subject {granted:?} doesn't match import {wanted:?}")
        })
    }
}

fn check_subject(subject: &str, issues: &mut Vec<String>) {
    if is_valid_pattern(subject.as_bytes()) && !subject.contains(' ') {
        return;
    }
    issues.push(if subject.is_empty() {
        "subject cannot be empty".to_owned()
    } else if subject.starts_with('.') || subject.ends_with('.') {
        format!("subject {subject:?} cannot start or end with a `.`")
    } else if subject.contains("..") {
        format!("subject {subject:?} cannot contain consecutive `.`")
    } else {
        format!("subject {subject:?} is not valid")
    });
}
