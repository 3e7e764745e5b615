//! Many revisions in one reply, as replicators fetch them: an entry for each item of the question, in
//! its order, also where one is asked for twice or is missing.
//!
//! Documents are read a batch at a time while they are sent, so a long question needs no more memory
//! than a short one. The JSON object holds `results` and nothing else: CouchDB's client takes any other
//! form for a server that does not know this endpoint.
//!
//! Source: `chttpd_db:db_req/2` for `_bulk_get`, `bulk_get_ret_json/4`, `bulk_get_ret_multipart/4`.

mod item;
mod json;
mod mixed;

use axum::{body::Body, response::Response};
use http::{HeaderValue, header};
use settle_access::{Grant, Read};
use settle_database::{BulkItem, Database, Extras, GetError, OpenRevs, Revision};
use settle_model::revision::RevId;

use self::item::{Item, ItemError};
use crate::{
    accept::accepts,
    call::Call,
    documents::{
        outgoing::{Attachments, Form, known_up_to},
        times::has_timestamps,
    },
    error::ApiError,
    limits,
    open::open,
    parameters::{DocumentParameters, Query},
    pieces, reply,
};

/// Items that are read at one time.
const ITEMS_AT_ONCE: usize = 100;

/// `POST /{db}/_bulk_get`
pub(crate) async fn bulk_get(mut call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Read>(&call).await?;
    let body = call.bytes(limits::QUESTION_BODY_MAX).await?;
    let items = item::parse(&body)?;
    check_names(call.query())?;
    let mut parameters = DocumentParameters::of_query(call.query())?;
    parameters.timestamps = parameters.timestamps && has_timestamps(&call, &database).await?;
    let is_json = accepts(call.headers(), "application/json");
    let multipart = ["mixed", "related"]
        .into_iter()
        .find(|kind| !is_json && accepts(call.headers(), &format!("multipart/{kind}")));
    let question = Question { database, grant, parameters, items: items.into_iter() };
    let blobs = call.app.site.store.blobs().clone();
    let Some(kind) = multipart else {
        let body = pieces::body(json::Answer::new(question, blobs)).await?;
        return Ok(respond(body, reply::JSON));
    };
    let answer = mixed::Answer::new(question, blobs, &*call.app.site.entropy);
    let content_type = answer.content_type(kind);
    Ok(respond(answer.into_body().await?, content_type))
}

fn respond(body: Body, content_type: HeaderValue) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// What holds for one item cannot be said for all of them.
fn check_names(query: Query<'_>) -> Result<(), ApiError> {
    for (name, _) in query.pairs() {
        if matches!(&*name, "open_revs" | "new_edits" | "w" | "rev" | "atts_since") {
            let reason = format!("\"{name}\" query parameter is not acceptable");
            return Err(ApiError::bad_request(reason));
        }
    }
    Ok(())
}

/// What is asked for, and has not been read.
struct Question {
    database: Database,
    grant: Grant<Read>,
    parameters: DocumentParameters,
    items: std::vec::IntoIter<Item>,
}

/// What an item found.
struct Found {
    /// As JSON.
    id: Vec<u8>,
    docs: Vec<Result<(Form, Revision), ItemError>>,
}

impl Question {
    /// The next batch; empty at the end. `sent` says how attachments go that are asked for.
    async fn next(&mut self, sent: Attachments) -> Result<Vec<Found>, ApiError> {
        let items: Vec<Item> = self.items.by_ref().take(ITEMS_AT_ONCE).collect();
        let wanted: Vec<BulkItem> = items.iter().filter_map(Item::of_one_revision).collect();
        let DocumentParameters { latest, revs, conflicts, deleted_conflicts, revs_info, .. } =
            self.parameters;
        let path = revs || items.iter().any(|item| !item.atts_since.is_empty());
        let extras = Extras { path, conflicts, deleted_conflicts, revs_info };
        let (database, grant) = (&self.database, &self.grant);
        let mut read = database.bulk_get(grant, &wanted, latest, extras).await?.into_iter();
        let mut found = Vec::with_capacity(items.len());
        for item in items {
            let docs = match &item.wanted {
                Err(error) => vec![Err(error.clone())],
                Ok(wanted) if wanted.rev.is_some() => {
                    let docs = read.next().expect("an item has an entry");
                    self.present(&item, docs, sent)
                }
                // Without a revision, every leaf is meant.
                Ok(BulkItem { id, .. }) => {
                    let all = &OpenRevs::All;
                    let docs = match database.open_revs(grant, id, all, latest, extras).await {
                        Ok(docs) if !docs.is_empty() => {
                            docs.into_iter().map(|doc| doc.map_err(Some)).collect()
                        }
                        Ok(_) | Err(GetError::Missing | GetError::Deleted) => vec![Err(None)],
                        Err(GetError::Storage(error)) => return Err(error.into()),
                    };
                    self.present(&item, docs, sent)
                }
            };
            found.push(Found { id: item.id, docs });
        }
        Ok(found)
    }

    fn present(
        &self,
        item: &Item,
        docs: Vec<Result<Revision, Option<RevId>>>,
        sent: Attachments,
    ) -> Vec<Result<(Form, Revision), ItemError>> {
        let present = |doc: Result<Revision, Option<RevId>>| match doc {
            Ok(revision) => Ok((self.form(item, &revision, sent), revision)),
            Err(rev) => Err(ItemError::missing(&item.id, rev.as_ref())),
        };
        docs.into_iter().map(present).collect()
    }

    fn form(&self, item: &Item, revision: &Revision, sent: Attachments) -> Form {
        let asked = self.parameters.attachments || !item.atts_since.is_empty();
        // What is sent as parts always tells how it is stored.
        let encoding_info = self.parameters.att_encoding_info || sent == Attachments::Follow;
        Form {
            attachments: if asked || sent == Attachments::Follow {
                sent
            } else {
                Attachments::Stubs
            },
            known_up_to: known_up_to(revision.path.as_ref(), &item.atts_since),
            encoding_info,
            local_seq: self.parameters.local_seq,
            timestamps: self.parameters.timestamps,
            revisions: self.parameters.revs,
        }
    }
}
