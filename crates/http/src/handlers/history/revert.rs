//! Going back, and making another database of what one was.

use std::collections::BTreeSet;

use axum::response::Response;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use settle_access::{Administer, Read};
use settle_database::{At, Reversal, SnapshotName};
use settle_model::{date, revision::RevId};
use settle_site::history::{PlannedRevert, Revert};

use super::{SequenceText, selector};
use crate::{
    audit,
    call::{Call, from_json},
    error::ApiError,
    limits,
    open::open,
    reply,
};

/// `POST /{db}/_revert`
pub(crate) async fn revert(mut call: Call) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        to: String,
        ids: Option<BTreeSet<String>>,
        selector: Option<Box<RawValue>>,
        #[serde(default)]
        preview: bool,
        #[serde(default)]
        in_parts: bool,
        snapshot: Option<String>,
    }
    #[derive(Serialize)]
    struct Done {
        ok: bool,
        seq: SequenceText,
        /// What there was before can be read, and gone back to, under this name.
        snapshot: String,
        reverted: usize,
        left_out: Vec<String>,
    }
    call.require_json()?;
    let (database, grant) = open::<Administer>(&call).await?;
    let text = call.bytes(limits::QUESTION_BODY_MAX).await?;
    let form = "expected `to`, and maybe `ids`, `selector`, `preview`, `in_parts`, `snapshot`";
    let asked: Asked = from_json(&text, form)?;
    let read = grant.internally::<Read>("to find the moment to go back to");
    let revert = Revert {
        to: database.moment_of_life(&read, &asked.to.parse::<At>()?).await?,
        ids: asked.ids,
        selector: asked.selector.map(|it| selector(&it)).transpose()?.map(|(_, it)| it),
    };
    let site = &call.app.site;
    if asked.preview {
        let planned = site.plan_revert(&database, &grant, &revert).await?;
        return Ok(reply::json(StatusCode::OK, &preview(planned)));
    }
    let snapshot: SnapshotName = match &asked.snapshot {
        Some(name) => name.parse()?,
        None => default_name(&call)?,
    };
    let (reverted, left_out) = if asked.in_parts {
        site.revert_in_parts(&database, &grant, &revert, &snapshot).await?
    } else {
        let planned = site.revert(&database, &grant, &revert, &snapshot).await?;
        (planned.reversals.len(), planned.left_out)
    };
    let done = Done {
        ok: true,
        seq: SequenceText(database.token(database.sequence())),
        snapshot: snapshot.to_string(),
        reverted,
        left_out,
    };
    Ok(reply::json(StatusCode::OK, &done))
}

#[derive(Serialize)]
struct Preview {
    changes: Vec<Change>,
    left_out: Vec<String>,
}

#[derive(Serialize)]
struct Change {
    id: String,
    /// The winner that is there.
    now: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    /// The one whose content it gets; nothing where it is deleted.
    then: Option<String>,
}

fn preview(planned: PlannedRevert) -> Preview {
    let change = |it: Reversal| Change {
        id: it.id,
        now: it.now.0.to_string(),
        deleted: it.now.1,
        then: it.then.as_ref().map(RevId::to_string),
    };
    let changes = planned.reversals.into_iter().map(change).collect();
    Preview { changes, left_out: planned.left_out }
}

/// A name that tells when it was, and that nobody has taken in the same moment.
fn default_name(call: &Call) -> Result<SnapshotName, ApiError> {
    let time = date::rfc3339(call.app.site.clock.now()).replace([':', 'Z'], "-");
    Ok(format!("before-revert-{}", time.trim_end_matches('-')).parse()?)
}

/// `POST /{db}/_fork`
pub(crate) async fn fork(mut call: Call) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        name: String,
        at: Option<String>,
    }
    #[derive(Serialize)]
    struct Made {
        ok: bool,
        /// That of the database it was made of.
        seq: SequenceText,
    }
    call.require_json()?;
    let (database, grant) = open::<Administer>(&call).await?;
    let asked: Asked = call.json("expected `name`, and maybe `at`").await?;
    let name = call.database_name(&asked.name)?;
    audit::check_change(&name)?;
    let site = &call.app.site;
    let server = site.may_administer(&call.actor, &name)?;
    let at = asked.at.as_deref().map(str::parse::<At>).transpose()?;
    let (source, target) = ((&database, &grant), (&name, &server));
    let moment = site.fork(&call.actor, source, target, at.as_ref()).await?;
    let made = Made { ok: true, seq: SequenceText(database.token(moment.sequence())) };
    let mut response = reply::json(StatusCode::CREATED, &made);
    let encoded =
        percent_encoding::utf8_percent_encode(&asked.name, percent_encoding::NON_ALPHANUMERIC);
    let location = call.absolute(&format!("{}/{encoded}", call.root()));
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}
