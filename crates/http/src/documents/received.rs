//! A document as the body of a request: JSON alone, or as `multipart/related` with attachments behind it,
//! which are stored as they arrive.

use std::sync::{Arc, atomic::Ordering};

use http::header;
use settle_database::blobs::{BlobStore, BlobWriter, Received, StagedBlob, UploadOptions};
use settle_model::document::{
    self, AttachmentIn, Encoding, Incoming, limits::CONTENT_TYPE_BYTES_MAX,
};
use settle_site::incoming::check_count;

use crate::{
    body,
    call::Call,
    error::ApiError,
    limits,
    multipart::{Followers, Multipart, PartHeaders},
};

/// What an attachment is whose type was not said.
pub(crate) const CONTENT_TYPE_DEFAULT: &str = "application/octet-stream";

/// A type that came in a header, if it can be kept.
pub(crate) fn content_type(text: &str) -> Result<String, ApiError> {
    if text.len() > CONTENT_TYPE_BYTES_MAX {
        return Err(ApiError::bad_request("the attachment's Content-Type is too long"));
    }
    Ok(text.to_owned())
}

/// A document, and the attachments that came behind it, in the order of its list.
pub(crate) async fn document(
    call: &mut Call,
) -> Result<(Incoming, Vec<Arc<StagedBlob>>), ApiError> {
    let content_type = call.header(header::CONTENT_TYPE).unwrap_or_default();
    if is_related(content_type) {
        let content_type = content_type.to_owned();
        let parts = Multipart::new(&content_type, call.take_body())?;
        return related(call.app.site.store.blobs(), parts).await;
    }
    let text = call.bytes(limits::JSON_BODY_MAX).await?;
    Ok((document::parse(&text)?, Vec::new()))
}

fn is_related(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("multipart/related")
}

async fn related(
    blobs: &BlobStore,
    mut parts: Multipart,
) -> Result<(Incoming, Vec<Arc<StagedBlob>>), ApiError> {
    let first = parts.next_part().await?;
    if !first.as_ref().and_then(PartHeaders::content_type).is_some_and(is_json) {
        return Err(ApiError::content_type("application/json"));
    }
    let text = parts.collect(limits::DOCUMENT_PART_MAX).await?;
    let document = document::parse(&text)?;
    drop(text);
    check_count(document.attachments.len())?;

    let following = || {
        let follows = |(_, it): &&(_, AttachmentIn)| matches!(it, AttachmentIn::Follows { .. });
        document.attachments.iter().filter(follows)
    };
    let mut followers = Followers::new(following().map(|(name, _)| name.to_string()));
    let mut came: Vec<Option<Arc<StagedBlob>>> = vec![None; following().count()];
    while let Some(part) = parts.next_part().await? {
        let at = followers.claim(&part)?;
        let (_, attachment) = following().nth(at).expect("claims lie inside the list");
        let writer = blobs.upload(&options(attachment, &part));
        came[at] = Some(Arc::new(upload_part(writer, &mut parts).await?));
    }
    followers.all_came()?;
    Ok((document, came.into_iter().flatten().collect()))
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// What a document and the part itself say of an attachment that follows.
fn options<'a>(attachment: &'a AttachmentIn, part: &PartHeaders) -> UploadOptions<'a> {
    match attachment {
        AttachmentIn::Follows {
            content_type, digest, length, encoding, encoded_length, ..
        } => {
            let gzipped = *encoding == Encoding::Gzip || part.is_gzip();
            let received = if gzipped { Received::Gzip } else { Received::Plain { content_type } };
            UploadOptions {
                length: if gzipped { *encoded_length } else { *length },
                md5: *digest,
                ..UploadOptions::new(received)
            }
        }
        AttachmentIn::Stub { content_type, .. } | AttachmentIn::Inline { content_type, .. } => {
            UploadOptions::new(Received::Plain { content_type })
        }
    }
}

/// The rest of a part as an attachment.
pub(crate) async fn upload_part(
    mut writer: BlobWriter,
    parts: &mut Multipart,
) -> Result<StagedBlob, ApiError> {
    while let Some(bytes) = parts.chunk().await? {
        writer.write(&bytes).await?;
    }
    Ok(writer.finish().await?)
}

/// A whole body as an attachment.
pub(crate) async fn upload_body(
    mut writer: BlobWriter,
    call: &mut Call,
) -> Result<StagedBlob, ApiError> {
    let mut body = call.take_body();
    while let Some(bytes) = body::next(&mut body).await? {
        writer.write(&bytes).await?;
    }
    // All was read, so the connection can be used again whatever comes now.
    if let Some(time) = &call.body_micros {
        time.store(0, Ordering::Relaxed);
    }
    Ok(writer.finish().await?)
}
