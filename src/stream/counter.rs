//! Counters: messages whose body is the sum of all increments of their subject.
//!
//! Numbers are decimal texts of any length; the sum of two is one pass over their digits.

use std::collections::BTreeMap;

use super::json::{parse, write_string, Object, Value};
use super::publish_headers::{write_header, PublishHeaders};
use super::shared::Shared;
use super::stream::Stream;
use super::ApiError;
use crate::proto::HeaderBlock;
use crate::store::Message;

/// A whole number of any size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// From the least to the most significant, without zeros at the end; empty is 0.
    digits: Vec<u8>,
}

impl Decimal {
    /// Reads digits with an optional sign.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (negative, digits) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, text),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let digits = digits.iter().rev().map(|digit| digit - b'0').collect();
        Some(Self { negative, digits }.trimmed())
    }

    /// The sum.
    pub(super) fn add(&self, other: &Self) -> Self {
        if self.negative == other.negative {
            return Self { negative: self.negative, digits: sum(&self.digits, &other.digits) }
                .trimmed();
        }
        let (larger, smaller) =
            if is_smaller(&self.digits, &other.digits) { (other, self) } else { (self, other) };
        Self { negative: larger.negative, digits: difference(&larger.digits, &smaller.digits) }
            .trimmed()
    }

    fn trimmed(mut self) -> Self {
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        self.negative &= !self.digits.is_empty();
        self
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        if self.negative {
            f.write_str("-")?;
        }
        self.digits.iter().rev().try_for_each(|digit| write!(f, "{digit}"))
    }
}

/// The increment that a message asks for, if its headers may ask for one.
pub(super) fn check(
    headers: &PublishHeaders<'_>,
    stream: &Stream,
    payload: &[u8],
) -> Result<Option<Decimal>, ApiError> {
    let Some(text) = headers.incr.filter(|text| !text.is_empty()) else { return Ok(None) };
    let increment = Decimal::parse(text).ok_or(ApiError::MESSAGE_INCR_INVALID)?;
    if !stream.config.allow_msg_counter {
        return Err(ApiError::MESSAGE_INCR_DISABLED);
    }
    if !payload.is_empty() {
        return Err(ApiError::MESSAGE_INCR_PAYLOAD);
    }
    if headers.rollup.is_some() || headers.has_expectation() {
        return Err(ApiError::MESSAGE_INCR_INVALID);
    }
    Ok(Some(increment))
}

/// The value of a subject's counter after an increment, and the header to go on with that says
/// what the counters of other streams said last.
pub(super) fn total(
    increment: &Decimal,
    stream: &mut Stream,
    shared: &mut Shared,
    subject: &[u8],
) -> Result<(String, Option<Vec<u8>>), ApiError> {
    let first = || Ok((increment.to_string(), None));
    let Some(state) = stream.store.subject(subject) else { return first() };
    match stream.store.read(state.last, &mut shared.message) {
        Ok(true) => {}
        Ok(false) => return first(),
        Err(_) => return Err(ApiError::MESSAGE_COUNTER_BROKEN),
    }
    let value = value(shared.message.payload()).ok_or(ApiError::MESSAGE_COUNTER_BROKEN)?;
    let total = value.add(increment).to_string();
    if total.len() + BODY_OVERHEAD > shared.server.max_payload {
        return Err(ApiError::STREAM_MESSAGE_EXCEEDS_MAXIMUM);
    }
    let sources = HeaderBlock::new(shared.message.headers()).get(SOURCES).map(<[u8]>::to_vec);
    Ok((total, sources))
}

/// Adds that header to a block that has none.
pub(super) fn keep_sources(block: &mut Vec<u8>, sources: &[u8]) {
    if HeaderBlock::new(block).get(SOURCES).is_none() {
        block.truncate(block.len().saturating_sub(2));
        write_header(block, SOURCES, sources);
        block.extend_from_slice(b"\r\n");
    }
}

/// What a message of another counter adds to this one: the new body, with the increment in `block`
/// made the difference to what its origin said before, and what all origins said last. `None` if it
/// is no counter's message.
pub(super) fn take_over(
    stream: &mut Stream,
    shared: &mut Shared,
    (origin, message): (&str, &Message),
    subject: &[u8],
    block: &mut Vec<u8>,
) -> Option<Vec<u8>> {
    PublishHeaders::read(message.headers()).incr?;
    let now = value(message.payload())?;
    let mut said = Sources::new();
    let mut before = Decimal { negative: false, digits: Vec::new() };
    if let Some(state) = stream.store.subject(subject) {
        let last = &mut shared.message;
        if !matches!(stream.store.read(state.last, last), Ok(true)) {
            return None;
        }
        before = value(last.payload())?;
        let header = HeaderBlock::new(last.headers()).get(SOURCES);
        said = header.map_or_else(Sources::new, read_sources);
    }
    let foreign = String::from_utf8_lossy(message.subject()).into_owned();
    let last = said.entry(origin.to_owned()).or_default().insert(foreign, now.to_string());
    let last = last.and_then(|last| Decimal::parse(last.as_bytes()));
    let step = match last {
        Some(last) => now.add(&Decimal { negative: !last.negative, ..last }.trimmed()),
        None => now,
    };
    let sources = write_sources(&said);
    let mut changed = b"NATS/1.0\r\n".to_vec();
    let mut has_sources = false;
    for (name, value) in HeaderBlock::new(block).iter() {
        let value = match name {
            b"Nats-Incr" => step.to_string().into_bytes(),
            SOURCES => {
                has_sources = true;
                sources.clone()
            }
            _ => value.to_vec(),
        };
        write_header(&mut changed, name, &value);
    }
    if !has_sources {
        write_header(&mut changed, SOURCES, &sources);
    }
    changed.extend_from_slice(b"\r\n");
    *block = changed;
    Some(body(&before.add(&step).to_string()))
}

/// What the counters of other streams said last, by stream and subject.
type Sources = BTreeMap<String, BTreeMap<String, String>>;

fn read_sources(text: &[u8]) -> Sources {
    let mut sources = Sources::new();
    let Ok(Value::Object(streams)) = parse(text) else { return sources };
    for (stream, subjects) in streams {
        let Value::Object(subjects) = subjects else { continue };
        let values = subjects.into_iter().filter_map(|(subject, value)| match value {
            Value::String(value) => Some((subject.into_owned(), value.into_owned())),
            _ => None,
        });
        sources.insert(stream.into_owned(), values.collect());
    }
    sources
}

fn write_sources(sources: &Sources) -> Vec<u8> {
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    for (stream, values) in sources {
        let mut inner = Object::open(object.key_escaped(stream));
        for (subject, value) in values {
            write_string(inner.key_escaped(subject), value.as_bytes());
        }
        inner.close();
    }
    object.close();
    out
}

/// Says what the counters of other streams said last.
const SOURCES: &[u8] = b"Nats-Counter-Sources";

/// The body that says a counter's value.
pub(super) fn body(value: &str) -> Vec<u8> {
    [b"{\"val\":\"", value.as_bytes(), b"\"}"].concat()
}

/// The value that a body says.
pub(super) fn value(body: &[u8]) -> Option<Decimal> {
    let Ok(Value::Object(entries)) = parse(body) else { return None };
    entries.iter().find_map(|(key, value)| match value {
        Value::String(text) if key == "val" => Decimal::parse(text.as_bytes()),
        _ => None,
    })
}

fn sum(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut digits = Vec::with_capacity(a.len().max(b.len()) + 1);
    let mut carry = 0;
    for at in 0..a.len().max(b.len()) {
        let digit = a.get(at).unwrap_or(&0) + b.get(at).unwrap_or(&0) + carry;
        digits.push(digit % 10);
        carry = digit / 10;
    }
    digits.push(carry);
    digits
}

/// `a` without `b`, which is not larger.
fn difference(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut digits = Vec::with_capacity(a.len());
    for (at, digit) in a.iter().enumerate() {
        let less = b.get(at).unwrap_or(&0) + borrow;
        borrow = u8::from(*digit < less);
        digits.push(digit + 10 * borrow - less);
    }
    digits
}

fn is_smaller(a: &[u8], b: &[u8]) -> bool {
    match a.len().cmp(&b.len()) {
        std::cmp::Ordering::Equal => a.iter().rev().lt(b.iter().rev()),
        other => other.is_lt(),
    }
}

const BODY_OVERHEAD: usize = b"{\"val\":\"\"}".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_add_up() {
        let parse = |text: &str| Decimal::parse(text.as_bytes()).unwrap();
        let big = "9".repeat(50);
        assert_eq!(parse(&big).add(&parse("1")).to_string(), format!("1{}", "0".repeat(50)));
        assert_eq!(parse("-0").to_string(), "0");
        assert_eq!(parse("007").to_string(), "7");
        for bad in ["", "-", "+", "1a", "--1", " 1"] {
            assert_eq!(Decimal::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(value(b"{\"val\":\"-3\"}"), Some(parse("-3")));
        assert_eq!(value(b"x"), None);
    }

    proptest::proptest! {
        #[test]
        fn sums_are_those_of_the_machine(a: i64, b: i64) {
            let parse = |number: i64| Decimal::parse(number.to_string().as_bytes()).unwrap();
            let sum = i128::from(a) + i128::from(b);
            proptest::prop_assert_eq!(parse(a).add(&parse(b)).to_string(), sum.to_string());
        }
    }
}
