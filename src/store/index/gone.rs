//! Which of a block's sequences have no message.

/// A set of sequences, relative to the block's first; without any it costs no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Gone {
    words: Vec<u64>,
}

impl Gone {
    /// Adds `at`; false if it was there.
    pub(super) fn insert(&mut self, at: u32) -> bool {
        let (word, bit) = place(at);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }

    pub(super) fn contains(&self, at: u32) -> bool {
        let (word, bit) = place(at);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Members below `end`.
    pub(super) fn count_below(&self, end: u32) -> u32 {
        let (word, bit) = place(end);
        let whole: u32 = self.words.iter().take(word).map(|word| word.count_ones()).sum();
        whole + self.words.get(word).map_or(0, |word| (word & (bit - 1)).count_ones())
    }

    /// The first number at or above `from` that is no member.
    pub(super) fn next_absent(&self, from: u32) -> u32 {
        let (mut word, bit) = place(from);
        let mut mask = !(bit - 1);
        loop {
            let Some(members) = self.words.get(word) else {
                return from.max(number(word, 0));
            };
            let absent = !members & mask;
            if absent != 0 {
                return number(word, absent.trailing_zeros());
            }
            word += 1;
            mask = u64::MAX;
        }
    }

    /// The last number at or below `from` that is no member.
    pub(super) fn last_absent(&self, from: u32) -> Option<u32> {
        (0..=from).rev().find(|at| !self.contains(*at))
    }

    /// The words of the set, lowest first.
    pub(in crate::store) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(in crate::store) fn from_words(mut words: Vec<u64>) -> Self {
        while words.last() == Some(&0) {
            words.pop();
        }
        Self { words }
    }
}

fn place(at: u32) -> (usize, u64) {
    ((at / 64) as usize, 1 << (at % 64))
}

fn number(word: usize, bit: u32) -> u32 {
    u32::try_from(word).unwrap_or(u32::MAX).saturating_mul(64).saturating_add(bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_knows_its_members_and_the_numbers_between() {
        let mut gone = Gone::default();
        assert_eq!(gone.next_absent(7), 7);
        for at in [0, 1, 5, 63, 64, 65, 200] {
            assert!(gone.insert(at));
            assert!(!gone.insert(at));
        }
        assert_eq!(gone.next_absent(0), 2);
        assert_eq!(gone.next_absent(63), 66);
        assert_eq!(gone.next_absent(200), 201);
        assert_eq!(gone.next_absent(1000), 1000);
        assert_eq!(gone.last_absent(1), None);
        assert_eq!(gone.last_absent(65), Some(62));
        assert_eq!([0, 1, 64, 65, 201].map(|end| gone.count_below(end)), [0, 1, 4, 5, 7]);
        assert_eq!(gone.count_below(100_000), 7);
    }
}
