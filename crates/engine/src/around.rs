//! Engines around another one, for tests and benches: each does something of its own when it is read or written, and hands
//! on the rest.

use std::{fmt, path::Path};

use crate::{
    Batch, BoxFuture, Checkpoint, CheckpointError, ClearError, Cleared, Engine, Outcome, Plan,
    ReadResult, Stats, Visitor,
};

/// An engine around another one. Whatever implements this is an [`Engine`].
pub trait Around: Send + Sync + fmt::Debug + 'static {
    fn inner(&self) -> &dyn Engine;

    /// [`Engine::read_boxed`], handed on unless it is done otherwise.
    fn around_read(&self, plan: Plan, visitor: Box<dyn Visitor>) -> BoxFuture<'_, ReadResult> {
        self.inner().read_boxed(plan, visitor)
    }

    /// [`Engine::commit`], handed on unless it is done otherwise.
    fn around_commit(&self, batch: Batch) -> BoxFuture<'static, Outcome> {
        self.inner().commit(batch)
    }
}

impl<A: Around> Engine for A {
    fn read_boxed(&self, plan: Plan, visitor: Box<dyn Visitor>) -> BoxFuture<'_, ReadResult> {
        self.around_read(plan, visitor)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'static, Outcome> {
        self.around_commit(batch)
    }

    fn clear(
        &self,
        start: Vec<u8>,
        end: Vec<u8>,
        budget_bytes: usize,
    ) -> BoxFuture<'_, Result<Cleared, ClearError>> {
        self.inner().clear(start, end, budget_bytes)
    }

    fn checkpoint<'a>(
        &'a self,
        to: &'a Path,
    ) -> BoxFuture<'a, Result<Checkpoint, CheckpointError>> {
        self.inner().checkpoint(to)
    }

    fn stats(&self) -> Stats {
        self.inner().stats()
    }
}
