//! Goal: what the broker has acknowledged survives its own death. Method: the real binary under
//! load is killed with SIGKILL at instants that a seed draws, started again over the same store
//! with another number of shards, 4, 1 and 3 in turn, and every stream is read as a whole and compared with a model
//! that knows what was acknowledged, what was refused and what was under way. A kill keeps what
//! the kernel has taken: power cuts are simulated in process, beside the store.
//!
//! `MIDGE_CRASH_KILLS` is the number of deaths (50), `MIDGE_CRASH_SEED` repeats a run as far as
//! timing allows, `MIDGE_CRASH_PARTIES` chooses who loads it, `MIDGE_CRASH_SHARDS` lists the shard
//! counts that its lives have in turn (4,1,3), and `BROKER` names another binary: nats-server passes too, but
//! for what is listed in [`Leniency`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may panic, block and read the clock"
)]
#![allow(clippy::needless_collect, reason = "all threads start before the first is joined")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the harness serves several test binaries")]
mod common;

mod churn;
mod consumer;
mod content;
mod life;
mod link;
mod model;
mod once;
mod publisher;
mod verify;

use common::{Broker, Raw};

/// What a broker need not do to pass: nats-server does these now and then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leniency {
    /// A purge without an answer may have taken some of its messages, one with an answer may be
    /// undone in part, and a stream that was deleted and made again may have messages of its
    /// former life. Message ids may be forgotten if the
    /// newest message was deleted. Acknowledgements of consumers may be forgotten although they
    /// were answered.
    pub(crate) is_reference: bool,
}

#[test]
fn what_was_acknowledged_survives_kills_at_random_instants() {
    let broker =
        Broker::start(&["-js", "-sd", tempfile::tempdir().unwrap().path().to_str().unwrap()]);
    if Raw::connect(&broker).info()["jetstream"] != true {
        eprintln!("skipped: this broker has no JetStream");
        return;
    }
    drop(broker);
    let kills = number("MIDGE_CRASH_KILLS").unwrap_or(50);
    let seed = number("MIDGE_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("MIDGE_CRASH_SEED={seed} MIDGE_CRASH_KILLS={kills}");
    life::run(seed, kills);
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}
