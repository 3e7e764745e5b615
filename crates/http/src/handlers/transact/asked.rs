//! What transaction functions ask of indexes, answered as requests are.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use settle_access::{Grant, Read};
use settle_database::Database;
use settle_index::{
    Update,
    lane::{AskIndexes, Told},
    limits,
};
use settle_query::mango::FindRequest;
use settle_script::Thrown;

use crate::{
    error::ApiError,
    handlers::{mango::Found, views::ViewRows},
    parameters::ViewParameters,
    pieces::{Piece, Pieces as _},
    state::AppState,
};

pub(super) struct Indexes {
    pub(super) app: Arc<AppState>,
    pub(super) grant: Grant<Read>,
}

impl AskIndexes for Indexes {
    fn view<'a>(
        &'a self,
        database: &'a Database,
        view: (&'a str, &'a str),
        options: &'a [u8],
    ) -> BoxFuture<'a, Told> {
        Box::pin(async move { self.rows(database, view, options).await.map_err(thrown) })
    }

    fn find<'a>(&'a self, database: &'a Database, query: &'a [u8]) -> BoxFuture<'a, Told> {
        Box::pin(async move { self.found(database, query).await.map_err(thrown) })
    }
}

impl Indexes {
    async fn rows(
        &self,
        database: &Database,
        view: (&str, &str),
        options: &[u8],
    ) -> Result<Bytes, ApiError> {
        // A function reads what is, so it waits for that.
        let parameters =
            ViewParameters { update: Update::Wait, ..ViewParameters::of_object(options)? };
        let (database, grant) = (database.clone(), self.grant.clone());
        let mut rows = ViewRows::new(&self.app, database, grant, view, parameters).await?;
        let mut text = rows.begin().await?;
        let mut more = true;
        while more {
            let mut some;
            (some, more) = rows.next().await?;
            text.append(&mut some);
            check(&text)?;
        }
        text.extend_from_slice(b"\r\n]}");
        Ok(text.into())
    }

    async fn found(&self, database: &Database, query: &[u8]) -> Result<Bytes, ApiError> {
        let request = FindRequest { update: true, stale: false, ..FindRequest::parse(query)? };
        let shows_stats = request.execution_stats;
        let indexes = &self.app.site.indexes;
        let finding = indexes.find(database, self.grant.clone(), request).await?;
        let mut found = Found::new(finding, shows_stats);
        let mut text = Vec::new();
        loop {
            match found.next().await? {
                Piece::More(mut some) => text.append(&mut some),
                Piece::Last(mut some) => {
                    text.append(&mut some);
                    return Ok(text.into());
                }
            }
            check(&text)?;
        }
    }
}

fn check(text: &[u8]) -> Result<(), ApiError> {
    if text.len() > limits::ANSWER_BYTES_MAX {
        let reason =
            "the answer is too large for a function: ask for less, with `limit` or a range";
        return Err(ApiError::new(crate::error::Code::TooLarge, reason));
    }
    Ok(())
}

fn thrown(error: ApiError) -> Thrown {
    Thrown { error: error.name().to_owned(), reason: error.reason().to_owned() }
}
