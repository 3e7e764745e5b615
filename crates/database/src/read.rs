//! Reading documents: one, several of its revisions, many at once.

mod bulk;
mod select;
pub(crate) mod whole;

use bytes::Bytes;
use settle_access::{Grant, Read};
use settle_engine::{Plan, Step, Visit, Visitor};
use settle_model::{
    id::{AttachmentName, DocumentId},
    revision::RevId,
};

use self::select::{Document, Wanted};
use crate::{
    Database,
    database::Inner,
    error::StorageError,
    planted,
    record::{
        body::{Attachment, decode_payload, decode_record},
        head::{BodyView, HeadView},
    },
    revision::{AttachmentError, Extras, GetError, OpenRevs, Revision, Select, Times},
    scan::Failure,
};

impl Database {
    /// One revision of a document.
    pub async fn get(
        &self,
        grant: &Grant<Read>,
        id: &DocumentId,
        select: &Select,
        extras: Extras,
    ) -> Result<Revision, GetError> {
        self.inner.check(grant);
        if let Some(stale) = planted::stale(self, grant, id).await {
            return Ok(stale);
        }
        if *select == Select::Winner && extras == Extras::default() {
            return self.inner.winner(id).await;
        }
        again!(self.select(id, select, extras))
    }

    async fn select(
        &self,
        id: &DocumentId,
        select: &Select,
        extras: Extras,
    ) -> Result<Revision, GetError> {
        let document = self.inner.document(id).await?.ok_or(GetError::Missing)?;
        let wanted = match select {
            Select::Winner => document.winner()?,
            Select::Rev(rev) => document.exactly(rev).await?.ok_or(GetError::Missing)?,
            Select::Latest(rev) => {
                let mut latest = document.latest(rev).await?;
                if latest.is_empty() {
                    latest.extend(document.exactly(rev).await?);
                }
                latest.into_iter().next().ok_or(GetError::Missing)?
            }
        };
        Ok(document.revision(&wanted, extras).await?)
    }

    /// Several revisions of a document; for those that are missing, their names.
    pub async fn open_revs(
        &self,
        grant: &Grant<Read>,
        id: &DocumentId,
        revs: &OpenRevs,
        latest: bool,
        extras: Extras,
    ) -> Result<Vec<Result<Revision, RevId>>, GetError> {
        self.inner.check(grant);
        again!(self.select_several(id, revs, latest, extras))
    }

    async fn select_several(
        &self,
        id: &DocumentId,
        revs: &OpenRevs,
        latest: bool,
        extras: Extras,
    ) -> Result<Vec<Result<Revision, RevId>>, GetError> {
        let document = self.inner.document(id).await?;
        let Some(document) = document else {
            return match revs {
                OpenRevs::All => Err(GetError::Missing),
                OpenRevs::Only(revs) => Ok(revs.iter().cloned().map(Err).collect()),
            };
        };
        let mut found = Vec::new();
        match revs {
            OpenRevs::All => found.extend(document.leaves().into_iter().map(Ok)),
            OpenRevs::Only(revs) => {
                for rev in revs {
                    document.find(rev, latest, &mut found).await?;
                }
            }
        }
        let mut revisions = Vec::with_capacity(found.len());
        for wanted in found {
            revisions.push(match wanted {
                Ok(wanted) => Ok(document.revision(&wanted, extras).await?),
                Err(rev) => Err(rev),
            });
        }
        Ok(revisions)
    }

    /// An attachment of a document's winner, or of the revision given.
    pub async fn attachment(
        &self,
        grant: &Grant<Read>,
        id: &DocumentId,
        name: &AttachmentName,
        rev: Option<&RevId>,
    ) -> Result<(Attachment, RevId), AttachmentError> {
        let select = rev.map_or(Select::Winner, |rev| Select::Rev(rev.clone()));
        let revision =
            self.get(grant, id, &select, Extras::default()).await.map_err(|error| match error {
                GetError::Missing => AttachmentError::Missing,
                GetError::Deleted => AttachmentError::Deleted,
                GetError::Storage(error) => AttachmentError::Storage(error),
            })?;
        let found = revision.attachments.into_iter().find(|it| it.name == *name);
        Ok((found.ok_or(AttachmentError::NoSuchAttachment)?, revision.rev))
    }
}

impl Inner {
    /// The winner alone, without building its tree: what most reads want.
    async fn winner(&self, id: &DocumentId) -> Result<Revision, GetError> {
        let plan = Plan::new(vec![Step::Get(self.keys.head(id))]);
        let winner =
            Winner { keys: self.keys, head: None, found: None, failure: Failure::default() };
        let winner = self.shared.engine.read(plan, winner).await.map_err(StorageError::from)?.0;
        self.check_alive()?;
        winner.failure.check()?;
        let (head, payload) = match (winner.head, winner.found) {
            (Some(head), Some(payload)) => (head, payload),
            (Some(_), None) => return Err(GetError::Deleted),
            (None, _) => return Err(GetError::Missing),
        };
        let (attachments, body) = content(payload)?;
        let (rev, sequence, times) = head;
        Ok(Revision {
            id: id.clone(),
            rev,
            deleted: false,
            body,
            attachments,
            sequence,
            times,
            path: None,
            conflicts: Vec::new(),
            deleted_conflicts: Vec::new(),
            revs_info: Vec::new(),
        })
    }
}

/// Begins a read of several views again when something that it needed went between two of them. A
/// macro, since the futures of async closures are not known to be `Send`.
macro_rules! again {
    ($read:expr) => {{
        let mut attempt = 1;
        loop {
            match $read.await {
                Err(error) if error.is_moved() && attempt < crate::limits::CLASHES_MAX => {
                    attempt += 1;
                }
                result => break result,
            }
        }
    }};
}
use again;

trait Begun {
    fn is_moved(&self) -> bool;
}

impl Begun for StorageError {
    fn is_moved(&self) -> bool {
        *self == Self::Moved
    }
}

impl Begun for GetError {
    fn is_moved(&self) -> bool {
        matches!(self, Self::Storage(StorageError::Moved))
    }
}

/// A payload's attachments and JSON, without copying the JSON.
pub(crate) fn content(payload: Bytes) -> Result<(Vec<Attachment>, Bytes), StorageError> {
    let (attachments, json) = decode_payload(&payload)?;
    let body = payload.slice(payload.len() - json.len()..);
    Ok((attachments, body))
}

/// Takes the winner's body from the head, or from the record that the head names.
struct Winner {
    keys: crate::keys::Keys,
    head: Option<(RevId, u64, Times)>,
    found: Option<Bytes>,
    failure: Failure,
}

impl Winner {
    fn look(&mut self, key: &[u8], value: &[u8]) -> Result<Visit, StorageError> {
        if self.head.is_some() {
            self.found = Some(Bytes::copy_from_slice(decode_record(key, value)?));
            return Ok(Visit::Stop);
        }
        let head = HeadView::decode(key, value)?;
        let winner = head.winner()?;
        self.head = Some((winner.rev, head.sequence, head.times()));
        if winner.deleted {
            return Ok(Visit::Stop);
        }
        match winner.body {
            BodyView::Inline(payload) => {
                self.found = Some(Bytes::copy_from_slice(payload));
                Ok(Visit::Stop)
            }
            BodyView::Record { number, .. } => Ok(Visit::Follow(self.keys.body(number))),
        }
    }
}

impl Visitor for Winner {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let Some(value) = value else {
            if self.head.is_some() {
                self.failure
                    .set(StorageError::Inconsistent { reason: "a body is gone".to_owned() });
            }
            return Visit::Stop;
        };
        self.look(key, value).unwrap_or_else(|error| self.failure.stop(error))
    }
}

impl Document<'_> {
    /// What a request for one revision finds: itself, or with `latest` the leaves it led to.
    async fn find(
        &self,
        rev: &RevId,
        latest: bool,
        found: &mut Vec<Result<Wanted, RevId>>,
    ) -> Result<(), StorageError> {
        if latest {
            let leaves = self.latest(rev).await?;
            if !leaves.is_empty() {
                found.extend(leaves.into_iter().map(Ok));
                return Ok(());
            }
        }
        found.push(self.exactly(rev).await?.ok_or_else(|| rev.clone()));
        Ok(())
    }
}
