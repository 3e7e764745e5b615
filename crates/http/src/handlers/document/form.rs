//! The form of a browser: a document, or the revision of one, and files to attach.
//!
//! | field | holds |
//! |---|---|
//! | `_doc` | the whole document as JSON |
//! | `_rev` | else, the revision to which files are attached |
//! | `_attachments` | a file, as often as there are files |
//!
//! Source: `chttpd_db:db_doc_req/3` (POST), `couch_httpd:parse_form/1`, `validate_referer/1`.

use std::sync::Arc;

use axum::response::Response;
use http::{StatusCode, Uri, header};
use settle_access::{Grant, Read, Write};
use settle_database::{
    AttachmentEdit, AttachmentSource, Content, Database, Edit, Extras, Origin, Select, Verdict,
    blobs::{Received, UploadOptions},
};
use settle_model::{
    document::{self, AnyRev, Incoming},
    id::DocumentId,
    revision::RevId,
};
use settle_site::incoming;

use crate::{
    call::Call,
    documents::{
        named,
        received::{self, CONTENT_TYPE_DEFAULT},
        saved::{may_write, told_saved, write_one},
    },
    error::ApiError,
    limits,
    multipart::Multipart,
};

/// What a form said.
#[derive(Default)]
struct Form {
    document: Option<Incoming>,
    rev: Option<RevId>,
    files: Vec<AttachmentEdit>,
}

pub(super) async fn post(
    call: &mut Call,
    database: &Database,
    grant: &Grant<Write>,
    id: DocumentId,
) -> Result<Response, ApiError> {
    check_referer(call)?;
    call.require_type("multipart/form-data")?;
    may_write(call, database, &id)?;
    let form = read(call).await?;
    let edit = edit(call, database, id, form).await?;
    write_one(call, database, grant, edit, |written| {
        let rev = AnyRev::from(written.rev.clone());
        let told = told_saved(StatusCode::CREATED, written.id.as_str(), &rev);
        told.with(header::ETAG, named::etag(&rev))
    })
    .await
}

/// Browsers send forms of any page to any server, with the credentials that they have; the page must
/// be one of this server.
fn check_referer(call: &Call) -> Result<(), ApiError> {
    let referer = call
        .header(header::REFERER)
        .ok_or_else(|| ApiError::bad_request("Referer header required."))?;
    let uri: Option<Uri> = referer.parse().ok();
    let from = uri.as_ref().and_then(Uri::authority).map(http::uri::Authority::as_str);
    if from.is_some() && from == call.header(header::HOST) {
        return Ok(());
    }
    Err(ApiError::bad_request("Referer header must match host."))
}

async fn read(call: &mut Call) -> Result<Form, ApiError> {
    let content_type = call.header(header::CONTENT_TYPE).unwrap_or_default().to_owned();
    let mut parts = Multipart::new(&content_type, call.take_body())?;
    let mut form = Form::default();
    while let Some(part) = parts.next_part().await? {
        match part.field().as_deref() {
            Some("_doc") => {
                let text = parts.collect(limits::DOCUMENT_PART_MAX).await?;
                form.document = Some(document::parse(&text)?);
            }
            Some("_rev") => {
                let text = parts.collect(limits::PART_HEADERS_MAX).await?;
                let rev = std::str::from_utf8(&text).ok().and_then(|rev| rev.trim().parse().ok());
                let invalid = || ApiError::bad_request("Invalid rev format");
                form.rev = Some(rev.ok_or_else(invalid)?);
            }
            // A form whose file was not chosen sends one without a name.
            Some("_attachments") => {
                if let Some(name) = part.file().filter(|name| !name.is_empty()) {
                    incoming::check_count(form.files.len() + 1)?;
                    let name = name.parse()?;
                    let content_type = part.content_type().unwrap_or(CONTENT_TYPE_DEFAULT);
                    let content_type = received::content_type(content_type)?;
                    let received = Received::Plain { content_type: &content_type };
                    let writer = call.app.site.store.blobs().upload(&UploadOptions::new(received));
                    let blob = Arc::new(received::upload_part(writer, &mut parts).await?);
                    let source = AttachmentSource::New { content_type, blob };
                    form.files.push(AttachmentEdit { name, source, revpos: None });
                }
            }
            Some(_) | None => {}
        }
    }
    Ok(form)
}

/// The files come first, then what was attached before and is not replaced.
async fn edit(
    call: &Call,
    database: &Database,
    id: DocumentId,
    form: Form,
) -> Result<Edit, ApiError> {
    let mut edit = match (form.document, form.rev) {
        (Some(mut document), _) => {
            document.rev = named::base(call, document.rev)?;
            incoming::edit(call.app.site.store.blobs(), id, document, true, []).await?
        }
        (None, Some(rev)) => attached_to(call, database, id, rev).await?,
        (None, None) => {
            return Err(ApiError::bad_request("the form has neither `_doc` nor `_rev`"));
        }
    };
    if let Content::Whole { attachments, .. } = &mut edit.content {
        attachments.retain(|old| form.files.iter().all(|new| new.name != old.name));
        attachments.splice(0..0, form.files);
    }
    Ok(edit)
}

/// The revision as it is, to be written again.
async fn attached_to(
    call: &Call,
    database: &Database,
    id: DocumentId,
    rev: RevId,
) -> Result<Edit, ApiError> {
    let grant = call.authorize::<Read>(database.resource())?;
    let select = Select::Rev(rev.clone());
    let revision = database.get(&grant, &id, &select, Extras::default()).await?;
    let kept = revision.attachments.into_iter().map(|attachment| AttachmentEdit {
        name: attachment.name,
        source: AttachmentSource::Keep,
        revpos: None,
    });
    Ok(Edit {
        id,
        origin: Origin::Interactive { base: Some(rev), must_exist: false },
        deleted: revision.deleted,
        content: Content::Whole { body: revision.body.to_vec(), attachments: kept.collect() },
        verdict: Verdict::NONE,
    })
}
