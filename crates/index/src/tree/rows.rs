//! Rows in order, how many there are, and where they are among all.

use std::{borrow::Cow, ops::Bound};

use settle_database::{Direction, More, Next, Sink};
use settle_engine::{Engine, Plan, Progress, Scan, Step, Visit, Visitor};

use super::{
    Edge, Place, Range, RowKey, RowScan, Tree, TreeRow, element,
    error::TreeError,
    keys::{self, CUT},
    record::{self, RowParts},
    walk::{Count, Select, Walk, Want},
};
use crate::limits::SKIP_BY_ROWS;

/// Row keys between which rows lie: from the first on, and before the second. An empty first one is
/// before all rows, and none is behind all.
type Bounds = (Vec<u8>, Option<Vec<u8>>);

impl Tree {
    /// How many rows there are, in O(1).
    pub async fn total(&self, engine: &dyn Engine) -> Result<u64, TreeError> {
        let at = self.root();
        match engine.get(at.clone()).await? {
            Some(value) => record::parse_root(record::open(&at, &value)?),
            None => Ok(0),
        }
    }

    /// How many rows a range has, in O(log n).
    pub async fn count(&self, engine: &dyn Engine, range: &Range) -> Result<u64, TreeError> {
        let (start, end) = self.bounds(engine, range).await?;
        self.count_between(engine, start, end).await
    }

    /// One slice of the rows in a range: until the sink has enough, or the engine's budget is used
    /// up. Each slice shows one state; two slices may show two. Long skips cost O(log n).
    pub async fn rows<S>(
        &self,
        engine: &dyn Engine,
        scan: RowScan,
        sink: S,
    ) -> Result<(S, Next<RowScan>), TreeError>
    where
        S: for<'r> Sink<TreeRow<'r>>,
    {
        let (sink, _, next) = self.slice(engine, scan, sink, false).await?;
        Ok((sink, next))
    }

    /// As [`rows`](Self::rows), for the first slice, with the place of its first row in all rows, as
    /// of the same state.
    pub async fn rows_and_place<S>(
        &self,
        engine: &dyn Engine,
        scan: RowScan,
        sink: S,
    ) -> Result<(S, Place, Next<RowScan>), TreeError>
    where
        S: for<'r> Sink<TreeRow<'r>>,
    {
        self.slice(engine, scan, sink, true).await
    }

    /// Where the edges of a range are. The second may be before the first.
    pub(super) async fn bounds(
        &self,
        engine: &dyn Engine,
        range: &Range,
    ) -> Result<Bounds, TreeError> {
        let start = self.place(engine, &range.start, Some(Vec::new())).await?;
        let end = self.place(engine, &range.end, None).await?;
        Ok((start.unwrap_or_else(|| BEHIND_ALL.to_vec()), end))
    }

    async fn count_between(
        &self,
        engine: &dyn Engine,
        start: Vec<u8>,
        end: Option<Vec<u8>>,
    ) -> Result<u64, TreeError> {
        let mut counter = Counter::new(self, start, end);
        let plan = Plan::new(vec![Step::Scan(self.all(Direction::Ascending))]);
        loop {
            let (back, progress) = engine.read(plan.clone(), counter).await?;
            counter = back;
            if let Some(error) = counter.failure {
                return Err(error);
            }
            match progress {
                Progress::Done => return Ok(counter.count.rows),
                Progress::Paused(_) => counter.restart(),
            }
        }
    }

    /// The row key of the first row behind `skip` rows of a range.
    async fn behind_skipped(
        &self,
        engine: &dyn Engine,
        direction: Direction,
        (start, end): &Bounds,
        skip: u64,
    ) -> Result<Option<Vec<u8>>, TreeError> {
        let before = match direction {
            Direction::Ascending => self.count_between(engine, Vec::new(), Some(start.clone())),
            Direction::Descending => self.count_between(engine, Vec::new(), end.clone()),
        };
        let before = before.await?;
        let before = match direction {
            Direction::Ascending => before.checked_add(skip),
            Direction::Descending => before.checked_sub(skip).and_then(|it| it.checked_sub(1)),
        };
        let Some(before) = before else { return Ok(None) };
        let mut selector = Selector::new(self, before);
        let plan = Plan::new(vec![Step::Scan(self.all(Direction::Ascending))]);
        loop {
            let (back, progress) = engine.read(plan.clone(), selector).await?;
            match progress {
                Progress::Done => return back.found,
                Progress::Paused(_) => selector = Selector::new(self, before),
            }
        }
    }

    async fn slice<S>(
        &self,
        engine: &dyn Engine,
        scan: RowScan,
        sink: S,
        with_place: bool,
    ) -> Result<(S, Place, Next<RowScan>), TreeError>
    where
        S: for<'r> Sink<TreeRow<'r>>,
    {
        let bounds = self.bounds(engine, &scan.range).await?;
        let mut rows = Some(Scan {
            start: Bound::Included(self.at(0, &bounds.0)),
            end: Bound::Excluded(self.end_at(0, bounds.1.as_deref())),
            direction: scan.direction,
        });
        let mut skip = scan.skip;
        if skip > SKIP_BY_ROWS && scan.limit > 0 {
            let first = self.behind_skipped(engine, scan.direction, &bounds, skip).await?;
            rows = rows.zip(first).map(|(rows, first)| {
                let first = Bound::Included(self.at(0, &first));
                match rows.direction {
                    Direction::Ascending => Scan { start: first, ..rows },
                    Direction::Descending => Scan { end: first, ..rows },
                }
            });
            skip = 0;
        }
        let mut steps = vec![Step::Get(self.root())];
        if !with_place {
            steps.clear();
        }
        let (start, end) = bounds;
        let before = match scan.direction {
            Direction::Ascending => Some(start).filter(|start| !start.is_empty()),
            Direction::Descending => end,
        };
        let counts = with_place && before.is_some();
        if counts {
            steps.push(Step::Scan(self.all(Direction::Ascending)));
        }
        let rows_step = steps.len();
        let has_rows = rows.is_some() && scan.limit > 0;
        steps.extend(rows.filter(|_| has_rows).map(Step::Scan));
        let plan = Plan::new(steps);
        let mut reader = RowReader {
            tree: self.clone(),
            rows_step,
            total: 0,
            before: before.filter(|_| counts).map(Before::To),
            skip,
            limit: scan.limit,
            sink,
            last: LastRow::default(),
            failure: None,
        };
        let is_done = loop {
            let (back, progress) = engine.read(plan.clone(), reader).await?;
            reader = back;
            if let Some(error) = reader.failure {
                return Err(error);
            }
            match progress {
                Progress::Done => break true,
                Progress::Paused(resume) if resume.step < rows_step => {
                    // All of it is of one view, so the places are found again in the next one.
                    reader.before = reader.before.map(Before::anew);
                }
                Progress::Paused(_) => break false,
            }
        };
        let before = match (scan.direction, &reader.before) {
            (_, None) => 0,
            (Direction::Ascending, Some(before)) => before.rows(),
            (Direction::Descending, Some(before)) => reader.total.saturating_sub(before.rows()),
        };
        let offset = before.saturating_add(scan.skip).min(reader.total);
        let place = Place { total: reader.total, offset };
        let RowScan { range: Range { start, end }, direction, .. } = scan;
        if is_done || reader.limit == 0 {
            return Ok((reader.sink, place, Next::Done));
        }
        let range = match (direction, reader.last.key()?) {
            (_, None) => Range { start, end },
            (Direction::Ascending, Some(last)) => Range { start: Edge::AfterRow(last), end },
            (Direction::Descending, Some(last)) => Range { start, end: Edge::BeforeRow(last) },
        };
        let next = RowScan { range, direction, skip: reader.skip, limit: reader.limit };
        Ok((reader.sink, place, Next::Go(next)))
    }
}

/// No row key begins so: a sort key begins with the mark of a type, which is small.
const BEHIND_ALL: &[u8] = &[0xFF; 8];

/// Counts the rows between two row keys.
struct Counter {
    tree: Tree,
    walk: Walk,
    count: Count,
    /// Nothing has been visited in this view.
    is_fresh: bool,
    failure: Option<TreeError>,
}

impl Counter {
    fn new(tree: &Tree, start: Vec<u8>, end: Option<Vec<u8>>) -> Self {
        Self {
            tree: tree.clone(),
            walk: Walk::new(start, end),
            count: Count::default(),
            is_fresh: true,
            failure: None,
        }
    }

    /// All rows before `end`, in a tree of so many.
    fn from_first(tree: &Tree, rows: u64, end: Vec<u8>) -> Self {
        Self { walk: Walk::from_first(rows, Some(end)), ..Self::new(tree, Vec::new(), None) }
    }

    fn restart(&mut self) {
        self.walk.restart();
        self.is_fresh = true;
    }

    /// `NextStep` when all is counted.
    fn look(&mut self, key: &[u8], value: &[u8]) -> Result<Visit, TreeError> {
        if std::mem::take(&mut self.is_fresh) {
            let (level, row_key) = self.walk.begin();
            return Ok(Visit::Seek(self.tree.at(level, &row_key)));
        }
        let payload = record::open(key, value)?;
        let want = self.walk.see(self.tree.split(key), payload, &mut self.count)?;
        Ok(match want {
            Want::Next => Visit::Next,
            Want::Seek(level, row_key) => Visit::Seek(self.tree.at(level, &row_key)),
            Want::Nothing => Visit::NextStep,
        })
    }
}

impl Visitor for Counter {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(key, value.unwrap_or_default()).unwrap_or_else(|error| {
            self.failure = Some(error);
            Visit::Stop
        })
    }
}

/// Finds the row that has so many rows before it.
struct Selector {
    tree: Tree,
    select: Select,
    is_fresh: bool,
    found: Result<Option<Vec<u8>>, TreeError>,
}

impl Selector {
    fn new(tree: &Tree, before: u64) -> Self {
        Self { tree: tree.clone(), select: Select::new(before), is_fresh: true, found: Ok(None) }
    }

    fn look(&mut self, key: &[u8], value: &[u8]) -> Result<Visit, TreeError> {
        if std::mem::take(&mut self.is_fresh) {
            let (level, row_key) = Select::begin();
            return Ok(Visit::Seek(self.tree.at(level, &row_key)));
        }
        let payload = record::open(key, value)?;
        Ok(match self.select.see(self.tree.split(key), payload)? {
            Ok(Want::Next) => Visit::Next,
            Ok(Want::Seek(level, row_key)) => Visit::Seek(self.tree.at(level, &row_key)),
            Ok(Want::Nothing) => Visit::Stop,
            Err(found) => {
                self.found = Ok(found);
                Visit::Stop
            }
        })
    }
}

impl Visitor for Selector {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(key, value.unwrap_or_default()).unwrap_or_else(|error| {
            self.found = Err(error);
            Visit::Stop
        })
    }
}

/// The rows before a row key: to be counted once it is known how many there are, or counted.
enum Before {
    To(Vec<u8>),
    Counted(Box<Counter>),
}

impl Before {
    fn rows(&self) -> u64 {
        match self {
            Self::To(_) => 0,
            Self::Counted(counter) => counter.count.rows,
        }
    }

    /// For another view.
    fn anew(self) -> Self {
        match self {
            Self::To(_) => self,
            Self::Counted(counter) => {
                Self::To(counter.walk.end().map(<[u8]>::to_vec).unwrap_or_default())
            }
        }
    }
}

/// Reads the root, counts what is before, and hands rows to a sink.
struct RowReader<S> {
    tree: Tree,
    rows_step: usize,
    total: u64,
    before: Option<Before>,
    skip: u64,
    limit: u64,
    sink: S,
    last: LastRow,
    failure: Option<TreeError>,
}

impl<S> RowReader<S>
where
    S: for<'r> Sink<TreeRow<'r>>,
{
    fn look(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Result<Visit, TreeError> {
        if step == self.rows_step {
            return self.row(key, value.unwrap_or_default());
        }
        let Some(value) = value else { return Ok(Visit::Next) };
        if step == 0 {
            self.total = record::parse_root(record::open(key, value)?)?;
            return Ok(Visit::Next);
        }
        let counter = match self.before.take() {
            None => return Ok(Visit::NextStep),
            Some(Before::Counted(counter)) => counter,
            Some(Before::To(end)) => Box::new(Counter::from_first(&self.tree, self.total, end)),
        };
        let Before::Counted(counter) = self.before.insert(Before::Counted(counter)) else {
            unreachable!("it was put there")
        };
        counter.look(key, value)
    }

    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<Visit, TreeError> {
        let payload = record::open(key, value)?;
        let parts = RowParts::parse(payload)?;
        let (_, row_key) = self.tree.split(key);
        self.last.note(row_key, payload, &parts);
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(Visit::Next);
        }
        let id = element::id(row_key, payload, &parts)?;
        let row = TreeRow {
            id: &id,
            key: &payload[parts.key.clone()],
            value: &payload[parts.value.clone()],
        };
        self.limit -= 1;
        let more = self.sink.row(&row);
        Ok(match more {
            _ if self.limit == 0 => Visit::Stop,
            More::Yes => Visit::Next,
            More::Enough => Visit::Pause,
        })
    }
}

impl<S> Visitor for RowReader<S>
where
    S: for<'r> Sink<TreeRow<'r>>,
{
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(step, key, value).unwrap_or_else(|error| {
            self.failure = Some(error);
            Visit::Stop
        })
    }
}

/// The row that was visited last; a scan goes on behind it.
#[derive(Debug, Default)]
struct LastRow {
    row_key: Vec<u8>,
    sort_length: usize,
    /// What is cut off its sort key.
    tail: Option<Vec<u8>>,
    /// The id, where the row key has only a part of it.
    id: Option<Vec<u8>>,
}

impl LastRow {
    fn note(&mut self, row_key: &[u8], payload: &[u8], parts: &RowParts) {
        self.row_key.clear();
        self.row_key.extend_from_slice(row_key);
        self.sort_length = parts.sort_length;
        self.tail = parts.tail.clone().map(|range| payload[range].to_vec());
        self.id = parts.id.clone().map(|range| payload[range].to_vec());
    }

    fn key(self) -> Result<Option<RowKey>, TreeError> {
        if self.row_key.is_empty() {
            return Ok(None);
        }
        let sort = self.row_key.get(..self.sort_length).unwrap_or_default();
        let sort_key = match self.tail {
            None => sort.to_vec(),
            Some(tail) => [sort.get(..CUT).unwrap_or_default(), &tail].concat(),
        };
        let id = match self.id {
            Some(id) => String::from_utf8_lossy(&id).into_owned(),
            None => keys::id_of(&self.row_key, self.sort_length)?
                .map(Cow::into_owned)
                .unwrap_or_default(),
        };
        let n = keys::n_of(&self.row_key, self.sort_length)?;
        Ok(Some(RowKey { sort_key, id, n }))
    }
}
