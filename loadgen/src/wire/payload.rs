//! What a message carries so that its receiver can prove it is the right one.
//!
//! From 16 bytes up, little-endian:
//!
//! ```text
//! 0..8    publisher (16 bits) and sequence (48 bits)
//! 8..12   send time in units of 16 ns, wraps after 68 s
//! 12..16  checksum over all other bytes and the seed of the run
//! 16..    filler, different for each slot of each publisher's frame ring
//! ```
//!
//! From 8 to 15 bytes there is no time: publisher (16), sequence (32), checksum (16), filler.
//! Below 8 bytes only the count of messages is checked.
//!
//! The checksum multiplies and rotates each word into its state. For a given rest of the message
//! that step is one-to-one in the word, so a single changed word always changes the 64-bit state;
//! 32 bits (16 in short payloads) of it are sent. The sender does not read the filler again: its
//! hash is computed once per slot.

/// Size of the head that larger payloads begin with.
pub const HEAD_BYTES: usize = 16;
/// Size of the head of short payloads.
pub const SHORT_HEAD_BYTES: usize = 8;

const SEQUENCE_BITS: u32 = 48;
const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;
const K1: u64 = 0x9e37_79b9_7f4a_7c15;
const K2: u64 = 0xd6e8_feb8_6659_fd93;
const K3: u64 = 0xa076_1d64_78bd_642f;

/// Which of the three layouts a payload size has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Publisher, sequence, time and checksum.
    Full,
    /// Publisher, sequence and checksum.
    Short,
    /// Nothing fits: messages are only counted.
    Bare,
}

impl Layout {
    /// The layout for payloads of `size` bytes.
    pub fn of(size: usize) -> Self {
        match size {
            0..SHORT_HEAD_BYTES => Self::Bare,
            SHORT_HEAD_BYTES..HEAD_BYTES => Self::Short,
            _ => Self::Full,
        }
    }
}

/// Who sent a message, as which one, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of the publisher in this run.
    pub publisher: u16,
    /// Position among the publisher's messages, from zero; 32 bits of it in short payloads.
    pub sequence: u64,
    /// Send time in units of 16 ns; zero in short payloads.
    pub time: u32,
}

/// A time as payloads carry it.
pub fn wire_time(now_ns: u64) -> u32 {
    (now_ns >> 4) as u32
}

/// Nanoseconds from a payload's time to `now_ns`, for less than 68 s.
pub fn elapsed_ns(now_ns: u64, time: u32) -> u64 {
    u64::from(wire_time(now_ns).wrapping_sub(time)) << 4
}

/// Writes the head of a [`Layout::Full`] payload whose filler has the hash `filler`.
#[inline]
pub fn write_full(payload: &mut [u8], head: Head, filler: u64, seed: u64) {
    let word = pack(head.publisher, head.sequence);
    let time = u64::from(head.time);
    let sum = u64::from(seal(word, head.time, filler, seed));
    payload[..8].copy_from_slice(&word.to_le_bytes());
    payload[8..16].copy_from_slice(&(time | sum << 32).to_le_bytes());
}

/// Writes the head of a [`Layout::Short`] payload.
pub fn write_short(payload: &mut [u8], head: Head, filler: u64, seed: u64) {
    let word = u64::from(head.publisher) | (head.sequence & 0xffff_ffff) << 16;
    let sum = u64::from(seal(word, 0, filler, seed) >> 16);
    payload[..8].copy_from_slice(&(word | sum << 48).to_le_bytes());
}

/// Reads the head of a [`Layout::Full`] payload.
#[inline]
pub fn read_full(payload: &[u8]) -> Head {
    let word = word_at(payload, 0);
    Head {
        publisher: (word >> SEQUENCE_BITS) as u16,
        sequence: word & SEQUENCE_MASK,
        time: word_at(payload, 8) as u32,
    }
}

/// Reads the head of a [`Layout::Short`] payload.
pub fn read_short(payload: &[u8]) -> Head {
    let word = word_at(payload, 0);
    Head { publisher: word as u16, sequence: (word >> 16) & 0xffff_ffff, time: 0 }
}

/// True if the checksum of a [`Layout::Full`] payload is right.
#[inline]
pub fn full_is_sound(payload: &[u8], seed: u64) -> bool {
    let second = word_at(payload, 8);
    let filler = filler_hash(&payload[HEAD_BYTES..]);
    seal(word_at(payload, 0), second as u32, filler, seed) == (second >> 32) as u32
}

/// True if the checksum of a [`Layout::Short`] payload is right.
pub fn short_is_sound(payload: &[u8], seed: u64) -> bool {
    let word = word_at(payload, 0);
    let filler = filler_hash(&payload[SHORT_HEAD_BYTES..]);
    let sum = seal(word & SEQUENCE_MASK, 0, filler, seed);
    sum >> 16 == (word >> 48) as u32
}

/// Hash of the filler; zero if there is none.
#[inline]
pub fn filler_hash(bytes: &[u8]) -> u64 {
    if bytes.is_empty() {
        0
    } else {
        hash_lanes(bytes)
    }
}

/// Four lanes, since one alone would wait for each of its multiplications.
fn hash_lanes(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let (blocks, words) = words.as_chunks::<4>();
    let [mut a, mut b, mut c, mut d] = [K1, K2, K3, bytes.len() as u64];
    for [first, second, third, fourth] in blocks {
        a = step(a, u64::from_le_bytes(*first));
        b = step(b, u64::from_le_bytes(*second));
        c = step(c, u64::from_le_bytes(*third));
        d = step(d, u64::from_le_bytes(*fourth));
    }
    for word in words {
        a = step(a, u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let mut last = [0u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        b = step(b, u64::from_le_bytes(last));
    }
    // The lanes enter turned by different amounts, so that exchanging two changes the hash.
    step(step(a, b.rotate_left(17)), step(c, d.rotate_left(31)).rotate_left(7))
}

/// Fills `bytes` with noise that depends on `key` alone.
pub fn fill(bytes: &mut [u8], key: u64) {
    let mut state = key;
    for chunk in bytes.chunks_mut(8) {
        state = state.wrapping_add(K1);
        let mut word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
}

#[inline]
fn pack(publisher: u16, sequence: u64) -> u64 {
    u64::from(publisher) << SEQUENCE_BITS | sequence & SEQUENCE_MASK
}

#[inline]
fn seal(word: u64, time: u32, filler: u64, seed: u64) -> u32 {
    let hash = step(seed, word) ^ u64::from(time);
    let hash = step(hash, filler);
    // A last change may have reached few bits so far: spread it over those that are sent.
    let hash = (hash ^ hash >> 32).wrapping_mul(K2);
    (hash >> 32) as u32
}

#[inline]
fn step(state: u64, word: u64) -> u64 {
    (state ^ word).wrapping_mul(K1).rotate_left(29).wrapping_mul(K2)
}

#[inline]
fn word_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0u8; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 0x1234_5678_9abc_def0;

    fn full(size: usize) -> (Vec<u8>, Head) {
        let head = Head { publisher: 7, sequence: 0x1234_5678_9abc, time: 0xdead_beef };
        let mut payload = vec![0; size];
        fill(&mut payload[HEAD_BYTES..], 42);
        let filler = filler_hash(&payload[HEAD_BYTES..]);
        write_full(&mut payload, head, filler, SEED);
        (payload, head)
    }

    #[test]
    fn a_full_payload_reads_back_and_any_flipped_bit_is_found() {
        for size in [16, 17, 24, 31, 40, 64, 100, 128, 255, 256, 1024] {
            let (payload, head) = full(size);
            assert_eq!(read_full(&payload), head);
            assert!(full_is_sound(&payload, SEED));
            for bit in 0..size * 8 {
                let mut broken = payload.clone();
                broken[bit / 8] ^= 1 << (bit % 8);
                assert!(!full_is_sound(&broken, SEED), "size {size}, bit {bit}");
            }
        }
    }

    #[test]
    fn swapped_words_and_another_runs_seed_are_found() {
        let (payload, _) = full(128);
        let mut swapped = payload.clone();
        swapped[32..48].rotate_left(8);
        assert!(!full_is_sound(&swapped, SEED));
        let mut swapped = payload.clone();
        swapped[32..96].rotate_left(32);
        assert!(!full_is_sound(&swapped, SEED));
        assert!(!full_is_sound(&payload, SEED + 1));
    }

    #[test]
    fn a_short_payload_reads_back_and_a_flipped_bit_is_found() {
        for size in 8..16 {
            let head = Head { publisher: 3, sequence: 77, time: 0 };
            let mut payload = vec![0; size];
            fill(&mut payload[8..], 5);
            let filler = filler_hash(&payload[8..]);
            write_short(&mut payload, head, filler, SEED);
            assert_eq!(read_short(&payload), head);
            assert!(short_is_sound(&payload, SEED));
            // 16 bits of checksum: one flip in 65,536 goes unseen, none of these does.
            for bit in 0..size * 8 {
                let mut broken = payload.clone();
                broken[bit / 8] ^= 1 << (bit % 8);
                assert!(!short_is_sound(&broken, SEED), "size {size}, bit {bit}");
            }
        }
    }

    #[test]
    fn elapsed_time_survives_the_wrap() {
        let sent = (u64::from(u32::MAX) << 4) + 1600;
        let time = wire_time(sent - 3200);
        assert_eq!(elapsed_ns(sent, time), 3200);
    }
}
