//! What a peer lacks, and what is to be forgotten.
//!
//! Source: `chttpd_db:db_req/2` for `_revs_diff`, `_missing_revs`, `_purge`, `_purged_infos`.

use std::collections::HashMap;

use axum::response::Response;
use http::StatusCode;
use settle_access::{Administer, Read};
use settle_database::MissingRevs;
use settle_model::{id::DocumentId, json::write_string, revision::RevId};

use crate::{
    call::Call,
    documents::id_revs::{self, IdRevs, Members, write_revs},
    error::ApiError,
    limits,
    open::open,
    reply,
};

/// `POST /{db}/_revs_diff`
pub(crate) async fn diff(call: Call) -> Result<Response, ApiError> {
    let missing = missing(call).await?;
    let mut out = Vec::with_capacity(64 * missing.len() + 3);
    let mut members = Members::open(&mut out);
    for Missing { id, revs, possible_ancestors } in &missing {
        let out = members.add(id);
        out.extend_from_slice(b"{\"missing\":");
        write_revs(out, revs);
        if !possible_ancestors.is_empty() {
            out.extend_from_slice(b",\"possible_ancestors\":");
            write_revs(out, possible_ancestors);
        }
        out.push(b'}');
    }
    members.close();
    out.push(b'\n');
    Ok(reply::json_text(StatusCode::OK, out))
}

/// `POST /{db}/_missing_revs`
pub(crate) async fn missing_revs(call: Call) -> Result<Response, ApiError> {
    let missing = missing(call).await?;
    let mut out = b"{\"missing_revs\":".to_vec();
    let mut members = Members::open(&mut out);
    for Missing { id, revs, .. } in &missing {
        write_revs(members.add(id), revs);
    }
    members.close();
    out.extend_from_slice(b"}\n");
    Ok(reply::json_text(StatusCode::OK, out))
}

struct Missing {
    id: String,
    revs: Vec<RevId>,
    possible_ancestors: Vec<RevId>,
}

/// Whose id can be no document's is missing as a whole.
async fn missing(mut call: Call) -> Result<Vec<Missing>, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Read>(&call).await?;
    let asked = id_revs::parse(&call.bytes(limits::QUESTION_BODY_MAX).await?)?;
    let mut known = Vec::with_capacity(asked.len());
    let mut missing = Vec::new();
    for asked in asked {
        match asked.document() {
            Some(id) => known.push((id, asked.revs)),
            None if asked.revs.is_empty() => {}
            None => {
                let IdRevs { id, revs } = asked;
                missing.push(Missing { id, revs, possible_ancestors: Vec::new() });
            }
        }
    }
    let found = database.missing_revs(&grant, &known).await?;
    let found = found.into_iter().map(|MissingRevs { id, missing, possible_ancestors }| Missing {
        id: id.as_str().to_owned(),
        revs: missing,
        possible_ancestors,
    });
    missing.splice(0..0, found);
    Ok(missing)
}

/// `POST /{db}/_purge`
pub(crate) async fn purge(mut call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Administer>(&call).await?;
    let asked = id_revs::parse(&call.bytes(limits::QUESTION_BODY_MAX).await?)?;
    let wanted = asked.iter().filter_map(|it| Some((it.document()?, it.revs.clone())));
    let purged: HashMap<DocumentId, Vec<RevId>> =
        database.purge(&grant, wanted.collect()).await?.into_iter().collect();
    let mut out = b"{\"purge_seq\":null,\"purged\":".to_vec();
    let mut members = Members::open(&mut out);
    for asked in &asked {
        let gone = asked.document().and_then(|id| purged.get(&id));
        write_revs(members.add(&asked.id), gone.map_or(&[], Vec::as_slice));
    }
    members.close();
    out.extend_from_slice(b"}\n");
    Ok(reply::json_text(StatusCode::CREATED, out))
}

/// `GET /{db}/_purged_infos`
pub(crate) async fn purged_infos(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Administer>(&call).await?;
    let infos = database.purged_infos(&grant).await?;
    let mut out = b"{\"purged_infos\":[".to_vec();
    for (index, (id, revs)) in infos.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"id\":");
        write_string(&mut out, id);
        out.extend_from_slice(b",\"revs\":");
        write_revs(&mut out, revs);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}\n");
    Ok(reply::json_text(StatusCode::OK, out))
}
