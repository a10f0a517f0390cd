//! What a pull request asks for.

use crate::stream::json::{Decoder, Field, JsonError, Value};

/// The body of a pull request. Times are in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PullRequest {
    /// Messages; 0 asks for one and does not count it.
    pub(super) batch: i64,
    /// How long it waits; 0 for ever.
    pub(super) expires: i64,
    /// Bytes at most; 0 for any.
    pub(super) max_bytes: i64,
    /// Only what is there.
    pub(super) no_wait: bool,
    /// How often it wants to hear that the server is there; 0 for never.
    pub(super) idle_heartbeat: i64,
    /// The priority group it is in.
    pub(super) group: Box<[u8]>,
    /// It is served only if that much is pending.
    pub(super) min_pending: i64,
    /// Or if that much waits for acks.
    pub(super) min_ack_pending: i64,
    /// The pin its client was given.
    pub(super) id: Box<[u8]>,
    /// 0 is served first.
    pub(super) priority: i64,
}

impl PullRequest {
    /// Reads the body of a request: nothing, a number, or an object; anything else
    /// asks for one message.
    ///
    /// # Errors
    /// It is a malformed object.
    pub(super) fn parse(body: &[u8]) -> Result<Self, JsonError> {
        let body = body.trim_ascii();
        if !body.starts_with(b"{") {
            let number = std::str::from_utf8(body).ok().and_then(|text| text.parse::<i64>().ok());
            let batch = number.filter(|number| *number > 0).unwrap_or(1);
            return Ok(Self { batch, ..Self::default() });
        }
        let mut request = match Self::parse_plain(body) {
            Some(request) => request,
            None => Self::decode(body)?,
        };
        if request.batch < 0 {
            request.batch = 1;
        }
        Ok(request)
    }

    /// Reads an object as clients write it: known keys in lower case, integers, words, strings
    /// without escapes. `None` if it is not of that form.
    fn parse_plain(body: &[u8]) -> Option<Self> {
        let mut request = Self::default();
        let mut rest = body.strip_prefix(b"{")?.trim_ascii_start();
        if let Some(end) = rest.strip_prefix(b"}") {
            return end.is_empty().then_some(request);
        }
        loop {
            let (key, after) = plain_string(rest)?;
            rest = after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
            match key {
                b"no_wait" => {
                    let word: &[u8] = if rest.starts_with(b"true") { b"true" } else { b"false" };
                    request.no_wait = word == b"true";
                    rest = rest.strip_prefix(word)?;
                }
                b"group" | b"id" => {
                    let (text, after) = plain_string(rest)?;
                    let field = if key == b"id" { &mut request.id } else { &mut request.group };
                    *field = text.into();
                    rest = after;
                }
                _ => {
                    let field = match key {
                        b"batch" => &mut request.batch,
                        b"expires" => &mut request.expires,
                        b"max_bytes" => &mut request.max_bytes,
                        b"idle_heartbeat" => &mut request.idle_heartbeat,
                        b"min_pending" => &mut request.min_pending,
                        b"min_ack_pending" => &mut request.min_ack_pending,
                        b"priority" => &mut request.priority,
                        _ => return None,
                    };
                    let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    let (digits, after) = rest.split_at_checked(len)?;
                    if digits.len() > 1 && digits.starts_with(b"0") {
                        return None;
                    }
                    *field = i64::try_from(super::ack::parse_number(digits)?).ok()?;
                    rest = after;
                }
            }
            rest = rest.trim_ascii_start();
            if let Some(after) = rest.strip_prefix(b",") {
                rest = after.trim_ascii_start();
            } else {
                return (rest == b"}").then_some(request);
            }
        }
    }

    fn decode(body: &[u8]) -> Result<Self, JsonError> {
        let mut request = Self::default();
        let mut group = String::new();
        let mut id = String::new();
        let read = Decoder::request(body, "", false, |decoder, key, value| {
            request.decode_field(decoder, key, value, &mut group, &mut id)
        });
        request.group = group.into_bytes().into();
        request.id = id.into_bytes().into();
        read.map(|()| request).map_err(without_offset)
    }

    fn decode_field(
        &mut self,
        decoder: &mut Decoder,
        key: &str,
        value: &Value<'_>,
        group: &mut String,
        id: &mut String,
    ) -> Result<Field, JsonError> {
        match key {
            "batch" => decoder.int(value, "int", &mut self.batch),
            "expires" => decoder.duration(value, &mut self.expires),
            "max_bytes" => decoder.int(value, "int", &mut self.max_bytes),
            "no_wait" => decoder.bool(value, &mut self.no_wait),
            "idle_heartbeat" => decoder.duration(value, &mut self.idle_heartbeat),
            "group" => decoder.string(value, group),
            "min_pending" => decoder.int(value, "int64", &mut self.min_pending),
            "min_ack_pending" => decoder.int(value, "int64", &mut self.min_ack_pending),
            "id" => decoder.string(value, id),
            "priority" => decoder.int(value, "int", &mut self.priority),
            _ => Ok(Field::Unknown),
        }
    }
}

/// A complaint as requests hear it that are not read as a stream of documents.
pub(super) fn without_offset(complaint: JsonError) -> JsonError {
    if complaint.0 == "unexpected EOF" {
        return JsonError(String::from("unexpected end of JSON input"));
    }
    match complaint.0.rsplit_once(" at offset ") {
        Some((text, offset)) if offset.bytes().all(|byte| byte.is_ascii_digit()) => {
            JsonError(text.to_owned())
        }
        _ => complaint,
    }
}

/// A string without escapes, and what follows it.
fn plain_string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let end = text.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f | 0x80..))?;
    let (inside, rest) = text.split_at_checked(end)?;
    Some((inside, rest.strip_prefix(b"\"")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> PullRequest {
        PullRequest::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_request_is_a_number_or_an_object() {
        for (body, batch) in
            [("", 1), ("7", 7), ("-3", 1), ("foo", 1), ("{}", 0), ("{\"batch\":-5}", 1)]
        {
            assert_eq!(parse(body).batch, batch, "{body}");
        }
        let text = r#" {"batch": 2,"expires":30,"max_bytes":4,"no_wait":true,"idle_heartbeat":5,"group":"g","min_pending":6,"min_ack_pending":7,"id":"x","priority":8}"#;
        let expected = PullRequest {
            batch: 2,
            expires: 30,
            max_bytes: 4,
            no_wait: true,
            idle_heartbeat: 5,
            group: b"g"[..].into(),
            min_pending: 6,
            min_ack_pending: 7,
            id: b"x"[..].into(),
            priority: 8,
        };
        assert_eq!(parse(text), expected);
        let other = text.replace("\"batch\"", "\"BATCH\"").replace("\"g\"", "\"\\u0067\"");
        assert_eq!(parse(&other), expected);
    }

    #[test]
    fn both_ways_of_reading_agree() {
        for text in [
            r#"{"batch":1,"no_wait":false}"#,
            r#"{"expires":-5}"#,
            r#"{"id":"","group":"a"}"#,
            r#"{"priority":9,"unknown":{"a":[1]}}"#,
        ] {
            if let Some(plain) = PullRequest::parse_plain(text.as_bytes()) {
                assert_eq!(plain, PullRequest::decode(text.as_bytes()).unwrap(), "{text}");
            }
            assert!(PullRequest::parse(text.as_bytes()).is_ok(), "{text}");
        }
    }

    /// Goal: the words of nats-server 2.15.1. Method: recorded from it.
    #[test]
    fn complaints_are_those_of_the_server() {
        for (body, expected) in [
            ("  {bad", "invalid character 'b' looking for beginning of object key string"),
            (r#"{"batch":1"#, "unexpected end of JSON input"),
            (
                r#"{"batch":"x"}"#,
                "json: cannot unmarshal string into Go struct field .batch of type int",
            ),
            (
                r#"{"batch":1.5}"#,
                "json: cannot unmarshal number 1.5 into Go struct field .batch of type int",
            ),
        ] {
            assert_eq!(PullRequest::parse(body.as_bytes()).unwrap_err().0, expected, "{body}");
        }
    }
}
