//! When tombstones go, of a database whose admins want that, and how far it has come.
//!
//! | field | form |
//! |---|---|
//! | kept | number, milliseconds: how long a tombstone stays |
//! | checkpoints | number, milliseconds: how long a checkpoint counts |
//! | since | number, milliseconds since 1970: when this was wanted first |
//! | up to | number: no document whose newest change came at this sequence or before is deleted |

use std::time::Duration;

use settle_model::time::Timestamp;

use crate::{
    codec::{Reader, RecordError, put_number},
    record::{retention::Tombstones, sealed},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expiring {
    pub(crate) rule: Tombstones,
    pub(crate) since: Timestamp,
    pub(crate) up_to: u64,
}

impl Expiring {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        sealed(key, |out| {
            put_number(out, millis(self.rule.kept));
            put_number(out, millis(self.rule.checkpoints));
            put_number(out, self.since.micros() / 1_000);
            put_number(out, self.up_to);
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("expiring", key, value)?;
        let kept = Duration::from_millis(from.number()?);
        let checkpoints = Duration::from_millis(from.number()?);
        let since = Timestamp::from_micros(from.number()?.saturating_mul(1_000));
        let up_to = from.number()?;
        from.end()?;
        Ok(Self { rule: Tombstones { kept, checkpoints }, since, up_to })
    }
}
