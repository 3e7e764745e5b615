//! Going over a range in key order, by entries where it has whole segments.
//!
//! ```text
//! level 2              ┌───────e────────┐
//! level 1         e e e                  e e
//! level 0    r r r                          r r
//!         start                                end
//! ```
//!
//! Up: some rows; then, on each level, the first entry behind what is taken is looked for (a *mark*),
//! until there is none before the end; what is before a mark is taken on the level below it. Down:
//! on the highest level that has a mark, entries are taken while the next one is not beyond the end;
//! what is left of the last one is gone over on the level below, and so on down to rows. A range that
//! is open at its start begins at the top.
//!
//! One view is assumed. Where a read is cut in two, [`Walk::restart`] forgets what rests on the view
//! and goes on behind what is taken.

use super::{error::TreeError, keys::TOP, record::EntryView, shape};
use crate::limits::ROWS_BEFORE_LEVELS;

/// Takes what a walk finds, in key order.
pub(super) trait Fold {
    fn row(&mut self, row_key: &[u8], payload: &[u8]) -> Result<(), TreeError>;

    /// All rows of a segment.
    fn entry(&mut self, entry: &EntryView<'_>) -> Result<(), TreeError>;
}

/// Rows from a row key on and before another one.
#[derive(Debug)]
pub(super) struct Walk {
    end: Option<Vec<u8>>,
    /// All rows of the range before this are taken. Empty: a range without a start, not yet begun.
    taken_to: Vec<u8>,
    state: State,
    /// Of level 1 first. Each is at or behind the one before it.
    marks: Vec<Vec<u8>>,
    /// An entry whose end is not known yet.
    pending: Pending,
    /// Where a range without a start is begun.
    top: u8,
}

/// Row key and payload of an entry, if there is one. Its buffers are used again and again.
#[derive(Debug, Default)]
struct Pending {
    is_there: bool,
    key: Vec<u8>,
    payload: Vec<u8>,
}

impl Pending {
    fn set(&mut self, key: &[u8], payload: &[u8]) {
        self.is_there = true;
        self.key.clear();
        self.key.extend_from_slice(key);
        self.payload.clear();
        self.payload.extend_from_slice(payload);
    }

    /// Hands it to the fold; whether there was one.
    fn take(&mut self, fold: &mut impl Fold) -> Result<bool, TreeError> {
        if std::mem::take(&mut self.is_there) {
            fold.entry(&EntryView::parse(&self.payload)?)?;
            return Ok(true);
        }
        Ok(false)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Takes rows, since ranges are often short.
    Rows { taken: u32 },
    /// Looks for the mark of a level.
    Marking { level: u8 },
    /// Takes elements before the mark of the level above.
    Up { level: u8 },
    /// Takes elements before the end.
    Down { level: u8 },
}

/// What a walk wants to see next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Want {
    Next,
    /// What is at this row key of this level, or behind.
    Seek(u8, Vec<u8>),
    /// All is taken.
    Nothing,
}

impl Walk {
    /// Looks for entries behind its first row already, since its range is likely to be long.
    pub(super) fn expect_many(&mut self) {
        if let State::Rows { taken } = &mut self.state {
            *taken = ROWS_BEFORE_LEVELS - 1;
        }
    }

    /// Whether entries stood for rows, or would have if there had been some.
    pub(super) fn had_many(&self) -> bool {
        match self.state {
            State::Rows { .. } => false,
            State::Marking { .. } | State::Up { .. } => true,
            State::Down { .. } => !self.marks.is_empty(),
        }
    }

    /// `start` is empty where the range has none.
    pub(super) fn new(start: Vec<u8>, end: Option<Vec<u8>>) -> Self {
        Self::begun_at(TOP, start, end)
    }

    /// From the first of so many rows to `end`. Levels that have hardly an entry are left out; any level
    /// will do, so `rows` may be what another view had.
    pub(super) fn from_first(rows: u64, end: Option<Vec<u8>>) -> Self {
        Self::begun_at(shape::level_of_few(rows), Vec::new(), end)
    }

    fn begun_at(top: u8, start: Vec<u8>, end: Option<Vec<u8>>) -> Self {
        let state =
            if start.is_empty() { State::Down { level: top } } else { State::Rows { taken: 0 } };
        let (marks, pending) = (Vec::new(), Pending::default());
        Self { end, taken_to: start, state, marks, pending, top }
    }

    pub(super) fn end(&self) -> Option<&[u8]> {
        self.end.as_deref()
    }

    /// Forgets what was seen but not taken; [`begin`](Self::begin) says where to go on.
    pub(super) fn restart(&mut self) {
        *self = Self::begun_at(self.top, std::mem::take(&mut self.taken_to), self.end.take());
    }

    /// Where it wants to begin.
    pub(super) fn begin(&self) -> (u8, Vec<u8>) {
        let level = if self.taken_to.is_empty() { self.top } else { 0 };
        (level, self.taken_to.clone())
    }

    /// Sees the record at a row key of a level. A record of another level than was asked for says
    /// that the level has nothing there.
    pub(super) fn see(
        &mut self,
        (level, key): (u8, &[u8]),
        payload: &[u8],
        fold: &mut impl Fold,
    ) -> Result<Want, TreeError> {
        match self.state {
            State::Rows { taken } => {
                if level != 0 || self.is_beyond(key) {
                    return Ok(Want::Nothing);
                }
                self.take_row(key, payload, fold)?;
                if taken + 1 < ROWS_BEFORE_LEVELS {
                    self.state = State::Rows { taken: taken + 1 };
                    return Ok(Want::Next);
                }
                self.state = State::Marking { level: 1 };
                Ok(Want::Seek(1, self.taken_to.clone()))
            }
            State::Marking { level: marking } => {
                if level != marking || self.is_beyond(key) {
                    return Ok(self.go_up(0));
                }
                self.marks.push(key.to_vec());
                if marking == TOP {
                    return Ok(self.go_up(0));
                }
                self.state = State::Marking { level: marking + 1 };
                Ok(Want::Seek(marking + 1, key.to_vec()))
            }
            State::Up { level: of } => {
                let mark = &self.marks[usize::from(of)];
                if level == of && key < mark.as_slice() {
                    if of == 0 {
                        self.take_row(key, payload, fold)?;
                    } else {
                        self.take_pending(key, fold)?;
                        self.pending.set(key, payload);
                    }
                    return Ok(Want::Next);
                }
                let mark = mark.clone();
                self.take_pending(&mark, fold)?;
                self.taken_to = mark;
                Ok(self.go_up(of + 1))
            }
            State::Down { level: 0 } => {
                if level != 0 || self.is_beyond(key) {
                    return Ok(Want::Nothing);
                }
                self.take_row(key, payload, fold)?;
                Ok(Want::Next)
            }
            State::Down { level: of } => self.see_downwards(of, (level, key), payload, fold),
        }
    }

    fn see_downwards(
        &mut self,
        of: u8,
        (level, key): (u8, &[u8]),
        payload: &[u8],
        fold: &mut impl Fold,
    ) -> Result<Want, TreeError> {
        let at_end = self.end.as_ref().map(|end| key.cmp(end));
        match at_end {
            None | Some(std::cmp::Ordering::Less) if level == of => {
                self.take_pending(key, fold)?;
                self.pending.set(key, payload);
                Ok(Want::Next)
            }
            Some(std::cmp::Ordering::Equal) if level == of => {
                self.take_pending(key, fold)?;
                Ok(Want::Nothing)
            }
            None => {
                // The level ends, and so does its last segment: at the end of all rows.
                self.pending.take(fold)?;
                Ok(Want::Nothing)
            }
            Some(_) => {
                if !std::mem::take(&mut self.pending.is_there) {
                    return Ok(Want::Nothing);
                }
                self.state = State::Down { level: of - 1 };
                Ok(Want::Seek(of - 1, self.pending.key.clone()))
            }
        }
    }

    /// Goes on at the lowest level from `from` on that has something before the mark above it.
    fn go_up(&mut self, from: u8) -> Want {
        let marks = self.marks.iter().enumerate().skip(usize::from(from));
        let next = marks.into_iter().find(|(_, mark)| **mark > self.taken_to);
        let level = |index: usize| u8::try_from(index).expect("there are few levels");
        let (state, level) = match next {
            Some((index, _)) => (State::Up { level: level(index) }, level(index)),
            None => {
                let highest = level(self.marks.len());
                (State::Down { level: highest }, highest)
            }
        };
        self.state = state;
        Want::Seek(level, self.taken_to.clone())
    }

    fn is_beyond(&self, key: &[u8]) -> bool {
        self.end.as_ref().is_some_and(|end| key >= end.as_slice())
    }

    fn take_row(
        &mut self,
        key: &[u8],
        payload: &[u8],
        fold: &mut impl Fold,
    ) -> Result<(), TreeError> {
        fold.row(key, payload)?;
        self.taken_to.clear();
        self.taken_to.extend_from_slice(key);
        self.taken_to.push(0);
        Ok(())
    }

    /// Takes the entry that is pending; its segment ends at `end`.
    fn take_pending(&mut self, end: &[u8], fold: &mut impl Fold) -> Result<(), TreeError> {
        if self.pending.take(fold)? {
            self.taken_to.clear();
            self.taken_to.extend_from_slice(end);
        }
        Ok(())
    }
}

/// Counts rows.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) rows: u64,
}

impl Fold for Count {
    fn row(&mut self, _: &[u8], _: &[u8]) -> Result<(), TreeError> {
        self.rows += 1;
        Ok(())
    }

    fn entry(&mut self, entry: &EntryView<'_>) -> Result<(), TreeError> {
        self.rows += entry.count;
        Ok(())
    }
}

/// The row before which a range has so many rows of the tree, found from the top.
#[derive(Debug)]
pub(super) struct Select {
    /// Rows before it that are not passed over yet.
    before: u64,
    level: u8,
}

impl Select {
    pub(super) fn new(before: u64) -> Self {
        Self { before, level: TOP }
    }

    pub(super) fn begin() -> (u8, Vec<u8>) {
        (TOP, Vec::new())
    }

    /// `Some` is the row key that was looked for, or that there is none.
    pub(super) fn see(
        &mut self,
        (level, key): (u8, &[u8]),
        payload: &[u8],
    ) -> Result<Result<Want, Option<Vec<u8>>>, TreeError> {
        if level != self.level {
            return Ok(Err(None));
        }
        if level == 0 {
            if self.before == 0 {
                return Ok(Err(Some(key.to_vec())));
            }
            self.before -= 1;
            return Ok(Ok(Want::Next));
        }
        let entry = EntryView::parse(payload)?;
        if entry.count <= self.before {
            self.before -= entry.count;
            return Ok(Ok(Want::Next));
        }
        self.level -= 1;
        Ok(Ok(Want::Seek(self.level, key.to_vec())))
    }
}

/// The smaller of two ends.
pub(super) fn earlier(left: Option<Vec<u8>>, right: Option<&[u8]>) -> Option<Vec<u8>> {
    match (left, right) {
        (Some(left), Some(right)) if right < left.as_slice() => Some(right.to_vec()),
        (Some(left), _) => Some(left),
        (None, right) => right.map(<[u8]>::to_vec),
    }
}
