//! What a shard passes on to the thread that serves the system account.

use super::task::ShardTask;
use crate::host;
use crate::monitor::SystemMessage;

impl ShardTask {
    /// Tells what has happened and what is asked; never waits.
    #[cold]
    pub(super) fn pass_on_system_news(&mut self) {
        let requests = self.core.take_requests();
        let notices = self.core.take_notices();
        let Some(line) = &mut self.line else { return };
        for notice in notices {
            line.tell(notice);
        }
        for request in requests {
            line.ask(request);
        }
        line.ring();
    }

    /// Says that the server ends; returns whether anybody hears it.
    pub(super) fn announce_end(&mut self) -> bool {
        let Some(card) = &self.card else { return false };
        let subject = format!("$SYS.SERVER.{}.SHUTDOWN", card.id()).into_bytes();
        if !self.core.is_heard(&subject) {
            return false;
        }
        let seq = self.core.system_seq() + 1;
        let now = u64::try_from(host::wall_clock_since_epoch().as_nanos()).unwrap_or(0);
        let payload = card.announcement(seq, now);
        let message = SystemMessage { subject, payload, ..SystemMessage::default() };
        self.core.publish_system(&[message], seq);
        true
    }
}
