//! Requests that went to another account: where their answers go.
//!
//! A request that an import carries over gets a reply subject of its own,
//! `_R_.<shard>.<number>`, of six base62 digits each. The first ones name the
//! shard, so that one subscription in the exporting account, on the pattern
//! below them, brings all answers back here; the last ones are drawn at random,
//! so that nobody answers what he was not asked. Of requests that are measured
//! it goes on: `.<the server's hash>.T`.
//!
//! Bounds: [`RESPONSES_MAX`] requests; one more takes the place of the one whose
//! time is up first. Each is forgotten when its answer is complete, or when its
//! threshold has passed since the last message of it.
//!
//! Cost of a request: a hash, and no allocation once the table has grown.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::connection::ConnKey;
use super::latency::{Measured, MEASURED_END};
use crate::account::ServiceRoute;
use crate::stream::short_hash;
use crate::subject::AccountId;

/// Requests of one shard that may wait for their answers.
pub(super) const RESPONSES_MAX: usize = 1 << 20;

/// What begins every reply subject of an import.
pub(super) const RESPONSE_PREFIX: &[u8] = b"_R_.";

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const NAME_BYTES: usize = 6;
const PREFIX_BYTES: usize = RESPONSE_PREFIX.len() + NAME_BYTES + 1;
const NONE: u32 = u32::MAX;

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Response {
    /// The account in which the answer is published.
    pub(super) answered_in: AccountId,
    /// The account that it goes to.
    pub(super) account: AccountId,
    /// The way it went.
    pub(super) route: Arc<ServiceRoute>,
    /// What is noted of it, if it is measured.
    pub(super) measured: Option<Box<Measured>>,
    name: [u8; NAME_BYTES],
    /// The subject and the reply in the importing account.
    texts: Vec<u8>,
    subject_len: usize,
    touched: u64,
    list: u32,
    before: u32,
    after: u32,
}

impl Response {
    /// What was asked of, in the importing account.
    pub(super) fn subject(&self) -> &[u8] {
        &self.texts[..self.subject_len]
    }

    /// Where the answer goes, in the importing account.
    pub(super) fn reply(&self) -> &[u8] {
        &self.texts[self.subject_len..]
    }
}

/// Requests with one threshold, the one that was touched first in front.
#[derive(Debug)]
struct List {
    threshold: u64,
    first: u32,
    last: u32,
}

/// The requests of one shard. See the module's documentation.
#[derive(Debug)]
pub(super) struct Responses {
    prefix: [u8; PREFIX_BYTES],
    slots: Vec<Option<Response>>,
    free: Vec<u32>,
    by_name: HashTable<u32>,
    hasher: FixedState,
    lists: Vec<List>,
    /// Measured requests by who has asked.
    measured: BTreeSet<(u64, u32)>,
    /// What ends the subjects of their answers.
    measured_end: Box<[u8]>,
    spare: Vec<Vec<u8>>,
}

impl Responses {
    /// No request waits; `seed` names the shard among all, `server` is the server's name.
    pub(super) fn new(seed: u64, server: &str) -> Self {
        let mut prefix = [b'.'; PREFIX_BYTES];
        prefix[..RESPONSE_PREFIX.len()].copy_from_slice(RESPONSE_PREFIX);
        prefix[RESPONSE_PREFIX.len()..PREFIX_BYTES - 1].copy_from_slice(&name_of(seed));
        Self {
            prefix,
            slots: Vec::new(),
            free: Vec::new(),
            by_name: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            lists: Vec::new(),
            measured: BTreeSet::new(),
            measured_end: [b".", short_hash(server.as_bytes()).as_bytes(), MEASURED_END]
                .concat()
                .into(),
            spare: Vec::new(),
        }
    }

    /// What answers are subscribed to.
    pub(super) fn pattern(&self) -> Vec<u8> {
        [&self.prefix[..], b">"].concat()
    }

    /// Notes a request and appends its reply subject to `out`. If the table was
    /// full, the request comes back that it has taken the place of.
    pub(super) fn open(
        &mut self,
        random: impl FnMut() -> u64,
        now: u64,
        asked: Asked<'_>,
        measured: Option<Box<Measured>>,
        out: &mut Vec<u8>,
    ) -> Option<Response> {
        let evicted = (self.by_name.len() >= RESPONSES_MAX).then(|| self.oldest()).flatten();
        let evicted = evicted.and_then(|slot| self.remove(slot));
        let name = self.new_name(random);
        let mut texts = self.spare.pop().unwrap_or_default();
        texts.clear();
        texts.extend_from_slice(asked.subject);
        texts.extend_from_slice(asked.reply);
        let threshold = u64::try_from(asked.route.terms.threshold.as_nanos()).unwrap_or(u64::MAX);
        let list = self.list_of(threshold);
        let requester = measured.as_ref().map(|measured| measured.requester.to_u64());
        let response = Response {
            measured,
            answered_in: asked.answered_in,
            account: asked.account,
            route: Arc::clone(asked.route),
            name,
            texts,
            subject_len: asked.subject.len(),
            touched: now,
            list,
            before: NONE,
            after: NONE,
        };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
            }
        };
        self.slots[slot as usize] = Some(response);
        if let Some(requester) = requester {
            self.measured.insert((requester, slot));
        }
        self.append(slot);
        let hash = self.hasher.hash_one(name);
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.by_name.insert_unique(hash, slot, |&slot| hash_of(slots, hasher, slot));
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(&name);
        if requester.is_some() {
            out.extend_from_slice(&self.measured_end);
        }
        evicted
    }

    /// The request that a message to `reply` answers, if it is published in `account`.
    pub(super) fn find(&self, account: AccountId, reply: &[u8]) -> Option<u32> {
        let rest = reply.strip_prefix(&self.prefix)?;
        let (name, behind) = rest.split_first_chunk::<NAME_BYTES>()?;
        if !matches!(behind.first(), None | Some(b'.')) {
            return None;
        }
        let is_it = |&slot: &u32| {
            self.get(slot)
                .is_some_and(|response| response.name == *name && response.answered_in == account)
        };
        self.by_name.find(self.hasher.hash_one(*name), is_it).copied()
    }

    /// The request that was given this reply subject, wherever it is answered.
    pub(super) fn named(&self, reply: &[u8]) -> Option<u32> {
        let name = reply.strip_prefix(&self.prefix)?.first_chunk::<NAME_BYTES>()?;
        let is_it = |&slot: &u32| self.get(slot).is_some_and(|response| response.name == *name);
        self.by_name.find(self.hasher.hash_one(*name), is_it).copied()
    }

    /// A request that [`find`](Self::find) has named.
    pub(super) fn get(&self, slot: u32) -> Option<&Response> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn get_mut(&mut self, slot: u32) -> Option<&mut Response> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// A message of an answer came: there is time for another.
    pub(super) fn touch(&mut self, slot: u32, now: u64) {
        self.unlink(slot);
        if let Some(response) = self.get_mut(slot) {
            response.touched = now;
        }
        self.append(slot);
    }

    /// Forgets a request.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Response> {
        let name = self.get(slot)?.name;
        self.unlink(slot);
        if let Ok(found) = self.by_name.find_entry(self.hasher.hash_one(name), |&at| at == slot) {
            found.remove();
        }
        self.free.push(slot);
        let removed = self.slots[slot as usize].take();
        if let Some(measured) = removed.as_ref().and_then(|response| response.measured.as_ref()) {
            self.measured.remove(&(measured.requester.to_u64(), slot));
        }
        removed
    }

    /// Forgets a measured request of a connection.
    pub(super) fn take_measured_of(&mut self, key: ConnKey) -> Option<Response> {
        let of_key = (key.to_u64(), 0)..=(key.to_u64(), u32::MAX);
        let slot = self.measured.range(of_key).next()?.1;
        self.remove(slot)
    }

    /// Requests that are measured.
    pub(super) fn measured_len(&self) -> usize {
        self.measured.len()
    }

    /// What is noted of a request that is measured.
    pub(super) fn measured_mut(&mut self, slot: u32) -> Option<&mut Measured> {
        self.get_mut(slot)?.measured.as_deref_mut()
    }

    /// Gives the buffer of a forgotten request back.
    pub(super) fn recycle(&mut self, response: Response) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(response.texts);
        }
    }

    /// A request whose time is up, forgotten.
    pub(super) fn expired(&mut self, now: u64) -> Option<Response> {
        let slot = self.oldest()?;
        (self.deadline(slot) <= now).then(|| self.remove(slot)).flatten()
    }

    /// When the next request's time is up.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.oldest().map(|slot| self.deadline(slot))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The request whose time is up first.
    fn oldest(&self) -> Option<u32> {
        let firsts = self.lists.iter().map(|list| list.first).filter(|&slot| slot != NONE);
        firsts.min_by_key(|&slot| self.deadline(slot))
    }

    fn deadline(&self, slot: u32) -> u64 {
        let Some(response) = self.get(slot) else { return u64::MAX };
        response.touched.saturating_add(self.lists[response.list as usize].threshold)
    }

    fn list_of(&mut self, threshold: u64) -> u32 {
        let known = self.lists.iter().position(|list| list.threshold == threshold);
        let place = known.unwrap_or_else(|| {
            self.lists.push(List { threshold, first: NONE, last: NONE });
            self.lists.len() - 1
        });
        u32::try_from(place).unwrap_or(NONE)
    }

    fn append(&mut self, slot: u32) {
        let Some(list) = self.get(slot).map(|response| response.list as usize) else { return };
        let last = std::mem::replace(&mut self.lists[list].last, slot);
        if last == NONE {
            self.lists[list].first = slot;
        } else if let Some(response) = self.get_mut(last) {
            response.after = slot;
        }
        if let Some(response) = self.get_mut(slot) {
            (response.before, response.after) = (last, NONE);
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Some(response) = self.get(slot) else { return };
        let (list, before, after) = (response.list as usize, response.before, response.after);
        match self.get_mut(before) {
            Some(response) => response.after = after,
            None => self.lists[list].first = after,
        }
        match self.get_mut(after) {
            Some(response) => response.before = before,
            None => self.lists[list].last = before,
        }
    }

    fn new_name(&self, mut random: impl FnMut() -> u64) -> [u8; NAME_BYTES] {
        loop {
            let name = name_of(random());
            let is_it = |&slot: &u32| {
                self.slots[slot as usize].as_ref().is_some_and(|response| response.name == name)
            };
            if self.by_name.find(self.hasher.hash_one(name), is_it).is_none() {
                return name;
            }
        }
    }
}

/// A request that goes to another account.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// Where the answer will be published.
    pub(super) answered_in: AccountId,
    /// Where it goes to.
    pub(super) account: AccountId,
    pub(super) route: &'a Arc<ServiceRoute>,
    /// In the importing account.
    pub(super) subject: &'a [u8],
    /// In the importing account.
    pub(super) reply: &'a [u8],
}

/// Buffers kept for reuse.
const SPARE_MAX: usize = 1024;

fn hash_of(slots: &[Option<Response>], hasher: &FixedState, slot: u32) -> u64 {
    slots[slot as usize].as_ref().map_or(0, |response| hasher.hash_one(response.name))
}

fn name_of(number: u64) -> [u8; NAME_BYTES] {
    let mut rest = number;
    std::array::from_fn(|_| {
        let digit = rest % 62;
        rest /= 62;
        DIGITS[usize::try_from(digit).unwrap_or(0)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Terms;
    use crate::subject::Transform;
    use std::time::Duration;

    fn route(threshold: u64) -> Arc<ServiceRoute> {
        Arc::new(ServiceRoute {
            importer: AccountId(2),
            exporter: AccountId(3),
            to: b"a"[..].into(),
            transform: Transform::constant("a", "b").unwrap(),
            export: b"b"[..].into(),
            share: false,
            terms: Terms { threshold: Duration::from_nanos(threshold), ..Terms::default() },
        })
    }

    fn open(responses: &mut Responses, threshold: u64, number: u64, now: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let route = route(threshold);
        let asked = Asked {
            answered_in: AccountId(3),
            account: AccountId(2),
            route: &route,
            subject: b"subject",
            reply: b"reply",
        };
        let mut numbers = [number, number + 1].into_iter();
        assert!(responses.open(|| numbers.next().unwrap(), now, asked, None, &mut out).is_none());
        out
    }

    #[test]
    fn an_answer_finds_its_request_and_nothing_else_does() {
        let mut responses = Responses::new(7, "S");
        let reply = open(&mut responses, 10, 1, 0);
        let same = open(&mut responses, 10, 1, 0);
        assert_ne!(reply, same, "a name is used once at a time");
        assert!(crate::subject::matches(&responses.pattern(), &reply));
        let slot = responses.find(AccountId(3), &reply).unwrap();
        let response = responses.get(slot).unwrap();
        assert_eq!((response.subject(), response.reply()), (&b"subject"[..], &b"reply"[..]));
        assert_eq!(responses.find(AccountId(3), &[&reply[..], b".T"].concat()), Some(slot));
        assert_eq!(responses.find(AccountId(3), &[&reply[..], b"T"].concat()), None);
        assert_eq!(responses.find(AccountId(3), &reply[..reply.len() - 1]), None);
        assert_eq!(responses.find(AccountId(2), &reply), None, "another account");
        assert_eq!(Responses::new(8, "S").find(AccountId(3), &reply), None);
        let gone = responses.remove(slot).unwrap();
        responses.recycle(gone);
        assert_eq!(responses.find(AccountId(3), &reply), None);
        assert_eq!(responses.len(), 1);
    }

    #[test]
    fn times_run_out_in_order_whatever_their_length() {
        let mut responses = Responses::new(7, "S");
        let slow = open(&mut responses, 100, 1, 0);
        let quick = open(&mut responses, 10, 2, 5);
        let second = open(&mut responses, 10, 3, 6);
        let third = open(&mut responses, 10, 4, 7);
        assert_eq!(responses.next_deadline(), Some(15));
        let slot = responses.find(AccountId(3), &quick).unwrap();
        responses.touch(slot, 8);
        assert_eq!(responses.next_deadline(), Some(16));
        let middle = responses.find(AccountId(3), &third).unwrap();
        responses.remove(middle);
        assert!(responses.expired(15).is_none());
        assert_eq!(responses.expired(16).map(|gone| gone.touched), Some(6));
        assert_eq!(responses.find(AccountId(3), &second), None);
        assert!(responses.expired(17).is_none());
        assert!(responses.expired(18).is_some());
        assert_eq!(responses.next_deadline(), Some(100));
        assert!(responses.find(AccountId(3), &slow).is_some());
        assert!(responses.expired(100).is_some());
        assert_eq!((responses.len(), responses.next_deadline()), (0, None));
    }
}
