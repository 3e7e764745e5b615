//! Writes Erlang's External Term Format, as far as JSON needs it.
//!
//! | value | bytes |
//! |---|---|
//! | start of a term | `131` |
//! | `true`, `false`, `null` | `100`, length (2), name |
//! | integer 0 … 255 | `97`, value (1) |
//! | integer of 32 bits | `98`, value (4) |
//! | other integer | `110`, length (1), sign (1), magnitude, least byte first |
//! | … longer than 255 bytes | `111`, length (4), sign (1), magnitude |
//! | number with fraction or exponent | `70`, double (8) |
//! | string | `109`, length (4), bytes |
//! | empty array | `106` |
//! | array of 1 … 65,535 integers 0 … 255 | `107`, length (2), values |
//! | other array | `108`, length (4), elements, `106` |
//! | object | `104` `1`, then as an array of `104` `2` key value |
//!
//! Numbers are big-endian.

use super::integer::magnitude;
use crate::json::{string::plain_end, unescape_into};

const FLOAT: u8 = 70;
const SMALL_INTEGER: u8 = 97;
const INTEGER: u8 = 98;
const ATOM: u8 = 100;
const SMALL_TUPLE: u8 = 104;
const NIL: u8 = 106;
const STRING: u8 = 107;
const LIST: u8 = 108;
const BINARY: u8 = 109;
const SMALL_BIG: u8 = 110;
const LARGE_BIG: u8 = 111;
const VERSION: u8 = 131;

/// Digits that fit 64 bits with a sign.
const SHORT_DIGITS: usize = 18;

/// One term, written from the front.
#[derive(Debug)]
pub struct Term {
    bytes: Vec<u8>,
}

/// An array or object whose end was not reached.
struct Open {
    /// Where its list begins.
    start: usize,
    count: usize,
    /// Whether each element so far was a small integer.
    small: bool,
    object: bool,
}

impl Term {
    pub fn with_capacity(bytes: usize) -> Self {
        let mut term = Self { bytes: Vec::with_capacity(bytes) };
        term.bytes.push(VERSION);
        term
    }

    pub fn finish(&self) -> &[u8] {
        &self.bytes
    }

    pub fn atom(&mut self, name: &str) {
        self.bytes.push(ATOM);
        let length = u16::try_from(name.len()).expect("the three atoms are short");
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
    }

    pub fn tuple(&mut self, arity: u8) {
        self.bytes.extend_from_slice(&[SMALL_TUPLE, arity]);
    }

    /// The start of a list; as many elements follow, and [`Term::nil`].
    pub fn list(&mut self, count: usize) {
        let [a, b, c, d] = length(count);
        self.bytes.extend_from_slice(&[LIST, a, b, c, d]);
    }

    pub fn nil(&mut self) {
        self.bytes.push(NIL);
    }

    pub fn binary(&mut self, bytes: &[u8]) {
        let [a, b, c, d] = length(bytes.len());
        self.bytes.reserve(5 + bytes.len());
        self.bytes.extend_from_slice(&[BINARY, a, b, c, d]);
        self.bytes.extend_from_slice(bytes);
    }

    pub fn integer(&mut self, value: i64) {
        if let Ok(small) = u8::try_from(value) {
            self.bytes.extend_from_slice(&[SMALL_INTEGER, small]);
        } else if let Ok(short) = i32::try_from(value) {
            self.bytes.push(INTEGER);
            self.bytes.extend_from_slice(&short.to_be_bytes());
        } else {
            let magnitude = value.unsigned_abs().to_le_bytes();
            let zeros = magnitude.iter().rev().take_while(|&&byte| byte == 0).count();
            self.big(value < 0, &magnitude[..8 - zeros]);
        }
    }

    fn big(&mut self, negative: bool, magnitude: &[u8]) {
        if let Ok(length) = u8::try_from(magnitude.len()) {
            self.bytes.extend_from_slice(&[SMALL_BIG, length]);
        } else {
            let [a, b, c, d] = length(magnitude.len());
            self.bytes.extend_from_slice(&[LARGE_BIG, a, b, c, d]);
        }
        self.bytes.push(u8::from(negative));
        self.bytes.extend_from_slice(magnitude);
    }

    /// A JSON value, checked and without white space between tokens. Keeps a stack of its own, so
    /// no depth is too deep.
    pub fn json(&mut self, text: &[u8]) {
        let mut open: Vec<Open> = Vec::with_capacity(8);
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            match byte {
                b'{' | b'[' => {
                    count_element(&mut open, false);
                    let object = byte == b'{';
                    if object {
                        self.tuple(1);
                    }
                    open.push(Open { start: self.bytes.len(), count: 0, small: true, object });
                    self.list(0);
                    at += 1;
                }
                b'}' | b']' => {
                    let closed = open.pop().expect("brackets of a checked text come in pairs");
                    self.close(&closed);
                    at += 1;
                }
                b',' => at += 1,
                b'"' => {
                    at = self.string(text, at, &mut open);
                }
                b't' | b'f' | b'n' => {
                    count_element(&mut open, false);
                    let name = match byte {
                        b't' => "true",
                        b'f' => "false",
                        _ => "null",
                    };
                    self.atom(name);
                    at += name.len();
                }
                _ => {
                    let length = text[at..].iter().position(|byte| b",]}".contains(byte));
                    let end = length.map_or(text.len(), |length| at + length);
                    let number = str::from_utf8(&text[at..end]).expect("numbers are ASCII");
                    let start = self.bytes.len();
                    self.number(number);
                    let small = self.bytes[start] == SMALL_INTEGER;
                    count_element(&mut open, small);
                    at = end;
                }
            }
        }
    }

    /// The string at `start`, or the key and its colon; returns the place after it.
    fn string(&mut self, text: &[u8], start: usize, open: &mut [Open]) -> usize {
        let mut end = plain_end(text, start + 1);
        let escaped = text[end] != b'"';
        while text[end] != b'"' {
            end = plain_end(text, end + 2); // behind the character that a backslash escapes
        }
        let is_key = text.get(end + 1) == Some(&b':');
        if is_key {
            let object = open.last_mut().expect("keys stand in objects");
            object.count += 1;
            object.small = false;
            self.tuple(2);
        } else {
            count_element(open, false);
        }
        let raw = &text[start + 1..end];
        if escaped {
            self.binary(b"");
            let from = self.bytes.len();
            unescape_into(raw, &mut self.bytes);
            self.patch_length(from - 4, self.bytes.len() - from);
        } else {
            self.binary(raw);
        }
        end + 1 + usize::from(is_key)
    }

    /// Fills in the length of a list, or writes it in its shorter form.
    fn close(&mut self, list: &Open) {
        let elements = list.start + 5;
        match u16::try_from(list.count) {
            Ok(0) => {
                self.bytes.truncate(list.start);
                self.nil();
            }
            Ok(count) if list.small => {
                self.bytes[list.start] = STRING;
                let values = list.start + 3;
                self.bytes[list.start + 1..values].copy_from_slice(&count.to_be_bytes());
                for index in 0..list.count {
                    self.bytes[values + index] = self.bytes[elements + 2 * index + 1];
                }
                self.bytes.truncate(values + list.count);
            }
            Ok(_) | Err(_) => {
                self.patch_length(list.start + 1, list.count);
                self.nil();
            }
        }
    }

    fn patch_length(&mut self, at: usize, length: usize) {
        self.bytes[at..at + 4].copy_from_slice(&self::length(length));
    }

    fn number(&mut self, text: &str) {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let value: f64 = text.parse().expect("the text was checked");
            self.bytes.push(FLOAT);
            self.bytes.extend_from_slice(&value.to_be_bytes());
        } else if digits.len() <= SHORT_DIGITS {
            let value = digits.bytes().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
            self.integer(if negative { -value } else { value });
        } else {
            self.big(negative, &magnitude(digits.as_bytes()));
        }
    }
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("documents are shorter than 4 GiB").to_be_bytes()
}

/// Counts an element of the innermost array. Members of objects are counted at their keys.
#[inline]
fn count_element(open: &mut [Open], small: bool) {
    if let Some(innermost) = open.last_mut().filter(|it| !it.object) {
        innermost.count += 1;
        innermost.small &= small;
    }
}
