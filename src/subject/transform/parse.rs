//! A destination's text to its parts.

use super::part::{Part, Piece};
use crate::subject::tokens;

/// Why a source and a destination are no transform; the texts are nats-server's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    /// A pattern is malformed, or `>` stands in one of both only.
    #[error("invalid subject")]
    InvalidSubject,
    /// The destination is no subject.
    #[error("invalid mapping destination: invalid transform")]
    InvalidTransform,
    /// No function has this name.
    #[error("invalid mapping destination: unknown function in {0}")]
    UnknownFunction(String),
    /// The source has fewer wildcards.
    #[error("invalid mapping destination: wildcard index out of range in {token}: [{index}]")]
    IndexOutOfRange {
        /// As written.
        token: String,
        /// The index that is too large.
        index: i64,
    },
    /// An argument is missing.
    #[error("invalid mapping destination: not enough arguments passed to the function in {0}")]
    NotEnoughArguments(String),
    /// There is an argument more than the function takes.
    #[error("invalid mapping destination: too many arguments passed to the function in {0}")]
    TooManyArguments(String),
    /// An argument is no number, or too large.
    #[error(
        "invalid mapping destination: function argument is invalid or in the wrong format in {0}"
    )]
    InvalidArgument(String),
    /// There must be a way back, and a wildcard of the source is missing.
    #[error("invalid mapping destination: not using all of the token wildcard(s) in {0}")]
    NotAllWildcards(String),
    /// There must be a way back, and this function has none.
    #[error(
        "invalid mapping destination: the only mapping function allowed for import transforms is \
         {{{{Wildcard()}}}} in {0}"
    )]
    NoImport(String),
}

/// The parts of `destination`, for a source whose `*` stand at the token
/// positions `wildcards`.
pub(super) fn parse(destination: &str, wildcards: &[usize]) -> Result<Vec<Part>, TransformError> {
    destination.split('.').map(|token| parse_token(token, wildcards)).collect()
}

/// Whether the source's `>` has its like: `>` as the last token, and no other
/// wildcard.
pub(super) fn has_tail(pattern: &[u8]) -> bool {
    tokens(pattern).last() == Some(b">")
}

fn parse_token(token: &str, wildcards: &[usize]) -> Result<Part, TransformError> {
    let arguments = Arguments { token, wildcards };
    if let Some(index) = token.strip_prefix('$').and_then(number) {
        return Ok(Part::of(arguments.position(index)?, Piece::Whole));
    }
    let inner = token.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    if let Some(inner) = inner.filter(|inner| !inner.is_empty()) {
        return parse_function(inner, arguments);
    }
    let is_bad = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c');
    if token.is_empty() || token.as_bytes().iter().any(is_bad) {
        return Err(TransformError::InvalidTransform);
    }
    Ok(match token {
        "*" => return Err(TransformError::InvalidSubject),
        ">" => Part::Tail,
        literal => Part::Literal(literal.as_bytes().into()),
    })
}

fn parse_function(inner: &str, arguments: Arguments<'_>) -> Result<Part, TransformError> {
    let unknown = || TransformError::UnknownFunction(arguments.token.to_owned());
    let (name, rest) = inner.trim().split_once('(').ok_or_else(unknown)?;
    let list = rest.strip_suffix(')').ok_or_else(unknown)?;
    let given: Vec<&str> = list.split(',').map(str::trim).collect();
    match Function::find(name.trim()).ok_or_else(unknown)? {
        Function::Wildcard => {
            arguments.exactly(&given, 1)?;
            Ok(Part::of(arguments.index(given.first())?, Piece::Whole))
        }
        Function::Partition => arguments.partition(&given),
        Function::Random => match given[..] {
            [count] => Ok(Part::Random(arguments.count(count)?.max(0).unsigned_abs())),
            _ => Err(TransformError::NotEnoughArguments(arguments.token.to_owned())),
        },
        Function::Split => {
            arguments.exactly(&given, 2)?;
            let position = arguments.index(given.first())?;
            let separator = given.get(1).copied().unwrap_or_default();
            Ok(Part::of(position, Piece::Split(separator.as_bytes().into())))
        }
        Function::Cut(piece) => {
            arguments.exactly(&given, 2)?;
            let position = arguments.index(given.first())?;
            let length = arguments.count(given.get(1).copied().unwrap_or_default())?;
            // A negative length is out of any token's range, as 0 is.
            Ok(Part::of(position, piece(usize::try_from(length).unwrap_or(0))))
        }
    }
}

/// A function by its name.
enum Function {
    Wildcard,
    Partition,
    Random,
    Split,
    /// One that takes a token and a length.
    Cut(fn(usize) -> Piece),
}

impl Function {
    /// Each word of a name may begin with a capital letter or not.
    fn find(name: &str) -> Option<Self> {
        let words: [(&[&str], Self); 10] = [
            (&["wildcard"], Self::Wildcard),
            (&["partition"], Self::Partition),
            (&["random"], Self::Random),
            (&["split"], Self::Split),
            (&["split", "from", "left"], Self::Cut(Piece::SplitFromLeft)),
            (&["split", "from", "right"], Self::Cut(Piece::SplitFromRight)),
            (&["slice", "from", "left"], Self::Cut(Piece::SliceFromLeft)),
            (&["slice", "from", "right"], Self::Cut(Piece::SliceFromRight)),
            (&["left"], Self::Cut(Piece::Left)),
            (&["right"], Self::Cut(Piece::Right)),
        ];
        words.into_iter().find(|(words, _)| is_written_as(name, words)).map(|(_, found)| found)
    }
}

fn is_written_as(name: &str, words: &[&str]) -> bool {
    let mut rest = name.as_bytes();
    for word in words {
        let Some((head, behind)) = rest.split_at_checked(word.len()) else { return false };
        let [first, others @ ..] = head else { return false };
        let [expected, same @ ..] = word.as_bytes() else { return false };
        if !first.eq_ignore_ascii_case(expected) || others != same {
            return false;
        }
        rest = behind;
    }
    rest.is_empty()
}

/// What the arguments of one token may refer to.
#[derive(Clone, Copy)]
struct Arguments<'a> {
    token: &'a str,
    wildcards: &'a [usize],
}

impl Arguments<'_> {
    fn exactly(self, given: &[&str], count: usize) -> Result<(), TransformError> {
        let given = if given == [""] { 0 } else { given.len() };
        match given.cmp(&count) {
            std::cmp::Ordering::Less => {
                Err(TransformError::NotEnoughArguments(self.token.to_owned()))
            }
            std::cmp::Ordering::Greater => {
                Err(TransformError::TooManyArguments(self.token.to_owned()))
            }
            std::cmp::Ordering::Equal => Ok(()),
        }
    }

    fn partition(self, given: &[&str]) -> Result<Part, TransformError> {
        let (count, indexes) = given.split_first().unwrap_or((&"", &[]));
        // Go's conversion: the bits of a negative number are taken for a large one.
        let count = self.count(count)?.cast_unsigned();
        let positions: Result<Vec<usize>, _> =
            indexes.iter().map(|index| self.index(Some(index))).collect();
        Ok(Part::Partition { count, positions: positions?.into() })
    }

    /// The position in the subject that a wildcard's index stands for.
    fn index(self, text: Option<&&str>) -> Result<usize, TransformError> {
        let index = text.and_then(|text| number(text));
        self.position(index.ok_or_else(|| self.invalid())?)
    }

    fn position(self, index: i64) -> Result<usize, TransformError> {
        let Some(before) = index.checked_sub(1).and_then(|index| usize::try_from(index).ok())
        else {
            return Ok(0);
        };
        self.wildcards
            .get(before)
            .copied()
            .ok_or_else(|| TransformError::IndexOutOfRange { token: self.token.to_owned(), index })
    }

    fn count(self, text: &str) -> Result<i32, TransformError> {
        number(text).and_then(|number| i32::try_from(number).ok()).ok_or_else(|| self.invalid())
    }

    fn invalid(self) -> TransformError {
        TransformError::InvalidArgument(self.token.to_owned())
    }
}

/// A decimal number with a sign or without.
fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}
