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
            accepted, may_write, put_local, saved, write, write_later, write_one, write_saved,
        },
        users,
    },
    error::{ApiError, Code},
    limits, location,
    open::open,
    reply,
};

/// `POST /{db}`
pub(crate) async fn post(mut call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Write>(&call).await?;
    let incoming = parse(&call.bytes(limits::JSON_BODY_MAX).await?)?;
    let id = id_of(&call, &incoming)?;
    let location = location::of_document(&call, id.as_str());
    let mut response = match id {
        AnyId::Local(id) => {
            let rev = write_local(&call, &database, &grant, &id, incoming).await?;
            saved(StatusCode::CREATED, id.as_str(), &AnyRev::Local(rev))
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
            let Written { id, rev } = write_one(&call, &database, &grant, edit).await?;
            saved(StatusCode::CREATED, id.as_str(), &AnyRev::from(rev))
        }
    };
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// `POST /{db}/_bulk_docs`
pub(crate) async fn bulk_docs(mut call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Write>(&call).await?;
    let text = call.bytes(limits::JSON_BODY_MAX).await?;
    let Bulk { docs, new_edits, all_or_nothing } = parse_all(text).await?;
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
        if self.is_atomic() && slots.iter().any(|it| matches!(it.outcome, Outcome::Refused(_))) {
            return Ok(self.aborted(slots, Vec::new()));
        }
        let outcomes = if edits.is_empty() {
            Vec::new()
        } else {
            write(self.call, self.database, self.grant, edits, self.atomicity).await?
        };
        if self.is_atomic() && outcomes.iter().any(Result::is_err) {
            return Ok(self.aborted(slots, outcomes));
        }
        Ok(reply::json_text(StatusCode::CREATED, self.rows(slots, outcomes)))
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

    /// With `new_edits` a row for each document, without one for each that was refused.
    fn rows(&self, slots: Vec<Slot>, outcomes: Vec<WriteResult>) -> Vec<u8> {
        let mut outcomes = outcomes.into_iter();
        let mut rows = Rows::begin(if self.new_edits { slots.len() } else { 0 });
        for Slot { id, rev, outcome } in slots {
            let error = match outcome {
                Outcome::Refused(error) => error,
                Outcome::WrittenLocally(rev) => {
                    if self.new_edits {
                        rows.written(id.as_str(), |out| AnyRev::Local(rev).write_to(out));
                    }
                    continue;
                }
                Outcome::Edited => match outcomes.next().expect("an edit has an outcome") {
                    Err(error) => error.into(),
                    Ok(Written { rev, .. }) => {
                        if self.new_edits {
                            rows.written(id.as_str(), |out| rev.write_to(out));
                        }
                        continue;
                    }
                },
            };
            rows.refused(id.as_str(), rev.as_ref(), &error);
        }
        rows.finish()
    }

    /// The rows of those documents that kept the others from being written.
    fn aborted(&self, slots: Vec<Slot>, outcomes: Vec<WriteResult>) -> Response {
        let mut outcomes = outcomes.into_iter();
        let mut rows = Rows::begin(0);
        for Slot { id, rev, outcome } in slots {
            let error = match outcome {
                Outcome::Refused(error) => error,
                Outcome::WrittenLocally(_) => continue,
                Outcome::Edited => match outcomes.next() {
                    Some(Err(WriteError::Edit(EditError::Aborted)) | Ok(_)) | None => continue,
                    Some(Err(error)) => error.into(),
                },
            };
            rows.refused(id.as_str(), rev.as_ref(), &error);
        }
        reply::json_text(Code::ExpectationFailed.status(), rows.finish())
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
        database.delete_local(grant, id, base).await?;
        return Ok(0);
    }
    put_local(call, database, grant, id, base, &document.body).await
}

/// The array of a reply.
struct Rows(Vec<u8>);

impl Rows {
    fn begin(count: usize) -> Self {
        let mut out = Vec::with_capacity(count * 96 + 3);
        out.push(b'[');
        Self(out)
    }

    fn separate(&mut self) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
    }

    fn written(&mut self, id: &str, rev: impl FnOnce(&mut Vec<u8>)) {
        self.separate();
        write_saved(&mut self.0, id, rev);
    }

    fn refused(&mut self, id: &str, rev: Option<&RevId>, error: &ApiError) {
        self.separate();
        let out = &mut self.0;
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
        self.0.extend_from_slice(b"]\n");
        self.0
    }
}
