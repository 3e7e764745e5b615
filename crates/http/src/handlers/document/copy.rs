//! `COPY`: the content of one document becomes another document.
//!
//! Source: `couch_httpd_db:parse_copy_destination_header/1`. Different here: the attachments of the copy
//! count as added by it, so that replicators know when to fetch them.

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderName, StatusCode, header};
use percent_encoding::percent_decode_str;
use settle_access::{Grant, Read, Write};
use settle_database::{
    Attachment, AttachmentEdit, AttachmentSource, Content, Database, Edit, Extras, Origin, Select,
    Verdict,
};
use settle_model::{
    document::AnyRev,
    id::{AnyId, DocumentId, LocalId},
};

use super::local;
use crate::{
    call::Call,
    documents::{
        named,
        saved::{may_write, put_local, told_saved, write_one},
    },
    error::ApiError,
    location,
    parameters::Query,
};

const DESTINATION: HeaderName = HeaderName::from_static("destination");

/// What is copied.
struct Source {
    deleted: bool,
    body: Bytes,
    attachments: Vec<Attachment>,
}

/// Where it goes, and what the document there rests on.
struct Destination {
    id: AnyId,
    base: Option<AnyRev>,
}

pub(super) async fn copy(
    call: &Call,
    database: &Database,
    grant: &Grant<Write>,
    source: &AnyId,
) -> Result<Response, ApiError> {
    let destination = destination(call)?;
    let read = call.authorize::<Read>(database.resource())?;
    let source = match source {
        AnyId::Document(id) => document(call, database, &read, id).await?,
        AnyId::Local(id) => {
            let body = database.local(&read, id).await?.body;
            Source { deleted: false, body, attachments: Vec::new() }
        }
    };
    let Destination { id, base } = destination;
    let location = location::of_document(call, id.as_str());
    let copied = move |id: &str, rev: &AnyRev, etag| {
        let told = told_saved(StatusCode::CREATED, id, rev);
        told.with(header::ETAG, etag).with(header::LOCATION, location.clone())
    };
    match &id {
        AnyId::Document(id) => {
            may_write(call, database, id)?;
            let base = base.map(|rev| rev.into_document().ok_or_else(ApiError::conflict));
            let edit = edit(id.clone(), base.transpose()?, source);
            write_one(call, database, grant, edit, move |written| {
                let rev = AnyRev::from(written.rev.clone());
                copied(written.id.as_str(), &rev, named::etag(&rev))
            })
            .await
        }
        AnyId::Local(id) => {
            let rev = to_local(call, database, grant, id, base, &source).await?;
            let etag = local::etag_of(&rev, &source.body);
            Ok(copied(id.as_str(), &rev, etag).into_response())
        }
    }
}

/// `{id}` or `{id}?rev={rev}`, encoded as in a path.
fn destination(call: &Call) -> Result<Destination, ApiError> {
    let text = call
        .header(DESTINATION)
        .ok_or_else(|| ApiError::bad_request("Destination header is mandatory for COPY."))?;
    if text.starts_with("http://") || text.starts_with("https://") {
        return Err(ApiError::bad_request("Destination URL must be relative."));
    }
    let (id, query) = text.split_once('?').unwrap_or((text, ""));
    let id = percent_decode_str(id).decode_utf8();
    let id = id.map_err(|_| ApiError::bad_request("the destination is not UTF-8"))?.parse()?;
    let base = Query::new(query).get("rev").map(|rev| rev.parse()).transpose();
    let base = base.map_err(|_| ApiError::bad_request("Invalid rev format"))?;
    Ok(Destination { id, base })
}

async fn document(
    call: &Call,
    database: &Database,
    grant: &Grant<Read>,
    id: &DocumentId,
) -> Result<Source, ApiError> {
    let select = named::document_base(call)?.map_or(Select::Winner, Select::Rev);
    let revision = database.get(grant, id, &select, Extras::default()).await?;
    let (body, attachments) = (revision.body, revision.attachments);
    Ok(Source { deleted: revision.deleted, body, attachments })
}

fn edit(id: DocumentId, base: Option<settle_model::revision::RevId>, source: Source) -> Edit {
    let attachments = source.attachments.into_iter().map(|attachment| AttachmentEdit {
        name: attachment.name.clone(),
        source: AttachmentSource::Stored(attachment),
        revpos: None,
    });
    let content = Content::Whole { body: source.body.to_vec(), attachments: attachments.collect() };
    let origin = Origin::Interactive { base, must_exist: false };
    Edit { id, origin, deleted: source.deleted, content, verdict: Verdict::NONE }
}

async fn to_local(
    call: &Call,
    database: &Database,
    grant: &Grant<Write>,
    id: &LocalId,
    base: Option<AnyRev>,
    source: &Source,
) -> Result<AnyRev, ApiError> {
    if !source.attachments.is_empty() {
        return Err(ApiError::bad_request(local::NO_ATTACHMENTS));
    }
    let base = local::counter(base)?;
    Ok(AnyRev::Local(put_local(call, database, grant, id, base, &source.body).await?))
}
