//! The parser: bytes in, parts out, no waiting.
//!
//! A delimiter is `\r\n--` and the boundary; the first may stand at the very start. Behind it, `--` ends the
//! body, and anything else is passed over to the end of its line. A part is its headers, an empty line,
//! its bytes; without headers it begins with the empty line.

use bytes::{Bytes, BytesMut};
use memchr::memmem::{self, Finder};

use super::{
    MultipartError,
    header::{Boundary, PartHeaders},
};
use crate::limits::PART_HEADERS_MAX;

#[derive(Debug)]
pub struct Parser {
    delimiter: Finder<'static>,
    /// What came and was not handed on yet.
    window: Bytes,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first delimiter, where text for old mail programs may stand.
    Preamble,
    /// Behind a delimiter.
    Delimiter,
    Headers,
    Data,
    End,
}

/// What the parser found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Part(PartHeaders),
    /// Bytes of the part, never empty.
    Data(Bytes),
    PartEnd,
    /// The last delimiter; what comes behind it has no meaning.
    End,
}

impl Parser {
    pub fn new(boundary: &Boundary) -> Self {
        let delimiter = [b"\r\n--", boundary.as_str().as_bytes()].concat();
        Self {
            delimiter: Finder::new(&delimiter).into_owned(),
            // As if a line had ended before, so that all delimiters look alike.
            window: Bytes::from_static(b"\r\n"),
            state: State::Preamble,
        }
    }

    /// Takes the next bytes of the body. What is held already is less than a delimiter, or the
    /// headers of one part, so joining it copies little.
    pub fn feed(&mut self, bytes: Bytes) {
        if self.window.is_empty() {
            self.window = bytes;
            return;
        }
        let mut joined = BytesMut::with_capacity(self.window.len() + bytes.len());
        joined.extend_from_slice(&self.window);
        joined.extend_from_slice(&bytes);
        self.window = joined.freeze();
    }

    /// The next event; `None` when more bytes are needed.
    pub fn event(&mut self) -> Result<Option<Event>, MultipartError> {
        loop {
            match self.state {
                State::Preamble => match self.delimiter.find(&self.window) {
                    Some(at) => {
                        self.window = self.window.split_off(at + self.delimiter.needle().len());
                        self.state = State::Delimiter;
                    }
                    None => {
                        let kept = self.possible_delimiter();
                        self.window = self.window.split_off(kept);
                        return Ok(None);
                    }
                },
                State::Delimiter => {
                    if self.window.len() < 2 {
                        return Ok(None);
                    }
                    if self.window.starts_with(b"--") {
                        self.state = State::End;
                        return Ok(Some(Event::End));
                    }
                    let Some(end) = memmem::find(&self.window, b"\r\n") else {
                        return self.wait_for_headers();
                    };
                    self.window = self.window.split_off(end);
                    self.state = State::Headers;
                }
                State::Headers => {
                    let Some(end) = memmem::find(&self.window, b"\r\n\r\n") else {
                        return self.wait_for_headers();
                    };
                    if end > PART_HEADERS_MAX {
                        return Err(MultipartError::LongPartHeaders);
                    }
                    let headers = PartHeaders::parse(&self.window[..end])?;
                    self.window = self.window.split_off(end + b"\r\n\r\n".len());
                    self.state = State::Data;
                    return Ok(Some(Event::Part(headers)));
                }
                State::Data => return Ok(self.data()),
                State::End => return Ok(Some(Event::End)),
            }
        }
    }

    fn data(&mut self) -> Option<Event> {
        if let Some(at) = self.delimiter.find(&self.window) {
            if at > 0 {
                return Some(Event::Data(self.window.split_to(at)));
            }
            self.window = self.window.split_off(self.delimiter.needle().len());
            self.state = State::Delimiter;
            return Some(Event::PartEnd);
        }
        let safe = self.possible_delimiter();
        (safe > 0).then(|| Event::Data(self.window.split_to(safe)))
    }

    /// Where the window's end may be the beginning of a delimiter; its length if it is not.
    fn possible_delimiter(&self) -> usize {
        let needle = self.delimiter.needle();
        let length = self.window.len();
        let first = length.saturating_sub(needle.len() - 1);
        let starts = memchr::memchr_iter(b'\r', &self.window[first..]).map(|at| first + at);
        let mut starts = starts.filter(|at| needle.starts_with(&self.window[*at..]));
        starts.next().unwrap_or(length)
    }

    fn wait_for_headers(&self) -> Result<Option<Event>, MultipartError> {
        if self.window.len() > PART_HEADERS_MAX {
            return Err(MultipartError::LongPartHeaders);
        }
        Ok(None)
    }
}
