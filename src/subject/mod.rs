//! Subjects: tokens, wildcards and who matches whom. The rules, told plainly.
//!
//! A *subject* is what a message is published to; a *pattern* is what a
//! subscription asks for. Both are bytes, split into tokens by `.`:
//!
//! - No token is empty. Case counts. Blanks (space, tab, CR, LF, form feed)
//!   never occur; any other byte may.
//! - In a pattern, `*` as a whole token matches exactly one token, and `>` as
//!   the last token matches one or more. Inside a longer token both are plain
//!   bytes: `foo*` is a literal.
//! - A subject may hold `*` and `>` tokens too, where they mean nothing: the
//!   pattern `*` matches the subject `*`, the pattern `a` does not.
//! - A malformed subject (`a..b`, `.a`, `a.`) matches nothing, not even `>`.
//!
//! This module is no index: [`matches`] compares one pattern with one subject
//! and is the reference that [`crate::router`] is tested against.
//!
//! Cost: every function is one pass over its input and allocates nothing; so
//! does a [`Transform`], once it is parsed.

mod account;
mod matching;
mod relations;
mod rules;
mod tokens;
mod transform;

pub use account::AccountId;
pub use matching::matches;
pub use relations::{covers, overlaps};
pub use rules::{has_wildcard, is_literal, is_valid_pattern, is_valid_subject};
pub use tokens::{tokens, Tokens};
pub use transform::{Transform, TransformError};
