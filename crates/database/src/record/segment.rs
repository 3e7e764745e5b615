//! Older ancestry of a document: a run of revisions without a branch, written once and never
//! changed, found by the newest of them.
//!
//! | field | form |
//! |---|---|
//! | generation of the newest | number |
//! | revisions | count, then their digests, newest first |
//! | older | 0, or 1 and what came before when the segment was made: generation, digest, count |

use settle_model::tree::Segment;

use crate::{
    codec::{Reader, RecordError, put_digest, put_number},
    record::{
        head::{put_cut, take_cut},
        sealed,
    },
};

pub(crate) fn encode(segment: &Segment, key: &[u8]) -> Vec<u8> {
    sealed(key, |out| {
        put_number(out, u64::from(segment.start));
        put_number(out, segment.digests.len() as u64);
        for digest in &segment.digests {
            put_digest(out, digest);
        }
        match &segment.older {
            None => out.push(0),
            Some(cut) => {
                out.push(1);
                put_cut(out, cut);
            }
        }
    })
}

pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Segment, RecordError> {
    let mut from = Reader::open("segment", key, value)?;
    let start = from.small()?;
    let count = from.count()?;
    if start == 0 || count == 0 {
        return Err(from.malformed("no revision"));
    }
    let mut digests = Vec::with_capacity(count.min(1_024));
    for _ in 0..count {
        digests.push(from.digest()?);
    }
    let older = match from.byte()? {
        0 => None,
        1 => Some(take_cut(&mut from)?),
        _ => return Err(from.malformed("unknown kind of end")),
    };
    from.end()?;
    Ok(Segment { start, digests, older })
}
