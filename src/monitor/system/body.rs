//! What the body of a request asks for: options of a page, and which servers are meant.

use serde_json::{Map, Value};

use super::super::query::Query;
use super::server_card::ServerCard;

/// A body, read.
#[derive(Debug, Default)]
pub(super) struct Body {
    options: Map<String, Value>,
}

impl Body {
    /// Reads a body; an empty one is an empty object.
    ///
    /// # Errors
    /// What is wrong with it, nearly in Go's words.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(options)) => Ok(Self { options }),
            Ok(Value::Null) => Ok(Self::default()),
            Ok(other) => Err(format!("json: cannot unmarshal {} into Go value", kind_of(&other))),
            Err(error) if error.is_eof() => Err("unexpected end of JSON input".to_owned()),
            Err(error) => {
                let at = error.column().saturating_sub(1);
                let found = char::from(bytes.get(at).copied().unwrap_or(b'?'));
                let start = bytes.trim_ascii_start();
                let begins = start.first().is_some_and(|byte| b"{[\"tfn-0123456789".contains(byte));
                let place = if begins { "in JSON input" } else { "looking for beginning of value" };
                Err(format!("invalid character '{found}' {place}"))
            }
        }
    }

    /// Whether this server is among those that are meant.
    pub(super) fn means(&self, server: &ServerCard) -> bool {
        let exact = self.flag("exact_match");
        let fits = |key: &str, own: &str| {
            let wanted = self.text(key);
            wanted.is_empty() || if exact { own == wanted } else { own.contains(wanted) }
        };
        let tags = self.options.get("tags").and_then(Value::as_array);
        fits("server_name", server.name())
            && fits("host", server.host())
            && fits("cluster", server.cluster())
            && (self.text("domain").is_empty() || self.text("domain") == server.domain())
            && tags
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .all(|tag| server.tags().iter().any(|own| own.eq_ignore_ascii_case(tag)))
    }

    pub(super) fn text(&self, key: &str) -> &str {
        self.options.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn number(&self, key: &str) -> u64 {
        self.options.get(key).and_then(Value::as_u64).unwrap_or_default()
    }

    fn flag(&self, key: &str) -> bool {
        self.options.get(key).and_then(Value::as_bool).unwrap_or_default()
    }

    /// The strings of a list.
    pub(super) fn list(&self, key: &str) -> Vec<&str> {
        let items = self.options.get(key).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The options as the page of `path` reads them from a URL.
    pub(super) fn query(&self, path: &str) -> Query {
        let pairs = self.options.iter().filter_map(|(key, value)| {
            let value = match value {
                Value::String(text) if text.is_empty() => return None,
                Value::String(text) => text.clone(),
                Value::Number(number) if key == "state" => match number.as_u64() {
                    Some(1) => "closed".to_owned(),
                    Some(2) => "any".to_owned(),
                    _ => return None,
                },
                Value::Number(number) => number.to_string(),
                Value::Bool(true) if key == "subscriptions_detail" => "detail".to_owned(),
                Value::Bool(true) => "1".to_owned(),
                _ => return None,
            };
            Some((renamed(path, key).to_owned(), value))
        });
        // Details stand before names: of one key given twice the first counts.
        let mut pairs: Vec<(String, String)> = pairs.collect();
        pairs.sort_by_key(|(key, value)| !(key == "subs" && value == "detail"));
        Query::of(pairs)
    }
}

/// The name of an option in a URL.
fn renamed<'k>(path: &str, key: &'k str) -> &'k str {
    match (path, key) {
        ("/connz" | "/subsz" | "/routez" | "/gatewayz" | "/leafz", "subscriptions") => "subs",
        ("/connz" | "/routez" | "/gatewayz", "subscriptions_detail") => "subs",
        ("/subsz" | "/accountz" | "/jsz" | "/leafz", "account") => "acc",
        ("/accstatz", "include_unused") => "unused",
        ("/jsz", "consumer") => "consumers",
        ("/jsz", "leader_only") => "leader-only",
        ("/jsz", "stream_leader_only") => "stream-leader-only",
        ("/jsz", "direct_consumer") => "direct-consumers",
        ("/gatewayz", "accounts") => "accs",
        ("/gatewayz", "account_name") => "acc_name",
        ("/gatewayz", "name") => "gw_name",
        _ => key,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::ServerFacts;

    fn card() -> ServerCard {
        ServerCard::of(&ServerFacts {
            server_name: "alpha-1".to_owned(),
            bind_host: "0.0.0.0".to_owned(),
            tags: vec!["az:eu".to_owned()],
            ..ServerFacts::default()
        })
    }

    #[test]
    fn a_filter_chooses_servers() {
        for (body, means) in [
            ("", true),
            ("{}", true),
            (r#"{"server_name":"alpha"}"#, true),
            (r#"{"server_name":"alpha","exact_match":true}"#, false),
            (r#"{"server_name":"beta"}"#, false),
            (r#"{"host":"0.0"}"#, true),
            (r#"{"cluster":"c"}"#, false),
            (r#"{"tags":["AZ:eu"]}"#, true),
            (r#"{"tags":["az:eu","x"]}"#, false),
            (r#"{"domain":"hub"}"#, false),
        ] {
            assert_eq!(Body::read(body.as_bytes()).unwrap().means(&card()), means, "{body}");
        }
    }

    #[test]
    fn options_become_those_of_the_page() {
        let body = r#"{"subscriptions":true,"subscriptions_detail":true,"state":1,"limit":7,
            "acc":"A","user":"","auth":false}"#;
        let query = Body::read(body.as_bytes()).unwrap().query("/connz");
        assert_eq!(query.text("subs"), "detail");
        assert_eq!((query.text("state"), query.text("limit")), ("closed", "7"));
        assert_eq!((query.text("acc"), query.text("auth")), ("A", ""));
        let query = Body::read(br#"{"account":"A","consumer":true}"#).unwrap().query("/jsz");
        assert_eq!((query.text("acc"), query.text("consumers")), ("A", "1"));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert_eq!(
            Body::read(b"bad").unwrap_err(),
            "invalid character 'b' looking for beginning of value"
        );
        assert_eq!(Body::read(b"{").unwrap_err(), "unexpected end of JSON input");
        assert!(Body::read(b"[]").unwrap_err().contains("array"));
        assert!(Body::read(b"null").is_ok());
    }
}
