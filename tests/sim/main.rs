//! Goal: shards behave as one server does, in any interleaving. Method: the
//! pure cores of 1 to 5 shards, lanes between them, sockets and clients run on
//! one thread in an order that one seed draws; checkers look at what clients
//! saw.
//!
//! `SIM_SEED=n` runs one seed with a trace; `SIM_SEEDS`, `SIM_FIRST`,
//! `SIM_THREADS` and `SIM_FAULTS` say how many seeds from which on, on how many
//! threads, and after how many faults to stop.
//!
//! What this catches, each tried by breaking core or turn on purpose, in ten
//! thousand seeds: data pushed before control; a PONG that ignores lanes or
//! withdrawals; returned picks or branches dropped; a routed counter published
//! while returned entries wait; a 503 at the first lost branch; requests
//! forgotten at once; no drain after UNSUB; draining subscriptions that get
//! local messages or outlive CONNECT; a batch put back at the end of its lane;
//! nobody woken when a lane has room; a close that keeps its interest. The
//! drain and the early counter show in one to five of these seeds only. By the
//! scenes of `scenes`: an acknowledgement without its position in the data
//! lane, a PONG that ignores a pick made again, and a later PING that does.
//!
//! What it does not catch, and it may be that nothing can be seen: a PONG that
//! ignores announcements, control taken before data, and routed counters read
//! after data or one batch taken at a time, where no run has shown a difference.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs,
    unreachable_pub,
    reason = "a test may panic and print"
)]

mod checks;
mod client;
mod coverage;
mod frames;
mod history;
mod lanes;
mod names;
mod params;
mod program;
mod random;
mod scenes;
mod shard;
mod world;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};

use checks::single::Outcome;
use coverage::Coverage;
use params::Params;
use world::World;

/// Seeds of a run that nobody asked more of.
const SEEDS: u64 = 10_000;

/// Runs one seed on as many shards as it says and, if its outcome is the same
/// on any number, on one.
fn run(seed: u64, trace: bool, coverage: &Coverage) -> Result<(), String> {
    let params = Params::draw(seed);
    let mut world = World::new(params.clone(), trace);
    world.run()?;
    checks::rest::check_asleep(&world)?;
    world.idle_turns()?;
    checks::rest::check_quiet(&world)?;
    checks::delivery::check(&world.history)?;
    checks::groups::check(&world.history)?;
    checks::order::check(&world.history)?;
    checks::responders::check(&world.history)?;
    let outcome = Outcome::of(&world.history);
    world.leave()?;
    checks::rest::check_empty(&world)?;
    coverage.add(&world);
    if params.phased && params.shards > 1 {
        let weights = vec![1];
        let mut single = World::new(Params { shards: 1, weights, ..params }, false);
        single.run()?;
        outcome.check_equals(&Outcome::of(&single.history))?;
    }
    Ok(())
}

fn report(seed: u64, trace: bool, coverage: &Coverage) -> Result<(), String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, trace, coverage)));
    let fault = match outcome {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(fault)) => fault,
        Err(_) => "it panics".to_owned(),
    };
    Err(format!("SIM_SEED={seed} fails: {fault}\n{:?}", Params::draw(seed)))
}

#[test]
fn ten_thousand_seeds() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let coverage = Coverage::default();
    if let Some(seed) = number("SIM_SEED") {
        println!("{:?}", Params::draw(seed));
        report(seed, true, &coverage).unwrap_or_else(|fault| panic!("{fault}"));
        return;
    }
    let first = number("SIM_FIRST").unwrap_or(0);
    let end = first + number("SIM_SEEDS").unwrap_or(SEEDS);
    let patience = number("SIM_FAULTS").unwrap_or(1);
    let threads = number("SIM_THREADS")
        .or_else(|| std::thread::available_parallelism().ok().map(|count| count.get() as u64));
    let (next, faults) = (AtomicU64::new(first), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads.unwrap_or(1) {
            scope.spawn(|| loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end || faults.load(Ordering::Relaxed) >= patience {
                    return;
                }
                if let Err(fault) = report(seed, false, &coverage) {
                    faults.fetch_add(1, Ordering::Relaxed);
                    println!("{fault}");
                }
            });
        }
    });
    println!("{coverage:?}");
    assert_eq!(faults.into_inner(), 0, "seeds fail");
    assert!(end - first < SEEDS || coverage.is_whole(), "something was never met");
}
