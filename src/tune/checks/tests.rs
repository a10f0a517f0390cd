//! Goal: each check names what is wrong and nothing else, and whatever is applied is taken back
//! to the letter. Method: hosts that are tables of files.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use proptest::prelude::*;

use super::super::change::{apply, revert};
use super::super::finding::{Finding, State};
use super::super::system::System;
use super::{survey, Plan};

pub(in super::super) const RECORD: &str = "/run/record";

/// Files by path. A write to a list of choices moves the brackets, as the kernel does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct FakeHost {
    files: BTreeMap<String, String>,
    refused: BTreeSet<String>,
    ring: Option<String>,
}

impl FakeHost {
    pub(in super::super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self { files: files.collect(), ..Self::default() }
    }

    pub(in super::super) fn refuse(&mut self, path: &str) {
        self.refused.insert(path.to_owned());
    }

    fn with(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }
}

impl System for FakeHost {
    fn read(&self, path: &str) -> Option<String> {
        self.files.get(path).cloned()
    }

    fn list(&self, directory: &str) -> Vec<String> {
        let below = self.files.keys().filter_map(|path| {
            let rest = path.strip_prefix(directory)?.strip_prefix('/')?;
            rest.split('/').next().map(str::to_owned)
        });
        below.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn write(&mut self, path: &str, content: &str) -> io::Result<()> {
        if self.refused.contains(path) {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        let old = self.files.get(path).cloned().unwrap_or_default();
        let new = if path == RECORD {
            content.to_owned()
        } else if old.contains('[') {
            let plain = old.replace(['[', ']'], "");
            let words = plain.split(' ').map(|word| {
                if word.trim() == content {
                    word.replace(content, &format!("[{content}]"))
                } else {
                    word.to_owned()
                }
            });
            words.collect::<Vec<_>>().join(" ")
        } else if old.ends_with('\n') {
            format!("{content}\n")
        } else {
            content.to_owned()
        };
        self.files.insert(path.to_owned(), new);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        let removed = self.files.remove(path);
        removed.map(drop).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn probe_ring(&self) -> Result<(), String> {
        self.ring.clone().map_or(Ok(()), Err)
    }
}

fn plan() -> Plan {
    Plan {
        cpus: vec![0, 1],
        shards: 2,
        connections_max: 65_536,
        store_dir: Some("/data/js".to_owned()),
    }
}

/// A host on which nothing is left to be desired.
fn good() -> FakeHost {
    FakeHost::of(&[
        ("/proc/sys/kernel/io_uring_disabled", "0\n"),
        ("/proc/sys/kernel/io_uring_group", "-1\n"),
        (
            "/proc/self/limits",
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max open files            1024                 1048576              files     \n\
             Max locked memory         unlimited            unlimited            bytes     \n",
        ),
        ("/proc/self/cgroup", "0::/\n"),
        ("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
        ("/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n"),
        ("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
        ("/sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet \n"),
        ("/sys/devices/system/node/node0/cpulist", "0-1\n"),
        ("/sys/class/net/eth0/device/msi_irqs/41", "msix\n"),
        ("/sys/class/net/eth0/device/msi_irqs/42", "msix\n"),
        ("/sys/class/net/eth0/device/msi_irqs/43", "msix\n"),
        (
            "/proc/interrupts",
            "           CPU0       CPU1       \n  41:  1  2  PCI-MSIX 1-edge      eth0-rx-0\n  \
             42:  1  2  PCI-MSIX 2-edge      eth0-rx-1\n  43:  1  2  PCI-MSIX 0-edge eth0-config\n",
        ),
        ("/proc/irq/41/smp_affinity_list", "0\n"),
        ("/proc/irq/42/smp_affinity_list", "0-1\n"),
        ("/proc/irq/43/smp_affinity_list", "0-3\n"),
        ("/proc/sys/net/core/somaxconn", "4096\n"),
        ("/proc/sys/net/ipv4/tcp_max_syn_backlog", "8192\n"),
        ("/proc/sys/net/core/busy_poll", "0\n"),
        ("/proc/sys/net/core/busy_read", "0\n"),
        ("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
        ("/proc/sys/vm/swappiness", "60\n"),
        ("/proc/swaps", "Filename Type Size Used Priority\n"),
        (
            "/proc/self/mountinfo",
            "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
             23 22 8:17 / /data rw,noatime - ext4 /dev/sdb1 rw\n",
        ),
        ("/sys/dev/block/8:17/../queue/write_cache", "write back\n"),
        ("/sys/dev/block/8:17/../queue/fua", "1\n"),
    ])
}

fn unhappy(host: &FakeHost) -> Vec<Finding> {
    let mut findings = survey(&plan(), host);
    findings.retain(|finding| finding.state != State::Fine);
    findings
}

#[track_caller]
fn only(host: &FakeHost) -> Finding {
    let findings = unhappy(host);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    findings.into_iter().next().unwrap()
}

#[track_caller]
fn changes(finding: &Finding) -> Vec<(&str, &str, &str)> {
    let changes = finding.changes.iter();
    changes.map(|change| (change.path.as_str(), &*change.before, &*change.after)).collect()
}

#[test]
fn a_good_host_leaves_nothing_to_be_desired() {
    assert_eq!(unhappy(&good()), []);
}

#[test]
fn an_empty_host_has_nothing_to_complain_about() {
    assert_eq!(unhappy(&FakeHost::default()), []);
    let plan = Plan { cpus: vec![0], ..Plan::default() };
    assert!(survey(&plan, &FakeHost::default()).iter().all(|found| found.state == State::Fine));
}

#[test]
fn names_are_words_and_stand_once() {
    let findings = survey(&plan(), &good());
    let names: BTreeSet<&str> = findings.iter().map(|finding| finding.name).collect();
    assert_eq!(names.len(), findings.len());
    assert!(names.iter().all(|name| name.bytes().all(|b| b == b'-' || b.is_ascii_lowercase())));
}

#[test]
fn what_is_not_fine_says_everything() {
    let mut host = bad();
    host.ring = Some("forbidden".to_owned());
    let findings = unhappy(&host);
    assert!(findings.len() >= 14, "{}", findings.len());
    for finding in findings {
        let Finding { name, is, should, why, cost, undo, .. } = &finding;
        for text in [is.as_str(), should, why, cost, undo] {
            assert!(!text.is_empty(), "{name}");
        }
        assert!(finding.changes.is_empty() != finding.by_hand.is_none(), "{name}");
    }
}

#[test]
fn the_reasons_against_a_ring_are_told_apart() {
    let mut host = good();
    host.ring = Some("io_uring is forbidden for this process (EPERM)".to_owned());
    let finding = only(&host);
    assert_eq!((finding.name, finding.state), ("io-uring", State::Required));
    assert!(finding.is.contains("EPERM"));
    assert!(finding.by_hand.unwrap().contains("tuning/seccomp.json"));

    let host = host.with("/proc/sys/kernel/io_uring_disabled", "2\n");
    let findings = unhappy(&host);
    assert_eq!(findings[1].name, "io-uring-sysctl");
    assert_eq!(changes(&findings[1]), [("/proc/sys/kernel/io_uring_disabled", "2", "0")]);
    assert!(findings[0].by_hand.as_deref().unwrap().contains("below"));

    let host = host
        .with("/proc/sys/kernel/io_uring_disabled", "1")
        .with("/proc/sys/kernel/io_uring_group", "990");
    assert!(unhappy(&host)[1].should.contains("990"));
    let allowed = FakeHost { ring: None, ..host };
    assert_eq!(unhappy(&allowed), []);
}

#[test]
fn limits_count_what_the_broker_may_open_and_lock() {
    let limits = |files: &str, locked: &str| {
        let lines = format!("Max open files {files} files\nMax locked memory {locked} bytes\n");
        good().with("/proc/self/limits", &lines)
    };
    assert_eq!(unhappy(&limits("1024 66560", "8388608 8388608")), []);
    let finding = only(&limits("20000 20000", "unlimited unlimited"));
    assert!(finding.by_hand.unwrap().contains("LimitNOFILE=66560"));
    let finding = only(&limits("1 unlimited", "65536 65536"));
    assert!(finding.by_hand.unwrap().contains("LimitMEMLOCK=8388608"));
    assert_eq!(unhappy(&limits("nonsense", "")), []);
}

#[test]
fn a_quota_should_pay_for_every_shard() {
    let quota = |text| good().with("/sys/fs/cgroup/cpu.max", text);
    for text in ["max 100000\n", "200000 100000\n", "400000 100000\n"] {
        assert_eq!(unhappy(&quota(text)), [], "{text}");
    }
    let finding = only(&quota("150000 100000\n"));
    assert_eq!((finding.name, finding.is.as_str()), ("cpu-quota", "1.5 cores for 2 shards"));
}

#[test]
fn frequencies_count_on_the_processors_of_shards_only() {
    let governor = |cpu| format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
    assert_eq!(unhappy(&good().with(&governor(2), "powersave\n")), []);
    let finding = only(&good().with(&governor(1), "schedutil\n"));
    assert_eq!(changes(&finding), [(governor(1).as_str(), "schedutil", "performance")]);
    assert!(finding.undo.contains("write schedutil to"));
}

#[test]
fn slow_clocks_are_replaced_if_there_is_a_better_one() {
    const DIRECTORY: &str = "/sys/devices/system/clocksource/clocksource0";
    let current = format!("{DIRECTORY}/current_clocksource");
    let slow = good().with(&current, "hpet\n");
    assert_eq!(changes(&only(&slow)), [(current.as_str(), "hpet", "tsc")]);
    let alone = slow.with(&format!("{DIRECTORY}/available_clocksource"), "hpet acpi_pm\n");
    assert!(only(&alone).by_hand.is_some());
    assert_eq!(unhappy(&good().with(&current, "kvm-clock\n")), []);
}

#[test]
fn nodes_count_when_shards_are_on_several() {
    let other = good().with("/sys/devices/system/node/node1/cpulist", "2-3\n");
    assert_eq!(unhappy(&other), []);
    let split = other
        .with("/sys/devices/system/node/node0/cpulist", "0\n")
        .with("/sys/devices/system/node/node1/cpulist", "1-3\n");
    let finding = only(&split);
    assert_eq!(finding.by_hand.as_deref(), Some("shards { cpus: \"0\" }"));
    assert!(finding.is.contains("node 1: processors 1-3"));
}

#[test]
fn queues_of_the_card_go_to_the_processors_of_shards() {
    let away = good()
        .with("/proc/irq/41/smp_affinity_list", "2-3\n")
        .with("/proc/irq/42/smp_affinity_list", "0-3\n");
    let finding = only(&away);
    assert_eq!(
        changes(&finding),
        [
            ("/proc/irq/41/smp_affinity_list", "2-3", "0"),
            ("/proc/irq/42/smp_affinity_list", "0-3", "1")
        ]
    );
    assert!(finding.cost.contains("irqbalance"));
}

#[test]
fn backlogs_are_raised_and_never_lowered() {
    let short = good().with("/proc/sys/net/core/somaxconn", "128\n");
    assert_eq!(changes(&only(&short)), [("/proc/sys/net/core/somaxconn", "128", "4096")]);
    assert_eq!(unhappy(&good().with("/proc/sys/net/core/somaxconn", "100000\n")), []);
}

#[test]
fn kernel_polling_is_turned_off() {
    let polling = good().with("/proc/sys/net/core/busy_read", "50\n");
    assert_eq!(changes(&only(&polling)), [("/proc/sys/net/core/busy_read", "50", "0")]);
}

#[test]
fn memory_is_not_compacted_or_swapped_behind_our_back() {
    let huge = good().with("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never");
    assert_eq!(only(&huge).changes[0].after, "madvise");
    let swap = good().with("/proc/swaps", "Filename Type\n/dev/zram0 partition\n");
    assert_eq!(changes(&only(&swap)), [("/proc/sys/vm/swappiness", "60", "1")]);
    assert_eq!(unhappy(&swap.with("/proc/sys/vm/swappiness", "10\n")), []);
}

#[test]
fn mounts_that_lose_or_delay_writes_are_named() {
    let mounted = |file_system: &str, options: &str| {
        let line = format!("22 1 8:17 / /data rw - {file_system} /dev/x {options}\n");
        good().with("/proc/self/mountinfo", &line)
    };
    for (file_system, options, state) in [
        ("tmpfs", "rw", State::Required),
        ("nfs4", "rw", State::Required),
        ("ext4", "rw,nobarrier", State::Required),
        ("ext4", "rw,barrier=0", State::Required),
        ("overlay", "rw", State::Advised),
        ("ext4", "rw,data=journal", State::Advised),
        ("xfs", "rw,sync", State::Advised),
        ("ext4", "rw,discard", State::Advised),
    ] {
        let finding = only(&mounted(file_system, options));
        assert_eq!((finding.name, finding.state), ("store-mount", state), "{options}");
    }
    assert_eq!(unhappy(&mounted("xfs", "rw,noquota")), []);
}

#[test]
fn a_cache_that_cannot_be_written_through_is_named() {
    let flushed = good().with("/sys/dev/block/8:17/../queue/fua", "0\n");
    let finding = only(&flushed);
    assert_eq!(finding.name, "store-write-cache");
    assert!(finding.changes.is_empty());
    let whole = good()
        .with("/sys/dev/block/8:17/queue/write_cache", "write through\n")
        .with("/sys/dev/block/8:17/queue/fua", "0\n");
    assert_eq!(unhappy(&whole), []);
    let plan = Plan { store_dir: None, ..plan() };
    assert!(survey(&plan, &flushed).iter().all(|finding| finding.state == State::Fine));
}

/// A host on which everything could be better.
fn bad() -> FakeHost {
    FakeHost::of(&[
        ("/proc/sys/kernel/io_uring_disabled", "2\n"),
        ("/proc/sys/kernel/io_uring_group", "-1\n"),
        (
            "/proc/self/limits",
            "Max open files 1024 4096 files\nMax locked memory 65536 65536 bytes\n",
        ),
        ("/proc/self/cgroup", "0::/\n"),
        ("/sys/fs/cgroup/cpu.max", "50000 100000\n"),
        ("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
        ("/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "ondemand\n"),
        ("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n"),
        ("/sys/devices/system/clocksource/clocksource0/available_clocksource", "hpet tsc \n"),
        ("/sys/devices/system/node/node0/cpulist", "0\n"),
        ("/sys/devices/system/node/node1/cpulist", "1\n"),
        ("/sys/class/net/eth0/device/../msi_irqs/41", "msix\n"),
        ("/proc/interrupts", " 41: 0 0 virtio3-rx\n"),
        ("/proc/irq/41/smp_affinity_list", "2-3\n"),
        ("/proc/sys/net/core/somaxconn", "128\n"),
        ("/proc/sys/net/ipv4/tcp_max_syn_backlog", "512\n"),
        ("/proc/sys/net/core/busy_poll", "50\n"),
        ("/proc/sys/net/core/busy_read", "50\n"),
        ("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
        ("/proc/sys/vm/swappiness", "60\n"),
        ("/proc/swaps", "Filename Type\n/dev/zram0 partition\n"),
        ("/proc/self/mountinfo", "22 1 8:17 / / rw - ext4 /dev/x rw,discard\n"),
        ("/sys/dev/block/8:17/queue/write_cache", "write back\n"),
        ("/sys/dev/block/8:17/queue/fua", "0\n"),
    ])
}

#[test]
fn what_was_applied_is_not_asked_for_again() {
    let mut host = bad();
    let found = unhappy(&host);
    apply(&found, RECORD, &mut host).unwrap();
    assert!(unhappy(&host).iter().all(|finding| finding.changes.is_empty()));
    revert(RECORD, &mut host).unwrap();
    assert_eq!(host, bad());
}

proptest! {
    /// Files of a good and of a bad host, mixed and muddled, some of them read-only.
    #[test]
    fn apply_and_revert_leave_the_host_as_it_was(
        picks in proptest::collection::vec((0_u8..6, any::<bool>()), 64),
        nonsense in "[0-9a-z, \n-]{0,12}",
    ) {
        let (good, bad) = (good(), bad());
        let paths: BTreeSet<&String> = good.files.keys().chain(bad.files.keys()).collect();
        let mut host = FakeHost::default();
        for (path, (pick, refused)) in paths.into_iter().zip(picks) {
            let text = match pick {
                0 => continue,
                1 => Some(&nonsense),
                2 | 3 => good.files.get(path),
                _ => bad.files.get(path),
            };
            let Some(text) = text else { continue };
            host.files.insert(path.clone(), text.clone());
            if refused && pick == 4 {
                host.refuse(path);
            }
        }
        let before = values(&host);
        let wanted = survey(&plan(), &host);
        let changes: usize = wanted.iter().map(|finding| finding.changes.len()).sum();
        let outcomes = apply(&wanted, RECORD, &mut host).unwrap();
        prop_assert_eq!(outcomes.len(), changes);
        if host.read(RECORD).is_some() {
            revert(RECORD, &mut host).unwrap();
        }
        prop_assert!(host.read(RECORD).is_none());
        prop_assert_eq!(before, values(&host));
    }
}

/// What each file says; numbers without leading zeros, which the kernel does not keep.
fn values(host: &FakeHost) -> BTreeMap<String, Option<String>> {
    let plain = |value: String| value.parse::<u64>().map_or(value, |number| number.to_string());
    host.files.keys().map(|path| (path.clone(), host.value(path).map(plain))).collect()
}
