//! The permissions of one connection: decisions remembered, and replies it owes.
//!
//! A connection whose user has no permissions has no guard, and pays nothing.
//!
//! Bounds: [`SLOTS_MAX`] remembered decisions of a cache line each; a subject
//! longer than [`SUBJECT_BYTES_MAX`] is judged anew each time. [`REPLIES_MAX`]
//! replies owed; one more takes the place of the oldest.
//!
//! Cost of a publish: a hash, and a comparison of subjects in one cache line; of one to the
//! subject of the message before it in the same chunk: the comparison of the two.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::account::{Permissions, ResponseRule};

/// What is said to a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Neither this message nor, unless it is asked for a reply, another one.
    Never,
    /// This message, as the reply that is owed.
    Once,
    /// Every message to its subject.
    Always,
}

/// What a connection may do, and what it has been asked to answer.
#[derive(Debug)]
pub struct Guard {
    permissions: Arc<Permissions>,
    decisions: Decisions,
    replies: Option<Replies>,
}

impl Guard {
    /// The guard of a connection; `seed` is the server's secret.
    pub fn new(permissions: Arc<Permissions>, seed: u64) -> Self {
        let replies = permissions.responses().map(|rule| Replies::new(rule, seed));
        Self { permissions, decisions: Decisions::new(seed), replies }
    }

    /// The permissions it guards.
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Whether a message to `subject` may be published at `now` nanoseconds. A
    /// reply that is owed counts as given.
    pub fn permit(&mut self, subject: &[u8], now: u64) -> Permit {
        let Self { permissions, decisions, replies } = self;
        if decisions.get(subject, || permissions.allows_publish(subject)) {
            Permit::Always
        } else if replies.as_mut().is_some_and(|replies| replies.give(subject, now)) {
            Permit::Once
        } else {
            Permit::Never
        }
    }

    /// Whether every delivery has to be told to [`Self::note_request`].
    pub fn notes_requests(&self) -> bool {
        self.replies.is_some()
    }

    /// A message with `reply` was delivered: it may be answered, as often as the
    /// rule says. A second request for the same reply opens no more than is left.
    pub fn note_request(&mut self, reply: &[u8], now: u64) {
        if reply.is_empty() || self.replies.is_none() || self.permit(reply, now) != Permit::Never {
            return;
        }
        if let Some(replies) = &mut self.replies {
            replies.owe(reply, now);
        }
    }
}

/// Decisions about subjects: sets of two slots, the one used last in front.
#[derive(Debug)]
struct Decisions {
    slots: Vec<Slot>,
    seed: u64,
    /// Decisions made since the table has its size.
    misses: usize,
}

/// A subject and what was decided about it: one cache line.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Slot {
    hash: u32,
    length: u8,
    allowed: bool,
    subject: [u8; SUBJECT_BYTES_MAX],
}

const SUBJECT_BYTES_MAX: usize = 58;
const SLOTS_MIN: usize = 16;
const SLOTS_MAX: usize = 512;

const _: () = assert!(size_of::<Slot>() == 64);
const _: () = assert!(SLOTS_MIN.is_power_of_two() && SLOTS_MAX.is_power_of_two());

impl Decisions {
    fn new(seed: u64) -> Self {
        Self { slots: Vec::new(), seed, misses: 0 }
    }

    #[inline]
    fn get(&mut self, subject: &[u8], decide: impl FnOnce() -> bool) -> bool {
        let hash = FixedState::with_seed(self.seed).hash_one(subject);
        let (index, tag) = self.place(hash);
        if let Some([front, behind]) = self.slots.get(index..index + 2) {
            if front.is_of(tag, subject) {
                return front.allowed;
            }
            if behind.is_of(tag, subject) {
                return behind.allowed;
            }
        }
        let allowed = decide();
        self.remember(hash, subject, allowed);
        allowed
    }

    #[cold]
    fn remember(&mut self, hash: u64, subject: &[u8], allowed: bool) {
        let Ok(length) = u8::try_from(subject.len()) else { return };
        if subject.len() > SUBJECT_BYTES_MAX {
            return;
        }
        self.misses += 1;
        if self.slots.is_empty() || self.misses > self.slots.len() && self.slots.len() < SLOTS_MAX {
            let size = (self.slots.len() * 2).clamp(SLOTS_MIN, SLOTS_MAX);
            self.slots = vec![Slot::EMPTY; size];
            self.misses = 0;
        }
        let (index, tag) = self.place(hash);
        if let Some([front, behind]) = self.slots.get_mut(index..index + 2) {
            std::mem::swap(front, behind);
            front.hash = tag;
            front.length = length;
            front.allowed = allowed;
            front.subject[..subject.len()].copy_from_slice(subject);
        }
    }

    /// The first slot of a hash's set, and the bits that tell hashes apart.
    #[expect(clippy::cast_possible_truncation, reason = "two halves of a hash")]
    fn place(&self, hash: u64) -> (usize, u32) {
        let sets = (self.slots.len() / 2).max(1);
        ((hash as usize & (sets - 1)) * 2, (hash >> 32) as u32)
    }
}

impl Slot {
    const EMPTY: Self =
        Self { hash: 0, length: u8::MAX, allowed: false, subject: [0; SUBJECT_BYTES_MAX] };

    fn is_of(&self, hash: u32, subject: &[u8]) -> bool {
        self.hash == hash
            && usize::from(self.length) == subject.len()
            && self.subject.get(..subject.len()) == Some(subject)
    }
}

/// Replies that may be published once more, oldest first.
#[derive(Debug)]
struct Replies {
    rule: ResponseRule,
    seed: u64,
    /// Indexes of live entries, by their subject.
    table: HashTable<u32>,
    entries: Vec<Reply>,
    free: Vec<u32>,
    /// Entries in the order they were made, with the number each had then.
    order: VecDeque<(u32, u64)>,
    /// Entries ever made.
    made: u64,
}

#[derive(Debug, Default)]
struct Reply {
    /// Kept for the next entry when this one is gone.
    subject: Vec<u8>,
    /// Which entry this is; 0 when it is none.
    number: u64,
    given: u32,
    asked_at: u64,
}

const REPLIES_MAX: usize = 64 * 1024;

impl Replies {
    fn new(rule: ResponseRule, seed: u64) -> Self {
        Self {
            rule,
            seed,
            table: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            order: VecDeque::new(),
            made: 0,
        }
    }

    /// Whether a reply is owed; it is then one less.
    fn give(&mut self, subject: &[u8], now: u64) -> bool {
        let hash = self.hash(subject);
        let entries = &self.entries;
        let is_it = |&index: &u32| entries[index as usize].subject == subject;
        let Some(&index) = self.table.find(hash, is_it) else { return false };
        let expires = self.rule.expires;
        let reply = &mut self.entries[index as usize];
        let spent = self.rule.messages_max.is_some_and(|max| reply.given >= max);
        if spent || is_over(reply, expires, now) {
            self.forget(index);
            return false;
        }
        reply.given = reply.given.saturating_add(1);
        true
    }

    /// Notes a reply that is not in the table.
    fn owe(&mut self, subject: &[u8], now: u64) {
        self.forget_old(now);
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Reply::default());
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        self.made += 1;
        let reply = &mut self.entries[index as usize];
        reply.subject.clear();
        reply.subject.extend_from_slice(subject);
        (reply.number, reply.given, reply.asked_at) = (self.made, 0, now);
        self.order.push_back((index, self.made));
        let hash = self.hash(subject);
        let (entries, seed) = (&self.entries, self.seed);
        self.table.insert_unique(hash, index, |&index| {
            FixedState::with_seed(seed).hash_one(entries[index as usize].subject.as_slice())
        });
    }

    /// Makes room: what is over, what is gone, and the oldest if all are taken.
    fn forget_old(&mut self, now: u64) {
        while let Some(&(index, number)) = self.order.front() {
            let reply = &self.entries[index as usize];
            let is_gone = reply.number != number;
            let is_full = self.table.len() >= REPLIES_MAX || self.order.len() >= 2 * REPLIES_MAX;
            if !is_gone && !is_full && !is_over(reply, self.rule.expires, now) {
                return;
            }
            self.order.pop_front();
            if !is_gone {
                self.forget(index);
            }
        }
    }

    fn forget(&mut self, index: u32) {
        let hash = self.hash(&self.entries[index as usize].subject);
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == index) {
            entry.remove();
        }
        self.entries[index as usize].number = 0;
        self.free.push(index);
    }

    fn hash(&self, subject: &[u8]) -> u64 {
        FixedState::with_seed(self.seed).hash_one(subject)
    }
}

fn is_over(reply: &Reply, expires: Option<std::time::Duration>, now: u64) -> bool {
    let age = std::time::Duration::from_nanos(now.saturating_sub(reply.asked_at));
    expires.is_some_and(|expires| age >= expires)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::account::{PermissionRules, SubjectRules};

    fn guard(allow: &[&str], deny: &[&str], responses: Option<ResponseRule>) -> Guard {
        let list = |rules: &[&str]| rules.iter().map(|&rule| rule.to_owned()).collect();
        let publish = SubjectRules { allow: list(allow), deny: list(deny) };
        let rules = PermissionRules { publish, responses, ..PermissionRules::default() };
        Guard::new(Arc::new(Permissions::new(rules)), 7)
    }

    fn answers(messages_max: Option<u32>, expires: Option<u64>) -> Guard {
        let expires = expires.map(Duration::from_nanos);
        guard(&[], &[], Some(ResponseRule { messages_max, expires }))
    }

    fn allows(guard: &mut Guard, subject: &[u8], now: u64) -> bool {
        guard.permit(subject, now) != Permit::Never
    }

    /// How many of five publishes pass.
    fn passes(guard: &mut Guard, now: u64) -> usize {
        (0..5).filter(|_| allows(guard, b"in.1", now)).count()
    }

    /// All asked of nats-server 2.15.1.
    #[test]
    fn a_request_opens_its_reply_for_as_many_messages_as_the_rule_says() {
        let mut two = answers(Some(2), Some(300));
        assert_eq!(passes(&mut two, 0), 0);
        two.note_request(b"in.1", 0);
        assert_eq!(passes(&mut two, 0), 2);
        // Asked twice: what is left is one less, not more.
        two.note_request(b"in.1", 0);
        two.note_request(b"in.1", 0);
        assert_eq!(passes(&mut two, 0), 1);
        two.note_request(b"in.1", 0);
        assert!(allows(&mut two, b"in.1", 0));
        two.note_request(b"in.1", 0);
        assert_eq!(passes(&mut two, 0), 0);
        // Asked again in time does not make it last longer.
        two.note_request(b"in.1", 0);
        two.note_request(b"in.1", 200);
        assert_eq!(passes(&mut two, 400), 0);
        two.note_request(b"in.1", 400);
        assert!(allows(&mut two, b"in.1", 400));
        two.note_request(b"in.1", 800);
        assert_eq!(passes(&mut two, 800), 2);
        let mut endless = answers(None, None);
        endless.note_request(b"in.1", 0);
        assert_eq!(passes(&mut endless, u64::MAX), 5);
        assert!(!allows(&mut endless, b"in.2", 0) && !allows(&mut endless, b"in.*", 0));
    }

    #[test]
    fn no_more_replies_are_owed_than_there_is_room_for() {
        let mut guard = answers(Some(1), None);
        for number in 0..REPLIES_MAX + 10 {
            guard.note_request(format!("in.{number}").as_bytes(), 0);
        }
        assert!(!allows(&mut guard, b"in.9", 0));
        assert!(allows(&mut guard, b"in.10", 0));
        let replies = guard.replies.as_ref().unwrap();
        assert_eq!(replies.entries.len(), REPLIES_MAX);
    }

    #[test]
    fn given_replies_leave_no_trail() {
        let mut guard = answers(Some(1), Some(1_000_000));
        for number in 0..4 * REPLIES_MAX as u64 {
            guard.note_request(b"in.1", number);
            assert!(allows(&mut guard, b"in.1", number));
            assert!(!allows(&mut guard, b"in.1", number));
        }
        let replies = guard.replies.as_ref().unwrap();
        assert_eq!(replies.entries.len(), 1);
        assert!(replies.order.len() <= 2 * REPLIES_MAX);
    }

    proptest! {
        #[test]
        fn what_is_remembered_is_what_the_rules_say(
            subjects in prop::collection::vec("[ab]{1,3}(\\.[ab]{1,30}){0,2}", 1..300),
        ) {
            let mut guard = guard(&["a.>", "b", "ab.*"], &["a.b.>", "ab.a"], None);
            for subject in subjects.iter().chain(&subjects) {
                let expected = guard.permissions.allows_publish(subject.as_bytes());
                prop_assert_eq!(allows(&mut guard, subject.as_bytes(), 0), expected);
            }
            prop_assert!(guard.decisions.slots.len() <= SLOTS_MAX);
        }
    }
}
