//! Letting tombstones go: documents that were deleted long ago, of a database whose admins want that.
//!
//! A tombstone goes when its time has come *and* everybody has passed it who is known to need it: replications, by their
//! checkpoints among the local documents, as long as these are written now and then; indexes and other followers;
//! snapshots and pins; the floor of history. Then nobody has to be told, and it goes without a trace: no change, no
//! entry among the purges.
//!
//! The feed is the queue, as for letting history go. Tombstones stand in it in the order of their time, so whoever looks
//! for them goes on from where the last look ended, and stops at the first whose time has not come.

use std::{collections::HashSet, ops::Bound};

use settle_engine::{Direction, Plan, Scan, Step, Visit, Visitor};
use settle_model::{
    id::DocumentId,
    revision::RevId,
    sequence::{Sequence, Since, Timelines},
    time::Timestamp,
};

use super::{
    edit::Before,
    group::{Group, Slot, subtract},
};
use crate::{
    checkpoint,
    error::StorageError,
    keys::{self, Keys},
    limits::{COLLECT_LOOKS_MAX, COLLECT_ROWS_MAX, TOMBSTONES_LOOKED_AT_EVERY},
    past::moment::Needed,
    record::{change::ChangeView, expiring::Expiring, head::Head, local},
    scan::Failure,
};

impl Group<'_> {
    /// Plans one slice; whether there may be more to do at once.
    pub(super) async fn expire_tombstones(
        &mut self,
        needed: &Needed,
    ) -> Result<bool, StorageError> {
        let Some(expiring) = needed.expiring else { return Ok(false) };
        // What else this commit lets go of may be of the same documents.
        if !self.operations.is_empty() {
            return Ok(true);
        }
        let expiring = self.on_this_timeline(expiring);
        if self.now < expiring.held_until {
            self.tombstones_due = Some(expiring.held_until);
            return Ok(false);
        }
        let floor = self.state.history_floor;
        let mut found = self.find_tombstones(&expiring, floor).await?;
        let mut up_to = found.up_to.unwrap_or(floor).max(expiring.up_to);
        let mut more = found.full;
        if !found.due.is_empty() {
            let passed = self.passed(needed, &expiring).await?;
            if passed < up_to {
                found.due.retain(|it| it.sequence <= passed);
                (up_to, more) = (passed.max(expiring.up_to), false);
            }
        }
        for tombstone in found.due {
            self.expire(tombstone).await?;
        }
        if up_to > expiring.up_to {
            let key = self.inner.keys.expiring();
            let value = Expiring { up_to, ..expiring }.encode(&key);
            self.put(key, value);
        }
        self.tombstones_due = match found.next {
            _ if more => None,
            Some(next) if up_to >= found.up_to.unwrap_or(floor) => Some(next),
            None if up_to >= self.state.sequence => None,
            // Something has not passed them.
            Some(_) | None => Some(self.now.plus(TOMBSTONES_LOOKED_AT_EVERY)),
        };
        Ok(more)
    }

    /// On a new timeline, that of a copy or of a restored archive, nobody can tell which checkpoints are of an earlier one.
    /// So all stays until those would not count any more.
    fn on_this_timeline(&mut self, expiring: Expiring) -> Expiring {
        let present = self.inner.timeline();
        if expiring.timeline == Some(present) {
            return expiring;
        }
        let held_until = match expiring.timeline {
            Some(_) => self.now.plus(expiring.rule.checkpoints),
            None => expiring.held_until,
        };
        let expiring = Expiring { timeline: Some(present), held_until, ..expiring };
        let key = self.inner.keys.expiring();
        let value = expiring.encode(&key);
        self.put(key, value);
        expiring
    }

    async fn find_tombstones(
        &self,
        expiring: &Expiring,
        floor: u64,
    ) -> Result<Tombstones, StorageError> {
        let keys = self.inner.keys;
        let mut found = Tombstones {
            keys,
            kept: expiring.rule.kept,
            now: self.now,
            rows: 0,
            row: None,
            up_to: None,
            next: None,
            full: false,
            due: Vec::new(),
            failure: Failure::default(),
        };
        if expiring.up_to < floor {
            let range = Scan {
                start: Bound::Excluded(keys.change(expiring.up_to)),
                end: Bound::Included(keys.change(floor)),
                direction: Direction::Ascending,
            };
            let plan = Plan::new(vec![Step::Scan(range)]);
            found = self.inner.shared.engine.read_to_end(plan, found).await?;
            std::mem::take(&mut found.failure).check()?;
        }
        Ok(found)
    }

    /// Up to where everybody has come who is known to need tombstones.
    async fn passed(&self, needed: &Needed, expiring: &Expiring) -> Result<u64, StorageError> {
        let shared = &self.inner.shared;
        let followers = shared.followers.position(self.inner.keys.number).await?;
        let local =
            Scan::prefix(&self.inner.keys.family(keys::family::LOCAL), Direction::Ascending);
        let checkpoints = Checkpoints {
            timelines: self.inner.timelines().clone(),
            end: Sequence(self.state.sequence),
            counts_from: self.now.minus(expiring.rule.checkpoints),
            unknown: expiring.since,
            earliest: u64::MAX,
            failure: Failure::default(),
        };
        let plan = Plan::new(vec![Step::Scan(local)]);
        let checkpoints = shared.engine.read_to_end(plan, checkpoints).await?;
        checkpoints.failure.check()?;
        let points = needed.points().min().unwrap_or(u64::MAX);
        Ok(followers.min(points).min(checkpoints.earliest))
    }

    async fn expire(&mut self, tombstone: Tombstone) -> Result<(), StorageError> {
        let Tombstone { id, slot, .. } = tombstone;
        self.heads.insert(id.clone(), slot);
        self.expand(&id).await?;
        let head = self.head_mut(&id);
        let sequence = head.sequence;
        let before = Before::all(&head.tree);
        let revs: Vec<RevId> = head.tree.leaves().iter().map(|leaf| leaf.rev.clone()).collect();
        let gone = head.tree.purge(&revs);
        subtract(self.winners(true), 1);
        for leaf in &gone {
            self.purge_leaf(&id, leaf).await?;
        }
        let records = gone.iter().filter_map(|leaf| leaf.payload.place.record()).collect();
        self.erase_history(&id, &HashSet::new(), records, true).await?;
        self.remove_document(&id, sequence, &before);
        Ok(())
    }
}

/// A document that is deleted, as it is stored.
struct Tombstone {
    id: DocumentId,
    sequence: u64,
    slot: Slot,
}

/// Visits rows of the feed, those of tombstones followed by their heads, until one has to stay for a while.
struct Tombstones {
    keys: Keys,
    kept: std::time::Duration,
    now: Timestamp,
    rows: usize,
    /// The row whose head comes next.
    row: Option<(DocumentId, u64)>,
    /// Where the look ended early: no tombstone up to here but those found.
    up_to: Option<u64>,
    /// When the first may go that has to stay.
    next: Option<Timestamp>,
    full: bool,
    due: Vec<Tombstone>,
    failure: Failure,
}

impl Tombstones {
    fn look(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Visit, StorageError> {
        if let Some((id, sequence)) = self.row.take() {
            let lost =
                || StorageError::Inconsistent { reason: format!("{:?} has no head", id.as_str()) };
            let value = value.ok_or_else(lost)?;
            let head = Head::decode(key, value)?;
            let goes = head.updated.plus(self.kept);
            if goes > self.now {
                self.next = Some(goes);
                self.up_to = Some(sequence - 1);
                return Ok(Visit::Stop);
            }
            let bytes = (key.len() + value.len()) as u64;
            let slot = Slot { head: Some(head), bytes, taken_in: Vec::new(), in_conflict: false };
            self.due.push(Tombstone { id, sequence, slot });
            return Ok(self.go_on(sequence));
        }
        let sequence = keys::number_of(key).unwrap_or_default();
        let change = ChangeView::decode(key, value.unwrap_or_default())?;
        let winner = change.leaves().next().transpose()?;
        // A live branch wins over all deleted ones.
        let is_tombstone = winner.is_some_and(|(_, deleted)| deleted);
        if change.superseded_by.is_some() || !is_tombstone {
            return Ok(self.go_on(sequence));
        }
        let unreadable =
            || StorageError::Inconsistent { reason: format!("{:?} is no id", change.id) };
        let id: DocumentId = change.id.parse().map_err(|_| unreadable())?;
        let head = self.keys.head(&id);
        self.row = Some((id, sequence));
        Ok(Visit::Follow(head))
    }

    fn go_on(&mut self, sequence: u64) -> Visit {
        self.rows += 1;
        self.full = self.rows >= COLLECT_LOOKS_MAX || self.due.len() >= COLLECT_ROWS_MAX;
        if self.full {
            self.up_to = Some(sequence);
            return Visit::Stop;
        }
        Visit::Next
    }
}

impl Visitor for Tombstones {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(key, value).unwrap_or_else(|error| self.failure.stop(error))
    }
}

/// Local documents that are checkpoints of replications from here.
struct Checkpoints {
    timelines: Timelines,
    end: Sequence,
    /// Those that were written before do not count.
    counts_from: Timestamp,
    /// When those were written of which it is not known.
    unknown: Timestamp,
    earliest: u64,
    failure: Failure,
}

impl Checkpoints {
    fn look(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        let local = local::decode(key, value)?;
        if local.written.unwrap_or(self.unknown) >= self.counts_from
            && let Some(position) = self.position(local.json)
        {
            self.earliest = self.earliest.min(position.0);
        }
        Ok(())
    }

    /// Where a replication from here goes on. A sequence that was not counted here is that of another source: the
    /// database is the target.
    fn position(&self, json: &[u8]) -> Option<Sequence> {
        let since: Since = str::from_utf8(checkpoint::last_seq(json)?).ok()?.parse().ok()?;
        let Since::Token(token) = since else { return None };
        let counted_on = token.timeline?;
        let is_ours = self.timelines.starts().iter().any(|it| it.timeline == counted_on);
        is_ours.then(|| since.resolve_on(&self.timelines, self.end))
    }
}

impl Visitor for Checkpoints {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        match self.look(key, value.unwrap_or_default()) {
            Ok(()) => Visit::Next,
            Err(error) => self.failure.stop(error),
        }
    }
}
