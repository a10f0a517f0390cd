//! Names nobody else has: NUIDs, short random names, and names derived from texts.

use sha2::{Digest, Sha256};

/// A source of NUIDs and of random numbers, seeded from outside.
///
/// A NUID is 22 characters of base 62: 12 random ones that stay, then a sequence that grows by a
/// random step, so that names of one source are in order.
#[derive(Debug)]
pub struct Nuid {
    random: u64,
    prefix: [u8; PREFIX],
    sequence: u64,
    step: u64,
}

impl Nuid {
    /// A source that repeats itself for the same `seed`.
    pub fn new(seed: u64) -> Self {
        let mut nuid = Self { random: seed, prefix: [b'0'; PREFIX], sequence: 0, step: 1 };
        nuid.start_over();
        nuid
    }

    /// The next NUID.
    pub fn generate(&mut self) -> String {
        self.sequence += self.step;
        if self.sequence >= SEQUENCE_MAX {
            self.start_over();
        }
        let mut text = self.prefix.to_vec();
        text.resize(PREFIX + SEQUENCE, b'0');
        let mut rest = self.sequence;
        for slot in text.iter_mut().skip(PREFIX).rev() {
            *slot = digit(rest);
            rest /= BASE;
        }
        String::from_utf8(text).unwrap_or_default()
    }

    /// A name of `len` random characters.
    pub fn name(&mut self, len: usize) -> String {
        (0..len).map(|_| char::from(digit(self.number()))).collect()
    }

    /// A random number.
    pub fn number(&mut self) -> u64 {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn start_over(&mut self) {
        for at in 0..PREFIX {
            let random = self.number();
            if let Some(slot) = self.prefix.get_mut(at) {
                *slot = digit(random);
            }
        }
        self.sequence = self.number() % (SEQUENCE_MAX / 2);
        self.step = 33 + self.number() % 300;
    }
}

/// Eight characters that stand for `text`: the first bytes of its SHA-256, each modulo 62.
pub fn short_hash(text: &[u8]) -> String {
    let hash = Sha256::digest(text);
    hash.iter().take(8).map(|byte| char::from(digit(u64::from(*byte)))).collect()
}

fn digit(number: u64) -> u8 {
    let index = usize::try_from(number % BASE).unwrap_or(0);
    DIGITS.get(index).copied().unwrap_or(b'0')
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE: u64 = 62;
const PREFIX: usize = 12;
const SEQUENCE: usize = 10;
const SEQUENCE_MAX: u64 = 62_u64.pow(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nuids_differ_and_are_in_order() {
        let mut nuid = Nuid::new(7);
        let names: Vec<String> = (0..1000).map(|_| nuid.generate()).collect();
        assert!(names.iter().all(|name| name.len() == 22));
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(nuid.name(8).len(), 8);
    }

    /// Goal: the hash of nats-server. Method: account `A`, recorded from it.
    #[test]
    fn the_short_hash_is_that_of_the_server() {
        assert_eq!(short_hash(b"A"), "NUmM6cRx");
    }
}
