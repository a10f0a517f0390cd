//! The 64 bits that travel with an operation: its kind on top, the caller's token (or our slot)
//! below.

/// Highest token: 56 bits.
pub const TOKEN_MAX: u64 = (1 << KIND_SHIFT) - 1;

const KIND_SHIFT: u32 = 56;

/// What kind of operation a completion belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Accept = 1,
    Receive = 2,
    /// Below: the slot of a held flight.
    Send = 3,
    /// Below: the slot of a held read buffer.
    Read = 4,
    Timeout = 5,
    /// Completes only if it fails.
    TimeoutUpdate = 6,
    Cancel = 7,
    /// The eventfd was written. Never reported.
    Wake = 8,
    /// Below: the slot of a held buffer that is being written.
    Write = 9,
}

/// Packs kind and token. The token is at most [`TOKEN_MAX`].
#[inline]
pub(super) fn pack(kind: Kind, token: u64) -> u64 {
    assert!(token <= TOKEN_MAX, "a token has 56 bits");
    ((kind as u64) << KIND_SHIFT) | token
}

/// Unpacks what the kernel hands back; `None` for bits that `pack` never made.
#[inline]
pub(super) fn unpack(user_data: u64) -> Option<(Kind, u64)> {
    let kind = match user_data >> KIND_SHIFT {
        1 => Kind::Accept,
        2 => Kind::Receive,
        3 => Kind::Send,
        4 => Kind::Read,
        5 => Kind::Timeout,
        6 => Kind::TimeoutUpdate,
        7 => Kind::Cancel,
        8 => Kind::Wake,
        9 => Kind::Write,
        _ => return None,
    };
    Some((kind, user_data & TOKEN_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_back_with_its_token() {
        use Kind::{Accept, Cancel, Read, Receive, Send, Timeout, TimeoutUpdate, Write};
        for kind in [Accept, Receive, Send, Read, Timeout, TimeoutUpdate, Cancel, Write] {
            for token in [0, 1, TOKEN_MAX] {
                assert_eq!(unpack(pack(kind, token)), Some((kind, token)));
            }
        }
        assert_eq!(unpack(0), None);
        assert_eq!(unpack(u64::MAX), None);
    }
}
