//! Writing: objects and arrays key by key, escaped as Go does it.

use crate::proto::write_decimal;
use crate::stream::time::write_time;

/// An object being written; [`close`](Self::close) it.
#[derive(Debug)]
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Opens an object.
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Writes a key; the value follows by hand.
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// Writes a key that may need escapes; the value follows by hand.
    pub fn key_escaped(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        write_string(self.out, key.as_bytes());
        self.out.push(b':');
        self.out
    }

    /// A string.
    pub fn string(&mut self, key: &str, value: &str) {
        write_string(self.key(key), value.as_bytes());
    }

    /// A string, left out if empty.
    pub fn string_some(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.string(key, value);
        }
    }

    /// A number.
    pub fn uint(&mut self, key: &str, value: u64) {
        write_decimal(self.key(key), value);
    }

    /// A number, left out if 0.
    pub fn uint_some(&mut self, key: &str, value: u64) {
        if value != 0 {
            self.uint(key, value);
        }
    }

    /// A signed number.
    pub fn int(&mut self, key: &str, value: i64) {
        let out = self.key(key);
        if value < 0 {
            out.push(b'-');
        }
        write_decimal(out, value.unsigned_abs());
    }

    /// A signed number, left out if 0.
    pub fn int_some(&mut self, key: &str, value: i64) {
        if value != 0 {
            self.int(key, value);
        }
    }

    /// `true` or `false`.
    pub fn bool(&mut self, key: &str, value: bool) {
        let text: &[u8] = if value { b"true" } else { b"false" };
        self.key(key).extend_from_slice(text);
    }

    /// `true`, or nothing.
    pub fn bool_some(&mut self, key: &str, value: bool) {
        if value {
            self.bool(key, value);
        }
    }

    /// A time in nanoseconds since 1970; 0 is Go's zero time.
    pub fn time(&mut self, key: &str, value: u64) {
        let out = self.key(key);
        out.push(b'"');
        write_time(out, value);
        out.push(b'"');
    }

    /// An object inside.
    pub fn object(&mut self, key: &str) -> Object<'_> {
        Object::open(self.key(key))
    }

    /// An array inside.
    pub fn array(&mut self, key: &str) -> Array<'_> {
        Array::open(self.key(key))
    }

    /// A list of strings, left out if empty.
    pub fn strings_some<S: AsRef<str>>(&mut self, key: &str, values: &[S]) {
        if values.is_empty() {
            return;
        }
        let mut array = self.array(key);
        for value in values {
            array.string(value.as_ref());
        }
        array.close();
    }

    /// Ends the object.
    pub fn close(self) {
        self.out.push(b'}');
    }
}

/// An array being written; [`close`](Self::close) it.
#[derive(Debug)]
pub struct Array<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Array<'a> {
    /// Opens an array.
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'[');
        Self { out, empty: true }
    }

    /// Begins the next element, which follows by hand.
    pub fn element(&mut self) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out
    }

    /// A string.
    pub fn string(&mut self, value: &str) {
        write_string(self.element(), value.as_bytes());
    }

    /// A number.
    pub fn uint(&mut self, value: u64) {
        write_decimal(self.element(), value);
    }

    /// An object inside.
    pub fn object(&mut self) -> Object<'_> {
        Object::open(self.element())
    }

    /// Ends the array.
    pub fn close(self) {
        self.out.push(b']');
    }
}

/// Appends a string in quotes, escaped as Go's encoder does: `<`, `>`, `&`, the two line separators
/// and control characters by number, bytes that are no UTF-8 as the replacement character.
pub fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        write_escaped(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            for _ in chunk.invalid() {
                out.extend_from_slice(b"\\ufffd");
            }
        }
    }
    out.push(b'"');
}

fn write_escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let is_plain = match byte {
            b'"' | b'\\' | b'<' | b'>' | b'&' | 0..=0x1f => false,
            // U+2028 and U+2029.
            0xe2 => !matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9])),
            _ => true,
        };
        if is_plain || at < plain_from {
            continue;
        }
        out.extend_from_slice(bytes.get(plain_from..at).unwrap_or_default());
        plain_from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0xe2 => {
                let is_line = bytes.get(at + 2) == Some(&0xa8);
                out.extend_from_slice(if is_line { b"\\u2028" } else { b"\\u2029" });
                plain_from = at + 3;
            }
            byte => {
                out.extend_from_slice(b"\\u00");
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.push(digit(byte >> 4));
                out.push(digit(byte & 15));
            }
        }
    }
    out.extend_from_slice(bytes.get(plain_from..).unwrap_or_default());
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        let mut out = Vec::new();
        write_string(&mut out, "a<b>&\"\\\n\u{1}\u{2028}ü\u{7f}".as_bytes());
        let expected = "\"a\\u003cb\\u003e\\u0026\\\"\\\\\\n\\u0001\\u2028ü\u{7f}\"";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut out = Vec::new();
        write_string(&mut out, b"a\xffb");
        assert_eq!(out, b"\"a\\ufffdb\"");
    }

    #[test]
    fn objects_and_arrays_nest() {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        object.int("a", -1);
        object.uint_some("b", 0);
        object.strings_some("c", &["x", "y"]);
        let mut inner = object.object("d");
        inner.bool("e", true);
        inner.close();
        object.time("t", 0);
        object.close();
        let expected = r#"{"a":-1,"c":["x","y"],"d":{"e":true},"t":"0001-01-01T00:00:00Z"}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
