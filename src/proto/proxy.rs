//! The header that a proxy puts before a connection: PROXY protocol, version 1
//! (a line) and 2 (binary). Texts of refusals are nats-server's.
//!
//! Bounds: a line of 107 bytes; a binary header of 16 bytes and what its length
//! field can say, 64 KiB, which is skipped but for the addresses.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// No header: the client itself.
    Absent,
    /// More bytes are needed to tell.
    Incomplete,
    /// A header.
    Present {
        /// Who is behind the proxy; `None`: nobody, or the proxy does not tell.
        source: Option<(IpAddr, u16)>,
        /// Bytes of the header.
        length: usize,
    },
}

/// Why the bytes are no header although they begin like one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProxyError {
    /// The header breaks the protocol.
    #[error("invalid PROXY protocol header: {0}")]
    Invalid(String),
    /// The source port is none.
    #[error("invalid {which} port: strconv.ParseUint: parsing {text:?}: {problem}")]
    Port {
        /// `source` or `dest`.
        which: &'static str,
        /// As it came.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The header asks for what is not supported.
    #[error("unsupported PROXY protocol feature: {0}")]
    Unsupported(String),
    /// Neither LOCAL nor PROXY.
    #[error("unknown PROXY protocol command: {0:#04x}")]
    Command(u8),
    /// Less than two addresses.
    #[error("{family} address data too short: {bytes} bytes")]
    Short {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// What there is.
        bytes: usize,
    },
}

/// Looks for a header at the start of a connection.
///
/// # Errors
/// The bytes begin like a header and are none.
pub fn parse_proxy_header(bytes: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let known = bytes.len().min(TELLING);
    let begins = |start: &[u8]| start.get(..known) == bytes.get(..known);
    let (is_line, is_binary) = (begins(LINE_START), begins(SIGNATURE));
    if !is_line && !is_binary {
        return Ok(ProxyHeader::Absent);
    }
    if bytes.len() < TELLING {
        return Ok(ProxyHeader::Incomplete);
    }
    if is_line {
        line(bytes)
    } else {
        binary(bytes)
    }
}

fn line(bytes: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let Some(end) = memchr::memchr(b'\n', bytes.get(..LINE_MAX).unwrap_or(bytes)) else {
        if bytes.len() >= LINE_MAX {
            return Err(invalid("v1 line too long"));
        }
        return Ok(ProxyHeader::Incomplete);
    };
    let length = end.saturating_add(1);
    let text = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let text = text.and_then(|line| std::str::from_utf8(line).ok());
    let text = text.ok_or_else(|| invalid("invalid v1 format"))?;
    let fields: Vec<&str> = text.split(' ').collect();
    let [_, family, source, destination, from, to] = match fields.as_slice() {
        [_, "UNKNOWN", ..] => return Ok(ProxyHeader::Present { source: None, length }),
        [proxy, family, a, b, c, d] => [*proxy, *family, *a, *b, *c, *d],
        _ => return Err(invalid("invalid v1 format")),
    };
    let address = |text: &str| text.parse::<IpAddr>().map_err(|_| invalid("invalid address"));
    let (source, destination) = (address(source)?, address(destination)?);
    let (from, _) = (port("source", from)?, port("dest", to)?);
    match (family, source, destination) {
        ("TCP4", IpAddr::V4(_), IpAddr::V4(_)) | ("TCP6", IpAddr::V6(_), IpAddr::V6(_)) => {}
        ("TCP4", ..) => return Err(invalid("TCP4 with IPv6 address")),
        ("TCP6", ..) => return Err(invalid("TCP6 with IPv4 address")),
        (other, ..) => return Err(ProxyError::Invalid(format!("invalid protocol {other}"))),
    }
    Ok(ProxyHeader::Present { source: Some((source, from)), length })
}

fn port(which: &'static str, text: &str) -> Result<u16, ProxyError> {
    text.parse().map_err(|_| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let problem = if is_number { "value out of range" } else { "invalid syntax" };
        ProxyError::Port { which, text: text.to_owned(), problem }
    })
}

fn binary(bytes: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let Some((signature, rest)) = bytes.split_at_checked(SIGNATURE.len()) else {
        return Ok(ProxyHeader::Incomplete);
    };
    if signature != SIGNATURE {
        return Err(invalid("invalid signature"));
    }
    let Some((&[version_and_command, family_and_transport, high, low], rest)) =
        rest.split_first_chunk::<4>()
    else {
        return Ok(ProxyHeader::Incomplete);
    };
    if version_and_command & 0xF0 != 0x20 {
        let version = version_and_command & 0xF0;
        return Err(ProxyError::Invalid(format!("invalid version {version:#04x}")));
    }
    let size = usize::from(u16::from_be_bytes([high, low]));
    let length = SIGNATURE.len().saturating_add(4).saturating_add(size);
    let Some(addresses) = rest.get(..size) else { return Ok(ProxyHeader::Incomplete) };
    let source = match version_and_command & 0x0F {
        0 => None,
        1 => Some(source(family_and_transport, addresses)?),
        command => return Err(ProxyError::Command(command)),
    };
    Ok(ProxyHeader::Present { source, length })
}

/// Source address, destination address, source port, destination port.
fn source(family_and_transport: u8, addresses: &[u8]) -> Result<(IpAddr, u16), ProxyError> {
    if family_and_transport & 0x0F != 1 {
        let what = "only STREAM protocol supported";
        return Err(ProxyError::Unsupported(what.to_owned()));
    }
    let short = |family| ProxyError::Short { family, bytes: addresses.len() };
    match family_and_transport & 0xF0 {
        0x10 => {
            let head = addresses.first_chunk::<12>().ok_or_else(|| short("IPv4"))?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *head;
            Ok((IpAddr::V4(Ipv4Addr::new(a, b, c, d)), u16::from_be_bytes([high, low])))
        }
        0x20 => {
            let head = addresses.first_chunk::<36>().ok_or_else(|| short("IPv6"))?;
            let ip = head.first_chunk::<16>().copied().unwrap_or_default();
            let port = head.get(32..34).and_then(|port| port.try_into().ok()).unwrap_or_default();
            Ok((IpAddr::V6(Ipv6Addr::from(ip)), u16::from_be_bytes(port)))
        }
        family => Err(ProxyError::Unsupported(format!("unsupported address family {family:#04x}"))),
    }
}

fn invalid(what: &str) -> ProxyError {
    ProxyError::Invalid(what.to_owned())
}

const LINE_START: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes that tell which of the two it is, or neither.
const TELLING: usize = 6;

/// The longest line, its end included.
const LINE_MAX: usize = 107;

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests may panic")]
mod tests {
    use super::*;

    fn v2(rest: &[u8]) -> Vec<u8> {
        [SIGNATURE, rest].concat()
    }

    #[track_caller]
    fn present(bytes: &[u8], source: Option<(&str, u16)>) {
        let source = source.map(|(ip, port)| (ip.parse().unwrap(), port));
        let expected = ProxyHeader::Present { source, length: bytes.len() };
        assert_eq!(parse_proxy_header(bytes), Ok(expected));
        let more = [bytes, b"CONNECT {}\r\n"].concat();
        assert_eq!(parse_proxy_header(&more), Ok(expected));
        for end in 0..bytes.len() {
            assert_eq!(parse_proxy_header(&bytes[..end]), Ok(ProxyHeader::Incomplete), "{end}");
        }
    }

    #[track_caller]
    fn refused(bytes: &[u8], text: &str) {
        assert_eq!(parse_proxy_header(bytes).unwrap_err().to_string(), text);
    }

    #[test]
    fn headers_tell_who_is_behind_the_proxy() {
        present(b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 4222\r\n", Some(("1.2.3.4", 1111)));
        present(b"PROXY TCP6 ::1 2001:db8::1 1111 4222\r\n", Some(("::1", 1111)));
        present(b"PROXY UNKNOWN\r\n", None);
        present(b"PROXY UNKNOWN ffff f 1 2\r\n", None);
        present(
            &v2(b"\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x04\x57\x10\x7e"),
            Some(("1.2.3.4", 1111)),
        );
        present(
            &v2(b"\x21\x11\0\x10\x01\x02\x03\x04\x05\x06\x07\x08\x04\x57\x10\x7e\x04\0\x01x"),
            Some(("1.2.3.4", 1111)),
        );
        let mut six = b"\x21\x21\0\x24\x20\x01".to_vec();
        six.extend([0; 13]);
        six.push(5);
        six.extend([0; 16]);
        six.extend(b"\x04\x57\x10\x7e");
        present(&v2(&six), Some(("2001::5", 1111)));
        present(&v2(b"\x20\0\0\0"), None);
    }

    #[test]
    fn clients_without_a_proxy_are_told_at_once() {
        for bytes in [&b"CONNECT {}"[..], b"PING\r\n", b"PI", b"c", b"PROXCO", b"\r\n\r\nPING"] {
            assert_eq!(parse_proxy_header(bytes), Ok(ProxyHeader::Absent));
        }
    }

    #[test]
    fn refusals_are_those_of_nats_server() {
        let head = "invalid PROXY protocol header: ";
        for (bytes, text) in [
            (&b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 4222\n"[..], "invalid v1 format"),
            (b"PROXY TCP4 1.2.3.x 5.6.7.8 1111 4222\r\n", "invalid address"),
            (b"PROXY TCP6 1.2.3.4 5.6.7.8 1 4222\r\n", "TCP6 with IPv4 address"),
            (b"PROXY TCP4 1.2.3.4\r\n", "invalid v1 format"),
            (b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", "invalid protocol UDP4"),
        ] {
            {
                refused(bytes, &format!("{head}{text}"));
            }
        }
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        refused(&long, &format!("{head}v1 line too long"));
        refused(
            b"PROXY TCP4 1.2.3.4 5.6.7.8 99999 4222\r\n",
            "invalid source port: strconv.ParseUint: parsing \"99999\": value out of range",
        );
        refused(&v2(b"\x31\x11\0\0"), &format!("{head}invalid version 0x30"));
        refused(b"\r\n\r\n\0\rCONNECT", &format!("{head}invalid signature"));
        refused(&v2(b"\x22\x11\0\0"), "unknown PROXY protocol command: 0x02");
        let stream = "unsupported PROXY protocol feature: only STREAM protocol supported";
        refused(&v2(b"\x21\0\0\0"), stream);
        refused(&v2(b"\x21\x12\0\0"), stream);
        let family = "unsupported PROXY protocol feature: unsupported address family 0x30";
        refused(&v2(b"\x21\x31\0\0"), family);
        refused(&v2(b"\x21\x11\0\x04\0\0\0\0"), "IPv4 address data too short: 4 bytes");
    }
}
