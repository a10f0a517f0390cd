//! The language of configuration files: text in, a tree of values with their places out.
//!
//! What it is not: it knows no option; [`super::file`] gives the values their meaning.
//!
//! The grammar is nats-server's, and so are the texts of its errors:
//! - an entry is a key and a value, parted by `:`, `=` or blanks, ended by a line end, `,` or `;`;
//! - a value is a string (bare, `'raw'`, `"with \n escapes"`, or a block between `(` and a `)`
//!   alone on its line), an integer with a size suffix, a float, a date, a boolean, `[array]` or
//!   `{map}`; a whole file may stand in braces, so JSON files parse;
//! - `$name` stands for a value of an enclosing map, else of the environment;
//! - `include path` puts another file's entries here, its path relative to the including file;
//! - `#` and `//` begin a comment.
//!
//! Bounds: files nest [`parser::INCLUDE_DEPTH_MAX`] deep and values
//! [`parser::NESTING_DEPTH_MAX`] deep, so no input exhausts the stack.

mod digest;
mod go_path;
mod lexer;
mod number;
mod parser;
mod scalar;
mod value;

pub(super) use digest::digest;
pub(super) use number::{parse_duration, DurationError};
pub(super) use parser::{parse_file, GrammarError, Source};
pub(super) use value::{Map, Node, Value};
