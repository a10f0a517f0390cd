//! `/healthz`: whether the server does what it is there for.

use serde::Serialize;

use super::query::{BadRequest, Query};

/// What is to be checked.
#[derive(Clone, Debug, Default)]
pub(super) struct HealthzOptions {
    account: String,
    stream: String,
    consumer: String,
    details: bool,
}

impl HealthzOptions {
    pub(super) fn parse(query: &Query) -> Result<Self, BadRequest> {
        for switch in ["js-enabled", "js-enabled-only", "js-server-only", "js-meta-only"] {
            // Without JetStream none of these finds anything amiss.
            query.boolean(switch)?;
        }
        Ok(Self {
            account: query.text("account").to_owned(),
            stream: query.text("stream").to_owned(),
            consumer: query.text("consumer").to_owned(),
            details: query.boolean("details")?,
        })
    }
}

/// The verdict, and the page.
#[derive(Debug, Serialize)]
pub(super) struct Healthz {
    status: &'static str,
    /// For the system account, whose answers have no status of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Problem>,
    #[serde(skip)]
    pub(super) http_status: u16,
}

#[derive(Debug, Serialize)]
struct Problem {
    r#type: &'static str,
    error: &'static str,
}

/// Checks; `accepting` says whether clients can connect.
pub(super) fn healthz(options: &HealthzOptions, accepting: bool) -> Healthz {
    let is_ill = |http_status, kind, error| Healthz {
        status: "error",
        status_code: None,
        error: (!options.details).then_some(error),
        errors: if options.details { vec![Problem { r#type: kind, error }] } else { Vec::new() },
        http_status,
    };
    if !accepting {
        let error = "failed to be ready for connections after 1ms: server";
        return is_ill(500, "CONNECTION", error);
    }
    if options.account.is_empty() && !options.stream.is_empty() {
        let error = "\"account\" must not be empty when checking stream health";
        return is_ill(400, "BAD_REQUEST", error);
    }
    if options.stream.is_empty() && !options.consumer.is_empty() {
        let error = "\"stream\" must not be empty when checking consumer health";
        return is_ill(400, "BAD_REQUEST", error);
    }
    Healthz { status: "ok", status_code: None, error: None, errors: Vec::new(), http_status: 200 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::json;

    #[track_caller]
    fn check(query: &str, accepting: bool, http_status: u16, text: &str) {
        let options = HealthzOptions::parse(&Query::parse(query)).unwrap();
        let page = healthz(&options, accepting);
        assert_eq!(page.http_status, http_status);
        assert_eq!(String::from_utf8(json::compact(&page)).unwrap(), text);
    }

    #[test]
    fn verdicts_are_those_of_nats_server() {
        check("", true, 200, r#"{"status":"ok"}"#);
        check("js-enabled-only=1&details=1&account=x", true, 200, r#"{"status":"ok"}"#);
        check(
            "",
            false,
            500,
            r#"{"status":"error","error":"failed to be ready for connections after 1ms: server"}"#,
        );
        check(
            "stream=foo&details=1",
            true,
            400,
            r#"{"status":"error","errors":[{"type":"BAD_REQUEST","error":"\"account\" must not be empty when checking stream health"}]}"#,
        );
        check(
            "consumer=y",
            true,
            400,
            r#"{"status":"error","error":"\"stream\" must not be empty when checking consumer health"}"#,
        );
        assert!(HealthzOptions::parse(&Query::parse("js-enabled-only=x")).is_err());
    }
}
