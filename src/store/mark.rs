//! The mark of a clean stop: the streams' own files have everything, and the
//! journal need not be read.
//!
//! It is written last, once nothing will be committed any more, and never
//! removed. What makes it void is the journal itself: a commit after a start goes
//! to a new file, whose name is durable before the commit is, and a mark does not
//! count if there is a file with a higher number than it knows. The states must
//! be those that it names, too, and their streams be whole. In doubt the journal
//! is read.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;
use std::io;

use super::disk::{read_whole, Disk};
use super::index::varint;
use super::journal::{Scan, Sealed};
use super::state::{body, finish, start, State};

/// Where it is.
pub(super) const CLEAN_PATH: &str = "clean";

const MAGIC: [u8; 8] = *b"MIDGECLN";

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CleanMark {
    pub(super) identity: u64,
    pub(super) boot: u64,
    /// The last commit that counts.
    pub(super) last_commit: u64,
    /// Above every number a commit had.
    pub(super) next_commit: u64,
    /// Above every number a journal file had.
    pub(super) next_file: u64,
    pub(super) next_stream: u64,
    /// The journal's files.
    pub(super) files: Vec<Sealed>,
    /// Streams and the generations of their states.
    pub(super) streams: Vec<(u64, u64)>,
}

impl CleanMark {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = start(MAGIC);
        let Self { identity, boot, last_commit, next_commit, next_file, next_stream, .. } = *self;
        for number in [identity, boot, last_commit, next_commit, next_file, next_stream] {
            varint::put(&mut out, number);
        }
        varint::put(&mut out, self.files.len() as u64);
        for file in &self.files {
            for number in [file.number, file.last_commit, file.size] {
                varint::put(&mut out, number);
            }
        }
        varint::put(&mut out, self.streams.len() as u64);
        for (stream, generation) in &self.streams {
            varint::put(&mut out, *stream);
            varint::put(&mut out, *generation);
        }
        finish(out)
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = body(bytes, MAGIC)?;
        let rest = &mut rest;
        let mut mark = Self {
            identity: varint::take(rest)?,
            boot: varint::take(rest)?,
            last_commit: varint::take(rest)?,
            next_commit: varint::take(rest)?,
            next_file: varint::take(rest)?,
            next_stream: varint::take(rest)?,
            ..Self::default()
        };
        for _ in 0..varint::take(rest)? {
            let (number, last_commit) = (varint::take(rest)?, varint::take(rest)?);
            mark.files.push(Sealed { number, last_commit, size: varint::take(rest)? });
        }
        for _ in 0..varint::take(rest)? {
            mark.streams.push((varint::take(rest)?, varint::take(rest)?));
        }
        Some(mark)
    }

    /// The mark that counts for what is on the disk, if there is one.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn read(
        disk: &dyn Disk,
        journal: &[u64],
        states: &BTreeMap<u64, Vec<State>>,
    ) -> io::Result<Option<Self>> {
        let bytes = read_whole(disk, CLEAN_PATH)?;
        let mark = bytes.and_then(|bytes| Self::parse(&bytes));
        Ok(mark.filter(|mark| mark.fits(journal, states)))
    }

    fn fits(&self, journal: &[u64], states: &BTreeMap<u64, Vec<State>>) -> bool {
        let newest = states.iter().map(|(stream, states)| {
            (*stream, states.first().filter(|state| state.journal == self.identity))
        });
        let known = self.streams.iter().copied();
        journal.iter().all(|number| *number < self.next_file)
            && newest
                .map(|(stream, state)| (stream, state.map(|state| state.generation)))
                .eq(known.map(|(stream, generation)| (stream, Some(generation))))
            && states.values().flatten().all(|state| state.changed.commit <= self.last_commit)
    }

    /// What reading the journal would have told.
    pub(super) fn scan(&self) -> Scan {
        Scan {
            identity: self.identity,
            boot: self.boot,
            last_commit: self.last_commit,
            highest: self.next_commit,
            next_file: self.next_file,
            next_stream: self.next_stream,
            files: self.files.clone(),
            ..Scan::default()
        }
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_and_no_bit_of_it_may_flip() {
        let file = Sealed { number: 3, last_commit: 999, size: 1 << 20 };
        let mark = CleanMark {
            identity: 77,
            boot: 2,
            last_commit: 1000,
            next_commit: 1001,
            next_file: 4,
            next_stream: 9,
            files: vec![file],
            streams: vec![(1, 5), (8, 300)],
        };
        let bytes = mark.encode();
        assert_eq!(CleanMark::parse(&bytes), Some(mark));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(CleanMark::parse(&flipped), None);
        }
    }
}
