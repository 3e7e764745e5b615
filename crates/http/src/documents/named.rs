//! The document and the revision that a request names.
//!
//! Source: `chttpd_db:db_req/2`, `couch_doc_from_req/4`, `extract_header_rev/2`.

use http::{HeaderValue, header};
use percent_encoding::percent_decode_str;
use settle_model::{document::AnyRev, id::AnyId, revision::RevId};

use crate::{call::Call, error::ApiError};

/// The id in the path behind the database: `{id}`, `_design/{name}` or `_local/{name}`. An encoded slash
/// is as good as a plain one, so `_local%2Fname` is the same document.
pub(crate) fn id(call: &Call) -> Result<AnyId, ApiError> {
    let name = call.segment(1)?;
    let before = call.captures.get(0).end..call.captures.get(1).start;
    let prefix = call.raw_path()[before].trim_matches('/');
    if prefix.is_empty() {
        return Ok(name.parse()?);
    }
    let prefix = percent_decode_str(prefix).decode_utf8_lossy();
    Ok(format!("{prefix}/{name}").parse()?)
}

/// As [`id`], for what is to be there already: what cannot be an id is missing.
pub(crate) fn existing_id(call: &Call) -> Result<AnyId, ApiError> {
    id(call).map_err(|_| ApiError::missing())
}

/// The revision that a request rests on: in its document, its query, its `If-Match`. They may all say
/// it, if they say the same.
pub(crate) fn base(call: &Call, in_document: Option<AnyRev>) -> Result<Option<AnyRev>, ApiError> {
    let in_query = call.query().get("rev").filter(|rev| !rev.is_empty());
    let in_query = in_query.map(|rev| parse(&rev)).transpose()?;
    if let (Some(document), Some(query)) = (&in_document, &in_query)
        && document != query
    {
        let reason = "Document rev from request body and query string have different values";
        return Err(ApiError::bad_request(reason));
    }
    let explicit = in_document.or(in_query);
    let in_header = call.header(header::IF_MATCH);
    let in_header = in_header.map(|rev| parse(rev.trim().trim_matches('"'))).transpose()?;
    match (explicit, in_header) {
        (Some(explicit), Some(header)) if explicit != header => {
            Err(ApiError::bad_request("Document rev and etag have different values"))
        }
        (explicit, header) => Ok(explicit.or(header)),
    }
}

/// As [`base`], of a document that is not local, where none was sent. A local document's revision is
/// never that of another document.
pub(crate) fn document_base(call: &Call) -> Result<Option<RevId>, ApiError> {
    let base = base(call, None)?;
    base.map(|rev| rev.into_document().ok_or_else(ApiError::conflict)).transpose()
}

/// The revision that is to be read.
pub(crate) fn revision_in_query(call: &Call) -> Result<Option<RevId>, ApiError> {
    let rev = call.query().get("rev").filter(|rev| !rev.is_empty());
    let rev = rev.map(|rev| rev.parse()).transpose();
    rev.map_err(|_| ApiError::bad_request("Invalid rev format"))
}

/// A revision as an `ETag`.
pub(crate) fn etag(rev: &AnyRev) -> HeaderValue {
    let mut text = Vec::with_capacity(48);
    text.push(b'"');
    rev.write_to(&mut text);
    text.push(b'"');
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
        .expect("digests are visible ASCII without quotes")
}

fn parse(rev: &str) -> Result<AnyRev, ApiError> {
    rev.parse().map_err(|_| ApiError::bad_request("Invalid rev format"))
}
