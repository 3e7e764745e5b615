//! Another database made of what one was: every document with every leaf, deleted ones too, as replication would have
//! brought them, so that both are replicas of each other.

use settle_access::{Grant, Read, Write};
use settle_engine::{Direction, Place, Plan, Progress, Resume, Step};
use settle_model::{id::DocumentId, revision::RevPath};
use thiserror::Error;

use super::{
    documents::{Bodies, BodyThen, Heads, LeafThen, Then},
    moment::{Moment, PastError},
};
use crate::{
    Database,
    edit::{
        Atomicity, AttachmentEdit, AttachmentSource, Content, Edit, EditError, Origin, Verdict,
    },
    error::StorageError,
    keys::family,
    limits::{PAST_BYTES_MAX, PAST_ROWS_MAX},
    read::content,
    scan::{Next, documents::id_range},
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
        let (found, next) = self.whole_at(moment, after).await?;
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
        Ok(next)
    }

    /// Some documents as they were, with the bodies of all leaves.
    async fn whole_at(
        &self,
        moment: Moment,
        after: Option<&str>,
    ) -> Result<(Vec<Option<Then>>, Next<String>), PastError> {
        use std::ops::Bound;
        let start = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.to_owned()));
        let keys = self.inner.keys;
        let range = id_range(keys, family::HEAD, (&start, &Bound::Unbounded), Direction::Ascending);
        let heads = Heads::new(keys, moment, Bodies::All, PAST_ROWS_MAX);
        let heads = heads.up_to(PAST_ROWS_MAX, PAST_BYTES_MAX);
        let plan = Plan::new(vec![Step::Scan(range)]);
        let (heads, progress) =
            self.inner.shared.engine.read(plan, heads).await.map_err(StorageError::from)?;
        self.inner.check_alive()?;
        let found = self.inner.complete(heads.finish()?, moment, Bodies::All).await?;
        self.inner.check_moment(moment).await?;
        let next = match progress {
            Progress::Done => Next::Done,
            Progress::Paused(Resume { place: Place::After(key), .. }) => {
                Next::Go(crate::keys::text_of(&key).unwrap_or_default().to_owned())
            }
            Progress::Paused(Resume { place: Place::Start | Place::At(_), .. }) => {
                Next::Go(after.unwrap_or_default().to_owned())
            }
        };
        Ok((found, next))
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
