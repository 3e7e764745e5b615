//! One row of a database's feed: which document changed at this sequence, and its leaves then.
//!
//! | field | form |
//! |---|---|
//! | flags | bit 0 superseded, bit 1 purge, bit 2 more leaves than the row holds |
//! | superseded by | number, only with bit 0 |
//! | document | text |
//! | leaves | count (at most 8), then each: generation × 2 + deleted as a number, digest; winner first |
//!
//! A row is superseded by the next change of its document. It goes with that update, or stays,
//! marked, while history needs it. A *purge* row tells followers that revisions are gone;
//! `_changes` shows it only when the document has leaves left.

use settle_model::revision::RevId;

use crate::{
    codec::{Reader, RecordError, put_digest, put_number, put_text},
    record::sealed,
};

/// More leaves than this are read from the head.
pub(crate) const LEAVES_MAX: usize = 8;

const SUPERSEDED: u8 = 1;
const PURGE: u8 = 2;
const MORE_LEAVES: u8 = 4;

#[derive(Debug, Clone, Copy)]
pub(crate) struct ChangeView<'a> {
    pub(crate) superseded_by: Option<u64>,
    pub(crate) purge: bool,
    pub(crate) more_leaves: bool,
    pub(crate) id: &'a str,
    pub(crate) leaf_count: usize,
    leaves: Reader<'a>,
}

pub(crate) struct ChangeRow<'a> {
    pub(crate) superseded_by: Option<u64>,
    pub(crate) purge: bool,
    pub(crate) id: &'a str,
}

impl ChangeRow<'_> {
    /// `leaves` come winner first, each with whether it is deleted.
    pub(crate) fn encode<'r>(
        &self,
        key: &[u8],
        leaves: impl ExactSizeIterator<Item = (&'r RevId, bool)>,
    ) -> Vec<u8> {
        sealed(key, |out| {
            let count = leaves.len();
            let mut flags = 0;
            if self.superseded_by.is_some() {
                flags |= SUPERSEDED;
            }
            if self.purge {
                flags |= PURGE;
            }
            if count > LEAVES_MAX {
                flags |= MORE_LEAVES;
            }
            out.push(flags);
            if let Some(by) = self.superseded_by {
                put_number(out, by);
            }
            put_text(out, self.id);
            put_number(out, count.min(LEAVES_MAX) as u64);
            for (rev, deleted) in leaves.take(LEAVES_MAX) {
                put_number(out, u64::from(rev.generation()) << 1 | u64::from(deleted));
                put_digest(out, rev.digest());
            }
        })
    }
}

impl<'a> ChangeView<'a> {
    pub(crate) fn decode(key: &[u8], value: &'a [u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("change", key, value)?;
        let flags = from.byte()?;
        let superseded_by = if flags & SUPERSEDED == 0 { None } else { Some(from.number()?) };
        let id = from.text()?;
        let leaf_count = from.count()?;
        Ok(Self {
            superseded_by,
            purge: flags & PURGE != 0,
            more_leaves: flags & MORE_LEAVES != 0,
            id,
            leaf_count,
            leaves: from,
        })
    }

    /// Winner first, each with whether it is deleted.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = Result<(RevId, bool), RecordError>> + 'a {
        let mut from = self.leaves;
        (0..self.leaf_count).map(move |_| {
            let number = from.number()?;
            let digest = from.digest()?;
            let rev = u32::try_from(number >> 1).ok().and_then(|it| RevId::new(it, digest));
            Ok((rev.ok_or_else(|| from.malformed("not a revision"))?, number & 1 == 1))
        })
    }
}
