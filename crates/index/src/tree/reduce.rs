//! Reductions of ranges and of groups of rows.
//!
//! Groups are found by seeking: the first row behind a group begins the next one. Each is gone over
//! by a [`Walk`], so it costs O(log n) whatever its size, and many are found in one read. A group
//! that is walked backwards is found by its last row, and then gone over forwards like every other.
//!
//! Built-in reducers run while rows are read. What functions reduce is gathered, and they are called
//! once for all groups of a slice.

use std::ops::{Bound, Range as ByteRange};

use bytes::Bytes;
use settle_database::{Direction, Next};
use settle_engine::{Engine, Plan, Progress, Scan, Step, Visit, Visitor, key};
use settle_query::{
    collate::{self, Collation},
    design::ReduceSource,
    reduce::Native,
};
use settle_script::Rows;

use super::{
    Edge, Group, Grouping, Range, ReduceScan, Reduced, Tree,
    cut::whole_key,
    element,
    error::TreeError,
    keys::CUT,
    record::{self, EntryView, RowParts},
    reducers::{self, Piece},
    walk::{Fold, Walk, Want, earlier},
};
use crate::limits::{
    GROUPS_BYTES_MAX, GROUPS_COUNT_MAX, GROUPS_DESCENDING_COUNT_MAX, REDUCE_ROWS_BYTES,
    REDUCE_ROWS_COUNT,
};

impl Tree {
    /// One slice of the groups of a range, in order, in O(groups · log n).
    pub async fn reduce(
        &self,
        engine: &dyn Engine,
        scan: ReduceScan,
    ) -> Result<(Reduced, Next<ReduceScan>), TreeError> {
        if scan.limit == 0 {
            return Ok((Reduced::default(), Next::Done));
        }
        let source = self.reducers.get(scan.reducer)?.clone();
        let (start, end) = self.bounds(engine, &scan.range).await?;
        let mut grouper = Grouper {
            tree: self.clone(),
            grouping: scan.grouping,
            direction: match scan.grouping {
                Grouping::All => Direction::Ascending,
                Grouping::Exact | Grouping::Level(_) => scan.direction,
            },
            partition: scan.partition.clone(),
            collation: scan.collation,
            from: start,
            to: end,
            skip: scan.skip,
            limit: scan.limit,
            gather: Gather::new(&source, scan.reducer),
            current: None,
            known: None,
            wanted: None,
            is_fresh: true,
            is_done: false,
            groups: Vec::new(),
            bytes: 0,
            last_prefix: None,
            visits: 0,
            failure: None,
        };
        if scan.grouping == Grouping::All {
            grouper.begin_all();
        }
        while !grouper.is_done && !grouper.is_full() {
            let visits = grouper.visits;
            let (back, progress) = engine.read(grouper.plan(), grouper).await?;
            grouper = back;
            if let Some(error) = grouper.failure {
                return Err(error);
            }
            if let Some(wanted) = grouper.wanted.take() {
                grouper.known = Some(self.long_group(engine, wanted).await?);
            }
            grouper.restart();
            // A tree without rows has no record at all.
            grouper.is_done |= progress == Progress::Done && grouper.visits == visits;
        }
        let next = grouper.next(scan);
        let visits = grouper.visits;
        let groups = self.finish(&source, grouper.groups).await?;
        Ok((Reduced { groups, visits }, next))
    }

    /// The place of a group that begins with more bytes than a row key has of a sort key.
    async fn long_group(&self, engine: &dyn Engine, wanted: Wanted) -> Result<Known, TreeError> {
        let Wanted { row_key, prefix } = wanted;
        let range = Range {
            start: Edge::Before { sort_key: prefix.clone(), id: None },
            end: Edge::After { sort_key: prefix, id: None },
        };
        let (start, end) = self.bounds(engine, &range).await?;
        Ok(Known { row_key, start, end })
    }

    async fn finish(
        &self,
        source: &ReduceSource,
        groups: Vec<Gathered>,
    ) -> Result<Vec<Group>, TreeError> {
        let mut keys = Vec::with_capacity(groups.len());
        let mut all = Vec::with_capacity(groups.len());
        for Gathered { key, pieces } in groups {
            keys.push(key);
            all.push(pieces);
        }
        let values: Vec<Bytes> = match source {
            ReduceSource::Native(native) => {
                let values = all.iter().map(|pieces| native_value(*native, pieces));
                values.collect::<Result<_, _>>()?
            }
            ReduceSource::Script(source) => {
                let partials = self.reducers.fold(source, all).await?;
                let values = partials
                    .iter()
                    .map(|partial| reducers::result_of(partial).map(Bytes::copy_from_slice));
                values.collect::<Result<_, _>>()?
            }
        };
        Ok(keys.into_iter().zip(values).map(|(key, value)| Group { key, value }).collect())
    }
}

fn native_value(native: Native, pieces: &[Piece]) -> Result<Bytes, TreeError> {
    let partials = pieces.iter().filter_map(|piece| match piece {
        Piece::Partial(partial) => Some(partial.as_slice()),
        Piece::Rows(_) => None,
    });
    let value = match pieces {
        [Piece::Partial(partial)] => native.finish(partial)?,
        _ => native.finish(&native.combine(partials))?,
    };
    Ok(value.into())
}

/// A group whose rows have all been seen.
struct Gathered {
    key: Option<Bytes>,
    pieces: Vec<Piece>,
}

/// A group that is gone over.
struct Current {
    key: Option<Bytes>,
    walk: Walk,
    /// What the sort keys of its rows begin with; empty for the group of all rows.
    prefix: Vec<u8>,
    /// Before all its rows.
    start: Vec<u8>,
}

/// A group whose place has to be looked for in another read.
struct Wanted {
    /// The row that was met.
    row_key: Vec<u8>,
    prefix: Vec<u8>,
}

/// The place of a group, by the row that was met.
struct Known {
    row_key: Vec<u8>,
    start: Vec<u8>,
    end: Option<Vec<u8>>,
}

/// Finds groups and gathers what is reduced.
struct Grouper {
    tree: Tree,
    grouping: Grouping,
    direction: Direction,
    partition: Vec<u8>,
    collation: Collation,
    /// What is left of the range.
    from: Vec<u8>,
    to: Option<Vec<u8>>,
    skip: u64,
    limit: u64,
    gather: Gather,
    current: Option<Current>,
    known: Option<Known>,
    wanted: Option<Wanted>,
    /// Nothing has been visited in this step.
    is_fresh: bool,
    /// The range has no further groups.
    is_done: bool,
    groups: Vec<Gathered>,
    bytes: usize,
    /// Of the last group that was passed.
    last_prefix: Option<Vec<u8>>,
    visits: u64,
    failure: Option<TreeError>,
}

impl Grouper {
    fn begin_all(&mut self) {
        let walk = Walk::new(self.from.clone(), self.to.clone());
        let start = self.from.clone();
        self.current = Some(Current { key: None, walk, prefix: Vec::new(), start });
    }

    /// Whether the slice ends behind the groups that are gathered.
    fn is_full(&self) -> bool {
        self.limit == 0 || self.groups.len() >= GROUPS_COUNT_MAX || self.bytes >= GROUPS_BYTES_MAX
    }

    /// Forwards, one step does all. Backwards, groups are found and gone over in turn.
    fn plan(&self) -> Plan {
        let step = |direction| Step::Scan(self.tree.all(direction));
        match (self.direction, &self.current) {
            (Direction::Ascending, _) => Plan::new(vec![step(Direction::Ascending)]),
            (Direction::Descending, current) => {
                let found = Step::Scan(Scan {
                    start: Bound::Included(self.tree.at(0, b"")),
                    end: Bound::Excluded(self.tree.end_at(0, None)),
                    direction: Direction::Descending,
                });
                let turns = std::iter::repeat_n(
                    [found, step(Direction::Ascending)],
                    GROUPS_DESCENDING_COUNT_MAX,
                );
                let skipped = usize::from(current.is_some());
                Plan::new(turns.flatten().skip(skipped).collect())
            }
        }
    }

    /// Another view is next.
    fn restart(&mut self) {
        self.is_fresh = true;
        if let Some(current) = &mut self.current {
            current.walk.restart();
        }
    }

    fn next(&self, scan: ReduceScan) -> Next<ReduceScan> {
        let Some(prefix) = self.last_prefix.clone() else { return Next::Done };
        if self.is_done || self.limit == 0 {
            return Next::Done;
        }
        let Range { start, end } = scan.range;
        let (sort_key, id) = (prefix, None);
        let range = match self.direction {
            Direction::Ascending => Range { start: Edge::After { sort_key, id }, end },
            Direction::Descending => Range { start, end: Edge::Before { sort_key, id } },
        };
        Next::Go(ReduceScan { range, skip: self.skip, limit: self.limit, ..scan })
    }

    fn look(&mut self, key: &[u8], value: &[u8]) -> Result<Visit, TreeError> {
        self.visits += 1;
        if std::mem::take(&mut self.is_fresh) {
            return Ok(self.first_visit());
        }
        let payload = record::open(key, value)?;
        let place = self.tree.split(key);
        if self.current.is_some() {
            return self.walk(place, payload);
        }
        self.find(place, payload)
    }

    fn first_visit(&self) -> Visit {
        match (&self.current, self.direction) {
            (Some(current), _) => {
                let (level, row_key) = current.walk.begin();
                Visit::Seek(self.tree.at(level, &row_key))
            }
            (None, Direction::Ascending) => Visit::Seek(self.tree.at(0, &self.from)),
            (None, Direction::Descending) => Visit::Seek(self.tree.end_at(0, self.to.as_deref())),
        }
    }

    /// A row that the next group has: its first, or, backwards, its last.
    fn find(&mut self, place: (u8, &[u8]), payload: &[u8]) -> Result<Visit, TreeError> {
        let (level, row_key) = place;
        let is_behind = level != 0 || self.to.as_ref().is_some_and(|to| row_key >= to.as_slice());
        match self.direction {
            Direction::Ascending if is_behind => return Ok(self.done()),
            // A seek backwards may meet the very key that rows are to be before.
            Direction::Descending if is_behind => return Ok(Visit::Next),
            Direction::Descending if row_key < self.from.as_slice() => return Ok(self.done()),
            Direction::Ascending | Direction::Descending => {}
        }
        let parts = RowParts::parse(payload)?;
        let json = &payload[parts.key.clone()];
        let (prefix, key) = self.group_of(row_key, payload, &parts, json);
        let (start, end) = match self.known.take().filter(|known| known.row_key == row_key) {
            Some(known) => (known.start, known.end),
            None => match (self.grouping, parts.tail) {
                (Grouping::Exact | Grouping::All, Some(_)) => {
                    let sort = &row_key[..parts.sort_length];
                    (sort.to_vec(), key::after_prefix(sort))
                }
                (Grouping::Level(_), Some(_)) if prefix.len() > CUT => {
                    self.wanted = Some(Wanted { row_key: row_key.to_vec(), prefix });
                    return Ok(Visit::Stop);
                }
                (_, _) => (prefix.clone(), key::after_prefix(&prefix)),
            },
        };
        let start = start.max(self.from.clone());
        let end = earlier(end, self.to.as_deref());
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(self.pass(prefix, start, end));
        }
        let first = match self.direction {
            Direction::Ascending => row_key.to_vec(),
            Direction::Descending => start.clone(),
        };
        let walk = Walk::new(first, end);
        self.current = Some(Current { key: Some(key), walk, prefix, start });
        match self.direction {
            Direction::Ascending => self.walk(place, payload),
            Direction::Descending => {
                self.is_fresh = true;
                Ok(Visit::NextStep)
            }
        }
    }

    /// What the sort keys of a row's group begin with, and the key that the group is shown under.
    fn group_of(
        &self,
        row_key: &[u8],
        payload: &[u8],
        parts: &RowParts,
        json: &[u8],
    ) -> (Vec<u8>, Bytes) {
        match self.grouping {
            Grouping::All | Grouping::Exact => {
                let sort = &row_key[..parts.sort_length.min(row_key.len())];
                let prefix = match parts.tail {
                    None => sort.to_vec(),
                    Some(_) => whole_key(&sort[..CUT], payload, parts),
                };
                (prefix, Bytes::copy_from_slice(json))
            }
            Grouping::Level(level) => {
                let mut prefix = self.partition.clone();
                prefix.extend_from_slice(&collate::group_prefix(json, level, self.collation));
                (prefix, Bytes::copy_from_slice(&collate::group_key(json, level)))
            }
        }
    }

    /// Goes over the current group.
    fn walk(&mut self, place: (u8, &[u8]), payload: &[u8]) -> Result<Visit, TreeError> {
        let Some(current) = &mut self.current else { return Ok(Visit::Stop) };
        match current.walk.see(place, payload, &mut self.gather)? {
            Want::Next => return Ok(Visit::Next),
            Want::Seek(level, row_key) => {
                return Ok(Visit::Seek(self.tree.at(level, &row_key)));
            }
            Want::Nothing => {}
        }
        let Some(Current { key, walk, prefix, start }) = self.current.take() else {
            return Ok(Visit::Stop);
        };
        let end = walk.end().map(<[u8]>::to_vec);
        let (pieces, bytes) = self.gather.take();
        if self.grouping == Grouping::All {
            if !pieces.is_empty() {
                self.groups.push(Gathered { key, pieces });
            }
            return Ok(self.done());
        }
        self.bytes += bytes + key.as_ref().map_or(0, Bytes::len);
        self.groups.push(Gathered { key, pieces });
        self.limit -= 1;
        let is_next_row = place.0 == 0 && end.as_ref().is_some_and(|end| place.1 >= end.as_slice());
        let visit = self.pass(prefix, start, end);
        if self.is_full() {
            return Ok(Visit::Stop);
        }
        match self.direction {
            // The row that ended this group begins the next one.
            Direction::Ascending if is_next_row && !self.is_done => self.find(place, payload),
            Direction::Ascending => Ok(visit),
            Direction::Descending if self.is_done => Ok(visit),
            Direction::Descending => {
                self.is_fresh = true;
                Ok(Visit::NextStep)
            }
        }
    }

    /// Goes on behind a group, in the scan's direction.
    fn pass(&mut self, prefix: Vec<u8>, start: Vec<u8>, end: Option<Vec<u8>>) -> Visit {
        self.last_prefix = Some(prefix);
        match self.direction {
            Direction::Ascending => match end {
                Some(end) => {
                    self.from = end;
                    Visit::Seek(self.tree.at(0, &self.from))
                }
                None => self.done(),
            },
            Direction::Descending if start <= self.from => self.done(),
            Direction::Descending => {
                let visit = Visit::Seek(self.tree.at(0, &start));
                self.to = Some(start);
                visit
            }
        }
    }

    fn done(&mut self) -> Visit {
        self.is_done = true;
        Visit::Stop
    }
}

impl Visitor for Grouper {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(key, value.unwrap_or_default()).unwrap_or_else(|error| {
            self.failure = Some(error);
            Visit::Stop
        })
    }
}

/// Gathers what one group is reduced from.
struct Gather {
    reducer: usize,
    pieces: Vec<Piece>,
    /// Of the pieces.
    bytes: usize,
    rows: Gathering,
}

/// Rows that have no entry between them.
enum Gathering {
    Native { native: Native, bytes: Vec<u8>, rows: Vec<(ByteRange<usize>, ByteRange<usize>)> },
    Script { rows: Rows, bytes: usize },
}

impl Gather {
    fn new(source: &ReduceSource, reducer: usize) -> Self {
        let rows = match source {
            ReduceSource::Native(native) => {
                Gathering::Native { native: *native, bytes: Vec::new(), rows: Vec::new() }
            }
            ReduceSource::Script(_) => Gathering::Script { rows: Rows::default(), bytes: 0 },
        };
        Self { reducer, pieces: Vec::new(), bytes: 0, rows }
    }

    /// Makes a piece of the rows gathered.
    fn flush(&mut self) {
        match &mut self.rows {
            Gathering::Native { rows, .. } if rows.is_empty() => {}
            Gathering::Native { native, bytes, rows } => {
                let json =
                    rows.iter().map(|(key, value)| (&bytes[key.clone()], &bytes[value.clone()]));
                let partial = native.reduce(json);
                self.bytes += partial.len();
                self.pieces.push(Piece::Partial(partial));
                rows.clear();
                bytes.clear();
            }
            Gathering::Script { rows, .. } if rows.is_empty() => {}
            Gathering::Script { rows, bytes } => {
                self.bytes += std::mem::take(bytes);
                self.pieces.push(Piece::Rows(std::mem::take(rows)));
            }
        }
    }

    /// The pieces and their bytes.
    fn take(&mut self) -> (Vec<Piece>, usize) {
        self.flush();
        (std::mem::take(&mut self.pieces), std::mem::take(&mut self.bytes))
    }
}

impl Fold for Gather {
    fn row(&mut self, row_key: &[u8], payload: &[u8]) -> Result<(), TreeError> {
        let parts = RowParts::parse(payload)?;
        let (key, value) = (&payload[parts.key.clone()], &payload[parts.value.clone()]);
        let is_full = match &mut self.rows {
            Gathering::Native { bytes, rows, .. } => {
                let at = bytes.len();
                bytes.extend_from_slice(key);
                let middle = bytes.len();
                bytes.extend_from_slice(value);
                rows.push((at..middle, middle..bytes.len()));
                rows.len() >= REDUCE_ROWS_COUNT || bytes.len() >= REDUCE_ROWS_BYTES
            }
            Gathering::Script { rows, bytes } => {
                rows.push(key, &element::id(row_key, payload, &parts)?, value);
                *bytes += key.len() + value.len();
                rows.len() >= REDUCE_ROWS_COUNT || *bytes >= REDUCE_ROWS_BYTES
            }
        };
        if is_full {
            self.flush();
        }
        Ok(())
    }

    fn entry(&mut self, entry: &EntryView<'_>) -> Result<(), TreeError> {
        self.flush();
        let partial = record::partial(entry.partials, self.reducer)?;
        self.bytes += partial.len();
        self.pieces.push(Piece::Partial(partial.to_vec()));
        Ok(())
    }
}
