//! Databases that come back from an archive: built beside the others, without a name, and put in their place in
//! one commit when they are whole.
//!
//! Until then nobody sees them. A row of the site says that they are there, so that what a crash leaves of them
//! is reclaimed at the next start; the database that was to be replaced is as it was.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use settle_access::{Administer, Grant, Read};
use settle_engine::{Batch, Direction, Expected, Outcome, Plan, Scan, Step, Visit, Visitor};
use settle_model::{
    id::{DatabaseName, LocalId},
    sequence::{Sequence, Timeline},
    time::Timestamp,
};
use thiserror::Error;

use crate::{
    Database, Point, PurgeEntry,
    error::StorageError,
    keys::{self, Keys},
    limits::{
        self, CLASHES_MAX, GRACE_MAX, LOCAL_BODY_BYTES_MAX, RETENTION_DEFAULT, RETENTION_MAX,
        RETENTION_MIN, SECURITY_BYTES_MAX, SEQUENCE_MAX, TIMELINES_MAX,
    },
    read::whole::Facts,
    record::{
        expiring::Expiring,
        idempotency::encode_retention,
        live::{Live, TimelineStart},
        local,
        site::{EventKind, encode_mark, encode_name, encode_reclaim, encode_restore},
        state::{Past, Sizes, State},
    },
    store::{Shared, Store, failed, read_live},
    writer::{RestoreRefusal, RestoredDocument},
};

/// A database that is being restored. Dropped before it is put in its place, it goes.
#[derive(Debug)]
pub struct Restoring {
    shared: Arc<Shared>,
    database: Database,
    is_placed: bool,
}

#[derive(Debug, Error)]
pub enum RestoreError {
    #[error(transparent)]
    Refused(#[from] RestoreRefusal),
    #[error("the local document {id} has {bytes} bytes, more than the {max} allowed")]
    LocalTooLarge { id: LocalId, bytes: usize, max: usize },
    #[error("the security object has {bytes} bytes, more than the {max} allowed")]
    SecurityTooLarge { bytes: usize, max: usize },
    #[error("a sequence or a limit of the archive is out of its range")]
    Facts,
    #[error("the database to be replaced is no longer there")]
    Replaced,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Store {
    /// Begins a database that will be called `name`, if it is put in its place. The grant is for the database that
    /// it may take the place of.
    pub async fn begin_restore(
        &self,
        grant: &Grant<Administer>,
        instead_of: &Database,
    ) -> Result<Restoring, StorageError> {
        instead_of.inner.check(grant);
        let (shared, name) = (&self.shared, instead_of.name());
        let number = shared.numbers.next(shared).await?;
        let keys = Keys { number };
        let now = shared.clock.now();
        let live = empty(shared, name, now);
        let state = State { sizes: Sizes::nothing(), nonce: shared.nonce(), ..State::default() };
        let (live_key, state_key, row) = (keys.live(), keys.state(), keys::restore(number));
        let mut batch = Batch::default();
        batch.require(live_key.clone(), Expected::Absent);
        batch.put(live_key.clone(), live.encode(&live_key));
        batch.put(state_key.clone(), state.encode(&state_key));
        batch.put(row.clone(), encode_restore(&row, now, name.as_str()));
        match shared.engine.commit(batch).await {
            Outcome::Committed => {}
            outcome @ (Outcome::Refused { .. }
            | Outcome::NotApplied { .. }
            | Outcome::Unknown { .. }) => return Err(failed(outcome)),
        }
        let database = Database::new(shared, name.clone(), keys, live, &state);
        Ok(Restoring { shared: shared.clone(), database, is_placed: false })
    }
}

/// Without a limit of revisions, so that nothing of what comes back is stemmed.
fn empty(shared: &Shared, name: &DatabaseName, now: Timestamp) -> Live {
    Live {
        name: name.as_str().to_owned(),
        created: now,
        timelines: vec![TimelineStart { timeline: fresh_timeline(shared), above: 0 }],
        revs_limit: u32::MAX,
        purged_infos_limit: limits::PURGED_INFOS_LIMIT_DEFAULT,
        grace: shared.settings.grace,
        partitioned: false,
        design_epoch: 0,
        security_epoch: 0,
        security: Vec::new(),
    }
}

fn fresh_timeline(shared: &Shared) -> Timeline {
    let mut timeline = [0; 8];
    shared.entropy.fill(&mut timeline);
    Timeline(timeline)
}

impl Restoring {
    /// The database as far as it is there, for whoever compares.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Reads it as an archive is read.
    pub async fn point(&self) -> Result<Point, StorageError> {
        self.database.unheld_point().await
    }

    /// To read what has been restored.
    pub fn reader(&self) -> Grant<Read> {
        Grant::internal(self.database.resource(), "what is being restored is compared")
    }

    /// Takes documents back, in the order of their sequences; all of them in one commit.
    pub async fn put_documents(
        &self,
        documents: Vec<RestoredDocument>,
        purges: Vec<PurgeEntry>,
    ) -> Result<(), RestoreError> {
        Ok(self.database.inner.clone().restore(documents, purges).await??)
    }

    /// Takes local documents back, with the revisions that they had.
    pub async fn put_locals(&self, locals: &[(LocalId, u64, Bytes)]) -> Result<(), RestoreError> {
        let (keys, now) = (self.database.inner.keys, self.shared.clock.now());
        let mut batch = Batch::default();
        batch.require(keys.live(), Expected::Present);
        for (id, revision, body) in locals {
            if body.len() > LOCAL_BODY_BYTES_MAX {
                let (id, bytes, max) = (id.clone(), body.len(), LOCAL_BODY_BYTES_MAX);
                return Err(RestoreError::LocalTooLarge { id, bytes, max });
            }
            let key = keys.local(id);
            batch.put(key.clone(), local::encode(&key, *revision, now, body));
        }
        match self.shared.engine.commit(batch).await {
            Outcome::Committed => Ok(()),
            outcome @ (Outcome::Refused { .. }
            | Outcome::NotApplied { .. }
            | Outcome::Unknown { .. }) => Err(failed(outcome).into()),
        }
    }

    /// Puts it in the place of `instead_of`, which is gone for all who hold it. It has a new timeline, whose
    /// sequences lie above all that the one before it and the archive's have handed out.
    pub async fn place(
        mut self,
        instead_of: &Database,
        facts: &Facts,
    ) -> Result<Database, RestoreError> {
        if facts.security.len() > SECURITY_BYTES_MAX {
            let (bytes, max) = (facts.security.len(), SECURITY_BYTES_MAX);
            return Err(RestoreError::SecurityTooLarge { bytes, max });
        }
        if !are_sound(facts) || self.database_sequence().await? > facts.sequence {
            return Err(RestoreError::Facts);
        }
        let timeline = fresh_timeline(&self.shared);
        for _ in 0..CLASHES_MAX {
            if let Some(placed) = self.try_place(instead_of, facts, timeline).await? {
                return Ok(placed);
            }
        }
        Err(StorageError::Contended.into())
    }

    async fn database_sequence(&self) -> Result<u64, StorageError> {
        let records = records(&self.shared, self.database.inner.keys).await?;
        Ok(records.ok_or(StorageError::Gone)?.1.sequence)
    }

    /// One attempt; `None` if the other database has changed meanwhile.
    async fn try_place(
        &mut self,
        instead_of: &Database,
        facts: &Facts,
        timeline: Timeline,
    ) -> Result<Option<Database>, RestoreError> {
        let shared = self.shared.clone();
        let (name, old) = (instead_of.name(), instead_of.inner.keys);
        let mine = self.database.inner.keys;
        let (old_live, old_state) = records(&shared, old).await?.ok_or(RestoreError::Replaced)?;
        let (live, state) = records(&shared, mine).await?.ok_or(StorageError::Gone)?;
        let above = state.sequence.max(facts.sequence).max(old_state.sequence);
        let new_live = placed_live(&shared, name, &live, &old_live, facts, (timeline, above));
        let now = shared.clock.now();
        let lets_go = facts.retention.tombstones.is_some();
        let new_state = State {
            sequence: above,
            purge_sequence: facts.purge_sequence.max(state.purge_sequence),
            // What there was before is not known.
            history_floor: above,
            past: keeps_past(facts).then_some(Past { floor_time: now, ..Past::default() }),
            sweep_due: if lets_go { now } else { state.sweep_due },
            nonce: shared.nonce(),
            ..state.clone()
        };

        let name_key = keys::name(name.as_str());
        let mut batch = Batch::default();
        let entry = encode_name(&name_key, old.number);
        batch.require(name_key.clone(), Expected::Equals(entry));
        batch.require(old.live(), Expected::Equals(old_live.encode(&old.live())));
        batch.require(old.state(), Expected::Equals(old_state.encode(&old.state())));
        batch.require(mine.live(), Expected::Equals(live.encode(&mine.live())));
        batch.require(mine.state(), Expected::Equals(state.encode(&mine.state())));
        batch.put(name_key.clone(), encode_name(&name_key, mine.number));
        batch.put(mine.live(), new_live.encode(&mine.live()));
        batch.put(mine.state(), new_state.encode(&mine.state()));
        self.put_settings(facts, &mut batch);
        batch.delete(keys::restore(mine.number));
        batch.delete(old.live());
        let reclaim = keys::reclaim(old.number);
        batch.put(reclaim.clone(), encode_reclaim(&reclaim, shared.clock.now()));
        match shared.engine.commit(batch).await {
            Outcome::Committed => {}
            Outcome::Refused { .. } => return Ok(None),
            outcome @ Outcome::NotApplied { .. } => return Err(failed(outcome).into()),
            outcome @ Outcome::Unknown { .. } => {
                // It may be there: what is built is then not taken away.
                self.is_placed = true;
                if !matches!(read_live(&*shared.engine, old).await, Ok(None)) {
                    return Err(failed(outcome).into());
                }
            }
        }
        self.is_placed = true;
        shared.replaced(name, old, mine, above);
        if lets_go {
            shared.sweep.wake();
        }
        let placed = Store { shared: shared.clone() }.find(name).await?;
        Ok(Some(placed.unwrap_or_else(|| {
            // It was there, and somebody has dropped it already.
            let gone = Database::new(&shared, name.clone(), mine, new_live, &new_state);
            gone.mark_dropped();
            gone
        })))
    }
}

impl Restoring {
    /// What its admins had said of the past and of outcomes.
    fn put_settings(&self, facts: &Facts, batch: &mut Batch) {
        let (keys, now) = (self.database.inner.keys, self.shared.clock.now());
        if keeps_past(facts) {
            let key = keys.retention();
            batch.put(key.clone(), facts.retention.encode(&key));
        }
        if let Some(rule) = facts.retention.tombstones {
            let key = keys.expiring();
            // The first look finds another one, and holds what there is.
            let timeline = Some(self.database.inner.timeline());
            let expiring = Expiring { rule, since: now, up_to: 0, timeline, held_until: now };
            batch.put(key.clone(), expiring.encode(&key));
            let row = keys::sweep(now, keys.number);
            batch.put(row.clone(), encode_mark(&row));
        }
        if facts.outcomes != RETENTION_DEFAULT {
            let key = keys.outcomes();
            let outcomes = facts.outcomes.clamp(RETENTION_MIN, RETENTION_MAX);
            batch.put(key.clone(), encode_retention(&key, outcomes));
        }
    }
}

/// Whether somebody wants to have its past for longer than the grace.
fn keeps_past(facts: &Facts) -> bool {
    !facts.retention.window.is_zero() || facts.retention.append_only.is_some()
}

fn are_sound(facts: &Facts) -> bool {
    let rises = |pair: &[settle_model::sequence::TimelineStart]| pair[0].above <= pair[1].above;
    facts.revs_limit > 0
        && facts.purged_infos_limit > 0
        && facts.timelines.windows(2).all(rises)
        && facts.timelines.last().is_some_and(|last| last.above <= Sequence(facts.sequence))
        && facts.sequence <= SEQUENCE_MAX
        && facts.purge_sequence <= SEQUENCE_MAX
}

/// The live record of a database that takes another's place.
fn placed_live(
    shared: &Shared,
    name: &DatabaseName,
    live: &Live,
    old: &Live,
    facts: &Facts,
    (timeline, above): (Timeline, u64),
) -> Live {
    let mut timelines: Vec<TimelineStart> = facts
        .timelines
        .iter()
        .map(|start| TimelineStart {
            timeline: shared.timeline(start.timeline),
            above: start.above.0,
        })
        .collect();
    timelines.push(TimelineStart { timeline, above });
    let forgotten = timelines.len().saturating_sub(TIMELINES_MAX);
    timelines.drain(..forgotten);
    Live {
        name: name.as_str().to_owned(),
        // Another instance: a replication that is under way must not go on as if nothing had happened.
        created: shared.clock.now().max(old.created.plus(Duration::from_secs(1))),
        timelines,
        revs_limit: facts.revs_limit,
        purged_infos_limit: facts.purged_infos_limit,
        grace: facts.grace.min(GRACE_MAX),
        partitioned: facts.partitioned,
        design_epoch: live.design_epoch,
        security_epoch: live.security_epoch + 1,
        security: facts.security.to_vec(),
    }
}

impl Shared {
    /// Tells all who hold the one database, or follow what happens, that another has its name.
    fn replaced(&self, name: &DatabaseName, old: Keys, new: Keys, sequence: u64) {
        if let Some(database) = self.handles.remove(name, old.number) {
            database.mark_dropped();
        }
        self.events.note(EventKind::Deleted, old.number, name, 0);
        self.events.note(EventKind::Created, new.number, name, sequence);
        self.tell_changed(old.number, name, None);
        self.tell_changed(new.number, name, Some(sequence));
        self.reclaim.wake();
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        if self.is_placed {
            return;
        }
        self.database.mark_dropped();
        let (shared, number) = (self.shared.clone(), self.database.number());
        self.shared.tasks.spawn(async move {
            if let Err(error) = give_up(&shared, number).await {
                tracing::warn!(database = number, %error, "what a restore left stays until the next start");
            }
        });
    }
}

/// Gives back what restores left that did not come to their end.
pub(super) async fn give_up_all(shared: &Shared) -> Result<(), StorageError> {
    let scan = Scan::prefix(&keys::restores(), Direction::Ascending);
    let plan = Plan::new(vec![Step::Scan(scan)]);
    let left = shared.engine.read_to_end(plan, Numbers(Vec::new())).await?.0;
    for number in left {
        give_up(shared, number).await?;
    }
    Ok(())
}

async fn give_up(shared: &Shared, number: u64) -> Result<(), StorageError> {
    let (row, reclaim) = (keys::restore(number), keys::reclaim(number));
    let mut batch = Batch::default();
    batch.require(row.clone(), Expected::Present);
    batch.delete(row);
    batch.delete(Keys { number }.live());
    batch.put(reclaim.clone(), encode_reclaim(&reclaim, shared.clock.now()));
    match shared.engine.commit(batch).await {
        Outcome::Committed => {
            shared.reclaim.wake();
            Ok(())
        }
        // It has been put in its place, or given up by somebody else.
        Outcome::Refused { .. } => Ok(()),
        outcome @ (Outcome::NotApplied { .. } | Outcome::Unknown { .. }) => Err(failed(outcome)),
    }
}

async fn records(shared: &Shared, keys: Keys) -> Result<Option<(Live, State)>, StorageError> {
    let Some(live) = read_live(&*shared.engine, keys).await? else { return Ok(None) };
    let key = keys.state();
    let Some(state) = shared.engine.get(key.clone()).await? else { return Ok(None) };
    Ok(Some((live, State::decode(&key, &state)?)))
}

struct Numbers(Vec<u64>);

impl Visitor for Numbers {
    fn visit(&mut self, _: usize, key: &[u8], _: Option<&[u8]>) -> Visit {
        self.0.extend(keys::restore_database(key));
        Visit::Next
    }
}
