//! How much of its past a database keeps beside snapshots and pins, as its admins set it.
//!
//! | field | form |
//! |---|---|
//! | window | number, milliseconds |
//! | append only | bytes: a selector as JSON, empty where there is none |

use std::time::Duration;

use crate::{
    codec::{Reader, RecordError, put_bytes, put_number},
    record::sealed,
};

/// How long tombstones stay in a database that lets them go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstones {
    pub kept: Duration,
    /// No tombstone goes that a checkpoint has not passed which was written within this time.
    pub checkpoints: Duration,
}

/// What a database keeps of its past without a snapshot, and what never goes back to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retention {
    /// Every state of the database within this time stays readable.
    pub window: Duration,
    /// A selector as minified JSON: documents that a revert leaves as they are. Whoever sets it has checked it.
    pub append_only: Option<Vec<u8>>,
    /// `None` where they stay. Stands in a record of its own, see `record::expiring`.
    pub tombstones: Option<Tombstones>,
}

impl Retention {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            put_number(out, u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX));
            put_bytes(out, self.append_only.as_deref().unwrap_or_default());
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("retention", key, value)?;
        let window = Duration::from_millis(from.number()?);
        let selector = from.bytes()?;
        let append_only = (!selector.is_empty()).then(|| selector.to_vec());
        from.end()?;
        Ok(Self { window, append_only, tombstones: None })
    }
}
