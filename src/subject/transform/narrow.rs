//! The way back through a transform: which subjects become what somebody wants.

use super::apply::Transform;
use super::part::{Part, Piece};
use crate::subject::tokens;

impl Transform {
    /// Whether the subject that went in can be told from what came out: every
    /// wildcard of the source is in the destination, and nothing but whole
    /// tokens.
    pub fn is_reversible(&self) -> bool {
        let stars = tokens(self.source()).enumerate().filter(|(_, token)| *token == b"*");
        let is_used = |star: usize| {
            let whole = |part: &Part| matches!(part, Part::Token { position, piece: Piece::Whole } if *position == star);
            self.parts().iter().any(whole)
        };
        self.parts().iter().all(is_plain) && stars.into_iter().all(|(star, _)| is_used(star))
    }

    /// The pattern of exactly those subjects that this turns into one that `wanted`, a valid
    /// pattern, matches. `None` if there is none, or if a part of the destination is no
    /// plain token, so that there is no way back.
    pub fn narrowed(&self, wanted: &[u8]) -> Option<Vec<u8>> {
        let mut source: Vec<&[u8]> = tokens(self.source()).collect();
        let mut wanted = tokens(wanted);
        let mut parts = self.parts().iter();
        while let Some(part) = parts.next() {
            let token = wanted.next()?;
            if token == b">" {
                // It takes all that is left, whatever that is.
                return (parts.all(is_plain) && is_plain(part)).then(|| join(&source));
            }
            match part {
                Part::Literal(literal) => {
                    if token != b"*" && token != &**literal {
                        return None;
                    }
                }
                Part::Token { position, piece: Piece::Whole } => {
                    let place = source.get_mut(*position)?;
                    if token != b"*" {
                        if *place != b"*" && *place != token {
                            return None;
                        }
                        *place = token;
                    }
                }
                Part::Tail => {
                    source.pop();
                    source.push(token);
                    source.extend(wanted);
                    return Some(join(&source));
                }
                _ => return None,
            }
        }
        wanted.next().is_none().then(|| join(&source))
    }
}

fn is_plain(part: &Part) -> bool {
    matches!(part, Part::Literal(_) | Part::Tail | Part::Token { piece: Piece::Whole, .. })
}

fn join(tokens: &[&[u8]]) -> Vec<u8> {
    tokens.join(&b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::subject::{is_valid_pattern, matches};

    fn narrowed(source: &str, destination: &str, wanted: &str) -> Option<String> {
        let transform = Transform::new(source, destination).unwrap();
        let narrowed = transform.narrowed(wanted.as_bytes())?;
        Some(String::from_utf8(narrowed).unwrap())
    }

    #[test]
    fn what_is_wanted_names_what_is_to_come() {
        for (source, destination, wanted, expected) in [
            ("a.*", "p.a.$1", "p.a.x", Some("a.x")),
            ("a.*", "p.a.$1", "p.>", Some("a.*")),
            ("a.*", "p.a.$1", "q.>", None),
            ("a.*.*", "$2.$1", "*.x", Some("a.x.*")),
            ("a.*", "$1.$1", "x.*", Some("a.x")),
            ("a.*", "$1.$1", "x.y", None),
            ("a.>", "p.>", "p.b.*.c", Some("a.b.*.c")),
            ("a.>", "p.>", "p", None),
            ("a.>", "p.>", "p.x.>", Some("a.x.>")),
            (">", "p.>", "p.x", Some("x")),
            (">", "p.>", "*", None),
            (">", "p.>", ">", Some(">")),
            ("a", "b", "b", Some("a")),
            ("a", "b", "b.c", None),
            ("a.*", "b.{{left(1,1)}}", "b.x", None),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(narrowed(source, destination, wanted), expected, "{source} {wanted}");
        }
    }

    proptest! {
        #[test]
        fn the_pattern_is_exact(
            which in 0_usize..6,
            wanted in "[ab*]{1}(\\.[abp*]){0,3}(\\.>)?",
            subject in "[ab](\\.[ab]){0,3}",
        ) {
            let (source, destination) = [
                ("*", "p.$1"),
                ("a.*", "$1.p"),
                ("*.*", "$2.$1"),
                ("*.b", "$1.$1"),
                (">", "p.>"),
                ("*.>", "p.$1.>"),
            ][which];
            prop_assume!(is_valid_pattern(wanted.as_bytes()));
            let transform = Transform::new(source, destination).unwrap();
            let mut mapped = Vec::new();
            let becomes = transform.apply(subject.as_bytes(), 0, &mut mapped)
                && matches(wanted.as_bytes(), &mapped);
            let narrowed = transform.narrowed(wanted.as_bytes());
            let found = narrowed.is_some_and(|pattern| matches(&pattern, subject.as_bytes()));
            prop_assert_eq!(found, becomes);
        }
    }
}
