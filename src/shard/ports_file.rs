//! The file that tells others which ports this server has got: test harnesses
//! and process managers start it on any free port and read where it is.
#![expect(clippy::disallowed_methods, reason = "written at the start, removed at the end")]

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::Options;
use crate::host;
use crate::log::Log;

/// The listeners.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    /// For clients.
    pub(super) client: SocketAddr,
    /// For monitoring.
    pub(super) monitoring: Option<SocketAddr>,
    /// For clients over WebSocket, and whether with TLS.
    pub(super) websocket: Option<(SocketAddr, bool)>,
    /// For routes.
    pub(super) cluster: Option<SocketAddr>,
    /// Whether monitoring is over TLS.
    pub(super) is_monitoring_secure: bool,
}

/// The file while it is there.
#[derive(Debug)]
pub(super) struct PortsFile {
    path: PathBuf,
}

/// The file's content; what is empty is left out.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Content {
    nats: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    monitoring: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cluster: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    websocket: Vec<String>,
}

impl PortsFile {
    /// Writes the file if the options ask for it. A server without it serves
    /// all the same, as nats-server does.
    pub(super) fn write(options: &Options, ports: &Ports, log: &Log) -> Option<Self> {
        let dir = options.ports_file_dir.as_ref()?;
        let program = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
        let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = dir.join(format!("{program}_{}.ports", std::process::id()));
        let addresses = host::interface_addresses();
        let json = serde_json::to_vec(&Content::new(ports, &addresses)).unwrap_or_default();
        if let Err(error) = replace(&path, &json) {
            let (path, error) = (path.display(), host::go_error_text(&error));
            log.error(format_args!("Error writing ports file ({path}): open {path}: {error}"));
        }
        Some(Self { path })
    }

    /// Removes the file: the ports mean nothing any more.
    pub(super) fn remove(self, log: &Log) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            let (path, error) = (self.path.display(), host::go_error_text(&error));
            log.error(format_args!("Error cleaning up ports file {path}: remove {path}: {error}"));
        }
    }
}

impl Content {
    fn new(ports: &Ports, interfaces: &[IpAddr]) -> Self {
        let urls = |scheme: &str, address: SocketAddr| -> Vec<String> {
            let everywhere = interfaces.iter().map(|ip| SocketAddr::new(*ip, address.port()));
            let shown: Vec<SocketAddr> =
                if address.ip().is_unspecified() { everywhere.collect() } else { vec![address] };
            shown.iter().map(|address| format!("{scheme}://{address}")).collect()
        };
        let scheme = if ports.is_monitoring_secure { "https" } else { "http" };
        Self {
            nats: urls("nats", ports.client),
            monitoring: ports.monitoring.map(|at| urls(scheme, at)).unwrap_or_default(),
            cluster: ports.cluster.map(|at| urls("nats", at)).unwrap_or_default(),
            websocket: ports
                .websocket
                .map_or_else(Vec::new, |(at, is_tls)| urls(if is_tls { "wss" } else { "ws" }, at)),
        }
    }
}

/// Whoever waits for the file must never see a part of it.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".tmp");
    std::fs::write(&unfinished, content)?;
    std::fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_becomes_those_of_the_machine() {
        let interfaces = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        let ports = Ports {
            client: "0.0.0.0:1".parse().unwrap(),
            monitoring: Some("[::1]:2".parse().unwrap()),
            websocket: Some(("127.0.0.1:3".parse().unwrap(), true)),
            cluster: Some("127.0.0.1:4".parse().unwrap()),
            is_monitoring_secure: false,
        };
        let content = Content::new(&ports, &interfaces);
        assert_eq!(content.nats, ["nats://127.0.0.1:1", "nats://[::1]:1"]);
        assert_eq!(content.monitoring, ["http://[::1]:2"]);
        assert_eq!(content.websocket, ["wss://127.0.0.1:3"]);
        assert_eq!(content.cluster, ["nats://127.0.0.1:4"]);
        let ports = Ports { monitoring: None, websocket: None, cluster: None, ..ports };
        let alone = Content::new(&ports, &interfaces[..1]);
        assert_eq!(serde_json::to_string(&alone).unwrap(), r#"{"nats":["nats://127.0.0.1:1"]}"#);
    }
}
