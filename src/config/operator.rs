//! Operator mode: `operator`, `trusted_keys`, `resolver` and what belongs to them.
#![expect(clippy::disallowed_methods, reason = "files are read before the first shard starts")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::entry::{Entry, GO_MAP};
use super::findings::{Findings, Problem};
use super::grammar::{parse_duration, Map, Node, Value};
use super::keys::Key;
use super::Options;
use crate::account::jwt::{
    public_key_kind, AccountToken, Claims, JwtError, KeyKind, OperatorBody, OperatorToken,
    TOKEN_BYTES_MAX,
};
use crate::account::{DirectoryResolverOptions, ResolverOptions, ResolverTls};

/// Reads one of the keys into `options`; what is wrong with it is noted.
pub(super) fn read(key: Key, entry: Entry<'_>, options: &mut Options, findings: &mut Findings) {
    let operator = &mut options.access.operator;
    let read = match key {
        Key::Operator => operators(entry, options),
        Key::TrustedKeys => keys(entry).map(|keys| operator.trusted_keys = keys),
        Key::Resolver => resolver(entry, options),
        Key::ResolverTls => resolver_tls(entry, options),
        Key::ResolverPreload => return preload(entry.node, options, findings),
        Key::ResolverPinned => pinned(entry).map(|pinned| operator.pinned_accounts = pinned),
        Key::DefaultSentinel => entry.text().map(|token| operator.default_sentinel = token),
        _ => Ok(()),
    };
    if let Err(problem) = read {
        findings.error(entry.node, problem);
    }
}

/// Without a resolver the operator's own server of tokens is one, if it has any.
pub(super) fn complete(options: &mut Options) {
    let operator = &mut options.access.operator;
    if operator.resolver != ResolverOptions::None {
        return;
    }
    let urls = operator.operators.iter().map(|operator| &operator.body.account_server_url);
    if let Some(url) = urls.into_iter().find(|url| !url.is_empty()) {
        let url = format!("{}/accounts/", url.trim_end_matches('/'));
        operator.resolver = ResolverOptions::Url { url };
    }
}

fn told(text: impl Into<String>) -> Problem {
    Problem::Operator(text.into())
}

/// A text or a list of texts.
fn texts(entry: Entry<'_>) -> Result<Vec<&str>, Problem> {
    match &entry.node.value {
        Value::String(text) => Ok(vec![text]),
        Value::Array(items) => items
            .iter()
            .map(|item| match &item.value {
                Value::String(text) => Ok(text.as_str()),
                other => Err(Problem::Type { found: other.go_type(), wanted: "string" }),
            })
            .collect(),
        other => Err(Problem::Type { found: other.go_type(), wanted: "string" }),
    }
}

fn operators(entry: Entry<'_>, options: &mut Options) -> Result<(), Problem> {
    options.access.operator.tokens.clear();
    options.access.operator.operators.clear();
    for text in texts(entry)? {
        let (token, claims) =
            operator(text).map_err(|error| told(format!("error parsing operator JWT: {error}")))?;
        options.access.operator.tokens.push(token);
        options.access.operator.operators.push(claims);
    }
    Ok(())
}

/// A token, or a file with one.
fn operator(text: &str) -> Result<(String, Claims<OperatorBody>), String> {
    let token = if text.starts_with(TOKEN_START) {
        text.to_owned()
    } else {
        let bytes = std::fs::read(text)
            .map_err(|error| format!("open {text}: {}", crate::host::go_error_text(&error)))?;
        undecorated(&String::from_utf8_lossy(&bytes)).to_owned()
    };
    let claims = OperatorToken::decode(&token)
        .and_then(OperatorToken::verify)
        .map_err(|error: JwtError| error.to_string())?;
    Ok((token, claims))
}

/// How every token begins: `{"` in base64.
const TOKEN_START: &str = "eyJ";

/// The token of a file, which may stand between lines of dashes.
fn undecorated(text: &str) -> &str {
    let mut lines = text.lines().map(str::trim);
    let is_first = |line: &&str| line.starts_with("-----BEGIN");
    let after = lines.clone().position(|line| is_first(&line));
    match after {
        Some(at) => lines.nth(at + 1).unwrap_or_default(),
        None => text.trim(),
    }
}

fn keys(entry: Entry<'_>) -> Result<Vec<String>, Problem> {
    let keys = texts(entry)?;
    let is_operator = |key: &&&str| public_key_kind(key) == Some(KeyKind::Operator);
    if let Some(wrong) = keys.iter().find(|key| !is_operator(key)) {
        let text = format!("trust key {wrong:?} required to be a valid public operator nkey");
        return Err(told(text));
    }
    Ok(keys.into_iter().map(str::to_owned).collect())
}

fn resolver(entry: Entry<'_>, options: &mut Options) -> Result<(), Problem> {
    let resolver = &mut options.access.operator.resolver;
    match &entry.node.value {
        Value::String(text) => *resolver = named_resolver(text)?,
        Value::Map(map) => {
            let text = |name: &str| match map.get(name).map(|node| &node.value) {
                Some(Value::String(text)) => text.clone(),
                _ => String::new(),
            };
            let kind = text("type").to_lowercase();
            match kind.as_str() {
                "full" => *resolver = directory(map)?,
                "cache" => {
                    let feature = "a cache of accounts, which needs a cluster";
                    return Err(Problem::NotBuilt { name: "resolver".to_owned(), feature });
                }
                _ => return Err(told(RESOLVER_FORMS)),
            }
        }
        other => {
            let text = format!("error parsing operator resolver, wrong type {}", other.go_type());
            return Err(told(text));
        }
    }
    Ok(())
}

/// nats-server's text, its blanks and brackets included.
const RESOLVER_FORMS: &str = "error parsing account resolver, should be MEM or  URL(\"url\") or a map containing dir and type state=[FULL|CACHE])";

/// `MEMORY`, or `URL(http://host/path/)`.
fn named_resolver(text: &str) -> Result<ResolverOptions, Problem> {
    match text.to_uppercase().as_str() {
        "MEM" | "MEMORY" => return Ok(ResolverOptions::Memory),
        _ => {}
    }
    let kind = text.get(..4).unwrap_or_default();
    let url = text.get(4..).and_then(|rest| rest.strip_suffix(')'));
    match url {
        Some(url) if kind.eq_ignore_ascii_case("url(") => {
            let url = url.trim().to_owned();
            Ok(ResolverOptions::Url { url })
        }
        _ => Err(told(RESOLVER_FORMS)),
    }
}

fn directory(map: &Map) -> Result<ResolverOptions, Problem> {
    let mut options = DirectoryResolverOptions {
        dir: PathBuf::new(),
        allow_delete: false,
        hard_delete: false,
        limit: None,
        interval: Duration::from_secs(120),
        timeout: Duration::from_millis(1900),
    };
    for (name, node) in map {
        let entry = Entry { name, node };
        let duration = || match &node.value {
            Value::String(text) => parse_duration(text).map_err(|error| told(error.to_string())),
            _ => Err(entry.wrong("string")),
        };
        match name.to_lowercase().as_str() {
            "type" => {}
            "dir" => options.dir = PathBuf::from(entry.text()?.unwrap_or_default()),
            "allow_delete" => options.allow_delete = entry.switch()?,
            "hard_delete" => options.hard_delete = entry.switch()?,
            "limit" => {
                options.limit = usize::try_from(entry.integer()?).ok().filter(|&max| max > 0)
            }
            "interval" => options.interval = duration()?,
            "timeout" => options.timeout = duration()?,
            _ if node.used_as_variable => {}
            _ => return Err(Problem::Unknown(name.clone())),
        }
    }
    if options.dir == Path::new("") {
        return Err(told("dir has no value and needs to point to a directory"));
    }
    Ok(ResolverOptions::Directory(options))
}

/// Whom to believe, and what to show.
fn resolver_tls(entry: Entry<'_>, options: &mut Options) -> Result<(), Problem> {
    let Value::Map(map) = &entry.node.value else { return Err(entry.wrong(GO_MAP)) };
    let (mut tls, mut certificate, mut key) = (ResolverTls::default(), None, None);
    for (name, node) in map {
        let entry = Entry { name, node };
        let file = || Ok::<_, Problem>(entry.text()?.map(PathBuf::from));
        match name.to_lowercase().as_str() {
            "ca_file" => tls.ca_file = file()?,
            "cert_file" => certificate = file()?,
            "key_file" => key = file()?,
            "insecure" => tls.insecure = entry.switch()?,
            // The resolver is given its own time.
            "timeout" => {}
            _ => entry.not_built("more of TLS for the account resolver")?,
        }
    }
    tls.identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(told("missing 'key_file' in TLS configuration")),
        (None, Some(_)) => return Err(told("missing 'cert_file' in TLS configuration")),
    };
    options.access.operator.resolver_tls = tls;
    Ok(())
}

fn preload(node: &Node, options: &mut Options, findings: &mut Findings) {
    let Value::Map(map) = &node.value else {
        return findings
            .error(node, told("preload should be a map of account_public_key:account_jwt"));
    };
    let preload = &mut options.access.operator.preload;
    preload.clear();
    for (account, node) in map {
        let Value::String(token) = &node.value else {
            findings.error(node, told("preload map value should be a string JWT"));
            continue;
        };
        let decoded = if token.len() > TOKEN_BYTES_MAX {
            Err(JwtError::TooLong)
        } else {
            AccountToken::decode(token).and_then(AccountToken::verify)
        };
        match decoded {
            Ok(_) => {
                preload.insert(account.clone(), token.clone());
            }
            Err(_) => findings.error(node, told("invalid account JWT")),
        }
    }
}

fn pinned(entry: Entry<'_>) -> Result<Vec<String>, Problem> {
    let accounts = texts(entry)?;
    Ok(accounts.into_iter().map(str::to_owned).collect())
}
