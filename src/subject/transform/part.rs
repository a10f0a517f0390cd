//! One token of a destination, and what it makes of a subject.

use crate::subject::tokens;

/// One token of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Always the same.
    Literal(Box<[u8]>),
    /// Something of the token at `position` of the subject, from 0.
    Token { position: usize, piece: Piece },
    /// A number below `count`; of the whole subject if no position is given.
    Partition { count: u32, positions: Box<[usize]> },
    /// A number below this.
    Random(u32),
    /// All that the source's `>` matched.
    Tail,
}

/// What is taken of a token; lengths are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// All of it.
    Whole,
    /// Cut at each separator, empty pieces left out.
    Split(Box<[u8]>),
    /// In two, so many from the left.
    SplitFromLeft(usize),
    /// In two, so many from the right.
    SplitFromRight(usize),
    /// Pieces of this length, the shorter one last.
    SliceFromLeft(usize),
    /// Pieces of this length, the shorter one first.
    SliceFromRight(usize),
    /// The first so many.
    Left(usize),
    /// The last so many.
    Right(usize),
}

impl Part {
    pub(super) fn of(position: usize, piece: Piece) -> Self {
        Self::Token { position, piece }
    }

    /// Appends what `subject` makes of this part. `tail` is the position of the
    /// first token that the source's `>` matched.
    pub(super) fn write(&self, subject: &[u8], tail: usize, random: u64, out: &mut Vec<u8>) {
        match self {
            Self::Literal(text) => out.extend_from_slice(text),
            Self::Token { position, piece } => piece.write(token_at(subject, *position), out),
            Self::Partition { count, positions } => {
                let mut hash = FNV_OFFSET;
                if positions.is_empty() {
                    hash = fnv(hash, subject);
                }
                for &position in &**positions {
                    hash = fnv(hash, token_at(subject, position));
                }
                write_number(out, hash.checked_rem(*count).unwrap_or(0));
            }
            Self::Random(count) => {
                let drawn = random.checked_rem(u64::from(*count)).unwrap_or(0);
                write_number(out, u32::try_from(drawn).unwrap_or(0));
            }
            Self::Tail => {
                for (at, token) in tokens(subject).skip(tail).enumerate() {
                    if at > 0 {
                        out.push(b'.');
                    }
                    out.extend_from_slice(token);
                }
            }
        }
    }
}

impl Piece {
    fn write(&self, token: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Whole => out.extend_from_slice(token),
            Self::Split(separator) => write_split(token, separator, out),
            Self::SplitFromLeft(at) => write_halves(token, *at, out),
            Self::SplitFromRight(at) => {
                write_halves(token, token.len().saturating_sub(*at), out);
            }
            Self::SliceFromLeft(length) => write_slices(token, 0, *length, out),
            Self::SliceFromRight(length) => {
                write_slices(token, token.len().checked_rem(*length).unwrap_or(0), *length, out);
            }
            Self::Left(length) => out.extend_from_slice(match token.get(..*length) {
                Some(left) if *length > 0 => left,
                _ => token,
            }),
            Self::Right(length) => {
                let start = token.len().checked_sub(*length).filter(|_| *length > 0);
                out.extend_from_slice(token.get(start.unwrap_or(0)..).unwrap_or(token));
            }
        }
    }
}

fn token_at(subject: &[u8], position: usize) -> &[u8] {
    tokens(subject).nth(position).unwrap_or_default()
}

fn write_split(token: &[u8], separator: &[u8], out: &mut Vec<u8>) {
    let mut rest = token;
    let mut wrote = false;
    while !rest.is_empty() {
        let (piece, behind) = match separator.len() {
            0 => rest.split_at(character_len(rest)),
            length => match rest.windows(length).position(|window| window == separator) {
                Some(at) => (&rest[..at], &rest[at + length..]),
                None => (rest, &[][..]),
            },
        };
        rest = behind;
        if !piece.is_empty() {
            if wrote {
                out.push(b'.');
            }
            out.extend_from_slice(piece);
            wrote = true;
        }
    }
}

/// Bytes of the first character; 1 if it is not UTF-8.
fn character_len(text: &[u8]) -> usize {
    let valid =
        |length: &usize| text.get(..*length).is_some_and(|head| std::str::from_utf8(head).is_ok());
    (1..=4).find(valid).unwrap_or(1)
}

fn write_halves(token: &[u8], at: usize, out: &mut Vec<u8>) {
    if 0 < at && at < token.len() {
        out.extend_from_slice(&token[..at]);
        out.push(b'.');
        out.extend_from_slice(&token[at..]);
    } else {
        out.extend_from_slice(token);
    }
}

/// Pieces of `length` after a first one of `first` bytes, if it has any.
fn write_slices(token: &[u8], first: usize, length: usize, out: &mut Vec<u8>) {
    if length == 0 || length >= token.len() {
        out.extend_from_slice(token);
        return;
    }
    let (head, rest) = token.split_at(first);
    out.extend_from_slice(head);
    for (at, piece) in rest.chunks(length).enumerate() {
        if at > 0 || !head.is_empty() {
            out.push(b'.');
        }
        out.extend_from_slice(piece);
    }
}

fn fnv(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(FNV_PRIME))
}

fn write_number(out: &mut Vec<u8>, number: u32) {
    let mut digits = [0_u8; 10];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// FNV-1a of 32 bits.
const FNV_OFFSET: u32 = 2_166_136_261;
const FNV_PRIME: u32 = 16_777_619;
