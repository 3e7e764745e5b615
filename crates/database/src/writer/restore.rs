//! Documents that come back whole, with the sequences that they had, into a database that has no name yet.
//!
//! They are not edits: nobody is asked about them, they replace nothing, and nobody is told of them. The database
//! has no limit of revisions until it is whole, so nothing of their ancestry is stemmed.

use std::{collections::HashMap, sync::Arc};

use settle_model::tree::RevTree;

use super::group::Group;
use crate::{
    WholeDocument, WholeLeaf,
    blobs::{BlobDigest, StagedBlob},
    error::StorageError,
    limits::{ATTACHMENTS_MAX, BODY_BYTES_MAX},
    read::whole::PurgeEntry,
    record::{
        body::encode_payload,
        head::{BodyPlace, Head, LeafBody},
        purge::Purge,
    },
};

/// A document, with the content of those of its attachments that are not stored yet.
#[derive(Debug)]
pub struct RestoredDocument {
    pub document: WholeDocument,
    pub blobs: Vec<Arc<StagedBlob>>,
}

/// Why documents cannot come back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreRefusal {
    #[error("{id:?} is there twice")]
    Twice { id: String },
    #[error("{id:?} has the sequence {sequence}, which does not come after {last}")]
    OutOfOrder { id: String, sequence: u64, last: u64 },
    #[error("the revisions of {id:?} are not the leaves of a tree")]
    NotLeaves { id: String },
    #[error("{id:?} has a body of {bytes} bytes, more than the {BODY_BYTES_MAX} allowed")]
    TooLarge { id: String, bytes: usize },
    #[error("{id:?} has {count} attachments, more than the {ATTACHMENTS_MAX} allowed")]
    TooManyAttachments { id: String, count: usize },
}

impl RestoredDocument {
    /// Bytes that it brings along into its commit, roughly.
    pub fn bytes(&self) -> usize {
        let bodies: usize = self.document.leaves.iter().map(|leaf| leaf.body.len()).sum();
        let inline = self.blobs.iter().map(|blob| blob.inline_bytes());
        bodies + inline.sum::<usize>()
    }
}

impl Group<'_> {
    pub(super) async fn plan_restore(
        &mut self,
        documents: &[RestoredDocument],
        purges: &[PurgeEntry],
    ) -> Result<Result<(), RestoreRefusal>, StorageError> {
        self.is_quiet = true;
        for restored in documents {
            if let Err(refused) = self.check_restored(&restored.document) {
                return Ok(Err(refused));
            }
            if !self.restore_document(restored).await? {
                let id = restored.document.id.as_str().to_owned();
                return Ok(Err(RestoreRefusal::NotLeaves { id }));
            }
        }
        for purge in purges {
            let key = self.inner.keys.purge(purge.sequence);
            let value = Purge { id: purge.id.clone(), revs: purge.revs.clone() }.encode(&key);
            self.put(key, value);
            self.state.purge_sequence = self.state.purge_sequence.max(purge.sequence);
        }
        Ok(Ok(()))
    }

    fn check_restored(&self, document: &WholeDocument) -> Result<(), RestoreRefusal> {
        let id = || document.id.as_str().to_owned();
        if self.head(&document.id).is_some() {
            return Err(RestoreRefusal::Twice { id: id() });
        }
        let (sequence, last) = (document.sequence, self.state.sequence);
        if sequence <= last {
            return Err(RestoreRefusal::OutOfOrder { id: id(), sequence, last });
        }
        for leaf in &document.leaves {
            let (bytes, count) = (leaf.body.len(), leaf.attachments.len());
            if bytes > BODY_BYTES_MAX {
                return Err(RestoreRefusal::TooLarge { id: id(), bytes });
            }
            if count > ATTACHMENTS_MAX {
                return Err(RestoreRefusal::TooManyAttachments { id: id(), count });
            }
        }
        Ok(())
    }

    /// Whether its leaves make a tree.
    async fn restore_document(
        &mut self,
        restored: &RestoredDocument,
    ) -> Result<bool, StorageError> {
        let RestoredDocument { document, blobs } = restored;
        let staged: HashMap<BlobDigest, &Arc<StagedBlob>> =
            blobs.iter().map(|blob| (blob.digest(), blob)).collect();
        let mut tree = RevTree::new();
        for leaf in &document.leaves {
            tree.graft(&leaf.path, leaf.deleted, leaf_body(leaf));
        }
        let is_leaf = |leaf: &WholeLeaf| tree.leaf(&leaf.path.newest()).is_some();
        let count = tree.leaves().len();
        if count == 0 || count != document.leaves.len() || !document.leaves.iter().all(is_leaf) {
            return Ok(false);
        }
        let id = &document.id;
        for leaf in &document.leaves {
            let rev = leaf.path.newest();
            for attachment in &leaf.attachments {
                let staged = staged.get(&attachment.digest).copied();
                self.blobs.reference(attachment.digest, id, &rev, staged);
            }
        }
        self.state.sizes.external +=
            tree.leaves().iter().map(|leaf| leaf.payload.size).sum::<u64>();
        let is_deleted = tree.winner().is_none_or(|leaf| leaf.deleted);
        *self.winners(is_deleted) += 1;
        self.state.sequence = document.sequence - 1;
        let sequence = self.next_sequence(id);
        let (created, updated) = (document.times.created, document.times.updated);
        self.heads.entry(id.clone()).or_default().head =
            Some(Head { sequence, created, updated, tree });
        self.repack(id).await?;
        self.put_change(id);
        self.put_head(id);
        Ok(true)
    }
}

fn leaf_body(leaf: &WholeLeaf) -> LeafBody {
    let attached: u64 = leaf.attachments.iter().map(|it| it.length).sum();
    LeafBody {
        size: leaf.body.len() as u64 + attached,
        attached: !leaf.attachments.is_empty(),
        place: BodyPlace::Inline(encode_payload(&leaf.attachments, &leaf.body)),
    }
}
