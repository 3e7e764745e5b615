//! Winners as rendered documents: all of them by id, for whoever builds something from all of them,
//! and some by name.

use std::ops::Bound;

use bytes::Bytes;
use settle_access::{Grant, Read};
use settle_engine::{Direction, Place, Plan, Progress, Step, Visit, Visitor};
use settle_model::revision::RevId;

use super::{Failure, Next, documents::id_range};
use crate::{
    Database,
    error::StorageError,
    keys::{self, Keys},
    record::{
        body::decode_record,
        head::{BodyView, HeadView},
    },
    render::{Arena, DocumentForm, Winner},
};

/// A scan of all documents whose winner is live, or of [all](DocumentForm::tombstones), in the order of their
/// ids, with their content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedScan {
    pub start: Bound<String>,
    pub end: Bound<String>,
    pub form: DocumentForm,
    /// Only documents in conflict; others cost nothing.
    pub in_conflict: bool,
    /// A slice ends when it has so many documents, or so many bytes of them; the last one may go
    /// beyond.
    pub count_max: usize,
    pub bytes_max: usize,
}

/// A document that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedDocument {
    pub id: String,
    pub rev: RevId,
    /// Of the document's newest change.
    pub sequence: u64,
    pub deleted: bool,
    /// Whether it has leaves besides the winner.
    pub has_others: bool,
    /// As JSON, special members included.
    pub document: Bytes,
}

impl Database {
    /// One slice of a scan. Whoever goes on with [`follow`](crate::follow) takes the database's
    /// [`sequence`](Database::sequence) before the first slice: each slice is consistent in itself, and
    /// what changes meanwhile is seen by the follower.
    pub async fn scan_rendered(
        &self,
        grant: &Grant<Read>,
        scan: RenderedScan,
    ) -> Result<(Vec<RenderedDocument>, Next<RenderedScan>), StorageError> {
        self.inner.check(grant);
        if scan.in_conflict {
            self.inner.list_conflicts().await?;
        }
        let keys = self.inner.keys;
        let family = if scan.in_conflict { keys::family::CONFLICT } else { keys::family::HEAD };
        let bounds = (&scan.start, &scan.end);
        let range = id_range(keys, family, bounds, Direction::Ascending);
        let visitor = Rendering {
            keys,
            form: scan.form,
            count_max: scan.count_max,
            bytes_max: scan.bytes_max,
            waiting: None,
            found: Arena::default(),
            failure: Failure::default(),
        };
        let plan = Plan::new(vec![Step::Scan(range)]);
        let (visitor, progress) = self.inner.shared.engine.read(plan, visitor).await?;
        self.inner.check_alive()?;
        visitor.failure.check()?;
        let next = match progress {
            Progress::Done => Next::Done,
            Progress::Paused(resume) => match resume.place {
                Place::After(key) => {
                    let id = keys::text_of(&key).unwrap_or_default().to_owned();
                    Next::Go(RenderedScan { start: Bound::Excluded(id), ..scan })
                }
                Place::Start | Place::At(_) => Next::Go(scan),
            },
        };
        Ok((visitor.found.into_items().filter_map(document).collect(), next))
    }

    /// The winners of these documents, in the order of `ids`; `None` for one that is missing, or deleted
    /// where the form leaves tombstones out.
    pub async fn look_up_rendered(
        &self,
        grant: &Grant<Read>,
        ids: &[String],
        form: DocumentForm,
    ) -> Result<Vec<Option<RenderedDocument>>, StorageError> {
        self.inner.check(grant);
        let keys = self.inner.keys;
        // In order, so that neighbours are read from the same page.
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_unstable_by(|&a, &b| ids[a].cmp(&ids[b]));
        let steps = order.iter().map(|&at| Step::Get(keys.head_at(&ids[at]))).collect();
        let visitor = Rendering {
            keys,
            form,
            count_max: usize::MAX,
            bytes_max: usize::MAX,
            waiting: None,
            found: Arena::default(),
            failure: Failure::default(),
        };
        let visitor = self.inner.shared.engine.read_to_end(Plan::new(steps), visitor).await?;
        self.inner.check_alive()?;
        visitor.failure.check()?;
        let mut found = vec![None; ids.len()];
        for (item, bytes) in visitor.found.into_items() {
            let at = order[item.step];
            found[at] = document((item, bytes));
        }
        Ok(found)
    }
}

fn document((found, document): (Found, Option<Bytes>)) -> Option<RenderedDocument> {
    let Found { id, rev, sequence, deleted, has_others, .. } = found;
    document.map(|document| RenderedDocument { id, rev, sequence, deleted, has_others, document })
}

struct Rendering {
    keys: Keys,
    form: DocumentForm,
    count_max: usize,
    bytes_max: usize,
    /// A document whose body stands in a record of its own, which is visited next.
    waiting: Option<(String, Winner)>,
    found: Arena<Found>,
    failure: Failure,
}

struct Found {
    step: usize,
    id: String,
    rev: RevId,
    sequence: u64,
    deleted: bool,
    has_others: bool,
}

impl Rendering {
    fn look(
        &mut self,
        step: usize,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<Visit, StorageError> {
        if let Some((id, winner)) = self.waiting.take() {
            let lost =
                || StorageError::Inconsistent { reason: format!("a body of {id:?} is gone") };
            let payload = decode_record(key, value.ok_or_else(lost)?)?;
            return self.render(step, id, &winner, payload);
        }
        if let Some(id) = keys::conflict_of(key) {
            return Ok(Visit::Follow(self.keys.head_at(id)));
        }
        let Some(value) = value else { return Ok(Visit::Next) };
        let head = HeadView::decode(key, value)?;
        let leaf = head.winner()?;
        if leaf.deleted && !self.form.tombstones {
            return Ok(Visit::Next);
        }
        let id = keys::text_of(key).unwrap_or_default().to_owned();
        let winner = Winner::of(&head, self.form)?;
        match leaf.body {
            BodyView::Inline(payload) => self.render(step, id, &winner, payload),
            BodyView::Record { number, .. } => {
                self.waiting = Some((id, winner));
                Ok(Visit::Follow(self.keys.body(number)))
            }
        }
    }

    fn render(
        &mut self,
        step: usize,
        id: String,
        winner: &Winner,
        payload: &[u8],
    ) -> Result<Visit, StorageError> {
        let form = self.form;
        let Winner { rev, sequence, deleted, has_others, .. } = winner;
        let (rev, sequence) = (rev.clone(), *sequence);
        let (deleted, has_others) = (*deleted, *has_others);
        let found = Found { step, id: id.clone(), rev, sequence, deleted, has_others };
        self.found.push_with(found, |out| winner.render(out, &id, payload, form))?;
        let is_full = self.found.len() >= self.count_max || self.found.bytes() >= self.bytes_max;
        Ok(if is_full { Visit::Pause } else { Visit::Next })
    }
}

impl Visitor for Rendering {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(step, key, value).unwrap_or_else(|error| self.failure.stop(error))
    }
}
