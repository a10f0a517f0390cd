//! Subject transforms: a subject that matches a source pattern becomes another.
//!
//! Account mappings, stream transforms, republishing and sources all speak this
//! language. A destination is a subject whose tokens may be functions of the
//! tokens that the wildcards of the source matched:
//!
//! | token | becomes |
//! |---|---|
//! | `$n`, `{{wildcard(n)}}` | the token of the n-th `*` |
//! | `{{partition(N, i, j)}}`, `{{partition(N)}}` | FNV-1a of tokens i and j, or of the whole subject, modulo N |
//! | `{{random(N)}}` | a number below N |
//! | `{{split(i, sep)}}` | token i, cut at each `sep` |
//! | `{{splitFromLeft(i, n)}}`, `{{splitFromRight(i, n)}}` | token i in two, n bytes from that end |
//! | `{{sliceFromLeft(i, n)}}`, `{{sliceFromRight(i, n)}}` | token i in pieces of n bytes |
//! | `{{left(i, n)}}`, `{{right(i, n)}}` | the first or last n bytes of token i |
//! | `>` | what the `>` of the source matched |
//!
//! [`Transform::new`] parses once, [`Transform::apply`] is pure: randomness is
//! handed in, the result is appended to a buffer of the caller.
//!
//! Facts of nats-server that look like accidents and are kept, because a stream
//! or a queue may rest on them: an index of 0 or less names the first token of
//! the *subject*; an empty separator splits after every character; what is out
//! of range leaves the token whole; a result may be malformed (`b..c`), and
//! then matches nobody.
//!
//! Cost of one message: a pass over the subject for the match and one for each
//! function; no allocation but the growth of the buffer.

mod apply;
mod narrow;
mod parse;
mod part;

pub use apply::Transform;
pub use parse::TransformError;
