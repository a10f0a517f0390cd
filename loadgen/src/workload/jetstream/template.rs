//! Payloads that prove which message they are, for messages whose frames differ.

use crate::wire::payload::{self, Head, Layout};

/// A payload of which only the head changes.
pub struct Template {
    bytes: Vec<u8>,
    filler: u64,
    publisher: u16,
    seed: u64,
}

impl Template {
    /// A payload of `size` bytes with a filler of its own for each publisher.
    pub fn new(size: usize, publisher: u16, seed: u64) -> Self {
        let mut bytes = vec![0; size];
        let filler = &mut bytes[head_bytes(size)..];
        payload::fill(filler, seed ^ u64::from(publisher));
        let filler = payload::filler_hash(filler);
        Self { bytes, filler, publisher, seed }
    }

    /// The payload of message `sequence`, sent at `now_ns`.
    pub fn stamp(&mut self, sequence: u64, now_ns: u64) -> &[u8] {
        let head = Head { publisher: self.publisher, sequence, time: payload::wire_time(now_ns) };
        match Layout::of(self.bytes.len()) {
            Layout::Full => payload::write_full(&mut self.bytes, head, self.filler, self.seed),
            Layout::Short => payload::write_short(&mut self.bytes, head, self.filler, self.seed),
            Layout::Bare => {}
        }
        &self.bytes
    }
}

/// True if `bytes` is the payload of message `sequence` of `publisher`, with `size` bytes.
pub fn is_message(bytes: &[u8], size: usize, publisher: u16, sequence: u64, seed: u64) -> bool {
    bytes.len() == size
        && match Layout::of(size) {
            Layout::Full => {
                let head = payload::read_full(bytes);
                payload::full_is_sound(bytes, seed)
                    && (head.publisher, head.sequence) == (publisher, sequence)
            }
            Layout::Short => {
                let head = payload::read_short(bytes);
                payload::short_is_sound(bytes, seed)
                    && (head.publisher, head.sequence) == (publisher, sequence & 0xffff_ffff)
            }
            Layout::Bare => true,
        }
}

fn head_bytes(size: usize) -> usize {
    match Layout::of(size) {
        Layout::Full => payload::HEAD_BYTES,
        Layout::Short => payload::SHORT_HEAD_BYTES,
        Layout::Bare => 0,
    }
}

/// Appends `value` in decimal.
pub fn push_number(bytes: &mut Vec<u8>, value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    bytes.extend_from_slice(&digits[at..]);
}

/// Overwrites `place` with `value` in decimal, with leading zeros.
pub fn write_digits(place: &mut [u8], value: u64) {
    let mut rest = value;
    for byte in place.iter_mut().rev() {
        *byte = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Reads a decimal number of up to 19 digits.
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits.iter().try_fold(0u64, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamped_payload_is_that_message_and_no_other() {
        for size in [8, 12, 16, 128] {
            let mut template = Template::new(size, 3, 77);
            let bytes = template.stamp(41, 1_000).to_vec();
            assert!(is_message(&bytes, size, 3, 41, 77));
            assert!(!is_message(&bytes, size, 3, 42, 77));
            assert!(!is_message(&bytes, size, 2, 41, 77));
            assert!(!is_message(&bytes, size, 3, 41, 78));
            assert!(!is_message(&bytes[1..], size, 3, 41, 77));
        }
    }

    #[test]
    fn numbers_are_written_and_read() {
        let mut bytes = Vec::new();
        push_number(&mut bytes, 1_203);
        assert_eq!(bytes, b"1203");
        let mut place = *b"xxxxx";
        write_digits(&mut place, 42);
        assert_eq!(&place, b"00042");
        assert_eq!(number(b"00042"), Some(42));
        assert_eq!(number(b"4a"), None);
    }
}
