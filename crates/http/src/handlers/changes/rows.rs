//! Rows of a feed of changes.

use settle_database::{ChangeRow, Database, LeafChange, More, Sink, Times, blobs::BlobStore};
use settle_model::{json::write_string, revision::RevId};
use settle_query::mango::Projection;

use crate::{
    documents::{
        outgoing::Contents,
        rows::{COPIED_BYTES_MAX, CopiedContent, RowForm},
        times::write_times,
    },
    error::ApiError,
    feed::Rows,
    parameters::{ChangesParameters, Style},
};

/// How changes are written.
#[derive(Debug, Default)]
pub(super) struct Changes {
    style: Style,
    form: RowForm,
    /// What is the same in all sequences: the timeline, with its hyphen and a closing quote.
    timeline: String,
    /// The sequence of a row as JSON; kept for its memory.
    sequence: Vec<u8>,
}

/// A change without its document.
#[derive(Debug, Clone, Copy)]
struct Change<'a> {
    id: &'a str,
    /// Winner first.
    leaves: &'a [(RevId, bool)],
    deleted: bool,
    times: Option<Times>,
}

impl Changes {
    pub(super) fn new(database: &Database, parameters: &ChangesParameters) -> Self {
        let ChangesParameters { attachments, att_encoding_info, conflicts, .. } = *parameters;
        Self {
            style: parameters.style,
            form: RowForm::new(attachments, att_encoding_info, conflicts),
            timeline: format!("-{}\"", database.timeline()),
            sequence: Vec::new(),
        }
    }

    /// Whether rows name every leaf.
    pub(super) fn shows_all(&self) -> bool {
        self.style == Style::AllDocs
    }

    /// Whether documents are written only after the view that they were found in is closed.
    pub(super) fn needs_copies(&self) -> bool {
        self.form.needs_copies()
    }

    fn push(
        &mut self,
        rows: &mut Rows,
        sequence: u64,
        change: Change<'_>,
        document: impl FnOnce(&mut Vec<u8>),
    ) {
        self.sequence.clear();
        self.sequence.push(b'"');
        let mut digits = itoa::Buffer::new();
        self.sequence.extend_from_slice(digits.format(sequence).as_bytes());
        self.sequence.extend_from_slice(self.timeline.as_bytes());
        let (sequence, style) = (&self.sequence, self.style);
        rows.push(sequence, |out| {
            out.extend_from_slice(b"{\"seq\":");
            out.extend_from_slice(sequence);
            out.extend_from_slice(b",\"id\":");
            write_string(out, change.id);
            let shown = match style {
                Style::MainOnly => 1,
                Style::AllDocs => usize::MAX,
            };
            let mut before: &[u8] = b",\"changes\":[{\"rev\":\"";
            for (rev, _) in change.leaves.iter().take(shown) {
                out.extend_from_slice(before);
                rev.write_to(out);
                before = b"\"},{\"rev\":\"";
            }
            out.extend_from_slice(b"\"}]");
            if change.deleted {
                out.extend_from_slice(b",\"deleted\":true");
            }
            if let Some(times) = change.times {
                out.extend_from_slice(b",\"timestamps\":");
                write_times(out, times);
            }
            document(out);
            out.push(b'}');
        });
    }
}

/// Writes changes as they are found.
pub(super) struct Writer {
    changes: Changes,
    rows: Rows,
    left: u64,
    last: u64,
}

impl Writer {
    pub(super) fn new(changes: Changes, rows: Rows, left: u64, last: u64) -> Self {
        Self { changes, rows, left, last }
    }

    /// With the sequence of the newest row.
    pub(super) fn into_parts(self) -> (Changes, Rows, u64) {
        (self.changes, self.rows, self.last)
    }
}

impl Sink<ChangeRow<'_>> for Writer {
    fn row(&mut self, row: &ChangeRow<'_>) -> More {
        let (deleted, form) = (row.deleted(), self.changes.form);
        let change = Change { id: row.id, leaves: row.leaves, deleted, times: row.times };
        self.changes.push(&mut self.rows, row.sequence, change, |out| {
            let (Some(content), [(winner, _), ..]) = (&row.content, row.leaves) else { return };
            out.extend_from_slice(b",\"doc\":");
            form.write(out, row.id, winner, deleted, content, &Contents::new());
        });
        self.last = row.sequence;
        self.left -= 1;
        if self.left == 0 || self.rows.is_full() { More::Enough } else { More::Yes }
    }
}

/// Writes a change of which a filter has seen the documents. `passed` are the leaves that it let through.
pub(super) async fn write_passed(
    changes: &mut Changes,
    rows: &mut Rows,
    change: &LeafChange,
    passed: &[(RevId, bool)],
    shows_times: bool,
    document: Option<Whole<'_>>,
) -> Result<(), ApiError> {
    let form = changes.form;
    let times = shows_times.then_some(change.times);
    let shown = Change { id: &change.id, leaves: passed, deleted: change.deleted(), times };
    let Some(Whole { blobs, fields }) = document else {
        changes.push(rows, change.sequence, shown, |_| {});
        return Ok(());
    };
    let content = change.content();
    let contents = form.form.contents(blobs, content.attachments).await?;
    changes.push(rows, change.sequence, shown, |out| {
        let [(winner, deleted), ..] = &*change.leaves else { return };
        out.extend_from_slice(b",\"doc\":");
        match fields {
            None => form.write(out, &change.id, winner, *deleted, &content, &contents),
            Some(fields) => {
                let mut whole = Vec::new();
                form.write(&mut whole, &change.id, winner, *deleted, &content, &contents);
                fields.push(out, &whole);
            }
        }
    });
    Ok(())
}

/// How the document of a change comes along.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole<'a> {
    pub(super) blobs: &'a BlobStore,
    /// Only these of its fields.
    pub(super) fields: Option<&'a Projection>,
}

/// Copies changes whose attachments are to be read.
pub(super) struct Copies {
    changes: Changes,
    copies: Vec<Copy>,
    bytes: usize,
    left: u64,
}

/// A change outside of the view that it was found in.
pub(super) struct Copy {
    pub(super) sequence: u64,
    id: String,
    leaves: Vec<(RevId, bool)>,
    deleted: bool,
    times: Option<Times>,
    content: Option<CopiedContent>,
}

impl Copies {
    pub(super) fn new(changes: Changes, left: u64) -> Self {
        Self { changes, copies: Vec::new(), bytes: 0, left }
    }

    pub(super) fn into_parts(self) -> (Changes, Vec<Copy>) {
        (self.changes, self.copies)
    }
}

impl Sink<ChangeRow<'_>> for Copies {
    fn row(&mut self, row: &ChangeRow<'_>) -> More {
        let content = row.content.as_ref().map(CopiedContent::of);
        self.bytes += row.id.len() + content.as_ref().map_or(0, CopiedContent::bytes);
        self.copies.push(Copy {
            sequence: row.sequence,
            id: row.id.to_owned(),
            leaves: row.leaves.to_vec(),
            deleted: row.deleted(),
            times: row.times,
            content,
        });
        self.left -= 1;
        if self.left == 0 || self.bytes >= COPIED_BYTES_MAX { More::Enough } else { More::Yes }
    }
}

impl Copy {
    pub(super) async fn write(
        &self,
        changes: &mut Changes,
        blobs: &BlobStore,
        rows: &mut Rows,
    ) -> Result<(), ApiError> {
        let form = changes.form;
        let mut contents = Contents::new();
        if let Some(content) = &self.content {
            contents = content.contents(&form.form, blobs).await?;
        }
        let Self { id, leaves, deleted, times, .. } = self;
        let change = Change { id, leaves, deleted: *deleted, times: *times };
        changes.push(rows, self.sequence, change, |out| {
            let (Some(content), [(winner, _), ..]) = (&self.content, &*self.leaves) else { return };
            out.extend_from_slice(b",\"doc\":");
            form.write(out, &self.id, winner, self.deleted, &content.lend(), &contents);
        });
        Ok(())
    }
}
