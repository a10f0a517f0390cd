//! A value on its way to be shown, and how configuration text and JSON write it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::super::grammar::{Node, Value};
use super::super::validate::go_duration;

/// What stands in the place of a secret.
pub(super) const HIDDEN: &str = "[REDACTED]";

/// A value as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown {
    /// Nothing is set, and nothing needs to be.
    Unset,
    Bool(bool),
    Number(i64),
    Float(f64),
    Text(String),
    /// There is one, and that is all that is said.
    Secret,
    List(Vec<Self>),
    /// Keys in the order they are shown.
    Block(Vec<(String, Self)>),
}

impl Shown {
    pub(super) fn number(number: impl TryInto<i64>) -> Self {
        Self::Number(number.try_into().unwrap_or(i64::MAX))
    }

    pub(super) fn text(text: &str) -> Self {
        if text.is_empty() {
            Self::Unset
        } else {
            Self::Text(text.to_owned())
        }
    }

    pub(super) fn optional(text: Option<&String>) -> Self {
        text.map_or(Self::Unset, |text| Self::text(text))
    }

    pub(super) fn path(path: Option<&std::path::PathBuf>) -> Self {
        path.map_or(Self::Unset, |path| Self::of_path(path))
    }

    pub(super) fn of_path(path: &Path) -> Self {
        Self::text(&path.to_string_lossy())
    }

    pub(super) fn duration(duration: Duration) -> Self {
        Self::Text(go_duration(duration))
    }

    pub(super) fn secret(text: Option<&String>) -> Self {
        text.filter(|text| !text.is_empty()).map_or(Self::Unset, |_| Self::Secret)
    }

    pub(super) fn texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> Self {
        let list: Vec<Self> = texts.into_iter().map(|text| Self::Text(text.clone())).collect();
        if list.is_empty() {
            Self::Unset
        } else {
            Self::List(list)
        }
    }

    /// A value of a file, as written.
    pub(super) fn of_node(node: &Node) -> Self {
        match &node.value {
            Value::String(text) | Value::Datetime(text) => Self::Text(text.clone()),
            Value::Integer(number) => Self::Number(*number),
            Value::Float(number) => Self::Float(*number),
            Value::Bool(on) => Self::Bool(*on),
            Value::Array(items) => Self::List(items.iter().map(Self::of_node).collect()),
            Value::Map(map) => {
                let mut entries: Vec<(&String, &Node)> = map.iter().collect();
                entries.sort_by(|left, right| left.1.place.cmp(&right.1.place));
                let entries =
                    entries.into_iter().map(|(key, node)| (key.clone(), Self::of_node(node)));
                Self::Block(entries.collect())
            }
        }
    }

    /// The value in a line, as a configuration file has it; blocks in braces.
    pub(super) fn inline(&self) -> String {
        let mut out = String::new();
        self.write_inline(&mut out);
        out
    }

    fn write_inline(&self, out: &mut String) {
        match self {
            Self::Unset => out.push_str("none"),
            Self::Secret => quote(HIDDEN, out),
            Self::Bool(on) => drop(write!(out, "{on}")),
            Self::Number(number) => drop(write!(out, "{number}")),
            // Always with a dot: without one it would be read as an integer.
            Self::Float(number) => drop(write!(out, "{number:?}")),
            Self::Text(text) => quote(text, out),
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    item.write_inline(out);
                }
                // A blank keeps a number and the bracket apart.
                out.push_str(" ]");
            }
            Self::Block(entries) => {
                out.push_str("{ ");
                for (at, (key, value)) in entries.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    write_key(key, out);
                    out.push_str(": ");
                    value.write_inline(out);
                }
                out.push_str(" }");
            }
        }
    }

    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            Self::Unset => serde_json::Value::Null,
            Self::Secret => HIDDEN.into(),
            Self::Bool(on) => (*on).into(),
            Self::Number(number) => (*number).into(),
            Self::Float(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
            Self::List(items) => items.iter().map(Self::json).collect(),
            Self::Block(entries) => {
                entries.iter().map(|(key, value)| (key.clone(), value.json())).collect()
            }
        }
    }
}

/// A key; quoted if it would not be read as one word. Between its quotes nothing is escaped: one
/// with both kinds of them was written without, and can be.
pub(super) fn write_key(key: &str, out: &mut String) {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '*');
    let is_include = key.eq_ignore_ascii_case("include");
    let quote = match key {
        _ if !key.is_empty() && key.chars().all(is_word) && !is_include => "",
        _ if !key.contains('"') => "\"",
        _ if !key.contains('\'') => "'",
        _ => "",
    };
    for part in [quote, key, quote] {
        out.push_str(part);
    }
}

/// A text in quotes, with the escapes that the grammar has.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Above all the zero, which would end the file.
            c if c.is_ascii_control() => drop(write!(out, "\\x{:02x}", u32::from(c))),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_the_grammar_reads_them() {
        let list = Shown::List(vec![Shown::Number(1), Shown::Text("a\"b\n".into())]);
        assert_eq!(list.inline(), r#"[1, "a\"b\n" ]"#);
        let block = Shown::Block(vec![
            ("a.>".into(), Shown::Float(2.0)),
            ("b c".into(), Shown::Secret),
            ("d".into(), Shown::Bool(true)),
        ]);
        assert_eq!(block.inline(), r#"{ "a.>": 2.0, "b c": "[REDACTED]", d: true }"#);
        assert_eq!(block.json()["b c"], HIDDEN);
    }
}
