//! What stands between the brackets: strings, numbers, dates, addresses, paths to include.

use super::lexer::{ends_bare, shown, Kind, LexError, Lexer, Step, EOF};

/// Each takes one token whose first character shows what it is, then returns to whatever the
/// value stands in.
impl Lexer<'_> {
    /// Between single quotes nothing is special but the closing one.
    pub(super) fn raw_string(&mut self) -> Step {
        self.ignore();
        loop {
            match self.peek() {
                '\'' => {
                    self.leave();
                    return self.emit_and_skip_one(Kind::String);
                }
                EOF => return self.end_inside_quotes(),
                _ => self.take(),
            };
        }
    }

    pub(super) fn escaped_string(&mut self) -> Step {
        self.ignore();
        let mut content = Vec::new();
        loop {
            match self.take() {
                '"' => {
                    self.leave();
                    return self.emit_content(content);
                }
                '\\' => content.push(self.escape()?),
                EOF => {
                    self.back();
                    return self.end_inside_quotes();
                }
                _ => content.extend_from_slice(self.last_char().as_bytes()),
            }
        }
    }

    /// A string without quotes ends at a blank, a line end or whatever ends a value. Then it may
    /// turn out to be a boolean or a variable, if it had no escapes.
    pub(super) fn bare_string(&mut self) -> Step {
        let mut content = Vec::new();
        let mut has_escapes = false;
        loop {
            match self.take() {
                '\\' => {
                    has_escapes = true;
                    content.push(self.escape()?);
                }
                '\'' => {
                    self.leave();
                    return self.emit_content(content);
                }
                c if c == EOF || ends_bare(c) => break,
                _ => content.extend_from_slice(self.last_char().as_bytes()),
            }
        }
        self.back();
        self.leave();
        let text = self.pending();
        if has_escapes {
            return self.emit_content(content);
        }
        if is_boolean(text) {
            return self.emit(Kind::Bool);
        }
        if text.starts_with('$') {
            // The name goes without its sign.
            self.start += 1;
            return self.emit(Kind::Variable);
        }
        self.emit(Kind::String)
    }

    /// Text between `(` and a `)` alone on its line, line ends included.
    pub(super) fn block_string(&mut self) -> Step {
        self.ignore();
        let mut previous = '(';
        loop {
            let c = self.peek();
            if c == EOF {
                return self.fail("Unexpected EOF processing block.");
            }
            let rest = &self.input[self.at + c.len_utf8()..];
            if c == ')' && previous == '\n' && (rest.is_empty() || rest.starts_with('\n')) {
                self.leave();
                return self.emit_and_skip_one(Kind::String);
            }
            previous = self.take();
        }
    }

    /// The character an escape stands for; the backslash is taken. A byte, because `\xHH` may be
    /// part of a longer character.
    fn escape(&mut self) -> Result<u8, LexError> {
        match self.take() {
            't' => Ok(b'\t'),
            'n' => Ok(b'\n'),
            'r' => Ok(b'\r'),
            '"' => Ok(b'"'),
            '\\' => Ok(b'\\'),
            'x' => self.hexadecimal_escape(),
            c => Err(self.error(format!(
                "Invalid escape character '{}'. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.",
                shown(c)
            ))),
        }
    }

    fn hexadecimal_escape(&mut self) -> Result<u8, LexError> {
        let from = self.at;
        for _ in 0..2 {
            if matches!(self.take(), '\n' | '\r') {
                return Err(
                    self.error("Expected two hexadecimal digits after '\\x', but hit end of line")
                );
            }
        }
        let digits = &self.input[from..self.at];
        let are_two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| are_two);
        byte.ok_or_else(|| {
            self.error(format!("Expected two hexadecimal digits after '\\x', but got '{digits}'"))
        })
    }

    // ---- numbers, dates and addresses ----

    /// The first digit is taken. What begins like a number may still become a date, an address
    /// (`127.0.0.1:4222`) or a bare string (`5min`).
    pub(super) fn number(&mut self) -> Step {
        let is_negative = self.pending().starts_with('-');
        loop {
            match self.take() {
                '0'..='9' => {}
                '.' => return self.fraction(),
                c if is_size_suffix(c) => return self.size(is_negative),
                '-' if !is_negative && self.at - self.start == 5 => return self.date(),
                '-' if !is_negative => {
                    return self.fail("All ISO8601 dates must be in full Zulu form.");
                }
                c if is_negative || c == EOF || ends_bare(c) => break,
                _ => {
                    self.restart();
                    return self.bare_string();
                }
            }
        }
        self.back();
        self.leave();
        self.emit(Kind::Integer)
    }

    /// Behind a size's first letter.
    fn size(&mut self, is_negative: bool) -> Step {
        while matches!(self.peek(), 'b' | 'B' | 'i' | 'I') {
            self.take();
        }
        let next = self.peek();
        if next == EOF || ends_bare(next) || is_negative {
            self.leave();
            return self.emit(Kind::Integer);
        }
        self.restart();
        self.bare_string()
    }

    /// Behind the dot. A second dot makes it an address.
    fn fraction(&mut self) -> Step {
        match self.take() {
            '0'..='9' => {}
            c => {
                return self.fail(format!(
                    "Floats must have a digit after the '.', but got '{}' instead.",
                    shown(c)
                ))
            }
        }
        while self.peek().is_ascii_digit() {
            self.take();
        }
        let is_address = self.peek() == '.';
        while is_address && matches!(self.peek(), '0'..='9' | '.' | ':' | '-') {
            self.take();
        }
        self.leave();
        self.emit(if is_address { Kind::String } else { Kind::Float })
    }

    /// Behind `2006-`.
    fn date(&mut self) -> Step {
        for expected in "00-00T00:00:00Z".chars() {
            let c = self.take();
            if expected == '0' && !c.is_ascii_digit() {
                return self.fail(format!(
                    "Expected digit in ISO8601 datetime, but found '{}' instead.",
                    shown(c)
                ));
            }
            if expected != '0' && c != expected {
                return self.fail(format!(
                    "Expected '{expected}' in ISO8601 datetime, but found '{}' instead.",
                    shown(c)
                ));
            }
        }
        self.leave();
        self.emit(Kind::Datetime)
    }

    pub(super) fn include(&mut self) -> Step {
        while matches!(self.peek(), ' ' | '\t') {
            self.take();
        }
        self.ignore();
        let wrong = match self.peek() {
            quote @ ('"' | '\'') => return self.quoted_include(quote),
            '[' => "start of an array",
            '{' => "start of a map",
            '(' => "start of a block",
            '0'..='9' | '-' => "start of a number",
            '\\' => "escape sequence",
            '\n' | '\r' => {
                self.take();
                "new line"
            }
            _ => return self.bare_include(),
        };
        self.fail(format!("Expected include value but found {wrong}"))
    }

    fn quoted_include(&mut self, quote: char) -> Step {
        self.take();
        self.ignore();
        while self.peek() != quote {
            if self.peek() == EOF {
                let which = if quote == '"' { "double quoted" } else { "quoted" };
                return self.fail(format!("Unexpected EOF in {which} include"));
            }
            self.take();
        }
        self.leave();
        self.emit_and_skip_one(Kind::Include)
    }

    fn bare_include(&mut self) -> Step {
        loop {
            match self.peek() {
                EOF | '\n' | '\r' | ' ' | '\t' | ';' | '}' => {
                    self.leave();
                    return self.emit(Kind::Include);
                }
                '\'' => {
                    self.leave();
                    return self.emit_and_skip_one(Kind::Include);
                }
                _ => self.take(),
            };
        }
    }
}

fn is_size_suffix(c: char) -> bool {
    matches!(c.to_ascii_lowercase(), 'k' | 'm' | 'g' | 't' | 'p' | 'e')
}

fn is_boolean(text: &str) -> bool {
    ["true", "false", "yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word))
}
