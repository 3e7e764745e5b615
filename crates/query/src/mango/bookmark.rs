//! Where a page ended.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use settle_model::json::{members, string_value, validate, write_string};

use super::error::MangoError;

/// The last row of a page. The next page begins behind it, also if the row has gone since.
///
/// Clients get it as base64 of JSON, and are not told so. CouchDB's are base64 of an Erlang term,
/// and are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bookmark {
    /// JSON: the key of an index's row, or the id where all documents are read.
    pub key: Vec<u8>,
    pub id: String,
}

/// What stands for no bookmark in a reply.
pub const NO_BOOKMARK: &str = "nil";

impl Bookmark {
    pub fn to_text(&self) -> String {
        let mut json = b"{\"key\":".to_vec();
        json.extend_from_slice(&self.key);
        json.extend_from_slice(b",\"id\":");
        write_string(&mut json, &self.id);
        json.push(b'}');
        BASE64_URL_SAFE_NO_PAD.encode(json)
    }

    pub fn parse(text: &str) -> Result<Self, MangoError> {
        Self::read(text).ok_or_else(|| {
            let mut quoted = Vec::new();
            write_string(&mut quoted, text);
            MangoError::InvalidBookmark { bookmark: String::from_utf8_lossy(&quoted).into_owned() }
        })
    }

    fn read(text: &str) -> Option<Self> {
        let json = BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
        validate(&json).ok()?;
        let get = |name| members(&json).find(|(key, _)| *key == name).map(|(_, value)| value);
        Some(Self { key: get("key")?.to_vec(), id: string_value(get("id")?)?.into_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bookmark_reads_back() {
        let bookmark = Bookmark { key: br#"[1,"a\"",{}]"#.to_vec(), id: "é/\"".to_owned() };
        assert_eq!(Bookmark::parse(&bookmark.to_text()), Ok(bookmark));
    }

    #[test]
    fn what_is_no_bookmark_is_refused() {
        for text in ["nil", "", "?", "e30", "eyJrZXkiOjF9", "g2wAAAACaAJkAA5zdGFydGtleV9kb2NpZG0"] {
            let error = Bookmark::parse(text).unwrap_err();
            assert_eq!(error.to_string(), format!("Invalid bookmark value: \"{text}\""));
        }
    }
}
