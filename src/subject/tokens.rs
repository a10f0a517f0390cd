//! Splitting a subject into its tokens.

/// The tokens of a subject or pattern, first to last.
///
/// Empty tokens are yielded too: an empty subject is one empty token, and
/// `a.` ends with one. Whoever must refuse them does so, see
/// [`is_valid_subject`](super::is_valid_subject).
pub fn tokens(subject: &[u8]) -> Tokens<'_> {
    Tokens { rest: Some(subject) }
}

/// Iterator over the tokens of a subject, made by [`tokens`].
#[derive(Clone, Debug)]
pub struct Tokens<'s> {
    /// What is not yet split; `None` after the last token.
    rest: Option<&'s [u8]>,
}

impl<'s> Iterator for Tokens<'s> {
    type Item = &'s [u8];

    fn next(&mut self) -> Option<&'s [u8]> {
        let rest = self.rest?;
        // Tokens are a few bytes long: a plain loop beats a call to memchr.
        match rest.iter().position(|&byte| byte == SEPARATOR) {
            Some(dot) => {
                self.rest = Some(&rest[dot + 1..]);
                Some(&rest[..dot])
            }
            None => {
                self.rest = None;
                Some(rest)
            }
        }
    }
}

/// What stands between two tokens.
pub(super) const SEPARATOR: u8 = b'.';

#[cfg(test)]
mod tests {
    use super::*;

    fn split(subject: &[u8]) -> Vec<&[u8]> {
        tokens(subject).collect()
    }

    #[test]
    fn tokens_are_what_stands_between_dots() {
        assert_eq!(split(b"a"), [b"a"]);
        assert_eq!(split(b"foo.b.>"), [&b"foo"[..], b"b", b">"]);
    }

    #[test]
    fn empty_tokens_are_yielded() {
        assert_eq!(split(b""), [b""]);
        assert_eq!(split(b"."), [b"", b""]);
        assert_eq!(split(b"a..b"), [&b"a"[..], b"", b"b"]);
        assert_eq!(split(b"a."), [&b"a"[..], b""]);
    }
}
