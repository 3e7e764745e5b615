//! What a replication has done so far, in CouchDB's words.

use crate::{json::Object, seq::Seq};

/// Counts of one job. They only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Revisions that the target was asked about.
    pub missing_checked: u64,
    /// ... and those that it did not have.
    pub missing_found: u64,
    pub docs_read: u64,
    pub docs_written: u64,
    /// Revisions that the target refused, or that could not be carried.
    pub doc_write_failures: u64,
    /// Revisions asked for in bulk, ...
    pub bulk_get_attempts: u64,
    /// ... and those that came.
    pub bulk_get_docs: u64,
}

/// Where a replication is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub stats: Stats,
    /// Changes of the source that are not yet done, before any filter; `None` if it does not say.
    pub changes_pending: Option<u64>,
    /// The furthest change that is done.
    pub source_seq: Seq,
    /// Everything up to here is done.
    pub through_seq: Seq,
    /// Everything up to here need not be done again.
    pub checkpointed_source_seq: Seq,
}

impl Stats {
    /// The counts as the session of a checkpoint document has them.
    pub(crate) fn write_session(&self, object: &mut Object) {
        object.number("missing_checked", self.missing_checked);
        object.number("missing_found", self.missing_found);
        object.number("docs_read", self.docs_read);
        object.number("docs_written", self.docs_written);
        object.number("doc_write_failures", self.doc_write_failures);
        object.number("bulk_get_docs", self.bulk_get_docs);
        object.number("bulk_get_attempts", self.bulk_get_attempts);
    }
}

impl Progress {
    /// The object that `_scheduler/jobs` has as `info`, and whose members `_active_tasks` has in its
    /// entry.
    pub fn to_json(&self) -> Vec<u8> {
        let stats = &self.stats;
        let mut object = Object::new();
        object.number("revisions_checked", stats.missing_checked);
        object.number("missing_revisions_found", stats.missing_found);
        object.number("docs_read", stats.docs_read);
        object.number("docs_written", stats.docs_written);
        match self.changes_pending {
            Some(count) => object.number("changes_pending", count),
            None => object.raw("changes_pending", b"null"),
        }
        object.number("doc_write_failures", stats.doc_write_failures);
        object.number("bulk_get_docs", stats.bulk_get_docs);
        object.number("bulk_get_attempts", stats.bulk_get_attempts);
        object.raw("checkpointed_source_seq", self.checkpointed_source_seq.as_json().as_bytes());
        object.raw("source_seq", self.source_seq.as_json().as_bytes());
        object.raw("through_seq", self.through_seq.as_json().as_bytes());
        object.finish()
    }
}
