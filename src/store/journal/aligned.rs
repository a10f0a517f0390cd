//! Memory that a direct write accepts.

/// Bytes whose first one has an address that is a multiple of [`PAGE`].
#[derive(Debug)]
pub(super) struct Aligned {
    /// `start + len <= memory.len()`; bytes from `start` on are the contents.
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

/// What offsets, lengths and addresses of journal writes are multiples of.
pub(crate) const PAGE: usize = 4096;

/// Memory that is kept when a larger commit was in it.
const KEPT_MAX: usize = 4 << 20;

impl Aligned {
    pub(super) fn new(len: usize) -> Self {
        let mut aligned = Self { memory: Vec::new(), start: 0, len: 0 };
        aligned.grow(len.max(PAGE));
        aligned.len = len;
        aligned
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }

    /// Adds `count` bytes, of any value, and returns them.
    pub(super) fn extend(&mut self, count: usize) -> &mut [u8] {
        let from = self.len;
        let end = from + count;
        if self.start + end > self.memory.len() {
            self.grow(end);
        }
        self.len = end;
        &mut self.memory[self.start + from..self.start + end]
    }

    /// Forgets all but the first `len` bytes.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        if self.memory.len() > KEPT_MAX && self.len <= PAGE {
            let kept = self.as_slice().to_vec();
            self.memory = Vec::new();
            self.grow(kept.len().max(PAGE));
            self.as_mut_slice().copy_from_slice(&kept);
        }
    }

    fn grow(&mut self, needed: usize) {
        let size = needed.next_power_of_two().max(16 * PAGE);
        let mut memory = vec![0; size + PAGE];
        // `align_offset` may give up only at compile time.
        let start = memory.as_ptr().align_offset(PAGE).min(PAGE);
        if let Some(contents) = self.memory.get(self.start..self.start + self.len) {
            memory[start..start + self.len].copy_from_slice(contents);
        }
        self.memory = memory;
        self.start = start;
    }
}

/// `len` rounded up to a whole number of pages.
pub(super) fn padded(len: usize) -> usize {
    len.next_multiple_of(PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_stay_and_are_aligned_while_they_grow() {
        let mut aligned = Aligned::new(PAGE);
        let mut expected = vec![0; PAGE];
        for round in 0..200_u8 {
            let bytes = vec![round; usize::from(round) * 37];
            aligned.extend(bytes.len()).copy_from_slice(&bytes);
            expected.extend_from_slice(&bytes);
            assert_eq!(aligned.as_slice().as_ptr().align_offset(PAGE), 0);
        }
        assert_eq!(aligned.as_slice(), expected);
        aligned.extend(8 << 20).fill(1);
        aligned.truncate(PAGE);
        assert_eq!(aligned.as_slice(), vec![0; PAGE]);
        assert!(aligned.memory.len() < KEPT_MAX);
        assert_eq!(aligned.as_slice().as_ptr().align_offset(PAGE), 0);
    }
}
