//! A message inside a block, in memory and in a segment file alike.
//!
//! ```text
//! header checksum 4 | body checksum 4 | sequence - first of the block | time - time of the block
//!   | lengths of subject, headers, payload | subject | headers | payload
//! ```
//! The five numbers are of variable length; some 17 bytes in all for a small
//! message. The header checksum covers everything from the body checksum to the
//! subject, and starts from the block's [`Salt`]: a record that was written for
//! another place does not pass. The body checksum covers headers and payload.
//! So a damaged body costs one message, and a damaged header is stepped over by
//! looking for the next one that passes.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use super::varint;
use crate::store::Record;

/// What ties records to their block: the checksum of its stream, sequence and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Salt(u32);

impl Salt {
    pub(in crate::store) fn new(stream: u64, base_seq: u64, base_time: u64) -> Self {
        let mut place = [0; 24];
        for (part, number) in place.chunks_exact_mut(8).zip([stream, base_seq, base_time]) {
            part.copy_from_slice(&number.to_le_bytes());
        }
        Self(crc32c::crc32c(&place))
    }
}

/// The checksum of a message's body.
pub(in crate::store) fn body_crc(record: &Record<'_>) -> u32 {
    let headers = if record.headers.is_empty() { 0 } else { crc32c::crc32c(record.headers) };
    crc32c::crc32c_append(headers, record.payload)
}

/// A record's header, and where its parts lie in the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Header {
    /// First byte of the record.
    pub(in crate::store) start: usize,
    pub(in crate::store) at: u32,
    pub(in crate::store) time: u64,
    pub(in crate::store) subject: Range<usize>,
    pub(in crate::store) headers: Range<usize>,
    pub(in crate::store) payload: Range<usize>,
    body_crc: u32,
}

/// Appends a record; `at` and `time` are relative to the block.
pub(in crate::store) fn put(
    into: &mut Vec<u8>,
    salt: Salt,
    at: u32,
    time: u64,
    record: &Record<'_>,
    body_crc: u32,
) {
    let start = into.len();
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(&body_crc.to_le_bytes());
    varint::put(into, u64::from(at));
    varint::put(into, time);
    varint::put(into, record.subject.len() as u64);
    varint::put(into, record.headers.len() as u64);
    varint::put(into, record.payload.len() as u64);
    into.extend_from_slice(record.subject);
    if let Some((head, covered)) = into.get_mut(start..).and_then(|all| all.split_at_mut_checked(4))
    {
        head.copy_from_slice(&crc32c::crc32c_append(salt.0, covered).to_le_bytes());
    }
    into.extend_from_slice(record.headers);
    into.extend_from_slice(record.payload);
}

/// Sequence and end of the record at `start`, as its header says it: not checked.
#[inline]
pub(super) fn skim(block: &[u8], start: usize) -> Option<(u32, usize)> {
    let mut rest = block.get(start..)?.get(8..)?;
    let at = u32::try_from(varint::take(&mut rest)?).ok()?;
    varint::skip(&mut rest)?;
    let mut end = 0_usize;
    for _ in 0..3 {
        end = end.checked_add(usize::try_from(varint::take(&mut rest)?).ok()?)?;
    }
    let end = end.checked_add(block.len().checked_sub(rest.len())?)?;
    (end <= block.len()).then_some((at, end))
}

impl Header {
    /// Reads the header at `start`; `None` if there is none that is whole.
    pub(in crate::store) fn parse(block: &[u8], start: usize, salt: Salt) -> Option<Self> {
        let (crc, covered) = block.get(start..)?.split_first_chunk::<4>()?;
        let (body_crc, mut rest) = covered.split_first_chunk::<4>()?;
        let at = u32::try_from(varint::take(&mut rest)?).ok()?;
        let time = varint::take(&mut rest)?;
        let mut lengths = [0; 3];
        for length in &mut lengths {
            *length = usize::try_from(varint::take(&mut rest)?).ok()?;
        }
        let subject_at = block.len().checked_sub(rest.len())?;
        let headers_at = subject_at.checked_add(lengths[0])?;
        let payload_at = headers_at.checked_add(lengths[1])?;
        let end = payload_at.checked_add(lengths[2])?;
        if end > block.len() {
            return None;
        }
        let covered = block.get(start.checked_add(4)?..headers_at)?;
        if crc32c::crc32c_append(salt.0, covered) != u32::from_le_bytes(*crc) {
            return None;
        }
        Some(Self {
            start,
            at,
            time,
            subject: subject_at..headers_at,
            headers: headers_at..payload_at,
            payload: payload_at..end,
            body_crc: u32::from_le_bytes(*body_crc),
        })
    }

    /// Where the next record starts.
    pub(in crate::store) fn end(&self) -> usize {
        self.payload.end
    }

    /// Whether this is what [`erased`] left.
    pub(in crate::store) fn is_erased(&self, block: &[u8]) -> bool {
        let body = block.get(self.headers.start..self.payload.end).unwrap_or_default();
        let zeros = crc_of_zeros(self.headers.len(), self.payload.len());
        self.body_crc == !zeros && body.iter().all(|byte| *byte == 0)
    }

    /// The message, unless its body is damaged.
    pub(in crate::store) fn record<'b>(
        &self,
        block: &'b [u8],
        base_time: u64,
    ) -> Option<Record<'b>> {
        let record = Record {
            time: base_time.saturating_add(self.time),
            subject: block.get(self.subject.clone())?,
            headers: block.get(self.headers.clone())?,
            payload: block.get(self.payload.clone())?,
        };
        (body_crc(&record) == self.body_crc).then_some(record)
    }
}

/// Headers of a block in order; damaged parts are stepped over, and told with `damaged`.
pub(in crate::store) fn scan(
    block: &[u8],
    from: usize,
    salt: Salt,
    mut found: impl FnMut(usize, Header),
    mut damaged: impl FnMut(Range<usize>),
) {
    let mut start = from;
    let mut lost: Option<usize> = None;
    let mut next_at = 0;
    while start < block.len() {
        match Header::parse(block, start, salt).filter(|header| header.at >= next_at) {
            Some(header) => {
                if let Some(lost) = lost.take() {
                    damaged(lost..start);
                }
                next_at = header.at.saturating_add(1);
                let end = header.end();
                found(start, header);
                start = end;
            }
            None => {
                lost.get_or_insert(start);
                start = start.saturating_add(1);
            }
        }
    }
    if let Some(lost) = lost {
        damaged(lost..block.len());
    }
}

/// The record of `header`, without its body: see [`super::erase`].
pub(in crate::store) fn erased(block: &[u8], header: &Header, salt: Salt) -> Option<Vec<u8>> {
    let mut bytes = block.get(header.start..header.end())?.to_vec();
    let head_len = header.headers.start.checked_sub(header.start)?;
    let (head, body) = bytes.split_at_mut_checked(head_len)?;
    body.fill(0);
    let (crc, covered) = head.split_first_chunk_mut::<4>()?;
    let zeros = crc_of_zeros(header.headers.len(), header.payload.len());
    *covered.first_chunk_mut::<4>()? = (!zeros).to_le_bytes();
    *crc = crc32c::crc32c_append(salt.0, covered).to_le_bytes();
    Some(bytes)
}

fn crc_of_zeros(headers: usize, payload: usize) -> u32 {
    let zeros = vec![0; headers.max(payload)];
    let part = |len: usize| zeros.get(..len).unwrap_or_default();
    body_crc(&Record { time: 0, subject: b"", headers: part(headers), payload: part(payload) })
}

/// The parts of a block that are not as they were written.
pub(in crate::store) fn damaged_records(block: &[u8], salt: Salt) -> Vec<Range<usize>> {
    let damaged = std::cell::RefCell::new(Vec::new());
    scan(
        block,
        0,
        salt,
        |start, header| {
            if header.record(block, 0).is_none() && !header.is_erased(block) {
                damaged.borrow_mut().push(start..header.end());
            }
        },
        |range| damaged.borrow_mut().push(range),
    );
    damaged.into_inner()
}

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic fails the test"
)]
mod tests {
    use super::*;

    const SALT: (u64, u64, u64) = (3, 100, 1_000_000);

    fn block() -> (Vec<u8>, Vec<usize>) {
        let salt = Salt::new(SALT.0, SALT.1, SALT.2);
        let mut bytes = Vec::new();
        let mut starts = Vec::new();
        for at in 0..5 {
            starts.push(bytes.len());
            let record = Record {
                time: 0,
                subject: b"orders.new",
                headers: if at % 2 == 0 { b"" } else { b"NATS/1.0\r\nA: b\r\n\r\n" },
                payload: &[b'x'; 128][..at as usize * 20],
            };
            put(&mut bytes, salt, at * 3, u64::from(at) * 1000, &record, body_crc(&record));
        }
        (bytes, starts)
    }

    fn read(bytes: &[u8]) -> (Vec<(u32, bool)>, usize) {
        let mut found = Vec::new();
        let mut damaged = 0;
        let salt = Salt::new(SALT.0, SALT.1, SALT.2);
        scan(
            bytes,
            0,
            salt,
            |_, header| found.push((header.at, header.record(bytes, SALT.2).is_some())),
            |range| damaged += range.len(),
        );
        (found, damaged)
    }

    #[test]
    fn every_flipped_bit_costs_one_message_at_most() {
        let (mut bytes, starts) = block();
        let whole: Vec<_> = [0, 3, 6, 9, 12].map(|at| (at, true)).into();
        assert_eq!(read(&bytes), (whole.clone(), 0));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (found, damaged) = read(&bytes);
            let hit = starts.partition_point(|start| *start <= bit / 8) - 1;
            let intact: Vec<_> = found.iter().filter(|(_, intact)| *intact).copied().collect();
            let mut expected = whole.clone();
            expected.remove(hit);
            assert_eq!(intact, expected, "bit {bit}");
            assert_eq!(damaged == 0, found.len() == 5, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn an_erased_record_keeps_its_place_and_nothing_of_its_body() {
        let salt = Salt::new(SALT.0, SALT.1, SALT.2);
        for at in 0..5 {
            let (mut bytes, starts) = block();
            let header = Header::parse(&bytes, starts[at], salt).unwrap();
            assert!(!header.is_erased(&bytes));
            let erased = erased(&bytes, &header, salt).unwrap();
            bytes[header.start..header.end()].copy_from_slice(&erased);
            let (found, damaged) = read(&bytes);
            assert_eq!((found.len(), damaged), (5, 0));
            assert!(!found[at].1, "it is no message any more");
            let again = Header::parse(&bytes, starts[at], salt).unwrap();
            assert!(again.is_erased(&bytes));
            assert_eq!(again.subject, header.subject);
            assert!(bytes[again.headers.start..again.end()].iter().all(|byte| *byte == 0));
            assert!(damaged_records(&bytes, salt).is_empty());
        }
    }

    #[test]
    fn a_record_of_another_block_does_not_pass() {
        let (bytes, _) = block();
        assert!(Header::parse(&bytes, 0, Salt::new(3, 100, 1_000_001)).is_none());
        for cut in 0..bytes.len() {
            read(&bytes[..cut]);
        }
    }
}
