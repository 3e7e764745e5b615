//! JavaScript values to JSON text, as `JSON.stringify` writes them.
//!
//! Plain objects, arrays and primitives are written here; whatever else (dates, boxed primitives,
//! proxies, anything with a `toJSON`) goes through the engine's own `JSON.stringify`. One difference:
//! a lone surrogate becomes U+FFFD, since what is stored is UTF-8; CouchDB does the same.

use std::fmt;

use rquickjs::{
    Atom, Ctx, Exception, Function, Object, Result, String as JsString, Type, Value,
    atom::PredefinedAtom,
};

use crate::limits::{JSON_DEPTH_MAX, OUTPUT_BYTES_MAX};

/// Writes values of one context.
pub(super) struct Texts<'js> {
    ctx: Ctx<'js>,
    /// `Object.prototype`, which is that of functions' prototype.
    plain: Option<Object<'js>>,
}

impl fmt::Debug for Texts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Texts").finish_non_exhaustive()
    }
}

impl<'js> Texts<'js> {
    /// Cheap: no allocation. It must not be kept in a function, since the engine cannot see that
    /// it refers to the context.
    pub(super) fn new(ctx: &Ctx<'js>) -> Self {
        Self { ctx: ctx.clone(), plain: Function::prototype(ctx.clone()).get_prototype() }
    }

    /// Appends the text of a value; `null` for what has none. Not more than up to `end` bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>, value: &Value<'js>, end: usize) -> Result<()> {
        let start = out.len();
        if !self.append(out, value, end, 0)? {
            out.truncate(start);
            out.extend_from_slice(b"null");
        }
        Ok(())
    }

    /// The text of a value, or none for `undefined` and functions.
    pub(super) fn text(&self, value: &Value<'js>) -> Result<Option<Vec<u8>>> {
        let mut out = Vec::new();
        Ok(self.append(&mut out, value, OUTPUT_BYTES_MAX, 0)?.then_some(out))
    }

    /// Whether the value has a text.
    fn append(
        &self,
        out: &mut Vec<u8>,
        value: &Value<'js>,
        end: usize,
        depth: usize,
    ) -> Result<bool> {
        if out.len() > end {
            let problem = "the function gives back too many bytes";
            return Err(Exception::throw_range(&self.ctx, problem));
        }
        match value.type_of() {
            Type::String => {
                let text = value.as_string().expect("its type is that");
                push_string(out, text)?;
            }
            Type::Int => {
                let int = value.as_int().expect("its type is that");
                out.extend_from_slice(itoa::Buffer::new().format(int).as_bytes());
            }
            Type::Float => push_float(out, value.as_float().expect("its type is that")),
            Type::Bool => {
                let bool = value.as_bool().expect("its type is that");
                out.extend_from_slice(if bool { b"true" } else { b"false" });
            }
            Type::Null => out.extend_from_slice(b"null"),
            Type::Undefined
            | Type::Uninitialized
            | Type::Symbol
            | Type::Function
            | Type::Constructor => return Ok(false),
            Type::Array | Type::Object => {
                if depth == JSON_DEPTH_MAX {
                    let problem = format!(
                        "the value is nested deeper than {JSON_DEPTH_MAX} levels, or holds itself"
                    );
                    return Err(Exception::throw_range(&self.ctx, &problem));
                }
                let object = value.as_object().expect("its type is that");
                return self.append_object(out, object, end, depth);
            }
            Type::Promise
            | Type::Exception
            | Type::Module
            | Type::BigInt
            | Type::Proxy
            | Type::Unknown => return self.append_other(out, value, end),
        }
        Ok(true)
    }

    fn append_object(
        &self,
        out: &mut Vec<u8>,
        object: &Object<'js>,
        end: usize,
        depth: usize,
    ) -> Result<bool> {
        if !object.get::<_, Value<'js>>(PredefinedAtom::ToJSON)?.is_undefined() {
            return self.append_other(out, object.as_value(), end);
        }
        if let Some(array) = object.as_array() {
            out.push(b'[');
            for index in 0..array.len() {
                if index > 0 {
                    out.push(b',');
                }
                let entry = array.get::<Value<'js>>(index)?;
                if !self.append(out, &entry, end, depth + 1)? {
                    out.extend_from_slice(b"null");
                }
            }
            out.push(b']');
            return Ok(true);
        }
        if object.get_prototype() != self.plain {
            return self.append_other(out, object.as_value(), end);
        }
        out.push(b'{');
        let mut first = true;
        for key in object.keys::<Atom<'js>>() {
            let key = key?;
            let value = object.get::<_, Value<'js>>(key.clone())?;
            let before = out.len();
            if !first {
                out.push(b',');
            }
            push_string(out, &key.to_js_string()?)?;
            out.push(b':');
            if self.append(out, &value, end, depth + 1)? {
                first = false;
            } else {
                out.truncate(before);
            }
        }
        out.push(b'}');
        Ok(true)
    }

    fn append_other(&self, out: &mut Vec<u8>, value: &Value<'js>, end: usize) -> Result<bool> {
        let Some(text) = self.ctx.json_stringify(value.clone())? else { return Ok(false) };
        let text = text.to_cstring()?;
        if out.len() + text.len() > end {
            let problem = "the function gives back too many bytes";
            return Err(Exception::throw_range(&self.ctx, problem));
        }
        push_utf8(out, text.as_ref());
        Ok(true)
    }
}

fn push_float(out: &mut Vec<u8>, float: f64) {
    if !float.is_finite() {
        out.extend_from_slice(b"null");
    } else if float == 0.0 {
        out.push(b'0'); // also for -0
    } else {
        out.extend_from_slice(ryu_js::Buffer::new().format_finite(float).as_bytes());
    }
}

fn push_string(out: &mut Vec<u8>, text: &JsString<'_>) -> Result<()> {
    let text = text.clone().to_cstring()?;
    let bytes: &[u8] = text.as_ref();
    out.push(b'"');
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        push_utf8(out, &rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            byte => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = &rest[at + 1..];
    }
    push_utf8(out, rest);
    out.push(b'"');
    Ok(())
}

/// The engine writes a lone surrogate as three bytes that are no UTF-8.
pub(super) fn push_utf8(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        // `ED Ax xx` is three invalid sequences of one byte; the first alone stands for it.
        if chunk.invalid().first() == Some(&0xed) {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}
