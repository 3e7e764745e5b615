//! The one pass: walks over a text, checks it, and keeps a copy of the parts that are wanted.

use super::{
    error::{JsonError, JsonProblem},
    keys::{Duplicate, Keys},
    limits::JSON_DEPTH_MAX,
    number::number_end,
    string::{escape_end, plain_end},
};

/// What a string has between its quotes: a range of the text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) escaped: bool,
}

impl Text {
    pub(crate) fn raw(self, source: &[u8]) -> &str {
        str::from_utf8(&source[self.start..self.end])
            .expect("Scanner::new checked the text, and quotes are characters of their own")
    }
}

/// A place in a text. Its methods take what they are named after from there, and fail where it is
/// not. What lies between tokens is kept only while [`Scanner::keep_from`] is in force.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    keys: Keys,
    kept: Vec<u8>,
    /// Start of the part that is to be kept and not copied yet.
    run: usize,
    keeping: bool,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Result<Self, JsonError> {
        if let Err(error) = str::from_utf8(text) {
            return Err(JsonError::new(error.valid_up_to(), JsonProblem::NotUtf8));
        }
        let kept = Vec::new();
        Ok(Self { text, at: 0, depth: 0, keys: Keys::new(), kept, run: 0, keeping: false })
    }

    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The byte here; 0, which no token begins with, at the end.
    #[inline]
    pub(crate) fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Any value.
    pub(crate) fn value(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            b'{' => self.members(|scanner, _| scanner.member_value()),
            b'[' => self.elements(Self::value),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => Err(self.expected("a value")),
        }
    }

    /// An object. `visit` gets each key and takes the rest of the member, its colon included.
    pub(crate) fn members<E: From<JsonError>>(
        &mut self,
        mut visit: impl FnMut(&mut Self, Text) -> Result<(), E>,
    ) -> Result<(), E> {
        self.enter()?;
        let mut keys = self.keys.open();
        self.space();
        if self.peek() == b'}' {
            self.at += 1;
        } else {
            loop {
                let key = match self.peek() {
                    b'"' => self.string()?,
                    _ => return Err(self.expected("a key in quotes").into()),
                };
                let added = self.keys.add(self.text, &mut keys, key);
                added.map_err(|duplicate| self.duplicate(&duplicate))?;
                visit(self, key)?;
                self.space();
                match self.peek() {
                    b',' => self.at += 1,
                    b'}' => break self.at += 1,
                    _ => return Err(self.expected("`,` or `}`").into()),
                }
                self.space();
            }
        }
        let closed = self.keys.close(self.text, &keys);
        closed.map_err(|duplicate| self.duplicate(&duplicate))?;
        self.depth -= 1;
        Ok(())
    }

    /// The colon after a key, to the start of the value.
    #[inline]
    pub(crate) fn colon(&mut self) -> Result<(), JsonError> {
        self.space();
        if self.peek() != b':' {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// The colon after a key and any value.
    #[inline]
    pub(crate) fn member_value(&mut self) -> Result<(), JsonError> {
        self.colon()?;
        self.value()
    }

    /// An array. `visit` takes each element.
    pub(crate) fn elements<E: From<JsonError>>(
        &mut self,
        mut visit: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.enter()?;
        self.space();
        if self.peek() == b']' {
            self.at += 1;
        } else {
            loop {
                visit(self)?;
                self.space();
                match self.peek() {
                    b',' => self.at += 1,
                    b']' => break self.at += 1,
                    _ => return Err(self.expected("`,` or `]`").into()),
                }
                self.space();
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Runs `take` with the depth counted from here on.
    pub(crate) fn outermost<T>(&mut self, take: impl FnOnce(&mut Self) -> T) -> T {
        let depth = std::mem::take(&mut self.depth);
        let taken = take(self);
        self.depth = depth;
        taken
    }

    /// A string; the caller has seen the opening quote.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Text, JsonError> {
        let start = self.at + 1;
        let end = plain_end(self.text, start);
        if self.text.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Text { start, end, escaped: false });
        }
        self.string_from(start, end)
    }

    /// The rest of [`Scanner::string`] from the first byte that needs a closer look.
    fn string_from(&mut self, start: usize, mut at: usize) -> Result<Text, JsonError> {
        loop {
            match self.text.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Text { start, end: at, escaped: true });
                }
                Some(b'\\') => {
                    at = escape_end(self.text, at).map_err(|it| JsonError::new(at, it))?;
                }
                Some(_) => return Err(JsonError::new(at, JsonProblem::ControlCharacter)),
                None => {
                    let expected = "the rest of a string";
                    return Err(JsonError::new(at, JsonProblem::Ended { expected }));
                }
            }
            at = plain_end(self.text, at);
        }
    }

    #[inline]
    fn number(&mut self) -> Result<(), JsonError> {
        match number_end(self.text, self.at) {
            Ok(end) => self.at = end,
            Err((at, problem)) => return Err(JsonError::new(at, problem)),
        }
        Ok(())
    }

    #[inline]
    fn literal(&mut self, literal: &'static str) -> Result<(), JsonError> {
        if !self.text[self.at..].starts_with(literal.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += literal.len();
        Ok(())
    }

    fn enter(&mut self) -> Result<(), JsonError> {
        self.depth += 1;
        if self.depth > JSON_DEPTH_MAX {
            return Err(JsonError::new(self.at, JsonProblem::TooDeep));
        }
        self.at += 1;
        Ok(())
    }

    /// White space, which may be none.
    #[inline]
    pub(crate) fn space(&mut self) {
        if is_space(self.peek()) {
            self.leave_out_space();
        }
    }

    fn leave_out_space(&mut self) {
        if self.keeping {
            self.copy_run(self.at);
        }
        while is_space(self.peek()) {
            self.at += 1;
        }
        self.run = self.at;
    }

    /// The end of the text, after white space.
    pub(crate) fn finish(&mut self) -> Result<(), JsonError> {
        self.keeping = false;
        self.space();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(JsonError::new(self.at, JsonProblem::TrailingText))
        }
    }

    /// From `at` on, which must not lie behind white space that was already passed, everything but
    /// white space between tokens is kept.
    pub(crate) fn keep_from(&mut self, at: usize) {
        self.run = at;
        self.keeping = true;
    }

    pub(crate) fn is_keeping(&self) -> bool {
        self.keeping
    }

    /// Nothing from `at` on is kept.
    pub(crate) fn keep_until(&mut self, at: usize) {
        self.copy_run(at);
        self.keeping = false;
    }

    fn copy_run(&mut self, end: usize) {
        if self.kept.is_empty() {
            self.kept.reserve(self.text.len() - self.run);
        }
        self.kept.extend_from_slice(&self.text[self.run..end]);
    }

    /// What was copied; the caller may add to it.
    pub(crate) fn kept(&mut self) -> &mut Vec<u8> {
        &mut self.kept
    }

    pub(crate) fn take_kept(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept)
    }

    #[cold]
    pub(crate) fn expected(&self, expected: &'static str) -> JsonError {
        let problem = if self.at >= self.text.len() {
            JsonProblem::Ended { expected }
        } else {
            JsonProblem::Expected { expected }
        };
        JsonError::new(self.at, problem)
    }

    #[cold]
    fn duplicate(&self, duplicate: &Duplicate) -> JsonError {
        let key = duplicate.quoted(self.text);
        JsonError::new(duplicate.key.start - 1, JsonProblem::DuplicateKey { key })
    }
}

#[inline]
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}
