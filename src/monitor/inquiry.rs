//! How the monitor asks a shard, and how a shard finds out that it is asked.
//!
//! A shard has a mailbox; the monitor puts an inquiry in, sets a flag and rings
//! the shard's bell. The shard looks at the flag once a turn: one relaxed load
//! of a line that nobody writes while nobody asks.
//!
//! Bound: [`WAITING_MAX`] inquiries wait for a shard; the monitor asks one
//! thing at a time, so more than one waits only if a shard did not answer in
//! time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::Arc;
use std::time::Duration;

use super::account_card::AccountsCard;
use super::jetstream::{JetStreamAsk, JetStreamSnapshot};
use super::snapshot::{
    AccountTotals, ConnectionSnapshot, ShardTotals, Slice, SubscriptionSnapshot,
};
use super::system::SystemMessage;

/// How long a page waits for one answer.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// Inquiries that wait for one shard.
const WAITING_MAX: usize = 16;

/// What is asked.
#[derive(Debug)]
pub enum Ask {
    /// The figures of accounts with the connections from a slot on.
    Accounts {
        /// Where to begin.
        from: u32,
    },
    /// The accounts there are, and the one of this name.
    Account(String),
    /// Publish these; `seq` is the number of the last message of the system account.
    Publish {
        /// What to publish.
        messages: Vec<SystemMessage>,
        /// Messages told so far.
        seq: u64,
    },
    /// Whether somebody would get a message to one of these subjects of the system account.
    IsHeard(Vec<Vec<u8>>),
    /// Close the connection of this number.
    Kick(u64),
    /// Tell the connection of this number to go elsewhere.
    SendAway(u64),
    /// The figures.
    Totals,
    /// Open connections, from a slot on.
    Connections {
        /// Where to begin.
        from: u32,
    },
    /// Closed connections, from an entry on.
    Closed {
        /// Where to begin.
        from: u32,
        /// Whether to tell what they were subscribed to.
        subscriptions: bool,
    },
    /// JetStream; only the shard that has it says something.
    JetStream(JetStreamAsk),
    /// Subscriptions, from a slot on.
    Subscriptions {
        /// Where to begin.
        from: u32,
        /// Connection numbers whose subscriptions are wanted, ascending; all
        /// if `None`.
        of: Option<Arc<[u64]>>,
    },
}

/// What a shard answers; always of the kind that was asked for.
#[derive(Debug)]
pub enum Answer {
    /// To [`Ask::Totals`].
    Totals(Box<ShardTotals>),
    /// To [`Ask::Connections`] and [`Ask::Closed`].
    Connections(Slice<ConnectionSnapshot>),
    /// To [`Ask::JetStream`].
    JetStream(Option<Box<JetStreamSnapshot>>),
    /// To [`Ask::Subscriptions`].
    Subscriptions(Slice<SubscriptionSnapshot>),
    /// To [`Ask::Accounts`].
    Accounts(Slice<AccountTotals>),
    /// To [`Ask::Account`].
    Account(Box<AccountsCard>),
    /// To what is answered with yes or no, or is done.
    Done(bool),
}

/// A question with its way back.
#[derive(Debug)]
pub struct Inquiry {
    /// What is asked.
    pub ask: Ask,
    answers: SyncSender<Answer>,
}

impl Inquiry {
    /// Answers. Whoever asked may have stopped waiting.
    pub fn answer(&self, answer: Answer) {
        let _nobody_waits_any_more = self.answers.try_send(answer);
    }
}

/// A shard's end.
#[derive(Debug)]
pub struct Mailbox {
    asked: Arc<AtomicBool>,
    inquiries: Receiver<Inquiry>,
}

impl Mailbox {
    /// One that nobody writes to.
    pub fn silent() -> Self {
        let (_nobody, inquiries) = sync_channel(0);
        Self { asked: Arc::default(), inquiries }
    }

    /// The oldest inquiry. To be looked at once a turn.
    #[inline]
    pub fn take(&self) -> Option<Inquiry> {
        if !self.asked.load(Ordering::Relaxed) {
            return None;
        }
        self.take_asked()
    }

    #[cold]
    fn take_asked(&self) -> Option<Inquiry> {
        // Cleared first: what is put in from now on sets it again. A line that
        // is given up here would be found at the next inquiry.
        self.asked.swap(false, Ordering::AcqRel);
        let inquiry = self.inquiries.try_recv().ok()?;
        // There may be more, for the turns to come.
        self.asked.store(true, Ordering::Relaxed);
        Some(inquiry)
    }
}

/// The monitor's end: a line to every shard.
pub struct Inquirer {
    lines: Vec<(Arc<AtomicBool>, SyncSender<Inquiry>)>,
    wake: Box<dyn Fn(usize) + Send>,
}

impl std::fmt::Debug for Inquirer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inquirer").field("shards", &self.lines.len()).finish_non_exhaustive()
    }
}

/// Lines to `shards` shards; `wake` makes a shard run a turn.
pub fn lines(shards: usize, wake: impl Fn(usize) + Send + 'static) -> (Inquirer, Vec<Mailbox>) {
    let mut lines = Vec::new();
    let mut mailboxes = Vec::new();
    for _ in 0..shards {
        let asked = Arc::new(AtomicBool::new(false));
        let (sender, inquiries) = sync_channel(WAITING_MAX);
        lines.push((Arc::clone(&asked), sender));
        mailboxes.push(Mailbox { asked, inquiries });
    }
    (Inquirer { lines, wake: Box::new(wake) }, mailboxes)
}

impl Inquirer {
    /// The figures of every shard that answered, in their order.
    pub(super) fn totals(&self) -> Vec<ShardTotals> {
        let (answers, answered) = sync_channel(self.lines.len().max(1));
        for shard in 0..self.lines.len() {
            self.put(shard, Ask::Totals, &answers);
        }
        drop(answers);
        let mut totals = Vec::new();
        while let Ok(Answer::Totals(answer)) = answered.recv_timeout(ANSWER_TIME_MAX) {
            totals.push(*answer);
        }
        totals.sort_by_key(|totals| totals.shard);
        totals
    }

    /// JetStream, if it is on.
    pub(super) fn jetstream(&self, ask: &JetStreamAsk) -> Option<JetStreamSnapshot> {
        (0..self.lines.len()).find_map(|shard| match self.ask(shard, Ask::JetStream(ask.clone())) {
            Some(Answer::JetStream(Some(snapshot))) => Some(*snapshot),
            _ => None,
        })
    }

    /// All open connections.
    pub(super) fn connections(&self) -> Vec<ConnectionSnapshot> {
        self.gather(|from| Ask::Connections { from }, connections_of)
    }

    /// All closed connections that are remembered.
    pub(super) fn closed(&self, subscriptions: bool) -> Vec<ConnectionSnapshot> {
        self.gather(|from| Ask::Closed { from, subscriptions }, connections_of)
    }

    /// The subscriptions of some connections, or all.
    pub(super) fn subscriptions(&self, of: Option<Arc<[u64]>>) -> Vec<SubscriptionSnapshot> {
        self.gather(
            |from| Ask::Subscriptions { from, of: of.clone() },
            |answer| match answer {
                Answer::Subscriptions(slice) => Some(slice),
                _ => None,
            },
        )
    }

    /// The figures of all accounts that ever had a connection, in the order of their names.
    pub(super) fn accounts(&self) -> Vec<AccountTotals> {
        let parts = self.gather(
            |from| Ask::Accounts { from },
            |answer| match answer {
                Answer::Accounts(slice) => Some(slice),
                _ => None,
            },
        );
        let mut sums = std::collections::BTreeMap::<Arc<str>, AccountTotals>::new();
        for part in parts {
            match sums.get_mut(&part.account) {
                Some(sum) => sum.merge(&part),
                None => drop(sums.insert(Arc::clone(&part.account), part)),
            }
        }
        sums.into_values().collect()
    }

    /// The accounts there are, and the one of a name.
    pub(super) fn account(&self, name: &str) -> AccountsCard {
        match self.ask(0, Ask::Account(name.to_owned())) {
            Some(Answer::Account(card)) => *card,
            _ => AccountsCard::default(),
        }
    }

    /// Has a shard publish messages. Returns once it has.
    pub(super) fn publish(&self, shard: usize, seq: u64, messages: Vec<SystemMessage>) {
        drop(self.ask(shard, Ask::Publish { messages, seq }));
    }

    /// Whether somebody would get a message to one of these subjects of the system account.
    pub(super) fn is_heard(&self, subjects: Vec<Vec<u8>>) -> bool {
        matches!(self.ask(0, Ask::IsHeard(subjects)), Some(Answer::Done(true)))
    }

    /// Closes a connection, whichever shard it is on.
    pub(super) fn kick(&self, cid: u64) -> bool {
        self.any(|| Ask::Kick(cid))
    }

    /// Tells a connection to go elsewhere, whichever shard it is on.
    pub(super) fn send_away(&self, cid: u64) -> bool {
        self.any(|| Ask::SendAway(cid))
    }

    fn any(&self, ask: impl Fn() -> Ask) -> bool {
        (0..self.lines.len())
            .any(|shard| matches!(self.ask(shard, ask()), Some(Answer::Done(true))))
    }

    /// Asks every shard for slice after slice.
    fn gather<T>(
        &self,
        ask: impl Fn(u32) -> Ask,
        slice_of: impl Fn(Answer) -> Option<Slice<T>>,
    ) -> Vec<T> {
        let mut all = Vec::new();
        for shard in 0..self.lines.len() {
            let mut from = Some(0);
            while let Some(at) = from {
                let Some(slice) = self.ask(shard, ask(at)).and_then(&slice_of) else { break };
                all.extend(slice.items);
                from = slice.next;
            }
        }
        all
    }

    fn ask(&self, shard: usize, ask: Ask) -> Option<Answer> {
        let (answers, answered) = sync_channel(1);
        self.put(shard, ask, &answers);
        drop(answers);
        answered.recv_timeout(ANSWER_TIME_MAX).ok()
    }

    fn put(&self, shard: usize, ask: Ask, answers: &SyncSender<Answer>) {
        let (asked, line) = &self.lines[shard];
        // A full or dead line drops the way back: the wait ends at once.
        if line.try_send(Inquiry { ask, answers: answers.clone() }).is_ok() {
            asked.store(true, Ordering::Release);
            (self.wake)(shard);
        }
    }
}

fn connections_of(answer: Answer) -> Option<Slice<ConnectionSnapshot>> {
    match answer {
        Answer::Connections(slice) => Some(slice),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_is_asked_and_answers_in_slices() {
        let (inquirer, mailboxes) = lines(2, |_| {});
        let shards: Vec<_> = mailboxes
            .into_iter()
            .enumerate()
            .map(|(shard, mailbox)| {
                std::thread::spawn(move || {
                    let mut slices = 0;
                    while slices < 3 {
                        let Some(inquiry) = mailbox.take() else {
                            std::thread::yield_now();
                            continue;
                        };
                        let Ask::Connections { from } = inquiry.ask else { panic!("not asked") };
                        assert_eq!(from, slices);
                        slices += 1;
                        let cid = (shard as u64) * 10 + u64::from(from);
                        let items = vec![ConnectionSnapshot { cid, ..Default::default() }];
                        let next = (slices < 3).then_some(slices);
                        inquiry.answer(Answer::Connections(Slice { items, next }));
                    }
                })
            })
            .collect();
        let cids: Vec<u64> = inquirer.connections().into_iter().map(|entry| entry.cid).collect();
        assert_eq!(cids, [0, 1, 2, 10, 11, 12]);
        shards.into_iter().for_each(|shard| shard.join().unwrap());
    }

    #[test]
    fn a_shard_that_is_gone_is_not_waited_for() {
        let (inquirer, mailboxes) = lines(1, |_| {});
        drop(mailboxes);
        assert!(inquirer.totals().is_empty());
        assert!(inquirer.connections().is_empty());
    }
}
