//! Things to do.

use std::{sync::Arc, time::Duration};

use super::message::{Document, Row, Side, Want};
use crate::checkpoint::Checkpoint;

/// One request, as far as it is known before it is sent.
#[derive(Debug)]
pub(super) enum Task {
    Create,
    Info(Side),
    ReadCheckpoint(Side),
    Changes {
        limit: usize,
        wait: Option<Duration>,
    },
    Diff {
        portion: u64,
        rows: Vec<Row>,
    },
    Fetch {
        portion: u64,
        wants: Vec<Want>,
        attachments: Attachments,
        /// Not in bulk.
        single: bool,
        /// One that did not fit among others, and may take as much as any document.
        large: bool,
    },
    Stage {
        portion: u64,
        staging: Staging,
    },
    Write {
        portion: u64,
        documents: Vec<Arc<Document>>,
    },
    WriteStaged {
        portion: u64,
        staging: Staging,
    },
    Commit(Side),
    WriteCheckpoint {
        side: Side,
        checkpoint: Arc<Checkpoint>,
    },
}

/// How the changed attachments of a document come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attachments {
    /// That is decided when they are seen.
    Unseen,
    /// Inside the document, since they are small.
    Inside,
    /// Apart from it, one at a time.
    Apart,
}

/// A document whose attachments are copied one after the other.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) document: Arc<Document>,
    /// Places in the document's list.
    pub(super) attachments: Vec<usize>,
    /// Place in `attachments` of the one that is copied now.
    pub(super) next: usize,
    /// Bytes of it that are in place. Fewer than before, if it had to begin anew.
    pub(super) received: u64,
    /// The most that were in place: only what goes beyond is progress.
    pub(super) furthest: u64,
    /// As of the [`Want`] that it came from.
    pub(super) missed: u32,
}

/// A task that waits or is under way.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) task: Task,
    /// How often it has failed as it is.
    pub(super) tries: u32,
    pub(super) not_before: Duration,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) work: Work,
    pub(super) side: Side,
    pub(super) sent: Duration,
    pub(super) deadline: Duration,
    /// Bytes that it may bring.
    pub(super) reserved: usize,
}

impl Work {
    pub(super) fn new(task: Task) -> Self {
        Self { task, tries: 0, not_before: Duration::ZERO }
    }
}

impl Task {
    pub(super) fn side(&self) -> Side {
        match self {
            Self::Changes { .. } | Self::Fetch { .. } | Self::Stage { .. } => Side::Source,
            Self::Create | Self::Diff { .. } | Self::Write { .. } | Self::WriteStaged { .. } => {
                Side::Target
            }
            Self::Info(side)
            | Self::ReadCheckpoint(side)
            | Self::Commit(side)
            | Self::WriteCheckpoint { side, .. } => *side,
        }
    }

    /// The portion that it is part of.
    pub(super) fn portion(&self) -> Option<u64> {
        match self {
            Self::Diff { portion, .. }
            | Self::Fetch { portion, .. }
            | Self::Stage { portion, .. }
            | Self::Write { portion, .. }
            | Self::WriteStaged { portion, .. } => Some(*portion),
            Self::Create
            | Self::Info(_)
            | Self::ReadCheckpoint(_)
            | Self::Changes { .. }
            | Self::Commit(_)
            | Self::WriteCheckpoint { .. } => None,
        }
    }

    /// Whether documents to write may come of it.
    pub(super) fn brings_documents(&self) -> bool {
        matches!(self, Self::Diff { .. } | Self::Fetch { .. })
    }

    /// Whether it counts among the requests to a peer. Few others exist, and changes wait for long.
    pub(super) fn takes_a_place(&self) -> bool {
        self.portion().is_some()
    }

    /// What it is called when it fails.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Create => "creation",
            Self::Info(_) => "info",
            Self::ReadCheckpoint(_) | Self::WriteCheckpoint { .. } => "checkpoint",
            Self::Changes { .. } => "changes",
            Self::Diff { .. } => "revs_diff",
            Self::Fetch { .. } => "bulk_get",
            Self::Stage { .. } => "attachment",
            Self::Write { .. } => "bulk_docs",
            Self::WriteStaged { .. } => "document",
            Self::Commit(_) => "commit",
        }
    }

    /// Cuts what carries several documents in two, keeps the first half, and returns the other.
    pub(super) fn split(&mut self) -> Option<Self> {
        fn half<T>(items: &mut Vec<T>) -> Option<Vec<T>> {
            (items.len() > 1).then(|| items.split_off(items.len().div_ceil(2)))
        }
        match self {
            Self::Diff { portion, rows } => {
                Some(Self::Diff { portion: *portion, rows: half(rows)? })
            }
            Self::Fetch { portion, wants, attachments, single, large } => Some(Self::Fetch {
                portion: *portion,
                wants: half(wants)?,
                attachments: *attachments,
                single: *single,
                large: *large,
            }),
            Self::Write { portion, documents } => {
                Some(Self::Write { portion: *portion, documents: half(documents)? })
            }
            Self::Create
            | Self::Info(_)
            | Self::ReadCheckpoint(_)
            | Self::Changes { .. }
            | Self::Stage { .. }
            | Self::WriteStaged { .. }
            | Self::Commit(_)
            | Self::WriteCheckpoint { .. } => None,
        }
    }
}
