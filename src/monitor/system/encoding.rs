//! Answers compressed as the request's `Accept-Encoding` asks for.

use std::io::Write as _;

use flate2::write::GzEncoder;
use flate2::Compression;

/// The value of a header in a block, if it is there; names are told apart by case.
pub(super) fn header<'h>(headers: &'h [u8], name: &str) -> Option<&'h str> {
    let text = std::str::from_utf8(headers).ok()?;
    text.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found == name).then(|| value.trim())
    })
}

/// Compresses `payload` if `accepted` names a way to, and returns the block of headers that says so.
pub(super) fn encode(accepted: &str, payload: &mut Vec<u8>) -> Vec<u8> {
    let (name, encoded) = match accepted.to_ascii_lowercase().as_str() {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            ("gzip", encoder.write_all(payload).and_then(|()| encoder.finish()))
        }
        "snappy" | "s2" => {
            let mut encoder = snap::write::FrameEncoder::new(Vec::new());
            let written = encoder.write_all(payload);
            let finish = || encoder.into_inner().map_err(|error| error.into_error());
            ("snappy", written.and_then(|()| finish()))
        }
        _ => return Vec::new(),
    };
    let Ok(encoded) = encoded else { return Vec::new() };
    *payload = encoded;
    format!("NATS/1.0\r\nContent-Encoding: {name}\r\n\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_is_encoded_can_be_decoded() {
        let text = b"a long text ".repeat(100);
        let mut gzip = text.clone();
        assert_eq!(encode("gzip", &mut gzip), b"NATS/1.0\r\nContent-Encoding: gzip\r\n\r\n");
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, text);
        let mut snappy = text.clone();
        assert!(!encode("snappy", &mut snappy).is_empty());
        let mut back = Vec::new();
        snap::read::FrameDecoder::new(&snappy[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, text);
        let mut plain = text.clone();
        assert!(encode("", &mut plain).is_empty());
        assert_eq!(plain, text);
    }

    #[test]
    fn headers_are_found_by_their_exact_name() {
        let block = b"NATS/1.0\r\nAccept-Encoding: gzip\r\n\r\n";
        assert_eq!(header(block, "Accept-Encoding"), Some("gzip"));
        assert_eq!(header(block, "accept-encoding"), None);
        assert_eq!(header(b"", "Accept-Encoding"), None);
    }
}
