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
        let range = self.head_range(&scan);
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
        let range = self.head_range(scan);
        let all = Scan::prefix(&self.inner.keys.family(keys::family::HEAD), scan.direction);
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

    fn head_range(&self, scan: &DocumentScan) -> Scan {
        let keys = self.inner.keys;
        let all = Scan::prefix(&keys.family(keys::family::HEAD), scan.direction);
        let bound = |bound: &Bound<String>, open: Bound<Vec<u8>>| match bound {
            Bound::Included(id) => Bound::Included(keys.head_at(id)),
            Bound::Excluded(id) => Bound::Excluded(keys.head_at(id)),
            Bound::Unbounded => open,
        };
        Scan {
            start: bound(&scan.start, all.start),
            end: bound(&scan.end, all.end),
            direction: scan.direction,
        }
    }
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
            let (rev, deleted) = (&winner.rev, winner.deleted);
            let found = Some(FoundDocument { rev, deleted, content: None });
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
        let found = Some(FoundDocument { rev: &winner, deleted: false, content: Some(content) });
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
        self.look(key, value).unwrap_or_else(|error| {
            self.failure.set(error);
            Visit::Stop
        })
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
        let head = HeadView::decode(key, value.unwrap_or_default());
        match head.and_then(|head| Ok(head.winner()?.deleted)) {
            Ok(deleted) => self.rows += u64::from(!deleted),
            Err(error) => {
                self.failure.set(error);
                return Visit::Stop;
            }
        }
        self.visited += 1;
        if self.visited <= OFFSET_COUNT_MAX { Visit::Next } else { Visit::Stop }
    }
}
