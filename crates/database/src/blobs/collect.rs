//! Deletes blobs that nothing refers to: condemns, waits, deletes.
//!
//! A check stands in the queue for every blob that lost a database's last reference. When it is due:
//!
//! | references | record | what happens, in one commit |
//! |---|---|---|
//! | some | condemned | it is reprieved; the check goes |
//! | some | – | the check goes |
//! | none | – | it is condemned; the check moves to the end of the wait |
//! | none | condemned, too recently | the check moves to the end of the wait |
//! | none | condemned long enough | record and data go, and the check; then the file |
//! | – | absent | the check goes |
//! | – | unusable | nothing is deleted; the check moves by the wait |
//!
//! Each requires the record that was read, and a reference that was found to be there still; so what
//! a writer did meanwhile refuses it, and the check stays for another look. The wait is for readers and backups that found the record before. A file
//! whose record is gone but which a crash spared is left to the sweep behind the next open.

use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::Duration};

use settle_engine::{
    Batch, Direction, Expected, Outcome, Plan, Scan, Step, Urgency, Visit, Visitor,
};
use settle_model::time::Timestamp;

use super::{
    BlobStore, blocking,
    digest::BlobDigest,
    joined, keys,
    limits::{COLLECT_CHECKS_MAX, COLLECT_PAUSE_MAX},
    record::{BlobRecord, Place, UploadId, mark},
};
use crate::error::StorageError;

/// Shortest pause between two looks at the queue.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// What one slice of the collector did, in blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    pub condemned: usize,
    pub reprieved: usize,
    pub deleted: usize,
    /// Whether more checks may be due already.
    pub has_more: bool,
}

impl BlobStore {
    /// Sweeps once, then collects until `shutdown` ends. Errors are logged, and tried again later.
    pub async fn run_collector(self: Arc<Self>, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = std::pin::pin!(shutdown);
        let pause = self.settings.condemned_for.clamp(PAUSE_MIN, COLLECT_PAUSE_MAX);
        let sweep = async {
            match self.sweep().await {
                Ok(swept) => tracing::debug!(?swept, "swept the folder of attachments"),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not sweep the folder of attachments"
                ),
            }
        };
        tokio::select! {
            () = &mut shutdown => return,
            () = sweep => {}
        }
        loop {
            let round = async {
                if let Err(error) = self.collect_all().await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "could not collect unused attachments"
                    );
                }
                tokio::time::sleep(pause).await;
            };
            tokio::select! {
                () = &mut shutdown => return,
                () = round => {}
            }
        }
    }

    async fn collect_all(&self) -> Result<(), StorageError> {
        while self.collect().await?.has_more {}
        Ok(())
    }

    /// One slice: the checks that are due, up to a limit.
    pub async fn collect(&self) -> Result<Collected, StorageError> {
        let now = self.clock.now();
        let checks = self.due_checks(now).await?;
        let has_more = checks.rows == COLLECT_CHECKS_MAX;
        let mut verdicts = Vec::with_capacity(checks.by_digest.len());
        for subject in self.examine(checks.by_digest).await? {
            verdicts.push(subject.judge(now, self.settings.condemned_for));
        }
        self.carry_out(&mut verdicts).await?;
        let mut collected = Collected { has_more, ..Collected::default() };
        let mut files = Vec::new();
        for verdict in &verdicts {
            match verdict.fate {
                Fate::Condemned => collected.condemned += 1,
                Fate::Reprieved => collected.reprieved += 1,
                Fate::Deleted => collected.deleted += 1,
                Fate::Unchanged => {}
            }
            files.extend(verdict.file.map(|upload| (verdict.digest, upload)));
        }
        self.remove_files(files).await;
        Ok(collected)
    }

    async fn due_checks(&self, now: Timestamp) -> Result<Checks, StorageError> {
        let scan = Scan {
            start: Bound::Included(keys::checks()),
            end: Bound::Excluded(keys::checks_after(now)),
            direction: Direction::Ascending,
        };
        let plan = Plan::new(vec![Step::Scan(scan)]);
        Ok(self.engine.read_to_end(plan, Checks::default()).await?)
    }

    /// Record and references of each blob, seen in one view.
    async fn examine(
        &self,
        checks: BTreeMap<BlobDigest, Vec<Vec<u8>>>,
    ) -> Result<Vec<Subject>, StorageError> {
        let mut subjects = Vec::with_capacity(checks.len());
        let mut steps = Vec::with_capacity(2 * checks.len());
        for (digest, checks) in checks {
            let references = keys::site_references(digest);
            steps.push(Step::Scan(Scan::prefix(&references, Direction::Ascending)));
            steps.push(Step::Get(keys::blob(digest)));
            subjects.push(Subject { digest, checks, record: None, reference: None });
        }
        // A pause between the two steps of one blob is harmless: the record is read later than the
        // references, and any reference that came in between changed it or did not need it.
        Ok(self.engine.read_to_end(Plan::new(steps), Examination(subjects)).await?.0)
    }

    /// Commits all verdicts together, less those that a precondition refuses.
    async fn carry_out(&self, verdicts: &mut Vec<Verdict>) -> Result<(), StorageError> {
        while !verdicts.is_empty() {
            let mut batch = Batch { urgency: Urgency::Background, ..Batch::default() };
            let mut owners = Vec::with_capacity(verdicts.len());
            for (index, verdict) in verdicts.iter().enumerate() {
                for (key, expected) in &verdict.preconditions {
                    batch.require(key.clone(), expected.clone());
                    owners.push(index);
                }
                for (key, value) in &verdict.puts {
                    batch.put(key.clone(), value.clone());
                }
                for key in &verdict.deletes {
                    batch.delete(key.clone());
                }
            }
            match self.engine.commit(batch).await {
                Outcome::Committed => return Ok(()),
                Outcome::Refused { precondition } => drop(verdicts.remove(owners[precondition])),
                Outcome::NotApplied { reason, storage_full: true } => {
                    return Err(StorageError::Full { reason });
                }
                Outcome::NotApplied { reason, storage_full: false } => {
                    return Err(StorageError::NotWritten { reason });
                }
                Outcome::Unknown { reason } => return Err(StorageError::Unknown { reason }),
            }
        }
        Ok(())
    }

    async fn remove_files(&self, files: Vec<(BlobDigest, UploadId)>) {
        if files.is_empty() {
            return;
        }
        let folder = self.folder.clone();
        let work = blocking(move || {
            for (digest, upload) in files {
                if let Err(error) = folder.remove(digest, upload) {
                    tracing::warn!(%error, cause = %error.source, "a deleted attachment's file stays for now");
                }
            }
        });
        if let Err(stopped) = joined(work.await) {
            tracing::debug!(%stopped, "files of deleted attachments are left to the next sweep");
        }
    }
}

/// Due checks by blob: the keys of its checks.
#[derive(Default)]
struct Checks {
    by_digest: BTreeMap<BlobDigest, Vec<Vec<u8>>>,
    rows: usize,
}

impl Visitor for Checks {
    fn visit(&mut self, _: usize, key: &[u8], _: Option<&[u8]>) -> Visit {
        if let Some((_, digest)) = keys::check_of(key) {
            self.by_digest.entry(digest).or_default().push(key.to_vec());
        }
        self.rows += 1;
        if self.rows < COLLECT_CHECKS_MAX { Visit::Next } else { Visit::Stop }
    }
}

/// A blob that is due, and what was found out about it.
struct Subject {
    digest: BlobDigest,
    checks: Vec<Vec<u8>>,
    record: Option<Vec<u8>>,
    /// The key of one site reference.
    reference: Option<Vec<u8>>,
}

/// Steps 2n and 2n+1 are the nth blob's site references and its record.
struct Examination(Vec<Subject>);

impl Visitor for Examination {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let subject = &mut self.0[step / 2];
        if step.is_multiple_of(2) {
            subject.reference = Some(key.to_vec());
            return Visit::NextStep;
        }
        subject.record = value.map(<[u8]>::to_vec);
        Visit::Next
    }
}

struct Verdict {
    digest: BlobDigest,
    fate: Fate,
    preconditions: Vec<(Vec<u8>, Expected)>,
    puts: Vec<(Vec<u8>, Vec<u8>)>,
    deletes: Vec<Vec<u8>>,
    /// Of a deleted blob that had one.
    file: Option<UploadId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unchanged,
    Condemned,
    Reprieved,
    Deleted,
}

impl Subject {
    fn judge(self, now: Timestamp, wait: Duration) -> Verdict {
        let digest = self.digest;
        let key = keys::blob(digest);
        let mut verdict = Verdict {
            digest,
            fate: Fate::Unchanged,
            preconditions: Vec::with_capacity(2),
            puts: Vec::new(),
            deletes: self.checks,
            file: None,
        };
        let Some(stored) = self.record else {
            verdict.preconditions.push((key, Expected::Absent));
            return verdict;
        };
        let record = match BlobRecord::decode(digest, &stored) {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(%digest, %error, "an attachment's record is unusable");
                verdict.look_again(now.plus(wait));
                return verdict;
            }
        };
        verdict.preconditions.push((key.clone(), Expected::Equals(stored)));
        if let Some(reference) = &self.reference {
            // Should it go, a check follows that could have the key of one that goes here.
            verdict.preconditions.push((reference.clone(), Expected::Present));
        }
        match (self.reference, record.condemned_at) {
            (Some(_), Some(_)) => {
                verdict.fate = Fate::Reprieved;
                verdict.puts.push(record.reprieved().encode(digest));
            }
            (Some(_), None) => {}
            (None, None) => {
                verdict.fate = Fate::Condemned;
                verdict.puts.push(record.condemned(now).encode(digest));
                verdict.look_again(now.plus(wait));
            }
            (None, Some(at)) if at.plus(wait) > now => verdict.look_again(at.plus(wait)),
            (None, Some(_)) => {
                verdict.fate = Fate::Deleted;
                verdict.deletes.extend([key, keys::data(digest)]);
                verdict.file = match record.place {
                    Place::Inline => None,
                    Place::File => Some(record.upload),
                };
            }
        }
        verdict
    }
}

impl Verdict {
    fn look_again(&mut self, due: Timestamp) {
        let key = keys::check(due, self.digest);
        self.deletes.retain(|check| *check != key);
        self.puts.push((key.clone(), mark(&key)));
    }
}
