//! Requests to the API of JetStream carry who sent them, where that will be told: an auditor
//! listens, or the request's own advisories name its sender.
//!
//! The engine lives on another shard than most senders, so the shard that knows the sender writes a
//! header, [`REQUEST_INFO`], in place of whatever the client may have written there.

use std::sync::Arc;

use super::connection::ConnKey;
use super::ingest::Publisher;
use super::snapshot::snapshot;
use super::Core;
use crate::proto::{HeaderBlock, Publish};
use crate::stream::json::Object;
use crate::stream::{Interest, REQUEST_INFO};

/// What is said of every sender.
#[derive(Clone, Debug)]
pub struct Senders {
    /// Name of the server.
    pub server: Arc<str>,
    /// Nanoseconds since 1970 when the monotonic clock stood at 0.
    pub epoch: u64,
}

impl Core {
    /// From now on requests to the API say who sent them.
    pub fn name_senders(&mut self, senders: Senders) {
        self.senders = Some(senders);
    }

    /// Routes a request to the API of JetStream.
    #[cold]
    #[inline(never)]
    pub(super) fn publish_api_request(&mut self, publisher: &Publisher, message: &Publish<'_>) {
        let is_told = is_api_request(message.subject)
            && (names_its_sender(message.subject) || self.has_interest(publisher.account, AUDIT));
        let info = if is_told { self.sender(publisher.key) } else { None };
        let Some(info) = info else { return self.publish(publisher, message) };
        let header_len = message.header_len.unwrap_or(0) as usize;
        let parts = message.payload.split_at_checked(header_len);
        let (headers, body) = parts.unwrap_or((b"", message.payload));
        let mut payload = b"NATS/1.0\r\n".to_vec();
        for (name, value) in HeaderBlock::new(headers).iter() {
            if name != REQUEST_INFO {
                write_header(&mut payload, name, value);
            }
        }
        write_header(&mut payload, REQUEST_INFO, &info);
        payload.extend_from_slice(b"\r\n");
        let header_len = u32::try_from(payload.len()).ok();
        let header_size = payload.len().to_string();
        payload.extend_from_slice(body);
        let size = payload.len().to_string();
        let message = Publish {
            header_len,
            header_size_text: header_size.as_bytes(),
            size_text: size.as_bytes(),
            payload: &payload,
            tail: None,
            ..*message
        };
        self.publish(publisher, &message);
    }

    /// Who a connection is, as JSON.
    fn sender(&self, key: ConnKey) -> Option<Vec<u8>> {
        let senders = self.senders.as_ref()?;
        let client = snapshot(self.deliverer.connections.peek(key.slot())?);
        let mut info = Vec::new();
        let mut object = Object::open(&mut info);
        object.time("start", senders.epoch.saturating_add(client.opened_at));
        object.string_some("host", &client.ip);
        object.uint("id", client.cid);
        object.string("acc", &client.account);
        object.string_some("user", &client.user);
        object.string_some("name", &client.name);
        object.string_some("lang", &client.lang);
        object.string_some("ver", &client.version);
        object.uint_some("rtt", client.round_trip);
        object.string("server", &senders.server);
        object.string("kind", "Client");
        object.string("client_type", "nats");
        object.close();
        Some(info)
    }
}

/// Whether a message to that subject may be a request that is told of: acknowledgements and what
/// streams and consumers take themselves are not, and are many.
#[inline]
pub(super) fn may_be_told(subject: &[u8]) -> bool {
    let Some(rest) = subject.strip_prefix(b"$JS.") else { return false };
    let untold: [&[u8]; 4] = [b"ACK.", b"FC.", b"API.CONSUMER.MSG.NEXT.", b"API.DIRECT.GET."];
    !untold.iter().any(|prefix| rest.starts_with(prefix))
}

/// Whether that is a request to the API, also by way of a domain.
fn is_api_request(subject: &[u8]) -> bool {
    let mut tokens = subject.split(|byte| *byte == b'.').skip(1);
    tokens.next() == Some(b"API") || tokens.next() == Some(b"API")
}

/// Whether what comes of the request is told with its sender, whoever audits.
fn names_its_sender(subject: &[u8]) -> bool {
    let verbs: [&[u8]; 2] = [b".API.STREAM.SNAPSHOT.", b".API.STREAM.RESTORE."];
    verbs.iter().any(|verb| subject.windows(verb.len()).any(|part| part == *verb))
}

fn write_header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Where auditors listen.
const AUDIT: &[u8] = b"$JS.EVENT.ADVISORY.API";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_to_the_api_are_told_from_others() {
        assert!(may_be_told(b"$JS.API.STREAM.INFO.S") && may_be_told(b"$JS.hub.API.INFO"));
        assert!(!may_be_told(b"$JS.ACK.S.c.1.2.3.4.5") && !may_be_told(b"orders.new"));
        assert!(is_api_request(b"$JS.API.INFO") && is_api_request(b"$JS.hub.API.STREAM.NAMES"));
        assert!(!is_api_request(b"$JS.ACK.S.c.1.2.3.4.5") && !is_api_request(b"$JS"));
        assert!(names_its_sender(b"$JS.API.STREAM.RESTORE.S"));
        assert!(!names_its_sender(b"$JS.API.STREAM.INFO.S"));
    }
}
