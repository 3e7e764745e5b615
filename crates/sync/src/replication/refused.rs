//! What is done about documents that one of the two databases does not give or take.
//!
//! A refusal of one document is reported, and settles it: the others go on. What is refused together is
//! asked for in halves, until it is known what is refused. A refusal of whoever asks ends the run.

use std::sync::Arc;

use super::{
    Ending, Failure, FailureKind, Phase, Replication, ReplicationError,
    copying::first_fetch,
    message::{Document, Failing, Output, Refusal, Side, Want},
    task::{Attachments, Staging, Task, Work},
};
use crate::limits::{MISSING_MAX, MISSING_PAUSE};

impl Replication {
    /// A request was refused as a whole, for good.
    pub(super) fn copying_refused(&mut self, mut work: Work, side: Side, failure: Failure) {
        let by_content = failure.kind.failing() == Failing::Content;
        let not_found = failure.kind == FailureKind::NotFound;
        let is_bulk = self.bulk && matches!(work.task, Task::Fetch { single: false, .. });
        if is_bulk && (not_found || failure.kind == FailureKind::Refused) {
            // The source does not know such requests.
            self.bulk = false;
            return self.peer(side).queue.push_front(work);
        }
        if failure.kind == FailureKind::TooLarge
            && let Task::Write { documents, .. } = &work.task
            && documents.len() > 1
        {
            let bytes = documents.iter().map(|it| it.bytes()).sum();
            self.peer(side).pace.too_large(bytes);
        }
        if by_content && let Some(half) = work.task.split() {
            self.count_in(&half);
            self.peer(side).queue.push_front(Work::new(half));
            return self.peer(side).queue.push_front(work);
        }
        // Who may write documents may yet not write design documents, or one that a rule forbids.
        let forbidden = !by_content && !not_found;
        let error = match failure.kind {
            FailureKind::TooLarge => "too_large".to_owned(),
            FailureKind::MissingStub => "missing_stub".to_owned(),
            FailureKind::Unauthorized
            | FailureKind::Forbidden
            | FailureKind::NotFound
            | FailureKind::Conflict
            | FailureKind::Refused
            | FailureKind::Busy { .. }
            | FailureKind::Broken
            | FailureKind::TimedOut
            | FailureKind::Lost => failure.kind.to_string(),
        };
        let reason = failure.reason.clone();
        let refusal = |id: &Arc<str>| {
            let (error, reason) = (error.clone(), reason.clone());
            Refusal { id: id.clone(), rev: None, error, reason }
        };
        match work.task {
            Task::Diff { portion, rows } if by_content => {
                for row in rows {
                    self.stats.doc_write_failures += row.revs.len() as u64;
                    self.outputs.push(Output::Refused(refusal(&row.id)));
                }
                self.count_out(portion, true);
            }
            Task::Fetch { portion, mut wants, attachments, single, large } if by_content => {
                // A long list of what the target has may be what is too long.
                if let Some(want) = wants.iter_mut().find(|want| !want.atts_since.is_empty()) {
                    want.atts_since = [].into();
                    let task = Task::Fetch { portion, wants, attachments, single, large };
                    return self.peer(side).queue.push_front(Work::new(task));
                }
                for want in wants {
                    self.refuse_want(&want, error.clone(), reason.clone());
                }
                self.count_out(portion, true);
            }
            Task::Fetch { portion, wants, .. } if not_found => {
                for want in wants {
                    self.missing_at_source(portion, want, reason.clone());
                }
                self.count_out(portion, true);
            }
            Task::Stage { portion, staging } if by_content || not_found => {
                let document = staging.document;
                self.held -= document.bytes();
                self.stats.docs_read -= 1;
                let mut want = Want::new(document.id.clone(), document.rev.clone(), [].into());
                want.missed = staging.missed;
                if by_content {
                    self.refuse_want(&want, error, reason);
                } else {
                    self.missing_at_source(portion, want, reason);
                }
                self.count_out(portion, false);
            }
            Task::Write { portion, documents }
                if by_content || (forbidden && documents.iter().all(|it| it.is_design())) =>
            {
                for document in documents {
                    self.not_written(portion, &document, None, refusal(&document.id));
                }
                self.count_out(portion, false);
            }
            Task::WriteStaged { portion, staging } if by_content || forbidden => {
                let document = staging.document.clone();
                self.not_written(portion, &document, Some(&staging), refusal(&document.id));
                self.count_out(portion, false);
            }
            task @ (Task::Create
            | Task::Info(_)
            | Task::ReadCheckpoint(_)
            | Task::Changes { .. }
            | Task::Diff { .. }
            | Task::Fetch { .. }
            | Task::Stage { .. }
            | Task::Write { .. }
            | Task::WriteStaged { .. }
            | Task::Commit(_)
            | Task::WriteCheckpoint { .. }) => {
                self.give_up(&Work { task, ..work }, side, failure);
            }
        }
    }

    /// The source lists it and does not give it: it may be purged, or not be everywhere yet.
    pub(super) fn missing_at_source(&mut self, portion: u64, mut want: Want, reason: String) {
        if self.phase != Phase::Running {
            return; // another one has ended it
        }
        want.missed += 1;
        if want.missed > MISSING_MAX {
            let Want { id, rev, .. } = want;
            let error = ReplicationError::Document { id: id.to_string(), rev, reason };
            return self.end(Ending::Failed(error));
        }
        let (wants, attachments) = (vec![want], Attachments::Unseen);
        let task = Task::Fetch { portion, wants, attachments, single: true, large: false };
        self.count_in(&task);
        let not_before = self.now.monotonic + MISSING_PAUSE;
        let work = Work { not_before, ..Work::new(task) };
        self.peer(Side::Source).queue.push_back(work);
    }

    /// A document that the target refused for good; for want of an attachment it is fetched again with
    /// all of them.
    pub(super) fn not_written(
        &mut self,
        portion: u64,
        document: &Document,
        staging: Option<&Staging>,
        refusal: Refusal,
    ) {
        self.held -= document.bytes();
        let sent = staging.map_or(0, |staging| staging.attachments.len());
        if refusal.error == "missing_stub" && sent < document.attachments.len() {
            self.stats.docs_read -= 1;
            let wants = vec![Want::new(document.id.clone(), document.rev.clone(), [].into())];
            self.add(first_fetch(portion, wants));
            return;
        }
        self.stats.doc_write_failures += 1;
        let rev = Some(document.rev.clone());
        self.outputs.push(Output::Refused(Refusal { rev, ..refusal }));
    }

    pub(super) fn refuse_want(&mut self, want: &Want, error: String, reason: String) {
        self.stats.doc_write_failures += 1;
        let (id, rev) = (want.id.clone(), Some(want.rev.clone()));
        self.outputs.push(Output::Refused(Refusal { id, rev, error, reason }));
    }
}
