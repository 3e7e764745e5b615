//! In what a database differs from an archive of it, leaf by leaf.

use std::io;

use settle_access::{Grant, Read};
use settle_database::{Database, PastError, StorageError, WholeDocument, WholeLeaf};
use thiserror::Error;

use crate::{
    limits::DIFFERENCES_MAX,
    line::{Header, Totals},
    reading::{BadArchive, Item},
    restore::{Incoming, IncomingError, Source},
};

#[derive(Debug, Error)]
pub enum CompareError {
    #[error(transparent)]
    Bad(#[from] BadArchive),
    #[error("the archive could not be read")]
    Source(#[source] io::Error),
    #[error(transparent)]
    Past(#[from] PastError),
}

impl From<StorageError> for CompareError {
    fn from(error: StorageError) -> Self {
        Self::Past(error.into())
    }
}

impl From<IncomingError> for CompareError {
    fn from(error: IncomingError) -> Self {
        match error {
            IncomingError::Bad(error) => Self::Bad(error),
            IncomingError::Source(error) => Self::Source(error),
        }
    }
}

/// What a comparison has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    pub header: Header,
    pub totals: Totals,
    /// Documents that have the same leaves in both.
    pub equal: u64,
    /// In words; at most [`DIFFERENCES_MAX`] of them.
    pub differences: Vec<String>,
    /// Differences that are not named.
    pub unnamed: u64,
}

impl Comparison {
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty() && self.unnamed == 0
    }
}

/// Checks an archive, and compares its documents with those of the database as they are now.
///
/// Sequences, times and local documents are not compared: they tell of the place where documents are, and go on there.
pub async fn compare(
    database: &Database,
    grant: &Grant<Read>,
    source: Source,
) -> Result<Comparison, CompareError> {
    let mut incoming = Incoming::new(source);
    let mut found = Found::default();
    let (mut header, mut totals) = (None, None);
    while let Some(item) = incoming.next().await? {
        match item {
            Item::Header(it) => header = Some(it),
            Item::End(it) => totals = Some(it),
            Item::Document(expected) => {
                let stored = database.whole(grant, &expected.id).await?;
                found.there += u64::from(stored.is_some());
                match difference(&expected, stored.as_ref()) {
                    None => found.equal += 1,
                    Some(difference) => found.add(difference),
                }
            }
            Item::Local { .. }
            | Item::Point(_)
            | Item::Purge(_)
            | Item::Blob(_)
            | Item::Data(_)
            | Item::BlobEnd => {}
        }
    }
    let info = database.info(grant).await?;
    let more = (info.doc_count + info.deleted_count).saturating_sub(found.there);
    if more > 0 {
        found.add(format!("the database has {more} documents that the archive has not"));
    }
    let Found { equal, differences, unnamed, .. } = found;
    let header = header.expect("the reader gives it before all else");
    let totals = totals.expect("the reader ends with it");
    Ok(Comparison { header, totals, equal, differences, unnamed })
}

#[derive(Default)]
struct Found {
    /// Documents of the archive that the database has.
    there: u64,
    equal: u64,
    differences: Vec<String>,
    unnamed: u64,
}

impl Found {
    fn add(&mut self, difference: String) {
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(difference);
        } else {
            self.unnamed += 1;
        }
    }
}

/// In what a document differs from the archive's, in words.
pub(crate) fn difference(
    expected: &WholeDocument,
    found: Option<&WholeDocument>,
) -> Option<String> {
    let id = expected.id.as_str();
    let Some(found) = found else { return Some(format!("{id:?} is missing")) };
    for leaf in &expected.leaves {
        let rev = leaf.path.newest();
        let other = found.leaves.iter().find(|it| it.path.newest() == rev);
        let Some(other) = other else { return Some(format!("{id:?} has no leaf {rev}")) };
        if let Some(part) = different_part(leaf, other) {
            return Some(format!("{part} of {id:?} {rev}"));
        }
    }
    let is_unknown =
        |leaf: &&WholeLeaf| expected.leaves.iter().all(|it| it.path.newest() != leaf.path.newest());
    let more = found.leaves.iter().find(is_unknown);
    more.map(|leaf| format!("{id:?} has another leaf {}", leaf.path.newest()))
}

fn different_part(expected: &WholeLeaf, found: &WholeLeaf) -> Option<&'static str> {
    let WholeLeaf { path, deleted, body, attachments } = expected;
    if *path != found.path {
        return Some("the ancestry");
    }
    if *deleted != found.deleted {
        return Some("the deletion");
    }
    if *body != found.body {
        return Some("the body");
    }
    if *attachments == found.attachments { None } else { Some("an attachment") }
}
