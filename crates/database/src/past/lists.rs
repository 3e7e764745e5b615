//! Lists of what a database was: documents by id, and its feed.
//!
//! Heads are in the order of ids whatever they say, so a list of the past is one of the present with each document
//! looked up as it was; what has not changed since costs no more than it does now.

use std::ops::Bound;

use settle_access::{Grant, Read};
use settle_engine::{Direction, Place, Plan, Progress, Resume, Scan, Step, Visit, Visitor};
use settle_model::{id::DocumentId, revision::RevId};

use super::{
    documents::{Bodies, BodyThen, Heads, Portion, Then},
    moment::{Moment, PastError},
};
use crate::{
    Database,
    error::StorageError,
    keys::{self, family},
    limits::PAST_ROWS_MIN,
    read::content,
    record::{body::decode_payload, change::ChangeView},
    render::{Arena, DocumentForm, Winner},
    revision::{Extras, Revision},
    scan::{
        ChangeCursor, ChangeFilter, ChangeRow, ChangeScan, DocumentContent, DocumentRow,
        DocumentScan, Failure, FoundDocument, More, Next, Sink, documents::id_range,
        rendered::RenderedDocument,
    },
};

impl Database {
    /// The winner of a document as it was; `None` where there was none, or a tombstone. Of the extras ancestry is not
    /// known of the past.
    pub async fn get_at(
        &self,
        grant: &Grant<Read>,
        moment: Moment,
        id: &DocumentId,
        extras: Extras,
    ) -> Result<Option<Revision>, PastError> {
        self.inner.check(grant);
        let ids = [id.as_str().to_owned()];
        let found = self.inner.then(&ids, moment, Bodies::Winner).await?.pop().flatten();
        let Some(then) = found.filter(Then::is_live) else { return Ok(None) };
        let BodyThen::Here(payload) = then.winner().body.clone() else { return Ok(None) };
        let (attachments, body) = content(payload)?;
        let others = |wanted: bool, deleted| {
            if wanted { then.others(deleted) } else { Vec::new() }
        };
        Ok(Some(Revision {
            id: id.clone(),
            rev: then.winner().rev.clone(),
            deleted: false,
            body,
            attachments,
            sequence: then.sequence,
            times: then.times,
            path: None,
            conflicts: others(extras.conflicts, false),
            deleted_conflicts: others(extras.deleted_conflicts, true),
            revs_info: Vec::new(),
        }))
    }

    /// One slice of the documents as they were: as [`scan_documents`](Self::scan_documents) is of the present. All
    /// slices show the same.
    pub async fn scan_documents_at<S>(
        &self,
        grant: &Grant<Read>,
        moment: Moment,
        scan: DocumentScan,
        mut sink: S,
    ) -> Result<(S, Next<DocumentScan>), PastError>
    where
        S: for<'r> Sink<DocumentRow<'r>>,
    {
        self.inner.check(grant);
        let bodies = bodies(scan.content);
        let (found, mut next) = self.slice_at(moment, &scan, bodies, Portion::LISTED).await?;
        let (mut skip, mut limit) = (scan.skip, scan.limit);
        let is_row = |then: &Then| then.is_live() && (!scan.in_conflict || in_conflict(then));
        for then in found.into_iter().flatten() {
            if limit == 0 {
                return Ok((sink, Next::Done));
            }
            if !is_row(&then) {
                continue;
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            limit -= 1;
            if emit(&mut sink, &then)? == More::Enough {
                next = Next::Go(scan.behind(then.id));
                break;
            }
        }
        Ok(match next {
            Next::Go(scan) if limit > 0 => (sink, Next::Go(DocumentScan { skip, limit, ..scan })),
            Next::Go(_) | Next::Done => (sink, Next::Done),
        })
    }

    /// One slice of looking up documents as they were: as [`look_up`](Self::look_up) is of the present.
    pub async fn look_up_at<S>(
        &self,
        grant: &Grant<Read>,
        moment: Moment,
        ids: &[String],
        with_content: bool,
        mut sink: S,
    ) -> Result<(S, usize), PastError>
    where
        S: for<'r> Sink<DocumentRow<'r>>,
    {
        self.inner.check(grant);
        let bodies = bodies(with_content);
        let found = self.inner.then_some(ids, moment, bodies, Portion::LISTED).await?;
        let count = found.len();
        for (at, (id, then)) in ids.iter().zip(found).enumerate() {
            let more = match then {
                Some(then) => emit(&mut sink, &then)?,
                None => sink.row(&DocumentRow { id, found: None }),
            };
            if more == More::Enough {
                return Ok((sink, at + 1));
            }
        }
        Ok((sink, count))
    }

    /// One slice of the documents as they were, rendered. Of the scan `skip` and `content` mean nothing, and there may be
    /// more than its `limit`, which says how many are wanted.
    pub async fn scan_rendered_at(
        &self,
        grant: &Grant<Read>,
        moment: Moment,
        scan: &DocumentScan,
        form: DocumentForm,
    ) -> Result<(Vec<RenderedDocument>, Next<DocumentScan>), PastError> {
        self.inner.check(grant);
        let (found, next) = self.slice_at(moment, scan, Bodies::Winner, Portion::WHOLE).await?;
        let documents = rendered(&found, form)?.into_iter().flatten().collect();
        Ok((documents, next))
    }

    /// The winners of the first of these documents as they were, at least one, in the order of `ids`; `None` for one that
    /// was missing or deleted.
    pub async fn look_up_rendered_at(
        &self,
        grant: &Grant<Read>,
        moment: Moment,
        ids: &[String],
        form: DocumentForm,
    ) -> Result<Vec<Option<RenderedDocument>>, PastError> {
        self.inner.check(grant);
        let found = self.inner.then_some(ids, moment, Bodies::Winner, Portion::WHOLE).await?;
        Ok(rendered(&found, form)?)
    }

    /// What some documents of a range were, with where the next are.
    pub(super) async fn slice_at(
        &self,
        moment: Moment,
        scan: &DocumentScan,
        bodies: Bodies,
        portion: Portion,
    ) -> Result<(Vec<Option<Then>>, Next<DocumentScan>), PastError> {
        let bounds = (&scan.start, &scan.end);
        let range = id_range(self.inner.keys, family::HEAD, bounds, scan.direction);
        let wanted = usize::try_from(scan.skip.saturating_add(scan.limit)).unwrap_or(usize::MAX);
        let rows = wanted.clamp(PAST_ROWS_MIN, portion.rows);
        let heads = Heads::new(self.inner.keys, moment, bodies, Portion { rows, ..portion });
        let plan = Plan::new(vec![Step::Scan(range)]);
        let (heads, progress) =
            self.inner.shared.engine.read(plan, heads).await.map_err(StorageError::from)?;
        self.inner.check_alive()?;
        let heads = heads.finish()?;
        let count = heads.len();
        let found = self.inner.complete(heads, moment, bodies, portion).await?;
        self.inner.check_moment(moment).await?;
        let next = match progress {
            // It ends with the document that was too much.
            _ if found.len() < count => match found.last() {
                Some(Some(then)) => Next::Go(scan.clone().behind(then.id.clone())),
                Some(None) | None => {
                    let reason = "a slice of the past ends with a document that was not there";
                    return Err(StorageError::Inconsistent { reason: reason.to_owned() }.into());
                }
            },
            Progress::Done => Next::Done,
            Progress::Paused(Resume { place: Place::After(key), .. }) => {
                Next::Go(scan.clone().behind(keys::text_of(&key).unwrap_or_default().to_owned()))
            }
            Progress::Paused(Resume { place: Place::Start | Place::At(_), .. }) => {
                Next::Go(scan.clone())
            }
        };
        Ok((found, next))
    }

    /// One slice of the feed as it was: each document once, at what was its newest change. The scan's `until` is at
    /// most the moment.
    pub async fn scan_changes_at<S>(
        &self,
        grant: &Grant<Read>,
        moment: Moment,
        scan: &ChangeScan,
        sink: S,
    ) -> Result<(S, Next<ChangeCursor>), PastError>
    where
        S: for<'r> Sink<ChangeRow<'r>>,
    {
        self.inner.check(grant);
        self.scan_some_changes_at(moment, (scan, Portion::LISTED), sink).await
    }

    pub(crate) async fn scan_some_changes_at<S>(
        &self,
        moment: Moment,
        (scan, portion): (&ChangeScan, Portion),
        mut sink: S,
    ) -> Result<(S, Next<ChangeCursor>), PastError>
    where
        S: for<'r> Sink<ChangeRow<'r>>,
    {
        let (rows, next) = self.feed_at(moment, scan, portion.rows).await?;
        let looks = |row: &FeedRow| scan.content || scan.times || row.leaves.is_none();
        let ids = rows.iter().filter(|row| looks(row)).map(|row| row.id.clone());
        let ids: Vec<String> = ids.collect();
        let bodies = if scan.content { Bodies::Newest } else { Bodies::None };
        let found = match ids.is_empty() {
            false => self.inner.then_some(&ids, moment, bodies, portion).await?,
            true => {
                self.inner.check_moment(moment).await?;
                Vec::new()
            }
        };
        let mut found = found.into_iter();
        let mut last = scan.since;
        for row in rows {
            let then = match looks(&row) {
                false => None,
                true => match found.next() {
                    // A purge has taken it.
                    Some(None) => {
                        last = row.sequence;
                        continue;
                    }
                    Some(found) => found,
                    // The slice had enough before it.
                    None => return Ok((sink, Next::Go(ChangeCursor { at: last }))),
                },
            };
            last = row.sequence;
            let known = row.leaves.unwrap_or_default();
            let leaves = then.as_ref().map_or(known, leaves_of);
            let times = then.as_ref().filter(|_| scan.times).map(|it| it.times);
            let conflicts = then.as_ref().map(|then| then.others(false)).unwrap_or_default();
            let content = then.as_ref().and_then(|then| match &then.winner().body {
                BodyThen::Here(payload) => Some(payload),
                BodyThen::Unread | BodyThen::Later | BodyThen::Record(_) => None,
            });
            let parts = content.map(|payload| decode_payload(payload)).transpose();
            let parts = parts.map_err(StorageError::from)?;
            let content = parts.as_ref().map(|(attachments, body)| DocumentContent {
                body,
                attachments,
                conflicts: &conflicts,
                sequence: row.sequence,
            });
            let (sequence, id) = (row.sequence, row.id.as_str());
            let change = ChangeRow { sequence, id, leaves: &leaves, times, content };
            if sink.row(&change) == More::Enough {
                return Ok((sink, Next::Go(ChangeCursor { at: row.sequence })));
            }
        }
        Ok((sink, next))
    }

    async fn feed_at(
        &self,
        moment: Moment,
        scan: &ChangeScan,
        rows_max: usize,
    ) -> Result<(Vec<FeedRow>, Next<ChangeCursor>), PastError> {
        let until = scan.until.min(moment.0);
        if scan.since >= until {
            return Ok((Vec::new(), Next::Done));
        }
        let keys = self.inner.keys;
        let range = Scan {
            start: Bound::Excluded(keys.change(scan.since)),
            end: Bound::Included(keys.change(until)),
            direction: scan.direction,
        };
        let (only, rows) = (scan.only.clone(), Vec::new());
        let feed = Feed { moment, only, rows, rows_max, failure: Failure::default() };
        let plan = Plan::new(vec![Step::Scan(range)]);
        let (feed, progress) =
            self.inner.shared.engine.read(plan, feed).await.map_err(StorageError::from)?;
        self.inner.check_alive()?;
        feed.failure.check()?;
        let next = match progress {
            Progress::Done => Next::Done,
            Progress::Paused(resume) => {
                Next::Go(ChangeScan { until, ..scan.clone() }.cursor_after(&resume))
            }
        };
        Ok((feed.rows, next))
    }
}

impl DocumentScan {
    /// What is left behind this document.
    pub(crate) fn behind(self, id: String) -> Self {
        match self.direction {
            Direction::Ascending => Self { start: Bound::Excluded(id), ..self },
            Direction::Descending => Self { end: Bound::Excluded(id), ..self },
        }
    }
}

fn bodies(with_content: bool) -> Bodies {
    if with_content { Bodies::Winner } else { Bodies::None }
}

fn in_conflict(then: &Then) -> bool {
    then.leaves.iter().skip(1).any(|leaf| !leaf.deleted)
}

fn leaves_of(then: &Then) -> Vec<(RevId, bool)> {
    then.leaves.iter().map(|leaf| (leaf.rev.clone(), leaf.deleted)).collect()
}

fn winner_of(then: &Then, form: DocumentForm) -> Winner {
    let winner = then.winner();
    let others = |deleted| if form.conflicts { then.others(deleted) } else { Vec::new() };
    let (rev, sequence) = (winner.rev.clone(), then.sequence);
    Winner::then(rev, sequence, winner.deleted, [others(false), others(true)])
}

/// Those that were live, as JSON.
fn rendered(
    found: &[Option<Then>],
    form: DocumentForm,
) -> Result<Vec<Option<RenderedDocument>>, StorageError> {
    let mut arena = Arena::default();
    for then in found {
        match then.as_ref().map(|then| (then, &then.winner().body)) {
            Some((then, BodyThen::Here(payload))) if then.is_live() => {
                let winner = winner_of(then, form);
                arena.push_with(Some(then), |out| winner.render(out, &then.id, payload, form))?;
            }
            Some(_) | None => arena.push(None),
        }
    }
    let documents = arena.into_items().map(|(then, document)| {
        let then = then?;
        Some(RenderedDocument {
            id: then.id.clone(),
            rev: then.winner().rev.clone(),
            sequence: then.sequence,
            deleted: false,
            has_others: then.leaves.len() > 1,
            document: document?,
        })
    });
    Ok(documents.collect())
}

/// Hands on one document.
fn emit<S>(sink: &mut S, then: &Then) -> Result<More, StorageError>
where
    S: for<'r> Sink<DocumentRow<'r>>,
{
    let winner = then.winner();
    let conflicts = then.others(false);
    let parts = match &winner.body {
        BodyThen::Here(payload) if !winner.deleted => Some(decode_payload(payload)?),
        BodyThen::Here(_) | BodyThen::Unread | BodyThen::Later | BodyThen::Record(_) => None,
    };
    let content = parts.as_ref().map(|(attachments, body)| DocumentContent {
        body,
        attachments,
        conflicts: &conflicts,
        sequence: then.sequence,
    });
    let (rev, deleted, conflicts) = (&winner.rev, winner.deleted, &*conflicts);
    let found = Some(FoundDocument { rev, deleted, conflicts, content });
    Ok(sink.row(&DocumentRow { id: &then.id, found }))
}

/// A row of the feed that was there.
struct FeedRow {
    sequence: u64,
    id: String,
    /// `None` where the row does not say it for sure.
    leaves: Option<Vec<(RevId, bool)>>,
}

struct Feed {
    moment: Moment,
    only: ChangeFilter,
    rows: Vec<FeedRow>,
    rows_max: usize,
    failure: Failure,
}

impl Feed {
    fn look(&mut self, key: &[u8], value: &[u8]) -> Result<Visit, StorageError> {
        let change = ChangeView::decode(key, value)?;
        let was_there = change.superseded_by.is_none_or(|by| by > self.moment.0)
            && !(change.purge && change.leaf_count == 0);
        if !was_there || !self.only.admits(change.id) {
            return Ok(Visit::Next);
        }
        // What has been superseded may have been purged in part.
        let is_sure = change.superseded_by.is_none() && !change.more_leaves;
        let leaves = is_sure.then(|| change.leaves().collect::<Result<Vec<_>, _>>());
        let (sequence, id) = (keys::number_of(key).unwrap_or_default(), change.id.to_owned());
        self.rows.push(FeedRow { sequence, id, leaves: leaves.transpose()? });
        Ok(if self.rows.len() < self.rows_max { Visit::Next } else { Visit::Pause })
    }
}

impl Visitor for Feed {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(key, value.unwrap_or_default()).unwrap_or_else(|error| self.failure.stop(error))
    }
}
