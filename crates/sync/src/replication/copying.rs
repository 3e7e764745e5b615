//! Portions of rows on their way: which revisions are missing, their documents, their writes.
//!
//! A portion is done when each of its revisions is *settled*: the target has it, wrote it, or refused it
//! for good, or it cannot be carried. Portions go on side by side and may end in any order.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use settle_model::{revision::RevId, tree::Missing};

use super::{
    Failure, FailureKind, Phase, Replication,
    message::{Document, Fetched, Refusal, Row, Side, Want},
    task::{Attachments, Staging, Task, Work},
};
use crate::{
    limits::{ATTACHMENTS_INLINE_BYTES_MAX, DOCUMENT_BYTES_MAX},
    seq::Seq,
};

#[derive(Debug)]
pub(super) struct Portion {
    rows: usize,
    /// What it reaches; `None` if its last rows have no sequence.
    reached: Option<Seq>,
    /// Tasks that belong to it, ...
    open: usize,
    /// ... and those of them that may bring documents.
    fetching: usize,
    /// Documents that wait to be written together.
    outbox: Vec<Arc<Document>>,
    outbox_bytes: usize,
}

/// How many portions may be done behind one that is not, for each that may be under way.
const DONE_AHEAD_MAX: usize = 16;

/// Errors that a database gives for one document, and that will pass. All others are for good.
const PASSING_ERRORS: [&str; 8] = [
    "timeout",
    "internal_server_error",
    "service_unavailable",
    "nodedown",
    "write_quorum_not_met",
    "insufficient_storage",
    "too_many_requests",
    "unknown_error",
];

pub(super) fn first_fetch(portion: u64, wants: Vec<Want>) -> Task {
    let attachments = Attachments::Unseen;
    Task::Fetch { portion, wants, attachments, single: false, large: false }
}

impl Portion {
    fn is_done(&self) -> bool {
        self.open == 0 && self.outbox.is_empty()
    }

    /// Rows that are not done.
    pub(super) fn open_rows(&self) -> usize {
        if self.is_done() { 0 } else { self.rows }
    }
}

impl Replication {
    pub(super) fn start_portions(&mut self) {
        loop {
            let open = self.portions.values().filter(|portion| !portion.is_done()).count();
            let is_full = open >= self.job.worker_processes
                || self.portions.len() >= self.job.worker_processes * DONE_AHEAD_MAX;
            if is_full || self.feed.rows() == 0 {
                return;
            }
            let (rows, reached) = self.feed.take(self.portion_rows());
            let number = self.next_portion;
            self.next_portion += 1;
            self.stats.doc_write_failures += rows.iter().map(|row| row.unreadable).sum::<u64>();
            let portion = Portion {
                rows: rows.len(),
                reached,
                open: 0,
                fetching: 0,
                outbox: Vec::new(),
                outbox_bytes: 0,
            };
            self.portions.insert(number, portion);
            let rows: Vec<_> = rows.into_iter().filter(|row| !row.revs.is_empty()).collect();
            if !rows.is_empty() {
                self.add(Task::Diff { portion: number, rows });
            }
            self.settle(number);
            self.read_ahead();
        }
    }

    /// Bytes that a request for documents may bring.
    pub(super) fn fetch_bytes(&self, large: bool) -> usize {
        if large {
            return DOCUMENT_BYTES_MAX;
        }
        self.peers[Side::Source.place()].pace.bytes().min(self.run.memory_bytes_max / 4)
    }

    /// A task of a portion, to be done after those that wait.
    pub(super) fn add(&mut self, task: Task) {
        self.count_in(&task);
        self.peer(task.side()).queue.push_back(Work::new(task));
    }

    pub(super) fn count_in(&mut self, task: &Task) {
        let portion = task.portion().and_then(|number| self.portions.get_mut(&number));
        if let Some(portion) = portion {
            portion.open += 1;
            portion.fetching += usize::from(task.brings_documents());
        }
    }

    /// A task of `portion` has ended; those that follow from it have been added.
    pub(super) fn count_out(&mut self, number: u64, brought_documents: bool) {
        if let Some(portion) = self.portions.get_mut(&number) {
            portion.open -= 1;
            portion.fetching -= usize::from(brought_documents);
        }
        self.settle(number);
    }

    /// Writes what is left of a portion, and goes on behind portions that are done.
    fn settle(&mut self, number: u64) {
        let Some(portion) = self.portions.get(&number) else { return };
        if portion.fetching == 0 {
            self.flush(number);
        }
        let is_done = |portion: &Portion| portion.is_done();
        if let Some(portion) = self.portions.get(&number).filter(|it| is_done(it))
            && let Some(reached) = &portion.reached
            && !self.portions.range(number + 1..).any(|(_, later)| is_done(later))
        {
            self.source_seq = reached.clone();
        }
        while let Some(first) = self.portions.first_entry().filter(|it| is_done(it.get())) {
            if let Some(reached) = first.remove().reached {
                self.through_seq = reached;
            }
        }
    }

    pub(super) fn flush_all(&mut self) {
        let numbers: Vec<_> = self.portions.keys().copied().collect();
        for number in numbers {
            self.flush(number);
        }
    }

    fn flush(&mut self, number: u64) {
        let Some(portion) = self.portions.get_mut(&number) else { return };
        if portion.outbox.is_empty() {
            return;
        }
        portion.outbox_bytes = 0;
        let documents = std::mem::take(&mut portion.outbox);
        self.add(Task::Write { portion: number, documents });
    }

    pub(super) fn got_missing(
        &mut self,
        portion: u64,
        rows: &[Row],
        missing: &[(Arc<str>, Missing)],
    ) {
        let missing: HashMap<&str, &Missing> = missing.iter().map(|(id, it)| (&**id, it)).collect();
        let mut wants = Vec::new();
        for row in rows {
            self.stats.missing_checked += row.revs.len() as u64;
            let Some(found) = missing.get(&*row.id) else { continue };
            let revs: HashSet<&RevId> = found.missing.iter().collect();
            let ancestors: Arc<[RevId]> = found.possible_ancestors.as_slice().into();
            let lacked = row.revs.iter().filter(|rev| revs.contains(rev));
            let want = |rev: &RevId| Want::new(row.id.clone(), rev.clone(), ancestors.clone());
            wants.extend(lacked.map(want));
        }
        self.stats.missing_found += wants.len() as u64;
        let size = self.peers[Side::Source.place()].pace.documents();
        for wants in wants.chunks(size) {
            self.add(first_fetch(portion, wants.to_vec()));
        }
        self.count_out(portion, true);
    }

    /// What does not go into one request: without bulk requests, other documents than the first.
    pub(super) fn split_for_sending(&mut self, work: &mut Work) -> Option<Work> {
        let Task::Fetch { portion, wants, attachments, single, large } = &mut work.task else {
            return None;
        };
        if self.bulk && !*single {
            return None;
        }
        let first = wants.first()?.id.clone();
        let end = wants.iter().position(|want| want.id != first)?;
        let wants = wants.split_off(end);
        let (portion, attachments) = (*portion, *attachments);
        let rest = Task::Fetch { portion, wants, attachments, single: *single, large: *large };
        self.count_in(&rest);
        Some(Work { task: rest, ..*work })
    }

    /// The answer to wants, in their order; `bulk` says how they were asked for.
    pub(super) fn got_documents(
        &mut self,
        portion: u64,
        mut wants: Vec<Want>,
        results: Vec<Fetched>,
        attachments: Attachments,
        bulk: bool,
        large: bool,
    ) {
        let fetch = |wants, attachments, large| {
            let single = !bulk;
            Task::Fetch { portion, wants, attachments, single, large }
        };
        let unread = wants.split_off(results.len().min(wants.len()));
        if !unread.is_empty() {
            let task = fetch(unread, attachments, false);
            self.count_in(&task);
            self.peer(Side::Source).queue.push_front(Work::new(task));
        }
        if bulk {
            self.stats.bulk_get_attempts += wants.len() as u64;
        }
        let mut inside = Vec::new();
        for (want, result) in wants.into_iter().zip(results) {
            match result {
                Fetched::Documents(documents) => {
                    self.stats.bulk_get_docs += u64::from(bulk);
                    let mut again = false;
                    for document in documents {
                        again |= !self.accept(portion, &want, document, attachments);
                    }
                    if again {
                        inside.push(want);
                    }
                }
                Fetched::Missing => {
                    self.missing_at_source(portion, want, "missing".to_owned());
                }
                Fetched::Failed { error, reason } => match &*error {
                    // `doc_validation`: it is no document, and will not become one.
                    "forbidden" | "unauthorized" | "doc_validation" => {
                        self.refuse_want(&want, error, reason);
                    }
                    _ => self.missing_at_source(portion, want, format!("{error}: {reason}")),
                },
                Fetched::TooLarge if attachments == Attachments::Inside => {
                    self.add(fetch(vec![want], Attachments::Apart, false));
                }
                Fetched::TooLarge if large => {
                    let reason = "the document is larger than a replication holds".to_owned();
                    self.refuse_want(&want, "too_large".to_owned(), reason);
                }
                Fetched::TooLarge => self.add(fetch(vec![want], attachments, true)),
            }
            if self.phase != Phase::Running {
                return; // one of them has ended it
            }
        }
        if !inside.is_empty() {
            self.add(fetch(inside, Attachments::Inside, false));
        }
        self.count_out(portion, true);
    }

    /// Takes a document on its way; `false` if it must be fetched again with its attachments inside.
    fn accept(&mut self, portion: u64, want: &Want, document: Document, how: Attachments) -> bool {
        let attachments = document.changed_attachments(&want.atts_since);
        let lengths = attachments.iter().map(|place| document.attachments[*place].length);
        let bytes = lengths.fold(0_u64, u64::saturating_add);
        let is_first = how == Attachments::Unseen && !attachments.is_empty();
        if is_first && bytes <= ATTACHMENTS_INLINE_BYTES_MAX {
            return false;
        }
        self.stats.docs_read += 1;
        self.held += document.bytes();
        let document = Arc::new(document);
        if !attachments.is_empty() {
            let missed = want.missed;
            let (next, received, furthest) = (0, 0, 0);
            let staging = Staging { document, attachments, next, received, furthest, missed };
            self.add(Task::Stage { portion, staging });
            return true;
        }
        if document.is_design() {
            // Alone: who may not write these may write the others.
            self.add(Task::Write { portion, documents: vec![document] });
            return true;
        }
        let pace = &self.peers[Side::Target.place()].pace;
        let (documents_max, bytes_max) = (pace.documents(), pace.bytes());
        let Some(portion_state) = self.portions.get_mut(&portion) else { return true };
        portion_state.outbox_bytes += document.bytes();
        portion_state.outbox.push(document);
        if portion_state.outbox.len() >= documents_max || portion_state.outbox_bytes >= bytes_max {
            self.flush(portion);
        }
        true
    }

    pub(super) fn got_attachment(&mut self, portion: u64, mut staging: Staging) {
        staging.next += 1;
        (staging.received, staging.furthest) = (0, 0);
        if staging.next < staging.attachments.len() {
            let task = Task::Stage { portion, staging };
            self.count_in(&task);
            self.peer(Side::Source).queue.push_front(Work::new(task));
        } else {
            self.add(Task::WriteStaged { portion, staging });
        }
        self.count_out(portion, false);
    }

    /// The target has answered a write of `documents`, with all of them but those that it refused.
    pub(super) fn wrote(
        &mut self,
        portion: u64,
        documents: Vec<Arc<Document>>,
        staging: Option<Staging>,
        refusals: Vec<Refusal>,
        tries: u32,
    ) {
        let mut refused: HashMap<Arc<str>, Vec<Refusal>> = HashMap::new();
        for refusal in refusals {
            refused.entry(refusal.id.clone()).or_default().push(refusal);
        }
        let mut passing = Vec::new();
        for document in documents {
            let is_it = |it: &&Refusal| it.rev.as_ref().is_none_or(|rev| *rev == document.rev);
            let of_document = refused.get(&document.id).into_iter().flatten().find(is_it);
            let Some(refusal) = of_document.cloned() else {
                self.held -= document.bytes();
                self.stats.docs_written += 1;
                continue;
            };
            if PASSING_ERRORS.contains(&&*refusal.error) {
                passing.push((document, refusal));
            } else {
                self.not_written(portion, &document, staging.as_ref(), refusal);
            }
        }
        if let Some((_, refusal)) = passing.first() {
            let reason = format!("{}: {}", refusal.error, refusal.reason);
            let documents = passing.into_iter().map(|(document, _)| document).collect();
            let task = match staging {
                None => Task::Write { portion, documents },
                Some(staging) => Task::WriteStaged { portion, staging },
            };
            self.count_in(&task);
            let work = Work { tries, ..Work::new(task) };
            let sent = self.now.monotonic;
            let flight =
                super::Flight { work, side: Side::Target, sent, deadline: sent, reserved: 0 };
            self.failed(flight, Failure { kind: FailureKind::Broken, reason });
        }
        self.count_out(portion, false);
    }
}
