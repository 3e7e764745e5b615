//! Rows of local documents.

use std::ops::Bound;

use settle_access::{Grant, Read};
use settle_database::{Database, Direction, DocumentScan, LocalDocument};
use settle_model::{
    document::{AnyRev, Extras, Outgoing},
    json::write_string,
};

use super::range::RowsForm;
use crate::{documents::rows::RowForm, error::ApiError};

/// Documents that are read at one time.
const AT_ONCE: u64 = 500;

/// A range of local documents under way.
pub(super) struct Locals {
    scan: DocumentScan,
    rows: RowsForm,
}

impl Locals {
    pub(super) fn new(scan: DocumentScan) -> Self {
        let form = RowForm::default();
        let rows = RowsForm { form, content: scan.content, with_conflicts: false, is_first: true };
        Self { scan, rows }
    }

    pub(super) async fn read(
        &mut self,
        database: &Database,
        grant: &Grant<Read>,
        mut text: Vec<u8>,
    ) -> Result<(Vec<u8>, bool), ApiError> {
        let scan = &mut self.scan;
        let range = (scan.start.clone(), scan.end.clone());
        let limit = scan.limit.min(AT_ONCE);
        let found = database.locals(grant, range, scan.direction, scan.skip, limit).await?;
        for document in &found {
            write(&mut self.rows, &mut text, document);
        }
        let count = u64::try_from(found.len()).unwrap_or(u64::MAX);
        scan.limit -= count;
        scan.skip = 0;
        let Some(last) = found.last().filter(|_| count == limit && scan.limit > 0) else {
            return Ok((text, false));
        };
        let last = Bound::Excluded(last.id.as_str().to_owned());
        match scan.direction {
            Direction::Ascending => scan.start = last,
            Direction::Descending => scan.end = last,
        }
        Ok((text, true))
    }
}

/// Appends the row of a local document.
pub(super) fn write(rows: &mut RowsForm, out: &mut Vec<u8>, document: &LocalDocument) {
    rows.separate(out);
    let (id, rev) = (document.id.as_str(), AnyRev::Local(document.revision));
    for (before, text) in [("{\"id\":", id), (",\"key\":", id)] {
        out.extend_from_slice(before.as_bytes());
        write_string(out, text);
    }
    out.extend_from_slice(b",\"value\":{\"rev\":\"");
    rev.write_to(out);
    out.extend_from_slice(b"\"}");
    if rows.content {
        out.extend_from_slice(b",\"doc\":");
        let (body, extras) = (&*document.body, Extras::default());
        Outgoing { id, rev: &rev, deleted: false, body, extras }.write(out);
    }
    out.push(b'}');
}
