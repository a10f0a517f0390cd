//! Passwords and tokens as configured.

use std::fmt;
use std::sync::Arc;

/// A password or token: in clear, or its bcrypt hash.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// In clear.
    Plain(Box<str>),
    /// A hash that only a slow function can compare.
    Bcrypt(Arc<str>),
}

impl Secret {
    /// A text that looks like a hash is one.
    pub fn new(text: &str) -> Self {
        if is_bcrypt(text) {
            Self::Bcrypt(text.into())
        } else {
            Self::Plain(text.into())
        }
    }

    /// Whether it stands in clear in the configuration.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

/// Never the secret itself: options are printed and logged.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// Compares without stopping at the first difference.
pub(super) fn same(expected: &str, given: &str) -> bool {
    if expected.len() != given.len() {
        return false;
    }
    let pairs = expected.bytes().zip(given.bytes());
    pairs.fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// `$2a$11$...`: a variant, two digits of cost, and what follows.
fn is_bcrypt(text: &str) -> bool {
    match text.as_bytes() {
        [b'$', b'2', b'a' | b'b' | b'x' | b'y', b'$', tens, ones, b'$', ..] => {
            tens.is_ascii_digit() && ones.is_ascii_digit()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_told_from_passwords() {
        for hash in ["$2a$11$abc", "$2y$04$", "$2b$10$x"] {
            assert!(!Secret::new(hash).is_plain(), "{hash}");
        }
        for plain in ["", "secret", "$2a$", "$2a$1x$", "$2c$11$abc", "$2a$x"] {
            assert!(Secret::new(plain).is_plain(), "{plain}");
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[REDACTED]");
    }

    #[test]
    fn only_equal_texts_are_the_same() {
        assert!(same("", "") && same("pw", "pw"));
        assert!(!same("pw", "pW") && !same("pw", "pw ") && !same("pw", ""));
    }
}
