//! A work list and its worker: what was acknowledged, and answered, is never delivered again; what
//! was not is delivered until it is.

use std::collections::BTreeSet;

use serde_json::{json, Value};

use super::link::{Gone, Link};
use super::Leniency;
use crate::common::Random;

/// The worker's view of one stream and its consumer.
#[derive(Default)]
pub(crate) struct Worker {
    is_made: bool,
    /// Sequences whose publish was acknowledged.
    last: u64,
    /// Sequences whose acknowledgement was answered.
    done: BTreeSet<u64>,
    /// Sequences whose acknowledgement was sent and not answered, in this life or before, and which
    /// were not delivered since.
    in_doubt: BTreeSet<u64>,
    is_publishing: bool,
    /// Deliveries that came while something else was waited for.
    fetched: Vec<String>,
}

impl Worker {
    /// The consumer is there, and all of it that was answered.
    pub(crate) fn check(&mut self, link: &mut Link, like: Leniency) -> Result<(), Gone> {
        if !self.is_made {
            let body = json!({
                "name": "work", "subjects": ["work"], "storage": "file", "num_replicas": 1,
            });
            let answer = link.call("STREAM.CREATE.work", &body)?;
            assert!(answer.get("error").is_none(), "{answer}");
            let config = json!({
                "name": "hand", "durable_name": "hand", "ack_policy": "explicit",
                "deliver_policy": "all", "replay_policy": "instant", "max_ack_pending": 10_000,
                "ack_wait": 100_000_000_000_u64,
            });
            let body = json!({"stream_name": "work", "config": config, "action": "create"});
            let answer = link.call("CONSUMER.CREATE.work.hand", &body)?;
            assert!(answer.get("error").is_none(), "{answer}");
            self.is_made = true;
            return Ok(());
        }
        let info = link.call("STREAM.INFO.work", &Value::Null)?;
        let last = info["state"]["last_seq"].as_u64().expect("the stream is there");
        let may_be = self.last..=self.last + u64::from(self.is_publishing);
        assert!(may_be.contains(&last), "work ends at {last}, not in {may_be:?}");
        self.last = last;
        self.is_publishing = false;
        let info = link.call("CONSUMER.INFO.work.hand", &Value::Null)?;
        let told = |path: &str| info.pointer(path).and_then(Value::as_u64);
        let floor = told("/ack_floor/stream_seq").expect("the consumer is there");
        let acked_below = (1..).find(|seq| !self.done.contains(seq)).expect("a number") - 1;
        if like.is_reference {
            // Its answer to an acknowledgement is no promise: take what is there.
            self.done.retain(|seq| *seq <= floor);
            self.done.extend(1..=floor);
        } else {
            assert!(floor >= acked_below, "done up to {acked_below}, and it says {info}");
            let left = told("/num_ack_pending").zip(told("/num_pending"));
            let left = left.map(|(pending, coming)| pending + coming).expect("counts");
            let most = last - self.done.len() as u64;
            let least = most - self.in_doubt.len() as u64;
            assert!(
                (least..=most).contains(&left),
                "{left} are left to do, not {least} to {most}: {info}"
            );
        }
        self.fetched.clear();
        Ok(())
    }

    /// Publishes, fetches and acknowledges.
    pub(crate) fn work(&mut self, link: &mut Link, random: &mut Random) -> Result<(), Gone> {
        loop {
            for _ in 0..random.below(4) {
                self.is_publishing = true;
                let reply = link.reply_to(self.last + 1);
                link.send(format!("PUB work {reply} 4\r\nwork\r\n").as_bytes())?;
                self.answer(link, &reply)?;
                self.last += 1;
                self.is_publishing = false;
            }
            let reply = link.reply_to(0);
            let body = r#"{"batch":3,"no_wait":true}"#;
            let frame = format!(
                "PUB $JS.API.CONSUMER.MSG.NEXT.work.hand {reply} {}\r\n{body}\r\n",
                body.len()
            );
            link.send(frame.as_bytes())?;
            while self.fetched.len() < 3 {
                let message = link.next()?;
                if message.subject == reply {
                    assert!(message.header.starts_with("NATS/1.0 4"), "{message:?}");
                    break;
                }
                self.fetched.push(message.reply);
            }
            for ack in std::mem::take(&mut self.fetched) {
                let seq: u64 = ack.rsplit('.').nth(3).and_then(|seq| seq.parse().ok()).unwrap_or(0);
                assert!(
                    !self.done.contains(&seq),
                    "sequence {seq} was done and comes again: {ack}"
                );
                self.in_doubt.remove(&seq);
                if random.below(4) == 0 {
                    continue;
                }
                self.in_doubt.insert(seq);
                let reply = link.reply_to(seq);
                link.send(format!("PUB {ack} {reply} 4\r\n+ACK\r\n").as_bytes())?;
                self.answer(link, &reply)?;
                self.in_doubt.remove(&seq);
                self.done.insert(seq);
            }
        }
    }

    /// Waits for the answer on `reply`; deliveries and what ends a fetch may come before it.
    fn answer(&mut self, link: &mut Link, reply: &str) -> Result<(), Gone> {
        loop {
            let message = link.next()?;
            if message.subject == reply {
                assert_eq!(message.header, "", "{message:?}");
                return Ok(());
            }
            if message.reply.starts_with("$JS.ACK.") {
                self.fetched.push(message.reply);
            } else {
                assert_eq!(message.subject, link.reply_to(0), "{message:?}");
            }
        }
    }
}
