//! Removes files that no record refers to: a crash between naming a file and the commit that needed
//! it, or between the commit that deleted a blob and the removal of its file.
//!
//! Only files of earlier sessions are looked at, so an upload that is under way is never taken for
//! an orphan; and only this session's uploads can come to be referred to, so nothing that is found
//! without a record can get one.

use settle_engine::{Plan, Step, Visit, Visitor};
use thiserror::Error;

use super::{
    BlobStore, FolderError, Stopped, blocking,
    digest::BlobDigest,
    joined, keys,
    limits::SWEEP_NAMES_MAX,
    record::{BlobRecord, Place, UploadId},
};
use crate::error::StorageError;

/// What a sweep found, in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Half written ones, removed.
    pub unfinished: u64,
    /// Whole ones without a record, removed.
    pub orphans: u64,
    pub in_use: u64,
}

#[derive(Debug, Error)]
pub enum SweepError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl BlobStore {
    /// Compares the folder with the records. Once behind each open is enough.
    pub async fn sweep(&self) -> Result<Swept, SweepError> {
        let folder = self.folder.clone();
        let unfinished = joined(blocking(move || folder.clear_incoming()).await)??;
        let mut swept = Swept { unfinished, ..Swept::default() };
        for first in 0..=u8::MAX {
            let folder = self.folder.clone();
            let files = joined(blocking(move || folder.older_files(first)).await)??;
            for names in files.chunks(SWEEP_NAMES_MAX) {
                let orphans = self.orphans_among(names).await?;
                swept.orphans += orphans.len() as u64;
                swept.in_use += (names.len() - orphans.len()) as u64;
                let folder = self.folder.clone();
                let work = blocking(move || {
                    orphans.iter().try_for_each(|&(digest, upload)| folder.remove(digest, upload))
                });
                joined(work.await)??;
            }
        }
        Ok(swept)
    }

    async fn orphans_among(
        &self,
        names: &[(BlobDigest, UploadId)],
    ) -> Result<Vec<(BlobDigest, UploadId)>, StorageError> {
        let steps = names.iter().map(|&(digest, _)| Step::Get(keys::blob(digest))).collect();
        let records = Records(Vec::with_capacity(names.len()));
        let records = self.engine.read_to_end(Plan::new(steps), records).await?.0;
        let mut orphans = Vec::new();
        for (&(digest, upload), value) in names.iter().zip(records) {
            let is_in_use = value.is_some_and(|value| match BlobRecord::decode(digest, &value) {
                Ok(record) => record.place == Place::File && record.upload == upload,
                Err(error) => {
                    tracing::error!(%digest, %error, "an attachment's record is unusable");
                    // It may be the one that names this file.
                    true
                }
            });
            if !is_in_use {
                orphans.push((digest, upload));
            }
        }
        Ok(orphans)
    }
}

struct Records(Vec<Option<Vec<u8>>>);

impl Visitor for Records {
    fn visit(&mut self, _: usize, _: &[u8], value: Option<&[u8]>) -> Visit {
        self.0.push(value.map(<[u8]>::to_vec));
        Visit::Next
    }
}
