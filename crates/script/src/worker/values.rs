//! JSON text to JavaScript values, without the engine's parser: two to three times as fast, because keys
//! that come again cost a comparison instead of a look-up among all atoms.
//!
//! Results are `JSON.parse`'s: `__proto__` is an own property, numbers are doubles, `-0` stays
//! negative, later duplicates win.

use std::borrow::Cow;

use rquickjs::{
    Array, Atom, Ctx, Error, Exception, Function, Object, Result, String as JsString, Value,
    object::Property,
};

use crate::limits::{CACHED_KEYS, JSON_DEPTH_MAX};

/// Makes values for one batch, and remembers its keys.
pub(super) struct Values<'js> {
    ctx: Ctx<'js>,
    keys: Vec<Option<(Box<str>, Atom<'js>)>>,
}

/// What makes documents that no function can change, as CouchDB's are for map functions.
pub(super) struct Freezer<'js> {
    /// `Object.preventExtensions`
    pub(super) seal: Function<'js>,
    /// `Object.freeze`
    pub(super) freeze: Function<'js>,
}

impl<'js> Values<'js> {
    pub(super) fn new(ctx: &Ctx<'js>) -> Self {
        Self { ctx: ctx.clone(), keys: vec![None; CACHED_KEYS] }
    }

    /// The value of a JSON text, which may be changed. Throws a `SyntaxError` where it is not JSON.
    pub(super) fn make(&mut self, json: &[u8]) -> Result<Value<'js>> {
        self.build(json, None)
    }

    /// The same, frozen through and through.
    pub(super) fn make_frozen(
        &mut self,
        json: &[u8],
        freezer: &Freezer<'js>,
    ) -> Result<Value<'js>> {
        self.build(json, Some(freezer))
    }

    fn build(&mut self, json: &[u8], freezer: Option<&Freezer<'js>>) -> Result<Value<'js>> {
        let Ok(text) = str::from_utf8(json) else {
            return Err(Exception::throw_syntax(&self.ctx, "JSON is not UTF-8"));
        };
        let mut builder = Builder { values: self, text, at: 0, depth: 0, freezer };
        builder.space();
        let value = builder.value()?;
        builder.space();
        if builder.at == text.len() { Ok(value) } else { Err(builder.wrong()) }
    }

    fn key(&mut self, key: &str) -> Result<Atom<'js>> {
        let slot = &mut self.keys[slot(key)];
        if let Some((known, atom)) = slot
            && **known == *key
        {
            return Ok(atom.clone());
        }
        let atom = Atom::from_str(self.ctx.clone(), key)?;
        *slot = Some((key.into(), atom.clone()));
        Ok(atom)
    }
}

/// Where a key is remembered; a hash of its length and both ends.
fn slot(key: &str) -> usize {
    let bytes = key.as_bytes();
    let end = |bytes: &[u8]| bytes.iter().fold(0_u64, |sum, &byte| (sum << 8) | u64::from(byte));
    let head = end(&bytes[..bytes.len().min(8)]);
    let tail = end(&bytes[bytes.len().saturating_sub(8)..]);
    let mixed =
        (head ^ tail.rotate_left(29) ^ bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 48).expect("16 bits fit") % CACHED_KEYS
}

struct Builder<'a, 'v, 'js> {
    values: &'v mut Values<'js>,
    text: &'a str,
    at: usize,
    depth: usize,
    freezer: Option<&'v Freezer<'js>>,
}

impl<'a, 'js> Builder<'a, '_, 'js> {
    fn value(&mut self) -> Result<Value<'js>> {
        let ctx = self.values.ctx.clone();
        match self.peek() {
            b'"' => Ok(JsString::from_str(ctx, &self.string()?)?.into_value()),
            b'{' => self.object(),
            b'[' => self.array(),
            b't' if self.skips("true") => Ok(Value::new_bool(ctx, true)),
            b'f' if self.skips("false") => Ok(Value::new_bool(ctx, false)),
            b'n' if self.skips("null") => Ok(Value::new_null(ctx)),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(self.wrong()),
        }
    }

    fn object(&mut self) -> Result<Value<'js>> {
        self.enter()?;
        let object = Object::new(self.values.ctx.clone())?;
        self.at += 1;
        self.space();
        if self.peek() == b'}' {
            self.at += 1;
        } else {
            loop {
                if self.peek() != b'"' {
                    return Err(self.wrong());
                }
                let key = self.string()?;
                self.space();
                self.expect(b':')?;
                self.space();
                let value = self.value()?;
                let atom = self.values.key(&key)?;
                // Defined, never set: a setter on a prototype, or `__proto__`, has no say.
                let property = Property::from(value).enumerable();
                if self.freezer.is_some() {
                    object.prop(atom, property)?;
                } else {
                    object.prop(atom, property.writable().configurable())?;
                }
                self.space();
                match self.peek() {
                    b',' => self.at += 1,
                    b'}' => break self.at += 1,
                    _ => return Err(self.wrong()),
                }
                self.space();
            }
        }
        self.depth -= 1;
        if let Some(freezer) = self.freezer {
            freezer.seal.call::<_, Value<'js>>((object.clone(),))?;
        }
        Ok(object.into_value())
    }

    fn array(&mut self) -> Result<Value<'js>> {
        self.enter()?;
        let array = Array::new(self.values.ctx.clone())?;
        self.at += 1;
        self.space();
        if self.peek() == b']' {
            self.at += 1;
        } else {
            let mut length = 0;
            loop {
                let value = self.value()?;
                array.set(length, value)?;
                length += 1;
                self.space();
                match self.peek() {
                    b',' => self.at += 1,
                    b']' => break self.at += 1,
                    _ => return Err(self.wrong()),
                }
                self.space();
            }
        }
        self.depth -= 1;
        if let Some(freezer) = self.freezer {
            freezer.freeze.call::<_, Value<'js>>((array.clone(),))?;
        }
        Ok(array.into_value())
    }

    fn number(&mut self) -> Result<Value<'js>> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        while let Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') = bytes.get(self.at) {
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        let ctx = &self.values.ctx;
        // Up to nine digits fit the engine's integers; `-0` must not become one.
        if text.len() < 10
            && text != "-0"
            && let Ok(int) = text.parse()
        {
            return Ok(Value::new_int(ctx.clone(), int));
        }
        match text.parse() {
            Ok(float) => Ok(Value::new_float(ctx.clone(), float)),
            Err(_) => Err(self.wrong()),
        }
    }

    /// At a quotation mark; ends behind the closing one.
    fn string(&mut self) -> Result<Cow<'a, str>> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        loop {
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Cow::Borrowed(&self.text[start..at]));
                }
                Some(b'\\') => break,
                Some(_) => at += 1,
                None => return Err(self.wrong()),
            }
        }
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
                None => return Err(self.wrong()),
            }
        }
        let whole = &self.text[start - 1..=at];
        self.at = at + 1;
        // Escapes are rare. Lone surrogates are refused here; no stored document has one.
        match serde_json::from_str(whole) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(_) => Err(self.wrong()),
        }
    }

    fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > JSON_DEPTH_MAX {
            let problem = format!("JSON is nested deeper than {JSON_DEPTH_MAX} levels");
            return Err(Exception::throw_range(&self.values.ctx, &problem));
        }
        Ok(())
    }

    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.peek() != byte {
            return Err(self.wrong());
        }
        self.at += 1;
        Ok(())
    }

    fn skips(&mut self, word: &str) -> bool {
        let skips = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        if skips {
            self.at += word.len();
        }
        skips
    }

    fn space(&mut self) {
        while let b' ' | b'\n' | b'\r' | b'\t' = self.peek() {
            self.at += 1;
        }
    }

    fn wrong(&self) -> Error {
        let problem = format!("not JSON at byte {}", self.at);
        Exception::throw_syntax(&self.values.ctx, &problem)
    }
}
