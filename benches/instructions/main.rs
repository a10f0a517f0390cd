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

use std::hint::black_box;
use std::process::ExitCode;

use midge::proto::{parse, write_message, Command, HeaderBlock, Message, Parsed, ParserLimits};

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
