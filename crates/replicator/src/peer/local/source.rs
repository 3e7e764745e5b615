//! Reading: changes, documents, attachments.

use std::{collections::HashSet, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use settle_access::{Grant, Read};
use settle_database::{
    AttachmentError, BulkItem, ChangeCursor, ChangeFilter, ChangeRow, ChangeScan, Database,
    Direction, Extras, LeafForm, More, Next, Revision, Sink,
    blobs::{self, BlobReadError, Part},
};
use settle_index::{
    ViewError,
    lane::{Author, security_of},
};
use settle_model::{
    document::Encoding,
    id::{AttachmentName, DocumentId},
    revision::RevId,
};
use settle_query::selector::Selector;
use settle_script::{RequestBody, RequestObject, ScriptError};
use settle_site::{
    DatabaseInfo,
    filter::{FilterError, Judge, Shown},
    outgoing::{Attachments, Contents, Form, known_up_to},
};
use settle_sync::{
    job::Selection,
    replication::{Attachment, Document, Failure, FailureKind, Fetch, Fetched, Page, Row, Want},
    seq::Seq,
    wire::parse_filter,
};

use super::{LocalPeer, failure, no_database, position, seq, storage};
use crate::{
    limits::{FETCHED_TOGETHER_MAX, JUDGED_BYTES_MAX, JUDGED_COUNT_MAX},
    peer::Progress,
    spool::AttachmentStream,
};

impl LocalPeer {
    /// A page of changes. With `wait` the first one is waited for; the database tells when it comes.
    pub(super) async fn changes(
        &self,
        since: &Seq,
        limit: usize,
        wait: Option<Duration>,
        progress: &Progress<'_>,
    ) -> Result<Page, Failure> {
        let (database, grant) = self.open::<Read>().await?;
        let mut subscription = database.subscribe();
        let mut feed = Feed {
            shown: self.shown(&database, &grant).await?,
            all: !self.job.winning_revs_only,
            since: position(&database, since),
            limit,
            database: &database,
            grant: &grant,
        };
        let page = feed.page(self, progress).await?;
        let (Some(wait), true) = (wait, page.rows.is_empty()) else { return Ok(page) };
        let end = tokio::time::sleep(wait);
        tokio::pin!(end);
        let mut page = page;
        loop {
            tokio::select! {
                () = &mut end => return Ok(page),
                is_there = subscription.after(feed.since) => {
                    if !is_there {
                        return Err(no_database());
                    }
                }
            }
            page = feed.page(self, progress).await?;
            if !page.rows.is_empty() {
                return Ok(page);
            }
        }
    }

    /// What the job selects.
    async fn shown(&self, database: &Database, grant: &Grant<Read>) -> Result<Shown, Failure> {
        let plain = |only| Ok(Shown { only, judge: None });
        let judged = |judge| Ok(Shown { only: ChangeFilter::All, judge: Some(judge) });
        match &self.job.selection {
            Selection::Everything => plain(ChangeFilter::All),
            Selection::DocIds(ids) => plain(ChangeFilter::Ids(ids.as_slice().into())),
            Selection::Selector(selector) => {
                let selector = Selector::parse(selector);
                let selector =
                    selector.map_err(|error| failure(FailureKind::Refused, error.to_string()))?;
                judged(Judge::Selector { selector, fields: None })
            }
            Selection::Filter { name, params } => match &**name {
                "_design" => plain(ChangeFilter::Design),
                "_view" => {
                    let view = params.iter().find(|(name, _)| name == "view");
                    let view = view.map_or("", |(_, view)| &**view);
                    judged(
                        self.site
                            .view_judge(database, grant, view)
                            .await
                            .map_err(|error| filter(&error))?,
                    )
                }
                name => {
                    let request =
                        async { self.request(database, grant, params).await.map_err(NoFilter) };
                    let judge = self.site.function_judge(database, grant, name, request).await;
                    judged(judge.map_err(|NoFilter(failure)| failure)?)
                }
            },
        }
    }

    /// The request as a filter function sees it.
    async fn request(
        &self,
        database: &Database,
        grant: &Grant<Read>,
        query: &[(String, String)],
    ) -> Result<Bytes, Failure> {
        let info = database.info(grant).await.map_err(storage)?;
        let info = serde_json::to_string(&DatabaseInfo::new(database, &info));
        let info = info.expect("numbers and texts make JSON");
        let mut uuid = [0; 16];
        self.site.entropy.fill(&mut uuid);
        let path = [database.name().local().to_owned(), "_changes".to_owned()];
        let user_ctx = Author::from(&*self.actor).user_ctx(database.name());
        let security = security_of(database);
        let object = RequestObject {
            info: Some(&info),
            uuid: Some(&hex::encode(uuid)),
            id: None,
            method: "GET",
            requested_path: &path,
            path: &path,
            raw_path: &format!("/{}/_changes", path[0]),
            query,
            headers: &[],
            body: RequestBody::Text("undefined"),
            peer: "127.0.0.1",
            form: &[],
            user_ctx: &String::from_utf8_lossy(&user_ctx),
            security: &String::from_utf8_lossy(&security),
        };
        Ok(object.to_json().expect("texts and JSON make JSON"))
    }

    pub(super) async fn fetch(&self, fetch: &Fetch) -> Result<Vec<Fetched>, Failure> {
        let (database, grant) = self.open::<Read>().await?;
        let mut fetching = Fetching {
            peer: self,
            fetch,
            left: fetch.bytes_max,
            sent: HashSet::new(),
            fetched: Vec::with_capacity(fetch.wants.len()),
        };
        for wants in fetch.wants.chunks(FETCHED_TOGETHER_MAX) {
            let items = wants.iter().map(|want| {
                let id: DocumentId = want.id.parse().ok()?;
                Some(BulkItem { id, rev: Some(want.rev.clone()) })
            });
            // The ids are those of documents here.
            let items: Option<Vec<_>> = items.collect();
            let items = items.ok_or_else(|| failure(FailureKind::Refused, "no document's id"))?;
            let extras = Extras { path: true, ..Extras::default() };
            let found = database.bulk_get(&grant, &items, true, extras).await.map_err(storage)?;
            for (want, found) in wants.iter().zip(found) {
                if !fetching.take(want, found).await? {
                    return Ok(fetching.fetched);
                }
            }
        }
        Ok(fetching.fetched)
    }

    /// The content of an attachment of `document`, as it is stored, from byte `from` on.
    pub(crate) async fn attachment(
        &self,
        document: &Document,
        attachment: usize,
        from: u64,
    ) -> Result<AttachmentStream, Failure> {
        let (database, grant) = self.open::<Read>().await?;
        let missing = || failure(FailureKind::NotFound, "Document is missing attachment");
        let wanted = document.attachments.get(attachment).ok_or_else(missing)?;
        let id: DocumentId = document.id.parse().map_err(|_| missing())?;
        let name: AttachmentName = wanted.name.parse().map_err(|_| missing())?;
        let found = database.attachment(&grant, &id, &name, Some(&document.rev)).await;
        let (found, _) = found.map_err(|error| match error {
            AttachmentError::Storage(error) => storage(error),
            AttachmentError::Missing
            | AttachmentError::Deleted
            | AttachmentError::NoSuchAttachment => missing(),
        })?;
        // What is there may be longer than all of it: then it is of something else.
        let rest = if from <= found.stored_length { from..found.stored_length } else { 0..0 };
        let (from, part) = match rest {
            Range { start: 0, .. } => (0, Part::Stored),
            rest => (rest.start, Part::StoredRange(rest)),
        };
        let reader = self.site.store.blobs().read(found.digest, part).await.map_err(blob)?;
        let encoding = match found.encoding {
            blobs::Encoding::Identity => Encoding::Identity,
            blobs::Encoding::Gzip => Encoding::Gzip,
        };
        let bytes = reader.map(|bytes| bytes.map_err(blob)).boxed();
        Ok(AttachmentStream { encoding: Some(encoding), from, end_is_sure: true, bytes })
    }

    /// The code of a filter function; `None` if the design document has no such function.
    pub(crate) async fn filter_code(
        &self,
        design: &str,
        function: &str,
    ) -> Result<Option<String>, Failure> {
        let (database, grant) = self.open::<Read>().await?;
        let found = self.site.indexes.design(&database, &grant, design).await;
        let found = found.map_err(|error| filter(&FilterError::Design(error)))?;
        Ok(parse_filter(&found.source, function))
    }
}

/// The changes that a job selects, from one on.
struct Feed<'a> {
    shown: Shown,
    /// Every leaf, rather than the winner alone.
    all: bool,
    since: u64,
    limit: usize,
    database: &'a Database,
    grant: &'a Grant<Read>,
}

impl Feed<'_> {
    /// The next rows. Goes on behind them.
    async fn page(&mut self, peer: &LocalPeer, progress: &Progress<'_>) -> Result<Page, Failure> {
        let until = self.database.sequence();
        let range = (self.since, until);
        let few = peer.site.few_changes(self.database, self.grant, &self.shown, range).await;
        let scan = |since, until| ChangeScan {
            since,
            until,
            direction: Direction::Ascending,
            content: false,
            times: false,
            only: self.shown.only.clone(),
        };
        let mut rows = Rows { rows: Vec::new(), limit: self.limit, all: self.all };
        if let Some(few) = few.map_err(storage)? {
            for sequence in few {
                if rows.is_full() {
                    break;
                }
                (rows, _) = self.slice(scan(sequence - 1, sequence), rows).await?;
                progress();
            }
        } else {
            let mut since = self.since;
            while !rows.is_full() {
                let next;
                (rows, next) = self.slice(scan(since, until), rows).await?;
                progress();
                let Next::Go(cursor) = next else { break };
                since = cursor.at;
            }
        }
        let (last, pending) = match (rows.is_full(), rows.rows.last()) {
            (true, Some((last, _))) => {
                let pending = self.database.pending(self.grant, *last).await.map_err(storage)?;
                (*last, pending)
            }
            (true, None) | (false, _) => (until, 0),
        };
        self.since = last;
        let rows = rows.rows.into_iter().map(|(sequence, row)| {
            let seq = Some(seq(self.database, sequence));
            Row { seq, ..row }
        });
        Ok(Page {
            rows: rows.collect(),
            last_seq: seq(self.database, last),
            pending: Some(pending),
        })
    }

    /// What one slice of `scan` finds.
    async fn slice(
        &self,
        scan: ChangeScan,
        mut rows: Rows,
    ) -> Result<(Rows, Next<ChangeCursor>), Failure> {
        let Some(judge) = &self.shown.judge else {
            return self.database.scan_changes(self.grant, &scan, rows).await.map_err(storage);
        };
        let form = LeafForm {
            all: self.all,
            ancestors: judge.ancestors(),
            count_max: JUDGED_COUNT_MAX,
            bytes_max: JUDGED_BYTES_MAX,
        };
        let found = self.database.scan_leaves(self.grant, &scan, form).await;
        let (changes, next) = found.map_err(storage)?;
        let documents = changes.iter().flat_map(|change| change.documents.iter().cloned());
        let passed = judge.ask(documents.collect()).await.map_err(|error| script(&error))?;
        let mut passed = passed.into_iter();
        for change in changes {
            let leaves = change.leaves.iter().take(change.documents.len()).zip(passed.by_ref());
            let revs = leaves.filter(|(_, passed)| *passed).map(|((rev, _), _)| rev.clone());
            let revs: Vec<_> = revs.collect();
            if revs.is_empty() || rows.is_full() {
                continue;
            }
            let id = change.id.into();
            rows.rows.push((change.sequence, Row { seq: None, id, revs, unreadable: 0 }));
        }
        Ok((rows, next))
    }
}

/// Rows, and how many there may be.
struct Rows {
    rows: Vec<(u64, Row)>,
    limit: usize,
    all: bool,
}

impl Rows {
    fn is_full(&self) -> bool {
        self.rows.len() >= self.limit
    }
}

impl Sink<ChangeRow<'_>> for Rows {
    fn row(&mut self, row: &ChangeRow<'_>) -> More {
        let count = if self.all { row.leaves.len() } else { 1 };
        let revs = row.leaves.iter().take(count).map(|(rev, _)| rev.clone()).collect();
        let row_of = Row { seq: None, id: row.id.into(), revs, unreadable: 0 };
        self.rows.push((row.sequence, row_of));
        if self.is_full() { More::Enough } else { More::Yes }
    }
}

/// Revisions on their way, as far as they fit.
struct Fetching<'a> {
    peer: &'a LocalPeer,
    fetch: &'a Fetch,
    left: usize,
    /// One leaf may be what two of its ancestors lead to.
    sent: HashSet<(Arc<str>, RevId)>,
    fetched: Vec<Fetched>,
}

impl Fetching<'_> {
    /// Whether there was room for what was found of a want.
    async fn take(
        &mut self,
        want: &Want,
        found: Vec<Result<Revision, Option<RevId>>>,
    ) -> Result<bool, Failure> {
        let revisions: Vec<_> = found.into_iter().filter_map(Result::ok).collect();
        if revisions.is_empty() {
            self.fetched.push(Fetched::Missing);
            return Ok(true);
        }
        let mut documents = Vec::with_capacity(revisions.len());
        let mut bytes = 0;
        for revision in revisions {
            if self.sent.contains(&(want.id.clone(), revision.rev.clone())) {
                continue;
            }
            documents.extend(self.document(want, &revision).await?);
            let is_whole = documents.last().is_some_and(|it| it.rev == revision.rev);
            bytes = documents.iter().map(Document::bytes).sum();
            if !is_whole || bytes > self.fetch.bytes_max {
                self.fetched.push(Fetched::TooLarge);
                return Ok(true);
            }
        }
        if bytes > self.left && !self.fetched.is_empty() {
            return Ok(false);
        }
        self.left = self.left.saturating_sub(bytes);
        self.sent.extend(documents.iter().map(|it| (it.id.clone(), it.rev.clone())));
        self.fetched.push(Fetched::Documents(documents));
        Ok(true)
    }

    /// `None` if it has more bytes than there may be.
    async fn document(
        &self,
        want: &Want,
        revision: &Revision,
    ) -> Result<Option<Document>, Failure> {
        let attachments =
            if self.fetch.attachments { Attachments::Inline } else { Attachments::Stubs };
        let form = Form {
            attachments,
            known_up_to: known_up_to(revision.path.as_ref(), &want.atts_since),
            encoding_info: attachments == Attachments::Stubs,
            revisions: true,
            ..Form::default()
        };
        let inside = revision.attachments.iter().filter(|it| form.sends(it));
        let inside: u64 = inside.map(|it| it.length).sum();
        if inside + revision.body.len() as u64 > self.fetch.bytes_max as u64 {
            return Ok(None);
        }
        let blobs = self.peer.site.store.blobs();
        let contents: Contents = form.contents(blobs, &revision.attachments).await.map_err(blob)?;
        let mut json = Vec::with_capacity(revision.body.len() + 256);
        form.write(&mut json, revision, &contents);
        let stubs = revision.attachments.iter().filter(|it| !form.sends(it));
        let stubs = stubs.map(|it| Attachment {
            name: it.name.as_str().to_owned(),
            revpos: Some(it.revpos),
            length: it.stored_length,
        });
        Ok(Some(Document {
            id: want.id.clone(),
            rev: revision.rev.clone(),
            json,
            attachments: stubs.collect(),
            path: revision.path.clone(),
        }))
    }
}

/// Why there is no filter, for whoever makes one.
struct NoFilter(Failure);

impl From<FilterError> for NoFilter {
    fn from(error: FilterError) -> Self {
        Self(filter(&error))
    }
}

fn filter(error: &FilterError) -> Failure {
    let kind = match error {
        FilterError::Form { .. } | FilterError::Language { .. } => FailureKind::Refused,
        FilterError::NoMember { .. } => FailureKind::NotFound,
        FilterError::Design(error) => match error {
            ViewError::DesignMissing { .. }
            | ViewError::DesignDeleted { .. }
            | ViewError::ViewMissing { .. } => FailureKind::NotFound,
            ViewError::UnknownLanguage { .. } | ViewError::Design { .. } => FailureKind::Refused,
            ViewError::Script(_)
            | ViewError::Storage(_)
            | ViewError::Tree(_)
            | ViewError::Damaged { .. }
            | ViewError::Files { .. }
            | ViewError::Update { .. }
            | ViewError::Closed => FailureKind::Broken,
        },
    };
    failure(kind, error.to_string())
}

fn script(error: &ScriptError) -> Failure {
    let kind = match error {
        ScriptError::Busy => FailureKind::Busy { retry_after: None },
        ScriptError::Compilation { .. }
        | ScriptError::Missing { .. }
        | ScriptError::Thrown(_)
        | ScriptError::BadResult { .. }
        | ScriptError::TooLarge { .. } => FailureKind::Refused,
        ScriptError::Deadline { .. }
        | ScriptError::Memory { .. }
        | ScriptError::Died { .. }
        | ScriptError::Closed
        | ScriptError::Launch(_) => FailureKind::Broken,
    };
    failure(kind, error.to_string())
}

fn blob(error: BlobReadError) -> Failure {
    match error {
        BlobReadError::Storage(error) => storage(error),
        BlobReadError::OutOfRange { .. }
        | BlobReadError::Stopped(_)
        | BlobReadError::Missing { .. }
        | BlobReadError::Damaged { .. }
        | BlobReadError::File { .. } => failure(FailureKind::Broken, error.to_string()),
    }
}
