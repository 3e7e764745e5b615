//! A local document: it neither replicates nor has a sequence, and its revision is a counter.
//!
//! | field | form |
//! |---|---|
//! | revision | number: the N of `0-N` |
//! | JSON | the rest: the members as sent, without the special ones |

use crate::{
    codec::{Reader, RecordError, put_number},
    record::sealed,
};

pub(crate) fn encode(key: &[u8], revision: u64, json: &[u8]) -> Vec<u8> {
    sealed(key, |out| {
        put_number(out, revision);
        out.extend_from_slice(json);
    })
}

pub(crate) fn decode<'a>(key: &[u8], value: &'a [u8]) -> Result<(u64, &'a [u8]), RecordError> {
    let mut from = Reader::open("local document", key, value)?;
    Ok((from.number()?, from.remaining()))
}
