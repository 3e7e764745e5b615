//! When tombstones go, of a database whose admins want that, and how far it has come.
//!
//! | field | form |
//! |---|---|
//! | kept | number, milliseconds: how long a tombstone stays |
//! | checkpoints | number, milliseconds: how long a checkpoint counts |
//! | since | number, milliseconds since 1970: when this was wanted first |
//! | up to | number: no document whose newest change came at this sequence or before is deleted |
//! | timeline | 8 bytes, from version 2 on: that on which checkpoints are counted |
//! | held until | number, milliseconds since 1970, from version 2 on: none goes before, since checkpoints of an earlier timeline may not be told from those of others |

use std::time::Duration;

use settle_model::{sequence::Timeline, time::Timestamp};

use crate::{
    codec::{Reader, RecordError, put_number},
    record::{retention::Tombstones, sealed_as},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expiring {
    pub(crate) rule: Tombstones,
    pub(crate) since: Timestamp,
    pub(crate) up_to: u64,
    /// `None` where it was not noted.
    pub(crate) timeline: Option<Timeline>,
    pub(crate) held_until: Timestamp,
}

impl Expiring {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let version = if self.timeline.is_some() { 2 } else { 1 };
        sealed_as(version, key, |out| {
            put_number(out, millis(self.rule.kept));
            put_number(out, millis(self.rule.checkpoints));
            put_number(out, self.since.micros() / 1_000);
            put_number(out, self.up_to);
            if let Some(timeline) = self.timeline {
                out.extend_from_slice(&timeline.0);
                put_number(out, self.held_until.micros() / 1_000);
            }
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let (version, mut from) = Reader::open_any("expiring", key, value, 2)?;
        let kept = Duration::from_millis(from.number()?);
        let checkpoints = Duration::from_millis(from.number()?);
        let since = Timestamp::from_micros(from.number()?.saturating_mul(1_000));
        let up_to = from.number()?;
        let (mut timeline, mut held_until) = (None, 0);
        if version > 1 {
            timeline = Some(Timeline(from.array()?));
            held_until = from.number()?;
        }
        from.end()?;
        let held_until = Timestamp::from_micros(held_until.saturating_mul(1_000));
        let rule = Tombstones { kept, checkpoints };
        Ok(Self { rule, since, up_to, timeline, held_until })
    }
}
