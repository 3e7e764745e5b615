//! A local document: it neither replicates nor has a sequence, and its revision is a counter.
//!
//! | field | form |
//! |---|---|
//! | revision | number: the N of `0-N` |
//! | written | number, milliseconds since 1970; not there in version 1 |
//! | JSON | the rest: the members as sent, without the special ones |

use settle_model::time::Timestamp;

use crate::{
    codec::{Reader, RecordError, put_number},
    record::sealed_as,
};

/// A local document as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Local<'a> {
    pub(crate) revision: u64,
    /// `None` of one from before that was noted.
    pub(crate) written: Option<Timestamp>,
    pub(crate) json: &'a [u8],
}

pub(crate) fn encode(key: &[u8], revision: u64, written: Timestamp, json: &[u8]) -> Vec<u8> {
    sealed_as(2, key, |out| {
        put_number(out, revision);
        put_number(out, written.micros() / 1_000);
        out.extend_from_slice(json);
    })
}

pub(crate) fn decode<'a>(key: &[u8], value: &'a [u8]) -> Result<Local<'a>, RecordError> {
    let (version, mut from) = Reader::open_any("local document", key, value, 2)?;
    let revision = from.number()?;
    let written = match version {
        1 => None,
        _ => Some(Timestamp::from_micros(from.number()?.saturating_mul(1_000))),
    };
    Ok(Local { revision, written, json: from.remaining() })
}
