//! `/healthz`: whether the server does what it is there for.

use serde::{Deserialize, Serialize};

use super::jetstream::{AccountDetail, JetStreamAsk, JetStreamSnapshot};
use super::query::{BadRequest, Query};

/// What is to be checked.
#[derive(Clone, Debug, Default)]
pub(super) struct HealthzOptions {
    account: String,
    stream: String,
    consumer: String,
    details: bool,
    /// JetStream is not looked at.
    server_only: bool,
    /// Whether JetStream is there is all that is asked of it.
    enabled_only: bool,
}

impl HealthzOptions {
    pub(super) fn parse(query: &Query) -> Result<Self, BadRequest> {
        // The old name of the other.
        let enabled = query.boolean("js-enabled")?;
        let enabled_only = enabled || query.boolean("js-enabled-only")?;
        let server_only = query.boolean("js-server-only")?;
        // Who leads a cluster's streams: here nobody has to.
        query.boolean("js-meta-only")?;
        Ok(Self {
            account: query.text("account").to_owned(),
            stream: query.text("stream").to_owned(),
            consumer: query.text("consumer").to_owned(),
            details: query.boolean("details")?,
            server_only,
            enabled_only,
        })
    }

    /// What is to be asked of the shard that has JetStream; `None` if nothing is.
    pub(super) fn ask(&self) -> Option<JetStreamAsk> {
        (!self.server_only).then(|| JetStreamAsk {
            accounts: !self.account.is_empty() && !self.enabled_only,
            account: self.account.clone(),
            streams: !self.account.is_empty(),
            consumers: !self.consumer.is_empty(),
            config: false,
        })
    }
}

/// What JetStream says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum JetStreamState<'a> {
    /// It is not configured, or not asked.
    Unasked,
    /// It should be there and does not answer.
    Silent,
    On(&'a JetStreamSnapshot),
}

/// The verdict, and the page.
#[derive(Debug, Serialize)]
pub(super) struct Healthz {
    status: &'static str,
    /// For the system account, whose answers have no status of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Problem>,
    #[serde(skip)]
    pub(super) http_status: u16,
}

impl Healthz {
    fn of(status: &'static str, http_status: u16) -> Self {
        Self { status, status_code: None, error: None, errors: Vec::new(), http_status }
    }
}

/// What is amiss.
#[derive(Debug, Default, Serialize)]
struct Problem {
    r#type: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    account: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    stream: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    consumer: String,
    error: String,
    #[serde(skip)]
    http_status: u16,
    /// In the place of `error` if no details are asked for.
    #[serde(skip)]
    status: &'static str,
}

/// Checks; `accepting` says whether clients can connect.
pub(super) fn healthz(
    options: &HealthzOptions,
    accepting: bool,
    jetstream: JetStreamState<'_>,
) -> Healthz {
    let problem = of_server(options, accepting).or_else(|| of_jetstream(options, jetstream));
    let Some(problem) = problem else {
        return Healthz::of("ok", 200);
    };
    let http_status = problem.http_status;
    if options.details {
        return Healthz { errors: vec![problem], ..Healthz::of("error", http_status) };
    }
    let Problem { status, error, .. } = problem;
    Healthz { error: Some(error), ..Healthz::of(status, http_status) }
}

fn of_server(options: &HealthzOptions, accepting: bool) -> Option<Problem> {
    let is_ill = |http_status, kind, error: &str| {
        let error = error.to_owned();
        Some(Problem { r#type: kind, error, http_status, status: "error", ..Problem::default() })
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
    None
}

fn of_jetstream(options: &HealthzOptions, state: JetStreamState<'_>) -> Option<Problem> {
    let snapshot = match state {
        JetStreamState::Unasked => return None,
        JetStreamState::Silent => {
            return Some(Problem {
                r#type: "JETSTREAM",
                error: "JetStream system temporarily unavailable".to_owned(),
                http_status: 503,
                status: "unavailable",
                ..Problem::default()
            })
        }
        JetStreamState::On(snapshot) => snapshot,
    };
    let HealthzOptions { account, stream, consumer, .. } = options;
    if options.enabled_only || account.is_empty() {
        return None;
    }
    let missing = |kind, stream: &str, consumer: &str, error| {
        Some(Problem {
            r#type: kind,
            account: account.clone(),
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
            error,
            http_status: 404,
            status: "unavailable",
        })
    };
    let found = snapshot.details.iter().find(|detail| detail.name == *account);
    let streams = found.map(streams).unwrap_or_default();
    // An account is known by its streams: nats-server looks for its folder.
    if streams.is_empty() {
        let error = format!("JetStream account \"{account}\" not found");
        return missing("ACCOUNT", "", "", error);
    }
    if stream.is_empty() {
        return None;
    }
    let Some(found) = streams.into_iter().find(|given| given.name == *stream) else {
        let error = format!("JetStream stream \"{stream}\" not found on account \"{account}\"");
        return missing("STREAM", stream, "", error);
    };
    if consumer.is_empty() || found.consumer_detail.iter().any(|given| given.name == *consumer) {
        return None;
    }
    let error = format!(
        "JetStream consumer \"{consumer}\" not found for stream \"{stream}\" on account \
         \"{account}\""
    );
    missing("CONSUMER", stream, consumer, error)
}

/// A stream as `/jsz` tells it, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Stream {
    name: String,
    #[serde(default)]
    consumer_detail: Vec<Consumer>,
}

#[derive(Debug, Deserialize)]
struct Consumer {
    name: String,
}

fn streams(account: &AccountDetail) -> Vec<Stream> {
    let detail = account.stream_detail.as_ref();
    detail.and_then(|text| serde_json::from_str(text.get()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::monitor::json;
    use crate::monitor::ApiFigures;

    fn options(query: &str) -> HealthzOptions {
        HealthzOptions::parse(&Query::parse(query)).unwrap()
    }

    #[track_caller]
    fn check(query: &str, accepting: bool, http_status: u16, text: &str) {
        let page = healthz(&options(query), accepting, JetStreamState::Unasked);
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

    fn snapshot() -> JetStreamSnapshot {
        let streams = r#"[{"name":"S","consumer_detail":[{"name":"D"}]},{"name":"T"}]"#;
        let account = |name: &str, streams: &str| AccountDetail {
            name: name.to_owned(),
            id: name.to_owned(),
            memory: 0,
            storage: 0,
            reserved_memory: 0,
            reserved_storage: 0,
            accounts: 0,
            ha_assets: 0,
            api: ApiFigures::default(),
            stream_detail: RawValue::from_string(streams.to_owned()).ok(),
        };
        let details = vec![account("A", streams), account("C", "[]")];
        JetStreamSnapshot { details, ..JetStreamSnapshot::default() }
    }

    // Every row was asked of nats-server 2.15.1.
    #[test]
    fn accounts_streams_and_consumers_are_looked_for() {
        let snapshot = snapshot();
        for (query, status, text) in [
            ("", 200, r#"{"status":"ok"}"#),
            ("account=A", 200, r#"{"status":"ok"}"#),
            ("account=A&stream=S&consumer=D", 200, r#"{"status":"ok"}"#),
            ("js-enabled-only=1&account=NOPE", 200, r#"{"status":"ok"}"#),
            (
                "account=C",
                404,
                r#"{"status":"unavailable","error":"JetStream account \"C\" not found"}"#,
            ),
            (
                "js-meta-only=1&account=NOPE&stream=S&consumer=X&details=1",
                404,
                r#"{"status":"error","errors":[{"type":"ACCOUNT","account":"NOPE","error":"JetStream account \"NOPE\" not found"}]}"#,
            ),
            (
                "account=A&stream=NO&details=1",
                404,
                r#"{"status":"error","errors":[{"type":"STREAM","account":"A","stream":"NO","error":"JetStream stream \"NO\" not found on account \"A\""}]}"#,
            ),
            (
                "account=A&stream=T&consumer=D",
                404,
                r#"{"status":"unavailable","error":"JetStream consumer \"D\" not found for stream \"T\" on account \"A\""}"#,
            ),
            (
                "account=A&stream=S&consumer=NO&details=1",
                404,
                r#"{"status":"error","errors":[{"type":"CONSUMER","account":"A","stream":"S","consumer":"NO","error":"JetStream consumer \"NO\" not found for stream \"S\" on account \"A\""}]}"#,
            ),
        ] {
            let page = healthz(&options(query), true, JetStreamState::On(&snapshot));
            let given = String::from_utf8(json::compact(&page)).unwrap();
            assert_eq!((page.http_status, given.as_str()), (status, text), "{query}");
        }
    }

    #[test]
    fn a_silent_jetstream_is_ill_unless_nobody_asks_for_it() {
        let page = healthz(&options(""), true, JetStreamState::Silent);
        assert_eq!((page.http_status, page.status), (503, "unavailable"));
        assert!(options("js-server-only=1").ask().is_none());
        let ask = options("account=A&stream=S").ask().unwrap();
        assert!(ask.accounts && ask.streams && !ask.consumers);
        assert!(!options("").ask().unwrap().accounts);
    }
}
