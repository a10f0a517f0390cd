//! What the parser is told and what it finds.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// What one connection may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParserLimits {
    /// Most bytes of arguments in a control line, without operation name, separator and line end.
    /// The `max_control_line` option, 4096 by default.
    pub control_line_bytes_max: usize,
    /// Most bytes of headers and body in one publish. `usize::MAX` means no limit.
    /// The `max_payload` option, 1 MiB by default.
    pub payload_bytes_max: usize,
    /// Whether headers were negotiated, so that HPUB is legal.
    pub headers: bool,
}

impl Default for ParserLimits {
    /// The defaults of nats-server, for a client that has not negotiated headers.
    fn default() -> Self {
        Self { control_line_bytes_max: 4096, payload_bytes_max: 1 << 20, headers: false }
    }
}

/// One operation of a client. All slices borrow the parsed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// PUB or HPUB with its payload.
    Publish(Publish<'a>),
    /// `SUB <subject> [queue] <sid>`
    Subscribe {
        /// Subscription subject, not validated.
        subject: &'a [u8],
        /// Queue group.
        queue: Option<&'a [u8]>,
        /// The client's name for the subscription: any bytes without blanks.
        sid: &'a [u8],
    },
    /// `UNSUB <sid> [max]`
    Unsubscribe {
        /// Subscription to end.
        sid: &'a [u8],
        /// Total deliveries after which it ends, `1..=999_999_999`. `None` means now: no number was
        /// given, or 0, or none of 1 to 9 digits (nats-server takes all of these as now).
        max: Option<u64>,
    },
    /// `CONNECT {json}`
    Connect {
        /// The argument, undecoded; see `ConnectOptions`.
        json: &'a [u8],
    },
    /// `INFO {json}`, which a client may send and the server ignores, if it is JSON.
    Info {
        /// The argument, undecoded; see `validate_client_info`.
        json: &'a [u8],
    },
    /// PING, to be answered with PONG.
    Ping,
    /// PONG, the answer to the server's PING.
    Pong,
    /// +OK, ignored.
    Ok,
}

/// A message a client publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Publish subject: not empty, without blank, tab, CR or LF, otherwise not validated.
    pub subject: &'a [u8],
    /// Reply subject; empty means none.
    pub reply: &'a [u8],
    /// Bytes of the header block at the start of `payload`. `None` for PUB. `Some(0)` is legal and
    /// delivered as a plain MSG.
    pub header_len: Option<u32>,
    /// The digits of the header size as sent; empty for PUB.
    pub header_size_text: &'a [u8],
    /// The digits of the total size as sent; leading zeros are echoed to subscribers.
    pub size_text: &'a [u8],
    /// Header block and body, without the final CR LF.
    pub payload: &'a [u8],
    /// The bytes after `<subject> ` up to and including the final CR LF, if they may be copied as
    /// they are behind `MSG <subject> <sid> ` (or `HMSG ...` when `header_len` is `Some`).
    /// `None` if the frame was not canonical: runs of blanks, tabs, a bare LF, a header size of 0.
    pub tail: Option<&'a [u8]>,
}

/// What [`parse`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A complete operation.
    Command {
        /// The operation.
        command: Command<'a>,
        /// Bytes it took from the start of the input; the next operation starts there.
        consumed: usize,
    },
    /// More bytes are needed.
    Incomplete {
        /// Total bytes, counted from the start of this operation, without which another call cannot
        /// tell more. Once the control line of a publish is complete it is the exact frame size.
        needed: usize,
    },
}
