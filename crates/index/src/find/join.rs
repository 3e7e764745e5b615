//! Documents put into those found: a left join.
//!
//! On `_id` the value names a document, which becomes an object, or `null` where there is none; an array of
//! values becomes an array of these. On another field the documents that have the value there become an
//! array, by an index on that field alone.

use std::sync::Arc;

use bytes::Bytes;
use settle_access::{Grant, Read};
use settle_database::{Database, Direction, DocumentForm};
use settle_model::json::{elements, string_value};
use settle_query::mango::{FindRequest, Index, Join, JoinTarget, with_member};

use super::{
    FindError,
    finding::Selected,
    reader::{self, Rows, rows_of},
};
use crate::{Indexes, ReadyView, Update, limits::FIND_JOINED_BYTES_MAX, tree::RowScan};

/// The joins of a request, ready to be made.
#[derive(Debug)]
pub(super) struct Joiner {
    database: Database,
    request: Option<Arc<FindRequest>>,
    /// For each join on a field, its index.
    views: Vec<Option<ReadyView>>,
}

impl Joiner {
    pub(super) async fn new(
        indexes: &Indexes,
        database: &Database,
        grant: &Grant<Read>,
        request: &Arc<FindRequest>,
        all: &[Arc<Index>],
    ) -> Result<Self, FindError> {
        let mut views = Vec::with_capacity(request.joins.len());
        let update = if request.update && !request.stale { Update::Wait } else { Update::No };
        for join in &request.joins {
            views.push(match &join.to {
                JoinTarget::Id => None,
                JoinTarget::Field { name, .. } => {
                    let missing = || FindError::NoJoinIndex { field: name.clone() };
                    let index = join.index(all, request.partition.is_some());
                    let index = index.ok_or_else(missing)?;
                    Some(reader::ready(indexes, database, grant, index, update).await?)
                }
            });
        }
        let request = (!request.joins.is_empty()).then(|| request.clone());
        Ok(Self { database: database.clone(), request, views })
    }

    /// The document with what belongs to it.
    pub(super) async fn join(
        &self,
        grant: &Grant<Read>,
        selected: Selected,
    ) -> Result<Vec<u8>, FindError> {
        let mut document = selected.document;
        let Some(request) = &self.request else { return Ok(document) };
        let mut room = FIND_JOINED_BYTES_MAX;
        let values = selected.joined.iter();
        for ((join, view), value) in request.joins.iter().zip(&self.views).zip(values) {
            let found = match view {
                None => self.by_id(grant, join, value.as_deref()).await?,
                Some(view) => {
                    let partition = request.partition.as_deref();
                    self.by_field(grant, join, view, value.as_deref(), partition).await?
                }
            };
            room = room.checked_sub(found.len()).ok_or(FindError::JoinTooLarge)?;
            document = with_member(&document, &join.into, &found);
        }
        Ok(document)
    }

    async fn by_id(
        &self,
        grant: &Grant<Read>,
        join: &Join,
        value: Option<&[u8]>,
    ) -> Result<Vec<u8>, FindError> {
        let Some(value) = value else { return Ok(b"null".to_vec()) };
        if value.first() != Some(&b'[') {
            let Some(id) = string_value(value) else { return Ok(b"null".to_vec()) };
            let found = self.look_up(grant, &[id.into_owned()]).await?;
            return Ok(found
                .into_iter()
                .next()
                .flatten()
                .map_or_else(|| b"null".to_vec(), |document| shown(join, &document)));
        }
        let limit = usize::try_from(join.limit).unwrap_or(usize::MAX);
        let mut all = Shown::new();
        for value in elements(value).take(limit) {
            let id = string_value(value).unwrap_or_default().into_owned();
            // One by one, so that what is too much is known before it is in memory.
            let found = self.look_up(grant, &[id]).await?.pop().flatten();
            all.push(found.as_ref().map_or_else(|| b"null".to_vec(), |it| shown(join, it)))?;
        }
        Ok(all.finish())
    }

    async fn by_field(
        &self,
        grant: &Grant<Read>,
        join: &Join,
        view: &ReadyView,
        value: Option<&[u8]>,
        partition: Option<&str>,
    ) -> Result<Vec<u8>, FindError> {
        let mut all = Shown::new();
        let Some(value) = value else { return Ok(all.finish()) };
        let limit = usize::try_from(join.limit).unwrap_or(usize::MAX);
        let range = rows_of(value, partition);
        let scan = RowScan { range, direction: Direction::Ascending, skip: 0, limit: join.limit };
        let rows = Rows { wanted: limit, found: std::collections::VecDeque::new() };
        let mut next = Some(scan);
        let mut rows = rows;
        while let Some(scan) = next {
            let (back, more) = view.rows(scan, rows).await?;
            rows = back;
            next = match more {
                settle_database::Next::Go(scan) if rows.found.len() < limit => Some(scan),
                settle_database::Next::Go(_) | settle_database::Next::Done => None,
            };
        }
        for row in rows.found {
            let found = self.look_up(grant, &[row.id]).await?.pop().flatten();
            // It may have changed since the index saw it.
            if let Some(document) = found.filter(|it| join.leads_to(it, value)) {
                all.push(shown(join, &document))?;
            }
        }
        Ok(all.finish())
    }

    async fn look_up(
        &self,
        grant: &Grant<Read>,
        ids: &[String],
    ) -> Result<Vec<Option<Bytes>>, FindError> {
        let form = DocumentForm::default();
        let found = self.database.look_up_rendered(grant, ids, form).await?;
        Ok(found.into_iter().map(|found| found.map(|it| it.document)).collect())
    }
}

/// The fields that are wanted of a joined document.
fn shown(join: &Join, document: &[u8]) -> Vec<u8> {
    match &join.fields {
        None => document.to_vec(),
        Some(fields) => {
            let mut out = Vec::new();
            fields.push(&mut out, document);
            out
        }
    }
}

/// An array of documents in the making.
struct Shown(Vec<u8>);

impl Shown {
    fn new() -> Self {
        Self(b"[".to_vec())
    }

    fn push(&mut self, document: Vec<u8>) -> Result<(), FindError> {
        if self.0.len() + document.len() > FIND_JOINED_BYTES_MAX {
            return Err(FindError::JoinTooLarge);
        }
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.extend_from_slice(&document);
        Ok(())
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push(b']');
        self.0
    }
}
