//! Ack subjects, both forms, and what an acknowledgement says.

use crate::proto::write_decimal;

/// What the reply subject of a delivered message says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Which delivery of this message it is, from 1.
    pub(super) deliveries: u64,
    /// The message's sequence in the stream.
    pub(super) stream_seq: u64,
    /// Number of the delivery.
    pub(super) consumer_seq: u64,
    /// When the message was stored, in nanoseconds since 1970.
    pub(super) time: u64,
    /// Messages that are left for this consumer.
    pub(super) pending: u64,
}

impl Delivery {
    /// Writes the ack subject; `prefix` ends with a dot.
    pub(super) fn write(&self, prefix: &[u8], into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(prefix);
        write_decimal(into, self.deliveries);
        for number in [self.stream_seq, self.consumer_seq, self.time, self.pending] {
            into.push(b'.');
            write_decimal(into, number);
        }
    }

    /// Reads an ack subject of the consumer that writes them with that `prefix`. One that does not
    /// start with it is of the other form: the longer one names domain and account as well and may
    /// end with more tokens, the shorter one never has more than its [`SHORT_FORM_TOKENS`].
    pub(super) fn parse(prefix: &[u8], subject: &[u8]) -> Option<Self> {
        let rest = match subject.strip_prefix(prefix) {
            Some(rest) => rest,
            None => {
                let tokens = subject.split(|byte| *byte == b'.').count();
                let is_short = tokens == SHORT_FORM_TOKENS;
                after_tokens(subject, if is_short { SHORT_FORM_NAMES } else { LONG_FORM_NAMES })?
            }
        };
        let mut numbers = rest.split(|byte| *byte == b'.');
        let mut next = || parse_number(numbers.next()?);
        Some(Self {
            deliveries: next()?,
            stream_seq: next()?,
            consumer_seq: next()?,
            time: next()?,
            pending: next()?,
        })
    }
}

/// What the reply subject of a message says that another server's consumer delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stream) struct Place {
    /// The message's sequence in its stream.
    pub(in crate::stream) stream_seq: u64,
    /// Number of the delivery.
    pub(in crate::stream) consumer_seq: u64,
    /// When it was stored.
    pub(in crate::stream) time: u64,
    /// Messages that are left.
    pub(in crate::stream) pending: u64,
}

/// Reads an ack subject of whatever consumer.
pub(in crate::stream) fn place_of_ack(subject: &[u8]) -> Option<Place> {
    subject.strip_prefix(b"$JS.ACK.")?;
    let delivery = Delivery::parse(b"\0", subject)?;
    let Delivery { stream_seq, consumer_seq, time, pending, .. } = delivery;
    Some(Place { stream_seq, consumer_seq, time, pending })
}

/// Tokens of the longer form before the numbers: `$JS.ACK.domain.account.stream.consumer`.
const LONG_FORM_NAMES: usize = 6;
/// The same of the shorter form: `$JS.ACK.stream.consumer`.
const SHORT_FORM_NAMES: usize = 4;
const SHORT_FORM_TOKENS: usize = 9;

fn after_tokens(subject: &[u8], count: usize) -> Option<&[u8]> {
    let mut rest = subject;
    for _ in 0..count {
        let dot = rest.iter().position(|byte| *byte == b'.')?;
        rest = rest.get(dot + 1..)?;
    }
    Some(rest)
}

/// A decimal number that fits; digits only.
pub(super) fn parse_number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then_some(())?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// What a client says about a delivered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckKind<'a> {
    /// It is done.
    Ack,
    /// It is to be delivered again, after that many nanoseconds.
    Nak {
        /// 0: at once.
        delay: u64,
    },
    /// It is being worked on.
    InProgress,
    /// It shall not be delivered again.
    Terminate {
        /// Why; empty if that is not said.
        reason: &'a [u8],
    },
    /// It is done, and here is a request for more.
    Next {
        /// The request's body.
        request: &'a [u8],
    },
    /// Nothing that is known.
    Unknown,
}

impl<'a> AckKind<'a> {
    /// Reads the body of an acknowledgement.
    pub(super) fn parse(body: &'a [u8]) -> Self {
        match body {
            b"" | b"+ACK" | b"+OK" => Self::Ack,
            b"+WPI" => Self::InProgress,
            _ => {
                if let Some(options) = body.strip_prefix(b"-NAK") {
                    Self::Nak { delay: nak_delay(options) }
                } else if let Some(request) = body.strip_prefix(b"+NXT") {
                    Self::Next { request: request.trim_ascii_start() }
                } else if let Some(reason) = body.strip_prefix(b"+TERM") {
                    Self::Terminate { reason: reason.trim_ascii() }
                } else {
                    Self::Unknown
                }
            }
        }
    }
}

/// `{"delay":ns}` or a duration as Go writes it; anything else is no delay.
fn nak_delay(options: &[u8]) -> u64 {
    let options = options.trim_ascii();
    if options.starts_with(b"{") {
        let parsed: Option<NakOptions> = serde_json::from_slice(options).ok();
        return parsed.map_or(0, |options| u64::try_from(options.delay).unwrap_or_default());
    }
    parse_go_duration(options).unwrap_or_default()
}

#[derive(serde::Deserialize)]
struct NakOptions {
    #[serde(default)]
    delay: i64,
}

/// A duration as Go reads it, `1h2m3.5s`; `None` if it is none or negative.
pub(super) fn parse_go_duration(text: &[u8]) -> Option<u64> {
    let mut rest = text.strip_prefix(b"+").unwrap_or(text);
    if rest == b"0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (whole, after) = rest.split_at_checked(digits)?;
        let (fraction, after) = match after.strip_prefix(b".") {
            Some(after) => {
                let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
                after.split_at_checked(digits)?
            }
            None => (&b""[..], after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let letters =
            after.iter().take_while(|byte| !byte.is_ascii_digit() && **byte != b'.').count();
        let (unit, after) = after.split_at_checked(letters)?;
        let unit = match unit {
            b"ns" => 1,
            b"us" | b"\xc2\xb5s" | b"\xce\xbcs" => 1_000,
            b"ms" => 1_000_000,
            b"s" => 1_000_000_000,
            b"m" => 60_000_000_000,
            b"h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole = if whole.is_empty() { 0 } else { parse_number(whole)? };
        total = total.checked_add(whole.checked_mul(unit)?)?;
        let mut part = unit;
        for digit in fraction {
            part /= 10;
            total = total.checked_add(part * u64::from(digit - b'0'))?;
        }
        rest = after;
    }
    (total <= i64::MAX.unsigned_abs()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELIVERY: Delivery = Delivery {
        deliveries: 2,
        stream_seq: 1,
        consumer_seq: 4,
        time: 1_795_254_353_362_544_780,
        pending: 2,
    };

    #[test]
    fn an_ack_subject_is_written_and_read() {
        let mut subject = Vec::new();
        DELIVERY.write(b"$JS.ACK.S.c.", &mut subject);
        assert_eq!(subject, b"$JS.ACK.S.c.2.1.4.1795254353362544780.2");
        assert_eq!(Delivery::parse(b"$JS.ACK.S.c.", &subject), Some(DELIVERY));
    }

    #[test]
    fn the_long_form_may_end_with_more() {
        for end in ["", ".x", ".a.b"] {
            let subject = format!("$JS.ACK.hub.NUmM6cRx.S.c.2.1.4.1795254353362544780.2{end}");
            assert_eq!(Delivery::parse(b"$JS.ACK.S.c.", subject.as_bytes()), Some(DELIVERY));
        }
    }

    #[test]
    fn a_consumer_that_writes_the_long_form_reads_the_short_one() {
        let long = b"$JS.ACK._.NUmM6cRx.S.c.";
        let mut subject = Vec::new();
        DELIVERY.write(long, &mut subject);
        assert_eq!(Delivery::parse(long, &subject), Some(DELIVERY));
        let short = b"$JS.ACK.S.c.2.1.4.1795254353362544780.2";
        assert_eq!(Delivery::parse(long, short), Some(DELIVERY));
    }

    #[test]
    fn what_is_no_ack_subject_is_refused() {
        for bad in ["", "$JS.ACK.S.c.", "$JS.ACK.S.c.1.2.3", "$JS.ACK.S.c.1.2.3.4.x"] {
            assert_eq!(Delivery::parse(b"$JS.ACK.S.c.", bad.as_bytes()), None, "{bad}");
        }
        let huge = format!("$JS.ACK.S.c.1.{}9.3.4.5", u64::MAX);
        assert_eq!(Delivery::parse(b"$JS.ACK.S.c.", huge.as_bytes()), None);
    }

    #[test]
    fn every_kind_of_ack_is_told_apart() {
        let kinds: [(&[u8], AckKind<'_>); 14] = [
            (b"", AckKind::Ack),
            (b"+ACK", AckKind::Ack),
            (b"+OK", AckKind::Ack),
            (b"-NAK", AckKind::Nak { delay: 0 }),
            (b"-NAK {\"delay\": 5000}", AckKind::Nak { delay: 5_000 }),
            (b"-NAK 2s", AckKind::Nak { delay: 2_000_000_000 }),
            (b"-NAK soon", AckKind::Nak { delay: 0 }),
            (b"-NAK {\"delay\": \"x\"}", AckKind::Nak { delay: 0 }),
            (b"+WPI", AckKind::InProgress),
            (b"+TERM", AckKind::Terminate { reason: b"" }),
            (b"+TERM no use", AckKind::Terminate { reason: b"no use" }),
            (b"+NXT", AckKind::Next { request: b"" }),
            (b"+NXT {\"batch\":2}", AckKind::Next { request: b"{\"batch\":2}" }),
            (b"+WHAT", AckKind::Unknown),
        ];
        for (body, kind) in kinds {
            assert_eq!(AckKind::parse(body), kind, "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("1ns", 1),
            ("1.5s", 1_500_000_000),
            ("1h2m3s", 3_723_000_000_000),
            ("250ms", 250_000_000),
            (".5us", 500),
        ] {
            assert_eq!(parse_go_duration(text.as_bytes()), Some(nanoseconds), "{text}");
        }
        for bad in ["", "5", "s", "-1s", "1x", "9999999999h", "1s "] {
            assert_eq!(parse_go_duration(bad.as_bytes()), None, "{bad}");
        }
    }
}
