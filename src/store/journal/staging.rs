//! The commit that is being gathered.

use super::aligned::{Aligned, PAGE};
use super::format::{
    event_salt, message_size, write_event, write_message, Event, Position, COMMIT_HEAD, EVENT_HEAD,
};
use crate::store::Record;

/// Events that the next write will carry. Streams put them in, [`Journal`](super::Journal)
/// takes them out.
#[derive(Debug)]
pub(in crate::store) struct Staging {
    identity: u64,
    commit: u64,
    salt: u32,
    /// A page for a file's head, the commit's head, then the events.
    buffer: Aligned,
    events: u32,
    groups: u32,
    durable: u64,
    /// The commit that was taken last.
    previous: u64,
    /// Since a write failed, until streams are back at what is durable: events go nowhere.
    is_closed: bool,
}

/// Where the events start.
const EVENTS_AT: usize = PAGE + COMMIT_HEAD;

impl Staging {
    /// The next commit is `commit`; everything up to `durable` is.
    pub(super) fn new(identity: u64, commit: u64, durable: u64) -> Self {
        let salt = event_salt(identity, commit);
        Self {
            identity,
            commit,
            salt,
            buffer: Aligned::new(EVENTS_AT),
            events: 0,
            groups: 0,
            durable,
            previous: durable,
            is_closed: false,
        }
    }

    /// Stages a message; returns where it stands.
    #[inline]
    pub(in crate::store) fn message(
        &mut self,
        stream: u64,
        seq: u64,
        record: &Record<'_>,
        body_crc: u32,
    ) -> Position {
        let position = self.position();
        if !self.is_closed {
            let place = self.buffer.extend(message_size(record));
            write_message(place, self.salt, stream, seq, record, body_crc);
            self.events += 1;
        }
        position
    }

    /// Stages anything else; returns where it stands.
    pub(in crate::store) fn event(&mut self, event: &Event<'_>) -> Position {
        let position = self.position();
        if !self.is_closed {
            let place = self.buffer.extend(EVENT_HEAD + event.body.len());
            write_event(place, self.salt, event);
            self.events += 1;
        }
        position
    }

    pub(in crate::store) fn begin_group(&mut self) {
        self.groups += 1;
    }

    pub(in crate::store) fn end_group(&mut self) {
        self.groups = self.groups.saturating_sub(1);
    }

    /// Where the next event will stand.
    pub(in crate::store) fn position(&self) -> Position {
        Position { commit: self.commit, offset: (self.buffer.len() - EVENTS_AT) as u64 }
    }

    /// The commit that must be durable for everything before [`position`](Self::position) to be.
    pub(in crate::store) fn last_commit(&self) -> u64 {
        if self.events > 0 {
            self.commit
        } else {
            self.previous
        }
    }

    pub(in crate::store) fn durable(&self) -> u64 {
        self.durable
    }

    pub(super) fn set_durable(&mut self, durable: u64) {
        self.durable = durable;
    }

    /// Events that wait.
    pub(in crate::store) fn events(&self) -> u32 {
        self.events
    }

    /// Bytes of events that wait.
    pub(in crate::store) fn bytes(&self) -> usize {
        self.buffer.len() - EVENTS_AT
    }

    /// Whether there is something to be written, and nothing that must go with what is to come.
    pub(super) fn is_ready(&self) -> bool {
        self.events > 0 && self.groups == 0
    }

    /// Takes the commit out, in a buffer with room for heads and padding; the next one starts in
    /// `empty`.
    pub(super) fn take(&mut self, mut empty: Aligned) -> Taken {
        empty.truncate(EVENTS_AT);
        let buffer = std::mem::replace(&mut self.buffer, empty);
        self.previous = self.commit;
        let taken = Taken { commit: self.commit, events: self.events, buffer };
        self.start(self.commit + 1);
        taken
    }

    /// Drops what waits, and what comes until [`reopen`](Self::reopen).
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.buffer.truncate(EVENTS_AT);
        self.events = 0;
        self.groups = 0;
    }

    pub(super) fn reopen(&mut self) {
        self.is_closed = false;
        self.previous = self.durable;
        self.start(self.commit + 1);
    }

    fn start(&mut self, commit: u64) {
        self.commit = commit;
        self.salt = event_salt(self.identity, commit);
        self.events = 0;
    }
}

/// A commit that is taken out.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) commit: u64,
    pub(super) events: u32,
    /// As in [`Staging`].
    pub(super) buffer: Aligned,
}

/// A buffer as [`Staging::take`] wants it.
pub(super) fn empty_buffer() -> Aligned {
    Aligned::new(EVENTS_AT)
}
