//! Documents by id: `_all_docs` and what is like it.

use std::ops::Bound;

use settle_access::{Grant, Read};
use settle_engine::{Direction, Place, Plan, Progress, Resume, Scan, Step, Visit, Visitor};
use settle_model::revision::RevId;

use super::{DocumentContent, DocumentRow, DocumentScan, Failure, FoundDocument, More, Next, Sink};
use crate::{
    Database,
    error::StorageError,
    keys::{self, Keys},
    limits::OFFSET_COUNT_MAX,
    record::{
        body::{decode_payload, decode_record},
        head::{BodyView, HeadView},
    },
};

impl Database {
    /// One slice of the documents in a range: until the sink has enough, or the engine's budget is
    /// used up. Each slice shows one state of the database; two slices may show two.
    pub async fn scan_documents<S>(
        &self,
        grant: &Grant<Read>,
        scan: DocumentScan,
        sink: S,
    ) -> Result<(S, Next<DocumentScan>), StorageError>
    where
        S: for<'r> Sink<DocumentRow<'r>>,
    {
        self.inner.check(grant);
        if scan.limit == 0 {
            return Ok((sink, Next::Done));
        }
        if scan.in_conflict {
            self.inner.list_conflicts().await?;
        }
        let range = self.range(&scan);
        let rows = Rows::new(self.inner.keys, scan.content, scan.skip, scan.limit, false, sink);
        let plan = Plan::new(vec![Step::Scan(range)]);
        let (rows, progress) = self.inner.shared.engine.read(plan, rows).await?;
        self.inner.check_alive()?;
        rows.failure.check()?;
        let next = match progress {
            Progress::Done => Next::Done,
            Progress::Paused(Resume { place: Place::After(key), .. }) => {
                let at = Bound::Excluded(keys::text_of(&key).unwrap_or_default().to_owned());
                let (start, end) = match scan.direction {
                    Direction::Ascending => (at, scan.end),
                    Direction::Descending => (scan.start, at),
                };
                Next::Go(DocumentScan { start, end, skip: rows.skip, limit: rows.limit, ..scan })
            }
            Progress::Paused(Resume { place: Place::Start | Place::At(_), .. }) => Next::Go(scan),
        };
        Ok((rows.sink, next))
    }

    /// One slice of looking up documents by id: a row for each, in the order given, tombstones and
    /// missing ones included. What comes back with the sink is how many were looked up.
    pub async fn look_up<S>(
        &self,
        grant: &Grant<Read>,
        ids: &[String],
        content: bool,
        sink: S,
    ) -> Result<(S, usize), StorageError>
    where
        S: for<'r> Sink<DocumentRow<'r>>,
    {
        self.inner.check(grant);
        let steps = ids.iter().map(|id| Step::Get(self.inner.keys.head_at(id))).collect();
        let rows = Rows::new(self.inner.keys, content, 0, u64::MAX, true, sink);
        let (rows, progress) = self.inner.shared.engine.read(Plan::new(steps), rows).await?;
        self.inner.check_alive()?;
        rows.failure.check()?;
        let done = match progress {
            Progress::Done => ids.len(),
            Progress::Paused(Resume { step, place: Place::After(_) }) => step + 1,
            Progress::Paused(Resume { step, place: Place::Start | Place::At(_) }) => step,
        };
        Ok((rows.sink, done))
    }

    /// How many rows come before those of a scan; `None` when there are more than
    /// [`OFFSET_COUNT_MAX`], tombstones included.
    pub async fn offset(
        &self,
        grant: &Grant<Read>,
        scan: &DocumentScan,
    ) -> Result<Option<u64>, StorageError> {
        self.inner.check(grant);
        if scan.in_conflict {
            self.inner.list_conflicts().await?;
        }
        let range = self.range(scan);
        let all = Scan::prefix(&self.inner.keys.family(family_of(scan)), scan.direction);
        let before = match scan.direction {
            Direction::Ascending => Scan { start: all.start, end: complement(range.start), ..all },
            Direction::Descending => Scan { start: complement(range.end), end: all.end, ..all },
        };
        let plan = Plan::new(vec![Step::Scan(before)]);
        let count = self.inner.shared.engine.read_to_end(plan, Count::default()).await?;
        self.inner.check_alive()?;
        count.failure.check()?;
        Ok((count.visited <= OFFSET_COUNT_MAX).then_some(count.rows))
    }

    /// What there is of documents whose ids begin with the partition's name and a colon. Its cost
    /// grows with the partition.
    pub async fn partition_info(
        &self,
        grant: &Grant<Read>,
        partition: &str,
    ) -> Result<PartitionInfo, StorageError> {
        self.inner.check(grant);
        let prefix = self.inner.keys.head_at(&format!("{partition}:"));
        let plan = Plan::new(vec![Step::Scan(Scan::prefix(&prefix, Direction::Ascending))]);
        let counting = Partition::default();
        let counted = self.inner.shared.engine.read_to_end(plan, counting).await?;
        self.inner.check_alive()?;
        counted.failure.check()?;
        Ok(counted.info)
    }

    fn range(&self, scan: &DocumentScan) -> Scan {
        id_range(self.inner.keys, family_of(scan), (&scan.start, &scan.end), scan.direction)
    }
}

/// Heads, or the rows of documents in conflict, whose ids lie between the bounds.
pub(crate) fn id_range(
    keys: Keys,
    family: u8,
    (start, end): (&Bound<String>, &Bound<String>),
    direction: Direction,
) -> Scan {
    let all = Scan::prefix(&keys.family(family), direction);
    let bound = |bound: &Bound<String>, open: Bound<Vec<u8>>| match bound {
        Bound::Included(id) => Bound::Included(keys.document_at(family, id)),
        Bound::Excluded(id) => Bound::Excluded(keys.document_at(family, id)),
        Bound::Unbounded => open,
    };
    Scan { start: bound(start, all.start), end: bound(end, all.end), direction }
}

fn family_of(scan: &DocumentScan) -> u8 {
    if scan.in_conflict { keys::family::CONFLICT } else { keys::family::HEAD }
}

/// The other end of what a bound cuts off.
fn complement(bound: Bound<Vec<u8>>) -> Bound<Vec<u8>> {
    match bound {
        Bound::Included(key) => Bound::Excluded(key),
        Bound::Excluded(key) => Bound::Included(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

struct Rows<S> {
    keys: Keys,
    content: bool,
    skip: u64,
    limit: u64,
    looks_up: bool,
    sink: S,
    /// A row whose body stands in a record of its own, which is visited next.
    waiting: Option<Waiting>,
    failure: Failure,
}

struct Waiting {
    id: String,
    head: Vec<u8>,
    head_key: Vec<u8>,
}

impl<S> Rows<S>
where
    S: for<'r> Sink<DocumentRow<'r>>,
{
    fn new(keys: Keys, content: bool, skip: u64, limit: u64, looks_up: bool, sink: S) -> Self {
        let failure = Failure::default();
        Self { keys, content, skip, limit, looks_up, sink, waiting: None, failure }
    }

    fn look(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Visit, StorageError> {
        if let Some(Waiting { id, head, head_key }) = self.waiting.take() {
            let lost =
                || StorageError::Inconsistent { reason: format!("a body of {id:?} is gone") };
            let payload = decode_record(key, value.ok_or_else(lost)?)?;
            return self.row(&id, &HeadView::decode(&head_key, &head)?, payload);
        }
        if let Some(id) = keys::conflict_of(key) {
            return Ok(Visit::Follow(self.keys.head_at(id)));
        }
        let id = keys::text_of(key).unwrap_or_default();
        let Some(value) = value else { return Ok(self.emit(&DocumentRow { id, found: None })) };
        let head = HeadView::decode(key, value)?;
        let winner = head.winner()?;
        if winner.deleted && !self.looks_up {
            return Ok(Visit::Next);
        }
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(Visit::Next);
        }
        if !self.content || winner.deleted {
            let conflicts = winner_and_conflicts(&head)?.1;
            let (rev, deleted, conflicts) = (&winner.rev, winner.deleted, &*conflicts);
            let found = Some(FoundDocument { rev, deleted, conflicts, content: None });
            return Ok(self.emit(&DocumentRow { id, found }));
        }
        match winner.body {
            BodyView::Inline(payload) => self.row(id, &head, payload),
            BodyView::Record { number, .. } => {
                let (id, head) = (id.to_owned(), value.to_vec());
                self.waiting = Some(Waiting { id, head, head_key: key.to_vec() });
                Ok(Visit::Follow(self.keys.body(number)))
            }
        }
    }

    fn row(
        &mut self,
        id: &str,
        head: &HeadView<'_>,
        payload: &[u8],
    ) -> Result<Visit, StorageError> {
        let (attachments, body) = decode_payload(payload)?;
        let (winner, conflicts) = winner_and_conflicts(head)?;
        let content = DocumentContent {
            body,
            attachments: &attachments,
            conflicts: &conflicts,
            sequence: head.sequence,
        };
        let (rev, conflicts) = (&winner, &*conflicts);
        let found = FoundDocument { rev, deleted: false, conflicts, content: Some(content) };
        let found = Some(found);
        Ok(self.emit(&DocumentRow { id, found }))
    }

    fn emit(&mut self, row: &DocumentRow<'_>) -> Visit {
        self.limit -= 1;
        match (self.sink.row(row), self.limit) {
            (_, 0) => Visit::Stop,
            (More::Yes, _) => Visit::Next,
            (More::Enough, _) => Visit::Pause,
        }
    }
}

/// The winner, and the live leaves that it won against.
pub(super) fn winner_and_conflicts(
    head: &HeadView<'_>,
) -> Result<(RevId, Vec<RevId>), StorageError> {
    let mut leaves = head.leaves();
    let winner = leaves.next().expect("decode refuses a head without leaves")?.rev;
    let mut conflicts = Vec::new();
    for leaf in leaves {
        let leaf = leaf?;
        if !leaf.deleted {
            conflicts.push(leaf.rev);
        }
    }
    Ok((winner, conflicts))
}

impl<S> Visitor for Rows<S>
where
    S: for<'r> Sink<DocumentRow<'r>>,
{
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(key, value).unwrap_or_else(|error| self.failure.stop(error))
    }
}

/// Counts and sizes of a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartitionInfo {
    pub doc_count: u64,
    pub deleted_count: u64,
    /// Keys and values of the documents' records.
    pub active_bytes: u64,
    /// Bodies and attachments of all leaves.
    pub external_bytes: u64,
}

#[derive(Default)]
struct Partition {
    info: PartitionInfo,
    failure: Failure,
}

impl Partition {
    fn look(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        let head = HeadView::decode(key, value)?;
        if head.winner()?.deleted {
            self.info.deleted_count += 1;
        } else {
            self.info.doc_count += 1;
        }
        self.info.active_bytes += (key.len() + value.len()) as u64;
        for leaf in head.leaves() {
            let leaf = leaf?;
            self.info.external_bytes += leaf.size;
            if let BodyView::Record { length, .. } = leaf.body {
                self.info.active_bytes += length;
            }
        }
        Ok(())
    }
}

impl Visitor for Partition {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        match self.look(key, value.unwrap_or_default()) {
            Ok(()) => Visit::Next,
            Err(error) => self.failure.stop(error),
        }
    }
}

#[derive(Default)]
struct Count {
    rows: u64,
    /// Tombstones included.
    visited: u64,
    failure: Failure,
}

impl Visitor for Count {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let is_row = match keys::conflict_of(key) {
            Some(_) => Ok(true),
            None => HeadView::decode(key, value.unwrap_or_default())
                .and_then(|head| Ok(!head.winner()?.deleted)),
        };
        match is_row {
            Ok(is_row) => self.rows += u64::from(is_row),
            Err(error) => {
                return self.failure.stop(error);
            }
        }
        self.visited += 1;
        if self.visited <= OFFSET_COUNT_MAX { Visit::Next } else { Visit::Stop }
    }
}
