//! What the client can read, by its `Accept` and `Accept-Encoding`.
//!
//! Source: `mochiweb_request:accepts_content_type/2` and `accepted_encodings/2`. A client that sends no
//! `Accept` takes everything, one that sends no `Accept-Encoding` takes no encoding.

use http::{HeaderMap, HeaderValue, header};

/// Whether a reply may have this media type, which is written in lower case.
pub(crate) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let mut sent = texts(headers, &header::ACCEPT).peekable();
    if sent.peek().is_none() {
        return true;
    }
    let (main, _) = media_type.split_once('/').unwrap_or((media_type, ""));
    let mut accepted = false;
    for (range, refused) in sent.flat_map(ranges) {
        let names_it = range.eq_ignore_ascii_case(media_type);
        let names_all_such = range
            .strip_suffix("/*")
            .is_some_and(|range_main| range_main.eq_ignore_ascii_case(main));
        if refused && (names_it || names_all_such) {
            return false;
        }
        accepted |= !refused && (names_it || names_all_such || range == "*/*");
    }
    accepted
}

/// Whether a reply may be compressed with gzip.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut others = false;
    for (coding, refused) in texts(headers, &header::ACCEPT_ENCODING).flat_map(ranges) {
        if coding.eq_ignore_ascii_case("gzip") {
            return !refused;
        }
        others |= coding == "*" && !refused;
    }
    others
}

fn texts<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|value: &HeaderValue| value.to_str().ok())
}

/// What a header lists, and whether the weight of each is zero. Other weights are not compared: there
/// is one best form of each reply.
fn ranges(text: &str) -> impl Iterator<Item = (&str, bool)> {
    text.split(',').filter(|range| !range.trim().is_empty()).map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|it| it.strip_prefix("q=").or_else(|| it.strip_prefix("Q=")));
        let refused = weight.is_some_and(|it| it.trim().parse() == Ok(0.0));
        (name, refused)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(text))])
    }

    #[test]
    fn a_type_is_accepted_by_its_name_by_its_kind_or_with_all_others() {
        let mixed = |text| accepts(&headers(header::ACCEPT, text), "multipart/mixed");
        assert!(mixed("multipart/mixed"));
        assert!(mixed("application/json, Multipart/Mixed;q=0.1"));
        assert!(mixed("multipart/*"));
        assert!(mixed("text/html, */*;q=0.8"));
        assert!(!mixed("application/json"));
        assert!(!mixed("*/*, multipart/mixed;q=0"));
        assert!(!mixed("*/*;q=0.0"));
        assert!(accepts(&HeaderMap::new(), "multipart/mixed"));
    }

    #[test]
    fn gzip_is_accepted_only_where_it_is_asked_for() {
        let gzip = |text| accepts_gzip(&headers(header::ACCEPT_ENCODING, text));
        assert!(gzip("gzip"));
        assert!(gzip("deflate, GZIP;q=0.5"));
        assert!(gzip("*"));
        assert!(!gzip("*, gzip;q=0"));
        assert!(!gzip("identity"));
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
