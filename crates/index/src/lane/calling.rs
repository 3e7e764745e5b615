//! Transaction functions: run on the database as it was at one moment, with what they read written down.
//!
//! A function answers for itself: it asks, is told what was so at that moment, and says in the end what is to be
//! written. Views and queries have no past, so they are answered from indexes as they are; whoever asks them has read
//! the whole database, and what came of it stands only if nothing has changed since the moment.

use std::{collections::BTreeMap, fmt, ops::Bound, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use settle_access::{Grant, Read};
use settle_database::{
    AttachmentEdit, AttachmentSource, Called, Database, Direction, DocumentForm, DocumentScan,
    Moment, Next, PastError, ReadSet, RenderedDocument, StorageError, Submitted,
};
use settle_model::{
    document::AttachmentIn,
    id::DocumentId,
    json::{elements, members, string_value},
};
use settle_query::design::Language;
use settle_script::{ScriptError, Thrown, TransactionOutput};
use settle_transact::{BadDone, Call, Done, ExchangeProblem, Write, WriteKind};
use tokio::time::timeout;

use super::{Author, Lanes, WriteError};
use crate::{
    DesignEntry, Designs,
    designs::PREFIX,
    limits::{ANSWER_BYTES_MAX, CALL_TIME, QUESTIONS_MAX},
};

/// What a function is told, or what is thrown where it asked.
pub type Told = Result<Bytes, Thrown>;

/// Answers what functions ask of indexes, as the interface of the server does; JSON.
pub trait AskIndexes: Send + Sync {
    /// The reply of a view to `options`, which are those of a `POST`.
    fn view<'a>(
        &'a self,
        database: &'a Database,
        view: (&'a str, &'a str),
        options: &'a [u8],
    ) -> BoxFuture<'a, Told>;

    /// The reply of `_find`.
    fn find<'a>(&'a self, database: &'a Database, query: &'a [u8]) -> BoxFuture<'a, Told>;
}

/// Knows whether there is room for what functions write.
pub trait Room: Send + Sync {
    /// Takes so many bytes of it, or says why there are not as many.
    fn take<'a>(
        &'a self,
        database: &'a Database,
        bytes: u64,
    ) -> BoxFuture<'a, Result<Result<(), String>, StorageError>>;
}

/// How functions read.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    pub grant: &'a Grant<Read>,
    pub indexes: &'a dyn AskIndexes,
}

impl fmt::Debug for Reading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

/// Documents that earlier transactions would have made, as JSON; `None` for those that they would have deleted.
pub(super) type Earlier = BTreeMap<String, Option<Bytes>>;

/// Why there is nothing to be written.
pub(super) enum Failed {
    /// What it read is no longer kept.
    Clash,
    Function(WriteError),
    Storage(StorageError),
}

impl From<WriteError> for Failed {
    fn from(error: WriteError) -> Self {
        Self::Function(error)
    }
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<ScriptError> for Failed {
    fn from(error: ScriptError) -> Self {
        Self::Function(error.into())
    }
}

impl From<PastError> for Failed {
    fn from(error: PastError) -> Self {
        match error {
            PastError::Storage(error) => Self::Storage(error),
            PastError::NotKept
            | PastError::NoSnapshot { .. }
            | PastError::Ahead
            | PastError::NotYet
            | PastError::OtherTimeline => Self::Clash,
        }
    }
}

impl Lanes {
    /// Runs the function of a transaction, and puts what it would have written in its place.
    pub(super) async fn call(
        &self,
        asked: &Asked<'_>,
        designs: &Designs,
        submitted: &Submitted,
        call: &Call,
    ) -> Result<Submitted, Failed> {
        let entry = function(designs, call)?;
        let name = format!("{PREFIX}{}", call.design);
        let mut read = ReadSet::at(asked.moment);
        if let Ok(id) = name.parse() {
            read.document(id, true);
        }
        let function =
            || format!("the transaction function {} of {PREFIX}{}", call.function, call.design);
        let program = entry.program(asked.database.number());
        let user_ctx = asked.author.user_ctx(asked.database.name());
        let scripts = self.indexes.scripts();
        // It may wait for a process: that is not its time.
        let begun =
            scripts.transaction(&program, &call.function, &call.arguments, &user_ctx).await?;
        let running = goes_on(asked, begun, call, &mut read);
        let Ok(done) = timeout(CALL_TIME, running).await else {
            return Err(ScriptError::Deadline { function: function(), after: CALL_TIME }.into());
        };
        let bad = |problem| ScriptError::BadResult { function: function(), problem };
        let done = Done::parse(call, &done?).map_err(|error| bad(error.to_string()))?;
        let mut submitted = submitted.clone();
        let outcome = match done {
            Done::Refused(refusal) => Err(refusal),
            Done::Writes { writes, .. } if writes.len() > asked.writes_max => {
                return Err(bad(BadDone::from(ExchangeProblem::TooManyTogether).to_string()).into());
            }
            Done::Writes { mut writes, result } => {
                submitted.attachments = kept(&mut writes).ok_or_else(|| {
                    bad("wrote an attachment; it can keep those that are there".into())
                })?;
                submitted.transaction.writes = writes;
                Ok(result)
            }
        };
        submitted.called = Some(Called { read, outcome });
        let bytes = submitted.transaction.added_bytes();
        if bytes > 0
            && let Err(reason) = asked.room.take(asked.database, bytes).await?
        {
            return Err(WriteError::NoRoom { reason }.into());
        }
        Ok(submitted)
    }
}

/// Answers what a function asks; what it says in the end.
async fn goes_on(
    asked: &Asked<'_>,
    (mut function, mut output): (settle_script::Transaction, TransactionOutput),
    call: &Call,
    read: &mut ReadSet,
) -> Result<Bytes, Failed> {
    for _ in 0..QUESTIONS_MAX {
        match output {
            TransactionOutput::Done(done) => return Ok(done),
            TransactionOutput::Asks(question) => {
                let answer = asked.answer(&question, read).await?;
                output = function.answer(answer).await?;
            }
        }
    }
    let problem = format!("asked for more than {QUESTIONS_MAX} things");
    let function = format!("the transaction function {}", call.function);
    Err(ScriptError::BadResult { function, problem }.into())
}

/// The design document that has the function.
fn function(designs: &Designs, call: &Call) -> Result<Arc<DesignEntry>, WriteError> {
    let missing = || ScriptError::Missing {
        kind: "transactions".to_owned(),
        name: call.function.clone(),
        design: call.design.clone(),
    };
    let entry = designs.get(&call.design).ok_or_else(missing)?;
    let language = match &entry.design.language {
        Language::JavaScript => None,
        Language::Query => Some("query"),
        Language::Other(language) => Some(language.as_str()),
    };
    if let Some(language) = language {
        let reason = format!("unknown query language {language}");
        return Err(WriteError::BrokenRule { design: call.design.clone(), reason });
    }
    if !entry.design.transactions.contains_key(&call.function) {
        return Err(missing().into());
    }
    Ok(entry.clone())
}

/// Takes the attachments out of what is put; `None` where one is more than the name of one that is there.
fn kept(writes: &mut [Write]) -> Option<Vec<Vec<AttachmentEdit>>> {
    let mut all = Vec::with_capacity(writes.len());
    for write in writes {
        let mut edits = Vec::new();
        if let WriteKind::Put { attachments, .. } = &mut write.kind {
            for (name, attachment) in std::mem::take(attachments) {
                let AttachmentIn::Stub { .. } = attachment else { return None };
                edits.push(AttachmentEdit { name, source: AttachmentSource::Keep, revpos: None });
            }
        }
        all.push(edits);
    }
    Some(all)
}

/// What a function may ask.
pub(super) struct Asked<'a> {
    pub(super) database: &'a Database,
    pub(super) author: &'a Author,
    pub(super) reading: Reading<'a>,
    pub(super) moment: Moment,
    pub(super) earlier: &'a Earlier,
    /// How many writes it may say, beside those of the others that stand or fall with it.
    pub(super) writes_max: usize,
    pub(super) room: &'a dyn Room,
}

impl Asked<'_> {
    async fn answer(&self, question: &[u8], read: &mut ReadSet) -> Result<Told, Failed> {
        let (mut limit, mut options) = (None, &b"{}"[..]);
        let mut asked = None;
        for (name, value) in members(question) {
            match name {
                "limit" => limit = str::from_utf8(value).ok().and_then(|it| it.parse().ok()),
                "options" => options = value,
                _ => asked = Some((name, value)),
            }
        }
        let text = |value| string_value(value).unwrap_or_default().into_owned();
        match asked {
            Some(("get", id)) => {
                let documents = self.documents(&[text(id)], read).await?;
                Ok(documents.map(|mut it| it.pop().flatten().unwrap_or_else(null)))
            }
            Some(("keys", ids)) => {
                let ids: Vec<String> = elements(ids).map(text).collect();
                let documents = self.documents(&ids, read).await?;
                Ok(documents.and_then(|it| array(it.into_iter().map(|it| it.unwrap_or_else(null)))))
            }
            Some(("prefix", prefix)) => {
                let limit = limit.unwrap_or(u64::MAX);
                Ok(self
                    .beginning(&text(prefix), limit, read)
                    .await?
                    .and_then(|it| array(it.into_iter())))
            }
            Some(("view", names)) => {
                let mut names = elements(names).map(text);
                let (design, view) =
                    (names.next().unwrap_or_default(), names.next().unwrap_or_default());
                self.of_indexes(
                    read,
                    self.reading.indexes.view(self.database, (&design, &view), options),
                )
                .await
            }
            Some(("find", query)) => {
                self.of_indexes(read, self.reading.indexes.find(self.database, query)).await
            }
            Some(_) | None => Ok(Err(thrown("bad_request", "there is no such question"))),
        }
    }

    /// Indexes know nothing of what is not stored.
    async fn of_indexes(
        &self,
        read: &mut ReadSet,
        told: impl Future<Output = Told>,
    ) -> Result<Told, Failed> {
        if !self.earlier.is_empty() {
            let reason = "indexes do not know what earlier transactions of one commit write";
            return Ok(Err(thrown("bad_request", reason)));
        }
        read.everything();
        let told = told.await;
        Ok(told.and_then(|it| if it.len() <= ANSWER_BYTES_MAX { Ok(it) } else { Err(too_large()) }))
    }

    /// These documents, in order; `None` for those that are not there.
    async fn documents(
        &self,
        ids: &[String],
        read: &mut ReadSet,
    ) -> Result<Result<Vec<Option<Bytes>>, Thrown>, Failed> {
        for id in ids {
            if id.parse::<DocumentId>().is_err() {
                let reason = format!("{id:?} is no document's id");
                return Ok(Err(thrown("bad_request", &reason)));
            }
        }
        let grant = self.reading.grant;
        let mut documents = Vec::with_capacity(ids.len());
        let mut bytes = 0;
        while let Some(rest @ [_, ..]) = ids.get(documents.len()..) {
            let found = self.database.look_up_rendered_at(grant, self.moment, rest, FORM).await?;
            for (id, found) in rest.iter().zip(found) {
                if let Ok(id) = id.parse() {
                    read.document(id, found.is_some());
                }
                let found = match self.earlier.get(id) {
                    Some(earlier) => earlier.clone(),
                    None => found.map(|found| found.document),
                };
                bytes += found.as_ref().map_or(0, Bytes::len);
                documents.push(found);
            }
            if bytes > ANSWER_BYTES_MAX {
                return Ok(Err(too_large()));
            }
        }
        Ok(Ok(documents))
    }

    /// The documents whose ids begin so, in the order of their ids.
    async fn beginning(
        &self,
        prefix: &str,
        limit: u64,
        read: &mut ReadSet,
    ) -> Result<Result<Vec<Bytes>, Thrown>, Failed> {
        read.prefix(prefix);
        let mut found: BTreeMap<String, Bytes> = BTreeMap::new();
        let mut bytes = 0;
        // Some of those that are stored may have been deleted since.
        let wanted = limit.saturating_add(self.earlier.len() as u64);
        let mut scan = DocumentScan {
            start: Bound::Included(prefix.to_owned()),
            end: successor(prefix),
            direction: Direction::Ascending,
            skip: 0,
            limit: wanted,
            content: true,
            in_conflict: false,
        };
        loop {
            let (documents, next) = self
                .database
                .scan_rendered_at(self.reading.grant, self.moment, &scan, FORM)
                .await?;
            for RenderedDocument { id, document, .. } in documents {
                bytes += document.len();
                found.insert(id, document);
            }
            if bytes > ANSWER_BYTES_MAX {
                return Ok(Err(too_large()));
            }
            match next {
                Next::Go(next) if (found.len() as u64) < wanted => scan = next,
                Next::Go(_) | Next::Done => break,
            }
        }
        for (id, document) in self.earlier.iter().filter(|(id, _)| id.starts_with(prefix)) {
            match document {
                Some(document) => found.insert(id.clone(), document.clone()),
                None => found.remove(id),
            };
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Ok(found.into_values().take(limit).collect()))
    }
}

/// Documents come as `GET` shows them.
const FORM: DocumentForm = DocumentForm { local_seq: false, conflicts: false, tombstones: false };

/// Before what comes after everything that begins so.
fn successor(prefix: &str) -> Bound<String> {
    let mut rest = prefix.to_owned();
    while let Some(last) = rest.pop() {
        // The numbers between are no characters.
        let next =
            if last == '\u{D7FF}' { Some('\u{E000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            rest.push(next);
            return Bound::Excluded(rest);
        }
    }
    Bound::Unbounded
}

fn null() -> Bytes {
    Bytes::from_static(b"null")
}

fn array(documents: impl Iterator<Item = Bytes>) -> Told {
    let mut out = b"[".to_vec();
    for document in documents {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(&document);
    }
    out.push(b']');
    if out.len() > ANSWER_BYTES_MAX { Err(too_large()) } else { Ok(out.into()) }
}

fn too_large() -> Thrown {
    thrown("too_large", &format!("a function is told {ANSWER_BYTES_MAX} bytes at a time at most"))
}

fn thrown(error: &str, reason: &str) -> Thrown {
    Thrown { error: error.to_owned(), reason: reason.to_owned() }
}

/// A document as a validator is shown it, without what says how it came to be: a later transaction of the same commit
/// makes another one of it.
pub(super) fn unsaid(document: &[u8]) -> Bytes {
    let mut out = b"{".to_vec();
    for (name, value) in members(document) {
        if name == "_rev" || name == "_revisions" {
            continue;
        }
        if out.len() > 1 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(value);
    }
    out.push(b'}');
    out.into()
}
