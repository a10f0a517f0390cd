//! How many messages of each subject a block has.
//!
//! Subject numbers ascend and are written as differences: `difference << 2`
//! with a tag, 0 for none left, 1 for one message, 2 for a count that follows.
//! So a count goes down in place: about 1.2 bytes for each subject of a block.

use super::varint;

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Summary {
    bytes: Box<[u8]>,
}

const NONE: u64 = 0;
const ONE: u64 = 1;
const COUNT: u64 = 2;
const TAG_BITS: u32 = 2;

impl Summary {
    /// Counts the numbers of `subjects`, which are sorted here.
    pub(super) fn of(subjects: &mut [u32]) -> Self {
        subjects.sort_unstable();
        let runs = subjects.chunk_by(|a, b| a == b);
        Self::encode(runs.map(|run| (run[0], run.len() as u64)))
    }

    /// Takes over counts, which ascend by subject.
    pub(super) fn of_counts(counts: &[(u32, u32)]) -> Self {
        Self::encode(counts.iter().map(|(subject, count)| (*subject, u64::from(*count))))
    }

    fn encode(counts: impl Iterator<Item = (u32, u64)>) -> Self {
        let mut bytes = Vec::new();
        let mut before = 0;
        for (subject, count) in counts {
            let difference = u64::from(subject - before) << TAG_BITS;
            before = subject;
            if count == 1 {
                varint::put(&mut bytes, difference | ONE);
            } else {
                varint::put(&mut bytes, difference | COUNT);
                varint::put(&mut bytes, count);
            }
        }
        Self { bytes: bytes.into() }
    }

    /// Subjects that have messages, with how many, in order of their numbers.
    pub(in crate::store) fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.entries().map(|(_, subject, count)| (subject, count)).filter(|(_, count)| *count > 0)
    }

    pub(super) fn count(&self, wanted: u32) -> u32 {
        self.iter()
            .take_while(|(subject, _)| *subject <= wanted)
            .find(|(subject, _)| *subject == wanted)
            .map_or(0, |(_, count)| count)
    }

    /// One message less of `wanted`; false if there was none.
    pub(super) fn decrement(&mut self, wanted: u32) -> bool {
        let mut entries = self.entries();
        let found = entries.find(|(_, subject, _)| *subject >= wanted);
        let end = entries.at;
        let Some((at, _, count)) =
            found.filter(|(_, subject, count)| *subject == wanted && *count > 0)
        else {
            return false;
        };
        let mut part = &self.bytes[at..];
        let head = varint::take(&mut part).unwrap_or_default();
        let count_at = self.bytes.len() - part.len();
        if head & TAG == ONE {
            // The tag is in the lowest bits of the first byte.
            self.bytes[at] ^= (NONE ^ ONE).to_le_bytes()[0];
        } else {
            overwrite(&mut self.bytes[count_at..end], u64::from(count) - 1);
        }
        true
    }

    fn entries(&self) -> Entries<'_> {
        Entries { bytes: &self.bytes, at: 0, subject: 0 }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

const TAG: u64 = (1 << TAG_BITS) - 1;

/// Writes `value` in exactly the bytes there are; it is below the value they hold.
fn overwrite(bytes: &mut [u8], mut value: u64) {
    let last = bytes.len() - 1;
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = value.to_le_bytes()[0] & 0x7F | if at < last { 0x80 } else { 0 };
        value >>= 7;
    }
}

/// Start, subject and count of each entry.
struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
    subject: u32,
}

impl Iterator for Entries<'_> {
    type Item = (usize, u32, u32);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        let mut rest = self.bytes.get(start..)?;
        let head = varint::take(&mut rest)?;
        let count = match head & TAG {
            COUNT => varint::take(&mut rest)?,
            tag => tag,
        };
        self.at = self.bytes.len() - rest.len();
        self.subject = self.subject.checked_add(u32::try_from(head >> TAG_BITS).ok()?)?;
        Some((start, self.subject, u32::try_from(count).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_down_in_place() {
        let mut subjects: Vec<u32> = vec![900; 200];
        subjects.extend([5, 3, 5, 70_000]);
        let mut summary = Summary::of(&mut subjects);
        let length = summary.len();
        assert_eq!(summary.iter().collect::<Vec<_>>(), [(3, 1), (5, 2), (900, 200), (70_000, 1)]);
        assert!(summary.decrement(3) && !summary.decrement(3) && !summary.decrement(4));
        assert!(summary.decrement(5));
        for left in (0..200).rev() {
            assert!(summary.decrement(900));
            assert_eq!(summary.count(900), left);
        }
        assert!(!summary.decrement(900));
        assert_eq!(summary.iter().collect::<Vec<_>>(), [(5, 1), (70_000, 1)]);
        assert_eq!(summary.len(), length);
    }
}
