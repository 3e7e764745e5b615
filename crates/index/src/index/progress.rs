//! How far a build has come.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use settle_model::time::{Clock, Timestamp};

/// Documents count as done when they are mapped; loading rows in order is the last tenth of the work.
#[derive(Debug)]
pub(crate) struct Progress {
    clock: Arc<dyn Clock>,
    pub(crate) started: Timestamp,
    updated_micros: AtomicU64,
    documents: AtomicU64,
    documents_total: AtomicU64,
    rows: AtomicU64,
    rows_total: AtomicU64,
}

const LOADING_PERCENT: u64 = 10;

impl Progress {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let started = clock.now();
        Self {
            clock,
            started,
            updated_micros: AtomicU64::new(started.micros()),
            documents: AtomicU64::new(0),
            documents_total: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            rows_total: AtomicU64::new(0),
        }
    }

    pub(crate) fn expect_documents(&self, done: u64, total: u64) {
        self.documents.store(done, Ordering::Relaxed);
        self.documents_total.store(total.max(done), Ordering::Relaxed);
    }

    pub(crate) fn expect_rows(&self, total: u64) {
        self.rows_total.store(total, Ordering::Relaxed);
    }

    pub(crate) fn mapped(&self, documents: u64) {
        self.documents.fetch_add(documents, Ordering::Relaxed);
        self.touch();
    }

    pub(crate) fn loaded(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.touch();
    }

    pub(crate) fn updated(&self) -> Timestamp {
        Timestamp::from_micros(self.updated_micros.load(Ordering::Relaxed))
    }

    /// Documents mapped, and all there are.
    pub(crate) fn documents(&self) -> (u64, u64) {
        let done = self.documents.load(Ordering::Relaxed);
        // More may have come since the beginning.
        (done, self.documents_total.load(Ordering::Relaxed).max(done))
    }

    pub(crate) fn percent(&self) -> u8 {
        let (done, total) = self.documents();
        let part = |done: u64, total: u64, of: u64| done.min(total) * of / total.max(1);
        let rows = self.rows.load(Ordering::Relaxed);
        let percent = part(done, total, 100 - LOADING_PERCENT)
            + part(rows, self.rows_total.load(Ordering::Relaxed), LOADING_PERCENT);
        u8::try_from(percent).unwrap_or(100)
    }

    fn touch(&self) {
        self.updated_micros.store(self.clock.now().micros(), Ordering::Relaxed);
    }
}
