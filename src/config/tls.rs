//! The `tls` block: what it may hold and what that means.

use std::path::PathBuf;
use std::time::Duration;

use super::entry::{Entry, GO_MAP};
use super::findings::{Findings, Problem};
use super::grammar::{parse_duration, Node, Value};
use crate::tls::{CertificatePair, HandshakeFirst, TlsContext, TlsOptions};

/// Reads a block. `None` if it has no certificate, which means no TLS, or if something is wrong.
pub(super) fn tls(node: &Node, findings: &mut Findings) -> Option<TlsOptions> {
    let Value::Map(map) = &node.value else {
        let problem = Problem::Type { found: node.value.go_type(), wanted: GO_MAP };
        findings.error(node, problem);
        return None;
    };
    let mut options = TlsOptions::default();
    let mut pair = CertificatePair::default();
    let mut sound = true;
    for (name, node) in map {
        if let Err((node, problem)) = set(Entry { name, node }, &mut options, &mut pair) {
            findings.error(node, problem);
            sound = false;
        }
    }
    if !sound {
        return None;
    }
    let (has_cert, has_key) =
        (!pair.cert_file.as_os_str().is_empty(), !pair.key_file.as_os_str().is_empty());
    match (has_cert, has_key) {
        (true, true) => options.certificates.insert(0, pair),
        (true, false) => return refuse(node, findings, "missing 'key_file' in TLS configuration"),
        (false, true) => return refuse(node, findings, "missing 'cert_file' in TLS configuration"),
        (false, false) if options.certificates.is_empty() => return None,
        (false, false) => {}
    }
    // Read once now, so that a test run (`-t`) finds what a start would.
    if let Err(error) = TlsContext::load(&options) {
        return refuse(node, findings, error);
    }
    Some(options)
}

fn refuse(
    node: &Node,
    findings: &mut Findings,
    error: impl std::fmt::Display,
) -> Option<TlsOptions> {
    findings.error(node, Problem::Tls(error.to_string()));
    None
}

fn set<'a>(
    entry: Entry<'a>,
    options: &mut TlsOptions,
    pair: &mut CertificatePair,
) -> Result<(), (&'a Node, Problem)> {
    let node = entry.node;
    let at = |problem: Problem| (node, problem);
    let told = |text: String| (node, Problem::Tls(text));
    match entry.name.to_lowercase().as_str() {
        "cert_file" => pair.cert_file = file(entry).map_err(at)?,
        "key_file" => pair.key_file = file(entry).map_err(at)?,
        "ca_file" => options.ca_file = Some(file(entry).map_err(at)?),
        "certs" | "certificates" => options.certificates = pairs(node)?,
        "verify" => options.verify |= flag(entry).map_err(at)?,
        "verify_and_map" => {
            options.map = flag(entry).map_err(at)?;
            options.verify |= options.map;
        }
        // What only a client does, and what only Go's weak suites need.
        "insecure" | "allow_insecure_cipher_suites" => {
            flag(entry).map_err(at)?;
        }
        "verify_cert_and_check_known_urls" => {
            if flag(entry).map_err(at)? {
                return Err(told(String::from(
                    "verify_cert_and_check_known_urls not supported in this context",
                )));
            }
        }
        "timeout" => options.timeout = timeout(node).map_err(at)?,
        "min_version" => options.only_tls13 = only_tls13(node).map_err(at)?,
        "cipher_suites" => options.cipher_suites = names(entry)?,
        "curve_preferences" => options.curves = names(entry)?,
        "pinned_certs" => options.pinned_certs = pins(node)?,
        "handshake_first" | "first" | "immediate" => {
            options.handshake_first = handshake_first(entry).map_err(at)?;
        }
        "connection_rate_limit" => match node.value {
            Value::Integer(rate) => {
                options.connection_rate_limit = u32::try_from(rate).ok().filter(|&rate| rate > 0);
            }
            _ => return Err(told(wrong_type("connection_rate_limit"))),
        },
        "ocsp_peer" => return entry.not_built("OCSP").map_err(at),
        _ if node.used_as_variable => {}
        _ => return Err(told(format!("error parsing tls config, unknown field {:?}", entry.name))),
    }
    Ok(())
}

fn wrong_type(name: &str) -> String {
    format!("error parsing tls config, '{name}' wrong type")
}

fn file(entry: Entry<'_>) -> Result<PathBuf, Problem> {
    match &entry.node.value {
        Value::String(path) => Ok(PathBuf::from(path)),
        _ => Err(Problem::Tls(format!(
            "error parsing tls config, expected '{}' to be filename",
            entry.name
        ))),
    }
}

fn flag(entry: Entry<'_>) -> Result<bool, Problem> {
    match entry.node.value {
        Value::Bool(on) => Ok(on),
        _ => Err(Problem::Tls(format!(
            "error parsing tls config, expected '{}' to be a boolean",
            entry.name
        ))),
    }
}

fn pairs(node: &Node) -> Result<Vec<CertificatePair>, (&Node, Problem)> {
    let wrong = |node, text: &str| (node, Problem::Tls(text.to_owned()));
    let Value::Array(items) = &node.value else {
        return Err(wrong(node, "error parsing certificates config: expected an array"));
    };
    let mut pairs = Vec::new();
    for item in items {
        let Value::Map(map) = &item.value else {
            return Err(wrong(item, "error parsing certificates config: unsupported type"));
        };
        let mut pair = CertificatePair::default();
        for (name, node) in map {
            let Value::String(path) = &node.value else {
                return Err(wrong(node, "error parsing certificates config: unsupported type"));
            };
            match name.to_lowercase().as_str() {
                "cert_file" => pair.cert_file = PathBuf::from(path),
                "key_file" => pair.key_file = PathBuf::from(path),
                _ => {
                    let text = format!("error parsing tls certs config, unknown field {name:?}");
                    return Err(wrong(node, &text));
                }
            }
        }
        if pair.cert_file.as_os_str().is_empty() || pair.key_file.as_os_str().is_empty() {
            return Err(wrong(
                item,
                "error parsing certificates config: both 'cert_file' and 'cert_key' options are \
                 required",
            ));
        }
        pairs.push(pair);
    }
    Ok(pairs)
}

/// Seconds, whole or not, or a duration.
fn timeout(node: &Node) -> Result<Duration, Problem> {
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    match &node.value {
        Value::Integer(number) => Ok(seconds(*number as f64)),
        Value::Float(number) => Ok(seconds(*number)),
        Value::String(text) => parse_duration(text)
            .map_err(|error| Problem::Tls(format!("error parsing tls config, 'timeout' {error}"))),
        _ => Err(Problem::Tls(wrong_type("timeout"))),
    }
}

fn only_tls13(node: &Node) -> Result<bool, Problem> {
    let refuse = |text: String| Err(Problem::Tls(format!("error parsing tls config: {text}")));
    match &node.value {
        Value::String(text) => match text.as_str() {
            "1.2" => Ok(false),
            "1.3" => Ok(true),
            "1.0" | "1.1" => refuse(format!("unsupported TLS version: TLS {text}")),
            _ => refuse(format!("unknown version: {text}")),
        },
        Value::Float(number) => refuse(format!("'min_version' wrong type: {number}")),
        Value::Integer(number) => refuse(format!("'min_version' wrong type: {number}")),
        other => refuse(format!("'min_version' wrong type: {}", other.go_type())),
    }
}

fn names(entry: Entry<'_>) -> Result<Vec<String>, (&Node, Problem)> {
    let node = entry.node;
    let Value::Array(items) = &node.value else {
        return Err((node, Problem::Tls(wrong_type(entry.name))));
    };
    if items.is_empty() {
        let text = format!("error parsing tls config, '{}' cannot be empty", entry.name);
        return Err((node, Problem::Tls(text)));
    }
    items
        .iter()
        .map(|item| match &item.value {
            Value::String(name) => Ok(name.clone()),
            _ => Err((item, Problem::Tls(wrong_type(entry.name)))),
        })
        .collect()
}

fn pins(node: &Node) -> Result<Vec<String>, (&Node, Problem)> {
    let Value::Array(items) = &node.value else {
        let text = "error parsing tls config, expected 'pinned_certs' to be a list of hex-encoded \
                    sha256 of DER encoded SubjectPublicKeyInfo";
        return Err((node, Problem::Tls(text.to_owned())));
    };
    let mut pins = Vec::new();
    for item in items {
        let text = match &item.value {
            Value::String(text) => text.to_lowercase(),
            other => other.go_type().to_owned(),
        };
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let text = format!(
                "error parsing tls config, 'pinned_certs' key {text} does not look like \
                 hex-encoded sha256 of DER encoded SubjectPublicKeyInfo"
            );
            return Err((item, Problem::Tls(text)));
        }
        pins.push(text);
    }
    Ok(pins)
}

fn handshake_first(entry: Entry<'_>) -> Result<HandshakeFirst, Problem> {
    let text = match &entry.node.value {
        Value::Bool(true) => return Ok(HandshakeFirst::Yes),
        Value::Bool(false) => return Ok(HandshakeFirst::No),
        Value::String(text) => text,
        other => {
            return Err(Problem::Tls(format!(
                "field {:?} should be a boolean or a string, got {}",
                entry.name,
                other.go_type()
            )))
        }
    };
    match text.to_lowercase().as_str() {
        "on" | "true" => Ok(HandshakeFirst::Yes),
        "off" | "false" => Ok(HandshakeFirst::No),
        "auto" | "auto_fallback" => Ok(HandshakeFirst::Within(FALLBACK_DEFAULT)),
        _ => match parse_duration(text) {
            Ok(wait) => Ok(HandshakeFirst::Within(wait)),
            Err(_) => {
                Err(Problem::Tls(format!("field {:?}'s value {text:?} is invalid", entry.name)))
            }
        },
    }
}

/// How long `auto` waits for a client's handshake.
const FALLBACK_DEFAULT: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::super::file::tests::complains;

    #[test]
    fn what_is_wrong_is_told_in_nats_servers_words() {
        for (text, complaint) in [
            ("tls { cert_file: \"x\" }", "f:1:0: missing 'key_file' in TLS configuration\n"),
            (
                "tls { cert_file: \"no-such\", key_file: \"y\" }",
                "f:1:0: error parsing X509 certificate/key pair: open no-such: no such file or \
                 directory\n",
            ),
            (
                "tls { min_version: \"1.1\" }",
                "f:1:6: error parsing tls config: unsupported TLS version: TLS 1.1\n",
            ),
            (
                "tls { cipher_suites: [] }",
                "f:1:6: error parsing tls config, 'cipher_suites' cannot be empty\n",
            ),
            (
                "tls { handshake_first: \"x\" }",
                "f:1:6: field \"handshake_first\"'s value \"x\" is invalid\n",
            ),
            (
                "tls { handshake_first: 3 }",
                "f:1:6: field \"handshake_first\" should be a boolean or a string, got int64\n",
            ),
            ("tls { foo: 1 }", "f:1:6: error parsing tls config, unknown field \"foo\"\n"),
            (
                "tls { verify: 1 }",
                "f:1:6: error parsing tls config, expected 'verify' to be a boolean\n",
            ),
            (
                "tls { cert_file: 3 }",
                "f:1:6: error parsing tls config, expected 'cert_file' to be filename\n",
            ),
            (
                "tls { certs: [ {cert_file: \"c\" } ] }",
                "f:1:16: error parsing certificates config: both 'cert_file' and 'cert_key' \
                 options are required\n",
            ),
        ] {
            complains(text, complaint);
        }
    }
}
