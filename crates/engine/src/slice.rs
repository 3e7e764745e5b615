//! Running one slice of a plan: the part of a read that is the same in every engine.
//!
//! An engine offers a [`View`], which finds keys, and says when the time is up; order of steps,
//! following, pausing and resuming are decided here, so that no two engines can differ in them.

use std::ops::Bound;

use crate::{
    Direction, Place, Plan, Progress, Resume, Scan, Step, Visit, Visitor, key,
    limits::VISITS_PER_TIME_CHECK,
};

/// One consistent view of a store.
pub trait View {
    type Error;

    type Rows<'v>: Iterator<Item = Result<(&'v [u8], &'v [u8]), Self::Error>>
    where
        Self: 'v;

    /// The key has a legal length.
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, Self::Error>;

    /// The bounds can hold something: the lower one is below the upper one, and none is empty.
    fn rows(
        &self,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
        direction: Direction,
    ) -> Result<Self::Rows<'_>, Self::Error>;
}

/// How much one slice may do. At least one row is visited in any case, so every slice gets on.
pub struct Budget<'a> {
    /// Keys and values.
    pub bytes_max: usize,
    /// What has been visited so far; a slice that goes on elsewhere takes it along.
    pub bytes_visited: usize,
    /// Asked once every [`VISITS_PER_TIME_CHECK`] visits.
    pub out_of_time: &'a mut dyn FnMut() -> bool,
}

/// Why a slice ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Done,
    /// The visitor asked for it.
    Paused(Resume),
    /// The budget is used up.
    Exhausted(Resume),
}

impl From<End> for Progress {
    fn from(end: End) -> Self {
        match end {
            End::Done => Self::Done,
            End::Paused(resume) | End::Exhausted(resume) => Self::Paused(resume),
        }
    }
}

impl std::fmt::Debug for Budget<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

/// Visits what `plan` names, from where it resumes, until it is done or the slice ends.
pub fn run<V: View>(
    view: &V,
    plan: &Plan,
    visitor: &mut dyn Visitor,
    budget: &mut Budget<'_>,
) -> Result<End, V::Error> {
    let mut slice = Slice { view, visitor, budget, visits: 0, exhausted: false };
    let (first, mut place) = match &plan.resume {
        Some(resume) => (resume.step, resume.place.clone()),
        None => (0, Place::Start),
    };
    for (index, step) in plan.steps.iter().enumerate().skip(first) {
        let flow = match step {
            Step::Get(key) => slice.get(index, key)?,
            Step::Scan(scan) => slice.scan(index, scan, place)?,
        };
        place = Place::Start;
        let next_step = || Resume { step: index + 1, place: Place::Start };
        let is_last = index + 1 == plan.steps.len();
        match flow {
            Flow::Stop => return Ok(End::Done),
            Flow::StepDone if is_last => return Ok(End::Done),
            Flow::Pause(place) => return Ok(End::Paused(Resume { step: index, place })),
            Flow::Exhausted(place) => return Ok(End::Exhausted(Resume { step: index, place })),
            Flow::PauseAfterStep if is_last => return Ok(End::Done),
            Flow::PauseAfterStep => return Ok(End::Paused(next_step())),
            Flow::StepDone if slice.exhausted => return Ok(End::Exhausted(next_step())),
            Flow::StepDone => {}
        }
    }
    Ok(End::Done)
}

struct Slice<'a, 'b, V> {
    view: &'a V,
    visitor: &'a mut dyn Visitor,
    budget: &'a mut Budget<'b>,
    visits: u32,
    exhausted: bool,
}

/// How a step ended.
enum Flow {
    StepDone,
    Stop,
    PauseAfterStep,
    /// In the middle of a scan, which goes on here.
    Pause(Place),
    Exhausted(Place),
}

impl<'a, V: View> Slice<'a, '_, V> {
    fn get(&mut self, step: usize, key: &[u8]) -> Result<Flow, V::Error> {
        let value = self.find(key)?;
        let wish = self.visit(step, key, value)?;
        Ok(match wish {
            Visit::Next | Visit::NextStep | Visit::Follow(_) | Visit::Seek(_) => Flow::StepDone,
            Visit::Stop => Flow::Stop,
            Visit::Pause => Flow::PauseAfterStep,
        })
    }

    fn scan(&mut self, step: usize, scan: &Scan, mut place: Place) -> Result<Flow, V::Error> {
        let view = self.view;
        'jump: loop {
            let Some((start, end)) = range_from(scan, &place) else { return Ok(Flow::StepDone) };
            for row in view.rows(start, end, scan.direction)? {
                let (key, value) = row?;
                match self.visit(step, key, Some(value))? {
                    Visit::Next | Visit::Follow(_) => {}
                    Visit::Seek(sought) => {
                        place = Place::At(sought);
                        if self.exhausted {
                            return Ok(Flow::Exhausted(place));
                        }
                        continue 'jump;
                    }
                    Visit::NextStep => return Ok(Flow::StepDone),
                    Visit::Stop => return Ok(Flow::Stop),
                    Visit::Pause => return Ok(Flow::Pause(Place::After(key.to_vec()))),
                }
                if self.exhausted {
                    return Ok(Flow::Exhausted(Place::After(key.to_vec())));
                }
            }
            return Ok(Flow::StepDone);
        }
    }

    /// Visits a row and what the visitor wants to follow from it; never answers `Follow`.
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Result<Visit, V::Error> {
        self.account(key, value);
        let mut wish = self.visitor.visit(step, key, value);
        while let Visit::Follow(followed) = wish {
            let value = self.find(&followed)?;
            self.account(&followed, value);
            wish = self.visitor.visit(step, &followed, value);
        }
        Ok(wish)
    }

    fn find(&self, key: &[u8]) -> Result<Option<&'a [u8]>, V::Error> {
        if key.is_empty() || key.len() > key::LENGTH_MAX { Ok(None) } else { self.view.get(key) }
    }

    fn account(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.budget.bytes_visited += key.len() + value.map_or(0, <[u8]>::len);
        self.visits += 1;
        self.exhausted |= self.budget.bytes_visited >= self.budget.bytes_max
            || (self.visits.is_multiple_of(VISITS_PER_TIME_CHECK) && (self.budget.out_of_time)());
    }
}

type Range<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// What is left of a scan that goes on at `place`; `None` when that can hold nothing.
fn range_from<'s>(scan: &'s Scan, place: &'s Place) -> Option<Range<'s>> {
    let mut start = as_slice(&scan.start);
    let mut end = as_slice(&scan.end);
    match (place, scan.direction) {
        (Place::Start, _) => {}
        (Place::After(key), Direction::Ascending) => start = Bound::Excluded(key),
        (Place::After(key), Direction::Descending) => end = Bound::Excluded(key),
        // The scan's own bound holds where it is the narrower one.
        (Place::At(sought), Direction::Ascending) => match start {
            Bound::Included(key) | Bound::Excluded(key) if key >= sought.as_slice() => {}
            Bound::Included(_) | Bound::Excluded(_) | Bound::Unbounded => {
                start = Bound::Included(sought);
            }
        },
        (Place::At(sought), Direction::Descending) => match end {
            Bound::Included(key) | Bound::Excluded(key) if key <= sought.as_slice() => {}
            Bound::Included(_) | Bound::Excluded(_) | Bound::Unbounded => {
                end = Bound::Included(sought);
            }
        },
    }
    // No key is empty, so a lower bound that is excludes nothing.
    if matches!(start, Bound::Included([]) | Bound::Excluded([])) {
        start = Bound::Unbounded;
    }
    (!is_empty(start, end)).then_some((start, end))
}

/// Whether no key can lie between the bounds.
pub fn is_empty(start: Bound<&[u8]>, end: Bound<&[u8]>) -> bool {
    match (start, end) {
        (_, Bound::Included([]) | Bound::Excluded([])) => true,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (
            Bound::Included(start) | Bound::Excluded(start),
            Bound::Included(end) | Bound::Excluded(end),
        ) => start >= end,
    }
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}
