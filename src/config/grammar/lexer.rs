//! Text to tokens.
//!
//! A state says what may come next; a stack holds the states to return to when a value, a map or
//! an array ends. So nesting costs a stack entry and no recursion.

/// A piece of the file and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) line: u32,
    /// As in [`super::value::Place`].
    pub(super) column: usize,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Key,
    String,
    Bool,
    Integer,
    Float,
    Datetime,
    ArrayStart,
    ArrayEnd,
    MapStart,
    MapEnd,
    Variable,
    Include,
    End,
}

/// The text is no configuration; `text` is nats-server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LexError {
    pub(super) line: u32,
    pub(super) text: String,
}

/// What the next character is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between entries of the file.
    Top,
    TopValueEnd,
    /// Between entries of braces around (part of) the file.
    Block,
    BlockValueEnd,
    BlockEnd,
    /// At the first character of a key outside maps.
    Key,
    KeyEnd,
    Include,
    Value,
    ArrayValue,
    ArrayValueEnd,
    MapKey,
    MapKeyEnd,
    MapValueEnd,
}

/// Stands for the end of the text among characters.
pub(super) const EOF: char = '\0';

pub(super) type Step = Result<Option<Token>, LexError>;

/// Call [`Lexer::next_token`] until it answers with [`Kind::End`] or an error.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    pub(super) input: &'a str,
    /// `start <= at <= input.len()`, both on character boundaries.
    pub(super) at: usize,
    pub(super) start: usize,
    /// Bytes of the last character taken; 0 at the end of the text.
    width: usize,
    line: u32,
    /// Where the last line end taken stands; 0 in the first line.
    line_mark: usize,
    /// `line_mark` when `start` was set.
    start_mark: usize,
    state: State,
    stack: Vec<State>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(input: &'a str) -> Self {
        Self {
            input,
            at: 0,
            start: 0,
            width: 0,
            line: 1,
            line_mark: 0,
            start_mark: 0,
            state: State::Top,
            stack: Vec::new(),
        }
    }

    pub(super) fn next_token(&mut self) -> Result<Token, LexError> {
        loop {
            if let Some(token) = self.step()? {
                return Ok(token);
            }
        }
    }

    fn step(&mut self) -> Step {
        match self.state {
            State::Top => self.between_entries(State::TopValueEnd),
            State::Block => self.between_entries(State::BlockValueEnd),
            State::TopValueEnd => self.top_value_end(),
            State::BlockValueEnd => self.block_value_end(),
            State::BlockEnd => self.block_end(),
            State::Key => self.key(),
            State::KeyEnd => self.key_end(),
            State::Include => self.include(),
            State::Value => self.value(),
            State::ArrayValue => self.array_value(),
            State::ArrayValueEnd => self.array_value_end(),
            State::MapKey => self.map_key(),
            State::MapKeyEnd => self.map_key_end(),
            State::MapValueEnd => self.map_value_end(),
        }
    }

    // ---- outside maps ----

    /// Before an entry of the file, or of braces around it. `after` follows the entry's value.
    fn between_entries(&mut self, after: State) -> Step {
        let in_block = after == State::BlockValueEnd;
        match self.take() {
            '{' if in_block => self.stack.push(State::BlockEnd),
            '{' => self.enter(State::Block, State::Top),
            '}' if in_block => self.leave(),
            '#' => self.skip_comment(),
            '/' if self.take_if('/') => self.skip_comment(),
            '/' => return self.fail("Unexpected EOF."),
            EOF if self.at > self.start => return self.fail("Unexpected EOF."),
            EOF => return self.emit(Kind::End),
            c if c.is_whitespace() => {}
            _ => {
                self.back();
                self.enter(State::Key, after);
            }
        }
        self.ignore();
        Ok(None)
    }

    fn top_value_end(&mut self) -> Step {
        match self.take() {
            '#' => self.comment_then(State::Top),
            '/' if self.take_if('/') => self.comment_then(State::Top),
            // nats-server steps over a lone slash here.
            '/' | ' ' | '\t' => {}
            '\n' | '\r' | EOF | ';' | ',' | '}' => self.state = State::Top,
            c => {
                return self.fail(format!(
                    "Expected a top-level value to end with a new line, comment or EOF, but got '{}' instead.",
                    shown(c)
                ))
            }
        }
        self.ignore();
        Ok(None)
    }

    fn block_value_end(&mut self) -> Step {
        match self.take() {
            '#' => self.skip_comment(),
            '/' if self.take_if('/') => self.skip_comment(),
            '/' | ' ' | '\t' => {}
            '\n' | '\r' | ';' | ',' => self.state = State::Block,
            '}' => self.leave(),
            c => {
                return self.fail(format!(
                    "Expected a block-level value to end with a new line, comment or EOF, but got '{}' instead.",
                    shown(c)
                ))
            }
        }
        self.ignore();
        Ok(None)
    }

    fn block_end(&mut self) -> Step {
        match self.take() {
            '#' => self.comment_then(State::Block),
            '/' if self.take_if('/') => self.comment_then(State::Block),
            '/' | '\n' | '\r' | ' ' | '\t' => {}
            ';' | ',' => self.state = State::Block,
            '}' => self.leave(),
            c => {
                return self.fail(format!(
                    "Expected a block-level to end with a '}}', but got '{}' instead.",
                    shown(c)
                ))
            }
        }
        self.ignore();
        Ok(None)
    }

    fn key(&mut self) -> Step {
        match self.peek() {
            c if is_separator(c) => self.fail(format!("Unexpected key separator '{c}'")),
            quote @ ('"' | '\'') => {
                self.take();
                self.ignore();
                while self.peek() != quote {
                    if self.peek() == EOF {
                        return self.end_inside_quotes();
                    }
                    self.take();
                }
                self.state = State::KeyEnd;
                self.emit_and_skip_one(Kind::Key)
            }
            _ => {
                self.take_bare_key();
                if self.peek().is_whitespace() && self.is_include() {
                    self.state = State::Include;
                    return Ok(None);
                }
                self.state = State::KeyEnd;
                self.emit(Kind::Key)
            }
        }
    }

    fn key_end(&mut self) -> Step {
        match self.take() {
            c if c.is_whitespace() => {}
            c if is_separator(c) => self.state = State::Value,
            EOF => {
                self.ignore();
                return self.emit(Kind::End);
            }
            _ => {
                self.back();
                self.state = State::Value;
            }
        }
        self.ignore();
        Ok(None)
    }

    // ---- maps ----

    fn map_key(&mut self) -> Step {
        match self.peek() {
            c if is_separator(c) => {
                return self.fail(format!("Unexpected key separator '{c}'."));
            }
            ']' => return self.fail("Unexpected array end ']' processing map."),
            EOF => return self.fail("Unexpected EOF processing map."),
            c if c.is_whitespace() => {
                self.take();
                self.ignore();
            }
            '}' => {
                self.take();
                self.leave();
                return self.emit_mark(Kind::MapEnd);
            }
            '#' => self.skip_comment(),
            '/' => {
                self.take();
                if self.take_if('/') {
                    self.skip_comment();
                }
                // A lone slash is stepped over, as in nats-server.
                self.ignore();
            }
            quote @ ('"' | '\'') => return self.quoted_map_key(quote),
            _ => return self.bare_map_key(),
        }
        Ok(None)
    }

    fn quoted_map_key(&mut self, quote: char) -> Step {
        self.take();
        self.ignore();
        while self.peek() != quote {
            if self.peek() == EOF {
                let which = if quote == '"' { "double quoted" } else { "quoted" };
                return self.fail(format!("Unexpected EOF processing {which} map key."));
            }
            self.take();
        }
        self.state = State::MapKeyEnd;
        self.emit_and_skip_one(Kind::Key)
    }

    fn bare_map_key(&mut self) -> Step {
        self.take_bare_key();
        if self.peek() == EOF {
            return self.fail("Unexpected EOF processing map key.");
        }
        if self.peek().is_whitespace() && self.is_include() {
            self.enter(State::Include, State::MapValueEnd);
            return Ok(None);
        }
        self.state = State::MapKeyEnd;
        self.emit(Kind::Key)
    }

    fn map_key_end(&mut self) -> Step {
        let mut separated = false;
        loop {
            match self.take() {
                c if c.is_whitespace() => {}
                c if is_separator(c) && !separated => separated = true,
                ',' => return self.fail("Unexpected map value terminator \",\"."),
                '}' => return self.fail("Unexpected map terminator '}', a value is missing."),
                _ => break,
            }
        }
        self.back();
        self.ignore();
        self.enter(State::Value, State::MapValueEnd);
        Ok(None)
    }

    fn map_value_end(&mut self) -> Step {
        match self.take() {
            ' ' | '\t' => {}
            '#' => self.skip_comment(),
            '/' if self.take_if('/') => self.skip_comment(),
            '/' | ';' | ',' | '\n' | '\r' => self.state = State::MapKey,
            '}' => {
                self.leave();
                return self.emit_mark(Kind::MapEnd);
            }
            c => {
                return self.fail(format!(
                    "Expected a map value terminator \",\" or a map terminator \"}}\", but got '{}' instead.",
                    shown(c)
                ))
            }
        }
        self.ignore();
        Ok(None)
    }

    // ---- arrays ----

    fn array_value(&mut self) -> Step {
        match self.take() {
            c if c.is_whitespace() => {}
            '#' => self.skip_comment(),
            '/' if self.take_if('/') => self.skip_comment(),
            '/' | ',' => return self.fail("Unexpected array value terminator ','."),
            ']' => {
                self.leave();
                return self.emit_mark(Kind::ArrayEnd);
            }
            _ => {
                self.back();
                self.enter(State::Value, State::ArrayValueEnd);
            }
        }
        self.ignore();
        Ok(None)
    }

    fn array_value_end(&mut self) -> Step {
        match self.take() {
            ' ' | '\t' => {}
            '#' => self.skip_comment(),
            '/' if self.take_if('/') => self.skip_comment(),
            '/' | ',' | '\n' | '\r' => self.state = State::ArrayValue,
            ']' => {
                self.leave();
                return self.emit_mark(Kind::ArrayEnd);
            }
            c => {
                return self.fail(format!(
                    "Expected an array value terminator \",\" or an array terminator \"]\", but got '{}' instead.",
                    shown(c)
                ))
            }
        }
        self.ignore();
        Ok(None)
    }

    // ---- values ----

    fn value(&mut self) -> Step {
        let first = self.take();
        match first {
            ' ' | '\t' => {
                self.ignore();
                Ok(None)
            }
            '[' => {
                self.state = State::ArrayValue;
                self.emit_mark(Kind::ArrayStart)
            }
            '{' => {
                self.state = State::MapKey;
                self.emit_mark(Kind::MapStart)
            }
            '\'' => self.raw_string(),
            '"' => self.escaped_string(),
            '(' => self.block_string(),
            '-' => match self.take() {
                '0'..='9' => self.number(),
                '.' => self.fail("Floats must start with a digit, not '.'."),
                c => self.fail(format!("Expected a digit but got '{}'.", shown(c))),
            },
            '0'..='9' => self.number(),
            '.' => self.fail("Floats must start with a digit"),
            '\n' | '\r' => self.fail("Expected value but found new line"),
            _ => {
                self.back();
                self.bare_string()
            }
        }
    }

    // ---- the cursor ----

    pub(super) fn take(&mut self) -> char {
        let Some(c) = self.input[self.at..].chars().next() else {
            self.width = 0;
            return EOF;
        };
        if c == '\n' {
            self.line += 1;
            self.line_mark = self.at;
        }
        self.width = c.len_utf8();
        self.at += self.width;
        c
    }

    /// Undoes the last [`Self::take`].
    pub(super) fn back(&mut self) {
        self.at -= self.width;
        if self.width > 0 && self.input[self.at..].starts_with('\n') {
            self.line -= 1;
        }
        self.width = 0;
    }

    pub(super) fn peek(&self) -> char {
        self.input[self.at..].chars().next().unwrap_or(EOF)
    }

    fn take_if(&mut self, wanted: char) -> bool {
        let is_next = self.peek() == wanted;
        if is_next {
            self.take();
        }
        is_next
    }

    pub(super) fn last_char(&self) -> &'a str {
        &self.input[self.at - self.width..self.at]
    }

    /// What has been taken since the last token or [`Self::ignore`].
    pub(super) fn pending(&self) -> &'a str {
        &self.input[self.start..self.at]
    }

    pub(super) fn ignore(&mut self) {
        self.start = self.at;
        self.start_mark = self.line_mark;
    }

    /// Goes back to where the token began. No line end lies between.
    pub(super) fn restart(&mut self) {
        self.back();
        self.at = self.start;
    }

    fn skip_comment(&mut self) {
        while !matches!(self.peek(), '\n' | '\r' | EOF) {
            self.take();
        }
        self.ignore();
    }

    fn comment_then(&mut self, state: State) {
        self.skip_comment();
        self.state = state;
    }

    /// A key's first character is taken whatever it is.
    fn take_bare_key(&mut self) {
        self.ignore();
        self.take();
        while !matches!(self.peek(), c if c == EOF || c.is_whitespace() || is_separator(c)) {
            self.take();
        }
    }

    fn is_include(&self) -> bool {
        self.pending().eq_ignore_ascii_case("include")
    }

    fn enter(&mut self, state: State, then: State) {
        self.stack.push(then);
        self.state = state;
    }

    pub(super) fn leave(&mut self) {
        // Every state that leaves was entered; at worst the file goes on at its top.
        self.state = self.stack.pop().unwrap_or(State::Top);
    }

    // ---- tokens ----

    pub(super) fn emit(&mut self, kind: Kind) -> Step {
        let text = self.pending().to_owned();
        self.emit_text(kind, text)
    }

    pub(super) fn emit_text(&mut self, kind: Kind, text: String) -> Step {
        let column = self.start - self.start_mark.min(self.start);
        let token = Token { kind, text, line: self.line, column };
        self.ignore();
        Ok(Some(token))
    }

    /// A token whose closing quote or bracket is still to be taken.
    pub(super) fn emit_and_skip_one(&mut self, kind: Kind) -> Step {
        let token = self.emit(kind);
        self.take();
        self.ignore();
        token
    }

    /// A token without a text.
    fn emit_mark(&mut self, kind: Kind) -> Step {
        self.ignore();
        self.emit(kind)
    }

    pub(super) fn emit_content(&mut self, content: Vec<u8>) -> Step {
        match String::from_utf8(content) {
            Ok(text) => self.emit_text(Kind::String, text),
            Err(_) => self.fail("Escapes in a string make no UTF-8"),
        }
    }

    /// The text ends inside quotes. Right behind the opening one nats-server takes that for the
    /// end of the file.
    pub(super) fn end_inside_quotes(&mut self) -> Step {
        if self.at > self.start {
            self.fail("Unexpected EOF.")
        } else {
            self.emit(Kind::End)
        }
    }

    pub(super) fn fail(&self, text: impl Into<String>) -> Step {
        Err(self.error(text))
    }

    pub(super) fn error(&self, text: impl Into<String>) -> LexError {
        LexError { line: self.line, text: text.into() }
    }
}

/// A character in an error text.
pub(super) fn shown(c: char) -> String {
    match c {
        EOF => String::from("EOF"),
        '\n' => String::from("\\n"),
        c => c.to_string(),
    }
}

fn is_separator(c: char) -> bool {
    matches!(c, ':' | '=')
}

pub(super) fn ends_bare(c: char) -> bool {
    matches!(c, '\n' | '\r' | ' ' | '\t' | ';' | ',' | ']' | '}')
}
