//! Goal: what was acknowledged is there after any power cut, and nothing else than what was
//! written in between. Method: the same random work, cut off at every operation of the disk, each
//! time with several fates of what was not durable.

use super::faulty_disk::{Cut, Fault, FaultyDisk};
use super::rig::{Owner, Rig};
use super::Damage;

const CHANGES: usize = 200;

/// Damage that a power cut may leave.
fn is_harmless(damage: &Damage) -> bool {
    matches!(
        damage,
        Damage::TornTail { .. }
            | Damage::State { problem: "damaged", .. }
            | Damage::FileShort { .. }
    )
}

fn reopen(disk: FaultyDisk, seed: u64) -> Rig {
    let rig = Rig::open(disk, seed).unwrap();
    assert!(rig.owner.damage.iter().all(is_harmless), "{:?}", rig.owner.damage);
    rig
}

#[test]
fn a_clean_stop_leaves_nothing_to_replay() {
    let mut rig = reopen(FaultyDisk::default(), 3);
    rig.work(CHANGES, false);
    rig.stop();
    let copy = rig.disk.cut(Cut::Drop);
    let mut again = reopen(copy, 4);
    assert_eq!(again.store.replayed, 0);
    let (found, damaged) = again.owner.dump();
    assert_eq!(damaged, 0);
    assert_eq!(found, rig.history.last().unwrap().1);
    assert_eq!(again.owner.damage, []);
    let heads = |owner: &Owner| -> Vec<Vec<u8>> {
        owner.streams.values().map(|owned| owned.head.clone()).collect()
    };
    assert_eq!(heads(&again.owner), heads(&rig.owner));
    again.work(CHANGES, false);
    again.stop();
}

#[test]
fn every_power_cut_keeps_what_was_acknowledged() {
    let mut full = reopen(FaultyDisk::default(), 9);
    full.work(CHANGES, false);
    let operations = full.disk.operations();
    assert!(operations > 250, "{operations}");
    for cut_at in 1..operations {
        let disk = FaultyDisk::default();
        disk.fail_at(cut_at, Fault::Off);
        // Making the first directories may fail, too.
        let Ok(mut rig) = Rig::open(disk, 9) else { continue };
        rig.work(CHANGES, true);
        let cuts = [Cut::Drop, Cut::Keep, Cut::Random(cut_at), Cut::Random(!cut_at)];
        for cut in cuts {
            let mut again = reopen(rig.disk.cut(cut), cut_at);
            let (found, damaged) = again.owner.dump();
            assert_eq!(damaged, 0, "cut at {cut_at}, {cut:?}");
            rig.check(&found);
            if cut_at % 7 == 0 {
                again.work(20, false);
                again.stop();
                let expected = again.history.last().unwrap().1.clone();
                let mut third = reopen(again.disk.cut(Cut::Drop), cut_at);
                assert_eq!(third.owner.dump(), (expected, 0));
            }
        }
    }
}

#[test]
fn a_failed_operation_acknowledges_nothing_that_is_not_durable() {
    for fault in [Fault::Eio, Fault::Short, Fault::Enospc] {
        for fail_at in 1.. {
            let disk = FaultyDisk::default();
            disk.fail_at(fail_at, fault);
            let Ok(mut rig) = Rig::open(disk, 9) else { continue };
            rig.work(CHANGES, false);
            let has_failed = rig.disk.has_failed();
            let cut = if fail_at % 2 == 0 { Cut::Drop } else { Cut::Random(fail_at) };
            let mut again = reopen(rig.disk.cut(cut), 1);
            let (found, damaged) = again.owner.dump();
            assert_eq!(damaged, 0, "{fault:?} at {fail_at}");
            rig.check(&found);
            // Without a restart it goes on as well.
            rig.disk.heal();
            rig.work(10, false);
            rig.stop();
            let expected = rig.history.last().unwrap().1.clone();
            let mut third = reopen(rig.disk.cut(Cut::Drop), 1);
            assert_eq!(third.owner.dump(), (expected, 0), "{fault:?} at {fail_at}");
            if !has_failed {
                break;
            }
        }
    }
}

/// Work that fails is not tried again and again, and when there is room again everything goes on.
#[test]
fn a_disk_without_room_for_streams_is_left_alone_and_heals() {
    let mut rig = reopen(FaultyDisk::default(), 9);
    let id = rig.create(b"stream");
    rig.settle();
    rig.disk.shut("streams/");
    rig.append(id, b"first");
    rig.settle();
    rig.store.checkpoint();
    while let Some(id) = rig.store.snapshot_wanted() {
        rig.store.put_snapshot(id, b"");
    }
    while let Some(job) = rig.store.take_job() {
        rig.store.handle_job_done(job.run(&*rig.disk));
    }
    // Whoever asks gets nothing until it is time.
    assert!(rig.store.is_held());
    assert!((0..50).all(|_| rig.store.take_job().is_none()));
    let behind = super::rig::small().checkpoint_bytes * 5;
    let mut written = 0;
    while written < behind && rig.failures == 0 {
        rig.append(id, &[7; 3000]);
        rig.settle();
        written += 3000;
    }
    assert!(rig.failures > 0, "commits wait for ever");
    assert!(rig.store.is_refusing());
    rig.disk.heal();
    rig.settle();
    assert!(!rig.store.is_refusing());
    let kept = rig.append(id, b"more");
    rig.settle();
    let staged = rig.owner.streams[&id].store.staged();
    assert!(staged <= rig.store.durable(), "message {kept} waits");
    rig.stop();
    let expected = rig.history.last().unwrap().1.clone();
    assert_eq!(reopen(rig.disk.cut(Cut::Drop), 1).owner.dump(), (expected, 0));
}

/// A rollback that fails half way is done as a whole by the next one.
#[test]
fn a_rollback_that_cannot_read_is_repeated() {
    let mut repeated = 0;
    for fail_at in 1..12 {
        let mut rig = reopen(FaultyDisk::default(), 9);
        let ids = [rig.create(b"one"), rig.create(b"two")];
        ids.iter().for_each(|id| assert_eq!(rig.append(*id, b"kept"), 1));
        rig.settle();
        ids.iter().for_each(|id| assert_eq!(rig.append(*id, b"lost"), 2));
        let write = rig.store.take_write().unwrap();
        rig.store.handle_written(write, &Err(std::io::ErrorKind::Other.into()));
        while rig.store.failure().is_none() {
            let work = (rig.store.take_job(), rig.store.take_write());
            if let Some(job) = work.0 {
                rig.store.handle_job_done(job.run(&*rig.disk));
            }
            if let Some(write) = work.1 {
                let outcome = write.write();
                rig.store.handle_written(write, &outcome);
            }
        }
        rig.disk.fail_at(rig.disk.operations() + fail_at, Fault::Eio);
        let is_read = rig.store.rollback(&mut rig.owner).is_ok();
        rig.disk.heal();
        if !is_read {
            repeated += 1;
            rig.store.rollback(&mut rig.owner).unwrap();
        }
        for id in ids {
            let stream = &mut rig.owner.streams.get_mut(&id).unwrap().store;
            assert_eq!(stream.extent().last_seq, 1, "read {fail_at}");
            let record = super::Record { time: 9, subject: b"a", headers: b"", payload: b"more" };
            stream.append(&record);
            assert!(stream.staged() > rig.store.durable(), "told before it is durable");
        }
    }
    assert!(repeated > 2, "{repeated}");
}

/// The life after a clean stop is cut off at every operation, its own clean stop included.
#[test]
fn a_mark_of_a_clean_stop_is_never_believed_wrongly() {
    let mut first = reopen(FaultyDisk::default(), 9);
    first.work(60, false);
    first.stop();
    let marked = first.disk.cut(Cut::Drop);
    let mut believed = 0;
    for cut_at in 1.. {
        let disk = marked.copy();
        disk.fail_at(cut_at, Fault::Off);
        let Ok(mut rig) = Rig::open(disk, cut_at) else { continue };
        assert_eq!(rig.store.replayed, 0);
        rig.work(30, true);
        rig.stop();
        let was_cut = rig.disk.has_failed();
        for cut in [Cut::Drop, Cut::Keep, Cut::Random(cut_at), Cut::Random(!cut_at)] {
            let mut again = reopen(rig.disk.cut(cut), cut_at);
            believed += usize::from(again.store.replayed == 0);
            let (found, damaged) = again.owner.dump();
            assert_eq!(damaged, 0, "cut at {cut_at}, {cut:?}");
            rig.check(&found);
        }
        if !was_cut {
            break;
        }
    }
    assert!(believed > 4, "{believed}");
}

/// Nothing is committed behind a mark, whoever asks.
#[test]
fn a_store_that_has_stopped_acknowledges_nothing() {
    let mut rig = reopen(FaultyDisk::default(), 3);
    rig.work(20, false);
    rig.stop();
    let durable = rig.store.durable();
    let before = rig.history.last().unwrap().1.clone();
    rig.work(20, false);
    rig.settle();
    assert_eq!(rig.store.durable(), durable);
    let mut again = reopen(rig.disk.cut(Cut::Keep), 4);
    assert_eq!(again.owner.dump(), (before, 0));
}

/// Whether a check fails.
fn is_noticed(check: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_err()
}

/// The tests themselves are tested: a store that acknowledges what is not durable must fail them.
#[test]
fn a_store_that_acknowledges_early_is_noticed() {
    let mut rig = reopen(FaultyDisk::default(), 9);
    rig.work(60, false);
    let id = rig.create(b"stream");
    rig.append(id, b"staged");
    let (found, _) = reopen(rig.disk.cut(Cut::Drop), 1).owner.dump();
    rig.check(&found);
    rig.acknowledge_early();
    assert!(is_noticed(|| rig.check(&found)));
}

/// And so must one whose commits are not written through.
#[test]
fn a_store_that_skips_the_durable_write_is_noticed() {
    let mut noticed = 0;
    for seed in 1..6 {
        let disk = FaultyDisk::default();
        disk.lie();
        let mut rig = Rig::open(disk, seed).unwrap();
        rig.work(60, false);
        let id = rig.create(b"stream");
        rig.append(id, b"lost");
        rig.settle();
        let (found, _) = Rig::open(rig.disk.cut(Cut::Drop), 1).unwrap().owner.dump();
        noticed += usize::from(is_noticed(|| rig.check(&found)));
    }
    // A checkpoint that came just then saves the rest.
    assert!(noticed >= 3, "{noticed}");
}
