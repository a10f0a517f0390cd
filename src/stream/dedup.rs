//! Message ids that were published within a stream's duplicate window.
//!
//! Kept as keyed 128-bit hashes, 48 bytes each; at most [`ENTRIES_MAX`], beyond which the oldest is
//! forgotten early.

use std::collections::VecDeque;

use hashbrown::HashTable;

/// The ids of one stream.
#[derive(Debug, Default)]
pub(super) struct Dedup {
    /// Nanoseconds; 0 for none.
    window: u64,
    key: u64,
    known: HashTable<(u128, u64)>,
    /// In order of time.
    order: VecDeque<(u64, u128)>,
}

impl Dedup {
    /// Ids of the last `window` nanoseconds; `key` differs from stream to stream and stays.
    pub(super) fn new(window: u64, key: u64) -> Self {
        Self { window, key, ..Self::default() }
    }

    /// Changes the window.
    pub(super) fn set_window(&mut self, window: u64) {
        self.window = window;
    }

    /// The sequence that was stored with `id`, if that is remembered.
    pub(super) fn find(&mut self, id: &[u8], now: u64) -> Option<u64> {
        if self.window == 0 {
            return None;
        }
        self.expire(now);
        let hash = hash(id, self.key);
        self.known.find(short(hash), |(known, _)| *known == hash).map(|(_, seq)| *seq)
    }

    /// Remembers `id`.
    pub(super) fn insert(&mut self, id: &[u8], seq: u64, time: u64) {
        if self.window != 0 {
            self.insert_hash(hash(id, self.key), seq, time);
        }
    }

    fn insert_hash(&mut self, hash: u128, seq: u64, time: u64) {
        if self.order.len() >= ENTRIES_MAX {
            self.forget_oldest();
        }
        if let Ok(mut entry) = self.known.find_entry(short(hash), |(known, _)| *known == hash) {
            entry.get_mut().1 = seq;
            return;
        }
        self.known.insert_unique(short(hash), (hash, seq), |(known, _)| short(*known));
        self.order.push_back((time, hash));
    }

    /// Forgets what is older than the window.
    pub(super) fn expire(&mut self, now: u64) {
        while self.order.front().is_some_and(|(time, _)| time.saturating_add(self.window) <= now) {
            self.forget_oldest();
        }
    }

    /// When there is something to forget.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.order.front().map(|(time, _)| time.saturating_add(self.window))
    }

    /// Ids remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Appends everything, for [`restore`](Self::restore).
    pub(super) fn snapshot(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.order.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        for (time, hash) in &self.order {
            let seq = self.known.find(short(*hash), |(known, _)| known == hash);
            out.extend_from_slice(&time.to_le_bytes());
            out.extend_from_slice(&hash.to_le_bytes());
            out.extend_from_slice(&seq.map_or(0, |(_, seq)| *seq).to_le_bytes());
        }
    }

    /// Takes back what [`snapshot`](Self::snapshot) wrote, from the front of `bytes`.
    pub(super) fn restore(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let count = u32::from_le_bytes(take(bytes)?);
        for _ in 0..count {
            let time = u64::from_le_bytes(take(bytes)?);
            let hash = u128::from_le_bytes(take(bytes)?);
            let seq = u64::from_le_bytes(take(bytes)?);
            self.insert_hash(hash, seq, time);
        }
        Some(())
    }

    fn forget_oldest(&mut self) {
        let Some((_, hash)) = self.order.pop_front() else { return };
        if let Ok(entry) = self.known.find_entry(short(hash), |(known, _)| *known == hash) {
            entry.remove();
        }
    }
}

/// Takes the first bytes off `bytes`.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is the table's hash")]
fn short(hash: u128) -> u64 {
    hash as u64
}

/// Two folded multiplications over eight bytes at a time, with keys that depend on `key`: the same
/// on every machine and in every version, because snapshots keep it.
fn hash(bytes: &[u8], key: u64) -> u128 {
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        short(product) ^ short(product >> 64)
    };
    let mut low = key ^ 0x2d35_8dcc_aa6c_78a5;
    let mut high = key.rotate_left(32) ^ 0x8bb8_4b93_962e_acc9;
    let mut mix = |word: u64| {
        low = fold(low ^ word, 0x4b33_a62e_d433_d4a3);
        high = fold(high ^ word.rotate_left(17), 0x4d5a_2da5_1de1_aa47);
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        mix(u64::from_le_bytes(*word));
    }
    let mut last = [0_u8; 8];
    for (slot, byte) in last.iter_mut().zip(rest) {
        *slot = *byte;
    }
    mix(u64::from_le_bytes(last));
    mix(bytes.len() as u64);
    u128::from(high) << 64 | u128::from(low)
}

/// Ids a stream remembers at most.
const ENTRIES_MAX: usize = 1 << 22;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_for_the_window() {
        let mut dedup = Dedup::new(100, 7);
        dedup.insert(b"a", 1, 10);
        dedup.insert(b"b", 2, 50);
        assert_eq!(dedup.find(b"a", 109), Some(1));
        assert_eq!(dedup.next_deadline(), Some(110));
        assert_eq!(dedup.find(b"a", 110), None);
        assert_eq!(dedup.find(b"b", 110), Some(2));
        assert_eq!(dedup.find(b"c", 110), None);
        assert_eq!(Dedup::new(0, 7).find(b"b", 0), None);
    }

    #[test]
    fn a_snapshot_is_taken_back() {
        let mut dedup = Dedup::new(100, 7);
        for seq in 0..50_u64 {
            dedup.insert(seq.to_string().as_bytes(), seq, seq);
        }
        let mut bytes = Vec::new();
        dedup.snapshot(&mut bytes);
        let mut other = Dedup::new(100, 7);
        assert_eq!(other.restore(&mut &bytes[..]), Some(()));
        assert_eq!(other.len(), 50);
        assert_eq!(other.find(b"49", 60), Some(49));
        assert_eq!(Dedup::new(1, 7).restore(&mut &bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn hashes_differ_by_length_and_key() {
        assert_ne!(hash(b"", 1), hash(b"\0", 1));
        assert_ne!(hash(b"12345678", 1), hash(b"12345678\0", 1));
        assert_ne!(hash(b"a", 1), hash(b"a", 2));
    }
}
