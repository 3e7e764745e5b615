//! What a database has to know of checkpoints, which replications keep among its local documents.
//!
//! | member | of | says |
//! |---|---|---|
//! | `source_last_seq` | CouchDB, Settle | up to where of the source everything is on the target |
//! | `last_seq` | PouchDB | the same |
//!
//! Source: `couch_replicator_scheduler_job` (`do_checkpoint/1`), `pouchdb-checkpointer`.

use settle_model::json::members;

/// Up to where of its source a replication has come, if a local document is the checkpoint of one: a JSON value, which
/// each kind of server makes as it likes.
pub(crate) fn last_seq(body: &[u8]) -> Option<&[u8]> {
    let of = |wanted: &str| members(body).find(|(name, _)| *name == wanted).map(|it| it.1);
    of("source_last_seq").or_else(|| of("last_seq"))
}

/// Whether a local document is the checkpoint of a replication.
pub fn is_checkpoint(body: &[u8]) -> bool {
    last_seq(body).is_some()
}
