//! Where the page comes from that opens a connection, and whether it may.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use thiserror::Error;

/// An origin that is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigin {
    scheme: String,
    host: String,
    port: String,
}

/// Why an origin is not let in, or not understood; nats-server's texts.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OriginError {
    /// It is no URL.
    #[error("parse {0:?}: invalid URI for request")]
    NotAUrl(String),
    /// Its host and port cannot be told apart.
    #[error("address {0}: too many colons in address")]
    Address(String),
    /// It is not where the request went to.
    #[error("not same origin")]
    NotSame,
    /// It is none of those listed.
    #[error("not in the allowed list")]
    NotListed,
}

impl AllowedOrigin {
    /// Reads a URL such as `https://example.com:8443`. Without a port it is its scheme's.
    ///
    /// # Errors
    /// It is no URL.
    pub fn parse(url: &str) -> Result<Self, OriginError> {
        let (scheme, authority) = scheme_and_authority(url)?;
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = host_and_port(scheme == "https", authority)?;
        Ok(Self { scheme, host, port })
    }
}

/// Checks the origin of a request that went to `host`, with TLS or without.
pub(super) fn check(
    origin: &str,
    same_origin: bool,
    allowed: &[AllowedOrigin],
    host: &str,
    is_tls: bool,
) -> Result<(), OriginError> {
    let origin = AllowedOrigin::parse(origin)?;
    if same_origin {
        let (host, port) = host_and_port(is_tls, host)?;
        if (&host, &port) != (&origin.host, &origin.port) {
            return Err(OriginError::NotSame);
        }
    }
    if !allowed.is_empty() && !allowed.contains(&origin) {
        return Err(OriginError::NotListed);
    }
    Ok(())
}

/// As far as Go's `ParseRequestURI` tells URLs from others.
fn scheme_and_authority(url: &str) -> Result<(&str, &str), OriginError> {
    let not_a_url = || OriginError::NotAUrl(url.to_owned());
    if url.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
        return Err(not_a_url());
    }
    if url.starts_with('/') {
        return Ok(("", ""));
    }
    let (scheme, rest) = url.split_once(':').ok_or_else(not_a_url)?;
    let mut letters = scheme.bytes();
    let is_scheme = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme {
        return Err(not_a_url());
    }
    let authority = rest.strip_prefix("//").unwrap_or_default();
    let end = authority.find(['/', '?', '#']).unwrap_or(authority.len());
    let (authority, _) = authority.split_at(end);
    Ok((scheme, authority.rsplit_once('@').map_or(authority, |(_, host)| host)))
}

/// The host in lower case, and its port or that of the scheme.
fn host_and_port(is_tls: bool, authority: &str) -> Result<(String, String), OriginError> {
    let port = if is_tls { "443" } else { "80" };
    let found = match authority.rsplit_once(':') {
        None => None,
        Some((host, port)) => {
            let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            match bracketed {
                Some(host) => Some((host, port)),
                // A colon inside the brackets.
                None if authority.starts_with('[') && authority.ends_with(']') => None,
                None if host.contains(':') => {
                    return Err(OriginError::Address(authority.to_owned()));
                }
                None => Some((host, port)),
            }
        }
    };
    let (host, port) = found.unwrap_or((authority, port));
    Ok((host.to_ascii_lowercase(), port.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(origin: &str, same: bool, allowed: &[&str], host: &str, tls: bool) -> String {
        let allowed: Vec<_> =
            allowed.iter().map(|url| AllowedOrigin::parse(url).unwrap()).collect();
        check(origin, same, &allowed, host, tls).map_or_else(|e| e.to_string(), |()| "ok".into())
    }

    #[test]
    fn the_same_origin_has_the_same_host_and_port() {
        for (origin, host, tls, verdict) in [
            ("http://Host:80", "host", false, "ok"),
            ("https://host", "host:443", true, "ok"),
            ("https://host", "host", false, "not same origin"),
            ("http://host:8080", "host:8080", false, "ok"),
            ("http://other:8080", "host:8080", false, "not same origin"),
            ("http://[::1]:8080", "[::1]:8080", false, "ok"),
            ("http://u:p@host:1/x?y", "host:1", false, "ok"),
            ("null", "host", false, "parse \"null\": invalid URI for request"),
            ("http://a:b:c", "host", false, "address a:b:c: too many colons in address"),
        ] {
            assert_eq!(checked(origin, true, &[], host, tls), verdict, "{origin}");
        }
    }

    #[test]
    fn listed_origins_are_compared_with_their_scheme() {
        let list = ["http://one.com", "https://two.com:1234", "https://one.com"];
        for (origin, verdict) in [
            ("http://one.com:80", "ok"),
            ("https://ONE.com", "ok"),
            ("https://two.com:1234/page", "ok"),
            ("https://two.com", "not in the allowed list"),
            ("ftp://one.com", "not in the allowed list"),
            ("http://one.com.evil.org", "not in the allowed list"),
            ("/one.com", "not in the allowed list"),
        ] {
            assert_eq!(checked(origin, false, &list, "any", false), verdict, "{origin}");
        }
        assert_eq!(checked("http://one.com", true, &list, "one.com", false), "ok");
        assert_eq!(checked("http://one.com", true, &list, "b", false), "not same origin");
    }

    #[test]
    fn what_is_no_url_is_told() {
        assert!(AllowedOrigin::parse("one.com").is_err());
        assert!(AllowedOrigin::parse("http://a b").is_err());
        assert!(AllowedOrigin::parse("1http://a").is_err());
    }
}
