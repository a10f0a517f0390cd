//! Goal: without the key nothing is read, with it everything is, and no file has a word of a stream
//! in plain text. Method: what the other tests do with a store, with one that is encrypted.

use std::sync::Arc;

use super::faulty_disk::{Cut, Fault, FaultyDisk};
use super::rig::Rig;
use super::{Cipher, KeyError, StoreKey, StoreOptions, Vault};

fn key(key: &str, previous: Option<&str>) -> StoreKey {
    StoreKey {
        cipher: Cipher::default(),
        key: key.to_owned(),
        previous: previous.map(str::to_owned),
    }
}

fn options(vault: &Arc<Vault>) -> StoreOptions {
    StoreOptions { vault: Some(Arc::clone(vault)), ..super::rig::small() }
}

fn vault(disk: &FaultyDisk, cipher: Cipher) -> Arc<Vault> {
    let key = StoreKey { cipher, ..key("first", None) };
    Vault::open(disk, Some(&key)).unwrap().unwrap()
}

/// Files with any of these words in them.
fn holders(disk: &FaultyDisk, words: &[&[u8]]) -> Vec<String> {
    let has = |path: &String| {
        let bytes = disk.contents(path);
        words.iter().any(|word| memchr::memmem::find(&bytes, word).is_some())
    };
    disk.paths().into_iter().filter(has).collect()
}

#[test]
fn an_encrypted_store_comes_back_and_no_file_has_plain_text() {
    for cipher in [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm] {
        let disk = FaultyDisk::default();
        let vault = vault(&disk, cipher);
        let mut rig = Rig::open_with(disk, 9, options(&vault)).unwrap();
        let id = rig.create(b"name-of-the-stream");
        for number in 0..300 {
            rig.append(id, format!("secret-payload-{number:03}").repeat(40).as_bytes());
            rig.drive();
        }
        let words: [&[u8]; 3] = [b"secret-payload", b"name-of-the", b"NATS/1.0"];
        rig.work(100, false);
        rig.settle();
        // As after a kill, and as after a stop.
        let killed = rig.disk.cut(Cut::Drop);
        rig.stop();
        let stopped = rig.disk.cut(Cut::Drop);
        for disk in [killed, stopped] {
            assert_eq!(holders(&disk, &words), Vec::<String>::new());
            let again = Vault::open(&disk, Some(&key("first", None))).unwrap().unwrap();
            let report = super::check(Arc::new(disk.copy()), options(&again)).unwrap();
            assert!(report.is_intact(), "{report:?}");
            let mut again = Rig::open_with(disk, 9, options(&again)).unwrap();
            assert_eq!(again.owner.damage, []);
            let (found, damaged) = again.owner.dump();
            assert_eq!(damaged, 0);
            rig.check(&found);
            again.work(20, false);
            again.stop();
        }
    }
}

#[test]
fn only_the_right_key_opens_a_store_and_a_new_one_replaces_it() {
    let disk = FaultyDisk::default();
    let made = vault(&disk, Cipher::Aes256Gcm);
    let mut rig = Rig::open_with(disk, 9, options(&made)).unwrap();
    rig.work(40, false);
    rig.stop();
    let expected = rig.history.last().unwrap().1.clone();
    let disk = rig.disk.cut(Cut::Drop);
    let open = |disk: &FaultyDisk, key: Option<&StoreKey>| Vault::open(disk, key);
    assert_eq!(open(&disk, None).unwrap_err(), KeyError::Missing);
    assert_eq!(open(&disk, Some(&key("other", None))).unwrap_err(), KeyError::Wrong);
    assert_eq!(open(&disk, Some(&key("other", Some("wrong")))).unwrap_err(), KeyError::Wrong);
    // The power goes at every operation of the change; one of the two keys always fits.
    for cut_at in 1.. {
        let copy = disk.copy();
        copy.fail_at(cut_at, Fault::Off);
        let changed = open(&copy, Some(&key("second", Some("first")))).is_ok();
        for cut in [Cut::Drop, Cut::Keep, Cut::Random(cut_at)] {
            let after = copy.cut(cut);
            let vault = open(&after, Some(&key("second", Some("first")))).unwrap().unwrap();
            assert_eq!(open(&after, Some(&key("first", None))).unwrap_err(), KeyError::Wrong);
            let mut again = Rig::open_with(after, 9, options(&vault)).unwrap();
            assert_eq!(again.owner.dump(), (expected.clone(), 0));
        }
        if changed {
            break;
        }
    }
}

#[test]
fn a_store_that_was_made_without_a_key_is_not_opened_with_one() {
    let mut rig = Rig::open_with(FaultyDisk::default(), 9, super::rig::small()).unwrap();
    rig.work(10, false);
    rig.stop();
    let disk = rig.disk.copy();
    assert_eq!(Vault::open(&disk, Some(&key("k", None))).unwrap_err(), KeyError::NotSealed);
    assert!(Vault::open(&disk, None).unwrap().is_none());
    assert!(!disk.paths().iter().any(|path| path.starts_with("key")));
}

#[test]
fn one_damaged_key_file_is_no_loss() {
    let disk = FaultyDisk::default();
    vault(&disk, Cipher::default());
    for path in ["key-0", "key-1"] {
        let copy = disk.copy();
        let mut bytes = copy.contents(path);
        bytes[60] ^= 1;
        copy.set_contents(path, Some(bytes));
        copy.set_contents("journal/x", Some(Vec::new()));
        assert!(Vault::open(&copy, Some(&key("first", None))).unwrap().is_some());
        assert_eq!(copy.contents("key-0"), copy.contents("key-1"));
    }
}

#[test]
fn every_power_cut_keeps_what_was_acknowledged_in_an_encrypted_store() {
    let base = FaultyDisk::default();
    let vault = vault(&base, Cipher::default());
    for cut_at in (1..).step_by(3) {
        let disk = base.copy();
        disk.fail_at(cut_at, Fault::Off);
        let Ok(mut rig) = Rig::open_with(disk, 9, options(&vault)) else { continue };
        rig.work(150, true);
        for cut in [Cut::Drop, Cut::Keep, Cut::Random(cut_at)] {
            let mut again = Rig::open_with(rig.disk.cut(cut), 9, options(&vault)).unwrap();
            let (found, damaged) = again.owner.dump();
            assert_eq!(damaged, 0, "cut at {cut_at}, {cut:?}");
            rig.check(&found);
        }
        if !rig.is_dead() {
            break;
        }
    }
}

#[test]
fn what_is_erased_in_an_encrypted_store_is_in_no_segment_any_more() {
    let disk = FaultyDisk::default();
    let vault = vault(&disk, Cipher::default());
    let mut rig = Rig::open_with(disk, 9, options(&vault)).unwrap();
    let id = rig.create(b"stream");
    for number in 0..200 {
        rig.append(id, format!("payload {number}").repeat(100).as_bytes());
        rig.drive();
    }
    rig.settle();
    let segments = |disk: &FaultyDisk| -> Vec<Vec<u8>> {
        let is_segment = |path: &String| path.ends_with("00000001.segment");
        disk.paths().into_iter().filter(is_segment).map(|path| disk.contents(&path)).collect()
    };
    let before = segments(&rig.disk.copy());
    assert_eq!(before.len(), 1);
    rig.remove(id, 3, true);
    rig.settle();
    rig.stop();
    // The segment that had it is gone, and its messages are elsewhere.
    assert_eq!(segments(&rig.disk.copy()), Vec::<Vec<u8>>::new());
    let mut again = Rig::open_with(rig.disk.copy(), 9, options(&vault)).unwrap();
    assert_eq!(again.owner.dump(), (rig.history.last().unwrap().1.clone(), 0));
}

#[test]
fn a_changed_byte_is_never_delivered() {
    let disk = FaultyDisk::default();
    let vault = vault(&disk, Cipher::default());
    let mut rig = Rig::open_with(disk, 21, options(&vault)).unwrap();
    rig.lengths = [10, 30, 300, 1200];
    rig.work(90, false);
    rig.stop();
    let expected = rig.history.last().unwrap().1.clone();
    let disk = rig.disk.copy();
    for path in disk.paths().iter().filter(|path| !path.starts_with("key")) {
        let size = disk.contents(path).len();
        let step = size / 25 + 1;
        for at in (step / 2..size).step_by(step) {
            let damaged = disk.copy();
            let mut bytes = damaged.contents(path);
            bytes[at] ^= 16;
            damaged.set_contents(path, Some(bytes));
            let mut owner = super::rig::Owner { is_lenient: true, ..Default::default() };
            let store = super::Store::open(Arc::new(damaged), options(&vault), &mut owner);
            assert!(store.is_ok(), "{path} byte {at}");
            let (found, _) = owner.dump();
            for (id, dump) in &found {
                let known = &expected[id].messages;
                for message in &dump.messages {
                    let same = known.iter().find(|known| known.seq == message.seq);
                    assert!(same.is_none_or(|same| same == message), "{path} byte {at}");
                }
            }
            assert_eq!(found.len(), expected.len(), "{path} byte {at}: a stream is gone");
        }
    }
}
