//! Documents written together, and the one that is posted without an address of its own.
//!
//! A request that cannot be understood is refused as a whole, as in CouchDB; what the database makes
//! of each document stands in that document's row. With `all_or_nothing` either every document is
//! written, or none is and the reply is 417 with the rows of those that were in the way.
//!
//! Source: `chttpd_db:db_req/2` for `_bulk_docs` and `POST /{db}`. Different here: `all_or_nothing` is
//! kept; CouchDB 1 wrote conflicts instead of refusing them, and later ones pass it over.

use axum::response::Response;
use bytes::Bytes;
use http::{StatusCode, header};
use settle_access::{Grant, Write};
use settle_database::{Atomicity, Database, Edit, EditError, Written};
use settle_index::lane::{WriteError, WriteResult};
use settle_model::{
    document::{AnyRev, Bulk, Incoming, parse, parse_bulk},
    id::{AnyId, LocalId},
    json::write_string,
    revision::RevId,
};
use settle_site::incoming::edit;

use crate::{
    call::Call,
    documents::{
        saved::{
            accepted, may_write, put_local, refuse_key, told_saved, write_later, write_one,
            write_saved, write_told,
        },
        users,
    },
    error::{ApiError, Code},
    limits, location,
    open::open,
    told::{Told, stays},
};

/// `POST /{db}`
pub(crate) async fn post(mut call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Write>(&call).await?;
    let incoming = parse(&call.bytes(limits::JSON_BODY_MAX).await?)?;
    let id = id_of(&call, &incoming)?;
    let location = location::of_document(&call, id.as_str());
    match id {
        AnyId::Local(id) => {
            let rev = write_local(&call, &database, &grant, &id, incoming).await?;
            let told = told_saved(StatusCode::CREATED, id.as_str(), &AnyRev::Local(rev));
            Ok(told.with(header::LOCATION, location).into_response())
        }
        AnyId::Document(id) => {
            may_write(&call, &database, &id)?;
            let edit = edit(call.app.site.store.blobs(), id, incoming, true, []).await?;
            if call.query().get("batch").as_deref() == Some("ok") {
                let edit = users::prepare(&call, &database, edit).await?;
                let response = accepted(edit.id.as_str());
                write_later(&call, &database, &grant, edit).await?;
                return Ok(response);
            }
            write_one(&call, &database, &grant, edit, move |Written { id, rev }| {
                let rev = AnyRev::from(rev.clone());
                let told = told_saved(StatusCode::CREATED, id.as_str(), &rev);
                told.with(header::LOCATION, location.clone())
            })
            .await
        }
    }
}

/// `POST /{db}/_bulk_docs`
pub(crate) async fn bulk_docs(mut call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Write>(&call).await?;
    let limit = if call.once.is_some() { limits::ONCE_BODY_MAX } else { limits::JSON_BODY_MAX };
    let text = call.bytes(limit).await?;
    let Bulk { docs, new_edits, all_or_nothing } = parse_all(text).await?;
    if call.once.is_some() && docs.len() > limits::ONCE_DOCUMENTS_MAX {
        let max = limits::ONCE_DOCUMENTS_MAX;
        let reason = format!("at most {max} documents go with one Idempotency-Key");
        return Err(ApiError::new(Code::TooLarge, reason));
    }
    let request = Request {
        call: &call,
        database: &database,
        grant: &grant,
        new_edits: new_edits.unwrap_or(true),
        atomicity: match all_or_nothing {
            Some(true) => Atomicity::AllOrNothing,
            Some(false) | None => Atomicity::EachAlone,
        },
    };
    request.run(docs).await
}

/// Large bodies are parsed where they hold up nobody else.
async fn parse_all(text: Bytes) -> Result<Bulk, ApiError> {
    if text.len() <= limits::PARSED_INLINE_MAX {
        return Ok(parse_bulk(&text)?);
    }
    let parsed = tokio::task::spawn_blocking(move || parse_bulk(&text)).await;
    Ok(parsed.map_err(ApiError::internal)??)
}

struct Request<'a> {
    call: &'a Call,
    database: &'a Database,
    grant: &'a Grant<Write>,
    new_edits: bool,
    atomicity: Atomicity,
}

/// A document of the request, and what is known of its fate.
struct Slot {
    id: AnyId,
    /// The revision that was sent, for rows of documents that bring their own.
    rev: Option<RevId>,
    outcome: Outcome,
}

enum Outcome {
    /// It is the next of the edits that the database was given.
    Edited,
    WrittenLocally(u64),
    Refused(ApiError),
}

impl Request<'_> {
    async fn run(&self, docs: Vec<Incoming>) -> Result<Response, ApiError> {
        // What refuses the request as a whole is looked for before anything is written.
        let ids = docs.iter().map(|document| self.id_of(document));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let mut slots = Vec::with_capacity(docs.len());
        let mut edits = Vec::with_capacity(docs.len());
        for (id, document) in ids.into_iter().zip(docs) {
            let rev = match (&document.rev, self.new_edits) {
                (Some(AnyRev::Document(rev)), false) => Some(rev.clone()),
                (Some(_) | None, _) => None,
            };
            let outcome = match self.take(&id, document, &mut edits).await {
                Ok(outcome) => outcome,
                Err(error) if error.code().status().is_server_error() => return Err(error),
                Err(error) => Outcome::Refused(error),
            };
            slots.push(Slot { id, rev, outcome });
        }
        let slots = Slots { slots, new_edits: self.new_edits, is_atomic: self.is_atomic() };
        if edits.is_empty() || self.is_atomic() && slots.has_refused() {
            return Ok(slots.tell(&[]).into_response());
        }
        let tell = move |outcomes: &[WriteResult]| Ok(slots.tell(outcomes));
        write_told(self.call, (self.database, self.grant), edits, self.atomicity, tell).await
    }

    fn is_atomic(&self) -> bool {
        self.atomicity == Atomicity::AllOrNothing
    }

    fn id_of(&self, document: &Incoming) -> Result<AnyId, ApiError> {
        if !self.new_edits && document.rev.is_none() {
            let reason =
                "When `new_edits: false`, the document needs `_rev` or `_revisions` specified";
            return Err(ApiError::bad_request(reason));
        }
        let id = id_of(self.call, document)?;
        if let AnyId::Document(id) = &id
            && self.database.is_partitioned()
        {
            id.check_partition()?;
        }
        if self.is_atomic() && matches!(id, AnyId::Local(_)) {
            let reason = "local documents cannot be part of an `all_or_nothing` request";
            return Err(ApiError::bad_request(reason));
        }
        Ok(id)
    }

    async fn take(
        &self,
        id: &AnyId,
        document: Incoming,
        edits: &mut Vec<Edit>,
    ) -> Result<Outcome, ApiError> {
        match id {
            AnyId::Local(id) => {
                let rev = write_local(self.call, self.database, self.grant, id, document).await?;
                Ok(Outcome::WrittenLocally(rev))
            }
            AnyId::Document(id) => {
                may_write(self.call, self.database, id)?;
                let blobs = self.call.app.site.store.blobs();
                let edit = edit(blobs, id.clone(), document, self.new_edits, []).await?;
                edits.push(users::prepare(self.call, self.database, edit).await?);
                Ok(Outcome::Edited)
            }
        }
    }
}

/// The documents of a request, and how their fates are told.
struct Slots {
    slots: Vec<Slot>,
    new_edits: bool,
    is_atomic: bool,
}

impl Slots {
    fn has_refused(&self) -> bool {
        self.slots.iter().any(|it| matches!(it.outcome, Outcome::Refused(_)))
    }

    /// `outcomes` are those of the edits; none where they were not attempted.
    fn tell(&self, outcomes: &[WriteResult]) -> Told {
        let mut rows = Rows::begin(if self.new_edits { self.slots.len() } else { 0 });
        let is_refused = self.has_refused() || outcomes.iter().any(Result::is_err);
        let status = if self.is_atomic && is_refused {
            self.aborted(outcomes, &mut rows);
            Code::ExpectationFailed.status()
        } else {
            self.rows(outcomes, &mut rows);
            StatusCode::CREATED
        };
        // What has made something is remembered whatever else it tells, lest it be made again.
        let stays = rows.stays || outcomes.iter().any(Result::is_ok);
        Told { stays, ..Told::json(status, rows.finish()) }
    }

    /// With `new_edits` a row for each document, without one for each that was refused.
    fn rows(&self, outcomes: &[WriteResult], rows: &mut Rows) {
        let mut outcomes = outcomes.iter();
        for Slot { id, rev, outcome } in &self.slots {
            match outcome {
                Outcome::Refused(error) => rows.refused(id.as_str(), rev.as_ref(), error),
                Outcome::WrittenLocally(rev) => {
                    if self.new_edits {
                        rows.written(id.as_str(), |out| AnyRev::Local(*rev).write_to(out));
                    }
                }
                Outcome::Edited => match outcomes.next().expect("an edit has an outcome") {
                    Err(error) => {
                        rows.refused(id.as_str(), rev.as_ref(), &error.clone().into());
                    }
                    Ok(Written { rev, .. }) => {
                        if self.new_edits {
                            rows.written(id.as_str(), |out| rev.write_to(out));
                        }
                    }
                },
            }
        }
    }

    /// The rows of those documents that kept the others from being written.
    fn aborted(&self, outcomes: &[WriteResult], rows: &mut Rows) {
        let mut outcomes = outcomes.iter();
        for Slot { id, rev, outcome } in &self.slots {
            match outcome {
                Outcome::Refused(error) => rows.refused(id.as_str(), rev.as_ref(), error),
                Outcome::WrittenLocally(_) => {}
                Outcome::Edited => match outcomes.next() {
                    Some(Err(WriteError::Edit(EditError::Aborted)) | Ok(_)) | None => {}
                    Some(Err(error)) => {
                        rows.refused(id.as_str(), rev.as_ref(), &error.clone().into());
                    }
                },
            }
        }
    }
}

/// The id that was sent, or a new one.
fn id_of(call: &Call, document: &Incoming) -> Result<AnyId, ApiError> {
    let id = match &document.id {
        Some(id) => id.parse(),
        None => call.app.make_uuid().parse(),
    };
    Ok(id?)
}

/// Local documents are written one by one; the N of the new revision `0-N`.
pub(crate) async fn write_local(
    call: &Call,
    database: &Database,
    grant: &Grant<Write>,
    id: &LocalId,
    document: Incoming,
) -> Result<u64, ApiError> {
    let base = match document.rev {
        None => None,
        Some(AnyRev::Local(base)) => Some(base),
        Some(AnyRev::Document(_)) => return Err(ApiError::conflict()),
    };
    if document.deleted {
        refuse_key(call)?;
        database.delete_local(grant, id, base).await?;
        return Ok(0);
    }
    put_local(call, database, grant, id, base, &document.body).await
}

/// The array of a reply.
struct Rows {
    out: Vec<u8>,
    /// Whether the same would be told again of those that were refused.
    stays: bool,
}

impl Rows {
    fn begin(count: usize) -> Self {
        let mut out = Vec::with_capacity(count * 96 + 3);
        out.push(b'[');
        Self { out, stays: true }
    }

    fn separate(&mut self) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
    }

    fn written(&mut self, id: &str, rev: impl FnOnce(&mut Vec<u8>)) {
        self.separate();
        write_saved(&mut self.out, id, rev);
    }

    fn refused(&mut self, id: &str, rev: Option<&RevId>, error: &ApiError) {
        self.separate();
        self.stays &= stays(error);
        let out = &mut self.out;
        out.extend_from_slice(b"{\"id\":");
        write_string(out, id);
        if let Some(rev) = rev {
            out.extend_from_slice(b",\"rev\":\"");
            rev.write_to(out);
            out.push(b'"');
        }
        out.extend_from_slice(b",\"error\":");
        write_string(out, error.name());
        out.extend_from_slice(b",\"reason\":");
        write_string(out, error.reason());
        out.push(b'}');
    }

    fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(b"]\n");
        self.out
    }
}
