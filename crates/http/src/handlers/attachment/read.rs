//! The bytes of an attachment, whole or in ranges.
//!
//! What is stored compressed goes to clients that take gzip as it is, and to others unpacked. Ranges are of
//! what is stored, so whoever gets something unpacked gets all of it. Different from CouchDB: a client that
//! takes gzip can ask for one range of what is compressed, which replicators need on links that are cut
//! before the whole is through. As in CouchDB, nobody is invited to do that. Every reply has a sandbox policy and may not be sniffed, since whoever
//! wrote the attachment chose its type (CVE-2021-38295).

use std::ops::Range;

use axum::{body::Body, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::TryStreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use settle_database::{
    Attachment,
    blobs::{BlobReadError, Encoding, Part},
};

use super::range::{self, Wanted};
use crate::{
    accept::accepts_gzip,
    call::Call,
    documents::{parts, pieces::Pieces, received::CONTENT_TYPE_DEFAULT},
    error::{ApiError, Code},
    feed::FeedBroken,
    multipart::Boundary,
    reply::{not_modified, user_controlled},
};

const DIGEST: HeaderName = HeaderName::from_static("digest");

pub(super) async fn reply(call: &Call, attachment: &Attachment) -> Result<Response, ApiError> {
    let md5 = STANDARD.encode(attachment.md5);
    let etag = HeaderValue::try_from(format!("\"{md5}\"")).expect("base64 can stand in a header");
    if call.has_current(&etag) {
        return Ok(not_modified(etag));
    }
    let mut response = with_bytes(call, attachment, etag, &md5).await?;
    user_controlled(&mut response);
    Ok(response)
}

async fn with_bytes(
    call: &Call,
    attachment: &Attachment,
    etag: HeaderValue,
    md5: &str,
) -> Result<Response, ApiError> {
    match attachment.encoding {
        Encoding::Gzip => gzipped(call, attachment, etag, md5).await,
        Encoding::Identity => match wanted(call, &etag, attachment.length) {
            Wanted::Whole => {
                let mut response =
                    streamed(call, attachment, Part::Stored, attachment.length).await?;
                add_headers(response.headers_mut(), attachment, etag, "bytes");
                add_digest(response.headers_mut(), md5);
                Ok(response)
            }
            Wanted::One(range) => one_range(call, attachment, etag, range, attachment.length).await,
            Wanted::Several(ranges) => Ok(several_ranges(call, attachment, etag, &ranges)),
            Wanted::Unsatisfiable => Err(unsatisfiable(attachment.length)),
        },
    }
}

async fn gzipped(
    call: &Call,
    attachment: &Attachment,
    etag: HeaderValue,
    md5: &str,
) -> Result<Response, ApiError> {
    let packed = accepts_gzip(call.headers());
    if packed {
        match wanted(call, &etag, attachment.stored_length) {
            Wanted::Whole | Wanted::Several(_) => {}
            Wanted::Unsatisfiable => return Err(unsatisfiable(attachment.stored_length)),
            Wanted::One(range) => {
                let total = attachment.stored_length;
                let mut response = one_range(call, attachment, etag, range, total).await?;
                let headers = response.headers_mut();
                headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                return Ok(response);
            }
        }
    }
    let (part, length) = if packed {
        (Part::Stored, attachment.stored_length)
    } else {
        (Part::Identity, attachment.length)
    };
    let mut response = streamed(call, attachment, part, length).await?;
    let headers = response.headers_mut();
    add_headers(headers, attachment, etag, "none");
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        add_digest(headers, md5);
    }
    Ok(response)
}

/// A range belongs to the version that `If-Range` names; of another, all is sent.
fn wanted(call: &Call, etag: &HeaderValue, length: u64) -> Wanted {
    let Some(range) = call.header(header::RANGE) else { return Wanted::Whole };
    match call.headers().get(header::IF_RANGE) {
        Some(version) if version != etag => Wanted::Whole,
        Some(_) | None => range::parse(range, length),
    }
}

async fn one_range(
    call: &Call,
    attachment: &Attachment,
    etag: HeaderValue,
    range: Range<u64>,
    total: u64,
) -> Result<Response, ApiError> {
    let (first, last) = (range.start, range.end - 1);
    let length = range.end - range.start;
    let mut response = streamed(call, attachment, Part::StoredRange(range), length).await?;
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    add_headers(headers, attachment, etag, "bytes");
    let range = HeaderValue::try_from(format!("bytes {first}-{last}/{total}"));
    headers.insert(header::CONTENT_RANGE, range.expect("digits can stand in a header"));
    Ok(response)
}

fn several_ranges(
    call: &Call,
    attachment: &Attachment,
    etag: HeaderValue,
    ranges: &[Range<u64>],
) -> Response {
    let mut pieces = Pieces::new(call.app.site.store.blobs().clone());
    let boundary = Boundary::generate(&*call.app.site.entropy);
    let content_type = parts::write_ranges(&mut pieces, boundary, attachment, ranges);
    let length = pieces.length();
    let mut response = Response::new(pieces.into_body());
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    add_headers(headers, attachment, etag, "bytes");
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CONTENT_LENGTH, length.into());
    response
}

fn unsatisfiable(length: u64) -> ApiError {
    let range = HeaderValue::try_from(format!("bytes */{length}"));
    ApiError::new(Code::RequestedRangeNotSatisfiable, "Requested range not satisfiable")
        .with_header(header::CONTENT_RANGE, range.expect("digits can stand in a header"))
}

/// The bytes, of which nothing is read when only their number is asked for.
async fn streamed(
    call: &Call,
    attachment: &Attachment,
    part: Part,
    length: u64,
) -> Result<Response, ApiError> {
    let body = if call.is_head() {
        Body::empty()
    } else {
        let reader = call.app.site.store.blobs().read(attachment.digest, part).await?;
        Body::from_stream(reader.map_err(broken))
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    Ok(response)
}

fn broken(error: BlobReadError) -> FeedBroken {
    FeedBroken::log(&error.into())
}

fn add_headers(
    headers: &mut HeaderMap,
    attachment: &Attachment,
    etag: HeaderValue,
    ranges: &'static str,
) {
    let content_type = HeaderValue::from_bytes(attachment.content_type.as_bytes())
        .unwrap_or(HeaderValue::from_static(CONTENT_TYPE_DEFAULT));
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::ETAG, etag);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static(ranges));
}

/// Of the bytes as they are sent (RFC 3230).
fn add_digest(headers: &mut HeaderMap, md5: &str) {
    let digest = HeaderValue::try_from(format!("MD5={md5}"));
    headers.insert(DIGEST, digest.expect("base64 can stand in a header"));
}
