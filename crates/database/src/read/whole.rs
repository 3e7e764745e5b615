//! Documents whole: with every leaf and all that is remembered of its ancestry, as they were at one moment.
//!
//! What an archive is made of. A [`Point`] holds its moment by a pin, however long the reading takes; the engine is
//! asked in slices, and nothing is held there between two of them. Documents that have not changed since are read in
//! the order of the feed, head and bodies in one view; what others were is looked up as in any read of the past.
//!
//! A document that is purged meanwhile is erased here too: it is left out, or its leaves are.

use std::{ops::Bound, time::Duration};

use bytes::Bytes;
use settle_access::{Administer, Grant, Read};
use settle_engine::{Direction, Plan, Progress, Scan, Step, Visit, Visitor};
use settle_model::{
    id::DocumentId,
    revision::{RevId, RevPath},
    sequence::{SequenceToken, TimelineStart},
    time::Timestamp,
};
use thiserror::Error;

use super::content;
use crate::{
    Database,
    database::{HeldMoment, Inner},
    error::StorageError,
    keys::{self, Keys},
    limits::{CLASHES_MAX, WHOLE_BYTES_MAX, WHOLE_DOCUMENTS_MAX, WHOLE_ELSEWHERE_BYTES},
    past::{
        documents::{Bodies, BodyThen, Portion, Then},
        moment::{Moment, PastError},
    },
    record::{
        body::{Attachment, decode_record},
        change::ChangeView,
        head::{BodyPlace, Head},
        live::Live,
        purge::Purge,
        retention::Retention,
        state::State,
    },
    revision::Times,
    scan::{ChangeFilter, ChangeRow, ChangeScan, Failure, More, Next, Sink},
    writer::keep::KeepError,
};

/// A document with all its leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeDocument {
    pub id: DocumentId,
    /// That of its newest change.
    pub sequence: u64,
    pub times: Times,
    /// Winner first, never none.
    pub leaves: Vec<WholeLeaf>,
}

/// A leaf with its ancestry and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeLeaf {
    /// The leaf and its ancestors, newest first, as far as they are remembered.
    pub path: RevPath,
    pub deleted: bool,
    /// The JSON object without special members.
    pub body: Bytes,
    /// In the order of the document.
    pub attachments: Vec<Attachment>,
}

impl WholeDocument {
    /// A document is deleted when its winner is.
    pub fn deleted(&self) -> bool {
        self.leaves.first().is_none_or(|leaf| leaf.deleted)
    }
}

/// What a database is besides its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub name: String,
    pub created: Timestamp,
    pub sequence: u64,
    pub purge_sequence: u64,
    /// Documents whose winner is live, and those whose winner is a tombstone.
    pub doc_count: u64,
    pub deleted_count: u64,
    /// The present one last.
    pub timelines: Vec<TimelineStart>,
    pub partitioned: bool,
    pub revs_limit: u32,
    pub purged_infos_limit: u32,
    pub grace: Duration,
    /// The security object as it was sent; empty when it never was.
    pub security: Bytes,
    pub retention: Retention,
    /// How long outcomes of transactions are remembered.
    pub outcomes: Duration,
}

/// A purge that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeEntry {
    pub sequence: u64,
    pub id: String,
    pub revs: Vec<RevId>,
}

/// A database as it was at one moment, which is held until this is dropped.
#[derive(Debug)]
pub struct Point {
    database: Database,
    facts: Facts,
    moment: Moment,
    /// `None` where nobody lets anything go, and when it has been let go of.
    held: Option<HeldMoment>,
}

/// Why a moment of a database cannot be read at leisure.
#[derive(Debug, Error)]
pub enum PointError {
    #[error(transparent)]
    Past(#[from] PastError),
    #[error(transparent)]
    Keep(#[from] KeepError),
}

impl From<StorageError> for PointError {
    fn from(error: StorageError) -> Self {
        Self::Past(error.into())
    }
}

impl Database {
    /// A moment that can be read at leisure on behalf of `holder`; `None` for the present. Whatever is not part of a
    /// moment, such as settings and the security object, is as it is now.
    pub async fn point(
        &self,
        grant: &Grant<Administer>,
        moment: Option<Moment>,
        holder: &str,
    ) -> Result<Point, PointError> {
        self.inner.check(grant);
        let read = grant.internally::<Read>("a moment is read whole");
        let Some(moment) = moment else { return self.present_point(&read, holder).await };
        let held = Some(self.hold(&read, moment, holder).await?);
        let mut facts = self.facts().await?;
        facts.sequence = moment.sequence();
        facts.timelines.retain(|start| start.above.0 <= moment.sequence());
        let mut point = Point { database: self.clone(), facts, moment, held };
        (point.facts.doc_count, point.facts.deleted_count) = point.count(&read).await?;
        Ok(point)
    }

    async fn present_point(&self, read: &Grant<Read>, holder: &str) -> Result<Point, PointError> {
        for _ in 0..CLASHES_MAX {
            let facts = self.facts().await?;
            match self.hold(read, Moment(facts.sequence), holder).await {
                Ok(held) => {
                    let moment = held.moment;
                    return Ok(Point { database: self.clone(), facts, moment, held: Some(held) });
                }
                // It was written to and compacted in between.
                Err(KeepError::NotKept) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StorageError::Contended.into())
    }

    /// The present of a database that nobody else knows of, so that it need not be held.
    pub(crate) async fn unheld_point(&self) -> Result<Point, StorageError> {
        let facts = self.facts().await?;
        let moment = Moment(facts.sequence);
        Ok(Point { database: self.clone(), facts, moment, held: None })
    }

    /// What the database is besides its documents: what its documents change and its settings are of one view each.
    async fn facts(&self) -> Result<Facts, StorageError> {
        let inner = &self.inner;
        let retention = inner.needed().await?.retention;
        let outcomes = inner.outcome_retention().await?;
        let plan = Plan::new(vec![Step::Get(inner.keys.live()), Step::Get(inner.keys.state())]);
        let found = inner.shared.engine.read_to_end(plan, Records::default()).await?;
        let [Some(live), Some(state)] = found.0 else { return Err(StorageError::Gone) };
        let live = Live::decode(&inner.keys.live(), &live)?;
        let state = State::decode(&inner.keys.state(), &state)?;
        Ok(Facts {
            created: live.created,
            sequence: state.sequence,
            purge_sequence: state.purge_sequence,
            doc_count: state.doc_count,
            deleted_count: state.deleted_count,
            timelines: self.timelines().starts().to_vec(),
            partitioned: live.partitioned,
            revs_limit: live.revs_limit,
            purged_infos_limit: live.purged_infos_limit,
            grace: live.grace,
            name: live.name,
            security: live.security.into(),
            retention,
            outcomes,
        })
    }

    /// A document with all its leaves as it is; `None` if it is not there.
    pub async fn whole(
        &self,
        grant: &Grant<Read>,
        id: &DocumentId,
    ) -> Result<Option<WholeDocument>, PastError> {
        self.inner.check(grant);
        let ids = [id.as_str().to_owned()];
        let found = self.inner.then(&ids, Moment::PRESENT, Bodies::All).await?;
        match found.into_iter().next().flatten() {
            Some(then) => Ok(Some(self.inner.whole_of(then).await?)),
            None => Ok(None),
        }
    }
}

impl Inner {
    async fn whole_of(&self, then: Then) -> Result<WholeDocument, StorageError> {
        let id = parse(&then.id)?;
        let revs: Vec<RevId> = then.leaves.iter().map(|leaf| leaf.rev.clone()).collect();
        // Of a leaf that has been stemmed since, the ancestry is not known any more.
        let paths = self.paths(&id, &revs).await?;
        let mut leaves = Vec::with_capacity(paths.len());
        for (leaf, path) in then.leaves.into_iter().zip(paths) {
            let BodyThen::Here(payload) = leaf.body else { return Err(lost(id.as_str())) };
            let (attachments, body) = content(payload)?;
            leaves.push(WholeLeaf { path, deleted: leaf.deleted, body, attachments });
        }
        Ok(WholeDocument { id, sequence: then.sequence, times: then.times, leaves })
    }
}

impl Point {
    pub fn database(&self) -> &Database {
        &self.database
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The sequence as clients see it.
    pub fn token(&self) -> SequenceToken {
        self.database.token(self.facts.sequence)
    }

    /// Says that the moment is still needed. To be called now and then; most calls cost nothing.
    pub async fn renew_when_due(&mut self) -> Result<(), KeepError> {
        match &mut self.held {
            Some(held) => held.renew_when_due().await,
            None => Ok(()),
        }
    }

    /// Lets go of the moment. Without this that is done in the background.
    pub async fn release(mut self) -> Result<(), KeepError> {
        match self.held.take() {
            Some(held) => held.release().await,
            None => Ok(()),
        }
    }

    /// How many documents there were, and how many tombstones.
    async fn count(&self, read: &Grant<Read>) -> Result<(u64, u64), PastError> {
        let mut scan = ChangeScan {
            since: 0,
            until: self.moment.sequence(),
            direction: Direction::Ascending,
            content: false,
            times: false,
            only: ChangeFilter::All,
        };
        self.database.inner.check(read);
        let mut counts = Counts::default();
        loop {
            let next;
            let whole = (&scan, Portion::WHOLE);
            (counts, next) = self.database.scan_some_changes_at(self.moment, whole, counts).await?;
            match next {
                Next::Done => return Ok((counts.live, counts.deleted)),
                Next::Go(cursor) => scan.since = cursor.at,
            }
        }
    }

    /// The next documents in the order of their newest changes, behind the change `since`; 0 for the first.
    pub async fn documents(
        &self,
        since: u64,
    ) -> Result<(Vec<WholeDocument>, Next<u64>), PastError> {
        let inner = &self.database.inner;
        let (keys, at) = (inner.keys, self.moment.sequence());
        if since >= at {
            return Ok((Vec::new(), Next::Done));
        }
        let rows = Scan {
            start: Bound::Excluded(keys.change(since)),
            end: Bound::Included(keys.change(at)),
            direction: Direction::Ascending,
        };
        let visitor = Reading {
            keys,
            at,
            stage: Stage::Change,
            row: since,
            found: Vec::new(),
            bytes: 0,
            failure: Failure::default(),
        };
        let plan = Plan::new(vec![Step::Scan(rows)]);
        let (visitor, progress) =
            inner.shared.engine.read(plan, visitor).await.map_err(StorageError::from)?;
        inner.check_alive()?;
        visitor.failure.check()?;
        let next = match progress {
            Progress::Done => Next::Done,
            Progress::Paused(resume) => {
                Next::Go(resume.after().and_then(keys::number_of).unwrap_or(since))
            }
        };
        self.complete(visitor.found, next).await
    }

    /// Looks up what is not in the slice itself, as much as a slice has: from the first document that is left out, the
    /// feed is read again.
    async fn complete(
        &self,
        found: Vec<Found>,
        next: Next<u64>,
    ) -> Result<(Vec<WholeDocument>, Next<u64>), PastError> {
        let inner = &self.database.inner;
        let elsewhere: Vec<String> = found.iter().filter_map(Found::elsewhere).collect();
        let mut looked_up = if elsewhere.is_empty() {
            inner.check_moment(self.moment).await?;
            Vec::new()
        } else {
            let portion = Portion { rows: elsewhere.len(), bytes: WHOLE_BYTES_MAX };
            inner.then_some(&elsewhere, self.moment, Bodies::All, portion).await?
        }
        .into_iter();
        let mut documents = Vec::with_capacity(found.len());
        for found in found {
            match found {
                Found::Whole(document) => documents.push(document),
                Found::Elsewhere { row, .. } => match looked_up.next() {
                    Some(Some(then)) => documents.push(inner.whole_of(then).await?),
                    // It has been erased.
                    Some(None) => {}
                    None => return Ok((documents, Next::Go(row - 1))),
                },
            }
        }
        Ok((documents, next))
    }

    /// The purges that are remembered and came before the point was made, oldest first.
    pub async fn purges(&self, after: u64) -> Result<Vec<PurgeEntry>, StorageError> {
        let inner = &self.database.inner;
        let scan = Scan {
            start: Bound::Excluded(inner.keys.purge(after)),
            end: Bound::Included(inner.keys.purge(self.facts.purge_sequence)),
            direction: Direction::Ascending,
        };
        let purges = Purges { found: Vec::new(), failure: Failure::default() };
        let purges = if after < self.facts.purge_sequence {
            inner.shared.engine.read(Plan::new(vec![Step::Scan(scan)]), purges).await?.0
        } else {
            purges
        };
        inner.check_alive()?;
        purges.failure.check()?;
        Ok(purges.found)
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        self.database.inner.shared.tasks.spawn(async move {
            // If this fails, it runs out.
            drop(held.release().await);
        });
    }
}

fn parse(id: &str) -> Result<DocumentId, StorageError> {
    id.parse().map_err(|_| StorageError::Inconsistent { reason: format!("{id:?} is no id") })
}

/// Two records, in the order of the steps.
#[derive(Default)]
struct Records([Option<Vec<u8>>; 2]);

impl Visitor for Records {
    fn visit(&mut self, step: usize, _: &[u8], value: Option<&[u8]>) -> Visit {
        self.0[step] = value.map(<[u8]>::to_vec);
        Visit::Next
    }
}

/// Documents and tombstones.
#[derive(Default)]
struct Counts {
    live: u64,
    deleted: u64,
}

impl Sink<ChangeRow<'_>> for Counts {
    fn row(&mut self, row: &ChangeRow<'_>) -> More {
        let is_deleted = row.leaves.first().is_none_or(|(_, deleted)| *deleted);
        *if is_deleted { &mut self.deleted } else { &mut self.live } += 1;
        More::Yes
    }
}

struct Purges {
    found: Vec<PurgeEntry>,
    failure: Failure,
}

impl Visitor for Purges {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        match Purge::decode(key, value.unwrap_or_default()) {
            Ok(Purge { id, revs }) => {
                let sequence = keys::number_of(key).unwrap_or_default();
                self.found.push(PurgeEntry { sequence, id, revs });
                if self.found.len() < WHOLE_DOCUMENTS_MAX { Visit::Next } else { Visit::Stop }
            }
            Err(error) => self.failure.stop(error),
        }
    }
}

/// One slice: rows of the feed, and behind each the document's head and bodies in the same view.
struct Reading {
    keys: Keys,
    at: u64,
    stage: Stage,
    /// The number of the row that is read.
    row: u64,
    found: Vec<Found>,
    bytes: usize,
    failure: Failure,
}

enum Found {
    Whole(WholeDocument),
    /// The document has moved on, or part of its ancestry is elsewhere: it is read by itself.
    Elsewhere {
        id: String,
        row: u64,
    },
}

impl Found {
    fn elsewhere(&self) -> Option<String> {
        match self {
            Self::Whole(_) => None,
            Self::Elsewhere { id, .. } => Some(id.clone()),
        }
    }
}

/// What is visited next.
enum Stage {
    Change,
    Head(String),
    Body(Box<Begun>),
}

/// A document of which some leaves are still missing.
struct Begun {
    id: String,
    head: Head,
    leaves: Vec<WholeLeaf>,
}

impl Reading {
    fn look(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Visit, StorageError> {
        match std::mem::replace(&mut self.stage, Stage::Change) {
            Stage::Change => self.change(key, value.unwrap_or_default()),
            Stage::Head(id) => {
                let head = Head::decode(key, value.ok_or_else(|| lost(&id))?)?;
                if head.tree.cuts().next().is_some() {
                    return Ok(self.elsewhere(id));
                }
                self.go_on(Box::new(Begun { id, head, leaves: Vec::new() }))
            }
            Stage::Body(mut begun) => {
                let payload = decode_record(key, value.ok_or_else(|| lost(&begun.id))?)?;
                begun.take(Bytes::copy_from_slice(payload))?;
                self.go_on(begun)
            }
        }
    }

    fn change(&mut self, key: &[u8], value: &[u8]) -> Result<Visit, StorageError> {
        let change = ChangeView::decode(key, value)?;
        self.row = keys::number_of(key).ok_or_else(|| lost(change.id))?;
        match change.superseded_by {
            Some(by) if by <= self.at => Ok(Visit::Next),
            Some(_) => Ok(self.elsewhere(change.id.to_owned())),
            None if change.purge && change.leaf_count == 0 => Ok(Visit::Next),
            None => {
                self.stage = Stage::Head(change.id.to_owned());
                Ok(Visit::Follow(self.keys.head_at(change.id)))
            }
        }
    }

    /// Takes what stands in the head, and asks for what does not.
    fn go_on(&mut self, mut begun: Box<Begun>) -> Result<Visit, StorageError> {
        while let Some(leaf) = begun.head.tree.leaves().get(begun.leaves.len()) {
            match &leaf.payload.place {
                BodyPlace::Inline(payload) => {
                    let payload = Bytes::copy_from_slice(payload);
                    begun.take(payload)?;
                }
                BodyPlace::Record { number, .. } => {
                    let body = self.keys.body(*number);
                    self.stage = Stage::Body(begun);
                    return Ok(Visit::Follow(body));
                }
            }
        }
        let Begun { id, head, leaves } = *begun;
        let bytes = leaves.iter().map(|leaf| leaf.body.len()).sum();
        let times = Times { created: head.created, updated: head.updated };
        let whole = WholeDocument { id: parse(&id)?, sequence: head.sequence, times, leaves };
        Ok(self.add(Found::Whole(whole), bytes))
    }

    fn elsewhere(&mut self, id: String) -> Visit {
        self.add(Found::Elsewhere { id, row: self.row }, WHOLE_ELSEWHERE_BYTES)
    }

    fn add(&mut self, found: Found, bytes: usize) -> Visit {
        self.found.push(found);
        self.bytes += bytes;
        let is_full = self.found.len() >= WHOLE_DOCUMENTS_MAX || self.bytes >= WHOLE_BYTES_MAX;
        if is_full { Visit::Pause } else { Visit::Next }
    }
}

impl Begun {
    /// The content of the next leaf.
    fn take(&mut self, payload: Bytes) -> Result<(), StorageError> {
        let leaf = &self.head.tree.leaves()[self.leaves.len()];
        let path = self.head.tree.path(&leaf.rev);
        let path = path.unwrap_or_else(|| RevPath::single(leaf.rev.clone()));
        let (attachments, body) = content(payload)?;
        self.leaves.push(WholeLeaf { path, deleted: leaf.deleted, body, attachments });
        Ok(())
    }
}

fn lost(id: &str) -> StorageError {
    StorageError::Inconsistent { reason: format!("a record of {id:?} is gone") }
}

impl Visitor for Reading {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(key, value).unwrap_or_else(|error| self.failure.stop(error))
    }
}
