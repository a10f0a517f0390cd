//! Goal: a consumer keeps its promises whatever happens. Method: random lists of publishes,
//! removals, pulls, acks of all kinds and time that passes, against a model that knows only what
//! was stored, what was delivered and what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::test_stream::TestStream;

const MS: u64 = 1_000_000;
const ACK_WAIT: u64 = 100 * MS;
/// Time passes in steps of this.
const STEP: u64 = 10 * MS;

/// What a message that was delivered waits for.
#[derive(Clone, Debug)]
struct Out {
    deliveries: u64,
    /// It may come again from then on.
    due: u64,
    ack: String,
}

#[derive(Debug, Default)]
struct Model {
    stored: BTreeMap<u64, String>,
    /// Delivered at least once, or gone before.
    seen: BTreeSet<u64>,
    out: BTreeMap<u64, Out>,
    consumer_seq: u64,
    last_new: u64,
}

impl Model {
    /// Messages that were never delivered and match.
    fn left(&self, filter: &str) -> u64 {
        let is_left = |(seq, subject): &(&u64, &String)| {
            !self.seen.contains(seq) && is_wanted(filter, subject)
        };
        self.stored.iter().filter(is_left).count() as u64
    }
}

fn is_wanted(filter: &str, subject: &str) -> bool {
    filter.is_empty() || filter == subject
}

/// Takes in what the consumer sent, and checks it.
fn take_deliveries(stream: &mut TestStream, model: &mut Model, filter: &str, max: u64) {
    let now = stream.now;
    for ack in stream.acks() {
        let numbers: Vec<u64> = ack.split('.').skip(4).map(|n| n.parse().unwrap()).collect();
        let [deliveries, seq, consumer_seq, _, pending] = numbers[..] else { panic!("{ack}") };
        let subject = model.stored.get(&seq).unwrap_or_else(|| panic!("{ack}: it is gone"));
        assert!(is_wanted(filter, subject), "{ack}: nobody wants it");
        model.consumer_seq += 1;
        assert_eq!(consumer_seq, model.consumer_seq, "{ack}: deliveries are numbered");
        if deliveries == 1 {
            assert!(model.seen.insert(seq), "{ack}: not the first delivery");
            assert!(seq > model.last_new, "{ack}: new messages ascend");
            model.last_new = seq;
            assert!((model.out.len() as u64) < max, "{ack}: too many without an ack");
        } else {
            let before = model.out.get(&seq).unwrap_or_else(|| panic!("{ack}: was acknowledged"));
            assert_eq!(deliveries, before.deliveries + 1, "{ack}");
            assert!(
                before.due <= now,
                "{ack}: another worker has it until {}, now {now}",
                before.due
            );
        }
        assert_eq!(pending, model.left(filter), "{ack}: what is left");
        // It may have been sent at any time of the last step.
        model.out.insert(seq, Out { deliveries, due: now + ACK_WAIT - STEP, ack });
    }
}

fn check(stream: &mut TestStream, model: &Model, filter: &str, is_queue: bool) {
    let info: serde_json::Value = serde_json::from_str(&stream.info("c")).unwrap();
    assert_eq!(info["num_pending"].as_u64(), Some(model.left(filter)), "{info}");
    assert_eq!(info["num_ack_pending"].as_u64(), Some(model.out.len() as u64), "{info}");
    assert_eq!(info["delivered"]["consumer_seq"].as_u64(), Some(model.consumer_seq), "{info}");
    let floor = info["ack_floor"]["stream_seq"].as_u64().unwrap();
    assert!(model.out.keys().next().is_none_or(|first| floor < *first), "{info}");
    if is_queue {
        for (seq, subject) in &model.stored {
            let is_done = model.seen.contains(seq) && !model.out.contains_key(seq);
            assert_eq!(stream.store_has(*seq), !is_done, "{seq} {subject}");
        }
    }
}

fn run(ops: &[(u8, u64)], filter: &str, is_queue: bool, restarts: bool) {
    let retention = if is_queue { "workqueue" } else { "limits" };
    let mut stream =
        TestStream::new(&format!(r#"{{"subjects":["p.>"],"retention":"{retention}"}}"#));
    let max = 5;
    let filter_key =
        if filter.is_empty() { String::new() } else { format!(r#","filter_subject":"{filter}""#) };
    stream.create(
        "c",
        &format!(
            r#"{{"durable_name":"c","ack_policy":"explicit","ack_wait":{ACK_WAIT},"max_ack_pending":{max}{filter_key}}}"#
        ),
    );
    stream.said();
    let mut model = Model::default();
    for (op, number) in ops {
        let picked = model.out.iter().nth(pick(*number, model.out.len()));
        let picked = picked.map(|(seq, out)| (*seq, out.clone()));
        match (op % 9, picked) {
            (0 | 1, _) => {
                let subject = format!("p.{}", number % 2);
                let seq = stream.publish(&subject, "x");
                model.stored.insert(seq, subject);
            }
            (2, _) => {
                stream.next("c", &format!(r#"{{"batch":{},"no_wait":true}}"#, number % 7 + 1), "r")
            }
            (3, _) => stream.next(
                "c",
                &format!(r#"{{"batch":{},"expires":30000000}}"#, number % 4 + 1),
                "w",
            ),
            (4, Some((seq, out))) => {
                stream.ack("c", &out.ack, "+ACK", "");
                model.out.remove(&seq);
            }
            (5, Some((seq, out))) => {
                if number % 3 == 0 {
                    stream.ack("c", &out.ack, "+TERM", "");
                    model.out.remove(&seq);
                } else {
                    model.out.insert(seq, Out { due: stream.now, ..out.clone() });
                    stream.ack("c", &out.ack, "-NAK", "");
                }
            }
            (6, _) => {
                let seq = number % (model.stored.len() as u64 + 2);
                if stream.remove(seq) {
                    model.stored.remove(&seq);
                    model.out.remove(&seq);
                }
            }
            (7, _) if restarts && number % 4 == 0 => {
                // By then everything is noted.
                stream.pass(2 * MS);
                take_deliveries(&mut stream, &mut model, filter, max);
                if number % 8 == 0 {
                    let notes = stream.store.notes.clone();
                    stream.restart(&[], &notes);
                } else {
                    let mut snapshot = Vec::new();
                    stream.consumers.snapshot(&mut snapshot);
                    stream.store.notes.clear();
                    stream.restart(&snapshot, &[]);
                    let mut state = vec![1, 0];
                    state.extend_from_slice(&snapshot[1..]);
                    stream.store.notes.push(state);
                }
                // Times are kept roughly: a message may come a little early, as after a note.
                for out in model.out.values_mut() {
                    out.due = out.due.saturating_sub(2 * MS);
                }
            }
            (7 | 8, _) => {
                // In steps, so that what comes in between is seen at its time.
                for _ in 0..number % 12 {
                    stream.pass(STEP);
                    take_deliveries(&mut stream, &mut model, filter, max);
                }
            }
            _ => {}
        }
        take_deliveries(&mut stream, &mut model, filter, max);
        check(&mut stream, &model, filter, is_queue);
        stream.said();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn each_message_of_a_work_queue_has_one_worker(ops in ops()) {
        run(&ops, "", true, false);
    }

    #[test]
    fn what_is_left_of_a_filter_is_exact(ops in ops()) {
        run(&ops, "p.1", false, false);
    }

    #[test]
    fn a_restart_loses_no_message_and_no_count(ops in ops()) {
        run(&ops, "p.0", false, true);
    }

    /// Interest keeps exactly what some consumer has not acknowledged.
    #[test]
    fn interest_keeps_what_is_not_acknowledged(ops in ops()) {
        let mut stream = TestStream::new(r#"{"subjects":["p.>"],"retention":"interest"}"#);
        let filters = [("a", ""), ("b", "p.0"), ("d", "p.1")];
        for (name, filter) in filters {
            let filter = if filter.is_empty() { String::new() } else { format!(r#","filter_subject":"{filter}""#) };
            stream.create(name, &format!(r#"{{"durable_name":"{name}","ack_policy":"explicit"{filter}}}"#));
        }
        // For each message, who has yet to acknowledge it.
        let mut needed: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
        let mut acks: Vec<(&str, u64, String)> = Vec::new();
        let mut gone = BTreeSet::new();
        stream.said();
        for (op, number) in ops {
            match op % 8 {
                0..=2 => {
                    let subject = format!("p.{}", number % 3);
                    let seq = stream.publish(&subject, "x");
                    let by = filters.iter().filter(|(name, f)| is_wanted(f, &subject) && !gone.contains(name));
                    needed.insert(seq, by.map(|(name, _)| *name).collect());
                    if needed[&seq].is_empty() {
                        // The stream would not have stored it.
                        stream.remove(seq);
                    }
                }
                3 | 4 => {
                    let (name, _) = filters[pick(number, 3)];
                    stream.next(name, r#"{"batch":3,"no_wait":true}"#, "r");
                    for ack in stream.acks() {
                        let seq = ack.split('.').nth(5).unwrap().parse().unwrap();
                        acks.push((name, seq, ack));
                    }
                }
                5 | 6 if !acks.is_empty() => {
                    let (name, seq, ack) = acks.swap_remove(pick(number, acks.len()));
                    stream.ack(name, &ack, "", "");
                    if !gone.contains(name) {
                        if let Some(by) = needed.get_mut(&seq) {
                            by.remove(name);
                        }
                    }
                }
                7 if number % 5 == 0 => {
                    let (name, _) = filters[pick(number, 2) + 1];
                    if gone.insert(name) {
                        stream.api("CONSUMER.DELETE", name, "");
                        needed.values_mut().for_each(|by| { by.remove(name); });
                    }
                }
                _ => {}
            }
            for (seq, by) in &needed {
                prop_assert_eq!(stream.store_has(*seq), !by.is_empty(), "{} {:?}", seq, by);
            }
            for (name, filter) in filters {
                if !gone.contains(name) {
                    let _ = filter;
                    let info: serde_json::Value = serde_json::from_str(&stream.info(name)).unwrap();
                    let waiting = info["num_pending"].as_u64().unwrap() + info["num_ack_pending"].as_u64().unwrap();
                    let expected = needed.values().filter(|by| by.contains(name)).count() as u64;
                    prop_assert_eq!(waiting, expected, "{}", info);
                }
            }
        }
    }

    /// Notes are not trusted: whatever they say, nothing panics.
    #[test]
    fn any_bytes_may_be_replayed(notes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)) {
        let mut stream = TestStream::new("{}");
        stream.create("c", r#"{"durable_name":"c","ack_policy":"explicit"}"#);
        for note in notes {
            stream.replay_anything(&note);
        }
        stream.info("c");
    }
}

/// One of `len` places.
fn pick(number: u64, len: usize) -> usize {
    usize::try_from(number).unwrap() % len.max(1)
}

fn ops() -> impl Strategy<Value = Vec<(u8, u64)>> {
    prop::collection::vec((any::<u8>(), 0u64..1000), 1..120)
}
