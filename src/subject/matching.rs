//! The reference matcher: one pattern, one subject.

use super::{is_valid_subject, tokens};

/// Whether a message published to `subject` reaches a subscription to
/// `pattern`, which must be valid.
///
/// Wildcard tokens of the subject are plain tokens here. Nothing matches a
/// malformed subject.
pub fn matches(pattern: &[u8], subject: &[u8]) -> bool {
    if !is_valid_subject(subject) {
        return false;
    }
    let mut wanted = tokens(pattern);
    let mut given = tokens(subject);
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) if wanted.clone().next().is_none() => return true,
            (Some(b"*"), Some(_)) => {}
            (Some(want), Some(have)) if want == have => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, subject: &str) -> bool {
        matches(pattern.as_bytes(), subject.as_bytes())
    }

    #[test]
    fn literals_match_themselves() {
        assert!(check("foo.bar", "foo.bar"));
        assert!(!check("foo.bar", "foo"));
        assert!(!check("foo", "foo.bar"));
        assert!(!check("foo", "Foo"));
    }

    #[test]
    fn star_matches_exactly_one_token() {
        assert!(check("*", "foo"));
        assert!(check("foo.*", "foo.bar"));
        assert!(check("*.bar", "foo.bar"));
        assert!(!check("*", "foo.bar"));
        assert!(!check("foo.*", "foo"));
    }

    #[test]
    fn tail_matches_one_or_more_tokens() {
        assert!(check(">", "foo"));
        assert!(check("foo.>", "foo.bar.baz"));
        assert!(!check("foo.>", "foo"));
    }

    #[test]
    fn wildcards_inside_tokens_are_literal() {
        assert!(check("foo*", "foo*"));
        assert!(!check("foo*", "foox"));
        assert!(check("a>b", "a>b"));
        assert!(!check("a>", "a.b"));
    }

    #[test]
    fn wildcard_tokens_of_a_subject_are_plain_tokens() {
        assert!(check("*", "*"));
        assert!(check("foo.*", "foo.>"));
        assert!(check(">", "*.>"));
        assert!(!check("foo", "*"));
        assert!(!check("foo.bar", "foo.>"));
    }

    #[test]
    fn malformed_subjects_match_nothing() {
        for subject in ["", ".", "a..b", ".a", "a."] {
            assert!(!check(">", subject), "{subject:?}");
            assert!(!check("*.*", subject), "{subject:?}");
        }
    }
}
