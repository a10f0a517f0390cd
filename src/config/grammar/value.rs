//! What a configuration file says: values, and where each was said.

use std::collections::BTreeMap;
use std::rc::Rc;

/// Entries by key. The order of a file does not matter to its meaning, only the last of equal
/// keys does.
pub(in crate::config) type Map = BTreeMap<String, Node>;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// `2006-01-02T15:04:05Z`, checked, as written.
    Datetime(String),
    Array(Vec<Node>),
    Map(Map),
}

impl Value {
    /// What Go calls the type; nats-server's texts about wrong types name it.
    pub(in crate::config) fn go_type(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Integer(_) => "int64",
            Self::Float(_) => "float64",
            Self::Bool(_) => "bool",
            Self::Datetime(_) => "time.Time",
            Self::Array(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
        }
    }

    /// The value as a text may show it.
    pub(in crate::config) fn shown(&self) -> String {
        match self {
            Self::String(text) | Self::Datetime(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Bool(on) => on.to_string(),
            Self::Array(_) | Self::Map(_) => self.go_type().to_owned(),
        }
    }
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) struct Node {
    pub(in crate::config) value: Value,
    pub(in crate::config) place: Place,
    /// Whether a `$name` referred to it: then it may be a variable and no option at all.
    pub(in crate::config) used_as_variable: bool,
}

/// Where something stands: of a map entry the key, of an array item the item itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) struct Place {
    pub(in crate::config) file: Rc<str>,
    /// From 1.
    pub(in crate::config) line: u32,
    /// Bytes from the last line end, that line end counted: from 0 in the first line, from 1 in
    /// the others. nats-server counts so, and its texts show it.
    pub(in crate::config) column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
