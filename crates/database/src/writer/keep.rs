//! Saying what is kept of the past: snapshots, pins, the window.
//!
//! Each changes a small record or two, whatever the database holds. It goes through the writer, and so through the state
//! record, since letting the past go does: what is let go was not needed by anybody at that moment.

use settle_model::time::Timestamp;
use thiserror::Error;

use super::group::Group;
use crate::{
    error::StorageError,
    keys,
    limits::{PINS_MAX, SNAPSHOTS_MAX},
    past::moment::{Moment, Needed, SnapshotName},
    record::{
        expiring::Expiring,
        later::{Pin, Snapshot},
        retention::Retention,
        state::Past,
    },
};

/// A change of what is kept.
#[derive(Debug, Clone)]
pub(crate) enum Keep {
    Take {
        name: SnapshotName,
        /// `None` for the present.
        moment: Option<Moment>,
    },
    Forget {
        name: SnapshotName,
    },
    Retain(Retention),
    Pin {
        moment: Moment,
        expires: Timestamp,
        holder: String,
    },
    /// Holds a pin for longer.
    Renew {
        pin: u64,
        expires: Timestamp,
    },
    Unpin {
        pin: u64,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    Snapshot(Snapshot),
    Pin(u64),
    Done,
}

/// Why what is kept does not change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeepError {
    #[error("there is a snapshot of this name already")]
    Exists,
    #[error("there is no such snapshot")]
    Missing,
    #[error("what the database was at that moment is no longer kept")]
    NotKept,
    #[error("the database has {max} snapshots, as many as it may have")]
    TooManySnapshots { max: usize },
    #[error("{max} others read the past of the database already")]
    TooManyPins { max: usize },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Group<'_> {
    pub(super) async fn plan_keep(
        &mut self,
        keep: &Keep,
    ) -> Result<Result<Kept, KeepError>, StorageError> {
        let needed = self.inner.needed().await?;
        match keep {
            Keep::Take { name, moment } => Ok(self.take_snapshot(name, *moment, &needed)),
            Keep::Forget { name } => Ok(self.forget_snapshot(name, &needed)),
            Keep::Retain(retention) => {
                self.retain(retention, &needed);
                Ok(Ok(Kept::Done))
            }
            Keep::Pin { moment, expires, holder } => {
                let pin = Pin { sequence: moment.0, expires: *expires, holder: holder.clone() };
                Ok(self.pin(&pin, &needed))
            }
            Keep::Renew { pin, expires } => Ok(self.renew(*pin, *expires, &needed)),
            Keep::Unpin { pin } => {
                self.unpin(*pin, &needed);
                Ok(Ok(Kept::Done))
            }
        }
    }

    pub(super) fn take_snapshot(
        &mut self,
        name: &SnapshotName,
        moment: Option<Moment>,
        needed: &Needed,
    ) -> Result<Kept, KeepError> {
        if needed.snapshots.iter().any(|(taken, _)| taken == name.as_str()) {
            return Err(KeepError::Exists);
        }
        if needed.snapshots.len() >= SNAPSHOTS_MAX {
            return Err(KeepError::TooManySnapshots { max: SNAPSHOTS_MAX });
        }
        let sequence = moment.map_or(self.state.sequence, |moment| moment.0);
        self.check_kept(sequence, needed)?;
        let snapshot = Snapshot { sequence, taken: self.now };
        let key = self.inner.keys.snapshot(name.as_str());
        let value = snapshot.encode(&key);
        self.put(key, value);
        self.begin_past();
        Ok(Kept::Snapshot(snapshot))
    }

    fn forget_snapshot(&mut self, name: &SnapshotName, needed: &Needed) -> Result<Kept, KeepError> {
        let mut others: Vec<u64> = needed.pins.iter().map(|(_, pin)| pin.sequence).collect();
        let mut found = None;
        for (taken, snapshot) in &needed.snapshots {
            if taken == name.as_str() {
                found = Some(snapshot.clone());
            } else {
                others.push(snapshot.sequence);
            }
        }
        let snapshot = found.ok_or(KeepError::Missing)?;
        self.delete(self.inner.keys.snapshot(name.as_str()));
        self.no_longer_needs(snapshot.sequence, &others);
        self.sweep_soon();
        Ok(Kept::Snapshot(snapshot))
    }

    fn retain(&mut self, retention: &Retention, needed: &Needed) {
        let expiring = self.inner.keys.expiring();
        match (retention.tombstones, &needed.expiring) {
            (Some(rule), before) => {
                let (now, up_to) = (self.now, 0);
                let since = before.as_ref().map_or(now, |before| before.since);
                let timeline = match before {
                    Some(before) => before.timeline,
                    None => Some(self.inner.timeline()),
                };
                let held_until = before.as_ref().map_or(since, |before| before.held_until);
                let value = Expiring { rule, since, up_to, timeline, held_until };
                let value = value.encode(&expiring);
                self.put(expiring, value);
            }
            (None, Some(_)) => self.delete(expiring),
            (None, None) => {}
        }
        let key = self.inner.keys.retention();
        let value = retention.encode(&key);
        self.put(key, value);
        self.begin_past();
        self.sweep_soon();
    }

    fn pin(&mut self, pin: &Pin, needed: &Needed) -> Result<Kept, KeepError> {
        if needed.pins.len() >= PINS_MAX {
            return Err(KeepError::TooManyPins { max: PINS_MAX });
        }
        self.check_kept(pin.sequence, needed)?;
        let number = needed.pins.last().map_or(1, |(newest, _)| newest + 1);
        self.put_pin(number, pin);
        self.begin_past();
        // So that somebody comes by when it has run out.
        self.history_added = true;
        Ok(Kept::Pin(number))
    }

    fn renew(
        &mut self,
        number: u64,
        expires: Timestamp,
        needed: &Needed,
    ) -> Result<Kept, KeepError> {
        let pin = needed.pins.iter().find(|(held, _)| *held == number);
        // One that has run out was taken away.
        let (_, pin) = pin.ok_or(KeepError::NotKept)?;
        self.put_pin(number, &Pin { expires, ..pin.clone() });
        Ok(Kept::Pin(number))
    }

    fn unpin(&mut self, number: u64, needed: &Needed) {
        let held = needed.pins.iter().find(|(held, _)| *held == number);
        let Some((_, pin)) = held else { return };
        let snapshots = needed.snapshots.iter().map(|(_, snapshot)| snapshot.sequence);
        let pins = needed.pins.iter().filter(|(other, _)| *other != number);
        let others: Vec<u64> = snapshots.chain(pins.map(|(_, pin)| pin.sequence)).collect();
        self.delete(self.inner.keys.pin(number));
        self.no_longer_needs(pin.sequence, &others);
        self.sweep_soon();
    }

    fn put_pin(&mut self, number: u64, pin: &Pin) {
        let key = self.inner.keys.pin(number);
        let value = pin.encode(&key);
        self.put(key, value);
    }

    /// A moment can be kept on only while it is.
    fn check_kept(&self, sequence: u64, needed: &Needed) -> Result<(), KeepError> {
        let is_kept =
            sequence >= self.state.history_floor || needed.points().any(|point| point == sequence);
        if is_kept { Ok(()) } else { Err(KeepError::NotKept) }
    }

    /// From here on it is known which times lie behind the floor of history.
    fn begin_past(&mut self) {
        let floor_time = self.now;
        self.state.past.get_or_insert_with(|| Past { floor_time, ..Past::default() });
    }

    /// Has rows looked at again that were kept for this sequence, and for none of the others.
    pub(super) fn no_longer_needs(&mut self, sequence: u64, others: &[u64]) {
        // What lies above the floor has not been looked at for the first time.
        if sequence >= self.state.history_floor || others.contains(&sequence) {
            return;
        }
        // A state that began at another one's moment or before, and lasted to this one, is kept for that one.
        let before = others.iter().copied().filter(|other| *other < sequence).max();
        if let Some(past) = &mut self.state.past {
            past.look_again(before.unwrap_or(0), sequence);
        }
    }

    /// Has somebody come by at once to let go of what nothing needs any more.
    fn sweep_soon(&mut self) {
        if self.state.sweep_due.micros() != 0 {
            self.delete(keys::sweep(self.state.sweep_due, self.inner.keys.number));
        }
        self.queue_sweep(self.now);
        self.wakes_sweeper = true;
    }
}
