//! `/`: links to the pages.

use std::fmt::Write as _;

/// The page; `prefix` is what the links begin with: the last part of the base
/// path, or nothing.
pub(super) fn index(version: &str, midge_version: &str, base_path: &str) -> Vec<u8> {
    let prefix = base_path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let mut links = String::new();
    for (path, name) in PAGES {
        let _infallible = writeln!(
            links,
            "    <a href=\"./{prefix}{path}\">{name}<span class=\"endpoint\"> /{path}</span></a>"
        );
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n  <head>\n    <title>Midge</title>\n    \
         <style>\n      body {{ font-family: sans-serif; margin: 2rem }}\n      \
         a {{ display: block; padding-bottom: 6px; color: #48485c; text-decoration: none }}\n      \
         a:hover {{ color: #3b32ca }}\n      .endpoint {{ color: #999; font-family: monospace }}\n    \
         </style>\n  </head>\n  <body>\n    <h1>Midge {midge_version}</h1>\n    \
         <p>as nats-server v{version}</p>\n{links}  </body>\n</html>\n"
    )
    .into_bytes()
}

const PAGES: [(&str, &str); 12] = [
    ("varz", "General"),
    ("jsz", "JetStream"),
    ("connz", "Connections"),
    ("accountz", "Accounts"),
    ("accstatz", "Account Stats"),
    ("subsz", "Subscriptions"),
    ("routez", "Routes"),
    ("leafz", "LeafNodes"),
    ("gatewayz", "Gateways"),
    ("healthz", "Health Probe"),
    ("metrics", "Prometheus"),
    ("debug/vars", "Expvar"),
];
