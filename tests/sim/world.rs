//! The whole run: clients and shards take steps in an order that the seed
//! draws, until nothing is left to do.

use super::client::{Client, Reader, State};
use super::history::{End, History};
use super::lanes::Lanes;
use super::names::Subject;
use super::params::Params;
use super::program;
use super::random::Random;
use super::shard::{Phase, Shard, Surroundings};

/// Steps after which a run counts as one that never ends.
const STEPS_MAX: u64 = 1_000_000;

/// Nanoseconds without any progress after which a run is stuck.
const PATIENCE: u64 = 60_000_000_000;

#[derive(Debug)]
pub struct World {
    pub params: Params,
    pub shards: Vec<Shard>,
    pub lanes: Lanes,
    pub clients: Vec<Client>,
    pub history: History,
    random: Random,
    step: u64,
    now: u64,
    progress_at: u64,
    reactions: usize,
    places: Vec<usize>,
    /// A shard that stands still, and until which step.
    frozen: (usize, u64),
    trace: bool,
}

impl World {
    /// The run that `params` describe, before its first step.
    pub fn new(params: Params, trace: bool) -> Self {
        let mut random = Random::new(params.seed ^ 0x7072_6f67);
        let mut programs = random.fork();
        let count = params.clients;
        let mut clients = Vec::new();
        for id in 0..count {
            let program = program::draw(id, &params, &mut programs);
            let reader = if programs.chance(params.stuck_reader_per_mille) {
                Reader::Stuck(programs.below(20_000))
            } else if programs.chance(params.slow_reader_per_mille) {
                Reader::Slow
            } else {
                Reader::Willing
            };
            clients.push(Client::new(id, count, program, reader));
        }
        let place = |id| match params.scene {
            Some(scene) => scene.place(id, params.shards),
            None => random.below(params.shards),
        };
        let places = (0..count).map(place).collect();
        let mut schedule = Random::new(params.seed ^ 0x7363_6865);
        schedule.next();
        Self {
            shards: (0..params.shards).map(|own| Shard::new(own, &params)).collect(),
            lanes: Lanes::new(params.shards, params.lane_batches),
            history: History {
                replies: vec![Vec::new(); count],
                ends: vec![End::None; count],
                ..History::default()
            },
            clients,
            random: schedule,
            step: 0,
            now: 1,
            progress_at: 1,
            reactions: params.reactions,
            places,
            frozen: (0, 0),
            params,
            trace,
        }
    }

    /// Runs all programs to their end, and until every shard sleeps.
    pub fn run(&mut self) -> Result<(), String> {
        loop {
            if self.step > STEPS_MAX {
                return Err("the run does not end".to_owned());
            }
            if self.one()? {
                continue;
            }
            if self.meet() || self.wake_idlers() {
                continue;
            }
            let finished = self.clients.iter().all(Client::is_finished);
            if finished
                && self.shards.iter().all(|shard| shard.sockets.iter().all(|s| s.flight.is_none()))
            {
                self.history.returned =
                    self.shards.iter().map(|shard| shard.core.counters().returned).sum();
                return Ok(());
            }
            match self.next_deadline() {
                Some(next) => self.now = self.now.max(next),
                None => return Err(self.describe_stuck()),
            }
        }
    }

    /// Turns without anything to do: what only waits to be looked at goes.
    pub fn idle_turns(&mut self) -> Result<(), String> {
        for _ in 0..3 {
            for shard in 0..self.shards.len() {
                self.run_shard(shard)?;
                while !matches!(self.shards[shard].phase, Phase::Idle) {
                    self.run_shard(shard)?;
                }
            }
        }
        self.settle()
    }

    /// All clients leave, and everything of them is cleared away.
    pub fn leave(&mut self) -> Result<(), String> {
        for client in &mut self.clients {
            if client.state == State::Open {
                let reads = client.reads() && self.random.chance(500);
                client.state = if reads { State::HalfClosed } else { State::Vanished };
            }
        }
        self.progress_at = self.now;
        loop {
            self.settle()?;
            // A stalled publisher is parsed to its end first.
            let all_gone = self.shards.iter().all(|shard| shard.core.connections() == 0);
            match self.next_deadline() {
                Some(next) if !all_gone => self.now = self.now.max(next),
                _ => return self.idle_turns(),
            }
        }
    }

    /// The next moment at which a shard has something to do, if that is near.
    fn next_deadline(&self) -> Option<u64> {
        let deadlines = self.shards.iter().filter_map(|shard| shard.core.next_deadline());
        deadlines.min().filter(|next| next.saturating_sub(self.progress_at) < PATIENCE)
    }

    fn settle(&mut self) -> Result<(), String> {
        let end = self.step + STEPS_MAX;
        while self.one()? {
            if self.step > end {
                return Err("the shards do not come to rest".to_owned());
            }
        }
        Ok(())
    }

    /// One step of somebody who can take one; whether there was anybody.
    fn one(&mut self) -> Result<bool, String> {
        self.step += 1;
        self.now += self.random.below(self.params.step_time) as u64;
        if self.random.below(10_000) < self.params.freeze_per_10_000 {
            let steps = self.random.below(2_000) as u64;
            self.frozen = (self.random.below(self.shards.len()), self.step + steps);
        }
        for _ in 0..4 {
            if self.random.chance(350) {
                let client = self.random.below(self.clients.len());
                if self.run_client(client)? {
                    return Ok(true);
                }
            } else {
                let shard = self.draw_shard();
                if !self.is_frozen(shard) && self.is_runnable(shard) {
                    self.run_shard(shard)?;
                    return Ok(true);
                }
            }
        }
        // Chance found nobody: look at everybody, and last at who stands still.
        let first = self.random.below(self.shards.len());
        for offset in 0..self.shards.len() {
            let shard = (first + offset) % self.shards.len();
            if !self.is_frozen(shard) && self.is_runnable(shard) {
                self.run_shard(shard)?;
                return Ok(true);
            }
        }
        let first = self.random.below(self.clients.len());
        for offset in 0..self.clients.len() {
            if self.run_client((first + offset) % self.clients.len())? {
                return Ok(true);
            }
        }
        let frozen = self.frozen.0;
        if self.is_runnable(frozen) {
            self.run_shard(frozen)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn is_frozen(&self, shard: usize) -> bool {
        self.frozen.0 == shard && self.step < self.frozen.1
    }

    fn draw_shard(&mut self) -> usize {
        let mut choice = self.random.below(self.params.weights.iter().sum());
        for (shard, &weight) in self.params.weights.iter().enumerate() {
            if choice < weight {
                return shard;
            }
            choice -= weight;
        }
        0
    }

    fn is_runnable(&self, shard: usize) -> bool {
        self.shards[shard].is_runnable(&self.lanes, &self.clients, self.now)
    }

    fn run_shard(&mut self, shard: usize) -> Result<(), String> {
        if self.trace {
            println!(
                "{:>6} {:>12} shard {shard}: {:?}",
                self.step, self.now, self.shards[shard].phase
            );
        }
        let mut around = Surroundings {
            params: &self.params,
            random: &mut self.random,
            lanes: &mut self.lanes,
            clients: &mut self.clients,
            history: &mut self.history,
            step: self.step,
            now: self.now,
            trace: self.trace,
        };
        self.shards[shard].step(&mut around)
    }

    fn run_client(&mut self, client: usize) -> Result<bool, String> {
        if self.clients[client].state == State::Outside {
            self.clients[client].state = State::Open;
            self.shards[self.places[client]].accepted.push(client);
            return Ok(true);
        }
        let acts = self.clients[client].can_act(self.step);
        if acts && self.random.chance(500) || !self.deliver(client)? {
            if !acts {
                return Ok(false);
            }
            self.progress_at = self.now;
            for _ in 0..self.random.within(1, self.params.burst) {
                if self.clients[client].can_act(self.step) {
                    if self.trace {
                        println!("{:>6} {}", self.step, self.clients[client].describe_next());
                    }
                    self.clients[client].act(&mut self.history, self.step);
                }
            }
        }
        Ok(true)
    }

    /// The client reads some of what the kernel has for it.
    fn deliver(&mut self, client: usize) -> Result<bool, String> {
        if !self.clients[client].reads() {
            return Ok(false);
        }
        let shard = &mut self.shards[self.places[client]];
        let Some(socket) = shard.sockets.iter_mut().find(|socket| socket.client == client) else {
            return Ok(false);
        };
        if socket.sent.is_some() {
            return Ok(false);
        }
        let Some((bytes, at)) = &mut socket.flight else { return Ok(false) };
        if self.clients[client].reader == Reader::Slow && !self.random.chance(30) {
            return Ok(true);
        }
        let start = *at;
        let rest = bytes.len() - start;
        let count = if self.random.chance(600) { rest } else { self.random.within(1, rest) };
        *at += count;
        let read = &bytes[start..start + count];
        if self.trace {
            let shown = String::from_utf8_lossy(&read[..read.len().min(300)]).into_owned();
            println!("{:>6} client {client} reads {shown:?}", self.step);
        }
        let all = count == rest;
        let reactions = self.clients[client].receive(&mut self.history, read, self.step);
        if all {
            socket.sent = Some(true);
        }
        self.progress_at = self.now;
        for reaction in reactions? {
            self.react(client, reaction.publication);
        }
        Ok(true)
    }

    fn react(&mut self, client: usize, publication: usize) {
        let publication = &self.history.publications[publication];
        let (reply, ttl) = (publication.reply, publication.ttl);
        if self.reactions == 0 {
            return;
        }
        let drops = self.params.scene.is_none_or(|scene| scene.drops(client));
        if drops && self.random.chance(self.params.drop_per_mille) {
            self.reactions -= 1;
            let pick = self.random.below(1000);
            self.clients[client].drop_one(&mut self.history, pick);
        } else if let Some(reply) = reply {
            self.reactions -= 1;
            self.clients[client].react(&mut self.history, reply, 0, 0);
        } else if ttl > 0 && self.random.chance(self.params.relay_per_mille) {
            self.reactions -= 1;
            let topic = Subject::Topic(self.random.below(self.params.topics));
            self.clients[client].react(&mut self.history, topic, 0, ttl - 1);
        }
    }

    /// Lets those go on who wait for the others, if all are there.
    fn meet(&mut self) -> bool {
        let all = self.clients.iter().all(|client| client.meeting || client.is_finished());
        let any = self.clients.iter().any(|client| client.meeting);
        if all && any {
            for client in &mut self.clients {
                client.meeting = false;
            }
        }
        all && any
    }

    fn wake_idlers(&mut self) -> bool {
        let mut woken = false;
        for client in &mut self.clients {
            woken |= client.idle_until > self.step;
            client.idle_until = 0;
        }
        woken
    }

    fn describe_stuck(&self) -> String {
        let mut text = "nobody can go on, but not all is done:".to_owned();
        for client in &self.clients {
            if !client.is_finished() {
                text.push_str(&format!("\n  {}", client.describe()));
            }
        }
        for shard in &self.shards {
            text.push_str(&format!("\n  shard {}: {:?}", shard.own, shard.core.counts()));
        }
        text
    }
}
