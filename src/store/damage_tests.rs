//! Goal: a damaged store always starts, says what is damaged, delivers no wrong byte, loses no
//! stream and nothing but what is damaged. Method: a small store is damaged in one place, in every
//! place, and opened; what it has is compared with what was written.

use std::collections::BTreeMap;

use super::faulty_disk::FaultyDisk;
use super::rig::{Dump, Owner, Rig};
use super::{check, Damage, Store, StoreOptions, StreamId};

fn tiny() -> StoreOptions {
    StoreOptions {
        seed: 5,
        journal_bytes_max: 16 << 10,
        checkpoint_bytes: 24 << 10,
        segment_bytes_max: 24 << 10,
        batch_bytes: 1 << 10,
        vault: None,
    }
}

struct Truth {
    disk: FaultyDisk,
    streams: BTreeMap<StreamId, Dump>,
    /// The same before the last commit, which may be taken for unfinished.
    before_last: BTreeMap<StreamId, Dump>,
}

/// A store that was stopped, or killed.
fn truth(seed: u64, is_stopped: bool) -> Truth {
    let mut rig = Rig::open_with(FaultyDisk::default(), seed, tiny()).unwrap();
    rig.lengths = [10, 30, 300, 1200];
    rig.work(90, false);
    if is_stopped {
        rig.stop();
    } else {
        rig.settle();
    }
    let streams = rig.history.last().unwrap().1.clone();
    let last = rig.history.last().unwrap().0;
    let before = rig.history.iter().rev().find(|(commit, _)| *commit < last).unwrap();
    Truth { disk: rig.disk.copy(), streams, before_last: before.1.clone() }
}

/// What a damaged store came back with.
struct Outcome {
    lost: usize,
    damage: Vec<Damage>,
}

fn open(truth: &Truth, disk: FaultyDisk, what: &str) -> Outcome {
    let mut owner = Owner { is_lenient: true, ..Owner::default() };
    let store = Store::open(std::sync::Arc::new(disk), tiny(), &mut owner);
    assert!(store.is_ok(), "{what}: does not start");
    let (found, unreadable) = owner.dump();
    let mut lost = 0;
    let mut has_changed = false;
    for (id, expected) in &truth.streams {
        let Some(found) = found.get(id) else {
            // The last commit may have made it.
            assert!(!truth.before_last.contains_key(id), "{what}: stream {id:?} is gone");
            continue;
        };
        let known: BTreeMap<u64, _> = expected.messages.iter().map(|m| (m.seq, m)).collect();
        for message in &found.messages {
            match known.get(&message.seq) {
                Some(known) => assert_eq!(*known, message, "{what}: wrong bytes"),
                // It was removed, and is back.
                None => has_changed = true,
            }
        }
        let seqs: Vec<u64> = found.messages.iter().map(|message| message.seq).collect();
        lost += known.keys().filter(|seq| seqs.binary_search(seq).is_err()).count();
        has_changed |= found != expected;
    }
    if has_changed {
        let is_named = !owner.damage.is_empty() || unreadable > 0;
        assert!(is_named, "{what}: nothing is said about it");
    }
    Outcome { lost, damage: owner.damage }
}

fn damaged_copy(truth: &Truth, path: &str, damage: impl FnOnce(&mut Vec<u8>)) -> FaultyDisk {
    let disk = truth.disk.copy();
    let mut bytes = disk.contents(path);
    damage(&mut bytes);
    disk.set_contents(path, Some(bytes));
    disk
}

#[test]
fn a_flipped_bit_anywhere_costs_what_it_hits_and_no_more() {
    for is_stopped in [true, false] {
        let truth = truth(21, is_stopped);
        let mut opened = 0;
        for path in truth.disk.paths() {
            let bytes = truth.disk.contents(&path);
            for at in 0..bytes.len() {
                if !is_stopped && !path.starts_with("journal") {
                    continue;
                }
                // Zeros between commits: one in a page.
                if bytes[at] == 0 && path.starts_with("journal") && at % 509 != 0 {
                    continue;
                }
                let disk = damaged_copy(&truth, &path, |bytes| bytes[at] ^= 1 << (at % 8));
                let what = format!("{path} byte {at}, stopped {is_stopped}");
                let outcome = open(&truth, disk, &what);
                // A commit that cannot be told from an unfinished one holds a few messages.
                let lost_max = if path.starts_with("journal") && !is_stopped { 12 } else { 1 };
                assert!(outcome.lost <= lost_max, "{what}: {} lost", outcome.lost);
                opened += 1;
            }
        }
        assert!(opened > 3000, "{opened}");
    }
}

#[test]
fn every_length_of_every_file_is_survived() {
    let truth = truth(21, true);
    for path in truth.disk.paths() {
        let size = truth.disk.contents(&path).len();
        for len in (0..size).filter(|len| len % 7 == 0 || len % 512 < 2) {
            let disk = damaged_copy(&truth, &path, |bytes| bytes.truncate(len));
            open(&truth, disk, &format!("{path} cut to {len}"));
        }
    }
}

#[test]
fn blocks_that_are_zeroed_swapped_or_old_are_survived() {
    let old = truth(22, false);
    for is_stopped in [true, false] {
        let truth = truth(21, is_stopped);
        for path in truth.disk.paths() {
            let size = truth.disk.contents(&path).len();
            let other = old.disk.contents(&path);
            for at in (0..size).step_by(512) {
                let end = (at + 512).min(size);
                let zeroed = damaged_copy(&truth, &path, |bytes| bytes[at..end].fill(0));
                open(&truth, zeroed, &format!("{path} zeros at {at}"));
                if end + 512 <= size {
                    let swapped = damaged_copy(&truth, &path, |bytes| {
                        let (first, second) = bytes[at..].split_at_mut(512);
                        first.swap_with_slice(&mut second[..512]);
                    });
                    open(&truth, swapped, &format!("{path} swapped at {at}"));
                }
                if let Some(part) = other.get(at..end) {
                    let foreign =
                        damaged_copy(&truth, &path, |bytes| bytes[at..end].copy_from_slice(part));
                    open(&truth, foreign, &format!("{path} foreign at {at}"));
                }
            }
        }
    }
}

#[test]
fn missing_state_and_index_files_lose_no_message() {
    let truth = truth(21, true);
    let paths = truth.disk.paths();
    let is_derived = |path: &&String| path.contains("state-") || path.contains(".index");
    for path in paths.iter().filter(is_derived) {
        let disk = truth.disk.copy();
        disk.set_contents(path, None);
        let outcome = open(&truth, disk, path);
        assert_eq!(outcome.lost, 0, "{path}: {:?}", outcome.damage);
    }
    for (first, second) in paths.iter().zip(paths.iter().skip(1)) {
        let disk = truth.disk.copy();
        disk.set_contents(first, Some(truth.disk.contents(second)));
        disk.set_contents(second, Some(truth.disk.contents(first)));
        open(&truth, disk, &format!("{first} and {second} swapped"));
    }
}

/// The tests themselves are tested: a byte that no checksum finds must fail them.
#[test]
fn a_wrong_byte_that_is_delivered_is_noticed() {
    let mut truth = truth(21, true);
    open(&truth, truth.disk.copy(), "as it is");
    let message = truth.streams.values_mut().find_map(|dump| dump.messages.first_mut()).unwrap();
    let (seq, mut payload) = (message.seq, message.payload().to_vec());
    payload[0] ^= 1;
    let record = message.clone();
    message.set(seq, &super::Record { payload: &payload, ..record.record() });
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        open(&truth, truth.disk.copy(), "with another byte");
    }));
    assert!(outcome.is_err());
}

/// What the check of `disk` says.
fn checked(disk: FaultyDisk) -> Vec<Damage> {
    let report = check(std::sync::Arc::new(disk), tiny()).unwrap();
    let damage: Vec<Damage> = report.all_damage().cloned().collect();
    assert_eq!(report.is_intact(), damage.is_empty());
    damage
}

#[test]
fn a_check_finds_nothing_in_a_store_that_is_whole() {
    for is_stopped in [true, false] {
        let truth = truth(21, is_stopped);
        let report = check(std::sync::Arc::new(truth.disk.copy()), tiny()).unwrap();
        assert!(report.is_intact(), "{report:?}");
        let messages: usize = truth.streams.values().map(|stream| stream.messages.len()).sum();
        let found: u64 = report.streams.iter().map(|stream| stream.messages).sum();
        assert_eq!(found, messages as u64);
    }
}

#[test]
fn a_check_names_every_bit_that_flipped_in_what_is_counted_on() {
    let truth = truth(21, true);
    for path in truth.disk.paths() {
        let bytes = truth.disk.contents(&path);
        // Each file in some hundred places, which are others in each file.
        let step = bytes.len() / 80 + 1;
        for at in (step / 3..bytes.len()).step_by(step) {
            let disk = damaged_copy(&truth, &path, |bytes| bytes[at] ^= 1 << (at % 8));
            let paths = disk.paths();
            let contents = disk.contents(&path);
            let what = format!("{path} byte {at}");
            let damage = checked(disk.copy());
            assert_eq!(disk.paths(), paths, "{what}: files have changed");
            assert_eq!(disk.contents(&path), contents, "{what}: bytes have changed");
            let is_named = damage.iter().any(|damage| damage.to_string().contains(&path));
            let is_stream = path.starts_with("streams/");
            // A state keeps bytes of a longer one behind its end.
            let is_behind = path.contains("state-") && at >= state_len(&bytes);
            assert!(is_named || !is_stream || is_behind, "{what}: {damage:?}");
            let outcome = open(&truth, disk, &what);
            assert!(outcome.lost == 0 || !damage.is_empty(), "{what}");
        }
    }
}

/// Bytes of a state that count, its checksum included.
fn state_len(bytes: &[u8]) -> usize {
    usize::try_from(u64::from_le_bytes(bytes[12..20].try_into().unwrap())).unwrap() + 4
}
