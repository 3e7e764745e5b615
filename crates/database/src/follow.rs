//! Consuming a database's changes from a durable cursor: what indexes do, and later replication, flows
//! and shares.
//!
//! A [`Follower`] reads changes in batches and hands each to a [`Step`], which commits what it makes of
//! them together with the cursor. Whatever fails, and whenever the process ends, the follower asks
//! the step where it stands and goes on from there, so each batch has its effects once. The last batch
//! may come again after a commit whose outcome was not known, from a cursor before it; a step that
//! keeps both in one commit cannot tell it from a new one, and need not.
//!
//! What a step sees is the newest state of each document, not every revision: a document that changed
//! twice comes once, or twice with the same state. After `reach(s)` has returned, the step has seen
//! every document as it was at sequence `s` or later, see `follow::batch`.
//!
//! Purges are changes like others: a document of which leaves remain comes as it is now, one that is
//! wholly gone comes without revision.

mod backoff;
mod batch;
mod run;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use settle_access::{Grant, Read};
pub use settle_engine::BoxFuture;
use settle_model::{revision::RevId, time::Timestamp};
use thiserror::Error;
use tokio::sync::watch;

pub use self::backoff::Backoff;
use crate::{Database, error::StorageError, render::DocumentForm};

/// Changes that a step takes in together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeBatch {
    /// The cursor before.
    pub since: u64,
    /// The cursor to commit.
    pub until: u64,
    /// In the order of their sequences, but for documents that have changed again while they were read. No
    /// document comes twice, unless it was purged and made again. May be empty.
    pub changes: Vec<Change>,
}

/// A document that changed, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Of the document's newest change; beyond the batch's `until` when it has changed again meanwhile.
    pub sequence: u64,
    pub id: String,
    /// The winner; `None` for a document that was purged and is wholly gone.
    pub rev: Option<RevId>,
    /// Whether there is no live winner.
    pub deleted: bool,
    /// Whether it has leaves besides the winner, as far as the document was looked at.
    pub has_others: bool,
    /// The winner as JSON with special members; `None` when `deleted`, unless the form asks for
    /// [tombstones](DocumentForm::tombstones), and where nothing is left of the document.
    pub document: Option<Bytes>,
}

/// What a follower does with the changes. Called from one task, one call at a time.
pub trait Step: Send + 'static {
    /// The cursor that is stored with the effects; 0 when nothing is. Asked at the start and after each
    /// failure.
    fn cursor(&mut self) -> BoxFuture<'_, Result<u64, StepError>>;

    /// Takes a batch in, and commits its effects and `batch.until` as the cursor together. Runs to its
    /// end even when the follower is told to stop.
    fn apply(&mut self, batch: ChangeBatch) -> BoxFuture<'_, Result<(), StepError>>;
}

/// Why a step could not go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StepError {
    /// It may work later: the follower waits and tries again.
    #[error("{reason}")]
    Retry { reason: String },
    /// It will never work: the follower ends.
    #[error("{reason}")]
    Fatal { reason: String },
}

impl From<StorageError> for StepError {
    fn from(error: StorageError) -> Self {
        Self::Retry { reason: with_sources(&error) }
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// How a follower goes about it.
#[derive(Debug, Clone)]
pub struct FollowOptions {
    /// For logs and tasks.
    pub name: Arc<str>,
    pub pace: Pace,
    pub form: DocumentForm,
    /// A batch ends when it has so many changes, or so many bytes of documents. Two batches are in
    /// memory at a time: one that is taken in and one that is read ahead.
    pub batch_count_max: usize,
    pub batch_bytes_max: usize,
    pub backoff: Backoff,
    /// Failures in a row after which [`Follower::reach`] answers with the error instead of waiting on.
    pub patience: u32,
}

impl FollowOptions {
    pub fn new(name: impl Into<Arc<str>>, pace: Pace) -> Self {
        Self {
            name: name.into(),
            pace,
            form: DocumentForm::default(),
            batch_count_max: 1_000,
            batch_bytes_max: 4 << 20,
            backoff: Backoff::default(),
            patience: 3,
        }
    }
}

/// When a follower works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Whenever something has changed.
    Live,
    /// When somebody waits in [`Follower::reach`].
    OnDemand,
}

/// How a follower is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub phase: Phase,
    /// The cursor; `None` until it was read.
    pub position: Option<u64>,
    /// Every document has been seen as it was at this sequence or later.
    pub complete: u64,
    /// Where the round that is under way began and where it ends, as sequences.
    pub round: Option<(u64, u64)>,
    /// Failures since something last went well.
    pub failures: u32,
    pub last_error: Option<String>,
    /// Changes taken in since the start.
    pub changes: u64,
    pub batches: u64,
    /// When a batch was last taken in.
    pub applied: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    Idle,
    Working,
    /// Something failed; it tries again after a while.
    Waiting,
    Paused,
    Ended(End),
}

/// Why a follower has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It was told to, or the store was closed, or nobody holds it any more.
    Stopped,
    /// The database was dropped.
    Gone,
    /// A [`StepError::Fatal`].
    Failed { reason: String },
}

/// Why a follower does not come as far as it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FollowError {
    #[error("the follower has been stopped")]
    Stopped,
    #[error("the database has been dropped")]
    Gone,
    #[error("the follower is paused")]
    Paused,
    /// It goes on trying.
    #[error("{reason}")]
    Failing { reason: String },
    #[error("{reason}")]
    Failed { reason: String },
}

/// A follower at work. Clones are the same one; it stops when the last of them is gone.
#[derive(Clone)]
pub struct Follower {
    handle: Arc<Handle>,
}

struct Handle {
    database: Database,
    name: Arc<str>,
    patience: u32,
    wishes: watch::Sender<Wish>,
    status: watch::Receiver<Status>,
}

/// What those who hold a follower want of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Wish {
    reach: u64,
    paused: bool,
    stopped: bool,
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Handle { database, name, .. } = &*self.handle;
        f.debug_struct("Follower").field("database", database).field("name", name).finish()
    }
}

impl Follower {
    /// Begins to follow `database`, in a task of its store.
    pub fn start(
        database: &Database,
        grant: &Grant<Read>,
        step: impl Step,
        options: FollowOptions,
    ) -> Self {
        database.inner.check(grant);
        let (wishes, wished) = watch::channel(Wish::default());
        let (publisher, status) = watch::channel(Status {
            phase: Phase::Working,
            position: None,
            complete: 0,
            round: None,
            failures: 0,
            last_error: None,
            changes: 0,
            batches: 0,
            applied: None,
        });
        let (name, patience) = (options.name.clone(), options.patience);
        let handle = Handle { database: database.clone(), name, patience, wishes, status };
        run::start(database.clone(), Box::new(step), options, wished, publisher);
        Self { handle: Arc::new(handle) }
    }

    pub fn database(&self) -> &Database {
        &self.handle.database
    }

    /// Waits until the step has seen every document as it was at `sequence`, or later; where the cursor
    /// stands then. Sets an [`OnDemand`](Pace::OnDemand) follower to work.
    pub async fn reach(&self, sequence: u64) -> Result<u64, FollowError> {
        let Handle { wishes, status, patience, .. } = &*self.handle;
        wishes.send_if_modified(|wish| {
            let is_further = wish.reach < sequence;
            wish.reach = wish.reach.max(sequence);
            is_further
        });
        let mut status = status.clone();
        let answer = |status: &Status| match &status.phase {
            Phase::Ended(end) => Some(Err(end.as_error())),
            _ if status.position.is_some() && status.complete >= sequence => {
                Some(Ok(status.position.unwrap_or_default()))
            }
            Phase::Paused => Some(Err(FollowError::Paused)),
            Phase::Waiting if status.failures >= *patience => {
                let reason = status.last_error.clone().unwrap_or_default();
                Some(Err(FollowError::Failing { reason }))
            }
            Phase::Idle | Phase::Working | Phase::Waiting => None,
        };
        let reached = status.wait_for(|status| answer(status).is_some()).await;
        match reached {
            Ok(status) => answer(&status).unwrap_or(Err(FollowError::Stopped)),
            Err(_) => Err(FollowError::Stopped),
        }
    }

    pub fn status(&self) -> Status {
        self.handle.status.borrow().clone()
    }

    /// How many sequences the cursor is behind the database.
    pub fn lag(&self) -> u64 {
        let position = self.handle.status.borrow().position.unwrap_or_default();
        self.handle.database.sequence().saturating_sub(position)
    }

    /// Ends when the status has changed since this was last called on a receiver of its own.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.handle.status.clone()
    }

    /// No further batch is begun until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.wish(|wish| wish.paused = true);
    }

    pub fn resume(&self) {
        self.wish(|wish| wish.paused = false);
    }

    /// Waits for the batch that is being taken in, and ends.
    pub async fn stop(&self) {
        self.wish(|wish| wish.stopped = true);
        let mut status = self.handle.status.clone();
        drop(status.wait_for(|status| matches!(status.phase, Phase::Ended(_))).await);
    }

    fn wish(&self, change: impl FnOnce(&mut Wish)) {
        self.handle.wishes.send_modify(change);
    }
}

impl End {
    fn as_error(&self) -> FollowError {
        match self {
            Self::Stopped => FollowError::Stopped,
            Self::Gone => FollowError::Gone,
            Self::Failed { reason } => FollowError::Failed { reason: reason.clone() },
        }
    }
}
