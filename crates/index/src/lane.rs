//! Writes that design documents have a say in: validators and schemas are asked before the writer is.
//!
//! What a database's design documents say about an edit is a *verdict*, and the writer takes no edit
//! whose verdict was reached under other design documents, another security object, or another state of
//! the document: then it is asked about again. Edits of one document pass a lane, one after the
//! other, so that a document that many write is not judged over and over; other documents are not held
//! up. A write of several documents takes their lanes in the order of their ids. A database without
//! validators has no lanes.
//!
//! Of an atomic write everything is judged before anything is written.
//!
//! Source: `couch_db:validate_doc_update/3` and what calls it. Different here: a validator that cannot be
//! asked refuses the edit with its own error, and a replicated write is judged like every other.

mod asking;
mod calling;
mod functions;
mod locks;
mod schema;
mod transact;
mod validators;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use settle_access::{Actor, Grant, Write};
use settle_database::{
    Answer, Atomicity, Attempt, Content, Database, Edit, EditError, Epochs, Foreseen, OnceKey,
    Recorded, Recording, Seen, StorageError, Verdict, Written,
};
use settle_model::{id::DatabaseName, json::write_string};
use settle_query::design::{self, DesignError};
use settle_script::ScriptError;
use thiserror::Error;

pub(crate) use self::validators::Validators;
use self::{asking::Asking, locks::Locks};
pub use self::{
    calling::{AskIndexes, Reading, Room, Told},
    transact::TransactResult,
};
use crate::{Designs, Indexes, designs::PREFIX, limits::CLASHES_MAX};

/// The way of all writes that come from outside. Clones are the same.
#[derive(Debug, Clone)]
pub struct Lanes {
    indexes: Indexes,
    locks: Locks,
    asking: Asking,
}

/// Who writes, as validators see him.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Author {
    /// `None` for nobody in particular.
    pub name: Option<String>,
    pub roles: Vec<String>,
}

/// Why an edit was not made. Its neighbours are not concerned.
#[derive(Debug, Clone, Error)]
pub enum WriteError {
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A validator or a schema says no.
    #[error("{reason}")]
    Forbidden { reason: String },
    /// A validator says: not without signing in.
    #[error("{reason}")]
    Unauthorized { reason: String },
    /// A validator threw something else. `error` may be any text.
    #[error("{reason}")]
    Thrown { error: String, reason: String },
    /// A validator could not be asked, or a function of the design document that was to be written is none.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// A design document holds a rule that cannot be used, so nothing can be written.
    #[error("_design/{design}: {reason}")]
    BrokenRule { design: String, reason: String },
    /// What was to be written is a design document that is none.
    #[error(transparent)]
    Design(#[from] DesignError),
    /// A rule of the design document that was to be written cannot be used.
    #[error("{reason}")]
    DesignRule { reason: String },
    /// Whoever keeps the database has no room for what a function would write.
    #[error("{reason}")]
    NoRoom { reason: String },
    /// Design documents or the document changed each time that the edit had been judged.
    #[error("what the edit rests on keeps changing")]
    Contended,
}

pub type WriteResult = Result<Written, WriteError>;

impl From<&Actor> for Author {
    fn from(actor: &Actor) -> Self {
        match actor {
            Actor::Anonymous => Self::default(),
            Actor::User { name, roles, .. } => {
                Self { name: Some(name.clone()), roles: roles.clone() }
            }
        }
    }
}

impl Author {
    /// `{"db": …, "name": …, "roles": […]}`: what functions get as `userCtx`.
    pub fn user_ctx(&self, database: &DatabaseName) -> Bytes {
        let mut out = Vec::with_capacity(64);
        out.extend_from_slice(b"{\"db\":");
        write_string(&mut out, database.local());
        out.extend_from_slice(b",\"name\":");
        match &self.name {
            Some(name) => write_string(&mut out, name),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"roles\":[");
        for (index, role) in self.roles.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(&mut out, role);
        }
        out.extend_from_slice(b"]}");
        out.into()
    }
}

/// A database's security object as functions see it; where none was set, the one that holds then.
pub fn security_of(database: &Database) -> Bytes {
    const DEFAULT: &[u8] = br#"{"members":{"roles":["_admin"]},"admins":{"roles":["_admin"]}}"#;
    database.security().map_or(Bytes::from_static(DEFAULT), Bytes::from)
}

/// The results of a write that may come again, or what is remembered of it, where it was made before.
pub type OnceResult = Result<Vec<WriteResult>, Recorded>;

/// Makes of the results of a write what is to be answered; `None` where nothing is to be remembered.
pub type Tell = dyn Fn(&[WriteResult]) -> Option<Vec<u8>> + Send + Sync;

/// What a write that may come again is remembered by.
#[derive(Clone)]
pub struct Once {
    pub key: OnceKey,
    pub answer: Arc<Tell>,
}

/// What is the same for all edits of a write.
struct Request<'a> {
    database: &'a Database,
    grant: &'a Grant<Write>,
    author: &'a Author,
    atomicity: Atomicity,
    once: Option<&'a Once>,
}

/// An edit that is not decided yet, and its place in the write.
type Open = (usize, Edit);
/// One that the writer may see.
type Judged = (usize, Edit, Verdict);

/// What validators are told besides the edit; JSON.
#[derive(Debug, Clone)]
struct Context {
    user_ctx: Bytes,
    security: Bytes,
}

impl Lanes {
    pub fn new(indexes: Indexes) -> Self {
        let asking = Asking::new(indexes.scripts().clone(), indexes.store_tasks().clone());
        Self { indexes, locks: Locks::default(), asking }
    }

    /// Makes the edits, if the validators of the database have no objection: each by itself, or all
    /// together. As [`Database::write`] otherwise.
    pub async fn write(
        &self,
        database: &Database,
        grant: &Grant<Write>,
        author: &Author,
        edits: Vec<Edit>,
        atomicity: Atomicity,
    ) -> Result<Vec<WriteResult>, StorageError> {
        let request = Request { database, grant, author, atomicity, once: None };
        match self.pass(&request, edits).await? {
            Ok(results) => Ok(results),
            Err(_) => unreachable!("nothing is remembered without a key"),
        }
    }

    /// As [`write`](Self::write), of edits that one commit takes, and that may come again: what is to be answered is
    /// recorded in the commit of their effect, and where there is a record already, nothing is done.
    pub async fn write_once(
        &self,
        database: &Database,
        grant: &Grant<Write>,
        author: &Author,
        edits: Vec<Edit>,
        (atomicity, once): (Atomicity, &Once),
    ) -> Result<OnceResult, StorageError> {
        let request = Request { database, grant, author, atomicity, once: Some(once) };
        self.pass(&request, edits).await
    }

    async fn pass(
        &self,
        request: &Request<'_>,
        edits: Vec<Edit>,
    ) -> Result<OnceResult, StorageError> {
        let Request { database, atomicity, once, .. } = *request;
        let mut is_recorded = once.is_none();
        let mut results: Vec<Option<WriteResult>> = edits.iter().map(|_| None).collect();
        let mut open: Vec<Open> = edits.into_iter().enumerate().collect();
        self.check_designs(database, &mut open, &mut results).await;
        // Held until the last of them is written.
        let mut lanes = None;
        for _ in 0..CLASHES_MAX {
            if open.is_empty() || is_aborted(atomicity, &results) {
                break;
            }
            let epochs = database.epochs();
            if epochs.design == 0 {
                let all = open.drain(..).map(|(at, edit)| (at, edit, Verdict::NONE)).collect();
                open = match submit(request, all, &mut results).await? {
                    Ok(open) => open,
                    Err(recorded) => return Ok(Err(recorded)),
                };
                is_recorded |= open.is_empty();
                continue;
            }
            let designs = self.indexes.designs(database).await?;
            let epochs = Epochs { design: designs.epoch, ..epochs };
            let validators = designs.validators(database.number());
            if !validators.is_empty() && lanes.is_none() {
                let ids = open.iter().map(|(_, edit)| edit.id.clone());
                lanes = Some(self.locks.take(database.number(), ids).await);
                // Waiting took a while.
                continue;
            }
            let judged = self.judge(request, epochs, &designs, open, &mut results).await?;
            if is_aborted(atomicity, &results) {
                break;
            }
            open = match submit(request, judged, &mut results).await? {
                Ok(open) => open,
                Err(recorded) => return Ok(Err(recorded)),
            };
            is_recorded |= open.is_empty();
        }
        let left = if is_aborted(atomicity, &results) {
            WriteError::Edit(EditError::Aborted)
        } else {
            WriteError::Contended
        };
        let results = results.into_iter().map(|it| it.unwrap_or_else(|| Err(left.clone())));
        let results: Vec<WriteResult> = results.collect();
        if let (Some(once), false) = (once, is_recorded)
            && let Some(recorded) = once.record_refusal(request, &results).await?
        {
            return Ok(Err(recorded));
        }
        Ok(Ok(results))
    }

    /// Makes the edits soon, and says nothing of how they fare: `batch=ok`.
    pub fn write_later(
        &self,
        database: &Database,
        grant: &Grant<Write>,
        author: Author,
        edits: Vec<Edit>,
    ) {
        let (lanes, database, grant) = (self.clone(), database.clone(), grant.clone());
        self.indexes.store_tasks().spawn(async move {
            let name = database.name().clone();
            match lanes.write(&database, &grant, &author, edits, Atomicity::EachAlone).await {
                Ok(results) => {
                    for error in results.into_iter().filter_map(Result::err) {
                        tracing::debug!(database = %name, %error, "a batched edit was refused");
                    }
                }
                Err(error) => {
                    tracing::warn!(database = %name, %error, "a batched write failed");
                }
            }
        });
    }

    /// Refuses design documents that are none.
    async fn check_designs(
        &self,
        database: &Database,
        open: &mut Vec<Open>,
        results: &mut [Option<WriteResult>],
    ) {
        for (at, edit) in &*open {
            if let Err(error) = self.check_design(database, edit).await {
                results[*at] = Some(Err(error));
            }
        }
        open.retain(|(at, _)| results[*at].is_none());
    }

    async fn check_design(&self, database: &Database, edit: &Edit) -> Result<(), WriteError> {
        let Content::Whole { body, .. } = &edit.content else { return Ok(()) };
        if !edit.id.is_design() || edit.deleted {
            return Ok(());
        }
        design::check_save(body, database.is_partitioned())?;
        let name = edit.id.as_str().strip_prefix(PREFIX).unwrap_or_default();
        let design = design::parse(name, body)?;
        validators::check(&design)?;
        functions::check(self.indexes.scripts(), database, &design).await
    }

    /// Asks all validators about all edits. What comes back may be written.
    async fn judge(
        &self,
        request: &Request<'_>,
        epochs: Epochs,
        designs: &Arc<Designs>,
        open: Vec<Open>,
        results: &mut [Option<WriteResult>],
    ) -> Result<Vec<Judged>, StorageError> {
        let database = request.database;
        if designs.validators(database.number()).is_empty() {
            let verdict = Verdict::passed(epochs, Seen::Nothing);
            return Ok(open.into_iter().map(|(at, edit)| (at, edit, verdict)).collect());
        }
        let (places, edits): (Vec<usize>, Vec<Edit>) = open.into_iter().unzip();
        let foreseen = database.foresee(request.grant, &edits).await?;
        let mut asked = Vec::new();
        let mut passed = Vec::with_capacity(edits.len());
        for ((at, edit), foreseen) in places.into_iter().zip(edits).zip(foreseen) {
            match foreseen {
                // The writer refuses it, or finds that it has changed its mind.
                Foreseen::Settled => passed.push((at, edit, Verdict::NONE)),
                Foreseen::Edit { seen, new, deleted, old } => {
                    let verdict = Verdict::passed(epochs, seen);
                    asked.push(validators::Question { new, deleted, old });
                    passed.push((at, edit, verdict));
                }
            }
        }
        let context = Context {
            user_ctx: request.author.user_ctx(database.name()),
            security: security_of(database),
        };
        let answers =
            validators::ask(designs, database.number(), &self.asking, asked, context).await;
        let mut answers = answers.into_iter();
        passed.retain(|(at, _, verdict)| {
            if *verdict == Verdict::NONE {
                return true;
            }
            match answers.next().expect("each question has its answer") {
                Ok(()) => true,
                Err(error) => {
                    results[*at] = Some(Err(error));
                    false
                }
            }
        });
        Ok(passed)
    }
}

/// Whether nothing of an atomic write can be made any more.
fn is_aborted(atomicity: Atomicity, results: &[Option<WriteResult>]) -> bool {
    atomicity == Atomicity::AllOrNothing && results.iter().any(|it| matches!(it, Some(Err(_))))
}

/// Hands edits to the writer; those that have been overtaken come back.
async fn submit(
    request: &Request<'_>,
    judged: Vec<Judged>,
    results: &mut [Option<WriteResult>],
) -> Result<Result<Vec<Open>, Recorded>, StorageError> {
    let Request { database, grant, atomicity, once, .. } = request;
    let places: Vec<usize> = judged.iter().map(|(at, ..)| *at).collect();
    let edits = judged.into_iter().map(|(_, edit, verdict)| Edit { verdict, ..edit }).collect();
    let attempt = match once {
        None => database.attempt(grant, edits, *atomicity).await?,
        Some(once) => {
            let recording = once.recording(&places, results);
            database.attempt_once(grant, edits, *atomicity, recording).await?
        }
    };
    let Attempt { results: outcomes, overtaken, recorded } = attempt;
    if let Some(recorded) = recorded {
        return Ok(Err(recorded));
    }
    if *atomicity == Atomicity::AllOrNothing && !overtaken.is_empty() {
        let is_final =
            |error: &EditError| !matches!(error, EditError::Overtaken | EditError::Aborted);
        if !outcomes.iter().any(|it| it.as_ref().is_err_and(is_final)) {
            return Ok(Ok(places.into_iter().zip(overtaken).collect()));
        }
    }
    let mut open = Vec::new();
    let mut overtaken = overtaken.into_iter();
    for (at, outcome) in places.into_iter().zip(outcomes) {
        match (outcome, *atomicity) {
            (Err(EditError::Overtaken), Atomicity::EachAlone) => {
                open.extend(overtaken.next().map(|edit| (at, edit)));
            }
            // Another edit of it is refused in any case.
            (Err(EditError::Overtaken), Atomicity::AllOrNothing) => {
                results[at] = Some(Err(EditError::Aborted.into()));
            }
            (outcome, _) => results[at] = Some(outcome.map_err(WriteError::Edit)),
        }
    }
    Ok(Ok(open))
}

impl Once {
    /// What the writer records beside edits that have these places among the results.
    fn recording(&self, places: &[usize], results: &[Option<WriteResult>]) -> Recording {
        let (answer, places, known) = (self.answer.clone(), places.to_vec(), results.to_vec());
        let answer = Answer::new(move |outcomes| {
            let mut all = known.clone();
            for (at, outcome) in places.iter().zip(outcomes) {
                all[*at] = Some(outcome.clone().map_err(WriteError::Edit));
            }
            answer(&all.into_iter().collect::<Option<Vec<WriteResult>>>()?)
        });
        Recording { key: self.key.clone(), answer }
    }

    /// Records what the writer was never asked about.
    async fn record_refusal(
        &self,
        request: &Request<'_>,
        results: &[WriteResult],
    ) -> Result<Option<Recorded>, StorageError> {
        let Some(answer) = (self.answer)(results) else { return Ok(None) };
        let recording = Recording { key: self.key.clone(), answer: Answer::fixed(answer) };
        let Request { database, grant, atomicity, .. } = request;
        let attempt = database.attempt_once(grant, Vec::new(), *atomicity, recording).await?;
        Ok(attempt.recorded)
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Designs {
    /// The rules that its writes have to satisfy.
    pub(crate) fn validators(&self, database: u64) -> &Validators {
        self.validators.get_or_init(|| Validators::of(database, self))
    }
}

/// The validators of a set of design documents, made when they are first asked for.
pub(crate) type ValidatorsCell = OnceLock<Validators>;
