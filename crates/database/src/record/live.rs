//! The *live* record: that a database exists, and what seldom changes about it.
//!
//! Every batch on a database requires that this record is there, so nothing is written to a
//! database that has been dropped. Document writes do not depend on its value.
//!
//! | field | form |
//! |---|---|
//! | name | text |
//! | created | number, microseconds; `instance_start_time` is made from it |
//! | timelines | count, then each: 8 bytes, and the sequence it began above |
//! | `revs_limit`, `purged_infos_limit` | numbers |
//! | grace | number, milliseconds: how long replaced revisions stay readable |
//! | partitioned | byte, 0 or 1 |
//! | design epoch, security epoch | numbers: how often the design documents and the security object changed |
//! | security | bytes: the JSON object as sent |

use std::time::Duration;

use settle_model::{sequence::Timeline, time::Timestamp};

use crate::{
    codec::{Reader, RecordError, put_bytes, put_number, put_text},
    edit::Epochs,
    record::sealed,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    /// Oldest first, never empty; the last one is the present one.
    pub(crate) timelines: Vec<TimelineStart>,
    pub(crate) revs_limit: u32,
    pub(crate) purged_infos_limit: u32,
    pub(crate) grace: Duration,
    pub(crate) partitioned: bool,
    pub(crate) design_epoch: u64,
    pub(crate) security_epoch: u64,
    pub(crate) security: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimelineStart {
    pub(crate) timeline: Timeline,
    pub(crate) above: u64,
}

impl Live {
    pub(crate) fn epochs(&self) -> Epochs {
        Epochs { design: self.design_epoch, security: self.security_epoch }
    }

    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            put_text(out, &self.name);
            put_number(out, self.created.micros());
            put_number(out, self.timelines.len() as u64);
            for start in &self.timelines {
                out.extend_from_slice(&start.timeline.0);
                put_number(out, start.above);
            }
            put_number(out, u64::from(self.revs_limit));
            put_number(out, u64::from(self.purged_infos_limit));
            put_number(out, u64::try_from(self.grace.as_millis()).unwrap_or(u64::MAX));
            out.push(u8::from(self.partitioned));
            put_number(out, self.design_epoch);
            put_number(out, self.security_epoch);
            put_bytes(out, &self.security);
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("live", key, value)?;
        let name = from.text()?.to_owned();
        let created = Timestamp::from_micros(from.number()?);
        let mut timelines = Vec::new();
        for _ in 0..from.count()? {
            let timeline = Timeline(from.array()?);
            timelines.push(TimelineStart { timeline, above: from.number()? });
        }
        if timelines.is_empty() {
            return Err(from.malformed("no timeline"));
        }
        let live = Self {
            name,
            created,
            timelines,
            revs_limit: from.small()?,
            purged_infos_limit: from.small()?,
            grace: Duration::from_millis(from.number()?),
            partitioned: from.byte()? == 1,
            design_epoch: from.number()?,
            security_epoch: from.number()?,
            security: from.bytes()?.to_vec(),
        };
        from.end()?;
        Ok(live)
    }
}
