//! Clients with parts to play: what chance brings together too rarely.
//!
//! In the first two scenes a client floods the lanes from shard 0 with messages
//! that fill a batch each, so that what others publish there waits in line.

use std::collections::VecDeque;

use super::params::Params;
use super::program::{self, Op};
use super::random::Random;

#[derive(Clone, Copy, Debug)]
pub enum Scene {
    /// Members of a queue leave while messages to them are in line, those are
    /// returned and picked again, and have to wait in line once more; meanwhile
    /// everybody asks for PONGs.
    PickAgain,
    /// A subscriber hears, over a third shard, of what was published and still
    /// waits in line, and ends its subscription: it must get it all the same.
    Drain,
    /// Many subscribers with one sid on a shard, so that they share frames,
    /// among whatever else they do.
    FanOut,
}

/// Topics and patterns, by their numbers.
const TOPIC: (usize, usize) = (0, 0);
const RUMOUR: (usize, usize) = (1, 3);
const HEARSAY: (usize, usize) = (2, 6);
const FLOOD: (usize, usize) = (5, 11);
const EVERYTHING: usize = 8;

/// More than half of a batch.
const FLOOD_BYTES: usize = 33_000;

impl Scene {
    /// Sets what the scene needs.
    pub fn set(self, params: &mut Params, random: &mut Random) {
        params.scene = Some(self);
        params.phased = false;
        (params.shards, params.clients) = match self {
            Self::PickAgain => (random.within(3, 4), 7),
            Self::Drain => (3, 8),
            Self::FanOut => (random.within(1, 2), random.within(6, 10)),
        };
        params.weights = (0..params.shards).map(|_| random.pick(&[1, 4, 4, 16])).collect();
        if !matches!(self, Self::FanOut) {
            params.lane_batches = 1;
            params.max_pending = 1 << 30;
            params.slow_reader_per_mille = 0;
            params.stuck_reader_per_mille = 0;
            params.unacknowledged_max = 65_536;
            params.receive_max = 65_536;
            params.burst = random.pick(&[1, 3, 8]);
            params.operations = random.within(8, 20);
            params.freeze_per_10_000 = random.pick(&[0, 10]);
            params.topics = 3;
            params.reactions = if matches!(self, Self::Drain) { 300 } else { 0 };
            params.relay_per_mille = 900;
            params.drop_per_mille = 600;
            if matches!(self, Self::Drain) {
                // The rumour is faster than the line.
                params.weights = vec![random.pick(&[1, 4]), random.pick(&[1, 4]), 100];
            }
        }
    }

    /// The shard of a client.
    pub fn place(self, id: usize, shards: usize) -> usize {
        match (self, id) {
            (Self::FanOut, _) => id % shards,
            (Self::PickAgain, 0..3) | (Self::Drain, 0..2) => 0,
            (Self::PickAgain, _) => 1 + id % (shards - 1),
            // The rumour goes over the third shard.
            (Self::Drain, 2) => 2,
            (Self::Drain, _) => 1,
        }
    }

    /// Whether a client may end a subscription because of a message: not those
    /// that keep the line long or pass the rumour on.
    pub fn drops(self, id: usize) -> bool {
        !matches!((self, id), (Self::Drain, 0..4))
    }

    pub fn program(self, id: usize, params: &Params, random: &mut Random) -> VecDeque<Op> {
        if matches!(self, Self::FanOut) {
            let mut program = program::free(params, random);
            program.push_front(subscribe(EVERYTHING, None));
            program.push_front(connect());
            return program;
        }
        let mut program = VecDeque::from([connect()]);
        let rounds = params.operations;
        match (self, id) {
            (_, 0) => {
                program.push_back(Op::Flush);
                program.push_back(Op::Idle { steps: random.below(200) });
                program.extend((0..2 * rounds).map(|_| publish(FLOOD.0, FLOOD_BYTES, 0)));
            }
            (Self::PickAgain, 1..3) => {
                program.push_back(Op::Idle { steps: random.below(400) });
                for _ in 0..rounds {
                    program.push_back(if random.chance(500) {
                        publish(TOPIC.0, 0, 0)
                    } else {
                        Op::Request { topic: TOPIC.0, body: 0, headers: false, fresh: false }
                    });
                    if random.chance(600) {
                        program.push_back(Op::Idle { steps: random.below(400) });
                    }
                    program.push_back(if random.chance(500) { Op::Ping } else { Op::Flush });
                }
            }
            (Self::PickAgain, _) => {
                for _ in 0..rounds {
                    program.push_back(subscribe(FLOOD.1, None));
                    // UNSUB would let it drain; a limit that is reached, and CONNECT, do not.
                    program.push_back(if random.chance(300) {
                        let max = random.within(1, 2);
                        Op::SubscribeUpTo { pattern: TOPIC.1, queue: Some(0), max }
                    } else {
                        subscribe(TOPIC.1, Some(0))
                    });
                    program.push_back(Op::Flush);
                    program.push_back(Op::Idle { steps: random.below(150) });
                    program.extend((0..random.below(4)).map(|_| Op::Flush));
                    program.push_back(connect());
                    program.extend((0..random.within(1, 4)).map(|_| Op::Flush));
                }
            }
            (_, 1) => {
                program.push_back(Op::Idle { steps: random.below(400) });
                for _ in 0..rounds {
                    program.push_back(publish(TOPIC.0, 0, 0));
                    program.push_back(publish(RUMOUR.0, 0, 1));
                    program.push_back(Op::Idle { steps: random.below(100) });
                }
            }
            (_, 2) => program.push_back(subscribe(RUMOUR.1, None)),
            (_, 3) => program.push_back(subscribe(FLOOD.1, None)),
            _ => {
                for _ in 0..rounds {
                    let pattern = random.pick(&[TOPIC.1, TOPIC.1, TOPIC.1, HEARSAY.1]);
                    program.push_back(subscribe(pattern, None));
                    program.push_back(Op::Flush);
                    program.push_back(Op::Idle { steps: random.below(60) });
                }
            }
        }
        program.push_back(Op::Flush);
        program
    }
}

fn connect() -> Op {
    Op::Connect { verbose: false, echo: true, headers: true, no_responders: true }
}

fn subscribe(pattern: usize, queue: Option<usize>) -> Op {
    Op::Subscribe { pattern, queue, long_sid: false }
}

fn publish(topic: usize, body: usize, ttl: usize) -> Op {
    Op::Publish { topic, body, headers: false, ttl, odd: false }
}
