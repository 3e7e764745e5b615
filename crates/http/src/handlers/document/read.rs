//! Reading a document: one revision, or several with `open_revs`.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use settle_access::{Grant, Read};
use settle_database::{At, Database, Extras, GetError, OpenRevs, Revision, Select};
use settle_model::{
    document::AnyRev,
    id::DocumentId,
    revision::{RevId, RevPath},
};

use crate::{
    accept::accepts,
    call::Call,
    documents::{
        named,
        outgoing::{Attachments, Form, known_up_to},
        parts::{self, Mixed},
        pieces::Pieces,
        times::has_timestamps,
    },
    error::ApiError,
    multipart::Boundary,
    parameters::{DocumentParameters, OpenRevisions},
    reply,
};

pub(super) async fn get(
    call: &Call,
    database: &Database,
    grant: &Grant<Read>,
    id: &DocumentId,
) -> Result<Response, ApiError> {
    let query = call.query();
    if query.is_empty() {
        let revision = database.get(grant, id, &Select::Winner, Extras::default()).await?;
        return Ok(whole(call, &revision, &Form::default(), true));
    }
    let mut parameters = DocumentParameters::of_query(query)?;
    parameters.timestamps = parameters.timestamps && has_timestamps(call, database).await?;
    if let Some(at) = &parameters.at {
        parameters.check_at()?;
        return as_it_was(call, database, grant, id, at, &parameters).await;
    }
    if let Some(revs) = parameters.open_revs.take() {
        return open_revs(call, database, grant, id, revs, &parameters).await;
    }
    let revision = one(database, grant, id, &parameters).await?;
    let form = form_of(&parameters, revision.path.as_ref());
    let has_etag = !parameters.has_extras();
    if form.attachments == Attachments::Stubs || revision.attachments.is_empty() {
        return Ok(whole(call, &revision, &form, has_etag));
    }
    Ok(with_attachments(call, &revision, form, has_etag))
}

/// A document as it was at a moment.
async fn as_it_was(
    call: &Call,
    database: &Database,
    grant: &Grant<Read>,
    id: &DocumentId,
    at: &At,
    parameters: &DocumentParameters,
) -> Result<Response, ApiError> {
    let moment = database.moment(grant, at).await?;
    let found = database.get_at(grant, moment, id, extras_of(parameters)).await?;
    let revision = found.ok_or_else(ApiError::missing)?;
    let form = form_of(parameters, None);
    let has_etag = !parameters.has_extras();
    if form.attachments == Attachments::Stubs || revision.attachments.is_empty() {
        return Ok(whole(call, &revision, &form, has_etag));
    }
    Ok(with_attachments(call, &revision, form, has_etag))
}

async fn one(
    database: &Database,
    grant: &Grant<Read>,
    id: &DocumentId,
    parameters: &DocumentParameters,
) -> Result<Revision, ApiError> {
    let select = match &parameters.rev {
        None => Select::Winner,
        Some(rev) if parameters.latest => Select::Latest(rev.clone()),
        Some(rev) => Select::Rev(rev.clone()),
    };
    let extras = extras_of(parameters);
    match database.get(grant, id, &select, extras).await {
        Err(GetError::Deleted) if parameters.deleted => {
            let all = database.open_revs(grant, id, &OpenRevs::All, false, extras).await?;
            // Winner first.
            let winner = all.into_iter().next().and_then(Result::ok);
            winner.ok_or_else(ApiError::deleted)
        }
        found => Ok(found?),
    }
}

fn extras_of(parameters: &DocumentParameters) -> Extras {
    Extras {
        path: parameters.revs || parameters.atts_since.is_some(),
        conflicts: parameters.conflicts,
        deleted_conflicts: parameters.deleted_conflicts,
        revs_info: parameters.revs_info,
    }
}

/// What of a revision is sent, attachments inside of it if at all.
fn form_of(parameters: &DocumentParameters, path: Option<&RevPath>) -> Form {
    let since: &[RevId] = parameters.atts_since.as_deref().unwrap_or_default();
    let sends = parameters.attachments || parameters.atts_since.is_some();
    Form {
        attachments: if sends { Attachments::Inline } else { Attachments::Stubs },
        known_up_to: known_up_to(path, since),
        encoding_info: parameters.att_encoding_info,
        local_seq: parameters.local_seq,
        timestamps: parameters.timestamps,
        revisions: parameters.revs,
    }
}

/// As [`form_of`], attachments behind the document.
fn following_form_of(parameters: &DocumentParameters, path: Option<&RevPath>) -> Form {
    let form = form_of(parameters, path);
    Form { attachments: Attachments::Follow, encoding_info: true, ..form }
}

/// A document without attachments, as most are: nothing is read any more.
fn whole(call: &Call, revision: &Revision, form: &Form, has_etag: bool) -> Response {
    let etag = has_etag.then(|| etag_of(revision));
    if let Some(etag) = etag.as_ref().filter(|etag| call.has_current(etag)) {
        return reply::not_modified(etag.clone());
    }
    let mut text = Vec::with_capacity(revision.id.as_str().len() + revision.body.len() + 80);
    form.write(&mut text, revision, &Vec::new());
    text.push(b'\n');
    let mut response = reply::json_text(StatusCode::OK, text);
    add_etag(response.headers_mut(), etag);
    response
}

/// A document with attachments: behind it for clients that take several parts, else inside as base64.
fn with_attachments(call: &Call, revision: &Revision, form: Form, has_etag: bool) -> Response {
    let etag = has_etag.then(|| etag_of(revision));
    if let Some(etag) = etag.as_ref().filter(|etag| call.has_current(etag)) {
        return reply::not_modified(etag.clone());
    }
    let mut pieces = Pieces::new(call.app.site.store.blobs().clone());
    let mut response =
        if accepts(call.headers(), "multipart/related") && parts::has_following(&form, revision) {
            let form = Form { attachments: Attachments::Follow, encoding_info: true, ..form };
            let boundary = Boundary::generate(&*call.app.site.entropy);
            let content_type = parts::write_related(&mut pieces, boundary, &form, revision);
            streamed(pieces, content_type)
        } else {
            pieces.document(&form, revision);
            pieces.text().push(b'\n');
            streamed(pieces, reply::JSON)
        };
    add_etag(response.headers_mut(), etag);
    response
}

async fn open_revs(
    call: &Call,
    database: &Database,
    grant: &Grant<Read>,
    id: &DocumentId,
    revs: OpenRevisions,
    parameters: &DocumentParameters,
) -> Result<Response, ApiError> {
    let revs = match revs {
        OpenRevisions::All => OpenRevs::All,
        OpenRevisions::These(revs) => OpenRevs::Only(revs),
    };
    let extras = extras_of(parameters);
    let mut found = database.open_revs(grant, id, &revs, parameters.latest, extras).await?;
    if parameters.latest {
        keep_each_once(&mut found);
    }
    let pieces = Pieces::new(call.app.site.store.blobs().clone());
    if accepts(call.headers(), "multipart/mixed") {
        Ok(mixed(call, pieces, &found, parameters))
    } else {
        Ok(listed(pieces, &found, parameters))
    }
}

/// Revisions of one branch lead to the same leaf.
fn keep_each_once(found: &mut Vec<Result<Revision, RevId>>) {
    let mut seen = std::collections::HashSet::new();
    found.retain(|it| match it {
        Ok(revision) => seen.insert(revision.rev.clone()),
        Err(missing) => seen.insert(missing.clone()),
    });
}

fn listed(
    mut pieces: Pieces,
    found: &[Result<Revision, RevId>],
    parameters: &DocumentParameters,
) -> Response {
    pieces.text().push(b'[');
    for (index, it) in found.iter().enumerate() {
        if index > 0 {
            pieces.text().push(b',');
        }
        match it {
            Ok(revision) => {
                pieces.text().extend_from_slice(b"{\"ok\":");
                pieces.document(&form_of(parameters, revision.path.as_ref()), revision);
                pieces.text().push(b'}');
            }
            Err(rev) => write_missing(pieces.text(), rev),
        }
    }
    pieces.text().extend_from_slice(b"]\n");
    streamed(pieces, reply::JSON)
}

fn mixed(
    call: &Call,
    pieces: Pieces,
    found: &[Result<Revision, RevId>],
    parameters: &DocumentParameters,
) -> Response {
    let mut mixed = Mixed::new(pieces, &*call.app.site.entropy);
    for it in found {
        match it {
            Ok(revision) => {
                let form = following_form_of(parameters, revision.path.as_ref());
                mixed.document(&[], &form, revision);
            }
            Err(rev) => {
                let mut text = Vec::new();
                write_missing(&mut text, rev);
                mixed.error(&text);
            }
        }
    }
    let content_type = mixed.content_type();
    streamed(mixed.finish(), content_type)
}

fn write_missing(text: &mut Vec<u8>, rev: &RevId) {
    text.extend_from_slice(b"{\"missing\":\"");
    rev.write_to(text);
    text.extend_from_slice(b"\"}");
}

fn etag_of(revision: &Revision) -> HeaderValue {
    named::etag(&AnyRev::from(revision.rev.clone()))
}

fn add_etag(headers: &mut HeaderMap, etag: Option<HeaderValue>) {
    if let Some(etag) = etag {
        headers.insert(header::ETAG, etag);
    }
}

fn streamed(pieces: Pieces, content_type: HeaderValue) -> Response {
    let length = pieces.length();
    let mut response = Response::new(pieces.into_body());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CONTENT_LENGTH, length.into());
    response
}
