//! An answer of a view under way.

use settle_access::{Grant, Read};
use settle_database::{Database, Direction, More, Next, Sink, blobs::BlobStore};
use settle_index::{
    ReadyView,
    tree::{Group, Grouping, Place, Range, ReduceScan, RowScan, TreeRow},
};
use settle_model::json::write_string;

use super::{
    documents::{self, Linked},
    question::{Question, Wanted},
};
use crate::{documents::rows::RowForm, error::ApiError, pieces::PIECE_BYTES};

/// Rows whose documents are read together.
const DOCUMENTS_AT_ONCE: usize = 256;

pub(super) struct Answer {
    view: ReadyView,
    ranges: std::vec::IntoIter<Range>,
    direction: Direction,
    skip: u64,
    limit: u64,
    is_first: bool,
    scan: Scan,
    first: First,
}

/// What was read with the numbers that stand before the rows.
enum First {
    Nothing,
    Written(Vec<u8>),
    /// Rows whose documents are read next.
    Found(Found),
}

enum Scan {
    Rows { now: Option<RowScan>, form: RowForm, include_docs: bool },
    Groups { now: Option<ReduceScan>, grouping: Grouping, partition: Vec<u8> },
}

impl Answer {
    /// Writes what stands before the rows.
    pub(super) async fn begin(
        view: ReadyView,
        question: Question,
        text: &mut Vec<u8>,
    ) -> Result<Self, ApiError> {
        let Question { update_seq, ranges, direction, skip, limit, wanted, .. } = question;
        let ranges = ranges.into_iter();
        let scan = match &wanted {
            Wanted::Rows { form, include_docs, .. } => {
                Scan::Rows { now: None, form: *form, include_docs: *include_docs }
            }
            Wanted::Groups { grouping, partition } => {
                let partition = partition.clone();
                Scan::Groups { now: None, grouping: *grouping, partition }
            }
        };
        let mut answer = Self::new(view, ranges, direction, skip, limit, scan);
        text.push(b'{');
        if let Wanted::Rows { include_docs, with_counts: true, by_keys, .. } = wanted {
            let Place { total, offset } = answer.place(by_keys, include_docs).await?;
            let counts = format!("\"total_rows\":{total},\"offset\":{offset},");
            text.extend_from_slice(counts.as_bytes());
        }
        if update_seq {
            let sequence = answer.view.sequence();
            text.extend_from_slice(format!("\"update_seq\":\"{sequence}\",").as_bytes());
        }
        text.extend_from_slice(b"\"rows\":[\r\n");
        Ok(answer)
    }

    fn new(
        view: ReadyView,
        ranges: std::vec::IntoIter<Range>,
        direction: Direction,
        skip: u64,
        limit: u64,
        scan: Scan,
    ) -> Self {
        let first = First::Nothing;
        Self { view, ranges, direction, skip, limit, is_first: true, scan, first }
    }

    /// Where the rows are among all. Of a range, its first rows are read with that, from one view, so
    /// that they agree; of keys, there is no one place.
    async fn place(&mut self, by_keys: bool, include_docs: bool) -> Result<Place, ApiError> {
        let range = if by_keys { None } else { self.ranges.next() };
        let Some(range) = range else {
            let total = self.view.total().await?;
            return Ok(Place { total, offset: self.skip.min(total) });
        };
        let (direction, limit) = (self.direction, self.limit);
        let scan = RowScan { range, direction, skip: std::mem::take(&mut self.skip), limit };
        let (place, next);
        if include_docs {
            let mut found = Found::default();
            (found, place, next) = self.view.rows_and_place(scan, found).await?;
            self.limit -= found.rows.len() as u64;
            self.first = First::Found(found);
        } else {
            let mut writer = Writer { text: Vec::new(), is_first: true, count: 0 };
            (writer, place, next) = self.view.rows_and_place(scan, writer).await?;
            self.limit -= writer.count;
            self.is_first = writer.is_first;
            self.first = First::Written(writer.text);
        }
        self.put_rows(next);
        Ok(place)
    }

    /// Appends rows until about a piece is full; whether there are more.
    pub(super) async fn read(
        &mut self,
        database: &Database,
        grant: &Grant<Read>,
        blobs: &BlobStore,
        mut text: Vec<u8>,
    ) -> Result<(Vec<u8>, bool), ApiError> {
        match std::mem::replace(&mut self.first, First::Nothing) {
            First::Nothing => {}
            First::Written(rows) => {
                text.extend_from_slice(&rows);
                return Ok((text, true));
            }
            First::Found(found) => {
                let text = self.write_with_documents(database, grant, blobs, &found, text).await?;
                return Ok((text, true));
            }
        }
        if self.limit == 0 || !self.find_range().await? {
            return Ok((text, false));
        }
        let include_docs = match &self.scan {
            Scan::Rows { include_docs, .. } => *include_docs,
            Scan::Groups { .. } => return Ok((self.read_groups(text).await?, true)),
        };
        if include_docs {
            let scan = self.take_rows();
            let (found, next) = self.view.rows(scan, Found::default()).await?;
            self.limit -= found.rows.len() as u64;
            self.put_rows(next);
            let text = self.write_with_documents(database, grant, blobs, &found, text).await?;
            return Ok((text, true));
        }
        Ok((self.read_rows(text).await?, true))
    }

    /// Makes sure that there is something under way; false at the end.
    async fn find_range(&mut self) -> Result<bool, ApiError> {
        loop {
            let is_under_way = match &self.scan {
                Scan::Rows { now, .. } => now.is_some(),
                Scan::Groups { now, .. } => now.is_some(),
            };
            if is_under_way {
                return Ok(true);
            }
            let Some(range) = self.ranges.next() else { return Ok(false) };
            let (direction, limit) = (self.direction, self.limit);
            let skip = std::mem::take(&mut self.skip);
            match &mut self.scan {
                Scan::Rows { now, .. } => {
                    if skip > 0 && !self.ranges.as_slice().is_empty() {
                        // What this range does not have is skipped in the next ones.
                        let count = self.view.count(&range).await?;
                        if count <= skip {
                            self.skip = skip - count;
                            continue;
                        }
                    }
                    *now = Some(RowScan { range, direction, skip, limit });
                }
                Scan::Groups { now, grouping, partition } => {
                    if skip > 0 && !self.ranges.as_slice().is_empty() {
                        // Each key makes one group, if it has rows.
                        let count = self.view.count(&range).await?.min(1);
                        if count <= skip {
                            self.skip = skip - count;
                            continue;
                        }
                    }
                    *now = Some(ReduceScan {
                        range,
                        reducer: self.view.reducer_number(),
                        grouping: *grouping,
                        direction,
                        skip,
                        limit,
                        partition: partition.clone(),
                        collation: self.view.collation(),
                    });
                }
            }
        }
    }

    fn take_rows(&mut self) -> RowScan {
        let now = match &mut self.scan {
            Scan::Rows { now, .. } => now.take(),
            Scan::Groups { .. } => None,
        };
        now.expect("find_range has put it there")
    }

    fn put_rows(&mut self, next: Next<RowScan>) {
        if let (Scan::Rows { now, .. }, Next::Go(next)) = (&mut self.scan, next) {
            *now = Some(next);
        }
    }

    async fn read_rows(&mut self, text: Vec<u8>) -> Result<Vec<u8>, ApiError> {
        let writer = Writer { text, is_first: self.is_first, count: 0 };
        let scan = self.take_rows();
        let (writer, next) = self.view.rows(scan, writer).await?;
        self.is_first = writer.is_first;
        self.limit -= writer.count;
        self.put_rows(next);
        Ok(writer.text)
    }

    async fn write_with_documents(
        &mut self,
        database: &Database,
        grant: &Grant<Read>,
        blobs: &BlobStore,
        found: &Found,
        mut text: Vec<u8>,
    ) -> Result<Vec<u8>, ApiError> {
        let form = match &self.scan {
            Scan::Rows { form, .. } => *form,
            Scan::Groups { .. } => RowForm::default(),
        };
        let mut linked = Linked::of(&found.rows);
        while let Some(batch) = linked.next_batch(database, grant, form).await? {
            for (row, document) in batch {
                separate(&mut self.is_first, &mut text);
                write_row(&mut text, &found.rows[row].lend());
                text.extend_from_slice(b",\"doc\":");
                documents::write(document, form, blobs, &mut text).await?;
                text.push(b'}');
            }
        }
        Ok(text)
    }

    async fn read_groups(&mut self, mut text: Vec<u8>) -> Result<Vec<u8>, ApiError> {
        let Scan::Groups { now, .. } = &mut self.scan else {
            unreachable!("read asks for groups where there are groups")
        };
        let scan = now.take().expect("find_range has put it there");
        let (groups, next) = self.view.reduce(scan).await?;
        if let Next::Go(next) = next {
            *now = Some(next);
        }
        self.limit -= groups.len() as u64;
        for Group { key, value } in groups {
            separate(&mut self.is_first, &mut text);
            text.extend_from_slice(b"{\"key\":");
            text.extend_from_slice(key.as_deref().unwrap_or(b"null"));
            text.extend_from_slice(b",\"value\":");
            text.extend_from_slice(&value);
            text.push(b'}');
        }
        Ok(text)
    }
}

fn separate(is_first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::take(is_first) {
        out.extend_from_slice(b",\r\n");
    }
}

/// A row whose object is left open.
fn write_row(out: &mut Vec<u8>, row: &TreeRow<'_>) {
    out.extend_from_slice(b"{\"id\":");
    write_string(out, row.id);
    out.extend_from_slice(b",\"key\":");
    out.extend_from_slice(row.key);
    out.extend_from_slice(b",\"value\":");
    out.extend_from_slice(row.value);
}

/// Writes rows as they are found.
struct Writer {
    text: Vec<u8>,
    is_first: bool,
    count: u64,
}

impl Sink<TreeRow<'_>> for Writer {
    fn row(&mut self, row: &TreeRow<'_>) -> More {
        separate(&mut self.is_first, &mut self.text);
        write_row(&mut self.text, row);
        self.text.push(b'}');
        self.count += 1;
        if self.text.len() < PIECE_BYTES { More::Yes } else { More::Enough }
    }
}

/// Copies rows, whose documents are read next.
#[derive(Default)]
struct Found {
    rows: Vec<FoundRow>,
    bytes: usize,
}

pub(super) struct FoundRow {
    pub(super) id: String,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

impl FoundRow {
    fn lend(&self) -> TreeRow<'_> {
        TreeRow { id: &self.id, key: &self.key, value: &self.value }
    }
}

impl Sink<TreeRow<'_>> for Found {
    fn row(&mut self, row: &TreeRow<'_>) -> More {
        self.bytes += row.key.len() + row.value.len();
        self.rows.push(FoundRow {
            id: row.id.to_owned(),
            key: row.key.to_vec(),
            value: row.value.to_vec(),
        });
        let has_room = self.rows.len() < DOCUMENTS_AT_ONCE && self.bytes < PIECE_BYTES;
        if has_room { More::Yes } else { More::Enough }
    }
}
