//! Measures the store by itself: staged messages a second, memory, bytes on disk, and how long a
//! start takes. `cargo run --release --example store -- DIR [messages] [subjects]`

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program that measures reads clocks and may fail loudly"
)]

use std::sync::Arc;
use std::time::Instant;

use midge::store::{
    Damage, RealDisk, Record, Replay, StorageKind, Store, StoreOptions, Stores, StreamId,
    StreamStore,
};

#[derive(Default)]
struct Engine {
    streams: Vec<(StreamId, Box<dyn StreamStore>)>,
}

impl Replay for Engine {
    fn stream(&mut self, id: StreamId, _: &[u8], _: Option<&[u8]>, store: Box<dyn StreamStore>) {
        self.streams.push((id, store));
    }
    fn appended(&mut self, _: StreamId, _: u64, _: &Record<'_>) {}
    fn removed(&mut self, _: StreamId, _: u64) {}
    fn removed_below(&mut self, _: StreamId, _: u64) {}
    fn skipped(&mut self, _: StreamId, _: u64) {}
    fn note(&mut self, _: StreamId, _: &[u8]) {}
    fn deleted(&mut self, _: StreamId) {}
    fn damaged(&mut self, damage: &Damage) {
        println!("damage: {damage}");
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().expect("a directory");
    let mut number =
        |default: u64| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (messages, subjects) = (number(10_000_000), number(1000));
    write(&dir, messages, subjects);
    start(&dir, "after a clean stop");
    let disk = Arc::new(RealDisk::new(dir.clone().into()).expect("a directory to write to"));
    let mut engine = Engine::default();
    let mut store = open(&disk, &mut engine);
    let (_, stream) = engine.streams.first_mut().expect("the stream");
    append(&mut store, &disk, &mut **stream, 300_000, subjects);
    drop(store);
    drop(engine);
    drop(disk);
    start(&dir, "after a kill");
}

fn write(dir: &str, messages: u64, subjects: u64) {
    let disk = Arc::new(RealDisk::new(dir.into()).expect("a directory to write to"));
    let mut store = open(&disk, &mut Engine::default());
    let (_, mut stream) = store.create(StorageKind::File, b"measured").expect("a stream");
    let before = resident();
    let started = Instant::now();
    let staging = append(&mut store, &disk, &mut *stream, messages, subjects);
    let seconds = started.elapsed().as_secs_f64();
    println!("{messages} messages of 128 B over {subjects} subjects in {seconds:.2} s, one core");
    println!("  staged in {:.0} ns each", staging * 1e9 / precise(messages));
    println!("  memory grew by {} MiB", (resident().saturating_sub(before)) >> 20);
    let stopping = Instant::now();
    while !store.is_checkpointed() {
        store.checkpoint();
        for _ in 0..100 {
            drive(&mut store, &disk);
        }
    }
    println!("  clean stop in {:.2} s", stopping.elapsed().as_secs_f64());
}

/// Returns the seconds spent in `append`.
fn append(
    store: &mut Store,
    disk: &RealDisk,
    stream: &mut dyn StreamStore,
    messages: u64,
    subjects: u64,
) -> f64 {
    let names: Vec<String> = (0..subjects).map(|n| format!("orders.{n}")).collect();
    let payload = [b'x'; 128];
    let mut random = 7_u64;
    let mut staging = 0.0;
    let mut done = 0;
    while done < messages {
        let batch = (messages - done).min(256);
        let started = Instant::now();
        for at in 0..batch {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let subject = names[usize::try_from((random >> 33) % subjects).unwrap_or(0)].as_bytes();
            let time = 1_700_000_000_000_000_000 + (done + at) * 1000;
            stream.append(&Record { time, subject, headers: b"", payload: &payload });
        }
        staging += started.elapsed().as_secs_f64();
        done += batch;
        drive(store, disk);
    }
    while store.durable() < stream.staged() {
        drive(store, disk);
    }
    staging
}

fn start(dir: &str, what: &str) {
    let before = resident();
    let started = Instant::now();
    let disk = Arc::new(RealDisk::new(dir.into()).expect("a directory"));
    let mut engine = Engine::default();
    let _store = open(&disk, &mut engine);
    let seconds = started.elapsed().as_secs_f64();
    let extent = engine.streams.first().map(|(_, stream)| stream.extent()).unwrap_or_default();
    println!("start {what}: {} messages in {seconds:.3} s", extent.messages);
    println!("  memory grew by {} MiB", (resident().saturating_sub(before)) >> 20);
}

fn open(disk: &Arc<RealDisk>, engine: &mut Engine) -> Store {
    let disk: Arc<RealDisk> = Arc::clone(disk);
    Store::open(disk, StoreOptions { seed: 11, ..StoreOptions::default() }, engine)
        .expect("a store")
}

fn drive(store: &mut Store, disk: &RealDisk) {
    if let Some(write) = store.take_write() {
        let outcome = write.write();
        store.handle_written(write, &outcome);
    }
    while let Some(id) = store.snapshot_wanted() {
        store.put_snapshot(id, b"");
    }
    while let Some(job) = store.take_job() {
        store.handle_job_done(job.run(disk));
    }
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

#[expect(clippy::cast_precision_loss, reason = "a figure to be printed")]
fn precise(number: u64) -> f64 {
    number as f64
}
