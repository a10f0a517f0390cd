//! What the router costs: matching, cached and not, with up to a million
//! subscriptions; subscribing and removing; picking a queue member.
//!
//! The subscriptions are like those of a busy account: 78 % literal, 20 % with
//! `*`, 2 % with `>`, and never two alike.
//!
//! Run with `cargo bench --bench router`.

use std::hint::black_box;

use criterion::{criterion_group, criterion_main, BatchSize, Criterion};
use midge::router::{
    ConnId, GroupId, InterestChange, Matched, Router, RouterLimits, ShardId, SubId, Tried,
};
use midge::subject::{matches, AccountId};

const ACCOUNT: AccountId = AccountId(0);

fn router() -> Router {
    Router::new(ShardId(0), RouterLimits { hash_seed: 1, ..RouterLimits::default() })
}

fn pattern(number: usize) -> String {
    match number % 50 {
        0..39 => format!("bench.subject.{number}"),
        39..44 => format!("bench.*.{number}"),
        44..49 => format!("bench.{number}.*"),
        _ => format!("bench.{number}.>"),
    }
}

fn subscribed(count: usize) -> (Router, Vec<SubId>) {
    let mut router = router();
    let mut changes = Vec::new();
    let mut subs = Vec::new();
    for number in 0..count {
        subs.push(subscribe(&mut router, number, &mut changes));
        changes.clear();
    }
    (router, subs)
}

fn subscribe(router: &mut Router, number: usize, changes: &mut Vec<InterestChange>) -> SubId {
    let conn = ConnId(u32::try_from(number % 1000).unwrap_or(0));
    let sid = number.to_string();
    router.subscribe(conn, ACCOUNT, pattern(number).as_bytes(), None, sid.as_bytes(), changes)
}

/// Numbers in an order that no cache line foresees.
fn scattered(count: usize) -> impl Iterator<Item = usize> {
    let mut state = 1_usize;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (state >> 20) % count
    })
}

fn misses(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("miss");
    for count in [1, 1_000, 100_000, 1_000_000] {
        let (mut router, _) = subscribed(count);
        // So many subjects that none is still remembered when it comes again.
        // With many subscriptions, half of the subjects have one.
        let mut numbers: Vec<usize> = (0..200_000.max(2 * count)).collect();
        for (place, other) in scattered(numbers.len()).enumerate().take(numbers.len()) {
            numbers.swap(place, other);
        }
        let subjects: Vec<String> =
            numbers.iter().map(|number| format!("bench.subject.{number}")).collect();
        let mut next = subjects.iter().cycle();
        group.bench_function(format!("{count} subscriptions"), |bencher| {
            bencher.iter(|| {
                let subject = next.next().map_or("", String::as_str);
                black_box(router.matched(ACCOUNT, subject.as_bytes()).plan.deliveries().len())
            });
        });
        let counts = router.counts();
        assert!(counts.hits <= counts.misses / 20, "{counts:?}");
    }
    group.finish();
}

fn hits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hit");
    for count in [1, 16, 1_000, 8_000] {
        let (mut router, _) = subscribed(100_000);
        let subjects: Vec<String> =
            (0..count).map(|number| format!("bench.subject.{:06}", number * 50)).collect();
        for _ in 0..4 {
            for subject in &subjects {
                router.matched(ACCOUNT, subject.as_bytes());
            }
        }
        let mut next = subjects.iter().cycle();
        group.bench_function(format!("{count} subjects"), |bencher| {
            bencher.iter(|| {
                let subject = next.next().map_or("", String::as_str);
                black_box(router.matched(ACCOUNT, subject.as_bytes()).plan.deliveries().len())
            });
        });
    }
    group.finish();
}

fn subscribing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("subscribe and remove");
    for count in [1_000, 100_000, 1_000_000] {
        let (mut router, mut subs) = subscribed(count);
        let mut changes = Vec::new();
        let mut order = scattered(count);
        group.bench_function(format!("one of {count}"), |bencher| {
            bencher.iter_batched(
                || {
                    let number = order.next().unwrap_or(0);
                    (number, pattern(number), number.to_string())
                },
                |(number, pattern, sid)| {
                    router.remove(subs[number], &mut changes);
                    let (pattern, sid) = (pattern.as_bytes(), sid.as_bytes());
                    let (conn, queue) = (ConnId(1), None);
                    subs[number] =
                        router.subscribe(conn, ACCOUNT, pattern, queue, sid, &mut changes);
                    changes.clear();
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();

    criterion.bench_function("subscribe 100000 in an empty router, remove all", |bencher| {
        let mut changes = Vec::new();
        bencher.iter_batched(
            || (router(), (0..100_000).map(pattern).collect::<Vec<_>>()),
            |(mut router, patterns)| {
                let mut subs = Vec::with_capacity(patterns.len());
                for pattern in &patterns {
                    let (conn, pattern) = (ConnId(1), pattern.as_bytes());
                    subs.push(router.subscribe(conn, ACCOUNT, pattern, None, b"1", &mut changes));
                    changes.clear();
                }
                for sub in subs {
                    router.remove(sub, &mut changes);
                    changes.clear();
                }
                router
            },
            BatchSize::LargeInput,
        );
    });
}

fn fan_out(criterion: &mut Criterion) {
    let mut router = router();
    let mut changes = Vec::new();
    for number in 0..1_000_u32 {
        let sid = number.to_string();
        let conn = ConnId(number);
        router.subscribe(conn, ACCOUNT, b"wide.*", None, sid.as_bytes(), &mut changes);
    }
    let mut number = 0_u64;
    criterion.bench_function("miss with 1000 subscribers", |bencher| {
        bencher.iter(|| {
            number += 1;
            let subject = format!("wide.{number}");
            black_box(router.matched(ACCOUNT, subject.as_bytes()).plan.deliveries().len())
        });
    });
}

fn picking(criterion: &mut Criterion) {
    let mut router = router();
    let mut changes = Vec::new();
    for sid in ["1", "2", "3"] {
        router.subscribe(ConnId(1), ACCOUNT, b"a", Some(b"q"), sid.as_bytes(), &mut changes);
    }
    for shard in 1..8 {
        let change = InterestChange::Queue {
            account: ACCOUNT,
            pattern: b"a"[..].into(),
            queue: b"q"[..].into(),
            group: GroupId::from_u64(u64::from(shard)),
            members: 2,
        };
        router.apply_remote(ShardId(shard), &change);
    }
    let mut random = 1_u64;
    let mut bench = |router: &mut Router, name: &str| {
        for _ in 0..4 {
            router.matched(ACCOUNT, b"a");
        }
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
                let Matched { plan, groups, .. } = router.matched(ACCOUNT, b"a");
                for queue in plan.queues() {
                    black_box(groups.pick(queue, random, Tried::default()));
                }
            });
        });
    };
    bench(&mut router, "queue pick, members on 8 shards");
    for (number, pattern) in ["*", ">", "*", ">"].into_iter().enumerate() {
        let sid = number.to_string();
        let (pattern, queue) = (pattern.as_bytes(), Some(&b"q"[..]));
        router.subscribe(ConnId(1), ACCOUNT, pattern, queue, sid.as_bytes(), &mut changes);
    }
    bench(&mut router, "queue pick, members on 8 shards and 3 patterns");
}

fn joining(criterion: &mut Criterion) {
    for count in [1, 10, 1_000] {
        let mut router = router();
        let mut changes = Vec::new();
        for pattern in [&b"wide.*"[..], b"wide.>"] {
            for number in 0..count {
                let queue = number.to_string();
                let queue = Some(queue.as_bytes());
                router.subscribe(ConnId(1), ACCOUNT, pattern, queue, b"1", &mut changes);
            }
        }
        let mut number = 0_u64;
        criterion.bench_function(&format!("miss with {count} queues on 2 patterns"), |bencher| {
            bencher.iter(|| {
                number += 1;
                let subject = format!("wide.{number}");
                black_box(router.matched(ACCOUNT, subject.as_bytes()).plan.queues().count())
            });
        });
    }
}

fn naive(criterion: &mut Criterion) {
    criterion.bench_function("naive match of one pattern", |bencher| {
        bencher.iter(|| matches(black_box(b"bench.*.12345"), black_box(b"bench.subject.12345")));
    });
}

criterion_group!(benches, hits, misses, subscribing, fan_out, picking, joining, naive);
criterion_main!(benches);
