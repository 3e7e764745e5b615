//! Documents with all their leaves, for indexes that keep these.
//!
//! Hardly a document has more than its winner, so the others are read for each one that has them.

use settle_access::{Grant, Read};
use settle_database::{ChangeFilter, ChangeScan, Database, Direction, LeafForm, StorageError};

use crate::mapper::{Mappable, Mapper};

/// A document that was read, or of which nothing is left.
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) sequence: u64,
    pub(super) deleted: bool,
    pub(super) has_others: bool,
    pub(super) document: Option<bytes::Bytes>,
}

/// What of each is mapped. A document that has changed since it was seen comes without its other leaves: whoever
/// follows the database will see it again.
pub(super) async fn mappable(
    mapper: &Mapper,
    database: &Database,
    grant: &Grant<Read>,
    documents: impl Iterator<Item = Seen>,
) -> Result<Vec<Mappable>, StorageError> {
    let keeps_leaves = mapper.form().tombstones;
    let mut all = Vec::with_capacity(documents.size_hint().0);
    for Seen { id, sequence, deleted, has_others, document } in documents {
        let (document, mut leaves) = match document {
            None => continue,
            Some(tombstone) if deleted => (None, vec![tombstone]),
            live @ Some(_) => (live, Vec::new()),
        };
        if has_others && keeps_leaves {
            let scan = ChangeScan {
                since: sequence.saturating_sub(1),
                until: sequence,
                direction: Direction::Ascending,
                content: false,
                times: false,
                only: ChangeFilter::All,
            };
            let form = LeafForm { all: true, ancestors: 0, count_max: 1, bytes_max: usize::MAX };
            let (changes, _) = database.scan_leaves(grant, &scan, form).await?;
            let others = changes.into_iter().flat_map(|it| it.documents.into_iter().skip(1));
            leaves.extend(others);
        }
        all.push(Mappable { id, document, leaves });
    }
    Ok(all)
}
