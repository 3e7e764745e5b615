//! An engine whose commits wait until they are let through.

use std::{path::Path, sync::Arc};

use settle_engine::{
    Batch, BoxFuture, Checkpoint, CheckpointError, ClearError, Cleared, Engine, Outcome, Plan,
    ReadResult, Stats, Visitor,
};
use tokio::sync::watch;

#[derive(Debug)]
pub(super) struct Gate {
    inner: Arc<dyn Engine>,
    is_open: watch::Sender<bool>,
}

impl Gate {
    pub(super) fn open_before(inner: Arc<dyn Engine>) -> Self {
        Self { inner, is_open: watch::Sender::new(true) }
    }

    pub(super) fn shut(&self) {
        self.is_open.send_replace(false);
    }

    pub(super) fn open(&self) {
        self.is_open.send_replace(true);
    }
}

impl Engine for Gate {
    fn read_boxed(&self, plan: Plan, visitor: Box<dyn Visitor>) -> BoxFuture<'_, ReadResult> {
        self.inner.read_boxed(plan, visitor)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'static, Outcome> {
        let (inner, mut is_open) = (self.inner.clone(), self.is_open.subscribe());
        Box::pin(async move {
            drop(is_open.wait_for(|is_open| *is_open).await);
            inner.commit(batch).await
        })
    }

    fn clear(
        &self,
        start: Vec<u8>,
        end: Vec<u8>,
        budget_bytes: usize,
    ) -> BoxFuture<'_, Result<Cleared, ClearError>> {
        self.inner.clear(start, end, budget_bytes)
    }

    fn checkpoint<'a>(
        &'a self,
        to: &'a Path,
    ) -> BoxFuture<'a, Result<Checkpoint, CheckpointError>> {
        self.inner.checkpoint(to)
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}
