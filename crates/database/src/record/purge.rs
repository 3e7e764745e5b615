//! What was purged, under its purge sequence, for `_purged_infos` and for peers that ask.
//!
//! Document as text, count of revisions, each generation and digest.

use settle_model::revision::RevId;

use crate::{
    codec::{Reader, RecordError, put_number, put_rev, put_text},
    record::sealed,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Purge {
    pub(crate) id: String,
    pub(crate) revs: Vec<RevId>,
}

impl Purge {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            put_text(out, &self.id);
            put_number(out, self.revs.len() as u64);
            for rev in &self.revs {
                put_rev(out, rev);
            }
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("purge", key, value)?;
        let id = from.text()?.to_owned();
        let count = from.count()?;
        let mut revs = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            revs.push(from.rev()?);
        }
        from.end()?;
        Ok(Self { id, revs })
    }
}
