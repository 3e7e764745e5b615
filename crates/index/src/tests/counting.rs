//! An engine that counts what its readers visit.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use settle_engine::{BoxFuture, Engine, Plan, ReadResult, Visit, Visitor, around::Around};

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

impl Around for Counting {
    fn inner(&self) -> &dyn Engine {
        &*self.inner
    }

    fn around_read(&self, plan: Plan, inner: Box<dyn Visitor>) -> BoxFuture<'_, ReadResult> {
        let visitor = Box::new(Counted { inner, visits: self.visits.clone() });
        Box::pin(async move {
            let (visitor, progress) = self.inner.read_boxed(plan, visitor).await?;
            let visitor: Box<dyn Any> = visitor;
            let counted = visitor.downcast::<Counted>().expect("engines give back their visitor");
            Ok((counted.inner, progress))
        })
    }
}
