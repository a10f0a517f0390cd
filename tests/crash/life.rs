//! The lives of a broker: start, compare, load, kill.

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Sender};
use std::sync::Arc;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use super::churn::Churn;
use super::consumer::Worker;
use super::link::{Gone, Link};
use super::model::{Model, Traits};
use super::once::Once;
use super::publisher;
use super::verify::{make, verify};
use super::Leniency;
use crate::common::{Broker, Random};

/// One who has a connection, a state over all lives, and something to check after each start.
trait Party: Send {
    fn name(&self) -> String;
    fn check(&mut self, link: &mut Link, random: &mut Random, like: Leniency) -> Result<(), Gone>;
    fn work(&mut self, link: &mut Link, random: &mut Random) -> Result<(), Gone>;
}

impl Party for Model {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&mut self, link: &mut Link, random: &mut Random, like: Leniency) -> Result<(), Gone> {
        make(link, self)?;
        verify(link, self, random, like)
    }

    fn work(&mut self, link: &mut Link, random: &mut Random) -> Result<(), Gone> {
        publisher::work(link, self, random)
    }
}

impl Party for Churn {
    fn name(&self) -> String {
        "churn".to_owned()
    }

    fn check(&mut self, link: &mut Link, _: &mut Random, like: Leniency) -> Result<(), Gone> {
        Self::check(self, link, like)
    }

    fn work(&mut self, link: &mut Link, random: &mut Random) -> Result<(), Gone> {
        Self::work(self, link, random)
    }
}

impl Party for Worker {
    fn name(&self) -> String {
        "worker".to_owned()
    }

    fn check(&mut self, link: &mut Link, _: &mut Random, like: Leniency) -> Result<(), Gone> {
        Self::check(self, link, like)
    }

    fn work(&mut self, link: &mut Link, random: &mut Random) -> Result<(), Gone> {
        Self::work(self, link, random)
    }
}

impl Party for Once {
    fn name(&self) -> String {
        "once".to_owned()
    }

    fn check(&mut self, link: &mut Link, random: &mut Random, like: Leniency) -> Result<(), Gone> {
        Self::check(self, link, random, like)
    }

    fn work(&mut self, link: &mut Link, random: &mut Random) -> Result<(), Gone> {
        Self::work(self, link, random)
    }
}

/// Runs a broker to `kills` deaths and once more to the end.
pub(crate) fn run(seed: u64, kills: u64) {
    let store = tempfile::tempdir().expect("a directory");
    let mut random = Random::new(seed);
    let shards = shard_counts();
    let like = Leniency { is_reference: shards.is_empty() };
    let mut parties = parties();
    let started = Instant::now();
    let mut spent = Spent::default();
    let mut counts = shards.iter().copied().cycle();
    for life in 0..=kills {
        let plan = Plan::draw(&mut random, counts.next(), life == kills);
        let lived = catch_unwind(AssertUnwindSafe(|| {
            plan.live(&mut parties, store.path(), random.next(), like, &mut spent);
        }));
        if let Err(panic) = lived {
            let kept = store.keep();
            eprintln!("MIDGE_CRASH_SEED={seed}, life {life} of {kills}: {plan:?}");
            eprintln!("the store is kept in {}", kept.display());
            resume_unwind(panic);
        }
        if life % TOLD_EVERY == TOLD_EVERY - 1 {
            eprintln!("{} deaths in {:.0} s", life + 1, started.elapsed().as_secs_f64());
        }
    }
    eprintln!("{kills} deaths in {:.1} s: {spent}", started.elapsed().as_secs_f64());
}

/// Where the time went.
#[derive(Default)]
struct Spent {
    starts: Duration,
    checks: Duration,
    loads: Duration,
    ends: Duration,
}

impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { starts, checks, loads, ends } = *self;
        let [starts, checks, loads, ends] = [starts, checks, loads, ends].map(|d| d.as_secs_f64());
        write!(f, "starts {starts:.1}, checks {checks:.1}, loads {loads:.1}, ends {ends:.1}")
    }
}

/// All parties, or those that `MIDGE_CRASH_PARTIES` names.
fn parties() -> Vec<Box<dyn Party>> {
    let traits = |window, deletes, purges, batch| Traits { window, deletes, purges, batch };
    let models = [
        ("sync", traits(1, 0, 0, 0)),
        ("window", traits(256, 0, 1, 0)),
        ("delete", traits(16, 30, 0, 0)),
        ("purge", traits(16, 10, 10, 0)),
        ("batch", traits(8, 2, 2, 10)),
    ];
    let mut parties: Vec<Box<dyn Party>> = Vec::new();
    for (name, traits) in models {
        parties.push(Box::new(Model::new(name, traits)));
    }
    parties.push(Box::new(Churn::default()));
    parties.push(Box::new(Worker::default()));
    parties.push(Box::new(Once::default()));
    if let Ok(chosen) = std::env::var("MIDGE_CRASH_PARTIES") {
        parties.retain(|party| chosen.split(',').any(|name| name == party.name()));
        assert!(!parties.is_empty(), "MIDGE_CRASH_PARTIES names nobody: {chosen}");
    }
    parties
}

/// How one life goes.
#[derive(Debug)]
struct Plan {
    shards: Option<usize>,
    /// Killed so soon after its start that it may still be recovering.
    stillborn: Option<Duration>,
    /// How long it is under load.
    load: Duration,
    /// Ends with SIGTERM instead.
    is_graceful: bool,
    is_last: bool,
}

impl Plan {
    fn draw(random: &mut Random, shards: Option<usize>, is_last: bool) -> Self {
        let micros = |count: usize| Duration::from_micros(count as u64);
        Self {
            shards,
            stillborn: (random.below(8) == 0).then(|| micros(random.below(60_000))),
            load: micros(random.below(80_000)),
            is_graceful: random.below(10) == 0,
            is_last,
        }
    }

    fn live(
        &self,
        parties: &mut [Box<dyn Party>],
        store: &Path,
        seed: u64,
        like: Leniency,
        spent: &mut Spent,
    ) {
        let mut since = Instant::now();
        let mut lap = |sum: &mut Duration| {
            let now = Instant::now();
            *sum += now - std::mem::replace(&mut since, now);
        };
        let store = store.to_str().expect("a path in UTF-8");
        let shards = self.shards.map(|count| count.to_string());
        let mut args = vec!["-js", "-sd", store];
        args.extend(shards.iter().flat_map(|count| ["--shards", count]));
        if let Some(delay) = self.stillborn.filter(|_| !self.is_last) {
            let mut line = vec!["-a", "127.0.0.1", "-p", "-1"];
            line.extend(&args);
            let broker = Broker::spawn(&line);
            std::thread::sleep(delay);
            drop(broker);
        }
        let mut broker = Broker::start(&args);
        lap(&mut spent.starts);
        let is_stopping = Arc::new(AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (tell, told) = channel();
            let threads: Vec<ScopedJoinHandle<'_, ()>> = (1..)
                .zip(parties.iter_mut())
                .map(|(index, party)| {
                    let (broker, tell, is_stopping) = (&broker, tell.clone(), &is_stopping);
                    let random = Random::new(seed ^ (index << 32));
                    let is_last = self.is_last;
                    let open = move |inbox: &str| Link::open(broker, inbox, is_stopping);
                    scope.spawn(move || attend(party.as_mut(), open, random, like, is_last, tell))
                })
                .collect();
            let all_right = (0..threads.len()).all(|_| told.recv().unwrap_or(false));
            lap(&mut spent.checks);
            if all_right && !self.is_last {
                std::thread::sleep(self.load);
            }
            lap(&mut spent.loads);
            is_stopping.store(self.is_graceful, Ordering::Relaxed);
            broker.signal(if self.is_graceful { "TERM" } else { "KILL" });
            for thread in threads {
                if let Err(panic) = thread.join() {
                    eprintln!("the broker's log:\n{}", broker.log());
                    resume_unwind(panic);
                }
            }
        });
        let status = broker.wait_exit(crate::common::PATIENCE);
        assert!(!self.is_graceful || status.success(), "after SIGTERM: {status}");
        lap(&mut spent.ends);
    }
}

/// Checks, tells whether all was right, and works until the broker is gone.
fn attend(
    party: &mut dyn Party,
    open: impl Fn(&str) -> Result<Link, Gone>,
    mut random: Random,
    like: Leniency,
    is_last: bool,
    tell: Sender<bool>,
) {
    let inbox = format!("in.{}", party.name());
    let checked = catch_unwind(AssertUnwindSafe(|| {
        let mut link = open(&inbox).expect("a connection");
        party.check(&mut link, &mut random, like).expect("the broker dies before it is killed");
        link
    }));
    // The receiver is gone only if another party has failed already.
    let _heard = tell.send(checked.is_ok());
    match checked {
        Ok(mut link) if !is_last => {
            let Err(Gone) = party.work(&mut link, &mut random) else {
                unreachable!("work ends with the broker");
            };
        }
        Ok(_) => {}
        Err(panic) => resume_unwind(panic),
    }
}

/// The shard counts that lives have in turn; none for a broker that has no shards.
fn shard_counts() -> Vec<usize> {
    let help = Command::new(Broker::binary()).arg("--help").output().expect("the broker runs");
    let text = [help.stdout, help.stderr].concat();
    if !String::from_utf8_lossy(&text).contains("--shards") {
        return Vec::new();
    }
    let list = std::env::var("MIDGE_CRASH_SHARDS").unwrap_or_else(|_| "4,1,3".into());
    list.split(',').map(|count| count.trim().parse().expect("a shard count")).collect()
}

/// Deaths after which a long run says how far it is.
const TOLD_EVERY: u64 = 100;
