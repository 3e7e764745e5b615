//! Members of the JSON text of a document, read and replaced without changing the rest of it.

use std::borrow::Cow;

use settle_model::json;

/// The value of a member, as text.
pub(crate) fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    json::members(object).find(|(key, _)| json::unescape(key) == name).map(|(_, value)| value)
}

/// The value of a member that is a string.
pub(crate) fn text<'a>(object: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    json::string_value(member(object, name)?)
}

/// The value of a member that is a whole number and not negative.
pub(crate) fn number(object: &[u8], name: &str) -> Option<u64> {
    std::str::from_utf8(member(object, name)?).ok()?.parse().ok()
}

/// The strings of a member that is an array; elements of other types are left out.
pub(crate) fn texts(object: &[u8], name: &str) -> Vec<String> {
    let list = member(object, name).unwrap_or_default();
    json::elements(list).filter_map(json::string_value).map(Cow::into_owned).collect()
}

/// The object with `first` in front, and without the members that `dropped` says.
pub(crate) fn replaced(
    object: &[u8],
    first: &[(&str, Cow<'_, [u8]>)],
    dropped: impl Fn(&str) -> bool,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(object.len() + 256);
    out.push(b'{');
    let separate = |out: &mut Vec<u8>| {
        if out.len() > 1 {
            out.push(b',');
        }
    };
    for (key, value) in first {
        separate(&mut out);
        json::write_string(&mut out, key);
        out.push(b':');
        out.extend_from_slice(value);
    }
    for (key, value) in json::members(object) {
        if dropped(&json::unescape(key)) {
            continue;
        }
        separate(&mut out);
        out.push(b'"');
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(value);
    }
    out.push(b'}');
    out
}

/// A text as a JSON value.
pub(crate) fn quoted(text: &str) -> Cow<'static, [u8]> {
    let mut out = Vec::with_capacity(text.len() + 2);
    json::write_string(&mut out, text);
    Cow::Owned(out)
}
