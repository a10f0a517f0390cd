//! Publishing and subscribing of clients that may not do everything, and of
//! accounts that map subjects.

use super::connection::ConnKey;
use super::ingest::Publisher;
use super::Core;
use crate::account::Mapped;
use crate::client::Client;
use crate::proto::{Publish, WireError};
use crate::router::{SubId, INSPECTED};

impl Core {
    /// A message of a client with permissions, or of an account with mappings:
    /// it is mapped, and what it has become is what must be allowed.
    #[inline(never)]
    pub(super) fn publish_watched(&mut self, publisher: &Publisher, message: &Publish<'_>) {
        let mut buffer = std::mem::take(&mut self.mapped);
        let mapped = self.map(publisher.account, message.subject, &mut buffer);
        let subject = if mapped == Mapped::Changed { &buffer } else { message.subject };
        let message = Publish { subject, ..*message };
        if self.may_publish(publisher, &message) {
            if publisher.verbose {
                self.send(publisher.key, b"+OK\r\n");
            }
            if mapped != Mapped::Dropped {
                self.publish_from_client(publisher, &message);
            }
        }
        self.mapped = buffer;
    }

    fn may_publish(&mut self, publisher: &Publisher, message: &Publish<'_>) -> bool {
        let violation = self.publish_violation(publisher.key, message);
        if let Some(error) = &violation {
            self.refuse_publish(publisher.key, error);
        }
        violation.is_none()
    }

    /// Why a client must not publish a message, if so.
    pub(super) fn publish_violation<'m>(
        &mut self,
        key: ConnKey,
        message: &Publish<'m>,
    ) -> Option<WireError<'m>> {
        let now = self.now;
        let connection = self.deliverer.connections.get(key)?;
        let allowed = match &mut connection.client.guard {
            Some(guard) => guard.allows_publish(message.subject, now),
            None => true,
        };
        if allowed {
            Client::check_publish(message.subject, message.reply)
        } else {
            Some(WireError::PublishViolation { subject: message.subject })
        }
    }

    /// Says that a publish is refused, to the client and to the log.
    #[cold]
    pub(super) fn refuse_publish(&mut self, key: ConnKey, error: &WireError<'_>) {
        let (what, subject) = match error {
            WireError::PublishReplyViolation { reply } => ("Reply", *reply),
            WireError::PublishViolation { subject } => ("Subject", *subject),
            _ => ("Subject", &b""[..]),
        };
        let subject = String::from_utf8_lossy(subject);
        self.say_error(key, &format!("Publish Violation - {what} \"{subject}\""));
        self.send_error(key, error);
    }

    /// Says that a subscription is refused, to the client and to the log.
    #[cold]
    pub(super) fn refuse_pattern(
        &mut self,
        key: ConnKey,
        pattern: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
    ) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let queue_text =
            queue.map_or_else(String::new, |queue| format!(", Queue: \"{}\"", text(queue)));
        self.say_error(
            key,
            &format!(
                "Subscription Violation - Subject \"{}\"{queue_text}, SID {}",
                text(pattern),
                text(sid)
            ),
        );
        self.send_error(key, &WireError::SubscriptionViolation { subject: pattern, queue });
    }

    /// Lets each message of a subscription be looked at before it is delivered,
    /// or no longer. A limit that the client has set does that in any case.
    pub(super) fn inspect(&mut self, sub: SubId, on: bool) {
        let subscription = &mut self.router.subscriptions_mut()[sub];
        match (on, subscription.max) {
            (true, 0) => subscription.max = INSPECTED,
            (false, INSPECTED) => subscription.max = 0,
            _ => {}
        }
    }
}
