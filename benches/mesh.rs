//! What it costs to cross from one shard to another: a lane hop, a look at a peer that is silent,
//! and waking a shard that sleeps on its eventfd.
//!
//! Run with `cargo bench --bench mesh`. The wake-up needs two cores.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{criterion_group, criterion_main, Criterion};
use midge::mesh::{mesh, Endpoint};
use midge::net::{Ring, RingConfig};

/// A batch crosses as a pointer with a position.
type Batch = (Box<u64>, u64);
/// A control item is a few words.
type Control = [u64; 4];

const LANE_BATCHES: usize = 64;

fn pair<C: Send, D: Send>() -> (Endpoint<C, D>, Endpoint<C, D>) {
    let mut ends = mesh(2, LANE_BATCHES).into_iter();
    match (ends.next(), ends.next()) {
        (Some(first), Some(second)) => (first, second),
        _ => unreachable!("a mesh of two has two ends"),
    }
}

/// Push and take on one core: the work of a hop without the travel of its cache lines.
fn hops(criterion: &mut Criterion) {
    let (mut sender, mut receiver) = pair::<Control, Batch>();
    let mut batch = Some((Box::new(1), 1));
    criterion.bench_function("mesh/hop/data", |bencher| {
        bencher.iter(|| {
            if let Some(batch) = batch.take() {
                drop(sender.push_data(1, batch));
            }
            batch = black_box(receiver.take_data(0));
        });
    });
    criterion.bench_function("mesh/hop/control", |bencher| {
        bencher.iter(|| {
            sender.push_control(1, black_box([1, 2, 3, 4]));
            black_box(receiver.take_control(0))
        });
    });
    criterion.bench_function("mesh/hop/16 control in a row", |bencher| {
        bencher.iter(|| {
            for _ in 0..16 {
                sender.push_control(1, black_box([1, 2, 3, 4]));
            }
            while let Some(item) = receiver.take_control(0) {
                black_box(item);
            }
        });
    });
    criterion.bench_function("mesh/silent peer", |bencher| {
        bencher.iter(|| {
            black_box(receiver.take_data(0));
            black_box(receiver.take_control(0));
            black_box(receiver.routed(0))
        });
    });
}

/// There and back between two cores that both look at their lanes all the time.
fn crossing(criterion: &mut Criterion) {
    let (mut here, mut there) = pair::<(), u64>();
    let other = thread::spawn(move || loop {
        match there.take_data(0) {
            Some(0) => break,
            Some(number) => assert_eq!(there.push_data(0, number), Ok(())),
            None => std::hint::spin_loop(),
        }
    });
    criterion.bench_function("mesh/round trip of two running cores", |bencher| {
        bencher.iter(|| {
            assert_eq!(here.push_data(1, 1), Ok(()));
            while here.take_data(1).is_none() {
                std::hint::spin_loop();
            }
        });
    });
    assert_eq!(here.push_data(1, 0), Ok(()));
    drop(other.join());
}

/// From just before the push until the sleeper runs and holds the item.
fn wake_up(criterion: &mut Criterion) {
    let (mut waker, sleeper) = pair::<Option<Instant>, Duration>();
    let watch = waker.watch();
    let sleeping = thread::spawn(move || sleep_and_report(sleeper));
    criterion.bench_function("mesh/wake a parked shard", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                while !watch.is_parked(1) {
                    std::hint::spin_loop();
                }
                // Parked is published a moment before the thread sleeps.
                let asleep = Instant::now() + Duration::from_micros(30);
                while Instant::now() < asleep {
                    std::hint::spin_loop();
                }
                waker.push_control(1, Some(Instant::now()));
                waker.wake_parked();
                total += loop {
                    match waker.take_data(1) {
                        Some(latency) => break latency,
                        None => std::hint::spin_loop(),
                    }
                };
            }
            total
        });
    });
    waker.push_control(1, None);
    waker.wake_parked();
    drop(sleeping.join());
}

/// Parks as a shard does: in its ring.
fn sleep_and_report(mut endpoint: Endpoint<Option<Instant>, Duration>) {
    let Ok(mut ring) = Ring::new(&RingConfig::default()) else { return };
    ring.arm_wake();
    if endpoint.set_wake_fd(ring.event_fd()).is_err() || ring.enter().is_err() {
        return;
    }
    let mut completions = Vec::new();
    loop {
        if endpoint.begin_park(false) {
            drop(ring.wait());
            endpoint.end_park();
            ring.reap(&mut completions, 16);
        }
        while let Some(pushed) = endpoint.take_control(0) {
            match pushed {
                Some(pushed) => assert_eq!(endpoint.push_data(0, pushed.elapsed()), Ok(())),
                None => return,
            }
        }
    }
}

criterion_group!(benches, hops, crossing, wake_up);
criterion_main!(benches);
