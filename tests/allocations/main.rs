//! Goal: a message costs no allocation once buffers, plans and pools are warm.
//! Method: a counting allocator under the shards' cores, driven as the shell
//! drives them: bytes in, flights out, batches from core to core.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use midge::account::Directory;
use midge::client::{KeepaliveLimits, Limits};
use midge::net::Flight;
use midge::proto::{InfoTemplate, ParserLimits, ServerInfo};
use midge::router::ShardId;
use midge::shard::core::{ConnKey, Core, CoreConfig};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(block, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Shards' cores with the lanes between them.
struct Shards {
    cores: Vec<Core>,
    flight: Box<Flight>,
    dirty: Vec<midge::router::ConnId>,
    sent: usize,
}

impl Shards {
    fn new(shards: usize) -> Self {
        let config = |own: usize| CoreConfig {
            own: ShardId(u8::try_from(own).unwrap()),
            shards,
            seed: 7,
            max_pending: 64 << 20,
            drop_when_high: false,
            write_deadline: u64::MAX / 4,
            auth_timeout: 2_000_000_000,
            parser: ParserLimits {
                control_line_bytes_max: 4096,
                payload_bytes_max: 1 << 20,
                headers: true,
            },
            headers: true,
            limits: Limits { subscriptions_max: 0, sub_tokens_max: 0 },
            keepalive: KeepaliveLimits { interval: u64::MAX / 4, outstanding_max: 2 },
            websocket: None,
            directory: Arc::new(Directory::open()),
            debug: false,
            trace: None,
            plan_cache: true,
            info: Arc::new(InfoTemplate::new(&ServerInfo::default())),
            unacknowledged_max: 1 << 16,
        };
        Self {
            cores: (0..shards).map(|own| Core::new(config(own))).collect(),
            flight: Box::new(Flight::new()),
            dirty: Vec::new(),
            sent: 0,
        }
    }

    fn connect(&mut self, shard: usize) -> ConnKey {
        let key = self.cores[shard].open(1, "127.0.0.1".into());
        self.turn(shard, &[(key, CONNECT)]);
        key
    }

    /// One turn of one shard, as the shell makes it.
    fn turn(&mut self, shard: usize, input: &[(ConnKey, &[u8])]) {
        let core = &mut self.cores[shard];
        core.begin_turn(1);
        core.route();
        for &(key, bytes) in input {
            core.handle_received(key, bytes);
        }
        core.resume_parsing();
        core.finish();
        let own = ShardId(u8::try_from(shard).unwrap());
        for peer in self.cores[shard].peers() {
            let to = usize::from(peer.0);
            let [core, other] = self.cores.get_disjoint_mut([shard, to]).unwrap();
            while let Some(batch) = core.next_batch(peer) {
                other.take_batch(own, batch);
            }
            core.after_push(peer);
            for item in core.take_control_for(peer) {
                other.handle_control(own, item);
            }
            while let Some((_, batch)) = core.take_routed() {
                other.handle_recycled(own, batch);
            }
            if let Some(position) = core.routed_to_publish(peer) {
                other.handle_routed(own, position);
            }
        }
        let core = &mut self.cores[shard];
        core.take_dirty(&mut self.dirty);
        for slot in self.dirty.drain(..) {
            let flight = &mut self.flight;
            if let Some(key) = core.take_flight(slot, |segment| flight.push(segment)) {
                self.sent += flight.bytes();
                let bytes = flight.bytes();
                flight.advance(bytes);
                flight.drain(|segment| core.recycle(segment));
                core.handle_sent(key, true);
            }
        }
    }

    /// Turns all shards until nothing is left to route.
    fn settle(&mut self) {
        for _ in 0..4 {
            for shard in 0..self.cores.len() {
                self.turn(shard, &[]);
            }
        }
    }
}

const CONNECT: &[u8] = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1}\r\nPING\r\n";

/// Counts the allocations of `rounds` chunks after as many for warming up.
fn allocations(shards: &mut Shards, from: (usize, ConnKey), chunk: &[u8]) -> u64 {
    let mut round = || {
        shards.turn(from.0, &[(from.1, chunk)]);
        if shards.cores.len() > 1 {
            shards.settle();
        }
    };
    (0..200).for_each(|_| round());
    let before = ALLOCATIONS.with(Cell::get);
    (0..200).for_each(|_| round());
    ALLOCATIONS.with(Cell::get) - before
}

fn publishes(subject: &str, count: usize, payload: usize) -> Vec<u8> {
    let one = format!("PUB {subject} {payload}\r\n{}\r\n", "x".repeat(payload));
    one.repeat(count).into_bytes()
}

#[test]
fn one_publisher_and_one_subscriber_allocate_nothing() {
    let mut shards = Shards::new(1);
    let (publisher, subscriber) = (shards.connect(0), shards.connect(0));
    shards.turn(0, &[(subscriber, b"SUB orders.new 1\r\n")]);
    for payload in [16, 128, 1024] {
        let chunk = publishes("orders.new", 60_000 / (payload + 32), payload);
        let before = shards.sent;
        assert_eq!(allocations(&mut shards, (0, publisher), &chunk), 0, "{payload} B");
        assert!(shards.sent - before > 400 * (chunk.len() - 4096), "messages were delivered");
    }
}

#[test]
fn a_chunk_that_ends_within_a_message_allocates_nothing() {
    let mut shards = Shards::new(1);
    let (publisher, subscriber) = (shards.connect(0), shards.connect(0));
    shards.turn(0, &[(subscriber, b"SUB orders.new 1\r\n")]);
    // Rotated by half a message: each chunk completes the last one's rest.
    let mut chunk = publishes("orders.new", 100, 128);
    let head: Vec<u8> = chunk[..70].to_vec();
    shards.turn(0, &[(publisher, &head)]);
    chunk.rotate_left(70);
    assert_eq!(allocations(&mut shards, (0, publisher), &chunk), 0);
}

#[test]
fn fan_out_wildcards_and_headers_allocate_nothing() {
    let mut shards = Shards::new(1);
    let publisher = shards.connect(0);
    for pattern in ["orders.new", "orders.*", "orders.>", ">", "*.new"] {
        let subscriber = shards.connect(0);
        shards.turn(0, &[(subscriber, format!("SUB {pattern} 1\r\n").as_bytes())]);
    }
    let chunk = publishes("orders.new", 100, 64);
    assert_eq!(allocations(&mut shards, (0, publisher), &chunk), 0);
    let header = "HPUB orders.new 12 14\r\nNATS/1.0\r\n\r\nhi\r\n".repeat(100);
    assert_eq!(allocations(&mut shards, (0, publisher), header.as_bytes()), 0);
}

// A wide fan-out shares its frames; each subscriber has frames of its own between them, and one
// of another fan-out.
#[test]
fn shared_frames_allocate_nothing() {
    let mut shards = Shards::new(2);
    let publisher = shards.connect(0);
    for number in 0..12 {
        let subscriber = shards.connect(number % 2);
        let odd = if number % 3 == 0 { "SUB odd 2\r\n" } else { "SUB other.* 2\r\n" };
        let subs = format!("SUB orders.new 1\r\n{odd}");
        shards.turn(number % 2, &[(subscriber, subs.as_bytes())]);
    }
    shards.settle();
    for payload in [16, 1024, 60_000] {
        let mut chunk = publishes("orders.new", 60_000 / (payload + 32), payload);
        chunk.extend(publishes("odd", 3, 100));
        chunk.extend(publishes("other.new", 3, 100));
        chunk.extend(publishes("orders.new", 3, payload));
        let before = shards.sent;
        assert_eq!(allocations(&mut shards, (0, publisher), &chunk), 0, "{payload} B");
        assert!(shards.sent - before > 400 * 12 * payload * 3, "messages were delivered");
    }
}

#[test]
fn a_queue_group_allocates_nothing() {
    let mut shards = Shards::new(1);
    let publisher = shards.connect(0);
    for _ in 0..4 {
        let member = shards.connect(0);
        shards.turn(0, &[(member, b"SUB work workers 1\r\n")]);
    }
    let chunk = publishes("work", 200, 64);
    assert_eq!(allocations(&mut shards, (0, publisher), &chunk), 0);
}

#[test]
fn requests_allocate_nothing() {
    let mut shards = Shards::new(1);
    let (requester, responder) = (shards.connect(0), shards.connect(0));
    shards.turn(0, &[(responder, b"SUB service 1\r\n"), (requester, b"SUB inbox.* 1\r\n")]);
    let chunk = "PUB service inbox.7 5\r\nhello\r\n".repeat(100);
    assert_eq!(allocations(&mut shards, (0, requester), chunk.as_bytes()), 0);
}

#[test]
fn a_message_to_another_shard_allocates_nothing() {
    let mut shards = Shards::new(2);
    let (publisher, subscriber) = (shards.connect(0), shards.connect(1));
    shards.turn(1, &[(subscriber, b"SUB orders.new 1\r\n")]);
    shards.settle();
    let chunk = publishes("orders.new", 300, 128);
    let before = shards.sent;
    assert_eq!(allocations(&mut shards, (0, publisher), &chunk), 0);
    assert!(shards.sent - before > 300 * 300 * 128, "messages were delivered");
}
