//! Attachments: `/{db}/{id}/{name…}`, and those of design documents.
//!
//! Source: `chttpd_db:db_attachment_req/4`.

mod range;
mod read;

use std::sync::Arc;

use axum::response::Response;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, StatusCode, header};
use settle_access::{Read, Write};
use settle_database::{
    AttachmentError, AttachmentSource, Content, Edit, Extras, Origin, Verdict,
    blobs::{Received, StagedBlob, UploadOptions},
};
use settle_model::{
    document::AnyRev,
    id::{AnyId, AttachmentName, DocumentId},
};

use crate::{
    call::Call,
    documents::{
        named,
        received::{self, CONTENT_TYPE_DEFAULT},
        saved::{may_write, told_saved, write_one},
    },
    error::{ApiError, Code},
    handlers::history,
    location,
    open::open,
};

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

pub(crate) async fn get(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Read>(&call).await?;
    let id = document(named::existing_id(&call)?)?;
    // What cannot be a name is missing.
    let name: AttachmentName = call.rest(2)?.parse().map_err(|_| ApiError::missing())?;
    let attachment = match history::moment(&call, &database, &grant).await? {
        None => {
            let rev = named::revision_in_query(&call)?;
            database.attachment(&grant, &id, &name, rev.as_ref()).await?.0
        }
        Some(moment) => {
            let found = database.get_at(&grant, moment, &id, Extras::default()).await?;
            let attachments = found.ok_or_else(ApiError::missing)?.attachments;
            let found = attachments.into_iter().find(|it| it.name == name);
            found.ok_or(AttachmentError::NoSuchAttachment)?
        }
    };
    read::reply(&call, &attachment).await
}

pub(crate) async fn put(mut call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Write>(&call).await?;
    let id = document(named::id(&call)?)?;
    may_write(&call, &database, &id)?;
    let name: AttachmentName = call.rest(2)?.parse()?;
    let base = named::document_base(&call)?;
    let content_type = call.header(header::CONTENT_TYPE).unwrap_or(CONTENT_TYPE_DEFAULT);
    let content_type = received::content_type(content_type)?;
    let blob = Arc::new(upload(&mut call, &content_type).await?);
    let edit = Edit {
        id,
        origin: Origin::Interactive { base, must_exist: false },
        deleted: false,
        content: Content::Attachment {
            name: name.clone(),
            new: Some(AttachmentSource::New { content_type, blob }),
        },
        verdict: Verdict::NONE,
    };
    let location = location::of_attachment(&call, edit.id.as_str(), name.as_str());
    write_one(&call, &database, &grant, edit, move |written| {
        let rev = AnyRev::from(written.rev.clone());
        let told = told_saved(StatusCode::CREATED, written.id.as_str(), &rev);
        told.with(header::LOCATION, location.clone())
    })
    .await
}

pub(crate) async fn delete(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Write>(&call).await?;
    let id = document(named::existing_id(&call)?)?;
    may_write(&call, &database, &id)?;
    let name = call.rest(2)?.parse()?;
    let edit = Edit {
        id,
        origin: Origin::Interactive { base: named::document_base(&call)?, must_exist: true },
        deleted: false,
        content: Content::Attachment { name, new: None },
        verdict: Verdict::NONE,
    };
    write_one(&call, &database, &grant, edit, |written| {
        let rev = AnyRev::from(written.rev.clone());
        told_saved(StatusCode::OK, written.id.as_str(), &rev)
    })
    .await
}

/// `/{db}/_local/{name}/{attachment…}`
pub(crate) async fn refuse_local(call: Call) -> Result<Response, ApiError> {
    open::<Read>(&call).await?;
    Err(on_local())
}

fn document(id: AnyId) -> Result<DocumentId, ApiError> {
    match id {
        AnyId::Document(id) => Ok(id),
        AnyId::Local(_) => Err(on_local()),
    }
}

fn on_local() -> ApiError {
    ApiError::bad_request(super::document::NO_ATTACHMENTS)
}

/// The body, stored as it arrives.
async fn upload(call: &mut Call, content_type: &str) -> Result<StagedBlob, ApiError> {
    let encoding = call.header(header::CONTENT_ENCODING).unwrap_or("identity").trim();
    let received = if encoding.eq_ignore_ascii_case("gzip") {
        Received::Gzip
    } else if encoding.eq_ignore_ascii_case("identity") {
        Received::Plain { content_type }
    } else {
        let reason = "Only gzip and identity content-encodings are supported";
        return Err(ApiError::new(Code::BadContentType, reason));
    };
    let length = call.header(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
    let options =
        UploadOptions { length, md5: announced_md5(call)?, ..UploadOptions::new(received) };
    if length.is_some_and(|length| length > options.length_max) {
        // Before a gigabyte is read for nothing.
        return Err(too_large(options.length_max));
    }
    let writer = call.app.site.store.blobs().upload(&options);
    received::upload_body(writer, call).await
}

fn too_large(max: u64) -> ApiError {
    settle_database::blobs::UploadError::TooLarge { max }.into()
}

/// Of the bytes as they come.
fn announced_md5(call: &Call) -> Result<Option<[u8; 16]>, ApiError> {
    let Some(text) = call.header(CONTENT_MD5) else { return Ok(None) };
    let sum = STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
    let sum = sum.ok_or_else(|| ApiError::bad_request("Content-MD5 must be 16 bytes in base64"))?;
    Ok(Some(sum))
}
