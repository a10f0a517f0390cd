//! A store under test: an owner of streams that remembers everything it did, and a driver that
//! does what a shard does.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::faulty_disk::{FaultyDisk, Random};
use super::{
    Damage, Job, Message, Record, Replay, StorageKind, Store, StoreError, StoreOptions, Stores,
    StreamId, StreamStore,
};

/// What a stream is, as one value.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Dump {
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    /// Sequence, time, subject, headers, payload.
    pub(super) messages: Vec<Message>,
    pub(super) notes: Vec<u8>,
}

impl std::fmt::Debug for Dump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ends = (self.first_seq, self.last_seq);
        let seqs: Vec<u64> = self.messages.iter().map(|message| message.seq).collect();
        write!(f, "{ends:?} {seqs:?} {} notes", self.notes.len())
    }
}

/// The owner of streams.
#[derive(Debug, Default)]
pub(super) struct Owner {
    pub(super) streams: BTreeMap<StreamId, Owned>,
    pub(super) damage: Vec<Damage>,
    /// The store is damaged: what is told need not fit.
    pub(super) is_lenient: bool,
}

#[derive(Debug)]
pub(super) struct Owned {
    pub(super) store: Box<dyn StreamStore>,
    pub(super) notes: Vec<u8>,
    pub(super) head: Vec<u8>,
}

impl Replay for Owner {
    fn stream(
        &mut self,
        id: StreamId,
        head: &[u8],
        snapshot: Option<&[u8]>,
        store: Box<dyn StreamStore>,
    ) {
        let notes = snapshot.unwrap_or_default().to_vec();
        self.streams.insert(id, Owned { store, notes, head: head.to_vec() });
    }

    fn appended(&mut self, id: StreamId, seq: u64, record: &Record<'_>) {
        let is_lenient = self.is_lenient;
        let owned = self.streams.get_mut(&id).unwrap();
        if is_lenient {
            return;
        }
        let mut message = Message::default();
        assert_eq!(owned.store.read(seq, &mut message), Ok(true));
        assert_eq!(message.payload(), record.payload);
    }

    fn removed(&mut self, id: StreamId, seq: u64) {
        assert!(!self.streams[&id].store.contains(seq));
    }

    fn removed_below(&mut self, id: StreamId, seq: u64) {
        assert!(
            self.is_lenient || self.streams[&id].store.next_seq(0).is_none_or(|first| first >= seq)
        );
    }

    fn skipped(&mut self, id: StreamId, seq: u64) {
        assert!(self.streams[&id].store.extent().last_seq + 1 >= seq);
    }

    fn note(&mut self, id: StreamId, bytes: &[u8]) {
        self.streams.get_mut(&id).unwrap().notes.extend_from_slice(bytes);
    }

    fn deleted(&mut self, id: StreamId) {
        self.streams.remove(&id);
    }

    fn damaged(&mut self, damage: &Damage) {
        self.damage.push(damage.clone());
    }
}

impl Owner {
    /// Everything, as far as it can be read; unreadable messages are left out and counted.
    pub(super) fn dump(&mut self) -> (BTreeMap<StreamId, Dump>, usize) {
        let mut damaged = 0;
        let mut dumps = BTreeMap::new();
        for (id, owned) in &mut self.streams {
            let extent = owned.store.extent();
            let mut dump = Dump {
                first_seq: extent.first_seq,
                last_seq: extent.last_seq,
                messages: Vec::new(),
                notes: owned.notes.clone(),
            };
            let mut next = 0;
            while let Some(seq) = owned.store.next_seq(next) {
                let mut message = Message::default();
                match owned.store.read(seq, &mut message) {
                    Ok(is_there) => {
                        assert!(is_there);
                        dump.messages.push(message);
                    }
                    Err(_) => damaged += 1,
                }
                next = seq + 1;
            }
            dumps.insert(*id, dump);
        }
        (dumps, damaged)
    }
}

/// A store, its owner, and what they did.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) disk: Arc<FaultyDisk>,
    pub(super) store: Store,
    pub(super) owner: Owner,
    jobs: Vec<Job>,
    random: Random,
    /// What the streams were after each change, with the commit it is part of.
    pub(super) history: Vec<(u64, BTreeMap<StreamId, Dump>)>,
    /// The last of them, by itself.
    model: BTreeMap<StreamId, Dump>,
    time: u64,
    /// How often commits failed.
    pub(super) failures: usize,
    /// Nothing is done any more once the disk has failed.
    is_mortal: bool,
    /// Of payloads.
    pub(super) lengths: [usize; 4],
    /// What is staged counts as acknowledged.
    acknowledges_early: bool,
}

/// Small enough for everything to happen within a few hundred messages.
pub(super) fn small() -> StoreOptions {
    StoreOptions {
        seed: 5,
        journal_bytes_max: 96 << 10,
        checkpoint_bytes: 64 << 10,
        segment_bytes_max: 160 << 10,
        batch_bytes: 64 << 10,
        vault: None,
    }
}

impl Rig {
    pub(super) fn open(disk: FaultyDisk, seed: u64) -> Result<Self, StoreError> {
        Self::open_with(disk, seed, small())
    }

    pub(super) fn open_with(
        disk: FaultyDisk,
        seed: u64,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        let disk = Arc::new(disk);
        let mut owner = Owner::default();
        let store = Store::open(Arc::<FaultyDisk>::clone(&disk), options, &mut owner)?;
        let (model, _) = owner.dump();
        Ok(Self {
            disk,
            store,
            owner,
            jobs: Vec::new(),
            random: Random(seed | 1),
            history: vec![(0, model.clone())],
            time: model.values().flat_map(|dump| &dump.messages).map(|m| m.time).max().unwrap_or(0),
            model,
            failures: 0,
            is_mortal: false,
            lengths: [20, 200, 3000, 20_000],
            acknowledges_early: false,
        })
    }

    /// Does `count` random things, and now and then what a shard does after a turn; dies when the
    /// disk failed, if it is mortal.
    pub(super) fn work(&mut self, count: usize, is_mortal: bool) {
        self.is_mortal = is_mortal;
        for _ in 0..count {
            self.change();
            while self.random.below(3) > 0 {
                self.drive();
            }
            if self.is_dead() {
                return;
            }
        }
    }

    /// A stream of that head.
    pub(super) fn create(&mut self, head: &[u8]) -> StreamId {
        let (id, store) = self.store.create(StorageKind::File, head).unwrap();
        self.owner.streams.insert(id, Owned { store, notes: Vec::new(), head: head.to_vec() });
        self.model.insert(id, Dump::default());
        self.log(id);
        id
    }

    /// Stores a message in it.
    pub(super) fn append(&mut self, id: StreamId, payload: &[u8]) -> u64 {
        self.time += 1;
        let record = Record { time: self.time, subject: b"a.b", headers: b"", payload };
        let seq = self.owner.streams.get_mut(&id).unwrap().store.append(&record);
        let mut message = Message::default();
        message.set(seq, &record);
        let dump = self.model.get_mut(&id).unwrap();
        dump.messages.push(message);
        dump.last_seq = seq;
        dump.first_seq = dump.messages[0].seq;
        self.log(id);
        seq
    }

    /// Removes a message that is there.
    pub(super) fn remove(&mut self, id: StreamId, seq: u64, erase: bool) {
        assert!(self.owner.streams.get_mut(&id).unwrap().store.remove(seq, erase));
        let dump = self.model.get_mut(&id).unwrap();
        dump.messages.retain(|message| message.seq != seq);
        dump.first_seq = dump.messages.first().map_or(dump.last_seq + 1, |message| message.seq);
        self.log(id);
    }

    /// Acknowledges what is only staged: whoever checks it must notice.
    pub(super) fn acknowledge_early(&mut self) {
        self.acknowledges_early = true;
    }

    /// Dies with its disk, from now on.
    pub(super) fn be_mortal(&mut self) {
        self.is_mortal = true;
    }

    /// Works until nothing is left to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..200 {
            self.drive();
        }
    }

    /// A clean stop.
    pub(super) fn stop(&mut self) {
        for _ in 0..40 {
            if self.store.stop() {
                return;
            }
            self.settle();
            if self.is_dead() {
                return;
            }
            if !self.store.is_checkpointed() {
                self.store.checkpoint();
            }
        }
        panic!("the store does not come to rest: {:?}", self.store);
    }

    /// The changes that were acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        if self.acknowledges_early {
            return self.history.len() - 1;
        }
        let durable = self.store.durable().0;
        self.history.iter().rposition(|(commit, _)| *commit <= durable).unwrap()
    }

    /// Checks what a store came back with: a state from the acknowledged one on, between commits.
    pub(super) fn check(&self, found: &BTreeMap<StreamId, Dump>) {
        let from = self.acknowledged();
        let is_end = |at: usize| {
            let next = self.history.get(at + 1);
            next.is_none_or(|(commit, _)| *commit != self.history[at].0)
        };
        let candidates = (from..self.history.len()).filter(|at| is_end(*at));
        for at in candidates.clone() {
            if self.history[at].1 == *found {
                return;
            }
        }
        let expected = &self.history[from].1;
        for (id, dump) in expected {
            let other = found.get(id);
            assert!(other.is_some(), "stream {id:?} is gone");
            let other = other.unwrap();
            let seqs = |dump: &Dump| dump.messages.iter().map(|m| m.seq).collect::<Vec<_>>();
            assert_eq!(
                (dump.first_seq, dump.last_seq, seqs(dump), dump.notes.len()),
                (other.first_seq, other.last_seq, seqs(other), other.notes.len()),
                "stream {id:?}, {} candidates",
                candidates.count()
            );
        }
        panic!("streams that nobody made: {:?}", found.keys());
    }

    /// One thing that a shard does.
    pub(super) fn drive(&mut self) {
        if self.is_dead() {
            return;
        }
        match self.random.below(4) {
            0 => {
                if let Some(write) = self.store.take_write() {
                    let outcome = write.write();
                    self.store.handle_written(write, &outcome);
                }
            }
            1 => {
                self.store.resume();
                if self.jobs.len() < 3 {
                    self.jobs.extend(self.store.take_job());
                }
            }
            2 => {
                if !self.jobs.is_empty() {
                    let at = self.random.below(self.jobs.len());
                    let result = self.jobs.swap_remove(at).run(&*self.disk);
                    self.store.handle_job_done(result);
                }
            }
            _ => {
                if let Some(id) = self.store.snapshot_wanted() {
                    let notes = self.owner.streams[&id].notes.clone();
                    self.store.put_snapshot(id, &notes);
                }
            }
        }
        if !self.is_dead() {
            self.roll_back_if_failed();
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.is_mortal && self.disk.has_failed()
    }

    fn roll_back_if_failed(&mut self) {
        let Some(durable) = self.store.failure() else { return };
        let at = self.history.iter().rposition(|(commit, _)| *commit <= durable.0).unwrap();
        if self.store.rollback(&mut self.owner).is_err() {
            return;
        }
        self.failures += 1;
        self.history.truncate(at + 1);
        self.model = self.history[at].1.clone();
        let (found, damaged) = self.owner.dump();
        assert_eq!(damaged, 0);
        self.check(&found);
        assert_eq!(found, self.model);
    }

    fn change(&mut self) {
        let ids: Vec<StreamId> = self.owner.streams.keys().copied().collect();
        let what = self.random.below(100);
        if ids.len() < 2 || ids.len() < 4 && what == 99 {
            let head = format!("stream {}", self.random.next() % 1000);
            let (id, store) = self.store.create(StorageKind::File, head.as_bytes()).unwrap();
            let head = head.into_bytes();
            self.owner.streams.insert(id, Owned { store, notes: Vec::new(), head });
            self.model.insert(id, Dump::default());
            self.log(id);
            return;
        }
        let id = ids[self.random.below(ids.len())];
        if what == 98 {
            let owned = self.owner.streams.remove(&id).unwrap();
            let commit = self.store.delete(id, owned.store);
            self.model.remove(&id);
            self.history.push((commit.0, self.model.clone()));
            return;
        }
        self.change_stream(id, what);
        self.log(id);
    }

    fn change_stream(&mut self, id: StreamId, what: usize) {
        let store = &mut self.owner.streams.get_mut(&id).unwrap().store;
        let dump = self.model.get_mut(&id).unwrap();
        match what {
            0..70 => {
                for _ in 0..1 + self.random.below(3) {
                    self.time += self.random.next() % 50;
                    let subject = format!("s.{}", self.random.below(9));
                    let len = self.lengths[self.random.below(4)];
                    let payload = vec![self.random.next().to_le_bytes()[0]; len];
                    let record = Record {
                        time: self.time,
                        subject: subject.as_bytes(),
                        headers: b"NATS/1.0\r\nA: b\r\n\r\n",
                        payload: &payload,
                    };
                    let seq = store.append(&record);
                    let mut message = Message::default();
                    message.set(seq, &record);
                    dump.messages.push(message);
                    dump.last_seq = seq;
                }
            }
            70..80 if !dump.messages.is_empty() => {
                let at = self.random.below(dump.messages.len());
                let message = dump.messages.remove(at);
                assert!(store.remove(message.seq, message.seq.is_multiple_of(2)));
            }
            80..85 => {
                let seq = dump.last_seq + 1 + self.random.next() % 4;
                store.skip_to(seq);
                dump.last_seq = seq - 1;
                if dump.messages.is_empty() {
                    dump.first_seq = seq;
                }
                return;
            }
            85..89 if !dump.messages.is_empty() => {
                let at = self.random.below(dump.messages.len());
                let seq = dump.messages[at].seq + 1;
                store.remove_below(seq);
                dump.messages.retain(|message| message.seq >= seq);
            }
            _ => {
                let note = [self.random.next().to_le_bytes()[0]];
                let owned = self.owner.streams.get_mut(&id).unwrap();
                owned.notes.extend_from_slice(&note);
                owned.store.note(&note);
                dump.notes.extend_from_slice(&note);
                return;
            }
        }
        dump.first_seq = dump.messages.first().map_or(dump.last_seq + 1, |message| message.seq);
    }

    fn log(&mut self, id: StreamId) {
        let commit = self.owner.streams[&id].store.staged().0;
        self.history.push((commit, self.model.clone()));
    }
}
