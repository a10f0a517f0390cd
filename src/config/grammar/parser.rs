//! Tokens to a tree of values: nesting, variables, included files.

use std::io;
use std::rc::Rc;

use super::lexer::{Kind, LexError, Lexer, Token};
use super::value::{Map, Node, Place, Value};
use super::{go_path, number};
use crate::host;

/// How deep files may include each other; deeper is taken for a circle.
pub(super) const INCLUDE_DEPTH_MAX: usize = 16;

/// How deep maps and arrays may nest.
pub(super) const NESTING_DEPTH_MAX: usize = 256;

/// What a file may refer to outside itself.
pub(in crate::config) trait Source {
    /// The content of a file.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
    /// A variable of the environment.
    fn environment(&self, name: &str) -> Option<String>;
}

/// Why a file cannot be read. The texts are nats-server's.
#[derive(Debug, thiserror::Error)]
pub(in crate::config) enum GrammarError {
    #[error("open {path}: {}", host::go_error_text(source))]
    Open { path: String, source: io::Error },
    #[error("{0}: not UTF-8")]
    Encoding(String),
    #[error("Parse error on line {line}: '{text}'")]
    Parse { line: u32, text: String },
    #[error("config is invalid ({0})")]
    Unfinished(Place),
    #[error("integer '{0}' is out of the range")]
    IntegerRange(String),
    #[error("expected integer, but got '{0}'")]
    Integer(String),
    #[error("float '{0}' is out of the range")]
    Float(String),
    #[error("expected Zulu formatted DateTime, but got '{0}'")]
    Datetime(String),
    #[error("variable reference for '{name}' on line {line} can not be found")]
    VariableMissing { name: String, line: u32 },
    #[error("variable reference for '{name}' on line {line} could not be parsed: {source}")]
    Variable { name: String, line: u32, source: Box<Self> },
    #[error("variable reference cycle for '{0}'")]
    VariableCycle(String),
    #[error("error parsing include file '{path}', {source}")]
    Include { path: String, source: Box<Self> },
    #[error("files include each other more than {INCLUDE_DEPTH_MAX} deep")]
    IncludeDepth,
    #[error("{0}: values nest more than {NESTING_DEPTH_MAX} deep")]
    NestingDepth(Place),
}

/// Reads a file and what it includes.
pub(in crate::config) fn parse_file(path: &str, source: &dyn Source) -> Result<Map, GrammarError> {
    Context { source, depth: 0, cycle: Vec::new() }.file(path)
}

/// What a text is parsed in.
struct Context<'a> {
    source: &'a dyn Source,
    depth: usize,
    /// Environment variables whose values are being parsed.
    cycle: Vec<String>,
}

impl Context<'_> {
    fn file(&mut self, path: &str) -> Result<Map, GrammarError> {
        let bytes = self.source.read(path);
        let bytes = bytes.map_err(|source| GrammarError::Open { path: path.to_owned(), source })?;
        let text = String::from_utf8(bytes).map_err(|_| GrammarError::Encoding(path.to_owned()))?;
        Parser::new(self, path).run(&text)
    }

    fn include(&mut self, from: &str, path: &str) -> Result<Map, GrammarError> {
        let values = if self.depth < INCLUDE_DEPTH_MAX {
            self.depth += 1;
            let values = self.file(&go_path::join(&go_path::directory(from), path));
            self.depth -= 1;
            values
        } else {
            Err(GrammarError::IncludeDepth)
        };
        values.map_err(|source| GrammarError::Include {
            path: path.to_owned(),
            source: source.into(),
        })
    }

    /// The environment's value is parsed as a configuration would write it, so `5` is a number.
    fn environment(&mut self, name: &str) -> Result<Option<Value>, GrammarError> {
        let Some(text) = self.source.environment(name) else { return Ok(None) };
        if self.cycle.iter().any(|pending| pending == name) {
            return Err(GrammarError::VariableCycle(name.to_owned()));
        }
        self.cycle.push(name.to_owned());
        let mut values = Parser::new(self, "").run(&format!("pk={text}"))?;
        self.cycle.pop();
        Ok(values.remove("pk").map(|node| node.value))
    }
}

/// A map or an array that is being filled.
enum Open {
    Map { entries: Map, key: Option<Token> },
    Array(Vec<Node>),
}

struct Parser<'c, 's> {
    context: &'c mut Context<'s>,
    file: Rc<str>,
    /// The innermost last; the first is the file itself.
    open: Vec<(Open, Place)>,
}

impl<'c, 's> Parser<'c, 's> {
    fn new(context: &'c mut Context<'s>, file: &str) -> Self {
        let file: Rc<str> = file.into();
        let top = Open::Map { entries: Map::new(), key: None };
        let start = Place { file: Rc::clone(&file), line: 1, column: 0 };
        Self { context, file, open: vec![(top, start)] }
    }

    fn run(mut self, text: &str) -> Result<Map, GrammarError> {
        let mut lexer = Lexer::new(text);
        // A JSON file's last brace is read as a key.
        let mut ends_with_key = false;
        loop {
            let token = lexer.next_token()?;
            if token.kind == Kind::End {
                return self.finish(&token, ends_with_key);
            }
            ends_with_key = token.kind == Kind::Key && token.text != "}";
            self.handle(token)?;
        }
    }

    fn finish(mut self, end: &Token, ends_with_key: bool) -> Result<Map, GrammarError> {
        let place = self.place(end);
        match (self.open.pop(), self.open.is_empty()) {
            (Some((Open::Map { entries, .. }, _)), true) if !ends_with_key => Ok(entries),
            _ => Err(GrammarError::Unfinished(place)),
        }
    }

    fn handle(&mut self, token: Token) -> Result<(), GrammarError> {
        let value = match token.kind {
            Kind::Key => {
                if let Some((Open::Map { key, .. }, _)) = self.open.last_mut() {
                    *key = Some(token);
                }
                return Ok(());
            }
            Kind::MapStart => {
                let map = Open::Map { entries: Map::new(), key: None };
                return self.begin(map, &token);
            }
            Kind::ArrayStart => return self.begin(Open::Array(Vec::new()), &token),
            Kind::MapEnd | Kind::ArrayEnd => return self.end(),
            Kind::Include => return self.include(&token),
            Kind::Variable => self.variable(&token)?,
            Kind::String | Kind::End => Value::String(token.text.clone()),
            Kind::Bool => Value::Bool(is_true(&token.text)),
            Kind::Integer => integer(&token.text)?,
            Kind::Float => float(&token.text)?,
            Kind::Datetime => datetime(&token.text)?,
        };
        let place = self.place(&token);
        self.put(value, place);
        Ok(())
    }

    fn begin(&mut self, open: Open, token: &Token) -> Result<(), GrammarError> {
        let place = self.place(token);
        if self.open.len() > NESTING_DEPTH_MAX {
            return Err(GrammarError::NestingDepth(place));
        }
        self.open.push((open, place));
        Ok(())
    }

    /// The lexer ends only what it began, and never the file itself this way.
    fn end(&mut self) -> Result<(), GrammarError> {
        let value = match self.open.pop() {
            Some((Open::Map { entries, .. }, place)) => (Value::Map(entries), place),
            Some((Open::Array(items), place)) => (Value::Array(items), place),
            None => return Ok(()),
        };
        self.put(value.0, value.1);
        Ok(())
    }

    /// Stores a value in the innermost map, under the key that waits, or array. In a map the key
    /// is its place.
    fn put(&mut self, value: Value, place: Place) {
        let file = Rc::clone(&self.file);
        match self.open.last_mut() {
            Some((Open::Array(items), _)) => {
                items.push(Node { value, place, used_as_variable: false });
            }
            Some((Open::Map { entries, key }, _)) => {
                let Some(key) = key.take() else { return };
                let place = Place { file, line: key.line, column: key.column };
                entries.insert(key.text, Node { value, place, used_as_variable: false });
            }
            None => {}
        }
    }

    fn include(&mut self, token: &Token) -> Result<(), GrammarError> {
        let file = Rc::clone(&self.file);
        let mut values = self.context.include(&file, &token.text)?;
        if let Some((Open::Map { entries, .. }, _)) = self.open.last_mut() {
            entries.append(&mut values);
        }
        Ok(())
    }

    fn variable(&mut self, token: &Token) -> Result<Value, GrammarError> {
        let (name, line) = (token.text.as_str(), token.line);
        if name.starts_with(BCRYPT_PREFIX) {
            return Ok(Value::String(format!("${name}")));
        }
        for (open, _) in self.open.iter_mut().rev() {
            let Open::Map { entries, .. } = open else { continue };
            if let Some(node) = entries.get_mut(name) {
                node.used_as_variable = true;
                return Ok(node.value.clone());
            }
        }
        match self.context.environment(name) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(GrammarError::VariableMissing { name: name.to_owned(), line }),
            Err(source) => {
                Err(GrammarError::Variable { name: name.to_owned(), line, source: source.into() })
            }
        }
    }

    fn place(&self, token: &Token) -> Place {
        Place { file: Rc::clone(&self.file), line: token.line, column: token.column }
    }
}

impl From<LexError> for GrammarError {
    fn from(error: LexError) -> Self {
        Self::Parse { line: error.line, text: error.text }
    }
}

/// A bcrypt hash begins like a variable and is none: nobody need quote it.
const BCRYPT_PREFIX: &str = "2a$";

fn is_true(text: &str) -> bool {
    ["true", "yes", "on"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn integer(text: &str) -> Result<Value, GrammarError> {
    if let Some(number) = number::parse_integer(text) {
        return Ok(Value::Integer(number));
    }
    // Letters that are no suffix are not a matter of range.
    let suffix = text.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit());
    let is_known = suffix.is_empty() || number::parse_integer(&format!("1{suffix}")).is_some();
    let text = text.to_owned();
    Err(if is_known { GrammarError::IntegerRange(text) } else { GrammarError::Integer(text) })
}

fn float(text: &str) -> Result<Value, GrammarError> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Value::Float(number)),
        _ => Err(GrammarError::Float(text.to_owned())),
    }
}

/// The lexer has checked the pattern; here the ranges are.
fn datetime(text: &str) -> Result<Value, GrammarError> {
    let field = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse().ok());
    let fields = [(0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19)];
    let numbers: Option<Vec<u32>> = fields.iter().map(|(from, to)| field(*from, *to)).collect();
    match numbers.as_deref() {
        Some([year, month, day, hour, minute, second])
            if (1..=12).contains(month)
                && (1..=days_in(*month, *year)).contains(day)
                && *hour < 24
                && *minute < 60
                && *second < 60 =>
        {
            Ok(Value::Datetime(text.to_owned()))
        }
        _ => Err(GrammarError::Datetime(text.to_owned())),
    }
}

fn days_in(month: u32, year: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
