//! The entries of an archive.
//!
//! ```text
//! archive  "NATSARC1" entry... end
//! entry    name length, time, sequence, header length, payload length; name, header, payload
//! end      an entry whose numbers are all 0
//! ```
//!
//! Numbers have seven bits a byte, lowest first; the time, in nanoseconds since 1970, has its sign
//! in the lowest bit.
//!
//! Bounds: a name of [`NAME_MAX`], a header and a payload of [`PART_MAX`] bytes.

use super::ArchiveError;

/// One entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::stream) struct Entry<'a> {
    /// Subject of a message, or what the entry is.
    pub(in crate::stream) name: &'a [u8],
    /// Nanoseconds since 1970.
    pub(in crate::stream) time: u64,
    /// Sequence of a message; 0 of what is none.
    pub(in crate::stream) seq: u64,
    /// The header block; empty if there is none.
    pub(in crate::stream) headers: &'a [u8],
    /// The body.
    pub(in crate::stream) payload: &'a [u8],
}

/// Takes an archive apart, in pieces of any size.
#[derive(Debug, Default)]
pub(in crate::stream) struct EntryReader {
    /// What has not been read: `bytes` from `at` on.
    bytes: Vec<u8>,
    at: usize,
    has_begun: bool,
    has_ended: bool,
}

impl EntryReader {
    /// Where the next bytes are to be appended.
    pub(in crate::stream) fn bytes(&mut self) -> &mut Vec<u8> {
        if self.at * 2 > self.bytes.len() {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        &mut self.bytes
    }

    /// The next entry; `None` if it is not there as a whole, or the end was read.
    ///
    /// # Errors
    /// The bytes are no archive.
    pub(in crate::stream) fn read(&mut self) -> Result<Option<Entry<'_>>, ArchiveError> {
        if !self.has_begun {
            let known = self.bytes.len().min(MAGIC.len());
            if self.bytes.get(..known) != MAGIC.get(..known) {
                return Err(ArchiveError::NoArchive);
            }
            if known < MAGIC.len() {
                return Ok(None);
            }
            self.has_begun = true;
            self.at = MAGIC.len();
        }
        if self.has_ended {
            return Ok(None);
        }
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        let before = rest.len();
        let mut numbers = [0; 5];
        for number in &mut numbers {
            match read_number(&mut rest)? {
                Some(read) => *number = read,
                None => return Ok(None),
            }
        }
        let head = before - rest.len();
        if numbers == [0; 5] {
            self.has_ended = true;
            self.at += head;
            return Ok(None);
        }
        let [name, time, seq, headers, payload] = numbers;
        let size = |number: u64, max: usize| {
            let number = usize::try_from(number).ok();
            number.filter(|number| *number <= max).ok_or(ArchiveError::NoArchive)
        };
        let (name, headers) = (size(name, NAME_MAX)?, size(headers, PART_MAX)?);
        let payload = size(payload, PART_MAX)?;
        let Some((name, rest)) = rest.split_at_checked(name) else { return Ok(None) };
        let Some((headers, rest)) = rest.split_at_checked(headers) else { return Ok(None) };
        let Some(payload) = rest.get(..payload) else { return Ok(None) };
        self.at += head + name.len() + headers.len() + payload.len();
        // A time before 1970 is as good as none.
        let time = if time & 1 == 0 { time >> 1 } else { 0 };
        Ok(Some(Entry { name, time, seq, headers, payload }))
    }

    /// Whether the end was read.
    pub(in crate::stream) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether there are bytes that were not read.
    pub(in crate::stream) fn has_rest(&self) -> bool {
        self.at < self.bytes.len()
    }
}

/// Appends what an archive begins with.
pub(in crate::stream) fn write_start(out: &mut Vec<u8>) {
    out.extend_from_slice(MAGIC);
}

/// Appends an entry.
pub(in crate::stream) fn write_entry(out: &mut Vec<u8>, entry: &Entry<'_>) {
    let len = |part: &[u8]| part.len() as u64;
    let Entry { name, time, seq, headers, payload } = *entry;
    for number in [len(name), time << 1, seq, len(headers), len(payload)] {
        write_number(out, number);
    }
    for part in [name, headers, payload] {
        out.extend_from_slice(part);
    }
}

/// Appends what an archive ends with.
pub(in crate::stream) fn write_end(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 5]);
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

/// `None`: it is not there as a whole.
fn read_number(from: &mut &[u8]) -> Result<Option<u64>, ArchiveError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let Some((byte, rest)) = from.split_first() else { return Ok(None) };
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some(number));
        }
    }
    Err(ArchiveError::NoArchive)
}

const MAGIC: &[u8] = b"NATSARC1";
/// Bytes of a name: a subject, or the path of a consumer.
const NAME_MAX: usize = 64 << 10;
/// Bytes of a header block or a payload: as much as any message may have.
const PART_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_archive_is_read_back_in_pieces() {
        let entries = [
            Entry { name: b"state.json", payload: b"{}", ..Entry::default() },
            Entry { name: b"a.b", time: 1 << 60, seq: 300, headers: b"h", payload: b"body" },
        ];
        let mut archive = Vec::new();
        write_start(&mut archive);
        for entry in &entries {
            write_entry(&mut archive, entry);
        }
        write_end(&mut archive);
        for piece in [1, 2, 7, 1000] {
            let (mut reader, mut found) = (EntryReader::default(), 0);
            for piece in archive.chunks(piece) {
                reader.bytes().extend_from_slice(piece);
                while let Some(entry) = reader.read().unwrap() {
                    assert_eq!(entry, entries[found]);
                    found += 1;
                }
            }
            assert_eq!(found, 2);
            assert!(reader.has_ended() && !reader.has_rest());
        }
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let read = |bytes: &[u8]| {
            let mut reader = EntryReader::default();
            reader.bytes().extend_from_slice(bytes);
            reader.read().map(|entry| entry.is_some())
        };
        assert_eq!(read(b"NATS"), Ok(false));
        assert_eq!(read(b"meta.inf"), Err(ArchiveError::NoArchive));
        assert_eq!(read(b"NATSARC1\xff\xff\xff\xff\xff"), Ok(false));
        assert_eq!(read(b"NATSARC1\xff\xff\xff\x7f\0\0\0\0"), Err(ArchiveError::NoArchive));
        assert_eq!(read(&[b"NATSARC1", &[0xff; 10][..]].concat()), Err(ArchiveError::NoArchive));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = EntryReader::default();
            reader.bytes().extend_from_slice(b"NATSARC1");
            reader.bytes().extend_from_slice(&bytes);
            while let Ok(Some(_)) = reader.read() {}
        }
    }
}
