//! A head as it is stored, read without building its tree: most reads want the winner alone.

use settle_model::{revision::RevId, time::Timestamp};

use super::{ATTACHED, RECORD};
use crate::{
    codec::{Reader, RecordError},
    revision::Times,
};

#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadView<'a> {
    pub(crate) sequence: u64,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    leaf_count: usize,
    leaves: Reader<'a>,
    /// Behind the leaves: chains, then the inline payload.
    rest: Reader<'a>,
    inline: &'a [u8],
}

#[derive(Debug, Clone)]
pub(crate) struct LeafView<'a> {
    pub(crate) rev: RevId,
    pub(crate) deleted: bool,
    pub(crate) size: u64,
    pub(crate) attached: bool,
    pub(crate) body: BodyView<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum BodyView<'a> {
    Inline(&'a [u8]),
    Record { number: u64, length: u64 },
}

impl<'a> HeadView<'a> {
    pub(crate) fn decode(key: &[u8], value: &'a [u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("head", key, value)?;
        let sequence = from.number()?;
        let created = Timestamp::from_micros(from.number()?.saturating_mul(1_000));
        let updated = Timestamp::from_micros(from.number()?.saturating_mul(1_000));
        let leaf_count = from.count()?;
        let leaves = from;
        let mut inline_length = 0;
        for _ in 0..leaf_count {
            inline_length += Self::skip_leaf(&mut from)?;
        }
        if leaf_count == 0 {
            return Err(from.malformed("no leaf"));
        }
        let whole = from.remaining();
        let at = whole.len().checked_sub(inline_length);
        let at = at.ok_or_else(|| from.malformed("too short for its body"))?;
        let inline = &whole[at..];
        Ok(Self { sequence, created, updated, leaf_count, leaves, rest: from, inline })
    }

    /// Passes over one leaf; the length of its inline payload.
    fn skip_leaf(from: &mut Reader<'_>) -> Result<usize, RecordError> {
        from.number()?;
        let digest = from.byte()?;
        from.take(usize::from(digest & 0x7F))?;
        from.number()?;
        if from.byte()? & RECORD == 0 {
            return from.count();
        }
        from.number()?;
        from.number()?;
        Ok(0)
    }

    pub(crate) fn times(&self) -> Times {
        Times { created: self.created, updated: self.updated }
    }

    pub(crate) fn leaf_count(&self) -> usize {
        self.leaf_count
    }

    /// Winner first.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = Result<LeafView<'a>, RecordError>> + 'a {
        let (mut from, inline) = (self.leaves, self.inline);
        (0..self.leaf_count).map(move |_| {
            let number = from.number()?;
            let digest = from.digest()?;
            let rev = u32::try_from(number >> 1).ok().and_then(|it| RevId::new(it, digest));
            let rev = rev.ok_or_else(|| from.malformed("not a revision"))?;
            let size = from.number()?;
            let kind = from.byte()?;
            let body = if kind & RECORD == 0 {
                from.number()?;
                BodyView::Inline(inline)
            } else {
                BodyView::Record { number: from.number()?, length: from.number()? }
            };
            let (deleted, attached) = (number & 1 == 1, kind & ATTACHED != 0);
            Ok(LeafView { rev, deleted, size, attached, body })
        })
    }

    pub(crate) fn winner(&self) -> Result<LeafView<'a>, RecordError> {
        self.leaves().next().expect("decode refuses a head without leaves")
    }

    /// Whether a live leaf stands beside a live winner: live leaves come first.
    pub(crate) fn is_in_conflict(&self) -> Result<bool, RecordError> {
        if self.leaf_count < 2 {
            return Ok(false);
        }
        Ok(self.leaves().nth(1).transpose()?.is_some_and(|leaf| !leaf.deleted))
    }

    /// At the count of chains.
    pub(super) fn chains(&self) -> Reader<'a> {
        self.rest
    }
}
