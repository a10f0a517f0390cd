//! Requests to the API of JetStream carry who sent them, where that will be told: an auditor
//! listens, or the request's own advisories name its sender.
//!
//! The engine lives on another shard than most senders, so the shard that knows the sender writes a
//! header, [`REQUEST_INFO`], in place of whatever the client may have written there.

use super::frame::Frame;
use super::ingest::Publisher;
use super::Core;
use crate::proto::{self, Publish};
use crate::stream::{Interest, REQUEST_INFO};

impl Core {
    /// From now on requests to the API say who sent them.
    pub fn name_senders(&mut self) {
        self.names_senders = true;
    }

    /// Routes a request to the API of JetStream.
    #[cold]
    #[inline(never)]
    pub(super) fn publish_api_request(&mut self, publisher: &Publisher, message: &Publish<'_>) {
        self.with_sender(publisher, message, |core, message| core.publish(publisher, message));
    }

    /// Has `route` route a request to the API, with its sender if that will be told.
    pub(super) fn with_sender(
        &mut self,
        publisher: &Publisher,
        message: &Publish<'_>,
        route: impl FnOnce(&mut Self, &Publish<'_>),
    ) {
        let is_told = is_api_request(message.subject)
            && (names_its_sender(message.subject) || self.has_interest(publisher.account, AUDIT));
        let info = if is_told { self.client_info(publisher.key, true) } else { None };
        let Some(mut info) = info else { return route(self, message) };
        // It ends in what auditors hear.
        (info.jwt, info.issuer_key) = (String::new(), String::new());
        let Ok(info) = serde_json::to_vec(&info) else { return };
        let header_len = message.header_len.unwrap_or(0) as usize;
        let parts = message.payload.split_at_checked(header_len);
        let (headers, body) = parts.unwrap_or((b"", message.payload));
        let mut block = Vec::new();
        proto::write_with_header(&mut block, headers, REQUEST_INFO, &info);
        let mut frame = Frame::default();
        frame.compose(message.reply, &block, body);
        route(self, &frame.publish(message.subject));
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
