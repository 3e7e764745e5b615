//! Which moment of the past is meant, and whether it is still kept.
//!
//! All moments from the floor of history on are kept, and of those below it the ones of snapshots and pins. A moment
//! that is no longer kept never is again, so whoever reads at one first reads, and then [checks](Inner::check_moment):
//! what is kept now was kept all the while.
//!
//! Times are found among the changes themselves: each tells when its document was stored. Units: what is stored has
//! milliseconds.

use std::{fmt, ops::Bound, str::FromStr};

use settle_access::{Grant, Read};
use settle_engine::{Direction, Plan, Scan, Step, Visit, Visitor};
use settle_model::{
    date,
    sequence::{SequenceToken, Since},
    time::Timestamp,
};
use thiserror::Error;

use crate::{
    Database,
    database::Inner,
    error::StorageError,
    keys::{self, Keys, family},
    limits::SNAPSHOT_NAME_BYTES_MAX,
    record::{
        change::ChangeView,
        expiring::Expiring,
        head::HeadView,
        history::History,
        later::{Pin, Snapshot},
        retention::Retention,
        state::State,
    },
    scan::Failure,
};

/// How the present is named; no snapshot is called so.
const NOW: &str = "now";

/// The name of a snapshot: a letter, then letters, digits, `_`, `-` and `.`. So it is neither a sequence nor a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotName(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a snapshot's name begins with a letter, and has letters, digits, `_`, `-` and `.`, {SNAPSHOT_NAME_BYTES_MAX} at most"
)]
pub struct SnapshotNameError;

/// A moment of a database's past, as somebody names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// The present.
    Now,
    Snapshot(SnapshotName),
    Sequence(SequenceToken),
    Time(Timestamp),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a moment is the name of a snapshot, a sequence, or a time such as 2027-11-21T03:05:46Z")]
pub struct AtError;

/// A moment of a database's past that was kept when it was found: after the change of this sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub(crate) u64);

impl Moment {
    /// The present, whatever has happened.
    pub const PRESENT: Self = Self(u64::MAX);

    pub fn sequence(self) -> u64 {
        self.0
    }
}

/// Why the past cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PastError {
    #[error("there is no snapshot named {name}")]
    NoSnapshot { name: SnapshotName },
    #[error("what the database was at that moment is no longer kept")]
    NotKept,
    #[error("the moment lies beyond the present")]
    Ahead,
    #[error("the database was not there yet at that moment")]
    NotYet,
    #[error("the sequence was counted on another timeline")]
    OtherTimeline,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl SnapshotName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SnapshotName {
    type Err = SnapshotNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let belongs = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        let fits = text.len() <= SNAPSHOT_NAME_BYTES_MAX;
        if begins && fits && text != NOW && text.bytes().all(belongs) {
            Ok(Self(text.to_owned()))
        } else {
            Err(SnapshotNameError)
        }
    }
}

impl FromStr for At {
    type Err = AtError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == NOW {
            return Ok(Self::Now);
        }
        if let Ok(name) = text.parse() {
            return Ok(Self::Snapshot(name));
        }
        if let Some(time) = date::parse(text) {
            return Ok(Self::Time(time));
        }
        match text.parse() {
            Ok(Since::Token(token)) => Ok(Self::Sequence(token)),
            Ok(Since::Now | Since::Foreign) | Err(_) => Err(AtError),
        }
    }
}

impl Database {
    /// The moment that is meant, if it is still kept.
    pub async fn moment(&self, grant: &Grant<Read>, at: &At) -> Result<Moment, PastError> {
        self.inner.check(grant);
        self.inner.moment(at).await
    }

    /// As [`moment`](Self::moment), but a time before the database was made is none that it had: a list of what was there
    /// then is empty, and whoever asks for the whole of it is mistaken.
    pub async fn moment_of_life(&self, grant: &Grant<Read>, at: &At) -> Result<Moment, PastError> {
        let moment = self.moment(grant, at).await?;
        match at {
            At::Time(time) if moment.0 == 0 && *time < self.inner.live().created => {
                Err(PastError::NotYet)
            }
            At::Now | At::Snapshot(_) | At::Sequence(_) | At::Time(_) => Ok(moment),
        }
    }
}

impl Inner {
    pub(crate) async fn moment(&self, at: &At) -> Result<Moment, PastError> {
        let state = self.state().await?;
        let sequence = match at {
            At::Now => state.sequence,
            At::Snapshot(name) => {
                let key = self.keys.snapshot(name.as_str());
                let value =
                    self.shared.engine.get(key.clone()).await.map_err(StorageError::from)?;
                let value = value.ok_or_else(|| PastError::NoSnapshot { name: name.clone() })?;
                // A snapshot's moment is kept as long as it is there.
                let snapshot = Snapshot::decode(&key, &value).map_err(StorageError::from)?;
                return Ok(Moment(snapshot.sequence));
            }
            At::Sequence(token) if token.timeline.is_some_and(|it| it != self.timeline()) => {
                return Err(PastError::OtherTimeline);
            }
            At::Sequence(token) if token.sequence.0 > state.sequence => {
                return Err(PastError::Ahead);
            }
            At::Sequence(token) => token.sequence.0,
            At::Time(time) if *time > self.shared.clock.now() => return Err(PastError::Ahead),
            At::Time(time) => self.sequence_at(&state, *time).await?.ok_or(PastError::NotKept)?,
        };
        let moment = Moment(sequence);
        self.check_moment(moment).await?;
        Ok(moment)
    }

    /// Says whether a moment that was found once is kept to this day.
    pub(crate) async fn check_moment(&self, moment: Moment) -> Result<(), PastError> {
        if moment.0 >= self.state().await?.history_floor {
            return Ok(());
        }
        let needed = self.needed().await?;
        if needed.points().any(|point| point == moment.0) {
            Ok(())
        } else {
            Err(PastError::NotKept)
        }
    }

    /// What is kept of the past, and for whom.
    pub(crate) async fn needed(&self) -> Result<Needed, StorageError> {
        let keys = self.keys;
        let scan = |family| Step::Scan(Scan::prefix(&keys.family(family), Direction::Ascending));
        let records = [Step::Get(keys.retention()), Step::Get(keys.expiring())];
        let scans = [scan(family::SNAPSHOT), scan(family::PIN)];
        let steps = records.into_iter().chain(scans).collect();
        let needed = self.shared.engine.read_to_end(Plan::new(steps), Reading::default()).await?;
        needed.failure.check()?;
        Ok(needed.needed)
    }

    /// The newest sequence that was committed at a time or before; `None` where that is not known any more.
    pub(crate) async fn sequence_at(
        &self,
        state: &State,
        time: Timestamp,
    ) -> Result<Option<u64>, StorageError> {
        // Whatever is at `low` was there at that time, and whatever is above `high` was not.
        let (mut low, mut high) = (state.history_floor, state.sequence);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            match self.first_time(middle, high).await? {
                Some((sequence, stored)) if stored <= time => low = sequence,
                Some(_) | None => high = middle - 1,
            }
        }
        let floor_time = state.past.map(|past| past.floor_time);
        let is_known = low > state.history_floor
            || low == 0
            || floor_time.is_some_and(|floor_time| floor_time <= time)
            // The change at the floor itself, as long as its row is there.
            || self.first_time(low, low).await?.is_some_and(|(_, stored)| stored <= time);
        Ok(is_known.then_some(low))
    }

    /// The first change in a range that tells when it was made.
    async fn first_time(
        &self,
        from: u64,
        to: u64,
    ) -> Result<Option<(u64, Timestamp)>, StorageError> {
        let range = Scan {
            start: Bound::Included(self.keys.change(from)),
            end: Bound::Included(self.keys.change(to)),
            direction: Direction::Ascending,
        };
        let times = Times { keys: self.keys, row: None, found: None, failure: Failure::default() };
        let plan = Plan::new(vec![Step::Scan(range)]);
        let times = self.shared.engine.read_to_end(plan, times).await?;
        times.failure.check()?;
        Ok(times.found)
    }
}

/// What is kept of the past, and for whom.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    pub(crate) retention: Retention,
    pub(crate) expiring: Option<Expiring>,
    /// Names and records, in the order of the names.
    pub(crate) snapshots: Vec<(String, Snapshot)>,
    /// Numbers and records, oldest first.
    pub(crate) pins: Vec<(u64, Pin)>,
}

impl Needed {
    /// The sequences that snapshots and pins keep.
    pub(crate) fn points(&self) -> impl Iterator<Item = u64> + '_ {
        let snapshots = self.snapshots.iter().map(|(_, snapshot)| snapshot.sequence);
        snapshots.chain(self.pins.iter().map(|(_, pin)| pin.sequence))
    }
}

#[derive(Default)]
struct Reading {
    needed: Needed,
    failure: Failure,
}

impl Reading {
    fn look(&mut self, step: usize, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        match step {
            0 => self.needed.retention = Retention::decode(key, value)?,
            1 => {
                let expiring = Expiring::decode(key, value)?;
                self.needed.retention.tombstones = Some(expiring.rule);
                self.needed.expiring = Some(expiring);
            }
            2 => {
                let name = keys::text_of(key).unwrap_or_default().to_owned();
                self.needed.snapshots.push((name, Snapshot::decode(key, value)?));
            }
            _ => {
                let number = keys::number_of(key).unwrap_or_default();
                self.needed.pins.push((number, Pin::decode(key, value)?));
            }
        }
        Ok(())
    }
}

impl Visitor for Reading {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        if let Some(Err(error)) = value.map(|value| self.look(step, key, value)) {
            return self.failure.stop(error);
        }
        Visit::Next
    }
}

/// Visits rows of the feed until one leads to a time: in the head of its document, or in the history record of the
/// update that replaced what the row stands for.
struct Times {
    keys: Keys,
    /// The sequence of the row whose time is looked up.
    row: Option<u64>,
    found: Option<(u64, Timestamp)>,
    failure: Failure,
}

impl Times {
    fn look(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Visit, StorageError> {
        if let Some(row) = self.row.take() {
            let Some(value) = value else { return Ok(Visit::Next) };
            let time = if keys::history_of(key).is_some() {
                History::decode(key, value)?.updated
            } else {
                HeadView::decode(key, value)?.updated
            };
            self.found = Some((row, time));
            return Ok(Visit::Stop);
        }
        let change = ChangeView::decode(key, value.unwrap_or_default())?;
        if change.purge && change.leaf_count == 0 {
            return Ok(Visit::Next);
        }
        self.row = keys::number_of(key);
        Ok(Visit::Follow(match change.superseded_by {
            None => self.keys.head_at(change.id),
            Some(by) => self.keys.history_at(change.id, by),
        }))
    }
}

impl Visitor for Times {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(key, value).unwrap_or_else(|error| self.failure.stop(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_name_a_sequence_or_a_time() {
        let at = |text: &str| text.parse::<At>();
        let name = |text: &str| At::Snapshot(text.parse().unwrap());
        assert_eq!(at("before-launch"), Ok(name("before-launch")));
        assert_eq!(at("now"), Ok(At::Now));
        assert!(matches!(at("12"), Ok(At::Sequence(_))));
        assert!(matches!(at("12-00c0ffee00c0ffee"), Ok(At::Sequence(_))));
        assert_eq!(at("1970-01-01T00:00:01Z"), Ok(At::Time(Timestamp::from_seconds(1))));
        for text in ["", "_x", "a b", "now now", "-1", "12-x y", "2027-13-01T00:00:00Z", "ä"] {
            assert!(at(text).is_err(), "{text:?}");
        }
        assert!("a".repeat(101).parse::<SnapshotName>().is_err());
    }
}
