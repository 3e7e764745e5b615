//! Rows of documents that are asked for by their ids, in the order of the question.

use serde_json::Value;
use settle_access::{Grant, Read};
use settle_database::{Database, DocumentRow, LocalError, Moment, More, Sink, blobs::BlobStore};
use settle_model::id::LocalId;

use super::{
    local,
    query::Namespace,
    range::{Copy, RowsForm},
};
use crate::{
    documents::{
        outgoing::Contents,
        rows::{COPIED_BYTES_MAX, RowForm},
    },
    error::ApiError,
    pieces::PIECE_BYTES,
};

/// Ids that one slice looks up.
const IDS_AT_ONCE: usize = 1_000;

/// Keys under way.
pub(super) struct Keys {
    keys: Vec<Value>,
    /// How many of them have their row.
    done: usize,
    rows: RowsForm,
    is_local: bool,
    /// When they are looked up; `None` for the present.
    moment: Option<Moment>,
}

impl Keys {
    pub(super) fn new(
        keys: Vec<Value>,
        form: RowForm,
        content: bool,
        namespace: Namespace,
    ) -> Self {
        let is_local = namespace == Namespace::Local;
        let with_conflicts = namespace == Namespace::Conflicts;
        let rows = RowsForm { form, content, with_conflicts, is_first: true };
        Self { keys, done: 0, rows, is_local, moment: None }
    }

    /// Of documents as they were, where a moment is said.
    pub(super) fn at(self, moment: Option<Moment>) -> Self {
        Self { moment, ..self }
    }

    /// Appends rows until about a piece is full; whether there are more.
    pub(super) async fn read(
        &mut self,
        database: &Database,
        grant: &Grant<Read>,
        blobs: &BlobStore,
        mut text: Vec<u8>,
    ) -> Result<(Vec<u8>, bool), ApiError> {
        if self.is_local {
            self.read_local(database, grant, &mut text).await?;
        } else {
            text = self.read_documents(database, grant, blobs, text).await?;
        }
        Ok((text, self.done < self.keys.len()))
    }

    async fn read_documents(
        &mut self,
        database: &Database,
        grant: &Grant<Read>,
        blobs: &BlobStore,
        text: Vec<u8>,
    ) -> Result<Vec<u8>, ApiError> {
        // Nothing is stored under the empty id, so it stands for keys that are no text.
        let ids = self.keys[self.done..].iter().take(IDS_AT_ONCE);
        let ids: Vec<String> = ids.map(|key| key.as_str().unwrap_or_default().to_owned()).collect();
        let content = self.rows.content;
        let found = Found {
            keys: std::mem::take(&mut self.keys),
            at: self.done,
            rows: self.rows,
            text,
            copies: (content && self.rows.form.needs_copies()).then(Vec::new),
            bytes: 0,
        };
        let (found, count) = match self.moment {
            None => database.look_up(grant, &ids, content, found).await?,
            Some(moment) => database.look_up_at(grant, moment, &ids, content, found).await?,
        };
        let Found { keys, rows, mut text, copies, .. } = found;
        (self.keys, self.rows) = (keys, rows);
        let keys = &self.keys[self.done..];
        for (key, copy) in keys.iter().zip(copies.unwrap_or_default()) {
            match copy {
                Some(copy) => copy.write(&mut self.rows, blobs, &mut text).await?,
                None => write_missing(&mut self.rows, &mut text, key),
            }
        }
        self.done += count;
        Ok(text)
    }

    async fn read_local(
        &mut self,
        database: &Database,
        grant: &Grant<Read>,
        text: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        while let Some(key) = self.keys.get(self.done) {
            let id = key.as_str().and_then(|id| id.parse::<LocalId>().ok());
            let found = match id {
                None => None,
                Some(id) => match database.local(grant, &id).await {
                    Ok(document) => Some(document),
                    Err(LocalError::Missing) => None,
                    Err(error) => return Err(error.into()),
                },
            };
            match found {
                Some(document) => local::write(&mut self.rows, text, &document),
                None => write_missing(&mut self.rows, text, key),
            }
            self.done += 1;
            if text.len() >= PIECE_BYTES {
                break;
            }
        }
        Ok(())
    }
}

fn write_missing(rows: &mut RowsForm, out: &mut Vec<u8>, key: &Value) {
    rows.separate(out);
    out.extend_from_slice(b"{\"key\":");
    serde_json::to_writer(&mut *out, key).expect("a JSON value can be written");
    out.extend_from_slice(b",\"error\":\"not_found\"}");
}

/// Takes the rows of keys, in their order.
struct Found {
    keys: Vec<Value>,
    at: usize,
    rows: RowsForm,
    text: Vec<u8>,
    /// Where rows are kept instead of being written, if their attachments are to be read.
    copies: Option<Vec<Option<Copy>>>,
    bytes: usize,
}

impl Sink<DocumentRow<'_>> for Found {
    fn row(&mut self, row: &DocumentRow<'_>) -> More {
        let key = &self.keys[self.at];
        self.at += 1;
        // Among documents in conflict others are missing.
        let found = row.found.as_ref();
        let found = found.filter(|it| !self.rows.with_conflicts || !it.conflicts.is_empty());
        let has_room = match (&mut self.copies, found) {
            (Some(copies), found) => {
                let copy = found.map(|found| Copy::of(row.id, found));
                self.bytes += copy.as_ref().map_or(0, Copy::bytes);
                copies.push(copy);
                self.bytes < COPIED_BYTES_MAX
            }
            (None, found) => {
                match found {
                    Some(found) => {
                        self.rows.write(&mut self.text, row.id, found, &Contents::new());
                    }
                    None => write_missing(&mut self.rows, &mut self.text, key),
                }
                self.text.len() < PIECE_BYTES
            }
        };
        if has_room { More::Yes } else { More::Enough }
    }
}
