//! What the engine has to say, in order, each thing with the commit that it
//! must not be told before.
//!
//! Messages are kept back to back in one buffer, so that saying something costs
//! a copy and no allocation in the long run. Everything is told in the order it
//! was said: what waits for nothing still waits behind what waits for a commit, which
//! is a commit's time at most.

use std::collections::VecDeque;

use crate::store::Commit;
use crate::subject::AccountId;

/// The engine's name for one of its subscriptions, chosen by the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// A message of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// Account it is published in.
    pub account: AccountId,
    /// Where it goes: the subject that subscribers are looked up by.
    pub to: &'a [u8],
    /// The subject that subscribers see; empty if it is `to`.
    pub subject: &'a [u8],
    /// Reply subject; empty if there is none.
    pub reply: &'a [u8],
    /// Header block; empty if there is none.
    pub headers: &'a [u8],
    /// The body.
    pub payload: &'a [u8],
    /// What is sent instead, without headers, if the commit it waits for fails.
    /// `None`: nothing is sent then.
    pub failure: Option<&'a [u8]>,
}

/// Something the shell carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// Publish a message.
    Publish(Outgoing<'a>),
    /// Subscribe for the engine.
    Subscribe {
        /// The subscription's name.
        token: Token,
        /// Account to subscribe in.
        account: AccountId,
        /// What to subscribe to.
        pattern: &'a [u8],
        /// Queue group, if it is a member of one.
        queue: Option<&'a [u8]>,
    },
    /// End the subscription of that name and pattern.
    Unsubscribe {
        /// The subscription's name.
        token: Token,
        /// Account it is in.
        account: AccountId,
        /// What it is subscribed to.
        pattern: &'a [u8],
    },
}

/// The queue of what the engine has to say. See the module's documentation.
#[derive(Debug, Default)]
pub struct Outbox {
    ready: Queue,
    gated: Queue,
}

/// Entries in order, their bytes back to back.
#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Entry>,
    bytes: Vec<u8>,
    /// Where the first entry's bytes start.
    taken: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    kind: Kind,
    /// What it depends on.
    gate: Commit,
    /// What it is told after: its gate, or that of something said before it.
    after: Commit,
    account: AccountId,
    token: Token,
    /// Lengths of the parts, in the order they lie in.
    parts: [u32; PARTS],
    /// The last part is there, though it may be empty.
    last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Publish,
    Subscribe,
    Unsubscribe,
}

const PARTS: usize = 6;

impl Outbox {
    /// Says `message` once `gate` is durable.
    pub fn publish(&mut self, gate: Commit, message: &Outgoing<'_>) {
        let parts = [
            message.to,
            message.subject,
            message.reply,
            message.headers,
            message.payload,
            message.failure.unwrap_or_default(),
        ];
        let last = message.failure.is_some();
        self.queue(gate).push(Kind::Publish, gate, message.account, Token(0), parts, last);
    }

    /// Subscribes, at once.
    pub fn subscribe(
        &mut self,
        token: Token,
        account: AccountId,
        pattern: &[u8],
        queue: Option<&[u8]>,
    ) {
        let parts = [pattern, queue.unwrap_or_default(), b"", b"", b"", b""];
        let last = queue.is_some();
        self.ready.push(Kind::Subscribe, Commit::NONE, account, token, parts, last);
    }

    /// Ends a subscription, at once.
    pub fn unsubscribe(&mut self, token: Token, account: AccountId, pattern: &[u8]) {
        let parts = [pattern, b"", b"", b"", b"", b""];
        self.ready.push(Kind::Unsubscribe, Commit::NONE, account, token, parts, false);
    }

    /// Hands the next thing that may be told to `carry_out`: everything that
    /// waits for nothing, and what waited for a commit up to `durable`. Returns
    /// whether there was any.
    pub fn pop(&mut self, durable: Commit, carry_out: impl FnOnce(&Output<'_>)) -> bool {
        // What waits for nothing was said before all that waits: afterwards it would have been
        // put behind it.
        let gated = self.gated.entries.front().is_some_and(|entry| entry.after <= durable);
        let queue = match (self.ready.entries.is_empty(), gated) {
            (true, true) => &mut self.gated,
            _ => &mut self.ready,
        };
        queue.pop(|entry, parts| carry_out(&output(entry, parts)))
    }

    /// The commits after `durable` have failed: what waited for them is replaced by what it says for
    /// that case, or forgotten.
    pub fn fail(&mut self, durable: Commit) {
        let mut kept = Queue::default();
        std::mem::swap(&mut kept, &mut self.gated);
        while kept.pop(|entry, parts| {
            if entry.gate <= durable {
                self.gated.push(
                    entry.kind,
                    entry.gate,
                    entry.account,
                    entry.token,
                    parts,
                    entry.last,
                );
            } else if entry.last {
                let parts = [parts[0], parts[1], b"", b"", parts[5], b""];
                self.gated.push(
                    Kind::Publish,
                    Commit::NONE,
                    entry.account,
                    entry.token,
                    parts,
                    false,
                );
            }
        }) {}
    }

    /// Things that wait, told or not.
    pub fn len(&self) -> usize {
        self.ready.entries.len() + self.gated.entries.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether something may be told at once.
    pub fn has_ready(&self, durable: Commit) -> bool {
        !self.ready.entries.is_empty()
            || self.gated.entries.front().is_some_and(|entry| entry.after <= durable)
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.ready.bytes.len() - self.ready.taken + self.gated.bytes.len() - self.gated.taken
    }

    fn queue(&mut self, gate: Commit) -> &mut Queue {
        if gate == Commit::NONE && self.gated.entries.is_empty() {
            &mut self.ready
        } else {
            &mut self.gated
        }
    }
}

impl Queue {
    fn push(
        &mut self,
        kind: Kind,
        gate: Commit,
        account: AccountId,
        token: Token,
        parts: [&[u8]; PARTS],
        last: bool,
    ) {
        let mut lengths = [0; PARTS];
        for (length, part) in lengths.iter_mut().zip(parts) {
            // Parts are bounded by max_payload, which is below 4 GiB.
            *length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            self.bytes.extend_from_slice(part);
        }
        let after = self.entries.back().map_or(gate, |before| before.after.max(gate));
        self.entries.push_back(Entry { kind, gate, after, account, token, parts: lengths, last });
    }

    fn pop(&mut self, take: impl FnOnce(&Entry, [&[u8]; PARTS])) -> bool {
        let Some(entry) = self.entries.pop_front() else { return false };
        let mut parts: [&[u8]; PARTS] = [b""; PARTS];
        let mut at = self.taken;
        for (part, length) in parts.iter_mut().zip(entry.parts) {
            let end = at + length as usize;
            *part = self.bytes.get(at..end).unwrap_or_default();
            at = end;
        }
        take(&entry, parts);
        self.taken = at;
        if self.entries.is_empty() {
            self.taken = 0;
            self.bytes.clear();
            self.bytes.shrink_to(BYTES_KEPT);
        } else if self.taken >= BYTES_KEPT && self.taken * 2 >= self.bytes.len() {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        true
    }
}

/// Bytes of a buffer that are kept when nothing waits.
const BYTES_KEPT: usize = 1 << 20;

fn output<'a>(entry: &Entry, parts: [&'a [u8]; PARTS]) -> Output<'a> {
    let account = entry.account;
    match entry.kind {
        Kind::Publish => Output::Publish(Outgoing {
            account,
            to: parts[0],
            subject: parts[1],
            reply: parts[2],
            headers: parts[3],
            payload: parts[4],
            failure: entry.last.then_some(parts[5]),
        }),
        Kind::Subscribe => Output::Subscribe {
            token: entry.token,
            account,
            pattern: parts[0],
            queue: entry.last.then_some(parts[1]),
        },
        Kind::Unsubscribe => Output::Unsubscribe { token: entry.token, account, pattern: parts[0] },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &'static [u8], failure: Option<&'static [u8]>) -> Outgoing<'static> {
        Outgoing {
            account: AccountId(0),
            to: b"inbox",
            subject: b"",
            reply: b"",
            headers: b"",
            payload,
            failure,
        }
    }

    fn drain(outbox: &mut Outbox, durable: u64) -> Vec<String> {
        let mut said = Vec::new();
        while outbox.has_ready(Commit(durable)) {
            outbox.pop(Commit(durable), |output| match output {
                Output::Publish(message) => {
                    said.push(String::from_utf8_lossy(message.payload).into_owned());
                }
                other => said.push(format!("{other:?}")),
            });
        }
        said
    }

    #[test]
    fn what_waits_for_a_commit_is_told_when_it_is_durable() {
        let mut outbox = Outbox::default();
        outbox.publish(Commit::NONE, &message(b"a", None));
        outbox.publish(Commit(2), &message(b"b", None));
        outbox.publish(Commit(3), &message(b"c", None));
        assert_eq!(drain(&mut outbox, 1), ["a"]);
        assert_eq!(drain(&mut outbox, 2), ["b"]);
        assert_eq!(drain(&mut outbox, 3), ["c"]);
        assert!(outbox.is_empty());
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn nothing_overtakes_what_was_said_before_it() {
        let mut outbox = Outbox::default();
        outbox.publish(Commit(9), &message(b"x", None));
        outbox.publish(Commit(7), &message(b"y", None));
        outbox.publish(Commit::NONE, &message(b"z", None));
        assert!(drain(&mut outbox, 7).is_empty());
        // Said before, and not taken out before the commit was durable.
        let mut early = Outbox::default();
        early.publish(Commit::NONE, &message(b"x", None));
        early.publish(Commit(1), &message(b"y", None));
        assert_eq!(drain(&mut early, 1), ["x", "y"]);
        assert_eq!(drain(&mut outbox, 9), ["x", "y", "z"]);
        // What depends on nothing that failed is told all the same.
        outbox.publish(Commit(11), &message(b"lost", None));
        outbox.publish(Commit::NONE, &message(b"kept", None));
        outbox.fail(Commit(10));
        assert_eq!(drain(&mut outbox, 10), ["kept"]);
    }

    #[test]
    fn a_failed_commit_sends_what_was_kept_for_it() {
        let mut outbox = Outbox::default();
        outbox.publish(Commit(1), &message(b"a", None));
        outbox.publish(Commit(2), &message(b"b", Some(b"failed")));
        outbox.publish(Commit(2), &message(b"c", None));
        outbox.fail(Commit(1));
        assert_eq!(drain(&mut outbox, 1), ["a", "failed"]);
        assert!(outbox.is_empty());
    }
}
