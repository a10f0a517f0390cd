//! Ten thousand connections come and go, again and again: descriptors, memory
//! and interest are back where they were.

use std::time::Instant;

use crate::common::{Broker, Raw, PATIENCE};

const CONNECTIONS: usize = 10_000;

fn descriptors(broker: &Broker) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", broker.pid())).unwrap().count()
}

fn resident_kib(broker: &Broker) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Opens all connections with two subscriptions each, in slices so that half of
/// them are open while the others come and go, then closes everything.
fn crowd(broker: &Broker, connections: usize) {
    let mut open = Vec::new();
    let mut answered = 0;
    for i in 0..connections {
        let mut client = Raw::open(broker);
        client.send(format!("SUB crowd.{i} 1\r\nSUB crowd.*.{} 2\r\nPING\r\n", i % 100));
        open.push(client);
        if open.len() == connections / 2 || i + 1 == connections {
            for client in &mut open[answered..] {
                client.until_pong();
            }
            open.truncate(connections / 4);
            answered = open.len();
        }
    }
}

#[test]
fn connections_that_are_gone_leave_nothing_behind() {
    let _alone = crate::alone();
    // Closed connections are remembered for monitoring, ten thousand a shard; that is bounded,
    // and not what this test is about.
    let broker = crate::common::config("shards: 2\nmax_closed_clients: 100\n");
    let mut witness = Raw::open_headers(&broker);
    witness.send("SUB inbox 1\r\n");
    witness.fence();
    let idle = descriptors(&broker);
    // Test process and broker both need a descriptor for each.
    let connections = CONNECTIONS.min(open_files_max() / 2 - 200);
    let mut memory = Vec::new();
    for _ in 0..3 {
        crowd(&broker, connections);
        let limit = Instant::now() + PATIENCE;
        while descriptors(&broker) > idle {
            assert!(Instant::now() < limit, "{} descriptors stay", descriptors(&broker) - idle);
            std::thread::yield_now();
        }
        // No interest is left anywhere: the request comes back unanswered.
        witness.send("PUB crowd.7 inbox 0\r\n\r\n");
        let reply = witness.message();
        let headers = reply.headers.unwrap_or_default();
        assert!(headers.starts_with(b"NATS/1.0 503"), "somebody is still subscribed");
        memory.push(resident_kib(&broker));
    }
    println!("{connections} connections three times: {memory:?} KiB resident");
    let growth = memory[2].saturating_sub(memory[0]);
    assert!(growth < 2048, "memory grew by {growth} KiB from the first crowd to the third");
}

fn open_files_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(1 << 20)
}
