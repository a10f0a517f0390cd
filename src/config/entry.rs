//! A key of the configuration file with its value, on their way to a type.

use std::time::Duration;

use super::findings::{Findings, Problem};
use super::grammar::{parse_duration, Node, Value};

/// A key and its value.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) node: &'a Node,
}

impl Entry<'_> {
    pub(super) fn not_built(self, feature: &'static str) -> Result<(), Problem> {
        if is_off(&self.node.value) {
            return Ok(());
        }
        Err(Problem::NotBuilt { name: self.name.to_owned(), feature })
    }

    pub(super) fn wrong(self, wanted: &'static str) -> Problem {
        Problem::Type { found: self.node.value.go_type(), wanted }
    }

    pub(super) fn integer(self) -> Result<i64, Problem> {
        match self.node.value {
            Value::Integer(number) => Ok(number),
            _ => Err(self.wrong("int64")),
        }
    }

    pub(super) fn switch(self) -> Result<bool, Problem> {
        match self.node.value {
            Value::Bool(on) => Ok(on),
            _ => Err(self.wrong("bool")),
        }
    }

    /// An empty text says nothing.
    pub(super) fn text(self) -> Result<Option<String>, Problem> {
        match &self.node.value {
            Value::String(text) => Ok((!text.is_empty()).then(|| text.clone())),
            _ => Err(self.wrong("string")),
        }
    }

    /// A number of bytes; 0 means the default.
    pub(super) fn size(self, max: i64, default: usize) -> Result<usize, Problem> {
        match self.integer()? {
            0 => Ok(default),
            number if number > max => Err(Problem::TooBig(self.name.to_owned())),
            number => usize::try_from(number).map_err(|_| Problem::Negative(self.name.to_owned())),
        }
    }

    pub(super) fn count(self, default: u32) -> Result<u32, Problem> {
        let count = self.size(i64::from(u32::MAX), 0)?;
        let count = u32::try_from(count).map_err(|_| Problem::TooBig(self.name.to_owned()))?;
        Ok(if count == 0 { default } else { count })
    }

    pub(super) fn sub_tokens(self) -> Result<u8, Problem> {
        match self.integer()? {
            ..=0 => Err(Problem::Negative(self.name.to_owned())),
            number => u8::try_from(number).map_err(|_| Problem::TooBig(self.name.to_owned())),
        }
    }

    /// A duration, or seconds with a warning, which nats-server took before it knew durations.
    pub(super) fn duration(
        self,
        findings: &mut Findings,
        default: Duration,
    ) -> Result<Duration, Problem> {
        let duration = match self.node.value {
            Value::Integer(seconds) => {
                findings.warn(self.node, Problem::NotADuration(self.name.to_owned()));
                let seconds = u64::try_from(seconds);
                Duration::from_secs(seconds.map_err(|_| Problem::Negative(self.name.to_owned()))?)
            }
            Value::String(_) => self.written_duration()?,
            _ => return Err(self.wrong("int64")),
        };
        Ok(if duration.is_zero() { default } else { duration })
    }

    pub(super) fn written_duration(self) -> Result<Duration, Problem> {
        let Value::String(text) = &self.node.value else { return Err(self.wrong("string")) };
        let named = |error| Problem::Duration { name: self.name.to_owned(), error };
        parse_duration(text).map_err(named)
    }
}

/// What switches an unbuilt feature off, or leaves it off, is no reason to stop.
pub(super) fn is_off(value: &Value) -> bool {
    match value {
        Value::Bool(on) => !on,
        Value::Integer(number) => *number == 0,
        Value::String(text) => {
            text.is_empty() || ["disabled", "disable"].contains(&text.to_lowercase().as_str())
        }
        Value::Array(items) => items.is_empty(),
        Value::Map(_) | Value::Float(_) | Value::Datetime(_) => false,
    }
}

/// What Go calls a map of the file.
pub(super) const GO_MAP: &str = "map[string]interface {}";
