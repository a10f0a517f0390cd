//! Goal: what is erased is on no disk any more, what is mostly dead gives its room back, and no
//! other message is touched, whenever the power goes. Method: payloads that can be looked for in
//! the bytes of all files; the disk is cut off at every operation.

use super::faulty_disk::{Cut, Fault, FaultyDisk};
use super::rig::Rig;
use super::{StoreOptions, StreamId};

fn options() -> StoreOptions {
    StoreOptions {
        seed: 5,
        journal_bytes_max: 64 << 10,
        checkpoint_bytes: 64 << 10,
        segment_bytes_max: 70 << 10,
        batch_bytes: 64 << 10,
        vault: None,
    }
}

fn open(disk: FaultyDisk) -> Option<Rig> {
    Rig::open_with(disk, 7, options()).ok()
}

/// A payload that names its message, and no other one.
fn payload(number: u64) -> Vec<u8> {
    format!("<secret-{number:06}>").repeat(60).into_bytes()
}

/// Files that hold the payload of a message.
fn holders(disk: &FaultyDisk, number: u64) -> Vec<String> {
    let wanted = format!("<secret-{number:06}>").into_bytes();
    let has = |path: &String| memchr::memmem::find(&disk.contents(path), &wanted).is_some();
    disk.paths().into_iter().filter(has).collect()
}

fn drive(rig: &mut Rig, times: usize) {
    (0..times).for_each(|_| rig.drive());
}

/// Messages in segments, in closed blocks and in the open one.
fn filled(rig: &mut Rig) -> StreamId {
    let id = rig.create(b"stream");
    for number in 1..=240 {
        rig.append(id, &payload(number));
        drive(rig, 3);
    }
    rig.settle();
    id
}

#[test]
fn what_is_erased_is_in_no_file_after_a_stop_and_in_no_journal_once_that_is_released() {
    let mut rig = open(FaultyDisk::default()).unwrap();
    let id = filled(&mut rig);
    let erased: Vec<u64> = (3..240).step_by(17).chain([238, 239, 240]).collect();
    for seq in &erased {
        rig.remove(id, *seq, true);
        drive(&mut rig, 2);
    }
    rig.stop();
    let disk = rig.disk.cut(Cut::Drop);
    for seq in &erased {
        let left: Vec<String> = holders(&disk, *seq);
        assert!(left.iter().all(|path| path.starts_with("journal")), "{seq}: {left:?}");
    }
    let kept = rig.history.last().unwrap().1[&id].messages.len();
    assert_eq!(kept, 240 - erased.len());
    // The next life writes enough for the journal's files to be released.
    let mut again = open(disk).unwrap();
    for number in 1000..1400 {
        again.append(id, &payload(number));
        drive(&mut again, 4);
    }
    again.settle();
    again.stop();
    let disk = again.disk.cut(Cut::Drop);
    for seq in &erased {
        assert_eq!(holders(&disk, *seq), Vec::<String>::new(), "{seq}");
    }
    assert_eq!(open(disk).unwrap().owner.dump(), (again.history.last().unwrap().1.clone(), 0));
}

#[test]
fn erasing_survives_a_power_cut_at_every_operation() {
    let mut first = open(FaultyDisk::default()).unwrap();
    let id = filled(&mut first);
    first.stop();
    let base = first.disk.cut(Cut::Drop);
    for cut_at in 1.. {
        let disk = base.copy();
        disk.fail_at(cut_at, Fault::Off);
        let Some(mut rig) = open(disk) else { continue };
        rig.be_mortal();
        for seq in [7, 8, 200, 240] {
            rig.remove(id, seq, true);
            drive(&mut rig, 12);
        }
        rig.append(id, b"more");
        rig.stop();
        for cut in [Cut::Drop, Cut::Keep, Cut::Random(cut_at)] {
            let mut again = open(rig.disk.cut(cut)).unwrap();
            let (found, damaged) = again.owner.dump();
            assert_eq!(damaged, 0, "cut at {cut_at}, {cut:?}");
            rig.check(&found);
            again.stop();
            let disk = again.disk.cut(Cut::Drop);
            for seq in [7, 8, 200, 240] {
                let is_there = found[&id].messages.iter().any(|message| message.seq == seq);
                let left = holders(&disk, seq);
                let in_stream = left.iter().any(|path| path.starts_with("streams"));
                // The older state is written anew when the stream changes next.
                let in_segment = left.iter().any(|path| path.ends_with("segment"));
                assert!(is_there || !in_segment, "{seq}, cut at {cut_at}, {cut:?}: {left:?}");
                assert!(!is_there || in_stream, "{seq} is gone");
            }
        }
        if !rig.is_dead() {
            break;
        }
    }
}

fn segment_bytes(disk: &FaultyDisk) -> usize {
    let segments = disk.paths().into_iter().filter(|path| path.ends_with("segment"));
    segments.map(|path| disk.contents(&path).len()).sum()
}

/// Removes nine of ten.
fn thin_out(rig: &mut Rig, id: StreamId, drives: usize) {
    for seq in (1..=240).filter(|seq| seq % 10 != 0) {
        rig.remove(id, seq, false);
        drive(rig, drives);
    }
}

#[test]
fn segments_that_are_mostly_dead_are_compacted() {
    let mut rig = open(FaultyDisk::default()).unwrap();
    let id = filled(&mut rig);
    rig.stop();
    let before = segment_bytes(&rig.disk.copy());
    let mut rig = open(rig.disk.cut(Cut::Drop)).unwrap();
    thin_out(&mut rig, id, 1);
    rig.store.checkpoint();
    rig.settle();
    rig.settle();
    rig.stop();
    // Names of removed files may come back after a power cut; the next start removes them again.
    let disk = rig.disk.copy();
    let after = segment_bytes(&disk);
    assert!(after * 2 < before, "{before} became {after}");
    let expected = (rig.history.last().unwrap().1.clone(), 0);
    assert_eq!(open(disk.copy()).unwrap().owner.dump(), expected);
    // Without states the segments alone have everything.
    for path in disk.paths().iter().filter(|path| !path.ends_with("segment")) {
        disk.set_contents(path, None);
    }
    let mut rebuilt = open(disk).unwrap();
    let (found, damaged) = rebuilt.owner.dump();
    assert_eq!(damaged, 0);
    let seqs = |dump: &super::rig::Dump| -> Vec<u64> {
        dump.messages.iter().map(|message| message.seq).collect()
    };
    let found = seqs(&found[&id]);
    let in_segments = seqs(&expected.0[&id]).into_iter().filter(|seq| *seq <= 200);
    assert!(in_segments.clone().count() > 10);
    assert!(in_segments.into_iter().all(|seq| found.contains(&seq)), "{found:?}");
}

#[test]
fn compaction_survives_a_power_cut_at_every_operation() {
    let mut first = open(FaultyDisk::default()).unwrap();
    let id = filled(&mut first);
    thin_out(&mut first, id, 0);
    first.drive();
    let base = first.disk.cut(Cut::Drop);
    let mut compacted = 0;
    for cut_at in 1.. {
        let disk = base.copy();
        disk.fail_at(cut_at, Fault::Off);
        let Some(mut rig) = open(disk) else { continue };
        rig.be_mortal();
        let ids: Vec<u64> = rig.history[0].1[&id].messages.iter().map(|m| m.seq).collect();
        for seq in ids.iter().filter(|seq| *seq % 10 != 0) {
            rig.remove(id, *seq, false);
        }
        rig.append(id, b"more");
        rig.stop();
        for cut in [Cut::Drop, Cut::Keep, Cut::Random(cut_at), Cut::Random(!cut_at)] {
            let disk = rig.disk.cut(cut);
            compacted += usize::from(segment_bytes(&disk) < 100 << 10);
            let mut again = open(disk).unwrap();
            let (found, damaged) = again.owner.dump();
            assert_eq!(damaged, 0, "cut at {cut_at}, {cut:?}");
            rig.check(&found);
        }
        if !rig.is_dead() {
            break;
        }
    }
    assert!(compacted > 4, "{compacted}");
}
