//! What holds for every text that somebody takes for a name.

use std::{
    fmt::{Debug, Display},
    str::FromStr,
};

use settle_model::{
    id::{AnyId, AttachmentName, DatabaseName, DocumentId, LocalId},
    revision::{Digest, RevId},
};

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    same_text::<DatabaseName>(text);
    same_text::<AttachmentName>(text);
    let document = same_text::<DocumentId>(text);
    let local = same_text::<LocalId>(text);
    let any = same_text::<AnyId>(text);
    assert_eq!(any.is_some(), document.is_some() || local.is_some());
    assert!(document.is_none() || local.is_none());

    if let Ok(rev) = text.parse::<RevId>() {
        let written = rev.to_string();
        assert_eq!(written.parse().as_ref(), Ok(&rev));
        let mut fast = Vec::new();
        rev.write_to(&mut fast);
        assert_eq!(fast, written.as_bytes());
        assert!(fast.iter().all(|&it| it.is_ascii_graphic() && it != b'"' && it != b'\\'));
    }
    if let Ok(digest) = text.parse::<Digest>() {
        let stored = Digest::from_stored(digest.bytes(), digest.is_md5());
        assert_eq!(stored, Some(digest));
    }
}

/// What is taken is shown as it came.
fn same_text<T: FromStr + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    let id: T = text.parse().ok()?;
    assert_eq!(id.to_string(), text);
    assert_eq!(id.to_string().parse().ok().as_ref(), Some(&id));
    Some(id)
}
