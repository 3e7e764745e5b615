//! One batch of changes, read from the database.
//!
//! Batches are cut from *rounds*. A round looks at all changes from the cursor up to where the database
//! is when the round begins, its *horizon*. A row that a later change has superseded is passed over,
//! since the later one is met in the same round; one that was superseded beyond the horizon is shown as
//! the document is now, since its state at the horizon is gone. So at the end of a round nothing that
//! was committed before its beginning is missing, however much is written meanwhile.

use std::{collections::HashSet, ops::Bound};

use bytes::Bytes;
use settle_engine::{Direction, Plan, Progress, Scan, Step, Visit, Visitor};
use settle_model::revision::RevId;

use super::{Change, ChangeBatch};
use crate::{
    database::Inner,
    error::StorageError,
    keys::{self, Keys},
    record::{
        body::decode_record,
        change::ChangeView,
        head::{BodyView, HeadView},
    },
    render::{Arena, DocumentForm, Winner},
    scan::Failure,
};

/// What a batch holds at most; its last document may go beyond.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) count_max: usize,
    pub(super) bytes_max: usize,
}

/// Reads on from `since`. The batch that reaches `horizon` is the last of its round, and may be empty.
pub(super) async fn read(
    inner: &Inner,
    since: u64,
    horizon: u64,
    form: DocumentForm,
    bounds: Bounds,
) -> Result<ChangeBatch, StorageError> {
    let keys = inner.keys;
    let range = Scan {
        start: Bound::Excluded(keys.change(since)),
        end: Bound::Included(keys.change(horizon)),
        direction: Direction::Ascending,
    };
    let mut visitor = Reading {
        keys,
        horizon,
        form,
        bounds,
        stage: Stage::Change,
        sequence: 0,
        id: String::new(),
        found: Arena::default(),
        purged: HashSet::new(),
        failure: Failure::default(),
    };
    let mut plan = Plan::new(vec![Step::Scan(range)]);
    let until = loop {
        let progress;
        (visitor, progress) = inner.shared.engine.read(plan.clone(), visitor).await?;
        inner.check_alive()?;
        visitor.failure.check_in_place()?;
        match progress {
            Progress::Done => break horizon,
            Progress::Paused(resume) => {
                if visitor.is_full()
                    && let Some(at) = resume.after().and_then(keys::number_of)
                {
                    break at;
                }
                plan.resume = Some(resume);
            }
        }
    };
    let changes = visitor.found.into_items().map(|(found, document)| found.change(document));
    Ok(ChangeBatch { since, until, changes: changes.collect() })
}

struct Reading {
    keys: Keys,
    horizon: u64,
    form: DocumentForm,
    bounds: Bounds,
    stage: Stage,
    /// Of the row that is looked at, and its document.
    sequence: u64,
    id: String,
    found: Arena<Found>,
    /// Documents that are wholly gone: each is told once.
    purged: HashSet<String>,
    failure: Failure,
}

/// What is visited next.
enum Stage {
    Change,
    /// The head of a row that is the newest of its document.
    Head,
    /// The head, if it is there, of a document that this row says is gone, or whose state at this row is.
    LaterHead,
    Body(Winner),
}

struct Found {
    sequence: u64,
    id: String,
    rev: Option<RevId>,
    deleted: bool,
    has_others: bool,
}

impl Found {
    fn change(self, document: Option<Bytes>) -> Change {
        let Self { sequence, id, rev, deleted, has_others } = self;
        Change { sequence, id, rev, deleted, has_others, document }
    }
}

impl Reading {
    fn is_full(&self) -> bool {
        self.found.len() >= self.bounds.count_max || self.found.bytes() >= self.bounds.bytes_max
    }

    fn look(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Visit, StorageError> {
        match std::mem::replace(&mut self.stage, Stage::Change) {
            Stage::Change => self.change(key, value.unwrap_or_default()),
            Stage::Head => {
                let value = value.ok_or_else(|| self.lost())?;
                self.head(&HeadView::decode(key, value)?)
            }
            Stage::LaterHead => match value {
                None => {
                    self.gone();
                    Ok(self.passed())
                }
                Some(value) => {
                    let head = HeadView::decode(key, value)?;
                    // A row of the same round, still to come, tells of it.
                    if head.sequence <= self.horizon { Ok(Visit::Next) } else { self.head(&head) }
                }
            },
            Stage::Body(winner) => {
                let payload = decode_record(key, value.ok_or_else(|| self.lost())?)?;
                self.document(&winner, payload)
            }
        }
    }

    fn change(&mut self, key: &[u8], value: &[u8]) -> Result<Visit, StorageError> {
        let change = ChangeView::decode(key, value)?;
        if change.superseded_by.is_some_and(|by| by <= self.horizon) {
            return Ok(Visit::Next);
        }
        self.sequence = keys::number_of(key).unwrap_or_default();
        let is_gone = change.purge && change.leaf_count == 0;
        if change.superseded_by.is_some() || is_gone {
            self.stage = Stage::LaterHead;
        } else {
            let winner = change.leaves().next();
            if let Some((rev, true)) = winner.transpose()?
                && !self.form.tombstones
            {
                self.tombstone(self.sequence, change.id.to_owned(), rev);
                return Ok(self.passed());
            }
            self.stage = Stage::Head;
        }
        self.id.clear();
        self.id.push_str(change.id);
        Ok(Visit::Follow(self.keys.head_at(change.id)))
    }

    fn head(&mut self, head: &HeadView<'_>) -> Result<Visit, StorageError> {
        let leaf = head.winner()?;
        if leaf.deleted && !self.form.tombstones {
            let id = self.id.clone();
            self.tombstone(head.sequence, id, leaf.rev);
            return Ok(self.passed());
        }
        let winner = Winner::of(head, self.form)?;
        match leaf.body {
            BodyView::Inline(payload) => self.document(&winner, payload),
            BodyView::Record { number, .. } => {
                self.stage = Stage::Body(winner);
                Ok(Visit::Follow(self.keys.body(number)))
            }
        }
    }

    fn document(&mut self, winner: &Winner, payload: &[u8]) -> Result<Visit, StorageError> {
        let Self { id, form, .. } = self;
        let found = Found {
            sequence: winner.sequence,
            id: id.clone(),
            rev: Some(winner.rev.clone()),
            deleted: winner.deleted,
            has_others: winner.has_others,
        };
        self.found.push_with(found, |out| winner.render(out, id, payload, *form))?;
        Ok(self.passed())
    }

    fn tombstone(&mut self, sequence: u64, id: String, rev: RevId) {
        let (rev, deleted, has_others) = (Some(rev), true, false);
        self.found.push(Found { sequence, id, rev, deleted, has_others });
    }

    fn gone(&mut self) {
        if self.purged.insert(self.id.clone()) {
            let (sequence, id) = (self.sequence, self.id.clone());
            let (rev, deleted, has_others) = (None, true, false);
            self.found.push(Found { sequence, id, rev, deleted, has_others });
        }
    }

    fn passed(&self) -> Visit {
        if self.is_full() { Visit::Pause } else { Visit::Next }
    }

    fn lost(&self) -> StorageError {
        StorageError::Inconsistent { reason: format!("a record of {:?} is gone", self.id) }
    }
}

impl Visitor for Reading {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(key, value).unwrap_or_else(|error| self.failure.stop(error))
    }
}
