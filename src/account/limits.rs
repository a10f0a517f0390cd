//! What an account may use.

/// Limits of an account's clients; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// Client connections at one time, on all shards together.
    pub connections: Option<u32>,
    /// Subscriptions of one connection.
    pub subscriptions: Option<u32>,
    /// Bytes of one message.
    pub payload: Option<u32>,
    /// Leaf nodes connected at one time.
    pub leaf_nodes: Option<u32>,
}

/// What an account may use of JetStream, as configured; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JetStreamLimits {
    /// Bytes in memory, of all streams together.
    pub memory_bytes: Option<u64>,
    /// Bytes in files, of all streams together.
    pub store_bytes: Option<u64>,
    /// Streams.
    pub streams: Option<u64>,
    /// Consumers.
    pub consumers: Option<u64>,
    /// A stream must say how many bytes it may hold.
    pub max_bytes_required: bool,
    /// Bytes of one stream in memory.
    pub memory_stream_bytes: Option<u64>,
    /// Bytes of one stream in files.
    pub store_stream_bytes: Option<u64>,
    /// Unacknowledged messages of one consumer.
    pub ack_pending: Option<u64>,
}
