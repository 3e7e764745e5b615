//! The operations that every engine offers, and what may be assumed of each.

use std::{any::Any, fmt, future::Future, ops::Bound, path::Path, pin::Pin};

use thiserror::Error;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The visitor, with what it gathered, and how far it got.
pub type ReadResult = Result<(Box<dyn Visitor>, Progress), ReadError>;

/// One store of ordered keys. Shared by every database of a site.
///
/// Keys are 1 to [`crate::key::LENGTH_MAX`] bytes, values 0 to 16 MiB.
pub trait Engine: Send + Sync + fmt::Debug + 'static {
    /// Runs `plan` against one consistent view and hands each row to `visitor`, in order, as
    /// borrowed bytes. Called for every request. A plan of gets alone runs inline; one with scans
    /// runs on a bounded pool. A slice ends after 20 ms or 16 MiB of visited values, whichever is
    /// first, and says where to go on ([`Progress::Paused`]); each slice has a view of its own.
    ///
    /// Callers use [`read`](trait.Engine.html#method.read) on `dyn Engine`, which keeps the
    /// visitor's type.
    fn read_boxed(&self, plan: Plan, visitor: Box<dyn Visitor>) -> BoxFuture<'_, ReadResult>;

    /// Applies `batch` whole, or not at all. Preconditions are checked inside the write
    /// transaction, seeing earlier batches of the same group; a batch that fails never fails its
    /// neighbours. The future may be dropped: the batch is then applied or not, as a whole.
    fn commit(&self, batch: Batch) -> BoxFuture<'static, Outcome>;

    /// Deletes keys in `start..end` until about `budget_bytes` of keys and values are gone, as
    /// background work; resumable and not atomic. The caller makes sure that nobody writes there.
    fn clear(
        &self,
        start: Vec<u8>,
        end: Vec<u8>,
        budget_bytes: usize,
    ) -> BoxFuture<'_, Result<Cleared, ClearError>>;

    /// Writes a consistent, compacted copy into the empty folder `to`, while reads and commits go
    /// on. The copy opens as a store of the same engine.
    fn checkpoint<'a>(&'a self, to: &'a Path)
    -> BoxFuture<'a, Result<Checkpoint, CheckpointError>>;

    /// Figures for metrics; cheap enough to be asked once a second.
    fn stats(&self) -> Stats;
}

impl dyn Engine {
    /// [`Engine::read_boxed`] for a visitor of a known type, which comes back with what it gathered.
    pub async fn read<V: Visitor>(
        &self,
        plan: Plan,
        visitor: V,
    ) -> Result<(V, Progress), ReadError> {
        let (visitor, progress) = self.read_boxed(plan, Box::new(visitor)).await?;
        let any: Box<dyn Any> = visitor;
        let visitor = any.downcast::<V>().expect("engines return the visitor they were given");
        Ok((*visitor, progress))
    }

    /// As `read`, until the plan is done, over as many views as that takes.
    pub async fn read_to_end<V: Visitor>(
        &self,
        plan: Plan,
        mut visitor: V,
    ) -> Result<V, ReadError> {
        let mut next = plan;
        loop {
            let plan = next.clone();
            let (back, progress) = self.read(plan, visitor).await?;
            visitor = back;
            match progress {
                Progress::Done => return Ok(visitor),
                Progress::Paused(resume) => next.resume = Some(resume),
            }
        }
    }

    /// The value of one key, copied.
    pub async fn get(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, ReadError> {
        let plan = Plan::new(vec![Step::Get(key)]);
        Ok(self.read(plan, One(None)).await?.0.0)
    }
}

struct One(Option<Vec<u8>>);

impl Visitor for One {
    fn visit(&mut self, _: usize, _: &[u8], value: Option<&[u8]>) -> Visit {
        self.0 = value.map(<[u8]>::to_vec);
        Visit::Next
    }
}

/// What to read, in order. All steps of one slice share one view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Where an earlier slice of the same plan stopped.
    pub resume: Option<Resume>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Visits the key once, with `None` when it is absent.
    Get(Vec<u8>),
    /// Visits every key in the range.
    Scan(Scan),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    pub start: Bound<Vec<u8>>,
    pub end: Bound<Vec<u8>>,
    pub direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    /// From the greatest key of the range to the least; `start` is still the lower bound.
    Descending,
}

/// Takes what a plan finds. Runs inside a read transaction: it must be quick, must not block, and
/// must not call the engine.
pub trait Visitor: Any + Send {
    /// `step` is the index in [`Plan::steps`]. `value` is `None` only for a [`Step::Get`] or a
    /// [`Visit::Follow`] whose key is absent.
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit;
}

/// What a visitor wants next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visit {
    Next,
    /// Visit this key in the same view, with the same step index, before going on.
    Follow(Vec<u8>),
    /// Go on from the first key of the scan that does not come before this one, in the scan's
    /// direction. It may lie behind or ahead of the row just visited; bounds of the scan hold as
    /// before. So a walk over levels that stand under one prefix goes up and down in one step of a
    /// plan. Each jump ends at a row, which counts against the slice like every other; a visitor
    /// that seeks in a circle never ends. After a [`Step::Get`], the same as `Next`.
    Seek(Vec<u8>),
    /// Leave out the rest of this step.
    NextStep,
    /// The plan is done.
    Stop,
    /// End the slice here, as if its budget were used up.
    Pause,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    Done,
    Paused(Resume),
}

/// Where a plan goes on. Steps before `step` are done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    pub step: usize,
    pub place: Place,
}

/// How far a step has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It has not begun.
    Start,
    /// This key was visited last.
    After(Vec<u8>),
    /// The visitor sought this key when the slice ended ([`Visit::Seek`]).
    At(Vec<u8>),
}

/// Puts and deletes that are applied together, if all preconditions hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    pub preconditions: Vec<Precondition>,
    /// Applied in order: of two that name one key, the later one counts.
    pub operations: Vec<Operation>,
    pub urgency: Urgency,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precondition {
    pub key: Vec<u8>,
    pub expected: Expected,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    Absent,
    Present,
    Equals(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Put {
        key: Vec<u8>,
        value: Vec<u8>,
    },
    /// Deleting an absent key is no error.
    Delete {
        key: Vec<u8>,
    },
}

/// A committer takes waiting foreground batches first and background batches in bounded slices, so
/// that neither starves the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Urgency {
    #[default]
    Foreground,
    Background,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Atomic, and synced.
    Committed,
    /// The first precondition, by index, that does not hold. Nothing was applied.
    Refused { precondition: usize },
    /// Nothing was applied, and the engine says why.
    NotApplied { reason: String, storage_full: bool },
    /// A sync or a connection failed on the way: the batch may be there or not. The writer reads
    /// again before it answers. An embedded engine refuses further commits until it is reopened.
    Unknown { reason: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleared {
    /// Nothing is left in the range.
    Done,
    More,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    pub bytes: u64,
}

/// Sizes in bytes, counts in rows or transactions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// What the store occupies, free pages included.
    pub file_bytes: u64,
    /// Space inside the file that the next writes reuse.
    pub free_bytes: u64,
    pub keys: u64,
    pub readers: u64,
    /// How many commits the oldest reader lags behind.
    pub oldest_reader_lag: u64,
    pub commits: u64,
    pub syncs: u64,
    pub batches: u64,
    pub batches_waiting: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    #[error("the engine could not read: {reason}")]
    Failed { reason: String },
    #[error("the engine is closed")]
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClearError {
    #[error("the engine could not clear a range: {reason}")]
    Failed { reason: String },
}

#[derive(Debug, Error)]
pub enum CheckpointError {
    #[error("the engine could not write a checkpoint to {}: {reason}", to.display())]
    Failed { to: std::path::PathBuf, reason: String },
}

impl Resume {
    /// The key last visited in `step`; `None` when the step has not begun or the visitor sought
    /// another place.
    pub fn after(&self) -> Option<&[u8]> {
        match &self.place {
            Place::After(key) => Some(key),
            Place::Start | Place::At(_) => None,
        }
    }
}

impl Plan {
    pub fn new(steps: Vec<Step>) -> Self {
        Self { steps, resume: None }
    }
}

impl Scan {
    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8], direction: Direction) -> Self {
        let end = crate::key::after_prefix(prefix).map_or(Bound::Unbounded, Bound::Excluded);
        Self { start: Bound::Included(prefix.to_vec()), end, direction }
    }
}

impl Operation {
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

impl Batch {
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.operations.push(Operation::Put { key, value });
    }

    pub fn delete(&mut self, key: Vec<u8>) {
        self.operations.push(Operation::Delete { key });
    }

    pub fn require(&mut self, key: Vec<u8>, expected: Expected) {
        self.preconditions.push(Precondition { key, expected });
    }
}
