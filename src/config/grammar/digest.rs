//! The digest that names a configuration: `sha256:` over its values as JSON, keys sorted. The
//! startup log and `-t` show it, and it is the one nats-server shows for the same file.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::value::{Map, Value};

/// The digest of a file's values.
pub(in crate::config) fn digest(values: &Map) -> String {
    let mut json = String::new();
    write_map(values, &mut json);
    json.push('\n');
    let hash = Sha256::digest(json.as_bytes());
    hash.iter().fold(String::from("sha256:"), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

fn write_map(map: &Map, out: &mut String) {
    out.push('{');
    for (at, (key, node)) in map.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_string(key, out);
        out.push(':');
        write_value(&node.value, out);
    }
    out.push('}');
}

/// Recursion is bounded by the parser's nesting depth.
fn write_value(value: &Value, out: &mut String) {
    let _infallible = match value {
        Value::String(text) | Value::Datetime(text) => {
            write_string(text, out);
            Ok(())
        }
        Value::Integer(number) => write!(out, "{number}"),
        Value::Float(number) => write!(out, "{number}"),
        Value::Bool(on) => write!(out, "{on}"),
        Value::Map(map) => {
            write_map(map, out);
            Ok(())
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_value(&item.value, out);
            }
            out.push(']');
            Ok(())
        }
    };
}

/// Go's encoder escapes what HTML would trip over, too.
fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _infallible = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_escapes_them() {
        let mut out = String::new();
        write_string("a\"\\\n<&>\u{1}é", &mut out);
        assert_eq!(out, "\"a\\\"\\\\\\n\\u003c\\u0026\\u003e\\u0001é\"");
    }
}
