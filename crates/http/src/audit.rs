//! Who signed in and what administrators did, as documents of the database `_audit`.
//!
//! An *act* is a request that changed something and for which the right to administer was asked and given:
//! the record follows the grant, so that a new handler cannot forget it. Changes of what somebody signs in
//! with, user documents and tokens, are acts too, whoever makes them. Its record is on disk before the
//! client hears that the act succeeded; an act whose record cannot be written is answered with 500, done
//! though it is. (Writing the record first would log what never happened; writing it with the act would
//! bind two databases into one commit.) A crash between the two leaves an act that nobody was told of. A
//! client that goes away before the answer, and a failure of the server, are recorded too, soon.
//!
//! *Sign-ins* are noted beside the request and may be lost with the process. Refused ones are many when
//! somebody guesses passwords: what goes beyond a rate is counted, and the next record of its kind says
//! how many were left out.
//!
//! Records that wait are written together, by one task that ends when there are none. The database is
//! append-only: HTTP reads it, as an administrator of the server, and changes nothing in it; records leave
//! it when they are older than the configuration keeps them. Ids begin with the time, so that
//! `_all_docs` is in order of time.

use std::{
    net::IpAddr,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use settle_access::{Action, Grant, Resource};
use settle_database::{
    Atomicity, Content, CreateError, CreateOptions, Database, Direction, DocumentRow, DocumentScan,
    Edit, More, Next, Origin, Sink, StorageError, Verdict,
};
use settle_model::{
    id::{DatabaseName, DocumentId},
    revision::RevId,
    time::Timestamp,
};
use settle_site::AUDIT;
use tokio::sync::oneshot;

use crate::{
    error::{ApiError, Code},
    limits::{
        AUDIT_BATCH_MAX, AUDIT_REFUSED_A_MINUTE, AUDIT_SIGNED_IN_A_MINUTE, AUDIT_TEXT_MAX,
        AUDIT_TRIM_EVERY, AUDIT_WAITING_MAX,
    },
    state::AppState,
};

#[derive(Debug)]
pub(crate) struct Audit {
    /// `None` keeps no records.
    keep: Option<Duration>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// Whether a task is writing.
    writing: bool,
    /// Of accepted and refused sign-ins.
    counts: [Count; 2],
    /// Makes ids distinct.
    next: u32,
    trimmed: Option<Timestamp>,
}

/// What was recorded of one kind in the present minute, and what was not.
#[derive(Debug, Default)]
struct Count {
    minute: u64,
    recorded: u32,
    omitted: u32,
}

#[derive(Debug)]
struct Waiting {
    id: String,
    body: Vec<u8>,
    /// Somebody who waits for it to be on disk.
    done: Option<oneshot::Sender<bool>>,
}

/// Which request it was.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cause {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<IpAddr>,
    pub(crate) request: String,
}

#[derive(Debug, Serialize)]
struct Record<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    time: String,
    #[serde(flatten)]
    what: &'a T,
    #[serde(flatten)]
    cause: &'a Cause,
    /// Of the same kind, since the record before.
    #[serde(skip_serializing_if = "Option::is_none")]
    omitted: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(crate) struct SignIn {
    outcome: &'static str,
    name: String,
    by: &'static str,
}

/// A request that changed something by the right to administer.
#[derive(Debug, Serialize)]
pub(crate) struct Act {
    pub(crate) name: String,
    pub(crate) by: Option<&'static str>,
    pub(crate) method: String,
    pub(crate) path: String,
    /// `None` when the client went away before the answer.
    pub(crate) status: Option<u16>,
}

impl SignIn {
    pub(crate) fn new(name: &str, by: &'static str, accepted: bool) -> Self {
        let outcome = if accepted { "accepted" } else { "refused" };
        Self { outcome, name: cut(name), by }
    }
}

impl Audit {
    pub(crate) fn new(keep: Option<Duration>) -> Self {
        Self { keep, queue: Mutex::default() }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.keep.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AppState {
    /// Makes the database of records where there is none. At the start, so that it is there before
    /// anybody looks.
    pub async fn open_audit(&self) -> Result<(), StorageError> {
        if self.audit.is_on() {
            database(self).await?;
        }
        Ok(())
    }

    /// Records a sign-in, soon.
    pub(crate) fn note_sign_in(self: &Arc<Self>, sign_in: &SignIn, cause: &Cause) {
        if !self.audit.is_on() {
            return;
        }
        let now = self.site.clock.now();
        let (at, most) = match sign_in.outcome {
            "accepted" => (0, AUDIT_SIGNED_IN_A_MINUTE),
            _ => (1, AUDIT_REFUSED_A_MINUTE),
        };
        let mut queue = self.audit.lock();
        let full = queue.waiting.len() >= AUDIT_WAITING_MAX;
        let Some(omitted) = queue.counts[at].record(now, most, full) else { return };
        self.push(queue, "sign_in", now, sign_in, cause, omitted, None);
    }

    /// Records an act, and returns when that is on disk.
    pub(crate) async fn record_act(
        self: &Arc<Self>,
        act: &Act,
        cause: &Cause,
    ) -> Result<(), ApiError> {
        let (done, written) = oneshot::channel();
        let now = self.site.clock.now();
        self.push(self.audit.lock(), "act", now, act, cause, None, Some(done));
        match written.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(ApiError::internal("an act was done and not recorded")),
        }
    }

    /// Records an act that nobody waits for any more, soon.
    pub(crate) fn note_act(self: &Arc<Self>, act: &Act, cause: &Cause) {
        self.push(self.audit.lock(), "act", self.site.clock.now(), act, cause, None, None);
    }

    /// Records what the server has done by itself, soon.
    pub(crate) fn note<T: Serialize>(
        self: &Arc<Self>,
        kind: &'static str,
        what: &T,
        cause: &Cause,
    ) {
        if self.audit.is_on() {
            self.push(self.audit.lock(), kind, self.site.clock.now(), what, cause, None, None);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the members of a record")]
    fn push<T: Serialize>(
        self: &Arc<Self>,
        mut queue: MutexGuard<'_, Queue>,
        kind: &'static str,
        now: Timestamp,
        what: &T,
        cause: &Cause,
        omitted: Option<u32>,
        done: Option<oneshot::Sender<bool>>,
    ) {
        let record = Record { kind, time: settle_model::date::rfc3339(now), what, cause, omitted };
        let body = serde_json::to_vec(&record).expect("records have text keys");
        queue.next = queue.next.wrapping_add(1);
        let id = format!("{:016x}-{:08x}", now.micros(), queue.next);
        queue.waiting.push(Waiting { id, body, done });
        if !std::mem::replace(&mut queue.writing, true) {
            let state = Arc::clone(self);
            self.site.store.tasks().spawn(async move { state.write_records().await });
        }
    }

    /// Until there are none.
    async fn write_records(&self) {
        loop {
            let batch: Vec<_> = {
                let mut queue = self.audit.lock();
                if queue.waiting.is_empty() {
                    queue.writing = false;
                    return;
                }
                let count = queue.waiting.len().min(AUDIT_BATCH_MAX);
                queue.waiting.drain(..count).collect()
            };
            let written = self.write_batch(&batch).await;
            if let Err(error) = &written {
                let error: &(dyn std::error::Error + 'static) = error;
                tracing::error!(error, records = batch.len(), "could not write the audit log");
            }
            for record in batch {
                if let Some(done) = record.done {
                    // Who waited may have gone away.
                    let _: Result<(), bool> = done.send(written.is_ok());
                }
            }
            if let Err(error) = self.trim_records().await {
                tracing::warn!(%error, "could not remove old records of the audit log");
            }
        }
    }

    async fn write_batch(&self, batch: &[Waiting]) -> Result<(), AuditError> {
        let database = database(self).await?;
        let grant = Grant::internal(database.resource(), "the server's own records");
        let edits = batch.iter().map(|record| Edit {
            id: record.id.parse().expect("digits are an id"),
            origin: Origin::Interactive { base: None, must_exist: false },
            deleted: false,
            content: Content::Whole { body: record.body.clone(), attachments: Vec::new() },
            verdict: Verdict::internal("the server's own records"),
        });
        let results = database.write(&grant, edits.collect(), Atomicity::EachAlone).await?;
        for result in results {
            result.map_err(AuditError::Refused)?;
        }
        Ok(())
    }

    /// Erases what is older than it is kept, now and then, a part each time.
    async fn trim_records(&self) -> Result<(), StorageError> {
        let now = self.site.clock.now();
        let Some(keep) = self.audit.keep else { return Ok(()) };
        {
            let mut queue = self.audit.lock();
            if queue.trimmed.is_some_and(|last| now.since(last) < AUDIT_TRIM_EVERY) {
                return Ok(());
            }
            queue.trimmed = Some(now);
        }
        let database = database(self).await?;
        let grant = Grant::internal(database.resource(), "the server's own records");
        let end = format!("{:016x}", now.minus(keep).micros());
        let scan = DocumentScan {
            start: Bound::Unbounded,
            end: Bound::Excluded(end),
            direction: Direction::Ascending,
            skip: 0,
            limit: AUDIT_BATCH_MAX as u64,
            content: false,
            in_conflict: false,
        };
        let (found, next) = database.scan_documents(&grant, scan, Found(Vec::new())).await?;
        if found.0.is_empty() {
            return Ok(());
        }
        let administer = Grant::internal(database.resource(), "what is no longer kept");
        database.purge(&administer, found.0).await?;
        if matches!(next, Next::Go(_)) {
            self.audit.lock().trimmed = None;
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum AuditError {
    #[error("a record was refused")]
    Refused(#[source] settle_database::EditError),
    #[error("storage failed")]
    Storage(#[from] StorageError),
}

/// The ids and winners of a scan.
struct Found(Vec<(DocumentId, Vec<RevId>)>);

impl Sink<DocumentRow<'_>> for Found {
    fn row(&mut self, row: &DocumentRow<'_>) -> More {
        if let (Ok(id), Some(found)) = (row.id.parse(), &row.found) {
            self.0.push((id, vec![found.rev.clone()]));
        }
        More::Yes
    }
}

impl Count {
    /// What to say was left out, if this one is recorded.
    fn record(&mut self, now: Timestamp, most: u32, full: bool) -> Option<Option<u32>> {
        let minute = now.seconds() / 60;
        if self.minute != minute {
            (self.minute, self.recorded) = (minute, 0);
        }
        if full || self.recorded >= most {
            self.omitted = self.omitted.saturating_add(1);
            return None;
        }
        self.recorded += 1;
        let omitted = std::mem::take(&mut self.omitted);
        Some((omitted > 0).then_some(omitted))
    }
}

async fn database(state: &AppState) -> Result<Database, StorageError> {
    let name: DatabaseName = AUDIT.parse().expect("it is the name of a database");
    loop {
        if let Some(database) = state.site.store.find(&name).await? {
            return Ok(database);
        }
        let grant = Grant::internal(Resource::Server, "the database of the server's own records");
        match state.site.store.create(&grant, &name, CreateOptions::default()).await {
            Ok(database) => return Ok(database),
            Err(CreateError::Exists { .. }) => {}
            Err(CreateError::Storage(error)) => return Err(error),
        }
    }
}

/// Refuses whoever would change the records. To be asked once it is known that they may see them.
pub(crate) fn check_action<A: Action>(name: &DatabaseName) -> Result<(), ApiError> {
    if A::NAME == settle_access::Read::NAME {
        return Ok(());
    }
    check_change(name)
}

pub(crate) fn check_change(name: &DatabaseName) -> Result<(), ApiError> {
    let checked = settle_site::check_change(name);
    checked.map_err(|error| ApiError::new(Code::Forbidden, error.to_string()))
}

/// What a client made up has a length that we choose.
fn cut(text: &str) -> String {
    let mut end = text.len().min(AUDIT_TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

pub(crate) fn path(path: &str) -> String {
    cut(path)
}
