//! Changes with their documents as filters see them: the winner of each, or every leaf, tombstones
//! included.
//!
//! Copied out of the view, since asking a filter takes longer than a view lasts.

use std::ops::Bound;

use bytes::Bytes;
use settle_access::{Grant, Read};
use settle_engine::{Plan, Progress, Scan, Step, Visit, Visitor};
use settle_model::revision::{RevId, RevPath};

use super::{ChangeCursor, ChangeScan, DocumentContent, Failure, Next, changes::is_hidden};
use crate::{
    Database,
    error::StorageError,
    keys::{self, Keys},
    record::{
        body::{Attachment, decode_payload, decode_record},
        change::ChangeView,
        head::{BodyPlace, Head},
    },
    render,
    revision::Times,
};

/// Which revisions of each changed document come along, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafForm {
    /// Every leaf, rather than the winner alone.
    pub all: bool,
    /// How many entries `_revisions` has at most; 0 leaves it out.
    pub ancestors: u32,
    /// A slice ends when it has so many changes, or so many bytes of documents.
    pub count_max: usize,
    pub bytes_max: usize,
}

/// A change with documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafChange {
    pub sequence: u64,
    pub id: String,
    /// Every leaf, winner first, each with whether it is deleted.
    pub leaves: Vec<(RevId, bool)>,
    /// Of the first leaves, as JSON with special members; the winner's has `_conflicts`.
    pub documents: Vec<Bytes>,
    pub times: Times,
    content: Content,
}

/// The winner's.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    body: Vec<u8>,
    attachments: Vec<Attachment>,
    conflicts: Vec<RevId>,
}

impl LeafChange {
    /// A document is deleted when its winner is.
    pub fn deleted(&self) -> bool {
        self.leaves.first().is_none_or(|(_, deleted)| *deleted)
    }

    /// The winner's content.
    pub fn content(&self) -> DocumentContent<'_> {
        let Content { body, attachments, conflicts } = &self.content;
        DocumentContent { body, attachments, conflicts, sequence: self.sequence }
    }
}

impl Database {
    /// One slice of the changes in a range, with documents; [`ChangeScan::content`] says nothing here.
    pub async fn scan_leaves(
        &self,
        grant: &Grant<Read>,
        scan: &ChangeScan,
        form: LeafForm,
    ) -> Result<(Vec<LeafChange>, Next<ChangeCursor>), StorageError> {
        self.inner.check(grant);
        if scan.since >= scan.until {
            return Ok((Vec::new(), Next::Done));
        }
        let keys = self.inner.keys;
        let range = Scan {
            start: Bound::Excluded(keys.change(scan.since)),
            end: Bound::Included(keys.change(scan.until)),
            direction: scan.direction,
        };
        let visitor = Reading {
            keys,
            scan: scan.clone(),
            form,
            stage: Stage::Change,
            found: Vec::new(),
            bytes: 0,
            failure: Failure::default(),
        };
        let plan = Plan::new(vec![Step::Scan(range)]);
        let (visitor, progress) = self.inner.shared.engine.read(plan, visitor).await?;
        self.inner.check_alive()?;
        visitor.failure.check()?;
        let next = match progress {
            Progress::Done => Next::Done,
            Progress::Paused(resume) => Next::Go(scan.cursor_after(&resume)),
        };
        Ok((visitor.found, next))
    }

    /// The sequences of these documents' newest changes, ascending; of those that are there.
    pub async fn sequences_of(
        &self,
        grant: &Grant<Read>,
        ids: &[String],
    ) -> Result<Vec<u64>, StorageError> {
        self.inner.check(grant);
        let steps = ids.iter().map(|id| Step::Get(self.inner.keys.head_at(id))).collect();
        let visitor = Sequences { found: Vec::new(), failure: Failure::default() };
        let visitor = self.inner.shared.engine.read_to_end(Plan::new(steps), visitor).await?;
        self.inner.check_alive()?;
        visitor.failure.check()?;
        let mut found = visitor.found;
        found.sort_unstable();
        Ok(found)
    }
}

struct Reading {
    keys: Keys,
    scan: ChangeScan,
    form: LeafForm,
    stage: Stage,
    found: Vec<LeafChange>,
    bytes: usize,
    failure: Failure,
}

/// What is visited next.
enum Stage {
    Change,
    Head {
        sequence: u64,
        id: String,
    },
    /// The body of the next leaf.
    Body(Box<Row>),
}

/// A change of which some documents are still missing.
struct Row {
    sequence: u64,
    id: String,
    head: Head,
    /// Of the first leaves.
    documents: Vec<Bytes>,
    content: Option<Content>,
}

impl Reading {
    fn look(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Visit, StorageError> {
        match std::mem::replace(&mut self.stage, Stage::Change) {
            Stage::Change => {
                let change = ChangeView::decode(key, value.unwrap_or_default())?;
                if is_hidden(&change) || !self.scan.only.admits(change.id) {
                    return Ok(Visit::Next);
                }
                let sequence = keys::number_of(key).unwrap_or_default();
                self.stage = Stage::Head { sequence, id: change.id.to_owned() };
                Ok(Visit::Follow(self.keys.head_at(change.id)))
            }
            Stage::Head { sequence, id } => {
                let value = value.ok_or_else(|| lost(&id))?;
                let head = Head::decode(key, value)?;
                let row = Row { sequence, id, head, documents: Vec::new(), content: None };
                self.go_on(Box::new(row))
            }
            Stage::Body(mut row) => {
                let payload = decode_record(key, value.ok_or_else(|| lost(&row.id))?)?;
                self.take(&mut row, payload)?;
                self.go_on(row)
            }
        }
    }

    /// Takes what stands in the head, and asks for what does not.
    fn go_on(&mut self, mut row: Box<Row>) -> Result<Visit, StorageError> {
        let wanted = if self.form.all { row.head.tree.leaves().len() } else { 1 };
        while let Some(leaf) = row.head.tree.leaves()[..wanted].get(row.documents.len()) {
            match &leaf.payload.place {
                BodyPlace::Inline(payload) => {
                    let payload = payload.clone();
                    self.take(&mut row, &payload)?;
                }
                BodyPlace::Record { number, .. } => {
                    let body = self.keys.body(*number);
                    self.stage = Stage::Body(row);
                    return Ok(Visit::Follow(body));
                }
            }
        }
        let Row { sequence, id, head, documents, content } = *row;
        let Some(content) = content else { return Err(lost(&id)) };
        let leaves = head.tree.leaves().iter().map(|leaf| (leaf.rev.clone(), leaf.deleted));
        let leaves = leaves.collect();
        let times = Times { created: head.created, updated: head.updated };
        self.found.push(LeafChange { sequence, id, leaves, documents, times, content });
        let is_full = self.found.len() >= self.form.count_max || self.bytes >= self.form.bytes_max;
        Ok(if is_full { Visit::Pause } else { Visit::Next })
    }

    /// Renders the next leaf.
    fn take(&mut self, row: &mut Row, payload: &[u8]) -> Result<(), StorageError> {
        let leaf = &row.head.tree.leaves()[row.documents.len()];
        let mut path =
            row.head.tree.path(&leaf.rev).unwrap_or_else(|| RevPath::single(leaf.rev.clone()));
        path.truncate(self.form.ancestors.max(1));
        let (attachments, body) = decode_payload(payload)?;
        let is_winner = row.documents.is_empty();
        let conflicts: Vec<RevId> = if is_winner {
            let others = row.head.tree.leaves()[1..].iter().filter(|leaf| !leaf.deleted);
            others.map(|leaf| leaf.rev.clone()).collect()
        } else {
            Vec::new()
        };
        let document = render::Leaf {
            id: &row.id,
            path: &path,
            deleted: leaf.deleted,
            attachments: &attachments,
            body,
            shows_path: self.form.ancestors > 0,
            conflicts: &conflicts,
        };
        let document = document.render();
        self.bytes += document.len();
        row.documents.push(document);
        if is_winner {
            row.content = Some(Content { body: body.to_vec(), attachments, conflicts });
        }
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

struct Sequences {
    found: Vec<u64>,
    failure: Failure,
}

impl Visitor for Sequences {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let Some(value) = value else { return Visit::Next };
        match crate::record::head::HeadView::decode(key, value) {
            Ok(head) => {
                self.found.push(head.sequence);
                Visit::Next
            }
            Err(error) => self.failure.stop(error),
        }
    }
}
