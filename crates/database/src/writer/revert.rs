//! Bringing back what was: edits that stand or fall together, and a snapshot of what was there before them, in one
//! commit. So whoever reads sees all of it or nothing, a crash leaves all of it or nothing, and the way back is there as
//! soon as it is needed.

use super::{PreparedEdit, group::Group, keep::KeepError};
use crate::{edit::EditError, error::StorageError, past::moment::SnapshotName};

/// What a revert came to.
pub(crate) type Reverted = Result<(), RevertRefused>;

/// Why nothing was brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RevertRefused {
    /// One of the edits; a conflict where the document has changed since it was looked at.
    Edit(EditError),
    Snapshot(KeepError),
}

impl Group<'_> {
    pub(super) async fn plan_revert(
        &mut self,
        edits: &[PreparedEdit],
        snapshot: Option<&SnapshotName>,
    ) -> Result<Reverted, StorageError> {
        if let Some(name) = snapshot {
            let needed = self.inner.needed().await?;
            if let Err(error) = self.take_snapshot(name, None, &needed) {
                return Ok(Err(RevertRefused::Snapshot(error)));
            }
        }
        let results = self.plan_whole(edits).await?;
        let refused = results.into_iter().filter_map(Result::err);
        match refused.filter(|error| *error != EditError::Aborted).last() {
            None => Ok(Ok(())),
            Some(error) => {
                self.abandon();
                Ok(Err(RevertRefused::Edit(error)))
            }
        }
    }
}
