//! What the fuzz targets in `tests/fuzz` check, also run over their corpora as a unit test.
//!
//! Each function takes any bytes and panics if a promise of this module does not hold.
#![allow(missing_docs, reason = "compiled for tests and fuzzing only")]

use super::{FrameEvent, FrameReader, InflateError, Inflater, UpgradeRules};

/// Inflated bytes of one message at most, as the target has it.
const INFLATED_MAX: usize = 1 << 20;

/// The first byte draws the rules and where to cut, the rest is what a peer sends.
///
/// Checks: a cut does not change what is read; no compressed message gives more than it may;
/// nothing is kept of a frame but its head and a control frame's payload.
pub fn check_frames(data: &[u8]) {
    let Some((&draw, stream)) = data.split_first() else {
        return;
    };
    let (masked, compression) = (draw & 1 == 0, draw & 2 == 0);
    let whole = outcomes(&[stream], masked, compression);
    let cut = usize::from(draw >> 2) % stream.len().max(1);
    let (one, two) = stream.split_at(cut);
    assert_eq!(outcomes(&[one, two], masked, compression), whole, "cut at {cut}");
}

/// Checks: judging a request ends, and a cut of it asks for more or refuses it as well.
pub fn check_request(data: &[u8]) {
    let rules = UpgradeRules { compression: true, same_origin: true, ..UpgradeRules::default() };
    let mut out = Vec::new();
    let whole = rules.read(data, &mut out);
    let granted = matches!(whole, Ok(Some(_)));
    assert_eq!(granted, out.starts_with(b"HTTP/1.1 101 "));
    if let Err(refusal) = &whole {
        refusal.write(&mut out);
        assert!(out.starts_with(b"HTTP/1.1 4") || out.starts_with(b"HTTP/1.1 505"));
    }
    if granted {
        let (_, cut) = (data.last(), &data[..data.len() - 1]);
        assert_eq!(rules.read(cut, &mut Vec::new()), Ok(None));
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Outcomes {
    plain: Vec<u8>,
    packed: Vec<u8>,
    inflated: Vec<Result<usize, InflateError>>,
    others: Vec<String>,
}

fn outcomes(pieces: &[&[u8]], masked: bool, compression: bool) -> Outcomes {
    let mut reader = FrameReader::new(masked, compression);
    let mut inflater = Inflater::new();
    let mut outcomes = Outcomes::default();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        while !rest.is_empty() {
            let before = rest.len();
            let (event, more) = match reader.read(rest) {
                Ok(read) => read,
                Err(error) => {
                    outcomes.others.push(error.to_string());
                    return outcomes;
                }
            };
            assert!(more.len() < before, "every read takes something");
            match event {
                FrameEvent::Payload(bytes) => outcomes.plain.extend_from_slice(bytes),
                FrameEvent::Compressed { bytes, last } => {
                    assert!(compression, "nobody agreed to compression");
                    outcomes.packed.extend_from_slice(bytes);
                    if last {
                        let packed = std::mem::take(&mut outcomes.packed);
                        let mut total = 0;
                        let end = inflater.inflate(&packed, INFLATED_MAX, |piece| {
                            total += piece.len();
                            true
                        });
                        assert!(total <= INFLATED_MAX);
                        outcomes.inflated.push(end);
                    }
                }
                FrameEvent::Ping(payload) | FrameEvent::Close(payload) => {
                    assert!(payload.len() <= 125);
                    outcomes.others.push(format!("{payload:?} at {}", outcomes.plain.len()));
                }
                FrameEvent::Pong => {}
            }
            rest = more;
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz_corpus::run;

    const BYTES: &[u8] = &[0, 0x7f, 0x80, 0xff];

    #[test]
    fn frames_corpus_holds() {
        run("ws_frames", BYTES, check_frames);
    }

    #[test]
    fn request_corpus_holds() {
        run("ws_request", BYTES, check_request);
    }
}
