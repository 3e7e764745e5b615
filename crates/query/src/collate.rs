//! Sort keys: bytes whose order is CouchDB's collation.

use std::borrow::Cow;

/// How the keys of a view are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Collation {
    /// Strings by the Unicode collation algorithm, as CouchDB does unless told otherwise.
    #[default]
    Unicode,
    /// `"collation": "raw"`: strings by their bytes, and CouchDB's order of Erlang terms.
    Raw,
}

/// The collator and the encoding. An index that was built under another version is built again.
pub const VERSION: &str = "icu_collator 2.4, encoding 1";

/// Appends the sort key of one minified JSON value. The order of the bytes is the order of the
/// values; no key is the prefix of another, and the key of an array begins with the keys of its
/// first elements, so keys of several values in a row compare as the array of them.
pub fn push_sort_key(_out: &mut Vec<u8>, _json: &[u8], _collation: Collation) {
    unimplemented!()
}

/// What all rows of a group at `level` begin with: the key of an array of more elements than
/// `level` cut to that many, without the mark that ends it; any other key whole. Rows of the group
/// are those whose sort key begins with this, and then, where the flag says so, does not end.
pub fn group_prefix(_json: &[u8], _level: u32, _collation: Collation) -> Vec<u8> {
    unimplemented!()
}

/// The key that a group at `level` is shown under: an array cut to `level` elements, and any other
/// key as it is.
pub fn group_key(_json: &[u8], _level: u32) -> Cow<'_, [u8]> {
    unimplemented!()
}
