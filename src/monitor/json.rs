//! JSON as Go writes it: two blanks of indentation, whole floats without a
//! fraction, and three letters of HTML escaped.

use serde::{Serialize, Serializer};

/// Indented, as most pages are.
pub(super) fn pretty(value: &impl Serialize) -> Vec<u8> {
    escape_html(serde_json::to_vec_pretty(value).unwrap_or_default())
}

/// On one line, as `/healthz` is.
pub(super) fn compact(value: &impl Serialize) -> Vec<u8> {
    escape_html(serde_json::to_vec(value).unwrap_or_default())
}

/// `<`, `>` and `&` stand in strings only, so they can be replaced anywhere.
fn escape_html(json: Vec<u8>) -> Vec<u8> {
    if memchr::memchr3(b'<', b'>', b'&', &json).is_none() {
        return json;
    }
    let mut escaped = Vec::with_capacity(json.len() + json.len() / 16);
    for byte in json {
        match byte {
            b'<' => escaped.extend_from_slice(b"\\u003c"),
            b'>' => escaped.extend_from_slice(b"\\u003e"),
            b'&' => escaped.extend_from_slice(b"\\u0026"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Go prints a float that is whole without its fraction.
#[expect(clippy::cast_possible_truncation, reason = "whole and far inside the range")]
pub(super) fn float<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}

/// For keys that are left out when zero.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
pub(super) fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// For keys that are left out when false.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
pub(super) fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Sample {
        subject: &'static str,
        #[serde(serialize_with = "float")]
        whole: f64,
        #[serde(serialize_with = "float")]
        part: f64,
    }

    #[test]
    fn text_is_gos() {
        let sample = Sample { subject: "a.>", whole: 2.0, part: 0.5 };
        assert_eq!(compact(&sample), br#"{"subject":"a.\u003e","whole":2,"part":0.5}"#);
    }
}
