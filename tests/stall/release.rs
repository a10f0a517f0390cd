//! After SIGCONT, and under a processor quota, no shard stands still for more
//! than 50 ms. What the machine itself needs to let a stopped process run again
//! is measured beside it, on a process that does nothing but echo, and granted.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::Broker;
use crate::probe::Probes;

const ROUNDS: usize = 100;
const STALL_MAX: Duration = Duration::from_millis(50);

/// A process that echoes: what stopping costs on this machine.
struct Echo(Child);

impl Echo {
    fn start() -> Self {
        let mut command = Command::new("cat");
        Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    fn round_trip(&mut self) -> Duration {
        let from = Instant::now();
        self.0.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        self.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        from.elapsed()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(pids: &[u32], name: &str) {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    assert!(Command::new("kill").arg(format!("-{name}")).args(pids).status().unwrap().success());
}

#[test]
fn a_stopped_broker_goes_on_within_fifty_milliseconds() {
    let _alone = crate::alone();
    let broker = Broker::start(&["--shards", "3"]);
    let mut echo = Echo::start();
    let probes = Probes::start(&broker, 4);
    let (mut worst, mut worst_excess) = (Duration::ZERO, Duration::ZERO);
    for round in 0..ROUNDS {
        signal(&[broker.pid(), echo.0.id()], "STOP");
        // Long enough for every shard's timers and peers to have moved on.
        std::thread::sleep(Duration::from_millis(2 + (round % 20) as u64));
        signal(&[broker.pid(), echo.0.id()], "CONT");
        let floor = echo.round_trip();
        let stall = Duration::from_nanos(probes.all_answer());
        worst = worst.max(stall);
        worst_excess = worst_excess.max(stall.saturating_sub(floor));
    }
    println!("{ROUNDS} rounds: longest stall {worst:?}, above the echo {worst_excess:?}");
    assert!(worst_excess <= STALL_MAX, "a shard stood still for {worst_excess:?}");
    probes.finish();
}

/// A cgroup of one test, for the processor controller of either version.
struct Quota {
    folder: PathBuf,
    limit: &'static [(&'static str, &'static str)],
}

impl Quota {
    /// 2 ms of every 10 ms.
    fn create() -> Option<Self> {
        let name = format!("midge-test-{}", std::process::id());
        let v1 = Path::new("/sys/fs/cgroup/cpu");
        let (root, limit): (_, &[_]) = if v1.join("cpu.cfs_quota_us").exists() {
            (v1, &[("cpu.cfs_period_us", "10000"), ("cpu.cfs_quota_us", "2000")])
        } else {
            (Path::new("/sys/fs/cgroup"), &[("cpu.max", "2000 10000")])
        };
        let folder = root.join(name);
        std::fs::create_dir(&folder).ok()?;
        let quota = Self { folder, limit };
        let set = |&(file, text): &(&str, &str)| std::fs::write(quota.folder.join(file), text);
        quota.limit.iter().try_for_each(set).ok()?;
        Some(quota)
    }

    /// How long the group has been held back so far.
    fn throttled(&self) -> Duration {
        let text = std::fs::read_to_string(self.folder.join("cpu.stat")).unwrap();
        let figure = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok()
        };
        let v1 = figure("throttled_time ").map(Duration::from_nanos);
        v1.or_else(|| figure("throttled_usec ").map(Duration::from_micros)).unwrap_or_default()
    }

    fn add(&self, pid: u32) -> bool {
        std::fs::write(self.folder.join("cgroup.procs"), pid.to_string()).is_ok()
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // The group can go only once its process is gone.
        let limit = Instant::now() + Duration::from_secs(5);
        while std::fs::remove_dir(&self.folder).is_err() && Instant::now() < limit {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_fifth_of_a_core_never_stops_a_shard_for_fifty_milliseconds() {
    let _alone = crate::alone();
    let Some(quota) = Quota::create() else {
        eprintln!("SKIPPED: no processor cgroup can be made here");
        return;
    };
    let broker = Broker::start(&["--shards", "2"]);
    let mut echo = Echo::start();
    if !quota.add(broker.pid()) {
        eprintln!("SKIPPED: no process can be put into a processor cgroup here");
        return;
    }
    let probes = Probes::start(&broker, 4);
    let (mut worst, mut worst_excess) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        let floor = echo.round_trip();
        let before = quota.throttled();
        let stall = Duration::from_nanos(probes.all_answer());
        // What the quota itself took is not the broker's.
        let own = floor + quota.throttled() - before;
        worst = worst.max(stall);
        worst_excess = worst_excess.max(stall.saturating_sub(own));
    }
    println!("{ROUNDS} rounds: longest wait {worst:?}, without the quota's part {worst_excess:?}");
    assert!(worst_excess <= STALL_MAX, "a shard stood still for {worst_excess:?}");
    probes.finish();
    drop(broker);
}
