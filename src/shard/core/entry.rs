//! What travels in a data lane: entries, packed into batches.
//!
//! An entry is a fixed header, the picks of queue groups, the subject it is
//! routed by if that is another one, the subject, and the
//! tail of the publisher's frame (`[reply ][header size ]size\r\n` payload
//! `\r\n`), which the receiver copies untouched into its subscribers' buffers.
//! Entries never leave the process: integers are in native order and a batch
//! that does not decode is a bug, not input.

use super::connection::ConnKey;
use crate::proto::Publish;
use crate::router::ShardSet;
use crate::subject::AccountId;

/// Bytes after which a batch is sealed; one entry may be larger than that.
pub(super) const BATCH_BYTES: usize = 64 * 1024;

/// Entries on their way to one shard.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// The entries, back to back.
    pub bytes: Vec<u8>,
    /// How many there are.
    pub entries: u32,
}

/// What an entry asks of its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Deliver to plain subscribers and to the picked queues.
    Message,
    /// A picked queue had no member left: pick again, not among `tried`.
    ReturnedPick,
    /// Nobody on that shard took the plain branch of a request.
    ReturnedBranch,
}

/// A queue that the origin picked a shard for: the keyed hash of its name, the
/// same on all shards. A name and not a group's number, because a message may
/// match groups of one name on several patterns, and any of them may be gone
/// when it arrives.
pub(super) type QueuePick = u64;

/// The head of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) account: AccountId,
    /// The publishing connection, on the shard where it lives.
    pub(super) origin: ConnKey,
    /// The publisher does not want its own messages.
    pub(super) no_echo: bool,
    /// Deliver to plain subscribers.
    pub(super) plain: bool,
    /// It came through the import of a service: imports of streams pass it by.
    pub(super) imported: bool,
    /// The request this entry is a branch of; 0 if nobody waits for a 503.
    pub(super) request: u64,
    /// Shards that were tried for the returned pick.
    pub(super) tried: ShardSet,
    /// The trace that what happens here is to be told to; 0 if nobody traces.
    pub(super) trace: u64,
}

/// A decoded entry.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) head: Head,
    picks: &'a [u8],
    /// The subject to route by; empty if it is the message's.
    pub(super) to: &'a [u8],
    pub(super) message: Publish<'a>,
}

impl<'a> Entry<'a> {
    /// The subject that subscribers are looked up by.
    #[inline]
    pub(super) fn route(&self) -> &'a [u8] {
        if self.to.is_empty() {
            self.message.subject
        } else {
            self.to
        }
    }

    /// The queues picked on the receiver.
    pub(super) fn picks(&self) -> impl Iterator<Item = QueuePick> + '_ {
        self.picks.chunks_exact(PICK_BYTES).map(read_u64)
    }
}

const HEAD_BYTES: usize = 56;
const PICK_BYTES: usize = 8;
/// A trace's number stands behind the picks of an entry that is traced only.
const TRACE_BYTES: usize = 8;
const PLAIN: u8 = 1;
const NO_ECHO: u8 = 2;
const TRACED: u8 = 4;
const IMPORTED: u8 = 8;
const NO_HEADER: u32 = u32::MAX;

/// Bytes that [`encode`] will append at most.
pub(super) fn encoded_bytes_max(to: &[u8], message: &Publish<'_>, picks: usize) -> usize {
    HEAD_BYTES
        + picks * PICK_BYTES
        + to.len()
        + message.subject.len()
        + message.reply.len()
        + message.header_size_text.len()
        + message.size_text.len()
        + message.payload.len()
        + TRACE_BYTES
        + 8
}

/// Appends an entry to `out`. `to` is the subject to route by, empty if it is
/// the message's.
pub(super) fn encode(
    out: &mut Vec<u8>,
    head: &Head,
    picks: &[QueuePick],
    to: &[u8],
    message: &Publish<'_>,
) {
    let mut bytes = [0_u8; HEAD_BYTES];
    bytes[0] = match head.kind {
        Kind::Message => 0,
        Kind::ReturnedPick => 1,
        Kind::ReturnedBranch => 2,
    };
    bytes[1] = if head.plain { PLAIN } else { 0 }
        | if head.no_echo { NO_ECHO } else { 0 }
        | if head.imported { IMPORTED } else { 0 }
        | if head.trace != 0 { TRACED } else { 0 };
    bytes[2] = small(message.header_size_text.len());
    bytes[3] = small(message.size_text.len());
    put_u32(&mut bytes, 4, length(picks.len()));
    put_u32(&mut bytes, 8, length(message.subject.len()));
    put_u32(&mut bytes, 12, length(message.reply.len()));
    put_u32(&mut bytes, 16, message.header_len.unwrap_or(NO_HEADER));
    put_u32(&mut bytes, 20, length(message.payload.len()));
    put_u32(&mut bytes, 24, head.account.0);
    put_u32(&mut bytes, 28, length(to.len()));
    put_u64(&mut bytes, 32, head.origin.to_u64());
    put_u64(&mut bytes, 40, head.request);
    put_u64(&mut bytes, 48, head.tried.0);
    out.extend_from_slice(&bytes);
    for pick in picks {
        out.extend_from_slice(&pick.to_ne_bytes());
    }
    if head.trace != 0 {
        out.extend_from_slice(&head.trace.to_ne_bytes());
    }
    out.extend_from_slice(to);
    out.extend_from_slice(message.subject);
    match message.tail {
        Some(tail) => out.extend_from_slice(tail),
        None => write_canonical_tail(out, message),
    }
}

/// Writes the tail that a canonical frame of `message` would have had.
pub(super) fn write_canonical_tail(out: &mut Vec<u8>, message: &Publish<'_>) {
    if !message.reply.is_empty() {
        out.extend_from_slice(message.reply);
        out.push(b' ');
    }
    if message.header_len.is_some() {
        out.extend_from_slice(message.header_size_text);
        out.push(b' ');
    }
    out.extend_from_slice(message.size_text);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(message.payload);
    out.extend_from_slice(b"\r\n");
}

/// Decodes the entry at the start of `bytes` and returns it with its length.
pub(super) fn decode(bytes: &[u8]) -> (Entry<'_>, usize) {
    let (head, rest) = bytes.split_at(HEAD_BYTES);
    let kind = match head[0] {
        0 => Kind::Message,
        1 => Kind::ReturnedPick,
        _ => Kind::ReturnedBranch,
    };
    let header_text = usize::from(head[2]);
    let size_text = usize::from(head[3]);
    let (picks, rest) = rest.split_at(read_u32(head, 4) as usize * PICK_BYTES);
    let traced = if head[1] & TRACED != 0 { TRACE_BYTES } else { 0 };
    let (trace, rest) = rest.split_at(traced);
    let (to, rest) = rest.split_at(read_u32(head, 28) as usize);
    let (subject, rest) = rest.split_at(read_u32(head, 8) as usize);
    let reply = read_u32(head, 12) as usize;
    let header_len = Some(read_u32(head, 16)).filter(|&length| length != NO_HEADER);
    let payload = read_u32(head, 20) as usize;

    let header_at = if reply > 0 { reply + 1 } else { 0 };
    let size_at = header_at + if header_len.is_some() { header_text + 1 } else { 0 };
    let payload_at = size_at + size_text + 2;
    let tail = &rest[..payload_at + payload + 2];
    let message = Publish {
        subject,
        reply: &tail[..reply],
        header_len,
        header_size_text: &tail[header_at..header_at + header_text],
        size_text: &tail[size_at..size_at + size_text],
        payload: &tail[payload_at..payload_at + payload],
        tail: Some(tail),
    };
    let head = Head {
        kind,
        account: AccountId(read_u32(head, 24)),
        origin: ConnKey::from_u64(read_u64(&head[32..40])),
        no_echo: head[1] & NO_ECHO != 0,
        plain: head[1] & PLAIN != 0,
        imported: head[1] & IMPORTED != 0,
        request: read_u64(&head[40..48]),
        tried: ShardSet(read_u64(&head[48..56])),
        trace: if trace.is_empty() { 0 } else { read_u64(trace) },
    };
    let consumed = HEAD_BYTES + picks.len() + traced + to.len() + subject.len() + tail.len();
    (Entry { head, picks, to, message }, consumed)
}

/// Lengths in an entry are below 4 GiB: payloads have at most nine digits.
#[expect(clippy::cast_possible_truncation, reason = "checked by the assertion")]
fn length(bytes: usize) -> u32 {
    assert!(bytes < u32::MAX as usize);
    bytes as u32
}

/// Digits of a size: nine at most.
#[expect(clippy::cast_possible_truncation, reason = "checked by the assertion")]
fn small(digits: usize) -> u8 {
    assert!(digits <= 255);
    digits as u8
}

fn put_u32(bytes: &mut [u8; HEAD_BYTES], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

fn put_u64(bytes: &mut [u8; HEAD_BYTES], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_ne_bytes(word)
}

fn read_u64(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::ConnId;

    fn head(kind: Kind) -> Head {
        Head {
            kind,
            account: AccountId(7),
            origin: ConnKey::new(ConnId(3), 9),
            no_echo: true,
            plain: true,
            imported: true,
            request: 77,
            tried: ShardSet(0b101),
            trace: 0,
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for (to, reply, header, size, payload) in [
            (&b""[..], &b""[..], None, &b"5"[..], &b"hello"[..]),
            (b"", b"in.box", None, b"005", b"hello"),
            (b"box", b"in.box", Some((12, &b"12"[..])), b"14", b"NATS/1.0\r\n\r\nhi"),
            (b"box", b"", Some((0, b"0")), b"0", b""),
        ] {
            let message = Publish {
                subject: b"a.b",
                reply,
                header_len: header.map(|(length, _)| length),
                header_size_text: header.map_or(b"", |(_, text)| text),
                size_text: size,
                payload,
                tail: None,
            };
            let picks = [5, 6 << 32];
            let kinds = [Kind::Message, Kind::ReturnedPick, Kind::ReturnedBranch];
            for (kind, trace) in kinds.into_iter().flat_map(|kind| [(kind, 0), (kind, 9)]) {
                let head = Head { trace, ..head(kind) };
                let mut bytes = Vec::new();
                encode(&mut bytes, &head, &picks, to, &message);
                assert!(bytes.len() <= encoded_bytes_max(to, &message, 2));
                let total = bytes.len();
                bytes.extend_from_slice(b"next");
                let (entry, consumed) = decode(&bytes);
                assert_eq!(consumed, total);
                assert_eq!(entry.head, head);
                assert_eq!(entry.picks().collect::<Vec<_>>(), picks);
                assert_eq!(entry.to, to);
                assert_eq!(entry.message.subject, b"a.b");
                assert_eq!(entry.message.reply, reply);
                assert_eq!(entry.message.header_len, message.header_len);
                assert_eq!(entry.message.size_text, size);
                assert_eq!(entry.message.payload, payload);
            }
        }
    }
}
