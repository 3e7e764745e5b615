//! Making a tree from rows that come in key order.
//!
//! Each level keeps its open segment and nothing else: a segment that closes becomes an entry, which
//! is an element of the next level. What comes out is what [`apply`](super::Tree::apply) would have
//! made of the same rows.

use std::borrow::Cow;

use settle_engine::Operation;

use super::{
    NewRowRef, ShapeKey, Tree,
    cut::{FIRST_LABEL, LABEL_STEP},
    element::Element,
    error::TreeError,
    keys::{self, CUT, TOP},
    record::{self, RowContent},
    shape::{self, Begins, Splitter},
};

/// Makes a tree from rows that come in key order. See [`Tree::loader`].
#[derive(Debug)]
pub struct Loader {
    tree: Tree,
    shape: ShapeKey,
    /// Level 1 first.
    levels: Vec<Level>,
    last: Last,
    /// Room.
    identity: Vec<u8>,
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

/// The row that was pushed last, if there was one.
#[derive(Debug, Default)]
struct Last {
    sort_key: Vec<u8>,
    id: String,
    n: u32,
    /// Where the sort key is cut.
    label: u128,
}

/// What a row key has beside the sort key and the id.
const ROW_KEY_ROOM: usize = 8;

impl Last {
    fn set(&mut self, sort_key: &[u8], id: &str, n: u32, label: u128) {
        self.sort_key.clear();
        self.sort_key.extend_from_slice(sort_key);
        self.id.clear();
        self.id.push_str(id);
        (self.n, self.label) = (n, label);
    }
}

impl Tree {
    /// For an empty tree: rows in, in the order of (sort key, id, n), operations out.
    pub fn loader(&self, shape: &ShapeKey) -> Loader {
        let level = |level| Level { splitter: Splitter::new(level, true), open: None };
        Loader {
            tree: self.clone(),
            shape: *shape,
            levels: (1..=TOP).map(level).collect(),
            last: Last::default(),
            identity: Vec::new(),
            rows: 0,
            operations: Vec::new(),
            operation_bytes: 0,
            closed: (0..TOP).map(|_| Vec::new()).collect(),
        }
    }
}

impl Loader {
    /// The next row; rows come in the order of (sort key, id, n), each once.
    pub fn push(&mut self, row: NewRowRef<'_>) -> Result<(), TreeError> {
        let NewRowRef { sort_key, id, n, key, value } = row;
        let label = self.label(sort_key, id, n)?;
        let (sort, tail) = match keys::whole(sort_key) {
            Some(whole) => (Cow::Borrowed(whole), None),
            None => (Cow::Owned(keys::labelled(sort_key, label)), Some(&sort_key[CUT..])),
        };
        let rank = shape::rank_in(&self.shape, sort_key, id, n, &mut self.identity);
        let whole_id = keys::id_cut(id).map(|_| id);
        let content = RowContent { rank, sort_length: sort.len(), tail, id: whole_id, key, value };
        let mut at = self.tree.level(0, sort.len() + id.len() + ROW_KEY_ROOM);
        let row_key_at = at.len();
        keys::push_row_key(&mut at, &sort, id, n);
        let stored = content.sealed(&at);
        let row_key = &at[row_key_at..];
        // A function is told the id, which stands in the key.
        let named = if self.tree.reducers.are_native() { &[][..] } else { row_key };
        let element = Element::row(named, record::payload_of(&stored), self.tree.reads_rows())?;
        self.rows += 1;
        self.last.set(sort_key, id, n, label);
        self.feed(1, row_key, element)?;
        self.put(at, stored);
        Ok(())
    }

    /// Bytes of keys and values of operations that [`drain`](Self::drain) would give.
    pub fn waiting_bytes(&self) -> usize {
        self.operation_bytes
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
        let last = &self.last;
        if self.rows == 0 {
            return Ok(FIRST_LABEL);
        }
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

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.operation_bytes += key.len() + value.len();
        self.operations.push(Operation::Put { key, value });
    }

    /// Adds the element at `row_key` to what the entries of `level` are made of.
    fn feed(&mut self, level: u8, row_key: &[u8], element: Element) -> Result<(), TreeError> {
        let Some(state) = self.levels.get_mut(usize::from(level) - 1) else { return Ok(()) };
        let (key, rank) = match state.splitter.next(element.rank) {
            Begins::No => {
                if let Some(open) = &mut state.open {
                    open.elements.push(element);
                }
                return Ok(());
            }
            Begins::Here => (row_key.to_vec(), element.rank),
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
        let at = self.tree.at(level, &segment.key);
        let value = record::seal(&at, &payload);
        self.put(at, value);
        self.feed(level + 1, &segment.key, Element::entry(&segment.key, &payload)?)
    }
}
