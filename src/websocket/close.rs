//! Close frames: why a connection ends, as a status and a text.

use thiserror::Error;

use super::writer::write_control;
use crate::proto::CloseReason;

/// Bytes of a close frame's text: what a control frame holds behind the status.
const TEXT_BYTES_MAX: usize = 123;

const CLOSE: u8 = 8;

/// The frames or the protocol in them are not sound.
pub const PROTOCOL_ERROR: u16 = 1002;

/// The text is not what its type says.
const INVALID_DATA: u16 = 1007;

/// The status that nats-server gives for a reason.
pub fn close_status(reason: CloseReason) -> u16 {
    match reason {
        CloseReason::ClientClosed => 1000,
        CloseReason::AuthenticationTimeout
        | CloseReason::AuthenticationFailure
        | CloseReason::SlowConsumerPendingBytes
        | CloseReason::SlowConsumerWriteDeadline
        | CloseReason::MaximumAccountConnectionsExceeded
        | CloseReason::MaximumConnectionsExceeded
        | CloseReason::MaximumControlLineExceeded
        | CloseReason::MaximumSubscriptionsExceeded
        | CloseReason::MissingAccount
        | CloseReason::AuthenticationExpired
        | CloseReason::CredentialsRevoked => 1008,
        CloseReason::TlsHandshakeFailure => 1015,
        CloseReason::ParseError
        | CloseReason::ProtocolViolation
        | CloseReason::BadClientProtocolVersion => PROTOCOL_ERROR,
        CloseReason::MaximumMessagePayloadExceeded => 1009,
        CloseReason::WriteError
        | CloseReason::ReadError
        | CloseReason::StaleConnection
        | CloseReason::ServerShutdown => 1001,
        _ => 1011,
    }
}

/// Appends a close frame; a text that is too long is cut and ends in dots.
pub fn write_close(out: &mut Vec<u8>, status: u16, text: &str) {
    let mut payload = Vec::with_capacity(2 + TEXT_BYTES_MAX);
    payload.extend_from_slice(&status.to_be_bytes());
    if text.len() <= TEXT_BYTES_MAX {
        payload.extend_from_slice(text.as_bytes());
    } else {
        let fits = (0..=TEXT_BYTES_MAX - 3).rev().find(|at| text.is_char_boundary(*at));
        let (kept, _) = text.split_at(fits.unwrap_or(0));
        payload.extend_from_slice(kept.as_bytes());
        payload.extend_from_slice(b"...");
    }
    write_control(out, CLOSE, &payload);
}

/// What is wrong with a peer's close frame; nats-server's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CloseError {
    /// Half a status.
    #[error("close frame payload cannot be 1 byte")]
    HalfStatus,
    /// A status that nobody may send.
    #[error("invalid close status code {0}")]
    Status(u16),
}

/// Appends the answer to a peer's close frame with this payload: the same again.
///
/// # Errors
/// The payload is not sound; nothing was appended.
pub fn write_close_answer(out: &mut Vec<u8>, payload: &[u8]) -> Result<(), CloseError> {
    match payload.split_first_chunk::<2>() {
        None if payload.is_empty() => write_control(out, CLOSE, &[]),
        None => return Err(CloseError::HalfStatus),
        Some((status, text)) => {
            let status = u16::from_be_bytes(*status);
            if !matches!(status, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(CloseError::Status(status));
            }
            match std::str::from_utf8(text) {
                Ok(text) => write_close(out, status, text),
                Err(_) => write_close(out, INVALID_DATA, "invalid utf8 body in close frame"),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_frame_is_answered_with_itself() {
        let answer = |payload: &[u8]| {
            let mut out = Vec::new();
            write_close_answer(&mut out, payload).map(|()| out).map_err(|error| error.to_string())
        };
        assert_eq!(answer(b"").unwrap(), b"\x88\x00");
        assert_eq!(answer(b"\x03\xe8").unwrap(), b"\x88\x02\x03\xe8");
        assert_eq!(answer(b"\x03\xe8bye").unwrap(), b"\x88\x05\x03\xe8bye");
        assert!(answer(b"\x03\xe8\xff").unwrap().ends_with(b"invalid utf8 body in close frame"));
        assert_eq!(answer(b"x").unwrap_err(), "close frame payload cannot be 1 byte");
        assert_eq!(answer(b"\x27\x0f").unwrap_err(), "invalid close status code 9999");
        assert_eq!(answer(b"\x03\xed").unwrap_err(), "invalid close status code 1005");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        for (text, kept) in [("x".repeat(123), 123), ("x".repeat(124), 120), ("é".repeat(62), 120)]
        {
            let mut out = Vec::new();
            write_close(&mut out, 1001, &text);
            assert!(out.len() <= 127);
            let body = std::str::from_utf8(&out[4..]).unwrap();
            assert_eq!(body.trim_end_matches('.').len(), kept);
            assert_eq!(usize::from(out[1]), out.len() - 2);
        }
    }
}
