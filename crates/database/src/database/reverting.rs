//! Going back to what was. A revert writes new revisions on top of the present ones, so it replicates like any other edit,
//! and clients come to it by themselves.
//!
//! What a document was is what its winner held. A document that was not there is deleted, with every live branch; one whose
//! winner holds something else now is given what it held. Branches that have not won stay where they are.
//!
//! First it is [planned](Database::plan_revert) in slices, then [made](Database::make_revert) in one commit, which is
//! refused where a planned document has changed in between. It is small enough for that: there is a limit.

use std::collections::BTreeSet;

use settle_access::{Grant, Read, Write};
use settle_model::revision::RevId;
use thiserror::Error;

use super::keeping::is_conflict;
use crate::{
    Database,
    edit::{AttachmentEdit, AttachmentSource, Content, Edit, EditError, Origin, Verdict},
    error::StorageError,
    limits::{PAST_ROWS_MAX, REVERT_BYTES_MAX, REVERT_DOCUMENTS_MAX},
    past::{
        difference::Difference,
        documents::{Bodies, BodyThen, LeafThen, Portion, Then},
        moment::{Moment, PastError, SnapshotName},
    },
    read::content,
    record::body::{Attachment, decode_payload},
    scan::Next,
    writer::{keep::KeepError, revert::RevertRefused},
};

/// A document that a revert changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reversal {
    pub id: String,
    /// Its winner now, and whether that is a tombstone.
    pub now: (RevId, bool),
    /// The winner whose content it gets; `None` where it is deleted.
    pub then: Option<RevId>,
    /// Of that content, roughly.
    pub bytes: u64,
    /// Of the document's newest change.
    seen: u64,
    /// Its live leaves.
    live: Vec<RevId>,
}

#[derive(Debug, Error)]
pub enum RevertError {
    #[error("the revert changes more than {documents} documents or {bytes} bytes")]
    TooLarge { documents: usize, bytes: usize },
    #[error("documents changed while they were looked at")]
    Conflict,
    #[error("a document cannot be brought back")]
    Edit(#[source] EditError),
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error(transparent)]
    Past(#[from] PastError),
}

impl RevertError {
    pub fn too_large() -> Self {
        Self::TooLarge { documents: REVERT_DOCUMENTS_MAX, bytes: REVERT_BYTES_MAX }
    }
}

impl From<StorageError> for RevertError {
    fn from(error: StorageError) -> Self {
        Self::Past(error.into())
    }
}

impl Database {
    /// One slice of what going back to a moment would change: documents that have changed after `since`, up to
    /// `until`, and not after that; `None` for the present. Of these, only `ids` where they are said.
    pub async fn plan_revert(
        &self,
        grant: &Grant<Read>,
        to: Moment,
        (since, until): (u64, Option<Moment>),
        ids: Option<&BTreeSet<String>>,
    ) -> Result<(Vec<Reversal>, Next<u64>), RevertError> {
        let present = Moment(self.inner.state().await?.sequence);
        let last = until.unwrap_or(present);
        let (found, next) = self.difference(grant, to, last, since, PAST_ROWS_MAX).await?;
        let asked = |it: &Difference| ids.is_none_or(|ids| ids.contains(&it.id));
        let differences: Vec<Difference> = found.into_iter().filter(asked).collect();
        let ids: Vec<String> = differences.into_iter().map(|it| it.id).collect();
        let mut reversals = Vec::new();
        let (bodies, portion) = (Bodies::Winner, Portion::WHOLE);
        let mut done = 0;
        while let Some(ids @ [_, ..]) = ids.get(done..) {
            let then = self.inner.then_some(ids, to, bodies, portion).await?;
            let ids = &ids[..then.len()];
            let now = self.inner.then_some(ids, Moment::PRESENT, bodies, portion).await?;
            done += now.len();
            for (now, then) in now.into_iter().zip(then) {
                if let Some(now) = now.filter(|now| until.is_none_or(|it| now.sequence <= it.0)) {
                    reversals.extend(Reversal::of(now, then.filter(Then::is_live))?);
                }
            }
        }
        let next = match next {
            Next::Done => Next::Done,
            Next::Go(cursor) => Next::Go(cursor.at),
        };
        Ok((reversals, next))
    }

    /// Makes what was planned, all of it or nothing, with a snapshot of what was there before. Gives
    /// [`RevertError::Conflict`] where one of the documents has changed since.
    pub async fn make_revert(
        &self,
        grants: (&Grant<Read>, &Grant<Write>),
        to: Moment,
        reversals: &[Reversal],
        snapshot: Option<SnapshotName>,
    ) -> Result<(), RevertError> {
        let (read, write) = grants;
        self.inner.check(read);
        if reversals.len() > REVERT_DOCUMENTS_MAX {
            return Err(RevertError::too_large());
        }
        let mut edits = Vec::with_capacity(reversals.len());
        let (mut bytes, mut done) = (0, 0);
        while let Some(rest @ [_, ..]) = reversals.get(done..) {
            let ids = rest.iter().take(PAST_ROWS_MAX).map(|it| it.id.clone());
            let ids: Vec<String> = ids.collect();
            let found = self.inner.then_some(&ids, to, Bodies::Winner, Portion::WHOLE).await?;
            done += found.len();
            for (reversal, then) in rest.iter().zip(found) {
                bytes += then.as_ref().map_or(0, Then::bytes);
                reversal.add_edits(then.as_ref(), &mut edits)?;
            }
            if bytes > REVERT_BYTES_MAX {
                return Err(RevertError::too_large());
            }
        }
        match self.write_back(write, edits, snapshot).await? {
            Ok(()) => Ok(()),
            Err(refused) if is_conflict(&refused) => Err(RevertError::Conflict),
            Err(RevertRefused::Edit(error)) => Err(RevertError::Edit(error)),
            Err(RevertRefused::Snapshot(error)) => Err(error.into()),
        }
    }
}

impl Reversal {
    /// `None` where the document holds what it held.
    fn of(now: Then, then: Option<Then>) -> Result<Option<Self>, StorageError> {
        let live = now.leaves.iter().filter(|leaf| !leaf.deleted);
        let live: Vec<RevId> = live.map(|leaf| leaf.rev.clone()).collect();
        let is_there = match &then {
            Some(then) => now.is_live() && is_equal(then.winner(), now.winner())?,
            None => live.is_empty(),
        };
        if is_there {
            return Ok(None);
        }
        let winner = (now.winner().rev.clone(), now.winner().deleted);
        let bytes = then.as_ref().map_or(0, |then| then.bytes() as u64);
        let then = then.map(|then| then.winner().rev.clone());
        Ok(Some(Self { id: now.id, now: winner, then, bytes, seen: now.sequence, live }))
    }

    /// What it takes: one edit of the winner, or the end of every live leaf.
    fn add_edits(&self, then: Option<&Then>, edits: &mut Vec<Edit>) -> Result<(), StorageError> {
        let edit = |leaf: &RevId, deleted, content| Edit {
            id: self.id.parse().expect("ids of stored documents are ids"),
            origin: Origin::Resolution { leaf: leaf.clone(), seen: self.seen },
            deleted,
            content,
            verdict: Verdict::internal("the content was accepted when it was first written"),
        };
        let then = then.filter(|then| then.is_live()).map(|then| &then.winner().body);
        if let Some(BodyThen::Here(payload)) = then {
            let (attachments, body) = content(payload.clone())?;
            let attachments = attachments.into_iter().map(|it| AttachmentEdit {
                name: it.name.clone(),
                source: AttachmentSource::Stored(it),
                revpos: None,
            });
            let attachments = attachments.collect();
            let content = Content::Whole { body: body.to_vec(), attachments };
            edits.push(edit(&self.now.0, false, content));
            return Ok(());
        }
        for leaf in &self.live {
            let content = Content::Whole { body: b"{}".to_vec(), attachments: Vec::new() };
            edits.push(edit(leaf, true, content));
        }
        Ok(())
    }
}

/// Whether two revisions hold the same.
fn is_equal(then: &LeafThen, now: &LeafThen) -> Result<bool, StorageError> {
    if then.rev == now.rev {
        return Ok(true);
    }
    let (BodyThen::Here(then), BodyThen::Here(now)) = (&then.body, &now.body) else {
        return Ok(false);
    };
    let (then_attachments, then) = decode_payload(then)?;
    let (now_attachments, now) = decode_payload(now)?;
    let attachments = |all: Vec<Attachment>| -> Vec<Attachment> {
        all.into_iter().map(|it| Attachment { revpos: 0, ..it }).collect()
    };
    Ok(then == now && attachments(then_attachments) == attachments(now_attachments))
}
