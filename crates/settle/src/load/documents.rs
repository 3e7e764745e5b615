//! Cuts a stream of JSON into documents: JSON lines, or one array.
//!
//! Memory is bounded by the longest document. Only braces, brackets and strings are looked at
//! here, to find where a document ends; the document itself is then read as JSON, once.

use std::io::{self, Read};

use serde::{
    Deserialize as _,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::limits::{LOAD_DOCUMENT_BYTES_MAX, LOAD_READ_BYTES};

/// One document, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Absent when the server shall make an id up.
    pub id: Option<String>,
    /// The JSON without `_rev`. Revisions in a file come from another database, or from before:
    /// what is in force here is the server's to say.
    pub json: Vec<u8>,
}

#[derive(Debug, Error)]
pub enum DocumentsError {
    #[error("read the file")]
    Read { source: io::Error },
    #[error("document {number}, line {line}: {expected}")]
    Unexpected { number: u64, line: u64, expected: &'static str },
    #[error("document {number}, line {line}, is not a JSON object that can be read")]
    NotJson { number: u64, line: u64, source: serde_json::Error },
    #[error("document {number}, line {line}, is longer than {LOAD_DOCUMENT_BYTES_MAX} bytes")]
    TooLong { number: u64, line: u64 },
}

/// Reads documents one after the other.
#[derive(Debug)]
pub struct Documents<R> {
    input: R,
    /// Bytes asked for at once.
    step: u64,
    buffer: Vec<u8>,
    /// Bytes before this one are used up.
    start: usize,
    shape: Shape,
    number: u64,
    /// Of the byte at `start`.
    line: u64,
    bytes_read: u64,
    ended: bool,
}

/// What the stream turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Unknown,
    Lines,
    /// `comma`: the next thing is a comma or the end, else a document (or, at the start, the end).
    Array {
        comma: bool,
    },
    /// The array's end was seen.
    Over,
}

impl<R: Read> Documents<R> {
    pub fn new(input: R) -> Self {
        Self {
            input,
            step: LOAD_READ_BYTES,
            buffer: Vec::new(),
            start: 0,
            shape: Shape::Unknown,
            number: 0,
            line: 1,
            bytes_read: 0,
            ended: false,
        }
    }

    /// Bytes taken from the input so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next document, `None` at the end.
    pub fn read(&mut self) -> Result<Option<Document>, DocumentsError> {
        loop {
            let Some(byte) = self.peek()? else {
                return match self.shape {
                    Shape::Array { .. } => Err(self.unexpected("the array ends too early")),
                    Shape::Unknown | Shape::Lines | Shape::Over => Ok(None),
                };
            };
            self.shape = match (self.shape, byte) {
                (Shape::Unknown, b'[') => self.take(Shape::Array { comma: false }),
                (Shape::Array { comma: true }, b',') => self.take(Shape::Array { comma: false }),
                (Shape::Array { .. }, b']') => self.take(Shape::Over),
                (Shape::Unknown | Shape::Lines, b'{') => {
                    self.shape = Shape::Lines;
                    return self.document().map(Some);
                }
                (Shape::Array { comma: false }, b'{') => {
                    self.shape = Shape::Array { comma: true };
                    return self.document().map(Some);
                }
                (Shape::Over, _) => return Err(self.unexpected("expected nothing after the array")),
                (Shape::Array { comma: true }, _) => {
                    return Err(self.unexpected("expected a comma or the end of the array"));
                }
                (Shape::Unknown | Shape::Lines | Shape::Array { .. }, _) => {
                    return Err(self.unexpected("expected a document, which begins with {"));
                }
            };
        }
    }

    fn take(&mut self, shape: Shape) -> Shape {
        self.start += 1;
        shape
    }

    fn unexpected(&self, expected: &'static str) -> DocumentsError {
        DocumentsError::Unexpected { number: self.number + 1, line: self.line, expected }
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Result<Option<u8>, DocumentsError> {
        loop {
            while let Some(&byte) = self.buffer.get(self.start) {
                match byte {
                    b'\n' => self.line += 1,
                    b' ' | b'\t' | b'\r' => {}
                    _ => return Ok(Some(byte)),
                }
                self.start += 1;
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> Result<bool, DocumentsError> {
        if self.ended {
            return Ok(false);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let mut more = self.input.by_ref().take(self.step);
        let count =
            more.read_to_end(&mut self.buffer).map_err(|source| DocumentsError::Read { source })?;
        self.bytes_read += u64::try_from(count).expect("a count of bytes in memory");
        self.ended = count == 0;
        Ok(count > 0)
    }

    /// The object that begins at `start`.
    fn document(&mut self) -> Result<Document, DocumentsError> {
        self.number += 1;
        let (number, line) = (self.number, self.line);
        let mut end = End::default();
        let mut seen = 0;
        let length = loop {
            let fresh = &self.buffer[self.start + seen..];
            if let Some(length) = end.find(fresh) {
                break seen + length;
            }
            seen += fresh.len();
            if seen > LOAD_DOCUMENT_BYTES_MAX {
                return Err(DocumentsError::TooLong { number, line });
            }
            if !self.fill()? {
                let expected = "the file ends inside this document";
                return Err(DocumentsError::Unexpected { number, line, expected });
            }
        };
        let json = &self.buffer[self.start..self.start + length];
        let document = read_document(json).map_err(|source| DocumentsError::NotJson {
            number,
            line,
            source,
        })?;
        self.line += json.iter().fold(0, |sum, byte| sum + u64::from(*byte == b'\n'));
        self.start += length;
        Ok(document)
    }
}

/// Finds the end of an object that arrives in pieces.
#[derive(Debug, Default)]
struct End {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl End {
    /// The offset after the brace that closes the object, if it is in this piece.
    fn find(&mut self, piece: &[u8]) -> Option<usize> {
        for (offset, &byte) in piece.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' => self.depth += 1,
                b'}' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(offset + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

fn read_document(json: &[u8]) -> Result<Document, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let Members(members) = Members::deserialize(&mut reader)?;
    let id = members
        .iter()
        .find(|(name, _)| name == "_id")
        .and_then(|(_, value)| serde_json::from_str(value.get()).ok());
    if members.iter().all(|(name, _)| name != "_rev") {
        return Ok(Document { id, json: json.to_vec() });
    }
    let mut kept = vec![b'{'];
    for (name, value) in members.iter().filter(|(name, _)| name != "_rev") {
        if kept.len() > 1 {
            kept.push(b',');
        }
        serde_json::to_writer(&mut kept, name)?;
        kept.push(b':');
        kept.extend_from_slice(value.get().as_bytes());
    }
    kept.push(b'}');
    Ok(Document { id, json: kept })
}

/// An object's members as they stand, values as text.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> de::Deserialize<'de> for Members<'de> {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Gather;
        impl<'de> Visitor<'de> for Gather {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Gather)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn read(input: &str, step: u64) -> (Vec<Document>, Option<DocumentsError>) {
        let mut documents = Documents { step, ..Documents::new(input.as_bytes()) };
        let mut found = Vec::new();
        loop {
            match documents.read() {
                Ok(Some(document)) => found.push(document),
                Ok(None) => return (found, None),
                Err(error) => return (found, Some(error)),
            }
        }
    }

    #[track_caller]
    fn check(input: &str, expected: &Expect) {
        let (documents, error) = read(input, 3);
        let mut seen = String::new();
        for Document { id, json } in documents {
            writeln!(seen, "{} {}", id.as_deref().unwrap_or("-"), json.escape_ascii()).unwrap();
        }
        if let Some(error) = error {
            writeln!(seen, "{error}").unwrap();
        }
        expected.assert_eq(&seen);
    }

    #[test]
    fn lines_and_an_array_say_the_same() {
        let expected = expect![[r#"
            a {\"_id\":\"a\"}
            - {\"n\": {\"}\": 1.0}}
        "#]];
        check("{\"_id\":\"a\"}\n\n{\"n\": {\"}\": 1.0}}\r\n", &expected);
        check(" [{\"_id\":\"a\"} ,\n{\"n\": {\"}\": 1.0}}\n] ", &expected);
    }

    #[test]
    fn a_revision_of_another_database_is_left_out() {
        check(
            r#"{"_id":"a","_rev":"1-a","n":1e2}"#,
            &expect![[r#"
            a {\"_id\":\"a\",\"n\":1e2}
        "#]],
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_place() {
        check(
            "{\"a\":1}\n{\"a\":}",
            &expect![[r#"
            - {\"a\":1}
            document 2, line 2, is not a JSON object that can be read
        "#]],
        );
        check(
            "{}\n{\"a\":1",
            &expect![[r#"
            - {}
            document 2, line 2: the file ends inside this document
        "#]],
        );
        check(
            "[{},\n 1]",
            &expect![[r#"
            - {}
            document 2, line 2: expected a document, which begins with {
        "#]],
        );
        check(
            "[{}{}]",
            &expect![[r#"
            - {}
            document 2, line 1: expected a comma or the end of the array
        "#]],
        );
        check(
            "[{}",
            &expect![[r#"
            - {}
            document 2, line 1: the array ends too early
        "#]],
        );
        check(
            "[] {}",
            &expect![[r#"
            document 1, line 1: expected nothing after the array
        "#]],
        );
        check(
            "id,name\n",
            &expect![[r#"
            document 1, line 1: expected a document, which begins with {
        "#]],
        );
    }

    #[test]
    fn nothing_is_no_documents() {
        check("", &expect![[r#""#]]);
        check("[]", &expect![[r#""#]]);
    }

    proptest! {
        /// Where reads happen to end does not matter.
        #[test]
        fn the_pieces_of_a_file_make_no_difference(
            texts in prop::collection::vec("[a\\\\\"{}\\[\\]\n,]{0,12}", 0..6),
            step in 1_u64..40,
        ) {
            let documents = texts.iter().map(|it| serde_json::json!({ "t": it }).to_string());
            let lines = documents.clone().collect::<Vec<_>>().join("\n");
            let array = format!("[{}]", documents.collect::<Vec<_>>().join(","));
            let (from_lines, error) = read(&lines, step);
            prop_assert!(error.is_none());
            prop_assert_eq!(from_lines.len(), texts.len());
            prop_assert_eq!(from_lines, read(&array, step).0);
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "[a1\"{}\\[\\],: \n\\\\]{0,40}") {
            drop(read(&text, 7));
        }
    }
}
