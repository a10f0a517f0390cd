//! The part of a URL behind the question mark, read as Go reads it.

use thiserror::Error;

/// Why a page is not shown: the text of a 400.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum BadRequest {
    #[error(
        "Error decoding {kind} for '{name}': strconv.{function}: parsing {value:?}: {problem}"
    )]
    Value {
        kind: &'static str,
        function: &'static str,
        name: &'static str,
        value: String,
        problem: &'static str,
    },
    #[error("Error decoding state for {0}")]
    State(String),
    #[error("invalid sorting option: {0}")]
    Sort(String),
    #[error("sort by {0} only valid on closed connections")]
    SortClosedOnly(&'static str),
    #[error("invalid test subject, must be valid publish subject: {0}")]
    TestSubject(String),
    #[error("Account {0} does not exist")]
    Account(String),
}

/// The parameters of a request. Of one given twice the first counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

/// Whether and how a page lists subscriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Subscriptions {
    #[default]
    No,
    Names,
    Detail,
}

impl Query {
    /// Pairs that cannot be decoded, or hold a semicolon, are left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let (Some(name), Some(value)) = (unescape(name, true), unescape(value, true)) {
                pairs.push((name, value));
            }
        }
        Self { pairs }
    }

    /// Parameters that are decoded already.
    pub(super) fn of(pairs: Vec<(String, String)>) -> Self {
        Self { pairs }
    }

    /// Gives a parameter a value, whatever it had.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.pairs.retain(|(given, _)| given != name);
        self.pairs.push((name.to_owned(), value.to_owned()));
    }

    /// The value of a parameter; empty if it is missing.
    pub(super) fn text(&self, name: &str) -> &str {
        let found = self.pairs.iter().find(|(given, _)| given == name);
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn boolean(&self, name: &'static str) -> Result<bool, BadRequest> {
        match self.text(name) {
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            other => Err(bad("boolean", "ParseBool", name, other, SYNTAX)),
        }
    }

    pub(super) fn integer(&self, name: &'static str) -> Result<i64, BadRequest> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(0);
        }
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let problem = if is_number(digits) { RANGE } else { SYNTAX };
        text.parse().map_err(|_| bad("int", "Atoi", name, text, problem))
    }

    pub(super) fn unsigned(&self, name: &'static str) -> Result<u64, BadRequest> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(0);
        }
        let problem = if is_number(text) { RANGE } else { SYNTAX };
        let plain = is_number(text).then(|| text.parse().ok()).flatten();
        plain.ok_or_else(|| bad("uint64", "ParseUint", name, text, problem))
    }

    /// `subs`: a boolean, or `detail` in any case.
    pub(super) fn subscriptions(&self) -> Result<Subscriptions, BadRequest> {
        if self.text("subs").eq_ignore_ascii_case("detail") {
            return Ok(Subscriptions::Detail);
        }
        Ok(if self.boolean("subs")? { Subscriptions::Names } else { Subscriptions::No })
    }

    /// `offset` and `limit`, with what they mean when they are out of range.
    pub(super) fn page(&self) -> Result<Page, BadRequest> {
        let offset = usize::try_from(self.integer("offset")?).unwrap_or(0);
        let limit = usize::try_from(self.integer("limit")?).unwrap_or(0);
        Ok(Page { offset, limit: if limit == 0 { LIMIT_DEFAULT } else { limit } })
    }
}

/// Which part of a list is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) offset: usize,
    /// `1..`
    pub(super) limit: usize,
}

impl Page {
    /// Keeps the part of a list that is shown.
    pub(super) fn cut<T>(self, list: &mut Vec<T>) {
        list.drain(..self.offset.min(list.len()));
        list.truncate(self.limit);
    }
}

/// Undoes percent encoding; `None` if it is broken.
pub(super) fn unescape(text: &str, plus_is_blank: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus_is_blank => b' ',
            other => other,
        });
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn bad(
    kind: &'static str,
    function: &'static str,
    name: &'static str,
    value: &str,
    problem: &'static str,
) -> BadRequest {
    BadRequest::Value { kind, function, name, value: value.to_owned(), problem }
}

const SYNTAX: &str = "invalid syntax";
const RANGE: &str = "value out of range";

/// Entries of a page when nobody says.
const LIMIT_DEFAULT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_go_reads_them() {
        let query = Query::parse("limit=%31&x&a=b+c&limit=9&bad=%zz&semi=1;2&subs=DETAIL");
        assert_eq!(query.integer("limit"), Ok(1));
        assert_eq!(query.text("a"), "b c");
        assert_eq!((query.text("bad"), query.text("semi"), query.text("x")), ("", "", ""));
        assert_eq!(query.subscriptions(), Ok(Subscriptions::Detail));
        let page = Query::parse("limit=-1&offset=-5").page().unwrap();
        assert_eq!((page.offset, page.limit), (0, 1024));
        assert_eq!(Query::parse("limit=&limit=x").page().unwrap().limit, 1024);
    }

    #[test]
    fn bad_values_are_told_in_gos_words() {
        let query = Query::parse("limit=x&offset=99999999999999999999999&auth=yes&cid=-1");
        for (result, text) in [
            (
                query.integer("limit").map(|_| ()),
                "Error decoding int for 'limit': strconv.Atoi: parsing \"x\": invalid syntax",
            ),
            (
                query.integer("offset").map(|_| ()),
                "Error decoding int for 'offset': strconv.Atoi: parsing \
                 \"99999999999999999999999\": value out of range",
            ),
            (
                query.boolean("auth").map(|_| ()),
                "Error decoding boolean for 'auth': strconv.ParseBool: parsing \"yes\": invalid syntax",
            ),
            (
                query.unsigned("cid").map(|_| ()),
                "Error decoding uint64 for 'cid': strconv.ParseUint: parsing \"-1\": invalid syntax",
            ),
        ] {
            assert_eq!(result.unwrap_err().to_string(), text);
        }
    }
}
