//! An engine that counts what its readers visit.

use std::{
    any::Any,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use settle_engine::{
    Batch, BoxFuture, Checkpoint, CheckpointError, ClearError, Cleared, Engine, Outcome, Plan,
    ReadResult, Stats, Visit, Visitor,
};

#[derive(Debug)]
pub(super) struct Counting {
    inner: Arc<dyn Engine>,
    visits: Arc<AtomicU64>,
}

impl Counting {
    pub(super) fn over(inner: Arc<dyn Engine>) -> Self {
        Self { inner, visits: Arc::default() }
    }

    /// Since this was last asked.
    pub(super) fn take_visits(&self) -> u64 {
        self.visits.swap(0, Ordering::Relaxed)
    }
}

struct Counted {
    inner: Box<dyn Visitor>,
    visits: Arc<AtomicU64>,
}

impl Visitor for Counted {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.visits.fetch_add(1, Ordering::Relaxed);
        self.inner.visit(step, key, value)
    }
}

impl Engine for Counting {
    fn read_boxed(&self, plan: Plan, inner: Box<dyn Visitor>) -> BoxFuture<'_, ReadResult> {
        let visitor = Box::new(Counted { inner, visits: self.visits.clone() });
        Box::pin(async move {
            let (visitor, progress) = self.inner.read_boxed(plan, visitor).await?;
            let visitor: Box<dyn Any> = visitor;
            let counted = visitor.downcast::<Counted>().expect("engines give back their visitor");
            Ok((counted.inner, progress))
        })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'static, Outcome> {
        self.inner.commit(batch)
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
