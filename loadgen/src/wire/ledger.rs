//! The account of what arrived: nothing lost, doubled, out of order or altered.
//!
//! A [`Ledger`] belongs to one subscriber and expects, from each publisher, every sequence in
//! order (or, as a member of a queue group, any increasing subset). A [`Roll`] belongs to one
//! queue group and ticks off each sequence exactly once over all members.
//!
//! Cost of a good message: one table look-up, one comparison and the checksum. Only after a fault
//! is anything remembered: at most [`MISSING_MAX`] sequences, and the text of the first fault.

use std::collections::BTreeSet;

use serde::Serialize;

use super::payload::{self, Head, Layout};

/// Most missing sequences remembered to tell a late message from a doubled one.
const MISSING_MAX: usize = 100_000;
/// Payloads below this size have each checksum verified; above it one in 64.
const CHECK_ALL_BELOW: usize = 256;

/// What went wrong, in numbers of messages.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Faults {
    /// Sent and never received.
    pub lost: u64,
    /// Received more than once.
    pub duplicated: u64,
    /// Received after a later message of the same publisher.
    pub reordered: u64,
    /// Payload or header altered.
    pub corrupted: u64,
    /// Not ours: wrong subject, subscription, or sequence never sent.
    pub unexpected: u64,
    /// The first of these in words.
    pub first: Option<String>,
}

impl Faults {
    /// True if there is none.
    pub fn is_clean(&self) -> bool {
        self.total() == 0
    }

    /// Sum of all kinds.
    pub fn total(&self) -> u64 {
        self.lost + self.duplicated + self.reordered + self.corrupted + self.unexpected
    }

    /// Adds the faults of another subscriber.
    pub fn merge(&mut self, other: &Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.corrupted += other.corrupted;
        self.unexpected += other.unexpected;
        if self.first.is_none() {
            self.first.clone_from(&other.first);
        }
    }

    /// Notes a message that is not ours.
    #[cold]
    pub fn unexpected(&mut self, what: impl FnOnce() -> String) {
        self.unexpected += 1;
        self.first.get_or_insert_with(what);
    }

    /// Notes an altered message.
    #[cold]
    pub fn corrupted(&mut self, what: impl FnOnce() -> String) {
        self.corrupted += 1;
        self.first.get_or_insert_with(what);
    }

    #[cold]
    fn duplicated(&mut self, head: Head) {
        self.duplicated += 1;
        self.note(head, "arrived twice");
    }

    #[cold]
    fn reordered(&mut self, head: Head) {
        self.reordered += 1;
        self.note(head, "arrived after a later one");
    }

    fn note(&mut self, head: Head, what: &str) {
        let Head { publisher, sequence, .. } = head;
        let text = || format!("message {sequence} of publisher {publisher} {what}");
        self.first.get_or_insert_with(text);
    }
}

/// Which sequences of a publisher one subscriber must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Each of them.
    Every,
    /// Any, but increasing: the others go to other members or subscriptions.
    Increasing,
}

/// One subscriber's account.
pub struct Ledger {
    layout: Layout,
    check_all: bool,
    expect: Expect,
    seed: u64,
    first_publisher: u16,
    /// Next sequence expected (or lowest allowed) of each publisher.
    next: Vec<u64>,
    missing: BTreeSet<(u16, u64)>,
    gaps: u64,
    /// Messages accepted so far, faulty ones included.
    pub received: u64,
    /// What went wrong so far.
    pub faults: Faults,
}

impl Ledger {
    /// An account of messages from `publishers` publishers numbered from `first_publisher`.
    pub fn new(
        size: usize,
        first_publisher: u16,
        publishers: usize,
        expect: Expect,
        seed: u64,
    ) -> Self {
        Self {
            layout: Layout::of(size),
            check_all: size < CHECK_ALL_BELOW,
            expect,
            seed,
            first_publisher,
            next: vec![0; publishers],
            missing: BTreeSet::new(),
            gaps: 0,
            received: 0,
            faults: Faults::default(),
        }
    }

    /// Enters one payload; returns its head if there is one and it can be trusted.
    #[inline(always)]
    pub fn enter(&mut self, payload: &[u8]) -> Option<Head> {
        self.received += 1;
        let head = match self.layout {
            Layout::Full => {
                let head = payload::read_full(payload);
                if (self.check_all || is_sampled(head.sequence))
                    && !payload::full_is_sound(payload, self.seed)
                {
                    return self.altered(head);
                }
                head
            }
            Layout::Short => {
                let head = payload::read_short(payload);
                if !payload::short_is_sound(payload, self.seed) {
                    return self.altered(head);
                }
                self.widen(head)
            }
            Layout::Bare => return None,
        };
        let index = usize::from(head.publisher.wrapping_sub(self.first_publisher));
        match self.next.get_mut(index) {
            Some(next) if head.sequence == *next => *next += 1,
            Some(next) if self.expect == Expect::Increasing && head.sequence > *next => {
                *next = head.sequence + 1;
            }
            Some(_) => self.out_of_order(head, index),
            None => {
                self.altered(head);
                return None;
            }
        }
        Some(head)
    }

    /// Closes the account: `sent` messages of each publisher were due. Returns the faults.
    pub fn close(&mut self, sent: &[u64]) -> Faults {
        let mut faults = self.faults.clone();
        let due: u64 = sent.iter().sum();
        match (self.layout, self.expect) {
            (Layout::Bare, Expect::Every) => {
                faults.lost += due.saturating_sub(self.received);
                faults.duplicated += self.received.saturating_sub(due);
            }
            (_, Expect::Every) => {
                let tails =
                    sent.iter().zip(&self.next).map(|(sent, next)| sent.saturating_sub(*next));
                let lost = self.gaps + tails.sum::<u64>();
                // A corrupted message fills the gap it leaves: it was not lost.
                faults.lost += lost.saturating_sub(faults.corrupted);
                let ahead =
                    sent.iter().zip(&self.next).map(|(sent, next)| next.saturating_sub(*sent));
                faults.unexpected += ahead.sum::<u64>();
            }
            (_, Expect::Increasing) => {}
        }
        if faults.total() > 0 && faults.first.is_none() {
            let received = self.received;
            faults.first = Some(match self.missing.first() {
                Some((publisher, sequence)) => {
                    format!("message {sequence} of publisher {publisher} never arrived")
                }
                None => format!("{received} messages arrived where {due} were sent"),
            });
        }
        faults
    }

    /// Gives the 32-bit sequence of a short payload the upper bits nearest to what is expected.
    fn widen(&self, head: Head) -> Head {
        let index = usize::from(head.publisher.wrapping_sub(self.first_publisher));
        let near = self.next.get(index).copied().unwrap_or(0);
        let ahead = (head.sequence as u32).wrapping_sub(near as u32) as i32;
        Head { sequence: near.wrapping_add_signed(i64::from(ahead)), ..head }
    }

    #[cold]
    fn altered(&mut self, head: Head) -> Option<Head> {
        self.faults.corrupted(|| {
            let Head { publisher, sequence, .. } = head;
            format!("bad checksum in what says it is message {sequence} of publisher {publisher}")
        });
        None
    }

    #[cold]
    fn out_of_order(&mut self, head: Head, index: usize) {
        let next = self.next[index];
        if self.expect == Expect::Increasing {
            // Whether it is a second copy is for the roll of the group to say.
            self.faults.reordered(head);
        } else if head.sequence > next {
            self.gaps += head.sequence - next;
            let room = MISSING_MAX.saturating_sub(self.missing.len()) as u64;
            for sequence in next..head.sequence.min(next + room) {
                self.missing.insert((head.publisher, sequence));
            }
            self.next[index] = head.sequence + 1;
        } else if self.missing.remove(&(head.publisher, head.sequence)) {
            self.gaps -= 1;
            self.faults.reordered(head);
        } else {
            self.faults.duplicated(head);
        }
    }
}

/// One queue group's account: each sequence of each publisher exactly once over the members.
///
/// Keeps one bit a message from the lowest sequence not yet seen, so its size follows the
/// messages in flight; at most [`Roll::WORDS_MAX`] words a publisher, after which the lowest
/// sequences count as lost.
pub struct Roll {
    first_publisher: u16,
    lanes: Vec<Lane>,
    /// What went wrong so far.
    pub faults: Faults,
}

#[derive(Default)]
struct Lane {
    /// Sequence of bit 0 of the first word; a multiple of 64.
    base: u64,
    words: std::collections::VecDeque<u64>,
    seen: u64,
}

impl Roll {
    const WORDS_MAX: u64 = 1 << 20;

    /// A roll for `publishers` publishers numbered from `first_publisher`.
    pub fn new(first_publisher: u16, publishers: usize) -> Self {
        let lanes = (0..publishers).map(|_| Lane::default()).collect();
        Self { first_publisher, lanes, faults: Faults::default() }
    }

    /// Ticks off one message.
    #[inline]
    pub fn tick(&mut self, head: Head) {
        let index = usize::from(head.publisher.wrapping_sub(self.first_publisher));
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        if head.sequence < lane.base {
            self.faults.duplicated(head);
            return;
        }
        let word = (head.sequence - lane.base) / 64;
        if word >= Self::WORDS_MAX {
            self.faults.unexpected(|| format!("sequence {} is far ahead", head.sequence));
            return;
        }
        while lane.words.len() <= word as usize {
            lane.words.push_back(0);
        }
        let bit = 1u64 << (head.sequence % 64);
        let seen = &mut lane.words[word as usize];
        if *seen & bit != 0 {
            self.faults.duplicated(head);
            return;
        }
        *seen |= bit;
        lane.seen += 1;
        while lane.words.front() == Some(&u64::MAX) {
            lane.words.pop_front();
            lane.base += 64;
        }
    }

    /// Closes the roll: `sent` messages of each publisher were due. Returns the faults.
    pub fn close(&self, sent: &[u64]) -> Faults {
        let mut faults = self.faults.clone();
        for (lane, &sent) in self.lanes.iter().zip(sent) {
            faults.lost += sent.saturating_sub(lane.seen);
        }
        if faults.lost > 0 && faults.first.is_none() {
            faults.first = Some(format!("{} messages reached no member", faults.lost));
        }
        faults
    }
}

/// One sequence in 64, spread so that it does not keep step with the slots of a ring.
#[inline]
fn is_sampled(sequence: u64) -> bool {
    sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(publisher: u16, sequence: u64) -> Vec<u8> {
        let mut payload = vec![0; 16];
        payload::write_full(&mut payload, Head { publisher, sequence, time: 0 }, 0, 1);
        payload
    }

    fn account(order: &[u64], sent: u64) -> Faults {
        let mut ledger = Ledger::new(16, 0, 1, Expect::Every, 1);
        for &sequence in order {
            ledger.enter(&payload(0, sequence));
        }
        ledger.close(&[sent])
    }

    #[test]
    fn in_order_is_clean_and_publishers_are_independent() {
        assert!(account(&[0, 1, 2, 3], 4).is_clean());
        let mut ledger = Ledger::new(16, 5, 2, Expect::Every, 1);
        for (publisher, sequence) in [(5, 0), (6, 0), (6, 1), (5, 1), (6, 2)] {
            ledger.enter(&payload(publisher, sequence));
        }
        assert!(ledger.close(&[2, 3]).is_clean());
    }

    #[test]
    fn a_lost_message_is_found_in_the_middle_and_at_the_end() {
        assert_eq!(account(&[0, 1, 3], 4).lost, 1);
        let tail = account(&[0, 1, 2], 4);
        assert_eq!((tail.lost, tail.total()), (1, 1));
        assert!(tail.first.is_some());
    }

    #[test]
    fn a_swap_is_reordered_and_not_lost() {
        let faults = account(&[0, 2, 1, 3], 4);
        assert_eq!((faults.reordered, faults.total()), (1, 1));
    }

    #[test]
    fn a_second_copy_is_duplicated() {
        let faults = account(&[0, 1, 1, 2, 0, 3], 4);
        assert_eq!((faults.duplicated, faults.total()), (2, 2));
    }

    #[test]
    fn an_altered_message_is_corrupted_and_not_also_lost() {
        let mut ledger = Ledger::new(16, 0, 1, Expect::Every, 1);
        ledger.enter(&payload(0, 0));
        let mut broken = payload(0, 1);
        broken[3] ^= 4;
        assert_eq!(ledger.enter(&broken), None);
        ledger.enter(&payload(0, 2));
        let faults = ledger.close(&[3]);
        assert_eq!((faults.corrupted, faults.total()), (1, 1));
    }

    #[test]
    fn an_unknown_publisher_and_a_sequence_never_sent_are_found() {
        let mut ledger = Ledger::new(16, 0, 1, Expect::Every, 1);
        ledger.enter(&payload(1, 0));
        assert_eq!(ledger.close(&[0]).corrupted, 1);
        assert_eq!(account(&[0, 1, 2], 2).unexpected, 1);
    }

    #[test]
    fn large_payloads_are_sampled_one_in_64() {
        let sampled = (0..64_000u64).filter(|&s| is_sampled(s)).count();
        assert!((950..1050).contains(&sampled), "{sampled}");
    }

    #[test]
    fn a_group_sees_each_message_once_in_order_within_a_member() {
        let mut roll = Roll::new(0, 1);
        let mut members = [
            Ledger::new(16, 0, 1, Expect::Increasing, 1),
            Ledger::new(16, 0, 1, Expect::Increasing, 1),
        ];
        for sequence in 0..1000 {
            let member = &mut members[usize::from(sequence % 3 == 0)];
            roll.tick(member.enter(&payload(0, sequence)).unwrap());
        }
        assert!(roll.close(&[1000]).is_clean());
        assert!(members.iter_mut().all(|m| m.close(&[1000]).is_clean()));
        assert_eq!(roll.close(&[1001]).lost, 1);

        roll.tick(Head { publisher: 0, sequence: 999, time: 0 });
        roll.tick(Head { publisher: 0, sequence: 5, time: 0 });
        assert_eq!(roll.close(&[1000]).duplicated, 2);
        members[0].enter(&payload(0, 10));
        assert_eq!(members[0].close(&[1000]).reordered, 1);
    }

    #[test]
    fn short_sequences_go_on_after_four_billion() {
        let mut ledger = Ledger::new(8, 0, 1, Expect::Every, 1);
        let first = u64::from(u32::MAX) - 1;
        ledger.next[0] = first;
        for sequence in first..first + 5 {
            let mut payload = [0; 8];
            payload::write_short(&mut payload, Head { publisher: 0, sequence, time: 0 }, 0, 1);
            let head = ledger.enter(&payload);
            assert_eq!(head.map(|head| head.sequence), Some(sequence));
        }
        assert!(ledger.close(&[first + 5]).is_clean());
    }

    #[test]
    fn bare_payloads_are_counted() {
        let mut ledger = Ledger::new(3, 0, 1, Expect::Every, 1);
        for _ in 0..9 {
            ledger.enter(b"abc");
        }
        assert_eq!(ledger.close(&[10]).lost, 1);
        assert_eq!(ledger.close(&[8]).duplicated, 1);
    }
}
