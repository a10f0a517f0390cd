//! What a subscription of the engine is for, packed into its name, so that a message finds its
//! stream and consumer without a look at its subject.
//!
//! ```text
//! 63    60 59           40 39       32 31                     0
//! | kind  |  stream slot  | its lap   |       consumer        |
//! ```
//!
//! A stream's slot is used again after it is deleted; the lap tells messages that still were on
//! their way to the old stream.

use super::outbox::Token;

/// A stream of the engine: its place in the table and how often that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamIndex {
    /// Place in the table, below [`SLOTS_MAX`].
    pub slot: u32,
    /// Which stream that has been there.
    pub lap: u8,
}

/// What a message on a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A request to `$JS.API.>`.
    Api,
    /// The same with a domain: `$JS.<domain>.API.>`.
    DomainApi,
    /// A message to a subject of a stream.
    Publish(StreamIndex),
    /// A request to `$JS.API.DIRECT.GET.<stream>` with a body.
    DirectGet(StreamIndex),
    /// A request to `$JS.API.DIRECT.GET.<stream>.<subject>`.
    DirectGetLast(StreamIndex),
    /// A request to `$JS.API.CONSUMER.MSG.NEXT.<stream>.<consumer>`.
    Next(StreamIndex, u32),
    /// An acknowledgement, `$JS.ACK.<stream>.<consumer>.>`.
    Ack(StreamIndex, u32),
    /// An acknowledgement of the long form, `$JS.ACK.<domain>.<account>.<stream>.<consumer>.>`.
    AckLong(StreamIndex, u32),
    /// An answer to a flow control request, `$JS.FC.<stream>.<consumer>.*`.
    Flow(StreamIndex, u32),
    /// An acknowledgement of a chunk of a snapshot.
    SnapshotAck(StreamIndex, u32),
    /// A chunk of a stream that is restored; the number is the restore's.
    Restore(u32),
    /// A message of an origin that feeds the stream; the number is the attempt's.
    FeedData(StreamIndex, u32),
    /// What such an origin answers.
    FeedReply(StreamIndex, u32),
}

impl Purpose {
    /// The name of a subscription for this.
    pub fn token(self) -> Token {
        let no_stream = StreamIndex { slot: 0, lap: 0 };
        let (kind, stream, consumer) = match self {
            Self::Api => (1, no_stream, 0),
            Self::DomainApi => (2, no_stream, 0),
            Self::Publish(stream) => (3, stream, 0),
            Self::DirectGet(stream) => (4, stream, 0),
            Self::DirectGetLast(stream) => (5, stream, 0),
            Self::Next(stream, consumer) => (6, stream, consumer),
            Self::Ack(stream, consumer) => (7, stream, consumer),
            Self::AckLong(stream, consumer) => (8, stream, consumer),
            Self::Flow(stream, consumer) => (9, stream, consumer),
            Self::SnapshotAck(stream, consumer) => (10, stream, consumer),
            Self::Restore(number) => (11, no_stream, number),
            Self::FeedData(stream, number) => (12, stream, number),
            Self::FeedReply(stream, number) => (13, stream, number),
        };
        let stream = u64::from(stream.slot) << 40 | u64::from(stream.lap) << 32;
        Token(kind << 60 | stream | u64::from(consumer))
    }

    /// What the subscription of that name is for; `None` for a name never given.
    pub fn of(token: Token) -> Option<Self> {
        let low = |shift: u32, mask: u64| u32::try_from(token.0 >> shift & mask).unwrap_or(0);
        let stream = StreamIndex {
            slot: low(40, 0xf_ffff),
            lap: u8::try_from(token.0 >> 32 & 0xff).unwrap_or(0),
        };
        let consumer = low(0, 0xffff_ffff);
        Some(match token.0 >> 60 {
            1 => Self::Api,
            2 => Self::DomainApi,
            3 => Self::Publish(stream),
            4 => Self::DirectGet(stream),
            5 => Self::DirectGetLast(stream),
            6 => Self::Next(stream, consumer),
            7 => Self::Ack(stream, consumer),
            8 => Self::AckLong(stream, consumer),
            9 => Self::Flow(stream, consumer),
            10 => Self::SnapshotAck(stream, consumer),
            11 => Self::Restore(consumer),
            12 => Self::FeedData(stream, consumer),
            13 => Self::FeedReply(stream, consumer),
            _ => return None,
        })
    }
}

/// Streams an engine may have at a time.
pub const SLOTS_MAX: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_is_read_back() {
        let stream = StreamIndex { slot: SLOTS_MAX - 1, lap: 255 };
        for purpose in [
            Purpose::Api,
            Purpose::DomainApi,
            Purpose::Publish(stream),
            Purpose::DirectGet(stream),
            Purpose::DirectGetLast(StreamIndex { slot: 0, lap: 7 }),
            Purpose::Next(stream, u32::MAX),
            Purpose::Ack(stream, 5),
            Purpose::AckLong(stream, 5),
            Purpose::Flow(stream, 0),
            Purpose::SnapshotAck(stream, 1),
            Purpose::Restore(9),
            Purpose::FeedData(stream, 7),
            Purpose::FeedReply(stream, u32::MAX),
        ] {
            assert_eq!(Purpose::of(purpose.token()), Some(purpose));
        }
        assert_eq!(Purpose::of(Token(0)), None);
        assert_eq!(Purpose::of(Token(u64::MAX)), None);
    }
}
