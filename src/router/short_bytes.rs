//! Byte strings that are nearly always short.

use super::ids::index32;

/// A byte string of 24 bytes: up to [`INLINE_MAX`] bytes in place, longer ones
/// in an allocation of their own.
///
/// Subjects, tokens and sids are short: in place they cost no allocation, no
/// allocator overhead and no second cache line.
#[derive(Clone, Debug)]
pub(super) enum ShortBytes {
    /// `length <= INLINE_MAX`; bytes past it are zero.
    Inline { length: u8, bytes: [u8; INLINE_MAX] },
    /// Longer than `INLINE_MAX`.
    Heap(Box<[u8]>),
}

impl ShortBytes {
    pub(super) fn new(text: &[u8]) -> Self {
        if text.len() <= INLINE_MAX {
            let mut bytes = [0; INLINE_MAX];
            bytes[..text.len()].copy_from_slice(text);
            // At most INLINE_MAX, so the mask changes nothing.
            Self::Inline { length: (index32(text.len()) & 0xFF) as u8, bytes }
        } else {
            Self::Heap(text.into())
        }
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Self::Heap(text) => text,
        }
    }

    /// Bytes of the allocation, if there is one.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Heap(text) => text.len(),
        }
    }
}

/// The longest string that needs no allocation.
pub(super) const INLINE_MAX: usize = 22;

const _: () = assert!(size_of::<ShortBytes>() == 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_at_every_length() {
        for length in [0, 1, INLINE_MAX, INLINE_MAX + 1, 300] {
            let text = vec![b'x'; length];
            let short = ShortBytes::new(&text);
            assert_eq!(short.as_bytes(), text);
            assert_eq!(short.heap_bytes() > 0, length > INLINE_MAX);
        }
    }
}
