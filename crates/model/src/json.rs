//! JSON as text: checked, stripped of white space, and never turned into a tree.
//!
//! Documents keep what was sent: member order, the spelling of numbers and strings. So the server
//! needs no values, it needs to know that a text is right, where its members lie, and a copy of it
//! without the white space between tokens, since feeds are lines. All of it happens in one pass.
//!
//! Source: RFC 8259, strictly. Refused beyond it, each because two programs that read the same text
//! would not see the same document:
//! - two members of one object with the same key, after unescaping (CVE-2017-12635 came from
//!   parsers that disagreed on these; CouchDB keeps the last);
//! - numbers with a fraction or an exponent that no double can hold, and escapes of half a surrogate
//!   pair: no revision id could be made of them;
//! - what is nested deeper, or an integer that is longer, than [`limits`] say.
//!
//! Units: offsets and lengths are bytes of the text.

mod error;
mod keys;
pub mod limits;
mod number;
mod read;
pub(crate) mod scan;
pub(crate) mod string;

use std::borrow::Cow;

use self::scan::Scanner;
pub use self::{
    error::{JsonError, JsonProblem},
    read::{Elements, Members, elements, members, string_value},
    string::{unescape, unescape_into, write_string},
};

/// Checks `text`, one JSON value with white space around it, and returns it without the white space
/// between tokens: borrowed when there is none to leave out.
pub fn minify(text: &[u8]) -> Result<Cow<'_, [u8]>, JsonError> {
    let mut scanner = Scanner::new(text)?;
    scanner.space();
    let start = scanner.at();
    scanner.keep_from(start);
    scanner.value()?;
    let end = scanner.at();
    let dense = scanner.kept().is_empty();
    if !dense {
        scanner.keep_until(end);
    }
    scanner.finish()?;
    if dense { Ok(Cow::Borrowed(&text[start..end])) } else { Ok(Cow::Owned(scanner.take_kept())) }
}

/// Checks `text` as [`minify`] does, without a copy.
pub fn validate(text: &[u8]) -> Result<(), JsonError> {
    let mut scanner = Scanner::new(text)?;
    scanner.space();
    scanner.value()?;
    scanner.finish()
}
