//! What an update replaced: the document's leaves and bodies as they were before, under the
//! document and the sequence of the update.
//!
//! A document as it was at sequence *n* is the record with the least sequence above *n*, or the
//! head where there is none.
//!
//! | field | form |
//! |---|---|
//! | sequence | number: that of the state described here |
//! | updated | number, milliseconds |
//! | leaves | count, then each, winner first: generation × 2 + deleted as a number, digest, size of the JSON and attachments, kind of body |
//! | … 0 inline | payload as bytes |
//! | … 1 record | number of the body record, length of its payload |
//! | … 2 later | nothing: a newer state of the document has this leaf, mostly the next one |
//! | … 3 erased | nothing: a purge took it |

use settle_model::{revision::RevId, time::Timestamp};

use crate::{
    codec::{Reader, RecordError, put_bytes, put_digest, put_number},
    record::sealed,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) sequence: u64,
    pub(crate) updated: Timestamp,
    pub(crate) leaves: Vec<PastLeaf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PastLeaf {
    pub(crate) rev: RevId,
    pub(crate) deleted: bool,
    pub(crate) size: u64,
    pub(crate) body: PastBody,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PastBody {
    Inline(Vec<u8>),
    Record { number: u64, length: u64 },
    Later,
    Erased,
}

impl PastBody {
    /// Whether the record says what the body is.
    pub(crate) fn is_here(&self) -> bool {
        match self {
            Self::Inline(_) | Self::Record { .. } => true,
            Self::Later | Self::Erased => false,
        }
    }

    /// The number of the body record, where there is one.
    pub(crate) fn record(&self) -> Option<u64> {
        match self {
            Self::Record { number, .. } => Some(*number),
            Self::Inline(_) | Self::Later | Self::Erased => None,
        }
    }
}

impl History {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            put_number(out, self.sequence);
            put_number(out, self.updated.micros() / 1_000);
            put_number(out, self.leaves.len() as u64);
            for leaf in &self.leaves {
                put_number(out, u64::from(leaf.rev.generation()) << 1 | u64::from(leaf.deleted));
                put_digest(out, leaf.rev.digest());
                put_number(out, leaf.size);
                match &leaf.body {
                    PastBody::Inline(payload) => {
                        out.push(0);
                        put_bytes(out, payload);
                    }
                    PastBody::Record { number, length } => {
                        out.push(1);
                        put_number(out, *number);
                        put_number(out, *length);
                    }
                    PastBody::Later => out.push(2),
                    PastBody::Erased => out.push(3),
                }
            }
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("history", key, value)?;
        let sequence = from.number()?;
        let updated = Timestamp::from_micros(from.number()?.saturating_mul(1_000));
        let count = from.count()?;
        let mut leaves = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            let number = from.number()?;
            let digest = from.digest()?;
            let rev = u32::try_from(number >> 1).ok().and_then(|it| RevId::new(it, digest));
            let rev = rev.ok_or_else(|| from.malformed("not a revision"))?;
            let size = from.number()?;
            let body = match from.byte()? {
                0 => PastBody::Inline(from.bytes()?.to_vec()),
                1 => PastBody::Record { number: from.number()?, length: from.number()? },
                2 => PastBody::Later,
                3 => PastBody::Erased,
                _ => return Err(from.malformed("unknown kind of body")),
            };
            leaves.push(PastLeaf { rev, deleted: number & 1 == 1, size, body });
        }
        from.end()?;
        Ok(Self { sequence, updated, leaves })
    }
}
