//! How shards reach the monitor's thread without ever waiting for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::Arc;

use mio::Waker;

use super::super::snapshot::ConnectionSnapshot;
use super::asker::UserFacts;
use super::trace::TraceReport;
use crate::subject::AccountId;

/// Notices that wait for the thread.
pub const NOTICES_MAX: usize = 8 * 1024;

/// Bytes of those of them that are reports of traces: such a report may be long.
pub const REPORTS_BYTES_MAX: usize = 16 << 20;

/// Requests that wait for the thread.
pub const REQUESTS_MAX: usize = 256;

/// Bytes of a request's headers and body together.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// Something that happened on a shard and that somebody wants to hear of.
#[derive(Debug)]
pub enum Notice {
    /// A client has logged in.
    Connected(Box<ConnectionSnapshot>),
    /// A client that was logged in has gone.
    Disconnected(Box<ConnectionSnapshot>),
    /// A client was not let in.
    Refused(Box<ConnectionSnapshot>),
    /// A service has not let a client in.
    Undelegated {
        /// The client.
        client: Box<ConnectionSnapshot>,
        /// The account of the service.
        account: AccountId,
        /// Its name.
        name: Box<str>,
        /// Why; empty if it has not answered.
        reason: String,
    },
    /// A client read too slowly and was closed.
    Slow {
        /// The client.
        client: Box<ConnectionSnapshot>,
        /// The pattern of which it was sent the most messages.
        subject: String,
    },
    /// An account has a connection more or less.
    AccountChanged(Arc<str>),
    /// Somebody has subscribed in the system account.
    Watched,
    /// The way of a message that is traced.
    Traced(Box<TraceReport>),
    /// Lame duck mode has begun.
    LameDuck,
}

impl Notice {
    /// Bytes that count for [`REPORTS_BYTES_MAX`], about.
    pub fn report_bytes(&self) -> usize {
        match self {
            Self::Traced(report) => report.bytes(),
            _ => 0,
        }
    }
}

/// Something that was asked for on `$SYS.REQ`.
#[derive(Debug)]
pub struct SystemRequest {
    /// The shard that is to publish the answer.
    pub shard: usize,
    /// The account it was asked in.
    pub account: AccountId,
    /// The subject.
    pub subject: String,
    /// Where the answer goes; empty if nobody waits for one.
    pub reply: Vec<u8>,
    /// The block of headers.
    pub headers: Vec<u8>,
    /// The body.
    pub payload: Vec<u8>,
    /// The client that asks, for what is answered for clients of every account.
    pub asker: Option<Box<UserFacts>>,
}

/// Something to be published.
#[derive(Debug, Default)]
pub struct SystemMessage {
    /// The account; the system account if `None`.
    pub account: Option<AccountId>,
    /// The subject.
    pub subject: Vec<u8>,
    /// The block of headers; may be empty.
    pub headers: Vec<u8>,
    /// The body.
    pub payload: Vec<u8>,
}

/// A shard's end: it never waits.
#[derive(Clone, Debug)]
pub struct SystemLine {
    notices: SyncSender<Notice>,
    requests: SyncSender<SystemRequest>,
    /// Bytes of reports that wait, of all shards.
    reports_bytes: Arc<AtomicUsize>,
    waker: Arc<Waker>,
    rings: bool,
    dropped: u64,
}

/// The thread's ends.
#[derive(Debug)]
pub(in crate::monitor) struct Ends {
    notices: Receiver<Notice>,
    requests: Receiver<SystemRequest>,
    reports_bytes: Arc<AtomicUsize>,
}

impl Ends {
    /// The oldest notice.
    pub(super) fn notice(&self) -> Option<Notice> {
        let notice = self.notices.try_recv().ok()?;
        self.reports_bytes.fetch_sub(notice.report_bytes(), Ordering::Relaxed);
        Some(notice)
    }

    /// The oldest request.
    pub(super) fn request(&self) -> Option<SystemRequest> {
        self.requests.try_recv().ok()
    }
}

/// A line to a thread that `waker` wakes.
pub(in crate::monitor) fn line(waker: Waker) -> (SystemLine, Ends) {
    let (notices, told) = sync_channel(NOTICES_MAX);
    let (requests, asked) = sync_channel(REQUESTS_MAX);
    let reports_bytes = Arc::<AtomicUsize>::default();
    let line = SystemLine {
        notices,
        requests,
        reports_bytes: Arc::clone(&reports_bytes),
        waker: Arc::new(waker),
        rings: false,
        dropped: 0,
    };
    (line, Ends { notices: told, requests: asked, reports_bytes })
}

impl SystemLine {
    /// Tells something, unless the line is full.
    pub fn tell(&mut self, notice: Notice) {
        let bytes = notice.report_bytes();
        let waiting = self.reports_bytes.fetch_add(bytes, Ordering::Relaxed);
        let has_room = bytes == 0 || waiting.saturating_add(bytes) <= REPORTS_BYTES_MAX;
        let sent = has_room && self.notices.try_send(notice).is_ok();
        if !sent {
            self.reports_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.count(sent);
    }

    /// Passes a request on, unless the line is full.
    pub fn ask(&mut self, request: SystemRequest) {
        let sent = self.requests.try_send(request).is_ok();
        self.count(sent);
    }

    /// Wakes the thread if there is something for it: once a turn is enough.
    pub fn ring(&mut self) {
        if std::mem::take(&mut self.rings) {
            // Without a thread there is nobody to be told either.
            drop(self.waker.wake());
        }
    }

    /// What found no room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn count(&mut self, sent: bool) {
        self.rings = true;
        self.dropped += u64::from(!sent);
    }
}

#[cfg(test)]
mod tests {
    use mio::{Poll, Token};

    use super::*;

    // Goal: what waits is bounded in bytes as well, and what is not long passes. Method: reports of
    // a megabyte each, and a thread that takes none.
    #[test]
    fn long_reports_find_no_room_behind_others() {
        let poll = Poll::new().unwrap();
        let (mut line, ends) = line(Waker::new(poll.registry(), Token(0)).unwrap());
        let report = || {
            Notice::Traced(Box::new(TraceReport {
                account: AccountId(0),
                destination: b"tr".to_vec(),
                headers: vec![b'a'; 1 << 20],
                size: 0,
                events: Vec::new(),
            }))
        };
        for _ in 0..100 {
            line.tell(report());
        }
        line.tell(Notice::Watched);
        let told: Vec<Notice> = std::iter::from_fn(|| ends.notice()).collect();
        assert!(told.len() > 8 && told.len() <= 17, "{}", told.len());
        assert!(matches!(told.last(), Some(Notice::Watched)));
        assert_eq!(line.dropped(), 101 - told.len() as u64);
        line.tell(report());
        assert!(ends.notice().is_some(), "there is room again");
    }
}
