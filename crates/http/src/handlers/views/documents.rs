//! Documents that stand in rows of views: the row's own, or the one that its value names with `_id`
//! and `_rev`.
//!
//! Documents are read at the time at which their rows are written: they may be newer than the rows.
//!
//! Source: `couch_mrview_util:maybe_load_doc/3`, `couch_index_util:load_doc/3`.

use settle_access::{Grant, Read};
use settle_database::{
    Database, DocumentContent, DocumentRow, Extras, GetError, More, Select, Sink, blobs::BlobStore,
};
use settle_model::{
    id::DocumentId,
    json::{members, string_value, unescape},
    revision::RevId,
};

use super::rows::FoundRow;
use crate::{
    documents::{
        outgoing::Contents,
        rows::{COPIED_BYTES_MAX, CopiedContent, RowForm},
    },
    error::ApiError,
};

/// A document outside of the view that it was found in.
pub(super) struct Document {
    id: String,
    rev: RevId,
    content: CopiedContent,
}

/// What one row asks for.
enum Link {
    Winner(String),
    Revision(String, RevId),
    /// The value names what no document can be.
    Nothing,
}

/// The documents of rows, in batches.
pub(super) struct Linked {
    links: Vec<Link>,
    done: usize,
}

impl Linked {
    pub(super) fn of(rows: &[FoundRow]) -> Self {
        Self { links: rows.iter().map(link).collect(), done: 0 }
    }

    /// The next rows, by number, with their documents; `None` when all have been given.
    pub(super) async fn next_batch(
        &mut self,
        database: &Database,
        grant: &Grant<Read>,
        form: RowForm,
    ) -> Result<Option<Vec<(usize, Option<Document>)>>, ApiError> {
        let first = self.done;
        let winner = |link: &Link| match link {
            Link::Winner(id) => Some(id.clone()),
            Link::Revision(..) | Link::Nothing => None,
        };
        let ids: Vec<String> = self.links[first..].iter().map_while(winner).collect();
        if !ids.is_empty() {
            let (copies, count) = database.look_up(grant, &ids, true, Copies::default()).await?;
            self.done += count;
            let found = copies.found.into_iter().enumerate();
            return Ok(Some(found.map(|(at, document)| (first + at, document)).collect()));
        }
        let document = match self.links.get(first) {
            None => return Ok(None),
            Some(Link::Winner(_) | Link::Nothing) => None,
            Some(Link::Revision(id, rev)) => revision(database, grant, id, rev, form).await?,
        };
        self.done += 1;
        Ok(Some(vec![(first, document)]))
    }
}

fn link(row: &FoundRow) -> Link {
    let (mut id, mut rev) = (Some(row.id.clone()), None);
    for (name, value) in members(&row.value) {
        match &*unescape(name) {
            "_id" => id = string_value(value).map(Into::into),
            "_rev" => rev = Some(string_value(value).and_then(|rev| rev.parse().ok())),
            _ => {}
        }
    }
    match (id, rev) {
        (Some(id), None) => Link::Winner(id),
        (Some(id), Some(Some(rev))) => Link::Revision(id, rev),
        (None, _) | (_, Some(None)) => Link::Nothing,
    }
}

async fn revision(
    database: &Database,
    grant: &Grant<Read>,
    id: &str,
    rev: &RevId,
    form: RowForm,
) -> Result<Option<Document>, ApiError> {
    let Ok(id) = id.parse::<DocumentId>() else { return Ok(None) };
    let extras = Extras { conflicts: form.conflicts, ..Extras::default() };
    let found = database.get(grant, &id, &Select::Rev(rev.clone()), extras).await;
    match found {
        Ok(found) if !found.deleted => {
            let content = CopiedContent::of(&DocumentContent {
                body: &found.body,
                attachments: &found.attachments,
                conflicts: &found.conflicts,
                sequence: found.sequence,
            });
            Ok(Some(Document { id: id.as_str().to_owned(), rev: found.rev, content }))
        }
        Ok(_) | Err(GetError::Missing | GetError::Deleted) => Ok(None),
        Err(error @ GetError::Storage(_)) => Err(error.into()),
    }
}

/// Appends the document, or `null`.
pub(super) async fn write(
    document: Option<Document>,
    form: RowForm,
    blobs: &BlobStore,
    out: &mut Vec<u8>,
) -> Result<(), ApiError> {
    let Some(Document { id, rev, content }) = document else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    let contents = match form.needs_copies() {
        true => content.contents(&form.form, blobs).await?,
        false => Contents::new(),
    };
    form.write(out, &id, &rev, false, &content.lend(), &contents);
    Ok(())
}

/// Copies documents as they are found; nothing for those that are missing or deleted.
#[derive(Default)]
struct Copies {
    found: Vec<Option<Document>>,
    bytes: usize,
}

impl Sink<DocumentRow<'_>> for Copies {
    fn row(&mut self, row: &DocumentRow<'_>) -> More {
        let document = row.found.as_ref().and_then(|found| {
            let content = CopiedContent::of(found.content.as_ref()?);
            Some(Document { id: row.id.to_owned(), rev: found.rev.clone(), content })
        });
        self.bytes += document.as_ref().map_or(0, |it| it.content.bytes());
        self.found.push(document);
        if self.bytes < COPIED_BYTES_MAX { More::Yes } else { More::Enough }
    }
}
