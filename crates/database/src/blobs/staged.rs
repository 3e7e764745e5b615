//! A blob that is whole and safe on disk, but that nothing refers to yet.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;

use super::{
    digest::{BlobDigest, Encoding},
    folder::Folder,
    record::{BlobRecord, Place, UploadId},
    tidy,
};

/// The end of an upload. Its file, if it has one, is removed with this value unless
/// [`BlobWrites::keep`](super::BlobWrites::keep) was called for it.
pub struct StagedBlob {
    digest: BlobDigest,
    md5: [u8; 16],
    encoding: Encoding,
    length: u64,
    stored_length: u64,
    upload: UploadId,
    content: Content,
    is_kept: AtomicBool,
}

pub(super) enum Content {
    Inline(Bytes),
    /// A file in this folder.
    File(Arc<Folder>),
}

impl StagedBlob {
    pub(super) fn new(
        digest: BlobDigest,
        md5: [u8; 16],
        encoding: Encoding,
        length: u64,
        stored_length: u64,
        upload: UploadId,
        content: Content,
    ) -> Self {
        let is_kept = AtomicBool::new(false);
        Self { digest, md5, encoding, length, stored_length, upload, content, is_kept }
    }

    pub fn digest(&self) -> BlobDigest {
        self.digest
    }

    /// Of the stored bytes, as CouchDB's `digest` is.
    pub fn md5(&self) -> [u8; 16] {
        self.md5
    }

    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Bytes before compression.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn stored_length(&self) -> u64 {
        self.stored_length
    }

    /// The stored bytes, where they are in memory.
    pub(super) fn inline(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Inline(bytes) => Some(bytes),
            Content::File(_) => None,
        }
    }

    /// Bytes that it takes in memory.
    pub(crate) fn inline_bytes(&self) -> usize {
        self.inline().map_or(0, Bytes::len)
    }

    pub(super) fn record(&self) -> BlobRecord {
        BlobRecord {
            md5: self.md5,
            upload: self.upload,
            encoding: self.encoding,
            place: match self.content {
                Content::Inline(_) => Place::Inline,
                Content::File(_) => Place::File,
            },
            length: self.length,
            stored_length: self.stored_length,
            changes: 0,
            condemned_at: None,
        }
    }

    /// A record refers to it, or may do so.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Ordering::Release);
    }

    /// Whether a new record may refer to it. A file belongs to the first record that does: when the
    /// collector has deleted that one, the file is gone.
    pub(super) fn is_usable(&self) -> bool {
        self.inline().is_some() || !self.is_kept.load(Ordering::Acquire)
    }
}

impl Drop for StagedBlob {
    fn drop(&mut self) {
        let Content::File(folder) = &self.content else { return };
        if self.is_kept.load(Ordering::Acquire) {
            return;
        }
        let (folder, digest, upload) = (folder.clone(), self.digest, self.upload);
        tidy(move || {
            if let Err(error) = folder.remove(digest, upload) {
                tracing::warn!(%error, cause = %error.source, "an unused attachment stays for now");
            }
        });
    }
}

impl fmt::Debug for StagedBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StagedBlob")
            .field("digest", &self.digest)
            .field("encoding", &self.encoding)
            .field("length", &self.length)
            .field("stored_length", &self.stored_length)
            .field("upload", &self.upload)
            .finish_non_exhaustive()
    }
}
