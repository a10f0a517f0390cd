//! What lies in a journal file.
//!
//! ```text
//! file:   head (one page) | commit | commit | ...        each padded to whole pages
//! commit: head (80 bytes) | event | event | ...
//! event:  head (32 bytes) | body
//! ```
//! Numbers are little-endian. A commit head has a checksum of its own and one
//! over the events; one that does not fit drops the commit whole. Each event has
//! two checksums as well, for the case that a commit that was durable is damaged
//! later: then what is intact is saved. They start from the journal's identity
//! and the commit's number, so that an event of an older commit never passes.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::store::Record;

/// A place in the journal: a commit, and the bytes of its events before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::store) struct Position {
    pub(in crate::store) commit: u64,
    pub(in crate::store) offset: u64,
}

/// The first page of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHead {
    pub(super) identity: u64,
    pub(super) file: u64,
    pub(super) boot: u64,
    /// Commits of older files above this one do not count.
    pub(super) valid_before: u64,
    /// Streams made from now on have this number or a higher one.
    pub(super) next_stream: u64,
    /// Bytes the file had when it was made; it never has less.
    pub(super) size: u64,
}

/// What a commit starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommitHead {
    pub(super) identity: u64,
    pub(super) file: u64,
    pub(super) boot: u64,
    pub(super) commit: u64,
    /// The highest commit that was known to be durable when this one was written.
    pub(super) durable: u64,
    /// As in [`FileHead`].
    pub(super) valid_before: u64,
    /// Commits up to this one may be missing: nothing needs them.
    pub(super) released: u64,
    /// Bytes of its events.
    pub(super) len: u32,
    pub(super) events: u32,
    pub(super) crc: u32,
}

/// Something that happened to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Event<'a> {
    pub(in crate::store) kind: EventKind,
    pub(in crate::store) flag: u8,
    pub(in crate::store) stream: u64,
    pub(in crate::store) seq: u64,
    pub(in crate::store) body: &'a [u8],
    /// For a message: the checksum of headers and payload. For others: of the body.
    pub(in crate::store) body_crc: u32,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum EventKind {
    /// The message `seq`: time, length of subject, length of headers, and the three parts.
    Append = 1,
    /// The message `seq` is gone; with a flag, its bytes are overwritten too.
    Remove = 2,
    /// All messages below `seq` are gone.
    RemoveBelow = 3,
    /// The next message is `seq`.
    SkipTo = 4,
    /// Something that the owner of the stream knows.
    Note = 5,
    /// A stream of that identity is made.
    Create = 6,
    /// It is removed.
    Delete = 7,
}

/// Bytes of a commit's head.
pub(super) const COMMIT_HEAD: usize = 80;
/// Bytes of an event's head.
pub(super) const EVENT_HEAD: usize = 32;
/// Bytes of a message's body before its subject.
const MESSAGE_HEAD: usize = 16;
/// The version of everything in this file.
pub(in crate::store) const VERSION: u32 = 1;

const FILE_MAGIC: u64 = u64::from_le_bytes(*b"MIDGEJNL");
const COMMIT_MAGIC: u32 = u32::from_le_bytes(*b"MCMT");
const FILE_HEAD: usize = 68;

impl FileHead {
    /// Writes it to the first bytes of `page`, the rest of which becomes zero.
    pub(super) fn write(&self, page: &mut [u8]) {
        let mut writer = Writer { bytes: page };
        writer.u64(FILE_MAGIC);
        writer.u32(VERSION);
        writer.u32(0);
        let Self { identity, file, boot, valid_before, next_stream, size } = *self;
        for number in [identity, file, boot, valid_before, next_stream, size] {
            writer.u64(number);
        }
        writer.bytes.fill(0);
        seal(page, FILE_HEAD);
    }

    pub(super) fn parse(page: &[u8]) -> Option<Self> {
        let mut reader = Reader { bytes: sealed(page, FILE_HEAD)? };
        if reader.u64()? != FILE_MAGIC || reader.u32()? != VERSION || reader.u32()? != 0 {
            return None;
        }
        Some(Self {
            identity: reader.u64()?,
            file: reader.u64()?,
            boot: reader.u64()?,
            valid_before: reader.u64()?,
            next_stream: reader.u64()?,
            size: reader.u64()?,
        })
    }
}

impl CommitHead {
    pub(super) fn write(&self, into: &mut [u8]) {
        let mut writer = Writer { bytes: into };
        writer.u32(COMMIT_MAGIC);
        writer.u32(VERSION);
        let Self { identity, file, boot, commit, durable, valid_before, released, .. } = *self;
        for number in [identity, file, boot, commit, durable, valid_before, released] {
            writer.u64(number);
        }
        writer.u32(self.len);
        writer.u32(self.events);
        writer.u32(self.crc);
        seal(into, COMMIT_HEAD);
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { bytes: sealed(bytes, COMMIT_HEAD)? };
        if reader.u32()? != COMMIT_MAGIC || reader.u32()? != VERSION {
            return None;
        }
        Some(Self {
            identity: reader.u64()?,
            file: reader.u64()?,
            boot: reader.u64()?,
            commit: reader.u64()?,
            durable: reader.u64()?,
            valid_before: reader.u64()?,
            released: reader.u64()?,
            len: reader.u32()?,
            events: reader.u32()?,
            crc: reader.u32()?,
        })
    }

    /// Whether bytes that are no head look as if they had been one of `file`.
    pub(super) fn resembles(bytes: &[u8], file: u64) -> bool {
        let is_magic = bytes.starts_with(&COMMIT_MAGIC.to_le_bytes());
        let is_version = bytes.get(4..8) == Some(&VERSION.to_le_bytes());
        let is_file = bytes.get(16..24) == Some(&file.to_le_bytes());
        [is_magic, is_version, is_file].into_iter().filter(|same| *same).count() >= 2
    }

    /// The events, if all of them are as they were written.
    pub(super) fn body<'b>(&self, commit: &'b [u8]) -> Option<&'b [u8]> {
        let end = COMMIT_HEAD.checked_add(usize::try_from(self.len).ok()?)?;
        let body = commit.get(COMMIT_HEAD..end)?;
        (crc32c::crc32c(body) == self.crc).then_some(body)
    }
}

/// Bytes that a message takes as an event.
pub(super) fn message_size(record: &Record<'_>) -> usize {
    let parts = [EVENT_HEAD, MESSAGE_HEAD, record.subject.len(), record.headers.len()];
    parts.into_iter().fold(record.payload.len(), usize::saturating_add)
}

/// What ties events to their commit.
pub(super) fn event_salt(identity: u64, commit: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&identity.to_le_bytes()), &commit.to_le_bytes())
}

/// Writes a message to `into`, which has [`message_size`] bytes.
pub(super) fn write_message(
    into: &mut [u8],
    salt: u32,
    stream: u64,
    seq: u64,
    record: &Record<'_>,
    body_crc: u32,
) {
    let body = into.len().saturating_sub(EVENT_HEAD);
    let mut writer = Writer { bytes: into };
    writer.event_head(EventKind::Append, 0, stream, seq, length(body), body_crc);
    writer.u64(record.time);
    writer.u32(length(record.subject.len()));
    writer.u32(length(record.headers.len()));
    writer.put(record.subject);
    writer.put(record.headers);
    writer.put(record.payload);
    let covered = EVENT_HEAD.saturating_add(MESSAGE_HEAD).saturating_add(record.subject.len());
    seal_event(into, salt, covered);
}

/// Writes any other event to `into`, which has room for its head and body exactly.
pub(super) fn write_event(into: &mut [u8], salt: u32, event: &Event<'_>) {
    let mut writer = Writer { bytes: into };
    let Event { kind, flag, stream, seq, body, .. } = *event;
    writer.event_head(kind, flag, stream, seq, length(body.len()), crc32c::crc32c(body));
    writer.put(body);
    seal_event(into, salt, EVENT_HEAD);
}

impl<'a> Event<'a> {
    /// Takes an event off `bytes`, trusting them: the commit's checksum fits.
    pub(super) fn take(bytes: &mut &'a [u8]) -> Option<Self> {
        let (event, rest) = Self::parse(bytes)?;
        *bytes = rest;
        Some(event)
    }

    /// Reads an event in bytes that may be anything; its body may be damaged.
    pub(super) fn find(bytes: &'a [u8], salt: u32) -> Option<(Self, usize)> {
        let (event, rest) = Self::parse(bytes)?;
        let subject = match event.kind {
            EventKind::Append => MESSAGE_HEAD.checked_add(event.message_lengths()?.0)?,
            _ => 0,
        };
        let covered = bytes.get(4..EVENT_HEAD.checked_add(subject)?)?;
        let crc = u32::from_le_bytes(*bytes.first_chunk()?);
        (crc32c::crc32c_append(salt, covered) == crc)
            .then_some((event, bytes.len().checked_sub(rest.len())?))
    }

    /// The message of an `Append`, not checked.
    pub(in crate::store) fn record(&self) -> Option<Record<'a>> {
        let (subject, headers) = self.message_lengths()?;
        let time = u64::from_le_bytes(*self.body.first_chunk()?);
        let (subject, rest) = self.body.get(MESSAGE_HEAD..)?.split_at_checked(subject)?;
        let (headers, payload) = rest.split_at_checked(headers)?;
        Some(Record { time, subject, headers, payload })
    }

    /// Whether the body is as it was written.
    pub(in crate::store) fn is_intact(&self) -> bool {
        let crc = match self.kind {
            EventKind::Append => self.record().map(|record| crate::store::index::body_crc(&record)),
            _ => Some(crc32c::crc32c(self.body)),
        };
        crc == Some(self.body_crc)
    }

    fn message_lengths(&self) -> Option<(usize, usize)> {
        let mut reader = Reader { bytes: self.body.get(8..)? };
        let subject = usize::try_from(reader.u32()?).ok()?;
        let headers = usize::try_from(reader.u32()?).ok()?;
        Some((subject, headers))
    }

    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut reader = Reader { bytes: bytes.get(4..)? };
        let body_crc = reader.u32()?;
        let [kind, flag, _, _] = reader.u32()?.to_le_bytes();
        let len = usize::try_from(reader.u32()?).ok()?;
        let stream = reader.u64()?;
        let seq = reader.u64()?;
        let (body, rest) = reader.bytes.split_at_checked(len)?;
        let kind = EventKind::from_byte(kind)?;
        Some((Self { kind, flag, stream, seq, body, body_crc }, rest))
    }
}

impl EventKind {
    fn from_byte(byte: u8) -> Option<Self> {
        let kinds = [
            Self::Append,
            Self::Remove,
            Self::RemoveBelow,
            Self::SkipTo,
            Self::Note,
            Self::Create,
            Self::Delete,
        ];
        kinds.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Lengths are below 4 GiB: parts of messages are bounded by `max_payload`.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Puts the checksum of the first `end - 4` bytes behind them.
fn seal(bytes: &mut [u8], end: usize) {
    if let Some((covered, crc)) = bytes.get_mut(..end).and_then(<[u8]>::split_last_chunk_mut::<4>) {
        *crc = crc32c::crc32c(covered).to_le_bytes();
    }
}

/// The bytes that [`seal`] covered, if they are as they were.
fn sealed(bytes: &[u8], end: usize) -> Option<&[u8]> {
    let (covered, crc) = bytes.get(..end)?.split_last_chunk::<4>()?;
    (crc32c::crc32c(covered) == u32::from_le_bytes(*crc)).then_some(covered)
}

fn seal_event(event: &mut [u8], salt: u32, end: usize) {
    if let Some((crc, covered)) = event.get_mut(..end).and_then(<[u8]>::split_first_chunk_mut::<4>)
    {
        *crc = crc32c::crc32c_append(salt, covered).to_le_bytes();
    }
}

struct Writer<'b> {
    bytes: &'b mut [u8],
}

impl Writer<'_> {
    fn put(&mut self, part: &[u8]) {
        let bytes = std::mem::take(&mut self.bytes);
        if let Some((place, rest)) = bytes.split_at_mut_checked(part.len()) {
            place.copy_from_slice(part);
            self.bytes = rest;
        }
    }

    fn u32(&mut self, number: u32) {
        self.put(&number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.put(&number.to_le_bytes());
    }

    fn event_head(&mut self, kind: EventKind, flag: u8, stream: u64, seq: u64, len: u32, crc: u32) {
        self.u32(0);
        self.u32(crc);
        self.put(&[kind as u8, flag, 0, 0]);
        self.u32(len);
        self.u64(stream);
        self.u64(seq);
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
}

impl Reader<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (number, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(u32::from_le_bytes(*number))
    }

    fn u64(&mut self) -> Option<u64> {
        let (number, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(u64::from_le_bytes(*number))
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;

    #[test]
    fn heads_come_back_and_no_bit_of_them_may_flip() {
        let head =
            FileHead { identity: 1, file: 2, boot: 3, valid_before: 4, next_stream: 5, size: 6 };
        let mut page = [9; 128];
        head.write(&mut page);
        assert_eq!(FileHead::parse(&page), Some(head));
        let commit = CommitHead {
            identity: 1,
            file: 2,
            boot: 3,
            commit: 4,
            durable: 3,
            valid_before: 1,
            released: 1,
            len: 0,
            events: 0,
            crc: 0,
        };
        let mut bytes = [0; COMMIT_HEAD];
        commit.write(&mut bytes);
        assert_eq!(CommitHead::parse(&bytes), Some(commit));
        for bit in 0..FILE_HEAD * 8 {
            let mut flipped = page;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FileHead::parse(&flipped), None);
        }
        for bit in 0..COMMIT_HEAD * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(CommitHead::parse(&flipped), None);
        }
    }

    #[test]
    fn events_come_back_and_pass_only_in_their_commit() {
        let record = Record { time: 77, subject: b"a.b", headers: b"hh", payload: b"payload" };
        let salt = event_salt(1, 2);
        let mut bytes = vec![0; message_size(&record)];
        let crc = crate::store::index::body_crc(&record);
        write_message(&mut bytes, salt, 5, 6, &record, crc);
        let (event, size) = Event::find(&bytes, salt).unwrap();
        assert_eq!((event.stream, event.seq, size), (5, 6, bytes.len()));
        assert!(event.is_intact());
        let read = event.record().unwrap();
        assert_eq!((read.time, read.subject, read.headers), (77, &b"a.b"[..], &b"hh"[..]));
        assert_eq!(read.payload, b"payload");
        assert_eq!(Event::find(&bytes, event_salt(1, 3)), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Event::find(&flipped, salt).is_none_or(|(event, _)| !event.is_intact()));
        }
    }
}
