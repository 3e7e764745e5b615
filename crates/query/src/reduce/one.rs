//! `_first` and `_last`: the value of one row.
//!
//! A partial is the JSON of the value. One that is too long is an error, which stands in its place: of
//! other rows it says nothing.

use super::{Native, error::error_json, limits::RANKED_BYTES_MAX};

/// What an error's partial begins with; JSON never does.
const ERROR: u8 = 5;

pub(super) fn reduce(native: Native, value: Option<&[u8]>) -> Vec<u8> {
    match value {
        None => Vec::new(),
        Some(value) if value.len() <= RANKED_BYTES_MAX => value.to_vec(),
        Some(_) => too_long(native),
    }
}

pub(super) fn finish(partial: &[u8]) -> Vec<u8> {
    match partial.split_first() {
        None => b"null".to_vec(),
        Some((&ERROR, error)) => error.to_vec(),
        Some(_) => partial.to_vec(),
    }
}

fn too_long(native: Native) -> Vec<u8> {
    let name = if native == Native::First { "_first" } else { "_last" };
    let reason = format!(
        "Reduce output must shrink more rapidly: `{name}` takes values of at most \
         {RANKED_BYTES_MAX} bytes"
    );
    [&[ERROR], &*error_json(&reason, None)].concat()
}
