//! Connections that come through a proxy: its header before the first bytes of
//! the client tells who the client is.

use super::connection::{ConnKey, Phase};
use super::timers::Timer;
use super::{Core, Event};
use crate::proto::{parse_proxy_header, CloseReason, ProxyHeader};

/// Nanoseconds that a header may take from its first byte to its last.
const HEADER_TIME_MAX: u64 = 5_000_000_000;

impl Core {
    /// From now on new connections may begin with the header of a proxy.
    pub fn expect_proxy_headers(&mut self) {
        self.proxy_headers = true;
    }

    /// The first bytes of a connection, until it is known what they are.
    #[cold]
    pub(super) fn handle_first_bytes(&mut self, key: ConnKey, bytes: &[u8]) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let is_first = connection.inbox.is_empty();
        connection.inbox.extend_from_slice(bytes);
        let length = match parse_proxy_header(&connection.inbox) {
            Ok(ProxyHeader::Incomplete) => {
                if is_first {
                    self.timers.set(self.now + HEADER_TIME_MAX, Timer::ProxyHeader, key);
                }
                return;
            }
            Ok(ProxyHeader::Absent) => 0,
            Ok(ProxyHeader::Present { source, length }) => {
                if let Some((ip, port)) = source {
                    let ip = ip.to_canonical();
                    connection.client.host = format!("{ip}\0{port}").into_boxed_str();
                }
                length
            }
            Err(error) => return self.refuse_header(key, &error.to_string()),
        };
        connection.awaits_proxy = false;
        let kept = std::mem::take(&mut connection.inbox);
        if let Some(rest) = kept.get(length..).filter(|rest| !rest.is_empty()) {
            self.handle_received(key, rest);
        }
    }

    /// The time for a header has passed.
    pub(super) fn handle_header_timer(&mut self, key: ConnKey) {
        let connection = self.deliverer.connections.get(key);
        let waits = connection.is_some_and(|connection| {
            connection.awaits_proxy
                && connection.phase == Phase::Open
                && !connection.inbox.is_empty()
        });
        if waits {
            self.refuse_header(key, "i/o timeout");
        }
    }

    fn refuse_header(&mut self, key: ConnKey, reason: &str) {
        let Some(connection) = self.deliverer.connections.get(key) else { return };
        let from = connection.client.host.replace('\0', ":");
        self.events.push(Event::Warning {
            text: format!("Error reading PROXY protocol header from {from}: {reason}"),
        });
        self.close(key, CloseReason::ProtocolViolation, true);
    }
}
