//! Checkpoints: how far a replication has come, kept as a `_local` document on both sides.
//!
//! Each run of a replication is a *session* with a random id. Both documents list the sessions and
//! how far each came; what the newest session in both lists came to is certainly on the target. A
//! side that was restored from a copy, or lost its document, has an older list or none, so what it
//! may lack is compared again.
//!
//! Source: `couch_replicator_scheduler_job`, `compare_replication_logs/2` and `do_checkpoint/1`. The
//! document is CouchDB's, with one member more. Different here:
//! - where both sides name the same session at different sequences, the earlier one counts: CouchDB
//!   takes the source's, and a target that was set back within a session stays incomplete for ever;
//! - a source that lets nobody write checkpoints is not an error. The target's document then says so
//!   (`source_without_checkpoint`, the source's `instance_start_time`), and counts alone as long as
//!   that is the same source.

use settle_model::{
    date,
    json::{elements, minify, string_value},
    time::Timestamp,
};
use thiserror::Error;

use crate::{
    id::REPLICATION_ID_VERSION,
    json::{Object, array, member, natural, text_member},
    limits::{CHECKPOINT_BYTES_MAX, HISTORY_MAX},
    seq::Seq,
    stats::Stats,
};

/// The content of a checkpoint document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub session_id: String,
    pub source_last_seq: Seq,
    /// Newest first, at most [`HISTORY_MAX`].
    pub history: Vec<Session>,
    /// The `instance_start_time` of a source that has no checkpoint because it refuses one.
    pub source_without_checkpoint: Option<String>,
}

/// One run of a replication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub session_id: String,
    pub start_time: String,
    pub end_time: String,
    pub start_last_seq: Seq,
    pub end_last_seq: Seq,
    /// Everything up to here is on the target.
    pub recorded_seq: Seq,
    pub stats: Stats,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the document is no checkpoint: it needs a `session_id` and a `source_last_seq`")]
pub struct CheckpointError;

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ancestor {
    /// Everything up to here is on the target; `None` if nothing is known.
    pub seq: Option<Seq>,
    /// The sessions that both sides agree on, newest first.
    pub history: Vec<Session>,
}

impl Checkpoint {
    /// Parses a checkpoint document. Sessions that cannot be read are left out.
    pub fn parse(document: &[u8]) -> Result<Self, CheckpointError> {
        if document.len() > CHECKPOINT_BYTES_MAX {
            return Err(CheckpointError);
        }
        let document = minify(document).map_err(|_| CheckpointError)?;
        let session_id = text_member(&document, "session_id").ok_or(CheckpointError)?;
        let seq = member(&document, "source_last_seq").and_then(|it| Seq::from_json(it).ok());
        let history = elements(member(&document, "history").unwrap_or_default());
        Ok(Self {
            session_id,
            source_last_seq: seq.ok_or(CheckpointError)?,
            history: history.filter_map(Session::parse).take(HISTORY_MAX).collect(),
            source_without_checkpoint: text_member(&document, "source_without_checkpoint"),
        })
    }

    /// The document, without `_id` and `_rev`.
    pub fn to_json(&self) -> Vec<u8> {
        let mut object = Object::new();
        self.write(&mut object);
        object.finish()
    }

    pub(crate) fn write(&self, object: &mut Object) {
        object.text("session_id", &self.session_id);
        object.raw("source_last_seq", self.source_last_seq.as_json().as_bytes());
        object.number("replication_id_version", REPLICATION_ID_VERSION);
        if let Some(start) = &self.source_without_checkpoint {
            object.text("source_without_checkpoint", start);
        }
        let history = array(&self.history, |out, it| out.extend_from_slice(&it.to_json()));
        object.raw("history", &history);
    }
}

impl Session {
    /// `end` is the time of the checkpoint.
    pub(crate) fn new(
        session_id: &str,
        (start, end): (Timestamp, Timestamp),
        (start_last_seq, recorded_seq): (&Seq, &Seq),
        stats: Stats,
    ) -> Self {
        Self {
            session_id: session_id.to_owned(),
            start_time: date::header(start),
            end_time: date::header(end),
            start_last_seq: start_last_seq.clone(),
            end_last_seq: recorded_seq.clone(),
            recorded_seq: recorded_seq.clone(),
            stats,
        }
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let seq = |name| Seq::from_json(member(value, name)?).ok();
        let text = |name| text_member(value, name).unwrap_or_default();
        let count = |name| member(value, name).and_then(natural).unwrap_or(0);
        let recorded_seq = seq("recorded_seq")?;
        Some(Self {
            session_id: string_value(member(value, "session_id")?)?.into_owned(),
            start_time: text("start_time"),
            end_time: text("end_time"),
            start_last_seq: seq("start_last_seq").unwrap_or_else(Seq::zero),
            end_last_seq: seq("end_last_seq").unwrap_or_else(|| recorded_seq.clone()),
            recorded_seq,
            stats: Stats {
                missing_checked: count("missing_checked"),
                missing_found: count("missing_found"),
                docs_read: count("docs_read"),
                docs_written: count("docs_written"),
                doc_write_failures: count("doc_write_failures"),
                bulk_get_attempts: count("bulk_get_attempts"),
                bulk_get_docs: count("bulk_get_docs"),
            },
        })
    }

    fn to_json(&self) -> Vec<u8> {
        let mut object = Object::new();
        object.text("session_id", &self.session_id);
        object.text("start_time", &self.start_time);
        object.text("end_time", &self.end_time);
        object.raw("start_last_seq", self.start_last_seq.as_json().as_bytes());
        object.raw("end_last_seq", self.end_last_seq.as_json().as_bytes());
        object.raw("recorded_seq", self.recorded_seq.as_json().as_bytes());
        self.stats.write_session(&mut object);
        object.finish()
    }
}

/// The newest state that both sides know of. `source_start` is the `instance_start_time` that the
/// source has now.
pub fn common_ancestor(
    source: Option<&Checkpoint>,
    target: Option<&Checkpoint>,
    source_start: &str,
) -> Ancestor {
    let nothing = Ancestor { seq: None, history: Vec::new() };
    let Some(target) = target else { return nothing };
    let Some(source) = source else {
        if target.source_without_checkpoint.as_deref() != Some(source_start) {
            return nothing;
        }
        let seq = Some(target.source_last_seq.clone());
        return Ancestor { seq, history: target.history.clone() };
    };
    if source.session_id == target.session_id {
        let seq = target.source_last_seq.earlier(&source.source_last_seq);
        let of = if seq == target.source_last_seq { target } else { source };
        return Ancestor { seq: Some(seq), history: of.history.clone() };
    }
    // Newest first: by the place on the target, whose documents it is about.
    for (place, session) in target.history.iter().enumerate() {
        let same = |it: &&Session| it.session_id == session.session_id;
        if let Some(other) = source.history.iter().find(same) {
            return Ancestor {
                seq: Some(session.recorded_seq.earlier(&other.recorded_seq)),
                history: target.history[place..].to_vec(),
            };
        }
    }
    nothing
}
