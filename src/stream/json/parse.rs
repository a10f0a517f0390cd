//! Text to values.

use std::borrow::Cow;

use thiserror::Error;

/// Nested arrays and objects a text may have.
pub const DEPTH_MAX: usize = 128;

/// Why a text is not what was asked for, in the words of nats-server.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct JsonError(pub String);

/// A value that borrows from its text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as it is spelt.
    Number(&'a str),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// Its elements.
    Array(Vec<Self>),
    /// Its keys and values in order, repeated ones too.
    Object(Vec<(Cow<'a, str>, Self)>),
}

impl Value<'_> {
    /// The value written again, compact.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(text) => out.extend_from_slice(text.as_bytes()),
            Self::String(text) => super::write_string(out, text.as_bytes()),
            Self::Array(values) => {
                out.push(b'[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    value.write(out);
                }
                out.push(b']');
            }
            Self::Object(entries) => {
                out.push(b'{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    super::write_string(out, key.as_bytes());
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

/// Reads a text that is one value.
///
/// # Errors
/// It is not, or more follows.
pub fn parse(text: &[u8]) -> Result<Value<'_>, JsonError> {
    let mut at = 0;
    let value = parse_first(text, &mut at)?.ok_or_else(unexpected_end)?;
    match text.get(at..).unwrap_or_default().iter().position(|byte| !is_blank(*byte)) {
        None => Ok(value),
        Some(more) => {
            let byte = text.get(at + more).copied().unwrap_or_default();
            Err(unexpected(byte, "after top-level value", at + more))
        }
    }
}

/// Reads the value that begins at `at` and moves `at` behind it; `None` if only blanks are left.
///
/// # Errors
/// There is something else.
pub fn parse_first<'a>(text: &'a [u8], at: &mut usize) -> Result<Option<Value<'a>>, JsonError> {
    let mut parser = Parser { text, at: *at };
    parser.skip_blanks();
    if parser.peek().is_none() {
        *at = parser.at;
        return Ok(None);
    }
    let value = parser.value(0)?;
    *at = parser.at;
    Ok(Some(value))
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    /// Recursion is bounded by [`DEPTH_MAX`].
    fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        if depth > DEPTH_MAX {
            return Err(JsonError(String::from("exceeded max depth")));
        }
        self.skip_blanks();
        match self.need()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Value::String),
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            b'n' => self.literal("null", Value::Null),
            b'-' | b'0'..=b'9' => self.number(),
            byte => Err(unexpected(byte, "looking for beginning of value", self.at)),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.at += 1;
        let mut entries = Vec::new();
        self.skip_blanks();
        if self.need()? == b'}' {
            self.at += 1;
            return Ok(Value::Object(entries));
        }
        loop {
            self.skip_blanks();
            let byte = self.need()?;
            if byte != b'"' {
                return Err(unexpected(
                    byte,
                    "looking for beginning of object key string",
                    self.at,
                ));
            }
            let key = self.string()?;
            self.skip_blanks();
            let byte = self.need()?;
            if byte != b':' {
                return Err(unexpected(byte, "after object key", self.at));
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            entries.push((key, value));
            self.skip_blanks();
            match self.need()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(Value::Object(entries));
                }
                byte => return Err(unexpected(byte, "after object key:value pair", self.at)),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.at += 1;
        let mut values = Vec::new();
        self.skip_blanks();
        if self.need()? == b']' {
            self.at += 1;
            return Ok(Value::Array(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            self.skip_blanks();
            match self.need()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(Value::Array(values));
                }
                byte => return Err(unexpected(byte, "after array element", self.at)),
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.at += 1;
        let start = self.at;
        let mut unescaped: Vec<u8> = Vec::new();
        let mut copied_to = start;
        loop {
            let byte = self.need()?;
            match byte {
                b'"' => {
                    let rest = self.slice(copied_to, self.at);
                    self.at += 1;
                    if copied_to == start {
                        return Ok(String::from_utf8_lossy(rest));
                    }
                    unescaped.extend_from_slice(rest);
                    return Ok(Cow::Owned(String::from_utf8_lossy(&unescaped).into_owned()));
                }
                b'\\' => {
                    unescaped.extend_from_slice(self.slice(copied_to, self.at));
                    self.escape(&mut unescaped)?;
                    copied_to = self.at;
                }
                0..=0x1f => return Err(unexpected(byte, "in string", self.at)),
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let start = self.at;
        self.at += 1;
        let byte = self.need()?;
        self.at += 1;
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let first = self.hex4(start)?;
                let mut code = char::from_u32(first);
                if (0xd800..0xdc00).contains(&first) && self.slice(self.at, self.at + 2) == b"\\u" {
                    let back = self.at;
                    self.at += 2;
                    let second = self.hex4(back)?;
                    if (0xdc00..0xe000).contains(&second) {
                        code =
                            char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
                    } else {
                        self.at = back;
                    }
                }
                let code = code.unwrap_or(char::REPLACEMENT_CHARACTER);
                let mut buffer = [0; 4];
                out.extend_from_slice(code.encode_utf8(&mut buffer).as_bytes());
                return Ok(());
            }
            _ => return Err(self.bad_escape(start)),
        };
        out.push(plain);
        Ok(())
    }

    fn hex4(&mut self, start: usize) -> Result<u32, JsonError> {
        let digits = self.slice(self.at, self.at + 4);
        if digits.len() < 4 {
            return Err(unexpected_end());
        }
        self.at += 4;
        let text = std::str::from_utf8(digits).ok();
        let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        text.and_then(|text| u32::from_str_radix(text, 16).ok())
            .ok_or_else(|| self.bad_escape(start))
    }

    fn bad_escape(&self, start: usize) -> JsonError {
        let sequence = String::from_utf8_lossy(self.slice(start, self.at));
        JsonError(format!("invalid escape sequence `{sequence}` in string at offset {}", self.at))
    }

    fn number(&mut self) -> Result<Value<'a>, JsonError> {
        let start = self.at;
        if self.need()? == b'-' {
            self.at += 1;
        }
        match self.need()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits()?,
            byte => return Err(unexpected(byte, "in numeric literal", self.at)),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Value::Number(std::str::from_utf8(self.slice(start, self.at)).unwrap_or_default()))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let byte = self.need()?;
        if !byte.is_ascii_digit() {
            return Err(unexpected(byte, "in numeric literal", self.at));
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, JsonError> {
        for expected in word.bytes() {
            let byte = self.need()?;
            if byte != expected {
                let place = format!("in literal {word} (expecting {})", quoted(expected));
                return Err(unexpected(byte, &place, self.at));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn need(&self) -> Result<u8, JsonError> {
        self.peek().ok_or_else(unexpected_end)
    }

    fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        let to = to.min(self.text.len());
        self.text.get(from..to).unwrap_or_default()
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn unexpected_end() -> JsonError {
    JsonError(String::from("unexpected EOF"))
}

fn unexpected(byte: u8, place: &str, at: usize) -> JsonError {
    JsonError(format!("invalid character {} {place} at offset {}", quoted(byte), at + 1))
}

fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => String::from(r"'\''"),
        b'\\' => String::from(r"'\\'"),
        b'\n' => String::from(r"'\n'"),
        b'\r' => String::from(r"'\r'"),
        b'\t' => String::from(r"'\t'"),
        0..=0x1f | 0x7f => format!("'\\x{byte:02x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().0
    }

    /// Goal: the words of nats-server 2.15.1. Method: recorded from it.
    #[test]
    fn complaints_are_those_of_the_server() {
        for (text, expected) in [
            ("{", "unexpected EOF"),
            ("{\"name\":}", "invalid character '}' looking for beginning of value at offset 9"),
            (
                "{\"name\":\"X\",}",
                "invalid character '}' looking for beginning of object key string at offset 13",
            ),
            ("{\"name\" \"X\"}", "invalid character '\"' after object key at offset 9"),
            ("x", "invalid character 'x' looking for beginning of value at offset 1"),
            ("tru", "unexpected EOF"),
            (
                "{\"name\":tru}",
                "invalid character '}' in literal true (expecting 'e') at offset 12",
            ),
            ("{\"name\":\"\\x\"}", "invalid escape sequence `\\x` in string at offset 11"),
            ("{\"name\":\"\\u12g\"}", "invalid escape sequence `\\u12g\"` in string at offset 15"),
            ("{\"name\":1.x}", "invalid character 'x' in numeric literal at offset 11"),
            ("[1 2]", "invalid character '2' after array element at offset 4"),
            ("{\"name\":\"a\nb\"}", "invalid character '\\n' in string at offset 11"),
        ] {
            assert_eq!(complaint(text), expected, "{text}");
        }
    }

    #[test]
    fn values_read_and_write_back() {
        let text = r#"{"a":[1,-2.5e3,null,true],"b":{"c":"x\u00e9\ud83d\ude00\n"},"b":false}"#;
        let value = parse(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        value.write(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"a\":[1,-2.5e3,null,true],\"b\":{\"c\":\"xé😀\\n\"},\"b\":false}"
        );
    }

    #[test]
    fn depth_is_bounded() {
        let text = "[".repeat(100_000);
        assert_eq!(complaint(&text), "exceeded max depth");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]{},:\"\\\\u0-9a-f \\-.etrn]{0,40}") {
            let _ = parse(text.as_bytes());
        }
    }
}
