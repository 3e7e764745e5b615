//! What was found, piece by piece.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use settle_access::{Grant, Read};
use settle_database::{Database, Moment};
use settle_query::mango::{
    Bookmark, FindRequest, Groups, Index, MangoError, NO_BOOKMARK, Plan, Purpose, plan,
};
use tokio::task::spawn_blocking;

use super::{
    FindError,
    join::Joiner,
    reader::{Candidate, Reader},
};
use crate::{
    Indexes,
    limits::{FIND_BATCH_MAX, FIND_INLINE_MAX, FIND_PIECE_BYTES},
};

/// A request while it is answered.
#[derive(Debug)]
pub struct Finding {
    indexes: Indexes,
    database: Database,
    grant: Grant<Read>,
    request: Arc<FindRequest>,
    all: Arc<[Arc<Index>]>,
    plan: Arc<Plan>,
    /// When it is looked at; `None` for the present.
    moment: Option<Moment>,
    reader: Option<Reader>,
    joiner: Joiner,
    /// What was selected and is not sent yet.
    selected: VecDeque<Selected>,
    /// Documents to pass over.
    skip: u64,
    /// Documents to return.
    left: u64,
    batch: usize,
    stats: Stats,
    last: Option<Bookmark>,
    began: Duration,
}

/// What answering took, as `execution_stats` shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub keys_examined: u64,
    pub docs_examined: u64,
    /// Those read where `r` is more than 1, as CouchDB tells them apart.
    pub quorum_docs_examined: u64,
    pub results_returned: u64,
    pub time: Duration,
}

/// What stands behind the documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// `None` where nothing was looked for.
    pub bookmark: Option<String>,
    pub warning: Option<String>,
    pub stats: Stats,
    /// Only where it was asked for: documents that are selected, whatever the limit.
    pub count: Option<u64>,
}

/// A document that is returned.
#[derive(Debug)]
pub(super) struct Selected {
    /// Its wanted fields, as JSON.
    pub(super) document: Vec<u8>,
    /// For each join, the value that is looked for.
    pub(super) joined: Vec<Option<Vec<u8>>>,
}

/// What a batch of candidates gave.
struct Sifted {
    selected: Vec<Selected>,
    passed_over: u64,
    /// The last one that was selected.
    last: Option<Bookmark>,
    /// Rows that were looked at, and documents.
    rows: u64,
    documents: u64,
}

impl Finding {
    pub(super) async fn begin(
        indexes: &Indexes,
        database: &Database,
        grant: Grant<Read>,
        request: Arc<FindRequest>,
        all: Arc<[Arc<Index>]>,
        plan: Plan,
        moment: Option<Moment>,
    ) -> Result<Self, FindError> {
        let began = indexes.shared.parts.clock.monotonic();
        let bookmark = request.bookmark.as_deref().map(Bookmark::parse).transpose()?;
        let joiner = Joiner::new(indexes, database, &grant, &request, &all).await?;
        let is_page = request.aggregation.is_none() && request.limit > 0;
        let mut finding = Self {
            indexes: indexes.clone(),
            database: database.clone(),
            grant,
            all,
            plan: Arc::new(plan),
            moment,
            reader: None,
            joiner,
            selected: VecDeque::new(),
            skip: request.skip,
            left: request.limit,
            batch: first_batch(&request),
            stats: Stats::default(),
            last: None,
            began,
            request,
        };
        if is_page {
            finding.reader = Some(finding.reader(bookmark.as_ref()).await?);
        } else if finding.request.aggregation.is_some() {
            finding.group().await?;
        }
        Ok(finding)
    }

    /// Whether what is found are groups and not documents.
    pub fn is_grouped(&self) -> bool {
        self.request.aggregation.is_some()
    }

    /// The next documents as JSON; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<Vec<u8>>>, FindError> {
        let mut piece = Vec::new();
        let mut bytes = 0;
        loop {
            while let Some(selected) = self.selected.pop_front() {
                let document = self.joiner.join(&self.grant, selected).await?;
                self.stats.results_returned += 1;
                bytes += document.len();
                piece.push(document);
                if bytes >= FIND_PIECE_BYTES {
                    return Ok(Some(piece));
                }
            }
            if !self.read().await? {
                return Ok((!piece.is_empty()).then_some(piece));
            }
        }
    }

    /// What is left to say when there are no more documents.
    pub async fn end(mut self) -> Result<Ending, FindError> {
        let count = if self.request.count { Some(self.count().await?) } else { None };
        self.stats.time = self.indexes.shared.parts.clock.monotonic().saturating_sub(self.began);
        let bookmark = match (&self.last, &self.request.bookmark) {
            _ if self.plan.ranges.is_empty() => None,
            (Some(last), _) => Some(last.to_text()),
            (None, Some(given)) => Some(given.clone()),
            (None, None) => Some(NO_BOOKMARK.to_owned()),
        };
        let examined = self.stats.docs_examined + self.stats.quorum_docs_examined;
        let returned = match &self.request.aggregation {
            // Groups are made of everything that is read.
            Some(_) => examined,
            None => self.stats.results_returned,
        };
        let warning = match bookmark {
            // No index helps where the past is looked at.
            Some(_) if self.moment.is_none() => {
                self.plan.warnings(&self.request, examined, returned)
            }
            Some(_) | None => None,
        };
        Ok(Ending { bookmark, warning, stats: self.stats, count })
    }

    fn examined(&mut self, read: bool, documents: u64) {
        if read && self.request.r > 1 {
            self.stats.quorum_docs_examined += documents;
        } else if read {
            self.stats.docs_examined += documents;
        }
    }

    async fn reader(&self, bookmark: Option<&Bookmark>) -> Result<Reader, FindError> {
        let (request, plan) = (&self.request, &self.plan);
        let reader =
            Reader::new(&self.indexes, &self.database, &self.grant, request, plan, bookmark);
        Ok(reader.await?.at(self.moment))
    }

    /// Reads a batch; whether there may be another.
    async fn read(&mut self) -> Result<bool, FindError> {
        if self.left == 0 {
            return Ok(false);
        }
        let Some(reader) = &mut self.reader else { return Ok(false) };
        let Some(candidates) = reader.next(&self.grant, self.batch).await? else {
            return Ok(false);
        };
        let reads_documents = reader.reads_documents;
        self.batch = (2 * self.batch).min(FIND_BATCH_MAX);
        let (request, plan, skip, left) =
            (self.request.clone(), self.plan.clone(), self.skip, self.left);
        let trusted = plan.exact && !reads_documents;
        let sifted = sift(candidates, move |all| select(&request, trusted, all, skip, left)).await;
        self.skip -= sifted.passed_over;
        self.left -= sifted.selected.len() as u64;
        self.stats.keys_examined += sifted.rows;
        self.examined(reads_documents, sifted.documents);
        self.last = sifted.last.or_else(|| self.last.take());
        self.selected.extend(sifted.selected);
        Ok(true)
    }

    /// Makes groups of all documents that are selected.
    async fn group(&mut self) -> Result<(), FindError> {
        let Some(aggregation) = self.request.aggregation.clone() else { return Ok(()) };
        let mut groups = Groups::new(&aggregation);
        let mut reader = self.reader(None).await?;
        let trusted = self.plan.exact && !reader.reads_documents;
        while let Some(candidates) = reader.next(&self.grant, FIND_BATCH_MAX).await? {
            let rows = candidates.len() as u64;
            let request = self.request.clone();
            let sum = move |all: Vec<Candidate>| {
                let mut documents = 0;
                for document in all.iter().filter_map(|it| it.document.as_ref()) {
                    documents += 1;
                    if trusted || request.selector.matches(document) {
                        groups.add(document)?;
                    }
                }
                Ok::<_, MangoError>((groups, documents))
            };
            let documents;
            (groups, documents) = sift(candidates, sum).await?;
            self.stats.keys_examined += rows;
            self.examined(reader.reads_documents, documents);
        }
        let request = &self.request;
        let rows = groups.finish(&request.sort, request.skip, request.limit);
        let selected = rows.into_iter().map(|document| Selected { document, joined: Vec::new() });
        self.selected = selected.collect();
        Ok(())
    }

    /// How many documents are selected, whatever the limit, the bookmark and the fields. Where an
    /// index has exactly these rows they are not read.
    async fn count(&mut self) -> Result<u64, FindError> {
        let request = self.request.to_count();
        let partitioned = self.database.info(&self.grant).await?.partitioned;
        let plan = plan(&request, &self.all, partitioned, Purpose::Find)?;
        let grant = self.grant.clone();
        let reader = Reader::new(&self.indexes, &self.database, &grant, &request, &plan, None);
        let mut reader = reader.await?.at(self.moment);
        let trusted = plan.exact && !reader.reads_documents;
        if trusted && let Some(count) = reader.count().await? {
            return Ok(count);
        }
        let request = Arc::new(request);
        let mut count = 0;
        while let Some(candidates) = reader.next(&grant, FIND_BATCH_MAX).await? {
            let request = request.clone();
            let (selected, rows, documents) = sift(candidates, move |all| {
                let documents = all.iter().filter_map(|it| it.document.as_ref());
                let (mut selected, mut read) = (0_u64, 0_u64);
                for document in documents {
                    read += 1;
                    selected += u64::from(trusted || request.selector.matches(document));
                }
                (selected, all.len() as u64, read)
            })
            .await;
            count += selected;
            self.stats.keys_examined += rows;
            self.examined(reader.reads_documents, documents);
        }
        Ok(count)
    }
}

/// Enough for the page if every row is selected.
fn first_batch(request: &FindRequest) -> usize {
    let page = request.limit.saturating_add(request.skip);
    usize::try_from(page).unwrap_or(usize::MAX).clamp(1, FIND_BATCH_MAX)
}

/// Does what may take its time: more than a few documents are looked at on a thread of their own.
async fn sift<T: Send + 'static>(
    candidates: Vec<Candidate>,
    work: impl FnOnce(Vec<Candidate>) -> T + Send + 'static,
) -> T {
    if candidates.len() <= FIND_INLINE_MAX {
        return work(candidates);
    }
    spawn_blocking(move || work(candidates)).await.expect("selecting documents does not panic")
}

/// `trusted`: every candidate is selected.
fn select(
    request: &FindRequest,
    trusted: bool,
    candidates: Vec<Candidate>,
    skip: u64,
    left: u64,
) -> Sifted {
    let mut sifted =
        Sifted { selected: Vec::new(), passed_over: 0, last: None, rows: 0, documents: 0 };
    for candidate in candidates {
        if sifted.selected.len() as u64 == left {
            break;
        }
        sifted.rows += 1;
        let Some(document) = candidate.document else { continue };
        sifted.documents += 1;
        if !trusted && !request.selector.matches(&document) {
            continue;
        }
        sifted.last = Some(Bookmark { key: candidate.key.to_vec(), id: candidate.id });
        if sifted.passed_over < skip {
            sifted.passed_over += 1;
            continue;
        }
        let joined = request.joins.iter().map(|join| join.value(&document)).collect();
        let document = match &request.fields {
            None => document.to_vec(),
            Some(fields) => {
                let mut out = Vec::new();
                fields.push(&mut out, &document);
                out
            }
        };
        sifted.selected.push(Selected { document, joined });
    }
    sifted
}
