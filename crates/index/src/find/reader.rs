//! Documents that may be selected, in the order of an index, in batches.

use std::{collections::VecDeque, ops::Bound, sync::Arc};

use bytes::Bytes;
use settle_access::{Grant, Read};
use settle_database::{
    Database, Direction, DocumentForm, DocumentRow, DocumentScan, Moment, More, Next, RenderedScan,
    Sink,
};
use settle_query::{
    collate::{Collation, sort_key},
    design::MapSource,
    mango::{Bookmark, FindRequest, Index, KeyEdge, NamedIndex, Plan, document_of_key},
};

use super::FindError;
use crate::{
    Indexes, ReadyView, Update,
    limits::{FIND_BATCH_BYTES, FIND_BATCH_MAX},
    mapper::partition_prefix,
    tree::{Edge, Range, RowScan, TreeRow},
};

/// A document that may be selected, and where it was found.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) id: String,
    /// JSON of the row's key; of an id where all documents are read.
    pub(super) key: Bytes,
    /// JSON. `None` of a row whose document is gone.
    pub(super) document: Option<Bytes>,
}

/// Reads the candidates of a plan.
#[derive(Debug)]
pub(super) struct Reader {
    database: Database,
    source: Source,
    form: DocumentForm,
    /// Bytes of a document, as far as was seen.
    document_bytes: usize,
    /// Whether documents are read, and not made of the keys of rows.
    pub(super) reads_documents: bool,
}

#[derive(Debug)]
enum Source {
    Ended,
    Documents(RenderedScan),
    /// Backwards, by ids.
    Ids(DocumentScan),
    /// As they were.
    Past(Moment, DocumentScan),
    Rows {
        view: Box<ReadyView>,
        scan: RowScan,
        index: Arc<Index>,
        covering: bool,
    },
}

impl Reader {
    pub(super) async fn new(
        indexes: &Indexes,
        database: &Database,
        grant: &Grant<Read>,
        request: &FindRequest,
        plan: &Plan,
        bookmark: Option<&Bookmark>,
    ) -> Result<Self, FindError> {
        let source = match plan.index.as_ref() {
            _ if plan.ranges.is_empty() => Source::Ended,
            None => Source::Ended,
            Some(index) => match &**index {
                Index::AllDocs => documents(request, plan, bookmark, false),
                Index::Conflicts => documents(request, plan, bookmark, true),
                Index::Json(named) => {
                    let update =
                        if request.update && !request.stale { Update::Wait } else { Update::No };
                    let view = ready(indexes, database, grant, named, update).await?;
                    let covering = plan.covering && request.r == 1;
                    let index = index.clone();
                    let scan = rows(request, plan, bookmark);
                    Source::Rows { view: Box::new(view), scan, index, covering }
                }
            },
        };
        let reads_documents = !matches!(source, Source::Rows { covering: true, .. });
        let form = DocumentForm { conflicts: request.conflicts, ..DocumentForm::default() };
        let database = database.clone();
        Ok(Self { database, source, form, document_bytes: 1 << 10, reads_documents })
    }

    /// Of documents as they were, where a moment is said.
    pub(super) fn at(self, moment: Option<Moment>) -> Self {
        let Some(moment) = moment else { return self };
        let source = match self.source {
            Source::Documents(scan) => Source::Past(moment, past(scan)),
            Source::Ids(scan) => Source::Past(moment, scan),
            source @ (Source::Ended | Source::Past(..) | Source::Rows { .. }) => source,
        };
        Self { source, ..self }
    }

    /// How many rows there are.
    pub(super) async fn count(&self) -> Result<Option<u64>, FindError> {
        match &self.source {
            Source::Ended => Ok(Some(0)),
            Source::Documents(_) | Source::Ids(_) | Source::Past(..) => Ok(None),
            Source::Rows { view, scan, .. } => Ok(Some(view.count(&scan.range).await?)),
        }
    }

    /// The next candidates, some `wanted` of them; `None` at the end. There may be none for now.
    pub(super) async fn next(
        &mut self,
        grant: &Grant<Read>,
        wanted: usize,
    ) -> Result<Option<Vec<Candidate>>, FindError> {
        let fitting = FIND_BATCH_BYTES / self.document_bytes.max(1);
        let wanted = wanted.clamp(1, fitting.clamp(1, FIND_BATCH_MAX));
        match std::mem::replace(&mut self.source, Source::Ended) {
            Source::Ended => Ok(None),
            Source::Documents(scan) => {
                let scan = RenderedScan { count_max: wanted, ..scan };
                let (found, next) = self.database.scan_rendered(grant, scan).await?;
                if let Next::Go(next) = next {
                    self.source = Source::Documents(next);
                }
                let candidates = found.into_iter().filter(|it| !is_design(&it.id));
                let candidates = candidates.map(|it| Candidate {
                    key: id_key(&it.id),
                    id: it.id,
                    document: Some(it.document),
                });
                Ok(Some(self.note_bytes(candidates.collect())))
            }
            Source::Ids(scan) => {
                let ids = Ids { wanted, found: Vec::new() };
                let (ids, next) = self.database.scan_documents(grant, scan, ids).await?;
                if let Next::Go(next) = next {
                    self.source = Source::Ids(next);
                }
                let candidates = ids.found.into_iter().filter(|id| !is_design(id));
                let candidates =
                    candidates.map(|id| Candidate { key: id_key(&id), id, document: None });
                self.with_documents(grant, candidates.collect()).await.map(Some)
            }
            Source::Past(moment, scan) => {
                let past = self.database.scan_rendered_at(grant, moment, &scan, self.form);
                let (found, next) = past.await?;
                if let Next::Go(next) = next {
                    self.source = Source::Past(moment, next);
                }
                let candidates = found.into_iter().filter(|it| !is_design(&it.id));
                let candidates = candidates.map(|it| Candidate {
                    key: id_key(&it.id),
                    id: it.id,
                    document: Some(it.document),
                });
                Ok(Some(self.note_bytes(candidates.collect())))
            }
            Source::Rows { view, scan, index, covering } => {
                let rows = Rows { wanted, found: VecDeque::new() };
                let (rows, next) = view.rows(scan, rows).await?;
                let candidates: Vec<_> = rows.found.into();
                let candidates = match &*index {
                    Index::Json(named) if covering => covered(named, candidates),
                    Index::Json(_) | Index::AllDocs | Index::Conflicts => {
                        self.with_documents(grant, candidates).await?
                    }
                };
                if let Next::Go(scan) = next {
                    self.source = Source::Rows { view, scan, index, covering };
                }
                Ok(Some(candidates))
            }
        }
    }

    async fn with_documents(
        &mut self,
        grant: &Grant<Read>,
        mut candidates: Vec<Candidate>,
    ) -> Result<Vec<Candidate>, FindError> {
        let ids: Vec<_> = candidates.iter().map(|it| it.id.clone()).collect();
        let found = self.database.look_up_rendered(grant, &ids, self.form).await?;
        for (candidate, found) in candidates.iter_mut().zip(found) {
            candidate.document = found.map(|found| found.document);
        }
        Ok(self.note_bytes(candidates))
    }

    fn note_bytes(&mut self, candidates: Vec<Candidate>) -> Vec<Candidate> {
        let documents = candidates.iter().filter_map(|it| it.document.as_ref());
        let (count, bytes) = documents.fold((0, 0), |sum, it| (sum.0 + 1, sum.1 + it.len()));
        self.document_bytes = bytes.checked_div(count).unwrap_or(self.document_bytes);
        candidates
    }
}

/// The view of an index as it was planned: one that is being built anew is waited for, since rows of
/// another definition have other keys.
pub(super) async fn ready(
    indexes: &Indexes,
    database: &Database,
    grant: &Grant<Read>,
    index: &NamedIndex,
    update: Update,
) -> Result<ReadyView, FindError> {
    let design = index.ddoc.strip_prefix("_design/").unwrap_or(&index.ddoc);
    let view = indexes.view(database, grant, design, &index.name).await?;
    let ready = view.ready(update).await?;
    let is_planned = match &ready.definition.maps[ready.place.map].source {
        MapSource::Fields(json) => **json == *index.definition.json(),
        MapSource::Script(_) => false,
    };
    if is_planned { Ok(ready) } else { Ok(view.ready(Update::Wait).await?) }
}

fn is_design(id: &str) -> bool {
    id.starts_with("_design/")
}

fn id_key(id: &str) -> Bytes {
    let mut key = Vec::with_capacity(id.len() + 2);
    settle_model::json::write_string(&mut key, id);
    key.into()
}

fn covered(index: &NamedIndex, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    for candidate in &mut candidates {
        let fields = index.definition.fields();
        candidate.document = Some(document_of_key(fields, &candidate.id, &candidate.key).into());
    }
    candidates
}

fn documents(
    request: &FindRequest,
    plan: &Plan,
    bookmark: Option<&Bookmark>,
    in_conflict: bool,
) -> Source {
    let Some((from, to)) = plan.ranges.ids() else { return Source::Ended };
    let (mut from, mut to) = (from.map_or(Bound::Unbounded, Bound::Included), bound(to));
    if let Some(partition) = &request.partition {
        from = later(from, Bound::Included(format!("{partition}:")));
        // What follows the colon.
        to = earlier(to, Bound::Excluded(format!("{partition};")));
    }
    let last = bookmark.map(|it| Bound::Excluded(it.id.clone()));
    if plan.descending {
        let (start, end) =
            (from, last.map_or_else(|| to.clone(), |last| earlier(to.clone(), last)));
        let direction = Direction::Descending;
        let scan = DocumentScan {
            start,
            end,
            direction,
            skip: 0,
            limit: u64::MAX,
            content: false,
            in_conflict,
        };
        return Source::Ids(scan);
    }
    let (start, end) = (last.map_or_else(|| from.clone(), |last| later(from.clone(), last)), to);
    let form = DocumentForm { conflicts: request.conflicts, ..DocumentForm::default() };
    let (count_max, bytes_max) = (1, FIND_BATCH_BYTES);
    Source::Documents(RenderedScan { start, end, form, in_conflict, count_max, bytes_max })
}

/// The same documents, read as they were.
fn past(scan: RenderedScan) -> DocumentScan {
    DocumentScan {
        start: scan.start,
        end: scan.end,
        direction: Direction::Ascending,
        skip: 0,
        limit: u64::MAX,
        content: true,
        in_conflict: scan.in_conflict,
    }
}

fn bound(id: Option<String>) -> Bound<String> {
    id.map_or(Bound::Unbounded, Bound::Included)
}

/// The one of two lower bounds that leaves less.
fn later(a: Bound<String>, b: Bound<String>) -> Bound<String> {
    let rank = |bound: &Bound<String>| match bound {
        Bound::Unbounded => None,
        Bound::Included(id) => Some((id.clone(), false)),
        Bound::Excluded(id) => Some((id.clone(), true)),
    };
    if rank(&a) >= rank(&b) { a } else { b }
}

/// The one of two upper bounds that leaves less.
fn earlier(a: Bound<String>, b: Bound<String>) -> Bound<String> {
    let rank = |bound: &Bound<String>| match bound {
        Bound::Unbounded => (true, String::new(), false),
        Bound::Included(id) => (false, id.clone(), true),
        Bound::Excluded(id) => (false, id.clone(), false),
    };
    if rank(&a) <= rank(&b) { a } else { b }
}

pub(super) fn rows(request: &FindRequest, plan: &Plan, bookmark: Option<&Bookmark>) -> RowScan {
    let prefix = request.partition.as_deref().map_or_else(Vec::new, partition_prefix);
    let span = plan.ranges.span();
    let mut range = Range { start: edge(&prefix, span.start), end: edge(&prefix, span.end) };
    let (direction, end) = match plan.descending {
        false => (Direction::Ascending, &mut range.start),
        true => (Direction::Descending, &mut range.end),
    };
    if let Some(bookmark) = bookmark {
        let mut key = prefix;
        key.extend_from_slice(&sort_key(&bookmark.key, Collation::Unicode));
        let id = Some(bookmark.id.clone());
        *end = match direction {
            Direction::Ascending => Edge::After { sort_key: key, id },
            Direction::Descending => Edge::Before { sort_key: key, id },
        };
    }
    RowScan { range, direction, skip: 0, limit: u64::MAX }
}

fn edge(prefix: &[u8], edge: KeyEdge) -> Edge {
    let with = |key: Vec<u8>| [prefix, &key].concat();
    match edge {
        KeyEdge::Before(key) => Edge::Before { sort_key: with(key), id: None },
        KeyEdge::After(key) => Edge::After { sort_key: with(key), id: None },
    }
}

/// All rows whose key is `[value]`, in an index on one field.
pub(super) fn rows_of(value: &[u8], partition: Option<&str>) -> Range {
    let prefix = partition.map_or_else(Vec::new, partition_prefix);
    let key = [b"[", value, b"]"].concat();
    let key = [prefix, sort_key(&key, Collation::Unicode)].concat();
    Range {
        start: Edge::Before { sort_key: key.clone(), id: None },
        end: Edge::After { sort_key: key, id: None },
    }
}

struct Ids {
    wanted: usize,
    found: Vec<String>,
}

impl Sink<DocumentRow<'_>> for Ids {
    fn row(&mut self, row: &DocumentRow<'_>) -> More {
        self.found.push(row.id.to_owned());
        if self.found.len() < self.wanted { More::Yes } else { More::Enough }
    }
}

/// Rows, without their documents.
pub(super) struct Rows {
    pub(super) wanted: usize,
    pub(super) found: VecDeque<Candidate>,
}

impl Sink<TreeRow<'_>> for Rows {
    fn row(&mut self, row: &TreeRow<'_>) -> More {
        let key = Bytes::copy_from_slice(row.key);
        self.found.push_back(Candidate { id: row.id.to_owned(), key, document: None });
        if self.found.len() < self.wanted { More::Yes } else { More::Enough }
    }
}
