//! Publishing and subscribing of clients that may not do everything, and of
//! accounts that map subjects.

use super::connection::ConnKey;
use super::ingest::Publisher;
use super::Core;
use crate::account::Mapped;
use crate::client::{Client, Permit};
use crate::proto::{Publish, WireError};
use crate::router::{SubId, INSPECTED};

impl Core {
    /// A message of a client with permissions, or of an account with mappings:
    /// it is mapped, and what it has become is what must be allowed. Returns
    /// whether all messages to its subject are as free as those of others.
    #[inline(never)]
    pub(super) fn publish_watched(&mut self, publisher: &Publisher, message: &Publish<'_>) -> bool {
        if publisher.mapped {
            self.publish_mapped(publisher, message);
            return false;
        }
        let permit = self.permit(publisher.key, message.subject);
        if permit == Permit::Never {
            let error = WireError::PublishViolation { subject: message.subject };
            self.refuse_publish(publisher.key, &error);
        } else {
            self.publish_permitted(publisher, message);
        }
        permit == Permit::Always
    }

    fn publish_mapped(&mut self, publisher: &Publisher, message: &Publish<'_>) {
        let mut buffer = std::mem::take(&mut self.mapped);
        let mapped = self.map(publisher.account, message.subject, &mut buffer);
        let subject = if mapped == Mapped::Changed { &buffer } else { message.subject };
        let message = Publish { subject, ..*message };
        if let Some(error) = self.publish_violation(publisher.key, &message) {
            self.refuse_publish(publisher.key, &error);
        } else {
            if publisher.verbose {
                self.send(publisher.key, b"+OK\r\n");
            }
            if mapped != Mapped::Dropped {
                self.publish_from_client(publisher, &message);
            }
        }
        self.mapped = buffer;
    }

    fn permit(&mut self, key: ConnKey, subject: &[u8]) -> Permit {
        let now = self.now;
        let connection = self.deliverer.connections.get(key);
        let guard = connection.and_then(|connection| connection.client.guard.as_mut());
        guard.map_or(Permit::Always, |guard| guard.permit(subject, now))
    }

    /// Why a client must not publish a message, if so.
    pub(super) fn publish_violation<'m>(
        &mut self,
        key: ConnKey,
        message: &Publish<'m>,
    ) -> Option<WireError<'m>> {
        match self.permit(key, message.subject) {
            Permit::Never => Some(WireError::PublishViolation { subject: message.subject }),
            Permit::Once | Permit::Always => Client::check_publish(message.subject, message.reply),
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
