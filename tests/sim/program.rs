//! What a client does, drawn before the run: the same on any number of shards.

use std::collections::VecDeque;

use super::names::patterns_for;
use super::params::Params;
use super::random::Random;

/// One thing that a client does. Numbers called `pick` choose among what the
/// client has when it comes to it.
#[derive(Clone, Debug)]
pub enum Op {
    Connect {
        verbose: bool,
        echo: bool,
        headers: bool,
        no_responders: bool,
    },
    Subscribe {
        pattern: usize,
        queue: Option<usize>,
        long_sid: bool,
    },
    /// SUB of a sid that is in use: ignored.
    SubscribeAgain {
        pick: usize,
    },
    /// SUB of a malformed subject: refused.
    SubscribeWrongly,
    Unsubscribe {
        pick: usize,
        max: Option<usize>,
    },
    /// SUB and UNSUB with a limit, back to back.
    SubscribeUpTo {
        pattern: usize,
        queue: Option<usize>,
        max: usize,
    },
    UnsubscribeUnknown,
    Publish {
        topic: usize,
        body: usize,
        headers: bool,
        ttl: usize,
        odd: bool,
    },
    /// SUB of an inbox of its own (`fresh`) or of all, and PUB with it as reply.
    Request {
        topic: usize,
        body: usize,
        headers: bool,
        fresh: bool,
    },
    /// PUB to a reserved subject: refused.
    PublishWrongly,
    Ping,
    /// PING, and nothing else until its PONG.
    Flush,
    Idle {
        steps: usize,
    },
    /// Waits until all clients are here.
    Meet,
    /// The end of what it sends; it reads on.
    HalfClose,
    /// Gone, reading nothing more.
    Vanish,
    /// Something that is no operation: the server closes.
    Nonsense,
}

/// The program of client `id`.
pub fn draw(id: usize, params: &Params, random: &mut Random) -> VecDeque<Op> {
    if let Some(scene) = params.scene {
        return scene.program(id, params, random);
    }
    free(params, random)
}

/// A program in which anything may come.
pub fn free(params: &Params, random: &mut Random) -> VecDeque<Op> {
    let mut draw = Draw { params, patterns: patterns_for(params.topics), random };
    if params.phased {
        draw.phased()
    } else {
        draw.free()
    }
}

struct Draw<'a> {
    params: &'a Params,
    patterns: Vec<usize>,
    random: &'a mut Random,
}

impl Draw<'_> {
    fn free(&mut self) -> VecDeque<Op> {
        let mut program = VecDeque::new();
        if self.random.chance(200) {
            program.push_back(Op::Idle { steps: self.random.below(3_000) });
        }
        if self.random.chance(980) {
            program.push_back(self.connect());
        }
        if self.random.chance(600) {
            for _ in 0..self.random.within(1, 4) {
                program.push_back(self.subscribe());
            }
            program.push_back(Op::Flush);
        }
        for _ in 0..self.params.operations {
            let op = self.any();
            let last = matches!(op, Op::HalfClose | Op::Vanish | Op::Nonsense);
            program.push_back(op);
            if last {
                return program;
            }
        }
        program.push_back(Op::Flush);
        program
    }

    fn phased(&mut self) -> VecDeque<Op> {
        let mut program = VecDeque::from([self.connect()]);
        for phase in 0..6 {
            let most = 1 + self.params.operations / 5;
            for _ in 0..self.random.within(0, most) {
                let op = if phase % 2 == 1 {
                    self.publish_or_request()
                } else if phase > 0 && self.random.chance(400) {
                    Op::Unsubscribe { pick: self.random.below(1000), max: None }
                } else {
                    self.subscribe()
                };
                program.push_back(op);
            }
            program.push_back(Op::Flush);
            program.push_back(Op::Meet);
        }
        program
    }

    fn any(&mut self) -> Op {
        let (close, connect) = (self.params.close_weight, self.params.connect_weight);
        let weights = [10, self.params.unsubscribe_weight, 22, 4, 4, 3, 2, connect, close];
        let mut choice = self.random.below(weights.iter().sum());
        let kind = weights.iter().position(|&weight| {
            let here = choice < weight;
            choice = choice.saturating_sub(weight);
            here
        });
        match kind {
            Some(0) => self.subscribe(),
            Some(1) => {
                let max = self.random.chance(300).then(|| self.random.within(1, 8));
                Op::Unsubscribe { pick: self.random.below(1000), max }
            }
            Some(2) => self.publish_or_request(),
            Some(3) => Op::Ping,
            Some(4) => Op::Flush,
            Some(5) => Op::Idle { steps: self.random.below(400) },
            Some(6) => match self.random.below(5) {
                0 => Op::SubscribeAgain { pick: self.random.below(1000) },
                1 => Op::SubscribeWrongly,
                2 => Op::UnsubscribeUnknown,
                3 => Op::PublishWrongly,
                _ => {
                    let (pattern, queue) = self.pattern_and_queue();
                    Op::SubscribeUpTo { pattern, queue, max: self.random.within(1, 5) }
                }
            },
            Some(7) => self.connect(),
            _ => match self.random.below(3) {
                0 => Op::HalfClose,
                1 => Op::Vanish,
                _ => Op::Nonsense,
            },
        }
    }

    fn connect(&mut self) -> Op {
        let headers = self.random.chance(850);
        Op::Connect {
            verbose: self.random.chance(300),
            echo: self.random.chance(800),
            headers,
            no_responders: headers && self.random.chance(800),
        }
    }

    fn subscribe(&mut self) -> Op {
        let (pattern, queue) = self.pattern_and_queue();
        Op::Subscribe { pattern, queue, long_sid: self.random.chance(100) }
    }

    fn pattern_and_queue(&mut self) -> (usize, Option<usize>) {
        let pattern = self.random.below(self.patterns.len());
        let queue = self.random.chance(self.params.queue_per_mille);
        let queue = queue.then(|| self.random.below(self.params.queues));
        let own = if self.params.shared_queues { 0 } else { self.patterns[pattern] };
        (self.patterns[pattern], queue.map(|queue| 100 * own + queue))
    }

    fn publish_or_request(&mut self) -> Op {
        let topic = self.random.below(self.params.topics);
        let big = self.random.chance(self.params.big_per_mille);
        let body = if big { self.params.big_bytes } else { self.random.below(40) };
        let headers = self.random.chance(200);
        if self.random.chance(300) {
            Op::Request { topic, body, headers, fresh: self.random.chance(500) }
        } else {
            let (ttl, odd) = (self.random.below(3), self.random.chance(50));
            Op::Publish { topic, body, headers, ttl, odd }
        }
    }
}
