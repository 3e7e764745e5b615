//! Archives of a database as streams: made, brought back, compared.

use std::{error::Error, fmt, io};

use axum::{body::Body, response::Response};
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use settle_access::{Administer, AdministerServer, Grant, Resource};
use settle_archive::{Archiving, Source};
use settle_database::{At, CreateOptions, Database};
use settle_model::id::DatabaseName;
use tokio::sync::OwnedSemaphorePermit;

use super::security;
use crate::{
    audit, body,
    call::Call,
    error::{ApiError, Code},
    open,
    pieces::{self, Piece, Pieces},
    reply,
};

const ZSTD: HeaderValue = HeaderValue::from_static("application/zstd");

/// `GET /{db}/_archive`
pub(crate) async fn archive(call: Call) -> Result<Response, ApiError> {
    let database = open::find(&call).await?;
    // Also of the database of records, which nobody changes.
    let grant = call.authorize::<Administer>(database.resource())?;
    let at = call.query().get("at").map(|at| at.parse::<At>()).transpose()?;
    let permit = permit(&call)?;
    let archiving = call.app.site.archive(&database, &grant, at.as_ref()).await?;
    let body = pieces::body(Blocks { archiving, _permit: permit }).await?;
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, ZSTD);
    let name = utf8_percent_encode(database.name().as_str(), NON_ALPHANUMERIC);
    let file = HeaderValue::try_from(format!("attachment; filename=\"{name}.jsonl.zst\""));
    headers.insert(header::CONTENT_DISPOSITION, file.expect("percent-encoded names are ASCII"));
    Ok(response)
}

/// `PUT /{db}/_restore`
pub(crate) async fn restore(mut call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Restored {
        ok: bool,
        documents: u64,
        deleted: u64,
        leaves: u64,
        seq: String,
    }
    let replaces = match call.query().get("replace").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::bad_request("Invalid `replace` parameter")),
    };
    let target = target(&call, replaces).await?;
    let permit = match permit(&call) {
        Ok(permit) => permit,
        Err(busy) => {
            target.take_back(&call).await;
            return Err(busy);
        }
    };
    let source = source(call.take_body());
    let site = &call.app.site;
    let checked = |object: &[u8]| security::check(object).map_err(|it| it.reason().to_owned());
    let restored = site.restore(&target.database, &target.grant, source, checked).await;
    drop(permit);
    let in_place = match restored {
        Ok(in_place) => in_place,
        Err(error) => {
            target.take_back(&call).await;
            return Err(error.into());
        }
    };
    let totals = in_place.totals;
    let restored = Restored {
        ok: true,
        documents: totals.documents,
        deleted: totals.deleted,
        leaves: totals.leaves,
        seq: in_place.sequence.to_string(),
    };
    Ok(reply::json(StatusCode::CREATED, &restored))
}

/// `POST /{db}/_verify`
pub(crate) async fn verify(mut call: Call) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Verified {
        ok: bool,
        name: String,
        made: String,
        documents: u64,
        deleted: u64,
        equal: u64,
        differences: Vec<String>,
        unnamed: u64,
    }
    let database = open::find(&call).await?;
    let grant = call.authorize::<Administer>(database.resource())?;
    let _permit = permit(&call)?;
    let source = source(call.take_body());
    let found = call.app.site.compare(&database, &grant, source).await?;
    let verified = Verified {
        ok: found.is_equal(),
        name: found.header.name,
        made: found.header.made,
        documents: found.totals.documents,
        deleted: found.totals.deleted,
        equal: found.equal,
        differences: found.differences,
        unnamed: found.unnamed,
    };
    Ok(reply::json(StatusCode::OK, &verified))
}

fn permit(call: &Call) -> Result<OwnedSemaphorePermit, ApiError> {
    let busy = |_| ApiError::busy("Too many archives are being read or written.", 60);
    call.app.archives.clone().try_acquire_owned().map_err(busy)
}

/// The database whose place an archive takes.
struct Target {
    database: Database,
    grant: Grant<Administer>,
    /// Made for this archive: it goes if that comes to nothing.
    made: Option<Grant<AdministerServer>>,
}

async fn target(call: &Call, replaces: bool) -> Result<Target, ApiError> {
    let name = match call.segment(0).and_then(|name| call.database_name(&name)) {
        Ok(name) => name,
        Err(error) => {
            // Who may not know what is there does not learn what could be.
            call.authorize::<AdministerServer>(call.server()?)?;
            return Err(error);
        }
    };
    audit::check_change(&name)?;
    let site = &call.app.site;
    let made = match site.store.find(&name).await? {
        Some(database) => {
            let grant = call.authorize::<Administer>(database.resource())?;
            check_system(call, &name)?;
            if !replaces {
                let reason = "The database is there; with replace=true it is replaced.";
                return Err(ApiError::new(Code::FileExists, reason));
            }
            return Ok(Target { database, grant, made: None });
        }
        None => make(call, &name).await?,
    };
    let database = site.store.find(&name).await?.ok_or_else(ApiError::no_database)?;
    let grant = Grant::internal(database.resource(), "whoever made a database fills it");
    Ok(Target { database, grant, made: Some(made) })
}

/// What stands in databases of the system, the server acts on in somebody's name.
fn check_system(call: &Call, name: &DatabaseName) -> Result<(), ApiError> {
    if name.local().starts_with('_') {
        call.authorize::<AdministerServer>(Resource::Server)?;
    }
    Ok(())
}

async fn make(call: &Call, name: &DatabaseName) -> Result<Grant<AdministerServer>, ApiError> {
    let server = name.account().map_or(Resource::Server, |name| Resource::Account { name });
    let grant = call.authorize::<AdministerServer>(server)?;
    check_system(call, name)?;
    call.app.site.create(&call.actor, &grant, name, CreateOptions::default()).await?;
    Ok(grant)
}

impl Target {
    /// Drops the database that was made for the archive, unless somebody has written to it.
    async fn take_back(self, call: &Call) {
        let Some(grant) = self.made else { return };
        if self.database.sequence() > 0 {
            return;
        }
        if let Err(error) = call.app.site.store.drop(&grant, self.database.name()).await {
            let database = self.database.name();
            tracing::warn!(%database, %error, "a database made for an archive stays");
        }
    }
}

struct Blocks {
    archiving: Archiving,
    _permit: OwnedSemaphorePermit,
}

impl Pieces for Blocks {
    async fn next(&mut self) -> Result<Piece, ApiError> {
        Ok(match self.archiving.next().await? {
            Some(block) => Piece::More(block.into()),
            None => Piece::Last(Vec::new()),
        })
    }
}

/// The body as an archive is read from.
fn source(body: Body) -> Source {
    Box::pin(stream::unfold(Some(body), |body| async {
        let mut body = body?;
        match body::next(&mut body).await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(body))),
            Ok(None) => None,
            Err(error) => Some((Err(io::Error::other(BodyFailed(error))), None)),
        }
    }))
}

/// A body that did not come to its end, on its way through those who read from anything.
#[derive(Debug)]
pub(crate) struct BodyFailed(pub(crate) ApiError);

impl fmt::Display for BodyFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.reason())
    }
}

impl Error for BodyFailed {}
