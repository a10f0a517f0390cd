//! What a configuration file says of monitoring: where it listens, what it remembers and shows.

use std::path::PathBuf;

use super::entry::Entry;
use super::file::split_host_port;
use super::findings::Problem;
use super::grammar::Value;
use super::keys::Key;
use super::Options;

/// Takes a key that concerns monitoring. Others change nothing.
pub(super) fn set(key: Key, entry: Entry<'_>, options: &mut Options) -> Result<(), Problem> {
    match key {
        Key::Http => listener(entry, options, |options| &mut options.http_port)?,
        Key::Https => listener(entry, options, |options| &mut options.https_port)?,
        Key::HttpPort => options.http_port = port(entry.integer()?),
        Key::HttpsPort => options.https_port = port(entry.integer()?),
        Key::HttpBasePath => options.http_base_path = entry.text()?.unwrap_or_default(),
        Key::MaxClosedClients => {
            options.max_closed_clients =
                entry.size(i64::MAX, Options::default().max_closed_clients)?;
        }
        Key::ServerTags => options.server_tags = tags(entry)?,
        Key::ServerMetadata => options.server_metadata = metadata(entry)?,
        Key::PortsFileDir => options.ports_file_dir = entry.text()?.map(PathBuf::from),
        _ => {}
    }
    Ok(())
}

/// A port, or `host:port`. HTTP and HTTPS have a port each and one host.
fn listener(
    entry: Entry<'_>,
    options: &mut Options,
    place: fn(&mut Options) -> &mut i32,
) -> Result<(), Problem> {
    let text = match &entry.node.value {
        Value::Integer(number) => {
            *place(options) = port(*number);
            return Ok(());
        }
        Value::String(text) => text,
        other => return Err(Problem::Listen(other.go_type())),
    };
    let (host, digits) = split_host_port(text).ok_or_else(|| Problem::Address(text.clone()))?;
    let number = digits.parse::<i64>().map_err(|_| Problem::Port(digits.to_owned()))?;
    *place(options) = port(number);
    options.http_host = (!host.is_empty()).then(|| host.to_owned());
    Ok(())
}

/// What is no port is left to the validation, which knows the command line too.
fn port(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// One text or a list of them, as nats-server keeps them: in lower case, each once.
fn tags(entry: Entry<'_>) -> Result<Vec<String>, Problem> {
    let mut tags = Vec::new();
    let mut add = |text: &str| {
        let tag = text.trim().to_lowercase();
        if !tag.is_empty() && !tags.contains(&tag) {
            tags.push(tag);
        }
    };
    match &entry.node.value {
        Value::String(text) => add(text),
        Value::Array(items) => {
            for item in items {
                add(Entry { name: entry.name, node: item }.text()?.as_deref().unwrap_or_default());
            }
        }
        _ => return Err(entry.wrong("string")),
    }
    Ok(tags)
}

fn metadata(entry: Entry<'_>) -> Result<std::collections::BTreeMap<String, String>, Problem> {
    let Value::Map(map) = &entry.node.value else {
        return Err(entry.wrong("map[string]interface {}"));
    };
    map.iter()
        .map(|(name, node)| Ok((name.clone(), Entry { name, node }.text()?.unwrap_or_default())))
        .collect()
}
