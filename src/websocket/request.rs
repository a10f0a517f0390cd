//! The request that asks for the upgrade, and the rules it is judged by.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use core::net::IpAddr;

use data_encoding::BASE64;

use super::cookies::{CookieNames, Cookies};
use super::origin::{self, AllowedOrigin};
use super::response::{write_switch, Refusal};

/// Bytes of a request at most.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// Headers of a request at most.
const HEADERS_MAX: usize = 64;

/// What a listener asks of requests, and adds to its answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpgradeRules {
    /// Compression is agreed to.
    pub compression: bool,
    /// A page must come from where it connects to.
    pub same_origin: bool,
    /// Where pages may come from; empty is from anywhere.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// Cookies with credentials.
    pub cookies: CookieNames,
    /// Further lines of the answer, each with its line end.
    pub headers: Box<[u8]>,
    /// The listener has TLS.
    pub is_tls: bool,
}

/// What was agreed on with a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// What the client wants to be.
    pub path: RequestPath,
    /// Messages may be compressed, both ways.
    pub compression: bool,
    /// Frames of the client are masked.
    pub masked: bool,
    /// It is a browser.
    pub is_browser: bool,
    /// It is a browser that does not put compressed frames together.
    pub is_safari: bool,
    /// Whose request it was, if a proxy says so.
    pub forwarded_for: Option<IpAddr>,
    /// Credentials.
    pub cookies: Cookies,
}

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestPath {
    /// The protocol of clients: any path but those below.
    Client,
    /// That of leaf nodes: a path that ends in `/leafnode`.
    LeafNode,
    /// MQTT: a path that ends in `/mqtt`.
    Mqtt,
}

impl UpgradeRules {
    /// Judges the request in `bytes`; `None` if it is not whole. What grants it is appended to
    /// `out`; what refuses it is the caller's to write.
    ///
    /// # Errors
    /// The request is refused.
    pub fn read(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<Upgrade>, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length <= REQUEST_BYTES_MAX => length,
            Ok(httparse::Status::Partial) if bytes.len() < REQUEST_BYTES_MAX => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => {
                return Err(Refusal::malformed(431, ""));
            }
            Err(httparse::Error::Version) => {
                return Err(Refusal::malformed(505, "unsupported protocol version"));
            }
            Err(_) => return Err(Refusal::malformed(400, "")),
        };
        let version = request.version.unwrap_or_default();
        let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or("/"));
        let headers = Headers(request.headers);
        let host = headers.first("Host");
        if version == 1 && host.is_none() {
            return Err(Refusal::malformed(400, "missing required Host header"));
        }
        let path = RequestPath::of(target);
        if path == RequestPath::Mqtt {
            return Err(Refusal::new(404, "mqtt websocket endpoint not enabled"));
        }
        if method != "GET" {
            return Err(Refusal::new(405, "request method must be GET"));
        }
        let host = host.map(|host| String::from_utf8_lossy(host).into_owned()).unwrap_or_default();
        let bad = |text: &str| Err(Refusal::new(400, text));
        if host.is_empty() {
            return bad("'Host' missing in request");
        }
        if !headers.have("Upgrade", b"websocket") {
            return bad("invalid value for header 'Upgrade'");
        }
        if !headers.have("Connection", b"Upgrade") {
            return bad("invalid value for header 'Connection'");
        }
        let key = headers.first("Sec-WebSocket-Key").unwrap_or_default();
        if key.is_empty() {
            return bad("key missing");
        }
        if BASE64.decode(key).map_or(0, |decoded| decoded.len()) != KEY_BYTES {
            return bad("invalid websocket key");
        }
        if !headers.have("Sec-WebSocket-Version", b"13") {
            return bad("invalid version");
        }
        self.check_origin(&headers, &host)?;
        let upgrade = self.agree(path, &headers);
        if length < bytes.len() {
            return bad("client sent data before handshake is complete");
        }
        write_switch(out, &upgrade, key, &self.headers);
        Ok(Some(upgrade))
    }

    fn check_origin(&self, headers: &Headers<'_, '_>, host: &str) -> Result<(), Refusal> {
        if !self.same_origin && self.allowed_origins.is_empty() {
            return Ok(());
        }
        let named = |name| headers.first(name).filter(|origin| !origin.is_empty());
        // Only a browser says where it comes from.
        let Some(origin) = named("Origin").or_else(|| named("Sec-WebSocket-Origin")) else {
            return Ok(());
        };
        let origin = String::from_utf8_lossy(origin);
        origin::check(&origin, self.same_origin, &self.allowed_origins, host, self.is_tls)
            .map_err(|error| Refusal::new(403, format!("origin not allowed: {error}")))
    }

    fn agree(&self, path: RequestPath, headers: &Headers<'_, '_>) -> Upgrade {
        let agent = headers.first("User-Agent").unwrap_or_default();
        let agent = String::from_utf8_lossy(agent);
        let is_browser = agent.starts_with("Mozilla/");
        let forwarded = headers.first("X-Forwarded-For").unwrap_or_default();
        let mut cookies = Cookies::default();
        for header in headers.all("Cookie") {
            cookies.read(&self.cookies, header);
        }
        Upgrade {
            path,
            compression: self.compression && headers.offer_compression(),
            masked: headers.first("Nats-No-Masking") != Some(b"true"),
            is_browser,
            is_safari: is_browser && agent.contains("Version/") && agent.contains("Safari/"),
            forwarded_for: std::str::from_utf8(forwarded).ok().and_then(|text| text.parse().ok()),
            cookies,
        }
    }
}

impl RequestPath {
    fn of(target: &str) -> Self {
        let path = target.split('?').next().unwrap_or_default();
        if path.ends_with("/leafnode") {
            Self::LeafNode
        } else if path.ends_with("/mqtt") {
            Self::Mqtt
        } else {
            Self::Client
        }
    }
}

struct Headers<'h, 'b>(&'h [httparse::Header<'b>]);

impl<'b> Headers<'_, 'b> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'b [u8]> + '_ {
        let name = name.to_owned();
        let named = move |header: &&httparse::Header<'b>| header.name.eq_ignore_ascii_case(&name);
        self.0.iter().filter(named).map(|header| header.value.trim_ascii())
    }

    fn first(&self, name: &str) -> Option<&'b [u8]> {
        self.all(name).next()
    }

    /// Whether a header's list has an item.
    fn have(&self, name: &str, item: &[u8]) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|found| found.trim_ascii().eq_ignore_ascii_case(item))
    }

    /// As nats-server looks for it: parameters do not matter.
    fn offer_compression(&self) -> bool {
        self.all("Sec-WebSocket-Extensions")
            .flat_map(|value| value.split(|byte| matches!(byte, b',' | b';')))
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(b"permessage-deflate"))
    }
}

/// Bytes of a key once it is decoded.
const KEY_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: h:80\r\nUpgrade: websocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";

    fn rules() -> UpgradeRules {
        UpgradeRules::default()
    }

    fn with(line: &str) -> String {
        REQUEST.replace("Host: h:80\r\n", &format!("Host: h:80\r\n{line}\r\n"))
    }

    fn read(rules: &UpgradeRules, request: &str) -> Result<Option<Upgrade>, Refusal> {
        rules.read(request.as_bytes(), &mut Vec::new())
    }

    #[test]
    fn a_request_is_granted_once_it_is_whole() {
        for cut in 0..REQUEST.len() {
            assert_eq!(read(&rules(), &REQUEST[..cut]), Ok(None), "cut at {cut}");
        }
        let mut out = Vec::new();
        let upgrade = rules().read(REQUEST.as_bytes(), &mut out).unwrap().unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        );
        assert!(upgrade.masked && !upgrade.compression && !upgrade.is_browser);
        assert_eq!(upgrade.path, RequestPath::Client);
    }

    #[test]
    fn what_is_missing_is_told() {
        let without = |line: &str| REQUEST.replace(line, "");
        for (request, status, text) in [
            (REQUEST.replace("GET", "POST"), 405, "request method must be GET"),
            (without("Host: h:80\r\n"), 400, "missing required Host header"),
            (REQUEST.replace("Host: h:80", "Host: "), 400, "'Host' missing in request"),
            (without("Upgrade: websocket\r\n"), 400, "invalid value for header 'Upgrade'"),
            (
                REQUEST.replace("keep-alive, Upgrade", "close"),
                400,
                "invalid value for header 'Connection'",
            ),
            (without("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400, "key missing"),
            (REQUEST.replace("dGhlIHNh", ""), 400, "invalid websocket key"),
            (REQUEST.replace(": 13", ": 12"), 400, "invalid version"),
            (format!("{REQUEST}more"), 400, "client sent data before handshake is complete"),
            (REQUEST.replace("GET / ", "GET /mqtt "), 404, "mqtt websocket endpoint not enabled"),
            (REQUEST.replace("HTTP/1.1", "HTTP/3.0"), 505, "unsupported protocol version"),
            (REQUEST.replace("Host:", "Ho st:"), 400, ""),
        ] {
            let refused = read(&rules(), &request).unwrap_err();
            assert_eq!((refused.status, &*refused.text), (status, text));
        }
        let many = with(&"A: b\r\n".repeat(70));
        assert_eq!(read(&rules(), many.trim_end()).unwrap_err().status, 431);
        let long = format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(REQUEST_BYTES_MAX));
        assert_eq!(read(&rules(), &long).unwrap_err().status, 431);
    }

    #[test]
    fn origins_are_checked_if_rules_say_so() {
        let same = UpgradeRules { same_origin: true, ..rules() };
        assert!(read(&same, REQUEST).is_ok());
        assert!(read(&same, &with("Origin: http://h")).is_ok());
        let refused = read(&same, &with("Origin: http://other")).unwrap_err();
        assert_eq!((refused.status, &*refused.text), (403, "origin not allowed: not same origin"));
        let allowed_origins = vec![AllowedOrigin::parse("https://a.b").unwrap()];
        let listed = UpgradeRules { allowed_origins, ..rules() };
        assert!(read(&listed, &with("Origin: https://a.b")).is_ok());
        let refused = read(&listed, &with("Sec-WebSocket-Origin: http://h")).unwrap_err();
        assert_eq!(refused.text, "origin not allowed: not in the allowed list");
        assert!(read(&rules(), &with("Origin: http://other")).is_ok());
    }

    #[test]
    fn compression_and_masking_are_agreed_on() {
        let offer =
            with("Sec-WebSocket-Extensions: foo, permessage-deflate; client_max_window_bits");
        let mut out = Vec::new();
        assert!(!rules().read(offer.as_bytes(), &mut out).unwrap().unwrap().compression);
        let rules = UpgradeRules { compression: true, headers: (*b"X-A: b\r\n").into(), ..rules() };
        assert!(!read(&rules, REQUEST).unwrap().unwrap().compression);
        out.clear();
        assert!(rules.read(offer.as_bytes(), &mut out).unwrap().unwrap().compression);
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with(
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
             client_no_context_takeover\r\nX-A: b\r\n\r\n"
        ));
        let mut out = Vec::new();
        let request = with("Nats-No-Masking: true");
        assert!(!rules.read(request.as_bytes(), &mut out).unwrap().unwrap().masked);
        assert!(String::from_utf8(out).unwrap().contains("\r\nNats-No-Masking: true\r\n"));
    }

    #[test]
    fn headers_tell_who_it_is() {
        let rules = UpgradeRules {
            cookies: CookieNames { user: "u".into(), ..CookieNames::default() },
            ..rules()
        };
        let safari = "User-Agent: Mozilla/5.0 (Mac) Version/17.1 Safari/605.1.15\r\n\
            X-Forwarded-For: 10.1.2.3\r\nCookie: a=b; u=ada";
        let upgrade = read(&rules, &with(safari)).unwrap().unwrap();
        assert!(upgrade.is_browser && upgrade.is_safari);
        assert_eq!(upgrade.forwarded_for, Some([10, 1, 2, 3].into()));
        assert_eq!(upgrade.cookies.user, "ada");
        let other = with("User-Agent: nats.rs\r\nX-Forwarded-For: evil\" - cid:1");
        let upgrade = read(&rules, &other).unwrap().unwrap();
        assert!(!upgrade.is_browser && upgrade.forwarded_for.is_none());
        let leaf = REQUEST.replace("GET /", "GET /a/leafnode?x=/mqtt");
        assert_eq!(read(&rules, &leaf).unwrap().unwrap().path, RequestPath::LeafNode);
    }
}
