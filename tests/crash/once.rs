//! Jobs that are done exactly once: published with an id until that is acknowledged, done when they
//! first come, and acknowledged with an answer. Whatever dies in between, a job is stored once, does
//! not come again once its acknowledgement was answered, and is not lost; and how often it came is
//! not forgotten once something later was answered.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{json, Value};

use super::link::{Gone, Link, Message};
use super::Leniency;
use crate::common::Random;

/// Publisher and worker of one work queue.
#[derive(Default)]
pub(crate) struct Once {
    is_made: bool,
    /// Jobs that were published or are being published: `0..next`.
    next: u64,
    /// The job whose publish was not answered, if there is one: it is published again.
    unsure: Option<u64>,
    /// The job of each sequence that was acknowledged or delivered.
    stored: BTreeMap<u64, u64>,
    /// What was done, job by job.
    effects: BTreeMap<u64, u32>,
    /// Sequences whose acknowledgement was answered.
    done: BTreeSet<u64>,
    /// Sequences whose acknowledgement was sent and not answered, and which did not come again.
    in_doubt: BTreeSet<u64>,
    /// How often each sequence came, and how often it had come at the last answer.
    counts: BTreeMap<u64, u64>,
    committed: BTreeMap<u64, u64>,
    fetched: Vec<Message>,
    is_lenient: bool,
}

impl Once {
    /// Nothing is lost and nothing is there twice; now and then the rest is done as well.
    pub(crate) fn check(
        &mut self,
        link: &mut Link,
        random: &mut Random,
        like: Leniency,
    ) -> Result<(), Gone> {
        self.is_lenient = like.is_reference;
        if !self.is_made {
            return self.make(link);
        }
        self.fetched.clear();
        // What came after the last answer of the life before may be forgotten with it.
        self.counts.clone_from(&self.committed);
        self.publish(link, false)?;
        self.count_left(link)?;
        if random.below(12) == 0 && !self.is_lenient {
            while self.count_left(link)? > 0 {
                // What came in an earlier life comes again when its time is over.
                self.fetch(link, r#"{"batch":10,"expires":60000000}"#)?;
                self.work_off(link, None)?;
            }
            let jobs: Vec<u64> = self.effects.keys().copied().collect();
            assert_eq!(jobs, (0..self.next).collect::<Vec<u64>>(), "jobs that were done");
        }
        assert!(self.effects.values().all(|times| *times == 1), "{:?}", self.effects);
        Ok(())
    }

    /// Publishes, does and acknowledges.
    pub(crate) fn work(&mut self, link: &mut Link, random: &mut Random) -> Result<(), Gone> {
        loop {
            for _ in 0..random.below(4) {
                self.publish(link, true)?;
            }
            self.fetch(link, r#"{"batch":3,"no_wait":true}"#)?;
            self.work_off(link, Some(random))?;
        }
    }

    fn make(&mut self, link: &mut Link) -> Result<(), Gone> {
        let body = json!({
            "name": "once", "subjects": ["once"], "storage": "file", "num_replicas": 1,
            "retention": "workqueue", "duplicate_window": 24 * 3_600_000_000_000_u64,
        });
        let answer = link.call("STREAM.CREATE.once", &body)?;
        assert!(answer.get("error").is_none(), "{answer}");
        let config = json!({
            "durable_name": "hand", "ack_policy": "explicit", "max_ack_pending": 10_000,
            "ack_wait": 50_000_000,
        });
        let body = json!({"stream_name": "once", "config": config, "action": "create"});
        let answer = link.call("CONSUMER.CREATE.once.hand", &body)?;
        assert!(answer.get("error").is_none(), "{answer}");
        self.is_made = true;
        Ok(())
    }

    /// Publishes the job that is in doubt, or a new one if that is wanted.
    fn publish(&mut self, link: &mut Link, wants_new: bool) -> Result<(), Gone> {
        let job = match self.unsure {
            Some(job) => job,
            None if wants_new => {
                self.next += 1;
                self.next - 1
            }
            None => return Ok(()),
        };
        let is_again = self.unsure.replace(job).is_some();
        let reply = link.reply_to(job);
        let (head, body) = (format!("NATS/1.0\r\nNats-Msg-Id: job-{job}\r\n\r\n"), job.to_string());
        let (size, total) = (head.len(), head.len() + body.len());
        link.send(format!("HPUB once {reply} {size} {total}\r\n{head}{body}\r\n").as_bytes())?;
        let answer = self.answer(link, &reply)?;
        let ack: Value = serde_json::from_slice(&answer.payload).expect("an acknowledgement");
        let seq = ack["seq"].as_u64().unwrap_or_else(|| panic!("job {job}: {ack}"));
        let is_known = self.stored.values().any(|known| *known == job);
        assert!(ack["duplicate"] != true || is_again, "job {job} was there before: {ack}");
        match self.stored.get(&seq) {
            Some(known) => assert_eq!(*known, job, "sequence {seq}"),
            None => assert!(!is_known, "job {job} is stored twice, again as {seq}"),
        }
        self.stored.insert(seq, job);
        self.unsure = None;
        Ok(())
    }

    fn fetch(&mut self, link: &mut Link, body: &str) -> Result<(), Gone> {
        let reply = link.reply_to(FETCHES);
        let subject = "$JS.API.CONSUMER.MSG.NEXT.once.hand";
        link.send(format!("PUB {subject} {reply} {}\r\n{body}\r\n", body.len()).as_bytes())?;
        let limit = if body.contains("10") { 10 } else { 3 };
        while self.fetched.len() < limit {
            let message = link.next()?;
            if message.subject == reply {
                assert!(message.header.starts_with("NATS/1.0 4"), "{message:?}");
                break;
            }
            self.fetched.push(message);
        }
        Ok(())
    }

    /// Does what was fetched, and acknowledges it, unless chance is against it.
    fn work_off(&mut self, link: &mut Link, mut random: Option<&mut Random>) -> Result<(), Gone> {
        while !self.fetched.is_empty() {
            let message = self.fetched.remove(0);
            let (count, seq) = place_of(&message);
            let job: u64 = String::from_utf8_lossy(&message.payload).parse().expect("a job");
            let is_done = self.done.contains(&seq);
            assert!(!is_done || self.is_lenient, "{seq} was done and comes again: {message:?}");
            let known = self.committed.get(&seq).copied().unwrap_or(0);
            assert!(
                count > known || self.is_lenient,
                "{seq} had come {known} times, and now says {count}"
            );
            assert_eq!(*self.stored.entry(seq).or_insert(job), job, "sequence {seq}");
            self.in_doubt.remove(&seq);
            self.counts.insert(seq, count);
            // The effect, known by its job: one that comes again is not done again.
            self.effects.entry(job).or_insert(1);
            if random.as_mut().is_some_and(|random| random.below(4) == 0) {
                continue;
            }
            self.in_doubt.insert(seq);
            let reply = link.reply_to(ACKS + seq);
            link.send(format!("PUB {} {reply} 4\r\n+ACK\r\n", message.reply).as_bytes())?;
            self.answer(link, &reply)?;
            self.in_doubt.remove(&seq);
            self.done.insert(seq);
            self.counts.remove(&seq);
            // What came once more before the answer was sent before it.
            self.fetched.retain(|message| place_of(message).1 != seq);
            self.committed.clone_from(&self.counts);
        }
        Ok(())
    }

    /// Messages that the stream has, which must be all that are not done.
    fn count_left(&mut self, link: &mut Link) -> Result<u64, Gone> {
        let info = link.call("STREAM.INFO.once", &Value::Null)?;
        let left = info["state"]["messages"].as_u64().expect("the stream is there");
        let most = (self.stored.len() - self.done.len()) as u64;
        let least = most - self.in_doubt.len() as u64;
        let is_right = (least..=most).contains(&left) || self.is_lenient;
        assert!(is_right, "{left} jobs are left, not {least} to {most}: {info}");
        Ok(left)
    }

    /// Waits for the answer on `reply`; deliveries and what ends a fetch may come before it.
    fn answer(&mut self, link: &mut Link, reply: &str) -> Result<Message, Gone> {
        loop {
            let message = link.next()?;
            if message.subject == reply {
                return Ok(message);
            }
            if message.reply.starts_with("$JS.ACK.") {
                self.fetched.push(message);
            } else {
                assert_eq!(message.subject, link.reply_to(FETCHES), "{message:?}");
            }
        }
    }
}

/// How often a message came, and its sequence.
fn place_of(message: &Message) -> (u64, u64) {
    let number = |place: usize| message.reply.split('.').nth(place)?.parse::<u64>().ok();
    number(4).zip(number(5)).expect("an ack subject")
}

/// Fetches and acknowledgements are named by numbers from here on, publishes by their job.
const FETCHES: u64 = 1 << 40;
const ACKS: u64 = 1 << 41;
