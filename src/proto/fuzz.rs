//! What the fuzz targets in `tests/fuzz` check, also run over their corpora as a unit test.
//!
//! Each function takes any bytes and panics if a promise of this module does not hold.
#![allow(missing_docs, reason = "compiled for tests and fuzzing only")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a target reports")]

use super::parser::parse_general;
use super::{
    parse, validate_client_info, write_message, write_message_without_headers, write_no_responders,
    write_publish, Command, ConnectOptions, HeaderBlock, Message, Parsed, ParserLimits, Publish,
};

/// The first byte draws the limits and where to cut, the rest is a stream of operations.
///
/// Checks: the fast path equals the general one; lengths are consistent; a frame written from a
/// publish equals the one made by copying its tail; a cut does not change the outcome.
pub fn check_parser(data: &[u8]) {
    let Some((&draw, stream)) = data.split_first() else {
        return;
    };
    let limits = ParserLimits {
        control_line_bytes_max: if draw & 1 == 0 { 4096 } else { 24 },
        payload_bytes_max: if draw & 2 == 0 { 1 << 20 } else { 16 },
        headers: draw & 4 == 0,
    };
    let whole = outcomes(&[stream], &limits);
    let cut = usize::from(draw >> 3) % stream.len().max(1);
    let (one, two) = stream.split_at(cut);
    assert_eq!(outcomes(&[one, two], &limits), whole, "cut at {cut}");
}

/// Checks: lookup agrees with iteration, and stripping a block of any length never fails.
pub fn check_headers(data: &[u8]) {
    let block = HeaderBlock::new(data);
    let mut total = 0_usize;
    for (name, value) in block {
        total += name.len() + value.len();
        let first = block.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
        assert_eq!(block.get(name), first);
    }
    assert!(total <= data.len());
    if let Some(status) = block.status() {
        assert!(data.starts_with(format!("NATS/1.0 {status:03}").as_bytes()));
    }
    let header_len = Some(u32::from(data.first().copied().unwrap_or(0)));
    let message = Message { subject: b"s", reply: b"", header_len, payload: data };
    write_message_without_headers(&mut Vec::new(), b"1", &message);
}

/// Checks: decoding ends, is repeatable, and is stable when applied twice.
pub fn check_connect(data: &[u8]) {
    if let Ok(options) = ConnectOptions::parse(data) {
        let mut again = options.clone();
        again.apply(data).expect("decoded once");
        assert_eq!(again, options);
        // INFO has other types; it must only end.
        std::hint::black_box(validate_client_info(data)).ok();
    }
}

fn outcomes(pieces: &[&[u8]], limits: &ParserLimits) -> Vec<String> {
    let mut outcomes = Vec::new();
    let mut kept = Vec::new();
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut at = 0_usize;
        loop {
            let rest = kept.get(at..).expect("consumed within the input");
            let parsed = parse(rest, limits);
            assert_eq!(parsed, parse_general(rest, limits));
            match parsed {
                Ok(Parsed::Command { command, consumed }) => {
                    assert!((1..=rest.len()).contains(&consumed));
                    if let Command::Publish(publish) = &command {
                        check_publish(publish, limits);
                    }
                    outcomes.push(format!("{command:?}"));
                    at += consumed;
                }
                Ok(Parsed::Incomplete { needed }) => {
                    assert!(needed > rest.len());
                    break;
                }
                Err(error) => {
                    outcomes.push(format!("{error:?} {:?}", error.wire_error()));
                    return outcomes;
                }
            }
        }
        kept.drain(..at);
    }
    outcomes.push(format!("{kept:?}"));
    outcomes
}

fn check_publish(publish: &Publish<'_>, limits: &ParserLimits) {
    assert!(publish.payload.len() <= limits.payload_bytes_max);
    assert!(!publish.subject.is_empty());
    for name in [publish.subject, publish.reply] {
        assert!(!name.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')));
    }
    let size: usize = std::str::from_utf8(publish.size_text).unwrap().parse().unwrap();
    assert_eq!(size, publish.payload.len());
    let mut written = Vec::new();
    write_publish(&mut written, publish.subject, b"7", publish);
    if let Some(tail) = publish.tail {
        let name = if publish.header_len.is_some() { "HMSG" } else { "MSG" };
        let copied = [name.as_bytes(), b" ", publish.subject, b" 7 ", tail].concat();
        assert_eq!(written, copied);
    }
    let message = Message {
        subject: publish.subject,
        reply: publish.reply,
        header_len: publish.header_len,
        payload: publish.payload,
    };
    let mut decimal = Vec::new();
    write_message(&mut decimal, b"7", &message);
    let plain = |text: &[u8]| text == b"0" || !text.starts_with(b"0");
    if plain(publish.size_text) && plain(publish.header_size_text) {
        assert_eq!(decimal, written);
    }
    write_no_responders(&mut written, publish.reply, b"7", publish.subject);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz_corpus::run;

    const BYTES: &[u8] = &[0, b' ', b'\r', b'\n', b'0', b'9', 0xff];

    #[test]
    fn parser_corpus_holds() {
        run("parser", BYTES, check_parser);
    }

    #[test]
    fn headers_corpus_holds() {
        run("headers", BYTES, check_headers);
    }

    #[test]
    fn connect_corpus_holds() {
        run("connect", BYTES, check_connect);
    }
}
