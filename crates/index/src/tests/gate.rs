//! An engine whose commits wait until they are let through.

use std::sync::Arc;

use settle_engine::{Batch, BoxFuture, Engine, Outcome, around::Around};
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

impl Around for Gate {
    fn inner(&self) -> &dyn Engine {
        &*self.inner
    }

    fn around_commit(&self, batch: Batch) -> BoxFuture<'static, Outcome> {
        let (inner, mut is_open) = (self.inner.clone(), self.is_open.subscribe());
        Box::pin(async move {
            drop(is_open.wait_for(|is_open| *is_open).await);
            inner.commit(batch).await
        })
    }
}
