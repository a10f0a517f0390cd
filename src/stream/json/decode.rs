//! Values to fields, with Go's rules and complaints.

use std::fmt::Write as _;

use super::{parse_first, JsonError, Value};
use crate::stream::time::parse_time;

/// Whether a key was known to whoever decodes an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// It was.
    Known,
    /// It was not: refused when strict.
    Unknown,
}

/// Fills fields from values and remembers where it is, for complaints.
#[derive(Debug)]
pub struct Decoder {
    strict: bool,
    root: &'static str,
    path: Vec<PathPart>,
}

#[derive(Debug)]
enum PathPart {
    Key(String),
    Index(usize),
}

impl Decoder {
    /// Decodes a request: every document of `text` in turn, as the body of a Go type called `root`
    /// (such as `StreamConfigRequest`). `field` gets each key in lower case.
    ///
    /// # Errors
    /// The first complaint there is.
    pub fn request(
        text: &[u8],
        root: &'static str,
        strict: bool,
        mut field: impl FnMut(&mut Self, &str, &Value<'_>) -> Result<Field, JsonError>,
    ) -> Result<(), JsonError> {
        let mut at = 0;
        while let Some(value) = parse_first(text, &mut at)? {
            let mut decoder = Self { strict, root, path: Vec::new() };
            decoder.object(&value, root, &mut field)?;
        }
        Ok(())
    }

    /// Decodes an object of a Go type called `name`; each key reaches `field` in lower case.
    ///
    /// # Errors
    /// It is none, or `field` complains, or a key is unknown.
    pub fn object(
        &mut self,
        value: &Value<'_>,
        name: &str,
        mut field: impl FnMut(&mut Self, &str, &Value<'_>) -> Result<Field, JsonError>,
    ) -> Result<(), JsonError> {
        let entries = match value {
            Value::Null => return Ok(()),
            Value::Object(entries) => entries,
            _ => return Err(self.mismatch(value, &format!("server.{name}"))),
        };
        for (key, value) in entries {
            let lower = key.to_ascii_lowercase();
            self.path.push(PathPart::Key(lower.clone()));
            if field(self, &lower, value)? == Field::Unknown && self.strict {
                return Err(JsonError(format!("json: unknown field {key:?}")));
            }
            self.path.pop();
        }
        Ok(())
    }

    /// Decodes an array of Go type `[]name`, element by element.
    ///
    /// # Errors
    /// It is none, or `element` complains.
    pub fn array(
        &mut self,
        value: &Value<'_>,
        name: &str,
        mut element: impl FnMut(&mut Self, &Value<'_>) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        let values = match value {
            Value::Null => return Ok(()),
            Value::Array(values) => values,
            _ => return Err(self.mismatch(value, &format!("[]{name}"))),
        };
        for (index, value) in values.iter().enumerate() {
            self.path.push(PathPart::Index(index));
            element(self, value)?;
            self.path.pop();
        }
        Ok(())
    }

    /// A string.
    ///
    /// # Errors
    /// It is none.
    pub fn string(&mut self, value: &Value<'_>, into: &mut String) -> Result<Field, JsonError> {
        match value {
            Value::Null => {}
            Value::String(text) => {
                into.clear();
                into.push_str(text);
            }
            _ => return Err(self.mismatch(value, "string")),
        }
        Ok(Field::Known)
    }

    /// A list of strings.
    ///
    /// # Errors
    /// It is none.
    pub fn strings(
        &mut self,
        value: &Value<'_>,
        into: &mut Vec<String>,
    ) -> Result<Field, JsonError> {
        if *value != Value::Null {
            into.clear();
        }
        self.array(value, "string", |decoder, value| {
            let mut text = String::new();
            decoder.string(value, &mut text)?;
            into.push(text);
            Ok(())
        })?;
        Ok(Field::Known)
    }

    /// A map of strings.
    ///
    /// # Errors
    /// It is none.
    pub fn string_map(
        &mut self,
        value: &Value<'_>,
        into: &mut std::collections::BTreeMap<String, String>,
    ) -> Result<Field, JsonError> {
        match value {
            Value::Null => {}
            Value::Object(entries) => {
                for (key, value) in entries {
                    self.path.push(PathPart::Key(key.to_string()));
                    let mut text = String::new();
                    self.string(value, &mut text)?;
                    into.insert(key.to_string(), text);
                    self.path.pop();
                }
            }
            _ => return Err(self.mismatch(value, "map[string]string")),
        }
        Ok(Field::Known)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// It is neither.
    pub fn bool(&mut self, value: &Value<'_>, into: &mut bool) -> Result<Field, JsonError> {
        match value {
            Value::Null => {}
            Value::Bool(value) => *into = *value,
            _ => return Err(self.mismatch(value, "bool")),
        }
        Ok(Field::Known)
    }

    /// A Go `int` or `int64`, as `name` says, or `time.Duration`.
    ///
    /// # Errors
    /// It is none.
    pub fn int(
        &mut self,
        value: &Value<'_>,
        name: &str,
        into: &mut i64,
    ) -> Result<Field, JsonError> {
        match value {
            Value::Null => {}
            Value::Number(text) => match text.parse() {
                Ok(number) if text.parse::<i64>().is_ok() => *into = number,
                _ => return Err(self.mismatch_number(text, name)),
            },
            _ => return Err(self.mismatch(value, name)),
        }
        Ok(Field::Known)
    }

    /// A duration in nanoseconds.
    ///
    /// # Errors
    /// It is no integer.
    pub fn duration(&mut self, value: &Value<'_>, into: &mut i64) -> Result<Field, JsonError> {
        self.int(value, "time.Duration", into)
    }

    /// A Go `int32`.
    ///
    /// # Errors
    /// It is none.
    pub fn int32(&mut self, value: &Value<'_>, into: &mut i32) -> Result<Field, JsonError> {
        match value {
            Value::Null => {}
            Value::Number(text) => match text.parse() {
                Ok(number) => *into = number,
                Err(_) => return Err(self.mismatch_number(text, "int32")),
            },
            _ => return Err(self.mismatch(value, "int32")),
        }
        Ok(Field::Known)
    }

    /// A Go `uint64`.
    ///
    /// # Errors
    /// It is none.
    pub fn uint(&mut self, value: &Value<'_>, into: &mut u64) -> Result<Field, JsonError> {
        match value {
            Value::Null => {}
            Value::Number(text) => match text.parse() {
                Ok(number) => *into = number,
                Err(_) => return Err(self.mismatch_number(text, "uint64")),
            },
            _ => return Err(self.mismatch(value, "uint64")),
        }
        Ok(Field::Known)
    }

    /// A time, in nanoseconds since 1970. What lies before is 1, so that it is not taken for unset;
    /// Go's zero time is 0.
    ///
    /// # Errors
    /// It is none.
    pub fn time(&mut self, value: &Value<'_>, into: &mut Option<u64>) -> Result<Field, JsonError> {
        match value {
            Value::Null => {}
            Value::String(text) => match parse_time(text) {
                Ok(time) => *into = Some(time),
                Err(complaint) => return Err(JsonError(complaint)),
            },
            _ => return Err(self.mismatch(value, "time.Time")),
        }
        Ok(Field::Known)
    }

    /// One of a set of words, read by `from`; a complaint of the common form otherwise, for null,
    /// too.
    ///
    /// # Errors
    /// It is none of them.
    pub fn word<T>(
        &mut self,
        value: &Value<'_>,
        from: impl FnOnce(&str) -> Option<T>,
        into: &mut T,
    ) -> Result<Field, JsonError> {
        let read = match value {
            Value::String(text) => from(text),
            _ => None,
        };
        match read {
            Some(word) => *into = word,
            None => {
                let mut text = Vec::new();
                value.write(&mut text);
                let text = String::from_utf8_lossy(&text).into_owned();
                return Err(JsonError(format!("can not unmarshal {text:?}")));
            }
        }
        Ok(Field::Known)
    }

    /// The complaint that `value` is not of Go type `wanted`.
    pub fn mismatch(&self, value: &Value<'_>, wanted: &str) -> JsonError {
        let given = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        self.complain(given, wanted)
    }

    fn mismatch_number(&self, text: &str, wanted: &str) -> JsonError {
        self.complain(&format!("number {text}"), wanted)
    }

    fn complain(&self, given: &str, wanted: &str) -> JsonError {
        let mut place = String::new();
        for part in &self.path {
            let _ = match part {
                PathPart::Key(key) => write!(place, ".{key}"),
                PathPart::Index(index) => write!(place, ".{index}"),
            };
        }
        let root = self.root;
        JsonError(match self.path.last() {
            None => format!("json: cannot unmarshal {given} into Go value of type {wanted}"),
            Some(PathPart::Key(_)) => format!(
                "json: cannot unmarshal {given} into Go struct field {root}{place} of type {wanted}"
            ),
            Some(PathPart::Index(_)) => {
                format!("json: cannot unmarshal {given} into {root}{place} of type {wanted}")
            }
        })
    }
}
