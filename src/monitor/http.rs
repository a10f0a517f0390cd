//! HTTP/1 as far as monitoring needs it: bytes to a request, a response to
//! bytes. No socket, no clock.
//!
//! The method is not looked at, but for HEAD: nats-server answers every one
//! alike. What it says to a request that is none is Go's.

use std::fmt::Write as _;

use super::query::unescape;
use super::times::http_date;

/// Bytes of a request's head.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a request's body, which is skipped.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Header fields of a request.
const HEADERS_MAX: usize = 64;

/// A request, as far as a page depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Decoded.
    pub(super) path: String,
    /// As it came, without the question mark.
    pub(super) query: String,
    pub(super) head_only: bool,
    pub(super) keep_alive: bool,
    pub(super) is_http_1_0: bool,
    /// Bytes that follow the head and mean nothing.
    pub(super) body_bytes: usize,
}

/// What the bytes at the start of a buffer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Incomplete,
    /// And the bytes of its head.
    Request(Request, usize),
    /// Answered with these bytes and the end of the connection.
    Refused(&'static str),
}

/// Looks for a request at the start of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let head_bytes = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Parsed::Incomplete,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Parsed::Refused(HEAD_TOO_LARGE);
        }
        Err(httparse::Error::Version) => return Parsed::Refused(VERSION),
        Err(_) => return Parsed::Refused(BAD_REQUEST),
    };
    if head_bytes > HEAD_BYTES_MAX {
        return Parsed::Refused(HEAD_TOO_LARGE);
    }
    let field = |name: &str| {
        let found = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| String::from_utf8_lossy(field.value).trim().to_ascii_lowercase())
    };
    let is_http_1_0 = request.version == Some(0);
    if !is_http_1_0 && field("host").is_none() {
        return Parsed::Refused(NO_HOST);
    }
    let target = origin_form(request.path.unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = unescape(path, false).filter(|path| path.is_empty() || path.starts_with('/'));
    let Some(path) = path else { return Parsed::Refused(BAD_REQUEST) };
    let body_bytes = match field("content-length").map(|text| text.parse::<usize>()) {
        None => 0,
        Some(Ok(length)) if length <= BODY_BYTES_MAX => length,
        Some(Ok(_)) => return Parsed::Refused(BODY_TOO_LARGE),
        Some(Err(_)) => return Parsed::Refused(BAD_REQUEST),
    };
    let connection = field("connection").unwrap_or_default();
    let asks = |word: &str| connection.split(',').any(|part| part.trim() == word);
    // A body whose end is told by itself is not looked for.
    let endless = field("transfer-encoding").is_some();
    Parsed::Request(
        Request {
            path: if path.is_empty() { "/".to_owned() } else { path },
            query: query.to_owned(),
            head_only: request.method == Some("HEAD"),
            keep_alive: !endless && if is_http_1_0 { asks("keep-alive") } else { !asks("close") },
            is_http_1_0,
            body_bytes,
        },
        head_bytes,
    )
}

/// Takes `http://host` off.
fn origin_form(target: &str) -> &str {
    let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    match rest {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    /// Whether pages of other origins may read it.
    pub(super) for_all_origins: bool,
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const HTML: &str = "text/html; charset=utf-8";

impl Response {
    pub(super) fn json(status: u16, body: Vec<u8>) -> Self {
        let content_type = JSON;
        Self { status, content_type, for_all_origins: true, location: None, body }
    }

    pub(super) fn plain(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status, content_type, for_all_origins: false, location: None, body }
    }

    /// The bytes, at `now` seconds since 1970.
    pub(super) fn write(&self, request: &Request, now: u64) -> Vec<u8> {
        let version = if request.is_http_1_0 { "1.0" } else { "1.1" };
        let mut head = format!("HTTP/{version} {} {}\r\n", self.status, reason(self.status));
        let mut field = |name: &str, value: &str| {
            let _infallible = write!(head, "{name}: {value}\r\n");
        };
        if self.for_all_origins {
            field("Access-Control-Allow-Origin", "*");
        }
        field("Content-Type", self.content_type);
        if let Some(location) = &self.location {
            field("Location", location);
        }
        if self.status == 404 && self.body == NOT_FOUND.as_bytes() {
            field("X-Content-Type-Options", "nosniff");
        }
        field("Date", &http_date(now));
        field("Content-Length", &self.body.len().to_string());
        match (request.is_http_1_0, request.keep_alive) {
            (true, true) => field("Connection", "keep-alive"),
            (false, false) => field("Connection", "close"),
            _ => {}
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if !request.head_only {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// The body of a page that is not there.
pub(super) const NOT_FOUND: &str = "404 page not found\n";

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        404 => "Not Found",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// The path without `.`, `..` and doubled slashes, as Go's router asks for it.
pub(super) fn clean_path(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    let mut clean = format!("/{}", parts.join("/"));
    if path.ends_with('/') && clean != "/" {
        clean.push('/');
    }
    clean
}

const BAD_REQUEST: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; \
    charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request";
const NO_HOST: &str = "HTTP/1.1 400 Bad Request: missing required Host header\r\n\
    Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n\
    400 Bad Request: missing required Host header";
const VERSION: &str = "HTTP/1.1 505 HTTP Version Not Supported: unsupported protocol version\r\n\
    Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n\
    505 HTTP Version Not Supported: unsupported protocol version";
const HEAD_TOO_LARGE: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: \
    text/plain; charset=utf-8\r\nConnection: close\r\n\r\n431 Request Header Fields Too Large";
const BODY_TOO_LARGE: &str = "HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: text/plain; \
    charset=utf-8\r\nConnection: close\r\n\r\n413 Request Entity Too Large";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn request(bytes: &[u8]) -> Request {
        match parse(bytes) {
            Parsed::Request(request, _) => request,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn refused(bytes: &[u8], status: &str) {
        match parse(bytes) {
            Parsed::Refused(text) => assert!(text.contains(status), "{text}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn requests_are_read() {
        let plain = request(b"GET /connz?limit=1 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((plain.path.as_str(), plain.query.as_str()), ("/connz", "limit=1"));
        assert!(plain.keep_alive && !plain.head_only);
        assert_eq!(request(b"GET http://x/heal%74hz HTTP/1.1\r\nHost: a\r\n\r\n").path, "/healthz");
        assert_eq!(request(b"GET http://x HTTP/1.0\r\n\r\n").path, "/");
        assert!(!request(b"GET / HTTP/1.0\r\n\r\n").keep_alive);
        assert!(request(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
        assert!(!request(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").keep_alive);
        assert_eq!(
            request(b"FOO / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").body_bytes,
            5
        );
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHo"), Parsed::Incomplete);
        assert_eq!(parse(b""), Parsed::Incomplete);
    }

    #[test]
    fn what_is_no_request_is_refused_in_gos_words() {
        refused(b"garbage\r\n\r\n", "400 Bad Request");
        refused(b"* HTTP/1.1\r\n\r\n", "400 Bad Request");
        refused(b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request");
        refused(b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request");
        refused(b"GET / HTTP/1.1\r\n\r\n", "missing required Host header");
        refused(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505 HTTP Version");
        refused(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n", "413");
        refused(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", "400");
        let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(HEAD_BYTES_MAX));
        refused(long.as_bytes(), "431");
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(HEADERS_MAX));
        refused(many.as_bytes(), "431");
    }

    #[test]
    fn responses_are_written() {
        let get = request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let text = Response::json(200, b"{}".to_vec()).write(&get, 0);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Type: application/json\r\n\
             Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 2\r\n\r\n{}"
        );
        let head = request(b"HEAD / HTTP/1.0\r\n\r\n");
        let text = Response::plain(404, TEXT, NOT_FOUND).write(&head, 0);
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("HTTP/1.0 404 Not Found\r\n") && text.ends_with("\r\n\r\n"));
        assert!(text.contains("nosniff") && text.contains("Content-Length: 19"));
    }

    #[test]
    fn paths_are_cleaned() {
        for (path, clean) in
            [("//varz", "/varz"), ("/a/../connz", "/connz"), ("/", "/"), ("/varz/", "/varz/")]
        {
            assert_eq!(clean_path(path), clean);
        }
    }
}
