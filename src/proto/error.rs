//! What can be wrong with a client's bytes, and every text the server answers with.
//!
//! [`ProtoError`] is a fact about the peer, raised by this module. [`WireError`] is the one table of
//! `-ERR` texts; the layers above raise most of them. [`CloseReason`] is the one table of the reasons
//! monitoring shows for a closed connection. Texts and fates are those of nats-server 2.15.1:
//! client libraries match on them, so neither case nor wording may change.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

use thiserror::Error;

/// A client broke the protocol. Each of these closes the connection; [`ProtoError::wire_error`] says
/// with which text, and most close without any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProtoError {
    /// The bytes are no operation a client may send, or a payload does not end in CR LF.
    #[error("unknown protocol operation")]
    UnknownOperation,
    /// The arguments, complete or still arriving, are longer than `limit` bytes.
    #[error("control line longer than {limit} bytes")]
    ControlLineTooLong {
        /// `ParserLimits::control_line_bytes_max` at that moment.
        limit: usize,
    },
    /// The announced payload is larger than `limit`. Raised before the payload arrives.
    #[error("payload of {size} bytes exceeds {limit}")]
    PayloadTooLarge {
        /// Announced bytes, headers included.
        size: usize,
        /// `ParserLimits::payload_bytes_max` at that moment.
        limit: usize,
    },
    /// Too few or too many arguments.
    #[error("wrong number of arguments for {op}")]
    ArgumentCount {
        /// Upper-case name of the operation.
        op: &'static str,
    },
    /// The total size is not 1 to 9 decimal digits.
    #[error("bad or missing size")]
    BadSize,
    /// The header size is not 1 to 9 decimal digits.
    #[error("bad or missing header size")]
    BadHeaderSize,
    /// The header size exceeds the total size.
    #[error("header size {header} larger than total size {total}")]
    HeaderLargerThanTotal {
        /// Announced header bytes.
        header: u32,
        /// Announced header and body bytes.
        total: usize,
    },
    /// HPUB on a connection that did not negotiate headers.
    #[error("message headers not supported")]
    HeadersNotNegotiated,
    /// A carriage return inside a publish subject or reply. nats-server lets it through; here it
    /// closes, because a CR echoed into a MSG line lets a publisher forge lines in naive clients.
    #[error("carriage return inside an argument")]
    StrayCarriageReturn,
    /// The client sent `-ERR`.
    #[error("client reported an error")]
    ErrorFromClient,
    /// The CONNECT argument is no JSON, or a value has the wrong type.
    #[error("invalid CONNECT options at column {column}")]
    BadConnectJson {
        /// 1-based column where decoding stopped; 0 if unknown.
        column: usize,
    },
    /// The INFO argument of a client is no JSON object.
    #[error("invalid INFO at column {column}")]
    BadInfoJson {
        /// 1-based column where decoding stopped; 0 if unknown.
        column: usize,
    },
}

impl ProtoError {
    /// The `-ERR` to send before closing; `None` closes in silence, as nats-server does.
    #[must_use]
    pub fn wire_error(&self) -> Option<WireError<'static>> {
        match self {
            Self::UnknownOperation => Some(WireError::UnknownProtocolOperation),
            Self::ControlLineTooLong { .. } => Some(WireError::MaximumControlLineExceeded),
            Self::PayloadTooLarge { .. } => Some(WireError::MaximumPayloadViolation),
            Self::ArgumentCount { .. }
            | Self::BadSize
            | Self::BadHeaderSize
            | Self::HeaderLargerThanTotal { .. }
            | Self::HeadersNotNegotiated
            | Self::StrayCarriageReturn
            | Self::ErrorFromClient
            | Self::BadConnectJson { .. }
            | Self::BadInfoJson { .. } => None,
        }
    }

    /// The reason monitoring shows for the connection this error closed.
    #[must_use]
    pub fn close_reason(&self) -> CloseReason {
        match self {
            Self::ControlLineTooLong { .. } => CloseReason::MaximumControlLineExceeded,
            Self::PayloadTooLarge { .. } => CloseReason::MaximumMessagePayloadExceeded,
            Self::ErrorFromClient => CloseReason::ParseError,
            Self::UnknownOperation
            | Self::ArgumentCount { .. }
            | Self::BadSize
            | Self::BadHeaderSize
            | Self::HeaderLargerThanTotal { .. }
            | Self::HeadersNotNegotiated
            | Self::StrayCarriageReturn
            | Self::BadConnectJson { .. }
            | Self::BadInfoJson { .. } => CloseReason::ProtocolViolation,
        }
    }
}

/// Every `-ERR` a client can receive. Names are embedded unescaped, as nats-server does; the parser
/// keeps CR and LF out of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError<'a> {
    /// Unparsable operation or bad payload terminator.
    UnknownProtocolOperation,
    /// Any authentication failure, a missing CONNECT, a legacy account field.
    AuthorizationViolation,
    /// No CONNECT within the time allowed.
    AuthenticationTimeout,
    /// A user's JWT, time window or callout grant ran out.
    UserAuthenticationExpired,
    /// The account's JWT ran out.
    AccountAuthenticationExpired,
    /// The account revoked the user.
    UserAuthenticationRevoked,
    /// The connection could not be registered with its account.
    FailedAccountRegistration,
    /// The server-wide connection limit is reached; INFO goes out first.
    MaximumConnectionsExceeded,
    /// The account's connection limit is reached.
    MaximumAccountConnectionsExceeded,
    /// The TLS handshake rate limit is reached.
    ConnectionThrottling,
    /// A SUB beyond the server's, account's or user's limit. The SUB is refused, nothing closes.
    MaximumSubscriptionsExceeded,
    /// A payload larger than allowed.
    MaximumPayloadViolation,
    /// A control line longer than allowed.
    MaximumControlLineExceeded,
    /// A malformed SUB subject.
    InvalidSubject,
    /// A malformed or wildcard publish subject in pedantic mode. The message is still routed.
    InvalidPublishSubject,
    /// The publish subject is not permitted.
    PublishViolation {
        /// Publish subject.
        subject: &'a [u8],
    },
    /// The reply subject is reserved.
    PublishReplyViolation {
        /// Reply subject.
        reply: &'a [u8],
    },
    /// The subscription is not permitted.
    SubscriptionViolation {
        /// Subscription subject.
        subject: &'a [u8],
        /// Queue group, if any.
        queue: Option<&'a [u8]>,
    },
    /// A live subscription was removed because permissions changed.
    SubscriptionRemoved {
        /// Subscription subject.
        subject: &'a [u8],
        /// Queue group, if any.
        queue: Option<&'a [u8]>,
        /// The client's subscription id.
        sid: &'a [u8],
    },
    /// The subscription has more tokens than `max_sub_tokens`.
    SubscriptionTooManyTokens {
        /// Subscription subject.
        subject: &'a [u8],
    },
    /// CONNECT named a protocol other than 0 and 1.
    InvalidClientProtocol,
    /// CONNECT asked for `no_responders` without effective headers.
    NoRespondersRequiresHeaders,
    /// Too many unanswered PINGs.
    StaleConnection,
    /// The TLS handshake did not happen in time.
    TlsRequired,
}

impl WireError<'_> {
    /// Appends `-ERR '<text>'\r\n`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"-ERR '");
        self.write_text(out);
        out.extend_from_slice(b"'\r\n");
    }

    /// Whether the connection closes after this text.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.close_reason().is_some()
    }

    /// The reason monitoring shows after this text closed the connection; `None` if it stays open.
    ///
    /// `MaximumSubscriptionsExceeded` stays open here: only a limit found exceeded at login closes,
    /// with `CloseReason::MaximumSubscriptionsExceeded`, and that is the caller's to say.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        Some(match self {
            Self::UnknownProtocolOperation => CloseReason::ProtocolViolation,
            Self::AuthorizationViolation => CloseReason::AuthenticationFailure,
            Self::AuthenticationTimeout => CloseReason::AuthenticationTimeout,
            Self::UserAuthenticationExpired | Self::AccountAuthenticationExpired => {
                CloseReason::AuthenticationExpired
            }
            Self::UserAuthenticationRevoked => CloseReason::CredentialsRevoked,
            Self::FailedAccountRegistration => CloseReason::MissingAccount,
            Self::MaximumConnectionsExceeded | Self::ConnectionThrottling => {
                CloseReason::MaximumConnectionsExceeded
            }
            Self::MaximumAccountConnectionsExceeded => {
                CloseReason::MaximumAccountConnectionsExceeded
            }
            Self::MaximumPayloadViolation => CloseReason::MaximumMessagePayloadExceeded,
            Self::MaximumControlLineExceeded => CloseReason::MaximumControlLineExceeded,
            Self::InvalidClientProtocol => CloseReason::BadClientProtocolVersion,
            Self::NoRespondersRequiresHeaders => CloseReason::NoRespondersRequiresHeaders,
            Self::StaleConnection => CloseReason::StaleConnection,
            Self::TlsRequired => CloseReason::TlsHandshakeFailure,
            Self::MaximumSubscriptionsExceeded
            | Self::InvalidSubject
            | Self::InvalidPublishSubject
            | Self::PublishViolation { .. }
            | Self::PublishReplyViolation { .. }
            | Self::SubscriptionViolation { .. }
            | Self::SubscriptionRemoved { .. }
            | Self::SubscriptionTooManyTokens { .. } => return None,
        })
    }

    /// Appends the text between the single quotes, for logs and events too.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        const SUBSCRIPTION: &[u8] = b"Permissions Violation for Subscription to \"";
        match *self {
            Self::UnknownProtocolOperation => {
                out.extend_from_slice(b"Unknown Protocol Operation");
            }
            Self::AuthorizationViolation => out.extend_from_slice(b"Authorization Violation"),
            Self::AuthenticationTimeout => out.extend_from_slice(b"Authentication Timeout"),
            Self::UserAuthenticationExpired => {
                out.extend_from_slice(b"User Authentication Expired");
            }
            Self::AccountAuthenticationExpired => {
                out.extend_from_slice(b"Account Authentication Expired");
            }
            Self::UserAuthenticationRevoked => {
                out.extend_from_slice(b"User Authentication Revoked");
            }
            Self::FailedAccountRegistration => {
                out.extend_from_slice(b"Failed Account Registration");
            }
            Self::MaximumConnectionsExceeded => {
                out.extend_from_slice(b"maximum connections exceeded");
            }
            Self::MaximumAccountConnectionsExceeded => {
                out.extend_from_slice(b"maximum account active connections exceeded");
            }
            Self::ConnectionThrottling => {
                out.extend_from_slice(b"Connection throttling is active. Please try again later.")
            }
            Self::MaximumSubscriptionsExceeded => {
                out.extend_from_slice(b"maximum subscriptions exceeded");
            }
            Self::MaximumPayloadViolation => out.extend_from_slice(b"Maximum Payload Violation"),
            Self::MaximumControlLineExceeded => {
                out.extend_from_slice(b"maximum control line exceeded");
            }
            Self::InvalidSubject => out.extend_from_slice(b"Invalid Subject"),
            Self::InvalidPublishSubject => out.extend_from_slice(b"Invalid Publish Subject"),
            Self::PublishViolation { subject } => {
                write_quoted(out, b"Permissions Violation for Publish to \"", subject);
            }
            Self::PublishReplyViolation { reply } => {
                write_quoted(out, b"Permissions Violation for Publish with Reply of \"", reply);
            }
            Self::SubscriptionViolation { subject, queue } => {
                write_quoted(out, SUBSCRIPTION, subject);
                if let Some(queue) = queue {
                    write_quoted(out, b" using queue \"", queue);
                }
            }
            Self::SubscriptionRemoved { subject, queue, sid } => {
                write_quoted(out, SUBSCRIPTION, subject);
                if let Some(queue) = queue {
                    write_quoted(out, b" using queue \"", queue);
                }
                write_quoted(out, b" (sid \"", sid);
                out.push(b')');
            }
            Self::SubscriptionTooManyTokens { subject } => {
                write_quoted(out, SUBSCRIPTION, subject);
                out.extend_from_slice(b", too many tokens");
            }
            Self::InvalidClientProtocol => out.extend_from_slice(b"invalid client protocol"),
            Self::NoRespondersRequiresHeaders => {
                out.extend_from_slice(b"no responders requires headers support");
            }
            Self::StaleConnection => out.extend_from_slice(b"Stale Connection"),
            Self::TlsRequired => out.extend_from_slice(b"Secure Connection - TLS Required"),
        }
    }
}

fn write_quoted(out: &mut Vec<u8>, before: &[u8], name: &[u8]) {
    out.extend_from_slice(before);
    out.extend_from_slice(name);
    out.push(b'"');
}

macro_rules! close_reasons {
    ($($variant:ident = $text:literal,)*) => {
        /// Why a connection was closed, as connz and the disconnect events spell it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum CloseReason {
            $(#[doc = $text] $variant,)*
        }

        impl CloseReason {
            /// Every reason, in nats-server's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The text monitoring shows.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

close_reasons! {
    ClientClosed = "Client Closed",
    AuthenticationTimeout = "Authentication Timeout",
    AuthenticationFailure = "Authentication Failure",
    TlsHandshakeFailure = "TLS Handshake Failure",
    SlowConsumerPendingBytes = "Slow Consumer (Pending Bytes)",
    SlowConsumerWriteDeadline = "Slow Consumer (Write Deadline)",
    WriteError = "Write Error",
    ReadError = "Read Error",
    ParseError = "Parse Error",
    StaleConnection = "Stale Connection",
    ProtocolViolation = "Protocol Violation",
    BadClientProtocolVersion = "Bad Client Protocol Version",
    IncorrectPort = "Incorrect Port",
    MaximumConnectionsExceeded = "Maximum Connections Exceeded",
    MaximumAccountConnectionsExceeded = "Maximum Account Connections Exceeded",
    MaximumMessagePayloadExceeded = "Maximum Message Payload Exceeded",
    MaximumControlLineExceeded = "Maximum Control Line Exceeded",
    MaximumSubscriptionsExceeded = "Maximum Subscriptions Exceeded",
    DuplicateRoute = "Duplicate Route",
    RouteRemoved = "Route Removed",
    ServerShutdown = "Server Shutdown",
    AuthenticationExpired = "Authentication Expired",
    WrongGateway = "Wrong Gateway",
    MissingAccount = "Missing Account",
    CredentialsRevoked = "Credentials Revoked",
    InternalClient = "Internal Client",
    MessageHeaderViolation = "Message Header Violation",
    NoRespondersRequiresHeaders = "No Responders Requires Headers",
    ClusterNameConflict = "Cluster Name Conflict",
    DuplicateRemoteLeafNodeConnection = "Duplicate Remote LeafNode Connection",
    DuplicateClientId = "Duplicate Client ID",
    DuplicateServerName = "Duplicate Server Name",
    MinimumVersionRequired = "Minimum Version Required",
    ClusterNamesIdentical = "Cluster Names Identical",
    Kicked = "Kicked",
    ProxyNotTrusted = "Proxy Not Trusted",
    ProxyRequired = "Proxy Required",
    UnknownState = "Unknown State",
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(error: WireError<'_>) -> String {
        let mut out = Vec::new();
        error.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Goal: the wording of every `-ERR`, byte for byte. Method: the list of texts, written out.
    #[test]
    fn every_text_is_spelled_as_nats_server_spells_it() {
        use WireError as E;
        let (subject, queue) = (&b"a.b"[..], Some(&b"q"[..]));
        let to = "Permissions Violation for Subscription to \"a.b\"";
        let texts: Vec<(WireError<'_>, String, bool)> = vec![
            (E::UnknownProtocolOperation, "Unknown Protocol Operation".into(), true),
            (E::AuthorizationViolation, "Authorization Violation".into(), true),
            (E::AuthenticationTimeout, "Authentication Timeout".into(), true),
            (E::UserAuthenticationExpired, "User Authentication Expired".into(), true),
            (E::AccountAuthenticationExpired, "Account Authentication Expired".into(), true),
            (E::UserAuthenticationRevoked, "User Authentication Revoked".into(), true),
            (E::FailedAccountRegistration, "Failed Account Registration".into(), true),
            (E::MaximumConnectionsExceeded, "maximum connections exceeded".into(), true),
            (
                E::MaximumAccountConnectionsExceeded,
                "maximum account active connections exceeded".into(),
                true,
            ),
            (
                E::ConnectionThrottling,
                "Connection throttling is active. Please try again later.".into(),
                true,
            ),
            (E::MaximumSubscriptionsExceeded, "maximum subscriptions exceeded".into(), false),
            (E::MaximumPayloadViolation, "Maximum Payload Violation".into(), true),
            (E::MaximumControlLineExceeded, "maximum control line exceeded".into(), true),
            (E::InvalidSubject, "Invalid Subject".into(), false),
            (E::InvalidPublishSubject, "Invalid Publish Subject".into(), false),
            (
                E::PublishViolation { subject },
                "Permissions Violation for Publish to \"a.b\"".into(),
                false,
            ),
            (
                E::PublishReplyViolation { reply: b"_R_.x" },
                "Permissions Violation for Publish with Reply of \"_R_.x\"".into(),
                false,
            ),
            (E::SubscriptionViolation { subject, queue: None }, to.into(), false),
            (E::SubscriptionViolation { subject, queue }, format!("{to} using queue \"q\""), false),
            (
                E::SubscriptionRemoved { subject, queue: None, sid: b"7" },
                format!("{to} (sid \"7\")"),
                false,
            ),
            (
                E::SubscriptionRemoved { subject, queue, sid: b"7" },
                format!("{to} using queue \"q\" (sid \"7\")"),
                false,
            ),
            (E::SubscriptionTooManyTokens { subject }, format!("{to}, too many tokens"), false),
            (E::InvalidClientProtocol, "invalid client protocol".into(), true),
            (E::NoRespondersRequiresHeaders, "no responders requires headers support".into(), true),
            (E::StaleConnection, "Stale Connection".into(), true),
            (E::TlsRequired, "Secure Connection - TLS Required".into(), true),
        ];
        for (error, text, closes) in texts {
            assert_eq!(wire(error), format!("-ERR '{text}'\r\n"));
            assert_eq!(error.closes(), closes, "{text}");
        }
    }

    /// Goal: what the real server does after each parser error. Method: the probed table.
    #[test]
    fn only_three_parser_errors_have_a_text() {
        let spoken = [
            ProtoError::UnknownOperation,
            ProtoError::ControlLineTooLong { limit: 4096 },
            ProtoError::PayloadTooLarge { size: 2, limit: 1 },
        ];
        for error in spoken {
            let text = error.wire_error().unwrap();
            assert_eq!(text.close_reason(), Some(error.close_reason()));
        }
        let silent = [
            ProtoError::ArgumentCount { op: "PUB" },
            ProtoError::BadSize,
            ProtoError::BadHeaderSize,
            ProtoError::HeaderLargerThanTotal { header: 2, total: 1 },
            ProtoError::HeadersNotNegotiated,
            ProtoError::StrayCarriageReturn,
            ProtoError::BadConnectJson { column: 1 },
            ProtoError::BadInfoJson { column: 1 },
        ];
        for error in silent {
            assert_eq!(error.wire_error(), None);
            assert_eq!(error.close_reason(), CloseReason::ProtocolViolation);
        }
        assert_eq!(ProtoError::ErrorFromClient.wire_error(), None);
        assert_eq!(ProtoError::ErrorFromClient.close_reason(), CloseReason::ParseError);
    }

    #[test]
    fn close_reasons_are_distinct() {
        let texts: std::collections::BTreeSet<_> =
            CloseReason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(texts.len(), 38);
        assert_eq!(CloseReason::Kicked.to_string(), "Kicked");
    }
}
