//! Documents whole: with every leaf and all that is remembered of its ancestry, as they were at one sequence.
//!
//! What an archive is made of. A [`Point`] keeps the past from its sequence on, so that a document that has
//! been updated since is found as it was, however long the reading takes; the engine is asked in slices, and
//! nothing is held there between two of them.
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

use super::{Begun as _, again, content};
use crate::{
    Database,
    database::Hold,
    error::StorageError,
    keys::{self, Keys},
    limits::{WHOLE_BYTES_MAX, WHOLE_DOCUMENTS_MAX},
    record::{
        body::{Attachment, decode_record},
        change::ChangeView,
        head::{BodyPlace, Head},
        history::{History, PastLeaf},
        live::Live,
        purge::Purge,
        state::State,
    },
    revision::Times,
    scan::{Failure, Next},
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
}

/// A purge that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeEntry {
    pub sequence: u64,
    pub id: String,
    pub revs: Vec<RevId>,
}

/// A database as it was at one sequence, for as long as this is kept.
#[derive(Debug)]
pub struct Point {
    database: Database,
    facts: Facts,
    _hold: Hold,
}

impl Database {
    /// The present, as a point that can be read at leisure.
    pub async fn point(&self, grant: &Grant<Administer>) -> Result<Point, StorageError> {
        self.inner.check(grant);
        let inner = &self.inner;
        // Held before it is read, so nothing that was replaced after that is collected.
        let hold = Hold::new(&inner.holds, self.sequence());
        let plan = Plan::new(vec![Step::Get(inner.keys.live()), Step::Get(inner.keys.state())]);
        let found = inner.shared.engine.read_to_end(plan, Records::default()).await?;
        let [Some(live), Some(state)] = found.0 else { return Err(StorageError::Gone) };
        let live = Live::decode(&inner.keys.live(), &live)?;
        let state = State::decode(&inner.keys.state(), &state)?;
        let facts = self.facts(live, &state);
        Ok(Point { database: self.clone(), facts, _hold: hold })
    }

    fn facts(&self, live: Live, state: &State) -> Facts {
        Facts {
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
        }
    }

    /// A document with all its leaves as it is; `None` if it is not there.
    pub async fn whole(
        &self,
        grant: &Grant<Read>,
        id: &DocumentId,
    ) -> Result<Option<WholeDocument>, StorageError> {
        self.inner.check(grant);
        self.whole_document(id, u64::MAX).await
    }

    /// A document as it was at a sequence, read by itself; `None` if it was not there, or has been erased.
    async fn whole_document(
        &self,
        id: &DocumentId,
        at: u64,
    ) -> Result<Option<WholeDocument>, StorageError> {
        again!(self.read_whole(id, at))
    }

    async fn read_whole(
        &self,
        id: &DocumentId,
        at: u64,
    ) -> Result<Option<WholeDocument>, StorageError> {
        let Some(document) = self.inner.document(id).await? else { return Ok(None) };
        let (sequence, times) = document.stands();
        let (sequence, updated, wanted) = if sequence <= at {
            (sequence, times.updated, document.leaves())
        } else {
            let Some(past) = self.past_of(id, at).await? else { return Ok(None) };
            let mut wanted = Vec::with_capacity(past.leaves.len());
            for PastLeaf { rev, .. } in past.leaves {
                // As it is now, or as a later update kept it; what a purge took is nowhere.
                wanted.extend(document.exactly(&rev).await?);
            }
            (past.sequence, past.updated, wanted)
        };
        let mut leaves = Vec::with_capacity(wanted.len());
        for wanted in &wanted {
            leaves.push(document.whole_leaf(wanted).await?);
        }
        let times = Times { created: times.created, updated };
        let whole = WholeDocument { id: id.clone(), sequence, times, leaves };
        Ok(if whole.leaves.is_empty() { None } else { Some(whole) })
    }

    /// What the first update after a sequence replaced; `None` if there was nothing.
    async fn past_of(&self, id: &DocumentId, at: u64) -> Result<Option<History>, StorageError> {
        let keys = self.inner.keys;
        let all = Scan::prefix(&keys.histories(id), Direction::Ascending);
        let start = Bound::Excluded(keys.history(id, at));
        let plan = Plan::new(vec![Step::Scan(Scan { start, ..all })]);
        let first = First { found: None, failure: Failure::default() };
        let first = self.inner.shared.engine.read_to_end(plan, first).await?;
        self.inner.check_alive()?;
        first.failure.check()?;
        Ok(first.found.filter(|history| history.sequence <= at))
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

    /// The next documents in the order of their newest changes, behind the change `since`; 0 for the first.
    pub async fn documents(
        &self,
        since: u64,
    ) -> Result<(Vec<WholeDocument>, Next<u64>), StorageError> {
        let inner = &self.database.inner;
        let (keys, at) = (inner.keys, self.facts.sequence);
        let rows = Scan {
            start: Bound::Excluded(keys.change(since)),
            end: Bound::Included(keys.change(at)),
            direction: Direction::Ascending,
        };
        let visitor = Reading {
            keys,
            at,
            stage: Stage::State,
            found: Vec::new(),
            bytes: 0,
            floor: 0,
            failure: Failure::default(),
        };
        if since >= at {
            return Ok((Vec::new(), Next::Done));
        }
        let plan = Plan::new(vec![Step::Get(keys.state()), Step::Scan(rows)]);
        let (visitor, progress) = inner.shared.engine.read(plan, visitor).await?;
        inner.check_alive()?;
        visitor.failure.check()?;
        if visitor.floor > at {
            let reason = format!("the past up to {} has been let go of", visitor.floor);
            return Err(StorageError::Inconsistent { reason });
        }
        let next = match progress {
            Progress::Done => Next::Done,
            Progress::Paused(resume) => {
                Next::Go(resume.after().and_then(keys::number_of).unwrap_or(since))
            }
        };
        let mut documents = Vec::with_capacity(visitor.found.len());
        for found in visitor.found {
            match found {
                Found::Whole(document) => documents.push(document),
                Found::Elsewhere(id) => {
                    let id = parse(&id)?;
                    documents.extend(self.database.whole_document(&id, at).await?);
                }
            }
        }
        Ok((documents, next))
    }

    /// The purges that are remembered and came before the point, oldest first.
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

struct First {
    found: Option<History>,
    failure: Failure,
}

impl Visitor for First {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        match History::decode(key, value.unwrap_or_default()) {
            Ok(history) => self.found = Some(history),
            Err(error) => self.failure.set(error),
        }
        Visit::Stop
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
            Err(error) => {
                self.failure.set(error);
                Visit::Stop
            }
        }
    }
}

/// One slice: rows of the feed, and behind each the document's head and bodies in the same view.
struct Reading {
    keys: Keys,
    at: u64,
    stage: Stage,
    found: Vec<Found>,
    bytes: usize,
    /// Of history, in this view.
    floor: u64,
    failure: Failure,
}

enum Found {
    Whole(WholeDocument),
    /// The document has moved on, or part of its ancestry is elsewhere: it is read by itself.
    Elsewhere(String),
}

/// What is visited next.
enum Stage {
    State,
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
            Stage::State => {
                let value = value.ok_or(StorageError::Gone)?;
                self.floor = State::decode(key, value)?.history_floor;
                Ok(if self.floor > self.at { Visit::Stop } else { Visit::Next })
            }
            Stage::Change => self.change(key, value.unwrap_or_default()),
            Stage::Head(id) => {
                let head = Head::decode(key, value.ok_or_else(|| lost(&id))?)?;
                if head.tree.cuts().next().is_some() {
                    return Ok(self.add(Found::Elsewhere(id), 0));
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
        match change.superseded_by {
            Some(by) if by <= self.at => Ok(Visit::Next),
            Some(_) => Ok(self.add(Found::Elsewhere(change.id.to_owned()), 0)),
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
        self.look(key, value).unwrap_or_else(|error| {
            self.failure.set(error);
            Visit::Stop
        })
    }
}
