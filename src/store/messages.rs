//! A stream's messages as its state machine sees them.

use thiserror::Error;

/// The number of a commit of the shard's journal; what depends on it may be
/// told once it is durable. [`Commit::NONE`] always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commit(pub u64);

impl Commit {
    /// Nothing to wait for.
    pub const NONE: Self = Self(0);
}

/// The identity of a stream in the store, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// Where a stream keeps its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StorageKind {
    /// On disk.
    #[default]
    File,
    /// In memory only.
    Memory,
}

/// Where a stream starts and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Sequence of the first message; `last_seq + 1` if there is none. A
    /// new stream has 0 here and in `last_seq`.
    pub first_seq: u64,
    /// Sequence that was given last, whether its message still is there.
    pub last_seq: u64,
    /// Messages there are.
    pub messages: u64,
    /// Their bytes, as [`record_bytes`] counts.
    pub bytes: u64,
    /// When the first message was stored, in nanoseconds since 1970; 0 if there is none.
    pub first_time: u64,
    /// When the last message was stored; 0 if there never was one.
    pub last_time: u64,
}

/// What a stream has of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectState {
    /// Sequence of its first message.
    pub first: u64,
    /// Sequence of its last message.
    pub last: u64,
    /// Messages it has.
    pub count: u64,
}

/// A message to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Subject it is stored under.
    pub subject: &'a [u8],
    /// The header block, `NATS/1.0\r\n` to the empty line; empty if there is none.
    pub headers: &'a [u8],
    /// The body.
    pub payload: &'a [u8],
}

/// A message that was read; its memory is used again from read to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its sequence.
    pub seq: u64,
    /// Nanoseconds since 1970.
    pub time: u64,
    bytes: Vec<u8>,
    subject_len: usize,
    headers_len: usize,
}

impl Message {
    /// Makes this the message `record` with sequence `seq`.
    pub fn set(&mut self, seq: u64, record: &Record<'_>) {
        self.seq = seq;
        self.time = record.time;
        self.bytes.clear();
        self.bytes.extend_from_slice(record.subject);
        self.bytes.extend_from_slice(record.headers);
        self.bytes.extend_from_slice(record.payload);
        self.subject_len = record.subject.len();
        self.headers_len = record.headers.len();
    }

    /// Subject it is stored under.
    pub fn subject(&self) -> &[u8] {
        self.bytes.get(..self.subject_len).unwrap_or_default()
    }

    /// The header block; empty if there is none.
    pub fn headers(&self) -> &[u8] {
        self.bytes.get(self.subject_len..self.body_at()).unwrap_or_default()
    }

    /// The body.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.body_at()..).unwrap_or_default()
    }

    /// The message as one to be stored.
    pub fn record(&self) -> Record<'_> {
        Record {
            time: self.time,
            subject: self.subject(),
            headers: self.headers(),
            payload: self.payload(),
        }
    }

    fn body_at(&self) -> usize {
        self.subject_len.saturating_add(self.headers_len)
    }
}

/// Why a message that should be there cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReadError {
    /// Its bytes are not those that were written.
    #[error("message {0} is damaged")]
    Damaged(u64),
    /// The device failed.
    #[error("message {seq} cannot be read: {reason}")]
    Device {
        /// The message.
        seq: u64,
        /// What the system said.
        reason: String,
    },
}

/// Why a stream's storage could not be made.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// The device failed, or is full.
    #[error("{0}")]
    Device(String),
}

/// The streams that a shard stores.
pub trait Stores {
    /// Makes room for a new stream. `head` says who it is (account, name, time
    /// of creation); it is opaque here and stands in every file of the stream.
    ///
    /// # Errors
    /// Nothing was made.
    fn create(
        &mut self,
        kind: StorageKind,
        head: &[u8],
    ) -> Result<(StreamId, Box<dyn StreamStore>), StoreError>;

    /// Changes and bytes that wait to be written, of all streams.
    fn backlog(&self) -> (u64, u64) {
        (0, 0)
    }

    /// Removes a stream and all it has; it is gone for good once the commit
    /// that is returned is durable.
    fn delete(&mut self, id: StreamId, store: Box<dyn StreamStore>) -> Commit;
}

/// Bytes that a message counts for in limits and `state.bytes`, as nats-server
/// counts them (reference/jetstream.md, 8.3).
pub fn record_bytes(kind: StorageKind, subject: usize, headers: usize, payload: usize) -> u64 {
    let body = (subject as u64).saturating_add(headers as u64).saturating_add(payload as u64);
    let overhead = match kind {
        StorageKind::File if headers > 0 => 22 + 8 + 4,
        StorageKind::File => 22 + 8,
        StorageKind::Memory => 16,
    };
    body.saturating_add(overhead)
}

/// The stored messages of one stream: the staged state, which readers of this
/// trait see at once, and which is durable once [`staged`](Self::staged) is.
///
/// Calls on one thread, without I/O but reads of segments. `filters` are valid
/// subject patterns that do not overlap; an empty list means every subject.
pub trait StreamStore: std::fmt::Debug {
    /// Where messages are kept.
    fn kind(&self) -> StorageKind;

    /// Where the stream starts and ends.
    fn extent(&self) -> Extent;

    /// Subjects there are messages of.
    fn subject_count(&self) -> u64;

    /// The commit that the last change will be part of; [`Commit::NONE`] if all
    /// changes are durable, and always in memory.
    fn staged(&self) -> Commit;

    /// Stores a message and returns its sequence, `last_seq + 1`. Times never
    /// go backwards.
    fn append(&mut self, record: &Record<'_>) -> u64;

    /// The next message gets sequence `seq`, which is above `last_seq`: those in
    /// between were never there. An empty stream starts at `seq`.
    fn skip_to(&mut self, seq: u64);

    /// Removes one message; `erase` also overwrites its bytes. Returns whether it was there.
    fn remove(&mut self, seq: u64, erase: bool) -> bool;

    /// Removes every message below `seq`; beyond `last_seq` it moves the end as
    /// well, to `seq - 1`. Returns the messages removed.
    fn remove_below(&mut self, seq: u64) -> u64;

    /// Changes between this and [`end_group`](Self::end_group) become durable together or not at all.
    fn begin_group(&mut self);

    /// Ends what [`begin_group`](Self::begin_group) began.
    fn end_group(&mut self);

    /// An event of the state machine above, opaque here; replayed in order after a restart
    /// unless a later snapshot covers it.
    fn note(&mut self, bytes: &[u8]);

    /// Reads one message. `Ok(false)` if there is none of that sequence.
    ///
    /// # Errors
    /// It should be there and is damaged, or the device failed.
    fn read(&mut self, seq: u64, into: &mut Message) -> Result<bool, ReadError>;

    /// Whether there is a message of that sequence.
    fn contains(&self, seq: u64) -> bool;

    /// The first message at or after `from`.
    fn next_seq(&self, from: u64) -> Option<u64>;

    /// The first sequence stored at or after `time`, `last_seq + 1` if none.
    fn seq_at_time(&mut self, time: u64) -> u64;

    /// What there is of one subject.
    fn subject(&self, subject: &[u8]) -> Option<SubjectState>;

    /// Calls `visit` with each subject that matches, in byte order, until it returns false.
    fn for_each_subject(
        &self,
        filters: &[Box<[u8]>],
        visit: &mut dyn FnMut(&[u8], SubjectState) -> bool,
    );

    /// The first message at or after `from` whose subject matches.
    fn first_matching(&mut self, filters: &[Box<[u8]>], from: u64) -> Option<u64>;

    /// The last message at or before `up_to` whose subject matches.
    fn last_matching(&mut self, filters: &[Box<[u8]>], up_to: u64) -> Option<u64>;

    /// How many messages at or after `from` match. Exact.
    fn count_matching(&mut self, filters: &[Box<[u8]>], from: u64) -> u64;

    /// Calls `visit` with each missing run `first..=last` between the first and
    /// the last message, in order, until it returns false.
    fn for_each_gap(&self, visit: &mut dyn FnMut(u64, u64) -> bool);
}
