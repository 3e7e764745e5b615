//! Bringing a tree up to date: rows first, then level by level the segments that changed.
//!
//! A change at a row key concerns one *run* of the level above: from the last entry before it that
//! begins with enough rank, to the next one behind it. Runs are read, cut anew and compared with the
//! entries that stand; what differs is written, and is what changes for the next level. Runs that
//! several changes share are read once.

use std::{collections::BTreeMap, ops::Bound};

use settle_engine::{Direction, Engine, Operation, Plan, Scan, Step, Visit, Visitor};

use super::{
    NewRow, RowKey, ShapeKey, Tree,
    cut::Labels,
    element::Element,
    error::TreeError,
    keys::{self, CUT, TOP},
    record::{self, EntryView, RowContent},
    shape::{self, Begins, Splitter},
};
use crate::limits::{APPLY_READ_BYTES, APPLY_READ_RUNS};

/// What becomes of one row key of a level.
struct Change {
    key: Vec<u8>,
    /// `None`: it goes.
    to: Option<Element>,
    /// Whether it was there before, so that what begins there began there already.
    stays: bool,
}

/// A run of a level's entries, and what is below it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    /// Row key; empty at the beginning of the level.
    start: Vec<u8>,
    /// `None`: the end of the level.
    end: Option<Vec<u8>>,
}

/// A run as it stands.
#[derive(Debug, Default)]
struct Stored {
    /// Row key and value.
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    elements: Vec<Element>,
}

/// A segment as it shall be.
struct Segment {
    key: Vec<u8>,
    rank: u8,
    elements: Vec<Element>,
}

/// Row keys and payloads of rows; `None` deletes.
type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

impl Tree {
    /// Appends what deletes and puts rows, and brings counts and partials up to date. A delete of a
    /// row that is not there is no error; a put replaces, also one that is deleted in the same call.
    /// The caller commits the operations, and lets no other `apply` of this tree run meanwhile.
    pub async fn apply(
        &self,
        engine: &dyn Engine,
        shape: &ShapeKey,
        puts: Vec<NewRow>,
        deletes: Vec<RowKey>,
        operations: &mut Vec<Operation>,
    ) -> Result<(), TreeError> {
        let rows = self.rows_changed(engine, shape, puts, deletes).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut changes = Vec::with_capacity(rows.len());
        for (key, payload) in rows {
            let at = self.at(0, &key);
            match payload {
                Some(payload) => {
                    let to = Element::row(&key, &payload, self.reads_rows())?;
                    operations.push(Operation::Put { value: record::seal(&at, &payload), key: at });
                    changes.push(Change { key, to: Some(to), stays: false });
                }
                None => {
                    operations.push(Operation::Delete { key: at });
                    changes.push(Change { key, to: None, stays: false });
                }
            }
        }
        let mut added = 0;
        for level in 1..=TOP {
            if changes.is_empty() {
                break;
            }
            let runs = self.runs(engine, level, &changes).await?;
            changes = self.rebuild(engine, level, runs, changes, &mut added, operations).await?;
        }
        self.put_root(engine, added, operations).await
    }

    pub(super) fn reads_rows(&self) -> bool {
        !self.reducers.is_empty()
    }

    /// What happens to each row key.
    async fn rows_changed(
        &self,
        engine: &dyn Engine,
        shape: &ShapeKey,
        puts: Vec<NewRow>,
        deletes: Vec<RowKey>,
    ) -> Result<Rows, TreeError> {
        let mut long: BTreeMap<&[u8], bool> = BTreeMap::new();
        for row in deletes.iter().filter(|row| keys::whole(&row.sort_key).is_none()) {
            long.entry(&row.sort_key).or_default();
        }
        for row in puts.iter().filter(|row| keys::whole(&row.sort_key).is_none()) {
            long.insert(&row.sort_key, true);
        }
        let mut labels = self.labels(engine, &long).await?;
        let mut rows = Rows::new();
        // A new label may be an old one of another key: what arrives counts more than what leaves.
        for (old, new, payload) in labels.moves.drain(..) {
            rows.entry(old).or_insert(None);
            rows.insert(new, Some(payload));
        }
        for row in &deletes {
            if let Some(key) = key_of(row, &labels) {
                rows.insert(key, None);
            }
        }
        for row in puts {
            let NewRow { sort_key, id, n, key, value } = row;
            let rank = shape::rank(shape, &sort_key, &id, n);
            let (sort, tail) = match keys::whole(&sort_key) {
                Some(sort) => (sort.to_vec(), None),
                None => {
                    (keys::labelled(&sort_key, labels.by_key[&sort_key]), Some(&sort_key[CUT..]))
                }
            };
            let whole_id = keys::id_cut(&id).map(|_| id.as_str());
            let (sort_length, key, value) = (sort.len(), &*key, &*value);
            let content = RowContent { rank, sort_length, tail, id: whole_id, key, value };
            rows.insert(keys::row_key(&sort, &id, n), Some(content.payload()));
        }
        Ok(rows)
    }

    /// The runs of `level` that changes of the level below concern, in order.
    async fn runs(
        &self,
        engine: &dyn Engine,
        level: u8,
        changes: &[Change],
    ) -> Result<Vec<Run>, TreeError> {
        let mut steps = Vec::with_capacity(changes.len() * 2);
        for change in changes {
            let at = self.at(level, &change.key);
            // What begins at the change may begin there no longer.
            let before = if change.stays {
                Bound::Included(at.clone())
            } else {
                Bound::Excluded(at.clone())
            };
            steps.push(Step::Scan(Scan {
                start: Bound::Included(self.at(level, b"")),
                end: before,
                direction: Direction::Descending,
            }));
            steps.push(Step::Scan(Scan {
                start: Bound::Excluded(at),
                end: Bound::Excluded(self.end_at(level, None)),
                direction: Direction::Ascending,
            }));
        }
        let finder = RunFinder {
            tree: self.clone(),
            level,
            keys: changes.iter().map(|change| change.key.clone()).collect(),
            starts: vec![None; changes.len()],
            ends: vec![None; changes.len()],
            last: None,
            failure: None,
        };
        let finder = engine.read_to_end(Plan::new(steps), finder).await?;
        if let Some(error) = finder.failure {
            return Err(error);
        }
        let mut runs: Vec<Run> = Vec::new();
        let found = changes.iter().zip(finder.starts).zip(finder.ends);
        for ((change, start), end) in found {
            let start = start.unwrap_or_default();
            match runs.last_mut() {
                Some(last) if last.end.as_ref().is_none_or(|end| *end > change.key) => {}
                Some(last) if last.end.as_ref().is_some_and(|end| *end > start) => last.end = end,
                Some(_) | None => runs.push(Run { start, end }),
            }
        }
        Ok(runs)
    }

    /// Cuts runs anew; what changes among the entries of `level`.
    async fn rebuild(
        &self,
        engine: &dyn Engine,
        level: u8,
        runs: Vec<Run>,
        changes: Vec<Change>,
        added: &mut i64,
        operations: &mut Vec<Operation>,
    ) -> Result<Vec<Change>, TreeError> {
        let mut above = Vec::new();
        let mut changes = changes.into_iter().peekable();
        let mut done = 0;
        while done < runs.len() {
            let stored = self.read_runs(engine, level, &runs[done..]).await?;
            let mut segments: Vec<Segment> = Vec::new();
            let mut entries: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            for (run, stored) in runs[done..].iter().zip(stored) {
                done += 1;
                let mut of_run = Vec::new();
                while let Some(change) =
                    changes.next_if(|it| run.end.as_ref().is_none_or(|end| it.key < *end))
                {
                    of_run.push(change);
                }
                let touched: Vec<Vec<u8>> = of_run.iter().map(|it| it.key.clone()).collect();
                let elements = merge(stored.elements, of_run);
                let mut anew = cut(level, run, elements);
                entries.extend(stored.entries);
                drop_untouched(run, &touched, &mut anew, &mut entries);
                segments.append(&mut anew);
            }
            let elements: Vec<&[Element]> = segments.iter().map(|it| &it.elements[..]).collect();
            let partials = self.reducers.partials(&elements).await?;
            for (segment, partials) in segments.into_iter().zip(partials) {
                let count: u64 = segment.elements.iter().map(|element| element.count).sum();
                let payload = record::entry(segment.rank, count, &partials);
                let at = self.at(level, &segment.key);
                let value = record::seal(&at, &payload);
                let old = entries.remove(&segment.key);
                if level == TOP {
                    *added += count.cast_signed();
                    *added -= old.as_ref().map_or(Ok(0), |old| count_of(&at, old))?.cast_signed();
                }
                if old.as_ref() != Some(&value) {
                    let to = Some(Element::entry(&segment.key, &payload)?);
                    above.push(Change { key: segment.key, to, stays: old.is_some() });
                    operations.push(Operation::Put { key: at, value });
                }
            }
            for (key, old) in entries {
                let at = self.at(level, &key);
                if level == TOP {
                    *added -= count_of(&at, &old)?.cast_signed();
                }
                operations.push(Operation::Delete { key: at });
                above.push(Change { key, to: None, stays: false });
            }
        }
        above.sort_by(|left, right| left.key.cmp(&right.key));
        Ok(above)
    }

    /// The first of some runs, as many as may be held at one time.
    async fn read_runs(
        &self,
        engine: &dyn Engine,
        level: u8,
        runs: &[Run],
    ) -> Result<Vec<Stored>, TreeError> {
        let runs = &runs[..runs.len().min(APPLY_READ_RUNS)];
        let mut steps = Vec::with_capacity(runs.len() * 2);
        for run in runs {
            for level in [level, level - 1] {
                steps.push(Step::Scan(Scan {
                    start: Bound::Included(self.at(level, &run.start)),
                    end: Bound::Excluded(self.end_at(level, run.end.as_deref())),
                    direction: Direction::Ascending,
                }));
            }
        }
        let reader = RunReader {
            tree: self.clone(),
            level,
            runs: Vec::new(),
            bytes: 0,
            whole: runs.len(),
            failure: None,
        };
        let mut reader = engine.read_to_end(Plan::new(steps), reader).await?;
        if let Some(error) = reader.failure {
            return Err(error);
        }
        reader.runs.resize_with(reader.whole, Stored::default);
        Ok(reader.runs)
    }

    async fn put_root(
        &self,
        engine: &dyn Engine,
        added: i64,
        operations: &mut Vec<Operation>,
    ) -> Result<(), TreeError> {
        let at = self.root();
        let stored = engine.get(at.clone()).await?;
        let before = match &stored {
            Some(value) => record::parse_root(record::open(&at, value)?)?,
            None => 0,
        };
        let count = before
            .checked_add_signed(added)
            .ok_or(TreeError::Malformed { reason: "the count of rows is below zero" })?;
        if count == 0 {
            operations.push(Operation::Delete { key: at });
        } else if stored.is_none() || added != 0 {
            let value = record::seal(&at, &record::root(count));
            operations.push(Operation::Put { key: at, value });
        }
        Ok(())
    }
}

fn key_of(row: &RowKey, labels: &Labels) -> Option<Vec<u8>> {
    match keys::whole(&row.sort_key) {
        Some(sort) => Some(row.in_row_key(sort)),
        None => {
            let label = *labels.by_key.get(&row.sort_key)?;
            Some(row.in_row_key(&keys::labelled(&row.sort_key, label)))
        }
    }
}

fn count_of(key: &[u8], value: &[u8]) -> Result<u64, TreeError> {
    Ok(EntryView::parse(record::open(key, value)?)?.count)
}

/// Elements of a run, with what changes.
fn merge(stored: Vec<Element>, changes: Vec<Change>) -> Vec<Element> {
    let mut merged = Vec::with_capacity(stored.len() + changes.len());
    let mut stored = stored.into_iter().peekable();
    for change in changes {
        while let Some(element) = stored.next_if(|element| element.key < change.key) {
            merged.push(element);
        }
        stored.next_if(|element| element.key == change.key);
        merged.extend(change.to);
    }
    merged.extend(stored);
    merged
}

/// The segments of a run.
fn cut(level: u8, run: &Run, elements: Vec<Element>) -> Vec<Segment> {
    let mut splitter = Splitter::new(level, run.start.is_empty());
    let mut segments: Vec<Segment> = Vec::new();
    for element in elements {
        let (key, rank) = match splitter.next(element.rank) {
            Begins::No => {
                if let Some(segment) = segments.last_mut() {
                    segment.elements.push(element);
                }
                continue;
            }
            Begins::Here => (element.key.clone(), element.rank),
            Begins::AtTheBeginning => (Vec::new(), 0),
        };
        segments.push(Segment { key, rank, elements: vec![element] });
    }
    segments
}

/// Leaves out the segments in which nothing changed, with their entries.
fn drop_untouched(
    run: &Run,
    touched: &[Vec<u8>],
    segments: &mut Vec<Segment>,
    entries: &mut BTreeMap<Vec<u8>, Vec<u8>>,
) {
    let next_entry = |entries: &BTreeMap<Vec<u8>, Vec<u8>>, key: &[u8]| {
        let behind = (Bound::Excluded(key), Bound::Unbounded);
        entries.range::<[u8], _>(behind).next().map(|(key, _)| key.clone())
    };
    let ends: Vec<Option<Vec<u8>>> = segments
        .iter()
        .skip(1)
        .map(|segment| Some(segment.key.clone()))
        .chain([run.end.clone()])
        .collect();
    let mut dropped = Vec::new();
    let mut index = 0;
    segments.retain(|segment| {
        let end = &ends[index];
        index += 1;
        let from = touched.partition_point(|key| *key < segment.key);
        let is_touched =
            touched.get(from).is_some_and(|key| end.as_ref().is_none_or(|end| key < end));
        let ended_there = next_entry(entries, &segment.key).or_else(|| run.end.clone()) == *end;
        let is_kept = !is_touched && ended_there && entries.contains_key(&segment.key);
        if is_kept {
            dropped.push(segment.key.clone());
        }
        !is_kept
    });
    for key in dropped {
        entries.remove(&key);
    }
}

/// Finds the run of each change. Steps `2 i` and `2 i + 1` look before and behind change `i`.
struct RunFinder {
    tree: Tree,
    level: u8,
    keys: Vec<Vec<u8>>,
    starts: Vec<Option<Vec<u8>>>,
    ends: Vec<Option<Vec<u8>>>,
    /// The last change that was looked for.
    last: Option<usize>,
    failure: Option<TreeError>,
}

impl RunFinder {
    /// Whether the run of an earlier change has this one in it.
    fn is_covered(&self, index: usize) -> bool {
        let earlier = self.last.filter(|&last| last < index);
        earlier
            .is_some_and(|last| self.ends[last].as_ref().is_none_or(|end| *end > self.keys[index]))
    }
}

impl Visitor for RunFinder {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let index = step / 2;
        if self.is_covered(index) {
            return Visit::NextStep;
        }
        self.last = Some(index);
        let (_, row_key) = self.tree.split(key);
        let value = value.unwrap_or_default();
        let entry = record::open(key, value).and_then(EntryView::parse);
        let is_natural = match entry {
            Ok(entry) => entry.rank >= self.level,
            Err(error) => {
                self.failure = Some(error);
                return Visit::Stop;
            }
        };
        if !is_natural {
            return Visit::Next;
        }
        if step.is_multiple_of(2) {
            self.starts[index] = Some(row_key.to_vec());
        } else {
            self.ends[index] = Some(row_key.to_vec());
        }
        Visit::NextStep
    }
}

/// Reads runs. Steps `2 i` and `2 i + 1` are the entries and the elements of run `i`.
struct RunReader {
    tree: Tree,
    level: u8,
    runs: Vec<Stored>,
    bytes: usize,
    /// Runs that are read to their end.
    whole: usize,
    failure: Option<TreeError>,
}

impl RunReader {
    fn look(&mut self, step: usize, key: &[u8], value: &[u8]) -> Result<Visit, TreeError> {
        let index = step / 2;
        if index >= self.runs.len() {
            if index > 0 && self.bytes >= APPLY_READ_BYTES {
                self.whole = index;
                return Ok(Visit::Stop);
            }
            self.runs.resize_with(index + 1, Stored::default);
        }
        self.bytes += key.len() + value.len();
        let (_, row_key) = self.tree.split(key);
        let payload = record::open(key, value)?;
        let run = &mut self.runs[index];
        if step.is_multiple_of(2) {
            run.entries.push((row_key.to_vec(), value.to_vec()));
        } else if self.level == 1 {
            run.elements.push(Element::row(row_key, payload, self.tree.reads_rows())?);
        } else {
            run.elements.push(Element::entry(row_key, payload)?);
        }
        Ok(Visit::Next)
    }
}

impl Visitor for RunReader {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(step, key, value.unwrap_or_default()).unwrap_or_else(|error| {
            self.failure = Some(error);
            Visit::Stop
        })
    }
}
