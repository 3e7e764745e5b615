//! What others changed, in the reply to an exchange: rows as `_changes` has them, bounded.
//!
//! Documents that the client sent as a whole, and that are still as it sent them, are left out. What it changed in
//! part is told, since it need not know what the rest of the document is.

use settle_access::{Grant, Read};
use settle_database::{ChangeFilter, ChangeRow, ChangeScan, Database, Direction, More, Next, Sink};
use settle_model::{
    json::write_string,
    sequence::{Sequence, Since},
};

use super::Own;
use crate::{
    documents::{outgoing::Contents, rows::RowForm},
    error::ApiError,
    limits::EXCHANGE_CHANGES_BYTES_MAX,
};

pub(super) struct Wanted {
    pub(super) since: Since,
    /// Up to where the database was when all was decided.
    pub(super) end: u64,
    pub(super) limit: u64,
    pub(super) include_docs: bool,
    pub(super) own: Own,
}

impl Wanted {
    /// Appends `{"results":[…],"last_seq":…,"pending":…}`.
    pub(super) async fn write(
        self,
        out: &mut Vec<u8>,
        database: &Database,
        grant: &Grant<Read>,
    ) -> Result<(), ApiError> {
        let since = self.since.resolve_on(database.timelines(), Sequence(self.end)).0;
        let mut scan = ChangeScan {
            since,
            until: self.end,
            direction: Direction::Ascending,
            content: self.include_docs,
            times: false,
            only: ChangeFilter::All,
        };
        let mut rows = Rows {
            out: b"{\"results\":[".to_vec(),
            own: self.own,
            timeline: format!("-{}\"", database.timeline()),
            left: self.limit,
            last: since,
            is_first: true,
        };
        while rows.left > 0 {
            let next;
            (rows, next) = database.scan_changes(grant, &scan, rows).await?;
            match next {
                Next::Done => {
                    rows.last = self.end;
                    break;
                }
                Next::Go(cursor) => {
                    scan.since = cursor.at;
                    // What was looked at and left out need not be looked at again.
                    rows.last = rows.last.max(cursor.at);
                }
            }
        }
        let pending = database.pending(grant, rows.last).await?;
        out.append(&mut rows.out);
        out.extend_from_slice(b"],\"last_seq\":\"");
        out.extend_from_slice(database.token(rows.last).to_string().as_bytes());
        out.extend_from_slice(format!("\",\"pending\":{pending}}}").as_bytes());
        Ok(())
    }
}

/// Writes rows as they are found.
struct Rows {
    out: Vec<u8>,
    own: Own,
    /// What is the same in all sequences, with a closing quote.
    timeline: String,
    left: u64,
    last: u64,
    is_first: bool,
}

impl Sink<ChangeRow<'_>> for Rows {
    fn row(&mut self, row: &ChangeRow<'_>) -> More {
        self.last = row.sequence;
        let [(winner, _), ..] = row.leaves else { return More::Yes };
        if self.own.get(row.id).is_some_and(|own| *own == winner.to_string()) {
            return More::Yes;
        }
        let out = &mut self.out;
        out.extend_from_slice(if self.is_first { b"{\"seq\":\"" } else { b",{\"seq\":\"" });
        self.is_first = false;
        out.extend_from_slice(itoa::Buffer::new().format(row.sequence).as_bytes());
        out.extend_from_slice(self.timeline.as_bytes());
        out.extend_from_slice(b",\"id\":");
        write_string(out, row.id);
        out.extend_from_slice(b",\"changes\":[{\"rev\":\"");
        winner.write_to(out);
        out.extend_from_slice(b"\"}]");
        if row.deleted() {
            out.extend_from_slice(b",\"deleted\":true");
        }
        if let Some(content) = &row.content {
            out.extend_from_slice(b",\"doc\":");
            let form = RowForm::default();
            form.write(out, row.id, winner, row.deleted(), content, &Contents::new());
        }
        out.push(b'}');
        self.left -= 1;
        if out.len() >= EXCHANGE_CHANGES_BYTES_MAX {
            self.left = 0;
        }
        if self.left == 0 { More::Enough } else { More::Yes }
    }
}
