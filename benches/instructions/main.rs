//! Workloads whose retired instructions are counted, not their time: the counts do not depend on
//! what else the machine does, so a regression of a few per cent shows on any shared runner.
//!
//! `benches/instructions/check.sh` runs each workload under callgrind, compares with `recorded.tsv`
//! and fails on more than 3 %; with `--record` it writes the file. Run by hand:
//!
//! ```text
//! cargo bench --bench instructions -- list
//! cargo bench --bench instructions -- parser/pub_16
//! ```
//!
//! To add a workload, add a row to `WORKLOADS`: a function that prepares its input and returns the
//! operation to repeat. Only calls of [`counted`] are counted, so preparation is free.
#![allow(clippy::print_stdout, reason = "a command-line program")]

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::process::ExitCode;

use midge::proto::{parse, write_message, Command, HeaderBlock, Message, Parsed, ParserLimits};
use midge::router::{ConnId, Router, RouterLimits, ShardId, SubId};
use midge::subject::AccountId;

/// Prepares a workload: how many operations one round is, and the round.
type Workload = fn() -> (usize, Box<dyn Fn()>);

const WORKLOADS: &[(&str, Workload)] = &[
    ("parser/pub_16", || parser(&publish("bench.sub", "", 16))),
    ("parser/pub_128", || parser(&publish("bench.sub", "", 128))),
    ("parser/pub_1024", || parser(&publish("bench.sub", "", 1024))),
    ("parser/pub_reply_16", || parser(&publish("bench.sub", "reply.to.me", 16))),
    ("parser/pub_inbox_16", || {
        parser(&publish("bench.sub", "_INBOX.abcdefghijklmnopqrstuv.12345678", 16))
    }),
    ("parser/pub_long_subject_16", || parser(&publish(&"orders.eu.central.".repeat(5), "", 16))),
    ("parser/hpub_16", || parser(b"HPUB bench.sub 12 28\r\nNATS/1.0\r\n\r\n0123456789abcdef\r\n")),
    ("parser/pub_lower_case_16", || parser(&publish("bench.sub", "", 16).to_ascii_lowercase())),
    ("parser/sub", || parser(b"SUB bench.sub queue 1\r\n")),
    ("parser/unsub", || parser(b"UNSUB 1 10\r\n")),
    ("parser/ping", || parser(b"PING\r\n")),
    ("writer/msg_16", writer),
    ("headers/lookup", header_lookup),
    ("router/hit_same_subject", || router(1, 100_000)),
    ("router/hit_1000_subjects", || router(1000, 100_000)),
    ("router/miss_of_100000", || router(100_000, 100_000)),
    ("router/subscribe_and_remove", subscribe_and_remove),
];

/// Rounds per run: enough for the entry and exit of a round not to count.
const ROUNDS: usize = 4;

fn main() -> ExitCode {
    // Cargo adds `--bench` to the arguments of a bench target.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match wanted.as_slice() {
        [] => ExitCode::SUCCESS,
        [list] if list == "list" => {
            for (name, prepare) in WORKLOADS {
                println!("{name}\t{}", prepare().0 * ROUNDS);
            }
            ExitCode::SUCCESS
        }
        [name] => match WORKLOADS.iter().find(|(known, _)| known == name) {
            Some((_, prepare)) => {
                let (_, round) = prepare();
                for _ in 0..ROUNDS {
                    counted(&round);
                }
                ExitCode::SUCCESS
            }
            None => ExitCode::FAILURE,
        },
        _ => ExitCode::FAILURE,
    }
}

/// The function callgrind collects in, by its exported name.
#[inline(never)]
#[no_mangle]
extern "C" fn midge_counted(round: &&dyn Fn()) {
    round();
}

fn counted(round: &dyn Fn()) {
    midge_counted(black_box(&round));
}

fn publish(subject: &str, reply: &str, size: usize) -> Vec<u8> {
    let reply = if reply.is_empty() { String::new() } else { format!("{reply} ") };
    format!("PUB {subject} {reply}{size}\r\n{}\r\n", "x".repeat(size)).into_bytes()
}

/// Parses a thousand frames lying behind each other.
fn parser(frame: &[u8]) -> (usize, Box<dyn Fn()>) {
    const FRAMES: usize = 1000;
    let mut buffer = frame.repeat(FRAMES);
    // So that the last frames have room behind them too.
    buffer.extend_from_slice(&[b'P'; 128]);
    let limits = ParserLimits { headers: true, ..ParserLimits::default() };
    let round = move || {
        let mut rest = black_box(&buffer[..]);
        for _ in 0..FRAMES {
            match &parse(rest, &limits) {
                Ok(Parsed::Command { command: Command::Publish(publish), consumed }) => {
                    black_box(publish);
                    rest = &rest[*consumed..];
                }
                Ok(Parsed::Command { command, consumed }) => {
                    black_box(command);
                    rest = &rest[*consumed..];
                }
                other => {
                    black_box(other);
                    std::process::abort();
                }
            }
        }
    };
    (FRAMES, Box::new(round))
}

fn writer() -> (usize, Box<dyn Fn()>) {
    const FRAMES: usize = 1000;
    let round = || {
        let mut out = Vec::with_capacity(64 * FRAMES);
        let payload = b"0123456789abcdef";
        let message = Message { subject: b"bench.sub", reply: b"", header_len: None, payload };
        for _ in 0..FRAMES {
            write_message(&mut out, b"1", black_box(&message));
        }
        black_box(&out);
    };
    (FRAMES, Box::new(round))
}

fn header_lookup() -> (usize, Box<dyn Fn()>) {
    const LOOKUPS: usize = 1000;
    let round = || {
        let block = b"NATS/1.0\r\nA: 1\r\nB: 2\r\nNats-Msg-Id: 12345\r\n\r\n";
        for _ in 0..LOOKUPS {
            black_box(HeaderBlock::new(black_box(block)).get(b"Nats-Msg-Id"));
        }
    };
    (LOOKUPS, Box::new(round))
}

/// A router with `patterns` subscriptions, a fifth of them with a wildcard.
fn populated(patterns: usize) -> Router {
    let mut router = Router::new(ShardId(0), RouterLimits::default());
    for i in 0..patterns {
        let pattern = match i % 10 {
            0 | 1 => format!("bench.*.{i}"),
            _ => format!("bench.subject.{i}"),
        };
        subscribe(&mut router, pattern.as_bytes());
    }
    router
}

fn subscribe(router: &mut Router, pattern: &[u8]) -> SubId {
    router.subscribe(ConnId(1), AccountId(0), pattern, None, b"1", &mut Vec::new())
}

/// Matches `subjects` in turn, a thousand times in all, against `patterns`
/// subscriptions. A thousand subjects fit the plan cache; of a hundred thousand
/// each is seen for the first time.
fn router(subjects: usize, patterns: usize) -> (usize, Box<dyn Fn()>) {
    const MATCHES: usize = 1000;
    let router = RefCell::new(populated(patterns));
    let texts: Vec<String> = (0..subjects).map(|i| format!("bench.subject.{i}")).collect();
    let next = Cell::new(0);
    let seen_before = subjects < patterns;
    let round = move || {
        let mut router = router.borrow_mut();
        for _ in 0..MATCHES {
            let subject = texts[next.get() % texts.len()].as_bytes();
            next.set(next.get() + 1);
            black_box(router.matched(AccountId(0), black_box(subject)).plan.deliveries().len());
        }
    };
    if seen_before {
        // The second use of a subject caches its plan.
        for _ in 0..3 {
            round();
        }
    }
    (MATCHES, Box::new(round))
}

fn subscribe_and_remove() -> (usize, Box<dyn Fn()>) {
    const PAIRS: usize = 1000;
    let router = RefCell::new(populated(10_000));
    let round = move || {
        let mut router = router.borrow_mut();
        for i in 0..PAIRS {
            let sub = subscribe(&mut router, format!("reply.inbox.{i}").as_bytes());
            router.remove(black_box(sub), &mut Vec::new());
        }
    };
    (PAIRS, Box::new(round))
}
