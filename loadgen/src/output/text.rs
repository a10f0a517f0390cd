//! Figures as text on the terminal.

use super::units;
use crate::compare::pairs::Outcome;
use crate::result::RunResult;

/// One run, or the pairs of two servers.
pub fn print(outcome: &Outcome) {
    for side in &outcome.sides {
        for run in &side.runs {
            print_run(&side.label, run);
        }
    }
    if outcome.sides.iter().any(|side| side.runs.len() > 1) {
        print_medians(outcome);
    }
}

fn print_run(label: &str, run: &RunResult) {
    println!(
        "{label}: {}: {} msg/s received, {} msg/s sent, {}/s, {:.2} s",
        run.workload,
        units::count(run.rate),
        units::count(run.sent_rate),
        units::bytes(run.bytes_rate),
        run.seconds
    );
    if let Some(latency) = &run.latency {
        let at = |ns: u64| units::time(ns as f64 / 1e9);
        println!(
            "  latency    p50 {}  p90 {}  p99 {}  p99.9 {}  p99.99 {}  max {}  ({} recorded)",
            at(latency.p50),
            at(latency.p90),
            at(latency.p99),
            at(latency.p999),
            at(latency.p9999),
            at(latency.max),
            units::count(latency.count as f64)
        );
    }
    let usage = run.generator;
    let warning = match run.generator_is_full() {
        true => "  <- its core is full",
        false => "",
    };
    println!(
        "  generator  {:.1} ns/message, {:.1} % of a core{warning}",
        usage.ns_per_message, usage.busy_percent
    );
    if run.waited_percent >= WAITED_PERCENT {
        println!(
            "  DISTURBED  other processes had the generator's core for {:.1} % of the time",
            run.waited_percent
        );
    }
    if let Some(usage) = run.server {
        println!(
            "  server     {:.1} ns/message, {:.1} % of a core",
            usage.ns_per_message, usage.busy_percent
        );
    }
    for (name, value) in &run.extra {
        println!("  {name:30} {}", units::metric(name, *value));
    }
    if run.faults.is_clean() {
        println!("  verified   {} messages, no faults", units::count(run.verified as f64));
    } else {
        let f = &run.faults;
        println!(
            "  FAULTS     lost {}, duplicated {}, reordered {}, corrupted {}, unexpected {}",
            f.lost, f.duplicated, f.reordered, f.corrupted, f.unexpected
        );
        println!("             first: {}", f.first.as_deref().unwrap_or("not known"));
    }
}

fn print_medians(outcome: &Outcome) {
    let Some(first) = outcome.sides.first().and_then(|side| side.runs.first()) else {
        return;
    };
    println!();
    for name in first.compared_metrics() {
        print!("{name:24}");
        for side in &outcome.sides {
            if let Some(spread) = side.spread(&name) {
                let show = |value| units::metric(&name, value);
                let (low, high) = (show(spread.min), show(spread.max));
                print!("  {} {} ({low}..{high})", side.label, show(spread.median));
            }
        }
        if let Some(ratio) = outcome.ratios.get(&name) {
            print!("  ratio {:.3} ({:.3}..{:.3})", ratio.median, ratio.min, ratio.max);
        }
        println!();
    }
}

/// Share of the time waiting for its own core from which a run counts as disturbed.
pub const WAITED_PERCENT: f64 = 1.0;
