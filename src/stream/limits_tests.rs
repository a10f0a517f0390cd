//! Goal: a stream keeps what its limits and its API say, whatever happens in which order. Method:
//! random lists of operations against a plain list of messages.

use proptest::prelude::*;

use super::engine_tests::World;

#[derive(Clone, Debug)]
enum Operation {
    Publish(u8),
    RollUp(u8, bool),
    Delete(u64),
    Purge(u8, u64),
    PurgeBelow(u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => (0_u8..4).prop_map(Operation::Publish),
        1 => (0_u8..4, any::<bool>()).prop_map(|(subject, all)| Operation::RollUp(subject, all)),
        1 => (1_u64..40).prop_map(Operation::Delete),
        1 => (0_u8..4, 0_u64..3).prop_map(|(subject, keep)| Operation::Purge(subject, keep)),
        1 => (1_u64..40).prop_map(Operation::PurgeBelow),
    ]
}

/// The messages there are, and the last sequence.
struct Model {
    messages: Vec<(u64, u8)>,
    last: u64,
    max: usize,
    per_subject: usize,
}

impl Model {
    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Publish(subject) => self.publish(subject),
            Operation::RollUp(subject, all) => {
                self.messages.retain(|(_, other)| !all && *other != subject);
                self.publish(subject);
            }
            Operation::Delete(seq) => self.messages.retain(|(other, _)| *other != seq),
            Operation::Purge(subject, keep) => {
                let count = self.messages.iter().filter(|(_, other)| *other == subject).count();
                let mut left = count.saturating_sub(usize::try_from(keep).unwrap());
                self.messages.retain(|(_, other)| {
                    let goes = *other == subject && left > 0;
                    left -= usize::from(goes);
                    !goes
                });
            }
            Operation::PurgeBelow(seq) => {
                self.messages.retain(|(other, _)| *other >= seq);
                self.last = self.last.max(seq - 1);
            }
        }
    }

    fn publish(&mut self, subject: u8) {
        self.last += 1;
        self.messages.push((self.last, subject));
        let count = self.messages.iter().filter(|(_, other)| *other == subject).count();
        if self.per_subject > 0 && count > self.per_subject {
            let oldest = self.messages.iter().position(|(_, other)| *other == subject).unwrap();
            self.messages.remove(oldest);
        }
        if self.max > 0 && self.messages.len() > self.max {
            self.messages.remove(0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_stream_keeps_what_it_should(
        max in 0_usize..6,
        per_subject in 0_usize..3,
        operations in proptest::collection::vec(operation(), 1..40),
    ) {
        let mut world = World::new();
        let more = format!(
            r#""subjects":["x.*"],"allow_rollup_hdrs":true,"max_msgs":{max},"max_msgs_per_subject":{per_subject}"#
        );
        world.create("X", &more);
        let mut model = Model { messages: Vec::new(), last: 0, max, per_subject };
        for operation in &operations {
            match *operation {
                Operation::Publish(subject) => {
                    world.put(&format!("x.{subject}"), &[], "");
                }
                Operation::RollUp(subject, all) => {
                    let value = if all { "all" } else { "sub" };
                    world.put(&format!("x.{subject}"), &[("Nats-Rollup", value)], "");
                }
                Operation::Delete(seq) => {
                    world.api("STREAM.MSG.DELETE.X", &format!(r#"{{"seq":{seq}}}"#));
                }
                Operation::Purge(subject, keep) => {
                    let payload = format!(r#"{{"filter":"x.{subject}","keep":{keep}}}"#);
                    world.api("STREAM.PURGE.X", &payload);
                }
                Operation::PurgeBelow(seq) => {
                    world.api("STREAM.PURGE.X", &format!(r#"{{"seq":{seq}}}"#));
                }
            }
            model.apply(operation);
        }
        let expected: Vec<u64> = model.messages.iter().map(|(seq, _)| *seq).collect();
        prop_assert_eq!(world.seqs("X"), expected);
        let state = world.state("X");
        let last = format!(r#""last_seq":{},"#, model.last);
        prop_assert!(state.contains(&last), "{} {}", state, last);
    }
}

/// Goal: of several things that are wrong with a message, the one that nats-server 2.15.1 tells.
/// Method: recorded from it.
#[test]
fn the_first_thing_that_is_wrong_is_told() {
    let mut world = World::new();
    world.create("M", r#""subjects":["m"],"max_msg_size":10"#);
    world.create("P", r#""subjects":["p.>"]"#);
    world.create("S", r#""subjects":["s.>"],"allow_msg_schedules":true,"allow_msg_ttl":true"#);
    let big = "z".repeat(30);
    let at = "@at 2030-01-01T00:00:00Z";
    let cron = "0 0 0 1 1 *";
    let code = |world: &mut World, subject: &str, headers: &[(&str, &str)], payload: &str| {
        let answer = world.put(subject, headers, payload);
        let at = answer.find("\"err_code\":")?;
        answer.get(at + 11..at + 16)?.parse::<u64>().ok()
    };
    for header in ["Nats-Expected-Stream", "Nats-TTL", "Nats-Incr", "Nats-Stream-Source"] {
        assert_eq!(code(&mut world, "m", &[(header, "x")], &big), Some(10054), "{header}");
    }
    let bad_ttl = ("Nats-TTL", "x");
    for (other, expected) in [
        (("Nats-Expected-Last-Sequence", "99"), 10071),
        (("Nats-Expected-Last-Msg-Id", "zz"), 10070),
        (("Nats-Rollup", "sub"), 10111),
        (("Nats-Schedule", at), 10188),
        (("Nats-Stream-Source", "x"), 10227),
        (("Nats-Expected-Stream", "P"), 10165),
    ] {
        assert_eq!(code(&mut world, "p.a", &[bad_ttl, other], ""), Some(expected), "{other:?}");
    }
    let purge = ("Nats-Schedule-Next", "purge");
    for (headers, expected) in [
        (vec![("Nats-Schedule-Time-Zone", "")], Some(10188)),
        (vec![("Nats-Schedule-Time-Zone", "UTC")], None),
        (vec![("Nats-Scheduler", "p.b"), purge], Some(10188)),
        (vec![purge], Some(10212)),
    ] {
        assert_eq!(code(&mut world, "p.a", &headers, ""), expected, "{headers:?}");
    }
    let target = ("Nats-Schedule-Target", "s.b");
    for (headers, expected) in [
        (vec![("Nats-Schedule-Time-Zone", "x")], Some(10223)),
        (vec![("Nats-Schedule", at), target, ("Nats-Schedule-Time-Zone", "")], Some(10223)),
        (vec![("Nats-Schedule", at), target, ("Nats-Schedule-Time-Zone", "UTC")], Some(10189)),
        (vec![("Nats-Schedule", at), target, purge], Some(10212)),
        (vec![("Nats-Schedule", at), target, ("Nats-Scheduler", "s.c")], Some(10212)),
        (vec![("Nats-Schedule", cron), target, ("Nats-Schedule-Time-Zone", "Asia/Tokyo")], None),
    ] {
        assert_eq!(code(&mut world, "s.a", &headers, ""), expected, "{headers:?}");
    }
}

#[test]
fn a_sequence_at_the_end_of_all_numbers_leaves_room_for_more() {
    for storage in ["file", "memory"] {
        let mut world = World::new();
        let config = format!(r#"{{"name":"S","subjects":["s.>"],"storage":"{storage}"}}"#);
        world.api("STREAM.CREATE.S", &config);
        world.put("s.1", &[], "x");
        let purged = world.api("STREAM.PURGE.S", r#"{"seq":18446744073709551615}"#);
        assert!(purged.contains("\"purged\":1"), "{purged}");
        for _ in 0..3 {
            let answer = world.put("s.1", &[], "x");
            assert!(answer.contains("\"seq\":92233720368547758"), "{answer}");
        }
    }
}
