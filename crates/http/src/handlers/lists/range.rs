//! Rows of a range of ids.

use settle_access::{Grant, Read};
use settle_database::{
    Database, DocumentRow, DocumentScan, FoundDocument, Moment, More, Next, Sink, blobs::BlobStore,
};
use settle_model::{json::write_string, revision::RevId};

use crate::{
    documents::{
        outgoing::Contents,
        rows::{COPIED_BYTES_MAX, CopiedContent, RowForm},
    },
    error::ApiError,
    pieces::PIECE_BYTES,
};

/// A range under way.
pub(super) struct Range {
    /// When it is looked at; `None` for the present.
    moment: Option<Moment>,
    scan: DocumentScan,
    rows: RowsForm,
}

/// How rows are written, and whether one has been.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowsForm {
    pub(super) form: RowForm,
    /// Whether documents stand in rows.
    pub(super) content: bool,
    /// Whether values tell what the winner won against.
    pub(super) with_conflicts: bool,
    pub(super) is_first: bool,
}

impl Range {
    pub(super) fn new(scan: DocumentScan, form: RowForm) -> Self {
        let (content, with_conflicts) = (scan.content, scan.in_conflict);
        let rows = RowsForm { form, content, with_conflicts, is_first: true };
        Self { moment: None, scan, rows }
    }

    /// Of documents as they were, where a moment is said.
    pub(super) fn at(self, moment: Option<Moment>) -> Self {
        Self { moment, ..self }
    }

    pub(super) async fn read(
        &mut self,
        database: &Database,
        grant: &Grant<Read>,
        blobs: &BlobStore,
        text: Vec<u8>,
    ) -> Result<(Vec<u8>, bool), ApiError> {
        let scan = self.scan.clone();
        let next;
        let mut text = text;
        if scan.content && self.rows.form.needs_copies() {
            let copies = Copies::default();
            let (copies, left) = self.scan(database, grant, scan, copies).await?;
            for copy in copies.rows {
                copy.write(&mut self.rows, blobs, &mut text).await?;
            }
            next = left;
        } else {
            let writer = Writer { rows: self.rows, text };
            let (writer, left) = self.scan(database, grant, scan, writer).await?;
            (self.rows, text, next) = (writer.rows, writer.text, left);
        }
        match next {
            Next::Done => Ok((text, false)),
            Next::Go(scan) => {
                self.scan = scan;
                Ok((text, true))
            }
        }
    }
}

impl Range {
    async fn scan<S>(
        &self,
        database: &Database,
        grant: &Grant<Read>,
        scan: DocumentScan,
        sink: S,
    ) -> Result<(S, Next<DocumentScan>), ApiError>
    where
        S: for<'r> Sink<DocumentRow<'r>>,
    {
        Ok(match self.moment {
            None => database.scan_documents(grant, scan, sink).await?,
            Some(moment) => database.scan_documents_at(grant, moment, scan, sink).await?,
        })
    }
}

impl RowsForm {
    /// Appends a row of a document that is there.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        id: &str,
        found: &FoundDocument<'_>,
        contents: &Contents,
    ) {
        self.begin(out, id, found.rev);
        if self.with_conflicts {
            write_conflicts(out, found.conflicts);
        }
        if found.deleted {
            out.extend_from_slice(b",\"deleted\":true}");
        } else {
            out.push(b'}');
        }
        if let Some(content) = &found.content {
            out.extend_from_slice(b",\"doc\":");
            self.form.write(out, id, found.rev, found.deleted, content, contents);
        } else if self.content {
            out.extend_from_slice(b",\"doc\":null");
        }
        out.push(b'}');
    }

    /// Up to the revision, whose object is left open.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>, id: &str, rev: &RevId) {
        self.separate(out);
        out.extend_from_slice(b"{\"id\":");
        let start = out.len();
        write_string(out, id);
        let end = out.len();
        out.extend_from_slice(b",\"key\":");
        out.extend_from_within(start..end);
        out.extend_from_slice(b",\"value\":{\"rev\":\"");
        rev.write_to(out);
        out.push(b'"');
    }

    pub(super) fn separate(&mut self, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.is_first) {
            out.extend_from_slice(b",\r\n");
        }
    }
}

fn write_conflicts(out: &mut Vec<u8>, conflicts: &[RevId]) {
    out.extend_from_slice(b",\"conflicts\":[");
    for (place, rev) in conflicts.iter().enumerate() {
        out.extend_from_slice(if place > 0 { b",\"" } else { b"\"" });
        rev.write_to(out);
        out.push(b'"');
    }
    out.push(b']');
}

/// Writes rows as they are found.
struct Writer {
    rows: RowsForm,
    text: Vec<u8>,
}

impl Sink<DocumentRow<'_>> for Writer {
    fn row(&mut self, row: &DocumentRow<'_>) -> More {
        if let Some(found) = &row.found {
            self.rows.write(&mut self.text, row.id, found, &Contents::new());
        }
        if self.text.len() < PIECE_BYTES { More::Yes } else { More::Enough }
    }
}

/// Copies rows whose attachments are to be read.
#[derive(Default)]
struct Copies {
    rows: Vec<Copy>,
    bytes: usize,
}

/// A row outside of the view that it was found in.
pub(super) struct Copy {
    id: String,
    rev: RevId,
    deleted: bool,
    conflicts: Vec<RevId>,
    content: Option<CopiedContent>,
}

impl Sink<DocumentRow<'_>> for Copies {
    fn row(&mut self, row: &DocumentRow<'_>) -> More {
        if let Some(found) = &row.found {
            let copy = Copy::of(row.id, found);
            self.bytes += copy.bytes();
            self.rows.push(copy);
        }
        if self.bytes < COPIED_BYTES_MAX { More::Yes } else { More::Enough }
    }
}

impl Copy {
    pub(super) fn of(id: &str, found: &FoundDocument<'_>) -> Self {
        Self {
            id: id.to_owned(),
            rev: found.rev.clone(),
            deleted: found.deleted,
            conflicts: found.conflicts.to_vec(),
            content: found.content.as_ref().map(CopiedContent::of),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.id.len() + self.content.as_ref().map_or(0, CopiedContent::bytes)
    }

    pub(super) async fn write(
        &self,
        rows: &mut RowsForm,
        blobs: &BlobStore,
        out: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        let mut contents = Contents::new();
        if let Some(content) = &self.content {
            contents = content.contents(&rows.form.form, blobs).await?;
        }
        let content = self.content.as_ref().map(CopiedContent::lend);
        let (rev, deleted, conflicts) = (&self.rev, self.deleted, &*self.conflicts);
        let found = FoundDocument { rev, deleted, conflicts, content };
        rows.write(out, &self.id, &found, &contents);
        Ok(())
    }
}
