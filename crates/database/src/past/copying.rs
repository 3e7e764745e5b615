//! Another database made of what one was: every document with every leaf, deleted ones too, as replication would have
//! brought them, so that both are replicas of each other.

use std::ops::Bound;

use settle_access::{Grant, Read, Write};
use settle_engine::Direction;
use settle_model::{id::DocumentId, revision::RevPath};
use thiserror::Error;

use super::{
    documents::{Bodies, BodyThen, LeafThen, Portion, Then},
    moment::{Moment, PastError},
};
use crate::{
    Database,
    edit::{
        Atomicity, AttachmentEdit, AttachmentSource, Content, Edit, EditError, Origin, Verdict,
    },
    error::StorageError,
    read::content,
    scan::{DocumentScan, Next},
};

/// Why a copy cannot be made.
#[derive(Debug, Error)]
pub enum CopyError {
    #[error("a document cannot be written to the copy")]
    Edit(#[source] EditError),
    #[error(transparent)]
    Past(#[from] PastError),
}

impl From<StorageError> for CopyError {
    fn from(error: StorageError) -> Self {
        Self::Past(error.into())
    }
}

impl Database {
    /// Writes one slice of the documents as they were to another database, those whose ids come after `after`; where the
    /// next slice begins. What is there already stays, so a slice may be written twice.
    pub async fn copy_at(
        &self,
        grant: &Grant<Read>,
        moment: Moment,
        after: Option<&str>,
        (target, write): (&Self, &Grant<Write>),
    ) -> Result<Next<String>, CopyError> {
        self.inner.check(grant);
        let scan = DocumentScan {
            start: after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.to_owned())),
            end: Bound::Unbounded,
            direction: Direction::Ascending,
            skip: 0,
            limit: u64::MAX,
            content: true,
            in_conflict: false,
        };
        let (found, next) = self.slice_at(moment, &scan, Bodies::All, Portion::WHOLE).await?;
        let mut edits = Vec::new();
        for then in found.into_iter().flatten() {
            self.add_copies(&then, &mut edits).await?;
        }
        if !edits.is_empty() {
            let results = target.write(write, edits, Atomicity::EachAlone).await?;
            if let Some(error) = results.into_iter().find_map(Result::err) {
                return Err(CopyError::Edit(error));
            }
        }
        Ok(match next {
            Next::Done => Next::Done,
            Next::Go(DocumentScan { start: Bound::Excluded(after), .. }) => Next::Go(after),
            Next::Go(_) => Next::Go(after.unwrap_or_default().to_owned()),
        })
    }

    async fn add_copies(&self, then: &Then, edits: &mut Vec<Edit>) -> Result<(), StorageError> {
        let id: DocumentId = then.id.parse().expect("ids of stored documents are ids");
        let revs: Vec<_> = then.leaves.iter().map(|leaf| leaf.rev.clone()).collect();
        let paths = self.inner.paths(&id, &revs).await?;
        for (leaf, path) in then.leaves.iter().zip(paths) {
            edits.extend(copy(&id, leaf, path)?);
        }
        Ok(())
    }
}

fn copy(id: &DocumentId, leaf: &LeafThen, path: RevPath) -> Result<Option<Edit>, StorageError> {
    let BodyThen::Here(payload) = &leaf.body else { return Ok(None) };
    let (attachments, body) = content(payload.clone())?;
    let attachments = attachments.into_iter().map(|it| AttachmentEdit {
        name: it.name.clone(),
        revpos: Some(it.revpos),
        source: AttachmentSource::Stored(it),
    });
    let attachments = attachments.collect();
    Ok(Some(Edit {
        id: id.clone(),
        origin: Origin::Replicated { path },
        deleted: leaf.deleted,
        content: Content::Whole { body: body.to_vec(), attachments },
        verdict: Verdict::internal("the content was accepted when it was first written"),
    }))
}
