//! Entity tags of replies that have no revision: 128 bits of their content, as base 36 in quotes.
//!
//! Source: the form of `couch_httpd:make_etag/1`, which writes an MD5 that way.

use http::HeaderValue;
use md5::{Digest as _, Md5};

pub(crate) fn of(content: &[u8]) -> HeaderValue {
    let mut number = u128::from_be_bytes(Md5::digest(content).into());
    let mut text = [0; 27];
    let mut at = text.len() - 1;
    text[at] = b'"';
    while number > 0 {
        at -= 1;
        let digit = u8::try_from(number % 36).expect("below 36");
        text[at] = if digit < 10 { b'0' + digit } else { b'A' + digit - 10 };
        number /= 36;
    }
    at -= 1;
    text[at] = b'"';
    HeaderValue::from_bytes(&text[at..]).expect("digits and quotes can stand in a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_has_the_same_tag_and_another_another() {
        assert_eq!(of(b""), "\"CK2U8J60R58FU0SGYXRIGM3CU\"");
        assert_eq!(of(b"a"), of(b"a"));
        assert_ne!(of(b"a"), of(b"b"));
    }
}
