//! What a well-formed subject and a well-formed pattern are.

use super::tokens;

/// Whether `pattern` may be subscribed to: tokens without blanks, none empty,
/// and `>` only as the last one.
pub fn is_valid_pattern(pattern: &[u8]) -> bool {
    let mut ended = false;
    tokens(pattern).all(|token| {
        let allowed = !ended && is_valid_token(token);
        ended = token == b">";
        allowed
    })
}

/// Whether a message published to `subject` can match anything: tokens without
/// blanks, none empty. Wildcard tokens may be present.
pub fn is_valid_subject(subject: &[u8]) -> bool {
    tokens(subject).all(is_valid_token)
}

/// Whether `subject` is valid and none of its tokens is `*` or `>`: what a
/// pedantic client may publish to.
pub fn is_literal(subject: &[u8]) -> bool {
    tokens(subject).all(|token| is_valid_token(token) && token != b"*" && token != b">")
}

/// Whether `pattern` can match anything but itself: it has a `*` token, or `>`
/// is its last token.
pub fn has_wildcard(pattern: &[u8]) -> bool {
    let mut parts = tokens(pattern);
    let mut last: &[u8] = b"";
    parts.any(|token| {
        last = token;
        token == b"*"
    }) || last == b">"
}

fn is_valid_token(token: &[u8]) -> bool {
    !token.is_empty() && !token.iter().any(|byte| BLANKS.contains(byte))
}

/// Bytes no token may hold (the form feed is refused by nats-server, too).
const BLANKS: [u8; 5] = *b" \t\r\n\x0c";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_may_hold_wildcards_in_their_places() {
        for valid in ["a", "*", ">", "a.b", "a.*", "*.*", "a.>", "*.>", "foo*", "a>b.c", "$SYS.>"] {
            assert!(is_valid_pattern(valid.as_bytes()), "{valid}");
        }
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for bad in
            ["", ".", "a.", ".a", "a..b", ">.a", "a.>.b", "a b", "a\t", "a.\n", "a\r", "x\x0c"]
        {
            assert!(!is_valid_pattern(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn subjects_may_hold_wildcard_tokens_anywhere() {
        for valid in ["a", "*", ">.a", "a.>.b", "foo.*.bar"] {
            assert!(is_valid_subject(valid.as_bytes()), "{valid}");
        }
        for bad in ["", "a..b", ".a", "a.", "a b"] {
            assert!(!is_valid_subject(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn literal_subjects_hold_no_wildcard_token() {
        for literal in ["a", "foo*", "a>b", "a.*b.c", ">>", "**"] {
            assert!(is_literal(literal.as_bytes()), "{literal}");
        }
        for other in ["*", ">", "a.*", "a.>.b", "", "a..b", "a b"] {
            assert!(!is_literal(other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn wildcards_count_only_as_whole_tokens() {
        for wild in ["*", ">", "a.*", "*.a", "a.*.b", "a.>"] {
            assert!(has_wildcard(wild.as_bytes()), "{wild}");
        }
        for plain in ["", "a", "foo*", "a>b", "a>", ">>", "a.**", "a.>.b"] {
            assert!(!has_wildcard(plain.as_bytes()), "{plain}");
        }
    }
}
