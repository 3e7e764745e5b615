//! Making a tree from rows that come in key order.
//!
//! Each level keeps its open segment and nothing else: a segment that closes becomes an entry, which
//! is an element of the next level. What comes out is what [`apply`](super::Tree::apply) would have
//! made of the same rows.

use std::ops::Bound;

use settle_engine::{Direction, Engine, Operation, Plan, Scan, Step, Visit, Visitor};

use super::{
    NewRow, ShapeKey, Tree,
    cut::{FIRST_LABEL, LABEL_STEP},
    element::Element,
    error::TreeError,
    keys::{self, CUT, TOP},
    record::{self, Reader, put_bytes, put_number},
    shape::{self, Begins, Splitter},
};

/// Makes a tree from rows that come in key order. See [`Tree::loader`].
#[derive(Debug)]
pub struct Loader {
    tree: Tree,
    shape: ShapeKey,
    /// Level 1 first.
    levels: Vec<Level>,
    last: Option<Last>,
    rows: u64,
    operations: Vec<Operation>,
    operation_bytes: usize,
    /// Segments whose partials wait for functions; of level 1 first.
    closed: Vec<Vec<Open>>,
}

#[derive(Debug)]
struct Level {
    splitter: Splitter,
    open: Option<Open>,
}

/// A segment that further elements may join.
#[derive(Debug)]
struct Open {
    /// Of its entry.
    key: Vec<u8>,
    rank: u8,
    elements: Vec<Element>,
}

/// The row that was pushed last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Last {
    sort_key: Vec<u8>,
    id: String,
    n: u32,
    /// Where the sort key is cut.
    label: u128,
}

impl Tree {
    /// For an empty tree: rows in, in the order of (sort key, id, n), operations out.
    pub fn loader(&self, shape: &ShapeKey) -> Loader {
        let level = |level| Level { splitter: Splitter::new(level, true), open: None };
        Loader {
            tree: self.clone(),
            shape: *shape,
            levels: (1..=TOP).map(level).collect(),
            last: None,
            rows: 0,
            operations: Vec::new(),
            operation_bytes: 0,
            closed: (0..TOP).map(|_| Vec::new()).collect(),
        }
    }

    /// Goes on where a loader stood at a [`checkpoint`](Loader::checkpoint) whose operations are
    /// committed. Rows that were pushed after it are pushed again.
    pub async fn resume(
        &self,
        engine: &dyn Engine,
        shape: &ShapeKey,
        checkpoint: &[u8],
    ) -> Result<Loader, TreeError> {
        let mut loader = self.loader(shape);
        let mut reader = Reader { payload: checkpoint, at: 0 };
        loader.rows = reader.number()?;
        if loader.rows == 0 {
            return Ok(loader);
        }
        let malformed = TreeError::Malformed { reason: "a loader's checkpoint" };
        let sort_key = checkpoint[reader.bytes()?].to_vec();
        let id = String::from_utf8(checkpoint[reader.bytes()?].to_vec())
            .map_err(|_| malformed.clone())?;
        let n = u32::try_from(reader.number()?).map_err(|_| malformed)?;
        let mut label = [0; keys::LABEL];
        label.copy_from_slice(&checkpoint[reader.bytes()?]);
        let label = u128::from_be_bytes(label);
        loader.last = Some(Last { sort_key, id, n, label });
        for (below, level) in (0..TOP).zip(&mut loader.levels) {
            let in_run = u32::try_from(reader.number()?).unwrap_or_default();
            level.splitter.is_first = reader.byte()? == 1;
            level.splitter.in_run = in_run;
            if reader.byte()? == 0 {
                continue;
            }
            let key = checkpoint[reader.bytes()?].to_vec();
            let rank = reader.byte()?;
            let first = &checkpoint[reader.bytes()?];
            let elements = self.elements_from(engine, below, first).await?;
            level.open = Some(Open { key, rank, elements });
        }
        Ok(loader)
    }

    /// The elements of a level from one on.
    async fn elements_from(
        &self,
        engine: &dyn Engine,
        level: u8,
        first: &[u8],
    ) -> Result<Vec<Element>, TreeError> {
        let scan = Scan {
            start: Bound::Included(self.at(level, first)),
            end: Bound::Excluded(self.end_at(level, None)),
            direction: Direction::Ascending,
        };
        let visitor = Elements { tree: self.clone(), elements: Ok(Vec::new()) };
        engine.read_to_end(Plan::new(vec![Step::Scan(scan)]), visitor).await?.elements
    }
}

struct Elements {
    tree: Tree,
    elements: Result<Vec<Element>, TreeError>,
}

impl Visitor for Elements {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let Ok(elements) = &mut self.elements else { return Visit::Stop };
        let (level, row_key) = self.tree.split(key);
        let element =
            record::open(key, value.unwrap_or_default()).and_then(|payload| match level {
                0 => Element::row(row_key, payload, self.tree.reads_rows()),
                _ => Element::entry(row_key, payload),
            });
        match element {
            Ok(element) => {
                elements.push(element);
                Visit::Next
            }
            Err(error) => {
                self.elements = Err(error);
                Visit::Stop
            }
        }
    }
}

impl Loader {
    /// The next row; rows come in the order of (sort key, id, n), each once.
    pub fn push(&mut self, row: NewRow) -> Result<(), TreeError> {
        let NewRow { sort_key, id, n, key, value } = row;
        let label = self.label(&sort_key, &id, n)?;
        let (sort, tail) = match keys::whole(&sort_key) {
            Some(_) => (None, None),
            None => (Some(keys::labelled(&sort_key, label)), Some(&sort_key[CUT..])),
        };
        let sort = sort.as_deref().unwrap_or(&sort_key);
        let rank = shape::rank(&self.shape, &sort_key, &id, n);
        let whole_id = keys::id_cut(&id).map(|_| id.as_str());
        let payload = record::row(rank, sort.len(), tail, whole_id, &key, &value);
        let row_key = keys::row_key(sort, &id, n);
        self.put(0, &row_key, &payload);
        let element = Element::row(&row_key, &payload, self.tree.reads_rows())?;
        self.rows += 1;
        self.last = Some(Last { sort_key, id, n, label });
        self.feed(1, element)
    }

    /// Bytes of keys and values of operations that [`drain`](Self::drain) would give.
    pub fn waiting_bytes(&self) -> usize {
        self.operation_bytes
    }

    /// Rows so far.
    pub fn row_count(&self) -> u64 {
        self.rows
    }

    /// Appends the operations for what was pushed since the last time.
    pub async fn drain(&mut self, operations: &mut Vec<Operation>) -> Result<(), TreeError> {
        for level in 1..=TOP {
            self.settle(level).await?;
        }
        operations.append(&mut self.operations);
        self.operation_bytes = 0;
        Ok(())
    }

    /// Where it stands after a [`drain`](Self::drain), to be committed with its operations.
    pub fn checkpoint(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_number(&mut out, self.rows);
        let Some(last) = &self.last else { return out };
        put_bytes(&mut out, &last.sort_key);
        put_bytes(&mut out, last.id.as_bytes());
        put_number(&mut out, u64::from(last.n));
        put_bytes(&mut out, &last.label.to_be_bytes());
        for level in &self.levels {
            put_number(&mut out, u64::from(level.splitter.in_run));
            out.push(u8::from(level.splitter.is_first));
            let Some(open) = &level.open else {
                out.push(0);
                continue;
            };
            out.push(1);
            put_bytes(&mut out, &open.key);
            out.push(open.rank);
            put_bytes(&mut out, &open.elements.first().expect("a segment has an element").key);
        }
        out
    }

    /// Appends the operations for all that is left. The tree is whole once they are committed.
    pub async fn finish(mut self, operations: &mut Vec<Operation>) -> Result<(), TreeError> {
        for level in 1..=TOP {
            self.settle(level).await?;
            if let Some(open) = self.levels[usize::from(level) - 1].open.take() {
                self.close(level, open)?;
            }
            self.settle(level).await?;
        }
        if self.rows > 0 {
            let at = self.tree.root();
            let value = record::seal(&at, &record::root(self.rows));
            self.operations.push(Operation::Put { key: at, value });
        }
        operations.append(&mut self.operations);
        Ok(())
    }

    /// Checks the order; the label of the row, should its sort key be cut.
    fn label(&self, sort_key: &[u8], id: &str, n: u32) -> Result<u128, TreeError> {
        let Some(last) = &self.last else { return Ok(FIRST_LABEL) };
        if (last.sort_key.as_slice(), last.id.as_str(), last.n) >= (sort_key, id, n) {
            return Err(TreeError::Disorder);
        }
        if last.sort_key == sort_key {
            return Ok(last.label);
        }
        let is_of_group = sort_key.len() > CUT
            && last.sort_key.len() > CUT
            && sort_key[..CUT] == last.sort_key[..CUT];
        Ok(if is_of_group { last.label.saturating_add(LABEL_STEP) } else { FIRST_LABEL })
    }

    fn put(&mut self, level: u8, row_key: &[u8], payload: &[u8]) {
        let key = self.tree.at(level, row_key);
        let value = record::seal(&key, payload);
        self.operation_bytes += key.len() + value.len();
        self.operations.push(Operation::Put { key, value });
    }

    /// Adds an element to what the entries of `level` are made of.
    fn feed(&mut self, level: u8, element: Element) -> Result<(), TreeError> {
        let Some(state) = self.levels.get_mut(usize::from(level) - 1) else { return Ok(()) };
        let (key, rank) = match state.splitter.next(element.rank) {
            Begins::No => {
                if let Some(open) = &mut state.open {
                    open.elements.push(element);
                }
                return Ok(());
            }
            Begins::Here => (element.key.clone(), element.rank),
            Begins::AtTheBeginning => (Vec::new(), 0),
        };
        let before = state.open.replace(Open { key, rank, elements: vec![element] });
        before.map_or(Ok(()), |before| self.close(level, before))
    }

    /// Makes an entry of a segment, at once where no function is needed for it.
    fn close(&mut self, level: u8, segment: Open) -> Result<(), TreeError> {
        if !self.tree.reducers.are_native() {
            self.closed[usize::from(level) - 1].push(segment);
            return Ok(());
        }
        let partials = self.tree.reducers.natively(&segment.elements)?;
        self.enter(level, &segment, &partials)
    }

    /// Makes entries of the segments that wait.
    async fn settle(&mut self, level: u8) -> Result<(), TreeError> {
        let segments = std::mem::take(&mut self.closed[usize::from(level) - 1]);
        if segments.is_empty() {
            return Ok(());
        }
        let elements: Vec<&[Element]> = segments.iter().map(|it| &it.elements[..]).collect();
        let all = self.tree.reducers.partials(&elements).await?;
        for (segment, partials) in segments.iter().zip(&all) {
            self.enter(level, segment, partials)?;
        }
        Ok(())
    }

    fn enter(&mut self, level: u8, segment: &Open, partials: &[Vec<u8>]) -> Result<(), TreeError> {
        let count = segment.elements.iter().map(|element| element.count).sum();
        let payload = record::entry(segment.rank, count, partials);
        self.put(level, &segment.key, &payload);
        self.feed(level + 1, Element::entry(&segment.key, &payload)?)
    }
}
