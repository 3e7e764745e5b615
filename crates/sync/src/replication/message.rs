//! What goes in and out of a replication.

use std::{sync::Arc, time::Duration};

use settle_model::{
    revision::{RevId, RevPath},
    time::Timestamp,
    tree::Missing,
};
use thiserror::Error;

use super::outcome::Outcome;
use crate::{checkpoint::Checkpoint, limits::DOCUMENT_OVERHEAD_BYTES, seq::Seq};

/// The time, by two clocks. Nothing but the times in checkpoint documents follows the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Never goes back.
    pub monotonic: Duration,
    pub time_of_day: Timestamp,
}

/// One of the two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    Source,
    Target,
}

/// Names one request of one replication. A request that is tried again has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What is told to a replication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Only the time has passed. Also the first input of all.
    Tick,
    /// What became of a request. One that is not under way (any more) is ignored, so an answer may come
    /// twice, late, or never.
    Answer { request: RequestId, answer: Result<Reply, Failure> },
    /// A request goes on: bytes of its body moved, or a heartbeat came. Its time limit starts anew.
    /// `received` counts the bytes of an attachment that are in place, from its beginning; of other
    /// requests it means nothing.
    Progress { request: RequestId, received: u64 },
    /// Write a last checkpoint, and end.
    Cancel,
}

/// What a replication asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Send {
        id: RequestId,
        request: Request,
    },
    /// Nobody waits for the answer any more. What it brings may be thrown away.
    Abandon {
        id: RequestId,
    },
    /// A revision that will not be on the target. The replication goes on.
    Refused(Refusal),
    /// The last output of all.
    End(Outcome),
}

/// What one of the two databases is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Create the target, with the job's parameters. Answered with [`Reply::Done`], also if it is
    /// there.
    Create,
    /// Who the database is, and how far its changes go.
    Info(Side),
    /// The checkpoint document.
    ReadCheckpoint(Side),
    /// A page of changes behind `since`, of what the job selects, at most `limit` rows. If there are
    /// none, the first one is waited for as long as `wait` says; then an empty page is answered.
    Changes {
        since: Seq,
        limit: usize,
        wait: Option<Duration>,
    },
    /// Which of these revisions the target does not have.
    Diff(Vec<(Arc<str>, Vec<RevId>)>),
    Fetch(Fetch),
    /// Bring an attachment to where the write of its document finds it, from byte `from` on: what is
    /// before that is in place. Whoever has more of it, from an earlier run, need not fetch that. What is
    /// staged may be dropped when that write was answered, or the replication has ended.
    Stage {
        document: Arc<Document>,
        attachment: usize,
        from: u64,
    },
    /// Write revisions as they are, without making new ones. Their attachments are inside, or stubs of
    /// what the target has.
    Write(Vec<Arc<Document>>),
    /// Write one revision, with these of its attachments from where they were staged; the others are
    /// stubs of what the target has.
    WriteStaged {
        document: Arc<Document>,
        staged: Vec<usize>,
    },
    /// Make all that was written durable.
    Commit(Side),
    /// Write the checkpoint document over the revision `rev`, or anew.
    WriteCheckpoint {
        side: Side,
        rev: Option<String>,
        checkpoint: Arc<Checkpoint>,
    },
}

/// Read revisions from the source, or, of one that is no leaf any more, the leaves behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    pub wants: Vec<Want>,
    /// One request for all, or, for a source that does not know those, one for one document.
    pub bulk: bool,
    /// With the content of attachments that are newer than what `atts_since` names; else all are stubs.
    pub attachments: bool,
    /// Stop after so many bytes, and answer with what is complete; so may be done when the connection is
    /// cut. A document that alone is larger is [`Fetched::TooLarge`].
    pub bytes_max: usize,
}

/// A revision that the target does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    pub id: Arc<str>,
    pub rev: RevId,
    /// Revisions of the document that the target has, whose attachments need not be sent again.
    pub atts_since: Arc<[RevId]>,
    /// How often the source did not have it.
    pub(super) missed: u32,
}

/// A revision on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub id: Arc<str>,
    pub rev: RevId,
    /// With all special members that the target needs, as the source sent it.
    pub json: Vec<u8>,
    /// Those that are stubs in the text, in its order.
    pub attachments: Vec<Attachment>,
    /// The revision and its ancestors; needed only where there are attachments.
    pub path: Option<RevPath>,
}

/// An attachment whose content is not inside the document. Its other members are in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub name: String,
    /// The generation that it came with; `None` if the source does not say.
    pub revpos: Option<u32>,
    /// Bytes, as they are stored at the source.
    pub length: u64,
}

/// Who a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Changes when the database is another one, or lost writes.
    pub instance_start_time: String,
    pub update_seq: Seq,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub rows: Vec<Row>,
    /// Where the page ends; behind the last row if a filter left rows out.
    pub last_seq: Seq,
    /// Changes behind the page, before any filter, if the source says.
    pub pending: Option<u64>,
}

/// A changed document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// `None` in the rows between, where sources are asked to leave it out.
    pub seq: Option<Seq>,
    pub id: Arc<str>,
    /// Its leaves, or the winner alone.
    pub revs: Vec<RevId>,
    /// Leaves whose names cannot be read. They are counted as failures to write.
    pub unreadable: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Of [`Request::Create`] and [`Request::Stage`].
    Done,
    Info(Info),
    /// The document and its revision; no checkpoint if it cannot be read as one.
    Checkpoint(Option<(String, Option<Checkpoint>)>),
    Page(Page),
    /// Of those documents of which something is missing.
    Missing(Vec<(Arc<str>, Missing)>),
    /// In the order of the wants. Fewer, if there were too many bytes.
    Fetched(Vec<Fetched>),
    /// What was not written. The rest was.
    Written(Vec<Refusal>),
    /// Of [`Request::Commit`]: the database's `instance_start_time`.
    Committed(String),
    /// Of [`Request::WriteCheckpoint`]: the document's new revision.
    CheckpointWritten(String),
}

/// What became of one want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The revision, or the leaves that descend from it; none, if these came with another want.
    Documents(Vec<Document>),
    /// The source says that it has not got it.
    Missing,
    /// The source gave an error for this revision alone.
    Failed { error: String, reason: String },
    /// It does not fit the bytes that were allowed.
    TooLarge,
}

/// A revision that a database did not take or give, in the database's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub id: Arc<str>,
    /// `None` if it was not named: all revisions of the document in the request.
    pub rev: Option<RevId>,
    pub error: String,
    pub reason: String,
}

/// Why a request has no reply.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind}: {reason}")]
pub struct Failure {
    pub kind: FailureKind,
    /// In the words of the peer or of the network.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FailureKind {
    /// 401
    #[error("unauthorized")]
    Unauthorized,
    /// 403
    #[error("forbidden")]
    Forbidden,
    /// 404
    #[error("not found")]
    NotFound,
    /// 409, and of a checkpoint that was written over another revision than `rev`.
    #[error("conflict")]
    Conflict,
    /// 412 with `missing_stub`: the target does not have an attachment that it was taken to have.
    #[error("missing stub")]
    MissingStub,
    /// 413 and 414
    #[error("too large")]
    TooLarge,
    /// Any other answer that will not change: other 4xx, 501.
    #[error("refused")]
    Refused,
    /// 429, and 503 with `Retry-After`.
    #[error("busy")]
    Busy { retry_after: Option<Duration> },
    /// 408, other 5xx, and replies that make no sense.
    #[error("failed")]
    Broken,
    /// It made no progress for too long.
    #[error("timed out")]
    TimedOut,
    /// The connection could not be made, or was cut.
    #[error("connection lost")]
    Lost,
}

impl Request {
    pub fn side(&self) -> Side {
        match self {
            Self::Changes { .. } | Self::Fetch(_) | Self::Stage { .. } => Side::Source,
            Self::Create | Self::Diff(_) | Self::Write(_) | Self::WriteStaged { .. } => {
                Side::Target
            }
            Self::Info(side)
            | Self::ReadCheckpoint(side)
            | Self::Commit(side)
            | Self::WriteCheckpoint { side, .. } => *side,
        }
    }
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Source, Self::Target];

    pub(super) fn place(self) -> usize {
        match self {
            Self::Source => 0,
            Self::Target => 1,
        }
    }
}

impl Want {
    /// A first want. The replication makes its own; hosts need this for tests of theirs.
    pub fn new(id: Arc<str>, rev: RevId, atts_since: Arc<[RevId]>) -> Self {
        Self { id, rev, atts_since, missed: 0 }
    }
}

impl Document {
    /// What it takes of the memory.
    pub fn bytes(&self) -> usize {
        self.json.len() + DOCUMENT_OVERHEAD_BYTES
    }

    pub(super) fn is_design(&self) -> bool {
        self.id.starts_with("_design/")
    }

    /// The attachments that a database does not have yet which has `known` revisions of the document.
    /// What came with an ancestor that it has, it has.
    pub fn changed_attachments(&self, known: &[RevId]) -> Vec<usize> {
        let ancestors = self.path.iter().flat_map(RevPath::revs);
        let since = ancestors.filter(|rev| known.contains(rev)).map(|rev| rev.generation()).max();
        let changed = |it: &Attachment| match (it.revpos, since) {
            (Some(revpos), Some(since)) => revpos > since,
            (None, _) | (_, None) => true,
        };
        let all = self.attachments.iter().enumerate();
        all.filter(|(_, it)| changed(it)).map(|(place, _)| place).collect()
    }
}

/// What a failure says about the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failing {
    /// It may have another outcome.
    Passing,
    /// What was asked is refused; something else may not be.
    Content,
    /// Whatever is asked will be refused: by who asks, or for want of a database.
    Everything,
}

impl FailureKind {
    pub(super) fn failing(self) -> Failing {
        match self {
            Self::Busy { .. } | Self::Broken | Self::TimedOut | Self::Lost => Failing::Passing,
            Self::Conflict | Self::MissingStub | Self::TooLarge | Self::Refused => Failing::Content,
            Self::Unauthorized | Self::Forbidden | Self::NotFound => Failing::Everything,
        }
    }
}
