//! JSON as Erlang prints it, because CouchDB quotes what it refuses in that form.
//!
//! Source: `io_lib:format("~w")` and `"~p"` of what `jiffy` makes of JSON.

use settle_model::json::{elements, members, string_value, unescape};

/// Bytes of a quoted value; what is longer is cut.
const TERM_BYTES_MAX: usize = 1_000;

/// How strings are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strings {
    /// `~w`: `<<102,111,111>>`.
    Bytes,
    /// `~p`: `<<"foo">>`.
    Text,
}

/// As `~w` prints it.
pub(crate) fn plain(json: &[u8]) -> String {
    let mut out = String::new();
    push(&mut out, json, Strings::Bytes);
    cut(out)
}

/// As `~p` prints it, on one line.
pub(crate) fn pretty(json: &[u8]) -> String {
    let mut out = String::new();
    push(&mut out, json, Strings::Text);
    cut(out)
}

fn cut(mut out: String) -> String {
    if out.len() > TERM_BYTES_MAX {
        out.truncate(out.floor_char_boundary(TERM_BYTES_MAX));
        out.push('…');
    }
    out
}

fn push(out: &mut String, json: &[u8], strings: Strings) {
    if out.len() > TERM_BYTES_MAX {
        return;
    }
    match json.first() {
        Some(b'"') => push_string(out, &string_value(json).unwrap_or_default(), strings),
        Some(b'[') => {
            out.push('[');
            for (index, element) in elements(json).enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                push(out, element, strings);
            }
            out.push(']');
        }
        Some(b'{') => {
            out.push_str("{[");
            for (index, (key, value)) in members(json).enumerate() {
                out.push_str(if index == 0 { "{" } else { ",{" });
                push_string(out, &unescape(key), strings);
                out.push(',');
                push(out, value, strings);
                out.push('}');
            }
            out.push_str("]}");
        }
        Some(_) | None => push_other(out, &String::from_utf8_lossy(json)),
    }
}

fn push_string(out: &mut String, text: &str, strings: Strings) {
    out.push_str("<<");
    if strings == Strings::Text && !text.is_empty() {
        let is_latin = text.chars().all(|it| u32::from(it) < 256);
        out.push_str(&format!("{text:?}{}", if is_latin { "" } else { "/utf8" }));
    } else {
        for (index, byte) in text.bytes().enumerate().take(TERM_BYTES_MAX) {
            out.push_str(if index == 0 { "" } else { "," });
            out.push_str(&byte.to_string());
        }
    }
    out.push_str(">>");
}

/// An atom or a number. A number with fraction or exponent is printed as the double that it is.
fn push_other(out: &mut String, text: &str) {
    let is_float = text.starts_with(|it: char| it == '-' || it.is_ascii_digit())
        && text.contains(['.', 'e', 'E']);
    match text.parse::<f64>() {
        Ok(value) if is_float => {
            let printed = format!("{value:?}");
            match printed.split_once('e') {
                Some((digits, exponent)) if !digits.contains('.') => {
                    out.push_str(&format!("{digits}.0e{exponent}"));
                }
                Some(_) | None => out.push_str(&printed),
            }
        }
        Ok(_) | Err(_) => out.push_str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_as_erlang_prints_them() {
        assert_eq!(plain(br#""foo""#), "<<102,111,111>>");
        assert_eq!(plain(br#"{"a":[1,1.5,1e2,1e22,null,true,[],{}]}"#), {
            "{[{<<97>>,[1,1.5,100.0,1.0e22,null,true,[],{[]}]}]}"
        });
        assert_eq!(plain(br#""""#), "<<>>");
        assert_eq!(pretty(br#"{"a":"b"}"#), r#"{[{<<"a">>,<<"b">>}]}"#);
    }

    #[test]
    fn a_long_value_is_cut() {
        let long = format!("\"{}\"", "x".repeat(5_000));
        assert!(plain(long.as_bytes()).len() < 1_100);
        let long = format!("[{}1]", "1,".repeat(5_000));
        assert!(plain(long.as_bytes()).len() < 1_100);
    }
}
