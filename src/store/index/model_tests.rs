//! Goal: the index answers as a plain list of messages would. Method: random changes to both,
//! every question asked of both after each few of them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::store::{
    record_bytes, Extent, MemoryStore, Message, Record, StorageKind, StreamStore, SubjectState,
};
use crate::subject::matches;

#[derive(Clone, Debug)]
enum Change {
    Append { subject: usize, headers: usize, payload: usize, later: u64 },
    SkipTo(u64),
    Remove(u64),
    RemoveBelow(u64),
}

/// Messages by sequence.
#[derive(Debug, Default)]
pub(crate) struct Model {
    messages: BTreeMap<u64, Message>,
    first_seq: u64,
    last_seq: u64,
    last_time: u64,
}

impl Model {
    pub(crate) fn append(&mut self, record: &Record<'_>) -> u64 {
        self.last_seq += 1;
        let mut message = Message::default();
        message.set(self.last_seq, record);
        self.messages.insert(self.last_seq, message);
        self.last_time = record.time;
        self.settle();
        self.last_seq
    }

    pub(crate) fn skip_to(&mut self, seq: u64) {
        if seq > self.last_seq {
            self.last_seq = seq - 1;
            if self.messages.is_empty() {
                self.first_seq = seq;
            }
        }
    }

    pub(crate) fn remove(&mut self, seq: u64) -> bool {
        let was_there = self.messages.remove(&seq).is_some();
        if was_there {
            self.settle();
        }
        was_there
    }

    pub(crate) fn remove_below(&mut self, seq: u64) -> u64 {
        if seq <= self.first_seq {
            return 0;
        }
        let kept = self.messages.split_off(&seq);
        let removed = self.messages.len() as u64;
        self.messages = kept;
        if seq > self.last_seq {
            self.last_seq = seq - 1;
        }
        self.settle();
        removed
    }

    fn settle(&mut self) {
        self.first_seq = self.messages.keys().next().copied().unwrap_or(self.last_seq + 1);
    }

    fn extent(&self) -> Extent {
        let size = |message: &Message| {
            let record = message.record();
            record_bytes(
                StorageKind::Memory,
                record.subject.len(),
                record.headers.len(),
                record.payload.len(),
            )
        };
        Extent {
            first_seq: self.first_seq,
            last_seq: self.last_seq,
            messages: self.messages.len() as u64,
            bytes: self.messages.values().map(size).sum(),
            first_time: self.messages.values().next().map_or(0, |message| message.time),
            last_time: self.last_time,
        }
    }

    fn matching(&self, filters: &[Box<[u8]>]) -> Vec<u64> {
        let is_match = |message: &&Message| {
            filters.is_empty() || filters.iter().any(|filter| matches(filter, message.subject()))
        };
        self.messages.values().filter(is_match).map(|message| message.seq).collect()
    }

    fn subjects(&self, filters: &[Box<[u8]>]) -> BTreeMap<Vec<u8>, SubjectState> {
        let mut subjects = BTreeMap::new();
        for seq in self.matching(filters) {
            let subject = self.messages[&seq].subject().to_vec();
            let state =
                subjects.entry(subject).or_insert(SubjectState { first: seq, last: seq, count: 0 });
            state.last = seq;
            state.count += 1;
        }
        subjects
    }

    fn gaps(&self) -> Vec<(u64, u64)> {
        let seqs: Vec<u64> = self.messages.keys().copied().collect();
        let gaps = seqs.windows(2).filter(|pair| pair[1] > pair[0] + 1);
        gaps.map(|pair| (pair[0] + 1, pair[1] - 1)).collect()
    }
}

const FILTERS: &[&[&str]] = &[
    &[],
    &[">"],
    &["a.1"],
    &["a.*"],
    &["*.1", "*.2"],
    &["b.3", "a.0"],
    &["c.>"],
    &["none"],
    &["a.1", "b.>"],
];

/// Asks `store` everything, and compares with what `model` says.
pub(crate) fn compare(store: &mut dyn StreamStore, model: &Model) {
    let mut expected = model.extent();
    if store.kind() == StorageKind::File {
        expected.bytes = store.extent().bytes;
    }
    assert_eq!(store.extent(), expected);
    let end = model.last_seq + 3;
    let mut message = Message::default();
    let near = |seq: u64| seq < 40 || seq + 40 > end || seq.is_multiple_of(17);
    for seq in (0..end).filter(|seq| near(*seq)) {
        let there = model.messages.get(&seq);
        assert_eq!(store.contains(seq), there.is_some(), "{seq}");
        assert_eq!(store.read(seq, &mut message), Ok(there.is_some()));
        if let Some(there) = there {
            assert_eq!(&message, there);
        }
        let next = model.messages.range(seq..).next().map(|(seq, _)| *seq);
        assert_eq!(store.next_seq(seq), next);
    }
    for time in (0..model.last_time + 20).step_by(step(end, 40)) {
        let first = model.messages.values().find(|message| message.time >= time);
        let seq = first.map_or(model.last_seq + 1, |message| message.seq);
        assert_eq!(store.seq_at_time(time), seq, "time {time}");
    }
    let mut gaps = Vec::new();
    store.for_each_gap(&mut |first, last| {
        gaps.push((first, last));
        true
    });
    assert_eq!(gaps, model.gaps());
    assert_eq!(store.subject_count(), model.subjects(&[]).len() as u64);
    for filters in FILTERS {
        let filters: Vec<Box<[u8]>> = filters.iter().map(|text| text.as_bytes().into()).collect();
        compare_filters(store, model, &filters, end);
    }
}

fn compare_filters(store: &mut dyn StreamStore, model: &Model, filters: &[Box<[u8]>], end: u64) {
    let matching = model.matching(filters);
    for seq in (0..end).step_by(step(end, 30)).chain([model.first_seq, end]) {
        let at = matching.partition_point(|matching| *matching < seq);
        assert_eq!(store.first_matching(filters, seq), matching.get(at).copied(), "from {seq}");
        let count = (matching.len() - at) as u64;
        assert_eq!(store.count_matching(filters, seq), count, "{filters:?} from {seq}");
        let up_to = matching.partition_point(|matching| *matching <= seq);
        let last = matching[..up_to].last().copied();
        assert_eq!(store.last_matching(filters, seq), last, "{filters:?} up to {seq}");
    }
    let mut subjects = Vec::new();
    store.for_each_subject(filters, &mut |name, state| {
        subjects.push((name.to_vec(), state));
        true
    });
    let expected = model.subjects(filters);
    assert_eq!(subjects, expected.clone().into_iter().collect::<Vec<_>>());
    for (name, state) in expected {
        assert_eq!(store.subject(&name), Some(state));
    }
}

fn step(end: u64, steps: usize) -> usize {
    1 + usize::try_from(end).unwrap() / steps
}

pub(crate) fn subject(number: usize) -> String {
    format!("{}.{}", ["a", "b", "c.x"][number % 3], number / 3)
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        12 => (0..15_usize, prop_oneof![Just(0_usize), 0..80_usize], 0..6000_usize, 0..5_u64)
            .prop_map(|(subject, headers, payload, later)| {
                Change::Append { subject, headers, payload, later }
            }),
        1 => prop_oneof![0..30_u64, 0..70_000_u64].prop_map(Change::SkipTo),
        5 => any::<u64>().prop_map(Change::Remove),
        1 => any::<u64>().prop_map(Change::RemoveBelow),
    ]
}

fn apply(store: &mut dyn StreamStore, model: &mut Model, change: &Change) {
    let first = model.first_seq;
    let end = model.last_seq + 2;
    match *change {
        Change::Append { subject: number, headers, payload, later } => {
            let time = model.last_time + later;
            let subject = subject(number);
            let headers = vec![b'h'; headers];
            let payload = vec![b'p'; payload];
            let subject = subject.as_bytes();
            let record = Record { time, subject, headers: &headers, payload: &payload };
            assert_eq!(store.append(&record), model.append(&record));
        }
        Change::SkipTo(ahead) => {
            store.skip_to(end - 1 + ahead);
            model.skip_to(end - 1 + ahead);
        }
        Change::Remove(at) => {
            let seq = first + at % (end - first).max(1);
            assert_eq!(store.remove(seq, false), model.remove(seq));
        }
        Change::RemoveBelow(at) => {
            let seq = first + at % ((end - first).max(8) / 3);
            assert_eq!(store.remove_below(seq), model.remove_below(seq));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_stream_in_memory_is_a_list_of_messages(changes in prop::collection::vec(change(), 1..600)) {
        let mut store = MemoryStore::new(7);
        let mut model = Model::default();
        for (at, change) in changes.iter().enumerate() {
            apply(&mut store, &mut model, change);
            if at % 100 == 99 || at < 3 {
                compare(&mut store, &model);
            }
        }
        compare(&mut store, &model);
        let end = model.last_seq + 5;
        assert_eq!(store.remove_below(end), model.remove_below(end));
        compare(&mut store, &model);
    }
}
